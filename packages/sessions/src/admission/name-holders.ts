/**
 * Which session has the name of each subscriber. Who is bound to a name takes it from an older session of its
 * own; any other gets it only if who has it does not answer: nobody who merely may connect can throw out a
 * subscriber that is alive. WIRE.md "Names".
 */

/** A session, as far as a name is concerned. */
export interface NameHolder {
  readonly isOpen: boolean;
  /** Whether its peer answers a PING that is sent now, in time. */
  answers(): Promise<boolean>;
  /** Another one has the name from now on. */
  yieldName(why: 'reconnected' | 'no-answer'): void;
}

export class NameHolders<H extends NameHolder> {
  readonly #holders = new Map<string, H>();
  /** The name that each has. */
  readonly #names = new Map<H, string>();
  readonly #isBound: (name: string) => boolean;
  #unboundCount = 0;

  constructor(isBound: (name: string) => boolean) {
    this.#isBound = isBound;
  }

  /** Names that are held and bound to nothing. */
  get unboundCount(): number {
    return this.#unboundCount;
  }

  holderOf(name: string): H | undefined {
    return this.#holders.get(name);
  }

  /**
   * Resolves to whether `claimant` has the name now. `isBound`: it is proven to be whom the name belongs to.
   */
  async claim(name: string, claimant: H, isBound: boolean): Promise<boolean> {
    for (;;) {
      if (!claimant.isOpen) return false;
      const holder = this.#holders.get(name);
      if (holder?.isOpen === true && !isBound && (await holder.answers())) return false;
      // Another claimant may have been faster, and the claimant may have gone.
      if (!claimant.isOpen || this.#holders.get(name) !== holder) continue;
      if (holder !== undefined) this.#names.delete(holder);
      else if (!this.#isBound(name)) this.#unboundCount += 1;
      this.#holders.set(name, claimant);
      this.#names.set(claimant, name);
      if (holder?.isOpen === true) holder.yieldName(isBound ? 'reconnected' : 'no-answer');
      return true;
    }
  }

  /** Call it when a session has ended. */
  release(holder: H): void {
    const name = this.#names.get(holder);
    if (name === undefined) return;
    this.#names.delete(holder);
    this.#holders.delete(name);
    if (!this.#isBound(name)) this.#unboundCount -= 1;
  }
}
