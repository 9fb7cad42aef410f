/** What the connection table says of our marks. */

import { runCommand } from './command.ts';
import { ERROR_TEXT_MAX_BYTES, FLOW_MARK_UNIT, NO_FLOW_MARK } from './limits.ts';

/** Our part of the marks that any flow has. Rejects with CommandError. */
export async function readMarks(conntrack: string): Promise<readonly number[]> {
  const marks = new Set<number>();
  for (const family of ['ipv4', 'ipv6']) {
    const { stdout } = await runCommand(conntrack, ['-L', '-f', family], {
      errorBytesMax: ERROR_TEXT_MAX_BYTES,
    });
    for (const line of stdout.toString('latin1').split('\n')) marks.add(markOf(line));
  }
  marks.delete(NO_FLOW_MARK);
  return [...marks];
}

/** Our part of the connection mark of a line of `conntrack -L`. */
export function markOf(line: string): number {
  return Math.floor(Number(/ mark=(\d+)/.exec(line)?.[1] ?? 0) / FLOW_MARK_UNIT);
}
