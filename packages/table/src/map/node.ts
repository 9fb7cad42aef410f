/**
 * Nodes of prefix maps: what the next 16 bits of an address lead to.
 *
 * A node is a sorted stretch of boundaries (the low ends of intervals of those 16 bits) with a value per
 * interval. The 16 bits are cut into 2^k equal parts of mostly at most 16 boundaries; `starts` says how many
 * boundaries are at or below the first address of a part, so that one comparison of 16 lanes finishes the
 * search.
 *
 *   byte 0        word    bytes from here to the values, in words ┬ k << 16 ┬ r << 20 ┬ w << 24
 *   byte 4        half    n, the number of boundaries, 1 to 65,535
 *   byte 6        half    starts[2^k]
 *   …             half    bounds[n + 1], ascending, each its boundary less one, less 2^15 (so that signed lanes compare); the
 *                         last, larger than any other, ends every comparison
 *   …             value   values[n + 1], of 2^w bytes each, at the next word
 *
 * r: a part has at most 16 << r boundaries, so r halvings come before the comparison. It is not 0 only where
 * boundaries crowd so that enough parts would take more memory than the boundaries. Lanes after the end of
 * the bounds may hold anything: all lanes below the searched one are true, and the first false one ends the
 * count.
 *
 * A value is a class, or (only if w is 2) ~granule of the node for the 16 bits after these. Nodes begin at
 * granules.
 */

import { GRANULE_BYTES, type MemoryViews } from '../memory/memory.ts';

/** Boundaries that one comparison tells apart; fixed by the width of two SIMD registers. */
export const LANES = 16;

/**
 * Intervals of 16 bits of addresses, in order: `starts[0]` is 0, neighbours have different values. Scratch,
 * used over and over.
 */
export class Intervals {
  starts = new Uint16Array(64);
  values = new Int32Array(64);
  count = 0;
  #floor = 0; // what is below is left alone

  clear(): void {
    this.count = 0;
    this.#floor = 0;
  }

  /** Keeps apart what comes from what is here. */
  fence(): void {
    this.#floor = this.count;
  }

  /**
   * Appends the interval from `start`, which ends the one before, or takes its place if that begins there
   * too.
   */
  push(start: number, value: number): void {
    if (this.count > this.#floor && this.starts[this.count - 1] === start) this.count--;
    const { count } = this;
    if (count > this.#floor && this.values[count - 1] === value) return;
    if (count === this.starts.length) this.#grow();
    this.starts[count] = start;
    this.values[count] = value;
    this.count = count + 1;
  }

  /** Makes room for so many more. */
  reserve(more: number): void {
    while (this.count + more > this.starts.length) this.#grow();
  }

  #grow(): void {
    const length = this.starts.length * 4;
    const starts = new Uint16Array(length);
    starts.set(this.starts);
    this.starts = starts;
    const values = new Int32Array(length);
    values.set(this.values);
    this.values = values;
  }
}

/** How a node is laid out. */
export interface NodeShape {
  readonly bounds: number;
  readonly partBits: number;
  readonly rounds: number;
  readonly widthBits: number;
  /** Bytes from the node to its values. */
  readonly valuesAt: number;
  readonly bytes: number;
}

/** The layout of a node of at least two intervals. */
export function nodeShape(intervals: Intervals): NodeShape {
  const { starts, values, count } = intervals;
  const bounds = count - 1;
  let rounds = 0;
  let partBits = 0;
  for (; bounds > LANES << rounds; rounds++) {
    partBits = partBitsFor(starts, bounds, LANES << rounds);
    if (1 << partBits <= bounds) break;
    partBits = 0;
  }
  let widest = 0;
  for (let i = 0; i < count; i++) widest |= values[i]!; // i < count
  const widthBits = widest >>> 8 === 0 ? 0 : widest >>> 16 === 0 ? 1 : 2;
  return shapeOf(bounds, partBits, rounds, widthBits);
}

export function shapeOf(bounds: number, partBits: number, rounds: number, widthBits: number): NodeShape {
  const valuesAt = (6 + (2 << partBits) + (bounds + 1) * 2 + 3) & ~3;
  const bytes = valuesAt + ((bounds + 1) << widthBits);
  return { bounds, partBits, rounds, widthBits, valuesAt, bytes };
}

/**
 * How many leading bits part boundaries so that no part has more than `most`. Boundaries begin at
 * `starts[1]`.
 */
function partBitsFor(starts: Uint16Array, bounds: number, most: number): number {
  let closest = 0xffff; // the smallest of what two boundaries differ in, of those that must not share a part
  for (let i = 1; i + most <= bounds; i++) {
    const differs = starts[i]! ^ starts[i + most]!; // i + most <= bounds
    if (differs < closest) closest = differs;
  }
  return Math.clz32(closest) - 15;
}

/** Writes a node; returns its size in bytes. Nobody may look at these bytes yet. */
export function writeNode(views: MemoryViews, granule: number, intervals: Intervals, shape: NodeShape): void {
  const { starts, values } = intervals;
  const { bounds, partBits } = shape;
  const half = writeHead(views, granule, shape);
  const { halves, signedHalves } = views;
  let below = 0;
  for (let part = 0; part < 1 << partBits; part++) {
    const first = part << (16 - partBits);
    while (below < bounds && starts[below + 1]! <= first) below++; // below + 1 <= bounds
    halves[half + part] = below;
  }
  const boundsAt = half + (1 << partBits);
  for (let i = 0; i < bounds; i++) signedHalves[boundsAt + i] = starts[i + 1]! - 32769; // i + 1 <= bounds
  signedHalves[boundsAt + bounds] = 32767;
  writeValues(views, granule * GRANULE_BYTES + shape.valuesAt, shape.widthBits, values, bounds + 1);
}

/** Writes all before the starts; returns the place of the first start in `halves`. */
export function writeHead(
  views: MemoryViews,
  granule: number,
  { bounds, partBits, rounds, widthBits, valuesAt }: NodeShape,
): number {
  const half = granule * (GRANULE_BYTES / 2);
  views.words[granule * (GRANULE_BYTES / 4)] =
    (valuesAt >> 2) | (partBits << 16) | (rounds << 20) | (widthBits << 24);
  views.halves[half + 2] = bounds;
  return half + 3;
}

function writeValues(
  views: MemoryViews,
  at: number,
  widthBits: number,
  values: Int32Array,
  count: number,
): void {
  const into = widthBits === 0 ? views.bytes : widthBits === 1 ? views.halves : views.words;
  const first = at >>> widthBits; // `at` is at a word
  for (let i = 0; i < count; i++) into[first + i] = values[i]!; // i < count
}

/** Bytes that a node takes of the heap. */
export function nodeBytes({ bytes }: NodeShape): number {
  return Math.ceil(bytes / GRANULE_BYTES) * GRANULE_BYTES;
}

/** A node in memory as intervals: interval 0 begins at chunk 0, interval i at boundary i. */
export class NodeView {
  readonly granule: number;
  readonly shape: NodeShape;
  readonly count: number;
  readonly #views: MemoryViews;
  readonly #boundsAt: number; // in halves; of interval 1
  readonly #valuesAt: number; // in values

  constructor(views: MemoryViews, granule: number) {
    this.#views = views;
    this.granule = granule;
    const shape = readShape(views, granule);
    this.shape = shape;
    this.count = shape.bounds + 1;
    this.#boundsAt = granule * (GRANULE_BYTES / 2) + 3 + (1 << shape.partBits);
    this.#valuesAt = (granule * GRANULE_BYTES + shape.valuesAt) >>> shape.widthBits;
  }

  /** The first chunk of an interval. */
  start(index: number): number {
    return index === 0 ? 0 : this.#views.signedHalves[this.#boundsAt + index - 1]! + 32769; // index < count
  }

  value(index: number): number {
    const at = this.#valuesAt + index;
    const { widthBits } = this.shape;
    if (widthBits === 0) return this.#views.bytes[at]!; // index < count
    return widthBits === 1 ? this.#views.halves[at]! : this.#views.words[at]!; // likewise
  }

  /** The interval that holds a chunk. */
  indexOf(chunk: number): number {
    return countBelow(this.#views.signedHalves, this.#boundsAt, this.shape.bounds, chunk);
  }

  valueAt(chunk: number): number {
    return this.value(this.indexOf(chunk));
  }

  /**
   * Appends the intervals of chunks [from, to), which are not empty. Neighbours differ, so only the first may
   * merge with the last.
   */
  appendTo(intervals: Intervals, from: number, to: number): void {
    const { count, shape } = this;
    const boundsAt = this.#boundsAt;
    const valuesAt = this.#valuesAt;
    const views = this.#views;
    let index = this.indexOf(from);
    intervals.push(from, this.value(index));
    intervals.reserve(count - index);
    const { starts, values } = intervals;
    const { bytes, halves, words, signedHalves } = views;
    const column = shape.widthBits === 0 ? bytes : shape.widthBits === 1 ? halves : words;
    let at = intervals.count;
    while (++index < count) {
      const start = signedHalves[boundsAt + index - 1]! + 32769; // index < count
      if (start >= to) break;
      starts[at] = start;
      values[at++] = column[valuesAt + index]!; // likewise
    }
    intervals.count = at;
  }
}

/** The layout of a node in memory. */
export function readShape(views: MemoryViews, granule: number): NodeShape {
  const head = views.words[granule * (GRANULE_BYTES / 4)]!; // a node's
  const bounds = views.halves[granule * (GRANULE_BYTES / 2) + 2]!; // likewise
  return shapeOf(bounds, (head >> 16) & 15, (head >> 20) & 15, head >> 24);
}

/**
 * How many of `count` ascending bounds from `at` are below a chunk of an address. Its steps are arithmetic,
 * not branches.
 */
function countBelow(bounds: Int16Array, at: number, count: number, chunk: number): number {
  const limit = chunk - 32768;
  const before = at - 1;
  let found = before;
  let rest = count;
  while (rest > 0) {
    const half = (rest + 1) >> 1;
    found += half & ((bounds[found + half]! - limit) >> 31); // found + half < at + count
    rest -= half;
  }
  return found - before;
}
