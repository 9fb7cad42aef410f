/**
 * The output of a daemon's log. Neither a log without a reader nor one on a full disk holds up the daemon:
 * lines not accepted at once are queued up to a bound, and those beyond are lost and counted.
 *
 *   line ─▶ taken at once                           end of the process: what waits is tried for a second
 *     └─▶ queue (256 KiB) ─every 100 ms─▶ taken, then how many were lost
 */

import { isJournal, withPriorities } from './journal.ts';
import { type NowOrNever, nowOrNever } from './now-or-never.ts';
import { Output, OutputClosedError, OutputFailedError } from './output.ts';

const STDERR = 2;

/** Our choice: a minute of a busy daemon. */
const QUEUE_MAX_BYTES = 256 * 1024;
/** The interval of retries while nobody reads. Our choice. */
const AGAIN_MS = 100;
/**
 * Our choice: a service manager waits two seconds for a daemon's end, and a log with a reader accepts all in
 * less.
 */
const LAST_WORDS_MS = 1000;
const LOOK_MS = 5;
/** The level of pino for a warning. */
const WARN = 40;

/** A stream as loggers want it. */
export class LogStream {
  readonly #takes: NowOrNever;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  /** Bytes already written of the first chunk in the queue. */
  #writtenBytes = 0;
  #lostCount = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Each line begins with its priority. */
  readonly #hasPriorities: boolean;
  /** The last write ended within a line. */
  #isBegun = false;

  constructor(takes: NowOrNever, hasPriorities = false) {
    this.#takes = takes;
    this.#hasPriorities = hasPriorities;
  }

  /** Takes a line; never throws and never waits. */
  write(line: string): void {
    if (this.#queuedBytes + Buffer.byteLength(line) > QUEUE_MAX_BYTES) this.#lostCount++;
    else this.last(line);
  }

  /** The same for a line that is never left out, as nothing comes after it. */
  last(line: string): void {
    this.#add(line);
    this.#drain();
  }

  /** Tries for a second to have all written; for the end of a process. */
  end(): void {
    const pause = new Int32Array(new SharedArrayBuffer(4));
    const untilMs = performance.now() + LAST_WORDS_MS;
    for (this.#drain(); this.#queue.length > 0 && performance.now() < untilMs; this.#drain())
      Atomics.wait(pause, 0, 0, LOOK_MS);
  }

  #add(line: string): void {
    const bytes = Buffer.from(this.#hasPriorities ? withPriorities(line, this.#isBegun) : line);
    this.#isBegun = !line.endsWith('\n');
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
  }

  /** Writes as much as is accepted now. */
  #drain(): void {
    clearTimeout(this.#timer);
    try {
      for (let first = this.#queue[0]; first !== undefined; first = this.#queue[0]) {
        const taken = this.#takes(first, this.#writtenBytes);
        if (taken === 0) break;
        this.#writtenBytes += taken;
        if (this.#writtenBytes === first.length) this.#written(first);
      }
    } catch {
      this.#lostCount += this.#queue.length; // a full disk, or nobody there any more
      this.#queue = [];
      this.#queuedBytes = 0;
      this.#writtenBytes = 0;
      return;
    }
    if (this.#queue.length > 0) this.#timer = setTimeout(() => this.#drain(), AGAIN_MS).unref();
  }

  #written(first: Buffer): void {
    this.#queue.shift();
    this.#queuedBytes -= first.length;
    this.#writtenBytes = 0;
    if (this.#lostCount === 0 || this.#queue.length > 0) return;
    const msg = `${this.#lostCount} lines of the log were lost: its reader was too slow`;
    this.#lostCount = 0;
    this.#add(`${JSON.stringify({ level: WARN, time: Date.now(), pid: process.pid, msg })}\n`);
  }
}

/** The log of this process, once it has one. */
let log: LogStream | undefined;

/** The log of this process, on standard error; its queue is tried for a second at the end. */
export async function openLog(): Promise<LogStream> {
  if (log !== undefined) return log;
  const takes = await nowOrNever(STDERR).catch((error: Error) => closed(error));
  const opened = new LogStream(takes, isOurJournal());
  process.on('exit', () => opened.end());
  log = opened;
  return opened;
}

/** Whether standard error is the journal. */
function isOurJournal(): boolean {
  try {
    return isJournal(STDERR, process.env['JOURNAL_STREAM']);
  } catch {
    return false; // it is closed
  }
}

/** An output that loses everything, for a closed standard error. */
function closed(error: Error): NowOrNever {
  return () => {
    throw error;
  };
}

/** Writes a program's last words to its log, or else to standard error, for its caller. */
export function sayLast(text: string): void {
  if (log !== undefined) return log.last(text);
  const output = new Output(STDERR);
  try {
    output.write(isOurJournal() ? withPriorities(text, false) : text);
    output.flush();
  } catch (error) {
    if (!(error instanceof OutputClosedError || error instanceof OutputFailedError)) throw error;
  }
}
