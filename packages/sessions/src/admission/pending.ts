/**
 * Connections before their first message. They are few, and the longest silent one is closed first, so a
 * crowd of silent ones keeps no speaking one out. WIRE.md "Admission".
 */

import { HANDSHAKE_PRESSED_MS, type SteadyClock, WAITING_MAX } from '@rulecast/protocol';

/** With more connections waiting than this, each has less time: they are not just a few slow ones. */
const PRESSED_COUNT = WAITING_MAX / 2;

interface PendingConnection {
  readonly sinceMs: number;
  readonly sendAway: () => void;
}

export class PendingConnections {
  readonly #clock: SteadyClock;
  /** In the order of arrival. */
  readonly #waiting = new Set<PendingConnection>();
  #cancelNext: (() => void) | undefined;

  constructor(clock: SteadyClock) {
    this.#clock = clock;
  }

  /**
   * Takes one more in; for that the first has to go if there are too many. `sendAway` is called at most once,
   * and not after the function that is returned, which takes it out again.
   */
  add(sendAway: () => void): () => void {
    const [first] = this.#waiting;
    if (this.#waiting.size >= WAITING_MAX && first !== undefined) this.#dismiss(first);
    const one = { sinceMs: this.#clock.monotonicMs(), sendAway };
    this.#waiting.add(one);
    this.#schedule();
    return () => {
      if (this.#waiting.delete(one)) this.#schedule();
    };
  }

  #dismiss(one: PendingConnection): void {
    this.#waiting.delete(one);
    one.sendAway();
  }

  #schedule(): void {
    this.#cancelNext?.();
    this.#cancelNext = undefined;
    const [first] = this.#waiting;
    if (first === undefined || this.#waiting.size <= PRESSED_COUNT) return;
    const delayMs = first.sinceMs + HANDSHAKE_PRESSED_MS - this.#clock.monotonicMs();
    this.#cancelNext = this.#clock.after(Math.max(0, delayMs), () => {
      this.#dismiss(first);
      this.#schedule();
    });
  }
}
