/**
 * A cache of streams made for one subscriber and sent to all that hold the same release, bounded in bytes.
 */

import { hexOf } from '@rulecast/protocol';
import type { Release } from '../store/store.ts';

/** Bytes of the cache; a larger stream is sent, but not cached. */
const KEPT_MAX_BYTES = 16 * 2 ** 20;
/** Keys and promise of one that is small. */
const ENTRY_COST_BYTES = 512;

export class KeptStreams {
  /** The longest unused first. */
  readonly #kept = new Map<string, Uint8Array>();
  #keptBytes = 0;

  has(key: string): boolean {
    return this.#kept.has(key);
  }

  get(key: string): Uint8Array | undefined {
    const stream = this.#kept.get(key);
    if (stream === undefined) return undefined;
    this.#kept.delete(key); // and in again, as the one used last
    this.#kept.set(key, stream);
    return stream;
  }

  /** Caches a stream, which must not be written to from now on. */
  keep(key: string, stream: Uint8Array): void {
    if (costOf(stream) > KEPT_MAX_BYTES || this.#kept.has(key)) return;
    this.#kept.set(key, stream);
    this.#keptBytes += costOf(stream);
    for (const [oldest, other] of this.#kept) {
      if (this.#keptBytes <= KEPT_MAX_BYTES) return;
      this.#kept.delete(oldest);
      this.#keptBytes -= costOf(other);
    }
  }
}

function costOf(stream: Uint8Array): number {
  return ENTRY_COST_BYTES + stream.byteLength;
}

/** The key of the step from a release (its hash in hex) to another. */
export function keyOf(base: string, { hash }: Release): string {
  return `${base} ${hexOf(hash)}`;
}
