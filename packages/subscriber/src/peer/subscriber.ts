/**
 * The subscriber as a library: keeps one release in force, receives the next ones, and answers lookups
 * meanwhile.
 *
 * It trusts one lineage, and whom its roots name. It never stops enforcing: a lost publisher, a bad release
 * or a full disk leave the last good release in force and are told through `status` and `events`.
 */

import { EventEmitter } from 'node:events';
import { Listeners } from '@rulecast/program/listeners';
import {
  type ByteStream,
  Capability,
  COUNTERS_MAX,
  Connection,
  ENTRIES_MAX,
  ErrorCode,
  HASH_BYTES,
  hexOf,
  PARTS_MAX,
  STALE_AFTER_MS,
  STEADY_CLOCK,
  type SteadyClock,
  systemTurn,
  TRANSFER_MAX_BYTES,
  type Trust,
  type Turn,
  VERSION_1_CAPABILITIES,
} from '@rulecast/protocol';
import {
  type Action,
  type Address,
  beginsFlow,
  type Environment,
  FLOWLESS_VERDICT,
  isPartName,
  type Packet,
} from '@rulecast/rules';
import {
  type Explanation,
  openReader,
  type TableHandle,
  type TableHits,
  type TableOptions,
  type TableReader,
  type TableStats,
  type TableVerdict,
} from '@rulecast/table';
import type { Logger } from 'pino';
import { Activator, type ApplyReport } from '../apply/activator.ts';
import { bootRuleSet } from '../apply/boot.ts';
import { RefusedError } from '../apply/commit.ts';
import { Keyring } from '../apply/keyring.ts';
import { type NameEnforcer, sinkWithNames } from '../apply/names.ts';
import type { Sink } from '../apply/sink.ts';
import { type Clocks, FirewallClock } from '../clock/clock.ts';
import { RuleEnds } from '../clock/rule-ends.ts';
import { systemClocks, systemNonce, systemRandom, systemWallMs } from '../clock/system.ts';
import { type Content, ThreadContent } from '../content/content.ts';
import type { Disk } from '../state/disk.ts';
import { StateDirectory } from '../state/state.ts';
import { Staging } from '../verify/stage.ts';
import type { LiveExplanation } from './answers.ts';
import { FreshnessWatch, type Standing } from './freshness-watch.ts';
import { type Attempt, afterAttempt, FIRST_BACKOFF } from './reconnect.ts';
import { PublisherSession, type SessionHost } from './session.ts';
import { type Memory, NO_MEMORY } from './states.ts';

export interface SubscriberOptions {
  /** Connects to the publisher; called again after each disconnect. The signal aborts it at close. */
  readonly channel: (signal: AbortSignal) => Promise<ByteStream>;
  readonly trust: Trust;
  /** Shown by `rulectl status`; 1 to 63 of `A-Z a-z 0-9 . _ -`. */
  readonly name: string;
  readonly logger: Logger;
  /** Keeps the release in force over restarts; without it APPLIED says that nothing is persisted. */
  readonly stateDirectory?: string | undefined;
  /** What the state directory is on; default the file system of this machine. */
  readonly disk?: Disk;
  /**
   * What packets get before the first release, and with one that has neither policies nor `unmatched`;
   * default `closed`: dropped.
   */
  readonly bootMode?: 'closed' | 'open';
  /** The addresses that `specialtarget=dns` means; default none. */
  readonly dns?: readonly Address[];
  /** At most one: what else enforces each release. */
  readonly sink?: Sink;
  /** What judges names; without it no release is taken that has names which only that stops. */
  readonly names?: NameEnforcer;
  /** Memory and limits of the table; a release that does not fit them is refused. */
  readonly table?: TableOptions;
  /** Most entries and rules of a release; default 16,777,216. */
  readonly entriesMax?: number;
  /** Most bytes of one transfer; default 256 MiB. */
  readonly transferBytesMax?: number;
  /** Milliseconds since 1970; default Date.now. */
  readonly nowMs?: () => number;
  /** The clock that nobody sets, for rules with an expiry; default that of the machine, through suspend. */
  readonly boot?: Pick<Clocks, 'bootMs' | 'bootId'>;
  /** For what waits and times out; default that of the process. */
  readonly clock?: SteadyClock;
  /** Between stretches of work that take long; default lets the event loop do what waits. */
  readonly turn?: Turn;
  /** Who has rule sets and writes the table; default a thread of its own. */
  readonly content?: Content;
  /**
   * What is done with a release that was not known to be the newest for `staleAfterMs`: it is kept, or
   * everything is dropped until it is known again, also after a start; default `keep`. Either is told.
   */
  readonly staleMode?: 'keep' | 'closed';
  /** Default two minutes. */
  readonly staleAfterMs?: number;
  /** 16 random bytes, other ones at each call; default those of the machine. */
  readonly nonce?: () => Uint8Array;
  /** In [0, 1): spreads reconnects; default Math.random. */
  readonly random?: () => number;
}

export interface SubscriberStatus {
  readonly connected: boolean;
  /** Name of the publisher last connected to. */
  readonly publisher: string | undefined;
  /** Of the release in force; undefined before the first. */
  readonly epoch: number | undefined;
  readonly version: number | undefined;
  /** Manifest hash, hex. */
  readonly hash: string | undefined;
  readonly appliedAtMs: number | undefined;
  readonly persisted: boolean | undefined;
  /** Whether it is known to be the newest: for too long not (`stale`), or not for long enough to tell. */
  readonly freshness: Standing;
  /** For how long nobody has said that it is; undefined where nobody ever did. */
  readonly freshAgeMs: number | undefined;
  readonly lastError: { readonly code: string; readonly text: string; readonly atMs: number } | undefined;
}

/** Listeners run after what happened, and what they throw is logged: nothing depends on them. */
export interface SubscriberEvents {
  /** A release came into force. */
  applied: [ApplyReport];
  /** Something was refused, or a session ended with an error; what was in force still is. */
  refused: [{ readonly code: string; readonly text: string }];
  /** What is in force is known to be the newest again, or is not any more; it is in force all the same. */
  freshness: [{ readonly freshness: Standing; readonly text: string }];
  connected: [{ readonly publisher: string }];
  disconnected: [];
}

export interface Subscriber {
  readonly events: EventEmitter<SubscriberEvents>;
  status(): SubscriberStatus;
  /** Judges a packet by the table in force. */
  lookup(packet: Packet): TableVerdict;
  /**
   * Judges a packet and finds the exact rule, list and prefix. Where a sink judges flows, the packet is one
   * that belongs to none yet. Waits for a release that is being prepared; rejects where the thread that has
   * the rules dies meanwhile, as do `hits` and `stats`.
   */
  explain(packet: Packet): Promise<Explanation>;
  /**
   * The table in force, now and later: structured-cloneable, for `openReader` of @rulecast/table in this
   * thread or any other. It stays good when this subscriber is closed; what was in force last stays in it.
   */
  handle(): TableHandle;
  /**
   * Frees the slot of a reader whose thread ended without closing it; until then the memory that it looked at
   * may be kept.
   */
  evictReader(slot: number): Promise<void>;
  /** What each run, default action and list decided, in all threads together; see `Table.hits`. */
  hits(): Promise<TableHits>;
  /** The generation in force, its sizes, and the memory that it takes. */
  stats(): Promise<TableStats>;
  /** Replaces the DNS addresses: a new generation, no new version. */
  setDns(addresses: readonly Address[]): Promise<void>;
  /** Ends the session and waits for a release being applied. */
  close(): Promise<void>;
}

/** After which closing, or opening again, is tried again that a sink refused. */
const SHUT_RETRY_MS = 5_000;
/** After which the second copy of the state is tried again that could not be written. */
const MEND_MS = 30_000;
/** Errors that are over once there is a connection. */
const NO_CONNECTION: readonly string[] = [ErrorCode.disconnected, 'refused-by-policy'];
/** Lists whose hits the publisher is told, and the longest name that fits a counter of `list.NAME`. */
const LISTS_SHOWN = 24;
const LIST_NAME_MAX = 27;

/**
 * Restores what was in force, then starts connecting. Rejects with StateError if the state directory cannot
 * be used, with TypeError for a bad name or boot mode, with TableEngineError if this process can have no
 * table, and with RefusedError if the sink enforces nothing: nothing was begun then.
 */
export async function createSubscriber(options: SubscriberOptions): Promise<Subscriber> {
  if (!isPartName(options.name)) throw new TypeError(`"${options.name}" cannot name a subscriber`);
  if (isStaleClosed(options) && options.bootMode === 'open')
    throw new TypeError(
      'bootMode "open" and staleMode "closed": what is stale would be open before the first release',
    );
  bootAction(options.bootMode ?? 'closed'); // throws before anything is made
  const subscriber = new RunningSubscriber(options);
  try {
    await subscriber.start();
  } catch (error) {
    await subscriber.abandon();
    throw error;
  }
  return subscriber;
}

class RunningSubscriber implements Subscriber {
  readonly events = new EventEmitter<SubscriberEvents>();
  readonly #listeners: Listeners<SubscriberEvents>;
  readonly #options: SubscriberOptions;
  readonly #nowMs: () => number;
  readonly #content: Content;
  #reader: TableReader | undefined;
  readonly #sink: Sink | undefined;
  readonly #activator: Activator;
  readonly #keyring: Keyring;
  readonly #host: SessionHost;
  readonly #closing = new AbortController();
  #dns: readonly Address[];
  #session: PublisherSession | undefined;
  #publisher: string | undefined;
  #lastError: SubscriberStatus['lastError'];
  /** Since the connection was last there: how it stands, as the log says already. */
  #toldStanding = '';
  #complaintCount = 0;
  #forkCount = 0; // how often another release of a number was seen that was in force here
  readonly #state: StateDirectory | undefined;
  /** What was said last of its second copy; nothing once that is whole. */
  #untidy = '';
  #cancelMend: (() => void) | undefined;
  readonly #ruleClock: FirewallClock;
  readonly #clock: SteadyClock;
  #memory: Memory = NO_MEMORY;
  readonly #ruleEnds: RuleEnds;
  readonly #freshness: FreshnessWatch;
  readonly #closesStale: boolean;
  /** Why what is stale is not closed, or what is fresh not opened again; nothing where it is. */
  #shutFault = '';
  #damagedCount = 0; // files, and releases that are whole nowhere
  #running: Promise<void> = Promise.resolve();

  constructor(options: SubscriberOptions) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? systemWallMs;
    this.#clock = options.clock ?? STEADY_CLOCK;
    this.#listeners = new Listeners(this.events, options.logger);
    this.#dns = options.dns ?? [];
    this.#content = options.content ?? new ThreadContent();
    const portion = () => this.#content.ask('names', {});
    this.#sink =
      options.names === undefined ? options.sink : sinkWithNames(options.sink, options.names, portion);
    const entriesMax = options.entriesMax ?? ENTRIES_MAX;
    this.#state = this.#stateDirectory();
    const clocks = { ...systemClocks(this.#nowMs), ...options.boot };
    this.#ruleClock = new FirewallClock(clocks, this.#state?.readClock());
    this.#keyring = new Keyring(options.trust, this.#state);
    this.#closesStale = isStaleClosed(options);
    this.#freshness = new FreshnessWatch({
      clock: this.#clock,
      staleAfterMs: options.staleAfterMs ?? STALE_AFTER_MS,
      onChange: (standing, before, text) => this.#standsFresh(standing, before, text),
    });
    this.#activator = new Activator({
      keyring: this.#keyring,
      content: this.#content,
      state: this.#state,
      sink: this.#sink,
      mayShut: this.#closesStale,
      entriesMax,
      environment: (madeAtMs) => this.#environment(madeAtMs),
      nowMs: this.#nowMs,
      clock: this.#clock,
      turn: options.turn ?? systemTurn,
      onUnpersisted: (error) => {
        options.logger.error(
          { err: error },
          'the release is in force and could not be marked active on disk',
        );
      },
      onDamage: (text) => this.#damaged(text),
      onUncompacted: (error) => options.logger.warn({ err: error }, 'release files could not be compacted'),
    });
    this.#ruleEnds = new RuleEnds({
      clock: this.#ruleClock,
      nowMs: this.#nowMs,
      after: this.#clock.after,
      logger: options.logger,
      active: () => this.#activator.active,
      compiledFor: () => this.#activator.compiledFor,
      compile: () => this.#activator.refresh(),
      store: async (clock) => this.#state?.writeClock(clock),
    });
    this.#host = this.#sessionHost(entriesMax);
  }

  #sessionHost(entries: number): SessionHost {
    const {
      name,
      trust,
      logger,
      nonce = systemNonce,
      transferBytesMax: bytes = TRANSFER_MAX_BYTES,
    } = this.#options;
    return {
      self: {
        name,
        lineage: trust.lineage,
        capabilities: [
          ...VERSION_1_CAPABILITIES,
          Capability.privateRules,
          ...(this.#options.names === undefined ? [] : [Capability.firewallNames]),
          ...(this.#opensNames ? [Capability.openedNames, Capability.resolved] : []),
        ],
        limits: {
          entries,
          bytes,
          parts: PARTS_MAX,
        },
        staleAfterMs: this.#options.staleAfterMs ?? STALE_AFTER_MS,
      },
      activator: this.#activator,
      keyring: this.#keyring,
      clock: this.#clock,
      nowMs: this.#nowMs,
      logger,
      staging: new Staging(),
      explain: (packet) => this.#explainLive(packet),
      generation: () => this.#activator.generation,
      counters: () => this.#counters(),
      notEnforced: () => this.#notEnforced(),
      onWelcome: (publisher) => this.#welcomed(publisher),
      nonce,
      onLearned: (newest, isInForce) =>
        isInForce ? this.#freshness.confirmed(newest.asOfMs) : this.#freshness.outdone(newest),
      onTrusted: (root) => logger.info({ root }, 'believes the next root'),
      onApplied: (report) => this.#applied(report),
      onRefused: (code, text) => this.#complained(code, text),
    };
  }

  #stateDirectory(): StateDirectory | undefined {
    const { stateDirectory, disk } = this.#options;
    if (stateDirectory === undefined) return undefined;
    const events = {
      onDamage: (text: string) => this.#damaged(text),
      onUntidy: (error: unknown) => this.#untidied(error),
    };
    return new StateDirectory(stateDirectory, events, disk);
  }

  /** Until the next release, or a start, one damaged file would be the end of a state without its copy. */
  #untidied(error: unknown): void {
    const text = String(error);
    if (text !== this.#untidy) {
      const what =
        'the second copy of the state cannot be written, or old files not removed: tried again every 30 s';
      this.#options.logger.warn({ err: error }, what);
    }
    this.#untidy = text;
    if (!this.#closing.signal.aborted)
      this.#cancelMend ??= this.#clock.after(MEND_MS, () => void this.#mend());
  }

  async #mend(): Promise<void> {
    this.#cancelMend = undefined;
    if ((await this.#state?.mend()) === true) this.#untidy = '';
  }

  /** Told in the log, in the status, and by a counter in that of the publisher. */
  #damaged(text: string): void {
    this.#damagedCount += 1;
    this.#lastError = { code: ErrorCode.storageFailed, text, atMs: this.#nowMs() };
    this.#options.logger.error({ code: ErrorCode.storageFailed }, text);
    this.#listeners.tell('refused', { code: ErrorCode.storageFailed, text });
  }

  async #counters(): Promise<Readonly<Record<string, number>>> {
    const enforced = await this.#options.sink?.counters?.();
    const { generation, bytes, hits } = await this.stats();
    const damage = this.#damagedCount === 0 ? {} : { stateDamaged: this.#damagedCount };
    const forks = this.#forkCount === 0 ? {} : { forks: this.#forkCount };
    const { standing, ageMs } = this.#freshness;
    const age = ageMs === undefined ? {} : { freshAgeMs: Math.round(ageMs) };
    const freshness = { stale: standing === 'stale' ? 1 : 0, ...age };
    return boundedCounters({
      generation,
      bytes,
      ...freshness,
      ...damage,
      ...forks,
      ...(enforced ?? lookupCounters(hits, (await this.hits()).lists)),
      ...this.#options.names?.counters(),
    });
  }

  /** Whether what rules accept by name is opened here. */
  get #opensNames(): boolean {
    return this.#options.names !== undefined && this.#options.sink?.opensNames === true;
  }

  /** For the publisher: a release whose enforcement is in doubt is not said to be in force. */
  #notEnforced(): string | undefined {
    const { active } = this.#activator;
    // Such a release is from a time when there was something to judge names.
    if (this.#options.names === undefined && active?.facts.needsDns === true)
      return 'not enforced: nothing here blocks its names: start rulecast-dns, and this subscriber with --names SOCKET';
    if (!this.#opensNames && active?.facts.opensNames === true)
      return 'not enforced: nothing here opens what rules accept by name: start this subscriber with --openings SOCKET';
    if (this.#shutFault !== '') return `not enforced: ${this.#shutFault}`;
    if (this.#closesStale && this.#freshness.standing === 'stale')
      return 'not enforced: everything is dropped, for nobody says that it is the newest (--stale closed)';
    const trouble = this.#sink?.trouble?.();
    if (trouble === undefined) return undefined;
    const since = new Date(this.#nowMs() - trouble.forMs).toISOString();
    return `not enforced since ${since}: ${trouble.text}`;
  }

  #standsFresh(freshness: Standing, before: Standing, text: string): void {
    const { epoch = 0, version = 0, hash } = this.status();
    const isNews = hash !== undefined && (freshness === 'stale' || before === 'stale');
    const level = freshness === 'stale' ? 'error' : 'info';
    this.#options.logger[isNews ? level : 'debug'](
      { freshness, epoch, version, publisher: this.#publisher },
      text,
    );
    this.#listeners.tell('freshness', { freshness, text });
    if (this.#closesStale) void this.#shut(freshness !== 'fresh');
  }

  /** Closes, or opens what is in force again; goes on trying where the sink cannot. */
  async #shut(isShut: boolean): Promise<void> {
    try {
      await this.#activator.shut(isShut);
      this.#shutFault = '';
    } catch (error) {
      const text = isShut ? 'what is stale cannot be closed' : 'what was closed cannot be opened again';
      this.#shutFault = `${text}: ${error instanceof Error ? error.message : error}`;
      this.#options.logger.error({ err: error }, text);
      if (this.#closing.signal.aborted) return;
      this.#clock.after(SHUT_RETRY_MS, () => void this.#shut(this.#freshness.standing !== 'fresh'));
    }
  }

  #environment(madeAtMs = 0): Environment {
    return { ...this.#ruleClock.times(madeAtMs), dns: this.#dns };
  }

  async start(): Promise<void> {
    await this.#beginContent();
    await this.#activator.boot();
    this.#reader = openReader(this.#content.handle);
    await this.#bootSink();
    await this.#ruleEnds.storeClock();
    await this.#restore();
    this.#ruleEnds.schedule();
    this.#running = this.#connectForever();
  }

  /** It did not start. */
  abandon(): Promise<void> {
    return this.#content.close();
  }

  async #beginContent(): Promise<void> {
    const { table = {}, bootMode = 'closed', names, sink, logger } = this.#options;
    const options = {
      table,
      boot: bootRuleSet(bootAction(bootMode)),
      shut: bootRuleSet('drop'),
      plans: sink?.plans,
      judgesNames: names !== undefined,
    };
    await this.#content.begin(options, {
      active: () => this.#activator.kept(),
      onRestart: (fault) => {
        logger.error('the thread that has the rules died: another one loads what is in force again');
        const notLoaded = (error: unknown): void =>
          logger.error({ err: error }, 'what is in force stays so, and cannot be loaded again');
        if (fault === undefined) this.#activator.refresh().catch(notLoaded);
        else notLoaded(fault);
      },
    });
  }

  async #bootSink(): Promise<void> {
    const hash = new Uint8Array(HASH_BYTES); // of no release
    try {
      const ruleSet = () => this.#content.ask('ruleSet', {});
      await this.#sink?.boot?.({ hash, ruleSet, environment: this.#environment() });
    } catch (cause) {
      throw new RefusedError(ErrorCode.sinkFailed, 'host', cause);
    }
  }

  /**
   * What cannot be restored is said and left: the publisher sends it again. The boot mode is in force until
   * then.
   */
  async #restore(): Promise<void> {
    const { logger } = this.#options;
    try {
      const active = await this.#activator.restore();
      if (active === undefined) return;
      const { epoch, version } = active.manifest;
      logger.info({ epoch, version }, 'restored the release that was in force');
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      logger.error(
        { err: error },
        'what was in force cannot be restored; the boot mode holds until the next release',
      );
      this.#refused('storage-failed', text);
    }
  }

  status(): SubscriberStatus {
    const { active } = this.#activator;
    return {
      connected: this.#session !== undefined && this.#publisher !== undefined,
      publisher: this.#publisher,
      epoch: active?.manifest.epoch,
      version: active?.manifest.version,
      hash: active === undefined ? undefined : hexOf(active.hash),
      appliedAtMs: active?.appliedAtMs,
      persisted: active?.persisted,
      freshness: this.#freshness.standing,
      freshAgeMs: this.#freshness.ageMs,
      lastError: this.#lastError,
    };
  }

  lookup(packet: Packet): TableVerdict {
    if (this.#reader === undefined) throw new TypeError('the subscriber has not started');
    return this.#reader.lookup(packet);
  }

  explain(packet: Packet): Promise<Explanation> {
    return this.#explained(packet, []);
  }

  /** With what the qube was told by name, where there is such. Rejects where the sink does. */
  async #explainLive(packet: Packet): Promise<LiveExplanation> {
    const { src, dst, direction } = packet;
    const isAsked = direction !== 'ingress' && this.#activator.active?.facts.opensNames === true;
    const names = (isAsked && src ? await this.#options.sink?.toldTo?.(src, dst) : undefined) ?? [];
    const lists = names.map(({ list }) => list);
    const explained = await this.#explained(packet, lists);
    const told = names.find(({ list }) => list === explained.verdict.by?.rule?.list);
    return { ...explained, told };
  }

  async #explained(packet: Packet, told: readonly string[]): Promise<Explanation> {
    const explained = await this.#content.ask('explain', { packet, told });
    if (this.#options.sink?.judgesFlows !== true || beginsFlow(packet)) return explained;
    return { ...explained, verdict: FLOWLESS_VERDICT, rule: undefined };
  }

  handle(): TableHandle {
    return this.#content.handle;
  }

  evictReader(slot: number): Promise<void> {
    return this.#content.ask('evict', { slot });
  }

  hits(): Promise<TableHits> {
    return this.#content.ask('hits', {});
  }

  stats(): Promise<TableStats> {
    return this.#content.ask('stats', {});
  }

  async setDns(addresses: readonly Address[]): Promise<void> {
    this.#dns = addresses;
    await this.#activator.refresh();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#freshness.close();
    this.#ruleEnds.stop();
    this.#session?.stop();
    this.#cancelMend?.();
    await this.#running;
    await this.#activator.close();
    await this.#ruleEnds.close();
    await this.#content.close();
  }

  // ── Connection ───────────────────────────────────────────────────────────────────────────────────────────

  async #connectForever(): Promise<void> {
    const { signal } = this.#closing;
    let backoff = FIRST_BACKOFF;
    while (!signal.aborted) {
      const attempt = await this.#connectOnce();
      const next = afterAttempt(backoff, attempt, (this.#options.random ?? systemRandom)());
      backoff = next.backoff;
      await this.#sleep(next.delayMs, signal);
    }
  }

  /** One connection, until it ends. */
  async #connectOnce(): Promise<Attempt> {
    let stream: ByteStream;
    try {
      stream = await this.#options.channel(this.#closing.signal);
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      this.#notConnected('disconnected', text);
      return { welcomed: false, retryAfterMs: undefined, isForbidden: false };
    }
    const connection = new Connection(stream, { after: this.#clock.after });
    const session = new PublisherSession(connection, this.#host, this.#memory);
    this.#session = session;
    try {
      if (this.#closing.signal.aborted) session.stop();
      const complaintsBefore = this.#complaintCount;
      const end = await session.run();
      this.#memory = end.memory;
      const { isForbidden = false, closeReason = 'closed' } = stream;
      if (isForbidden) this.#notConnected('refused-by-policy', closeReason);
      else if (this.#complaintCount === complaintsBefore && this.#standsOtherwise(closeReason)) {
        this.#log('disconnected', closeReason);
      }
      return { ...end, isForbidden };
    } finally {
      this.#session = undefined;
      this.#publisher = undefined;
      this.#listeners.tell('disconnected');
    }
  }

  /** Resolves after a time, or when the signal is aborted. */
  #sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const done = (): void => {
        cancel();
        signal.removeEventListener('abort', done);
        resolve();
      };
      const cancel = this.#clock.after(ms, done);
      signal.addEventListener('abort', done, { once: true });
    });
  }

  /** Of a session; what ends one before it is welcomed is no line of the log if the one before ended so. */
  #complained(code: string, text: string): void {
    this.#complaintCount += 1;
    if (code === ErrorCode.forked) this.#forkCount += 1;
    if (this.#publisher !== undefined || this.#standsOtherwise(text)) this.#log(code, text);
    this.#failed(code, text);
  }

  /** No connection came about: told once, as long as the reason is the same. */
  #notConnected(code: string, text: string): void {
    if (!this.#standsOtherwise(text)) return;
    this.#log(code, text);
    this.#failed(code, text);
  }

  /** Whether the connection stands otherwise than was told; the caller tells it now. */
  #standsOtherwise(text: string): boolean {
    if (this.#closing.signal.aborted || this.#toldStanding === text) return false;
    this.#toldStanding = text;
    return true;
  }

  #welcomed(publisher: string): void {
    this.#publisher = publisher;
    if (NO_CONNECTION.includes(this.#lastError?.code ?? '')) this.#lastError = undefined;
    this.#toldStanding = '';
    this.#options.logger.info(
      { publisher, version: this.#activator.active?.manifest.version ?? 0 },
      'connected',
    );
    this.#listeners.tell('connected', { publisher });
  }

  #applied(report: ApplyReport): void {
    const { epoch, version } = report.release.manifest;
    const { verifyMs, compileMs } = report;
    this.#lastError = undefined;
    this.#options.logger.info({ epoch, version, verifyMs, compileMs, publisher: this.#publisher }, 'applied');
    this.#ruleEnds.schedule();
    this.#listeners.tell('applied', report);
  }

  #refused(code: string, text: string): void {
    this.#log(code, text);
    this.#failed(code, text);
  }

  #log(code: string, text: string): void {
    const version = this.#activator.active?.manifest.version ?? 0;
    const level = code === ErrorCode.forked ? 'error' : 'warn'; // not of a channel, but of whoever has the key
    this.#options.logger[level]({ code, version, publisher: this.#publisher }, text);
  }

  #failed(code: string, text: string): void {
    this.#lastError = { code, text, atMs: this.#nowMs() };
    this.#listeners.tell('refused', { code, text });
  }
}

/** What lookups decided, by the names of PROTOCOL.md "ANSWER": in all, and by list where most of it was. */
function lookupCounters(
  lookups: number,
  lists: ReadonlyMap<string, number>,
): Readonly<Record<string, number>> {
  const shown = [...lists]
    .filter(([name]) => name.length <= LIST_NAME_MAX)
    .sort(([, a], [, b]) => b - a)
    .slice(0, LISTS_SHOWN)
    .map(([name, count]) => [`list.${name}`, count]);
  return { lookups, ...Object.fromEntries(shown) };
}

/**
 * As many as an answer has room for, and `skipped` beside them: those of the whole, then those of lists,
 * policies and rules with most, whose names have a dot.
 */
function boundedCounters(counters: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
  const isOfPart = ([name]: readonly [string, number]): boolean => name.includes('.');
  const all = Object.entries(counters);
  const parts = all.filter(isOfPart).sort(([, a], [, b]) => b - a);
  const whole = all.filter((one) => !isOfPart(one));
  return Object.fromEntries([...whole, ...parts].slice(0, COUNTERS_MAX - 1));
}

/** Throws TypeError for a word that is none of the two. */
function isStaleClosed({ staleMode = 'keep' }: SubscriberOptions): boolean {
  if (staleMode !== 'keep' && staleMode !== 'closed')
    throw new TypeError(`staleMode ${JSON.stringify(staleMode)}: write "keep" or "closed"`);
  return staleMode === 'closed';
}

/** Only the exact word opens. Throws TypeError for a word that is none of the two. */
function bootAction(mode: 'closed' | 'open'): Action {
  if (mode !== 'open' && mode !== 'closed') {
    throw new TypeError(`bootMode ${JSON.stringify(mode)}: write "closed" or "open"`);
  }
  return mode === 'open' ? 'accept' : 'drop';
}
