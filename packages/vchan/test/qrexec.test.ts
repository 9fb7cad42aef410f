/**
 * Calls of a qrexec service that is a socket: the qube that qrexec names first, and what qrexec never says.
 */

import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Listener } from '../src/channel/channel.ts';
import { callOf } from '../src/stream/qrexec.ts';
import { connect, listen } from '../src/transport.ts';
import { describeChannel } from './conformance.ts';
import { receive } from './streams.ts';

let directory = '';
const closing: (() => unknown)[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vchan-qrexec-'));
});

afterEach(async () => {
  for (const close of closing.splice(0)) await close();
  rmSync(directory, { recursive: true });
});

const path = (): string => join(directory, 'q.sock');

async function listening(onError: (error: Error) => void = () => undefined): Promise<Listener> {
  const listener = await listen({ kind: 'qrexec', path: path() }, { onError });
  closing.push(() => listener.close());
  return listener;
}

/** qrexec's side of a call, which says these bytes first. */
function call(...pieces: readonly string[]): net.Socket {
  const socket = net.connect(path());
  socket.on('error', () => undefined);
  closing.push(() => socket.destroy());
  for (const piece of pieces) socket.write(Buffer.from(piece, 'latin1'));
  return socket;
}

describeChannel('qrexec', async (bufferBytes) => {
  const listener = await listen({ kind: 'qrexec', path: path() }, { bufferBytes });
  const front = join(directory, 'front.sock');
  // The caller's program and qrexec, which says the descriptor and then carries bytes.
  const agent = net.createServer((program) => {
    const service = net.connect(path());
    service.write('rulecast.Subscribe sys-firewall\0');
    program.pipe(service).pipe(program);
    for (const socket of [program, service]) socket.on('error', () => undefined);
    program.on('close', () => service.destroy());
    service.on('close', () => program.destroy());
  });
  await new Promise<void>((resolve) => agent.listen(front, resolve));
  const client = await connect({ kind: 'unix', path: front }, { bufferBytes });
  const server = await listener.accept();
  return {
    server,
    client,
    acceptedBytes: { min: bufferBytes, max: 8 * 1_048_576 },
    assertCleanedUp: async () => {
      server.close();
      client.close();
      await listener.close();
      await new Promise((resolve) => agent.close(resolve));
    },
  };
});

describe('a call', () => {
  it.each([
    ['in a qube', 'rulecast.Subscribe sys-firewall', { qube: 'sys-firewall' }],
    ['with an argument', 'rulecast.Subscribe+a+b fw', { qube: 'fw', argument: 'a+b' }],
    ['with an empty argument', 'rulecast.Subscribe+ fw', { qube: 'fw' }],
    ['in dom0', 'rulecast.Subscribe fw name dom0', { qube: 'fw' }],
    ['in dom0, of a keyword', 'rulecast.Subscribe fw keyword adminvm', { qube: 'fw' }],
    ['of no name of a service', 'rulecast/Subscribe fw', undefined],
    ['without a qube', 'rulecast.Subscribe', undefined],
    ['of no name of a qube', 'rulecast.Subscribe ../fw', undefined],
    ['of too long a name', `rulecast.Subscribe a${'b'.repeat(31)}`, undefined],
    ['with more than there is', 'rulecast.Subscribe fw fw', undefined],
    ['with two blanks', 'rulecast.Subscribe  fw', undefined],
    ['of nothing', '', undefined],
  ])('%s names its source, or none', (_, descriptor, call) => {
    expect(callOf(descriptor)).toEqual(call && { service: 'rulecast.Subscribe', ...call });
  });

  it('is a channel of the qube that qrexec names, and begins after that, however it is cut', async () => {
    const listener = await listening();
    call('rulecast.Sub', 'scribe fw1\0hel', 'lo');
    const channel = await listener.accept();
    closing.push(() => channel.close());
    const name = `qrexec:${path()}#1`;
    expect(channel.peer).toEqual({ name, qube: 'fw1', service: 'rulecast.Subscribe' });
    expect(Buffer.from(await receive(channel, 5)).toString()).toBe('hello');
  });

  it.each([
    ['something else', 'GET / HTTP/1.1\r\n\0'],
    ['a line without an end', 'x'.repeat(256)],
    ['a line that is too long', `rulecast.Subscribe+${'x'.repeat(233)} fw1\0`],
  ])('that says %s is turned away, and the next is taken', async (_, said) => {
    const errors: string[] = [];
    const listener = await listening((error) => errors.push(error.message));
    const bad = call(said);
    await new Promise((resolve) => bad.resume().once('close', resolve));
    expect(errors).toEqual([expect.stringContaining('not of qrexec')]);
    call('rulecast.Subscribe fw1\0');
    expect((await listener.accept()).peer.qube).toBe('fw1');
  });

  it('of the longest line that is taken is one', async () => {
    const listener = await listening();
    call(`rulecast.Subscribe+${'x'.repeat(232)} fw1\0`);
    expect((await listener.accept()).peer.argument).toHaveLength(232);
  });

  it('that says nothing for two seconds is over', async () => {
    await listening();
    const silent = call('rulecast.Subscribe ');
    await once(silent, 'connect');
    const since = performance.now();
    await once(silent.resume(), 'close');
    expect(performance.now() - since).toBeGreaterThan(1_900);
  });

  it('that says nothing keeps nobody out: of too many the oldest goes', async () => {
    const listener = await listening();
    const silent = Array.from({ length: 65 }, () => call());
    await new Promise((resolve) => silent[0]?.resume().once('close', resolve));
    call('rulecast.Subscribe fw1\0');
    expect((await listener.accept()).peer.qube).toBe('fw1');
  });

  it('is not made by connecting to it', async () => {
    await expect(connect({ kind: 'qrexec', path: path() })).rejects.toThrow(/qrexec-client-vm/);
  });
});
