/** Hit counters of many readers: none is lost, even with concurrent readers and changing rules. */

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import {
  type Direction,
  eachRun,
  emptyPolicy,
  evaluate,
  isForAllQubes,
  type List,
  type Policy,
  plainRule,
  prefixListOf,
  prefixOf,
  prefixSetOf,
  type Rule,
  type RuleSet,
  RunBuilder,
  rulesIn,
  runAt,
  runsOf,
} from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { Random } from '../../../test/kit/random.mjs';
import { often } from '../../../test/thorough.ts';
import { shareBytes, shareCount, shareOf } from '../src/image/header.ts';
import { openReader, Table, type TableLimits } from '../src/index.ts';
import { READER_SLOTS } from '../src/memory/control.ts';
import { edgeAddresses, randomCase, randomPacket, randomPrefix, randomRule } from './random-rule-set.ts';
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
    expect(table.hits().programs).toMatchObject([{ own: [0, 0], defaultAction: 0 }]);
    expect(table.hits().lists.get('release-1')).toBe(10);
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

describe('hits of batches', () => {
  it.each([1, 100, 300])('are those of each packet, whatever their size: %i lists', (listCount) => {
    const rules = new RunBuilder();
    const lists = new Map<string, List>();
    for (let i = 0; i < listCount; i++) {
      const hosts = Array.from({ length: 20 }, (_, h) => prefixOf(4, [FIRST + (h * listCount + i) * 3], 32));
      lists.set(`l${i}`, prefixListOf(prefixSetOf(hosts)));
      rules.push({ ...plainRule(i % 2 === 0 ? 'drop' : 'accept'), remote: { kind: 'list', list: `l${i}` } });
    }
    const policy: Policy = { ...emptyPolicy('default'), defaultAction: 'accept', egress: rules.build() };
    const policies = new Map([['default', policy]]);
    const table = tableOf({ lists, policies, resolutions: new Map(), unmatched: undefined });
    const reader = openReader(table.handle());
    const batch = reader.batch(4);
    const random = new Random(listCount);
    const expected = new Map<string, number>();
    for (const count of [0, 1, 3, 4, 5, 255, 257, 1023, 1024, 1027, 2045, 2048]) {
      for (let i = 0; i < count; i++)
        batch.dst[i] = FIRST + random.below(random.chance(0.1) ? 2 ** 20 : listCount * 60);
      batch.run(count);
      for (let i = 0; i < count; i++) {
        const code = reader.lookup4(0, undefined, batch.dst[i]!, 6, 443); // i < count
        expect(batch.codes[i], `packet ${i} of ${count}`).toBe(code);
        const list = reader.decode(code)?.list ?? '';
        expected.set(list, (expected.get(list) ?? 0) + 2);
      }
    }
    const { lists: hits, programs } = table.hits();
    expect(new Map([...hits, ['', programs[0]?.defaultAction ?? 0]])).toEqual(
      new Map([...lists.keys(), ''].map((list) => [list, expected.get(list) ?? 0])),
    );
    reader.close();
  });
});

describe('hits over a change of rules', () => {
  const host = (at: number, action: Rule['action'] = 'drop', more: Partial<Rule> = {}): Rule => ({
    ...plainRule(action),
    remote: { kind: 'prefix', prefix: prefixOf(4, [FIRST + at * 1024], 32) },
    ...more,
  });
  const ruleSetOf = (...rules: readonly Rule[]): RuleSet => {
    const runs = new RunBuilder();
    for (const rule of rules) runs.push(rule);
    const policies = new Map([['default', { ...emptyPolicy('default'), egress: runs.build() }]]);
    return { lists: new Map(), policies, resolutions: new Map(), unmatched: undefined };
  };
  const a = host(1, 'drop', { comment: 'a' });
  const b = host(2, 'accept', { comment: 'b' });
  const c = host(3, 'drop', { comment: 'c' });
  const d = host(4, 'accept', { comment: 'd' });
  const web = { proto: 'tcp', ports: { first: 443, last: 443 } } as const;

  it.each<readonly [string, readonly Rule[], readonly Rule[], readonly number[]]>([
    ['one that comes before all', [a, b, c], [d, a, b, c], [0, 1, 2, 3]],
    ['one that comes between', [a, b, c], [a, d, b, c], [1, 0, 2, 3]],
    ['one that goes', [a, b, c], [a, c], [1, 3]],
    ['one for another', [a, b, c], [a, d, c], [1, 0, 3]],
    ['another place', [a, b, c], [c, b, a], [0, 0, 0]],
    ['another place, for all but the first', [a, b, c, d], [a, c, d, b], [1, 0, 0, 0]],
    ['an address', [a, b, c], [a, host(9, 'accept', { comment: 'b' }), c], [1, 2, 3]],
    [
      'an address, after one that comes',
      [a, b, c],
      [d, a, host(9, 'accept', { comment: 'b' }), c],
      [0, 0, 0, 3],
    ],
    ['a port that no rule asked about', [a, b, c], [a, b, { ...c, ...web }], [1, 2, 0]],
    ['an action', [a, b, c], [a, { ...b, action: 'drop' }, c], [1, 0, 3]],
    ['nothing but a comment', [a, b, c], [a, { ...b, comment: 'new' }, c], [1, 0, 3]],
    ['many that say the same', [a, b, a, b], [b, a, b], [2, 0, 0]],
  ])('stay for all before the first that changes and after the last: %s', (_, before, after, expected) => {
    const table = tableOf(ruleSetOf(...before));
    const reader = openReader(table.handle());
    const hit = (): void => {
      for (const [i, at] of [1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 20].entries())
        (i % 2 === 0 ? reader : table.reader).lookup4(0, undefined, FIRST + at * 1024, 6, 443);
    };
    hit();
    const held = openReader(table.handle());
    held.lookup4(0, undefined, FIRST + 21 * 1024, 6, 443); // and stays in it
    const lookups = table.stats().hits;
    table.flip(table.prepare(ruleSetOf(...after), ENVIRONMENT));
    expect(table.hits().programs[0]?.own).toEqual(expected);
    for (let round = 0; round < 3; round++) {
      if (round === 1) held.rest();
      table.flip(table.prepare(ruleSetOf(...after), { ...ENVIRONMENT, dns: [prefixOf(4, [round], 32)] }));
      expect(table.hits().programs[0]?.own, `${round}`).toEqual(expected);
    }
    expect(table.stats().hits).toBe(lookups);
    hit();
    expect(table.stats().hits).toBe(lookups + 11);
    reader.close();
  });

  it('stay where so many come at one place that others get other labels', () => {
    let rules = Array.from({ length: 300 }, (_, i) => host(i, i % 2 === 0 ? 'accept' : 'drop'));
    const table = tableOf(ruleSetOf(...rules));
    for (let i = 0; i < 300; i++) for (let n = 0; n <= i % 7; n++) table.reader.lookup(hostPacket(i));
    let edits = 0;
    for (let i = 0; i < 120; i++) {
      rules = rules.toSpliced(150, 0, host(1000 + i, 'drop', { comment: `new ${i}` }));
      const prepared = table.prepare(ruleSetOf(...rules), ENVIRONMENT);
      if (prepared.isEdit) edits++;
      table.flip(prepared);
    }
    const counts = Array.from({ length: 300 }, (_, i) => (i % 7) + 1);
    expect(table.hits().programs[0]?.own).toEqual(counts.toSpliced(150, 0, ...Array<number>(120).fill(0)));
    expect(edits).toBeGreaterThan(100);
  });

  it('begin anew for a default action that is another one, and go on for one that is not', () => {
    const table = tableOf(ruleSetOf(a));
    table.reader.lookup(hostPacket(2));
    const withDefault = (ruleSet: RuleSet, defaultAction: Policy['defaultAction']): RuleSet => ({
      ...ruleSet,
      policies: new Map([...ruleSet.policies].map(([name, policy]) => [name, { ...policy, defaultAction }])),
    });
    const after = [a, b].map((rule) => ruleSetOf(rule));
    for (const [ruleSet, action, expected] of [
      [after[1], 'drop', 1],
      [after[0], 'drop', 1],
      [after[0], 'accept', 0],
    ] as const) {
      table.flip(table.prepare(withDefault(ruleSet ?? ruleSetOf(), action), ENVIRONMENT));
      expect(table.hits().programs[0]?.defaultAction).toBe(expected);
    }
    expect(table.stats().hits).toBe(1);
  });

  /** The policy with other rules in each block that it may have. */
  function withRules(policy: Policy, change: (rules: readonly Rule[]) => readonly Rule[]): Policy {
    const changed = (direction: Direction, block: 'exceptions' | 'own'): Policy['egress'] => {
      const mayHave =
        (policy.name !== 'default' || direction === 'egress') &&
        (!isForAllQubes(policy.name) || block === 'own');
      const runs = new RunBuilder();
      const rules = [...rulesIn(runsOf(policy, direction, block))];
      for (const rule of mayHave ? change(rules) : rules) runs.push(rule);
      return runs.build();
    };
    const exceptions = { egress: changed('egress', 'exceptions'), ingress: changed('ingress', 'exceptions') };
    return { ...policy, exceptions, egress: changed('egress', 'own'), ingress: changed('ingress', 'own') };
  }

  const withPolicy = (ruleSet: RuleSet, policy: Policy): RuleSet => ({
    ...ruleSet,
    policies: new Map([...ruleSet.policies, [policy.name, policy]]),
  });

  /** By what decides, what a table counted. Each rule has a comment of its own. */
  function foundIn(table: Table, { policies }: RuleSet): Map<string, number> {
    const found = new Map<string, number>();
    for (const { policy, direction, defaultAction, ...hits } of table.hits().programs) {
      found.set(`${policy} ${direction} default`, defaultAction);
      for (const block of ['exceptions', 'common', 'own'] as const) {
        if (policy === 'first' && block === 'common') continue; // is judged for no policy
        const of = policies.get(block === 'common' ? 'common' : (policy ?? ''));
        const runs = of === undefined ? [] : [...eachRun(runsOf(of, direction, block))];
        expect(hits[block].length).toBe(runs.length);
        for (const [run, count] of hits[block].entries())
          found.set(`${policy} ${direction} ${block} ${runs[run]?.match.comment}`, count);
      }
    }
    return found;
  }

  it.each<readonly [string, Partial<TableLimits>]>([
    ['shapes', {}],
    ['lists and maps', { combined: 0 }],
    ['members', { combined: 0, rows: 0 }],
  ])('are those that the evaluator gives, for rules, defaults and lists: %s', (_, limits) => {
    let edits = 0;
    for (let seed = 1; seed <= often(6, 60); seed++) {
      const { environment, ...first } = randomCase(seed, seed % 2 === 0 ? 100 : 30);
      const random = new Random(seed ^ 0x417);
      let made = 0;
      const named = (rule: Rule): Rule => ({ ...rule, expire: undefined, comment: `${made++}` });
      const rule = (): Rule => named(randomRule(random, () => randomPrefix(random, 4)));
      const addresses = edgeAddresses(first.prefixes);
      let { ruleSet } = first;
      for (const policy of first.ruleSet.policies.values())
        ruleSet = withPolicy(
          ruleSet,
          withRules(policy, (rules) => rules.map(named)),
        );
      const table = new Table({ limits });
      const readers = [table.reader, openReader(table.handle())];
      table.flip(table.prepare(ruleSet, environment));
      const tally = new Map<string, number>(); // for the generation in force
      const lists = new Map<string, number>();
      let [none, all] = [0, 0];
      const changedIn = (before: Policy, after: Policy): readonly string[] =>
        (['egress', 'ingress'] as const).flatMap((direction) =>
          (['exceptions', 'own'] as const).flatMap((block) => {
            const [comments, others] = [before, after].map((policy) =>
              Array.from(eachRun(runsOf(policy, direction, block)), ({ match }) => match.comment),
            ) as [string[], string[]]; // of two; each has one
            const [head, tail] = [comments, comments.toReversed()].map((ones, end) => {
              const twins = end === 0 ? others : others.toReversed();
              const count = ones.findIndex((comment, i) => comment !== twins[i]);
              return count < 0 ? ones.length : count;
            }) as [number, number]; // likewise
            const gone = comments.slice(head, comments.length - tail);
            const kind = before.name === 'common' ? 'common' : block;
            const judging =
              before.name === 'common' ? [...ruleSet.policies.keys(), undefined] : [before.name];
            return judging.flatMap((name) =>
              gone.map((comment) => `${name} ${direction} ${kind} ${comment}`),
            );
          }),
        );
      const look = (reader = random.pick(readers)): void => {
        const packet = randomPacket(random, addresses);
        reader.lookup(packet);
        all++;
        const { by } = evaluate(ruleSet, environment, packet);
        if (by === undefined) {
          none++;
          return;
        }
        const { policy, direction, rule: origin } = by;
        const of = origin && ruleSet.policies.get(origin.policy);
        const run = of && runAt(runsOf(of, direction, origin.block), origin.run);
        const key = `${policy} ${direction} ${origin === undefined ? 'default' : `${origin.block} ${run?.match.comment}`}`;
        tally.set(key, (tally.get(key) ?? 0) + 1);
        if (origin?.list !== undefined) lists.set(origin.list, (lists.get(origin.list) ?? 0) + 1);
      };
      for (let step = 0; step < 10; step++) {
        for (let i = 0; i < 40; i++) look();
        const policy = random.pick([...ruleSet.policies.values()]);
        if (random.chance(0.15)) {
          const defaultAction = policy.defaultAction === 'accept' ? 'drop' : 'accept';
          ruleSet = withPolicy(ruleSet, { ...policy, defaultAction });
          for (const direction of ['egress', 'ingress']) tally.delete(`${policy.name} ${direction} default`);
        } else if (random.chance(0.1) && ruleSet.policies.size > 1) {
          ruleSet = {
            ...ruleSet,
            policies: new Map([...ruleSet.policies].filter(([name]) => name !== policy.name)),
          };
        } else {
          const changed = withRules(policy, (rules) => {
            if (random.chance(0.5)) return rules;
            const gone = rules.toSpliced(random.below(rules.length + 1), random.below(3));
            const moved = gone.splice(random.below(gone.length + 1), random.below(2));
            gone.splice(random.below(gone.length + 1), 0, ...moved);
            return gone.toSpliced(
              random.below(gone.length + 1),
              0,
              ...Array.from({ length: random.below(3) }, rule),
            );
          });
          for (const key of changedIn(policy, changed)) tally.delete(key);
          ruleSet = withPolicy(ruleSet, changed);
        }
        const prepared = table.prepare(ruleSet, environment);
        if (prepared.isEdit) edits++;
        table.flip(prepared);
        if (random.chance(0.4)) readers[1] = openReader(table.handle()); // that before holds what it holds
        look();
        const found = foundIn(table, ruleSet);
        for (const key of tally.keys()) if (!found.has(key)) tally.delete(key); // what went
        for (const [key, count] of found) if (count === 0) found.delete(key);
        expect(found, `seed ${seed}, step ${step}`).toEqual(tally);
        expect(table.hits().none).toBe(none);
        expect(new Map([...table.hits().lists].filter(([, count]) => count > 0))).toEqual(lists);
        expect(table.stats().hits).toBe(all);
      }
    }
    expect(edits).toBeGreaterThan(10);
  });

  it('stay while other threads count', async () => {
    const hosts = Array.from({ length: HOSTS }, (__, i) => host(i, i % 2 === 0 ? 'accept' : 'drop'));
    const table = tableOf(ruleSetOf(...hosts));
    let [flips, edits] = [0, 0];
    const at = 7;
    await lookUp(table, 3, 300, () => {
      flips++;
      const prepared = table.prepare(
        ruleSetOf(...hosts.toSpliced(at, 0, host(HOSTS + 7, 'drop', { comment: `${flips}` }))),
        ENVIRONMENT,
      );
      if (prepared.isEdit) edits++;
      table.flip(prepared);
    });
    expect(edits).toBeGreaterThan(0);
    const [program] = table.hits().programs;
    expect(program?.own.toSpliced(at, 1)).toEqual(Array<number>(HOSTS).fill(3 * 300));
    expect(program?.defaultAction).toBe(3 * 300 * HOSTS);
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
