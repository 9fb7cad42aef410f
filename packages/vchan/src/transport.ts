/**
 * The one place that knows every kind of endpoint: `connect` and `listen` hand over to the transport of that kind.
 * A heavy transport is imported here when first asked for, so that nobody else pays for loading it.
 */
import type { Channel, Listener } from './channel.ts';
import type { Endpoint } from './endpoint.ts';
import { connectMemory, listenMemory } from './memory.ts';
import { connectSocket, listenSocket } from './socket.ts';

// Our choice.

/** A client that waits longer than this for a local listener is better told so. */
const DEFAULT_CONNECT_TIMEOUT_MS = 10_000;
/** Channels not yet accepted; each may hold a buffer full of received bytes. */
const DEFAULT_BACKLOG = 64;
/** Owner only: who may push rules or read them is decided by the file system. */
const DEFAULT_SOCKET_MODE = 0o600;

export interface ConnectOptions {
  /** Buffer of each direction in bytes; else the endpoint's, else `DEFAULT_BUFFER_BYTES`. `memory:` takes the listener's. */
  readonly bufferBytes?: number;
  /** Milliseconds until the attempt fails, 1..2^31-1; default 10,000. */
  readonly timeoutMs?: number;
  /** Ends the attempt; a channel already handed out is not touched. */
  readonly signal?: AbortSignal;
}

export interface ListenOptions {
  /** Buffer of each direction of each channel in bytes; else the endpoint's, else `DEFAULT_BUFFER_BYTES`. */
  readonly bufferBytes?: number;
  /** Channels that may wait for `accept()`, default 64; one too many is refused (memory) or disconnected (socket). */
  readonly backlog?: number;
  /** Permission bits of a socket file, default 0o600. Connecting takes the write bit. */
  readonly mode?: number;
  /** Whether a missing parent directory of a socket is made, with mode 0700. Default false. */
  readonly createDirectory?: boolean;
  /** Told, for a log, of a connection that could not be taken; the listener goes on. */
  readonly onError?: (error: Error) => void;
}

/**
 * Connects as a client.
 * @throws ChannelConnectError if that fails, EndpointError if the endpoint cannot work, RangeError for a bad option.
 */
export async function connect(endpoint: Endpoint, options: ConnectOptions = {}): Promise<Channel> {
  switch (endpoint.kind) {
    case 'memory':
      return connectMemory(endpoint, options.signal);
    case 'unix':
      return connectSocket(endpoint, {
        bufferBytes: options.bufferBytes,
        timeoutMs: options.timeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS,
        signal: options.signal,
      });
  }
}

/**
 * Listens as a server.
 * @throws EndpointInUseError if somebody else does, EndpointError if the endpoint cannot work, RangeError for a bad option.
 */
export async function listen(endpoint: Endpoint, options: ListenOptions = {}): Promise<Listener> {
  const backlog = options.backlog ?? DEFAULT_BACKLOG;
  switch (endpoint.kind) {
    case 'memory':
      return listenMemory(endpoint, { bufferBytes: options.bufferBytes, backlog });
    case 'unix':
      return listenSocket(endpoint, {
        bufferBytes: options.bufferBytes,
        backlog,
        mode: options.mode ?? DEFAULT_SOCKET_MODE,
        createDirectory: options.createDirectory ?? false,
        onError: options.onError ?? (() => undefined),
      });
  }
}
