/**
 * Freshness against attackers on the path: one that only answers PINGs, one that mixes sessions, one that
 * replays statements, and one with the freshness key.
 */

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { encodeStatement, hexOf, type MessageOf, STALE_AFTER_MS, signBytes } from '@rulecast/protocol';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { freshKey, rootOf, signedRoot } from '../../../test/kit/roots.mjs';
import type { Subscriber } from '../src/peer/subscriber.ts';
import { expectEnforces, packetOf, sampleRuleSet } from './sample.ts';
import {
  chainOf,
  type Peer,
  ScriptedPublisher,
  type ScriptedRelease,
  sampleReleases,
} from './scripted-publisher.ts';
import { RecordingSink, startedSubscriber } from './started.ts';

const BEAT_MS = 5000;
const PACKET = packetOf('egress', '10.137.0.5', '192.0.2.1');

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'],
  });
});

afterEach(() => {
  vi.useRealTimers();
});

/** What is said of a release that is the newest. */
function numberOf({ manifest, hash }: ScriptedRelease): { epoch: number; version: number; hash: Uint8Array } {
  return { epoch: manifest.epoch, version: manifest.version, hash };
}

/** A release of that epoch and version. */
function numbered(publisher: ScriptedPublisher, epoch: number, version: number): ScriptedRelease {
  return publisher.release(sampleRuleSet(version), { epoch, version });
}

async function greeted(publisher: ScriptedPublisher, heartbeatMs = BEAT_MS): Promise<Peer> {
  const peer = await publisher.peer();
  await peer.receive('hello');
  await peer.welcome(publisher.trust.lineage, heartbeatMs);
  peer.isFirst = false; // what is said here is said by the test
  return peer;
}

/** One heartbeat passes, and the peer answers nothing but that it lives. */
async function beat(peer: Peer): Promise<MessageOf<'ping'>> {
  await vi.advanceTimersByTimeAsync(BEAT_MS);
  const ping = await peer.receive('ping');
  await peer.send({ kind: 'pong' });
  return ping;
}

async function answeredPing(peer: Peer): Promise<MessageOf<'pong'>> {
  await peer.send({ kind: 'ping' });
  return peer.receive('pong');
}

async function settled(peer: Peer): Promise<void> {
  await answeredPing(peer);
}

async function refused(peer: Peer, release: ScriptedRelease): Promise<MessageOf<'nack'>> {
  await peer.offer(release);
  return peer.receive('nack');
}

describe('a subscriber that remembers nothing', () => {
  //
  it('takes no release before it is told what is newest, and then none below', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const peer = await greeted(publisher);
    const [one, two, three] = sampleReleases(publisher);
    expect(await refused(peer, one)).toMatchObject({ code: 'not-fresh', retry: 'later', retryAfterMs: 5000 });
    expect(subscriber.lookup(PACKET).action).toBe('drop');
    await peer.fresh(numberOf(two));
    expect(await refused(peer, one)).toMatchObject({ code: 'not-fresh', retry: 'later' });
    const fork = publisher.release(sampleRuleSet(9), { version: 2 });
    expect(await refused(peer, fork)).toMatchObject({ code: 'forked', retry: 'later' });
    await peer.bring(two);
    await peer.bring(three); // it came since
    expect(subscriber.status()).toMatchObject({ version: 3, freshness: 'fresh' });
  });

  it('is not rolled back at its next start by what was said to the one before', async () => {
    const publisher = new ScriptedPublisher();
    const [one] = sampleReleases(publisher);
    const first = await startedSubscriber(publisher);
    const before = await greeted(publisher);
    const { nonce = new Uint8Array() } = before;
    await before.fresh(numberOf(one));
    await before.bring(one);
    await first.close();
    // Disposable: the same again, knowing nothing of the first; and a relay that has every byte of before.
    await startedSubscriber(publisher);
    const again = await greeted(publisher);
    expect(again.nonce).not.toEqual(nonce);
    again.nonce = nonce;
    await again.fresh(numberOf(one));
    expect(await refused(again, one)).toMatchObject({ code: 'not-fresh' });
  });

  //
  it.each([
    ['another lineage', { lineage: new Uint8Array(16) }],
    ['another root', { root: new Uint8Array(32) }],
  ])('believes nothing that is said of %s', async (_, said) => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const peer = await greeted(publisher);
    const [one] = sampleReleases(publisher);
    await peer.fresh({ ...numberOf(one), ...said });
    expect(await refused(peer, one)).toMatchObject({ code: 'not-fresh' });
    expect(subscriber.status()).toMatchObject({ freshness: 'unsure' });
  });

  //
  it('believes nobody but the keys of freshness: a release key is none', async () => {
    const lineage = new Uint8Array(16).fill(0x4c);
    const publisher = new ScriptedPublisher();
    const { roles } = rootOf(lineage, publisher.privateKey);
    const { root, freshness } = { root: roles.root, freshness: rootOf(lineage, freshKey()).roles.freshness };
    const next = signedRoot(
      rootOf(lineage, publisher.privateKey, { number: 2, roles: { ...roles, root, freshness } }),
      publisher.privateKey,
    );
    const subscriber = await startedSubscriber(publisher);
    const peer = await greeted(publisher);
    await peer.send({ kind: 'root', signatures: next.signatures, content: next.content });
    const [one] = sampleReleases(publisher);
    await peer.fresh({ ...numberOf(one), root: next.hash }); // signed by the key of releases
    expect(await refused(peer, one)).toMatchObject({ code: 'not-fresh' });
    expect(subscriber.status().lastError).toMatchObject({ code: 'not-fresh' });
  });

  it.each([
    [[1, 1], [0, 9], false],
    [[0, 9], [1, 1], true],
  ] as const)(
    'orders epochs before versions: of %o, the newest, and %o',
    async (newest, offered, isTaken) => {
      const publisher = new ScriptedPublisher();
      const subscriber = await startedSubscriber(publisher);
      const peer = await greeted(publisher);
      await peer.fresh(numberOf(numbered(publisher, newest[0], newest[1])));
      const release = numbered(publisher, offered[0], offered[1]);
      if (isTaken) await peer.bring(release);
      else expect(await refused(peer, release)).toMatchObject({ code: 'not-fresh', retry: 'later' });
      expect(subscriber.status().freshness).toBe(isTaken ? 'fresh' : 'unsure'); // it came since
    },
  );

  //
  it('takes one answer to a nonce, though another is signed as well', async () => {
    const publisher = new ScriptedPublisher();
    await startedSubscriber(publisher);
    const peer = await greeted(publisher);
    const { nonce } = peer;
    const [one, two] = sampleReleases(publisher);
    await peer.fresh(numberOf(two));
    peer.nonce = nonce;
    await peer.fresh(numberOf(one)); // made before the other, and kept by the attacker on the path
    expect(await refused(peer, one)).toMatchObject({ code: 'not-fresh' });
    await peer.bring(two);
  });

  it('believes no release of another lineage, of the key and of any number', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const peer = await greeted(publisher);
    const lineage = new Uint8Array(16).fill(1);
    const foreign = publisher.release(sampleRuleSet(1), { version: 1, lineage });
    await peer.fresh();
    expect(await refused(peer, foreign)).toMatchObject({ code: 'wrong-lineage', retry: 'never' });
    expect(subscriber.lookup(PACKET).policy).toBe('boot');
  });

  //
  it('asks with another nonce at each PING, of which the last four may be answered', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const peer = await greeted(publisher);
    const [one] = sampleReleases(publisher);
    const nonces = [peer.nonce];
    for (let i = 0; i < 4; i++) nonces.push((await beat(peer)).nonce);
    expect(new Set(nonces.map((nonce) => Buffer.from(nonce ?? []).toString('hex'))).size).toBe(5);
    const answer = async (nonce: Uint8Array | undefined): Promise<void> => {
      peer.nonce = nonce;
      await peer.fresh(numberOf(one));
    };
    await answer(nonces[0]); // five were asked since
    expect(await refused(peer, one)).toMatchObject({ code: 'not-fresh' });
    await answer(nonces[2]);
    await peer.bring(one);
    expect(subscriber.status()).toMatchObject({ freshness: 'fresh', freshAgeMs: 2 * BEAT_MS });
    await answer(nonces[1]); // before one that was answered
    await answer(nonces[2]); // a second time
    await settled(peer);
    expect(subscriber.status().freshAgeMs).toBe(2 * BEAT_MS);
    await answer(nonces[4]);
    await settled(peer);
    expect(subscriber.status().freshAgeMs).toBe(0);
  });
});

describe('who stands where the publisher should be', () => {
  // By `heartbeatMs` a nonce lived for 240 s, in which a release was kept back that was the newest no more.
  it.each([60_000, 15_000, 2000])(
    'lengthens the life of no nonce by a heartbeat of %i ms',
    async (heartbeatMs) => {
      const publisher = new ScriptedPublisher();
      await startedSubscriber(publisher);
      const peer = await greeted(publisher, heartbeatMs);
      const [one] = sampleReleases(publisher);
      const { nonce: first } = peer;
      const nonces: (Uint8Array | undefined)[] = [first];
      for (let passed = 0; passed < 4 * BEAT_MS; passed += BEAT_MS) {
        await vi.advanceTimersByTimeAsync(BEAT_MS);
        for (let before = peer.nonce; before === peer.nonce; ) await peer.receive('ping');
        nonces.push(peer.nonce);
        await settled(peer); // nothing more was asked meanwhile
        expect(peer.nonce).toBe(nonces.at(-1));
      }
      expect(new Set(nonces.map((nonce) => hexOf(nonce ?? new Uint8Array()))).size).toBe(5);
      peer.nonce = first;
      await peer.fresh(numberOf(one));
      expect(await refused(peer, one)).toMatchObject({ code: 'not-fresh' });
      peer.nonce = nonces[1];
      await peer.fresh(numberOf(one));
      await peer.bring(one);
    },
  );

  //
  it('has nothing believed that answers what was asked longer ago than the limit', async () => {
    const publisher = new ScriptedPublisher();
    await startedSubscriber(publisher, { staleAfterMs: 4000 });
    const peer = await greeted(publisher);
    const [one] = sampleReleases(publisher);
    const { nonce } = peer;
    await vi.advanceTimersByTimeAsync(4001);
    await peer.fresh(numberOf(one));
    expect(await refused(peer, one)).toMatchObject({ code: 'not-fresh' });
    await vi.advanceTimersByTimeAsync(999);
    await peer.receive('ping');
    expect(peer.nonce).not.toEqual(nonce);
    await peer.fresh(numberOf(one));
    await peer.bring(one);
  });

  //
  it('brings nothing to who has no floor once what was said is older than the limit', async () => {
    const publisher = new ScriptedPublisher();
    await startedSubscriber(publisher);
    const peer = await greeted(publisher);
    const [one] = sampleReleases(publisher);
    await peer.fresh(numberOf(one));
    for (let passed = 0; passed <= STALE_AFTER_MS; passed += BEAT_MS) await beat(peer);
    expect(await refused(peer, one)).toMatchObject({ code: 'not-fresh', retry: 'later' });
    await peer.fresh(numberOf(one));
    await peer.bring(one);
  });

  //
  it('uses up no nonce by what nobody signed, of which four are looked at', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const peer = await greeted(publisher);
    const [one, two] = sampleReleases(publisher);
    const said = async (nonce: Uint8Array | undefined, key = freshKey()): Promise<void> => {
      peer.nonce = nonce;
      await peer.fresh(numberOf(one), key);
    };
    const { nonce } = peer;
    for (let i = 0; i < 3; i++) await said(nonce);
    await said(nonce, publisher.privateKey);
    await peer.bring(one);
    const { nonce: next } = await beat(peer);
    for (let i = 0; i < 4; i++) await said(next);
    await said(next, publisher.privateKey);
    await settled(peer);
    expect(subscriber.status().freshAgeMs).toBe(BEAT_MS);
    await beat(peer);
    await peer.fresh(numberOf(two)); // the next one is not touched by that
    await peer.bring(two);
    expect(subscriber.status().freshAgeMs).toBe(0);
  });

  //
  it.each([
    ['nothing', false, 60_000],
    ['that it is the publisher', true, 300_000],
  ])('and has proved %s is left alone for so long at most', async (_, hasProved, ms) => {
    const publisher = new ScriptedPublisher();
    await startedSubscriber(publisher, { random: () => 0 });
    const peer = await greeted(publisher);
    if (hasProved) await peer.fresh();
    await settled(peer);
    await peer.send({ kind: 'bye', code: 'too-many-connections', text: '', retryAfterMs: 300_000 });
    await peer.ended();
    let isBack = false;
    void publisher.peer().then(() => {
      isBack = true;
    });
    await vi.advanceTimersByTimeAsync(ms - 1);
    expect(isBack).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    await vi.waitFor(() => expect(isBack).toBe(true));
  });
});

describe('what is in force', () => {
  /** With release 1 in force, known to be the newest at the start. */
  async function house(options: Parameters<typeof startedSubscriber>[1] = {}): Promise<{
    publisher: ScriptedPublisher;
    subscriber: Subscriber;
    peer: Peer;
    one: ScriptedRelease;
    told: string[];
  }> {
    const publisher = new ScriptedPublisher();
    const told: string[] = [];
    const logger = pino({}, { write: (line) => void told.push(String(JSON.parse(line).msg)) });
    const subscriber = await startedSubscriber(publisher, { logger, ...options });
    const peer = await greeted(publisher);
    const [one] = sampleReleases(publisher);
    await peer.fresh(numberOf(one));
    await peer.bring(one);
    return { publisher, subscriber, peer, one, told };
  }

  async function frozen(peer: Peer, ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += BEAT_MS) await beat(peer);
  }

  //
  it('is stale after two minutes with a relay that only pings, stays, and is fresh with the next answer', async () => {
    const { subscriber, peer, one, told } = await house();
    const heard: unknown[] = [];
    subscriber.events.on('freshness', ({ freshness }) => heard.push(freshness));
    await frozen(peer, STALE_AFTER_MS - BEAT_MS);
    expect(subscriber.status().freshness).toBe('fresh');
    await beat(peer);
    expect(subscriber.status()).toMatchObject({ freshness: 'stale', freshAgeMs: STALE_AFTER_MS, version: 1 });
    await expectEnforces(subscriber, one.ruleSet);
    expect(told.at(-1)).toContain(
      'the publisher has not confirmed for 120 s that the release in force is the newest',
    );
    await peer.send({ kind: 'query', question: 'stats' }, 7);
    expect((await peer.receive('answer')).stats).toMatchObject({ stale: 1, freshAgeMs: STALE_AFTER_MS });
    await beat(peer);
    await peer.fresh(numberOf(one));
    await settled(peer);
    expect(subscriber.status()).toMatchObject({ freshness: 'fresh', freshAgeMs: 0 });
    expect(heard).toEqual(['stale', 'fresh']);
  });

  it('is stale where answers come and the release that they name does not', async () => {
    const { publisher, subscriber, peer, told } = await house();
    const [, two] = sampleReleases(publisher);
    for (let passed = 0; passed < STALE_AFTER_MS; passed += BEAT_MS) {
      await beat(peer);
      await peer.fresh(numberOf(two));
      await settled(peer);
    }
    expect(subscriber.status()).toMatchObject({ freshness: 'stale', version: 1 });
    expect(told.at(-1)).toContain('release 0/2 exists, but does not arrive');
    await peer.bring(two);
    expect(subscriber.status().freshness).toBe('fresh');
  });

  it('is not made fresh by answers to the nonce of another subscriber', async () => {
    const { publisher, subscriber, peer, one } = await house();
    const others = new ScriptedPublisher(publisher.trust.lineage, publisher.privateKey);
    await startedSubscriber(others);
    const other = await greeted(others);
    peer.nonce = other.nonce;
    await vi.advanceTimersByTimeAsync(BEAT_MS);
    await peer.fresh(numberOf(one));
    await settled(peer);
    expect(subscriber.status().freshAgeMs).toBe(BEAT_MS);
  });

  it.each([
    [
      'older',
      (publisher: ScriptedPublisher) => publisher.release(sampleRuleSet(1), { version: 1 }),
      'not-newer',
    ],
    [
      'of its number, and another',
      (publisher: ScriptedPublisher) => publisher.release(sampleRuleSet(9), { version: 2 }),
      'forked',
    ],
    ['of an older epoch', (publisher: ScriptedPublisher) => numbered(publisher, 0, 9), 'not-newer', 1],
  ])(
    'stays where the newest is said to be %s; both hashes or numbers are told once',
    async (_, releaseFor, code, epoch = 0) => {
      const { publisher, subscriber, peer, told } = await house();
      const two = numbered(publisher, epoch, 2);
      await peer.bring(two);
      const told0 = told.length;
      for (let i = 0; i < 3; i++) {
        await beat(peer);
        await peer.fresh(numberOf(releaseFor(publisher)));
        await settled(peer);
      }
      expect(subscriber.status()).toMatchObject({ version: 2, lastError: { code } });
      await expectEnforces(subscriber, two.ruleSet);
      expect(told.slice(told0)).toHaveLength(1);
    },
  );

  //
  it('may have come since the answer was signed, whatever their versions are', async () => {
    const { publisher, subscriber, peer } = await house();
    const [before, since] = [numbered(publisher, 0, 9), numbered(publisher, 1, 1)];
    await peer.bring(before);
    await beat(peer);
    await peer.bring(since);
    await peer.fresh(numberOf(before));
    await settled(peer);
    expect(subscriber.status()).toMatchObject({ epoch: 1, version: 1, lastError: undefined });
    expect(subscriber.status()).toMatchObject({ freshness: 'fresh', freshAgeMs: 0 });
  });

  //
  it('may be older than the newest that ever was, below which no answer is believed', async () => {
    const stateDirectory = temporaryDirectory();
    const { publisher, subscriber: first, peer: before } = await house({ stateDirectory });
    const [held, lost] = [numbered(publisher, 0, 9), numbered(publisher, 1, 1)];
    await before.bring(held);
    await before.bring(lost, chainOf(held, lost));
    await first.close();
    for (const place of ['', 'copy']) rmSync(join(stateDirectory, place, `${hexOf(lost.hash)}.release`));
    const subscriber = await startedSubscriber(publisher, { stateDirectory });
    expect(subscriber.status()).toMatchObject({ epoch: 0, version: 9, freshness: 'unsure' });
    const peer = await greeted(publisher);
    await peer.fresh(numberOf(held));
    await settled(peer);
    expect(subscriber.status()).toMatchObject({ freshness: 'unsure', lastError: { code: 'not-newer' } });
  });

  //
  it('is not locked out by who stole the key of freshness: what it says ends with the connection', async () => {
    const stateDirectory = temporaryDirectory();
    const { publisher, subscriber, peer } = await house({ stateDirectory });
    await beat(peer);
    await peer.fresh({ epoch: 17, version: Number.MAX_SAFE_INTEGER, hash: new Uint8Array(32).fill(9) });
    const [, two] = sampleReleases(publisher);
    expect(await refused(peer, two)).toMatchObject({ code: 'not-fresh', retry: 'later' });
    peer.close();
    await vi.advanceTimersByTimeAsync(1000);
    const again = await greeted(publisher);
    await again.fresh(numberOf(two));
    await again.bring(two);
    expect(subscriber.status()).toMatchObject({ version: 2, freshness: 'fresh' });
  });

  //
  it('with staleMode closed is dropped for as long as it is stale, and in force again with the next answer', async () => {
    const sink = new RecordingSink();
    const { subscriber, peer, one } = await house({ staleMode: 'closed', sink });
    await vi.waitFor(() => expectEnforces(subscriber, one.ruleSet));
    const opened = sink.prepared.length;
    await frozen(peer, STALE_AFTER_MS);
    await vi.waitFor(() =>
      expect(subscriber.lookup(PACKET)).toMatchObject({ action: 'drop', policy: 'boot' }),
    );
    expect(sink.prepared.length).toBe(opened + 1);
    expect(sink.prepared.at(-1)).toMatchObject({ hash: one.hash, ruleSet: { lists: new Map() } });
    expect(subscriber.status()).toMatchObject({ version: 1, freshness: 'stale' });
    expect((await answeredPing(peer)).hash).toBeUndefined(); // it was said to be in force
    await beat(peer);
    await peer.fresh(numberOf(one));
    await settled(peer);
    await vi.waitFor(() => expectEnforces(subscriber, one.ruleSet));
    expect((await answeredPing(peer)).hash).toEqual(one.hash);
  });

  it('with staleMode closed is dropped after a start until an answer has come', async () => {
    const stateDirectory = temporaryDirectory();
    const { publisher, subscriber: first, one } = await house({ stateDirectory });
    await first.close();
    const subscriber = await startedSubscriber(publisher, { stateDirectory, staleMode: 'closed' });
    expect(subscriber.status()).toMatchObject({ version: 1, freshness: 'unsure' });
    expect(subscriber.lookup(PACKET)).toMatchObject({ action: 'drop', policy: 'boot' });
    const peer = await greeted(publisher);
    await peer.fresh(numberOf(one));
    await settled(peer);
    await vi.waitFor(() => expectEnforces(subscriber, one.ruleSet));
  });

  it('goes on being closed where the sink refuses that, until it does not', async () => {
    const sink = new RecordingSink();
    const { subscriber, peer, one, told } = await house({ staleMode: 'closed', sink });
    await vi.waitFor(() => expectEnforces(subscriber, one.ruleSet));
    sink.onCommit = () => Promise.reject(new Error('nft is away'));
    await frozen(peer, STALE_AFTER_MS);
    await vi.waitFor(() => expect(told).toContain('what is to be closed cannot be'));
    // It said that everything is dropped.
    expect(await refused(peer, one)).toMatchObject({
      text: 'not enforced: what is to be closed cannot be: nft is away',
    });
    sink.onCommit = () => undefined;
    await beat(peer);
    await vi.waitFor(() => expect(subscriber.lookup(PACKET)).toMatchObject({ policy: 'boot' }));
    expect((await refused(peer, one)).text).toContain('everything is dropped');
  });

  it('is not said to be in force where the sink refuses to open it again', async () => {
    const sink = new RecordingSink();
    const { subscriber, peer, one, told } = await house({ staleMode: 'closed', sink });
    await vi.waitFor(() => expectEnforces(subscriber, one.ruleSet));
    await frozen(peer, STALE_AFTER_MS);
    await vi.waitFor(() => expect(subscriber.lookup(PACKET)).toMatchObject({ policy: 'boot' }));
    sink.onCommit = () => Promise.reject(new Error('nft is away'));
    await beat(peer);
    await peer.fresh(numberOf(one));
    await vi.waitFor(() => expect(told).toContain('what was closed cannot be opened again'));
    expect((await answeredPing(peer)).hash).toBeUndefined();
    sink.onCommit = () => undefined;
    await beat(peer);
    await vi.waitFor(() => expectEnforces(subscriber, one.ruleSet));
    expect((await answeredPing(peer)).hash).toEqual(one.hash);
  });
});

it.each([
  [{ staleMode: 'open' as 'keep' }, 'write "keep" or "closed"'],
  [{ staleMode: 'closed' as const, bootMode: 'open' as const }, 'bootMode "open" and staleMode "closed"'],
])('a subscriber with %o does not start', async (options, text) => {
  await expect(startedSubscriber(new ScriptedPublisher(), options)).rejects.toThrow(text);
});

it('a statement that is nothing but well formed is worth nothing', async () => {
  const publisher = new ScriptedPublisher();
  const subscriber = await startedSubscriber(publisher);
  const peer = await greeted(publisher);
  const [one] = sampleReleases(publisher);
  const { lineage } = publisher.trust;
  const said = {
    nonce: peer.nonce ?? new Uint8Array(16),
    lineage,
    root: publisher.root.hash,
    ...numberOf(one),
  };
  const content = encodeStatement(said);
  await peer.send({ kind: 'fresh', signatures: Uint8Array.of(0), content });
  await peer.send({ kind: 'fresh', signatures: signBytes(content, freshKey()), content });
  await peer.send({
    kind: 'fresh',
    signatures: signBytes(content.subarray(1), publisher.privateKey),
    content: content.subarray(1),
  });
  expect(await refused(peer, one)).toMatchObject({ code: 'not-fresh' });
  expect(subscriber.status().freshness).toBe('unsure');
});
