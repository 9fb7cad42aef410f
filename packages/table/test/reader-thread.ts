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

  private constructor(handle: TableHandle, hosts: number, holds: boolean) {
    this.#worker = new Worker(new URL('./reader-worker.mjs', import.meta.url), {
      workerData: { handle, shared: this.#shared, first: FIRST, hosts, holds },
    });
    this.#report = once(this.#worker, 'message')
      .then(() => once(this.#worker, 'message'))
      .then(([report]) => report)
      // A trap of the engine, such as a thread that holds nothing may run into.
      .catch((error: unknown) => ({ lookups: 0, generations: 0, fault: String(error) }))
      .finally(() => {
        this.#ended = true;
      });
  }

  /** Resolves when the thread is looking up; one that does not hold what it looks at must go wrong. */
  static async start(handle: TableHandle, hosts: number, holds = true): Promise<ReaderThread> {
    const thread = new ReaderThread(handle, hosts, holds);
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

  get hasEnded(): boolean {
    return this.#ended;
  }

  async stop(): Promise<ReaderReport> {
    Atomics.store(this.#shared, 0, 1);
    const report = await this.#report;
    await this.#worker.terminate();
    return report;
  }
}
