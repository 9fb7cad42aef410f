/**
 * Chooses the transfer for a subscriber: a short chain of deltas from the release it holds, or any chain
 * while no composed delta is ready; otherwise the composed delta or a snapshot, whichever is smaller. A
 * snapshot is encoded once per release and shared by all who need it.
 */

import {
  type After,
  encodeChain,
  hexOf,
  type MessageOf,
  RESUMED_MIN_BYTES,
  STEPS_MAX,
  STREAM_ID_BYTES,
} from '@rulecast/protocol';
import type { Release, Store } from '../store/store.ts';
import type { Encoder } from './commit.ts';
import { ComposedDeltas, type Composer } from './composed.ts';
import { KeptStreams, keyOf } from './kept-streams.ts';

export interface Transfer {
  readonly release: Release;
  /** The release that the first delta starts from; undefined for a snapshot. */
  readonly base: Uint8Array | undefined;
  readonly stream: Uint8Array;
  /** The id of a snapshot that is large enough to be resumed. */
  readonly id: Uint8Array | undefined;
  /** Bytes that the receiver has already. */
  readonly from: number;
}

/** A transfer from the release that a subscriber holds. */
interface Deltas extends Transfer {
  /** No longer than one delta between both releases. */
  readonly isDirect: boolean;
}

/** The part of a snapshot that a subscriber kept when its transfer was cut. */
export type Kept = MessageOf<'want'>['has'];

/**
 * A smaller transfer is sent without encoding a snapshot for comparison, which would cost more than it saves.
 */
const SNAPSHOT_UNASKED_BYTES = 64 * 1024;
/** A smaller chain is sent at once: a composed delta would save too little. Our choice. */
const CHAIN_UNASKED_BYTES = 16 * 1024;
/** After which a chain goes, while the composed delta is made all the same, for the next. Our choice. */
const COMPOSING_MS = 50;
/** A longer one is worth no snapshot, and is not to be read for that. Our choice. */
const CHAIN_MAX_BYTES = 16 * 2 ** 20;

export class Transfers {
  readonly #store: Store;
  readonly #encoder: Encoder;
  readonly #composed: ComposedDeltas;
  /** By base and release. */
  readonly #chains = new KeptStreams();
  /** Plain or not, of the release last asked for, perhaps still being encoded. */
  readonly #snapshots = new Map<
    boolean,
    { readonly release: Release; readonly transfer: Promise<Transfer> }
  >();
  readonly #after: After;

  constructor(store: Store, encoder: Encoder, composer: Composer, after: After) {
    this.#store = store;
    this.#encoder = encoder;
    this.#composed = new ComposedDeltas(composer);
    this.#after = after;
  }

  /**
   * The transfer that brings `release` to a subscriber that holds `base`. One that does not inflate gets a
   * snapshot, as deltas are stored compressed.
   */
  async for(
    release: Release,
    base: Uint8Array | undefined,
    isPlain = false,
    has: Kept = undefined,
  ): Promise<Transfer> {
    if (isPlain) return resumed(await this.#snapshotOf(release, isPlain), has);
    const deltas = base && (await this.#deltasFrom(base, release));
    if (deltas !== undefined && isSentUnasked(deltas, has)) return deltas;
    return smaller(deltas, resumed(await this.#snapshotOf(release, isPlain), has));
  }

  /** The stream of one delta from a release (hex) that the store has; undefined where it cannot be made. */
  composedFrom(base: string, release: Release): Promise<Uint8Array | undefined> {
    return this.#composed.from(base, release, () => this.#store.recipeOf(base));
  }

  /** The chain from a release (hex) to the head, as far as the store has it. */
  chainTo(release: Release, base: string): Uint8Array | undefined {
    return this.#chain(release, Buffer.from(base, 'hex'), CHAIN_MAX_BYTES)?.stream;
  }

  /** Drops snapshots of other releases than the head, which are no longer sent. */
  forgetAllBut(head: Release): void {
    for (const [isPlain, { release }] of this.#snapshots)
      if (release !== head) this.#snapshots.delete(isPlain);
  }

  /**
   * A short chain, else the chain or the composed delta, whichever is smaller; the chain, if there is one and
   * composing takes longer than COMPOSING_MS.
   */
  async #deltasFrom(base: Uint8Array, release: Release): Promise<Deltas | undefined> {
    const hash = hexOf(base);
    const isNext = this.#store.index.isBeforeHead(hash); // then one delta is both
    const short = this.#chain(release, base, isNext ? CHAIN_MAX_BYTES : CHAIN_UNASKED_BYTES);
    if (short !== undefined) return { ...short, isDirect: true };
    const composing = this.composedFrom(hash, release);
    let stream = await this.#within(composing, COMPOSING_MS);
    if (stream === undefined) {
      const chain = this.#chain(release, base, CHAIN_MAX_BYTES);
      if (chain !== undefined) return { ...chain, isDirect: false };
      stream = await composing;
    }
    if (stream === undefined) return undefined;
    const composed = { release, base, stream, id: undefined, from: 0 };
    return { ...smaller(this.#chain(release, base, stream.length), composed), isDirect: true };
  }

  /** The result, or undefined if it is not ready in time. */
  #within(made: Promise<Uint8Array | undefined>, ms: number): Promise<Uint8Array | undefined> {
    return new Promise((resolve) => {
      const cancel = this.#after(ms, () => resolve(undefined));
      void made.then(resolve).finally(cancel);
    });
  }

  #chain(release: Release, base: Uint8Array, limitBytes: number): Transfer | undefined {
    if (this.#store.index.head?.hash !== hexOf(release.hash)) return undefined;
    const key = keyOf(hexOf(base), release);
    const kept = this.#chains.get(key);
    if (kept !== undefined && kept.length <= limitBytes)
      return { release, base, stream: kept, id: undefined, from: 0 };
    const deltas = this.#store.chainFrom(hexOf(base), limitBytes);
    if (deltas === undefined || deltas.length === 0 || deltas.length > STEPS_MAX) return undefined;
    const stream = encodeChain(deltas);
    this.#chains.keep(key, stream);
    return { release, base, stream, id: undefined, from: 0 };
  }

  #snapshotOf(release: Release, isPlain: boolean): Promise<Transfer> {
    const known = this.#snapshots.get(isPlain);
    if (known?.release === release) return known.transfer;
    const snapshot = { release, transfer: this.#encoded(release, isPlain) };
    this.#snapshots.set(isPlain, snapshot);
    snapshot.transfer.catch(() => {
      // the next caller tries again
      if (this.#snapshots.get(isPlain) === snapshot) this.#snapshots.delete(isPlain);
    });
    return snapshot.transfer;
  }

  async #encoded(release: Release, isPlain: boolean): Promise<Transfer> {
    const { bytes, sha256 } = await this.#encoder.encodeSnapshot(release.ruleSet, isPlain);
    const stream = encodeChain([bytes]);
    const id = stream.length < RESUMED_MIN_BYTES ? undefined : sha256.slice(0, STREAM_ID_BYTES);
    return { release, base: undefined, stream, id, from: 0 };
  }
}

/** Whether a snapshot cannot be worth it: a composed delta contains whole parts where that is shorter. */
function isSentUnasked({ stream, isDirect }: Deltas, has: Kept): boolean {
  return stream.length <= SNAPSHOT_UNASKED_BYTES || (isDirect && has === undefined);
}

/** Continues the same snapshot where it was cut. */
function resumed(snapshot: Transfer, has: Kept): Transfer {
  const { id, stream } = snapshot;
  if (has === undefined || id === undefined || Buffer.compare(has.stream, id) !== 0) return snapshot;
  return has.bytes <= stream.length ? { ...snapshot, from: has.bytes } : snapshot;
}

/** The smaller of two by bytes to send; the second if equal, as it is a single delta. */
function smaller(one: Transfer | undefined, other: Transfer): Transfer {
  return one !== undefined && one.stream.length < other.stream.length - other.from ? one : other;
}
