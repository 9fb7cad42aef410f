/** Finds policies that accept every packet, from their rules alone. */

import {
  COMMON_POLICY,
  type Direction,
  type Family,
  FIRST_POLICY,
  formAt,
  isForAllQubes,
  type Policy,
  type RuleForm,
  type RuleSet,
  type Runs,
  runsOf,
} from '@rulecast/rules';

/** Names of the policies that accept any packet that qubes send; at most `most` of them. */
export function acceptingPolicies(
  ruleSet: RuleSet,
  now: number,
  most = Number.POSITIVE_INFINITY,
): readonly string[] {
  const accepting: string[] = [];
  for (const policy of ruleSet.policies.values()) {
    if (accepting.length === most) break;
    if (isForAllQubes(policy.name)) continue;
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

/** The rules that judge a packet of a policy, in their order. */
function blocksFor(ruleSet: RuleSet, policy: Policy, direction: Direction): readonly Runs[] {
  const [first, common] = [FIRST_POLICY, COMMON_POLICY].map((name) => ruleSet.policies.get(name));
  return [
    ...(first === undefined ? [] : [runsOf(first, direction)]),
    runsOf(policy, direction, 'exceptions'),
    ...(common === undefined ? [] : [runsOf(common, direction)]),
    runsOf(policy, direction),
  ];
}

/** Whether `first` drops every packet from qubes, whichever policy judges them. */
export function firstDropsAll({ policies }: RuleSet, now: number): boolean {
  const runs = policies.get(FIRST_POLICY)?.egress;
  if (runs === undefined) return false;
  return ([4, 6] as const).every((family) => {
    for (let run = 0; run < runs.count; run++) {
      const form = formAt(runs, run);
      const lengths = runs.lengths.subarray(runs.starts[run], runs.starts[run + 1]);
      if (!isOver(form, now) && !isNowhere(form, family) && isForAll(form, lengths)) return true;
    }
    return false;
  });
}

function isOver({ match }: RuleForm, now: number): boolean {
  return match.expire !== undefined && now >= match.expire;
}

/**
 * The rule matches no address of the family. Lists and names count as if they had addresses of both: their
 * content changes without the rules, and has guards of its own.
 */
function isNowhere({ remote }: RuleForm, family: Family): boolean {
  return remote.kind === 'prefixes' && remote.family !== family;
}

/** Whether the rule matches every packet of its family; `lengths` are those of its prefixes. */
function isForAll({ match, remote }: RuleForm, lengths: Uint8Array): boolean {
  const isPlain =
    match.proto === undefined && match.ports === undefined && match.icmpType === undefined && !match.dns;
  if (!isPlain) return false;
  return remote.kind === 'any' || (remote.kind === 'prefixes' && lengths.includes(0));
}
