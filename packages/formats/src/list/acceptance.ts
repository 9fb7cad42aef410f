/** Whether an imported list may replace a good one, or is an error page, nothing, or half a download. */

import { entryCount } from '@rulecast/rules';
import { SKIP_REASONS } from '../collect/options.ts';
import type { Reject } from '../text/reject.ts';
import type { ImportedList } from './import.ts';

export interface AcceptanceOptions {
  /** Which share of the entries may be rejected, 0 to 1. */
  readonly tolerance?: number;
  /** Fewest entries that the list must hold. */
  readonly minEntries?: number;
  /** Takes files that hold less than they state of themselves: for feeds whose headers are wrong. */
  readonly ignoreDeclared?: boolean;
}

/** Our choice: feeds have some dirt, and a file of another format is mostly rejects. */
export const DEFAULT_TOLERANCE = 0.1;

export const ImportRefusal = {
  /** The file as a whole; `reason` says why. */
  unusable: 'unusable',
  empty: 'empty',
  tooManyRejects: 'too-many-rejects',
  truncated: 'truncated',
  tooFewEntries: 'too-few-entries',
} as const;
export type ImportRefusal = (typeof ImportRefusal)[keyof typeof ImportRefusal];

export type Acceptance =
  | { readonly kind: 'accepted' }
  | { readonly kind: 'refused'; readonly code: ImportRefusal; readonly reason: string };

/** Whether an import is accepted; without options a tenth may be rejected and one entry must be left. */
export function acceptImport(imported: ImportedList, options: AcceptanceOptions = {}): Acceptance {
  const { tolerance = DEFAULT_TOLERANCE, minEntries = 1, ignoreDeclared = false } = options;
  const { entries, rejectCount, fault, truncated } = imported;
  if (fault !== undefined) return refused(ImportRefusal.unusable, fault.reason);
  if (entries + rejectCount === 0 && minEntries > 0)
    return refused(ImportRefusal.empty, emptyReason(imported));
  const share = rejectCount / Math.max(1, entries + rejectCount);
  if (share > tolerance) return refused(ImportRefusal.tooManyRejects, rejectsReason(imported, share));
  if (truncated !== undefined && !ignoreDeclared)
    return refused(ImportRefusal.truncated, `truncated: ${truncated}`);
  const count = entryCount(imported.list);
  if (count < minEntries) {
    const reason = `${count} ${count === 1 ? 'entry' : 'entries'}, and at least ${minEntries} are expected`;
    return refused(ImportRefusal.tooFewEntries, reason);
  }
  return { kind: 'accepted' };
}

function refused(code: ImportRefusal, reason: string): Acceptance {
  return { kind: 'refused', code, reason };
}

function emptyReason({ skipped, lineCount }: ImportedList): string {
  if (lineCount === 0) return 'empty: not one byte of a list';
  const left = skipped.map(({ code, count }) => `${count} ${SKIP_REASONS[code]}`);
  return `empty: no entry in ${lineCount} ${lineCount === 1 ? 'line' : 'lines'}${left.length === 0 ? '' : ` (left out: ${left.join('; ')})`}`;
}

function rejectsReason({ rejects, rejectCount, entries, format }: ImportedList, share: number): string {
  const first: Reject | undefined = rejects[0];
  // Rounded down, so that 100 % means that nothing could be read.
  const percent = Math.floor(share * 100);
  const where = first === undefined ? '' : `, first at line ${first.line}: ${first.reason}`;
  return `${percent} % of ${entries + rejectCount} entries rejected (read as ${format}; ${rejectCount} of them)${where}`;
}
