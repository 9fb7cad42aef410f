/** The blocks, allows and cuts beside the pushed rules. Pure. */

import type { ControlRecordOf } from '@rulecast/protocol';
import { shownName } from '../terminal/input.ts';
import type { Colors } from '../terminal/terminal.ts';
import { formatAge, formatTime, NOTHING } from './amounts.ts';
import { renderTable } from './table.ts';

/** A table, one line a row; `nowMs`: milliseconds since 1970. */
export function renderBlocks(
  rows: readonly ControlRecordOf<'block'>[],
  nowMs: number,
  colors: Colors,
): string {
  const lines = rows.map(({ row, verb, target, qube, untilMs, by, atMs, comment }) => [
    `${row}`,
    verb === 'allow' ? colors.green(verb) : colors.red(verb),
    target ?? 'everything',
    qube ?? 'all qubes',
    untilMs === undefined
      ? 'it is removed'
      : `${formatTime(untilMs)} (in ${formatAge(Math.max(0, untilMs - nowMs))})`,
    shownName(by),
    formatTime(atMs),
    comment ?? NOTHING,
  ]);
  const head = ['row', 'what', 'target', 'for', 'until', 'by', 'since', 'comment'];
  return renderTable(head, lines, undefined, colors);
}
