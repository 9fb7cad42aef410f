/**
 * Releases are made one after the other. What goes before a turn, reading files and asking for names, goes on
 * beside the turns of others; closing waits for both.
 */
export class Turns {
  /** What has not come to its turn yet, or is not through with it. */
  readonly #underWay = new Set<Promise<unknown>>();
  #last: Promise<unknown> = Promise.resolve();

  /** What goes before a turn, and the turn. */
  async ahead<T>(work: () => Promise<T>): Promise<T> {
    const working = work();
    this.#underWay.add(working);
    try {
      return await working;
    } finally {
      this.#underWay.delete(working);
    }
  }

  /** Begins when all turns that were asked for before are over. */
  take<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined); // each caller hears of its own failure
    return turn;
  }

  /** Resolves when the turns that were asked for are over. */
  async over(): Promise<void> {
    await this.#last;
  }

  /** Likewise, and what goes before turns. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.#underWay]);
    await this.#last;
  }
}
