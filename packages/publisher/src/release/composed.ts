/**
 * Deltas from older releases to the head, each made once out of both contents, in a thread of its own, and
 * kept by bytes. A chain has every step in between; a composed delta has only the net change.
 */

import { encodeChain } from '@rulecast/protocol';
import type { RuleSet } from '@rulecast/rules';
import type { Release, ReleaseRecipe } from '../store/store.ts';
import { KeptStreams, keyOf } from './kept-streams.ts';

/** Composes deltas. Rejects if a release is damaged, or if it takes too long. */
export interface Composer {
  compose(recipe: ReleaseRecipe, ruleSet: RuleSet): Promise<Uint8Array>;
}

/** Deltas being made or queued: any client may claim any older release, and each takes a thread. */
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
   * The composed delta from `base` (hex) to a release, shared by all who hold `base`; undefined if there is
   * none, so that something else is sent. `recipe` is called only if the delta has to be made.
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
      // a chain or a snapshot does as well; damage is reported when somebody rolls back to it
      return undefined;
    }
  }
}
