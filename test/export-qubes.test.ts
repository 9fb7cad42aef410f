/** `rulectl export qubes`: its rules give each packet of the qubes of a policy the verdict of the policy. */

import {
  addressJudgedBy,
  emptyPolicy,
  evaluate,
  formatRule,
  isForAllQubes,
  NO_RULES,
  nameListOf,
  type Policy,
  parseRule,
  prefixListOf,
  type RuleSet,
  RunBuilder,
  type Runs,
  rulesIn,
} from '@rulecast/rules';
import { expect, it } from 'vitest';
import { qubesRulesOf } from '../packages/rulectl/src/offline/qvm-firewall.ts';
import { edgeAddresses, randomCase, randomPacket } from '../packages/table/test/random-rule-set.ts';
import { Random } from './kit/random.mjs';
import { prefixSetFrom, runsFrom } from './kit/rules.ts';

const CASES = 200;
const PACKETS = 60;

/** Without what no line of qvm-firewall can say. */
function exportable({ lists, policies, resolutions, unmatched }: RuleSet): RuleSet {
  return {
    resolutions,
    unmatched,
    lists: new Map([
      ...lists,
      ['missing', prefixListOf(prefixSetFrom(['192.0.2.0/25', '192.0.2.128/25']))],
      ['unresolved', nameListOf(['a.example', 'c.example'], true)],
    ]),
    policies: new Map(
      [...policies].map(([name, policy]): [string, Policy] => {
        const exceptions = { egress: sayable(policy.exceptions.egress), ingress: NO_RULES };
        return [name, { ...policy, exceptions, egress: sayable(policy.egress), ingress: NO_RULES }];
      }),
    ),
  };
}

/** The rules that have a line. */
function sayable(runs: Runs): Runs {
  const said = new RunBuilder();
  for (const rule of rulesIn(runs))
    if (parseRule(formatRule(rule, 'egress'), 'egress', 0).kind === 'rule') said.push(rule);
  return said.build();
}

it('means the same for every packet that a qube of the policy sends', () => {
  let [judged, accepted, exported] = [0, 0, 0];
  for (let seed = 1; seed <= CASES; seed++) {
    const { ruleSet: whole, environment, prefixes } = randomCase(seed, 40);
    const ruleSet = exportable(whole);
    const random = new Random(seed);
    const addresses = edgeAddresses(prefixes);
    for (const policy of ruleSet.policies.values()) {
      if (isForAllQubes(policy.name)) continue;
      const { lines, refusals } = qubesRulesOf(ruleSet, policy);
      expect(refusals).toEqual([]);
      exported++;
      const own = { ...emptyPolicy('default'), egress: runsFrom('egress', lines) };
      const qubes: RuleSet = { ...ruleSet, lists: new Map(), policies: new Map([['default', own]]) };
      for (let i = 0; i < PACKETS; i++) {
        const packet = { ...randomPacket(random, addresses), direction: 'egress' as const };
        const src = addressJudgedBy(ruleSet, policy, packet.dst.family);
        if (src === undefined && policy.name !== 'default') continue;
        const { action } = evaluate(ruleSet, environment, { ...packet, src });
        expect(evaluate(qubes, environment, { ...packet, src }).action, lines.join('\n')).toBe(action);
        judged++;
        if (action === 'accept') accepted++;
      }
    }
  }
  expect(exported).toBeGreaterThan(CASES);
  expect(Math.min(accepted, judged - accepted)).toBeGreaterThan(5_000);
});
