/**
 * Reading and writing of the binary formats: little-endian numbers, LEB128, short text, and columns of words. The reader checks
 * every length against the bytes that are left before anything is allocated, and throws a ProtocolError of its owner's code.
 */

import { endianness } from 'node:os';
import { type ErrorCode, ProtocolError } from '../error.ts';
import { VERSION_MAX } from '../limits.ts';

const LITTLE_ENDIAN_HOST = endianness() === 'LE';
/** Ends a line of text. */
export const LINE_FEED = 10;
/** A u32 in LEB128. */
const VARINT_MAX_BYTES = 5;

/**
 * The little-endian bytes of a column of words: a view where the host is little-endian, so that a column of a million prefixes is
 * hashed where it lies; a swapped copy elsewhere. The caller must not write to it.
 */
export function bytesOfWords(words: Uint32Array, littleEndianHost: boolean = LITTLE_ENDIAN_HOST): Uint8Array {
  const view = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  return littleEndianHost ? view : swapped(view);
}

/** Hexadecimal digits of bytes, lower case: how hashes, digests and lineages are shown and looked up. */
export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

/** The words of little-endian bytes (a multiple of four), in memory of their own. */
export function wordsOfBytes(
  bytes: Uint8Array,
  littleEndianHost: boolean = LITTLE_ENDIAN_HOST,
): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(bytes.length >>> 2);
  new Uint8Array(words.buffer).set(littleEndianHost ? bytes : swapped(bytes));
  return words;
}

function swapped(bytes: Uint8Array): Uint8Array {
  return Buffer.from(bytes).swap32(); // Buffer.from copies
}

/** A growing byte string. */
export class ByteWriter {
  private buffer: Buffer;
  private used = 0;

  constructor(capacity = 256) {
    this.buffer = Buffer.allocUnsafeSlow(Math.max(16, capacity));
  }

  get length(): number {
    return this.used;
  }

  u8(value: number): void {
    const at = this.reserve(1); // first: it may replace the buffer
    this.buffer[at] = value;
  }

  u16(value: number): void {
    const at = this.reserve(2);
    this.buffer.writeUInt16LE(value, at);
  }

  u32(value: number): void {
    const at = this.reserve(4);
    this.buffer.writeUInt32LE(value, at);
  }

  /** A u64 of at most 2^53 - 1. */
  u64(value: number): void {
    const at = this.reserve(8);
    this.buffer.writeUInt32LE(value % 0x1_0000_0000, at);
    this.buffer.writeUInt32LE(Math.floor(value / 0x1_0000_0000), at + 4);
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

  bytes(bytes: Uint8Array): void {
    const at = this.reserve(bytes.length);
    this.buffer.set(bytes, at);
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
    const at = this.reserve(text.length);
    this.buffer.write(text, at, 'latin1');
  }

  /** The bytes so far; a view of the writer's memory, which is the caller's from now on: write no more. */
  take(): Uint8Array {
    return new Uint8Array(this.buffer.buffer, this.buffer.byteOffset, this.used);
  }

  /** Makes room for `count` bytes and returns where they go. */
  private reserve(count: number): number {
    const at = this.used;
    this.used += count;
    if (this.used > this.buffer.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(this.used, this.buffer.length * 2));
      larger.set(this.buffer.subarray(0, at));
      this.buffer = larger;
    }
    return at;
  }
}

/** A checked walk over bytes that a peer or a disk gave. Every method throws ProtocolError where the bytes are short or wrong. */
export class ByteReader {
  private readonly buffer: Buffer;
  private readonly code: ErrorCode;
  private readonly part: string | undefined;
  private at = 0;

  /** `code` and `part` go into every error. The bytes stay the caller's and must not change while they are read. */
  constructor(bytes: Uint8Array, code: ErrorCode, part?: string) {
    this.buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.code = code;
    this.part = part;
  }

  get remaining(): number {
    return this.buffer.length - this.at;
  }

  /** What is wrong with these bytes, to throw. `entry` is an index within the part. */
  error(message: string, entry?: number, code: ErrorCode = this.code): ProtocolError {
    const where = this.part === undefined ? '' : `${this.part}: `;
    return new ProtocolError(code, `${where}${message}`, { part: this.part, entry });
  }

  /** A reader of the next `count` bytes, with the errors of this one. */
  nested(count: number): ByteReader {
    return this.over(this.bytes(count));
  }

  /** A reader of other bytes with the errors of this one. */
  over(bytes: Uint8Array): ByteReader {
    return new ByteReader(bytes, this.code, this.part);
  }

  u8(): number {
    return this.buffer[this.advance(1)]!; // advance checked the length
  }

  u16(): number {
    return this.buffer.readUInt16LE(this.advance(2));
  }

  u32(): number {
    return this.buffer.readUInt32LE(this.advance(4));
  }

  /** A u64; more than 2^53 - 1 is an error. */
  u64(): number {
    const at = this.advance(8);
    const value = this.buffer.readUInt32LE(at + 4) * 0x1_0000_0000 + this.buffer.readUInt32LE(at);
    if (value > VERSION_MAX) throw this.error('a number above 2^53 - 1');
    return value;
  }

  /** A u32 in LEB128; a longer form than needed is an error. */
  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < VARINT_MAX_BYTES; i++) {
      const byte = this.u8();
      value += (byte & 127) * scale;
      if (byte > 127) {
        scale *= 128;
        continue;
      }
      if ((byte === 0 && i > 0) || value > 0xffff_ffff) break;
      return value;
    }
    throw this.error('a malformed variable-length number');
  }

  /** A u32 count of things that take at least `leastBytes` each. More than the remaining bytes can hold is an error. */
  count(leastBytes: number): number {
    const count = this.u32();
    if (count * leastBytes > this.remaining) {
      throw this.error(`${count} announced, but ${this.remaining} bytes are left`);
    }
    return count;
  }

  /** The next `count` bytes, as a view. */
  bytes(count: number): Uint8Array {
    const at = this.advance(count);
    return new Uint8Array(this.buffer.buffer, this.buffer.byteOffset + at, count);
  }

  /** The next `count` words, in memory of their own. */
  words(count: number): Uint32Array<ArrayBuffer> {
    return wordsOfBytes(this.bytes(count * 4));
  }

  /** Text of `count` bytes, one character a byte; the caller checks what it holds. */
  text(count: number): string {
    const at = this.advance(count);
    return this.buffer.toString('latin1', at, at + count);
  }

  /** Text after a u8 of its length. */
  shortText(): string {
    return this.text(this.u8());
  }

  /** Text up to the next line feed, which is stepped over. */
  line(): string {
    const end = this.buffer.indexOf(LINE_FEED, this.at);
    if (end < 0) throw this.error('a line without an end');
    const text = this.text(end - this.at);
    this.at = end + 1;
    return text;
  }

  /** Throws where bytes are left over. */
  end(): void {
    if (this.remaining > 0) throw this.error(`${this.remaining} bytes too many`);
  }

  /** Steps over `count` bytes and returns where they begin. */
  private advance(count: number): number {
    const at = this.at;
    if (count > this.buffer.length - at) {
      throw this.error(`${count} bytes expected, ${this.buffer.length - at} left`);
    }
    this.at = at + count;
    return at;
  }
}
