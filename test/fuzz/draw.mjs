/**
 * Choices from a seed, and bytes that are nearly right: what every target of the fuzzer mutates its inputs
 * with.
 */
import { seededWords } from '../kit/random.mjs';

/** Lengths, counts and tags that formats turn on. */
const TURNING_BYTES = [0, 1, 2, 3, 4, 5, 31, 32, 33, 63, 64, 127, 128, 129, 254, 255];
const TURNING_WORDS = [0, 1, 4095, 4096, 65_535, 65_536, 2 ** 24, 2 ** 26, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1];

export class Draw {
  /**
   * Choices of input `index` of a run: the same whatever came before it.
   * @param {number} seed
   * @param {number} index
   */
  constructor(seed, index) {
    const mixed = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(index + 1, 0xc2b2ae35);
    this.word = seededWords(mixed === 0 ? 1 : mixed);
    for (let i = 0; i < 4; i++) this.word(); // neighbouring seeds begin alike
  }

  /** 0 to `count` - 1. @param {number} count */
  below(count) {
    return Math.floor((this.word() / 2 ** 32) * count);
  }

  /** Whether one chance in `count` came. @param {number} count */
  oneIn(count) {
    return this.below(count) === 0;
  }

  /** @template T @param {readonly T[]} values @returns {T} */
  of(values) {
    if (values.length === 0) throw new RangeError('nothing to choose from');
    return /** @type {T} */ (values[this.below(values.length)]);
  }

  /** @param {number} count */
  bytes(count) {
    const bytes = Buffer.alloc(count);
    for (let i = 0; i < count; i++) bytes[i] = this.word() & 255;
    return bytes;
  }

  /**
   * A copy with one to four changes; the same now and then.
   * @param {Uint8Array} bytes
   * @returns {Buffer<ArrayBufferLike>}
   */
  mutated(bytes) {
    /** @type {Buffer<ArrayBufferLike>} */
    let result = Buffer.from(bytes);
    if (this.oneIn(16)) return result;
    for (let changes = 1 + this.below(4); changes > 0; changes--) result = this.changed(result);
    return result;
  }

  /** @param {Buffer<ArrayBufferLike>} bytes @returns {Buffer<ArrayBufferLike>} */
  changed(bytes) {
    const at = this.below(bytes.length + 1);
    const kind = this.below(9);
    if (kind < 2 && at < bytes.length) {
      bytes[at] = (bytes[at] ?? 0) ^ (1 << this.below(8));
      return bytes;
    }
    if (kind === 2 && at < bytes.length) {
      bytes[at] = this.of(TURNING_BYTES);
      return bytes;
    }
    if (kind === 3 && at + 4 <= bytes.length) {
      bytes.writeUInt32LE(this.of(TURNING_WORDS), at);
      return bytes;
    }
    const end = Math.min(bytes.length, at + 1 + this.below(this.oneIn(4) ? 64 : 4));
    if (kind === 4) return Buffer.concat([bytes.subarray(0, at), bytes.subarray(end)]); // cut out
    if (kind === 5) return Buffer.concat([bytes.subarray(0, end), bytes.subarray(at)]); // twice
    if (kind === 6)
      return Buffer.concat([bytes.subarray(0, at), this.bytes(this.below(9)), bytes.subarray(at)]);
    if (kind === 7) return bytes.subarray(0, at);
    return Buffer.concat([bytes, this.bytes(1 + this.below(4))]);
  }
}
