/**
 * The listener of a qrexec service that is a socket (Qubes 4.1 and later, qrexec-socket-services): qrexec
 * connects to it for each call, and first sends a line with the service and the calling qube. That line is
 * the identity of a channel, so only qrexec may reach the socket; the caller cannot change it.
 *
 * ```
 *   qrexec: SERVICE[+ARGUMENT] SOURCE NUL   (in dom0: … SOURCE name|keyword TARGET NUL)   then the caller's bytes
 * ```
 */
import net from 'node:net';
import { AcceptQueue } from '../channel/accept-queue.ts';
import { type Channel, ChannelConnectError, type Listener, type PeerIdentity } from '../channel/channel.ts';
import {
  checkBufferBytes,
  checkSocketPath,
  formatEndpoint,
  type QrexecEndpoint,
} from '../channel/endpoint.ts';
import { bindSocket, type ListenSocketOptions, serverChannel } from './socket.ts';
import { checkSocketMode, takePath } from './socket-file.ts';

// Fixed by Qubes.

/** Names of qubes: at most 31 characters; `dom0` is one too. */
const QUBE_NAME = /^[A-Za-z][A-Za-z0-9_.-]{0,30}$/;
const DESCRIPTOR = /^([^ ]+) ([^ ]+)(?: (?:name|keyword) [^ ]+)?$/;
/** A service, and the argument that its caller gives it. */
const SERVICE = /^([A-Za-z0-9_.-]+)(?:\+([A-Za-z0-9_.+-]*))?$/;

// Our choice.

/** Service, argument and names: those of ours, of any firewall, have half of this. */
const DESCRIPTOR_MAX_BYTES = 256;
/** qrexec sends its line at once. */
const DESCRIPTOR_TIMEOUT_MS = 2_000;
/** Calls whose line has not come yet; the one that has waited longest is closed first. */
const CALLS_MAX = 64;

export function isQubeName(text: string | undefined): text is string {
  return text !== undefined && QUBE_NAME.test(text);
}

/** The data of a call in qrexec's line. */
export type Call = Required<Pick<PeerIdentity, 'qube' | 'service'>> & Pick<PeerIdentity, 'argument'>;

/** The call that a descriptor, without its NUL, is of; `undefined` if it is none. */
export function callOf(descriptor: string): Call | undefined {
  const [, called = '', qube] = DESCRIPTOR.exec(descriptor) ?? [];
  const service = serviceOf(called);
  return service === undefined || !isQubeName(qube) ? undefined : { qube, ...service };
}

/** Reads `SERVICE[+ARGUMENT]`; an empty argument is none. */
export function serviceOf(text: string): Omit<Call, 'qube'> | undefined {
  const [, service, argument = ''] = SERVICE.exec(text) ?? [];
  if (service === undefined) return undefined;
  return argument === '' ? { service } : { service, argument };
}

/**
 * Listens for the calls of one service. A socket file that nobody listens on is replaced. Main thread only,
 * as for any socket file.
 * @throws EndpointInUseError, EndpointError, RangeError for a bad option.
 */
export async function listenQrexec(
  endpoint: QrexecEndpoint,
  options: ListenSocketOptions,
): Promise<Listener> {
  const { path } = endpoint;
  checkSocketPath(path);
  const bufferBytes = checkBufferBytes(options.bufferBytes ?? endpoint.bufferBytes);
  checkSocketMode(options.mode);
  const url = formatEndpoint(endpoint);
  const listener = new QrexecListener(endpoint, bufferBytes, options);
  await takePath(path, url, options.createDirectory, () => listener.bind());
  return listener;
}

class QrexecListener implements Listener {
  readonly endpoint: QrexecEndpoint;
  readonly #bufferBytes: number;
  readonly #options: ListenSocketOptions;
  readonly #arrived: AcceptQueue;
  readonly #server: net.Server;
  /** In the order of arrival. */
  readonly #calls = new Set<net.Socket>();
  #connectionCount = 0;

  constructor(endpoint: QrexecEndpoint, bufferBytes: number, options: ListenSocketOptions) {
    this.endpoint = endpoint;
    this.#bufferBytes = bufferBytes;
    this.#options = options;
    this.#arrived = new AcceptQueue(formatEndpoint(endpoint), options.backlog);
    this.#server = net.createServer({ allowHalfOpen: false }, (socket) => this.#onCall(socket));
  }

  bind(): Promise<'listening' | 'exists'> {
    return bindSocket(this.#server, this.endpoint.path, this.#options, this.#options.onError);
  }

  accept(): Promise<Channel> {
    return this.#arrived.next();
  }

  close(): Promise<void> {
    if (this.#server.listening) this.#server.close();
    for (const socket of this.#calls) socket.destroy();
    this.#arrived.close();
    return Promise.resolve();
  }

  #onCall(socket: net.Socket): void {
    const [oldest] = this.#calls;
    if (this.#calls.size >= CALLS_MAX && oldest !== undefined) {
      this.#calls.delete(oldest);
      oldest.destroy();
    }
    this.#calls.add(socket);
    let said = Buffer.alloc(0);
    const timer = setTimeout(() => socket.destroy(), DESCRIPTOR_TIMEOUT_MS);
    const settle = (): void => {
      clearTimeout(timer);
      this.#calls.delete(socket);
      socket.off('data', onData);
      socket.off('close', settle);
    };
    const onData = (chunk: Buffer): void => {
      said = Buffer.concat([said, chunk]);
      const end = said.indexOf(0);
      if (end < 0 && said.length < DESCRIPTOR_MAX_BYTES) return;
      settle();
      const isWhole = end >= 0 && end < DESCRIPTOR_MAX_BYTES;
      const call = isWhole ? callOf(said.toString('latin1', 0, end)) : undefined;
      if (call === undefined) this.#turnAway(socket, 'connect-failed', 'its first line is not of qrexec');
      else {
        socket.pause();
        if (said.length > end + 1) socket.unshift(said.subarray(end + 1));
        this.#take(socket, call);
        socket.resume();
      }
    };
    socket.on('error', () => undefined); // 'close' follows
    socket.on('close', settle);
    socket.on('data', onData);
  }

  #take(socket: net.Socket, call: Call): void {
    if (this.#arrived.full) return this.#turnAway(socket, 'busy', 'too many unaccepted channels');
    this.#connectionCount += 1;
    const name = `${formatEndpoint(this.endpoint)}#${this.#connectionCount}`;
    this.#arrived.add(serverChannel(socket, { name, ...call }, this.#bufferBytes));
  }

  #turnAway(socket: net.Socket, code: 'busy' | 'connect-failed', why: string): void {
    socket.destroy();
    const message = `a call of ${formatEndpoint(this.endpoint)} was turned away: ${why}`;
    this.#options.onError(new ChannelConnectError(code, message));
  }
}
