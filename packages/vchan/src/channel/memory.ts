/**
 * Channels inside one process: for tests, and for a publisher and a subscriber embedded together. A pair
 * behaves like one vchan whose two rings are the two queues here; capacities are exact, and everything
 * happens in the caller's turn.
 */
import { AcceptQueue } from './accept-queue.ts';
import {
  type Channel,
  ChannelConnectError,
  type ChannelRole,
  type ChannelState,
  channelClosed,
  checkMaxBytes,
  type Listener,
  type PeerIdentity,
} from './channel.ts';
import { ChunkQueue } from './chunk-queue.ts';
import {
  checkBufferBytes,
  checkMemoryName,
  EndpointInUseError,
  formatEndpoint,
  type MemoryEndpoint,
} from './endpoint.ts';
import { WakeUp } from './wake-up.ts';

export interface MemoryPairOptions {
  /** Buffer of each direction in bytes, `MIN_BUFFER_BYTES`..`MAX_BUFFER_BYTES`. */
  readonly bufferBytes?: number;
  /** The name of each end for the other. */
  readonly peerName?: string;
}

/** The two ends of one channel, both connected. */
export interface ChannelPair {
  readonly server: Channel;
  readonly client: Channel;
}

/**
 * Makes two connected channels, each the peer of the other.
 * @throws RangeError if the buffer size is out of range.
 */
export function createMemoryPair(options: MemoryPairOptions = {}): ChannelPair {
  const bufferBytes = checkBufferBytes(options.bufferBytes);
  const peer = { name: options.peerName ?? 'memory' };
  const toServer = new MemoryPipe(bufferBytes);
  const toClient = new MemoryPipe(bufferBytes);
  const link: MemoryLink = { closedBy: undefined };
  return {
    server: new MemoryChannel('server', peer, link, toServer, toClient),
    client: new MemoryChannel('client', peer, link, toClient, toServer),
  };
}

/** The listeners on `memory:NAME` in this process. */
const listeners = new Map<string, MemoryListener>();

/**
 * Listens on a name of this process. `backlog`: channels that may wait for `accept()`.
 * @throws EndpointInUseError if the name is taken; EndpointError, RangeError if the arguments are out of
 *   range.
 */
export function listenMemory(
  endpoint: MemoryEndpoint,
  options: { readonly bufferBytes: number | undefined; readonly backlog: number },
): Listener {
  checkMemoryName(endpoint.name);
  if (listeners.has(endpoint.name)) {
    const url = formatEndpoint(endpoint);
    throw new EndpointInUseError(
      'in-use',
      `${url} already has a listener: close that one or choose another name`,
    );
  }
  const bufferBytes = checkBufferBytes(options.bufferBytes ?? endpoint.bufferBytes);
  const listener = new MemoryListener(endpoint, bufferBytes, options.backlog);
  listeners.set(endpoint.name, listener);
  return listener;
}

/**
 * Connects to the listener on a name of this process, which decides the buffer size of both ends.
 * @throws ChannelConnectError if aborted, nobody listens, or its backlog is full; EndpointError if the name
 *   is malformed.
 */
export function connectMemory(endpoint: MemoryEndpoint, signal: AbortSignal | undefined): Channel {
  checkMemoryName(endpoint.name);
  if (signal?.aborted) {
    const message = `connecting to ${formatEndpoint(endpoint)} was aborted`;
    throw new ChannelConnectError('aborted', message, { cause: signal.reason });
  }
  const listener = listeners.get(endpoint.name);
  if (listener === undefined) {
    const url = formatEndpoint(endpoint);
    throw new ChannelConnectError(
      'nobody-listens',
      `nobody listens on ${url} in this process: call listen first`,
    );
  }
  return listener.connect();
}

/** One direction: bytes written by one end and not read yet by the other. */
class MemoryPipe {
  readonly capacityBytes: number;
  readonly queue = new ChunkQueue();
  readonly readable = new WakeUp();
  readonly writable = new WakeUp();

  constructor(capacityBytes: number) {
    this.capacityBytes = capacityBytes;
  }
}

/** The shared state of both ends: a channel has no half-close, so one flag serves for both directions. */
interface MemoryLink {
  closedBy: ChannelRole | undefined;
}

class MemoryChannel implements Channel {
  readonly role: ChannelRole;
  readonly peer: PeerIdentity;
  readonly #link: MemoryLink;
  readonly #incoming: MemoryPipe;
  readonly #outgoing: MemoryPipe;

  constructor(
    role: ChannelRole,
    peer: PeerIdentity,
    link: MemoryLink,
    incoming: MemoryPipe,
    outgoing: MemoryPipe,
  ) {
    this.role = role;
    this.peer = peer;
    this.#link = link;
    this.#incoming = incoming;
    this.#outgoing = outgoing;
  }

  get state(): ChannelState {
    return this.#link.closedBy === undefined ? 'connected' : 'disconnected';
  }

  get closeReason(): string | undefined {
    if (this.#link.closedBy === undefined) return undefined;
    return this.#link.closedBy === this.role ? 'closed here' : 'closed by the peer';
  }

  get readCapacityBytes(): number {
    return this.#incoming.capacityBytes;
  }

  get writeCapacityBytes(): number {
    return this.#outgoing.capacityBytes;
  }

  dataReady(): number {
    return this.#incoming.queue.byteCount;
  }

  bufferSpace(): number {
    if (this.#link.closedBy !== undefined) return 0;
    return this.#outgoing.capacityBytes - this.#outgoing.queue.byteCount;
  }

  read(maxBytes: number): Uint8Array {
    checkMaxBytes(maxBytes);
    const bytes = this.#incoming.queue.take(maxBytes);
    if (bytes.length > 0) this.#incoming.writable.wake();
    return bytes;
  }

  write(bytes: Uint8Array): number {
    if (this.#link.closedBy !== undefined) throw channelClosed(this.peer, this.closeReason);
    const taken = Math.min(bytes.length, this.bufferSpace());
    if (taken === 0) return 0;
    this.#outgoing.queue.appendCopy(bytes.subarray(0, taken));
    this.#outgoing.readable.wake();
    return taken;
  }

  waitReadable(): Promise<void> {
    if (this.dataReady() > 0 || this.state === 'disconnected') return Promise.resolve();
    return this.#incoming.readable.wait();
  }

  waitWritable(): Promise<void> {
    if (this.bufferSpace() > 0 || this.state === 'disconnected') return Promise.resolve();
    return this.#outgoing.writable.wait();
  }

  close(): void {
    // Also when the peer closed first: what it sent and we did not read is given up now.
    this.#incoming.queue.clear();
    if (this.#link.closedBy !== undefined) return;
    this.#link.closedBy = this.role;
    for (const pipe of [this.#incoming, this.#outgoing]) {
      pipe.readable.wake();
      pipe.writable.wake();
    }
  }
}

class MemoryListener implements Listener {
  readonly endpoint: MemoryEndpoint;
  readonly #bufferBytes: number;
  readonly #arrived: AcceptQueue;
  #connectionCount = 0;

  constructor(endpoint: MemoryEndpoint, bufferBytes: number, backlog: number) {
    this.endpoint = endpoint;
    this.#bufferBytes = bufferBytes;
    this.#arrived = new AcceptQueue(formatEndpoint(endpoint), backlog);
  }

  connect(): Channel {
    const url = formatEndpoint(this.endpoint);
    if (this.#arrived.full) {
      throw new ChannelConnectError(
        'busy',
        `${url} has a full backlog of unaccepted channels: try again later`,
      );
    }
    this.#connectionCount += 1;
    const peerName = `${url}#${this.#connectionCount}`;
    const { server, client } = createMemoryPair({ bufferBytes: this.#bufferBytes, peerName });
    this.#arrived.add(server);
    return client;
  }

  accept(): Promise<Channel> {
    return this.#arrived.next();
  }

  close(): Promise<void> {
    // Another listener may have the name by now.
    if (listeners.get(this.endpoint.name) === this) listeners.delete(this.endpoint.name);
    this.#arrived.close();
    return Promise.resolve();
  }
}
