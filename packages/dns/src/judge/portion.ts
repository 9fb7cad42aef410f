/**
 * The part of a rule set that DNS needs: the qubes of each policy, the rules about names, and their lists.
 */

import {
  type DirectedRuns,
  formsChosen,
  isOfPrivateNames,
  NO_RULES,
  type Policy,
  type RuleSet,
  type Runs,
  usedLists,
} from '@rulecast/rules';
import { opensAnswered, subjectKey } from './program.ts';

/**
 * A smaller rule set with the same verdict on every name: without addresses except those of qubes, and
 * without rules about packets.
 */
export function portionOf(ruleSet: RuleSet): RuleSet {
  const chosen = (runs: Runs): Runs =>
    formsChosen(runs, (form) => subjectKey(form, ruleSet) !== undefined || opensAnswered(form));
  const directed = ({ egress }: DirectedRuns): DirectedRuns => ({
    egress: chosen(egress),
    ingress: NO_RULES,
  });
  const policies = new Map(
    [...ruleSet.policies].map(([name, policy]): [string, Policy] => {
      const { exceptions } = policy;
      return [
        name,
        { ...policy, defaultAction: 'drop', exceptions: directed(exceptions), ...directed(policy) },
      ];
    }),
  );
  const used = usedLists(policies.values());
  const lists = new Map(
    [...ruleSet.lists].filter(([name, list]) => used.has(name) || isOfPrivateNames(list)),
  );
  return { lists, policies, resolutions: new Map(), unmatched: ruleSet.unmatched };
}
