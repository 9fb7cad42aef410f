/**
 * First downloads, which nothing is known about, and what grows from them. A server's apology of one word was
 * taken for a list of one name, and the real list refused for ever, as `grown`.
 */

import { afterEach, describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { addresses } from './list-of.ts';
import { SourceRig } from './source-rig.ts';

const URL_A = 'https://feeds.example/a';
const CONFIG = `lists:\n  a: { url: "${URL_A}", coverage-change: off }\n`;
let rig: SourceRig;
afterEach(() => rig.sources.close());

function serve(content: string): void {
  rig.network.set(URL_A, content);
}

const text = (count: number): string => `${addresses(count).join('\n')}\n`;

async function start(content: string, config = CONFIG): Promise<void> {
  rig = new SourceRig(temporaryDirectory(), config);
  serve(content);
  await rig.sources.start(new Map());
  await rig.pass(1000, 100);
}

describe('a first download', () => {
  it.each([
    ['error\n', 'error'],
    ['forbidden', 'forbidden'],
    ['# Rate limit exceeded, try again later\n127.0.0.1\n', 'Rate limit'],
    ['# access denied for 192.0.2.7\n192.0.2.7\n', 'access denied'],
    ['maintenance\n', 'maintenance'],
    ['# 503 Service Unavailable\n192.0.2.1\n192.0.2.3\n', 'Service Unavailable'],
  ])('of a few entries that says what went wrong is refused: %j', async (content, words) => {
    await start(content);
    expect(rig.status('a')).toMatchObject({ state: 'failing', count: 0 });
    expect(rig.status('a').trouble).toMatchObject({ code: 'implausible' });
    expect(rig.status('a').trouble?.reason).toContain(`"${words}"`);
    expect(rig.status('a').trouble?.reason).toContain('rulectl lists refresh a --permit implausible');
    await rig.refresh(['a'], ['implausible']);
    expect(rig.status('a').state).toBe('ok');
    expect(rig.audit.map(({ code }) => code)).toEqual(['implausible']);
  });

  it.each([
    ['with such words among many entries', `# errors to abuse@feeds.example\n${text(20)}`],
    ['with such words in names', 'error.example\nnot-found.example\n'],
    ['of one entry', '192.0.2.1\n'],
  ])('%s is taken', async (_, content) => {
    await start(content);
    expect(rig.status('a').state).toBe('ok');
  });

  it('is told, since nothing says whether it is right; later ones are not', async () => {
    await start('192.0.2.1\n');
    const told =
      'list a has content for the first time: 1 entry, read as plain; there is no earlier content to compare it with';
    expect(rig.logged).toEqual([told]);
    serve('192.0.2.1\n192.0.2.3\n');
    await rig.refresh();
    expect(rig.logged).toEqual([told]);
  });

  it('that was wrong is no end: --permit grown takes the right one', async () => {
    await start('192.0.2.1\n');
    serve(text(1000));
    await rig.refresh(['a']);
    expect(rig.status('a').trouble?.reason).toContain('rulectl lists refresh a --permit grown');
    await rig.refresh(['a'], ['grown']);
    expect(rig.status('a')).toMatchObject({ state: 'ok', count: 1000 });
  });
});

// It was `waiting`, and nobody saw why.
it.each([
  ['a list', CONFIG],
  ['a table', `tables: { t: { of: country, url: "${URL_A}" } }\nlists: { a: { country: ru } }\n`],
])('a download of %s that fails by a bug says so', async (_, config) => {
  rig = new SourceRig(temporaryDirectory(), config);
  rig.network.fetch = () => Promise.reject(new TypeError('Agent is not a constructor'));
  await rig.sources.start(new Map());
  await rig.pass(1000, 100);
  expect(rig.status('a')).toMatchObject({ state: 'failing', trouble: { code: 'bug' } });
  expect(rig.status('a').trouble?.reason).toContain('Agent is not a constructor');
});

describe('growth', () => {
  it('up to the longest list seen, and a share of that, needs no permit, also after a restart', async () => {
    await start(text(1000));
    serve(text(10));
    await rig.refresh(['a'], ['shrunk']);
    expect(rig.status('a').count).toBe(10);
    const before = rig;
    rig = await before.restart(CONFIG);
    await rig.sources.start(rig.consumer.lists);
    await rig.pass(1000, 100);
    serve(text(1501));
    await rig.refresh(['a']);
    expect(rig.status('a').trouble).toMatchObject({
      code: 'grown',
      reason: expect.stringContaining(
        'from 10 to 1501 entries; the longest so far had 1000, and at most 50 % more are taken',
      ),
    });
    serve(text(1500));
    await rig.refresh(['a']);
    expect(rig.status('a')).toMatchObject({ state: 'ok', count: 1500 });
  });
});

describe('a count that the file states of itself', () => {
  const stated = (count: number, held: number): string => `# Number of entries: ${count}\n${text(held)}`;

  it('may be off by a thousandth, which is told', async () => {
    await start(stated(2002, 2000));
    expect(rig.status('a').state).toBe('ok');
    expect(rig.logged).toContain(
      'list a: a: it states 2002 entries in line 1 and holds 2000: accepted, as the difference is below 0.1 %',
    );
    serve(stated(2003, 2000));
    await rig.refresh();
    expect(rig.status('a').trouble).toMatchObject({ code: 'truncated' });
  });
});
