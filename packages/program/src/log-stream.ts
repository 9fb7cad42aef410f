/**
 * Where a daemon's log goes. A log that cannot be written, on a full disk say, must not end what is at work.
 */

import { Output, OutputClosedError, OutputFailedError } from './output.ts';

/** A stream as loggers want it: each line is written at once, or lost. */
export class LogStream {
  readonly #output: Output;

  constructor(fd: number) {
    this.#output = new Output(fd);
  }

  write(line: string): void {
    try {
      this.#output.write(line);
      this.#output.flush();
    } catch (error) {
      if (!(error instanceof OutputClosedError || error instanceof OutputFailedError)) throw error;
    }
  }
}
