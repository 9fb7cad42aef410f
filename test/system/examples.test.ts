/** The examples do what the README says of them. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Daemon, endpointsIn, rulectl, rulectlOffline, startPublisher, trustOf } from '../processes.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

let directory: string;
let publisher: Daemon;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'rulecast-examples-'));
  publisher = await startPublisher(directory);
});

afterAll(async () => {
  await publisher.stop();
  rmSync(directory, { recursive: true, force: true });
});

it('examples/firewall.yaml is accepted whole, without a warning', async () => {
  const { code, stdout, stderr } = await rulectlOffline(['check', join(ROOT, 'examples/firewall.yaml')]);
  expect(code, stdout).toBe(0);
  expect(stdout + stderr).not.toContain('warning');
});

it('examples/embed.mjs judges by the boot mode, then by the release', async () => {
  const args = [join(ROOT, 'examples/embed.mjs'), await trustOf(directory), endpointsIn(directory).listen];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  expect((await lines.next()).value).toBe('at boot: drop');
  await publisher.logged((line) => line['msg'] === 'subscriber connected');
  const document = join(directory, 'rules.yaml');
  writeFileSync(
    document,
    'lists:\n  web: { entries: [203.0.113.0/24] }\npolicies:\n  default:\n    egress: [accept dst=@web]\n',
  );
  expect((await rulectl(directory, ['push', document, '--require', 'none'])).code).toBe(0);
  expect((await lines.next()).value).toBe('version 1: accept by policy default, list web');
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  expect(await exited).toEqual([0, null]);
});

it('examples/packet-loop.mjs judges by the releases of a publisher that runs elsewhere', async () => {
  const rules = join(directory, 'loop.rules');
  writeFileSync(rules, 'accept proto=tcp\naccept proto=udp\n');
  const push = ['push', rules, '--policy', 'default', '--require', 'none', '--permit', 'accept-all'];
  expect((await rulectl(directory, push)).code).toBe(0);
  const { listen } = endpointsIn(directory);
  const options = ['--connect', listen, '--trust', await trustOf(directory), '--seconds', '1'];
  const args = [join(ROOT, 'examples/packet-loop.mjs'), ...options];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [out, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  expect(code, out).toBe(0);
  expect(out).toMatch(/^ +release +generation +accepted +dropped/);
  expect(out).toMatch(/\n +1\/\d+ +\d+ +[1-9][\d,]+ +[1-9][\d,]+ /);
  expect(out).toMatch(
    /policy default, egress: exceptions \[\], common runs \[\], own runs \[[1-9][\d,]* [1-9][\d,]*\]/,
  );
});
