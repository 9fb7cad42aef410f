/** LISTS, LIST and REFRESH, and what sources and pushes do to each other, in one process with real files. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseConfig } from '@rulecast/formats';
import type { Message } from '@rulecast/protocol';
import { nameTexts } from '@rulecast/rules';
import { Sources } from '@rulecast/sources';
import { type Endpoint, parseEndpoint } from '@rulecast/vchan';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { serve } from '../../sources/test/http-server.ts';
import { SourcesLink } from '../src/daemon/sources-link.ts';
import { permitCodes } from '../src/guards/permits.ts';
import type { Publisher } from '../src/release/publisher.ts';
import { serveControl } from '../src/requests/serve.ts';
import { AuditLog } from '../src/store/audit-log.ts';
import { degraded, freshPublisher, place, release } from './fresh-publisher.ts';
import { type Answer, recordsOf, ScriptedRulectl } from './scripted-rulectl.ts';

interface House {
  readonly publisher: Publisher;
  readonly control: Endpoint;
  readonly sources: SourcesLink | undefined;
  readonly directory: string;
  readonly configFile: string;
}

let houses = 0;

/** A publisher that serves rulectl in this process, with sources if a configuration is given. */
async function house(config?: string, files: Readonly<Record<string, string>> = {}): Promise<House> {
  const directory = temporaryDirectory();
  for (const [name, text] of Object.entries(files)) place(join(directory, name), text);
  const publisher = freshPublisher({ stateDirectory: join(directory, 'state') });
  const configFile = join(directory, 'publisher.yaml');
  const sources =
    config === undefined ? undefined : await sourcesOf(publisher, configFile, config, directory);
  houses += 1;
  const control = parseEndpoint(`memory:lists-${houses}`);
  const nobody = (): Promise<never> => Promise.reject(new Error('nobody is asked'));
  const served = await serveControl(publisher, [control], nobody, { sources });
  onTestFinished(() => served.close());
  return { publisher, control, sources, directory, configFile };
}

async function sourcesOf(
  publisher: Publisher,
  configFile: string,
  text: string,
  directory: string,
): Promise<SourcesLink> {
  writeFileSync(configFile, text);
  const { config, rejects } = parseConfig(configFile, Buffer.from(text));
  if (config === undefined) throw new Error(JSON.stringify(rejects));
  const released = new Promise((resolve) => publisher.once('release', resolve));
  const sources = new SourcesLink({
    publisher,
    config,
    configFile,
    stateDirectory: join(directory, 'state'),
    audit: new AuditLog({
      stateDirectory: join(directory, 'state'),
      logger: publisher.logger,
      nowMs: publisher.nowMs,
    }),
  });
  onTestFinished(() => sources.close());
  await sources.start();
  await released;
  return sources;
}

async function ask(control: Endpoint, request: Message): Promise<Answer> {
  const rulectl = await ScriptedRulectl.connect(control);
  await rulectl.send(request);
  return rulectl.answer();
}

const refresh = (lists: readonly string[]): Message => ({
  kind: 'refresh',
  lists,
  allowShrink: false,
  force: false,
});

describe('without sources', () => {
  it('LISTS tells what was pushed, by name', async () => {
    const { publisher, control } = await house();
    await release(publisher, { 'b.txt': '192.0.2.1\n', 'a.txt': 'a.example\nb.example\n' });
    const answer = await ask(control, { kind: 'lists', sourcesOnly: false });
    expect(recordsOf(answer, 'list')).toMatchObject([
      { name: 'a', source: 'push', holds: 'names', count: 2, state: 'ok', published: true },
      { name: 'b', source: 'push', holds: 'prefixes', count: 1 },
    ]);
    expect(answer.end).toMatchObject({ kind: 'done', code: 'ok' });
    expect((await ask(control, { kind: 'lists', sourcesOnly: true })).records).toEqual([]);
  });

  it('LIST tells all entries, however many, in records that fit', async () => {
    const { publisher, control } = await house();
    const v4 = Array.from({ length: 3000 }, (_, i) => `198.18.${i >> 7}.${(i & 127) * 2}/32`);
    const v6 = Array.from(
      { length: 3000 },
      (_, i) => `2001:db8:ffff:ffff:ffff:ffff:${(i + 16).toString(16)}:1/128`,
    );
    await release(publisher, { 'a.txt': [...v4, ...v6].join('\n') });
    const answer = await ask(control, { kind: 'list', name: 'a', content: true });
    expect(recordsOf(answer, 'entries').flatMap(({ lines }) => lines)).toEqual([...v4, ...v6]);
    expect(answer.records).toHaveLength(1 + recordsOf(answer, 'entries').length);
    expect((await ask(control, { kind: 'list', name: 'a', content: false })).records).toHaveLength(1);
  });

  it('LIST tells the longest names', async () => {
    const { publisher, control } = await house();
    const label = 'x'.repeat(61);
    const names = Array.from({ length: 40 }, (_, i) => `${label}${i + 10}.${label}aa.${label}aa.${label}`);
    expect(names[0]).toHaveLength(253);
    await release(publisher, { 'a.txt': names.join('\n') });
    const answer = await ask(control, { kind: 'list', name: 'a', content: true });
    expect(recordsOf(answer, 'entries').flatMap(({ lines }) => lines)).toEqual(names);
  });

  it('what is not there, and what nobody keeps, fails with its code', async () => {
    const { control } = await house();
    const list: Message = { kind: 'list', name: 'a', content: false };
    expect((await ask(control, list)).end).toMatchObject({
      kind: 'fail',
      code: 'no-such-part',
      part: 'list a',
    });
    expect((await ask(control, refresh([]))).end).toMatchObject({ kind: 'fail', code: 'not-ready' });
  });
});

describe('with sources', () => {
  const CONFIG = `lists:
  a: { file: a.txt }
  b: { entries: [192.0.2.9], publish: false }
  c: { union: [a, b] }`;

  it('LISTS tells them in the order of the configuration, then the pushed', async () => {
    const { publisher, control } = await house(CONFIG, { 'a.txt': '192.0.2.1\n' });
    await release(publisher, { '0.txt': '192.0.2.3\n' });
    const answer = await ask(control, { kind: 'lists', sourcesOnly: false });
    expect(
      recordsOf(answer, 'list').map(({ name, source, count, published }) => [name, source, count, published]),
    ).toEqual([
      ['a', 'file', 1, true],
      ['b', 'entries', 1, false],
      ['c', 'expression', 2, true],
      ['0', 'push', 1, true],
    ]);
    expect(recordsOf(answer, 'list')[2]).toMatchObject({ origin: 'union of a, b', added: 2, removed: 0 });
    expect(recordsOf(await ask(control, { kind: 'lists', sourcesOnly: true }), 'list')).toHaveLength(3);
  });

  it('LIST tells the content of a list that no release carries', async () => {
    const { control } = await house(CONFIG, { 'a.txt': '192.0.2.1\n' });
    const answer = await ask(control, { kind: 'list', name: 'b', content: true });
    expect(recordsOf(answer, 'entries')).toEqual([{ record: 'entries', lines: ['192.0.2.9/32'] }]);
  });

  it('REFRESH reads now, releases once, and names what is not as its source says', async () => {
    const { publisher, sources, control, directory } = await house(CONFIG, { 'a.txt': '192.0.2.1\n' });
    const file = join(directory, 'a.txt');
    place(file, '192.0.2.1\n192.0.2.5\n');
    const taken = await ask(control, refresh(['c']));
    expect(taken.end).toMatchObject({ kind: 'done', code: 'refreshed' });
    expect(recordsOf(taken, 'list')).toMatchObject([{ name: 'c', count: 3, added: 1 }]);
    expect(publisher.head?.manifest.version).toBe(2);
    place(file, '<html>\n');
    const failing = await ask(control, refresh([]));
    expect(failing.end).toMatchObject({
      kind: 'done',
      code: 'failing',
      text: expect.stringContaining('1 of 3'),
    });
    expect(recordsOf(failing, 'list')[0]).toMatchObject({
      state: 'failing',
      count: 2,
      error: { code: 'unusable' },
    });
    expect((await ask(control, refresh(['zz']))).end).toMatchObject({
      code: 'no-such-part',
      part: 'list zz',
    });
    expect(degraded(publisher, sources)[0]).toContain('list a is not fresh');
  });

  it('a list that stands still is told of as that, by LISTS and the status, and fails nothing', async () => {
    const { publisher, control, sources } = await house(CONFIG, { 'a.txt': '192.0.2.1\n' });
    const standstill = { code: 'unchanged', reason: 'unchanged for 10 intervals: its source …', atMs: 5.5 };
    const { status } = Sources.prototype;
    vi.spyOn(Sources.prototype, 'status').mockImplementation(function (this: Sources) {
      return status.call(this).map((one) => (one.name === 'a' ? { ...one, standstill } : one));
    });
    onTestFinished(() => void vi.restoreAllMocks());
    const [a, b] = recordsOf(await ask(control, { kind: 'lists', sourcesOnly: true }), 'list');
    expect(a).toMatchObject({ state: 'ok', error: { code: 'unchanged', text: standstill.reason, atMs: 6 } });
    expect(b?.error).toBeUndefined();
    expect(degraded(publisher, sources)).toEqual([`list a is ${standstill.reason}`]);
    expect((await ask(control, refresh([]))).end).toMatchObject({ kind: 'done', code: 'refreshed' });
  });

  it('a configuration that needs a restart for some keys says for which, and takes up the rest', async () => {
    const { publisher, sources, configFile } = await house(CONFIG, { 'a.txt': '192.0.2.1\n' });
    const released = new Promise((resolve) => publisher.once('release', resolve));
    writeFileSync(
      configFile,
      `name: other\ndns: { max-age: 2h, servers: 192.0.2.53 }\nlimits: { fetches: 2 }\n${CONFIG}\n  d: { entries: [192.0.2.8] }`,
    );
    await sources?.reload(configFile);
    await released;
    expect(publisher.head?.ruleSet.lists.has('d')).toBe(true);
    expect(degraded(publisher, sources)).toEqual([
      'restart the publisher for name, dns, limits: fetches: the configuration changed',
    ]);
    writeFileSync(configFile, `listen: [\n${CONFIG}`);
    await sources?.reload(configFile);
    expect(degraded(publisher, sources)[0]).toMatch(
      /^the configuration is refused and the one before is in force: line \d+, column \d+: /,
    );
    writeFileSync(configFile, CONFIG);
    await sources?.reload(configFile);
    expect(degraded(publisher, sources)).toEqual([]);
  });

  // An empty file, as half-written ones are, took all lists out of the release that no rule used.
  it.each([
    ['an empty configuration', ''],
    ['one that ends before its lists', 'name: rulecast-mgmt\n'],
  ])('%s is refused, and drops no list; one that says lists: {} drops them', async (_, text) => {
    const { publisher, sources, configFile } = await house(CONFIG, { 'a.txt': '192.0.2.1\n' });
    const before = [...(publisher.head?.ruleSet.lists.keys() ?? [])];
    expect(before).toContain('a');
    writeFileSync(configFile, text);
    await sources?.reload(configFile);
    expect([...(publisher.head?.ruleSet.lists.keys() ?? [])]).toEqual(before);
    expect(degraded(publisher, sources)[0]).toMatch(
      /^the configuration is refused and the one before is in force: it has no lists: key; write lists: {} to drop all \d$/,
    );
    const released = new Promise((resolve) => publisher.once('release', resolve));
    writeFileSync(configFile, `${text}lists: {}\n`);
    await sources?.reload(configFile);
    await released;
    expect(publisher.head?.ruleSet.lists.has('a')).toBe(false);
  });

  it('what is downloaded is counted: what a server sends, and each time that it answers', async () => {
    const server = await serve({
      '/a': ({ headers }, response) => {
        const isKnown = headers['if-none-match'] === '"1"';
        response.writeHead(isKnown ? 304 : 200, { etag: '"1"', 'content-length': isKnown ? 0 : 10 });
        response.end(isKnown ? undefined : '192.0.2.1\n');
      },
    });
    const { publisher, sources } = await house(`lists: { a: { url: "${server.url}/a" } }\n`);
    const counted = () =>
      publisher.tally.rows().flatMap(({ family, value }) => (/^fetch-[bc]/.test(family) ? [value] : []));
    expect(counted()).toEqual([10, 1]);
    await sources?.refresh(['a'], { codes: new Set(), needed: new Set(), by: undefined });
    expect([server.requests.length, ...counted()]).toEqual([2, 10, 2]);
  });

  it('a rollback holds until the source changes', async () => {
    const { publisher, control, directory } = await house(CONFIG, { 'a.txt': '192.0.2.1\n' });
    const file = join(directory, 'a.txt');
    const replace = (text: string): void => place(file, text);
    replace('192.0.2.1\n192.0.2.5\n');
    await ask(control, refresh([]));
    await publisher.rollback(1, {});
    await ask(control, refresh([]));
    expect(publisher.head?.manifest.version).toBe(3);
    expect(publisher.head?.ruleSet.lists.get('a')?.kind).toBe('prefixes');
    replace('192.0.2.1\n192.0.2.7\n');
    await ask(control, refresh([]));
    expect(publisher.head?.manifest.version).toBe(4);
    const content = await ask(control, { kind: 'list', name: 'a', content: true });
    expect(recordsOf(content, 'entries')[0]?.lines).toEqual(['192.0.2.1/32', '192.0.2.7/32']);
  });

  it('a list that is taken out of force behind its back comes back', async () => {
    const { publisher } = await house(CONFIG, { 'a.txt': '192.0.2.1\n' });
    const again = new Promise<void>((resolve) => {
      publisher.on('release', ({ manifest }) => {
        if (manifest.version === 3) resolve();
      });
    });
    await publisher.updateLists(new Map([['a', undefined]])); // as a rollback to a time before it does
    expect(publisher.head?.ruleSet.lists.has('a')).toBe(false);
    await again;
    expect(publisher.head?.ruleSet.lists.has('a')).toBe(true);
  });
});

describe('entries that stand for more than they did', () => {
  const WIDER = `lists:
  cdn: { file: cdn.txt, resolve: firewall }
  ads: { file: ads.txt, resolve: firewall }
`;
  const RULES = 'policies: { default: { egress: [accept dst=@cdn proto=tcp, drop dst=@ads] } }\n';
  const HOSTS = '0.0.0.0 a.example\n0.0.0.0 b.example\n';
  const ADBLOCK = '[Adblock Plus 2.0]\n||a.example^\n||b.example^\n';

  const entriesIn = ({ publisher }: House, name: string): readonly string[] => {
    const list = publisher.head?.ruleSet.lists.get(name);
    return list?.kind === 'names' ? [...nameTexts(list.names)] : [];
  };

  /** Both lists are in force as a version released them that read names alone; the files say more now. */
  async function upgraded(): Promise<House> {
    const made = await house(WIDER, { 'cdn.txt': HOSTS, 'ads.txt': HOSTS });
    await release(made.publisher, { 'rules.yaml': RULES });
    await made.sources?.close();
    for (const name of ['cdn.txt', 'ads.txt']) place(join(made.directory, name), ADBLOCK);
    const sources = await sourcesOf(made.publisher, made.configFile, WIDER, made.directory);
    const control = parseEndpoint(`memory:wider-${houses}`);
    const nobody = (): Promise<never> => Promise.reject(new Error('nobody is asked'));
    const served = await serveControl(made.publisher, [control], nobody, { sources });
    onTestFinished(() => served.close());
    return { ...made, sources, control };
  }

  it('are released where rules drop them, and wait where rules accept them; status says what to do', async () => {
    const made = await upgraded();
    expect(entriesIn(made, 'ads')).toEqual(['.a.example', '.b.example']);
    expect(entriesIn(made, 'cdn')).toEqual(['a.example', 'b.example']);
    const [past] = made.publisher.store.pastReleases();
    expect(past?.notes).toMatchObject({ cause: 'source', detail: 'ads (2 entries wider)' });
    const answer = await ask(made.control, refresh([]));
    expect(answer.end).toMatchObject({ code: 'failing' });
    expect(recordsOf(answer, 'list')[0]).toMatchObject({
      name: 'cdn',
      state: 'failing',
      error: { code: 'wider' },
    });
    expect(degraded(made.publisher, made.sources)[0]).toMatch(
      /^list cdn is not fresh: say suffixes: below, or rulectl lists refresh cdn --permit wider, if it is meant: 2 of its /,
    );
    expect(entriesIn(made, 'cdn')).toEqual(['a.example', 'b.example']);
  });

  it.each(['wider', 'allowWider', 'force'])(
    'are taken where %s is permitted, on record, and by no other permit',
    async (how) => {
      const made = await upgraded();
      const others = { allowGrowth: true, allowCoverage: true, allowAll: true, allowKind: true };
      await ask(made.control, { ...refresh(['cdn']), ...others, allowShrink: true } as Message);
      expect(entriesIn(made, 'cdn')).toEqual(['a.example', 'b.example']);
      const permit = how === 'wider' ? { '+permit': ['wider', 'grown'] } : { [how]: true };
      const taken = await ask(made.control, { ...refresh(['cdn']), ...permit } as Message);
      const text = how === 'wider' ? 'nothing needed --permit grown' : expect.any(String);
      expect(taken.end).toMatchObject({ code: 'refreshed', text });
      expect(entriesIn(made, 'cdn')).toEqual(['.a.example', '.b.example']);
      const audit = readFileSync(join(made.directory, 'state', 'audit.log'), 'utf8')
        .trim()
        .split('\n');
      expect(audit.map((line) => JSON.parse(line))).toMatchObject([
        { list: 'cdn', code: 'wider', before: 2, after: 2 },
      ]);
    },
  );

  it.each([
    ['other codes of refresh', ['cdn'], permitCodes('refresh').filter((code) => code !== 'wider')],
    ['codes of push alone', ['cdn'], ['empty', 'accept-all', 'drop-all', 'unresolved', 'needs-names']],
    ['codes that nobody knows', ['cdn'], ['wider-', 'allow-wider', 'force', 'constructor', 'to-string']],
    ['its code for another list', ['ads'], ['wider']],
  ])('are not taken by %s', async (_, lists, codes) => {
    const made = await upgraded();
    await ask(made.control, { ...refresh(lists), '+permit': codes } as Message);
    expect(entriesIn(made, 'cdn')).toEqual(['a.example', 'b.example']);
  });

  // A request by hand permitted for every list what rulectl permits for lists by name alone.
  it.each([{ '+permit': ['wider'] }, { allowWider: true }, { force: true }])(
    'are not taken by %j of no list in particular, which is refused',
    async (permit) => {
      const made = await upgraded();
      const answer = await ask(made.control, { ...refresh([]), ...permit } as Message);
      expect(entriesIn(made, 'cdn')).toEqual(['a.example', 'b.example']);
      expect(answer.end).toMatchObject({ kind: 'fail', code: 'bad-input' });
    },
  );

  it.each([
    ['below', ['.a.example', '.b.example']],
    ['as-names', ['a.example', 'b.example']],
  ])('are what the list says with suffixes: %s', async (word, expected) => {
    const made = await upgraded();
    writeFileSync(made.configFile, WIDER.replace('cdn.txt, ', `cdn.txt, suffixes: ${word}, `));
    await made.sources?.reload(made.configFile);
    const answer = await ask(made.control, refresh(['cdn']));
    expect(recordsOf(answer, 'list')[0]).toMatchObject({ state: 'ok', count: 2 });
    expect(entriesIn(made, 'cdn')).toEqual(expected);
  });

  it('are refused where the publisher resolves them, with their number and the line to write', async () => {
    const text = 'lists:\n  a: { entries: [192.0.2.1] }\n  cdn: { file: cdn.txt, resolve: publisher }\n';
    const made = await house(text, { 'cdn.txt': ADBLOCK });
    expect(recordsOf(await ask(made.control, refresh(['cdn'])), 'list')[0]).toMatchObject({
      state: 'failing',
      error: {
        code: 'unsupported',
        text: expect.stringMatching(/\(2\).*say resolve: firewall for it, or suffixes: as-names/),
      },
    });
    writeFileSync(
      made.configFile,
      text.replace('resolve: publisher', 'resolve: publisher, suffixes: as-names'),
    );
    await made.sources?.reload(made.configFile);
    const answer = await ask(made.control, refresh(['cdn']));
    expect(recordsOf(answer, 'list')[0]).toMatchObject({ state: 'ok', count: 2, suffixes: 2 });
    expect(entriesIn(made, 'cdn')).toEqual(['a.example', 'b.example']);
  });
});
