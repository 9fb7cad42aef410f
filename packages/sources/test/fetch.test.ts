import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import type { LookupFunction } from 'node:net';
import { join } from 'node:path';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { Fetcher, type FetchOutcome, type FetchRequest } from '../src/fetch/fetcher.ts';
import { freshFetcher, serve, serveProxy, serveRaw } from './http-server.ts';

const BODY = '192.0.2.1\n192.0.2.2\n';
const OTHER = '198.51.100.1\n';

function ask(url: string, more: Partial<FetchRequest> = {}): FetchRequest {
  return { url, maxBytes: 1000, allMaxBytes: 1 << 28, timeoutMs: 180_000, ...more };
}

async function textOf(outcome: Pick<FetchOutcome, 'read'>): Promise<string> {
  return Buffer.from(await outcome.read()).toString();
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** A certificate for 127.0.0.1 that nobody but the test trusts. */
const TLS = {
  key: readFileSync(new URL('../../../test/fixtures/tls/key.pem', import.meta.url), 'utf8'),
  cert: readFileSync(new URL('../../../test/fixtures/tls/certificate.pem', import.meta.url), 'utf8'),
};

describe('a fetch', () => {
  it('gives the body with its digest, time, address and name', async () => {
    const server = await serve({ '/lists/drop.txt': (_, response) => response.end(BODY) });
    const fetcher = freshFetcher({ nowMs: () => 1_700_000_000_123 });
    const url = `${server.url}/lists/drop.txt?key=1#part`;
    const { read, ...outcome } = await fetcher.fetch(ask(url));
    expect(await textOf({ read })).toBe(BODY);
    expect(outcome).toEqual({
      kind: 'fresh',
      size: BODY.length,
      sha256: sha256(BODY),
      end: 'proven',
      fetchedAtMs: 1_700_000_000_123,
      finalUrl: `${server.url}/lists/drop.txt?key=1`,
      fileName: 'drop.txt',
    });
  });

  it('says who asks, and takes other headers from the request', async () => {
    const server = await serve({ '/': (_, response) => response.end(BODY) });
    const fetcher = freshFetcher();
    await fetcher.fetch(ask(server.url));
    expect(server.lastHeaders()['user-agent']).toMatch(/^rulecast\/\d+\.\d+\.\d+$/);
    expect(server.lastHeaders()['accept-encoding']).toBe('gzip, br');
    await fetcher.fetch(ask(server.url, { headers: { 'User-Agent': 'x', 'X-Key': 'k' } }));
    expect(server.lastHeaders()).toMatchObject({ 'user-agent': 'x', 'x-key': 'k' });
  });

  it.each([
    ['attachment; filename="lists of today.zip"', 'lists of today.zip'],
    ['attachment; filename=plain.csv', 'plain.csv'],
    [`attachment; filename="x.txt"; filename*=UTF-8''n%C3%A4me.txt`, 'näme.txt'],
    ['attachment; filename="../../etc/passwd"', 'passwd'],
    ['attachment; filename="..\\\\evil.txt"', 'evil.txt'],
    ['attachment; filename=".."', 'feed'],
    ['inline', 'feed'],
  ])('names the download by Content-Disposition %j as %j', async (disposition, name) => {
    const answer = { 'content-disposition': disposition };
    const server = await serve({ '/feed': (_, response) => response.writeHead(200, answer).end(BODY) });
    expect((await freshFetcher().fetch(ask(`${server.url}/feed`))).fileName).toBe(name);
  });

  it('names a download without any name by its host', async () => {
    const server = await serve({ '/': (_, response) => response.end(BODY) });
    expect((await freshFetcher().fetch(ask(server.url))).fileName).toBe('127.0.0.1');
  });

  it.each([
    ['not a url', 'bad-url'],
    ['ftp://127.0.0.1/x', 'bad-url'],
    ['file:///etc/passwd', 'bad-url'],
    [`http://127.0.0.1/${'x'.repeat(8192)}`, 'bad-url'],
    ['http://a%zz:b@127.0.0.1/', 'bad-url'],
  ])('refuses %.40s', async (url, code) => {
    await expect(freshFetcher().fetch(ask(url))).rejects.toMatchObject({ code, temporary: false });
  });

  it('serves one URL to many at a time, and writes its cache once each', async () => {
    const server = await serve({ '/': (_, response) => response.end(BODY) });
    const fetcher = freshFetcher();
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => fetcher.fetch(ask(server.url))));
    expect(await Promise.all(outcomes.map(textOf))).toEqual(Array(8).fill(BODY));
  });
});

describe('credentials', () => {
  it('of a URL go by Basic authentication, and are in no address, message or cache file', async () => {
    const cacheDirectory = temporaryDirectory();
    const server = await serve({ '/': (_, response) => response.end(BODY) });
    const fetcher = freshFetcher({ cacheDirectory });
    const { host } = new URL(server.url);
    const outcome = await fetcher.fetch(ask(`http://user:s%3Acret@${host}/`));
    expect(server.lastHeaders().authorization).toBe(`Basic ${btoa('user:s:cret')}`);
    expect(outcome.finalUrl).toBe(`http://${host}/`);
    const kept = readdirSync(cacheDirectory).map((name) => readFileSync(join(cacheDirectory, name), 'utf8'));
    expect(kept).toHaveLength(2);
    expect(kept.join()).not.toMatch(/user|cret/);
  });

  it('are not in an error', async () => {
    const server = await serve({});
    const { host } = new URL(server.url);
    const failure = freshFetcher().fetch(ask(`http://user:secret@${host}/`));
    await expect(failure).rejects.toThrow(`http://${host}/ answers with HTTP status 404`);
  });

  it('do not follow a redirect to another origin, but to the same', async () => {
    const other = await serve({ '/': (_, response) => response.end(BODY) });
    const server = await serve({
      '/away': (_, response) => response.writeHead(302, { location: other.url }).end(),
      '/near': (_, response) => response.writeHead(302, { location: '/there' }).end(),
      '/there': (_, response) => response.end(BODY),
    });
    const headers = { authorization: 'Bearer t', cookie: 'c', 'x-api-key': 'k' };
    await freshFetcher().fetch(ask(`${server.url}/away`, { headers }));
    expect(Object.keys(other.lastHeaders())).not.toEqual(
      expect.arrayContaining([expect.stringMatching(/authorization|cookie|x-api-key/)]),
    );
    await freshFetcher().fetch(ask(`${server.url}/near`, { headers }));
    expect(server.lastHeaders()).toMatchObject(headers);
  });
});

describe('asking again', () => {
  it.each([
    [{ etag: '"v1"' }, 'if-none-match', '"v1"'],
    [{ etag: 'W/"v1"' }, 'if-none-match', 'W/"v1"'],
    [
      { 'last-modified': 'Wed, 21 Oct 2015 07:28:00 GMT' },
      'if-modified-since',
      'Wed, 21 Oct 2015 07:28:00 GMT',
    ],
  ])('with %o sends %s, and takes 304 for the body of the cache', async (validator, header, value) => {
    const server = await serve({
      '/': (request, response) => {
        if (request.headers[header] === value) response.writeHead(304).end();
        else response.writeHead(200, validator).end(BODY);
      },
    });
    let nowMs = 1000;
    const fetcher = freshFetcher({ nowMs: () => nowMs });
    expect(await fetcher.fetch(ask(server.url))).toMatchObject({ kind: 'fresh', fetchedAtMs: 1000 });
    nowMs = 2000;
    const again = await fetcher.fetch(ask(server.url));
    expect(again).toMatchObject({ kind: 'not-modified', fetchedAtMs: 2000, sha256: sha256(BODY) });
    expect(await textOf(again)).toBe(BODY);
    expect(await fetcher.cached(server.url)).toMatchObject({ fetchedAtMs: 2000 });
  });

  it('takes no Last-Modified of the second of the answer for a validator: the file may change within it', async () => {
    const date = 'Wed, 21 Oct 2015 07:28:00 GMT';
    const server = await serve({
      '/': (_request, response) => response.writeHead(200, { date, 'last-modified': date }).end(BODY),
    });
    const fetcher = freshFetcher();
    for (let i = 0; i < 2; i++) await fetcher.fetch(ask(server.url));
    expect(server.lastHeaders()['if-modified-since']).toBeUndefined();
  });

  it('sends what the last 304 said', async () => {
    const dates: (string | undefined)[] = [];
    const server = await serve({
      '/': (request, response) => {
        dates.push(request.headers['if-modified-since']);
        const date = `Wed, 21 Oct 2015 07:28:0${dates.length} GMT`;
        response.writeHead(dates.length === 1 ? 200 : 304, { 'last-modified': date });
        response.end(dates.length === 1 ? BODY : undefined);
      },
    });
    const fetcher = freshFetcher();
    for (let i = 0; i < 3; i++) await fetcher.fetch(ask(server.url));
    expect(dates).toEqual([undefined, 'Wed, 21 Oct 2015 07:28:01 GMT', 'Wed, 21 Oct 2015 07:28:02 GMT']);
  });

  it('does not take a 304 that confirms another body, but asks for that one', async () => {
    let current = BODY;
    let tag = '"v1"';
    const server = await serve({
      '/': (request, response) => {
        const isAsked = request.headers['if-none-match'] !== undefined;
        response.writeHead(isAsked ? 304 : 200, { etag: tag }).end(isAsked ? undefined : current);
      },
    });
    const fetcher = freshFetcher();
    await fetcher.fetch(ask(server.url));
    current = OTHER;
    tag = '"v2"';
    const outcome = await fetcher.fetch(ask(server.url));
    expect(outcome.kind).toBe('fresh');
    expect(await textOf(outcome)).toBe(OTHER);
    expect(server.requests).toHaveLength(3);
  });

  it('refuses a 304 that nobody asked for', async () => {
    const server = await serve({ '/': (_, response) => response.writeHead(304).end() });
    await expect(freshFetcher().fetch(ask(server.url))).rejects.toMatchObject({
      code: 'status',
      status: 304,
    });
  });

  it('takes a new body for the old one', async () => {
    let body = BODY;
    const server = await serve({ '/': (_, response) => response.writeHead(200, { etag: '"1"' }).end(body) });
    const fetcher = freshFetcher();
    await fetcher.fetch(ask(server.url));
    body = OTHER;
    expect(await textOf(await fetcher.fetch(ask(server.url)))).toBe(OTHER);
    expect(await textOf((await fetcher.cached(server.url))!)).toBe(OTHER);
  });

  it('tells validators to the address that they came from only, whatever its query', async () => {
    let day = 1;
    const seen: (string | undefined)[] = [];
    const file = (_: unknown, response: ServerResponse): void => {
      response.writeHead(200, { etag: '"same"' }).end(BODY);
    };
    const server = await serve({
      '/list': (_, response) =>
        response.writeHead(302, { location: `/day${day}?signature=${Math.random()}` }).end(),
      '/day1': (request, response) => {
        seen.push(request.headers['if-none-match']);
        file(request, response);
      },
      '/day2': (request, response) => {
        seen.push(request.headers['if-none-match']);
        file(request, response);
      },
    });
    const fetcher = freshFetcher();
    for (day of [1, 1, 2]) await fetcher.fetch(ask(`${server.url}/list`));
    expect(seen).toEqual([undefined, '"same"', undefined]);
  });
});

describe('a pinned body', () => {
  it('is the only one taken', async () => {
    let body = OTHER;
    const server = await serve({ '/': (_, response) => response.end(body) });
    const fetcher = freshFetcher();
    const request = ask(server.url, { sha256: sha256(BODY).toUpperCase() });
    await expect(fetcher.fetch(request)).rejects.toMatchObject({ code: 'pin-mismatch', temporary: false });
    expect(await fetcher.cached(server.url)).toBeUndefined();
    body = BODY;
    expect(await textOf(await fetcher.fetch(request))).toBe(BODY);
  });

  it('is asked for once', async () => {
    const server = await serve({ '/': (_, response) => response.end(BODY) });
    const fetcher = freshFetcher();
    const request = ask(server.url, { sha256: sha256(BODY) });
    await fetcher.fetch(request);
    expect(await fetcher.fetch(request)).toMatchObject({ kind: 'not-modified' });
    expect(server.requests).toHaveLength(1);
  });

  it('replaces another one in the cache', async () => {
    let body = OTHER;
    const server = await serve({ '/': (_, response) => response.writeHead(200, { etag: '"x"' }).end(body) });
    const fetcher = freshFetcher();
    await fetcher.fetch(ask(server.url));
    body = BODY;
    expect(await textOf(await fetcher.fetch(ask(server.url, { sha256: sha256(BODY) })))).toBe(BODY);
  });

  it('is written as 64 digits', async () => {
    await expect(freshFetcher().fetch(ask('http://127.0.0.1/', { sha256: 'abc' }))).rejects.toThrow(
      TypeError,
    );
  });
});

describe('redirects', () => {
  it.each([301, 302, 303, 307, 308])('are followed with status %i, relative or not', async (status) => {
    const server = await serve({
      '/a/b': (_, response) => response.writeHead(status, { location: '../c' }).end('moved'),
      '/c': (request, response) => {
        response.writeHead(status, { location: `http://${request.headers.host}/d.txt` }).end('moved');
      },
      '/d.txt': (_, response) => response.end(BODY),
    });
    const outcome = await freshFetcher().fetch(ask(`${server.url}/a/b`));
    expect(outcome).toMatchObject({ finalUrl: `${server.url}/d.txt`, fileName: 'd.txt' });
    expect(server.requests).toEqual(['GET /a/b', 'GET /c', 'GET /d.txt']);
  });

  it('are followed eight times, and not nine times', async () => {
    const server = await serve(
      Object.fromEntries(
        Array.from({ length: 10 }, (_, i) => [
          `/${i}`,
          (_: unknown, response: ServerResponse): void => {
            if (i === 0) response.end(BODY);
            else response.writeHead(302, { location: `/${i - 1}` }).end();
          },
        ]),
      ),
    );
    expect(await textOf(await freshFetcher().fetch(ask(`${server.url}/8`)))).toBe(BODY);
    await expect(freshFetcher().fetch(ask(`${server.url}/9`))).rejects.toMatchObject({
      code: 'bad-redirect',
    });
  });

  it.each([
    ['in a circle', { location: '/' }, /circle/],
    ['to nowhere', {}, /redirects to no URL/],
    ['to no URL', { location: 'http://:x' }, /redirects to no URL/],
    ['to a file', { location: 'file:///etc/passwd' }, /neither https nor http/],
    ['to something long', { location: `/${'x'.repeat(8200)}` }, /too long/],
  ])('%s are refused, once', async (_, headers, message) => {
    const server = await serve({ '/': (_, response) => response.writeHead(302, headers).end() });
    const failure = freshFetcher().fetch(ask(server.url));
    await expect(failure).rejects.toMatchObject({ code: 'bad-redirect', temporary: false });
    await expect(failure).rejects.toThrow(message);
    expect(server.requests).toHaveLength(1);
  });

  it('from https to http are refused, unless allowed', async () => {
    const plain = await serve({ '/': (_, response) => response.end(BODY) });
    const secure = await serve(
      { '/': (_, response) => response.writeHead(302, { location: plain.url }).end() },
      TLS,
    );
    const trusting = { trustedCertificates: [TLS.cert] };
    const refused = freshFetcher(trusting).fetch(ask(secure.url));
    await expect(refused).rejects.toMatchObject({ code: 'bad-redirect' });
    expect(plain.requests).toEqual([]);
    const allowed = freshFetcher({ ...trusting, allowInsecureRedirects: true });
    expect(await textOf(await allowed.fetch(ask(secure.url)))).toBe(BODY);
  });
});

describe('a status', () => {
  it.each([
    [400, 1],
    [401, 1],
    [403, 1],
    [404, 1],
    [410, 1],
    [451, 1],
    [501, 1],
    [201, 1],
    [204, 1],
    [206, 1],
    [408, 4],
    [429, 4],
    [500, 4],
    [502, 4],
    [503, 4],
    [504, 4],
  ])('of %i is an error after %i requests', async (status, count) => {
    const server = await serve({ '/': (_, response) => response.writeHead(status).end() });
    const failure = freshFetcher().fetch(ask(server.url));
    await expect(failure).rejects.toMatchObject({ code: 'status', status, temporary: count > 1 });
    expect(server.requests).toHaveLength(count);
  });

  it('that is temporary is forgotten when the next try succeeds', async () => {
    const statuses = [503, 500, 200];
    const server = await serve({
      '/': (_, response) => response.writeHead(statuses.shift() ?? 500).end(BODY),
    });
    expect(await textOf(await freshFetcher().fetch(ask(server.url)))).toBe(BODY);
  });
});

describe('waiting between tries', () => {
  const waitsFor = async (headers: Record<string, string>, random = 1, nowMs = 0): Promise<number[]> => {
    const server = await serve({ '/': (_, response) => response.writeHead(503, headers).end() });
    const waits: number[] = [];
    const fetcher = freshFetcher({
      random: () => random,
      nowMs: () => nowMs,
      sleep: (ms) => {
        waits.push(ms);
        return Promise.resolve();
      },
    });
    await expect(fetcher.fetch(ask(server.url))).rejects.toMatchObject({ code: 'status' });
    return waits;
  };

  it('doubles, and half of it is chance', async () => {
    expect(await waitsFor({}, 1)).toEqual([1000, 2000, 4000]);
    expect(await waitsFor({}, 0)).toEqual([500, 1000, 2000]);
  });

  it('is at least what Retry-After says, in seconds or as a date', async () => {
    expect(await waitsFor({ 'retry-after': '7' }, 0)).toEqual([7500, 8000, 9000]);
    const nowMs = Date.UTC(2015, 9, 21, 7, 28, 0);
    const date = { 'retry-after': 'Wed, 21 Oct 2015 07:28:30 GMT' };
    expect(await waitsFor(date, 0, nowMs)).toEqual([30_500, 31_000, 32_000]);
    expect(await waitsFor(date, 0, nowMs + 60_000)).toEqual([500, 1000, 2000]);
  });

  it.each(['soon', '-5', '1.5', '12345678901', ''])('takes Retry-After %j for none', async (text) => {
    expect(await waitsFor({ 'retry-after': text }, 0)).toEqual([500, 1000, 2000]);
  });

  it('is left to the schedule where the server asks for more than a minute', async () => {
    const server = await serve({
      '/': (_, response) => response.writeHead(429, { 'retry-after': '3600' }).end(),
    });
    const failure = freshFetcher().fetch(ask(server.url));
    await expect(failure).rejects.toMatchObject({ status: 429, retryAfterMs: 3_600_000, temporary: true });
    expect(server.requests).toHaveLength(1);
  });

  it('ends when whoever asked does not want it any more, and when the fetcher closes', async () => {
    const server = await serve({ '/': (_, response) => response.writeHead(503).end() });
    const stop = new AbortController();
    const cacheDirectory = temporaryDirectory();
    const fetcher = new Fetcher({ cacheDirectory, environment: {}, random: () => 1 });
    const stopped = fetcher.fetch(ask(server.url, { signal: stop.signal }));
    const closed = fetcher.fetch(ask(`${server.url}/other`));
    stop.abort();
    await expect(stopped).rejects.toMatchObject({ code: 'aborted', temporary: false });
    await fetcher.close();
    await expect(closed).rejects.toMatchObject({ code: expect.stringMatching(/aborted|status/) });
    await expect(fetcher.fetch(ask(server.url))).rejects.toMatchObject({ code: 'aborted' });
  });
});

describe('a body', () => {
  it('of as many bytes as allowed is taken, and one more is refused, whether its length is told or not', async () => {
    const server = await serve({
      '/told': (_, response) => response.writeHead(200, { 'content-length': 20 }).end(BODY),
      '/chunked': (_, response) => {
        response.write(BODY.slice(0, 10));
        response.end(BODY.slice(10));
      },
    });
    for (const path of ['/told', '/chunked']) {
      expect(await textOf(await freshFetcher().fetch(ask(server.url + path, { maxBytes: 20 })))).toBe(BODY);
      const refused = freshFetcher().fetch(ask(server.url + path, { maxBytes: 19 }));
      await expect(refused).rejects.toMatchObject({ code: 'too-large', temporary: false });
    }
    expect(server.requests).toHaveLength(4);
  });

  it('without an end is cut off at the limit', async () => {
    let sent = 0;
    const server = await serve({
      '/': (_, response) => {
        const more = (): void => {
          while (!response.destroyed && response.write(Buffer.alloc(65_536))) sent += 65_536;
        };
        response.on('drain', more);
        more();
      },
    });
    const failure = freshFetcher().fetch(ask(server.url, { maxBytes: 1_000_000 }));
    await expect(failure).rejects.toMatchObject({ code: 'too-large' });
    expect(sent).toBeLessThan(50_000_000);
  });

  it.each([
    ['gzip', gzipSync(BODY)],
    ['x-gzip', gzipSync(BODY)],
    ['deflate', deflateSync(BODY)],
    ['br', brotliCompressSync(BODY)],
    ['identity', Buffer.from(BODY)],
  ])('encoded as %s is decoded, and hashed as decoded', async (encoding, bytes) => {
    const server = await serve({
      '/': (_, response) => response.writeHead(200, { 'content-encoding': encoding }).end(bytes),
    });
    const outcome = await freshFetcher().fetch(ask(server.url));
    expect(await textOf(outcome)).toBe(BODY);
    expect(outcome.sha256).toBe(sha256(BODY));
  });

  it.each([
    ['zstd', Buffer.from(BODY), 'bad-encoding'],
    ['gzip, gzip', gzipSync(gzipSync(BODY)), 'bad-encoding'],
    ['gzip', Buffer.from(BODY), 'bad-encoding'],
    ['br', Buffer.from([255, 255, 255, 255]), 'bad-encoding'],
    ['gzip', gzipSync(BODY).subarray(0, 20), 'truncated'],
  ])('that says %s and is not that is refused', async (encoding, bytes, code) => {
    const server = await serve({
      '/': (_, response) => response.writeHead(200, { 'content-encoding': encoding }).end(bytes),
    });
    await expect(freshFetcher().fetch(ask(server.url))).rejects.toMatchObject({ code });
  });

  it('that is a bomb costs what is allowed', async () => {
    const bomb = gzipSync(Buffer.alloc(200_000_000));
    const server = await serve({
      '/': (_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb),
    });
    const before = process.memoryUsage().rss;
    const failure = freshFetcher().fetch(ask(server.url, { maxBytes: 1_000_000 }));
    await expect(failure).rejects.toMatchObject({ code: 'too-large' });
    expect(process.memoryUsage().rss - before).toBeLessThan(100_000_000);
  });

  it.each([
    ['shorter than its length', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort'],
    ['without its last chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n'],
    ['cut in a chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nshort'],
  ])('%s is refused, may be tried again, and leaves the cache', async (_, answer) => {
    const cacheDirectory = temporaryDirectory();
    const { url } = await serveRaw(answer);
    const fetcher = freshFetcher({ cacheDirectory });
    await expect(fetcher.fetch(ask(url))).rejects.toMatchObject({ code: 'truncated', temporary: true });
    expect(await fetcher.cached(url)).toBeUndefined();
  });

  it.each([
    ['no HTTP at all', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['a length that is none', 'HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nbody'],
    ['headers without an end', `HTTP/1.1 200 OK\r\n${'x-a: b\r\n'.repeat(10_000)}`],
    ['nothing', ''],
  ])('of a server that answers %s is a failed connection', async (_, answer) => {
    const { url } = await serveRaw(answer);
    await expect(freshFetcher().fetch(ask(url))).rejects.toMatchObject({
      code: 'connection',
      temporary: true,
    });
  });

  it('that is empty is a body', async () => {
    const server = await serve({ '/': (_, response) => response.end() });
    expect((await freshFetcher().fetch(ask(server.url))).size).toBe(0);
  });
});

describe('time', () => {
  it('ends an attempt whose headers, or whose body, do not come', async () => {
    const slow = await serve({
      '/headers': () => undefined,
      '/body': (_, response) => response.writeHead(200).write('192.0.2.1\n'),
    });
    for (const path of ['/headers', '/body']) {
      const failure = freshFetcher().fetch(ask(slow.url + path, { timeoutMs: 60 }));
      await expect(failure).rejects.toMatchObject({ code: 'timeout', temporary: true });
      await expect(failure).rejects.toThrow(`${slow.url}${path} took longer than 60 ms`);
    }
    expect(slow.requests.length).toBeLessThanOrEqual(2); // a timeout has cost enough: the schedule asks again
  });

  it('ends an attempt whose body drips', async () => {
    const server = await serve({
      '/': (_, response) => {
        const drip = setInterval(() => response.write('x'), 10);
        response.on('close', () => clearInterval(drip));
      },
    });
    const failure = freshFetcher().fetch(ask(server.url, { timeoutMs: 80, maxBytes: 1e6 }));
    await expect(failure).rejects.toMatchObject({ code: 'timeout' });
  });

  it('ends with whoever asked, in the middle of a body', async () => {
    const stop = new AbortController();
    const server = await serve({
      '/': (_, response) => {
        response.writeHead(200).write('192.0.2.1\n');
        setImmediate(() => stop.abort());
      },
    });
    const failure = freshFetcher().fetch(ask(server.url, { signal: stop.signal }));
    await expect(failure).rejects.toMatchObject({ code: 'aborted', temporary: false });
    expect(server.requests.length).toBeLessThan(2);
  });
});

describe('no server', () => {
  it('is a failed connection, tried four times', async () => {
    const { url } = await serveRaw('');
    const { port } = new URL(url);
    const refused = freshFetcher().fetch(ask(`http://127.0.0.2:${port}/`));
    await expect(refused).rejects.toMatchObject({ code: 'connection', temporary: true });
    const nameless = freshFetcher().fetch(ask('http://no-such-host.invalid/'));
    await expect(nameless).rejects.toMatchObject({ code: 'connection', temporary: true });
  });
});

describe('https', () => {
  it('refuses a certificate that nobody vouches for, at once', async () => {
    const server = await serve({ '/': (_, response) => response.end(BODY) }, TLS);
    const failure = freshFetcher().fetch(ask(server.url));
    await expect(failure).rejects.toMatchObject({ code: 'tls', temporary: false });
    expect(server.requests).toEqual([]);
  });

  it('takes one that the options trust', async () => {
    const server = await serve({ '/': (_, response) => response.end(BODY) }, TLS);
    const fetcher = freshFetcher({ trustedCertificates: [TLS.cert] });
    expect(await textOf(await fetcher.fetch(ask(server.url)))).toBe(BODY);
  });

  it('refuses a trusted one of another host', async () => {
    const server = await serve({ '/': (_, response) => response.end(BODY) }, TLS);
    const fetcher = freshFetcher({ trustedCertificates: [TLS.cert] });
    const failure = fetcher.fetch(ask(`https://localhost:${server.port}/`));
    await expect(failure).rejects.toMatchObject({ code: 'tls' });
  });

  it('takes one that NODE_EXTRA_CA_CERTS trusts, also beside those of the options', async () => {
    const directory = temporaryDirectory();
    const extra = join(directory, 'extra.pem');
    writeFileSync(extra, TLS.cert);
    const server = await serve({ '/': (_, response) => response.end(BODY) }, TLS);
    const stranger = readFileSync(
      new URL('../../../test/fixtures/tls/stranger.pem', import.meta.url),
      'utf8',
    );
    const fetcher = freshFetcher({
      environment: { NODE_EXTRA_CA_CERTS: extra },
      trustedCertificates: [stranger],
    });
    expect(await textOf(await fetcher.fetch(ask(server.url)))).toBe(BODY);
  });
});

describe('a proxy', () => {
  it('is asked for http in absolute form, with its credentials', async () => {
    const server = await serve({ '/x': (_, response) => response.end(BODY) });
    const proxy = await serveProxy();
    const environment = { http_proxy: `http://me:pw@127.0.0.1:${proxy.port}` };
    const fetcher = freshFetcher({ environment });
    expect(await textOf(await fetcher.fetch(ask(`${server.url}/x`)))).toBe(BODY);
    expect(proxy.requests).toEqual([`GET ${server.url}/x`]);
    expect(proxy.authorizations).toEqual([`Basic ${btoa('me:pw')}`]);
  });

  it('is asked for a tunnel for https', async () => {
    const server = await serve({ '/x': (_, response) => response.end(BODY) }, TLS);
    const proxy = await serveProxy();
    const fetcher = freshFetcher({
      environment: { https_proxy: proxy.url },
      trustedCertificates: [TLS.cert],
    });
    expect(await textOf(await fetcher.fetch(ask(`${server.url}/x`)))).toBe(BODY);
    expect(proxy.requests).toEqual([`CONNECT 127.0.0.1:${server.port}`]);
  });

  it('is passed by for the hosts of no_proxy', async () => {
    const server = await serve({ '/x': (_, response) => response.end(BODY) });
    const proxy = await serveProxy();
    const environment = { http_proxy: proxy.url, no_proxy: '127.0.0.1' };
    await freshFetcher({ environment }).fetch(ask(`${server.url}/x`));
    expect(proxy.requests).toEqual([]);
  });

  it.each([
    [407, false],
    [403, false],
    [503, true],
  ])('that refuses a tunnel with %i says so', async (status, temporary) => {
    const proxy = await serveProxy(status);
    const fetcher = freshFetcher({ environment: { https_proxy: proxy.url } });
    const failure = fetcher.fetch(ask('https://192.0.2.1/'));
    await expect(failure).rejects.toMatchObject({ code: 'proxy', status, temporary });
  });

  it('that is not there is a failed connection through the proxy', async () => {
    const { url } = await serveRaw('');
    const away = url.replace('127.0.0.1', '127.0.0.2');
    const failure = freshFetcher({ environment: { http_proxy: away } }).fetch(ask('http://192.0.2.1/'));
    await expect(failure).rejects.toThrow(/no connection to http:\/\/192\.0\.2\.1\/ through the proxy/);
  });
});

describe('an offline start', () => {
  it('serves what was fetched last', async () => {
    const cacheDirectory = temporaryDirectory();
    const server = await serve({ '/list.txt': (_, response) => response.end(BODY) });
    const url = `${server.url}/list.txt`;
    const before = freshFetcher({ cacheDirectory, nowMs: () => 5000 });
    await before.fetch(ask(url));
    await before.close();
    const after = freshFetcher({ cacheDirectory });
    const outcome = await after.cached(url);
    expect(outcome).toMatchObject({ fetchedAtMs: 5000, fileName: 'list.txt', finalUrl: url });
    expect(await textOf(outcome!)).toBe(BODY);
    expect(server.requests).toHaveLength(1);
  });
});

describe('a server that is slow', () => {
  /** A byte now and then, for ever. */
  const trickle = (_: unknown, response: ServerResponse): void => {
    response.writeHead(200);
    const timer = setInterval(() => response.write('.'), 5);
    response.on('close', () => clearInterval(timer));
  };

  it('and trickles is left, and not asked again within the same fetch', async () => {
    const server = await serve({ '/': trickle });
    const fetcher = freshFetcher({ leastSpeed: { bytes: 1_000_000, windowMs: 50 } });
    const failure = fetcher.fetch(ask(server.url, { maxBytes: 1e9, timeoutMs: 60_000 }));
    await expect(failure).rejects.toMatchObject({ code: 'timeout', temporary: true });
    await expect(failure).rejects.toThrow(/sends less than 1000000 bytes in 0.05 s/);
    expect(server.requests).toHaveLength(1);
  });

  it('and takes longer than its time is not asked again within the same fetch', async () => {
    const server = await serve({ '/': trickle });
    const failure = freshFetcher().fetch(ask(server.url, { timeoutMs: 100 }));
    await expect(failure).rejects.toMatchObject({ code: 'timeout', temporary: true });
    expect(server.requests.length).toBeLessThanOrEqual(1); // a slow machine may not have asked at all
  });
});

// A feed that redirected to 127.0.0.1 or 169.254.169.254 had the publisher ask there.
describe('a server of the Internet', () => {
  /** A name of the Internet that stands for 127.0.0.1. */
  const lookup: LookupFunction = (_, __, callback) => callback(null, [{ address: '127.0.0.1', family: 4 }]);

  it.each([
    'http://127.0.0.1:$PORT/',
    'http://localhost:$PORT/',
    'http://0x7f000001:$PORT/',
    'http://[::ffff:127.0.0.1]:$PORT/',
    'http://169.254.169.254/latest/meta-data/',
    'http://10.137.0.1/',
    'http://[fd00::1]/',
  ])('does not lead a download to %s, not even through a proxy', async (target) => {
    const secret = await serve({ '/': (_, response) => response.end(BODY) });
    const proxy = await serveRaw(
      `HTTP/1.1 302 Found\r\nlocation: ${target.replace('$PORT', String(secret.port))}\r\ncontent-length: 0\r\n\r\n`,
    );
    const fetcher = freshFetcher({ proxy: proxy.url }); // the proxy itself may be where it likes
    const failure = fetcher.fetch(ask('http://feeds.example/list'));
    await expect(failure).rejects.toMatchObject({ code: 'private-address', temporary: false });
    await expect(failure).rejects.toThrow(
      /^http:\/\/feeds.example\/list leads to .*: write allow-private: true/,
    );
    expect(secret.requests).toEqual([]);
  });

  // The publisher ended nine seconds after it was told to.
  it('are not waited for at the end', async () => {
    let isAsked: () => void = () => undefined;
    const asked = new Promise<void>((resolve) => {
      isAsked = resolve;
    });
    const fetcher = freshFetcher({ lookup: () => isAsked() }); // and never answers
    const failure = fetcher.fetch(ask('http://feeds.example/a.txt')).catch((error: unknown) => error);
    await asked;
    await fetcher.close();
    expect(await failure).toMatchObject({ code: 'aborted' });
  });

  it('whose name stands for a private address is not connected to', async () => {
    const secret = await serve({ '/': (_, response) => response.end(BODY) });
    const url = `http://feeds.example:${secret.port}/`;
    const failure = freshFetcher({ lookup }).fetch(ask(url));
    await expect(failure).rejects.toMatchObject({ code: 'private-address', temporary: false });
    await expect(failure).rejects.toThrow(/allow-private: true/);
    expect(secret.requests).toEqual([]);
    expect(await textOf(await freshFetcher({ lookup }).fetch(ask(url, { allowPrivate: true })))).toBe(BODY);
  });

  it('may be redirected from to a private address by permission, and from a private URL without', async () => {
    const near = await serve({ '/': (_, response) => response.end(BODY) });
    const server = await serve({
      '/': (_, response) => response.writeHead(302, { location: `${near.url}/` }).end(),
    });
    expect(await textOf(await freshFetcher().fetch(ask(server.url)))).toBe(BODY);
    const url = `http://feeds.example:${server.port}/`;
    expect(await textOf(await freshFetcher({ lookup }).fetch(ask(url, { allowPrivate: true })))).toBe(BODY);
  });
});
