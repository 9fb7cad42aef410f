/**
 * What is in force, and how that changes: by a release, by an environment that changed, by a restart. It has
 * the steps of commit.ts, which has their order; one change is made after the other.
 *
 * A mark that cannot be written leaves the release in force and says that it was not persisted. A chain of
 * release files that has grown heavy becomes one snapshot later, when nobody waits for it. docs/design.md
 * "The subscriber".
 */

import {
  compareRelease,
  ErrorCode,
  entriesIn,
  type Manifest,
  ProtocolError,
  type SteadyClock,
  type Turn,
} from '@rulecast/protocol';
import {
  EMPTY_RULE_SET,
  type Environment,
  type ListChanges,
  type RuleSet,
  saysAnything,
} from '@rulecast/rules';
import type { Prepared, Table } from '@rulecast/table';
import type { ActiveMark, StateDirectory, StoredRelease } from '../state/state.ts';
import type { Claim, Verified } from '../verify/verify.ts';
import {
  type Candidate,
  type CommitFigures,
  type CommitSteps,
  commitRelease,
  RefusedError,
} from './commit.ts';
import type { Keyring } from './keyring.ts';
import { checkGranted, Floor, markOf, type VerifiedOffer, verifySigned } from './offer.ts';
import { findRestorable } from './restore.ts';
import type { Sink } from './sink.ts';

/** A release in force. */
export interface ActiveRelease {
  readonly hash: Uint8Array;
  readonly manifest: Manifest;
  readonly manifestBytes: Uint8Array;
  readonly signatures: Uint8Array;
  readonly ruleSet: RuleSet;
  /** Whether a restart will find it. */
  readonly persisted: boolean;
  /** Milliseconds since 1970, by this side's clock. */
  readonly appliedAtMs: number;
}

/** How long the steps took, in milliseconds. */
export interface ApplyReport extends CommitFigures {
  readonly release: ActiveRelease;
}

/** Verifies and encodes, in whatever thread; `Verifier` has one. One call at a time. */
export interface ReleaseVerifier {
  /** A release is about to come: makes ready what it will take. */
  expect(manifest: Manifest, base: Manifest | undefined): void;
  /** Rejects as `verify` of verify/verify.ts throws. */
  verify(claim: Claim): Promise<Verified>;
  /** A whole release as a stream that starts from nothing. */
  snapshot(ruleSet: RuleSet): Promise<Uint8Array>;
  /** Waits for what is under way. */
  close(): Promise<void>;
}

export interface ActivatorOptions {
  readonly keyring: Keyring;
  readonly table: Table;
  readonly state: StateDirectory | undefined;
  readonly sink: Sink | undefined;
  readonly verifier: ReleaseVerifier;
  /** What is enforced before the first release, and with every release that decides nothing. */
  readonly boot: RuleSet;
  /** What is enforced in place of every release while it is shut, from the start on; undefined: never. */
  readonly shut: RuleSet | undefined;
  /** Most entries and rules of a release. */
  readonly entriesMax: number;
  /** For a release that was made at that time, in milliseconds since 1970. */
  readonly environment: (madeAtMs: number) => Environment;
  readonly nowMs: () => number;
  readonly clock: Pick<SteadyClock, 'monotonicMs'>;
  readonly turn: Turn;
  /** Called with what went wrong after the flip, where nothing can be refused any more. */
  readonly onUnpersisted: (error: unknown) => void;
  /** Called with a sentence about state that is damaged. */
  readonly onDamage: (text: string) => void;
  /** Called with what kept the release files from becoming one; they are as good as before. */
  readonly onUncompacted: (error: unknown) => void;
}

export class Activator {
  active: ActiveRelease | undefined;
  /** What the table in force was compiled for. */
  compiledFor: Environment = { now: 0, dns: [] };
  readonly #floor: Floor;
  readonly #verifier: ReleaseVerifier;
  #turn: Promise<unknown> = Promise.resolve(); // the last that was asked for, see inTurn
  #compacting: Promise<void> | undefined;
  readonly #options: ActivatorOptions;
  #isShut = true; // where that may be
  readonly #steps: CommitSteps = {
    verify: (candidate, draft) => this.#verifiedAndDrafted(candidate, draft),
    encode: ({ ruleSet }) => this.#verifier.snapshot(ruleSet),
    prepare: (offer, verified, stored) => this.#preparedAndWritten(offer, verified, stored),
    commit: async () => this.#options.sink?.commit(),
    undo: async ({ hash }) => {
      await this.#options.sink?.discard();
      this.#options.state?.dropCandidate(hash);
    },
    flip: (offer, { ruleSet }, prepared) => this.#putInForce(offer, ruleSet, prepared),
    mark: (stored) => this.#markActive(stored),
  };

  constructor(options: ActivatorOptions) {
    this.#options = options;
    this.#verifier = options.verifier;
    this.#floor = new Floor(options.keyring.trust, (signed) => options.keyring.isReleased(signed));
  }

  /** The newest release that ever was in force, if who released it still may. */
  get floor(): ActiveMark | undefined {
    return this.#floor.standing;
  }

  /** Checks an offered manifest before anything of it is wanted. Throws ProtocolError. */
  verifyOffer(manifestBytes: Uint8Array, signatures: Uint8Array): VerifiedOffer {
    const { entriesMax, keyring } = this.#options;
    const { lineage } = keyring.trust;
    const offer = verifySigned(manifestBytes, signatures, lineage, (signed) => keyring.isReleased(signed));
    const { manifest } = offer;
    checkGranted(manifest.epoch, keyring.root);
    this.#floor.check(offer);
    const entries = entriesIn(manifest);
    if (entries > entriesMax) {
      const reason = `the release has ${entries} entries and rules; this subscriber takes ${entriesMax} at most`;
      throw new ProtocolError(ErrorCode.overLimit, reason);
    }
    return offer;
  }

  /** That release is wanted: what it will take to verify it is made ready. */
  expect({ manifest }: VerifiedOffer): void {
    const base = this.active?.manifest;
    this.#verifier.expect(manifest, base);
    this.#options.table.expect(entriesIn(manifest) - (base === undefined ? 0 : entriesIn(base)));
  }

  /**
   * Puts a candidate in force. Throws RefusedError; then what was in force is in force, in table, sink and
   * state alike.
   */
  apply(candidate: Candidate): Promise<ApplyReport> {
    return this.#inTurn(() => this.#applyNow(candidate));
  }

  /** Compiles what is in force anew for a changed environment: a new generation, no new version. */
  refresh(): Promise<void> {
    return this.#inTurn(() => this.#refreshNow());
  }

  /**
   * Enforces what is shut in place of what is in force, or that again: a new generation, no new version.
   * Rejects as `refresh`.
   */
  shut(isShut: boolean): Promise<void> {
    return this.#inTurn(() => {
      this.#isShut = isShut;
      return this.#refreshNow();
    });
  }

  /** Resolves when nothing is being put in force or written; ends what runs beside. Apply no more. */
  async close(): Promise<void> {
    await this.#turn;
    await this.#compacting;
    await this.#options.state?.settled();
    await this.#verifier.close();
  }

  /**
   * One after the other: the table and the sink hold one prepared generation, which nobody else may replace
   * before its flip.
   */
  #inTurn<T>(step: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(step);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  async #applyNow(candidate: Candidate): Promise<ApplyReport> {
    const { state } = this.#options;
    // Else there is no chain of files that the stream can go on.
    const isChained = this.active?.persisted === true && state?.isChainFull === false;
    const keepsStream = state === undefined || candidate.base === undefined || isChained;
    const { isPersisted, ...figures } = await commitRelease(candidate, keepsStream, this.#steps);
    if (this.active === undefined) throw new Error('a commit put nothing in force');
    this.active = { ...this.active, persisted: isPersisted };
    if (isPersisted) this.#compactLater();
    return { ...figures, release: this.active };
  }

  /** Neither waits for the other; the flush is under way when verifying takes this thread. */
  async #verifiedAndDrafted(
    candidate: Candidate,
    draft: StoredRelease | undefined,
  ): ReturnType<CommitSteps['verify']> {
    const { state, turn } = this.#options;
    const drafting = draft && state?.draft(draft);
    const verifying = turn().then(() => this.#timed(() => this.#verified(candidate)));
    const [verified, drafted] = await Promise.allSettled([verifying, drafting]);
    if (verified.status === 'fulfilled' && drafted.status === 'fulfilled') {
      const [made, verifyMs] = verified.value;
      return { ...made, verifyMs };
    }
    state?.dropCandidate(candidate.offer.hash);
    throw [verified, drafted].flatMap((one) => (one.status === 'rejected' ? [one.reason] : []))[0];
  }

  /** Likewise. */
  async #preparedAndWritten(
    offer: VerifiedOffer,
    { ruleSet, changes }: Verified,
    stored: StoredRelease,
  ): ReturnType<CommitSteps['prepare']> {
    const { state, turn } = this.#options;
    const writing = state?.writeCandidate(stored);
    const preparing = turn().then(() =>
      this.#timed(() => this.#prepare(offer.hash, offer.manifest, ruleSet, changes)),
    );
    const [made, written] = await Promise.allSettled([preparing, writing]);
    if (made.status === 'rejected') throw made.reason;
    if (written.status === 'rejected') throw written.reason;
    const [prepared, compileMs] = made.value;
    return { prepared, compileMs };
  }

  async #timed<T>(work: () => Promise<T>): Promise<readonly [T, number]> {
    const { clock } = this.#options;
    const sinceMs = clock.monotonicMs();
    const made = await work();
    return [made, clock.monotonicMs() - sinceMs];
  }

  /** From here on lookups are answered by it, so it is said to be in force, though not yet marked on disk. */
  #putInForce(
    offer: VerifiedOffer,
    ruleSet: RuleSet,
    prepared: Prepared,
  ): Pick<CommitFigures, 'generation' | 'flipMs'> {
    const { clock, nowMs } = this.#options;
    const sinceMs = clock.monotonicMs();
    const generation = this.#flip(prepared);
    this.#floor.mark = markOf(offer);
    this.active = { ...offer, ruleSet, persisted: false, appliedAtMs: nowMs() };
    return { generation, flipMs: clock.monotonicMs() - sinceMs };
  }

  async #verified({ base, stream, offer }: Candidate): Promise<Verified> {
    const from = base === undefined ? EMPTY_RULE_SET : this.active?.ruleSet;
    if (from === undefined || (base !== undefined && !this.#isActive(base))) {
      const reason = 'the transfer starts from a release that is not in force here';
      throw new ProtocolError(ErrorCode.badBase, reason);
    }
    const { manifestBytes } = offer;
    return this.#verifier.verify({ base: from, stream, manifestBytes, entriesMax: this.#options.entriesMax });
  }

  #isActive(hash: Uint8Array): boolean {
    return this.active !== undefined && Buffer.from(this.active.hash).equals(hash);
  }

  /**
   * Replaces a heavy chain of release files by one snapshot, beside everything else. What fails leaves the
   * chain.
   */
  #compactLater(): void {
    const { state } = this.#options;
    if (state === undefined || this.active === undefined || this.#compacting !== undefined) return;
    if (!state.isChainHeavy(entriesIn(this.active.manifest))) return;
    this.#compacting = this.#compact(state)
      .catch(this.#options.onUncompacted)
      .finally(() => {
        this.#compacting = undefined;
      });
  }

  async #compact(state: StateDirectory): Promise<void> {
    const { active } = this;
    if (active === undefined) return;
    const { hash, manifestBytes, signatures } = active;
    const stream = await this.#verifier.snapshot(active.ruleSet);
    await this.#inTurn(async () => {
      if (this.active !== active) return; // its successor has a chain of its own, and will see to it
      await state.compact({ hash, base: undefined, manifestBytes, signatures, stream });
    });
  }

  async #markActive(stored: StoredRelease): Promise<boolean> {
    if (this.#options.state === undefined) return false;
    try {
      await this.#options.state.markActive(stored);
      return true;
    } catch (error) {
      this.#options.onUnpersisted(error);
      return false;
    }
  }

  /**
   * Puts in force what the state directory marks active, after verifying it like something received; where
   * that is damaged in both places, the newest release before it that is whole. Resolves to undefined where
   * there is nothing. Throws StateError, ProtocolError or RefusedError; the floor is kept even then.
   */
  async restore(): Promise<ActiveRelease | undefined> {
    const { state, keyring, onDamage } = this.#options;
    if (state === undefined) return undefined;
    const restorable = findRestorable(state, keyring, this.#floor);
    if (restorable === undefined) return undefined;
    const { mark, newest, offer, ruleSet } = restorable;
    await this.#enforce(offer.hash, offer.manifest, ruleSet);
    this.active = { ...offer, ruleSet, persisted: true, appliedAtMs: this.#options.nowMs() };
    if (compareRelease(mark, newest) < 0) {
      const [held, lost] = [mark, newest].map(({ epoch, version }) => `${epoch}/${version}`);
      onDamage(
        `release ${lost}, the newest that was in force, is damaged in both places: ${held} is in force until ${lost} or a newer one comes`,
      );
    }
    state.heal(newest);
    return this.active;
  }

  async #refreshNow(): Promise<void> {
    if (this.active === undefined) return;
    const { hash, manifest, ruleSet } = this.active;
    await this.#enforce(hash, manifest, ruleSet);
  }

  /** Puts in force what was verified and stored before. Throws RefusedError; then nothing changed. */
  async #enforce(hash: Uint8Array, manifest: Manifest, ruleSet: RuleSet): Promise<void> {
    const { sink } = this.#options;
    try {
      const prepared = await this.#prepare(hash, manifest, ruleSet);
      await sink?.commit();
      this.#flip(prepared);
    } catch (cause) {
      await sink?.discard();
      throw cause instanceof RefusedError ? cause : new RefusedError(ErrorCode.sinkFailed, 'host', cause);
    }
  }

  /**
   * Compiles beside the table in force, without holding up the event loop, while the sink makes ready what it
   * will enforce; waits for both. `changes` says what lists gained and lost, where that is known. Rejects
   * with RefusedError where the table cannot be compiled, and else as the sink does.
   */
  async #prepare(
    hash: Uint8Array,
    { createdAtMs }: Manifest,
    ruleSet: RuleSet,
    changes?: ListChanges,
  ): Promise<Prepared> {
    const { environment: at, sink, table, turn } = this.#options;
    const [environment, enforced] = [at(createdAtMs), this.#enforcedFor(ruleSet)];
    const compiling = table.prepareAsync(enforced, environment, changes).catch((cause: unknown) => {
      throw new RefusedError(ErrorCode.compileFailed, 'host', cause);
    });
    const release = { hash, ruleSet: enforced, environment, ...(changes && { changes }) };
    const making = sink && turn().then(() => sink.prepare(release)); // each a stretch of this thread's
    const [compiled, ready] = await Promise.allSettled([compiling, making]);
    if (compiled.status === 'rejected') throw compiled.reason;
    if (ready.status === 'rejected') throw ready.reason;
    return compiled.value;
  }

  /** A release of lists alone must not open what the boot mode closes. */
  #enforcedFor(ruleSet: RuleSet): RuleSet {
    const { boot, shut } = this.#options;
    if (shut !== undefined && this.#isShut) return shut;
    return saysAnything(ruleSet) ? ruleSet : boot;
  }

  #flip(prepared: Prepared): number {
    this.compiledFor = prepared.environment;
    return this.#options.table.flip(prepared);
  }
}
