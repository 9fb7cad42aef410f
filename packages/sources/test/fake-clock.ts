/** A clock that stands still until a test moves it. */

import type { Clock } from '../src/clock.ts';

interface Timer {
  readonly atMs: number;
  readonly work: () => void;
}

export class FakeClock implements Clock {
  #wall = 1_800_000_000_000;
  #monotonic = 5000;
  #timers: Timer[] = [];

  wallMs(): number {
    return this.#wall;
  }

  monotonicMs(): number {
    return this.#monotonic;
  }

  after(delayMs: number, work: () => void): () => void {
    const timer = { atMs: this.#monotonic + Math.max(0, delayMs), work };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** Time passes: what is due runs in its order. */
  advance(ms: number): void {
    const endMs = this.#monotonic + ms;
    for (;;) {
      const [next] = this.#timers.filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs);
      if (next === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#move(next.atMs - this.#monotonic);
      next.work();
    }
    this.#move(endMs - this.#monotonic);
  }

  /** The wall clock is set, by so much; no time passes. */
  jumpWall(ms: number): void {
    this.#wall += ms;
  }

  /** When timers are due, from now. */
  get pendingMs(): readonly number[] {
    return this.#timers.map(({ atMs }) => atMs - this.#monotonic).sort((a, b) => a - b);
  }

  #move(ms: number): void {
    this.#wall += ms;
    this.#monotonic += ms;
  }
}
