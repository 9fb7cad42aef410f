/** HTTP servers and proxies that last for one test, on a port of 127.0.0.1. */

import http, { type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import https from 'node:https';
import net, { type AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { Fetcher, type FetcherOptions } from '../src/fetch/fetcher.ts';

export interface TestServer {
  readonly url: string;
  readonly port: number;
  /** Every request so far: `METHOD url`. */
  readonly requests: readonly string[];
  /** Headers of the last request. */
  lastHeaders(): IncomingMessage['headers'];
}

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** Answers by path; a path that is not there is a 404. */
export async function serve(
  answers: Readonly<Record<string, Answer>>,
  tls?: { readonly key: string; readonly cert: string },
): Promise<TestServer> {
  const requests: string[] = [];
  let headers: IncomingMessage['headers'] = {};
  const listener: RequestListener = (request, response) => {
    requests.push(`${request.method} ${request.url}`);
    headers = request.headers;
    const path = (request.url ?? '').split('?')[0] ?? '';
    const answer = answers[path];
    if (answer === undefined) response.writeHead(404).end();
    else answer(request, response);
  };
  const server = tls === undefined ? http.createServer(listener) : https.createServer(tls, listener);
  const port = await listen(server);
  return {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    port,
    requests,
    lastHeaders: () => headers,
  };
}

/** Answers a connection with bytes as they are, and closes it, unless it is to stay open. */
export async function serveRaw(
  answer: string | Buffer,
  staysOpen = false,
): Promise<{ readonly url: string }> {
  const server = net.createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => {
      if (staysOpen) socket.write(answer);
      else socket.end(answer);
    });
  });
  return { url: `http://127.0.0.1:${await listen(server)}` };
}

export interface TestProxy {
  readonly url: string;
  readonly port: number;
  /** `CONNECT host:port` and `GET http://…`. */
  readonly requests: readonly string[];
  readonly authorizations: readonly (string | undefined)[];
}

/** A proxy that knows both ways: absolute-form and CONNECT; or that refuses every tunnel with a status. */
export async function serveProxy(refuseWith?: number): Promise<TestProxy> {
  const requests: string[] = [];
  const authorizations: (string | undefined)[] = [];
  const server = http.createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    authorizations.push(request.headers['proxy-authorization']);
    if (refuseWith !== undefined) {
      response.writeHead(refuseWith).end();
      return;
    }
    const upstream = http.request(request.url ?? '', { headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    upstream.on('error', () => response.writeHead(502).end());
    upstream.end();
  });
  server.on('connect', (request, socket, head) => {
    requests.push(`CONNECT ${request.url}`);
    authorizations.push(request.headers['proxy-authorization']);
    if (refuseWith !== undefined) {
      socket.end(`HTTP/1.1 ${refuseWith} No\r\n\r\n`);
      return;
    }
    const [host = '', port = ''] = (request.url ?? '').split(':');
    const upstream = net.connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      upstream.write(head);
      upstream.pipe(socket).pipe(upstream);
    });
    const end = (): void => {
      socket.destroy();
      upstream.destroy();
    };
    upstream.on('error', end);
    socket.on('error', end);
  });
  const port = await listen(server);
  return { url: `http://127.0.0.1:${port}`, port, requests, authorizations };
}

/** A fetcher with a cache of its own, without a proxy, that waits for nothing; closed after the test. */
export function freshFetcher(options: Partial<FetcherOptions> = {}): Fetcher {
  const fetcher = new Fetcher({
    cacheDirectory: options.cacheDirectory ?? temporaryDirectory(),
    environment: {},
    random: () => 0,
    sleep: () => Promise.resolve(),
    ...options,
  });
  onTestFinished(() => fetcher.close());
  return fetcher;
}

async function listen(server: net.Server): Promise<number> {
  const sockets = new Set<net.Socket>();
  server.on(server instanceof https.Server ? 'secureConnection' : 'connection', (socket: net.Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  onTestFinished(async () => {
    const closed = new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
    for (const socket of sockets) socket.destroy();
    await closed;
  });
  return (server.address() as AddressInfo).port;
}
