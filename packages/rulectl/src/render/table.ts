/** Tables without lines, which can be copied and piped. Pure. */

import stringWidth from 'string-width';
import type { Colors } from '../terminal/terminal.ts';

const BETWEEN = '  ';

/** Columns under a head, as wide as people see them; from `firstNumber` on they are numbers. */
export function renderTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  firstNumber: number | undefined,
  colors: Colors,
): string {
  const lines = [head.map((text) => colors.bold(text)), ...rows];
  const widths = head.map(() => 0);
  for (const line of lines) {
    for (const [i, text] of line.entries()) widths[i] = Math.max(widths[i] ?? 0, stringWidth(text));
  }
  return lines
    .map((line) => {
      const cells = line.map((text, i) => {
        const blanks = ' '.repeat((widths[i] ?? 0) - stringWidth(text));
        return firstNumber !== undefined && i >= firstNumber ? blanks + text : text + blanks;
      });
      return cells.join(BETWEEN).trimEnd();
    })
    .join('\n');
}
