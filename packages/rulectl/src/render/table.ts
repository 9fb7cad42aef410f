/** Tables without lines, which can be copied and piped. Pure. */

import stringWidth from 'string-width';
import type { Colors } from '../terminal/terminal.ts';

const BETWEEN = '  ';
/** The width of a terminal that nobody has made wider. */
const COLUMNS = 80;

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

/** As renderTable, in 80 columns. A name too long for its row stands above it; notes, if not empty, below. */
export function renderNarrowTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  notes: readonly string[],
  firstNumber: number | undefined,
  colors: Colors,
): string {
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map((row) => stringWidth(row[i] ?? ''))));
  const room = COLUMNS - widths.slice(1).reduce((sum, width) => sum + BETWEEN.length + width, 0);
  const above = rows.map(([name = '']) => (stringWidth(name) > room ? name : undefined));
  const short = rows.map((row, i) => (above[i] === undefined ? row : ['', ...row.slice(1)]));
  const [title = '', ...lines] = renderTable(head, short, firstNumber, colors).split('\n');
  return [title, ...lines.flatMap((line, i) => [above[i], line, notes[i]])].filter(Boolean).join('\n');
}

/** Lines of more than 80 columns broken between words; what follows is indented. */
export function folded(text: string): string {
  return text.split('\n').map(foldedLine).join('\n');
}

function foldedLine(line: string): string {
  const indent = `  ${/^ */.exec(line)?.[0]}`;
  const lines = [''];
  for (const word of line.match(/ *[^ ]+/g) ?? []) {
    const whole = `${lines.at(-1)}${word}`;
    if (stringWidth(whole) <= COLUMNS || lines.at(-1) === '') lines[lines.length - 1] = whole;
    else lines.push(`${indent}${word.trimStart()}`);
  }
  return lines.join('\n');
}
