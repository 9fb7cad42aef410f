/**
 * Splices: the changes from the rules of one policy to those of another, found by comparing rules and applied
 * to runs. CONTENT.md "Delta and snapshot".
 *
 *   splices   count u32 | (keep varint, drop varint, inserted runs)…     rules after the last splice are kept
 *
 * The comparison is patience diff (Bram Cohen): common beginnings and ends are cut off; in between, rules
 * that occur once on both sides and stand in the longest common order are kept. Rules of real policies are
 * unique, since a repeated rule never matches, so that this finds the longest common subsequence in n log n,
 * where Myers' algorithm would need a bound on its edits.
 */

import {
  commonEndsByNumber,
  type Direction,
  numberedAlike,
  type RuleNumbers,
  RunBuilder,
  type Runs,
  ruleCount,
} from '@rulecast/rules';
import type { ByteReader } from '../bytes/reader.ts';
import type { ByteWriter } from '../bytes/writer.ts';
import { type RuleBounds, readRuns, writeRuns } from '../content/policy.ts';
import { PLANE_COLUMNS } from '../content/prefix.ts';
import { Work } from '../content/work.ts';
import { ErrorCode } from '../error.ts';

/** Keeps `keep` rules of the old policy, drops `drop`, and then inserts `insert`. */
export interface RuleSplice {
  readonly keep: number;
  readonly drop: number;
  readonly insert: Runs;
}

/** keep, drop, and the count of inserted runs. */
const SPLICE_LEAST_BYTES = 6;

/** The splices that turn some rules into others; none if they are the same. */
export function diffRuns(before: Runs, after: Runs): readonly RuleSplice[] {
  if (before === after) return [];
  const [a, b] = numberedAlike(before, after);
  const { head, tail } = commonEndsByNumber(a, b);
  return splicesBetween(a, b, head, tail);
}

/** The splices between a common head and a common tail. */
function splicesBetween(a: RuleNumbers, b: RuleNumbers, head: number, tail: number): readonly RuleSplice[] {
  const endA = a.count - tail;
  const endB = b.count - tail;
  const numbers = new NumberTable(endA + endB - 2 * head);
  const numbersA = numbers.of(a, head, endA);
  const numbersB = numbers.of(b, head, endB);
  const splices: RuleSplice[] = [];
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
      const insert = new RunBuilder();
      insert.pushRules(b.runs, nextB, stopB - ends);
      splices.push({ keep: nextA - kept, drop, insert: insert.build() });
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
class NumberTable {
  /** Number + 1 of the rule in each slot; 0 is free. */
  readonly #slots: Int32Array;
  /** The first rule that got each number, and its column. */
  readonly #firstRule: Uint32Array;
  readonly #firstColumn: RuleNumbers[] = [];

  /** For at most `ruleMax` rules. */
  constructor(ruleMax: number) {
    this.#slots = new Int32Array(2 ** Math.ceil(Math.log2(ruleMax * 2 + 2)));
    this.#firstRule = new Uint32Array(ruleMax);
  }

  get count(): number {
    return this.#firstColumn.length;
  }

  /** The numbers of the rules [from, to). */
  of(column: RuleNumbers, from: number, to: number): Uint32Array {
    const numbers = new Uint32Array(to - from);
    for (let i = from; i < to; i++) numbers[i - from] = this.#numberOf(column, i);
    return numbers;
  }

  #numberOf(column: RuleNumbers, rule: number): number {
    const mask = this.#slots.length - 1;
    for (let slot = hashOfRule(column, rule) & mask; ; slot = (slot + 1) & mask) {
      const number = this.#slots[slot]! - 1; // masked; at least half of the slots stay free
      if (number < 0) {
        this.#firstRule[this.count] = rule;
        this.#firstColumn.push(column);
        this.#slots[slot] = this.count;
        return this.count - 1;
      }
      if (column.isSame(rule, this.#firstColumn[number]!, this.#firstRule[number]!)) return number;
    }
  }
}

/** Equal rules have equal hashes (multiply and fold, as in MurmurHash3). */
function hashOfRule(column: RuleNumbers, rule: number): number {
  let hash = mixed(mixed(0, column.formOf(rule)), column.runs.lengths[rule]!); // the rule is within its column
  const at = column.wordAt(rule);
  for (let w = column.stride(rule) - 1; w >= 0; w--) hash = mixed(hash, column.runs.words[at + w]!);
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

/** The index of each number that occurs once; -1 for the others. */
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
  before: Runs,
  direction: Direction,
  bounds: RuleBounds,
): Runs {
  const count = reader.count(SPLICE_LEAST_BYTES);
  bounds.meter.spend(count * Work.splice);
  if (count === 0) return before;
  const ruleTotal = ruleCount(before);
  const after = new RunBuilder(before);
  let at = 0;
  for (let i = 0; i < count; i++) {
    const keep = reader.varint();
    const drop = reader.varint();
    const insert = readRuns(reader, direction, PLANE_COLUMNS, bounds);
    if ((keep === 0 && i > 0) || (drop === 0 && insert.count === 0))
      throw reader.error(`splice ${i} is idle`, at);
    if (keep + drop > ruleTotal - at) {
      throw reader.error(`splice ${i} goes beyond the last of ${ruleTotal} rules`, at, ErrorCode.badBase);
    }
    after.pushRules(before, at, at + keep);
    after.pushRules(insert);
    at += keep + drop;
  }
  after.pushRules(before, at, ruleTotal);
  return after.build();
}
