/** Reading a file that is small unless it is the wrong one: `--trust /dev/zero` must not be read for ever. */

import { closeSync, openSync, readSync } from 'node:fs';

/** A file is larger than what it should hold can be. */
export class FileTooLargeError extends Error {
  override readonly name = 'FileTooLargeError';
}

/** All of a file. Throws FileTooLargeError, and what opening and reading throw. */
export function readSmallFile(path: string, bytesMax: number): Buffer {
  const fd = openSync(path, 'r');
  try {
    const bytes = Buffer.allocUnsafe(bytesMax + 1);
    let length = 0;
    for (let count = -1; count !== 0 && length <= bytesMax; length += count) {
      count = readSync(fd, bytes, length, bytes.length - length, null);
    }
    if (length > bytesMax) throw new FileTooLargeError(`${path} has more than ${bytesMax} bytes`);
    return bytes.subarray(0, length);
  } finally {
    closeSync(fd);
  }
}
