/**
 * A root that asks to be renewed: told before its date and after it, closed where that is asked for, and by
 * no clock that is only ahead.
 */

import { FRESH_EVERY_MS, type Root, type SignedRoot, VERSION_MAX } from '@rulecast/protocol';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { rootOf, signedRoot } from '../../../test/kit/roots.mjs';
import type { SubscriberOptions } from '../src/peer/options.ts';
import type { Subscriber } from '../src/peer/subscriber.ts';
import { expectEnforces, NOW, packetOf, sampleRuleSet } from './sample.ts';
import { type Peer, ScriptedPublisher, type ScriptedRelease } from './scripted-publisher.ts';
import { startedSubscriber } from './started.ts';

const DAY = 86_400;
const BY = NOW + 60 * DAY;
const PACKET = packetOf('egress', '10.137.0.5', '192.0.2.1');

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'],
  });
});

afterEach(() => {
  vi.useRealTimers();
});

/** The clocks of a firewall, in seconds: the wall clock, and the time since boot. */
class Clocks {
  wall = NOW;
  sinceBoot = 0;
  readonly options = {
    nowMs: () => this.wall * 1000,
    boot: { bootMs: () => this.sinceBoot * 1000, bootId: 'test' },
  };

  /** `setBy`: and the wall clock is set. */
  pass(seconds: number, setBy = 0): void {
    this.wall += seconds + setBy;
    this.sinceBoot += seconds;
  }
}

class House {
  readonly publisher = new ScriptedPublisher();
  readonly clocks = new Clocks();
  readonly told: { readonly level: number; readonly msg: string; readonly rootRenewal?: string }[] = [];
  subscriber: Subscriber | undefined;
  peer: Peer | undefined;
  #newest: SignedRoot = this.publisher.root;

  async start(options: Partial<SubscriberOptions> = {}): Promise<Peer> {
    const logger = pino({}, { write: (line) => void this.told.push(JSON.parse(line)) });
    const { publisher, clocks } = this;
    this.subscriber = await startedSubscriber(publisher, { logger, ...clocks.options, ...options });
    this.peer = (await publisher.greeted()).peer;
    return this.peer;
  }

  /** With the publisher's one key. */
  async follows(number: number, said: Partial<Root>): Promise<void> {
    const { privateKey, trust } = this.publisher;
    this.#newest = signedRoot(rootOf(trust.lineage, privateKey, { number, ...said }), privateKey);
    const { signatures, content } = this.#newest;
    await this.peer?.send({ kind: 'root', signatures, content });
  }

  /** Says what is newest, under the newest root. */
  async fresh(one: ScriptedRelease): Promise<void> {
    const { epoch, version } = one.manifest;
    if (this.peer === undefined) throw new TypeError('nobody is connected');
    await this.peer.fresh({ epoch, version, hash: one.hash, root: this.#newest.hash });
  }

  release(version: number, createdAtMs = 1): ScriptedRelease {
    return this.publisher.release(sampleRuleSet(version), { version, createdAtMs });
  }

  get renewal(): string | undefined {
    return this.subscriber?.status().rootRenewal;
  }

  get renewals(): readonly (readonly [level: number, rootRenewal: string])[] {
    return this.told.flatMap(({ level, rootRenewal }) =>
      rootRenewal === undefined ? [] : [[level, rootRenewal] as const],
    );
  }
}

/** A house whose root must be renewed by BY, with one release in force. */
async function dated(options: Partial<SubscriberOptions> = {}): Promise<[House, Peer, ScriptedRelease]> {
  const house = new House();
  const peer = await house.start(options);
  await house.follows(2, { refreshBy: BY });
  const one = house.release(1);
  await house.fresh(one);
  await peer.bring(one);
  await looked(peer);
  return [house, peer, one];
}

/** The watch looks once a minute; a peer that is silent for so long is gone. */
async function looked(peer: Peer): Promise<void> {
  for (let passedMs = 0; passedMs <= 60_000; passedMs += 10_000) {
    await vi.advanceTimersByTimeAsync(10_000);
    await answered(peer);
  }
}

/** With another nonce. */
async function asked(peer: Peer): Promise<void> {
  await vi.advanceTimersByTimeAsync(FRESH_EVERY_MS);
  await answered(peer);
}

async function answered(peer: Peer): Promise<void> {
  await peer.send({ kind: 'ping' });
  await peer.receive('pong');
}

//
describe('a root with a date', () => {
  it('is told thirty days before and when it is past, stays in force, and is over with the next', async () => {
    const [house, peer, one] = await dated();
    house.clocks.pass(30 * DAY - 1);
    await looked(peer);
    expect([house.renewal, house.renewals]).toEqual(['good', []]);
    house.clocks.pass(1);
    await looked(peer);
    expect([house.renewal, house.renewals]).toEqual(['due', [[40, 'due']]]);
    house.clocks.pass(30 * DAY - 1);
    await looked(peer);
    expect(house.renewals).toHaveLength(1);
    house.clocks.pass(1);
    await looked(peer);
    expect([house.renewal, house.renewals.at(-1)]).toEqual(['overdue', [50, 'overdue']]);
    expect(house.told.at(-1)?.msg).toMatch(/^root 2 was to be renewed by \d{4}-.*: rulectl keys renew/);
    if (house.subscriber) await expectEnforces(house.subscriber, one.ruleSet);
    await house.follows(3, { refreshBy: BY + 90 * DAY });
    await answered(peer);
    await looked(peer);
    expect([house.renewal, house.renewals.at(-1)]).toEqual(['good', [30, 'good']]);
  });

  it('is closed with --stale closed where it is past, says so, and opens with a root that is not', async () => {
    const [house, peer, one] = await dated({ staleMode: 'closed' });
    const { subscriber } = house;
    await vi.waitFor(() => expectEnforces(subscriber as Subscriber, one.ruleSet));
    house.clocks.pass(60 * DAY);
    await looked(peer);
    await vi.waitFor(() => expect(subscriber?.lookup(PACKET)).toMatchObject({ policy: 'boot' }));
    await house.fresh(one); // a thief of its keys would say as much
    await answered(peer);
    expect(subscriber?.status()).toMatchObject({ freshness: 'fresh', rootRenewal: 'overdue' });
    expect(subscriber?.lookup(PACKET)).toMatchObject({ action: 'drop', policy: 'boot' });
    await peer.offer(one);
    expect((await peer.receive('nack')).text).toContain('its root is overdue');
    await house.follows(3, { refreshBy: BY + 90 * DAY });
    const two = house.release(2);
    await asked(peer);
    await house.fresh(two);
    await peer.bring(two);
    await looked(peer);
    await vi.waitFor(() => expectEnforces(subscriber as Subscriber, two.ruleSet));
  });

  // It opened what a thief had in force: his FRESH of the root before was good for two minutes.
  it('that was past stays closed after the next one, until the newest is said under that', async () => {
    const [house, peer, one] = await dated({ staleMode: 'closed' });
    house.clocks.pass(60 * DAY);
    await looked(peer);
    await house.fresh(one);
    await answered(peer);
    expect(house.subscriber?.status().freshness).toBe('fresh');
    await house.follows(3, { refreshBy: BY + 90 * DAY });
    await answered(peer);
    expect(house.subscriber?.status()).toMatchObject({ freshness: 'unsure', rootRenewal: 'good' });
    const two = house.release(2);
    await asked(peer);
    await house.fresh(two);
    await answered(peer);
    expect(house.subscriber?.lookup(PACKET)).toMatchObject({ action: 'drop', policy: 'boot' });
    await peer.bring(two);
    await vi.waitFor(() => expectEnforces(house.subscriber as Subscriber, two.ruleSet));
  });

  it('that is past is closed after a restart, too, whatever is said to be the newest', async () => {
    const stateDirectory = temporaryDirectory();
    const [house, , one] = await dated({ staleMode: 'closed', stateDirectory });
    await house.subscriber?.close();
    house.clocks.pass(60 * DAY);
    const peer = await house.start({ staleMode: 'closed', stateDirectory });
    expect([house.renewal, house.subscriber?.status().version]).toEqual(['overdue', 1]);
    await house.fresh(one);
    await answered(peer);
    expect(house.subscriber?.status().freshness).toBe('fresh');
    expect(house.subscriber?.lookup(PACKET)).toMatchObject({ action: 'drop', policy: 'boot' });
  });

  it.each<[string, bootId: string, staleMode: 'keep' | 'closed', renewal: string]>([
    ['a restart of the process', 'test', 'closed', 'due'],
    ['a boot', 'another', 'closed', 'overdue'],
    ['a boot', 'another', 'keep', 'overdue'],
  ])('over %s (%s) with a clock a year ahead, and %s, is %s until that is set back', async (...row) => {
    const [, bootId, staleMode, renewal] = row;
    const stateDirectory = temporaryDirectory();
    const [house, , one] = await dated({ staleMode, stateDirectory });
    await house.subscriber?.close();
    house.clocks.pass(DAY, 365 * DAY);
    const { boot } = house.clocks.options;
    const peer = await house.start({ staleMode, stateDirectory, boot: { ...boot, bootId } });
    await house.fresh(one);
    await looked(peer);
    expect(house.renewal).toBe(renewal);
    const isOpen = staleMode === 'keep' || renewal !== 'overdue';
    await vi.waitFor(() => expect(house.subscriber?.lookup(PACKET).policy !== 'boot').toBe(isOpen));
    house.clocks.pass(DAY, -365 * DAY);
    await house.fresh(one);
    await looked(peer);
    expect(house.renewal).not.toBe('overdue');
    await vi.waitFor(() => expect(house.subscriber?.lookup(PACKET).policy).not.toBe('boot'));
  });

  it('is not told of where the next one follows at once', async () => {
    const house = new House();
    const peer = await house.start();
    await house.follows(2, { refreshBy: NOW - DAY });
    await house.follows(3, {});
    await answered(peer);
    await looked(peer);
    expect([house.renewal, house.renewals]).toEqual(['good', []]);
  });

  it.each<[string, (clocks: Clocks) => void, createdAtMs: number, string]>([
    ['set ahead', (clocks) => clocks.pass(0, 80 * DAY), 1, 'due'],
    ['that starts in 1970', (clocks) => clocks.pass(0, -NOW), BY * 1000, 'good'],
    ['set back after the date', (clocks) => clocks.pass(70 * DAY, -70 * DAY), 1, 'due'],
    ['before the creation of the release', (clocks) => clocks.pass(DAY), (BY + DAY) * 1000, 'good'],
    ['past the date', (clocks) => clocks.pass(60 * DAY), 1, 'overdue'],
    // A thief of the release key could put the date off for good.
    [
      'past the date, and before a release from the future',
      (clocks) => clocks.pass(60 * DAY),
      VERSION_MAX,
      'overdue',
    ],
  ])('stands by a clock %s as follows', async (_, move, createdAtMs, renewal) => {
    const house = new House();
    const peer = await house.start({ staleMode: 'closed' });
    await house.follows(2, { refreshBy: BY });
    const one = house.release(1, createdAtMs);
    await house.fresh(one);
    await peer.bring(one);
    move(house.clocks);
    await looked(peer);
    expect(house.renewal).toBe(renewal);
    const isOpen = renewal !== 'overdue';
    await vi.waitFor(() => expect(house.subscriber?.lookup(PACKET).policy !== 'boot').toBe(isOpen));
  });
});
