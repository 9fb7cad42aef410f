/** The keys for reading bytes: format, column, filters, members of archives. */

import {
  filterKey,
  LIST_FILTERS,
  LIST_FORMATS,
  type ListFormat,
  type ListFormatName,
  listFormat,
} from '../collect/format.ts';
import type { MappingNode } from '../document/node.ts';
import { jsonQueryOf } from '../json/query.ts';
import { finderOf } from '../text/pattern.ts';
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
/** Sources whose content is written by others. */
export const READ_SOURCES = [...BYTES_SOURCES, ...CUT_SOURCES, 'company'] as const;

/** Sources of names written by others. */
const NAME_SOURCES = [...BYTES_SOURCES, 'names'] as const;

const ofBytes = <K extends Key<unknown, unknown>>(key: K): K => withSources(BYTES_SOURCES, key);

export const READING_KEYS = {
  format: ofBytes(
    word(
      LIST_FORMATS.map(({ name }) => name),
      'the name of a format; without it, the content tells',
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
  delimiter: ofBytes(
    scalar(
      readDelimiter,
      'the character between the columns of a CSV, if it is not a comma, semicolon, tab or bar',
    ),
  ),
  json: ofBytes(scalar(readPath, 'a path of RFC 9535: each string in JSON that it finds is an entry')),
  pattern: ofBytes(
    scalar(
      readPattern,
      "a pattern in RE2's syntax, for each line: its first group is an entry, or the whole match if it has no group",
    ),
  ),
  allAddresses: ofBytes(flag('whether each address, CIDR and range is an entry, wherever it stands')),
  strict: ofBytes(flag('whether the file is refused if anything in it is left out or cannot be read')),
  take: ofBytes(
    word(
      ['addresses', 'names'],
      '`addresses` or `names`: which entries of a file with both are taken; the others are counted',
    ),
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

/** How bytes become entries. Filters are those of ImportOptions; an empty one passes everything. */
export type ReadingConfig = Filled<typeof READING_KEYS>;

/** How the bytes of a list are read, by its keys. */
export function readingOf(
  values: Values<typeof READING_KEYS>,
  node: MappingNode,
  reader: ConfigReader,
): ReadingConfig {
  if (values.format !== undefined) checkFilters(values.format, node, reader);
  checkWays(node, reader);
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
    const reason = `${key}: the format ${format} has no such field; use it with ${names}`;
    reader.fault(entry.keyOffset, ConfigFault.misplaced, reason);
  }
}

/** Keys that say how entries are found, whatever the format: one at most, and nothing is picked by others. */
const WAYS = ['json', 'pattern', 'all-addresses'] as const;

function checkWays(node: MappingNode, reader: ConfigReader): void {
  const [way, ...others] = WAYS.filter((key) => node.entries.has(key));
  if (way === undefined) return;
  for (const key of [...others, 'format', ...LIST_FILTERS.map(filterKey)]) {
    const entry = node.entries.get(key);
    if (entry === undefined) continue;
    reader.fault(entry.keyOffset, ConfigFault.misplaced, `${key}: does not go with ${way}:`);
  }
}

function readDelimiter(text: string): ValueResult<string> {
  if (/^[!#$%&()*+,;<=>?@^_`{|}~]$/.test(text)) return { kind: 'value', value: text };
  return fault('write one sign, such as "#"');
}

function readPath(text: string): ValueResult<string> {
  if (jsonQueryOf(text) !== undefined) return { kind: 'value', value: text };
  return fault('no path of RFC 9535: write one such as $..prefix or $.data[*].ip');
}

function readPattern(text: string): ValueResult<string> {
  const finder = finderOf(text);
  return typeof finder === 'string' ? fault(finder) : { kind: 'value', value: text };
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
