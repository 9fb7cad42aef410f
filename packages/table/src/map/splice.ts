/**
 * Splices: a large node with some stretches of its intervals replaced, and the rest copied as bytes, in the
 * layout it had.
 *
 *   old      │ stays │ replaced │ stays │ replaced │ stays │
 *   spliced  │ stays │ made   │ stays │ made         │ stays │
 */

import type { MemoryViews, Move } from '../memory/memory.ts';
import { GRANULE_BYTES } from '../memory/memory.ts';
import { type Intervals, LANES, type NodeShape, type NodeView, shapeOf, writeHead } from './node.ts';

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

/** The windows of one node, as they are made in order. */
export class Splice {
  readonly old: NodeView;
  readonly made: Intervals;
  readonly #windows: Window[] = [];
  #from = -1; // of the window that is open
  #madeFrom = 0;

  /** `made` takes the intervals of all windows. */
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
    const { widthBits, partBits, rounds } = old.shape;
    const limit = 2 ** (8 << widthBits);
    let intervals = old.count;
    for (const { head, tail, madeFrom, madeTo } of this.#windows) {
      intervals += madeTo - madeFrom - (tail - head);
      for (let i = madeFrom; i < madeTo && widthBits < 2; i++) {
        const value = made.values[i]!; // i < count
        if (value < 0 || value >= limit) return undefined;
      }
    }
    return intervals < 2 || intervals - 1 < 1 << partBits
      ? undefined
      : shapeOf(intervals - 1, partBits, rounds, widthBits);
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
   * Writes the new node, which nobody may look at yet. False if a part has more boundaries than a search
   * looks at.
   */
  write(views: MemoryViews, move: Move, granule: number, shape: NodeShape): boolean {
    const writer = new SpliceWriter(views, move, granule, this.old, this.made, shape);
    let tail = 0;
    for (const window of this.#windows) {
      writer.keep(tail, window.head, window.from);
      writer.replace(window);
      tail = window.tail;
    }
    writer.keep(tail, this.old.count, CHUNKS);
    writer.end();
    return this.#windows.every(({ from, to }) => writer.partsHold(from, to));
  }
}

class SpliceWriter {
  readonly #views: MemoryViews;
  readonly #move: Move;
  readonly #made: Intervals;
  readonly #shape: NodeShape;
  readonly #startsAt: number; // in halves, as those below
  readonly #boundsAt: number;
  readonly #oldStartsAt: number;
  readonly #oldBoundsAt: number;
  readonly #valuesAt: number; // in bytes
  readonly #oldValuesAt: number;
  readonly #values: Uint8Array | Uint16Array | Int32Array;
  readonly #partChunks: number;
  #index = 0; // intervals written
  #part = 0; // starts written

  constructor(
    views: MemoryViews,
    move: Move,
    granule: number,
    old: NodeView,
    made: Intervals,
    shape: NodeShape,
  ) {
    this.#views = views;
    this.#move = move;
    this.#made = made;
    this.#shape = shape;
    const parts = 1 << shape.partBits;
    this.#startsAt = writeHead(views, granule, shape);
    this.#boundsAt = this.#startsAt + parts;
    this.#oldStartsAt = old.granule * (GRANULE_BYTES / 2) + 3;
    this.#oldBoundsAt = this.#oldStartsAt + parts;
    this.#valuesAt = granule * GRANULE_BYTES + shape.valuesAt;
    this.#oldValuesAt = old.granule * GRANULE_BYTES + old.shape.valuesAt;
    this.#values = shape.widthBits === 0 ? views.bytes : shape.widthBits === 1 ? views.halves : views.words;
    this.#partChunks = CHUNKS >> shape.partBits;
  }

  /** Keeps the old intervals [from, to), the last of which ends before chunk `end`. */
  keep(from: number, to: number, end: number): void {
    const { halves } = this.#views;
    const index = this.#index;
    const shift = index - from;
    const lastPart = Math.ceil(end / this.#partChunks); // the first that begins later
    for (; this.#part < lastPart; this.#part++) {
      halves[this.#startsAt + this.#part] = halves[this.#oldStartsAt + this.#part]! + shift; // part < parts
    }
    if (from === to) return;
    const skipped = index === 0 ? 1 : 0; // interval 0 has no boundary
    const boundsAt = this.#boundsAt + index + skipped - 1;
    this.#move(boundsAt * 2, (this.#oldBoundsAt + from + skipped - 1) * 2, (to - from - skipped) * 2);
    const { widthBits } = this.#shape;
    const count = to - from;
    this.#move(
      this.#valuesAt + (index << widthBits),
      this.#oldValuesAt + (from << widthBits),
      count << widthBits,
    );
    this.#index += count;
  }

  replace({ madeFrom, madeTo, to }: Window): void {
    const made = this.#made;
    const index = this.#index;
    const { halves, signedHalves } = this.#views;
    const lastPart = Math.ceil(to / this.#partChunks);
    let i = madeFrom;
    for (; this.#part < lastPart; this.#part++) {
      while (i < madeTo && made.starts[i]! <= this.#part * this.#partChunks) i++; // i < count
      halves[this.#startsAt + this.#part] = index + i - madeFrom - 1;
    }
    const boundsAt = this.#boundsAt + index - madeFrom - 1;
    const valuesAt = (this.#valuesAt >>> this.#shape.widthBits) + index - madeFrom;
    for (i = madeFrom; i < madeTo; i++) {
      if (index + i > madeFrom) signedHalves[boundsAt + i] = made.starts[i]! - 32769; // i < count
      this.#values[valuesAt + i] = made.values[i]!; // likewise
    }
    this.#index += madeTo - madeFrom;
  }

  end(): void {
    this.#views.signedHalves[this.#boundsAt + this.#shape.bounds] = 32767;
  }

  /** Whether the parts that touch the chunks [from, to] have no more boundaries than a search looks at. */
  partsHold(from: number, to: number): boolean {
    const { halves, signedHalves } = this.#views;
    const parts = 1 << this.#shape.partBits;
    const last = Math.min(parts - 1, Math.floor(to / this.#partChunks));
    for (let part = Math.floor(from / this.#partChunks); part <= last; part++) {
      const isLast = part + 1 === parts;
      const start = halves[this.#startsAt + part]!; // part < parts
      let end = isLast ? this.#shape.bounds : halves[this.#startsAt + part + 1]!; // likewise
      // A boundary at the first chunk of the next part is none of this part's.
      const next = (part + 1) * this.#partChunks;
      if (!isLast && end > start && signedHalves[this.#boundsAt + end - 1]! + 32769 === next) end--; // end <= bounds
      if (end - start > LANES << this.#shape.rounds) return false;
    }
    return true;
  }
}
