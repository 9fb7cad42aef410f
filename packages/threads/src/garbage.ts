/**
 * Frees large unreachable arrays soon. V8 counts only an array's handle until tens of megabytes have
 * gathered, which in a small process is most of its memory.
 */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Our choice: what may lie about, in bytes. */
const LEFT_MAX_BYTES = 4 * 1024 * 1024;

/** Other work after a release is done by then. Our choice. */
const SWEEP_MS = 100;

type Collect = () => void;

/** The measure for a thread that has many objects, too. */
export function usedBytes(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

export class Garbage {
  /** The bytes of arrays and the like, of all threads. */
  readonly #bytes: () => number;
  /** Made when it is needed first: most threads leave nothing. */
  #collect: Collect | undefined;
  /** The bytes after the last collection. */
  #heldBytes = 0;
  #isDue = false;

  /** Measures this thread by default; `collect` is for tests. */
  constructor(bytes = () => process.memoryUsage().external, collect?: Collect) {
    this.#bytes = bytes;
    this.#collect = collect;
  }

  /**
   * Collects if there are that many more bytes in arrays than after the last time. It takes this thread some
   * milliseconds: for when nobody waits for it.
   */
  sweep(): void {
    const bytes = this.#bytes();
    this.#heldBytes = Math.min(this.#heldBytes, bytes);
    if (bytes - this.#heldBytes > LEFT_MAX_BYTES) this.collect();
  }

  /** Sweeps a while after it was called, however often that was. */
  sweepSoon(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    setTimeout(() => {
      this.#isDue = false;
      this.sweep();
    }, SWEEP_MS).unref();
  }

  /** Collects now: for the end of a start, after which a third of the heap is garbage. */
  collect(): void {
    this.#collect ??= collector();
    this.#collect();
    this.#heldBytes = this.#bytes();
  }
}

/**
 * V8 gives its function to contexts that are made once it was asked to expose it, in any thread. Arrays are
 * to be freed before it returns: freed beside what follows, they would be counted as held, and as many be
 * left the next time.
 */
function collector(): Collect {
  setFlagsFromString('--no-concurrent-array-buffer-sweeping');
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  return typeof collect === 'function' ? () => collect() : () => undefined;
}
