/**
 * Every published list of the fixtures: its format, its counts, and its content beside that of a slow obvious
 * twin.
 */

import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { entryCount, isCanonical, type List } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { LIST_FORMATS, type ListFormatName } from '../src/collect/format.ts';
import { acceptImport } from '../src/list/acceptance.ts';
import { detectFormat } from '../src/list/detect-file.ts';
import { detectListFormat } from '../src/list/detect-list.ts';
import { importList } from '../src/list/import.ts';

function fixture(path: string): Uint8Array {
  return readFileSync(new URL(`../../../test/fixtures/${path}`, import.meta.url));
}

function linesOf(bytes: Uint8Array): readonly string[] {
  return Buffer.from(bytes).toString('utf8').split(/\r?\n/);
}

/** Lines that are neither blank nor a comment, as the README of the fixtures counts them. */
function meaningful(bytes: Uint8Array): readonly string[] {
  return linesOf(bytes).filter((line) => !/^\s*(?:[#!;]|$)/.test(line));
}

type Twin = (bytes: Uint8Array) => readonly string[];

const words =
  (index: number, separator: RegExp): Twin =>
  (bytes) =>
    meaningful(bytes).map((line) => line.trim().split(separator)[index] ?? '');

const matches =
  (pattern: RegExp): Twin =>
  (bytes) =>
    Array.from(Buffer.from(bytes).toString('utf8').matchAll(pattern), (match) => match.slice(1).join('-'));

const startEnd: Twin = (bytes) => meaningful(bytes).map((line) => line.split(',').slice(0, 2).join('-'));

/** Names that stand for all below them as well. */
const below =
  (pattern: RegExp): Twin =>
  (bytes) =>
    matches(pattern)(bytes).map((name) => `.${name}`);

/**
 * The entries of a file of each format, one line each, in the simplest way that is right for the fixtures.
 */
const TWINS: { readonly [format in ListFormatName]?: Twin } = {
  plain: words(0, /\s/),
  netset: words(0, /\s/),
  scored: words(0, /\t/),
  ranges: startEnd,
  csv: (bytes) => words(0, /,/)(bytes).slice(1),
  geofeed: words(0, /,/),
  rir: (bytes) =>
    meaningful(bytes)
      .map((line) => line.split('|'))
      .filter(([, country, type]) => country !== '*' && (type === 'ipv4' || type === 'ipv6'))
      .map(([, , type, start = '', value]) => {
        if (type === 'ipv6') return `${start}/${value}`;
        const first = start.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
        const last = first + Number(value) - 1;
        return `${start}-${[24, 16, 8, 0].map((shift) => (last >>> shift) & 255).join('.')}`;
      }),
  p2p: matches(/^[^#\n]*:([\d.]+)-([\d.]+)$/gm),
  hosts: matches(/^(?:0\.0\.0\.0|127\.0\.0\.1)\s+(?!localhost)(\S+)/gm),
  adblock: below(/^\|\|([^*^/\s]+)\^$/gm),
  dnsmasq: below(/^server=\/(.+)\/$/gm),
  unbound: below(/^local-zone: "(.+)" always_\w+$/gm),
  clash: below(/^ {2}- (?:DOMAIN-SUFFIX,|'\+\.)([\w.-]+)'?$/gm),
  rpz: matches(/^([^@\s]\S*) CNAME \.$/gm),
  ipset: matches(/^add vpn (\S+)$/gm),
  nft: matches(/([\d.]{7,}|[\da-f]*:[\da-f:]+)/g),
  'nft-json': (bytes) => [
    ...matches(/"addr": "([^"]+)", "len": (\d+)/g)(bytes).map((text) => text.replace('-', '/')),
    ...matches(/"range": \["([^"]+)", "([^"]+)"\]/g)(bytes),
    ...matches(/[,[] "(\d[\d.]+)"(?=[,\]])(?!\]\}, )/g)(bytes),
  ],
  aws: matches(/"ip(?:v6)?_prefix": "([^"]+)"/g),
  google: matches(/"ipv[46]Prefix": "([^"]+)"/g),
  oracle: matches(/"cidr": "([^"]+)"/g),
  github: matches(/"([\d.]+\/\d+|[\da-f:]+\/\d+)"/g),
  ipverse: matches(/"([\d.]+\/\d+|[\da-f:]+\/\d+)"/g),
  spamhaus: matches(/"cidr":"([^"]+)"/g),
  misp: (bytes) => {
    const { list } = JSON.parse(Buffer.from(bytes).toString('utf8')) as { readonly list: readonly string[] };
    return list;
  },
};

/** File, format, lines as the README states them, entries, members of the list. */
const FEEDS: readonly (readonly [string, ListFormatName, number, number, number])[] = [
  ['lists/cloudflare-v4.txt', 'plain', 15, 15, 15],
  ['lists/country-nl-ipv4.netset', 'netset', 5627, 5627, 5627],
  ['lists/country-nl-ipv6.netset', 'netset', 1905, 1905, 1905],
  ['lists/country-ru-ipv4.netset', 'netset', 8538, 8538, 8538],
  ['lists/datacenter-ipv6.txt', 'plain', 8752, 8752, 8752],
  ['lists/ipsum-level3.txt', 'plain', 14217, 14217, 14217],
  ['lists/scam-plain.txt', 'plain', 8527, 8527, 8527],
  ['lists/spamhaus-dropv6.txt', 'plain', 51, 51, 51],
  ['lists/tor-exit-nodes.lst', 'plain', 1746, 1746, 1746],
  ['lists/vpn-ipv4.txt', 'plain', 10862, 10862, 10862],
  ['feeds/country-is-ipv4.netset', 'netset', 148, 148, 148],
  ['feeds/country-kp-ipv4.netset', 'netset', 1, 1, 1],
  ['feeds/firehol-header.netset', 'netset', 3, 3, 3],
  ['feeds/malware.ip', 'netset', 20907, 20907, 20894],
  ['feeds/ipsum-scored.tsv', 'scored', 120430, 120430, 120430],
  ['feeds/asn-country-ipv4.csv', 'ranges', 30000, 30000, 36374],
  ['feeds/asn-country-ipv6.csv', 'ranges', 12000, 12000, 12118],
  ['feeds/blackbook.csv', 'csv', 6000, 5999, 5999],
  ['feeds/digitalocean-geofeed.csv', 'geofeed', 1182, 1182, 1174],
  ['feeds/delegated-afrinic-20140630.txt', 'rir', 4028, 2929, 3081],
  ['feeds/vpn.p2p', 'p2p', 3000, 3000, 3000],
  ['feeds/adaway.hosts', 'hosts', 6542, 6540, 6540],
  ['feeds/anudeep-adservers.hosts', 'hosts', 42531, 42531, 42358],
  ['feeds/scam.hosts', 'hosts', 2214, 2214, 2214],
  ['feeds/drugs-adblock.txt', 'adblock', 26029, 26029, 26029],
  ['feeds/scam-adblock.txt', 'adblock', 959, 949, 949],
  ['feeds/ransomware.dnsmasq.conf', 'dnsmasq', 1904, 1904, 1904],
  ['feeds/scam.rpz', 'rpz', 6003, 6000, 3000],
  ['feeds/scam-wildcard.txt', 'plain', 300, 300, 300],
  ['feeds/scam.unbound.conf', 'unbound', 301, 300, 300],
  ['feeds/scam-clash.yaml', 'clash', 301, 300, 300],
  ['feeds/vpn.ipset-save', 'ipset', 6001, 6000, 6000],
  ['feeds/tor.nft', 'nft', 571, 1127, 1127],
  ['feeds/tor.nft.json', 'nft-json', 1, 502, 366],
  ['feeds/aws-ip-ranges-2018.json', 'aws', 7893, 1577, 909],
  ['feeds/google-cloud.json', 'google', 3133, 782, 782],
  ['feeds/oracle.json', 'oracle', 5654, 896, 896],
  ['feeds/github-meta.json', 'github', 1, 5959, 5468],
  ['feeds/country-is-aggregated.json', 'ipverse', 234, 219, 219],
  ['feeds/spamhaus-drop_v4.ndjson', 'spamhaus', 1407, 1406, 1381],
  ['feeds/warninglists/captive-portals.json', 'misp', 35, 21, 21],
  ['feeds/warninglists/cloudflare.json', 'misp', 37, 22, 22],
  ['feeds/warninglists/ipv6-linklocal.json', 'misp', 16, 1, 1],
  ['feeds/warninglists/multicast.json', 'misp', 31, 16, 16],
  ['feeds/warninglists/rfc1918.json', 'misp', 18, 3, 3],
  ['feeds/warninglists/rfc5735.json', 'misp', 30, 15, 14],
  ['feeds/warninglists/rfc6761.json', 'misp', 34, 21, 21],
];

/** Formats with one entry a line, where every line is an entry, a reject, or skipped for a reason. */
const BY_LINE: ReadonlySet<ListFormatName> = new Set<ListFormatName>([
  ...(['plain', 'netset', 'scored', 'ranges', 'csv', 'geofeed', 'rir', 'p2p'] as const),
  ...(['hosts', 'adblock', 'dnsmasq', 'unbound', 'clash', 'rpz', 'ipset', 'spamhaus'] as const),
]);

/**
 * Looks at each entry of two lists where they differ: the comparison of the test framework takes seconds for
 * a hundred thousand.
 */
function expectSameList(actual: List, expected: List): void {
  if (!isDeepStrictEqual(actual, expected)) expect(actual).toEqual(expected);
}

describe.each(FEEDS)('%s', (file, format, lineCount, entries, members) => {
  const bytes = fixture(file);

  it('is recognised by its content alone, and is no document', () => {
    expect(detectListFormat('', bytes)).toBe(format);
    expect(detectListFormat(file, bytes)).toBe(format);
    expect(detectFormat(file, bytes)).toBe('list');
  });

  it('gives as many entries as it has, and no reject', () => {
    expect(meaningful(bytes)).toHaveLength(lineCount);
    const imported = importList(file, bytes);
    expect(imported).toMatchObject({
      format,
      entries,
      rejectCount: 0,
      fault: undefined,
      truncated: undefined,
    });
    expect(entryCount(imported.list)).toBe(members);
    expect(acceptImport(imported, { tolerance: 0 })).toEqual({ kind: 'accepted' });
    if (imported.list.kind === 'prefixes') {
      expect(isCanonical(imported.list.v4) && isCanonical(imported.list.v6)).toBe(true);
    }
    if (!BY_LINE.has(format)) return;
    const skipped = imported.skipped.filter(({ code }) => code !== 'comment');
    expect(skipped.reduce((sum, { count }) => sum + count, entries)).toBe(lineCount);
  });

  it('holds what a slow reading of it finds', () => {
    const texts = TWINS[format]?.(bytes) ?? [];
    expect(texts).toHaveLength(entries);
    const twin = importList('', Buffer.from(texts.join('\n')), { format: 'plain' });
    expect(twin.rejectCount).toBe(0);
    expectSameList(importList(file, bytes).list, twin.list);
  });

  it('gives the same entries one by one', () => {
    const canonical: string[] = [];
    let misplaced = 0;
    const imported = importList(file, bytes, {
      onEntry: (line, column, text) => {
        if (!(line >= 1 && line <= imported0.lineCount && column >= 1)) misplaced++;
        canonical.push(...text().split(' '));
      },
    });
    expect(misplaced).toBe(0);
    expectSameList(imported.list, imported0.list);
    expectSameList(
      importList('', Buffer.from(canonical.join('\n')), { format: 'plain' }).list,
      imported0.list,
    );
  });
  const imported0 = importList(file, bytes);
});

describe('feeds', () => {
  it('the list of AS numbers is recognised and refused', () => {
    const imported = importList('', fixture('feeds/spamhaus-asn_drop.ndjson'));
    expect(imported).toMatchObject({ format: 'spamhaus-asn', entries: 0, lineCount: 202 });
    expect(imported.fault?.code).toBe('no-addresses');
    expect(imported.fault?.reason).toMatch(/^201 AS numbers and no addresses/);
    expect(acceptImport(imported)).toMatchObject({ kind: 'refused', code: 'unusable' });
  });

  it('every format but those of providers without a file here is among them', () => {
    const seen = new Set<string>(FEEDS.map(([, format]) => format));
    const missing = LIST_FORMATS.map(({ name }) => name).filter((name) => !seen.has(name));
    expect(missing).toEqual(
      ['pfx2as', 'tor', 'suricata', 'urls', 'ip-port', 'azure', 'cloudflare', 'o365'].concat([
        'spamhaus-asn',
        'vrp',
        'json',
        'jsonl',
      ]),
    );
  });
});
