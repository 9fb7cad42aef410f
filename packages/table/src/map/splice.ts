/**
 * Splices: a large node with some stretches of its intervals replaced, and the rest copied as bytes, in the
 * layout it had.
 *
 *   old      │ stays │ replaced │ stays │ replaced │ stays │
 *   spliced  │ stays │ made   │ stays │ made         │ stays │
 */

import type { MemoryViews, Move } from '../memory/memory.ts';
import {
  columnOf,
  type Intervals,
  LANES,
  leadTo,
  mostPartBits,
  type NodeShape,
  type NodeView,
  shapeOf,
  ValueWidth,
  valueLimit,
} from './node.ts';

/** Values of 16 bits. */
const CHUNKS = 65536;

/** A stretch that is replaced. */
interface Window {
  /** Old intervals before it, and the first one after it. */
  readonly head: number;
  readonly tail: number;
  /** The intervals made for it. */
  readonly madeFrom: number;
  readonly madeTo: number;
  /** Its first chunk, and the first of the interval after it. */
  readonly from: number;
  readonly to: number;
}

/** The windows of one node, in the order in which they are made. */
export class Splice {
  readonly old: NodeView;
  readonly made: Intervals;
  readonly #windows: Window[] = [];
  #from = -1; // of the window that is open
  #madeFrom = 0;

  /** `made` collects the intervals of all windows. */
  constructor(old: NodeView, made: Intervals) {
    this.old = old;
    this.made = made;
  }

  get isOpen(): boolean {
    return this.#from >= 0;
  }

  /** Begins a window at a chunk after the last one. */
  open(from: number): void {
    this.#from = from;
    this.#madeFrom = this.made.count;
    this.made.fence();
  }

  /** Ends the window before a chunk; the old interval that holds it goes on from there. */
  close(chunk: number): void {
    const { old, made } = this;
    const from = this.#from;
    const index = chunk < CHUNKS ? old.indexOf(chunk) : old.count - 1;
    if (chunk < CHUNKS) made.push(chunk, old.value(index));
    const tail = index + 1;
    const head = from === 0 ? 0 : old.indexOf(from - 1) + 1;
    const before = this.#windows.at(-1);
    const hasBefore = head > 0;
    const valueBefore =
      head > (before?.tail ?? 0)
        ? old.value(head - 1)
        : before !== undefined && made.values[before.madeTo - 1]; // right before this one
    const madeFrom =
      hasBefore && valueBefore === made.values[this.#madeFrom] ? this.#madeFrom + 1 : this.#madeFrom;
    const to = tail < old.count ? old.start(tail) : CHUNKS;
    this.#windows.push({ head, tail, madeFrom, madeTo: made.count, from, to });
    this.#from = -1;
  }

  /** The layout of the new node; undefined if the old one's cannot hold it. All windows are closed. */
  shape(): NodeShape | undefined {
    const { old, made } = this;
    const { width, partBits } = old.shape;
    const limit = valueLimit(width);
    let intervals = old.count;
    for (const { head, tail, madeFrom, madeTo } of this.#windows) {
      intervals += madeTo - madeFrom - (tail - head);
      for (let i = madeFrom; i < madeTo; i++) {
        if (made.values[i]! >= limit) return undefined; // i < count
      }
    }
    if (intervals < 2 || partBits > mostPartBits(intervals - 1, width)) return undefined;
    const [window] = this.#windows;
    const value =
      window?.head === 0 && window.madeTo > window.madeFrom ? made.values[window.madeFrom] : old.value(0);
    return shapeOf(intervals - 1, partBits, width, width === ValueWidth.none && value === 1 ? 1 : 0);
  }

  /** Appends all intervals of the new node to `all`. */
  unfold(all: Intervals): void {
    const { old, made } = this;
    let index = 0;
    for (const { head, tail, madeFrom, madeTo } of this.#windows) {
      for (; index < head; index++) all.push(old.start(index), old.value(index));
      for (let i = madeFrom; i < madeTo; i++) all.push(made.starts[i]!, made.values[i]!); // i < count
      index = tail;
    }
    for (; index < old.count; index++) all.push(old.start(index), old.value(index));
  }

  /**
   * Writes the new node, which no reader may use yet; returns the map value for it, or undefined if a part
   * has more boundaries than needed.
   */
  write(views: MemoryViews, move: Move, address: number, shape: NodeShape): number | undefined {
    const writer = new SpliceWriter(views, move, address, this.old, this.made, shape);
    let tail = 0;
    for (const window of this.#windows) {
      writer.keep(tail, window.head, window.from);
      writer.replace(window);
      tail = window.tail;
    }
    writer.keep(tail, this.old.count, CHUNKS);
    writer.end();
    const holds = this.#windows.every(({ from, to }) => writer.partsHold(from, to));
    return holds ? leadTo(address + shape.valueBytes, shape.partBits) : undefined;
  }
}

class SpliceWriter {
  readonly #views: MemoryViews;
  readonly #move: Move;
  readonly #old: NodeView;
  readonly #made: Intervals;
  readonly #shape: NodeShape;
  readonly #startsAt: number; // in halves, like those below
  readonly #boundsAt: number; // of interval 1
  readonly #node: number; // in bytes: the end of the values
  readonly #values: Uint8Array | Uint16Array | Int32Array;
  readonly #partChunks: number;
  #index = 0; // intervals written
  #part = 0; // starts written

  constructor(
    views: MemoryViews,
    move: Move,
    address: number,
    old: NodeView,
    made: Intervals,
    shape: NodeShape,
  ) {
    this.#views = views;
    this.#move = move;
    this.#old = old;
    this.#made = made;
    this.#shape = shape;
    this.#node = address + shape.valueBytes;
    this.#startsAt = this.#node / 2;
    this.#boundsAt = this.#startsAt + (1 << shape.partBits) + shape.first;
    this.#values = columnOf(views, shape.width);
    this.#partChunks = CHUNKS >> shape.partBits;
  }

  /** Keeps the old intervals [from, to), the last of which ends before chunk `end`. */
  keep(from: number, to: number, end: number): void {
    const { halves } = this.#views;
    const old = this.#old;
    const { first, width } = this.#shape;
    const index = this.#index;
    const shift = index + first - from - old.shape.first;
    const lastPart = Math.ceil(end / this.#partChunks); // the first that begins later
    for (; this.#part < lastPart; this.#part++) {
      halves[this.#startsAt + this.#part] = halves[old.startsAt + this.#part]! + shift; // part < parts
    }
    if (from === to) return;
    const skipped = index === 0 ? 1 : 0; // interval 0 has no boundary
    const boundsAt = this.#boundsAt + index + skipped - 1;
    this.#move(boundsAt * 2, (old.boundsAt + from + skipped - 1) * 2, (to - from - skipped) * 2);
    const count = to - from;
    this.#index += count;
    if (width === ValueWidth.none) return;
    const oldNode = old.startsAt * 2;
    this.#move(this.#node - (this.#index << width), oldNode - (to << width), count << width);
  }

  replace({ madeFrom, madeTo, to }: Window): void {
    const made = this.#made;
    const index = this.#index;
    const { first, width } = this.#shape;
    const { halves, signedHalves } = this.#views;
    const lastPart = Math.ceil(to / this.#partChunks);
    let i = madeFrom;
    for (; this.#part < lastPart; this.#part++) {
      while (i < madeTo && made.starts[i]! <= this.#part * this.#partChunks) i++; // i < count
      halves[this.#startsAt + this.#part] = first + index + i - madeFrom - 1;
    }
    const boundsAt = this.#boundsAt + index - madeFrom - 1;
    for (i = madeFrom; i < madeTo; i++)
      if (index + i > madeFrom) signedHalves[boundsAt + i] = made.starts[i]! - 32769; // i < count
    this.#index += madeTo - madeFrom;
    if (width === ValueWidth.none) return;
    const last = (this.#node >>> width) - 1 - index + madeFrom;
    for (i = madeFrom; i < madeTo; i++) this.#values[last - i] = made.values[i]!; // likewise
  }

  end(): void {
    this.#views.signedHalves[this.#boundsAt + this.#shape.bounds] = 32767;
  }

  /** Whether the parts that touch the chunks [from, to] have no more boundaries than they need have. */
  partsHold(from: number, to: number): boolean {
    const { bounds, partBits, first, width } = this.#shape;
    if (partBits === mostPartBits(bounds, width)) return true;
    const { halves, signedHalves } = this.#views;
    const parts = 1 << partBits;
    const last = Math.min(parts - 1, Math.floor(to / this.#partChunks));
    for (let part = Math.floor(from / this.#partChunks); part <= last; part++) {
      const isLast = part + 1 === parts;
      const start = halves[this.#startsAt + part]! - first; // part < parts
      let end = isLast ? bounds : halves[this.#startsAt + part + 1]! - first; // likewise
      // A boundary at the first chunk of the next part is none of this part's.
      const next = (part + 1) * this.#partChunks;
      if (!isLast && end > start && signedHalves[this.#boundsAt + end - 1]! + 32769 === next) end--; // end <= bounds
      if (end - start > LANES) return false;
    }
    return true;
  }
}
