/** The classes, inverted: the classes of each predicate; and for one part, its runs that hold in a class. */

import type { ClassSets } from '../classes/classes.ts';
import { ASKS_DNS } from '../classes/match-checks.ts';
import { asksNothing, type ProgramPart } from './part.ts';
import { doubled, type WordBuffer } from './words.ts';

/** Classes for which rows have room when there are `count`: an eighth more, for those that edits bring. */
export function roomFor(count: number): number {
  return count + (count >> 3) + 64;
}

export class ProgramClasses {
  /** How many classes the rows have room for. */
  readonly room: number;
  readonly count: number;
  /** The predicates of the present part, each once. */
  predicates: number[] = [];
  /** The classes that those hold in, after `touch`. */
  readonly touched: number[] = [];
  /** The predicates of the present class that the part uses. */
  readonly held: number[] = [];
  /** The runs collected last. */
  runs = new Int32Array(64);
  readonly #sets: ClassSets;
  readonly #dnsClasses = new Set<number>();
  readonly #starts: Uint32Array; // predicate p holds in classes [starts[p], starts[p + 1])
  readonly #classes: Uint32Array;
  readonly #heads: Int32Array; // by predicate: its first run in the part at hand, or -1
  #next = new Int32Array(0); // by position in the part at hand: the next run of the same predicate, or -1
  readonly #lastPair: Int32Array; // by class: its last pair with a predicate of the part at hand, or -1
  #pairPredicates = new Int32Array(0);
  #previousPairs = new Int32Array(0);
  #lists = -1; // offset of the member lists' starts

  constructor(sets: ClassSets, dnsPredicate: number) {
    this.#sets = sets;
    this.count = sets.count;
    this.room = roomFor(sets.count);
    this.#starts = new Uint32Array(sets.predicateCount + 2);
    this.#heads = new Int32Array(sets.predicateCount).fill(-1);
    this.#lastPair = new Int32Array(this.room).fill(-1);
    const starts = this.#starts;
    const pairCount = sets.firstMember(this.count);
    for (let m = 0; m < pairCount; m++) starts[sets.memberAt(m) + 2]! += 1; // a predicate
    for (let p = 2; p < starts.length; p++) starts[p]! += starts[p - 1]!; // p < length
    this.#classes = new Uint32Array(starts.at(-1) ?? 0);
    // Each start is one place late until all its predicate's classes are in.
    for (let classId = 0; classId < this.count; classId++) {
      const end = sets.firstMember(classId + 1);
      for (let m = sets.firstMember(classId); m < end; m++)
        this.#classes[starts[sets.memberAt(m) + 1]!++] = classId; // likewise
    }
    if (dnsPredicate >= 0) {
      for (let i = starts[dnsPredicate]!; i < starts[dnsPredicate + 1]!; i++)
        this.#dnsClasses.add(this.#classes[i]!); // likewise
    }
  }

  /** Selects a part. */
  load(part: ProgramPart): void {
    for (const predicate of this.predicates) this.#heads[predicate] = -1;
    this.predicates = [];
    this.#next = new Int32Array(part.count).fill(-1);
    for (let p = part.count - 1; p >= 0; p--) {
      const predicate = part.predicates[p]!; // p < count
      if (predicate < 0) continue;
      const head = this.#heads[predicate]!; // a predicate
      if (head < 0) this.predicates.push(predicate);
      this.#next[p] = head;
      this.#heads[predicate] = p;
    }
  }

  /** The number of pairs of a class and a predicate. */
  get allPairs(): number {
    return this.#classes.length;
  }

  /** The number of pairs with a predicate of the part. */
  pairs(): number {
    let pairs = 0;
    for (const p of this.predicates) pairs += this.#starts[p + 1]! - this.#starts[p]!; // a predicate
    return pairs;
  }

  /**
   * Finds the classes that the part's predicates hold in. Each must then be asked for once with
   * `holdTouched`.
   */
  touch(): void {
    const pairs = this.pairs();
    if (this.#pairPredicates.length < pairs) {
      this.#pairPredicates = new Int32Array(pairs);
      this.#previousPairs = new Int32Array(pairs);
    }
    this.touched.length = 0;
    let pair = 0;
    for (const predicate of this.predicates) {
      for (let i = this.#starts[predicate]!; i < this.#starts[predicate + 1]!; i++) {
        const classId = this.#classes[i]!; // i < length
        const previous = this.#lastPair[classId]!; // classId < room
        if (previous < 0) this.touched.push(classId);
        this.#pairPredicates[pair] = predicate;
        this.#previousPairs[pair] = previous;
        this.#lastPair[classId] = pair++;
      }
    }
  }

  /** Selects a touched class. */
  holdTouched(classId: number): void {
    this.held.length = 0;
    for (let pair = this.#lastPair[classId]!; pair >= 0; pair = this.#previousPairs[pair]!) {
      // pairs that were made
      this.held.push(this.#pairPredicates[pair]!); // likewise
    }
    this.#lastPair[classId] = -1;
  }

  /** Selects any class. */
  hold(classId: number): void {
    this.held.length = 0;
    const sets = this.#sets;
    const end = sets.firstMember(classId + 1);
    for (let m = sets.firstMember(classId); m < end; m++) {
      const predicate = sets.memberAt(m);
      if (this.#heads[predicate]! >= 0) this.held.push(predicate); // a predicate
    }
  }

  /** Whether runs that ask for a DNS address hold in a class, as far as that matters to a part. */
  isDnsIn(part: ProgramPart, classId: number): boolean {
    return part.asksDns && this.#dnsClasses.has(classId);
  }

  /**
   * Fills `runs` with the runs of some predicates, in order, to the first that asks nothing; returns how many
   * they are.
   */
  collect(part: ProgramPart, predicates: readonly number[], isDns: boolean): number {
    let count = 0;
    let last = part.count; // the first run without checks, among those visited
    for (const predicate of predicates) {
      // The predicate exists, and its runs are those of the present part.
      for (let run = this.#heads[predicate]!; run >= 0 && run < last; run = this.#next[run]!) {
        if (!isDns && (part.checks[run]! & ASKS_DNS) !== 0) continue;
        if (asksNothing(part, run)) last = run;
        if (count === this.runs.length) this.runs = doubled(this.runs);
        this.runs[count++] = run;
      }
    }
    let kept = 0;
    for (let i = 0; i < count; i++) if (this.runs[i]! <= last) this.runs[kept++] = this.runs[i]!; // i < count
    if (predicates.length > 1 && kept > 1) sortFew(this.runs, kept);
    return kept;
  }

  /**
   * Offset of a word for each class with room: the offset of its members, of which the first word is how many
   * they are, << 1, and whether it is a DNS class.
   */
  memberLists(words: WordBuffer): number {
    if (this.#lists >= 0) return this.#lists;
    const nothing = words.take(1, 0);
    const lists = words.take(this.room, nothing << 1);
    for (let classId = 0; classId < this.count; classId++)
      words.set(lists + classId, this.#memberList(words, classId));
    this.#lists = lists;
    return lists;
  }

  #memberList(words: WordBuffer, classId: number): number {
    const at = words.count;
    const sets = this.#sets;
    const end = sets.firstMember(classId + 1);
    words.push(end - sets.firstMember(classId));
    for (let m = sets.firstMember(classId); m < end; m++) words.push(sets.memberAt(m));
    return (at << 1) | (this.#dnsClasses.has(classId) ? 1 : 0);
  }
}

/** Few numbers are nearly always in order, and a call out of JavaScript would cost more than sorting them. */
function sortFew(numbers: Int32Array, count: number): void {
  if (count > 32) {
    numbers.subarray(0, count).sort();
    return;
  }
  for (let i = 1; i < count; i++) {
    const number = numbers[i]!; // i < count
    let j = i;
    for (; j > 0 && numbers[j - 1]! > number; j--) numbers[j] = numbers[j - 1]!; // j - 1 >= 0
    numbers[j] = number;
  }
}
