/**
 * `node:worker_threads` in simulated time: bundle.mjs puts it in its place. A thread is the same code in this
 * one: what it is sent is copied as to a thread, and done a moment later. It may die in a message: before
 * that is done, or before its answer is heard.
 */

import { EventEmitter } from 'node:events';
import { air, type Process } from './air.ts';

/** What a thread has in the place of `parentPort`. */
interface ThreadPort {
  on(event: 'message', work: (message: never) => void): void;
  postMessage(message: unknown, moved?: readonly ArrayBuffer[]): void;
}

/** The file of each thread, by its name: run anew for each, as Node does, for it may keep something. */
const files = new Map<string, (parentPort: ThreadPort) => void>();
/** A message, and an answer, are so long on their way. */
const WAY_MS = 2;

/** Registers a function in place of a thread's file. */
export function threadOf(name: string, run: (parentPort: ThreadPort) => void): void {
  files.set(name, run);
}

export class Worker extends EventEmitter {
  #work: (message: unknown) => void = () => undefined;
  #isEnded = false;
  readonly #process: Process = air.process;

  constructor(file: URL) {
    super();
    const name = (file.pathname.split('/').at(-1) ?? '').replace('.js', '');
    const run = files.get(name);
    if (run === undefined) throw new Error(`${name} is no thread that is simulated`);
    run({
      // Receives the messages from the other end.
      on: (_event, work) => {
        this.#work = work as (message: unknown) => void;
      },
      postMessage: (message, moved = []) => this.#answer(message, moved),
    });
  }

  postMessage(message: unknown, moved: readonly ArrayBuffer[] = []): void {
    const copy = structuredClone(message, { transfer: [...moved] });
    this.#later(() => this.#work(copy));
  }

  #answer(message: unknown, moved: readonly ArrayBuffer[]): void {
    const copy = structuredClone(message, { transfer: [...moved] });
    this.#later(() => this.emit('message', copy));
  }

  #later(work: () => void): void {
    air.after(WAY_MS, () => {
      if (this.#isEnded) return;
      if (this.#process.threadDiesIn > 0 && --this.#process.threadDiesIn === 0) void this.terminate();
      else work();
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
