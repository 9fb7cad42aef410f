/**
 * A large snapshot that a connection does not bring to its end goes on with the next one, if it is the same.
 */

import { CHUNK_BYTES, encodeChain, encodeSnapshot, RESUMED_MIN_BYTES } from '@rulecast/protocol';
import type { RuleSet } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { expectEnforces, ruleSetOf, sampleRuleSet } from './sample.ts';
import {
  type Peer,
  ScriptedPublisher,
  type ScriptedRelease,
  type ScriptedTransfer,
  snapshotOf,
} from './scripted-publisher.ts';
import { startedSubscriber } from './started.ts';

const STREAM = new Uint8Array(16).fill(0xa5);
const LONG = Array.from(
  { length: 520 },
  (_, i) => `drop dst4=10.0.${i >> 8}.${i & 255} comment=${`${i}`.padEnd(4090, 'x')}`,
);
const LARGE = [largeRuleSet('drop'), largeRuleSet('accept')] as const;

function largeRuleSet(defaultAction: 'accept' | 'drop'): RuleSet {
  return ruleSetOf({ policies: { long: { defaultAction, prefixes: ['10.137.0.5/32'], egress: LONG } } });
}

/** Undeflated, in chunks as long as may be. */
function largeSnapshotOf(release: ScriptedRelease): ScriptedTransfer {
  const stream = encodeChain([encodeSnapshot(release.ruleSet, true)]);
  const count = Math.ceil(stream.length / CHUNK_BYTES);
  const chunks = Array.from({ length: count }, (_, i) =>
    stream.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES),
  );
  return { begin: { bytes: stream.length, snapshot: true }, chunks };
}

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

describe('a snapshot of 2 MiB that was cut', () => {
  it('goes on where it was cut, over connections, and is in force', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const release = publisher.release(LARGE[0], { version: 1 });
    const transfer = largeSnapshotOf(release);
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
    const release = publisher.release(LARGE[0], { version: 1 });
    await cut((await publisher.greeted()).peer, release, largeSnapshotOf(release));
    const { peer } = await publisher.greeted();
    await peer.bring(release);
    await expectEnforces(subscriber, release.ruleSet);
  });

  it('is forgotten where another release is offered', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const release = publisher.release(LARGE[0], { version: 1 });
    const next = publisher.release(LARGE[1], { version: 2 });
    await cut((await publisher.greeted()).peer, release, largeSnapshotOf(release));
    const { peer } = await publisher.greeted();
    await peer.offer(next);
    expect((await peer.receive('want')).has).toBeUndefined();
    await peer.offer(release);
    expect((await peer.receive('want')).has).toBeUndefined();
    await peer.transfer(largeSnapshotOf(release));
    await peer.receive('applied');
    await expectEnforces(subscriber, release.ruleSet);
  });

  it('that was spoiled before the cut is refused for now, and sent anew, whole', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const release = publisher.release(LARGE[0], { version: 1 });
    const transfer = largeSnapshotOf(release);
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
    const release = publisher.release(LARGE[0], { version: 1 });
    const transfer = largeSnapshotOf(release);
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

describe('a smaller snapshot that was cut', () => {
  it('begins anew with the next connection, whatever it was called', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const release = publisher.release(sampleRuleSet(1), { version: 1 });
    await cut((await publisher.greeted()).peer, release, snapshotOf(release));
    const { peer } = await publisher.greeted();
    await peer.offer(release);
    expect((await peer.receive('want')).has).toBeUndefined();
    await peer.transfer(snapshotOf(release));
    await peer.receive('applied');
    await expectEnforces(subscriber, release.ruleSet);
  });

  it.each([
    [RESUMED_MIN_BYTES - 1, true],
    [RESUMED_MIN_BYTES, false],
  ])('of %d bytes leaves nothing: %s', async (bytes, isGone) => {
    const publisher = new ScriptedPublisher();
    await startedSubscriber(publisher);
    const release = publisher.release(LARGE[0], { version: 1 });
    const { begin, chunks } = largeSnapshotOf(release);
    await cut((await publisher.greeted()).peer, release, { begin: { ...begin, bytes }, chunks });
    const { peer } = await publisher.greeted();
    await peer.offer(release);
    expect((await peer.receive('want')).has === undefined).toBe(isGone);
  });
});
