/**
 * Rejects: text that a parser could not read, its place, and the reason. Bad lines are an expected answer, so
 * they are values.
 */

export interface Reject {
  /** From 1. */
  readonly line: number;
  /** From 1, in UTF-16 code units, as editors and JavaScript count. */
  readonly column: number;
  /** Stable, for programs. */
  readonly code: string;
  /** The fault and a remedy, for people. */
  readonly reason: string;
}

/** A reject of a document or of a file that it names. */
export interface DocumentReject extends Reject {
  /** The document's own name, or the `file:` value. */
  readonly file: string;
}

/** Codes of faults of a whole text, or of any line. */
export const TextFault = {
  tooLarge: 'too-large',
  utf16: 'utf-16',
  utf8: 'not-utf-8',
  nul: 'nul-byte',
  lineTooLong: 'line-too-long',
  tooManyEntries: 'too-many-entries',
} as const;

/** Keeps the first rejects and counts the rest. */
export class RejectLog<T extends Reject = Reject> {
  readonly kept: T[] = [];
  #total = 0;
  readonly #maxKept: number;
  readonly #onReject: ((reject: T) => void) | undefined;

  constructor(maxKept: number, onReject?: (reject: T) => void) {
    this.#maxKept = maxKept;
    this.#onReject = onReject;
  }

  get count(): number {
    return this.#total;
  }

  add(reject: T): void {
    this.#total++;
    if (this.kept.length < this.#maxKept) this.kept.push(reject);
    this.#onReject?.(reject);
  }

  /** Adds rejects that were found elsewhere, and how many more there were than are given. */
  addAll(rejects: readonly T[], count: number): void {
    for (const reject of rejects) this.add(reject);
    this.#total += count - rejects.length;
  }
}
