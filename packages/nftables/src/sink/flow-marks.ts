/**
 * Flow marks: which releases accepted a flow, each a connection label, so that the rest of its packets need
 * no further judging. Each release has a value that no flow has yet. What lacks its label is judged by the
 * rules: a flow is judged by each release anew, and dies with the release that forbids it. Rules can only add
 * a label, so that of a former release is taken from all flows before it comes back (kernel/flow-labels.ts).
 */

import { FLOW_MARK_MAX, FLOW_MARKS_FREE_MIN, NO_FLOW_MARK } from '../limits.ts';

export class FlowMarks {
  /** Values that flows may have or get; undefined: nobody looked yet. */
  #held: Set<number> | undefined;
  /**
   * Those of them that the kernel may be giving now: of the release in force, and of what was to follow it.
   */
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

  /** Nobody looked yet. */
  get unknown(): boolean {
    return this.#held === undefined;
  }

  /** So few are free that it is time to take the others from flows. */
  get scarce(): boolean {
    return this.#held !== undefined && FLOW_MARK_MAX - this.#held.size < FLOW_MARKS_FREE_MIN;
  }

  /** Those that no flow may lose. */
  get given(): readonly number[] {
    return [...this.#given];
  }

  /**
   * No flow has another value than those given and those of tables in the kernel, `others`. None may have
   * been taken meanwhile.
   */
  cleared(others: Iterable<number>): void {
    this.#held = new Set([...others, ...this.#given]);
  }
}
