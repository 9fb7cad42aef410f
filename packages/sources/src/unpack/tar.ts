/**
 * The files of a tar archive, from a stream of pieces. Links, devices and directories hold no bytes and are
 * passed over.
 */

import { Readable } from 'node:stream';
import { extract } from 'tar-stream';
import { UnpackError, UnpackErrorCode } from './error.ts';
import type { Harvest } from './harvest.ts';

const BLOCK_BYTES = 512;

/** Takes the wanted files. Throws UnpackError, and what `pieces` throws. */
export async function takeTar(pieces: AsyncIterable<Uint8Array>, harvest: Harvest): Promise<void> {
  const end = new EndOfTar();
  const entries = extract({ allowUnknownFormat: true }); // of the time before there was a magic
  const source = Readable.from(end.watched(pieces), { objectMode: false });
  source.on('error', (error) => entries.destroy(error));
  source.pipe(entries);
  try {
    for await (const entry of entries) {
      const { name, type } = entry.header;
      const isFile = type === 'file' || type === 'contiguous-file';
      const taker = isFile ? harvest.want(name) : harvest.passBy(name);
      if (taker === undefined) entry.resume();
      else {
        for await (const piece of entry) taker.add(piece);
        taker.done();
      }
    }
  } catch (error) {
    throw tarError(error);
  } finally {
    source.destroy();
    entries.destroy();
  }
  if (!end.isThere) throw new UnpackError(UnpackErrorCode.truncated, 'the tar archive is truncated');
}

/** An archive ends with blocks of zeros, also where no member was cut in half. */
class EndOfTar {
  #zeros = 0;

  get isThere(): boolean {
    return this.#zeros >= BLOCK_BYTES;
  }

  async *watched(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of pieces) {
      let at = piece.length;
      while (at > 0 && piece[at - 1] === 0) at--;
      this.#zeros = at === 0 ? this.#zeros + piece.length : piece.length - at;
      yield piece;
    }
  }
}

function tarError(error: unknown): unknown {
  if (error instanceof UnpackError || !(error instanceof Error)) return error;
  if ('code' in error) return error; // of the system, not of the archive
  const isCut = error.message === 'Unexpected end of data' || error.message === 'Premature close';
  const code = isCut ? UnpackErrorCode.truncated : UnpackErrorCode.damaged;
  const what = isCut ? 'is truncated' : `is damaged (${error.message})`;
  return new UnpackError(code, `the tar archive ${what}`, { cause: error });
}
