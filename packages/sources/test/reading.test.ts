/** From bytes to lists: members joined, filtered and judged; in place and in the thread alike. */

import { gzipSync } from 'node:zlib';
import { SOURCE_LIMITS } from '@rulecast/formats';
import {
  EMPTY_PREFIX_SET,
  entryCount,
  type List,
  nameListOf,
  type Prefixes,
  prefixListOf,
} from '@rulecast/rules';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { until } from '../../../test/kit/turns.ts';
import { defaultNeverBlock } from '../src/guard/never-block.ts';
import { evaluateExpression } from '../src/lists/expression.ts';
import { mergeLayers } from '../src/lists/layers.ts';
import { ListWorker } from '../src/read/list-worker.ts';
import { type ReadingJob, readSource } from '../src/read/reading.ts';
import { FakeClock } from './fake-clock.ts';
import { entriesOf } from './list-of.ts';
import { jobOf, WHOLE } from './reading-job.ts';

async function entries(job: ReadingJob): Promise<readonly string[] | string | undefined> {
  const read = await readSource(job);
  return read.kind === 'list' ? entriesOf(read.list) : read.code;
}

/** A tar archive of plain files. */
function tar(files: Readonly<Record<string, string>>): Uint8Array {
  const blocks: Buffer[] = [];
  for (const [name, content] of Object.entries(files)) {
    const header = Buffer.alloc(512);
    header.write(name, 0);
    header.write('0000644\0', 100);
    header.write(`${Buffer.byteLength(content).toString(8).padStart(11, '0')}\0`, 124);
    header.write('00000000000\0', 136);
    header.write('        0', 148);
    header.write('ustar\0', 257);
    header.write('00', 263);
    let sum = 0;
    for (const byte of header) sum += byte;
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    const body = Buffer.alloc(Math.ceil(Buffer.byteLength(content) / 512) * 512);
    body.write(content);
    blocks.push(header, body);
  }
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

describe('readSource', () => {
  it('joins files of different formats that hold the same kind', async () => {
    const job = jobOf({
      'a.txt': '192.0.2.1\n192.0.2.0/31\n',
      'b.json': '["198.51.100.0/24", "2001:db8::/32"]',
      'c.csv': 'ip,what\n203.0.113.7,x\n203.0.113.9,y\n',
    });
    const read = await readSource(job);
    expect(read).toMatchObject({ kind: 'list', memberCount: 3, rejectCount: 0, taken: undefined, whole: [] });
    expect(read.kind === 'list' && read.formats).toEqual(['plain', 'json', 'csv']);
    expect(await entries(job)).toEqual([
      '192.0.2.0/31',
      '198.51.100.0/24',
      '203.0.113.7/32',
      '203.0.113.9/32',
      '2001:db8::/32',
    ]);
  });

  it('unpacks archives, and takes the members that are wanted', async () => {
    const archive = gzipSync(
      tar({
        'lists/a.txt': '192.0.2.1\n',
        'lists/b.txt': '192.0.2.3\n',
        README: 'what this is, at length\n',
      }),
    );
    expect(
      await entries(jobOf({ 'feed.tar.gz': archive }, { reading: { ...WHOLE, members: ['**/*.txt'] } })),
    ).toEqual(['192.0.2.1/32', '192.0.2.3/32']);
    expect(
      await entries(jobOf({ 'feed.tar.gz': archive }, { reading: { ...WHOLE, members: ['*.csv'] } })),
    ).toBe('no-member');
    expect(await entries(jobOf({ 'feed.txt.gz': gzipSync('192.0.2.1\n') }))).toEqual(['192.0.2.1/32']);
    expect(await entries(jobOf({ 'feed.txt.gz': gzipSync('192.0.2.1\n').subarray(0, 20) }))).toBe(
      'truncated',
    );
  });

  it('passes over what describes an archive, says so, and for all else names the key that picks files', async () => {
    const files = {
      'a.txt': '192.0.2.1\n',
      README: 'at length\n',
      'LICENSE.txt': 'MIT\n',
      'docs/use.md': '# How\n',
    };
    const read = await readSource(jobOf({ 'feed.tar.gz': gzipSync(tar(files)) }));
    expect(read).toMatchObject({
      memberCount: 1,
      notes: ['feed.tar.gz: README, LICENSE.txt, docs/use.md are passed over: members: takes them'],
    });
    const asked = { ...WHOLE, members: ['a.txt', 'README'] };
    const reason = async (content: Record<string, string>, reading = WHOLE): Promise<string> => {
      const refused = await readSource(jobOf({ 'feed.tar': tar(content) }, { reading }));
      return refused.kind === 'refused' ? refused.reason : '';
    };
    expect(await reason(files, asked)).toMatch(
      /^README: .*; members: says which files of feed\.tar are read$/,
    );
    expect(await reason({ ...files, 'setup.py': 'import os\n' })).toMatch(/^setup\.py: .*; members: says/);
    expect(await reason({ ...files, 'b.txt': 'a.example\n' })).toMatch(/make a list of each.*members:/);
    expect(await reason({ 'README.md': '# How\n' })).toMatch(/it holds README\.md: .*members:/);
    expect(await reason({ 'x.tar': Buffer.from(tar(files)).toString('latin1') })).toMatch(
      /archive in an archive.*members:/,
    );
  });

  it('joins names below others, and tells what all files leave out', async () => {
    const files = {
      'a.txt': '! x\n||a.example^\n@@||b.a.example^\n@@||c*.example^\n',
      'b.conf': 'server=/c.d.example/#\naddress=/d.example/\n',
      'c.txt': '*.e.example\n',
      'd.txt': '*.a.example\nd.example\n*.f.example\n',
      'e.txt': '||bad..name^\n||com^\n||g.example^\n! y\n',
    };
    const read = await readSource(jobOf(files, { resolve: 'firewall', rejectsShare: 1 }));
    const names = ['.a.example', '.d.example', '.e.example', '*.f.example', '.g.example'];
    // d.txt has all below a.example: what one file excepts is no exception of another one.
    const exceptions = ['.c.d.example'];
    expect(read).toMatchObject({
      list: nameListOf(names, 'firewall', exceptions),
      leftOut: [{ code: 'exception', count: 1 }],
      rejectCount: 2,
    });
    const wide = { ...WHOLE, subdomains: true, allowPublicSuffixes: true };
    const more = await readSource(jobOf({ 'a.txt': 'a.example\n*.com\n' }, { reading: wide }));
    expect(more).toMatchObject({ list: nameListOf(['.a.example', '*.com'], false), leftOut: [] });
  });

  it('bounds what all inputs together unpack to', async () => {
    const line = '192.0.2.1\n';
    const twice = { 'a.gz': gzipSync(line.repeat(60)), 'b.gz': gzipSync(line.repeat(60)) };
    expect(await entries(jobOf(twice, { limits: { ...SOURCE_LIMITS, bytes: 1200 } }))).toEqual([
      '192.0.2.1/32',
    ]);
    expect(await entries(jobOf(twice, { limits: { ...SOURCE_LIMITS, bytes: 1199 } }))).toBe('too-large');
    expect(
      await entries(
        jobOf(
          { bomb: gzipSync(Buffer.alloc(50_000_000)) },
          { limits: { ...SOURCE_LIMITS, bytes: 1_000_000 } },
        ),
      ),
    ).toBe('too-large');
  });

  it('bounds the entries of a list', async () => {
    const files = { a: '192.0.2.1\n192.0.2.3\n192.0.2.5\n' };
    expect(await entries(jobOf(files, { limits: { ...SOURCE_LIMITS, entries: 3 } }))).toHaveLength(3);
    expect(await readSource(jobOf(files, { limits: { ...SOURCE_LIMITS, entries: 2 } }))).toEqual({
      kind: 'refused',
      code: 'too-many-entries',
      reason: 'a holds more entries than limits: entries: permits, 2: raise that, or pick a part by filters',
    });
    const many = { a: '192.0.2.1\n192.0.2.3\n', b: '192.0.2.5\n192.0.2.7\n' };
    expect(await entries(jobOf(many, { limits: { ...SOURCE_LIMITS, entries: 3 } }))).toBe('too-many-entries');
    // A line that is hundreds of prefixes ends the reading there, and what was read until then is no list.
    const wide = { a: `192.0.2.1\n${'::1-ffff:ffff::\n'.repeat(1000)}` };
    expect(await entries(jobOf(wide, { limits: { ...SOURCE_LIMITS, entries: 1000 } }))).toBe(
      'too-many-entries',
    );
  });

  it('refuses addresses and names together, and says which file', async () => {
    const read = await readSource(jobOf({ 'a.txt': '192.0.2.1\n', 'b.txt': 'a.example\n' }));
    expect(read).toEqual({
      kind: 'refused',
      code: 'mixed-list',
      reason: 'a.txt holds prefixes, b.txt names: make a list of each',
    });
  });

  it('takes one empty file of many, and no list of none', async () => {
    expect(await entries(jobOf({ a: '# nothing\n', b: '192.0.2.1\n' }))).toEqual(['192.0.2.1/32']);
    expect(await entries(jobOf({ a: '# nothing\n' }))).toBe('empty');
    expect(await entries(jobOf({ a: '# nothing\n', b: '\n' }))).toBe('empty');
    expect(await entries(jobOf({ a: '# nothing\n' }, { leastEntries: 0 }))).toEqual([]);
  });

  it('names a file of many of which nothing could be used', async () => {
    const general = 'bogus-nxdomain=192.0.2.1\nbogus-nxdomain=192.0.2.2\n';
    const files = { '00.conf': general, 'ads.conf': 'address=/a.example/\n', 'later.conf': '# nothing\n' };
    expect(await readSource(jobOf(files))).toMatchObject({
      memberCount: 3,
      notes: [
        '00.conf: nothing of it was read: 2 other settings of the program whose configuration it is (directive)',
      ],
    });
    const alone = await readSource(jobOf({ '00.conf': general }, { leastEntries: 0 }));
    expect(alone).toMatchObject({ kind: 'list', notes: [expect.stringContaining('nothing of it was read')] });
  });

  it('finds entries as the configuration says, and as nothing else', async () => {
    const text = 'ban Ip:192.0.2.1 by 198.51.100.7\nban Ip:evil.example\n';
    const read = async (some: Partial<ReadingJob['reading']>, content = text) => {
      const result = await readSource(jobOf({ 'a.txt': content }, { reading: { ...WHOLE, ...some } }));
      return result.kind === 'list' ? [entriesOf(result.list), result.leftOut] : [result.code, []];
    };
    expect(await read({ pattern: 'Ip:(\\S+)', take: 'addresses' })).toEqual([
      ['192.0.2.1/32'],
      [
        { code: 'other-column', count: 1 },
        { code: 'other-kind', count: 1 },
      ],
    ]);
    expect(await read({ pattern: 'Ip:(\\S+)', take: 'names' })).toMatchObject([['evil.example'], {}]);
    expect(await read({ allAddresses: true })).toMatchObject([['192.0.2.1/32', '198.51.100.7/32'], {}]);
    expect(await read({ json: '$..ip' }, '{"ip": "192.0.2.1"}')).toEqual([['192.0.2.1/32'], []]);
    expect(await read({ pattern: 'Ip:([\\d.]+)', strict: true })).toEqual(['unusable', []]);
    await expect(read({ pattern: '(' })).rejects.toThrow(TypeError);
    await expect(read({ json: 'ip' })).rejects.toThrow(TypeError);
  });

  it('says with a refusal the line that reads all of it', async () => {
    expect(await readSource(jobOf({ 'a.txt': '-A INPUT -s 192.0.2.1 -j DROP\n' }))).toMatchObject({
      code: 'unusable',
      reason:
        "a.txt: rules of iptables or UFW: they have ports, an order and exceptions, and a list has none of that; all of it is read with pattern: '^-A \\S+ -s (\\S+) -j (?:DROP|REJECT)$'",
    });
    expect(await readSource(jobOf({ 'a.txt': 'pass in from 192.0.2.1 to any\n' }))).toMatchObject({
      reason: 'a.txt: rules of pf: they have ports, an order and exceptions, and a list has none of that',
    });
  });

  it('tolerates the share of rejects that is stated, and tells the first of them with file, line and column', async () => {
    const files = { 'a.txt': '192.0.2.1\n192.0.2.300\n192.0.2.3\n' };
    expect(await entries(jobOf(files))).toBe('too-many-rejects');
    const read = await readSource(jobOf(files, { rejectsShare: 0.34 }));
    expect(read).toMatchObject({
      kind: 'list',
      rejectCount: 1,
      rejects: [{ file: 'a.txt', line: 2, column: 1 }],
    });
  });

  it('aggregates where it is told to', async () => {
    const files = { a: '192.0.2.0/25\n192.0.2.128/25\n' };
    expect(await entries(jobOf(files))).toEqual(['192.0.2.0/25', '192.0.2.128/25']);
    expect(await entries(jobOf(files, { aggregate: true }))).toEqual(['192.0.2.0/24']);
  });

  it('takes out what must never be blocked, and tells of every address before that', async () => {
    const read = await readSource(jobOf({ a: '0.0.0.0/0\n' }, { neverBlock: defaultNeverBlock() }));
    expect(read).toMatchObject({ kind: 'list', whole: [4], taken: { entryCount: 1 } });
    expect(read.kind === 'list' && entriesOf(read.list)).not.toContain('0.0.0.0/0');
  });

  it('filters by country and by score', async () => {
    const table = '192.0.2.0,192.0.2.255,NL\n198.51.100.0,198.51.100.127,RU\n';
    expect(await entries(jobOf({ 't.csv': table }, { reading: { ...WHOLE, country: ['ru'] } }))).toEqual([
      '198.51.100.0/25',
    ]);
    const scored = '192.0.2.1\t3\n192.0.2.3\t8\n';
    expect(await entries(jobOf({ 's.tsv': scored }, { reading: { ...WHOLE, minScore: 5 } }))).toEqual([
      '192.0.2.3/32',
    ]);
  });
});

const lostOne = (): Promise<never> => Promise.reject(new Error('lost'));

describe('ListWorker', () => {
  const worker = new ListWorker();
  afterAll(() => worker.close());

  it.each([10, 20_000])(
    'reads %d lines as readSource does, in the thread if they are many',
    async (count) => {
      const text = Array.from(
        { length: count },
        (_, i) => `10.${(i >> 15) & 255}.${(i >> 7) & 255}.${(i & 127) * 2}\n`,
      ).join('');
      const job = jobOf({ 'a.txt': text }, { neverBlock: defaultNeverBlock(), leastEntries: 0 });
      expect(await worker.read(job)).toEqual(await readSource(job));
      expect(await worker.read(jobOf({ 'a.txt.gz': gzipSync(text) }))).toEqual(
        await readSource(jobOf({ 'a.txt.gz': gzipSync(text) })),
      );
    },
  );

  it('has one download that is large in memory at a time, and reads it as readSource does', async () => {
    const text = Buffer.from(
      Array.from({ length: 20_000 }, (_, i) => `10.0.${i >> 8}.${i & 255}\n`).join(''),
    );
    const expected = await readSource(jobOf({ feed: text }));
    let inMemory = 0;
    const orderOf = () => ({
      ...jobOf({}),
      inputs: [
        {
          name: 'feed',
          size: text.length,
          end: 'proven' as const,
          read: async () => {
            expect(++inMemory).toBe(1);
            return Uint8Array.from(text);
          },
        },
      ],
    });
    const read = Array.from({ length: 4 }, async () => {
      const result = await worker.read(orderOf());
      inMemory--;
      return result;
    });
    expect(await Promise.all(read)).toEqual(Array(4).fill(expected));
    const lost = { ...orderOf(), inputs: orderOf().inputs.map((input) => ({ ...input, read: lostOne })) };
    await expect(worker.read(lost)).rejects.toThrow('lost');
    expect((await worker.read(orderOf())).kind).toBe('list');
  });

  it.each([10, 100_000])(
    'combines lists of %d entries as one does without it, and leaves them whole',
    async (count) => {
      const every = (step: number, of = count): List => {
        const words = Uint32Array.from({ length: of }, (_, i) => 0x0a00_0000 + i * step);
        const v4: Prefixes = { family: 4, words, lengths: new Uint8Array(of).fill(32) };
        return prefixListOf({ v4, v6: EMPTY_PREFIX_SET.v6 });
      };
      const [odd, even, few] = [every(3), every(2), every(6, 4)];
      const expression = { operator: 'union', operands: [odd, even], minus: [few], aggregate: true } as const;
      const combined = evaluateExpression(expression);
      expect(await worker.evaluate(expression)).toEqual(combined);
      const layers = [{ seenAtMs: 5, list: odd }];
      const merging = { layers, fresh: { seenAtMs: 7, list: even }, aggregate: true };
      const merged = mergeLayers(merging);
      const answer = await worker.merge(merging);
      expect(answer.layers).toEqual(merged.layers);
      expect(answer.list).toEqual(merged.list);
      const mixed = { ...expression, operands: [odd, nameListOf(['a.example'], false)] };
      expect(await worker.evaluate(mixed)).toMatchObject({ kind: 'unsayable', code: 'mixed-list' });
      expect([odd, even, few].map(entryCount)).toEqual([count, count, 4]);
    },
  );

  it('does jobs at once one after the other', async () => {
    const jobs = [0, 1, 2, 3].map((i) => jobOf({ [`${i}.txt`]: `192.0.2.${i * 2}\n`.repeat(8000) }));
    const lists = await Promise.all(jobs.map((job) => worker.read(job)));
    expect(lists.map((read) => read.kind === 'list' && entriesOf(read.list))).toEqual(
      [0, 1, 2, 3].map((i) => [`192.0.2.${i * 2}/32`]),
    );
  });

  // A bomb of 3 MB kept the thread busy for minutes, and with it every other list; SIGTERM waited for it.
  it('ends a job that takes too long, and goes on with the next', async () => {
    const clock = new FakeClock();
    const timed = new ListWorker(clock);
    onTestFinished(() => timed.close());
    const endless = jobOf({ 'a.gz': gzipSync(Buffer.alloc(120_000_000)) });
    const slow = timed.read(endless);
    const next = timed.read(jobOf({ 'b.txt.gz': gzipSync('192.0.2.1\n') }));
    await until(() => clock.pendingMs.length > 0);
    clock.advance(60_000); // no answer can have come: its thread has not begun
    expect(await slow).toMatchObject({ kind: 'refused', code: 'too-slow' });
    expect(await next).toMatchObject({ kind: 'list' });
    expect(clock.pendingMs).toEqual([]);
  });

  it('ends what is under way when it is closed, and what waits', async () => {
    const closing = new ListWorker(new FakeClock());
    const job = jobOf({ 'a.gz': gzipSync(Buffer.alloc(120_000_000)) });
    const reads = [closing.read(job), closing.read(job)];
    await closing.close();
    for (const read of reads) expect(await read).toMatchObject({ kind: 'refused', code: 'ended' });
    await expect(closing.read(job)).resolves.toMatchObject({ code: 'ended' });
  });

  // Packed data whose first bytes look like text was unpacked on the event loop.
  it('unpacks in the thread whatever the bytes look like', async () => {
    const gzip = gzipSync('192.0.2.1\n');
    const name = Buffer.from(`${'x'.repeat(600)}\0`);
    const dressed = Buffer.concat([
      Buffer.from([0x1f, 0x8b, 8, 8, 1, 1, 1, 1, 2, 3]),
      name,
      gzip.subarray(10),
    ]);
    const clock = new FakeClock();
    const timed = new ListWorker(clock);
    onTestFinished(() => timed.close());
    const read = timed.read(jobOf({ 'a.gz': dressed }));
    await until(() => clock.pendingMs.length > 0); // only the thread is timed
    expect(await read).toMatchObject({ kind: 'list' });
  });
});
