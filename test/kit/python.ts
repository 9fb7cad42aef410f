/**
 * The interpreter of what is written twice: with one the second implementation is run, without one it is not
 * and that is printed; under `CI=true` it has to be there.
 */

import { spawnSync } from 'node:child_process';

const OLDEST = '3.9';

function isThere(): boolean {
  const [major, minor] = OLDEST.split('.');
  const asked = `import sys; sys.exit(sys.version_info < (${major}, ${minor}))`;
  if (spawnSync('python3', ['-c', asked]).status === 0) return true;
  const reason = `python3, ${OLDEST} or later, is not installed: what is written twice is not compared`;
  if (process.env['CI'] === 'true') throw new Error(reason);
  process.stderr.write(`${reason}\n`);
  return false;
}

export const python = {
  isThere: isThere(),
  /** Runs a script to its end; -B: it leaves no files of its own. */
  run(args: readonly string[], input = ''): { readonly stdout: string; readonly stderr: string } {
    const { error, status, stdout, stderr } = spawnSync('python3', ['-B', ...args], {
      input,
      encoding: 'utf8',
      maxBuffer: 2 ** 26,
    });
    if (error !== undefined) throw error;
    return { stdout, stderr: status === 0 || stdout !== '' ? stderr : `${stderr}status ${status}` };
  },
};
