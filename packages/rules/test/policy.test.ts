import { describe, expect, it } from 'vitest';
import { runsFrom } from '../../../test/kit/rules.ts';
import fc from '../../../test/seeded-fast-check.ts';
import { emptyPolicy, runsOf } from '../src/policy.ts';
import type { Rule } from '../src/rule.ts';
import { parseRule } from '../src/rule-line.ts';
import {
  eachRun,
  formKey,
  NO_RULES,
  RunBuilder,
  ruleAt,
  ruleCount,
  rulesIn,
  runRuleCount,
} from '../src/runs.ts';
import { ruleArbitrary } from './arbitrary.ts';

function rule(line: string): Rule {
  const result = parseRule(line, 'egress', 0);
  if (result.kind === 'fault') throw new Error(`${line}: ${result.reason}`);
  return result.rule;
}

describe('runs', () => {
  it.each([
    [['drop dst4=1.0.0.0/8', 'drop dst4=2.0.0.0/8', 'drop dst4=1.0.0.0/8'], [3]],
    [
      ['drop dst4=1.0.0.0/8', 'accept dst4=2.0.0.0/8', 'drop dst4=1.0.0.0/8'],
      [1, 1, 1],
    ],
    [
      ['drop dst4=1.0.0.0/8', 'drop dst6=2::/16', 'drop dst6=3::/16'],
      [1, 2],
    ],
    [
      ['drop dst4=1.0.0.0/8 proto=tcp', 'drop dst4=1.0.0.0/8 proto=udp'],
      [1, 1],
    ],
    [
      ['drop dst4=1.0.0.0/8 comment=a', 'drop dst4=1.0.0.0/8 comment=b'],
      [1, 1],
    ],
    [['drop dst4=1.0.0.0/8 comment=a', 'drop dst4=2.0.0.0/8 comment=a'], [2]],
    [
      ['drop dst4=1.0.0.0/8 proto=tcp dstports=1', 'drop dst4=1.0.0.0/8 proto=tcp dstports=1-2'],
      [1, 1],
    ],
    [['drop dst4=1.0.0.0/8 proto=tcp dstports=1', 'drop dst4=1.0.0.0/8 proto=tcp dstports=1-1'], [2]],
    [
      ['drop dst=@a', 'drop dst=@a'],
      [1, 1],
    ],
    [
      ['drop dsthost=a', 'drop dsthost=a'],
      [1, 1],
    ],
    [
      ['drop', 'drop'],
      [1, 1],
    ],
    [
      ['drop dst4=1.0.0.0/8', 'drop', 'drop dst4=1.0.0.0/8'],
      [1, 1, 1],
    ],
    [[], []],
  ])('%j are runs of %j rules', (lines, counts) => {
    expect(Array.from(eachRun(runsFrom('egress', lines)), runRuleCount)).toEqual(counts);
  });

  it('keep every rule in its place', () => {
    // Few kinds of rule, so that runs of several are frequent.
    const few = fc.array(ruleArbitrary('egress'), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(few, fc.array(fc.nat(2), { maxLength: 20 }), (kinds, picks) => {
        const rules = picks.map((pick) => kinds[pick % kinds.length] ?? rule('drop'));
        const builder = new RunBuilder();
        for (const each of rules) builder.push(each);
        const runs = builder.build();
        expect(ruleCount(runs)).toBe(rules.length);
        expect(rules.map((_, i) => ruleAt(runs, i))).toEqual(rules);
        expect([...rulesIn(runs)]).toEqual(rules);
      }),
    );
  });

  it('hold no remote side in their match', () => {
    for (const form of runsFrom('egress', ['drop dst4=1.2.3.4', 'drop dst=@a']).forms)
      expect(form.match).not.toHaveProperty('remote');
  });

  it('a built list of runs does not change when the builder goes on', () => {
    const builder = new RunBuilder();
    builder.push(rule('drop dst4=1.0.0.0/8'));
    const first = builder.build();
    builder.push(rule('drop dst4=2.0.0.0/8'));
    expect(Array.from(eachRun(first), runRuleCount)).toEqual([1]);
    expect(Array.from(eachRun(builder.build()), runRuleCount)).toEqual([2]);
  });

  it.each([0, 3, -1])('there is no rule %i of 0 or 3', (index) => {
    expect(() =>
      ruleAt(index === 0 ? NO_RULES : runsFrom('egress', ['drop', 'drop', 'drop']), index),
    ).toThrow(RangeError);
  });

  it('a form is the same only if every field is', () => {
    const keyOf = (line: string): string => formKey({ match: rule(line), remote: { kind: 'any' } });
    const lines = [
      'drop',
      'accept',
      'drop proto=tcp',
      'drop proto=tcp dstports=1',
      'drop proto=tcp dstports=1-2',
      'drop proto=icmp',
      'drop proto=icmp icmptype=0',
      'drop specialtarget=dns',
      'drop expire=5',
      'drop comment=x',
    ];
    lines.forEach((a, i) => {
      lines.forEach((b, j) => {
        expect(keyOf(a) === keyOf(b)).toBe(i === j);
      });
    });
  });

  it('a new policy is empty, and drops', () => {
    const policy = emptyPolicy('work');
    expect(policy).toMatchObject({ name: 'work', defaultAction: 'drop' });
    expect(runsOf(policy, 'egress').count).toBe(0);
    expect(runsOf({ ...policy, ingress: runsFrom('egress', ['drop']) }, 'ingress').count).toBe(1);
  });
});
