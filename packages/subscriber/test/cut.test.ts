/** A snapshot that a connection does not bring to its end goes on with the next one, if it is the same. */

import { describe, expect, it } from 'vitest';
import { expectEnforces, sampleRuleSet } from './sample.ts';
import {
  type Peer,
  ScriptedPublisher,
  type ScriptedRelease,
  type ScriptedTransfer,
  snapshotOf,
} from './scripted-publisher.ts';
import { startedSubscriber } from './started.ts';

const STREAM = new Uint8Array(16).fill(0xa5);

/** Half of a snapshot, then the end of the connection; `spoil` changes the bytes that come. */
async function cut(
  peer: Peer,
  release: ScriptedRelease,
  { begin, chunks }: ScriptedTransfer,
  spoil: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes,
): Promise<number> {
  await peer.offer(release);
  await peer.receive('want');
  const [first = new Uint8Array()] = chunks;
  await peer.send({ kind: 'begin', ...begin, stream: STREAM });
  await peer.send({ kind: 'chunk', bytes: spoil(first) });
  await peer.send({ kind: 'ping' });
  await peer.receive('pong'); // so that the chunk has come
  peer.close();
  return first.length;
}

describe('a snapshot that was cut', () => {
  it('goes on where it was cut, over connections, and is in force', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const release = publisher.release(sampleRuleSet(1), { version: 1 });
    const transfer = snapshotOf(release);
    const received = await cut((await publisher.greeted()).peer, release, transfer);
    const again = (await publisher.greeted()).peer;
    await again.offer(release);
    expect((await again.receive('want')).has).toEqual({ stream: STREAM, bytes: received });
    again.close(); // before anything came: what is there still is
    const { peer } = await publisher.greeted();
    await peer.offer(release);
    expect((await peer.receive('want')).has).toEqual({ stream: STREAM, bytes: received });
    await peer.transfer({
      begin: { ...transfer.begin, stream: STREAM, from: received },
      chunks: transfer.chunks.slice(1),
    });
    await peer.receive('applied');
    await expectEnforces(subscriber, release.ruleSet);
  });

  it('is sent anew where the publisher has other bytes', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const release = publisher.release(sampleRuleSet(1), { version: 1 });
    await cut((await publisher.greeted()).peer, release, snapshotOf(release));
    const { peer } = await publisher.greeted();
    await peer.bring(release);
    await expectEnforces(subscriber, release.ruleSet);
  });

  it('is forgotten where another release is offered', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const [release, next] = [1, 2].map((version) => publisher.release(sampleRuleSet(version), { version }));
    if (release === undefined || next === undefined) throw new Error('two releases');
    await cut((await publisher.greeted()).peer, release, snapshotOf(release));
    const { peer } = await publisher.greeted();
    await peer.offer(next);
    expect((await peer.receive('want')).has).toBeUndefined();
    await peer.offer(release);
    expect((await peer.receive('want')).has).toBeUndefined();
    await peer.transfer(snapshotOf(release));
    await peer.receive('applied');
    await expectEnforces(subscriber, release.ruleSet);
  });

  it('that was spoiled before the cut is refused for now, and sent anew, whole', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const release = publisher.release(sampleRuleSet(1), { version: 1 });
    const transfer = snapshotOf(release);
    const received = await cut((await publisher.greeted()).peer, release, transfer, (bytes) =>
      bytes.map((byte, i) => (i === bytes.length - 1 ? byte ^ 1 : byte)),
    );
    const { peer } = await publisher.greeted();
    await peer.offer(release);
    await peer.receive('want');
    await peer.transfer({
      begin: { ...transfer.begin, stream: STREAM, from: received },
      chunks: transfer.chunks.slice(1),
    });
    expect(await peer.receive('nack')).toMatchObject({ retry: 'later', retryAfterMs: 0 });
    await peer.offer(release);
    expect((await peer.receive('want')).has).toBeUndefined();
    await peer.transfer(transfer);
    await peer.receive('applied');
    await expectEnforces(subscriber, release.ruleSet);
  });

  it.each([
    ['of other bytes', { stream: new Uint8Array(16) }],
    ['at another place', { from: 1 }],
    ['of another length', { bytes: 9 }],
    ['that is no snapshot', { snapshot: undefined }],
  ])('is not taken for one %s', async (_, fields) => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const release = publisher.release(sampleRuleSet(1), { version: 1 });
    const transfer = snapshotOf(release);
    const received = await cut((await publisher.greeted()).peer, release, transfer);
    const { peer } = await publisher.greeted();
    await peer.offer(release);
    await peer.receive('want');
    await peer.transfer({
      begin: { ...transfer.begin, stream: STREAM, from: received, ...fields },
      chunks: transfer.chunks.slice(1),
    });
    expect((await peer.receive('nack')).retry).toBe('later');
    await peer.bring(release);
    await expectEnforces(subscriber, release.ruleSet);
  });
});
