import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import { emptyPolicy, type Policy, policyOfSameRuns } from '../src/policy.ts';
import { prefixOf } from '../src/prefix.ts';
import { prefixSetOf } from '../src/prefix-set.ts';
import type { Rule } from '../src/rule.ts';
import {
  commonEnds,
  eachRun,
  formsChosen,
  NO_RULES,
  RunBuilder,
  type Runs,
  ruleAt,
  ruleCount,
  rulesIn,
  runsOfEach,
  sameRuns,
} from '../src/runs.ts';
import { ruleArbitrary } from './arbitrary.ts';

/** Few kinds of rules, so that there are runs of several and blocks that are alike. */
const KINDS = fc.sample(ruleArbitrary('egress'), { numRuns: 12, seed: 5 });
const rules = fc.array(fc.constantFrom(...KINDS), { maxLength: 12 });

function runsOf(of: readonly Rule[]): Runs {
  const builder = new RunBuilder();
  for (const rule of of) builder.push(rule);
  return builder.build();
}

describe('rules as columns', () => {
  it('are the same columns however they were put together', () => {
    fc.assert(
      fc.property(rules, rules, rules, (first, second, third) => {
        const all = [...first, ...second, ...third];
        const whole = runsOf(all);
        expect([...rulesIn(whole)]).toEqual(all);
        expect(all.map((_, at) => ruleAt(whole, at))).toEqual(all);
        expect(runsOfEach(eachRun(whole))).toEqual(whole);
        const others = runsOf([...third, ...first, ...second, ...third]);
        const pieces = new RunBuilder(others);
        pieces.pushRules(others, third.length, third.length + first.length);
        pieces.pushRules(runsOf(second));
        pieces.pushRules(others, ruleCount(others) - third.length);
        expect(pieces.build()).toEqual(whole);
        expect(sameRuns(pieces.build(), whole)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it('begin and end alike as far as their rules do', () => {
    fc.assert(
      fc.property(rules, rules, rules, rules, (head, gone, come, tail) => {
        const [a, b] = [
          [...head, ...gone, ...tail],
          [...head, ...come, ...tail],
        ];
        const texts = [a, b].map((all) => all.map((rule) => JSON.stringify(rule)));
        const [one = [], other = []] = texts;
        let [first, last] = [0, 0];
        const least = Math.min(one.length, other.length);
        while (first < least && one[first] === other[first]) first++;
        while (last < least - first && one.at(-1 - last) === other.at(-1 - last)) last++;
        expect(commonEnds(runsOf(a), runsOf(b))).toEqual({ head: first, tail: last });
        expect(sameRuns(runsOf(a), runsOf(b))).toBe(one.join() === other.join());
      }),
      { numRuns: 300 },
    );
  });

  // Each copy once cleared a place for each form: a change of 2^16 rules that all differ took minutes.
  it('are copied one by one as fast where each has a form of its own', () => {
    const [kind] = KINDS;
    const many = runsOf(Array.from({ length: 2 ** 17 }, (_, i) => ({ ...kind!, comment: `rule ${i}` }))); // sampled
    let copied = 0;
    for (let rule = 0; rule < 2 ** 15; rule++) {
      const one = new RunBuilder();
      one.pushRules(many, rule, rule + 1);
      copied += ruleCount(one.build());
    }
    expect(copied).toBe(2 ** 15);
  });

  it('of some forms are these rules, joined where they are neighbours now', () => {
    fc.assert(
      fc.property(rules, (all) => {
        const drops = formsChosen(runsOf(all), ({ match }) => match.action === 'drop');
        expect(drops).toEqual(runsOf(all.filter(({ action }) => action === 'drop')));
      }),
    );
  });
});

describe('a policy that was read again', () => {
  const [one, other] = [KINDS.slice(0, 3), KINDS.slice(0, 4)];
  const made = (change: Partial<Policy> = {}): Policy => ({
    ...emptyPolicy('work'),
    prefixes: prefixSetOf([prefixOf(4, [0x0a000000], 24)]),
    egress: runsOf(one),
    ...change,
  });

  it('is the one before where it says the same', () => {
    const before = made();
    expect(policyOfSameRuns(before, made())).toBe(before);
  });

  it.each<readonly [string, Policy]>([
    ['a rule', made({ egress: runsOf(other) })],
    ['a rule of an exception', made({ exceptions: { egress: runsOf(one), ingress: NO_RULES } })],
    ['its default action', made({ defaultAction: 'accept' })],
    ['a prefix', made({ prefixes: prefixSetOf([prefixOf(4, [0x0a000000], 25)]) })],
    ['how it answers blocked names', made({ blocked: 'refused' })],
    ['how it answers unlisted names', made({ unlisted: 'nxdomain' })],
  ])('is another where %s differs, and says what was read', (_, after) => {
    const before = made();
    const shared = policyOfSameRuns(before, after);
    expect(shared).not.toBe(before);
    expect(shared).toEqual(after);
    expect(shared.ingress).toBe(before.ingress);
  });
});
