/**
 * Bytes a second of each importer, on real lists and on a million lines, beside ipaddr.js and cidr-tools,
 * which parse one address at a time: they get each entry as a string, cut out of the file in the simplest way
 * that is right for it (split, match, JSON.parse), and what they make is thrown away. Importing is more: it
 * detects the format, checks every line, sorts, and drops what is covered; of the peers, mergeCidr of
 * cidr-tools does as much, where the entries are no ranges, of which the peers only parse both ends. Lists of
 * names have no peer. Then a million mixed CIDRs, parsed, made canonical and aggregated.
 */

import { readFileSync } from 'node:fs';
import { exportList, importList } from '@rulecast/formats';
import { entryCount, nameListOf } from '@rulecast/rules';
import { mergeCidr, parseCidr } from 'cidr-tools';
import ipaddr from 'ipaddr.js';
import { dottedQuad } from '../inputs.mjs';
import { seededNumbers, seededWords } from '../kit/random.mjs';
import { grouped, machineLine, median, ms, runsOf, table } from './report.mjs';

const FIXTURES = new URL('../fixtures/', import.meta.url);
const DEFAULT_RUNS = 5;
const MILLION = 1_000_000;
/** The peers take seconds for each. */
const MILLION_RUNS = 3;
/** Small files are read again and again until so much time is over, so that the clock does not decide. */
const SAMPLE_MS = 40;
/** Columns of the table before those of the peers. */
const OWN_COLUMNS = 5;

/**
 * How the peers get the entries of a file of each format: strings that are an address, a CIDR, or the first
 * of a range.
 * @type {Readonly<Record<string, (text: string) => Iterable<string>>>}
 */
const EXTRACTORS = {
  plain: (text) => linesOf(text, '#'),
  netset: (text) => linesOf(text, '#'),
  scored: (text) => linesOf(text, '#').map((line) => line.slice(0, line.indexOf('\t'))),
  ranges: (text) => linesOf(text, '#').flatMap((line) => line.split(',', 2)),
  geofeed: (text) => linesOf(text, '#').map((line) => line.slice(0, line.indexOf(','))),
  rir: (text) =>
    linesOf(text, '#')
      .map((line) => line.split('|'))
      .filter(([, , type, start]) => (type === 'ipv4' || type === 'ipv6') && start !== '*')
      .map(([, , , start]) => start ?? ''),
  p2p: (text) => linesOf(text, '#').flatMap((line) => line.slice(line.lastIndexOf(':') + 1).split('-')),
  ipset: (text) =>
    linesOf(text, '#').flatMap((line) => (line.startsWith('add ') ? (line.split(' ')[2] ?? '') : [])),
  nft: (text) => text.match(/[\da-f.:]*[.:][\da-f.:/]+/g) ?? [],
  'nft-json': (text) => text.match(/\d+\.[\d.]+\d(?=")/g)?.slice(1) ?? [],
  aws: (text) => {
    const { prefixes, ipv6_prefixes } = JSON.parse(text);
    return [
      ...prefixes.map((/** @type {any} */ p) => p.ip_prefix),
      ...ipv6_prefixes.map((/** @type {any} */ p) => p.ipv6_prefix),
    ];
  },
  google: (text) => JSON.parse(text).prefixes.map((/** @type {any} */ p) => p.ipv4Prefix ?? p.ipv6Prefix),
  oracle: (text) =>
    JSON.parse(text).regions.flatMap((/** @type {any} */ r) => r.cidrs.map((/** @type {any} */ c) => c.cidr)),
  github: (text) =>
    Object.values(JSON.parse(text)).flatMap((value) =>
      Array.isArray(value)
        ? value.filter((/** @type {string} */ item) => /^[\da-f.:]+\/\d+$/.test(item))
        : [],
    ),
  ipverse: (text) => Object.values(JSON.parse(text).prefixes).flat(),
  spamhaus: (text) => linesOf(text, '#').flatMap((line) => JSON.parse(line).cidr ?? []),
  json: (text) => JSON.parse(text),
};

/** @param {string} text @param {string} comment */
function linesOf(text, comment) {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith(comment));
}

/** Formats whose entries are ranges, in some files or in all. */
const RANGES = new Set(['ranges', 'rir', 'p2p', 'nft', 'nft-json']);

/** @type {readonly string[]} */
const FILES = [
  'lists/country-ru-ipv4.netset',
  'lists/datacenter-ipv6.txt',
  'lists/ipsum-level3.txt',
  'lists/scam-plain.txt',
  'feeds/ipsum-scored.tsv',
  'feeds/asn-country-ipv4.csv',
  'feeds/asn-country-ipv6.csv',
  'feeds/blackbook.csv',
  'feeds/digitalocean-geofeed.csv',
  'feeds/delegated-afrinic-20140630.txt',
  'feeds/vpn.p2p',
  'feeds/anudeep-adservers.hosts',
  'feeds/drugs-adblock.txt',
  'feeds/ransomware.dnsmasq.conf',
  'feeds/scam.rpz',
  'feeds/vpn.ipset-save',
  'feeds/tor.nft',
  'feeds/tor.nft.json',
  'feeds/aws-ip-ranges-2018.json',
  'feeds/google-cloud.json',
  'feeds/oracle.json',
  'feeds/github-meta.json',
  'feeds/country-is-aggregated.json',
  'feeds/spamhaus-drop_v4.ndjson',
];

/** @param {readonly string[]} args */
export async function run(args) {
  const runs = runsOf(args, DEFAULT_RUNS);
  process.stdout.write(machineLine(runs));
  process.stdout.write('\nReal lists, MB a second of CPU time\n\n');
  const real = FILES.map((file) => ({ name: file.slice(6), bytes: readFileSync(new URL(file, FIXTURES)) }));
  process.stdout.write(rowsOf(real, runs, true));
  process.stdout.write('\nA million lines, MB a second of CPU time\n\n');
  process.stdout.write(rowsOf(millions(), Math.min(runs, MILLION_RUNS), false));
  process.stdout.write('\nA million mixed CIDRs, parsed, made canonical and aggregated, CPU time\n\n');
  process.stdout.write(aggregation(runs));
}

/**
 * @typedef {{ readonly name: string, readonly bytes: Uint8Array, readonly format?: import('@rulecast/formats').ListFormatName }} Input
 * `format`: for a list that does not prove its own.
 */

/**
 * @param {readonly Input[]} inputs
 * @param {number} runs
 * @param {boolean} isMerged Also beside mergeCidr, which takes seconds for a million.
 */
function rowsOf(inputs, runs, isMerged) {
  const peerNames = ['ipaddr.js', 'cidr-tools', ...(isMerged ? ['mergeCidr'] : [])];
  const head = [
    'list',
    'format',
    'kB',
    'entries',
    'ours',
    ...peerNames.flatMap((peer) => [peer, 'ours to it']),
  ];
  const rows = inputs.map(({ name, bytes, format }) => {
    const options = format === undefined ? {} : { format };
    const imported = importList('', bytes, options);
    if (imported.rejectCount > 0 || imported.fault !== undefined)
      throw new Error(`${name} is not read whole`);
    const extract = imported.kind === 'names' ? undefined : EXTRACTORS[imported.format];
    const peers = extract === undefined ? [] : [byIpaddr, byCidrTools];
    if (isMerged && extract !== undefined && !RANGES.has(imported.format)) peers.push(byMergeCidr);
    const works = peers.map((peer) => () => extract && peer(bytes, extract));
    const [own = 0, ...others] = mediansMs([() => importList('', bytes, options), ...works], runs);
    const speed = (/** @type {number} */ time) => {
      const rate = bytes.length / 1000 / time;
      return rate.toFixed(rate < 10 ? 1 : 0);
    };
    const cells = others.flatMap((time) => [speed(time), `${(time / own).toFixed(1)} ×`]);
    const blank = Array.from({ length: head.length - OWN_COLUMNS - cells.length }, () => '');
    const size = [grouped(bytes.length / 1000), grouped(imported.entries)];
    return [name, imported.format, ...size, speed(own), ...cells, ...blank];
  });
  return table(head, rows);
}

/** @param {Uint8Array} bytes @param {(text: string) => Iterable<string>} extract */
function byIpaddr(bytes, extract) {
  for (const entry of extract(Buffer.from(bytes).toString('latin1')))
    entry.includes('/') ? ipaddr.parseCIDR(entry) : ipaddr.parse(entry);
}

/** @param {Uint8Array} bytes @param {(text: string) => Iterable<string>} extract */
function byCidrTools(bytes, extract) {
  for (const entry of extract(Buffer.from(bytes).toString('latin1'))) parseCidr(entry);
}

/** @param {Uint8Array} bytes @param {(text: string) => Iterable<string>} extract */
function byMergeCidr(bytes, extract) {
  mergeCidr([...extract(Buffer.from(bytes).toString('latin1'))]);
}

/** CPU time of the process, which other work on the machine makes no longer. */
function cpuMs() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/**
 * CPU milliseconds of one call of each work: the median of samples, each of so many calls that it takes a
 * while. The works take turns, so that a machine that becomes slower is so for all of them.
 * @param {readonly (() => void)[]} works
 * @param {number} runs
 */
function mediansMs(works, runs) {
  /** @type {number[][]} */
  const samples = works.map(() => []);
  for (let run = 0; run <= runs; run++) {
    for (const [i, work] of works.entries()) {
      let calls = 0;
      let elapsed = 0;
      const start = cpuMs();
      do {
        work();
        calls++;
        elapsed = cpuMs() - start;
      } while (elapsed < SAMPLE_MS);
      // The first round warms the compiler up.
      if (run > 0) samples[i]?.push(elapsed / calls);
    }
  }
  return samples.map(median);
}

/** A million lines of each of some formats, seeded. @returns {readonly Input[]} */
function millions() {
  const hosts = mixedCidrs(MILLION, 0x9e3779b9, 0);
  const mixed = mixedCidrs(MILLION, 0x9e3779b9, 5);
  const list = importList('', Buffer.from(hosts.join('\n'))).list;
  const names = nameListOf(namesOf(MILLION, 0x2545f491), false);
  /**
   * @param {import('@rulecast/rules').List} of @param {import('@rulecast/formats').ExportFormatName} format
   */
  const exported = (of, format) => {
    const result = exportList(of, format, { name: 'bench' });
    if (result.kind === 'refused') throw new Error(result.reason);
    return Buffer.from([...result.chunks].join(''));
  };
  const next = seededWords(0x1234567);
  const first = Array.from({ length: MILLION }, (_, i) => i * 4096);
  return [
    { name: 'IPv4 CIDRs', bytes: Buffer.from(`${hosts.join('\n')}\n`) },
    { name: 'CIDRs, a fifth IPv6', bytes: Buffer.from(`${mixed.join('\n')}\n`) },
    {
      name: 'scores',
      bytes: Buffer.from(`${first.map((word) => `${dottedQuad(word)}\t${next() % 10}`).join('\n')}\n`),
    },
    {
      name: 'ranges with country',
      format: 'ranges',
      bytes: Buffer.from(
        `${first.map((word) => `${dottedQuad(word)},${dottedQuad(word + (next() % 4096))},NL`).join('\n')}\n`,
      ),
    },
    { name: 'ipset', bytes: exported(list, 'ipset') },
    { name: 'nftables', bytes: exported(list, 'nft') },
    { name: 'JSON array', bytes: exported(list, 'json') },
    { name: 'names', bytes: exported(names, 'plain') },
    { name: 'hosts file', bytes: exported(names, 'hosts') },
    { name: 'ad blocker', bytes: exported(names, 'adblock') },
  ];
}

/**
 * Random CIDRs of /8 to /32, most of them long, in no order; each `ip6Every`th is IPv6.
 * @param {number} count
 * @param {number} seed
 * @param {number} ip6Every 0: none.
 */
function mixedCidrs(count, seed, ip6Every) {
  const next = seededWords(seed);
  return Array.from({ length: count }, (_, i) => {
    if (ip6Every > 0 && i % ip6Every === 0) {
      const groups = [0x2000 + (next() % 0x1000), next() & 0xffff, next() & 0xffff];
      return `${groups.map((group) => group.toString(16)).join(':')}::/48`;
    }
    const length = 32 - Math.clz32(next() | 1) > 24 ? 32 : 16 + (next() % 17);
    const word = (next() & (-1 << (32 - length))) >>> 0;
    return `${dottedQuad(word)}/${length}`;
  });
}

/** @param {number} count @param {number} seed */
function namesOf(count, seed) {
  const below = seededNumbers(seed);
  return Array.from(
    { length: count },
    (_, i) => `${below(2 ** 31).toString(36)}-${i.toString(36)}.example.com`,
  );
}

/** @param {number} runs */
function aggregation(runs) {
  const rows = [0, 5].map((ip6Every) => {
    const lines = mixedCidrs(MILLION, 0x51ed270b, ip6Every);
    const bytes = Buffer.from(`${lines.join('\n')}\n`);
    /** @type {number[]} */
    const own = [];
    let left = 0;
    for (let run = 0; run <= runs; run++) {
      const start = cpuMs();
      left = entryCount(importList('', bytes, { aggregate: true }).list);
      if (run > 0) own.push(cpuMs() - start);
    }
    const start = cpuMs();
    const merged = mergeCidr(bytes.toString('latin1').trimEnd().split('\n'));
    const peer = cpuMs() - start;
    if (merged.length !== left) throw new Error(`cidr-tools leaves ${merged.length} prefixes and we ${left}`);
    return [
      ip6Every === 0 ? 'IPv4' : 'a fifth IPv6',
      grouped(left),
      ms(median(own)),
      ms(peer),
      `${(peer / median(own)).toFixed(1)} ×`,
    ];
  });
  return table(['a million CIDRs', 'left', 'ours, ms', 'cidr-tools mergeCidr, ms', 'ours to it'], rows);
}
