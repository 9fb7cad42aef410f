/**
 * The kernel memory that a rule set needs, for programs that do not enforce: it is planned as if it were
 * enforced, and counted.
 */

import type { RuleSet } from '@rulecast/rules';
import { KERNEL_MIB, TABLES } from './limits.ts';
import { wholeChange } from './plan/change.ts';
import { kernelBytesOf } from './plan/memory.ts';
import { planOf } from './plan/planner.ts';

/** Default of `--kernel-mib`. */
export const KERNEL_MIB_DEFAULT = KERNEL_MIB;
/** The number of tables that share `--kernel-mib`: they take turns. */
export const TABLES_IN_TURN = TABLES.length;

const NO_TAG = { release: '', conditions: '', mark: 0 };

/**
 * The most bytes that one table takes. Throws RangeError if the rule set is beyond our limits for a kernel.
 */
export function kernelBytesFor(ruleSet: RuleSet): number {
  const { plan } = planOf({ ruleSet, environment: { now: 0, dns: [] } }, () => undefined);
  const { change, body } = wholeChange(plan, { tag: NO_TAG, downstreamGroup: 1, answer: 'reject' });
  return kernelBytesOf(change, Buffer.concat(body));
}
