/**
 * The channel over this process's standard input and output: for a service of qrexec, and for a child
 * process. There is one per process; logs belong on standard error. The end of the input disconnects, there
 * is no half-close.
 */
import { fstatSync } from 'node:fs';
import net from 'node:net';
import { AcceptQueue } from '../channel/accept-queue.ts';
import {
  type Channel,
  ChannelConnectError,
  type ChannelRole,
  type Listener,
  type PeerIdentity,
} from '../channel/channel.ts';
import {
  checkBufferBytes,
  EndpointError,
  EndpointInUseError,
  formatEndpoint,
  type StdioEndpoint,
} from '../channel/endpoint.ts';
import { StreamChannel, type StreamHooks } from './channel.ts';
import { isQubeName, serviceOf } from './qrexec.ts';

// Fixed by POSIX.

const STDIN_FD = 0;
const STDOUT_FD = 1;

/** The environment that qrexec gives a service. */
export interface QrexecEnvironment {
  readonly QREXEC_REMOTE_DOMAIN?: string | undefined;
  readonly QREXEC_SERVICE_FULL_NAME?: string | undefined;
}

/** Open file descriptors of pipes or sockets; the caller must not use or close them any more. */
export interface PipeFds {
  readonly inputFd: number;
  readonly outputFd: number;
}

const STANDARD_FDS: PipeFds = { inputFd: STDIN_FD, outputFd: STDOUT_FD };

let standardTaken = false;

/**
 * Takes standard input and output as a client. Another client of this process finds them taken for good.
 * @throws EndpointInUseError, EndpointError if they are a terminal or a file, RangeError for the buffer.
 */
export function connectStdio(
  endpoint: StdioEndpoint,
  options: { readonly bufferBytes: number | undefined; readonly signal: AbortSignal | undefined },
): Channel {
  const url = formatEndpoint(endpoint);
  if (options.signal?.aborted) {
    const message = `connecting to ${url} was aborted`;
    throw new ChannelConnectError('aborted', message, { cause: options.signal.reason });
  }
  const bufferBytes = checkBufferBytes(options.bufferBytes ?? endpoint.bufferBytes);
  return takeStandard('client', { name: url }, bufferBytes);
}

/**
 * Takes standard input and output as a server, of the qube that qrexec says if it started this process: the
 * first `accept` gets the channel, any later one waits for the close.
 * @throws EndpointInUseError, EndpointError if they are a terminal or a file, RangeError for the buffer.
 */
export function listenStdio(
  endpoint: StdioEndpoint,
  options: { readonly bufferBytes: number | undefined; readonly environment: QrexecEnvironment },
): Listener {
  const url = formatEndpoint(endpoint);
  const bufferBytes = checkBufferBytes(options.bufferBytes ?? endpoint.bufferBytes);
  const arrived = new AcceptQueue(url, 1);
  const qube = options.environment.QREXEC_REMOTE_DOMAIN;
  const service = serviceOf(options.environment.QREXEC_SERVICE_FULL_NAME ?? '');
  const name = `${url}#1`;
  const peer = isQubeName(qube) ? { name, qube, ...service } : { name };
  arrived.add(takeStandard('server', peer, bufferBytes));
  return {
    endpoint,
    accept: () => arrived.next(),
    close: () => {
      arrived.close();
      return Promise.resolve();
    },
  };
}

function takeStandard(role: ChannelRole, peer: PeerIdentity, bufferBytes: number): Channel {
  if (standardTaken) {
    throw new EndpointInUseError(
      'in-use',
      'standard input and output are already a channel: a process has one such',
    );
  }
  const channel = openPipes(role, peer, STANDARD_FDS, bufferBytes);
  standardTaken = true;
  return channel;
}

/**
 * A channel over two open file descriptors. Node's own process.stdin and process.stdout are no use here:
 * their writes block.
 * @throws EndpointError if one is no pipe and no socket.
 */
export function openPipes(
  role: ChannelRole,
  peer: PeerIdentity,
  fds: PipeFds,
  bufferBytes: number,
  hooks: StreamHooks = {},
): Channel {
  for (const fd of [fds.inputFd, fds.outputFd]) checkPipe(fd);
  const input = new net.Socket({ fd: fds.inputFd, readable: true, writable: false });
  const output = new net.Socket({ fd: fds.outputFd, readable: false, writable: true });
  return new StreamChannel(role, peer, { input, output }, bufferBytes, hooks);
}

function checkPipe(fd: number): void {
  const found = fstatSync(fd);
  if (found.isFIFO() || found.isSocket()) return;
  const what = fd === STDIN_FD ? 'standard input' : fd === STDOUT_FD ? 'standard output' : `descriptor ${fd}`;
  const message = `${what} is no pipe and no socket: let qrexec or another program start this one, not a terminal`;
  throw new EndpointError('not-a-pipe', message);
}
