/** The listener's end: one ROUTER for all connections. */

import { randomBytes } from 'node:crypto';
import { chmodSync } from 'node:fs';
import { link as linkFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as zmq from 'zeromq';
import type { AcceptQueue } from '../channel/accept-queue.ts';
import { type Channel, ChannelConnectError, type Listener } from '../channel/channel.ts';
import { checkSocketPath, formatEndpoint, type ZmqEndpoint } from '../channel/endpoint.ts';
import { errorCodeOf, identify, inUse, prepareDirectory, removeStaleSocket } from '../stream/socket-file.ts';
import { CreditChannel, type MessageLink } from './credit-channel.ts';
import { Admission, ZAP_DOMAIN } from './curve.ts';
import {
  CLOSE_CODE,
  type CloseCode,
  decodeMessage,
  encodeClose,
  encodeFlow,
  encodeWelcome,
  type HelloMessage,
  type ZmqMessage,
} from './message.ts';
import {
  drained,
  HEARTBEAT_MS,
  type ListenZmqOptions,
  RETRY_MS,
  sendPatiently,
  socketOptions,
  zmqAddress,
} from './socket.ts';

// Our choice.

/**
 * When a ROUTER probes its peers after a connection has ended: ZeroMQ may report the end before it has
 * removed the peer.
 */
const PROBE_DELAYS_MS = [0, 20, 200] as const;

/** One connection to the ROUTER, from its first message until ZeroMQ has no such peer any more. */
interface RouterPeer {
  /** ZeroMQ's name for the connection; never the same for two. */
  readonly routingId: Buffer;
  /** The id in the HELLO, in hexadecimal. */
  readonly connectionId: string | undefined;
  /** `undefined` for a connection that was refused. */
  channel: CreditChannel | undefined;
  /** The channel's last message has been sent. */
  ended: boolean;
  lost: boolean;
}

export class ZmqListener implements Listener {
  #endpoint: ZmqEndpoint;
  readonly #arrived: AcceptQueue;
  readonly #bufferBytes: number;
  readonly #options: ListenZmqOptions;
  readonly #context: zmq.Context;
  readonly #router: zmq.Router;
  readonly #admission: Admission | undefined;
  readonly #peers = new Map<string, RouterPeer>();
  readonly #probeTimer: NodeJS.Timeout;
  /** The identity of our socket file. */
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
    // The admitted clients are fixed for a context.
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
      this.#options.onError(new ChannelConnectError('no-permission', message));
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
   * ZeroMQ would take the path from a living listener, and on closing from a later one. So it binds another
   * name beside it, which is then linked to the path: that fails if there is something. Killed in between, we
   * leave the other name behind.
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

  /** If one message fails, the next is still received: all channels of this listener depend on it. */
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
      this.#refuse(routingId, CLOSE_CODE.protocol, 'protocol-error');
    } else if (this.#closing) {
      this.#refuse(routingId, CLOSE_CODE.notListening, undefined);
    } else if (this.#arrived.full) {
      this.#refuse(routingId, CLOSE_CODE.busy, 'busy');
    } else if (this.#knows(message)) {
      this.#refuse(routingId, CLOSE_CODE.protocol, 'protocol-error');
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
    told: 'busy' | 'nameless' | 'protocol-error' | undefined,
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
      const message = `a client of ${url} was turned away: its connection has another name than its admission`;
      this.#options.onError(new ChannelConnectError('busy', message));
    } else if (told === 'protocol-error') {
      const message = `a client of ${url} was turned away: it did not begin with a fresh HELLO`;
      this.#options.onError(new ChannelConnectError('connect-failed', message));
    }
  }

  async #send(peer: RouterPeer, message: Uint8Array): Promise<boolean> {
    if (peer.lost) return false;
    const outcome = await sendPatiently(this.#router, [peer.routingId, message], () => peer.ended);
    if (outcome === 'lost') void this.#onLost(peer);
    return outcome === 'sent';
  }

  /** Sends each peer an empty message: a ROUTER reports a lost peer only to a sender. */
  #probe(): void {
    if (this.#router.closed) return;
    for (const peer of this.#peers.values()) {
      if (peer.lost) continue;
      this.#router.send([peer.routingId, encodeFlow(0, new Uint8Array(0))]).catch((error: unknown) => {
        // A full queue means that the peer was there a moment ago.
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
