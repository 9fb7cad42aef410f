/**
 * Canonical sets of prefixes: sorted by address, and no member covers another or is there twice. Adjacent
 * members are not aggregated: an entry stays as it was written.
 */

import {
  compareWordsAt,
  containsAt,
  emptyPrefixes,
  type Family,
  type Prefix,
  PrefixBuilder,
  type Prefixes,
  strideOf,
} from './prefix.ts';

/** A canonical set of prefixes of both families. */
export interface PrefixSet {
  readonly v4: Prefixes;
  readonly v6: Prefixes;
}

export const EMPTY_PREFIX_SET: PrefixSet = { v4: emptyPrefixes(4), v6: emptyPrefixes(6) };

/** The column of one family of a set. */
export function columnFor(set: PrefixSet, family: Family): Prefixes {
  return family === 4 ? set.v4 : set.v6;
}

/** A canonical set of single prefixes, in any order. */
export function prefixSetOf(prefixes: readonly Prefix[]): PrefixSet {
  const v4 = new PrefixBuilder(4);
  const v6 = new PrefixBuilder(6);
  for (const prefix of prefixes) (prefix.family === 4 ? v4 : v6).push(prefix.words, 0, prefix.length);
  return { v4: canonicalPrefixes(v4.build()), v6: canonicalPrefixes(v6.build()) };
}

/** Whether a column is canonical: sorted, unique, disjoint. One linear pass. */
export function isCanonical(prefixes: Prefixes): boolean {
  const stride = strideOf(prefixes.family);
  for (let i = 1; i < prefixes.lengths.length; i++) {
    if (compareWordsAt(prefixes.words, i - 1, prefixes.words, i, stride) >= 0) return false;
    if (containsAt(prefixes, i - 1, prefixes.words, i)) return false;
  }
  return true;
}

/**
 * The canonical form of a column of prefixes in normal form. Returns the input itself where it is canonical.
 */
export function canonicalPrefixes(prefixes: Prefixes): Prefixes {
  if (isCanonical(prefixes)) return prefixes;
  const sorted = prefixes.family === 4 ? sorted4(prefixes) : sorted6(prefixes);
  return isCanonical(sorted) ? sorted : withoutCovered(sorted);
}

/** Radix sort of IPv4 columns by address, three passes of 11 bits; equal addresses keep their order. */
function sorted4(prefixes: Prefixes): Prefixes {
  const count = prefixes.lengths.length;
  let words = prefixes.words;
  let lengths = prefixes.lengths;
  for (let shift = 0; shift < 33; shift += 11) {
    const starts = new Uint32Array(2049);
    for (let i = 0; i < count; i++) starts[((words[i]! >>> shift) & 2047) + 1]!++; // i < count
    for (let d = 1; d < 2048; d++) starts[d]! += starts[d - 1]!;
    const nextWords = new Uint32Array(count);
    const nextLengths = new Uint8Array(count);
    for (let i = 0; i < count; i++) {
      const word = words[i]!; // i < count
      const at = starts[(word >>> shift) & 2047]!++;
      nextWords[at] = word;
      nextLengths[at] = lengths[i]!;
    }
    words = nextWords;
    lengths = nextLengths;
  }
  return { family: 4, words, lengths };
}

/** Below, comparing is quicker than to clear and sum up the 65,536 counters of each pass. */
const RADIX6_MIN_COUNT = 4096;

/** Sorts IPv6 columns by address over a permutation; equal addresses keep their order. */
function sorted6(prefixes: Prefixes): Prefixes {
  const count = prefixes.lengths.length;
  const { words } = prefixes;
  const inOrder = Uint32Array.from({ length: count }, (_, i) => i);
  const order =
    count < RADIX6_MIN_COUNT
      ? inOrder.sort((a, b) => compareWordsAt(words, a, words, b, 4))
      : radixOrder6(words, inOrder);
  const sorted = new PrefixBuilder(6, count);
  for (const entry of order) sorted.push(words, entry, prefixes.lengths[entry]!); // entry < count
  return sorted.build();
}

/**
 * Radix sort of a permutation by the addresses it stands for, 16 bits a pass, passes with one digit skipped.
 */
function radixOrder6(words: Uint32Array, inOrder: Uint32Array): Uint32Array {
  const count = inOrder.length;
  let order = inOrder;
  for (let digit = 7; digit >= 0; digit--) {
    const word = digit >> 1;
    const shift = (digit & 1) === 1 ? 0 : 16;
    const starts = new Uint32Array(65537);
    for (let i = 0; i < count; i++) starts[((words[i * 4 + word]! >>> shift) & 65535) + 1]!++; // i < count
    if (starts.includes(count)) continue;
    for (let d = 1; d < 65536; d++) starts[d]! += starts[d - 1]!;
    const next = new Uint32Array(count);
    for (let i = 0; i < count; i++) {
      const entry = order[i]!; // i < count
      next[starts[(words[entry * 4 + word]! >>> shift) & 65535]!++] = entry;
    }
    order = next;
  }
  return order;
}

/** Drops duplicates and covered members of a column that is sorted by address. */
function withoutCovered(prefixes: Prefixes): Prefixes {
  const count = prefixes.lengths.length;
  const stride = strideOf(prefixes.family);
  const kept = new PrefixBuilder(prefixes.family, count);
  let last = -1; // the member kept last; it covers all that follow within it
  for (let i = 0; i < count; ) {
    let shortest = i;
    let next = i + 1;
    while (next < count && compareWordsAt(prefixes.words, i, prefixes.words, next, stride) === 0) {
      if (prefixes.lengths[next]! < prefixes.lengths[shortest]!) shortest = next; // next < count
      next++;
    }
    if (last < 0 || !containsAt(prefixes, last, prefixes.words, i)) {
      kept.push(prefixes.words, shortest, prefixes.lengths[shortest]!); // shortest < count
      last = shortest;
    }
    i = next;
  }
  return kept.build();
}

/** The first member of a canonical column in [from, to) whose address is not below the given one. */
export function firstFrom(column: Prefixes, from: number, to: number, words: Uint32Array): number {
  let low = from;
  let high = to;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareWordsAt(column.words, middle, words, 0, strideOf(column.family)) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The index of the member of a canonical column that contains the address, or -1. Binary search. */
export function memberContaining(column: Prefixes, words: Uint32Array): number {
  const count = column.lengths.length;
  const at = firstFrom(column, 0, count, words);
  const isStart = at < count && compareWordsAt(column.words, at, words, 0, strideOf(column.family)) === 0;
  const member = isStart ? at : at - 1;
  return member >= 0 && containsAt(column, member, words, 0) ? member : -1;
}
