/** Tells the sessions that there is another head, at the pace of the publisher. */

import type { Pace } from '../pace.ts';

/** A session, as far as this is concerned. */
export interface HeadListener {
  /** There is another head. */
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
   * Resolves when all have been told of the newest. What comes meanwhile is one more round. Rejects with what
   * a session threw, once the others know.
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

  /** Who comes meanwhile hears of the head by its HELLO; to who has gone it means nothing. */
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
