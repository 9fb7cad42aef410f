/** What a plan takes from whoever made a change of a list, and what it does not. */

import { diffPrefixes, type List, type ListChange, type PrefixList } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { SMALL_MEMBERS_MAX } from '../src/limits.ts';
import { type Planned, planOf } from '../src/plan/planner.ts';
import { ENVIRONMENT, list, planned, ruleSet } from './sample.ts';

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
    return planOf(using(next), ENVIRONMENT, known, changes);
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
