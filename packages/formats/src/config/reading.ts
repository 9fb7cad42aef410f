/** How a configuration says that bytes are read: format, column, filters, members of archives. */

import {
  isListFormatName,
  LIST_FORMATS,
  type ListFilter,
  type ListFormat,
  type ListFormatName,
  listFormat,
} from '../collect/format.ts';
import type { MappingNode } from '../document/tree.ts';
import type { HostBits } from '../text/entry.ts';
import { ConfigFault, type ConfigNodeReader } from './node.ts';
import { fault, type ValueResult } from './value.ts';

/** How bytes become entries; undefined and empty: as the content itself says, and everything. Filters are those of ImportOptions. */
export interface ReadingConfig {
  readonly format: ListFormatName | undefined;
  readonly hostBits: HostBits;
  /** Title, or number from 1, of the column that holds the entries. */
  readonly column: string | number | undefined;
  readonly minScore: number | undefined;
  /** Two lower-case letters each. */
  readonly country: readonly string[];
  readonly asn: readonly number[];
  readonly region: readonly string[];
  readonly service: readonly string[];
  readonly tag: readonly string[];
  readonly set: readonly string[];
  /** Globs of archive members; empty: all of them. */
  readonly members: readonly string[];
}

/** Filters of ImportOptions by their keys here. */
const FILTER_KEYS = {
  column: 'column',
  'min-score': 'minScore',
  country: 'country',
  asn: 'asn',
  region: 'region',
  service: 'service',
  tag: 'tag',
  set: 'set',
} as const satisfies Readonly<Record<string, ListFilter>>;

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

/** Reads the keys of a list. */
export function readReading(node: MappingNode, reader: ConfigNodeReader): ReadingConfig {
  const texts = (key: string): readonly string[] => (reader.texts(node, key) ?? []).map(({ value }) => value);
  const values = <T>(key: string, read: (text: string) => ValueResult<T>): readonly T[] =>
    (reader.texts(node, key) ?? []).flatMap((text) => reader.valueOf(text, key, read) ?? []);
  const format = readFormat(node, reader);
  if (format !== undefined) checkFilters(format, node, reader);
  const column = reader.text(node, 'column')?.value;
  return {
    format,
    hostBits: reader.text(node, 'host-bits')?.value === 'mask' ? 'mask' : 'reject',
    column: column !== undefined && /^[1-9]\d{0,3}$/.test(column) ? Number(column) : column,
    minScore: reader.value(node, 'min-score', readScore),
    country: values('country', readCountry),
    asn: values('asn', readAsn),
    region: texts('region'),
    service: texts('service'),
    tag: texts('tag'),
    set: texts('set'),
    members: texts('members'),
  };
}

/** The format that is stated, if one is. */
export function readFormat(node: MappingNode, reader: ConfigNodeReader): ListFormatName | undefined {
  const format = reader.text(node, 'format')?.value;
  return format !== undefined && isListFormatName(format) ? format : undefined;
}

/** A filter that the stated format has nothing for would leave everything out. */
function checkFilters(format: ListFormatName, node: MappingNode, reader: ConfigNodeReader): void {
  const { filters } = listFormat(format);
  for (const [key, filter] of Object.entries(FILTER_KEYS)) {
    const entry = node.entries.get(key);
    if (entry === undefined || filters.includes(filter)) continue;
    const formats = LIST_FORMATS.filter((row: ListFormat) => row.filters.includes(filter)).map(
      ({ name }) => name,
    );
    const reason = `${key}: the format ${format} says nothing of it; ${formats.join(', ')} do`;
    reader.fault(entry.keyOffset, ConfigFault.misplaced, reason);
  }
}

function readScore(text: string): ValueResult<number> {
  const score = /^-?\d{1,9}(?:\.\d{1,6})?$/.test(text) ? Number(text) : Number.NaN;
  return Number.isNaN(score) ? fault('write a number') : { kind: 'value', value: score };
}
