/** What `rulectl status` says in its first line, and `status --check`. */

import type { ControlRecord } from '@rulecast/protocol';
import picocolors from 'picocolors';
import { afterEach, describe, expect, it } from 'vitest';
import { healthOf as healthAt } from '../src/render/health.ts';
import { renderStatus, type StatusView } from '../src/render/status.ts';
import { ndjson, rulectl } from './cli.ts';
import { FakePublisher, receive, sendRecords } from './fake-publisher.ts';
import { counters, fleet, HASH, head, member, NOW_MS, subscriber } from './records.ts';

let publisher: FakePublisher | undefined;
afterEach(async () => {
  await publisher?.stop();
  publisher = undefined;
});

/** With all that is wrong in one text. */
function healthOf(view: StatusView) {
  const health = healthAt(view, NOW_MS);
  const text = health.troubles.map((trouble) => trouble.text).join('; ');
  return { ...health, text: text === '' ? health.text : text };
}

describe('the first line of status', () => {
  const minutesAgo = (minutes: number): number => NOW_MS - minutes * 60_000;
  const ago = { code: 'sink-failed', text: 'nft said no', atMs: minutesAgo(3) };
  const old = { version: 12, matches: false } as const;
  const names = counters({ subscriber: 'fw-b', counters: { 'dnsDown.1': 1 } });
  it.each<[string, Partial<StatusView>, string]>([
    ['all is well', {}, 'All 2 firewalls enforce version 13, released 2 min ago.'],
    ['one firewall', { subscribers: [subscriber()] }, 'fw-a enforces version 13, released 2 min ago.'],
    ['nothing is released', { head: undefined }, 'Nothing is released yet.\nRun: rulectl push FILE'],
    [
      'the rules file waits for its first list', // it told to push one
      {
        head: head({
          version: 0,
          degraded: [
            'rules.yaml waits for list ads, which has no content yet: rulectl lists',
            'list ads is not fresh',
          ],
        }),
      },
      'Nothing is released yet: rules.yaml waits for list ads, which has no content yet.\nRun: rulectl lists\n1 more: rulectl status --verbose',
    ],
    [
      'the rules file waits, and a list of another feed is released',
      {
        head: head({ degraded: ['rules.yaml waits for list ads, which has no content yet: rulectl lists'] }),
      },
      'rules.yaml waits for list ads, which has no content yet.\nRun: rulectl lists',
    ],
    [
      'the rules file was not read yet',
      { head: head({ version: 0, degraded: ['rules.yaml waits to be released: rulectl status --watch'] }) },
      'Nothing is released yet: rules.yaml waits to be released.\nRun: rulectl status --watch',
    ],
    [
      'nobody connects',
      { subscribers: [] },
      'Version 13 is in force nowhere: no firewall was ever connected.\nRun: rulecast-doctor, on each firewall',
    ],
    [
      'one is behind',
      { subscribers: [subscriber(), subscriber({ name: 'fw-b', state: 'behind', ...old, lagMs: 720_000 })] },
      'fw-b has enforced version 12 instead of version 13 for 12 min.\nRun: rulecast-doctor, on fw-b',
    ],
    [
      'one is away',
      {
        subscribers: [
          subscriber(),
          subscriber({ name: 'fw-b', state: 'disconnected', ...old, lastSeenMs: minutesAgo(70) }),
        ],
      },
      'fw-b has been away for 1 h, and enforced version 12 then.\nRun: rulecast-doctor, on fw-b',
    ],
    [
      'one was never there',
      {
        subscribers: [
          subscriber(),
          subscriber({
            name: 'fw-b',
            state: 'disconnected',
            version: undefined,
            matches: false,
            lastSeenMs: 0,
          }),
        ],
      },
      'fw-b was never connected.\nRun: rulecast-doctor, on fw-b',
    ],
    [
      'one refuses',
      { subscribers: [subscriber(), subscriber({ name: 'fw-b', state: 'refused', ...old, refusal: ago })] },
      'fw-b has refused version 13 for 3 min (sink-failed: nft said no), and enforces version 12.\nRun: rulecast-doctor, on fw-b',
    ],
    [
      'one keeps nothing on disk',
      { subscribers: [subscriber(), subscriber({ name: 'fw-b', persisted: false })] },
      'fw-b does not keep version 13 on disk: after a restart it enforces an older one, or none, until it gets this one again.\nRun: rulecast-doctor, on fw-b',
    ],
    [
      'one enforces something else',
      { subscribers: [subscriber(), subscriber({ name: 'fw-b', state: 'behind', matches: false })] },
      'fw-b enforces another version 13 than was released.\nRun: rulecast-doctor, on fw-b',
    ],
    [
      'one claims what nobody released',
      {
        subscribers: [
          subscriber(),
          subscriber({ name: 'fw-b', state: 'diverged', version: 57, matches: false }),
        ],
      },
      'fw-b claims version 57, which this publisher did not release.\nRun: rulecast-doctor, on fw-b',
    ],
    [
      'names are unanswered',
      { counters: [names] },
      'fw-b: upstream 1 of rulecast-dns does not answer.\nRun: rulecast-doctor, on fw-b',
    ],
    [
      'a feed stands still',
      { head: head({ degraded: ['list ads is unchanged for 10 intervals: its source answers'] }) },
      'List ads is unchanged for 10 intervals: its source answers.\nRun: rulectl lists show ads',
    ],
    [
      'a feed is not fresh',
      { head: head({ degraded: ['list ads is not fresh: HTTP 503'] }) },
      'List ads is not fresh: HTTP 503.\nRun: rulectl lists show ads',
    ],
    [
      'a name does not resolve',
      { head: head({ degraded: ['a.example does not resolve'] }) },
      'a.example does not resolve.',
    ],
    [
      'two troubles: the worst',
      {
        head: head({ degraded: ['list ads is not fresh: HTTP 503', 'not connected: fw-b'] }),
        counters: [names],
        subscribers: [subscriber(), subscriber({ name: 'fw-b', state: 'disconnected' })],
      },
      'fw-b has been away for 3 s, and enforced version 13 then.\nRun: rulecast-doctor, on fw-b\n2 more: rulectl status --verbose',
    ],
    [
      'what is refused before what is away',
      {
        subscribers: [
          subscriber({ state: 'disconnected' }),
          subscriber({ name: 'fw-b', state: 'receiving', ...old }),
          subscriber({ name: 'fw-c', state: 'refused', ...old, refusal: ago }),
        ],
      },
      'fw-c has refused version 13 for 3 min (sink-failed: nft said no), and enforces version 12.\nRun: rulecast-doctor, on fw-c\n2 more: rulectl status --verbose',
    ],
    [
      'none has it',
      {
        subscribers: [
          subscriber({ state: 'behind', ...old }),
          subscriber({ name: 'fw-b', state: 'behind', ...old }),
        ],
      },
      'None of the 2 firewalls enforces version 13.\n2 more: rulectl status --verbose',
    ],
    [
      'names report, and a few are away',
      { subscribers: [], fleet: fleet() },
      '99,900 of 100,000 names that report enforce version 13, released 2 min ago.',
    ],
    [
      'names report besides',
      { fleet: fleet() },
      'All 2 firewalls enforce version 13, released 2 min ago; so do 99,900 of 100,000 names that report.',
    ],
    [
      'one of many that report refuses',
      { fleet: fleet({ refused: 1, refusedBy: [{ code: 'over-limit', count: 1 }] }) },
      'Version 13 is refused (1 over-limit) by 1 of 100,001 names that report.\nRun: rulectl status --state refused',
    ],
    [
      'of few that report one is away',
      { fleet: fleet({ synced: 19, behind: 0, silent: 1 }) },
      'Nothing was heard for 10 min of 1 of 20 names that report.\nRun: rulectl status --state silent',
    ],
    [
      'those that report had time to say that they have it, and have not',
      { head: head({ createdAtMs: minutesAgo(11) }), fleet: fleet({ synced: 5, behind: 5, silent: 0 }) },
      'Version 13 is not in force at 5 of 10 names that report.\nRun: rulectl status --state behind',
    ],
    [
      'those that report had no time yet',
      { subscribers: [], fleet: fleet({ synced: 0, behind: 5, silent: 0 }) },
      '0 of 5 names that report enforce version 13, released 2 min ago.',
    ],
    [
      'none of those that report has it',
      {
        head: head({ createdAtMs: minutesAgo(11) }),
        ...{ subscribers: [], fleet: fleet({ synced: 0, behind: 5, silent: 0 }) },
      },
      'None of the 5 firewalls enforces version 13.\n1 more: rulectl status --verbose',
    ],
  ])('%s', (_what, some, line) => {
    const subscribers = [subscriber(), subscriber({ name: 'fw-b' })];
    const view = { head: head(), parts: [], warnings: [], counters: [], subscribers, ...some };
    const scope = { verbose: false, counters: false };
    const text = renderStatus(view, scope, NOW_MS, picocolors.createColors(false));
    expect(text.split('\n\n')[0]?.replaceAll('\n  ', ' ')).toBe(line);
  });

  it('goes before all troubles with --verbose', () => {
    const degraded = ['list ads is not fresh: HTTP 503', 'list b is not fresh: HTTP 404'];
    const view = {
      ...{ head: head({ degraded }), parts: [], warnings: [], counters: [] },
      subscribers: [subscriber()],
    };
    const text = renderStatus(
      view,
      { verbose: true, counters: false },
      NOW_MS,
      picocolors.createColors(false),
    );
    expect(text.split('\n\n')[1]).toBe(
      'List ads is not fresh: HTTP 503.\nRun: rulectl lists show ads\nList b is not fresh: HTTP 404.\nRun: rulectl lists show b',
    );
  });
});

describe('names that report', () => {
  const members = [
    member(),
    member({ name: 'fw-2', state: 'unknown', via: undefined, version: undefined, heardAtMs: undefined }),
    member({ name: 'x', state: 'refused', refusal: { hash: HASH, code: 'over-limit' } }),
  ];
  async function status(...args: readonly string[]) {
    let asked: unknown;
    publisher = await FakePublisher.start(async (connection) => {
      asked = await receive(connection, 'status');
      await sendRecords(connection, [fleet(), ...members]);
      await connection.send({ kind: 'done', code: 'ok', text: '' });
    });
    return { ...(await rulectl(['status', ...args, '--control', publisher.endpoint])), asked };
  }

  it('are shown as counts, and some that are not as they should be', () => {
    const view = { head: head(), parts: [], warnings: [], counters: [], subscribers: [] };
    const scope = { verbose: false, counters: false };
    const plain = picocolors.createColors(false);
    const blocks = renderStatus({ ...view, fleet: fleet(), members }, scope, NOW_MS, plain).split('\n\n');
    expect(blocks.slice(2).map((block) => block.split('\n'))).toEqual([
      ['of 100,000 names that report: 99,900 synced, 40 behind, 0 refused, 60 silent, 0', '  unknown'],
      [
        'name   via     state    version  last heard  refuses',
        'fw-17  site-3  silent   12       12 min ago  -',
        'fw-2   -       unknown  -        never       -',
        'x      site-3  refused  12       12 min ago  over-limit',
      ],
    ]);
  });

  it('in one state come one a line with --state, or as records', async () => {
    const { exit, stdout, asked } = await status('--state', 'silent');
    expect(asked).toEqual({ kind: 'status', watch: false, state: 'silent' });
    const [counts, first, second] = stdout.split('\n');
    expect(counts).toContain('60 silent');
    expect(first).toMatch(/^fw-17 {2}site-3 {2}silent {2}12 {2}\S+ \S+ ago {2}-$/);
    expect(second).toBe('fw-2  -  unknown  -  never  -');
    expect(exit).toBe(0);
    await publisher?.stop();
    const json = (await status('--state', 'silent', '--json')).stdout.trimEnd().split('\n');
    const records = json.map((line) => JSON.parse(line));
    expect(records.map(({ kind }) => kind)).toEqual(['fleet', 'member', 'member', 'member', 'end']);
  });

  it.each([
    [['--state', 'away']],
    [['--state']],
    [['--state', 'silent', '--state', 'behind']],
    [['--state', 'silent', '--watch']],
    [['--state', 'silent', '--counters']],
    [['--state', 'silent', '--check']],
  ])('%j is wrong usage', async (args) => {
    expect((await rulectl(['status', ...args])).exit).toBe(64);
  });
});

describe('status --check', () => {
  const snapshot = { parts: [], warnings: [], counters: [] };
  const behind = subscriber({ name: 'b', state: 'behind', matches: false });
  it.each([
    ['well', head(), [subscriber()]],
    [
      'well',
      head(),
      [subscriber(), subscriber({ name: 'b', state: 'disconnected', expected: false, matches: false })],
    ],
    ['degraded', head({ degraded: ['a.example does not resolve'] }), [subscriber()]],
    ['degraded', head(), [subscriber(), behind]],
    ['degraded', head(), [subscriber({ state: 'disconnected' })]],
    ['degraded', head(), [subscriber({ persisted: false })]],
    ['degraded', head(), [subscriber({ state: 'receiving', matches: false })]], // it was "in force at none of"
    ['not-enforced', head(), [behind]],
    ['not-enforced', head(), []],
    ['not-enforced', head({ version: 0 }), [subscriber()]],
    ['not-enforced', undefined, []],
    ['not-enforced', head(), [subscriber(), subscriber({ name: 'new', version: undefined, matches: false })]],
    ['not-enforced', head(), [subscriber({ expected: false })]],
  ] as const)('is %s: %#', (state, status, subscribers) => {
    const standing = healthOf({ ...snapshot, head: status, subscribers });
    expect(standing).toMatchObject({ state });
    expect(standing.text).not.toContain('\n');
  });

  // It said "no subscriber is expected" while the publisher offered nothing to anybody.
  it.each([
    ['no firewall was ever connected', []],
    [
      'b enforces version 11 instead of version 13',
      [subscriber({ name: 'b', state: 'behind', matches: false, version: 11 })],
    ],
    [
      'new enforces no release',
      [subscriber({ name: 'new', state: 'behind', version: undefined, matches: false })],
    ],
    ['b enforces another version 13', [subscriber(), behind]],
  ])('says first why the publisher offers nothing, before that %s', (text, subscribers) => {
    const lost = 'nothing is offered: 2/9 is 0f3a here, 77c1 elsewhere; push --as-new-epoch';
    const degraded = [lost, 'list a is not fresh: HTTP 503'];
    const standing = healthOf({ ...snapshot, head: head({ degraded }), subscribers });
    expect(standing.text).toMatch(/^(version 13: )?nothing is offered: 2\/9 is 0f3a here/);
    expect(standing.text).toContain(text);
    expect(standing.text).toContain('list a is not fresh');
  });

  it('is degraded where a firewall does not know whether it has the newest', () => {
    const stale = (value: number) =>
      ({ record: 'counters', subscriber: 'fw', counters: { stale: value } }) as const;
    const of = (value: number) =>
      healthOf({
        ...snapshot,
        head: head(),
        subscribers: [subscriber({ name: 'fw' })],
        counters: [stale(value)],
      });
    expect(of(1)).toMatchObject({ state: 'degraded', text: expect.stringContaining('fw is stale') });
    expect(of(0)).toMatchObject({ state: 'well' });
  });

  it.each([
    ['rootDue', 'fw has a root that is to be renewed'],
    ['rootOverdue', 'fw has a root that is overdue'],
    ['dnsDown.2', 'fw: upstream 2 of rulecast-dns does not answer'],
    ['logOff', 'fw: what it refuses is not logged'],
    ['dnsCrowded', 'fw: some answers of DNS go without addresses'],
    ['dnsBeyond', 'fw: some questions of DNS are not answered: a qube asks too many'],
  ])('is degraded while %s', (name, text) => {
    const of = (value: number) =>
      healthOf({
        ...snapshot,
        head: head(),
        subscribers: [subscriber({ name: 'fw' })],
        counters: [{ record: 'counters', subscriber: 'fw', counters: { dnsQuestions: 3, [name]: value } }],
      });
    expect(of(1)).toMatchObject({ state: 'degraded', text: expect.stringContaining(text) });
    expect(of(0)).toMatchObject({ state: 'well' });
  });

  async function run(records: readonly ControlRecord[], ...more: readonly string[]) {
    publisher = await FakePublisher.start(async (connection) => {
      await receive(connection, 'status');
      await sendRecords(connection, records);
      await connection.send({ kind: 'done', code: 'ok', text: '' });
    });
    return rulectl(['status', '--check', ...more, '--control', publisher.endpoint]);
  }

  it('says one line, and ends with the code of it', async () => {
    expect(await run([head(), subscriber(), behind])).toEqual({
      exit: 1,
      stdout: 'degraded: b enforces another version 13 than was released\n',
      stderr: '',
    });
  });

  it('says the same to programs', async () => {
    const { exit, stdout } = await run([head()], '--json');
    expect(ndjson(stdout)).toMatchObject([
      { kind: 'check', state: 'not-enforced' },
      { kind: 'end', exit: 2, code: 'not-enforced' },
    ]);
    expect(exit).toBe(2);
  });

  it('ends with 3 where no publisher answers', async () => {
    const { exit, stdout } = await rulectl(['status', '--check', '--control', 'unix:/nowhere/x.sock']);
    expect({ exit, stdout }).toEqual({ exit: 3, stdout: '' });
  });

  it('excludes --watch and --counters', async () => {
    for (const option of ['--watch', '--counters'])
      expect((await rulectl(['status', '--check', option])).exit).toBe(64);
  });
});
