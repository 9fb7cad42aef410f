/** What is wrong, or odd, with what was read or pushed, a line each. Pure. */

import { type Reject, SKIP_REASONS, type Skipped } from '@rulecast/formats';
import type { ControlRecordOf } from '@rulecast/protocol';
import { shownName } from '../terminal/input.ts';
import type { Colors } from '../terminal/terminal.ts';
import { formatAmount, formatCount } from './amounts.ts';

/** `file:line:column: code: reason`, which editors and CI systems understand. */
export function renderReject(file: string, reject: Reject, colors: Colors): string {
  const place = `${shownName(file)}:${reject.line}:${reject.column}:`;
  return `${colors.bold(place)} ${colors.red(reject.code)}: ${reject.reason}`;
}

export function renderRefusal(refusal: ControlRecordOf<'refusal'>, colors: Colors): string {
  return `${colors.red('refused')}: ${refusal.part}: ${refusal.reason} (${refusal.guard})`;
}

export function renderWarning(
  warning: { readonly code: string; readonly reason: string },
  colors: Colors,
): string {
  return `${colors.yellow('warning')}: ${warning.reason} (${warning.code})`;
}

/** What of a list was knowingly not used, from which line on. */
export function renderSkipped(file: string, { code, count, line }: Skipped): string {
  return `${shownName(file)}:${line}: not used: ${formatCount(count)} ${SKIP_REASONS[code]} (${code})`;
}

/** What `check` says of one file when it is through. */
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
