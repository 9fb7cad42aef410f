/** The judge beside the reference evaluator of names. */

import { parseDocument } from '@rulecast/formats';
import { type Address, evaluateName, parseAddress } from '@rulecast/rules';
import { expect, it } from 'vitest';
import { Random } from '../../../test/kit/random.mjs';
import { often } from '../../../test/thorough.ts';
import { nameBytes } from '../src/message/name.ts';
import { judgeOf } from './judge-of.ts';

const NAMES = ['a', 'b', 'ads', 'x'].flatMap((label) => [
  `${label}.example`,
  `${label}.a.example`,
  `${label}.net`,
]);
const QUBES = ['10.137.0.5', '10.137.0.6', '10.137.1.1', 'fd09::5'];

function address(text: string): Address {
  const found = parseAddress(text);
  if (found === undefined) throw new TypeError(text);
  return found;
}

function documentFrom(random: Random): object {
  const rules = (): readonly string[] =>
    Array.from({ length: random.below(5) }, () => {
      const action = random.pick(['accept', 'drop']);
      const remote = random.pick([`dsthost=${random.pick(NAMES)}`, 'dst=@l', 'dst=@m', 'dst4=192.0.2.1', '']);
      const ports =
        random.chance(0.2) && !(action === 'drop' && remote.startsWith('dst=@')) ? ' proto=tcp' : '';
      const end = random.chance(0.3) ? ` expire=${10 * (1 + random.below(3))}` : '';
      return `${action}${end} ${remote}${ports}`.trim();
    });
  const list = (): object => ({
    names: Array.from(
      { length: random.below(6) },
      () => random.pick(['', '', '*.', '.']) + random.pick(NAMES),
    ),
    resolve: 'firewall',
  });
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
    ...(random.chance(0.7) && { common: { ...said(), egress: rules() } }),
    policies: {
      p: policy(['10.137.0.0/24', 'fd09::/64']),
      q: policy(['10.137.0.6']),
      ...(random.chance(0.3) && { default: policy() }),
    },
    ...(random.chance(0.5) && { unmatched: random.pick(['accept', 'drop']) }),
  };
}

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
        seen.add(`${action} ${answer} ${rule?.block}`);
      }
    }
  }
  expect([...seen].sort()).toEqual([
    'accept answer common',
    'accept answer exceptions',
    'accept answer own',
    'accept answer undefined',
    ...['null', 'nxdomain', 'refused'].flatMap((answer) =>
      ['common', 'exceptions', 'own', ...(answer === 'nxdomain' ? ['undefined'] : [])].map(
        (block) => `drop ${answer} ${block}`,
      ),
    ),
    'none answer undefined',
  ]);
});
