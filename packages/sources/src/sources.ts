/**
 * Keeps the lists of a configuration fresh: loads each when it is due or changes, gathers what came of it, and hands what differs to a
 * consumer in batches, each of which becomes one release. What goes wrong with one list is that list's trouble alone.
 *
 *     schedule ─▶ source.load ─▶ gathered ─▶ expire, expressions ─▶ delivery ─▶ consumer ─▶ kept
 */

import { isDeepStrictEqual } from 'node:util';
import {
  type FetchConfig,
  type ListConfig,
  type NeverBlockConfig,
  operandsOf,
  type SourceLimits,
  type TableConfig,
} from '@rulecast/formats';
import { combineSets, EMPTY_PREFIX_SET, type List, type PrefixSet, unionPrefixes } from '@rulecast/rules';
import { type Clock, SteadyTime, SYSTEM_CLOCK } from './clock.ts';
import { FetchError } from './fetch/error.ts';
import { defaultNeverBlock, NO_PERMITS, type Permits, type Refusal } from './guard/guard.ts';
import { Kept, type KeptList } from './lists/kept.ts';
import type { Log } from './log.ts';
import type { Downloader } from './read/inputs.ts';
import type { ReadList } from './read/reading.ts';
import { Schedule } from './schedule/schedule.ts';
import { delayAfterCache, delayAfterFailure, delayAfterSuccess } from './schedule/timing.ts';
import { Delivery, type ListConsumer } from './source/delivery.ts';
import { type ListWork, type LoadResult, Source, type SourceContext } from './source/source.ts';
import { type ListStatus, statusOf } from './source/status.ts';
import { Table } from './source/table.ts';

/** What sources are told by the configuration. */
export interface SourcesConfig {
  readonly lists: ReadonlyMap<string, ListConfig>;
  /** Whether having no lists is meant. */
  readonly saysLists: boolean;
  readonly tables: ReadonlyMap<string, TableConfig>;
  readonly limits: SourceLimits;
  readonly neverBlock: NeverBlockConfig;
}

/** Tells of paths that change, or go; the returned function ends that. */
export type WatchPaths = (
  paths: readonly string[],
  onChange: (path: string) => void,
) => Promise<() => Promise<void>>;

export interface SourcesOptions {
  readonly config: SourcesConfig;
  /** Of what is kept over a restart. */
  readonly directory: string;
  /** Closed with the sources. */
  readonly fetcher: Downloader;
  readonly work: ListWork;
  readonly watch: WatchPaths;
  readonly consumer: ListConsumer;
  readonly log: Log;
  /** Addresses of peers that manage this host: never blocked. */
  readonly peers?: PrefixSet;
  readonly clock?: Clock;
  /** 0 to 1; default Math.random. */
  readonly random?: () => number;
  /** Takes what was done against a guard, for a record of its own. */
  readonly audit?: (entry: AuditEntry) => void;
}

/** Somebody permitted what a guard would have refused. */
export interface AuditEntry {
  readonly list: string;
  readonly code: string;
  readonly reason: string;
  /** Entries. */
  readonly before: number;
  readonly after: number;
}

/** Our choice. */
const LOCAL_POOL = 4; // reading files is bound by one disk and one thread
const SLOW_FETCH_FACTOR = 4; // they trickle, and hold little
const SETTLE_MS = 250; // a job that replaces many files is a burst
const SETTLE_MAX_MS = 20_000; // one slow feed holds up the others no longer
const EXPIRY_GRAIN_MS = 30_000; // expiries this near to each other are one release
const RETRY_UPDATE_MS = 10_000;
const BUG_DELAY_MS = 3_600_000;
const REFRESH_REST_MS = 5000; // who asks for a file that was just written waits for it to rest, but not for long
const REFRESH_RESTS_MAX = 3;

export class Sources {
  readonly #options: SourcesOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #kept: Kept;
  readonly #delivery: Delivery;
  readonly #schedule: Schedule;
  readonly #closing = new AbortController();
  #config: SourcesConfig;
  #time: SteadyTime;
  #context: SourceContext;
  #sources = new Map<string, Source>();
  #tables = new Map<string, Table>();
  readonly #permits = new Map<string, Permits>();
  /** Items of the schedule that ran since this process started, or their configuration changed. */
  readonly #started = new Set<string>();
  /** The layers that were written last, by list. */
  readonly #written = new Map<string, Source['layers']>();
  /** Lists of ours in force while the configuration says nothing of lists, with what is known of them. */
  readonly #unsaid = new Map<string, KeptList>();
  #watched: readonly string[] = [];
  #unwatch: (() => Promise<void>) | undefined;
  #cancelExpiry: (() => void) | undefined;
  #cancelRetry: (() => void) | undefined;

  constructor(options: SourcesOptions) {
    this.#options = options;
    this.#config = options.config;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#random = options.random ?? Math.random;
    this.#kept = new Kept(options.directory);
    this.#delivery = new Delivery(options.consumer, this.#clock, options.log);
    this.#time = new SteadyTime(this.#clock, undefined);
    this.#context = this.#newContext();
    this.#schedule = new Schedule({
      clock: this.#clock,
      pools: {
        fetch: {
          runs: options.config.limits.fetches,
          slowRuns: options.config.limits.fetches * SLOW_FETCH_FACTOR,
        },
        local: { runs: LOCAL_POOL, slowRuns: 0 },
      },
      settleMs: SETTLE_MS,
      settleMaxMs: SETTLE_MAX_MS,
      run: (item) => this.#run(item),
      flush: () => this.#flush(),
    });
  }

  /**
   * Begins. `held` are the lists that are in force: those that were ours before are the last good ones until their sources say something
   * else. Lists of ours that the configuration has no more are withdrawn, unless it says nothing of lists.
   */
  async start(held: ReadonlyMap<string, List>): Promise<void> {
    const { time, lists } = await this.#kept.state();
    this.#time = new SteadyTime(this.#clock, time);
    await this.#watchAll(); // what changes from here on is told, and what is there is read below
    for (const [name, list] of held) {
      const kept = lists.get(name);
      if (kept === undefined) continue;
      this.#delivery.resume(name, list);
      if (!this.#config.saysLists) this.#unsaid.set(name, kept);
      else if (!this.owns(name) && this.#delivery.withdraw(name)) this.#schedule.gather();
    }
    if (this.#unsaid.size > 0) {
      const what = 'the configuration says nothing of lists, and those of the one before stay as they are';
      this.#options.log.warn({ lists: this.keptUnsaid }, `${what}: write lists: {} if they are to go`);
    }
    this.#addTables();
    for (const config of this.#config.lists.values()) await this.#addList(config, lists.get(config.name));
  }

  async #addList(config: ListConfig, kept: KeptList | undefined): Promise<void> {
    const source = new Source(config, this.#context);
    if (kept !== undefined) {
      const layers = isKeptWhole(config) ? await this.#kept.layers(config.name) : undefined;
      source.resume(kept, layers, this.#delivery.inForce(config.name));
      this.#delivery.resumeChange(config.name, kept.change);
    }
    this.#sources.set(config.name, source);
    if (config.source.kind === 'expression') this.#schedule.gather();
    else if (config.source.kind === 'url') {
      this.#schedule.add(listItem(config.name), 'fetch', 0, hostsOf(config.source));
    } else this.#schedule.add(listItem(config.name), 'local', 0);
  }

  #addTables(): void {
    this.#tables = new Map();
    this.#context = this.#newContext();
    for (const table of this.#config.tables.values()) {
      this.#tables.set(table.name, new Table(table, this.#options.fetcher, this.#config.limits, this.#clock));
      this.#started.delete(tableItem(table.name));
      const { source } = table;
      if (source.kind === 'url') this.#schedule.add(tableItem(table.name), 'fetch', 0, hostsOf(source));
      else this.#schedule.add(tableItem(table.name), 'local', 0);
    }
  }

  /** What sources share under the configuration at hand. */
  #newContext(): SourceContext {
    const { limits, neverBlock } = this.#config;
    const { fetcher, work, peers = EMPTY_PREFIX_SET } = this.#options;
    const base = neverBlock.defaults ? defaultNeverBlock() : EMPTY_PREFIX_SET;
    const clock = this.#clock;
    const time = this.#time;
    const tables = this.#tables;
    return {
      clock,
      time,
      fetcher,
      work,
      limits,
      neverBlock: [neverBlock.add, peers].reduce((a, b) => combineSets(unionPrefixes, a, b), base),
      tables,
      signal: this.#closing.signal,
    };
  }

  // ── What people ask for ───────────────────────────────────────────────────────────────────────────────────────────

  /** Whether a list is this configuration's, so that nobody else may change it. */
  owns(name: string): boolean {
    return this.#config.lists.get(name)?.publish === true;
  }

  /** Lists that stay in force only because the configuration says nothing of lists. */
  get keptUnsaid(): readonly string[] {
    return [...this.#unsaid.keys()];
  }

  /** Whether a list is made of this one. */
  isOperand(name: string): boolean {
    return [...this.#config.lists.values()].some((list) => operandsOf(list).includes(name));
  }

  /** Each list of the configuration, in its order. */
  status(): readonly ListStatus[] {
    return [...this.#sources.values()].map((source) => {
      const { name } = source.config;
      const untilMs = this.#schedule.untilNextMs(listItem(name));
      return statusOf(source, {
        isLoading: this.#schedule.isRunning(listItem(name)),
        nextAtMs: untilMs === undefined ? undefined : this.#clock.wallMs() + untilMs,
        change: this.#delivery.change(name),
        refused: this.#delivery.refusal(name),
      });
    });
  }

  /** The last good content of a list, whether it is published or not; undefined where there is none. */
  list(name: string): List | undefined {
    return this.#sources.get(name)?.list;
  }

  /**
   * Loads lists now, or all of them, with what they are made from, and puts what changed in force; resolves when that is done. `permits`
   * hold for this once, for the lists that are named. Throws RangeError for a name that the configuration does not have.
   */
  async refresh(names: readonly string[], permits: Permits): Promise<readonly ListStatus[]> {
    const shown = new Set(names.length === 0 ? this.#sources.keys() : names);
    const wanted = this.#withOperands([...shown]);
    for (const name of shown) this.#permits.set(name, permits);
    const tables = new Set<string>();
    for (const name of wanted) {
      const source = this.#sources.get(name)?.config.source;
      if (source?.kind === 'table') tables.add(tableItem(source.table));
    }
    const items = wanted.map(listItem);
    for (const item of [...tables, ...items]) this.#started.add(item); // from the network, not from the cache
    await Promise.all([...tables].map((item) => this.#schedule.runNow(item)));
    await Promise.all(items.map((item) => this.#schedule.runNow(item)));
    await this.#readRested(wanted);
    await this.#schedule.flushNow();
    for (const name of shown) this.#permits.delete(name);
    return this.status().filter(({ name }) => shown.has(name));
  }

  /** Reads files again that were written a moment ago, when they have rested; within bounds. */
  async #readRested(names: readonly string[]): Promise<void> {
    const { signal } = this.#closing;
    for (let round = 0; round < REFRESH_RESTS_MAX; round++) {
      const restless = names.filter(
        (name) => (this.#sources.get(name)?.restsInMs ?? Infinity) <= REFRESH_REST_MS,
      );
      if (restless.length === 0 || signal.aborted) return;
      const waitMs = Math.max(...restless.map((name) => this.#sources.get(name)?.restsInMs ?? 0));
      await new Promise<void>((resolve) => {
        const end = (): void => {
          cancel();
          signal.removeEventListener('abort', end);
          resolve();
        };
        const cancel = this.#clock.after(waitMs, end);
        signal.addEventListener('abort', end);
      });
      await Promise.all(restless.map((name) => this.#schedule.runNow(listItem(name))));
    }
  }

  /** Lists with those that they are made from. */
  #withOperands(names: readonly string[]): readonly string[] {
    const all = new Set<string>();
    const open = [...names];
    for (let name = open.pop(); name !== undefined; name = open.pop()) {
      const source = this.#sources.get(name);
      if (source === undefined) throw new RangeError(`there is no list ${name} in the configuration`);
      if (all.has(name)) continue;
      all.add(name);
      open.push(...operandsOf(source.config));
    }
    return [...all];
  }

  /** What is in force was changed by others: lists that were lost by it come back. */
  resync(): void {
    if (this.#delivery.resync()) this.#schedule.gather();
  }

  /** Another configuration from now on: lists that it says the same of go on undisturbed. */
  async reload(config: SourcesConfig): Promise<void> {
    const before = this.#config;
    this.#config = config;
    await this.#watchAll();
    const isSameFrame = (['tables', 'limits', 'neverBlock'] as const).every((key) =>
      isDeepStrictEqual(before[key], config[key]),
    );
    if (!isSameFrame) {
      for (const name of this.#tables.keys()) this.#schedule.delete(tableItem(name));
      this.#addTables();
    }
    const old = this.#sources;
    this.#sources = new Map();
    for (const list of config.lists.values()) {
      const source = old.get(list.name);
      old.delete(list.name);
      if (isSameFrame && source !== undefined && sameList(source.config, list)) {
        this.#sources.set(list.name, source);
      } else await this.#replaceList(list, source);
      if (list.publish) this.#delivery.retain(list.name);
      else this.#delivery.withdraw(list.name);
    }
    for (const name of old.keys()) {
      this.#schedule.delete(listItem(name));
      this.#delivery.withdraw(name);
    }
    if (config.saysLists) {
      for (const name of this.#unsaid.keys()) if (!config.lists.has(name)) this.#delivery.withdraw(name);
      this.#unsaid.clear();
    }
    this.#schedule.gather();
  }

  async #replaceList(config: ListConfig, before: Source | undefined): Promise<void> {
    this.#schedule.delete(listItem(config.name));
    this.#started.delete(listItem(config.name));
    await this.#addList(config, undefined);
    // What it holds stays until its source is read; guards compare with it only where the source is the same.
    const isSameSource = before !== undefined && isDeepStrictEqual(before.config.source, config.source);
    if (isSameSource) this.#sources.get(config.name)?.inherit(before);
  }

  /** Resolves when nothing is being loaded or put in force at the moment. */
  idle(): Promise<void> {
    return this.#schedule.idle();
  }

  /** Ends what is under way; nothing is put in force any more. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#cancelExpiry?.();
    this.#cancelRetry?.();
    await this.#unwatch?.();
    await this.#options.fetcher.close();
    await this.#schedule.close();
    await this.#keep();
  }

  // ── Loading ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Runs one item of the schedule; resolves with the time to its next run. */
  async #run(item: string): Promise<number | undefined> {
    const isFirst = !this.#started.has(item);
    this.#started.add(item);
    const name = item.slice(item.indexOf(':') + 1);
    try {
      return item === tableItem(name)
        ? await this.#runTable(name, isFirst)
        : await this.#runList(name, isFirst);
    } catch (error) {
      if (this.#closing.signal.aborted) return undefined;
      this.#options.log.warn({ err: error, item }, 'a source failed in a way that is a bug');
      return BUG_DELAY_MS;
    }
  }

  async #runList(name: string, isFirst: boolean): Promise<number | undefined> {
    const source = this.#sources.get(name);
    if (source === undefined) return undefined;
    const { list: listBefore, report: reportBefore } = source;
    const before = source.count;
    const trouble = source.trouble?.code;
    const cached = isFirst ? await source.loadCached() : undefined;
    const result = cached ?? (await source.load(this.#permits.get(name) ?? NO_PERMITS));
    if (result.overridden !== undefined) this.#tellOverridden(source, result.overridden, before);
    this.#tellTrouble(source, trouble);
    this.#tellReading(source, listBefore, reportBefore);
    if (result.restsInMs !== undefined) return result.restsInMs;
    const { config, fetchedAtMs, failures } = source;
    if (cached?.isGood === true) {
      return delayAfterCache(config, this.#clock.wallMs() - (fetchedAtMs ?? 0), this.#random());
    }
    return this.#delayAfter(config, result, failures);
  }

  #delayAfter(
    timing: Pick<ListConfig, 'intervalMs' | 'jitterShare'>,
    { isGood, retryAfterMs }: Pick<LoadResult, 'isGood' | 'retryAfterMs'>,
    failures: number,
  ): number | undefined {
    if (isGood) return delayAfterSuccess(timing, this.#random());
    return delayAfterFailure(failures, timing, this.#random(), retryAfterMs);
  }

  #tellTrouble({ config: { name }, trouble, list }: Source, before: string | undefined): void {
    if (trouble?.code === before || this.#closing.signal.aborted) return;
    if (trouble === undefined) this.#options.log.info({ list: name }, `list ${name} is good again`);
    else {
      const { code, reason } = trouble;
      const what = list === undefined ? 'has no content yet' : 'keeps its last good content';
      this.#options.log.warn({ list: name, code }, `list ${name} ${what}: ${reason}`);
    }
  }

  /** What is to be known of a reading that was taken: that there was none before, and what is odd about it. */
  #tellReading(
    { config, list, report, count }: Source,
    before: List | undefined,
    reportBefore: ReadList | undefined,
  ): void {
    const { name, source } = config;
    if (report === undefined || report === reportBefore || this.#closing.signal.aborted) return;
    for (const note of report.notes) this.#options.log.warn({ list: name }, `list ${name}: ${note}`);
    if (before !== undefined || list === undefined || source.kind !== 'url') return;
    const entries = `${count} ${count === 1 ? 'entry' : 'entries'}, read as ${report.formats.join(' and ')}`;
    const what = `list ${name} has content for the first time: ${entries}; nothing is known to compare it with`;
    this.#options.log.info({ list: name }, what);
  }

  #tellOverridden(source: Source, overridden: Refusal, before: number): void {
    const { name } = source.config;
    const entry: AuditEntry = { list: name, ...overridden, before, after: source.count };
    this.#options.log.warn({ audit: entry }, `list ${name} was taken against a guard, as somebody asked`);
    this.#options.audit?.(entry);
  }

  async #runTable(name: string, isFirst: boolean): Promise<number | undefined> {
    const table = this.#tables.get(name);
    if (table === undefined) return undefined;
    const { config } = table;
    try {
      const cachedAtMs = isFirst ? await table.cachedAtMs() : undefined;
      if (cachedAtMs === undefined) await table.refresh(this.#closing.signal);
      // Even if nothing changed: a list may have failed for want of this.
      for (const source of this.#cutFrom(name)) void this.#schedule.runNow(listItem(source.config.name));
      if (cachedAtMs === undefined) return delayAfterSuccess(config, this.#random());
      return delayAfterCache(config, this.#clock.wallMs() - cachedAtMs, this.#random());
    } catch (error) {
      if (!(error instanceof FetchError)) throw error;
      const reason = `table ${name}: ${error.message}`;
      for (const source of this.#cutFrom(name)) source.refuse({ code: error.code, reason });
      if (table.failures === 1 && !this.#closing.signal.aborted) {
        this.#options.log.warn({ table: name, code: error.code }, `${reason}; its lists keep what they hold`);
      }
      return delayAfterFailure(table.failures, config, this.#random(), error.retryAfterMs);
    }
  }

  #cutFrom(table: string): readonly Source[] {
    return [...this.#sources.values()].filter(({ config: { source } }) => {
      return source.kind === 'table' && source.table === table;
    });
  }

  // ── Watching ──────────────────────────────────────────────────────────────────────────────────────────────────────

  async #watchAll(): Promise<void> {
    const paths = watchedPaths(this.#config);
    if (isDeepStrictEqual(paths, this.#watched)) return;
    await this.#unwatch?.();
    this.#watched = paths;
    this.#unwatch =
      paths.length === 0 ? undefined : await this.#options.watch(paths, (path) => this.#changed(path));
  }

  /** A watched file changed or is gone, or something in a watched directory did. */
  #changed(path: string): void {
    for (const { name, source } of this.#config.lists.values()) {
      const isOfList = (source.kind === 'file' || source.kind === 'dir') && source.path === path;
      if (isOfList) void this.#schedule.runNow(listItem(name));
    }
    for (const { name, source } of this.#config.tables.values()) {
      if (source.kind === 'files' && source.paths.includes(path)) void this.#schedule.runNow(tableItem(name));
    }
  }

  // ── Telling ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Puts what differs in force, as one batch, and keeps what is to be known after a restart. */
  async #flush(): Promise<void> {
    try {
      for (const source of this.#sources.values()) await source.expire();
      await this.#evaluateAll();
      if (await this.#delivery.deliver(this.#sources)) this.#retryLater();
    } catch (error) {
      if (this.#closing.signal.aborted) return this.#keep();
      this.#options.log.warn({ err: error }, 'what sources say could not be put in force: it is tried again');
      this.#retryLater();
    }
    this.#armExpiry();
    await this.#keep();
  }

  #retryLater(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = this.#clock.after(RETRY_UPDATE_MS, () => this.#schedule.gather());
  }

  /** Makes the expressions, operands first. */
  async #evaluateAll(): Promise<void> {
    const done = new Set<string>();
    const visit = async (name: string): Promise<void> => {
      const source = this.#sources.get(name);
      if (source === undefined || done.has(name)) return;
      done.add(name);
      for (const operand of operandsOf(source.config)) await visit(operand);
      await this.#evaluate(source);
    };
    for (const { name, source } of this.#config.lists.values())
      if (source.kind === 'expression') await visit(name);
  }

  async #evaluate(source: Source): Promise<void> {
    const { source: expression, name, aggregate } = source.config;
    if (expression.kind !== 'expression') return;
    const missing = operandsOf(source.config).find((operand) => this.list(operand) === undefined);
    if (missing !== undefined) {
      source.refuse({ code: 'operand-missing', reason: `it waits for list ${missing}` });
      return;
    }
    const listsOf = (names: readonly string[]): List[] =>
      names.flatMap((operand) => this.list(operand) ?? []);
    const operands = listsOf(expression.operands);
    const minus = listsOf(expression.minus);
    const permits = this.#permits.get(name);
    if (source.isMadeOf([...operands, ...minus]) && permits === undefined) return;
    const { operator } = expression;
    const list = await this.#options.work.evaluate({ operator, operands, minus, aggregate });
    if (list === undefined) {
      const reason = 'it is made of lists of addresses and lists of names: keep them apart';
      source.refuse({ code: 'mixed-list', reason });
      return;
    }
    const before = source.count;
    const trouble = source.trouble?.code;
    const overridden = await source.takeExpression(list, [...operands, ...minus], permits ?? NO_PERMITS);
    if (overridden !== undefined) this.#tellOverridden(source, overridden, before);
    this.#tellTrouble(source, trouble);
  }

  #armExpiry(): void {
    this.#cancelExpiry?.();
    this.#cancelExpiry = undefined;
    let dueMs = Number.POSITIVE_INFINITY;
    for (const source of this.#sources.values()) {
      const next = source.nextExpiry();
      if (next !== undefined) dueMs = Math.min(dueMs, next.atMs + Math.min(EXPIRY_GRAIN_MS, next.ttlMs / 10));
    }
    if (dueMs === Number.POSITIVE_INFINITY || this.#closing.signal.aborted) return;
    const delayMs = Math.max(1, dueMs - this.#time.nowMs());
    this.#cancelExpiry = this.#clock.after(delayMs, () => this.#schedule.gather());
  }

  async #keep(): Promise<void> {
    const lists = new Map<string, KeptList>(this.#unsaid);
    const whole = new Set<string>(this.#unsaid.keys());
    try {
      for (const [name, source] of this.#sources) {
        lists.set(name, {
          goodAtMs: source.goodAtMs ?? this.#time.nowMs(),
          fetchedAtWallMs: source.fetchedAtMs,
          change: this.#delivery.change(name),
          longestEntries: source.longestEntries,
        });
        if (!isKeptWhole(source.config)) continue;
        whole.add(name);
        if (this.#written.get(name) === source.layers || source.layers.length === 0) continue;
        await this.#kept.writeLayers(name, source.layers);
        this.#written.set(name, source.layers);
      }
      await this.#kept.writeState({ time: this.#time.saved(), lists });
      await this.#kept.retain(whole);
    } catch (error) {
      this.#options.log.warn({ err: error }, 'the state of the sources cannot be kept: is the disk full?');
    }
  }
}

/** Whether no release holds all that is to be known of a list after a restart. */
function isKeptWhole(config: ListConfig): boolean {
  return config.mode === 'merge' || !config.publish;
}

/** Sorted, each once. */
function watchedPaths({ lists, tables }: SourcesConfig): readonly string[] {
  const paths = new Set<string>();
  for (const { source } of lists.values()) {
    if (source.kind === 'file' || source.kind === 'dir') paths.add(source.path);
  }
  for (const { source } of tables.values()) {
    if (source.kind === 'files') for (const path of source.paths) paths.add(path);
  }
  return [...paths].sort();
}

/** Whether two configurations of a list say the same, wherever they stand in their files. */
function sameList(a: ListConfig, b: ListConfig): boolean {
  return isDeepStrictEqual({ ...a, line: 0, column: 0 }, { ...b, line: 0, column: 0 });
}

/** The hosts that downloads come from, before redirects. */
function hostsOf({ urls }: FetchConfig): readonly string[] {
  return [...new Set(urls.map((url) => new URL(url).host))];
}

function listItem(name: string): string {
  return `list:${name}`;
}

function tableItem(name: string): string {
  return `table:${name}`;
}
