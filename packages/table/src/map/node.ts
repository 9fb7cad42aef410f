/**
 * Nodes of prefix maps: a step by the next 16 bits of an address.
 *
 * A node is a sorted stretch of boundaries (the low ends of intervals of those 16 bits) with a value per
 * interval. The 16 bits are cut into 2^k equal parts, mostly of at most 16 boundaries; `starts` holds the
 * number of boundaries at or below the first address of a part, so that one comparison of 16 lanes mostly
 * finishes the search. The value that leads to a node has the place and the number of its parts, so that
 * nothing is read twice:
 *
 *   value     ~(node / 2 | 8 - k / 2), where `node` is a byte at a granule
 *
 *   node - …  value   values, from the last to the first: that of interval i is 2^w * (i + 1) bytes before the node
 *   node      half    starts[2^k], k even, from 2 to 16
 *   …         half    bounds[n + 1], ascending, each its boundary less one, less 2^15 (so that signed lanes compare); the
 *                     last, larger than any other, ends every comparison
 *
 * How wide values are is the map's choice. Where it has two values, neighbours differ by being the other one,
 * and the place of an interval says which: bounds then begin one place later in a node whose first value is
 * 1, and all values are the lowest bit of places.
 *
 * A part has more than 16 boundaries only where they crowd so that enough parts would take much more memory
 * than all the rest: the search then goes on with the next 16, and needs 16 such steps at most. Lanes after
 * the end of the bounds may hold anything: all lanes below the searched one are true, and the first false one
 * ends the count.
 */

import { TableLimitCode, TableLimitError } from '../limits.ts';
import { GRANULE_BYTES, type MemoryViews } from '../memory/memory.ts';

/** Boundaries in one comparison; fixed by the width of two SIMD registers. */
export const LANES = 16;
/** Fixed by the three bits that a value has for them. */
const PART_BITS_MIN = 2;
/** Our choice: how much more memory the starts may take than the boundaries and their values. */
const STARTS_FACTOR = 4;

/**
 * The width of a map's values: 2^w bytes, or none at all if there are only two, 0 and 1. Values that lead to
 * nodes are words.
 */
export const ValueWidth = { byte: 0, half: 1, word: 2, none: 3 } as const;
export type ValueWidth = (typeof ValueWidth)[keyof typeof ValueWidth];

/** The width for a map of classes below a number. IPv6 maps have nodes that lead to nodes. */
export function widthFor(family: 4 | 6, classCount: number): ValueWidth {
  if (family === 6) return ValueWidth.word;
  if (classCount <= 2) return ValueWidth.none;
  if (classCount <= 2 ** 8) return ValueWidth.byte;
  return classCount <= 2 ** 16 ? ValueWidth.half : ValueWidth.word;
}

/** By width; a table, as computing the power takes longer than everything else about a value. */
const VALUE_LIMITS: Readonly<Record<ValueWidth, number>> = {
  [ValueWidth.byte]: 2 ** 8,
  [ValueWidth.half]: 2 ** 16,
  [ValueWidth.word]: Number.POSITIVE_INFINITY,
  [ValueWidth.none]: 2,
};

/** The values of a map are below it. */
export function valueLimit(width: ValueWidth): number {
  return VALUE_LIMITS[width];
}

/**
 * Intervals of 16 bits of addresses, in order: `starts[0]` is 0, neighbours have different values. Scratch,
 * used over and over.
 */
export class Intervals {
  starts = new Uint16Array(64);
  values = new Int32Array(64);
  count = 0;
  #floor = 0; // intervals below this index are not touched

  clear(): void {
    this.count = 0;
    this.#floor = 0;
  }

  /** Keeps later intervals apart from those here. */
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

  /** Makes room for `more` intervals. */
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

/** The layout of a node. */
export interface NodeShape {
  readonly bounds: number;
  readonly partBits: number;
  readonly width: ValueWidth;
  /** The place of the first boundary: the first value if values have no bytes, else 0. */
  readonly first: 0 | 1;
  /** Bytes of the values, and of the whole; both of whole granules. */
  readonly valueBytes: number;
  readonly bytes: number;
}

/** The layout of a node of at least two intervals. Throws TableLimitError if a value is too wide. */
export function nodeShape(intervals: Intervals, width: ValueWidth): NodeShape {
  const { starts, values, count } = intervals;
  const limit = valueLimit(width);
  for (let i = 0; i < count; i++) if (values[i]! >= limit) throw tooWide(limit); // i < count
  const bounds = count - 1;
  const partBits = Math.min(partBitsFor(starts, bounds), mostPartBits(bounds, width));
  return shapeOf(bounds, partBits, width, width === ValueWidth.none && values[0] === 1 ? 1 : 0);
}

/** Throws TableLimitError for a value too large for this width. */
export function checkValue(value: number, width: ValueWidth): void {
  const limit = valueLimit(width);
  if (value >= limit) throw tooWide(limit);
}

function tooWide(limit: number): TableLimitError {
  return new TableLimitError(TableLimitCode.classes, limit, 'address classes in a map of this width');
}

export function shapeOf(bounds: number, partBits: number, width: ValueWidth, first: 0 | 1): NodeShape {
  const valueBytes = width === ValueWidth.none ? 0 : granuleBytes((bounds + 1) << width);
  const bytes = valueBytes + granuleBytes((2 << partBits) + (first + bounds + 1) * 2);
  return { bounds, partBits, width, first, valueBytes, bytes };
}

function granuleBytes(bytes: number): number {
  return Math.ceil(bytes / GRANULE_BYTES) * GRANULE_BYTES;
}

/** The most leading bits that part so many boundaries; even. */
export function mostPartBits(bounds: number, width: ValueWidth): number {
  const bytes = bounds * (2 + (width === ValueWidth.none ? 0 : 1 << width));
  const bits = 31 - Math.clz32((bytes * STARTS_FACTOR) / 2); // a start takes two bytes
  return Math.max(PART_BITS_MIN, Math.min(bits, 16) & ~1);
}

/**
 * The number of leading bits that separate boundaries, which begin at `starts[1]`, so that no part has more
 * than LANES; even.
 */
function partBitsFor(starts: Uint16Array, bounds: number): number {
  if (bounds <= LANES) return PART_BITS_MIN;
  let closest = 0xffff; // the least difference of two boundaries that must not share a part
  for (let i = 1; i + LANES <= bounds; i++) {
    const differs = starts[i]! ^ starts[i + LANES]!; // i + LANES <= bounds
    if (differs < closest) closest = differs;
  }
  return (Math.clz32(closest) - 14) & ~1;
}

/** Writes a node to bytes that nobody may look at yet; returns the value that leads to it. */
export function writeNode(
  views: MemoryViews,
  address: number,
  intervals: Intervals,
  shape: NodeShape,
): number {
  const { starts, values } = intervals;
  const { bounds, partBits, first, width } = shape;
  const node = address + shape.valueBytes;
  const half = node / 2;
  const { halves, signedHalves } = views;
  let below = 0;
  for (let part = 0; part < 1 << partBits; part++) {
    const from = part << (16 - partBits);
    while (below < bounds && starts[below + 1]! <= from) below++; // below + 1 <= bounds
    halves[half + part] = first + below;
  }
  const boundsAt = half + (1 << partBits) + first;
  for (let i = 0; i < bounds; i++) signedHalves[boundsAt + i] = starts[i + 1]! - 32769; // i + 1 <= bounds
  signedHalves[boundsAt + bounds] = LAST_BOUND;
  if (width !== ValueWidth.none) {
    const into = columnOf(views, width);
    const last = (node >>> width) - 1;
    for (let i = 0; i <= bounds; i++) into[last - i] = values[i]!; // i < count
  }
  return leadTo(node, partBits);
}

/** Larger than any boundary. */
const LAST_BOUND = 32767;

export function leadTo(node: number, partBits: number): number {
  return ~((node / 2) | (8 - partBits / 2));
}

export function columnOf(views: MemoryViews, width: ValueWidth): Uint8Array | Uint16Array | Int32Array {
  return width === ValueWidth.byte ? views.bytes : width === ValueWidth.half ? views.halves : views.words;
}

/** A node in memory as intervals: interval 0 begins at chunk 0, interval i at boundary i. */
export class NodeView {
  readonly shape: NodeShape;
  readonly count: number;
  /** Offset of the starts; in halves, like those below. */
  readonly startsAt: number;
  /** Offset of the bound of interval 1. */
  readonly boundsAt: number;
  readonly #views: MemoryViews;
  readonly #values: Uint8Array | Uint16Array | Int32Array;
  readonly #lastValue: number; // the place of the first interval's value, which is the last

  /** The node for a map's value, which is below 0. */
  constructor(views: MemoryViews, value: number, width: ValueWidth) {
    this.#views = views;
    const partBits = 16 - (~value & 7) * 2;
    const half = ~value & ~7;
    const parts = 1 << partBits;
    const first = views.halves[half] === 0 ? 0 : 1; // no boundary is at the first address
    let end = half + parts + views.halves[half + parts - 1]!; // a node's
    while (views.signedHalves[end] !== LAST_BOUND) end++;
    this.startsAt = half;
    this.boundsAt = half + parts + first;
    this.shape = shapeOf(end - this.boundsAt, partBits, width, first);
    this.count = this.shape.bounds + 1;
    this.#values = columnOf(views, width);
    this.#lastValue = ((half * 2) >>> width) - 1;
  }

  /** The address of its first byte. */
  get address(): number {
    return this.startsAt * 2 - this.shape.valueBytes;
  }

  /** The first chunk of an interval. */
  start(index: number): number {
    return index === 0 ? 0 : this.#views.signedHalves[this.boundsAt + index - 1]! + 32769; // index < count
  }

  value(index: number): number {
    if (this.shape.width === ValueWidth.none) return (index + this.shape.first) & 1;
    return this.#values[this.#lastValue - index]!; // index < count
  }

  /** The interval that holds a chunk. */
  indexOf(chunk: number): number {
    return countBelow(this.#views.signedHalves, this.boundsAt, this.shape.bounds, chunk);
  }

  valueAt(chunk: number): number {
    return this.value(this.indexOf(chunk));
  }

  /**
   * Appends the intervals of chunks [from, to), which are not empty. Neighbours differ, so only the first may
   * merge with the last.
   */
  appendTo(intervals: Intervals, from: number, to: number): void {
    let index = this.indexOf(from);
    intervals.push(from, this.value(index));
    intervals.reserve(this.count - index);
    const { starts, values } = intervals;
    let at = intervals.count;
    while (++index < this.count) {
      const start = this.start(index);
      if (start >= to) break;
      starts[at] = start;
      values[at++] = this.value(index);
    }
    intervals.count = at;
  }
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
