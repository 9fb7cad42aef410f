/** Numbers from a seed, the same on every machine, for tests and benches. */

/**
 * Unsigned 32-bit words (xorshift32; Marsaglia, "Xorshift RNGs", 2003).
 * @param {number} seed Not 0.
 * @returns {() => number}
 */
export function seededWords(seed) {
  let state = seed >>> 0;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
}

/**
 * Whole numbers from 0 to `below` - 1.
 * @param {number} seed Not 0.
 * @returns {(below: number) => number}
 */
export function seededNumbers(seed) {
  const next = seededWords(seed);
  return (below) => Math.floor((next() / 2 ** 32) * below);
}

/**
 * Unsigned 32-bit words of which neighbouring seeds give unlike ones (Mulberry32, Tommy Ettinger). Recorded
 * sessions are made with these.
 * @param {number} seed
 * @returns {() => number}
 */
export function mulberryWords(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}

/** Choices from unsigned 32-bit words (splitmix32), for what is made of many of them. */
export class Random {
  /** @type {number} */
  #state;

  /** @param {number} seed */
  constructor(seed) {
    this.#state = seed | 0;
  }

  /** @returns {number} */
  word() {
    this.#state = (this.#state + 0x9e3779b9) | 0;
    let word = Math.imul(this.#state ^ (this.#state >>> 16), 0x21f0aaad);
    word = Math.imul(word ^ (word >>> 15), 0x735a2d97);
    return (word ^ (word >>> 15)) >>> 0;
  }

  /** 0 to `limit` - 1. @param {number} limit */
  below(limit) {
    return Math.floor((this.word() / 2 ** 32) * limit);
  }

  /** Whether it is the case, of a share of 0 to 1. @param {number} share */
  chance(share) {
    return this.word() < share * 2 ** 32;
  }

  /** @template T @param {readonly T[]} items @returns {T} */
  pick(items) {
    if (items.length === 0) throw new RangeError('nothing to pick from');
    return /** @type {T} */ (items[this.below(items.length)]); // below the length, and T itself may be undefined
  }
}
