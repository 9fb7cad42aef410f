/**
 * Deltas from older releases to the head, each made once out of both contents, in a thread of its own, and
 * kept by bytes. A chain says all that came and went between; one composed delta says what is left of it.
 */

import { encodeChain } from '@rulecast/protocol';
import type { RuleSet } from '@rulecast/rules';
import type { Release, ReleaseRecipe } from '../store/store.ts';
import { KeptStreams, keyOf } from './kept-streams.ts';

/** What makes composed deltas. Rejects where a release is damaged, or it takes too long. */
export interface Composer {
  compose(recipe: ReleaseRecipe, ruleSet: RuleSet): Promise<Uint8Array>;
}

/** Made or waiting to be: whoever may connect may claim any older release, and each takes a thread. */
const PENDING_MAX = 16;

export class ComposedDeltas {
  readonly #composer: Composer;
  /** By base and release. */
  readonly #kept = new KeptStreams();
  readonly #pending = new Map<string, Promise<Uint8Array | undefined>>();

  constructor(composer: Composer) {
    this.#composer = composer;
  }

  /**
   * The stream of one delta from `base` (hex) to a release, the same for all who hold that; undefined where
   * there is none to be had, so that something else is sent. `recipe` is asked for only where it has to be
   * made.
   */
  async from(
    base: string,
    release: Release,
    recipe: () => ReleaseRecipe | undefined,
  ): Promise<Uint8Array | undefined> {
    const key = keyOf(base, release);
    const kept = this.#kept.get(key);
    if (kept !== undefined) return kept;
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
      const stream = encodeChain([await this.#composer.compose(from, release.ruleSet)]);
      this.#kept.keep(key, stream);
      return stream;
    } catch {
      return undefined; // a chain or a snapshot does as well; what is damaged is told when it is gone back to
    }
  }
}
