/**
 * Calls of a service by qrexec, from program to socket, through what stands between two qubes
 * (qrexec/agent.mjs): what a policy allows and refuses, and either end as it dies and as it hangs.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Channel, connect, type Listener, listen } from '@rulecast/vchan';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { temporaryDirectory } from './kit/directory.ts';
import { shippedPolicy } from './qrexec/policy.ts';

const AGENT = fileURLToPath(new URL('qrexec/agent.mjs', import.meta.url));
const CLIENT = fileURLToPath(new URL('qrexec/client-vm.mjs', import.meta.url));
const SERVICE = 'rulecast.Subscribe';

let directory = '';
let agent: ChildProcess | undefined;
let listener: Listener | undefined;
const open: Channel[] = [];

beforeEach(async () => {
  directory = temporaryDirectory();
  writeFileSync(join(directory, 'tags'), 'mgmt rulecast-management\nsys-firewall rulecast-firewall\n');
  listener = await listen({ kind: 'qrexec', path: join(directory, SERVICE) });
});

afterEach(async () => {
  for (const channel of open.splice(0)) channel.close();
  await listener?.close();
  agent?.kill('SIGKILL');
  agent = undefined;
});

async function agentOf(source: string): Promise<void> {
  const args = [
    join(directory, 'agent'),
    source,
    shippedPolicy(directory),
    join(directory, 'tags'),
    directory,
  ];
  agent = spawn(process.execPath, [AGENT, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  if (agent.stdout !== null) await once(agent.stdout, 'data');
}

async function call(target: string, service = SERVICE): Promise<Channel> {
  const args = [CLIENT, join(directory, 'agent'), target, service];
  const channel = await connect({ kind: 'exec', command: process.execPath, args });
  open.push(channel);
  return channel;
}

async function called(): Promise<{ readonly client: Channel; readonly server: Channel }> {
  await agentOf('sys-firewall');
  const client = await call('mgmt');
  if (listener === undefined) throw new Error('nobody listens');
  const server = await listener.accept();
  open.push(server);
  return { client, server };
}

async function ended(channel: Channel): Promise<Channel> {
  for (;;) {
    channel.read(channel.dataReady());
    if (channel.state === 'disconnected' && channel.dataReady() === 0) return channel;
    await channel.waitReadable();
  }
}

async function send(channel: Channel, bytes: Uint8Array): Promise<void> {
  for (let left = bytes; left.length > 0; ) {
    left = left.subarray(channel.write(left));
    if (left.length > 0) await channel.waitWritable();
  }
}

async function receive(channel: Channel, count: number): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for (let left = count; left > 0; ) {
    const piece = channel.read(left);
    if (piece.length === 0 && channel.state === 'disconnected') break;
    if (piece.length === 0) await channel.waitReadable();
    pieces.push(piece);
    left -= piece.length;
  }
  return Buffer.concat(pieces);
}

const MIB = Buffer.alloc(1_048_576, 'rulecast');

describe('a call that the policy allows', () => {
  it('carries bytes both ways, and is of the qube that it is of', async () => {
    const { client, server } = await called();
    expect(server.peer).toMatchObject({ qube: 'sys-firewall', service: SERVICE });
    const sent = Promise.all([send(client, MIB), send(server, MIB)]);
    const [there, back] = await Promise.all([receive(server, MIB.length), receive(client, MIB.length)]);
    await sent;
    expect([there.equals(MIB), back.equals(MIB)]).toEqual([true, true]);
  });

  it('ends at both ends when either closes it', async () => {
    const { client, server } = await called();
    await send(client, Buffer.from('last words'));
    client.close();
    expect((await receive(server, 100)).toString()).toBe('last words');
    await ended(server);
    const again = await call('mgmt');
    const other = await listener?.accept();
    other?.close();
    expect((await ended(again)).isForbidden).toBe(false);
  });

  it('ends at both ends when what is between is killed', async () => {
    const { client, server } = await called();
    agent?.kill('SIGKILL');
    await Promise.all([ended(client), ended(server)]);
    expect(client.isForbidden).toBe(false);
  });

  it('takes no more than buffers hold while what is between is halted, and goes on after it', async () => {
    const { client, server } = await called();
    agent?.kill('SIGSTOP');
    let taken = 0;
    for (const isTried = new Array(200).keys(); isTried.next().done !== true; ) {
      taken += client.write(MIB);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(taken).toBeLessThan(4 * MIB.length);
    agent?.kill('SIGCONT');
    expect(await receive(server, taken)).toHaveLength(taken);
  });
});

describe('a call that the policy refuses', () => {
  it.each([
    ['of a qube without the tag', 'work', 'mgmt', SERVICE],
    ['of a qube that does not manage', 'sys-firewall', 'vault', SERVICE],
    ['of a service that it does not name', 'sys-firewall', 'mgmt', 'rulecast.Other'],
  ])('%s reaches nobody, and says so', async (_, source, target, service) => {
    await agentOf(source);
    const client = await ended(await call(target, service));
    expect([client.closeReason, client.isForbidden]).toEqual(['the qrexec policy refuses the call', true]);
  });

  it('makes no window on the screen', () => {
    const lines = readFileSync(shippedPolicy(directory), 'utf8').trimEnd().split('\n');
    expect(lines.at(-1)).toMatch(/ deny +notify=no$/);
  });
});
