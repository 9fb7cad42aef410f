/** `rulectl keys` on the files of a publisher that does not run. */

import { existsSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { openIdentity, rootKeyFileOf } from '@rulecast/program/identity';
import { hexOf } from '@rulecast/protocol';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { type CliResult, rulectl } from './cli.ts';

/** An identity, the key that signs its roots, and what is said of them. */
function keysOf(): {
  readonly path: string;
  readonly rootKey: string;
  readonly lineage: string;
  readonly keys: (...args: readonly string[]) => Promise<CliResult>;
} {
  const path = join(temporaryDirectory(), 'identity');
  const { lineage } = openIdentity(path);
  return {
    path,
    rootKey: rootKeyFileOf(path, lineage),
    lineage: hexOf(lineage),
    keys: (...args) => rulectl(['keys', ...args, '--identity', path]),
  };
}

const idIn = (role: string, stdout: string): string =>
  new RegExp(`^${role} +\\d of \\d: ([0-9a-f]+)`, 'm').exec(stdout)?.[1] ?? '';

describe('the next root', () => {
  it('takes roles from a key, but not the last one of a role', async () => {
    const { keys } = keysOf();
    const shown = (await keys('show')).stdout;
    for (const role of ['root', 'release', 'freshness']) {
      const id = idIn(role, shown);
      expect(id).not.toBe('');
      expect((await keys('revoke', id)).exit).toBe(2);
    }
    expect((await keys('show')).stdout).toBe(shown);
  });

  it('without one of several root keys does with those that are left', async () => {
    const { keys, rootKey, lineage, path } = keysOf();
    const other = `${path}.other`;
    const mine = hexOf(openIdentity(path).root.roles.root.keys[0] ?? new Uint8Array());
    const id = idIn('root', (await keys('show')).stdout);
    const { stdout } = await keys('init', other, '--lineage', lineage);
    expect((await keys('rotate', 'root', mine, stdout.trim(), '--threshold', '1')).exit).toBe(0);
    expect((await keys('show')).stdout).toMatch(/^root 2 of lineage/);
    expect((await keys('revoke', id, '--root-key', rootKey)).exit).toBe(2); // what is left is to sign, too
    const draft = `${path}.draft`;
    expect((await keys('revoke', id, '--draft', draft)).exit).toBe(0);
    for (const key of [rootKey, other]) {
      expect((await keys('install', draft)).exit).toBe(2); // not before both have signed
      expect((await keys('sign', draft, '--root-key', key)).exit).toBe(0);
    }
    expect((await keys('install', draft)).exit).toBe(0);
    expect((await keys('show')).stdout).toMatch(/^root 3 of lineage[\s\S]*^root +1 of 1: /m);
  });

  it('grants more epochs', async () => {
    const { keys } = keysOf();
    expect((await keys('rotate', '--epochs', '33')).exit).toBe(0);
    expect((await keys('show')).stdout).toMatch(/^root 2 of lineage [0-9a-f]+, epochs 1 to 33$/m);
  });

  it('that is installed leaves no secret beside the identity', async () => {
    const { keys, rootKey, path } = keysOf();
    const vault = `${path}.vault`;
    renameSync(rootKey, vault);
    const draft = `${path}.draft`;
    expect((await keys('rotate', '--draft', draft)).exit).toBe(0);
    expect(existsSync(`${path}.next`)).toBe(true);
    expect((await keys('sign', draft, '--root-key', vault)).exit).toBe(0);
    expect((await keys('install', draft)).exit).toBe(0);
    expect(existsSync(`${path}.next`)).toBe(false);
  });

  it.each([
    [['revoke']],
    [['rotate', '--threshold', '2']],
    [['rotate', 'release']],
    [['rotate', 'root']],
    [['rotate', '--epochs', '']],
    [['rotate', '--epochs', '20', '--epochs', '30']],
    [['show', 'a', 'b']],
    [['sign']],
    [['install']],
  ])('is not made by %j', async (args) => {
    const { keys, path } = keysOf();
    const before = readFileSync(path, 'utf8');
    expect((await keys(...args)).exit).toBe(64);
    expect(readFileSync(path, 'utf8')).toBe(before);
  });
});
