/**
 * Guards of what happens to qubes that no policy names. A first release of policies that says nothing of them
 * would open every one of them, and the other family of those it names; so would withdrawing the last policy.
 * That is refused until the rule set says it; no permit takes its place. Pure.
 */

import {
  DEFAULT_POLICY,
  leavesUnmatchedOpen,
  type RuleSet,
  saysAnything,
  UNMATCHED_CHOICE,
} from '@rulecast/rules';
import { acceptsAll } from './openness.ts';
import type { GuardedPush, GuardRefusal } from './refusal.ts';

/** Stable. */
export const UnmatchedGuardCode = {
  notSaid: 'unmatched-not-said',
  noPolicy: 'no-policy',
  opened: 'accept-all',
} as const;

/** How refusals name what a rule set says of those qubes. */
const PART = 'unmatched';

/**
 * What a push would do to qubes that no policy names. A rule set in force that says nothing of them keeps its
 * meaning.
 */
export function unmatchedRefusals({ before, after, isFirst, now }: GuardedPush): readonly GuardRefusal[] {
  const counts = { part: PART, before: before.policies.size, after: after.policies.size };
  if (leavesUnmatchedOpen(after) && !leavesUnmatchedOpen(before)) {
    const reason = `nothing would say what happens to qubes that no policy names: ${UNMATCHED_CHOICE}`;
    return [{ guard: UnmatchedGuardCode.notSaid, permit: undefined, ...counts, reason }];
  }
  if (saysAnything(before) && !saysAnything(after)) {
    const reason = `nothing would be said of any qube, and firewalls would go back to their boot mode: ${UNMATCHED_CHOICE}`;
    return [{ guard: UnmatchedGuardCode.notSaid, permit: undefined, ...counts, reason }];
  }
  const refusals: GuardRefusal[] = [];
  if (before.policies.size > 0 && after.policies.size === 0) {
    const reason = `no policy would be left, and unmatched: ${after.unmatched} would decide alone: if that is meant, add --allow-no-policy`;
    refusals.push({ guard: UnmatchedGuardCode.noPolicy, permit: 'no-policy', ...counts, reason });
  }
  if (!isFirst && opens(before, after, now)) {
    const reason =
      'what qubes send that no policy names would be left to the other tables of the firewall (unmatched: accept): if that is meant, add --allow-accept-all';
    refusals.push({
      guard: UnmatchedGuardCode.opened,
      part: PART,
      permit: 'accept-all',
      before: 0,
      after: 1,
      reason,
    });
  }
  return refusals;
}

/** Whether those qubes were held back by what was in force, and would not be. */
function opens(before: RuleSet, after: RuleSet, now: number): boolean {
  if (after.unmatched !== 'accept' || after.policies.has(DEFAULT_POLICY)) return false;
  const policy = before.policies.get(DEFAULT_POLICY);
  if (policy === undefined) return before.unmatched === 'drop';
  return ([4, 6] as const).some((family) => !acceptsAll(before, policy, 'egress', family, now));
}
