/** The judge beside the reference evaluator of names. */

import { parseDocument } from '@rulecast/formats';
import { listKeys } from '@rulecast/nftables/openings';
import {
  type Address,
  CANARY_NAME,
  emptyPolicy,
  evaluateName,
  NO_RULES,
  nameSetOfTexts,
  namesOpenedBy,
  nameTexts,
  parseAddress,
} from '@rulecast/rules';
import { expect, it } from 'vitest';
import { Random } from '../../../test/kit/random.mjs';
import { often } from '../../../test/thorough.ts';
import { portionOf } from '../src/judge/portion.ts';
import { nameBytes } from '../src/message/name.ts';
import { judgeOf } from './judge-of.ts';

const NAMES = [
  ...['a', 'b', 'ads', 'x'].flatMap((label) => [`${label}.example`, `${label}.a.example`, `${label}.net`]),
  CANARY_NAME,
];
/** These, and what they are below. */
const ABOVE = [...NAMES, 'x.b.a.example', 'example', 'a.example'];
const QUBES = ['10.137.0.5', '10.137.0.6', '10.137.1.1', 'fd09::5'];

function address(text: string): Address {
  const found = parseAddress(text);
  if (found === undefined) throw new TypeError(text);
  return found;
}

function documentFrom(random: Random): object {
  const rules = (actions = ['accept', 'drop']): readonly string[] =>
    Array.from({ length: random.below(5) }, () => {
      const action = random.pick(actions);
      const remote = random.pick([`dsthost=${random.pick(NAMES)}`, 'dst=@l', 'dst=@m', 'dst4=192.0.2.1', '']);
      const ports =
        random.chance(0.2) && !(action === 'drop' && remote.startsWith('dst=@')) ? ' proto=tcp' : '';
      const end = random.chance(0.3) ? ` expire=${10 * (1 + random.below(3))}` : '';
      return `${action}${end} ${remote}${ports}`.trim();
    });
  const list = (): object => {
    const texts = (most: number): readonly string[] =>
      Array.from({ length: random.below(most) }, () => random.pick(['', '', '*.', '.']) + random.pick(ABOVE));
    const { names, exceptions } = nameSetOfTexts(texts(6), texts(4));
    return { names: [...nameTexts(names)], exceptions: [...nameTexts(exceptions)], resolve: 'firewall' };
  };
  const said = (): object => ({
    ...(random.chance(0.5) && { blocked: random.pick(['nxdomain', 'refused', 'null']) }),
    ...(random.chance(0.5) && { unlisted: random.pick(['answer', 'nxdomain']) }),
  });
  const policy = (prefixes?: readonly string[]): object => ({
    ...(prefixes && { prefixes }),
    ...said(),
    egress: rules(),
    exceptions: { egress: rules() },
  });
  return {
    lists: { l: list(), m: list() },
    ...(random.chance(0.3) && { first: { egress: rules(['drop']) } }),
    ...(random.chance(0.7) && { common: { ...said(), egress: rules() } }),
    policies: {
      p: policy(['10.137.0.0/24', 'fd09::/64']),
      q: policy(['10.137.0.6']),
      ...(random.chance(0.3) && { default: policy() }),
    },
    ...(random.chance(0.5) && { unmatched: random.pick(['accept', 'drop']) }),
  };
}

//
it('says what the reference evaluator says, of any rule set, qube, name, aliases and time', () => {
  const seen = new Set<string>();
  for (let seed = 1; seed <= often(60, 3000); seed++) {
    const random = new Random(seed);
    const text = JSON.stringify(documentFrom(random));
    const document = parseDocument('f', Buffer.from(text), 0, () => undefined);
    expect(document.rejects).toEqual([]);
    const ruleSet = { ...document, resolutions: new Map() };
    const judge = judgeOf(ruleSet);
    for (const now of [0, 10, 15, 20, 30]) {
      for (let i = 0; i < 20; i++) {
        const asker = address(random.pick(QUBES));
        const name = random.pick(NAMES);
        const aliases = Array.from({ length: random.below(3) }, () => random.pick(NAMES));
        const slow = evaluateName(ruleSet, { now }, { asker, name, aliases });
        const fast = judge.judge(asker, nameBytes(name), 0, aliases.map(nameBytes), { now });
        const { action, answer, policy, rule } = fast;
        const decided = rule && { policy: rule.policy, block: rule.block, list: rule.list };
        const expected = slow.rule && {
          policy: slow.rule.policy,
          block: slow.rule.block,
          list: slow.rule.list,
        };
        expect({ action, answer, policy, decided }, `${text} ${name} ${aliases}`).toEqual({
          action: slow.action,
          answer: slow.answer,
          policy: slow.policy,
          decided: expected,
        });
        seen.add(`${action} ${answer} ${policy === 'first' ? policy : rule?.block}`);
      }
    }
  }
  expect([...seen].sort()).toEqual([
    'accept answer common',
    'accept answer exceptions',
    'accept answer own',
    'accept answer undefined',
    ...['null', 'nxdomain', 'refused'].flatMap((answer) =>
      ['common', 'exceptions', 'first', 'own', ...(answer === 'nxdomain' ? ['undefined'] : [])].map(
        (block) => `drop ${answer} ${block}`,
      ),
    ),
    'none answer undefined',
  ]);
});

it('answers and opens nothing by an accept of first, which no reader lets through', () => {
  const text = JSON.stringify({
    lists: { ads: { names: ['ads.example'], resolve: 'firewall' } },
    policies: { p: { egress: ['accept dst=@ads', 'accept dst=@resolved'] } },
    unmatched: 'drop',
  });
  const { policies, ...parts } = parseDocument('f', Buffer.from(text), 0, () => undefined);
  const first = { ...emptyPolicy('first'), egress: policies.get('p')?.egress ?? NO_RULES };
  const judge = judgeOf({ ...parts, policies: new Map([['first', first]]), resolutions: new Map() });
  const asked = [address('10.137.0.5'), nameBytes('ads.example'), 0, [], { now: 0 }] as const;
  expect([judge.judge(...asked).action, judge.openedBy(...asked)]).toEqual(['drop', []]);
});

it('decides nothing of a name by an accept of all that is answered, which its portion keeps', () => {
  const text = JSON.stringify({
    lists: { ads: { names: ['ads.example'], resolve: 'firewall' } },
    policies: {
      p: { prefixes: ['10.137.0.5'], egress: ['accept dst=@resolved', 'drop dst=@ads', 'accept proto=udp'] },
      q: { prefixes: ['10.137.0.6'], unlisted: 'nxdomain', egress: ['accept dst=@resolved'] },
    },
    unmatched: 'drop',
  });
  const { rejects, ...parts } = parseDocument('f', Buffer.from(text), 0, () => undefined);
  expect(rejects).toEqual([]);
  const portion = portionOf({ ...parts, resolutions: new Map() });
  expect(portion.policies.get('p')?.egress.count).toBe(2);
  const judge = judgeOf(portion);
  const answer = (qube: string, name: string): string =>
    judge.judge(address(qube), nameBytes(name), 0, [], { now: 0 }).answer;
  expect(answer('10.137.0.5', 'ads.example')).toBe('nxdomain');
  expect(answer('10.137.0.5', 'a.example')).toBe('answer');
  expect(answer('10.137.0.6', 'a.example')).toBe('nxdomain');
  expect(judge.openedBy(address('10.137.0.5'), nameBytes('a.example'), 0, [], { now: 0 })).toHaveLength(1);
});

it.each<[string, string, readonly string[], number, readonly string[]]>([
  ['10.137.0.5', 'a.example', [], 0, ['once', 'here', 'all']],
  ['10.137.0.5', 'a.example', [], 10, ['here', 'all']], // a rule has ended
  ['10.137.0.5', 'a.example', ['b.example'], 10, ['here']], // what it is an alias of is dropped before `all`
  ['10.137.0.5', 'b.example', [], 0, []],
  ['10.137.0.5', 'c.example', ['a.example'], 0, ['all']], // an accept is about the name that is asked for
  ['10.137.0.5', 'a.net', [], 0, []],
  ['10.137.0.6', 'a.example', [], 0, ['here']],
  ['10.137.9.9', 'a.example', [], 0, []],
  ['10.137.0.7', 'a.example', [], 0, ['here', 'resolved']],
  ['10.137.0.7', 'www.net', ['b.net'], 0, ['resolved']], // no rule is about it, and it is answered
  ['10.137.0.7', 'a.example', [], 20, ['here']],
])(
  'opens for %s what is answered to %s, an alias of %j, at %i by the lists %j',
  (qube, name, aliases, now, lists) => {
    const names = { once: ['a.example'], here: ['a.example'], off: ['b.example'], all: ['.example'] };
    const text = JSON.stringify({
      lists: Object.fromEntries(
        Object.entries(names).map(([list, of]) => [
          list,
          { names: of, resolve: 'firewall', ...(list === 'all' && { private: true }) },
        ]),
      ),
      policies: {
        p: {
          prefixes: ['10.137.0.5'],
          exceptions: { egress: ['accept expire=10 dst=@once'] },
          egress: [
            'accept dsthost=a.example',
            'accept dst=@here proto=tcp dstports=443',
            'drop dst=@off',
            'accept dst=@all',
          ],
        },
        q: { prefixes: ['10.137.0.6'], egress: ['accept dst=@here', 'drop dst=@all'] },
        r: {
          prefixes: ['10.137.0.7'],
          egress: ['accept dst=@resolved expire=20', 'accept dst=@here', 'drop dst=@all'],
        },
      },
      unmatched: 'accept',
    });
    const { rejects, ...parts } = parseDocument('f', Buffer.from(text), 0, () => undefined);
    expect(rejects).toEqual([]);
    const ruleSet = { ...parts, resolutions: new Map() };
    const opened = judgeOf(ruleSet).openedBy(address(qube), nameBytes(name), 0, aliases.map(nameBytes), {
      now,
    });
    const keyed = lists.map((list) => {
      const found = namesOpenedBy(ruleSet.lists, list);
      const isPrivate = list === 'all';
      const marks = { ...(list === 'resolved' && { isOfAll: true }), ...(isPrivate && { isPrivate }) };
      return found && { ...listKeys(list, found, isPrivate), ...marks };
    });
    expect([...opened].sort((a, b) => a.key.localeCompare(b.key))).toEqual(
      [...keyed].sort((a, b) => (a?.key ?? '').localeCompare(b?.key ?? '')),
    );
  },
);
