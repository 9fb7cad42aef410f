/** Tables without lines. Pure. */

import Table from 'cli-table3';
import type { Colors } from '../terminal/terminal.ts';

const NO_LINES = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
};

/** Columns without lines, which survive being copied and piped; from `firstNumber` on they are numbers. */
export function renderTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  firstNumber: number | undefined,
  colors: Colors,
): string {
  const table = new Table({
    chars: NO_LINES,
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
    colAligns: head.map((_, i) => (firstNumber !== undefined && i >= firstNumber ? 'right' : 'left')),
  });
  table.push(
    head.map((text) => colors.bold(text)),
    ...rows.map((row) => [...row]),
  );
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}
