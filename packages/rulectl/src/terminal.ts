/**
 * The edges of the process that commands talk through: blocks of output, diagnostics, colours, the clock, a question to the user.
 *
 * Output is written with blocking calls, not through process.stdout: parsers report entries from within one synchronous call, so
 * a million lines must leave, and a slow reader must hold us up, without a turn of the event loop.
 */

import { once } from 'node:events';
import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { isatty } from 'node:tty';
import picocolors from 'picocolors';

export type Colors = ReturnType<typeof picocolors.createColors>;
type Environment = Readonly<Record<string, string | undefined>>;

/** Bytes are written when so many characters have gathered: few calls, and no large strings. */
const BLOCK_CHARS = 64 * 1024;
/** Pause before a full pipe that does not block is tried again. */
const FULL_PIPE_MS = 2;

/** Nobody reads the output any more: end quietly. */
export class OutputClosedError extends Error {
  override readonly name = 'OutputClosedError';
}

/** Text to one file descriptor, in blocks. */
export class Output {
  private readonly fd: number;
  private pieces: string[] = [];
  private chars = 0;

  constructor(fd: number) {
    this.fd = fd;
  }

  /** Throws OutputClosedError when the reader is gone. */
  write(text: string): void {
    this.pieces.push(text);
    this.chars += text.length;
    if (this.chars >= BLOCK_CHARS) this.flush();
  }

  line(text: string): void {
    this.write(`${text}\n`);
  }

  json(value: object): void {
    this.write(`${JSON.stringify(value)}\n`);
  }

  /** Throws OutputClosedError when the reader is gone. */
  flush(): void {
    if (this.chars === 0) return;
    const bytes = Buffer.from(this.pieces.join(''));
    this.pieces = [];
    this.chars = 0;
    for (let at = 0; at < bytes.length; ) at += writeSome(this.fd, bytes, at);
  }
}

function writeSome(fd: number, bytes: Uint8Array, at: number): number {
  try {
    return writeSync(fd, bytes, at);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'EPIPE') throw new OutputClosedError('the reader of the output is gone', { cause: error });
    if (code !== 'EAGAIN') throw error;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FULL_PIPE_MS);
    return 0;
  }
}

export class Terminal {
  readonly out = new Output(1);
  readonly environment: Environment;
  readonly outIsTty = isatty(1);
  /** Progress is for people who watch. */
  readonly errIsTty = isatty(2);
  readonly canAsk = isatty(0) && isatty(2);
  colors: Colors;
  private readonly err = new Output(2);

  constructor(environment: Environment) {
    this.environment = environment;
    this.colors = picocolors.createColors(wantsColor(environment, this.outIsTty));
  }

  /** For --no-color. */
  withoutColor(): void {
    this.colors = picocolors.createColors(false);
  }

  nowMs(): number {
    return Date.now();
  }

  /** Errors and warnings: always told. */
  complain(text: string): void {
    this.out.flush(); // so that the two streams keep their order on a screen
    this.err.line(text);
    this.err.flush();
  }

  /** Asks a yes or no question; anything but yes, the end of the input included, is no. */
  async confirm(question: string): Promise<boolean> {
    this.out.flush();
    const lines = createInterface({ input: process.stdin, output: process.stderr });
    try {
      const ended = once(lines, 'close').then(() => '');
      const asked = lines.question(`${question} [y/N] `).catch(() => ''); // Ctrl-C and Ctrl-D reject it
      const answer = await Promise.race([asked, ended]);
      return /^y(?:es)?$/i.test(answer.trim());
    } finally {
      lines.close();
    }
  }
}

/** The conventions of no-color.org and FORCE_COLOR, whatever the value; else whether somebody watches. */
function wantsColor(environment: Environment, outIsTty: boolean): boolean {
  const isSet = (key: string): boolean => environment[key] !== undefined && environment[key] !== '';
  if (isSet('NO_COLOR')) return false;
  return isSet('FORCE_COLOR') || (outIsTty && environment['TERM'] !== 'dumb');
}
