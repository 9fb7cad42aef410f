/**
 * The time by two clocks: the wall clock, which may be set, and the time since boot, which runs through
 * suspend and cannot be set. A rule with an expiry uses whichever of the two opens nothing.
 * docs/contribute/adr/0011-rules-end-by-two-clocks.md
 *
 *   wall clock          ──▶ later ──▶ what accept rules end by, never below what has ended in this boot
 *   anchor + since boot ──▶ earlier ▶ what drop rules end by
 *
 * The anchor is what the wall clock showed when this boot was first met. It is stored on disk with the boot's
 * id, so that a restart of the process within a boot neither takes a clock that was set meanwhile for the
 * truth nor forgets what has ended.
 */

import type { Times } from './expiry.ts';

/** The clocks of a machine. */
export interface Clocks {
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  /** Milliseconds since boot, suspend included. */
  readonly bootMs: () => number;
  /** Names this boot; undefined if that is not known, and then each process counts from its own start. */
  readonly bootId: string | undefined;
}

/** The state that outlives the process. */
export interface StoredClock {
  readonly bootId: string;
  /** Both clocks at one moment of that boot, in milliseconds. */
  readonly wallMs: number;
  readonly bootMs: number;
  /** The latest end of an accept rule that has come, in seconds since 1970; 0: none has. */
  readonly ended: number;
}

export class FirewallClock {
  readonly #clocks: Clocks;
  readonly #anchor: { readonly wallMs: number; readonly bootMs: number };
  #ended: number;

  /** `stored` is the state of an earlier process, from this boot or another. */
  constructor(clocks: Clocks, stored: StoredClock | undefined) {
    this.#clocks = clocks;
    const bootMs = clocks.bootMs();
    // A container may restart under its host's boot id, and its time since boot then starts at 0.
    const isSameBoot = stored !== undefined && stored.bootId === clocks.bootId && stored.bootMs <= bootMs;
    this.#anchor = isSameBoot ? stored : { wallMs: clocks.wallMs(), bootMs };
    this.#ended = isSameBoot ? stored.ended : 0;
  }

  /** For a release that was made at `madeAtMs` (since 1970): it is not earlier than that. */
  times(madeAtMs = 0): Times {
    const wallMs = this.#clocks.wallMs();
    const countedMs = this.#countedMs();
    return {
      now: Math.max(secondsOf(Math.max(wallMs, countedMs, madeAtMs)), this.#ended),
      earliest: secondsOf(Math.min(wallMs, countedMs)),
    };
  }

  /**
   * How far the wall clock is ahead of the anchor plus the time since boot, in milliseconds; negative:
   * behind.
   */
  get aheadMs(): number {
    return this.#clocks.wallMs() - this.#countedMs();
  }

  /**
   * An accept rule has ended, and with it all that end no later: for as long as this boot lasts. Whether that
   * is news.
   */
  noteEnded(end: number): boolean {
    if (end <= this.#ended) return false;
    this.#ended = end;
    return true;
  }

  /** The state to store; undefined without a boot id, as it would be useless. */
  get stored(): StoredClock | undefined {
    const { bootId } = this.#clocks;
    return bootId === undefined ? undefined : { bootId, ...this.#anchor, ended: this.#ended };
  }

  #countedMs(): number {
    return this.#anchor.wallMs + (this.#clocks.bootMs() - this.#anchor.bootMs);
  }
}

function secondsOf(ms: number): number {
  return Math.floor(ms / 1000);
}
