/**
 * What else answers "in which set is this address", given the same sets and traces as the table: in
 * JavaScript `node:net` BlockList, `maxmind` and `cidr-matcher`; in C DPDK's rte_fib, where a compiler and
 * Debian's dpdk are.
 */

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { BlockList } from 'node:net';
import { endianness, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { formatPrefixAt } from '@rulecast/rules';
import CidrMatcher from 'cidr-matcher';
import { Reader } from 'maxmind';
import { dottedQuad } from '../inputs.mjs';
import { mmdbOf } from './mmdb.mjs';

/** Linear scans get so many prefixes at most, and all scans so much time, in milliseconds. */
const LINEAR_MAX_ENTRIES = 1_000_000;
const SCAN_MS = 1500;
/** Address space for DPDK's tables, in MiB; without huge pages it is taken page by page. */
const DPDK_MIB = 6000;
export const EAL_OPTIONS = [
  '--no-huge',
  '--no-pci',
  '--no-telemetry',
  '--log-level=1',
  '--force-max-simd-bitwidth=512', // else its AVX-512 form is refused, and the scalar one measured unsaid
  '-l',
  '0',
  '-m',
  String(DPDK_MIB),
];

/**
 * @typedef {import('./table-sets.mjs').TableSet} TableSet
 * @typedef {import('./table-sets.mjs').Trace} Trace
 *
 * @typedef {object} PeerResult
 * @property {string} engine
 * @property {number} buildMs
 * @property {number | undefined} bytes
 * @property {ReadonlyMap<string, number>} rates Lookups a second by trace.
 */

/**
 * All JavaScript peers on one set. They look texts up, so texts are made beforehand, and not counted.
 * @param {TableSet} set @param {readonly Trace[]} traces @returns {PeerResult[]}
 */
export function javaScriptPeers(set, traces) {
  const texts = new Map(traces.map((trace) => [trace.name, textsOf(set.family, trace.words)]));
  const family = set.family === 4 ? 'ipv4' : 'ipv6';
  const results = [
    measured('maxmind', texts, () => {
      const bytes = mmdbOf(set);
      const reader = new Reader(bytes);
      return { bytes: bytes.length, find: (text) => (reader.get(text) === null ? 0 : 1) };
    }),
  ];
  if (set.entries > LINEAR_MAX_ENTRIES) return results;
  results.push(
    measured('BlockList', texts, () => {
      const list = new BlockList();
      for (const [text, length] of subnets(set)) list.addSubnet(text, length, family);
      return { bytes: undefined, find: (text) => (list.check(text, family) ? 1 : 0) };
    }),
    measured('cidr-matcher', texts, () => {
      const matcher = new CidrMatcher([...subnets(set)].map(([text, length]) => `${text}/${length}`));
      return { bytes: undefined, find: (text) => (matcher.contains(text) ? 1 : 0) };
    }),
  );
  return results;
}

/** @param {TableSet} set @returns {Iterable<[string, number]>} */
function* subnets(set) {
  for (const members of set.classes) {
    for (let i = 0; i < members.lengths.length; i++) {
      const [text = '', length] = formatPrefixAt(members, i).split('/');
      yield [text, length === undefined ? (set.family === 4 ? 32 : 128) : Number(length)];
    }
  }
}

/**
 * @param {string} engine @param {ReadonlyMap<string, readonly string[]>} texts
 * @param {() => { bytes: number | undefined, find: (text: string) => number }} build
 * @returns {PeerResult}
 */
function measured(engine, texts, build) {
  const start = performance.now();
  const { bytes, find } = build();
  const buildMs = performance.now() - start;
  const rates = new Map();
  for (const [trace, addresses] of texts) rates.set(trace, rateOf(addresses, find));
  return { engine, buildMs, bytes, rates };
}

/**
 * Lookups a second, over at most SCAN_MS.
 * @param {readonly string[]} addresses
 * @param {(text: string) => number} find
 */
function rateOf(addresses, find) {
  const start = performance.now();
  let done = 0;
  let hits = 0;
  let elapsedMs = 0;
  for (const text of addresses) {
    hits += find(text);
    done++;
    if ((done & (done - 1)) === 0 || (done & 1023) === 0) {
      elapsedMs = performance.now() - start;
      if (elapsedMs > SCAN_MS) break;
    }
  }
  elapsedMs = performance.now() - start;
  return hits < 0 ? 0 : (done / elapsedMs) * 1000; // uses `hits`, so that lookups are not dropped
}

/** @param {4 | 6} family @param {Uint32Array} words */
function textsOf(family, words) {
  const count = Math.min(2 ** 17, family === 4 ? words.length : words.length / 4);
  return Array.from({ length: count }, (_, i) => {
    if (family === 4) return dottedQuad(words[i] ?? 0);
    const groups = [];
    for (let w = 0; w < 4; w++) {
      const word = words[i * 4 + w] ?? 0;
      groups.push((word >>> 16).toString(16), (word & 0xffff).toString(16));
    }
    return groups.join(':');
  });
}

/** DPDK's FIB, compiled once for all sets of a run. */
export class Dpdk {
  /** Why there is none; undefined if there is. @type {string | undefined} */
  missing;
  directory = mkdtempSync(join(tmpdir(), 'rulecast-fib-'));

  constructor() {
    const source = fileURLToPath(new URL('native/fib.c', import.meta.url));
    try {
      const flags = execFileSync('pkg-config', ['--cflags', 'libdpdk'], { encoding: 'utf8', stdio: 'pipe' });
      const compiler = ['-O3', '-march=native', ...flags.trim().split(/\s+/), source, '-o', this.program];
      execFileSync('cc', [...compiler, '-lrte_fib', '-lrte_eal'], { stdio: 'pipe' });
      if (endianness() !== 'LE') this.missing = 'the trace files are little-endian';
    } catch (error) {
      const text = error instanceof Error ? error.message.split('\n')[0] : String(error);
      this.missing = `needs a C compiler, pkg-config and libdpdk-dev (${text})`;
    }
  }

  get program() {
    return join(this.directory, 'fib');
  }

  /**
   * Builds the FIB of a set, in a process of its own that looks traces up when told.
   * @param {TableSet} set @param {readonly Trace[]} traces
   */
  async open(set, traces) {
    const prefixes = join(this.directory, 'prefixes');
    writeFileSync(prefixes, prefixRecords(set));
    const files = traces.map(({ name, words }, place) => {
      const file = join(this.directory, `trace${place}`);
      writeFileSync(file, set.family === 4 ? words : networkOrder(words));
      return /** @type {const} */ ([name, file]);
    });
    const child = spawn(this.program, [String(set.family), prefixes, ...EAL_OPTIONS], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const fib = new Fib(child, new Map(files));
    await fib.built();
    return fib;
  }

  close() {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** The FIB of a set, in its process. */
class Fib {
  buildMs = 0;
  bytes = 0;
  #child;
  #lines;
  #files;

  /**
   * @param {import('node:child_process').ChildProcessByStdio<import('node:stream').Writable, import('node:stream').Readable, null>} child
   * @param {ReadonlyMap<string, string>} files By trace.
   */
  constructor(child, files) {
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    this.#files = files;
  }

  async built() {
    ({ buildMs: this.buildMs, bytes: this.bytes } = await this.#answer());
  }

  /**
   * Lookups a second of its two forms; the second is left out where the processor, or DPDK, does without.
   * @param {string} trace @returns {Promise<readonly (readonly [peer: string, rate: number])[]>}
   */
  async look(trace) {
    this.#child.stdin.write(`${this.#files.get(trace)}\n`);
    const { scalar, avx512 } = await this.#answer();
    const forms = /** @type {const} */ ([
      ['DPDK rte_fib (C)', scalar],
      ['DPDK rte_fib, AVX-512 (C)', avx512],
    ]);
    return forms.filter(([, rate]) => rate !== null);
  }

  async #answer() {
    const { done, value } = await this.#lines.next();
    if (done === true) throw new Error('the process with rte_fib ended before it answered');
    return JSON.parse(value);
  }

  /** Ends the process; there may be no second one of its kind beside it. */
  async close() {
    const ended = once(this.#child, 'close');
    this.#child.stdin.end();
    await ended;
  }
}

/** As native/fib.c reads them. @param {TableSet} set */
function prefixRecords(set) {
  const stride = set.family === 4 ? 1 : 4;
  const recordBytes = stride * 4 + 4;
  const bytes = Buffer.alloc(set.entries * recordBytes);
  let at = 0;
  for (const [classId, { words, lengths }] of set.classes.entries()) {
    for (let i = 0; i < lengths.length; i++, at += recordBytes) {
      for (let w = 0; w < stride; w++) {
        const word = words[i * stride + w] ?? 0;
        if (stride === 1) bytes.writeUInt32LE(word, at);
        else bytes.writeUInt32BE(word, at + w * 4);
      }
      bytes.writeUInt16LE(lengths[i] ?? 0, at + stride * 4);
      bytes.writeUInt16LE(classId + 1, at + stride * 4 + 2);
    }
  }
  return bytes;
}

/** @param {Uint32Array} words */
function networkOrder(words) {
  const bytes = Buffer.alloc(words.length * 4);
  for (let w = 0; w < words.length; w++) bytes.writeUInt32BE(words[w] ?? 0, w * 4);
  return bytes;
}
