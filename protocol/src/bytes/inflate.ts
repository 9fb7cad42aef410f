/** Raw deflate (RFC 1951) with an exact length, for formats that state the length. */

import { inflateRawSync } from 'node:zlib';

/** zlib's output buffer at a time, by default: more than most bodies need. */
const ZLIB_CHUNK_BYTES = 16 * 1024;
/** zlib's minimum. */
const ZLIB_CHUNK_LEAST_BYTES = 64;

/** For zlib, whose output most likely has no more bytes. Ten thousand policies have a body each. */
export function roomFor(bytes: number): number {
  return Math.min(ZLIB_CHUNK_BYTES, Math.max(ZLIB_CHUNK_LEAST_BYTES, bytes + 1));
}

/** RFC 1951: a byte of deflate never stands for more than 1,032 bytes. */
const EXPANSION_MAX = 1032;

/**
 * Exactly `length` bytes out of exactly `bytes`; undefined if they hold another number. Nothing beyond
 * `length` is inflated.
 */
export function inflateExactly(bytes: Uint8Array, length: number): Uint8Array | undefined {
  if (length > bytes.length * EXPANSION_MAX) return undefined;
  let result: unknown;
  try {
    // `info` also returns the engine, which alone tells whether bytes follow the deflate stream.
    const most = Math.max(1, length);
    result = inflateRawSync(bytes, { maxOutputLength: most, chunkSize: roomFor(length), info: true });
  } catch {
    return undefined;
  }
  const { raw, read } = outcomeOf(result);
  return raw.length === length && read === bytes.length ? raw : undefined;
}

/** The output of zlib, and the number of bytes it read. */
function outcomeOf(result: unknown): { readonly raw: Uint8Array; readonly read: number } {
  if (typeof result === 'object' && result !== null && 'buffer' in result && 'engine' in result) {
    const { buffer: raw, engine } = result;
    if (typeof engine === 'object' && engine !== null && 'bytesWritten' in engine) {
      const { bytesWritten: read } = engine;
      if (raw instanceof Uint8Array && typeof read === 'number') return { raw, read };
    }
  }
  throw new TypeError('zlib returned no engine beside its output');
}
