/** What people see of the counters of the kernel. */

import { describe, expect, it } from 'vitest';
import { DENIED_COUNTER } from '../src/plan/plan.ts';
import { planOf } from '../src/plan/planner.ts';
import { sumsOf } from '../src/sink/hits.ts';
import { list, ruleSet, sourceOf } from './sample.ts';

const alternating = Array.from(
  { length: 40 },
  (_, i) => `${i % 2 === 0 ? 'accept' : 'drop'} dst4=9.0.0.${i}`,
);

describe('counters for people', () => {
  const policies = [
    {
      name: 'work',
      prefixes: ['10.137.0.5'],
      exceptions: { egress: ['accept dst4=5.1.1.1'] },
      egress: ['drop dst=@bad', 'accept dst4=6.0.0.1', 'accept dst4=6.0.0.2', 'drop proto=udp'],
      ingress: ['accept proto=tcp'],
    },
    { name: 'many', prefixes: ['10.137.0.6'], egress: alternating },
    { name: 'idle', prefixes: ['10.137.0.7'], egress: ['accept'] },
  ];
  const { plan, counters } = planOf(
    sourceOf(ruleSet(policies, { bad: list('5.0.0.0/8') }, 'drop')),
    () => undefined,
  );

  it('are sums by list, policy and rule, of those that have any', () => {
    const counts = Object.fromEntries([...plan.counters].map((name) => [name, [0, 0] as [number, number]]));
    const count = (name: string | undefined, packets: number): void => {
      expect(counts[name ?? '']).toBeDefined();
      counts[name ?? ''] = [packets, packets * 60];
    };
    const of = (policy: string | undefined, direction: string, block = 'own') =>
      counters.find((each) => each.policy === policy && each.direction === direction && each.block === block);
    for (const [run, packets] of [7, 5, 3].entries()) count(of('work', 'egress')?.runs[run], packets);
    count(of('work', 'egress', 'exceptions')?.runs[0], 2);
    count(of('work', 'ingress')?.runs[0], 1);
    count(of('work', 'ingress')?.defaultAction, 4);
    for (const [at, packets] of [10, 20].entries()) count(of('many', 'egress')?.together[at], packets);
    count(of(undefined, 'egress')?.defaultAction, 6);
    expect(of('many', 'egress')?.runs.every((counter) => counter === undefined)).toBe(true);
    counts[DENIED_COUNTER] = [50, 3000];
    expect(sumsOf(counters, counts)).toEqual({
      nftDecided: 58,
      nftDropped: 50,
      'list.bad': 7,
      'drop.list.bad': 7,
      'policy.work': 22,
      'accept.policy.work': 8,
      'drop.policy.work': 14,
      'policy.many': 30,
      'accept.policy.many': 10,
      'drop.policy.many': 20,
      unmatched: 6,
      'rule.many.accept': 10, // no rule of it was shown
      'rule.many.drop': 20,
      'rule.work.indefault': 4,
      'rule.work.1': 7,
      'rule.work.2': 5,
      'rule.work.4': 3,
      'rule.work.x1': 2,
      'rule.work.in1': 1,
    });
  });

  it('say how many of them are beyond what is told, which is those with fewest', () => {
    const indices = Array.from({ length: 12_300 }, (_, i) => ({
      policy: `p${i}`,
      block: 'own' as const,
      direction: 'egress' as const,
      runs: [`c${i}`],
      numbers: [1],
      lists: [undefined],
      actions: ['drop' as const],
      together: [],
      defaultAction: undefined,
      base: 'drop' as const,
    }));
    const counts = Object.fromEntries(indices.map((_, i) => [`c${i}`, [i + 1, 0] as [number, number]]));
    const sums = sumsOf(indices, counts);
    expect(sums['nftLeftOut']).toBe(12 + 12_312); // of 12,300 rules, and of two counters of each policy
    expect(sums['rule.p12299.1']).toBe(12_300);
    expect(sums['rule.p11.1']).toBeUndefined();
  });
});
