/**
 * Connections that say nothing, and too many of them, and pushes that are too large: the others are served.
 */

import { writeFileSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import {
  CONTROL_CONNECTIONS_MAX,
  Connection,
  HANDSHAKE_TIMEOUT_MS,
  NAME_PATIENCE_MS,
  PUSH_MAX_BYTES,
  SILENCE_TIMEOUT_MS,
  SUBSCRIBERS_MAX,
} from '@rulecast/protocol';
import { connect, parseEndpoint } from '@rulecast/vchan';
import { expect, it } from 'vitest';
import { endpointsIn, rulectl } from '../processes.mjs';
import { releaseOf } from './control-client.ts';
import { Scene, within } from './scene.ts';

const SILENT = 300;
/** Handshake, and the longest pause of a subscriber that was sent away meanwhile. */
const BACK_WITHIN_MS = HANDSHAKE_TIMEOUT_MS + 20_000;

/** Opens sockets that say nothing; resolves with those connected. */
async function silentSockets(scene: Scene, path: string, count: number): Promise<readonly Socket[]> {
  const sockets = await Promise.all(
    Array.from({ length: count }, async () => {
      for (;;) {
        const socket = createConnection(path);
        const isOpen = await new Promise<boolean>((resolve) => {
          socket.once('connect', () => resolve(true)).once('error', () => resolve(false)); // EAGAIN: the backlog is full
        });
        socket.on('error', () => undefined);
        if (isOpen) return socket;
        await pause(5);
      }
    }),
  );
  scene.onClose(() => {
    for (const socket of sockets) socket.destroy();
  });
  return sockets;
}

function closed(sockets: readonly Socket[]): Promise<unknown> {
  return Promise.all(
    sockets.map((socket) => {
      socket.resume(); // reads the BYE, and so notices the end
      return socket.destroyed || new Promise((resolve) => socket.once('close', resolve));
    }),
  );
}

it(`serves those it has while ${SILENT} connections say nothing, and ends these`, async () => {
  const scene = new Scene();
  const { control } = scene;
  await scene.publisher();
  await scene.subscriber('firewall');
  await control.push({ list: 'blocked', text: '10.0.0.1\n' });
  await control.synced('firewall');
  const startMs = performance.now();
  const sockets = await silentSockets(scene, scene.path('subscribers.sock'), SILENT);
  const answer = await control.push({ list: 'blocked', text: '10.0.0.2\n' });
  expect(answer.records.find((record) => record.record === 'applied')).toMatchObject({
    state: 'applied',
    version: 2,
  });
  const servedMs = performance.now() - startMs;
  expect(servedMs).toBeLessThan(HANDSHAKE_TIMEOUT_MS); // they were still there
  await scene.subscriber('late');
  await control.synced('late', BACK_WITHIN_MS);
  const lateMs = performance.now() - startMs;
  await within(closed(sockets), BACK_WITHIN_MS, 'the end of the silent connections');
  console.log(
    `push beside ${SILENT} silent connections after ${servedMs.toFixed(0)} ms; a new subscriber was in after ${lateMs.toFixed(0)} ms`,
  );
});

it('answers rulectl beside silent control connections, and ends them', async () => {
  const scene = new Scene();
  await scene.publisher();
  const sockets = await silentSockets(scene, scene.path('control.sock'), SILENT);
  expect((await rulectl(scene.directory, ['status', '--json'])).code).toBe(0);
  await within(closed(sockets), HANDSHAKE_TIMEOUT_MS + 5000, 'the end of the silent connections');
});

it('lets a firewall in that was restarted while its old connection hangs, and notices one that hangs in 15 s', async () => {
  const scene = new Scene();
  const publisher = await scene.publisher();
  const [hung, cut] = [await scene.subscriber('hung'), await scene.subscriber('cut')];
  await scene.control.until(({ subscribers }) => subscribers.length === 2);
  // As where the power is cut: no end of the stream, and nothing reads.
  for (const { process } of [hung, cut]) {
    process.kill('SIGSTOP');
    scene.onClose(() => void process.kill('SIGCONT'));
  }
  const startMs = performance.now();
  const again = (await greet(scene, 'hung')).answer;
  const backMs = performance.now() - startMs;
  expect(again).toBe('welcome');
  expect(backMs).toBeGreaterThan(NAME_PATIENCE_MS - 50);
  await publisher.logged((line) => line['msg'] === 'subscriber disconnected' && line['subscriber'] === 'cut');
  const noticedMs = performance.now() - startMs;
  console.log(`back after ${backMs.toFixed(0)} ms, noticed after ${noticedMs.toFixed(0)} ms`);
  expect(noticedMs).toBeLessThan(SILENCE_TIMEOUT_MS + 2000);
});

// It said "disconnected" and "in force nowhere", and the release was in force a second later.
it('waits for a firewall that stands still longer than a session does, and says so meanwhile', async () => {
  const scene = new Scene();
  await scene.publisher();
  const { process } = await scene.subscriber('fw');
  await scene.control.until(({ subscribers }) => subscribers.length === 1);
  process.kill('SIGSTOP');
  scene.onClose(() => void process.kill('SIGCONT'));
  writeFileSync(scene.path('drop.txt'), '192.0.2.1\n');
  const pushing = rulectl(scene.directory, ['push', scene.path('drop.txt')]);
  await pause(SILENCE_TIMEOUT_MS + 2000);
  process.kill('SIGCONT');
  const { code, stdout, stderr } = await pushing;
  expect(stdout).toContain('in force at 1 of 1 subscriber');
  expect(stderr).toMatch(/released, and on its way to subscribers \(0 of 1\)/);
  expect(code).toBe(0);
});

async function greet(
  scene: Scene,
  name: string,
): Promise<{ readonly connection: Connection; readonly answer: string }> {
  const connection = await scene.greet(name);
  const message = (await within(connection.receive(), 10_000, 'an answer to HELLO'))?.message;
  return { connection, answer: message?.kind === 'bye' ? message.code : (message?.kind ?? 'the end') };
}

it(`takes ${SUBSCRIBERS_MAX} subscribers, tells the next one to come later, and takes it when there is room`, async () => {
  const scene = new Scene();
  const publisher = await scene.publisher();
  const greeted: Connection[] = [];
  for (let i = 0; i < SUBSCRIBERS_MAX; i++) {
    const { connection, answer } = await greet(scene, `firewall-${i}`);
    expect(answer).toBe('welcome');
    greeted.push(connection);
  }
  expect((await greet(scene, 'one-more')).answer).toBe('too-many-connections');
  greeted[0]?.close();
  await publisher.logged(
    (line) => line['msg'] === 'subscriber disconnected' && line['subscriber'] === 'firewall-0',
  );
  expect((await greet(scene, 'one-more')).answer).toBe('welcome');
  expect((await scene.control.status()).subscribers).toHaveLength(SUBSCRIBERS_MAX + 1);
});

it(`answers ${CONTROL_CONNECTIONS_MAX} requests at once, tells the next one so, and takes it when there is room`, async () => {
  const scene = new Scene();
  await scene.publisher();
  const watchers: Connection[] = [];
  for (let i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
    const connection = new Connection(await connect(parseEndpoint(endpointsIn(scene.directory).control)));
    scene.onClose(() => connection.close());
    await connection.send({ kind: 'status', watch: true });
    expect((await connection.receive())?.message.kind).toBe('record');
    watchers.push(connection);
  }
  const { code, stdout } = await rulectl(scene.directory, ['status', '--json']);
  expect(code).toBe(3);
  expect(stdout).toContain('too-many-connections');
  expect(stdout).toContain('come again in 5 s');
  watchers[0]?.close();
  await expect
    .poll(async () => (await rulectl(scene.directory, ['status', '--json'])).code, { timeout: 10_000 })
    .toBe(0);
});

it('refuses a push that is too large when it is announced, and a file that is longer than announced', async () => {
  const scene = new Scene();
  const { control } = scene;
  await scene.publisher();
  const { hash } = releaseOf(await control.push({ list: 'blocked', text: '10.0.0.1\n' }));
  const push = async (bytes: number, chunk: Uint8Array): Promise<string> => {
    const connection = new Connection(await connect(parseEndpoint(endpointsIn(scene.directory).control)));
    scene.onClose(() => connection.close());
    await connection.send({
      kind: 'push',
      action: 'replace',
      list: 'blocked',
      replaceAll: false,
      dryRun: false,
      wait: 'released',
      timeoutMs: 1000,
      files: 1,
    });
    await connection.send({ kind: 'file', name: 'blocked.txt', role: 'pushed', bytes });
    await connection.send({ kind: 'chunk', bytes: chunk }).catch(() => undefined); // it may be refused already
    const message = (await within(connection.receive(), 10_000, 'an answer'))?.message;
    return message?.kind === 'fail' ? message.code : (message?.kind ?? 'the end');
  };
  expect(await push(PUSH_MAX_BYTES + 1, Buffer.from('10.0.0.2\n'))).toBe('over-limit');
  expect(await push(2 ** 53 - 1, Buffer.from('10.0.0.2\n'))).toBe('over-limit');
  expect(await push(4, Buffer.from('10.0.0.2\n'))).toBe('bad-transfer');
  expect((await control.status()).head).toMatchObject({ version: 1, hash });
});
