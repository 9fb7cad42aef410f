/**
 * Sets of names: entries, and exceptions of them. The nearest entry or exception decides about a name: one
 * for the name itself, else one for all names below its parent, and so on upwards. An exception takes the
 * names that it stands for out of the set, and an entry below it brings some back.
 *
 *   entries      .cdn.example     ok.bad.cdn.example
 *   exceptions   .bad.cdn.example
 *   has          cdn.example   a.cdn.example   ok.bad.cdn.example
 *   has not      bad.cdn.example   x.bad.cdn.example
 *
 * So the union, the intersection and the difference of two such sets are again such sets, exactly. In a
 * canonical set every exception removes all names that it stands for, and no entry of the same name contains
 * any of them.
 */

import { BELOW, BOTH, bitsIn, bytesOfLeft, type NameSet, type NamesLeft, SELF } from './name-lookup.ts';
import {
  type ColumnFault,
  compareKeys,
  entryTextAt,
  hasWildcards,
  KeyByte,
  keyEnd,
  keyOf,
  type Names,
  NO_NAMES,
  namePieces,
  PIECE_KEYS,
  placeOf,
  sameNames,
} from './names.ts';
import type { NamesDelta } from './names-delta.ts';
import { KeyWriter, namesOf } from './names-writer.ts';
import { atOnce, type Pieces } from './pieces.ts';

export const NO_NAME_SET: NameSet = { names: NO_NAMES, exceptions: NO_NAMES };

/** The set of some entries without exceptions. */
export function nameSetOf(names: Names): NameSet {
  return names.count === 0 ? NO_NAME_SET : { names, exceptions: NO_NAMES };
}

/** The set that some entries and exceptions, as texts in any order, say; of the same name exceptions win. */
export function nameSetOfTexts(names: Iterable<string>, exceptions: Iterable<string> = []): NameSet {
  return canonicalNames({ names: namesOf(names), exceptions: namesOf(exceptions) });
}

/** What a set contains about a name. */
export interface NameStanding {
  /** `below`: only names below it are in the set; `excepted`: by an exception it is not. */
  readonly how: 'all' | 'excepted' | 'below';
  /** The nearest entry or exception that applies to the name, or the first of those below it. */
  readonly entries: readonly string[];
}

/** What a set contains about a name in normal form, with at most `most` entries; undefined if nothing. */
export function standingOf(
  { names, exceptions }: NameSet,
  name: string,
  most: number,
): NameStanding | undefined {
  for (let at = 0; at >= 0; at = name.indexOf('.', at) + 1 || -1) {
    const above = keyOf(name.slice(at), KeyByte.self);
    for (const column of [exceptions, names]) {
      if ((bitsIn(column, above) & (at > 0 ? BELOW : SELF)) === 0) continue;
      const entry = entryTextAt(column.bytes, placeOf(column.bytes, 0, above, 0));
      return { how: column === names ? 'all' : 'excepted', entries: [entry] };
    }
  }
  const { bytes } = names;
  const key = keyOf(name, KeyByte.self);
  const entries: string[] = [];
  for (
    let at = placeOf(bytes, 0, key, 0);
    at < bytes.length && entries.length < most && isKeyWithin(bytes, at, key, 0, key.length - 1);
    at = keyEnd(bytes, at)
  )
    entries.push(entryTextAt(bytes, at));
  return entries.length === 0 ? undefined : { how: 'below', entries };
}

export function sameNameSet(a: NameSet, b: NameSet): boolean {
  return sameNames(a.names, b.names) && sameNames(a.exceptions, b.exceptions);
}

// ── Two sets, name by name ─────────────────────────────────────────────────────────────────────────────────

/** A name of which one or both of two sets say something; the next one is in its place. */
interface Meeting {
  /** The scope of the entries and exceptions of this very name, in bits. */
  a: number;
  b: number;
  exceptA: number;
  exceptB: number;
  /** The scope the sets would have here without an entry or exception for this name: BOTH or 0. */
  aboveA: number;
  aboveB: number;
  /** The scope the sets have here. */
  allA: number;
  allB: number;
  /** The key. */
  bytes: Uint8Array;
  start: number;
  end: number;
}

/**
 * The path of names above the current one at which the state changes: below them, names are in a set that
 * were not, or the reverse.
 */
class Above {
  /** A key that begins with the names of all levels. */
  #bytes: Uint8Array = NO_NAMES.bytes;
  #start = 0;
  readonly #lengths: number[] = [];
  readonly #states: number[] = [];
  /** The state below the last level: bits of `a`, and those of `b` shifted by two. */
  state = 0;

  /** Leaves the levels that the key at `start` is not below. */
  leave(bytes: Uint8Array, start: number): void {
    let depth = this.#lengths.length;
    if (depth === 0) return;
    while (depth > 0 && !isKeyBelow(bytes, start, this.#bytes, this.#start, this.#lengths[depth - 1]!))
      depth--; // depth > 0
    this.#lengths.length = depth;
    this.#states.length = depth;
    this.state = this.#states[depth - 1] ?? 0;
  }

  /** Enters a name whose names below have another state; `length` bytes of its key, without the end. */
  enter(bytes: Uint8Array, start: number, length: number, state: number): void {
    if (state === this.state) return;
    this.#bytes = bytes;
    this.#start = start;
    this.#lengths.push(length);
    this.#states.push(state);
    this.state = state;
  }
}

/** The change from one set to another. */
export interface NameSetDelta {
  readonly names: NamesDelta;
  readonly exceptions: NamesDelta;
}

/** Whether the key at `at` is below the name of `length` bytes at `start` of another column. */
function isKeyBelow(
  bytes: Uint8Array,
  at: number,
  other: Uint8Array,
  start: number,
  length: number,
): boolean {
  for (let i = 0; i < length; i++) if (bytes[at + i] !== other[start + i]) return false;
  return bytes[at + length] === KeyByte.separator;
}

/**
 * Visits each name that either set mentions, in order. Neither need be canonical: where an entry and an
 * exception of one name overlap, the exception wins.
 */
function* meetingPieces(a: NameSet, b: NameSet, visit: (meeting: Meeting) => void): Pieces<void> {
  const columns = [a.names.bytes, a.exceptions.bytes, b.names.bytes, b.exceptions.bytes] as const;
  const at = [0, 0, 0, 0];
  const bits = [0, 0, 0, 0];
  const above = new Above();
  const meeting: Meeting = {
    ...{ a: 0, b: 0, exceptA: 0, exceptB: 0, aboveA: 0, aboveB: 0, allA: 0, allB: 0 },
    ...{ bytes: columns[0], start: 0, end: 0 },
  };
  for (let met = 1; ; met++) {
    if (met % PIECE_KEYS === 0) yield undefined;
    let first = -1;
    let tied = 0; // columns that have the first key, in bits
    for (let c = 0; c < 4; c++) {
      if (at[c]! >= columns[c]!.length) continue; // one of four
      const order = first < 0 ? -1 : compareKeys(columns[c]!, at[c]!, columns[first]!, at[first]!); // likewise
      if (order < 0) first = c;
      if (order <= 0) tied = (order < 0 ? 0 : tied) | (1 << c);
    }
    if (first < 0) return;
    const bytes = columns[first]!; // one of four
    const start = at[first]!; // likewise
    const end = keyEnd(bytes, start);
    for (let c = 0; c < 4; c++) {
      bits[c] = 0;
      if (((tied >> c) & 1) === 0) continue;
      at[c]! += end - start; // the same name, and one byte behind it
      bits[c] = columns[c]![at[c]! - 1]! + 1; // an end
    }
    above.leave(bytes, start);
    meeting.a = bits[0]!; // one of four, as the following
    meeting.exceptA = bits[1]!;
    meeting.b = bits[2]!;
    meeting.exceptB = bits[3]!;
    meeting.aboveA = above.state & BOTH;
    meeting.aboveB = above.state >> 2;
    meeting.allA = (meeting.aboveA | meeting.a) & ~meeting.exceptA;
    meeting.allB = (meeting.aboveB | meeting.b) & ~meeting.exceptB;
    meeting.bytes = bytes;
    meeting.start = start;
    meeting.end = end;
    visit(meeting);
    const below = ((meeting.allA & BELOW) === 0 ? 0 : BOTH) | ((meeting.allB & BELOW) === 0 ? 0 : BOTH << 2);
    above.enter(bytes, start, end - 1 - start, below);
  }
}

/** In which of two sets a name is, in bits, to whether it is in the result: bit by bit. */
type Operation = (a: number, b: number) => number;

/**
 * The canonical set of the names for which `operation` returns a bit. Entries stay as they were written, even
 * if others cover them.
 */
function* combinedPieces(a: NameSet, b: NameSet, operation: Operation): Pieces<NameSet> {
  const names = new KeyWriter(a.names.bytes.length + b.names.bytes.length);
  const exceptions = new KeyWriter();
  yield* meetingPieces(a, b, (met) => {
    const all = operation(met.allA, met.allB);
    const above = operation(met.aboveA, met.aboveB);
    const entry = all & (~above | met.a | met.b);
    const exception = above & ~all;
    if (entry !== 0) names.pushAs(met.bytes, met.start, met.end, entry - 1);
    if (exception !== 0) exceptions.pushAs(met.bytes, met.start, met.end, exception - 1);
  });
  return { names: names.take(), exceptions: exceptions.take() };
}

/** The union of two sets. */
export function unionNames(a: NameSet, b: NameSet): NameSet {
  return atOnce(combinedPieces(a, b, (inA, inB) => inA | inB));
}

/** The intersection of two sets. */
export function intersectNames(a: NameSet, b: NameSet): NameSet {
  return atOnce(combinedPieces(a, b, (inA, inB) => inA & inB));
}

/** The names in `a` that are not in `b`. */
export function subtractNames(a: NameSet, b: NameSet): NameSet {
  return atOnce(combinedPieces(a, b, (inA, inB) => inA & ~inB));
}

/**
 * The canonical set with the same names; where an entry and an exception have the same name, the exception
 * wins.
 */
export function canonicalNames(set: NameSet): NameSet {
  if (set.exceptions.count === 0) return set;
  return atOnce(combinedPieces(set, NO_NAME_SET, (inSet) => inSet));
}

const IDLE = 'excepts what no entry above it stands for, or an entry of its name';

/** The first exception of two canonical columns that keeps them from being a canonical set; in pieces. */
export function* exceptionFaultPieces(set: NameSet): Pieces<ColumnFault | undefined> {
  if (set.exceptions.count === 0) return undefined;
  let index = -1;
  let fault: ColumnFault | undefined;
  yield* meetingPieces(set, NO_NAME_SET, ({ a, exceptA, aboveA }) => {
    if (exceptA !== 0) index++;
    if (fault === undefined && (exceptA & (a | ~aboveA)) !== 0) fault = { index, reason: IDLE };
  });
  return fault;
}

/** Exceptions of a set that were looked up, and the first that keeps it from being canonical. */
export interface FaultAround {
  readonly lookedAt: number;
  readonly fault: ColumnFault | undefined;
}

/**
 * The same of two columns that were a canonical set until some entries and exceptions came, and some entries
 * went: only exceptions of these names and below them can be at odds. Undefined where there are more than
 * `most`.
 */
export function faultAround(set: NameSet, touched: readonly Names[], most: number): FaultAround | undefined {
  const { bytes } = set.exceptions;
  let lookedAt = 0;
  for (const { bytes: keys } of touched) {
    for (let at = 0, next = 0; at < keys.length; at = keyEnd(keys, at)) {
      const length = keyEnd(keys, at) - 1 - at;
      next = placeOf(bytes, next, keys, at);
      while (next < bytes.length && isKeyWithin(bytes, next, keys, at, length)) {
        if (++lookedAt > most) return undefined;
        if (!takesAll(set, next))
          return { lookedAt, fault: { index: keysBefore(bytes, next), reason: IDLE } };
        next = keyEnd(bytes, next);
      }
    }
  }
  return { lookedAt, fault: undefined };
}

/** Whether the key at `at` is of the name of `length` bytes at `start` of another column, or below it. */
function isKeyWithin(
  bytes: Uint8Array,
  at: number,
  other: Uint8Array,
  start: number,
  length: number,
): boolean {
  for (let i = 0; i < length; i++) if (bytes[at + i] !== other[start + i]) return false;
  return bytes[at + length]! <= KeyByte.separator; // a column ends in the end of a key
}

/** Whether the exception whose key starts at `at` removes every name in its scope. */
function takesAll({ names, exceptions }: NameSet, at: number): boolean {
  const end = keyEnd(exceptions.bytes, at);
  const own = bitsIn(names, exceptions.bytes.subarray(at, end));
  if ((own & (exceptions.bytes[end - 1]! + 1)) !== 0) return false; // an end
  for (let i = end - 2; i > at; i--) {
    if (exceptions.bytes[i] !== KeyByte.separator) continue;
    const above = exceptions.bytes.slice(at, i + 1);
    above[i - at] = KeyByte.self;
    if ((bitsIn(exceptions, above) & BELOW) !== 0) return false;
    if ((bitsIn(names, above) & BELOW) !== 0) return true;
  }
  return false;
}

function keysBefore(bytes: Uint8Array, end: number): number {
  let count = 0;
  for (let at = 0; at < end; at = keyEnd(bytes, at)) count++;
  return count;
}

/** Bytes of entries and of exceptions as a canonical set, or what is wrong with them. In pieces. */
export function* nameSetPieces(
  bytes: Uint8Array,
  exceptionBytes: Uint8Array,
): Pieces<NameSet | (ColumnFault & { readonly of: 'name' | 'exception' })> {
  const names = yield* namePieces(bytes);
  if ('reason' in names) return { ...names, of: 'name' };
  const exceptions = yield* namePieces(exceptionBytes);
  if ('reason' in exceptions) return { ...exceptions, of: 'exception' };
  const set = { names, exceptions };
  const fault = yield* exceptionFaultPieces(set);
  return fault === undefined ? set : { ...fault, of: 'exception' };
}

/**
 * The names of a set's entries themselves, without the names below them, and the number of suffix entries
 * reduced that way; entries for names below only are left out.
 */
export function plainNames(set: NameSet): { readonly names: Names; readonly suffixCount: number } {
  if (!hasWildcards(set.names)) return { names: set.names, suffixCount: 0 };
  let suffixCount = 0;
  const plain = new KeyWriter(set.names.bytes.length);
  atOnce(
    meetingPieces(nameSetOf(set.names), NO_NAME_SET, ({ a, bytes, start, end }) => {
      if ((a & BELOW) !== 0) suffixCount++;
      if ((a & SELF) !== 0) plain.pushAs(bytes, start, end, KeyByte.self);
    }),
  );
  return { names: plain.take(), suffixCount };
}

/** Entries whose scope is wider than before under the same names, and removed exceptions. */
export interface WiderNames {
  readonly count: number;
  /** The first, as it is now, for people. */
  readonly first: string;
}

/**
 * The entries of `after` that stand for more than `before` has of their names, and the exceptions of `before`
 * of which `after` has some names; with `countsFirst`, where no entry of `before` stands for names below its
 * own, all entries that do. Undefined: none. In pieces.
 */
export function* widerPieces(
  before: NameSet,
  after: NameSet,
  countsFirst: boolean,
): Pieces<WiderNames | undefined> {
  if (!hasWildcards(after.names) && before.exceptions.count === 0) return undefined;
  const isFirst = countsFirst && !hasWildcards(before.names);
  let count = 0;
  let first = '';
  yield* meetingPieces(before, after, ({ a, b, exceptA, allA, allB, bytes, start }) => {
    const isEntry = (a !== 0 || (isFirst && (b & BELOW) !== 0)) && (b & ~allA) !== 0;
    const isException = (exceptA & allB) !== 0;
    if ((isEntry || isException) && count++ === 0)
      first = isEntry
        ? entryTextAt(bytes, start, b - 1)
        : `${entryTextAt(bytes, start, exceptA - 1)}, no exception any more`;
  });
  return count === 0 ? undefined : { count, first };
}

/**
 * The record between two sets; `before` is undefined if it is not known. Returns undefined if the record
 * takes more than `mostBytes`. Linear in both.
 */
export function leftBetween(
  before: NameSet | undefined,
  after: NameSet,
  mostBytes: number,
): NamesLeft | undefined {
  const left =
    before === undefined
      ? { isOfGone: false, names: after }
      : { isOfGone: true, names: subtractNames(before, after) };
  return bytesOfLeft(left) <= mostBytes ? left : undefined;
}
