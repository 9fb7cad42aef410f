/**
 * The one timer of a machine: after each step it is set to the deadline that the state has, and rings when
 * that has come. It may ring early, so that a deadline that moves on with each message costs no new timer;
 * the callee checks the clock.
 */

import type { SteadyClock } from './clock.ts';

/** The deadline of a state without one. */
export const NEVER = Number.POSITIVE_INFINITY;

export class Alarm {
  readonly #clock: SteadyClock;
  readonly #ring: () => void;
  #atMs = NEVER; // when the timer ends
  #cancel: (() => void) | undefined;

  /** @param ring Called at the deadline; sets the alarm again if there is another one. */
  constructor(clock: SteadyClock, ring: () => void) {
    this.#clock = clock;
    this.#ring = ring;
  }

  /** @param deadlineMs By the clock; NEVER for none. One that has passed rings in a later turn. */
  set(deadlineMs: number): void {
    if (deadlineMs >= this.#atMs && deadlineMs < NEVER) return;
    this.stop();
    if (deadlineMs === NEVER) return;
    this.#atMs = deadlineMs;
    const delayMs = Math.max(0, Math.ceil(deadlineMs - this.#clock.monotonicMs()));
    this.#cancel = this.#clock.after(delayMs, () => {
      this.#atMs = NEVER;
      this.#cancel = undefined;
      this.#ring();
    });
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#atMs = NEVER;
  }
}
