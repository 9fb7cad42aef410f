/** `rulectl block`, `allow`, `cut` and `blocks`: what they ask for, and what they show. */

import type { ControlRecordOf, Message, MessageOf } from '@rulecast/protocol';
import { afterEach, describe, expect, it } from 'vitest';
import { recordOf } from '../src/terminal/records.ts';
import { rulectl } from './cli.ts';
import { FakePublisher, receive, sendRecords } from './fake-publisher.ts';
import { applied, change, edit, release } from './records.ts';

let publisher: FakePublisher | undefined;
afterEach(async () => {
  await publisher?.stop();
  publisher = undefined;
});

/** Runs a command against a publisher that releases whatever it is asked for. */
async function run(...args: readonly string[]) {
  const [command] = args;
  const kind = command !== 'blocks' ? 'block' : args.includes('--remove') ? 'unblock' : 'blocks';
  let asked: Message | undefined;
  publisher = await FakePublisher.start(async (connection) => {
    asked = await receive(connection, kind);
    if (asked.kind === 'blocks') await sendRecords(connection, ROWS);
    else await sendRecords(connection, [release(), applied()]);
    await connection.send({ kind: 'done', code: asked.kind === 'blocks' ? 'ok' : 'released', text: '' });
  });
  return { ...(await rulectl([...args, '--control', publisher.endpoint])), asked };
}

const NOW_MS = Date.now();
const ROWS: readonly ControlRecordOf<'block'>[] = [
  {
    record: 'block',
    row: 3,
    verb: 'block',
    target: 'ads.example',
    atMs: 1_782_864_000_000,
    by: 'alice',
    comment: 'seen in the log',
  },
  {
    record: 'block',
    row: 14,
    verb: 'cut',
    qube: '10.137.0.5',
    atMs: 1_782_864_060_000,
    untilMs: NOW_MS + 3_630_000,
    by: '(owner)',
  },
];
const RELEASING = { dryRun: false, wait: 'applied', timeoutMs: 300_000 };

describe('block, allow and cut', () => {
  it.each([
    [['block', '203.0.113.7'], { verb: 'block', target: '203.0.113.7' }],
    [
      ['block', '@russia', '--qube', 'work', '--for', '2d'],
      { verb: 'block', target: '@russia', qube: 'work', seconds: 172_800 },
    ],
    [
      ['allow', 'debian.org', '--qube', '10.137.0.5', '--for', '1h', '--comment', 'for now'],
      { verb: 'allow', target: 'debian.org', qube: '10.137.0.5', seconds: 3600, comment: 'for now' },
    ],
    [['cut', 'fd09::5', '--for', '10m'], { verb: 'cut', qube: 'fd09::5', seconds: 600 }],
    [
      ['cut', 'work', '--for', '30s', '--permit', 'unreachable'],
      { verb: 'cut', qube: 'work', seconds: 30, '+permit': ['unreachable'] },
    ],
    [
      ['block', '203.0.113.7', '--no-wait', '--dry-run'],
      { verb: 'block', target: '203.0.113.7', dryRun: true, wait: 'released' },
    ],
  ])('%j asks for that, and waits until firewalls have it', async (args, request) => {
    const { asked, exit, stdout } = await run(...args);
    expect(asked).toEqual({ kind: 'block', ...RELEASING, ...request });
    expect(stdout).toContain('applied');
    expect(exit).toBe(0);
  });

  it.each([
    [['block'], 'name an address, a prefix, a name or @LIST'],
    [['block', 'a', 'b'], 'Unknown argument: b'],
    [['block', 'a', '--for', '1w'], '--for 1w: write a number and s, m, h or d'],
    [['block', 'a', '--for', '0s'], '--for 0s: write a number'],
    [['block', 'a', '--for', '4000d'], 'at most 10 years'],
    [['block', 'a', '--for', '1h', '--for', '2h'], '--for is given twice'],
    [['block', 'a', '--qube', 'x', '--qube', 'y'], '--qube is given twice'],
    [['block', 'a', '--comment', 'x'.repeat(101)], '--comment: at most 100 bytes'],
    [['block', 'x'.repeat(256)], 'the target: at most 255 bytes'],
    [['block', 'a\u0007'], 'without control characters'],
    [['allow', 'a'], 'qube'],
    [['cut'], 'name a qube by its address'],
    [['cut', 'a', 'b'], 'Unknown argument: b'],
    [['cut', 'a', '--qube', 'b'], 'Unknown argument: qube'],
    [['blocks', '--remove', '3,x'], '--remove x: write the number of a row'],
    [['blocks', '--remove', '3,all'], '--remove all excludes numbers'],
    [['blocks', '--remove', ''], '--remove has an empty value'],
    [['blocks', '--dry-run'], '--dry-run goes with --remove'],
  ])('%j is wrong usage', async (args, reason) => {
    const { exit, stderr } = await rulectl(args);
    expect(stderr).toContain(reason);
    expect(exit).toBe(64);
  });
});

describe('blocks', () => {
  it('shows who did what, when, why, and until when', async () => {
    const { stdout, exit } = await run('blocks');
    const until = `${new Date(NOW_MS + 3_630_000).toISOString().slice(0, 19).replace('T', ' ')}Z`;
    expect(stdout.split('\n')).toEqual([
      'row  what   target       for         until                          by       since                 comment',
      '3    block  ads.example  all qubes   it is removed                  alice    2026-07-01 00:00:00Z  seen in the log',
      `14   cut    everything   10.137.0.5  ${until} (in 1 h)  (owner)  2026-07-01 00:01:00Z  -`,
      '',
    ]);
    expect(exit).toBe(0);
  });

  it('is records with --json', async () => {
    const { stdout } = await run('blocks', '--json');
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toEqual([...ROWS.map(recordOf), { kind: 'end', exit: 0, code: 'ok' }]);
  });

  it.each([
    [['--remove', '3,14', '--remove', '3'], { rows: [3, 14] }],
    [['--remove', 'all'], { rows: [], all: true }],
  ])('%j removes rows', async (args, rows) => {
    const { asked, exit } = await run('blocks', ...args);
    expect(asked).toEqual({ kind: 'unblock', ...RELEASING, ...rows });
    expect(exit).toBe(0);
  });
});

it('get shows rows as comments, and what was pushed without them', async () => {
  let asked: MessageOf<'diff'> | undefined;
  publisher = await FakePublisher.start(async (connection) => {
    await connection.receive();
    const request = (await connection.receive())?.message;
    if (request?.kind === 'diff') {
      asked = request;
      await sendRecords(connection, [
        ...ROWS,
        change({ op: 'add', kind: 'policy', name: 'pair' }),
        edit({ op: 'added', kind: 'policy', name: 'pair', aspect: 'default', lines: ['accept'] }),
      ]);
    }
    await connection.send({ kind: 'done', code: request?.kind === 'diff' ? 'different' : 'ok', text: '' });
  });
  const get = async (...args: readonly string[]) =>
    (await rulectl(['get', ...args, '--version', '9', '--control', publisher?.endpoint ?? ''])).stdout;
  const all = (await get('all')).split('\n');
  expect(asked).toMatchObject({ from: 0, to: 9, pushed: true });
  expect(all).toEqual([
    '# What version 9 says. rulectl push takes it.',
    '# row 3: rulectl block ads.example: seen in the log',
    expect.stringMatching(/^# row 14: rulectl cut 10\.137\.0\.5, until 2\d{3}-/),
    'lists: {}',
    'policies:',
    '  pair:',
    '    default: accept',
    '    egress: []',
    '    ingress: []',
    '',
  ]);
  const one = (await get('policy', 'pair')).split('\n');
  expect(one).toEqual([
    '# What version 9 says of policy pair. rulectl push takes it.',
    ...all.slice(1, 3),
    ...all.slice(4),
  ]);
});
