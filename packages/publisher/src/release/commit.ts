/**
 * From a rule set to the next release: diff by content with the head, guards, digests, signature, store.
 * Nobody hears of a release before it is on disk.
 */

import {
  boundText,
  CHANGED_PARTS_SHOWN_MAX,
  compareRelease,
  diffRuleSets,
  ENTRIES_MAX,
  ErrorCode,
  encodeDelta,
  encodeManifest,
  type Manifest,
  manifestFor,
  manifestHash,
  type PartChange,
  ProtocolError,
  partText,
  type ReleaseCause,
  type RuleSetDelta,
  signManifest,
  type Turn,
  UNCOUNTED_MAX,
  uncountedIn,
} from '@rulecast/protocol';
import {
  checkRuleSet,
  EMPTY_RULE_SET,
  FIREWALL_CHAINS_MAX,
  FIREWALL_RULES_MAX,
  type FirewallLoad,
  firewallLoad,
  type RuleSet,
  type RuleSetProblem,
} from '@rulecast/rules';
import type { Identity } from '../store/identity.ts';
import type { Release, ReleaseNotes, Store } from '../store/store.ts';

/** What made a release. */
export interface Origin {
  readonly cause: ReleaseCause;
  /** More about it, for people; cut at 512 bytes. */
  readonly detail: string;
}

/** What would become of a rule set, before anything is written. */
export interface ReleaseDraft {
  readonly ruleSet: RuleSet;
  readonly changes: readonly PartChange[];
  readonly warnings: readonly RuleSetProblem[];
  /** Encoded, for its size and for the store; empty where nothing changes. */
  readonly deltaBytes: Uint8Array;
  /** The content differs from the head's. */
  readonly changed: boolean;
}

/** The rule set is refused as a whole. */
export class GuardError extends Error {
  readonly code = ErrorCode.guardRefused;
  readonly part: string;

  constructor(problem: Pick<RuleSetProblem, 'part' | 'reason'>) {
    super(problem.reason);
    this.part = problem.part;
  }
}

/** What encodes; a worker does it off the event loop. Both throw ProtocolError `over-limit`. */
export interface Encoder {
  encodeDelta(delta: RuleSetDelta): Promise<Uint8Array>;
  encodeSnapshot(ruleSet: RuleSet): Promise<Uint8Array>;
}

/** Which release. */
export type ReleaseIdentity = Pick<Manifest, 'epoch' | 'version'>;

/**
 * A subscriber proved a release that this publisher lacks: its state is older than what it released, and
 * gives no number meanwhile.
 */
export class BehindError extends Error {
  readonly code = ErrorCode.publisherBehind;
}

export interface CommitterOptions {
  readonly store: Store;
  readonly encoder: Encoder;
  readonly identity: Identity;
  /** Milliseconds since 1970. */
  readonly nowMs: () => number;
  readonly turn: Turn;
}

export class Committer {
  #current: Release | undefined;
  /** Of the next release. */
  #epoch: number;
  readonly #options: CommitterOptions;

  /** Loads the head from the store. Throws StoreError. */
  constructor(options: CommitterOptions) {
    this.#options = options;
    this.#current = options.store.load(options.identity);
    this.#epoch = this.#current?.manifest.epoch ?? options.store.firstEpoch;
  }

  /** The newest release; undefined before the first. */
  get head(): Release | undefined {
    return this.#current;
  }

  get ruleSet(): RuleSet {
    return this.#current?.ruleSet ?? EMPTY_RULE_SET;
  }

  /**
   * What committing a rule set would do. Throws GuardError where it may not be released, and ProtocolError
   * `over-limit` where no manifest or no subscriber can hold it. Each step takes milliseconds at a million
   * entries, and has a turn of the event loop of its own.
   */
  async draft(ruleSet: RuleSet): Promise<ReleaseDraft> {
    const { turn } = this.#options;
    const problems = checkRuleSet(ruleSet);
    const fault = problems.find((problem) => problem.severity === 'fault');
    if (fault !== undefined) throw new GuardError(fault);
    await turn();
    const delta: RuleSetDelta = diffRuleSets(this.ruleSet, ruleSet);
    const changed = delta.changes.length > 0;
    await turn();
    if (changed) {
      checkLimits(this.#nextManifest(ruleSet), ruleSet);
      await checkFirewallLoad(ruleSet, turn);
    }
    return {
      ruleSet,
      changes: delta.changes,
      warnings: problems,
      deltaBytes: changed ? await this.#options.encoder.encodeDelta(delta) : new Uint8Array(0),
      changed,
    };
  }

  /** The newest release that was proved and is not here, unless an epoch above it is open. */
  get behind(): ReleaseIdentity | undefined {
    const key = this.#options.store.behind;
    return key === undefined || key[0] < this.#epoch ? undefined : { epoch: key[0], version: key[1] };
  }

  /** Notes a release that was proved and is not here; returns whether that is news. Throws StoreError. */
  noteBehind({ epoch, version }: ReleaseIdentity): boolean {
    const { behind } = this;
    if (epoch < this.#epoch || (behind !== undefined && compareRelease(behind, { epoch, version }) >= 0))
      return false;
    this.#options.store.noteBehind([epoch, version]);
    return true;
  }

  /** Throws BehindError where a release would be given a number that may have been given before. */
  checkNotBehind(): void {
    const { behind } = this;
    if (behind === undefined) return;
    const { epoch, version } = this.#current?.manifest ?? { epoch: 0, version: 0 };
    const head = version === 0 ? 'nothing' : `${epoch}/${version}`;
    throw new BehindError(
      `a subscriber proved release ${behind.epoch}/${behind.version} and this publisher has ${head}: its state is older than what it released. Stop it and restore the newer state, or go on from here above all that was released: rulectl push --as-new-epoch FILE, or rulectl rollback --as-new-epoch VERSION`,
    );
  }

  /** Like `commit`, in a new epoch, also where nothing changes. */
  async commitInNewEpoch(draft: ReleaseDraft, origin: Origin): Promise<Release> {
    const before = this.#epoch;
    this.#epoch = Math.max(before, this.#options.store.behind?.[0] ?? 0) + 1;
    try {
      return await this.commit(draft, origin);
    } catch (error) {
      this.#epoch = before; // the next request tries again
      throw error;
    }
  }

  /**
   * Makes a draft the next release; resolves when it is on disk. A draft without changes makes one in a new
   * epoch only. Throws BehindError, and StoreError; then the head is what it was.
   */
  async commit(draft: ReleaseDraft, origin: Origin): Promise<Release> {
    this.checkNotBehind();
    const { store, identity, encoder } = this.#options;
    const manifest = this.#nextManifest(draft.ruleSet);
    const manifestBytes = encodeManifest(manifest);
    const release: Release = {
      ruleSet: draft.ruleSet,
      manifest,
      manifestBytes,
      signature: signManifest(manifestBytes, identity.privateKey),
      hash: manifestHash(manifestBytes),
    };
    const delta = draft.changed ? draft.deltaBytes : encodeDelta({ changes: [] });
    await store.commit(release, delta, notesOf(draft, origin), () => encoder.encodeSnapshot(draft.ruleSet));
    this.#current = release;
    return release;
  }

  #nextManifest(ruleSet: RuleSet): Manifest {
    const { identity, nowMs } = this.#options;
    const previous = this.#current?.manifest;
    const isFirst = previous?.epoch !== this.#epoch; // of its epoch
    const next = {
      lineage: identity.lineage,
      epoch: this.#epoch,
      version: (previous?.version ?? 0) + 1,
      previousVersion: isFirst ? 0 : previous.version,
      createdAtMs: nowMs(),
    };
    return manifestFor(ruleSet, next, previous);
  }
}

function notesOf({ changes }: ReleaseDraft, { cause, detail }: Origin): ReleaseNotes {
  let added = 0;
  let removed = 0;
  for (const change of changes) {
    added += change.addedCount;
    removed += change.removedCount;
  }
  return {
    cause,
    detail: boundText(detail),
    changedParts: changes.slice(0, CHANGED_PARTS_SHOWN_MAX).map(partText),
    changedCount: changes.length,
    added,
    removed,
  };
}

/**
 * Throws ProtocolError `over-limit` for a release that no kernel would be given. It is counted here, whatever
 * subscribers say of themselves.
 */
async function checkFirewallLoad(ruleSet: RuleSet, turn: Turn): Promise<void> {
  const { chains, rules } = await loadOf(ruleSet, turn);
  if (chains <= FIREWALL_CHAINS_MAX && rules <= FIREWALL_RULES_MAX) return;
  throw new ProtocolError(
    ErrorCode.overLimit,
    `a firewall would need ${chains} chains and ${rules} rules for this; the most is ${FIREWALL_CHAINS_MAX} and ${FIREWALL_RULES_MAX}: gather destinations in lists, or use fewer combinations of ports`,
  );
}

/**
 * Counted piece by piece, each in a turn of the event loop of its own: 2^18 rules take 0.2 s, and as long to
 * copy to a thread.
 */
async function loadOf(ruleSet: RuleSet, turn: Turn): Promise<FirewallLoad> {
  const pieces = firewallLoad(ruleSet);
  try {
    for (;;) {
      const { done, value } = pieces.next();
      if (done === true) return value;
      await turn();
    }
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new ProtocolError(ErrorCode.overLimit, cause.message, { cause });
  }
}

/** Throws ProtocolError `over-limit` for a release that could not be encoded, or loaded again. */
function checkLimits(manifest: Manifest, ruleSet: RuleSet): void {
  try {
    encodeManifest(manifest);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new ProtocolError(ErrorCode.overLimit, cause.message, { cause });
  }
  let entries = 0;
  for (const part of manifest.parts) entries += part.count;
  if (entries > ENTRIES_MAX) {
    throw new ProtocolError(ErrorCode.overLimit, `${entries} entries and rules; the most is ${ENTRIES_MAX}`);
  }
  const uncounted = uncountedIn(ruleSet);
  if (uncounted > UNCOUNTED_MAX) {
    const text = `${uncounted} prefixes of policies and addresses of names; the most is ${UNCOUNTED_MAX}`;
    throw new ProtocolError(ErrorCode.overLimit, text);
  }
}
