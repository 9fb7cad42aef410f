/**
 * An adaptive binary range coder: decisions become bytes in as many bits as they were unlikely, given how the
 * same context decided before. CONTENT.md "Prefix tree". The arithmetic is Martin's range encoding (1979)
 * with 32-bit registers.
 *
 *   interval   low …………………… low + bound …………………… low + range
 *              decision 0          decision 1            bound = (range >>> 16) * chance of 0
 */

/** Chances are in units of 1/65,536; a new context holds both decisions for equally likely. */
const CHANCE_ONE = 0x1_0000;
const CHANCE_START = 0x8000;
/**
 * A context's n-th decision moves its chance by 1/(n + 1) of the way, and never by less than 1/64: old habits
 * fade.
 */
const PACE_START = 2;
const PACE_MAX = 64;
/** Below this a register is shifted by a byte, so that a bound has 8 bits more than a chance at least. */
const RANGE_LEAST = 0x100_0000;
const RANGE_START = 0xffff_ffff;
/** The last register is rounded up to a multiple of 2^24: its three zero bytes are not written. */
const IMPLIED_BYTES = 3;

/** The statistics of a coder's contexts. */
class Contexts {
  readonly chances: Uint16Array;
  readonly paces: Uint8Array;

  constructor(count: number) {
    this.chances = new Uint16Array(count).fill(CHANCE_START);
    this.paces = new Uint8Array(count).fill(PACE_START);
  }

  /** Chances stay within 63 and 65,473: a move is rounded down. */
  learn(context: number, chance: number, decision: number): void {
    const pace = this.paces[context]!; // contexts are below the count
    this.chances[context] =
      decision === 0 ? chance + (((CHANCE_ONE - chance) / pace) | 0) : chance - ((chance / pace) | 0);
    if (pace < PACE_MAX) this.paces[context] = pace + 1;
  }
}

/** Writes decisions. */
export class RangeEncoder {
  readonly #contexts: Contexts;
  #buffer = new Uint8Array(1024);
  #used = 0;
  #low = 0;
  #range = RANGE_START;

  constructor(contextCount: number) {
    this.#contexts = new Contexts(contextCount);
  }

  encode(context: number, decision: 0 | 1): void {
    const chance = this.#contexts.chances[context]!; // contexts are below the count
    const bound = Math.imul(this.#range >>> 16, chance) >>> 0;
    if (decision === 0) this.#range = bound;
    else {
      this.#raise(bound);
      this.#range = (this.#range - bound) >>> 0;
    }
    this.#contexts.learn(context, chance, decision);
    while (this.#range < RANGE_LEAST) {
      this.#shift();
      this.#range = (this.#range << 8) >>> 0;
    }
  }

  /** Ends the code and returns its bytes, a view of the encoder's memory. Encode no more. */
  finish(): Uint8Array {
    this.#raise(RANGE_LEAST - 1);
    this.#shift();
    return this.#buffer.subarray(0, this.#used);
  }

  #raise(amount: number): void {
    const low = this.#low + amount;
    this.#low = low >>> 0;
    if (low > 0xffff_ffff) this.#carry();
  }

  /** Adds one to the bytes written. They are below one together, so that the carry ends within them. */
  #carry(): void {
    let at = this.#used - 1;
    while (this.#buffer[at] === 255) this.#buffer[at--] = 0;
    this.#buffer[at]!++; // at >= 0, as explained above
  }

  #shift(): void {
    if (this.#used === this.#buffer.length) {
      const larger = new Uint8Array(this.#used * 2);
      larger.set(this.#buffer);
      this.#buffer = larger;
    }
    this.#buffer[this.#used++] = this.#low >>> 24;
    this.#low = (this.#low << 8) >>> 0;
  }
}

/** Reads decisions. */
export class RangeDecoder {
  readonly #contexts: Contexts;
  readonly #bytes: Uint8Array;
  #at = 0;
  #code = 0;
  #range = RANGE_START;

  /** The bytes stay the caller's and must not change while they are read. */
  constructor(contextCount: number, bytes: Uint8Array) {
    this.#contexts = new Contexts(contextCount);
    this.#bytes = bytes;
    for (let i = 0; i <= IMPLIED_BYTES; i++) this.#shift();
  }

  /**
   * Whether decisions were read that the bytes do not hold. From then on they mean nothing; who reads on
   * checks this.
   */
  get exhausted(): boolean {
    return this.#at > this.#bytes.length + IMPLIED_BYTES;
  }

  /** Whether the bytes are exactly those of the decisions read. */
  get complete(): boolean {
    return this.#at === this.#bytes.length + IMPLIED_BYTES && this.#code < RANGE_LEAST;
  }

  decode(context: number): 0 | 1 {
    const chance = this.#contexts.chances[context]!; // contexts are below the count
    const bound = Math.imul(this.#range >>> 16, chance) >>> 0;
    let decision: 0 | 1 = 0;
    if (this.#code < bound) this.#range = bound;
    else {
      decision = 1;
      this.#code = (this.#code - bound) >>> 0;
      this.#range = (this.#range - bound) >>> 0;
    }
    this.#contexts.learn(context, chance, decision);
    while (this.#range < RANGE_LEAST) {
      this.#shift();
      this.#range = (this.#range << 8) >>> 0;
    }
    return decision;
  }

  #shift(): void {
    const byte = this.#at < this.#bytes.length ? this.#bytes[this.#at]! : 0; // at < length
    this.#at++;
    this.#code = ((this.#code << 8) | byte) >>> 0;
  }
}
