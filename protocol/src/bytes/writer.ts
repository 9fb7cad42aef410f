/** Writing of the binary formats: little-endian numbers, LEB128, short text, and columns of words. */

import { bytesOfWords } from './words.ts';

/** A growing byte string. */
export class ByteWriter {
  #buffer: Buffer;
  #used = 0;

  constructor(capacity = 256) {
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(16, capacity));
  }

  get length(): number {
    return this.#used;
  }

  u8(value: number): void {
    const at = this.#reserve(1); // first: it may replace the buffer
    this.#buffer[at] = value;
  }

  u16(value: number): void {
    const at = this.#reserve(2);
    this.#buffer.writeUInt16LE(value, at);
  }

  u32(value: number): void {
    const at = this.#reserve(4);
    this.#buffer.writeUInt32LE(value, at);
  }

  /** A u64 of at most 2^53 - 1. */
  u64(value: number): void {
    const at = this.#reserve(8);
    this.#buffer.writeUInt32LE(value % 0x1_0000_0000, at);
    this.#buffer.writeUInt32LE(Math.floor(value / 0x1_0000_0000), at + 4);
  }

  /** A u32 in the shortest LEB128. */
  varint(value: number): void {
    let rest = value;
    while (rest > 127) {
      this.u8((rest & 127) | 128);
      rest >>>= 7;
    }
    this.u8(rest);
  }

  /** A whole number of less than 2^52 either way, the sign as its lowest bit, in the shortest LEB128. */
  difference(value: number): void {
    let rest = value >= 0 ? value * 2 : -value * 2 - 1;
    while (rest > 127) {
      this.u8((rest % 128) | 128);
      rest = Math.floor(rest / 128);
    }
    this.u8(rest);
  }

  bytes(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.length);
    this.#buffer.set(bytes, at);
  }

  words(words: Uint32Array): void {
    this.bytes(bytesOfWords(words));
  }

  /** ASCII text of at most 255 characters after a u8 of its length. */
  shortText(text: string): void {
    this.u8(text.length);
    this.ascii(text);
  }

  /** The characters of ASCII text, without a length. */
  ascii(text: string): void {
    const at = this.#reserve(text.length);
    this.#buffer.write(text, at, 'latin1');
  }

  /** The bytes so far; a view of the writer's memory, which is the caller's from now on: write no more. */
  take(): Uint8Array {
    return new Uint8Array(this.#buffer.buffer, this.#buffer.byteOffset, this.#used);
  }

  /** Makes room for `count` bytes and returns where they go. */
  #reserve(count: number): number {
    const at = this.#used;
    this.#used += count;
    if (this.#used > this.#buffer.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(this.#used, this.#buffer.length * 2));
      larger.set(this.#buffer.subarray(0, at));
      this.#buffer = larger;
    }
    return at;
  }
}
