/**
 * Guards of what happens to qubes that no policy names. A first release of policies that says nothing of them
 * would open every one of them, and the other family of those it names; so would withdrawing the last policy.
 * That is refused until the rule set says it; no permit takes its place. Pure.
 */

import { leavesUnmatchedOpen, policyCount, saysAnything, UNMATCHED_CHOICE } from '@rulecast/rules';
import type { GuardedPush, GuardRefusal } from './refusal.ts';

/** Stable. */
export const UnmatchedGuardCode = {
  notSaid: 'unmatched-not-said',
  noPolicy: 'no-policy',
} as const;

/** How refusals name what a rule set says of those qubes. */
const PART = 'unmatched';

/**
 * What a push would do to qubes that no policy names. A rule set in force that says nothing of them keeps its
 * meaning.
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
