/**
 * The formats that lists come in: their names, for `--format` and configurations, what they hold and what may
 * be picked from them. One row for each; its importer stands in list/import.ts and its detection in
 * list/detect-list.ts, and both in json/formats.ts for those in JSON.
 */

import type { List } from '@rulecast/rules';

/** What may be picked from a format that tells it of each entry; the names are those of ImportOptions. */
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
  /** One line, for people. */
  readonly title: string;
  /** Usual endings of file names, with the dot; they decide only where the content does not. */
  readonly extensions: readonly string[];
  readonly holds: List['kind'] | 'either';
  readonly filters: readonly ListFilter[];
}

export const LIST_FORMATS = [
  {
    name: 'plain',
    title: 'one address, CIDR, range or host name a line; *.name and .name for names below',
    extensions: ['.txt', '.list', '.lst', '.ip'],
    holds: 'either',
    filters: [],
  },
  {
    name: 'netset',
    title: 'addresses and CIDRs under a # header, as FireHOL and ipverse publish them',
    extensions: ['.netset', '.ipset'],
    holds: 'prefixes',
    filters: [],
  },
  {
    name: 'scored',
    title: 'addresses with a number behind each, as IPsum publishes them',
    extensions: ['.tsv'],
    holds: 'prefixes',
    filters: ['minScore'],
  },
  {
    name: 'ranges',
    title: 'first and last address of ranges, as START-END or CSV, with country or AS number',
    extensions: [],
    holds: 'prefixes',
    filters: ['column', 'country', 'asn'],
  },
  {
    name: 'csv',
    title: 'CSV with or without a header, with addresses, ranges or names in one of its columns',
    extensions: ['.csv', '.tsv'],
    holds: 'either',
    filters: ['column', 'delimiter', 'lengthColumn', 'minScore', 'country', 'asn', 'region'],
  },
  {
    name: 'geofeed',
    title: 'geofeed CSV (RFC 8805): prefix, country, region, city, postal code',
    extensions: [],
    holds: 'prefixes',
    filters: ['country', 'region'],
  },
  {
    name: 'rir',
    title: 'delegated statistics of a regional registry: registry|country|type|start|value|date|status',
    extensions: [],
    holds: 'prefixes',
    filters: ['country'],
  },
  {
    name: 'pfx2as',
    title: 'prefix-to-AS table of CAIDA: network, prefix length and AS number, with tabs between',
    extensions: [],
    holds: 'prefixes',
    filters: ['asn'],
  },
  {
    name: 'p2p',
    title: 'PeerGuardian text: name:start-end',
    extensions: ['.p2p'],
    holds: 'prefixes',
    filters: [],
  },
  {
    name: 'hosts',
    title: 'hosts file: 0.0.0.0 or 127.0.0.1, then names',
    extensions: ['.hosts'],
    holds: 'names',
    filters: [],
  },
  {
    name: 'adblock',
    title: 'filter rules of ad blockers, of which ||name^ are used',
    extensions: [],
    holds: 'names',
    filters: [],
  },
  {
    name: 'dnsmasq',
    title: 'dnsmasq configuration: server=/name/, local=/name/ and address=/name/',
    extensions: ['.conf'],
    holds: 'names',
    filters: [],
  },
  {
    name: 'unbound',
    title: 'Unbound configuration: local-zone: "name" of a type that refuses',
    extensions: [],
    holds: 'names',
    filters: [],
  },
  {
    name: 'clash',
    title: 'rule providers of Clash and mihomo: DOMAIN-SUFFIX,name, DOMAIN,name and +.name',
    extensions: [],
    holds: 'names',
    filters: [],
  },
  {
    name: 'rpz',
    title: 'DNS response policy zone: name CNAME . and *.name CNAME .',
    extensions: ['.rpz', '.zone'],
    holds: 'names',
    filters: [],
  },
  {
    name: 'tor',
    title: 'exit-addresses of the Tor Project: ExitAddress, address, date',
    extensions: [],
    holds: 'prefixes',
    filters: [],
  },
  {
    name: 'suricata',
    title: 'rules of Suricata and Snort about groups of addresses, for all ports',
    extensions: [],
    holds: 'prefixes',
    filters: [],
  },
  {
    name: 'urls',
    title: 'one URL a line, of which the host is taken; has to be stated',
    extensions: [],
    holds: 'either',
    filters: [],
  },
  {
    name: 'ip-port',
    title: 'one address or name with a port a line, of which the host is taken; has to be stated',
    extensions: [],
    holds: 'either',
    filters: [],
  },
  {
    name: 'ipset',
    title: 'output of ipset save',
    extensions: [],
    holds: 'prefixes',
    filters: ['set'],
  },
  {
    name: 'nft',
    title: 'nftables text: elements of sets, as nft list ruleset prints them',
    extensions: ['.nft'],
    holds: 'prefixes',
    filters: ['set'],
  },
  {
    name: 'nft-json',
    title: 'nftables JSON, as nft -j list ruleset prints it',
    extensions: [],
    holds: 'prefixes',
    filters: ['set'],
  },
  {
    name: 'aws',
    title: 'ip-ranges.json of Amazon Web Services',
    extensions: [],
    holds: 'prefixes',
    filters: ['region', 'service'],
  },
  {
    name: 'google',
    title: 'cloud.json and goog.json of Google; a region is what they call scope',
    extensions: [],
    holds: 'prefixes',
    filters: ['region', 'service'],
  },
  {
    name: 'azure',
    title: 'ServiceTags JSON of Microsoft Azure',
    extensions: [],
    holds: 'prefixes',
    filters: ['region', 'service', 'tag'],
  },
  {
    name: 'oracle',
    title: 'public_ip_ranges.json of Oracle Cloud',
    extensions: [],
    holds: 'prefixes',
    filters: ['region', 'tag'],
  },
  {
    name: 'github',
    title: 'api.github.com/meta; a service is one of its keys, such as hooks or actions',
    extensions: [],
    holds: 'prefixes',
    filters: ['service'],
  },
  {
    name: 'cloudflare',
    title: 'api.cloudflare.com/client/v4/ips; its text files are plain lists',
    extensions: [],
    holds: 'prefixes',
    filters: [],
  },
  {
    name: 'o365',
    title: 'endpoints of Microsoft 365; a service is what they call serviceArea',
    extensions: [],
    holds: 'either',
    filters: ['service'],
  },
  {
    name: 'ipverse',
    title: 'JSON of ipverse: prefixes of a country or an AS',
    extensions: [],
    holds: 'prefixes',
    filters: [],
  },
  {
    name: 'spamhaus',
    title: 'DROP lists of Spamhaus, one JSON object a line',
    extensions: ['.ndjson', '.jsonl'],
    holds: 'prefixes',
    filters: [],
  },
  {
    name: 'spamhaus-asn',
    title: 'ASN-DROP of Spamhaus: AS numbers, which are no addresses; recognised and refused',
    extensions: [],
    holds: 'prefixes',
    filters: [],
  },
  {
    name: 'vrp',
    title: 'validated ROA payloads as JSON, as Routinator and rpki-client write them',
    extensions: [],
    holds: 'prefixes',
    filters: ['asn'],
  },
  {
    name: 'misp',
    title: 'MISP warninglists of the types cidr, hostname and string',
    extensions: [],
    holds: 'either',
    filters: [],
  },
  {
    name: 'json',
    title:
      'JSON array of strings, or of objects with the entry under a usual key or the one that column names',
    extensions: ['.json'],
    holds: 'either',
    filters: ['column', 'asn'],
  },
  {
    name: 'jsonl',
    title: 'the same objects or strings, one a line',
    extensions: [],
    holds: 'either',
    filters: ['column', 'asn'],
  },
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
