/**
 * What `rulectl check` says of a file is what becomes of it: pushed to a publisher that has nothing, and read
 * by a source.
 */

import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { parseConfig } from '@rulecast/formats';
import { describe, expect, it } from 'vitest';
import { freshPublisher } from '../packages/publisher/test/fresh-publisher.ts';
import { readPushFiles } from '../packages/rulectl/src/release/files.ts';
import { rulectl } from '../packages/rulectl/test/cli.ts';
import { wholeFamilies } from '../packages/sources/src/guard/finding.ts';
import { changeRefusals, wholeRefusals } from '../packages/sources/src/guard/guard.ts';
import { readSource } from '../packages/sources/src/read/reading.ts';
import { jobOf } from '../packages/sources/test/reading-job.ts';
import { temporaryDirectory } from './kit/directory.ts';

const GOOD = '192.0.2.1\n198.51.100.0/24\n';
const guard = parseConfig('x.yaml', Buffer.from('lists: { a: { entries: [192.0.2.1] } }')).config?.lists.get(
  'a',
)?.guard;

/** The codes that a check, a push and a source refuse a file with; empty where it is taken. */
async function refusals(name: string, content: string | Uint8Array) {
  const directory = temporaryDirectory();
  const path = join(directory, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  const { exit, stdout } = await rulectl(['check', '--json', name], { cwd: directory });
  const told = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const check = [...new Set(told.filter(({ kind }) => kind === 'reject').map(({ code }) => code))];
  expect(exit).toBe(check.length === 0 ? 0 : 2);
  const input = { action: 'replace', list: undefined, policy: undefined, replaceAll: false } as const;
  const files = await readPushFiles({ file: [path] }, 'push');
  const outcome = await freshPublisher().push({ ...input, files });
  const rejects = outcome.kind === 'rejects' ? outcome.rejects.map(({ code }) => code) : [];
  const guards = outcome.kind === 'guarded' ? outcome.refusals.map((refusal) => refusal.guard) : [];
  const read = await readSource(jobOf({ [name]: Buffer.from(content) }));
  const judged =
    read.kind === 'refused' || guard === undefined
      ? read
      : [
          ...wholeRefusals(wholeFamilies(read.list), [], guard),
          ...changeRefusals(undefined, read.list, guard),
        ][0];
  const source = judged !== undefined && 'code' in judged ? [judged.code] : [];
  return { check, push: [...new Set([...rejects, ...guards])], source };
}

describe('a file that is taken', () => {
  it.each([
    ['plain.txt', GOOD],
    ['packed.txt.gz', gzipSync(GOOD)],
    ['packed.json.gz', gzipSync('["192.0.2.1"]')],
    ['array.yaml', '["192.0.2.1"]'],
    ['names.yaml', '- a.example\n- b.example\n'],
    ['names.yml', '---\nads:\n  - a.example\n'],
    ['roas.json', '{"roas":[{"prefix":"192.0.2.0/24","asn":"AS64500"}]}'],
    ['lines.json', '{"cidr":"192.0.2.0/24","sblid":"SBL1"}\n{"type":"metadata","records":1}\n'],
  ])('%s is taken by all three', async (name, content) => {
    expect(await refusals(name, content)).toEqual({ check: [], push: [], source: [] });
  });
});

describe('a file that is refused', () => {
  it.each([
    ['empty.txt', '', 'empty', 'empty'],
    ['comment.txt', '# nothing\n', 'empty', 'empty'],
    ['empty.txt.gz', gzipSync(''), 'empty', 'empty'],
    ['array.json', '[]', 'empty', 'empty'],
    ['half.txt', '0.0.0.0/1\n', 'covers-too-much', 'covers-too-much'],
    ['all.txt', '0.0.0.0/0\n', 'all-addresses', 'all-addresses'],
    ['bird.conf', 'define ASN = 65000;\n', 'nothing-read', 'empty'],
    ['bogus.conf', 'bogus-nxdomain=192.0.2.1\n', 'nothing-read', 'empty'],
    ['things.json', '{"things":[{"of":"192.0.2.0/24"}]}', 'unknown-json', 'unusable'],
    ['lines.json', '{"roa":"192.0.2.1"}\n{"roa":"192.0.2.2"}\n', 'bad-record', 'too-many-rejects'],
    ['answer.json', '{"message":"rate limit"}', 'error-answer', 'unusable'],
    ['addresses.yaml', '- 192.0.2.1\n', 'address-among-names', 'too-many-rejects'],
  ])('%s is refused by all three', async (name, content, code, ofSource) => {
    const { check, push, source } = await refusals(name, content);
    expect(check).toContain(code);
    expect([push, source]).toEqual([check, [ofSource]]);
  });

  it.each([
    ['cut.txt.gz', gzipSync(GOOD).subarray(0, 20), 'truncated'],
    ['some.7z', Buffer.from('377abcaf271c0004', 'hex'), 'unsupported'],
  ])('%s cannot be unpacked by any of them', async (name, content, code) => {
    const path = join(temporaryDirectory(), name);
    writeFileSync(path, content);
    const read = await readSource(jobOf({ [path]: content }));
    if (read.kind !== 'refused') throw new Error('it was read');
    const pushed = readPushFiles({ file: [path] }, 'push');
    await expect(pushed).rejects.toMatchObject({ code, message: read.reason });
    expect(await rulectl(['check', path])).toMatchObject({
      exit: 2,
      stderr: expect.stringContaining(read.reason),
    });
  });
});

describe('the last line of a check', () => {
  it.each([
    ['bird.conf', 'define ASN = 65000;\n', [], 1],
    ['bogus.conf', 'bogus-nxdomain=192.0.2.1\n', [], 1],
    ['an office.txt', GOOD, [], 1],
    ['twice.txt', GOOD, ['./twice.txt'], 1],
    ['empty.txt', '', [], 1],
    ['bad.txt', '10.0.0.300\n10.0.0.400\n', [], 2],
  ] as const)('of %s counts all that it refuses', async (name, content, more, count) => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, name), content);
    const { stdout, exit } = await rulectl(['check', name, ...more], { cwd: directory });
    const last = stdout.trim().split('\n').at(-1);
    expect([last, exit]).toEqual([expect.stringMatching(new RegExp(`, ${count} refused$`)), 2]);
  });
});

describe('an archive', () => {
  it('is checked as its files, but for those that describe it', async () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, 'a.txt'), GOOD);
    writeFileSync(join(directory, 'b.txt'), '198.51.100.1\n10.0.0.300\n');
    writeFileSync(join(directory, 'README.md'), '# How\n');
    const files = ['a.txt', 'b.txt', 'README.md'];
    expect(spawnSync('tar', ['-czf', 'feed.tar.gz', ...files], { cwd: directory }).status).toBe(0);
    const { exit, stdout } = await rulectl(['check', 'feed.tar.gz'], { cwd: directory });
    expect(stdout).toMatch(/feed\.tar\.gz\/a\.txt: a list of prefixes \(plain\), 2 entries, nothing refused/);
    expect(stdout).toMatch(/feed\.tar\.gz\/b\.txt:2:1: bad-address/);
    expect(stdout).not.toContain('How');
    expect(exit).toBe(2);
    expect(
      (await readPushFiles({ file: [join(directory, 'feed.tar.gz')] }, 'push')).map(({ name }) => name),
    ).toEqual(['a.txt', 'b.txt']);
  });

  it('is what a document names, if it holds one list', async () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, 'a.txt.gz'), gzipSync(GOOD));
    const document = 'lists:\n  a: { file: a.txt.gz }\nunmatched: drop\n';
    writeFileSync(join(directory, 'set.yaml'), document);
    const { exit, stdout } = await rulectl(['check', '--json', 'set.yaml'], { cwd: directory });
    expect([exit, stdout]).toEqual([0, expect.stringContaining('198.51.100.0/24')]);
    expect(readFileSync(join(directory, 'set.yaml'), 'utf8')).toBe(document);
  });
});
