/**
 * `node:worker_threads` in simulated time: bundle.mjs puts it in its place. A thread is the same code in this
 * one: what it is sent is copied as to a thread, and done a moment later.
 */

import { EventEmitter } from 'node:events';
import { air } from './air.ts';

/** What each thread runs for a message, by the name of its file. */
const threads = new Map<string, (message: unknown) => void>();
/** A message, and an answer, are so long on their way. */
const WAY_MS = 2;
let current: Worker | undefined;

/** In the place of `parentPort` in the file of a thread. */
export function portOf(file: string) {
  return {
    on: (_event: 'message', work: (message: never) => void) => {
      // Who is at the other end sends what the file takes.
      threads.set(file, work as (message: unknown) => void);
    },
    postMessage: (message: unknown, moved: readonly ArrayBuffer[] = []) => current?.answer(message, moved),
  };
}

export class Worker extends EventEmitter {
  readonly #work: (message: unknown) => void;
  #isEnded = false;

  constructor(file: URL) {
    super();
    const name = (file.pathname.split('/').at(-1) ?? '').replace('.js', '');
    const work = threads.get(name);
    if (work === undefined) throw new Error(`${name} is no thread that is simulated`);
    this.#work = work;
  }

  postMessage(message: unknown, moved: readonly ArrayBuffer[] = []): void {
    const copy = structuredClone(message, { transfer: [...moved] });
    air.after(WAY_MS, () => {
      if (this.#isEnded) return;
      current = this;
      try {
        this.#work(copy);
      } finally {
        current = undefined;
      }
    });
  }

  answer(message: unknown, moved: readonly ArrayBuffer[]): void {
    const copy = structuredClone(message, { transfer: [...moved] });
    air.after(WAY_MS, () => {
      if (!this.#isEnded) this.emit('message', copy);
    });
  }

  terminate(): Promise<number> {
    if (!this.#isEnded) {
      this.#isEnded = true;
      air.after(0, () => this.emit('exit', 1));
    }
    return Promise.resolve(1);
  }

  ref(): void {}

  unref(): void {}
}
