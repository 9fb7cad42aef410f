/**
 * Priorities for the journal of systemd: `<4>` before each line, as sd-daemon(3) has it, so that `journalctl
 * -p warning` finds warnings. Only if standard error is the journal: its stream has the device and the inode
 * in JOURNAL_STREAM, which a child inherits even with another stream.
 */

import { fstatSync } from 'node:fs';

/** syslog(3): that of a line by the level of pino which it has, at least. */
const PRIORITIES: readonly (readonly [level: number, priority: number])[] = [
  [60, 2],
  [50, 3],
  [40, 4],
  [30, 6],
  [0, 7],
];
/** The priority of lines without a level: complaints and last words of a program. */
const WARNING = 4;
const LEVEL = /^\{"level":(\d{1,3})[,}]/;

/** Whether a descriptor is the stream of the journal; `named` is JOURNAL_STREAM. */
export function isJournal(fd: number, named: string | undefined): boolean {
  if (named === undefined) return false;
  const { dev, ino } = fstatSync(fd, { bigint: true });
  return named === `${dev}:${ino}`;
}

/** The lines of a text, each with its priority; `isBegun`: its first one goes on with another text's last. */
export function withPriorities(text: string, isBegun: boolean): string {
  return text.replace(/^.+$/gm, (line, at: number) =>
    at === 0 && isBegun ? line : `<${priorityOf(line)}>${line}`,
  );
}

function priorityOf(line: string): number {
  const level = LEVEL.exec(line)?.[1];
  if (level === undefined) return WARNING;
  return PRIORITIES.find(([least]) => Number(level) >= least)?.[1] ?? WARNING;
}
