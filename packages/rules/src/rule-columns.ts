/**
 * Rules of one family as columns: in the order in which they are checked, and in the order of their prefixes;
 * and the difference between two releases. Plain passes over typed arrays, each a millisecond or so at 2^18
 * rules.
 */

import type { Pieces } from './pieces.ts';
import { bitsOf, comparePrefixAt, type Family, type Prefixes, strideOf, wordMask } from './prefix.ts';
import type { RuleMatch } from './rule.ts';
import type { Runs } from './runs.ts';

/** In the order in which they are asked. */
export interface RuleColumns {
  /** By rule; what is for any address is for the prefix of no bits. */
  readonly prefixes: Prefixes;
  /** By rule: its match and action, as numbered by `MatchKinds`. */
  readonly kinds: Uint32Array;
}

/** The change from one column of rules to another: rules in neither list keep their order. */
export interface RuleChange {
  /** The places of removed rules in the old column; and of added rules in the new one. Ascending. */
  readonly removed: readonly number[];
  readonly added: readonly number[];
}

const GONE = -1;
/** With more changed rules, the columns are computed anew. */
const CHANGED_MAX = 4096;
/** The distance, in rules of both columns, to search for the place where they agree again. */
const RESYNC_MAX = 64;
/** So many equal rules in a row count as agreement. */
const RESYNC_RULES = 3;
/** Runs in one piece of work. */
export const PIECE_RUNS = 32_768;
/** Shorter columns are sorted by comparison. */
const RADIX_MIN = 256;

const PROTOCOLS = [undefined, 'tcp', 'udp', 'icmp'] as const;
const KINDS_OF_ICMP = 257;
/** A range that no rule can have. */
const NO_PORTS = 0x10000;

/** Numbers what rules ask and do, besides their prefix: equal numbers for equal ones. Only ever grows. */
export class MatchKinds {
  readonly matches: RuleMatch[] = [];
  /** Whether a kind has no condition, so that nothing after it is asked. */
  readonly free: boolean[] = [];
  readonly #known = new Map<number, number>();

  kindOf(match: RuleMatch): number {
    const { action, proto, ports, icmpType = -1 } = match;
    const what =
      (PROTOCOLS.indexOf(proto) * 2 + (action === 'accept' ? 1 : 0)) * KINDS_OF_ICMP + icmpType + 1;
    const key = what * 2 ** 32 + (ports === undefined ? NO_PORTS : ports.first * 0x10000 + ports.last);
    let kind = this.#known.get(key);
    if (kind === undefined) {
      kind = this.matches.length;
      this.#known.set(key, kind);
      this.matches.push(match);
      this.free.push(proto === undefined && ports === undefined && match.icmpType === undefined);
    }
    return kind;
  }
}

/** Consecutive runs [first, end), none of which is for a name or a list. */
export interface RunRange {
  readonly runs: Runs;
  readonly first: number;
  readonly end: number;
}

/** The rules of some runs that hold in a family, in pieces; `kinds` may have numbered others before. */
export function* columnPieces(
  { runs, first, end }: RunRange,
  family: Family,
  kinds: MatchKinds,
): Pieces<RuleColumns> {
  const { forms, formOf, starts, wordStarts } = runs;
  const stride = strideOf(family);
  const own = forms.map(
    ({ remote }) => remote.kind === 'any' || (remote.kind === 'prefixes' && remote.family === family),
  );
  const kindOf = new Int32Array(forms.length).fill(GONE);
  let count = 0;
  for (let run = first; run < end; run++) if (own[formOf[run]!]) count += starts[run + 1]! - starts[run]!; // within the runs, here and below
  const words = new Uint32Array(count * stride);
  const lengths = new Uint8Array(count);
  const ruleKinds = new Uint32Array(count);
  let rule = 0;
  for (let run = first; run < end; run++) {
    if ((run - first) % PIECE_RUNS === 0) yield;
    const form = formOf[run]!;
    if (own[form] !== true) continue;
    if (kindOf[form] === GONE) kindOf[form] = kinds.kindOf(forms[form]!.match);
    let word = wordStarts[run]!;
    for (let from = starts[run]!; from < starts[run + 1]!; from++, rule++) {
      ruleKinds[rule] = kindOf[form]!;
      lengths[rule] = runs.lengths[from]!;
      if (word < wordStarts[run + 1]!)
        for (let w = 0; w < stride; w++) words[rule * stride + w] = runs.words[word++]!;
    }
  }
  return { prefixes: { family, words, lengths }, kinds: ruleKinds };
}

// ── What changed ───────────────────────────────────────────────────────────────────────────────────────────

/**
 * The change between two columns that share their ends: edits here and there, each found by looking for the
 * place where both agree again. Undefined if there are too many.
 */
export function changeBetween(before: RuleColumns, after: RuleColumns): RuleChange | undefined {
  const [beforeCount, afterCount] = [before.kinds.length, after.kinds.length];
  const least = Math.min(beforeCount, afterCount);
  const removed: number[] = [];
  const added: number[] = [];
  let [head, tail] = [0, 0];
  while (head < least && isSame(before, head, after, head)) head++;
  while (tail < least - head && isSame(before, beforeCount - 1 - tail, after, afterCount - 1 - tail)) tail++;
  const [beforeEnd, afterEnd] = [beforeCount - tail, afterCount - tail];
  let i = head;
  let j = head;
  while (i < beforeEnd || j < afterEnd) {
    if (i < beforeEnd && j < afterEnd && isSame(before, i, after, j)) {
      i++;
      j++;
      continue;
    }
    const [nextI, nextJ] = resync(before, i, beforeEnd, after, j, afterEnd);
    if (removed.length + added.length + nextI - i + nextJ - j > CHANGED_MAX) return undefined;
    while (i < nextI) removed.push(i++);
    while (j < nextJ) added.push(j++);
  }
  return { removed, added };
}

/** The nearest places, from i and j on, where both are the same again; the ends, if there are none near. */
function resync(
  before: RuleColumns,
  i: number,
  beforeEnd: number,
  after: RuleColumns,
  j: number,
  afterEnd: number,
): readonly [number, number] {
  for (let far = 1; far <= RESYNC_MAX; far++) {
    for (let ofBefore = 0; ofBefore <= far; ofBefore++) {
      const [a, b] = [i + ofBefore, j + far - ofBefore];
      if (a > beforeEnd || b > afterEnd) continue;
      let same = 0;
      const rest = Math.min(RESYNC_RULES, beforeEnd - a, afterEnd - b);
      while (same < rest && isSame(before, a + same, after, b + same)) same++;
      const isEnd = a === beforeEnd && b === afterEnd;
      if (isEnd || (rest > 0 && same === rest)) return [a, b];
    }
  }
  return [beforeEnd, afterEnd];
}

function isSame(a: RuleColumns, i: number, b: RuleColumns, j: number): boolean {
  return a.kinds[i] === b.kinds[j] && comparePrefixAt(a.prefixes, i, b.prefixes, j) === 0;
}

// ── By prefix ──────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Places of rules in the order of their addresses, then lengths, then places. A radix sort by bytes, the
 * least first, in pieces.
 */
export function* orderPieces({ prefixes }: RuleColumns): Pieces<Uint32Array> {
  const { words, lengths } = prefixes;
  const stride = strideOf(prefixes.family);
  let order = new Uint32Array(lengths.length);
  for (let i = 0; i < order.length; i++) order[i] = i;
  if (order.length < RADIX_MIN)
    return order.sort((a, b) => comparePrefixAt(prefixes, a, prefixes, b) || a - b);
  let next = new Uint32Array(order.length);
  const digits = new Uint8Array(order.length); // by rule
  for (let byte = -1; byte < stride * 4; byte++) {
    const word = stride - 1 - (byte >> 2);
    const shift = (byte & 3) * 8;
    if (byte < 0) digits.set(lengths);
    else for (let i = 0; i < digits.length; i++) digits[i] = words[i * stride + word]! >>> shift; // a word of a rule
    if (!sortByDigit(digits, order, next)) continue;
    [order, next] = [next, order];
    yield;
  }
  return order;
}

/**
 * A stable counting sort of `order` into `out`, by one digit of each entry's key; false, and no sort, if all
 * digits are equal.
 */
function sortByDigit(digits: Uint8Array, order: Uint32Array, out: Uint32Array): boolean {
  const starts = new Uint32Array(257);
  for (let i = 0; i < digits.length; i++) starts[digits[i]! + 1]!++; // a digit is below 256, here and below
  if (starts.includes(digits.length)) return false;
  for (let digit = 1; digit < 257; digit++) starts[digit]! += starts[digit - 1]!;
  for (let i = 0; i < order.length; i++) {
    const digit = digits[order[i]!]!;
    out[starts[digit]!++] = order[i]!;
  }
  return true;
}

/** The order of the rules after a change, from that before it. */
export function orderAfter(order: Uint32Array, change: RuleChange, after: RuleColumns): Uint32Array {
  const { removed, added } = change;
  const kept = new Uint32Array(after.kinds.length);
  const first = removed[0] ?? added[0] ?? 0;
  const end = first + removed.length;
  const isOneEdit =
    (removed.length === 0 || removed[removed.length - 1] === end - 1) &&
    (added.length === 0 || (added[0] === first && added[added.length - 1] === first + added.length - 1));
  const places = isOneEdit ? undefined : placesAfter(order.length, change);
  const shift = added.length - removed.length;
  let count = 0;
  for (let i = 0; i < order.length; i++) {
    const rule = order[i]!; // i < length
    const place = places?.[rule] ?? (rule < first ? rule : rule < end ? GONE : rule + shift);
    if (place !== GONE) kept[count++] = place;
  }
  const compare = (a: number, b: number): number =>
    comparePrefixAt(after.prefixes, a, after.prefixes, b) || a - b;
  // From the end backwards, in the same memory: moves each kept entry behind those that come before it.
  let to = kept.length;
  for (const place of [...added].sort(compare).reverse()) {
    const at = lowerBound(count, (i) => compare(kept[i]!, place) < 0); // i < count
    kept.copyWithin(to - (count - at), at, count);
    to -= count - at + 1;
    count = at;
    kept[to] = place;
  }
  return kept;
}

/** By rule of before: its place after a change, or GONE. */
function placesAfter(count: number, { removed, added }: RuleChange): Int32Array {
  const places = new Int32Array(count);
  let [r, a, place] = [0, 0, 0];
  for (let rule = 0; rule < count; rule++) {
    if (removed[r] === rule) {
      places[rule] = GONE;
      r++;
      continue;
    }
    for (; added[a] === place; a++) place++;
    places[rule] = place++;
  }
  return places;
}

/** Binary search: the number of leading indices, of `count`, for which `isBefore` holds. */
export function lowerBound(count: number, isBefore: (index: number) => boolean): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBefore(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * The range [from, to), in an order or among sorted prefixes, of those within entry `at` of `outer`, itself
 * included.
 */
export function rangeWithin(
  outer: Prefixes,
  at: number,
  inner: Prefixes,
  order: Uint32Array | undefined,
): readonly [number, number] {
  const count = order?.length ?? inner.lengths.length;
  const from = lowerBound(count, (i) => comparePrefixAt(inner, order?.[i] ?? i, outer, at) < 0);
  const length = outer.lengths[at] ?? 0;
  const to = lowerBound(count, (i) => compareHead(inner, order?.[i] ?? i, outer, at, length) <= 0);
  return [from, to];
}

/** Orders two addresses by their first bits alone. */
export function compareHead(a: Prefixes, i: number, b: Prefixes, j: number, bits: number): number {
  const stride = strideOf(a.family);
  for (let w = 0; w < stride && w * 32 < bits; w++) {
    const mask = wordMask(bits - w * 32);
    const difference = ((a.words[i * stride + w]! & mask) >>> 0) - ((b.words[j * stride + w]! & mask) >>> 0); // within both
    if (difference !== 0) return difference;
  }
  return 0;
}

/** The number of leading bits that two addresses share. */
export function commonBits(a: Prefixes, i: number, b: Prefixes, j: number): number {
  const stride = strideOf(a.family);
  for (let w = 0; w < stride; w++) {
    const difference = a.words[i * stride + w]! ^ b.words[j * stride + w]!; // within both
    if (difference !== 0) return w * 32 + Math.clz32(difference);
  }
  return bitsOf(a.family);
}

/** The prefix of the first `length` bits of one. */
export function shortened(prefixes: Prefixes, at: number, length: number): Prefixes {
  const { family } = prefixes;
  const stride = strideOf(family);
  const words = new Uint32Array(stride);
  for (let w = 0; w < stride; w++) words[w] = prefixes.words[at * stride + w]! & wordMask(length - w * 32); // within
  return { family, words, lengths: Uint8Array.of(Math.min(length, bitsOf(family))) };
}
