/** The judge of a rule set, made at once. */

import type { RuleSet } from '@rulecast/rules';
import { NameJudge } from '../src/judge/judge.ts';

export function judgeOf(ruleSet: RuleSet): NameJudge {
  const steps = NameJudge.of(ruleSet, new Uint8Array(16));
  for (;;) {
    const { done, value } = steps.next();
    if (done !== true) continue;
    if (typeof value !== 'object') throw new TypeError(value);
    return value;
  }
}
