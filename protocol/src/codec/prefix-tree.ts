/**
 * A canonical column as the binary tree of its prefixes: at each node, whether it is a prefix, whether it has
 * both children, and if not, which. Neighbouring prefixes share most of their nodes, and a prefix can only
 * lie where its length fits, so that lists of networks and crowded hosts are much shorter than by gaps.
 * CONTENT.md "Prefix tree".
 *
 *   tree   length count u8 | prefix length u8 … | payload length varint | payload: decisions of a range coder
 *
 *        root             decisions in preorder, at each node of depth d:
 *        /  \             leaf   only if d is one of the lengths, and not the largest of them
 *       ·    ■ 128/1      both   unless it is a leaf
 *      / \                side   unless it has both: 0 left, 1 right
 *     ·   ■ 64/2
 */

import { bitsOf, type Family, PrefixBuilder, type Prefixes, strideOf, wordMask } from '@rulecast/rules';
import { RangeDecoder, RangeEncoder } from '../bytes/range-coder.ts';
import type { ByteReader } from '../bytes/reader.ts';
import type { ByteWriter } from '../bytes/writer.ts';
import type { PartBounds } from '../content/budget.ts';
import { Work } from '../content/work.ts';

const Decision = { leaf: 0, both: 1, side: 2 } as const;
const DECISIONS = 3;
/**
 * The position of a node below its parent: only child, left of two, right of two whose left is a leaf, or is
 * not.
 */
const Role = { only: 0, left: 1, rightOfLeaf: 2, right: 3 } as const;
const ROLES = 4;

/** The first context of a node; the kind of decision is added. */
function contextOf(depth: number, role: number): number {
  return (depth * ROLES + role) * DECISIONS;
}

function contextCount(family: Family): number {
  return contextOf(bitsOf(family), 0);
}

/** Bit `depth` of an address, 0 being the first. */
function addressBit(words: Uint32Array, at: number, depth: number): 0 | 1 {
  return ((words[at + (depth >>> 5)]! >>> (31 - (depth & 31))) & 1) === 0 ? 0 : 1; // depth is below the family's bits
}

/** Appends a canonical column that is not empty. */
export function writeTree(writer: ByteWriter, prefixes: Prefixes): void {
  const lengths = lengthsInUse(prefixes);
  const payload = treePayload(prefixes, lengths);
  writer.u8(lengths.length);
  for (const length of lengths) writer.u8(length);
  writer.varint(payload.length);
  writer.bytes(payload);
}

function lengthsInUse({ family, lengths }: Prefixes): readonly number[] {
  const used = new Uint8Array(bitsOf(family) + 1);
  for (const length of lengths) used[length] = 1; // a length is at most the family's bits
  return [...used.keys()].filter((length) => used[length] === 1);
}

function treePayload(prefixes: Prefixes, lengths: readonly number[]): Uint8Array {
  const { family, words } = prefixes;
  const stride = strideOf(family);
  const encoder = new RangeEncoder(contextCount(family));
  const mayBeLeaf = leafDepths(family, lengths);
  const forks = forksOf(prefixes);
  let depth = 0;
  let role: number = Role.only;
  for (let i = 0; i < prefixes.lengths.length; i++) {
    const length = prefixes.lengths[i]!; // i < length
    const at = i * stride;
    for (; depth < length; depth++) {
      const context = contextOf(depth, role);
      if (mayBeLeaf[depth] === 1) encoder.encode(context + Decision.leaf, 0);
      if (addressBit(forks, at, depth) === 1) {
        encoder.encode(context + Decision.both, 1);
        role = Role.left;
      } else {
        encoder.encode(context + Decision.both, 0);
        encoder.encode(context + Decision.side, addressBit(words, at, depth));
        role = Role.only;
      }
    }
    if (mayBeLeaf[depth] === 1) encoder.encode(contextOf(depth, role) + Decision.leaf, 1);
    if (i + 1 === prefixes.lengths.length) break;
    depth = commonBits(words, at, stride) + 1;
    role = depth === length ? Role.rightOfLeaf : Role.right;
  }
  return encoder.finish();
}

/** 1 at each depth where nodes have a leaf decision. At the largest length a node is always a leaf. */
function leafDepths(family: Family, lengths: readonly number[]): Uint8Array {
  const depths = new Uint8Array(bitsOf(family) + 1);
  for (const length of lengths.slice(0, -1)) depths[length] = 1; // lengths are at most the family's bits
  return depths;
}

/**
 * For each prefix the depths of the nodes that have both children and this prefix below the left one, as set
 * bits in as many words as an address has. From the last to the first: where a prefix parts from the next,
 * and whatever lies above that for the next.
 */
function forksOf({ family, words, lengths }: Prefixes): Uint32Array {
  const stride = strideOf(family);
  const forks = new Uint32Array(words.length);
  for (let i = lengths.length - 2; i >= 0; i--) {
    const at = i * stride;
    const parting = commonBits(words, at, stride);
    for (let w = 0; w <= parting >>> 5; w++) {
      forks[at + w] = forks[at + stride + w]! & wordMask(parting - w * 32); // the next prefix has its words, too
    }
    forks[at + (parting >>> 5)]! |= 1 << (31 - (parting & 31)); // two prefixes part within the family's bits
  }
  return forks;
}

/**
 * The number of leading bits that a prefix shares with the next; there is a next one, and neither contains
 * the other.
 */
function commonBits(words: Uint32Array, at: number, stride: number): number {
  let w = 0;
  while (words[at + w] === words[at + stride + w]) w++; // they differ in one of their words
  return w * 32 + Math.clz32(words[at + w]! ^ words[at + stride + w]!);
}

/** Reads a canonical column, from one prefix up to as many as there is room for. */
export function readTree(reader: ByteReader, family: Family, bounds: PartBounds): Prefixes {
  const lengths = readLengths(reader, family);
  const decoder = new RangeDecoder(contextCount(family), reader.bytes(reader.varint()));
  const column = new PrefixBuilder(family);
  walkTree(reader, decoder, lengths, bounds, column);
  if (!decoder.complete) throw reader.error('a prefix tree of other bytes than its own');
  const prefixes = column.build();
  if (lengthsInUse(prefixes).length !== lengths.length)
    throw reader.error('a prefix tree without a prefix of one of its lengths');
  return prefixes;
}

function readLengths(reader: ByteReader, family: Family): readonly number[] {
  const lengths = [...reader.bytes(reader.u8())];
  if (lengths.length === 0) throw reader.error('a prefix tree without lengths');
  lengths.forEach((length, i) => {
    if (length > bitsOf(family) || length <= (lengths[i - 1] ?? -1))
      throw reader.error(`a prefix tree with length ${length} after ${lengths[i - 1]}`);
  });
  return lengths;
}

function walkTree(
  reader: ByteReader,
  decoder: RangeDecoder,
  lengths: readonly number[],
  { entries, code, meter }: PartBounds,
  column: PrefixBuilder,
): void {
  const mayBeLeaf = leafDepths(column.family, lengths);
  const largest = lengths.at(-1) ?? 0;
  /** Depths of ancestors with two children, whose right one is still to come. */
  const pending = new Uint8Array(largest + 1);
  let pendingCount = 0;
  const address = new Uint32Array(strideOf(column.family));
  let depth = 0;
  let role: number = Role.only;
  for (;;) {
    for (; depth < largest; depth++) {
      const context = contextOf(depth, role);
      if (mayBeLeaf[depth] === 1 && decoder.decode(context + Decision.leaf) === 1) break;
      if (decoder.decode(context + Decision.both) === 1) {
        pending[pendingCount++] = depth;
        role = Role.left;
        continue;
      }
      role = Role.only;
      if (decoder.decode(context + Decision.side) === 1) setBit(address, depth);
    }
    if (decoder.exhausted) throw reader.error('a prefix tree that ends too soon', column.count);
    if (column.count === entries) throw reader.error(`more than ${entries} prefixes`, column.count, code);
    meter.spend(Work.leaf);
    column.push(address, 0, depth);
    if (pendingCount === 0) return;
    const fork = pending[--pendingCount]!; // pendingCount was above 0
    role = depth === fork + 1 ? Role.rightOfLeaf : Role.right;
    depth = fork + 1;
    clearFrom(address, depth);
    setBit(address, fork);
  }
}

function setBit(address: Uint32Array, depth: number): void {
  address[depth >>> 5]! |= 1 << (31 - (depth & 31)); // depth is below the family's bits
}

/** Clears the bits from `depth` on. */
function clearFrom(address: Uint32Array, depth: number): void {
  for (let w = depth >>> 5; w < address.length; w++) address[w]! &= wordMask(depth - w * 32); // w < length
}
