/** `rulectl push`, run as a program against a publisher that answers as each test says. */

import { openSync, readFileSync } from 'node:fs';
import { Output } from '@rulecast/program';
import type { ControlRecord, MessageOf } from '@rulecast/protocol';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { run as runPush } from '../src/commands/push.ts';
import { permittingLine, withoutOldPermits } from '../src/release/permits.ts';
import { recordOf } from '../src/terminal/records.ts';
import { Terminal } from '../src/terminal/terminal.ts';
import { type CliResult, Folder, ndjson, rulectl } from './cli.ts';
import {
  FakePublisher,
  receive,
  receivePush,
  type Script,
  type SentPush,
  sendRecords,
} from './fake-publisher.ts';
import { applied, change, release } from './records.ts';

const folder = new Folder();
let publisher: FakePublisher | undefined;
afterEach(async () => {
  await publisher?.stop();
  publisher = undefined;
});
afterAll(() => folder.remove());

folder.write('drop.txt', '192.0.2.0/24\n198.51.100.7\n');
folder.write('web.rules', 'accept proto=tcp dstports=443\ndrop\n');
const DOCUMENT =
  'lists:\n  drop: { file: lists/drop.txt }\npolicies:\n  default: { egress: ["drop dst=@drop"] }\n';
for (const site of ['a', 'b']) {
  folder.write(`${site}/office.yaml`, DOCUMENT);
  folder.write(`${site}/second.yaml`, DOCUMENT.replace('default', 'common'));
  folder.write(`${site}/lists/drop.txt`, `192.0.2.0/2${site === 'a' ? 4 : 5}\n`);
}
folder.write('lost.yaml', DOCUMENT.replace('lists/drop.txt', 'nowhere.txt'));

interface Answer {
  readonly records?: readonly ControlRecord[];
  readonly end: MessageOf<'done'> | MessageOf<'fail'>;
}

const DONE: MessageOf<'done'> = { kind: 'done', code: 'released', text: 'released version 13' };

/** Pushes to a publisher that gives these answers, one a connection, and keeps what it was sent. */
async function push(
  args: readonly string[],
  answers: readonly Answer[],
  stdin = '',
): Promise<CliResult & { readonly sent: readonly SentPush[] }> {
  const sent: SentPush[] = [];
  await start(async (connection) => {
    sent.push(await receivePush(connection));
    const answer = answers[sent.length - 1];
    if (answer === undefined) throw new Error('one push too many');
    await sendRecords(connection, answer.records ?? []);
    await connection.send(answer.end);
  });
  return { ...(await run(args, stdin)), sent };
}

async function start(script: Script): Promise<void> {
  publisher = await FakePublisher.start(script);
}

function run(args: readonly string[], stdin = ''): Promise<CliResult> {
  const control = ['--control', publisher?.endpoint ?? ''];
  return rulectl(['push', ...args, ...control], { cwd: folder.path, stdin });
}

describe('what is sent', () => {
  it('is by default a replacement that waits five minutes for subscribers', async () => {
    const { exit, sent } = await push(['drop.txt'], [{ records: [release(), applied()], end: DONE }]);
    expect(exit).toBe(0);
    expect(sent).toEqual([
      {
        push: {
          kind: 'push',
          action: 'replace',
          replaceAll: false,
          dryRun: false,
          wait: 'applied',
          timeoutMs: 300_000,
          files: 1,
        },
        files: [{ name: 'drop.txt', role: 'pushed', content: '192.0.2.0/24\n198.51.100.7\n' }],
      },
    ]);
  });

  it.each([
    [['--merge', '--list', 'ads', 'drop.txt'], { action: 'merge', list: 'ads' }],
    [['--withdraw', 'drop.txt'], { action: 'withdraw' }],
    [['--policy', 'work', 'web.rules'], { policy: 'work' }],
    [['--if-version', '12', 'drop.txt'], { ifVersion: 12 }],
    [['--if-version', '0', 'drop.txt'], { ifVersion: 0 }],
    [['--dry-run', 'drop.txt'], { dryRun: true }],
    [['--dry-run', '--replace-all', 'drop.txt'], { dryRun: true, replaceAll: true }],
    [['--no-wait', 'drop.txt'], { wait: 'released' }],
    [['--wait', 'released', '--timeout', '2.5', 'drop.txt'], { wait: 'released', timeoutMs: 2_500 }],
  ])('with %j says so', async (args, expected) => {
    const { exit, sent } = await push(args, [{ end: DONE }]);
    expect(sent.map((each) => each.push)).toEqual([expect.objectContaining(expected)]);
    expect(exit).toBe(0);
  });

  it('has the files that documents name, as they name them, each once', async () => {
    const { exit, sent } = await push(['a/office.yaml', 'a/second.yaml'], [{ end: DONE }]);
    expect(sent[0]?.files.map(({ name, role }) => [name, role])).toEqual([
      ['a/office.yaml', 'pushed'],
      ['a/second.yaml', 'pushed'],
      ['lists/drop.txt', 'referenced'],
    ]);
    expect(sent[0]?.files[2]?.content).toBe('192.0.2.0/24\n');
    expect(exit).toBe(0);
  });

  it('takes standard input', async () => {
    const list = await push(['--list', 'ads', '-'], [{ end: DONE }], '203.0.113.1\n');
    expect(list.sent[0]?.files).toEqual([{ name: '-', role: 'pushed', content: '203.0.113.1\n' }]);
    await publisher?.stop();
    const rules = await push(['-'], [{ end: DONE }], 'drop\n');
    expect(rules.sent[0]?.files).toEqual([{ name: '-', role: 'pushed', content: 'drop\n' }]);
    expect([list.exit, rules.exit]).toEqual([0, 0]);
  });

  it('may be large', async () => {
    const text = Array.from(
      { length: 300_000 },
      (_, i) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}\n`,
    ).join('');
    const file = folder.write('large.txt', text);
    const { exit, sent } = await push([file], [{ end: DONE }]);
    expect(sent[0]?.files[0]?.content).toBe(text);
    expect(exit).toBe(0);
  });
});

describe('refused before anything is sent', () => {
  it.each([
    [['absent.txt'], 2, 'there is no file absent.txt'],
    [['a'], 2, 'a is a folder'],
    [['lost.yaml'], 2, 'lost.yaml names a file that cannot be sent: there is no file nowhere.txt'],
    [
      ['a/office.yaml', 'b/office.yaml'],
      2,
      'two documents name a file lists/drop.txt, which is a/lists/drop.txt for one and b/lists/drop.txt for b/office.yaml',
    ],
    [['--list', 'ads', 'web.rules'], 64, '--list names the list'],
    [['--policy', 'work', 'drop.txt'], 64, '--policy names the policy'],
    [['-'], 64, 'standard input holds a list, which needs a name: add --list NAME'],
  ])('%j ends with %d', async (args, exit, message) => {
    const result = await push(args, [], '192.0.2.1\n');
    expect(result.stderr).toContain(`rulectl: ${message}`);
    expect(result.exit).toBe(exit);
    expect(result.sent).toEqual([]);
  });
});

describe('what people are shown', () => {
  it('changes, release, each subscriber, and a summary', async () => {
    const records = [
      { record: 'progress', stage: 'reading', done: 1, total: 1 } as const,
      { record: 'warning', code: 'unused-list', part: 'spare', reason: 'no rule uses list spare' } as const,
      change(),
      release(),
      applied(),
      applied({ subscriber: 'fw-b', ms: 1_250 }),
    ];
    const { exit, stdout, stderr } = await push(['drop.txt'], [{ records, end: DONE }]);
    expect(stdout.split('\n')).toEqual([
      'warning: no rule uses list spare (unused-list)',
      'part       what     +added  -removed  unchanged',
      'list drop  changed   1,000         3    998,997',
      'released version 13 (epoch 1): 3 parts, 1,000,000 entries and 12 rules, a delta of 4.7 kB from version 12',
      'applied by fw-a in 142 ms, 4.9 kB sent',
      'applied by fw-b in 1.25 s, 4.9 kB sent',
      'in force at 2 of 2 subscribers',
      '',
    ]);
    expect(stderr).toMatch(/^rulectl: \d+ s: reading it \(1 of 1\)\n$/);
    expect(exit).toBe(0);
  });

  it('progress as a line a stage where nobody watches, and none beside records', async () => {
    const stage = (stage: string, done = 0) =>
      ({ record: 'progress', stage, done, total: 2 * done }) as const;
    const records = [stage('draft'), stage('draft'), stage('applying', 1), release(), applied()];
    const { stderr } = await push(['drop.txt'], [{ records, end: DONE }]);
    expect(stderr.replaceAll(/\d+ s/g, 'N s').split('\n')).toEqual([
      'rulectl: N s: comparing it with what is released',
      'rulectl: N s: released, and on its way to subscribers (1 of 2)',
      '',
    ]);
    const json = await push(['--json', 'drop.txt'], [{ records, end: DONE }]);
    expect(json.stderr).toBe('');
    expect(json.stdout).not.toContain('progress');
  });

  it.each([
    [[], 5, 'in force nowhere: subscribers get the release when they connect\n'],
    [['--require', 'none'], 0, 'in force nowhere: subscribers get the release when they connect\n'],
    [['--no-wait'], 0, 'not waiting for subscribers: rulectl status says how far they are\n'],
  ])('with %j and no answers of subscribers ends with %d', async (args, ends, line) => {
    const { exit, stdout } = await push([...args, 'drop.txt'], [{ records: [release()], end: DONE }]);
    expect(stdout.endsWith(line)).toBe(true);
    expect(exit).toBe(ends);
  });

  it('no change is no failure', async () => {
    const end = { kind: 'done', code: 'unchanged', text: 'nothing to release' } as const;
    const { exit, stdout } = await push(
      ['drop.txt'],
      [{ records: [release({ changed: false }), applied({ ms: 0, bytes: 0 })], end }],
    );
    expect(stdout.split('\n')).toEqual([
      'no change: version 13 has this content already',
      'applied by fw-a in 0 ms, 0 B sent',
      'in force at 1 of 1 subscriber',
      '',
    ]);
    expect(exit).toBe(0);
  });

  it('rejects, with the path that the user can open', async () => {
    const reject = {
      record: 'reject',
      line: 1,
      column: 9,
      code: 'bad-address',
      reason: 'no address',
    } as const;
    const records = [
      { ...reject, file: 'a/office.yaml' },
      { ...reject, file: 'lists/drop.txt' },
    ];
    const end = {
      kind: 'fail',
      code: 'bad-input',
      text: '2 lines are refused: nothing was released',
    } as const;
    const { exit, stdout, stderr } = await push(['a/office.yaml'], [{ records, end }]);
    expect(stdout.split('\n')).toEqual([
      'a/office.yaml:1:9: bad-address: no address',
      'a/lists/drop.txt:1:9: bad-address: no address',
      '',
    ]);
    expect(stderr).toBe('rulectl: 2 lines are refused: nothing was released (rulectl help bad-input)\n');
    expect(exit).toBe(2);
  });
});

describe('what guards refuse', () => {
  const refusal = (guard: string, permit: string | undefined = guard): ControlRecord => {
    return { record: 'refusal', guard, part: 'list drop', permit, before: 9, after: 1, reason: 'it is odd' };
  };
  const REFUSED = { kind: 'fail', code: 'guard-refused', text: 'no', guard: 'shrunk' } as const;

  it('is told with the line that takes all of it, as a shell reads it', async () => {
    const records = [refusal('shrunk'), refusal('empty'), refusal('shrunk')];
    const args = ['--permit', 'grown', "it's.txt", '--permit=wider', '--list', 'drop', '--dry-run'];
    folder.write("it's.txt", '192.0.2.0/24\n');
    const { exit, stderr } = await push(args, [{ records, end: REFUSED }]);
    expect(stderr).toContain('nothing was released: guards refuse it');
    const [line = ''] = /^To release it all the same: .*$/m.exec(stderr) ?? [];
    expect(line).toContain(
      "rulectl push --permit grown,wider,shrunk,empty 'it'\\''s.txt' --list drop --dry-run",
    );
    expect(exit).toBe(2);
  });

  it('and no permit takes has no such line', async () => {
    const records = [refusal('shrunk'), { ...refusal('unmatched-not-said'), permit: undefined }];
    const { stderr } = await push(['drop.txt'], [{ records, end: REFUSED }]);
    expect(stderr).not.toContain('--permit');
  });

  it.each([
    [['--permit', 'shrunk'], { '+permit': ['shrunk'], allowShrink: true }],
    [['--permit', 'shrunk,empty', '--permit=grown'], { '+permit': ['shrunk', 'empty', 'grown'] }],
    [['--permit', 'covers-too-much'], { '+permit': ['covers-too-much'], allowCoverage: undefined }],
    [['--permit', 'needs-names'], { '+permit': ['needs-names'], '+allowUnsupported': undefined }],
    [['--permit', 'drop-all'], { '+permit': ['drop-all'], allowDropAll: true }],
    [['--yes'], { '+permit': undefined, allowDropAll: true }],
    [['--allow-coverage'], { '+permit': ['covers-too-much', 'coverage-changed'], allowCoverage: true }],
    [['--allow-unsupported'], { '+permit': ['needs-names', 'needs-openings', 'needs-upgrade'] }],
  ])('%j is what is permitted', async (args, fields) => {
    const { sent } = await push(['drop.txt', ...args], [{ end: DONE }]);
    const request = new Map(Object.entries(sent[0]?.push ?? {}));
    for (const [name, value] of Object.entries(fields))
      expect([name, request.get(name)]).toEqual([name, value]);
  });

  it('is no option where it is a file, nor of another command', () => {
    for (const words of [
      ['push', '--', '--allow-shrink'],
      ['status', '--force'],
      ['push', '--force', 'a'],
    ])
      expect(withoutOldPermits(words)).toEqual({ words, warnings: [] });
    expect(permittingLine(['push', '--', '--permit', 'x'], ['shrunk'])).toBe(
      'rulectl push --permit shrunk -- --permit x',
    );
  });
});

describe('exit codes', () => {
  it.each([
    ['refused', 1, 'refused by fw-b: sink-failed: nft said no'],
    ['timeout', 5, 'on its way to fw-b: no answer yet after 142 ms'],
    ['disconnected', 5, 'disconnected: fw-b'],
    ['superseded', 0, 'superseded at fw-b'],
  ] as const)('a subscriber that is %s: %d', async (state, exit, line) => {
    const other = applied({ subscriber: 'fw-b', state, code: 'sink-failed', text: 'nft said no' });
    const result = await push(['drop.txt'], [{ records: [release(), applied(), other], end: DONE }]);
    expect(result.stdout).toContain(line);
    expect(result.exit).toBe(exit);
  });

  it.each([
    ['guard-refused', 2, 'rulectl: default: no such list (rulectl help guard-refused)\n'],
    ['version-moved', 4, 'rulectl: no such list (rulectl help version-moved)\n'],
    ['storage-failed', 3, 'rulectl: default: no such list (rulectl help storage-failed)\n'],
  ])('FAIL %s: %d', async (code, exit, message) => {
    const end = { kind: 'fail', code, text: 'no such list', part: 'default' } as const;
    const result = await push(['drop.txt'], [{ end }]);
    expect(result.stderr).toBe(message);
    expect(result.exit).toBe(exit);
  });

  it('nobody listens: 3, and what to start', async () => {
    const { exit, stderr } = await rulectl(['push', 'drop.txt'], {
      cwd: folder.path,
      env: { XDG_RUNTIME_DIR: folder.path },
    });
    expect(stderr).toContain(`no publisher answers at unix:${folder.path}/rulecast/control.sock`);
    expect(stderr).toContain('Start rulecast-publisher');
    expect(exit).toBe(3);
  });

  it('the connection ends early: 3', async () => {
    await start(async (connection) => {
      await receivePush(connection);
      await sendRecords(connection, [change()]);
    });
    const { exit, stderr } = await run(['drop.txt']);
    expect(stderr).toContain('was lost before the answer was complete');
    expect(exit).toBe(3);
  });

  it('BYE: 3, with its reason', async () => {
    await start(async (connection) => {
      await receivePush(connection);
      connection.bye('shutting-down', 'the publisher stops');
    });
    const { exit, stderr } = await run(['drop.txt']);
    expect(stderr).toBe(
      'rulectl: the publisher ended the connection: the publisher stops (rulectl help shutting-down)\n',
    );
    expect(exit).toBe(3);
  });

  it('refused while a large file is still being sent: the reason is heard', async () => {
    const file = folder.write('early.txt', '192.0.2.1\n'.repeat(500_000));
    await start(async (connection) => {
      await receive(connection, 'push');
      await receive(connection, 'file');
      await connection.send({ kind: 'fail', code: 'over-limit', text: 'too much' });
    });
    const { exit, stderr } = await run([file]);
    expect(stderr).toBe('rulectl: too much (rulectl help over-limit)\n');
    expect(exit).toBe(2);
  });
});

describe('push --json', () => {
  it('prints the records as they are, and how it ended', async () => {
    const records = [change(), release(), applied({ state: 'timeout' })];
    const { exit, stdout } = await push(['--json', 'drop.txt'], [{ records, end: DONE }]);
    expect(ndjson(stdout)).toEqual([
      ...records.map(recordOf),
      { kind: 'end', exit: 5, code: 'released', text: 'released version 13' },
    ]);
    expect(exit).toBe(5);
  });

  it('ends with an error also where nothing could be sent', async () => {
    const { exit, stdout } = await push(['--json', 'absent.txt'], []);
    expect(ndjson(stdout)).toEqual([
      { kind: 'error', code: 'missing-file', message: 'there is no file absent.txt: check the path' },
      { kind: 'end', exit: 2, code: 'missing-file' },
    ]);
    expect(exit).toBe(2);
  });
});

describe('--replace-all', () => {
  const removal = change({ op: 'remove', name: 'old', added: 0, removed: 5, unchanged: 0 });
  const rehearsal: Answer = {
    records: [change(), removal, release({ dryRun: true, version: 12 })],
    end: { kind: 'done', code: 'planned', text: '' },
  };

  it('--yes looks first, and then asks for what it saw and no other version', async () => {
    const { exit, sent, stdout } = await push(
      ['--replace-all', '--yes', 'drop.txt'],
      [rehearsal, { records: [release(), applied()], end: DONE }],
    );
    expect(sent.map((each) => [each.push.dryRun, each.push.replaceAll, each.push.ifVersion])).toEqual([
      [true, true, undefined],
      [false, true, 12],
    ]);
    expect(stdout).toContain('--replace-all removes list old:\n');
    expect(stdout).toContain('list old  removed       0         5          0\n');
    expect(exit).toBe(0);
  });

  it('ends with 4 if the head moved in between', async () => {
    const end = {
      kind: 'fail',
      code: 'version-moved',
      text: 'the newest release is version 14',
      version: 14,
    } as const;
    const { exit } = await push(['--replace-all', '--yes', 'drop.txt'], [rehearsal, { end }]);
    expect(exit).toBe(4);
  });

  it('is refused in the rehearsal already', async () => {
    const end = { kind: 'fail', code: 'bad-input', text: 'one line is refused' } as const;
    const { exit, sent } = await push(['--replace-all', '--yes', 'drop.txt'], [{ end }]);
    expect(sent.length).toBe(1);
    expect(exit).toBe(2);
  });

  it.each([
    [true, 0, [true, false]],
    [false, 2, [true]],
  ])('asks somebody at a terminal; the answer %s ends with %d', async (answer, exit, dryRuns) => {
    const sent: SentPush[] = [];
    await start(async (connection) => {
      const received = await receivePush(connection);
      sent.push(received);
      await sendRecords(
        connection,
        received.push.dryRun ? (rehearsal.records ?? []) : [release(), applied()],
      );
      await connection.send(received.push.dryRun ? rehearsal.end : DONE);
    });
    const output = folder.write('output', '');
    const questions: string[] = [];
    class AskedTerminal extends Terminal {
      override readonly out = new Output(openSync(output, 'w'));
      override complain(): void {
        // Not shown on the screen of the person who runs the tests.
      }
      override async confirm(question: string): Promise<'yes' | 'no'> {
        questions.push(question);
        return answer ? 'yes' : 'no';
      }
    }
    const terminal = new AskedTerminal({});
    const args = {
      control: publisher?.endpoint ?? '',
      file: [folder.write('drop.txt', '192.0.2.0/24\n')],
      'replace-all': true,
      timeout: '60',
    };
    if (answer) expect(await runPush(args, terminal)).toBe(exit);
    else await expect(runPush(args, terminal)).rejects.toMatchObject({ exit, code: 'declined' });
    terminal.out.flush();
    expect(questions).toEqual(['Remove them?']);
    expect(readFileSync(output, 'utf8')).toContain('--replace-all removes list old:\n');
    expect(sent.map((each) => each.push.dryRun)).toEqual(dryRuns);
  });
});
