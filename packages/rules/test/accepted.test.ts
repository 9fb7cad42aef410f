/** What is accepted of all addresses, against the slow evaluator, and whether half of a family is opened. */

import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import {
  blocksOf,
  type Judge,
  laid,
  type OpenView,
  opensHalf,
  PROBES,
  StepState,
  type Steps,
} from '../src/accepted.ts';
import { routableShare } from '../src/coverage.ts';
import { evaluate, IpProtocol, type Packet } from '../src/evaluate.ts';
import { nameListOf, prefixListOf } from '../src/list.ts';
import { atOnce } from '../src/pieces.ts';
import { COMMON_POLICY, emptyPolicy, FIRST_POLICY, type Policy } from '../src/policy.ts';
import { type Address, compareWordsAt, type Family, type Prefix, prefixOf, strideOf } from '../src/prefix.ts';
import { prefixSetOf } from '../src/prefix-set.ts';
import { type Action, type Direction, plainRule, type Rule } from '../src/rule.ts';
import { EMPTY_RULE_SET, type RuleSet } from '../src/rule-set.ts';
import { NO_RULES, RunBuilder, rulesIn } from '../src/runs.ts';
import { prefixArbitrary } from './arbitrary.ts';

const NOW = 1000;
const AT = { accept: NOW, drop: NOW };
const PLENTY = (): { left: number } => ({ left: Number.MAX_SAFE_INTEGER });
const QUBE = { 4: prefixOf(4, [0x0a890005], 32), 6: prefixOf(6, [0xfd000000, 0, 0, 5], 128) } as const;

/** A few addresses, so that prefixes meet; the last block of the family among them. */
const wide = (family: Family): fc.Arbitrary<Prefix> =>
  fc
    .tuple(fc.constantFrom(0, 0x40000000, 0x80000000, 0xf0000000), fc.nat(5))
    .map(([w, l]) => prefixOf(family, [w, 0, 0, 0], l));
const prefixes = (family: Family) => fc.oneof(wide(family), wide(family), prefixArbitrary(family));

const rule: fc.Arbitrary<Rule> = fc
  .record({
    action: fc.constantFrom<Action>('accept', 'drop'),
    narrowing: fc.constantFrom<Partial<Rule>>(
      {},
      {},
      {},
      { proto: 'tcp' },
      { proto: 'udp' },
      { proto: 'icmp' },
      { proto: 'icmp', icmpType: 8 },
      { proto: 'icmp', icmpType: 128 },
      { proto: 'tcp', ports: { first: 80, last: 443 } },
      { proto: 'udp', ports: { first: 0, last: 53 } },
      { dns: true },
    ),
    remote: fc.oneof(
      prefixes(4).map((prefix): Rule['remote'] => ({ kind: 'prefix', prefix })),
      prefixes(6).map((prefix): Rule['remote'] => ({ kind: 'prefix', prefix })),
      fc.constantFrom<Rule['remote']>(
        { kind: 'any' },
        { kind: 'list', list: 'a' },
        { kind: 'list', list: 'b' },
        { kind: 'list', list: 'names' },
        { kind: 'list', list: 'resolved' },
        { kind: 'name', name: 'x.example' },
      ),
    ),
    expire: fc.constantFrom(undefined, undefined, NOW, NOW + 1),
  })
  .map(({ action, narrowing, remote, expire }) => ({ ...plainRule(action), ...narrowing, remote, expire }));
const runs = fc.array(rule, { maxLength: 6 }).map((rules) => {
  const builder = new RunBuilder();
  for (const one of rules) builder.push(one);
  return builder.build();
});
const action = fc.constantFrom<Action>('accept', 'drop');
const list = fc
  .array(fc.oneof(prefixes(4), prefixes(6)), { maxLength: 5 })
  .map((of) => prefixListOf(prefixSetOf(of)));

const ruleSets: fc.Arbitrary<RuleSet> = fc
  .record({
    first: runs,
    common: runs,
    out: runs,
    own: runs,
    in: runs,
    defaultAction: action,
    a: list,
    b: list,
    unmatched: fc.option(action, { nil: undefined }),
    hasPolicy: fc.boolean(),
  })
  .map(({ first, common, out, own, defaultAction, a, b, unmatched, hasPolicy, ...more }) => {
    const { v4, v6 } = prefixSetOf([QUBE[4], QUBE[6]]);
    const q: Policy = {
      ...emptyPolicy('q'),
      prefixes: { v4, v6 },
      defaultAction,
      exceptions: { egress: out, ingress: NO_RULES },
      egress: own,
      ingress: more.in,
    };
    const drops = new RunBuilder();
    for (const one of rulesIn(first)) if (one.action === 'drop') drops.push(one);
    const before = drops.build();
    const policies = new Map([
      [FIRST_POLICY, { ...emptyPolicy(FIRST_POLICY), egress: before, ingress: before }],
      [COMMON_POLICY, { ...emptyPolicy(COMMON_POLICY), egress: common, ingress: common }],
    ]);
    if (hasPolicy) policies.set('q', q);
    return {
      ...EMPTY_RULE_SET,
      lists: new Map<string, RuleSet['lists'] extends ReadonlyMap<string, infer L> ? L : never>([
        ['a', a],
        ['b', b],
        ['names', nameListOf(['x.example'], true)],
      ]),
      policies,
      unmatched,
    };
  });

function packet(
  family: Family,
  direction: Direction,
  remote: Address,
  probe: (typeof PROBES)[number],
): Packet {
  const [src, dst] = direction === 'egress' ? [QUBE[family], remote] : [remote, QUBE[family]];
  const icmp = family === 4 ? IpProtocol.icmp : IpProtocol.icmp6;
  const proto = probe.proto === 'icmp' ? icmp : IpProtocol[probe.proto];
  return {
    direction,
    src,
    dst,
    proto,
    port: probe.port,
    icmpType: probe.proto === 'icmp' ? (family === 4 ? 8 : 128) : undefined,
  };
}

/** Not dropped: what nobody judges is left to others. */
const isLetThrough = (ruleSet: RuleSet, of: Packet): boolean =>
  evaluate(ruleSet, { now: NOW, dns: [] }, of).action !== 'drop';

function stateOf({ family, words, states }: Steps, address: Uint32Array): number {
  let found = -1;
  for (let i = 0; i < states.length; i++)
    if (compareWordsAt(words, i, address, 0, strideOf(family)) <= 0) found = states[i] ?? -1;
  return found;
}

const views: OpenView[] = ([4, 6] as const).flatMap((family) =>
  (['egress', 'ingress'] as const).flatMap((direction) =>
    PROBES.map((probe) => ({ family, direction, probe, known: new Map(), shares: new Map() })),
  ),
);
const viewOf = (view: OpenView): OpenView => ({ ...view, known: new Map(), shares: new Map() });
const judgeOf = (ruleSet: RuleSet): Judge => ({ ruleSet, policy: ruleSet.policies.get('q'), at: AT });

describe('what is accepted of all addresses', () => {
  it('is what the evaluator says of each, in both families and directions', () => {
    fc.assert(
      fc.property(
        ruleSets,
        fc.constantFrom(...views),
        fc.array(fc.tuple(prefixes(4), prefixes(6)), { minLength: 8, maxLength: 8 }),
        (ruleSet, view, samples) => {
          const steps = atOnce(laid(blocksOf(judgeOf(ruleSet), viewOf(view)), view.family, PLENTY()));
          if (steps === undefined) return expect.fail('it was to be told');
          expect(steps.words.slice(0, strideOf(view.family)).every((word) => word === 0)).toBe(true);
          for (const sample of samples) {
            const { words } = sample[view.family === 4 ? 0 : 1];
            const expected = isLetThrough(
              ruleSet,
              packet(view.family, view.direction, { family: view.family, words }, view.probe),
            );
            expect(stateOf(steps, words)).toBe(expected ? StepState.accept : StepState.drop);
          }
        },
      ),
      { numRuns: 3000 },
    );
  });

  it('is half of a family or more where that is so by the evaluator', () => {
    const coarse = fc.array(fc.tuple(action, fc.nat(15), fc.nat(4)), { maxLength: 5 });
    const set = (
      rules: readonly (readonly [Action, number, number])[],
      defaultAction: Action,
      family: Family,
    ): RuleSet => {
      const builder = new RunBuilder();
      for (const [of, block, length] of rules)
        builder.push({
          ...plainRule(of),
          remote: { kind: 'prefix', prefix: prefixOf(family, [(block << 28) >>> 0, 0, 0, 0], length) },
        });
      return {
        ...EMPTY_RULE_SET,
        policies: new Map([
          [
            'q',
            {
              ...emptyPolicy('q'),
              prefixes: prefixSetOf([QUBE[family]]),
              defaultAction,
              egress: builder.build(),
            },
          ],
        ]),
      };
    };
    fc.assert(
      fc.property(
        coarse,
        coarse,
        action,
        action,
        fc.constantFrom<Family>(4, 6),
        (was, is, before, after, family) => {
          const [one, other] = [set(was, before, family), set(is, after, family)];
          const [probe] = PROBES;
          if (probe === undefined) return expect.fail('there are some');
          const blocks = Array.from({ length: 16 }, (_, block) =>
            prefixOf(family, [(block << 28) >>> 0, 0, 0, 0], 4),
          );
          const open = (ruleSet: RuleSet): readonly Prefix[] =>
            blocks.filter((block) => isLetThrough(ruleSet, packet(family, 'egress', block, probe)));
          const [old, now] = [open(one), open(other)];
          const fresh = now.filter((block) => !old.includes(block));
          const measures = [
            (of: readonly Prefix[]) => of.length / 16,
            (of: readonly Prefix[]) => routableShare(prefixSetOf(of), family),
          ];
          const expected = measures.some(
            (share) => share(fresh) >= 0.5 || (share(now) >= 0.5 && share(old) < 0.5),
          );
          const view: OpenView = { direction: 'egress', family, probe, known: new Map(), shares: new Map() };
          const isAll = now.length === 16 && fresh.length > 0 && !expected; // whether by a drop that decides nothing or by none
          if (isAll) return;
          expect(atOnce(opensHalf(judgeOf(one), judgeOf(other), view, PLENTY()))).toBe(expected);
        },
      ),
      { numRuns: 3000 },
    );
  });

  it('is taken for half where telling costs more than may be spent', () => {
    const prefix = prefixOf(4, [0x80000000], 1);
    const egress = new RunBuilder();
    egress.push({ ...plainRule('accept'), remote: { kind: 'prefix', prefix } });
    const policy = { ...emptyPolicy('q'), prefixes: prefixSetOf([QUBE[4]]), egress: egress.build() };
    const ruleSet = { ...EMPTY_RULE_SET, policies: new Map([['q', policy]]) };
    for (const view of views.filter(({ family, direction }) => family === 4 && direction === 'egress')) {
      expect(atOnce(opensHalf(judgeOf(ruleSet), judgeOf(ruleSet), viewOf(view), { left: 1 }))).toBe(true);
      expect(atOnce(opensHalf(judgeOf(ruleSet), judgeOf(ruleSet), viewOf(view), PLENTY()))).toBe(false);
    }
  });

  it('is all of it where no drop is left, however little that dropped', () => {
    const of = (...hosts: readonly (readonly number[])[]): Judge => {
      const builder = new RunBuilder();
      for (const words of hosts)
        builder.push({ ...plainRule('drop'), remote: { kind: 'prefix', prefix: prefixOf(6, words, 128) } });
      const q = {
        ...emptyPolicy('q'),
        prefixes: prefixSetOf([QUBE[6]]),
        defaultAction: 'accept',
        egress: builder.build(),
      } as const;
      return judgeOf({ ...EMPTY_RULE_SET, policies: new Map([['q', q]]) });
    };
    for (const view of views.filter(({ family, direction }) => family === 6 && direction === 'egress')) {
      const opens = (was: Judge, is: Judge): boolean => atOnce(opensHalf(was, is, viewOf(view), PLENTY()));
      const one = of([0x20010db8, 0, 0, 1]);
      expect(opens(one, of())).toBe(true);
      expect(opens(of(), of())).toBe(false);
      expect(opens(of([0x20010db8, 0, 0, 1], [0x20010db8, 0, 0, 2]), one)).toBe(false);
    }
  });
});
