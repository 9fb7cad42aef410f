/**
 * Channels over a Unix stream socket: the default between processes of one machine. Connecting, and the care that a socket
 * file needs; the channel itself is a `StreamChannel`.
 */
import { randomUUID } from 'node:crypto';
import { chmodSync, lchownSync, type Stats } from 'node:fs';
import { link, lstat, mkdir, rename, stat, unlink } from 'node:fs/promises';
import net from 'node:net';
import { dirname } from 'node:path';
import {
  AcceptQueue,
  type Channel,
  ChannelConnectError,
  type ChannelConnectErrorCode,
  type Listener,
  type PeerIdentity,
} from '../channel/channel.ts';
import {
  checkBufferBytes,
  checkSocketPath,
  EndpointError,
  EndpointInUseError,
  formatEndpoint,
  type UnixEndpoint,
} from '../channel/endpoint.ts';
import { StreamChannel, type StreamHooks } from './channel.ts';

// Fixed by Node.

/** The longest delay of a timer. */
const MAX_TIMEOUT_MS = 2_147_483_647;

export interface ConnectSocketOptions {
  readonly bufferBytes: number | undefined;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

export interface ListenSocketOptions {
  readonly bufferBytes: number | undefined;
  readonly backlog: number;
  readonly mode: number;
  /** Id of the group that the file is given to; the process's own if absent. */
  readonly group?: number | undefined;
  readonly createDirectory: boolean;
  readonly onError: (error: Error) => void;
}

/**
 * Connects to a Unix socket.
 * @throws ChannelConnectError, EndpointError for the path, RangeError for a bad option.
 */
export async function connectSocket(endpoint: UnixEndpoint, options: ConnectSocketOptions): Promise<Channel> {
  checkSocketPath(endpoint.path);
  checkTimeout(options.timeoutMs);
  const bufferBytes = checkBufferBytes(options.bufferBytes ?? endpoint.bufferBytes);
  return openChannel(endpoint.path, formatEndpoint(endpoint), bufferBytes, options.timeoutMs, options.signal);
}

/** @throws RangeError if no timer takes `timeoutMs`. */
export function checkTimeout(timeoutMs: number): void {
  if (!Number.isInteger(timeoutMs) || timeoutMs < 1 || timeoutMs > MAX_TIMEOUT_MS) {
    throw new RangeError(`timeout of ${timeoutMs} ms: must be an integer from 1 to ${MAX_TIMEOUT_MS}`);
  }
}

/** @throws RangeError if `mode` is no permission bits. */
export function checkSocketMode(mode: number): void {
  if (!Number.isInteger(mode) || mode < 0 || mode > 0o777) {
    throw new RangeError(`socket mode ${mode}: must be an integer from 0 to 0o777`);
  }
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
  checkSocketMode(options.mode);
  const url = formatEndpoint(endpoint);
  const listener = new SocketListener(
    endpoint,
    new AcceptQueue(url, options.backlog),
    bufferBytes,
    options.onError,
  );
  await takePath(path, url, options.createDirectory, () => listener.bind(options));
  return listener;
}

/**
 * Binds a server to a path, of which a socket file that nobody listens on is removed.
 * @throws EndpointError, EndpointInUseError
 */
export async function takePath(
  path: string,
  url: string,
  createDirectory: boolean,
  bind: () => Promise<'listening' | 'exists'>,
): Promise<void> {
  try {
    await prepareDirectory(dirname(path), createDirectory);
    if ((await bind()) === 'listening') return;
    await removeStaleSocket(path);
    if ((await bind()) === 'exists') throw inUse(path);
  } catch (cause) {
    if (cause instanceof EndpointError || cause instanceof EndpointInUseError) throw cause;
    throw new EndpointError('cannot_listen', `cannot listen on ${url}: ${textOf(cause)}`, { cause });
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

  bind(access: SocketAccess): Promise<'listening' | 'exists'> {
    return bindSocket(this.#server, this.endpoint.path, access, this.#onError);
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
    this.#arrived.add(serverChannel(socket, { name }, this.#bufferBytes));
  }
}

/** The server end of a connection, in the turn in which it arrived. */
export function serverChannel(
  socket: net.Socket,
  peer: PeerIdentity,
  bufferBytes: number,
  hooks: StreamHooks = {},
): Channel {
  return new StreamChannel('server', peer, { input: socket, output: socket }, bufferBytes, hooks);
}

/** Who may connect to a socket file. */
export type SocketAccess = Pick<ListenSocketOptions, 'mode' | 'group'>;

/**
 * Binds a server to a socket file and listens; `exists` if there is a file already. Main thread only: the file mode is set
 * through the process's umask.
 */
export function bindSocket(
  server: net.Server,
  path: string,
  { mode, group }: SocketAccess,
  onError: (error: Error) => void,
): Promise<'listening' | 'exists'> {
  return new Promise((resolve, reject) => {
    const onBindError = (error: Error): void => {
      server.off('listening', onListening);
      if (errorCodeOf(error) === 'EADDRINUSE') resolve('exists');
      else reject(error);
    };
    const onListening = (): void => {
      server.off('error', onBindError);
      // Such as no file descriptor for one more connection: the listener itself goes on.
      server.on('error', onError);
      resolve('listening');
    };
    server.once('error', onBindError);
    server.once('listening', onListening);
    // bind(2) happens inside listen(). The file is born without permissions, gets its group and then its own mode, so that at
    // no moment it is open to more than these say; a file that another thread makes meanwhile is only narrower.
    const umask = process.umask(0o777);
    try {
      server.listen({ path, exclusive: true });
    } finally {
      process.umask(umask);
    }
    if (!server.listening) return;
    try {
      if (group !== undefined) lchownSync(path, process.geteuid?.() ?? 0, group);
      chmodSync(path, mode);
    } catch (error) {
      server.close();
      reject(error);
    }
  });
}

/** Connects to a socket file; `url` is what errors and the channel call it. */
export function openChannel(
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
      resolve(new StreamChannel('client', { name: url }, { input: socket, output: socket }, bufferBytes));
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

export function abortedError(url: string, signal: AbortSignal | undefined): ChannelConnectError {
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

export async function prepareDirectory(directory: string, create: boolean): Promise<void> {
  if (create) return makeDirectory(directory);
  // Asked here because bind(2)'s own answer reaches us as EACCES (libuv), which misleads.
  if ((await statOf(directory))?.isDirectory()) return;
  const message = `socket directory ${JSON.stringify(directory)} does not exist: create it, or listen with createDirectory`;
  throw new EndpointError('no_directory', message);
}

/** Not by Node's recursive mkdir: that goes round for ever where a directory takes no new ones, as /proc does. */
async function makeDirectory(directory: string): Promise<void> {
  const missing: string[] = [];
  for (let at = directory; (await statOf(at)) === undefined; at = dirname(at)) missing.push(at);
  for (const at of missing.reverse()) {
    await mkdir(at, { mode: 0o700 }).catch((error: unknown) => {
      if (errorCodeOf(error) !== 'EEXIST') throw error; // somebody else was faster
    });
  }
}

async function statOf(path: string): Promise<Stats | undefined> {
  return stat(path).catch((error: unknown) => {
    if (errorCodeOf(error) === 'ENOENT') return undefined;
    throw error;
  });
}

/**
 * Removes a socket file that nobody listens on. Between seeing that it is stale and removing it, another process may have
 * done both and put its own there; so the file is moved aside, recognised, and only then removed, or put back.
 */
export async function removeStaleSocket(path: string): Promise<void> {
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

export interface FileIdentity {
  readonly isSocket: boolean;
  /** Equal for the same file; the time tells a new file from an old one whose inode number it inherited. */
  readonly identity: string;
}

export async function identify(path: string): Promise<FileIdentity | undefined> {
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

export function inUse(path: string): EndpointInUseError {
  const message = `${path} already has a listener: stop that process or choose another path`;
  return new EndpointInUseError('in_use', message);
}

export function errorCodeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
