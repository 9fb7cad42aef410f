/** A second user for tests: nobody, by setpriv, which root alone can call. */

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const SECOND_USER = 65_534;

const CHECKOUT = fileURLToPath(new URL('../../package.json', import.meta.url));
const CHANGE = ['setpriv', `--reuid=${SECOND_USER}`, `--regid=${SECOND_USER}`, '--clear-groups'];
/** For a checkout that nobody else may enter, such as one in /root. It gives no right to write. */
const READ_ALL = ['--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search'];

/** False for another user, after a line that says so. Throws where `CI=true`: that has what tests need. */
export function isRoot(): boolean {
  return process.getuid?.() === 0 || missing('only root can be another user');
}

/**
 * The words before a command that make it run as the second user, who can read the checkout. Undefined where
 * there is no such user, after a line that says so.
 */
export function secondUser(): readonly string[] | undefined {
  if (!isRoot()) return undefined;
  const found = [CHANGE, [...CHANGE, ...READ_ALL]].find(([setpriv = '', ...words]) => {
    const read = [process.execPath, '-e', `fs.readFileSync(${JSON.stringify(CHECKOUT)})`];
    return spawnSync(setpriv, [...words, ...read], { cwd: '/', stdio: 'ignore' }).status === 0;
  });
  if (found === undefined) missing('no other user can read the checkout (see setpriv(1))');
  return found;
}

function missing(reason: string): false {
  if (process.env['CI'] === 'true') throw new Error(reason);
  process.stderr.write(`skipped: ${reason}\n`);
  return false;
}
