/**
 * Flow marks: which release accepted a flow, in one byte of its connection mark, so that the rest of its packets need no further
 * judging. Each release has a value that no flow has yet. What has another value, or none, is judged by the rules: a flow is
 * judged by each release anew, and dies with the release that forbids it.
 */

import { FLOW_MARK_MAX, NO_FLOW_MARK } from './limits.ts';

export class FlowMarks {
  /** Values that flows may have; undefined: nobody looked yet. */
  private held: Set<number> | undefined;
  /** Those of them that flows may have got since the last look began. */
  private recent = new Set<number>();
  private current = NO_FLOW_MARK;

  /** A value for the next release; none if it is not known which are free, or if none is. */
  next(): number {
    for (let step = 0; this.held !== undefined && step < FLOW_MARK_MAX; step++) {
      const value = 1 + ((this.current + step) % FLOW_MARK_MAX);
      if (!this.held.has(value)) return value;
    }
    return NO_FLOW_MARK;
  }

  /** Flows may get this value from now on, until another one is taken. */
  take(value: number): void {
    this.current = value;
    this.held?.add(value);
    this.recent.add(value);
  }

  get known(): boolean {
    return this.held !== undefined;
  }

  /** To be called before all flows are looked at; one look at a time. */
  look(): void {
    this.recent = new Set([this.current]);
  }

  /** Takes the values that the look found. */
  looked(found: Iterable<number>): void {
    this.held = new Set([...found, ...this.recent]);
  }
}
