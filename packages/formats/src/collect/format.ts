/**
 * The formats that lists come in: their names, for `--format` and configurations, the kind of their entries
 * and the filters they allow. One row for each, which docs/reference/list-formats.md describes; its importer
 * stands in list/import.ts and its detection in list/detect-list.ts, and both in json/formats.ts for those in
 * JSON.
 */

import type { List } from '@rulecast/rules';

/** The filters of a format whose entries carry such data; named as in ImportOptions. */
export const LIST_FILTERS = [
  'minScore',
  'column',
  'delimiter',
  'lengthColumn',
  'country',
  'asn',
  'region',
  'service',
  'tag',
  'set',
] as const;
export type ListFilter = (typeof LIST_FILTERS)[number];

/** A filter by its key in configurations. */
export function filterKey(filter: ListFilter): string {
  return filter.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

export interface ListFormat {
  readonly name: string;
  readonly holds: List['kind'] | 'either';
  /** Usual endings of file names, with the dot; they decide only where the content does not. */
  readonly extensions: readonly string[];
  readonly filters: readonly ListFilter[];
}

export const LIST_FORMATS = [
  { name: 'plain', holds: 'either', extensions: ['.txt', '.list', '.lst', '.ip'], filters: [] },
  { name: 'netset', holds: 'prefixes', extensions: ['.netset', '.ipset'], filters: [] },
  { name: 'scored', holds: 'prefixes', extensions: ['.tsv'], filters: ['minScore'] },
  { name: 'ranges', holds: 'prefixes', extensions: [], filters: ['column', 'country', 'asn'] },
  {
    name: 'csv',
    holds: 'either',
    extensions: ['.csv', '.tsv'],
    filters: ['column', 'delimiter', 'lengthColumn', 'minScore', 'country', 'asn', 'region'],
  },
  { name: 'geofeed', holds: 'prefixes', extensions: [], filters: ['country', 'region'] },
  { name: 'rir', holds: 'prefixes', extensions: [], filters: ['country'] },
  { name: 'pfx2as', holds: 'prefixes', extensions: [], filters: ['asn'] },
  { name: 'p2p', holds: 'prefixes', extensions: ['.p2p'], filters: [] },
  { name: 'hosts', holds: 'names', extensions: ['.hosts'], filters: [] },
  { name: 'adblock', holds: 'names', extensions: [], filters: [] },
  { name: 'dnsmasq', holds: 'names', extensions: ['.conf'], filters: [] },
  { name: 'unbound', holds: 'names', extensions: [], filters: [] },
  { name: 'clash', holds: 'names', extensions: [], filters: [] },
  { name: 'rpz', holds: 'names', extensions: ['.rpz', '.zone'], filters: [] },
  { name: 'tor', holds: 'prefixes', extensions: [], filters: [] },
  { name: 'suricata', holds: 'prefixes', extensions: [], filters: [] },
  { name: 'urls', holds: 'either', extensions: [], filters: [] },
  { name: 'ip-port', holds: 'either', extensions: [], filters: [] },
  { name: 'ipset', holds: 'prefixes', extensions: [], filters: ['set'] },
  { name: 'nft', holds: 'prefixes', extensions: ['.nft'], filters: ['set'] },
  { name: 'nft-json', holds: 'prefixes', extensions: [], filters: ['set'] },
  { name: 'aws', holds: 'prefixes', extensions: [], filters: ['region', 'service'] },
  { name: 'google', holds: 'prefixes', extensions: [], filters: ['region', 'service'] },
  { name: 'azure', holds: 'prefixes', extensions: [], filters: ['region', 'service', 'tag'] },
  { name: 'oracle', holds: 'prefixes', extensions: [], filters: ['region', 'tag'] },
  { name: 'github', holds: 'prefixes', extensions: [], filters: ['service'] },
  { name: 'cloudflare', holds: 'prefixes', extensions: [], filters: [] },
  { name: 'o365', holds: 'either', extensions: [], filters: ['service'] },
  { name: 'ipverse', holds: 'prefixes', extensions: [], filters: [] },
  { name: 'spamhaus', holds: 'prefixes', extensions: ['.ndjson', '.jsonl'], filters: [] },
  { name: 'spamhaus-asn', holds: 'prefixes', extensions: [], filters: [] },
  { name: 'vrp', holds: 'prefixes', extensions: [], filters: ['asn'] },
  { name: 'misp', holds: 'either', extensions: [], filters: [] },
  { name: 'json', holds: 'either', extensions: ['.json'], filters: ['column', 'asn'] },
  { name: 'jsonl', holds: 'either', extensions: [], filters: ['column', 'asn'] },
] as const satisfies readonly ListFormat[];

export type ListFormatName = (typeof LIST_FORMATS)[number]['name'];

const FORMATS_BY_NAME: ReadonlyMap<string, ListFormat> = new Map(
  LIST_FORMATS.map((format) => [format.name, format]),
);

/** The row of a format. */
export function listFormat(name: ListFormatName): ListFormat {
  const format = FORMATS_BY_NAME.get(name);
  if (format === undefined) throw new TypeError(`no list format is named ${name}`);
  return format;
}

export function isListFormatName(name: string): name is ListFormatName {
  return FORMATS_BY_NAME.has(name);
}
