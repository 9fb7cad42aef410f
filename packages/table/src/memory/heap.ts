/**
 * The heap: which bytes of the shared memory are in use. Only the writer's thread allocates and frees; the
 * memory itself has no record of it.
 *
 * A bit per granule of 16 bytes, set while in use. Small pieces reuse a freed place of exactly that size;
 * else the search goes on from where the last one ended, in a bounded number of steps, and memory is added at
 * the end if that finds nothing. Neighbouring free granules need no merging.
 */

import { TableLimitCode, TableLimitError } from '../limits.ts';
import type { UsedBytes } from './double-buffer.ts';
import type { TableMemory } from './memory.ts';
import { GRANULE_BYTES, OVERREAD_BYTES } from './memory.ts';

/** Free pieces looked at before memory is added. Our choice: a microsecond, or several where much is free. */
const SEARCH_STEPS = 32;
const LONG_SEARCH_STEPS = 256;
/**
 * Sizes, in granules, whose freed places are remembered, and how many of each. Our choice: those that edits
 * of large maps reuse.
 */
const REMEMBERED_GRANULES = 128;
const REMEMBERED_PLACES = 1024;
/**
 * The share of free granules from which on the long search is worth it. Our choice: docs/explain/design.md
 * "Numbers" bounds the memory of an edit.
 */
const FREE_SHARE = 1 / 8;

export class Heap {
  readonly #memory: TableMemory;
  readonly #firstByte: number;
  readonly maxBytes: number;
  #used = new Uint32Array(4096); // a bit per granule from `firstByte`
  #end = 0; // granules given out so far, free ones between them included
  #free = 0; // of these
  #cursor = 0; // where the next search begins
  #stepsLeft = 0; // of the present search
  #hopeless = Number.POSITIVE_INFINITY; // granules for which a search found no place, and nothing was given back since
  // by size: places that may be free; the bits decide
  readonly #places: number[][] = Array.from({ length: REMEMBERED_GRANULES }, () => []);

  /** Bytes from `firstByte` on, at most `maxBytes` of them. */
  constructor(memory: TableMemory, firstByte: number, maxBytes: number) {
    this.#memory = memory;
    this.#firstByte = firstByte;
    this.maxBytes = maxBytes;
  }

  /** Bytes in use. */
  get liveBytes(): number {
    return (this.#end - this.#free) * GRANULE_BYTES;
  }

  /** Bytes from the first to the last in use. */
  get spanBytes(): number {
    return this.#end * GRANULE_BYTES;
  }

  /** The first byte in use, and the first after the last. */
  get used(): UsedBytes {
    const from = this.#next(0, this.#end, -1);
    return {
      from: this.#firstByte + from * GRANULE_BYTES,
      to: this.#firstByte + this.#end * GRANULE_BYTES,
    };
  }

  /**
   * Gives out at least `bytes` bytes at a multiple of `alignBytes`, uninitialised. Throws TableLimitError if
   * there are none.
   */
  take(bytes: number, alignBytes = GRANULE_BYTES): number {
    const need = granulesOf(bytes);
    const align = alignBytes / GRANULE_BYTES;
    const known = align === 1 && need < REMEMBERED_GRANULES ? this.#remembered(need) : -1;
    if (known >= 0) return this.#firstByte + known * GRANULE_BYTES;
    const steps = this.#free <= this.#end * FREE_SHARE ? SEARCH_STEPS : LONG_SEARCH_STEPS;
    let at = this.#free >= need && need < this.#hopeless ? this.#search(need, align, steps) : -1;
    if (at < 0) at = this.#append(need, align);
    if (at < 0 && this.#free >= need) at = this.#search(need, align, Number.POSITIVE_INFINITY);
    if (at < 0) {
      const reason = `bytes, this rule set needs ${bytes} more than are free`;
      throw new TableLimitError(TableLimitCode.bytes, this.maxBytes, reason);
    }
    return this.#firstByte + at * GRANULE_BYTES;
  }

  /** Frees all or a part of an allocated piece. */
  giveBack(address: number, bytes: number): void {
    const at = (address - this.#firstByte) / GRANULE_BYTES;
    const count = granulesOf(bytes);
    this.#mark(at, count, false);
    this.#free += count;
    this.#hopeless = Number.POSITIVE_INFINITY;
    if (at + count === this.#end) this.#retract();
    else if (count < REMEMBERED_GRANULES) {
      const places = this.#places[count]!; // count < length
      if (places.length < REMEMBERED_PLACES) places.push(at);
    }
  }

  /** Allocates a remembered free place of just this size; -1 if there is none. */
  #remembered(need: number): number {
    const places = this.#places[need]!; // need < length
    for (;;) {
      const at = places.pop();
      if (at === undefined) return -1;
      const end = at + need;
      // allocated since, as a part of another piece
      if (end > this.#end || this.#next(at, end, -1) !== end) continue;
      this.#mark(at, need, true);
      this.#free -= need;
      return at;
    }
  }

  /** The first free piece from the cursor on, all around; -1 if there is none within so many steps. */
  #search(need: number, align: number, steps: number): number {
    const cursor = this.#cursor;
    let at = this.#searchIn(cursor, this.#end, need, align, steps);
    const end = Math.min(this.#end, cursor + need); // the cursor may be within a free piece
    if (at < 0 && this.#stepsLeft > 0) at = this.#searchIn(0, end, need, align, this.#stepsLeft);
    // The search saw the whole heap, so no piece of this size is free. For an aligned piece that does not
    // follow: an unaligned one may fit.
    if (at < 0 && this.#stepsLeft > 0 && align === 1) this.#hopeless = need;
    return at;
  }

  #searchIn(from: number, to: number, need: number, align: number, steps: number): number {
    let at = from;
    for (let left = steps; left > 0; left--) {
      at = this.#next(at, to, 0);
      const rest = at % align;
      if (rest !== 0) at += align - rest;
      if (at + need > to) {
        this.#stepsLeft = left;
        return -1;
      }
      const next = this.#next(at, at + need, -1);
      if (next === at + need) return this.#claim(at, need);
      at = next;
    }
    this.#stepsLeft = 0;
    this.#cursor = at;
    return -1;
  }

  #claim(at: number, need: number): number {
    this.#mark(at, need, true);
    this.#free -= need;
    this.#cursor = at + need;
    return at;
  }

  #append(need: number, align: number): number {
    const at = Math.ceil(this.#end / align) * align;
    const end = at + need;
    const byteEnd = this.#firstByte + end * GRANULE_BYTES;
    if (end * GRANULE_BYTES > this.maxBytes) return -1;
    if (!this.#memory.reach(byteEnd + OVERREAD_BYTES, this.#firstByte + this.maxBytes + OVERREAD_BYTES))
      return -1;
    if (end > this.#used.length * 32) {
      const longer = new Uint32Array(Math.max(this.#used.length * 2, (end >> 5) + 1));
      longer.set(this.#used);
      this.#used = longer;
    }
    this.#free += at - this.#end;
    this.#end = end;
    this.#mark(at, need, true);
    return at;
  }

  /**
   * The first granule from `at` that is free (`flip` 0) or in use (`flip` -1); `to` if there is none before.
   */
  #next(at: number, to: number, flip: 0 | -1): number {
    let index = at >> 5;
    let word = ~(this.#used[index]! ^ flip) & (-1 << (at & 31)); // at <= end, within the bits or one word after
    while (word === 0) {
      if (++index << 5 >= to) return to;
      word = ~(this.#used[index]! ^ flip); // below `to`
    }
    return Math.min(to, (index << 5) + 31 - Math.clz32(word & -word));
  }

  #mark(at: number, count: number, isUsed: boolean): void {
    const used = this.#used;
    const end = at + count;
    for (let granule = at; granule < end; ) {
      const index = granule >> 5;
      const bits = Math.min(end, (index + 1) << 5) - granule;
      const mask = (bits === 32 ? -1 : (1 << bits) - 1) << (granule & 31);
      used[index] = isUsed ? used[index]! | mask : used[index]! & ~mask; // below the end
      granule += bits;
    }
  }

  /** Ends the heap after its last granule in use. */
  #retract(): void {
    let index = (this.#end - 1) >> 5;
    while (index >= 0 && this.#used[index] === 0) index--;
    const end = index < 0 ? 0 : (index << 5) + 32 - Math.clz32(this.#used[index]!); // a word in use
    this.#free -= this.#end - end;
    this.#end = end;
    if (this.#cursor > end) this.#cursor = 0;
  }
}

function granulesOf(bytes: number): number {
  return Math.ceil(bytes / GRANULE_BYTES);
}
