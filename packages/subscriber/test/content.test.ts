/** What is in force, given back to a publisher that lost it. PROTOCOL.md "QUERY". */

import {
  applyChain,
  CHUNK_BYTES,
  joinSigned,
  MANIFEST_BYTES,
  type Message,
  signaturesBytes,
  splitSigned,
  verifyRuleSet,
} from '@rulecast/protocol';
import { EMPTY_RULE_SET } from '@rulecast/rules';
import { expect, it } from 'vitest';
import type { ActiveRelease } from '../src/apply/activator.ts';
import { Content } from '../src/peer/content.ts';
import { ScriptedPublisher, sampleReleases } from './scripted-publisher.ts';
import { startedSubscriber } from './started.ts';

const ask = (piece?: { readonly hash: Uint8Array; readonly from: number }): Message => {
  return { kind: 'query', question: 'content', piece };
};

it('is the release as it was signed, and a snapshot that makes it', async () => {
  const publisher = new ScriptedPublisher();
  await startedSubscriber(publisher);
  const [release, next] = sampleReleases(publisher);
  const { peer } = await publisher.greeted();
  await peer.send(ask(), 1);
  expect((await peer.receiveWith('answer')).message).toMatchObject({ ok: false, code: 'not-ready' });
  await peer.bring(release);
  await peer.bring(next);
  await peer.send(ask(), 2);
  const { message, transaction } = await peer.receiveWith('answer');
  expect([message.ok, message.hash, transaction]).toEqual([true, next.hash, 2]);
  await peer.send(ask({ hash: next.hash, from: 0 }), 3);
  const chunk = await peer.receiveWith('chunk');
  expect([chunk.transaction, chunk.message.bytes.length]).toEqual([3, message.bytes]);
  const signedBytes = signaturesBytes(chunk.message.bytes) + MANIFEST_BYTES;
  const signed = splitSigned(chunk.message.bytes.subarray(0, signedBytes));
  expect(joinSigned(signed)).toEqual(joinSigned({ signatures: next.signatures, content: next.bytes }));
  const ruleSet = applyChain(EMPTY_RULE_SET, chunk.message.bytes.subarray(signedBytes));
  expect(() => verifyRuleSet(next.manifest, ruleSet)).not.toThrow();
  const beyond = [
    ask({ hash: release.hash, from: 0 }),
    ask({ hash: next.hash, from: message.bytes ?? 0 }),
    ask({ hash: next.hash, from: Number.MAX_SAFE_INTEGER }),
  ];
  for (const [i, question] of beyond.entries()) {
    await peer.send(question, 4 + i);
    expect((await peer.receiveWith('answer')).message).toMatchObject({ ok: false, code: 'unknown-release' });
  }
});

it('is made once, however often it is asked for, and dropped when nobody asks', async () => {
  const release = {
    hash: Uint8Array.of(1),
    signatures: Uint8Array.of(0),
    manifestBytes: new Uint8Array(104),
  };
  let active = { ...release, ruleSet: EMPTY_RULE_SET } as unknown as ActiveRelease; // as much of one as is looked at
  let made = 0;
  let drop: () => void = () => expect.fail('nothing is kept');
  let failure: Error | undefined;
  const activator = {
    get active() {
      return active;
    },
    snapshot: async () => {
      made += 1;
      if (failure !== undefined) throw failure;
      return new Uint8Array(2 * CHUNK_BYTES);
    },
  };
  const after = (_: number, work: () => void): (() => void) => {
    drop = work;
    return () => undefined;
  };
  const content = new Content(activator, { after });
  await Promise.all([content.length(), content.length(), content.piece(release.hash, 5)]);
  expect((await content.piece(release.hash, CHUNK_BYTES))?.length).toBe(CHUNK_BYTES);
  expect((await content.piece(release.hash, 2 * CHUNK_BYTES))?.length).toBe(105);
  expect(made).toBe(1);
  drop();
  await content.length();
  expect(made).toBe(2);
  active = { ...active, hash: Uint8Array.of(2) };
  expect(await content.piece(release.hash, 0)).toBeUndefined();
  failure = new RangeError('no room');
  await expect(content.length()).rejects.toThrow('no room');
  failure = undefined;
  expect((await content.length())?.bytes).toBe(105 + 2 * CHUNK_BYTES);
});
