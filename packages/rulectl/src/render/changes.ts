/** The changes between two releases, part by part, and line by line. Pure. */

import type { ControlRecordOf } from '@rulecast/protocol';
import type { Colors } from '../terminal/terminal.ts';
import { formatCount } from './amounts.ts';
import { renderTable } from './table.ts';

const CHANGE_WORDS = { add: 'new', change: 'changed', remove: 'removed' } as const;

/** A table, one line a part; empty without changes. */
export function renderChanges(changes: readonly ControlRecordOf<'change'>[], colors: Colors): string {
  if (changes.length === 0) return '';
  const paint = { add: colors.green, change: colors.yellow, remove: colors.red };
  const rows = changes.map((change) => [
    partName(change),
    paint[change.op](CHANGE_WORDS[change.op]),
    formatCount(change.added),
    formatCount(change.removed),
    formatCount(change.unchanged),
  ]);
  return renderTable(['part', 'what', '+added', '-removed', 'unchanged'], rows, 2, colors);
}

/** A list, policy or the resolutions, as people name it. */
export function partName(part: { readonly kind: string; readonly name: string }): string {
  return part.name === '' ? part.kind : `${part.kind} ${part.name}`;
}

/** The line above the edits of one part. */
export function renderChangeHead(change: ControlRecordOf<'change'>, colors: Colors): string {
  const counts = `+${formatCount(change.added)} -${formatCount(change.removed)}`;
  return colors.bold(`${partName(change)} (${CHANGE_WORDS[change.op]}): ${counts}`);
}

/**
 * The lines of an edit, each with its sign; rules with their number, from 1, in the release that has them. A
 * long rule goes on in lines without a number.
 */
export function* editLines(edit: ControlRecordOf<'edit'>, colors: Colors): Generator<string> {
  const paint = edit.op === 'added' ? colors.green : colors.red;
  const sign = edit.op === 'added' ? '+' : '-';
  let number = (edit.index ?? 0) + 1;
  for (const line of edit.lines) {
    if (line.startsWith(' ')) yield paint(`${sign}   ${line.slice(1)}`);
    else yield paint(`${sign} ${aspectText(edit.aspect, number++)}${line}`);
  }
}

function aspectText(aspect: ControlRecordOf<'edit'>['aspect'], number: number): string {
  switch (aspect) {
    case 'egress':
    case 'ingress':
      return `${aspect} ${formatCount(number)}: `;
    case 'egress-exceptions':
      return `egress exception ${formatCount(number)}: `;
    case 'ingress-exceptions':
      return `ingress exception ${formatCount(number)}: `;
    case 'prefixes':
      return 'prefix ';
    case 'default':
      return 'default ';
    case 'exceptions':
      return 'exception ';
    case 'entries':
    case 'resolve':
    case 'addresses':
    case 'unmatched':
      return '';
  }
}
