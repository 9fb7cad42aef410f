/** How a configuration says that bytes are read: format, column, filters, members of archives. */

import {
  filterKey,
  LIST_FILTERS,
  LIST_FORMATS,
  type ListFormat,
  type ListFormatName,
  listFormat,
} from '../collect/format.ts';
import type { MappingNode } from '../document/node.ts';
import {
  each,
  type Filled,
  filled,
  flag,
  type Key,
  type Keys,
  scalar,
  type Values,
  withSources,
  word,
  words,
} from './key.ts';
import { ConfigFault, type ConfigReader } from './reader.ts';
import { fault, type ValueResult } from './value.ts';

/** Sources of bytes; with one of them `country` and `asn` are filters. */
export const BYTES_SOURCES = ['file', 'dir', 'url'] as const;
/** Sources that cut a list from a table. */
export const CUT_SOURCES = ['country', 'asn'] as const;
export type CutSource = (typeof CUT_SOURCES)[number];
/** Sources of what somebody else wrote. */
export const READ_SOURCES = [...BYTES_SOURCES, ...CUT_SOURCES, 'company'] as const;

/** Sources of names that somebody wrote. */
const NAME_SOURCES = [...BYTES_SOURCES, 'names'] as const;

const ofBytes = <K extends Key<unknown, unknown>>(key: K): K => withSources(BYTES_SOURCES, key);

export const READING_KEYS = {
  format: ofBytes(
    word(
      LIST_FORMATS.map(({ name }) => name),
      'one of the formats above; without, the content tells',
    ),
  ),
  hostBits: withSources(
    READ_SOURCES,
    word(['reject', 'mask'], '`mask`: a CIDR with bits beyond its length is its network', 'reject'),
  ),
  column: ofBytes(
    scalar(readColumn, 'the column or key that holds the entries, by its title or its number from 1'),
  ),
  lengthColumn: ofBytes(
    scalar(readColumn, 'the column that holds the prefix lengths of the addresses, likewise'),
  ),
  minScore: ofBytes(scalar(readScore, 'entries with a lower score are left out')),
  country: withSources(
    [...BYTES_SOURCES, 'country'],
    each(
      readCountry,
      'countries, of two letters: cut from a table, or picked from a file by its own columns',
    ),
  ),
  asn: withSources([...BYTES_SOURCES, 'asn'], each(readAsn, 'autonomous systems, by number: likewise')),
  region: ofBytes(words('only entries of these regions')),
  service: ofBytes(words('only entries of these services')),
  tag: ofBytes(words('only entries with one of these tags')),
  set: ofBytes(words('only elements of these sets')),
  members: ofBytes(words('globs of the files of an archive; a `!` before one leaves out')),
  subdomains: withSources(
    NAME_SOURCES,
    flag('whether a name that stands alone means all names below it, too', false),
  ),
  allowPublicSuffixes: withSources(
    NAME_SOURCES,
    flag('whether entries may stand for all below a public suffix, such as `com`', false),
  ),
} as const satisfies Keys;

/** How bytes become entries. Filters are those of ImportOptions; an empty one lets everything pass. */
export type ReadingConfig = Filled<typeof READING_KEYS>;

/** What a list says of how its bytes are read. */
export function readingOf(
  values: Values<typeof READING_KEYS>,
  node: MappingNode,
  reader: ConfigReader,
): ReadingConfig {
  if (values.format !== undefined) checkFilters(values.format, node, reader);
  return filled(READING_KEYS, values);
}

/** A filter that the stated format has nothing for would leave everything out. */
function checkFilters(format: ListFormatName, node: MappingNode, reader: ConfigReader): void {
  const { filters } = listFormat(format);
  for (const filter of LIST_FILTERS) {
    const key = filterKey(filter);
    const entry = node.entries.get(key);
    if (entry === undefined || filters.includes(filter)) continue;
    const formats = LIST_FORMATS.filter((row: ListFormat) => row.filters.includes(filter));
    const names = formats.map(({ name }) => name).join(', ');
    const reason = `${key}: the format ${format} says nothing of it; ${names} do`;
    reader.fault(entry.keyOffset, ConfigFault.misplaced, reason);
  }
}

function readColumn(text: string): ValueResult<string | number> {
  return { kind: 'value', value: /^[1-9]\d{0,3}$/.test(text) ? Number(text) : text };
}

function readScore(text: string): ValueResult<number> {
  const score = /^-?\d{1,9}(?:\.\d{1,6})?$/.test(text) ? Number(text) : Number.NaN;
  return Number.isNaN(score) ? fault('write a number') : { kind: 'value', value: score };
}

function readCountry(text: string): ValueResult<string> {
  if (/^[A-Za-z]{2}$/.test(text)) return { kind: 'value', value: text.toLowerCase() };
  return fault('write a country of two letters: ru');
}

function readAsn(text: string): ValueResult<number> {
  const [, digits] = /^(?:AS)?(\d{1,10})$/i.exec(text) ?? [];
  const asn = Number(digits ?? Number.NaN);
  if (asn <= 0xffff_ffff) return { kind: 'value', value: asn };
  return fault('write the number of an autonomous system: 13335 or AS13335');
}
