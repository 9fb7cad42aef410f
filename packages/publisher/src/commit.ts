/**
 * From a rule set to the next release: diff by content with the head, guards, digests, signature, store. Nobody hears
 * of a release before it is on disk.
 */

import { setImmediate } from 'node:timers/promises';
import {
  boundText,
  CHANGED_PARTS_SHOWN_MAX,
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
} from '@rulecast/protocol';
import { checkRuleSet, EMPTY_RULE_SET, type RuleSet, type RuleSetProblem } from '@rulecast/rules';
import type { Identity } from './identity.ts';
import type { Release, ReleaseNotes, Store } from './store.ts';

/** What made a release. */
export interface Origin {
  readonly cause: ReleaseCause;
  /** More about it, for people; cut at 512 bytes. */
  readonly detail: string;
}

/** What would become of a rule set, before anything is written. */
export interface Plan {
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

/** What encodes; a workshop does it off the event loop. Both throw ProtocolError `over-limit`. */
export interface Encoder {
  encodeDelta(delta: RuleSetDelta): Promise<Uint8Array>;
  encodeSnapshot(ruleSet: RuleSet): Promise<Uint8Array>;
}

export interface CommitterOptions {
  readonly store: Store;
  readonly encoder: Encoder;
  readonly identity: Identity;
  /** Milliseconds since 1970. */
  readonly nowMs: () => number;
}

export class Committer {
  private current: Release | undefined;
  /** Of the next release. */
  private epoch: number;
  private readonly options: CommitterOptions;

  /** Loads the head from the store. Throws StoreError. */
  constructor(options: CommitterOptions) {
    this.options = options;
    this.current = options.store.load(options.identity);
    this.epoch = this.current?.manifest.epoch ?? 1;
  }

  /** The newest release; undefined before the first. */
  get head(): Release | undefined {
    return this.current;
  }

  get ruleSet(): RuleSet {
    return this.current?.ruleSet ?? EMPTY_RULE_SET;
  }

  /**
   * What committing a rule set would do. Throws GuardError where it may not be released, and ProtocolError `over-limit`
   * where no manifest or no subscriber can hold it. Each step takes milliseconds at a million entries, and has a turn of the
   * event loop of its own.
   */
  async plan(ruleSet: RuleSet): Promise<Plan> {
    const problems = checkRuleSet(ruleSet);
    const fault = problems.find((problem) => problem.severity === 'fault');
    if (fault !== undefined) throw new GuardError(fault);
    await setImmediate();
    const delta: RuleSetDelta = diffRuleSets(this.ruleSet, ruleSet);
    const changed = delta.changes.length > 0;
    await setImmediate();
    if (changed) checkLimits(this.nextManifest(ruleSet));
    return {
      ruleSet,
      changes: delta.changes,
      warnings: problems,
      deltaBytes: changed ? await this.options.encoder.encodeDelta(delta) : new Uint8Array(0),
      changed,
    };
  }

  /**
   * Makes a plan the next release; resolves when it is on disk. A plan without changes makes one in a new epoch only.
   * Throws StoreError; then the head is what it was.
   */
  async commit(plan: Plan, origin: Origin): Promise<Release> {
    const { store, identity, encoder } = this.options;
    const manifest = this.nextManifest(plan.ruleSet);
    const manifestBytes = encodeManifest(manifest);
    const release: Release = {
      ruleSet: plan.ruleSet,
      manifest,
      manifestBytes,
      signature: signManifest(manifestBytes, identity.privateKey),
      hash: manifestHash(manifestBytes),
    };
    const delta = plan.changed ? plan.deltaBytes : encodeDelta({ changes: [] });
    await store.commit(release, delta, notesOf(plan, origin), () => encoder.encodeSnapshot(plan.ruleSet));
    this.current = release;
    return release;
  }

  private nextManifest(ruleSet: RuleSet): Manifest {
    const { identity, nowMs } = this.options;
    const previous = this.current?.manifest;
    const isFirst = previous?.epoch !== this.epoch; // of its epoch
    const next = {
      lineage: identity.lineage,
      epoch: this.epoch,
      version: (previous?.version ?? 0) + 1,
      previousVersion: isFirst ? 0 : previous.version,
      createdAtMs: nowMs(),
    };
    return manifestFor(ruleSet, next, previous);
  }

  /**
   * Opens an epoch above a release that a subscriber proved to know, and releases the head's content in it, above
   * everything that was ever signed. Undefined where there is no head (the next release opens the epoch) or the
   * epoch is open already.
   */
  async openEpochAbove(known: Manifest): Promise<Release | undefined> {
    if (known.epoch < this.epoch) return undefined;
    const before = this.epoch;
    this.epoch = known.epoch + 1;
    if (this.current === undefined) return undefined;
    try {
      return await this.commit(await this.plan(this.ruleSet), {
        cause: 'epoch',
        detail: `a subscriber proved release ${known.epoch}/${known.version}`,
      });
    } catch (error) {
      this.epoch = before; // the next proof tries again
      throw error;
    }
  }
}

function notesOf({ changes }: Plan, { cause, detail }: Origin): ReleaseNotes {
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

/** Throws ProtocolError `over-limit` for a release that could not be encoded, or loaded again. */
function checkLimits(manifest: Manifest): void {
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
}
