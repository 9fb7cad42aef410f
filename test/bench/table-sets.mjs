/**
 * What the table bench looks up, and in what: sets of prefixes with a class each (a class is a list of its
 * own), and traces of addresses. All are real lists, or seeded, so that every engine gets the same input in
 * every run.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { importList } from '@rulecast/formats';
import { canonicalPrefixes, PrefixBuilder } from '@rulecast/rules';
import { seededNumbers, seededWords } from '../kit/random.mjs';

const FIXTURES = new URL('../fixtures/', import.meta.url);
const TRACE_ADDRESSES = 2 ** 20;
/** Flows of a Zipf trace: more than the second-level cache holds the nodes of. */
const ZIPF_FLOWS = 2 ** 18;
/** The skew of a Zipf trace: the share of the r-th busiest address falls as 1 / r^s. */
const ZIPF_EXPONENT = 1;

/**
 * @typedef {import('@rulecast/rules').Prefixes} Prefixes
 *
 * @typedef {object} TableSet Prefixes, no two alike, in canonical order within each class.
 * @property {string} name
 * @property {4 | 6} family
 * @property {readonly Prefixes[]} classes The members of each class. Classes do not overlap.
 * @property {number} entries
 *
 * @typedef {object} Trace
 * @property {string} name
 * @property {Uint32Array} words One or four a lookup.
 */

/**
 * @returns {TableSet} 2^18 subnets of 172.16.0.0/12 in 250 classes, as a policy with varied actions has them.
 */
export function denseSet() {
  const next = seededNumbers(11);
  return setOf('2^18 × /30, 250 classes', 4, 250, (push) => {
    for (let i = 0; i < 2 ** 18; i++) push(next(250), [0xac100000 + i * 4], 30);
  });
}

/** @returns {TableSet} */
export function randomHosts() {
  const next = seededWords(7);
  return setOf('1M random /32', 4, 1, (push) => {
    for (let i = 0; i < 1_000_000; i++) push(0, [next()], 32);
  });
}

/** Every address list among the fixtures, merged. @param {4 | 6} family @returns {TableSet} */
export function realSet(family) {
  return setOf(`real lists merged, IPv${family}`, family, 1, (push) => {
    for (const { words, length } of realPrefixes(family)) push(0, words, length);
  });
}

/**
 * `count` prefixes made from the real ones: again and again, each time in other networks of the same size, so
 * that density and nesting within a /8 (IPv6: a /24) stay real. Without the few that would cover the rest;
 * what is covered all the same is merged.
 * @param {4 | 6} family
 * @param {number} count
 * @returns {TableSet}
 */
export function grownSet(family, count) {
  const real = realPrefixes(family);
  const next = seededWords(19);
  return setOf(`grown from real IPv${family} lists`, family, 1, (push) => {
    let turn = 0;
    for (let pushed = 0; pushed < count; turn++) {
      const shift = turn === 0 ? 0 : family === 4 ? (next() & 0xff) << 24 : (next() & 0x00ffff00) >>> 0;
      for (const { words, length } of real) {
        if (length < (family === 4 ? 17 : 24) || pushed === count) continue;
        push(0, [((words[0] ?? 0) ^ shift) >>> 0, ...words.slice(1)], length);
        pushed++;
      }
    }
  });
}

/** @param {4 | 6} family @returns {{ words: number[], length: number }[]} */
function realPrefixes(family) {
  const stride = family === 4 ? 1 : 4;
  const prefixes = [];
  for (const directory of ['lists/', 'feeds/']) {
    const url = new URL(directory, FIXTURES);
    for (const name of readdirSync(url).sort()) {
      if (!/\.(?:txt|lst|netset|ip|tsv|csv|json|ndjson)$/.test(name)) continue;
      const { list } = importList(name, readFileSync(new URL(name, url)), {});
      if (list.kind !== 'prefixes') continue;
      const { words, lengths } = family === 4 ? list.v4 : list.v6;
      for (let i = 0; i < lengths.length; i++) {
        prefixes.push({ words: [...words.subarray(i * stride, (i + 1) * stride)], length: lengths[i] ?? 0 });
      }
    }
  }
  return prefixes;
}

/**
 * @param {string} name @param {4 | 6} family @param {number} classCount
 * @param {(push: (classId: number, words: readonly number[], length: number) => void) => void} fill
 * @returns {TableSet}
 */
function setOf(name, family, classCount, fill) {
  const builders = Array.from({ length: classCount }, () => new PrefixBuilder(family));
  const scratch = new Uint32Array(4);
  fill((classId, words, length) => {
    scratch.set(words);
    builders[classId]?.push(scratch, 0, length);
  });
  const classes = builders.map((builder) => canonicalPrefixes(builder.build()));
  return { name, family, classes, entries: classes.reduce((sum, { lengths }) => sum + lengths.length, 0) };
}

/**
 * The traces of a set: half hits, mostly misses, and Zipf over addresses of both kinds.
 * @param {TableSet} set
 * @returns {Trace[]}
 */
export function traces(set) {
  const stride = set.family === 4 ? 1 : 4;
  const next = seededWords(23);
  const below = seededNumbers(29);
  const filled = set.classes.filter(({ lengths }) => lengths.length > 0);
  /** @param {Uint32Array} into @param {number} at */
  const hit = (into, at) => {
    const { words, lengths } = filled[below(filled.length)] ?? fail();
    const i = below(lengths.length);
    for (let w = 0; w < stride; w++) {
      const own = Math.min(32, Math.max(0, (lengths[i] ?? 0) - w * 32));
      const host = own === 32 ? 0 : next() >>> own;
      into[at * stride + w] = ((words[i * stride + w] ?? 0) | host) >>> 0;
    }
  };
  /**
   * A random address; IPv6 ones are in 2000::/3, which contains all addresses in use.
   * @param {Uint32Array} into @param {number} at
   */
  const anywhere = (into, at) => {
    for (let w = 0; w < stride; w++) into[at * stride + w] = next();
    if (stride === 4) into[at * 4] = ((into[at * 4] ?? 0) >>> 3) | 0x20000000;
  };
  /** @param {string} name @param {(into: Uint32Array, at: number) => void} one */
  const trace = (name, one) => {
    const words = new Uint32Array(TRACE_ADDRESSES * stride);
    for (let at = 0; at < TRACE_ADDRESSES; at++) one(words, at);
    return { name, words };
  };
  const half = trace('half hits', (into, at) => (below(2) === 0 ? hit : anywhere)(into, at));
  const uniform = trace('uniform', anywhere);
  const rank = zipfRanks(ZIPF_FLOWS, ZIPF_EXPONENT, below);
  const zipf = trace('Zipf', (into, at) => {
    const from = rank();
    into.set(half.words.subarray(from * stride, (from + 1) * stride), at * stride);
  });
  return [half, uniform, zipf];
}

/**
 * Ranks from 0 to `count` - 1, each with the share of Zipf's law.
 * @param {number} count
 * @param {number} exponent
 * @param {(below: number) => number} below
 */
function zipfRanks(count, exponent, below) {
  const sums = new Float64Array(count);
  let sum = 0;
  for (let rank = 0; rank < count; rank++) {
    sum += 1 / (rank + 1) ** exponent;
    sums[rank] = sum;
  }
  return () => {
    const drawn = (below(2 ** 30) / 2 ** 30) * sum;
    let low = 0;
    let high = count - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sums[middle] ?? 0) <= drawn) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

/** @returns {never} */
function fail() {
  throw new RangeError('a set without prefixes has no hits');
}
