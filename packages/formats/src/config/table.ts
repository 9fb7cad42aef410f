/** One table of a configuration, which lists are cut from: where it comes from and when it is refreshed. */

import type { ListFormatName } from '../collect/format.ts';
import type { MappingNode } from '../document/node.ts';
import { FETCH_KEYS, type FetchConfig, fetchOf } from './fetch.ts';
import { checkPlaces, type Keys, readKeys, standardOf, texts, word } from './key.ts';
import { LIST_DEFAULTS, type RestConfig, restOf, SHARED_KEYS } from './list-keys.ts';
import { ConfigFault, type ConfigReader } from './reader.ts';
import { READING_KEYS } from './reading.ts';

/** Addresses by country or by number of autonomous system, which lists are cut from. */
export interface TableConfig {
  readonly name: string;
  readonly of: 'country' | 'asn';
  readonly format: ListFormatName | undefined;
  readonly source: { readonly kind: 'files'; readonly paths: readonly string[] } | FetchConfig;
  readonly intervalMs: number | undefined;
  readonly jitterShare: number;
  readonly timeoutMs: number;
  readonly members: readonly string[];
  readonly rest: RestConfig;
}

export const TABLE_KEYS = {
  of: word(['country', 'asn'], 'what lists are cut from it by'),
  format: READING_KEYS.format,
  file: texts(
    (nodes, _key, reader) => nodes.map(({ value }) => reader.pathOf(value)),
    'the file that it is read from, or several',
  ),
  ...FETCH_KEYS,
  interval: { ...SHARED_KEYS.interval, standard: '1d' }, // registries publish once a day
  jitter: SHARED_KEYS.jitter,
  timeout: SHARED_KEYS.timeout,
  members: READING_KEYS.members,
  quiet: SHARED_KEYS.quiet,
  unfinished: SHARED_KEYS.unfinished,
} as const satisfies Keys;

/** Reads one table; undefined if it has no source that can be read. */
export function readTable(
  name: string,
  keyOffset: number,
  node: MappingNode,
  reader: ConfigReader,
): TableConfig | undefined {
  const isFetched = node.entries.has('url');
  const said = readKeys(TABLE_KEYS, node, reader);
  const { of, file } = said;
  if (isFetched === (file !== undefined)) {
    reader.fault(keyOffset, ConfigFault.source, `table ${name} needs file: or url:, one of them`);
    return undefined;
  }
  if (!isFetched) checkPlaces(TABLE_KEYS, 'file', node, reader);
  const source = isFetched ? fetchOf(said, node, reader) : { kind: 'files' as const, paths: file ?? [] };
  if (source === undefined || of === undefined) return undefined;
  return {
    name,
    of,
    format: said.format,
    source,
    intervalMs: said.interval ?? (isFetched ? standardOf(TABLE_KEYS.interval) : undefined),
    jitterShare: said.jitter ?? LIST_DEFAULTS.jitterShare,
    timeoutMs: said.timeout ?? LIST_DEFAULTS.timeoutMs,
    members: said.members ?? [],
    rest: restOf(said),
  };
}
