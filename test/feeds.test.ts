/** `npm run feeds`: what it says of feeds, and that it looks at them by rulectl. */

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type FeedProxy, openFeedProxy } from './docs/feeds.ts';
import { verdictOf } from './feeds/verdict.mjs';

const ENTRY = {
  key: 'a',
  url: ['https://a.example/'],
  holds: 'addresses',
  format: 'plain',
  status: 'active',
};
const tried = (formats: readonly string[], notes: readonly string[] = []) => ({
  kind: 'tried',
  formats,
  entries: 7,
  notes,
});
const done = (code: string, text = '') => ({ kind: 'end', code, text });
const failed = { kind: 'error', code: 'unusable', message: 'looks like HTML' };

describe('what a look says', () => {
  it.each([
    ['good', '7 entries', [tried(['plain']), done('good')], []],
    ['shrank', 'too-few-entries: 7', [tried(['plain']), done('too-few-entries', '7')], []],
    ['grew', 'too-many-entries: 7', [tried(['plain']), done('too-many-entries', '7')], []],
    ['shrank', 'empty: none', [tried(['plain']), done('empty', 'none')], []],
    ['refused', 'covers-too-much: all', [tried(['plain']), done('covers-too-much', 'all')], []],
    ['format', 'is csv, and not plain', [failed], [tried(['csv']), done('good')]],
    ['moved', 'x leads to y', [tried(['plain'], ['x leads to y']), done('good')], []],
    ['nothing', 'unusable: looks like HTML', [failed], [failed]],
    ['nothing', 'it took too long', [], []],
    ['good', '7 entries', [], [tried(['plain']), done('kernel-memory')]], // of a table
  ])('%s: %s', (what, text, records, guessed) => {
    expect(verdictOf(ENTRY, records, guessed)).toEqual({ what, text });
  });
});

describe('npm run feeds', () => {
  let proxy: FeedProxy;
  beforeAll(async () => {
    proxy = await openFeedProxy();
  });
  afterAll(() => proxy.close());

  it('fetches each, tells what came of it, and ends with 1 if one is wrong', async () => {
    const run = promisify(execFile)(
      process.execPath,
      ['test/feeds/main.mjs', 'tor-exits', 'maltrail-scanners'],
      {
        env: { PATH: process.env['PATH'], ...proxy.environment },
      },
    );
    const { stdout, code } = await run.then(
      (good) => ({ ...good, code: 0 }),
      (error: { stdout: string; code: number }) => error,
    );
    expect(stdout).toMatch(/^good +tor-exits +[\d,]+ entries$/m);
    expect(stdout).toMatch(/^nothing +maltrail-scanners +[a-z-]+: .*404/m);
    expect(stdout).toMatch(/^2 feeds, of 1 of which/m);
    expect(code).toBe(1);
  });
});
