/** What a rule set takes of the kernel, for those who enforce none: planned as it would be, and counted. */

import type { RuleSet } from '@rulecast/rules';
import { KERNEL_MIB, TABLES } from './limits.ts';
import { wholeChange } from './plan/change.ts';
import { kernelBytesOf } from './plan/memory.ts';
import { planOf } from './plan/planner.ts';

/** Default of `--kernel-mib`. */
export const KERNEL_MIB_DEFAULT = KERNEL_MIB;
/** How many tables share what `--kernel-mib` grants: they take turns. */
export const TABLES_IN_TURN = TABLES.length;

const NO_TAG = { release: '', conditions: '', mark: 0 };

/** Bytes at most, of one table. Throws RangeError for what goes beyond what is loaded into a kernel. */
export function kernelBytesFor(ruleSet: RuleSet): number {
  const { plan } = planOf({ ruleSet, environment: { now: 0, dns: [] } }, () => undefined);
  const { change, body } = wholeChange(plan, { tag: NO_TAG, downstreamGroup: 1, answer: 'reject' });
  return kernelBytesOf(change, Buffer.concat(body));
}
