/** Looks up groups of this host for socket files, as Node cannot. */

import { readFileSync } from 'node:fs';

export const GROUP_FILE = '/etc/group';

/** The id of a group by name or number, if there is one. */
export function groupId(text: string): number | undefined {
  for (const line of readFileSync(GROUP_FILE, 'utf8').split('\n')) {
    const [name, , id] = line.split(':');
    if (id !== undefined && (name === text || id === text)) return Number(id);
  }
  return undefined;
}
