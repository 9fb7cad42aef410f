/**
 * Loads a list or table that is due, and returns when it is due again. Its first run uses the cache: a
 * restart needs no network. Its first run takes what the cache has: a restart needs no network.
 */

import type { Clock } from '../clock.ts';
import { FetchError } from '../fetch/error.ts';
import { NO_PERMITS, type Permits } from '../guard/guard.ts';
import type { Log } from '../log.ts';
import { delayAfterCache, delayAfterFailure, delayAfterSuccess } from '../schedule/timing.ts';
import { itemOf } from './item.ts';
import { type ListLog, standingOf } from './list-log.ts';
import type { RangeTable } from './range-table.ts';
import type { Source } from './source.ts';

export interface LoaderOptions {
  /** The sources of the present configuration. */
  readonly sources: () => ReadonlyMap<string, Source>;
  readonly tables: () => ReadonlyMap<string, RangeTable>;
  /** For the refresh that is under way, by list. */
  readonly permits: ReadonlyMap<string, Permits>;
  readonly clock: Clock;
  /** 0 to 1. */
  readonly random: () => number;
  readonly log: Log;
  readonly listLog: ListLog;
  readonly closing: AbortSignal;
  /** Loads a list that is cut from a table: that table was read. */
  readonly onTableRead: (list: string) => void;
}

/** Our choice: a bug does not fill the log, and may not come back with the next content. */
const BUG_DELAY_MS = 3_600_000;

export class Loader {
  readonly #options: LoaderOptions;
  /** Items of the schedule that no longer start from the cache. */
  readonly #started = new Set<string>();

  constructor(options: LoaderOptions) {
    this.#options = options;
  }

  /** Has the next run of an item load from its source. */
  skipCache(item: string): void {
    this.#started.add(item);
  }

  /** The configuration of an item changed: its next run is a first one. */
  forget(item: string): void {
    this.#started.delete(item);
  }

  /** Runs one item of the schedule; resolves with the milliseconds to its next run, undefined for none. */
  async run(item: string): Promise<number | undefined> {
    const isFirst = !this.#started.has(item);
    this.#started.add(item);
    const { kind, name } = itemOf(item);
    try {
      return kind === 'table' ? await this.#runTable(name, isFirst) : await this.#runList(name, isFirst);
    } catch (error) {
      const { closing, log, sources } = this.#options;
      if (closing.aborted) return undefined;
      log.warn({ err: error, item }, 'a source failed in a way that is a bug');
      const reason = `a bug of rulecast-publisher, whose log has more: ${String(error)}`;
      const failed = kind === 'table' ? this.#cutFrom(name) : [sources().get(name)];
      for (const source of failed) source?.refuse({ code: 'bug', reason });
      return BUG_DELAY_MS;
    }
  }

  async #runList(name: string, isFirst: boolean): Promise<number | undefined> {
    const { sources, permits, clock, random, listLog } = this.#options;
    const source = sources().get(name);
    if (source === undefined) return undefined;
    const before = standingOf(source);
    const cached = isFirst ? await source.loadCached() : undefined;
    const result = cached ?? (await source.load(permits.get(name) ?? NO_PERMITS));
    listLog.tell(source, before, result.overridden);
    if (result.restsInMs !== undefined) return result.restsInMs;
    const { config, fetchedAtMs, failures } = source;
    if (cached?.isGood === true) {
      return delayAfterCache(config, clock.wallMs() - (fetchedAtMs ?? 0), random());
    }
    if (result.isGood) return delayAfterSuccess(config, random());
    return delayAfterFailure(failures, config, random(), result.retryAfterMs);
  }

  async #runTable(name: string, isFirst: boolean): Promise<number | undefined> {
    const { tables, clock, random, log, closing, onTableRead } = this.#options;
    const table = tables().get(name);
    if (table === undefined) return undefined;
    const { config } = table;
    try {
      const cachedAtMs = isFirst ? await table.cachedAtMs() : undefined;
      if (cachedAtMs === undefined) await table.refresh(closing);
      // Even if nothing changed: a list may have failed for want of this.
      for (const source of this.#cutFrom(name)) onTableRead(source.config.name);
      if (cachedAtMs === undefined) return delayAfterSuccess(config, random());
      return delayAfterCache(config, clock.wallMs() - cachedAtMs, random());
    } catch (error) {
      if (!(error instanceof FetchError)) throw error;
      const reason = `table ${name}: ${error.message}`;
      table.trouble = { code: error.code, reason };
      for (const source of this.#cutFrom(name)) source.refuse(table.trouble);
      if (table.failures === 1 && !closing.aborted) {
        log.warn({ table: name, code: error.code }, `${reason}; its lists keep what they hold`);
      }
      return delayAfterFailure(table.failures, config, random(), error.retryAfterMs);
    }
  }

  #cutFrom(table: string): readonly Source[] {
    return [...this.#options.sources().values()].filter(({ config: { source } }) => {
      return source.kind === 'table' && source.table === table;
    });
  }
}
