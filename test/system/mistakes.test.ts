/**
 * Ordinary mistakes at the command lines of all programs: a sentence with what to do and the right exit code,
 * never a stack trace.
 */

import { spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GONE_OPTIONS } from '../../packages/program/src/gone-options.ts';
import { SECOND_USER, secondUser } from '../kit/second-user.ts';

const BIN = {
  publisher: '../../packages/publisher/bin/rulecast-publisher.js',
  subscriber: '../../packages/subscriber/bin/rulecast-subscriber.js',
  rulectl: '../../packages/rulectl/bin/rulectl.js',
  applier: '../../packages/nftables/bin/rulecast-applier.js',
};
type Program = keyof typeof BIN;
const TRUST = `rulecast2:${'0'.repeat(32)}:${'1'.repeat(64)}`;

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rulecast-mistakes-'));
  writeFileSync(join(folder, 'file'), '192.0.2.1\n');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Ended {
  readonly exit: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface How {
  readonly environment?: Readonly<Record<string, string>>;
  /** Where its standard output goes instead. */
  readonly stdout?: string;
  /** The words before the command that make it run as another user. */
  readonly as?: readonly string[] | undefined;
}

const pathOf = (program: Program): string => fileURLToPath(new URL(BIN[program], import.meta.url));

/** Runs a program to its end, in the folder; nothing that listens is given a place elsewhere. */
async function run(program: Program, args: readonly string[], how: How = {}): Promise<Ended> {
  const out = how.stdout === undefined ? undefined : openSync(how.stdout, 'w');
  const ending = new Promise<Ended>((resolve, reject) => {
    const [command = '', ...words] = [...(how.as ?? []), process.execPath, pathOf(program), ...args];
    const child = spawn(command, words, {
      cwd: how.as === undefined ? folder : '/',
      env: { PATH: process.env['PATH'], XDG_RUNTIME_DIR: folder, ...how.environment },
      stdio: ['ignore', out ?? 'pipe', 'pipe'],
    });
    const ended = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name]?.setEncoding('utf8').on('data', (text: string) => {
        ended[name] += text;
      });
    }
    child.on('error', reject);
    child.on('close', (exit) => resolve({ exit, ...ended }));
  });
  if (out !== undefined) closeSync(out); // the child has it
  return ending;
}

function expectSentence({ exit, stderr }: Ended, expectedExit: number, says: string): void {
  expect(stderr).toContain(says);
  expect(stderr).not.toMatch(/^ +at /m); // of a stack trace
  expect(exit).toBe(expectedExit);
}

const MIRROR = ['--connect', 'https://rules.example/'];
const twice = (...words: readonly string[]): readonly string[] => [...words, ...words];
describe('an option that is given twice is refused', () => {
  it.each<[Program, readonly string[], string]>([
    ['publisher', twice('--state', 'a'), '--state'], // a stack trace
    ['publisher', twice('--log-level', 'info'), '--log-level'], // a stack trace
    ['subscriber', ['--trust', TRUST, ...twice('--boot', 'closed')], '--boot'], // booted open
    ['subscriber', ['--trust', TRUST, ...twice('--dns', '192.0.2.1')], '--dns'], // a stack trace
    ['subscriber', ['--trust', TRUST, '--enforce', '--no-enforce'], '--enforce'],
    ['rulectl', ['push', ...twice('--timeout', '1'), 'file'], '--timeout'],
    ['rulectl', ['status', ...twice('--json')], '--json'],
    ['applier', twice('--group', '2'), '--group'],
    ['applier', twice('--supervise'), '--supervise'],
  ])('%s %j', async (program, args, option) => {
    expectSentence(await run(program, args), 64, `${option} is given twice: give it once`);
  });
});

describe('options that are gone', () => {
  // By exit 64 a firewall whose unit has one would not start after an upgrade.
  it.each<[Program, readonly string[]]>([
    ['publisher', []],
    ['subscriber', ['--trust', TRUST]],
  ])('are taken by %s, do nothing and are warned of', async (program, own) => {
    const gone = Object.entries(GONE_OPTIONS[`rulecast-${program}`] ?? {});
    const words = gone.flatMap(([option, { type }]) => [`--${option}`, ...(type === 'string' ? ['x'] : [])]);
    const ended = await run(program, [...own, ...words, '--state', 'file']);
    expectSentence(ended, 1, 'file exists and is no directory');
    for (const [option, { instead }] of gone)
      expectSentence(ended, 1, `--${option} does nothing any more: ${instead}`);
    const { stdout } = await run(program, ['--help']);
    for (const [option] of gone) expect(stdout).not.toContain(option);
  });

  it('are taken from the environment, too', async () => {
    const environment = { RULECAST_CHECK_MINUTES: '0.001', RULECAST_UNOWNED: 'true' };
    const ended = await run('subscriber', ['--trust', TRUST, '--state', 'file'], { environment });
    expectSentence(ended, 1, '--check-minutes does nothing any more');
    expectSentence(ended, 1, '--unowned does nothing any more');
  });
});

describe('values that nothing can be done with', () => {
  it.each<[Program, readonly string[], number, string]>([
    ['publisher', ['--state', 'file'], 1, 'file exists and is no directory'], // a stack trace
    ['publisher', ['--state', '/proc/x'], 1, '/proc takes no new directories'], // hung
    ['publisher', ['--state', '/proc/x', '--init'], 1, '/proc takes no new directories'], // hung
    ['publisher', ['--state', 'a', '--listen', 'unix:/proc/x/y'], 1, 'cannot listen on unix:/proc/x/y'], // hung
    ['publisher', ['--state', ''], 64, '--state has an empty value'], // a stack trace
    ['publisher', ['--listen'], 64, '--listen needs a value'], // listened nowhere
    ['publisher', ['--dns-server', 'foo'], 64, '--dns-server foo: write an address'], // a stack trace
    ['publisher', ['--config', '/dev/zero'], 78, '/dev/zero has more than'], // read on until memory ended
    ['publisher', ['stray'], 64, 'Unknown argument: stray'],
    ['subscriber', [], 64, '--trust LINE or --trust FILE is missing'],
    ['subscriber', ['--trust', '/dev/zero'], 64, 'neither a trust line nor a file'], // read on until memory ended
    ['subscriber', ['--trust', TRUST, '--state', 'file'], 1, 'file exists and is no directory'],
    ['subscriber', ['--trust', TRUST, '--state', '/proc/x'], 1, '/proc takes no new directories'], // hung
    ['subscriber', ['--trust', TRUST, '--boot', 'ajar'], 64, '--boot "ajar": write one of'],
    ['subscriber', ['--trust', TRUST, '--enforce=yes'], 64, '--enforce=yes: write --enforce alone'], // did not enforce
    ['subscriber', ['--trust', TRUST, '--user', 'nobody'], 64, '--user nobody goes with --enforce'], // stayed root
    ['subscriber', ['--trust', TRUST, '--enforce', '--applier-user', 'x'], 64, '--applier-user x goes with'],
    ['subscriber', ['--trust', TRUST, '--iif-group', ''], 64, '--iif-group has an empty value'], // group 0
    [
      'subscriber',
      ['--trust', TRUST, '--connect', 'unix:a', '--connect', 'unix:b'],
      64,
      '--connect unix:b: several',
    ],
    [
      'subscriber',
      ['--trust', TRUST, '--connect', 'https://a/ http://b/ unix:c'],
      64,
      '--connect http://b/ unix:c: beside',
    ],
    ['subscriber', ['--trust', TRUST, '--connect', 'https://'], 64, '--connect https://: beside a mirror'],
    ['subscriber', ['--trust', TRUST, '--ca', 'file'], 64, '--ca and --report-token go with --connect https'],
    ['subscriber', ['--trust', TRUST, ...MIRROR, '--ca', 'file'], 64, '--ca: file holds no certificates'],
    [
      'subscriber',
      ['--trust', TRUST, ...MIRROR, '--ca', '/dev/zero'],
      64,
      '--ca: /dev/zero holds no certificates',
    ],
    ['subscriber', ['--trust', TRUST, ...MIRROR, '--report-token', 'file'], 1, '--report-token: file is'],
    ['subscriber', ['--trust', TRUST, ...MIRROR, '--poll', '0'], 64, '--poll 0: a number of seconds from 1'],
    [
      'subscriber',
      ['--trust', TRUST, ...MIRROR, '--stale', 'closed'],
      64,
      '--stale closed goes with --report-token',
    ],
    ['publisher', ['--curve-key', '/dev/zero'], 64, '/dev/zero is too large for a file of keys'], // hung
    ['rulectl', ['check', '/dev/zero'], 2, '/dev/zero has'], // hung
    ['rulectl', ['push', '--dry-run=yes', 'file'], 64, '--dry-run=yes: write --dry-run alone'], // released
    ['applier', ['--group', '4294967296'], 64, '--group 4294967296: write a number up to'],
    ['applier', ['--group'], 64, '--group needs a value'],
    ['applier', ['stray', 'x'], 64, 'stray is no option'],
  ])('%s %j', async (program, args, exit, says) => {
    expectSentence(await run(program, args), exit, says);
  });
});

describe('output on a full disk', () => {
  it.each<[Program, readonly string[]]>([
    ['publisher', ['--help']],
    ['publisher', ['--state', 'full', '--init']],
    ['subscriber', ['--version']],
    ['rulectl', ['--help']],
    ['rulectl', ['check', '--json', 'file']], // a stack trace
  ])('%s %j', async (program, args) => {
    expectSentence(await run(program, args, { stdout: '/dev/full' }), 74, 'no space is left');
  });
});

describe('the environment of the subscriber', () => {
  it.each<[Readonly<Record<string, string>>, readonly string[], number, string]>([
    [{ RULECAST_BOOT: 'Open' }, [], 64, '--boot "Open": write one of'],
    [{ RULECAST_ENFORCE: 'yes' }, [], 64, 'given by the environment: RULECAST_TRUST, RULECAST_ENFORCE'],
    [{ RULECAST_STATE: 'file' }, [], 1, 'file exists and is no directory'],
    [{ RULECAST_STATE: 'other' }, ['--state', 'file'], 1, 'file exists and is no directory'],
    [
      { RULECAST_CONNECT: 'https://a/ https://b/', RULECAST_STALE: 'closed' },
      [],
      64,
      '--stale closed goes with',
    ],
    [{ RULECAST_CONNECT: 'https://a/ unix:b' }, [], 64, '--connect https://a/ unix:b: beside a mirror'],
    [{ RULECAST_TRUST: '' }, [], 64, '--trust LINE or --trust FILE is missing'],
  ])('%j and %j', async (environment, args, exit, says) => {
    const how = { environment: { RULECAST_TRUST: TRUST, ...environment } };
    expectSentence(await run('subscriber', args, how), exit, says);
  });
});

it('a subscriber that can have no table ends at its start, and says what keeps it from it', async () => {
  const state = join(folder, 'without-table');
  const args = ['--trust', TRUST, '--state', state, '--connect', `unix:${join(folder, 'nobody')}`];
  const ended = await run('subscriber', args, { environment: { NODE_OPTIONS: '--jitless' } });
  expectSentence(
    ended,
    1,
    'this process has no WebAssembly, and a table answers nothing without it: start Node without --jitless',
  );
  expect(readdirSync(state)).toEqual(['lock']); // nothing else was begun
});

/** This user, or one that root becomes. */
const isRoot = process.getuid?.() === 0;
const as = isRoot ? secondUser() : [];

describe.skipIf(as === undefined)('a user without rights', () => {
  let home = '';
  beforeAll(() => {
    home = join(folder, 'home');
    mkdirSync(home);
    for (const path of [tmpdir(), folder]) chmodSync(path, statSync(path).mode | 0o011); // to be passed through
    if (isRoot) chownSync(home, SECOND_USER, SECOND_USER);
  });

  it('keeps the state below its home', async () => {
    const { exit, stdout } = await run('publisher', ['--init'], { as, environment: { HOME: home } });
    expect(stdout).toMatch(/^rulecast2:/);
    expect(exit).toBe(0);
    expect(statSync(join(home, '.local/state/rulecast/publisher/identity')).mode & 0o777).toBe(0o600);
  });

  // A stack trace of EACCES.
  it('is told what it may not write', async () => {
    const ended = await run('publisher', ['--init', '--state', '/usr/rulecast-mistakes/x'], { as });
    expectSentence(ended, 1, 'this user may not write in /usr');
  });

  it('is told where it may not listen', async () => {
    const environment = { HOME: home, XDG_RUNTIME_DIR: '' };
    const ended = await run('publisher', [], { as, environment });
    expectSentence(ended, 1, 'cannot listen on unix:/run/rulecast/control.sock: ');
    expectSentence(ended, 1, 'name a place for this user with --listen'); // whether that directory is there or not
  });
});
