import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { formatRoots, formatTrust, hexOf, publicBytes } from '@rulecast/protocol';
import { describe, expect, it, vi } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { soleRoot } from '../../../test/kit/roots.mjs';
import {
  IdentityError,
  openIdentity,
  readRootKey,
  replaceIdentity,
  rootKeyBeside,
  rootKeyFileOf,
} from '../src/keys/identity.ts';

/** What was done to files, in order, by the last part of their names. */
const done = vi.hoisted(() => [] as string[]);
vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  const open = new Map<number, string>();
  const nameOf = (path: unknown): string =>
    /[^/]*$/.exec(String(path))?.[0].replace(/\.[0-9a-f]{12}$/, '.draft') ?? '';
  return {
    ...fs,
    openSync: (...args: Parameters<typeof fs.openSync>) => {
      const fd = fs.openSync(...args);
      open.set(fd, nameOf(args[0]));
      return fd;
    },
    fsyncSync: (fd: number) => {
      fs.fsyncSync(fd);
      done.push(`sync ${open.get(fd)}`);
    },
    renameSync: (...args: Parameters<typeof fs.renameSync>) => {
      fs.renameSync(...args);
      done.push(`rename ${nameOf(args[0])}`);
    },
    linkSync: (...args: Parameters<typeof fs.linkSync>) => {
      fs.linkSync(...args);
      done.push(`link ${nameOf(args[0])}`);
    },
  };
});

const DIST = new URL('../dist/keys/identity.js', import.meta.url).href;
const PROTOCOL = import.meta.resolve('@rulecast/protocol');

describe('an identity file', () => {
  it('is made once, for its owner only, and read back equal', () => {
    const path = join(temporaryDirectory(), 'state', 'identity');
    const made = openIdentity(path);
    const text = readFileSync(path, 'utf8');
    const read = openIdentity(path);
    expect(made.lineage).toHaveLength(16);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(formatTrust(read)).toBe(formatTrust(made));
    expect(read.releaseKeys.map((key) => publicBytes(key))).toEqual(made.root.roles.release.keys);
    expect(readFileSync(path, 'utf8')).toBe(text);
  });

  it('is on disk with its name before anybody hears of it, and so is what takes its place', () => {
    const directory = join(temporaryDirectory(), 'state');
    done.length = 0;
    const identity = openIdentity(join(directory, 'identity'));
    const rootKey = `root-${hexOf(identity.lineage).slice(0, 8)}.key`;
    expect(done).toEqual([
      `sync ${rootKey}`,
      'sync state',
      'sync identity.draft',
      'link identity.draft',
      'sync state',
    ]);
    done.length = 0;
    replaceIdentity(join(directory, 'identity'), identity);
    expect(done).toEqual(['sync identity.draft', 'rename identity.draft', 'sync state']);
  });

  it('has a root key that is used only where nobody else may read it', () => {
    const directory = temporaryDirectory();
    const { lineage } = openIdentity(join(directory, 'identity'));
    const path = join(directory, `root-${hexOf(lineage).slice(0, 8)}.key`);
    expect(hexOf(readRootKey(path).lineage)).toBe(hexOf(lineage));
    chmodSync(path, 0o640);
    expect(() => readRootKey(path)).toThrow(`chmod 600 ${path}`);
  });

  it('knows of its root key beside it, whatever the file is called, and of no other', () => {
    const [directory, elsewhere] = [temporaryDirectory(), temporaryDirectory()];
    const path = join(directory, 'identity');
    const { lineage } = openIdentity(path);
    const rootKey = rootKeyFileOf(path, lineage);
    const notes = join(directory, 'notes.txt');
    renameSync(rootKey, notes);
    expect([rootKeyBeside(path, lineage), openIdentity(path).hasRootKey]).toEqual([notes, true]);
    renameSync(notes, join(elsewhere, 'root.key'));
    const other = join(elsewhere, 'identity');
    renameSync(rootKeyFileOf(other, openIdentity(other).lineage), notes); // of another lineage
    symlinkSync('nowhere', join(directory, 'link'));
    symlinkSync('loop', join(directory, 'loop'));
    mkdirSync(join(directory, 'store'));
    expect([rootKeyBeside(path, lineage), openIdentity(path).hasRootKey]).toEqual([undefined, false]);
    symlinkSync(join(elsewhere, 'root.key'), join(directory, 'vault'));
    expect(openIdentity(path).hasRootKey).toBe(true);
  });

  it('leaves no draft beside it', () => {
    const directory = temporaryDirectory();
    const { lineage } = openIdentity(join(directory, 'identity'));
    const rootKey = `root-${hexOf(lineage).slice(0, 8)}.key`;
    expect(readdirSync(directory)).toEqual(['identity', rootKey]);
    expect(statSync(join(directory, rootKey)).mode & 0o777).toBe(0o600);
  });

  it('differs from the one of another path in lineage and key', () => {
    const directory = temporaryDirectory();
    const [one, other] = ['one', 'other'].map((name) => formatTrust(openIdentity(join(directory, name))));
    const [, lineageOne, keyOne] = one?.split(':') ?? [];
    const [, lineageOther, keyOther] = other?.split(':') ?? [];
    expect(lineageOne).not.toBe(lineageOther);
    expect(keyOne).not.toBe(keyOther);
  });

  it('is agreed on by processes that make it at once', async () => {
    const path = join(temporaryDirectory(), 'identity');
    const script = `
      import { openIdentity } from ${JSON.stringify(DIST)};
      import { formatTrust } from ${JSON.stringify(PROTOCOL)};
      process.stdout.write(formatTrust(openIdentity(${JSON.stringify(path)})));`;
    const run = promisify(execFile);
    const makers = await Promise.all(
      Array.from({ length: 4 }, () => run(process.execPath, ['--input-type=module', '-e', script])),
    );
    const lines = new Set(makers.map(({ stdout }) => stdout));
    expect([...lines]).toEqual([formatTrust(openIdentity(path))]);
  });
});

describe('a file that is no identity is refused and left as it is', () => {
  const lineage = `lineage ${'0a'.repeat(16)}`;
  const pem = generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' });
  const roots = formatRoots([soleRoot(new Uint8Array(16).fill(0x0a)).root]);
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({
    format: 'pem',
    type: 'pkcs8',
  });

  it.each([
    ['empty', ''],
    ['of another program', '-----BEGIN CERTIFICATE-----\n'],
    ['of a later version', `rulecast-identity 3\n${lineage}\n${pem}${roots}`],
    ['without a lineage', `rulecast-identity 2\n${pem}${roots}`],
    ['with a short lineage', `rulecast-identity 2\nlineage 0a0a\n${pem}${roots}`],
    ['without a key', `rulecast-identity 2\n${lineage}\n${roots}`],
    ['with half a key', `rulecast-identity 2\n${lineage}\n${String(pem).slice(0, 60)}\n${roots}`],
    ['without a root', `rulecast-identity 2\n${lineage}\n${pem}`],
    ['with no root but a header', `rulecast-identity 2\n${lineage}\n${pem}rulecast-roots 1\n`],
    ['without the key that its root names', `rulecast-identity 2\n${lineage}\n${pem}${roots}`],
    ['with the root of another lineage', `rulecast-identity 2\nlineage ${'0b'.repeat(16)}\n${pem}${roots}`],
    ['with a key of another kind', `rulecast-identity 2\n${lineage}\n${rsa}${roots}`],
  ])('%s', (_, text) => {
    const path = join(temporaryDirectory(), 'identity');
    writeFileSync(path, text);
    expect(() => openIdentity(path)).toThrow(IdentityError);
    expect(readFileSync(path, 'utf8')).toBe(text);
  });

  it('of Rulecast 0.1, with what to do', () => {
    const path = join(temporaryDirectory(), 'identity');
    writeFileSync(path, `rulecast-identity 1\n${lineage}\n${pem}`, { mode: 0o600 });
    expect(() => openIdentity(path)).toThrow(/is of Rulecast 0\.1, .*install that again, or move/);
  });

  it('cut off at any byte', () => {
    const path = join(temporaryDirectory(), 'identity');
    openIdentity(path);
    const size = readFileSync(path).length;
    for (let length = size - 2; length >= 0; length--) {
      truncateSync(path, length);
      expect(() => openIdentity(path), `${length} bytes`).toThrow(IdentityError);
    }
  });

  it('a directory', () => {
    const path = join(temporaryDirectory(), 'identity');
    mkdirSync(path);
    expect(() => openIdentity(path)).toThrow(IdentityError);
  });

  it('in a place where none can be written', () => {
    const path = join(temporaryDirectory(), 'file');
    writeFileSync(path, '');
    expect(() => openIdentity(join(path, 'identity'))).toThrow(IdentityError);
  });
});
