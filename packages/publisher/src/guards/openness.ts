/** Which policies accept anything at all. By looking at the rules, not at packets. */

import {
  COMMON_POLICY,
  type Direction,
  type Family,
  formAt,
  type Policy,
  type RuleForm,
  type RuleSet,
  type Runs,
  runsOf,
} from '@rulecast/rules';

/** Names of the policies by which anything that qubes send is accepted, of some so many. */
export function acceptingPolicies(
  ruleSet: RuleSet,
  now: number,
  most = Number.POSITIVE_INFINITY,
): readonly string[] {
  const accepting: string[] = [];
  for (const policy of ruleSet.policies.values()) {
    if (accepting.length === most) break;
    if (policy.name === COMMON_POLICY) continue;
    if (acceptsAnything(ruleSet, policy, 4, now) || acceptsAnything(ruleSet, policy, 6, now)) {
      accepting.push(policy.name);
    }
  }
  return accepting;
}

function acceptsAnything(ruleSet: RuleSet, policy: Policy, family: Family, now: number): boolean {
  for (const runs of blocksFor(ruleSet, policy, 'egress')) {
    for (let run = 0; run < runs.count; run++) {
      const form = formAt(runs, run);
      if (isOver(form, now) || isNowhere(form, family)) continue;
      if (form.match.action === 'accept') return true;
      if (isForAll(form, runs.lengths.subarray(runs.starts[run], runs.starts[run + 1]))) return false;
    }
  }
  return policy.defaultAction === 'accept';
}

/** The rules that judge for a policy, in their order. */
function blocksFor(ruleSet: RuleSet, policy: Policy, direction: Direction): readonly Runs[] {
  const common = ruleSet.policies.get(COMMON_POLICY);
  return [
    runsOf(policy, direction, 'exceptions'),
    ...(common === undefined ? [] : [runsOf(common, direction)]),
    runsOf(policy, direction),
  ];
}

function isOver({ match }: RuleForm, now: number): boolean {
  return match.expire !== undefined && now >= match.expire;
}

/**
 * No address of the family is meant. What lists and names hold is not asked: it changes without the rules,
 * and lists have guards of their own.
 */
function isNowhere({ remote }: RuleForm, family: Family): boolean {
  return remote.kind === 'prefixes' && remote.family !== family;
}

/** Every packet of its family is meant, by prefixes of these lengths if it has any. */
function isForAll({ match, remote }: RuleForm, lengths: Uint8Array): boolean {
  const isPlain =
    match.proto === undefined && match.ports === undefined && match.icmpType === undefined && !match.dns;
  if (!isPlain) return false;
  return remote.kind === 'any' || (remote.kind === 'prefixes' && lengths.includes(0));
}
