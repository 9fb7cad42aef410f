/**
 * Leaves: how a part is cut before it is hashed, so that one change affects a leaf or two, whatever the size.
 * Sorted entries are cut by the bits of their keys, rules by their hashes; both depend on the content alone.
 * CONTENT.md "Leaves".
 *
 *   sorted     [ 10.0.0.1 … 10.0.0.9 | 10.0.128.0 … 10.0.200.7 ]   cut at the first bit in which the ends differ
 *   rules      rule rule … rule ◀─ whose hash says so, or the 1,024th
 */

/** Keys in ascending order; none equals another with zero bits added. */
export interface SortedKeys {
  readonly count: number;
  /** The first bit, from 0, in which two different keys differ. A key that ends reads as zeros. */
  differenceOf(i: number, j: number): number;
  hasBit(i: number, bit: number): boolean;
}

/** Entries of a leaf at most, by what they are: some 8 KiB. */
export const LEAF_ENTRIES = { v4: 1638, v6: 481, names: 512, resolutions: 128, records: 128 } as const;

/** When a leaf of rules ends. */
export interface RuleLeafLimits {
  /** The least number of rules, unless the list ends. */
  readonly least: number;
  readonly most: number;
  /** Between these: after a rule whose hash has none of these bits. */
  readonly mask: number;
}

export const RULE_LEAF: RuleLeafLimits = { least: 128, most: 1024, mask: 511 };

/**
 * The ends of the leaves, ascending; none of nothing. A range that is no leaf is cut before its first key
 * that has a one in the first bit in which its ends differ.
 */
export function cutSorted(keys: SortedKeys, most: number): Uint32Array {
  const ends: number[] = [];
  const open: number[] = keys.count === 0 ? [] : [0, keys.count]; // ranges still to be cut, the first on top
  for (;;) {
    const end = open.pop();
    const start = open.pop();
    if (end === undefined || start === undefined) return Uint32Array.from(ends);
    if (end - start <= most) {
      ends.push(end);
      continue;
    }
    const middle = firstWithBit(keys, start, end, keys.differenceOf(start, end - 1));
    open.push(middle, end, start, middle);
  }
}

/** The first of the keys from `start`, of which the first has not that bit and the last has. */
function firstWithBit(keys: SortedKeys, start: number, end: number, bit: number): number {
  let low = start + 1;
  let high = end - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keys.hasBit(middle, bit)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Addresses, most significant word first. */
export function addressKeys(words: Uint32Array, stride: 1 | 4): SortedKeys {
  return {
    count: words.length / stride,
    differenceOf: (i, j) => {
      let w = 0;
      while (words[i * stride + w] === words[j * stride + w]) w++; // the keys differ
      return w * 32 + Math.clz32(words[i * stride + w]! ^ words[j * stride + w]!); // i and j are within the column
    },
    hasBit: (i, bit) => ((words[i * stride + (bit >>> 5)]! >>> (31 - (bit & 31))) & 1) === 1, // likewise
  };
}

/** Strings of bytes without a zero, read when they are looked at. */
export function byteKeys(count: number, keyAt: (i: number) => Uint8Array): SortedKeys {
  return {
    count,
    differenceOf: (i, j) => {
      const [a, b] = [keyAt(i), keyAt(j)];
      let at = 0;
      while (at < a.length && a[at] === b[at]) at++;
      return at * 8 + Math.clz32((a[at] ?? 0) ^ (b[at] ?? 0)) - 24;
    },
    hasBit: (i, bit) => (((keyAt(i)[bit >>> 3] ?? 0) >>> (7 - (bit & 7))) & 1) === 1,
  };
}

/** Finds the ends of leaves of rules, rule by rule. */
export class RuleCutter {
  readonly #limits: RuleLeafLimits;
  #held = 0;

  constructor(limits: RuleLeafLimits) {
    this.#limits = limits;
  }

  /** Whether a leaf ends after the rule of that hash. */
  endsAfter(hash: number): boolean {
    const { least, most, mask } = this.#limits;
    this.#held++;
    const isEnd = this.#held >= most || (this.#held >= least && (mixed(hash) & mask) === 0);
    if (isEnd) this.#held = 0;
    return isEnd;
  }
}

/** FNV-1a of 32 bits, as far as it has come: of nothing, it is this. */
export const FNV_START = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

export function fnvByte(hash: number, byte: number): number {
  return Math.imul(hash ^ byte, FNV_PRIME);
}

export function fnvBytes(hash: number, bytes: Uint8Array): number {
  let state = hash;
  for (const byte of bytes) state = fnvByte(state, byte);
  return state;
}

/** The four bytes of a little-endian word. */
export function fnvWord(hash: number, word: number): number {
  let state = fnvByte(hash, word & 255);
  state = fnvByte(state, (word >>> 8) & 255);
  state = fnvByte(state, (word >>> 16) & 255);
  return fnvByte(state, word >>> 24);
}

/** Mixes the bits, as the low bits of FNV-1a depend only on the low bits of its input. */
function mixed(hash: number): number {
  const folded = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return folded ^ (folded >>> 13);
}
