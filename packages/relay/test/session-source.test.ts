import { join } from 'node:path';
import { SourceError } from '@rulecast/depot';
import {
  Connection,
  isObject,
  joinReports,
  type Message,
  objectPath,
  REPORT_MAX_BYTES,
  REPORTS_MAX,
  referenceOf,
} from '@rulecast/protocol';
import { type Binding, Bindings, type RelayHost, type ServedSubscribers } from '@rulecast/sessions';
import { type Channel, connect, type Endpoint, parseEndpoint } from '@rulecast/vchan';
import { describe, expect, it, onTestFinished } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { turns, until } from '../../../test/kit/turns.ts';
import type { Publisher } from '../../publisher/src/release/publisher.ts';
import { serveSubscribers } from '../../publisher/src/sessions/host.ts';
import { freshPublisher } from '../../publisher/test/fresh-publisher.ts';
import { FakeClock } from '../../sources/test/fake-clock.ts';
import { SessionSource } from '../src/session-source.ts';

let endpoints = 0;

/** A depot that a test writes by hand. */
class Shown implements RelayHost {
  head: Uint8Array | undefined;
  readonly objects = new Map<string, Uint8Array>();
  readonly asked: string[] = [];
  readonly reported: (readonly Uint8Array[])[] = [];
  readonly #listeners = new Set<() => void>();

  /** Does not let an object go before it is told to. */
  gate: Promise<void> = Promise.resolve();

  async object(reference: Parameters<RelayHost['object']>[0]): Promise<Uint8Array | undefined> {
    this.asked.push(objectPath(reference));
    await this.gate;
    return this.objects.get(objectPath(reference));
  }

  onHead(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async takeReports(reports: readonly Uint8Array[]): Promise<readonly Uint8Array[]> {
    this.reported.push(reports);
    return reports.map((bytes) => bytes.subarray(0, 1));
  }

  show(head: Uint8Array): void {
    this.head = head;
    for (const listener of this.#listeners) listener();
  }

  add(bytes: Uint8Array): ReturnType<typeof referenceOf> {
    const reference = referenceOf(bytes);
    this.objects.set(objectPath(reference), bytes);
    return reference;
  }
}

interface Rig {
  readonly shown: Shown;
  readonly clock: FakeClock;
  readonly endpoint: Endpoint;
  readonly served: ServedSubscribers;
  readonly publisher: Publisher;
  readonly source: (relay?: string) => SessionSource;
}

async function rig(bindings: readonly Binding[] = []): Promise<Rig> {
  const relays = new Shown();
  const clock = new FakeClock();
  const publisher = freshPublisher({ clock });
  const endpoint = parseEndpoint(`memory:relay-${++endpoints}`);
  const served = await serveSubscribers(publisher, [endpoint], { relays, bindings: new Bindings(bindings) });
  onTestFinished(() => served.close());
  const source = (relay = 'dc1'): SessionSource => {
    const made = new SessionSource({ name: 'the publisher', relay, open: () => connect(endpoint), clock });
    onTestFinished(() => made.close());
    return made;
  };
  return { shown: relays, clock, endpoint, served, publisher, source };
}

const pattern = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 7 + length) & 255);

/** Speaks as a relay would, or not. */
class Scripted {
  readonly connection: Connection;

  constructor(channel: Channel) {
    this.connection = new Connection(channel, { after: () => () => undefined });
    onTestFinished(() => channel.close());
  }

  async next(kind: Message['kind']): Promise<Message> {
    for (;;) {
      const received = await this.connection.receive();
      if (received === undefined) throw new Error(`no ${kind} came`);
      if (received.message.kind === kind) return received.message;
    }
  }

  async greet(name = 'dc1'): Promise<void> {
    await this.connection.send({ kind: 'relay', protocolMin: 2, protocolMax: 2, name });
  }
}

describe('a depot by a session', () => {
  it('is heard of at once: the head that is there, and each that comes', async () => {
    const { shown, source } = await rig();
    const relay = source();
    let heard = 0;
    relay.onHead(() => heard++);
    expect(await relay.head()).toBeUndefined();
    shown.show(pattern(3));
    await until(() => heard === 1);
    expect(await relay.head()).toEqual(pattern(3));
    expect(await relay.head()).toBeUndefined();
    for (const length of [4, 5, 6]) shown.show(pattern(length));
    await until(() => heard >= 2);
    await turns();
    expect(await relay.head()).toEqual(pattern(6));
    const second = source('dc2');
    let isHeard = false;
    second.onHead(() => (isHeard = true));
    await second.head();
    await until(() => isHeard);
    expect(await second.head()).toEqual(pattern(6));
  });

  it.each([1, 65_511, 65_512, 65_513, 300_000])('brings an object of %i bytes whole', async (length) => {
    const { shown, source } = await rig();
    const reference = shown.add(pattern(length));
    const bytes = await source().object(reference);
    expect(isObject(bytes, reference)).toBe(true);
  });

  it('brings objects one after the other, says what is gone, and goes on', async () => {
    const { shown, source } = await rig();
    const [one, two] = [shown.add(pattern(70_000)), shown.add(pattern(10))];
    const relay = source();
    const gone = relay.object(referenceOf(pattern(11)));
    const both = Promise.all([relay.object(one), relay.object(two)]);
    await expect(gone).rejects.toThrow('the publisher: this object is gone');
    expect((await both).map(({ length }) => length)).toEqual([70_000, 10]);
  });

  it('refuses what is longer or shorter than it was said to be', async () => {
    const { shown, source } = await rig();
    const long = { ...referenceOf(pattern(20)), length: 20 };
    shown.objects.set(objectPath(long), pattern(21));
    await expect(source().object(long)).rejects.toThrow('more than requested');
    shown.objects.set(objectPath(long), pattern(19));
    await expect(source('dc2').object(long)).rejects.toThrow('shorter than it should be');
  });

  it('reads an object once for all relays that are sent it, and at most 16 at a time', async () => {
    const { shown, source } = await rig();
    const reference = shown.add(pattern(1000));
    let open = (): void => undefined;
    shown.gate = new Promise((resolve) => (open = resolve));
    const relays = Array.from({ length: 5 }, (_, i) => source(`shared-${i}`));
    const shared = relays.map((relay) => relay.object(reference));
    const others = Array.from({ length: 16 }, (_, i) => {
      return source(`other-${i}`)
        .object(shown.add(pattern(100 + i)))
        .then(
          () => 'came',
          () => 'too many',
        );
    });
    await until(() => shown.asked.length === 16);
    await turns();
    open();
    expect((await Promise.all(shared)).every((bytes) => isObject(bytes, reference))).toBe(true);
    expect((await Promise.all(others)).filter((became) => became === 'too many')).toHaveLength(1);
    expect(shown.asked).toHaveLength(16);
    expect(await relays[0]?.object(reference)).toHaveLength(1000);
    expect(shown.asked).toHaveLength(17);
  });

  it('is there for a relay that is known, whatever a crowd of others is being sent', async () => {
    const path = join(temporaryDirectory(), 'dc1.sock');
    const { shown, source, clock } = await rig([{ name: 'dc1', socket: { path, mode: 0o600 } }]);
    let open = (): void => undefined;
    shown.gate = new Promise((resolve) => (open = resolve));
    const crowd = Array.from({ length: 16 }, (_, i) => source(`c-${i}`).object(shown.add(pattern(100 + i))));
    await until(() => shown.asked.length === 16);
    const from = () => connect({ kind: 'unix', path });
    const known = new SessionSource({ name: 'the publisher', relay: 'dc1', open: from, clock });
    onTestFinished(() => known.close());
    const object = known.object(shown.add(pattern(1000)));
    await expect.poll(() => shown.asked.length).toBe(17);
    open();
    expect(await object).toHaveLength(1000);
    await Promise.all(crowd);
  });

  it('carries reports, as many as there may be, and the answer to each', async () => {
    const { shown, source } = await rig();
    const reports = Array.from({ length: REPORTS_MAX }, (_, i) => new Uint8Array(REPORT_MAX_BYTES).fill(i));
    const answers = await source().report(reports);
    expect(answers).toEqual(reports.map((bytes) => bytes.subarray(0, 1)));
    expect(shown.reported.flat()).toHaveLength(REPORTS_MAX);
    expect(shown.reported.length).toBeGreaterThan(1);
  });

  it('says what to do where the publisher writes none', async () => {
    const clock = new FakeClock();
    const publisher = freshPublisher({ clock });
    const endpoint = parseEndpoint(`memory:relay-${++endpoints}`);
    const served = await serveSubscribers(publisher, [endpoint]);
    onTestFinished(() => served.close());
    const open = (): Promise<Channel> => connect(endpoint);
    const relay = new SessionSource({ name: 'the publisher', relay: 'dc1', open, clock });
    await expect(relay.head()).rejects.toThrow(/unsupported: .* name a directory below depot: /);
    await expect(relay.head()).rejects.toBeInstanceOf(SourceError);
  });

  it('connects again after a pause, without being asked', async () => {
    const { shown, served, source, clock } = await rig();
    shown.show(pattern(3));
    const relay = source();
    let heard = 0;
    relay.onHead(() => heard++);
    await relay.head();
    await until(() => heard === 1);
    served.restart();
    await until(() => clock.pendingMs.includes(1000));
    await expect(relay.head()).rejects.toThrow('more-roots');
    clock.advance(1000);
    await until(() => heard === 2);
    await relay.head();
    await until(() => heard === 3);
    expect(await relay.head()).toEqual(pattern(3));
  });

  it('ends who is silent, on either side', async () => {
    const { shown, source, clock, endpoint } = await rig();
    const silent = new Scripted(await connect(endpoint));
    await silent.greet('silent');
    await silent.next('welcome');
    const relay = source();
    await relay.head();
    for (let ms = 0; ms < 15_000; ms += 5000) {
      clock.advance(5000);
      await turns();
    }
    expect(await silent.next('bye')).toMatchObject({ code: 'timeout' });
    shown.show(pattern(3));
    await turns();
    expect(await relay.head()).toEqual(pattern(3));
  });

  it('gives up a publisher that sends nothing of what was asked', async () => {
    const { shown, source, clock } = await rig();
    shown.gate = new Promise(() => undefined);
    const waiting = source().object(shown.add(pattern(3)));
    const failed = expect(waiting).rejects.toThrow('no answer in 15 s');
    await until(() => shown.asked.length === 1);
    for (let ms = 0; ms < 15_000; ms += 5000) {
      clock.advance(5000);
      await turns();
    }
    await failed;
  });
});

describe('the session of a relay', () => {
  it('has a name of its own, of no firewall, which nobody takes from who answers', async () => {
    const { source, clock, served, publisher } = await rig();
    publisher.subscribers.expect(['dc1', 'fw-1']);
    expect([...publisher.subscribers.expected()]).toEqual(['dc1', 'fw-1']);
    const relay = source();
    await relay.head();
    expect([...publisher.subscribers.expected()]).toEqual(['fw-1']);
    const second = source();
    const refused = expect(second.head()).rejects.toThrow('name-in-use');
    await until(() => clock.pendingMs.includes(2000));
    await turns();
    clock.advance(2000);
    await refused;
    await expect(served.ask('dc1', { question: 'stats', packet: undefined })).rejects.toThrow(
      'no subscriber called dc1',
    );
  });

  it.each<[string, readonly Message[], string]>([
    ['a message that is not of relays', [{ kind: 'prove' }], 'unexpected-message'],
    ['RELAY twice', [{ kind: 'relay', protocolMin: 2, protocolMax: 2, name: 'x' }], 'unexpected-message'],
    [
      'two objects at once',
      [1, 2].map((length) => ({ kind: 'fetch', sha256: new Uint8Array(32), length })),
      'unexpected-message',
    ],
    ['reports that are none', [{ kind: 'reports', bytes: Uint8Array.of(0, 9, 1) }], 'bad-report'],
    [
      'more reports than may be',
      [{ kind: 'reports', bytes: joinReports(Array.from({ length: 257 }, () => new Uint8Array(1))) }],
      'bad-report',
    ],
  ])('ends with a code at %s', async (_, messages, code) => {
    const { shown, endpoint } = await rig();
    shown.gate = new Promise(() => undefined);
    const relay = new Scripted(await connect(endpoint));
    await relay.greet();
    await relay.next('welcome');
    for (const message of messages) await relay.connection.send(message);
    expect(await relay.next('bye')).toMatchObject({ code });
  });

  it('is for versions that are spoken here, and for no relay after HELLO', async () => {
    const { endpoint } = await rig();
    const newer = new Scripted(await connect(endpoint));
    await newer.connection.send({ kind: 'relay', protocolMin: 3, protocolMax: 9, name: 'dc1' });
    expect(await newer.next('bye')).toMatchObject({ code: 'no-common-version' });
  });

  it('ends who reads an object too slowly', async () => {
    const { shown, endpoint, clock } = await rig();
    const reference = shown.add(pattern(3_000_000));
    const relay = new Scripted(await connect(endpoint));
    await relay.greet();
    await relay.next('welcome');
    await relay.connection.send({ kind: 'fetch', ...reference });
    await relay.next('begin');
    for (let ms = 0; ms < 30_000; ms += 5000) {
      await relay.connection.send({ kind: 'ping' });
      await turns();
      clock.advance(5000);
    }
    let last: Message['kind'] | undefined;
    for (let at = await relay.connection.receive(); at; at = await relay.connection.receive())
      last = at.message.kind;
    expect(last).not.toBe('end');
  });
});
