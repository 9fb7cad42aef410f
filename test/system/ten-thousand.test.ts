/**
 * Ten thousand lists and as many policies, through whole processes and the plan for the kernel: what is
 * bounded by a number of parts is bounded above that.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { applyDelta, diffRuleSets, encodeDelta } from '@rulecast/protocol';
import { EMPTY_RULE_SET, emptyPolicy, prefixListOf, type RuleSet } from '@rulecast/rules';
import { expect, it, onTestFinished } from 'vitest';
import { planOf } from '../../packages/nftables/src/plan/planner.ts';
import { temporaryDirectory } from '../kit/directory.ts';
import { prefixSetFrom, runsFrom } from '../kit/rules.ts';
import { PERMITTED, rulectl, startPublisher, startSubscriber } from '../processes.mjs';

const COUNT = 10_000;
const MINUTES_MS = 600_000;

/** The qube of a policy, and an address of its list. */
const qubeOf = (i: number): string => `10.137.${i >> 8}.${i & 255}`;
const badOf = (i: number): string => `11.${i >> 8}.${i & 255}.7`;
const listOf = (i: number): string => `list-${i}`;
const policyOf = (i: number): string => `qube-${i}`;
const ruleLines = (i: number): readonly string[] => [
  `drop dst=@${listOf(i)}`,
  `accept dst4=192.0.2.${i % 256} proto=tcp dstports=443`,
];
const ALL = Array.from({ length: COUNT }, (_, i) => i);

async function done(directory: string, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await rulectl(directory, args);
  expect(code, stderr).toBe(0);
  return stdout;
}

it(
  'are pushed, sent, enforced and told of, and so is a change of one',
  async () => {
    const directory = temporaryDirectory();
    const publisher = await startPublisher(directory);
    onTestFinished(async () => void (await publisher.stop()));
    const subscriber = await startSubscriber(directory, 'fw');
    onTestFinished(async () => void (await subscriber.stop()));
    const document = {
      unmatched: 'drop',
      lists: Object.fromEntries(ALL.map((i) => [listOf(i), { entries: [badOf(i)] }])),
      policies: Object.fromEntries(
        ALL.map((i) => [policyOf(i), { prefixes: [qubeOf(i)], egress: ruleLines(i), default: 'accept' }]),
      ),
    };
    const file = join(directory, 'all.json');
    writeFileSync(file, JSON.stringify(document));
    await done(directory, ['push', file, '--wait', 'applied', '--timeout', '300', ...PERMITTED]);
    const last = COUNT - 1;
    const list = join(directory, `${listOf(last)}.txt`);
    writeFileSync(list, `${badOf(last)}\n203.0.113.9\n`);
    await done(directory, ['push', list, '--wait', 'applied', '--timeout', '300', ...PERMITTED]);
    const records = (await done(directory, ['status', '--json']))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(records.filter(({ kind }) => kind === 'part')).toHaveLength(2 * COUNT + 1);
    expect(records.find(({ kind }) => kind === 'subscriber')).toMatchObject({
      state: 'synced',
      version: 2,
    });
    const packet = `${qubeOf(last)} > 203.0.113.9 tcp/80`;
    const [verdict] = (await done(directory, ['test', '--json', packet])).trim().split('\n');
    expect(JSON.parse(verdict ?? '')).toMatchObject({
      action: 'drop',
      policy: policyOf(last),
      list: listOf(last),
    });
  },
  MINUTES_MS,
);

it(
  'are a delta of some bytes where one changes, and a plan for the kernel',
  () => {
    const before = ruleSet([badOf(0)]);
    const after = ruleSet([badOf(0), '203.0.113.9']);
    const delta = encodeDelta(diffRuleSets(before, after));
    expect(delta.length).toBeLessThan(32);
    expect(diffRuleSets(after, applyDelta(before, delta)).changes).toEqual([]);
    const environment = { now: 0, dns: [] };
    const { plan } = planOf({ ruleSet: after, environment }, () => undefined);
    expect(plan.sets.size).toBeGreaterThanOrEqual(COUNT);
  },
  MINUTES_MS,
);

/** All of them, and what the first list holds. */
function ruleSet(first: readonly string[]): RuleSet {
  return {
    ...EMPTY_RULE_SET,
    lists: new Map(ALL.map((i) => [listOf(i), prefixListOf(prefixSetFrom(i === 0 ? first : [badOf(i)]))])),
    policies: new Map(
      ALL.map((i) => {
        const name = policyOf(i);
        return [
          name,
          {
            ...emptyPolicy(name),
            prefixes: prefixSetFrom([qubeOf(i)]),
            egress: runsFrom('egress', ruleLines(i)),
          },
        ];
      }),
    ),
  };
}
