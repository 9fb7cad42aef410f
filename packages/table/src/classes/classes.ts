/**
 * Destination classes: predicates (sets of prefixes) cut the address space, and addresses that satisfy the
 * same predicates share a class (docs/explain/design.md "The table"; the idea is that of equivalence classes
 * in recursive flow classification, Gupta and McKeown 1999).
 *
 * One sweep over the sorted boundaries of all predicates, each of which switches one predicate on or off:
 *
 *   predicate 0      [===========)         [=====)
 *   predicate 1             [==============)
 *   class        0   1      2    3         1     0        1 = {0}, 2 = {0, 1}, 3 = {1}
 *
 * The boundaries of one predicate come sorted from its canonical column, so merging natural runs is the only
 * sorting; a single list of any size needs none.
 */

import { compareWordsAt, type Family, type Prefixes, strideOf } from '@rulecast/rules';
import { TableLimitCode, TableLimitError, type TableLimits } from '../limits.ts';
import type { PredicateColumns } from './predicate-columns.ts';

/** Unsigned numbers in the narrowest array that holds them. */
export type IndexColumn = Uint8Array<ArrayBuffer> | Uint16Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

/** The addresses at which the class changes. Below the first start, addresses have class 0. */
export interface Cut {
  readonly family: Family;
  /**
   * Interval i begins at the address in the words from `i * stride`; ascending, distinct; longer than needed.
   */
  readonly starts: Uint32Array;
  /** The class of each interval; always differs from that of the interval before. */
  readonly classes: IndexColumn;
  readonly count: number;
  /** The number of different classes among the addresses of this family. */
  readonly classCount: number;
}

/** The class of addresses that satisfy no predicate. */
const NO_PREDICATE_CLASS = 0;

/**
 * Steps of `(class, predicate toggled)` remembered by a sweep; a power of two, small enough for the L2 cache.
 */
const STEP_SLOTS = 4096;

/** The narrowest column of `length` numbers up to `max`. */
function indexColumn(max: number, length: number): IndexColumn {
  if (max <= 0xff) return new Uint8Array(length);
  return max <= 0xffff ? new Uint16Array(length) : new Uint32Array(length);
}

/**
 * All classes so far, as sets of predicates, and the set under construction. Sets are compared, never only
 * hashed.
 */
export class ClassSets {
  readonly #limits: TableLimits;
  #predicateCount: number;
  #isOn: Uint8Array<ArrayBuffer>; // by predicate: whether it is in the set under construction
  #place: Uint32Array<ArrayBuffer>; // by predicate: its index in `current`
  #current: Uint32Array<ArrayBuffer>; // the set under construction, in no order
  #currentCount = 0;
  #currentHash = 0;
  #starts: Uint32Array<ArrayBuffer> = new Uint32Array(64); // class c holds members [starts[c], starts[c + 1])
  #hashes: Uint32Array<ArrayBuffer> = new Uint32Array(64);
  #members: Uint32Array<ArrayBuffer> = new Uint32Array(64);
  #slots = new Int32Array(256).fill(-1); // open addressing: hash -> class
  #used = 0;

  constructor(predicateCount: number, limits: TableLimits) {
    this.#limits = limits;
    this.#predicateCount = predicateCount;
    this.#isOn = new Uint8Array(predicateCount);
    this.#place = new Uint32Array(predicateCount);
    this.#current = new Uint32Array(predicateCount);
    this.intern(); // the empty set becomes NO_PREDICATE_CLASS
  }

  get count(): number {
    return this.#used;
  }

  get predicateCount(): number {
    return this.#predicateCount;
  }

  /** A predicate more, which holds in no class yet. */
  addPredicate(): number {
    const predicate = this.#predicateCount++;
    if (predicate >= this.#isOn.length) {
      const isOn = new Uint8Array(predicate * 2 + 16);
      isOn.set(this.#isOn);
      this.#isOn = isOn;
      this.#place = grown(this.#place, isOn.length);
      this.#current = grown(this.#current, isOn.length);
    }
    return predicate;
  }

  /** The predicates of a class, in no order. A view; do not keep. */
  membersOf(classId: number): Uint32Array {
    return this.#members.subarray(this.#starts[classId], this.#starts[classId + 1]);
  }

  /**
   * The index of a class's first predicate among those of all classes; those of the next class begin where
   * they end.
   */
  firstMember(classId: number): number {
    return this.#starts[classId]!; // classId <= count
  }

  /** One of the predicates of all classes; a view for each class would take longer to make than to read. */
  memberAt(index: number): number {
    return this.#members[index]!; // the caller's index is below the first member of class `count`
  }

  /** Puts a predicate into the set under construction, or takes it out. */
  toggle(predicate: number): void {
    this.#currentHash = (this.#currentHash ^ spread(predicate)) >>> 0;
    if (this.#isOn[predicate] === 0) {
      this.#isOn[predicate] = 1;
      this.#place[predicate] = this.#currentCount;
      this.#current[this.#currentCount++] = predicate;
      return;
    }
    this.#isOn[predicate] = 0;
    const last = this.#current[--this.#currentCount]!; // the set was not empty
    const place = this.#place[predicate]!; // predicate < predicateCount
    this.#current[place] = last;
    this.#place[last] = place;
  }

  clear(): void {
    while (this.#currentCount > 0) this.toggle(this.#current[this.#currentCount - 1]!); // within the set
  }

  /**
   * The class of a class's predicates with some added or removed, each of them named once. No class may be
   * under construction. Throws TableLimitError like `intern`.
   */
  toggled(classId: number, predicates: readonly number[]): number {
    const start = this.#starts[classId]!; // classId < used
    const end = this.#starts[classId + 1]!;
    for (let i = start; i < end; i++) this.toggle(this.#members[i]!); // i < members used
    for (const predicate of predicates) this.toggle(predicate);
    try {
      return this.intern();
    } finally {
      this.clear();
    }
  }

  /** The class of the set under construction. Throws TableLimitError if it would be one too many. */
  intern(): number {
    const mask = this.#slots.length - 1;
    let slot = this.#currentHash & mask;
    for (let known = this.#slots[slot]!; known >= 0; known = this.#slots[slot]!) {
      if (this.#hashes[known] === this.#currentHash && this.#isCurrent(known)) return known;
      slot = (slot + 1) & mask;
    }
    this.#checkRoom();
    this.#slots[slot] = this.#used;
    return this.#add();
  }

  #isCurrent(classId: number): boolean {
    const start = this.#starts[classId]!; // classId < used
    const end = this.#starts[classId + 1]!;
    if (end - start !== this.#currentCount) return false;
    for (let i = start; i < end; i++) if (this.#isOn[this.#members[i]!] === 0) return false; // i < members used
    return true;
  }

  #checkRoom(): void {
    const limits = this.#limits;
    const end = this.#starts[this.#used]! + this.#currentCount; // there is one start more than there are classes
    if (this.#used >= limits.classes)
      throw new TableLimitError(TableLimitCode.classes, limits.classes, 'address classes');
    if (end > limits.classMembers)
      throw new TableLimitError(
        TableLimitCode.classMembers,
        limits.classMembers,
        'predicates over all classes',
      );
  }

  #add(): number {
    const start = this.#starts[this.#used]!; // likewise
    const end = start + this.#currentCount;
    if (this.#used + 2 > this.#starts.length) {
      this.#starts = grown(this.#starts, this.#used + 2);
      this.#hashes = grown(this.#hashes, this.#used + 2);
    }
    if (end > this.#members.length) this.#members = grown(this.#members, end);
    this.#members.set(this.#current.subarray(0, this.#currentCount), start);
    this.#starts[this.#used + 1] = end;
    this.#hashes[this.#used] = this.#currentHash;
    if (++this.#used * 2 > this.#slots.length) this.#rehash();
    return this.#used - 1;
  }

  #rehash(): void {
    const mask = this.#slots.length * 4 - 1;
    const slots = new Int32Array(mask + 1).fill(-1);
    for (let classId = 0; classId < this.#used; classId++) {
      let slot = this.#hashes[classId]! & mask; // classId < used
      while (slots[slot]! >= 0) slot = (slot + 1) & mask;
      slots[slot] = classId;
    }
    this.#slots = slots;
  }
}

/**
 * A hash of a predicate's number; the hash of a set is the exclusive or of its members', so toggling is O(1).
 */
function spread(predicate: number): number {
  let hash = Math.imul(predicate + 1, 0x9e3779b1);
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}

function grown(array: Uint32Array<ArrayBuffer>, needed: number): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(Math.max(needed, array.length * 2));
  larger.set(array);
  return larger;
}

/** Cuts the addresses of the columns' family. Adds its classes to `sets`. */
export function cutSpace(columns: PredicateColumns, sets: ClassSets): Cut {
  return sweep(columns.family, boundariesOf(columns), sets);
}

/** Sorted boundaries, each of which toggles a predicate. Several at one address count together. */
export interface Boundaries {
  keys: Uint32Array<ArrayBuffer>;
  predicates: IndexColumn;
  count: number;
}

/** The boundaries of all predicates of some columns, each of which is canonical. */
export function boundariesOf(columns: PredicateColumns): Boundaries {
  const stride = strideOf(columns.family);
  const { starts, entryCount, large } = columns;
  const keys = new Uint32Array(entryCount * 2 * stride);
  const predicates = indexColumn(columns.count - 1, entryCount * 2);
  const pushEdges = columns.family === 4 ? pushEdges4 : pushEdges6;
  let count = 0;
  for (let predicate = 0; predicate < columns.count; predicate++) {
    const whole = large.get(predicate);
    const end =
      whole === undefined
        ? pushEdges(columns, starts[predicate]!, starts[predicate + 1]!, keys, count) // predicate < count
        : pushEdges(whole, 0, whole.lengths.length, keys, count);
    if (end - count > 16)
      predicates.fill(predicate, count, end); // a call out of JavaScript, too much for a few
    else for (let i = count; i < end; i++) predicates[i] = predicate;
    count = end;
  }
  const boundaries = { keys, predicates, count };
  mergeRuns(stride, boundaries);
  return boundaries;
}

/** Addresses of an IPv4 prefix by its length: a power each time takes as long as the rest of a step. */
const SPANS4 = Float64Array.from({ length: 33 }, (_, length) => 2 ** (32 - length));

/**
 * Appends first addresses and addresses after the last of a predicate; where members touch, neither. Returns
 * the new count.
 */
function pushEdges4(
  { words, lengths }: Pick<Prefixes, 'words' | 'lengths'>,
  start: number,
  end: number,
  keys: Uint32Array,
  from: number,
): number {
  let count = from;
  for (let i = start; i < end; i++) {
    const first = words[i]!; // i < entries
    const after = first + SPANS4[lengths[i]!]!; // likewise; a length is at most 32
    if (count > from && keys[count - 1] === first) count--;
    else keys[count++] = first;
    if (after < 2 ** 32) keys[count++] = after;
  }
  return count;
}

function pushEdges6(
  { words, lengths }: Pick<Prefixes, 'words' | 'lengths'>,
  start: number,
  end: number,
  keys: Uint32Array,
  from: number,
): number {
  let count = from;
  for (let i = start; i < end; i++) {
    if (count > from && compareWordsAt(keys, count - 1, words, i, 4) === 0) count--;
    else copyKey6(words, i, keys, count++);
    copyKey6(words, i, keys, count);
    if (stepOver6(keys, count, lengths[i]!)) count++; // i < entries
  }
  return count;
}

function copyKey6(from: Uint32Array, i: number, to: Uint32Array, j: number): void {
  for (let w = 0; w < 4; w++) to[j * 4 + w] = from[i * 4 + w]!; // the caller's entries exist
}

/** Turns a prefix's first address into the one after its last; false if there is none. */
function stepOver6(keys: Uint32Array, at: number, length: number): boolean {
  if (length === 0) return false;
  let word = (length - 1) >> 5;
  let step = 2 ** (31 - ((length - 1) & 31));
  for (; word >= 0; word--) {
    const sum = keys[at * 4 + word]! + step; // word < 4
    keys[at * 4 + word] = sum; // stores the sum modulo 2^32
    if (sum < 2 ** 32) return true;
    step = 1;
  }
  return false;
}

/** Natural merge sort in place. Ascending input costs one look at it. */
function mergeRuns(stride: 1 | 4, boundaries: Boundaries): void {
  let runs = naturalRuns(stride, boundaries);
  let spare = spareFor(stride, boundaries, 0);
  while (runs.length > 2) {
    const merged: number[] = [0];
    for (let r = 0; r + 1 < runs.length; r += 2) {
      const start = runs[r]!; // r + 1 < length
      const middle = runs[r + 1]!;
      const end = runs[r + 2] ?? middle;
      const shorter = Math.min(middle - start, end - middle);
      if (shorter > spare.count) spare = spareFor(stride, boundaries, Math.max(shorter, spare.count * 2));
      mergeTwo(stride, boundaries, spare, start, middle, end);
      merged.push(end);
    }
    runs = merged;
  }
}

/** Spare room for some boundaries: for `wanted` of them, but no more than half of all. */
function spareFor(stride: 1 | 4, { predicates, count }: Boundaries, wanted: number): Boundaries {
  const room = Math.min(wanted, count >> 1);
  return { keys: new Uint32Array(room * stride), predicates: predicates.slice(0, room), count: room };
}

/** The starts of the ascending stretches, and the end. */
function naturalRuns(stride: 1 | 4, { keys, count }: Boundaries): number[] {
  const runs = [0];
  for (let i = 1; i < count; i++) if (compareWordsAt(keys, i - 1, keys, i, stride) > 0) runs.push(i);
  if (count > 0) runs.push(count);
  return runs;
}

/**
 * Merges [start, middle) and [middle, end), of which the spare has room for the shorter: that goes there, and
 * its place is filled from its outer end on.
 */
function mergeTwo(
  stride: 1 | 4,
  { keys, predicates }: Boundaries,
  { keys: spareKeys, predicates: sparePredicates }: Boundaries,
  start: number,
  middle: number,
  end: number,
): void {
  const isForward = middle - start <= end - middle;
  const from = isForward ? start : middle;
  const count = isForward ? middle - start : end - middle;
  for (let k = 0; k < count; k++) {
    sparePredicates[k] = predicates[from + k]!; // within the boundaries
    if (stride === 1) spareKeys[k] = keys[from + k]!;
    else copyKey6(keys, from + k, spareKeys, k);
  }
  const step = isForward ? 1 : -1;
  const beyond = isForward ? end : start - 1; // the end of those that stay in place
  let out = isForward ? start : end - 1;
  let i = isForward ? 0 : count - 1; // the next of the spare
  let j = isForward ? middle : middle - 1; // the next of those that stay in place
  for (let left = count; left > 0; out += step) {
    let isDue = j === beyond;
    if (!isDue) {
      // i and j are within the spare and what stays.
      const order = stride === 1 ? spareKeys[i]! - keys[j]! : compareWordsAt(spareKeys, i, keys, j, 4);
      isDue = isForward ? order <= 0 : order >= 0;
    }
    if (isDue) {
      predicates[out] = sparePredicates[i]!; // likewise
      if (stride === 1) keys[out] = spareKeys[i]!;
      else copyKey6(spareKeys, i, keys, out);
      i += step;
      left--;
    } else {
      predicates[out] = predicates[j]!;
      if (stride === 1) keys[out] = keys[j]!;
      else copyKey6(keys, j, keys, out);
      j += step;
    }
  }
}

/** Turns boundaries into intervals, in the memory of the boundaries: intervals are never more. */
function sweep(family: Family, boundaries: Boundaries, sets: ClassSets): Cut {
  const stride = strideOf(family);
  const { keys, predicates, count } = boundaries;
  const step = {
    from: new Int32Array(STEP_SLOTS).fill(-1),
    by: new Uint32Array(STEP_SLOTS),
    to: new Uint32Array(STEP_SLOTS),
  };
  let classes = predicates;
  let widest = 2 ** (8 * classes.BYTES_PER_ELEMENT) - 1;
  let seen = new Uint8Array(256);
  let intervals = 0;
  let classId = NO_PREDICATE_CLASS;
  sets.clear();
  for (let i = 0; i < count; ) {
    const key = i;
    const predicate = predicates[i]!; // i < count
    sets.toggle(predicate);
    i++;
    let next: number;
    if (i < count && compareWordsAt(keys, key, keys, i, stride) === 0) {
      do sets.toggle(predicates[i++]!);
      while (i < count && compareWordsAt(keys, key, keys, i, stride) === 0);
      next = sets.intern();
    } else {
      const slot = (Math.imul(classId, 0x9e3779b1) ^ predicate) & (STEP_SLOTS - 1);
      if (step.from[slot] !== classId || step.by[slot] !== predicate) {
        step.from[slot] = classId;
        step.by[slot] = predicate;
        step.to[slot] = sets.intern();
      }
      next = step.to[slot]!; // slot < STEP_SLOTS
    }
    if (next === classId) continue;
    classId = next;
    if (classId > widest) {
      widest = classId > 0xffff ? 0xffffffff : 0xffff;
      const wider = indexColumn(widest, count);
      wider.set(classes.subarray(0, intervals));
      classes = wider;
    }
    if (classId >= seen.length) {
      const longer = new Uint8Array(Math.max(classId + 1, seen.length * 2));
      longer.set(seen);
      seen = longer;
    }
    seen[classId] = 1;
    if (stride === 1)
      keys[intervals] = keys[key]!; // key < count
    else copyKey6(keys, key, keys, intervals);
    classes[intervals++] = classId;
  }
  sets.clear();
  const startsAtZero = intervals > 0 && isZero(keys, stride);
  if (!startsAtZero) seen[NO_PREDICATE_CLASS] = 1;
  return {
    family,
    starts: keys,
    classes,
    count: intervals,
    classCount: seen.reduce((sum, one) => sum + one, 0),
  };
}

function isZero(keys: Uint32Array, stride: number): boolean {
  for (let w = 0; w < stride; w++) if (keys[w] !== 0) return false;
  return true;
}
