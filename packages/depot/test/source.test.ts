/** What every source gives, and what a web server cannot do to one. */

import { readFileSync } from 'node:fs';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import { joinReports, referenceOf, splitReports, systemTurn, TRANSFER_WINDOW_MS } from '@rulecast/protocol';
import { describe, expect, it, onTestFinished } from 'vitest';
import { FakeClock } from '../../sources/test/fake-clock.ts';
import { serve, serveRaw } from '../../sources/test/http-server.ts';
import { type DepotSource, type HttpOptions, HttpSource, isMirrorUrl, SourceError } from '../src/index.ts';
import { answerFrom, type Files, MemorySource } from './depot-rig.ts';

const OBJECT = Uint8Array.from({ length: 5000 }, (_, at) => at % 251);
const REFERENCE = referenceOf(OBJECT);
const PATH = `/rules/o/${Buffer.from(REFERENCE.sha256).toString('hex').slice(0, 2)}/${Buffer.from(REFERENCE.sha256).toString('hex')}`;
const CERTIFICATE = readFileSync(
  new URL('../../../test/fixtures/tls/certificate.pem', import.meta.url),
  'utf8',
);
const TLS = {
  key: readFileSync(new URL('../../../test/fixtures/tls/key.pem', import.meta.url), 'utf8'),
  cert: CERTIFICATE,
};

function filesOf(head: string): Files {
  return new Map([
    ['head', Buffer.from(head)],
    [PATH.replace('/rules/', ''), OBJECT],
  ]);
}

function reverse(report: Uint8Array): Uint8Array {
  return Uint8Array.from(report).reverse();
}

function httpSource(url: string, options: Partial<HttpOptions> = {}): HttpSource {
  const source = new HttpSource(url, { clock: new FakeClock(), ...options });
  onTestFinished(() => source.close());
  return source;
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  return Buffer.concat(await request.toArray());
}

/** Serves some files below `/rules/`, and answers reports. */
async function serveFiles(files: Files, tls?: typeof TLS) {
  const answers: Record<string, (request: IncomingMessage, response: ServerResponse) => void> = {
    '/rules/report': async (request, response) => {
      response.end(joinReports(splitReports(await bodyOf(request)).map(reverse)));
    },
  };
  for (const path of files.keys()) answers[`/rules/${path}`] = (...sent) => answerFrom(files)(...sent);
  return serve(answers, tls);
}

const SOURCES: readonly (readonly [string, (files: Files) => Promise<DepotSource>])[] = [
  ['memory', async (files) => Object.assign(new MemorySource(files), { answer: reverse })],
  ['http', async (files) => httpSource(`${(await serveFiles(files)).url}/rules`)],
  ['https', async (files) => httpSource(`${(await serveFiles(files, TLS)).url}/rules/`, { ca: CERTIFICATE })],
];

describe.each(SOURCES)('a source from %s', (_, open) => {
  it('gives a head once, and then the next', async () => {
    const files = filesOf('head 1');
    const source = await open(files);
    expect(Buffer.from((await source.head()) ?? []).toString()).toBe('head 1');
    expect(await source.head()).toBeUndefined();
    files.set('head', Buffer.from('head 2'));
    expect(Buffer.from((await source.head()) ?? []).toString()).toBe('head 2');
    expect(await source.head()).toBeUndefined();
    expect(Buffer.from((await source.head(true)) ?? []).toString()).toBe('head 2');
  });

  it('gives an object, also past a cache', async () => {
    const source = await open(filesOf('head'));
    for (const isAgain of [false, true])
      expect(Buffer.compare(await source.object(REFERENCE, isAgain), OBJECT)).toBe(0);
  });

  it('says what it has not, and goes on', async () => {
    const source = await open(filesOf('head'));
    const none = referenceOf(Buffer.from('nothing'));
    await expect(source.object(none, false)).rejects.toThrow(/: o\/[0-9a-f]{2}\/[0-9a-f]{64}: 404$/);
    await expect(source.object(none, false)).rejects.toBeInstanceOf(SourceError);
    expect(await source.head()).toBeDefined();
  });

  it('gives an answer to each report, in order', async () => {
    const source = await open(filesOf('head'));
    const reports = [Uint8Array.of(1, 2, 3), Uint8Array.of(4), new Uint8Array(2048).fill(5)];
    expect((await source.report(reports)).map((answer) => [...answer])).toEqual(
      reports.map((report) => [...reverse(report)]),
    );
  });
});

describe('a source from a web server', () => {
  it('keeps one connection for all that it asks', async () => {
    let connections = 0;
    const server = http.createServer((request, response) => answerFrom(filesOf('head'))(request, response));
    server.on('connection', () => {
      connections++;
    });
    const port = await new Promise<number>((resolve) => {
      server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
    });
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    const source = httpSource(`http://127.0.0.1:${port}/rules/`);
    for (let i = 0; i < 20; i++) {
      await source.head();
      await systemTurn(); // the connection is free again
    }
    await source.object(REFERENCE, false);
    expect(connections).toBe(1);
  });

  it('asks for nothing compressed, with the tag of the last head, and past a cache by another address', async () => {
    const server = await serveFiles(filesOf('head'));
    const source = httpSource(`${server.url}/rules`);
    await source.head();
    expect(server.lastHeaders()).toMatchObject({ 'accept-encoding': 'identity' });
    await source.head();
    expect(server.lastHeaders()['if-none-match']).toMatch(/^"/);
    await source.object(REFERENCE, true);
    expect(server.requests).toEqual(['GET /rules/head', 'GET /rules/head', `GET ${PATH}?again=1`]);
  });

  it.each([
    ['states more than a head can have', 'HTTP/1.1 200 OK\r\nContent-Length: 1358\r\n\r\n', true],
    [
      'sends more than a head can have, and states nothing',
      `HTTP/1.1 200 OK\r\n\r\n${'x'.repeat(70_000)}`,
      true,
    ],
  ])('is not read on where it %s', async (_, answer, staysOpen) => {
    const source = httpSource((await serveRaw(answer, staysOpen)).url);
    await expect(source.head()).rejects.toThrow('it sends more than 1357 bytes, which is the limit');
  });

  it.each([
    ['a body that is cut', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf'],
    ['a chunk that is cut', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf'],
    ['no HTTP', 'SSH-2.0-x\r\n\r\n'],
    ['nothing', ''],
    ['304 to who has nothing', 'HTTP/1.1 304 Not Modified\r\n\r\n'],
    ['a page of a portal', 'HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\n\r\n'],
    ['an error', 'HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno'],
  ])('takes no head from %s', async (_, answer) => {
    const source = httpSource((await serveRaw(answer)).url);
    await expect(source.head()).rejects.toBeInstanceOf(SourceError);
  });

  it('follows two redirects on the same host, no third, and none elsewhere', async () => {
    const step = (to: string) => (_: IncomingMessage, response: ServerResponse) =>
      void response.writeHead(302, { location: to }).end('moved');
    const server = await serve({
      '/two/head': step('/one/head'),
      '/one/head': step('/rules/head'),
      '/three/head': step('/two/head'),
      '/else/head': step('http://localhost:1/head'),
      '/rules/head': (_, response) => void response.end('head'),
    });
    expect(await httpSource(`${server.url}/two`).head()).toBeDefined();
    await expect(httpSource(`${server.url}/three`).head()).rejects.toThrow('it redirects to "/rules/head"');
    await expect(httpSource(`${server.url}/else`).head()).rejects.toThrow(
      'it redirects to "http://localhost:1/head"',
    );
  });

  it('is left alone for as long as it says, a quarter of an hour at most', async () => {
    let seconds = '60';
    const server = await serve({
      '/head': (_, response) => void response.writeHead(503, { 'retry-after': seconds }).end(),
    });
    const clock = new FakeClock();
    const source = httpSource(server.url, { clock });
    await expect(source.head()).rejects.toThrow('head: 503');
    await expect(source.head()).rejects.toThrow('it asks to wait another 60 s');
    await expect(source.report([Uint8Array.of(1)])).rejects.toThrow('it asks to wait another 60 s');
    expect(server.requests).toHaveLength(1);
    clock.advance(60_000);
    seconds = '99999999';
    await expect(source.head()).rejects.toThrow('head: 503');
    clock.advance(899_000);
    await expect(source.head()).rejects.toThrow('it asks to wait another 1 s');
    clock.advance(1000);
    await expect(source.head()).rejects.toThrow('head: 503');
  });

  it('goes on with a large object where it was cut', async () => {
    const bytes = new Uint8Array(5 * 2 ** 20).map((_, at) => at % 253);
    const ranges: (string | undefined)[] = [];
    const server = http.createServer((request, response) => {
      ranges.push(request.headers.range);
      const from = Number(/\d+/.exec(request.headers.range ?? '0')?.[0]);
      const range = { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` };
      const rest = bytes.subarray(from);
      response.writeHead(from === 0 ? 200 : 206, { 'content-length': rest.length, ...(from > 0 && range) });
      if (from > 2 ** 22) response.end(rest);
      else response.write(rest.subarray(0, 2.25 * 2 ** 20), () => response.destroy());
    });
    const port = await new Promise<number>((resolve) => {
      server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
    });
    onTestFinished(() => void server.close());
    const source = httpSource(`http://127.0.0.1:${port}`);
    expect(Buffer.compare(await source.object(referenceOf(bytes), false), bytes)).toBe(0);
    expect(ranges).toEqual([undefined, 'bytes=2359296-', 'bytes=4718592-']);
  });

  it('gives up an object of which too little comes in a window of time, however large it is', async () => {
    const large = { ...REFERENCE, length: 64 * 2 ** 20 };
    let respond = (_: ServerResponse): void => undefined;
    const asked = new Promise<ServerResponse>((resolve) => {
      respond = resolve;
    });
    const server = await serve({ [PATH.replace('/rules', '')]: (_, response) => respond(response) });
    const clock = new FakeClock();
    const object = expect(httpSource(server.url, { clock }).object(large, false)).rejects.toThrow('in time');
    (await asked).writeHead(200, { 'content-length': large.length }).write('drip');
    clock.advance(TRANSFER_WINDOW_MS);
    await object;
    expect(clock.pendingMs).toEqual([]);
  });

  it('takes no other part than it asked for, and no object that is cut at its start', async () => {
    const part = 'HTTP/1.1 206 Part\r\nContent-Range: bytes 7-9/5000\r\nContent-Length: 3\r\n\r\nabc';
    await expect(httpSource((await serveRaw(part)).url).object(REFERENCE, false)).rejects.toThrow(
      'another part',
    );
    const cut = 'HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nabc';
    await expect(httpSource((await serveRaw(cut)).url).object(REFERENCE, false)).rejects.toThrow(SourceError);
  });

  it.each([
    ['too few answers', joinReports([Uint8Array.of(1)])],
    ['a page', Buffer.from('<html>')],
  ])('takes no report where it answers with %s', async (_, body) => {
    const server = await serve({ '/report': (_request, response) => void response.end(body) });
    const source = httpSource(server.url);
    const two = [Uint8Array.of(1), Uint8Array.of(2)];
    await expect(source.report(two)).rejects.toThrow('its answer to a report cannot be read');
  });

  it('trusts the authorities that it is given, and says so where they are missing', async () => {
    const server = await serveFiles(filesOf('head'), TLS);
    await expect(httpSource(server.url).head()).rejects.toThrow(
      'name the authority that signed it with --ca FILE',
    );
    const stranger = readFileSync(
      new URL('../../../test/fixtures/tls/stranger.pem', import.meta.url),
      'utf8',
    );
    await expect(httpSource(server.url, { ca: stranger }).head()).rejects.toBeInstanceOf(SourceError);
  });

  it('ends what is under way when it is closed', async () => {
    const server = await serve({
      '/head': (_, response) => {
        response.writeHead(200, { 'content-length': 100 }).flushHeaders();
        source.close();
      },
    });
    const source = httpSource(server.url);
    await expect(source.head()).rejects.toBeInstanceOf(SourceError);
  });

  it('says what an address is likely to be where there is no head', async () => {
    const { url } = await serve({});
    await expect(httpSource(url).head()).rejects.toThrow(
      'head: 404: no depot is at this address, or it has no',
    );
  });

  it('shows no credentials of its address', () => {
    expect(httpSource('https://user:secret@rules.example/a?b#c').name).toBe('https://rules.example/a');
  });
});

describe('an endpoint', () => {
  it.each([
    ['https://rules.example/', true],
    ['http://192.0.2.1:8080/a', true],
    ['HTTPS://rules.example', true],
    ['vchan:0/4711', false],
    ['unix:/run/rulecast/https://x', false],
    ['https://', false],
    ['https://a/ unix:b', false],
  ])('%s is a mirror: %s', (text, is) => {
    expect(isMirrorUrl(text)).toBe(is);
  });
});
