/** The client's end: a DEALER for one connection. */

import { randomBytes } from 'node:crypto';
import { accessSync, constants } from 'node:fs';
import * as zmq from 'zeromq';
import {
  abortedError,
  type Channel,
  ChannelConnectError,
  type ChannelConnectErrorCode,
} from '../channel/channel.ts';
import { formatEndpoint, type ZmqEndpoint } from '../channel/endpoint.ts';
import { errorCodeOf, permissionText, textOf } from '../stream/socket-file.ts';
import { CreditChannel, type MessageLink } from './credit-channel.ts';
import { CLOSE_CODE, CONNECTION_ID_BYTES, decodeMessage, encodeHello, type ZmqMessage } from './message.ts';
import {
  type ConnectZmqOptions,
  drained,
  HEARTBEAT_MS,
  sendPatiently,
  socketOptions,
  zmqAddress,
} from './socket.ts';

// Our choice.

/**
 * "Never": the event of the first disconnection closes the socket. -1 would drop what has arrived and was not
 * read.
 */
const RECONNECT_MS = 86_400_000;

interface ConnectAttempt {
  readonly resolve: (channel: Channel) => void;
  readonly reject: (error: ChannelConnectError) => void;
}

/** The client's socket: one connection, from HELLO to CLOSE. */
export class DealerLink implements MessageLink {
  readonly #endpoint: ZmqEndpoint;
  readonly #url: string;
  readonly #bufferBytes: number;
  readonly #socket: zmq.Dealer;
  readonly #connectionId = randomBytes(CONNECTION_ID_BYTES);
  #attempt: ConnectAttempt | undefined;
  #channel: CreditChannel | undefined;
  /** Whether any server accepted the connection. */
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
          // Messages that were never sent must not keep the process alive.
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
        'no-permission',
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
      return this.#fail('no-permission', permissionText(url, this.#endpoint.path));
    }
    this.#fail('nobody-listens', `nobody listens on ${url}: start the listening side, or check the address`);
  }

  async #onDisconnected(): Promise<void> {
    await drained(() => this.#messageCount);
    this.#channel?.lost('connection lost');
    const message = `${this.#url} ended the connection unanswered: is it a Rulecast listener, and do the curve keys match?`;
    this.#fail('connect-failed', message);
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
      // The socket was closed while this waited; the caller that closed it knows why.
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
      this.#fail('nobody-listens', `the listener on ${this.#url} is closing: start it again`);
    } else {
      this.#fail('connect-failed', `${this.#url} did not answer as a Rulecast listener: check the address`);
    }
  }
}

function isForbidden(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return false;
  } catch (error) {
    return errorCodeOf(error) === 'EACCES';
  }
}
