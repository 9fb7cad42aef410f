/**
 * Flow marks: which releases accepted a flow, each a connection label, so that the rest of its packets need
 * no further judging. Each release has a value that no flow has yet. Flows without the present label are
 * judged by the rules: each release judges a flow anew, and one that forbids it ends it. Rules can only add a
 * label, so before a value is used again, its label is cleared from all flows (kernel/flow-labels.ts).
 */

import { FLOW_MARK_MAX, FLOW_MARKS_FREE_MIN, NO_FLOW_MARK } from '../limits.ts';

export class FlowMarks {
  /** Values that flows may have or get; undefined: not listed yet. */
  #held: Set<number> | undefined;
  /** Values that the kernel may be giving out now: of the release in force, and of the one being loaded. */
  #given = new Set<number>();
  #last = NO_FLOW_MARK;

  /** A value for a release that may follow; none if it is not known which are free, or if none is. */
  next(): number {
    for (let step = 0; this.#held !== undefined && step < FLOW_MARK_MAX; step++) {
      const value = 1 + ((this.#last + step) % FLOW_MARK_MAX);
      if (this.#held.has(value)) continue;
      this.#last = value;
      this.#held.add(value);
      this.#given.add(value);
      return value;
    }
    return NO_FLOW_MARK;
  }

  /** The release with this value is in force, and those before it no more. */
  take(value: number): void {
    this.#given = new Set([value, this.#last]);
  }

  /** Whether the labels of flows were never listed. */
  get unknown(): boolean {
    return this.#held === undefined;
  }

  /** Whether so few values are free that others should be cleared from flows. */
  get scarce(): boolean {
    return this.#held !== undefined && FLOW_MARK_MAX - this.#held.size < FLOW_MARKS_FREE_MIN;
  }

  /** Values that must not be cleared from flows. */
  get given(): readonly number[] {
    return [...this.#given];
  }

  /**
   * Flows now have no values but those given, and `others`, those of tables in the kernel. None may have been
   * handed out meanwhile.
   */
  cleared(others: Iterable<number>): void {
    this.#held = new Set([...others, ...this.#given]);
  }
}
