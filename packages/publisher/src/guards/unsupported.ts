/**
 * Firewalls that cannot enforce a release, by their HELLO: their DNS or their version lacks something it
 * needs. They keep the release before, and skip every later one that needs the same. A firewall that never
 * connected is not counted. Pure.
 */

import { capabilitiesFor } from '@rulecast/protocol';
import type { RuleSet } from '@rulecast/rules';
import type { Firewall } from '@rulecast/sessions';
import { type Misfit, misfitOf } from '@rulecast/sessions/misfit';
import type { GuardedPush, GuardRefusal } from './refusal.ts';

/** The firewalls that cannot enforce a rule set. */
export function misfits(ruleSet: RuleSet, firewalls: readonly Firewall[]): readonly Misfit[] {
  const needed = capabilitiesFor(ruleSet);
  return firewalls.flatMap(({ name, capabilities }) => {
    const lacking = needed.filter((one) => !capabilities.includes(one));
    return lacking.length === 0 ? [] : [misfitOf(name, lacking)];
  });
}

/** Refuses a release for required firewalls that can take the current one and could not take this one. */
export function unsupportedRefusals({
  before,
  after,
  way,
  firewalls,
}: Pick<GuardedPush, 'before' | 'after' | 'way' | 'firewalls'>): readonly GuardRefusal[] {
  const required = firewalls.filter(({ isRequired }) => isRequired);
  if (required.length === 0) return [];
  const past = new Set(misfits(before, required).map(({ firewall }) => firewall));
  return misfits(after, required).flatMap(({ firewall, code: guard, text }) => {
    if (past.has(firewall)) return [];
    const reason = way === 'source' ? `held back: ${text}` : `${text}; permitted, it keeps what it has`;
    return [{ guard, part: `subscriber ${firewall}`, before: 0, after: 1, reason }];
  });
}
