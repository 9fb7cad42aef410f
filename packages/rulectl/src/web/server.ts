/**
 * The page over HTTP: GET, and one POST that lets a browser in. It listens on loopback alone, changes
 * nothing, and bounds the memory that a peer can make it use.
 */

import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CliError } from '../terminal/exit.ts';
import { Access } from './access.ts';
import type { Model } from './model.ts';
import { messagePage, pageOf } from './pages/frame.ts';
import { ENTER_SCRIPT, PAGE_SCRIPT } from './script.ts';
import { ICON, STYLE } from './style.ts';
import { view } from './view.ts';

/** Limits on the memory that a peer can make it use: our choices. */
const CONNECTIONS_MAX = 64;
const HEADER_MAX_BYTES = 8 * 1024;
const SECRET_MAX_BYTES = 64;
/** Windows with a stream of changes. */
const FOLLOWERS_MAX = 16;
const REQUEST_TIMEOUT_MS = 5000;
/** The interval of checks for slow peers. */
const CHECK_MS = 1000;
const SILENCE_MS = 60_000;
/** Ages on a page move on although nothing changes. */
const TICK_MS = 30_000;
const HEADERS = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'Cache-Control': 'no-store',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
} as const;
const HTML = 'text/html; charset=utf-8';
const TEXT = 'text/plain; charset=utf-8';

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Pages open to everybody, without data. */
const OPEN: Readonly<Record<string, Answer>> = {
  '/': { status: 200, type: HTML, body: messagePage('Opening…', true) },
  '/enter.js': { status: 200, type: 'text/javascript', body: ENTER_SCRIPT },
  '/page.js': { status: 200, type: 'text/javascript', body: PAGE_SCRIPT },
  '/page.css': { status: 200, type: 'text/css', body: STYLE },
  '/icon.svg': { status: 200, type: 'image/svg+xml', body: ICON },
};

/** `host`: as a browser writes it. `complain`: of our own faults. Rejects where it cannot listen. */
export async function servePage(
  model: Model,
  { host, port }: { readonly host: string; readonly port: number },
  random: (bytes: number) => Buffer,
  complain: (text: string) => void,
): Promise<{ readonly server: Server; readonly access: Access }> {
  const server = createServer({
    maxHeaderSize: HEADER_MAX_BYTES,
    headersTimeout: REQUEST_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: CHECK_MS,
  });
  server.maxConnections = CONNECTIONS_MAX;
  server.timeout = SILENCE_MS;
  server.listen({ host: host.replace(/[[\]]/g, ''), port, exclusive: true });
  await once(server, 'listening');
  const access = new Access(`${host}:${(server.address() as AddressInfo).port}`, random);
  const complainOf = (error: unknown): void =>
    complain(`rulectl: ${error instanceof Error ? error.message : String(error)}`);
  const follow = followersOf(model, complainOf);
  const fault = (error: unknown): Answer => {
    complainOf(error);
    return message(500, 'a fault of rulectl: its terminal says more');
  };
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const found = await answerTo(request, access, model).catch(fault);
    const answer = found === 'events' ? follow(response) : found;
    if (answer !== undefined) send(answer, request, response);
  };
  server.on('request', (request, response) => void serve(request, response).catch(complainOf));
  return { server, access };
}

async function answerTo(request: IncomingMessage, access: Access, model: Model): Promise<Answer | 'events'> {
  const { method = '', url = '', headers } = request;
  const [path = '', query = ''] = url.split(/\?(.*)/s);
  const refusal = access.refusal(method, path, headers);
  if (refusal !== undefined) return message(refusal.status, refusal.text);
  if (method === 'POST' && path === '/enter') return enter(await bodyOf(request), access);
  if (method !== 'GET') return message(405, 'this page changes nothing');
  const open = Object.hasOwn(OPEN, path) ? OPEN[path] : undefined;
  if (open !== undefined) return open;
  if (!access.isIn(path, headers))
    return message(403, 'This link is over. Press Enter where rulectl web runs, or start it again.');
  const own = decoded(path.slice(access.base.length));
  if (own === 'events') return own;
  if (own === 'metrics') return metricsOf(model);
  const page = own === undefined ? undefined : await view(model, own, new URLSearchParams(query));
  if (page === undefined) return message(404, 'There is no such page.');
  return { status: 200, type: HTML, body: pageOf(page, access.base) };
}

async function metricsOf(model: Model): Promise<Answer> {
  try {
    return { status: 200, type: 'text/plain; version=0.0.4; charset=utf-8', body: await model.metrics() };
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    return { status: 503, type: TEXT, body: `${error.message}\n` };
  }
}

function enter(secret: string, access: Access): Answer {
  const cookie = access.enter(secret);
  if (cookie !== undefined)
    return { status: 200, type: TEXT, body: access.base, headers: { 'Set-Cookie': cookie } };
  const body = 'This link was used already, or is wrong. Press Enter where rulectl web runs to get another.';
  return { status: 403, type: TEXT, body };
}

/** Empty where it is longer than a secret, does not say how long it is, or its peer hung up. */
async function bodyOf(request: IncomingMessage): Promise<string> {
  if (!(Number(request.headers['content-length']) <= SECRET_MAX_BYTES)) return '';
  try {
    return (await request.toArray()).join('');
  } catch {
    return '';
  }
}

function decoded(path: string): string | undefined {
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
}

function message(status: number, text: string): Answer {
  return { status, type: HTML, body: messagePage(text, false) };
}

function send(
  { status, type, body, headers }: Answer,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  // The rest of a request that was refused is not read.
  if (!request.complete) response.setHeader('Connection', 'close');
  response.writeHead(status, { ...HEADERS, ...headers, 'Content-Type': type }).end(body);
}

/** Sends each change of the status to open windows. While there are some, one request watches it. */
function followersOf(
  model: Model,
  complainOf: (error: unknown) => void,
): (response: ServerResponse) => Answer | undefined {
  const all = new Set<ServerResponse>();
  const tell = (): void => {
    for (const response of all) if (!response.write('data: changed\n\n')) response.destroy(); // it does not read
  };
  let stop = (): void => undefined;
  const start = (): void => {
    const watch = new AbortController();
    const clock = setInterval(tell, TICK_MS);
    stop = () => {
      watch.abort();
      clearInterval(clock);
    };
    model.watch(tell, watch.signal).catch(complainOf);
  };
  return (response) => {
    if (all.size >= FOLLOWERS_MAX) return message(503, 'too many windows');
    response.writeHead(200, { ...HEADERS, 'Content-Type': 'text/event-stream' }).write('retry: 5000\n\n');
    if (all.size === 0) start();
    all.add(response);
    response.on('close', () => {
      all.delete(response);
      if (all.size === 0) stop();
    });
    return undefined;
  };
}
