/** The kept releases. Pure. */

import type { ControlRecordOf } from '@rulecast/protocol';
import { shownName } from '../terminal/input.ts';
import type { Colors } from '../terminal/terminal.ts';
import { formatBytes, formatCount, formatTime, NOTHING } from './amounts.ts';
import { renderTable } from './table.ts';

/** In a table of releases: files with long names do not push the numbers off the screen. */
const CAUSE_MAX_CHARS = 40;
const CHANGED_PARTS_SHOWN = 2;

/** A table, one line a release, the newest first; below each its message, if any. */
export function renderHistory(releases: readonly ControlRecordOf<'history'>[], colors: Colors): string {
  const rows = releases.map((release) => [
    formatCount(release.version),
    formatTime(release.createdAtMs),
    causeText(release),
    release.by === undefined ? NOTHING : shownName(release.by),
    changedText(release),
    formatCount(release.added),
    formatCount(release.removed),
    formatCount(release.entries),
    formatCount(release.rules),
    formatBytes(release.deltaBytes),
  ]);
  const head = [
    'version',
    'time',
    'cause',
    'by',
    'changed',
    '+added',
    '-removed',
    'entries',
    'rules',
    'delta',
  ];
  const [titles = '', ...lines] = renderTable(head, rows, 5, colors).split('\n');
  const messages = releases.map(({ message }) => (message === undefined ? [] : [`  ${shownName(message)}`]));
  return [titles, ...lines.flatMap((line, i) => [line, ...(messages[i] ?? [])])].join('\n');
}

export function causeText({ cause, detail }: ControlRecordOf<'history'>): string {
  const text = detail === '' ? cause : `${cause} ${shownName(detail)}`;
  return text.length > CAUSE_MAX_CHARS ? `${text.slice(0, CAUSE_MAX_CHARS - 1)}…` : text;
}

export function changedText({ changedParts, changedCount }: ControlRecordOf<'history'>): string {
  if (changedCount === 0) return NOTHING;
  const shown = changedParts.slice(0, CHANGED_PARTS_SHOWN);
  const more = changedCount - shown.length;
  return more > 0 ? `${shown.join(', ')} and ${formatCount(more)} more` : shown.join(', ');
}
