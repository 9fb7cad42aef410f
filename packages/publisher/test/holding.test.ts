/** What holds a subject and decides, against the reference evaluators. */

import {
  atOnce,
  bitsOf,
  COMMON_POLICY,
  type Direction,
  emptyPolicy,
  evaluate,
  evaluateName,
  judgingPolicy,
  nameListOf,
  type Packet,
  type Policy,
  type RuleSet,
} from '@rulecast/rules';
import { expect, it } from 'vitest';
import { Random } from '../../../test/kit/random.mjs';
import { prefixFrom, runsFrom } from '../../../test/kit/rules.ts';
import { often } from '../../../test/thorough.ts';
import { edgeAddresses, randomCase, randomPrefix } from '../../table/test/random-rule-set.ts';
import { Holder, type Step, type Subject } from '../src/requests/holding.ts';

/** Places in which rules stand that decide. */
const placeOf = ({ policy, block, index }: Pick<Step, 'policy' | 'block' | 'index'>): string =>
  `${policy} ${block} ${index}`;

function judged(ruleSet: RuleSet, subject: Subject, now: number, policy: Policy | undefined, way: Direction) {
  const { steps } = atOnce(new Holder(ruleSet, subject, now).judge(policy, way));
  const deciding = steps.filter(({ decides }) => decides !== 'nothing');
  return {
    steps,
    places: deciding.map(placeOf),
    isWhole: deciding.some(({ decides }) => decides === 'rest'),
  };
}

const PROTOS = [
  { proto: 6, port: 53, icmpType: undefined },
  { proto: 17, port: 65_535, icmpType: undefined },
  { proto: 1, port: undefined, icmpType: 8 },
  { proto: 58, port: undefined, icmpType: 128 },
  { proto: 47, port: undefined, icmpType: undefined },
];

it('names the rule that decides of each packet to it as one that decides, for either direction', () => {
  let byRule = 0;
  for (let seed = 1; seed <= often(150, 5000); seed++) {
    const random = new Random(seed);
    const { ruleSet, environment, prefixes } = randomCase(seed, 30);
    const now = environment.now;
    const edges = edgeAddresses(prefixes);
    for (let i = 0; i < 40; i++) {
      const [remote, qube] = [random.pick(edges), random.pick(edges)];
      if (remote === undefined || qube === undefined) continue;
      const subject = random.chance(0.5)
        ? { ...remote, length: bitsOf(remote.family) }
        : randomPrefix(random, remote.family);
      const direction = random.pick(['egress', 'ingress'] as const);
      const ends = direction === 'egress' ? { src: qube, dst: subject } : { src: subject, dst: qube };
      const packet: Packet = { direction, ...ends, ...random.pick(PROTOS) };
      const policy = judgingPolicy(ruleSet, qube, direction);
      const verdict = evaluate(ruleSet, { now, dns: [] }, packet);
      const { places, isWhole } = judged(ruleSet, subject, now, policy, direction);
      const rule = verdict.by?.rule;
      if (rule !== undefined) expect(places, `seed ${seed}`).toContain(placeOf(rule));
      else expect(isWhole, `seed ${seed}`).toBe(false);
      byRule += rule === undefined ? 0 : 1;
    }
  }
  expect(byRule).toBeGreaterThan(1000);
});

const NAMES = ['x', 'a.x', 'b.x', 'a.a.x', 'b.a.x', 'y'];
const ENTRIES = NAMES.flatMap((name) => [name, `.${name}`, `*.${name}`]);

it('names the rule that decides of a name', () => {
  let byRule = 0;
  for (let seed = 1; seed <= often(300, 5000); seed++) {
    const random = new Random(seed);
    const some = () => Array.from({ length: random.below(4) }, () => random.pick(ENTRIES));
    const lists = new Map(['l0', 'l1'].map((list) => [list, nameListOf(some(), 'firewall', some())]));
    const line = (): string =>
      `${random.pick(['accept', 'drop'])} ${random.pick(['dst=@l0', 'dst=@l1', 'dsthost=a.x'])}${random.pick(['', ' proto=tcp dstports=443', ' expire=5'])}`;
    const rules = () => runsFrom('egress', Array.from({ length: random.below(4) }, line));
    const policies = new Map(
      ['work', COMMON_POLICY].map((name) => [name, { ...emptyPolicy(name), egress: rules() }]),
    );
    const ruleSet: RuleSet = { lists, policies, resolutions: new Map(), unmatched: undefined };
    for (const name of NAMES) {
      const { rule } = evaluateName(ruleSet, { now: 9 }, { asker: { policy: 'work' }, name, aliases: [] });
      const { places, isWhole } = judged(ruleSet, name, 9, policies.get('work'), 'egress');
      if (rule !== undefined) expect(places, `seed ${seed} ${name}`).toContain(placeOf(rule));
      else expect(isWhole, `seed ${seed} ${name}`).toBe(false);
      byRule += rule === undefined ? 0 : 1;
    }
  }
  expect(byRule).toBeGreaterThan(300);
});

it('decides by the first rule for all of it, some by those before it, and nothing by those behind', () => {
  const egress = runsFrom('egress', [
    'accept proto=tcp dstports=443',
    'drop dst4=192.0.2.128/25',
    'accept dst4=192.0.2.0/24 expire=5',
    'drop dst4=192.0.0.0/16',
    'accept dst4=192.0.2.7',
  ]);
  const work = { ...emptyPolicy('work'), egress };
  const policies = new Map([['work', work]]);
  const ruleSet: RuleSet = { lists: new Map(), policies, resolutions: new Map(), unmatched: undefined };
  const subject = prefixFrom('192.0.2.0/24');
  const { steps } = judged(ruleSet, subject, 9, work, 'egress');
  expect(steps.map(({ index, decides, holding }) => [index, decides, holding.how])).toEqual([
    [0, 'some', 'all'],
    [1, 'some', 'part'],
    [2, 'nothing', 'all'],
    [3, 'rest', 'all'],
    [4, 'nothing', 'part'],
  ]);
});
