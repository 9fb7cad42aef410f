/**
 * Room for bodies under way: one budget for all of them, in bytes. Each body starts with a small share. One
 * that turns out larger takes more while there is room; else its attempt ends, and the download is repeated
 * once there is room for all of it. So no body waits while it holds a share, and the budget does not depend
 * on servers.
 */

/** The initial share of a body, which is also how much of it stays in memory. */
export const SMALL_BODY_BYTES = 1 << 20;

/** There is no room for a body now; `bytes` is the most it takes. */
export class RoomError extends Error {
  readonly bytes: number;

  constructor(bytes: number) {
    super(`there is no room for ${bytes} bytes now`);
    this.bytes = bytes;
  }
}

interface Waiting {
  readonly bytes: number;
  readonly most: number;
  readonly enter: () => void;
}

export class BodyBudget {
  /** The shares of all bodies under way. */
  #heldBytes = 0;
  /** The first one that waits goes first, whatever it takes: the large ones do not starve. */
  readonly #waiting: Waiting[] = [];

  /** Room for one body; `most` is the limit of all. */
  room(most: number): Room {
    return new Room(this, most);
  }

  /** Waits in line for that many bytes. Rejects when the signal aborts. */
  enter(bytes: number, most: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        const at = this.#waiting.indexOf(waiting);
        if (at >= 0) this.#waiting.splice(at, 1);
        reject(signal.reason);
        this.#admit();
      };
      const enter = (): void => {
        signal.removeEventListener('abort', leave);
        resolve();
      };
      const waiting: Waiting = { bytes, most, enter };
      if (signal.aborted) return reject(signal.reason);
      signal.addEventListener('abort', leave);
      this.#waiting.push(waiting);
      this.#admit();
    });
  }

  /** Takes more, if there is some free. */
  take(bytes: number, most: number): boolean {
    if (this.#heldBytes + bytes > most) return false;
    this.#heldBytes += bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#heldBytes -= bytes;
    this.#admit();
  }

  #admit(): void {
    for (;;) {
      const [first] = this.#waiting;
      if (first === undefined || !this.take(first.bytes, first.most)) return;
      this.#waiting.shift();
      first.enter();
    }
  }
}

/** One body's share of the budget. */
export class Room {
  readonly #budget: BodyBudget;
  readonly #most: number;
  #bytes = 0;

  constructor(budget: BodyBudget, most: number) {
    this.#budget = budget;
    this.#most = most;
  }

  /** Releases its share, and waits for a new one. A single body may be larger than the budget. */
  async enter(bytes: number, signal: AbortSignal): Promise<void> {
    this.leave();
    const wanted = Math.min(bytes, this.#most);
    await this.#budget.enter(wanted, this.#most, signal);
    this.#bytes = wanted;
  }

  /** Makes sure that `bytes` of `expected` have room. Throws RoomError. */
  hold(bytes: number, expected: number): void {
    if (bytes <= this.#bytes || this.#bytes === this.#most) return;
    const wanted = Math.min(Math.max(bytes, Math.min(2 * this.#bytes, expected)), this.#most);
    if (!this.#budget.take(wanted - this.#bytes, this.#most)) throw new RoomError(expected);
    this.#bytes = wanted;
  }

  leave(): void {
    const bytes = this.#bytes;
    this.#bytes = 0;
    if (bytes > 0) this.#budget.giveBack(bytes);
  }
}
