/** What stands in the publisher's configuration for an entry of the catalogue. Pure. */

import { type CatalogueEntry, isTable } from './catalogue.ts';

/** A document that holds one list or table, of that name, and its key as a comment. */
export function configurationOf(entry: CatalogueEntry, name: string): string {
  const { key, title, licence, attribution } = entry;
  const lines = Object.entries(keysOf(entry)).map(([field, value]) => `    ${field}: ${value}\n`);
  return `${isTable(entry) ? 'tables' : 'lists'}:
  # catalogue: ${key}
  # ${title}. Licence: ${licence}. Credit: ${attribution}.
  ${name}:
${lines.join('')}`;
}

function keysOf(entry: CatalogueEntry): Readonly<Record<string, string | number | boolean>> {
  const { holds, url, format, interval, entries, settings } = entry;
  const [only = ''] = url;
  const fetched = {
    url: url.length === 1 ? only : url.map((each) => `\n      - ${each}`).join(''),
    format,
    interval,
  };
  if (isTable(entry)) return { of: holds === 'countries' ? 'country' : 'asn', ...fetched, ...settings };
  const [fewest, most] = entries;
  return {
    ...fetched,
    ...(holds === 'names' && { resolve: 'firewall' }), // the publisher resolves 4,096 names of a list at most
    'min-entries': fewest,
    'max-entries': most,
    ...settings,
  };
}
