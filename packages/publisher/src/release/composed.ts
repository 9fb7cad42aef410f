/**
 * Deltas from older releases to the head, each made once out of both contents, in a thread of its own, and
 * kept by bytes. A chain says all that came and went between; one composed delta says what is left of it.
 */

import { hexOf } from '@rulecast/protocol';
import type { RuleSet } from '@rulecast/rules';
import type { Release, ReleaseRecipe, ReleaseTrail } from '../store/store.ts';

/** What makes composed deltas. Rejects where a release is damaged, or it takes too long. */
export interface Composer {
  compose(recipe: ReleaseRecipe, ruleSet: RuleSet): Promise<Uint8Array>;
  /** From each release of a trail. */
  composeAll(trail: ReleaseTrail): Promise<readonly Uint8Array[]>;
}

/** What is kept of composed deltas, in bytes; one beyond that is sent to who waits for it, and not kept. */
const KEPT_MAX_BYTES = 16 * 2 ** 20;
/** Keys and promise of one that is small. */
const ENTRY_COST_BYTES = 512;
/** Made or waiting to be: whoever may connect may claim any older release, and each takes a thread. */
const PENDING_MAX = 16;

export class ComposedDeltas {
  readonly #composer: Composer;
  /** By base and release, the longest unused first. */
  readonly #kept = new Map<string, Uint8Array>();
  #keptBytes = 0;
  readonly #pending = new Map<string, Promise<Uint8Array | undefined>>();

  constructor(composer: Composer) {
    this.#composer = composer;
  }

  /** Makes those from all releases of a trail to the head that it leads to. Rejects as the composer does. */
  async prepare(trail: ReleaseTrail, release: Release): Promise<void> {
    for (const [i, delta] of (await this.#composer.composeAll(trail)).entries()) {
      const key = keyOf(trail.hashes[i]!, release); // one each
      if (!this.#kept.has(key)) this.#keep(key, delta);
    }
  }

  /**
   * The delta from `base` (hex) to a release; undefined where there is none to be had, so that something else
   * is sent. `recipe` is asked for only where it has to be made.
   */
  async from(
    base: string,
    release: Release,
    recipe: () => ReleaseRecipe | undefined,
  ): Promise<Uint8Array | undefined> {
    const key = keyOf(base, release);
    const kept = this.#kept.get(key);
    if (kept !== undefined) {
      this.#kept.delete(key); // and in again, as the one used last
      this.#kept.set(key, kept);
      return kept;
    }
    const pending = this.#pending.get(key);
    if (pending !== undefined) return pending;
    if (this.#pending.size >= PENDING_MAX) return undefined;
    const made = this.#made(key, release, recipe).finally(() => this.#pending.delete(key));
    this.#pending.set(key, made);
    return made;
  }

  async #made(
    key: string,
    release: Release,
    recipe: () => ReleaseRecipe | undefined,
  ): Promise<Uint8Array | undefined> {
    try {
      const from = recipe();
      if (from === undefined) return undefined;
      const delta = await this.#composer.compose(from, release.ruleSet);
      this.#keep(key, delta);
      return delta;
    } catch {
      return undefined; // a chain or a snapshot does as well; what is damaged is told when it is gone back to
    }
  }

  #keep(key: string, delta: Uint8Array): void {
    if (costOf(delta) > KEPT_MAX_BYTES) return;
    this.#kept.set(key, delta);
    this.#keptBytes += costOf(delta);
    for (const [oldest, other] of this.#kept) {
      if (this.#keptBytes <= KEPT_MAX_BYTES) return;
      this.#kept.delete(oldest);
      this.#keptBytes -= costOf(other);
    }
  }
}

function keyOf(base: string, { hash }: Release): string {
  return `${base} ${hexOf(hash)}`;
}

function costOf(delta: Uint8Array): number {
  return ENTRY_COST_BYTES + delta.byteLength;
}
