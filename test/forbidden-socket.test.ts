/** What somebody reads who may not open a socket: whose it is, and what to do. */

import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SECOND_USER, secondUser } from './kit/second-user.ts';

const RULECTL = fileURLToPath(new URL('../packages/rulectl/bin/rulectl.js', import.meta.url));
const VCHAN = new URL('../packages/vchan/dist/index.js', import.meta.url).href;
const as = secondUser();
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

describe.skipIf(as === undefined)('who may not open a socket reads', () => {
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
    expect(refusalWithoutRights()).toContain(`a folder above ${path}`);
  });
});

/** What `rulectl status` says to a user who is nobody. */
function refusal(): string {
  const [command = '', ...words] = [...(as ?? []), process.execPath, RULECTL];
  const args = [...words, 'status', '--control', `unix:${path}`];
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  expect(stderr).toContain(`no permission to connect to unix:${path}`);
  expect(status).toBe(3);
  return stderr;
}

/** What a connection says to a process that has become nobody: the second user may look into every folder. */
function refusalWithoutRights(): string {
  const code = `
    const { connect, parseEndpoint } = await import(${JSON.stringify(VCHAN)});
    const endpoint = parseEndpoint(${JSON.stringify(`unix:${path}`)});
    (await connect(endpoint)).close(); // as root, which loads what it takes
    process.setgid(${SECOND_USER});
    process.setuid(${SECOND_USER});
    await connect(endpoint).catch((error) => console.log(error.message));
    process.exit();`;
  return spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' }).stdout;
}
