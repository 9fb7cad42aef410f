/**
 * A steady clock that stands still: short waits are over in a turn of the event loop and move it on, long
 * ones when a test says that time has passed. Nothing here waits for the clock on the wall.
 */

import type { SteadyClock } from '@rulecast/protocol';

interface Timer {
  readonly atMs: number;
  readonly work: () => void;
}

export class TestClock implements SteadyClock {
  readonly #shortMs: number;
  readonly #timers = new Set<Timer>();
  #nowMs = 1000;

  /** @param shortMs A wait of no more than this is over by itself: one before connecting again, say. */
  constructor(shortMs = 100) {
    this.#shortMs = shortMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  readonly after = (delayMs: number, work: () => void): (() => void) => {
    const timer: Timer = { atMs: this.#nowMs + Math.max(0, delayMs), work };
    this.#timers.add(timer);
    if (delayMs <= this.#shortMs) setImmediate(() => this.#end(timer));
    return () => {
      this.#timers.delete(timer);
    };
  };

  #end(timer: Timer): void {
    if (!this.#timers.delete(timer)) return; // taken back, or over by then
    this.#nowMs = Math.max(this.#nowMs, timer.atMs);
    timer.work();
  }
}
