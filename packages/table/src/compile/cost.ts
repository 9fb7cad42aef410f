/** What compiling a rule set costs, guessed from sizes alone: whether it may run on the caller's thread. */

import { blocksOf, type List, type Policy, prefixCount, type RuleSet } from '@rulecast/rules';

/**
 * Our choice. An entry of IPv4 lists is the unit, 60 to 100 ns; 2^16 of them take 4 to 7 ms, about what
 * starting a thread and sending it the parts takes, and well below a stall that anybody notices.
 */
const SMALL_UNITS = 2 ** 16;
/** An IPv6 entry: wider keys, and a map of more levels. */
const IP6_UNITS = 4;
/** A run: a predicate, a program's candidate, and classes of its own. */
const RUN_UNITS = 16;

/** Whether so many entries more, of whatever kind, may be compiled on the caller's thread. */
export function isSmallGrowth(entries: number): boolean {
  return entries <= SMALL_UNITS;
}

/** Whether compiling takes a few milliseconds at most. Looks at no more parts than it needs to say no. */
export function isSmall(ruleSet: RuleSet): boolean {
  let units = 0;
  let runs = 0;
  for (const list of ruleSet.lists.values()) {
    units += listUnits(list);
    if (units > SMALL_UNITS) return false;
  }
  for (const { v4, v6 } of ruleSet.resolutions.values()) {
    units += RUN_UNITS + v4.lengths.length + v6.lengths.length * IP6_UNITS;
    if (units > SMALL_UNITS) return false;
  }
  for (const policy of ruleSet.policies.values()) {
    for (const block of blocksOf(policy)) runs += block.count;
    units += policyUnits(policy, SMALL_UNITS - units);
    if (units > SMALL_UNITS) return false;
  }
  // A program has a row per class. There are at most about two classes per entry, and one per set of runs.
  const classes = Math.min(2 * units, 2 ** Math.min(runs, 30));
  return units + classes * (ruleSet.policies.size + 1) * 2 <= SMALL_UNITS * 4;
}

function listUnits(list: List): number {
  if (list.kind === 'prefixes') return list.v4.lengths.length + list.v6.lengths.length * IP6_UNITS;
  return list.resolve === true ? list.names.count * RUN_UNITS : 0;
}

function policyUnits(policy: Policy, most: number): number {
  let units = prefixCount(policy.prefixes) * RUN_UNITS;
  for (const runs of blocksOf(policy)) {
    units += runs.count * RUN_UNITS;
    units += runs.words.length; // an IPv6 prefix has four
    if (units > most) return units;
  }
  return units;
}
