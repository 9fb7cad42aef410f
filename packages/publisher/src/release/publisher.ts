/**
 * The publisher as a library: one lineage, its store, its subscribers. Pushes come one after the other; each
 * becomes a release or leaves everything as it was.
 */

import { EventEmitter } from 'node:events';
import {
  type DocumentReject,
  type IngestNote,
  type IngestResult,
  ingest,
  type MustReach,
  NOTHING_TO_WITHDRAW,
  type OperatorRole,
  type PushedParts,
  type PushInput,
} from '@rulecast/formats';
import type { Identity } from '@rulecast/program/identity';
import { Listeners } from '@rulecast/program/listeners';
import {
  boundText,
  compareRelease,
  decodeManifest,
  diffPieces,
  ErrorCode,
  hexOf,
  keyIdOf,
  type Manifest,
  PartKind,
  ProtocolError,
  type Signed,
  signersAmong,
  type Turn,
} from '@rulecast/protocol';
import {
  checkPieces,
  checkRuleSet,
  inTurns,
  isPartName,
  type List,
  type Pieces,
  type RuleSet,
  type RuleSetProblem,
  RuleSetProblemCode,
  usedLists,
  usedNames,
} from '@rulecast/rules';
import type { BatchOutcome, Clock, DeliveryRefusal } from '@rulecast/sources';
import type { Logger } from 'pino';
import { bareText, newBareDrops, type ResolvedRuleSet } from '../guards/bare-drop.ts';
import { unreachable } from '../guards/must-reach.ts';
import { pushRefusals } from '../guards/push.ts';
import type { GuardedPush, GuardRefusal, PushPermits } from '../guards/refusal.ts';
import { asks, type Way } from '../guards/table.ts';
import { misfits, unsupportedRefusals } from '../guards/unsupported.ts';
import { openingRefusals, WIDER, widerDetail, widerLists, widerText } from '../guards/wider.ts';
import { type Host, SYSTEM_HOST } from '../host.ts';
import { type FailedName, Names } from '../names/names.ts';
import type { ResolveName } from '../names/resolve.ts';
import { type Signer, SignerError } from '../signer/signer.ts';
import { openState, type State, type StateOptions } from '../store/state.ts';
import { type Release, type Store, StoreError } from '../store/store.ts';
import type { HeldRelease } from '../subscribers/entry.ts';
import { KnownSubscribers } from '../subscribers/known.ts';
import { Subscribers } from '../subscribers/subscribers.ts';
import { attested } from './attest.ts';
import { BehindError, Committer, EpochError, GuardError, type Origin, type ReleaseDraft } from './commit.ts';
import {
  type Asked,
  beginProof,
  beginRelease,
  type DeskEffect,
  type DeskEvent,
  type DeskOutcome,
  type DeskStep,
  type Standing,
  stepDesk,
} from './desk.ts';
import { History } from './history.ts';
import { type ListUpdate, listChanges, withLists } from './list-update.ts';
import { NameRefresh } from './name-refresh.ts';
import type { ProvedRelease, ReleaseNumber } from './numbers.ts';
import type {
  Guarded,
  PushOutcome,
  ReleaseAudit,
  ReleaseOutcome,
  TouchedWarnings,
  VersionMoved,
} from './outcome.ts';
import { Pace } from './pace.ts';
import { type PartFilter, restored } from './part-filter.ts';
import { Transfers } from './transfer.ts';
import { Turns } from './turns.ts';
import { ReleaseWorker, type WorkHost } from './worker.ts';

export interface PublisherOptions extends StateOptions, Partial<Host> {
  /** Its name in WELCOME; 1 to 63 of `A-Z a-z 0-9 . _ -`. */
  readonly name: string;
  readonly resolve: ResolveName;
  readonly logger: Logger;
  /** Milliseconds since 1970; default that of the clock. */
  readonly nowMs?: () => number;
  /**
   * True: goes on in a new epoch by itself where a subscriber proves a newer release, with the content that
   * this publisher has.
   */
  readonly autoEpoch?: boolean | undefined;
  /** How long accept rules keep the addresses of a name that does not resolve; default 24 hours. */
  readonly nameAgeMs?: number | undefined;
  /** Packets that no release may drop. */
  readonly mustReach?: readonly MustReach[] | undefined;
  /** Opened already; default: opens or makes it. */
  readonly state?: State | undefined;
  /** What signs releases; default: the keys of the identity. */
  readonly signer?: Signer | undefined;
  /** Where long work is done; default a thread. */
  readonly workHost?: WorkHost | undefined;
  /**
   * Called after each release that somebody asked for, and with each guard that it went against, for somebody
   * permitted it.
   */
  readonly audit?: (entry: ReleaseAudit) => void;
}

/** The step that a release is at. `turn`: it waits for the release before it. */
export type ReleaseStage = 'reading' | 'names' | 'turn' | 'draft' | 'judge' | 'store';

export interface PushOptions {
  /** Who asks for it. */
  readonly by?: string | undefined;
  /** Refuse unless the head has this version (0: no release yet). */
  readonly ifVersion?: number | undefined;
  readonly dryRun?: boolean;
  /** Of who asks, for guards that ask by it; default: the owner's. */
  readonly role?: OperatorRole | undefined;
  /** What guards refuse otherwise. */
  readonly permits?: Partial<PushPermits>;
  /** True: release it in a new epoch, above all that was ever released, also where the head says the same. */
  readonly asNewEpoch?: boolean | undefined;
  /** Subscribers that have to apply it, beside those that are bound. */
  readonly require?: readonly string[] | undefined;
  /** Called as each stage begins. */
  readonly onStage?: ((stage: ReleaseStage) => void) | undefined;
  /** True: a withdrawal of what is not there succeeds. */
  readonly ifPresent?: boolean | undefined;
}

/** Whose lists of the rule set are, beside those who push. */
export interface ListOwner {
  /** Whether nobody else may change this list. */
  owns(list: string): boolean;
  /** Whether another list is made of this one, so that it is of use without a rule. */
  isOperand(list: string): boolean;
}

/** Two releases of one number; hashes in hex. */
interface Fork extends ReleaseNumber {
  readonly own: string;
  readonly other: string;
}

/** How a release is made. */
interface Releasing extends Pick<PushOptions, 'onStage'> {
  readonly notes?: readonly IngestNote[];
  readonly dryRun?: boolean | undefined;
  readonly asNewEpoch?: boolean | undefined;
  /** What there is against it. */
  readonly guards: (draft: ReleaseDraft) => Promise<readonly GuardRefusal[]>;
  /** What of that is permitted. */
  readonly permits?: Partial<PushPermits> | undefined;
}

/** What the release desk asks for. */
interface DeskWork extends Pick<Releasing, 'guards' | 'onStage'> {
  readonly draft: () => Promise<ReleaseDraft>;
}

/** What to do about a packet that must get through, by who would have it dropped. */
const PUSH_ADVICE = 'look at what you push, or add --allow-unreachable';
const SOURCE_ADVICE = 'look at its source; never-block: takes addresses out of lists';
const NAMES_ADVICE = 'look at what the name stands for now';
/**
 * What a list of a source is refused by that would leave a drop rule without an address. It is tried again.
 */
const NAMES_NOT_RESOLVED = 'names-not-resolved';
/** What lists of sources are refused by until the first push after `startOver`. They are tried again. */
const STARTED_OVER_CODE = 'started-over';
const STARTED_OVER =
  'the publisher started over, and firewalls may have policies in force: the first release has to have policies, with the lists of sources that wait for it; push them';
/** What a record of a release itself says in place of a guard. */
const RELEASED = 'released';
/** The guard of pushes that would do so. */
const UNRESOLVED = 'unresolved';

export class Publisher extends EventEmitter<{ release: [Release] }> {
  readonly identity: Identity;
  readonly name: string;
  readonly logger: Logger;
  readonly nowMs: () => number;
  readonly startedAtMs: number;
  readonly store: Store;
  readonly subscribers: Subscribers;
  readonly transfers: Transfers;
  readonly history: History;
  readonly #committer: Committer;
  readonly #autoEpoch: boolean;
  readonly #known: KnownSubscribers;
  readonly #worker: ReleaseWorker;
  /** Makes what subscribers are to catch up by, so that no push waits for that. */
  readonly #composer: ReleaseWorker;
  /** Of the event loop. */
  readonly turn: Turn;
  /** Of what sessions want of it. */
  readonly pace: Pace;
  /** What ages, waits and deadlines are measured by. */
  readonly clock: Clock;
  /** By the clock. */
  readonly #begunMs: number;
  readonly #names: Names;
  readonly #nameRefresh: NameRefresh;
  readonly #turns = new Turns();
  readonly #listeners: Listeners<{ release: [Release] }>;
  readonly #audit: (entry: ReleaseAudit) => void;
  /** Rule sets of pushes and batches that wait for their names. */
  readonly #awaited = new Set<RuleSet>();
  /** Lists of sources that wait for the first push, after `startOver`. */
  readonly #waiting = new Map<string, List>();
  #fork: Fork | undefined;
  /** The manifest of the newest release that a subscriber proved since the start. */
  #proved: Manifest | undefined;
  #mustReach: readonly MustReach[];
  #owner: ListOwner | undefined;

  /**
   * Opens or makes the identity and the store. Throws IdentityError, StoreError, and TypeError for a bad
   * name.
   */
  constructor(options: PublisherOptions) {
    super();
    if (!isPartName(options.name)) throw new TypeError(`"${options.name}" cannot name a publisher`);
    this.name = options.name;
    this.logger = options.logger;
    const { clock, random, turn } = { ...SYSTEM_HOST, ...options };
    this.clock = clock;
    this.turn = turn;
    this.pace = new Pace(turn);
    this.#begunMs = clock.monotonicMs();
    this.#worker = new ReleaseWorker(options.workHost, turn);
    this.#composer = new ReleaseWorker(options.workHost, turn);
    this.nowMs = options.nowMs ?? (() => Math.floor(this.clock.wallMs()));
    this.startedAtMs = this.nowMs();
    this.#listeners = new Listeners(this, this.logger);
    this.subscribers = new Subscribers(this.logger);
    this.#audit = options.audit ?? (() => undefined);
    const { resolve, nameAgeMs } = options;
    this.#names = new Names({
      resolve,
      clock,
      random,
      ...(nameAgeMs === undefined ? {} : { acceptAgeMs: nameAgeMs }),
    });
    this.#mustReach = options.mustReach ?? [];
    this.#autoEpoch = options.autoEpoch === true;
    const state = options.state ?? openState(options, this.startedAtMs);
    const { identity, store, startedOver } = state;
    this.identity = identity;
    this.store = store;
    if (startedOver) {
      this.logger.warn(
        { epoch: store.firstEpoch },
        'started over with an empty store: nothing is released before a push with policies, which opens a new epoch',
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
      signer: options.signer,
      head: state.head,
      encoder: this.#worker,
      nowMs: this.nowMs,
      turn,
    });
    if (store.damagedCount > 0) {
      const text = 'older releases in the store are damaged: nobody can go back to them';
      this.logger.error({ releases: store.damagedCount }, text);
    }
    this.transfers = new Transfers(this.store, this.#worker, this.#composer, (ms, work) =>
      this.clock.after(ms, work),
    );
    if (this.head !== undefined) this.#prepareFor(this.head);
    this.history = new History(this.store, this.#committer, this.#worker);
    this.#nameRefresh = new NameRefresh({
      names: this.#names,
      turns: this.#turns,
      clock: this.clock,
      logger: this.logger,
      ruleSet: () => this.#committer.ruleSet,
      mayRelease: () => this.head !== undefined && this.behind === undefined,
      release: (ruleSet, changed) => this.#releaseNames(ruleSet, changed),
    });
  }

  /** How long it runs, in milliseconds, whatever the wall clock is set to. */
  get uptimeMs(): number {
    return this.clock.monotonicMs() - this.#begunMs;
  }

  /** From now on what a push waits for is ready before it comes. Never rejects. */
  keepReady(): Promise<void> {
    return this.#worker.keepReady();
  }

  /** The newest release; undefined before the first. */
  get head(): Release | undefined {
    return this.#committer.head;
  }

  /**
   * The release that a subscriber proved and that is not here: until an epoch above it is open nothing is
   * offered.
   */
  get behind(): ReleaseNumber | undefined {
    return this.#committer.behind;
  }

  /**
   * Nothing was released since `startOver`, and firewalls may have policies in force: a release without any,
   * which would leave them to their boot mode, is not made.
   */
  get isStartedOver(): boolean {
    return this.store.isStartedOver;
  }

  /**
   * Signs for a nonce that a release is the newest, or that there is none; undefined where too few keys are
   * here.
   */
  async attest(nonce: Uint8Array, head: Release | undefined): Promise<Signed | undefined> {
    await this.pace.step();
    return attested(this.identity, nonce, head);
  }

  /** The head was signed by keys that may not release any more: nobody takes it. */
  get isDisowned(): boolean {
    return this.#committer.isDisowned;
  }

  /** Two releases of one number, of which one is here, until an epoch above is open; hashes in hex. */
  get fork(): Fork | undefined {
    return this.behind === undefined ? undefined : this.#fork;
  }

  /** What does not work as it should about names, each a sentence. */
  get nameTroubles(): readonly string[] {
    return this.#nameRefresh.troubles;
  }

  /** Packets that no release may drop from now on. */
  setMustReach(mustReach: readonly MustReach[]): void {
    this.#mustReach = mustReach;
  }

  /** From now on lists that `owner` owns cannot be pushed. */
  setListOwner(owner: ListOwner): void {
    this.#owner = owner;
  }

  /**
   * Puts lists of sources in force as one release, if anything differs; undefined removes one. Lists that the
   * rule set cannot have so are left as they were and named; so are those that rules accept of which entries
   * come to stand for more, unless `mayWiden` has them. Throws BehindError and StoreError; then nothing
   * changed.
   */
  updateLists(
    batch: ReadonlyMap<string, List | undefined>,
    mayWiden: ReadonlySet<string> = new Set(),
  ): Promise<BatchOutcome> {
    return this.#turns.ahead(async () => {
      if (this.isStartedOver) return this.#letWait(batch);
      const { ruleSet } = await this.#inTurns(withLists(this.#committer.ruleSet, batch));
      await this.#bring(ruleSet);
      return this.#turns.take(() => this.#updateListsNow(batch, mayWiden));
    });
  }

  /** Nothing is released before a push that has policies, which these lists are part of then. */
  #letWait(batch: ReadonlyMap<string, List | undefined>): BatchOutcome {
    const refusal: DeliveryRefusal = { code: STARTED_OVER_CODE, reason: STARTED_OVER, isTemporary: true };
    for (const [name, list] of batch) {
      if (list === undefined) this.#waiting.delete(name);
      else this.#waiting.set(name, list);
    }
    return { refused: new Map([...batch.keys()].map((name) => [name, refusal])), changes: new Map() };
  }

  async #updateListsNow(
    batch: ReadonlyMap<string, List | undefined>,
    mayWiden: ReadonlySet<string>,
  ): Promise<BatchOutcome> {
    const { ruleSet: current } = this.#committer;
    const wider = await this.#inTurns(widerLists(current, batch, current.policies, { isFirst: true }));
    const opening = openingRefusals(wider);
    const waiting = [...opening].filter(([name]) => !mayWiden.has(name));
    const held = new Map([...(await this.#heldBack(batch)), ...waiting]);
    const { ruleSet, refused } = await this.#withResolvedLists(
      new Map([...batch].filter(([name]) => !held.has(name))),
    );
    const names = [...batch.keys()].filter((name) => !refused.has(name) && !held.has(name));
    const allRefused = (refusal: DeliveryRefusal): BatchOutcome => ({
      refused: new Map([...held, ...refused, ...names.map((name) => [name, refusal] as const)]),
      changes: new Map(),
    });
    try {
      const origin: Origin = { cause: 'source', detail: widerDetail(names, wider) };
      const guards = this.#guardsOf('source', {}, SOURCE_ADVICE);
      const outcome = await this.#release(ruleSet, origin, { guards });
      if (outcome.kind === 'guarded') return allRefused(refusalIn(outcome));
      for (const [list, found] of wider) {
        if (names.includes(list))
          this.logger.warn({ list, entries: found.count }, `list ${list}: ${widerText(found)}`);
      }
      return {
        refused: new Map([...held, ...refused]),
        changes: listChanges(outcome.draft.changes),
        widened: new Map([...opening].filter(([name]) => names.includes(name))),
      };
    } catch (error) {
      if (!(error instanceof ProtocolError || error instanceof GuardError)) throw error;
      return allRefused({ code: error.code, reason: error.message }); // of the content: trying again is of no use
    }
  }

  /**
   * Lists by which a packet that must get through would be dropped, or that a firewall cannot take, each for
   * itself: they hold up no other.
   */
  async #heldBack(
    batch: ReadonlyMap<string, List | undefined>,
  ): Promise<ReadonlyMap<string, DeliveryRefusal>> {
    const held = this.#unsupportedLists(batch);
    if (this.#mustReach.length === 0) return held;
    for (const [name, list] of batch) {
      const alone = await this.#inTurns(withLists(this.#committer.ruleSet, new Map([[name, list]])));
      const [refusal] = await this.#cutOff(alone, SOURCE_ADVICE);
      if (refusal !== undefined) held.set(name, { code: refusal.guard, reason: refusal.reason });
    }
    return held;
  }

  /** Lists to hold back for now: rules use them, and a required firewall cannot take that. */
  #unsupportedLists(batch: ReadonlyMap<string, List | undefined>): Map<string, DeliveryRefusal> {
    const { ruleSet: before } = this.#committer;
    const firewalls = this.subscribers.firewalls();
    const against = (some: Iterable<readonly [string, List | undefined]>): readonly GuardRefusal[] => {
      const lists = new Map(before.lists);
      for (const [name, list] of some) if (list !== undefined) lists.set(name, list);
      return unsupportedRefusals({ before, after: { ...before, lists }, way: 'source', firewalls });
    };
    if (against(batch).length === 0) return new Map();
    return new Map(
      [...batch].flatMap(([name, list]) => {
        const [refusal] = list?.kind === 'names' ? against([[name, list]]) : [];
        if (refusal === undefined) return [];
        return [[name, { code: refusal.guard, reason: refusal.reason, isTemporary: true }] as const];
      }),
    );
  }

  /** What must get through and would not. */
  #cutOff({ ruleSet }: { readonly ruleSet: RuleSet }, advice: string): Promise<readonly GuardRefusal[]> {
    const now = Math.floor(this.nowMs() / 1000);
    return unreachable(this.head?.ruleSet, ruleSet, this.#mustReach, { now, advice, turn: this.turn });
  }

  /**
   * The rule set with a batch, but for lists that would leave a drop rule without an address: those wait
   * until their names resolve.
   */
  async #withResolvedLists(batch: ReadonlyMap<string, List | undefined>): Promise<ListUpdate> {
    const { ruleSet: head } = this.#committer;
    const update = await this.#inTurns(withLists(head, batch));
    const drops = await this.#inTurns(newBareDrops(head, this.#withResolutions(update.ruleSet)));
    const bare = drops.filter(({ list }) => list !== undefined && batch.has(list));
    if (bare.length === 0) return update;
    const held = new Map(
      bare.map((drop) => [
        drop.list ?? '',
        { code: NAMES_NOT_RESOLVED, reason: bareText(drop), isTemporary: true },
      ]),
    );
    const rest = await this.#inTurns(
      withLists(head, new Map([...batch].filter(([name]) => !held.has(name)))),
    );
    return { ...rest, refused: new Map([...rest.refused, ...held]) };
  }

  /**
   * Reads, checks and releases what was pushed. Throws BehindError, GuardError, ProtocolError, StoreError,
   * and TypeError for an unknown action; then nothing changed.
   */
  push(input: PushInput, options: PushOptions = {}): Promise<PushOutcome> {
    return this.#turns.ahead(async () => {
      const moved = this.#movedFrom(options.ifVersion);
      if (moved !== undefined) return moved;
      options.onStage?.('reading');
      const pushed = await this.#worker.read(input, Math.floor(this.nowMs() / 1000));
      const early = await this.#ingested(pushed, input);
      if (early.kind === 'rejects') return early;
      await this.turn();
      options.onStage?.('names');
      await this.#bring(early.ruleSet);
      options.onStage?.('turn');
      return this.#turns.take(() => this.#pushNow(pushed, input, options));
    });
  }

  async #pushNow(pushed: PushedParts, input: PushInput, options: PushOptions): Promise<PushOutcome> {
    const moved = this.#movedFrom(options.ifVersion);
    if (moved !== undefined) return moved;
    const read = await this.#ingested(pushed, input);
    if (read.kind === 'rejects') return read;
    await this.turn();
    const absent =
      input.action === 'withdraw' && options.ifPresent !== true ? await this.#absentFrom(read) : [];
    if (absent.length > 0) return { kind: 'rejects', rejects: absent, rejectCount: absent.length };
    const detail = input.files.filter(({ role }) => role === 'pushed').map(({ name }) => name);
    const origin: Origin = { cause: 'push', detail: detail.join(', '), by: options.by };
    const { permits, dryRun, asNewEpoch, onStage } = options;
    const guards = this.#guardsOf('push', options);
    const notes = [
      ...read.notes,
      ...(await this.#widerNotes(read.ruleSet)),
      ...this.#misfitNotes(read.ruleSet, options),
    ];
    return this.#release(read.ruleSet, origin, { notes, dryRun, asNewEpoch, permits, guards, onStage });
  }

  /** Why there is nothing to withdraw: a part is not there, or all that is there stays. */
  async #absentFrom({
    ruleSet,
    notes,
  }: Extract<IngestResult, { kind: 'rule-set' }>): Promise<readonly DocumentReject[]> {
    const place = { line: 1, column: 1, code: NOTHING_TO_WITHDRAW };
    const advice = 'nothing was released; --if-present takes that for done';
    const parts = notes.filter(({ code }) => code === NOTHING_TO_WITHDRAW);
    if (parts.length > 0)
      return parts.map(({ part, reason }) => ({ ...place, file: part, reason: `${reason}: ${advice}` }));
    const { changes } = await this.#inTurns(diffPieces(this.#committer.ruleSet, ruleSet));
    if (changes.length > 0) return [];
    return [{ ...place, file: 'push', reason: `no list and no policy has anything of it: ${advice}` }];
  }

  async #widerNotes({ lists, policies }: RuleSet): Promise<readonly IngestNote[]> {
    const { ruleSet: current } = this.#committer;
    const found = await this.#inTurns(widerLists(current, lists, policies, { isFirst: false }));
    return [...found].map(([part, wider]) => ({
      code: WIDER,
      part,
      reason: `list ${part}: ${widerText(wider)}`,
    }));
  }

  /** Warnings about firewalls that are not required and cannot take the release. */
  #misfitNotes(ruleSet: RuleSet, { require }: PushOptions): readonly IngestNote[] {
    const others = this.subscribers.firewalls(require).filter(({ isRequired }) => !isRequired);
    return misfits(ruleSet, others).map(({ firewall, code, text }) => ({
      code,
      part: `subscriber ${firewall}`,
      reason: `${text}, or it keeps what it has`,
    }));
  }

  /** What the guards of a way have against a draft; what says the head once more goes the way of that. */
  #guardsOf(
    asked: Way,
    { role = 'admin', asNewEpoch, require }: PushOptions,
    advice = PUSH_ADVICE,
  ): Releasing['guards'] {
    return async (draft) => {
      const isSame = draft.changes.every(({ kind }) => kind === PartKind.resolutions);
      const way = isSame && asNewEpoch === true ? 'epoch' : asked;
      const push: GuardedPush = {
        before: this.#committer.ruleSet,
        after: draft.ruleSet,
        way,
        role,
        isOfSource: (list) => this.#owner?.owns(list) === true,
        firewalls: this.subscribers.firewalls(require),
        now: Math.floor(this.nowMs() / 1000),
      };
      return [
        ...(await this.#inTurns(pushRefusals(push))),
        ...(asks('unresolved', way, role) ? await this.#bareRefusals(draft) : []),
        ...(asks('mustReach', way, role) ? await this.#cutOff(draft, advice) : []),
      ];
    };
  }

  async #ingested(pushed: PushedParts, input: PushInput): Promise<IngestResult> {
    const { ruleSet } = this.#committer;
    const before = this.isStartedOver
      ? (await this.#inTurns(withLists(ruleSet, this.#waiting))).ruleSet
      : ruleSet;
    return ingest(before, pushed, input, (list) => this.#owner?.owns(list) === true);
  }

  /**
   * Asks for the names that a rule set has and the head has not, and waits for them, though not for long, and
   * off the turn: no other release waits for a name. For what is refused anyway, such as too many names,
   * nobody is asked.
   */
  async #bring(ruleSet: RuleSet): Promise<void> {
    const problems = await this.#inTurns(checkPieces(ruleSet));
    if (problems.some(({ severity }) => severity === 'fault')) return; // why is told by the draft of it
    this.#awaited.add(ruleSet);
    try {
      await this.turn();
      const known = new Set(usedNames(this.#committer.ruleSet));
      await this.turn();
      await this.#names.bring(ruleSet, (name) => !known.has(name));
    } finally {
      this.#awaited.delete(ruleSet);
    }
  }

  /** Policies with a drop rule that would be left without any address, and is not so already. */
  async #bareRefusals({ ruleSet }: ReleaseDraft): Promise<readonly GuardRefusal[]> {
    const drops = newBareDrops(this.#committer.ruleSet, this.#withResolutions(ruleSet));
    const bare = await this.#inTurns(drops);
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
   * Releases the content of an earlier version, or one part of it, above the head. A part that was not there
   * then is removed. Of its names one that the head has not stands for what it stood for then, until it is
   * asked for, at once. Throws UnknownReleaseError, ProtocolError `no-such-part`, and what `push` throws.
   */
  rollback(
    version: number,
    only: PartFilter,
    options: PushOptions = {},
  ): Promise<ReleaseOutcome | Guarded | VersionMoved> {
    return this.#turns.take(async () => {
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
      const { permits, dryRun, asNewEpoch, onStage } = options;
      const guards = this.#guardsOf('rollback', options);
      const origin: Origin = { cause: 'rollback', detail, by: options.by };
      const notes = this.#misfitNotes(ruleSet, options);
      return this.#release(ruleSet, origin, { notes, dryRun, asNewEpoch, permits, guards, onStage });
    });
  }

  #inTurns<T>(pieces: Pieces<T>): Promise<T> {
    return inTurns(pieces, this.turn);
  }

  #movedFrom(ifVersion: number | undefined): VersionMoved | undefined {
    const version = this.head?.manifest.version ?? 0;
    return ifVersion === undefined || ifVersion === version ? undefined : { kind: 'version-moved', version };
  }

  /**
   * Makes a rule set the next release, with what its names stand for now, unless it says what the head says
   * or `guards` refuses it. Of its resolutions a name keeps what it has there if it was not answered for.
   * Call it in turn.
   */
  async #release(
    ruleSet: RuleSet,
    origin: Origin,
    { notes = [], dryRun = false, asNewEpoch = false, permits = {}, guards, onStage }: Releasing,
  ): Promise<ReleaseOutcome | Guarded> {
    if (this.isStartedOver && ruleSet.policies.size === 0)
      throw new GuardError({ part: '', reason: STARTED_OVER });
    const asked: Asked = { origin, permits, isDryRun: dryRun, asNewEpoch };
    const { behind, isDisowned } = this;
    const { resolutions, failed } = this.#names.resolved(ruleSet);
    const told = { warnings: this.warnings, failed: this.#nameRefresh.failed };
    const outcome = await this.#atDesk(beginRelease(asked, this.#standing), {
      draft: async () => this.#withoutOperands(await this.#committer.draft({ ...ruleSet, resolutions })),
      guards,
      onStage,
    });
    if (outcome.kind === 'guarded') return outcome;
    if (outcome.kind === 'behind' || outcome.kind === 'known') throw new Error('nothing was proved');
    const { kind, draft } = outcome;
    const failedNames = touchedNames(draft, failed, told.failed);
    const opensOther = asNewEpoch || isDisowned || behind !== undefined;
    const result = {
      kind,
      isNew: kind === 'released' || (kind === 'planned' && (draft.changed || opensOther)),
      draft,
      notes: behind === undefined ? notes : [...notes, this.#lostNote(behind)],
      failedNames,
      warnings: touchedWarnings(draft, told.warnings),
    };
    if (kind === 'planned') return { ...result, head: this.head };
    this.#nameRefresh.noteFailed(failed);
    if (outcome.kind === 'released') {
      this.#waiting.clear();
      this.#announce(outcome.release, asked.origin);
      this.#record(outcome.release, asked.origin, outcome.against);
    }
    this.#names.keepOnly(ruleSet, ...this.#awaited);
    this.#nameRefresh.schedule();
    return { ...result, head: this.head };
  }

  /** What a new epoch takes out of force, as far as its manifest says it: its content is not here. */
  #lostNote({ epoch, version }: ReleaseNumber): IngestNote {
    const lost = this.#proved?.epoch === epoch && this.#proved.version === version ? this.#proved : undefined;
    const amounts =
      lost && ` (parts: ${lost.parts}, prefixes: ${lost.prefixes}, names and rules: ${lost.others})`;
    const reason = `release ${epoch}/${version}${amounts ?? ''} was made and is not here: what it says beyond this one goes out of force where it is`;
    return { code: ErrorCode.publisherBehind, part: '', reason };
  }

  get #standing(): Standing {
    const { behind, isDisowned } = this;
    return { head: this.head?.manifest, behind, isAuto: this.#autoEpoch, isDisowned };
  }

  /** The pump of desk.ts. Throws what is refused. */
  async #atDesk(first: DeskStep, work: DeskWork): Promise<DeskOutcome> {
    let step = first;
    while (step.effect !== undefined) {
      const event = await this.#do(step.effect, work).catch(
        (cause: unknown) => ({ kind: 'failed', cause }) as const,
      );
      step = stepDesk(step.state, event);
    }
    if (step.state.kind === 'done') return step.state.outcome;
    throw step.state.kind === 'refused' ? step.state.error : new Error(`the desk ended ${step.state.kind}`);
  }

  async #do(effect: DeskEffect, { draft, guards, onStage }: DeskWork): Promise<DeskEvent> {
    if (effect.kind !== 'note') onStage?.(effect.kind);
    switch (effect.kind) {
      case 'note':
        return { kind: 'noted', isNews: this.#noteBehind(effect.proved), standing: this.#standing };
      case 'draft':
        return { kind: 'drafted', draft: await draft() };
      case 'judge':
        return { kind: 'judged', against: await guards(effect.draft) };
      case 'store': {
        const { draft: made, origin, opensEpoch } = effect;
        const stored = opensEpoch
          ? this.#committer.commitInNewEpoch(made, origin)
          : this.#committer.commit(made, origin);
        return { kind: 'stored', release: await stored };
      }
    }
  }

  /**
   * A release that somebody asked for is on record, and what it went against. What that throws changes
   * nothing: the release is made.
   */
  #record(
    { manifest: { epoch, version } }: Release,
    { cause, by, detail }: Origin,
    against: readonly GuardRefusal[],
  ): void {
    if (cause === 'push' || cause === 'rollback' || by !== undefined) {
      const none = { permit: undefined, before: 0, after: 0 };
      this.#toAudit({
        cause,
        by,
        epoch,
        version,
        part: '',
        code: RELEASED,
        reason: boundText(detail),
        ...none,
      });
    }
    for (const { guard: code, part, permit, reason, before, after } of against) {
      const entry: ReleaseAudit = { cause, by, epoch, version, part, code, permit, reason, before, after };
      this.logger.warn({ audit: entry }, `${part} was released against a guard, as somebody asked`);
      this.#toAudit(entry);
    }
  }

  /** Somebody had sources read, and what they brought since `before` is the head. */
  recordRefresh(before: Release | undefined, by: string, lists: readonly string[]): void {
    if (this.head === undefined || this.head === before) return;
    this.#record(this.head, { cause: 'source', by, detail: `refresh ${lists.join(', ')}` }, []);
  }

  #toAudit(entry: ReleaseAudit): void {
    try {
      this.#audit(entry);
    } catch (error) {
      this.logger.error({ err: error }, 'what was released or permitted is not on record');
    }
  }

  /** What is odd about the rule set in force. */
  get warnings(): readonly RuleSetProblem[] {
    return checkRuleSet(this.#committer.ruleSet).filter((problem) => this.#isOdd(problem));
  }

  #isOdd({ code, part }: RuleSetProblem): boolean {
    return code !== RuleSetProblemCode.unusedList || this.#owner?.isOperand(part) !== true;
  }

  /** A draft that does not warn of lists which others are made of. */
  #withoutOperands(draft: ReleaseDraft): ReleaseDraft {
    return { ...draft, warnings: draft.warnings.filter((problem) => this.#isOdd(problem)) };
  }

  /**
   * Asks for the names that are due, and puts what they stand for now in force as one release, if anything
   * differs and that is not too often. Called by itself when a name's time to live ends. Throws ProtocolError
   * `over-limit` and StoreError; then nothing changed.
   */
  refreshNames(): Promise<void> {
    return this.#nameRefresh.refresh();
  }

  async #releaseNames(ruleSet: RuleSet, changed: readonly string[]): Promise<string | undefined> {
    const outcome = await this.#release(
      ruleSet,
      { cause: 'names', detail: changed.join(', ') },
      { guards: this.#guardsOf('names', {}, NAMES_ADVICE) },
    );
    return outcome.kind === 'guarded' ? refusalIn(outcome).reason : undefined;
  }

  /** Resolves when no name is asked for, and nothing is being released. */
  async idle(): Promise<void> {
    while (!this.#names.isIdle) await this.turn();
    await this.#turns.over();
  }

  /**
   * Releases what the head says once more, where a root has taken the keys away that signed it: subscribers
   * take nothing else. Not while the publisher is behind. Where it cannot be, that is logged, and changes
   * nothing: a publisher starts all the same, for whoever is to mend it needs it.
   */
  renew(): Promise<void> {
    return this.#turns.take(async () => {
      const { head } = this;
      if (head === undefined || this.behind !== undefined || !this.isDisowned) return;
      const { number } = this.identity.root;
      try {
        const draft = await this.#committer.draft(head.ruleSet);
        const release = await this.#committer.commit(draft, { cause: 'root', detail: `root ${number}` });
        this.logger.warn({ root: number, version: release.manifest.version }, 'released under a new root');
        this.#announce(release, { cause: 'root' });
      } catch (error) {
        if (!isRefusal(error)) throw error;
        const text =
          'what is in force could not be released under the new root, and firewalls take nothing else: mend what is said here, then push it again';
        this.logger.error({ err: error, root: number }, text);
      }
    });
  }

  /**
   * A subscriber proved a release that is not here: this lineage's latest state was lost. From now on nothing
   * is offered and no version given, until a push or a rollback opens an epoch above it, or with `autoEpoch`
   * at once, and again with each proof if that failed. Without `proof` it counts under every root. Throws
   * StoreError where the epoch cannot be opened.
   */
  proved(known: HeldRelease, subscriber: string, proof?: Signed): Promise<void> {
    return this.#turns.take(async () => {
      const { epoch, version } = known;
      const isNewFork = this.#noteFork(known, subscriber);
      if (proof !== undefined && compareRelease(this.#proved ?? known, known) <= 0)
        this.#proved = decodeManifest(proof.content);
      const outcome = await this.#atDesk(
        beginProof({ epoch, version, keys: proof && this.#signersOf(proof) }),
        {
          draft: () => this.#committer.draft(this.#committer.ruleSet),
          guards: async () => [],
        },
      );
      if (outcome.kind === 'released') {
        const text = `a subscriber proved release ${epoch}/${version}: opened a new epoch`;
        this.logger.warn({ epoch: outcome.release.manifest.epoch }, text);
        return this.#announce(outcome.release, { cause: 'epoch' });
      }
      if (outcome.kind !== 'behind' || !outcome.isNews || isNewFork) return;
      this.logger.error(
        { subscriber, epoch, version, head: this.head?.manifest.version ?? 0 },
        'a subscriber proved a release that is not here: this state is older than what it released, and nothing is offered; restore the newer state, or go on with rulectl push or rollback --as-new-epoch',
      );
      this.subscribers.changed();
    });
  }

  /** Two releases of one number: somebody else has the key, or this publisher went on from an old state. */
  #noteFork({ epoch, version, hash }: HeldRelease, subscriber: string): boolean {
    const own = this.store.hashOf({ epoch, version });
    const other = hexOf(hash);
    if (own === undefined || own === other || epoch < (this.head?.manifest.epoch ?? 0)) return false;
    if (this.#fork?.other === other) return false;
    this.#fork = { epoch, version, own, other };
    this.logger.error(
      { subscriber, code: ErrorCode.forked, ...this.#fork },
      'a subscriber proved another release of a number that is here: another publisher uses this key, or this one was restored from a backup and went on. Nothing is offered: stop the other one, then go on above both with rulectl push or rollback --as-new-epoch',
    );
    this.subscribers.changed();
    return true;
  }

  /** Ids of the release keys that signed, of those that may. */
  #signersOf(signed: Signed): readonly string[] {
    const { keys } = this.identity.root.roles.release;
    return keys.filter((key) => signersAmong([key], signed) > 0).map((key) => hexOf(keyIdOf(key)));
  }

  #noteBehind(known: ProvedRelease): boolean {
    try {
      return this.#committer.noteBehind(known);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.logger.error({ err: error }, 'what was proved cannot be kept over a restart');
      return true;
    }
  }

  #announce(release: Release, { cause, by }: Pick<Origin, 'cause' | 'by'>): void {
    const { epoch, version, parts } = release.manifest;
    this.logger.info({ epoch, version, parts, cause, by }, 'released');
    this.#listeners.tell('release', release);
    this.#prepareFor(release);
    this.subscribers.changed();
  }

  /** Those who are away are to be sent the first byte of what they lack as soon as they are back. */
  #prepareFor(release: Release): void {
    void this.transfers.prepareAll(release, this.subscribers.heldAway(this.nowMs())); // never rejects
  }

  /** Waits for the push under way, which waits for no further names, then closes the store. */
  async close(): Promise<void> {
    this.#names.close();
    this.#nameRefresh.close();
    await this.#turns.settled();
    await this.#worker.close();
    await this.#composer.close();
    await this.#known.close();
    await this.store.close();
  }
}

/**
 * Warnings about parts that change, that are new, or that are about the rule set as a whole: others were told
 * before.
 */
function touchedWarnings(
  { changes, warnings }: ReleaseDraft,
  told: readonly RuleSetProblem[],
): TouchedWarnings {
  const changed = new Set(changes.map(({ name }) => name));
  const before = new Set(told.map(({ code, part }) => `${code} ${part}`));
  const shown = warnings.filter(({ code, part }) => {
    return part === '' || changed.has(part) || !before.has(`${code} ${part}`);
  });
  return { shown, otherCount: warnings.length - shown.length };
}

function touchedNames(
  { changes, ruleSet }: ReleaseDraft,
  failed: readonly FailedName[],
  told: readonly FailedName[],
): readonly FailedName[] {
  if (failed.length === 0) return failed;
  const changed = new Set(changes.map(({ name }) => name));
  const policies = [...ruleSet.policies].filter(([name, policy]) => {
    return changed.has(name) || [...usedLists([policy])].some((list) => changed.has(list));
  });
  const used = new Set(usedNames({ ...ruleSet, policies: new Map(policies) }));
  const before = new Set(told.map(({ name }) => name));
  return failed.filter(({ name }) => used.has(name) || !before.has(name));
}

/** What keeps a release from being made, and is no fault of ours. */
function isRefusal(error: unknown): boolean {
  return (
    error instanceof BehindError ||
    error instanceof EpochError ||
    error instanceof GuardError ||
    error instanceof ProtocolError ||
    error instanceof SignerError ||
    error instanceof StoreError
  );
}

/** The first of what guards say, as of a list. */
function refusalIn({ refusals }: Guarded): DeliveryRefusal {
  const [first] = refusals;
  return { code: first?.guard ?? ErrorCode.guardRefused, reason: first?.reason ?? '' };
}
