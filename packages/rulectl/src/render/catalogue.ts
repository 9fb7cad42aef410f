/** The catalogue, for people. Pure. */

import type { CatalogueEntry } from '../catalogue/catalogue.ts';
import { configurationOf, documentOf, nameOf } from '../catalogue/configuration.ts';
import type { Expression } from '../catalogue/expression.ts';
import type { Colors } from '../terminal/terminal.ts';
import { formatCount, NOTHING } from './amounts.ts';
import { renderTable } from './table.ts';

/** A table, one line an entry. */
export function renderCatalogue(found: readonly (CatalogueEntry | Expression)[], colors: Colors): string {
  const rows = found.map((each) =>
    'says' in each
      ? [each.key, 'addresses', NOTHING, each.title]
      : [each.key, each.holds, sizeOf(each), `${each.title}${marksOf(each)}`],
  );
  return renderTable(['key', 'holds', 'entries', 'what it is'], rows, undefined, colors);
}

function marksOf({ status, restricted }: CatalogueEntry): string {
  if (status === 'ended') return ' (ended)';
  return restricted === undefined ? '' : ' (restricted)';
}

function sizeOf({ entries: [fewest, most] }: CatalogueEntry): string {
  return `${formatCount(fewest)} to ${formatCount(most)}`;
}

/** All about an entry, and the lines that `rulectl lists add` writes for it. */
export function renderCatalogueEntry(entry: CatalogueEntry | Expression, colors: Colors): string {
  const lines: string[] = [];
  const add = (label: string, ...values: readonly (string | undefined)[]): void => {
    for (const value of values) if (value !== undefined) lines.push(`${`${label}:`.padEnd(12)} ${value}`);
  };
  add('entry', colors.bold(entry.key));
  add('is', entry.title);
  if (!('says' in entry)) addFeed(entry, add, colors);
  const what = `rulectl lists add ${entry.key} writes into the configuration of the publisher:`;
  const written = documentOf(configurationOf(entry, nameOf(entry)));
  return `${lines.join('\n')}\n\n${what}\n\n${written.trimEnd()}`;
}

function addFeed(
  entry: CatalogueEntry,
  add: (label: string, ...values: readonly (string | undefined)[]) => void,
  colors: Colors,
): void {
  if (entry.status === 'ended') add('status', colors.red('ended'));
  add('note', entry.note);
  add('holds', `${sizeOf(entry)} ${entry.holds}`);
  add('url', ...entry.url);
  add('also at', ...(entry.alternates ?? []));
  add('was at', ...(entry['past-urls'] ?? []));
  const most = entry['most-often'];
  add('interval', `${entry.interval}${most === undefined ? '' : `, at most every ${most}`}`);
  add('licence', entry.licence);
  add('restricted', entry.restricted);
  add('credit', entry.attribution);
  add('known from', entry.evidence);
}
