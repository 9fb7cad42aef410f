/** The main job with real processes: publisher, subscriber and rulectl, from a file to a verdict. */

import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Daemon, PERMITTED, rulectl, startPublisher, startSubscriber } from './processes.mjs';

type Row = Readonly<Record<string, unknown>>;

const LISTS = fileURLToPath(new URL('fixtures/lists/', import.meta.url));
const RUSSIA = join(LISTS, 'country-ru-ipv4.netset');

let directory: string;
let publisher: Daemon;
let firewall: Daemon;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'rulecast-job-'));
  publisher = await startPublisher(directory);
  firewall = await startFirewall();
});

afterAll(async () => {
  await firewall.stop();
  await publisher.stop();
  rmSync(directory, { recursive: true, force: true });
});

function startFirewall(): Promise<Daemon> {
  return startSubscriber(directory, 'sys-firewall', ['--state', join(directory, 'subscriber')]);
}

/** Runs rulectl with --json: its exit code and its records. */
async function records(
  ...args: string[]
): Promise<{ code: number | null; rows: readonly Row[]; stderr: string }> {
  const { code, stdout, stderr } = await rulectl(directory, [...args, '--json']);
  const rows = stdout
    .trim()
    .split('\n')
    .filter((line) => line !== '')
    .map((line): Row => JSON.parse(line));
  return { code, rows, stderr };
}

function record(rows: readonly Row[], name: string): Row {
  const row = rows.find((candidate) => candidate['kind'] === name);
  if (row === undefined) throw new Error(`no ${name} among ${JSON.stringify(rows)}`);
  return row;
}

/** Pushes and expects exit 0 and that the firewall applied it. */
async function pushed(...args: string[]): Promise<{ readonly release: Row; readonly applied: Row }> {
  const { code, rows, stderr } = await records('push', ...PERMITTED, ...args);
  expect(code, stderr + JSON.stringify(rows)).toBe(0);
  return { release: record(rows, 'release'), applied: record(rows, 'applied') };
}

async function verdictOf(packet: string): Promise<Row> {
  const { code, rows, stderr } = await records('test', packet);
  expect(code, stderr).toBe(0);
  return record(rows, 'verdict');
}

async function versions(): Promise<{
  readonly head: unknown;
  readonly firewall: unknown;
  readonly state: unknown;
}> {
  const { rows } = await records('status');
  const subscriber = record(rows, 'subscriber');
  return {
    head: record(rows, 'head')['version'],
    firewall: subscriber['version'],
    state: subscriber['state'],
  };
}

function write(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

describe('the main job', () => {
  it('carries a rule set of real lists as a snapshot, and its verdicts name policy, rule, list and prefix', async () => {
    await publisher.logged((line) => line['msg'] === 'subscriber connected');
    const document = write(
      'firewall.yaml',
      `lists:\n  russia: { file: ${RUSSIA} }\npolicies:\n  work:\n    prefixes: [10.137.0.5]\n    egress:\n      - drop dst=@russia\n      - accept proto=tcp dstports=443\nunmatched: accept\n`,
    );
    const { release, applied } = await pushed(document);
    expect(release).toMatchObject({ epoch: 1, version: 1, parts: 3, rules: 2, changed: true });
    expect(applied).toMatchObject({
      subscriber: 'sys-firewall',
      state: 'applied',
      version: 1,
      persisted: true,
    });
    expect(await versions()).toEqual({ head: 1, firewall: 1, state: 'synced' });
    expect(await verdictOf('10.137.0.5 > 5.3.0.1 tcp/443')).toMatchObject({
      action: 'drop',
      policy: 'work',
      rule: 'action=drop dst=@russia',
      list: 'russia',
      prefix: '5.3.0.0/16',
      version: 1,
    });
    expect(await verdictOf('10.137.0.5 > 192.0.2.1 tcp/443')).toMatchObject({
      action: 'accept',
      rule: 'action=accept proto=tcp dstports=443-443',
    });
    expect(await verdictOf('10.137.0.9 > 192.0.2.1 tcp/443')).toMatchObject({ action: 'none' });
  });

  it('shows on demand what the firewall counted: it looks nothing up itself, so no list matched', async () => {
    const { rows } = await records('status', '--counters');
    expect(record(rows, 'counters')).toEqual({
      kind: 'counters',
      subscriber: 'sys-firewall',
      counters: {
        generation: expect.any(Number),
        bytes: expect.any(Number),
        lookups: 0,
        'list.russia': 0,
        stale: 0,
        freshAgeMs: expect.any(Number),
      },
    });
    const { code, stdout } = await rulectl(directory, ['status', '--counters']);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^counters of subscriber sys-firewall\n {2}looked up +0 packets since the rules changed\n {2}list russia +0 packets$/m,
    );
  });

  it('carries a changed list as a delta of its own size', async () => {
    const lines = readFileSync(RUSSIA, 'utf8').trimEnd().split('\n');
    const changed = [...lines.filter((line) => line !== '5.3.0.0/16'), '203.0.113.0/24'];
    const { release, applied } = await pushed(write('russia.netset', `${changed.join('\n')}\n`));
    expect(release).toMatchObject({ version: 2, changed: true });
    expect(Number(release['deltaBytes'])).toBeLessThan(100);
    expect(Number(applied['bytes'])).toBeLessThan(1000);
    expect(await verdictOf('10.137.0.5 > 5.3.0.1 tcp/443')).toMatchObject({ action: 'accept', version: 2 });
    expect(await verdictOf('10.137.0.5 > 203.0.113.9 tcp/443')).toMatchObject({
      action: 'drop',
      prefix: '203.0.113.0/24',
    });
  });

  it('makes no version of a push whose content is the same', async () => {
    const { code, rows } = await records('push', ...PERMITTED, join(directory, 'russia.netset'));
    expect(code).toBe(0);
    expect(record(rows, 'release')).toMatchObject({ version: 2, changed: false });
    expect(await versions()).toEqual({ head: 2, firewall: 2, state: 'synced' });
  });

  it('refuses a file with one bad line whole, naming line and column', async () => {
    const bad = write('bad.rules', 'accept specialtarget=dns\ndrop dst4=1.2.3.4/33\n');
    const { code, rows } = await records('push', bad);
    expect(code).toBe(2);
    expect(record(rows, 'reject')).toMatchObject({ file: bad, line: 2, column: 11 });
    expect(await versions()).toEqual({ head: 2, firewall: 2, state: 'synced' });
  });

  it('refuses a rule that uses a list nobody has, and a push for another version', async () => {
    const unknown = await records('push', write('unknown.rules', 'drop dst=@nowhere\n'));
    expect(unknown.code).toBe(2);
    expect(JSON.stringify(unknown.rows)).toContain('nowhere');
    const moved = await records('push', RUSSIA, '--list', 'russia', '--if-version', '1');
    expect(moved.code).toBe(4);
    expect(await versions()).toEqual({ head: 2, firewall: 2, state: 'synced' });
  });

  it('merges into a list and withdraws from it', async () => {
    const more = write('more.txt', '198.51.100.0/25\n');
    await pushed(more, '--list', 'russia', '--merge');
    expect(await verdictOf('10.137.0.5 > 198.51.100.1 tcp/443')).toMatchObject({
      action: 'drop',
      list: 'russia',
    });
    await pushed(more, '--list', 'russia', '--withdraw');
    expect(await verdictOf('10.137.0.5 > 198.51.100.1 tcp/443')).toMatchObject({ action: 'accept' });
    expect(await versions()).toEqual({ head: 4, firewall: 4, state: 'synced' });
  });

  it('removes nothing by --replace-all where nobody can be asked, and shows by --dry-run what it would', async () => {
    const one = write('all.yaml', 'policies:\n  default:\n    egress: [accept dst4=192.0.2.0/24]\n');
    const asked = await records('push', one, '--replace-all');
    expect(asked.code).toBe(2);
    expect(asked.rows.slice(-2)).toMatchObject([
      { kind: 'error', code: 'declined', message: expect.stringContaining('--dry-run') },
      { kind: 'end', code: 'declined' },
    ]);
    expect(await versions()).toMatchObject({ head: 4 });
    const dry = await records('push', one, '--replace-all', '--yes', '--dry-run');
    expect(dry.rows.filter((row) => row['op'] === 'remove').map((row) => row['name'])).toEqual([
      'russia',
      'work',
      '', // unmatched
    ]);
    expect(await versions()).toMatchObject({ head: 4 });
  });

  it('sends no snapshot after a restart of the publisher', async () => {
    const { rows: before } = await records('status');
    await publisher.stop();
    publisher = await startPublisher(directory);
    await publisher.logged((line) => line['msg'] === 'subscriber connected');
    const { rows: after } = await records('status');
    expect(record(after, 'head')['hash']).toBe(record(before, 'head')['hash']);
    expect(record(after, 'subscriber')).toMatchObject({ state: 'synced', version: 4, bytesSent: 0 });
    const { applied } = await pushed(write('russia.netset', '5.3.0.0/16\n'));
    expect(applied).toMatchObject({ version: 5, state: 'applied' });
  });

  it('enforces after a restart what it enforced before, with no publisher at hand', async () => {
    await publisher.stop();
    await firewall.kill();
    firewall = await startFirewall();
    const restored = await firewall.logged((line) => String(line['msg']).startsWith('restored'));
    expect(restored).toMatchObject({ epoch: 1, version: 5 });
    publisher = await startPublisher(directory);
    await publisher.logged((line) => line['msg'] === 'subscriber connected');
    expect(await verdictOf('10.137.0.5 > 5.3.0.1 tcp/443')).toMatchObject({ action: 'drop', version: 5 });
  });

  it('keeps the last good release where the next one cannot be stored, and says so', async () => {
    const state = join(directory, 'subscriber');
    renameSync(state, `${state}.away`);
    writeFileSync(state, 'a file where the directory was');
    const { code, rows } = await records(
      'push',
      '--permit',
      'shrunk',
      write('russia.netset', '192.0.2.0/24\n'),
    );
    expect(code).toBe(1);
    expect(record(rows, 'applied')).toMatchObject({ state: 'refused', code: 'storage-failed' });
    expect(await versions()).toMatchObject({ head: 6, firewall: 5 });
    expect(await verdictOf('10.137.0.5 > 5.3.0.1 tcp/443')).toMatchObject({ action: 'drop', version: 5 });
    rmSync(state);
    renameSync(`${state}.away`, state);
    const { applied } = await pushed(write('russia.netset', '192.0.2.0/24\n5.3.0.0/17\n'));
    expect(applied).toMatchObject({ version: 7, state: 'applied' });
  });
});
