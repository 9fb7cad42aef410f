/** A tried list, for people. Pure. */

import type { Colors } from '../terminal/terminal.ts';
import { formatAmount, formatCount } from './amounts.ts';
import { leftOutText } from './file.ts';

/** The record of `lists try --json`. Shares are from 0 to 1. */
export interface TriedRecord extends Costs {
  readonly source: string;
  readonly formats: readonly string[];
  readonly holds: 'prefixes' | 'names';
  readonly entries: number;
  /** Entries of IPv4. */
  readonly entries4?: number;
  readonly entries6?: number;
  /** Share of the addresses that the Internet can reach. */
  readonly share4?: number;
  readonly share6?: number;
  readonly rejects: number;
  /** The first rejects, with their places. */
  readonly rejected: readonly string[];
  readonly leftOut: readonly { readonly code: string; readonly count: number }[];
  /** Entries that contained addresses or names that must never be blocked. */
  readonly protected: number;
  readonly notes: readonly string[];
  readonly overlaps: readonly Overlap[];
  /** What could not be compared, and why. */
  readonly uncompared?: string;
  readonly against?: { readonly code: string; readonly reason: string };
}

/** Cost at each firewall of a rule that drops packets to the list. Not for names. */
export interface Costs {
  readonly kernelBytes?: number;
  readonly kernelMostBytes?: number;
  readonly tableBytes?: number;
}

/** The overlap of another list with the tried one. */
export interface Overlap {
  readonly list: string;
  readonly share4?: number;
  readonly share6?: number;
  readonly names?: number;
}

const REJECTS_SHOWN = 5;

export function renderTried(tried: TriedRecord, colors: Colors): string {
  const lines: string[] = [];
  const add = (label: string, value: string): void => {
    lines.push(`${`${label}:`.padEnd(12)} ${value}`);
  };
  const { share4 = 0, share6 = 0 } = tried;
  const isNames = tried.holds === 'names';
  add('read', colors.bold(tried.source));
  add('format', tried.formats.join(', '));
  add('holds', holdsText(tried));
  if (!isNames) add('covers', `${percent(share4)} of the Internet's IPv4, ${percent(share6)} of its IPv6`);
  if (tried.rejects > 0) add('not used', formatAmount(tried.rejects, 'line'));
  for (const reject of tried.rejected.slice(0, REJECTS_SHOWN)) lines.push(`  ${reject}`);
  for (const { code, count } of tried.leftOut) add('left out', leftOutText(code, count));
  if (tried.protected > 0)
    add('never block', `${formatAmount(tried.protected, 'entry holds', 'entries hold')} what is taken out`);
  for (const note of tried.notes) add('note', note);
  for (const overlap of tried.overlaps) add('overlap', overlapText(overlap));
  if (tried.uncompared !== undefined) add('overlap', `not compared: ${tried.uncompared}`);
  else if (tried.overlaps.length === 0) add('overlap', 'no list has any of it');
  add('costs', costText(tried));
  const { against } = tried;
  if (against === undefined) add('verdict', `${colors.green('good')}: the publisher would take it`);
  else add('verdict', `${colors.red(against.code)}: ${against.reason}`);
  return lines.join('\n');
}

function holdsText({ holds, entries, entries4 = 0, entries6 = 0 }: TriedRecord): string {
  if (holds === 'names') return formatAmount(entries, 'name');
  const amount = formatAmount(entries, 'entry', 'entries');
  if (entries4 === 0 || entries6 === 0) return `${amount} of IPv${entries4 > 0 ? 4 : 6}`;
  return `${amount}, ${formatCount(entries4)} of IPv4 and ${formatCount(entries6)} of IPv6`;
}

function overlapText({ list, share4 = 0, share6 = 0, names }: Overlap): string {
  if (names !== undefined) return `${list} has ${formatCount(names)} of its names`;
  const parts = [
    ...(share4 > 0 ? [`${percent(share4)} of its IPv4 addresses`] : []),
    ...(share6 > 0 ? [`${percent(share6)} of its IPv6 addresses`] : []),
  ];
  return `${list} has ${parts.join(' and ')}`;
}

function costText({ kernelBytes, kernelMostBytes = 0, tableBytes = 0 }: TriedRecord): string {
  if (kernelBytes === undefined) return "nothing of the kernel: names are judged by the firewall's DNS";
  return `each firewall ${mib(kernelBytes)} MiB of the kernel, of ${mib(kernelMostBytes)} that one of two tables may take, and ${mib(tableBytes)} MiB of its table`;
}

function mib(bytes: number): string {
  const value = bytes / 2 ** 20;
  return value < 10 ? value.toFixed(1) : formatCount(Math.ceil(value));
}

/** `44 %`, `0.31 %`. */
function percent(share: number): string {
  return share === 0 ? 'nothing' : `${Number((share * 100).toPrecision(2))} %`;
}
