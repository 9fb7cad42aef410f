import { describe, expect, it } from 'vitest';
import { Random } from '../../../test/kit/random.mjs';
import { flipTable, openReader, READER_SLOTS, Table, TablePinnedError } from '../src/index.ts';
import { holdWord, scratchOf } from '../src/memory/control.ts';
import { TableMemory } from '../src/memory/memory.ts';
import { type InterleavingReport, interleave, writtenHere } from './interleaving.ts';
import { LongLook } from './long-look.ts';
import { OwnerThread } from './owner-thread.ts';
import { ReaderThread } from './reader-thread.ts';
import { ENVIRONMENT, FIRST, HOSTS, hostPacket, release, withHost } from './release.ts';

function flipTo(table: Table, number: number): void {
  table.flip(table.prepare(release(number), ENVIRONMENT));
}

/** Two images of a release, and not three. */
const NARROW_BYTES = 2.5 * bytesOfRelease();

function bytesOfRelease(): number {
  const table = new Table();
  flipTo(table, 1);
  return table.stats().bytes;
}

/** The header that a reader slot holds; 0 for none. */
function heldBy(table: Table, slot: number): number {
  return Atomics.load(new TableMemory(table.handle().memory).views.words, holdWord(slot));
}

describe('a table that others flip', () => {
  it('answers from what is in force, and prepares nothing else before it knows', () => {
    const table = new Table();
    const reader = openReader(table.handle());
    const prepared = table.prepare(release(1), ENVIRONMENT);
    expect(() => table.settle(prepared.generation)).toThrow(TypeError);
    flipTable(table.handle(), prepared);
    for (const one of [reader, table.reader])
      expect(one.lookup(hostPacket(0))).toMatchObject({ action: 'accept', generation: 1 });
    expect(() => table.prepare(release(2), ENVIRONMENT)).toThrow(TypeError);
    expect(() => table.settle(2)).toThrow(TypeError);
    table.settle(1);
    flipTo(table, 2);
    for (const one of [reader, table.reader])
      expect(one.lookup(hostPacket(0))).toMatchObject({ action: 'drop', generation: 2 });
  });

  it('goes on with another writer where one is gone, for readers as if nothing had been', () => {
    const maxBytes = 32 * bytesOfRelease();
    const first = new Table({ maxBytes });
    const handle = first.handle();
    flipTo(first, 1);
    const reader = openReader(handle);
    const look = new LongLook(handle);
    const before = look.answers(HOSTS);
    for (let count = 0; count < 10; count++) reader.lookup(hostPacket(0));
    first.prepare(release(2), ENVIRONMENT); // never flipped
    for (let generation = 2; generation < 8; generation++) {
      const table = new Table({ maxBytes, handle });
      expect(reader.lookup(hostPacket(1))).toMatchObject({ generation: generation - 1 });
      const { hits } = table.stats();
      expect(table.hits().lists.get(`release-${(generation - 1) % 2}`)).toBeGreaterThan(0);
      const prepared = table.prepare(release(generation), ENVIRONMENT);
      expect(prepared).toMatchObject({ generation, isEdit: false });
      flipTable(handle, prepared);
      if (generation % 3 === 0) continue; // dead before it knows
      table.settle(generation);
      expect(reader.lookup(hostPacket(1))).toMatchObject({
        action: generation % 2 === 1 ? 'accept' : 'drop',
        generation,
      });
      expect(table.stats().hits).toBe(hits + 1);
      expect(table.prepare(withHost(release(generation), 1), ENVIRONMENT).isEdit).toBe(true);
      expect(look.answers(HOSTS)).toEqual(before);
    }
    const last = new Table({ maxBytes, handle });
    const pinned = last.stats().liveBytes;
    look.end();
    reader.rest();
    flipTo(last, 8);
    flipTo(last, 9);
    expect(last.stats().liveBytes).toBeLessThan(pinned / 2);
    expect(reader.lookup(hostPacket(0))).toMatchObject({ action: 'accept', generation: 9 });
  });
});

describe('writers that die one after the other', () => {
  it.each([1, 3])('leave the memory of a few images, where each came to %d generations', (generations) => {
    const first = new Table();
    const handle = first.handle();
    flipTo(first, 1);
    const reader = openReader(handle);
    const imageBytes = first.stats().bytes;
    for (let writer = 0; writer < 40; writer++) {
      const table = new Table({ handle });
      for (let count = 0; count < generations; count++) {
        const generation = 2 + writer * generations + count;
        flipTo(table, generation);
        const action = generation % 2 === 1 ? 'accept' : 'drop';
        expect(reader.lookup(hostPacket(count))).toMatchObject({ action, generation });
        reader.rest();
      }
      expect(table.stats().reservedBytes).toBeLessThan(6 * imageBytes);
    }
  });
});

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

  it('keeps its generation while it looks, over any number of flips of both kinds, and holds up nobody', () => {
    const table = new Table();
    let ruleSet = release(1);
    table.flip(table.prepare(ruleSet, ENVIRONMENT));
    const look = new LongLook(table.handle());
    const before = look.answers(HOSTS);
    const liveBytes: number[] = [];
    for (let number = 2; number < 40; number++) {
      ruleSet = number % 8 === 0 ? release(1 + number / 8) : withHost(ruleSet, number);
      const prepared = table.prepare(ruleSet, ENVIRONMENT);
      expect(prepared.isEdit).toBe(number % 8 !== 0);
      table.flip(prepared);
      liveBytes.push(table.stats().liveBytes);
      expect(table.stats().generation).toBe(number);
    }
    expect(look.answers(HOSTS)).toEqual(before);
    look.end();
    const reader = openReader(table.handle());
    flipTo(table, 40);
    flipTo(table, 41);
    flipTo(table, 42);
    expect(table.stats().liveBytes).toBeLessThan(Math.max(...liveBytes) / 2);
    expect(reader.generation()).toBe(42);
    reader.close();
  });

  it('holds what is in force from its first lookup in a turn to the end of it, renewed where it sees a flip', async () => {
    const table = new Table();
    flipTo(table, 1);
    const reader = openReader(table.handle());
    expect(heldBy(table, reader.slot)).toBe(0);
    const look = (): number => reader.lookup4(0, undefined, FIRST, 6, 443);
    look();
    const first = heldBy(table, reader.slot);
    expect(first).not.toBe(0);
    look();
    expect(heldBy(table, reader.slot)).toBe(first);
    flipTo(table, 2);
    expect(heldBy(table, reader.slot)).toBe(first);
    look();
    expect(heldBy(table, reader.slot)).not.toBe(first);
    await Promise.resolve();
    expect(heldBy(table, reader.slot)).toBe(0);
    look();
    expect(heldBy(table, reader.slot)).not.toBe(0);
    reader.rest();
    expect(heldBy(table, reader.slot)).toBe(0);
    expect(reader.decode(look())?.action).toBe('drop');
    reader.close();
    expect(heldBy(table, reader.slot)).toBe(0);
  });

  it.each([0, 1, 3])(
    'may sleep for ever, %i of them: memory stays bounded, and no flip waits',
    (sleepers) => {
      const table = new Table({ pinWaitMs: 0 });
      let ruleSet = release(1);
      table.flip(table.prepare(ruleSet, ENVIRONMENT));
      const image = table.stats().bytes;
      const looks: LongLook[] = [];
      const before: (readonly number[])[] = [];
      let [most, full] = [0, 0];
      for (let number = 2; number < 400; number++) {
        if (looks.length < sleepers && number % 100 === 2) {
          looks.push(new LongLook(table.handle()));
          before.push(looks.at(-1)!.answers(HOSTS)); // just pushed
        }
        ruleSet = withHost(ruleSet, number);
        const prepared = table.prepare(ruleSet, ENVIRONMENT);
        if (!prepared.isEdit) full++;
        table.flip(prepared);
        most = Math.max(most, table.stats().liveBytes);
      }
      expect(looks.map((look) => look.answers(HOSTS))).toEqual(before);
      // A cohort in which somebody sleeps ends once it holds 4 MiB and half an image; a directory is 256 KiB.
      expect(full).toBe(sleepers);
      expect(most).toBeLessThan((sleepers + 1) * (2 * image + 2 ** 22) + 4 * 2 ** 18);
      for (const look of looks) look.end();
      table.flip(table.prepare(withHost(ruleSet, 400), ENVIRONMENT));
      expect(table.stats().liveBytes).toBeLessThan(2 * image + 4 * 2 ** 18);
    },
  );

  it('that holds all memory there is makes the writer give up after its wait; what is in force stays', () => {
    const table = new Table({ pinWaitMs: 5, maxBytes: NARROW_BYTES });
    flipTo(table, 1);
    const look = new LongLook(table.handle());
    const fill = (): void => {
      for (let number = 2; number < 20; number++) flipTo(table, number);
    };
    expect(fill).toThrow(TablePinnedError);
    const { generation } = table.stats();
    expect(table.reader.lookup(hostPacket(0)).generation).toBe(generation);
    look.end();
    for (let number = generation + 1; number < 40; number++) flipTo(table, number);
    expect(table.reader.generation()).toBe(39);
  });

  it('of the writer’s own thread that holds all memory there is gives it up, where nobody else could', () => {
    const table = new Table({ pinWaitMs: 5, maxBytes: NARROW_BYTES });
    const reader = openReader(table.handle());
    for (let number = 1; number < 20; number++) {
      flipTo(table, number);
      expect(reader.generation()).toBe(number);
    }
    reader.close();
  });

  it('that died within a look is evicted, and its slot serves another', () => {
    const table = new Table({ pinWaitMs: 5, maxBytes: NARROW_BYTES });
    flipTo(table, 1);
    const dead = new LongLook(table.handle());
    const fill = (): void => {
      for (let number = 2; number < 20; number++) flipTo(table, number);
    };
    expect(fill).toThrow(/readers 0 /);
    table.evictReader(dead.slot);
    const { generation } = table.stats();
    flipTo(table, generation + 1);
    const reader = openReader(table.handle());
    expect(reader.slot).toBe(dead.slot);
    expect(reader.lookup(hostPacket(0)).generation).toBe(generation + 1);
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

  it('counts each of its lookups once, and at once, but none that it only judges', () => {
    const table = new Table();
    flipTo(table, 1);
    const reader = openReader(table.handle());
    for (let i = 0; i < 100; i++) reader.lookup4(0, undefined, FIRST, 6, 443);
    reader.lookup(hostPacket(0));
    expect(reader.judge(hostPacket(0))).toEqual(reader.lookup(hostPacket(0)));
    table.reader.lookup4(0, undefined, FIRST, 6, 443);
    expect(table.hits().lists.get('release-1')).toBe(103);
    reader.close();
    expect(table.hits().lists.get('release-1')).toBe(103);
    flipTo(table, 2);
    expect(table.hits().lists).toEqual(
      new Map([
        ['release-1', 103],
        ['release-0', 0],
      ]),
    );
  });

  it.each([4, 6] as const)(
    'fills columns in the table’s memory with IPv%i packets, and gets what copies get',
    (family) => {
      const table = new Table();
      flipTo(table, 1);
      const reader = openReader(table.handle());
      const columns = reader.columns(family);
      expect(reader.columns(family).dst.byteOffset).toBe(columns.dst.byteOffset);
      const random = new Random(7);
      const words = family === 4 ? 1 : 4;
      for (let i = 0; i < columns.capacity * words; i++) {
        columns.src[i] = random.word();
        columns.dst[i] = random.chance(0.5) ? FIRST + random.below(HOSTS) * 1024 : random.word();
      }
      columns.protos.fill(6);
      columns.details.fill(443);
      for (const [direction, count] of [
        [0, columns.capacity],
        [1, 65],
        [2, 63],
      ] as const) {
        const { src, dst, protos, details } = columns;
        const out = { codes: columns.codes, generation: 0 };
        reader.lookupBatch({ family, direction, count, src, dst, protos, details }, out);
        const copies = {
          src: src.slice(),
          dst: dst.slice(),
          protos: protos.slice(),
          details: details.slice(),
        };
        const copied = { codes: new Uint32Array(count), generation: 0 };
        reader.lookupBatch({ family, direction, count, ...copies }, copied);
        expect(out.generation).toBe(1);
        expect([...columns.codes.subarray(0, count)]).toEqual([...copied.codes]);
      }
      const short = { family, direction: 0, count: columns.capacity + 1, src: undefined } as const;
      const { dst, protos, details, codes } = columns;
      expect(() => reader.lookupBatch({ ...short, dst, protos, details }, { codes, generation: 0 })).toThrow(
        RangeError,
      );
      reader.close();
    },
  );

  it('has columns for each family that can be filled at the same time, and next to no other reader’s', () => {
    const table = new Table();
    const readers = [table.reader, openReader(table.handle()), openReader(table.handle())];
    const columns = readers.flatMap((reader) => [reader.columns(4), reader.columns(6)]);
    const ranges = columns.flatMap(({ src, dst, protos, details, codes }) =>
      [src, dst, protos, details, codes].map(
        ({ byteOffset, byteLength }) => [byteOffset, byteOffset + byteLength] as const,
      ),
    );
    ranges.sort(([a], [b]) => a - b);
    for (const [i, [start]] of ranges.entries())
      expect(start).toBeGreaterThanOrEqual(ranges[i - 1]?.[1] ?? 0);
    for (const slot of [0, 1, READER_SLOTS]) {
      const last = ranges.filter(([start]) => start >= scratchOf(slot) && start < scratchOf(slot + 1)).at(-1);
      expect(last?.[1]).toBeLessThanOrEqual(scratchOf(slot + 1));
    }
  });

  it('in worker threads never gets a torn answer or an older generation while the writer flips', async () => {
    // More threads than cores: a reader may lose its core within a turn, and how long is not what is tested
    // here.
    const table = new Table({ pinWaitMs: 20_000 });
    flipTo(table, 1);
    const readers = await Promise.all([0, 1].map(() => ReaderThread.start(table.handle(), HOSTS)));
    let generation = 1;
    while (generation < 60 || !readers.every((reader) => reader.hasSeen(10_000, 10))) {
      flipTo(table, ++generation);
      await new Promise(setImmediate); // for the message of a reader that has ended
    }
    for (const report of await Promise.all(readers.map((reader) => reader.stop()))) {
      expect(report.fault).toBeUndefined();
      expect(report.lookups).toBeGreaterThan(10_000);
      expect(report.generations).toBeGreaterThan(10);
    }
  });

  it('looks up its columns as a batch that was checked once, of any count', () => {
    const table = new Table();
    flipTo(table, 1);
    const reader = openReader(table.handle());
    for (const family of [4, 6] as const) {
      const batch = reader.batch(family);
      const { dst, src, protos, details, codes, capacity } = batch;
      const random = new Random(family);
      for (let i = 0; i < dst.length; i++) {
        dst[i] = family === 4 && random.chance(0.5) ? FIRST + random.below(HOSTS) * 1024 : random.word();
        src[i] = random.word();
      }
      protos.fill(6);
      details.fill(443);
      for (const count of [0, 1, 2, 3, 7, 64, 255, 256, 257, capacity]) {
        for (const [direction, from] of [
          [0, undefined],
          [2, src],
        ] as const) {
          const out = { codes: new Uint32Array(count), generation: 0 };
          const copied = { dst: dst.slice(), protos, details, src: from?.slice() };
          reader.lookupBatch({ family, direction, count, ...copied }, out);
          codes.fill(1 << 30);
          batch.run(count, direction, from !== undefined);
          expect([...codes.subarray(0, count)]).toEqual([...out.codes]);
          expect(codes.subarray(count).every((code) => code === 1 << 30)).toBe(true);
        }
      }
      expect(batch.generation).toBe(1);
      for (const count of [-1, capacity + 1, Number.NaN]) expect(() => batch.run(count)).toThrow(RangeError);
    }
    const batch = reader.batch(4);
    batch.dst[0] = FIRST;
    batch.run(1);
    flipTo(table, 2);
    batch.run(1);
    expect([batch.generation, reader.decode(batch.codes[0]!)?.action]).toEqual([2, 'drop']); // there is one
    reader.close();
  });

  it('in worker threads that hold nothing would get torn answers', async () => {
    const table = new Table();
    flipTo(table, 1);
    const careless = await ReaderThread.start(table.handle(), HOSTS, false);
    let generation = 1;
    while (!careless.hasEnded && generation < 2000) {
      generation++;
      // In several sizes, so that freed bytes are overwritten by others.
      table.flip(table.prepare(release(generation, (generation % 3) * 2000), ENVIRONMENT));
      if (generation % 16 === 0) await new Promise(setImmediate); // for the message of a reader that has ended
    }
    expect((await careless.stop()).fault).toBeDefined();
  });

  it('that stalls and holds nothing would get other answers', async () => {
    const table = new Table();
    const written = writtenHere(table);
    const report = await interleave(written, {
      flips: 1200,
      workers: 0,
      hosts: 256,
      seed: 2,
      isHeld: false,
    });
    expect(report.stalls).toBeGreaterThan(1);
    expect(report.faults.length).toBeGreaterThan(0);
  });

  it('in worker threads gets whole answers while edits and full compiles flip, and one that stalls keeps its own', async () => {
    const table = new Table({ pinWaitMs: 20_000 });
    const written = writtenHere(table);
    const report = await interleave(written, { flips: 120, workers: 2, hosts: 256, seed: 1 });
    checkReport(report);
  });

  it('gets whole answers while one thread prepares, which dies now and then, and another flips', async () => {
    const owner = new OwnerThread(new Random(3));
    const report = await interleave(owner, { flips: 300, workers: 1, hosts: 256, seed: 3 });
    await owner.close();
    checkReport(report);
    expect(owner.deaths).toBeGreaterThan(0);
  });

  function checkReport(report: InterleavingReport): void {
    expect(report.faults).toEqual([]);
    expect(report.edits).toBeGreaterThan(report.flips / 2);
    for (const lookups of report.lookups) expect(lookups).toBeGreaterThan(10_000);
    for (const generations of report.generations) expect(generations).toBeGreaterThan(10);
  }
});
