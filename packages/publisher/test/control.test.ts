import { once } from 'node:events';
import {
  ANSWER_TIMEOUT_MS,
  CONTROL_CONNECTIONS_MAX,
  type MessageOf,
  ProtocolError,
  PUSH_MAX_BYTES,
  partsOf,
} from '@rulecast/protocol';
import { EMPTY_RULE_SET } from '@rulecast/rules';
import type { Service } from '@rulecast/sessions';
import { type Endpoint, parseEndpoint } from '@rulecast/vchan';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { turns } from '../../../test/kit/turns.ts';
import { FakeClock } from '../../sources/test/fake-clock.ts';
import { permitCodes } from '../src/guards/permits.ts';
import type { Publisher, PublisherOptions } from '../src/release/publisher.ts';
import { serveControl } from '../src/requests/serve.ts';
import { serveSubscribers } from '../src/sessions/host.ts';
import { StoreError } from '../src/store/store.ts';
import {
  bytesOf,
  degraded,
  freshPublisher,
  hex,
  prefixes,
  release,
  startedLongAgo,
} from './fresh-publisher.ts';
import { recordsOf, ScriptedRulectl } from './scripted-rulectl.ts';
import { ScriptedSubscriber } from './scripted-subscriber.ts';

interface House {
  readonly publisher: Publisher;
  readonly control: Endpoint;
  readonly subscribers: Endpoint;
  readonly served: Service;
}

let houses = 0;

/** A publisher that serves subscribers and rulectl in this process. */
async function house(options: Partial<PublisherOptions> = {}): Promise<House> {
  const publisher = freshPublisher(options);
  houses += 1;
  const subscribers = parseEndpoint(`memory:control-${houses}-subscribers`);
  const control = parseEndpoint(`memory:control-${houses}?buffer=4KiB`);
  const sessions = await serveSubscribers(publisher, [subscribers]);
  onTestFinished(() => sessions.close());
  const served = await serveControl(publisher, [control], sessions.ask);
  onTestFinished(() => served.close());
  return { publisher, control, subscribers, served };
}

/** What a push leads to, in a word. */
async function pushCode(...args: Parameters<typeof ScriptedRulectl.push>): Promise<string> {
  const { end } = await ScriptedRulectl.push(...args);
  return `${end.kind} ${end.code}`;
}

/** Time passes, in which subscribers show that they are there. */
async function passing(
  clock: FakeClock,
  ms: number,
  subscribers: readonly ScriptedSubscriber[],
): Promise<void> {
  for (let leftMs = ms; leftMs > 0; leftMs -= 5000) {
    for (const subscriber of subscribers) await subscriber.pong();
    await turns();
    clock.advance(Math.min(leftMs, 5000));
  }
}

describe('a push', () => {
  it('is released, with what changed and what the release is', async () => {
    const { publisher, control } = await house();
    const answer = await ScriptedRulectl.push(control, {
      'hosts.txt': '192.0.2.1\n192.0.2.3\n',
      'x.rules': 'drop dst=@hosts\n',
    });
    expect(answer.end).toMatchObject({ kind: 'done', code: 'released', text: 'released version 1' });
    const { head } = publisher;
    expect(recordsOf(answer, 'change')).toEqual([
      { record: 'change', op: 'add', kind: 'list', name: 'hosts', added: 2, removed: 0, unchanged: 0 },
      { record: 'change', op: 'add', kind: 'policy', name: 'default', added: 1, removed: 0, unchanged: 0 },
    ]);
    expect(recordsOf(answer, 'release')).toEqual([
      expect.objectContaining({
        epoch: 1,
        version: 1,
        previousVersion: 0,
        hash: hex(head?.hash ?? new Uint8Array()),
        parts: 2,
        entries: 2,
        rules: 1,
        dryRun: false,
        changed: true,
      }),
    ]);
    expect(recordsOf(answer, 'warning')).toEqual([]);
  });

  it('of what is there already is unchanged, and makes no version', async () => {
    const { publisher, control } = await house();
    const { hash } = await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    const answer = await ScriptedRulectl.push(control, { 'hosts.txt': '192.0.2.1/32 # again\n' });
    expect(answer.end).toMatchObject({ kind: 'done', code: 'unchanged' });
    expect(recordsOf(answer, 'change')).toEqual([]);
    expect(recordsOf(answer, 'release')).toMatchObject([
      { version: 1, hash: hex(hash), changed: false, deltaBytes: 0 },
    ]);
    expect(publisher.head?.manifest.version).toBe(1);
  });

  it('as a dry run tells the same and releases nothing', async () => {
    const { publisher, control } = await house();
    const dry = await ScriptedRulectl.push(control, { 'hosts.txt': '192.0.2.1\n' }, { dryRun: true });
    expect(dry.end).toMatchObject({ kind: 'done', code: 'planned' });
    expect(recordsOf(dry, 'release')).toMatchObject([
      { version: 0, hash: '0'.repeat(64), entries: 1, dryRun: true, changed: true },
    ]);
    expect(publisher.head).toBeUndefined();
    const real = await ScriptedRulectl.push(control, { 'hosts.txt': '192.0.2.1\n' });
    expect(recordsOf(real, 'change')).toEqual(recordsOf(dry, 'change'));
  });

  it('of a document brings the files that it names, in files of many chunks', async () => {
    const { publisher, control } = await house();
    const rulectl = await ScriptedRulectl.connect(control);
    await rulectl.announce({ files: 2 });
    await rulectl.sendFile('firewall.yaml', bytesOf('lists:\n  far: { file: far.txt }\n'));
    const lines = Array.from({ length: 40_000 }, (_, i) => `10.${i >> 8}.${i & 255}.1`);
    await rulectl.sendFile('far.txt', bytesOf(lines.join('\n')), 'referenced');
    expect((await rulectl.answer()).end).toMatchObject({ kind: 'done', code: 'released' });
    expect(partsOf(publisher.head?.ruleSet ?? EMPTY_RULE_SET)).toMatchObject([
      { name: 'far', list: { v4: { lengths: { length: 40_000 } } } },
    ]);
  });

  it('after GREET, which is answered first, is the same', async () => {
    const { publisher, control } = await house();
    const rulectl = await ScriptedRulectl.connect(control);
    await rulectl.send({ kind: 'greet', protocolMin: 1, protocolMax: 9, capabilities: ['of-later-days'] });
    await rulectl.sendPush({ 'a.txt': '192.0.2.1\n' });
    expect((await rulectl.connection.receive())?.message).toEqual({
      kind: 'greet',
      protocolMin: 2,
      protocolMax: 2,
      capabilities: [],
    });
    expect((await rulectl.answer()).end).toMatchObject({ kind: 'done', code: 'released' });
    expect(publisher.head?.manifest.version).toBe(1);
  });

  it('after GREET of other versions ends at once', async () => {
    const { control } = await house();
    const rulectl = await ScriptedRulectl.connect(control);
    await rulectl.send({ kind: 'greet', protocolMin: 3, protocolMax: 4, capabilities: [] });
    expect((await rulectl.answer()).end).toMatchObject({ kind: 'bye', code: 'no-common-version' });
  });

  it('of no files is a push; of an empty file it is one that guards refuse, with numbers, and as a dry run too', async () => {
    const { publisher, control } = await house();
    expect(await pushCode(control, {})).toBe('done unchanged');
    await release(publisher, { 'hosts.txt': '192.0.2.1\n192.0.2.3\n' });
    for (const dryRun of [true, false]) {
      const answer = await ScriptedRulectl.push(control, { 'hosts.txt': '', 'new.txt': '' }, { dryRun });
      const first = { guard: 'empty', part: 'list hosts', permit: 'empty', before: 2, after: 0 };
      expect(recordsOf(answer, 'refusal')).toMatchObject([first, { guard: 'empty', part: 'list new' }]);
      expect(recordsOf(answer, 'change')).toHaveLength(2);
      expect(answer.end).toMatchObject({ kind: 'fail', code: 'guard-refused', ...first });
    }
    expect(publisher.head?.manifest.version).toBe(1);
    expect(await pushCode(control, { 'hosts.txt': '' }, { allowShrink: true })).toBe('fail guard-refused');
    const empty = { 'hosts.txt': '' };
    const ofPush = permitCodes('push');
    const others = ofPush.filter((code) => code !== 'empty');
    const ofRefresh = permitCodes('refresh').filter((code) => !ofPush.includes(code));
    const unknown = ['empty-list', 'allow-empty', 'empty-', 'e', 'guard', 'constructor', 'to-string'];
    for (const codes of [others, ofRefresh, unknown, ['shrunk', 'shrunk'], []])
      expect(await pushCode(control, empty, { '+permit': codes })).toBe('fail guard-refused');
    expect(await pushCode(control, empty, { '+permit': ['empty'], dryRun: true })).toBe('done planned');
    const noted = await ScriptedRulectl.push(control, empty, {
      '+permit': ['grown', 'empty', 'later'],
      dryRun: true,
    });
    expect(recordsOf(noted, 'warning')).toContainEqual(
      expect.objectContaining({ code: 'not-needed', reason: 'nothing needed --permit grown,later' }),
    );
    expect(await pushCode(control, empty, { allowEmpty: true })).toBe('done released');
  });

  // It said nothing until it was released, for as long as that took.
  it('says every other second what is being done', async () => {
    const clock = new FakeClock();
    let answer: (found: ReturnType<typeof prefixes>) => void = () => undefined;
    const resolve = () =>
      new Promise<ReturnType<typeof prefixes>>((found) => {
        answer = found;
      });
    const { control } = await house({ clock, resolve });
    const pushing = ScriptedRulectl.push(control, { 'x.rules': 'drop dsthost=a.example\naccept\n' });
    for (let seconds = 0; seconds < 4; seconds++) {
      await turns();
      clock.advance(1000);
    }
    await turns();
    answer(prefixes('192.0.2.7'));
    const names = { record: 'progress', stage: 'names', done: 0, total: 0 };
    expect(recordsOf(await pushing, 'progress')).toEqual([names, names]);
  });

  it('warns of what is odd: an unused list, a name that does not resolve, nothing to withdraw', async () => {
    const { publisher, control } = await house({ resolve: () => Promise.reject(new Error('SERVFAIL')) });
    const odd = await ScriptedRulectl.push(control, {
      'hosts.txt': '192.0.2.1\n',
      'x.rules': 'accept dsthost=a.example\n',
    });
    expect(recordsOf(odd, 'warning').map(({ code, part }) => `${code} ${part}`)).toEqual([
      'unused-list hosts',
      'name-not-resolved a.example',
    ]);
    expect(degraded(publisher)).toEqual(['a.example does not resolve (SERVFAIL): its rules match nothing']);
    const withdrawal = await ScriptedRulectl.push(
      control,
      { 'gone.txt': '192.0.2.1\n' },
      { action: 'withdraw', ifPresent: true },
    );
    expect(recordsOf(withdrawal, 'warning').map(({ code }) => code)).toContain('nothing-to-withdraw');
    expect(withdrawal.end).toMatchObject({ kind: 'done', code: 'unchanged' });
  });

  // It went on without, and ended well.
  it.each([
    ['a list', { 'gone.txt': '192.0.2.1\n', 'hosts.txt': '192.0.2.1\n' }, 'gone'],
    ['entries', { 'hosts.txt': '192.0.2.9\n' }, 'push'],
    ['rules', { 'x.rules': 'accept dst4=192.0.2.9\n' }, 'push'],
  ])('releases nothing where %s to withdraw is not there', async (_, files, file) => {
    const { publisher, control } = await house();
    await ScriptedRulectl.push(control, {
      'hosts.txt': '192.0.2.1\n192.0.2.2\n',
      'x.rules': 'drop dst=@hosts\n',
    });
    const { end, records } = await ScriptedRulectl.push(control, files, { action: 'withdraw' });
    expect(end).toMatchObject({ kind: 'fail', code: 'bad-input' });
    expect(records.filter(({ record }) => record === 'reject')).toMatchObject([
      { file, code: 'nothing-to-withdraw' },
    ]);
    expect(publisher.head?.manifest.version).toBe(1);
  });

  it('says where a rule uses a list that is not there, and which one is near', async () => {
    const { control } = await house();
    const text = '# drop dst=@rusia\naccept dst4=192.0.2.1\ndrop dst=@rusia proto=tcp\n';
    const push = { 'russia.txt': '192.0.2.0/24\n', 'x.rules': text };
    expect((await ScriptedRulectl.push(control, push)).end).toMatchObject({
      code: 'guard-refused',
      file: 'x.rules',
      line: 3,
      column: 10,
      text: 'policy default uses list rusia, which does not exist: did you mean russia?',
    });
  });

  it('keeps the addresses of a name that stops resolving', async () => {
    const answers = [Promise.resolve(prefixes('192.0.2.7')), Promise.reject(new Error('SERVFAIL'))];
    for (const answer of answers) answer.catch(() => undefined);
    const { publisher, control } = await house({
      resolve: () => answers.shift() ?? Promise.reject(new Error('asked too often')),
    });
    await ScriptedRulectl.push(control, { 'x.rules': 'drop dsthost=a.example\n' });
    expect(await pushCode(control, { 'x.rules': 'drop dsthost=a.example\ndrop\n' })).toBe('done released');
    expect(publisher.head?.ruleSet.resolutions).toEqual(new Map([['a.example', prefixes('192.0.2.7')]]));
  });
});

describe('a push is refused, and the head stays', () => {
  it('for a bad line, with each reject and the place of the first', async () => {
    const { publisher, control } = await house();
    await release(publisher, { 'hosts.txt': '192.0.2.9\n' });
    const answer = await ScriptedRulectl.push(control, {
      'hosts.txt': '192.0.2.1\n300.1.1.1\n',
      'x.rules': 'drop\nacept\n',
    });
    expect(answer.end).toMatchObject({
      kind: 'fail',
      code: 'bad-input',
      text: '2 lines are refused: nothing was released',
      file: 'hosts.txt',
      line: 2,
      column: 1,
    });
    expect(recordsOf(answer, 'reject').map(({ file, line }) => `${file}:${line}`)).toEqual([
      'hosts.txt:2',
      'x.rules:2',
    ]);
    expect(publisher.head?.manifest.version).toBe(1);
  });

  it('where the head is not the version that was expected, which is told', async () => {
    const { publisher, control } = await house();
    expect(await pushCode(control, { 'hosts.txt': '192.0.2.1\n' }, { ifVersion: 1 })).toBe(
      'fail version-moved',
    );
    expect(await pushCode(control, { 'hosts.txt': '192.0.2.1\n' }, { ifVersion: 0 })).toBe('done released');
    const { end } = await ScriptedRulectl.push(control, { 'hosts.txt': '192.0.2.2\n' }, { ifVersion: 0 });
    expect(end).toMatchObject({ kind: 'fail', code: 'version-moved', version: 1 });
    expect(publisher.head?.manifest.version).toBe(1);
  });

  it.each<[string, string, string | undefined, Record<string, string>]>([
    ['a list that is not there', 'guard-refused', 'default', { 'x.rules': 'drop dst=@gone\n' }],
    [
      'a list of names without resolve',
      'guard-refused',
      'default',
      { 'n.txt': 'a.example\n', 'x.rules': 'drop dst=@n\n' },
    ],
  ])('for %s, also in a dry run', async (_, code, part, files) => {
    const { publisher, control } = await house();
    for (const dryRun of [true, false]) {
      const { end } = await ScriptedRulectl.push(control, files, { dryRun });
      expect(end).toMatchObject({ kind: 'fail', code });
      expect(end.kind === 'fail' ? end.part : 'no FAIL').toBe(part);
    }
    expect(publisher.head).toBeUndefined();
  });

  it('where the store cannot be written', async () => {
    const { publisher, control } = await house();
    vi.spyOn(publisher.store, 'commit').mockRejectedValueOnce(new StoreError('the disk is full'));
    const { end } = await ScriptedRulectl.push(control, { 'hosts.txt': '192.0.2.1\n' });
    expect(end).toMatchObject({ kind: 'fail', code: 'storage-failed', text: 'the disk is full' });
    expect(publisher.head).toBeUndefined();
    expect(await pushCode(control, { 'hosts.txt': '192.0.2.1\n' })).toBe('done released');
  });

  const END = { kind: 'end', sha256: new Uint8Array(32) } as const;
  const CHUNK = { kind: 'chunk', bytes: bytesOf('192.0.2.1') } as const;
  const file = (bytes: number): MessageOf<'file'> => ({
    kind: 'file',
    name: 'hosts.txt',
    role: 'pushed',
    bytes,
  });

  it.each<[string, string, readonly Parameters<ScriptedRulectl['send']>[0][]]>([
    ['that arrives damaged', 'bad-transfer', [file(9), CHUNK, END]],
    ['longer than announced', 'bad-transfer', [file(8), CHUNK]],
    ['shorter than announced', 'unexpected-message', [file(10), CHUNK, END]],
    ['that goes on after all its bytes', 'unexpected-message', [file(9), CHUNK, CHUNK]],
    ['that is not announced', 'unexpected-message', [CHUNK]],
    ['beyond what a push may hold', 'over-limit', [file(PUSH_MAX_BYTES + 1)]],
    ['of 2^53 - 1 bytes', 'over-limit', [file(Number.MAX_SAFE_INTEGER)]],
  ])('for a file %s', async (_, code, messages) => {
    const { publisher, control } = await house();
    const rulectl = await ScriptedRulectl.connect(control);
    await rulectl.announce({ files: 2 });
    for (const message of messages) await rulectl.send(message);
    expect((await rulectl.answer()).end).toMatchObject({ kind: 'fail', code });
    expect(publisher.head).toBeUndefined();
  });

  it('for files that are beyond what a push may hold together', async () => {
    const { control } = await house();
    const rulectl = await ScriptedRulectl.connect(control);
    await rulectl.announce({ files: 2 });
    await rulectl.sendFile('hosts.txt', bytesOf('192.0.2.1'));
    await rulectl.send(file(PUSH_MAX_BYTES - 8));
    expect((await rulectl.answer()).end).toMatchObject({ kind: 'fail', code: 'over-limit' });
  });

  it('where rulectl goes away in the middle, and the next one is served', async () => {
    const { publisher, control } = await house();
    const rulectl = await ScriptedRulectl.connect(control);
    await rulectl.announce({ files: 1 });
    await rulectl.send(file(9));
    rulectl.channel.close();
    expect(await pushCode(control, { 'other.txt': '192.0.2.1\n' })).toBe('done released');
    expect(partsOf(publisher.head?.ruleSet ?? EMPTY_RULE_SET)).toMatchObject([{ name: 'other' }]);
  });
});

describe('a push that waits until it is applied', () => {
  const WAIT = { wait: 'applied' } as const;
  const HOSTS = { 'hosts.txt': '192.0.2.1\n' };

  it('hears of each subscriber that was connected, as they answer', async () => {
    const { control, subscribers } = await house();
    const one = await ScriptedSubscriber.greet(subscribers, 'one');
    const two = await ScriptedSubscriber.greet(subscribers, 'two');
    const rulectl = await ScriptedRulectl.connect(control);
    await rulectl.sendPush(HOSTS, WAIT);
    await two.nack(await two.offer(), { code: 'sink-failed', text: 'nft says no', retry: 'later' });
    await rulectl.record('warning');
    await rulectl.record('change');
    await rulectl.record('release');
    expect(await rulectl.record('applied')).toMatchObject({
      subscriber: 'two',
      state: 'refused',
      version: 1,
      code: 'sink-failed',
      text: 'nft says no',
    });
    const { begin } = await one.take();
    const applied = await rulectl.record('applied');
    expect(applied).toMatchObject({ subscriber: 'one', state: 'applied', version: 1, persisted: true });
    expect(applied.bytes).toBeGreaterThan(begin.bytes);
    expect((await rulectl.answer()).end).toMatchObject({ kind: 'done', code: 'released' });
  });

  it('does not wait where nobody is connected, or where nothing changed', async () => {
    const { control, subscribers } = await house({ clock: startedLongAgo() });
    expect(recordsOf(await ScriptedRulectl.push(control, HOSTS, WAIT), 'applied')).toEqual([]);
    const fw = await ScriptedSubscriber.greet(subscribers, 'fw');
    await fw.take();
    const again = await ScriptedRulectl.push(control, HOSTS, WAIT);
    expect(again.end).toMatchObject({ kind: 'done', code: 'unchanged' });
    expect(recordsOf(again, 'applied')).toMatchObject([{ subscriber: 'fw', state: 'applied' }]);
  });

  it('does not wait for one that connects later', async () => {
    const { control, subscribers } = await house();
    const one = await ScriptedSubscriber.greet(subscribers, 'one');
    const answer = ScriptedRulectl.push(control, HOSTS, WAIT);
    const offer = await one.offer();
    const late = await ScriptedSubscriber.greet(subscribers, 'late');
    await late.take();
    await one.want(offer);
    await one.applied(offer, (await one.receiveTransfer(offer)).ruleSet);
    expect(recordsOf(await answer, 'applied').map(({ subscriber }) => subscriber)).toEqual(['one']);
  });

  it('hears of one that goes away', async () => {
    const { control, subscribers } = await house();
    const fw = await ScriptedSubscriber.greet(subscribers, 'fw');
    const answer = ScriptedRulectl.push(control, HOSTS, WAIT);
    await fw.offer();
    fw.channel.close();
    expect(recordsOf(await answer, 'applied')).toMatchObject([{ subscriber: 'fw', state: 'disconnected' }]);
  });

  it('hears that a later release took the place of its own', async () => {
    const { publisher, control, subscribers } = await house();
    const fw = await ScriptedSubscriber.greet(subscribers, 'fw');
    const answer = ScriptedRulectl.push(control, HOSTS, WAIT);
    await fw.offer();
    await release(publisher, { 'hosts.txt': '192.0.2.2\n' });
    await fw.take();
    expect(recordsOf(await answer, 'applied')).toMatchObject([
      { subscriber: 'fw', state: 'superseded', version: 2 },
    ]);
  });

  it('passes over what a subscriber says of the release before', async () => {
    const { publisher, control, subscribers } = await house();
    await release(publisher, HOSTS);
    const fw = await ScriptedSubscriber.greet(subscribers, 'fw');
    const offer = await fw.offer();
    await fw.want(offer);
    const { ruleSet } = await fw.receiveTransfer(offer);
    const answer = ScriptedRulectl.push(control, { 'hosts.txt': '192.0.2.2\n' }, WAIT);
    await once(publisher, 'release');
    await fw.applied(offer, ruleSet);
    await fw.take();
    expect(recordsOf(await answer, 'applied')).toMatchObject([
      { subscriber: 'fw', state: 'applied', version: 2 },
    ]);
  });

  it('gives up after its time, and says of whom', async () => {
    const clock = new FakeClock();
    const { control, subscribers } = await house({ clock });
    const one = await ScriptedSubscriber.greet(subscribers, 'one');
    const two = await ScriptedSubscriber.greet(subscribers, 'two');
    const rulectl = await ScriptedRulectl.connect(control);
    await rulectl.sendPush(HOSTS, { ...WAIT, timeoutMs: 30_000 });
    await two.take();
    await rulectl.record('warning');
    await rulectl.record('change');
    await rulectl.record('release');
    expect(await rulectl.record('applied')).toMatchObject({ subscriber: 'two', state: 'applied' });
    const answer = rulectl.answer();
    await passing(clock, 30_000, [one, two]);
    expect(recordsOf(await answer, 'applied')).toMatchObject([
      { subscriber: 'one', state: 'timeout', version: 1, bytes: 0 },
    ]);
    expect((await answer).end).toMatchObject({ kind: 'done', code: 'released' });
  });

  // Stopping once waited for the time of the push, up to a day, and so did the place that a gone rulectl
  // took.
  it('ends at once when the publisher stops', async () => {
    const { control, subscribers, served } = await house();
    await ScriptedSubscriber.greet(subscribers, 'fw');
    const rulectl = await ScriptedRulectl.connect(control);
    await rulectl.sendPush(HOSTS, { ...WAIT, timeoutMs: 86_400_000 });
    await rulectl.record('warning');
    await rulectl.record('change');
    await rulectl.record('release');
    await served.close();
    expect((await rulectl.answer()).end).toMatchObject({ kind: 'bye', code: 'shutting-down' });
  });

  it('leaves its place when rulectl goes away', async () => {
    const { control, subscribers } = await house();
    await ScriptedSubscriber.greet(subscribers, 'fw');
    for (let i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
      const rulectl = await ScriptedRulectl.connect(control);
      await rulectl.sendPush({ 'hosts.txt': `192.0.2.${i}\n` }, { ...WAIT, timeoutMs: 86_400_000 });
      await rulectl.record('warning');
      await rulectl.record('change');
      await rulectl.record('release');
      rulectl.channel.close();
    }
    expect(await pushCode(control, { 'other.txt': '192.0.2.1\n' })).toBe('done released');
  });
});

describe('the status', () => {
  async function status(control: Endpoint) {
    const rulectl = await ScriptedRulectl.connect(control);
    await rulectl.send({ kind: 'status', watch: false });
    const answer = await rulectl.answer();
    expect(answer.end).toMatchObject({ kind: 'done', code: 'ok' });
    return answer;
  }

  it('before the first release has a head without a version', async () => {
    const { publisher, control } = await house({ nowMs: () => 7000 });
    expect((await status(control)).records).toEqual([
      {
        record: 'head',
        lineage: hex(publisher.identity.lineage),
        epoch: 0,
        version: 0,
        hash: '0'.repeat(64),
        createdAtMs: 0,
        parts: 0,
        entries: 0,
        rules: 0,
        startedAtMs: 7000,
        degraded: [],
        hasRootKey: true,
      },
    ]);
  });

  it('has the head, its parts and the subscribers, connected or not, by name', async () => {
    let nowMs = 1000;
    const { publisher, control, subscribers } = await house({ nowMs: () => nowMs });
    const fw = await ScriptedSubscriber.greet(subscribers, 'fw');
    await ScriptedSubscriber.greet(subscribers, 'empty', { limits: { entries: 0, bytes: 0, parts: 0 } });
    nowMs = 2000;
    const first = await release(publisher, {
      'hosts.txt': '192.0.2.1\n',
      'x.rules': 'drop dst=@hosts\naccept\n',
    });
    const outcome = once(publisher.subscribers, 'outcome');
    await fw.take();
    await outcome;
    const gone = once(publisher.subscribers, 'outcome');
    fw.channel.close();
    await gone;
    nowMs = 5000;
    const { hash } = await release(publisher, { 'hosts.txt': '192.0.2.2\n' });
    nowMs = 9000;
    const answer = await status(control);
    expect(answer.records.map(({ record }) => record)).toEqual([
      'head',
      'part',
      'part',
      'subscriber',
      'subscriber',
    ]);
    expect(recordsOf(answer, 'head')).toMatchObject([
      {
        epoch: 1,
        version: 2,
        hash: hex(hash),
        createdAtMs: 5000,
        parts: 2,
        entries: 1,
        rules: 2,
        startedAtMs: 1000,
      },
    ]);
    expect(recordsOf(answer, 'part')).toMatchObject([
      { kind: 'list', name: 'hosts', count: 1, changedVersion: 2 },
      { kind: 'policy', name: 'default', count: 2, changedVersion: 1 },
    ]);
    expect(recordsOf(answer, 'subscriber')).toMatchObject([
      {
        name: 'empty',
        state: 'behind',
        matches: false,
        lagVersions: 2,
        lagMs: 7000,
        connectedSinceMs: 1000,
        lastError: { code: 'over-limit', atMs: 5000 },
      },
      {
        name: 'fw',
        state: 'disconnected',
        epoch: 1,
        version: 1,
        hash: hex(first.hash),
        matches: false,
        lagVersions: 1,
        lagMs: 4000,
        lastSeenMs: 2000,
        appliedAtMs: 2000,
        applyMs: 10,
        persisted: true,
      },
    ]);
  });

  it('tells the states of subscribers apart', async () => {
    const { publisher, control, subscribers } = await house();
    const { hash } = await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    const held = { epoch: 1, version: 1 };
    await ScriptedSubscriber.greet(subscribers, 'synced', { holds: { ...held, hash } });
    await ScriptedSubscriber.greet(subscribers, 'behind');
    await ScriptedSubscriber.greet(subscribers, 'refused', { refused: [hash] });
    const receiving = await ScriptedSubscriber.greet(subscribers, 'receiving');
    await receiving.want(await receiving.offer());
    await receiving.next('begin');
    const other = { epoch: 1, version: 9, hash: new Uint8Array(32) };
    const diverged = await ScriptedSubscriber.greet(subscribers, 'diverged', { holds: other });
    await diverged.next('prove');
    await diverged.nack(other);
    await diverged.offer();
    const states = recordsOf(await status(control), 'subscriber').map(({ name, state }) => [name, state]);
    expect(states).toEqual(
      ['behind', 'diverged', 'receiving', 'refused', 'synced'].map((name) => [name, name]),
    );
  });

  it('that is watched comes again after each change, until rulectl goes', async () => {
    const { publisher, control, subscribers } = await house();
    const rulectl = await ScriptedRulectl.connect(control);
    await rulectl.send({ kind: 'status', watch: true });
    expect(await rulectl.record('head')).toMatchObject({ version: 0 });
    await rulectl.record('end');
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    expect(await rulectl.record('head')).toMatchObject({ version: 1 });
    await rulectl.record('part');
    await rulectl.record('warning');
    await rulectl.record('end');
    await ScriptedSubscriber.greet(subscribers, 'fw');
    expect(await rulectl.record('head')).toMatchObject({ version: 1 });
    await rulectl.record('part');
    await rulectl.record('warning');
    expect(await rulectl.record('subscriber')).toMatchObject({ name: 'fw', state: 'behind' });
    await rulectl.record('end');
    const ended = once(publisher.subscribers, 'removeListener');
    rulectl.channel.close();
    await ended;
    expect(publisher.subscribers.listenerCount('change')).toBe(1); // what is known of them is kept
  });

  // Only changes after the first status was told were once heard of.
  it('that is watched comes again after a change while it is told for the first time', async () => {
    const { publisher, control } = await house();
    const lists = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`list-${i}.txt`, '192.0.2.1\n']));
    await release(publisher, lists); // more records than the channel holds
    const rulectl = await ScriptedRulectl.connect(control);
    await rulectl.send({ kind: 'status', watch: true });
    expect(await rulectl.record('head')).toMatchObject({ version: 1 });
    await release(publisher, { 'list-0.txt': '192.0.2.2\n' });
    for (let i = 0; i < 60; i++) await rulectl.record('part');
    for (let i = 0; i < 32; i++) await rulectl.record('warning');
    await rulectl.record('end');
    expect(await rulectl.record('head')).toMatchObject({ version: 2 });
  });

  // Garbage from a watching rulectl once rejected a promise that nobody awaited yet, which ends a Node
  // process.
  it('that is watched ends with BYE on garbage', async () => {
    const { publisher, control } = await house();
    const rulectl = await ScriptedRulectl.connect(control);
    await rulectl.send({ kind: 'status', watch: true });
    await rulectl.record('head');
    const ended = once(publisher.subscribers, 'removeListener');
    rulectl.channel.write(new Uint8Array(64));
    expect((await rulectl.answer()).end).toMatchObject({ kind: 'bye', code: 'bad-magic' });
    await ended;
    expect(publisher.subscribers.listenerCount('change')).toBe(1); // what is known of them is kept
  });

  it('that is watched ends with BYE on a second request', async () => {
    const { control } = await house();
    const rulectl = await ScriptedRulectl.connect(control);
    await rulectl.send({ kind: 'status', watch: true });
    await rulectl.record('head');
    await rulectl.send({ kind: 'status', watch: false });
    expect((await rulectl.answer()).end).toMatchObject({ kind: 'bye', code: 'unexpected-message' });
  });

  it('names a row that cannot be told, and tells the others', async () => {
    const { publisher, control } = await house();
    for (const name of ['a', 'odd', 'z']) publisher.subscribers.entry(name, 1);
    const odd = publisher.subscribers.find('odd');
    if (odd === undefined) throw new Error('unreachable: it was made');
    odd.applyMs = 2 ** 60;
    const answer = await status(control);
    expect(recordsOf(answer, 'subscriber').map(({ name }) => name)).toEqual(['a', 'z']);
    expect(recordsOf(answer, 'warning')).toMatchObject([{ code: 'internal', part: 'subscriber odd' }]);
    expect(answer.end).toMatchObject({ kind: 'done' });
  });
});

describe('the status with counters', () => {
  async function ask(control: Endpoint): Promise<ScriptedRulectl> {
    const rulectl = await ScriptedRulectl.connect(control);
    await rulectl.send({ kind: 'status', watch: false, counters: true });
    return rulectl;
  }

  /** Takes the QUERY for counters that is due; answers it with what it is called with. */
  async function queried(
    subscriber: ScriptedSubscriber,
  ): Promise<(answer: Partial<MessageOf<'answer'>>) => Promise<void>> {
    const { message, transaction } = await subscriber.nextWithTransaction('query');
    expect(message).toEqual({ kind: 'query', question: 'stats' });
    return (answer) => subscriber.send({ kind: 'answer', ok: true, ...answer }, transaction);
  }

  it('has those of each connected subscriber after all that it has without, by name', async () => {
    const { control, subscribers } = await house();
    const second = await ScriptedSubscriber.greet(subscribers, 'fw-b');
    const first = await ScriptedSubscriber.greet(subscribers, 'fw-a');
    const rulectl = await ask(control);
    const [answerSecond, answerFirst] = [await queried(second), await queried(first)]; // asked before either answers
    await answerSecond({ stats: { nftDropped: 2, 'list.bad': 2 } });
    await answerFirst({ stats: {} });
    const answer = await rulectl.answer();
    expect(answer.records.map(({ record }) => record)).toEqual([
      'head',
      'subscriber',
      'subscriber',
      'counters',
      'counters',
    ]);
    expect(recordsOf(answer, 'counters')).toEqual([
      { record: 'counters', subscriber: 'fw-a', counters: {} },
      { record: 'counters', subscriber: 'fw-b', counters: { nftDropped: 2, 'list.bad': 2 } },
    ]);
    expect(answer.end).toMatchObject({ kind: 'done', code: 'ok' });
  });

  // P-13
  it('asks one that knows pages for all of them, and ends where they do not go on', async () => {
    const { control, subscribers } = await house();
    const paged = await ScriptedSubscriber.greet(subscribers, 'paged', { capabilities: ['pages'] });
    const rulectl = await ask(control);
    const answerPage = async (from: number, stats: Readonly<Record<string, number>>, next?: number) => {
      const { message, transaction } = await paged.nextWithTransaction('query');
      expect(message).toEqual({ kind: 'query', question: 'stats', '+from': from });
      await paged.send({ kind: 'answer', ok: true, stats, '+next': next }, transaction);
    };
    await answerPage(0, { nftDropped: 2, 'list.a': 1 }, 2);
    await answerPage(2, { 'list.b': 1 }, 3);
    await answerPage(3, { 'list.c': 1 }, 3);
    const answer = await rulectl.answer();
    expect(recordsOf(answer, 'counters')).toEqual([
      { record: 'counters', subscriber: 'paged', counters: { nftDropped: 2, 'list.a': 1 } },
      { record: 'counters', subscriber: 'paged', counters: { 'list.b': 1 } },
      { record: 'counters', subscriber: 'paged', counters: { 'list.c': 1 } },
    ]);
    expect(recordsOf(answer, 'warning')).toEqual([]); // of a question that nobody answers
  });

  it('ends with one that has pages without an end', async () => {
    const clock = new FakeClock();
    const { control, subscribers } = await house({ clock });
    const paged = await ScriptedSubscriber.greet(subscribers, 'paged', { capabilities: ['pages'] });
    const rulectl = await ask(control);
    let asked = 0;
    const answerAll = async (): Promise<void> => {
      for (let next = await paged.connection.receive(); next !== undefined; ) {
        if (next.message.kind === 'ping') await paged.pong();
        if (next.message.kind === 'query') {
          asked += 1;
          const answer = { kind: 'answer', ok: true, stats: { a: asked }, '+next': asked } as const;
          await paged.send(answer, next.transaction);
          clock.advance(100); // the next question has its turn
        }
        next = await paged.connection.receive();
      }
    };
    void answerAll().catch(() => undefined);
    expect(recordsOf(await rulectl.answer(), 'counters')).toHaveLength(512);
    expect(asked).toBe(512);
  });

  it('tells the pages that came of one that goes in between', async () => {
    const { control, subscribers } = await house();
    const paged = await ScriptedSubscriber.greet(subscribers, 'paged', { capabilities: ['pages'] });
    const rulectl = await ask(control);
    const { transaction } = await paged.nextWithTransaction('query');
    await paged.send({ kind: 'answer', ok: true, stats: { lookups: 2 }, '+next': 1 }, transaction);
    await paged.nextWithTransaction('query');
    paged.channel.close();
    const { records } = await rulectl.answer();
    expect(records.slice(2)).toMatchObject([
      { record: 'counters', counters: { lookups: 2 } },
      { record: 'warning', code: 'disconnected', part: 'subscriber paged' },
    ]);
  });

  it('says of a subscriber that is gone, would not or does not answer in time why it has none', async () => {
    const clock = new FakeClock();
    const { publisher, control, subscribers } = await house({ clock });
    const [fine, gone, leaving, refusing, silent] = await Promise.all(
      ['fine', 'gone', 'leaving', 'refusing', 'silent'].map((name) =>
        ScriptedSubscriber.greet(subscribers, name),
      ),
    );
    const left = once(publisher.subscribers, 'outcome');
    gone?.channel.close();
    await left;
    const rulectl = await ask(control);
    const peers = [fine, leaving, refusing, silent].filter((peer) => peer !== undefined);
    const [answerFine, , refuse] = await Promise.all(peers.map(queried));
    const leavesNow = once(publisher.subscribers, 'outcome');
    leaving?.channel.close();
    await leavesNow;
    await answerFine?.({ stats: { lookups: 7 } });
    await refuse?.({ ok: false, code: 'rate-limited', text: 'slower' });
    await turns();
    clock.advance(ANSWER_TIMEOUT_MS);
    const answer = await rulectl.answer();
    expect(answer.records.filter(({ record }) => record === 'counters' || record === 'warning')).toEqual([
      { record: 'counters', subscriber: 'fine', counters: { lookups: 7 } },
      {
        record: 'warning',
        code: 'no-such-subscriber',
        part: 'subscriber gone',
        reason: 'no subscriber called gone is connected',
      },
      {
        record: 'warning',
        code: 'disconnected',
        part: 'subscriber leaving',
        reason: 'leaving went before it answered',
      },
      { record: 'warning', code: 'rate-limited', part: 'subscriber refusing', reason: 'slower' },
      {
        record: 'warning',
        code: 'timeout',
        part: 'subscriber silent',
        reason: 'silent did not answer within 5000 ms',
      },
    ]);
    expect(answer.end).toMatchObject({ kind: 'done', code: 'ok' });
  });

  it('of an answer without them says so', async () => {
    const { control, subscribers } = await house();
    const fw = await ScriptedSubscriber.greet(subscribers, 'fw');
    const rulectl = await ask(control);
    await (await queried(fw))({});
    expect(recordsOf(await rulectl.answer(), 'warning')).toMatchObject([
      { code: 'not-ready', part: 'subscriber fw', reason: 'it has no answer' },
    ]);
  });

  it('is not asked of anybody without the field', async () => {
    const { control, subscribers } = await house();
    const fw = await ScriptedSubscriber.greet(subscribers, 'fw');
    const rulectl = await ScriptedRulectl.connect(control);
    await rulectl.send({ kind: 'status', watch: false, counters: false });
    expect((await rulectl.answer()).records.map(({ record }) => record)).toEqual(['head', 'subscriber']);
    expect(await fw.isQuiet()).toBe(true);
  });
});

describe('a test of the live table', () => {
  const PACKET = {
    direction: 'egress',
    src: undefined,
    dst: Uint8Array.of(192, 0, 2, 1),
    proto: 6,
    port: 443,
    icmpType: undefined,
  } as const;
  const VERDICT = {
    action: 'drop',
    direction: 'egress',
    policy: 'default',
    rulePolicy: 'default',
    rule: 'action=drop',
    ruleIndex: 0,
    run: 0,
    list: undefined,
    prefix: undefined,
  } as const;

  async function test(control: Endpoint, subscriber?: string): Promise<ScriptedRulectl> {
    const rulectl = await ScriptedRulectl.connect(control);
    await rulectl.send({ kind: 'test', packet: PACKET, subscriber });
    return rulectl;
  }

  /** Answers the QUERY that is due. */
  async function answerQuery(
    subscriber: ScriptedSubscriber,
    answer: Partial<MessageOf<'answer'>>,
  ): Promise<void> {
    const { message, transaction } = await subscriber.nextWithTransaction('query');
    expect(message.packet).toEqual({ direction: 'egress', dst: PACKET.dst, proto: 6, port: 443 });
    await subscriber.send(
      {
        kind: 'answer',
        ok: true,
        verdict: undefined,
        hash: undefined,
        version: undefined,
        epoch: undefined,
        generation: undefined,
        stats: undefined,
        code: undefined,
        text: undefined,
        ...answer,
      },
      transaction,
    );
  }

  it('is asked of the subscriber that was named, and its verdict comes back', async () => {
    const { control, subscribers } = await house();
    const fw = await ScriptedSubscriber.greet(subscribers, 'fw');
    const other = await ScriptedSubscriber.greet(subscribers, 'other');
    const rulectl = await test(control, 'fw');
    const told = { name: 'api.example', agoS: 41 };
    const active = { version: 3, hash: new Uint8Array(32), generation: 8 };
    await answerQuery(fw, { verdict: VERDICT, '+told': told, ...active });
    const answer = await rulectl.answer();
    expect(recordsOf(answer, 'verdict')).toEqual([
      {
        record: 'verdict',
        subscriber: 'fw',
        action: 'drop',
        direction: 'egress',
        policy: 'default',
        rulePolicy: 'default',
        rule: 'action=drop',
        ruleIndex: 0,
        run: 0,
        told,
        version: 3,
        hash: '0'.repeat(64),
        generation: 8,
      },
    ]);
    expect(answer.end).toMatchObject({ kind: 'done', code: 'ok' });
    expect(await other.isQuiet()).toBe(true);
  });

  const NAMES =
    '{"lists": {"ads": {"names": [".ads.example"], "resolve": "firewall"}}, "unmatched": "drop", "policies": {"work": {"prefixes": ["10.137.0.5"], "egress": ["drop dst=@ads"]}}}';

  /** The verdicts on a name, and the codes of missing ones. */
  async function judged(
    control: Endpoint,
    question: NonNullable<MessageOf<'test'>['question']>,
    subscriber?: string,
  ) {
    const rulectl = await ScriptedRulectl.connect(control);
    await rulectl.send({ kind: 'test', question, subscriber });
    const answer = await rulectl.answer();
    return {
      verdicts: recordsOf(answer, 'verdict'),
      warnings: recordsOf(answer, 'warning').map(({ code, part }) => `${code} ${part}`),
      end: answer.end.code,
    };
  }

  it('of a name is by the release that each has in force, and asks nobody', async () => {
    const { publisher, control, subscribers } = await house();
    const { hash, manifest } = await release(publisher, { 'a.json': NAMES });
    await release(publisher, { 'a.json': NAMES.replace('.ads', '.other') });
    const { epoch, version } = manifest;
    const fw = await ScriptedSubscriber.greet(subscribers, 'fw', { holds: { hash, epoch, version } });
    await ScriptedSubscriber.greet(subscribers, 'fresh');
    const asker = Uint8Array.of(10, 137, 0, 5);
    const found = await judged(control, { asker, name: 'www.news.example', aliases: ['x.ads.example'] });
    expect(found).toEqual({
      verdicts: [
        {
          record: 'verdict',
          subscriber: 'fw',
          action: 'drop',
          direction: 'egress',
          policy: 'work',
          rulePolicy: 'work',
          block: 'own',
          rule: 'action=drop dst=@ads',
          ruleIndex: 0,
          list: 'ads',
          answer: 'nxdomain',
          name: 'x.ads.example',
          version,
          hash: hex(hash),
          generation: 0,
        },
      ],
      warnings: ['no-such-subscriber subscriber fresh'],
      end: 'ok',
    });
    const other = await judged(control, { policy: 'work', name: 'x.other.example', aliases: [] }, 'fw');
    expect(other.verdicts).toMatchObject([{ action: 'accept', answer: 'answer', direction: 'egress' }]);
    const stranger = await judged(
      control,
      { asker: Uint8Array.of(9, 9, 9, 9), name: 'a.example', aliases: [] },
      'fw',
    );
    expect(stranger.verdicts).toMatchObject([{ action: 'accept', answer: 'answer' }]);
    for (const [question, end] of [
      [{ policy: 'nobody', name: 'a.example', aliases: [] }, 'no-such-part'],
      [{ policy: 'common', name: 'a.example', aliases: [] }, 'no-such-part'],
      [{ policy: 'work', name: 'A.example', aliases: [] }, 'bad-input'],
      [{ policy: 'work', name: 'a.example', aliases: ['1.2'] }, 'bad-input'],
    ] as const)
      expect((await judged(control, question, 'fw')).end).toBe(end);
    await fw.next('unsupported'); // the newer release: nothing was asked
    expect(await fw.isQuiet()).toBe(true);
  });

  it('of a packet of a policy is asked for an address of it, by the release in force there', async () => {
    const { publisher, control, subscribers } = await house();
    const hole = NAMES.replace(
      '"policies": {',
      '"policies": {"other": {"prefixes": ["10.137.0.0/31"], "egress": ["accept"]}, ',
    ).replace('"10.137.0.5"', '"10.137.0.0/29"');
    const { hash, manifest } = await release(publisher, { 'a.json': hole });
    await release(publisher, { 'a.json': NAMES });
    const { epoch, version } = manifest;
    const fw = await ScriptedSubscriber.greet(subscribers, 'fw', { holds: { hash, epoch, version } });
    await fw.next('unsupported'); // the newer release
    const asked = async (policy: string, more: object = {}) => {
      const rulectl = await ScriptedRulectl.connect(control);
      await rulectl.send({ kind: 'test', packet: { ...PACKET, ...more }, policy, subscriber: 'fw' });
      return rulectl;
    };
    const rulectl = await asked('work');
    const { message, transaction } = await fw.nextWithTransaction('query');
    expect(message.packet?.src).toEqual(Uint8Array.of(10, 137, 0, 7)); // the first one is of another policy
    await fw.send(
      { kind: 'answer', ok: true, verdict: VERDICT, hash: undefined, version, generation: 8 },
      transaction,
    );
    expect(recordsOf(await rulectl.answer(), 'verdict')).toMatchObject([
      { source: '10.137.0.7', action: 'drop' },
    ]);
    for (const [policy, more, code] of [
      ['nobody', {}, 'no-such-part'],
      ['common', {}, 'no-such-part'],
      ['work', { dst: new Uint8Array(16) }, 'no-such-part'], // it has no address of IPv6
      ['work', { src: Uint8Array.of(10, 137, 0, 5) }, 'bad-input'],
    ] as const)
      expect((await (await asked(policy, more)).answer()).end).toMatchObject({ kind: 'fail', code });
    expect(await fw.isQuiet()).toBe(true);
  });

  it('is asked of all without a name; one that cannot answer is a warning', async () => {
    const { control, subscribers } = await house();
    const fw = await ScriptedSubscriber.greet(subscribers, 'fw');
    const fresh = await ScriptedSubscriber.greet(subscribers, 'fresh');
    const rulectl = await test(control);
    await answerQuery(fw, { verdict: { action: 'none' }, generation: 1 });
    await answerQuery(fresh, { ok: false, code: 'not-ready', text: 'no release yet' });
    const answer = await rulectl.answer();
    expect(recordsOf(answer, 'verdict')).toMatchObject([{ subscriber: 'fw', action: 'none' }]);
    expect(recordsOf(answer, 'warning')).toMatchObject([
      { code: 'not-ready', part: 'subscriber fresh', reason: 'no release yet' },
    ]);
    expect(answer.end).toMatchObject({ kind: 'done', code: 'ok' });
  });

  it.each<[string, string, Partial<MessageOf<'answer'>>]>([
    ['has no release', 'not-ready', { ok: false, code: 'not-ready', text: 'no release yet' }],
    ['is asked too often', 'rate-limited', { ok: false, code: 'rate-limited', text: 'slower' }],
    ['says nothing', 'not-ready', { ok: true }],
  ])('fails with a code where the one that was named %s', async (_, code, answer) => {
    const { control, subscribers } = await house();
    const fw = await ScriptedSubscriber.greet(subscribers, 'fw');
    const rulectl = await test(control, 'fw');
    await answerQuery(fw, answer);
    expect((await rulectl.answer()).end).toMatchObject({ kind: 'fail', code });
  });

  it('fails with a code where nobody can be asked', async () => {
    const { control } = await house();
    expect((await (await test(control)).answer()).end).toMatchObject({
      kind: 'fail',
      code: 'no-such-subscriber',
    });
    expect((await (await test(control, 'fw')).answer()).end).toMatchObject({
      kind: 'fail',
      code: 'no-such-subscriber',
    });
  });

  it('fails with the code of who asked for it', async () => {
    const publisher = freshPublisher();
    const control = parseEndpoint(`memory:control-ask-${++houses}`);
    const served = await serveControl(publisher, [control], () =>
      Promise.reject(new ProtocolError('timeout', 'it did not answer')),
    );
    onTestFinished(() => served.close());
    expect((await (await test(control, 'fw')).answer()).end).toMatchObject({
      kind: 'fail',
      code: 'timeout',
      text: 'it did not answer',
    });
  });
});

describe('control connections', () => {
  it.each<[string, Parameters<ScriptedRulectl['send']>[0]]>([
    ['PING', { kind: 'ping', hash: undefined, ageMs: undefined }],
    ['FILE', { kind: 'file', name: 'x', role: 'pushed', bytes: 1 }],
  ])('do not begin with %s', async (_, message) => {
    const { control } = await house();
    const rulectl = await ScriptedRulectl.connect(control);
    await rulectl.send(message);
    expect((await rulectl.answer()).end).toMatchObject({ kind: 'fail', code: 'unexpected-message' });
  });

  it('of garbage end with BYE, and the next one is served', async () => {
    const { control } = await house();
    const rulectl = await ScriptedRulectl.connect(control);
    rulectl.channel.write(bytesOf('GET / HTTP/1.1\r\nHost: publisher\r\n\r\n'));
    expect((await rulectl.answer()).end).toMatchObject({ kind: 'bye', code: 'bad-magic' });
    expect(await pushCode(control, { 'hosts.txt': '192.0.2.1\n' })).toBe('done released');
  });

  it(`are at most ${CONTROL_CONNECTIONS_MAX}`, async () => {
    const { control } = await house();
    const all = [];
    for (let i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
      const rulectl = await ScriptedRulectl.connect(control);
      await rulectl.send({ kind: 'status', watch: true });
      await rulectl.record('head');
      all.push(rulectl);
    }
    const extra = await ScriptedRulectl.connect(control);
    await extra.send({ kind: 'status', watch: false });
    const busy = { kind: 'bye', code: 'too-many-connections', retryAfterMs: 5000 };
    expect((await extra.answer()).end).toMatchObject(busy);
  });
});
