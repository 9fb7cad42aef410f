/**
 * Predicate columns: the canonical prefixes of many predicates of one family, predicate after predicate in
 * one column, so that 2^18 predicates of one prefix each are three arrays and not a million objects. Large
 * ones are left where they are.
 */

import { type Family, type Prefixes, strideOf } from '@rulecast/rules';

/** Our choice: fewer entries are copied in a microsecond. */
const LARGE_ENTRIES = 1024;

export class PredicateColumns {
  readonly family: Family;
  /** Large columns by predicate; immutable. */
  readonly large = new Map<number, Prefixes>();
  /**
   * Predicate p, if not large, has the entries [starts[p], starts[p + 1]); longer than needed, like the two
   * below.
   */
  starts = new Uint32Array(16);
  words: Uint32Array = new Uint32Array(0);
  lengths: Uint8Array = new Uint8Array(0);
  #used = 0;
  #largeEntries = 0;

  constructor(family: Family) {
    this.family = family;
  }

  /** The number of predicates. */
  get count(): number {
    return this.#used;
  }

  /** The number of prefixes of all predicates. */
  get entryCount(): number {
    return this.#joined + this.#largeEntries;
  }

  /** Entries of the predicates that are not large. */
  get #joined(): number {
    return this.starts[this.#used]!; // there is one start more than there are predicates
  }

  /** Appends the next predicate: a canonical column, or none. */
  push(column: Prefixes | undefined): void {
    const count = column?.lengths.length ?? 0;
    if (column === undefined) this.#close(this.#joined);
    else if (count < LARGE_ENTRIES) this.pushSpan(column.words, 0, column.lengths, 0, count);
    else {
      this.large.set(this.#used, column);
      this.#largeEntries += count;
      this.#close(this.#joined);
    }
  }

  /**
   * Appends the next predicate: `count` entries of a canonical column, whose words begin at `wordAt`, lengths
   * at `at`.
   */
  pushSpan(words: Uint32Array, wordAt: number, lengths: Uint8Array, at: number, count: number): void {
    const stride = strideOf(this.family);
    const start = this.#joined;
    const end = start + count;
    if (end > this.lengths.length) this.#grow(Math.max(end, this.lengths.length * 2));
    if (count === 1) {
      // `set` and `subarray` cost calls out of JavaScript, which for the one prefix of most runs is too much.
      for (let w = 0; w < stride; w++) this.words[start * stride + w] = words[wordAt + w]!; // the caller's entry exists
      this.lengths[start] = lengths[at]!; // likewise
    } else {
      this.words.set(words.subarray(wordAt, wordAt + count * stride), start * stride);
      this.lengths.set(lengths.subarray(at, at + count), start);
    }
    this.#close(end);
  }

  /** Ends the next predicate after so many entries that are not of large ones. */
  #close(entries: number): void {
    if (this.#used + 2 > this.starts.length) {
      const longer = new Uint32Array(this.starts.length * 2);
      longer.set(this.starts);
      this.starts = longer;
    }
    this.starts[++this.#used] = entries;
  }

  #grow(entries: number): void {
    const words = new Uint32Array(entries * strideOf(this.family));
    words.set(this.words);
    const lengths = new Uint8Array(entries);
    lengths.set(this.lengths);
    this.words = words;
    this.lengths = lengths;
  }
}
