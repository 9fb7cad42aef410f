/**
 * XXH64 with seed 0, the checksum of zstd frames. 64-bit numbers are two halves here: with BigInt it would cost ten times what
 * decompressing costs. https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
 */

/** A number of 64 bits: high and low half, each any 32-bit integer, signed or not. */
interface Word {
  high: number;
  low: number;
}

// Fixed by the algorithm.
const STRIPE_BYTES = 32;
const PRIME1: Word = { high: 0x9e3779b1, low: 0x85ebca87 };
const PRIME2: Word = { high: 0xc2b2ae3d, low: 0x27d4eb4f };
const PRIME3: Word = { high: 0x165667b1, low: 0x9e3779f9 };
const PRIME4: Word = { high: 0x85ebca77, low: 0xc2b2ae63 };
const PRIME5: Word = { high: 0x27d4eb2f, low: 0x165667c5 };

export class Xxh64 {
  private readonly lanes: readonly Word[];
  private readonly rest = new Uint8Array(STRIPE_BYTES);
  private restBytes = 0;
  private totalBytes = 0;

  constructor() {
    const first = copyOf(PRIME1);
    add(first, PRIME2);
    this.lanes = [first, copyOf(PRIME2), { high: 0, low: 0 }, { high: ~PRIME1.high, low: ~PRIME1.low }];
    add(this.lanes[3]!, { high: 0, low: 1 }); // minus PRIME1
  }

  update(bytes: Uint8Array): void {
    this.totalBytes += bytes.length;
    let at = 0;
    if (this.restBytes > 0) {
      at = Math.min(STRIPE_BYTES - this.restBytes, bytes.length);
      this.rest.set(bytes.subarray(0, at), this.restBytes);
      this.restBytes += at;
      if (this.restBytes < STRIPE_BYTES) return;
      this.takeStripe(this.rest, 0);
    }
    for (; at + STRIPE_BYTES <= bytes.length; at += STRIPE_BYTES) this.takeStripe(bytes, at);
    this.rest.set(bytes.subarray(at));
    this.restBytes = bytes.length - at;
  }

  /** The low half, unsigned: what zstd keeps. Nothing may be added afterwards. */
  lowHalf(): number {
    const hash = this.totalBytes < STRIPE_BYTES ? copyOf(PRIME5) : this.mergedLanes();
    add(hash, { high: Math.floor(this.totalBytes / 2 ** 32), low: this.totalBytes >>> 0 });
    const { rest, restBytes } = this;
    let at = 0;
    for (; at + 8 <= restBytes; at += 8) {
      const lane: Word = { high: 0, low: 0 };
      round(lane, int32(rest, at + 4), int32(rest, at));
      xor(hash, lane);
      rotate(hash, 27);
      multiply(hash, PRIME1);
      add(hash, PRIME4);
    }
    if (at + 4 <= restBytes) {
      const word: Word = { high: 0, low: int32(rest, at) };
      multiply(word, PRIME1);
      xor(hash, word);
      rotate(hash, 23);
      multiply(hash, PRIME2);
      add(hash, PRIME3);
      at += 4;
    }
    for (; at < restBytes; at++) {
      const word: Word = { high: 0, low: rest[at] ?? 0 };
      multiply(word, PRIME5);
      xor(hash, word);
      rotate(hash, 11);
      multiply(hash, PRIME1);
    }
    return avalanche(hash).low >>> 0;
  }

  private takeStripe(bytes: Uint8Array, at: number): void {
    const [a, b, c, d] = this.lanes as readonly [Word, Word, Word, Word]; // made with four
    round(a, int32(bytes, at + 4), int32(bytes, at));
    round(b, int32(bytes, at + 12), int32(bytes, at + 8));
    round(c, int32(bytes, at + 20), int32(bytes, at + 16));
    round(d, int32(bytes, at + 28), int32(bytes, at + 24));
  }

  private mergedLanes(): Word {
    const hash: Word = { high: 0, low: 0 };
    for (const [index, bits] of [1, 7, 12, 18].entries()) {
      const lane = copyOf(this.lanes[index]!); // four lanes
      rotate(lane, bits);
      add(hash, lane);
    }
    for (const { high, low } of this.lanes) {
      const lane: Word = { high: 0, low: 0 };
      round(lane, high, low);
      xor(hash, lane);
      multiply(hash, PRIME1);
      add(hash, PRIME4);
    }
    return hash;
  }
}

function avalanche(hash: Word): Word {
  xor(hash, { high: 0, low: hash.high >>> 1 }); // shifted right by 33
  multiply(hash, PRIME2);
  xor(hash, { high: hash.high >>> 29, low: (hash.low >>> 29) | (hash.high << 3) });
  multiply(hash, PRIME3);
  xor(hash, { high: 0, low: hash.high }); // by 32
  return hash;
}

/** Takes eight bytes into a lane. */
function round(lane: Word, high: number, low: number): void {
  const input = SCRATCH;
  input.high = high;
  input.low = low;
  multiply(input, PRIME2);
  add(lane, input);
  rotate(lane, 31);
  multiply(lane, PRIME1);
}

/** Spares an object for each eight bytes. */
const SCRATCH: Word = { high: 0, low: 0 };

function int32(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24); // the caller looks at the length
}

function copyOf({ high, low }: Word): Word {
  return { high, low };
}

function add(to: Word, { high, low }: Word): void {
  const sum = (to.low >>> 0) + (low >>> 0);
  to.high = (to.high + high + (sum > 0xffffffff ? 1 : 0)) | 0;
  to.low = sum | 0;
}

function xor(to: Word, { high, low }: Word): void {
  to.high ^= high;
  to.low ^= low;
}

/** To the left by 1 to 31 bits. */
function rotate(word: Word, bits: number): void {
  const { high, low } = word;
  word.high = (high << bits) | (low >>> (32 - bits));
  word.low = (low << bits) | (high >>> (32 - bits));
}

/** The low 64 bits of the product. The parts of 16 bits keep each sum below 2^32. */
function multiply(by: Word, { high, low }: Word): void {
  const a0 = by.low & 0xffff;
  const a1 = by.low >>> 16;
  const b0 = low & 0xffff;
  const b1 = low >>> 16;
  const middle = (a1 * b0 + ((a0 * b0) >>> 16)) >>> 0;
  const cross = (a0 * b1 + (middle & 0xffff)) >>> 0;
  const carry = a1 * b1 + (middle >>> 16) + (cross >>> 16);
  by.high = (carry + Math.imul(by.low, high) + Math.imul(by.high, low)) | 0;
  by.low = Math.imul(by.low, low);
}
