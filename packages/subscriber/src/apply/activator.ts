/**
 * Keeps the release in force, and replaces it: by a new release, for a changed environment, or after a
 * restart. It implements the steps of commit.ts, which has their order; changes are made one at a time.
 *
 * If the mark cannot be written, the release stays in force and is reported as not persisted. A heavy chain
 * of release files is replaced by one snapshot later, when nothing waits for it. docs/explain/design.md "The
 * subscriber".
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
import type { Environment } from '@rulecast/rules';
import { flipTable } from '@rulecast/table';
import { type Content, verifyErrorOf } from '../content/content.ts';
import type { Compiled, ContentQuestions, ReleaseFacts } from '../content/messages.ts';
import type { ActiveMark, StateDirectory, StoredRelease } from '../state/state.ts';
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
  readonly facts: ReleaseFacts;
  /** Whether a restart will find it. */
  readonly persisted: boolean;
  /** Milliseconds since 1970, by this side's clock. */
  readonly appliedAtMs: number;
}

/** An applied release, and how long each step took, in milliseconds. */
export interface ApplyReport extends CommitFigures {
  readonly release: ActiveRelease;
}

export interface ActivatorOptions {
  readonly keyring: Keyring;
  readonly content: Content;
  readonly state: StateDirectory | undefined;
  readonly sink: Sink | undefined;
  /** Whether `shut` may close the firewall; this holds from the start. */
  readonly mayShut: boolean;
  /** Most entries and rules of a release. */
  readonly entriesMax: number;
  /** For a release that was made at that time, in milliseconds since 1970. */
  readonly environment: (madeAtMs: number) => Environment;
  readonly nowMs: () => number;
  readonly clock: Pick<SteadyClock, 'monotonicMs'>;
  readonly turn: Turn;
  /** Called with an error after the flip, when nothing can be refused any more. */
  readonly onUnpersisted: (error: unknown) => void;
  /** Called with a sentence about state that is damaged. */
  readonly onDamage: (text: string) => void;
  /** Called with what kept the release files from becoming one; they are as good as before. */
  readonly onUncompacted: (error: unknown) => void;
}

/**
 * So many streams that are not on disk are replaced by one snapshot, about as large as many small ones. Our
 * choice.
 */
const KEPT_STREAMS_MAX = 64;

export class Activator {
  active: ActiveRelease | undefined;
  /** The environment that the table in force was compiled for. */
  compiledFor: Environment = { now: 0, dns: [] };
  /** Generation of the table in force. */
  generation = 0;
  #preparedFor: Environment = this.compiledFor;
  /** The release that is being put in force. */
  #candidate: Candidate | undefined;
  readonly #floor: Floor;
  #turn: Promise<unknown> = Promise.resolve(); // the last that was asked for, see inTurn
  #compacting: Promise<void> | undefined;
  readonly #options: ActivatorOptions;
  /** The streams that rebuild the release in force, on top of a release on disk or of nothing. */
  #kept: { readonly from: Uint8Array | undefined; readonly streams: readonly Uint8Array[] } = {
    from: undefined,
    streams: [],
  };
  #isShut: boolean;
  readonly #steps: CommitSteps = {
    verify: (candidate, draft) => this.#verifiedAndDrafted(candidate, draft),
    encode: () => this.#options.content.ask('snapshot', { of: 'candidate' }),
    prepare: (offer, stored) => this.#preparedAndWritten(offer, stored),
    commit: async () => this.#options.sink?.commit(),
    undo: async ({ hash }) => {
      await this.#options.sink?.discard();
      this.#options.state?.dropCandidate(hash);
      // if the thread died, it is gone anyway
      await this.#options.content.ask('dropped', {}).catch(() => undefined);
    },
    flip: (offer, facts, prepared) => this.#putInForce(offer, facts, prepared),
    mark: (stored) => this.#markActive(stored),
  };

  constructor(options: ActivatorOptions) {
    this.#options = options;
    this.#isShut = options.mayShut;
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

  /**
   * Puts a candidate in force. Throws RefusedError; then what was in force is in force, in table, sink and
   * state alike.
   */
  apply(candidate: Candidate): Promise<ApplyReport> {
    return this.#inTurn(() => this.#applyNow(candidate));
  }

  /**
   * Compiles what is in force anew for a changed environment, before the first release the boot mode: a new
   * generation, no new version.
   */
  refresh(): Promise<void> {
    return this.#inTurn(() => this.#refreshNow());
  }

  /**
   * Starts or ends enforcing the shut rule set in place of the release: a new generation, no new version.
   * Rejects as `refresh`.
   */
  shut(isShut: boolean): Promise<void> {
    return this.#inTurn(() => {
      this.#isShut = isShut && this.#options.mayShut;
      return this.#refreshNow();
    });
  }

  /** Resolves when nothing is being put in force or written; ends what runs beside. Apply no more. */
  async close(): Promise<void> {
    await this.#turn;
    await this.#compacting;
    await this.#options.state?.settled();
  }

  /**
   * Runs steps one at a time: table and sink hold one prepared generation, which must flip before another is
   * prepared.
   */
  #inTurn<T>(step: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(step);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  async #applyNow(candidate: Candidate): Promise<ApplyReport> {
    const { state } = this.#options;
    // Otherwise there is no chain of files to append the stream to.
    const isChained = this.active?.persisted === true && state?.isChainFull === false;
    const keepsStream = state === undefined || candidate.base === undefined || isChained;
    this.#candidate = candidate;
    const { isPersisted, ...figures } = await commitRelease(candidate, keepsStream, this.#steps).finally(
      () => {
        this.#candidate = undefined;
      },
    );
    if (this.active === undefined) throw new Error('a commit put nothing in force');
    this.active = { ...this.active, persisted: isPersisted };
    if (isPersisted) this.#kept = { from: this.active.hash, streams: [] };
    this.#compactLater();
    return { ...figures, release: this.active };
  }

  /** Runs both in parallel; the flush should start before verifying occupies this thread. */
  async #verifiedAndDrafted(
    candidate: Candidate,
    draft: StoredRelease | undefined,
  ): ReturnType<CommitSteps['verify']> {
    const { state, turn } = this.#options;
    const drafting = draft && state?.draft(draft);
    const verifying = turn().then(() => this.#timed(() => this.#verified(candidate)));
    const [verified, drafted] = await Promise.allSettled([verifying, drafting]);
    if (verified.status === 'fulfilled' && drafted.status === 'fulfilled') {
      const [facts, verifyMs] = verified.value;
      return { facts, verifyMs };
    }
    state?.dropCandidate(candidate.offer.hash);
    throw [verified, drafted].flatMap((one) => (one.status === 'rejected' ? [one.reason] : []))[0];
  }

  /** Likewise: prepares and writes in parallel. */
  async #preparedAndWritten(offer: VerifiedOffer, stored: StoredRelease): ReturnType<CommitSteps['prepare']> {
    const { state, turn } = this.#options;
    const writing = state?.writeCandidate(stored);
    const preparing = turn().then(() => this.#timed(() => this.#prepare('candidate', offer)));
    const [made, written] = await Promise.allSettled([preparing, writing]);
    if (made.status === 'rejected') throw made.reason;
    if (written.status === 'rejected') throw written.reason;
    const [compiled, compileMs] = made.value;
    return { compiled, compileMs };
  }

  async #timed<T>(work: () => Promise<T>): Promise<readonly [T, number]> {
    const { clock } = this.#options;
    const sinceMs = clock.monotonicMs();
    const made = await work();
    return [made, clock.monotonicMs() - sinceMs];
  }

  /** From here on it answers lookups, so it is reported as in force, though not yet marked on disk. */
  #putInForce(
    offer: VerifiedOffer,
    facts: ReleaseFacts,
    prepared: Compiled,
  ): Pick<CommitFigures, 'generation' | 'flipMs'> {
    const { clock, nowMs } = this.#options;
    const sinceMs = clock.monotonicMs();
    this.#flip(prepared);
    this.#floor.mark = markOf(offer);
    this.#keep();
    this.active = { ...offer, facts, persisted: false, appliedAtMs: nowMs() };
    return { generation: prepared.generation, flipMs: clock.monotonicMs() - sinceMs };
  }

  async #verified({ base, stream, offer }: Candidate): Promise<ReleaseFacts> {
    const { content, entriesMax } = this.#options;
    const { hash, manifestBytes } = offer;
    try {
      return await content.ask('verify', { hash, base, stream, manifestBytes, entriesMax });
    } catch (error) {
      throw verifyErrorOf(error);
    }
  }

  // ── A new owner ──────────────────────────────────────────────────────────────────────────────────────────

  /** For an owner of the content that comes after one that died. Throws StateError and ProtocolError. */
  kept(): ContentQuestions['restore']['asks'] | undefined {
    if (this.active === undefined) return undefined;
    const { hash, manifestBytes } = this.active;
    const { from, streams } = this.#kept;
    const chain = from === undefined ? [] : (this.#options.state?.readChain(from) ?? []);
    return { hash, manifestBytes, streams: [...chain.map(({ stream }) => stream), ...streams] };
  }

  /** Keeps the stream in memory while it is not marked on disk, until the chain is heavy. */
  #keep(): void {
    if (this.#candidate === undefined) return;
    const { base, stream } = this.#candidate;
    this.#kept =
      base === undefined
        ? { from: undefined, streams: [stream] }
        : { ...this.#kept, streams: [...this.#kept.streams, stream] };
  }

  /**
   * Replaces a heavy chain of release files by one snapshot, in the background. A failure leaves the chain.
   */
  #compactLater(): void {
    const { active } = this;
    if (active === undefined || this.#compacting !== undefined) return;
    const { state } = this.#options;
    const isHeavy = active.persisted
      ? state?.isChainHeavy(entriesIn(active.manifest)) === true
      : this.#kept.streams.length > KEPT_STREAMS_MAX;
    if (!isHeavy) return;
    this.#compacting = this.#compact(active)
      .catch(this.#options.onUncompacted)
      .finally(() => {
        this.#compacting = undefined;
      });
  }

  async #compact(active: ActiveRelease): Promise<void> {
    const { hash, manifestBytes, signatures } = active;
    const stream = await this.#options.content.ask('snapshot', { of: 'active' });
    await this.#inTurn(async () => {
      if (this.active !== active) return; // its successor has a chain of its own, and will see to it
      if (!active.persisted) this.#kept = { from: undefined, streams: [stream] };
      else await this.#options.state?.compact({ hash, base: undefined, manifestBytes, signatures, stream });
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
  restore(): Promise<ActiveRelease | undefined> {
    return this.#inTurn(() => this.#restoreNow());
  }

  async #restoreNow(): Promise<ActiveRelease | undefined> {
    const { state, keyring, onDamage } = this.#options;
    if (state === undefined) return undefined;
    const restorable = await findRestorable(state, keyring, this.#floor, this.#options.content);
    if (restorable === undefined) return undefined;
    const { mark, newest, offer, facts } = restorable;
    await this.#enforce('active', offer);
    this.active = { ...offer, facts, persisted: true, appliedAtMs: this.#options.nowMs() };
    this.#kept = { from: offer.hash, streams: [] };
    if (compareRelease(mark, newest) < 0) {
      const [held, lost] = [mark, newest].map(({ epoch, version }) => `${epoch}/${version}`);
      onDamage(
        `release ${lost}, the newest that was in force, is damaged in both places: ${held} is in force until ${lost} or a newer one comes`,
      );
    }
    state.heal(newest);
    return this.active;
  }

  /**
   * Puts in force what holds before the first release: the boot mode, and after releases that cannot be read
   * any more nothing but a drop, for they may have closed what it opens. Rejects as the table does.
   */
  async #boot(): Promise<void> {
    const { content, environment, state } = this.#options;
    const at = environment(0);
    await content.ask('aim', { at: 'boot', isShut: state?.outdated !== undefined, environment: at });
    this.#preparedFor = at;
    this.#flip(await content.ask('compile', {}));
  }

  async #refreshNow(): Promise<void> {
    if (this.active === undefined) await this.#boot();
    else await this.#enforce('active', this.active);
  }

  /** Puts in force what was verified and stored before. Throws RefusedError; then nothing changed. */
  async #enforce(at: 'active', of: Pick<VerifiedOffer, 'hash' | 'manifest'>): Promise<void> {
    const { sink } = this.#options;
    try {
      const prepared = await this.#prepare(at, of);
      await sink?.commit();
      this.#flip(prepared);
    } catch (cause) {
      await sink?.discard();
      throw cause instanceof RefusedError ? cause : new RefusedError(ErrorCode.sinkFailed, 'host', cause);
    }
  }

  /**
   * Compiles beside the table in force, while the sink makes ready what it will enforce; waits for both.
   * Rejects with RefusedError where the table cannot be compiled, and else as the sink does.
   */
  async #prepare(
    at: 'active' | 'candidate',
    { hash, manifest }: Pick<VerifiedOffer, 'hash' | 'manifest'>,
  ): Promise<Compiled> {
    const { sink, content } = this.#options;
    const environment = this.#options.environment(manifest.createdAtMs);
    const notCompiled = (cause: unknown): never => {
      throw new RefusedError(ErrorCode.compileFailed, 'host', cause);
    };
    await content.ask('aim', { at, isShut: this.#isShut, environment }).catch(notCompiled);
    // The sink begins first: its applier works while the table is compiled.
    const making = sink?.prepare({ hash, environment, ruleSet: () => content.ask('ruleSet', {}) });
    const compiling = content.ask('compile', {}).catch(notCompiled);
    const [compiled, ready] = await Promise.allSettled([compiling, making]);
    if (compiled.status === 'rejected') throw compiled.reason;
    if (ready.status === 'rejected') throw ready.reason;
    this.#preparedFor = environment;
    return compiled.value;
  }

  #flip(compiled: Compiled): void {
    const { content } = this.#options;
    flipTable(content.handle, compiled);
    const { generation } = compiled;
    this.compiledFor = this.#preparedFor;
    this.generation = generation;
    // If the content thread has died, its successor starts from the release in force anyway.
    content.ask('flipped', { generation }).catch(() => undefined);
  }
}
