/** One table of a configuration, from which lists are cut: its source and its refresh. */

import type { MappingNode } from '../document/node.ts';
import { FETCH_KEYS, type FetchConfig, fetchOf } from './fetch.ts';
import { checkPlaces, type Filled, filled, type Keys, readKeys, texts, word } from './key.ts';
import { intervalKey, type RestConfig, restOf, SHARED_KEYS } from './list-keys.ts';
import { ConfigFault, type ConfigReader } from './reader.ts';
import { CUT_SOURCES, type CutSource, READING_KEYS } from './reading.ts';

export const TABLE_KEYS = {
  of: word(CUT_SOURCES, '`country` or `asn`: what lists are cut from it by'),
  format: READING_KEYS.format,
  file: texts(
    (nodes, _key, reader) => nodes.map(({ value }) => reader.pathOf(value)),
    'the file that it is read from, or several',
  ),
  ...FETCH_KEYS,
  intervalMs: intervalKey('1d'), // registries publish once a day
  jitterShare: SHARED_KEYS.jitterShare,
  timeoutMs: SHARED_KEYS.timeoutMs,
  members: READING_KEYS.members,
  quietMs: SHARED_KEYS.quietMs,
  unfinishedMs: SHARED_KEYS.unfinishedMs,
} as const satisfies Keys;

/** Addresses by country or by number of autonomous system, which lists are cut from. */
export interface TableConfig
  extends Pick<Filled<typeof TABLE_KEYS>, 'format' | 'jitterShare' | 'timeoutMs' | 'members'> {
  readonly name: string;
  readonly of: CutSource;
  readonly source: { readonly kind: 'files'; readonly paths: readonly string[] } | FetchConfig;
  readonly intervalMs: number | undefined;
  readonly rest: RestConfig;
}

/** Reads one table; undefined if it has no source that can be read. */
export function readTable(
  name: string,
  keyOffset: number,
  node: MappingNode,
  reader: ConfigReader,
): TableConfig | undefined {
  const isFetched = node.entries.has('url');
  const values = readKeys(TABLE_KEYS, node, reader);
  const { of, file } = values;
  if (isFetched === (file !== undefined)) {
    reader.fault(keyOffset, ConfigFault.source, `table ${name} needs file: or url:, one of them`);
    return undefined;
  }
  if (!isFetched) checkPlaces(TABLE_KEYS, 'file', node, reader);
  const source = isFetched ? fetchOf(values, node, reader) : { kind: 'files' as const, paths: file ?? [] };
  if (source === undefined || of === undefined) return undefined;
  const table = filled(TABLE_KEYS, values);
  const intervalMs = isFetched ? table.intervalMs : values.intervalMs;
  return { ...table, name, of, source, intervalMs, rest: restOf(values) };
}
