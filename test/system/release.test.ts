/**
 * `npm run release`, of a checkout of its own and with keys of its own: what it makes is checked as
 * packaging/README.md says, and is refused once a byte of it is another. .ci/debian has apt install from it.
 */

import { spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { blockText, ROOT } from '../docs/blocks.ts';

const TOOLS = ['apt-ftparchive', 'createrepo_c', 'dh', 'dnf', 'dpkg-buildpackage', 'git', 'gpg', 'rpmbuild'];
const OURS = 'ours@rulecast.invalid';
/** Two keys have it. */
const TWICE = 'twice@rulecast.invalid';
/** Other bytes each time: signatures, and sums of them. */
const SIGNATURES = /(InRelease|repomd\.xml\.asc|SHA256SUMS(\.asc)?)$/;

describe.skipIf(toolGap() !== undefined)('npm run release', () => {
  let folder = '';
  const at = (...names: readonly string[]): string => join(folder, ...names);

  /** Says commands to a shell in a folder below. */
  const attempt = (where: string, commands: string, more: NodeJS.ProcessEnv = {}) => {
    const { PATH, CI } = process.env;
    const keys = { HOME: at('home'), GNUPGHOME: at('keys'), LC_ALL: 'C.UTF-8' };
    const env = { PATH, CI, ...keys, ...more };
    return spawnSync('bash', ['-euo', 'pipefail', '-c', commands], { cwd: at(where), env, encoding: 'utf8' });
  };
  const run = (where: string, commands: string, more: NodeJS.ProcessEnv = {}): string => {
    const { status, stdout, stderr } = attempt(where, commands, more);
    expect(status, `${stdout}${stderr}`.slice(-2000)).toBe(0);
    return stdout;
  };
  /** Stands for `npm ci`, which made the ones here: no test asks a registry. */
  const installed = `to="$PWD"
    cd '${ROOT}'
    for how in -al -a; do cp $how --parents node_modules packages/*/node_modules "$to" 2>/dev/null && break; done
    cd "$to"
    `;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'released-'));
    for (const name of ['home', 'checkout']) mkdirSync(at(name));
    for (const name of ['keys', 'reader']) mkdirSync(at(name), { mode: 0o700 });
    for (const owner of [OURS, `First <${TWICE}>`, `Second <${TWICE}>`])
      run('.', `gpg --batch --quiet --passphrase '' --quick-generate-key '${owner}' ed25519 sign 1d`);
    // What is here is committed there, changes included.
    run(
      'checkout',
      `git config --global user.name Tester
      git config --global user.email ${OURS}
      git config --global user.signingkey ${OURS}
      git config --global safe.directory '*'
      ${installed}
      git -C '${ROOT}' ls-files -z --cached --others --exclude-standard | (cd '${ROOT}' && xargs -0 cp -a --parents -t "$to")
      git init -q
      git add -A
      GIT_COMMITTER_DATE='2026-11-29 12:00:00 +0000' git commit -q -m release`,
    );
    run('checkout', blockText('packaging/README.md#Publish a release').replace('npm ci\n', ''));
    cpSync(at('checkout/released'), at('released'), { recursive: true });
  }, 900_000);

  afterAll(() => {
    attempt('.', 'gpgconf --kill all; GNUPGHOME=$PWD/reader gpgconf --kill all');
    rmSync(folder, { recursive: true });
  });

  it('is sound as the manual says, and not once a byte of any file is another', () => {
    const check = blockText('packaging/README.md#Check a release');
    const reader = { GNUPGHOME: at('reader') };
    run('released', check, reader);
    const files = filesIn(at('released'));
    expect(files.length).toBeGreaterThan(15);
    for (const file of files) {
      const path = at('released', file);
      const sound = readFileSync(path);
      writeFileSync(path, flipped(sound));
      expect(attempt('released', check, reader).status, file).not.toBe(0);
      writeFileSync(path, sound);
    }
    run('released', check, reader);
    expect(attempt('checkout', 'git verify-tag v0.3.0', reader).stderr).toContain('Good signature');
    expect(run('checkout', 'git rev-parse v0.3.0^{commit}')).toBe(run('checkout', 'git rev-parse HEAD'));
  });

  it('has the packages that its source gives', () => {
    const again = blockText('packaging/README.md#Check a release/2');
    expect(again).toContain('npm ci\n');
    cpSync(at('released'), at('again'), { recursive: true });
    run('again', again.replace('npm ci\n', installed));
    const packed = at('again', 'rulecast-0.3.0', 'packed');
    expect(readdirSync(packed).filter((name) => /\.(deb|rpm|json)$/.test(name))).toHaveLength(7);
    const tracked = run('checkout', 'git ls-tree -r --name-only HEAD').trim().split('\n');
    const archived = run('released', 'tar -tf rulecast-0.3.0.tar.gz | grep -v /$').trim().split('\n');
    expect(archived.sort()).toEqual(tracked.map((name) => `rulecast-0.3.0/${name}`).sort());
  }, 900_000);

  // Packages are made again above: here they are those of before.
  it('is the same bytes each time, but for signatures', () => {
    mkdirSync(at('bin'));
    const packed = at('again', 'rulecast-0.3.0', 'packed');
    writeFileSync(at('bin/npm'), `#!/bin/sh\ncp -r '${packed}' "$6"\n`, { mode: 0o755 });
    const PATH = `${at('bin')}:${process.env['PATH']}`;
    run('checkout', `packaging/release.sh --out '${at('second')}'`, { PATH });
    expect(filesIn(at('second'))).toEqual(filesIn(at('released')));
    for (const file of filesIn(at('released')).filter((name) => !SIGNATURES.test(name)))
      expect(readFileSync(at('second', file)).equals(readFileSync(at('released', file))), file).toBe(true);
    const signed = (where: string): string => run(where, 'gpg --quiet --decrypt apt/InRelease 2>/dev/null');
    expect(signed('second')).toBe(signed('released'));
    expect(signed('second')).toContain('Date: Sun, 29 Nov 2026 12:00:00 +0000');
    const sums = (where: string) =>
      readFileSync(at(where, 'SHA256SUMS'), 'utf8')
        .split('\n')
        .filter((line) => !SIGNATURES.test(line));
    expect(sums('second')).toEqual(sums('released'));
  }, 300_000);

  it('is read by dnf, which refuses metadata that the key did not sign', () => {
    mkdirSync(at('yum'));
    const repository = blockText('packaging/README.md#Publish a release/3');
    const dnf = (where: string) => {
      const here = repository
        .replace('https://packages.example', `file://${at(where)}`)
        .replace('/etc/pki/rpm-gpg', at('released'));
      writeFileSync(at('yum/rulecast.repo'), here);
      for (const name of ['root', 'cache']) rmSync(at(name), { recursive: true, force: true });
      const options = `--installroot='${at('root')}' --setopt=reposdir='${at('yum')}' --setopt=cachedir='${at('cache')}'`;
      return attempt('.', `dnf -y ${options} --releasever=42 repoquery --qf '%{name} %{version}'`);
    };
    const { stdout, stderr } = dnf('released');
    expect(stdout.trim().split('\n').sort(), stderr).toEqual(
      ['rulecast', 'rulecast-firewall', 'rulecast-zeromq'].map((name) => `${name} 0.3.0`),
    );
    const refusal = { stdout: '', stderr: expect.stringContaining('GPG signature verification error') };
    cpSync(at('released'), at('other'), { recursive: true });
    const metadata = at('other/dnf/repodata/repomd.xml');
    writeFileSync(metadata, readFileSync(metadata, 'utf8').replace('<revision>', '<revision>1'));
    expect(dnf('other')).toMatchObject(refusal);
    run('other/dnf/repodata', `gpg --batch --yes --local-user First --armor --detach-sign repomd.xml`);
    expect(dnf('other')).toMatchObject(refusal);
  });

  const refusals: readonly [string, string, string, number][] = [
    ['of a key that is not there', '--key nobody@rulecast.invalid', 'gpg has 0 secret keys for nobody@', 1],
    ['of a key of which there are two', `--key ${TWICE}`, `gpg has 2 secret keys for ${TWICE}`, 1],
    ['of no key', '', 'which key signs?', 1],
    ['of a tag that is there', '--tag', 'the tag v0.3.0 is there', 1],
    ['of a folder with other things', '--out test', 'test holds something else than a release', 64],
    ['of an option that it does not know', '--sign', '--sign is no option', 64],
    ['of an option without its value', '--out', '--out needs a value', 64],
  ];
  it.each(refusals)('makes nothing in case %s', (of, options, sentence, code) => {
    const unset = { GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: 'user.signingkey', GIT_CONFIG_VALUE_0: '' };
    const { status, stderr } = refused(options, of === 'of no key' ? unset : {});
    expect([status, stderr]).toEqual([code, expect.stringContaining(`npm run release: ${sentence}`)]);
  });

  it('makes nothing of changes that no commit has', () => {
    writeFileSync(at('checkout/packaging/new.mjs'), '');
    const { status, stderr } = refused('');
    rmSync(at('checkout/packaging/new.mjs'));
    expect([status, stderr]).toEqual([1, expect.stringMatching(/no commit has.*\n.*packaging\/new\.mjs/)]);
  });

  it('says which packages to install before it makes anything', () => {
    mkdirSync(at('few'));
    for (const name of ['bash', 'dirname', 'git', 'gpg', 'apt-ftparchive', 'dh', 'dpkg-buildpackage'])
      symlinkSync(run('.', `command -v ${name}`).trim(), at('few', name));
    const { status, stderr } = refused('', { PATH: at('few') });
    expect([status, stderr]).toEqual([1, 'npm run release: not installed: apt install createrepo-c rpm\n']);
  });

  /** Nothing changes by it: neither files, nor tags, nor keys. */
  function refused(options: string, more: NodeJS.ProcessEnv = {}) {
    const state = (): string =>
      run('checkout', 'ls -A . released; git tag; gpg --list-secret-keys --with-colons');
    const before = state();
    const { status, stderr } = attempt('checkout', `/bin/bash packaging/release.sh ${options}`, more);
    expect(state()).toBe(before);
    return { status, stderr };
  }
});

function filesIn(folder: string): readonly string[] {
  const entries = readdirSync(folder, { recursive: true, encoding: 'utf8', withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}

/** With one bit of its middle byte changed. */
function flipped(bytes: Uint8Array): Uint8Array {
  const middle = bytes.length >> 1;
  return bytes.map((byte, at) => (at === middle ? byte ^ 1 : byte));
}

/** Why nothing can be released here, printed; undefined where it can. Throws instead where CI=true. */
function toolGap(): string | undefined {
  const missing = TOOLS.filter((tool) => spawnSync('which', [tool]).status !== 0);
  if (missing.length === 0) return undefined;
  const gap = `not installed: ${missing.join(', ')}`;
  if (process.env['CI'] === 'true') throw new Error(`releases cannot be tested: ${gap}`);
  console.log(`tests of releases are skipped: ${gap}`);
  return gap;
}
