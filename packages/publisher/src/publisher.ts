/**
 * The publisher as a library: one lineage, its store, its subscribers. Pushes come one after the other; each becomes a
 * release or leaves everything as it was.
 */

import { EventEmitter } from 'node:events';
import { join } from 'node:path';
import { DEGRADED_MAX, ErrorCode, type Manifest, ProtocolError } from '@rulecast/protocol';
import { isPartName, type List, type RuleSet, RuleSetProblemCode } from '@rulecast/rules';
import { type BatchOutcome, type Clock, SYSTEM_CLOCK } from '@rulecast/sources';
import type { Logger } from 'pino';
import { Archive, type PartFilter, restored } from './archive.ts';
import { Committer, GuardError, type Origin, type Plan } from './commit.ts';
import { type Identity, openIdentity } from './identity.ts';
import { type IngestNote, type IngestResult, ingest } from './ingest.ts';
import { listChanges, withLists } from './list-update.ts';
import { changedNames, type FailedName, failedNameText, Names } from './names.ts';
import type { PushInput } from './pushed.ts';
import type { ResolveName } from './resolve.ts';
import { type Release, Store, type StoreOptions } from './store.ts';
import { Subscribers } from './subscribers.ts';
import { Transfers } from './transfer.ts';
import { Workshop } from './work.ts';

export interface PublisherOptions extends StoreOptions {
  /** Holds the store. */
  readonly stateDirectory: string;
  /** Default: `identity` in the state directory. */
  readonly identityFile?: string | undefined;
  /** Its name in WELCOME; 1 to 63 of `A-Z a-z 0-9 . _ -`. */
  readonly name: string;
  readonly resolve: ResolveName;
  readonly logger: Logger;
  /** Milliseconds since 1970; default Date.now. */
  readonly nowMs?: () => number;
  /** What names age by, and what wakes their refresh; default that of the system. */
  readonly clock?: Clock;
  /** How long accept rules keep the addresses of a name that does not resolve; default 24 hours. */
  readonly nameAgeMs?: number | undefined;
}

export interface PushOptions {
  /** Refuse unless the head has this version (0: no release yet). */
  readonly ifVersion?: number | undefined;
  readonly dryRun?: boolean;
}

/** A rule set that could be released, and was unless it was a dry run or says what the head says. */
export interface ReleaseOutcome {
  readonly kind: 'planned' | 'released' | 'unchanged';
  readonly plan: Plan;
  readonly notes: readonly IngestNote[];
  readonly failedNames: readonly FailedName[];
  /** The head afterwards; undefined only while nothing was ever released. */
  readonly head: Release | undefined;
}

/** The head is not the one that the request is for. */
export interface VersionMoved {
  readonly kind: 'version-moved';
  readonly version: number;
}

/** What became of a push. */
export type PushOutcome = Extract<IngestResult, { kind: 'rejects' }> | VersionMoved | ReleaseOutcome;

/** Who keeps lists of the rule set fresh, beside those who push. */
export interface ListKeeper {
  /** Whether nobody else may change this list. */
  owns(list: string): boolean;
  /** Whether another list is made of this one, so that it is of use without a rule. */
  isOperand(list: string): boolean;
  /** What does not work as it should, each a sentence. */
  readonly degraded: readonly string[];
}

/** How many failed names the status lists by name. */
const FAILED_NAMES_SHOWN = 8;
/** Between two refreshes of names at least: a refresh that fails is not repeated at once. */
const NAMES_PAUSE_MS = 1000;

export class Publisher extends EventEmitter<{ release: [Release] }> {
  readonly identity: Identity;
  readonly name: string;
  readonly logger: Logger;
  readonly nowMs: () => number;
  readonly startedAtMs: number;
  readonly store: Store;
  readonly subscribers = new Subscribers();
  readonly transfers: Transfers;
  readonly archive: Archive;
  private readonly committer: Committer;
  private readonly workshop = new Workshop();
  private readonly clock: Clock;
  private readonly names: Names;
  private failedNames: readonly FailedName[] = [];
  private unscheduleNames: (() => void) | undefined;
  private isClosed = false;
  private keeper: ListKeeper | undefined;
  private turn: Promise<unknown> = Promise.resolve(); // the push or epoch before the next one

  /** Opens or makes the identity and the store. Throws IdentityError, StoreError, and TypeError for a bad name. */
  constructor(options: PublisherOptions) {
    super();
    if (!isPartName(options.name)) throw new TypeError(`"${options.name}" cannot name a publisher`);
    this.setMaxListeners(0); // one a session; sessions are bounded by the server
    this.name = options.name;
    this.logger = options.logger;
    this.nowMs = options.nowMs ?? Date.now;
    this.startedAtMs = this.nowMs();
    this.clock = options.clock ?? SYSTEM_CLOCK;
    const { resolve, nameAgeMs } = options;
    this.names = new Names({
      resolve,
      clock: this.clock,
      ...(nameAgeMs === undefined ? {} : { acceptAgeMs: nameAgeMs }),
    });
    this.identity = openIdentity(options.identityFile ?? join(options.stateDirectory, 'identity'));
    this.store = new Store(join(options.stateDirectory, 'store'), options);
    this.committer = new Committer({
      store: this.store,
      identity: this.identity,
      encoder: this.workshop,
      nowMs: this.nowMs,
    });
    this.transfers = new Transfers(this.store, this.workshop);
    this.archive = new Archive(this.store, this.committer, this.workshop);
    this.scheduleNames();
  }

  /** The newest release; undefined before the first. */
  get head(): Release | undefined {
    return this.committer.head;
  }

  /** What does not work as it should, each a sentence. */
  get degraded(): readonly string[] {
    const nowMs = this.clock.monotonicMs();
    const shown = this.failedNames.slice(0, FAILED_NAMES_SHOWN).map((failed) => {
      return failedNameText(failed, nowMs).slice(0, 128);
    });
    const more = this.failedNames.length - shown.length;
    const names = more > 0 ? [...shown, `${more} more names do not resolve`] : shown;
    return [...(this.keeper?.degraded ?? []), ...names].slice(0, DEGRADED_MAX);
  }

  /** From now on lists that `keeper` owns cannot be pushed, and its troubles are in the status. */
  keepLists(keeper: ListKeeper): void {
    this.keeper = keeper;
  }

  /**
   * Puts lists of sources in force as one release, if anything differs; undefined removes one. Lists that the rule set cannot have so are left as they
   * were and named. Throws StoreError; then nothing changed.
   */
  updateLists(batch: ReadonlyMap<string, List | undefined>): Promise<BatchOutcome> {
    return this.serially(async () => {
      const { ruleSet, refused } = withLists(this.committer.ruleSet, batch);
      const names = [...batch.keys()].filter((name) => !refused.has(name));
      try {
        const origin: Origin = { cause: 'source', detail: names.join(', ') };
        const { plan } = await this.release(ruleSet, [], origin, false);
        return { refused, changes: listChanges(plan.changes) };
      } catch (error) {
        if (!(error instanceof ProtocolError || error instanceof GuardError)) throw error;
        const refusal = { code: error.code, reason: error.message }; // of the content: trying again is of no use
        return {
          refused: new Map([...refused, ...names.map((name) => [name, refusal] as const)]),
          changes: new Map(),
        };
      }
    });
  }

  /** Reads, checks and releases what was pushed. Throws GuardError, ProtocolError and StoreError; then nothing changed. */
  push(input: PushInput, options: PushOptions = {}): Promise<PushOutcome> {
    return this.serially(() => this.pushNow(input, options));
  }

  private async pushNow(input: PushInput, options: PushOptions): Promise<PushOutcome> {
    const moved = this.movedFrom(options.ifVersion);
    if (moved !== undefined) return moved;
    const pushed = await this.workshop.read(input, Math.floor(this.nowMs() / 1000));
    const read = ingest(this.committer.ruleSet, pushed, input, (list) => this.keeper?.owns(list) === true);
    if (read.kind === 'rejects') return read;
    const detail = input.files.filter(({ role }) => role === 'pushed').map(({ name }) => name);
    const origin: Origin = { cause: 'push', detail: detail.join(', ') };
    return this.release(read.ruleSet, read.notes, origin, options.dryRun === true);
  }

  /**
   * Releases the content of an earlier version, or one part of it, above the head. A part that was not there then is
   * removed. Names are resolved anew. Throws UnknownReleaseError, ProtocolError `no-such-part`, and what `push` throws.
   */
  rollback(
    version: number,
    only: PartFilter,
    options: PushOptions = {},
  ): Promise<ReleaseOutcome | VersionMoved> {
    return this.serially(async () => {
      const moved = this.movedFrom(options.ifVersion);
      if (moved !== undefined) return moved;
      const past = await this.archive.ruleSetOf(version);
      const ruleSet = restored(this.committer.ruleSet, past, only);
      const part = only.list === undefined ? `policy ${only.policy}` : `list ${only.list}`;
      if (ruleSet === undefined) {
        const text = `there is no ${part}, and in version ${version} there was none`;
        throw new ProtocolError(ErrorCode.noSuchPart, text, { part });
      }
      const isPart = only.list !== undefined || only.policy !== undefined;
      const detail = `to version ${version}${isPart ? `, ${part} only` : ''}`;
      return this.release(ruleSet, [], { cause: 'rollback', detail }, options.dryRun === true);
    });
  }

  private movedFrom(ifVersion: number | undefined): VersionMoved | undefined {
    const version = this.head?.manifest.version ?? 0;
    return ifVersion === undefined || ifVersion === version ? undefined : { kind: 'version-moved', version };
  }

  /**
   * Resolves the names of a rule set and makes it the next release, unless it says what the head says. Of its resolutions
   * a name keeps what it has there if it does not resolve. Call it in turn.
   */
  private async release(
    ruleSet: RuleSet,
    notes: readonly IngestNote[],
    origin: Origin,
    dryRun: boolean,
  ): Promise<ReleaseOutcome> {
    const { resolutions, failed } = await this.names.settle(ruleSet);
    const plan = this.withoutOperands(await this.committer.plan({ ...ruleSet, resolutions }));
    const result = { plan, notes, failedNames: failed };
    if (dryRun) return { kind: 'planned', ...result, head: this.head };
    this.failedNames = failed;
    if (plan.changed) this.announce(await this.committer.commit(plan, origin));
    this.names.keepOnly(ruleSet);
    this.scheduleNames();
    if (!plan.changed) return { kind: 'unchanged', ...result, head: this.head };
    const { head } = this;
    return { kind: 'released', ...result, head };
  }

  /** A plan that does not warn of lists which others are made of. */
  private withoutOperands(plan: Plan): Plan {
    const warnings = plan.warnings.filter(({ code, part }) => {
      return code !== RuleSetProblemCode.unusedList || this.keeper?.isOperand(part) !== true;
    });
    return { ...plan, warnings };
  }

  /**
   * Asks for the names that are due, off the turn of pushes, and puts what they stand for now in force as one release, if anything differs.
   * Called by itself when a name's time to live ends. Throws ProtocolError `over-limit` and StoreError; then nothing changed.
   */
  async refreshNames(): Promise<void> {
    await this.names.refresh(this.committer.ruleSet);
    await this.serially(async () => {
      if (this.isClosed || this.head === undefined) return;
      const { ruleSet } = this.committer;
      const changed = changedNames(ruleSet.resolutions, (await this.names.settle(ruleSet)).resolutions);
      await this.release(ruleSet, [], { cause: 'names', detail: changed.join(', ') }, false);
    });
  }

  private scheduleNames(): void {
    this.unscheduleNames?.();
    this.unscheduleNames = undefined;
    const dueInMs = this.isClosed ? undefined : this.names.dueInMs(this.committer.ruleSet);
    if (dueInMs === undefined) return;
    this.unscheduleNames = this.clock.after(Math.max(dueInMs, NAMES_PAUSE_MS), () => {
      void this.refreshNames().catch((error: unknown) => {
        this.logger.error({ err: error }, 'names were resolved and not released');
        this.scheduleNames();
      });
    });
  }

  /**
   * A subscriber proved a release above the head: this lineage's latest state was lost. The head's content is released
   * above that; where there is no head, the next push is, and until then the subscriber keeps what it has.
   */
  openEpoch(known: Manifest): Promise<void> {
    return this.serially(async () => {
      const release = await this.committer.openEpochAbove(known);
      if (release === undefined) return;
      this.logger.warn(
        { epoch: release.manifest.epoch },
        'a subscriber proved a newer release: opened a new epoch',
      );
      this.announce(release);
    });
  }

  private announce(release: Release): void {
    const { epoch, version, parts } = release.manifest;
    this.logger.info({ epoch, version, parts: parts.length }, 'released');
    this.emit('release', release);
    this.subscribers.emit('change');
  }

  private serially<T>(work: () => Promise<T>): Promise<T> {
    const next = this.turn.then(work);
    this.turn = next.catch(() => undefined); // each caller hears of its own failure
    return next;
  }

  /** Waits for the push under way, which asks for no further names, then closes the store. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.names.close();
    this.unscheduleNames?.();
    await this.turn;
    await this.workshop.close();
    await this.store.close();
  }
}
