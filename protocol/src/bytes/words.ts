/** Columns of words as the little-endian bytes that are hashed and sent. */

import { endianness } from 'node:os';

const LITTLE_ENDIAN_HOST = endianness() === 'LE';

/**
 * The little-endian bytes of a column of words: a view where the host is little-endian, so that a column of a
 * million prefixes is hashed where it lies; a swapped copy elsewhere. The caller must not write to it.
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
