import { Worker } from 'node:worker_threads';
import {
  EMPTY_RULE_SET,
  type Environment,
  emptyPolicy,
  type List,
  nameListOf,
  PrefixBuilder,
  prefixListOf,
  prefixOf,
  prefixSetOf,
  type RuleSet,
  RunBuilder,
} from '@rulecast/rules';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { often } from '../../../test/thorough.ts';
import { ruleColumns } from '../src/classes/rule-columns.ts';
import { type CompileOrder, Compiler } from '../src/compile/compiler.ts';
import { isSmall } from '../src/compile/cost.ts';
import { compileImage, writeImage } from '../src/image/image.ts';
import { takePieces } from '../src/image/pieces.ts';
import {
  DEFAULT_TABLE_LIMITS,
  openReader,
  Table,
  TableLimitCode,
  TableLimitError,
  TablePinnedError,
  TableWorkerCode,
  TableWorkerError,
} from '../src/index.ts';
import { HEAP_FIRST_BYTE } from '../src/memory/control.ts';
import { Heap } from '../src/memory/heap.ts';
import { TableMemory } from '../src/memory/memory.ts';
import { LongLook } from './long-look.ts';
import { randomCase } from './random-rule-set.ts';
import { ReaderThread } from './reader-thread.ts';
import { ENVIRONMENT, FIRST, HOSTS, hostPacket, release } from './release.ts';

/** Enough that the table compiles it in its thread. */
const MANY = 70_000;

/** Memory for one image, and a heap that gives out the same places in each. */
function freshSpace(): { readonly memory: TableMemory; readonly heap: Heap } {
  const memory = TableMemory.create(HEAP_FIRST_BYTE, 2 ** 28);
  return { memory, heap: new Heap(memory, HEAP_FIRST_BYTE, 2 ** 27) };
}

/** What was written to the heap. */
function heapBytes({ memory, heap }: ReturnType<typeof freshSpace>): Buffer {
  const { buffer } = memory.views.bytes;
  return Buffer.from(buffer, HEAP_FIRST_BYTE, heap.spanBytes);
}

/** The bytes that this thread compiles. */
function imageBytes(ruleSet: RuleSet, environment: Environment): Buffer {
  const compiled = compileImage(ruleColumns(ruleSet), environment, DEFAULT_TABLE_LIMITS);
  const space = freshSpace();
  const places = takePieces(space.heap, compiled.pieces);
  writeImage(compiled, 1, space.memory.views, places);
  return heapBytes(space);
}

/** A list of so many prefixes that no two touch. */
function listOf(count: number, family: 4 | 6): List {
  const builder = new PrefixBuilder(family, count);
  const words = new Uint32Array(4);
  for (let i = 0; i < count; i++) {
    words[0] = i * 2;
    builder.push(words, 0, 32);
  }
  const none = prefixSetOf([]);
  return prefixListOf(family === 4 ? { ...none, v4: builder.build() } : { ...none, v6: builder.build() });
}

/** A rule set whose only policy has runs of one prefix each, and a few that ask for list a. */
function manyRuns(lists: ReadonlyMap<string, List>, count = 2 ** 13): RuleSet {
  const rules = new RunBuilder();
  const match = { proto: undefined, dns: false, ports: undefined, icmpType: undefined, comment: undefined };
  for (let i = 0; i < count; i++) {
    const action = i % 2 === 0 ? ('accept' as const) : ('drop' as const);
    const prefix = i % 3 === 0 ? prefixOf(6, [0x20010db8, i, 0, 0], 64) : prefixOf(4, [FIRST + i * 4], 30);
    rules.push({ ...match, action, expire: i % 5 === 0 ? i : undefined, remote: { kind: 'prefix', prefix } });
    if (i % 4096 === 0)
      rules.push({ ...match, action, expire: undefined, remote: { kind: 'list', list: 'a' } });
  }
  const policy = { ...emptyPolicy('default'), egress: rules.build() };
  return { lists, policies: new Map([['default', policy]]), resolutions: new Map(), unmatched: undefined };
}

/** What a compile into a memory is told of it. */
function orderFor({ memory, heap }: ReturnType<typeof freshSpace>): Pick<CompileOrder, 'memory' | 'place'> {
  return { memory, place: (pieces) => takePieces(heap, pieces) };
}

async function refusal(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => 'nothing was refused',
    (error: unknown) => error,
  );
}

describe('the compile thread', () => {
  const compiler = new Compiler(DEFAULT_TABLE_LIMITS, undefined);
  afterAll(() => compiler.close());

  /** Compiles in the thread, and checks what it wrote against this thread. */
  async function checkImage(ruleSet: RuleSet, environment: Environment): Promise<void> {
    const space = freshSpace();
    const { edit } = await compiler.compile(ruleSet, { environment, generation: 1, ...orderFor(space) });
    expect(heapBytes(space).equals(imageBytes(ruleSet, environment))).toBe(true);
    expect(edit).toEqual(compileImage(ruleColumns(ruleSet), environment, DEFAULT_TABLE_LIMITS).edit);
  }

  it('writes, byte for byte, what compiling in place writes, for random rule sets', async () => {
    for (let seed = 0; seed < often(60, 200); seed++) {
      const { ruleSet, environment } = randomCase(seed, 64);
      await checkImage(ruleSet, environment);
    }
    await checkImage(manyRuns(new Map(), 2 ** 15), ENVIRONMENT); // packed in more than one step
  });

  it('keeps the parts that stay, takes those that change, and forgets those that go', async () => {
    const lists = [0, 1, 2].map((seed) =>
      prefixListOf(prefixSetOf([prefixOf(4, [seed * 0x01000000], 8), prefixOf(6, [0x20010000, seed], 64)])),
    );
    const names = nameListOf(['a.example', 'b.example'], true);
    const base = manyRuns(new Map());
    const withLists = (...entries: [string, List | undefined][]): RuleSet => ({
      ...base,
      lists: new Map(entries.flatMap(([name, list]) => (list === undefined ? [] : [[name, list] as const]))),
    });
    const resolved = { v4: lists[2]?.v4 ?? new PrefixBuilder(4).build(), v6: new PrefixBuilder(6).build() };
    for (const ruleSet of [
      withLists(['a', lists[0]]),
      withLists(['a', lists[1]], ['b', lists[0]]),
      withLists(['b', lists[0]]),
      withLists(['a', lists[0]], ['b', lists[0]]),
      { ...withLists(['a', names]), resolutions: new Map([['b.example', resolved]]) },
      { ...EMPTY_RULE_SET, policies: base.policies },
      EMPTY_RULE_SET,
      withLists(['a', lists[2]]),
    ]) {
      await checkImage(ruleSet, { now: 77, dns: [] });
    }
  });

  it('ends when it was idle for ten seconds, and another one starts with all parts', async () => {
    const posted = vi.spyOn(Worker.prototype, 'postMessage');
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const { ruleSet, environment } = randomCase(1, 64);
      await checkImage(ruleSet, environment);
      posted.mockClear();
      await checkImage(ruleSet, environment);
      expect(posted).toHaveBeenCalledTimes(2); // it holds the parts: the order and the places alone
      await vi.advanceTimersByTimeAsync(9_999);
      await checkImage(ruleSet, environment);
      expect(posted).toHaveBeenCalledTimes(4);
      await vi.advanceTimersByTimeAsync(10_000);
      await checkImage(ruleSet, environment);
      expect(posted.mock.calls.length).toBeGreaterThan(6);
    } finally {
      vi.useRealTimers();
      posted.mockRestore();
    }
  });

  it('does not keep a large list, and is sent it anew', async () => {
    const posted = vi.spyOn(Worker.prototype, 'postMessage');
    try {
      const lists = new Map([['a', listOf(300_000, 4)]]);
      await checkImage(manyRuns(lists), ENVIRONMENT);
      for (const ruleSet of [manyRuns(lists), manyRuns(lists, 2 ** 12)]) {
        await checkImage({ ...ruleSet, resolutions: EMPTY_RULE_SET.resolutions }, ENVIRONMENT);
        posted.mockClear();
        await checkImage({ ...ruleSet, resolutions: EMPTY_RULE_SET.resolutions }, ENVIRONMENT);
        expect(posted).toHaveBeenCalledTimes(3); // the list, the order and the places
      }
    } finally {
      posted.mockRestore();
    }
  });

  it('leaves the rule set as it was, also where a list is a view of a larger buffer', async () => {
    const words = new Uint32Array(1024).map((_, i) => i * 65536);
    const lengths = new Uint8Array(1024).fill(16);
    const list = prefixListOf({
      v4: { family: 4, words: words.subarray(100, 900), lengths: lengths.subarray(100, 900) },
      v6: new PrefixBuilder(6).build(),
    });
    const ruleSet = manyRuns(new Map([['a', list]]));
    const before = structuredClone(ruleSet);
    await checkImage(ruleSet, ENVIRONMENT);
    expect(ruleSet).toEqual(before);
    expect(words.length).toBe(1024);
  });

  it('reports a limit as the error it is', async () => {
    const limited = new Compiler({ ...DEFAULT_TABLE_LIMITS, outcomes: 10 }, undefined);
    const space = freshSpace();
    const order = { environment: ENVIRONMENT, generation: 1, ...orderFor(space) };
    const error = await refusal(limited.compile(manyRuns(new Map()), order));
    expect(error).toBeInstanceOf(TableLimitError);
    expect(error).toMatchObject({ code: TableLimitCode.outcomes, limit: 10 });
    expect(space.heap.liveBytes).toBe(0);
    await expect(limited.compile(EMPTY_RULE_SET, order)).resolves.toMatchObject({ sizes: { programs: 0 } });
    await limited.close();
  });

  it('writes nothing where there is no room, and goes on', async () => {
    const refused = new RangeError('no room');
    const order = { environment: ENVIRONMENT, generation: 1, ...orderFor(freshSpace()) };
    const place = (): never => {
      throw refused;
    };
    expect(await refusal(compiler.compile(manyRuns(new Map()), { ...order, place }))).toBe(refused);
    await checkImage(manyRuns(new Map()), ENVIRONMENT);
  });
});

describe('prepareAsync', () => {
  let table: Table;
  beforeEach(() => {
    table = new Table({ pinWaitMs: 50 });
  });
  afterEach(() => table.close());

  it.each([
    ['in place', 0],
    ['in the thread', MANY],
  ])('prepares what prepare does, %s', async (_, more) => {
    const reader = openReader(table.handle());
    const twin = new Table();
    for (let generation = 1; generation < 5; generation++) {
      const ruleSet = release(generation, more);
      expect(isSmall(ruleSet)).toBe(more === 0);
      const prepared = await table.prepareAsync(ruleSet, ENVIRONMENT);
      expect(prepared).toEqual(twin.prepare(ruleSet, ENVIRONMENT));
      expect(reader.generation()).toBe(generation - 1);
      expect(table.flip(prepared)).toBe(generation);
      twin.flip(twin.prepare(ruleSet, ENVIRONMENT));
      const memory = { reservedBytes: expect.any(Number), liveBytes: expect.any(Number) };
      const hits = (generation - 1) * 6; // the reader's too
      expect(table.stats()).toEqual({ ...twin.stats(), ...memory, hits });
      for (const index of [0, 1, HOSTS - 1]) {
        expect(table.reader.lookup(hostPacket(index))).toEqual(twin.reader.lookup(hostPacket(index)));
        expect(reader.lookup(hostPacket(index))).toMatchObject({
          generation,
          list: `release-${generation % 2}`,
        });
      }
    }
    expect(table.hits().lists).toEqual(
      new Map([
        ['release-1', 12],
        ['release-0', 12],
      ]),
    );
  });

  it('finds its thread there where a large rule set was expected, and none where a small one was', async () => {
    const began = vi.spyOn(Worker.prototype, 'unref'); // of each thread, as it is started
    try {
      table.expect(2 ** 16);
      expect(began).not.toHaveBeenCalled();
      table.expect(MANY);
      table.expect(MANY);
      expect(began).toHaveBeenCalledTimes(1);
      began.mockClear();
      const prepared = await table.prepareAsync(release(1, MANY), ENVIRONMENT);
      expect(table.flip(prepared)).toBe(1);
      expect(began).toHaveBeenCalledTimes(1); // it rests again, and there was no other
    } finally {
      began.mockRestore();
    }
  });

  it('starts no thread once it is closed, whatever is expected', async () => {
    await table.close();
    const began = vi.spyOn(Worker.prototype, 'unref');
    table.expect(MANY);
    expect(began).not.toHaveBeenCalled();
    began.mockRestore();
  });

  it('leaves the event loop of its caller running', async () => {
    let turns = 0;
    const turn = (): void => {
      turns++;
      next = setImmediate(turn);
    };
    let next = setImmediate(turn);
    await table.prepareAsync(release(1, MANY), ENVIRONMENT);
    clearImmediate(next);
    expect(turns).toBeGreaterThan(20);
  });

  it('serves calls in their order, and only what the last one prepared can be flipped', async () => {
    table.flip(table.prepare(release(1), ENVIRONMENT));
    const early = table.prepare(release(2), ENVIRONMENT);
    const settled: number[] = [];
    const calls = [MANY, 0, MANY].map(async (more, i) => {
      const prepared = await table.prepareAsync(release(i, more), ENVIRONMENT);
      settled.push(i);
      return prepared;
    });
    expect(() => table.prepare(release(2), ENVIRONMENT)).toThrow(TypeError);
    expect(() => table.flip(early)).toThrow(TypeError);
    const first = await calls[0];
    expect(first && (() => table.flip(first))).toThrow(TypeError);
    const [, second, third] = await Promise.all(calls);
    expect(settled).toEqual([0, 1, 2]);
    expect(second && (() => table.flip(second))).toThrow(TypeError);
    expect(() => table.flip(early)).toThrow(TypeError);
    expect(table.reader.lookup(hostPacket(0))).toMatchObject({ action: 'accept', generation: 1 });
    expect(third && table.flip(third)).toBe(2);
    expect(table.reader.lookup(hostPacket(0))).toMatchObject({ action: 'drop', generation: 2 });
  });

  it('one call that fails leaves the others as they are', async () => {
    const small = new Table({ maxBytes: 2 ** 20, pinWaitMs: 50 });
    const [refused, prepared] = await Promise.all([
      refusal(small.prepareAsync(release(1, 4 * MANY), ENVIRONMENT)),
      small.prepareAsync(release(1), ENVIRONMENT),
    ]);
    expect(refused).toMatchObject({ code: TableLimitCode.bytes, limit: 2 ** 20 });
    expect(small.flip(prepared)).toBe(1);
    await small.close();
  });

  it.each([
    ['in place', 0],
    ['in the thread', MANY],
  ])('waits, without blocking, for readers that hold the memory it needs, %s', async (_, more) => {
    const sample = new Table();
    sample.flip(sample.prepare(release(1, more), ENVIRONMENT));
    const maxBytes = 2.5 * sample.stats().bytes; // two images, and not three
    const narrow = new Table({ pinWaitMs: 30, maxBytes });
    const patient = new Table({ pinWaitMs: 20_000, maxBytes });
    for (const table of [narrow, patient]) {
      table.flip(await table.prepareAsync(release(1, more), ENVIRONMENT));
      const look = new LongLook(table.handle());
      let turns = 0;
      const turn = setInterval(() => turns++, 1);
      const fill = async (): Promise<void> => {
        for (let number = 2; number < 12; number++)
          table.flip(await table.prepareAsync(release(number, more), ENVIRONMENT));
      };
      const filled = refusal(fill());
      if (table === patient) {
        setTimeout(() => look.end(), 200);
      }
      const error = await filled;
      clearInterval(turn);
      expect(turns).toBeGreaterThan(0);
      if (table === narrow) expect(error).toBeInstanceOf(TablePinnedError);
      else expect(table.stats().generation).toBe(11);
      const { generation } = table.stats();
      expect(table.reader.lookup(hostPacket(0))).toMatchObject({
        action: generation % 2 === 1 ? 'accept' : 'drop',
      });
      await table.close();
    }
  });

  it('a thread that dies of its heap fails its call; the table is as before, and the next call gets a thread', async () => {
    const narrow = new Table({ compileHeapMb: 16, pinWaitMs: 50 });
    narrow.flip(narrow.prepare(release(1), ENVIRONMENT));
    narrow.reader.lookup(hostPacket(0));
    // Names of lists live in the JavaScript heap, unlike arrays.
    const list = prefixListOf(prefixSetOf([prefixOf(4, [FIRST], 32)]));
    const names = Array.from({ length: 400_000 }, (_, i) => [`list-${i}-of-many`, list] as const);
    const huge = { ...release(2), lists: new Map(names) };
    const calls = [
      refusal(narrow.prepareAsync(huge, ENVIRONMENT)),
      narrow.prepareAsync(release(2, MANY), ENVIRONMENT),
    ];
    const [error, prepared] = await Promise.all(calls);
    expect(error).toBeInstanceOf(TableWorkerError);
    expect(error).toMatchObject({ code: TableWorkerCode.outOfMemory });
    expect(narrow.reader.lookup(hostPacket(0))).toMatchObject({ action: 'accept', generation: 1 });
    expect(narrow.hits().lists.get('release-1')).toBe(2);
    expect(prepared).toMatchObject({ generation: 1 + 1 });
    narrow.flip(narrow.prepare(release(2), ENVIRONMENT));
    expect(narrow.reader.lookup(hostPacket(0))).toMatchObject({ action: 'drop', generation: 2 });
    await narrow.close();
  });

  it.each([
    ['sent', 1],
    ['compiled', 20],
  ])(
    'a table closed while the first of several rule sets is %s ends all, and answers on',
    async (_, turns) => {
      table.flip(await table.prepareAsync(release(1, MANY), ENVIRONMENT));
      const long = { ...release(2), lists: new Map([['release-0', listOf(2_000_000, 4)]]) };
      const calls = [long, release(2), release(2, MANY)].map((ruleSet) =>
        refusal(table.prepareAsync(ruleSet, ENVIRONMENT)),
      );
      for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
      await table.close();
      for (const error of await Promise.all(calls)) {
        expect(error).toBeInstanceOf(TableWorkerError);
        expect(error).toMatchObject({ code: TableWorkerCode.closed });
      }
      expect(await refusal(table.prepareAsync(release(2), ENVIRONMENT))).toMatchObject({
        code: TableWorkerCode.closed,
      });
      expect(() => table.prepare(release(2), ENVIRONMENT)).toThrow(TableWorkerError);
      expect(table.reader.lookup(hostPacket(0))).toMatchObject({ action: 'accept', generation: 1 });
      await table.close();
    },
  );

  it('readers in threads never get a torn answer or an older generation while the compile thread writes', async () => {
    const shared = new Table({ pinWaitMs: 20_000 }); // more threads than cores
    const releases = [release(0, MANY), release(1, MANY)];
    const flipTo = async (generation: number): Promise<void> => {
      const ruleSet = releases[generation % 2] ?? EMPTY_RULE_SET;
      shared.flip(await shared.prepareAsync(ruleSet, ENVIRONMENT));
    };
    await flipTo(1);
    const reader = await ReaderThread.start(shared.handle(), HOSTS);
    let generation = 1;
    while (generation < 12 || !reader.hasSeen(10_000, 5)) await flipTo(++generation);
    const report = await reader.stop();
    expect(report.fault).toBeUndefined();
    expect(report.lookups).toBeGreaterThan(10_000);
    expect(report.generations).toBeGreaterThan(5);
    await shared.close();
  });
});

describe('what is small enough to compile in place', () => {
  const withList = (list: List): RuleSet => ({ ...EMPTY_RULE_SET, lists: new Map([['l', list]]) });
  const manyPolicies = (count: number): RuleSet => {
    const { policies, lists } = release(1, 10_000);
    const policy = policies.get('default') ?? emptyPolicy('default');
    return {
      ...EMPTY_RULE_SET,
      lists,
      policies: new Map(Array.from({ length: count }, (_, i) => [`p${i}`, policy])),
    };
  };

  it.each([
    ['nothing', EMPTY_RULE_SET, true],
    ['50,000 IPv4 hosts', withList(listOf(50_000, 4)), true],
    ['100,000 IPv4 hosts', withList(listOf(100_000, 4)), false],
    ['10,000 IPv6 prefixes', withList(listOf(10_000, 6)), true],
    ['50,000 IPv6 prefixes', withList(listOf(50_000, 6)), false],
    [
      'a million names that stay names',
      withList({ kind: 'names', names: { count: 1e6, bytes: new Uint8Array(2e6) }, resolve: false }),
      true,
    ],
    ['2^13 runs', manyRuns(new Map()), false],
    ['a list in the policies of 2 qubes', manyPolicies(2), true],
    ['a list in the policies of 1,000 qubes', manyPolicies(1000), false],
  ])('%s', (_, ruleSet, small) => {
    expect(isSmall(ruleSet)).toBe(small);
  });
});
