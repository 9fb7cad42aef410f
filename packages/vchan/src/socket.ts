/**
 * Channels over a Unix stream socket: the default between processes of one machine.
 *
 * ```
 *   write() ─copy─▶ WriteRing ─socket.write, one piece at a time─▶ kernel ─'data'─▶ ChunkQueue ─no copy─▶ read()
 *                   capacity        freed when the kernel has it              pauses the socket at capacity
 * ```
 * Beyond the two capacities a direction holds what the kernel's socket buffer takes (Linux: 212,992 bytes unless
 * configured) and `SOCKET_SLACK_BYTES`. A paused socket is not looked at: while our read buffer is full, the peer's
 * departure shows only at the next write. A write that finds the peer dead closes the socket, and with it what the
 * kernel still held for us; a peer that closes in an orderly way therefore goes on taking our bytes for a while.
 */
import { randomUUID } from 'node:crypto';
import { chmodSync } from 'node:fs';
import { link, lstat, mkdir, rename, stat, unlink } from 'node:fs/promises';
import net from 'node:net';
import { dirname } from 'node:path';
import {
  AcceptQueue,
  type Channel,
  ChannelConnectError,
  type ChannelConnectErrorCode,
  type ChannelRole,
  type ChannelState,
  ChunkQueue,
  channelClosed,
  checkMaxBytes,
  type Listener,
  type PeerIdentity,
  WakeUp,
  WriteRing,
} from './channel.ts';
import {
  checkBufferBytes,
  checkSocketPath,
  EndpointError,
  EndpointInUseError,
  formatEndpoint,
  type UnixEndpoint,
} from './endpoint.ts';

// Fixed by Node.

/**
 * What the receiving side may hold beyond its capacity: one read of up to 64 KiB that crossed it, and in the stream below
 * up to its high-water mark (at most 64 KiB) and one more read.
 */
export const SOCKET_SLACK_BYTES = 3 * 65_536;
/** The longest delay of a timer. */
const MAX_TIMEOUT_MS = 2_147_483_647;

// Our choice.

/** Pieces large enough that a system call costs little beside its copy, small enough to free space early. */
const MAX_PIECE_BYTES = 131_072;
/** How long a closed channel waits for its peer to take the rest and close too; a stuck peer costs no more. */
const LINGER_MS = 5_000;

export interface ConnectSocketOptions {
  readonly bufferBytes: number | undefined;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

export interface ListenSocketOptions {
  readonly bufferBytes: number | undefined;
  readonly backlog: number;
  readonly mode: number;
  readonly createDirectory: boolean;
  readonly onError: (error: Error) => void;
}

/**
 * Connects to a Unix socket.
 * @throws ChannelConnectError, EndpointError for the path, RangeError for a bad option.
 */
export async function connectSocket(endpoint: UnixEndpoint, options: ConnectSocketOptions): Promise<Channel> {
  checkSocketPath(endpoint.path);
  const { timeoutMs } = options;
  if (!Number.isInteger(timeoutMs) || timeoutMs < 1 || timeoutMs > MAX_TIMEOUT_MS) {
    throw new RangeError(`timeout of ${timeoutMs} ms: must be an integer from 1 to ${MAX_TIMEOUT_MS}`);
  }
  const bufferBytes = checkBufferBytes(options.bufferBytes ?? endpoint.bufferBytes);
  return openChannel(endpoint.path, formatEndpoint(endpoint), bufferBytes, timeoutMs, options.signal);
}

/**
 * Listens on a Unix socket. A socket file that nobody listens on is replaced. Main thread only: the file mode is set
 * through the process's umask. Seeing whether a file is stale takes a connection, which a live listener sees come and go.
 * @throws EndpointInUseError, EndpointError, RangeError for a bad option.
 */
export async function listenSocket(endpoint: UnixEndpoint, options: ListenSocketOptions): Promise<Listener> {
  const { path } = endpoint;
  checkSocketPath(path);
  const bufferBytes = checkBufferBytes(options.bufferBytes ?? endpoint.bufferBytes);
  if (!Number.isInteger(options.mode) || options.mode < 0 || options.mode > 0o777) {
    throw new RangeError(`socket mode ${options.mode}: must be an integer from 0 to 0o777`);
  }
  const url = formatEndpoint(endpoint);
  const listener = new SocketListener(
    endpoint,
    new AcceptQueue(url, options.backlog),
    bufferBytes,
    options.onError,
  );
  try {
    await prepareDirectory(dirname(path), options.createDirectory);
    if ((await listener.bind(options.mode)) === 'exists') {
      await removeStaleSocket(path);
      if ((await listener.bind(options.mode)) === 'exists') throw inUse(path);
    }
    return listener;
  } catch (cause) {
    if (cause instanceof EndpointError || cause instanceof EndpointInUseError) throw cause;
    throw new EndpointError('cannot_listen', `cannot listen on ${url}: ${textOf(cause)}`, { cause });
  }
}

class SocketChannel implements Channel {
  readonly role: ChannelRole;
  readonly peer: PeerIdentity;
  readonly readCapacityBytes: number;
  readonly writeCapacityBytes: number;
  readonly #socket: net.Socket;
  readonly #received = new ChunkQueue();
  readonly #unsent: WriteRing;
  readonly #readable = new WakeUp();
  readonly #writable = new WakeUp();
  #closeReason: string | undefined;
  /** We closed first: received bytes are dropped, unsent ones still go out. */
  #closedHere = false;
  /** A piece of `#unsent` is with the socket, which must not be given another before it reports. */
  #sending = false;
  #lingerTimer: NodeJS.Timeout | undefined;

  /** Takes over a connected socket that has no listeners yet, in the turn in which it was connected. */
  constructor(role: ChannelRole, peer: PeerIdentity, socket: net.Socket, bufferBytes: number) {
    this.role = role;
    this.peer = peer;
    this.readCapacityBytes = bufferBytes;
    this.writeCapacityBytes = bufferBytes;
    this.#unsent = new WriteRing(bufferBytes);
    this.#socket = socket;
    socket.on('data', (chunk) => this.#onData(chunk));
    socket.on('error', (error) => this.#onGone(error.message));
    socket.on('close', () => this.#onGone('closed by the peer'));
    socket.on('end', () => {
      this.#onGone('closed by the peer');
      // A peer that sends no more does not read either: there is no half-close.
      socket.destroy();
    });
  }

  get state(): ChannelState {
    return this.#closeReason === undefined ? 'connected' : 'disconnected';
  }

  get closeReason(): string | undefined {
    return this.#closeReason;
  }

  dataReady(): number {
    return Math.min(this.#received.byteCount, this.readCapacityBytes);
  }

  bufferSpace(): number {
    return this.#closeReason === undefined ? this.#unsent.spaceBytes : 0;
  }

  read(maxBytes: number): Uint8Array {
    checkMaxBytes(maxBytes);
    const bytes = this.#received.take(Math.min(maxBytes, this.readCapacityBytes));
    if (this.#socket.isPaused() && this.#received.byteCount < this.readCapacityBytes) this.#socket.resume();
    return bytes;
  }

  write(bytes: Uint8Array): number {
    if (this.#closeReason !== undefined) throw channelClosed(this.peer, this.#closeReason);
    const taken = this.#unsent.append(bytes);
    if (!this.#sending) this.#send();
    return taken;
  }

  waitReadable(): Promise<void> {
    if (this.#received.byteCount > 0 || this.#closeReason !== undefined) return Promise.resolve();
    return this.#readable.wait();
  }

  waitWritable(): Promise<void> {
    if (this.#unsent.spaceBytes > 0 || this.#closeReason !== undefined) return Promise.resolve();
    return this.#writable.wait();
  }

  close(): void {
    this.#received.clear();
    if (this.#closeReason !== undefined) return;
    this.#closedHere = true;
    this.#closeReason = 'closed here';
    this.#readable.wake();
    this.#writable.wake();
    // The peer must not die of a broken pipe before it has read our last bytes, so its own go to nowhere meanwhile.
    this.#socket.resume();
    this.#lingerTimer = setTimeout(() => this.#socket.destroy(), LINGER_MS);
    if (!this.#sending) this.#send();
  }

  #onData(chunk: Buffer): void {
    if (this.#closedHere) return;
    // The stream makes a fresh buffer for each read and lets go of it; a plain view hides Buffer's own slice().
    this.#received.appendOwned(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    if (this.#received.byteCount >= this.readCapacityBytes) this.#socket.pause();
    this.#readable.wake();
  }

  #onGone(reason: string): void {
    clearTimeout(this.#lingerTimer);
    this.#unsent.clear();
    if (this.#closeReason !== undefined) return;
    this.#closeReason = reason;
    this.#readable.wake();
    this.#writable.wake();
  }

  #send(): void {
    const piece = this.#unsent.peek(MAX_PIECE_BYTES);
    if (piece.length === 0) {
      if (this.#closedHere) this.#socket.end();
      return;
    }
    this.#sending = true;
    this.#socket.write(piece, (error) => {
      this.#sending = false;
      // On an error the socket reports 'error' or 'close' as well, and #onGone cleans up.
      if (error || this.#unsent.pendingBytes === 0) return;
      this.#unsent.consume(piece.length);
      this.#send();
      this.#writable.wake();
    });
  }
}

class SocketListener implements Listener {
  readonly endpoint: UnixEndpoint;
  readonly #arrived: AcceptQueue;
  readonly #bufferBytes: number;
  readonly #onError: (error: Error) => void;
  readonly #server: net.Server;
  #connectionCount = 0;

  constructor(
    endpoint: UnixEndpoint,
    arrived: AcceptQueue,
    bufferBytes: number,
    onError: (error: Error) => void,
  ) {
    this.endpoint = endpoint;
    this.#arrived = arrived;
    this.#bufferBytes = bufferBytes;
    this.#onError = onError;
    this.#server = net.createServer({ allowHalfOpen: false }, (socket) => this.#onConnection(socket));
  }

  /** Binds the path and listens; `exists` if there is a file already. */
  bind(mode: number): Promise<'listening' | 'exists'> {
    const server = this.#server;
    return new Promise((resolve, reject) => {
      const onBindError = (error: Error): void => {
        server.off('listening', onListening);
        if (errorCodeOf(error) === 'EADDRINUSE') resolve('exists');
        else reject(error);
      };
      const onListening = (): void => {
        server.off('error', onBindError);
        // Such as no file descriptor for one more connection: the listener itself goes on.
        server.on('error', this.#onError);
        resolve('listening');
      };
      server.once('error', onBindError);
      server.once('listening', onListening);
      // bind(2) happens inside listen(). The file is born without permissions and then gets its own, so that at no
      // moment it is open to more than `mode` says; a file that another thread makes meanwhile is only narrower.
      const umask = process.umask(0o777);
      try {
        server.listen({ path: this.endpoint.path, exclusive: true });
      } finally {
        process.umask(umask);
      }
      if (!server.listening) return;
      try {
        chmodSync(this.endpoint.path, mode);
      } catch (error) {
        server.close();
        reject(error);
      }
    });
  }

  accept(): Promise<Channel> {
    return this.#arrived.next();
  }

  close(): Promise<void> {
    // Closing the server removes the file at once; its 'close' event would wait for the accepted channels.
    if (this.#server.listening) this.#server.close();
    this.#arrived.close();
    return Promise.resolve();
  }

  #onConnection(socket: net.Socket): void {
    const url = formatEndpoint(this.endpoint);
    this.#connectionCount += 1;
    const name = `${url}#${this.#connectionCount}`;
    if (this.#arrived.full) {
      socket.destroy();
      this.#onError(new ChannelConnectError('busy', `${name} was turned away: too many unaccepted channels`));
      return;
    }
    this.#arrived.add(new SocketChannel('server', { name }, socket, this.#bufferBytes));
  }
}

function openChannel(
  path: string,
  url: string,
  bufferBytes: number,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<Channel> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(abortedError(url, signal));
      return;
    }
    const socket = net.connect({ path, allowHalfOpen: false });
    const settle = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      socket.off('connect', onConnect);
      socket.off('error', onError);
    };
    const fail = (error: ChannelConnectError): void => {
      settle();
      // Nobody is interested in what the socket still has to say, but an unheard 'error' would end the process.
      socket.on('error', () => undefined);
      socket.destroy();
      reject(error);
    };
    const onError = (error: Error): void => fail(connectError(url, error));
    const onAbort = (): void => fail(abortedError(url, signal));
    const onConnect = (): void => {
      settle();
      resolve(new SocketChannel('client', { name: url }, socket, bufferBytes));
    };
    const timer = setTimeout(() => {
      const message = `no connection to ${url} within ${timeoutMs} ms: is its listener stuck?`;
      fail(new ChannelConnectError('timeout', message));
    }, timeoutMs);
    signal?.addEventListener('abort', onAbort);
    socket.on('connect', onConnect);
    socket.on('error', onError);
  });
}

function abortedError(url: string, signal: AbortSignal | undefined): ChannelConnectError {
  return new ChannelConnectError('aborted', `connecting to ${url} was aborted`, { cause: signal?.reason });
}

function connectError(url: string, cause: Error): ChannelConnectError {
  const fail = (code: ChannelConnectErrorCode, text: string): ChannelConnectError =>
    new ChannelConnectError(code, text, { cause });
  switch (errorCodeOf(cause)) {
    case 'ENOENT':
    case 'ECONNREFUSED':
      return fail('nobody_listens', `nobody listens on ${url}: start the listening side, or check the path`);
    case 'EACCES':
    case 'EPERM':
      return fail(
        'no_permission',
        `no permission to connect to ${url}: check owner and mode of file and directories`,
      );
    case 'EAGAIN':
      return fail('busy', `${url} has a full backlog: try again later`);
    default:
      return fail('connect_failed', `cannot connect to ${url}: ${cause.message}`);
  }
}

async function prepareDirectory(directory: string, create: boolean): Promise<void> {
  if (create) {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    return;
  }
  // Asked here because bind(2)'s own answer reaches us as EACCES (libuv), which misleads.
  const found = await stat(directory).catch((error: unknown) => {
    if (errorCodeOf(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (found?.isDirectory()) return;
  const message = `socket directory ${JSON.stringify(directory)} does not exist: create it, or listen with createDirectory`;
  throw new EndpointError('no_directory', message);
}

/**
 * Removes a socket file that nobody listens on. Between seeing that it is stale and removing it, another process may have
 * done both and put its own there; so the file is moved aside, recognised, and only then removed, or put back.
 */
async function removeStaleSocket(path: string): Promise<void> {
  const seen = await identify(path);
  if (seen === undefined) return;
  if (!seen.isSocket) {
    const message = `${path} exists and is not a socket: move it away or choose another path`;
    throw new EndpointInUseError('not_a_socket', message);
  }
  const state = await probe(path);
  if (state === 'gone') return;
  if (state === 'live') throw inUse(path);
  const aside = `${path}.stale-${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if (errorCodeOf(error) === 'ENOENT') return;
    throw error;
  }
  const moved = await identify(aside);
  if (moved?.identity !== seen.identity) {
    await link(aside, path);
    await unlink(aside);
    throw inUse(path);
  }
  await unlink(aside);
}

interface FileIdentity {
  readonly isSocket: boolean;
  /** Equal for the same file; the time tells a new file from an old one whose inode number it inherited. */
  readonly identity: string;
}

async function identify(path: string): Promise<FileIdentity | undefined> {
  try {
    const found = await lstat(path, { bigint: true });
    return { isSocket: found.isSocket(), identity: `${found.dev}:${found.ino}:${found.mtimeNs}` };
  } catch (error) {
    if (errorCodeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Whether somebody listens on a socket file. Whoever refuses us for another reason than absence counts as live. */
function probe(path: string): Promise<'live' | 'stale' | 'gone'> {
  return new Promise((resolve) => {
    const socket = net.connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve('live');
    });
    socket.once('error', (error) => {
      const code = errorCodeOf(error);
      resolve(code === 'ECONNREFUSED' ? 'stale' : code === 'ENOENT' ? 'gone' : 'live');
    });
  });
}

function inUse(path: string): EndpointInUseError {
  const message = `${path} already has a listener: stop that process or choose another path`;
  return new EndpointInUseError('in_use', message);
}

function errorCodeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
