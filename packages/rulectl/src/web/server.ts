/**
 * The page over HTTP: GET, and one POST that lets a browser in. It listens on loopback alone, changes
 * nothing, and bounds whatever a peer can make it hold.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Access } from './access.ts';
import type { Html } from './html.ts';
import type { Model } from './model.ts';
import { messagePage, pageOf } from './pages/frame.ts';
import { ENTER_SCRIPT, PAGE_SCRIPT } from './script.ts';
import { ICON, STYLE } from './style.ts';

/** What a peer can make it hold: our choices. */
const LIMITS = {
  connections: 64,
  /** Browsers' windows that are told of changes, and what one may leave unread. */
  followers: 16,
  unreadBytes: 16 * 1024,
  pathChars: 2048,
  headerBytes: 8 * 1024,
  secretBytes: 64,
} as const;
const HEADERS_TIMEOUT_MS = 5000;
/** Between two looks at who is too slow. */
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

/** What a page is below the base: a path, and what is asked; undefined where there is none. */
export type View = (model: Model, path: string, query: URLSearchParams) => Promise<Page | undefined>;

export interface Page {
  readonly title: string;
  /** The view of the menu in which it is. */
  readonly view: string;
  /** Whether it shows what changes by itself. */
  readonly isLive: boolean;
  readonly main: Html;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The same for everybody, and says nothing. */
const OPEN: Readonly<Record<string, Answer>> = {
  '/': { status: 200, type: HTML, body: messagePage('Opening…', true) },
  '/enter.js': { status: 200, type: 'text/javascript', body: ENTER_SCRIPT },
  '/page.js': { status: 200, type: 'text/javascript', body: PAGE_SCRIPT },
  '/page.css': { status: 200, type: 'text/css', body: STYLE },
  '/icon.svg': { status: 200, type: 'image/svg+xml', body: ICON },
};

/** An HTTP server that is to be told to listen. `complain`: of our own faults. */
export function pageServer(
  access: () => Access,
  model: Model,
  view: View,
  complain: (text: string) => void,
): Server {
  const complainOf = (error: unknown): void =>
    complain(`rulectl: ${error instanceof Error ? error.message : String(error)}`);
  const followers = new Followers(model, complainOf);
  const bounds = { maxHeaderSize: LIMITS.headerBytes, connectionsCheckingInterval: CHECK_MS };
  const server = createServer(bounds, (request, response) => {
    const answering = async (): Promise<void> => {
      const answer = await answerTo(request, access(), model, view, followers, response);
      if (answer !== undefined) send(answer, request, response);
    };
    answering().catch((error: unknown) => {
      complainOf(error);
      if (!response.headersSent)
        send(message(500, 'a fault of rulectl: its terminal says more'), request, response);
      else response.destroy();
    });
  });
  server.maxConnections = LIMITS.connections;
  server.headersTimeout = HEADERS_TIMEOUT_MS;
  server.requestTimeout = HEADERS_TIMEOUT_MS;
  server.timeout = SILENCE_MS;
  return server;
}

/** Undefined for one that goes on. */
async function answerTo(
  request: IncomingMessage,
  access: Access,
  model: Model,
  view: View,
  followers: Followers,
  response: ServerResponse,
): Promise<Answer | undefined> {
  const { method = '', url = '', headers } = request;
  if (url.length > LIMITS.pathChars || !url.startsWith('/')) return message(414, 'the address is too long');
  const [path = '', query = ''] = url.split(/\?(.*)/s);
  const refusal = access.refusal(method, path, headers);
  if (refusal !== undefined) return message(refusal.status, refusal.text);
  if (method === 'POST' && path === '/enter') return enter(await bodyOf(request), access);
  if (method !== 'GET' && method !== 'HEAD') return message(405, 'this page changes nothing');
  if (Object.hasOwn(OPEN, path)) return OPEN[path];
  if (!access.isIn(path, headers))
    return message(403, 'This link is over. Press Enter where rulectl web runs, or start it again.');
  const own = decoded(path.slice(access.base.length));
  if (own === 'events') return followers.add(response) ? undefined : message(503, 'too many windows');
  const asked = new URLSearchParams(query);
  if (own === 'metrics') return metricsOf(model);
  const page = own === undefined ? undefined : await view(model, own, asked);
  if (page === undefined) return message(404, 'There is no such page.');
  return { status: 200, type: HTML, body: pageOf(page, access.base) };
}

async function metricsOf(model: Model): Promise<Answer> {
  try {
    return { status: 200, type: 'text/plain; version=0.0.4; charset=utf-8', body: await model.metrics() };
  } catch (error) {
    return { status: 503, type: TEXT, body: `${error instanceof Error ? error.message : error}\n` };
  }
}

function enter(secret: string, access: Access): Answer {
  const cookie = access.enter(secret);
  if (cookie === undefined)
    return {
      status: 403,
      type: TEXT,
      body: 'This link was used, or is none. Press Enter where rulectl web runs for another.',
    };
  return { status: 200, type: TEXT, body: access.base, headers: { 'Set-Cookie': cookie } };
}

/** What is longer than a secret, or does not say how long it is, is none, and is not read. */
async function bodyOf(request: IncomingMessage): Promise<string> {
  if (!(Number(request.headers['content-length']) <= LIMITS.secretBytes)) return '';
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text;
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

function send(answer: Answer, request: IncomingMessage, response: ServerResponse): void {
  const { status, type, body, headers } = answer;
  const length = Buffer.byteLength(body);
  // What is left of a request that was refused is not read.
  const end = request.complete ? {} : { Connection: 'close' };
  response.writeHead(status, {
    ...HEADERS,
    ...headers,
    ...end,
    'Content-Type': type,
    'Content-Length': length,
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}

/** Windows that are told of each change of the status. While there are some, one question watches it. */
class Followers {
  readonly #model: Model;
  readonly #complainOf: (error: unknown) => void;
  readonly #all = new Set<ServerResponse>();
  #watch: AbortController | undefined;
  #clock: NodeJS.Timeout | undefined;

  constructor(model: Model, complainOf: (error: unknown) => void) {
    this.#model = model;
    this.#complainOf = complainOf;
  }

  /** False: there are too many. */
  add(response: ServerResponse): boolean {
    if (this.#all.size >= LIMITS.followers) return false;
    response.writeHead(200, { ...HEADERS, 'Content-Type': 'text/event-stream' });
    response.write('retry: 5000\n\n');
    this.#all.add(response);
    response.on('close', () => this.#remove(response));
    if (this.#watch === undefined) this.#start();
    return true;
  }

  #start(): void {
    const watch = new AbortController();
    this.#watch = watch;
    this.#clock = setInterval(() => this.#tell(), TICK_MS);
    this.#model.watch(() => this.#tell(), watch.signal).catch(this.#complainOf);
  }

  #remove(response: ServerResponse): void {
    this.#all.delete(response);
    if (this.#all.size > 0) return;
    this.#watch?.abort();
    this.#watch = undefined;
    clearInterval(this.#clock);
  }

  #tell(): void {
    for (const response of this.#all) {
      if (response.writableLength > LIMITS.unreadBytes) response.destroy();
      else response.write('data: changed\n\n');
    }
  }
}
