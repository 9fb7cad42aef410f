/** Faults and warnings about read or pushed parts, a line each. Pure. */

import type { Reject } from '@rulecast/formats';
import type { ControlRecordOf } from '@rulecast/protocol';
import { shownName } from '../terminal/input.ts';
import type { Colors } from '../terminal/terminal.ts';

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
