/** A full image and the edits that follow it, as far as they are out of sight (space.ts). */

import type { Heap } from '../memory/heap.ts';

/** So many numbers of free pieces are cut off at the latest: our choice. */
const FREE_NUMBERS_MAX = 2 ** 16;

export class Cohort {
  /** The generation of the full image. */
  readonly floor: number;
  #retired: number[] = []; // pieces, oldest first: address, bytes, and the generation that retired them
  #from = 0; // earlier pieces are free
  #bytes = 0;

  constructor(floor: number) {
    this.floor = floor;
  }

  /** Bytes of all pieces that are retired and not free yet. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A piece that `generation` took out of sight. */
  retire(address: number, bytes: number, generation: number): void {
    this.#retired.push(address, bytes, generation);
    this.#bytes += bytes;
  }

  /** Frees the pieces retired up to `safeGeneration`, which no reader can see, in order. */
  free(heap: Heap, safeGeneration: number): void {
    const retired = this.#retired;
    let from = this.#from;
    while (from < retired.length && retired[from + 2]! <= safeGeneration) {
      const bytes = retired[from + 1]!; // in threes
      heap.giveBack(retired[from]!, bytes); // likewise
      this.#bytes -= bytes;
      from += 3;
    }
    const isMuch = from === retired.length || from > FREE_NUMBERS_MAX;
    if (isMuch) this.#retired = retired.slice(from);
    this.#from = isMuch ? 0 : from;
  }
}
