/**
 * Lists: canonical sets of prefixes or of names, and the algebra of the former. Members are disjoint, so that
 * every operation here is one merge of sorted columns.
 */

import { RESOLVED_LIST } from './name.ts';
import type { NameSet } from './name-lookup.ts';
import { NO_NAME_SET, nameSetOfTexts } from './name-set.ts';
import {
  comparePrefixAt,
  compareWordsAt,
  containsAt,
  type Prefix,
  PrefixBuilder,
  type Prefixes,
  prefixAt,
  samePrefixes,
  strideOf,
} from './prefix.ts';
import { canonicalPrefixes, firstFrom, type PrefixSet } from './prefix-set.ts';

export interface PrefixList extends PrefixSet {
  readonly kind: 'prefixes';
}

/** A canonical set of host names: entries, wildcards, and exceptions from them. */
export interface NameList extends NameSet {
  readonly kind: 'names';
  /**
   * Whether rules may use the list: `true` by the addresses that the publisher resolves, `firewall` by name,
   * in the firewall's own DNS, `firewall-private` likewise, and there its names may stand for private
   * addresses. Ask for each by that very word: no other is taken for it.
   */
  readonly resolve: boolean | 'firewall' | 'firewall-private';
}

export type List = PrefixList | NameList;

/** The names of a list that the firewall's own DNS knows; undefined for any other list. */
export function namesOfFirewall(list: List | undefined): NameSet | undefined {
  if (list?.kind !== 'names') return undefined;
  return list.resolve === 'firewall' || list.resolve === 'firewall-private' ? list : undefined;
}

/**
 * The names by which rules open addresses that name a list: of one that the firewall's own DNS knows, or none
 * for `resolved`, which stands for every name that is answered. Undefined for any other list.
 */
export function namesOpenedBy(lists: ReadonlyMap<string, List>, name: string): NameSet | undefined {
  return name === RESOLVED_LIST ? NO_NAME_SET : namesOfFirewall(lists.get(name));
}

/**
 * Whether the names of a list may stand for private addresses in the firewall's own DNS, and rules that
 * accept it open these.
 */
export function isOfPrivateNames(list: List | undefined): boolean {
  return list?.kind === 'names' && list.resolve === 'firewall-private';
}

/**
 * The change from one canonical column to another: ascending indices into the old one, and the new members,
 * sorted.
 */
export interface PrefixesDelta {
  readonly removed: Uint32Array;
  readonly added: Prefixes;
}

/** The change from one list to another, for both families, known to the code that made the second list. */
export interface ListChange {
  readonly before: PrefixList;
  readonly after: PrefixList;
  readonly v4: PrefixesDelta;
  readonly v6: PrefixesDelta;
}

/**
 * By list. Counts where `before` is the very list in force and `after` the very next one; any other list is
 * compared.
 */
export type ListChanges = ReadonlyMap<string, ListChange>;

/**
 * The resolver for the union of two lists of names. Private addresses are allowed only if both lists allow
 * them.
 */
export function joinedResolve(a: NameList, b: NameList): NameList['resolve'] {
  const one = a.resolve || b.resolve;
  const other = b.resolve || a.resolve;
  return one === 'firewall-private' ? other : one;
}

/** The number of entries in a list, not counting exceptions. */
export function entryCount(list: List): number {
  return list.kind === 'names' ? list.names.count : prefixCount(list);
}

/** The number of exceptions in a list. */
export function exceptionCount(list: List): number {
  return list.kind === 'names' ? list.exceptions.count : 0;
}

export function prefixCount(set: PrefixSet): number {
  return set.v4.lengths.length + set.v6.lengths.length;
}

export function samePrefixSet(a: PrefixSet, b: PrefixSet): boolean {
  return samePrefixes(a.v4, b.v4) && samePrefixes(a.v6, b.v6);
}

export function prefixListOf(set: PrefixSet): PrefixList {
  return { kind: 'prefixes', v4: set.v4, v6: set.v6 };
}

/** A list of names from names in normal form, or wildcards of such, in any order. */
export function nameListOf(
  names: Iterable<string>,
  resolve: NameList['resolve'],
  exceptions: Iterable<string> = [],
): NameList {
  return { kind: 'names', ...nameSetOfTexts(names, exceptions), resolve };
}

/** The union of two canonical columns of one family. */
export function unionPrefixes(a: Prefixes, b: Prefixes): Prefixes {
  const merged = new PrefixBuilder(a.family, a.lengths.length + b.lengths.length);
  let i = 0;
  let j = 0;
  while (i < a.lengths.length || j < b.lengths.length) {
    const fromA = j >= b.lengths.length || (i < a.lengths.length && comparePrefixAt(a, i, b, j) <= 0);
    if (fromA)
      merged.push(a.words, i, a.lengths[i++]!); // fromA implies i < length
    else merged.push(b.words, j, b.lengths[j++]!); // likewise j
  }
  return canonicalPrefixes(merged.build());
}

/**
 * The addresses of `a` that are not in `b`, as a canonical column: members of `a` are split where `b` cuts
 * them.
 */
export function subtractPrefixes(a: Prefixes, b: Prefixes): Prefixes {
  const left = new PrefixBuilder(a.family, a.lengths.length);
  let j = 0;
  for (let i = 0; i < a.lengths.length; i++) {
    while (j < b.lengths.length && endsBefore(b, j, a, i)) j++;
    if (j < b.lengths.length && containsAt(b, j, a.words, i) && b.lengths[j]! <= a.lengths[i]!) continue;
    let end = j;
    while (end < b.lengths.length && containsAt(a, i, b.words, end)) end++;
    pushRemainder(prefixAt(a, i), b, j, end, left);
    j = end;
  }
  return left.build();
}

/** Whether member j of `b` lies wholly below member i of `a`. */
function endsBefore(b: Prefixes, j: number, a: Prefixes, i: number): boolean {
  return compareWordsAt(b.words, j, a.words, i, strideOf(a.family)) < 0 && !containsAt(b, j, a.words, i);
}

/**
 * Appends `prefix` less the members [from, to) of `b`, all within it: halves until a half is whole or gone.
 */
function pushRemainder(prefix: Prefix, b: Prefixes, from: number, to: number, left: PrefixBuilder): void {
  if (from === to) {
    left.push(prefix.words, 0, prefix.length);
    return;
  }
  if (to - from === 1 && b.lengths[from] === prefix.length) return;
  const length = prefix.length + 1;
  const upper = prefix.words.slice();
  upper[(length - 1) >> 5]! |= 1 << (31 - ((length - 1) & 31)); // length - 1 < bits of the family
  const middle = firstFrom(b, from, to, upper);
  pushRemainder({ family: prefix.family, words: prefix.words, length }, b, from, middle, left);
  pushRemainder({ family: prefix.family, words: upper, length }, b, middle, to, left);
}

/** The addresses in both columns, as a canonical column. */
export function intersectPrefixes(a: Prefixes, b: Prefixes): Prefixes {
  const both = new PrefixBuilder(a.family);
  let i = 0;
  let j = 0;
  while (i < a.lengths.length && j < b.lengths.length) {
    if (containsAt(a, i, b.words, j) && a.lengths[i]! <= b.lengths[j]!)
      both.push(b.words, j, b.lengths[j++]!);
    else if (containsAt(b, j, a.words, i) && b.lengths[j]! <= a.lengths[i]!)
      both.push(a.words, i, a.lengths[i++]!);
    else if (compareWordsAt(a.words, i, b.words, j, strideOf(a.family)) < 0) i++;
    else j++;
  }
  return both.build();
}

/**
 * The addresses of a canonical column in the fewest prefixes: two halves become the prefix that they make up,
 * again and again. Linear. Returns the input itself where nothing merges.
 */
export function aggregatePrefixes(prefixes: Prefixes): Prefixes {
  const { family } = prefixes;
  const stride = strideOf(family);
  const count = prefixes.lengths.length;
  const words = new Uint32Array(count * stride); // a stack of the entries merged so far
  const lengths = new Uint8Array(count);
  let top = 0;
  for (let i = 0; i < count; i++) {
    for (let w = 0; w < stride; w++) words[top * stride + w] = prefixes.words[i * stride + w]!; // i < count
    lengths[top++] = prefixes.lengths[i]!; // likewise
    // The lower half has the address of the whole, so only the length changes.
    while (top > 1 && areHalves(words, lengths, top - 2, stride)) lengths[--top - 1]!--;
  }
  if (top === count) return prefixes;
  return { family, words: words.slice(0, top * stride), lengths: lengths.slice(0, top) };
}

/** Whether entries i and i + 1, in order and disjoint, are the two halves of one prefix. */
function areHalves(words: Uint32Array, lengths: Uint8Array, i: number, stride: 1 | 4): boolean {
  const length = lengths[i]!; // both entries exist
  if (length === 0 || length !== lengths[i + 1]!) return false;
  const bit = length - 1; // the one in which halves differ
  for (let w = 0; w < stride; w++) {
    const difference = (words[i * stride + w]! ^ words[(i + 1) * stride + w]!) >>> 0;
    if (difference !== (w === bit >> 5 ? (0x80000000 >>> (bit & 31)) >>> 0 : 0)) return false;
  }
  return true;
}

/** Applies an operation on columns to both families of two sets. */
export function combineSets(
  operation: (a: Prefixes, b: Prefixes) => Prefixes,
  a: PrefixSet,
  b: PrefixSet,
): PrefixSet {
  return { v4: operation(a.v4, b.v4), v6: operation(a.v6, b.v6) };
}

/** After so many entries in a row that only one column has, the end of that stretch is searched for. */
const STREAK_ENTRIES = 8;

/**
 * The change from `before` to `after`, both canonical. Linear; a long stretch that only one of them has costs
 * no more than a copy. Stops and returns undefined after more than `most` removed and added entries.
 */
export function diffPrefixes(before: Prefixes, after: Prefixes): PrefixesDelta;
export function diffPrefixes(before: Prefixes, after: Prefixes, most: number): PrefixesDelta | undefined;
export function diffPrefixes(
  before: Prefixes,
  after: Prefixes,
  most = Number.POSITIVE_INFINITY,
): PrefixesDelta | undefined {
  const removed: number[] = [];
  const added = new PrefixBuilder(before.family);
  let i = 0;
  let j = 0;
  let streak = 0; // entries that only `after` has, in a row; below 0 those that only `before` has
  const isTooMuch = (more: number): boolean => removed.length + added.count + more > most;
  if (isTooMuch(Math.abs(before.lengths.length - after.lengths.length))) return undefined;
  while (i < before.lengths.length || j < after.lengths.length) {
    const same = sameRun(before, i, after, j);
    i += same;
    j += same;
    if (i >= before.lengths.length && j >= after.lengths.length) break;
    const order =
      i >= before.lengths.length ? 1 : j >= after.lengths.length ? -1 : comparePrefixAt(before, i, after, j);
    if (order < 0) {
      streak = Math.min(streak, 0) - 1;
      const end = streak > -STREAK_ENTRIES ? i + 1 : endBefore(before, i, after, j);
      if (isTooMuch(end - i)) return undefined;
      while (i < end) removed.push(i++);
    } else if (order > 0) {
      streak = Math.max(streak, 0) + 1;
      const end = streak < STREAK_ENTRIES ? j + 1 : endBefore(after, j, before, i);
      if (isTooMuch(end - j)) return undefined;
      if (streak < STREAK_ENTRIES)
        added.push(after.words, j, after.lengths[j]!); // order > 0 implies j < length
      else added.append(after, j, end);
      j = end;
    } else {
      i++;
      j++;
    }
  }
  return { removed: Uint32Array.from(removed), added: added.build() };
}

/** Prefixes of a column that are compared at once, as memory: a hundred times faster than one by one. */
const STRETCH_ENTRIES = 1024;

/** Whether two columns have the same next stretch, which both have. */
function sameStretch(a: Prefixes, i: number, b: Prefixes, j: number): boolean {
  const stride = strideOf(a.family);
  const [at, other, count] = [i * stride, j * stride, STRETCH_ENTRIES * stride];
  const isLikely = a.words[at] === b.words[other] && a.words[at + count - 1] === b.words[other + count - 1];
  return (
    isLikely &&
    sameBytes(a.words, at * 4, b.words, other * 4, count * 4) &&
    sameBytes(a.lengths, i, b.lengths, j, STRETCH_ENTRIES)
  );
}

function sameBytes(
  a: Uint32Array | Uint8Array,
  atA: number,
  b: Uint32Array | Uint8Array,
  atB: number,
  bytes: number,
): boolean {
  const first = Buffer.from(a.buffer, a.byteOffset + atA, bytes);
  return first.equals(new Uint8Array(b.buffer, b.byteOffset + atB, bytes));
}

/**
 * The number of equal entries in a row, from `i` in `a` and `j` in `b`. In a large list most entries do not
 * change.
 */
function sameRun(a: Prefixes, i: number, b: Prefixes, j: number): number {
  const stride = strideOf(a.family);
  const most = Math.min(a.lengths.length - i, b.lengths.length - j);
  let count = 0;
  while (count + STRETCH_ENTRIES <= most && sameStretch(a, i + count, b, j + count)) count += STRETCH_ENTRIES;
  while (count < most && a.lengths[i + count] === b.lengths[j + count]) {
    const at = (i + count) * stride;
    const other = (j + count) * stride;
    if (a.words[at] !== b.words[other]) break;
    if (stride === 4 && compareWordsAt(a.words, i + count, b.words, j + count, 4) !== 0) break;
    count++;
  }
  return count;
}

/**
 * The column that a delta makes of `before`. The caller has checked that `removed` ascends within the column
 * and that `added` is sorted; the result may still fail `isCanonical`, which the receiver of a delta must
 * check.
 */
export function applyPrefixesDelta(before: Prefixes, delta: PrefixesDelta): Prefixes {
  const { removed, added } = delta;
  if (before.lengths.length === 0) return added;
  const stride = strideOf(before.family);
  const count = before.lengths.length - removed.length + added.lengths.length;
  const words = new Uint32Array(count * stride);
  const lengths = new Uint8Array(count);
  let out = 0;
  let kept = 0; // the next entry of `before` not yet copied
  let nextRemoved = 0;
  const copyUpTo = (end: number): void => {
    while (kept < end) {
      const stop = Math.min(end, removed[nextRemoved] ?? end);
      words.set(before.words.subarray(kept * stride, stop * stride), out * stride);
      lengths.set(before.lengths.subarray(kept, stop), out);
      out += stop - kept;
      kept = stop;
      if (kept === removed[nextRemoved]) {
        nextRemoved++;
        kept++;
      }
    }
  };
  for (let j = 0; j < added.lengths.length; ) {
    const place = lowerBound(before, kept, added, j);
    copyUpTo(place);
    const end = endBefore(added, j, before, place);
    if (end - j < STREAK_ENTRIES)
      for (; j < end; j++) {
        for (let w = 0; w < stride; w++) words[out * stride + w] = added.words[j * stride + w]!; // j < length
        lengths[out++] = added.lengths[j]!; // likewise
      }
    else {
      words.set(added.words.subarray(j * stride, end * stride), out * stride);
      lengths.set(added.lengths.subarray(j, end), out);
      out += end - j;
      j = end;
    }
  }
  copyUpTo(before.lengths.length);
  return { family: before.family, words, lengths };
}

/** Behind the entries from i on, of which the first is, that are below entry j of another column. */
function endBefore(column: Prefixes, i: number, other: Prefixes, j: number): number {
  return j < other.lengths.length ? lowerBound(column, i + 1, other, j) : column.lengths.length;
}

/**
 * The first index >= `from` of `column` whose prefix is not below prefix j of `other`. Steps double before
 * the interval is halved, so that near answers, which dense changes ask for, cost little.
 */
function lowerBound(column: Prefixes, from: number, other: Prefixes, j: number): number {
  const count = column.lengths.length;
  let low = from;
  let high = from;
  for (let step = 1; high < count && comparePrefixAt(column, high, other, j) < 0; step *= 2) {
    low = high + 1;
    high += step;
  }
  high = Math.min(high, count);
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (comparePrefixAt(column, middle, other, j) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
