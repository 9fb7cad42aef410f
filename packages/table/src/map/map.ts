/**
 * Maps from an address to a number, the same structure for both families: 16 bits of the address a step.
 *
 *   directory[top 16 bits] ──┬── value >= 0
 *                            └── value < 0 ─▶ node: value of the next 16 bits ──┬── value >= 0
 *                                                                               └── value < 0 ─▶ node …
 *
 * IPv4 ends after one node, IPv6 after seven. A slot whose addresses all have one value answers at once. A
 * map that gives all addresses one value has a directory of one slot. node.ts says how nodes are searched.
 */

import type { Cut, IndexColumn } from '../classes/classes.ts';
import type { MemoryViews } from '../memory/memory.ts';
import { Chunks } from './chunks.ts';
import { Intervals, leadTo, nodeShape, type ValueWidth, writeNode } from './node.ts';

/** Slots of a directory that has more than one. */
export const DIRECTORY_SLOTS = 65536;

/** The place of a map. */
export interface PrefixMap {
  /** First byte of the directory, at a word. */
  readonly directory: number;
  /** One less than the slots: 65,535 or 0. */
  readonly slotMask: number;
  /** Width of its nodes' values. */
  readonly width: ValueWidth;
}

/** The size of a map. */
export interface MapShape {
  readonly slots: 1 | typeof DIRECTORY_SLOTS;
  /** Bytes of all nodes. */
  readonly nodeBytes: number;
  /** Boundaries in all nodes. */
  readonly bounds: number;
}

/** The size of the map of a cut, with values wide enough for its classes. */
export function measureMap(cut: Cut, width: ValueWidth): MapShape {
  const builder = new MapBuilder(cut, width, undefined, 0);
  if (builder.isConstant()) return { slots: 1, nodeBytes: 0, bounds: 0 };
  builder.build();
  return { slots: DIRECTORY_SLOTS, nodeBytes: builder.nodeBytes, bounds: builder.bounds };
}

/**
 * Fills a directory and nodes from `nodesAt`, a granule; `measureMap` gave the size. No reader may see them
 * meanwhile.
 */
export function writeMap(cut: Cut, views: MemoryViews, map: PrefixMap, nodesAt: number): void {
  const { words } = views;
  const first = map.directory >> 2;
  const slots = words.subarray(first, first + map.slotMask + 1);
  const builder = new MapBuilder(cut, map.width, { views, slots }, nodesAt);
  if (builder.isConstant())
    slots[0] = cut.count === 0 ? 0 : cut.classes[0]!; // count > 0
  else builder.build();
}

/** The memory for nodes and slots. */
interface Target {
  readonly views: MemoryViews;
  readonly slots: Int32Array;
}

/**
 * Walks a cut in address order. Without a target it counts, with one it writes; both walks are the same code.
 */
class MapBuilder {
  nodeBytes = 0;
  bounds = 0;
  readonly #chunks: Chunks;
  readonly #classes: IndexColumn;
  readonly #count: number;
  readonly #lastLevel: number;
  readonly #target: Target | undefined;
  readonly #width: ValueWidth;
  readonly #nodesAt: number;
  readonly #scratch: Intervals[] = []; // by level

  constructor(cut: Cut, width: ValueWidth, target: Target | undefined, nodesAt: number) {
    this.#chunks = new Chunks(cut.starts, cut.family);
    this.#classes = cut.classes;
    this.#count = cut.count;
    this.#lastLevel = cut.family === 4 ? 1 : 7;
    this.#target = target;
    this.#width = width;
    this.#nodesAt = nodesAt;
  }

  /** Whether all addresses have one class. */
  isConstant(): boolean {
    return (
      this.#count === 0 || (this.#count === 1 && this.#chunks.at(0, 0) === 0 && this.#chunks.isStart(0, 0))
    );
  }

  build(): void {
    const slots = this.#target?.slots;
    let classId = 0;
    let slot = 0;
    for (let i = 0; i < this.#count; ) {
      const chunk = this.#chunks.at(i, 0);
      slots?.fill(classId, slot, chunk);
      const end = this.#chunks.groupEnd(i, this.#count, 0);
      if (this.#chunks.isStart(i, 0)) classId = this.#classes[i++]!; // i < count
      const value = i < end ? this.#node(1, i, end, classId) : classId;
      if (slots !== undefined) slots[chunk] = value;
      classId = this.#classes[end - 1]!; // end > 0
      i = end;
      slot = chunk + 1;
    }
    slots?.fill(classId, slot, DIRECTORY_SLOTS);
  }

  /**
   * A node for the starts [from, to), which lie within its addresses and above the first. Returns the value
   * that leads to it.
   */
  #node(level: number, from: number, to: number, firstClass: number): number {
    this.#scratch[level] ??= new Intervals();
    const intervals = this.#scratch[level];
    intervals.clear();
    intervals.push(0, firstClass);
    if (level === this.#lastLevel) {
      for (let i = from; i < to; i++) intervals.push(this.#chunks.at(i, level), this.#classes[i]!); // i < count
    } else this.#innerIntervals(level, from, to, firstClass, intervals);
    const shape = nodeShape(intervals, this.#width);
    const address = this.#nodesAt + this.nodeBytes;
    this.nodeBytes += shape.bytes;
    this.bounds += shape.bounds;
    if (this.#target !== undefined) writeNode(this.#target.views, address, intervals, shape);
    return leadTo(address + shape.valueBytes, shape.partBits);
  }

  #innerIntervals(level: number, from: number, to: number, firstClass: number, intervals: Intervals): void {
    let classId = firstClass;
    for (let i = from; i < to; ) {
      const chunk = this.#chunks.at(i, level);
      const end = this.#chunks.groupEnd(i, to, level);
      if (this.#chunks.isStart(i, level)) classId = this.#classes[i++]!; // i < count
      const value = i === end ? classId : this.#node(level + 1, i, end, classId);
      intervals.push(chunk, value);
      classId = this.#classes[end - 1]!; // end > 0
      if (value < 0 && chunk < 0xffff) intervals.push(chunk + 1, classId);
      i = end;
    }
  }
}
