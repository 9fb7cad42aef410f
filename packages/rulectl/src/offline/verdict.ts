/** Verdicts by the reference evaluators. */

import {
  type Direction,
  type Environment,
  evaluateFlow,
  evaluateName,
  formatPrefix,
  formatRule,
  type NameQuestion,
  type NameVerdict,
  type Packet,
  type RuleBlock,
  type RuleSet,
  ruleAt,
  runsOf,
} from '@rulecast/rules';

/** A verdict as `check --test --json` prints it. */
export interface OfflineAnswer {
  readonly action: 'accept' | 'drop' | 'none';
  /**
   * The policy that judged; null: none. Then `accept` and `drop` come from `common`, or from the setting for
   * unmatched qubes.
   */
  readonly policy: string | null;
  /** The block that the rule stands in; null: no rule decided. */
  readonly block: RuleBlock | null;
  /** The canonical line of the rule that decided; null: none did. */
  readonly rule: string | null;
  readonly list: string | null;
  readonly prefix: string | null;
}

/** A verdict, with fields shown to people only. */
export interface OfflineVerdict {
  readonly answer: OfflineAnswer | OfflineNameAnswer;
  readonly direction: string | undefined;
  readonly rulePolicy: string | undefined;
  readonly ruleIndex: number | undefined;
}

/** The verdict on the first packet of a flow at an enforcing firewall, with the exact rule. */
export function verdictOf(ruleSet: RuleSet, environment: Environment, packet: Packet): OfflineVerdict {
  const { action, by } = evaluateFlow(ruleSet, environment, packet);
  const origin = by?.rule;
  const answer = {
    action,
    policy: by?.policy ?? null,
    block: origin?.block ?? null,
    rule: ruleText(ruleSet, by?.direction ?? 'egress', origin),
    list: origin?.list ?? null,
    prefix: origin?.prefix === undefined ? null : formatPrefix(origin.prefix),
  };
  return { answer, direction: by?.direction, rulePolicy: origin?.policy, ruleIndex: origin?.index };
}

/**
 * The verdict on a name as `check --test --json` prints it; like that on a packet, with the fields of names.
 */
export interface OfflineNameAnswer extends Omit<OfflineAnswer, 'prefix'> {
  readonly answer: NameVerdict['answer'];
  /** The name that matched: the one asked for, or one that it is an alias of. */
  readonly name: string | null;
}

/** The verdict on a question, with the exact rule. */
export function nameVerdictOf(ruleSet: RuleSet, now: number, question: NameQuestion): OfflineVerdict {
  const { action, answer, policy, rule: origin } = evaluateName(ruleSet, { now }, question);
  return {
    answer: {
      action,
      answer,
      policy: policy ?? null,
      block: origin?.block ?? null,
      rule: ruleText(ruleSet, 'egress', origin),
      list: origin?.list ?? null,
      name: origin?.name ?? null,
    },
    direction: action === 'none' ? undefined : 'egress',
    rulePolicy: origin?.policy,
    ruleIndex: origin?.index,
  };
}

/** The canonical line of a rule. */
function ruleText(
  { policies }: RuleSet,
  direction: Direction,
  origin: { readonly policy: string; readonly block: RuleBlock; readonly index: number } | undefined,
): string | null {
  const owner = origin && policies.get(origin.policy);
  return owner === undefined || origin === undefined
    ? null
    : formatRule(ruleAt(runsOf(owner, direction, origin.block), origin.index), direction);
}
