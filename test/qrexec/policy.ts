/** The policy that dom0 gets from rulecast-dom0. */

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const DOM0_SCRIPT = fileURLToPath(new URL('../../packaging/qubes/rulecast-dom0', import.meta.url));

/** The path of a file with it in a directory. */
export function shippedPolicy(directory: string): string {
  const path = join(directory, '30-rulecast.policy');
  writeFileSync(path, execFileSync('sh', [DOM0_SCRIPT, '--policy']));
  return path;
}
