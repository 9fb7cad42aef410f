/** Hit counters of many readers: none is lost, whoever counts at the same time. */

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import {
  emptyPolicy,
  type List,
  plainRule,
  prefixListOf,
  prefixOf,
  prefixSetOf,
  type RuleSet,
  RunBuilder,
} from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { shareBytes, shareCount, shareOf } from '../src/image/header.ts';
import { openReader, Table } from '../src/index.ts';
import { READER_SLOTS } from '../src/memory/control.ts';
import { ENVIRONMENT, FIRST, hostPacket, imageOf, release, shuttlePolicies, withHost } from './release.ts';

const HOSTS = 500;
/** At most a sixty-fourth of this may be shares: enough for lists, not for policies of thousands of runs. */
const NARROW_BYTES = 2 ** 23;

/** A policy that accepts and drops single hosts in turn. */
function manyRuns(runs: number): RuleSet {
  const rules = new RunBuilder();
  for (let i = 0; i < runs; i++) {
    rules.push({
      ...plainRule(i % 2 === 0 ? 'accept' : 'drop'),
      remote: { kind: 'prefix', prefix: prefixOf(4, [FIRST + i * 1024], 32) },
    });
  }
  const policy = { ...emptyPolicy('default'), egress: rules.build(), defaultAction: 'drop' as const };
  return {
    lists: new Map(),
    policies: new Map([['default', policy]]),
    resolutions: new Map(),
    unmatched: undefined,
  };
}

function tableOf(ruleSet: RuleSet, maxBytes = 2 ** 30): Table {
  const table = new Table({ maxBytes });
  table.flip(table.prepare(ruleSet, ENVIRONMENT));
  return table;
}

/**
 * Has so many threads look up all hosts and their neighbours so often, while `meanwhile` is called again and
 * again.
 */
async function lookUp(table: Table, threads: number, rounds: number, meanwhile: () => void): Promise<void> {
  const gate = new Int32Array(new SharedArrayBuffer(4));
  const workerData = { handle: table.handle(), rounds, gate, threads, hosts: HOSTS, first: FIRST };
  const workers = Array.from(
    { length: threads },
    () => new Worker(new URL('./hits-worker.mjs', import.meta.url), { workerData }),
  );
  let running = true;
  const ended = Promise.all(workers.map((worker) => once(worker, 'exit'))).finally(() => {
    running = false;
  });
  while (running) {
    meanwhile();
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(await ended).toEqual(workers.map(() => [0]));
}

describe('hits that threads count at once', () => {
  it('none is lost while edits flip', async () => {
    let ruleSet = release(1);
    const table = tableOf(ruleSet);
    let flips = 0;
    await lookUp(table, 3, 2000, () => {
      const next = withHost(ruleSet, flips);
      const prepared = table.prepare(next, ENVIRONMENT);
      // A thread that the machine makes wait holds so much in the end that a full compile is better.
      if (!prepared.isEdit) return;
      ruleSet = next;
      flips++;
      table.flip(prepared);
      table.reader.lookup(hostPacket(0));
    });
    expect(flips).toBeGreaterThan(0);
    const each = 3 * HOSTS * 2000;
    expect(table.hits()).toMatchObject({ none: 0, programs: [{ own: [each + flips], defaultAction: each }] });
    expect(table.hits().lists).toEqual(new Map([['release-1', each + flips]]));
    expect(table.stats().hits).toBe(2 * each + flips);
  });

  it.each([
    ['no reader has a share', 4096, NARROW_BYTES, 2, 0],
    ['there are more readers than shares', 2 ** 18, undefined, 5, 3],
  ])('none is lost where %s', async (_, runs, maxBytes, threads, shares) => {
    const table = tableOf(manyRuns(runs), maxBytes);
    expect(imageOf(table).places.shareCount).toBe(shares);
    let own = 0;
    await lookUp(table, threads, 100, () => {
      table.reader.lookup(hostPacket(0));
      own++;
    });
    const [program] = table.hits().programs;
    const each = threads * 100;
    const expected = Array.from({ length: HOSTS }, (__, host) => (host === 0 ? each + own : each));
    expect(program?.own.slice(0, HOSTS)).toEqual(expected);
    expect(program?.defaultAction).toBe(each * HOSTS);
    expect(table.stats().hits).toBe(2 * each * HOSTS + own);
  });

  it('those of a reader that was evicted, or closed, stay, and the next in its slot adds to them', () => {
    const table = tableOf(release(1));
    for (let round = 1; round <= 4; round++) {
      const reader = openReader(table.handle());
      expect(reader.slot).toBe(0);
      for (let i = 0; i < 100; i++) reader.lookup(hostPacket(i));
      if (round % 2 === 0) reader.close();
      else table.evictReader(reader.slot);
      expect(table.hits().lists.get('release-1')).toBe(round * 100);
    }
    table.flip(table.prepare(release(2), ENVIRONMENT));
    expect(table.hits().lists.get('release-1')).toBe(400);
  });

  it('those before and after an edit brought classes are counted together', () => {
    const hostsFrom = (first: number): List =>
      prefixListOf(prefixSetOf([0, 1, 2].map((i) => prefixOf(4, [FIRST + (first + i) * 1024], 32))));
    const rulesOf = (first: number): RuleSet => ({
      lists: new Map([
        ['release-1', hostsFrom(0)],
        ['release-0', hostsFrom(first)],
      ]),
      policies: shuttlePolicies('same'),
      resolutions: new Map(),
      unmatched: undefined,
    });
    const table = tableOf(rulesOf(3));
    const before = imageOf(table).places.programs;
    const reader = openReader(table.handle());
    for (let i = 0; i < 10; i++) reader.lookup4(0, undefined, FIRST, 6, 443);
    const prepared = table.prepare(rulesOf(2), ENVIRONMENT); // a host of both lists
    table.flip(prepared);
    expect([prepared.isEdit, imageOf(table).places.programs === before]).toEqual([true, true]);
    reader.lookup4(0, undefined, FIRST, 6, 443);
    reader.close();
    expect(table.hits().lists.get('release-1')).toBe(11);
  });

  it('those of programs that are compiled anew are never counted as those of the next', () => {
    const hosts = prefixListOf(
      prefixSetOf(Array.from({ length: HOSTS }, (_, i) => prefixOf(4, [FIRST + i * 1024], 32))),
    );
    const lists = new Map([0, 1].map((list) => [`release-${list}`, hosts]));
    const rulesOf = (comment: string): RuleSet => ({
      lists,
      policies: shuttlePolicies(comment),
      resolutions: new Map(),
      unmatched: undefined,
    });
    const table = tableOf(rulesOf('0'));
    let flips = 0;
    const flip = (): unknown => table.flip(table.prepare(rulesOf(`${++flips}`), ENVIRONMENT));
    while (flips < 20) flip(); // so that images take turns in the same places
    const reader = openReader(table.handle());
    for (let i = 0; i < 10; i++) reader.lookup4(0, undefined, FIRST, 6, 443);
    reader.rest();
    const before = imageOf(table).places.hits;
    do flip();
    while (imageOf(table).places.hits !== before && flips < 100);
    expect(flips).toBeLessThan(100);
    reader.close();
    expect(table.stats().hits).toBe(0);
  });

  it('more than a word holds are counted without a share', () => {
    const table = tableOf(manyRuns(4096), NARROW_BYTES);
    const image = imageOf(table);
    const { hits, outcomeCount, shareCount: shares } = image.places;
    expect(shares).toBe(0);
    const counts = image.views.longs.subarray(hits / 8, hits / 8 + outcomeCount);
    const reader = openReader(table.handle());
    reader.lookup4(0, undefined, FIRST, 6, 443);
    reader.close();
    counts[counts.indexOf(1n)] = 2n ** 32n - 1n;
    for (let i = 0; i < 64; i++) table.reader.lookup4(0, undefined, FIRST, 6, 443);
    expect(table.hits().programs[0]?.own[0]).toBe(2 ** 32 - 1 + 64);
  });
});

describe('shares of the hits', () => {
  it.each([
    [1, 0, 65],
    [126, 0, 64],
    [1000, 300_000, 37],
    [8192, 65_535, 1],
    [8193, 65_535, 0],
    [2 ** 18 + 2, 2 ** 30, 3],
    [2 ** 20, 2 ** 30, 1],
    [2 ** 20 + 1, 2 ** 30, 0],
    [2 ** 24, 2 ** 30, 0],
  ])('of %i outcomes of an image of %i bytes are %i', (outcomes, restBytes, shares) => {
    expect(shareCount(outcomes, restBytes)).toBe(shares);
    expect(shareBytes(outcomes) % 64).toBe(0);
    expect(shareBytes(outcomes)).toBeGreaterThanOrEqual(outcomes * 8);
  });

  it('are another one for each reader and the table, which has the first', () => {
    const own = new Set(Array.from({ length: READER_SLOTS + 1 }, (_, slot) => shareOf(slot)));
    expect(own.size).toBe(READER_SLOTS + 1);
    expect(shareOf(READER_SLOTS)).toBe(0);
    expect(Math.max(...own)).toBe(READER_SLOTS);
  });

  it('are in the bytes of the table, and forgone where the maximum is short', () => {
    const { outcomeCount: outcomes } = imageOf(tableOf(manyRuns(4096))).places;
    const [wide, narrow] = [2 ** 30, NARROW_BYTES].map((maxBytes) =>
      tableOf(manyRuns(4096), maxBytes).stats(),
    );
    const rest = narrow!.bytes; // both are there
    expect(wide!.bytes - rest).toBe(shareCount(outcomes, rest) * shareBytes(outcomes)); // likewise
    expect(wide!.liveBytes - wide!.bytes).toBe(narrow!.liveBytes - narrow!.bytes); // likewise
  });

  it('give way to an image that would not fit with them', () => {
    const bytesWithin = (maxBytes: number): number => {
      try {
        return tableOf(release(1), maxBytes).stats().bytes;
      } catch {
        return 0;
      }
    };
    const whole = bytesWithin(2 ** 30);
    let maxBytes = 0; // the least that the image fits in
    for (let step = 2 ** 20; step >= 64; step /= 2) if (bytesWithin(maxBytes + step) === 0) maxBytes += step;
    const rest = bytesWithin(maxBytes + 64);
    expect(bytesWithin(maxBytes)).toBe(0);
    expect(whole - rest).toBe(
      (READER_SLOTS + 1) * shareBytes(imageOf(tableOf(release(1))).places.outcomeCount),
    );
    expect(bytesWithin(2 ** 20)).toBe(whole);
  });
});
