/** The verdict on a packet or a name, and the rule that decided. Pure. */

import type { ControlRecordOf } from '@rulecast/protocol';
import type { RuleBlock } from '@rulecast/rules';
import type { Colors } from '../terminal/terminal.ts';
import { formatAge, formatCount } from './amounts.ts';

/** A verdict of a subscriber or of the reference evaluator. */
export interface VerdictView {
  readonly action: 'accept' | 'drop' | 'none';
  readonly direction?: string | undefined;
  /** The address that was taken for a policy. */
  readonly source?: string | undefined;
  readonly policy?: string | undefined;
  /** The policy of the rule, if it is not the one that judged. */
  readonly rulePolicy?: string | undefined;
  readonly block?: RuleBlock | undefined;
  readonly rule?: string | undefined;
  /** From 0. */
  readonly ruleIndex?: number | undefined;
  readonly list?: string | undefined;
  readonly prefix?: string | undefined;
  /** By which name the qube was told the address, and how long ago. */
  readonly told?: { readonly name: string; readonly agoS: number } | undefined;
  /** For a name: the kind of answer. */
  readonly answer?: string | undefined;
  /** The name that matched. */
  readonly name?: string | undefined;
  readonly subscriber?: string | undefined;
  readonly version?: number | undefined;
  /** The expected verdict in a packet file. */
  readonly expect?: string | undefined;
}

/** The fields of a subscriber's verdict that people see. */
export function viewOf(record: ControlRecordOf<'verdict'>): VerdictView {
  const { record: _kind, run: _run, hash: _hash, generation: _generation, ...view } = record;
  return view;
}

export function renderVerdict(packet: string, verdict: VerdictView, colors: Colors): string {
  const lines = [`${packet}: ${paintAction(verdict.action, colors)}`];
  const add = (label: string, value: string): void => {
    lines.push(`  ${label.padEnd(10)} ${value}`);
  };
  if (verdict.expect !== undefined && verdict.expect !== verdict.action)
    add('expected', colors.red(verdict.expect));
  if (verdict.answer !== undefined) add('answer', verdict.answer);
  if (verdict.subscriber !== undefined) {
    const version =
      verdict.version === undefined ? 'nothing applied yet' : `version ${formatCount(verdict.version)}`;
    add('subscriber', `${verdict.subscriber}, ${version}`);
  }
  if (verdict.source !== undefined) add('source', verdict.source);
  if (verdict.direction === undefined) {
    const isFlowless = verdict.action === 'drop';
    const what = verdict.answer === undefined ? 'packet' : 'name';
    add('policy', isFlowless ? 'none is asked: this packet begins no flow' : `none judges this ${what}`);
  } else {
    add('policy', `${verdict.policy ?? 'none names this qube'}, ${verdict.direction}`);
    add('rule', ruleText(verdict));
  }
  if (verdict.list !== undefined) add('list', verdict.list);
  if (verdict.prefix !== undefined) add('prefix', verdict.prefix);
  if (verdict.name !== undefined) add('name', verdict.name);
  const { told } = verdict;
  if (told !== undefined) add('resolved', `as ${told.name}, ${formatAge(told.agoS * 1000)} ago`);
  return lines.join('\n');
}

/** The rule that decided, and its place, or what decided without one. */
function ruleText({ policy, rulePolicy, block, rule, ruleIndex, action, answer }: VerdictView): string {
  if (rule === undefined && answer !== undefined) return `none matches: unlisted: ${answer} decides`;
  if (rule === undefined) {
    return policy === undefined
      ? `none matches: unmatched: ${action} decides`
      : 'none matches: the default action decides';
  }
  const owner = rulePolicy !== undefined && rulePolicy !== policy ? ` of ${rulePolicy}` : '';
  const what = block === 'exceptions' ? 'exception' : 'number';
  return ruleIndex === undefined ? rule : `${rule} (${what} ${formatCount(ruleIndex + 1)}${owner})`;
}

function paintAction(action: VerdictView['action'], colors: Colors): string {
  switch (action) {
    case 'accept':
      return colors.green(action);
    case 'drop':
      return colors.red(action);
    case 'none':
      return colors.yellow(action);
  }
}
