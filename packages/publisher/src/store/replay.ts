/** How much a load has to replay to reach the head, and when that justifies a snapshot. */

import { STEPS_MAX } from '@rulecast/protocol';

/** Bytes of deltas that may gather before a snapshot is made, whatever its size. */
const SNAPSHOT_AFTER_BYTES = 1 << 20;
/**
 * Deltas may grow to so many times a snapshot: a push waits for a new one, and a list that came whole upon a
 * small snapshot is no reason for it.
 */
const GATHERED_MAX_WEIGHT = 2;
/** The least size of a snapshot by entry, except for lists of neighbours: 0.8 to 1.7 bytes were measured. */
const SNAPSHOT_ENTRY_BYTES = 1;

export class Replay {
  /** Size of the last snapshot; 0 before the first release. */
  #snapshotBytes = 0;
  /** Size of the deltas since then. */
  #deltaBytes = 0;
  #deltaCount = 0;

  addSnapshot(bytes: number): void {
    this.#snapshotBytes = bytes;
    this.#deltaBytes = 0;
    this.#deltaCount = 0;
  }

  /** The first of all is a snapshot: it starts from nothing. */
  addDelta(bytes: number): void {
    if (this.#snapshotBytes === 0) return this.addSnapshot(bytes);
    this.#deltaBytes += bytes;
    this.#deltaCount += 1;
  }

  /**
   * Whether the deltas since the last snapshot, with one more, outweigh it and the one that a release of so
   * many entries would have, or are as many as one transfer has.
   */
  wantsSnapshot(deltaBytes: number, entries: number): boolean {
    if (this.#snapshotBytes === 0) return false;
    const wholeBytes = Math.max(this.#snapshotBytes, entries * SNAPSHOT_ENTRY_BYTES);
    const gatheredMax = Math.max(SNAPSHOT_AFTER_BYTES, GATHERED_MAX_WEIGHT * wholeBytes);
    return this.#deltaBytes + deltaBytes > gatheredMax || this.#deltaCount >= STEPS_MAX;
  }
}
