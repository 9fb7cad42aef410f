/**
 * zstd, decompressed by Node from 22.15 on. The frames are parsed here first, as some versions of Node
 * silently ignore frames after the first one, and accept one that is cut off. RFC 8878, §3.1.
 *
 *   0xFD2FB528 | descriptor 1 | window 0-1 | dictionary 0-4 | content size 0-8 | block... | checksum 0 or 4
 *   block: 3 bytes, last 1 bit, kind 2, size 21 | as many bytes, or 1 where the kind is a repeated byte
 *   0x184D2A5? | size 4 | as many bytes to pass over
 */

import { Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import { ANOTHER_FORM, UnpackError, UnpackErrorCode } from './error.ts';
import { throughZlib } from './zlib.ts';

// Fixed by the format.
const MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50; // and the 15 after it
const REPEATED_BYTE = 1;
const CHECKSUM_BYTES = 4;

/** The decompressed bytes. Throws UnpackError; `unsupported` if this Node has no zstd. */
export async function* unzstd(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  const make: unknown = Reflect.get(zlib, 'createZstdDecompress'); // the types here are those of the oldest Node
  if (typeof make !== 'function') {
    const message = `it is compressed by zstd, which needs Node 22.15 or later (this is ${process.version}): ${ANOTHER_FORM}`;
    throw new UnpackError(UnpackErrorCode.unsupported, message);
  }
  for (const frame of framesOf(bytes)) {
    const decompressor: unknown = make();
    if (!(decompressor instanceof Transform)) throw new TypeError('the zstd of this Node is no stream');
    yield* throughZlib('zstd', decompressor, frame);
  }
}

/** Each frame with content, whole. */
function* framesOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; ) {
    const start = at;
    const magic = littleEndian(bytes, at, 4);
    const isSkippable = (magic & ~0xf) >>> 0 === SKIPPABLE_MAGIC;
    if (!isSkippable && magic !== MAGIC) throw damaged();
    at = isSkippable ? at + 8 + littleEndian(bytes, at + 4, 4) : frameEnd(bytes, at + 4);
    if (at > bytes.length) throw truncated();
    if (!isSkippable) yield bytes.subarray(start, at);
  }
}

/** §3.1.1; `at` is behind the magic. */
function frameEnd(bytes: Uint8Array, at: number): number {
  const descriptor = littleEndian(bytes, at, 1);
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const windowBytes = isSingleSegment ? 0 : 1;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const sizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  let end = at + 1 + windowBytes + dictionaryBytes + sizeBytes;
  for (let isLast = false; !isLast; ) {
    const head = littleEndian(bytes, end, 3);
    isLast = (head & 1) === 1;
    end += 3 + (((head >> 1) & 3) === REPEATED_BYTE ? 1 : head >> 3);
  }
  return (descriptor & 0x04) === 0 ? end : end + CHECKSUM_BYTES;
}

function littleEndian(bytes: Uint8Array, at: number, count: number): number {
  if (at + count > bytes.length) throw truncated();
  return Buffer.from(bytes.buffer, bytes.byteOffset + at, count).readUIntLE(0, count);
}

function truncated(): UnpackError {
  return new UnpackError(UnpackErrorCode.truncated, 'the zstd data is truncated');
}

function damaged(): UnpackError {
  return new UnpackError(UnpackErrorCode.damaged, 'the zstd data is damaged: it holds other data');
}
