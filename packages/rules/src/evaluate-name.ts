/**
 * The reference evaluator of names: the answer of the firewall's DNS to a qube's question, judged rule by
 * rule, slow and obvious. Every fast path is tested against it. docs/explain/names.md.
 *
 * It judges by the rules of egress that are about names, in the order in which packets are judged, and passes
 * over those about addresses. The first one that matches decides: an accept matches the name that is asked
 * for, a drop matches that and every name that it turns out to be an alias of.
 */

import { type Environment, judgingPolicy, timeFor } from './evaluate.ts';
import { namesOfFirewall } from './list.ts';
import type { NameSet } from './name-lookup.ts';
import { nameTermsOf } from './name-terms.ts';
import { nameTexts } from './names.ts';
import {
  type BlockedAnswer,
  COMMON_POLICY,
  FIRST_POLICY,
  type Policy,
  RULE_BLOCKS,
  type RuleBlock,
  runsOf,
} from './policy.ts';
import type { Address } from './prefix.ts';
import { isNarrowed, type RuleMatch } from './rule.ts';
import type { RuleSet } from './rule-set.ts';
import { formAt, type RuleForm } from './runs.ts';

/**
 * Mozilla's canary domain: a browser asks for this name to learn whether the network filters names, and if so
 * uses no resolver of its own. Every list that a rule drops by contains it, and the answer is NXDOMAIN.
 */
export const CANARY_NAME = 'use-application-dns.net';

/** A question for a name, and the qube that asks it. */
export interface NameQuestion {
  /**
   * The qube that asks, or the policy that judges it; undefined: a qube that no policy names.
   */
  readonly asker: Address | { readonly policy: string } | undefined;
  /** In normal form. */
  readonly name: string;
  /** The names that it is an alias of, as far as that is known. */
  readonly aliases: readonly string[];
}

export interface NameVerdict {
  /**
   * `accept`: it is answered, and packets to its addresses are judged as all are; `none`: it is, since nobody
   * judges this qube.
   */
  readonly action: 'accept' | 'drop' | 'none';
  /** The kind of the answer. */
  readonly answer: 'answer' | BlockedAnswer;
  /** The policy that judges the qube, or `first`; undefined: only `common`, or none. */
  readonly policy: string | undefined;
  /** Undefined: no rule matches, and the setting for unlisted names decides. */
  readonly rule: NameRuleOrigin | undefined;
}

export interface NameRuleOrigin {
  readonly policy: string;
  readonly block: RuleBlock;
  /** The index of the rule within that policy, block and egress, from 0. */
  readonly index: number;
  /** The list that holds the name, for a rule with a list. */
  readonly list: string | undefined;
  /** The name that matched: the one asked for, or one that it is an alias of. */
  readonly name: string;
}

/** Whether a list has a name. */
export type Stands = (names: NameSet, name: string) => boolean;

/**
 * Judges a question for a name. Linear in the rules of the policies that judge it, and in their lists unless
 * `stands` is a faster lookup.
 */
export function evaluateName(
  ruleSet: RuleSet,
  time: Omit<Environment, 'dns'>,
  question: NameQuestion,
  stands: Stands = standsByAll,
): NameVerdict {
  const policy = askerPolicy(ruleSet, question.asker);
  const terms = nameTermsOf(ruleSet.policies, policy);
  const blocked = question.name === CANARY_NAME ? 'nxdomain' : terms.blocked;
  const first = ruleSet.policies.get(FIRST_POLICY);
  const dropped = first && firstMatch(ruleSet, time, question, first, 'own', stands);
  if (dropped !== undefined)
    return { action: 'drop', answer: blocked, policy: FIRST_POLICY, rule: dropped.rule };
  if (policy === undefined && ruleSet.unmatched === undefined)
    return { action: 'none', answer: 'answer', policy: undefined, rule: undefined };
  for (const block of RULE_BLOCKS) {
    const source = block === 'common' ? ruleSet.policies.get(COMMON_POLICY) : policy;
    const found = source && firstMatch(ruleSet, time, question, source, block, stands);
    if (found === undefined) continue;
    const answer = found.action === 'accept' ? 'answer' : blocked;
    return { action: found.action, answer, policy: policy?.name, rule: found.rule };
  }
  const answer = terms.unlisted;
  return {
    action: answer === 'answer' ? 'accept' : 'drop',
    answer,
    policy: policy?.name,
    rule: undefined,
  };
}

function askerPolicy(ruleSet: RuleSet, asker: NameQuestion['asker']): Policy | undefined {
  if (asker !== undefined && 'policy' in asker) return ruleSet.policies.get(asker.policy);
  return judgingPolicy(ruleSet, asker, 'egress');
}

function firstMatch(
  ruleSet: RuleSet,
  time: Omit<Environment, 'dns'>,
  { name, aliases }: NameQuestion,
  policy: Policy,
  block: RuleBlock,
  stands: Stands,
): { readonly action: RuleMatch['action']; readonly rule: NameRuleOrigin } | undefined {
  const runs = runsOf(policy, 'egress', block);
  for (let run = 0; run < runs.count; run++) {
    const form = formAt(runs, run);
    const { action, expire } = form.match;
    const isInForce = expire === undefined || timeFor(action, time) < expire;
    const asked = action === 'accept' ? [name] : [name, ...aliases];
    const held = isInForce ? asked.find((one) => holds(ruleSet, form, one, stands)) : undefined;
    if (held === undefined) continue;
    const list = form.remote.kind === 'list' ? form.remote.list : undefined;
    return { action, rule: { policy: policy.name, block, index: runs.starts[run]!, list, name: held } }; // a run
  }
  return undefined;
}

/**
 * Whether a rule is about a name. A drop that is narrowed to a protocol or ports is about packets: DNS has no
 * ports, and a name that is blocked is blocked for all of them.
 */
function holds(ruleSet: RuleSet, { match, remote }: RuleForm, name: string, stands: Stands): boolean {
  if (match.action === 'drop' && isNarrowed(match)) return false;
  switch (remote.kind) {
    case 'name':
      return remote.name === name;
    case 'list': {
      const names = namesOfFirewall(ruleSet.lists.get(remote.list));
      if (names === undefined) return false;
      return (match.action === 'drop' && name === CANARY_NAME) || stands(names, name);
    }
    default:
      return false;
  }
}

/** Checks every entry and exception, one by one; of those that apply to the name the longest decides. */
function standsByAll({ names, exceptions }: NameSet, name: string): boolean {
  const labels = (text: string): number => text.replace(/^\*?\./, '').split('.').length;
  const nearest = (texts: Iterable<string>): number => {
    const standing = [...texts].filter((text) => standsForName(text, name));
    return Math.max(0, ...standing.map(labels));
  };
  return nearest(nameTexts(names)) > nearest(nameTexts(exceptions));
}

function standsForName(text: string, name: string): boolean {
  if (text.startsWith('*.')) return name.endsWith(text.slice(1));
  return text === name || text === `.${name}` || (text.startsWith('.') && name.endsWith(text));
}
