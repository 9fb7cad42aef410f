/**
 * The session that holds each subscriber's name. A client bound to the name takes it from an older session of
 * its own. Any other gets it only if the holder does not answer, so that connecting is not enough to displace
 * a live subscriber. WIRE.md "Names".
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

  /** Resolves to whether `claimant` holds the name now. `isBound`: it is proven to own the name. */
  async claim(name: string, claimant: H, isBound: boolean): Promise<boolean> {
    for (;;) {
      if (!claimant.isOpen) return false;
      const holder = this.#holders.get(name);
      if (holder?.isOpen === true && !isBound && (await holder.answers())) return false;
      // Meanwhile another claimant may have been faster, or this one may have gone.
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
