/** The growing block of words that programs are compiled into, with lists that are kept once. */

/** A growing Int32Array with an end. */
export class WordBuffer {
  count = 0;
  #words: Int32Array = new Int32Array(1024);
  readonly #limit: number;
  readonly #error: () => Error;

  /** At `limit` words, `push` and `take` throw `error()`. */
  constructor(limit = Number.POSITIVE_INFINITY, error: () => Error = () => new RangeError('unlimited')) {
    this.#limit = limit;
    this.#error = error;
  }

  /** Goes on after the first `count` of some words, to their end, in place; then throws `error()`. */
  static over(words: Int32Array, count: number, error: () => Error): WordBuffer {
    const buffer = new WordBuffer(words.length, error);
    buffer.#words = words;
    buffer.count = count;
    return buffer;
  }

  push(word: number): void {
    if (this.count >= this.#limit) throw this.#error();
    if (this.count === this.#words.length) this.#grow(this.count + 1);
    this.#words[this.count++] = word;
  }

  /** Appends `count` words of one value; returns their start. */
  take(count: number, value: number): number {
    const start = this.count;
    const end = start + count;
    if (end > this.#limit) throw this.#error();
    if (end > this.#words.length) this.#grow(end);
    this.#words.fill(value, start, end);
    this.count = end;
    return start;
  }

  /** Appends words; returns their start. */
  append(words: Int32Array): number {
    const start = this.take(words.length, 0);
    this.#words.set(words, start);
    return start;
  }

  at(index: number): number {
    return this.#words[index]!; // the caller's index is below `count`
  }

  set(index: number, word: number): void {
    this.#words[index] = word;
  }

  /** The words so far, without a copy; until the next word is appended. */
  view(): Int32Array {
    return this.#words.subarray(0, this.count);
  }

  /** The words so far and `spare` more, without a copy. */
  withSpare(spare: number): Int32Array {
    if (this.count + spare > this.#words.length) this.#grow(this.count + spare);
    return this.#words.subarray(0, this.count + spare);
  }

  #grow(needed: number): void {
    const larger = new Int32Array(Math.max(needed, this.#words.length * 2));
    larger.set(this.#words.subarray(0, this.count));
    this.#words = larger;
  }
}

/** Finds stretches of words that exist already. */
export class StretchIndex {
  readonly #words: WordBuffer;
  #slots = new Int32Array(256).fill(-1); // open addressing: hash -> place in the two below
  #starts = new Int32Array(128);
  #lengths = new Int32Array(128);
  #used = 0;

  constructor(words: WordBuffer) {
    this.#words = words;
  }

  /**
   * The permanent place of the words from `start` to the end; removes them from the end if they are there
   * already.
   */
  intern(start: number): number {
    const length = this.#words.count - start;
    const mask = this.#slots.length - 1;
    let slot = this.#hashOf(start, length) & mask;
    for (let known = this.#slots[slot]!; known >= 0; known = this.#slots[slot]!) {
      const at = this.#starts[known]!; // known < used
      if (this.#lengths[known] === length && this.#same(at, start, length)) {
        this.#words.count = start;
        return at;
      }
      slot = (slot + 1) & mask;
    }
    if (this.#used === this.#starts.length) {
      this.#starts = doubled(this.#starts);
      this.#lengths = doubled(this.#lengths);
    }
    this.#starts[this.#used] = start;
    this.#lengths[this.#used] = length;
    this.#slots[slot] = this.#used++;
    if (this.#used * 2 > this.#slots.length) this.#rehash(this.#slots.length * 4);
    return start;
  }

  /** Forgets all stretches from `start` on. */
  forget(start: number): void {
    while (this.#used > 0 && this.#starts[this.#used - 1]! >= start) this.#used--; // they are in order
    this.#rehash(this.#slots.length);
  }

  #same(a: number, b: number, length: number): boolean {
    for (let i = 0; i < length; i++) if (this.#words.at(a + i) !== this.#words.at(b + i)) return false;
    return true;
  }

  #hashOf(start: number, length: number): number {
    let hash = length;
    for (let i = 0; i < length; i++) {
      hash = Math.imul(hash ^ this.#words.at(start + i), 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    return hash;
  }

  #rehash(slotCount: number): void {
    const mask = slotCount - 1;
    const slots = new Int32Array(mask + 1).fill(-1);
    for (let i = 0; i < this.#used; i++) {
      let slot = this.#hashOf(this.#starts[i]!, this.#lengths[i]!) & mask; // i < used
      while (slots[slot]! >= 0) slot = (slot + 1) & mask; // the mask keeps within the slots
      slots[slot] = i;
    }
    this.#slots = slots;
  }
}

export function doubled(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(array.length * 2);
  larger.set(array);
  return larger;
}
