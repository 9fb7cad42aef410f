/**
 * A publisher whose configuration names a rules file, as a process, with a real subscriber: what the file
 * says is in force, and nobody else changes it.
 */

import { mkdtempSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Daemon, rulectl, startPublisher, startSubscriber } from '../processes.mjs';

type Row = Readonly<Record<string, unknown>>;

let directory: string;
let publisher: Daemon;
let firewall: Daemon;

const rules = (dst: string, more = ''): string =>
  `policies:\n  work: { prefixes: [10.137.0.5], egress: [accept dst4=${dst}] }\n${more}unmatched: drop\n`;
const NET = '203.0.113.0/24';
const OTHER = '198.51.100.0/24';

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'rulecast-rules-'));
  place('rules.yaml', rules(NET));
  place('publisher.yaml', 'rules: rules.yaml\n');
  publisher = await start();
  firewall = await startSubscriber(directory, 'sys-firewall', ['--state', join(directory, 'subscriber')]);
});

afterAll(async () => {
  await firewall.stop();
  await publisher.stop();
  rmSync(directory, { recursive: true, force: true });
});

function start(...more: readonly string[]): Promise<Daemon> {
  return startPublisher(directory, ['--config', join(directory, 'publisher.yaml'), ...more]);
}

/** Puts a file in place whole, as a careful writer does. */
function place(name: string, text: string): void {
  const path = join(directory, name);
  writeFileSync(`${path}.new`, text);
  utimesSync(`${path}.new`, 1, 1);
  renameSync(`${path}.new`, path);
}

function released(version: number): Promise<void> {
  return said(new RegExp(`^released ${version}$`));
}

/** Resolves when the publisher has logged such a sentence. */
async function said(pattern: RegExp, times = 1): Promise<void> {
  const sentences = () => publisher.log.map(({ msg, version = '' }) => `${msg} ${version}`.trim());
  await expect
    .poll(sentences, { timeout: 30_000 })
    .toSatisfy((all: readonly string[]) => all.filter((text) => pattern.test(text)).length >= times);
}

async function run(...args: string[]): Promise<{ code: number | null; text: string; rows: readonly Row[] }> {
  const { code, stdout, stderr } = await rulectl(directory, args);
  const rows = args.includes('--json')
    ? stdout
        .trim()
        .split('\n')
        .map((line): Row => JSON.parse(line))
    : [];
  return { code, text: stdout + stderr, rows };
}

async function head(): Promise<Row> {
  const { rows } = await run('status', '--json');
  return rows.find(({ kind }) => kind === 'head') ?? {};
}

/** What the firewall does with a packet of the qube, once it has a version in force. */
async function verdict(version: number, dst: string): Promise<unknown> {
  const applied = () => firewall.log.map(({ msg, version: at }) => `${msg} ${at}`);
  await expect.poll(applied, { timeout: 30_000 }).toContain(`applied ${version}`);
  const verdicts = async (): Promise<unknown> =>
    (await run('test', `10.137.0.5 > ${dst} tcp/443`, '--json')).rows.find(({ kind }) => kind === 'verdict');
  await expect.poll(verdicts, { timeout: 30_000 }).toBeDefined(); // it may still be connecting
  return (Object(await verdicts()) as Row)['action'];
}

const FILE = (): string => join(directory, 'rules.yaml');

describe('a rules file', () => {
  it('is in force as soon as the publisher starts, and when it changes', async () => {
    expect(await verdict(1, '203.0.113.7')).toBe('accept');
    place('rules.yaml', rules(OTHER));
    await released(2);
    expect([await verdict(2, '203.0.113.7'), await verdict(2, '198.51.100.7')]).toEqual(['drop', 'accept']);
    const { text } = await run('history');
    expect(text).toMatch(/^2 .* rules rules\.yaml /m);
  });

  it('that is refused changes nothing, and the status says line and column', async () => {
    place('rules.yaml', rules(OTHER).replace('accept', 'accpt'));
    await said(/^rules.yaml is refused: line 2, column 44: /);
    expect(await head()).toMatchObject({
      version: 2,
      degraded: [expect.stringMatching(/^rules.yaml is refused: line 2, column 44: "accpt" is no option/)],
    });
    const checked = await run('push', '--dry-run', FILE());
    expect([checked.code, checked.text]).toEqual([2, expect.stringMatching(/rules.yaml:2:44: /)]);
  });

  it('that guards refuse is taken once its very bytes are pushed with the permit', async () => {
    place('rules.yaml', rules('0.0.0.0/0'));
    await said(/--permit accept-all/);
    const others = await run('push', '--yes', '--permit', 'accept-all', '-');
    expect(others.code).not.toBe(0);
    const without = await run('push', '--yes', FILE());
    expect([without.code, without.text]).toEqual([2, expect.stringMatching(/--permit accept-all/)]);
    const { code, text } = await run('push', '--yes', '--permit', 'accept-all', FILE());
    expect(code, text).toBe(0);
    expect(await verdict(3, '192.0.2.7')).toBe('accept');
    expect((await head())['degraded']).not.toContainEqual(expect.stringMatching(/rules.yaml/));
  });

  it('is nobody else’s to change, and can be pushed as it is', async () => {
    const { stdout } = await rulectl(directory, ['get', 'all']);
    const same = await rulectl(directory, ['push', '--yes', '--replace-all', '-'], stdout);
    expect([same.code, same.stdout]).toEqual([0, expect.stringMatching(/^no change: /)]);
    const own = 'policies: { lab: { prefixes: [10.137.0.9], egress: [drop] } }\n';
    const lab = await rulectl(directory, ['push', '--yes', '--replace-all', '-'], own);
    expect(lab.code, lab.stderr).toBe(0);
    expect(await verdict(4, '192.0.2.7')).toBe('accept');
    const other = await rulectl(directory, ['push', '--yes', '-'], rules(NET));
    expect([other.code, other.stdout + other.stderr]).toEqual([
      2,
      expect.stringMatching(/rules-of-a-file.*policy work is what .*rules.yaml says/s),
    ]);
  });

  it('stays as somebody went back to, over a restart, too, until it says something else', async () => {
    const back = await run('rollback', '2', '--yes', '--permit', 'accept-all');
    expect(back.code, back.text).toBe(0);
    await publisher.stop();
    publisher = await start();
    expect(await verdict(5, '192.0.2.7')).toBe('drop');
    place('rules.yaml', rules(NET, '  home: { prefixes: [10.137.0.6] }\n'));
    await released(6);
    expect(await verdict(6, '203.0.113.7')).toBe('accept');
  });

  it('that uses a list of a source without content waits for it', async () => {
    place('publisher.yaml', 'rules: rules.yaml\nlists: { late: { file: late.txt } }\n');
    await said(/^took up the changed configuration/);
    place('rules.yaml', rules(`${NET}, drop dst=@late`));
    await said(/^rules.yaml waits for list late, which has no content yet/);
    expect((await head())['degraded']).toContainEqual(
      expect.stringMatching(/^rules.yaml waits for list late/),
    );
    place('late.txt', '203.0.113.9\n');
    await released(8);
    expect((await head())['degraded']).toEqual([]);
  });

  it('that is gone changes nothing', async () => {
    renameSync(FILE(), `${FILE()}.away`);
    await said(/^rules.yaml cannot be read: there is no /);
    expect(await head()).toMatchObject({ version: 8 });
    renameSync(`${FILE()}.away`, FILE());
    await said(/^the rules file is read/);
  });

  it('leaves what it said where the configuration names it no more', async () => {
    place('publisher.yaml', 'lists: { late: { file: late.txt } }\n');
    await said(/took up the changed configuration/, 2);
    const { code, stderr } = await rulectl(
      directory,
      ['push', '--yes', '-'],
      rules(`${OTHER}, drop dst=@late`),
    );
    expect(code, stderr).toBe(0);
    expect(await verdict(9, '198.51.100.7')).toBe('accept');
  });

  it('is the push that a store waits for which took the place of one that was lost', async () => {
    place('publisher.yaml', 'rules: rules.yaml\nlists: { late: { file: late.txt } }\n');
    await publisher.stop();
    rmSync(join(directory, 'publisher', 'store'), { recursive: true });
    publisher = await start('--start-over');
    await said(/^released \d/); // after it waited for the list, or at once
    const { text } = await run('history');
    expect(text).toMatch(/ rules rules\.yaml .* policy work/);
    expect((await head())['degraded']).not.toContainEqual(expect.stringMatching(/rules.yaml/));
  });
});
