/**
 * Marks of what rows become in a rule set: comments of rules, and names of lists and policies. Pushed
 * documents may use neither, so the pushed part can be told from the rule set alone.
 */

import { parseAddress } from '@rulecast/rules';

/** A rule of rows; of a `cut`, with the policy that the address was taken out of. */
const COMMENT = /^rulectl (?:block|allow|cut) \d+(?: of ([A-Za-z0-9._-]+))?(?: and \d+ more)?(?:: .*)?$/;
const LIST = /^rulectl\.(?:block|allow)\./;
const CUT_POLICY = /^rulectl\.cut\./;

export function isMark(comment: string | undefined): boolean {
  return comment !== undefined && COMMENT.test(comment);
}

/** Whether the canonical line of a rule is that of a `cut`. */
export function isCutLine(line: string | undefined): boolean {
  return line !== undefined && / comment=rulectl cut \d/.test(line);
}

/** The policy that a `cut` overrides for the address, read from the mark's comment. */
export function holderIn(comment: string | undefined): string | undefined {
  return comment === undefined ? undefined : COMMENT.exec(comment)?.[1];
}

export function isRowsList(name: string): boolean {
  return LIST.test(name);
}

/** Whether it is the policy made for the address of a cut that has none of its own. */
export function isCutPolicy(name: string): boolean {
  return CUT_POLICY.test(name);
}

/** The name of the list that gathers rows with the same verb, qube and expiry; 0: no expiry. */
export function rowsListName(verb: string, qube?: string, until = 0): string {
  return ['rulectl', verb, ...(qube === undefined ? [] : [partNameOf(qube)]), until].join('.');
}

export function cutPolicyName(qube: string): string {
  return `rulectl.cut.${partNameOf(qube)}`;
}

/** An address in the letters of names, which have no colon: of IPv6 its 32 digits. */
function partNameOf(qube: string): string {
  const address = parseAddress(qube);
  if (address?.family !== 6) return qube;
  return Array.from(address.words, (word) => word.toString(16).padStart(8, '0')).join('');
}
