/** The processes that a process has started, as the kernel tells. */

import { readdirSync, readFileSync } from 'node:fs';

/** What a process, this one unless another is named, has started and not buried, by all of its threads. */
export function childPids(pid = process.pid): readonly number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, 'latin1')
      .split(' ')
      .filter((child) => child !== '')
      .map(Number),
  );
}

/** The child of this process that was started with an argument. Throws if there is none. */
export function childWith(argument: string): number {
  const found = childPids().find((pid) =>
    readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(argument),
  );
  if (found === undefined) throw new Error(`no child was started with ${argument}`);
  return found;
}
