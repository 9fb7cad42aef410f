/**
 * Channels over a Unix stream socket: the default between processes of one machine. Connecting and listening;
 * the care that the file needs is in socket-file.ts, and the channel itself is a `StreamChannel`.
 */
import { once } from 'node:events';
import { chmodSync, lchownSync } from 'node:fs';
import net from 'node:net';
import { AcceptQueue } from '../channel/accept-queue.ts';
import {
  abortedError,
  type Channel,
  ChannelConnectError,
  type ChannelConnectErrorCode,
  type Listener,
  type PeerIdentity,
} from '../channel/channel.ts';
import { checkBufferBytes, checkSocketPath, formatEndpoint, type UnixEndpoint } from '../channel/endpoint.ts';
import { StreamChannel, type StreamHooks } from './channel.ts';
import { checkSocketMode, errorCodeOf, permissionText, takePath } from './socket-file.ts';

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
  /** A listening socket that another process bound. */
  readonly descriptor?: number | undefined;
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

/** @throws RangeError if `timeoutMs` is not valid for a timer. */
export function checkTimeout(timeoutMs: number): void {
  if (!Number.isInteger(timeoutMs) || timeoutMs < 1 || timeoutMs > MAX_TIMEOUT_MS) {
    throw new RangeError(`timeout of ${timeoutMs} ms: must be an integer from 1 to ${MAX_TIMEOUT_MS}`);
  }
}

/**
 * Listens on a Unix socket. A socket file that nobody listens on is replaced. Main thread only: the file mode
 * is set through the process's umask. Seeing whether a file is stale takes a connection, which a live
 * listener sees come and go.
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
  const { descriptor } = options;
  if (descriptor !== undefined) await listener.adopt(descriptor);
  else await takePath(path, url, options.createDirectory, () => listener.bind(options));
  return listener;
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

  async adopt(descriptor: number): Promise<void> {
    this.#server.listen({ fd: descriptor });
    await once(this.#server, 'listening');
    this.#server.on('error', this.#onError);
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
 * Binds a server to a socket file and listens; `exists` if there is a file already. Main thread only: the
 * file mode is set through the process's umask.
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
      // For example, no file descriptor for one more connection: the listener itself goes on.
      server.on('error', onError);
      resolve('listening');
    };
    server.once('error', onBindError);
    server.once('listening', onListening);
    // bind(2) happens inside listen(). The file is born without permissions, gets its group and then its own
    // mode, so that at no moment it is open to more than these say; a file that another thread makes
    // meanwhile is only narrower.
    const umask = process.umask(0o777);
    try {
      server.listen({ path, exclusive: true });
    } finally {
      process.umask(umask);
    }
    if (!server.listening) return;
    try {
      if (group !== undefined) giveTo(group, path);
      chmodSync(path, mode);
    } catch (error) {
      server.close();
      reject(error);
    }
  });
}

/** Gives a file to a group, which only root and users of that group can. */
function giveTo(group: number, path: string): void {
  try {
    lchownSync(path, process.geteuid?.() ?? 0, group);
  } catch (error) {
    if (errorCodeOf(error) !== 'EPERM') throw error;
    throw new Error(`its user is not of group ${group}, to which the file is to be given`, { cause: error });
  }
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
      // The socket's later events do not matter, but an unhandled 'error' would end the process.
      socket.on('error', () => undefined);
      socket.destroy();
      reject(error);
    };
    const onError = (error: Error): void => fail(connectError(url, path, error));
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

function connectError(url: string, path: string, cause: Error): ChannelConnectError {
  const fail = (code: ChannelConnectErrorCode, text: string): ChannelConnectError =>
    new ChannelConnectError(code, text, { cause });
  switch (errorCodeOf(cause)) {
    case 'ENOENT':
    case 'ECONNREFUSED':
      return fail('nobody-listens', `nobody listens on ${url}: start the listening side, or check the path`);
    case 'EACCES':
    case 'EPERM':
      return fail('no-permission', permissionText(url, path));
    case 'EAGAIN':
      return fail('busy', `${url} has a full backlog: try again later`);
    default:
      return fail('connect-failed', `cannot connect to ${url}: ${cause.message}`);
  }
}
