/** The lists and rules that contain an address, a prefix or a name, and the verdict, a line each. Pure. */

import type { ControlRecordOf } from '@rulecast/protocol';
import { shownName } from '../terminal/input.ts';
import type { Colors } from '../terminal/terminal.ts';
import { formatCount } from './amounts.ts';

const DECIDES = { rest: 'decides', some: 'decides some of it', nothing: 'decides nothing' } as const;
const HOW = {
  all: '',
  part: 'a part, ',
  below: 'only below it, ',
  excepted: 'not, for it excepts ',
} as const;
/** What decides if no rule does. */
const OTHERWISE = {
  default: 'the default action of the policy',
  unmatched: 'unmatched',
  unlisted: 'unlisted: no rule names it',
  nobody: 'nobody judges these',
} as const;

export function renderHolder(holder: ControlRecordOf<'holder'>, colors: Colors): string {
  const { name, how, entries, more, source, origin, used, published } = holder;
  const from = source === 'push' ? 'pushed' : `${source} ${shownName(origin)}`.trim();
  const use = published ? (used ? '' : ', no rule uses it') : ', an operand of other lists';
  return `${colors.bold(`list ${name}`)} (${from}${use}): ${HOW[how]}${entries.join(', ')}${more ? ' and more' : ''}`;
}

export function renderDecision(decision: ControlRecordOf<'decision'>, colors: Colors): string {
  const { policy, direction, action, by, rules } = decision;
  const whose = policy === undefined ? 'qubes that no policy names' : `qubes of policy ${policy}`;
  const paint = { accept: colors.green, drop: colors.red, none: colors.yellow };
  const why = by === 'rule' ? '' : `, ${OTHERWISE[by]}`;
  const count = rules > 1 ? `, ${formatCount(rules)} rules have it` : '';
  return `${whose}, ${direction}: ${paint[action](action)}${why}${count}`;
}

export function renderStep(step: ControlRecordOf<'step'>, colors: Colors): string {
  const { rulePolicy, block, rule, ruleIndex, entry, how, decides } = step;
  const what = block === 'exceptions' ? 'exception' : 'rule';
  const held = entry === undefined ? '' : ` (${how === 'all' ? '' : `${how}: `}${entry})`;
  const text = `  ${rulePolicy} ${what} ${formatCount(ruleIndex + 1)}: ${rule}${held}: ${DECIDES[decides]}`;
  return decides === 'rest' ? colors.bold(text) : text;
}
