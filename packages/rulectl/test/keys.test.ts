/** `rulectl keys` on the files of a publisher that does not run. */

import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { openIdentity, rootKeyFileOf } from '@rulecast/program/identity';
import { hexOf, tokenOf } from '@rulecast/protocol';
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
    [['rotate', '--refresh-by', '90']],
    [['rotate', '--refresh-by', '0d']],
    [['rotate', '--refresh-by', '3651d']],
    ...['', '-1d', '90d ', 'NEVER', '2020-01-01', '2027-01-01T00:00:00', '9999-12-31T23:59:59Z'].map(
      (date) => [['rotate', '--refresh-by', date]],
    ),
    [['rotate', '--refresh-by', '90d', '--refresh-by', '30d']],
    [['renew', '--refresh-by', 'never', '--refresh-by', '90d']],
    [['renew', 'root']],
    [['revoke', '0011223344556677', '--refresh-by', 'soon']],
    // It was ignored, and the draft was signed without a date.
    [['sign', 'next.draft', '--root-key', 'root.key', '--refresh-by', '90d']],
    [['install', 'next.draft', '--refresh-by', '90d']],
    [['show', '--epochs', '33']],
  ])('is not made by %j', async (args) => {
    const { keys, path } = keysOf();
    const before = readFileSync(path, 'utf8');
    const { exit, stderr } = await keys(...args);
    expect(exit).toBe(64);
    for (const option of args.filter((arg) => arg.startsWith('--refresh-by')))
      expect(stderr).toContain(option);
    expect(readFileSync(path, 'utf8')).toBe(before);
  });
});

describe('a date by which a root is to be renewed', () => {
  const DAY_SECONDS = 86_400;
  /** In days from now; undefined for a root that has none. */
  const daysOf = (path: string): number | undefined => {
    const { refreshBy } = openIdentity(path).root;
    return refreshBy && Math.round((refreshBy - Date.now() / 1000) / DAY_SECONDS);
  };
  const tagOf = (path: string): string =>
    Buffer.from(openIdentity(path).roots.at(-1)?.content.subarray(0, 4) ?? []).toString();

  /** The key that signs roots is in a vault. */
  function vaulted(): ReturnType<typeof keysOf> & { readonly vault: string } {
    const made = keysOf();
    const vault = join(temporaryDirectory(), 'root.key');
    renameSync(made.rootKey, vault);
    return { ...made, vault };
  }

  it('is written where it is asked for, and kept until it is renewed or ended', async () => {
    const { keys, path, vault } = vaulted();
    const by = ['--root-key', vault];
    expect((await keys('rotate', ...by)).exit).toBe(0);
    expect([tagOf(path), daysOf(path)]).toEqual(['RCR1', undefined]);
    expect((await keys('renew', ...by)).stderr).toContain('root 2 has no date');
    expect((await keys('rotate', '--refresh-by', '90d', ...by)).stdout).toMatch(
      /^root 3 [^\n]*\nto be renewed by \d{4}-\d\d-\d\dT/,
    );
    expect([tagOf(path), daysOf(path)]).toEqual(['RCR2', 90]);
    expect((await keys('rotate', ...by)).exit).toBe(0);
    expect(daysOf(path)).toBe(90);
    const { releaseKeys } = openIdentity(path);
    expect((await keys('renew', '--refresh-by', '30d', ...by)).stderr).toContain('say a later date');
    expect((await keys('renew', '--refresh-by', '91d', ...by)).exit).toBe(0);
    expect(daysOf(path)).toBe(91);
    expect(openIdentity(path).releaseKeys[0]?.equals(releaseKeys[0] as never)).toBe(true);
    expect((await keys('renew', '--refresh-by', 'never', ...by)).exit).toBe(0);
    expect([tagOf(path), daysOf(path)]).toEqual(['RCR1', undefined]);
    expect(openIdentity(path).roots).toHaveLength(6);
  });

  it('is renewed by a draft that goes to the vault and back', async () => {
    const { keys, path, vault } = vaulted();
    const draft = `${path}.draft`;
    for (const command of [['rotate', '--refresh-by', '60d'], ['renew']]) {
      expect((await keys(...command, '--draft', draft)).exit).toBe(0);
      expect((await keys('show', draft, '--json')).stdout).toMatch(/"refreshBy":\d{10}/);
      expect((await keys('sign', draft, '--root-key', vault)).exit).toBe(0);
      expect((await keys('install', draft)).exit).toBe(0);
    }
    expect(daysOf(path)).toBe(90);
  });

  // P-12
  it('is refused while a key that signs roots lies with the publisher, whatever its name', async () => {
    const { keys, path, rootKey, lineage } = keysOf();
    const text = readFileSync(path, 'utf8');
    const refused = async (...args: readonly string[]): Promise<void> => {
      const { exit, stderr } = await keys(...args);
      expect([exit, stderr], args.join(' ')).toEqual([2, expect.stringContaining('Move it to a vault')]);
      expect(readFileSync(path, 'utf8')).toBe(text);
    };
    const draft = join(temporaryDirectory(), 'next.draft');
    const dated = ['rotate', '--refresh-by', '90d'];
    await refused(...dated);
    await refused(...dated, '--draft', draft);
    expect(existsSync(draft)).toBe(false);
    const below = join(dirname(path), 'keys', 'other.key');
    mkdirSync(dirname(below));
    renameSync(rootKey, below);
    await refused(...dated, '--root-key', below);
    const other = join(dirname(path), 'notes.txt');
    renameSync(below, other);
    await refused(...dated, '--draft', draft);
    renameSync(other, below);
    const vault = join(temporaryDirectory(), 'root.key');
    renameSync(below, vault);
    await keys(...dated, '--draft', draft);
    await keys('sign', draft, '--root-key', vault);
    copyFileSync(vault, rootKeyFileOf(path, Buffer.from(lineage, 'hex'))); // it came back meanwhile
    await refused('install', draft);
  });

  it('that has a root key back beside it is not handed on, nor dropped without a word', async () => {
    const { keys, path, rootKey, vault } = vaulted();
    expect((await keys('rotate', '--refresh-by', '90d', '--root-key', vault)).exit).toBe(0);
    renameSync(vault, rootKey);
    expect((await keys('rotate')).exit).toBe(2);
    expect((await keys('rotate', '--refresh-by', 'never')).exit).toBe(0);
    expect(daysOf(path)).toBeUndefined();
  });
});

describe('tokens', () => {
  it('are made of the secret, the lineage and the name, one by one and for a file of names', async () => {
    const { keys, path, lineage } = keysOf();
    const [secret, list, to] = [`${path}.fleet`, `${path}.names`, `${path}.tokens`];
    expect(await keys('fleet', secret)).toMatchObject({ exit: 0, stdout: '' });
    expect(statSync(secret).mode & 0o777).toBe(0o600);
    const bytes = Buffer.from(readFileSync(secret, 'utf8').trim(), 'hex');
    expect(bytes).toHaveLength(32);
    const expected = (name: string, isRelay = false) =>
      `${hexOf(tokenOf(bytes, Buffer.from(lineage, 'hex'), name, isRelay))}\n`;
    const one = await keys('token', 'fw-17', '--secret', secret);
    expect(one).toMatchObject({ exit: 0, stdout: expected('fw-17') });
    const relay = await keys('token', 'fw-17', '--relay', '--secret', secret);
    expect(relay).toMatchObject({ exit: 0, stdout: expected('fw-17', true) });
    expect(relay.stdout).not.toBe(one.stdout);
    const elsewhere = await rulectl(['keys', 'token', 'fw-17', '--secret', secret, '--lineage', lineage]);
    expect(elsewhere.stdout).toBe(one.stdout);

    mkdirSync(to);
    writeFileSync(list, 'fw-1\nfw-2\n');
    expect((await keys('token', '--names', list, '--to', to, '--secret', secret)).exit).toBe(0);
    writeFileSync(list, 'fw-1\nfw-2\nfw-3'); // one more, and those that are there stay
    expect((await keys('token', '--names', list, '--to', to, '--secret', secret)).exit).toBe(0);
    for (const name of ['fw-1', 'fw-2', 'fw-3']) {
      expect(readFileSync(join(to, `${name}.token`), 'utf8')).toBe(expected(name));
      expect(statSync(join(to, `${name}.token`)).mode & 0o777).toBe(0o600);
    }
  });

  it('are not made of a secret that others can read, and no secret takes the place of another', async () => {
    const { keys, path } = keysOf();
    const secret = `${path}.fleet`;
    expect((await keys('token', 'fw', '--secret', secret)).stderr).toContain('rulectl keys fleet FILE makes');
    await keys('fleet', secret);
    const before = readFileSync(secret, 'utf8');
    const again = await keys('fleet', secret);
    expect(again.exit).toBe(2);
    expect(again.stderr).toContain('is there, with another key: move it away');
    expect(readFileSync(secret, 'utf8')).toBe(before);
    chmodSync(secret, 0o640);
    const open = await keys('token', 'fw', '--secret', secret);
    expect(open.exit).toBe(2);
    expect(open.stderr).toContain(`chmod 600 ${secret}`);
    chmodSync(secret, 0o600);
    writeFileSync(secret, 'x');
    expect((await keys('token', 'fw', '--secret', secret)).stderr).toContain('64 hexadecimal digits');
  });

  it.each([
    [['token', 'fw'], '--secret FILE'],
    [['token', '--secret', 'x'], 'one NAME'],
    [['token', 'a', 'b', '--secret', 'x'], 'one NAME'],
    [['token', 'a/b', '--secret', 'x'], 'is no name'],
    [['token', '--names', 'x', '--secret', 'x'], '--names FILE and --to DIR go together'],
    [['token', '--to', 'x', '--secret', 'x'], '--names FILE and --to DIR go together'],
    [['token', 'a', '--names', 'x', '--to', 'y', '--secret', 'x'], 'a NAME, or --names FILE'],
    [['show', '--secret', 'x'], '--secret goes with token'],
    [['fleet'], 'one FILE'],
  ])('%j is refused', async (args, text) => {
    const { keys, path } = keysOf();
    const secret = `${path}.fleet`;
    await keys('fleet', secret);
    const given = args.map((word, i) => (args[i - 1] === '--secret' ? secret : word));
    const refused = await keys(...given);
    expect(refused.exit).toBe(64);
    expect(refused.stderr).toContain(text);
  });
});
