/**
 * The publisher as a library: one lineage, its store, its subscribers. Pushes come one after the other; each becomes a
 * release or leaves everything as it was.
 */

import { EventEmitter } from 'node:events';
import {
  type IngestNote,
  type IngestResult,
  ingest,
  type MustReach,
  type PushedParts,
  type PushInput,
} from '@rulecast/formats';
import { DEGRADED_MAX, ErrorCode, type Manifest, ProtocolError } from '@rulecast/protocol';
import {
  checkRuleSet,
  isPartName,
  type List,
  type RuleSet,
  type RuleSetProblem,
  RuleSetProblemCode,
  usedLists,
  usedNames,
} from '@rulecast/rules';
import { type BatchOutcome, type Clock, Damper, type DeliveryRefusal, SYSTEM_CLOCK } from '@rulecast/sources';
import type { Logger } from 'pino';
import { bareText, newBareDrops, type ResolvedRuleSet } from '../guards/bare-drop.ts';
import { unreachable } from '../guards/must-reach.ts';
import { pushRefusals } from '../guards/push.ts';
import type { GuardRefusal, PushPermits } from '../guards/refusal.ts';
import { changedNames, type FailedName, failedNameText, NAME_LIMITS, Names } from '../names/names.ts';
import type { ResolveName } from '../names/resolve.ts';
import type { Identity } from '../store/identity.ts';
import { openState, type StateOptions } from '../store/state.ts';
import type { Release, Store } from '../store/store.ts';
import { KnownSubscribers } from '../subscribers/known.ts';
import { Subscribers } from '../subscribers/subscribers.ts';
import { Committer, GuardError, type Origin, type ReleaseDraft, type ReleaseIdentity } from './commit.ts';
import { History } from './history.ts';
import { type ListUpdate, listChanges, withLists } from './list-update.ts';
import { type PartFilter, restored } from './part-filter.ts';
import { Transfers } from './transfer.ts';
import { ReleaseWorker } from './worker.ts';

export interface PublisherOptions extends StateOptions {
  /** Its name in WELCOME; 1 to 63 of `A-Z a-z 0-9 . _ -`. */
  readonly name: string;
  readonly resolve: ResolveName;
  readonly logger: Logger;
  /** Milliseconds since 1970; default Date.now. */
  readonly nowMs?: () => number;
  /** What names age by, and what wakes their refresh; default that of the system. */
  readonly clock?: Clock;
  /** True: goes on in a new epoch by itself where a subscriber proves a newer release, with the content that this publisher has. */
  readonly autoEpoch?: boolean | undefined;
  /** How long accept rules keep the addresses of a name that does not resolve; default 24 hours. */
  readonly nameAgeMs?: number | undefined;
  /** Packets that no release may drop. */
  readonly mustReach?: readonly MustReach[] | undefined;
}

export interface PushOptions {
  /** Refuse unless the head has this version (0: no release yet). */
  readonly ifVersion?: number | undefined;
  readonly dryRun?: boolean;
  /** What guards refuse otherwise; of a rollback, `allowUnreachable`. */
  readonly permits?: Partial<PushPermits>;
  /** True: release it in a new epoch, above all that was ever released, also where the head says the same. */
  readonly asNewEpoch?: boolean | undefined;
}

/** Warnings about what a release touches, which are shown, and about what it does not. */
export interface TouchedWarnings {
  readonly shown: readonly RuleSetProblem[];
  readonly otherCount: number;
}

/** A rule set that could be released, and was unless it was a dry run or says what the head says. */
export interface ReleaseOutcome {
  readonly kind: 'planned' | 'released' | 'unchanged';
  readonly draft: ReleaseDraft;
  readonly notes: readonly IngestNote[];
  readonly warnings: TouchedWarnings;
  /** Of the names that what changes uses, or that fail only now. */
  readonly failedNames: readonly FailedName[];
  /** The head afterwards; undefined only while nothing was ever released. */
  readonly head: Release | undefined;
}

/** The head is not the one that the request is for. */
export interface VersionMoved {
  readonly kind: 'version-moved';
  readonly version: number;
}

/** Guards refuse it; nothing was released. */
export interface Guarded {
  readonly kind: 'guarded';
  readonly draft: ReleaseDraft;
  /** At least one. */
  readonly refusals: readonly GuardRefusal[];
}

/** What became of a push. */
export type PushOutcome =
  | Extract<IngestResult, { kind: 'rejects' }>
  | VersionMoved
  | Guarded
  | ReleaseOutcome;

/** Who keeps lists of the rule set fresh, beside those who push. */
export interface ListKeeper {
  /** Whether nobody else may change this list. */
  owns(list: string): boolean;
  /** Whether another list is made of this one, so that it is of use without a rule. */
  isOperand(list: string): boolean;
  /** What does not work as it should, each a sentence. */
  readonly degraded: readonly string[];
}

/** How a release is made. */
interface Releasing {
  readonly notes?: readonly IngestNote[];
  readonly dryRun?: boolean;
  readonly asNewEpoch?: boolean | undefined;
  /** What there is against it. */
  readonly guards: (draft: ReleaseDraft) => Promise<readonly GuardRefusal[]>;
}

/** What to do about a packet that must get through, by who would have it dropped. */
const PUSH_ADVICE = 'look at what you push, or add --allow-unreachable';
const SOURCE_ADVICE = 'look at its source; never-block: takes addresses out of lists';
const NAMES_ADVICE = 'look at what the name stands for now';
const DEGRADED_CHARS = 120;
/** How many failed names the status lists by name. */
const FAILED_NAMES_SHOWN = 8;
/** What a list of a source is refused by that would leave a drop rule without an address. It is tried again. */
const NAMES_NOT_RESOLVED = 'names-not-resolved';
/** The guard of pushes that would do so. */
const UNRESOLVED = 'unresolved';
/** So long a wait is told of: names are damped. */
const NAMES_DAMPED_MS = 60_000;
/** Between two rounds of asking for names at least, so that one with thousands of names asks for many of them together. */
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
  readonly history: History;
  readonly #committer: Committer;
  readonly #autoEpoch: boolean;
  readonly #known: KnownSubscribers;
  readonly #worker = new ReleaseWorker();
  /** What ages, waits and deadlines are measured by. */
  readonly clock: Clock;
  readonly #names: Names;
  #failedNames: readonly FailedName[] = [];
  #unscheduleNames: (() => void) | undefined;
  /** When names that were answered for are to be released, though others are not. */
  #cancelNameRelease: (() => void) | undefined;
  readonly #nameDamper = new Damper();
  #areNamesDamped = false;
  /** Pushes and batches that have not come to their turn yet. */
  readonly #underWay = new Set<Promise<unknown>>();
  /** Rule sets that they wait with for their names. */
  readonly #awaited = new Set<RuleSet>();
  #isClosed = false;
  #mustReach: readonly MustReach[];
  /** Why what names stand for now is not in force. */
  #namesTrouble: string | undefined;
  #keeper: ListKeeper | undefined;
  #turn: Promise<unknown> = Promise.resolve(); // the push or epoch before the next one

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
    this.#names = new Names({
      resolve,
      clock: this.clock,
      ...(nameAgeMs === undefined ? {} : { acceptAgeMs: nameAgeMs }),
    });
    this.#mustReach = options.mustReach ?? [];
    this.#autoEpoch = options.autoEpoch === true;
    const { identity, store, startedOver } = openState(options, this.startedAtMs);
    this.identity = identity;
    this.store = store;
    if (startedOver) {
      this.logger.warn(
        { epoch: store.firstEpoch },
        'started over with an empty store: the next push opens a new epoch',
      );
    }
    this.#known = new KnownSubscribers({
      store: this.store,
      subscribers: this.subscribers,
      clock: this.clock,
      logger: this.logger,
    });
    this.#committer = new Committer({
      store: this.store,
      identity: this.identity,
      encoder: this.#worker,
      nowMs: this.nowMs,
    });
    this.transfers = new Transfers(this.store, this.#worker);
    this.history = new History(this.store, this.#committer, this.#worker);
    this.#scheduleNames();
  }

  /** The newest release; undefined before the first. */
  get head(): Release | undefined {
    return this.#committer.head;
  }

  /** The release that a subscriber proved and that is not here: until an epoch above it is open nothing is offered. */
  get behind(): ReleaseIdentity | undefined {
    return this.#committer.behind;
  }

  /** What does not work as it should, each a sentence. */
  get degraded(): readonly string[] {
    const nowMs = this.clock.monotonicMs();
    const shown = this.#failedNames.slice(0, FAILED_NAMES_SHOWN).map((failed) => {
      return failedNameText(failed, nowMs).slice(0, 128);
    });
    const more = this.#failedNames.length - shown.length;
    const names = more > 0 ? [...shown, `${more} more names do not resolve`] : shown;
    const trouble = this.#namesTrouble === undefined ? [] : [this.#namesTrouble.slice(0, DEGRADED_CHARS)];
    const { behind } = this;
    const lost =
      behind === undefined
        ? []
        : [
            `nothing is offered: ${behind.epoch}/${behind.version} was proved and is not here; restore it, or push --as-new-epoch`,
          ];
    return [...lost, ...(this.#keeper?.degraded ?? []), ...trouble, ...names].slice(0, DEGRADED_MAX);
  }

  /** Packets that no release may drop from now on. */
  keepReachable(mustReach: readonly MustReach[]): void {
    this.#mustReach = mustReach;
  }

  /** From now on lists that `keeper` owns cannot be pushed, and its troubles are in the status. */
  keepLists(keeper: ListKeeper): void {
    this.#keeper = keeper;
  }

  /**
   * Puts lists of sources in force as one release, if anything differs; undefined removes one. Lists that the rule set cannot have so are left as they
   * were and named. Throws BehindError and StoreError; then nothing changed.
   */
  updateLists(batch: ReadonlyMap<string, List | undefined>): Promise<BatchOutcome> {
    return this.#ahead(async () => {
      await this.#bring(withLists(this.#committer.ruleSet, batch).ruleSet);
      return this.#serially(() => this.#updateListsNow(batch));
    });
  }

  async #updateListsNow(batch: ReadonlyMap<string, List | undefined>): Promise<BatchOutcome> {
    const held = await this.#heldBack(batch);
    const { ruleSet, refused } = this.#withResolvedLists(
      new Map([...batch].filter(([name]) => !held.has(name))),
    );
    const names = [...batch.keys()].filter((name) => !refused.has(name) && !held.has(name));
    const allRefused = (refusal: DeliveryRefusal): BatchOutcome => ({
      refused: new Map([...held, ...refused, ...names.map((name) => [name, refusal] as const)]),
      changes: new Map(),
    });
    try {
      const origin: Origin = { cause: 'source', detail: names.join(', ') };
      const outcome = await this.#release(ruleSet, origin, {
        guards: (draft) => this.#cutOff(draft, SOURCE_ADVICE),
      });
      if (outcome.kind === 'guarded') return allRefused(refusalIn(outcome));
      return { refused: new Map([...held, ...refused]), changes: listChanges(outcome.draft.changes) };
    } catch (error) {
      if (!(error instanceof ProtocolError || error instanceof GuardError)) throw error;
      return allRefused({ code: error.code, reason: error.message }); // of the content: trying again is of no use
    }
  }

  /** Lists by which a packet that must get through would be dropped, each for itself: they hold up no other. */
  async #heldBack(
    batch: ReadonlyMap<string, List | undefined>,
  ): Promise<ReadonlyMap<string, DeliveryRefusal>> {
    const held = new Map<string, DeliveryRefusal>();
    if (this.#mustReach.length === 0) return held;
    for (const [name, list] of batch) {
      const alone = withLists(this.#committer.ruleSet, new Map([[name, list]]));
      const [refusal] = await this.#cutOff(alone, SOURCE_ADVICE);
      if (refusal !== undefined) held.set(name, { code: refusal.guard, reason: refusal.reason });
    }
    return held;
  }

  /** What must get through and would not. */
  #cutOff({ ruleSet }: { readonly ruleSet: RuleSet }, advice: string): Promise<readonly GuardRefusal[]> {
    const now = Math.floor(this.nowMs() / 1000);
    return unreachable(this.head?.ruleSet, ruleSet, this.#mustReach, now, advice);
  }

  /** The rule set with a batch, but for lists that would leave a drop rule without an address: those wait until their names resolve. */
  #withResolvedLists(batch: ReadonlyMap<string, List | undefined>): ListUpdate {
    const { ruleSet: head } = this.#committer;
    const update = withLists(head, batch);
    const bare = newBareDrops(head, this.#withResolutions(update.ruleSet)).filter(({ list }) => {
      return list !== undefined && batch.has(list);
    });
    if (bare.length === 0) return update;
    const held = new Map(
      bare.map((drop) => [
        drop.list ?? '',
        { code: NAMES_NOT_RESOLVED, reason: bareText(drop), isTemporary: true },
      ]),
    );
    const rest = withLists(head, new Map([...batch].filter(([name]) => !held.has(name))));
    return { ...rest, refused: new Map([...rest.refused, ...held]) };
  }

  /** Reads, checks and releases what was pushed. Throws BehindError, GuardError, ProtocolError, StoreError, and TypeError for an unknown action; then nothing changed. */
  push(input: PushInput, options: PushOptions = {}): Promise<PushOutcome> {
    return this.#ahead(async () => {
      const moved = this.#movedFrom(options.ifVersion);
      if (moved !== undefined) return moved;
      const pushed = await this.#worker.read(input, Math.floor(this.nowMs() / 1000));
      const early = this.#ingested(pushed, input);
      if (early.kind === 'rejects') return early;
      await this.#bring(early.ruleSet);
      return this.#serially(() => this.#pushNow(pushed, input, options));
    });
  }

  async #pushNow(pushed: PushedParts, input: PushInput, options: PushOptions): Promise<PushOutcome> {
    const moved = this.#movedFrom(options.ifVersion);
    if (moved !== undefined) return moved;
    const read = this.#ingested(pushed, input);
    if (read.kind === 'rejects') return read;
    const detail = input.files.filter(({ role }) => role === 'pushed').map(({ name }) => name);
    const origin: Origin = { cause: 'push', detail: detail.join(', ') };
    const { permits = {}, dryRun = false, asNewEpoch } = options;
    const guards = async (draft: ReleaseDraft): Promise<readonly GuardRefusal[]> => [
      ...this.#pushRefusals(draft, permits),
      ...(permits.allowUnresolved === true ? [] : this.#bareRefusals(draft)),
      ...(permits.allowUnreachable === true ? [] : await this.#cutOff(draft, PUSH_ADVICE)),
    ];
    return this.#release(read.ruleSet, origin, { notes: read.notes, dryRun, asNewEpoch, guards });
  }

  #pushRefusals(draft: ReleaseDraft, permits: Partial<PushPermits>): readonly GuardRefusal[] {
    return pushRefusals({
      before: this.#committer.ruleSet,
      after: draft.ruleSet,
      isFirst: this.head === undefined,
      permits,
      isOfSource: (list) => this.#keeper?.owns(list) === true,
      now: Math.floor(this.nowMs() / 1000),
    });
  }

  #ingested(pushed: PushedParts, input: PushInput): IngestResult {
    return ingest(this.#committer.ruleSet, pushed, input, (list) => this.#keeper?.owns(list) === true);
  }

  /**
   * Asks for the names that a rule set has and the head has not, and waits for them, though not for long, and off the turn: no other release waits for
   * a name. For what is refused anyway, such as too many names, nobody is asked.
   */
  async #bring(ruleSet: RuleSet): Promise<void> {
    if (!isSound(ruleSet)) return;
    this.#awaited.add(ruleSet);
    try {
      const known = new Set(usedNames(this.#committer.ruleSet));
      await this.#names.bring(ruleSet, (name) => !known.has(name));
    } finally {
      this.#awaited.delete(ruleSet);
    }
  }

  /** Policies with a drop rule that would be left without any address, and is not so already. */
  #bareRefusals({ ruleSet }: ReleaseDraft): readonly GuardRefusal[] {
    const bare = newBareDrops(this.#committer.ruleSet, this.#withResolutions(ruleSet));
    const policies = [...new Set(bare.map(({ policy }) => policy))];
    return policies.flatMap((policy) => {
      const [first, ...others] = bare.filter((drop) => drop.policy === policy);
      if (first === undefined) return [];
      const more = others.length > 0 ? ` (and ${others.length} more rules)` : '';
      const reason = `${bareText(first)}${more}: look at what you push, then add --allow-unresolved`;
      const after = 1 + others.length;
      return [{ guard: UNRESOLVED, part: `policy ${policy}`, permit: UNRESOLVED, before: 0, after, reason }];
    });
  }

  #withResolutions(ruleSet: RuleSet): ResolvedRuleSet {
    return { ...ruleSet, ...this.#names.resolved(ruleSet) };
  }

  /**
   * Releases the content of an earlier version, or one part of it, above the head. A part that was not there then is
   * removed. Of its names one that the head has not stands for what it stood for then, until it is asked for, at once. Throws UnknownReleaseError, ProtocolError `no-such-part`, and what `push` throws.
   */
  rollback(
    version: number,
    only: PartFilter,
    options: PushOptions = {},
  ): Promise<ReleaseOutcome | Guarded | VersionMoved> {
    return this.#serially(async () => {
      const moved = this.#movedFrom(options.ifVersion);
      if (moved !== undefined) return moved;
      const past = await this.history.ruleSetOf(version);
      const ruleSet = restored(this.#committer.ruleSet, past, only);
      const part = only.list === undefined ? `policy ${only.policy}` : `list ${only.list}`;
      if (ruleSet === undefined) {
        const text = `there is no ${part}, and in version ${version} there was none`;
        throw new ProtocolError(ErrorCode.noSuchPart, text, { part });
      }
      const isPart = only.list !== undefined || only.policy !== undefined;
      const detail = `to version ${version}${isPart ? `, ${part} only` : ''}`;
      const { permits, dryRun = false, asNewEpoch } = options;
      const guards = async (draft: ReleaseDraft): Promise<readonly GuardRefusal[]> =>
        permits?.allowUnreachable === true ? [] : this.#cutOff(draft, PUSH_ADVICE);
      return this.#release(ruleSet, { cause: 'rollback', detail }, { dryRun, asNewEpoch, guards });
    });
  }

  #movedFrom(ifVersion: number | undefined): VersionMoved | undefined {
    const version = this.head?.manifest.version ?? 0;
    return ifVersion === undefined || ifVersion === version ? undefined : { kind: 'version-moved', version };
  }

  /**
   * Makes a rule set the next release, with what its names stand for now, unless it says what the head says or `guards` refuses
   * it. Of its resolutions a name keeps what it has there if it was not answered for. Call it in turn.
   */
  async #release(
    ruleSet: RuleSet,
    origin: Origin,
    { notes = [], dryRun = false, asNewEpoch, guards }: Releasing,
  ): Promise<ReleaseOutcome | Guarded> {
    const inNewEpoch = asNewEpoch === true || (this.#autoEpoch && this.behind !== undefined);
    if (!inNewEpoch) this.#committer.checkNotBehind();
    const { resolutions, failed } = this.#names.resolved(ruleSet);
    const draft = this.#withoutOperands(await this.#committer.draft({ ...ruleSet, resolutions }));
    const refusals = draft.changed ? await guards(draft) : [];
    if (refusals.length > 0) return { kind: 'guarded', draft, refusals };
    const failedNames = this.#touchedNames(draft, failed);
    const result = { draft, notes, failedNames, warnings: this.#touchedWarnings(draft) };
    if (dryRun) return { kind: 'planned', ...result, head: this.head };
    this.#failedNames = failed;
    if (inNewEpoch) this.#announce(await this.#committer.commitInNewEpoch(draft, origin));
    else if (draft.changed) this.#announce(await this.#committer.commit(draft, origin));
    this.#names.keepOnly(ruleSet, ...this.#awaited);
    this.#scheduleNames();
    if (!draft.changed && !inNewEpoch) return { kind: 'unchanged', ...result, head: this.head };
    const { head } = this;
    return { kind: 'released', ...result, head };
  }

  /** Warnings about parts that change, that are new, or that are about the rule set as a whole: others were told before. */
  #touchedWarnings({ changes, warnings }: ReleaseDraft): TouchedWarnings {
    const changed = new Set(changes.map(({ name }) => name));
    const before = new Set(this.warnings.map(({ code, part }) => `${code} ${part}`));
    const shown = warnings.filter(({ code, part }) => {
      return part === '' || changed.has(part) || !before.has(`${code} ${part}`);
    });
    return { shown, otherCount: warnings.length - shown.length };
  }

  #touchedNames({ changes, ruleSet }: ReleaseDraft, failed: readonly FailedName[]): readonly FailedName[] {
    const changed = new Set(changes.map(({ name }) => name));
    const policies = [...ruleSet.policies].filter(([name, policy]) => {
      return changed.has(name) || [...usedLists([policy])].some((list) => changed.has(list));
    });
    const used = new Set(usedNames({ ...ruleSet, policies: new Map(policies) }));
    const before = new Set(this.#failedNames.map(({ name }) => name));
    return failed.filter(({ name }) => used.has(name) || !before.has(name));
  }

  /** What is odd about the rule set in force. */
  get warnings(): readonly RuleSetProblem[] {
    return checkRuleSet(this.#committer.ruleSet).filter((problem) => this.#isOdd(problem));
  }

  #isOdd({ code, part }: RuleSetProblem): boolean {
    return code !== RuleSetProblemCode.unusedList || this.#keeper?.isOperand(part) !== true;
  }

  /** A draft that does not warn of lists which others are made of. */
  #withoutOperands(draft: ReleaseDraft): ReleaseDraft {
    return { ...draft, warnings: draft.warnings.filter((problem) => this.#isOdd(problem)) };
  }

  /**
   * Asks for the names that are due, off the turn of pushes, and puts what they stand for now in force as one release, if anything differs and that
   * is not too often. Called by itself when a name's time to live ends. Throws ProtocolError `over-limit` and StoreError; then nothing changed.
   */
  async refreshNames(): Promise<void> {
    const answered = this.#names.refresh(this.#committer.ruleSet);
    this.#scheduleNames(); // for the next ones: these may take long
    await answered;
    this.#scheduleNames();
    await this.#releaseNames();
  }

  /** What names stand for now becomes a release, or waits for its time where they change again and again. */
  #releaseNames(): Promise<void> {
    this.#cancelNameRelease?.();
    this.#cancelNameRelease = undefined;
    return this.#serially(async () => {
      if (this.#isClosed || this.head === undefined || this.behind !== undefined) return;
      const nowMs = this.clock.monotonicMs();
      const waitMs = this.#nameDamper.waitMs(nowMs);
      this.#tellDamped(waitMs >= NAMES_DAMPED_MS);
      if (waitMs > 0) return this.#releaseNamesAfter(waitMs);
      if (!this.#names.isIdle) this.#releaseNamesAfter(NAME_LIMITS.batchMs); // those that still come
      const { ruleSet } = this.#committer;
      const { resolutions, failed } = this.#names.resolved(ruleSet);
      this.#failedNames = failed;
      this.#scheduleNames();
      if (resolutions === ruleSet.resolutions) {
        this.#namesTrouble = undefined;
        return;
      }
      this.#nameDamper.told(nowMs);
      const changed = changedNames(ruleSet.resolutions, resolutions);
      const origin: Origin = { cause: 'names', detail: changed.join(', ') };
      const outcome = await this.#release(ruleSet, origin, {
        guards: (draft) => this.#cutOff(draft, NAMES_ADVICE),
      });
      this.#namesTrouble = outcome.kind === 'guarded' ? refusalIn(outcome).reason : undefined;
      if (this.#namesTrouble === undefined) return;
      this.logger.warn({ names: changed }, `what names stand for is not released: ${this.#namesTrouble}`);
    });
  }

  #tellDamped(areDamped: boolean): void {
    if (areDamped === this.#areNamesDamped) return;
    this.#areNamesDamped = areDamped;
    const text = areDamped
      ? 'names change again and again: what they stand for is released less often'
      : 'names change less often: what they stand for is released at once again';
    this.logger.info(text);
  }

  #releaseNamesAfter(ms: number): void {
    if (this.#isClosed || this.#cancelNameRelease !== undefined) return;
    this.#cancelNameRelease = this.clock.after(ms, () => this.#tellFailure(this.#releaseNames()));
  }

  #scheduleNames(): void {
    this.#unscheduleNames?.();
    this.#unscheduleNames = undefined;
    const dueInMs = this.#isClosed ? undefined : this.#names.dueInMs(this.#committer.ruleSet);
    if (dueInMs === undefined) return;
    this.#unscheduleNames = this.clock.after(Math.max(dueInMs, NAMES_PAUSE_MS), () => {
      this.#releaseNamesAfter(NAME_LIMITS.batchMs); // those that answer wait no longer for those that do not
      this.#tellFailure(this.refreshNames());
    });
  }

  #tellFailure(work: Promise<void>): void {
    void work.catch((error: unknown) => {
      this.logger.error({ err: error }, 'names were resolved and not released');
      this.#scheduleNames();
    });
  }

  /** Resolves when no name is asked for, and nothing is being released. */
  async idle(): Promise<void> {
    while (!this.#names.isIdle) await new Promise((resolve) => setImmediate(resolve));
    await this.#turn;
  }

  /**
   * A subscriber proved a release that is not here: this lineage's latest state was lost. From now on nothing is offered and no version given,
   * until a push or a rollback opens an epoch above it, or with `autoEpoch` at once. Throws StoreError.
   */
  proved(known: Manifest, subscriber: string): Promise<void> {
    return this.#serially(async () => {
      const { epoch, version } = known;
      if (!this.#committer.noteBehind(known)) return;
      if (this.#autoEpoch && this.head !== undefined) {
        const detail = `a subscriber proved release ${epoch}/${version}`;
        const release = await this.#committer.commitInNewEpoch(
          await this.#committer.draft(this.head.ruleSet),
          {
            cause: 'epoch',
            detail,
          },
        );
        this.logger.warn({ epoch: release.manifest.epoch }, `${detail}: opened a new epoch`);
        return this.#announce(release);
      }
      this.logger.error(
        { subscriber, epoch, version, head: this.head?.manifest.version ?? 0 },
        'a subscriber proved a release that is not here: this state is older than what it released, and nothing is offered; restore the newer state, or go on with rulectl push or rollback --as-new-epoch',
      );
      this.subscribers.emit('change');
    });
  }

  #announce(release: Release): void {
    const { epoch, version, parts } = release.manifest;
    this.logger.info({ epoch, version, parts: parts.length }, 'released');
    this.emit('release', release);
    this.subscribers.emit('change');
  }

  /** What goes before a turn, and the turn: closing waits for both. */
  async #ahead<T>(work: () => Promise<T>): Promise<T> {
    const working = work();
    this.#underWay.add(working);
    try {
      return await working;
    } finally {
      this.#underWay.delete(working);
    }
  }

  #serially<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#turn.then(work);
    this.#turn = next.catch(() => undefined); // each caller hears of its own failure
    return next;
  }

  /** Waits for the push under way, which waits for no further names, then closes the store. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#names.close();
    this.#unscheduleNames?.();
    this.#cancelNameRelease?.();
    await Promise.allSettled([...this.#underWay]);
    await this.#turn;
    await this.#worker.close();
    await this.#known.close();
    await this.store.close();
  }
}

/** Whether a rule set could be released; why not is told by the draft of it. */
function isSound(ruleSet: RuleSet): boolean {
  return checkRuleSet(ruleSet).every(({ severity }) => severity !== 'fault');
}

/** The first of what guards say, as of a list. */
function refusalIn({ refusals }: Guarded): DeliveryRefusal {
  const [first] = refusals;
  return { code: first?.guard ?? ErrorCode.guardRefused, reason: first?.reason ?? '' };
}
