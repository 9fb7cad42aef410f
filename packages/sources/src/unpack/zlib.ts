/** Decompresses with Node's own zlib, in slices, so that a bomb is noticed while it is small. */

import { Readable, type Transform } from 'node:stream';
import { UnpackError, UnpackErrorCode } from './error.ts';

/** The input of one step, which gives at most a thousand times as much by gzip. Our choice. */
const INPUT_BYTES = 16 * 1024;

/** The output of a decompressor, which ends with the iteration. Throws UnpackError. */
export async function* throughZlib(
  what: string,
  decompressor: Transform,
  bytes: Uint8Array,
): AsyncGenerator<Uint8Array> {
  const source = Readable.from(slices(bytes), { objectMode: false });
  source.on('error', (error) => decompressor.destroy(error)).pipe(decompressor);
  try {
    for await (const piece of decompressor) yield piece;
  } catch (cause) {
    throw zlibError(what, cause);
  } finally {
    source.destroy();
    decompressor.destroy();
  }
}

/** An error of zlib about damaged data, in our words. */
export function zlibError(what: string, cause: unknown): unknown {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  if (code === 'Z_BUF_ERROR') {
    return new UnpackError(UnpackErrorCode.truncated, `the ${what} data is truncated`, { cause });
  }
  if (code === 'ZSTD_error_dictionary_wrong' || code === 'ZSTD_error_frameParameter_windowTooLarge') {
    const message = `the ${what} data needs a dictionary, or more memory than is given: compress it without -D, --ultra and --long`;
    return new UnpackError(UnpackErrorCode.unsupported, message, { cause });
  }
  if (typeof code !== 'string' || !/^(Z|ZSTD_error)_/.test(code)) return cause;
  const reason = cause instanceof Error ? `: ${cause.message}` : '';
  return new UnpackError(UnpackErrorCode.damaged, `the ${what} data is damaged${reason}`, { cause });
}

export function* slices(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += INPUT_BYTES) yield bytes.subarray(at, at + INPUT_BYTES);
}
