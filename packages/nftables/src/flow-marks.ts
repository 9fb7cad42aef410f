/**
 * Flow marks: which release accepted a flow, in one byte of its connection mark, so that the rest of its packets need no further
 * judging. Each release has a value that no flow has yet. What has another value, or none, is judged by the rules: a flow is
 * judged by each release anew, and dies with the release that forbids it.
 */

import { FLOW_MARK_MAX, NO_FLOW_MARK } from './limits.ts';

export class FlowMarks {
  /** Values that flows may have or get; undefined: nobody looked yet. */
  private held: Set<number> | undefined;
  /** Those of them that flows may have got since the last look began. */
  private recent = new Set<number>();
  private current = NO_FLOW_MARK;
  /** Given for a release that is not in force yet. */
  private pending = NO_FLOW_MARK;
  private last = NO_FLOW_MARK;

  /** A value for a release that may follow; none if it is not known which are free, or if none is. The one before, if not taken, is void. */
  next(): number {
    this.pending = this.free();
    if (this.pending === NO_FLOW_MARK) return NO_FLOW_MARK;
    this.last = this.pending;
    this.note(this.pending);
    return this.pending;
  }

  private free(): number {
    for (let step = 0; this.held !== undefined && step < FLOW_MARK_MAX; step++) {
      const value = 1 + ((this.last + step) % FLOW_MARK_MAX);
      if (!this.held.has(value)) return value;
    }
    return NO_FLOW_MARK;
  }

  /** Flows may get this value from now on, until another one is taken. */
  take(value: number): void {
    this.current = value;
    this.pending = NO_FLOW_MARK;
    this.note(value);
  }

  private note(value: number): void {
    this.held?.add(value);
    this.recent.add(value);
  }

  get known(): boolean {
    return this.held !== undefined;
  }

  /** To be called before all flows are looked at; one look at a time. */
  look(): void {
    this.recent = new Set([this.current, this.pending]);
  }

  /** Takes the values that the look found. */
  looked(found: Iterable<number>): void {
    this.held = new Set([...found, ...this.recent]);
  }
}
