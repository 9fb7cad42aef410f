/**
 * The default tables for lists by country or by autonomous system: the addresses that each registry assigned,
 * and the systems that announce them. They are downloaded only if a list uses them.
 */

import { DOWNLOAD_KEYS } from './fetch.ts';
import { filled } from './key.ts';
import { restOf } from './list-keys.ts';
import type { CutSource } from './reading.ts';
import { TABLE_KEYS, type TableConfig } from './table.ts';

/**
 * Delegated statistics of the five registries, each of which has only its own part of the world: a country
 * has addresses of several. https://www.nro.net/about/rirs/statistics/
 */
const REGISTRIES = [
  'https://ftp.ripe.net/pub/stats/ripencc/delegated-ripencc-extended-latest',
  'https://ftp.apnic.net/stats/apnic/delegated-apnic-extended-latest',
  'https://ftp.arin.net/pub/stats/arin/delegated-arin-extended-latest',
  'https://ftp.lacnic.net/pub/stats/lacnic/delegated-lacnic-extended-latest',
  'https://ftp.afrinic.net/pub/stats/afrinic/delegated-afrinic-extended-latest',
];
/** First and last address, number, country and name, of IPv4 and IPv6, as they are routed; PDDL 1.0. */
const ANNOUNCED = ['https://iptoasn.com/data/ip2asn-combined.tsv.gz'];
/** Our choice: some 15 MB, from servers that may be slow. */
const TIMEOUT_MS = 600_000;

/** By the key that uses them, which is also their name. */
export const BUILT_IN_TABLES: Readonly<Record<CutSource, TableConfig>> = {
  country: builtIn('country', 'rir', REGISTRIES),
  asn: builtIn('asn', 'ranges', ANNOUNCED),
};

function builtIn(
  of: CutSource,
  format: NonNullable<TableConfig['format']>,
  urls: readonly string[],
): TableConfig {
  const source = { kind: 'url' as const, urls, ...filled(DOWNLOAD_KEYS) };
  return { ...filled(TABLE_KEYS), name: of, of, format, source, timeoutMs: TIMEOUT_MS, rest: restOf() };
}
