/** What people read, character by character. */

import picocolors from 'picocolors';
import stringWidth from 'string-width';
import { describe, expect, it } from 'vitest';
import { formatAge, formatBytes, formatCount, formatDuration } from '../src/render/amounts.ts';
import { renderChanges } from '../src/render/changes.ts';
import { nameAnswers } from '../src/render/counters.ts';
import { renderFileSummary } from '../src/render/file.ts';
import { renderReject } from '../src/render/findings.ts';
import { renderApplied, renderAppliedSummary, renderRelease } from '../src/render/release.ts';
import { renderStatus } from '../src/render/status.ts';
import { renderTable } from '../src/render/table.ts';
import { renderVerdict } from '../src/render/verdict.ts';
import {
  applied,
  change,
  counters,
  fleet,
  HASH,
  head,
  LINEAGE,
  member,
  NOW_MS,
  part,
  release,
  subscriber,
  verdict,
} from './records.ts';

const PLAIN = picocolors.createColors(false);
const COLORED = picocolors.createColors(true);

describe('numbers', () => {
  it.each([
    [0, '0'],
    [999, '999'],
    [1000, '1,000'],
    [123_456, '123,456'],
    [1_234_567, '1,234,567'],
    [Number.MAX_SAFE_INTEGER, '9,007,199,254,740,991'],
  ])('count %d is %s', (count, text) => {
    expect(formatCount(count)).toBe(text);
  });

  it.each([
    [-5_000, '0 s'],
    [0, '0 s'],
    [999, '0 s'],
    [3_000, '3 s'],
    [59_999, '59 s'],
    [60_000, '1 min'],
    [3_599_999, '59 min'],
    [3_600_000, '1 h'],
    [172_799_999, '47 h'],
    [172_800_000, '2 d'],
    [86_400_000 * 1234, '1,234 d'],
  ])('age %d ms is %s', (ms, text) => {
    expect(formatAge(ms)).toBe(text);
  });

  it.each([
    [0, '0 ms'],
    [999, '999 ms'],
    [1_000, '1.00 s'],
    [9_994, '9.99 s'],
    [75_000, '75.0 s'],
  ])('duration %d ms is %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });

  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [4_712, '4.7 kB'],
    [1_750_000, '1.75 MB'],
    [1_009_999, '1.00 MB'],
    [1_234_567_890, '1,234.56 MB'],
  ])('%d bytes are %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });
});

describe('tables', () => {
  it('have columns as wide as what people see of them', () => {
    const rows = [
      ['ü', '1'],
      ['漢字', '22'],
      ['', '333'],
    ];
    expect(renderTable(['name', 'n'], rows, 1, PLAIN)).toBe(
      ['name    n', 'ü       1', '漢字   22', '      333'].join('\n'),
    );
    expect(renderTable(['name', 'n'], rows, undefined, COLORED).split('\n')[1]).toBe('ü     1');
  });

  it('of 200,000 rows are as much work as their cells', () => {
    const rows = Array.from({ length: 200_000 }, (_, i) => [`list list-${i}`, 'new', `${i}`]);
    const text = renderTable(['part', 'what', '+added'], rows, 2, PLAIN);
    expect(text.slice(-31)).toBe('\nlist list-199999  new   199999');
    expect(text.split('\n')).toHaveLength(200_001);
  });
});

describe('rejects', () => {
  const reject = { line: 3, column: 7, code: 'bad-address', reason: 'no address' };

  it('start with a place that editors understand', () => {
    expect(renderReject('lists/drop.txt', reject, PLAIN)).toBe('lists/drop.txt:3:7: bad-address: no address');
  });

  it('are coloured only when asked to', () => {
    expect(renderReject('a', reject, COLORED)).toContain('\u001b[31mbad-address\u001b[39m');
    expect(renderReject('a', reject, PLAIN)).not.toContain('\u001b');
  });

  it('show no control character of a file name', () => {
    expect(renderReject('a\u001b[2Jb', reject, PLAIN)).toBe('a\ufffd[2Jb:3:7: bad-address: no address');
  });
});

describe('file summaries', () => {
  const nothing = { file: 'a', what: 'a list', rules: 0, entries: 0, rejects: 0, warnings: 0 };

  it.each([
    [{}, 'a: a list, nothing in it, nothing refused'],
    [{ entries: 1 }, 'a: a list, 1 entry, nothing refused'],
    [
      { rules: 2_000, entries: 3, rejects: 4, warnings: 1 },
      'a: a list, 2,000 rules, 3 entries, 1 warning, 4 refused',
    ],
  ])('of %j', (some, text) => {
    expect(renderFileSummary({ ...nothing, ...some }, PLAIN)).toBe(text);
  });
});

describe('a push', () => {
  it('shows each changed part on a line, numbers to the right', () => {
    const text = renderChanges(
      [change(), change({ op: 'add', kind: 'policy', name: 'work', added: 2, removed: 0, unchanged: 0 })],
      PLAIN,
    );
    expect(text.split('\n')).toEqual([
      'part         what     +added  -removed  unchanged',
      'list drop    changed   1,000         3    998,997',
      'policy work  new           2         0          0',
    ]);
  });

  it('shows no table without changes', () => {
    expect(renderChanges([], PLAIN)).toBe('');
  });

  it.each([
    [
      {},
      'released version 13 (epoch 1): 3 parts, 1,000,000 entries and 12 rules, a delta of 4.7 kB from version 12',
    ],
    [
      { version: 1, previousVersion: 0, parts: 1, entries: 1, rules: 1, deltaBytes: 64 },
      'released version 1 (epoch 1): 1 part, 1 entry and 1 rule, a delta of 64 B',
    ],
    [
      { dryRun: true, version: 12 },
      'dry run: would release 1,000,000 entries and 12 rules on top of version 12, a delta of 4.7 kB',
    ],
    [
      { dryRun: true, version: 0, previousVersion: 0 },
      'dry run: would release 1,000,000 entries and 12 rules as the first release, a delta of 4.7 kB',
    ],
    [
      { epoch: 2, previousVersion: 0, deltaBytes: 0 },
      'released version 13 (epoch 2): 3 parts, 1,000,000 entries and 12 rules, the same as the head before',
    ],
    [
      { dryRun: true, version: 12, deltaBytes: 0 },
      'dry run: would release 1,000,000 entries and 12 rules on top of version 12, the same as the head before',
    ],
    [{ changed: false }, 'no change: version 13 has this content already'],
    [{ changed: false, version: 0 }, 'no change: nothing is released yet, and this is nothing'],
  ])('release line for %j', (some, text) => {
    expect(renderRelease(release(some))).toBe(text);
  });

  it.each([
    [{}, 'applied by fw-a in 142 ms, 4.9 kB sent'],
    [{ persisted: false }, 'applied by fw-a in 142 ms, 4.9 kB sent, not kept over a restart'],
    [{ state: 'superseded', version: 14 } as const, 'superseded at fw-a: it applied version 14 in 142 ms'],
    [
      { state: 'refused', code: 'sink-failed', text: 'nft said no' } as const,
      'refused by fw-a: sink-failed: nft said no',
    ],
    [{ state: 'timeout', ms: 60_000 } as const, 'on its way to fw-a: no answer yet after 60.0 s'],
    [{ state: 'disconnected' } as const, 'disconnected: fw-a; it gets the release when it is back'],
  ])('subscriber line for %j', (some, text) => {
    expect(renderApplied(applied(some), PLAIN)).toBe(text);
  });

  it('sums up how many have it', () => {
    const both = [applied(), applied({ subscriber: 'fw-b', state: 'refused' })];
    expect(renderAppliedSummary(both, PLAIN)).toBe('in force at 1 of 2 subscribers');
    expect(renderAppliedSummary([applied()], PLAIN)).toBe('in force at 1 of 1 subscriber');
    const late = applied({ subscriber: 'fw-c', state: 'timeout' });
    expect(renderAppliedSummary([late], PLAIN)).toBe(
      'on its way to 1 of 1 subscriber: rulectl status says how far it is',
    );
    expect(renderAppliedSummary([applied(), late], PLAIN)).toBe(
      'in force at 1, and on its way to 1 of 2 subscribers: rulectl status says how far it is',
    );
    expect(renderAppliedSummary([], PLAIN)).toBe(
      'in force nowhere: subscribers get the release when they connect',
    );
    expect(renderAppliedSummary([applied({ state: 'refused' })], PLAIN)).toBe(
      'in force nowhere: refused by 1 of 1 subscriber',
    );
    expect(renderAppliedSummary([applied({ state: 'refused' }), applied({ state: 'absent' })], PLAIN)).toBe(
      'in force nowhere: refused by 1 of 2 subscribers',
    );
  });
});

describe('verdicts', () => {
  it('name rule, owner, list, prefix, subscriber and version', () => {
    const text = renderVerdict('192.0.2.7', verdict(), PLAIN);
    expect(text.split('\n')).toEqual([
      '192.0.2.7: drop',
      '  subscriber fw-a, version 13',
      '  policy     work, egress',
      '  rule       action=drop dst=@drop (number 3 of common)',
      '  list       drop',
      '  prefix     192.0.2.0/24',
    ]);
  });

  it('say when the default action decided, and when no policy judges', () => {
    expect(renderVerdict('x', { action: 'drop', policy: 'work', direction: 'ingress' }, PLAIN)).toBe(
      'x: drop\n  policy     work, ingress\n  rule       none matches: the default action decides',
    );
    expect(renderVerdict('x', { action: 'drop', direction: 'egress' }, PLAIN)).toBe(
      'x: drop\n  policy     none names this qube, egress\n  rule       none matches: unmatched: drop decides',
    );
    expect(renderVerdict('x', { action: 'none' }, PLAIN)).toBe(
      'x: none\n  policy     none judges this packet',
    );
    expect(renderVerdict('x', { action: 'drop' }, PLAIN)).toBe(
      'x: drop\n  policy     none is asked: this packet begins no flow',
    );
  });

  it('say that an exception decided, and that common did for a qube that no policy names', () => {
    const exception = { policy: 'work', rulePolicy: 'work', block: 'exceptions', ruleIndex: 0 } as const;
    expect(renderVerdict('x', verdict(exception), PLAIN)).toContain('action=drop dst=@drop (exception 1)\n');
    const told = verdict({ action: 'accept', told: { name: 'api.example', agoS: 41 } });
    expect(renderVerdict('x', told, PLAIN)).toMatch(/\n {2}resolved {3}as api\.example, 41 s ago$/);
    const unnamed = renderVerdict('x', verdict({ policy: undefined, block: 'common' }), PLAIN);
    expect(unnamed).toContain('  policy     none names this qube, egress\n');
    expect(unnamed).toContain('(number 3 of common)\n');
  });

  it('show an expectation only where it is not met', () => {
    expect(renderVerdict('x', { action: 'none', expect: 'drop' }, PLAIN)).toContain('  expected   drop\n');
    expect(renderVerdict('x', { action: 'none', expect: 'none' }, PLAIN)).not.toContain('expected');
  });
});

/** Everything that is known. */
const ALL = { verbose: true, counters: true };

describe('status', () => {
  it.each([undefined, head({ version: 0, epoch: 0 })])('before the first release says so: %j', (none) => {
    const view = { head: none, parts: [], warnings: [], subscribers: [], counters: [] };
    expect(renderStatus(view, ALL, NOW_MS, PLAIN)).toBe('Nothing is released yet.\nRun: rulectl push FILE');
  });

  // After a store was lost it did not say that lists wait, and for what.
  it('says before the first release what does not work as it should', () => {
    const none = head({ version: 0, epoch: 0, degraded: ['nothing is released before policies are'] });
    const view = { head: none, parts: [], warnings: [], subscribers: [], counters: [] };
    expect(renderStatus(view, ALL, NOW_MS, PLAIN)).toBe('Nothing is released before policies are.');
  });

  it.each([
    [{ unmatched: 'drop' }, 'work', 'qubes that no policy names are dropped (unmatched: drop)'],
    [
      { unmatched: 'accept' },
      'work',
      'qubes that no policy names are left to the other tables (unmatched: accept)',
    ],
    [{}, 'work', 'qubes that no policy names are not judged: push unmatched: drop or accept'],
    [{ unmatched: 'drop' }, 'default', undefined],
    [{}, 'default', undefined],
  ] as const)('says of qubes that no policy names: %j with policy %s', (said, name, expected) => {
    const parts = [part({ kind: 'policy', name })];
    const text = renderStatus(
      { head: head(said), parts, warnings: [], subscribers: [], counters: [] },
      ALL,
      NOW_MS,
      PLAIN,
    );
    const line = text.split('\n').find((each) => each.startsWith('qubes that'));
    expect(line).toBe(expected);
  });

  it('shows head, parts and subscribers', () => {
    const lastError = { code: 'sink-failed', text: 'nft said no', atMs: NOW_MS - 120_000 };
    const snapshot = {
      head: head({ degraded: ['a.example does not resolve'] }),
      parts: [part(), part({ kind: 'resolutions', name: '', count: 2, changedVersion: 9 })],
      warnings: [],
      subscribers: [
        subscriber({ bound: ['curve-key q!kESU)m…', 'qube sys-fw-a'] }),
        subscriber({
          name: 'fw-b',
          state: 'behind',
          version: undefined,
          matches: false,
          lagVersions: 13,
          lagMs: 125_000,
          applyMs: undefined,
          lastError,
        }),
      ],
      counters: [],
    };
    const trouble = [
      'fw-b has enforced no release instead of version 13 for 2 min (sink-failed: nft',
      '  said no).',
      'Run: rulecast-doctor, on fw-b',
    ];
    expect(renderStatus(snapshot, ALL, NOW_MS, PLAIN).split('\n')).toEqual([
      ...trouble,
      '1 more: rulectl status --verbose',
      '',
      ...trouble,
      'a.example does not resolve.',
      '',
      `version 13 (epoch 1), ${HASH.slice(0, 12)}, released 2 min ago`,
      '2 parts, 1,000,000 entries, 1 rule',
      `lineage ${LINEAGE}, publisher up for 2 h`,
      '',
      'part             count  changed in        digest',
      'list drop    1,000,000          13  0123456789ab',
      'resolutions          2           9  0123456789ab',
      '',
      'subscriber  bound to         state   version  lag         last seen',
      'fw-a        curve-key, qube  synced  13       -           3 s ago',
      '  matches what is released, applied in 142 ms',
      'fw-b        -                behind  -        13 (2 min)  3 s ago',
      '  does not match what is released',
      '  last error: sink-failed: nft said no (2 min ago)',
    ]);
    const brief = renderStatus(snapshot, { verbose: false, counters: false }, NOW_MS, PLAIN).split('\n');
    expect(brief.slice(5)).toEqual([
      'version 13, released 2 min ago',
      '2 parts, 1,000,000 entries, 1 rule',
      'publisher up for 2 h',
      '',
      'subscriber  bound to         state   version  lag         last seen',
      'fw-a        curve-key, qube  synced  13       -           3 s ago',
      'fw-b        -                behind  -        13 (2 min)  3 s ago',
      '  last error: sink-failed: nft said no (2 min ago)',
    ]);
  });

  it('shows why a subscriber refuses the head rather than what went wrong after that', () => {
    const [refusal, lastError] = [
      { code: 'bad-rule-set', text: 'a list is missing', atMs: NOW_MS - 60_000 },
      { code: 'timeout', text: 'the session ended', atMs: NOW_MS - 1000 },
    ];
    const refused = subscriber({ state: 'refused', refusal, lastError });
    const snapshot = { head: head(), parts: [], warnings: [], subscribers: [refused], counters: [] };
    expect(renderStatus(snapshot, ALL, NOW_MS, PLAIN)).toMatch(
      /^ {2}refuses: bad-rule-set: a list is missing \(1 min ago\)$/m,
    );
  });

  it.each([PLAIN, COLORED])('fits 80 columns, whatever is said and however long the names are', (colors) => {
    const name = 'n'.repeat(63);
    const text = 'many words of one fault '.repeat(9).trim();
    const lastError = { code: 'sink-failed', text, atMs: NOW_MS - 120_000 };
    const firewall = subscriber({ name, state: 'behind', version: 12, lagVersions: 1, lastError });
    const snapshot = {
      head: head({ degraded: [text, `list ${name} is not fresh: ${text}`], hasRootKey: true }),
      parts: [part({ name })],
      warnings: [{ record: 'warning', part: `list ${name}`, code: 'shrunk', reason: text } as const],
      subscribers: [firewall, subscriber({ bound: ['curve-key x', 'qube y', 'socket z'] })],
      fleet: fleet({ refused: 1_000_000, refusedBy: [{ code: 'bad-rule-set', count: 1_000_000 }] }),
      members: [member({ name, via: name, refusal: { hash: HASH, code: 'bad-rule-set' } })],
      counters: [counters({ subscriber: name, counters: { [`list.${name}`]: 1_234_567 } })],
    };
    const lines = renderStatus(snapshot, ALL, NOW_MS, colors).split('\n');
    expect(lines.filter((line) => stringWidth(line) > 80)).toEqual([]);
    expect(lines).toContain(name); // whole, above its row
  });

  /** The lines below the subscribers. */
  function linesOf(told: Parameters<typeof renderStatus>[0]['counters']): readonly string[] {
    const snapshot = { head: head(), parts: [], warnings: [], subscribers: [subscriber()], counters: told };
    return renderStatus(snapshot, ALL, NOW_MS, PLAIN).split('\n').slice(9);
  }

  it('shows what a firewall counted in words and units, its lists with most packets first', () => {
    const told = counters({
      counters: {
        generation: 13,
        bytes: 1_750_000,
        unheardOf: 5000,
        nftDecided: 1_234_567,
        'list.ads': 1,
        'list.tor': 3,
        'list.drop': 1000,
        'drop.list.drop': 1000,
        'list.bogons': 3,
        'accept.list.bogons': 3,
        'drop.policy.work': 1002,
        'rule.work.3': 900,
        'rule.work.in1': 901,
        'policy.work': 1200,
        nftDropped: 1007,
        nftMs: 1250,
        nftPeakBytes: 44_000_000,
        nftRepairs: 1,
      },
    });
    expect(linesOf([told])).toEqual([
      '',
      'counters of subscriber fw-a',
      '  judged         1,234,567 packets',
      '  dropped        1,007 packets',
      '  list drop      1,000 packets, 1,000 dropped',
      '  list bogons    3 packets',
      '  list tor       3 packets',
      '  list ads       1 packet',
      '  policy work    1,200 packets, 1,002 dropped',
      '  rule work.in1  901 packets',
      '  rule work.3    900 packets',
      '  last nft       1.25 s',
      '  nft memory     44.00 MB',
      '  repaired       1 time',
      '  generation     13',
      '  lookup table   1.75 MB',
      '  unheardOf      5,000',
    ]);
  });

  it('shows what was asked of DNS, and what was blocked by which list and for whom', () => {
    const told = counters({
      counters: {
        ...{ dnsQuestions: 9, dnsBlocked: 3, 'dnsList.ads': 2, 'dnsQube.10.137.0.5': 3, dnsFailed: 0 },
        'dnsUpstream.1': 4,
      },
    });
    expect(linesOf([told])).toEqual([
      '',
      'counters of subscriber fw-a',
      '  DNS asked                   9 questions',
      '  DNS blocked                 3 questions',
      '  no upstream                 0 questions',
      '  no answer of upstream 1     4 questions',
      '  DNS blocked by ads          2 questions',
      '  DNS blocked for 10.137.0.5  3 questions',
    ]);
  });

  it('says in a line what answers names, for those that have it alike', () => {
    const told = (subscriber: string, more: Readonly<Record<string, number>>) =>
      counters({ subscriber, counters: { dnsQuestions: 1, ...more } });
    const own = { 'dnsAt.namespace': 1, 'dnsAsks.2620-fe--fe': 2, 'dnsAsks.9.9.9.9': 1 };
    const router = { 'dnsAt.10.0.0.1': 1, 'dnsAt.fd00--1': 2, 'dnsAt.others': 1 };
    const view = [told('a', own), told('b', router), told('c', own), told('d', {})];
    expect(nameAnswers(view)).toEqual([
      'names of a, c: answered by rulecast-dns, asked in its namespace; upstreams 9.9.9.9, 2620:fe::fe',
      'names of b: answered by rulecast-dns, asked at 10.0.0.1, fd00::1, 1 more; no upstream, so SERVFAIL',
    ]);
  });

  it('shows the counters of each subscriber, or why there are none, in their order', () => {
    const warning = {
      record: 'warning',
      code: 'timeout',
      part: 'subscriber fw-b',
      reason: 'fw-b did not answer within 5000 ms',
    } as const;
    const lookups = counters({ subscriber: 'fw-c', counters: { lookups: 7, nftPeakBytes: 0 } });
    expect(linesOf([counters({ counters: {} }), warning, lookups])).toEqual([
      '',
      'counters of subscriber fw-a',
      '',
      'no counters of subscriber fw-b: timeout: fw-b did not answer within 5000 ms',
      '',
      'counters of subscriber fw-c',
      '  looked up   7 packets since the rules changed',
      '  nft memory  too short to be measured',
    ]);
  });
});
