/**
 * The time of sources. Ages are measured by a steady count that jumps of the wall clock do not affect: a qube
 * without a network at boot may have its clock set years ahead later, and no list must expire because of
 * that. What ages is measured by a steady count that a wall clock's jumps do not touch: a qube without a
 * network at boot may have its clock set by years later, and no list is to expire for that.
 */

export interface Clock {
  /** Milliseconds since 1970; may jump. For people, and for times by other programs. */
  wallMs(): number;
  /** Milliseconds that only grow, by as much as time passes, from any start. */
  monotonicMs(): number;
  /** Calls `work` once after a delay; returns a function that cancels it. */
  after(delayMs: number, work: () => void): () => void;
}

/** The part of the steady count that is kept over a restart. */
export interface SavedTime {
  readonly steadyMs: number;
  readonly wallMs: number;
}

/**
 * Most that one stop of the publisher counts for. The wall clock is all there is to tell how long it was, and
 * it may be wrong; a day more or less is what lists with a time to live bear.
 */
export const DOWNTIME_MAX_MS = 86_400_000;

export const SYSTEM_CLOCK: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: (delayMs, work) => {
    const timer = setTimeout(work, Math.min(delayMs, 0x7fff_ffff));
    return () => clearTimeout(timer);
  },
};

/**
 * A count that goes on over restarts: running time by the monotonic clock, stopped time by the wall clock
 * within bounds.
 */
export class SteadyTime {
  readonly #clock: Clock;
  readonly #offsetMs: number;

  constructor(clock: Clock, saved: SavedTime | undefined) {
    this.#clock = clock;
    const downMs = saved === undefined ? 0 : clock.wallMs() - saved.wallMs;
    const countedMs = Math.min(Math.max(0, downMs), DOWNTIME_MAX_MS);
    this.#offsetMs = (saved?.steadyMs ?? 0) + countedMs - clock.monotonicMs();
  }

  /** Milliseconds; never less than before. */
  nowMs(): number {
    return Math.floor(this.#offsetMs + this.#clock.monotonicMs());
  }

  saved(): SavedTime {
    return { steadyMs: this.nowMs(), wallMs: this.#clock.wallMs() };
  }
}
