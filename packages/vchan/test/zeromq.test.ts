import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import * as zmq from 'zeromq';
import { turns } from '../../../test/kit/turns.ts';
import fc from '../../../test/seeded-fast-check.ts';
import type { Channel, Listener } from '../src/channel/channel.ts';
import { type Endpoint, formatEndpoint, type ZmqIpcEndpoint } from '../src/channel/endpoint.ts';
import { connect, type ListenOptions, listen } from '../src/transport.ts';
import { CreditChannel, type MessageLink } from '../src/zeromq/credit-channel.ts';
import {
  CLOSE_CODE,
  decodeMessage,
  encodeClose,
  encodeFlow,
  encodeHello,
  encodeWelcome,
  MAX_MESSAGE_BYTES,
} from '../src/zeromq/message.ts';
import { connectZmq, listenZmq } from '../src/zeromq/zeromq.ts';
import { BLOCK, startPeer } from './child.ts';
import { describeChannel, type TestPair } from './conformance.ts';
import { rawDealer } from './raw-dealer.ts';
import {
  drain,
  fill,
  receive,
  repeats,
  sameBytes,
  seededBytes,
  sendAll,
  stopTimers,
  until,
} from './streams.ts';

let directory = '';
let handlesBefore = 0;
/** Timers that channels and tests started: vitest has its own, which come and go as it reports. */
const timers = new Set<NodeJS.Timeout>();

beforeAll(() => {
  const { setTimeout: start, clearTimeout: stop } = globalThis;
  vi.spyOn(globalThis, 'setTimeout').mockImplementation((callback, ms, ...args) => {
    const timer = start(() => {
      timers.delete(timer);
      callback(...args);
    }, ms);
    timers.add(timer);
    return timer;
  });
  vi.spyOn(globalThis, 'clearTimeout').mockImplementation((timer) => {
    if (typeof timer === 'object') timers.delete(timer);
    stop(timer);
  });
});

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vchan-zmq-'));
  handlesBefore = handles();
});

afterEach(async () => {
  await until(() => handles() <= handlesBefore);
  expect(readdirSync(directory).filter((name) => name !== 'block')).toEqual([]);
  rmSync(directory, { recursive: true });
});

/**
 * Whatever of ours keeps this process alive, a timer and a ZeroMQ socket that waits for a message included.
 */
function handles(): number {
  const resources = process.getActiveResourcesInfo();
  const ours = resources.filter((kind) => kind !== 'Immediate' && kind !== 'Timeout');
  return ours.length + [...timers].filter((timer) => timer.hasRef()).length;
}

function ipc(name = 'test.sock'): ZmqIpcEndpoint {
  return { kind: 'zmq+ipc', path: join(directory, name) };
}

/** A listener in another process has made its socket file, and is done with it. */
function isListening(): boolean {
  return (
    readdirSync(directory)
      .filter((name) => name !== 'block')
      .join() === 'test.sock'
  );
}

async function pair(endpoint: Endpoint, bufferBytes: number): Promise<TestPair> {
  const listener = await listen(endpoint, { bufferBytes });
  const client = await connect(listener.endpoint, { bufferBytes });
  const server = await listener.accept();
  return {
    server,
    client,
    acceptedBytes: { min: bufferBytes, max: bufferBytes },
    assertCleanedUp: async () => {
      server.close();
      client.close();
      await listener.close();
      await until(() => handles() <= handlesBefore);
    },
  };
}

describeChannel('ZeroMQ ipc', (bufferBytes) => pair(ipc(), bufferBytes));
describeChannel('ZeroMQ tcp', (bufferBytes) =>
  pair({ kind: 'zmq+tcp', address: '127.0.0.1', port: 0 }, bufferBytes),
);

/** A DEALER that has said HELLO and been welcomed, and the channel it got. */
async function rawConnection(listener: Listener, endpoint: ZmqIpcEndpoint) {
  const dealer = rawDealer(endpoint.path);
  await dealer.send(encodeHello(seededBytes(9, 16), 4_096));
  const server = await listener.accept();
  const [welcome] = await dealer.receive();
  expect(decodeMessage(welcome ?? new Uint8Array(0))?.kind).toBe('welcome');
  return { dealer, server };
}

/** The next message that is not an empty FLOW. */
async function nextMessage(dealer: zmq.Dealer) {
  for (;;) {
    const [bytes] = await dealer.receive();
    const message = bytes && decodeMessage(bytes);
    if (message?.kind !== 'flow' || message.bytes.length > 0 || message.grantBytes > 0) return message;
  }
}

describe('a message between the ends of a ZeroMQ channel', () => {
  const id = Uint8Array.from({ length: 16 }, (_, i) => i);
  it.each([
    ['HELLO', encodeHello(id, 65_536), '0152435a01000102030405060708090a0b0c0d0e0f00000100'],
    ['WELCOME', encodeWelcome(id, 4_096), '02000102030405060708090a0b0c0d0e0f00100000'],
    ['FLOW', encodeFlow(513, Uint8Array.of(0xaa, 0xbb)), '0301020000aabb'],
    ['empty FLOW', encodeFlow(0, new Uint8Array(0)), '0300000000'],
    ['CLOSE', encodeClose(CLOSE_CODE.protocol), '0402'],
  ])('%s has these bytes, and reads back', (_, message, hex) => {
    expect(Buffer.from(message).toString('hex')).toBe(hex);
    expect(decodeMessage(message)).toBeDefined();
    const longer = Uint8Array.of(...message, 0);
    if (message[0] !== 3) {
      expect(decodeMessage(longer)).toBeUndefined();
      for (let end = 0; end < message.length; end++)
        expect(decodeMessage(message.subarray(0, end))).toBeUndefined();
    }
  });

  it.each([
    ['nothing', ''],
    ['an unknown kind', '05'],
    ['another version', '0152435a02000102030405060708090a0b0c0d0e0f00000100'],
    ['another magic', '0152435b01000102030405060708090a0b0c0d0e0f00000100'],
    ['a buffer below the least', '0152435a01000102030405060708090a0b0c0d0e0fff0f0000'],
    ['a buffer above the largest', '0152435a01000102030405060708090a0b0c0d0e0f01000001'],
    ['a short FLOW', '03010200'],
    ['an unknown CLOSE', '0404'],
  ])('is not %s', (_, hex) => {
    expect(decodeMessage(Buffer.from(hex, 'hex'))).toBeUndefined();
  });

  it('is at most 65,541 bytes', () => {
    const longest = encodeFlow(0, new Uint8Array(65_536));
    expect(longest).toHaveLength(MAX_MESSAGE_BYTES);
    expect(decodeMessage(longest)).toBeDefined();
    expect(decodeMessage(encodeFlow(0, new Uint8Array(65_537)))).toBeUndefined();
  });

  it('made of any bytes is read or refused, never more', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const message = decodeMessage(bytes);
        if (message?.kind === 'flow') expect(message.bytes).toHaveLength(bytes.length - 5);
      }),
      { numRuns: 2_000 },
    );
  });
});

/** Two channels over queues that deliver when told to. */
function creditPair(bufferBytes: number) {
  const toServer: Uint8Array[] = [];
  const toClient: Uint8Array[] = [];
  const linkTo = (queue: Uint8Array[]): MessageLink => ({
    send: (message) => {
      queue.push(message);
      return Promise.resolve(true);
    },
    end: () => undefined,
  });
  const client = new CreditChannel('client', { name: 'test' }, linkTo(toServer), bufferBytes, bufferBytes);
  const server = new CreditChannel('server', { name: 'test' }, linkTo(toClient), bufferBytes, bufferBytes);
  const bytesIn = (queue: readonly Uint8Array[]): number =>
    queue.reduce((sum, message) => sum + Math.max(0, message.length - 5), 0);
  const deliver = (to: Channel): void => {
    const message = (to === server ? toServer : toClient).shift();
    if (message !== undefined) (to === server ? server : client).receive(decodeMessage(message));
  };
  return { client, server, toServer, toClient, bytesIn, deliver };
}

describe('credit', () => {
  it('never lets more than a buffer be away from its reader, whatever the order of events', async () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('write' as const), count: fc.integer({ min: 1, max: 9_000 }) }),
      fc.record({ kind: fc.constant('read' as const), count: fc.integer({ min: 1, max: 9_000 }) }),
      fc.record({
        kind: fc.constantFrom('deliver' as const, 'answer' as const, 'turn' as const),
        count: fc.constant(0),
      }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 4_096, max: 8_192 }),
        fc.array(step, { maxLength: 120 }),
        async (bufferBytes, steps) => {
          const { client, server, toServer, bytesIn, deliver } = creditPair(bufferBytes);
          const source = seededBytes(31, 65_521);
          let written = 0;
          let read = 0;
          for (const { kind, count } of steps) {
            if (kind === 'write') {
              const from = written % source.length;
              written += client.write(source.subarray(from, from + count));
            } else if (kind === 'read') {
              const bytes = server.read(count);
              expect(
                sameBytes(
                  bytes,
                  Uint8Array.from(bytes, (_, i) => source[(read + i) % source.length] ?? 0),
                ),
              ).toBe(true);
              read += bytes.length;
            } else if (kind === 'turn') await turns(1);
            else deliver(kind === 'deliver' ? server : client);
            // What is neither in a message nor ready is in the writer's ring, or was read.
            expect(written - read).toBeLessThanOrEqual(bufferBytes);
            expect(bytesIn(toServer) + server.dataReady()).toBeLessThanOrEqual(written - read);
            expect(client.bufferSpace()).toBeLessThanOrEqual(bufferBytes - (written - read));
          }
          // Every byte written arrives, and all credit is returned.
          while (read < written || client.bufferSpace() < bufferBytes) {
            await turns(1);
            deliver(server);
            deliver(client);
            read += server.read(1_000).length;
          }
          expect([client.state, server.state, read]).toEqual(['connected', 'connected', written]);
        },
      ),
      { numRuns: 60 },
    );
  });
});

/** A channel whose transport takes a message when told to, and what became of it. */
function blockedChannel() {
  const waiting: (() => void)[] = [];
  let isEnded = false;
  const channel = new CreditChannel(
    'client',
    { name: 'test' },
    {
      send: () => new Promise((resolve) => waiting.push(() => resolve(true))),
      end: () => {
        isEnded = true;
      },
    },
    1_048_576,
    1_048_576,
  );
  return { channel, isEnded: () => isEnded, takeOne: () => waiting.shift()?.() };
}

describe('a channel whose transport has no room', () => {
  beforeEach(() => stopTimers());

  it('ends at once when the peer is lost', async () => {
    const { channel, isEnded } = blockedChannel();
    channel.write(seededBytes(1, 1_000));
    await turns(1);

    channel.lost('connection lost');

    expect([channel.state, channel.closeReason, isEnded()]).toEqual([
      'disconnected',
      'connection lost',
      true,
    ]);
  });

  it.each<[string, (channel: CreditChannel) => void]>([
    ['we close', (channel) => channel.close()],
    ['the peer closes', (channel) => channel.receive({ kind: 'close', code: CLOSE_CODE.closed })],
    ['the peer breaks the rules', (channel) => channel.receive(undefined)],
  ])('ends five seconds after the last message that it took, when %s', async (_, close) => {
    const { channel, isEnded, takeOne } = blockedChannel();
    channel.write(seededBytes(1, 200_000));
    await turns(1);

    close(channel);
    await vi.advanceTimersByTimeAsync(4_999);
    takeOne();
    await vi.advanceTimersByTimeAsync(4_999);
    expect(isEnded()).toBe(false);
    await vi.advanceTimersByTimeAsync(1);

    expect(isEnded()).toBe(true);
  });
});

/** Messages one by one, far more than ZeroMQ's queues and the kernel's between the two ends take. */
async function fillQueues(channel: Channel): Promise<number> {
  const message = seededBytes(41, 8_192);
  let taken = 0;
  // 32 wait here, as many there, and the kernel takes some 25 (212,992 bytes).
  for (let i = 0; i < 128; i++) {
    taken += channel.write(message);
    await turns(2);
  }
  return taken;
}

/** Until the end of the test, whether a socket of that kind was closed. */
function spyOnClose(kind: typeof zmq.Router | typeof zmq.Dealer) {
  const spy = vi.spyOn(kind.prototype, 'close');
  onTestFinished(() => void spy.mockRestore());
  return spy;
}

describe('a full queue of ZeroMQ', () => {
  beforeEach(() => stopTimers());

  it('is waited for, also while nobody’s patience may end', async () => {
    const endpoint = ipc();
    const listener = await listen(endpoint, { bufferBytes: 1_048_576 });
    const dealer = rawDealer(endpoint.path, { receiveHighWaterMark: 2 });
    await dealer.send(encodeHello(seededBytes(9, 16), 1_048_576));
    const server = await listener.accept();
    const taken = await fillQueues(server);

    let bytes = 0;
    while (bytes < taken) {
      const message = await nextMessage(dealer);
      if (message?.kind === 'flow') bytes += message.bytes.length;
    }

    expect([bytes, taken]).toEqual([1_048_576, 1_048_576]);
    dealer.close();
    await listener.close();
  });

  it('of a peer that never reads keeps a closed listener for five seconds, no longer', async () => {
    const endpoint = ipc();
    const listener = await listen(endpoint, { bufferBytes: 1_048_576 });
    const dealer = rawDealer(endpoint.path, { receiveHighWaterMark: 2 });
    await dealer.send(encodeHello(seededBytes(9, 16), 1_048_576));
    const server = await listener.accept();
    await fillQueues(server);
    const closed = spyOnClose(zmq.Router);

    server.close();
    await listener.close();
    await vi.advanceTimersByTimeAsync(4_999);
    expect(closed).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);

    expect(closed).toHaveBeenCalledOnce();
    dealer.close();
  });

  it('of a peer that is gone keeps nothing', async () => {
    const endpoint = { ...ipc(), bufferBytes: 1_048_576 };
    const peer = startPeer(directory, ['listen', formatEndpoint(endpoint), 'silent']);
    await until(() => isListening());
    const heartbeatMs = 100;
    const client = await connectZmq(endpoint, {
      bufferBytes: 1_048_576,
      timeoutMs: 60_000,
      signal: undefined,
      curve: undefined,
      heartbeatMs,
    });
    await peer.said('ready');
    peer.child.kill('SIGSTOP');
    await fillQueues(client);
    const closed = spyOnClose(zmq.Dealer);

    await until(() => client.state === 'disconnected');

    expect(client.closeReason).toBe('connection lost');
    expect(closed).toHaveBeenCalledOnce();
    await peer.kill();
    rmSync(endpoint.path, { force: true });
  });
});

describe('a ZeroMQ listener', () => {
  it('goes on after an error with one message', async () => {
    const endpoint = ipc();
    const errors: Error[] = [];
    vi.spyOn(zmq.Router.prototype, 'receive').mockRejectedValueOnce(new Error('no memory'));
    onTestFinished(() => void vi.mocked(zmq.Router.prototype.receive).mockRestore());
    const listener = await listen(endpoint, { onError: (error) => errors.push(error) });

    const [client, server] = [await connect(endpoint), await listener.accept()];

    expect([client.state, server.state]).toEqual(['connected', 'connected']);
    expect(errors).toMatchObject([{ message: 'no memory' }]);
    client.close();
    await listener.close();
  });

  it.each([
    ['a FLOW before HELLO', [encodeFlow(0, Uint8Array.of(1))]],
    ['noise', [seededBytes(3, 100)]],
    ['an empty message', [new Uint8Array(0)]],
    ['two frames', [encodeHello(seededBytes(9, 16), 4_096), Uint8Array.of(1)]],
  ])('tells who begins with %s to go, and makes no channel', async (_, frames) => {
    const endpoint = ipc();
    const errors: Error[] = [];
    const listener = await listen(endpoint, { onError: (error) => errors.push(error) });
    const dealer = rawDealer(endpoint.path);

    await dealer.send(frames);

    expect(await nextMessage(dealer)).toEqual({ kind: 'close', code: CLOSE_CODE.protocol });
    for (let i = 0; i < 10; i++) await dealer.send(encodeHello(seededBytes(i + 1, 16), 4_096));
    const client = await connect(endpoint);
    expect((await listener.accept()).peer.name).toBe(`${formatEndpoint(endpoint)}#1`);
    expect(errors).toMatchObject([{ code: 'connect-failed' }]);
    dealer.close();
    client.close();
    await listener.close();
  });

  it.each([
    ['more bytes than its credit', encodeFlow(0, new Uint8Array(4_097)), 'the peer exceeded its credit'],
    ['credit for bytes it never got', encodeFlow(1, new Uint8Array(0)), 'the peer granted too much'],
    ['noise', seededBytes(3, 100), 'the peer sent a malformed message'],
    ['a second HELLO', encodeHello(seededBytes(9, 16), 4_096), 'the peer sent a malformed message'],
  ])('disconnects a peer that sends %s', async (_, message, reason) => {
    const endpoint = ipc();
    const listener = await listen(endpoint, { bufferBytes: 4_096 });
    const { dealer, server } = await rawConnection(listener, endpoint);

    await dealer.send(message);
    await server.waitReadable();

    expect([server.state, server.closeReason, server.dataReady()]).toEqual(['disconnected', reason, 0]);
    expect(await nextMessage(dealer)).toEqual({ kind: 'close', code: CLOSE_CODE.protocol });
    dealer.close();
    await listener.close();
  });

  it('keeps no more for a peer than its own buffer, whatever room the peer claims', async () => {
    const endpoint = ipc();
    const listener = await listen(endpoint);
    const dealer = rawDealer(endpoint.path);
    await dealer.send(encodeHello(seededBytes(9, 16), 16_777_216));
    const server = await listener.accept();

    expect(server.writeCapacityBytes).toBe(65_536);
    expect(await fill(server, BLOCK)).toBe(65_536);
    dealer.close();
    await listener.close();
  });

  it('is rid of a peer whose message is too long', async () => {
    const endpoint = ipc();
    const listener = await listen(endpoint);
    const { dealer, server } = await rawConnection(listener, endpoint);

    await dealer.send(new Uint8Array(2 * MAX_MESSAGE_BYTES));
    await until(() => server.state === 'disconnected');

    expect(server.closeReason).toBe('connection lost');
    dealer.close();
    await listener.close();
  });

  it('does not take a connection id twice', async () => {
    const endpoint = ipc();
    const listener = await listen(endpoint);
    const { dealer, server } = await rawConnection(listener, endpoint);
    const copy = rawDealer(endpoint.path);

    await copy.send(encodeHello(seededBytes(9, 16), 4_096));

    expect(await nextMessage(copy)).toEqual({ kind: 'close', code: CLOSE_CODE.protocol });
    expect(server.state).toBe('connected');
    dealer.close();
    copy.close();
    await listener.close();
  });

  it('serves many channels, each with its own bytes and name', async () => {
    const endpoint = ipc();
    const listener = await listen(endpoint);
    const echoes = Array.from({ length: 30 }, async () => {
      const server = await listener.accept();
      await sendAll(server, await receive(server, 100_000));
      return server.peer.name;
    });

    const answers = Array.from({ length: 30 }, async (_, i) => {
      const client = await connect(endpoint);
      const bytes = seededBytes(i + 1, 100_000);
      const [, same] = await Promise.all([
        sendAll(client, bytes),
        receive(client, 100_000).then((received) => sameBytes(received, bytes)),
      ]);
      client.close();
      return same;
    });

    expect(await Promise.all(answers)).toEqual(Array.from({ length: 30 }, () => true));
    expect(new Set(await Promise.all(echoes)).size).toBe(30);
    await listener.close();
  });

  it('keeps the others going while one of them does not read', async () => {
    const endpoint = ipc();
    const listener = await listen(endpoint);
    const [stuck, stuckServer] = [await connect(endpoint), await listener.accept()];
    const [client, server] = [await connect(endpoint), await listener.accept()];
    expect(await fill(stuckServer, BLOCK)).toBe(65_536);
    const bytes = seededBytes(5, 1_000_000);

    const [, received] = await Promise.all([sendAll(server, bytes), receive(client, bytes.length)]);

    expect(sameBytes(received, bytes)).toBe(true);
    expect(stuckServer.bufferSpace()).toBe(0);
    stuck.close();
    client.close();
    await listener.close();
  });

  it('turns away whoever exceeds the backlog, and says so', async () => {
    const endpoint = ipc();
    const errors: Error[] = [];
    const listener = await listen(endpoint, { backlog: 2, onError: (error) => errors.push(error) });
    const clients = [await connect(endpoint), await connect(endpoint)];

    await expect(connect(endpoint)).rejects.toMatchObject({ name: 'ChannelConnectError', code: 'busy' });

    expect(errors).toMatchObject([{ code: 'busy' }]);
    (await listener.accept()).close();
    clients.push(await connect(endpoint));
    for (const client of clients) client.close();
    await listener.close();
  });

  it('rejects accept once closed, keeps accepted channels, and disconnects the others', async () => {
    const endpoint = ipc();
    const listener = await listen(endpoint);
    const [client, server] = [await connect(endpoint), await listener.accept()];
    const unaccepted = await connect(endpoint);

    await listener.close();

    await expect(listener.accept()).rejects.toMatchObject({ code: 'listener-closed' });
    expect(await drain(unaccepted)).toBe(0);
    expect(readdirSync(directory)).toEqual([]);
    client.write(Uint8Array.of(1));
    expect([...(await receive(server, 1))]).toEqual([1]);
    const again = await listen(endpoint);
    client.close();
    await drain(server);
    const [second, secondServer] = [await connect(endpoint), await again.accept()];
    expect(secondServer.state).toBe('connected');
    second.close();
    await again.close();
  });

  it.each([
    [undefined, 0o600],
    [0o660, 0o660],
  ])('makes its socket file with mode %s (600 by default), and no other file', async (mode, expected) => {
    const endpoint = ipc();
    const listener = await listen(endpoint, mode === undefined ? {} : { mode });

    expect(statSync(endpoint.path).mode & 0o777).toBe(expected);
    expect(readdirSync(directory)).toEqual(['test.sock']);
    await listener.close();
  });

  it('refuses a path with a living listener, which goes on, or another file, and replaces a dead one', async () => {
    const endpoint = ipc();
    const first = await listen(endpoint);
    await expect(listen(endpoint)).rejects.toMatchObject({ name: 'EndpointInUseError', code: 'in-use' });
    const [client, server] = [await connect(endpoint), await first.accept()];
    expect(server.state).toBe('connected');
    client.close();
    await first.close();

    writeFileSync(endpoint.path, 'keep me');
    await expect(listen(endpoint)).rejects.toMatchObject({ code: 'not-a-socket' });
    rmSync(endpoint.path);

    const peer = startPeer(directory, ['listen', formatEndpoint(endpoint), 'silent']);
    await until(() => isListening());
    await peer.kill();
    const second = await listen(endpoint);
    await second.close();
  });

  it('refuses a TCP port in use', async () => {
    const first = await listen({ kind: 'zmq+tcp', address: '127.0.0.1', port: 0 });

    await expect(listen(first.endpoint)).rejects.toMatchObject({
      name: 'EndpointInUseError',
      code: 'in-use',
    });

    await first.close();
  });

  it.each<[string, ListenOptions]>([
    ['bufferBytes', { bufferBytes: 4_095 }],
    ['backlog', { backlog: 0 }],
    ['mode', { mode: 0o1000 }],
  ])('refuses a %s out of range', async (_, options) => {
    await expect(listen(ipc(), options)).rejects.toThrow(RangeError);
  });
});

describe('the peer of a ZeroMQ channel', () => {
  it('killed in the middle of a stream leaves a beginning of it, then a disconnected channel', async () => {
    const endpoint = ipc();
    const listener = await listen(endpoint);
    const peer = startPeer(directory, ['connect', formatEndpoint(endpoint), 'flood']);
    const server = await listener.accept();
    const before = await receive(server, 64 * BLOCK.length);

    await peer.kill();
    const after = await receive(server, 1_000 * BLOCK.length);

    expect(repeats(before, BLOCK)).toBe(true);
    expect(repeats(after, BLOCK)).toBe(true);
    expect([server.state, server.closeReason]).toEqual(['disconnected', 'connection lost']);
    await listener.close();
  });

  it('killed after writing leaves what it has sent', async () => {
    const endpoint = ipc();
    const listener = await listen(endpoint);
    const peer = startPeer(directory, ['connect', formatEndpoint(endpoint), 'once']);
    const server = await listener.accept();
    await until(() => server.dataReady() === BLOCK.length);

    await peer.kill();

    expect(sameBytes(await receive(server, BLOCK.length + 1), BLOCK)).toBe(true);
    expect(server.state).toBe('disconnected');
    await listener.close();
  });

  it('that was a listener and is started again does not continue the stream', async () => {
    const endpoint = ipc();
    const url = formatEndpoint(endpoint);
    const first = startPeer(directory, ['listen', url, 'flood']);
    await until(() => isListening());
    const client = await connect(endpoint);
    const before = await receive(client, 16 * BLOCK.length);
    client.write(seededBytes(6, 1_000));

    await first.kill();
    const listener = await listen(endpoint);
    const after = await receive(client, 1_000 * BLOCK.length);

    expect(repeats(before, BLOCK)).toBe(true);
    expect(repeats(after, BLOCK)).toBe(true);
    expect([client.state, client.closeReason]).toEqual(['disconnected', 'connection lost']);
    const fresh = await connect(endpoint);
    expect((await listener.accept()).peer.name).toBe(`${url}#1`);
    fresh.close();
    await listener.close();
  });

  it('that ZeroMQ reconnects by itself finds no channel to continue', async () => {
    const endpoint = ipc();
    const errors: Error[] = [];
    const peer = startPeer(directory, ['listen', formatEndpoint(endpoint), 'silent']);
    await until(() => isListening());
    const dealer = rawDealer(endpoint.path);
    await dealer.send(encodeHello(seededBytes(9, 16), 4_096));
    await peer.said('ready');

    await peer.kill();
    const listener = await listen(endpoint, { onError: (error) => errors.push(error) });
    await dealer.send(encodeFlow(0, seededBytes(6, 1_000)));
    while ((await nextMessage(dealer))?.kind !== 'close');

    expect(errors).toMatchObject([{ message: expect.stringContaining('did not begin with a fresh HELLO') }]);
    dealer.close();
    await listener.close();
  });

  it.each(['client', 'server'])('stopped without a word is noticed by the %s', async (role) => {
    const options = { bufferBytes: undefined, curve: undefined, heartbeatMs: 100, signal: undefined };
    const endpoint = ipc();
    const url = formatEndpoint(endpoint);
    const files = { backlog: 4, mode: 0o600, createDirectory: false, onError: () => undefined };
    const listener = role === 'server' ? await listenZmq(endpoint, { ...options, ...files }) : undefined;
    const peer = startPeer(directory, [listener === undefined ? 'listen' : 'connect', url, 'silent']);
    await until(() => isListening());
    const channel =
      listener === undefined
        ? await connectZmq(endpoint, { ...options, timeoutMs: 5_000 })
        : await listener.accept();
    await peer.said('ready');

    peer.child.kill('SIGSTOP');
    await until(() => channel.state === 'disconnected');

    expect(channel.closeReason).toBe('connection lost');
    await peer.kill();
    await listener?.close();
    rmSync(endpoint.path, { force: true });
  });
});

describe('connecting over ZeroMQ', () => {
  it('fails with a code when nobody listens', async () => {
    await expect(connect(ipc())).rejects.toMatchObject({
      name: 'ChannelConnectError',
      code: 'nobody-listens',
    });
    const taken = net.createServer().listen(0, '127.0.0.1'); // ZeroMQ gives a port back some time after close
    await once(taken, 'listening');
    const { port } = taken.address() as net.AddressInfo;
    taken.close();
    await once(taken, 'close');
    const endpoint = { kind: 'zmq+tcp', address: '127.0.0.1', port } as const;
    await expect(connect(endpoint)).rejects.toMatchObject({ code: 'nobody-listens' });
  });

  it('fails with a code when somebody else listens, or answers too late', async () => {
    const endpoint = ipc();
    const server = net.createServer((socket) => socket.resume().end('220 hello\r\n')).listen(endpoint.path);
    await expect(connect(endpoint)).rejects.toMatchObject({ code: 'connect-failed' });
    server.close();
    const silent = net.createServer((socket) => socket.resume()).listen(join(directory, 'silent.sock'));
    const attempt = connect(ipc('silent.sock'), { timeoutMs: 100 });
    await expect(attempt).rejects.toMatchObject({ name: 'ChannelConnectError' });
    silent.close();
  });

  it.each(['before', 'during'])('can be aborted %s the attempt', async (when) => {
    const silent = net.createServer((socket) => socket.resume()).listen(ipc().path);
    const controller = new AbortController();
    if (when === 'before') controller.abort('enough');

    const attempt = connect(ipc(), { signal: controller.signal });
    setImmediate(() => controller.abort('enough'));

    await expect(attempt).rejects.toMatchObject({ code: 'aborted', cause: 'enough' });
    silent.close();
  });
});

describe('CURVE', () => {
  const server = zmq.curveKeyPair();
  const known = zmq.curveKeyPair();
  const unknown = zmq.curveKeyPair();
  const serverKeys = { secretKey: server.secretKey, clientKeys: [known.publicKey] };
  const clientKeys = { serverKey: server.publicKey, ...known };

  it('carries a channel for a known client', async () => {
    const listener = await listen({ kind: 'zmq+tcp', address: '127.0.0.1', port: 0 }, { curve: serverKeys });
    const [client, accepted] = await Promise.all([
      connect(listener.endpoint, { curve: clientKeys }),
      listener.accept(),
    ]);
    const bytes = seededBytes(8, 300_000);

    const [, received] = await Promise.all([sendAll(client, bytes), receive(accepted, bytes.length)]);

    expect(sameBytes(received, bytes)).toBe(true);
    client.close();
    await drain(accepted);
    await listener.close();
  });

  it('tells of each channel whose key it is', async () => {
    const other = zmq.curveKeyPair();
    const curve = { ...serverKeys, clientKeys: [known.publicKey, other.publicKey] };
    const listener = await listen({ kind: 'zmq+tcp', address: '127.0.0.1', port: 0 }, { curve });
    const closing: Channel[] = [];
    for (let i = 0; i < 20; i++) {
      const keys = i % 2 === 0 ? known : other;
      const accepted = listener.accept();
      closing.push(await connect(listener.endpoint, { curve: { ...clientKeys, ...keys } }), await accepted);
      expect((await accepted).peer).toEqual({
        name: expect.stringMatching(/#/),
        curveKey: keys.publicKey,
      });
    }
    for (const channel of closing) channel.close();
    await listener.close();
  });

  it.each(['known', '\u0001known'])(
    'calls no connection by the name that it gives itself: %o',
    async (routingId) => {
      const listener = await listen(
        { kind: 'zmq+tcp', address: '127.0.0.1', port: 0 },
        { curve: serverKeys },
      );
      const port = 'port' in listener.endpoint ? listener.endpoint.port : 0;
      const dealer = new zmq.Dealer({
        routingId,
        linger: 0,
        curveServerKey: server.publicKey,
        curvePublicKey: known.publicKey,
        curveSecretKey: known.secretKey,
      });
      dealer.connect(`tcp://127.0.0.1:${port}`);
      const accepted = listener.accept();
      await dealer.send(encodeHello(new Uint8Array(16), 65_536));
      expect((await accepted).peer.curveKey).toBe(known.publicKey);
      (await accepted).close();
      dealer.close();
      await listener.close();
    },
  );

  it.each([
    ['an unknown client', { ...clientKeys, ...unknown }],
    ['a client that has another server’s key', { ...clientKeys, serverKey: unknown.publicKey }],
    ['a client without keys', undefined],
  ])('lets %s in nowhere', async (_, curve) => {
    const listener = await listen({ kind: 'zmq+tcp', address: '127.0.0.1', port: 0 }, { curve: serverKeys });

    const attempt = connect(listener.endpoint, { timeoutMs: 500, ...(curve && { curve }) });

    await expect(attempt).rejects.toMatchObject({ name: 'ChannelConnectError' });
    const good = await connect(listener.endpoint, { curve: clientKeys });
    expect((await listener.accept()).peer.name).toMatch(/#1$/);
    good.close();
    await listener.close();
  });

  it.each(['0.0.0.0', '192.0.2.1', '::', '2001:db8::1'])(
    'is required beyond this machine: %s',
    async (address) => {
      const endpoint: Endpoint = { kind: 'zmq+tcp', address, port: 5_555 };
      const expected = {
        name: 'EndpointError',
        code: 'needs-curve',
        message: expect.stringContaining('give curve keys'),
      };

      await expect(listen(endpoint)).rejects.toMatchObject(expected);
      await expect(connect(endpoint)).rejects.toMatchObject(expected);
    },
  );

  it('takes no malformed keys, shows none, and none where they would do nothing', async () => {
    const endpoint: Endpoint = { kind: 'zmq+tcp', address: '127.0.0.1', port: 0 };
    for (const secretKey of ['', 'x'.repeat(39), '~'.repeat(40), '#####'.repeat(8)]) {
      const error = await listen(endpoint, { curve: { ...serverKeys, secretKey } }).catch(
        (caught: Error) => caught,
      );
      expect(error).toMatchObject({ name: 'EndpointError', code: 'bad-key' });
      if (secretKey !== '') expect(String(error)).not.toContain(secretKey);
    }
    await expect(listen(endpoint, { curve: { ...serverKeys, clientKeys: [] } })).rejects.toMatchObject({
      code: 'bad-key',
    });
    await expect(listen({ kind: 'memory', name: 'x' }, { curve: serverKeys })).rejects.toMatchObject({
      code: 'bad-option',
    });
    await expect(connect({ kind: 'memory', name: 'x' }, { curve: clientKeys })).rejects.toMatchObject({
      code: 'bad-option',
    });
  });
});
