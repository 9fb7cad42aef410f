/**
 * What rulecast-dom0 sets in dom0, by tools of the test's own (qrexec/dom0.sh): once, twice, interrupted,
 * after an answer that is no trust line, and taken back.
 */

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeEach, describe, expect, it } from 'vitest';
import { temporaryDirectory } from './kit/directory.ts';
import { DOM0_SCRIPT } from './qrexec/policy.ts';

const TOOLS = fileURLToPath(new URL('qrexec/dom0.sh', import.meta.url));
const TRUST = `rulecast2:${'a'.repeat(32)}:${'b'.repeat(64)}`;
const CONNECT = 'exec:qrexec-client-vm?arg=mgmt&arg=rulecast.Subscribe';
const UNCHANGED = /nothing was changed$/i;

let directory = '';
let policy = '';

beforeEach(() => {
  directory = temporaryDirectory();
  policy = join(directory, '30-rulecast.policy');
  for (const name of ['bin', 'dom0', 'dom0/mgmt', 'dom0/sys-firewall', 'dom0/fw-work'])
    mkdirSync(join(directory, name));
  for (const name of ['check', 'tags', 'features', 'ls', 'run', 'shutdown', 'start'])
    symlinkSync(TOOLS, join(directory, 'bin', `qvm-${name}`));
  program('bin/sudo', '[ "$1 $2 $4" = "install -o -g" ] && { shift 5; set -- install "$@"; }; exec "$@"');
  program('script', readFileSync(DOM0_SCRIPT, 'utf8').replace(/^file=.*$/m, `file='${policy}'`));
  answers(`echo ${TRUST}`);
});

function program(name: string, commands: string): void {
  writeFileSync(join(directory, name), `#!/bin/sh\n${commands}\n`);
  chmodSync(join(directory, name), 0o755);
}

/** What the management qube does with the question for its trust line. */
function answers(commands: string): void {
  program('dom0/mgmt/answers', commands);
}

interface Outcome {
  readonly status: number | null;
  readonly text: string;
}

function run(...args: readonly string[]): Outcome {
  const env = { PATH: `${directory}/bin:/usr/bin:/bin`, DOM0: join(directory, 'dom0') };
  const { status, stdout, stderr } = spawnSync('sh', [join(directory, 'script'), ...args], {
    encoding: 'utf8',
    env,
  });
  return { status, text: `${stdout}${stderr}`.trimEnd() };
}

const set = (): Outcome => run('mgmt', 'sys-firewall', 'fw-work');
const log = (): string => (existsSync(join(directory, 'dom0/log')) ? read('dom0/log') : '');
const read = (name: string): string => readFileSync(join(directory, name), 'utf8');
const feature = (qube: string, name: string): string | undefined =>
  existsSync(join(directory, 'dom0', qube, name)) ? read(`dom0/${qube}/${name}`).trim() : undefined;

function expectSet(): void {
  expect(read('dom0/tags').trim().split('\n')).toEqual([
    'mgmt rulecast-management',
    'sys-firewall rulecast-firewall',
    'fw-work rulecast-firewall',
  ]);
  expect(feature('mgmt', 'service.rulecast-publisher')).toBe('1');
  for (const qube of ['sys-firewall', 'fw-work']) {
    expect(feature(qube, 'service.rulecast')).toBe('1');
    expect(feature(qube, 'vm-config.rulecast-connect')).toBe(CONNECT);
    expect(feature(qube, 'vm-config.rulecast-trust')).toBe(TRUST);
  }
  expect(readFileSync(policy, 'utf8').replace(/^.*\n/, '')).toBe(run('--policy').text.concat('\n'));
}

describe('rulecast-dom0', () => {
  it('sets tags, services, features and policy, and says what to start anew', () => {
    const { status, text } = set();
    expect([status, text.split('\n').at(-1)]).toEqual([
      0,
      'rulecast-dom0: now start anew: sys-firewall fw-work',
    ]);
    expectSet();
    expect(readFileSync(DOM0_SCRIPT, 'utf8')).not.toMatch(/eval|\/tmp/);
  });

  it('changes nothing when it is run again', () => {
    set();
    const before = log();
    const { status, text } = set();
    expect([status, text]).toEqual([0, 'rulecast-dom0: all is as it should be: nothing was changed']);
    expect(log()).toBe(before);
    expectSet();
  });

  it('ends the same wherever it was interrupted', () => {
    set();
    const steps = log().trimEnd().split('\n').length;
    run('--remove');
    for (let step = 0; step < steps; step++) {
      for (const name of ['tags', 'log', 'mgmt/running']) rmSync(join(directory, 'dom0', name));
      writeFileSync(join(directory, 'dom0/limit'), String(step));
      expect(set().status, `step ${step}`).not.toBe(0);
      rmSync(join(directory, 'dom0/limit'));
      expect(set().status).toBe(0);
      expectSet();
      writeFileSync(
        join(directory, 'dom0/limit'),
        String(log().trimEnd().split('\n').length + 1 + (step % 8)),
      );
      expect(run('--remove').status).toBe(null);
      rmSync(join(directory, 'dom0/limit'));
      expect(run('--remove').status).toBe(0);
      expect([existsSync(policy), read('dom0/tags')]).toEqual([false, '']);
    }
  });

  it.each([
    ['of no qube', ['mgmt', 'no-such'], 'there is no qube no-such'],
    ['that begins with a dash', ['mgmt', '-rf'], "'-rf' is no name"],
    ['with shell characters', ['mgmt', 'a;reboot'], 'is no name'],
    ['that is empty', ['', 'sys-firewall'], "'' is no name"],
    ['of dom0', ['mgmt', 'dom0'], "'dom0' is no name"],
    ['for both', ['mgmt', 'sys-firewall', 'mgmt'], 'mgmt cannot be both'],
  ])('changes nothing for a name %s', (_, args, sentence) => {
    const { status, text } = run(...args);
    expect([status, text]).toEqual([1, expect.stringContaining(sentence)]);
    expect(text).toMatch(UNCHANGED);
    expect([log(), existsSync(policy)]).toEqual(['', false]);
  });

  it.each([[[]], [['mgmt']], [['--help']], [['--remove', 'sys-firewall']]])(
    'changes nothing for %j',
    (args) => {
      expect(run(...args).status).toBe(1);
      expect([log(), existsSync(policy)]).toEqual(['', false]);
    },
  );

  it.each([
    ['nothing', 'exit 1'],
    ['shell characters', `echo '${TRUST.slice(0, -9)}$(reboot)'`],
    ['another line before it', `echo; echo evil; echo ${TRUST}`],
    ['another line behind it', `echo ${TRUST}; echo ${TRUST}`],
    ['one hex digit too many', `echo ${TRUST}a`],
    ['a line of Rulecast 0.1', `echo rulecast1:${'a'.repeat(64)}`],
    ['an escape sequence', `printf '\\033]0;x\\007${TRUST}\\n'`],
    ['200 kB', `head -c 200000 /dev/zero | tr '\\0' a`],
    ['no end', 'yes'],
  ])('changes no firewall if the management qube answers with %s', (_, commands) => {
    answers(commands);
    const { status, text } = set();
    expect([status, text]).toEqual([1, expect.stringContaining('mgmt gives no trust line')]);
    expect(text).toContain('No firewall was changed');
    for (const part of ['evil', 'reboot', '\u001b']) expect(text).not.toContain(part);
    expect(log()).not.toMatch(/sys-firewall|fw-work/);
    answers(`echo ${TRUST}`);
    expect(set().status).toBe(0);
    expectSet();
  });

  it('waits two minutes for a management qube that hangs', () => {
    const script = readFileSync(join(directory, 'script'), 'utf8');
    expect(script).toContain('-k 5 120 qvm-run');
    writeFileSync(join(directory, 'script'), script.replace('-k 5 120', '-k 5 0.3'));
    answers('exec sleep 60');
    expect(set().text).toContain('mgmt gives no trust line');
  });

  it('starts a management qube anew that ran before it got its service, once', () => {
    answers(
      'test -e "$DOM0/mgmt/again" || { touch "$DOM0/mgmt/again"; echo too-early; exit; }; '.concat(
        `echo ${TRUST}`,
      ),
    );
    expect(set().status).toBe(0);
    expect(log().match(/^qvm-shutdown .*$/gm)).toEqual(['qvm-shutdown mgmt']);
    expectSet();
    answers('echo too-early');
    expect(set().status).toBe(1);
    expect(log().match(/^qvm-shutdown .*$/gm)).toHaveLength(2);
  });

  it.each([
    ['changed', (text: string) => `${text}rulecast.Push * work mgmt allow\n`],
    ['wrote', () => '# mine\n'],
    ['copied from an earlier version', (text: string) => text.replace(/^.*\n/, '')],
  ])('leaves a policy file alone that a person %s, and all else with it', (_, change) => {
    set();
    const mine = change(readFileSync(policy, 'utf8'));
    writeFileSync(policy, mine);
    const before = log();
    const { status, text } = run('mgmt', 'sys-firewall');
    expect([status, text]).toEqual([1, expect.stringContaining('was written or changed by a person')]);
    expect([readFileSync(policy, 'utf8'), log()]).toEqual([mine, before]);
    const removed = run('--remove');
    expect([removed.status, removed.text]).toEqual([1, expect.stringContaining('it stays')]);
    expect([readFileSync(policy, 'utf8'), read('dom0/tags')]).toEqual([mine, '']);
  });

  it('brings a policy file up to date that an earlier version of it wrote', () => {
    const mark = createHash('sha256').update('old\n').digest('hex');
    writeFileSync(policy, `# rulecast-dom0 wrote this, sha256 ${mark} of what follows: so it is\nold\n`);
    expect(set().status).toBe(0);
    expectSet();
  });

  it('takes all back, and then finds nothing', () => {
    set();
    const { status, text } = run('--remove');
    expect([status, text.split('\n').at(-1)]).toEqual([
      0,
      'rulecast-dom0: what runs goes on until it is started anew',
    ]);
    expect([existsSync(policy), read('dom0/tags')]).toEqual([false, '']);
    for (const qube of ['mgmt', 'sys-firewall', 'fw-work'])
      for (const name of [
        'service.rulecast',
        'service.rulecast-publisher',
        'vm-config.rulecast-trust',
        'vm-config.rulecast-connect',
      ])
        expect(feature(qube, name)).toBe(undefined);
    const again = run('--remove');
    expect([again.status, again.text]).toEqual([0, 'rulecast-dom0: nothing is there: nothing was changed']);
  });

  it('does not say that nothing is there where dom0 does not answer', () => {
    set();
    rmSync(join(directory, 'bin/qvm-ls'));
    program('bin/qvm-ls', 'exit 1');
    const { status, text } = run('--remove');
    expect(status).not.toBe(0);
    expect(text).not.toContain('nothing is there');
  });
});
