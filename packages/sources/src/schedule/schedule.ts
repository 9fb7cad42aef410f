/**
 * Schedules the reading of sources: at an interval with jitter, at once on demand, a bounded number at a
 * time, one at a time for each host. A long run makes room for another, so that slow servers hold up only
 * themselves. The results are gathered, and flushed once all are settled: a batch, which becomes one release.
 *
 *     due ──room in its pool, host free──▶ running ──ends──▶ gathered ──nothing runs for settleMs, or settleMaxMs passed──▶ flush
 *                                            └─ longer than SLOW_MS, and others wait ─▶ slow: takes no room of the pool
 */

import type { Clock } from '../clock.ts';

/** The number of concurrent runs. */
export interface Pool {
  readonly runs: number;
  /** Beside these, that have become slow. */
  readonly slowRuns: number;
}

/** Our choice: a run is slow from here on. A good download takes less, by Tor too. */
const SLOW_MS = 2000;
const NO_POOL: Pool = { runs: 1, slowRuns: 0 };

export interface ScheduleOptions {
  readonly clock: Clock;
  /** By the name that items have it by. */
  readonly pools: Readonly<Record<string, Pool>>;
  /** The quiet time before a flush. */
  readonly settleMs: number;
  /** A batch waits no longer than this for items that still run. */
  readonly settleMaxMs: number;
  /**
   * Reads an item; resolves with the time to its next run, or undefined for only on demand. Must not reject.
   */
  readonly run: (item: string) => Promise<number | undefined>;
  /** Called to deliver what was gathered. Must not reject. */
  readonly flush: () => Promise<void>;
}

interface Item {
  readonly pool: string;
  /** The hosts of which it must be the only run. */
  readonly hosts: readonly string[];
  /** Monotonic milliseconds; undefined: only on demand. */
  dueAtMs: number | undefined;
  running: Promise<void> | undefined;
  startedAtMs: number;
  /** It has run for so long, now or the last time, that it made room for others; until it was quick once. */
  isSlow: boolean;
  /** Asked for while it ran: run it again afterwards. */
  isWanted: boolean;
  /** Callers that wait for a run still to begin. */
  waiting: (() => void)[];
}

export class Schedule {
  readonly #options: ScheduleOptions;
  readonly #items = new Map<string, Item>();
  /** By pool: the running items, slow ones included; and the slow ones. */
  readonly #running = new Map<string, number>();
  readonly #slow = new Map<string, number>();
  /** Hosts with a running item. */
  readonly #hosts = new Set<string>();
  #cancelDue: (() => void) | undefined;
  #cancelFlush: (() => void) | undefined;
  /** The end of the first run that was not flushed yet. */
  #gatheredSinceMs: number | undefined;
  #isTickDue = false;
  #flushing: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(options: ScheduleOptions) {
    this.#options = options;
  }

  /**
   * Adds an item, to be run after `delayMs`; without it only on demand. It does not run together with another
   * of the same `hosts`.
   */
  add(name: string, pool: string, delayMs: number | undefined, hosts: readonly string[] = []): void {
    const dueAtMs = delayMs === undefined ? undefined : this.#nowMs() + delayMs;
    this.#items.set(name, {
      pool,
      hosts,
      dueAtMs,
      running: undefined,
      startedAtMs: 0,
      isSlow: false,
      isWanted: false,
      waiting: [],
    });
    if (this.#isTickDue) return;
    this.#isTickDue = true; // once for all that are added together
    queueMicrotask(() => this.#tick());
  }

  /** Removes an item. A run under way goes on; no other follows. */
  delete(name: string): void {
    const item = this.#items.get(name);
    this.#items.delete(name);
    for (const resolve of item?.waiting ?? []) resolve();
  }

  /** Runs an item as soon as its pool has room; resolves when a run that began after this call has ended. */
  runNow(name: string): Promise<void> {
    const item = this.#items.get(name);
    if (item === undefined || this.#isClosed) return Promise.resolve();
    return new Promise((resolve) => {
      item.waiting.push(resolve);
      if (item.running === undefined) item.dueAtMs = this.#nowMs();
      else item.isWanted = true;
      this.#tick();
    });
  }

  /** Milliseconds until an item runs; undefined for only on demand, 0 while it runs. */
  untilNextMs(name: string): number | undefined {
    const item = this.#items.get(name);
    if (item?.running !== undefined) return 0;
    return item?.dueAtMs === undefined ? undefined : Math.max(0, item.dueAtMs - this.#nowMs());
  }

  isRunning(name: string): boolean {
    return this.#items.get(name)?.running !== undefined;
  }

  /** Adds a change without a run to the next batch. */
  gather(): void {
    this.#gatheredSinceMs ??= this.#nowMs();
    this.#armFlush();
  }

  /** Does something while nothing is being told; resolves when it is done, and rejects as it throws. */
  untold(work: () => void): Promise<void> {
    const done = this.#flushing.then(work);
    this.#flushing = done.catch(() => undefined);
    return done;
  }

  /** Flushes at once, even while items run; resolves when that is done. */
  flushNow(): Promise<void> {
    this.#cancelFlush?.();
    this.#cancelFlush = undefined;
    this.#gatheredSinceMs = undefined;
    this.#flushing = this.#flushing.then(() => this.#options.flush());
    return this.#flushing;
  }

  /** Resolves when nothing runs or is flushed; timers may be set. */
  async idle(): Promise<void> {
    for (;;) {
      const flushing = this.#flushing;
      const running = [...this.#items.values()].flatMap((item) => item.running ?? []);
      await Promise.all([...running, flushing]);
      if (running.length === 0 && flushing === this.#flushing) return;
    }
  }

  /** Resolves when all runs have ended and there will be no flush. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelDue?.();
    this.#cancelFlush?.();
    for (const item of this.#items.values()) for (const resolve of item.waiting.splice(0)) resolve();
    await Promise.all([...this.#items.values()].map(({ running }) => running));
    await this.#flushing;
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }

  /** Starts due items for which there is room, and sets the timer for the next one. */
  #tick(): void {
    this.#cancelDue?.();
    this.#cancelDue = undefined;
    this.#isTickDue = false;
    if (this.#isClosed) return;
    const nowMs = this.#nowMs();
    const due: [string, Item, number][] = [];
    let nextMs = Number.POSITIVE_INFINITY;
    for (const [name, item] of this.#items) {
      const { dueAtMs } = item;
      if (dueAtMs === undefined || item.running !== undefined) continue;
      if (dueAtMs > nowMs) nextMs = Math.min(nextMs, dueAtMs);
      else due.push([name, item, dueAtMs]);
    }
    due.sort(([, a, aMs], [, b, bMs]) => Number(a.isSlow) - Number(b.isSlow) || aMs - bMs);
    // pools found full: checked once, as there may be a thousand items and runs end often
    const full = new Set<string>();
    for (const [name, item] of due) {
      if (full.has(item.pool) || item.hosts.some((host) => this.#hosts.has(host))) continue; // until a run ends
      if (this.#hasRoom(item.pool, nowMs)) this.#start(name, item);
      else {
        full.add(item.pool);
        nextMs = Math.min(nextMs, this.#nextSlowAtMs(item.pool));
      }
    }
    if (nextMs === Number.POSITIVE_INFINITY) return;
    this.#cancelDue = this.#options.clock.after(nextMs - nowMs, () => this.#tick());
  }

  /**
   * Whether one more may run. An item without room starts when another run of its pool ends, or becomes slow.
   */
  #hasRoom(pool: string, nowMs: number): boolean {
    const { runs } = this.#poolOf(pool);
    const isFull = (): boolean => countOf(this.#running, pool) - countOf(this.#slow, pool) >= runs;
    if (!isFull()) return true;
    const [oldest] = this.#quickRuns(pool);
    if (oldest !== undefined && nowMs >= oldest.startedAtMs + SLOW_MS && this.#hasSlowRoom(pool)) {
      oldest.isSlow = true;
      this.#slow.set(pool, countOf(this.#slow, pool) + 1);
    }
    return !isFull();
  }

  /** When the next run of a pool becomes slow. */
  #nextSlowAtMs(pool: string): number {
    const [oldest] = this.#quickRuns(pool);
    return oldest === undefined || !this.#hasSlowRoom(pool)
      ? Number.POSITIVE_INFINITY
      : oldest.startedAtMs + SLOW_MS;
  }

  #hasSlowRoom(pool: string): boolean {
    return countOf(this.#slow, pool) < this.#poolOf(pool).slowRuns;
  }

  /** The runs that are not slow, the oldest first. */
  #quickRuns(pool: string): readonly Item[] {
    const runs = [...this.#items.values()].filter((item) => {
      return item.pool === pool && item.running !== undefined && !item.isSlow;
    });
    return runs.sort((a, b) => a.startedAtMs - b.startedAtMs);
  }

  #poolOf(pool: string): Pool {
    return this.#options.pools[pool] ?? NO_POOL;
  }

  #start(name: string, item: Item): void {
    const waiting = item.waiting.splice(0);
    this.#running.set(item.pool, countOf(this.#running, item.pool) + 1);
    for (const host of item.hosts) this.#hosts.add(host);
    item.dueAtMs = undefined;
    item.startedAtMs = this.#nowMs();
    item.isSlow = false;
    item.running = this.#options.run(name).then((delayMs) => {
      this.#running.set(item.pool, countOf(this.#running, item.pool) - 1);
      if (item.isSlow) this.#slow.set(item.pool, countOf(this.#slow, item.pool) - 1);
      for (const host of item.hosts) this.#hosts.delete(host);
      item.running = undefined;
      item.dueAtMs = item.isWanted
        ? this.#nowMs()
        : delayMs === undefined
          ? undefined
          : this.#nowMs() + delayMs;
      item.isWanted = false;
      for (const resolve of waiting) resolve();
      this.#gatheredSinceMs ??= this.#nowMs();
      this.#armFlush();
      this.#tick();
    });
  }

  #armFlush(): void {
    this.#cancelFlush?.();
    this.#cancelFlush = undefined;
    if (this.#isClosed || this.#gatheredSinceMs === undefined) return;
    const isQuiet = [...this.#running.values()].every((count) => count === 0);
    const { settleMs, settleMaxMs, clock } = this.#options;
    const leftMs = Math.max(0, this.#gatheredSinceMs + settleMaxMs - this.#nowMs());
    const delayMs = isQuiet ? Math.min(settleMs, leftMs) : leftMs;
    this.#cancelFlush = clock.after(delayMs, () => void this.flushNow());
  }
}

function countOf(counts: ReadonlyMap<string, number>, pool: string): number {
  return counts.get(pool) ?? 0;
}
