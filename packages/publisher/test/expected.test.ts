/**
 * The subscribers expected to apply a release, over restarts too; a push's report on those that did not; and
 * what is forgotten.
 */

import { once } from 'node:events';
import { SYSTEM_CLOCK } from '@rulecast/sources';
import { type Endpoint, parseEndpoint } from '@rulecast/vchan';
import { describe, expect, it, onTestFinished } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { turns } from '../../../test/kit/turns.ts';
import { FakeClock } from '../../sources/test/fake-clock.ts';
import type { Publisher, PublisherOptions } from '../src/release/publisher.ts';
import { serveControl } from '../src/requests/serve.ts';
import { serveSubscribers } from '../src/sessions/host.ts';
import { subscriberRecords } from '../src/subscribers/record.ts';
import { freshPublisher, release, startedLongAgo } from './fresh-publisher.ts';
import { type Answer, recordsOf, ScriptedRulectl } from './scripted-rulectl.ts';
import { ScriptedSubscriber } from './scripted-subscriber.ts';

let houses = 0;

async function house(options: Partial<PublisherOptions> = {}) {
  const publisher = freshPublisher({ clock: startedLongAgo(), ...options });
  houses += 1;
  const subscribers = parseEndpoint(`memory:expected-${houses}-subscribers`);
  const control = parseEndpoint(`memory:expected-${houses}`);
  const sessions = await serveSubscribers(publisher, [subscribers]);
  onTestFinished(() => sessions.close());
  const served = await serveControl(publisher, [control], sessions.ask);
  onTestFinished(() => served.close());
  return { publisher, control, subscribers, sessions, served };
}

type Push = NonNullable<Parameters<typeof ScriptedRulectl.push>[2]>;

/**
 * Pushes an address and waits for who should apply it: `name state`, with ! behind those who are expected.
 */
async function pushed(control: Endpoint, address: string, push: Push = {}): Promise<readonly string[]> {
  const answer = await ScriptedRulectl.push(
    control,
    { 'hosts.txt': `${address}\n` },
    { wait: 'applied', ...push },
  );
  return told(answer);
}

function told(answer: Answer): readonly string[] {
  return recordsOf(answer, 'applied').map(
    ({ subscriber, state, expected }) => `${subscriber} ${state}${expected ? '!' : ''}`,
  );
}

/** A subscriber that has applied the head, and is gone. */
async function cameAndWent(publisher: Publisher, subscribers: Endpoint, name: string): Promise<void> {
  const subscriber = await ScriptedSubscriber.greet(subscribers, name);
  await subscriber.take();
  await expect.poll(() => publisher.subscribers.find(name)?.hasApplied).toBe(true);
  subscriber.channel.close();
  await expect.poll(() => publisher.subscribers.connected()).toEqual([]);
}

describe('expected', () => {
  it('are all that ever applied a release, and a push says who of them is absent', async () => {
    const { publisher, control, subscribers } = await house();
    expect(await pushed(control, '192.0.2.1')).toEqual([]);
    await cameAndWent(publisher, subscribers, 'fw-a');
    expect(await pushed(control, '192.0.2.2')).toEqual(['fw-a absent!']);
    // A push that changes nothing was once told as done, although nobody had what is released.
    expect(await pushed(control, '192.0.2.2')).toEqual(['fw-a absent!']);
  });

  it('are those of the configuration, seen or not, and no others', async () => {
    const { publisher, control, subscribers } = await house();
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    await cameAndWent(publisher, subscribers, 'fw-a');
    publisher.subscribers.expect(['fw-b']);
    expect(await pushed(control, '192.0.2.2')).toEqual(['fw-b absent!']);
    const [record] = publisher.subscriberRecords().filter(({ name }) => name === 'fw-b');
    expect(record).toMatchObject({ state: 'disconnected', expected: true, lastSeenMs: 0 });
    publisher.subscribers.expect([]);
    expect([...publisher.subscribers.expected()]).toEqual(['fw-a']);
  });

  it('are those that a request names, until its time is over, or nobody', async () => {
    const { publisher, control, subscribers } = await house();
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    await cameAndWent(publisher, subscribers, 'fw-a');
    expect(await pushed(control, '192.0.2.2', { require: [] })).toEqual([]);
    expect(await pushed(control, '192.0.2.3', { require: ['fw-c'], timeoutMs: 1 })).toEqual(['fw-c absent!']);
    const released = once(publisher, 'release');
    const waiting = pushed(control, '192.0.2.4', { require: ['fw-c'] });
    await released;
    const late = await ScriptedSubscriber.greet(subscribers, 'fw-c');
    await late.take();
    expect(await waiting).toEqual(['fw-c applied!']);
  });

  it('that have the head need not apply it again', async () => {
    const { publisher, control, subscribers } = await house();
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    const subscriber = await ScriptedSubscriber.greet(subscribers, 'fw-a');
    await subscriber.take();
    await expect.poll(() => publisher.subscribers.find('fw-a')?.hasApplied).toBe(true);
    expect(await pushed(control, '192.0.2.1')).toEqual(['fw-a applied!']);
  });
});

// A push was told to be in force nowhere, and a moment later it was in force: the first firewall was just
// connecting.
it.each([
  ['that runs for long', {}],
  ['that has just started', { clock: SYSTEM_CLOCK }],
])(
  'a publisher %s waits three seconds for the first who comes, where nobody is known',
  async (_, options) => {
    const { publisher, control, subscribers } = await house(options);
    const released = once(publisher, 'release');
    const waiting = pushed(control, '192.0.2.1');
    await released;
    const late = await ScriptedSubscriber.greet(subscribers, 'fw-a');
    await late.take();
    expect(await waiting).toEqual(['fw-a applied']);
  },
);

describe('a publisher that has just started', () => {
  it('waits for those of the configuration that were never seen', async () => {
    const { publisher, control, subscribers } = await house({ clock: SYSTEM_CLOCK });
    publisher.subscribers.expect(['fw-a']);
    const released = once(publisher, 'release');
    const waiting = pushed(control, '192.0.2.1');
    await released;
    const late = await ScriptedSubscriber.greet(subscribers, 'fw-a');
    await late.take();
    expect(await waiting).toEqual(['fw-a applied!']);
  });

  it('waits for nobody where a request says so, nor for longer than three seconds', async () => {
    const justNow = await house({ clock: SYSTEM_CLOCK });
    expect(await pushed(justNow.control, '192.0.2.1', { require: [] })).toEqual([]);
    const { publisher, control } = await house();
    const nobody = await ScriptedRulectl.push(control, { 'hosts.txt': '192.0.2.1\n' }, { wait: 'applied' });
    expect(told(nobody)).toEqual([]);
    expect(recordsOf(nobody, 'progress')).toMatchObject([{ stage: 'arriving', done: 0, total: 0 }]);
    publisher.subscribers.expect(['fw-a']);
    expect(await pushed(control, '192.0.2.2')).toEqual(['fw-a absent!']);
  });
});

describe('what is known of subscribers', () => {
  async function restarted(change: (publisher: Publisher) => Promise<void> = async () => undefined) {
    const stateDirectory = temporaryDirectory();
    const before = await house({ stateDirectory });
    await release(before.publisher, { 'hosts.txt': '192.0.2.1\n' });
    await cameAndWent(before.publisher, before.subscribers, 'fw-a');
    await change(before.publisher);
    await before.served.close();
    await before.sessions.close();
    await before.publisher.close();
    return house({ stateDirectory });
  }

  // After a restart the publisher said that no subscriber was ever connected.
  it('is known after a restart, and who applied a release is expected', async () => {
    const { publisher } = await restarted();
    const [record] = subscriberRecords(publisher.subscribers, publisher.head, publisher.store, Date.now());
    expect(record).toMatchObject({
      name: 'fw-a',
      state: 'disconnected',
      version: 1,
      matches: true,
      expected: true,
    });
    expect([...publisher.subscribers.expected()]).toEqual(['fw-a']);
  });

  it('is gone where it was forgotten', async () => {
    const { publisher } = await restarted(async (before) => {
      expect(before.subscribers.forget('fw-a')).toBe('forgotten');
    });
    expect(subscriberRecords(publisher.subscribers, publisher.head, publisher.store, 0)).toEqual([]);
  });

  it.each([
    ['no JSON', '{'],
    ['another value', '7'],
    ['a hash that is none', '{"lastSeenMs":1,"hasApplied":true,"held":{"hash":"x","epoch":1,"version":1}}'],
    ['a time as text', '{"lastSeenMs":"1","hasApplied":true}'],
    ['an error without a code', '{"lastSeenMs":1,"hasApplied":true,"lastError":{"text":"x","atMs":1}}'],
  ])('is forgotten where it is damaged (%s), and nothing else is', async (_what, text) => {
    const { publisher } = await restarted(async (before) => {
      await before.store.storeSubscribers(new Map([['fw-b', text]]));
    });
    expect([...publisher.subscribers.expected()]).toEqual(['fw-a']);
    expect(publisher.head?.manifest.version).toBe(1);
  });

  it('is written once for many changes, after a while', async () => {
    const clock = new FakeClock();
    const { publisher } = await house({ clock });
    let writes = 0;
    const keep = publisher.store.storeSubscribers.bind(publisher.store);
    publisher.store.storeSubscribers = (changed) => {
      writes += 1;
      return keep(changed);
    };
    for (let i = 0; i < 100; i++) {
      publisher.subscribers.entry(`fw-${i % 3}`, i);
      publisher.subscribers.changed();
    }
    await turns();
    expect(writes).toBe(0);
    clock.advance(2000);
    await turns();
    expect(writes).toBe(1);
    publisher.subscribers.changed();
    await turns();
    clock.advance(2000);
    await turns();
    expect(writes).toBe(1); // nothing differs
  });

  it('forgets first, where there are too many, who never applied anything', () => {
    const { subscribers } = freshPublisher();
    const old = subscribers.entry('firewall', 1);
    old.hasApplied = true;
    for (let i = 0; i < 5000; i++) subscribers.entry(`stranger-${i}`, 10 + i);
    expect(subscribers.find('firewall')).toBe(old);
    expect(subscriberRecords(subscribers, undefined, freshPublisher().store, 0)).toHaveLength(4096);
  });
});

describe('FORGET', () => {
  const forget = async (control: Endpoint, name: string): Promise<string> => {
    const rulectl = await ScriptedRulectl.connect(control);
    await rulectl.send({ kind: 'forget', name });
    const { end } = await rulectl.answer();
    return `${end.kind} ${end.code}`;
  };

  it('forgets who is not connected, and nobody else', async () => {
    const { publisher, control, subscribers } = await house();
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    await cameAndWent(publisher, subscribers, 'fw-a');
    expect(await forget(control, 'fw-a')).toBe('done forgotten');
    expect(await forget(control, 'fw-a')).toBe('fail no-such-subscriber');
    expect(await pushed(control, '192.0.2.2')).toEqual([]);
    await ScriptedSubscriber.greet(subscribers, 'fw-b');
    expect(await forget(control, 'fw-b')).toBe('fail still-connected');
    publisher.subscribers.expect(['fw-c']);
    expect(await forget(control, 'fw-c')).toBe('fail bad-input');
  });
});

describe('warnings of a push', () => {
  it('are of what it touches, others are counted; the status tells all', async () => {
    const { control } = await house();
    const first = await ScriptedRulectl.push(control, { 'a.txt': '192.0.2.1\n', 'b.txt': '192.0.2.1\n' });
    const parts = (answer: Answer): readonly string[] => recordsOf(answer, 'warning').map(({ part }) => part);
    expect(parts(first)).toEqual(['a', 'b']);
    const second = await ScriptedRulectl.push(control, { 'b.txt': '192.0.2.2\n', 'c.txt': '192.0.2.1\n' });
    expect(parts(second)).toEqual(['b', 'c']);
    expect(recordsOf(second, 'release')).toMatchObject([{ otherWarnings: 1 }]);
    // A list that nothing uses any more is told of with the push of the rules.
    const used = await ScriptedRulectl.push(control, { 'x.rules': 'drop dst=@a\naccept\n' });
    expect(parts(used)).toEqual([]);
    expect(recordsOf(used, 'release')).toMatchObject([{ otherWarnings: 2 }]);
    const unused = await ScriptedRulectl.push(control, { 'x.rules': 'drop dst=@b\naccept\n' });
    expect(parts(unused)).toEqual(['a']);
    const rulectl = await ScriptedRulectl.connect(control);
    await rulectl.send({ kind: 'status', watch: false });
    expect(parts(await rulectl.answer())).toEqual(['a', 'c']);
  });
});
