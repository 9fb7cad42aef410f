/**
 * Keeps the lists of a configuration fresh: loads each when it is due or changes, gathers the results, and
 * hands the differences to a consumer in batches, each of which becomes one release. A failing list does not
 * affect the others.
 *
 *     schedule ─▶ loader ─▶ gathered ─▶ expire, expressions ─▶ delivery ─▶ consumer ─▶ records
 *
 * A batch is from one moment: a list loaded or configured while it is made waits for the next.
 */

import { isDeepStrictEqual } from 'node:util';
import {
  type ListConfig,
  type NeverBlockConfig,
  operandsOf,
  type SourceLimits,
  type TableConfig,
} from '@rulecast/formats';
import { combineSets, EMPTY_PREFIX_SET, type List, type PrefixSet, unionPrefixes } from '@rulecast/rules';
import { type Clock, SteadyTime, SYSTEM_CLOCK } from './clock.ts';
import type { Permits } from './guard/guard.ts';
import { defaultNeverBlock } from './guard/never-block.ts';
import type { SavedList } from './lists/saved.ts';
import type { Log } from './log.ts';
import type { Downloader } from './read/inputs.ts';
import { Schedule } from './schedule/schedule.ts';
import { Delivery, type ListConsumer, type Widening } from './source/delivery.ts';
import { evaluateExpressions, withOperands } from './source/expressions.ts';
import { hostsOf, isSameConfig, itemsAt, listItem, tableItem, watchedPaths } from './source/item.ts';
import { type AuditEntry, ListLog } from './source/list-log.ts';
import { Loader } from './source/loader.ts';
import { RangeTable } from './source/range-table.ts';
import { Records } from './source/records.ts';
import { type ListWork, Source, type SourceContext } from './source/source.ts';
import { type ListStatus, statusOf } from './source/status.ts';

/** The configuration of sources. */
export interface SourcesConfig {
  readonly lists: ReadonlyMap<string, ListConfig>;
  /** Whether the configuration has the key `lists:`, if only without lists. */
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
  /** The directory of the saved state. */
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
  /** Receives records of overridden guards. */
  readonly audit?: (entry: AuditEntry) => void;
}

/** Our choice. */
const LOCAL_POOL = 4; // reading files is bound by one disk and one thread
const SLOW_FETCH_FACTOR = 4; // they trickle, and hold little
const SETTLE_MS = 250; // a job that replaces many files is a burst
const SETTLE_MAX_MS = 20_000; // one slow feed holds up the others no longer
const EXPIRY_GRAIN_MS = 30_000; // expiries this near to each other are one release
const RETRY_UPDATE_MS = 10_000;
const REFRESH_REST_MS = 5000; // a caller that has just written a file waits for it to rest, but not for long
const REFRESH_RESTS_MAX = 3;

export class Sources {
  readonly #options: SourcesOptions;
  readonly #clock: Clock;
  readonly #records: Records;
  readonly #delivery: Delivery;
  readonly #schedule: Schedule;
  readonly #closing = new AbortController();
  readonly #log: ListLog;
  readonly #loader: Loader;
  #config: SourcesConfig;
  #time: SteadyTime;
  #context: SourceContext;
  #sources = new Map<string, Source>();
  readonly #tables = new Map<string, RangeTable>();
  /** For the refresh that is under way, by list. */
  readonly #permits = new Map<string, Permits>();
  /** Our lists in force while the configuration has no lists, with their saved state. */
  readonly #unsaid = new Map<string, SavedList>();
  #watched: readonly string[] = [];
  #unwatch: (() => Promise<void>) | undefined;
  #cancelExpiry: (() => void) | undefined;
  #cancelRetry: (() => void) | undefined;

  constructor(options: SourcesOptions) {
    const { config, consumer, directory, log, audit } = options;
    this.#options = options;
    this.#config = config;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#records = new Records(directory);
    this.#log = new ListLog(log, this.#closing.signal, audit);
    this.#delivery = new Delivery(consumer, this.#clock, log, (entry) => this.#log.tellPermitted(entry));
    this.#time = new SteadyTime(this.#clock, undefined);
    this.#context = this.#newContext();
    this.#loader = new Loader({
      sources: () => this.#sources,
      tables: () => this.#tables,
      permits: this.#permits,
      clock: this.#clock,
      random: options.random ?? Math.random,
      log,
      listLog: this.#log,
      closing: this.#closing.signal,
      onTableRead: (list) => void this.#schedule.runNow(listItem(list)),
    });
    const { fetches } = config.limits;
    this.#schedule = new Schedule({
      clock: this.#clock,
      pools: {
        fetch: { runs: fetches, slowRuns: fetches * SLOW_FETCH_FACTOR },
        local: { runs: LOCAL_POOL, slowRuns: 0 },
      },
      settleMs: SETTLE_MS,
      settleMaxMs: SETTLE_MAX_MS,
      run: (item) => this.#loader.run(item),
      flush: () => this.#flush(),
    });
  }

  /**
   * Begins. `held` are the lists that are in force: those that were ours before are the last good ones until
   * their sources say something else. Lists of ours that the configuration has no more are withdrawn, unless
   * it says nothing of lists.
   */
  async start(held: ReadonlyMap<string, List>): Promise<void> {
    const { time, lists } = await this.#records.state();
    this.#time = new SteadyTime(this.#clock, time);
    // from here on changes are seen, and the present content is read below
    await this.#watchAll(this.#config);
    for (const [name, list] of held) {
      const saved = lists.get(name);
      if (saved === undefined) continue;
      this.#delivery.resume(name, list);
      if (!this.#config.saysLists) this.#unsaid.set(name, saved);
      else if (!this.#publishes(name) && this.#delivery.withdraw(name)) this.#schedule.gather();
    }
    if (this.#unsaid.size > 0) {
      const what = 'the configuration has no lists:, and the lists of the one before stay as they are';
      this.#options.log.warn({ lists: this.keptUnsaid }, `${what}: write lists: {} to remove them`);
    }
    this.#context = this.#newContext(); // of this time
    this.#replaceTables(true);
    for (const config of this.#config.lists.values()) {
      const source = new Source(config, this.#context);
      await this.#resume(source, lists.get(config.name));
      this.#add(source);
    }
  }

  /** Restores the state of a list from before the publisher stopped. */
  async #resume(source: Source, saved: SavedList | undefined): Promise<void> {
    if (saved === undefined) return;
    const { name } = source.config;
    const layers = await this.#records.layersOf(source.config);
    source.resume(saved, layers, this.#delivery.inForce(name));
    this.#delivery.resumeChange(name, saved.change);
  }

  /** Has a source loaded from now on. */
  #add(source: Source): void {
    const { name, source: origin } = source.config;
    this.#sources.set(name, source);
    if (origin.kind === 'expression') this.#schedule.gather();
    else if (origin.kind === 'url') this.#schedule.add(listItem(name), 'fetch', 0, hostsOf(origin));
    else this.#schedule.add(listItem(name), 'local', 0);
  }

  /**
   * Creates the tables of the present configuration, keeping unchanged ones; returns the names of all others.
   */
  #replaceTables(isSameFrame: boolean): ReadonlySet<string> {
    const { tables, limits } = this.#config;
    const goesOn = (name: string): boolean =>
      isSameFrame && isDeepStrictEqual(this.#tables.get(name)?.config, tables.get(name));
    const others = new Set([...this.#tables.keys(), ...tables.keys()].filter((name) => !goesOn(name)));
    for (const name of others) {
      const [item, table] = [tableItem(name), tables.get(name)];
      this.#schedule.delete(item);
      this.#loader.forget(item);
      this.#tables.delete(name);
      if (table === undefined) continue;
      this.#tables.set(name, new RangeTable(table, this.#options.fetcher, limits, this.#clock));
      if (table.source.kind === 'url') this.#schedule.add(item, 'fetch', 0, hostsOf(table.source));
      else this.#schedule.add(item, 'local', 0);
    }
    return others;
  }

  /** The context of sources under the present configuration. */
  #newContext(): SourceContext {
    const { limits, neverBlock } = this.#config;
    const { fetcher, work, peers = EMPTY_PREFIX_SET } = this.#options;
    const base = neverBlock.defaults ? defaultNeverBlock() : EMPTY_PREFIX_SET;
    return {
      clock: this.#clock,
      time: this.#time,
      fetcher,
      work,
      limits,
      neverBlock: [neverBlock.add, peers].reduce((a, b) => combineSets(unionPrefixes, a, b), base),
      tables: this.#tables,
      signal: this.#closing.signal,
    };
  }

  // ── What people ask for ──────────────────────────────────────────────────────────────────────────────────

  /**
   * Whether a list belongs to the configuration: the present one, or the one before, whose list is being
   * withdrawn and must not take a replacement by others with it.
   */
  owns(name: string): boolean {
    return this.#publishes(name) || this.#delivery.isLeaving(name);
  }

  #publishes(name: string): boolean {
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
        inForce: this.#delivery.inForce(name),
        refused: this.#delivery.refusal(name),
      });
    });
  }

  /** The last good content of a list, whether it is published or not; undefined where there is none. */
  list(name: string): List | undefined {
    return this.#sources.get(name)?.list;
  }

  /**
   * Loads lists now, or all of them, with what they are made from, and puts what changed in force; resolves
   * when that is done. `permits` hold for this once, for the lists that are named. Throws RangeError for a
   * name that the configuration does not have.
   */
  async refresh(names: readonly string[], permits: Permits): Promise<readonly ListStatus[]> {
    const shown = new Set(names.length === 0 ? this.#sources.keys() : names);
    const wanted = withOperands([...shown], this.#sources);
    for (const name of names) this.#permits.set(name, permits);
    const tables = new Set<string>();
    for (const name of wanted) {
      const source = this.#sources.get(name)?.config.source;
      if (source?.kind === 'table') tables.add(tableItem(source.table));
    }
    const items = wanted.map(listItem);
    for (const item of [...tables, ...items]) this.#loader.skipCache(item);
    await Promise.all([...tables].map((item) => this.#schedule.runNow(item)));
    await Promise.all(items.map((item) => this.#schedule.runNow(item)));
    await this.#readRested(wanted);
    await this.#schedule.flushNow();
    for (const name of names) this.#permits.delete(name);
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

  /** Others changed the release in force: lists lost by that are delivered again. */
  resync(): void {
    if (this.#delivery.resync()) this.#schedule.gather();
  }

  /** Applies another configuration: unchanged lists go on undisturbed. */
  async reload(config: SourcesConfig): Promise<void> {
    await this.#watchAll(config);
    await this.#schedule.untold(() => this.#replace(config));
  }

  /** In one step, and while no batch is made: or one would be of half a configuration. */
  #replace(config: SourcesConfig): void {
    const before = this.#config;
    this.#config = config;
    const isSameFrame = (['limits', 'neverBlock'] as const).every((key) =>
      isDeepStrictEqual(before[key], config[key]),
    );
    if (!isSameFrame) this.#context = this.#newContext();
    const otherTables = this.#replaceTables(isSameFrame);
    const isSame = (source: Source | undefined, list: ListConfig): source is Source => {
      if (!isSameFrame || source === undefined || !isSameConfig(source.config, list)) return false;
      return list.source.kind !== 'table' || !otherTables.has(list.source.table);
    };
    const old = this.#sources;
    this.#sources = new Map();
    for (const list of config.lists.values()) {
      const source = old.get(list.name);
      old.delete(list.name);
      if (isSame(source, list)) this.#sources.set(list.name, source);
      else this.#replaceList(list, source);
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

  #replaceList(config: ListConfig, before: Source | undefined): void {
    const item = listItem(config.name);
    this.#schedule.delete(item);
    this.#loader.forget(item);
    const source = new Source(config, this.#context);
    // Its content stays until its source is read; guards compare with it only if the source is the same.
    const isSameSource = before !== undefined && isDeepStrictEqual(before.config.source, config.source);
    if (isSameSource) source.inherit(before);
    this.#add(source);
  }

  /** Resolves when nothing is being loaded or put in force at the moment. */
  idle(): Promise<void> {
    return this.#schedule.idle();
  }

  /** Ends work under way; nothing is put in force any more. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#cancelExpiry?.();
    this.#cancelRetry?.();
    await this.#unwatch?.();
    await this.#options.fetcher.close();
    await this.#schedule.close();
    await this.#record();
  }

  // ── Watching ─────────────────────────────────────────────────────────────────────────────────────────────

  async #watchAll(config: SourcesConfig): Promise<void> {
    const paths = watchedPaths(config);
    if (isDeepStrictEqual(paths, this.#watched)) return;
    await this.#unwatch?.();
    this.#watched = paths;
    const onChange = (path: string): void => {
      for (const item of itemsAt(path, this.#config)) void this.#schedule.runNow(item);
    };
    this.#unwatch = paths.length === 0 ? undefined : await this.#options.watch(paths, onChange);
  }

  // ── Telling ──────────────────────────────────────────────────────────────────────────────────────────────

  /** Puts the differences in force, as one batch, and saves the state for a restart. */
  async #flush(): Promise<void> {
    try {
      for (const source of this.#sources.values()) await source.expire();
      const published = await this.#published();
      if (await this.#delivery.deliver(published, this.#widening())) this.#retryLater();
    } catch (error) {
      if (this.#closing.signal.aborted) return this.#record();
      this.#options.log.warn({ err: error }, 'what sources say could not be put in force: it is tried again');
      this.#retryLater();
    }
    this.#armExpiry();
    await this.#record();
  }

  /** The lists to be in force, from the present state of all lists, with expressions evaluated. */
  async #published(): Promise<ReadonlyMap<string, List>> {
    const lists = new Map([...this.#sources].map(([name, { list }]) => [name, list]));
    await evaluateExpressions(lists, {
      sources: this.#sources,
      work: this.#options.work,
      permits: this.#permits,
      log: this.#log,
    });
    const published = new Map<string, List>();
    for (const [name, list] of lists)
      if (list !== undefined && this.#publishes(name)) published.set(name, list);
    return published;
  }

  /** Lists whose entries may grow wider: by the configuration, or by a permit this once. */
  #widening(): Widening {
    const widening = new Map<string, Permits | undefined>();
    for (const [name, permits] of this.#permits) if (permits.codes.has('wider')) widening.set(name, permits);
    for (const { config } of this.#sources.values())
      if (config.suffixes === 'below') widening.set(config.name, undefined);
    return widening;
  }

  #retryLater(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = this.#clock.after(RETRY_UPDATE_MS, () => this.#schedule.gather());
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

  async #record(): Promise<void> {
    try {
      await this.#records.write({
        time: this.#time.saved(),
        nowMs: this.#time.nowMs(),
        sources: this.#sources,
        delivery: this.#delivery,
        unsaid: this.#unsaid,
      });
    } catch (error) {
      this.#options.log.warn({ err: error }, 'the state of the sources cannot be kept: is the disk full?');
    }
  }
}
