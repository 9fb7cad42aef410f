/**
 * Bodies of changes of lists of names: a list as a whole, or what turns one into another, as one range code.
 * CONTENT.md "Codes of names".
 *
 *   put     flags u8 | count varint | code
 *   patch   flags u8 | removed varint | changed varint | added varint | code
 *           the code says, in this order:
 *           removed   by turns how many entries are kept and how many are removed
 *           changed   how many entries are passed, and what the next stands for from now on
 *           added     how many entries are passed, and a name between the one before and the next
 */

import {
  compareKeys,
  hasWildcards,
  KEY_MAX_BYTES,
  KeyByte,
  KeyWriter,
  keyEnd,
  keyStart,
  type NameList,
  type Names,
  type NamesDelta,
  skipKeys,
} from '@rulecast/rules';
import type { ByteReader } from '../bytes/reader.ts';
import type { ByteWriter } from '../bytes/writer.ts';
import type { PartBounds } from '../content/budget.ts';
import { Work } from '../content/work.ts';
import { ErrorCode } from '../error.ts';
import { Count, type Key, NameCode } from './name-engine.ts';

/** A flag of the first byte. */
const WILDCARDS = 2;

type Resolve = NameList['resolve'];

/** Of who resolves; one at most is said. */
const WHO: ReadonlyMap<number, Resolve> = new Map<number, Resolve>([
  [0, false],
  [1, true],
  [4, 'firewall'],
  [8, 'firewall-private'],
]);

function flagsOf(resolve: Resolve, wildcards: boolean): number {
  const [who = 0] = [...WHO].find(([, word]) => word === resolve) ?? [];
  return who | (wildcards ? WILDCARDS : 0);
}

function readFlags(reader: ByteReader): { readonly resolve: Resolve; readonly wildcards: boolean } {
  const flags = reader.u8();
  const resolve = WHO.get(flags & ~WILDCARDS);
  if (resolve === undefined) throw reader.error(`unknown flags ${flags}`);
  return { resolve, wildcards: (flags & WILDCARDS) !== 0 };
}

/** Our own columns are canonical. */
function ownFault(reason: string): Error {
  return new RangeError(`a name that ${reason}`);
}

// ── Whole ──────────────────────────────────────────────────────────────────────────────────────────────────

/** Appends a list: the body of a put. */
export function writeNameList(writer: ByteWriter, { names, resolve }: NameList): void {
  const { count, bytes } = names;
  const wildcards = hasWildcards(names);
  writer.u8(flagsOf(resolve, wildcards));
  writer.varint(count);
  const code = new NameCode({ names: count, hasWildcards: wildcards, fault: ownFault });
  code.writeNames(bytes);
  writer.bytes(code.finish());
}

/** Reads a list of as many names as there is room for, to the end of the reader. */
export function readNameList(reader: ByteReader, bounds: PartBounds): NameList {
  const { resolve, wildcards } = readFlags(reader);
  const count = reader.varint();
  if (count > bounds.entries)
    throw reader.error(`${count} names; at most ${bounds.entries} are possible`, undefined, bounds.code);
  const source = new NameSource(reader, count, bounds, wildcards);
  const keys = new KeyWriter(KEY_MAX_BYTES);
  for (let left = count; left > 0; ) left -= source.names(left, keys);
  source.end();
  return { kind: 'names', names: keys.take(), resolve };
}

/** Names out of the rest of a reader, each paid for, and as many bytes of them as there is room for. */
class NameSource {
  readonly code: NameCode;
  readonly #reader: ByteReader;
  readonly #bounds: PartBounds;
  readonly #wildcards: boolean;
  #read = 0;
  #bytes = 0;

  constructor(reader: ByteReader, count: number, bounds: PartBounds, wildcards: boolean) {
    bounds.meter.spend(Work.nameCode + count * Work.name);
    this.#reader = reader;
    this.#bounds = bounds;
    this.#wildcards = wildcards;
    const fault = (reason: string): Error => this.#faultOf(reason);
    const bytes = reader.bytes(reader.remaining);
    this.code = new NameCode({ names: count, hasWildcards: wildcards, fault }, bytes);
  }

  /** Some of the next names, `most` at most, are pushed. Returns how many. */
  names(most: number, keys: KeyWriter): number {
    const { count, keys: read, said, fault } = this.code.readNames(most, this.#bounds.bytes - this.#bytes);
    this.#read += count;
    this.#pay(read.length, said);
    if (fault?.kind === 'too-soon') throw this.#endsTooSoon();
    if (fault?.kind === 'name') throw this.#faultOf(fault.reason);
    keys.pushMany(read, 0, read.length, count);
    return count;
  }

  /** The key of the next name, which is below `next`: a view that the next name is written to. */
  name(next: Key | undefined): Uint8Array {
    const { key, said } = this.code.readName(next);
    this.check();
    this.#pay(key.length, said);
    this.#read++;
    return key;
  }

  /**
   * A name that says one character may be as long as the one before: few bytes of code, and many of names.
   */
  #pay(bytes: number, said: number): void {
    const { meter, bytes: most, code } = this.#bounds;
    meter.spend(said * Work.character + (bytes - said) * Work.shared);
    this.#bytes += bytes;
    if (this.#bytes > most) throw this.#reader.error(`names of more than ${most} bytes`, this.#read, code);
  }

  /** Throws where the code has ended before. */
  check(): void {
    if (this.code.isExhausted) throw this.#endsTooSoon();
  }

  /** Throws where the code has not ended. */
  end(): void {
    if (!this.code.isComplete) throw this.#reader.error('a code of names of other bytes than its own');
    if (this.#wildcards !== this.code.hasFoundWildcard)
      throw this.#reader.error('no wildcard, where one is announced');
  }

  #endsTooSoon(): Error {
    return this.#reader.error('a code of names that ends too soon', this.#read);
  }

  #faultOf(reason: string): Error {
    return this.#reader.error(`name ${this.#read} ${reason}`, this.#read);
  }
}

// ── Edits ──────────────────────────────────────────────────────────────────────────────────────────────────

/** What an edit says of an old column. */
interface Edit {
  readonly removed: readonly number[];
  /** Indices, and what the entries stand for from then on. */
  readonly changed: readonly (readonly [number, number])[];
  readonly added: readonly Place[];
}

/** Where an added name belongs. */
interface Place {
  /** Where its key lies in the added column. */
  readonly at: number;
  /** How many old entries come before it. */
  readonly ordinal: number;
  /** Where the last of them and the next one lie in the old column; -1: there is none. */
  readonly beforeAt: number;
  readonly nextAt: number;
}

/** Appends what turns `before` into `after`: the body of a patch. */
export function writeNameEdit(writer: ByteWriter, before: Names, delta: NamesDelta, resolve: Resolve): void {
  const { removed, changed, added } = editOf(before, delta);
  const old = before.bytes;
  const { bytes } = delta.added;
  const wildcards = added.some(({ at }) => bytes[keyEnd(bytes, at) - 1] !== KeyByte.self);
  writer.u8(flagsOf(resolve, wildcards));
  for (const { length } of [removed, changed, added]) writer.varint(length);
  const code = new NameCode({ names: added.length, hasWildcards: wildcards, fault: ownFault });
  writeRemoved(code, removed);
  let from = 0;
  for (const [ordinal, end] of changed) {
    code.number(Count.unchanged, ordinal - from);
    code.end(end);
    from = ordinal + 1;
  }
  let passed = 0;
  added.forEach(({ at, ordinal, beforeAt, nextAt }, i) => {
    code.number(Count.passed, ordinal - passed);
    if (ordinal > passed || i === 0) code.load(old, beforeAt);
    code.writeName(nextAt < 0 ? undefined : { bytes: old, at: nextAt }, { bytes, at });
    passed = ordinal;
  });
  writer.bytes(code.finish());
}

/** By turns how many are kept and how many are removed, less one. */
function writeRemoved(code: NameCode, removed: readonly number[]): void {
  let at = 0;
  for (let i = 0; i < removed.length; ) {
    const start = removed[i]!; // i < length
    let end = start;
    while (removed[i] === end) {
      end++;
      i++;
    }
    code.number(Count.kept, start - at);
    code.number(Count.removed, end - start - 1);
    at = end;
  }
}

function editOf(before: Names, delta: NamesDelta): Edit {
  const old = before.bytes;
  const { bytes } = delta.added;
  const removed: number[] = [];
  const changed: (readonly [number, number])[] = [];
  const added: Place[] = [];
  let next = 0;
  let beforeAt = -1;
  let nextRemoved = 0;
  for (let at = 0, ordinal = 0; at < old.length; ordinal++) {
    let order = 1;
    for (; next < bytes.length; next = keyEnd(bytes, next)) {
      order = compareKeys(bytes, next, old, at);
      if (order >= 0) break;
      added.push({ at: next, ordinal, beforeAt, nextAt: at });
    }
    const end = keyEnd(old, at);
    if (delta.removed[nextRemoved] === ordinal) {
      nextRemoved++;
      if (order === 0) {
        next = keyEnd(bytes, next);
        changed.push([ordinal, bytes[next - 1]!]); // next is behind an end
      } else removed.push(ordinal);
    }
    beforeAt = at;
    at = end;
  }
  for (; next < bytes.length; next = keyEnd(bytes, next))
    added.push({ at: next, ordinal: before.count, beforeAt, nextAt: -1 });
  return { removed, changed, added };
}

/** Reads a patch of a list, and applies it, as far as there is room; to the end of the reader. */
export function readNameEdit(reader: ByteReader, before: NameList, bounds: PartBounds): NameList {
  const { resolve, wildcards } = readFlags(reader);
  const removedCount = reader.varint();
  const changedCount = reader.varint();
  const addedCount = reader.varint();
  const { count } = before.names;
  if (removedCount + changedCount > count)
    throw reader.error('more names are changed than there are', undefined, ErrorCode.badBase);
  if (removedCount + changedCount + addedCount === 0 && resolve === before.resolve)
    throw reader.error('a patch that changes nothing');
  const left = count - removedCount + addedCount;
  if (left > bounds.entries)
    throw reader.error(`${left} names; at most ${bounds.entries} are possible`, undefined, bounds.code);
  bounds.meter.spend((removedCount + changedCount) * Work.number);
  const source = new NameSource(reader, addedCount, bounds, wildcards);
  const rest = new OldNames(before.names, (reason) => reader.error(reason, undefined, ErrorCode.badBase));
  readRemoved(source, rest, removedCount, reader);
  readChanged(source, rest, changedCount);
  for (let i = 0; i < addedCount; i++) {
    const passed = source.code.number(Count.passed);
    source.check();
    rest.keepTo(rest.ordinal + passed);
    if (passed > 0 || i === 0) rest.loadInto(source.code);
    rest.add(source.name(rest.next()));
  }
  source.end();
  return { kind: 'names', names: rest.take(), resolve };
}

function readRemoved(source: NameSource, rest: OldNames, count: number, reader: ByteReader): void {
  let at = 0;
  for (let got = 0; got < count; ) {
    const kept = source.code.number(Count.kept);
    const length = source.code.number(Count.removed) + 1;
    source.check();
    got += length;
    if (got > count || (kept === 0 && at > 0)) throw reader.error('removed names of another number');
    rest.remove(at + kept, length);
    at += kept + length;
  }
}

function readChanged(source: NameSource, rest: OldNames, count: number): void {
  for (let i = 0, at = 0; i < count; i++, at++) {
    at += source.code.number(Count.unchanged);
    const end = source.code.end();
    source.check();
    rest.change(at, end);
  }
}

/** What is left of an old column, entry by entry, with what is new between. */
class OldNames {
  readonly keys: KeyWriter;
  /** The next old entry. */
  ordinal = 0;
  readonly #before: Names;
  readonly #fault: (reason: string) => Error;
  /** Runs of indices: the first, and the one behind the last. */
  readonly #removed: number[] = [];
  #nextRemoved = 0;
  /** Indices, and what stands there from then on. */
  readonly #changed: number[] = [];
  #nextChanged = 0;
  /** The next old entry, and where the one before it lies, or -1. */
  readonly #next: { readonly bytes: Uint8Array; at: number };
  #beforeAt = -1;
  /** Where what is still to be copied begins, and how many entries that is. */
  #keptFrom = 0;
  #keptCount = 0;

  /** @param fault The error of what does not fit the old column. */
  constructor(before: Names, fault: (reason: string) => Error) {
    this.#before = before;
    this.#fault = fault;
    this.#next = { bytes: before.bytes, at: 0 };
    this.keys = new KeyWriter(before.bytes.length + KEY_MAX_BYTES);
  }

  remove(from: number, count: number): void {
    if (from + count > this.#before.count) throw this.#fault('a name is removed that is not there');
    this.#removed.push(from, from + count);
  }

  change(index: number, end: number): void {
    if (index >= this.#before.count) throw this.#fault('a name is changed that is not there');
    this.#changed.push(index, end);
  }

  /** What the entry at hand is below; undefined behind the last. */
  next(): Key | undefined {
    return this.ordinal < this.#before.count ? this.#next : undefined;
  }

  /** The old entry before the one at hand, whatever becomes of it, is what the next name is said after. */
  loadInto(code: NameCode): void {
    code.load(this.#before.bytes, this.#beforeAt);
  }

  /** Takes the old entries up to an index over, but for those that are removed. */
  keepTo(index: number): void {
    const { bytes, count } = this.#before;
    if (index > count) throw this.#fault('a name is added behind more names than there are');
    while (this.ordinal < index) {
      const isRemoved = this.ordinal >= (this.#removed[this.#nextRemoved] ?? Number.POSITIVE_INFINITY);
      const stop = Math.min(index, this.#removed[this.#nextRemoved + (isRemoved ? 1 : 0)] ?? index);
      if (isRemoved) this.#drop(stop);
      else this.#keep(stop);
      if (stop === this.#removed[this.#nextRemoved + 1]) this.#nextRemoved += 2;
    }
    if (index > 0) this.#beforeAt = keyStart(bytes, this.#next.at);
  }

  #drop(stop: number): void {
    if (this.#nextChange() < stop) throw this.#fault('a name is removed and changed');
    this.#copyUpTo(this.#next.at);
    this.#skipTo(stop);
    this.#keptFrom = this.#next.at;
  }

  #keep(stop: number): void {
    while (this.ordinal < stop) {
      const from = this.ordinal;
      const change = this.#nextChange();
      this.#skipTo(Math.min(stop, change + 1));
      this.#keptCount += this.ordinal - from;
      if (this.ordinal === change + 1) this.#change(this.#next.at);
    }
  }

  #nextChange(): number {
    return this.#changed[this.#nextChanged] ?? Number.POSITIVE_INFINITY;
  }

  #skipTo(ordinal: number): void {
    this.#next.at = skipKeys(this.#before.bytes, this.#next.at, ordinal - this.ordinal);
    this.ordinal = ordinal;
  }

  /** Puts a new entry before the one at hand. */
  add(key: Uint8Array): void {
    this.#copyUpTo(this.#next.at);
    this.keys.push(key, 0, key.length);
  }

  /** What has become of all. */
  take(): Names {
    this.keepTo(this.#before.count);
    this.#copyUpTo(this.#before.bytes.length);
    return this.keys.take();
  }

  #change(end: number): void {
    const wanted = this.#changed[this.#nextChanged + 1]!; // indices and ends by turns
    if (this.#before.bytes[end - 1] === wanted) throw this.#fault('a name is changed to what it is');
    this.#copyUpTo(end);
    this.keys.written()[this.keys.length - 1] = wanted;
    this.#nextChanged += 2;
  }

  #copyUpTo(at: number): void {
    this.keys.pushMany(this.#before.bytes, this.#keptFrom, at, this.#keptCount);
    this.#keptFrom = at;
    this.#keptCount = 0;
  }
}
