/**
 * The publisher as a library: one lineage, its store, its subscribers. This file puts its parts together:
 * pushes, source batches and names go through the release desk, one after the other.
 */

import { EventEmitter } from 'node:events';
import type { MustReach, PushedFile, PushInput } from '@rulecast/formats';
import type { Identity } from '@rulecast/program/identity';
import { Listeners } from '@rulecast/program/listeners';
import {
  type ControlRecordOf,
  ErrorCode,
  ProtocolError,
  RELEASE_CAUSES,
  RootWatch,
  type Signed,
  type Turn,
} from '@rulecast/protocol';
import { isPartName, type RuleSet, type RuleSetProblem } from '@rulecast/rules';
import {
  type HeldRelease,
  Pace,
  type ReleaseNumber,
  type SessionRelease,
  Subscribers,
} from '@rulecast/sessions';
import type { BatchOutcome, Clock } from '@rulecast/sources';
import type { Logger } from 'pino';
import { baseOf } from '../blocks/compile.ts';
import { RowEnds } from '../blocks/rows.ts';
import { CounterSums } from '../counts/sums.ts';
import { Tally } from '../counts/tally.ts';
import { permitCodes } from '../guards/permits.ts';
import type { GuardRefusal } from '../guards/refusal.ts';
import { type Host, SYSTEM_HOST } from '../host.ts';
import { Names } from '../names/names.ts';
import type { ResolveName } from '../names/resolve.ts';
import { type Signer, SignerError } from '../signer/signer.ts';
import { openState, type State, type StateOptions } from '../store/state.ts';
import { type Release, type Store, StoreError } from '../store/store.ts';
import { KnownSubscribers } from '../subscribers/known.ts';
import { subscriberRecords } from '../subscribers/record.ts';
import { attested } from './attest.ts';
import { ReleaseRecord } from './audit.ts';
import { Blocks } from './blocks.ts';
import { BehindError, Committer, EpochError, GuardError, type Origin } from './commit.ts';
import { ReleaseDesk } from './desk.ts';
import { DraftGuards, type ListOwner } from './draft-guards.ts';
import { History } from './history.ts';
import { NameRefresh } from './name-refresh.ts';
import {
  firstRefusal,
  type GuardOutcome,
  type PushOutcome,
  type ReleaseAudit,
  type ReleaseOutcome,
  type VersionConflict,
} from './outcome.ts';
import { type PartFilter, restored } from './part-filter.ts';
import { PendingNames } from './pending-names.ts';
import { type Fork, Proofs } from './proofs.ts';
import { movedFrom, Pushes } from './pushes.ts';
import type { PushOptions } from './request.ts';
import { type RulesContent, RulesFile } from './rules-file.ts';
import { type ListBatch, SourceBatches } from './source-batches.ts';
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
  /** How long accept rules keep the addresses of a name that fails to resolve; default 24 hours. */
  readonly nameAgeMs?: number | undefined;
  /** Packets that no release may drop. */
  readonly mustReach?: readonly MustReach[] | undefined;
  /** Opened already; default: opens or makes it. */
  readonly state?: State | undefined;
  /** Signs releases; default: the keys of the identity. */
  readonly signer?: Signer | undefined;
  /** Runs long work; default a thread. */
  readonly workHost?: WorkHost | undefined;
  /** Called after each release that a caller requested, and for each guard that a permit overrode. */
  readonly audit?: (entry: ReleaseAudit) => void;
}

const NAMES_ADVICE = 'look at what the name stands for now';

export class Publisher extends EventEmitter<{ release: [Release] }> {
  readonly identity: Identity;
  readonly name: string;
  readonly logger: Logger;
  readonly nowMs: () => number;
  readonly startedAtMs: number;
  readonly store: Store;
  readonly subscribers: Subscribers;
  /** Sums of the subscribers' counters; the daemon that serves them adds to it. */
  readonly sums = new CounterSums({
    nowMs: () => this.nowMs(),
    monotonicMs: () => this.clock.monotonicMs(),
  });
  readonly tally = new Tally(() => this.clock.monotonicMs());
  readonly transfers: Transfers;
  readonly history: History;
  /** The rules file, as the daemon names it. */
  readonly rules: RulesFile;
  /** Blocks, allows and cuts by `rulectl`, beside the pushed rules. */
  readonly blocks: Blocks;
  /** Yields to the event loop. */
  readonly turn: Turn;
  /** Paces the work of sessions. */
  readonly pace: Pace;
  /** The clock for ages, waits and deadlines. */
  readonly clock: Clock;
  /** By the clock. */
  readonly #begunMs: number;
  readonly #known: KnownSubscribers;
  readonly #worker: ReleaseWorker;
  /** Composes deltas and snapshots for subscribers, apart from the worker of pushes. */
  readonly #composer: ReleaseWorker;
  readonly #committer: Committer;
  readonly #names: Names;
  readonly #nameRefresh: NameRefresh;
  readonly #turns = new Turns();
  readonly #guards: DraftGuards;
  readonly #proofs: Proofs;
  readonly #desk: ReleaseDesk;
  readonly #batches: SourceBatches;
  readonly #pushes: Pushes;
  readonly #record: ReleaseRecord;
  readonly #listeners: Listeners<{ release: [Release] }>;
  readonly #rootWatch = new RootWatch({
    after: (ms, work) => this.clock.after(ms, work),
    readings: () => {
      const now = Math.floor(this.nowMs() / 1000);
      return { earliest: now, latest: now };
    },
    root: () => this.identity.root,
    onChange: (rootRenewal, text) =>
      this.logger[rootRenewal === 'good' ? 'info' : 'warn']({ rootRenewal }, text),
  });

  /**
   * Opens or makes the identity and the store. Throws IdentityError, StoreError, and TypeError for a bad
   * name.
   */
  constructor(options: PublisherOptions) {
    super();
    if (!isPartName(options.name)) throw new TypeError(`"${options.name}" cannot name a publisher`);
    const { clock, random, turn } = { ...SYSTEM_HOST, ...options };
    const { name, logger, workHost, resolve, nameAgeMs, mustReach = [] } = options;
    const turns = this.#turns;
    const nowMs = options.nowMs ?? (() => Math.floor(clock.wallMs()));
    this.name = name;
    this.logger = logger;
    this.clock = clock;
    this.turn = turn;
    this.nowMs = nowMs;
    this.pace = new Pace(turn);
    this.#begunMs = clock.monotonicMs();
    this.startedAtMs = nowMs();
    const worker = new ReleaseWorker(workHost, turn);
    const composer = new ReleaseWorker(workHost, turn);
    this.#worker = worker;
    this.#composer = composer;
    this.#listeners = new Listeners(this, logger);
    this.#record = new ReleaseRecord(options.audit ?? (() => undefined), logger);
    const subscribers = new Subscribers(logger);
    this.subscribers = subscribers;
    const names = new Names({ resolve, clock, random, ...(nameAgeMs && { acceptAgeMs: nameAgeMs }) });
    this.#names = names;
    const { identity, store, startedOver, head } = options.state ?? openState(options, this.startedAtMs);
    this.identity = identity;
    this.store = store;
    this.rules = new RulesFile(store, (list) => guards.isOfSource(list));
    this.#known = new KnownSubscribers({ store, subscribers, clock, logger });
    const { signer } = options;
    const committer = new Committer({ store, identity, signer, head, encoder: worker, nowMs, turn });
    this.#committer = committer;
    this.transfers = new Transfers(store, worker, composer, (ms, work) => clock.after(ms, work));
    this.history = new History(store, committer, worker);
    const guards = new DraftGuards({ committer, names, subscribers, nowMs, turn, mustReach });
    this.#guards = guards;
    this.#proofs = new Proofs({ store, committer, identity, subscribers, logger });
    this.#nameRefresh = new NameRefresh({
      names,
      turns,
      clock,
      logger,
      ruleSet: () => committer.ruleSet,
      mayRelease: () => committer.head !== undefined && committer.behind === undefined,
      release: (ruleSet, changed) => this.#releaseNames(ruleSet, changed),
    });
    const pendingNames = new PendingNames(names, turn);
    const ends = new RowEnds(nowMs, () => clock.monotonicMs());
    const desk = new ReleaseDesk({
      store,
      committer,
      names,
      pendingNames,
      nameRefresh: this.#nameRefresh,
      guards,
      proofs: this.#proofs,
      ends,
      tally: this.tally,
      onReleased: (release, origin, against) => this.#released(release, origin, against),
    });
    this.#desk = desk;
    const shared = { store, committer, desk, guards, pendingNames, turns, turn, nowMs, logger };
    const batches = new SourceBatches({ ...shared, subscribers });
    this.#batches = batches;
    this.#pushes = new Pushes({ ...shared, batches, rules: this.rules, worker });
    this.blocks = new Blocks({ ...shared, clock, ends });
    this.#begin(startedOver);
  }

  #begin(startedOver: boolean): void {
    const { store, logger } = this;
    this.#rootWatch.look();
    // There from the start, so that the first one is an increase.
    for (const cause of RELEASE_CAUSES) this.tally.add('releases', [cause], 0);
    for (const guard of permitCodes('push')) this.tally.add('refusals', [guard], 0);
    this.subscribers.on('outcome', ({ state, subscriber }) => {
      const { applyMs } = this.subscribers.find(subscriber) ?? {};
      this.tally.add('outcomes', [state]);
      if (state === 'applied' && applyMs !== undefined) this.tally.took('apply', applyMs);
    });
    if (startedOver) {
      const [epoch, version] = store.after ?? [];
      const where = version === undefined ? 'opens a new epoch' : `goes on above ${epoch}/${version}`;
      const text = `begins with an empty store: nothing is released before a push with policies, which ${where}`;
      logger.warn({ epoch: store.firstEpoch }, text);
    }
    if (store.damagedCount > 0) {
      const text = 'older releases in the store are damaged: nobody can go back to them';
      logger.error({ releases: store.damagedCount }, text);
    }
  }

  /** Time since the start in milliseconds, by the monotonic clock. */
  get uptimeMs(): number {
    return this.clock.monotonicMs() - this.#begunMs;
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
   * Whether nothing was released since `startOver` or `setAside`. Firewalls may then have policies in force,
   * so a release without policies, which would put them in boot mode, is refused.
   */
  get isStartedOver(): boolean {
    return this.store.isStartedOver;
  }

  /**
   * Signs for a nonce that a release is the newest, or that there is none; undefined if too few keys are
   * here.
   */
  async attest(nonce: Uint8Array, head: SessionRelease | undefined): Promise<Signed | undefined> {
    await this.pace.step();
    return attested(this.identity, nonce, head);
  }

  /** Whether the head was signed by keys that may not release any more: subscribers refuse it. */
  get isDisowned(): boolean {
    return this.#committer.isDisowned;
  }

  /** A fork: two releases with one number, one of them ours, until a higher epoch; hashes in hex. */
  get fork(): Fork | undefined {
    return this.#proofs.fork;
  }

  /** A sentence, if the root is due or overdue to be renewed. */
  get rootTrouble(): string | undefined {
    return this.#rootWatch.trouble;
  }

  /** Troubles with names, each a sentence. */
  get nameTroubles(): readonly string[] {
    return this.#nameRefresh.troubles;
  }

  /** Warnings about the rule set in force. */
  get warnings(): readonly RuleSetProblem[] {
    return this.#guards.warnings();
  }

  /** Status records of subscribers, by name; of those that are expected and were never seen too. */
  subscriberRecords(): readonly ControlRecordOf<'subscriber'>[] {
    return subscriberRecords(this.subscribers, this.head, this.store, this.nowMs());
  }

  /** Packets that no release may drop from now on. */
  setMustReach(mustReach: readonly MustReach[]): void {
    this.#guards.mustReach = mustReach;
  }

  /** From now on lists that `owner` owns cannot be pushed. */
  setListOwner(owner: ListOwner): void {
    this.#guards.owner = owner;
  }

  /**
   * Puts lists of sources in force as one release, if anything differs; undefined removes one. Lists that the
   * rule set cannot have so are left as they were and named; so are those that rules accept of which entries
   * come to stand for more, unless `mayWiden` has them. Throws BehindError and StoreError; then nothing
   * changed.
   */
  updateLists(batch: ListBatch, mayWiden: ReadonlySet<string> = new Set()): Promise<BatchOutcome> {
    return this.#batches.update(batch, mayWiden);
  }

  /**
   * Reads, checks and releases what was pushed. Throws BehindError, GuardError, ProtocolError, StoreError,
   * and TypeError for an unknown action; then nothing changed.
   */
  push(input: PushInput, options: PushOptions = {}): Promise<PushOutcome> {
    return this.#pushes.push(input, options);
  }

  /** The files that a rule set document names, read off the event loop. Throws ProtocolError `over-limit`. */
  referencesOf(document: Uint8Array): Promise<readonly string[]> {
    return this.#worker.references(document);
  }

  /**
   * Releases the content of the rules file, within the guards of the role `push`, and notes that it is taken.
   * Throws what `push` throws.
   */
  takeRules(files: readonly PushedFile[], content: RulesContent): Promise<PushOutcome> {
    return this.#pushes.takeRules(files, content);
  }

  /**
   * Releases the content of an earlier version, or one part of it, above the head. Rows stay. Rows stay as
   * they are. A part that it lacked is removed. A name that the head does not use keeps its addresses of then
   * until it is resolved again, at once. Throws UnknownReleaseError, ProtocolError `no-such-part`, and what
   * `push` throws.
   */
  rollback(
    version: number,
    only: PartFilter,
    options: PushOptions = {},
  ): Promise<ReleaseOutcome | GuardOutcome | VersionConflict> {
    return this.#turns.take(async () => {
      const moved = movedFrom(this.#committer, options);
      if (moved !== undefined) return moved;
      const past = baseOf(await this.history.ruleSetOf(version));
      const ruleSet = restored(baseOf(this.#committer.ruleSet), past, only);
      const part = only.list === undefined ? `policy ${only.policy}` : `list ${only.list}`;
      if (ruleSet === undefined) {
        const text = `there is no ${part}, and in version ${version} there was none`;
        throw new ProtocolError(ErrorCode.noSuchPart, text, { part });
      }
      const isPart = only.list !== undefined || only.policy !== undefined;
      const detail = `to version ${version}${isPart ? `, ${part} only` : ''}`;
      const guards = this.#guards.of('rollback', options);
      const origin: Origin = { cause: 'rollback', detail, by: options.by, message: options.message };
      const notes = this.#guards.misfitNotes(ruleSet, options);
      return this.#desk.release(ruleSet, origin, { ...options, notes, guards });
    });
  }

  /** Records who had sources refreshed, if that changed the head. */
  recordRefresh(before: Release | undefined, by: string, lists: readonly string[]): void {
    if (this.head === undefined || this.head === before) return;
    this.#record.add(this.head, { cause: 'source', by, detail: `refresh ${lists.join(', ')}` }, []);
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
    const outcome = await this.#desk.release(
      ruleSet,
      { cause: 'names', detail: changed.join(', ') },
      { guards: this.#guards.of('names', {}, NAMES_ADVICE) },
    );
    return outcome.kind === 'guarded' ? firstRefusal(outcome).reason : undefined;
  }

  /** Resolves when no name is asked for, and nothing is being released. */
  async idle(): Promise<void> {
    while (!this.#names.isIdle) await this.turn();
    await this.#turns.over();
  }

  /**
   * Releases the head's content once more if a new root removed the keys that signed it, as subscribers
   * accept nothing else. Not while the publisher is behind. A failure is logged and changes nothing: the
   * publisher must start so that an operator can mend it.
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
   * is offered and no version given, until a push or a rollback opens an epoch above it. Without `proof` it
   * counts under every root.
   */
  proved(known: HeldRelease, subscriber: string, proof?: Signed): Promise<void> {
    return this.#turns.take(async () => this.#proofs.note(known, subscriber, proof));
  }

  #released(release: Release, origin: Origin, against: readonly GuardRefusal[]): void {
    this.#batches.endWait();
    this.#announce(release, origin);
    this.#record.add(release, origin, against);
  }

  #announce(release: Release, { cause, by }: Pick<Origin, 'cause' | 'by'>): void {
    const { epoch, version, parts } = release.manifest;
    this.logger.info({ epoch, version, parts, cause, by }, 'released');
    this.tally.add('releases', [cause]);
    this.#listeners.tell('release', release);
    this.transfers.forgetAllBut(release);
    this.subscribers.changed();
  }

  /** Waits for the push under way, which waits for no further names, then closes the store. */
  async close(): Promise<void> {
    this.#names.close();
    this.#nameRefresh.close();
    this.blocks.close();
    this.#rootWatch.close();
    await this.#turns.settled();
    await this.#worker.close();
    await this.#composer.close();
    await this.#known.close();
    await this.store.close();
  }
}

/** Whether an error is a refusal of a release, and not a bug of ours. */
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
