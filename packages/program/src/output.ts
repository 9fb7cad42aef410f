/**
 * Text to one file descriptor, in blocks.
 *
 * Output is written with blocking calls, not through process.stdout: parsers report entries from within one
 * synchronous call, so a million lines must leave, and a slow reader must hold us up, without a turn of the
 * event loop. A failed write is also known at once, so that the program can report it and end accordingly.
 */

import { writeSync } from 'node:fs';

/** Bytes are written when so many characters have gathered: few calls, and no large strings. */
const BLOCK_CHARS = 64 * 1024;
/** Pause before a full pipe that does not block is tried again. */
const FULL_PIPE_MS = 2;

/** The reader of the output is gone: end quietly. */
export class OutputClosedError extends Error {
  override readonly name = 'OutputClosedError';
}

/** The output cannot be written, for example on a full disk. Part of it may have been. */
export class OutputFailedError extends Error {
  override readonly name = 'OutputFailedError';
}

export class Output {
  readonly #fd: number;
  #pieces: string[] = [];
  #chars = 0;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Throws OutputClosedError when the reader is gone, OutputFailedError when nothing can be written. */
  write(text: string): void {
    this.#pieces.push(text);
    this.#chars += text.length;
    if (this.#chars >= BLOCK_CHARS) this.flush();
  }

  /** Throws like `write`. */
  line(text: string): void {
    this.write(`${text}\n`);
  }

  /** Throws like `write`. Text that could not be written is dropped, not retried. */
  flush(): void {
    if (this.#chars === 0) return;
    const bytes = Buffer.from(this.#pieces.join(''));
    this.#pieces = [];
    this.#chars = 0;
    for (let at = 0; at < bytes.length; ) at += writeSome(this.#fd, bytes, at);
  }
}

function writeSome(fd: number, bytes: Uint8Array, at: number): number {
  try {
    return writeSync(fd, bytes, at);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    if (error.code === 'EPIPE')
      throw new OutputClosedError('the reader of the output is gone', { cause: error });
    if (error.code !== 'EAGAIN') throw new OutputFailedError(failureText(error), { cause: error });
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FULL_PIPE_MS);
    return 0;
  }
}

function failureText(error: Error & { readonly code: unknown }): string {
  switch (error.code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return 'the output cannot be written, no space is left: free some, or write it elsewhere';
    case 'EBADF':
      return 'the output cannot be written, it is closed: leave out >&-, or write it to /dev/null';
    default:
      return `the output cannot be written (${error.message}): write it elsewhere`;
  }
}
