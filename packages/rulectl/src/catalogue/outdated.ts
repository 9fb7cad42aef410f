/** Compares lists of a configuration with the catalogue, by their URLs. Pure. */

import type { PublisherConfig } from '@rulecast/formats';
import { parseSpan } from '../terminal/moment.ts';
import { CATALOGUE, type CatalogueEntry } from './catalogue.ts';

export interface Outdated {
  readonly list: string;
  readonly key: string;
  readonly what: 'ended' | 'moved' | 'too-often';
  /** A sentence without its end. */
  readonly text: string;
}

export function outdatedOf({ lists, tables }: PublisherConfig): readonly Outdated[] {
  return [...(lists?.values() ?? []), ...tables.values()].flatMap(({ name, source, intervalMs }) => {
    if (source.kind !== 'url') return [];
    const found = source.urls.flatMap((url) => {
      const entry = CATALOGUE.find((each) => each.url.includes(url) || each['past-urls']?.includes(url));
      return entry === undefined ? [] : [{ entry, isMoved: !entry.url.includes(url), url }];
    });
    const entries = new Map(found.map((each) => [each.entry.key, each]));
    return [...entries.values()].flatMap(({ entry, isMoved, url }) => {
      const [what, text] = troubleOf(entry, isMoved, url, intervalMs) ?? [];
      return what === undefined || text === undefined ? [] : [{ list: name, key: entry.key, what, text }];
    });
  });
}

function troubleOf(
  { key, status, note, url: urls, 'most-often': interval }: CatalogueEntry,
  isMoved: boolean,
  url: string,
  intervalMs: number | undefined,
): readonly [Outdated['what'], string] | undefined {
  if (status === 'ended') return ['ended', `${key} has ended${note === undefined ? '' : `: ${note}`}`];
  if (isMoved) return ['moved', `${url} is ${urls.join(' and ')} now`];
  if (interval !== undefined && intervalMs !== undefined && intervalMs < (parseSpan(interval) ?? 0))
    return ['too-often', `its publisher wants it fetched every ${interval} at most`];
  return undefined;
}
