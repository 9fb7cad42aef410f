/** LOG: what subscribers refused, told once and followed, by scripted firewalls. CONTROL.md "LOG". */

import type { ControlRecordOf, MessageOf, WireRefused } from '@rulecast/protocol';
import { type Endpoint, parseEndpoint } from '@rulecast/vchan';
import { describe, expect, it, onTestFinished } from 'vitest';
import { turns, until } from '../../../test/kit/turns.ts';
import { FakeClock } from '../../sources/test/fake-clock.ts';
import type { Publisher, PublisherOptions } from '../src/release/publisher.ts';
import { serveControl } from '../src/requests/serve.ts';
import { serveSubscribers } from '../src/sessions/host.ts';
import { freshPublisher, release } from './fresh-publisher.ts';
import { recordsOf, ScriptedRulectl } from './scripted-rulectl.ts';
import { ScriptedSubscriber } from './scripted-subscriber.ts';

interface House {
  readonly publisher: Publisher;
  readonly control: Endpoint;
  readonly subscribers: Endpoint;
}

let houses = 0;

async function house(options: Partial<PublisherOptions> = {}): Promise<House> {
  const publisher = freshPublisher(options);
  houses += 1;
  const subscribers = parseEndpoint(`memory:log-${houses}-subscribers`);
  const control = parseEndpoint(`memory:log-${houses}`);
  const sessions = await serveSubscribers(publisher, [subscribers]);
  onTestFinished(() => sessions.close());
  const served = await serveControl(publisher, [control], sessions.ask);
  onTestFinished(() => served.close());
  return { publisher, control, subscribers };
}

async function ask(control: Endpoint, request: Partial<MessageOf<'log'>> = {}): Promise<ScriptedRulectl> {
  const rulectl = await ScriptedRulectl.connect(control);
  await rulectl.send({ kind: 'log', follow: false, ...request });
  return rulectl;
}

/** A firewall that logs. */
function logging(subscribers: Endpoint, name: string): Promise<ScriptedSubscriber> {
  return ScriptedSubscriber.greet(subscribers, name, { capabilities: ['unmatched', 'firewall-log'] });
}

/** Takes the question that is due, and answers it. */
async function answers(
  subscriber: ScriptedSubscriber,
  refused: readonly WireRefused[],
  more: Partial<MessageOf<'answer'>> = {},
): Promise<MessageOf<'query'>['refused']> {
  const { message, transaction } = await subscriber.nextWithTransaction('query');
  await subscriber.send({ kind: 'answer', ok: true, refused, ...more }, transaction);
  return message.refused;
}

const QUBE = Uint8Array.of(10, 137, 0, 5);
const REMOTE = Uint8Array.of(192, 0, 2, 7);

/** The next turn of a log that is followed. */
async function nextTurn(clock: FakeClock): Promise<void> {
  await turns(); // the last one is over
  clock.advance(1000);
}

/** A packet that a rule of the qube's own policy dropped. */
function refusedOf(fields: Partial<WireRefused> = {}): WireRefused {
  return {
    id: 1,
    what: 'packet',
    qube: QUBE,
    direction: 'egress',
    remote: REMOTE,
    proto: 6,
    port: 443,
    reason: 'rule',
    count: 1,
    firstS: 100,
    lastS: 100,
    version: 1,
    judgedBy: 1,
    verdict: { action: 'drop', direction: 'egress', policy: 'work' },
    ...fields,
  };
}

const WORK = {
  'work.yaml':
    'unmatched: drop\npolicies:\n  work:\n    prefixes: [10.137.0.5]\n    egress: [drop dst4=192.0.2.7, accept]\n',
};

describe('a log', () => {
  it('has the refusals of all that keep one, page by page, by address and with who tells', async () => {
    const { control, subscribers } = await house();
    const fw = await logging(subscribers, 'fw');
    const rulectl = await ask(control, { qube: QUBE, sinceS: 50 });
    expect(await answers(fw, [refusedOf({ id: 3 })], { '+next': 3 })).toEqual({
      after: 0,
      qube: QUBE,
      sinceS: 50,
    });
    expect(await answers(fw, [refusedOf({ id: 9, interface: 'vif7.0' })])).toMatchObject({ after: 3 });
    const { records, end } = await rulectl.answer();
    expect(records).toEqual([
      {
        ...refusedOf({ id: 3 }),
        record: 'refused',
        subscriber: 'fw',
        qube: '10.137.0.5',
        remote: '192.0.2.7',
      },
      {
        ...refusedOf({ id: 9 }),
        record: 'refused',
        subscriber: 'fw',
        qube: '10.137.0.5',
        interface: 'vif7.0',
        remote: '192.0.2.7',
      },
    ]);
    expect(end).toMatchObject({ kind: 'done', code: 'ok' });
  });

  it('says of each that tells nothing why: it keeps no log, or its log has ended', async () => {
    const { control, subscribers } = await house();
    await ScriptedSubscriber.greet(subscribers, 'old');
    const ended = await logging(subscribers, 'ended');
    const fw = await logging(subscribers, 'fw');
    const rulectl = await ask(control);
    await answers(fw, []);
    const { transaction } = await ended.nextWithTransaction('query');
    const text = 'somebody else has the group 5310';
    await ended.send({ kind: 'answer', ok: false, code: 'not-ready', text }, transaction);
    expect((await rulectl.answer()).records).toEqual([
      {
        record: 'warning',
        code: 'unsupported',
        part: 'subscriber old',
        reason: 'old keeps no log of what it refuses',
      },
      { record: 'warning', code: 'not-ready', part: 'subscriber ended', reason: text },
    ]);
  });

  it.each([
    ['nobody is connected', 'no-such-subscriber'],
    ['none keeps one', 'unsupported'],
  ] as const)('is refused where %s', async (_, code) => {
    const { control, subscribers } = await house();
    if (code === 'unsupported') await ScriptedSubscriber.greet(subscribers, 'old');
    expect((await (await ask(control)).answer()).end).toMatchObject({ kind: 'fail', code });
  });

  it('says how much a firewall could not keep', async () => {
    const { control, subscribers } = await house();
    const fw = await logging(subscribers, 'fw');
    const rulectl = await ask(control);
    await answers(fw, [], { refusedLost: 7 });
    expect((await rulectl.answer()).records).toEqual([{ record: 'lost', subscriber: 'fw', count: 7 }]);
  });

  it('waits for a firewall that has told enough pages in a second, and says so of one that goes away', async () => {
    const clock = new FakeClock();
    const { control, subscribers } = await house({ clock });
    const fw = await logging(subscribers, 'fw');
    const rulectl = await ask(control);
    await answers(fw, [refusedOf({ id: 5 })], { '+next': 5 });
    const { transaction } = await fw.nextWithTransaction('query');
    await fw.send({ kind: 'answer', ok: false, code: 'rate-limited', text: 'enough' }, transaction);
    await nextTurn(clock);
    await answers(fw, [refusedOf({ id: 6 })], { '+next': 6 });
    await fw.nextWithTransaction('query');
    fw.channel.close();
    const { records } = await rulectl.answer();
    expect(records.map((record) => ('id' in record ? record.id : record.record))).toEqual([5, 6, 'warning']);
  });

  it('is what the only firewall told before it went away, too', async () => {
    const { control, subscribers } = await house();
    const fw = await logging(subscribers, 'fw');
    const rulectl = await ask(control);
    await answers(fw, [refusedOf()], { '+next': 1 });
    await fw.nextWithTransaction('query');
    fw.channel.close();
    expect(await rulectl.answer()).toMatchObject({
      records: [{ record: 'refused' }, { record: 'warning', code: 'disconnected' }],
      end: { kind: 'done' },
    });
  });

  it('has the line of a rule about names, which the firewall does not say, of the head alone', async () => {
    const { publisher, control, subscribers } = await house();
    const egress = '[drop dst4=192.0.2.7, drop dst=@ads, accept]';
    const text = 'unmatched: drop\nlists: { ads: { entries: [192.0.2.9] } }\n';
    const policies = `policies: { work: { prefixes: [10.137.0.5], egress: ${egress} } }\n`;
    await release(publisher, { 'work.yaml': `${text}${policies}` });
    const fw = await logging(subscribers, 'fw');
    await fw.offer();
    const rulectl = await ask(control);
    const by = { action: 'drop', policy: 'work', rulePolicy: 'work', block: 'own', list: 'ads' } as const;
    const others = [
      { version: 2 },
      { verdict: { ...by, list: 'x' } },
      { verdict: { ...by, rulePolicy: 'x' } },
    ];
    const name = { what: 'name', reason: 'name', verdict: by } as const;
    const refusals = [{}, ...others].map((fields, i) => refusedOf({ id: i + 1, ...name, ...fields }));
    await answers(fw, refusals);
    const told = recordsOf(await rulectl.answer(), 'refused').map(({ verdict }) => verdict);
    expect(told).toEqual([
      { ...by, rule: 'action=drop dst=@ads', ruleIndex: 1, run: 1 },
      ...refusals.slice(1).map(({ verdict }) => verdict),
    ]);
  });

  it('ends with pages that do not go on', async () => {
    const { control, subscribers } = await house();
    const fw = await logging(subscribers, 'fw');
    const rulectl = await ask(control);
    await answers(fw, [refusedOf({ id: 5 })], { '+next': 5 });
    await answers(fw, [], { '+next': 5 });
    expect((await rulectl.answer()).records).toHaveLength(1);
  });

  it('says so in the end where a firewall told no more, for others asked it as well', async () => {
    const clock = new FakeClock();
    const { control, subscribers } = await house({ clock });
    const fw = await logging(subscribers, 'fw');
    const rulectl = await ask(control);
    for (let turn = 1; turn <= 25; ) {
      const received = await fw.connection.receive();
      if (received?.message.kind === 'ping') continue;
      expect(received?.message.kind).toBe('query');
      const answer = { kind: 'answer', ok: false, code: 'rate-limited', text: 'enough' } as const;
      await fw.send(answer, received?.transaction);
      if (turn++ < 25) await nextTurn(clock);
    }
    expect(await rulectl.answer()).toMatchObject({
      records: [{ record: 'warning', code: 'rate-limited', part: 'subscriber fw' }],
      end: { kind: 'done' },
    });
  });

  // All at once they were more than may wait for a peer.
  it('has what 300 firewalls tell at once, at the pace of its reader', async () => {
    const { control, subscribers } = await house();
    const names = Array.from({ length: 300 }, (_, i) => `fw-${i}`);
    const firewalls = await Promise.all(names.map((name) => logging(subscribers, name)));
    const rulectl = await ask(control);
    await Promise.all(firewalls.map((fw) => answers(fw, [refusedOf({ id: 1 }), refusedOf({ id: 2 })])));
    await turns();
    const { records, end } = await rulectl.answer();
    expect(end.kind).toBe('done');
    expect(records).toHaveLength(600);
  });

  // A page costs little, and a whole log at the pace of other questions took more than a minute.
  it('is not asked for at the pace of other questions', async () => {
    const { control, subscribers } = await house({ clock: new FakeClock() });
    const fw = await logging(subscribers, 'fw');
    const rulectl = await ask(control);
    for (let id = 1; id <= 50; id++) await answers(fw, [refusedOf({ id })], { '+next': id });
    await answers(fw, []);
    expect((await rulectl.answer()).records).toHaveLength(50);
  });
});

describe('a log that is followed', () => {
  it('has what was refused, then what changes, each turn from the last on', async () => {
    const clock = new FakeClock();
    const { control, subscribers } = await house({ clock });
    const fw = await logging(subscribers, 'fw');
    const rulectl = await ask(control, { follow: true });
    await answers(fw, [refusedOf({ id: 1 })]);
    await rulectl.record('refused');
    await rulectl.record('end');
    await nextTurn(clock);
    expect(await answers(fw, [])).toMatchObject({ after: 1 });
    await nextTurn(clock);
    expect(await answers(fw, [refusedOf({ id: 2, count: 2 })])).toMatchObject({ after: 1 });
    expect(await rulectl.record('refused')).toMatchObject({ id: 2, count: 2 });
    await rulectl.record('end');
  });

  it('begins anew with a firewall that was away', async () => {
    const clock = new FakeClock();
    const { publisher, control, subscribers } = await house({ clock });
    const fw = await logging(subscribers, 'fw');
    const rulectl = await ask(control, { follow: true });
    await answers(fw, [refusedOf({ id: 5 })]);
    await rulectl.record('refused');
    await rulectl.record('end');
    fw.channel.close();
    await until(() => publisher.subscribers.connected().length === 0);
    await nextTurn(clock);
    const again = await logging(subscribers, 'fw');
    await nextTurn(clock);
    expect(await answers(again, [refusedOf({ id: 2 })])).toMatchObject({ after: 0 });
    expect(await rulectl.record('refused')).toMatchObject({ id: 2 });
  });

  it('takes 400 pages of one firewall in a turn, and goes on in the next', async () => {
    const clock = new FakeClock();
    const { control, subscribers } = await house({ clock });
    const fw = await logging(subscribers, 'fw');
    const rulectl = await ask(control, { follow: true });
    await answers(fw, []);
    await rulectl.record('end');
    await nextTurn(clock);
    for (let id = 1; id <= 400; id++) {
      await answers(fw, [refusedOf({ id })], { '+next': id });
      await rulectl.record('refused');
    }
    await rulectl.record('end');
    await nextTurn(clock);
    expect(await answers(fw, [])).toMatchObject({ after: 400 });
  });

  it('says once why a firewall tells nothing', async () => {
    const clock = new FakeClock();
    const { control, subscribers } = await house({ clock });
    await ScriptedSubscriber.greet(subscribers, 'old');
    const fw = await logging(subscribers, 'fw');
    const rulectl = await ask(control, { follow: true });
    await answers(fw, []);
    await rulectl.record('warning');
    await rulectl.record('end');
    await nextTurn(clock);
    await answers(fw, [refusedOf()]);
    await rulectl.record('refused'); // and no warning before it
  });

  it('has four places of a caller at once, gives them back, and leaves others for other requests', async () => {
    const { control, subscribers } = await house();
    const fw = await logging(subscribers, 'fw');
    const followers: ScriptedRulectl[] = [];
    for (let i = 0; i < 4; i++) {
      const rulectl = await ask(control, { follow: true });
      await answers(fw, []);
      await rulectl.record('end');
      followers.push(rulectl);
    }
    const fifth = await ask(control, { follow: true });
    const text = 'at most 4 requests at once where a log is followed';
    expect((await fifth.answer()).end).toMatchObject({ kind: 'bye', code: 'too-many-connections', text });
    const other = await ScriptedRulectl.connect(control);
    await other.send({ kind: 'blocks' });
    expect((await other.answer()).end).toMatchObject({ kind: 'done' });
    followers[0]?.channel.close();
    await turns();
    const next = await ask(control, { follow: true });
    await answers(fw, []);
    await next.record('end');
  });
});

describe('what could be allowed', () => {
  const withPrefixes = (prefixes: string): typeof WORK => ({
    'work.yaml': WORK['work.yaml'].replace('10.137.0.5', prefixes),
  });
  async function allowOf(
    fields: Partial<WireRefused>,
    files: Readonly<Record<string, string>> = WORK,
  ): Promise<ControlRecordOf<'refused'>['allow']> {
    const { publisher, control, subscribers } = await house();
    await release(publisher, files);
    const fw = await logging(subscribers, 'fw');
    const rulectl = await ask(control);
    await fw.offer();
    await answers(fw, [refusedOf(fields)]);
    return recordsOf(await rulectl.answer(), 'refused')[0]?.allow;
  }

  it.each<[string, Partial<WireRefused>, string]>([
    ['its address', {}, '192.0.2.7'],
    ['its name, where DNS told it', { name: 'www.example.net' }, 'www.example.net'],
    ['its address, where the name is none of our grammar', { name: 'a b;$(c)' }, '192.0.2.7'],
    [
      'a name that was asked for',
      { what: 'name', reason: 'name', name: 'a.test', remote: undefined },
      'a.test',
    ],
  ])('of a packet from a qube with a policy of its own is %s', async (_, fields, allow) => {
    expect(await allowOf(fields)).toBe(allow);
  });

  it('of a qube with an address of each family is that, too', async () => {
    expect(await allowOf({}, withPrefixes('10.137.0.5, "fd09::5"'))).toBe('192.0.2.7');
  });

  it.each<[string, Partial<WireRefused>, Readonly<Record<string, string>>?]>([
    ['that came to the qube', { direction: 'ingress' }],
    ['that is accepted by now', { verdict: { action: 'accept', direction: 'egress', policy: 'work' } }],
    ['that is not judged yet', { verdict: undefined }],
    ['that first drops', { verdict: { action: 'drop', direction: 'egress', policy: 'first' } }],
    ...(['tcp-rest', 'flowless', 'closed', 'dns'] as const).map((reason): [string, Partial<WireRefused>] => [
      `that no rule refused: ${reason}`,
      { reason },
    ]),
    ['of a qube that shares its policy with a network', {}, withPrefixes('10.137.0.0/24')],
    ['of a qube that shares its policy', {}, withPrefixes('10.137.0.5, 10.137.0.6')],
    ['of a qube that the default judges', { qube: Uint8Array.of(10, 137, 0, 6) }],
    [
      'of a qube that is cut off',
      { verdict: { action: 'drop', policy: 'work', rule: 'action=drop comment=rulectl cut 3: virus' } },
    ],
    ['with a public suffix alone', { what: 'name', reason: 'name', name: 'co.uk', remote: undefined }],
    ['with a name of no grammar alone', { what: 'name', reason: 'name', name: '-', remote: undefined }],
  ])('is nothing of a packet %s', async (_, fields, files) => {
    expect(await allowOf(fields, files)).toBeUndefined();
  });
});

describe('what was dropped most', () => {
  it('is told by list, and by rule with where it stands, from the sums', async () => {
    const { publisher, control } = await house();
    const text = 'unmatched: drop\nlists: { ads: { entries: [192.0.2.7] } }\n';
    const policy = 'policies: { work: { prefixes: [10.137.0.5], egress: [drop dst=@ads, accept] } }\n';
    const { ruleSet } = await release(publisher, { 'work.yaml': `${text}${policy}` });
    const look = (...counters: readonly (readonly [string, number])[]): void =>
      publisher.sums.take('fw', { counters: new Map(counters), ruleSet, isInForce: true });
    look(['drop.list.ads', 1], ['rule.work.1', 1], ['rule.work.2', 0]);
    look(['drop.list.ads', 4], ['rule.work.1', 3], ['rule.work.2', 9]);
    const top = async (of: 'lists' | 'rules') => {
      const rulectl = await ScriptedRulectl.connect(control);
      await rulectl.send({ kind: 'top', of });
      return recordsOf(await rulectl.answer(), 'dropped').map(({ fromMs: _, ...record }) => record);
    };
    expect(await top('lists')).toEqual([{ record: 'dropped', list: 'ads', packets: 3 }]);
    expect(await top('rules')).toEqual([
      {
        record: 'dropped',
        packets: 2,
        policy: 'work',
        direction: 'egress',
        block: 'own',
        rule: 'action=drop dst=@ads',
        ruleIndex: 0,
      },
    ]);
  });
});
