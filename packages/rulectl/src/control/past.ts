/** Versions as people name them: by number, or by a time when they were in force. */

import { type ControlRecordOf, VERSION_MAX } from '@rulecast/protocol';
import { formatTime } from '../render/amounts.ts';
import { CliError, ExitCode } from '../terminal/exit.ts';
import { parseMoment } from '../terminal/moment.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { askOrFail, type ControlArgs, controlOf } from './client.ts';

/** A version, or a time in milliseconds since 1970. */
export type PastPoint = { readonly version: number } | { readonly atMs: number };
type PastRelease = ControlRecordOf<'history'>;

/** Thousands of records, read from the store. */
const ANSWER_TIMEOUT_MS = 60_000;

/** Undefined for text that names neither. */
export function parsePoint(text: string, nowMs: number): PastPoint | undefined {
  const version = parseVersion(text);
  if (version !== undefined) return { version };
  const atMs = parseMoment(text, nowMs);
  return atMs === undefined ? undefined : { atMs };
}

/** The number of a version; undefined for text that is none. */
export function parseVersion(text: string): number | undefined {
  const version = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(version) ? version : undefined;
}

/**
 * The numbers of some versions. A time is the newest release of then or before that is kept, or 0 where none
 * was made yet; it is told which. Throws CliError `unknown-release` for a time before what is kept.
 */
export async function versionsAt(
  points: readonly PastPoint[],
  args: ControlArgs,
  terminal: Pick<Terminal, 'complain'>,
): Promise<readonly number[]> {
  const releases = points.some((point) => 'atMs' in point) ? await releasesKept(args) : [];
  return points.map((point) => {
    if ('version' in point) return point.version;
    const index = releases.findIndex(({ createdAtMs }) => createdAtMs <= point.atMs);
    const [found, next] = [releases[index], releases[(index < 0 ? releases.length : index) - 1]];
    const time = formatTime(point.atMs);
    if (found === undefined) {
      if (next === undefined || (next.epoch === 1 && next.version === 1)) return 0;
      const text = `what was in force at ${time} is not kept any more: the oldest that is kept is version ${next.version} of ${formatTime(next.createdAtMs)}`;
      throw new CliError(ExitCode.refused, 'unknown-release', text);
    }
    const isGap = next !== undefined && next.version > found.version + 1;
    const gap = isGap ? `; of those up to ${next.version - 1} none is kept` : '';
    terminal.complain(`rulectl: ${time}: version ${found.version} of ${formatTime(found.createdAtMs)}${gap}`);
    return found.version;
  });
}

/** The newest first. */
async function releasesKept(args: ControlArgs): Promise<readonly PastRelease[]> {
  const releases: PastRelease[] = [];
  await askOrFail({
    ...controlOf(args),
    timeoutMs: ANSWER_TIMEOUT_MS,
    send: (connection) => connection.send({ kind: 'history', most: VERSION_MAX }),
    onRecord: (record) => {
      if (record.record === 'history') releases.push(record);
    },
  });
  return releases;
}
