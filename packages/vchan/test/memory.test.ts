import { expect, it } from 'vitest';
import { createMemoryPair } from '../src/channel/memory.ts';
import { connect, listen } from '../src/transport.ts';
import { describeChannel } from './conformance.ts';
import { seededBytes } from './streams.ts';

describeChannel('memory', async (bufferBytes) => {
  const { server, client } = createMemoryPair({ bufferBytes });
  return {
    server,
    client,
    acceptedBytes: { min: bufferBytes, max: bufferBytes },
    assertCleanedUp: async () => {
      server.close();
      client.close();
      expect([server.dataReady(), client.dataReady()]).toEqual([0, 0]);
    },
  };
});

it.each([4_095, 16_777_217, 65_536.5, Number.NaN])('refuses a buffer of %d bytes', (bufferBytes) => {
  expect(() => createMemoryPair({ bufferBytes })).toThrow(RangeError);
});

it.each([4_096, 16_777_216])('takes exactly %d bytes into a buffer of that size', (bufferBytes) => {
  const { client, server } = createMemoryPair({ bufferBytes });

  expect(client.write(seededBytes(1, bufferBytes + 1))).toBe(bufferBytes);
  expect(client.write(Uint8Array.of(1))).toBe(0);
  expect(server.dataReady()).toBe(bufferBytes);
});

it('is 64 KiB unless told otherwise', () => {
  expect(createMemoryPair().client.writeCapacityBytes).toBe(65_536);
});

it('connects by name to the listener of this process, with the buffer of the listener', async () => {
  const endpoint = { kind: 'memory', name: 'by-name' } as const;
  const listener = await listen(endpoint, { bufferBytes: 5_000 });

  const client = await connect(endpoint);
  const server = await listener.accept();

  expect([client.peer.name, server.peer.name]).toEqual(['memory:by-name#1', 'memory:by-name#1']);
  expect([client.writeCapacityBytes, server.readCapacityBytes]).toEqual([5_000, 5_000]);
  expect([client.role, server.role]).toEqual(['client', 'server']);
  await listener.close();
  expect(client.state).toBe('connected');
});

it('refuses a second listener of the name, and a client when there is none', async () => {
  const endpoint = { kind: 'memory', name: 'only-one' } as const;
  const listener = await listen(endpoint);

  await expect(listen(endpoint)).rejects.toMatchObject({ name: 'EndpointInUseError', code: 'in-use' });
  await listener.close();
  await expect(connect(endpoint)).rejects.toMatchObject({
    name: 'ChannelConnectError',
    code: 'nobody-listens',
  });
  const next = await listen(endpoint);
  await listener.close();
  expect((await connect(endpoint)).state).toBe('connected');
  await next.close();
});

it('refuses a client when the backlog of unaccepted channels is full', async () => {
  const endpoint = { kind: 'memory', name: 'backlog' } as const;
  const listener = await listen(endpoint, { backlog: 2 });
  await connect(endpoint);
  await connect(endpoint);

  await expect(connect(endpoint)).rejects.toMatchObject({ code: 'busy' });
  await listener.accept();
  expect((await connect(endpoint)).state).toBe('connected');
  await listener.close();
});

it('does not connect once aborted', async () => {
  const endpoint = { kind: 'memory', name: 'aborted' } as const;

  const attempt = connect(endpoint, { signal: AbortSignal.abort('stop') });

  await expect(attempt).rejects.toMatchObject({
    name: 'ChannelConnectError',
    code: 'aborted',
    cause: 'stop',
  });
});

it.each([0, -1, 1.5])('refuses a backlog of %d', async (backlog) => {
  await expect(listen({ kind: 'memory', name: 'bad' }, { backlog })).rejects.toThrow(RangeError);
});
