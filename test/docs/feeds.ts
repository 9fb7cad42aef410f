/**
 * The feeds that documents name, without their hosts: a proxy that answers for them, under a certificate that
 * only tests trust.
 */

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { ROOT } from './blocks.ts';

const CERTIFICATE = join(ROOT, 'test/fixtures/tls/feeds.pem');
const KEY = join(ROOT, 'test/fixtures/tls/key.pem');
const lists = (name: string): string => readFileSync(join(ROOT, 'test/fixtures/lists', name), 'utf8');
const feeds = (name: string): string => readFileSync(join(ROOT, 'test/fixtures/feeds', name), 'utf8');

/** What the hosts of the documents serve, by host and path. Any other is not found. */
const PAGES: Readonly<Record<string, () => string>> = {
  'check.torproject.org/torbulkexitlist': () => lists('tor-exit-nodes.lst'),
  'raw.githubusercontent.com/stamparm/ipsum/master/levels/3.txt': () => lists('ipsum-level3.txt'),
  'ftp.ripe.net/pub/stats/ripencc/delegated-ripencc-extended-latest': () => ripeStatistics(),
};

export interface FeedProxy {
  /** What a program needs in its environment to download through it. */
  readonly environment: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

export async function openFeedProxy(): Promise<FeedProxy> {
  const origin = https.createServer({ key: readFileSync(KEY), cert: readFileSync(CERTIFICATE) });
  origin.on('request', ({ headers, url }: http.IncomingMessage, response: http.ServerResponse) => {
    const page = PAGES[`${headers.host}${url}`];
    if (page === undefined) response.writeHead(404).end();
    else response.writeHead(200, { 'content-type': 'text/plain' }).end(page());
  });
  const proxy = http.createServer((_request, response) => void response.writeHead(404).end());
  const tunnels = new Set<Duplex>();
  proxy.on('connect', (_request, tunnel: Duplex) => {
    tunnels.add(tunnel);
    tunnel.on('error', () => tunnel.destroy()).on('close', () => tunnels.delete(tunnel));
    tunnel.write('HTTP/1.1 200 Connection established\r\n\r\n');
    origin.emit('connection', tunnel);
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const { port } = proxy.address() as AddressInfo; // it listens on TCP
  const url = `http://127.0.0.1:${port}`;
  return {
    environment: { http_proxy: url, https_proxy: url, no_proxy: '', NODE_EXTRA_CA_CERTS: CERTIFICATE },
    close: async () => {
      for (const tunnel of tunnels) tunnel.destroy();
      proxy.close();
      proxy.closeAllConnections();
      await once(proxy, 'close');
    },
  };
}

/** Delegated statistics of a registry, with Iceland in them. */
function ripeStatistics(): string {
  const iceland = feeds('country-is-ipv4.netset').match(/^[\d.]+\/\d+$/gm) ?? [];
  const records = iceland.map((prefix) => {
    const [address, length] = prefix.split('/');
    return `ripencc|IS|ipv4|${address}|${2 ** (32 - Number(length))}|20260101|allocated`;
  });
  const count = records.length;
  const head = [`2|ripencc|20260101|${count}|19830705|20260101|+0000`, `ripencc|*|ipv4|*|${count}|summary`];
  return `${[...head, ...records].join('\n')}\n`;
}
