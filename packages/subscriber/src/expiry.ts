/** When the rules of a rule set expire: the environment changes then, and the table is compiled anew. */

import type { RuleSet } from '@rulecast/rules';

/** The first expiry after `now` (both seconds since 1970), or undefined if no rule will expire. */
export function nextExpiry(ruleSet: RuleSet, now: number): number | undefined {
  let next: number | undefined;
  for (const policy of ruleSet.policies.values()) {
    for (const run of [...policy.egress, ...policy.ingress]) {
      const { expire } = run.match;
      if (expire !== undefined && expire > now && (next === undefined || expire < next)) next = expire;
    }
  }
  return next;
}
