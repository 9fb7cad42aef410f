/**
 * A peer that says of itself what is not so, over real sockets: what it was not offered it has not applied,
 * and the status is told whatever it says.
 */

import { writeFileSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import {
  decodeManifest,
  decodeMessage,
  encodeMessage,
  FrameDecoder,
  FrameEncoder,
  type Message,
  manifestHash,
} from '@rulecast/protocol';
import { expect, it } from 'vitest';
import { PERMITTED, rulectl } from '../processes.mjs';
import { Scene } from './scene.ts';

interface Liar {
  readonly socket: Socket;
  send(message: Message, spoil?: (body: Buffer) => void): void;
}

/** Says HELLO, and answers the first OFFER as it is told. */
function liar(
  scene: Scene,
  hello: Message,
  answer: (offer: { hash: Uint8Array; epoch: number; version: number }, it: Liar) => void,
): Liar {
  const socket = createConnection(scene.path('subscribers.sock')).on('error', () => undefined);
  scene.onClose(() => void socket.destroy());
  const [encoder, decoder] = [new FrameEncoder(), new FrameDecoder()];
  const self: Liar = {
    socket,
    send: (message, spoil = () => undefined) => {
      const { type, body } = encodeMessage(message);
      const bytes = Buffer.from(body);
      spoil(bytes);
      socket.write(encoder.frame(type, 0, bytes));
    },
  };
  socket.on('data', (bytes) => {
    decoder.feed(Uint8Array.from(bytes));
    for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
      const message = decodeMessage(frame.type, frame.body);
      if (message.kind !== 'offer') continue;
      const { epoch, version } = decodeManifest(message.content);
      answer({ hash: manifestHash(message.content), epoch, version }, self);
    }
  });
  self.send(hello);
  return self;
}

function applied(numbers: { hash: Uint8Array; epoch: number; version: number }): Message {
  const times = { receiveMs: 3_000_000_000_000, verifyMs: 0, compileMs: 0, flipMs: 0 };
  return { kind: 'applied', ...numbers, ...times, persisted: true, generation: 1 };
}

const LAST = 2n ** 53n - 1n;

it.each<[string, Parameters<typeof liar>[2]]>([
  ['a hash that was never offered', (offer, it) => it.send(applied({ ...offer, hash: new Uint8Array(32) }))],
  ['another epoch', (offer, it) => it.send(applied({ ...offer, epoch: offer.epoch + 1 }))],
  ['another version', (offer, it) => it.send(applied({ ...offer, version: offer.version + 1 }))],
  [
    'a time of 2^53-1 ms',
    (offer, it) =>
      it.send(applied(offer), (body) => {
        const at = body.indexOf(3_000_000_000_000n.toString(16).padStart(16, '0'), 0, 'hex');
        expect(at).toBeGreaterThan(0);
        body.writeBigUInt64BE(LAST, at);
      }),
  ],
])('APPLIED with %s: no push is applied by it, and everybody can see the status', async (_, answer) => {
  const scene = new Scene();
  await scene.publisher();
  const { socket } = liar(scene, await scene.hello('fw'), answer);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  await scene.control.until(({ subscribers }) => subscribers.some(({ name }) => name === 'fw'));
  writeFileSync(scene.path('blocked.txt'), '10.0.0.0/8\n');
  const push = await rulectl(scene.directory, [
    'push',
    scene.path('blocked.txt'),
    '--timeout',
    '5',
    ...PERMITTED,
  ]);
  expect(push.code).not.toBe(0);
  expect(push.stdout).toContain('released version 1');
  expect(push.stdout).not.toContain('applied by fw');
  for (const format of [[], ['--json']]) {
    const status = await rulectl(scene.directory, ['status', ...format]);
    expect(status).toMatchObject({ code: 0, stdout: expect.stringContaining('fw') });
  }
  const { subscribers } = await scene.control.status();
  expect(subscribers.map(({ name, matches, version }) => ({ name, matches, version }))).toEqual([
    { name: 'fw', matches: false, version: undefined },
  ]);
  await closed;
});
