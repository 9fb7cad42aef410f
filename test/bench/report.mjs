/** What every bench prints: the machine, medians, and a table of them. */

import { cpus, loadavg } from 'node:os';

/** @param {readonly number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? 0)) / 2;
}

/** The line that every published figure needs beside it. @param {number} runs */
export function machineLine(runs) {
  const model = cpus()[0]?.model ?? 'unknown CPU';
  return `${model}, ${cpus().length} cores, Node ${process.versions.node}, median of ${runs} runs, load average ${loadavg()[0]?.toFixed(1)} at the start\n`;
}

/** @param {readonly string[]} args @param {number} otherwise */
export function runsOf(args, otherwise) {
  const at = args.indexOf('--runs');
  const runs = at < 0 ? otherwise : Number(args[at + 1]);
  if (!Number.isSafeInteger(runs) || runs < 1) throw new RangeError('--runs takes a whole number from 1 on');
  return runs;
}

/**
 * What `--only` names, separated by commas; everything without it.
 * @param {readonly string[]} args
 * @param {readonly string[]} parts What there is to measure.
 */
export function partsOf(args, parts) {
  const at = args.indexOf('--only');
  const wanted = at < 0 ? parts : (args[at + 1] ?? '').split(',');
  if (!wanted.every((part) => parts.includes(part))) throw new RangeError(`--only takes ${parts.join(', ')}`);
  return wanted;
}

/** A table in Markdown. @param {readonly string[]} head @param {readonly (readonly string[])[]} rows */
export function table(head, rows) {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  /** @param {readonly string[]} cells */
  const line = (cells) =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join(' | ')} |\n`;
  return line(head) + line(widths.map((width) => '-'.repeat(width))) + rows.map(line).join('');
}

/** Milliseconds with as many digits as mean something. @param {number} ms */
export function ms(ms) {
  return ms >= 100 ? ms.toFixed(0) : ms >= 1 ? ms.toFixed(1) : ms.toFixed(2);
}

/** @param {number} count */
export function grouped(count) {
  return Math.round(count).toLocaleString('en-US');
}
