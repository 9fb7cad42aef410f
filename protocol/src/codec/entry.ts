/**
 * Entries as ascending numbers: a list is written per prefix length as the gaps between its networks, or as a
 * prefix tree; a removal as the gaps between indices. CONTENT.md
 * "Entry encoding".
 *
 *   sequence   count varint | block of up to 4,096 …
 *   block      codec u8 | payload length varint | payload
 *   column     group count u8 | (prefix length u8, sequence)… by ascending length
 *              or 255 | prefix tree
 */

import { bitsOf, canonicalPrefixes, type Family, type Prefixes, strideOf, wordMask } from '@rulecast/rules';
import type { ByteReader } from '../bytes/reader.ts';
import { ByteWriter } from '../bytes/writer.ts';
import type { PartBounds } from '../content/budget.ts';
import { Work } from '../content/work.ts';
import { ErrorCode } from '../error.ts';
import { ENTRY_BLOCK_ENTRIES } from '../limits.ts';
import { decodeGaps, encodeGaps, type Gaps, newGaps, type Stride } from './gap.ts';
import { readTree, writeTree } from './prefix-tree.ts';

/** The least bytes of a block: a codec byte and a payload length. */
const BLOCK_LEAST_BYTES = 2;
/** In place of a group count: the column is a prefix tree. */
const TREE_FORM = 255;

/**
 * Stretches spread over a column: if none of them is shorter as a tree than its share of the groups, no tree
 * of the whole is made. A tree takes 0.1 to 0.4 µs an entry to write, groups a tenth of it, and random hosts
 * gain nothing by it. Our choice: it misses gains of about 1 %, by a dense region between two stretches, or
 * smaller than the cost of learning a tree of 1,024 entries.
 */
const TREE_SAMPLES = 32;
const TREE_SAMPLE_ENTRIES = 2 ** 10;

const gapsOf: Readonly<Record<Stride, Gaps>> = { 1: newGaps(1), 4: newGaps(4) };

/** Appends strictly ascending numbers of `stride` words each. */
export function writeSequence(writer: ByteWriter, numbers: Uint32Array, stride: Stride): void {
  const count = numbers.length / stride;
  const gaps = gapsOf[stride];
  writer.varint(count);
  for (let from = 0; from < count; from += ENTRY_BLOCK_ENTRIES) {
    gaps.count = Math.min(ENTRY_BLOCK_ENTRIES, count - from);
    if (stride === 1) fillGaps1(numbers, from, gaps);
    else fillGaps4(numbers, from, gaps);
    writeBlock(writer, gaps);
  }
}

/**
 * The gap before a number is its distance to the one before, less one; before the first it is the number
 * itself.
 */
function fillGaps1(numbers: Uint32Array, from: number, { words, count }: Gaps): void {
  let last = from === 0 ? -1 : numbers[from - 1]!; // from is within the numbers
  for (let i = 0; i < count; i++) {
    const number = numbers[from + i]!; // count numbers from `from`
    words[i] = number - last - 1;
    last = number;
  }
}

/** The same for numbers of four words: subtraction with borrow. */
function fillGaps4(numbers: Uint32Array, from: number, { words, count }: Gaps): void {
  for (let i = 0; i < count; i++) {
    const at = (from + i) * 4;
    let borrow = at === 0 ? 0 : 1;
    for (let w = 3; w >= 0; w--) {
      const before = at === 0 ? 0 : numbers[at - 4 + w]!; // at >= 4
      const difference = numbers[at + w]! - before - borrow; // at + w is within the numbers
      words[i * 4 + w] = difference;
      borrow = difference < 0 ? 1 : 0;
    }
  }
}

function writeBlock(writer: ByteWriter, gaps: Gaps): void {
  const { code, bytes } = encodeGaps(gaps);
  writer.u8(code);
  writer.varint(bytes.length);
  writer.bytes(bytes);
}

/**
 * Reads numbers that ascend strictly and fit their words, as many as there is room for. Their memory grows
 * with the bytes that were read, not with the count announced. The caller checks the last number against its
 * range.
 */
export function readSequence(
  reader: ByteReader,
  stride: Stride,
  { entries, code, meter }: Omit<PartBounds, 'bytes'>,
): Uint32Array {
  const count = reader.varint();
  if (count > entries)
    throw reader.error(`${count} numbers; at most ${entries} are possible`, undefined, code);
  meter.spend(count * Work.number);
  const blocks = Math.ceil(count / ENTRY_BLOCK_ENTRIES);
  if (blocks * BLOCK_LEAST_BYTES > reader.remaining) throw reader.error(`${count} numbers in too few bytes`);
  const gaps = gapsOf[stride];
  let numbers = new Uint32Array(Math.min(count, reader.remaining) * stride);
  for (let from = 0; from < count; from += ENTRY_BLOCK_ENTRIES) {
    gaps.count = Math.min(ENTRY_BLOCK_ENTRIES, count - from);
    readBlock(reader, gaps, from);
    const needed = (from + gaps.count) * stride;
    if (needed > numbers.length) {
      const larger = new Uint32Array(Math.min(count * stride, Math.max(needed, numbers.length * 2)));
      larger.set(numbers);
      numbers = larger;
    }
    const bad = stride === 1 ? addGaps1(gaps, numbers, from) : addGaps4(gaps, numbers, from);
    if (bad >= 0) throw reader.error(`number ${bad} is too large`, bad);
  }
  return numbers.length === count * stride ? numbers : numbers.slice(0, count * stride);
}

function readBlock(reader: ByteReader, gaps: Gaps, from: number): void {
  const code = reader.u8();
  if (!decodeGaps(code, reader.nested(reader.varint()), gaps))
    throw reader.error(`a malformed block of codec ${code} at ${from}`, from);
}

/** Turns the gaps of a block into numbers. Returns the index of the first that exceeds its word, or -1. */
function addGaps1({ words, count }: Gaps, numbers: Uint32Array, from: number): number {
  let number = from === 0 ? -1 : numbers[from - 1]!; // from is within the numbers
  for (let i = 0; i < count; i++) {
    number += words[i]! + 1; // i < count; exact: below 2^33
    if (number > 0xffff_ffff) return from + i;
    numbers[from + i] = number;
  }
  return -1;
}

/** The same for numbers of four words: addition with carry. */
function addGaps4({ words, count }: Gaps, numbers: Uint32Array, from: number): number {
  for (let i = 0; i < count; i++) {
    const at = (from + i) * 4;
    let carry = at === 0 ? 0 : 1;
    for (let w = 3; w >= 0; w--) {
      const before = at === 0 ? 0 : numbers[at - 4 + w]!; // at >= 4
      const sum = before + words[i * 4 + w]! + carry; // i < count, four words each
      numbers[at + w] = sum;
      carry = sum > 0xffff_ffff ? 1 : 0;
    }
    if (carry !== 0) return from + i;
  }
  return -1;
}

/** Appends a canonical column in the shorter of its forms. */
export function writeEntries(writer: ByteWriter, prefixes: Prefixes): void {
  const groups = written(writeGroups, prefixes);
  const tree = mayTreePay(prefixes, groups.length) ? written(writeTreeForm, prefixes) : groups;
  writer.bytes(tree.length < groups.length ? tree : groups);
}

/** Whether a tree of one of some stretches is shorter than its share of the groups. */
function mayTreePay({ family, words, lengths }: Prefixes, groupBytes: number): boolean {
  const stride = strideOf(family);
  const step = Math.max(TREE_SAMPLE_ENTRIES, Math.ceil(lengths.length / TREE_SAMPLES));
  for (let from = 0; from < lengths.length; from += step) {
    const to = from + TREE_SAMPLE_ENTRIES;
    const stretch = {
      family,
      words: words.subarray(from * stride, to * stride),
      lengths: lengths.subarray(from, to),
    };
    const share = (groupBytes * stretch.lengths.length) / lengths.length;
    if (written(writeTreeForm, stretch).length < share) return true;
  }
  return false;
}

function written(write: (writer: ByteWriter, prefixes: Prefixes) => void, prefixes: Prefixes): Uint8Array {
  const writer = new ByteWriter(prefixes.lengths.length * 2);
  write(writer, prefixes);
  return writer.take();
}

function writeTreeForm(writer: ByteWriter, prefixes: Prefixes): void {
  writer.u8(TREE_FORM);
  writeTree(writer, prefixes);
}

/** One group per prefix length in use. */
function writeGroups(writer: ByteWriter, prefixes: Prefixes): void {
  const stride = strideOf(prefixes.family);
  const groups = networksByLength(prefixes);
  writer.u8(groups.size);
  for (const [length, networks] of groups) {
    writer.u8(length);
    writeSequence(writer, networks, stride);
  }
}

/**
 * The network numbers of a column, ascending, by ascending prefix length. A number is the address without its
 * host bits.
 */
function networksByLength({ family, words, lengths }: Prefixes): Map<number, Uint32Array> {
  const stride = strideOf(family);
  const counts = new Uint32Array(bitsOf(family) + 1);
  for (const length of lengths) counts[length]!++; // a length is at most the family's bits
  const groups = new Map<number, Uint32Array>();
  counts.forEach((count, length) => {
    if (count > 0) groups.set(length, new Uint32Array(count * stride));
  });
  const byLength = Array.from(counts, (_, length) => groups.get(length));
  counts.fill(0); // from here on: how many numbers of each group are written
  for (let i = 0; i < lengths.length; i++) {
    const length = lengths[i]!; // i < length
    const numbers = byLength[length]!; // every length in use has a group
    const slot = counts[length]!++;
    if (family === 4) numbers[slot] = length === 0 ? 0 : words[i]! >>> (32 - length);
    else shiftRight(words, i * 4, 128 - length, numbers, slot * 4);
  }
  return groups;
}

/** Four words of `to` become four words of `from`, shifted right by `bits` (0..128). */
function shiftRight(from: Uint32Array, fromAt: number, bits: number, to: Uint32Array, toAt: number): void {
  const whole = bits >>> 5;
  const part = bits & 31;
  for (let w = 3; w >= 0; w--) {
    const low = w >= whole ? from[fromAt + w - whole]! : 0; // four words from fromAt
    const high = w > whole ? from[fromAt + w - whole - 1]! : 0;
    to[toAt + w] = part === 0 ? low : (low >>> part) | (high << (32 - part));
  }
}

/** Four words shifted left by `bits` (0..128) where they are. */
function shiftLeft(words: Uint32Array, at: number, bits: number): void {
  const whole = bits >>> 5;
  const part = bits & 31;
  for (let w = 0; w < 4; w++) {
    const high = w + whole < 4 ? words[at + w + whole]! : 0; // four words from at
    const low = w + whole < 3 ? words[at + w + whole + 1]! : 0;
    words[at + w] = part === 0 ? high : (high << part) | (low >>> (32 - part));
  }
}

/** Reads a canonical column of as many prefixes as there is room for. */
export function readEntries(reader: ByteReader, family: Family, bounds: PartBounds): Prefixes {
  const groupCount = reader.u8();
  if (groupCount === TREE_FORM) return readTree(reader, family, bounds);
  const groups: Prefixes[] = [];
  let total = 0;
  let lastLength = -1;
  for (let g = 0; g < groupCount; g++) {
    const length = reader.u8();
    if (length <= lastLength || length > bitsOf(family))
      throw reader.error(`a group of length ${length} after ${lastLength}`);
    lastLength = length;
    const group = readGroup(reader, family, length, { ...bounds, entries: bounds.entries - total });
    total += group.lengths.length;
    groups.push(group);
  }
  const column = canonicalPrefixes(joined(family, groups, total));
  if (column.lengths.length !== total) {
    throw reader.error(`${total - column.lengths.length} prefixes lie within others`);
  }
  return column;
}

function readGroup(reader: ByteReader, family: Family, length: number, bounds: PartBounds): Prefixes {
  const stride = strideOf(family);
  const words = readSequence(reader, stride, bounds);
  const count = words.length / stride;
  if (count === 0) throw reader.error(`an empty group of length ${length}`);
  const hostBits = bitsOf(family) - length;
  // Numbers ascend, so checking the last, the largest, is enough: are all of them networks of this length?
  for (let w = 0; w < stride; w++) {
    const excess = words[words.length - stride + w]! & wordMask(hostBits - w * 32); // count > 0
    if (excess !== 0) throw reader.error(`a network that /${length} cannot hold`, count - 1);
  }
  if (family === 6) for (let i = 0; i < count; i++) shiftLeft(words, i * 4, hostBits);
  else if (hostBits < 32) for (let i = 0; i < count; i++) words[i]! <<= hostBits; // a /0 has number and address 0
  return { family, words, lengths: new Uint8Array(count).fill(length) };
}

function joined(family: Family, groups: readonly Prefixes[], total: number): Prefixes {
  const only = groups[0];
  if (only !== undefined && groups.length === 1) return only;
  const words = new Uint32Array(total * strideOf(family));
  const lengths = new Uint8Array(total);
  let at = 0;
  for (const group of groups) {
    words.set(group.words, at * strideOf(family));
    lengths.set(group.lengths, at);
    at += group.lengths.length;
  }
  return { family, words, lengths };
}

/** Reads the indices of removed entries: ascending, below `countBefore`. */
export function readIndices(
  reader: ByteReader,
  countBefore: number,
  meter: PartBounds['meter'],
): Uint32Array {
  const indices = readSequence(reader, 1, { entries: countBefore, code: ErrorCode.badBase, meter });
  const last = indices.at(-1);
  if (last !== undefined && last >= countBefore) {
    throw reader.error(
      `entry ${last} is removed, but there are only ${countBefore}`,
      last,
      ErrorCode.badBase,
    );
  }
  return indices;
}
