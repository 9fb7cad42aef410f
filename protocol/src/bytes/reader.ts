/**
 * Reading of the binary formats: little-endian numbers, LEB128, short text, and columns of words. The reader
 * checks every length against the bytes that are left before anything is allocated, and throws a
 * ProtocolError of its owner's code.
 */

import { type ErrorCode, ProtocolError } from '../error.ts';
import { VERSION_MAX } from '../limits.ts';
import { wordsOfBytes } from './words.ts';

/** A u32 in LEB128. */
const VARINT_MAX_BYTES = 5;
/** The most bytes of a difference: 53 bits in LEB128. */
const DIFFERENCE_MAX_BYTES = 8;

/**
 * A checked walk over bytes that a peer or a disk gave. Every method throws ProtocolError where the bytes are
 * short or wrong.
 */
export class ByteReader {
  readonly #buffer: Buffer;
  readonly #code: ErrorCode;
  readonly #part: string | undefined;
  #at = 0;

  /**
   * `code` and `part` go into every error. The bytes stay the caller's and must not change while they are
   * read.
   */
  constructor(bytes: Uint8Array, code: ErrorCode, part?: string) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#code = code;
    this.#part = part;
  }

  get remaining(): number {
    return this.#buffer.length - this.#at;
  }

  /** An error about these bytes, for the caller to throw. `entry` is an index within the part. */
  error(message: string, entry?: number, code: ErrorCode = this.#code): ProtocolError {
    const where = this.#part === undefined ? '' : `${this.#part}: `;
    return new ProtocolError(code, `${where}${message}`, { part: this.#part, entry });
  }

  /** A reader of the next `count` bytes, with the errors of this one. */
  nested(count: number): ByteReader {
    return this.over(this.bytes(count));
  }

  /** A reader of other bytes with the errors of this one. */
  over(bytes: Uint8Array): ByteReader {
    return new ByteReader(bytes, this.#code, this.#part);
  }

  u8(): number {
    return this.#buffer[this.#advance(1)]!; // advance checked the length
  }

  u16(): number {
    return this.#buffer.readUInt16LE(this.#advance(2));
  }

  u32(): number {
    return this.#buffer.readUInt32LE(this.#advance(4));
  }

  /** A u64; more than 2^53 - 1 is an error. */
  u64(): number {
    const at = this.#advance(8);
    const value = this.#buffer.readUInt32LE(at + 4) * 0x1_0000_0000 + this.#buffer.readUInt32LE(at);
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

  /**
   * A signed whole number of less than 2^52 either way, its sign in the lowest bit, in LEB128; a longer form
   * than needed is an error.
   */
  difference(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < DIFFERENCE_MAX_BYTES; i++) {
      const byte = this.u8();
      value += (byte & 127) * scale;
      if (byte > 127) {
        scale *= 128;
        continue;
      }
      if ((byte === 0 && i > 0) || value > VERSION_MAX) break;
      return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
    }
    throw this.error('a malformed difference');
  }

  /**
   * A u32 count of things that take at least `leastBytes` each. More than the remaining bytes can hold is an
   * error.
   */
  count(leastBytes: number): number {
    const count = this.u32();
    if (count * leastBytes > this.remaining) {
      throw this.error(`${count} announced, but ${this.remaining} bytes are left`);
    }
    return count;
  }

  /** The next `count` bytes, as a view. */
  bytes(count: number): Uint8Array {
    const at = this.#advance(count);
    return new Uint8Array(this.#buffer.buffer, this.#buffer.byteOffset + at, count);
  }

  /** All bytes that are left, as a view, for a look: they are still to be read. */
  ahead(): Uint8Array {
    return new Uint8Array(this.#buffer.buffer, this.#buffer.byteOffset + this.#at, this.remaining);
  }

  /** The next `count` words, in memory of their own. */
  words(count: number): Uint32Array<ArrayBuffer> {
    return wordsOfBytes(this.bytes(count * 4));
  }

  /** Text of `count` bytes, one character a byte; the caller checks what it holds. */
  text(count: number): string {
    const at = this.#advance(count);
    return this.#buffer.toString('latin1', at, at + count);
  }

  /** Text behind its length as a u8. */
  shortText(): string {
    return this.text(this.u8());
  }

  /** Throws if bytes are left. */
  end(): void {
    if (this.remaining > 0) throw this.error(`${this.remaining} bytes too many`);
  }

  /** Steps over `count` bytes and returns where they begin. */
  #advance(count: number): number {
    const at = this.#at;
    if (count > this.#buffer.length - at) {
      throw this.error(`${count} bytes expected, ${this.#buffer.length - at} left`);
    }
    this.#at = at + count;
    return at;
  }
}
