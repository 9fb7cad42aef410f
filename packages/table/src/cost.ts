/** The size of a rule set's table, for programs without one: it is compiled, and measured. */

import type { RuleSet } from '@rulecast/rules';
import { compileImage } from './image/image.ts';
import { DEFAULT_TABLE_LIMITS } from './limits.ts';

/** The size of one generation in bytes. Throws TableLimitError. */
export function tableBytesFor(ruleSet: RuleSet): number {
  return compileImage(ruleSet, { now: 0, dns: [] }, DEFAULT_TABLE_LIMITS).sizes.bytes;
}
