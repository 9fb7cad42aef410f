/** The configurations of examples/mirror, by Debian's nginx: what an origin shows, and what a site keeps. */

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { request } from 'node:https';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { objectPath, referenceOf } from '@rulecast/protocol';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { DepotDirectory } from '../../packages/publisher/src/depot/directory.ts';
import { temporaryDirectory } from '../kit/directory.ts';
import { makeCertificate, type Nginx, nginxGap, startOrigin, startSite } from '../kit/nginx.mjs';

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
  readonly ms: number;
}

interface Question {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** On a connection of its own; who asks knows no certificate. */
function ask(nginx: Nginx, path: string, { body, ...options }: Question = {}): Promise<Answer> {
  const startMs = performance.now();
  return new Promise((resolve, reject) => {
    const sent = request(new URL(path, nginx.url), { rejectUnauthorized: false, agent: false, ...options });
    sent.once('error', reject).once('response', async (response) => {
      const { statusCode: status = 0, headers } = response;
      resolve({ status, headers, body: await text(response), ms: performance.now() - startMs });
    });
    sent.end(body);
  });
}

/** A folder that a web server shows, and who shows it. */
class Mirror {
  readonly directory = temporaryDirectory();
  readonly depot = join(this.directory, 'depot');
  readonly tls = makeCertificate(this.directory);

  async origin(options: { readonly port?: number } = {}): Promise<Nginx> {
    await this.put('head', 'head 1');
    const reports = join(this.directory, 'reports.sock');
    return kept(await startOrigin(join(this.directory, 'origin'), { ...this, ...options, reports }));
  }

  async site(origin: Nginx): Promise<Nginx> {
    return kept(await startSite(join(this.directory, 'site'), { tls: this.tls, origin: origin.port }));
  }

  /** Writes a file as a publisher does. */
  async put(path: string, content: string): Promise<void> {
    const files = await DepotDirectory.open(this.depot);
    await files.write(path, Buffer.from(content));
    files.close();
  }

  async putObject(content: string): Promise<string> {
    const path = objectPath(referenceOf(Buffer.from(content)));
    await this.put(path, content);
    return path;
  }
}

function kept(nginx: Nginx): Nginx {
  onTestFinished(() => nginx.stop());
  return nginx;
}

const gap = nginxGap();

describe.skipIf(gap !== undefined)('the origin', () => {
  let mirror: Mirror;
  let origin: Nginx;

  beforeEach(async () => {
    mirror = new Mirror();
    origin = await mirror.origin();
  });

  it('shows the head to be asked for each time, and objects for ever', async () => {
    const object = await mirror.putObject('an object');
    await mirror.put('head', 'the head');
    const head = await ask(origin, 'head');
    expect([head.status, head.body, head.headers['cache-control']]).toEqual([200, 'the head', 'no-cache']);
    const etag = String(head.headers['etag']);
    const again = await ask(origin, 'head', { headers: { 'if-none-match': etag } });
    expect([again.status, again.body]).toEqual([304, '']);
    const answer = await ask(origin, object, { headers: { 'accept-encoding': 'gzip' } });
    expect([answer.status, answer.body]).toEqual([200, 'an object']);
    expect(answer.headers).toMatchObject({
      'cache-control': 'public, max-age=31536000, immutable',
      'content-length': '9',
    });
    expect(answer.headers).not.toHaveProperty('content-encoding');
  });

  // nginx tells versions of a file apart by second and length: it said 304 until the head of the next minute.
  it('shows each of three heads that are written in one second', async () => {
    let etag = '';
    for (const body of ['head 2', 'head 3', 'head 4']) {
      await mirror.put('head', body);
      const answer = await ask(origin, 'head', { headers: { 'if-none-match': etag } });
      expect([answer.status, answer.body]).toEqual([200, body]);
      etag = String(answer.headers['etag']);
    }
  });

  it.each(['', 'lock', 'head.new', 'o/', 'o/ab/', `o/ab/${'ab'.repeat(32)}.new`, '../origin/nginx.conf'])(
    'shows nobody /%s',
    async (path) => {
      await mirror.put(`o/ab/${'ab'.repeat(32)}`, 'an object');
      for (const name of ['head', `o/ab/${'ab'.repeat(32)}`])
        writeFileSync(join(mirror.depot, `${name}.new`), 'not finished');
      expect((await ask(origin, path)).status).toBe(404);
    },
  );

  it('says of an object that is not there yet that it may come', async () => {
    const answer = await ask(origin, `o/ab/${'ab'.repeat(32)}`);
    expect([answer.status, answer.headers['cache-control']]).toEqual([404, undefined]);
  });

  it('hands POST /report to the socket of the publisher, and nothing else', async () => {
    expect((await ask(origin, 'report', { method: 'POST', body: 'early' })).status).toBe(502);
    const heard: string[] = [];
    const publisher = createServer(async (incoming, answer) => {
      heard.push(`${incoming.method} ${incoming.url} ${await text(incoming)}`);
      answer.end('an answer');
    });
    const socket = join(mirror.directory, 'reports.sock');
    await new Promise<void>((resolve) => publisher.listen({ path: socket, writableAll: true }, resolve));
    onTestFinished(() => void publisher.close());
    expect((await ask(origin, 'report', { method: 'POST', body: 'a report' })).body).toBe('an answer');
    expect((await ask(origin, 'report')).status).toBe(403);
    const body = 'x'.repeat(2 ** 20 + 1);
    expect((await ask(origin, 'report', { method: 'POST', body })).status).toBe(413);
    expect(heard).toEqual(['POST /report a report']);
  });
});

describe.skipIf(gap !== undefined)('a site', () => {
  let mirror: Mirror;
  let origin: Nginx;
  let site: Nginx;

  beforeEach(async () => {
    mirror = new Mirror();
    origin = await mirror.origin();
    site = await mirror.site(origin);
  });

  const polled = (): number => origin.served().filter(({ path }) => path === '/head').length;

  it('asks the origin once for an object, however many want it at the same time', async () => {
    const object = await mirror.putObject('x'.repeat(200_000));
    const answers = await Promise.all(Array.from({ length: 50 }, () => ask(site, object)));
    expect(answers.every(({ status, body }) => status === 200 && body.length === 200_000)).toBe(true);
    expect(origin.served().filter(({ path }) => path === `/${object}`)).toHaveLength(1);
  });

  it('asks for the head once a second at most, and gets nothing of one that it has', async () => {
    const startMs = performance.now();
    while (polled() < 3) await Promise.all(Array.from({ length: 20 }, () => ask(site, 'head')));
    const seconds = (performance.now() - startMs) / 1000;
    expect(seconds).toBeGreaterThan(1);
    expect(polled()).toBeLessThanOrEqual(2 + seconds);
    const later = origin.served().slice(1);
    expect(later.every(({ status, bodyBytes }) => status === 304 && bodyBytes === 0)).toBe(true);
  });

  it('gives its only firewall the head of this poll, and not that of the poll before', async () => {
    expect((await ask(site, 'head')).body).toBe('head 1');
    await expect.poll(() => ask(site, 'head').then(() => polled()), { timeout: 10_000 }).toBe(2);
    await mirror.put('head', 'head 2, longer');
    let body = '';
    const before = polled();
    while (polled() === before) ({ body } = await ask(site, 'head'));
    expect(body).toBe('head 2, longer');
  });

  // Trap 2: a site keeps a bad object for a day, whatever `no-cache` the firewall sends.
  it('has a bad copy until somebody asks again, and then the good one for all who do', async () => {
    const object = await mirror.putObject('a good object');
    writeFileSync(join(mirror.depot, object), 'a bad object');
    expect((await ask(site, object)).body).toBe('a bad object');
    writeFileSync(join(mirror.depot, object), 'a good object');
    expect((await ask(site, object, { headers: { 'cache-control': 'no-cache' } })).body).toBe('a bad object');
    for (let i = 0; i < 3; i++) expect((await ask(site, `${object}?again=1`)).body).toBe('a good object');
    expect(origin.served().filter(({ path }) => path.includes(object))).toHaveLength(2);
  });

  it('keeps no 404: an object that comes later is there at once', async () => {
    const path = objectPath(referenceOf(Buffer.from('late')));
    expect((await ask(site, path)).status).toBe(404);
    await mirror.put(path, 'late');
    expect((await ask(site, path)).body).toBe('late');
  });

  // Trap 3: by nginx's defaults the firewalls of the site wait for 60 s.
  it('gives what it has while the origin hangs, and says within seconds that it lacks the rest', async () => {
    const object = await mirror.putObject('an object');
    const other = await mirror.putObject('another object');
    await ask(site, 'head');
    await ask(site, object);
    origin.hang();
    const answers = await Promise.all([ask(site, 'head'), ask(site, object), ask(site, other)]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 504]);
    expect(Math.max(...answers.map(({ ms }) => ms))).toBeLessThan(20_000);
    origin.goOn();
    expect((await ask(site, other)).body).toBe('another object');
  });

  it('gives what it has while the origin is down, also when it started without it', async () => {
    const object = await mirror.putObject('an object');
    await ask(site, 'head');
    await ask(site, object);
    await origin.stop();
    rmSync(mirror.depot, { recursive: true });
    expect((await ask(site, 'head')).body).toBe('head 1');
    await site.stop();
    const again = kept(await startSite(site.directory, { tls: mirror.tls, origin: origin.port }));
    expect((await ask(again, object)).body).toBe('an object');
    expect((await ask(again, 'head')).body).toBe('head 1');
    expect((await ask(again, `o/ab/${'ab'.repeat(32)}`)).status).toBe(502);
  });

  it('believes no origin whose certificate it does not know', async () => {
    const other = join(mirror.directory, 'other');
    mkdirSync(other);
    const stranger = await startOrigin(other, { depot: mirror.depot, tls: makeCertificate(other) });
    kept(stranger);
    const strangers = join(mirror.directory, 'strangers-site');
    const asking = kept(await startSite(strangers, { tls: mirror.tls, origin: stranger.port }));
    expect((await ask(asking, 'head')).status).toBe(502);
    expect(stranger.served()).toEqual([]);
  });

  it('passes on each report by itself', async () => {
    const seen: string[] = [];
    const publisher = createServer(async (incoming, answer) => {
      seen.push(await text(incoming));
      answer.end(`answer ${seen.length}`);
    });
    const socket = join(mirror.directory, 'reports.sock');
    await new Promise<void>((resolve) => publisher.listen({ path: socket, writableAll: true }, resolve));
    onTestFinished(() => void publisher.close());
    const post = { method: 'POST', body: 'the same report' };
    const answers = [await ask(site, 'report', post), await ask(site, 'report', post)];
    expect(answers.map(({ body }) => body)).toEqual(['answer 1', 'answer 2']);
  });
});
