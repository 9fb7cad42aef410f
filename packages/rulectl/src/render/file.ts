/** Lines of `rulectl check` about a file. Pure. */

import { SKIP_REASONS, type Skipped } from '@rulecast/formats/skipped';
import { shownName } from '../terminal/input.ts';
import type { Colors } from '../terminal/terminal.ts';
import { formatAmount, formatCount } from './amounts.ts';

/** The skipped lines of a list, with the first one's number. */
export function renderSkipped(file: string, { code, count, line }: Skipped): string {
  return `${shownName(file)}:${line}: not used: ${leftOutText(code, count)}`;
}

/** A number of skipped lines with their reason; an unknown one is named by its code. */
export function leftOutText(code: string, count: number): string {
  const reason = Object.entries(SKIP_REASONS).find(([known]) => known === code)?.[1];
  return `${formatCount(count)} ${reason === undefined ? code : `${reason} (${code})`}`;
}

/** That a file of wildcards means the names themselves as well. */
export function renderWidened(file: string, count: number): string {
  const entries = formatAmount(count, 'entry *.name is', 'entries *.name are');
  return `${shownName(file)}: ${entries} read as .name, which is the name and all below it: the file has no others`;
}

/** The summary of one file. */
export interface FileSummary {
  readonly file: string;
  /** `list of prefixes`, `rules`, …. */
  readonly what: string;
  readonly rules: number;
  readonly entries: number;
  readonly rejects: number;
  readonly warnings: number;
}

export function renderFileSummary(summary: FileSummary, colors: Colors): string {
  const { rules, entries, rejects, warnings } = summary;
  const counts = [
    ...(rules > 0 ? [formatAmount(rules, 'rule')] : []),
    ...(entries > 0 ? [formatAmount(entries, 'entry', 'entries')] : []),
    ...(rules + entries === 0 ? ['nothing in it'] : []),
    ...(warnings > 0 ? [formatAmount(warnings, 'warning')] : []),
    rejects === 0 ? colors.green('nothing refused') : colors.red(`${formatCount(rejects)} refused`),
  ];
  return `${shownName(summary.file)}: ${summary.what}, ${counts.join(', ')}`;
}
