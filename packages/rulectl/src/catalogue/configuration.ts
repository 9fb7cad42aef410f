/** The publisher's configuration for an entry of the catalogue. Pure. */

import { type CatalogueEntry, isTable } from './catalogue.ts';
import type { Expression } from './expression.ts';

/** The default name of its list or table. */
export function nameOf({ key }: CatalogueEntry | Expression): string {
  return key.replace(':', '-');
}

/** Lines that stand in a mapping of the root. */
export interface ConfigurationLines {
  readonly section: 'lists' | 'tables';
  /** The first says the key, in a comment. */
  readonly lines: readonly string[];
}

/** The lines that make a list or table of that name. */
export function configurationOf(found: CatalogueEntry | Expression, name: string): ConfigurationLines {
  const { key, title } = found;
  const comment = `# catalogue: ${key}`;
  if ('says' in found) return { section: 'lists', lines: [comment, `# ${title}`, `${name}: ${found.says}`] };
  const { licence, attribution } = found;
  const keys = Object.entries(keysOf(found)).map(([field, value]) => `  ${field}: ${value}`);
  const about = `# ${title}. Licence: ${licence}. Credit: ${attribution}.`;
  const lines = [comment, about, `${name}:`, ...keys].flatMap((line) => line.split('\n'));
  return { section: isTable(found) ? 'tables' : 'lists', lines };
}

/** A document with these lines only. */
export function documentOf({ section, lines }: ConfigurationLines): string {
  return `${section}:\n${lines.map((line) => `  ${line}\n`).join('')}`;
}

function keysOf(entry: CatalogueEntry): Readonly<Record<string, string | number | boolean>> {
  const { holds, url, format, interval, entries, settings } = entry;
  const [only = ''] = url;
  const fetched = {
    url: url.length === 1 ? only : url.map((each) => `\n    - ${each}`).join(''),
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
