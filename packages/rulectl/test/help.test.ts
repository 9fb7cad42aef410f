/** What every user meets first: help, version, usage errors. */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { COMMANDS } from '../src/command.ts';
import { EXIT_MEANINGS, ExitCode, exitOfFailure } from '../src/terminal/exit.ts';
import { ndjson, rulectl } from './cli.ts';

const MAIN = [
  'status',
  'test',
  'log',
  'which',
  'history',
  'diff',
  'web',
  'push',
  'rollback',
  'block',
  'allow',
  'cut',
  'blocks',
  'check',
  'lists',
  'init',
  'import',
  'doctor',
  'keys',
];
const SELDOM = ['names', 'get', 'export', 'forget', 'metrics'];

/** What stands under the titles of commands. */
function listed(help: string): readonly string[] {
  const before = help.split('\nOptions:')[0] ?? '';
  return Array.from(before.matchAll(/^ {2}rulectl (\S+)/gm), ([, command = '']) => command);
}

describe('help', () => {
  it('lists the main commands in four groups, and ends with every exit code', async () => {
    const { exit, stdout, stderr } = await rulectl(['--help']);
    expect(exit).toBe(0);
    expect(stderr).toBe('');
    expect(listed(stdout)).toEqual(MAIN);
    expect(stdout.match(/^(See|Change|Lists|Set up):$/gm)).toHaveLength(4);
    for (const [code, meaning] of Object.entries(EXIT_MEANINGS)) {
      expect(stdout).toMatch(new RegExp(`^ +${code} {2}${meaning}$`, 'm'));
    }
  });

  it.each([
    ['help', 'all'],
    ['--help', '--all'],
  ])('%s %s lists the others, and the words of 0.2', async (...args) => {
    const { stdout } = await rulectl(args);
    expect(listed(stdout)).toEqual([...MAIN, ...SELDOM]);
    expect(stdout).toContain('Until 0.4: list is lists show, ');
    const seconds = listed((await rulectl(['lists', '--help'])).stdout).length;
    expect(COMMANDS.size).toBe(MAIN.length + SELDOM.length + seconds);
  });

  it.each([
    ...MAIN,
    ...SELDOM,
    'lists show',
    'lists search',
    'lists try',
    'lists add',
    'lists outdated',
    'lists refresh',
  ])('of %s has examples and exit codes', async (command) => {
    const { exit, stdout, stderr } = await rulectl([...command.split(' '), '--help']);
    expect(exit).toBe(0);
    expect(stderr).toBe('');
    const examples = stdout.split('Examples:\n')[1] ?? '';
    expect(examples).toMatch(new RegExp(`^ {2}.*rulectl ${command}\\b`, 'm'));
    expect(stdout).toContain('Exit codes:\n');
    expect(stdout).toContain('--control');
    expect(stdout.split('\n').filter((line) => line.length > 100)).toEqual([]);
  });

  it('says where the publisher is looked for', async () => {
    const { stdout } = await rulectl(['status', '--help'], { env: { XDG_RUNTIME_DIR: '/run/user/7' } });
    expect(stdout).toContain('unix:/run/user/7/rulecast/control.sock');
  });
});

it('--version prints the version of the package', async () => {
  const manifest = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  const { exit, stdout } = await rulectl(['--version'], { ownProcess: true });
  expect(exit).toBe(0);
  expect(stdout).toBe(`${JSON.parse(manifest).version}\n`);
});

describe('words before the command', () => {
  it('are its options', async () => {
    const args = ['--no-color', '--control', 'unix:/nowhere/at/all.sock', '--json', 'status'];
    const { exit, stdout } = await rulectl(args);
    expect(exit).toBe(ExitCode.unreachable);
    expect(ndjson(stdout)).toMatchObject([
      { kind: 'error', code: 'unreachable', message: expect.stringContaining('/nowhere') },
      { kind: 'end', exit: 3, code: 'unreachable' },
    ]);
  });

  it('may be help; -v is the version', async () => {
    const [help, asked] = [await rulectl(['help', 'push']), await rulectl(['push', '--help'])];
    expect(help).toEqual(asked);
    expect(help.exit).toBe(0);
    expect((await rulectl(['help'])).stdout).toBe((await rulectl(['--help'])).stdout);
    expect((await rulectl(['-v'])).stdout).toBe((await rulectl(['--version'])).stdout);
  });
});

describe('usage errors', () => {
  it('end the process, with their exit code', async () => {
    const { exit, stdout, stderr } = await rulectl(['pusch', 'a'], { ownProcess: true });
    expect(exit).toBe(ExitCode.usage);
    expect(stdout).toBe('');
    expect(stderr).toContain('pusch is no command: did you mean push?');
  });

  it.each([
    [[], 'name a command'],
    [['pusch', 'a'], 'pusch is no command: did you mean push?'],
    [['zzz'], 'zzz is no command'],
    [[''], 'an argument is empty: give it a value, or leave it out'],
    [['keys', 'fleet', ''], 'an argument is empty'],
    [['--'], 'name a command'],
    [['lists', 'spamhaus'], 'lists spamhaus is no command: write rulectl lists show or '],
    [['lists-show', 'a'], 'lists-show is no command: did you mean lists show?'],
    [['push'], 'name at least one file'],
    [['check'], 'name at least one file'],
    [['check', 'a', '--jsno'], '--jsno is no option: did you mean --json?'],
    [['push', 'a', '--lst', 'x'], '--lst is no option: did you mean --list?'],
    [['push', 'a', '--sometimes'], 'Unknown argument: sometimes'],
    [['push', 'a', '--if-present'], '--if-present goes with --withdraw'],
    [['get', 'some'], 'write one of "all"'],
    [['get'], 'say what: rulectl get all'],
    [['export', 'qubes'], 'say what, and of which policy: rulectl export qubes POLICY'],
    [['status', '--list', 'a'], 'Unknown argument: list'],
    [['status', '--watch', '--counters'], 'counters change with every packet: leave out one'],
    [['push', 'a', '--list', 'x', '--list', 'y'], '--list is given twice'],
    [['log', '--name', 'a.example', '--name', 'b.example'], '--name is given twice'],
    [['log', '--qube', '10.0.0.1', '--qube', '10.0.0.2'], '--qube is given twice'],
    [['push', 'a', '--merge', '--withdraw'], '--merge and --withdraw exclude each other'],
    [['push', 'a', '--merge', '--replace-all'], '--replace-all and --merge exclude each other'],
    [['push', 'a', '--wait', 'applied', '--no-wait'], '--no-wait and --wait exclude each other'],
    [['push', 'a', '--wait', 'forever'], 'write one of "released", "applied", "50%"'],
    [['push', 'a', '--timeout', '0'], '--timeout 0: write seconds'],
    [['push', 'a', '--timeout', '1e9'], '--timeout 1e9: write seconds'],
    [['push', 'a', '--if-version', '-1'], 'if-version'],
    [['push', 'a', '--if-version', '1.5'], '--if-version 1.5: write the number of a version'],
    [['push', 'a', '--list', '../x'], '--list "../x": a name has 1 to 63'],
    [['push', '-', '-'], 'standard input) is named twice'],
    [['test'], 'name a packet'],
    [['test', '1.2.3.4', '--dns', '1.1.1.1'], 'Unknown argument: dns'],
    [['check', 'a', '--expect', 'drop'], '--expect goes with --test or --packets'],
    [['check', 'a', '--packets', 'p', '--expect', 'drop'], '--expect goes with --test'],
    [['check', 'a', '--test', '1.2.3.4', '--known-list', 'x'], 'lists without content'],
    [['check', 'a', '--live', '--test', '1.2.3.4'], 'rulectl test asks the firewalls'],
    [['check', 'a', '--direction', 'both'], '--direction both goes with --test'],
    [['check', 'a', '--test', '1.2.3.4', '--subscriber', 'x'], 'Unknown argument: subscriber'],
    [['check', 'a', '--test', '1.2.3.4', '--dns', 'x'], '--dns: "x" is no address'],
    [['check', 'a', '--test', '1.2.3.4', '--at', 'noon'], '--at noon: write seconds since 1970 or ISO 8601'],
    [['check', 'a', '--test', '1.2.3.4', '--address', 'x'], '--address x: write NAME=ADDRESS'],
    [['rollback'], 'name a version'],
    [['rollback', 'v1'], 'v1: write the number of a version'],
    [['rollback', '1', '--list', 'a', '--policy', 'b'], '--list and --policy exclude each other'],
    [['rollback', '1', '--policy', 'a/b'], '--policy "a/b": a name has'],
    [['rollback', '1', '--wait', 'applied', '--no-wait'], '--no-wait and --wait exclude each other'],
    [['diff'], 'name versions, or files'],
    [['diff', '1..2..3'], '1..2..3: write two versions or times as in 41..42'],
    [['diff', '1..x'], '1..x: write two versions'],
    [['diff', '..2'], '..2: write two versions'],
    [['diff', '1', '--list', 'a', '--policy', 'b'], '--list and --policy exclude each other'],
    [['history', '--last', '0'], '--last 0: write how many, or --all'],
    [['lists', 'show'], 'name a list'],
    [['lists', 'add'], 'name a key'],
    [['lists', 'add', 'feodo', '--config', '-'], '--config -: name a file'],
    [['lists', 'add', 'feodo', '--as', 'a b'], '--as "a b" is no name of a list'],
    [['lists', 'add', 'feodo', '--as', 'a', '--as', 'b'], '--as'],
    [['lists', 'show', 'a b'], '"a b" is no name of a list'],
    [['lists', 'show', 'a', '--stats', '--export', 'csv'], '--diff, --stats and --export exclude each other'],
    [['lists', 'show', 'a', '--export', 'docx'], 'write one of "plain"'],
    [['lists', 'show', 'a', '--diff', 'x'], 'x: write two versions'],
    [['lists', 'refresh', '--permit', 'shrunk'], '--permit goes with the names of lists'],
    [['lists', 'refresh', 'a', '--permit', 'accept-all'], 'accept-all is no code of a refusal'],
    [
      ['push', '--permit', 'shrink', 'x'],
      'shrink is no code of a refusal: did you mean shrunk?\nThe codes are empty, shrunk,',
    ],
    [['push', '--permit', 'shrunk,', 'x'], 'an empty code'],
    [['push', '--permit', 'Shrunk', 'x'], 'Shrunk is no code of a refusal'],
    [['push', '--permit', 'constructor', 'x'], 'constructor is no code of a refusal'],
    [['push', '--permit', 'shrunk', '--permit', '__proto__', 'x'], '__proto__ is no code of a refusal'],
    [['push', '--permit', 'short-prefix', 'x'], 'short-prefix is no code of a refusal'],
    [['rollback', '4', '--permit', 'flapping'], 'flapping is no code of a refusal'],
    [['push', '--permit=', 'x'], '--permit has an empty value'],
    [['push', 'x', '--permit'], '--permit needs a value'],
    [['push', 'x', '--allow-shrink=maybe'], 'Unknown argument: allow-shrink'],
    [['lists', 'refresh', 'a/b'], '"a/b" is no name of a list'],
    [['lists', 'refresh', ...Array.from({ length: 33 }, (_, i) => `l${i}`)], 'name at most 32 lists'],
    [['config', 'show', 'x'], 'config is no command'],
    [['config', 'check'], 'name at least one file'],
    [['test', '--offline', 'a'], '--test needs a value'],
    [['status', '--control', '/run/x.sock'], 'did you mean unix:/run/x.sock?'],
  ])('%j', async (args, message) => {
    const { exit, stdout, stderr } = await rulectl(args);
    expect(stderr).toContain(message);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(exit).toBe(ExitCode.usage);
    expect(stdout).toBe('');
  });

  it('show a stack trace only when asked to', async () => {
    const { stderr } = await rulectl(['test'], { env: { RULECTL_DEBUG: '1' } });
    expect(stderr).toMatch(/^\s+at /m);
  });
});

describe('exit codes', () => {
  it.each([
    ['version-moved', 4],
    ['bad-input', 2],
    ['guard-refused', 2],
    ['over-limit', 2],
    ['unknown-release', 2],
    ['no-such-part', 2],
    ['timeout', 5],
    ['storage-failed', 3],
    ['shutting-down', 3],
    ['a-code-of-the-future', 3],
  ])('%s ends with %d', (code, exit) => {
    expect(exitOfFailure(code)).toBe(exit);
  });

  it('are distinct and have a meaning each', () => {
    const codes = Object.values(ExitCode);
    expect(new Set(codes).size).toBe(codes.length);
    expect(Object.keys(EXIT_MEANINGS).map(Number).sort()).toEqual([...codes].sort());
  });
});
