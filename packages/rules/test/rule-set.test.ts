import { describe, expect, it } from 'vitest';
import { type List, nameListOf, prefixListOf, prefixSetOf } from '../src/list.ts';
import { emptyPolicy, type Policy, type Run, RunBuilder } from '../src/policy.ts';
import { type Prefix, parsePrefix } from '../src/prefix.ts';
import type { Direction } from '../src/rule.ts';
import { parseRule } from '../src/rule-line.ts';
import {
  checkRuleSet,
  EMPTY_RULE_SET,
  RESOLVED_NAMES_MAX,
  type RuleSet,
  resolutionOf,
  usedLists,
  usedNames,
} from '../src/rule-set.ts';

function runs(lines: readonly string[], direction: Direction): readonly Run[] {
  const builder = new RunBuilder();
  for (const line of lines) {
    const result = parseRule(line, direction, 0);
    if (result.kind === 'fault') throw new Error(`${line}: ${result.reason}`);
    builder.push(result.rule);
  }
  return builder.build();
}

function policy(
  name: string,
  texts: readonly string[],
  egress: readonly string[],
  ingress: readonly string[] = [],
): Policy {
  const prefixes = texts.map((text): Prefix => {
    const result = parsePrefix(text);
    if (typeof result === 'string') throw new Error(`${text}: ${result}`);
    return result;
  });
  return {
    ...emptyPolicy(name),
    prefixes: prefixSetOf(prefixes),
    egress: runs(egress, 'egress'),
    ingress: runs(ingress, 'ingress'),
  };
}

function ruleSet(policies: readonly Policy[], lists: Readonly<Record<string, List>> = {}): RuleSet {
  return {
    lists: new Map(Object.entries(lists)),
    policies: new Map(policies.map((each) => [each.name, each])),
    resolutions: new Map(),
  };
}

const PREFIXES = prefixListOf(prefixSetOf([]));

function namesList(count: number, resolve: boolean): List {
  return nameListOf(
    Array.from({ length: count }, (_, i) => `n${i}.test`),
    resolve,
  );
}

describe('problems of a rule set', () => {
  it.each<[string, RuleSet, readonly string[]]>([
    ['nothing', EMPTY_RULE_SET, []],
    [
      'default and common alone',
      ruleSet([policy('default', [], ['drop']), policy('common', [], ['drop'], ['drop'])]),
      [],
    ],
    ['a list in use', ruleSet([policy('a', ['10.0.0.1'], ['drop dst=@l'])], { l: PREFIXES }), []],
    [
      'a list in use by ingress',
      ruleSet([policy('a', ['10.0.0.1'], [], ['drop src=@l'])], { l: PREFIXES }),
      [],
    ],
    ['a list in use by common', ruleSet([policy('common', [], ['drop dst=@l'])], { l: PREFIXES }), []],
    ['a missing list', ruleSet([policy('a', ['10.0.0.1'], ['drop dst=@l'])]), ['fault unknown-list a']],
    ['a list that nobody uses', ruleSet([], { l: PREFIXES }), ['warning unused-list l']],
    [
      'names not to be resolved',
      ruleSet([policy('a', ['10.0.0.1'], ['drop dst=@l'])], { l: namesList(1, false) }),
      ['fault names-not-resolvable a'],
    ],
    [
      'as many names as can be',
      ruleSet([policy('a', ['10.0.0.1'], ['drop dst=@l'])], { l: namesList(RESOLVED_NAMES_MAX, true) }),
      [],
    ],
    [
      'a name more',
      ruleSet([policy('a', ['10.0.0.1'], ['drop dst=@l'])], { l: namesList(RESOLVED_NAMES_MAX + 1, true) }),
      ['fault too-many-names a'],
    ],
    [
      'prefixes for default',
      ruleSet([policy('default', ['10.0.0.1'], [])]),
      ['fault reserved-policy default'],
    ],
    ['prefixes for common', ruleSet([policy('common', ['::1'], [])]), ['fault reserved-policy common']],
    ['ingress of default', ruleSet([policy('default', [], [], ['drop'])]), ['fault reserved-policy default']],
    ['no prefixes', ruleSet([policy('a', [], ['drop'])]), ['warning policy-without-prefixes a']],
    [
      'two policies with one prefix, and one within the other’s',
      ruleSet([policy('a', ['10.0.0.0/8', 'fd00::/8'], []), policy('b', ['10.0.0.0/9', 'fd00::/8'], [])]),
      ['fault duplicate-policy-prefix b'],
    ],
    [
      'faults come before warnings',
      ruleSet([policy('a', [], ['drop dst=@x', 'drop dst=@y'])], { l: PREFIXES }),
      [
        'fault unknown-list a',
        'fault unknown-list a',
        'warning unused-list l',
        'warning policy-without-prefixes a',
      ],
    ],
  ])('%s', (_, set, expected) => {
    const problems = checkRuleSet(set);
    expect(problems.map(({ severity, code, part }) => `${severity} ${code} ${part}`)).toEqual(expected);
    for (const { reason, part } of problems) expect(reason).toContain(part);
  });
});

describe('what a rule set uses', () => {
  const set = ruleSet(
    [
      policy(
        'a',
        ['10.0.0.1'],
        ['drop dst=@hosts', 'drop dsthost=z.test'],
        ['drop srchost=b.test', 'drop src=@nets'],
      ),
      policy('common', [], ['drop dsthost=n0.test']),
    ],
    { hosts: namesList(2, true), others: namesList(3, true), nets: PREFIXES },
  );

  it('lists of both directions', () => {
    expect([...usedLists(set.policies.values())].sort()).toEqual(['hosts', 'nets']);
  });

  it('names of rules and of resolvable lists in use, sorted and once', () => {
    expect(usedNames(set)).toEqual(['b.test', 'n0.test', 'n1.test', 'z.test']);
  });

  it('a name without resolution stands for nothing', () => {
    expect(resolutionOf(set, 'z.test').v4.lengths.length).toBe(0);
  });
});
