/**
 * Long work in pieces of some milliseconds: a generator that yields so that the event loop can do what is
 * waiting.
 */

export type Pieces<T> = Generator<undefined, T>;

/** Parts between two pieces, where each takes 0.05 ms, and 1 ms before it is compiled. Our choice. */
export const PIECE_PARTS = 32;
/** Visiting, merging or hashing so many entries takes as long as a part. */
const ENTRIES_A_PART = 2048;

/** When a piece of parts, small and large, is over. */
export class Pace {
  #left = PIECE_PARTS;

  /** So it is, and the next one begins. */
  get isOver(): boolean {
    if (this.#left > 0) return false;
    this.#left = PIECE_PARTS;
    return true;
  }

  /** A part of so many entries and rules belongs to the piece. */
  take(entries: number): void {
    this.#left -= 1 + entries / ENTRIES_A_PART;
  }
}

/** Runs everything without a pause. */
export function atOnce<T>(pieces: Pieces<T>): T {
  for (;;) {
    const { done, value } = pieces.next();
    if (done === true) return value;
  }
}

/** Each piece in a turn of its own. */
export async function inTurns<T>(pieces: Pieces<T>, turn: () => Promise<void>): Promise<T> {
  for (;;) {
    const { done, value } = pieces.next();
    if (done === true) return value;
    await turn();
  }
}
