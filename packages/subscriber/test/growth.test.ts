/** A publisher of later days, and one whose head needs what this side does not know. WIRE.md "Growth". */

import { encodeMessage, FrameEncoder, type Message } from '@rulecast/protocol';
import { expect, it } from 'vitest';
import { expectEnforces } from './sample.ts';
import { ScriptedPublisher, sampleReleases } from './scripted-publisher.ts';
import { startedSubscriber } from './started.ts';

const HASH = new Uint8Array(32).fill(9);

//
it('what nobody here knows is passed over where it is marked so, and counted', async () => {
  const publisher = new ScriptedPublisher();
  await startedSubscriber(publisher);
  const peer = await publisher.peer();
  const known = ['names', 'exceptions', 'unmatched', 'private-rules', 'first', 'pages'];
  expect((await peer.receive('hello')).capabilities).toEqual(known);
  const frames = new FrameEncoder();
  const send = (message: Message, transaction = 0): void => {
    const { type, body } = encodeMessage(message);
    peer.server.write(frames.frame(type, transaction, body));
  };
  const { lineage } = publisher.trust;
  send({ kind: 'welcome', protocol: 2, name: 'p', lineage, heartbeatMs: 5000, capabilities: ['later'] });
  peer.server.write(frames.frame(222, 0, Uint8Array.of(1, 2, 3)));
  const later = Uint8Array.of(0x81, 0xa2, ...Buffer.from('+a'), 0xc3);
  peer.server.write(frames.frame(encodeMessage({ kind: 'ping' }).type, 0, later));
  await peer.receive('pong');
  send({ kind: 'query', question: 'stats' }, 5);
  expect((await peer.receiveWith('answer')).message.stats).toMatchObject({ skipped: 2 });
});

// P-8
it('a head that it is not offered is told, and what is in force stays', async () => {
  const publisher = new ScriptedPublisher();
  const subscriber = await startedSubscriber(publisher);
  const [release, next] = sampleReleases(publisher);
  const { peer } = await publisher.greeted();
  await peer.bring(release);
  await peer.send({ kind: 'unsupported', hash: HASH, capabilities: ['later'], text: 'it is of later days' });
  await peer.send({ kind: 'ping' });
  await peer.receive('pong');
  expect(subscriber.status()).toMatchObject({
    connected: true,
    version: 1,
    lastError: { code: 'unsupported', text: expect.stringContaining('later') },
  });
  await expectEnforces(subscriber, release.ruleSet);
  await peer.bring(next);
  expect(subscriber.status()).toMatchObject({ version: 2, lastError: undefined });
});
