/** The page of `rulectl web`: who gets in, what a peer can make it hold, and that all it shows is text. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestOptions,
  request,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import type { ControlRecord, Message } from '@rulecast/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { answersOf, grown, NOW_MS, scripted } from '../../../test/web/sample.ts';
import { Access } from '../src/web/access.ts';
import { html } from '../src/web/html.ts';
import { Model } from '../src/web/model.ts';
import { pageOf } from '../src/web/pages/frame.ts';
import { servePage } from '../src/web/server.ts';
import { view } from '../src/web/view.ts';
import { MAIN, rulectl } from './cli.ts';
import { FakePublisher } from './fake-publisher.ts';
import { counters as countersRecord, refused as refusedRecord } from './records.ts';

const HOST = '127.0.0.1:8470';
let counter = 0;
/** Secrets that are told apart, and the same in each run. */
const counted = (bytes: number): Buffer => Buffer.alloc(bytes, ++counter);

describe('html', () => {
  it.each([
    ['<script>alert(1)</script>', '&lt;script&gt;alert(1)&lt;/script&gt;'],
    [`" onload='x' &amp;`, '&quot; onload=&#39;x&#39; &amp;amp;'],
    ['a\u202Egnp.exe\u200B\u0007\ud800', 'a\ufffdgnp.exe\ufffd\ufffd\ufffd'],
    ['two\nlines', 'two\nlines'],
  ])('has %j as text', (text, written) => {
    expect(html`<p title="${text}">${[text]}</p>`.text).toBe(`<p title="${written}">${written}</p>`);
  });

  it('takes as HTML only what it wrote itself', () => {
    const pretended = JSON.parse('{"text":"<b>"}') as never;
    expect(html`${html`<b>${1}</b>`}${undefined}`.text).toBe('<b>1</b>');
    expect(() => html`${pretended}`.text).toThrow(TypeError);
  });
});

describe('who gets in', () => {
  const access = (): Access => new Access(HOST, counted);
  const secretOf = (link: string): string => link.split('#')[1] ?? '';
  const cookieOf = (text = ''): IncomingHttpHeaders => ({ cookie: `a=b; ${text.split(';')[0]}` });

  it('is whoever has the newest link, once', () => {
    const own = access();
    const old = secretOf(own.newLink());
    const secret = secretOf(own.newLink());
    expect([old, '', `${secret}0`].map((text) => own.enter(text))).toEqual([undefined, undefined, undefined]);
    const cookie = own.enter(secret);
    expect(cookie).toMatch(/^rulecast=[0-9a-f]{32}; Path=\/[0-9a-f]{32}\/; HttpOnly; SameSite=Strict$/);
    expect(own.enter(secret)).toBeUndefined();
    expect(own.isIn(`${own.base}lists`, cookieOf(cookie))).toBe(true);
    for (const [path, headers] of [
      [own.base, {}],
      [own.base, { cookie: 'rulecast=' }],
      [own.base, cookieOf(access().enter(''))],
      ['/', cookieOf(cookie)],
      [`/${'0'.repeat(32)}/`, cookieOf(cookie)],
      [own.base.slice(0, -1), cookieOf(cookie)],
    ] as const)
      expect([path, own.isIn(path, headers)]).toEqual([path, false]);
  });

  it('is each browser that a link let in', () => {
    const own = access();
    const cookies = Array.from({ length: 3 }, () => cookieOf(own.enter(secretOf(own.newLink()))));
    expect(cookies.map((cookie) => own.isIn(own.base, cookie))).toEqual([true, true, true]);
  });

  it('knows port 80 as a browser writes it', () => {
    const plain = new Access('127.0.0.1:80', counted);
    expect(plain.newLink()).toMatch(/^http:\/\/127\.0\.0\.1\/#/);
    expect(plain.refusal('GET', '/', { host: '127.0.0.1' })).toBeUndefined();
  });

  const own = { host: HOST };
  it.each<[string, string, string, IncomingHttpHeaders, number | undefined]>([
    ['the page itself', 'GET', '/x/', { ...own, 'sec-fetch-site': 'same-origin' }, undefined],
    ['a typed address', 'GET', '/x/', { ...own, 'sec-fetch-site': 'none' }, undefined],
    ['a program', 'GET', '/x/metrics', own, undefined],
    ['a link elsewhere to the first page', 'GET', '/', { ...own, 'sec-fetch-site': 'cross-site' }, undefined],
    ['the first page, which enters', 'POST', '/enter', { ...own, origin: `http://${HOST}` }, undefined],
    ['no host', 'GET', '/', {}, 421],
    ['a name that was bound anew', 'GET', '/', { host: 'evil.example:8470' }, 421],
    ['another name of this machine', 'GET', '/', { host: 'localhost:8470' }, 421],
    ['another port', 'GET', '/', { host: '127.0.0.1:8471' }, 421],
    ['another site', 'GET', '/x/', { ...own, 'sec-fetch-site': 'cross-site' }, 403],
    ['another port of this address', 'GET', '/x/', { ...own, 'sec-fetch-site': 'same-site' }, 403],
    ['another origin', 'GET', '/', { ...own, origin: 'http://127.0.0.1:8471' }, 403],
    ['a form of another site', 'POST', '/enter', { ...own, origin: 'https://evil.example' }, 403],
    ['an origin that is hidden', 'POST', '/enter', { ...own, origin: 'null' }, 403],
    ['a program that enters', 'POST', '/enter', own, 403],
  ])('asked by %s', (_, method, path, headers, status) => {
    expect(access().refusal(method, path, headers)?.status).toBe(status);
  });
});

/** What stands in the place of any text that comes from elsewhere. */
const HOSTILE = `<img src=x onerror="alert('1')">`;

/** The answer with each text that may be anything replaced. */
function hostile(message: Message): readonly ControlRecord[] | undefined {
  const free = new Set([
    'text',
    'reason',
    'detail',
    'by',
    'message',
    'origin',
    'comment',
    'degraded',
    'rule',
    'reject',
    'entry',
  ]);
  const replaced = (value: unknown, key = ''): unknown => {
    if (typeof value === 'string') return free.has(key) && value !== 'rule' ? HOSTILE : value; // a word of ours
    if (Array.isArray(value))
      return value.map((one) => replaced(one, key === 'lines' || key === 'entries' ? 'text' : key));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, replaced(one, name)]));
  };
  return answersOf(message)?.map((record) => replaced(record) as ControlRecord);
}

describe('the page', () => {
  let publisher: FakePublisher;
  let server: Server;
  let access: Access;
  let cookie = '';
  const complaints: string[] = [];

  beforeAll(async () => {
    publisher = await FakePublisher.start(scripted(hostile));
    const world = { nowMs: () => NOW_MS, waitMs: () => new Promise<void>(() => undefined) };
    const model = new Model({ endpoint: publisher.endpoint }, world);
    ({ server, access } = await servePage(model, { host: '127.0.0.1', port: 0 }, counted, (text) =>
      complaints.push(text),
    ));
    cookie = access.enter(access.newLink().split('#')[1] ?? '')?.split(';')[0] ?? '';
  });
  afterAll(async () => {
    server.close();
    server.closeAllConnections();
    await publisher.stop();
  });

  interface Answer {
    readonly status: number | undefined;
    readonly headers: IncomingHttpHeaders;
    readonly body: string;
  }
  async function asked(path: string, options: RequestOptions = {}, body = ''): Promise<Answer> {
    const { port } = server.address() as AddressInfo;
    const sent = request({
      host: '127.0.0.1',
      port,
      path,
      agent: false,
      ...options,
      headers: { cookie, ...options.headers },
    });
    sent.end(body);
    const [answer] = (await once(sent, 'response')) as [IncomingMessage];
    let text = '';
    for await (const chunk of answer) text += String(chunk);
    return { status: answer.statusCode, headers: answer.headers, body: text };
  }

  it.each([
    '',
    'lists',
    'lists/malware',
    'releases',
    'releases/42',
    'refused',
    'ask?packet=192.0.2.66&what=192.0.2.66',
    `ask?what=${encodeURIComponent(HOSTILE)}`,
    `lists?q=${encodeURIComponent(HOSTILE)}`,
  ])('shows hostile text as text: %s', async (path) => {
    const { status, headers, body } = await asked(`${access.base}${path}`);
    expect(status).toBe(200);
    expect(body.toLowerCase()).toContain('&lt;img src=x');
    expect(body).not.toMatch(/<img|onerror="| style=|<script(?! src="\/page\.js" defer>)/);
    expect(headers['content-security-policy']).toContain("default-src 'none'; script-src 'self'");
    expect(headers).toMatchObject({ 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' });
  });

  it.each([
    ['nothing without the cookie', '', { headers: { cookie: '' } }, 403],
    ['no page of that name', 'nothing', {}, 404],
    ['no list of a name that is none', 'lists/%3Cb%3E', {}, 404],
    ['no path that is no text', '%ff', {}, 404],
    ['no release 0', 'releases/0', {}, 404],
    ['no deeper page', 'lists/a/b', {}, 404],
    ['nothing to be changed', '', { method: 'PUT' }, 405],
    ['no long address', 'x'.repeat(9000), {}, 431],
  ])('has %s', async (_, path, options, status) => {
    expect((await asked(`${access.base}${path}`, options)).status).toBe(status);
  });

  it('has no secret in what everybody gets', async () => {
    for (const path of ['/', '/enter.js', '/page.js', '/page.css', '/icon.svg', '/nothing', '/enter']) {
      const { body } = await asked(path, { headers: { cookie: '' } });
      expect(body).not.toContain(access.base.slice(1, -1));
    }
  });

  it('reads no more of a body than a secret has', async () => {
    const headers = { origin: access.newLink().split('/#')[0] };
    const { status, body } = await asked('/enter', { method: 'POST', headers }, 'x'.repeat(100_000));
    expect([status, body]).toEqual([403, expect.stringContaining('This link was used already, or is wrong')]);
  });

  it('has nothing to complain of where a peer hangs up within its body', async () => {
    const [origin = ''] = access.newLink().split('/#');
    const { port } = server.address() as AddressInfo;
    const peer = connect({ host: '127.0.0.1', port });
    peer.write(
      `POST /enter HTTP/1.1\r\nHost: ${new URL(origin).host}\r\nOrigin: ${origin}\r\nContent-Length: 9\r\n\r\nx`,
    );
    const [, response] = (await once(server, 'request')) as [IncomingMessage, ServerResponse];
    peer.destroy();
    await once(response, 'close');
    expect((await asked('/')).status).toBe(200);
    expect(complaints).toEqual([]);
  });

  it('gives each link once over HTTP', async () => {
    const [origin = '', secret = ''] = access.newLink().split('/#');
    const enter = () => asked('/enter', { method: 'POST', headers: { origin, cookie: '' } }, secret);
    expect(await enter()).toMatchObject({ status: 200, body: access.base });
    expect(await enter()).toMatchObject({ status: 403 });
  });

  it('tells sixteen windows of changes, and no more', async () => {
    const { port } = server.address() as AddressInfo;
    const streams = await Promise.all(
      Array.from({ length: 16 }, async () => {
        const sent = request({
          host: '127.0.0.1',
          port,
          path: `${access.base}events`,
          agent: false,
          headers: { cookie },
        }).end();
        const [answer] = (await once(sent, 'response')) as [IncomingMessage];
        await once(answer, 'data');
        return answer;
      }),
    );
    expect((await asked(`${access.base}events`)).status).toBe(503);
    for (const stream of streams) stream.destroy();
    await expect
      .poll(async () => {
        const sent = request({
          host: '127.0.0.1',
          port,
          path: `${access.base}events`,
          agent: false,
          headers: { cookie },
        }).end();
        const [answer] = (await once(sent, 'response')) as [IncomingMessage];
        answer.destroy();
        return answer.statusCode;
      })
      .toBe(200);
  });

  it('serves sixty-four connections, and hangs up on one more', async () => {
    const { port } = server.address() as AddressInfo;
    const connections = await Promise.all(
      Array.from({ length: 64 }, async () => {
        const one = connect({ host: '127.0.0.1', port });
        await once(one, 'connect');
        return one;
      }),
    );
    const late = connect({ host: '127.0.0.1', port });
    await new Promise((resolve) => late.on('error', () => undefined).on('close', resolve));
    for (const one of connections) one.destroy();
  });

  it('has nothing to complain of', () => {
    expect(complaints).toEqual([]);
  });
});

describe('a large fleet', () => {
  it.each([
    [200, 1000],
    [10_000, 5000],
  ])('%d firewalls and %d lists make no page of 100 kB', async (firewalls, lists) => {
    const publisher = await FakePublisher.start(scripted(grown(firewalls, lists)));
    const world = { nowMs: () => NOW_MS, waitMs: () => new Promise<void>(() => undefined) };
    const model = new Model({ endpoint: publisher.endpoint }, world);
    for (const path of ['', 'lists', 'lists/malware', 'releases', 'refused']) {
      const page = await view(model, path, new URLSearchParams());
      const bytes = Buffer.byteLength(page === undefined ? '' : pageOf(page, `/${'0'.repeat(32)}/`));
      expect(bytes).toBeGreaterThan(1000);
      expect(bytes).toBeLessThan(100_000);
      console.log(`${path || 'status'}: ${bytes} bytes`);
    }
    await publisher.stop();
  });
});

it('asks for the log once, however many windows show it, and says what is missing in it', async () => {
  let logs = 0;
  const publisher = await FakePublisher.start(
    scripted((message) => {
      if (message.kind !== 'log') return answersOf(message);
      logs++;
      const refused = Array.from({ length: 50 }, (_, id) => refusedRecord({ id, remote: `192.0.2.${id}` }));
      return [{ record: 'lost', subscriber: 'sys-firewall', count: 3 }, ...refused];
    }),
  );
  const world = { nowMs: () => NOW_MS, waitMs: () => new Promise<void>(() => undefined) };
  const model = new Model({ endpoint: publisher.endpoint }, world);
  const pages = await Promise.all(
    Array.from({ length: 3 }, () => view(model, 'refused', new URLSearchParams())),
  );
  for (const page of pages) expect(page?.main.text).toContain('3 are missing since its log began');
  expect(logs).toBe(1);
  await publisher.stop();
});

it('does not wait again for what firewalls count: what they counted before is shown', async () => {
  let [nowMs, asked] = [NOW_MS, 0];
  const publisher = await FakePublisher.start(
    scripted((message) => {
      if (message.kind !== 'status' || message.counters !== true) return answersOf(message);
      return [countersRecord({ counters: { generation: ++asked } })];
    }),
  );
  const world = { nowMs: () => nowMs, waitMs: () => new Promise<void>(() => undefined) };
  const model = new Model({ endpoint: publisher.endpoint }, world);
  for (const _turn of ['first', 'a minute later']) {
    const { counters } = await model.status();
    expect(counters).toMatchObject([{ counters: { generation: 1 } }]);
    nowMs += 60_000;
  }
  await expect.poll(() => asked).toBe(2);
  await publisher.stop();
});

/** Presses a key after each link; without keys left it hangs up. */
const TTY_DRIVER = `
import os, pty, sys
keys = [key.encode() for key in os.environ['TTY_KEYS'].split(',') if key]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
screen = b''
links = 0
try:
    while True:
        screen += os.read(terminal, 4096)
        while screen.count(b'/#') > links:
            links += 1
            if not keys:
                raise OSError
            os.write(terminal, keys.pop(0))
except OSError:
    os.close(terminal)
_, status = os.waitpid(pid, 0)
print(os.waitstatus_to_exitcode(status), screen.decode().count('/#'))
`;

describe('rulectl web', () => {
  const CTRL_D = '\u0004';
  it.each([
    ['Enter has it print another link, and the end of the input ends it', `\r,${CTRL_D}`, '0 2'],
    ['a terminal that hangs up ends it', '', '-1 1'],
    ['Ctrl-C ends it', '\r,\r,\u0003', '-2 3'],
  ])('%s', async (_, keys, said) => {
    const env = { PATH: process.env['PATH'], TTY_KEYS: keys, NO_COLOR: '1' };
    const args = ['-c', TTY_DRIVER, process.execPath, MAIN, 'web'];
    const child = spawn('python3', args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    for await (const piece of child.stdout) text += String(piece);
    expect(text.trim()).toBe(said);
  });

  it.each([
    ['0.0.0.0:80'],
    ['localhost:80'],
    ['127.0.0.1'],
    ['127.0.0.1:65536'],
    ['[::]:80'],
    ['127.0.0.2:80'],
    ['::1:80'],
    [''],
  ])('listens on loopback alone: %j', async (listen) => {
    const { exit, stdout } = await rulectl(['web', '--listen', listen]);
    expect([exit, stdout]).toEqual([64, '']);
  });

  it('says where it cannot listen', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    const { exit, stderr } = await rulectl(['web', '--listen', `127.0.0.1:${port}`]);
    taken.close();
    expect([exit, stderr]).toEqual([
      3,
      expect.stringMatching(/127\.0\.0\.1:\d+ cannot be listened at: .*EADDRINUSE/),
    ]);
  });
});
