/**
 * Channels as Qubes' libvchan-socket makes them (the stand-in for Xen's vchan in Qubes' own tests): either
 * end of one may be a program that links that library. After qubes-core-vchan-socket, vchan/init.c and
 * vchan/socket.c:
 *
 * - a Unix stream socket `$VCHAN_SOCKET_DIR/vchan.SERVER.CLIENT.PORT.sock` (directory `/var/run/vchan` if
 *   unset), the own domain from VCHAN_DOMAIN (0 if unset); only payload bytes, no framing, nothing said at
 *   the start;
 * - a server takes one client and then is done: the next takes another initialisation, which removes the old
 *   file;
 * - a client tries again as long as the file is missing or refuses;
 * - an end of file disconnects: whoever sees it drops what it has not sent yet. Closing first sends what was
 *   accepted.
 *
 * ```
 *   listening ──client──▶ occupied (no file, so that the next client waits) ──disconnected──▶ listening
 * ```
 * Where we differ: a file whose server lives is not taken from it, a path over 107 bytes is refused and not
 * cut, and our file goes away while a client is served, so that another one waits instead of being connected
 * to nobody.
 */
import { rmSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import net from 'node:net';
import { dirname, isAbsolute, join } from 'node:path';
import { AcceptQueue } from '../channel/accept-queue.ts';
import { abortedError, type Channel, ChannelConnectError, type Listener } from '../channel/channel.ts';
import {
  checkBufferBytes,
  checkSocketPath,
  checkVchanNumbers,
  EndpointError,
  EndpointInUseError,
  formatEndpoint,
  type VchanEndpoint,
} from '../channel/endpoint.ts';
import {
  bindSocket,
  type ConnectSocketOptions,
  checkTimeout,
  type ListenSocketOptions,
  openChannel,
  serverChannel,
} from './socket.ts';
import { checkSocketMode, identify, inUse, prepareDirectory, textOf } from './socket-file.ts';

// Fixed by libvchan-socket.

const DEFAULT_DIRECTORY = '/var/run/vchan';

// Fixed by Linux.

/** `__SO_ACCEPTCON` in the flags column of /proc/net/unix: the socket listens. */
const LISTENING_FLAG = 0x1_0000;

// Our choice.

/** The interval at which a client looks for its server. */
const RETRY_MS = 20;

/** The environment variables that the library reads. */
export interface VchanEnvironment {
  readonly VCHAN_DOMAIN?: string | undefined;
  readonly VCHAN_SOCKET_DIR?: string | undefined;
}

export interface ConnectVchanOptions extends ConnectSocketOptions {
  readonly environment: VchanEnvironment;
}

export interface ListenVchanOptions extends ListenSocketOptions {
  readonly environment: VchanEnvironment;
}

/**
 * Connects as the client of the domain `endpoint.domainId`, and waits for its server until the time is up.
 * @throws ChannelConnectError; EndpointError for the endpoint or the environment; RangeError for a bad
 *   option.
 */
export async function connectVchan(endpoint: VchanEndpoint, options: ConnectVchanOptions): Promise<Channel> {
  const path = vchanPath('client', endpoint, options.environment);
  checkTimeout(options.timeoutMs);
  const bufferBytes = checkBufferBytes(options.bufferBytes ?? endpoint.bufferBytes);
  const url = formatEndpoint(endpoint);
  const deadlineMs = performance.now() + options.timeoutMs;
  for (;;) {
    const leftMs = Math.max(1, Math.ceil(deadlineMs - performance.now()));
    try {
      return await openChannel(path, url, bufferBytes, leftMs, options.signal);
    } catch (error) {
      if (!(error instanceof ChannelConnectError) || error.code !== 'nobody-listens') throw error;
      if (performance.now() + RETRY_MS >= deadlineMs) throw error;
    }
    await pause(RETRY_MS, options.signal);
    if (options.signal?.aborted) throw abortedError(url, options.signal);
  }
}

/**
 * Listens as the server for the domain `endpoint.domainId`. Main thread only, as for any socket file.
 * @throws EndpointInUseError, EndpointError for the endpoint or the environment, RangeError for a bad option.
 */
export async function listenVchan(endpoint: VchanEndpoint, options: ListenVchanOptions): Promise<Listener> {
  const path = vchanPath('server', endpoint, options.environment);
  const bufferBytes = checkBufferBytes(options.bufferBytes ?? endpoint.bufferBytes);
  checkSocketMode(options.mode);
  const arrived = new AcceptQueue(formatEndpoint(endpoint), options.backlog);
  const listener = new VchanListener(endpoint, path, arrived, bufferBytes, options);
  await listener.initialise(options.createDirectory);
  return listener;
}

/**
 * The socket file that libvchan-socket uses between two domains.
 * @throws EndpointError if it cannot be one.
 */
export function vchanPath(
  role: 'server' | 'client',
  endpoint: VchanEndpoint,
  environment: VchanEnvironment,
): string {
  checkVchanNumbers(endpoint.domainId, endpoint.port);
  const ownText = environment.VCHAN_DOMAIN ?? '0';
  if (!/^[0-9]{1,10}$/.test(ownText)) {
    const message = `VCHAN_DOMAIN ${JSON.stringify(ownText)}: must be the decimal id of this domain`;
    throw new EndpointError('bad-environment', message);
  }
  const ownId = Number(ownText);
  checkVchanNumbers(ownId, endpoint.port);
  const directory = environment.VCHAN_SOCKET_DIR ?? DEFAULT_DIRECTORY;
  if (!isAbsolute(directory)) {
    const message = `VCHAN_SOCKET_DIR ${JSON.stringify(directory)}: must be an absolute path`;
    throw new EndpointError('bad-environment', message);
  }
  const [serverId, clientId] = role === 'server' ? [ownId, endpoint.domainId] : [endpoint.domainId, ownId];
  const path = join(directory, `vchan.${serverId}.${clientId}.${endpoint.port}.sock`);
  checkSocketPath(path);
  return path;
}

class VchanListener implements Listener {
  readonly endpoint: VchanEndpoint;
  readonly #path: string;
  readonly #arrived: AcceptQueue;
  readonly #bufferBytes: number;
  readonly #options: ListenVchanOptions;
  #server: net.Server | undefined;
  /** Resolves when the server before is closed. */
  #stopped: Promise<void> = Promise.resolve();
  /** A client is being served. */
  #occupied = false;
  /** Clients that connected at the same moment as the one that is served; their turn comes. */
  readonly #held: net.Socket[] = [];
  #closed = false;
  /** The number of channels made. */
  #connectionCount = 0;
  /** The number of sockets accepted. */
  #socketCount = 0;

  constructor(
    endpoint: VchanEndpoint,
    path: string,
    arrived: AcceptQueue,
    bufferBytes: number,
    options: ListenVchanOptions,
  ) {
    this.endpoint = endpoint;
    this.#path = path;
    this.#arrived = arrived;
    this.#bufferBytes = bufferBytes;
    this.#options = options;
  }

  /** Does the work of libvchan_server_init; again for each further client. */
  async initialise(createDirectory: boolean): Promise<void> {
    await this.#stopped;
    try {
      await prepareDirectory(dirname(this.#path), createDirectory);
      if ((await this.#bind()) === 'listening') return;
      await removeDeadFile(this.#path);
      if ((await this.#bind()) === 'exists') throw inUse(this.#path);
    } catch (cause) {
      if (cause instanceof EndpointError || cause instanceof EndpointInUseError) throw cause;
      const message = `cannot listen on ${formatEndpoint(this.endpoint)} (${this.#path}): ${textOf(cause)}`;
      throw new EndpointError('cannot-listen', message, { cause });
    }
  }

  accept(): Promise<Channel> {
    return this.#arrived.next();
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#stopListening();
    for (const socket of this.#held.splice(0)) socket.destroy();
    this.#arrived.close();
    return this.#stopped;
  }

  async #bind(): Promise<'listening' | 'exists'> {
    const server = net.createServer({ allowHalfOpen: false }, (socket) => this.#onConnection(socket));
    const bound = await bindSocket(server, this.#path, this.#options, this.#options.onError);
    if (bound === 'exists') return bound;
    this.#server = server;
    // Closed meanwhile: nothing else would remove the file.
    if (this.#closed) this.#stopListening();
    return bound;
  }

  /**
   * Removes the file at once, so that no further client connects, and closes the server once it has accepted
   * those who did: clients left in the kernel's queue would be connected to nobody.
   */
  #stopListening(): void {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    rmSync(this.#path, { force: true });
    this.#stopped = this.#closeWhenEmpty(server);
  }

  async #closeWhenEmpty(server: net.Server): Promise<void> {
    // The event loop accepts one connection a turn; the first turn may be the one that we are in.
    for (let quietTurns = 0, seenCount = -1; quietTurns < 2; quietTurns++) {
      await new Promise((resolve) => setImmediate(resolve));
      if (seenCount !== this.#socketCount) quietTurns = -1;
      seenCount = this.#socketCount;
    }
    // Removes the path once more, so that the next server must not be bound yet.
    server.close();
  }

  #onConnection(socket: net.Socket): void {
    this.#socketCount += 1;
    this.#stopListening();
    if (this.#closed) {
      socket.destroy();
      return;
    }
    if (!this.#occupied) {
      this.#serve(socket);
    } else if (this.#held.length < this.#options.backlog) {
      // Its end shows when it is served; an error must not end the process meanwhile.
      socket.on('error', () => undefined);
      this.#held.push(socket);
    } else {
      this.#turnAway(socket);
    }
  }

  #serve(socket: net.Socket): void {
    if (this.#arrived.full) {
      this.#turnAway(socket);
      this.#next();
      return;
    }
    this.#occupied = true;
    this.#connectionCount += 1;
    const name = `${formatEndpoint(this.endpoint)}#${this.#connectionCount}`;
    this.#arrived.add(
      serverChannel(socket, { name }, this.#bufferBytes, { onDisconnect: () => this.#next() }),
    );
  }

  #turnAway(socket: net.Socket): void {
    socket.destroy();
    const message = `a client of ${formatEndpoint(this.endpoint)} was turned away: too many unaccepted channels`;
    this.#options.onError(new ChannelConnectError('busy', message));
  }

  /** Serves a client that connected while the last one was arriving, else initialises again. */
  #next(): void {
    this.#occupied = false;
    if (this.#closed) return;
    for (let held = this.#held.shift(); held !== undefined; held = this.#held.shift()) {
      if (held.destroyed) continue;
      this.#serve(held);
      return;
    }
    this.initialise(false).catch((error: unknown) => {
      this.#options.onError(error instanceof Error ? error : new Error(String(error)));
      // Another process has the path now, or the directory is gone: callers that wait in accept() must learn
      // that.
      void this.close();
    });
  }
}

/**
 * Removes what an earlier server left, as the library does, but not from under a living one. That is looked
 * up and not tried out: a connection would be taken for the one client that a server of the library waits
 * for.
 */
async function removeDeadFile(path: string): Promise<void> {
  const seen = await identify(path);
  if (seen === undefined) return;
  if (!seen.isSocket) {
    throw new EndpointInUseError(
      'not-a-socket',
      `${path} exists and is not a socket: move it away or choose another path`,
    );
  }
  if (await hasListener(path)) throw inUse(path);
  await rm(path, { force: true });
}

/** Columns of /proc/net/unix: Num RefCount Protocol Flags Type St Inode Path. */
async function hasListener(path: string): Promise<boolean> {
  const table = await readFile('/proc/net/unix', 'utf8');
  return table.split('\n').some((line) => {
    const match = /^\S+ \S+ \S+ ([0-9A-Fa-f]{8}) \S+ \S+ +\d+ (.*)$/.exec(line);
    return match?.[2] === path && (Number.parseInt(match[1] ?? '0', 16) & LISTENING_FLAG) !== 0;
  });
}

function pause(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, delayMs);
    signal?.addEventListener('abort', done);
  });
}
