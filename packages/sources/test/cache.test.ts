import { createHash } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { DownloadCache, type DownloadInfo } from '../src/fetch/cache.ts';
import { CacheError } from '../src/fetch/error.ts';
import { freshFetcher, serve } from './http-server.ts';

const URL_A = 'https://a.example/list.txt';
const BODY = Buffer.from('192.0.2.1\n');
const OTHER = Buffer.from('198.51.100.1\n');

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function infoOf(bytes: Uint8Array, more: Partial<DownloadInfo> = {}): DownloadInfo {
  return {
    url: URL_A,
    finalUrl: URL_A,
    fileName: 'list.txt',
    sha256: sha256(bytes),
    etag: '"1"',
    lastModified: undefined,
    end: 'proven',
    fetchedAtMs: 1,
    ...more,
  };
}

/** Keeps a body as a download does. */
async function write(cache: DownloadCache, bytes: Uint8Array, url = URL_A): Promise<void> {
  const draft = await cache.draft(url);
  await draft.add(bytes);
  await cache.write(url, infoOf(bytes), draft);
}

async function bodyOf(cache: DownloadCache): Promise<Buffer | undefined> {
  const found = await cache.find(URL_A);
  return found && Buffer.from(await cache.read(URL_A, found));
}

/** A cache that holds BODY. */
async function filledCache(): Promise<{ readonly directory: string; readonly cache: DownloadCache }> {
  const directory = join(temporaryDirectory(), 'downloads');
  const cache = new DownloadCache(directory);
  await write(cache, BODY);
  return { directory, cache };
}

function fileOf(directory: string, kind: 'info' | 'body'): string {
  const name = readdirSync(directory).find((file) => file.endsWith('.json') === (kind === 'info'));
  return join(directory, name ?? '');
}

describe('a cache of downloads', () => {
  it('gives back what it was given, also to the next process', async () => {
    const { directory, cache } = await filledCache();
    for (const reader of [cache, new DownloadCache(directory)]) {
      expect(await reader.find(URL_A)).toEqual({ ...infoOf(BODY), size: BODY.length });
      expect(await bodyOf(reader)).toEqual(BODY);
    }
  });

  it('is for its owner only', async () => {
    const { directory } = await filledCache();
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    for (const name of readdirSync(directory))
      expect(statSync(join(directory, name)).mode & 0o777).toBe(0o600);
  });

  it('keeps one body of a URL, and one of each', async () => {
    const { directory, cache } = await filledCache();
    await write(cache, OTHER);
    expect(readdirSync(directory)).toHaveLength(2);
    expect(await bodyOf(cache)).toEqual(OTHER);
    await write(cache, BODY, `${URL_A}?2`);
    expect(readdirSync(directory)).toHaveLength(4);
    expect(await bodyOf(cache)).toEqual(OTHER);
  });

  it('takes new validators for the body it has', async () => {
    const { cache } = await filledCache();
    await cache.update(URL_A, infoOf(BODY, { etag: '"2"', fetchedAtMs: 9 }));
    expect(await cache.find(URL_A)).toMatchObject({ etag: '"2"', fetchedAtMs: 9 });
  });

  it('holds empty bodies', async () => {
    const { cache } = await filledCache();
    await write(cache, Buffer.alloc(0));
    expect(await bodyOf(cache)).toEqual(Buffer.alloc(0));
  });

  it.each([
    ['a body with a bit changed', 'body', (path: string) => writeFileSync(path, Buffer.from('192.0.2.3\n'))],
    ['a body cut short', 'body', (path: string) => truncateSync(path, 3)],
    ['a body grown longer', 'body', (path: string) => writeFileSync(path, 'more', { flag: 'a' })],
    ['no body', 'body', (path: string) => renameSync(path, `${path}.gone`)],
    [
      'a directory for a body',
      'body',
      (path: string) => {
        renameSync(path, `${path}.gone`);
        mkdirSync(path);
      },
    ],
    ['no JSON', 'info', (path: string) => writeFileSync(path, '{"url":')],
    ['JSON of another kind', 'info', (path: string) => writeFileSync(path, '[1]')],
    ['null', 'info', (path: string) => writeFileSync(path, 'null')],
    [
      'a digest that leads elsewhere',
      'info',
      (path: string) => {
        writeFileSync(
          path,
          readFileSync(path, 'utf8').replace(/"sha256":"[^"]+"/, '"sha256":"../../etc/passwd"'),
        );
      },
    ],
  ] as const)('with %s has nothing', async (_, kind, damage) => {
    const { directory, cache } = await filledCache();
    damage(fileOf(directory, kind));
    expect(await cache.find(URL_A)).toBeUndefined();
    await write(cache, OTHER).catch(() => undefined);
    if (kind === 'info') expect(await bodyOf(cache)).toEqual(OTHER);
  });

  it('fetches again what was damaged, whatever the server would confirm', async () => {
    const cacheDirectory = temporaryDirectory();
    const server = await serve({
      '/': (request, response) => {
        const isKnown = request.headers['if-none-match'] !== undefined;
        response.writeHead(isKnown ? 304 : 200, { etag: '"1"' }).end(isKnown ? undefined : BODY);
      },
    });
    const fetcher = freshFetcher({ cacheDirectory });
    const request = { url: server.url, maxBytes: 100, allMaxBytes: 1000, timeoutMs: 180_000 };
    await fetcher.fetch(request);
    truncateSync(fileOf(cacheDirectory, 'body'), 3);
    const outcome = await fetcher.fetch(request);
    expect(outcome.kind).toBe('fresh');
    expect(Buffer.from(await outcome.read())).toEqual(BODY);
    expect(Buffer.from((await (await fetcher.cached(server.url))?.read()) ?? [])).toEqual(BODY);
  });

  it('sweeps what a crash left, and nothing that is not its own', async () => {
    const { directory } = await filledCache();
    const [key = ''] = readdirSync(directory).filter((name) => name.endsWith('.json'));
    const id = key.slice(0, 64);
    const litter = [`${id}.json.0011aabb.half`, `${id}.${sha256(OTHER)}.00.half`, `${id}.${sha256(OTHER)}`];
    for (const name of [...litter, 'README', 'x.half']) writeFileSync(join(directory, name), 'x');
    const next = new DownloadCache(directory);
    expect(await next.find(URL_A)).toMatchObject({ sha256: sha256(BODY) });
    const names = readdirSync(directory);
    expect(names.filter((name) => litter.includes(name))).toEqual([]);
    expect(names).toEqual(expect.arrayContaining(['README', 'x.half']));
    expect(names).toHaveLength(4);
  });

  it('keeps the old body where the new one cannot be written, and leaves no litter', async () => {
    const { directory, cache } = await filledCache();
    // A directory in the place of the file: the rename fails on it for every user, root included.
    mkdirSync(
      join(directory, `${fileOf(directory, 'info').split('/').at(-1)?.slice(0, 64)}.${sha256(OTHER)}`),
    );
    await expect(write(cache, OTHER)).rejects.toBeInstanceOf(CacheError);
    expect(await bodyOf(cache)).toEqual(BODY);
    expect(readdirSync(directory).filter((name) => name.endsWith('.half'))).toEqual([]);
  });

  it('that cannot be used is an error of the fetch, and is tried again', async () => {
    const place = join(temporaryDirectory(), 'file');
    writeFileSync(place, 'in the way');
    const server = await serve({ '/': (_, response) => response.end(BODY) });
    const fetcher = freshFetcher({ cacheDirectory: place });
    const request = { url: server.url, maxBytes: 100, allMaxBytes: 1000, timeoutMs: 180_000 };
    await expect(fetcher.fetch(request)).rejects.toMatchObject({ code: 'cache', temporary: true });
    renameSync(place, `${place}.away`);
    expect((await fetcher.fetch(request)).kind).toBe('fresh');
    chmodSync(place, 0o700);
  });
});
