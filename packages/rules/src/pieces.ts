/**
 * Work that may be long, in pieces of some milliseconds: a generator that yields where an event loop may do
 * what waits.
 */

export type Pieces<T> = Generator<undefined, T>;

/** Parts of a rule set between two pieces, where each takes some 0.05 ms. Our choice. */
export const PIECE_PARTS = 64;

/** All of it without a pause. */
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
