/**
 * Going back with real processes: what was released is listed, compared and taken up again, to the firewall's
 * verdict.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Daemon, rulectl, startPublisher, startSubscriber } from '../processes.mjs';

type Row = Readonly<Record<string, unknown>>;

let directory: string;
let publisher: Daemon;
let firewall: Daemon;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'rulecast-rollback-'));
  publisher = await startPublisher(directory);
  firewall = await startSubscriber(directory, 'sys-firewall', ['--state', join(directory, 'subscriber')]);
  await publisher.logged((line) => line['msg'] === 'subscriber connected');
});

afterAll(async () => {
  await firewall.stop();
  await publisher.stop();
  rmSync(directory, { recursive: true, force: true });
});

async function run(...args: string[]): Promise<{ code: number | null; rows: readonly Row[]; text: string }> {
  const { code, stdout, stderr } = await rulectl(directory, args);
  const rows = args.includes('--json')
    ? stdout
        .trim()
        .split('\n')
        .map((line): Row => JSON.parse(line))
    : [];
  return { code, rows, text: stdout + stderr };
}

async function push(name: string, text: string): Promise<void> {
  const path = join(directory, name);
  writeFileSync(path, text);
  const { code, text: output } = await run('push', path);
  expect(code, output).toBe(0);
}

async function verdict(packet: string): Promise<unknown> {
  const { rows, text } = await run('test', packet, '--json');
  const row = rows.find((each) => each['kind'] === 'verdict');
  expect(row, text).toBeDefined();
  return row?.['action'];
}

describe('three pushes', () => {
  beforeAll(async () => {
    await push('drop.txt', '192.0.2.1\n192.0.2.2\n');
    await push('office.rules', 'drop dst=@drop\naccept\n');
    await push('drop.txt', '192.0.2.2\n198.51.100.0/24\n');
  });

  it('are listed, the newest first, with what made and what changed each', async () => {
    const { code, rows } = await run('history', '--json');
    expect(code).toBe(0);
    expect(rows).toMatchObject([
      { version: 3, cause: 'push', changedParts: ['list drop'], added: 1, removed: 1, entries: 2, rules: 2 },
      { version: 2, cause: 'push', changedParts: ['policy default'], added: 2, removed: 0, rules: 2 },
      { version: 1, cause: 'push', changedParts: ['list drop'], added: 2, removed: 0, rules: 0 },
      { kind: 'end', exit: 0 },
    ]);
    expect(rows[0]?.['detail']).toBe(join(directory, 'drop.txt'));
    const { text } = await run('history', '--last', '1');
    expect(text).toMatch(/^version +time +cause /);
    expect(text).toMatch(/^3 +\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ +push .* list drop +1 +1 +2 +2 /m);
    expect(text).not.toMatch(/^2 /m);
  });

  it('are compared, either way and part by part', async () => {
    const there = await run('diff', '1..3');
    expect(there.text).toBe(
      [
        'list drop (changed): +1 -1',
        '- 192.0.2.1/32',
        '+ 198.51.100.0/24',
        'policy default (new): +2 -0',
        '+ default drop',
        '+ egress 1: action=drop dst=@drop',
        '+ egress 2: action=accept',
        '',
      ].join('\n'),
    );
    expect(there.code).toBe(1);
    const back = await run('diff', '3..1', '--list', 'drop');
    expect(back.text).toBe('list drop (changed): +1 -1\n- 198.51.100.0/24\n+ 192.0.2.1/32\n');
    const same = await run('diff', '2..3', '--policy', 'default');
    expect(same).toMatchObject({ code: 0, text: 'no difference\n' });
    const nowhere = await run('diff', '2', '--policy', 'work');
    expect(nowhere).toMatchObject({ code: 2, text: expect.stringContaining('has a policy work') });
  });

  it('are listed by part and time, and printed part by part, as documents that change nothing', async () => {
    const versions = async (...args: string[]) =>
      (await run('history', '--json', ...args)).rows.flatMap((row) => row['version'] ?? []);
    expect(await versions('--list', 'drop')).toEqual([3, 1]);
    expect(await versions('--policy', 'default', '--since', '1h')).toEqual([2]);
    expect(await versions('--since', '2100-01-01')).toEqual([]);
    const { text } = await run('get', 'list', 'drop', '--version', '1');
    const old = join(directory, 'old.yaml');
    writeFileSync(old, text);
    expect(text).toBe(
      '# What version 1 says of list drop. rulectl push takes it.\nlists:\n  drop:\n    entries:\n      - 192.0.2.1/32\n      - 192.0.2.2/32\n',
    );
    const lines = 'list drop (changed): +1 -1\n- 198.51.100.0/24\n+ 192.0.2.1/32\n';
    expect(await run('diff', old)).toMatchObject({ code: 1, text: lines });
    expect(await run('diff', '1..', old, '--list', 'drop')).toMatchObject({
      code: 0,
      text: 'no difference\n',
    });
    const policy = join(directory, 'default.yaml');
    writeFileSync(policy, (await run('get', 'policy', 'default')).text);
    expect(await run('diff', policy)).toMatchObject({ code: 0, text: 'no difference\n' });
    expect((await run('diff', '2000-01-01', '--stats')).text).toMatch(/^list drop +new +2 /m);
  });

  it('are asked which list has an address, and which rule decides', async () => {
    const { code, text } = await run('which', '198.51.100.7');
    expect(code).toBe(0);
    expect(text.split('\n')).toEqual([
      'list drop (pushed): 198.51.100.0/24',
      'qubes of policy default, egress: drop, 2 rules have it',
      '  default rule 1: action=drop dst=@drop (198.51.100.0/24): decides',
      '  default rule 2: action=accept: decides nothing',
      'of version 3',
      '',
    ]);
    const { rows } = await run('which', '192.0.2.1', '--qube', '10.137.0.5', '--json');
    expect(rows).toMatchObject([
      { kind: 'decision', policy: 'default', action: 'accept', by: 'rule', rules: 1 },
      { kind: 'step', ruleIndex: 1, decides: 'rest' },
      { kind: 'end', exit: 0 },
    ]);
  });

  it('are gone back from: the verdicts of the firewall change back, in a new version', async () => {
    expect(await verdict('10.137.0.5 > 198.51.100.7 tcp/443')).toBe('drop');
    expect(await verdict('10.137.0.5 > 192.0.2.1 tcp/443')).toBe('accept');
    const why = 'a list that is too long';
    const dry = await run('rollback', '2', '--yes', '--dry-run', '--json');
    expect(dry.rows).toContainEqual(
      expect.objectContaining({ kind: 'change', added: 1, removed: 1, name: 'drop' }),
    );
    expect(await verdict('10.137.0.5 > 198.51.100.7 tcp/443')).toBe('drop');
    const { code, rows, text } = await run(
      'rollback',
      '2',
      '--yes',
      '--if-version',
      '3',
      '--message',
      why,
      '--json',
    );
    expect(code, text).toBe(0);
    expect(rows).toContainEqual(
      expect.objectContaining({ kind: 'release', version: 4, previousVersion: 3, changed: true }),
    );
    expect(rows).toContainEqual(
      expect.objectContaining({ kind: 'applied', state: 'applied', version: 4, persisted: true }),
    );
    expect(await verdict('10.137.0.5 > 198.51.100.7 tcp/443')).toBe('accept');
    expect(await verdict('10.137.0.5 > 192.0.2.1 tcp/443')).toBe('drop');
    expect(await run('diff', '2..4')).toMatchObject({ code: 0, text: 'no difference\n' });
    const { rows: history } = await run('history', '--last', '1', '--json');
    expect(history[0]).toMatchObject({ version: 4, cause: 'rollback', detail: 'to version 2', message: why });
  });

  it('are gone back from in one list alone', async () => {
    await push('other.txt', '203.0.113.1\n');
    const { code, text } = await run('rollback', '3', '--yes', '--list', 'drop');
    expect(code, text).toBe(0);
    expect(text).toMatch(/^list drop +changed +1 +1 +1$/m);
    expect(text).toContain('in force at 1 of 1 subscriber');
    expect(await verdict('10.137.0.5 > 198.51.100.7 tcp/443')).toBe('drop');
    expect((await run('diff', '5..6', '--list', 'other')).code).toBe(0);
    const again = await run('rollback', '3', '--yes', '--list', 'drop');
    expect(again).toMatchObject({ code: 0, text: expect.stringContaining('no change: version 6') });
  });

  it('are refused where nothing is to go back to', async () => {
    const future = await run('rollback', '99', '--yes');
    expect(future).toMatchObject({ code: 2, text: expect.stringContaining('the newest is 6') });
    const moved = await run('rollback', '1', '--yes', '--if-version', '2');
    expect(moved).toMatchObject({ code: 4, text: expect.stringContaining('version 6, not 2') });
    const part = await run('rollback', '1', '--yes', '--list', 'nobody');
    expect(part).toMatchObject({ code: 2, text: expect.stringContaining('no list nobody') });
    const used = await run('rollback', '1', '--yes', '--policy', 'default');
    expect(used.code, used.text).toBe(2); // version 1 had no such policy, and nothing would be said any more
    expect(used.text).toContain('unmatched-not-said');
    await push('other.txt', '203.0.113.2\n');
  });

  it('outlive the publisher', async () => {
    await publisher.stop();
    publisher = await startPublisher(directory);
    await publisher.logged((line) => line['msg'] === 'subscriber connected');
    await push('drop.txt', '192.0.2.77\n');
    const { rows } = await run('history', '--all', '--json');
    expect(rows.map((row) => row['version'])).toEqual([8, 7, 6, 5, 4, 3, 2, 1, undefined]);
    const back = await run('rollback', '7', '--yes');
    expect(back.code, back.text).toBe(0);
  });
});
