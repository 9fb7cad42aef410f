/**
 * Shares the turns of the event loop among all sessions: a thousand at once, each with a connection, a
 * message, an OFFER, a CHUNK or a signature, would otherwise hold up everything else together.
 */

import type { Turn } from '@rulecast/protocol';

/** In a turn: some milliseconds' work, and few enough turns for a thousand. Our choice. */
const TURN_STEPS = 32;

export class Pace {
  readonly #turn: Turn;
  #left = TURN_STEPS;
  #isTurning = false;
  /** First come, first served; a few for each session, and one for each endpoint. */
  readonly #waiting: (() => void)[] = [];

  constructor(turn: Turn) {
    this.#turn = turn;
  }

  /** Resolves when it is the caller's turn to do one such thing. */
  step(): Promise<void> {
    if (this.#left === 0) return new Promise((resolve) => void this.#waiting.push(resolve));
    this.#left -= 1;
    this.#renew();
    return Promise.resolve();
  }

  #renew(): void {
    if (this.#isTurning) return;
    this.#isTurning = true;
    void this.#turn().then(() => {
      this.#isTurning = false;
      const next = this.#waiting.splice(0, TURN_STEPS);
      this.#left = TURN_STEPS - next.length;
      for (const go of next) go();
      if (next.length > 0) this.#renew();
    });
  }
}
