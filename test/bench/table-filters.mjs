/**
 * Filters as ClassBench's generator prints them, as rule sets of ours, beside DPDK's rte_acl: flat, as one
 * policy of their destinations, protocols and ports; and as policies, one for each of up to a thousand
 * sources, with the filters that hold for it. The generator and its seeds are not ours to hand on, so files
 * are named by who runs this.
 */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { emptyPolicy, plainRule, prefixOf, prefixSetOf, RunBuilder } from '@rulecast/rules';
import { seededNumbers } from '../kit/random.mjs';

const LINE = /^@([\d.]+)\/(\d+)\s+([\d.]+)\/(\d+)\s+\d+ : \d+\s+(\d+) : (\d+)\s+0x(\w\w)\/0x(\w\w)/;
const PROTOS = /** @type {const} */ ({ 6: 'tcp', 17: 'udp', 1: 'icmp' });
const PACKETS = 2 ** 18;
const SOURCES_MAX = 1000;
/** Rules of all policies; some sources have thousands. */
const POLICY_RULES_MAX = 500_000;
/** Prefixes whose first address may be a source. */
const SOURCE_LENGTH_MIN = 16;
const PORTS_ALL = 65_535;
const RULE_BYTES = 20;
const PACKET_BYTES = 16;
const ACTIONS = /** @type {const} */ (['drop', 'accept']);

/**
 * @typedef {import('@rulecast/rules').RuleSet} RuleSet
 *
 * @typedef {object} Filter Ports with tcp and udp only; `proto` undefined: any.
 * @property {number} src
 * @property {number} srcLength
 * @property {number} dst
 * @property {number} dstLength
 * @property {number | undefined} proto
 * @property {number} first
 * @property {number} last
 * @property {'drop' | 'accept'} action
 *
 * @typedef {object} FilterSet
 * @property {string} name
 * @property {readonly Filter[]} filters In order, as the peer takes them.
 * @property {number} rules How many ours has.
 * @property {RuleSet} ruleSet
 * @property {{ src: Uint32Array | undefined, dst: Uint32Array, protos: Uint8Array, details: Int32Array }} packets
 */

/** Filters that our grammar can say, in order. @param {string} file @returns {Filter[]} */
function readFilters(file) {
  const filters = /** @type {Filter[]} */ ([]);
  for (const line of readFileSync(file, 'latin1').split('\n')) {
    const found = LINE.exec(line);
    if (found === null) continue;
    const [, src = '', srcLength, dst = '', dstLength, first, last, proto = '', mask] = found;
    const number = mask === '00' ? undefined : Number.parseInt(proto, 16);
    const at = {
      src: wordOf(src),
      srcLength: Number(srcLength),
      dst: wordOf(dst),
      dstLength: Number(dstLength),
    };
    const ports = { first: Number(first), last: Number(last) };
    const hasPorts = ports.first > 0 || ports.last < PORTS_ALL;
    const action = ACTIONS[(Math.imul(filters.length + 1, 0x9e3779b1) >>> 31) & 1] ?? 'drop';
    if (number === undefined && hasPorts) {
      for (const each of [6, 17]) filters.push({ ...at, ...ports, proto: each, action });
    } else if (number === undefined || number === 6 || number === 17 || (number === 1 && !hasPorts)) {
      filters.push({ ...at, ...ports, proto: number, action });
    }
  }
  return filters;
}

/** @param {string} text */
function wordOf(text) {
  return text.split('.').reduce((word, byte) => word * 256 + Number(byte), 0);
}

/** @param {number} word @param {number} length */
function masked(word, length) {
  return length === 0 ? 0 : (word & (-1 << (32 - length))) >>> 0;
}

/** @param {Filter} filter @returns {import('@rulecast/rules').Rule} */
function ruleOf({ dst, dstLength, proto, first, last, action }) {
  const hasPorts = first > 0 || last < PORTS_ALL;
  return {
    ...plainRule(action),
    remote:
      dstLength === 0
        ? { kind: 'any' }
        : { kind: 'prefix', prefix: prefixOf(4, [masked(dst, dstLength)], dstLength) },
    proto: proto === undefined ? undefined : PROTOS[/** @type {6 | 17 | 1} */ (proto)],
    ports: hasPorts ? { first, last } : undefined,
  };
}

/** @param {readonly Filter[]} filters */
function policyRuns(filters) {
  const runs = new RunBuilder();
  const seen = new Set();
  let count = 0;
  for (const filter of filters) {
    const key = `${masked(filter.dst, filter.dstLength)}/${filter.dstLength} ${filter.proto} ${filter.first}-${filter.last}`;
    if (seen.has(key)) continue; // one that an earlier one hides
    seen.add(key);
    runs.push(ruleOf(filter));
    count++;
  }
  return { runs: runs.build(), count };
}

/** @param {string} file @returns {Iterable<FilterSet>} */
export function* filterSets(file) {
  const filters = readFilters(file);
  const name = basename(file).replace(/\.[a-z]*$/, '');
  const flat = filters.map((filter) => ({ ...filter, src: 0, srcLength: 0 }));
  const { runs, count } = policyRuns(flat);
  const policy = { ...emptyPolicy('default'), egress: runs };
  yield {
    name: `${name}, flat`,
    filters: flat,
    rules: count,
    ruleSet: ruleSetOf([policy]),
    packets: { ...packetsFor(flat, undefined), src: undefined },
  };
  if (filters.length > 20_000) return;
  const below = seededNumbers(5);
  const sources = new Set();
  for (let draw = 0; sources.size < SOURCES_MAX && draw < SOURCES_MAX * 100; draw++) {
    const filter = filters[below(filters.length)];
    if (filter !== undefined && filter.srcLength >= SOURCE_LENGTH_MIN) sources.add(filter.src);
  }
  const hosts = /** @type {number[]} */ ([]);
  const policies = [];
  let rules = 0;
  for (const host of sources) {
    if (rules > POLICY_RULES_MAX) break;
    const mine = policyRuns(
      filters.filter(({ src, srcLength }) => masked(src, srcLength) === masked(host, srcLength)),
    );
    rules += mine.count;
    const prefixes = prefixSetOf([prefixOf(4, [host], 32)]);
    policies.push({ ...emptyPolicy(`q${hosts.length}`), prefixes, egress: mine.runs });
    hosts.push(host);
  }
  yield {
    name: `${name}, ${hosts.length} sources as policies`,
    filters,
    rules,
    ruleSet: ruleSetOf(policies),
    packets: packetsFor(filters, hosts),
  };
}

/** @param {readonly import('@rulecast/rules').Policy[]} policies @returns {RuleSet} */
function ruleSetOf(policies) {
  const named = new Map(policies.map((policy) => [policy.name, policy]));
  return { lists: new Map(), policies: named, resolutions: new Map(), unmatched: undefined };
}

/**
 * Packets to addresses, protocols and ports of filters drawn at random, from sources drawn at random.
 * @param {readonly Filter[]} filters @param {readonly number[] | undefined} hosts
 */
function packetsFor(filters, hosts) {
  const below = seededNumbers(9);
  const src = new Uint32Array(PACKETS);
  const dst = new Uint32Array(PACKETS);
  const protos = new Uint8Array(PACKETS);
  const details = new Int32Array(PACKETS);
  for (let i = 0; i < PACKETS; i++) {
    const filter = filters[below(filters.length)];
    if (filter === undefined) break;
    const { dstLength, first, last, proto } = filter;
    src[i] = hosts?.[below(hosts.length)] ?? 0;
    dst[i] = masked(filter.dst, dstLength) + (dstLength < 32 ? below(2 ** (32 - dstLength)) : 0);
    protos[i] = proto ?? [6, 17, 1, 50][below(4)] ?? 6;
    details[i] = protos[i] === 1 ? 8 : first + below(last - first + 1);
  }
  return { src, dst, protos, details };
}

export class RteAcl {
  /** Why it cannot be measured. @type {string | undefined} */
  missing;
  #directory = mkdtempSync(join(tmpdir(), 'rulecast-acl-'));

  constructor() {
    const source = fileURLToPath(new URL('native/acl.c', import.meta.url));
    try {
      const flags = execFileSync('pkg-config', ['--cflags', 'libdpdk'], { encoding: 'utf8', stdio: 'pipe' });
      const compiler = [
        '-O3',
        '-march=native',
        ...flags.trim().split(/\s+/),
        source,
        '-o',
        this.#file('acl'),
      ];
      execFileSync('cc', [...compiler, '-lrte_acl', '-lrte_eal'], { stdio: 'pipe' });
    } catch (error) {
      const text = error instanceof Error ? error.message.split('\n')[0] : String(error);
      this.missing = `needs a C compiler, pkg-config and libdpdk-dev (${text})`;
    }
  }

  /**
   * Rates by algorithm, and by packet the action: 1 accept, 2 drop, 0 none.
   * @param {FilterSet} set @param {number} runs @param {readonly string[]} ealOptions
   * @returns {{ buildMs: number, bytes: number, rates: Readonly<Record<string, number>>, actions: Uint32Array }}
   */
  measure(set, runs, ealOptions) {
    const [rules, packets, actions] = [this.#file('rules'), this.#file('packets'), this.#file('actions')];
    writeFileSync(rules, ruleRecords(set.filters));
    writeFileSync(packets, packetRecords(set.packets));
    const args = [rules, packets, actions, String(runs), ...ealOptions];
    const result = JSON.parse(
      execFileSync(this.#file('acl'), args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }),
    );
    const bytes = readFileSync(actions);
    return { ...result, actions: new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4) };
  }

  close() {
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** @param {string} name */
  #file(name) {
    return join(this.#directory, name);
  }
}

/** As native/acl.c reads them. @param {readonly Filter[]} filters */
function ruleRecords(filters) {
  const bytes = Buffer.alloc(filters.length * RULE_BYTES);
  for (const [i, filter] of filters.entries()) {
    const at = i * RULE_BYTES;
    bytes.writeUInt32LE(masked(filter.src, filter.srcLength), at);
    bytes.writeUInt32LE(masked(filter.dst, filter.dstLength), at + 4);
    bytes.set(
      [filter.srcLength, filter.dstLength, filter.proto ?? 0, filter.proto === undefined ? 0 : 255],
      at + 8,
    );
    bytes.writeUInt16LE(filter.first, at + 12);
    bytes.writeUInt16LE(filter.last, at + 14);
    bytes.writeUInt32LE(filter.action === 'accept' ? 1 : 2, at + 16);
  }
  return bytes;
}

/** @param {FilterSet['packets']} packets */
function packetRecords({ src, dst, protos, details }) {
  const bytes = Buffer.alloc(dst.length * PACKET_BYTES);
  for (let i = 0; i < dst.length; i++) {
    const at = i * PACKET_BYTES;
    bytes.writeUInt8(protos[i] ?? 0, at);
    bytes.writeUInt32BE(dst[i] ?? 0, at + 4);
    bytes.writeUInt32BE(src?.[i] ?? 0, at + 8);
    bytes.writeUInt16BE(details[i] ?? 0, at + 14);
  }
  return bytes;
}
