/**
 * What a subscriber is sent: a chain of deltas from what it holds, or a snapshot, whichever is smaller. A
 * snapshot is encoded once per release and shared by all who need it.
 */

import { encodeChain, hexOf, STEPS_MAX } from '@rulecast/protocol';
import type { Release, Store } from '../store/store.ts';
import type { Encoder } from './commit.ts';

export interface Transfer {
  readonly release: Release;
  /** The release that the first delta starts from; undefined for a snapshot. */
  readonly base: Uint8Array | undefined;
  readonly stream: Uint8Array;
}

/**
 * A chain below this is sent without asking how large a snapshot would be: encoding one costs more than it
 * saves.
 */
const CHAIN_UNASKED_BYTES = 64 * 1024;

export class Transfers {
  readonly #store: Store;
  readonly #encoder: Encoder;
  /** Of the release last asked for, perhaps still being encoded. */
  #snapshot: { readonly release: Release; readonly transfer: Promise<Transfer> } | undefined;

  constructor(store: Store, encoder: Encoder) {
    this.#store = store;
    this.#encoder = encoder;
  }

  /**
   * The transfer that brings `release` to somebody who holds `base`; a snapshot if `release` is the head no
   * more, or for somebody who inflates nothing: deltas are kept as they were encoded once.
   */
  async for(release: Release, base: Uint8Array | undefined, isPlain = false): Promise<Transfer> {
    if (isPlain) return this.#encoded(release, isPlain);
    const small = this.#chain(release, base, CHAIN_UNASKED_BYTES);
    if (small !== undefined) return small;
    const snapshot = await this.#snapshotOf(release);
    return this.#chain(release, base, snapshot.stream.length) ?? snapshot;
  }

  #chain(release: Release, base: Uint8Array | undefined, limitBytes: number): Transfer | undefined {
    if (base === undefined || this.#store.headHash !== hexOf(release.hash)) return undefined;
    const deltas = this.#store.chainFrom(hexOf(base), limitBytes);
    if (deltas === undefined || deltas.length === 0 || deltas.length > STEPS_MAX) return undefined;
    return { release, base, stream: encodeChain(deltas) };
  }

  #snapshotOf(release: Release): Promise<Transfer> {
    if (this.#snapshot?.release === release) return this.#snapshot.transfer;
    const snapshot = { release, transfer: this.#encoded(release) };
    this.#snapshot = snapshot;
    snapshot.transfer.catch(() => {
      if (this.#snapshot === snapshot) this.#snapshot = undefined; // the next who asks tries again
    });
    return snapshot.transfer;
  }

  async #encoded(release: Release, isPlain = false): Promise<Transfer> {
    const stream = encodeChain([await this.#encoder.encodeSnapshot(release.ruleSet, isPlain)]);
    return { release, base: undefined, stream };
  }
}
