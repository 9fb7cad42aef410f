/**
 * Classes: rules for prefixes, of which the first that matches decides, as longest match. The class of an
 * address is that of the longest prefix that holds it. It lists the rules to check, by protocol and port, up
 * to one without a condition.
 *
 *   rules, in order ─▶ by prefix ─ a walk with a stack of the prefixes around ─▶ class of each prefix ─▶ where it differs from the one around
 *
 * Classes do not contain the places of rules. So when some rules change, only prefixes within theirs can get
 * another class, and only those are walked again. So where some rules changed, only prefixes within theirs
 * can have another class, and the walk is made within those alone.
 */

import { atOnce, type Pieces } from './pieces.ts';
import {
  comparePrefixAt,
  containsAt,
  type Family,
  PrefixBuilder,
  type Prefixes,
  strideOf,
} from './prefix.ts';
import type { RuleMatch } from './rule.ts';
import {
  changeBetween,
  columnPieces,
  commonBits,
  lowerBound,
  MatchKinds,
  orderAfter,
  orderPieces,
  type RuleColumns,
  type RunRange,
  rangeWithin,
  shortened,
} from './rule-columns.ts';

/** The most that a firewall loads: each chain and each rule takes some hundred bytes of kernel memory. */
export const FIREWALL_CHAINS_MAX = 65_536;
export const FIREWALL_RULES_MAX = 262_144;
/**
 * Most rules that are listed while classes are made: beyond, their number is that of rules times that of
 * prefixes.
 */
const LISTED_MAX = 4_194_304;
/** Changes may leave so many unused classes, or kinds of rules, and as many again as there are in use. */
const LEFT_MAX = 1024;
/** Rules in one piece of the walk. */
const PIECE_RULES = 16_384;

/** Immutable, except that later changes may add to `classes`. */
export interface MatchClasses {
  /**
   * Ascending by address, the shorter one first; each once. The first is that of no bits, which holds all
   * addresses.
   */
  readonly prefixes: Prefixes;
  /** By prefix: the class of the addresses for which it is the longest. */
  readonly classOf: Uint32Array;
  /**
   * By class, the rules to check, in order. Only the last has no condition; if there is none, the rules after
   * all of these decide.
   */
  readonly classes: readonly (readonly RuleMatch[])[];
}

/** Classes, with the data needed to update them after a change. */
class KnownClasses implements MatchClasses {
  readonly prefixes: Prefixes;
  readonly classOf: Uint32Array;
  readonly columns: RuleColumns;
  /** The rules' indices, sorted by prefix. */
  readonly order: Uint32Array;
  readonly names: ClassNames;
  /** At least as many rules as were listed for these classes. */
  readonly listed: number;

  constructor(walk: Walk) {
    const { columns, order, names, listed } = walk;
    this.columns = columns;
    this.order = order;
    this.names = names;
    this.listed = listed;
    this.prefixes = walk.keptPrefixes();
    this.classOf = walk.keptClasses();
  }

  get classes(): readonly (readonly RuleMatch[])[] {
    return this.names.classes;
  }
}

/**
 * The classes of some runs, in the order in which they are asked. With those of `before`, the numbers of
 * classes stay as they were, and the walk follows the change; they say the same. Throws RangeError where they
 * would be too many rules.
 */
export function classesOf(range: RunRange, family: Family, before?: MatchClasses): MatchClasses {
  const classes = classesAfter(range, family, before) ?? atOnce(classPieces(range, family));
  if (classes !== undefined) return classes;
  throw new RangeError('rules with conditions for many prefixes of each other: gather destinations in lists');
}

/** The same, in pieces of some milliseconds; undefined where they would be too many rules. */
export function* classPieces(range: RunRange, family: Family): Pieces<MatchClasses | undefined> {
  const kinds = new MatchKinds();
  const columns = yield* columnPieces(range, family, kinds);
  yield;
  const order = yield* orderPieces(columns);
  const walk = new Walk(columns, order, new ClassNames(kinds), 0);
  const { at, stack } = walk.begin();
  for (let next = at; next < order.length && !walk.isOver; yield)
    next = walk.within(next, Math.min(order.length, next + PIECE_RULES), order.length, stack);
  if (walk.isOver) return undefined;
  walk.names.settle();
  return new KnownClasses(walk);
}

/** The classes of `before`, updated; undefined if too much changed for that to pay. */
export function classesAfter(
  range: RunRange,
  family: Family,
  before: MatchClasses | undefined,
): MatchClasses | undefined {
  if (!(before instanceof KnownClasses) || before.prefixes.family !== family || before.names.isFull)
    return undefined;
  const columns = atOnce(columnPieces(range, family, before.names.kinds));
  const change = changeBetween(before.columns, columns);
  if (change === undefined) return undefined;
  if (change.removed.length + change.added.length === 0) return before;
  const changed = outermost(before.columns.prefixes, change.removed, columns.prefixes, change.added);
  if (changed.lengths[0] === 0) return undefined; // what is for all addresses may change all classes
  const walk = new Walk(columns, orderAfter(before.order, change, columns), before.names, before.listed);
  let from = 0; // the next class to copy from those before
  for (let at = 0; at < changed.lengths.length; at++) {
    const [keptFrom, keptTo] = rangeWithin(changed, at, before.prefixes, undefined);
    walk.copy(before, from, keptFrom);
    from = keptTo;
    const [ruleFrom, ruleTo] = rangeWithin(changed, at, columns.prefixes, walk.order);
    walk.within(ruleFrom, ruleTo, ruleTo, [walk.around(changed, at)]);
    if (walk.listed > LISTED_MAX) return undefined; // many of these classes may belong to rules that are gone
  }
  walk.copy(before, from, before.classOf.length);
  return new KnownClasses(walk);
}

/** The class of the longest prefix that holds all of another one. */
export function classFor({ prefixes, classOf }: MatchClasses, of: Prefixes, at: number): number {
  for (let [inner, i] = [of, at]; ; ) {
    const next = lowerBound(classOf.length, (place) => comparePrefixAt(prefixes, place, inner, i) <= 0);
    const before = Math.max(0, next - 1);
    if (containsAt(prefixes, before, inner.words, i)) return classOf[before]!; // a place; the first holds all
    // Every rule prefix around the inner one is around this one too, so it is not longer than the bits they
    // share.
    inner = shortened(inner, i, commonBits(prefixes, before, inner, i));
    i = 0;
  }
}

/** The prefixes of both columns, ascending, without those within another one. */
function outermost(a: Prefixes, ofA: readonly number[], b: Prefixes, ofB: readonly number[]): Prefixes {
  const all = new PrefixBuilder(a.family, ofA.length + ofB.length);
  for (const at of ofA) all.push(a.words, at, a.lengths[at]!); // of that column, here and below
  for (const at of ofB) all.push(b.words, at, b.lengths[at]!);
  const prefixes = all.build();
  const out = new PrefixBuilder(a.family);
  let last = -1;
  for (const at of [...prefixes.lengths.keys()].sort((i, j) => comparePrefixAt(prefixes, i, prefixes, j))) {
    if (last >= 0 && containsAt(prefixes, last, prefixes.words, at)) continue;
    out.push(prefixes.words, at, prefixes.lengths[at]!);
    last = at;
  }
  return out.build();
}

// ── The walk ───────────────────────────────────────────────────────────────────────────────────────────────

/**
 * A prefix that holds the one that is looked at, with the rules that hold for it, ascending, and their class.
 */
interface Around {
  /** One for this prefix; GROUND: it holds all that is walked through. */
  readonly rule: number;
  readonly list: readonly number[];
  readonly class: number;
}

const GROUND = -1;

/** Walks rules by prefix, and collects the prefixes whose class differs from the one around. */
class Walk {
  readonly columns: RuleColumns;
  readonly order: Uint32Array;
  readonly names: ClassNames;
  /** Rules. Beyond LISTED_MAX, the walk has ended early. */
  listed: number;
  // The result so far:
  readonly #words: Uint32Array;
  readonly #lengths: Uint8Array;
  readonly #classOf: Uint32Array;
  #count = 0;

  constructor(columns: RuleColumns, order: Uint32Array, names: ClassNames, listed: number) {
    const most = order.length + 1; // each prefix is that of a rule, or of no bits
    this.columns = columns;
    this.order = order;
    this.names = names;
    this.listed = listed;
    this.#words = new Uint32Array(most * strideOf(columns.prefixes.family));
    this.#lengths = new Uint8Array(most);
    this.#classOf = new Uint32Array(most);
  }

  get isOver(): boolean {
    return this.listed > LISTED_MAX || this.names.rulesLeft < 0;
  }

  /** Collects the prefix of length 0. Returns the first rule after those for it, and the stack with it. */
  begin(): { readonly at: number; readonly stack: Around[] } {
    const { family } = this.columns.prefixes;
    const everything = { family, words: new Uint32Array(strideOf(family)), lengths: Uint8Array.of(0) };
    const [, at] = this.#rulesFor(everything);
    const list = this.#merged([], 0, at);
    const ground = { rule: GROUND, list, class: this.names.classOf(list, this.columns.kinds) };
    this.#keep(everything, 0, ground.class);
    return { at, stack: [ground] };
  }

  /**
   * Through the rules [from, to) by prefix, and those after them for the last of these prefixes; all before
   * `end` lie within the first of `stack`, which has what is around them, the longest last, and is left so
   * for the next ones. Returns the first rule that it did not come to.
   */
  within(from: number, to: number, end: number, stack: Around[]): number {
    const { columns, order, names } = this;
    const { prefixes, kinds } = columns;
    const [ground] = stack;
    let at = from;
    while (at < to && !this.isOver && ground !== undefined) {
      const rule = order[at]!; // at < to, here and below
      let next = at + 1;
      while (next < end && comparePrefixAt(prefixes, rule, prefixes, order[next]!) === 0) next++;
      let around = stack[stack.length - 1] ?? ground;
      while (around !== ground && !containsAt(prefixes, around.rule, prefixes.words, rule)) {
        stack.pop();
        around = stack[stack.length - 1] ?? ground;
      }
      const list = this.#merged(around.list, at, next);
      at = next;
      if (list === around.list) continue;
      const own = names.classOf(list, kinds);
      stack.push({ rule, list, class: own });
      if (own !== around.class) this.#keep(prefixes, rule, own);
    }
    return at;
  }

  /**
   * The rules that apply to the whole of a prefix before its own are walked, from the shorter prefixes around
   * it.
   */
  around(prefixes: Prefixes, at: number): Around {
    let list: readonly number[] = [];
    for (let length = 0; length < prefixes.lengths[at]!; length++) {
      const [from, to] = this.#rulesFor(shortened(prefixes, at, length));
      if (from < to) list = this.#merged(list, from, to);
    }
    return { rule: GROUND, list, class: this.names.classOf(list, this.columns.kinds) };
  }

  /** The places [from, to) in the order of the rules for a prefix itself. */
  #rulesFor(prefix: Prefixes): readonly [number, number] {
    const { columns, order } = this;
    const compare = (at: number): number => comparePrefixAt(columns.prefixes, order[at]!, prefix, 0); // at < length
    const from = lowerBound(order.length, (at) => compare(at) < 0);
    return [from, lowerBound(order.length, (at) => compare(at) <= 0)];
  }

  /**
   * Merges the rules around a prefix with its own rules [from, to), ascending, up to the first one without a
   * condition. Returns `outer` itself if they add nothing.
   */
  #merged(outer: readonly number[], from: number, to: number): readonly number[] {
    const { columns, order, names } = this;
    const isFree = (rule: number): boolean => names.kinds.free[columns.kinds[rule]!] === true; // a rule
    const first = order[from] ?? Number.POSITIVE_INFINITY;
    const last = outer[outer.length - 1];
    if (last !== undefined && last < first && isFree(last)) return outer;
    const list: number[] = [];
    for (let a = 0, b = from; a < outer.length || b < to; ) {
      const left = outer[a] ?? Number.POSITIVE_INFINITY;
      const right = b < to ? order[b]! : Number.POSITIVE_INFINITY; // b < to
      const rule = Math.min(left, right);
      if (left === rule) a++;
      else b++;
      list.push(rule);
      if (isFree(rule)) break;
    }
    if (list.length > 1) this.listed += list.length;
    return list;
  }

  #keep(prefixes: Prefixes, at: number, own: number): void {
    const stride = strideOf(prefixes.family);
    const to = this.#count++;
    for (let w = 0; w < stride; w++) this.#words[to * stride + w] = prefixes.words[at * stride + w]!; // a prefix of theirs
    this.#lengths[to] = prefixes.lengths[at]!;
    this.#classOf[to] = own;
  }

  /** Copies prefixes [from, to) with their classes from those before the change. */
  copy({ prefixes, classOf }: MatchClasses, from: number, to: number): void {
    const stride = strideOf(prefixes.family);
    this.#words.set(prefixes.words.subarray(from * stride, to * stride), this.#count * stride);
    this.#lengths.set(prefixes.lengths.subarray(from, to), this.#count);
    this.#classOf.set(classOf.subarray(from, to), this.#count);
    this.#count += to - from;
  }

  keptPrefixes(): Prefixes {
    const { family } = this.columns.prefixes;
    const words = fitted(this.#words, this.#count * strideOf(family));
    return { family, words, lengths: fitted(this.#lengths, this.#count) };
  }

  keptClasses(): Uint32Array {
    return fitted(this.#classOf, this.#count);
  }
}

/** The first ones of a column: a copy, where most of it is of no use. */
function fitted<T extends Uint32Array | Uint8Array>(column: T, count: number): T {
  return (count * 2 < column.length ? column.slice(0, count) : column.subarray(0, count)) as T; // of the same type
}

/** Assigns classes to lists of rules: equal lists get the same class. Only ever grows. */
class ClassNames {
  readonly classes: RuleMatch[][] = [];
  readonly kinds: MatchKinds;
  /** By kind: the class of a list with that kind alone. */
  readonly #alone: number[] = [];
  /** By kinds in their order. */
  readonly #known = new Map<string, number>();
  /** The number of rules that further classes may still add. */
  rulesLeft = FIREWALL_RULES_MAX;
  #most = Number.POSITIVE_INFINITY;

  constructor(kinds: MatchKinds) {
    this.kinds = kinds;
  }

  /** Allows what there is now, and as much again for later changes. */
  settle(): void {
    this.rulesLeft = Number.POSITIVE_INFINITY; // for later changes, the caller counts
    this.#most = 2 * (this.classes.length + this.kinds.matches.length) + LEFT_MAX;
  }

  get isFull(): boolean {
    return this.classes.length + this.kinds.matches.length > this.#most;
  }

  classOf(list: readonly number[], kindOf: Uint32Array): number {
    const only = kindOf[list[0] ?? -1];
    if (list.length === 1 && only !== undefined) {
      const known = this.#alone[only] ?? this.#named([only]);
      this.#alone[only] = known;
      return known;
    }
    return this.#named(this.#withoutVain(list, kindOf));
  }

  #named(kinds: readonly number[]): number {
    const key = kinds.join();
    let known = this.#known.get(key);
    if (known === undefined) {
      known = this.classes.length;
      this.#known.set(key, known);
      this.classes.push(kinds.flatMap((kind) => this.kinds.matches[kind] ?? []));
      this.rulesLeft -= kinds.length;
    }
    return known;
  }

  /**
   * The kinds of a list of rules, without repeats, and without rules at the end whose action is the default's
   * anyway.
   */
  #withoutVain(list: readonly number[], kindOf: Uint32Array): readonly number[] {
    const kinds = [...new Set(list.map((rule) => kindOf[rule]!))]; // a rule
    const action = (kind: number | undefined): RuleMatch['action'] | undefined =>
      this.kinds.matches[kind ?? -1]?.action;
    const last = kinds.at(-1) ?? -1;
    while (this.kinds.free[last] === true && kinds.length > 1 && action(kinds.at(-2)) === action(last))
      kinds.splice(-2, 1);
    return kinds;
  }
}
