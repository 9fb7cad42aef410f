/** What the catalogue knows against lists of a configuration, by their URLs. Pure. */

import type { PublisherConfig } from '@rulecast/formats';
import { CATALOGUE, type CatalogueEntry } from './catalogue.ts';

export interface Outdated {
  readonly list: string;
  readonly key: string;
  readonly what: 'ended' | 'moved' | 'too-often';
  /** A sentence without its end. */
  readonly text: string;
}

const UNIT_MS: Readonly<Record<string, number>> = {
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
};

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
  if (interval !== undefined && intervalMs !== undefined && intervalMs < msOf(interval))
    return ['too-often', `its publisher wants it fetched every ${interval} at most`];
  return undefined;
}

/** Of an interval of the catalogue. */
function msOf(interval: string): number {
  return Number.parseInt(interval, 10) * (UNIT_MS[interval.slice(-1)] ?? 0);
}
