/** Sources as a publisher sees them: batches, guards, expressions, expiry, reload and restart. */

import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { turns } from '../../../test/kit/turns.ts';
import { FetchError } from '../src/fetch/error.ts';
import { evaluateExpression } from '../src/lists/expression.ts';
import { loadedInputs } from '../src/read/inputs.ts';
import { readSource } from '../src/read/reading.ts';
import type { ListWork } from '../src/source/source.ts';
import { addresses, entriesOf } from './list-of.ts';
import { type RigOptions, SourceRig } from './source-rig.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const HTML = '<!DOCTYPE html><html><body>429 Too Many Requests</body></html>';

let rig: SourceRig | undefined;
afterEach(async () => {
  await rig?.sources.close();
  rig = undefined;
});

function rigOf(config: string, directory = temporaryDirectory(), options: RigOptions = {}): SourceRig {
  rig = new SourceRig(directory, config, options);
  return rig;
}

/** Expressions that are made when a test says so. */
function heldWork(): {
  readonly work: Partial<ListWork>;
  readonly held: () => number;
  readonly release: () => void;
} {
  const waiting: (() => void)[] = [];
  let isOver = false;
  onTestFinished(() => {
    isOver = true;
    release();
  });
  const evaluate: ListWork['evaluate'] = async (expression) => {
    if (!isOver) await new Promise<void>((resolve) => waiting.push(resolve));
    return evaluateExpression(expression);
  };
  const release = (): void => {
    for (const resolve of waiting.splice(0)) resolve();
  };
  return { work: { evaluate }, held: () => waiting.length, release };
}

function write(directory: string, name: string, ...lines: readonly string[]): string {
  const path = join(directory, name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(`${path}.new`, lines.map((line) => `${line}\n`).join(''));
  renameSync(`${path}.new`, path);
  return path;
}

describe('a start', () => {
  it('reads a file, a directory, a feed, names and entries, and tells them in one batch', async () => {
    const directory = temporaryDirectory();
    write(directory, 'a.txt', '192.0.2.1', '192.0.2.0/30');
    write(directory, 'd/one.txt', '198.51.100.1');
    write(directory, 'd/two.hosts', '# not this one', '0.0.0.0 a.example');
    const started = rigOf(
      `lists:
  file: { file: a.txt }
  dir: { dir: d, match: '*.txt' }
  feed: { url: 'https://feeds.example/feed.txt' }
  names: { names: [B.example, a.example] }
  entries: { entries: [203.0.113.0/24] }`,
      directory,
    );
    started.network.set('https://feeds.example/feed.txt', '203.0.113.7\n');
    await started.start();
    expect(started.consumer.batches).toEqual([
      {
        file: ['192.0.2.0/30'],
        dir: ['198.51.100.1/32'],
        feed: ['203.0.113.7/32'],
        names: ['a.example', 'b.example'],
        entries: ['203.0.113.0/24'],
      },
    ]);
    expect(started.status('feed')).toMatchObject({
      state: 'ok',
      source: 'url',
      count: 1,
      formats: ['plain'],
      added: 1,
    });
    expect(started.watched).toEqual([join(directory, 'a.txt'), join(directory, 'd')]);
  });

  it('does not wait for a slow feed, and leaves out lists that have nothing yet', async () => {
    const directory = temporaryDirectory();
    write(directory, 'a.txt', '192.0.2.1');
    const started = rigOf(`lists:\n  a: { file: a.txt }\n  b: { url: 'https://feeds.example/b' }`, directory);
    await started.start();
    expect(started.consumer.batches).toEqual([{ a: ['192.0.2.1/32'] }]);
    expect(started.status('b')).toMatchObject({ state: 'failing', count: 0, holds: undefined });
    expect(started.status('b').trouble?.code).toBe('connection');
  });
});

describe('a change', () => {
  it('of a file becomes one batch of that list alone, and one that changes nothing none', async () => {
    const directory = temporaryDirectory();
    const path = write(directory, 'a.txt', '192.0.2.1', '192.0.2.9');
    const changing = rigOf(`lists:\n  a: { file: a.txt }\n  b: { entries: [192.0.2.5] }`, directory);
    await changing.start();
    write(directory, 'a.txt', '# a comment', '192.0.2.9', '192.0.2.1/32');
    changing.touch(path);
    await changing.pass(HOUR_MS);
    write(directory, 'a.txt', '192.0.2.1', '192.0.2.2', '192.0.2.9');
    changing.touch(path);
    expect(await changing.batch(2)).toEqual({ a: ['192.0.2.1/32', '192.0.2.2/32', '192.0.2.9/32'] });
    expect(changing.status('a')).toMatchObject({ added: 1, removed: 0 });
  });

  it('of many files at once is one batch', async () => {
    const directory = temporaryDirectory();
    const names = Array.from({ length: 30 }, (_, i) => `l${i}`);
    const paths = names.map((name, i) => write(directory, `${name}.txt`, `198.18.0.${i * 2}`));
    const many = rigOf(
      `lists:\n${names.map((name) => `  ${name}: { file: ${name}.txt }`).join('\n')}`,
      directory,
    );
    await many.start();
    expect(Object.keys(many.consumer.batches[0] ?? {})).toHaveLength(30);
    for (const [i, name] of names.entries()) {
      write(directory, `${name}.txt`, `198.18.0.${i * 2}`, `198.19.0.${i * 2}`);
    }
    for (const path of paths) many.touch(path);
    expect(Object.keys((await many.batch(2)) ?? {})).toHaveLength(30);
    await many.pass(HOUR_MS);
    expect(many.consumer.batches).toHaveLength(2);
  });

  it('of a file that vanishes keeps the list, and its return heals it', async () => {
    const directory = temporaryDirectory();
    const path = write(directory, 'a.txt', '192.0.2.1');
    const vanishing = rigOf('lists:\n  a: { file: a.txt }', directory);
    await vanishing.start();
    rmSync(path);
    vanishing.touch(path);
    await vanishing.state('a', 'failing');
    expect(vanishing.status('a')).toMatchObject({ count: 1, trouble: { code: 'missing-file' } });
    write(directory, 'a.txt', '192.0.2.1', '192.0.2.7');
    vanishing.touch(path);
    expect(await vanishing.batch(2)).toEqual({ a: ['192.0.2.1/32', '192.0.2.7/32'] });
    expect(vanishing.status('a')).toMatchObject({ state: 'ok', trouble: undefined });
  });

  it('of a feed is asked for at its interval, with jitter', async () => {
    const feed = rigOf(`lists:\n  a: { url: 'https://feeds.example/a', interval: 2h, jitter: 10% }`);
    feed.network.set('https://feeds.example/a', '192.0.2.1\n');
    await feed.start();
    expect(feed.network.asked).toHaveLength(1);
    expect(feed.status('a').nextAtMs).toBeGreaterThan(feed.clock.wallMs() + 1.7 * HOUR_MS);
    feed.network.set('https://feeds.example/a', '192.0.2.1\n192.0.2.2\n');
    feed.clock.advance(2 * HOUR_MS);
    expect(await feed.batch(2)).toEqual({ a: ['192.0.2.1/32', '192.0.2.2/32'] });
    expect(feed.network.asked).toHaveLength(2);
  });
});

describe('a bad source', () => {
  it.each([
    ['a page', HTML, 'unusable'],
    ['nothing', '', 'empty'],
    ['mostly rejects', '192.0.2.1\nwhat is this\nand this\n', 'too-many-rejects'],
    ['much less', '192.0.2.1\n', 'shrunk'],
    ['much more', `${addresses(100).join('\n')}\n`, 'grown'],
    ['names', 'a.example\nb.example\n', 'kind-changed'],
    ['every address', `0.0.0.0/0\n`, 'all-addresses'],
    ['half of every address', `0.0.0.0/1\n`, 'short-prefix'],
    ['half of every address as a range', `0.0.0.0-127.255.255.255\n`, 'covers-too-much'],
    ['a /8 beside what it gave', '192.0.2.1\n192.0.2.3\n5.0.0.0/8\n', 'coverage-changed'],
  ])('that gives %s keeps the last good list and says why', async (_what, content, code) => {
    const feed = rigOf(`lists:\n  a: { url: 'https://feeds.example/a' }`);
    feed.network.set('https://feeds.example/a', '192.0.2.1\n192.0.2.3\n192.0.2.5\n');
    await feed.start();
    feed.network.set('https://feeds.example/a', content);
    const [status] = await feed.refresh(['a']);
    expect(status).toMatchObject({ state: 'failing', count: 3, trouble: { code } });
    expect(feed.consumer.batches).toHaveLength(1);
    expect(feed.logged.some((line) => line.startsWith('list a keeps its last good content'))).toBe(true);
    feed.network.set('https://feeds.example/a', '192.0.2.1\n192.0.2.3\n192.0.2.7\n');
    expect(await feed.refresh(['a'])).toMatchObject([{ state: 'ok', count: 3, trouble: undefined }]);
    expect(feed.consumer.batches).toHaveLength(2);
  });

  it('that was never good has no content yet, and the log says so', async () => {
    const missing = rigOf('lists:\n  a: { file: a.txt }');
    await missing.sources.start(new Map());
    await expect
      .poll(() => missing.logged)
      .toContainEqual(expect.stringMatching(/^list a has no content yet: there is no .*a\.txt$/));
    expect(missing.status('a')).toMatchObject({ state: 'failing', count: 0 });
  });

  it('does not hold up another', async () => {
    const feed = rigOf(
      `lists:\n  a: { url: 'https://feeds.example/a' }\n  b: { url: 'https://feeds.example/b' }`,
    );
    feed.network.set('https://feeds.example/a', HTML);
    feed.network.set('https://feeds.example/b', '192.0.2.1\n');
    await feed.start();
    expect(feed.consumer.batches).toEqual([{ b: ['192.0.2.1/32'] }]);
  });

  it('is tried again after as long as its server asks', async () => {
    const feed = rigOf(`lists:\n  a: { url: 'https://feeds.example/a', interval: 6h }`);
    const busy = new FetchError('status', 'busy', {
      status: 429,
      retryAfterMs: HOUR_MS / 2,
      temporary: true,
    });
    feed.network.set('https://feeds.example/a', busy);
    await feed.sources.start(new Map());
    await feed.state('a', 'failing');
    expect(feed.status('a').nextAtMs).toBeCloseTo(feed.clock.wallMs() + HOUR_MS / 2, -6);
    await feed.pass(HOUR_MS / 2 - 60_000);
    expect(feed.network.asked).toHaveLength(1);
  });
});

describe('refresh', () => {
  it('with a permit takes what a guard refuses, once, and puts it on record', async () => {
    const feed = rigOf(`lists:\n  a: { url: 'https://feeds.example/a' }`);
    feed.network.set('https://feeds.example/a', `${addresses(20).join('\n')}\n`);
    await feed.start();
    feed.network.set('https://feeds.example/a', `${addresses(5).join('\n')}\n`);
    expect((await feed.refresh(['a']))[0]?.trouble?.code).toBe('shrunk');
    expect(feed.audit).toEqual([]);
    expect((await feed.refresh(['a'], ['shrunk']))[0]).toMatchObject({ state: 'ok', count: 5 });
    expect(feed.audit).toMatchObject([{ list: 'a', code: 'shrunk', before: 20, after: 5 }]);
    feed.network.set('https://feeds.example/a', `${addresses(1).join('\n')}\n`);
    expect((await feed.refresh(['a']))[0]?.trouble?.code).toBe('shrunk');
    feed.network.set('https://feeds.example/a', new FetchError('connection', 'no network'));
    expect((await feed.refresh(['a']))[0]?.trouble?.code).not.toBe('shrunk');
    expect(feed.status('a')).toMatchObject({ refusalCount: 2, intervalMs: 6 * 3_600_000 }); // no fetch is one
  });

  it('with permits takes every address, and it stays permitted for that list', async () => {
    const feed = rigOf(`lists:\n  a: { url: 'https://feeds.example/a', purpose: allow }`);
    feed.network.set('https://feeds.example/a', '0.0.0.0/0\n');
    await feed.sources.start(new Map());
    await feed.state('a', 'failing');
    expect(feed.status('a').trouble?.code).toBe('all-addresses');
    await feed.refresh(['a'], ['all-addresses', 'short-prefix']);
    expect(feed.consumer.batches).toEqual([{ a: ['0.0.0.0/0'] }]);
    feed.network.set('https://feeds.example/a', '0.0.0.0/0\n2001:db8::/32\n');
    expect((await feed.refresh(['a']))[0]).toMatchObject({ state: 'ok', count: 2 });
  });

  it('with a permit for coverage takes a /8, but not every address', async () => {
    const feed = rigOf(`lists:\n  a: { url: 'https://feeds.example/a' }`);
    feed.network.set('https://feeds.example/a', '192.0.2.1\n');
    await feed.start();
    feed.network.set('https://feeds.example/a', '192.0.2.1\n5.0.0.0/8\n');
    expect((await feed.refresh(['a']))[0]?.trouble?.code).toBe('coverage-changed');
    expect((await feed.refresh(['a'], ['coverage-changed', 'short-prefix']))[0]).toMatchObject({
      state: 'ok',
      count: 2,
    });
    expect(feed.audit).toMatchObject([{ list: 'a', code: 'coverage-changed' }]);
    feed.network.set('https://feeds.example/a', '0.0.0.0/0\n');
    expect((await feed.refresh(['a'], ['coverage-changed', 'short-prefix']))[0]?.trouble?.code).toBe(
      'all-addresses',
    );
    expect((await feed.refresh(['a'], ['all-addresses', 'short-prefix']))[0]).toMatchObject({ state: 'ok' });
  });

  // A list made of lists was asked for its size only: two halves of the Internet made the whole of it.
  it('of a list that is made of others is asked for all addresses too', async () => {
    const feed = rigOf(`lists:
  low: { url: 'https://feeds.example/a', purpose: allow, max-coverage: off, allow-short-prefixes: true, publish: false }
  high: { url: 'https://feeds.example/b', purpose: allow, max-coverage: off, allow-short-prefixes: true, publish: false }
  both: { union: [low, high], max-coverage: off }`);
    feed.network.set('https://feeds.example/a', '0.0.0.0/1\n');
    feed.network.set('https://feeds.example/b', '128.0.0.0/1\n');
    await feed.sources.start(new Map());
    await feed.state('both', 'failing');
    expect(feed.status('both').trouble?.code).toBe('all-addresses');
    expect((await feed.refresh(['both'], ['all-addresses']))[0]).toMatchObject({ state: 'ok', count: 2 });
  });

  it('of a list that is not configured is refused', async () => {
    const none = rigOf('lists: {}');
    await none.sources.start(new Map());
    await expect(none.refresh(['a'])).rejects.toThrow('there is no list a');
  });
});

describe('never-block', () => {
  const page = '10.0.0.0/8\n192.168.1.1\n203.0.113.7\n198.51.100.0/24\n';

  it('is taken out of fetched lists, reported, and left where it is exempted', async () => {
    const feed = rigOf(`never-block: { add: [198.51.100.7] }
lists:
  all: { url: 'https://feeds.example/a' }
  own: { url: 'https://feeds.example/a', never-block-exempt: [10.0.0.0/8] }
  allow: { url: 'https://feeds.example/a', purpose: allow }`);
    feed.network.set('https://feeds.example/a', page);
    await feed.start();
    const [batch] = feed.consumer.batches;
    expect(batch?.['all']).not.toContain('10.0.0.0/8');
    expect(batch?.['all']).toContain('198.51.100.0/30');
    expect(batch?.['all']).not.toContain('198.51.100.7/32');
    expect(batch?.['own']).toContain('10.0.0.0/8');
    expect(batch?.['own']).not.toContain('192.168.1.1/32');
    expect(batch?.['allow']).toEqual(['10.0.0.0/8', '192.168.1.1/32', '198.51.100.0/24', '203.0.113.7/32']);
    expect(feed.status('all')).toMatchObject({ protectedCount: 3 });
    expect(feed.status('all').protectedExamples).toContain('10.0.0.0/8');
    expect(feed.status('allow').protectedCount).toBe(0);
  });

  it('does not touch files unless they are for blocking', async () => {
    const directory = temporaryDirectory();
    write(directory, 'a.txt', '10.0.0.0/8', '203.0.113.7');
    const files = rigOf(`lists:\n  a: { file: a.txt }\n  b: { file: a.txt, purpose: block }`, directory);
    await files.start();
    expect(files.consumer.batches).toEqual([{ a: ['10.0.0.0/8', '203.0.113.7/32'], b: ['203.0.113.7/32'] }]);
  });
});

describe('expressions', () => {
  it('follow their operands, in the same batch, and operands may stay unpublished', async () => {
    const directory = temporaryDirectory();
    const path = write(directory, 'a.txt', '192.0.2.0/30');
    const made = rigOf(
      `lists:
  top: { union: [middle, extra] }
  middle: { union: a, minus: [office] }
  a: { file: a.txt, publish: false }
  office: { entries: [192.0.2.1], publish: false }
  extra: { entries: [203.0.113.1], publish: false }`,
      directory,
    );
    await made.start();
    expect(made.consumer.batches).toEqual([
      { top: ['192.0.2.0/32', '192.0.2.2/31', '203.0.113.1/32'], middle: ['192.0.2.0/32', '192.0.2.2/31'] },
    ]);
    write(directory, 'a.txt', '192.0.2.0/31', '192.0.2.2');
    made.touch(path);
    expect(await made.batch(2)).toEqual({
      top: ['192.0.2.0/32', '192.0.2.2/32', '203.0.113.1/32'],
      middle: ['192.0.2.0/32', '192.0.2.2/32'],
    });
    expect(made.status('a')).toMatchObject({ isPublished: false, count: 2 });
  });

  // A list that was read anew while what is made of it was made was in the release before that.
  it.each(['by its file', 'by its configuration'])(
    'are released with what they are made of, though that changes %s meanwhile',
    async (how) => {
      const directory = temporaryDirectory();
      const path = write(directory, 'a.txt', '192.0.2.1');
      const { work, held, release } = heldWork();
      const config = 'lists:\n  a: { file: a.txt }\n  b: { union: [a] }';
      const made = rigOf(config, directory, { work });
      const until = (holds: () => boolean): Promise<unknown> =>
        expect
          .poll(
            () => {
              made.clock.advance(50);
              return holds();
            },
            { interval: 1 },
          )
          .toBe(true);
      await made.sources.start(made.consumer.lists);
      await until(() => held() === 1);
      let reloaded: Promise<void> | undefined;
      if (how === 'by its file') {
        write(directory, 'a.txt', '192.0.2.2');
        made.touch(path);
        await until(() => entriesOf(made.sources.list('a'))?.[0] === '192.0.2.2/32');
      } else {
        const changed = 'lists:\n  a: { entries: [192.0.2.2] }\n  b: { union: [a] }';
        reloaded = made.sources.reload(made.parse(changed));
        await turns();
      }
      release();
      await reloaded;
      await until(() => held() === 1);
      release();
      await until(() => made.consumer.batches.length === 2);
      expect(made.consumer.batches).toEqual(
        ['192.0.2.1/32', '192.0.2.2/32'].map((entry) => ({ a: [entry], b: [entry] })),
      );
    },
  );

  it('wait for an operand that has nothing yet, and name it', async () => {
    const made = rigOf(
      `lists:\n  top: { union: [a, b] }\n  a: { entries: [192.0.2.1] }\n  b: { url: 'https://feeds.example/b' }`,
    );
    await made.start();
    expect(made.consumer.batches).toEqual([{ a: ['192.0.2.1/32'] }]);
    expect(made.status('top').trouble).toMatchObject({
      code: 'operand-missing',
      reason: 'it waits for list b',
    });
    made.network.set('https://feeds.example/b', '192.0.2.2\n');
    await made.refresh(['top']); // brings in what it is made from
    expect(made.consumer.batches[1]).toMatchObject({ top: ['192.0.2.1/32', '192.0.2.2/32'] });
    expect(made.status('top').trouble).toBeUndefined();
  });

  it('of addresses and names say so', async () => {
    const made = rigOf(
      'lists:\n  top: { union: [a, b] }\n  a: { entries: [192.0.2.1] }\n  b: { names: [a.example] }',
    );
    await made.start();
    expect(made.status('top').trouble?.code).toBe('mixed-list');
  });
});

describe('merging and expiry', () => {
  const config = `lists:\n  a: { url: 'https://feeds.example/a', mode: merge, entry-ttl: 10h, interval: 1h, shrink: off }`;

  it('keeps entries that the source says no more, for their time, and drops many in one batch', async () => {
    const feed = rigOf(config);
    feed.network.set('https://feeds.example/a', '192.0.2.1\n192.0.2.3\n192.0.2.5\n');
    await feed.start();
    feed.network.set('https://feeds.example/a', '192.0.2.7\n');
    await feed.refresh();
    expect(feed.consumer.batches[1]).toEqual({
      a: ['192.0.2.1/32', '192.0.2.3/32', '192.0.2.5/32', '192.0.2.7/32'],
    });
    await feed.pass(9 * HOUR_MS);
    expect(feed.consumer.batches).toHaveLength(2);
    feed.clock.advance(1.5 * HOUR_MS);
    expect(await feed.batch(3)).toEqual({ a: ['192.0.2.7/32'] });
  });

  it('nothing expires because the wall clock was set', async () => {
    const feed = rigOf(config);
    feed.network.set('https://feeds.example/a', '192.0.2.1\n');
    await feed.start();
    feed.network.set('https://feeds.example/a', '192.0.2.7\n');
    await feed.refresh();
    for (const jumpMs of [10 * 365 * DAY_MS, -20 * 365 * DAY_MS]) {
      feed.clock.jumpWall(jumpMs);
      await feed.refresh();
      expect(feed.status('a').count).toBe(2);
    }
    expect(feed.consumer.batches).toHaveLength(2);
  });

  it('goes on over a restart, whose length counts for a day at most', async () => {
    const feed = rigOf(config.replace('10h', '3d'));
    feed.network.set('https://feeds.example/a', '192.0.2.1\n');
    await feed.start();
    feed.network.set('https://feeds.example/a', '192.0.2.7\n');
    await feed.refresh();
    rig = await feed.restart(config.replace('10h', '3d'), 400 * DAY_MS);
    rig.network.set('https://feeds.example/a', '192.0.2.7\n');
    await rig.sources.start(rig.consumer.lists);
    await rig.refresh();
    expect(rig.status('a').count).toBe(2);
    rig.clock.advance(2.1 * DAY_MS);
    expect(await rig.batch(3)).toEqual({ a: ['192.0.2.7/32'] });
  });

  it('a list that cannot be refreshed for its time to live is emptied, and comes back', async () => {
    const feed = rigOf(`lists:\n  a: { url: 'https://feeds.example/a', ttl: 1d, interval: 1h }`);
    feed.network.set('https://feeds.example/a', '192.0.2.1\n');
    await feed.start();
    feed.network.set(
      'https://feeds.example/a',
      new FetchError('connection', 'no network', { temporary: true }),
    );
    feed.clock.advance(2 * HOUR_MS);
    await feed.state('a', 'failing');
    for (let hour = 0; hour < 30 && feed.consumer.batches.length < 2; hour++) {
      await feed.pass(HOUR_MS);
      await feed.pass(1000);
    }
    expect(feed.consumer.batches[1]).toEqual({ a: [] });
    expect(feed.status('a').state).toBe('expired');
    feed.network.set('https://feeds.example/a', '192.0.2.1\n');
    await feed.refresh();
    expect(feed.consumer.batches[2]).toEqual({ a: ['192.0.2.1/32'] });
  });
});

describe('tables', () => {
  it('are fetched once for all lists that are cut from them', async () => {
    const cut = rigOf(`tables:\n  countries: { of: country, url: 'https://feeds.example/ranges.csv' }
lists:
  nl: { country: nl }
  both: { country: [NL, is], table: countries }
  none: { country: kp }`);
    cut.network.set(
      'https://feeds.example/ranges.csv',
      '192.0.2.0,192.0.2.127,NL\n192.0.2.128,192.0.2.255,IS\n198.51.100.0,198.51.100.255,NL\n',
    );
    await cut.start();
    expect(cut.consumer.batches).toEqual([
      {
        nl: ['192.0.2.0/25', '198.51.100.0/24'],
        both: ['192.0.2.0/25', '192.0.2.128/25', '198.51.100.0/24'],
      },
    ]);
    expect(cut.network.asked).toHaveLength(1);
    expect(cut.status('none')).toMatchObject({ state: 'failing', origin: 'kp of table countries' });
    cut.network.set(
      'https://feeds.example/ranges.csv',
      '192.0.2.0,192.0.2.255,NL\n198.51.100.0,198.51.100.255,IS\n',
    );
    await cut.refresh(['nl']);
    expect(cut.consumer.batches[1]?.['nl']).toEqual(['192.0.2.0/24']);
  });

  it('of AS numbers are a file, and read again when that changes', async () => {
    const cut = rigOf(`tables:
  networks: { of: asn, file: asn.csv }
lists:
  one: { asn: [64500, AS64501] }`);
    const path = join(cut.directory, 'asn.csv');
    const place = (text: string): void => writeFileSync(path, text);
    place(
      '192.0.2.0,192.0.2.255,64500\n198.51.100.0,198.51.100.255,64502\n203.0.113.0,203.0.113.255,64501\n',
    );
    await cut.start();
    expect(cut.consumer.batches).toEqual([{ one: ['192.0.2.0/24', '203.0.113.0/24'] }]);
    expect(cut.watched).toEqual([path]);
    place('198.51.100.0,198.51.100.255,64501\n203.0.113.0,203.0.113.255,64501\n');
    cut.touch(path);
    expect(await cut.batch(2)).toEqual({ one: ['198.51.100.0/24', '203.0.113.0/24'] });
  });

  it('that cannot be fetched leave their lists as they are, and are told of with each', async () => {
    const cut = rigOf(`tables: { t: { of: country, url: 'https://feeds.example/t', interval: 1d } }
lists: { nl: { country: nl, ttl: 3d } }`);
    cut.network.set('https://feeds.example/t', '192.0.2.0,192.0.2.255,NL\n');
    await cut.start();
    cut.network.set(
      'https://feeds.example/t',
      new FetchError('connection', 'no network', { temporary: true }),
    );
    await cut.pass(1.2 * DAY_MS);
    expect(cut.status('nl')).toMatchObject({
      state: 'failing',
      count: 1,
      trouble: { reason: 'table t: no network' },
    });
    cut.network.set('https://feeds.example/t', '192.0.2.0,192.0.2.255,NL\n');
    await cut.pass(DAY_MS, HOUR_MS);
    expect(cut.status('nl')).toMatchObject({ state: 'ok', count: 1, trouble: undefined });
    expect(cut.consumer.batches).toHaveLength(1);
  });
});

describe('another configuration', () => {
  it('adds, changes and withdraws lists in one batch, and leaves the others alone', async () => {
    const before = `lists:\n  a: { url: 'https://feeds.example/a' }\n  b: { entries: [192.0.2.5] }\n  c: { entries: [192.0.2.7] }`;
    const changing = rigOf(before);
    changing.network.set('https://feeds.example/a', '192.0.2.1\n');
    await changing.start();
    const after = `lists:\n  # moved\n  a: { url: 'https://feeds.example/a' }\n  b: { entries: [192.0.2.6] }\n  d: { entries: [192.0.2.8] }`;
    await changing.sources.reload(changing.parse(after));
    expect(await changing.batch(2)).toEqual({ b: ['192.0.2.6/32'], c: undefined, d: ['192.0.2.8/32'] });
    expect(changing.network.asked).toHaveLength(1);
    expect(changing.sources.owns('c')).toBe(false);
    expect(changing.sources.status().map(({ name }) => name)).toEqual(['a', 'b', 'd']);
  });

  it('with another table leaves lists and tables alone that have nothing of it', async () => {
    const read: string[] = [];
    const directory = temporaryDirectory();
    write(directory, 'a.txt', '192.0.2.1');
    write(directory, 't.csv', '192.0.2.0/24,ru\n198.51.100.0/24,nl');
    write(directory, 'n.csv', '192.0.2.0,192.0.2.255,64500\n198.51.100.0,198.51.100.255,64501');
    const kept = `lists:\n  a: { file: a.txt }\n  r: { country: ru }\n`;
    const table = (of: string, file: string): string =>
      `{ of: ${of}, file: ${file}, quiet: 0s, unfinished: 0s }`;
    const changing = rigOf(
      `defaults: { quiet: 0s, unfinished: 0s }\ntables: { t: ${table('country', 't.csv')} }\n${kept}`,
      directory,
      {
        work: {
          read: async (order) => {
            read.push(order.inputs.map(({ name }) => name).join());
            return readSource({ ...order, inputs: await loadedInputs(order.inputs) });
          },
        },
      },
    );
    await changing.start();
    expect(read.splice(0).toSorted()).toEqual(['a.txt', 't.csv']);
    const tables = `tables: { t: ${table('country', 't.csv')}, n: ${table('asn', 'n.csv')} }`;
    const after = `defaults: { quiet: 0s, unfinished: 0s }\n${tables}\n${kept}  n: { asn: 64501 }\n`;
    await changing.sources.reload(changing.parse(after));
    expect(await changing.batch(2)).toEqual({ n: ['198.51.100.0/24'] });
    expect(new Set(read.splice(0))).toEqual(new Set(['n.csv']));
    const other = after.replace('file: t.csv,', 'file: t.csv, format: csv,');
    await changing.sources.reload(changing.parse(other));
    await changing.refresh(['r']);
    expect(new Set(read)).toEqual(new Set(['t.csv']));
    await changing.sources.reload(changing.parse('lists: { a: { file: a.txt, quiet: 0s, unfinished: 0s } }'));
    expect(await changing.batch(3)).toEqual({ r: undefined, n: undefined });
    expect(changing.watched).toEqual([join(directory, 'a.txt')]);
  });

  it('of one list goes on from its content, and guards still know it', async () => {
    const changing = rigOf(`lists:\n  a: { url: 'https://feeds.example/a' }`);
    changing.network.set('https://feeds.example/a', `${addresses(20).join('\n')}\n`);
    await changing.start();
    changing.network.set('https://feeds.example/a', '192.0.2.1\n');
    await changing.sources.reload(
      changing.parse(`lists:\n  a: { url: 'https://feeds.example/a', interval: 1h }`),
    );
    expect((await changing.refresh(['a']))[0]?.trouble?.code).toBe('shrunk');
    expect(changing.status('a').count).toBe(20);
  });

  it('that watches other files watches them', async () => {
    const directory = temporaryDirectory();
    write(directory, 'a.txt', '192.0.2.1');
    const path = write(directory, 'b.txt', '192.0.2.1');
    const changing = rigOf('lists:\n  a: { file: a.txt }', directory);
    await changing.start();
    await changing.sources.reload(changing.parse('lists:\n  a: { file: b.txt }'));
    expect(changing.watched).toEqual([path]);
    write(directory, 'b.txt', '192.0.2.9');
    changing.touch(path);
    expect(await changing.batch(2)).toEqual({ a: ['192.0.2.9/32'] });
  });
});

describe('a restart', () => {
  const config = `lists:\n  a: { url: 'https://feeds.example/a' }\n  o: { union: p }\n  p: { url: 'https://feeds.example/p', publish: false }`;

  it('without a network serves the cache, and tells nothing that is in force', async () => {
    const feed = rigOf(config);
    feed.network.set('https://feeds.example/a', '192.0.2.1\n');
    feed.network.set('https://feeds.example/p', '192.0.2.3\n');
    await feed.start();
    rig = await feed.restart(config);
    await rig.sources.start(rig.consumer.lists);
    await rig.state('a', 'ok');
    await rig.state('o', 'ok');
    expect(rig.network.asked).toEqual([]);
    expect(rig.consumer.batches).toHaveLength(1);
    expect(rig.status('a').nextAtMs).toBeGreaterThan(rig.clock.wallMs() + 4 * HOUR_MS);
  });

  it('with a cache that is refused keeps what is in force, operands that nobody publishes included', async () => {
    const feed = rigOf(config);
    feed.network.set('https://feeds.example/a', '192.0.2.1\n');
    feed.network.set('https://feeds.example/p', '192.0.2.3\n');
    await feed.start();
    feed.network.set('https://feeds.example/a', HTML);
    feed.network.set('https://feeds.example/p', HTML);
    await feed.refresh();
    rig = await feed.restart(config);
    await rig.sources.start(rig.consumer.lists);
    await rig.state('p', 'failing');
    await rig.state('o', 'ok');
    for (const name of ['a', 'p', 'o']) expect(rig.status(name).count, name).toBe(1);
    expect(rig.consumer.batches).toHaveLength(1);
  });

  it('withdraws what the configuration lost meanwhile, and never what others pushed', async () => {
    const feed = rigOf('lists:\n  a: { entries: [192.0.2.1] }\n  b: { entries: [192.0.2.2] }');
    await feed.start();
    const pushed = feed.consumer.lists.get('b');
    if (pushed !== undefined) feed.consumer.lists.set('pushed', pushed);
    rig = await feed.restart('lists:\n  b: { entries: [192.0.2.2] }');
    await rig.sources.start(rig.consumer.lists);
    expect(await rig.batch(2)).toEqual({ a: undefined });
    expect([...rig.consumer.lists.keys()]).toEqual(['b', 'pushed']);
  });

  it('with a configuration that says nothing of lists keeps what is in force until one does', async () => {
    const feed = rigOf('lists:\n  a: { entries: [192.0.2.1] }\n  b: { entries: [192.0.2.2] }');
    await feed.start();
    const cut = await feed.restart('name: mgmt');
    await cut.sources.start(cut.consumer.lists);
    await cut.pass(60_000, 1000);
    expect([...cut.consumer.lists.keys()]).toEqual(['a', 'b']);
    expect(cut.sources.keptUnsaid).toEqual(['a', 'b']);
    expect(cut.logged).toEqual([expect.stringMatching(/^the configuration has no lists:/)]);
    const again = await cut.restart('name: mgmt'); // it is not forgotten whose they are
    await again.sources.start(again.consumer.lists);
    await again.sources.reload(again.parse('lists:\n  a: { entries: [192.0.2.1] }'));
    expect(await again.batch(2)).toEqual({ b: undefined });
    rig = await again.restart('lists: {}');
    await rig.sources.start(rig.consumer.lists);
    expect(await rig.batch(3)).toEqual({ a: undefined });
  });

  it('spreads feeds that are overdue', async () => {
    const names = Array.from({ length: 20 }, (_, i) => `f${i}`);
    const many = `lists:\n${names.map((name) => `  ${name}: { url: 'https://feeds.example/${name}', interval: 1h }`).join('\n')}`;
    const feed = rigOf(many);
    for (const [i, name] of names.entries()) {
      feed.network.set(`https://feeds.example/${name}`, `198.18.0.${i * 2}\n`);
    }
    await feed.start();
    rig = await feed.restart(many, 10 * HOUR_MS);
    await rig.sources.start(rig.consumer.lists);
    await rig.pass(1);
    expect(rig.network.asked).toEqual([]);
    const waits = names.map((name) => (rig?.status(name).nextAtMs ?? 0) - (rig?.clock.wallMs() ?? 0));
    expect(Math.min(...waits)).toBeGreaterThan(0);
    expect(Math.max(...waits)).toBeLessThanOrEqual(60_000);
  });
});

describe('the consumer', () => {
  it('that refuses one list gets it again with the next change, and the status says why', async () => {
    const directory = temporaryDirectory();
    const path = write(directory, 'a.txt', '192.0.2.1');
    const refused = rigOf('lists:\n  a: { file: a.txt }\n  b: { entries: [192.0.2.2] }', directory);
    refused.consumer.refuse.set('a', { code: 'names-not-resolvable', reason: 'rules cannot use it' });
    await refused.start();
    expect(refused.status('a')).toMatchObject({
      state: 'failing',
      trouble: { code: 'names-not-resolvable' },
    });
    expect(refused.status('b').state).toBe('ok');
    refused.consumer.refuse.clear();
    refused.touch(path);
    expect(await refused.batch(2)).toEqual({ a: ['192.0.2.1/32'] });
    expect(refused.status('a').state).toBe('ok');
  });

  // It counted what the consumer had refused.
  it('that refuses what a list says now is said to have what was in force before', async () => {
    const directory = temporaryDirectory();
    const path = write(directory, 'a.txt', '192.0.2.1\n192.0.2.2\n');
    const refusing = rigOf('lists:\n  a: { file: a.txt }', directory);
    await refusing.start();
    refusing.consumer.refuse.set('a', { code: 'unreachable', reason: 'it would drop what must be reached' });
    write(directory, 'a.txt', '192.0.2.1\n192.0.2.2\n192.0.2.3\n');
    refusing.touch(path);
    await refusing.refresh(['a']);
    expect(refusing.status('a')).toMatchObject({
      state: 'failing',
      count: 2,
      trouble: { code: 'unreachable' },
    });
    refusing.consumer.refuse.clear();
    await refusing.refresh(['a']);
    expect(refusing.status('a')).toMatchObject({ state: 'ok', count: 3 });
  });

  it('that fails gets all of it again', async () => {
    const failing = rigOf('lists:\n  a: { entries: [192.0.2.2] }');
    failing.consumer.failure = new Error('the disk is full');
    await failing.sources.start(new Map());
    await failing.pass(1000, 100);
    expect(failing.logged.at(-1)).toContain('it is tried again');
    failing.consumer.failure = undefined;
    expect(await failing.batch(1)).toEqual({ a: ['192.0.2.2/32'] });
  });

  it('that lost a list by somebody else gets it back', async () => {
    const lost = rigOf('lists:\n  a: { entries: [192.0.2.2] }\n  b: { entries: [192.0.2.3] }');
    await lost.start();
    lost.consumer.lists.delete('a');
    lost.sources.resync();
    expect(await lost.batch(2)).toEqual({ a: ['192.0.2.2/32'] });
  });
});

// A feed whose servers disagreed made a release each time it was fetched.
describe('a feed that goes back and forth', () => {
  it('is damped and told of, and what it comes to rest at is taken', async () => {
    const url = 'https://feeds.example/a';
    const feed = rigOf(`lists: { a: { url: '${url}', interval: 1m, jitter: 0% } }`);
    const says = (minute: number): void => {
      feed.network.set(url, `# minute ${minute}\n192.0.2.${minute % 3}\n`);
    };
    says(0);
    await feed.start();
    let wasTold = false;
    for (let minute = 1; minute <= 60; minute++) {
      says(minute);
      await feed.pass(60_000, 10_000);
      wasTold ||= feed.status('a').trouble?.code === 'flapping';
    }
    expect(feed.consumer.batches.length).toBeLessThanOrEqual(20);
    expect(feed.consumer.batches.length).toBeGreaterThan(4);
    expect(wasTold).toBe(true);
    feed.network.set(url, '192.0.2.1\n');
    await feed.pass(20 * 60_000, 30_000);
    expect(feed.consumer.batches.at(-1)).toEqual({ a: ['192.0.2.1/32'] });
    expect(feed.status('a').trouble).toBeUndefined();
  });
});
