/**
 * Reads sources and evaluates expressions off the event loop: small ones in place, large ones and archives in one thread, one at a time, so
 * that a feed of a million lines stalls nobody, and a hostile one ends its thread and not the publisher.
 */

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { entryCount, type List } from '@rulecast/rules';
import { type Expression, evaluateExpression } from './expression.ts';
import { type ReadingJob, type ReadList, type ReadRefused, readSource } from './reading.ts';

/** Below this many bytes of text, reading takes less than a thread needs to start: some 50 ms. */
const IN_PLACE_MAX_BYTES = 64 * 1024;
/** Below this many entries, an expression takes a few milliseconds; half of them are a copy to the thread. */
const EVALUATE_IN_PLACE_MAX_ENTRIES = 50_000;
/** Heap of the thread, in MiB. Ten million names need 1 GB; addresses are not on the heap. */
const THREAD_HEAP_MAX_MIB = 2048;
/** A thread costs 20 MB; feeds are fetched hours apart. */
const IDLE_MS = 30_000;
/** Also when this file runs from src, as in tests: only the built thread loads on Node 20. */
const THREAD_FILE = new URL('../dist/reading-thread.js', import.meta.url);

/** What the thread is sent: plain data. */
export type ReaderJob =
  | { readonly kind: 'read'; readonly job: ReadingJob }
  | { readonly kind: 'evaluate'; readonly expression: Expression };

/** What it answers. */
export type ReaderAnswer =
  | ReadList
  | ReadRefused
  | { readonly kind: 'evaluated'; readonly list: List | undefined };

/** Does a job on the thread it is called on. Rejects only for a bug. */
export async function readerAnswer(job: ReaderJob): Promise<ReaderAnswer> {
  if (job.kind === 'read') return readSource(job.job);
  return { kind: 'evaluated', list: evaluateExpression(job.expression) };
}

export class Reader {
  private thread: Worker | undefined;
  private turn: Promise<unknown> = Promise.resolve(); // the job before the next one
  private idle: NodeJS.Timeout | undefined;

  /** Reads a source. Rejects only for a bug. */
  async read(job: ReadingJob): Promise<ReadList | ReadRefused> {
    let bytes = 0;
    for (const input of job.inputs) bytes += input.bytes.length;
    const isLong = bytes > IN_PLACE_MAX_BYTES || job.inputs.some((input) => isPacked(input.bytes));
    const answer = await this.do({ kind: 'read', job }, isLong);
    if (answer.kind === 'evaluated') throw new TypeError('a list is no answer to this');
    return answer;
  }

  /** What an expression stands for; undefined where its lists are not all of one kind. Rejects where the thread ran out of memory. */
  async evaluate(expression: Expression): Promise<List | undefined> {
    let entries = 0;
    for (const list of [...expression.operands, ...expression.minus]) entries += entryCount(list);
    const answer = await this.do({ kind: 'evaluate', expression }, entries > EVALUATE_IN_PLACE_MAX_ENTRIES);
    if (answer.kind === 'evaluated') return answer.list;
    throw new Error(answer.kind === 'refused' ? answer.reason : 'a reading is no answer to this');
  }

  private do(job: ReaderJob, isLong: boolean): Promise<ReaderAnswer> {
    if (!isLong) return readerAnswer(job);
    const done = this.turn.then(() => this.doInThread(job));
    this.turn = done.catch(() => undefined); // each caller hears of its own failure
    return done;
  }

  private async doInThread(job: ReaderJob): Promise<ReaderAnswer> {
    clearTimeout(this.idle);
    this.thread ??= new Worker(THREAD_FILE, {
      resourceLimits: { maxOldGenerationSizeMb: THREAD_HEAP_MAX_MIB },
    });
    const { thread } = this;
    thread.ref();
    try {
      const answered = once(thread, 'message');
      thread.postMessage(job);
      const [answer] = await answered;
      return answer as ReaderAnswer; // the thread sends nothing else
    } catch (cause) {
      this.thread = undefined;
      if ((cause as NodeJS.ErrnoException).code !== 'ERR_WORKER_OUT_OF_MEMORY') throw cause;
      const reason =
        'reading this takes more memory than a source is granted: pick a part of it with filters, or split it';
      return { kind: 'refused', code: 'out-of-memory', reason };
    } finally {
      thread.unref();
      this.idle = setTimeout(() => void this.stop(), IDLE_MS);
      this.idle.unref();
    }
  }

  private async stop(): Promise<void> {
    const { thread } = this;
    this.thread = undefined;
    await thread?.terminate();
  }

  /** Waits for the jobs given so far, and ends the thread. */
  async close(): Promise<void> {
    await this.turn;
    clearTimeout(this.idle);
    await this.stop();
  }
}

/** Whether bytes may hold far more than they are: anything but text. */
function isPacked(bytes: Uint8Array): boolean {
  return bytes.subarray(0, 512).some((byte) => byte === 0 || byte >= 0xf8);
}
