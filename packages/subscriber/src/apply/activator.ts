/**
 * The commit order: from received bytes to a release in force, or to the last good one kept.
 *
 *   verify ─▶ compile ─▶ sink.prepare ─▶ write candidate ─▶ sink.commit ─▶ flip ─▶ mark active    … ─▶ compact
 *
 * Everything before the flip may fail and then changes nothing; the flip cannot fail; a mark that cannot be
 * written leaves the release in force and says that it was not persisted. A chain of release files that has
 * grown heavy becomes one snapshot later, when nobody waits for it. docs/design.md "The subscriber".
 */

import {
  compareRelease,
  ErrorCode,
  type Manifest,
  ProtocolError,
  type SteadyClock,
  type Trust,
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
import { type ActiveMark, type StateDirectory, StateError, type StoredRelease } from '../state/state.ts';
import { type Claim, SignedFault, type Verified } from '../verify/verify.ts';
import { Floor, markOf, type VerifiedOffer, verifySigned } from './offer.ts';
import { findRestorable } from './restore.ts';
import type { Sink } from './sink.ts';

/** A release in force. */
export interface ActiveRelease {
  readonly hash: Uint8Array;
  readonly manifest: Manifest;
  readonly manifestBytes: Uint8Array;
  readonly signature: Uint8Array;
  readonly ruleSet: RuleSet;
  /** Whether a restart will find it. */
  readonly persisted: boolean;
  /** Milliseconds since 1970, by this side's clock. */
  readonly appliedAtMs: number;
}

/** A release whose signature holds, with the stream that makes it. */
export interface Candidate {
  readonly offer: VerifiedOffer;
  readonly base: Uint8Array | undefined;
  readonly stream: Uint8Array;
}

/** How long the steps took, in milliseconds. */
export interface ApplyReport {
  readonly release: ActiveRelease;
  readonly verifyMs: number;
  readonly compileMs: number;
  readonly flipMs: number;
  readonly generation: number;
}

/**
 * Whose fault it is that a release is not in force: what the key signed cannot be taken, which is so for
 * good; the stream that came does not make it; or this host cannot.
 */
export type Blame = 'signed' | 'stream' | 'host';

/** Why a release was refused; what was in force still is. */
export class RefusedError extends Error {
  readonly code: ErrorCode;
  readonly blame: Blame;
  readonly part: string | undefined;
  readonly entry: number | undefined;

  constructor(code: ErrorCode, blame: Blame, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.code = code;
    this.blame = blame;
    this.part = cause instanceof ProtocolError ? cause.part : undefined;
    this.entry = cause instanceof ProtocolError ? cause.entry : undefined;
  }
}

/** Verifies and encodes, in whatever thread; `Verifier` has one. One call at a time. */
export interface ReleaseVerifier {
  /** A release is about to come: makes ready what it will take. */
  expect(manifest: Manifest, base: Pick<ActiveRelease, 'manifest' | 'ruleSet'> | undefined): void;
  /** Rejects as `verify` of verify/verify.ts throws. */
  verify(claim: Claim): Promise<Verified>;
  /** A whole release as a stream that starts from nothing. */
  snapshot(ruleSet: RuleSet): Promise<Uint8Array>;
  /** Waits for what is under way. */
  close(): Promise<void>;
}

export interface ActivatorOptions {
  readonly trust: Trust;
  readonly table: Table;
  readonly state: StateDirectory | undefined;
  readonly sink: Sink | undefined;
  readonly verifier: ReleaseVerifier;
  /** What is enforced before the first release, and with every release that decides nothing. */
  readonly boot: RuleSet;
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

  constructor(options: ActivatorOptions) {
    this.#options = options;
    this.#verifier = options.verifier;
    this.#floor = new Floor(options.trust);
  }

  /** Checks an offered manifest before anything of it is wanted. Throws ProtocolError. */
  verifyOffer(manifestBytes: Uint8Array, signature: Uint8Array): VerifiedOffer {
    const { entriesMax, trust } = this.#options;
    const offer = verifySigned(manifestBytes, signature, trust);
    const { manifest } = offer;
    this.#floor.check(offer);
    const entries = entriesOf(manifest);
    if (entries > entriesMax) {
      const reason = `the release has ${entries} entries and rules; this subscriber takes ${entriesMax} at most`;
      throw new ProtocolError(ErrorCode.overLimit, reason);
    }
    return offer;
  }

  /** That release is wanted: what it will take to verify it is made ready. */
  expect({ manifest }: VerifiedOffer): void {
    this.#verifier.expect(manifest, this.active);
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
    const { sink, state, clock } = this.#options;
    const { offer } = candidate;
    const startMs = clock.monotonicMs();
    const { ruleSet, changes } = await this.#verified(candidate);
    const verifiedMs = clock.monotonicMs();
    await this.#options.turn(); // what is verified and compiled in place are two stretches, not one
    const environment = this.#options.environment(offer.manifest.createdAtMs);
    const enforced = this.#enforcedFor(ruleSet);
    const prepared = await this.#prepare(enforced, environment, changes);
    const compiledMs = clock.monotonicMs();
    const stored = await this.#storedForm(candidate, ruleSet);
    try {
      await sink?.prepare({ hash: offer.hash, ruleSet: enforced, environment, changes });
      await state?.writeCandidate(stored);
      await sink?.commit();
    } catch (cause) {
      await sink?.discard();
      state?.dropCandidate(offer.hash);
      const code = cause instanceof StateError ? ErrorCode.storageFailed : ErrorCode.sinkFailed;
      throw new RefusedError(code, 'host', cause);
    }
    const flippingMs = clock.monotonicMs();
    const generation = this.#flip(prepared);
    const flippedMs = clock.monotonicMs();
    const mark = markOf(offer);
    this.#floor.rise(mark);
    const persisted = await this.#markActive(stored, mark);
    this.active = { ...offer, ruleSet, persisted, appliedAtMs: this.#options.nowMs() };
    if (persisted) this.#compactLater();
    return {
      release: this.active,
      verifyMs: verifiedMs - startMs,
      compileMs: compiledMs - verifiedMs,
      flipMs: flippedMs - flippingMs,
      generation,
    };
  }

  async #verified(candidate: Candidate): Promise<Verified> {
    try {
      const base = candidate.base === undefined ? EMPTY_RULE_SET : this.active?.ruleSet;
      if (base === undefined || (candidate.base !== undefined && !this.#isActive(candidate.base))) {
        throw new ProtocolError(
          ErrorCode.badBase,
          'the transfer starts from a release that is not in force here',
        );
      }
      const { manifestBytes } = candidate.offer;
      const { entriesMax } = this.#options;
      return await this.#verifier.verify({ base, stream: candidate.stream, manifestBytes, entriesMax });
    } catch (cause) {
      if (cause instanceof SignedFault) throw new RefusedError(cause.code, 'signed', cause);
      if (cause instanceof ProtocolError) throw new RefusedError(cause.code, 'stream', cause);
      // What was signed fits: a stream that takes more is at fault, and so is one that ends the thread in
      // whatever other way.
      const code = cause instanceof RangeError ? ErrorCode.outOfMemory : ErrorCode.internal;
      throw new RefusedError(code, 'stream', cause);
    }
  }

  #isActive(hash: Uint8Array): boolean {
    return this.active !== undefined && Buffer.from(this.active.hash).equals(hash);
  }

  /**
   * What goes to disk: the stream as it came, or a snapshot where there is no chain of files that it can go
   * on.
   */
  async #storedForm(candidate: Candidate, ruleSet: RuleSet): Promise<StoredRelease> {
    const { hash, manifestBytes, signature } = candidate.offer;
    const { state } = this.#options;
    const unstored = this.active?.persisted !== true; // the base has no file to build on
    const asSnapshot = state !== undefined && candidate.base !== undefined && (unstored || state.isChainFull);
    return asSnapshot
      ? { hash, manifestBytes, signature, base: undefined, stream: await this.#verifier.snapshot(ruleSet) }
      : { hash, manifestBytes, signature, base: candidate.base, stream: candidate.stream };
  }

  /**
   * Replaces a heavy chain of release files by one snapshot, beside everything else. What fails leaves the
   * chain.
   */
  #compactLater(): void {
    const { state } = this.#options;
    if (state === undefined || this.active === undefined || this.#compacting !== undefined) return;
    if (!state.isChainHeavy(entriesOf(this.active.manifest))) return;
    this.#compacting = this.#compact(state)
      .catch(this.#options.onUncompacted)
      .finally(() => {
        this.#compacting = undefined;
      });
  }

  async #compact(state: StateDirectory): Promise<void> {
    const { active } = this;
    if (active === undefined) return;
    const { hash, manifestBytes, signature } = active;
    const stream = await this.#verifier.snapshot(active.ruleSet);
    await this.#inTurn(async () => {
      if (this.active !== active) return; // its successor has a chain of its own, and will see to it
      await state.compact({ hash, base: undefined, manifestBytes, signature, stream });
    });
  }

  async #markActive(stored: StoredRelease, mark: ActiveMark): Promise<boolean> {
    if (this.#options.state === undefined) return false;
    try {
      await this.#options.state.markActive(stored, mark);
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
    const { state, trust, onDamage } = this.#options;
    if (state === undefined) return undefined;
    const restorable = findRestorable(state, trust, this.#floor);
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
  async #enforce(hash: Uint8Array, { createdAtMs }: Manifest, ruleSet: RuleSet): Promise<void> {
    const { sink } = this.#options;
    const environment = this.#options.environment(createdAtMs);
    const enforced = this.#enforcedFor(ruleSet);
    const prepared = await this.#prepare(enforced, environment);
    try {
      await sink?.prepare({ hash, ruleSet: enforced, environment });
      await sink?.commit();
    } catch (cause) {
      await sink?.discard();
      throw new RefusedError(ErrorCode.sinkFailed, 'host', cause);
    }
    this.#flip(prepared);
  }

  /**
   * Compiles beside the table in force, without holding up the event loop. `changes` says what lists gained
   * and lost, where that is known. Throws RefusedError.
   */
  async #prepare(ruleSet: RuleSet, environment: Environment, changes?: ListChanges): Promise<Prepared> {
    try {
      return await this.#options.table.prepareAsync(ruleSet, environment, changes);
    } catch (cause) {
      throw new RefusedError(ErrorCode.compileFailed, 'host', cause);
    }
  }

  /** A release of lists alone must not open what the boot mode closes. */
  #enforcedFor(ruleSet: RuleSet): RuleSet {
    return saysAnything(ruleSet) ? ruleSet : this.#options.boot;
  }

  #flip(prepared: Prepared): number {
    this.compiledFor = prepared.environment;
    return this.#options.table.flip(prepared);
  }
}

/** Entries and rules of all parts. */
function entriesOf({ parts }: Manifest): number {
  return parts.reduce((sum, { count }) => sum + count, 0);
}
