/** The bit streams of zstd that are read from their end, RFC 8878 §4; and how its data is refused. */

import { ArchiveError, ArchiveErrorCode } from './error.ts';

export class BackwardBits {
  private readonly bytes: Uint8Array;
  /** How many bits are left; below 0 where more were read than there are, which gives zeros. */
  left: number;

  /** A stream ends with a 1 and zeros up to the byte. Throws ArchiveError `damaged` where it does not. */
  constructor(bytes: Uint8Array) {
    const last = bytes[bytes.length - 1] ?? 0;
    if (last === 0) throw damagedZstd('a stream of bits has no end');
    this.bytes = bytes;
    this.left = bytes.length * 8 - 1 - Math.clz32(last) + 24;
  }

  /** The next 0 to 24 bits, the first the highest. */
  read(bits: number): number {
    const value = this.peek(bits);
    this.left -= bits;
    return value;
  }

  /** The next 0 to 31 bits. */
  readLong(bits: number): number {
    if (bits <= 24) return this.read(bits);
    const high = this.read(bits - 16);
    return high * 65536 + this.read(16);
  }

  peek(bits: number): number {
    const { bytes } = this;
    const from = this.left - bits;
    if (from < 0) return this.left <= 0 ? 0 : (this.peekFrom(0) & ((1 << this.left) - 1)) << -from;
    const at = from >> 3;
    if (at + 4 > bytes.length) return this.peekFrom(from) & ((1 << bits) - 1);
    const word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24); // at + 4 <= length
    return (word >>> (from & 7)) & ((1 << bits) - 1);
  }

  /** 25 bits or more, where four bytes may be too many to load. */
  private peekFrom(from: number): number {
    const { bytes } = this;
    const at = from >> 3;
    let word = 0;
    for (let i = 3; i >= 0; i--) word = (word << 8) | (bytes[at + i] ?? 0);
    return word >>> (from & 7);
  }
}

export function damagedZstd(why: string): ArchiveError {
  return new ArchiveError(ArchiveErrorCode.damaged, `the zstd data is damaged: ${why}`);
}

export function truncatedZstd(): ArchiveError {
  return new ArchiveError(ArchiveErrorCode.truncated, 'the zstd data has no end');
}
