/** Groups of this host, to which socket files are given: Node looks up none. */

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
