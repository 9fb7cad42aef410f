/**
 * The formats of lists in JSON, a row for each: the signs by which it is detected, and its reader, mostly a
 * tree of keys. A new one is a row here and one in collect/format.ts.
 */

import type { Collector } from '../collect/collector.ts';
import type { ListFormatName } from '../collect/format.ts';
import { type KeyTree, keyed } from './keyed.ts';
import { readAnyJson, readGithub, readJsonLines, readMisp, readSpamhaus, readSpamhausAsn } from './lists.ts';
import { readNftJson } from './nft.ts';
import { importJson, type JsonReader, type JsonRoot } from './values.ts';

interface JsonFormat {
  /**
   * Paths of keys, with dots and [] between them, to the depth of two: it is told by all of any row. Those
   * that stand at the head of a file are there where its entries are not in the sample.
   */
  readonly signs: readonly (readonly string[])[];
  readonly read: JsonReader;
  /** Default: one object. */
  readonly root?: JsonRoot;
}

/** In place of a path: another object follows, as in a file of one a line. */
export const SEQUENCE = '…';

const AWS_RECORD = {
  ip_prefix: 'entry',
  ipv6_prefix: 'entry',
  region: 'region',
  network_border_group: 'region',
  service: 'service',
} as const satisfies KeyTree;
const FAMILIES = { ipv4: ['entry'], ipv6: ['entry'] } as const satisfies KeyTree;

/** The first format whose signs are present is that of the file. */
export const JSON_FORMATS = {
  'nft-json': { signs: [['nftables']], read: readNftJson },
  aws: {
    signs: [['prefixes[].ip_prefix'], ['ipv6_prefixes[].ipv6_prefix'], ['createDate', 'prefixes']],
    read: keyed({ prefixes: [AWS_RECORD], ipv6_prefixes: [AWS_RECORD] }),
  },
  google: {
    signs: [['prefixes[].ipv4Prefix'], ['prefixes[].ipv6Prefix'], ['creationTime', 'prefixes']],
    read: keyed({
      prefixes: [{ ipv4Prefix: 'entry', ipv6Prefix: 'entry', scope: 'region', service: 'service' }],
    }),
  },
  azure: {
    signs: [['values[].properties'], ['changeNumber', 'values']],
    read: keyed({
      values: [
        {
          name: 'tag',
          properties: { region: 'region', systemService: 'service', addressPrefixes: ['entry'] },
        },
      ],
    }),
  },
  oracle: {
    signs: [['regions[].cidrs']],
    read: keyed({ regions: [{ region: 'region', cidrs: [{ cidr: 'entry', tags: ['tag'] }] }] }),
  },
  cloudflare: {
    signs: [['result.ipv4_cidrs'], ['result.ipv6_cidrs']],
    read: keyed({ result: { ipv4_cidrs: ['entry'], ipv6_cidrs: ['entry'] } }),
  },
  o365: {
    signs: [
      ['[].serviceArea', '[].ips'],
      ['[].serviceArea', '[].urls'],
    ],
    read: keyed([{ serviceArea: 'service', ips: ['entry'], urls: ['name'] }]),
    root: 'any',
  },
  vrp: {
    signs: [['roas[].prefix'], ['metadata', 'roas']],
    read: keyed({ roas: [{ prefix: 'entry', asn: 'asn' }] }),
  },
  // Its lists by AS number use the key `subnets`.
  ipverse: {
    signs: [['prefixes.ipv4'], ['prefixes.ipv6'], ['subnets.ipv4'], ['subnets.ipv6']],
    read: keyed({ prefixes: FAMILIES, subnets: FAMILIES }),
  },
  github: {
    signs: [['verifiable_password_authentication'], ['hooks', 'web'], ['hooks', 'git'], ['hooks', 'actions']],
    read: readGithub,
  },
  misp: {
    signs: [
      ['list', 'matching_attributes'],
      ['list', 'type'],
    ],
    read: readMisp,
  },
  spamhaus: {
    signs: [
      ['cidr', 'sblid'],
      ['cidr', 'rir'],
    ],
    read: readSpamhaus,
    root: 'sequence',
  },
  'spamhaus-asn': {
    signs: [['asn', 'asname']],
    read: readSpamhausAsn,
    root: 'sequence',
  },
  jsonl: { signs: [[SEQUENCE]], read: readJsonLines, root: 'sequence' },
  /** The format if no sign matches. */
  json: { signs: [], read: readAnyJson, root: 'any' },
} as const satisfies { readonly [format in ListFormatName]?: JsonFormat };

export type JsonFormatName = keyof typeof JSON_FORMATS;

/** Whether a format is JSON: such a text cannot be read in part. */
export function isJsonFormat(name: ListFormatName): name is JsonFormatName {
  return Object.hasOwn(JSON_FORMATS, name);
}

/** Reads a file of a format. */
export function importJsonFormat(format: JsonFormatName, collector: Collector, start: number): void {
  const { read, root = 'object' }: JsonFormat = JSON_FORMATS[format];
  importJson(collector, start, root, read);
}

/** The format that the paths in a file tell, if any. */
export function jsonFormatOf(paths: ReadonlySet<string>): ListFormatName | undefined {
  const formats: readonly (readonly [string, JsonFormat])[] = Object.entries(JSON_FORMATS);
  const found = formats.find(([, { signs }]) => signs.some((sign) => sign.every((path) => paths.has(path))));
  return found?.[0] as JsonFormatName | undefined;
}
