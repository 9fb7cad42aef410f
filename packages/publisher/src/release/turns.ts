/**
 * Releases are made one at a time. The work before a turn, reading files and resolving names, runs beside
 * other turns; closing waits for both.
 */
export class Turns {
  /** Work that waits for its turn or has not finished it. */
  readonly #underWay = new Set<Promise<unknown>>();
  #last: Promise<unknown> = Promise.resolve();

  /** Tracks work that precedes a turn, and the turn. */
  async ahead<T>(work: () => Promise<T>): Promise<T> {
    const working = work();
    this.#underWay.add(working);
    try {
      return await working;
    } finally {
      this.#underWay.delete(working);
    }
  }

  /** Runs work once all earlier turns are over. */
  take<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined); // each caller handles its own failure
    return turn;
  }

  /** Resolves when the present turns are over. */
  async over(): Promise<void> {
    await this.#last;
  }

  /** Likewise, with the work before turns. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.#underWay]);
    await this.#last;
  }
}
