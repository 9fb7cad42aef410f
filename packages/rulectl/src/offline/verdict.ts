/** Verdicts by the reference evaluators. */

import {
  type Direction,
  type Environment,
  evaluateFlow,
  evaluateName,
  formatPrefix,
  formatRule,
  type NameQuestion,
  type Packet,
  type RuleBlock,
  type RuleSet,
  ruleAt,
  runsOf,
} from '@rulecast/rules';
import type { VerdictView } from '../render/verdict.ts';

/** The verdict on the first packet of a flow at an enforcing firewall, with the exact rule. */
export function verdictOf(ruleSet: RuleSet, environment: Environment, packet: Packet): VerdictView {
  const { action, by } = evaluateFlow(ruleSet, environment, packet);
  const origin = by?.rule;
  return {
    action,
    direction: by?.direction,
    policy: by?.policy,
    ...placeOf(origin),
    rule: ruleText(ruleSet, by?.direction ?? 'egress', origin),
    list: origin?.list,
    prefix: origin?.prefix && formatPrefix(origin.prefix),
  };
}

/** The verdict on a question, with the exact rule. */
export function nameVerdictOf(ruleSet: RuleSet, now: number, question: NameQuestion): VerdictView {
  const { action, answer, policy, rule: origin } = evaluateName(ruleSet, { now }, question);
  return {
    action,
    direction: action === 'none' ? undefined : 'egress',
    policy,
    ...placeOf(origin),
    rule: ruleText(ruleSet, 'egress', origin),
    list: origin?.list,
    answer,
    name: origin?.name,
  };
}

interface RulePlace {
  readonly policy: string;
  readonly block: RuleBlock;
  readonly index: number;
}

function placeOf(origin: RulePlace | undefined): Pick<VerdictView, 'rulePolicy' | 'block' | 'ruleIndex'> {
  return { rulePolicy: origin?.policy, block: origin?.block, ruleIndex: origin?.index };
}

/** The canonical line of a rule. */
function ruleText(
  { policies }: RuleSet,
  direction: Direction,
  origin: RulePlace | undefined,
): string | undefined {
  const owner = origin && policies.get(origin.policy);
  return owner === undefined || origin === undefined
    ? undefined
    : formatRule(ruleAt(runsOf(owner, direction, origin.block), origin.index), direction);
}
