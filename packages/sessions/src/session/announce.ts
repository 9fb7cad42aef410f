/** Announces a new head to the sessions, at the publisher's pace. */

import type { Pace } from '../pace.ts';

/** A session, as far as this is concerned. */
export interface HeadListener {
  /** Called when the head has changed. */
  published(): void;
}

export class Announcer {
  readonly #sessions: ReadonlySet<HeadListener>;
  readonly #pace: Pace;
  #isTelling = false;
  #isDue = false;

  constructor(sessions: ReadonlySet<HeadListener>, pace: Pace) {
    this.#sessions = sessions;
    this.#pace = pace;
  }

  /**
   * Resolves when all sessions know the newest head. A head that comes meanwhile takes one more round.
   * Rejects with an error of a session, once the others know.
   */
  async tell(): Promise<void> {
    this.#isDue = true;
    if (this.#isTelling) return;
    this.#isTelling = true;
    try {
      while (this.#isDue) {
        this.#isDue = false;
        await this.#tellAll();
      }
    } finally {
      this.#isTelling = false;
    }
  }

  /**
   * A session that starts meanwhile learns the head at its HELLO; for one that has ended the call does
   * nothing.
   */
  async #tellAll(): Promise<void> {
    const faults: unknown[] = [];
    for (const session of [...this.#sessions]) {
      await this.#pace.step();
      try {
        session.published();
      } catch (error) {
        faults.push(error);
      }
    }
    if (faults.length > 0) throw faults[0];
  }
}
