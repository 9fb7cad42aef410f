/**
 * The rule set in force before the first release, and under a release that decides nothing: it drops or
 * accepts everything, in both directions.
 */

import {
  type Action,
  EMPTY_PREFIX_SET,
  NO_RULES,
  NO_RUNS,
  type Policy,
  parsePrefix,
  plainRule,
  prefixSetOf,
  type RuleSet,
  runsOfEach,
} from '@rulecast/rules';

/** The name that verdicts show before the first release. */
const BOOT_POLICY = 'boot';

export function bootRuleSet(action: Action): RuleSet {
  const everything = prefixSetOf(['0.0.0.0/0', '::/0'].map(prefixFrom));
  const { remote, ...match } = plainRule(action);
  const any = { match, remote };
  const boot: Policy = {
    name: BOOT_POLICY,
    prefixes: everything,
    defaultAction: action,
    exceptions: NO_RUNS,
    egress: NO_RULES,
    ingress: runsOfEach([any]),
  };
  const otherwise: Policy = { ...boot, name: 'default', prefixes: EMPTY_PREFIX_SET, ingress: NO_RULES };
  return {
    lists: new Map(),
    policies: new Map([
      [boot.name, boot],
      [otherwise.name, otherwise],
    ]),
    resolutions: new Map(),
    unmatched: undefined,
  };
}

function prefixFrom(text: string): Exclude<ReturnType<typeof parsePrefix>, string> {
  const prefix = parsePrefix(text);
  if (typeof prefix === 'string') throw new TypeError(text);
  return prefix;
}
