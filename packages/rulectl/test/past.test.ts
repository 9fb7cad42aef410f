/**
 * `rulectl rollback`, `history` and `diff`, run as programs against a publisher that answers as each test
 * says.
 */

import type { Connection, ControlRecordOf, MessageOf } from '@rulecast/protocol';
import { afterEach, describe, expect, it } from 'vitest';
import { recordOf } from '../src/terminal/records.ts';
import { Folder, ndjson, rulectl } from './cli.ts';
import {
  FakePublisher,
  receive,
  receivePush,
  type Script,
  type SentPush,
  sendRecords,
} from './fake-publisher.ts';
import { applied, change, edit, HASH, head, list, NOW_MS, release } from './records.ts';

let publisher: FakePublisher | undefined;
afterEach(async () => {
  await publisher?.stop();
  publisher = undefined;
});

async function run(args: readonly string[], script: Script) {
  publisher = await FakePublisher.start(script);
  return rulectl([...args, '--control', publisher.endpoint]);
}

const done = (connection: Connection, code = 'ok'): Promise<void> =>
  connection.send({ kind: 'done', code, text: '' });

function past(some: Partial<ControlRecordOf<'history'>> = {}): ControlRecordOf<'history'> {
  return {
    record: 'history',
    epoch: 1,
    version: 13,
    hash: HASH,
    createdAtMs: NOW_MS,
    cause: 'push',
    by: 'anna',
    detail: 'drop.txt',
    parts: 2,
    entries: 1_000_000,
    rules: 12,
    changedParts: ['list drop'],
    changedCount: 1,
    added: 1000,
    removed: 998,
    deltaBytes: 4712,
    ...some,
  };
}

describe('rollback', () => {
  it('asks for the version, or a part of it, and reports like a push', async () => {
    let asked: MessageOf<'rollback'> | undefined;
    const args = ['rollback', '12', '--yes', '--list', 'drop', '--if-version', '12', '--timeout', '5'];
    const { exit, stdout, stderr } = await run(args, async (connection) => {
      asked = await receive(connection, 'rollback');
      await sendRecords(connection, [change(), release(), applied()]);
      await done(connection, 'released');
    });
    expect(asked).toEqual({
      kind: 'rollback',
      version: 12,
      list: 'drop',
      ifVersion: 12,
      dryRun: false,
      wait: 'applied',
      timeoutMs: 5000,
    });
    expect(stdout).toMatch(/^list drop +changed +1,000 +3 +998,997$/m);
    expect(stdout).toMatch(/^released version 13 /m);
    expect(stdout).toMatch(/^in force at 1 of 1 subscriber$/m);
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' });
  });

  it('says why, in a line of at most 200 bytes', async () => {
    const words = ['rollback', '12', '--yes', '--no-wait', '--message'];
    await run([...words, 'ä'.repeat(100)], async (connection) => {
      expect((await receive(connection, 'rollback')).message).toBe('ä'.repeat(100));
      await done(connection, 'unchanged');
    });
    for (const text of [`${'ä'.repeat(100)}.`, 'two\nlines', '']) {
      const { exit } = await rulectl([...words, text, '--control', publisher?.endpoint ?? '']);
      expect(exit).toBe(64);
    }
  });

  it.each([
    ['unknown-release', 2],
    ['no-such-part', 2],
    ['guard-refused', 2],
    ['version-moved', 4],
    ['storage-failed', 3],
  ])('refused with %s ends with %d, and says why', async (code, expected) => {
    const text = 'version 3 is not kept any more: the oldest that is kept is 9';
    const { exit, stderr } = await run(['rollback', '3', '--yes'], async (connection) => {
      await receive(connection, 'rollback');
      await connection.send({ kind: 'fail', code, text, version: 9 });
    });
    expect(stderr).toContain(text);
    expect(exit).toBe(expected);
  });

  it('--json prints the records, and the end with the exit code', async () => {
    const { exit, stdout } = await run(
      ['rollback', '3', '--yes', '--no-wait', '--json'],
      async (connection) => {
        expect(await receive(connection, 'rollback')).toMatchObject({ wait: 'released' });
        await sendRecords(connection, [change(), release()]);
        await done(connection, 'released');
      },
    );
    expect(ndjson(stdout)).toEqual([
      recordOf(change()),
      recordOf(release()),
      { kind: 'end', exit: 0, code: 'released' },
    ]);
    expect(exit).toBe(0);
  });
});

describe('history', () => {
  it('is a table, the newest first', async () => {
    const { exit, stdout } = await run(['history'], async (connection) => {
      expect(await receive(connection, 'history')).toEqual({ kind: 'history', most: 20 });
      await sendRecords(connection, [
        past(),
        past({ version: 12, cause: 'rollback', detail: 'to version 9', changedCount: 0, changedParts: [] }),
        past({ version: 11, detail: 'x'.repeat(60), changedParts: ['list a', 'list b'], changedCount: 30 }),
      ]);
      await done(connection);
    });
    const lines = stdout.trimEnd().split('\n');
    expect(lines).toHaveLength(4);
    expect(lines[1]).toMatch(
      /^13 +2026-07-01 00:00:00Z +push drop\.txt +anna +list drop +1,000 +998 +1,000,000 +12 +4\.7 kB$/,
    );
    expect(lines[2]).toMatch(/ rollback to version 9 +anna +- /);
    expect(lines[3]).toMatch(/ push x{34}… +anna +list a, list b and 28 more /);
    expect(exit).toBe(0);
  });

  it('asks for all, and prints records as they are', async () => {
    const { stdout } = await run(['history', '--all', '--json'], async (connection) => {
      expect((await receive(connection, 'history')).most).toBe(Number.MAX_SAFE_INTEGER);
      await sendRecords(connection, [past()]);
      await done(connection);
    });
    expect(ndjson(stdout)).toEqual([recordOf(past()), { kind: 'end', exit: 0, code: 'ok' }]);
  });

  it('has what was said of a release below it, and as a field of its own', async () => {
    const script: Script = async (connection) => {
      await receive(connection, 'history');
      await sendRecords(connection, [past({ message: 'printer\u202e in room 4' }), past({ version: 12 })]);
      await done(connection);
    };
    const lines = (await run(['history'], script)).stdout.split('\n');
    expect([lines[1]?.slice(0, 2), lines[2], lines[3]?.slice(0, 2)]).toEqual([
      '13',
      '  printer\ufffd in room 4',
      '12',
    ]);
    const endpoint = publisher?.endpoint ?? '';
    const json = ndjson((await rulectl(['history', '--json', '--control', endpoint])).stdout);
    expect(json[0]).toEqual({ ...recordOf(past()), message: 'printer\u202e in room 4' });
  });

  it('of a part since a time is asked for as that, all of it unless a number is said', async () => {
    const asked: MessageOf<'history'>[] = [];
    const script: Script = async (connection) => {
      asked.push(await receive(connection, 'history'));
      await done(connection);
    };
    const { exit, stdout } = await run(['history', '--since', '2026-06-30', '--list', 'drop'], script);
    const sinceMs = NOW_MS - 86_400_000;
    expect({ exit, stdout }).toEqual({ exit: 0, stdout: 'no release that is kept is one of those\n' });
    await rulectl(['history', '--policy', 'work', '--control', publisher?.endpoint ?? '']);
    expect(asked).toEqual([
      { kind: 'history', most: Number.MAX_SAFE_INTEGER, sinceMs, list: 'drop' },
      { kind: 'history', most: 20, policy: 'work' },
    ]);
  });

  it.each([
    [['--since', 'tuesday'], '--since tuesday: write a time'],
    [['--list', 'a', '--policy', 'b'], '--list and --policy exclude each other'],
    [['--all', '--last', '3'], '--all and --last exclude each other'],
  ])('%j is refused before anybody is asked', async (words, reason) => {
    const { exit, stderr } = await rulectl(['history', ...words]);
    expect(stderr).toContain(reason);
    expect(exit).toBe(64);
  });

  it('before the first release says so', async () => {
    const { exit, stdout } = await run(['history', '--last', '3'], async (connection) => {
      expect((await receive(connection, 'history')).most).toBe(3);
      await done(connection);
    });
    expect({ exit, stdout }).toEqual({
      exit: 0,
      stdout: 'nothing released yet: push something with rulectl push FILE\n',
    });
  });
});

describe('get', () => {
  const answer =
    (version: number): Script =>
    async (connection) => {
      const received = await connection.receive();
      const request = received?.message.kind === 'greet' ? (await connection.receive())?.message : undefined;
      if (request?.kind === 'status') await sendRecords(connection, [head({ version })]);
      if (request?.kind === 'lists') {
        await sendRecords(connection, [
          list({ name: 'kept', source: 'url', origin: 'https://feeds.example/a' }),
        ]);
      }
      if (request?.kind === 'diff') {
        expect(request).toEqual({ kind: 'diff', from: 0, to: version, stats: false, pushed: true });
        await sendRecords(connection, [
          change({ op: 'add', name: 'drop' }),
          edit({ op: 'added' }),
          change({ op: 'add', name: 'kept' }),
          edit({ op: 'added', name: 'kept' }),
          change({ op: 'add', kind: 'policy', name: 'work' }),
          edit({ op: 'added', name: 'work', aspect: 'default', lines: ['accept'] }),
          edit({
            op: 'added',
            name: 'work',
            aspect: 'egress',
            index: 0,
            lines: ['action=drop comment=a: b'],
          }),
        ]);
      }
      await done(connection);
    };

  it('prints what the newest version says; lists of sources are comments with their count', async () => {
    const { exit, stdout } = await run(['get', 'all'], answer(12));
    expect(stdout.split('\n')).toEqual([
      '# What version 12 says. rulectl push takes it.',
      '# list kept, 2 entries: kept by the publisher, from url https://feeds.example/a',
      'lists:',
      '  drop:',
      '    entries:',
      '      - 192.0.2.0/24',
      '      - 198.51.100.1/32',
      'policies:',
      '  work:',
      '    default: accept',
      '    egress:',
      '      - "action=drop comment=a: b"',
      '    ingress: []',
      '',
    ]);
    expect(exit).toBe(0);
  });

  const part =
    (only: object, kind: string, sent: Parameters<typeof sendRecords>[1]): Script =>
    async (connection) => {
      await connection.receive();
      const request = (await connection.receive())?.message;
      if (request?.kind === 'status') await sendRecords(connection, [head({ version: 12 })]);
      if (request?.kind === 'lists')
        await sendRecords(connection, [
          list({ name: 'kept', source: 'url', origin: 'https://feeds.example/a' }),
        ]);
      if (request?.kind === 'diff' && !request.stats) {
        expect(request).toEqual({ kind: 'diff', from: 0, to: 12, stats: false, pushed: true, ...only });
        await sendRecords(connection, [change({ op: 'add', kind, ...nameOf(only) }), ...sent]);
      }
      await done(connection);
    };
  const nameOf = (only: object) => ({ name: String(Object.values(only)[0]) });

  it.each([
    [
      ['policy', 'work'],
      ['# What version 12 says of policy work. rulectl push takes it.', 'policies:', '  work:'],
      [edit({ op: 'added', name: 'work', aspect: 'default', lines: ['accept'] })],
      ['    default: accept', '    egress: []', '    ingress: []'],
    ],
    [
      ['policy', 'first'],
      ['# What version 12 says of policy first. rulectl push takes it.', 'first:'],
      [edit({ op: 'added', name: 'first', aspect: 'egress', index: 0, lines: ['action=drop'] })],
      ['  egress:', '    - action=drop', '  ingress: []'],
    ],
    [
      ['list', 'drop'],
      ['# What version 12 says of list drop. rulectl push takes it.', 'lists:', '  drop:'],
      [edit({ op: 'added', name: 'drop' })],
      ['    entries:', '      - 192.0.2.0/24', '      - 198.51.100.1/32'],
    ],
    [
      ['list', 'kept'],
      [
        '# What version 12 says of list kept. No push takes it:',
        '# list kept, 2 entries: kept by the publisher, from url https://feeds.example/a',
        ...['lists:', '  kept:'],
      ],
      [edit({ op: 'added', name: 'kept' })],
      ['    entries:', '      - 192.0.2.0/24', '      - 198.51.100.1/32'],
    ],
  ])('of %j is a document of that part alone', async (words, top, records, lines) => {
    const [kind = '', name = ''] = words;
    const { exit, stdout } = await run(['get', ...words], part({ [kind]: name }, kind, records));
    expect(stdout.split('\n')).toEqual([...top, ...lines, '']);
    expect(exit).toBe(0);
  });

  it.each([
    [['all', 'work'], 'all is without a name: did you mean get policy work, or get list work?'],
    [['policy'], 'name a policy: rulectl get policy NAME'],
    [['list', '-'], 'a name has 1 to 63 of'],
    [['qube', 'work'], 'write one of "all", "policy", "list"'],
    [[], 'say what: rulectl get all, get policy NAME or get list NAME'],
  ])('%j is wrong usage', async (words, reason) => {
    const { exit, stderr } = await rulectl(['get', ...words]);
    expect(stderr).toContain(reason);
    expect(exit).toBe(64);
  });

  it('and a rollback take a time for the version that was in force then', async () => {
    const at: Script = async (connection) => {
      await connection.receive();
      const request = (await connection.receive())?.message;
      if (request?.kind === 'history') await sendRecords(connection, [past({ version: 9 })]);
      if (request?.kind === 'rollback') expect(request.version).toBe(9);
      if (request?.kind === 'diff') expect(request).toMatchObject({ from: 0, to: 9 });
      await done(connection, request?.kind === 'rollback' ? 'unchanged' : 'ok');
    };
    expect((await run(['get', 'all', '--version', '2026-07-01'], at)).stdout).toMatch(/^# What version 9/);
    const endpoint = publisher?.endpoint ?? '';
    const { stderr } = await rulectl(['rollback', '1s', '--yes', '--no-wait', '--control', endpoint]);
    expect(stderr).toMatch(/^rulectl: .*Z: version 9 of 2026-07-01 00:00:00Z$/m);
  });

  it('takes the number of a version, and says where there is nothing', async () => {
    const { stdout } = await run(['get', 'all', '--version', '9'], answer(9));
    expect(stdout).toMatch(/^# What version 9 says/);
    const none = await rulectl(['get', 'all', '--control', publisher?.endpoint ?? '', '--version', '0']);
    expect(none).toMatchObject({ exit: 64, stdout: '' });
  });

  it('of a publisher that has released nothing is refused', async () => {
    const { exit, stderr } = await run(['get', 'all'], answer(0));
    expect(stderr).toContain('nothing was released yet');
    expect(exit).toBe(2);
  });
});

describe('diff', () => {
  it('prints each part and its lines with their signs, and ends with 1', async () => {
    const { exit, stdout } = await run(['diff', '9..12'], async (connection) => {
      expect(await receive(connection, 'diff')).toEqual({ kind: 'diff', from: 9, to: 12, stats: false });
      await sendRecords(connection, [
        change({ added: 0, removed: 2 }),
        edit(),
        change({ kind: 'policy', name: 'work', added: 2, removed: 0 }),
        edit({ op: 'added', aspect: 'default', lines: ['accept'] }),
        edit({ op: 'added', aspect: 'prefixes', lines: ['10.137.0.5/32'] }),
        edit({ op: 'added', aspect: 'egress', index: 3, lines: ['action=drop dst=@drop', 'action=accept'] }),
      ]);
      await done(connection, 'different');
    });
    expect(stdout.split('\n')).toEqual([
      'list drop (changed): +0 -2',
      '- 192.0.2.0/24',
      '- 198.51.100.1/32',
      'policy work (changed): +2 -0',
      '+ default accept',
      '+ prefix 10.137.0.5/32',
      '+ egress 4: action=drop dst=@drop',
      '+ egress 5: action=accept',
      '',
    ]);
    expect(exit).toBe(1);
  });

  it.each(['9', '9..'])(
    '%s compares with the newest, and ends with 0 if that is the same',
    async (versions) => {
      const { exit, stdout } = await run(['diff', versions], async (connection) => {
        expect(await receive(connection, 'diff')).toEqual({ kind: 'diff', from: 9, stats: false });
        await done(connection, 'same');
      });
      expect({ exit, stdout }).toEqual({ exit: 0, stdout: 'no difference\n' });
    },
  );

  it('--stats is a table; --json prints the records', async () => {
    const script: Script = async (connection) => {
      expect(await receive(connection, 'diff')).toMatchObject({ stats: true, policy: 'work' });
      await sendRecords(connection, [change({ kind: 'policy', name: 'work' })]);
      await done(connection, 'different');
    };
    const text = await run(['diff', '1..2', '--policy', 'work', '--stats'], script);
    expect(text.stdout).toMatch(/^policy work +changed +1,000 +3 +998,997$/m);
    await publisher?.stop();
    const json = await run(['diff', '1..2', '--policy', 'work', '--stats', '--json'], script);
    expect(ndjson(json.stdout)).toEqual([
      recordOf(change({ kind: 'policy', name: 'work' })),
      { kind: 'end', exit: 1, code: 'different' },
    ]);
  });

  /** Version 12 is of NOW_MS, 9 of a day and a minute before, and 7 of ten days before. */
  const kept: Script = async (connection) => {
    await connection.receive();
    const request = (await connection.receive())?.message;
    if (request?.kind === 'history')
      await sendRecords(connection, [
        past({ version: 12 }),
        past({ version: 9, createdAtMs: NOW_MS - 86_460_000 }),
        past({ version: 7, createdAtMs: NOW_MS - 864_000_000 }),
      ]);
    else await connection.send({ kind: 'fail', code: 'unknown-release', text: JSON.stringify(request) });
    await done(connection, 'same');
  };

  it.each([
    ['2026-06-30', { from: 9 }, '2026-06-30 00:00:00Z: version 9 of 2026-06-29 23:59:00Z; of those up to 11'],
    ['2026-06-29..2026-07-01', { from: 7, to: 12 }, '2026-07-01 00:00:00Z: version 12 of 2026-07-01 00:00'],
    ['9..2026-07-02 10:00', { from: 9, to: 12 }, '2026-07-02 10:00:00Z: version 12'],
    ['41..', { from: 41 }, ''],
    ['0..41', { from: 0, to: 41 }, ''],
  ])('%s takes what was in force then, and says which', async (words, asked, said) => {
    const { stderr } = await run(['diff', words], kept);
    expect(stderr).toContain(said);
    expect(stderr).toContain(JSON.stringify({ kind: 'diff', ...asked, stats: false }));
  });

  it('before what is kept is refused, and before the first release of all is 0', async () => {
    const { exit, stderr } = await run(['diff', '2026-06-01'], kept);
    expect(stderr).toContain('the oldest that is kept is version 7 of 2026-06-21 00:00:00Z');
    expect(exit).toBe(2);
    await publisher?.stop();
    const first: Script = async (connection) => {
      await connection.receive();
      const request = (await connection.receive())?.message;
      if (request?.kind === 'history') await sendRecords(connection, [past({ version: 1 })]);
      else expect(request).toMatchObject({ kind: 'diff', from: 0 });
      await done(connection, 'same');
    };
    expect((await run(['diff', '2026-06-01'], first)).exit).toBe(0);
  });

  it.each(['41..42..43', '...', 'tuesday..', '41..4x', ''])('%j is wrong usage', async (words) => {
    expect((await rulectl(['diff', words])).exit).toBe(64);
  });

  it('of files asks for what a push of them would change, from the newest or another version', async () => {
    const folder = new Folder();
    const drop = folder.write('drop.txt', '192.0.2.0/24\n');
    const work = folder.write('41', 'accept\n');
    const sent: SentPush[] = [];
    const script: Script = async (connection) => {
      sent.push(await receivePush(connection));
      await sendRecords(connection, [change({ added: 0, removed: 2 }), edit()]);
      await done(connection, 'different');
    };
    try {
      const { exit, stdout } = await run(['diff', drop], script);
      expect(stdout.split('\n')).toEqual([
        'list drop (changed): +0 -2',
        '- 192.0.2.0/24',
        '- 198.51.100.1/32',
        '',
      ]);
      expect(exit).toBe(1);
      const at = ['--control', publisher?.endpoint ?? ''];
      await rulectl(['diff', '9..', drop, '--list', 'drop', '--stats', '--replace-all', ...at]);
      await rulectl(['diff', './41', '--policy', 'work', ...at], { cwd: folder.path });
      const json = await rulectl(['diff', drop, '--json', ...at]);
      expect(ndjson(json.stdout)).toMatchObject([{ kind: 'change' }, { kind: 'edit' }, { exit: 1 }]);
      expect(
        sent.map(({ push }) => ({ ...push.compare, dryRun: push.dryRun, all: push.replaceAll })),
      ).toEqual([
        { stats: false, dryRun: true, all: false },
        { from: 9, list: 'drop', stats: true, dryRun: true, all: true },
        { policy: 'work', stats: false, dryRun: true, all: false },
        { stats: false, dryRun: true, all: false },
      ]);
      expect(sent.map(({ push, files }) => [push.list, push.policy, files[0]?.name])).toEqual([
        [undefined, undefined, drop],
        ['drop', undefined, drop],
        [undefined, 'work', './41'],
        [undefined, undefined, drop],
      ]);
      expect(work).toContain('/41');
    } finally {
      folder.remove();
    }
  });

  it('of files that are refused says where, and ends with 2', async () => {
    const folder = new Folder();
    const drop = folder.write('drop.txt', '192.0.2.0/24\nx y\n');
    const reject = {
      record: 'reject',
      file: drop,
      line: 2,
      column: 1,
      code: 'bad',
      reason: 'no prefix',
    } as const;
    const { exit, stdout, stderr } = await run(['diff', drop], async (connection) => {
      await receivePush(connection);
      await sendRecords(connection, [reject]);
      await connection.send({ kind: 'fail', code: 'bad-input', text: 'one line is refused' });
    });
    folder.remove();
    expect(stdout).toContain(`${drop}:2:1`);
    expect({ exit, stderr }).toEqual({
      exit: 2,
      stderr: 'rulectl: one line is refused (rulectl help bad-input)\n',
    });
  });

  it.each([
    [['nowhere.yaml'], 'nowhere.yaml: write two versions or times as in 41..42'],
    [['41', '--format', 'plain'], '--format'],
    [['41..42', '--replace-all'], '--replace-all goes with files'],
    [['41..42', 'package.json'], '41..42 has two ends, and files are one: write 41.. FILE'],
    [[], 'name versions, or files'],
  ])('%j is refused before anybody is asked', async (words, reason) => {
    const { exit, stderr } = await rulectl(['diff', ...words]);
    expect(stderr).toContain(reason);
    expect(exit).toBe(64);
  });

  it('of a version that is gone ends with 2', async () => {
    const { exit, stderr } = await run(['diff', '1..2'], async (connection) => {
      await receive(connection, 'diff');
      await connection.send({ kind: 'fail', code: 'unknown-release', text: 'the oldest is 9', version: 9 });
    });
    expect(exit).toBe(2);
    expect(stderr).toBe('rulectl: the oldest is 9 (rulectl help unknown-release)\n');
  });
});
