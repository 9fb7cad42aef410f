/**
 * zstd, undone by Node where it can (from 22.15 on), else by the program. Its frames are walked here first,
 * so that both see whole frames and nothing else: Node says nothing of a frame that comes after the first,
 * and the program takes other formats for frames. RFC 8878, §3.1.
 *
 *   0xFD2FB528 | descriptor 1 | window 0-1 | dictionary 0-4 | content size 0-8 | block... | checksum 0 or 4
 *   block: 3 bytes, last 1 bit, kind 2, size 21 | as many bytes, or 1 where the kind is a repeated byte
 *   0x184D2A5? | size 4 | as many bytes to pass over
 */

import { Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import { UnpackError, UnpackErrorCode } from './error.ts';
import { UNPACK_LIMITS } from './limits.ts';
import { type Program, type ProgramOptions, throughProgram } from './program.ts';
import { throughZlib } from './zlib.ts';

// Fixed by the format.
const MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50; // and the 15 after it
const REPEATED_BYTE = 1;
const CHECKSUM_BYTES = 4;

/** The default of the program; it bounds what a frame may remember, which was looked at before. */
const PROGRAM: Program = {
  name: 'zstd',
  args: ['-dcq', `--memory=${UNPACK_LIMITS.windowBytes}`],
  memoryBytes: 512 * 1024 * 1024,
  explain: ({ words }) => damaged(words),
};

/**
 * What comes out. Throws UnpackError; `unsupported` for a frame that needs a dictionary or remembers too
 * much.
 */
export async function* unzstd(bytes: Uint8Array, options: ProgramOptions): AsyncGenerator<Uint8Array> {
  const make = options.withoutNode === true ? undefined : decompressorOfNode();
  if (make === undefined) {
    let frameCount = 0;
    for (const _frame of framesOf(bytes)) frameCount++;
    if (frameCount > 0) yield* throughProgram(PROGRAM, bytes, options);
    return;
  }
  for (const frame of framesOf(bytes)) yield* throughZlib('zstd', make(), frame);
}

/** The types here are those of the oldest Node. */
function decompressorOfNode(): (() => Transform) | undefined {
  const make: unknown = Reflect.get(zlib, 'createZstdDecompress');
  if (typeof make !== 'function') return undefined;
  return () => {
    const made: unknown = make();
    if (made instanceof Transform) return made;
    throw new TypeError('the zstd of this Node is no stream');
  };
}

/** Each frame with content, whole. */
function* framesOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; ) {
    const start = at;
    const magic = littleEndian(bytes, at, 4);
    if ((magic & ~0xf) >>> 0 === SKIPPABLE_MAGIC) {
      at += 8 + littleEndian(bytes, at + 4, 4);
      if (at > bytes.length) throw truncated();
      continue;
    }
    if (magic !== MAGIC) throw damaged(at === 0 ? 'it does not begin as one' : 'something else follows it');
    at = frameEnd(bytes, at + 4);
    yield bytes.subarray(start, at);
  }
}

/** §3.1.1; `at` is behind the magic. */
function frameEnd(bytes: Uint8Array, at: number): number {
  const descriptor = littleEndian(bytes, at, 1);
  const hasChecksum = (descriptor & 0x04) !== 0;
  let end = headerEnd(bytes, at, descriptor);
  for (let isLast = false; !isLast; ) {
    const head = littleEndian(bytes, end, 3);
    isLast = (head & 1) === 1;
    end += 3 + (((head >> 1) & 3) === REPEATED_BYTE ? 1 : head >> 3);
  }
  if (hasChecksum) end += CHECKSUM_BYTES;
  if (end > bytes.length) throw truncated();
  return end;
}

/** §3.1.1.1; looks at what the frame asks for. */
function headerEnd(bytes: Uint8Array, start: number, descriptor: number): number {
  const isSingleSegment = (descriptor & 0x20) !== 0;
  let at = start + 1;
  let windowBytes = 0;
  if (!isSingleSegment) {
    const window = littleEndian(bytes, at++, 1);
    const base = 2 ** (10 + (window >> 3));
    windowBytes = base + (base / 8) * (window & 7);
  }
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  if (littleEndian(bytes, at, dictionaryBytes) !== 0) {
    throw new UnpackError(UnpackErrorCode.unsupported, 'the zstd data needs a dictionary');
  }
  at += dictionaryBytes;
  const sizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  const contentBytes = littleEndian(bytes, at, sizeBytes) + (sizeBytes === 2 ? 256 : 0);
  if (isSingleSegment) windowBytes = contentBytes;
  const { windowBytes: most } = UNPACK_LIMITS;
  if (windowBytes > most) {
    const message = `the zstd data wants ${windowBytes} bytes of memory; at most ${most} are given: compress it without --ultra and --long`;
    throw new UnpackError(UnpackErrorCode.unsupported, message);
  }
  return at + sizeBytes;
}

/** Up to 8 bytes, as exactly as a number can be. */
function littleEndian(bytes: Uint8Array, at: number, count: number): number {
  if (at + count > bytes.length) throw truncated();
  let value = 0;
  for (let i = count - 1; i >= 0; i--) value = value * 256 + (bytes[at + i] ?? 0);
  return value;
}

function truncated(): UnpackError {
  return new UnpackError(UnpackErrorCode.truncated, 'the zstd data has no end');
}

function damaged(why: string): UnpackError {
  return new UnpackError(UnpackErrorCode.damaged, `the zstd data is damaged: ${why}`);
}
