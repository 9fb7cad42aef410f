/** One process to a directory, whatever it is called; and no other user keeps it from that. */

import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { isRoot, SECOND_USER } from '../../../test/kit/second-user.ts';
import { DirectoryError } from '../src/directory.ts';
import { LockedError, lockDirectory } from '../src/lock.ts';

const BUILT = fileURLToPath(new URL('../dist/lock.js', import.meta.url));

it('a directory is locked once, by whatever name, until it is released', () => {
  const directory = join(temporaryDirectory(), 'state');
  const other = join(temporaryDirectory(), 'state');
  const lock = lockDirectory(directory);
  const alias = `${directory}-alias`;
  symlinkSync(directory, alias);
  expect(() => lockDirectory(directory)).toThrow(LockedError);
  expect(() => lockDirectory(alias)).toThrow('another publisher or subscriber uses');
  lockDirectory(other).release();
  expect(statSync(join(directory, 'lock')).mode & 0o777).toBe(0o600);
  lock.release();
  lockDirectory(alias).release();
});

it('a child of who has it does not have it', () => {
  const directory = temporaryDirectory();
  const lock = lockDirectory(directory);
  const child = spawnSync('sh', ['-c', 'sleep 60 >/dev/null 2>&1 & echo $!'], { encoding: 'utf8' });
  lock.release();
  try {
    lockDirectory(directory).release();
  } finally {
    process.kill(Number(child.stdout));
  }
});

it('a link in the place of the lock is not followed', () => {
  const directory = temporaryDirectory();
  const target = join(temporaryDirectory(), 'precious');
  writeFileSync(target, 'as it was', { mode: 0o644 });
  symlinkSync(target, join(directory, 'lock'));
  expect(() => lockDirectory(directory)).toThrow(DirectoryError);
  expect(statSync(target).mode & 0o777).toBe(0o644);
});

// The lock was an abstract socket, of a name that anybody could compute, and bind before.
it.skipIf(!isRoot())('another user cannot keep a directory from being locked', async () => {
  const directory = join(temporaryDirectory(), 'state');
  mkdirSync(directory, { mode: 0o755 });
  const { dev, ino } = statSync(directory);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen({ path: `\0rulecast-state-${dev}-${ino}` }, resolve));
  lockDirectory(directory).release();
  server.close();
  const open = `fs.openSync(${JSON.stringify(join(directory, 'lock'))})`;
  const as = { uid: SECOND_USER, gid: SECOND_USER, encoding: 'utf8', cwd: '/' } as const;
  expect(spawnSync(process.execPath, ['-e', open], as).stderr).toContain('EACCES');
});

it.skipIf(!isRoot())('what belongs to another user is not used, unless it is to be theirs', () => {
  const directory = join(temporaryDirectory(), 'state');
  lockDirectory(directory).release();
  chownSync(join(directory, 'lock'), SECOND_USER, SECOND_USER);
  expect(() => lockDirectory(directory)).toThrow(`the user with id ${SECOND_USER}`);
  lockDirectory(directory, SECOND_USER).release();
  chownSync(directory, SECOND_USER, SECOND_USER);
  expect(() => lockDirectory(directory)).toThrow(`the user with id ${SECOND_USER}`);
  lockDirectory(directory, SECOND_USER).release();
  chmodSync(join(directory, 'lock'), 0o666);
  const lock = lockDirectory(directory, SECOND_USER);
  expect(statSync(join(directory, 'lock'))).toMatchObject({ uid: SECOND_USER });
  expect(statSync(join(directory, 'lock')).mode & 0o777).toBe(0o600);
  lock.release();
});

// In its unit root has few rights: no firewall of the packages started.
it.skipIf(!isRoot())('root without the right to write there locks the directory of another user', () => {
  const directory = join(temporaryDirectory(), 'state');
  mkdirSync(directory, { mode: 0o700 });
  chownSync(directory, SECOND_USER, SECOND_USER);
  const code = `const { lockDirectory } = await import(${JSON.stringify(BUILT)});
    lockDirectory(${JSON.stringify(directory)}, ${SECOND_USER});`;
  const few = ['--bounding-set=-all,+chown,+dac_read_search', '--inh-caps=-all'];
  for (let start = 0; start < 2; start++) {
    const words = [...few, process.execPath, '--input-type=module', '-e', code];
    expect(spawnSync('setpriv', words, { encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' });
    expect(statSync(join(directory, 'lock'))).toMatchObject({ uid: SECOND_USER });
    expect(statSync(directory)).toMatchObject({ uid: SECOND_USER, gid: SECOND_USER });
  }
});
