/**
 * Which rule a counter `rule.POLICY.N` is about. N changes where rules before it come and go; what the
 * firewall counts by does not: what a run of rules has in common, and how many alike come before it. Pure.
 */

import { boundText, RULE_TEXT_MAX_BYTES } from '@rulecast/protocol';
import {
  type Action,
  type Direction,
  formatRule,
  formKey,
  type Policy,
  type RuleSet,
  type Runs,
  ruleAt,
  ruleCount,
  runOfRule,
  runsOf,
} from '@rulecast/rules';

export interface CountedRule {
  /** Equal as long as the firewall counts by the same counter. */
  readonly key: string;
  readonly policy: string;
  readonly direction: Direction;
  readonly isException: boolean;
  /** Of its first rule in the block, from 1; undefined: of all that are counted together, or the default. */
  readonly number: number | undefined;
  /** The canonical line of the first rule; else `accept` or `drop` (counted together), or `default`. */
  readonly rule: string;
  /** How many rules it stands for. */
  readonly rules: number;
  readonly action: Action;
}

const RULE_COUNTER = /^rule\.(.+)\.(in)?(x)?(accept|drop|default|[1-9]\d{0,6})$/;

/** What is known of the rules of one block. */
interface BlockRules {
  /** By run: how many of the same form come before it. */
  readonly before: Uint32Array;
  readonly byNumber: Map<number, CountedRule>;
}

export class RuleNames {
  readonly #blocks = new WeakMap<Runs, BlockRules>();

  /** Undefined for what this rule set has not. */
  of(counter: string, ruleSet: RuleSet): CountedRule | undefined {
    const [, name = '', ingress, exception, what = ''] = RULE_COUNTER.exec(counter) ?? [];
    const policy = ruleSet.policies.get(name);
    if (policy === undefined) return undefined;
    const direction: Direction = ingress === undefined ? 'egress' : 'ingress';
    const isException = exception !== undefined;
    const place = `${name} ${direction} ${isException ? 'exceptions ' : ''}`;
    if (/^[1-9]/.test(what)) return this.#numbered(policy, direction, isException, Number(what), place);
    const action = what === 'default' ? policy.defaultAction : (what as Action);
    const shared = { policy: name, direction, isException, number: undefined, rules: 0 };
    return { ...shared, key: `${place}${what}`, rule: what, action };
  }

  #numbered(
    policy: Policy,
    direction: Direction,
    isException: boolean,
    number: number,
    place: string,
  ): CountedRule | undefined {
    const runs = runsOf(policy, direction, isException ? 'exceptions' : 'own');
    if (number > ruleCount(runs)) return undefined;
    const block = this.#blocks.get(runs) ?? blockRules(runs);
    this.#blocks.set(runs, block);
    const known = block.byNumber.get(number);
    if (known !== undefined && known.policy === policy.name) return known;
    const run = runOfRule(runs, number - 1);
    const first = ruleAt(runs, number - 1);
    const made = {
      key: `${place}${formKey(runs.forms[runs.formOf[run] ?? 0]!)} ${block.before[run]}`, // each run has a form
      policy: policy.name,
      direction,
      isException,
      number,
      rule: boundText(formatRule(first, direction), RULE_TEXT_MAX_BYTES),
      rules: (runs.starts[run + 1] ?? number) - (number - 1),
      action: first.action,
    };
    block.byNumber.set(number, made);
    return made;
  }
}

function blockRules(runs: Runs): BlockRules {
  const seen = new Uint32Array(runs.forms.length);
  const before = new Uint32Array(runs.count);
  for (let run = 0; run < runs.count; run++) {
    const form = runs.formOf[run]!; // each run has a form
    before[run] = seen[form]!; // and each form a place
    seen[form] = before[run]! + 1;
  }
  return { before, byNumber: new Map() };
}
