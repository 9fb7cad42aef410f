/**
 * What every channel must do, whatever carries it. Each transport's test file calls `describeChannel` with
 * its pairs.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { turns } from '../../../test/kit/turns.ts';
import { type Channel, ChannelClosedError } from '../src/channel/channel.ts';
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

/** Two connected ends, and what the transport says about itself. */
export interface TestPair {
  readonly server: Channel;
  readonly client: Channel;
  /** How many bytes a writer may get rid of while nobody reads. */
  readonly acceptedBytes: { readonly min: number; readonly max: number };
  /** Whether the other processes that carry the bytes, if any, wait for one of the two ends. */
  readonly stuck?: () => boolean;
  /** Closes both ends and fails if anything of ours is still open or lies about. */
  assertCleanedUp(): Promise<void>;
}

const BUFFER_SIZES = [4_096, 4_097, 65_535, 65_536, 1_048_575, 1_048_576];
const payloadSizes = (bufferBytes: number): readonly number[] => [
  1,
  bufferBytes - 1,
  bufferBytes,
  bufferBytes + 1,
  3 * bufferBytes + 1,
];
const TRANSFERS = BUFFER_SIZES.flatMap((bufferBytes) =>
  payloadSizes(bufferBytes).map((payloadBytes) => ({ bufferBytes, payloadBytes })),
);

export function describeChannel(name: string, makePair: (bufferBytes: number) => Promise<TestPair>): void {
  describe(`${name} channel`, () => {
    const pairs: TestPair[] = [];
    const open = async (bufferBytes: number): Promise<TestPair> => {
      const pair = await makePair(bufferBytes);
      pairs.push(pair);
      return pair;
    };
    // A closed channel waits for its peer for some seconds only, and here that must be no slower than the
    // machine lets it be.
    beforeEach(stopTimers);
    afterEach(async () => {
      for (const pair of pairs.splice(0)) await pair.assertCleanedUp();
    });

    describeTransfer(open);
    describeBackpressure(open);
    describeDisconnect(open);
    describeWaiting(open);
  });
}

type Open = (bufferBytes: number) => Promise<TestPair>;

function describeTransfer(open: Open): void {
  it.each(TRANSFERS)(
    'delivers $payloadBytes bytes in order both ways at once through $bufferBytes',
    async (size) => {
      const { server, client } = await open(size.bufferBytes);
      const up = seededBytes(1, size.payloadBytes);
      const down = seededBytes(2, size.payloadBytes);

      const [, , upReceived, downReceived] = await Promise.all([
        sendAll(client, up),
        sendAll(server, down),
        receive(server, size.payloadBytes),
        receive(client, size.payloadBytes),
      ]);

      expect(sameBytes(upReceived, up)).toBe(true);
      expect(sameBytes(downReceived, down)).toBe(true);
      expect([server.dataReady(), client.dataReady()]).toEqual([0, 0]);
    },
  );

  it('keeps the order of writes and reads of a few bytes', async () => {
    const { server, client } = await open(4_096);
    const bytes = seededBytes(3, 20_000);

    const [, received] = await Promise.all([sendAll(client, bytes, 7), receive(server, bytes.length, 5)]);

    expect(sameBytes(received, bytes)).toBe(true);
  });

  it('has two connected ends of the asked size that know their roles', async () => {
    const { server, client } = await open(4_097);

    for (const channel of [server, client]) {
      expect(channel.state).toBe('connected');
      expect(channel.closeReason).toBeUndefined();
      expect([channel.readCapacityBytes, channel.writeCapacityBytes]).toEqual([4_097, 4_097]);
      expect([channel.dataReady(), channel.bufferSpace()]).toEqual([0, 4_097]);
      expect(channel.peer.name).not.toBe('');
    }
    expect([server.role, client.role]).toEqual(['server', 'client']);
  });

  it('copies what it takes, and hands out bytes that are the reader’s own', async () => {
    const { server, client } = await open(65_536);
    const bytes = seededBytes(4, 10_000);
    const scratch = bytes.slice();

    expect(client.write(scratch)).toBe(10_000);
    scratch.fill(0xee);
    const first = await receive(server, 1_000);
    client.write(Uint8Array.of(1, 2, 3));
    first.fill(0xee);
    const rest = await receive(server, 9_003);

    expect(sameBytes(rest.subarray(0, 9_000), bytes.subarray(1_000))).toBe(true);
    expect([...rest.subarray(9_000)]).toEqual([1, 2, 3]);
  });

  it('gives a reader no more than it asked for, and nothing when nothing is there', async () => {
    const { server, client } = await open(4_096);

    expect(server.read(10)).toHaveLength(0);
    expect(client.write(new Uint8Array(0))).toBe(0);
    client.write(seededBytes(5, 100));
    await server.waitReadable();
    expect(server.read(0)).toHaveLength(0);
    expect(server.read(1)).toHaveLength(1);
    expect(server.read(1_000).length).toBeLessThanOrEqual(99);
  });

  it.each([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY])('refuses to read %d bytes', async (maxBytes) => {
    const { server } = await open(4_096);

    expect(() => server.read(maxBytes)).toThrow(RangeError);
  });
}

function describeBackpressure(open: Open): void {
  it.each(BUFFER_SIZES)(
    'takes no more than its stated room while nobody reads, buffer %d',
    async (bufferBytes) => {
      const { server, client, acceptedBytes, stuck } = await open(bufferBytes);
      const source = seededBytes(6, 65_521);

      const taken = await fill(client, source, stuck);

      expect(taken).toBeGreaterThanOrEqual(acceptedBytes.min);
      expect(taken).toBeLessThanOrEqual(acceptedBytes.max);
      expect(client.bufferSpace()).toBe(0);
      // A transport with a thread or a process of its own may still be at it.
      await until(() => server.dataReady() >= bufferBytes);
      expect(server.dataReady()).toBe(bufferBytes);
      const received = await receive(server, taken);
      expect(received).toHaveLength(taken);
      expect(repeats(received, source)).toBe(true);
      await client.waitWritable();
      expect(client.bufferSpace()).toBeGreaterThan(0);
    },
  );

  it.each(BUFFER_SIZES)('recovers from both directions being full, buffer %d', async (bufferBytes) => {
    const { server, client, stuck } = await open(bufferBytes);
    const source = seededBytes(7, 65_521);
    const up = await fill(client, source, stuck);
    const down = await fill(server, source, stuck);
    const more = seededBytes(8, 2 * bufferBytes + 1);

    const [upReceived, downReceived] = await Promise.all([
      receive(server, up + more.length),
      receive(client, down + more.length),
      sendAll(client, more),
      sendAll(server, more),
    ]);

    expect(repeats(upReceived.subarray(0, up), source)).toBe(true);
    expect(repeats(downReceived.subarray(0, down), source)).toBe(true);
    expect(sameBytes(upReceived.subarray(up), more)).toBe(true);
    expect(sameBytes(downReceived.subarray(down), more)).toBe(true);
  });
}

function describeDisconnect(open: Open): void {
  it.each(BUFFER_SIZES)('delivers what was accepted before close, buffer %d', async (bufferBytes) => {
    const { server, client, stuck } = await open(bufferBytes);
    const source = seededBytes(9, 65_521);
    const taken = await fill(client, source, stuck);

    client.close();
    const received = await receive(server, taken + 1);

    expect(received).toHaveLength(taken);
    expect(repeats(received, source)).toBe(true);
    expect(server.state).toBe('disconnected');
    expect(server.dataReady()).toBe(0);
  });

  it('delivers what was accepted before close to a peer that is itself writing', async () => {
    const { server, client, stuck } = await open(4_096);
    const source = seededBytes(10, 65_521);
    const taken = await fill(client, source, stuck);
    await fill(server, source, stuck);

    client.close();
    const writing = (async () => {
      while (server.state === 'connected') {
        await server.waitWritable();
        if (server.state === 'connected') server.write(source);
      }
    })();
    const received = await receive(server, taken + 1, 3_000);
    await writing;

    expect(received).toHaveLength(taken);
    expect(repeats(received, source)).toBe(true);
  });

  it('disconnects both ways on close and never comes back', async () => {
    const { server, client } = await open(4_096);
    server.write(Uint8Array.of(1, 2, 3));
    client.write(Uint8Array.of(4, 5, 6));
    await Promise.all([client.waitReadable(), server.waitReadable()]);

    client.close();
    client.close();

    expect([client.state, client.closeReason]).toEqual(['disconnected', 'closed here']);
    expect([client.dataReady(), client.bufferSpace(), client.read(10).length]).toEqual([0, 0, 0]);
    expect([...(await receive(server, 4))]).toEqual([4, 5, 6]);
    expect([server.state, server.closeReason]).toEqual(['disconnected', 'closed by the peer']);
    expect(server.bufferSpace()).toBe(0);
    server.close();
    await turns(5);
    expect([server.state, client.state]).toEqual(['disconnected', 'disconnected']);
    expect(server.closeReason).toBe('closed by the peer');
  });

  it('refuses to write at either end once closed, with a code', async () => {
    const { server, client } = await open(4_096);

    client.close();
    await drain(server);

    for (const channel of [client, server]) {
      const write = (): number => channel.write(Uint8Array.of(1));
      expect(write).toThrow(ChannelClosedError);
      expect(write).toThrow(expect.objectContaining({ code: 'channel-closed' }));
    }
  });
}

function describeWaiting(open: Open): void {
  it.each(['the peer', 'we'])('wakes every waiter when %s close', async (who) => {
    const { server, client, stuck } = await open(4_096);
    await fill(server, seededBytes(11, 65_521), stuck);
    const woken: string[] = [];
    const waiters = [1, 2, 3].flatMap((n) => [
      server.waitReadable().then(() => woken.push(`readable ${n}`)),
      server.waitWritable().then(() => woken.push(`writable ${n}`)),
    ]);
    await turns(5);
    expect(woken).toEqual([]);

    (who === 'we' ? server : client).close();
    await Promise.all(waiters);

    expect(woken).toHaveLength(6);
    expect(server.state).toBe('disconnected');
    await Promise.all([server.waitReadable(), server.waitWritable()]);
  });

  it('wakes every reader for one byte, and a later wait at once', async () => {
    const { server, client } = await open(4_096);
    const waiters = [server.waitReadable(), server.waitReadable()];

    client.write(Uint8Array.of(7));
    await Promise.all(waiters);

    expect(server.dataReady()).toBe(1);
    await server.waitReadable();
    expect([...server.read(9)]).toEqual([7]);
  });

  it('loses no wake-up over many one-byte turns to and fro', async () => {
    const { server, client } = await open(4_096);
    const echo = (async () => {
      for (let i = 0; i < 2_000; i++) await sendAll(server, await receive(server, 1));
    })();

    for (let i = 0; i < 2_000; i++) {
      client.write(Uint8Array.of(i & 255));
      expect((await receive(client, 1))[0]).toBe(i & 255);
    }
    await echo;
  });
}
