/**
 * Splices: what turns the rules of one policy into those of another, found by comparing rules and applied to
 * runs. PROTOCOL.md "Delta and snapshot".
 *
 *   splices   count u32 | (keep varint, drop varint, inserted runs)…     rules after the last splice are kept
 *
 * The comparison is patience diff (Bram Cohen): what both ends have in common is cut off; in between, rules
 * that occur once on both sides and stand in the longest common order are kept. Rules of real policies are
 * unique, since a repeated rule never matches, so that this finds the longest common subsequence in n log n,
 * where Myers' algorithm would need a bound on its edits.
 */

import {
  commonEnds,
  type Direction,
  type Prefixes,
  type RuleMatch,
  type Run,
  ruleCount,
  runRuleCount,
  runStarts,
  strideOf,
} from '@rulecast/rules';
import type { ByteReader } from '../bytes/reader.ts';
import type { ByteWriter } from '../bytes/writer.ts';
import { mergeable, type RuleBounds, readRuns, writeRuns } from '../content/policy.ts';
import { PLANE_COLUMNS } from '../content/prefix.ts';
import { Work } from '../content/work.ts';
import { ErrorCode } from '../error.ts';

/** Keeps `keep` rules of the old policy, leaves out `drop`, and adds those of `insert`. */
export interface RuleSplice {
  readonly keep: number;
  readonly drop: number;
  readonly insert: readonly Run[];
}

/** keep, drop, and the count of inserted runs. */
const SPLICE_LEAST_BYTES = 6;

/**
 * The splices that turn some rules into others; none if they are the same. Both are runs as long as they can
 * be.
 */
export function diffRuns(before: readonly Run[], after: readonly Run[]): readonly RuleSplice[] {
  if (before === after) return [];
  const { head, tail } = commonEnds(before, after);
  const splices = diffMiddles(
    before.slice(head, before.length - tail),
    after.slice(head, after.length - tail),
  );
  const [first, ...others] = splices;
  if (first === undefined || head === 0) return splices;
  return [{ ...first, keep: first.keep + runStarts(before)[head]! }, ...others]; // a run of it
}

function diffMiddles(before: readonly Run[], after: readonly Run[]): readonly RuleSplice[] {
  const matches = new Map<string, number>();
  const a = new RuleColumn(before, matches);
  const b = new RuleColumn(after, matches);
  const least = Math.min(a.count, b.count);
  let head = 0;
  while (head < least && sameRule(a, head, b, head)) head++;
  let tail = 0;
  while (tail < least - head && sameRule(a, a.count - 1 - tail, b, b.count - 1 - tail)) tail++;
  return splicesBetween(a, b, head, tail);
}

/** Rules by number: which run each belongs to, and which match that run has. */
class RuleColumn {
  readonly runs: readonly Run[];
  readonly count: number;
  /** The first rule of each run. */
  readonly starts: Uint32Array;
  /** The run of each rule. */
  readonly runOf: Uint32Array;
  /** The interned match and remote kind of each run. */
  readonly matchOf: Uint32Array;

  constructor(runs: readonly Run[], matches: Map<string, number>) {
    this.runs = runs;
    this.count = ruleCount(runs);
    this.starts = new Uint32Array(runs.length);
    this.matchOf = new Uint32Array(runs.length);
    this.runOf = new Uint32Array(this.count);
    let start = 0;
    runs.forEach((run, r) => {
      const end = start + runRuleCount(run);
      this.starts[r] = start;
      this.runOf.fill(r, start, end);
      this.matchOf[r] = interned(matches, matchKey(run));
      start = end;
    });
  }
}

function interned<Key>(ids: Map<Key, number>, key: Key): number {
  const known = ids.get(key);
  if (known !== undefined) return known;
  ids.set(key, ids.size);
  return ids.size - 1;
}

function matchKey({ match, remote }: Run): string {
  const { action, proto, dns, ports, icmpType, expire, comment, isPrivate }: RuleMatch = match;
  const kind = remote.kind === 'prefixes' ? remote.prefixes.family : remote.kind;
  const [first, last] = [ports?.first, ports?.last];
  return JSON.stringify([kind, action, proto, dns, first, last, icmpType, expire, comment, isPrivate]);
}

function sameRule(a: RuleColumn, i: number, b: RuleColumn, j: number): boolean {
  const runA = a.runOf[i]!; // i and j are within their columns
  const runB = b.runOf[j]!;
  if (a.matchOf[runA] !== b.matchOf[runB]) return false;
  const p = a.runs[runA]!.remote;
  const q = b.runs[runB]!.remote;
  if (p.kind === 'prefixes' && q.kind === 'prefixes') {
    return samePrefixAt(p.prefixes, i - a.starts[runA]!, q.prefixes, j - b.starts[runB]!);
  }
  if (p.kind === 'name' && q.kind === 'name') return p.name === q.name;
  if (p.kind === 'list' && q.kind === 'list') return p.list === q.list;
  return p.kind === q.kind;
}

/** Whether two prefixes of one family are the same. */
function samePrefixAt(a: Prefixes, i: number, b: Prefixes, j: number): boolean {
  if (a.lengths[i] !== b.lengths[j]) return false;
  if (a.family === 4) return a.words[i] === b.words[j];
  for (let w = 0; w < 4; w++) if (a.words[i * 4 + w] !== b.words[j * 4 + w]) return false;
  return true;
}

/** The splices of what lies between a common head and a common tail. */
function splicesBetween(a: RuleColumn, b: RuleColumn, head: number, tail: number): readonly RuleSplice[] {
  const endA = a.count - tail;
  const endB = b.count - tail;
  const numbers = new RuleNumbers(endA + endB - 2 * head);
  const numbersA = numbers.of(a, head, endA);
  const numbersB = numbers.of(b, head, endB);
  const splices: RuleSplice[] = [];
  const inserts = new RunCursor(b.runs);
  let taken = 0; // how many rules of `b` that cursor has passed
  let kept = 0; // the first rule of `a` that no splice has kept or dropped
  let nextA = head;
  let nextB = head;
  const close = (stopA: number, stopB: number): void => {
    // Rules that are not unique can still be alike at the ends of a gap.
    while (nextA < stopA && nextB < stopB && numbersA[nextA - head] === numbersB[nextB - head]) {
      nextA++;
      nextB++;
    }
    let ends = 0;
    while (
      stopA - ends > nextA &&
      stopB - ends > nextB &&
      numbersA[stopA - ends - 1 - head] === numbersB[stopB - ends - 1 - head]
    ) {
      ends++;
    }
    const drop = stopA - ends - nextA;
    if (drop > 0 || stopB - ends > nextB) {
      const insert: Run[] = [];
      inserts.take(nextB - taken, undefined);
      inserts.take(stopB - ends - nextB, insert);
      taken = stopB - ends;
      splices.push({ keep: nextA - kept, drop, insert });
      kept = nextA + drop;
    }
    nextA = stopA + 1;
    nextB = stopB + 1;
  };
  const common = commonOrder(numbersA, numbersB, numbers.count);
  for (let c = 0; c < common.a.length; c++) close(head + common.a[c]!, head + common.b[c]!); // c < length of both
  close(endA, endB);
  return splices;
}

/**
 * Numbers rules so that equal rules of both columns have the same number. An open-addressed table, which
 * makes no key per rule.
 */
class RuleNumbers {
  /** Number + 1 of the rule in each slot; 0 is free. */
  readonly #slots: Int32Array;
  /** The first rule that got each number, and its column. */
  readonly #firstRule: Uint32Array;
  readonly #firstColumn: RuleColumn[] = [];

  /** For at most `ruleMax` rules. */
  constructor(ruleMax: number) {
    this.#slots = new Int32Array(2 ** Math.ceil(Math.log2(ruleMax * 2 + 2)));
    this.#firstRule = new Uint32Array(ruleMax);
  }

  get count(): number {
    return this.#firstColumn.length;
  }

  /** The numbers of the rules [from, to). */
  of(column: RuleColumn, from: number, to: number): Uint32Array {
    const numbers = new Uint32Array(to - from);
    for (let i = from; i < to; i++) numbers[i - from] = this.#numberOf(column, i);
    return numbers;
  }

  #numberOf(column: RuleColumn, rule: number): number {
    const mask = this.#slots.length - 1;
    for (let slot = hashOfRule(column, rule) & mask; ; slot = (slot + 1) & mask) {
      const number = this.#slots[slot]! - 1; // masked; at least half of the slots stay free
      if (number < 0) {
        this.#firstRule[this.count] = rule;
        this.#firstColumn.push(column);
        this.#slots[slot] = this.count;
        return this.count - 1;
      }
      if (sameRule(column, rule, this.#firstColumn[number]!, this.#firstRule[number]!)) return number;
    }
  }
}

/** Equal rules have equal hashes (multiply and fold, as in MurmurHash3). */
function hashOfRule(column: RuleColumn, rule: number): number {
  const r = column.runOf[rule]!; // the rule is within its column
  const { remote } = column.runs[r]!;
  let hash = mixed(0, column.matchOf[r]!);
  if (remote.kind === 'name' || remote.kind === 'list') {
    const text = remote.kind === 'name' ? remote.name : remote.list;
    for (let i = 0; i < text.length; i++) hash = mixed(hash, text.charCodeAt(i));
  } else if (remote.kind === 'prefixes') {
    const { family, words, lengths } = remote.prefixes;
    const offset = rule - column.starts[r]!;
    const stride = strideOf(family);
    for (let w = 0; w < stride; w++) hash = mixed(hash, words[offset * stride + w]!);
    hash = mixed(hash, lengths[offset]!);
  }
  return hash ^ (hash >>> 15);
}

function mixed(hash: number, word: number): number {
  const product = Math.imul(hash ^ word, 0xcc9e2d51);
  return Math.imul(product ^ (product >>> 16), 0x85ebca6b) + 0x9e3779b9;
}

/**
 * Places of the numbers that both sides have exactly once, in the longest order that is the same on both
 * sides.
 */
function commonOrder(a: Uint32Array, b: Uint32Array, numberCount: number): CommonPlaces {
  const placeInA = placesOfUnique(a, numberCount);
  const placeInB = placesOfUnique(b, numberCount);
  const inA = new Uint32Array(Math.min(a.length, b.length));
  const inB = new Uint32Array(inA.length);
  let count = 0;
  for (let i = 0; i < a.length; i++) {
    const number = a[i]!; // i < length
    const j = placeInB[number]!; // every number is below numberCount
    if (j < 0 || placeInA[number] !== i) continue;
    inA[count] = i;
    inB[count++] = j;
  }
  const places = longestAscending(inB.subarray(0, count));
  return { a: places.map((at) => inA[at]!), b: places.map((at) => inB[at]!) }; // places are below count
}

/** Matching places of two sides, ascending. */
interface CommonPlaces {
  readonly a: Uint32Array;
  readonly b: Uint32Array;
}

/** The place of each number that occurs once; -1 for the others. */
function placesOfUnique(numbers: Uint32Array, numberCount: number): Int32Array {
  const places = new Int32Array(numberCount).fill(-1);
  const seen = new Uint8Array(numberCount);
  for (let i = 0; i < numbers.length; i++) {
    const number = numbers[i]!; // i < length
    places[number] = seen[number] === 0 ? i : -1;
    seen[number] = 1;
  }
  return places;
}

/** Places of a longest ascending subsequence of distinct numbers (patience sorting). */
function longestAscending(numbers: Uint32Array): Uint32Array {
  const tops = new Uint32Array(numbers.length); // place of the least last number of each length
  const before = new Int32Array(numbers.length); // the place before each in its subsequence
  let longest = 0;
  for (let at = 0; at < numbers.length; at++) {
    const number = numbers[at]!; // at < length; tops hold places, and low and high stay within the longest
    let low = 0;
    let high = longest;
    if (longest > 0 && numbers[tops[longest - 1]!]! < number) low = longest; // most rules are in order
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (numbers[tops[middle]!]! < number) low = middle + 1;
      else high = middle;
    }
    before[at] = low > 0 ? tops[low - 1]! : -1;
    tops[low] = at;
    if (low === longest) longest++;
  }
  const places = new Uint32Array(longest);
  let at = longest > 0 ? tops[longest - 1]! : -1;
  for (let i = longest - 1; i >= 0; i--) {
    places[i] = at;
    at = before[at]!; // a chain of `longest` places
  }
  return places;
}

/** The rules [from, to) of a run, as a run; its column is a view of the original. */
function sliceOfRun(run: Run, from: number, to: number): Run {
  const { match, remote } = run;
  if (remote.kind !== 'prefixes' || to - from === remote.prefixes.lengths.length) return run;
  const { family, words, lengths } = remote.prefixes;
  const stride = strideOf(family);
  const prefixes = {
    family,
    words: words.subarray(from * stride, to * stride),
    lengths: lengths.subarray(from, to),
  };
  return { match, remote: { kind: 'prefixes', prefixes } };
}

/** Runs that are one, as one. */
function joinedRun(first: Run, pieces: readonly Run[]): Run {
  if (first.remote.kind !== 'prefixes') return first;
  const family = first.remote.prefixes.family;
  const count = ruleCount(pieces);
  const words = new Uint32Array(count * strideOf(family));
  const lengths = new Uint8Array(count);
  let at = 0;
  for (const { remote } of pieces) {
    if (remote.kind !== 'prefixes') continue;
    words.set(remote.prefixes.words, at * strideOf(family));
    lengths.set(remote.prefixes.lengths, at);
    at += remote.prefixes.lengths.length;
  }
  return { match: first.match, remote: { kind: 'prefixes', prefixes: { family, words, lengths } } };
}

export function writeSplices(writer: ByteWriter, splices: readonly RuleSplice[]): void {
  writer.u32(splices.length);
  for (const { keep, drop, insert } of splices) {
    writer.varint(keep);
    writer.varint(drop);
    writeRuns(writer, insert, PLANE_COLUMNS);
  }
}

/**
 * Reads splices and applies them to `before`; `bounds` are for the rules that they add. The same array comes
 * back where there are none.
 */
export function applySplices(
  reader: ByteReader,
  before: readonly Run[],
  direction: Direction,
  bounds: RuleBounds,
): readonly Run[] {
  const count = reader.count(SPLICE_LEAST_BYTES);
  bounds.meter.spend(count * Work.splice);
  if (count === 0) return before;
  const ruleTotal = ruleCount(before);
  const kept = new KeptRuns(before);
  let at = 0;
  let head = 0; // runs that are kept before the first splice, and below after the last: whole ones
  for (let i = 0; i < count; i++) {
    const keep = reader.varint();
    const drop = reader.varint();
    const insert = readRuns(reader, direction, PLANE_COLUMNS, bounds);
    if ((keep === 0 && i > 0) || (drop === 0 && insert.length === 0))
      throw reader.error(`splice ${i} is idle`, at);
    if (keep + drop > ruleTotal - at) {
      throw reader.error(`splice ${i} goes beyond the last of ${ruleTotal} rules`, at, ErrorCode.badBase);
    }
    if (i === 0) head = kept.runAt(keep);
    kept.keep(at, at + keep);
    kept.add(insert);
    at += keep + drop;
  }
  kept.keep(at, ruleTotal);
  const after = kept.build();
  // Those whose rules a splice cut, or went on, are other ones.
  const tail = at === ruleTotal ? 0 : before.length - 1 - kept.runAt(at);
  commonEnds(before, after, { head: Math.max(0, head - 1), tail });
  return after;
}

/** Gathers runs that are as long as they can be, most of them whole stretches of others. */
class KeptRuns {
  readonly #before: readonly Run[];
  readonly #starts: Uint32Array;
  /** Stretches of runs, none of which goes on in the next. */
  readonly #stretches: (readonly Run[])[] = [];
  /** Of one run, perhaps. */
  #open: Run[] = [];

  constructor(before: readonly Run[]) {
    this.#before = before;
    this.#starts = runStarts(before);
  }

  /** The rules [from, to) of before. */
  keep(from: number, to: number): void {
    if (from === to) return;
    const [first, last] = [this.runAt(from), this.runAt(to - 1)];
    this.add([this.#cut(first, from, to)]);
    if (first === last) return;
    if (last - first > 1) {
      this.#close();
      this.#stretches.push(this.#before.slice(first + 1, last));
    }
    this.add([this.#cut(last, from, to)]);
  }

  /** Runs as long as they can be; the first may go on what was before. */
  add(runs: readonly Run[]): void {
    const [first] = runs;
    if (first === undefined) return;
    const [last] = this.#open;
    if (last !== undefined && !mergeable(last, first)) this.#close();
    this.#open.push(first);
    if (runs.length === 1) return;
    this.#close();
    this.#stretches.push(runs.slice(1, -1));
    this.#open.push(runs.at(-1)!); // there are two and more
  }

  #close(): void {
    const [first, second] = this.#open;
    if (first !== undefined)
      this.#stretches.push([second === undefined ? first : joinedRun(first, this.#open)]);
    this.#open = [];
  }

  build(): readonly Run[] {
    this.#close();
    return ([] as readonly Run[]).concat(...this.#stretches);
  }

  /** The run of a rule. */
  runAt(rule: number): number {
    let [low, high] = [0, this.#before.length];
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (this.#starts[middle]! <= rule)
        low = middle; // middle < length
      else high = middle;
    }
    return low;
  }

  /** Of a run, the rules within [from, to). */
  #cut(run: number, from: number, to: number): Run {
    const [first, end] = [this.#starts[run]!, this.#starts[run + 1]!]; // one more than runs
    return sliceOfRun(this.#before[run]!, Math.max(from, first) - first, Math.min(to, end) - first);
  }
}

/** A walk over rules by number that costs the runs it passes, once. */
class RunCursor {
  readonly #runs: readonly Run[];
  #run = 0;
  #offset = 0;

  constructor(runs: readonly Run[]) {
    this.#runs = runs;
  }

  /** Steps over `count` rules, and adds them to `out` if there is one. */
  take(count: number, out: Run[] | undefined): void {
    let left = count;
    while (left > 0) {
      const run = this.#runs[this.#run];
      if (run === undefined) return;
      const size = runRuleCount(run);
      const to = Math.min(size, this.#offset + left);
      out?.push(sliceOfRun(run, this.#offset, to));
      left -= to - this.#offset;
      this.#offset = to === size ? 0 : to;
      if (to === size) this.#run++;
    }
  }
}
