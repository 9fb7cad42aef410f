/** Decompresses piece by piece, so that a bomb is noticed while it is small. Nothing goes to disk. */

import { setImmediate } from 'node:timers/promises';
import { createGunzip } from 'node:zlib';
import { UnpackError, UnpackErrorCode } from './error.ts';
import type { Compression } from './magic.ts';
import { slices, throughZlib } from './zlib.ts';
import { unzstd } from './zstd.ts';

/** How long a decompressor may block the thread. Our choice. */
const TURN_MS = 10;

/** The decompressed bytes, in pieces. Iterating throws UnpackError; a reader may stop early. */
export function decompressed(by: Compression, bytes: Uint8Array): AsyncIterable<Uint8Array> {
  switch (by) {
    case 'gzip': // several members one after the other are one file
      return throughZlib('gzip', createGunzip(), bytes);
    case 'xz':
      return unxz(bytes);
    case 'zstd':
      return unzstd(bytes);
  }
}

/** The codes of xz-embedded (xz.h), which the library only names by number. */
const XZ_UNSUPPORTED: ReadonlySet<string> = new Set(['2', '4', '6']);
const XZ_TRUNCATED = '8';

async function* unxz(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  const { default: xz } = await import('xz-decompress'); // a CommonJS module, whose names Node does not find
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
    return new UnpackError(UnpackErrorCode.truncated, 'the xz data is truncated, or other data follows it', {
      cause,
    });
  }
  if (XZ_UNSUPPORTED.has(code)) {
    const message =
      'the xz data uses a filter, a check or a memory that is not supported: compress it with xz -9 or less, and with CRC32 or CRC64';
    return new UnpackError(UnpackErrorCode.unsupported, message, { cause });
  }
  return new UnpackError(UnpackErrorCode.damaged, 'the xz data is damaged', { cause });
}
