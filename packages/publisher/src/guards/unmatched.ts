/**
 * Guards of qubes outside all policies. A first release of policies without an action for them would open
 * every one of them, and the other family of the qubes it names; withdrawing the last policy would too. That
 * is refused until the rule set has `unmatched` or a default policy; no permit overrides it. Pure.
 */

import { leavesUnmatchedOpen, policyCount, saysAnything, UNMATCHED_CHOICE } from '@rulecast/rules';
import type { GuardedPush, GuardRefusal } from './refusal.ts';

/** Stable. */
export const UnmatchedGuardCode = {
  notSaid: 'unmatched-not-said',
  noPolicy: 'no-policy',
} as const;

/** The part named in refusals about those qubes. */
const PART = 'unmatched';

/**
 * Refusals of a push that changes the action for qubes outside all policies. A rule set already in force
 * without one keeps its meaning.
 */
export function unmatchedRefusals({ before, after }: GuardedPush): readonly GuardRefusal[] {
  const counts = { part: PART, before: policyCount(before), after: policyCount(after) };
  if (leavesUnmatchedOpen(after) && !leavesUnmatchedOpen(before)) {
    const reason = `nothing would say what happens to qubes that no policy names: ${UNMATCHED_CHOICE}`;
    return [{ guard: UnmatchedGuardCode.notSaid, ...counts, reason }];
  }
  if (saysAnything(before) && !saysAnything(after)) {
    const reason = `nothing would be said of any qube, and firewalls would go back to their boot mode: ${UNMATCHED_CHOICE}`;
    return [{ guard: UnmatchedGuardCode.notSaid, ...counts, reason }];
  }
  const refusals: GuardRefusal[] = [];
  if (counts.before > 0 && counts.after === 0) {
    const reason = `no policy would be left, and unmatched: ${after.unmatched} would decide alone`;
    refusals.push({ guard: UnmatchedGuardCode.noPolicy, ...counts, reason });
  }
  return refusals;
}
