/** Sorted addresses seen 16 bits at a time, as maps step through them: level 0 is the highest chunk. */

import { type Family, strideOf } from '@rulecast/rules';

export class Chunks {
  readonly #words: Uint32Array;
  readonly #stride: 1 | 4;

  constructor(words: Uint32Array, family: Family) {
    this.#words = words;
    this.#stride = strideOf(family);
  }

  /** The chunk of address `i`. */
  at(i: number, level: number): number {
    const word = this.#words[i * this.#stride + (level >> 1)]!; // the caller's address exists
    return (level & 1) === 0 ? word >>> 16 : word & 0xffff;
  }

  /** The end of the addresses from `i`, below `to`, that share its chunk. */
  groupEnd(i: number, to: number, level: number): number {
    const chunk = this.at(i, level);
    let end = i + 1;
    while (end < to && this.at(end, level) === chunk) end++;
    return end;
  }

  /** Whether address `i` has only zeros after its chunk. */
  isStart(i: number, level: number): boolean {
    const word = level >> 1;
    if ((level & 1) === 0 && (this.#words[i * this.#stride + word]! & 0xffff) !== 0) return false; // likewise
    for (let w = word + 1; w < this.#stride; w++) if (this.#words[i * this.#stride + w] !== 0) return false;
    return true;
  }
}
