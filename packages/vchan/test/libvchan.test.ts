/** Vchans by their library, which is a stub within this process, compiled here. */

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import koffi from 'koffi';
import { afterAll, describe, expect, it } from 'vitest';
import type { VchanEndpoint } from '../src/channel/endpoint.ts';
import { SOCKET_SLACK_BYTES } from '../src/stream/channel.ts';
import { connectLibvchan, listenLibvchan, loadLibvchan } from '../src/stream/libvchan.ts';
import { connect, listen } from '../src/transport.ts';
import { describeChannel } from './conformance.ts';
import { drain, receive, until } from './streams.ts';

const COMPILER = 'cc';
const isThere = spawnSync(COMPILER, ['--version']).status === 0;
if (!isThere) {
  const text = `${COMPILER} is not installed, which the tests of libvchan need: apt install gcc`;
  if (process.env['CI'] === 'true') throw new Error(text);
  console.info(text);
}

const folder = isThere ? mkdtempSync(join(tmpdir(), 'libvchan-')) : '';
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A library of that name, with Qubes' names of its calls or Xen's. */
function compiled(name: string) {
  const path = join(folder, name);
  const source = fileURLToPath(new URL('stub-libvchan.c', import.meta.url));
  const calls = ['read', 'write', 'wait', 'close', 'fd_for_select', 'is_open', 'data_ready', 'buffer_space'];
  const names = name.startsWith('libxen')
    ? calls.map((call) => `-Dlibvchan_${call}=libxenvchan_${call}`)
    : [];
  const flags = ['-O1', '-Wall', '-Wextra', '-Werror', '-shared', '-fPIC', '-pthread', ...names];
  execFileSync(COMPILER, [...flags, '-o', path, source]);
  const stub = koffi.load(path);
  return {
    library: loadLibvchan(path, '7'),
    openEnds: stub.func('int stub_open()'),
    events: stub.func('int stub_events()'),
  };
}

const endpointOf = (port: number): VchanEndpoint => ({
  kind: 'vchan',
  domainId: 1,
  port,
  soname: 'libvchan-xen.so',
});
const DIAL = { bufferBytes: undefined, timeoutMs: 50_000, signal: undefined };
const QUIET = { bufferBytes: undefined, onError: () => undefined };

describe.skipIf(!isThere)('a vchan by its library', () => {
  const { library, openEnds, events } = isThere
    ? compiled('libvchan-stub.so')
    : ({} as ReturnType<typeof compiled>);
  let port = 100;

  describeChannel('libvchan', async (bufferBytes) => {
    port += 1;
    const listener = listenLibvchan(library, endpointOf(port), { ...QUIET, bufferBytes });
    const client = await connectLibvchan(library, endpointOf(port), { ...DIAL, bufferBytes });
    const server = await listener.accept();
    return {
      server,
      client,
      // Between the buffers: a ring, one piece of it on its way, and what a stream has before it stops.
      acceptedBytes: { min: 2 * bufferBytes, max: 2 * bufferBytes + SOCKET_SLACK_BYTES + 65_536 },
      stuck: () => events() === 0, // the thread that waits for events has none
      assertCleanedUp: async () => {
        await listener.close();
        server.close();
        client.close();
        await until(() => openEnds() === 0);
      },
    };
  });

  it('serves one client after the other, and a client waits for its turn', async () => {
    const listener = listenLibvchan(library, endpointOf(1), QUIET);
    const first = await connectLibvchan(library, endpointOf(1), DIAL);
    const second = connectLibvchan(library, endpointOf(1), DIAL);
    const served = await listener.accept();
    first.write(Uint8Array.of(1));
    first.close();
    expect(await drain(served)).toBe(1);

    const again = await listener.accept();
    (await second).write(Uint8Array.of(2));
    expect([...(await receive(again, 1))]).toEqual([2]);
    expect([served.peer.name, again.peer.name]).toEqual([
      'vchan:1:1?library=libvchan-xen.so#1',
      'vchan:1:1?library=libvchan-xen.so#2',
    ]);
    again.close();
    (await second).close();
    await listener.close();
    await until(() => openEnds() === 0);
    await expect(listener.accept()).rejects.toMatchObject({ code: 'listener-closed' });
  });

  it('is made by Xen’s own library as well', async () => {
    const { library: xens, openEnds: openXens } = compiled('libxenvchan-stub.so');
    const dialled = connectLibvchan(xens, endpointOf(4), DIAL); // looks again until it is served
    const listener = listenLibvchan(xens, endpointOf(4), QUIET);
    const [client, server] = await Promise.all([dialled, listener.accept()]);
    server.write(Uint8Array.of(5, 6));
    server.close();
    expect([...(await receive(client, 2))]).toEqual([5, 6]);
    expect(await drain(client)).toBe(0);
    expect(client.closeReason).toBe('closed by the peer');
    client.close();
    await listener.close();
    await until(() => openXens() === 0);
  });

  it('waits for a server no longer than it may, and stops when it is told', async () => {
    const late = connectLibvchan(library, endpointOf(2), { ...DIAL, timeoutMs: 1 });
    await expect(late).rejects.toMatchObject({ name: 'ChannelConnectError', code: 'connect-failed' });
    const ended = connectLibvchan(library, endpointOf(2), { ...DIAL, signal: AbortSignal.abort() });
    await expect(ended).rejects.toMatchObject({ name: 'ChannelConnectError', code: 'aborted' });
    expect(openEnds()).toBe(0);
  });

  it('says that a domain cannot be had', async () => {
    const nowhere: VchanEndpoint = { ...endpointOf(3), domainId: 40_000 };
    expect(() => listenLibvchan(library, nowhere, QUIET)).toThrow(
      /vchan:40000:3.* cannot be served.*\/dev\/xen/,
    );
    await expect(connectLibvchan(library, nowhere, DIAL)).rejects.toThrow(
      /vchan:40000:3.*refuses it.*\/dev\/xen/,
    );
  });
});

describe('a library that is not there', () => {
  it.each([
    ['libvchan-xen.so', /libvchan-xen\.so cannot be used: .*qubes-libvchan-xen.*exec:qrexec-client-vm/],
    ['libxenvchan.so', /libxenvchan\.so needs VCHAN_DOMAIN/],
  ])('is said so: %s', async (name, said) => {
    const endpoint: VchanEndpoint = { ...endpointOf(1), soname: name };
    await expect(connect(endpoint)).rejects.toThrow(said);
    await expect(listen(endpoint)).rejects.toThrow(said);
  });
});
