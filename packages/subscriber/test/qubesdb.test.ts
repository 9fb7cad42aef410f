/** Values of QubesDB, by a `qubesdb-read` of the test's own. */

import { chmodSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { valueFrom } from '../src/daemon/qubesdb.ts';

const TRUST = 'qubesdb:/vm-config/rulecast-trust';
let directory = '';
let firstAnswers = '';
const warnings: string[] = [];

beforeEach(() => {
  directory = temporaryDirectory();
  firstAnswers = join(directory, 'first');
  warnings.length = 0;
  vi.stubEnv('PATH', `${directory}:/usr/bin:/bin`);
  answer('[ "$*" = /vm-config/rulecast-trust ] && echo rulecast2:line');
});

afterEach(() => {
  vi.unstubAllEnvs();
});

/** Has `qubesdb-read` do what shell commands do. */
function answer(commands: string): void {
  const program = join(directory, 'qubesdb-read');
  writeFileSync(program, `#!/bin/sh\n${commands}\n`);
  chmodSync(program, 0o755);
}

const read = (places: string, kept: string | undefined = firstAnswers): string | undefined =>
  valueFrom(places, { firstAnswers: kept, onOtherAnswer: (text) => warnings.push(text) });

describe('a value of QubesDB', () => {
  it('is what QubesDB has', () => {
    expect(read(TRUST)).toBe('rulecast2:line');
    expect(read(TRUST, undefined)).toBe('rulecast2:line');
  });

  it('that is missing is an error that names the commands for dom0', () => {
    expect(() => read('qubesdb:/vm-config/rulecast-connect')).toThrow(
      'QubesDB has no /vm-config/rulecast-connect: in dom0, rulecast-dom0 MGMT QUBE, or qvm-features QUBE vm-config.rulecast-connect VALUE',
    );
  });

  it('has a path for a key, or QubesDB is not asked', () => {
    for (const key of ['', 'name', '/a b', '/--help;x', `/${'x'.repeat(63)}`])
      expect(() => read(`qubesdb:${key}`), key).toThrow('write qubesdb: and a path');
  });

  it.each(['unix:/run/qubesdb:/x', '', 'exec:program?arg=a,b', '/etc/rulecast/trust'])(
    'is not what %o stands for',
    (text) => {
      expect(read(text)).toBe(text);
    },
  );

  it.each([
    ['more than one line', 'echo rulecast2:line; echo rulecast2:other'],
    ['nothing', 'echo'],
    ['200 kB', 'head -c 200000 /dev/zero | tr "\\0" a'],
    ['an escape sequence', 'printf "\\033[2J"'],
  ])('is no answer if it is %s', (_, commands) => {
    answer(commands);
    expect(() => read(TRUST)).toThrow('something else than one line of at most 4096 characters');
    expect(readdirSync(firstAnswers)).toEqual([]);
  });

  it('is waited for five seconds, though qubesdb-read and its children stop at no signal', () => {
    answer('trap "" TERM; sleep 30 & sleep 30');
    const began = Date.now();
    expect(() => read(TRUST)).toThrow('QubesDB does not answer for /vm-config/rulecast-trust within 5 s');
    expect(Date.now() - began).toBeLessThan(20_000);
  }, 40_000);
});

describe('the first answer of a boot', () => {
  it('holds, and another one later is a warning', () => {
    expect(read(TRUST)).toBe('rulecast2:line');
    expect(read(TRUST)).toBe('rulecast2:line');
    expect(warnings).toEqual([]);
    answer('echo rulecast2:other');
    expect(read(TRUST)).toBe('rulecast2:line');
    expect(warnings).toEqual([expect.stringContaining('another /vm-config/rulecast-trust than when')]);
  });

  it.each([
    ['that has none', 'exit 2'],
    ['that answers too much', 'head -c 200000 /dev/zero'],
  ])('holds beside a QubesDB %s', (_, commands) => {
    expect(read(TRUST)).toBe('rulecast2:line');
    answer(commands);
    expect(read(TRUST)).toBe('rulecast2:line');
    expect(warnings).toEqual([]);
  });

  it('is one for each key, and none before there is an answer', () => {
    answer('exit 2');
    expect(() => read(TRUST)).toThrow('QubesDB has no');
    answer('echo "of $*"');
    expect(read(TRUST)).toBe('of /vm-config/rulecast-trust');
    expect(read('qubesdb:/vm-config.rulecast-trust')).toBe('of /vm-config.rulecast-trust');
  });

  it('is for its owner alone', () => {
    read(TRUST);
    const modes = [firstAnswers, ...readdirSync(firstAnswers).map((name) => join(firstAnswers, name))].map(
      (path) => statSync(path).mode & 0o777,
    );
    expect(modes).toEqual([0o700, 0o600]);
  });

  it('that was interrupted while it was kept is taken again', () => {
    mkdirSync(firstAnswers, { mode: 0o700 });
    writeFileSync(join(firstAnswers, `${encodeURIComponent('/vm-config/rulecast-trust')}.part`), 'rule');
    expect(read(TRUST)).toBe('rulecast2:line');
  });

  it('is not read from a folder that others may write into, nor by way of a link', () => {
    mkdirSync(firstAnswers);
    chmodSync(firstAnswers, 0o777);
    expect(() => read(TRUST)).toThrow('not a folder for root alone');
    const link = join(directory, 'link');
    symlinkSync(temporaryDirectory(), link);
    expect(() => read(TRUST, link)).toThrow('not a folder for root alone');
  });
});

describe('of several places', () => {
  it('the first that is there holds', () => {
    const [trust, missing] = [join(directory, 'trust'), join(directory, 'missing')];
    writeFileSync(trust, 'rulecast2:written\n');
    expect(read(`${trust},${TRUST}`)).toBe(trust);
    expect(read(`${missing},${TRUST}`)).toBe('rulecast2:line');
    expect(read(`${missing},${missing}2,unix:/run/a,b.sock`)).toBe('unix:/run/a,b.sock');
    expect(read(`${TRUST},unix:/run/a.sock`)).toBe('rulecast2:line');
  });

  it('a file that cannot be read is there: its place is not taken by another', () => {
    const dangling = join(directory, 'dangling');
    symlinkSync(join(directory, 'missing'), dangling);
    expect(read(`${dangling},${TRUST}`)).toBe(dangling);
  });

  it('QubesDB is passed over outside of a qube, and in a qube it is not, though it has no value', () => {
    const connect = 'qubesdb:/vm-config/rulecast-connect';
    expect(() => read(`${connect},unix:/run/a.sock`)).toThrow('QubesDB has no');
    vi.stubEnv('PATH', '/nowhere');
    expect(read(`${connect},unix:/run/a.sock`)).toBe('unix:/run/a.sock');
    expect(read(`${join(directory, 'missing')},${TRUST}`)).toBe(undefined);
  });
});
