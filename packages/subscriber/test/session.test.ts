/**
 * Sessions: messages out of place, silence, reconnecting, questions, and closing at any time. WIRE.md
 * "Sessions".
 */

import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import {
  HANDSHAKE_TIMEOUT_MS,
  type Message,
  packetToWire,
  QUERIES_PER_SECOND_MAX,
  REFUSED_PAGES_PER_SECOND_MAX,
  TRANSFER_WINDOW_MIN_BYTES,
  TRANSFER_WINDOW_MS,
  verdictToWire,
} from '@rulecast/protocol';
import { evaluate } from '@rulecast/rules';
import { type Channel, createMemoryPair } from '@rulecast/vchan';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import type { createSubscriber } from '../src/peer/subscriber.ts';
import { ENVIRONMENT, expectEnforces, expectJudges, packetOf, sampleRuleSet } from './sample.ts';
import { type Peer, ScriptedPublisher, sampleReleases, snapshotOf } from './scripted-publisher.ts';
import { Gate, nobody, RecordingSink, startedSubscriber } from './started.ts';

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'],
  });
});

afterEach(() => {
  vi.useRealTimers();
});

const PING: Message = { kind: 'ping' };
const QUERY: Message = { kind: 'query', question: 'stats' };
const HASH = new Uint8Array(32);
const END: Message = { kind: 'end' };

/** Opens a connection to the point from which a message has no place. */
async function reach(publisher: ScriptedPublisher, state: string, heartbeatMs?: number): Promise<Peer> {
  const peer = await publisher.peer();
  await peer.receive('hello');
  if (state === 'greeting') return peer;
  await peer.welcome(publisher.trust.lineage, heartbeatMs);
  if (state === 'idle') return peer;
  const [, release] = sampleReleases(publisher);
  await peer.offer(release);
  await peer.receive('want');
  if (state === 'wanting') return peer;
  await peer.send({ kind: 'begin', ...snapshotOf(release).begin });
  return peer;
}

//
describe('a message out of place ends the session, and what is in force stays:', () => {
  it.each([
    ['greeting', PING],
    ['greeting', QUERY],
    ['greeting', END],
    ['greeting', { kind: 'prove' }],
    ['idle', { kind: 'begin', bytes: 1, snapshot: true }],
    ['idle', { kind: 'chunk', bytes: HASH }],
    ['idle', END],
    ['idle', { kind: 'abort', code: 'superseded', text: '' }],
    ['idle', { kind: 'welcome', protocol: 2, name: 'x', lineage: new Uint8Array(16), heartbeatMs: 1000 }],
    ['idle', { kind: 'want', hash: HASH }],
    ['idle', { kind: 'status', watch: false }],
    ['wanting', { kind: 'chunk', bytes: HASH }],
    ['wanting', { kind: 'prove' }],
    ['receiving', { kind: 'begin', bytes: 1, snapshot: true }],
    ['receiving', { kind: 'prove' }],
  ] as const satisfies readonly (readonly [string, Message])[])('%s: %o', async (state, message) => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const [held] = sampleReleases(publisher);
    const first = await publisher.greeted();
    await first.peer.bring(held);
    first.peer.close();
    await vi.advanceTimersByTimeAsync(50);
    const peer = await reach(publisher, state);
    await peer.send(message);
    expect(await peer.ended()).toBe('unexpected-message');
    await expectEnforces(subscriber, held.ruleSet);
    expect(subscriber.status()).toMatchObject({ version: 1, lastError: { code: 'unexpected-message' } });
    await vi.advanceTimersByTimeAsync(100);
    const again = await publisher.greeted();
    expect(again.hello.holds?.hash).toEqual(held.hash);
  });

  it('an OFFER while a transfer runs', async () => {
    const publisher = new ScriptedPublisher();
    await startedSubscriber(publisher);
    const peer = await reach(publisher, 'receiving');
    await peer.offer(sampleReleases(publisher)[2]);
    expect(await peer.ended()).toBe('unexpected-message');
  });

  it('bytes that are no frame', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const peer = await reach(publisher, 'receiving');
    peer.server.write(new Uint8Array(24).fill(0x20));
    expect(await peer.ended()).toBe('bad-magic');
    expect(subscriber.status().lastError?.code).toBe('bad-magic');
  });
});

describe('reconnecting', () => {
  //
  it('waits twice as long after each failure, up to 15 s, and the first wait again after a WELCOME', async () => {
    const publisher = new ScriptedPublisher();
    publisher.failure = new Error('nobody listens');
    const subscriber = await startedSubscriber(publisher); // random 0: half of each wait
    const waits = [50, 100, 200, 400, 800, 1600, 3200, 6400, 7500, 7500];
    for (const [i, waitMs] of waits.entries()) {
      expect(publisher.connects).toBe(i + 1);
      await vi.advanceTimersByTimeAsync(waitMs - 1);
      expect(publisher.connects).toBe(i + 1);
      await vi.advanceTimersByTimeAsync(1);
    }
    expect(subscriber.status().lastError).toMatchObject({ code: 'disconnected', text: 'nobody listens' });
    publisher.failure = undefined;
    await vi.advanceTimersByTimeAsync(7500);
    const { peer } = await publisher.greeted();
    await peer.send(PING);
    await peer.receive('pong');
    expect(subscriber.status()).toMatchObject({
      connected: true,
      publisher: 'dom0',
      lastError: undefined,
    });
    const connects = publisher.connects;
    const gone = once(subscriber.events, 'disconnected');
    peer.close();
    await gone;
    expect(subscriber.status().connected).toBe(false);
    await vi.advanceTimersByTimeAsync(50);
    expect(publisher.connects).toBe(connects + 1);
  });

  it('waits for a release that is being applied, so that HELLO says it is held', async () => {
    const publisher = new ScriptedPublisher();
    const sink = new RecordingSink();
    const gate = new Gate();
    sink.onCommit = () => gate.pass();
    const subscriber = await startedSubscriber(publisher, { sink });
    const [release] = sampleReleases(publisher);
    const { peer } = await publisher.greeted();
    await peer.offer(release);
    await peer.receive('want');
    await peer.transfer(snapshotOf(release));
    await gate.reached;
    peer.close();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(publisher.connects).toBe(1);
    const gone = once(subscriber.events, 'disconnected');
    gate.open();
    await gone;
    await vi.advanceTimersByTimeAsync(50);
    expect((await publisher.greeted()).hello.holds?.hash).toEqual(release.hash);
  });

  it('spreads its waits over their upper half', async () => {
    const publisher = new ScriptedPublisher();
    publisher.failure = new Error('nobody listens');
    await startedSubscriber(publisher, { random: () => 0.5 });
    await vi.advanceTimersByTimeAsync(74);
    expect(publisher.connects).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(publisher.connects).toBe(2);
  });

  //
  it('waits as long as the BYE of the publisher says', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const { peer } = await publisher.greeted();
    const gone = once(subscriber.events, 'disconnected');
    await peer.send({ kind: 'bye', code: 'too-many-connections', text: 'full', retryAfterMs: 5000 });
    await gone;
    const told = { code: 'too-many-connections', text: 'the publisher ended the session: full' };
    expect(subscriber.status().lastError).toMatchObject(told);
    await vi.advanceTimersByTimeAsync(4999);
    expect(publisher.connects).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(publisher.connects).toBe(2);
  });

  // Each WELCOME of a wrong publisher began the waits anew: ten connects a second for ever.
  //
  it('backs off from a publisher of another lineage too', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    for (const waitMs of [50, 100, 200]) {
      const peer = await publisher.peer();
      await peer.receive('hello');
      await peer.welcome(new Uint8Array(16).fill(9));
      expect(await peer.ended()).toBe('wrong-lineage');
      const { connects } = publisher;
      await vi.advanceTimersByTimeAsync(waitMs - 1);
      expect(publisher.connects).toBe(connects);
      await vi.advanceTimersByTimeAsync(1);
      expect(publisher.connects).toBe(connects + 1);
    }
    expect(subscriber.status()).toMatchObject({ connected: false, lastError: { code: 'wrong-lineage' } });
  });

  it('ends with a publisher of Rulecast 0.2, and says what to do', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const peer = await publisher.peer();
    expect(await peer.receive('hello')).toMatchObject({ protocolMin: 2, protocolMax: 2 });
    const text = 'this publisher speaks protocol 1 only';
    await peer.send({ kind: 'bye', code: 'no-common-version', text });
    await vi.waitFor(() => expect(subscriber.status().lastError?.code).toBe('no-common-version'));
    expect(subscriber.status().lastError?.text).toBe(
      `the publisher ended the session: ${text} (this subscriber speaks protocol 2: upgrade the older of both; what is in force stays so meanwhile)`,
    );
  });

  // It was said to be of another lineage.
  it.each([0x01, 0xff])(
    'ends with a publisher that answers in protocol %i, and says so',
    async (protocol) => {
      const publisher = new ScriptedPublisher();
      const subscriber = await startedSubscriber(publisher);
      const peer = await publisher.peer();
      await peer.receive('hello');
      const { lineage } = publisher.trust;
      await peer.send({ kind: 'welcome', protocol, name: 'dom0', lineage, heartbeatMs: 5000 });
      expect(await peer.ended()).toBe('no-common-version');
      const text = expect.stringContaining(`answers in protocol ${protocol}`);
      expect(subscriber.status()).toMatchObject({ lastError: { code: 'no-common-version', text } });
    },
  );
});

describe('silence', () => {
  //
  it('of a publisher that says no WELCOME ends the connection after 10 s', async () => {
    const publisher = new ScriptedPublisher();
    await startedSubscriber(publisher);
    const peer = await publisher.peer();
    await peer.receive('hello');
    await vi.advanceTimersByTimeAsync(HANDSHAKE_TIMEOUT_MS);
    expect(await peer.ended()).toBe('timeout');
  });

  it('is broken by a PING each heartbeat that says what is in force, and ends the session after three', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const peer = await publisher.peer();
    await peer.receive('hello');
    await peer.welcome(publisher.trust.lineage, 1000);
    const [release] = sampleReleases(publisher);
    await peer.bring(release);
    for (let beat = 1; beat <= 3; beat++) {
      await vi.advanceTimersByTimeAsync(1000);
      const { hash } = release;
      expect(await peer.receive('ping')).toMatchObject({ kind: 'ping', hash, ageMs: beat * 1000 });
    }
    await vi.advanceTimersByTimeAsync(1000);
    expect(await peer.ended()).toBe('timeout');
    await expectEnforces(subscriber, release.ruleSet);
  });
});

describe('a connection', () => {
  /** What the log says, as code and text. */
  function toldBy(lines: readonly Record<string, unknown>[]): readonly unknown[] {
    return lines.map(({ code, msg }) => [code, msg]);
  }

  it('that a policy forbids is told once, and tried again no sooner than after five minutes', async () => {
    const publisher = new ScriptedPublisher();
    const lines: Record<string, unknown>[] = [];
    const logger = pino({}, { write: (line) => void lines.push(JSON.parse(line)) });
    let calls = 0;
    const channel = async (): Promise<Channel> => {
      calls += 1;
      if (calls > 3) return publisher.channel();
      const { client, server } = createMemoryPair();
      server.close();
      return new Proxy(client, { get: (target, key) => forbidden(target, key) });
    };
    await startedSubscriber(publisher, { channel, logger });
    await vi.advanceTimersByTimeAsync(299_999);
    expect(calls).toBe(1);
    await vi.advanceTimersByTimeAsync(600_001);
    expect(calls).toBe(4);
    await publisher.greeted();
    await vi.advanceTimersByTimeAsync(0);
    expect(toldBy(lines)).toEqual([
      ['refused-by-policy', 'no call'],
      [undefined, 'connected'],
      [undefined, 'believes the next root'],
    ]);
  });

  it('is a line of the log when it comes, when it ends, and when why it does not come is another', async () => {
    const publisher = new ScriptedPublisher();
    const lines: Record<string, unknown>[] = [];
    const logger = pino({}, { write: (line) => void lines.push(JSON.parse(line)) });
    publisher.failure = new Error('nobody listens');
    await startedSubscriber(publisher, { logger });
    await vi.advanceTimersByTimeAsync(60_000);
    publisher.failure = new Error('no permission');
    await vi.advanceTimersByTimeAsync(60_000);
    publisher.failure = undefined;
    await vi.advanceTimersByTimeAsync(15_000);
    const { peer } = await publisher.greeted();
    await vi.advanceTimersByTimeAsync(0);
    peer.close();
    await vi.advanceTimersByTimeAsync(200);
    for (let refused = 0; refused < 2; refused++) {
      const next = await publisher.peer();
      await next.receive('hello');
      await next.send({ kind: 'bye', code: 'name-bound', text: 'not yours' });
      await vi.advanceTimersByTimeAsync(1000);
    }
    expect(toldBy(lines)).toEqual([
      ['disconnected', 'nobody listens'],
      ['disconnected', 'no permission'],
      [undefined, 'connected'],
      [undefined, 'believes the next root'],
      ['disconnected', 'closed by the peer'],
      ['name-bound', 'the publisher ended the session: not yours'],
    ]);
  });
});

/** A channel as one that a policy ended. */
function forbidden(target: Channel, key: string | symbol): unknown {
  if (key === 'isForbidden') return true;
  if (key === 'closeReason') return 'no call';
  const value: unknown = Reflect.get(target, key, target);
  return typeof value === 'function' ? value.bind(target) : value;
}

describe('questions', () => {
  const packet = packetOf('egress', '10.137.0.5', '198.51.100.7');

  it('test: the verdict of the live table, with the rule, as the reference evaluator has it', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const [release] = sampleReleases(publisher);
    const { peer } = await publisher.greeted();
    await peer.send({ kind: 'query', question: 'test', packet: packetToWire(packet) }, 7);
    const early = await peer.receiveWith('answer');
    expect(early).toMatchObject({ transaction: 7, message: { ok: true, verdict: { action: 'drop' } } });
    expect(early.message.hash).toBeUndefined();
    await peer.bring(release);
    await peer.send({ kind: 'query', question: 'test', packet: packetToWire(packet) }, 8);
    const { message, transaction } = await peer.receiveWith('answer');
    const verdict = verdictToWire(evaluate(release.ruleSet, ENVIRONMENT, packet), 'action=drop dst=@bad');
    expect(transaction).toBe(8);
    expect(message).toEqual({
      kind: 'answer',
      ok: true,
      verdict,
      hash: release.hash,
      version: 1,
      epoch: 0,
      generation: subscriber.lookup(packet).generation,
    });
    expect(verdict.rule).toBe('action=drop dst=@bad');
  });

  it('stats: counters of the live table, also in the middle of a transfer', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const peer = await reach(publisher, 'receiving');
    await peer.send(QUERY, 3);
    const { message, transaction } = await peer.receiveWith('answer');
    expect(transaction).toBe(3);
    expect(message.ok).toBe(true);
    expect(message.stats).toMatchObject({ generation: subscriber.lookup(packet).generation });
    expect(message.verdict).toBeUndefined();
  });

  it('stats: lookups in all and by list, of a host that looks up', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const [release] = sampleReleases(publisher);
    const { peer } = await publisher.greeted();
    await peer.bring(release);
    for (let i = 0; i < 3; i++) subscriber.lookup(packet);
    await peer.send(QUERY, 1);
    const { stats, hash } = await peer.receive('answer');
    const { generation, bytes } = await subscriber.stats();
    const freshness = { stale: 0, freshAgeMs: 0 };
    expect(stats).toEqual({ generation, bytes, ...freshness, lookups: 3, 'list.bad': 3 });
    expect(hash).toEqual(release.hash);
  });

  it('stats: those of the sink in place of lookups, when it has them; else why not', async () => {
    const publisher = new ScriptedPublisher();
    const asked = new Gate();
    let failure: Error | undefined;
    const counters = async (): Promise<Readonly<Record<string, number>>> => {
      await asked.pass();
      if (failure !== undefined) throw failure;
      return { nftDropped: 2 };
    };
    const subscriber = await startedSubscriber(publisher, {
      sink: Object.assign(new RecordingSink(), { counters }),
    });
    const { peer } = await publisher.greeted();
    await peer.send(QUERY, 1);
    await asked.reached;
    asked.open();
    const { generation, bytes } = await subscriber.stats();
    expect((await peer.receive('answer')).stats).toEqual({ generation, bytes, stale: 0, nftDropped: 2 });
    failure = new Error('nft is gone');
    await peer.send(QUERY, 2);
    expect(await peer.receive('answer')).toMatchObject({
      ok: false,
      code: 'not-ready',
      text: 'nft is gone',
    });
  });

  it('stats: no more than an answer has room for, and of lists and rules those with most', async () => {
    const publisher = new ScriptedPublisher();
    const lists = Array.from({ length: 60 }, (_, i) => [`list.l${i}`, i]);
    let reads = 0;
    const counters = async (): Promise<Readonly<Record<string, number>>> => ({
      ...Object.fromEntries(lists),
      nftDropped: ++reads && 2,
      nftRepairs: 0,
    });
    const names = {
      isThere: () => true,
      follow: async () => undefined,
      trouble: () => undefined,
      counters: () => ({ dnsBlocked: 1, 'dnsList.ads': 100 }),
    };
    await startedSubscriber(publisher, { sink: Object.assign(new RecordingSink(), { counters }), names });
    const { peer } = await publisher.greeted();
    await peer.send(QUERY, 1);
    const { stats = {} } = await peer.receive('answer');
    expect(Object.keys(stats)).toHaveLength(64);
    expect(stats).toMatchObject({
      nftDropped: 2,
      nftRepairs: 0,
      dnsBlocked: 1,
      'dnsList.ads': 100,
      'list.l59': 59,
    });
    expect(stats).not.toHaveProperty(['list.l0']);
    // … and all of them in pages, the whole first, each list by its name.
    const pages: Readonly<Record<string, number>>[] = [];
    for (let from: number | undefined = 0; from !== undefined; ) {
      await peer.send({ ...QUERY, '+from': from }, 2);
      const page = await peer.receive('answer');
      pages.push(page.stats ?? {});
      from = page['+next'];
    }
    expect(pages.map((page) => Object.keys(page).length)).toEqual([64, 3]);
    expect(Object.keys(pages[0] ?? {}).slice(0, 8)).toEqual([
      ...['bytes', 'dnsBlocked', 'generation', 'nftDropped', 'nftRepairs', 'stale', 'dnsList.ads', 'list.l0'],
    ]);
    expect(Object.keys(pages[1] ?? {})).toEqual(['list.l7', 'list.l8', 'list.l9']);
    expect(reads).toBe(2); // once for the first answer, and once for all pages
    await peer.send({ ...QUERY, '+from': 67 }, 3);
    expect(await peer.receive('answer')).toMatchObject({ ok: true, stats: {} });
  });

  //
  it('beyond twenty a second are answered with rate-limited, and answered again a second later', async () => {
    const publisher = new ScriptedPublisher();
    await startedSubscriber(publisher);
    const { peer } = await publisher.greeted();
    for (let transaction = 1; transaction <= QUERIES_PER_SECOND_MAX; transaction++) {
      await peer.send(QUERY, transaction);
      expect((await peer.receive('answer')).ok).toBe(true);
    }
    await peer.send(QUERY, 99);
    const { message, transaction } = await peer.receiveWith('answer');
    expect(transaction).toBe(99);
    expect(message).toMatchObject({ ok: false, code: 'rate-limited' });
    await vi.advanceTimersByTimeAsync(1000);
    await peer.send(QUERY, 100);
    expect((await peer.receive('answer')).ok).toBe(true);
  });

  it('of refusals have a rate of their own, for a log has hundreds of pages', async () => {
    const publisher = new ScriptedPublisher();
    await startedSubscriber(publisher);
    const { peer } = await publisher.greeted();
    const page = { kind: 'query', question: 'refused', refused: { after: 0 } } as const;
    for (let transaction = 1; transaction <= REFUSED_PAGES_PER_SECOND_MAX; transaction++) {
      await peer.send(page, transaction);
      expect((await peer.receive('answer')).code).not.toBe('rate-limited');
    }
    await peer.send(page, 998);
    expect((await peer.receive('answer')).code).toBe('rate-limited');
    await peer.send(QUERY, 999);
    expect((await peer.receive('answer')).ok).toBe(true);
  });
});

describe('questions that a sink does not answer', () => {
  it('are twenty at most, however many seconds bring more', async () => {
    const publisher = new ScriptedPublisher();
    const counters = vi.fn(() => new Promise<Readonly<Record<string, number>>>(() => undefined));
    await startedSubscriber(publisher, { sink: Object.assign(new RecordingSink(), { counters }) });
    const { peer } = await publisher.greeted();
    for (let transaction = 1; transaction <= QUERIES_PER_SECOND_MAX; transaction++)
      await peer.send(QUERY, transaction);
    await peer.send(PING);
    await peer.receive('pong');
    await vi.advanceTimersByTimeAsync(1000);
    await peer.send(QUERY, 99);
    const { message, transaction } = await peer.receiveWith('answer');
    expect(transaction).toBe(99);
    expect(message).toMatchObject({ ok: false, code: 'rate-limited' });
    expect(counters).toHaveBeenCalledTimes(QUERIES_PER_SECOND_MAX);
  });
});

describe('close resolves, says BYE, and leaves no channel and no timer open:', () => {
  async function started(
    publisher: ScriptedPublisher,
    options: Parameters<typeof startedSubscriber>[1] = {},
  ): Promise<Awaited<ReturnType<typeof createSubscriber>>> {
    return startedSubscriber(publisher, options);
  }

  function expectNothingOpen(publisher: ScriptedPublisher): void {
    expect(vi.getTimerCount()).toBe(0);
    expect(publisher.servers.map((server) => server.state)).toEqual(
      publisher.servers.map(() => 'disconnected'),
    );
  }

  it.each(['greeting', 'idle', 'wanting', 'receiving'])('while %s', async (state) => {
    const publisher = new ScriptedPublisher();
    const directory = temporaryDirectory();
    const subscriber = await started(publisher, { stateDirectory: directory });
    const peer = await reach(publisher, state);
    await peer.send(state === 'greeting' ? { kind: 'bye', code: 'x', text: '' } : PING);
    if (state !== 'greeting') await peer.receive('pong');
    await subscriber.close();
    if (state !== 'greeting') expect(await peer.ended()).toBe('shutting-down');
    expectNothingOpen(publisher);
    const roots = state === 'greeting' ? [] : ['roots'];
    expect(readdirSync(directory).sort()).toEqual(['clock', 'copy', ...roots]);
    const { connects } = publisher;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(publisher.connects).toBe(connects);
  });

  it('while a release is being applied, which is then in force and marked', async () => {
    const publisher = new ScriptedPublisher();
    const directory = temporaryDirectory();
    const sink = new RecordingSink();
    const gate = new Gate();
    sink.onCommit = () => gate.pass();
    const subscriber = await started(publisher, { sink, stateDirectory: directory });
    const [release] = sampleReleases(publisher);
    const { peer } = await publisher.greeted();
    await peer.offer(release);
    await peer.receive('want');
    await peer.transfer(snapshotOf(release));
    await gate.reached;
    let closed = false;
    const closing = subscriber.close().then(() => {
      closed = true;
    });
    expect(await peer.ended()).toBe('shutting-down');
    expect(closed).toBe(false);
    gate.open();
    await closing;
    expectNothingOpen(publisher);
    expectJudges(subscriber, release.ruleSet);
    const again = await startedSubscriber(publisher, { stateDirectory: directory, channel: nobody });
    await expectEnforces(again, release.ruleSet);
  });

  it('while DNS addresses are being changed, which is waited for', async () => {
    const publisher = new ScriptedPublisher();
    const sink = new RecordingSink();
    const subscriber = await started(publisher, { sink });
    const { peer } = await publisher.greeted();
    await peer.bring(sampleReleases(publisher)[0]);
    const gate = new Gate();
    sink.onCommit = () => gate.pass();
    const order: string[] = [];
    const changing = subscriber.setDns([]).then(() => order.push('changed'));
    await gate.reached;
    const closing = subscriber.close().then(() => order.push('closed'));
    expect(await peer.ended()).toBe('shutting-down');
    await vi.advanceTimersByTimeAsync(1000);
    expect(order).toEqual([]);
    gate.open();
    await Promise.all([changing, closing]);
    expect(order).toEqual(['changed', 'closed']);
    expectJudges(subscriber, sampleRuleSet(1), { ...ENVIRONMENT, dns: [] });
    expectNothingOpen(publisher);
  });

  it('while waiting to connect again', async () => {
    const publisher = new ScriptedPublisher();
    publisher.failure = new Error('nobody listens');
    const subscriber = await started(publisher);
    await vi.advanceTimersByTimeAsync(1000);
    expect(vi.getTimerCount()).toBe(2); // that, and when what is in force is stale
    await subscriber.close();
    expectNothingOpen(publisher);
    const { connects } = publisher;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(publisher.connects).toBe(connects);
  });

  it('while connecting: the attempt is aborted, and is no error', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await started(publisher, { channel: nobody });
    await subscriber.close();
    expectNothingOpen(publisher);
    expect(subscriber.status().lastError).toBeUndefined();
  });

  it('while connecting, though the channel comes nevertheless', async () => {
    const publisher = new ScriptedPublisher();
    const gate = new Gate();
    const subscriber = await started(publisher, {
      channel: async () => {
        await gate.pass();
        return publisher.channel();
      },
    });
    await gate.reached;
    const closing = subscriber.close();
    gate.open();
    await closing;
    expectNothingOpen(publisher);
  });

  it('and again', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await started(publisher);
    await subscriber.close();
    await subscriber.close();
    expectNothingOpen(publisher);
  });
});

/** No session ends by silence within two minutes. */
const WAIT_HEARTBEAT_MS = 45_000;

describe('a transfer that does not get on', () => {
  //
  it('ends the session while it is received, and another connection brings it', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const peer = await reach(publisher, 'receiving', WAIT_HEARTBEAT_MS);
    await peer.send(PING);
    await peer.receive('pong');
    await vi.advanceTimersByTimeAsync(TRANSFER_WINDOW_MS - 1);
    expect(subscriber.status().connected).toBe(true);
    await vi.advanceTimersByTimeAsync(2); // another nonce is due then, too, and goes first
    expect((await peer.receive('bye')).code).toBe('timeout');
    await vi.advanceTimersByTimeAsync(1000);
    const [, release] = sampleReleases(publisher);
    const { peer: again } = await publisher.greeted();
    await again.bring(release);
    expect(subscriber.status().version).toBe(2);
  });

  // A minute after WANT the session ended, while the publisher was still making the transfer.
  //
  it('is waited for as long as the publisher is heard, where it has not begun', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const peer = await reach(publisher, 'wanting', WAIT_HEARTBEAT_MS);
    for (let minutes = 0; minutes < 10; minutes++) {
      await peer.send(PING);
      await peer.receive('pong');
      await vi.advanceTimersByTimeAsync(60_000);
    }
    expect(subscriber.status().connected).toBe(true);
  });

  it('is given its time anew by 64 KiB, and by nothing less', async () => {
    const publisher = new ScriptedPublisher();
    await startedSubscriber(publisher);
    const peer = await reach(publisher, 'wanting', WAIT_HEARTBEAT_MS);
    const pass = async (ms: number): Promise<void> => {
      await peer.send(PING);
      await peer.receive('pong');
      await vi.advanceTimersByTimeAsync(ms);
    };
    await peer.send({ kind: 'begin', bytes: 100_000, snapshot: true });
    const half: Message = { kind: 'chunk', bytes: new Uint8Array(TRANSFER_WINDOW_MIN_BYTES / 2) };
    await pass(TRANSFER_WINDOW_MS - 1000);
    await peer.send(half);
    await pass(500);
    await peer.send(half);
    await pass(TRANSFER_WINDOW_MS - 1);
    await peer.send({ kind: 'chunk', bytes: HASH });
    await pass(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(await peer.ended()).toBe('timeout');
  });
});

describe('listeners that fail', () => {
  it('end no session, make no NACK, keep no other from hearing, and are told of once', async () => {
    const publisher = new ScriptedPublisher();
    const told: unknown[] = [];
    const logger = pino({ level: 'error' }, { write: (line) => void told.push(JSON.parse(line)) });
    const subscriber = await startedSubscriber(publisher, { logger });
    const heard: string[] = [];
    for (const event of ['connected', 'applied', 'disconnected'] as const) {
      subscriber.events.on(event, () => {
        throw new Error(`in ${event}`);
      });
      subscriber.events.on(event, () => Promise.reject(new Error(`later, in ${event}`)));
      subscriber.events.on(event, () => heard.push(event));
    }
    const [one, two] = sampleReleases(publisher);
    const { peer } = await publisher.greeted();
    await peer.bring(one);
    await peer.bring(two);
    peer.close();
    await vi.advanceTimersByTimeAsync(1000);
    const { peer: again } = await publisher.greeted();
    await again.send(PING);
    await again.receive('pong');
    expect(heard).toEqual(['connected', 'applied', 'applied', 'disconnected', 'connected']);
    expect(told.map((line) => (line as { err: { message: string } }).err.message)).toEqual([
      'in connected',
      'later, in connected',
      'in applied',
      'later, in applied',
      'in disconnected',
      'later, in disconnected',
    ]);
    expect(subscriber.status().version).toBe(2);
  });
});
