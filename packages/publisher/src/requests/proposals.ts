/** What `rulectl allow` could open, for the refused qube alone. CONTROL.md "record refused". Pure. */

import { isPublicSuffix } from '@rulecast/formats/public-suffix';
import { addressFromBytes, type WireRefused } from '@rulecast/protocol';
import { FIRST_POLICY, formatAddress, type RuleSet } from '@rulecast/rules';
import { baseOf, ownPolicies } from '../blocks/compile.ts';
import { isCutLine } from '../blocks/mark.ts';
import { targetOf } from '../blocks/rows.ts';

/**
 * The name, or else the address, to allow, by the release at the head. Undefined if no rule refused it, if it
 * is accepted by now, if `first` drops it or the qube is cut off, and if the qube's policy is shared with
 * others.
 */
export function proposalFor(refused: WireRefused, head: RuleSet | undefined): string | undefined {
  const { reason, direction, qube, remote, name = '', verdict } = refused;
  if ((reason !== 'rule' && reason !== 'name') || direction !== 'egress' || head === undefined)
    return undefined;
  if (verdict?.action !== 'drop' || verdict.policy === FIRST_POLICY || isCutLine(verdict.rule))
    return undefined;
  if (!ownPolicies(baseOf(head)).has(formatAddress(addressFromBytes(qube)))) return undefined;
  if (targetOf(name)?.kind === 'name' && !isPublicSuffix(name)) return name;
  return reason === 'name' || remote === undefined ? undefined : formatAddress(addressFromBytes(remote));
}
