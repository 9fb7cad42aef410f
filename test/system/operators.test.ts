/**
 * Operators with real processes: rulectl of other qubes by qrexec, through what stands between them
 * (qrexec/agent.mjs) with the policy as it is shipped, and rulectl of another user by a socket of its own.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Daemon, rulectl, rulectlOffline, startPublisher } from '../processes.mjs';
import { shippedPolicy } from '../qrexec/policy.ts';

const AGENT = fileURLToPath(new URL('../qrexec/agent.mjs', import.meta.url));
const CLIENT = fileURLToPath(new URL('../qrexec/client-vm.mjs', import.meta.url));

const agents = new Map<string, ChildProcess>();
let directory = '';
let publisher: Daemon | undefined;
let list = '';

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'rulecast-operators-'));
  const at = (name: string): string => join(directory, name);
  list = at('bad.txt');
  writeFileSync(list, '192.0.2.1\n');
  writeFileSync(
    at('tags'),
    'mgmt rulecast-management\nadmin rulecast-operator\nstranger rulecast-operator\nmonitor rulecast-observer\n',
  );
  for (const name of ['Push', 'Status', 'Admin']) symlinkSync(at('operators.sock'), at(`rulecast.${name}`));
  writeFileSync(
    at('p.yaml'),
    `operators:
  admin: { role: push, qube: admin }
  monitor: { role: status, qube: monitor }
  desk: { role: status, socket: { path: desk.sock, group: ${process.getgid?.()} } }
`,
  );
  publisher = await startPublisher(directory, [
    '--config',
    at('p.yaml'),
    '--control',
    `qrexec:${at('operators.sock')}`,
  ]);
  const policy = shippedPolicy(directory);
  for (const source of ['admin', 'monitor', 'stranger', 'work']) {
    const args = [AGENT, at(`${source}.agent`), source, policy, at('tags'), directory];
    const agent = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    agents.set(source, agent);
    if (agent.stdout !== null) await once(agent.stdout, 'data');
  }
});

afterAll(async () => {
  for (const agent of agents.values()) agent.kill('SIGKILL');
  await publisher?.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** Runs rulectl in a qube. */
function inQube(qube: string, service: string, args: readonly string[]) {
  const words = [CLIENT, join(directory, `${qube}.agent`), 'mgmt', service];
  const query = words.map((word) => `arg=${encodeURIComponent(word)}`).join('&');
  return rulectlOffline([...args, '--control', `exec:${process.execPath}?${query}`]);
}

const PUSH = ['push', '--no-wait'];

it('releases from the qube that may, by its name', async () => {
  const pushed = await inQube('admin', 'rulecast.Push', [...PUSH, list]);
  expect(pushed.code, pushed.stderr).toBe(0);
  const { stdout } = await rulectl(directory, ['history', '--json']);
  expect(JSON.parse(stdout.split('\n')[0] ?? '')).toMatchObject({ version: 1, cause: 'push', by: 'admin' });
  expect((await rulectl(directory, ['history'])).stdout).toMatch(/ admin /);
});

it('shows the status to the qube that may look, and takes no push of it', async () => {
  const looked = await inQube('monitor', 'rulecast.Status', ['status', '--json']);
  expect(looked.code, looked.stderr).toBe(0);
  const pushed = await inQube('monitor', 'rulecast.Status', [...PUSH, list]);
  expect(pushed.code).toBe(2);
  expect(pushed.stderr).toContain('monitor may status, and push takes the role push');
});

it('lets a call do no more than its service', async () => {
  const pushed = await inQube('admin', 'rulecast.Status', [...PUSH, list]);
  expect([pushed.code, pushed.stderr]).toEqual([2, expect.stringContaining('takes the role push')]);
});

it('takes nothing from a qube that dom0 lets call and the configuration does not name', async () => {
  const pushed = await inQube('stranger', 'rulecast.Push', [...PUSH, list]);
  expect([pushed.code, pushed.stderr]).toEqual([
    2,
    expect.stringContaining('the qube stranger is no operator'),
  ]);
});

it.each([
  ['work', 'rulecast.Push'],
  ['work', 'rulecast.Status'],
  ['monitor', 'rulecast.Push'],
  ['admin', 'rulecast.Admin'],
])('dom0 refuses %s to call %s', async (qube, service) => {
  const refused = await inQube(qube, service, ['status']);
  expect([refused.code, refused.stderr]).toEqual([3, expect.stringContaining('policy refuses the call')]);
});

it('gives an operator a socket of its own, for its group', async () => {
  const path = join(directory, 'desk.sock');
  expect(statSync(path).mode & 0o777).toBe(0o660);
  const own = ['--control', `unix:${path}`];
  expect((await rulectlOffline(['status', '--json', ...own])).code).toBe(0);
  const forgot = await rulectlOffline(['forget', 'fw', ...own]);
  expect([forgot.code, forgot.stderr]).toEqual([2, expect.stringContaining('forget takes the role admin')]);
});
