/**
 * Channels over ZeroMQ (RFC 23/ZMTP), for machines that have no vchan between them: a DEALER for each client, one ROUTER for a
 * listener. ZeroMQ carries messages, reconnects silently and queues without telling; a channel wants none of it, so
 *
 * - room is counted in bytes of credit between the two ends (`credit-channel.ts`), never by ZeroMQ's queues;
 * - a DEALER serves one connection: it never connects twice, and its first message is a HELLO with a fresh connection id. The
 *   ROUTER, to which a second connection is another peer, refuses one that begins with anything else;
 * - heartbeats notice a machine that is gone, and a ROUTER, which is told nothing, asks whether its peers are still there.
 *
 * A ROUTER has no means to cut one peer off: whoever breaks the rules is told CLOSE and from then on ignored. Only messages well over
 * `MAX_MESSAGE_BYTES` make ZeroMQ itself drop the connection. Unbinding would cut all connections, so that a closed listener
 * keeps a TCP port until its accepted channels are closed too; a socket file goes at once.
 */
import { randomBytes } from 'node:crypto';
import { accessSync, chmodSync, constants } from 'node:fs';
import { link as linkFile, rm } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { dirname, join } from 'node:path';
import * as zmq from 'zeromq';
import {
  AcceptQueue,
  type Channel,
  ChannelConnectError,
  type ChannelConnectErrorCode,
  type Listener,
} from '../channel/channel.ts';
import {
  checkBufferBytes,
  checkSocketPath,
  checkTcpAddress,
  EndpointError,
  EndpointInUseError,
  formatEndpoint,
  needsCurve,
  type ZmqEndpoint,
} from '../channel/endpoint.ts';
import {
  abortedError,
  checkSocketMode,
  checkTimeout,
  errorCodeOf,
  identify,
  inUse,
  prepareDirectory,
  removeStaleSocket,
  textOf,
} from '../stream/socket.ts';
import { CreditChannel, type MessageLink } from './credit-channel.ts';
import {
  Admission,
  type CurveClientKeys,
  type CurveServerKeys,
  checkClientKeys,
  checkServerKeys,
  ZAP_DOMAIN,
} from './curve.ts';
import {
  CLOSE_CODE,
  type CloseCode,
  CONNECTION_ID_BYTES,
  decodeMessage,
  encodeClose,
  encodeFlow,
  encodeHello,
  encodeWelcome,
  type HelloMessage,
  MAX_MESSAGE_BYTES,
  type ZmqMessage,
} from './message.ts';

// Fixed by ZeroMQ.

/** What CURVE adds to a message (33 bytes), with room to spare: it counts towards the limit. */
const CURVE_OVERHEAD_BYTES = 64;

// Our choice.

/** How long a closed socket tries to get rid of what it has; a stuck peer costs no more. */
const LINGER_MS = 5_000;
/** Long enough that a short stop of a virtual machine is no death. */
const HEARTBEAT_MS = 2_000;
/** In heartbeats: silence that long ends a connection. */
const HEARTBEAT_TIMEOUT_COUNT = 3;
/** "Never": the event of the first disconnection closes the socket. -1 would drop what has arrived and was not read. */
const RECONNECT_MS = 86_400_000;
/**
 * Messages in ZeroMQ's queues, each way, for one peer: 2 MiB of the largest. Credit is what limits the bytes of those that keep to it; this is
 * for a peer that does not, while this process is busy. What does not fit waits in the kernel, and so at the peer.
 */
const HIGH_WATER_MESSAGE_COUNT = 32;
/** Turns of the event loop without a message, after which all that had arrived of a lost connection has been read. */
const DRAINED_TURN_COUNT = 20;
/** When a ROUTER asks after some connection has ended: ZeroMQ may tell of the end before it has taken the peer away. */
const PROBE_DELAYS_MS = [0, 20, 200] as const;
/** A full queue empties within a turn or two; later than that the peer is slow. */
const RETRY_TURN_COUNT = 10;
const RETRY_MS = 5;

export interface ConnectZmqOptions {
  readonly bufferBytes: number | undefined;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly curve: CurveClientKeys | undefined;
  /** Milliseconds between heartbeats; three without an answer end the connection. Default 2,000. */
  readonly heartbeatMs?: number;
}

export interface ListenZmqOptions {
  readonly bufferBytes: number | undefined;
  readonly backlog: number;
  readonly mode: number;
  readonly createDirectory: boolean;
  readonly onError: (error: Error) => void;
  readonly curve: CurveServerKeys | undefined;
  /** Milliseconds between heartbeats; three without an answer end the connection. Default 2,000. */
  readonly heartbeatMs?: number;
}

/**
 * Connects, and resolves when the listener has answered.
 * @throws ChannelConnectError; EndpointError for address, path and keys; RangeError for a bad option.
 */
export async function connectZmq(endpoint: ZmqEndpoint, options: ConnectZmqOptions): Promise<Channel> {
  checkZmqEndpoint(endpoint, options.curve !== undefined);
  if (endpoint.kind === 'zmq+tcp' && endpoint.port === 0) {
    throw new EndpointError('bad_address', `${formatEndpoint(endpoint)}: port 0 is for listening only`);
  }
  checkTimeout(options.timeoutMs);
  const bufferBytes = checkBufferBytes(options.bufferBytes ?? endpoint.bufferBytes);
  if (options.curve !== undefined) checkClientKeys(options.curve);
  const url = formatEndpoint(endpoint);
  if (options.signal?.aborted) throw abortedError(url, options.signal);
  const dealer = new DealerLink(endpoint, bufferBytes, options);
  return dealer.connect(options.timeoutMs, options.signal);
}

/**
 * Listens. A socket file that nobody listens on is replaced. Main thread only, for the mode of a socket file.
 * @throws EndpointInUseError; EndpointError for address, path and keys; RangeError for a bad option.
 */
export async function listenZmq(endpoint: ZmqEndpoint, options: ListenZmqOptions): Promise<Listener> {
  checkZmqEndpoint(endpoint, options.curve !== undefined);
  const bufferBytes = checkBufferBytes(options.bufferBytes ?? endpoint.bufferBytes);
  checkSocketMode(options.mode);
  if (options.curve !== undefined) checkServerKeys(options.curve);
  const url = formatEndpoint(endpoint);
  const arrived = new AcceptQueue(url, options.backlog);
  const listener = new ZmqListener(endpoint, arrived, bufferBytes, options);
  try {
    await listener.bind();
    return listener;
  } catch (cause) {
    await listener.close();
    if (cause instanceof EndpointError || cause instanceof EndpointInUseError) throw cause;
    if (errorCodeOf(cause) === 'EADDRINUSE') {
      const message = `${url} is in use: stop the other process or choose another port`;
      throw new EndpointInUseError('in_use', message, { cause });
    }
    throw new EndpointError('cannot_listen', `cannot listen on ${url}: ${textOf(cause)}`, { cause });
  }
}

function checkZmqEndpoint(endpoint: ZmqEndpoint, hasKeys: boolean): void {
  if (endpoint.kind === 'zmq+ipc') {
    checkSocketPath(endpoint.path);
    return;
  }
  checkTcpAddress(endpoint.address, endpoint.port);
  if (hasKeys || !needsCurve(endpoint)) return;
  throw new EndpointError(
    'needs_curve',
    `${formatEndpoint(endpoint)} leaves this machine, where anybody could read or speak: give curve keys, or use 127.0.0.1 or [::1]`,
  );
}

function socketOptions(endpoint: ZmqEndpoint, heartbeatMs: number) {
  return {
    linger: LINGER_MS,
    maxMessageSize: MAX_MESSAGE_BYTES + CURVE_OVERHEAD_BYTES,
    sendHighWaterMark: HIGH_WATER_MESSAGE_COUNT,
    receiveHighWaterMark: HIGH_WATER_MESSAGE_COUNT,
    // A send that cannot be done at once fails and is tried again here. Waiting inside zeromq.js takes one send at a time, and
    // may overlook that a message has arrived meanwhile (it asks for events, whose signal ZeroMQ gives once).
    sendTimeout: 0,
    ipv6: endpoint.kind === 'zmq+tcp' && isIPv6(endpoint.address),
    heartbeatInterval: heartbeatMs,
    heartbeatTimeout: HEARTBEAT_TIMEOUT_COUNT * heartbeatMs,
    heartbeatTimeToLive: HEARTBEAT_TIMEOUT_COUNT * heartbeatMs,
  };
}

function zmqAddress(endpoint: ZmqEndpoint): string {
  if (endpoint.kind === 'zmq+ipc') return `ipc://${endpoint.path}`;
  const { address, port } = endpoint;
  return `tcp://${isIPv6(address) ? `[${address}]` : address}:${port === 0 ? '*' : port}`;
}

interface ConnectAttempt {
  readonly resolve: (channel: Channel) => void;
  readonly reject: (error: ChannelConnectError) => void;
}

/** The client's socket: one connection, from HELLO to CLOSE. */
class DealerLink implements MessageLink {
  readonly #endpoint: ZmqEndpoint;
  readonly #url: string;
  readonly #bufferBytes: number;
  readonly #socket: zmq.Dealer;
  readonly #connectionId = randomBytes(CONNECTION_ID_BYTES);
  #attempt: ConnectAttempt | undefined;
  #channel: CreditChannel | undefined;
  /** Somebody took the connection, whoever it was. */
  #reached = false;
  #messageCount = 0;

  constructor(endpoint: ZmqEndpoint, bufferBytes: number, options: ConnectZmqOptions) {
    this.#endpoint = endpoint;
    this.#url = formatEndpoint(endpoint);
    this.#bufferBytes = bufferBytes;
    this.#socket = new zmq.Dealer({
      ...socketOptions(endpoint, options.heartbeatMs ?? HEARTBEAT_MS),
      reconnectInterval: RECONNECT_MS,
      handshakeInterval: options.timeoutMs,
    });
    if (options.curve === undefined) return;
    this.#socket.curveServerKey = options.curve.serverKey;
    this.#socket.curvePublicKey = options.curve.publicKey;
    this.#socket.curveSecretKey = options.curve.secretKey;
  }

  connect(timeoutMs: number, signal: AbortSignal | undefined): Promise<Channel> {
    const url = this.#url;
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        this.#attempt = undefined;
      };
      const onAbort = (): void => this.#attempt?.reject(abortedError(url, signal));
      const timer = setTimeout(() => {
        this.#fail('timeout', `no connection to ${url} within ${timeoutMs} ms: is its listener stuck?`);
      }, timeoutMs);
      signal?.addEventListener('abort', onAbort);
      this.#attempt = {
        resolve: (channel) => {
          settle();
          resolve(channel);
        },
        reject: (error) => {
          settle();
          // What was queued for nobody must not keep the process alive.
          this.#socket.linger = 0;
          this.#socket.close();
          reject(error);
        },
      };
      this.#watch();
      this.#socket.connect(zmqAddress(this.#endpoint));
      void this.send(encodeHello(this.#connectionId, this.#bufferBytes));
      void this.#receive();
    });
  }

  async send(message: Uint8Array): Promise<boolean> {
    return (await sendPatiently(this.#socket, message, () => this.#socket.closed)) === 'sent';
  }

  end(): void {
    this.#socket.close();
  }

  #watch(): void {
    const { events } = this.#socket;
    const url = this.#url;
    events.on('connect', () => {
      this.#reached = true;
    });
    events.on('connect:retry', () => {
      if (this.#reached) void this.#onDisconnected();
      else this.#onUnreachable();
    });
    events.on('disconnect', () => void this.#onDisconnected());
    events.on('handshake:error:auth', () => {
      this.#fail(
        'no_permission',
        `${url} does not admit this client: its public key is not among clientKeys`,
      );
    });
    events.on('handshake:error:protocol', () => void this.#onDisconnected());
    events.on('handshake:error:other', () => void this.#onDisconnected());
  }

  #fail(code: ChannelConnectErrorCode, message: string): void {
    this.#attempt?.reject(new ChannelConnectError(code, message));
  }

  #onUnreachable(): void {
    if (this.#attempt === undefined) return;
    const url = this.#url;
    if (this.#endpoint.kind === 'zmq+ipc' && isForbidden(this.#endpoint.path)) {
      const message = `no permission to connect to ${url}: check owner and mode of file and directories`;
      this.#fail('no_permission', message);
      return;
    }
    this.#fail('nobody_listens', `nobody listens on ${url}: start the listening side, or check the address`);
  }

  async #onDisconnected(): Promise<void> {
    await drained(() => this.#messageCount);
    this.#channel?.lost('connection lost');
    const message = `${this.#url} ended the connection unanswered: is it a Rulecast listener, and do the curve keys match?`;
    this.#fail('connect_failed', message);
  }

  async #receive(): Promise<void> {
    try {
      while (!this.#socket.closed) {
        const [message, ...more] = await this.#socket.receive();
        this.#messageCount += 1;
        const decoded = message === undefined || more.length > 0 ? undefined : decodeMessage(message);
        if (this.#channel === undefined) this.#onAnswer(decoded);
        else this.#channel.receive(decoded);
      }
    } catch (error) {
      // The socket was closed while it waited; whoever did that knows why.
      if (!this.#socket.closed) this.#channel?.lost(textOf(error));
    }
  }

  #onAnswer(message: ZmqMessage | undefined): void {
    if (message?.kind === 'welcome' && this.#connectionId.equals(message.connectionId)) {
      const name = { name: this.#url };
      this.#channel = new CreditChannel('client', name, this, this.#bufferBytes, message.bufferBytes);
      this.#attempt?.resolve(this.#channel);
      return;
    }
    if (message?.kind === 'close' && message.code === CLOSE_CODE.busy) {
      this.#fail('busy', `${this.#url} has a full backlog of unaccepted channels: try again later`);
    } else if (message?.kind === 'close' && message.code === CLOSE_CODE.notListening) {
      this.#fail('nobody_listens', `the listener on ${this.#url} is closing: start it again`);
    } else {
      this.#fail('connect_failed', `${this.#url} did not answer as a Rulecast listener: check the address`);
    }
  }
}

/** One connection to the ROUTER, from its first message until ZeroMQ has no such peer any more. */
interface RouterPeer {
  /** ZeroMQ's name for the connection; never the same for two. */
  readonly routingId: Buffer;
  /** Of the HELLO, in hexadecimal. */
  readonly connectionId: string | undefined;
  /** `undefined` for a connection that was refused. */
  channel: CreditChannel | undefined;
  /** The channel's last message has been sent. */
  ended: boolean;
  lost: boolean;
}

class ZmqListener implements Listener {
  #endpoint: ZmqEndpoint;
  readonly #arrived: AcceptQueue;
  readonly #bufferBytes: number;
  readonly #options: ListenZmqOptions;
  readonly #context: zmq.Context;
  readonly #router: zmq.Router;
  readonly #admission: Admission | undefined;
  readonly #peers = new Map<string, RouterPeer>();
  readonly #probeTimer: NodeJS.Timeout;
  /** Of our socket file, to recognise it by. */
  #fileIdentity: string | undefined;
  #closing = false;
  #connectionCount = 0;
  #messageCount = 0;

  constructor(endpoint: ZmqEndpoint, arrived: AcceptQueue, bufferBytes: number, options: ListenZmqOptions) {
    this.#endpoint = endpoint;
    this.#arrived = arrived;
    this.#bufferBytes = bufferBytes;
    this.#options = options;
    const { curve, heartbeatMs = HEARTBEAT_MS } = options;
    // Who is admitted is decided once per context.
    this.#context = curve === undefined ? zmq.context : new zmq.Context();
    this.#admission =
      curve && new Admission(zmq, this.#context, curve.clientKeys, (error) => this.#tell(error));
    this.#router = new zmq.Router({
      ...socketOptions(endpoint, heartbeatMs),
      context: this.#context,
      mandatory: true,
    });
    if (curve !== undefined) {
      this.#router.curveServer = true;
      this.#router.curveSecretKey = curve.secretKey;
      this.#router.zapDomain = ZAP_DOMAIN;
      // Without this, a missing handler would mean that everybody is admitted.
      this.#router.zapEnforceDomain = true;
    }
    this.#probeTimer = setInterval(() => this.#probe(), heartbeatMs);
    this.#probeTimer.unref();
  }

  get endpoint(): ZmqEndpoint {
    return this.#endpoint;
  }

  async bind(): Promise<void> {
    const { events } = this.#router;
    events.on('disconnect', () => this.#probeSoon());
    events.on('handshake:error:auth', (event) => {
      const message = `${formatEndpoint(this.#endpoint)} admitted no client from ${event.address}: unknown key`;
      this.#options.onError(new ChannelConnectError('no_permission', message));
    });
    if (this.#endpoint.kind === 'zmq+ipc') {
      await this.#bindFile(this.#endpoint.path);
    } else {
      this.#router.bindSync(zmqAddress(this.#endpoint));
      const port = Number(this.#router.lastEndpoint?.split(':').at(-1));
      this.#endpoint = { ...this.#endpoint, port };
    }
    void this.#receive();
  }

  accept(): Promise<Channel> {
    return this.#arrived.next();
  }

  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    this.#arrived.close();
    this.#closeIfIdle();
    await this.#removeFile();
  }

  /**
   * ZeroMQ would take the path from a living listener, and on closing from a later one. So it binds another name beside it,
   * which is then linked to the path: that fails if there is something. Killed in between, we leave the other name behind.
   */
  async #bindFile(path: string): Promise<void> {
    await prepareDirectory(dirname(path), this.#options.createDirectory);
    await removeStaleSocket(path);
    const born = join(dirname(path), `.${randomBytes(4).toString('hex')}`);
    checkSocketPath(born);
    const umask = process.umask(0o777);
    try {
      this.#router.bindSync(`ipc://${born}`);
    } finally {
      process.umask(umask);
    }
    try {
      chmodSync(born, this.#options.mode);
      this.#fileIdentity = (await identify(born))?.identity;
      await linkFile(born, path);
    } catch (error) {
      throw errorCodeOf(error) === 'EEXIST' ? inUse(path) : error;
    } finally {
      await rm(born, { force: true });
    }
  }

  async #removeFile(): Promise<void> {
    if (this.#endpoint.kind !== 'zmq+ipc' || this.#fileIdentity === undefined) return;
    const found = await identify(this.#endpoint.path);
    if (found?.identity === this.#fileIdentity) await rm(this.#endpoint.path, { force: true });
  }

  /** Whatever goes wrong with one message, the next is received: all channels of this listener live by it. */
  async #receive(): Promise<void> {
    while (!this.#router.closed) {
      try {
        const [routingId, message, ...more] = await this.#router.receive();
        this.#messageCount += 1;
        if (routingId === undefined) continue;
        const decoded = message === undefined || more.length > 0 ? undefined : decodeMessage(message);
        const peer = this.#peers.get(routingId.toString('latin1'));
        if (peer === undefined) this.#onFirst(routingId, decoded);
        else peer.channel?.receive(decoded);
      } catch (error) {
        if (this.#router.closed) return;
        this.#tell(error);
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  #tell(error: unknown): void {
    this.#options.onError(error instanceof Error ? error : new Error(String(error)));
  }

  #onFirst(routingId: Buffer, message: ZmqMessage | undefined): void {
    if (message?.kind !== 'hello') {
      this.#refuse(routingId, CLOSE_CODE.protocol, 'protocol_error');
    } else if (this.#closing) {
      this.#refuse(routingId, CLOSE_CODE.notListening, undefined);
    } else if (this.#arrived.full) {
      this.#refuse(routingId, CLOSE_CODE.busy, 'busy');
    } else if (this.#knows(message)) {
      this.#refuse(routingId, CLOSE_CODE.protocol, 'protocol_error');
    } else if (this.#admission === undefined) {
      this.#welcome(routingId, message, undefined);
    } else {
      const curveKey = this.#admission.keyOf(routingId);
      // Admitted, and under a name of its own: it may try again.
      if (curveKey === undefined) this.#refuse(routingId, CLOSE_CODE.busy, 'nameless');
      else this.#welcome(routingId, message, curveKey);
    }
  }

  #knows(hello: HelloMessage): boolean {
    const connectionId = Buffer.from(hello.connectionId).toString('hex');
    return [...this.#peers.values()].some((peer) => peer.connectionId === connectionId);
  }

  #welcome(routingId: Buffer, hello: HelloMessage, curveKey: string | undefined): void {
    this.#connectionCount += 1;
    const name = `${formatEndpoint(this.#endpoint)}#${this.#connectionCount}`;
    const connectionId = Buffer.from(hello.connectionId).toString('hex');
    const peer: RouterPeer = { routingId, connectionId, channel: undefined, ended: false, lost: false };
    const link: MessageLink = {
      send: (message) => this.#send(peer, message),
      end: () => {
        peer.ended = true;
        this.#closeIfIdle();
      },
    };
    const identity = curveKey === undefined ? { name } : { name, curveKey };
    peer.channel = new CreditChannel('server', identity, link, this.#bufferBytes, hello.bufferBytes);
    this.#peers.set(routingId.toString('latin1'), peer);
    void this.#send(peer, encodeWelcome(hello.connectionId, this.#bufferBytes));
    this.#arrived.add(peer.channel);
  }

  /** Says why, and remembers that nothing this connection sends is worth an answer. */
  #refuse(
    routingId: Buffer,
    code: CloseCode,
    told: 'busy' | 'nameless' | 'protocol_error' | undefined,
  ): void {
    const peer: RouterPeer = {
      routingId,
      connectionId: undefined,
      channel: undefined,
      ended: true,
      lost: false,
    };
    this.#peers.set(routingId.toString('latin1'), peer);
    void this.#send(peer, encodeClose(code));
    const url = formatEndpoint(this.#endpoint);
    if (told === 'busy') {
      const message = `a client of ${url} was turned away: too many unaccepted channels`;
      this.#options.onError(new ChannelConnectError('busy', message));
    } else if (told === 'nameless') {
      const message = `a client of ${url} was turned away: the name of its connection is not the one that was given with its admission`;
      this.#options.onError(new ChannelConnectError('busy', message));
    } else if (told === 'protocol_error') {
      const message = `a client of ${url} was turned away: it did not begin with a fresh HELLO`;
      this.#options.onError(new ChannelConnectError('connect_failed', message));
    }
  }

  async #send(peer: RouterPeer, message: Uint8Array): Promise<boolean> {
    if (peer.lost) return false;
    const outcome = await sendPatiently(this.#router, [peer.routingId, message], () => peer.ended);
    if (outcome === 'lost') void this.#onLost(peer);
    return outcome === 'sent';
  }

  /** A ROUTER says that a peer is gone only to who sends it something. */
  #probe(): void {
    if (this.#router.closed) return;
    for (const peer of this.#peers.values()) {
      if (peer.lost) continue;
      this.#router.send([peer.routingId, encodeFlow(0, new Uint8Array(0))]).catch((error: unknown) => {
        // A full queue says that the peer was there a moment ago.
        if (errorCodeOf(error) === 'EHOSTUNREACH') void this.#onLost(peer);
      });
    }
  }

  #probeSoon(): void {
    for (const delayMs of PROBE_DELAYS_MS) setTimeout(() => this.#probe(), delayMs).unref();
  }

  async #onLost(peer: RouterPeer): Promise<void> {
    if (peer.lost) return;
    peer.lost = true;
    await drained(() => this.#messageCount);
    peer.channel?.lost('connection lost');
    peer.ended = true;
    this.#peers.delete(peer.routingId.toString('latin1'));
    this.#closeIfIdle();
  }

  #closeIfIdle(): void {
    if (!this.#closing || this.#router.closed) return;
    for (const peer of this.#peers.values()) if (!peer.ended) return;
    clearInterval(this.#probeTimer);
    this.#router.close();
    this.#admission?.close();
  }
}

/** Sends as soon as there is room in ZeroMQ's queue, unless the peer is gone by then, or nobody waits for it any more. */
async function sendPatiently<M extends zmq.MessageLike | zmq.MessageLike[]>(
  socket: zmq.Socket & zmq.Writable<M>,
  message: M,
  isGivenUp: () => boolean,
): Promise<'sent' | 'lost' | 'given-up'> {
  for (let attempt = 0; !socket.closed; attempt++) {
    try {
      await socket.send(message);
      return 'sent';
    } catch (error) {
      if (errorCodeOf(error) !== 'EAGAIN') return 'lost';
    }
    if (isGivenUp()) return 'given-up';
    if (attempt < RETRY_TURN_COUNT) await nextTurn();
    else await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
  return 'given-up';
}

/** Resolves when no message has arrived for some turns. Asking the socket itself would swallow the signal of the next one. */
async function drained(messageCount: () => number): Promise<void> {
  let seenCount = messageCount();
  for (let turn = 0; turn < DRAINED_TURN_COUNT; turn++) {
    await nextTurn();
    if (messageCount() === seenCount) continue;
    seenCount = messageCount();
    turn = 0;
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function isForbidden(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return false;
  } catch (error) {
    return errorCodeOf(error) === 'EACCES';
  }
}
