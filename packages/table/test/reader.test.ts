import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { openReader, READER_SLOTS, Table, TablePinnedError } from '../src/index.ts';
import { pinWord } from '../src/layout.ts';
import { ENVIRONMENT, FIRST, HOSTS, hostPacket, release } from './release.ts';

function flipTo(table: Table, number: number): void {
  table.flip(table.prepare(release(number), ENVIRONMENT));
}

describe('a table reader', () => {
  it('sees each flip at once, in the generation it names', () => {
    const table = new Table();
    const reader = openReader(table.handle());
    for (let generation = 1; generation < 6; generation++) {
      flipTo(table, generation);
      const action = generation % 2 === 1 ? 'accept' : 'drop';
      expect(reader.lookup(hostPacket(5))).toMatchObject({
        action,
        generation,
        list: `release-${generation % 2}`,
        run: 0,
      });
      const code = reader.lookup4(0, undefined, FIRST + 1024, 6, 443);
      expect(reader.lookupGeneration).toBe(generation);
      expect(reader.decode(code, generation)?.action).toBe(action);
      expect(reader.decode(code, generation - 1)).toBeUndefined();
      expect(reader.generation()).toBe(generation);
      expect(reader.classOf(hostPacket(1).dst)).toBe(table.classOf(hostPacket(1).dst));
    }
    reader.close();
  });

  it('does not see what is only prepared', () => {
    const table = new Table();
    flipTo(table, 1);
    const reader = openReader(table.handle());
    table.prepare(release(2), ENVIRONMENT);
    expect(reader.lookup(hostPacket(0))).toMatchObject({ action: 'accept', generation: 1 });
    reader.close();
  });

  it('keeps its image while pinned: the writer gives up after its wait, and what is in force stays', () => {
    const table = new Table({ pinWaitMs: 5 });
    flipTo(table, 1);
    const reader = openReader(table.handle());
    const control = new Int32Array(table.handle().control);
    control[pinWord(reader.slot)] = 1; // by hand: a look that lasts
    const images = table.handle().buffers.map((buffer) => new Uint8Array(buffer).slice());
    expect(() => table.prepare(release(2), ENVIRONMENT)).toThrow(TablePinnedError);
    for (const [i, buffer] of table.handle().buffers.entries()) {
      expect(Buffer.compare(new Uint8Array(buffer), images[i] ?? new Uint8Array())).toBe(0);
    }
    expect(table.lookup(hostPacket(0)).generation).toBe(1);
    control[pinWord(reader.slot)] = 2; // the look is over
    flipTo(table, 2);
    expect(reader.generation()).toBe(2);
    reader.close();
  });

  it('that died within a look is evicted, and its slot serves another', () => {
    const table = new Table({ pinWaitMs: 5 });
    const dead = openReader(table.handle());
    new Int32Array(table.handle().control)[pinWord(dead.slot)] = 7;
    expect(() => table.prepare(release(1), ENVIRONMENT)).toThrow(/readers 0 /);
    table.evictReader(dead.slot);
    flipTo(table, 1);
    const reader = openReader(table.handle());
    expect(reader.slot).toBe(dead.slot);
    expect(reader.lookup(hostPacket(0)).action).toBe('accept');
  });

  it(`has one of ${READER_SLOTS} slots until it is closed`, () => {
    const table = new Table();
    const readers = Array.from({ length: READER_SLOTS }, () => openReader(table.handle()));
    expect(new Set(readers.map(({ slot }) => slot)).size).toBe(READER_SLOTS);
    expect(() => openReader(table.handle())).toThrow(RangeError);
    readers[9]?.close();
    readers[9]?.close();
    expect(() => readers[9]?.generation()).toThrow(TypeError);
    expect(openReader(table.handle()).slot).toBe(9);
  });

  it('counts each of its lookups once, at the latest when it is closed', () => {
    const table = new Table();
    flipTo(table, 1);
    const reader = openReader(table.handle());
    for (let i = 0; i < 100; i++) reader.lookup4(0, undefined, FIRST, 6, 443);
    reader.lookup(hostPacket(0));
    table.lookup4(0, undefined, FIRST, 6, 443);
    expect(table.hits().lists.get('release-1')).toBe(64 + 1 + 1);
    reader.close();
    expect(table.hits().lists.get('release-1')).toBe(102);
    flipTo(table, 2);
    expect(table.hits().lists).toEqual(
      new Map([
        ['release-1', 102],
        ['release-0', 0],
      ]),
    );
  });

  it('in worker threads never gets a torn answer or an older generation while the writer flips', async () => {
    // More threads than cores: a reader may lose its core while pinned, and how long is not what is tested here.
    const table = new Table({ pinWaitMs: 20_000 });
    flipTo(table, 1);
    const stop = new Int32Array(new SharedArrayBuffer(4));
    const workers = [0, 1].map(
      () =>
        new Worker(new URL('./reader-worker.mjs', import.meta.url), {
          workerData: { handle: table.handle(), stop, first: FIRST, hosts: HOSTS },
        }),
    );
    await Promise.all(workers.map((worker) => once(worker, 'message'))); // both are looking up
    const done = workers.map((worker) => once(worker, 'message'));
    const deadline = performance.now() + 2000;
    let generation = 1;
    while (performance.now() < deadline) flipTo(table, ++generation);
    Atomics.store(stop, 0, 1);
    for (const [report] of await Promise.all(done)) {
      expect(report.fault).toBeUndefined();
      expect(report.lookups).toBeGreaterThan(10_000);
      expect(report.generations).toBeGreaterThan(10);
    }
    expect(generation).toBeGreaterThan(50);
    await Promise.all(workers.map((worker) => worker.terminate()));
  });
});
