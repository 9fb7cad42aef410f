/**
 * Bodies of changes of lists of names, before they are packed: a whole list, or the change from one to
 * another. CONTENT.md "Keys".
 *
 *   put     resolve u8 | keys of entries | keys of exceptions
 *   patch   resolve u8 | edit of entries | edit of exceptions
 *   edit    sequence of removed indices | keys
 *   keys    count varint | for each key how many bytes it shares with the one before, u8 … | the others …
 */

import {
  applyNamesDelta,
  atOnce,
  type ColumnFault,
  exceptionFaultPieces,
  faultAround,
  KeyByte,
  keyEnd,
  type NameList,
  type NameSetDelta,
  type Names,
  type NamesDelta,
  namesAt,
  readNames,
} from '@rulecast/rules';
import type { ByteReader } from '../bytes/reader.ts';
import type { ByteWriter } from '../bytes/writer.ts';
import type { PartBounds } from '../content/budget.ts';
import { readResolve, resolveCode } from '../content/canonical.ts';
import { Work } from '../content/work.ts';
import { readIndices, writeSequence } from './entry.ts';

/** Appends a list: the body of a put. */
export function writeNameList(writer: ByteWriter, { names, exceptions, resolve }: NameList): void {
  writer.u8(resolveCode(resolve));
  writeKeys(writer, names);
  writeKeys(writer, exceptions);
}

/** Reads a list of as many names as there is room for. */
export function readNameList(reader: ByteReader, bounds: PartBounds): NameList {
  const resolve = readResolve(reader);
  const names = readKeys(reader, bounds);
  const set = { names, exceptions: readKeys(reader, boundsBeside(names, bounds)) };
  checkExceptions(reader, atOnce(exceptionFaultPieces(set)));
  return { kind: 'names', ...set, resolve };
}

/** The room left beside the entries of a list. */
function boundsBeside({ count, bytes }: Names, bounds: PartBounds): PartBounds {
  return { ...bounds, entries: bounds.entries - count, bytes: bounds.bytes - bytes.length };
}

function checkExceptions(reader: ByteReader, fault: ColumnFault | undefined): void {
  if (fault !== undefined) throw reader.error(`exception ${fault.index} ${fault.reason}`, fault.index);
}

/** Appends the body of a patch: the change from one list to another. */
export function writeNameEdit(writer: ByteWriter, delta: NameSetDelta, resolve: NameList['resolve']): void {
  writer.u8(resolveCode(resolve));
  writeEdit(writer, delta.names);
  writeEdit(writer, delta.exceptions);
}

/** Reads a patch of a list, and applies it, as far as there is room. */
export function readNameEdit(reader: ByteReader, before: NameList, bounds: PartBounds): NameList {
  const resolve = readResolve(reader);
  const names = readEdit(reader, before.names, bounds);
  const exceptions = readEdit(reader, before.exceptions, boundsBeside(names.after, bounds));
  const after: NameList = { kind: 'names', names: names.after, exceptions: exceptions.after, resolve };
  if (names.after === before.names && exceptions.after === before.exceptions && resolve === before.resolve)
    throw reader.error('a patch that changes nothing');
  const delta = { names: names.delta, exceptions: exceptions.delta };
  checkExceptions(reader, editFault(before, delta, after, bounds.meter));
  return after;
}

/**
 * The fault in the exceptions of a patched list. Looks up those that the patch may concern; if they are many,
 * walks the whole list.
 */
function editFault(
  before: NameList,
  { names, exceptions }: NameSetDelta,
  after: NameList,
  meter: PartBounds['meter'],
): ColumnFault | undefined {
  if (after.exceptions.count === 0) return undefined;
  const touched = names.removed.length + names.added.count + exceptions.added.count;
  const walk = (after.names.count + after.exceptions.count) * Work.walked;
  const most = Math.floor(walk / Work.lookup) - touched;
  const columns = [namesAt(before.names, names.removed), names.added, exceptions.added];
  const found = most < 0 ? undefined : faultAround(after, columns, most);
  meter.spend(found === undefined ? 2 * walk : (touched + found.lookedAt) * Work.lookup);
  return found === undefined ? atOnce(exceptionFaultPieces(after)) : found.fault;
}

// ── Edits ──────────────────────────────────────────────────────────────────────────────────────────────────

function writeEdit(writer: ByteWriter, { removed, added }: NamesDelta): void {
  writeSequence(writer, removed, 1);
  writeKeys(writer, added);
}

/** Reads an edit, and applies it to a column: the same object if it changes nothing. */
function readEdit(
  reader: ByteReader,
  before: Names,
  bounds: PartBounds,
): { readonly delta: NamesDelta; readonly after: Names } {
  const removed = readIndices(reader, before.count, bounds.meter);
  const kept = before.count - removed.length;
  if (kept > bounds.entries)
    throw reader.error(`more names are kept than ${bounds.entries}, the most`, undefined, bounds.code);
  const added = readKeys(reader, { ...bounds, entries: bounds.entries - kept });
  const delta = { removed, added };
  if (removed.length + added.count === 0) return { delta, after: before };
  const after = applyNamesDelta(before, delta);
  if (after === undefined) throw reader.error('a name is added that is there');
  return { delta, after };
}

// ── Keys ───────────────────────────────────────────────────────────────────────────────────────────────────

/** Appends a column. */
function writeKeys(writer: ByteWriter, { count, bytes }: Names): void {
  const shared = new Uint8Array(count);
  const rest = new Uint8Array(bytes.length);
  let used = 0;
  for (let i = 0, before = 0, at = 0; i < count; i++) {
    let same = 0;
    if (i > 0) while (bytes[before + same] === bytes[at + same]) same++; // no key is a prefix of another
    const end = keyEnd(bytes, at);
    shared[i] = same;
    for (let from = at + same; from < end; from++) rest[used++] = bytes[from]!; // within a key
    before = at;
    at = end;
  }
  writer.varint(count);
  writer.bytes(shared);
  writer.bytes(rest.subarray(0, used));
}

/** Reads a column of as many names, in as many bytes, as there is room for. */
function readKeys(reader: ByteReader, { entries, bytes: most, code, meter }: PartBounds): Names {
  const count = reader.varint();
  if (count > entries) throw reader.error(`${count} names; at most ${entries} are possible`, undefined, code);
  meter.spend(count * Work.name);
  const shared = reader.bytes(count);
  const rest = reader.bytes(endOfKeys(reader, count));
  let length = rest.length;
  for (const same of shared) length += same;
  if (length > most) throw reader.error(`names of ${length} bytes, more than ${most}`, undefined, code);
  meter.spend(length * Work.keyByte);
  const names = readNames(joined(reader, shared, rest, length));
  if ('reason' in names) throw reader.error(`name ${names.index} ${names.reason}`, names.index);
  return names;
}

/** The number of bytes that hold the ends of so many keys, whose shared beginnings are left out. */
function endOfKeys(reader: ByteReader, count: number): number {
  const bytes = reader.ahead();
  let at = 0;
  for (let left = count; left > 0; at++) {
    if (at === bytes.length) throw reader.error(`${left} of ${count} names are missing`);
    if (bytes[at]! < KeyByte.separator) left--; // at < length
  }
  return at;
}

/** The keys end to end: of each the beginning of the one before, and the rest up to its end. */
function joined(reader: ByteReader, shared: Uint8Array, rest: Uint8Array, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let before = 0;
  let at = 0;
  let from = 0;
  for (let i = 0; i < shared.length; i++) {
    const same = shared[i]!; // i < length
    if (same > 0 && same >= at - before) throw reader.error(`name ${i} shares more than there is`, i);
    if (i > 0 && bytes[before + same] === rest[from])
      throw reader.error(`name ${i} shares less than it has in common`, i);
    const start = at;
    for (let k = 0; k < same; k++) bytes[at++] = bytes[before + k]!; // within the key before
    do
      bytes[at++] = rest[from++]!; // count keys end in the rest
    while (bytes[at - 1]! >= KeyByte.separator);
    before = start;
  }
  return bytes;
}
