/**
 * Earlier releases: rebuilt from the store off the event loop, verified against their manifests, and compared
 * or restored. A release that is no longer kept gives an UnknownReleaseError that names the oldest one there.
 */

import { type Manifest, ProtocolError } from '@rulecast/protocol';
import { EMPTY_RULE_SET, type RuleSet } from '@rulecast/rules';
import { type Store, StoreError } from '../store/store.ts';
import type { Committer } from './commit.ts';
import type { PartFilter } from './part-filter.ts';
import type { Comparison, PastContent, ReleaseWorker } from './worker.ts';

/** The release never existed, or is not kept any more. */
export class UnknownReleaseError extends Error {
  /** The oldest version kept; undefined if nothing was ever released. */
  readonly oldest: number | undefined;

  /** `next`: the oldest kept version that is newer than the requested one. */
  constructor(
    version: number,
    oldest: number | undefined,
    next: number | undefined,
    head: Manifest | undefined,
  ) {
    super(
      oldest === undefined || head === undefined
        ? `there is no version ${version}: nothing was released yet`
        : version > head.version
          ? `there is no version ${version} yet: the newest is ${head.version}`
          : version < oldest
            ? `version ${version} is not kept any more: the oldest that is kept is ${oldest}`
            : `version ${version} is not kept any more: of older days and weeks only the last version is kept; the next kept one is ${next}`,
    );
    this.oldest = oldest;
  }
}

export class History {
  readonly #store: Store;
  readonly #committer: Committer;
  readonly #worker: ReleaseWorker;

  constructor(store: Store, committer: Committer, worker: ReleaseWorker) {
    this.#store = store;
    this.#committer = committer;
    this.#worker = worker;
  }

  /**
   * The rule set of a version. Throws UnknownReleaseError; throws StoreError if the stored bytes are not
   * those that were signed.
   */
  async ruleSetOf(version: number): Promise<RuleSet> {
    const content = this.#contentOf(version);
    if (content.kind === 'rule-set') return content.ruleSet;
    return this.#reading(version, () => this.#worker.rebuild(content.recipe));
  }

  /**
   * The changes from one version to another, either of which may be the older, in the parts that `only`
   * selects. Version 0 is before the first release, and empty; a rule set may take the place of the later
   * version. Throws as `ruleSetOf` does.
   */
  async changes(from: number, to: number | RuleSet, only: PartFilter): Promise<Comparison> {
    const [before, after] = [from, to].map((one): PastContent => {
      const ruleSet = one === 0 ? EMPTY_RULE_SET : one;
      return typeof ruleSet === 'number' ? this.#contentOf(ruleSet) : { kind: 'rule-set', ruleSet };
    }) as [PastContent, PastContent]; // two in, two out
    return this.#reading(from, () => this.#worker.compare(before, after, only));
  }

  #contentOf(version: number): PastContent {
    const { head } = this.#committer;
    if (head?.manifest.version === version) return { kind: 'rule-set', ruleSet: head.ruleSet };
    const recipe = this.#store.recipe(version);
    if (recipe === undefined) {
      const store = this.#store;
      throw new UnknownReleaseError(
        version,
        store.index.oldestVersion,
        store.index.oldestAfter(version),
        head?.manifest,
      );
    }
    return { kind: 'recipe', recipe };
  }

  async #reading<T>(version: number, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      if (!(cause instanceof ProtocolError)) throw cause;
      throw new StoreError(`version ${version} is damaged in the store: ${cause.message}`, { cause });
    }
  }
}
