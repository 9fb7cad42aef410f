/**
 * The one place that knows every kind of endpoint: `connect` and `listen` hand over to the transport of that
 * kind. A heavy transport is imported on first use, so that other programs do not load it.
 */
import type net from 'node:net';
import type { Channel, Listener } from './channel/channel.ts';
import {
  checkSocketPath,
  type Endpoint,
  EndpointError,
  formatEndpoint,
  type UnixEndpoint,
} from './channel/endpoint.ts';
import { connectMemory, listenMemory } from './channel/memory.ts';
import { bindSocket, connectSocket, listenSocket } from './stream/socket.ts';
import { takePath } from './stream/socket-file.ts';
import { GROUP_FILE, groupId } from './stream/socket-group.ts';
import type { CurveClientKeys, CurveServerKeys } from './zeromq/curve.ts';

// Our choice.

/** A client that waits longer than this for a local listener is better told so. */
const DEFAULT_CONNECT_TIMEOUT_MS = 10_000;
/** Channels not yet accepted; each may hold a buffer full of received bytes. */
const DEFAULT_BACKLOG = 64;
/** Owner only: who may push rules or read them is decided by the file system. */
const DEFAULT_SOCKET_MODE = 0o600;
const GROUP_SOCKET_MODE = 0o660;

export interface ConnectOptions {
  /**
   * Buffer of each direction in bytes; by default the endpoint's, else `DEFAULT_BUFFER_BYTES`. `memory:` uses
   * the listener's.
   */
  readonly bufferBytes?: number;
  /** Milliseconds until the attempt fails, 1..2^31-1; default 10,000. */
  readonly timeoutMs?: number;
  /** Ends the attempt; a channel already handed out is not touched. */
  readonly signal?: AbortSignal;
  /** Keys for ZeroMQ, required beyond this machine; refused for any other endpoint. */
  readonly curve?: CurveClientKeys;
  /** Receives the standard error of an `exec:` endpoint's program; without, it goes to ours. */
  readonly onText?: (text: string) => void;
}

export interface ListenOptions {
  /**
   * Buffer of each direction of each channel in bytes; by default the endpoint's, else
   * `DEFAULT_BUFFER_BYTES`.
   */
  readonly bufferBytes?: number;
  /**
   * Channels that may wait for `accept()`, default 64; one too many is refused (memory, ZeroMQ) or
   * disconnected (sockets).
   */
  readonly backlog?: number;
  /** Permission bits of a socket file, default 0o600. Connecting takes the write bit. */
  readonly mode?: number;
  /** Id of the group of a `unix:` socket file, whose rights `mode` sets. Default: the process's own. */
  readonly group?: number;
  /**
   * Descriptor of a listening socket bound by another process, such as a service manager, for `unix:`; its
   * file is left alone.
   */
  readonly descriptor?: number;
  /** Whether a missing parent directory of a socket is made, with mode 0700. Default false. */
  readonly createDirectory?: boolean;
  /** Called, for a log, with the error of a connection that could not be accepted; the listener goes on. */
  readonly onError?: (error: Error) => void;
  /** Keys for ZeroMQ, required beyond this machine; refused for any other endpoint. */
  readonly curve?: CurveServerKeys;
}

/**
 * Connects as a client.
 * @throws ChannelConnectError if that fails, EndpointError if the endpoint cannot work, RangeError for a bad
 *   option.
 */
export async function connect(endpoint: Endpoint, options: ConnectOptions = {}): Promise<Channel> {
  const { bufferBytes, signal } = options;
  const timeoutMs = options.timeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS;
  refuseKeys(endpoint, options.curve !== undefined);
  switch (endpoint.kind) {
    case 'memory':
      return connectMemory(endpoint, signal);
    case 'unix':
      if (endpoint.group !== undefined) {
        const message = `${formatEndpoint(endpoint)}: group= is for the listening side: leave it out to connect`;
        throw new EndpointError('cannot-connect', message);
      }
      return connectSocket(endpoint, { bufferBytes, timeoutMs, signal });
    case 'qrexec': {
      const message = `${formatEndpoint(endpoint)} only listens, for calls of qrexec; to connect, write exec:qrexec-client-vm?arg=QUBE&arg=SERVICE`;
      throw new EndpointError('cannot-connect', message);
    }
    case 'vchan': {
      if (endpoint.soname !== undefined) {
        const { connectLibvchan, loadLibvchan } = await import('./stream/libvchan.ts');
        const library = loadLibvchan(endpoint.soname, process.env['VCHAN_DOMAIN']);
        return connectLibvchan(library, endpoint, { bufferBytes, timeoutMs, signal });
      }
      const { connectVchan } = await import('./stream/vchan-socket.ts');
      return connectVchan(endpoint, { bufferBytes, timeoutMs, signal, environment: process.env });
    }
    case 'stdio': {
      const { connectStdio } = await import('./stream/stdio.ts');
      return connectStdio(endpoint, { bufferBytes, signal });
    }
    case 'exec': {
      const { connectExec } = await import('./stream/exec.ts');
      return connectExec(endpoint, { bufferBytes, signal, onText: options.onText });
    }
    case 'zmq+ipc':
    case 'zmq+tcp': {
      const { connectZmq } = await import('./zeromq/zeromq.ts');
      return connectZmq(endpoint, { bufferBytes, timeoutMs, signal, curve: options.curve });
    }
  }
}

/**
 * Listens as a server.
 * @throws EndpointInUseError if it is taken, EndpointError if the endpoint cannot work, RangeError for
 *   a bad option.
 */
export async function listen(endpoint: Endpoint, options: ListenOptions = {}): Promise<Listener> {
  const { bufferBytes } = options;
  const backlog = options.backlog ?? DEFAULT_BACKLOG;
  const file = {
    mode: options.mode ?? DEFAULT_SOCKET_MODE,
    createDirectory: options.createDirectory ?? false,
    onError: options.onError ?? (() => undefined),
  };
  refuseKeys(endpoint, options.curve !== undefined);
  switch (endpoint.kind) {
    case 'memory':
      return listenMemory(endpoint, { bufferBytes, backlog });
    case 'unix':
      return listenSocket(endpoint, {
        bufferBytes,
        backlog,
        ...file,
        group: options.group,
        descriptor: options.descriptor,
        ...groupOf(endpoint),
      });
    case 'qrexec': {
      const { listenQrexec } = await import('./stream/qrexec.ts');
      return listenQrexec(endpoint, { bufferBytes, backlog, ...file });
    }
    case 'vchan': {
      if (endpoint.soname !== undefined) {
        const { listenLibvchan, loadLibvchan } = await import('./stream/libvchan.ts');
        const library = loadLibvchan(endpoint.soname, process.env['VCHAN_DOMAIN']);
        return listenLibvchan(library, endpoint, { bufferBytes, onError: file.onError });
      }
      const { listenVchan } = await import('./stream/vchan-socket.ts');
      return listenVchan(endpoint, { bufferBytes, backlog, ...file, environment: process.env });
    }
    case 'stdio': {
      const { listenStdio } = await import('./stream/stdio.ts');
      return listenStdio(endpoint, { bufferBytes, environment: process.env });
    }
    case 'exec': {
      const message = `${formatEndpoint(endpoint)} starts the other end, and cannot listen; to listen, write stdio:`;
      throw new EndpointError('cannot-listen', message);
    }
    case 'zmq+ipc':
    case 'zmq+tcp': {
      const { listenZmq } = await import('./zeromq/zeromq.ts');
      return listenZmq(endpoint, { bufferBytes, backlog, ...file, curve: options.curve });
    }
  }
}

/**
 * Has a server of one's own listen on a Unix socket, with the care that `listen` takes of its file. Throws
 * EndpointInUseError and EndpointError.
 */
export async function listenWith(
  server: net.Server,
  endpoint: UnixEndpoint,
  onError: (error: Error) => void,
): Promise<void> {
  const { path } = endpoint;
  checkSocketPath(path);
  const access = { mode: DEFAULT_SOCKET_MODE, ...groupOf(endpoint) };
  await takePath(path, formatEndpoint(endpoint), true, () => bindSocket(server, path, access, onError));
}

/** The group that may connect beside the owner, if the endpoint names one. */
function groupOf(endpoint: UnixEndpoint): { readonly mode?: number; readonly group?: number } {
  const { group: name } = endpoint;
  if (name === undefined) return {};
  const group = groupId(name);
  if (group !== undefined) return { mode: GROUP_SOCKET_MODE, group };
  const message = `${formatEndpoint(endpoint)}: there is no group ${name} in ${GROUP_FILE}: make it, or name another`;
  throw new EndpointError('bad-option', message);
}

/** Keys that would protect nothing are a mistake that somebody relies on. */
function refuseKeys(endpoint: Endpoint, hasKeys: boolean): void {
  if (!hasKeys || endpoint.kind === 'zmq+ipc' || endpoint.kind === 'zmq+tcp') return;
  const message = `${formatEndpoint(endpoint)} has no encryption of its own: curve keys are for zmq+tcp: and zmq+ipc:`;
  throw new EndpointError('bad-option', message);
}
