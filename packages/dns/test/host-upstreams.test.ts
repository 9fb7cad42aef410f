/** Whom `rulecast-dns` asks where nobody says: the servers of a resolv.conf, but never itself. */

import { renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, it, onTestFinished } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { upstreamsAmong } from '../src/daemon/host-upstreams.ts';
import { Places } from '../src/daemon/places.ts';
import { readNameServers } from '../src/daemon/resolv-conf.ts';
import type { DnsEndpoint } from '../src/proxy/upstream.ts';

const [own = '127.0.0.1'] = Object.values(networkInterfaces())
  .flatMap((all) => all ?? [])
  .filter(({ family, internal }) => family === 'IPv4' && !internal)
  .map(({ address }) => address);

function fileOf(...servers: readonly string[]): string {
  const file = join(temporaryDirectory(), 'resolv.conf');
  writeFileSync(file, servers.map((server) => `nameserver ${server}\n`).join(''));
  return file;
}

it.each([
  [
    'others, in their order, each once',
    ['9.9.9.9', '2620:fe::fe', '9.9.9.9'],
    [],
    ['9.9.9.9', '2620:fe::fe'],
  ],
  ['a resolver of this host beside it', ['127.0.0.53'], ['10.0.0.1:53'], ['127.0.0.53']],
  ['not where it listens', ['10.0.0.1', '9.9.9.9'], ['10.0.0.1:53'], ['9.9.9.9']],
  ['an address at which it listens at another port', ['10.0.0.1'], ['10.0.0.1:5353'], ['10.0.0.1']],
  [
    'no address of this host where it listens at all',
    [own, '127.0.0.53', '::1', '9.9.9.9'],
    ['0.0.0.0:53'],
    ['9.9.9.9'],
  ],
  ['neither end of the link to its namespace', ['169.254.53.1', '169.254.53.2', 'fd5a:5e53:5300::2'], [], []],
  ['no server of a link, without its zone', ['fe80::1%eth0', '9.9.9.9'], [], ['9.9.9.9']],
  ['nobody, of an empty file', [], [], []],
])('asks %s', (_, servers, listen, asked) => {
  const endpoints = listen.map((text) => {
    const [address = '', port] = text.split(':');
    return { address, port: Number(port) };
  });
  const { upstreams } = upstreamsAmong(readNameServers(fileOf(...servers)), endpoints);
  expect(upstreams).toEqual(asked.map((address) => ({ address, port: 53 })));
});

function placesOf(
  file: string,
  replaceUpstreams: (all: readonly DnsEndpoint[]) => void = () => undefined,
): Places {
  const server = { listenAt: async () => () => undefined, replaceUpstreams };
  const options = { listen: [], isInNamespace: true, upstreams: [], file };
  const places = new Places(server, { ...options, logger: pino({ level: 'silent' }) });
  onTestFinished(() => places.close());
  return places;
}

it('asks nobody where there is no file', () => {
  expect(placesOf('/nonexistent/resolv.conf').upstreams).toEqual([]);
});

it('follows a file that is replaced, by a link too; one that goes or names none leaves the last', async () => {
  const file = fileOf('9.9.9.9');
  const said: string[] = [];
  const seen = (): string => said.at(-1) ?? '';
  const places = placesOf(file, (upstreams) => {
    said.push(upstreams.map(({ address }) => address).join());
  });
  expect(seen()).toBe('9.9.9.9');
  const soon = { timeout: 10_000, interval: 50 };
  rmSync(file);
  symlinkSync(fileOf('192.0.2.1'), file);
  await expect.poll(seen, soon).toBe('192.0.2.1');
  const next = fileOf('127.0.0.1', '192.0.2.3');
  renameSync(next, file);
  await expect.poll(seen, soon).toBe('127.0.0.1,192.0.2.3');
  // Where it is asked itself from now on, and no more. The loopback interface is in group 0.
  await places.listenFor(0);
  expect(seen()).toBe('192.0.2.3');
  await places.listenFor(undefined);
  expect(seen()).toBe('127.0.0.1,192.0.2.3');
  writeFileSync(file, '');
  rmSync(file);
  symlinkSync('/nonexistent/resolv.conf', file);
  rmSync(file);
  renameSync(fileOf('192.0.2.4'), file);
  await expect.poll(seen, soon).toBe('192.0.2.4');
  expect(said).not.toContain('');
}, 40_000);
