/**
 * Maps from an address to a number, the same structure for both families: 16 bits of the address a step.
 *
 * The first step is a directory; each further step is a node, a sorted stretch of cells. A cell is a boundary (the low
 * end of an interval of the next 16 bits) and a value: an answer, or the node that looks at the 16 bits after these.
 *
 *   directory[top 16 bits] ──┬── answer >= 0
 *                            └── ~cell ─▶  cell        bounds            values
 *                                          c           n                 value of the interval from 0
 *                                          c + 1       boundary 1        value of the interval from boundary 1
 *                                          …           …                 …
 *                                          c + n       boundary n        value of the interval from boundary n
 *
 * IPv4 ends after one node, so its values are answers only and as narrow as they can be (1, 2 or 4 bytes); IPv6 values
 * are 4 bytes, and ~cell leads to the next node, of up to seven. A map that gives all addresses one answer has a
 * directory of one slot.
 *
 * All IPv6 in use shares a few dozen first chunks, so that IPv6 nodes have up to 2^16 boundaries. In front of the first cell
 * of a large one stands an index of 2^b cells, which cuts its 16 bits into as many equal parts of some four boundaries:
 *
 *   cell              bounds
 *   c - 2^b + part    how many boundaries are at or below the part's first chunk
 *   c                 n, which so also ends the last part
 */

import { strideOf } from '@rulecast/rules';
import type { Cut, IndexColumn } from './classes.ts';

/** Slots of a directory that has more than one. */
export const DIRECTORY_SLOTS = 65536;

/** Boundaries from which on an IPv6 node has an index. Our choice: below, the search takes no longer than the index. */
const INDEXED_BOUNDS = 64;
/** Boundaries in a part of an index, if they are spread evenly, as a power of two. */
const PART_BITS = 2;

/** What a map needs. */
export interface MapShape {
  readonly slots: 1 | typeof DIRECTORY_SLOTS;
  readonly cells: number;
  /** Bytes of a value. */
  readonly width: 1 | 2 | 4;
}

/** A map in memory. The three views of values lie on the same bytes; `width` says which one means something. */
export interface PrefixMap {
  readonly slotMask: number;
  readonly width: number;
  readonly directory: Int32Array;
  readonly bounds: Uint16Array;
  readonly values8: Uint8Array;
  readonly values16: Uint16Array;
  readonly values32: Int32Array;
}

/** What a map of a cut needs, `classCount` being the number of all classes, of both families. */
export function measureMap(cut: Cut, classCount: number): MapShape {
  const builder = new MapBuilder(cut, undefined);
  const slots = builder.isConstant() ? 1 : DIRECTORY_SLOTS;
  if (slots !== 1) builder.build();
  const narrow = classCount <= 0x100 ? 1 : classCount <= 0x10000 ? 2 : 4;
  return { slots, cells: builder.cells, width: cut.family === 4 ? narrow : 4 };
}

/** Fills a map that has the shape `measureMap` gave for this cut. */
export function writeMap(cut: Cut, map: PrefixMap): void {
  const builder = new MapBuilder(cut, map);
  if (builder.isConstant())
    map.directory[0] = cut.count === 0 ? 0 : cut.classes[0]!; // count > 0
  else builder.build();
}

/** What the map holds for an IPv4 address, signed or unsigned. */
export function find4(map: PrefixMap, address: number): number {
  const found = map.directory[(address >>> 16) & map.slotMask]!; // the mask keeps within the directory
  if (found >= 0) return found;
  const node = ~found;
  const cell = seek(map.bounds, node, map.bounds[node]!, (address & 0xffff) + 1); // a node's first cell exists
  if (map.width === 1) return map.values8[cell]!; // `seek` stays within the node
  return map.width === 2 ? map.values16[cell]! : map.values32[cell]!;
}

/** What the map holds for the IPv6 address in `words[at, at + 4)`. */
export function find6(map: PrefixMap, words: Uint32Array, at: number): number {
  const { bounds, values32 } = map;
  let word = words[at]!; // the caller's address exists
  let found = map.directory[(word >>> 16) & map.slotMask]!; // the mask keeps within the directory
  for (let level = 1; found < 0; level++) {
    let chunk = word & 0xffff;
    if ((level & 1) === 0) {
      word = words[at + (level >> 1)]!; // level <= 7: nodes of the last level hold answers only
      chunk = word >>> 16;
    }
    const node = ~found;
    const count = bounds[node]!; // a node's first cell exists
    const cell =
      count < INDEXED_BOUNDS ? seek(bounds, node, count, chunk + 1) : seekIndexed(bounds, node, count, chunk);
    found = values32[cell]!; // `seek` stays within the node
  }
  return found;
}

/**
 * The last cell, of a first one and the `count` after it, whose boundary is below `limit`; the first one where none is. A
 * binary search whose steps are arithmetic, not branches. It takes two steps a round, the second of which may find nothing
 * left and then stays: the number of rounds, which is a branch, so seldom differs between the nodes of one map.
 */
function seek(bounds: Uint16Array, first: number, count: number, limit: number): number {
  let cell = first;
  let rest = count; // cells from `cell + 1` that may hold the answer
  while (rest > 0) {
    let half = (rest + 1) >> 1;
    cell += half & ((bounds[cell + half]! - limit) >> 31); // cell + half <= node + n
    rest -= half;
    half = (rest + 1) >> 1;
    cell += half & ((bounds[cell + half]! - limit) >> 31); // likewise
    rest -= half;
  }
  return cell;
}

/** The same for a chunk in a whole node with an index. */
function seekIndexed(bounds: Uint16Array, node: number, count: number, chunk: number): number {
  const bits = indexBits(count);
  const part = node - (1 << bits) + (chunk >> (16 - bits));
  const before = bounds[part]!; // within the index; part + 1 may be the node's first cell
  return seek(bounds, node + before, bounds[part + 1]! - before, chunk + 1);
}

/** Address bits that the index of a node tells apart. */
function indexBits(count: number): number {
  return 31 - PART_BITS - Math.clz32(count);
}

/** Walks a cut in address order. Without a map it counts cells, with one it fills it; both walks are the same code. */
class MapBuilder {
  /** Cells so far. */
  cells = 0;
  private readonly starts: Uint32Array;
  private readonly classes: IndexColumn;
  private readonly count: number;
  private readonly stride: 1 | 4;
  private readonly lastLevel: number;
  private readonly map: PrefixMap | undefined;
  private readonly values: Uint8Array | Uint16Array | Int32Array | undefined;

  constructor(cut: Cut, map: PrefixMap | undefined) {
    this.starts = cut.starts;
    this.classes = cut.classes;
    this.count = cut.count;
    this.stride = strideOf(cut.family);
    this.lastLevel = cut.family === 4 ? 1 : 7;
    this.map = map;
    this.values = map && (map.width === 1 ? map.values8 : map.width === 2 ? map.values16 : map.values32);
  }

  /** Whether all addresses have one class. */
  isConstant(): boolean {
    return this.count === 0 || (this.count === 1 && this.chunkAt(0, 0) === 0 && this.isChunkStart(0, 0));
  }

  build(): void {
    const directory = this.map?.directory;
    let classId = 0;
    let slot = 0;
    for (let i = 0; i < this.count; ) {
      const chunk = this.chunkAt(i, 0);
      directory?.fill(classId, slot, chunk);
      const end = this.groupEnd(i, this.count, 0);
      if (this.isChunkStart(i, 0)) classId = this.classes[i++]!; // i < count
      const value = i < end ? ~this.node(1, i, end, classId) : classId;
      if (directory !== undefined) directory[chunk] = value;
      classId = this.classes[end - 1]!; // end > 0
      i = end;
      slot = chunk + 1;
    }
    directory?.fill(classId, slot, DIRECTORY_SLOTS);
  }

  /** A node for the starts [from, to), which lie within its addresses and above the first. Returns its first cell. */
  private node(level: number, from: number, to: number, classId: number): number {
    if (level === this.lastLevel) {
      const node = this.open(to - from);
      this.set(node, to - from, classId);
      if (this.map !== undefined) {
        for (let i = from; i < to; i++)
          this.set(node + 1 + i - from, this.chunkAt(i, level), this.classes[i]!); // i < count
      }
      this.index(node, to - from);
      return node;
    }
    const further = this.innerCells(level, from, to, classId, -1);
    const node = this.open(further);
    this.set(node, further, classId);
    this.innerCells(level, from, to, classId, node);
    this.index(node, further);
    return node;
  }

  /** Takes the cells of a node of `count` boundaries and of its index; returns the node's first. */
  private open(count: number): number {
    const node = this.cells + (this.isIndexed(count) ? 1 << indexBits(count) : 0);
    this.cells = node + 1 + count;
    return node;
  }

  private isIndexed(count: number): boolean {
    return this.stride === 4 && count >= INDEXED_BOUNDS;
  }

  /** Fills the index of a node whose boundaries are made, if it has one. */
  private index(node: number, count: number): void {
    if (this.map === undefined || !this.isIndexed(count)) return;
    const { bounds } = this.map;
    const bits = indexBits(count);
    let before = 0;
    for (let part = 0; part < 1 << bits; part++) {
      const first = part << (16 - bits);
      while (before < count && bounds[node + 1 + before]! <= first) before++; // before < count
      bounds[node - (1 << bits) + part] = before;
    }
  }

  /** Counts the cells of an inner node after its first (`node` < 0), or makes them, and the nodes below it. */
  private innerCells(level: number, from: number, to: number, firstClass: number, node: number): number {
    let further = 0;
    let classId = firstClass;
    let resume = -1; // the chunk after one that leads to a node, until its cell is made
    for (let i = from; i < to; ) {
      const chunk = this.chunkAt(i, level);
      const end = this.groupEnd(i, to, level);
      if (resume >= 0 && resume < chunk) this.cell(node, ++further, resume, classId);
      if (this.isChunkStart(i, level)) classId = this.classes[i++]!; // i < count
      const isLeaf = i === end;
      const value = isLeaf || node < 0 ? classId : ~this.node(level + 1, i, end, classId);
      if (chunk > 0) this.cell(node, ++further, chunk, value);
      else if (node >= 0) this.setValue(node, value);
      classId = this.classes[end - 1]!; // end > 0
      resume = isLeaf || chunk === 0xffff ? -1 : chunk + 1;
      i = end;
    }
    if (resume >= 0) this.cell(node, ++further, resume, classId);
    return further;
  }

  private cell(node: number, offset: number, bound: number, value: number): void {
    if (node >= 0) this.set(node + offset, bound, value);
  }

  private set(cell: number, bound: number, value: number): void {
    if (this.map === undefined) return;
    this.map.bounds[cell] = bound;
    this.setValue(cell, value);
  }

  private setValue(cell: number, value: number): void {
    if (this.values !== undefined) this.values[cell] = value;
  }

  /** The end of the starts from `i` that share its chunk of a level. */
  private groupEnd(i: number, to: number, level: number): number {
    const chunk = this.chunkAt(i, level);
    let end = i + 1;
    while (end < to && this.chunkAt(end, level) === chunk) end++;
    return end;
  }

  private chunkAt(i: number, level: number): number {
    const word = this.starts[i * this.stride + (level >> 1)]!; // i < count
    return (level & 1) === 0 ? word >>> 16 : word & 0xffff;
  }

  /** Whether a start has only zeros after its chunk of a level. */
  private isChunkStart(i: number, level: number): boolean {
    const word = level >> 1;
    if ((level & 1) === 0 && (this.starts[i * this.stride + word]! & 0xffff) !== 0) return false; // i < count
    for (let w = word + 1; w < this.stride; w++) if (this.starts[i * this.stride + w] !== 0) return false;
    return true;
  }
}
