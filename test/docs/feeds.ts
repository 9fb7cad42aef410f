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
import { gzipSync } from 'node:zlib';
import { ROOT } from './blocks.ts';

const CERTIFICATE = join(ROOT, 'test/fixtures/tls/feeds.pem');
const KEY = join(ROOT, 'test/fixtures/tls/key.pem');
const lists = (name: string): string => readFileSync(join(ROOT, 'test/fixtures/lists', name), 'utf8');
const feeds = (name: string): string => readFileSync(join(ROOT, 'test/fixtures/feeds', name), 'utf8');

/** What hosts serve, by host and path. Any other is not found. */
export type Pages = Readonly<Record<string, () => string | Uint8Array>>;

/** What the registries have, as the built-in table of countries asks for it. */
export const REGISTRY_PAGES: Pages = {
  'ftp.ripe.net/pub/stats/ripencc/delegated-ripencc-extended-latest': () => ripeStatistics(),
  'ftp.apnic.net/stats/apnic/delegated-apnic-extended-latest': () =>
    statistics('apnic', ['JP|ipv4|1.0.16.0|4096', 'RU|ipv4|43.224.8.0|1024']),
  'ftp.arin.net/pub/stats/arin/delegated-arin-extended-latest': () =>
    statistics('arin', ['US|ipv4|3.0.0.0|65536']),
  'ftp.lacnic.net/pub/stats/lacnic/delegated-lacnic-extended-latest': () =>
    statistics('lacnic', ['BR|ipv4|45.4.4.0|1024']),
  'ftp.afrinic.net/pub/stats/afrinic/delegated-afrinic-extended-latest': () =>
    feeds('delegated-afrinic-20140630.txt'),
};

/** First and last address, number, country and name, as IPtoASN has them. */
const ANNOUNCED = [
  ['1.0.0.0', '1.0.0.255', '13335', 'US', 'CLOUDFLARENET'],
  ['1.0.1.0', '1.0.3.255', '0', 'None', 'Not routed'],
  ['8.8.4.0', '8.8.4.255', '15169', 'US', 'GOOGLE'],
  ['8.8.8.0', '8.8.8.255', '15169', 'US', 'GOOGLE'],
  ['87.240.128.0', '87.240.191.255', '47541', 'RU', 'VKONTAKTE-SPB-AS'],
  ['2001:4860::', '2001:4860:ffff:ffff:ffff:ffff:ffff:ffff', '15169', 'US', 'GOOGLE'],
];

/** As many as a list of Tor's nodes has at least. */
const TOR_NODES = Array.from({ length: 1_500 }, (_, index) => `185.220.${index >> 8}.${index & 255}`);
/** As many as a list of ads has at least. */
const SERVERS_OF_ADS = Array.from({ length: 10_000 }, (_, index) => `a${index}.ads-example.test`);

/** What the hosts of the documents serve. */
const PAGES: Pages = {
  ...REGISTRY_PAGES,
  'iptoasn.com/data/ip2asn-combined.tsv.gz': () =>
    gzipSync(ANNOUNCED.map((row) => `${row.join('\t')}\n`).join('')),
  'feeds.example/agents.json': () => '{"agents": {"prefixes_ipv4": ["192.0.2.0/24"]}, "version": 7}',
  'feeds.example/reputation.data': () => '192.0.2.9#4#2#Malicious Host#KR##37.5,126.9\n',
  'feeds.example/report.txt': () => 'Seen were 192.0.2.1 and 198.51.100.0/24, for hours.\n',
  'feeds.example/urls.txt': () => 'http://192.0.2.7:8080/a\nhttp://evil.example/b\n',
  'adguardteam.github.io/AdGuardSDNSFilter/Filters/filter.txt': () =>
    ['ads.example', 'good.example', ...SERVERS_OF_ADS]
      .map(
        (name) => `||${name}^
`,
      )
      .join(''),
  'check.torproject.org/torlist/?full': () => `${TOR_NODES.join('\n')}\n`,
  'check.torproject.org/torbulkexitlist': () => lists('tor-exit-nodes.lst'),
  'raw.githubusercontent.com/stamparm/ipsum/master/levels/3.txt': () => lists('ipsum-level3.txt'),
};

export interface FeedProxy {
  /** What a program needs in its environment to download through it. */
  readonly environment: Readonly<Record<string, string>>;
  /** What was asked for so far: host and path. */
  readonly asked: readonly string[];
  close(): Promise<void>;
}

export async function openFeedProxy(pages: Pages = PAGES): Promise<FeedProxy> {
  const origin = https.createServer({ key: readFileSync(KEY), cert: readFileSync(CERTIFICATE) });
  origin.on('request', ({ headers, url }: http.IncomingMessage, response: http.ServerResponse) => {
    asked.push(`${headers.host}${url}`);
    const page = pages[asked.at(-1) ?? ''];
    if (page === undefined) response.writeHead(404).end();
    else response.writeHead(200, { 'content-type': 'text/plain' }).end(page());
  });
  const asked: string[] = [];
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
    asked,
    close: async () => {
      for (const tunnel of tunnels) tunnel.destroy();
      proxy.close();
      proxy.closeAllConnections();
      await once(proxy, 'close');
    },
  };
}

/** Those of RIPE NCC, with Iceland and parts of other countries in them. */
function ripeStatistics(): string {
  const iceland = feeds('country-is-ipv4.netset').match(/^[\d.]+\/\d+$/gm) ?? [];
  const rows = iceland.map((prefix) => {
    const [address, length] = prefix.split('/');
    return `IS|ipv4|${address}|${2 ** (32 - Number(length))}`;
  });
  return statistics('ripencc', [
    ...rows,
    'NL|ipv4|145.0.0.0|65536',
    'RU|ipv4|5.8.0.0|8192',
    'RU|ipv4|87.240.128.0|16384',
    'RU|ipv6|2a00:f940::|32',
  ]);
}

/** Delegated statistics of a registry, whose header and summary count its records. */
function statistics(registry: string, rows: readonly string[]): string {
  const count = rows.length;
  const records = rows.map((row) => `${registry}|${row}|20260101|allocated`);
  const head = [`2|${registry}|20260101|${count}|19830705|20260101|+0000`];
  return `${[...head, ...records].join('\n')}\n`;
}
