/**
 * When each source is read: at its interval with jitter, at once on demand, a bounded number at a time. What many sources say is gathered,
 * and told once when they are settled: a batch, which becomes one release.
 *
 *     due ──room in its pool──▶ running ──ends──▶ gathered ──nothing runs for settleMs, or settleMaxMs passed──▶ flush
 */

import type { Clock } from './clock.ts';

export interface ScheduleOptions {
  readonly clock: Clock;
  /** Runs at once, by the pool of the item. */
  readonly pools: Readonly<Record<string, number>>;
  /** Quiet time before a batch is told. */
  readonly settleMs: number;
  /** A batch waits no longer than this for items that still run. */
  readonly settleMaxMs: number;
  /** Reads an item; resolves with the time to its next run, or undefined for only on demand. Must not reject. */
  readonly run: (item: string) => Promise<number | undefined>;
  /** Tells what was gathered. Must not reject. */
  readonly flush: () => Promise<void>;
}

interface Item {
  readonly pool: string;
  /** Monotonic milliseconds; undefined: only on demand. */
  dueAtMs: number | undefined;
  running: Promise<void> | undefined;
  /** Asked for while it ran: run it again afterwards. */
  isWanted: boolean;
  /** Who waits for a run that is still to begin. */
  waiting: (() => void)[];
}

export class Schedule {
  private readonly options: ScheduleOptions;
  private readonly items = new Map<string, Item>();
  private readonly running = new Map<string, number>();
  private cancelDue: (() => void) | undefined;
  private cancelFlush: (() => void) | undefined;
  /** When the first run ended of those not told yet. */
  private gatheredSinceMs: number | undefined;
  private isTickDue = false;
  private flushing: Promise<void> = Promise.resolve();
  private isClosed = false;

  constructor(options: ScheduleOptions) {
    this.options = options;
  }

  /** Adds an item, to be run after `delayMs`; without it only on demand. */
  add(name: string, pool: string, delayMs: number | undefined): void {
    const dueAtMs = delayMs === undefined ? undefined : this.nowMs() + delayMs;
    this.items.set(name, { pool, dueAtMs, running: undefined, isWanted: false, waiting: [] });
    if (this.isTickDue) return;
    this.isTickDue = true; // once for all that are added together
    queueMicrotask(() => this.tick());
  }

  /** Forgets an item. One that runs is let run; nothing follows. */
  delete(name: string): void {
    const item = this.items.get(name);
    this.items.delete(name);
    for (const resolve of item?.waiting ?? []) resolve();
  }

  /** Runs an item as soon as its pool has room; resolves when a run that began after this call has ended. */
  runNow(name: string): Promise<void> {
    const item = this.items.get(name);
    if (item === undefined || this.isClosed) return Promise.resolve();
    return new Promise((resolve) => {
      item.waiting.push(resolve);
      if (item.running === undefined) item.dueAtMs = this.nowMs();
      else item.isWanted = true;
      this.tick();
    });
  }

  /** Milliseconds until an item runs; undefined for only on demand, 0 while it runs. */
  untilNextMs(name: string): number | undefined {
    const item = this.items.get(name);
    if (item?.running !== undefined) return 0;
    return item?.dueAtMs === undefined ? undefined : Math.max(0, item.dueAtMs - this.nowMs());
  }

  isRunning(name: string): boolean {
    return this.items.get(name)?.running !== undefined;
  }

  /** Something is to be told that no run brought about: it goes with the next batch. */
  gather(): void {
    this.gatheredSinceMs ??= this.nowMs();
    this.armFlush();
  }

  /** Tells at once what is gathered, though something may run; resolves when it is told. */
  flushNow(): Promise<void> {
    this.cancelFlush?.();
    this.cancelFlush = undefined;
    this.gatheredSinceMs = undefined;
    this.flushing = this.flushing.then(() => this.options.flush());
    return this.flushing;
  }

  /** Resolves when nothing runs and nothing is being told; timers may be set. */
  async idle(): Promise<void> {
    for (;;) {
      const { flushing } = this;
      const running = [...this.items.values()].flatMap((item) => item.running ?? []);
      await Promise.all([...running, flushing]);
      if (running.length === 0 && flushing === this.flushing) return;
    }
  }

  /** Resolves when what runs has ended and nothing more will be told. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.cancelDue?.();
    this.cancelFlush?.();
    for (const item of this.items.values()) for (const resolve of item.waiting.splice(0)) resolve();
    await Promise.all([...this.items.values()].map(({ running }) => running));
    await this.flushing;
  }

  private nowMs(): number {
    return this.options.clock.monotonicMs();
  }

  /** Starts what is due and has room, and sets the timer for what is due next. */
  private tick(): void {
    this.cancelDue?.();
    this.cancelDue = undefined;
    this.isTickDue = false;
    if (this.isClosed) return;
    const nowMs = this.nowMs();
    const due: [string, Item, number][] = [];
    let nextMs = Number.POSITIVE_INFINITY;
    for (const [name, item] of this.items) {
      const { dueAtMs } = item;
      if (dueAtMs === undefined || item.running !== undefined) continue;
      if (dueAtMs > nowMs) nextMs = Math.min(nextMs, dueAtMs);
      else due.push([name, item, dueAtMs]);
    }
    due.sort(([, , a], [, , b]) => a - b);
    // What finds no room is started when another run of its pool ends.
    for (const [name, item] of due) if (this.hasRoom(item.pool)) this.start(name, item);
    if (nextMs === Number.POSITIVE_INFINITY) return;
    this.cancelDue = this.options.clock.after(nextMs - nowMs, () => this.tick());
  }

  private hasRoom(pool: string): boolean {
    return (this.running.get(pool) ?? 0) < (this.options.pools[pool] ?? 1);
  }

  private start(name: string, item: Item): void {
    const waiting = item.waiting.splice(0);
    this.running.set(item.pool, (this.running.get(item.pool) ?? 0) + 1);
    item.dueAtMs = undefined;
    item.running = this.options.run(name).then((delayMs) => {
      this.running.set(item.pool, (this.running.get(item.pool) ?? 1) - 1);
      item.running = undefined;
      item.dueAtMs = item.isWanted
        ? this.nowMs()
        : delayMs === undefined
          ? undefined
          : this.nowMs() + delayMs;
      item.isWanted = false;
      for (const resolve of waiting) resolve();
      this.gatheredSinceMs ??= this.nowMs();
      this.armFlush();
      this.tick();
    });
  }

  private armFlush(): void {
    this.cancelFlush?.();
    this.cancelFlush = undefined;
    if (this.isClosed || this.gatheredSinceMs === undefined) return;
    const isQuiet = [...this.running.values()].every((count) => count === 0);
    const { settleMs, settleMaxMs, clock } = this.options;
    const leftMs = Math.max(0, this.gatheredSinceMs + settleMaxMs - this.nowMs());
    const delayMs = isQuiet ? Math.min(settleMs, leftMs) : leftMs;
    this.cancelFlush = clock.after(delayMs, () => void this.flushNow());
  }
}
