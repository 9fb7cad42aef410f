/**
 * The keys that this subscriber trusts: the roots from the one in its trust line to the newest. Each root is
 * signed by the keys of the one before, and is stored before anything under it is accepted. WIRE.md "Roots".
 */

import {
  isSignedBy,
  ProtocolError,
  type Root,
  type Roots,
  readRoot,
  rootsFrom,
  type Signed,
  type SignedRoot,
  type Trust,
  wasSignedBy,
  withRoot,
} from '@rulecast/protocol';

/** Stores roots, in order. */
export interface RootShelf {
  readRoots(): readonly Signed[];
  /** On disk when it resolves. Throws StateError. */
  writeRoots(roots: readonly Signed[]): Promise<void>;
}

export class Keyring {
  readonly trust: Trust;
  readonly #shelf: RootShelf | undefined;
  #roots: Roots = [];

  /** Loads the stored roots, as far as they follow from the trust line. */
  constructor(trust: Trust, shelf: RootShelf | undefined) {
    this.trust = trust;
    const kept = (shelf?.readRoots() ?? []).flatMap(rootIn);
    const isForeign = kept.some(({ root }) => !Buffer.from(root.lineage).equals(trust.lineage));
    this.#shelf = isForeign ? undefined : shelf; // roots of another lineage are left alone
    for (const signed of kept) {
      try {
        this.#roots = this.#with(signed);
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        if (this.#roots.length > 0) break; // else it is from before the root of the trust line
      }
    }
  }

  /** The newest root; undefined before the first has come. */
  get root(): Root | undefined {
    return this.#roots.at(-1)?.root;
  }

  /** The newest root, for HELLO. */
  get known(): { readonly hash: Uint8Array; readonly number: number | undefined } {
    const newest = this.#roots.at(-1);
    return { hash: newest?.hash ?? this.trust.rootHash, number: newest?.root.number };
  }

  /**
   * Takes the next root, and keeps it; believed when it resolves. Throws ProtocolError `bad-root`, and
   * StateError.
   */
  async take(signed: Signed): Promise<Root> {
    const roots = this.#with(signed);
    await this.#shelf?.writeRoots(roots);
    this.#roots = roots;
    const { root } = this;
    if (root === undefined) throw new Error('a chain without a root');
    return root;
  }

  /** Whether it was released by who may now. */
  isReleased(signed: Signed): boolean {
    const { root } = this;
    return root !== undefined && isSignedBy(root, 'release', signed);
  }

  /** Whether a freshness key of the present root signed it. */
  isFreshness(signed: Signed): boolean {
    const { root } = this;
    return root !== undefined && isSignedBy(root, 'freshness', signed);
  }

  /** Whether it was released by who may now, or might under one of the roots before. */
  wasReleased(signed: Signed): boolean {
    return wasSignedBy(this.#roots, 'release', signed);
  }

  #with(signed: Signed): Roots {
    const next = readRoot(signed);
    const { rootHash, lineage } = this.trust;
    return this.#roots.length === 0 ? rootsFrom(rootHash, lineage, next) : withRoot(this.#roots, next);
  }
}

function rootIn(signed: Signed): readonly SignedRoot[] {
  try {
    return [readRoot(signed)];
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return [];
  }
}
