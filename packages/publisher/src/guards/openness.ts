/** Which policies accept anything at all. By looking at the rules, not at packets. */

import {
  COMMON_POLICY,
  type Direction,
  type Family,
  type Policy,
  type RuleSet,
  type Run,
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
  for (const run of runsFor(ruleSet, policy, 'egress')) {
    if (isOver(run, now) || isNowhere(run, family)) continue;
    if (run.match.action === 'accept') return true;
    if (isForAll(run, family)) return false;
  }
  return policy.defaultAction === 'accept';
}

/** The rules that judge for a policy, in their order. */
function runsFor(ruleSet: RuleSet, policy: Policy, direction: Direction): readonly Run[] {
  const common = ruleSet.policies.get(COMMON_POLICY);
  return [
    ...runsOf(policy, direction, 'exceptions'),
    ...(common === undefined ? [] : runsOf(common, direction)),
    ...runsOf(policy, direction),
  ];
}

function isOver({ match }: Run, now: number): boolean {
  return match.expire !== undefined && now >= match.expire;
}

/**
 * No address of the family is meant. What lists and names hold is not asked: it changes without the rules,
 * and lists have guards of their own.
 */
function isNowhere({ remote }: Run, family: Family): boolean {
  return remote.kind === 'prefixes' && remote.prefixes.family !== family;
}

/** Every packet of the family is meant. */
function isForAll({ match, remote }: Run, family: Family): boolean {
  const isPlain =
    match.proto === undefined && match.ports === undefined && match.icmpType === undefined && !match.dns;
  if (!isPlain) return false;
  if (remote.kind === 'any') return true;
  return (
    remote.kind === 'prefixes' && remote.prefixes.family === family && remote.prefixes.lengths.includes(0)
  );
}
