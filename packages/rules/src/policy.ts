/** Policies: the ordered rules of some qubes, kept as runs. */

import { samePrefixes } from './prefix.ts';
import { EMPTY_PREFIX_SET, type PrefixSet } from './prefix-set.ts';
import type { Action, Direction } from './rule.ts';
import { NO_RULES, type RuleForm, type Runs, ruleCount, sameRuns } from './runs.ts';

/**
 * The policy that judges egress of qubes with no policy of their own. It has no prefixes and no ingress
 * rules.
 */
export const DEFAULT_POLICY = 'default';
/**
 * The policy whose rules come before every other policy's own. It has no prefixes and no exceptions; its
 * default action is unused.
 */
export const COMMON_POLICY = 'common';
/**
 * The policy whose rules come before everything else, for every qube, even one without a policy. It has drops
 * alone: no prefixes, no exceptions, no default action, and neither `blocked` nor `unlisted`.
 */
export const FIRST_POLICY = 'first';

/** The policy `first`, whose rules all drop: an accept, which no sound one has, would open for all qubes. */
export function firstPolicyOf(policies: ReadonlyMap<string, Policy>): Policy | undefined {
  const first = policies.get(FIRST_POLICY);
  const drops = (runs: Runs): Runs =>
    runs.forms.every(({ match }) => match.action === 'drop')
      ? runs
      : { ...runs, forms: runs.forms.map((form) => ({ ...form, match: { ...form.match, action: 'drop' } })) };
  return first && { ...first, egress: drops(first.egress), ingress: drops(first.ingress) };
}

/** Whether the rules of a policy of this name apply to all qubes; the policy itself judges none. */
export function isForAllQubes(name: string): boolean {
  return name === FIRST_POLICY || name === COMMON_POLICY;
}

/** Rules of both directions, in the order in which they are judged. */
export interface DirectedRuns {
  readonly egress: Runs;
  readonly ingress: Runs;
}

export interface Policy extends DirectedRuns {
  readonly name: string;
  /** The addresses of the qubes it is for. */
  readonly prefixes: PrefixSet;
  /** The action when no rule matches. */
  readonly defaultAction: Action;
  /** Rules judged before those of `common`, which come before the policy's own. */
  readonly exceptions: DirectedRuns;
  /**
   * How DNS answers names that are blocked, and names in no rule; if absent, nameTermsOf has the defaults.
   */
  readonly blocked?: BlockedAnswer;
  readonly unlisted?: UnlistedAnswer;
}

/** The answer to a blocked name: NXDOMAIN, REFUSED, or the null address. */
export type BlockedAnswer = 'nxdomain' | 'refused' | 'null';
export type UnlistedAnswer = 'answer' | 'nxdomain';

/**
 * The blocks of rules that judge a qube after `first`, in their order; the judging policy's default action
 * comes after the last. `exceptions` and `own` are the judging policy's, `common` are the rules of the policy
 * of that name. If `first` decides, it counts as the judging policy, and the rule as its own.
 */
export const RULE_BLOCKS = ['exceptions', 'common', 'own'] as const;
export type RuleBlock = (typeof RULE_BLOCKS)[number];

export const NO_RUNS: DirectedRuns = { egress: NO_RULES, ingress: NO_RULES };

/** A policy with no rules and no prefixes, to build others from. */
export function emptyPolicy(name: string): Policy {
  return { name, prefixes: EMPTY_PREFIX_SET, defaultAction: 'drop', exceptions: NO_RUNS, ...NO_RUNS };
}

/** The runs that stand in one block of a policy; those of `common` are `common`'s own. */
export function runsOf(policy: Policy, direction: Direction, block: RuleBlock = 'own'): Runs {
  const runs = block === 'exceptions' ? policy.exceptions : policy;
  return direction === 'egress' ? runs.egress : runs.ingress;
}

/** The blocks of a policy in all directions. */
export function blocksOf({ exceptions, egress, ingress }: Policy): readonly Runs[] {
  return [exceptions.egress, exceptions.ingress, egress, ingress];
}

/** The forms of all rules of some policies. */
export function* formsOf(policies: Iterable<Policy>): Generator<RuleForm> {
  for (const policy of policies) for (const { forms } of blocksOf(policy)) yield* forms;
}

/** The number of rules in a policy, exceptions included. */
export function policyRuleCount(policy: Policy): number {
  return blocksOf(policy).reduce((sum, runs) => sum + ruleCount(runs), 0);
}

/** Whether a policy judges what goes to its qubes: it has rules for that, be they exceptions only. */
export function judgesIngress({ exceptions, ingress }: Policy): boolean {
  return exceptions.ingress.count + ingress.count > 0;
}

/**
 * `after`, but sharing each block of `before` that has the same rules, so that results cached for it stay
 * valid; `before` itself if nothing differs.
 */
export function policyOfSameRuns(before: Policy, after: Policy): Policy {
  const old = blocksOf(before);
  const shared = blocksOf(after).map((runs, at) => (sameRuns(old[at] ?? NO_RULES, runs) ? old[at]! : runs)); // as many
  if (shared.every((runs, at) => runs === old[at]) && sayTheSame(before, after)) return before;
  const [first = NO_RULES, second = NO_RULES, egress = NO_RULES, ingress = NO_RULES] = shared;
  return { ...after, exceptions: { egress: first, ingress: second }, egress, ingress };
}

/** Whether two policies are alike but for their runs. */
function sayTheSame(a: Policy, b: Policy): boolean {
  return (
    a.name === b.name &&
    a.defaultAction === b.defaultAction &&
    a.blocked === b.blocked &&
    a.unlisted === b.unlisted &&
    samePrefixes(a.prefixes.v4, b.prefixes.v4) &&
    samePrefixes(a.prefixes.v6, b.prefixes.v6)
  );
}
