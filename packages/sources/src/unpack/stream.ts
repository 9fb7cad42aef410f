/** What comes out of a compression, piece by piece, so that a bomb is noticed while it is small. Nothing goes to disk. */

import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { createGunzip } from 'node:zlib';
import { ARCHIVE_LIMITS } from '../limits.ts';
import { bunzip2 } from './bzip2.ts';
import { ArchiveError, ArchiveErrorCode } from './error.ts';
import type { Compression } from './magic.ts';
import { unzstd } from './zstd.ts';

/** Our choice: so much goes in at once, and gives at most a thousand times as much by gzip. */
const INPUT_BYTES = 16 * 1024;
/** Our choice: how long a decompressor in JavaScript keeps others waiting. */
const TURN_MS = 10;

/** The bytes undone, in pieces. Iterating throws ArchiveError; whoever stops early loses nothing. */
export function decompressed(by: Compression, bytes: Uint8Array): AsyncIterable<Uint8Array> {
  switch (by) {
    case 'gzip':
      return gunzip(bytes);
    case 'xz':
      return unxz(bytes);
    case 'zstd':
      return inTurns(unzstd(bytes, ARCHIVE_LIMITS.windowBytes));
    case 'bzip2':
      return inTurns(bunzip2(bytes));
  }
}

/** Lets others have their turn. */
async function* inTurns(pieces: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let sinceMs = performance.now();
  for (const piece of pieces) {
    yield piece;
    if (performance.now() - sinceMs < TURN_MS) continue;
    await setImmediate();
    sinceMs = performance.now();
  }
}

/** Several members one after the other are one file, as gzip has it. */
async function* gunzip(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  const gunzipped = createGunzip();
  const source = Readable.from(slices(bytes), { objectMode: false });
  source.on('error', (error) => gunzipped.destroy(error)).pipe(gunzipped);
  try {
    for await (const piece of gunzipped) yield piece;
  } catch (cause) {
    throw zlibError('gzip', cause);
  } finally {
    source.destroy();
    gunzipped.destroy();
  }
}

/** What zlib says about damaged data, in our words. */
export function zlibError(what: string, cause: unknown): unknown {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  if (code === 'Z_BUF_ERROR') {
    return new ArchiveError(ArchiveErrorCode.truncated, `the ${what} data has no end`, { cause });
  }
  if (typeof code !== 'string' || !code.startsWith('Z_')) return cause;
  const reason = cause instanceof Error ? `: ${cause.message}` : '';
  return new ArchiveError(ArchiveErrorCode.damaged, `the ${what} data is damaged${reason}`, { cause });
}

/** The codes of xz-embedded (xz.h), which the library only names by number. */
const XZ_UNSUPPORTED: ReadonlySet<string> = new Set(['2', '4', '6']);
const XZ_TRUNCATED = '8';

async function* unxz(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  const { default: xz } = await import('xz-decompress'); // CommonJS whose names Node does not see
  const source = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const slice of slices(bytes)) controller.enqueue(slice);
      controller.close();
    },
  });
  let sinceMs = performance.now();
  try {
    for await (const piece of new xz.XzReadableStream(source)) {
      if (piece.length > 0) yield piece;
      if (performance.now() - sinceMs < TURN_MS) continue;
      await setImmediate();
      sinceMs = performance.now();
    }
  } catch (cause) {
    throw xzError(cause);
  }
}

function xzError(cause: unknown): unknown {
  const code = cause instanceof Error ? /failed with error code (\d+)/.exec(cause.message)?.[1] : undefined;
  if (code === undefined) return cause;
  if (code === XZ_TRUNCATED) {
    return new ArchiveError(ArchiveErrorCode.truncated, 'the xz data has no end, or something follows it', {
      cause,
    });
  }
  if (XZ_UNSUPPORTED.has(code)) {
    const message =
      'the xz data uses a filter, a check or a memory that is not supported: compress it with xz -9 or less, and with CRC32 or CRC64';
    return new ArchiveError(ArchiveErrorCode.unsupported, message, { cause });
  }
  return new ArchiveError(ArchiveErrorCode.damaged, 'the xz data is damaged', { cause });
}

function* slices(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += INPUT_BYTES) yield bytes.subarray(at, at + INPUT_BYTES);
}
