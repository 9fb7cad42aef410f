/**
 * A Node that is too old is reported before a build: without that, a build on Debian 12 ended in errors of
 * its tools.
 */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** What check-node.cjs does in a Node that says that it is of `version`. */
function checked(version: string) {
  const disguise = `Object.defineProperty(process, 'versions', { value: { node: '${version}' } }); require('./check-node.cjs')`;
  return spawnSync(process.execPath, ['-e', disguise], { cwd: ROOT, encoding: 'utf8' });
}

it.each(['20.19.0', '20.20.2', '22.13.0', '22.99.0', '24.0.0', '26.1.0'])('Node %s builds', (version) => {
  expect(checked(version)).toMatchObject({ status: 0, stderr: '' });
});

it.each(['0.10.48', '18.20.4', '20.18.3', '21.7.0', '22.12.0', '23.11.0'])(
  'Node %s is refused, with what to install',
  (version) => {
    const { status, stderr } = checked(version);
    expect(status).toBe(1);
    expect(stderr).toContain(`this is ${version}: install another one`);
  },
);

it('stands before each build', () => {
  const { scripts } = JSON.parse(readFileSync(`${ROOT}/package.json`, 'utf8'));
  expect(scripts.build).toMatch(/^node check-node\.cjs && /);
});
