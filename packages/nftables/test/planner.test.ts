/**
 * What a plan reuses from the plans before it, and from the known changes of a list, and what it does not.
 */

import {
  diffPrefixes,
  type Environment,
  emptyPolicy,
  type List,
  type ListChange,
  NO_RULES,
  type Policy,
  type PrefixList,
  type RuleSet,
} from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { SMALL_MEMBERS_MAX } from '../src/limits.ts';
import { type Plan, policyChain } from '../src/plan/plan.ts';
import { type Planned, planOf } from '../src/plan/planner.ts';
import { ENVIRONMENT, list, NOW, planned, ruleSet, sourceOf } from './sample.ts';

describe('a plan of a large list that changed', () => {
  const before = prefixes(0);
  const after = prefixes(1);
  const first = planned(using(before));

  it('takes what is known of the change, without comparing', () => {
    const change = changeOf(before, after);
    expect(deltaOf(planAfter(after, change))?.added).toBe(change.v4.added);
    expect(contentOf(planAfter(after, change))).toEqual(contentOf(planAfter(after, undefined)));
  });

  it('compares where what is known is of another list', () => {
    const alike = prefixes(1);
    for (const change of [
      changeOf(prefixes(0), after),
      changeOf(before, alike),
      changeOf(before, prefixes(2)),
    ]) {
      expect(deltaOf(planAfter(after, change))?.added).not.toBe(change.v4.added);
      expect(contentOf(planAfter(after, change))).toEqual(contentOf(planAfter(after, undefined)));
    }
  });

  function planAfter(next: PrefixList, change: ListChange | undefined): Planned {
    const known = (key: string) => first.sets.get(key);
    const changes = change === undefined ? undefined : new Map([['blocked', change]]);
    return planOf({ ...sourceOf(using(next)), changes }, known);
  }
});

describe('the plan of many policies', () => {
  const lines = [
    'drop dst4=192.0.2.7',
    'drop dst4=192.0.2.9',
    'accept proto=tcp dstports=443',
    'drop dst6=2001:db8::/32',
  ];
  const rules = ruleSet([
    { name: 'common', prefixes: [], egress: ['drop dst4=198.51.100.0/24'] },
    {
      name: 'web',
      prefixes: ['10.137.0.5', 'fd00::5'],
      egress: lines,
      exceptions: { egress: ['accept dst4=192.0.2.7'] },
    },
    { name: 'mail', prefixes: ['10.137.0.6'], egress: ['accept proto=tcp dstports=25'] },
    { name: 'timed', prefixes: ['10.137.0.7'], egress: [`accept proto=udp expire=${NOW + 10}`] },
    { name: 'named', prefixes: ['10.137.0.8'], egress: ['accept specialtarget=dns'] },
  ]);

  it('has the very same chains and sets where nothing of a policy changed', () => {
    const { plan: first, basis } = planOf(sourceOf(rules), () => undefined);
    const { plan: again } = planOf(sourceOf(rules), (key) => first.sets.get(key), basis);
    const same = (policy: string): boolean =>
      first.kernelChains.get(policyChain('egress', 4, policy)) ===
      again.kernelChains.get(policyChain('egress', 4, policy));
    expect(['web', 'mail', 'timed', 'named'].map(same)).toEqual([true, true, false, false]);
    expect([...again.sets.values()]).toEqual([...first.sets.values()]);
    expect(again.sets.size).toBeGreaterThan(0);
  });

  it.each<[string, RuleSet, Environment]>([
    [
      'another default action',
      changed('web', (policy) => ({ ...policy, defaultAction: 'accept' })),
      ENVIRONMENT,
    ],
    [
      'no exceptions',
      changed('web', (policy) => ({ ...policy, exceptions: emptyPolicy('web').exceptions })),
      ENVIRONMENT,
    ],
    ['no common rules', changed('common', () => emptyPolicy('common')), ENVIRONMENT],
    ['another name', changed('web', (policy) => ({ ...policy, name: 'www' })), ENVIRONMENT],
    [
      'rules of another policy',
      changed('mail', (policy) => ({ ...policy, egress: rules.policies.get('web')?.egress ?? NO_RULES })),
      ENVIRONMENT,
    ],
    ['a later time', rules, { ...ENVIRONMENT, now: NOW + 20 }],
    ['other resolvers', rules, { ...ENVIRONMENT, dns: ENVIRONMENT.dns.slice(1) }],
  ])('says with %s what one of new rules says', (_, next, environment) => {
    const { plan: first, basis } = planOf(sourceOf(rules), () => undefined);
    const { plan } = planOf({ ruleSet: next, environment }, (key) => first.sets.get(key), basis);
    expect(contentsOf(plan)).toEqual(contentsOf(planned(next, environment)));
  });

  it('takes the columns and sets of a run that is too large to be plain, where its policy is the same', () => {
    const hosts = Array.from({ length: SMALL_MEMBERS_MAX + 2 }, (_, i) => `198.51.${i >> 8}.${i & 255}`);
    const egress = hosts.reverse().map((host) => `drop dst4=${host}`); // in no canonical order
    const large = ruleSet([{ name: 'web', prefixes: ['10.137.0.5'], egress: [...egress, 'accept'] }]);
    const before = planOf(sourceOf(large), () => undefined);
    const { plan: first, basis } = before;
    const { plan, basis: next } = planOf(sourceOf(large), (key) => first.sets.get(key), basis);
    const [canonical] = [...(basis.canonicals.get(large.policies.get('web')!.egress)?.values() ?? [])];
    expect(canonical?.lengths.length).toBe(hosts.length);
    expect([...next.canonicals.values()].flatMap((columns) => [...columns.values()])).toEqual([canonical]);
    expect([...plan.sets.values()].map(({ members }) => members === canonical)).toEqual([true]);
    expect([...plan.sets.values()][0]).toBe([...first.sets.values()][0]);
  });

  function changed(name: string, change: (policy: Policy) => Policy): RuleSet {
    const policies = [...rules.policies.values()].map((each) => (each.name === name ? change(each) : each));
    return { ...rules, policies: new Map(policies.map((each) => [each.name, each])) };
  }

  function contentsOf(plan: Plan) {
    return [plan.kernelChains, plan.sets, plan.maps, plan.counters].map((each) => [...each]);
  }
});

/** Addresses of which version after version has another last one. */
function prefixes(version: number): PrefixList {
  const count = SMALL_MEMBERS_MAX + 100;
  const made = list(
    ...Array.from({ length: count }, (_, i) => `198.18.${i >> 8}.${i & 255}`),
    `203.0.113.${version}`,
  );
  return made.kind === 'prefixes' ? made : fail();
}

function using(blocked: List) {
  const policy = { name: 'web', prefixes: ['10.137.0.5'], egress: ['drop dst=@blocked', 'accept'] };
  return ruleSet([policy], { blocked });
}

function changeOf(before: PrefixList, after: PrefixList): ListChange {
  return { before, after, v4: diffPrefixes(before.v4, after.v4), v6: diffPrefixes(before.v6, after.v6) };
}

function deltaOf({ plan }: Planned) {
  return [...plan.sets.values()].find(({ delta }) => delta !== undefined)?.delta;
}

function contentOf({ plan: { sets, maps, chains, counters } }: Planned) {
  return { sets, maps, chains, counters };
}

function fail(): never {
  throw new TypeError('a list of prefixes was expected');
}
