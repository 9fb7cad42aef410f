/**
 * The subscriber as a library: keeps one release in force, receives the next ones, and answers lookups
 * meanwhile.
 *
 * It trusts one lineage, and the keys in its roots. It never stops enforcing: a lost publisher, a bad release
 * or a full disk leaves the last good release in force and is reported through `status` and `events`.
 */

import { EventEmitter } from 'node:events';
import { Listeners } from '@rulecast/program/listeners';
import {
  boundText,
  Capability,
  DEFAULT_CAPABILITIES,
  ENTRIES_MAX,
  ErrorCode,
  HASH_BYTES,
  hexOf,
  PARTS_MAX,
  RootWatch,
  STALE_AFTER_MS,
  STEADY_CLOCK,
  type SteadyClock,
  systemTurn,
  TRANSFER_MAX_BYTES,
  verdictToWire,
  type WireRefused,
} from '@rulecast/protocol';
import {
  type Address,
  beginsFlow,
  type Environment,
  FLOWLESS_VERDICT,
  HOST_NAME_MAX_BYTES,
  isPartName,
  type Packet,
} from '@rulecast/rules';
import {
  type Explanation,
  openReader,
  type TableHandle,
  type TableHits,
  type TableReader,
  type TableStats,
  type TableVerdict,
} from '@rulecast/table';
import { Activator } from '../apply/activator.ts';
import { bootRuleSet } from '../apply/boot.ts';
import { RefusedError } from '../apply/commit.ts';
import { Keyring } from '../apply/keyring.ts';
import { sinkWithNames } from '../apply/names.ts';
import type { Sink, ToldName } from '../apply/sink.ts';
import { FirewallClock } from '../clock/clock.ts';
import { RuleEnds } from '../clock/rule-ends.ts';
import { systemClocks, systemNonce, systemRandom, systemWallMs } from '../clock/system.ts';
import { type Content, ThreadContent } from '../content/content.ts';
import { CopyMender } from '../state/copy-mender.ts';
import { StateDirectory } from '../state/state.ts';
import { Staging } from '../verify/stage.ts';
import type { LiveExplanation } from './answers.ts';
import { Connections } from './connections.ts';
import { CounterPages, healthCounters, lookupCounters } from './counters.ts';
import { FreshnessWatch } from './freshness-watch.ts';
import { News } from './news.ts';
import {
  bootAction,
  isStaleClosed,
  type SubscriberEvents,
  type SubscriberOptions,
  type SubscriberStatus,
} from './options.ts';
import type { SessionHost } from './session.ts';

export interface Subscriber {
  readonly events: EventEmitter<SubscriberEvents>;
  status(): SubscriberStatus;
  /** Judges a packet by the table in force. */
  lookup(packet: Packet): TableVerdict;
  /**
   * Judges a packet and finds the exact rule, list and prefix. If a sink judges flows, the packet counts as
   * the first of one. Waits for a release that is being prepared; rejects, as do `hits` and `stats`, if the
   * content thread dies meanwhile or is being restarted.
   */
  explain(packet: Packet): Promise<Explanation>;
  /**
   * The table in force, now and later: structured-cloneable, for `openReader` of @rulecast/table in this
   * thread or any other. It stays good when this subscriber is closed; what was in force last stays in it.
   */
  handle(): TableHandle;
  /** Frees the slot of a reader whose thread ended without closing it; until then its memory may be kept. */
  evictReader(slot: number): Promise<void>;
  /** The hits of each run, default action and list, in all threads together; see `Table.hits`. */
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
/** Our choice. With the pauses between threads that die one soon after the other, they take a second. */
const RESTORE_TRIES = 3;

/**
 * Restores what was in force, then starts connecting. Rejects with StateError if the state directory cannot
 * be used, with TypeError for a bad name or boot mode, with TableEngineError if this process can have no
 * table, and with RefusedError if the sink enforces nothing: nothing was begun then.
 */
export async function createSubscriber(options: SubscriberOptions): Promise<Subscriber> {
  if (!isPartName(options.name)) throw new TypeError(`"${options.name}" cannot name a subscriber`);
  if (isStaleClosed(options) && options.bootMode === 'open')
    throw new TypeError(
      'bootMode "open" and staleMode "closed": packets would pass before the first release',
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
  readonly #options: SubscriberOptions;
  readonly #nowMs: () => number;
  readonly #content: Content;
  /** Owners of the content that died. */
  #ownerDeaths = 0;
  #reader: TableReader | undefined;
  readonly #sink: Sink | undefined;
  readonly #activator: Activator;
  readonly #keyring: Keyring;
  readonly #closing = new AbortController();
  #dns: readonly Address[];
  readonly #state: StateDirectory | undefined;
  readonly #ruleClock: FirewallClock;
  readonly #clock: SteadyClock;
  readonly #ruleEnds: RuleEnds;
  readonly #freshness: FreshnessWatch;
  readonly #rootWatch: RootWatch;
  readonly #closesStale: boolean;
  /** Why it is not closed that should be, or not opened again; nothing where it is. */
  #shutFault = '';
  readonly #news: News;
  readonly #connections: Connections;

  constructor(options: SubscriberOptions) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? systemWallMs;
    this.#clock = options.clock ?? STEADY_CLOCK;
    this.#news = new News({
      logger: options.logger,
      listeners: new Listeners(this.events, options.logger),
      nowMs: this.#nowMs,
      active: () => this.#activator.active,
      closing: this.#closing.signal,
    });
    this.#dns = options.dns ?? [];
    this.#content = options.content ?? new ThreadContent({ clock: this.#clock });
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
      onChange: (standing, before, text) => {
        this.#news.standsFresh(standing, before, text);
        if (this.#closesStale) void this.#shut();
      },
    });
    this.#rootWatch = new RootWatch({
      after: this.#clock.after,
      readings: () => {
        const { now, earliest = now } = this.#ruleClock.times();
        return { earliest, latest: now };
      },
      root: () => this.#keyring.root,
      onChange: (renewal, text) => {
        this.#news.rootStands(renewal, text);
        if (this.#closesStale) void this.#shut();
      },
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
      onDamage: (text) => this.#news.damaged(text),
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
    this.#connections = new Connections({
      channel: options.channel,
      host: this.#sessionHost(entriesMax),
      news: this.#news,
      clock: this.#clock,
      random: options.random ?? systemRandom,
      closing: this.#closing.signal,
    });
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
          ...DEFAULT_CAPABILITIES,
          Capability.privateRules,
          Capability.first,
          Capability.pages,
          ...(this.#options.refused === undefined ? [] : [Capability.firewallLog]),
          ...(this.#judgesNames ? [Capability.firewallNames] : []),
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
      pages: new CounterPages(),
      refused: (query) => {
        if (this.#options.refused !== undefined) return this.#options.refused.page(query);
        throw new Error('refused packets are not logged here: start this subscriber with --log');
      },
      notEnforced: () => this.#notEnforced(),
      onWelcome: (publisher) => this.#news.welcomed(publisher),
      nonce,
      onLearned: (newest, isInForce) =>
        isInForce ? this.#freshness.confirmed(newest.asOfMs) : this.#freshness.outdone(newest),
      onTrusted: (root) => {
        logger.info({ root }, 'believes the next root');
        // Under an overdue root a thief may have confirmed his own release, which the next must not open.
        if (this.#rootWatch.renewal === 'overdue') this.#freshness.doubted();
        this.#rootWatch.replaced();
      },
      onApplied: (report) => {
        this.#ruleEnds.schedule();
        this.#news.applied(report);
      },
      onRefused: (code, text) => this.#news.complained(code, text),
    };
  }

  #stateDirectory(): StateDirectory | undefined {
    const { stateDirectory, disk, logger } = this.#options;
    if (stateDirectory === undefined) return undefined;
    const mender = new CopyMender({
      after: this.#clock.after,
      logger,
      closing: this.#closing.signal,
      mend: () => state.mend(),
    });
    const events = {
      onDamage: (text: string) => this.#news.damaged(text),
      onUntidy: (error: unknown) => mender.failed(error),
    };
    const state = new StateDirectory(stateDirectory, events, disk);
    return state;
  }

  async #counters(): Promise<Readonly<Record<string, number>>> {
    const enforced = await this.#options.sink?.counters?.();
    const { generation, bytes, hits } = await this.stats();
    return {
      generation,
      bytes,
      ...healthCounters(this.#freshness, this.#rootWatch, this.#news),
      ...(enforced ?? lookupCounters(hits, (await this.hits()).lists)),
      ...this.#options.names?.counters(),
      ...this.#options.refused?.counters(),
    };
  }

  /** Whether something here answers names. */
  get #judgesNames(): boolean {
    return this.#options.names?.isThere() === true;
  }

  /** Whether what rules accept by name is opened here. */
  get #opensNames(): boolean {
    return this.#judgesNames && this.#options.sink?.opensNames === true;
  }

  /** Why the active release is not, or may not be, enforced. */
  #notEnforced(): string | undefined {
    const { active } = this.#activator;
    // Such a release was applied when there was still a DNS to judge its names.
    if (!this.#judgesNames && active?.facts.needsDns === true)
      return 'not enforced: nothing here blocks its names: start rulecast-dns-names.socket, and this subscriber with --names auto';
    if (!this.#opensNames && active?.facts.opensNames === true)
      return 'not enforced: nothing here opens what rules accept by name: start this subscriber with --enforce and --names auto';
    if (this.#shutFault !== '') return `not enforced: ${this.#shutFault}`;
    if (this.#closesStale && this.#freshness.standing === 'stale')
      return 'not enforced: everything is dropped, as the publisher does not confirm that it is the newest (--stale closed)';
    if (this.#closesStale && this.#rootWatch.renewal === 'overdue')
      return 'not enforced: everything is dropped, as its root is overdue (--stale closed): run rulectl keys renew';
    const trouble = this.#sink?.trouble?.();
    if (trouble === undefined) return undefined;
    const since = new Date(this.#nowMs() - trouble.forMs).toISOString();
    return `not enforced since ${since}: ${trouble.text}`;
  }

  get #isToBeShut(): boolean {
    return this.#freshness.standing !== 'fresh' || this.#rootWatch.renewal === 'overdue';
  }

  /** Shuts the firewall, or enforces the release again; retries if the sink fails. */
  async #shut(): Promise<void> {
    const isShut = this.#isToBeShut;
    try {
      await this.#activator.shut(isShut);
      this.#shutFault = '';
    } catch (error) {
      const text = isShut ? 'what is to be closed cannot be' : 'what was closed cannot be opened again';
      this.#shutFault = `${text}: ${error instanceof Error ? error.message : error}`;
      this.#options.logger.error({ err: error }, text);
      if (this.#closing.signal.aborted) return;
      this.#clock.after(SHUT_RETRY_MS, () => void this.#shut());
    }
  }

  #environment(madeAtMs = 0): Environment {
    return { ...this.#ruleClock.times(madeAtMs), dns: this.#dns };
  }

  async start(): Promise<void> {
    await this.#beginContent();
    await this.#activator.refresh();
    this.#reader = openReader(this.#content.handle);
    await this.#bootSink();
    await this.#ruleEnds.storeClock();
    await this.#restore();
    this.#ruleEnds.schedule();
    this.#rootWatch.look();
    this.#beginRefused();
    this.#connections.begin();
  }

  #beginRefused(): void {
    this.#options.refused?.begin({
      clock: this.#clock,
      nowMs: this.#nowMs,
      logger: this.#options.logger,
      active: () => {
        const { active } = this.#activator;
        return active && { hash: hexOf(active.hash), version: active.manifest.version };
      },
      judge: (packet) => this.#judgeRefused(packet),
    });
  }

  /** It did not start. */
  abandon(): Promise<void> {
    this.#closing.abort();
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
    let lastFault = '';
    await this.#content.begin(options, {
      active: () => this.#activator.kept(),
      closing: this.#closing.signal,
      onDeath: (isFirst) => {
        this.#ownerDeaths += 1;
        if (!isFirst) return;
        lastFault = '';
        const text =
          'the thread that has the rules died: what is in force stays so, and another thread loads it again';
        this.#news.refused(ErrorCode.internal, text);
      },
      onRestart: async (fault) => {
        try {
          if (fault !== undefined) throw fault;
          await this.#activator.refresh();
          logger.info('what is in force is loaded again');
        } catch (error) {
          if (String(error) !== lastFault)
            logger.error({ err: error }, 'what is in force stays so, and cannot be loaded again');
          lastFault = String(error);
        }
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
   * Restores the last release. A failure is logged: the publisher sends the release again, and the boot mode
   * is in force until then. It is retried if the content thread died.
   */
  async #restore(triesLeft = RESTORE_TRIES - 1): Promise<void> {
    const { logger } = this.#options;
    const deathsBefore = this.#ownerDeaths;
    try {
      const active = await this.#activator.restore();
      if (active === undefined) return;
      const { epoch, version } = active.manifest;
      logger.info({ epoch, version }, 'restored the release that was in force');
    } catch (error) {
      if (this.#ownerDeaths > deathsBefore && triesLeft > 0) return this.#restore(triesLeft - 1);
      const text = error instanceof Error ? error.message : String(error);
      const isOutdated = this.#state?.outdated !== undefined;
      const held = isOutdated ? 'the kernel keeps what it has, or drops all,' : 'the boot mode holds';
      const told = `what was in force cannot be restored; ${held} until the next release`;
      logger[isOutdated ? 'warn' : 'error']({ err: error }, told);
      this.#news.refused('storage-failed', text);
    }
  }

  status(): SubscriberStatus {
    const { active } = this.#activator;
    return {
      connected: this.#news.publisher !== undefined,
      publisher: this.#news.publisher,
      epoch: active?.manifest.epoch,
      version: active?.manifest.version,
      hash: active === undefined ? undefined : hexOf(active.hash),
      appliedAtMs: active?.appliedAtMs,
      persisted: active?.persisted,
      freshness: this.#freshness.standing,
      freshAgeMs: this.#freshness.ageMs,
      rootRenewal: this.#rootWatch.renewal,
      lastError: this.#news.lastError,
    };
  }

  lookup(packet: Packet): TableVerdict {
    if (this.#reader === undefined) throw new TypeError('the subscriber has not started');
    return this.#reader.lookup(packet);
  }

  explain(packet: Packet): Promise<Explanation> {
    return this.#explained(packet, []);
  }

  /** The names for which DNS gave the qube this address. Rejects if the sink does. */
  async #toldNames({ src, dst, direction }: Packet): Promise<readonly ToldName[]> {
    const isAsked = direction !== 'ingress' && this.#activator.active?.facts.opensNames === true;
    return (isAsked && src ? await this.#options.sink?.toldTo?.(src, dst) : undefined) ?? [];
  }

  /** Rejects if the sink does. */
  async #explainLive(packet: Packet): Promise<LiveExplanation> {
    return this.#explainTold(packet, await this.#toldNames(packet));
  }

  /**
   * The verdict on a refused packet. One to another qube may also have been refused by that qube's policy.
   * Rejects likewise.
   */
  async #judgeRefused(packet: Packet): Promise<Pick<WireRefused, 'verdict' | 'name'>> {
    const names = await this.#toldNames(packet);
    const first = await this.#explainTold(packet, names);
    const isElsewhere = packet.direction === 'egress' && first.verdict.action !== 'drop';
    const both = isElsewhere ? await this.#explainTold({ ...packet, direction: 'both' }, names) : first;
    const { verdict, rule } = both.verdict.action === 'drop' ? both : first;
    const name = names[0] && boundText(names[0].name, HOST_NAME_MAX_BYTES);
    return { verdict: verdictToWire(verdict, rule), name };
  }

  /** The verdict, with the name that led to it, if there is one. */
  async #explainTold(packet: Packet, names: readonly ToldName[]): Promise<LiveExplanation> {
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
    this.#rootWatch.close();
    this.#ruleEnds.stop();
    this.#options.refused?.close();
    await this.#connections.close();
    await this.#activator.close();
    await this.#ruleEnds.close();
    await this.#content.close();
  }
}
