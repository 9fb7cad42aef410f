/** The schedule: bounded, batched, with the jitter in the delays it is given, and never a herd. */

import { describe, expect, it } from 'vitest';
import { turns } from '../../../test/kit/turns.ts';
import { Schedule } from '../src/schedule/schedule.ts';
import { FakeClock } from './fake-clock.ts';

const SETTLE_MS = 100;
const SETTLE_MAX_MS = 1000;
/** Slow runs beside the two of the pool. */
const SLOW = 8;

/** A schedule whose runs end when a test says so. */
class Rig {
  readonly clock = new FakeClock();
  readonly begun: string[] = [];
  flushes = 0;
  readonly #ends = new Map<string, (delayMs: number | undefined) => void>();
  readonly #flushed: (() => void)[] = [];
  holdFlush = false;
  readonly schedule = new Schedule({
    clock: this.clock,
    pools: { fetch: { runs: 2, slowRuns: SLOW }, local: { runs: 1, slowRuns: 0 } },
    settleMs: SETTLE_MS,
    settleMaxMs: SETTLE_MAX_MS,
    run: (item) => {
      this.begun.push(item);
      return new Promise((resolve) => this.#ends.set(item, resolve));
    },
    flush: () => {
      this.flushes++;
      return this.holdFlush ? new Promise((resolve) => this.#flushed.push(resolve)) : Promise.resolve();
    },
  });

  /** Ends a run; it is due again after `delayMs`. */
  async end(item: string, delayMs?: number): Promise<void> {
    const end = this.#ends.get(item);
    if (end === undefined) throw new Error(`${item} does not run`);
    this.#ends.delete(item);
    end(delayMs);
    await turns();
  }

  async pass(ms: number): Promise<void> {
    this.clock.advance(ms);
    await turns();
  }

  endFlush(): void {
    this.#flushed.shift()?.();
  }
}

describe('runs', () => {
  it('of a thousand items cost a look at the pool for each that ends, not for each that waits', async () => {
    const ends: (() => void)[] = [];
    let looks = 0;
    const schedule = new Schedule({
      clock: new FakeClock(),
      pools: {
        get local() {
          looks++;
          return { runs: 4, slowRuns: 2 };
        },
      },
      settleMs: SETTLE_MS,
      settleMaxMs: SETTLE_MAX_MS,
      run: () => new Promise((resolve) => void ends.push(() => resolve(undefined))),
      flush: () => Promise.resolve(),
    });
    for (let i = 0; i < 1000; i++) schedule.add(`list-${i}`, 'local', 0);
    let ended = 0;
    for (await turns(); ends.length > 0; await turns()) {
      ended += ends.length;
      for (const end of ends.splice(0)) end();
    }
    expect(ended).toBe(1000);
    expect(looks).toBeLessThan(10_000);
  });

  it('begin when they are due, and again after the delay that the run gives', async () => {
    const rig = new Rig();
    rig.schedule.add('a', 'fetch', 500);
    await rig.pass(499);
    expect(rig.begun).toEqual([]);
    await rig.pass(1);
    expect(rig.begun).toEqual(['a']);
    expect(rig.schedule.isRunning('a')).toBe(true);
    await rig.end('a', 300);
    expect(rig.schedule.untilNextMs('a')).toBe(300);
    await rig.pass(300);
    expect(rig.begun).toEqual(['a', 'a']);
  });

  it('are at most so many at a time in a pool, and other pools go on', async () => {
    const rig = new Rig();
    for (const name of ['a', 'b', 'c', 'd']) rig.schedule.add(name, 'fetch', 0);
    rig.schedule.add('file', 'local', 0);
    await turns();
    expect(rig.begun).toEqual(['a', 'b', 'file']);
    await rig.end('b');
    expect(rig.begun).toEqual(['a', 'b', 'file', 'c']);
    await rig.end('a');
    await rig.end('c');
    expect(rig.begun.at(-1)).toBe('d');
  });

  it('with no delay wait until somebody asks', async () => {
    const rig = new Rig();
    rig.schedule.add('a', 'local', undefined);
    await rig.pass(1e9);
    expect(rig.begun).toEqual([]);
    let ended = false;
    void rig.schedule.runNow('a').then(() => {
      ended = true;
    });
    expect(rig.begun).toEqual(['a']);
    await turns();
    expect(ended).toBe(false);
    await rig.end('a');
    expect(ended).toBe(true);
    expect(rig.schedule.untilNextMs('a')).toBeUndefined();
  });

  it('asked for during a run come once more after it, and only then the asker hears', async () => {
    const rig = new Rig();
    rig.schedule.add('a', 'local', 0);
    await turns();
    let ended = 0;
    for (let i = 0; i < 3; i++) void rig.schedule.runNow('a').then(() => ended++);
    await rig.end('a', 1000);
    expect({ begun: rig.begun, ended }).toEqual({ begun: ['a', 'a'], ended: 0 });
    await rig.end('a', 1000);
    expect({ begun: rig.begun, ended }).toEqual({ begun: ['a', 'a'], ended: 3 });
  });

  it('of what was deleted do not come again', async () => {
    const rig = new Rig();
    rig.schedule.add('a', 'local', 0);
    await turns();
    rig.schedule.delete('a');
    await rig.end('a', 1);
    await rig.pass(1e6);
    expect(rig.begun).toEqual(['a']);
    await rig.schedule.runNow('a'); // nobody waits for what is not there
  });
});

describe('batches', () => {
  it('many lists that end within the quiet time are told once', async () => {
    const rig = new Rig();
    rig.schedule.add('a', 'fetch', 0);
    rig.schedule.add('b', 'fetch', 0);
    await turns();
    await rig.end('a');
    await rig.pass(SETTLE_MS * 5);
    expect(rig.flushes).toBe(0); // b still runs
    await rig.end('b');
    await rig.pass(SETTLE_MS - 1);
    expect(rig.flushes).toBe(0);
    await rig.pass(1);
    expect(rig.flushes).toBe(1);
    await rig.pass(1e6);
    expect(rig.flushes).toBe(1);
  });

  it('wait no longer than the limit for a slow list', async () => {
    const rig = new Rig();
    rig.schedule.add('quick', 'local', 0);
    rig.schedule.add('slow', 'fetch', 0);
    await turns();
    await rig.end('quick');
    await rig.pass(SETTLE_MAX_MS - 1);
    expect(rig.flushes).toBe(0);
    await rig.pass(1);
    expect(rig.flushes).toBe(1);
    await rig.end('slow');
    await rig.pass(SETTLE_MS);
    expect(rig.flushes).toBe(2);
  });

  it('are told one after the other', async () => {
    const rig = new Rig();
    rig.holdFlush = true;
    const first = rig.schedule.flushNow();
    const second = rig.schedule.flushNow();
    await turns();
    expect(rig.flushes).toBe(1);
    rig.endFlush();
    await first;
    await turns();
    expect(rig.flushes).toBe(2);
    rig.endFlush();
    await second;
  });

  it('a thing that no run brought about is told too', async () => {
    const rig = new Rig();
    rig.schedule.gather();
    await rig.pass(SETTLE_MS);
    expect(rig.flushes).toBe(1);
  });
});

it('close waits for what runs, and leaves no timer', async () => {
  const rig = new Rig();
  rig.schedule.add('a', 'fetch', 0);
  rig.schedule.add('b', 'fetch', 1000);
  await turns();
  const waiting = rig.schedule.runNow('a');
  let closed = false;
  const closing = rig.schedule.close().then(() => {
    closed = true;
  });
  await waiting;
  await turns();
  expect(closed).toBe(false);
  await rig.end('a', 1);
  await closing;
  expect(rig.clock.pendingMs).toEqual([]);
  expect(rig.begun).toEqual(['a']);
});

// Four servers that trickled held up all other downloads for 83 s to 8 min.
describe('slow runs', () => {
  it('make room for others after two seconds: twenty good ones pass four that never end', async () => {
    const rig = new Rig();
    for (let i = 0; i < 4; i++) rig.schedule.add(`trickle-${i}`, 'fetch', 0, [`slow-${i}.example`]);
    for (let i = 0; i < 20; i++) rig.schedule.add(`good-${i}`, 'fetch', 1, [`good-${i}.example`]);
    const startMs = rig.clock.monotonicMs();
    const ended = new Set<string>();
    while (ended.size < 20 && rig.clock.monotonicMs() - startMs < 60_000) {
      await rig.pass(100); // what a good server takes
      for (const name of rig.begun) {
        if (!name.startsWith('good') || ended.has(name)) continue;
        ended.add(name);
        await rig.end(name);
      }
    }
    expect(ended.size).toBe(20);
    expect(rig.clock.monotonicMs() - startMs).toBeLessThanOrEqual(5000);
  });

  it('are themselves at most so many, and no more begin then', async () => {
    const rig = new Rig();
    for (let i = 0; i < 20; i++) rig.schedule.add(`trickle-${i}`, 'fetch', 0, [`slow-${i}.example`]);
    for (let i = 0; i < 50; i++) await rig.pass(1000);
    expect(rig.begun).toHaveLength(2 + SLOW);
    await rig.end('trickle-0');
    expect(rig.begun).toHaveLength(2 + SLOW + 1);
  });

  it('come after those that were quick when both are due', async () => {
    const rig = new Rig();
    for (const name of ['slow', 'slow-too', 'quick']) rig.schedule.add(name, 'fetch', 0, [name]);
    await turns();
    await rig.pass(2000);
    expect(rig.begun).toEqual(['slow', 'slow-too', 'quick']);
    for (const name of ['quick', 'slow', 'slow-too']) await rig.end(name, 500);
    rig.schedule.add('new', 'fetch', 600, ['new']);
    await rig.pass(600);
    expect(rig.begun.slice(3)).toEqual(['slow-too', 'quick']); // nobody had to pass the first
    await rig.end('quick');
    expect(rig.begun.at(-1)).toBe('new');
    await rig.end('new');
    expect(rig.begun.at(-1)).toBe('slow');
  });
});

describe('runs of one host', () => {
  it('come one after the other, and hold up no other host', async () => {
    const rig = new Rig();
    for (const name of ['a', 'b', 'c']) rig.schedule.add(name, 'fetch', 0, ['one.example']);
    rig.schedule.add('both', 'fetch', 0, ['one.example', 'two.example']);
    rig.schedule.add('other', 'fetch', 0, ['three.example']);
    await turns();
    expect(rig.begun).toEqual(['a', 'other']);
    await rig.end('a');
    await rig.end('b');
    await rig.end('c');
    expect(rig.begun).toEqual(['a', 'other', 'b', 'c', 'both']);
  });
});

describe('what must not fall into a batch', () => {
  it('is done between two of them, and holds up none by what it throws', async () => {
    const rig = new Rig();
    rig.holdFlush = true;
    const first = rig.schedule.flushNow();
    await turns();
    const order: string[] = [];
    const done = rig.schedule.untold(() => {
      order.push(`after ${rig.flushes}`);
      throw new RangeError('no');
    });
    const second = rig.schedule.flushNow();
    await turns();
    expect(order).toEqual([]);
    rig.endFlush();
    await first;
    await expect(done).rejects.toThrow('no');
    await turns();
    expect([order, rig.flushes]).toEqual([['after 1'], 2]);
    rig.endFlush();
    await second;
  });
});
