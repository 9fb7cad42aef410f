/** Default directories, and directories that can or cannot be made. */

import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DirectoryError, defaultEndpoints, makeDirectory, stateHome } from '../src/directory.ts';

describe('stateHome', () => {
  const USER = { uid: 1000, home: '/home/user' };

  it.each([
    ['root', { XDG_STATE_HOME: '/elsewhere' }, { uid: 0, home: '/root' }, '/var/lib/rulecast'],
    ['a user', {}, USER, '/home/user/.local/state/rulecast'],
    ['a user with XDG_STATE_HOME', { XDG_STATE_HOME: '/data/state' }, USER, '/data/state/rulecast'],
    ['a user with a relative one', { XDG_STATE_HOME: 'state' }, USER, '/home/user/.local/state/rulecast'],
    ['a user with an empty one', { XDG_STATE_HOME: '' }, USER, '/home/user/.local/state/rulecast'],
  ])('of %s', (_who, environment, owner, expected) => {
    expect(stateHome(environment, owner)).toBe(expected);
  });
});

describe('defaultEndpoints', () => {
  it.each([
    [{}, '/run/rulecast'],
    [{ XDG_RUNTIME_DIR: '' }, '/run/rulecast'],
    [{ XDG_RUNTIME_DIR: 'run' }, '/run/rulecast'],
    [{ XDG_RUNTIME_DIR: '/run/user/7' }, '/run/user/7/rulecast'],
  ])('with %j', (environment, directory) => {
    expect(defaultEndpoints(environment)).toEqual({
      control: `unix:${directory}/control.sock`,
      subscribers: `unix:${directory}/subscribers.sock`,
    });
  });
});

describe('makeDirectory', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'rulecast-directory-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('makes it and those above it, for their owner alone', () => {
    const path = join(folder, 'a', 'b');
    makeDirectory(path);
    makeDirectory(path); // nothing to do
    expect(statSync(path).mode & 0o777).toBe(0o700);
    expect(statSync(join(folder, 'a')).mode & 0o777).toBe(0o700);
  });

  it('leaves the mode of one that is there, and follows links', () => {
    const open = join(folder, 'open');
    mkdirSync(open, { mode: 0o755 });
    symlinkSync(open, join(folder, 'link'));
    makeDirectory(join(folder, 'link'));
    expect(statSync(open).mode & 0o777).toBe(0o755);
  });

  it('says what is in the way', () => {
    const file = join(folder, 'file');
    writeFileSync(file, '');
    symlinkSync(join(folder, 'nowhere'), join(folder, 'dangling'));
    for (const path of [file, join(file, 'below'), join(folder, 'dangling')]) {
      expect(() => makeDirectory(path)).toThrow(DirectoryError);
    }
    expect(() => makeDirectory(file)).toThrow(`${file} exists and is no directory`);
  });

  // Node's recursive mkdir never returned from this.
  it.runIf(existsSync('/proc/self'))('returns where the kernel takes no new directories', () => {
    expect(() => makeDirectory('/proc/x/y')).toThrow('/proc takes no new directories');
  });
});
