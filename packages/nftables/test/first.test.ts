/** The policy `first` in a plan: a chain of its own before all others, and changes that leave those alone. */

import {
  atOnce,
  type Direction,
  FIRST_POLICY,
  firewallLoad,
  nameListOf,
  type RuleSet,
} from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { checkRequest } from '../src/apply/check.ts';
import { type ChangeOptions, transition } from '../src/plan/change.ts';
import { entryChain, parseClassMapName, policyChain } from '../src/plan/plan.ts';
import { planOf } from '../src/plan/planner.ts';
import { sumsOf } from '../src/sink/hits.ts';
import { judgeDirection } from './judge.ts';
import { list, planned, plannedAfter, ruleSet, scriptText, sourceOf } from './sample.ts';

const LISTS = { bad: list('198.51.100.0/24', '2001:db8:bad::/48'), other: list('203.0.113.0/24') };
const BLOCKS = ['drop dst=@bad', 'drop proto=tcp dstports=25'];
const INGRESS = ['drop src=@other', 'drop proto=tcp dstports=25'];

function withFirst(
  egress: readonly string[],
  ingress: readonly string[] = [],
  unmatched?: 'accept' | 'drop',
): RuleSet {
  const policies = [
    { name: 'common', prefixes: [], egress: ['accept dst4=198.51.100.7'], ingress: ['accept'] },
    {
      name: 'work',
      prefixes: ['10.137.0.5', 'fd00::5'],
      exceptions: { egress: ['accept dst4=198.51.100.8'] },
      egress: ['accept proto=tcp', 'drop dst=@other'],
      ingress: ['accept proto=tcp dstports=22'],
    },
    { name: 'mail', prefixes: ['10.137.0.6'], egress: ['accept proto=tcp dstports=25'] },
  ];
  const first = { name: FIRST_POLICY, prefixes: [], egress, ingress };
  return ruleSet(egress.length + ingress.length > 0 ? [...policies, first] : policies, LISTS, unmatched);
}

function options(digit: string): ChangeOptions {
  const tag = { release: digit.repeat(64), conditions: digit.repeat(16), mark: 7 };
  return { downstreamGroup: 2, answer: 'reject', tag };
}

const ADDRESSES = {
  work: '0a890005',
  mail: '0a890006',
  nobody: '0a890009',
  common: 'c6336407',
  exception: 'c6336408',
  bad: 'c6336409',
  other: 'cb007109',
  free: 'c0000201',
} as const;
type Place = keyof typeof ADDRESSES;

describe('the policy first in a plan', () => {
  it.each<[Direction, Place, Place, number, string]>([
    ['egress', 'work', 'exception', 443, 'drop'],
    ['egress', 'work', 'common', 443, 'drop'],
    ['egress', 'work', 'free', 443, 'accept'],
    ['egress', 'mail', 'free', 25, 'drop'],
    ['egress', 'nobody', 'bad', 443, 'drop'],
    ['egress', 'nobody', 'free', 25, 'drop'],
    ['egress', 'nobody', 'free', 443, 'none'],
    ['ingress', 'other', 'work', 22, 'drop'],
    ['ingress', 'free', 'work', 22, 'accept'],
    ['ingress', 'other', 'nobody', 22, 'drop'],
    ['ingress', 'free', 'nobody', 22, 'none'],
    ['ingress', 'free', 'mail', 22, 'none'], // which has no rules for it
  ])('of %s from %s to %s, port %i: %s', (direction, from, to, port, expected) => {
    const packet = { src: ADDRESSES[from], dst: ADDRESSES[to], protocol: 6, port, icmpType: undefined };
    const plan = planned(withFirst(BLOCKS, ['drop src=@other']));
    expect(judgeDirection(plan, direction, packet)).toBe(expected);
  });

  it('is asked by each entry before all else, and by nothing else; where it says nothing, by none', () => {
    const plan = planned(withFirst(BLOCKS));
    for (const family of [4, 6] as const) {
      const chain = policyChain('egress', family, FIRST_POLICY);
      expect(plan.chains.get(entryChain('egress', family))?.[0]).toEqual({ kind: 'jump', chain });
      const askers = [...plan.chains].filter(([, steps]) => JSON.stringify(steps).includes(`"${chain}"`));
      expect(askers.map(([name]) => name)).toEqual([entryChain('egress', family)]);
      expect(plan.chains.get(entryChain('ingress', family))?.[0]?.kind).not.toBe('jump');
    }
    expect(JSON.stringify([...planned(withFirst([])).chains])).not.toContain(
      policyChain('egress', 4, FIRST_POLICY),
    );
  });

  it.each([
    ['by itself', []],
    ['by the class of the address', alternating()],
  ])('opens nothing by an accept, which no reader lets through: %s', (_, more) => {
    const opening = [...more.map((line) => line.replace('drop', 'accept')), 'accept dst4=192.0.2.0/24'];
    const packet = { src: ADDRESSES.mail, dst: ADDRESSES.free, protocol: 6, port: 443, icmpType: undefined };
    expect(judgeDirection(planned(withFirst(opening)), 'egress', packet)).toBe('drop');
    const other = { ...packet, src: ADDRESSES.nobody, dst: '09000205' };
    expect(judgeDirection(planned(withFirst(opening)), 'egress', other)).toBe(
      more.length > 0 ? 'drop' : 'none',
    );
  });

  it('stops questions by a list of names, and no packet; what names open comes behind it', () => {
    const lists = {
      bad: nameListOf(['.bad.example'], 'firewall'),
      good: nameListOf(['good.example'], 'firewall'),
    };
    const plan = planned(
      ruleSet(
        [
          { name: FIRST_POLICY, prefixes: [], egress: ['drop dst=@bad', 'drop dst4=192.0.2.1'] },
          { name: 'work', prefixes: ['10.137.0.5'], egress: ['accept dst=@good'] },
        ],
        lists,
        'drop',
      ),
    );
    expect([...plan.nameSets.values()].map(({ list: name }) => name)).toEqual(['good']);
    const first = policyChain('egress', 4, FIRST_POLICY);
    expect(plan.chains.get(first)?.map((step) => step.kind === 'rule' && step.remote)).toEqual([
      { kind: 'prefix', address: 'c0000201', length: 32 },
    ]);
    const asked = [...plan.chains].filter(([, steps]) => JSON.stringify(steps).includes('"told"'));
    expect(asked.map(([name]) => name)).toEqual([policyChain('egress', 4, 'work')]);
  });

  it.each([
    ['a rule more', BLOCKS, [...BLOCKS, 'drop dst4=192.0.2.9'], 0],
    ['a rule less', BLOCKS, BLOCKS.slice(1), 0],
    ['another list', BLOCKS, ['drop dst=@other', ...BLOCKS], 0],
    ['many rules, by class', BLOCKS, [...BLOCKS, ...alternating()], 1],
  ])('changes without a line about any policy: %s', (_, before, after, classMaps) => {
    const known = planned(withFirst(before));
    const rules = withFirst(after);
    const plan = plannedAfter(rules, known);
    const made = transition({ plan: known, tag: options('1').tag }, plan, options('2'));
    const own = [4, 6].map((family) => policyChain('egress', family as 4, FIRST_POLICY));
    for (const { change, body } of [made.release, ...made.afterwards]) {
      const bytes = new Uint8Array(Buffer.concat(body));
      const request = JSON.parse(JSON.stringify({ kind: 'apply', change })) as unknown;
      expect(checkRequest(request, bytes)).toEqual({ kind: 'apply', change });
      const isOfClass = (chain: string): boolean => !known.chains.has(chain);
      const lines = scriptText(change, bytes)
        .split('\n')
        .filter((line) => /^(add rule|flush chain) /.test(line));
      const chains = [...new Set(lines.map((line) => line.split(' ')[4] ?? ''))];
      expect(chains.filter((chain) => !own.includes(chain) && !isOfClass(chain))).toEqual([]);
    }
    expect(made.release.change.chains.length).toBeGreaterThan(0);
    const { newMaps } = made.release.change;
    expect(newMaps.filter((name) => parseClassMapName(name) !== undefined).length).toBe(classMaps);
    expect(newMaps.length).toBe(classMaps);
  });

  it.each([
    ['alone', { ...ruleSet([]), policies: new Map([...withFirst(BLOCKS, INGRESS).policies].slice(-1)) }],
    ['among others', withFirst([...BLOCKS, ...alternating()], INGRESS, 'drop')],
    [
      'of many rules for ingress',
      withFirst(
        [],
        alternating().map((line) => line.replace('dst', 'src')),
      ),
    ],
  ])('takes no more than a push counts for it: %s', (_, rules) => {
    const load = atOnce(firewallLoad(rules));
    const { chains } = planned(rules);
    expect(chains.has(policyChain('ingress', 6, FIRST_POLICY))).toBe(true);
    expect(chains.size).toBeLessThanOrEqual(load.chains);
    expect([...chains.values()].reduce((sum, steps) => sum + steps.length, 0)).toBeLessThanOrEqual(
      load.rules,
    );
  });

  it('counts what its rules drop, and has no default action', () => {
    const { plan, counters } = planOf(sourceOf(withFirst(BLOCKS, [], 'drop')), () => undefined);
    const own = counters.filter(({ policy }) => policy === FIRST_POLICY);
    expect(own.map(({ direction, block, defaultAction }) => [direction, block, defaultAction])).toEqual([
      ['egress', 'own', undefined],
      ['ingress', 'own', undefined],
    ]);
    const counted = own[0]?.runs.map((counter) => counter ?? '') ?? [];
    expect(counted.every((counter) => plan.counters.has(counter))).toBe(true);
    const counts = Object.fromEntries(counted.map((counter, i) => [counter, [i + 1, 60] as const]));
    expect(sumsOf(counters, counts)).toMatchObject({
      'list.bad': 1,
      'policy.first': 3,
      'rule.first.1': 1,
      'rule.first.2': 2,
    });
  });
});

/** So many that a kernel asks them by the class of the address. */
function alternating(): readonly string[] {
  return Array.from({ length: 60 }, (_, i) => `drop dst4=9.0.${i}.0/24 proto=${i % 2 === 0 ? 'tcp' : 'udp'}`);
}
