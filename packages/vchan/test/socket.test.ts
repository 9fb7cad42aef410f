import { spawn } from 'node:child_process';
import { getEventListeners, once } from 'node:events';
import {
  existsSync,
  linkSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { turns } from '../../../test/kit/turns.ts';
import type { Channel, Listener } from '../src/channel/channel.ts';
import type { UnixEndpoint } from '../src/channel/endpoint.ts';
import { SOCKET_SLACK_BYTES } from '../src/stream/channel.ts';
import { connect, type ListenOptions, listen } from '../src/transport.ts';
import { describeChannel } from './conformance.ts';
import { drain, fill, receive, repeats, sameBytes, seededBytes, sendAll } from './streams.ts';

/**
 * What a Linux kernel takes into one Unix socket: net.core.wmem_default, 212,992 unless configured, with room
 * to spare.
 */
const KERNEL_BYTES = 524_288;
/** How many turns of the event loop closing may take: bytes on their way are still moved. */
const CLOSING_TURNS = 2_000;

let directory = '';
let openBefore = 0;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vchan-'));
  openBefore = openPipes();
});

afterEach(async () => {
  vi.useRealTimers();
  await assertCleanedUp();
  rmSync(directory, { recursive: true });
});

/** Sockets and listening sockets that keep this process alive. */
function openPipes(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === 'PipeWrap' || kind === 'PipeServerWrap')
    .length;
}

async function assertCleanedUp(): Promise<void> {
  for (let i = 0; i < CLOSING_TURNS && openPipes() > openBefore; i++) await turns(1);
  expect(openPipes()).toBe(openBefore);
  const sockets = readdirSync(directory).filter((name) => statSync(join(directory, name)).isSocket());
  expect(sockets).toEqual([]);
}

function endpointAt(name: string, bufferBytes?: number): UnixEndpoint {
  const path = join(directory, name);
  return bufferBytes === undefined ? { kind: 'unix', path } : { kind: 'unix', path, bufferBytes };
}

interface Connection {
  readonly listener: Listener;
  readonly server: Channel;
  readonly client: Channel;
}

async function connection(endpoint: UnixEndpoint, options: ListenOptions = {}): Promise<Connection> {
  const listener = await listen(endpoint, options);
  const [server, client] = await Promise.all([listener.accept(), connect(endpoint)]);
  return { listener, server, client };
}

/** A channel whose client is a bare socket. */
async function rawConnection(endpoint: UnixEndpoint): Promise<{ server: Channel; raw: net.Socket }> {
  const listener = await listen(endpoint);
  const raw = net.connect({ path: endpoint.path, allowHalfOpen: true });
  const server = await listener.accept();
  await listener.close();
  return { server, raw };
}

/** A socket file whose listener has gone without removing it. */
async function makeStaleSocket(path: string): Promise<void> {
  const server = net.createServer();
  server.listen(`${path}.tmp`);
  await once(server, 'listening');
  linkSync(`${path}.tmp`, path);
  server.close();
  await once(server, 'close');
}

describeChannel('unix', async (bufferBytes) => {
  const endpoint = endpointAt('pair.sock', bufferBytes);
  const { listener, server, client } = await connection(endpoint);
  return {
    server,
    client,
    acceptedBytes: {
      min: 2 * bufferBytes,
      max: 2 * bufferBytes + SOCKET_SLACK_BYTES + KERNEL_BYTES,
    },
    assertCleanedUp: async () => {
      server.close();
      client.close();
      await listener.close();
      expect(existsSync(endpoint.path)).toBe(false);
      await assertCleanedUp();
    },
  };
});

describe('the peer of a socket channel', () => {
  it('may end its half only: that disconnects, and what came before is readable', async () => {
    const { server, raw } = await rawConnection(endpointAt('half.sock', 4_096));
    const bytes = seededBytes(1, 50_000);
    raw.end(bytes);

    const received = await receive(server, bytes.length + 1);

    expect(sameBytes(received, bytes)).toBe(true);
    expect([server.state, server.closeReason]).toEqual(['disconnected', 'closed by the peer']);
    expect(() => server.write(bytes)).toThrow(expect.objectContaining({ code: 'channel-closed' }));
    raw.resume();
    await once(raw, 'close');
  });

  it('may end its half and never read: our socket is closed all the same', async () => {
    const { server, raw } = await rawConnection(endpointAt('deaf.sock'));
    await fill(server, seededBytes(5, 65_521));

    raw.end();
    await server.waitReadable();
    await turns(5);

    expect(server.state).toBe('disconnected');
    expect(openPipes()).toBe(openBefore + 1);
    raw.destroy();
  });

  it('may vanish while we write: the writer wakes up disconnected', async () => {
    const { server, raw } = await rawConnection(endpointAt('vanish.sock'));
    await fill(server, seededBytes(2, 65_521));
    const waiting = server.waitWritable();

    raw.destroy();
    await waiting;

    expect([server.state, server.bufferSpace()]).toEqual(['disconnected', 0]);
    expect(server.closeReason).not.toBe('closed here');
  });

  it('keeps a closed channel open no longer than the linger time when it does not read', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { server, raw } = await rawConnection(endpointAt('linger.sock'));
    const taken = await fill(server, seededBytes(3, 65_521));

    server.close();
    await turns(20);
    expect(openPipes()).toBe(openBefore + 2);
    vi.advanceTimersByTime(5_000);
    let received = 0;
    raw.on('data', (chunk) => {
      received += chunk.length;
    });
    await once(raw, 'end');

    expect(received).toBeGreaterThan(0);
    expect(received).toBeLessThan(taken);
    raw.destroy();
  });

  const block = seededBytes(4, 65_521);
  const peerProgram = (program: string): string => `
    const net = require('node:net');
    const block = require('node:fs').readFileSync(process.argv[1]);
    const socket = net.connect(process.argv[2]);
    ${program}`;

  async function startPeer(endpoint: UnixEndpoint, program: string) {
    const blockFile = join(directory, 'block');
    writeFileSync(blockFile, block);
    const listener = await listen(endpoint);
    const child = spawn(process.execPath, ['-e', peerProgram(program), blockFile, endpoint.path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = once(child, 'close');
    const server = await listener.accept();
    await listener.close();
    return { child, exited, server };
  }

  it('killed after writing 65,521 bytes leaves all of them to a reader of 4 KiB', async () => {
    const program = `socket.write(block, () => process.stdout.write('written'));`;
    const { child, exited, server } = await startPeer(endpointAt('killed.sock', 4_096), program);
    await once(child.stdout, 'data');

    child.kill('SIGKILL');
    await exited;
    const received = await receive(server, block.length + 1);

    expect(sameBytes(received, block)).toBe(true);
    expect([server.state, server.dataReady()]).toEqual(['disconnected', 0]);
  });

  it('killed in the middle of a stream leaves a beginning of it, then a disconnected channel', async () => {
    const program = `const again = () => socket.write(block, again); again();`;
    const { child, exited, server } = await startPeer(endpointAt('stream.sock', 65_536), program);
    const before = await receive(server, 64 * block.length);

    child.kill('SIGKILL');
    await exited;
    const after = await receive(server, 64 * block.length);

    expect(before).toHaveLength(64 * block.length);
    expect(repeats(before, block)).toBe(true);
    expect(repeats(after, block)).toBe(true);
    expect([server.state, server.dataReady()]).toEqual(['disconnected', 0]);
  });
});

describe('a socket listener', () => {
  it('serves many channels, each with its own bytes and name', async () => {
    const endpoint = endpointAt('many.sock');
    const listener = await listen(endpoint);
    const echoes = Array.from({ length: 30 }, async () => {
      const server = await listener.accept();
      await sendAll(server, await receive(server, 10_000));
      return server.peer.name;
    });

    const answers = Array.from({ length: 30 }, async (_, i) => {
      const client = await connect(endpoint);
      const bytes = seededBytes(i + 1, 10_000);
      await sendAll(client, bytes);
      const same = sameBytes(await receive(client, 10_000), bytes);
      client.close();
      return same;
    });

    expect(await Promise.all(answers)).toEqual(Array.from({ length: 30 }, () => true));
    const names = await Promise.all(echoes);
    expect(new Set(names)).toEqual(
      new Set(Array.from({ length: 30 }, (_, i) => `unix:${endpoint.path}#${i + 1}`)),
    );
    await listener.close();
  });

  it('turns away whoever exceeds the backlog, and says so', async () => {
    const endpoint = endpointAt('backlog.sock');
    const errors: Error[] = [];
    const listener = await listen(endpoint, { backlog: 2, onError: (error) => errors.push(error) });
    const clients = [await connect(endpoint), await connect(endpoint)];
    const tooMany = await connect(endpoint);

    expect(await drain(tooMany)).toBe(0);

    expect(errors).toMatchObject([{ code: 'busy' }]);
    expect((await listener.accept()).state).toBe('connected');
    clients.push(await connect(endpoint));
    for (const client of clients) client.close();
    (await listener.accept()).close();
    await listener.close();
  });

  it('rejects accept once closed, also one that waited, and keeps accepted channels', async () => {
    const endpoint = endpointAt('closing.sock');
    const { listener, server, client } = await connection(endpoint);
    const refused = expect(listener.accept()).rejects.toMatchObject({
      name: 'ChannelClosedError',
      code: 'listener-closed',
    });

    await listener.close();
    await listener.close();
    await refused;

    await expect(listener.accept()).rejects.toMatchObject({ code: 'listener-closed' });
    expect(existsSync(endpoint.path)).toBe(false);
    client.write(Uint8Array.of(1));
    expect([...(await receive(server, 1))]).toEqual([1]);
    server.close();
    client.close();
  });

  it('disconnects the channels nobody accepted when it closes', async () => {
    const endpoint = endpointAt('unaccepted.sock');
    const listener = await listen(endpoint);
    const client = await connect(endpoint);
    await turns(5);

    await listener.close();

    expect(await drain(client)).toBe(0);
    expect(client.closeReason).toBe('closed by the peer');
  });

  it.each([
    [undefined, 0o600],
    [0o660, 0o660],
    [0o600, 0o600],
    [0o777, 0o777],
  ])(
    'makes the file with mode %s (600 by default), whatever the umask, which it leaves alone',
    async (mode, expected) => {
      const umask = process.umask(0o027);
      const endpoint = endpointAt('mode.sock');
      const listener = await listen(endpoint, mode === undefined ? {} : { mode });

      expect(statSync(endpoint.path).mode & 0o777).toBe(expected);
      expect(process.umask(umask)).toBe(0o027);
      await listener.close();
    },
  );

  it.runIf(process.geteuid?.() === 0)('gives the file to a group before it opens it to that', async () => {
    const endpoint = endpointAt('group.sock');
    const listener = await listen(endpoint, { mode: 0o660, group: 12_345 });
    const { gid, uid, mode } = statSync(endpoint.path);
    expect([gid, uid, mode & 0o777]).toEqual([12_345, 0, 0o660]);
    await listener.close();
  });

  it.each(['root', '0'])('lets the group %s in that the endpoint names, and nobody else', async (group) => {
    const endpoint = { ...endpointAt('group.sock'), group };
    if (process.geteuid?.() !== 0) return expect(listen(endpoint)).rejects.toThrow('is not of group 0');
    const listener = await listen(endpoint);
    const { gid, mode } = statSync(endpoint.path);
    expect([gid, mode & 0o777]).toEqual([0, 0o660]);
    await listener.close();
  });

  it('makes no file for a group that is not there, nor connects by what is for who listens', async () => {
    const endpoint = { ...endpointAt('group.sock'), group: 'no-such-group' };
    await expect(listen(endpoint)).rejects.toMatchObject({
      code: 'bad-option',
      message: expect.stringMatching(/there is no group no-such-group in \/etc\/group/),
    });
    expect(existsSync(endpoint.path)).toBe(false);
    await expect(connect(endpoint)).rejects.toMatchObject({ code: 'cannot-connect' });
  });

  it.runIf(process.geteuid?.() !== 0)('says whom it takes to give the file to a group', async () => {
    const refused = listen(endpointAt('group.sock'), { mode: 0o660, group: 12_345 });
    await expect(refused).rejects.toThrow('its user is not of group 12345, to which the file is to be given');
  });

  it('leaves no file where it cannot be given to the group', async () => {
    const endpoint = endpointAt('group.sock');
    await expect(listen(endpoint, { mode: 0o660, group: -2 })).rejects.toMatchObject({
      code: 'cannot-listen',
    });
    expect(readdirSync(directory)).toEqual([]);
  });

  it('replaces a socket file that nobody listens on', async () => {
    const endpoint = endpointAt('stale.sock');
    await makeStaleSocket(endpoint.path);

    const { listener, server, client } = await connection(endpoint);

    expect(readdirSync(directory)).toEqual(['stale.sock']);
    server.close();
    client.close();
    await listener.close();
  });

  it('lets one of two that find the same stale file win', async () => {
    const endpoint = endpointAt('race.sock');
    await makeStaleSocket(endpoint.path);

    const attempts = await Promise.allSettled([listen(endpoint), listen(endpoint)]);

    const won = attempts.flatMap((attempt) => (attempt.status === 'fulfilled' ? [attempt.value] : []));
    const lost = attempts.flatMap((attempt) => (attempt.status === 'rejected' ? [attempt.reason] : []));
    expect(won).toHaveLength(1);
    expect(lost).toMatchObject([{ name: 'EndpointInUseError', code: 'in-use' }]);
    const client = await connect(endpoint);
    const closed = drain(client);
    await won[0]?.close();
    await closed;
  });

  it('refuses a path that has a live listener, which goes on', async () => {
    const endpoint = endpointAt('live.sock');
    const first = await listen(endpoint);

    await expect(listen(endpoint)).rejects.toMatchObject({
      name: 'EndpointInUseError',
      code: 'in-use',
      message: expect.stringContaining('stop that process or choose another path'),
    });

    // The question whether somebody is there arrived as a channel that ended at once.
    expect(await drain(await first.accept())).toBe(0);
    const [server, client] = await Promise.all([first.accept(), connect(endpoint)]);
    server.close();
    client.close();
    await first.close();
  });

  it('refuses a path that is another kind of file, and leaves that alone', async () => {
    const endpoint = endpointAt('notes.txt');
    writeFileSync(endpoint.path, 'keep me');

    await expect(listen(endpoint)).rejects.toMatchObject({
      name: 'EndpointInUseError',
      code: 'not-a-socket',
    });

    expect(readFileSync(endpoint.path, 'utf8')).toBe('keep me');
  });

  it('takes a path of 107 bytes and refuses one of 108', async () => {
    const room = 107 - Buffer.byteLength(directory) - 1;
    const longest = endpointAt('p'.repeat(room));
    expect(Buffer.byteLength(longest.path)).toBe(107);

    const { listener, server, client } = await connection(longest);
    expect(existsSync(longest.path)).toBe(true);
    server.close();
    client.close();
    await listener.close();

    const tooLong = endpointAt('p'.repeat(room + 1));
    await expect(listen(tooLong)).rejects.toMatchObject({ name: 'EndpointError', code: 'path-too-long' });
    await expect(connect(tooLong)).rejects.toMatchObject({ name: 'EndpointError', code: 'path-too-long' });
  });

  it('makes a missing directory only if asked to, for its owner alone', async () => {
    const endpoint = endpointAt('run/rulecast/x.sock');

    await expect(listen(endpoint)).rejects.toMatchObject({
      name: 'EndpointError',
      code: 'no-directory',
      message: expect.stringContaining('createDirectory'),
    });
    const listener = await listen(endpoint, { createDirectory: true });

    expect(statSync(join(directory, 'run')).mode & 0o777).toBe(0o700);
    expect(statSync(join(directory, 'run/rulecast')).mode & 0o777).toBe(0o700);
    await listener.close();
  });

  it.each<[string, ListenOptions]>([
    ['bufferBytes', { bufferBytes: 4_095 }],
    ['backlog', { backlog: 0 }],
    ['mode', { mode: 0o1000 }],
  ])('refuses a %s out of range and makes no file', async (_, options) => {
    const endpoint = endpointAt('range.sock');

    await expect(listen(endpoint, options)).rejects.toThrow(RangeError);
    expect(existsSync(endpoint.path)).toBe(false);
  });
});

describe('connecting to a socket', () => {
  it.each(['missing', 'stale'])('fails with a code when the file is %s', async (state) => {
    const endpoint = endpointAt('nobody.sock');
    if (state === 'stale') await makeStaleSocket(endpoint.path);

    await expect(connect(endpoint)).rejects.toMatchObject({
      name: 'ChannelConnectError',
      code: 'nobody-listens',
      message: expect.stringContaining('start the listening side'),
      cause: { code: state === 'stale' ? 'ECONNREFUSED' : 'ENOENT' },
    });
    rmSync(endpoint.path, { force: true });
  });

  it.each(['before', 'during'])('can be aborted %s the attempt', async (when) => {
    const endpoint = endpointAt('abort.sock');
    const listener = await listen(endpoint);
    const controller = new AbortController();
    if (when === 'before') controller.abort('enough');

    const attempt = connect(endpoint, { signal: controller.signal });
    controller.abort('enough');

    await expect(attempt).rejects.toMatchObject({ code: 'aborted', cause: 'enough' });
    expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
    await listener.close();
  });

  it('leaves a connected channel alone when its signal is aborted later', async () => {
    const endpoint = endpointAt('later.sock');
    const listener = await listen(endpoint);
    const controller = new AbortController();
    const client = await connect(endpoint, { signal: controller.signal });

    expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
    controller.abort();

    expect(client.state).toBe('connected');
    client.close();
    await listener.close();
  });

  it('fails with a code when the time is up', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const endpoint = endpointAt('slow.sock');
    const listener = await listen(endpoint);

    const attempt = connect(endpoint, { timeoutMs: 250 });
    vi.advanceTimersByTime(250);

    await expect(attempt).rejects.toMatchObject({
      code: 'timeout',
      message: expect.stringContaining('250 ms'),
    });
    await listener.close();
  });

  it.each([0, -1, 1.5, 2_147_483_648])('refuses a timeout of %d ms', async (timeoutMs) => {
    await expect(connect(endpointAt('x.sock'), { timeoutMs })).rejects.toThrow(RangeError);
  });

  it('takes the buffer size of the option before that of the endpoint', async () => {
    const endpoint = endpointAt('sizes.sock', 8_192);
    const listener = await listen(endpoint);

    const client = await connect(endpoint, { bufferBytes: 16_384 });
    const server = await listener.accept();

    expect([client.readCapacityBytes, server.readCapacityBytes]).toEqual([16_384, 8_192]);
    await expect(connect(endpoint, { bufferBytes: 1 })).rejects.toThrow(RangeError);
    client.close();
    await listener.close();
  });
});
