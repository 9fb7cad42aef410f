/**
 * Peers that know less than this publisher, or more: WIRE.md "Growth". What a release needs and a
 * subscriber lacks is told; what nobody here knows is passed over where it is marked so.
 */

import { FrameEncoder, type MessageOf, MessageType, pulseFrom } from '@rulecast/protocol';
import { eachRun, NO_RULES } from '@rulecast/rules';
import { connect, parseEndpoint } from '@rulecast/vchan';
import { describe, expect, it, onTestFinished } from 'vitest';
import { step } from '../../sessions/src/session/machine.ts';
import { helloOf, nowAt, publisherWith } from '../../sessions/test/machine-world.ts';
import { serveSubscribers } from '../src/sessions/host.ts';
import { freshPublisher, release } from './fresh-publisher.ts';
import { ScriptedSubscriber } from './scripted-subscriber.ts';

let houses = 0;

async function house() {
  const publisher = freshPublisher();
  const endpoint = parseEndpoint(`memory:growth-${++houses}?buffer=64KiB`);
  const served = await serveSubscribers(publisher, [endpoint]);
  onTestFinished(() => served.close());
  return { publisher, endpoint };
}

const UNMATCHED = { 'rules.yaml': 'unmatched: drop\n' };
const NAMES = {
  'rules.yaml':
    'unmatched: drop\npolicies: { p: { prefixes: [10.0.0.1], exceptions: { egress: [accept] } } }\n',
};

describe('a subscriber that lacks what the head needs', () => {
  // P-8
  it('is told once, keeps what it has, and is shown; the next head that it can take is offered', async () => {
    const { publisher, endpoint } = await house();
    await release(publisher, { 'a.txt': '192.0.2.1\n' });
    const subscriber = await ScriptedSubscriber.greet(endpoint, 'fw', { capabilities: ['names'] });
    await subscriber.take();
    const { hash } = await release(publisher, NAMES);
    const told = await subscriber.next('unsupported');
    expect(told).toMatchObject({ hash, capabilities: ['exceptions', 'unmatched'] });
    const entry = publisher.subscribers.entry('fw', 0);
    expect(entry.lastError).toMatchObject({ code: 'unsupported', text: told.text });
    expect(entry.held?.version).toBe(1);
    expect(await subscriber.isQuiet()).toBe(true);
    await release(
      publisher,
      { 'a.yaml': 'policies: { default: { egress: [drop] } }\n' },
      { replaceAll: true },
    );
    expect((await subscriber.take()).offer.decoded.version).toBe(3);
  });

  //
  it('is not offered a rule that says of its name that it may be private, unless it knows such', async () => {
    const { publisher, endpoint } = await house();
    const egress = 'accept dsthost=nas.example private=true';
    await release(publisher, { 'a.yaml': `policies: { default: { egress: [${egress}] } }\n` });
    const less = await ScriptedSubscriber.greet(endpoint, 'less', { capabilities: ['names'] });
    expect(await less.next('unsupported')).toMatchObject({ capabilities: ['private-rules'] });
    const more = await ScriptedSubscriber.greet(endpoint, 'more', {
      capabilities: ['names', 'private-rules'],
    });
    const offer = await more.offer();
    await more.want(offer);
    const { ruleSet } = await more.receiveTransfer(offer);
    const [run] = eachRun(ruleSet.policies.get('default')?.egress ?? NO_RULES);
    expect(run?.match.isPrivate).toBe(true);
  });

  //
  it('is not offered the policy first, unless it knows that', async () => {
    const { publisher, endpoint } = await house();
    await release(publisher, { 'a.yaml': 'first: { egress: [drop dst4=192.0.2.1] }\nunmatched: accept\n' });
    const known = ['names', 'exceptions', 'unmatched', 'private-rules'];
    const less = await ScriptedSubscriber.greet(endpoint, 'less', { capabilities: known });
    expect(await less.next('unsupported')).toMatchObject({ capabilities: ['first'] });
    const more = await ScriptedSubscriber.greet(endpoint, 'more', { capabilities: [...known, 'first'] });
    const offer = await more.offer();
    await more.want(offer);
    const { ruleSet } = await more.receiveTransfer(offer);
    expect(ruleSet.policies.get('first')?.egress.count).toBe(1);
  });

  it('is one that lists nothing at all in its list, and none that has no list', async () => {
    const { publisher, endpoint } = await house();
    await release(publisher, UNMATCHED);
    const less = await ScriptedSubscriber.greet(endpoint, 'less', { capabilities: [] });
    expect(await less.next('unsupported')).toMatchObject({ capabilities: ['unmatched'] });
    const more = await ScriptedSubscriber.greet(endpoint, 'more', {
      capabilities: ['later', 'unmatched', 'much-later'],
    });
    await more.take();
    await (await ScriptedSubscriber.greet(endpoint, 'fw')).take();
  });
});

describe('a subscriber that inflates nothing', () => {
  it('is sent snapshots in which nothing is deflated, also of what it has a base for', async () => {
    const { publisher, endpoint } = await house();
    const rules = (count: number): Readonly<Record<string, string>> => {
      const lines = Array.from({ length: count }, (_, i) => `drop dst4=192.0.2.${i} comment=the rule ${i}`);
      return { 'rules.yaml': JSON.stringify({ policies: { default: { egress: lines } } }) };
    };
    await release(publisher, rules(200));
    const [plain, usual] = [
      await ScriptedSubscriber.greet(endpoint, 'plain', { capabilities: ['names', 'no-deflate'] }),
      await ScriptedSubscriber.greet(endpoint, 'usual'),
    ];
    const [plainBegin, usualBegin] = [(await plain.take()).begin, (await usual.take()).begin];
    expect(plainBegin.bytes).toBeGreaterThan(usualBegin.bytes);
    await release(publisher, rules(201));
    expect((await plain.take()).begin.snapshot).toBe(true);
    expect((await usual.take()).begin.snapshot).toBeUndefined();
    expect(plain.ruleSet).toEqual(usual.ruleSet);
  });
});

it('a message and fields of later days are passed over', async () => {
  const { publisher, endpoint } = await house();
  await release(publisher, { 'a.txt': '192.0.2.1\n' });
  const channel = await connect(endpoint);
  const subscriber = new ScriptedSubscriber(channel);
  const frames = new FrameEncoder();
  await subscriber.hello('fw');
  await subscriber.next('welcome');
  await subscriber.offer();
  frames.frame(MessageType.hello, 0, new Uint8Array(0)); // the sequence number that HELLO had
  channel.write(frames.frame(201, 0, Uint8Array.of(7)));
  channel.write(frames.frame(MessageType.ping, 0, Uint8Array.of(0x81, 0xa2, 0x2b, 0x61, 0x05)));
  expect((await subscriber.next('pong')).kind).toBe('pong');
});

it.each<[string, string, Partial<MessageOf<'hello'>>, number]>([
  ['named, with less', 'named', {}, 1],
  ['not named', 'other', {}, 0],
  ['named, with enough', 'named', { limits: { entries: 2 ** 24, bytes: 2 ** 28, parts: 2 ** 20 } }, 0],
])('of a subscriber that is %s, there are so many warnings of its limits', (_, name, hello, count) => {
  const now = nowAt(0, publisherWith([]));
  const claiming = {
    kind: 'claiming',
    pulse: pulseFrom(0, 5000),
    untilMs: 1e9,
    hello: helloOf({ name, ...hello }),
  } as const;
  const { effects } = step(claiming, { kind: 'claimed', refusal: undefined }, now);
  const warnings = effects.filter((effect) => effect.kind === 'log' && effect.level === 'warn');
  expect(warnings).toHaveLength(count);
});
