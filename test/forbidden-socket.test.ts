/** What somebody reads who may not open a socket: whose it is, and what to do. */

import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isRoot } from './kit/second-user.ts';

const RULECTL = new URL('../packages/rulectl/bin/rulectl.js', import.meta.url).pathname;
const NOBODY = ['--reuid=65534', '--regid=65534', '--clear-groups'];
/** A group that every Linux has. */
const DAEMON = { name: 'daemon', gid: 1 };

let directory = '';
let path = '';
let server: net.Server;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'socket-'));
  chmodSync(directory, 0o755);
  mkdirSync(join(directory, 'run'), { mode: 0o755 });
  path = join(directory, 'run', 'control.sock');
  server = net.createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
});

afterEach(() => {
  server.close();
  rmSync(directory, { recursive: true, force: true });
});

describe.skipIf(!isRoot())('who may not open a socket reads', () => {
  it.each([
    [
      'its mode, whose it is, and that a member of its group may',
      0o660,
      /mode 0660.*root.*as a member of the group daemon/,
    ],
    ['its mode, and that its user alone may', 0o600, /mode 0600.*as root/],
  ])('%s', (_, mode, expected) => {
    chownSync(path, 0, DAEMON.gid);
    chmodSync(path, mode);
    const text = refusal();
    expect(text).toMatch(expected);
    expect(text).not.toContain('publisher runs as');
  });

  it('that a folder above it is closed', () => {
    chmodSync(path, 0o666);
    chmodSync(join(directory, 'run'), 0o700);
    expect(refusal()).toContain(`a folder above ${path}`);
  });
});

/** What `rulectl status` says to a user who is nobody. */
function refusal(): string {
  const args = [...NOBODY, process.execPath, RULECTL, 'status', '--control', `unix:${path}`];
  const { status, stderr } = spawnSync('setpriv', args, { encoding: 'utf8' });
  expect(stderr).toContain(`no permission to connect to unix:${path}`);
  expect(status).toBe(3);
  return stderr;
}
