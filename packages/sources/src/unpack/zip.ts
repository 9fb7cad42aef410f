/** The files of a zip archive. The sizes and checksums in its directory are compared with the output. */

import { crc32 } from 'node:zlib';
import { type Entry, fromBufferPromise, type ZipFile } from 'yauzl';
import { UnpackError, UnpackErrorCode } from './error.ts';
import type { Harvest } from './harvest.ts';
import { zlibError } from './zlib.ts';

// Fixed by the format; APPNOTE.TXT 4.4.2 and 4.4.15, and stat.h for Unix modes.
const MADE_BY_UNIX = 3;
const FILE_TYPE_MASK = 0o170000;
const REGULAR_FILE = 0o100000;

/** The library's message for a name that leads out of the archive. */
const UNSAFE_NAME = /^(absolute path|invalid relative path|invalid characters in fileName)/;

/** Takes the wanted files. Throws UnpackError. */
export async function takeZip(bytes: Uint8Array, harvest: Harvest): Promise<void> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    const zip = await fromBufferPromise(buffer, { lazyEntries: true });
    for await (const entry of zip.eachEntry()) await takeEntry(zip, entry, harvest);
  } catch (error) {
    throw zipError(error);
  }
}

async function takeEntry(zip: ZipFile, entry: Entry, harvest: Harvest): Promise<void> {
  const { fileName } = entry;
  const taker = isFile(entry) ? harvest.want(fileName) : harvest.passBy(fileName);
  if (taker === undefined) return;
  if (entry.isEncrypted()) {
    throw new UnpackError(
      UnpackErrorCode.encrypted,
      `${fileName} in the zip archive is encrypted: fetch one without a password`,
    );
  }
  if (!entry.canDecodeFileData()) {
    const message = `${fileName} in the zip archive is compressed by method ${entry.compressionMethod}, and only deflate is known`;
    throw new UnpackError(UnpackErrorCode.unsupported, message);
  }
  const stream = await zip.openReadStreamPromise(entry);
  let checksum = 0;
  try {
    for await (const piece of stream) {
      taker.add(piece);
      checksum = crc32(piece, checksum);
    }
  } finally {
    stream.destroy();
  }
  if (checksum !== entry.crc32) {
    throw new UnpackError(
      UnpackErrorCode.damaged,
      `the zip archive is damaged: the checksum of ${fileName} differs`,
    );
  }
  taker.done();
}

function isFile({ fileName, versionMadeBy, externalFileAttributes }: Entry): boolean {
  if (fileName.endsWith('/')) return false;
  if (versionMadeBy >> 8 !== MADE_BY_UNIX) return true;
  const type = (externalFileAttributes >>> 16) & FILE_TYPE_MASK;
  return type === 0 || type === REGULAR_FILE;
}

function zipError(error: unknown): unknown {
  if (error instanceof UnpackError || !(error instanceof Error)) return error;
  if (UNSAFE_NAME.test(error.message)) {
    return new UnpackError(
      UnpackErrorCode.unsafePath,
      `the zip archive has a member with a bad name (${error.message})`,
      {
        cause: error,
      },
    );
  }
  const ofZlib = zlibError('zip', error);
  if (ofZlib !== error) return ofZlib;
  const isCut = /end of central directory|unexpected EOF|expected [\d]+ bytes/i.test(error.message);
  const code = isCut ? UnpackErrorCode.truncated : UnpackErrorCode.damaged;
  return new UnpackError(
    code,
    `the zip archive is ${isCut ? 'cut off or damaged' : 'damaged'} (${error.message})`,
    {
      cause: error,
    },
  );
}
