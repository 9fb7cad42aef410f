/**
 * The commit order: from received bytes to a release in force, or to the last good one kept.
 *
 *   verify ─▶ compile ─▶ sink.prepare ─▶ write candidate ─▶ sink.commit ─▶ flip ─▶ mark active
 *
 * Everything before the flip may fail and then changes nothing; the flip cannot fail; a mark that cannot be written
 * leaves the release in force and says that it was not persisted. DESIGN "Protocol in short", subscriber.
 */

import {
  applyChain,
  compareRelease,
  decodeManifest,
  ErrorCode,
  encodeChain,
  encodeSnapshot,
  type Manifest,
  manifestHash,
  ProtocolError,
  type Trust,
  verifyRuleSet,
  verifySignature,
} from '@rulecast/protocol';
import { checkRuleSet, EMPTY_RULE_SET, type Environment, type RuleSet } from '@rulecast/rules';
import type { Table } from '@rulecast/table';
import type { Sink } from './sink.ts';
import { type ActiveMark, type StateDirectory, StateError, type StoredRelease } from './state.ts';

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

/** A manifest whose signature, lineage and age were checked. */
export interface VerifiedOffer {
  readonly hash: Uint8Array;
  readonly manifest: Manifest;
  readonly manifestBytes: Uint8Array;
  readonly signature: Uint8Array;
}

/** How long the steps took, in milliseconds. */
export interface ApplyReport {
  readonly release: ActiveRelease;
  readonly verifyMs: number;
  readonly compileMs: number;
  readonly flipMs: number;
  readonly generation: number;
}

/** Why a release was refused; what was in force still is. */
export class RefusedError extends Error {
  readonly code: ErrorCode;
  readonly retry: 'never' | 'later';
  readonly part: string | undefined;
  readonly entry: number | undefined;

  constructor(code: ErrorCode, retry: 'never' | 'later', cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.code = code;
    this.retry = retry;
    this.part = cause instanceof ProtocolError ? cause.part : undefined;
    this.entry = cause instanceof ProtocolError ? cause.entry : undefined;
  }
}

export interface ApplierOptions {
  readonly trust: Trust;
  readonly table: Table;
  readonly state: StateDirectory | undefined;
  readonly sink: Sink | undefined;
  /** Most entries and rules of a release. */
  readonly entriesMax: number;
  readonly environment: () => Environment;
  readonly nowMs: () => number;
  /** Called with what went wrong after the flip, where nothing can be refused any more. */
  readonly onUnpersisted: (error: unknown) => void;
}

export class Applier {
  active: ActiveRelease | undefined;
  /** The newest release ever in force, on this side's word: nothing older is taken. */
  private floor: Pick<ActiveMark, 'epoch' | 'version'> | undefined;
  private readonly options: ApplierOptions;

  constructor(options: ApplierOptions) {
    this.options = options;
  }

  /** Checks an offered manifest before anything of it is wanted. Throws ProtocolError. */
  verifyOffer(manifestBytes: Uint8Array, signature: Uint8Array): VerifiedOffer {
    const { trust, entriesMax } = this.options;
    if (!verifySignature(manifestBytes, signature, trust.publicKey)) {
      throw new ProtocolError(ErrorCode.badSignature, 'the manifest is not signed by the trusted key');
    }
    const manifest = decodeManifest(manifestBytes);
    if (!Buffer.from(manifest.lineage).equals(trust.lineage)) {
      throw new ProtocolError(ErrorCode.wrongLineage, 'the manifest is of another lineage');
    }
    let entries = 0;
    for (const part of manifest.parts) entries += part.count;
    if (entries > entriesMax) {
      const reason = `the release has ${entries} entries and rules; this subscriber takes ${entriesMax} at most`;
      throw new ProtocolError(ErrorCode.overLimit, reason);
    }
    const hash = manifestHash(manifestBytes);
    const same = this.active !== undefined && Buffer.from(this.active.hash).equals(hash);
    if (!same && this.floor !== undefined && compareRelease(manifest, this.floor) <= 0) {
      const { epoch, version } = this.floor;
      const reason = `release ${manifest.epoch}/${manifest.version} is not newer than ${epoch}/${version}, which was in force`;
      throw new ProtocolError(ErrorCode.notNewer, reason);
    }
    return { hash, manifest, manifestBytes, signature };
  }

  /** Puts a candidate in force. Throws RefusedError; then what was in force is in force, in table, sink and state alike. */
  async apply(candidate: Candidate): Promise<ApplyReport> {
    const { table, sink, state } = this.options;
    const { offer } = candidate;
    const startMs = performance.now();
    const ruleSet = this.verified(candidate);
    const verifiedMs = performance.now();
    const environment = this.options.environment();
    const prepared = refuseAs(ErrorCode.compileFailed, () => table.prepare(ruleSet, environment));
    const compiledMs = performance.now();
    const stored = this.storedForm(candidate, ruleSet);
    try {
      await sink?.prepare({ hash: offer.hash, ruleSet, environment });
      await state?.writeCandidate(stored);
      await sink?.commit();
    } catch (cause) {
      await sink?.discard();
      state?.dropCandidate(offer.hash);
      const code = cause instanceof StateError ? ErrorCode.storageFailed : ErrorCode.sinkFailed;
      throw new RefusedError(code, 'later', cause);
    }
    const flippingMs = performance.now();
    const generation = table.flip(prepared);
    const flippedMs = performance.now();
    const { epoch, version } = offer.manifest;
    this.floor = { epoch, version };
    const persisted = await this.markActive(stored, { hash: offer.hash, epoch, version });
    this.active = { ...offer, ruleSet, persisted, appliedAtMs: this.options.nowMs() };
    return {
      release: this.active,
      verifyMs: verifiedMs - startMs,
      compileMs: compiledMs - verifiedMs,
      flipMs: flippedMs - flippingMs,
      generation,
    };
  }

  private verified(candidate: Candidate): RuleSet {
    try {
      const base = candidate.base === undefined ? EMPTY_RULE_SET : this.active?.ruleSet;
      if (base === undefined || (candidate.base !== undefined && !this.isActive(candidate.base))) {
        throw new ProtocolError(
          ErrorCode.badBase,
          'the transfer starts from a release that is not in force here',
        );
      }
      const ruleSet = applyChain(base, candidate.stream);
      verifyRuleSet(candidate.offer.manifest, ruleSet);
      const fault = checkRuleSet(ruleSet).find((problem) => problem.severity === 'fault');
      if (fault !== undefined)
        throw new ProtocolError(ErrorCode.badRuleSet, fault.reason, { part: fault.part });
      return ruleSet;
    } catch (cause) {
      if (cause instanceof ProtocolError) throw new RefusedError(cause.code, 'never', cause);
      if (cause instanceof RangeError) throw new RefusedError(ErrorCode.outOfMemory, 'later', cause);
      throw cause;
    }
  }

  private isActive(hash: Uint8Array): boolean {
    return this.active !== undefined && Buffer.from(this.active.hash).equals(hash);
  }

  /** What goes to disk: the stream as it came, or a snapshot where the chain of deltas has grown too heavy. */
  private storedForm(candidate: Candidate, ruleSet: RuleSet): StoredRelease {
    const { hash, manifestBytes, signature } = candidate.offer;
    const { state } = this.options;
    const unstored = this.active?.persisted !== true; // the base has no file to build on
    const asSnapshot =
      state !== undefined &&
      candidate.base !== undefined &&
      (unstored || state.wantsSnapshot(candidate.stream.length));
    return asSnapshot
      ? { hash, manifestBytes, signature, base: undefined, stream: encodeChain([encodeSnapshot(ruleSet)]) }
      : { hash, manifestBytes, signature, base: candidate.base, stream: candidate.stream };
  }

  private async markActive(stored: StoredRelease, mark: ActiveMark): Promise<boolean> {
    if (this.options.state === undefined) return false;
    try {
      await this.options.state.markActive(stored, mark);
      return true;
    } catch (error) {
      this.options.onUnpersisted(error);
      return false;
    }
  }

  /**
   * Puts in force what the state directory marks active, after verifying it like something received. Resolves to
   * undefined where there is nothing. Throws StateError, ProtocolError or RefusedError; the floor is kept even then.
   */
  async restore(): Promise<ActiveRelease | undefined> {
    const { state, table, sink } = this.options;
    const mark = state?.readActive();
    if (state === undefined || mark === undefined) return undefined;
    this.floor = mark;
    const chain = state.readChain(mark.hash);
    const last = chain.at(-1);
    if (last === undefined) throw new StateError('the active release has no file');
    this.floor = undefined; // the release that set the floor is the one being restored
    let offer: VerifiedOffer;
    try {
      offer = this.verifyOffer(last.manifestBytes, last.signature);
    } finally {
      this.floor = mark;
    }
    let ruleSet: RuleSet = EMPTY_RULE_SET;
    for (const release of chain) ruleSet = applyChain(ruleSet, release.stream);
    verifyRuleSet(offer.manifest, ruleSet);
    const environment = this.options.environment();
    const prepared = refuseAs(ErrorCode.compileFailed, () => table.prepare(ruleSet, environment));
    await sink?.prepare({ hash: offer.hash, ruleSet, environment });
    await sink?.commit();
    table.flip(prepared);
    this.active = { ...offer, ruleSet, persisted: true, appliedAtMs: this.options.nowMs() };
    return this.active;
  }

  /** Compiles what is in force anew for a changed environment: a new generation, no new version. */
  async refresh(): Promise<void> {
    if (this.active === undefined) return;
    const { table, sink } = this.options;
    const { hash, ruleSet } = this.active;
    const environment = this.options.environment();
    const prepared = refuseAs(ErrorCode.compileFailed, () => table.prepare(ruleSet, environment));
    await sink?.prepare({ hash, ruleSet, environment });
    await sink?.commit();
    table.flip(prepared);
  }
}

/** Runs a step whose failure is this side's own trouble. */
function refuseAs<T>(code: ErrorCode, step: () => T): T {
  try {
    return step();
  } catch (cause) {
    throw new RefusedError(code, 'later', cause);
  }
}
