/**
 * A signer that a service manager starts, as a user of its own, for each connection to a socket: what
 * packaging/systemd has units for.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { temporaryDirectory } from '../kit/directory.ts';
import { SECOND_USER, secondUser } from '../kit/second-user.ts';
import { rulectl, runPublisher, startPublisher } from '../processes.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SIGNER = join(ROOT, 'packages/publisher/dist/signer-main.js');
/** The signer's user: another one where root runs this. */
const isRoot = process.getuid?.() === 0;
const as = isRoot ? secondUser() : [];

/** Listens as `Accept=yes` and `StandardInput=socket` do. */
async function manager(path: string, identity: string): Promise<readonly ChildProcess[]> {
  const [command = '', ...words] = [...(as ?? []), process.execPath, SIGNER, identity];
  const started: ChildProcess[] = [];
  const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
    const stdio = [socket, socket, 'inherit'] as const;
    started.push(spawn(command, words, { stdio: [...stdio] }));
    socket.destroy();
  });
  server.listen(path);
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    for (const child of started) child.kill('SIGKILL');
  });
  return started;
}

it.skipIf(as === undefined)(
  'signs for the publisher, which has no key and no identity of its own',
  async () => {
    const directory = temporaryDirectory();
    const own = mkdtempSync('/tmp/rulecast-signer-'); // where another user reaches it
    onTestFinished(() => rmSync(own, { recursive: true, force: true }));
    if (isRoot) chownSync(own, SECOND_USER, SECOND_USER);
    const socket = join(directory, 'signer.sock');
    const identity = join(own, 'identity');
    const started = await manager(socket, identity);
    const config = join(directory, 'publisher.yaml');
    writeFileSync(config, `identity: ${identity}\nsigner: unix:${socket}\n`);
    const state = ['--state', join(directory, 'publisher')];
    const made = await runPublisher(['--config', config, ...state, '--init']);
    expect(made.code, made.stderr).toBe(0);
    const publisher = await startPublisher(directory, ['--config', config]);
    onTestFinished(async () => {
      await publisher.stop();
    });
    const list = join(directory, 'bad.txt');
    writeFileSync(list, '192.0.2.1\n');
    const pushed = await rulectl(directory, ['push', '--no-wait', list]);
    expect(pushed.code, pushed.stderr).toBe(0);

    expect(existsSync(join(directory, 'publisher', 'identity'))).toBe(false);
    const { mode, uid } = statSync(identity);
    expect([mode & 0o777, uid]).toEqual([0o600, isRoot ? SECOND_USER : process.getuid?.()]);
    expect((await runPublisher(['--config', config, ...state, '--print-trust'])).stdout).toBe(made.stdout);

    // It ends; the next release has another one.
    started.at(-1)?.kill('SIGKILL');
    writeFileSync(list, '192.0.2.1\n192.0.2.3\n');
    const again = await rulectl(directory, ['push', '--no-wait', list]);
    expect(again.code, again.stderr).toBe(0);
    expect(again.stdout).toContain('version 2');
  },
);

it('has a socket that only the publisher may open', () => {
  const unit = readFileSync(join(ROOT, 'packaging/systemd/rulecast-signer.socket'), 'utf8');
  expect(unit).toMatch(/^SocketUser=rulecast-publisher\nSocketMode=0600$/m);
  const service = readFileSync(join(ROOT, 'packaging/systemd/rulecast-signer@.service'), 'utf8');
  expect(service).toMatch(/^User=rulecast-signer$/m);
});
