/**
 * The streams that a page names: a snapshot in pieces, the first of which is one that the store has, and
 * deltas from older releases. Sessions and depots send the same bytes.
 */

import { encodeChain, hexOf, isBeyond, stepMost } from '@rulecast/protocol';
import type { Transfers } from '../release/transfer.ts';
import type { Release, Store } from '../store/store.ts';

/** From how many releases back a delta leads to the head: our choice, as one of 1,000 changes has 50 kB. */
const LAGS = [1, 2, 3, 4, 8, 16, 24, 32] as const;
const NOTHING = { parts: 0, prefixes: 0, others: 0, bytes: 0 };

export interface StreamMakers {
  readonly store: Pick<Store, 'index' | 'newestSnapshot'>;
  readonly transfers: Pick<Transfers, 'for' | 'composedFrom' | 'chainTo'>;
}

/** A stream from a release, its hash in hex. */
export interface DeltaStream {
  readonly base: string;
  readonly stream: Uint8Array;
}

/**
 * The pieces of the head's snapshot. An older snapshot and one delta to the head spare an encoder, and every
 * reader's cache, a snapshot for each release.
 */
export async function snapshotPieces(
  release: Release,
  { store, transfers }: StreamMakers,
): Promise<readonly Uint8Array[]> {
  const stored = store.newestSnapshot();
  if (stored !== undefined && stored.hash === hexOf(release.hash)) return [encodeChain([stored.bytes])];
  if (stored !== undefined && !isBeyond(stepMost(NOTHING, release.manifest), stored.totals)) {
    const delta = await transfers.composedFrom(stored.hash, release);
    if (delta !== undefined) return [encodeChain([stored.bytes]), delta];
  }
  return [(await transfers.for(release, undefined)).stream];
}

/** Deltas to the head, the nearest first; each is made when it is asked for. */
export async function* deltaStreams(
  release: Release,
  { store, transfers }: StreamMakers,
): AsyncGenerator<DeltaStream> {
  const { entries } = store.index;
  for (const lag of LAGS) {
    const base = entries.at(-1 - lag)?.hash;
    if (base === undefined) return;
    const stream = lag === 1 ? transfers.chainTo(release, base) : undefined;
    const made = stream ?? (await transfers.composedFrom(base, release));
    if (made !== undefined) yield { base, stream: made };
  }
}
