/**
 * The work that a stream may ask for. It is counted in units of at most 25 ns here; each is charged before
 * the work, if it is known, or as it is done. CONTENT.md "Budget".
 */

import { ErrorCode, ProtocolError } from '../error.ts';

/**
 * Units of work. Measured: 0.2 to 0.4 µs for an entry of a tree or a run, and for a name with its bytes; 3 ns
 * for a byte that is inflated and read.
 */
export const Work = {
  /** A part of the rule set that a step starts from. */
  part: 8,
  /** A change, without its body. */
  change: 16,
  /** An entry, rule or address of a part before it is patched, or after a change. */
  merged: 1 / 4,
  /** A number of a sequence. */
  number: 2,
  /** A prefix of a list that is kept as a tree of prefixes. */
  leaf: 16,
  name: 16,
  /** A byte of a key of a list of names. */
  keyByte: 1 / 4,
  /** A name or exception of a patched list of names that is looked up in it. */
  lookup: 256,
  /** An entry or exception of such a list, when all of it is walked because too many were looked up. */
  walked: 10,
  run: 16,
  splice: 16,
  /** A byte of a packed body, inflated. */
  byte: 1 / 8,
} as const;

/** Progress is reported each time that so much work is done, some 10 ms. Our choice. */
const TOLD_WORK = 2 ** 19;

/** The work that decoding may still do. */
export class Meter {
  #left: number;
  /** The work in the present piece. */
  #inPiece = 0;
  readonly #pieceMost: number;
  /** Since `onWork` was called. */
  #untold = 0;
  readonly #onWork: () => void;

  /**
   * @param work In units.
   * @param pieceMost Of it between two rests.
   * @param onWork Called now and then, while work is done.
   */
  constructor(
    work = Number.POSITIVE_INFINITY,
    pieceMost = Number.POSITIVE_INFINITY,
    onWork: () => void = () => undefined,
  ) {
    this.#left = work;
    this.#pieceMost = pieceMost;
    this.#onWork = onWork;
  }

  /** Throws ProtocolError `over-budget` if less than that is left. */
  spend(work: number): void {
    this.#left -= work;
    this.#inPiece += work;
    this.#untold += work;
    if (this.#untold >= TOLD_WORK) {
      this.#untold = 0;
      this.#onWork();
    }
    if (this.#left < 0 || this.#inPiece > this.#pieceMost)
      throw new ProtocolError(ErrorCode.overBudget, 'the stream takes more work than what it is to make');
  }

  /** A new piece begins. */
  rest(): void {
    this.#inPiece = 0;
  }
}
