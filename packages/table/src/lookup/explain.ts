/**
 * Explaining a verdict: from the run that the table found to the exact rule, list member and prefix, as the
 * reference evaluator names them. Only the run that decided is searched.
 */

import {
  type Address,
  columnFor,
  containsAt,
  formatRule,
  memberContaining,
  NO_RULES,
  nameTexts,
  type Packet,
  type Prefix,
  type PrefixSet,
  prefixAt,
  type RuleOrigin,
  type RuleSet,
  type Run,
  type Runs,
  resolutionOf,
  ruleAt,
  runAt,
  runsOf,
  type Verdict,
} from '@rulecast/rules';
import type { TableVerdict } from './verdict.ts';

export interface Explanation {
  /** Equal to the result of `evaluate`. */
  readonly verdict: Verdict;
  /** The deciding rule as a canonical line; undefined where no rule decided. */
  readonly rule: string | undefined;
  readonly generation: number;
}

/** Explains the table's verdict on a packet; `ruleSet` is the one it was compiled from. */
export function explainVerdict(ruleSet: RuleSet, packet: Packet, found: TableVerdict): Explanation {
  const { action, direction, policy, generation } = found;
  if (direction === undefined) {
    return { verdict: { action, by: undefined }, rule: undefined, generation };
  }
  const runs = runsOfVerdict(ruleSet, found);
  const run = found.run === undefined || found.run >= runs.count ? undefined : runAt(runs, found.run);
  if (
    found.rulePolicy === undefined ||
    found.block === undefined ||
    found.run === undefined ||
    run === undefined
  ) {
    return { verdict: { action, by: { direction, policy, rule: undefined } }, rule: undefined, generation };
  }
  const remote = direction === 'egress' ? packet.dst : packet.src;
  const hit = locate(ruleSet, run, remote);
  const index = runs.starts[found.run]! + hit.offset; // one of its runs
  const rule: RuleOrigin = {
    policy: found.rulePolicy,
    block: found.block,
    run: found.run,
    index,
    list: found.list,
    prefix: hit.prefix,
  };
  const line = formatRule(ruleAt(runs, index), direction);
  return { verdict: { action, by: { direction, policy, rule } }, rule: line, generation };
}

/** The same of a verdict by the reference evaluator. */
export function explainTold(ruleSet: RuleSet, verdict: Verdict, generation: number): Explanation {
  const { by } = verdict;
  const policy = by?.rule === undefined ? undefined : ruleSet.policies.get(by.rule.policy);
  if (by?.rule === undefined || policy === undefined) return { verdict, rule: undefined, generation };
  const rule = ruleAt(runsOf(policy, by.direction, by.rule.block), by.rule.index);
  return { verdict, rule: formatRule(rule, by.direction), generation };
}

function runsOfVerdict(ruleSet: RuleSet, { rulePolicy, block, direction }: TableVerdict): Runs {
  const policy = rulePolicy === undefined ? undefined : ruleSet.policies.get(rulePolicy);
  return policy === undefined || direction === undefined ? NO_RULES : runsOf(policy, direction, block);
}

/** The rule of a run that holds an address, by its offset within the run, and the prefix that does. */
function locate(
  ruleSet: RuleSet,
  { remote }: Run,
  address: Address | undefined,
): { readonly offset: number; readonly prefix: Prefix | undefined } {
  if (remote.kind === 'any' || address === undefined) return { offset: 0, prefix: undefined };
  switch (remote.kind) {
    case 'prefixes': {
      const { prefixes } = remote;
      for (let offset = 0; offset < prefixes.lengths.length; offset++) {
        if (containsAt(prefixes, offset, address.words, 0))
          return { offset, prefix: prefixAt(prefixes, offset) };
      }
      return { offset: 0, prefix: undefined };
    }
    case 'name':
      return { offset: 0, prefix: memberOf(resolutionOf(ruleSet, remote.name), address) };
    case 'list':
      return { offset: 0, prefix: listMember(ruleSet, remote.list, address) };
  }
}

/** The member of a list that holds an address; of a list of names, the widest of all that they resolve to. */
function listMember(ruleSet: RuleSet, name: string, address: Address): Prefix | undefined {
  const list = ruleSet.lists.get(name);
  if (list === undefined || list.kind === 'prefixes') return list && memberOf(list, address);
  let widest: Prefix | undefined;
  for (const host of nameTexts(list.names)) {
    const member = memberOf(resolutionOf(ruleSet, host), address);
    if (member !== undefined && (widest === undefined || member.length < widest.length)) widest = member;
  }
  return widest;
}

function memberOf(set: PrefixSet, address: Address): Prefix | undefined {
  const column = columnFor(set, address.family);
  const index = memberContaining(column, address.words);
  return index < 0 ? undefined : prefixAt(column, index);
}
