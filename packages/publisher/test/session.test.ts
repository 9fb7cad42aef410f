import { once } from 'node:events';
import {
  type ControlRecordOf,
  DURATION_MAX_MS,
  encodeManifest,
  encodeMessage,
  encodeSnapshot,
  type Message,
  type MessageOf,
  manifestFor,
  manifestHash,
  QUERIES_PER_SECOND_MAX,
  SUBSCRIBERS_MAX,
  signBytes,
} from '@rulecast/protocol';
import { EMPTY_RULE_SET } from '@rulecast/rules';
import type { Outcome, ServedSubscribers, SubscriberEntry } from '@rulecast/sessions';
import { type Endpoint, parseEndpoint } from '@rulecast/vchan';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { freshKey } from '../../../test/kit/roots.mjs';
import { turns } from '../../../test/kit/turns.ts';
import { FakeClock } from '../../sources/test/fake-clock.ts';
import type { Publisher } from '../src/release/publisher.ts';
import { ReleaseWorker, WORK_IN_PLACE } from '../src/release/worker.ts';
import { serveSubscribers } from '../src/sessions/host.ts';
import { subscriberRecords } from '../src/subscribers/record.ts';
import { degraded, freshPublisher, hex, pushOf, release } from './fresh-publisher.ts';
import { type Offer, ScriptedSubscriber } from './scripted-subscriber.ts';

interface House {
  readonly publisher: Publisher;
  readonly endpoint: Endpoint;
  readonly served: ServedSubscribers;
}

let houses = 0;

/**
 * A publisher that serves subscribers in this process, over channels with small buffers. Time passes for it
 * only where a test says so.
 */
async function house(options: Parameters<typeof freshPublisher>[0] = {}): Promise<House> {
  const publisher = freshPublisher({ clock: new FakeClock(), ...options });
  const endpoint = parseEndpoint(`memory:session-${++houses}?buffer=8KiB`);
  const served = await serveSubscribers(publisher, [endpoint]);
  onTestFinished(() => served.close());
  return { publisher, endpoint, served };
}

function entryOf(publisher: Publisher, name: string): SubscriberEntry {
  return publisher.subscribers.entry(name, 0);
}

/** The next outcome that is told. Ask for it before what brings it. */
async function nextOutcome(publisher: Publisher): Promise<Outcome> {
  const [outcome] = (await once(publisher.subscribers, 'outcome')) as [Outcome];
  return outcome;
}

/** A list of `count` hosts whose addresses no delta encodes in less than a byte each. */
function hostsText(count: number, seed = 1): string {
  const lines: string[] = [];
  for (let i = 0, host = seed; i < count; i++) {
    host = (Math.imul(host, 1_664_525) + 1_013_904_223) >>> 0;
    lines.push([host >>> 24, (host >>> 16) & 255, (host >>> 8) & 255, host & 255].join('.'));
  }
  return lines.join('\n');
}

describe('greeting', () => {
  it('is answered with WELCOME, and with no OFFER while there is no head', async () => {
    const { publisher, endpoint } = await house();
    const subscriber = await ScriptedSubscriber.connect(endpoint);
    await subscriber.hello('fw');
    expect(await subscriber.next('welcome')).toMatchObject({
      protocol: 2,
      name: 'mgmt',
      lineage: publisher.identity.lineage,
      heartbeatMs: 5_000,
    });
    expect(await subscriber.isQuiet()).toBe(true);
    expect(publisher.subscribers.connected()).toEqual(['fw']);
  });

  it.each<[string, Parameters<ScriptedSubscriber['hello']>[1], string]>([
    ['a newer protocol alone', { protocolMin: 3, protocolMax: 4 }, 'no-common-version'],
    ['another lineage', { lineage: new Uint8Array(16) }, 'wrong-lineage'],
  ])('with %s ends with BYE', async (_, hello, code) => {
    const { publisher, endpoint } = await house();
    const subscriber = await ScriptedSubscriber.connect(endpoint);
    await subscriber.hello('fw', hello);
    expect(await subscriber.byeCode()).toBe(code);
    expect(publisher.subscribers.connected()).toEqual([]);
  });

  it('of protocol 1 ends with what to do, in BYE, log and status, and takes no name from who has it', async () => {
    const lines: string[] = [];
    const logger = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) });
    const { publisher, endpoint } = await house({ logger });
    const old = await ScriptedSubscriber.connect(endpoint);
    await old.hello('old', { protocolMin: 1, protocolMax: 1 });
    const bye = await old.next('bye');
    expect(bye).toMatchObject({ code: 'no-common-version', retryAfterMs: 30_000 });
    expect(bye.text).toBe(
      'this publisher speaks protocol 2, and the subscriber 1: upgrade the subscriber; what it has in force stays so meanwhile',
    );
    const lastError = { code: 'no-common-version', text: bye.text };
    expect(entryOf(publisher, 'old')).toMatchObject({ lastError, connectedSinceMs: undefined });
    expect(lines.map((line): object => JSON.parse(line))).toMatchObject([
      { subscriber: 'old', msg: bye.text },
    ]);

    await ScriptedSubscriber.greet(endpoint, 'fw');
    const thief = await ScriptedSubscriber.connect(endpoint);
    await thief.hello('fw', { protocolMin: 1, protocolMax: 1 });
    await turns();
    expect(publisher.subscribers.connected()).toEqual(['fw']);
  });

  it('with a range that holds our version is taken', async () => {
    const { publisher, endpoint } = await house();
    await ScriptedSubscriber.greet(endpoint, 'fw', { protocolMax: 9, lineage: publisher.identity.lineage });
    expect(publisher.subscribers.connected()).toEqual(['fw']);
  });

  it('does not begin with another message', async () => {
    const { endpoint } = await house();
    const subscriber = await ScriptedSubscriber.connect(endpoint);
    await subscriber.send({ kind: 'ping', hash: undefined, ageMs: undefined });
    expect(await subscriber.byeCode()).toBe('unexpected-message');
  });

  it('that does not come ends after 10 seconds', async () => {
    const clock = new FakeClock();
    const { endpoint } = await house({ clock });
    const subscriber = await ScriptedSubscriber.connect(endpoint);
    await turns();
    clock.advance(9_999);
    expect(subscriber.channel.state).toBe('connected');
    clock.advance(1);
    expect(await subscriber.byeCode()).toBe('timeout');
  });
});

describe('a release', () => {
  // 40 HELLOs without a key cost 4.4 s of CPU.
  it('is composed from an older one for who wants it, and not for who only says to hold that', async () => {
    const compose = vi.spyOn(ReleaseWorker.prototype, 'compose');
    onTestFinished(() => compose.mockRestore());
    const { publisher, endpoint } = await house({ workHost: WORK_IN_PLACE });
    const first = await release(publisher, { 'hosts.txt': hostsText(8000) });
    for (const seed of [2, 3]) await release(publisher, { 'hosts.txt': hostsText(8000, seed) });
    const { epoch, version } = first.manifest;
    const holds = { hash: first.hash, epoch, version };
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw', { holds });
    const offer = await subscriber.next('offer');
    await turns();
    expect(compose).not.toHaveBeenCalled();
    await subscriber.send({ kind: 'want', hash: manifestHash(offer.content), base: first.hash });
    await subscriber.next('begin');
    expect(compose).toHaveBeenCalledOnce();
  });

  it('goes from OFFER to APPLIED as a snapshot, then as a chain of what is missing', async () => {
    const { publisher, endpoint } = await house();
    const first = await release(publisher, { 'hosts.txt': hostsText(2000) });
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw');
    const outcome = nextOutcome(publisher);
    const { offer, begin } = await subscriber.take();
    expect(offer.hash).toEqual(first.hash);
    expect(begin.snapshot).toBe(true);
    expect(await outcome).toMatchObject({
      subscriber: 'fw',
      state: 'applied',
      epoch: 1,
      version: 1,
      persisted: true,
    });
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' }, { action: 'merge' });
    const second = await subscriber.take();
    expect(second.begin.snapshot).toBeUndefined();
    expect(second.begin.bytes).toBeLessThan(100);
    expect(await subscriber.isQuiet()).toBe(true);
    expect(entryOf(publisher, 'fw')).toMatchObject({ held: subscriber.held, applyMs: 10, receiving: false });
  });

  it('comes as a chain of several steps to who missed several', async () => {
    const { publisher, endpoint } = await house();
    await release(publisher, { 'hosts.txt': hostsText(2000) });
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw');
    await subscriber.take();
    const offered = subscriber.offer();
    for (const host of [1, 2, 3])
      await release(publisher, { 'hosts.txt': `192.0.2.${host}` }, { action: 'merge' });
    const second = await offered;
    await subscriber.offer();
    await subscriber.want(second); // too late: newer OFFERs have overtaken it
    await subscriber.take();
    expect(subscriber.stepCount).toBe(3);
  });

  it('comes as a snapshot to who holds what is not known', async () => {
    const { publisher, endpoint } = await house();
    await release(publisher, { 'hosts.txt': hostsText(100) });
    await release(publisher, { 'hosts.txt': hostsText(101) });
    const held = { hash: new Uint8Array(32), epoch: 0, version: 1 };
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw', { holds: held });
    const offer = await subscriber.offer();
    await subscriber.want(offer, held.hash);
    const { begin } = await subscriber.receiveTransfer(offer);
    expect(begin.snapshot).toBe(true);
  });

  it('comes as one delta where the chain says what came and went', async () => {
    const { publisher, endpoint } = await house();
    await release(publisher, { 'hosts.txt': hostsText(100) });
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw');
    await subscriber.take();
    await release(publisher, { 'hosts.txt': hostsText(60_000) });
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    await subscriber.nack(await subscriber.offer(), { retry: 'later', retryAfterMs: 0 });
    const { begin } = await subscriber.take();
    expect(begin.snapshot).toBeUndefined();
    expect(begin.bytes).toBeLessThan(64);
    expect(subscriber.stepCount).toBe(1);
  });

  it('comes as the delta from the release before, however little of that stays', async () => {
    const { publisher, endpoint } = await house();
    const first = await release(publisher, { 'old.txt': hostsText(100) });
    const head = await release(publisher, { 'new.txt': hostsText(60_000) }, { replaceAll: true });
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw', {
      holds: { hash: first.hash, epoch: 1, version: 1 },
    });
    const offer = await subscriber.offer();
    await subscriber.want(offer, first.hash);
    const { snapshot, bytes } = await subscriber.next('begin');
    expect(snapshot).toBeUndefined();
    expect(bytes).toBeLessThan(encodeSnapshot(head.ruleSet).length + 100);
  });

  it('is not offered to who has it', async () => {
    const { publisher, endpoint } = await house();
    const { hash } = await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw', {
      holds: { hash, epoch: 1, version: 1 },
    });
    expect(await subscriber.isQuiet()).toBe(true);
  });

  it('is offered to all who are connected', async () => {
    const { publisher, endpoint } = await house();
    const subscribers = await Promise.all(
      ['a', 'b', 'c'].map((name) => ScriptedSubscriber.greet(endpoint, name)),
    );
    await release(publisher, { 'hosts.txt': hostsText(500) });
    const offers = await Promise.all(subscribers.map((subscriber) => subscriber.take()));
    expect(new Set(offers.map(({ offer }) => hex(offer.hash))).size).toBe(1);
  });

  it('needs no snapshot after a restart of the publisher', async () => {
    const stateDirectory = temporaryDirectory();
    const before = freshPublisher({ stateDirectory });
    const { hash } = await release(before, { 'hosts.txt': hostsText(2000) });
    await before.close();
    const { publisher, endpoint } = await house({ stateDirectory });
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw', {
      holds: { hash, epoch: 1, version: 1 },
    });
    expect(await subscriber.isQuiet()).toBe(true);
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' }, { action: 'merge' });
    const offer = await subscriber.offer();
    await subscriber.want(offer, hash);
    expect((await subscriber.next('begin')).snapshot).toBeUndefined();
  });
});

describe('a head that changes', () => {
  //
  it('while an older one is offered is offered too, and the answer to the older one changes nothing', async () => {
    const { publisher, endpoint } = await house();
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw');
    const older = await subscriber.offer();
    await release(publisher, { 'hosts.txt': '192.0.2.2\n' });
    await subscriber.want(older);
    const { offer } = await subscriber.take();
    expect(offer.decoded.version).toBe(2);
    expect(await subscriber.isQuiet()).toBe(true);
  });

  it('while a transfer runs is offered when that is applied, and nothing is lost', async () => {
    const { publisher, endpoint } = await house();
    await release(publisher, { 'hosts.txt': hostsText(100_000) });
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw');
    const offer = await subscriber.offer();
    await subscriber.want(offer);
    const begin = await subscriber.next('begin');
    expect(begin.bytes).toBeGreaterThan(100_000); // of which the channel holds 8 KiB, so the transfer is under way
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' }, { action: 'merge' });
    await release(publisher, { 'hosts.txt': '192.0.2.2\n' }, { action: 'merge' });
    await subscriber.applied(offer, await subscriber.receiveStream(offer, begin));
    const next = await subscriber.take();
    expect(next.offer.decoded.version).toBe(3);
    expect([next.begin.snapshot, subscriber.stepCount]).toEqual([undefined, 2]);
  });

  it('while the release before is being applied is offered when that is answered', async () => {
    const { publisher, endpoint } = await house();
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw');
    const offer = await subscriber.offer();
    await subscriber.want(offer);
    const { ruleSet } = await subscriber.receiveTransfer(offer);
    await release(publisher, { 'hosts.txt': '192.0.2.2\n' });
    expect(await subscriber.isQuiet()).toBe(true);
    await subscriber.applied(offer, ruleSet);
    expect((await subscriber.take()).offer.decoded.version).toBe(2);
  });

  // A chain to the head once went out under the hash of the release that was offered before it.
  it('to one beyond the limits leaves the one offered to be sent as what it is', async () => {
    const { publisher, endpoint } = await house();
    const limits = { entries: 2000, bytes: 1_000_000, parts: 10 };
    await release(publisher, { 'hosts.txt': hostsText(1000) });
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw', { limits });
    await subscriber.take();
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' }, { action: 'merge' });
    const offer = await subscriber.offer();
    await release(publisher, { 'hosts.txt': hostsText(3000) });
    await subscriber.want(offer);
    const { ruleSet } = await subscriber.receiveTransfer(offer);
    await subscriber.applied(offer, ruleSet);
    expect(await subscriber.isQuiet()).toBe(true);
  });
});

describe('a refusal', () => {
  //
  it('with never is kept: the release is not offered again, nor after a new connection', async () => {
    const { publisher, endpoint } = await house();
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw');
    const offer = await subscriber.offer();
    const outcome = nextOutcome(publisher);
    await subscriber.nack(offer, { code: 'bad-signature', part: 'list hosts', text: 'wrong' });
    expect(await outcome).toMatchObject({
      state: 'refused',
      version: 1,
      code: 'bad-signature',
      text: 'list hosts: wrong',
    });
    expect(await subscriber.isQuiet()).toBe(true);
    const gone = nextOutcome(publisher);
    subscriber.channel.close();
    await gone;
    const again = await ScriptedSubscriber.greet(endpoint, 'fw', { refused: [offer.hash] });
    expect(await again.isQuiet()).toBe(true);
    await release(publisher, { 'hosts.txt': '192.0.2.2\n' });
    expect((await again.take()).offer.decoded.version).toBe(2);
  });

  //
  it('with never is known from HELLO to a publisher that was started anew', async () => {
    const { publisher, endpoint } = await house();
    const { hash } = await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw', { refused: [hash] });
    expect(await subscriber.isQuiet()).toBe(true);
    const other = await ScriptedSubscriber.greet(endpoint, 'other');
    expect((await other.offer()).hash).toEqual(hash);
  });

  //
  it('with never is over once HELLO says it no more, as after a reset', async () => {
    const { publisher, endpoint } = await house();
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw');
    const offer = await subscriber.offer();
    const refused = nextOutcome(publisher);
    await subscriber.nack(offer, { retry: 'never', code: 'bad-rule-set' });
    await refused;
    const [record] = subscriberRecords(publisher.subscribers, publisher.head, publisher.store, 0);
    expect(record).toMatchObject({ state: 'refused', refusal: { code: 'bad-rule-set' } });
    const gone = nextOutcome(publisher);
    subscriber.channel.close();
    await gone;
    const again = await ScriptedSubscriber.greet(endpoint, 'fw');
    expect((await again.offer()).hash).toEqual(offer.hash);
    expect(
      subscriberRecords(publisher.subscribers, publisher.head, publisher.store, 0)[0]?.refusal,
    ).toBeUndefined();
  });

  it('with later brings the OFFER again when its time is over', async () => {
    const clock = new FakeClock();
    const { publisher, endpoint } = await house({ clock });
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw');
    const offer = await subscriber.offer();
    await subscriber.want(offer);
    await subscriber.receiveTransfer(offer);
    const refused = nextOutcome(publisher);
    await subscriber.nack(offer, { retry: 'later', retryAfterMs: 1, code: 'storage-failed' });
    expect(await refused).toMatchObject({ state: 'refused', code: 'storage-failed' });
    const applied = nextOutcome(publisher);
    clock.advance(1);
    expect((await subscriber.take()).offer.hash).toEqual(offer.hash);
    expect(await applied).toMatchObject({ state: 'applied', version: 1 });
    expect(entryOf(publisher, 'fw')).toMatchObject({ lastError: undefined, refused: [] });
  });

  it('with later and no time waits 30 seconds, and gives way to a newer release', async () => {
    const { publisher, endpoint } = await house();
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw');
    await subscriber.nack(await subscriber.offer(), { retry: 'later' });
    expect(await subscriber.isQuiet()).toBe(true);
    await release(publisher, { 'hosts.txt': '192.0.2.2\n' });
    expect((await subscriber.take()).offer.decoded.version).toBe(2);
  });

  //
  it('while the transfer runs ends it with ABORT, and only then the next OFFER comes', async () => {
    const { publisher, endpoint } = await house();
    await release(publisher, { 'hosts.txt': hostsText(100_000) });
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw');
    const offer = await subscriber.offer();
    await subscriber.want(offer);
    const { bytes } = await subscriber.next('begin');
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    const outcome = nextOutcome(publisher);
    await subscriber.nack(offer, { code: 'over-limit' });
    expect(await outcome).toMatchObject({ state: 'refused', code: 'over-limit' });
    let received = 0;
    for (;;) {
      const message = (await subscriber.connection.receive())?.message;
      if (message?.kind === 'abort') break;
      if (message?.kind !== 'chunk') throw new Error(`CHUNK or ABORT was due, not ${message?.kind}`);
      received += message.bytes.length;
    }
    expect(received).toBeLessThan(bytes);
    expect((await subscriber.take()).offer.decoded.version).toBe(2);
  });

  // The timer once ended the transfer of the newer release without a word.
  it('with later of an OFFER that was overtaken does not disturb the newer one', async () => {
    const clock = new FakeClock();
    const { publisher, endpoint } = await house({ clock });
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw');
    const older = await subscriber.offer();
    await release(publisher, { 'hosts.txt': hostsText(100_000) });
    await subscriber.nack(older, { retry: 'later', retryAfterMs: 1 });
    const offer = await subscriber.offer();
    await subscriber.want(offer);
    const begin = await subscriber.next('begin');
    clock.advance(4999);
    await subscriber.applied(offer, await subscriber.receiveStream(offer, begin));
    expect(await subscriber.isQuiet()).toBe(true);
  });
});

describe('limits in HELLO', () => {
  it.each([
    ['entries', { entries: 2, bytes: 1000, parts: 10 }, /3 entries/],
    ['parts', { entries: 10, bytes: 1000, parts: 1 }, /2 parts/],
  ])('of too few %s keep the release from being offered, and the status says so', async (_, limits, text) => {
    const { publisher, endpoint } = await house();
    await release(publisher, { 'a.txt': '192.0.2.1\n', 'b.txt': '192.0.2.1\n192.0.2.3\n' });
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw', { limits });
    expect(await subscriber.isQuiet()).toBe(true);
    const { lastError } = entryOf(publisher, 'fw');
    expect(lastError).toMatchObject({ code: 'over-limit', text: expect.stringMatching(text) });
    const outcome = nextOutcome(publisher);
    await release(publisher, { 'a.txt': '192.0.2.5\n' });
    expect(await outcome).toMatchObject({
      subscriber: 'fw',
      state: 'refused',
      version: 2,
      code: 'over-limit',
    });
    await release(publisher, { 'a.txt': '192.0.2.1\n' }, { replaceAll: true });
    expect((await subscriber.take()).offer.decoded.version).toBe(3);
  });
});

describe('a subscriber that claims a release above the head, or another one of a number', () => {
  /** A release of this lineage that the publisher has lost, and its proof. */
  function lostRelease(publisher: Publisher, epoch: number, version: number, ofLineage?: Uint8Array) {
    const { releaseKeys } = publisher.identity;
    const lineage = ofLineage ?? publisher.identity.lineage;
    const lost = {
      lineage,
      epoch,
      version,
      previousVersion: version - 1,
      createdAtMs: 1,
    };
    const manifest = encodeManifest(manifestFor(EMPTY_RULE_SET, lost));
    const holds = { hash: manifestHash(manifest), epoch, version };
    return {
      holds,
      proof: { kind: 'proof', content: manifest, signatures: signBytes(manifest, ...releaseKeys) } as const,
    };
  }

  /** A subscriber that has proved such a release, and is offered nothing: the publisher is behind. */
  async function proving(
    publisher: Publisher,
    endpoint: Endpoint,
    epoch: number,
    version: number,
  ): Promise<ScriptedSubscriber> {
    const { holds, proof } = lostRelease(publisher, epoch, version);
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw', { holds });
    await subscriber.next('prove');
    await subscriber.send(proof);
    expect(await subscriber.isQuiet()).toBe(true);
    return subscriber;
  }

  // It was restored from a backup, and released more before anybody came who had seen what was lost: the
  // firewall went over to the other branch, and nobody was told.
  //
  it('of a number that is here and proves it ends all offers; both hashes are told, and a push goes on above', async () => {
    const { publisher, endpoint } = await house();
    for (const bits of [8, 9, 10]) await release(publisher, { 'a.txt': `10.0.0.0/${bits}` });
    const { epoch } = publisher.head?.manifest ?? { epoch: 0 };
    const own = publisher.store.index.hashOf({ epoch, version: 2 }) ?? '';
    const { holds, proof } = lostRelease(publisher, epoch, 2);
    const other = Buffer.from(holds.hash).toString('hex');
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw', { holds });
    await subscriber.next('prove');
    await subscriber.send(proof);
    expect(await subscriber.isQuiet()).toBe(true);
    const [told] = degraded(publisher);
    for (const hash of [own, other]) expect(told).toContain(hash.slice(0, 12));
    expect(Buffer.byteLength(told ?? '')).toBeLessThanOrEqual(128);
    expect(publisher.fork).toEqual({ epoch, version: 2, own, other });
    expect(entryOf(publisher, 'fw')).toMatchObject({ lastError: { code: 'forked' } });
    const files = pushOf({ 'a.txt': '10.0.0.0/11' });
    await expect(publisher.push(files)).rejects.toMatchObject({ code: 'publisher-behind' });
    await publisher.push(files, { asNewEpoch: true });
    expect((await subscriber.take()).offer.decoded).toMatchObject({ epoch: epoch + 1, version: 4 });
    expect(publisher.fork).toBeUndefined();
    const late = await ScriptedSubscriber.greet(endpoint, 'late', { holds });
    expect((await late.take()).offer.decoded).toMatchObject({ epoch: epoch + 1 }); // that is settled
  });

  // Two had a copy of one identity and opened the same epoch, one of them above a longer history: that had no
  // release of the number, and offered what is above it.
  it('of a number that its epoch begins above here and proves it ends all offers, too', async () => {
    const { publisher, endpoint } = await house();
    for (const bits of [8, 9]) await release(publisher, { 'a.txt': `10.0.0.0/${bits}` });
    await publisher.push(pushOf({ 'a.txt': '10.0.0.0/10' }), { asNewEpoch: true });
    await release(publisher, { 'a.txt': '10.0.0.0/11' });
    const { epoch } = publisher.head?.manifest ?? { epoch: 0 };
    const subscriber = await proving(publisher, endpoint, epoch, 2);
    expect(degraded(publisher)).toEqual([expect.stringContaining(`${epoch}/2 was proved`)]);
    await publisher.push(pushOf({ 'a.txt': '10.0.0.0/12' }), { asNewEpoch: true });
    expect((await subscriber.take()).offer.decoded).toMatchObject({ epoch: epoch + 1, version: 5 });
  });

  // The publisher opened an epoch by itself: a restored backup put old content in force everywhere, without a
  // word.
  // P-1, P-2, P-3
  it('and proves it ends all offers, and is told of, until a push opens an epoch that is offered to all', async () => {
    const { publisher, endpoint } = await house();
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    const other = await ScriptedSubscriber.greet(endpoint, 'other');
    await other.take();
    const subscriber = await proving(publisher, endpoint, 3, 17);
    expect(degraded(publisher)).toEqual([
      expect.stringMatching(/^nothing is offered: 3\/17 was proved .*--as-new-epoch$/),
    ]);
    expect(entryOf(publisher, 'fw')).toMatchObject({
      diverged: false,
      lastError: { code: 'publisher-behind' },
    });
    const files = pushOf({ 'hosts.txt': '192.0.2.2\n' });
    await expect(publisher.push(files)).rejects.toMatchObject({ code: 'publisher-behind' });
    await expect(publisher.push(files, { dryRun: true })).rejects.toMatchObject({ code: 'publisher-behind' });
    await expect(publisher.rollback(1, {})).rejects.toMatchObject({ code: 'publisher-behind' });
    await expect(publisher.updateLists(new Map([['hosts', undefined]]))).rejects.toMatchObject({
      code: 'publisher-behind',
    });
    const late = await ScriptedSubscriber.greet(endpoint, 'late');
    expect(await late.isQuiet()).toBe(true);
    await publisher.push(files, { asNewEpoch: true });
    for (const each of [subscriber, other, late]) {
      const { offer } = await each.take();
      expect(offer.decoded).toMatchObject({ epoch: 4, version: 2, previousVersion: 0 });
    }
    expect(degraded(publisher)).toEqual([]);
    expect(entryOf(publisher, 'fw')).toMatchObject({ diverged: false, lastError: undefined });
  });

  it('and proves it is offered what the publisher has by a rollback to that, as a new epoch', async () => {
    const { publisher, endpoint } = await house();
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    const subscriber = await proving(publisher, endpoint, 1, 17);
    const reason = expect.stringMatching(/^release 1\/17 \(parts: \d+, .*goes out of force/); // it said "no change"
    const notes = [{ code: 'publisher-behind', part: '', reason }];
    const asNewEpoch = { asNewEpoch: true };
    expect(await publisher.rollback(1, {}, { ...asNewEpoch, dryRun: true })).toMatchObject({
      kind: 'planned',
      isNew: true,
      notes,
    });
    expect(await publisher.rollback(1, {}, asNewEpoch)).toMatchObject({
      kind: 'released',
      isNew: true,
      notes,
    });
    expect(await publisher.rollback(1, {})).toMatchObject({ kind: 'unchanged', isNew: false, notes: [] });
    expect(await publisher.rollback(1, {}, { dryRun: true })).toMatchObject({
      kind: 'planned',
      isNew: false,
    });
    expect((await subscriber.take()).offer.decoded).toMatchObject({ epoch: 2, version: 2 });
  });

  // P-2
  it('and proves it is remembered over a restart: nobody is offered anything before', async () => {
    const stateDirectory = temporaryDirectory();
    const { publisher, endpoint } = await house({ stateDirectory });
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    await proving(publisher, endpoint, 1, 17);
    await publisher.close();
    const again = await house({ stateDirectory });
    const other = await ScriptedSubscriber.greet(again.endpoint, 'other');
    expect(await other.isQuiet()).toBe(true);
  });

  it('and proves it is offered the new epoch that somebody opens, as all others are', async () => {
    const { publisher, endpoint } = await house();
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    const other = await ScriptedSubscriber.greet(endpoint, 'other');
    await other.take();
    const subscriber = await proving(publisher, endpoint, 3, 17);
    await publisher.rollback(1, {}, { asNewEpoch: true });
    for (const each of [subscriber, other]) {
      const { offer } = await each.take();
      expect(offer.decoded).toMatchObject({ epoch: 4, version: 2, previousVersion: 0 });
    }
    expect(entryOf(publisher, 'fw')).toMatchObject({ diverged: false, lastError: undefined });
  });

  // It was once left without an OFFER: the epoch was open, so no release was announced for its proof.
  it('is offered the new epoch also if it was opened before its proof', async () => {
    const { publisher, endpoint } = await house();
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    const { holds, proof } = lostRelease(publisher, 1, 17);
    const [one, two] = await Promise.all(
      ['one', 'two'].map((name) => ScriptedSubscriber.greet(endpoint, name, { holds })),
    );
    await one?.next('prove');
    await two?.next('prove');
    await one?.send(proof);
    expect(await one?.isQuiet()).toBe(true);
    await publisher.rollback(1, {}, { asNewEpoch: true });
    expect((await one?.take())?.offer.decoded.epoch).toBe(2);
    await two?.send(proof);
    expect((await two?.take())?.offer.decoded.epoch).toBe(2);
    expect(publisher.head?.manifest).toMatchObject({ epoch: 2, version: 2 });
  });

  it('of the same version but other content has to prove it too', async () => {
    const { publisher, endpoint } = await house();
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    await proving(publisher, endpoint, 1, 1);
    expect(publisher.behind).toEqual({ epoch: 1, version: 1 });
  });

  // P-4
  it.each<
    [
      string,
      (
        lost: ReturnType<typeof lostRelease>,
        publisher: Publisher,
      ) => Parameters<ScriptedSubscriber['send']>[0],
    ]
  >([
    [
      'a signature of nobody',
      ({ proof }) => ({ ...proof, signatures: signBytes(proof.content, freshKey()) }),
    ],
    ['the manifest of another release', (_, publisher) => lostRelease(publisher, 3, 18).proof],
    [
      'a NACK',
      ({ holds }) => ({
        kind: 'nack',
        hash: holds.hash,
        code: 'unknown-release',
        text: 'not at hand',
        part: undefined,
        entry: undefined,
        retry: 'never',
        retryAfterMs: undefined,
        keeps: undefined,
      }),
    ],
  ])('and answers with %s is diverged, and offered the head', async (_, answer) => {
    const { publisher, endpoint } = await house();
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    const lost = lostRelease(publisher, 3, 17);
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw', { holds: lost.holds });
    await subscriber.next('prove');
    await subscriber.send(answer(lost, publisher));
    expect((await subscriber.offer()).decoded).toMatchObject({ epoch: 1, version: 1 });
    expect(entryOf(publisher, 'fw')).toMatchObject({
      diverged: true,
      lastError: { code: 'unknown-release' },
    });
    expect(publisher.head?.manifest.epoch).toBe(1);
  });

  // Its numbers say nothing of this lineage: a publisher that believed them would offer nothing any more.
  it('and proves it of another lineage of the same key is diverged, and offered the head', async () => {
    const { publisher, endpoint } = await house();
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    const { holds, proof } = lostRelease(publisher, 3, 17, new Uint8Array(16).fill(9));
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw', { holds });
    await subscriber.next('prove');
    await subscriber.send(proof);
    expect((await subscriber.offer()).decoded).toMatchObject({ epoch: 1, version: 1 });
    expect(publisher.behind).toBeUndefined();
  });

  it('with numbers that its manifest does not say is diverged', async () => {
    const { publisher, endpoint } = await house();
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    const { holds, proof } = lostRelease(publisher, 1, 17);
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw', { holds: { ...holds, epoch: 900 } });
    await subscriber.next('prove');
    await subscriber.send(proof);
    expect((await subscriber.offer()).decoded.epoch).toBe(1);
    expect(entryOf(publisher, 'fw').diverged).toBe(true);
  });
});

describe('what a subscriber says of what is in force there', () => {
  const applied = (of: Pick<Offer, 'hash' | 'decoded'>, numbers: Partial<MessageOf<'applied'>> = {}) =>
    ({
      kind: 'applied',
      hash: of.hash,
      epoch: of.decoded.epoch,
      version: of.decoded.version,
      receiveMs: 0,
      verifyMs: 0,
      compileMs: 0,
      flipMs: 0,
      persisted: true,
      generation: 1,
      ...numbers,
    }) as const;

  it.each<[string, (offer: Offer) => Message, string]>([
    [
      'APPLIED of a hash that was never offered',
      (offer) => applied(offer, { hash: new Uint8Array(32) }),
      'unexpected-message',
    ],
    ['APPLIED in another epoch', (offer) => applied(offer, { epoch: 7 }), 'bad-message'],
    ['APPLIED with another version', (offer) => applied(offer, { version: 9 }), 'bad-message'],
    [
      'WANT of a hash that was never offered',
      () => ({ kind: 'want', hash: new Uint8Array(32) }),
      'unexpected-message',
    ],
    [
      'NACK of a hash that was never offered',
      () => ({ kind: 'nack', hash: new Uint8Array(32), code: 'bad-digest', text: '', retry: 'never' }),
      'unexpected-message',
    ],
  ])('is not believed and ends the session: %s', async (_, message, code) => {
    const { publisher, endpoint } = await house();
    await release(publisher, { 'a.txt': '10.0.0.0/8' });
    const outcomes: Outcome[] = [];
    publisher.subscribers.on('outcome', (outcome) => outcomes.push(outcome));
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw');
    await subscriber.send(message(await subscriber.offer()));
    expect(await subscriber.byeCode()).toBe(code);
    await expect.poll(() => outcomes).toMatchObject([{ state: 'disconnected', version: 0 }]);
    const [record] = subscriberRecords(publisher.subscribers, publisher.head, publisher.store, 0);
    expect(record).toMatchObject({ version: undefined, matches: false, lastError: { code } });
  });

  it('cannot be said twice of one OFFER', async () => {
    const { publisher, endpoint } = await house();
    await release(publisher, { 'a.txt': '10.0.0.0/8' });
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw');
    const older = await subscriber.offer();
    await release(publisher, { 'a.txt': '10.0.0.0/9' });
    await subscriber.offer();
    await subscriber.send(applied(older));
    await subscriber.send(applied(older));
    expect(await subscriber.byeCode()).toBe('unexpected-message');
  });

  it('with durations that do not add up is no message', async () => {
    const { publisher, endpoint } = await house();
    await release(publisher, { 'a.txt': '10.0.0.0/8' });
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw');
    const offer = await subscriber.offer();
    const longest = { receiveMs: DURATION_MAX_MS, verifyMs: DURATION_MAX_MS, compileMs: DURATION_MAX_MS };
    expect(() => encodeMessage(applied(offer, { flipMs: DURATION_MAX_MS + 1 }))).toThrow(TypeError);
    await subscriber.send(applied(offer, { ...longest, flipMs: DURATION_MAX_MS }));
    expect(await subscriber.isQuiet()).toBe(true);
    const [record] = subscriberRecords(publisher.subscribers, publisher.head, publisher.store, 0);
    expect(() =>
      encodeMessage({ kind: 'record', record: record as ControlRecordOf<'subscriber'> }),
    ).not.toThrow();
    expect(record?.applyMs).toBe(4 * DURATION_MAX_MS);
  });

  it('by PING is believed at once, and what was acknowledged and is not there is offered again', async () => {
    const { publisher, endpoint } = await house();
    await release(publisher, { 'a.txt': '10.0.0.0/8' });
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw');
    const { offer: first } = await subscriber.take();
    await release(publisher, { 'a.txt': '10.0.0.0/9' });
    await subscriber.take();
    expect(entryOf(publisher, 'fw').held?.version).toBe(2);
    await subscriber.send({ kind: 'ping', hash: first.hash, ageMs: 5 });
    expect((await subscriber.offer()).decoded.version).toBe(2);
    expect(entryOf(publisher, 'fw').held).toMatchObject({ hash: first.hash, version: 1 });
    expect(subscriberRecords(publisher.subscribers, publisher.head, publisher.store, 0)).toMatchObject([
      { version: 1, matches: false, state: 'behind' },
    ]);
  });

  // "not enforced since …" stayed beside "match yes" when all was enforced again.
  it('by PING of the head ends what went wrong before, and PING of nothing does not', async () => {
    const { publisher, endpoint } = await house();
    await release(publisher, { 'a.txt': '10.0.0.0/8' });
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw');
    const offer = await subscriber.offer();
    await subscriber.nack(offer, { code: 'sink-failed', retry: 'later' });
    const failed = { lastError: { code: 'sink-failed' }, held: undefined };
    for (const hash of [undefined, offer.hash]) {
      await expect.poll(() => entryOf(publisher, 'fw')).toMatchObject(failed);
      await subscriber.send({ kind: 'ping', hash, ageMs: hash && 5 });
      await subscriber.next('pong');
    }
    expect(entryOf(publisher, 'fw')).toMatchObject({ lastError: undefined, held: { version: 1 } });
  });

  it('by PONG of nothing is believed too', async () => {
    const { publisher, endpoint } = await house();
    await release(publisher, { 'a.txt': '10.0.0.0/8' });
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw');
    await subscriber.take();
    await subscriber.send({ kind: 'pong' });
    await subscriber.offer();
    expect(entryOf(publisher, 'fw').held).toBeUndefined();
  });

  it('in HELLO by another number than the release has ends the session', async () => {
    const { publisher, endpoint } = await house();
    const { hash } = await release(publisher, { 'a.txt': '10.0.0.0/8' });
    const subscriber = await ScriptedSubscriber.connect(endpoint);
    await subscriber.hello('fw', { holds: { hash, epoch: 0, version: 9 } });
    expect(await subscriber.byeCode()).toBe('bad-message');
  });

  it('in HELLO by the number of another release is to be proved; unproved it is told until a newer one is applied', async () => {
    const { publisher, endpoint } = await house();
    const { epoch } = (await release(publisher, { 'a.txt': '10.0.0.0/8' })).manifest;
    await release(publisher, { 'a.txt': '10.0.0.0/9' });
    const holds = { hash: new Uint8Array(32).fill(3), epoch, version: 1 };
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw', { holds });
    expect(entryOf(publisher, 'fw').lastError).toMatchObject({
      code: 'forked',
      text: expect.stringContaining(`release ${epoch}/1 (030303030303)`),
    });
    await subscriber.next('prove');
    await subscriber.nack(holds, { code: 'unknown-release', retry: 'later' });
    await subscriber.take();
    expect(await subscriber.isQuiet()).toBe(true);
    expect(entryOf(publisher, 'fw').lastError).toBeUndefined();
  });

  it('is offered no third release while two are not answered, and then the head', async () => {
    const { publisher, endpoint } = await house();
    await release(publisher, { 'a.txt': '10.0.0.0/8' });
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw');
    for (const bits of [9, 10, 11, 12]) await release(publisher, { 'a.txt': `10.0.0.0/${bits}` });
    const offers = [await subscriber.offer(), await subscriber.offer()];
    expect(offers.map(({ decoded }) => decoded.version)).toEqual([1, 2]);
    expect(await subscriber.isQuiet()).toBe(true);
    await subscriber.send({ kind: 'want', hash: offers[0]?.hash ?? new Uint8Array(32) });
    expect((await subscriber.offer()).decoded.version).toBe(5);
  });
});

describe('sessions among each other', () => {
  it('of one name, the one before dead, end as the older one, and the newer one counts', async () => {
    const clock = new FakeClock();
    const { publisher, endpoint } = await house({ clock });
    const older = await ScriptedSubscriber.greet(endpoint, 'fw');
    const newer = await ScriptedSubscriber.connect(endpoint);
    await newer.hello('fw');
    await older.next('ping');
    clock.advance(2000);
    await newer.next('welcome');
    // Without the wait, two subscribers of one name would drive each other out again and again.
    expect(await older.next('bye')).toMatchObject({ code: 'name-in-use', retryAfterMs: 30_000 });
    // The older session's end once made the entry of both look disconnected.
    expect(publisher.subscribers.connected()).toEqual(['fw']);
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    const outcome = nextOutcome(publisher);
    await newer.take();
    expect(await outcome).toMatchObject({ subscriber: 'fw', state: 'applied' });
    const gone = nextOutcome(publisher);
    newer.channel.close();
    expect(await gone).toMatchObject({ subscriber: 'fw', state: 'disconnected', version: 1 });
    expect(publisher.subscribers.connected()).toEqual([]);
  });

  it.each<[string, Uint8Array]>([
    ['of another protocol', new TextEncoder().encode('GET / HTTP/1.1\r\nHost: publisher\r\n\r\n')],
    ['of zeros', new Uint8Array(64)],
  ])('garbage %s ends the one that sent it, and no other', async (_, garbage) => {
    const { publisher, endpoint } = await house();
    const good = await ScriptedSubscriber.greet(endpoint, 'good');
    const bad = await ScriptedSubscriber.greet(endpoint, 'bad');
    const stranger = await ScriptedSubscriber.connect(endpoint);
    bad.channel.write(garbage);
    stranger.channel.write(garbage);
    expect(await bad.byeCode()).toBe('bad-magic');
    expect(await stranger.byeCode()).toBe('bad-magic');
    expect(publisher.subscribers.connected()).toEqual(['good']);
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    await good.take();
    expect(entryOf(publisher, 'bad').lastError).toMatchObject({ code: 'bad-magic' });
  });

  it.each<[string, Parameters<ScriptedSubscriber['send']>[0]]>([
    ['WANT', { kind: 'want', hash: new Uint8Array(32), base: undefined }],
    [
      'a second HELLO',
      {
        kind: 'hello',
        protocolMin: 2,
        protocolMax: 2,
        name: 'fw',
        lineage: new Uint8Array(16),
        root: { hash: new Uint8Array(32) },
        holds: undefined,
        refused: [],
        limits: { entries: 1, bytes: 1, parts: 1 },
      },
    ],
    ['PROOF', { kind: 'proof', content: new Uint8Array(1), signatures: new Uint8Array(1) }],
    ['END', { kind: 'end', sha256: new Uint8Array(32) }],
    ['STATUS', { kind: 'status', watch: false }],
  ])('%s out of place ends the session with BYE', async (_, message) => {
    const { endpoint } = await house();
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw');
    await subscriber.send(message);
    expect(await subscriber.byeCode()).toBe('unexpected-message');
  });

  it('one that never reads delays no other, nor a push', async () => {
    const { publisher, endpoint } = await house();
    await release(publisher, { 'hosts.txt': hostsText(100_000) });
    const stuck = await ScriptedSubscriber.greet(endpoint, 'stuck');
    await stuck.want(await stuck.offer());
    const deaf = await ScriptedSubscriber.connect(endpoint);
    await deaf.hello('deaf');
    const good = await ScriptedSubscriber.greet(endpoint, 'good');
    await good.take();
    const order: string[] = [];
    publisher.subscribers.on('outcome', ({ subscriber, version }) => order.push(`${subscriber} ${version}`));
    for (const version of [2, 3, 4]) {
      await release(publisher, { 'hosts.txt': `192.0.2.${version}\n` }, { action: 'merge' });
      const outcome = nextOutcome(publisher);
      await good.take();
      await outcome;
    }
    expect(order).toEqual(['good 2', 'good 3', 'good 4']);
    expect(publisher.subscribers.connected()).toEqual(['stuck', 'deaf', 'good']);
  });

  it(`are at most ${SUBSCRIBERS_MAX}, all of which are offered a release; one more hears why not`, async () => {
    const { publisher, endpoint } = await house();
    const all: ScriptedSubscriber[] = [];
    for (let i = 0; i < SUBSCRIBERS_MAX; i++) all.push(await ScriptedSubscriber.greet(endpoint, `fw-${i}`));
    const extra = await ScriptedSubscriber.connect(endpoint);
    await extra.hello('extra');
    expect(await extra.next('bye')).toEqual({
      kind: 'bye',
      code: 'too-many-connections',
      text: `all ${SUBSCRIBERS_MAX} places of this publisher for subscribers are taken`,
      retryAfterMs: 5000,
    });
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    for (const subscriber of all) expect((await subscriber.offer()).decoded.version).toBe(1);
    const gone = nextOutcome(publisher);
    all[7]?.channel.close();
    await gone;
    await ScriptedSubscriber.greet(endpoint, 'late');
    expect(publisher.subscribers.connected()).toHaveLength(SUBSCRIBERS_MAX);
  });

  it('end with BYE when the publisher stops', async () => {
    const { endpoint, served } = await house();
    const subscribers = await Promise.all(['a', 'b'].map((name) => ScriptedSubscriber.greet(endpoint, name)));
    await served.close();
    for (const subscriber of subscribers) expect(await subscriber.byeCode()).toBe('shutting-down');
    await expect(ScriptedSubscriber.connect(endpoint)).rejects.toThrow(/nobody listens/);
  });

  //
  it('end with BYE when nothing is heard for 15 seconds, and PING is sent every five', async () => {
    const clock = new FakeClock();
    const { publisher, endpoint } = await house({ clock });
    const { hash } = await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    const holds = { hash, epoch: 1, version: 1 };
    const talking = await ScriptedSubscriber.greet(endpoint, 'talking', { holds });
    const silent = await ScriptedSubscriber.greet(endpoint, 'silent', { holds });
    const beat = async (ms: number): Promise<void> => {
      clock.advance(ms);
      expect((await talking.next('ping')).hash).toEqual(hash);
      await talking.send({ kind: 'pong', hash, ageMs: undefined });
      await silent.next('ping');
      await turns();
    };
    for (const ms of [5000, 5000]) await beat(ms);
    clock.advance(4999);
    expect(publisher.subscribers.connected()).toEqual(['talking', 'silent']);
    clock.advance(1);
    expect(await silent.byeCode()).toBe('timeout');
    expect(publisher.subscribers.connected()).toEqual(['talking']);
  });
});

describe('a subscriber that talks and does not get on', () => {
  it('taking less than 64 KiB of a transfer in 15 seconds is given up, and taking more is not', async () => {
    const clock = new FakeClock();
    const { publisher, endpoint } = await house({ clock });
    await release(publisher, { 'hosts.txt': hostsText(200_000) });
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw');
    await subscriber.want(await subscriber.offer());
    await subscriber.next('begin');
    const passing = async (): Promise<void> => {
      for (let beat = 0; beat < 3; beat++) {
        await subscriber.send({ kind: 'ping', hash: undefined, ageMs: undefined });
        await turns();
        clock.advance(5000);
      }
    };
    for (let read = 0; read < 70_000; ) read += (await subscriber.next('chunk')).bytes.length;
    await passing();
    expect(publisher.subscribers.connected()).toEqual(['fw']);
    const gone = nextOutcome(publisher);
    await passing();
    expect(await gone).toMatchObject({ subscriber: 'fw', state: 'disconnected' });
    expect(entryOf(publisher, 'fw').lastError).toMatchObject({ code: 'timeout' });
    expect(publisher.subscribers.connected()).toEqual([]);
  });
});

describe('asking a live table', () => {
  const PACKET = {
    direction: 'egress',
    src: undefined,
    dst: Uint8Array.of(192, 0, 2, 1),
    proto: 6,
    port: 443,
    icmpType: undefined,
  } as const;
  const QUESTION = { question: 'test', packet: PACKET } as const;
  const ANSWER = {
    kind: 'answer',
    ok: true,
    verdict: { action: 'drop' },
    hash: undefined,
    version: 1,
    epoch: 1,
    generation: 5,
    stats: undefined,
    code: undefined,
    text: undefined,
  } as const;

  it('relays the question and gives each asker the answer to its own, in any order', async () => {
    const { endpoint, served } = await house();
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw');
    const answers = [
      served.ask('fw', QUESTION),
      served.ask('fw', { ...QUESTION, packet: { ...PACKET, port: 80 } }),
    ];
    const first = await subscriber.nextWithTransaction('query');
    const second = await subscriber.nextWithTransaction('query');
    expect([first.message.packet?.port, second.message.packet?.port]).toEqual([443, 80]);
    await subscriber.send({ ...ANSWER, generation: 80 }, second.transaction);
    await subscriber.send({ ...ANSWER, generation: 1 }, 999); // nobody asked that
    await subscriber.send({ ...ANSWER, generation: 443 }, first.transaction);
    expect((await Promise.all(answers)).map(({ generation }) => generation)).toEqual([443, 80]);
  });

  it('more than it answers waits with who asks, and leaves a question at a time', async () => {
    const clock = new FakeClock();
    const { endpoint, served } = await house({ clock });
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw');
    const asked = Array.from({ length: 13 }, () => served.ask('fw', QUESTION));
    const answerNext = async (): Promise<void> => {
      const { transaction } = await subscriber.nextWithTransaction('query');
      await subscriber.send({ ...ANSWER, generation: transaction }, transaction);
    };
    for (let i = 0; i < QUERIES_PER_SECOND_MAX / 2; i++) await answerNext();
    for (let i = 0; i < 3; i++) {
      expect(await subscriber.isQuiet()).toBe(true);
      clock.advance(1000 / (QUERIES_PER_SECOND_MAX / 2));
      await answerNext();
    }
    const generations = (await Promise.all(asked)).map(({ generation }) => generation);
    expect(generations).toEqual(Array.from({ length: 13 }, (_, i) => i + 1));
  });

  it('of one that goes away before the question leaves is refused', async () => {
    const clock = new FakeClock();
    const { endpoint, served } = await house({ clock });
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw');
    const asked = Array.from({ length: 11 }, () =>
      served.ask('fw', QUESTION).catch((error: unknown) => error),
    );
    await subscriber.next('query');
    subscriber.channel.close();
    await asked[0];
    clock.advance(1000);
    expect(await asked[10]).toMatchObject({ code: 'disconnected' });
  });

  it('of who is not connected is refused', async () => {
    const { served } = await house();
    await expect(served.ask('fw', QUESTION)).rejects.toMatchObject({ code: 'no-such-subscriber' });
  });

  it('of one that goes away is refused at once', async () => {
    const { endpoint, served } = await house();
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw');
    const refused = expect(served.ask('fw', QUESTION)).rejects.toMatchObject({ code: 'disconnected' });
    await subscriber.next('query');
    subscriber.channel.close();
    await refused;
  });

  it('that gives no answer within 5 seconds is a timeout, and a late answer is dropped', async () => {
    const clock = new FakeClock();
    const { endpoint, served } = await house({ clock });
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw');
    const refused = expect(served.ask('fw', QUESTION)).rejects.toMatchObject({ code: 'timeout' });
    const { transaction } = await subscriber.nextWithTransaction('query');
    clock.advance(4999);
    expect(await subscriber.isQuiet()).toBe(true);
    clock.advance(1);
    await refused;
    await subscriber.next('ping');
    await subscriber.send(ANSWER, transaction);
    expect(await subscriber.isQuiet()).toBe(true);
  });

  // The timeout once rejected a promise that nobody had begun to await, which ends a Node process.
  it('that is stuck in the middle of a transfer is a timeout too', async () => {
    const clock = new FakeClock();
    const { publisher, endpoint, served } = await house({ clock });
    await release(publisher, { 'hosts.txt': hostsText(100_000) });
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw');
    await subscriber.want(await subscriber.offer());
    await subscriber.next('begin');
    const refused = expect(served.ask('fw', QUESTION)).rejects.toMatchObject({ code: 'timeout' });
    clock.advance(5000);
    await refused;
  });
});

describe('a push', () => {
  it('that is refused is offered to nobody', async () => {
    const { publisher, endpoint } = await house();
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw');
    await publisher.push(pushOf({ 'hosts.txt': '300.1.1.1\n' }));
    await expect(publisher.push(pushOf({ 'x.rules': 'drop dst=@gone\n' }))).rejects.toThrow();
    await publisher.push(pushOf({ 'hosts.txt': '192.0.2.1\n' }), { dryRun: true });
    expect(await subscriber.isQuiet()).toBe(true);
    expect(publisher.head).toBeUndefined();
  });

  it('comes after the one before, so that none is lost', async () => {
    const { publisher } = await house();
    const pushes = Array.from({ length: 20 }, (_, i) =>
      release(publisher, { 'hosts.txt': `192.0.2.${i}\n` }, { action: 'merge' }),
    );
    const versions = (await Promise.all(pushes)).map(({ manifest }) => manifest.version);
    expect(versions).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    expect(publisher.head?.manifest.prefixes).toBe(20);
  });
});
