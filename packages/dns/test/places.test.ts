/** Where hosts ask, and who has the port. */

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { userInfo } from 'node:os';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished } from 'vitest';
import { freePort } from '../../../test/kit/dns.ts';
import { Places } from '../src/daemon/places.ts';
import { ownerOfPort } from '../src/daemon/port-owner.ts';
import type { DnsEndpoint } from '../src/proxy/upstream.ts';

describe('who has a port', () => {
  it.each([['udp'], ['tcp'], ['udp6']])('is named, by %s', async (kind) => {
    const port = await freePort();
    const host = kind === 'udp6' ? '::' : '127.0.0.1';
    if (kind === 'tcp') {
      const server = createServer().listen(port, host);
      await once(server, 'listening');
      onTestFinished(() => void server.close());
    } else {
      const socket = createSocket(kind === 'udp6' ? 'udp6' : 'udp4').bind(port, host);
      await once(socket, 'listening');
      onTestFinished(() => void socket.close());
    }
    const owner = ` by a process of the user ${userInfo().username}`;
    expect(ownerOfPort({ address: '127.0.0.1', port })).toBe(owner);
    expect(ownerOfPort({ address: '127.0.0.2', port })).toBe(kind === 'udp6' ? owner : '');
  });

  it('is nobody where nobody is seen', async () => {
    expect(ownerOfPort({ address: '127.0.0.1', port: await freePort() })).toBe('');
  });
});

describe('where hosts ask', () => {
  /** A server that takes what it is told, or says why not. */
  function listeners(fails: () => NodeJS.ErrnoException | undefined) {
    const open = new Set<string>();
    const server = {
      listenAt: async ({ address, port }: DnsEndpoint) => {
        const error = fails();
        if (error !== undefined) throw error;
        open.add(`${address} ${port}`);
        return () => void open.delete(`${address} ${port}`);
      },
      replaceUpstreams: () => undefined,
    };
    const options = { listen: [], isInNamespace: true, upstreams: [], file: undefined };
    const all = new Places(server, { ...options, logger: pino({ level: 'silent' }) });
    onTestFinished(() => all.close());
    return { all, open };
  }

  // The loopback interface is in group 0, as all that nobody put into another one.
  it('are the addresses of the link group, as long as it is wanted', async () => {
    const { all, open } = listeners(() => undefined);
    await all.listenFor(0);
    expect([...open]).toContain('127.0.0.1 53');
    expect(all.fault).toBe('');
    await all.listenFor(undefined);
    expect([...open, all.fault]).toEqual(['']);
  });

  it('are none without an interface, which it says', async () => {
    const { all, open } = listeners(() => undefined);
    await all.listenFor(4711);
    expect([open.size, all.fault]).toEqual([0, expect.stringContaining('is in link group 4711')]);
  });

  it('are tried again where the port is taken, which it says', async () => {
    let isTaken = true;
    const { all, open } = listeners(() =>
      isTaken ? Object.assign(new Error('bind EADDRINUSE'), { code: 'EADDRINUSE' }) : undefined,
    );
    await all.listenFor(0);
    expect(all.fault).toMatch(/^port 53 of \S+ is taken.*: stop that, or use --names auto$/);
    isTaken = false;
    await expect.poll(() => [all.fault, open.size > 0], { timeout: 5000 }).toEqual(['', true]);
  });
});
