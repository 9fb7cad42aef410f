/**
 * What was offered on one connection and is not answered yet: nothing else can be acknowledged there.
 * PROTOCOL.md "Sessions": every OFFER is answered exactly once, in order.
 */

import type { Release } from '../store/store.ts';
import type { HeldRelease } from '../subscribers/entry.ts';

/**
 * The one that is being answered, and the newest of those since: a peer that answers none is sent no third,
 * and the next answer brings the head.
 */
const UNANSWERED_MAX = 2;

export class UnansweredOffers {
  #releases: readonly HeldRelease[] = [];

  /** Whether the head has to wait for an answer. */
  get isFull(): boolean {
    return this.#releases.length >= UNANSWERED_MAX;
  }

  add({ hash, manifest: { epoch, version } }: Release): void {
    this.#releases = [...this.#releases, { hash, epoch, version }];
  }

  /**
   * Takes out what an answer names, and what was offered before it; undefined where that was not offered, or
   * was answered.
   */
  answered(hash: Uint8Array): HeldRelease | undefined {
    const at = this.#releases.findIndex((release) => isSame(release.hash, hash));
    if (at < 0) return undefined;
    const answered = this.#releases[at];
    this.#releases = this.#releases.slice(at + 1);
    return answered;
  }
}

/** Whether two hashes are one, or both are of nothing. */
export function isSame(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : Buffer.from(a).equals(b);
}
