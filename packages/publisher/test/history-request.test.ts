import type { MessageOf } from '@rulecast/protocol';
import { type Endpoint, parseEndpoint } from '@rulecast/vchan';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ALL_PERMITS } from '../../../test/kit/permits.ts';
import { seededNumbers } from '../../../test/kit/random.mjs';
import { turns } from '../../../test/kit/turns.ts';
import { FakeClock } from '../../sources/test/fake-clock.ts';
import type { Publisher, PublisherOptions } from '../src/release/publisher.ts';
import { serveControl } from '../src/requests/serve.ts';
import { randomHosts } from './churn.ts';
import { freshPublisher, prefixes, release } from './fresh-publisher.ts';
import { type Answer, recordsOf, ScriptedRulectl } from './scripted-rulectl.ts';

interface House {
  readonly publisher: Publisher;
  readonly control: Endpoint;
}

let houses = 0;

/** A publisher that serves rulectl in this process. */
async function house(options: Partial<PublisherOptions> = {}): Promise<House> {
  const publisher = freshPublisher(options);
  houses += 1;
  const control = parseEndpoint(`memory:archive-${houses}`);
  const served = await serveControl(publisher, [control], () => Promise.reject(new Error('nobody is asked')));
  onTestFinished(() => served.close());
  return { publisher, control };
}

async function ask(control: Endpoint, request: MessageOf<'rollback' | 'history' | 'diff'>): Promise<Answer> {
  const rulectl = await ScriptedRulectl.connect(control);
  await rulectl.send(request);
  return rulectl.answer();
}

function rollback(
  control: Endpoint,
  version: number,
  more: Partial<MessageOf<'rollback'>> = {},
): Promise<Answer> {
  return ask(control, {
    kind: 'rollback',
    version,
    dryRun: false,
    wait: 'released',
    timeoutMs: 0,
    ...more,
  });
}

function diff(control: Endpoint, from: number, more: Partial<MessageOf<'diff'>> = {}): Promise<Answer> {
  return ask(control, { kind: 'diff', from, stats: false, ...more });
}

/** The lines of a difference, with sign, aspect and number. */
function linesOf(answer: Answer): readonly string[] {
  return recordsOf(answer, 'edit').flatMap(({ op, name, aspect, index, lines }) =>
    lines.map((line, i) => {
      const number = index === undefined ? '' : ` ${index + i}`;
      return `${op === 'added' ? '+' : '-'} ${name} ${aspect}${number}: ${line}`;
    }),
  );
}

const rules = (text: string): Readonly<Record<string, string>> => ({ 'work.rules': text });

describe('a rollback', () => {
  it('of everything brings lists and policies back, and removes what was not there', async () => {
    const { publisher, control } = await house();
    const first = await release(publisher, { 'a.txt': '192.0.2.1\n', 'x.rules': 'drop dst=@a\naccept\n' });
    await release(publisher, { 'a.txt': '192.0.2.2\n', 'b.txt': '192.0.2.3\n' });
    const { end } = await rollback(control, 1);
    expect(end).toMatchObject({ kind: 'done', code: 'released', text: 'released version 3' });
    expect(publisher.head?.manifest).toMatchObject({ version: 3, previousVersion: 2 });
    expect(publisher.head?.manifest.catalogue).toEqual(first.manifest.catalogue);
  });

  it('to what the head says makes no version, and a dry run none either', async () => {
    const { publisher, control } = await house();
    await release(publisher, { 'a.txt': '192.0.2.1\n' });
    await release(publisher, { 'a.txt': '192.0.2.2\n' });
    expect((await rollback(control, 2)).end).toMatchObject({ kind: 'done', code: 'unchanged' });
    const dry = await rollback(control, 1, { dryRun: true });
    expect(dry.end).toMatchObject({ kind: 'done', code: 'planned' });
    expect(recordsOf(dry, 'change')).toMatchObject([{ op: 'change', name: 'a', added: 1, removed: 1 }]);
    expect(publisher.head?.manifest.version).toBe(2);
  });

  it('of a list leaves all else, and removes the list where it was not there', async () => {
    const { publisher, control } = await house();
    await release(publisher, { 'a.txt': '192.0.2.1\n' });
    await release(publisher, { 'b.txt': '192.0.2.3\n' });
    await release(publisher, { 'a.txt': '192.0.2.2\n', 'b.txt': '192.0.2.4\n' });
    await rollback(control, 1, { list: 'a' });
    expect(publisher.head?.ruleSet.lists.get('a')).toMatchObject(prefixes('192.0.2.1'));
    expect(publisher.head?.ruleSet.lists.get('b')).toMatchObject(prefixes('192.0.2.4'));
    await rollback(control, 1, { list: 'b' });
    expect([...(publisher.head?.ruleSet.lists.keys() ?? [])]).toEqual(['a']);
  });

  it('of a list that a rule needs to a time before it was there is refused', async () => {
    const { publisher, control } = await house();
    await release(publisher, { 'a.txt': '192.0.2.1\n' });
    await release(publisher, { 'b.txt': '192.0.2.1\n', 'x.rules': 'drop dst=@b\n' });
    const { end } = await rollback(control, 1, { list: 'b' });
    expect(end).toMatchObject({ kind: 'fail', code: 'guard-refused' });
    expect(publisher.head?.manifest.version).toBe(2);
  });

  it('that guards refuse is taken by the very code, as of a push, or by the field of 0.2', async () => {
    const { publisher, control } = await house();
    const others = [...ALL_PERMITS].filter((code) => code !== 'empty');
    await release(publisher, { 'a.txt': '' });
    await release(publisher, { 'a.txt': '192.0.2.1\n' });
    for (const permit of [{}, { '+permit': others }, { '+permit': ['flapping'], allowShrink: true }]) {
      const answer = await rollback(control, 1, permit);
      expect(recordsOf(answer, 'refusal')).toMatchObject([{ guard: 'empty', permit: 'empty' }]);
      expect(answer.end).toMatchObject({ kind: 'fail', code: 'guard-refused' });
    }
    for (const permit of [{ '+permit': ['empty', 'empty'] }, { '+permit': ['grown'], allowEmpty: true }])
      expect((await rollback(control, 1, { ...permit, dryRun: true })).end).toMatchObject({
        code: 'planned',
      });
  });

  it('asks for no name, and takes what the head has for it, else what the release had', async () => {
    let answer = '192.0.2.1';
    const asked: string[] = [];
    const { publisher, control } = await house({
      resolve: (name) => {
        asked.push(name);
        return Promise.resolve({ ...prefixes(answer), ttlMs: 3_600_000 });
      },
    });
    await release(publisher, rules('drop dsthost=a.example\n'));
    await release(publisher, rules('drop dsthost=a.example\ndrop dsthost=b.example\n'));
    expect(asked).toEqual(['a.example', 'b.example']);
    answer = '192.0.2.2';
    await release(publisher, rules('drop dsthost=b.example\n'));
    await rollback(control, 1);
    expect(publisher.head?.ruleSet.resolutions).toEqual(new Map([['a.example', prefixes('192.0.2.1')]]));
    expect(asked).toHaveLength(2);
    await publisher.refreshNames(); // which is due at once
    expect(publisher.head?.ruleSet.resolutions).toEqual(new Map([['a.example', prefixes('192.0.2.2')]]));
  });

  it('is refused for other heads, parts that never were, and versions that never were', async () => {
    const { publisher, control } = await house();
    expect((await rollback(control, 1)).end).toEqual({
      kind: 'fail',
      code: 'unknown-release',
      text: 'there is no version 1: nothing was released yet',
    });
    await release(publisher, { 'a.txt': '192.0.2.1\n' });
    expect((await rollback(control, 1, { ifVersion: 3 })).end).toMatchObject({
      code: 'version-moved',
      version: 1,
    });
    expect((await rollback(control, 1, { policy: 'b' })).end).toMatchObject({
      code: 'no-such-part',
      part: 'policy b',
    });
    expect((await rollback(control, 0)).end).toMatchObject({ code: 'unknown-release', version: 1 });
    expect((await rollback(control, 2)).end).toMatchObject({
      code: 'unknown-release',
      text: 'there is no version 2 yet: the newest is 1',
    });
  });

  it('beyond the archive names the oldest version kept', async () => {
    const { publisher, control } = await house({ chainBytes: 0, historyReleases: 2 });
    for (const i of [1, 2, 3, 4]) await release(publisher, { 'a.txt': `192.0.2.${i}\n` });
    expect((await rollback(control, 2)).end).toMatchObject({
      kind: 'fail',
      code: 'unknown-release',
      version: 3,
      text: 'version 2 is not kept any more: the oldest that is kept is 3',
    });
    expect((await rollback(control, 3)).end).toMatchObject({ kind: 'done', code: 'released' });
  });
});

describe('a history', () => {
  it('has each release with its cause and counts, the newest first, and no more than asked for', async () => {
    const { publisher, control } = await house();
    expect((await ask(control, { kind: 'history', most: 9 })).records).toEqual([]);
    await release(publisher, { 'a.txt': '192.0.2.1\n192.0.2.3\n', 'x.rules': 'drop dst=@a\n' });
    await release(publisher, { 'a.txt': '192.0.2.1\n' });
    await rollback(control, 1, { list: 'a' });
    await publisher.proved({ epoch: 4, version: 9, hash: new Uint8Array(32) }, 'firewall');
    await rollback(control, 3, { asNewEpoch: true });
    const answer = await ask(control, { kind: 'history', most: 9 });
    const shown = recordsOf(answer, 'history').map((record) => ({
      at: `${record.epoch}/${record.version}`,
      what: `${record.cause}: ${record.detail}`,
      changed: record.changedParts.join(),
      counts: [record.added, record.removed, record.entries, record.rules, record.parts],
    }));
    expect(shown).toEqual([
      { at: '5/4', what: 'rollback: to version 3', changed: '', counts: [0, 0, 2, 1, 2] },
      {
        at: '1/3',
        what: 'rollback: to version 1, list a only',
        changed: 'list a',
        counts: [1, 0, 2, 1, 2],
      },
      { at: '1/2', what: 'push: a.txt', changed: 'list a', counts: [0, 1, 1, 1, 2] },
      {
        at: '1/1',
        what: 'push: a.txt, x.rules',
        changed: 'list a,policy default',
        counts: [3, 0, 2, 1, 2],
      },
    ]);
    const two = await ask(control, { kind: 'history', most: 2 });
    expect(recordsOf(two, 'history')).toEqual(recordsOf(answer, 'history').slice(0, 2));
  });

  it('of a part is of the releases that changed it, also where that was not the first part of many', async () => {
    const { publisher, control } = await house();
    const files = Array.from({ length: 40 }, (_, i) => [`list-${i}.txt`, '192.0.2.1\n'] as const);
    await release(publisher, Object.fromEntries(files)); // 1
    await release(publisher, { 'list-9.txt': '192.0.2.2\n' });
    await release(publisher, { 'list-8.txt': 'a.example\n', 'default.rules': 'drop dst=@list-1\n' });
    await release(publisher, { 'list-8.txt': 'b.example\n' }); // 4
    const versions = async (more: Partial<MessageOf<'history'>>): Promise<readonly number[]> => {
      const answer = await ask(control, { kind: 'history', most: 9, ...more });
      return recordsOf(answer, 'history').map(({ version }) => version);
    };
    expect(await versions({ list: 'list-9' })).toEqual([2, 1]);
    expect(await versions({ list: 'list-8' })).toEqual([4, 3, 1]);
    expect(await versions({ list: 'list-8', most: 2 })).toEqual([4, 3]);
    expect(await versions({ policy: 'default' })).toEqual([3]);
    expect(await versions({ list: 'list-77' })).toEqual([]);
  });

  it('leaves turns to others, also of releases that it does not tell', async () => {
    let given = 0;
    const turn = (): Promise<void> => {
      given++;
      return new Promise(setImmediate);
    };
    const { publisher, control } = await house({ turn });
    for (let i = 1; i < 20; i++) await release(publisher, { 'a.txt': `192.0.2.${i}\n` });
    const before = given;
    expect((await ask(control, { kind: 'history', most: 9, list: 'none' })).records).toEqual([]);
    expect(given - before).toBeGreaterThanOrEqual(19);
  });

  it('has what somebody said of a release, and no byte that is signed has it', async () => {
    const { publisher, control } = await house();
    const [message, other] = ['printer in room 4: ä', 'x'.repeat(200)];
    const { manifestBytes } = await release(publisher, { 'a.txt': '192.0.2.1\n' }, {}, { message });
    await release(publisher, { 'a.txt': '192.0.2.2\n' });
    await rollback(control, 1, { message: other });
    const messages = async (capabilities: readonly string[]) => {
      const rulectl = await ScriptedRulectl.connect(control);
      await rulectl.send({ kind: 'greet', protocolMin: 2, protocolMax: 2, capabilities });
      await rulectl.connection.receive();
      await rulectl.send({ kind: 'history', most: 9 });
      return recordsOf(await rulectl.answer(), 'history').map((record) => record.message);
    };
    expect(await messages(['requests'])).toEqual([other, undefined, message]);
    expect(await messages([])).toEqual([undefined, undefined, undefined]); // it would not know the field
    for (const bytes of [manifestBytes, publisher.head?.manifestBytes ?? message])
      for (const said of [message, other]) expect(Buffer.from(bytes).includes(said)).toBe(false);
  });

  it('since a time has what was released at that millisecond and later', async () => {
    let now = 1_000_000;
    const { publisher, control } = await house({ nowMs: () => now });
    for (const i of [1, 2, 3]) {
      await release(publisher, { 'a.txt': `192.0.2.${i}\n` });
      now += 1000;
    }
    const answer = await ask(control, { kind: 'history', most: 9, sinceMs: 1_001_000 });
    expect(recordsOf(answer, 'history').map(({ version }) => version)).toEqual([3, 2]);
  });

  it('of a release that changes many parts names the first, and says how many', async () => {
    const { publisher, control } = await house();
    const files = Array.from({ length: 40 }, (_, i) => [`list-${i}.txt`, '192.0.2.1\n'] as const);
    await release(publisher, Object.fromEntries(files));
    const [record] = recordsOf(await ask(control, { kind: 'history', most: 1 }), 'history');
    expect(record?.changedParts).toHaveLength(16);
    expect(record).toMatchObject({ changedCount: 40, added: 40 });
    expect(record?.detail.length).toBeGreaterThan(400);
  });
});

describe('a difference', () => {
  it('from version 0 is all that a release has, and that is no version to go back to', async () => {
    const { publisher, control } = await house();
    await release(publisher, { 'a.txt': '192.0.2.1\n', 'work.rules': 'accept\n' });
    await release(publisher, { 'a.txt': '192.0.2.2\n' });
    expect(linesOf(await diff(control, 0, { to: 1, list: 'a' }))).toEqual(['+ a entries: 192.0.2.1/32']);
    expect(linesOf(await diff(control, 0, { list: 'a' }))).toEqual(['+ a entries: 192.0.2.2/32']);
    expect(linesOf(await diff(control, 0, { policy: 'default' }))).toContain(
      '+ default egress 0: action=accept',
    );
    expect(linesOf(await diff(control, 1, { to: 0, list: 'a' }))).toEqual(['- a entries: 192.0.2.1/32']);
    expect((await rollback(control, 0)).end).toMatchObject({ kind: 'fail', code: 'unknown-release' });
  });

  // It was cut, so a copy of a release was not whole.
  it('folds a rule whose comment is too long for a record', async () => {
    const { publisher, control } = await house();
    const rule = `action=drop comment=${'x'.repeat(4096)}`;
    await release(publisher, rules(`action=accept dst4=192.0.2.1/32\n${rule}\naction=accept\n`));
    const edits = recordsOf(await diff(control, 0), 'edit').filter(({ aspect }) => aspect === 'egress');
    expect(edits.map(({ index }) => index)).toEqual([0, 2]);
    const lines = edits.flatMap((edit) => edit.lines);
    expect(Math.max(...lines.map((line) => line.length))).toBe(1536);
    expect(lines.join('\n').replaceAll('\n ', '').split('\n')).toEqual([
      'action=accept dst4=192.0.2.1/32',
      rule,
      'action=accept',
    ]);
  });

  it('tells entries of both families, removed before added', async () => {
    const { publisher, control } = await house();
    await release(publisher, { 'a.txt': '10.0.0.0/8\n192.0.2.1\n2001:db8::1\n2001:db8::2\n' });
    await release(publisher, { 'a.txt': '192.0.2.1\n198.51.100.0/24\n2001:db8::2\n2001:db8:1::/48\n' });
    const answer = await diff(control, 1, { to: 2 });
    expect(answer.end).toMatchObject({ kind: 'done', code: 'different' });
    expect(recordsOf(answer, 'change')).toMatchObject([{ name: 'a', added: 2, removed: 2, unchanged: 2 }]);
    expect(linesOf(answer)).toEqual([
      '- a entries: 10.0.0.0/8',
      '- a entries: 2001:db8::1/128',
      '+ a entries: 198.51.100.0/24',
      '+ a entries: 2001:db8:1::/48',
    ]);
    const back = linesOf(await diff(control, 2, { to: 1 }));
    const turned = linesOf(answer).map((line) => (line.startsWith('+') ? '-' : '+') + line.slice(1));
    expect([...back].sort()).toEqual([...turned].sort());
  });

  it('tells rules with their numbers, default action, prefixes, names and addresses', async () => {
    let address = '192.0.2.8';
    const { publisher, control } = await house({ resolve: async () => prefixes(address) });
    const document = (text: string): Readonly<Record<string, string>> => ({ 'x.yaml': text });
    await release(
      publisher,
      document(`lists:
  hosts: { names: [a.example, b.example], resolve: true }
policies:
  work:
    prefixes: [10.137.0.5, 10.137.0.6]
    exceptions: { egress: [accept dst4=198.51.100.1] }
    egress: [accept dsthost=a.example, accept dst4=192.0.2.1, drop dst=@hosts, accept dst4=192.0.2.2]
    ingress: [accept src4=192.0.2.3]
unmatched: accept
`),
    );
    address = '192.0.2.9';
    await release(
      publisher,
      document(`lists:
  hosts: { names: [a.example, c.example], resolve: true }
policies:
  work:
    prefixes: [10.137.0.5, 10.137.0.7]
    default: accept
    blocked: refused
    exceptions: { egress: [accept dst4=198.51.100.2], ingress: [accept src4=198.51.100.3] }
    egress: [accept dst4=192.0.2.1, accept dst4=192.0.2.7, drop dst=@hosts, accept dst4=192.0.2.2]
    ingress: [accept src4=192.0.2.3, drop]
unmatched: drop
`),
    );
    expect(linesOf(await diff(control, 1))).toEqual([
      '- hosts entries: b.example',
      '+ hosts entries: c.example',
      '- work default: drop',
      '+ work default: accept',
      '+ work default: blocked: refused',
      '- work prefixes: 10.137.0.6/32',
      '+ work prefixes: 10.137.0.7/32',
      '- work egress-exceptions 0: action=accept dst4=198.51.100.1/32',
      '+ work egress-exceptions 0: action=accept dst4=198.51.100.2/32',
      '+ work ingress-exceptions 0: action=accept src4=198.51.100.3/32',
      '- work egress 0: action=accept dsthost=a.example',
      '+ work egress 1: action=accept dst4=192.0.2.7/32',
      '+ work ingress 1: action=drop',
      '-  addresses: a.example 192.0.2.8/32',
      '+  addresses: a.example 192.0.2.9/32',
      '-  addresses: b.example 192.0.2.8/32',
      '+  addresses: c.example 192.0.2.9/32',
      '-  unmatched: accept',
      '+  unmatched: drop',
    ]);
  });

  it('tells a list that becomes one of names, and parts that come and go whole', async () => {
    const { publisher, control } = await house();
    await release(publisher, { 'a.txt': '192.0.2.1\n', 'x.rules': 'drop dst4=192.0.2.1\n' });
    const next = { 'a.txt': 'a.example\n', 'u.yaml': 'unmatched: drop\n' };
    await release(publisher, next, { replaceAll: true });
    const answer = await diff(control, 1);
    expect(recordsOf(answer, 'change').map(({ op, kind, name }) => `${op} ${kind} ${name}`)).toEqual([
      'remove list a',
      'add names a',
      'remove policy default',
      'add unmatched ',
    ]);
    expect(linesOf(answer)).toEqual([
      '- a entries: 192.0.2.1/32',
      '+ a entries: a.example',
      '- default default: drop',
      '- default egress 0: action=drop dst4=192.0.2.1/32',
      '+  unmatched: drop',
    ]);
  });

  it('of the same, or of one part that is the same, is none', async () => {
    const { publisher, control } = await house();
    await release(publisher, { 'a.txt': '192.0.2.1\n', 'b.txt': '192.0.2.1\n' });
    await release(publisher, { 'b.txt': '192.0.2.2\n' });
    for (const more of [{ to: 1 }, { list: 'a' }]) {
      expect(await diff(control, 1, more)).toMatchObject({ records: [], end: { code: 'same' } });
    }
    const stats = await diff(control, 1, { stats: true });
    expect(stats.records).toMatchObject([{ record: 'change', name: 'b', added: 1, removed: 1 }]);
  });

  it('of what neither has is refused', async () => {
    const { publisher, control } = await house();
    expect((await diff(control, 1)).end).toMatchObject({ kind: 'fail', code: 'unknown-release' });
    await release(publisher, { 'a.txt': '192.0.2.1\n' });
    expect((await diff(control, 1, { list: 'b' })).end).toMatchObject({ code: 'no-such-part' });
    expect((await diff(control, 1, { to: 2 })).end).toMatchObject({ code: 'unknown-release', version: 1 });
  });

  it('of 100,000 entries and of the longest rules comes in records that fit, each line once', async () => {
    const { publisher, control } = await house();
    const hosts = randomHosts(seededNumbers(3), 100_000);
    const text = Array.from(
      hosts.v4.words,
      (word) => `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`,
    );
    const long = Array.from({ length: 20 }, (_, i) => `drop dst4=10.0.${i}.0/24 comment=${'ä'.repeat(900)}`);
    await release(publisher, { 'a.txt': '10.0.0.1\n' });
    await release(publisher, {
      'a.txt': text.join('\n'),
      'x.rules': long.join('\n').replaceAll('ä', 'a'.repeat(4)),
    });
    const answer = await diff(control, 1);
    const edits = recordsOf(answer, 'edit');
    const added = edits.filter(({ name, op }) => name === 'a' && op === 'added');
    expect(added.flatMap(({ lines }) => lines)).toEqual(text.map((address) => `${address}/32`));
    expect(Math.max(...edits.map(({ lines }) => lines.length))).toBeLessThanOrEqual(256);
    const ruleEdits = edits.filter(({ aspect }) => aspect === 'egress');
    const ruleLines = ruleEdits.flatMap(({ lines }) => lines);
    for (const line of ruleLines) expect(line.length).toBeLessThanOrEqual(1536);
    const whole = ruleLines.join('\n').replaceAll('\n ', '').split('\n');
    expect(whole).toEqual(long.map((line) => `action=${line.replaceAll('ä', 'a'.repeat(4))}`));
  });
});

describe('what files would change', () => {
  type Compare = NonNullable<MessageOf<'push'>['compare']>;
  const compare = (
    control: Endpoint,
    files: Readonly<Record<string, string>>,
    { stats = false, ...some }: Partial<Compare> = {},
    push: Partial<MessageOf<'push'>> = {},
  ): Promise<Answer> =>
    ScriptedRulectl.push(control, files, { dryRun: true, compare: { stats, ...some }, ...push });
  const FIRST = { 'a.txt': '192.0.2.1\n192.0.2.2\n', 'b.txt': '192.0.2.3\n', 'x.rules': 'drop dst=@a\n' };

  it('is, line by line, what the release of them changes then, and releases nothing', async () => {
    const { publisher, control } = await house();
    await release(publisher, FIRST);
    for (const [files, push] of [
      [{ 'a.txt': '192.0.2.2\n', 'x.rules': 'drop dst=@a\naccept\n' }, {}],
      [{ 'c.txt': '192.0.2.9\n', 'x.rules': 'drop dst=@c\n' }, { replaceAll: true }],
      [{ 'c.txt': '198.51.100.0/24\n' }, { action: 'merge' }],
    ] as const) {
      const { version = 0 } = publisher.head?.manifest ?? {};
      const answer = await compare(control, files, {}, push);
      expect(answer.end).toMatchObject({ kind: 'done', code: 'different' });
      expect(publisher.head?.manifest.version).toBe(version);
      await release(publisher, files, push);
      const made = await diff(control, version);
      expect(linesOf(answer).length).toBeGreaterThan(0);
      expect(answer.records).toEqual(made.records);
    }
  });

  it('is none where they say what is released', async () => {
    const { publisher, control } = await house();
    await release(publisher, FIRST);
    expect(await compare(control, FIRST)).toMatchObject({ records: [], end: { code: 'same' } });
  });

  it('is told from another version, from nothing, and of one part', async () => {
    const { publisher, control } = await house();
    await release(publisher, FIRST);
    await release(publisher, { 'b.txt': '192.0.2.4\n' });
    const files = { 'a.txt': '192.0.2.2\n' };
    const of = async (some: Partial<Compare>) => linesOf(await compare(control, files, some));
    expect(await of({})).toEqual(['- a entries: 192.0.2.1/32']);
    expect(await of({ from: 1 })).toEqual([
      '- a entries: 192.0.2.1/32',
      '- b entries: 192.0.2.3/32',
      '+ b entries: 192.0.2.4/32',
    ]);
    expect(await of({ from: 1, list: 'a' })).toEqual(['- a entries: 192.0.2.1/32']);
    expect(await of({ from: 0, list: 'b' })).toEqual(['+ b entries: 192.0.2.4/32']);
    expect(await of({ list: 'b' })).toEqual([]);
    expect(await of({ stats: true })).toEqual([]);
    expect((await compare(control, files, { from: 9 })).end).toMatchObject({ code: 'unknown-release' });
    expect((await compare(control, files, { policy: 'defualt' })).end).toMatchObject({
      code: 'no-such-part',
      text: expect.stringContaining('did you mean default'),
    });
  });

  it('is told whatever guards would say, but not of what is refused as a whole', async () => {
    const { publisher, control } = await house();
    await release(publisher, FIRST);
    expect((await ScriptedRulectl.push(control, { 'a.txt': '' }, { dryRun: true })).end).toMatchObject({
      code: 'guard-refused',
    });
    expect(linesOf(await compare(control, { 'a.txt': '' }))).toHaveLength(2);
    const rejected = await compare(control, { 'a.txt': '192.0.2.1\nnobody knows\n' });
    expect(rejected).toMatchObject({ records: [{ record: 'reject', line: 2 }], end: { code: 'bad-input' } });
    expect((await compare(control, { 'x.rules': 'drop dst=@nobody\n' })).end).toMatchObject({
      kind: 'fail',
      code: 'guard-refused',
      file: 'x.rules',
      line: 1,
    });
  });

  it('is no release: without dryRun it is no message', async () => {
    const { control } = await house();
    await expect(compare(control, FIRST, {}, { dryRun: false })).rejects.toThrow('compare goes with dryRun');
  });
});

describe('a reader that stops reading', () => {
  it('does not keep its place: it is sent away after a minute', async () => {
    const clock = new FakeClock();
    const { publisher, control } = await house({ clock });
    const text = Array.from({ length: 20_000 }, (_, i) => `10.${i >> 8}.${i & 255}.1`).join('\n');
    await release(publisher, { 'a.txt': '10.0.0.1\n' });
    await release(publisher, { 'a.txt': text });
    const stuck = await ScriptedRulectl.connect(control);
    await stuck.send({ kind: 'diff', from: 1, stats: false });
    while (stuck.channel.dataReady() <= 60_000) await new Promise(setImmediate);
    expect(stuck.channel.state).toBe('connected');
    await turns();
    clock.advance(61_000);
    await turns();
    expect(stuck.channel.state).toBe('disconnected');
  });
});
