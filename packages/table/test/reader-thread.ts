/** A thread that looks up in a table while the test flips it (reader-worker.mjs), and how far it has come. */

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { TableHandle } from '../src/index.ts';
import { FIRST } from './release.ts';

export interface ReaderReport {
  readonly lookups: number;
  /** How often the generation was another than at the look before. */
  readonly generations: number;
  /** The first answer that should not have been. */
  readonly fault: string | undefined;
}

export class ReaderThread {
  readonly #worker: Worker;
  /** Whether it is to stop; lookups and generations so far. */
  readonly #shared = new Int32Array(new SharedArrayBuffer(12));
  readonly #report: Promise<ReaderReport>;
  #ended = false;

  private constructor(handle: TableHandle, hosts: number) {
    this.#worker = new Worker(new URL('./reader-worker.mjs', import.meta.url), {
      workerData: { handle, shared: this.#shared, first: FIRST, hosts },
    });
    this.#report = once(this.#worker, 'message')
      .then(() => once(this.#worker, 'message'))
      .then(([report]) => report)
      .finally(() => {
        this.#ended = true;
      });
    this.#report.catch(() => undefined); // whoever stops the thread hears of it
  }

  /** Resolves when the thread is looking up. */
  static async start(handle: TableHandle, hosts: number): Promise<ReaderThread> {
    const thread = new ReaderThread(handle, hosts);
    await once(thread.#worker, 'message');
    return thread;
  }

  /**
   * Whether it has seen so much, however long that takes on a busy machine; also where it has ended, and will
   * see no more.
   */
  hasSeen(lookups: number, generations: number): boolean {
    return (
      this.#ended || (Atomics.load(this.#shared, 1) > lookups && Atomics.load(this.#shared, 2) > generations)
    );
  }

  async stop(): Promise<ReaderReport> {
    Atomics.store(this.#shared, 0, 1);
    const report = await this.#report;
    await this.#worker.terminate();
    return report;
  }
}
