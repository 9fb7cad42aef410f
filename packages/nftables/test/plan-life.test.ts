/** What stays in memory of one plan after another: the last one's, and nothing of those before. */

import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Prefix, RuleSet } from '@rulecast/rules';
import { prefixSetOf } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { type Planned, planOf } from '../src/plan/planner.ts';
import { ruleSet, sourceOf } from './sample.ts';

const PLANS = 50;
/** Members of IPv4: their words and lengths take 100 kB. */
const MEMBERS = 20_000;
const CHANGED = 100;
const RULES = 2000;
/** Far below what one plan of each has in arrays, and far above what anything else here takes. */
const SLACK_BYTES = 50_000;

describe('fifty plans, each of which builds on the one before', () => {
  it.each<[string, (release: number) => RuleSet]>([
    ['a list of which some changes', ofList],
    ['a list that is another one each time', (release) => ofList(release * 1000)],
    ['rules of which one changes', ofRules],
  ])('leave the arrays of one: %s', async (_, release) => {
    let last = after(undefined, release(0));
    last = after(last, release(1));
    const before = await arrayBytes();
    for (let i = 2; i < PLANS; i++) last = after(last, release(i));
    expect((await arrayBytes()) - before).toBeLessThan(SLACK_BYTES);
    expect(last.plan.chains.size).toBeGreaterThan(0);
  });
});

function after(before: Planned | undefined, rules: RuleSet): Planned {
  return planOf(sourceOf(rules), (key) => before?.plan.sets.get(key), before?.basis);
}

function ofList(release: number): RuleSet {
  const first = release * CHANGED;
  const prefixes = Array.from({ length: MEMBERS }, (_, i): Prefix => {
    return { family: 4, words: Uint32Array.of((first + i) * 256 + 1), length: 32 };
  });
  const list = { kind: 'prefixes', ...prefixSetOf(prefixes) } as const;
  return ruleSet([{ name: 'default', prefixes: [], egress: ['drop dst=@hosts', 'accept'] }], { hosts: list });
}

function ofRules(release: number): RuleSet {
  const egress = Array.from({ length: RULES }, (_, i) => {
    const host = i === 7 ? `198.51.100.${release}` : `10.${i >> 8}.${i & 255}.${release === 0 ? 2 : 1}`;
    return `${i % 2 === 0 ? 'drop' : 'accept'} proto=tcp dst4=${host}`;
  });
  return ruleSet([{ name: 'default', prefixes: [], egress }]);
}

/** Bytes of reachable arrays, after a collection; an array seen through a WeakRef stays for a turn. */
async function arrayBytes(): Promise<number> {
  await setImmediate();
  setFlagsFromString('--no-concurrent-array-buffer-sweeping');
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  return process.memoryUsage().arrayBuffers;
}
