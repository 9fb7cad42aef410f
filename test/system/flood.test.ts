/**
 * A client that asks without end and does not read the answers costs a daemon no memory, and does not affect
 * others. Raw sockets, with the victim as a process of its own, whose resident memory is measured.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createConnection, createServer, type Socket } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import {
  encodeMessage,
  FrameDecoder,
  FrameEncoder,
  type Message,
  PROTOCOL_VERSION,
  parseTrust,
} from '@rulecast/protocol';
import { expect, it } from 'vitest';
import { encodeFlow, encodeHello } from '../../packages/vchan/src/zeromq/message.ts';
import { rawDealer } from '../../packages/vchan/test/raw-dealer.ts';
import type { Daemon } from '../processes.mjs';
import { Scene } from './scene.ts';

const MIB = 2 ** 20;
/** A flood that is not ended by its victim ends after so long. */
const FLOOD_MS = 10_000;
/** What a connection may hold: its queue and buffers, and garbage that was not collected yet. */
const GROWTH_MAX_BYTES = 64 * MIB;
/** Frames that are written together, so that the flood costs its sender little. */
const BATCH_FRAMES = 500;
const HASH = new Uint8Array(32).fill(7);

function rssOf(victim: { readonly process: ChildProcess }): number {
  const status = readFileSync(`/proc/${victim.process.pid}/status`, 'utf8');
  return Number(/VmRSS:\s*(\d+) kB/.exec(status)?.[1]) * 1024;
}

/** What a daemon takes at rest. */
async function restingRss(victim: Daemon): Promise<number> {
  await setTimeout(2000);
  for (let last = rssOf(victim); ; last = rssOf(victim)) {
    await setTimeout(500);
    if (rssOf(victim) - last < MIB) return last;
  }
}

/**
 * Writes messages and never reads, until the peer ends it or the time is over. Resolves to what the victim's
 * memory grew by.
 */
async function flood(
  socket: Socket,
  encoder: FrameEncoder,
  message: (i: number) => readonly [Message, number],
  victim: Daemon,
): Promise<{ readonly grownBytes: number; readonly isEnded: boolean; readonly frames: number }> {
  const before = await restingRss(victim);
  let [most, frames] = [before, 0];
  const startMs = performance.now();
  const closed = new Promise((resolve) => socket.once('close', resolve));
  while (!socket.destroyed && performance.now() - startMs < FLOOD_MS) {
    const batch = Array.from({ length: BATCH_FRAMES }, () => {
      const [sent, transaction] = message(++frames);
      const { type, body } = encodeMessage(sent);
      return encoder.frame(type, transaction, body);
    });
    const isTaken = socket.write(Buffer.concat(batch));
    const pause = setTimeout(50);
    if (isTaken) await new Promise((resolve) => setImmediate(resolve));
    else await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), closed, pause]);
    most = Math.max(most, rssOf(victim));
  }
  return { grownBytes: most - before, isEnded: socket.destroyed, frames };
}

const PING: Message = { kind: 'ping', hash: HASH, ageMs: 1 };

function told(what: string, found: { readonly grownBytes: number; readonly frames: number }): void {
  console.log(`${what}: ${found.frames} frames, ${Math.round(found.grownBytes / MIB)} MiB more`);
}

it('a publisher ends the connection of a subscriber that pings and does not read', async () => {
  const scene = new Scene();
  const publisher = await scene.publisher();
  await scene.subscriber('firewall');
  const socket = createConnection(scene.path('subscribers.sock')).on('error', () => undefined);
  scene.onClose(() => void socket.destroy());
  const encoder = new FrameEncoder();
  const { type, body } = encodeMessage(await scene.hello('flood'));
  socket.write(encoder.frame(type, 0, body));
  await new Promise((resolve) => socket.once('data', resolve)); // WELCOME, before which nothing has a place
  socket.pause();
  const found = await flood(socket, encoder, () => [PING, 0], publisher);
  told('PINGs to a publisher', found);
  expect(found.isEnded).toBe(true);
  expect(found.grownBytes).toBeLessThan(GROWTH_MAX_BYTES);
  const { subscribers } = await scene.control.status();
  expect(subscribers.find(({ name }) => name === 'flood')?.lastError?.code).toBe('not-reading');
  expect(subscribers.find(({ name }) => name === 'firewall')?.connectedSinceMs).toBeDefined();
});

it.each<[string, (i: number) => readonly [Message, number]]>([
  ['PINGs', () => [PING, 0]],
  ['questions for counters', (i) => [{ kind: 'query', question: 'stats' }, i]],
  [
    'questions about packets',
    (i) => [
      {
        kind: 'query',
        question: 'test',
        packet: { direction: 'egress', dst: Uint8Array.of(192, 0, 2, 1), proto: 6, port: 443 },
      },
      i,
    ],
  ],
])(
  'a subscriber ends the connection of a publisher that sends %s and does not read',
  async (what, message) => {
    const scene = new Scene();
    const front = scene.path('front.sock');
    const lineage = parseTrust(await scene.trustLine())?.lineage ?? new Uint8Array();
    let greeted: (socket: Socket) => void = () => undefined;
    const greeting = new Promise<Socket>((resolve) => {
      greeted = resolve;
    });
    let connects = 0;
    const server = createServer((socket) => {
      connects += 1;
      socket
        .on('error', () => undefined)
        .once('data', (bytes) => {
          const decoder = new FrameDecoder();
          decoder.feed(bytes);
          if (decoder.next() !== undefined) greeted(socket);
        });
      scene.onClose(() => void socket.destroy());
    }).listen(front);
    scene.onClose(() => void server.close());
    const subscriber = await scene.subscriber('firewall', `unix:${front}`);
    const socket = await greeting;
    socket.pause();
    const encoder = new FrameEncoder();
    const { type, body } = encodeMessage({
      kind: 'welcome',
      protocol: PROTOCOL_VERSION,
      name: 'mgmt',
      lineage,
      heartbeatMs: 15_000,
    });
    socket.write(encoder.frame(type, 0, body));
    await subscriber.logged((line) => line['msg'] === 'connected');
    const found = await flood(socket, encoder, message, subscriber);
    told(`${what} to a subscriber`, found);
    expect(found.isEnded).toBe(true);
    expect(found.grownBytes).toBeLessThan(GROWTH_MAX_BYTES);
    await subscriber.logged((line) => line['code'] === 'not-reading');
    await expect.poll(() => connects).toBeGreaterThan(1); // it comes back
  },
);

/** Listens, says so, accepts one channel, and is too busy to read. */
const BUSY_LISTENER = `
import { listen } from '@rulecast/vchan';
import { appendFileSync } from 'node:fs';
const [path, said] = process.argv.slice(1);
const listener = await listen({ kind: 'zmq+ipc', path });
appendFileSync(said, 'ready');
await listener.accept();
appendFileSync(said, 'busy');
Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3000);
appendFileSync(said, 'over');
setInterval(() => undefined, 1000);
`;

// 1,000 messages of 64 KiB each were taken in by ZeroMQ's own thread.
it('a ZeroMQ listener that is busy takes in no more of a peer that ignores its credit than the high-water mark', async () => {
  const scene = new Scene();
  const [path, said] = [scene.path('zmq.sock'), scene.path('said')];
  writeFileSync(said, '');
  const child = spawn(process.execPath, ['--input-type=module', '-e', BUSY_LISTENER, path, said], {
    cwd: fileURLToPath(new URL('../../packages/publisher', import.meta.url)), // whence it finds the package
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  scene.onClose(() => void child.kill('SIGKILL'));
  const hasSaid = (word: string): boolean => readFileSync(said, 'utf8').includes(word);
  await expect.poll(() => hasSaid('ready')).toBe(true);
  const dealer = rawDealer(path, { sendHighWaterMark: 4 });
  scene.onClose(() => dealer.close());
  await dealer.send(encodeHello(new Uint8Array(16).fill(5), 65_536));
  await expect.poll(() => hasSaid('busy')).toBe(true);
  const before = rssOf({ process: child });
  const flow = encodeFlow(0, new Uint8Array(65_536));
  dealer.sendTimeout = 100;
  let most = before;
  for (let i = 0; i < 2000 && !hasSaid('over'); i++) {
    await dealer.send(flow).catch(() => undefined); // it takes no more
    most = Math.max(most, rssOf({ process: child }));
  }
  told('FLOWs to a busy ZeroMQ listener', { grownBytes: most - before, frames: 0 });
  expect(most - before).toBeLessThan(16 * MIB);
});
