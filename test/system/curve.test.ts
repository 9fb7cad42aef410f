/** Beyond this machine, with real processes: ZeroMQ over TCP takes keys, and nobody else. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Daemon,
  rulectlOffline,
  runPublisher,
  runSubscriber,
  startPublisherAt,
  startSubscriberOf,
  trustOf,
} from '../processes.mjs';

let directory: string;
let publisher: Daemon;
let firewall: Daemon;
let listen: string;
let control: string;
const publicKeys = new Map<string, string>();

const path = (name: string): string => join(directory, name);
const keyOf = (name: string): string => publicKeys.get(name) ?? '';

/** An address that leaves this process's loopback interface, if the machine has one. */
function ownAddress(): string {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return addresses.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? '127.0.0.1';
}

function freePort(address: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, address, () => {
      const bound = server.address();
      server.close(() => resolve(typeof bound === 'object' && bound !== null ? bound.port : 0));
    });
  });
}

/** Runs rulectl at the control endpoint, as the holder of a key. */
function asked(who: string, ...args: string[]) {
  const keys = ['--curve-key', path(`${who}.key`), '--curve-peer', path('publisher.pub')];
  return rulectlOffline([...args, '--control', control, ...keys]);
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'rulecast-curve-'));
  for (const name of ['publisher', 'firewall', 'admin', 'stranger']) {
    const { code, stdout, stderr } = await rulectlOffline(['keys', 'new', path(`${name}.key`)]);
    expect(code, stderr).toBe(0);
    publicKeys.set(name, stdout.trim());
    writeFileSync(path(`${name}.pub`), stdout);
  }
  const address = ownAddress();
  listen = `zmq+tcp:${address}:${await freePort(address)}`;
  control = `zmq+tcp:${address}:${await freePort(address)}`;
  publisher = await startPublisherAt(directory, listen, control, [
    '--curve-key',
    path('publisher.key'),
    '--curve-peer',
    path('firewall.pub'),
    '--curve-control-peer',
    keyOf('admin'),
  ]);
  firewall = await startSubscriberOf(await trustOf(directory), listen, 'sys-firewall', [
    '--curve-key',
    path('firewall.key'),
    '--curve-peer',
    keyOf('publisher'),
  ]);
  await publisher.logged((line) => line['msg'] === 'subscriber connected');
});

afterAll(async () => {
  await firewall.stop();
  await publisher.stop();
  rmSync(directory, { recursive: true, force: true });
});

describe('with keys', () => {
  it('a push reaches the firewall', async () => {
    const file = path('office.rules');
    writeFileSync(file, 'drop dst4=192.0.2.0/24\naccept\n');
    const { code, stdout, stderr } = await asked('admin', 'push', file);
    expect(code, stdout + stderr).toBe(0);
    expect(stdout).toContain('in force at 1 of 1 subscriber');
  });

  it('each program prints the public key of its file', async () => {
    const printed = await Promise.all(
      [runPublisher, runSubscriber].map((program) =>
        program(['--print-curve', '--curve-key', path('firewall.key')]),
      ),
    );
    for (const { stdout } of printed) expect(stdout).toBe(`${keyOf('firewall')}\n`);
  });
});

describe('without the right keys', () => {
  it('a stranger may not push, nor may a firewall', async () => {
    for (const who of ['stranger', 'firewall']) {
      const { code, stderr } = await asked(who, 'status');
      expect(stderr).toContain('does not admit this client');
      expect(code).toBe(3);
    }
  });

  it('a stranger may not subscribe', async () => {
    const stranger = await startSubscriberOf(await trustOf(directory), listen, 'stranger', [
      '--curve-key',
      path('stranger.key'),
      '--curve-peer',
      keyOf('publisher'),
    ]);
    const refused = await stranger.logged((line) => String(line['msg']).includes('does not admit'));
    expect(refused['code']).toBe('disconnected');
    await stranger.stop();
    const { stdout } = await asked('admin', 'status');
    expect(stdout).not.toContain('stranger');
  });

  it('nobody goes beyond this machine, and is told what is missing', async () => {
    const far = 'zmq+tcp:192.0.2.1:4711';
    const ends = await Promise.all([
      runPublisher(['--state', path('other'), '--listen', far, '--control', `unix:${path('c')}`]),
      runSubscriber(['--trust', await trustOf(directory), '--connect', far]),
      rulectlOffline(['status', '--control', far]),
      rulectlOffline(['status', '--control', far, '--curve-key', path('admin.key')]),
    ]);
    for (const { code, stderr } of ends) {
      expect(code, stderr).toBe(64);
      expect(stderr).toContain('--curve-peer');
    }
  });
});
