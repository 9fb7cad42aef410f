/** The promise that all waiters of one condition share until it is next met. */
export class WakeUp {
  #waiting: Promise<void> | undefined;
  #resolve: (() => void) | undefined;

  /**
   * A promise of the next `wake()`. The caller has just seen, in this same turn, that the condition is not
   * met.
   */
  wait(): Promise<void> {
    this.#waiting ??= new Promise((resolve) => {
      this.#resolve = resolve;
    });
    return this.#waiting;
  }

  wake(): void {
    this.#resolve?.();
    this.#waiting = undefined;
    this.#resolve = undefined;
  }
}
