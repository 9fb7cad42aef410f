import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { turns } from '../../../test/kit/turns.ts';
import type { Channel, Listener } from '../src/channel/channel.ts';
import type { VchanEndpoint } from '../src/channel/endpoint.ts';
import { SOCKET_SLACK_BYTES } from '../src/stream/channel.ts';
import { connectVchan, listenVchan, vchanPath } from '../src/stream/vchan-socket.ts';
import { BLOCK, startPeer } from './child.ts';
import { describeChannel } from './conformance.ts';
import { drain, receive, repeats, sameBytes, seededBytes, sendAll, until } from './streams.ts';

/**
 * What a Linux kernel takes into one Unix socket: net.core.wmem_default, 212,992 unless configured, with room
 * to spare.
 */
const KERNEL_BYTES = 524_288;
const SERVER_DOMAIN = 1;
const CLIENT_DOMAIN = 2;
const PORT = 42;
/** Needed for the tests against Qubes' library only. */
const COMPILER = 'cc';
const PACKAGE_CONFIG = 'pkg-config';

let directory = '';
let handlesBefore = 0;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vchan-'));
  handlesBefore = handles();
});

afterEach(async () => {
  await assertCleanedUp();
  rmSync(directory, { recursive: true });
});

function handles(): number {
  return process.getActiveResourcesInfo().filter((kind) => /^(Pipe|PipeServer|Process)Wrap$/.test(kind))
    .length;
}

async function assertCleanedUp(): Promise<void> {
  await until(() => handles() <= handlesBefore);
  expect(readdirSync(directory).filter((name) => name.endsWith('.sock'))).toEqual([]);
}

const toClient: VchanEndpoint = { kind: 'vchan', domainId: CLIENT_DOMAIN, port: PORT };
const toServer: VchanEndpoint = { kind: 'vchan', domainId: SERVER_DOMAIN, port: PORT };
const environmentOf = (domainId: number) => ({ VCHAN_DOMAIN: `${domainId}`, VCHAN_SOCKET_DIR: directory });
const socketPath = (): string => join(directory, `vchan.${SERVER_DOMAIN}.${CLIENT_DOMAIN}.${PORT}.sock`);

function serve(bufferBytes?: number, onError: (error: Error) => void = () => undefined): Promise<Listener> {
  return listenVchan(toClient, {
    bufferBytes,
    backlog: 4,
    mode: 0o600,
    createDirectory: false,
    onError,
    environment: environmentOf(SERVER_DOMAIN),
  });
}

function dial(bufferBytes?: number, timeoutMs = 50_000, signal?: AbortSignal): Promise<Channel> {
  return connectVchan(toServer, {
    bufferBytes,
    timeoutMs,
    signal,
    environment: environmentOf(CLIENT_DOMAIN),
  });
}

describeChannel('vchan-socket', async (bufferBytes) => {
  const listener = await serve(bufferBytes);
  const [server, client] = await Promise.all([listener.accept(), dial(bufferBytes)]);
  return {
    server,
    client,
    acceptedBytes: { min: 2 * bufferBytes, max: 2 * bufferBytes + SOCKET_SLACK_BYTES + KERNEL_BYTES },
    assertCleanedUp: async () => {
      await listener.close();
      server.close();
      client.close();
      await assertCleanedUp();
    },
  };
});

describe('the socket file of a vchan', () => {
  it.each([
    ['server', {}, '/var/run/vchan/vchan.0.3.42.sock'],
    ['client', {}, '/var/run/vchan/vchan.3.0.42.sock'],
    ['server', { VCHAN_DOMAIN: '7', VCHAN_SOCKET_DIR: '/tmp/v' }, '/tmp/v/vchan.7.3.42.sock'],
    ['client', { VCHAN_DOMAIN: '7', VCHAN_SOCKET_DIR: '/tmp/v/' }, '/tmp/v/vchan.3.7.42.sock'],
  ] as const)('of the %s in %o is %s', (role, environment, path) => {
    expect(vchanPath(role, { kind: 'vchan', domainId: 3, port: 42 }, environment)).toBe(path);
  });

  it('has a path of at most 107 bytes', () => {
    const name = '/vchan.0.3.42.sock';
    const longest = `/${'d'.repeat(107 - name.length - 1)}`;
    const endpoint: VchanEndpoint = { kind: 'vchan', domainId: 3, port: 42 };

    expect(vchanPath('server', endpoint, { VCHAN_SOCKET_DIR: longest })).toHaveLength(107);
    expect(() => vchanPath('server', endpoint, { VCHAN_SOCKET_DIR: `${longest}d` })).toThrow(
      expect.objectContaining({ name: 'EndpointError', code: 'path-too-long' }),
    );
  });

  it.each([
    [{ VCHAN_DOMAIN: '' }, 'VCHAN_DOMAIN ""'],
    [{ VCHAN_DOMAIN: 'dom0' }, 'VCHAN_DOMAIN "dom0"'],
    [{ VCHAN_DOMAIN: '-1' }, 'VCHAN_DOMAIN "-1"'],
    [{ VCHAN_SOCKET_DIR: 'here' }, 'must be an absolute path'],
  ])('is refused for the environment %o', (environment, message) => {
    expect(() => vchanPath('client', toServer, environment)).toThrow(
      expect.objectContaining({
        name: 'EndpointError',
        code: 'bad-environment',
        message: expect.stringContaining(message),
      }),
    );
  });

  it('left behind by a dead server is replaced', async () => {
    const server = net.createServer().listen(`${socketPath()}.live`);
    await once(server, 'listening');
    execFileSync('ln', [`${socketPath()}.live`, socketPath()]);
    server.close();
    await once(server, 'close');
    expect(existsSync(socketPath())).toBe(true);

    const listener = await serve();

    const [accepted, client] = await Promise.all([listener.accept(), dial()]);
    client.close();
    accepted.close();
    await listener.close();
  });

  it('of a living server is not taken from it, nor its client', async () => {
    const server = net.createServer().listen(socketPath());
    await once(server, 'listening');
    let connectionCount = 0;
    server.on('connection', () => {
      connectionCount += 1;
    });

    await expect(serve()).rejects.toMatchObject({ name: 'EndpointInUseError', code: 'in-use' });

    expect(connectionCount).toBe(0);
    server.close();
    await once(server, 'close');
  });

  it('is not another kind of file', async () => {
    writeFileSync(socketPath(), 'keep me');

    await expect(serve()).rejects.toMatchObject({ name: 'EndpointInUseError', code: 'not-a-socket' });

    rmSync(socketPath());
  });
});

describe('a vchan server', () => {
  it('serves one client after the other, and the next one waits', async () => {
    const listener = await serve();
    const first = await dial();
    const firstServer = await listener.accept();
    let secondConnected = false;
    const second = dial().then((channel) => {
      secondConnected = true;
      return channel;
    });
    await sendAll(first, seededBytes(1, 100_000));
    await receive(firstServer, 100_000);
    expect(secondConnected).toBe(false);
    expect(existsSync(socketPath())).toBe(false);

    first.close();
    const [secondClient, secondServer] = await Promise.all([second, listener.accept()]);

    expect([firstServer.state, secondServer.state]).toEqual(['disconnected', 'connected']);
    expect([firstServer.peer.name, secondServer.peer.name]).toEqual(['vchan:2:42#1', 'vchan:2:42#2']);
    await listener.close();
    secondClient.close();
    secondServer.close();
  });

  it('closes and says so when it cannot initialise again', async () => {
    const errors: Error[] = [];
    const listener = await serve(undefined, (error) => errors.push(error));
    const [server, client] = await Promise.all([listener.accept(), dial()]);
    await turns(10);
    writeFileSync(socketPath(), 'in the way');
    const waiting = expect(listener.accept()).rejects.toMatchObject({ code: 'listener-closed' });

    client.close();
    await waiting;

    expect(errors).toMatchObject([{ name: 'EndpointInUseError', code: 'not-a-socket' }]);
    server.close();
    rmSync(socketPath());
  });

  it('takes the end of the peer’s half for the end of both', async () => {
    const listener = await serve();
    const raw = net.connect({ path: socketPath(), allowHalfOpen: true });
    const server = await listener.accept();
    await listener.close();
    raw.end(seededBytes(2, 10_000));

    expect(await receive(server, 10_001)).toHaveLength(10_000);

    expect(server.state).toBe('disconnected');
    raw.resume();
    await once(raw, 'close');
  });
});

describe('a vchan client', () => {
  it('waits for its server', async () => {
    const client = dial();
    await turns(20); // it has looked, and found nobody

    const listener = await serve();

    const channel = await client;
    (await listener.accept()).close();
    channel.close();
    await listener.close();
  });

  it('gives up when the time is up, or when told to', async () => {
    await expect(dial(undefined, 60)).rejects.toMatchObject({ code: 'nobody-listens' });
    const abort = new AbortController();
    const attempt = expect(dial(undefined, 50_000, abort.signal)).rejects.toMatchObject({ code: 'aborted' });
    await turns(20);
    abort.abort();
    await attempt;
  });

  it('killed in the middle of a stream leaves a beginning of it, and room for the next client', async () => {
    const listener = await serve();
    const peer = startPeer(directory, ['connect', 'vchan:1:42', 'flood'], environmentOf(CLIENT_DOMAIN));
    const server = await listener.accept();
    const before = await receive(server, 64 * BLOCK.length);

    await peer.kill();
    const after = await receive(server, 1_000 * BLOCK.length);

    expect(repeats(before, BLOCK)).toBe(true);
    expect(repeats(after, BLOCK)).toBe(true);
    expect(server.state).toBe('disconnected');
    const next = await dial();
    expect((await listener.accept()).state).toBe('connected');
    next.close();
    await listener.close();
  });
});

/**
 * Qubes' own library, if this machine has it: installed (pkg-config vchan-socket), or as sources in the
 * folder that RULECAST_VCHAN_SOCKET_SRC names. It is under the GPL and no part of this project.
 */
function findLibrary(): { readonly flags: readonly string[] } | { readonly missing: string } {
  if (spawnSync(COMPILER, ['--version']).status !== 0) return { missing: 'there is no C compiler' };
  const folder = process.env['RULECAST_VCHAN_SOCKET_SRC'];
  if (folder !== undefined) {
    const sources = ['init.c', 'io.c', 'ring.c', 'socket.c'].map((name) => join(folder, name));
    return { flags: [...sources, `-I${folder}`, '-pthread'] };
  }
  const installed = spawnSync(PACKAGE_CONFIG, ['--cflags', '--libs', 'vchan-socket'], { encoding: 'utf8' });
  if (installed.status === 0) return { flags: installed.stdout.trim().split(/\s+/) };
  return { missing: 'no vchan-socket in pkg-config and no sources in RULECAST_VCHAN_SOCKET_SRC' };
}

const library = findLibrary();
if ('missing' in library) console.info(`Qubes' libvchan-socket is not tested against: ${library.missing}`);

/**
 * Asks before it reads and writes: a call that finds the channel disconnected returns with the library's
 * mutex held, on which libvchan_close then waits for ever. Sends back what it receives, `limit` bytes in all
 * (0: until the end), then closes. Says `up` when it is connected.
 */
const ECHO_PROGRAM = `
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <libvchan.h>

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    int domain = atoi(argv[2]), port = atoi(argv[3]);
    long limit = atol(argv[4]), done = 0;
    int server = !strcmp(argv[1], "server");
    libvchan_t *ctrl = server ? libvchan_server_init(domain, port, 4096, 4096) : libvchan_client_init(domain, port);
    if (!ctrl) return 3;
    while (libvchan_is_open(ctrl) == VCHAN_WAITING) libvchan_wait(ctrl);
    printf("up\\n");
    fflush(stdout);
    static char buffer[3000];
    while (limit == 0 || done < limit) {
        while (!libvchan_data_ready(ctrl) && libvchan_is_open(ctrl)) libvchan_wait(ctrl);
        if (!libvchan_data_ready(ctrl)) break;
        int got = libvchan_read(ctrl, buffer, sizeof buffer);
        if (got <= 0) return 4;
        for (int sent = 0; sent < got;) {
            while (!libvchan_buffer_space(ctrl) && libvchan_is_open(ctrl)) libvchan_wait(ctrl);
            if (!libvchan_is_open(ctrl)) break;
            int taken = libvchan_write(ctrl, buffer + sent, got - sent);
            if (taken <= 0) return 5;
            sent += taken;
        }
        done += got;
    }
    libvchan_close(ctrl);
    printf("%ld\\n", done);
    return 0;
}
`;

describe.skipIf('missing' in library)('Qubes’ own libvchan-socket', () => {
  let built = '';

  beforeAll(() => {
    built = mkdtempSync(join(tmpdir(), 'vchan-c-'));
    writeFileSync(join(built, 'echo.c'), ECHO_PROGRAM);
    const flags = 'flags' in library ? library.flags : [];
    // -O2 as in the library's own Makefile: without it, its inline functions are missing.
    execFileSync(COMPILER, ['-O2', '-o', join(built, 'echo'), join(built, 'echo.c'), ...flags]);
  });

  afterAll(() => rmSync(built, { recursive: true }));

  function startEcho(role: 'server' | 'client', limit: number) {
    const [own, remote] = role === 'server' ? [SERVER_DOMAIN, CLIENT_DOMAIN] : [CLIENT_DOMAIN, SERVER_DOMAIN];
    const child = spawn(join(built, 'echo'), [role, `${remote}`, `${PORT}`, `${limit}`], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...environmentOf(own) },
    });
    let text = '';
    child.stdout.on('data', (piece) => {
      text += piece;
    });
    const exited = once(child, 'close').then(() => [child.exitCode, text]);
    return { child, exited };
  }

  /** What an exchange with the library should look like from our end, as either role. */
  async function exchange(channel: Channel, byteCount: number): Promise<void> {
    const bytes = seededBytes(byteCount, byteCount);
    const [, received] = await Promise.all([sendAll(channel, bytes), receive(channel, byteCount)]);
    expect(sameBytes(received, bytes)).toBe(true);
  }

  it.each([1, 4_095, 4_096, 4_097, 1_000_000])(
    'as server echoes %d bytes to our client',
    async (byteCount) => {
      const { exited } = startEcho('server', 0);
      const client = await dial();

      await exchange(client, byteCount);
      client.close();

      expect(await exited).toEqual([0, `up\n${byteCount}\n`]);
      rmSync(socketPath());
    },
  );

  it.each([1, 4_095, 4_096, 4_097, 1_000_000])(
    'as client echoes %d bytes to our server',
    async (byteCount) => {
      const listener = await serve();
      const { exited } = startEcho('client', 0);
      const server = await listener.accept();

      await exchange(server, byteCount);
      await listener.close();
      server.close();

      expect(await exited).toEqual([0, `up\n${byteCount}\n`]);
    },
  );

  it('as client waits for our server, which then serves another', async () => {
    const first = startEcho('client', 10_000);
    const second = startEcho('client', 10_000);
    const listener = await serve();

    for (let i = 0; i < 2; i++) {
      const server = await listener.accept();
      await exchange(server, 10_000);
      expect(await drain(server)).toBe(0);
      expect(server.closeReason).toBe('closed by the peer');
    }

    expect(await Promise.all([first.exited, second.exited])).toEqual([
      [0, 'up\n10000\n'],
      [0, 'up\n10000\n'],
    ]);
    await listener.close();
  });

  it.each(['server', 'client'] as const)('as %s sends the rest before it closes', async (role) => {
    const listener = role === 'client' ? await serve() : undefined;
    const { exited } = startEcho(role, 4_000);
    const channel = listener === undefined ? await dial() : await listener.accept();
    await listener?.close();
    await sendAll(channel, seededBytes(3, 4_000));

    expect(sameBytes(await receive(channel, 4_001), seededBytes(3, 4_000))).toBe(true);

    expect(channel.state).toBe('disconnected');
    expect(await exited).toEqual([0, 'up\n4000\n']);
    rmSync(socketPath(), { force: true });
  });

  it.each(['server', 'client'] as const)('as %s killed leaves us disconnected', async (role) => {
    const listener = role === 'client' ? await serve() : undefined;
    const { child, exited } = startEcho(role, 0);
    const channel = listener === undefined ? await dial() : await listener.accept();
    await listener?.close();
    await exchange(channel, 10_000);

    child.kill('SIGKILL');
    await exited;

    expect(await drain(channel)).toBe(0);
    expect(channel.state).toBe('disconnected');
    rmSync(socketPath(), { force: true });
  });
});
