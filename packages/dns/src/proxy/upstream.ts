/**
 * How upstreams are asked. Each question by datagram is sent from its own random port, on a connected socket,
 * so that a forger has to guess the port and use the upstream's address. A disconnected socket loses its port
 * and gets another at the next connect, which is quicker than a new socket. An edge.
 */

import { connect } from 'node:net';
import type { Family } from '@rulecast/rules';
import { framed, MessageStream } from '../message/stream.ts';
import { MESSAGE_MAX_BYTES } from '../message/wire.ts';
import { IDLE_SOCKETS_MAX } from './limits.ts';
import {
  AGAIN,
  close,
  connectDatagrams,
  disconnect,
  familyOf,
  openDatagrams,
  receive,
  SocketError,
  send,
  socketAddressOf,
} from './native.ts';
import type { Watch } from './watch.ts';

export const DNS_PORT = 53;

/** An IP address and a port of it. */
export interface DnsEndpoint {
  readonly address: string;
  readonly port: number;
}

/** With a name it is asked over TLS only, and its certificate must be for that name. */
export interface DnsUpstream extends DnsEndpoint {
  readonly tlsName?: string;
}

/** A question under way. */
export interface Asking {
  /** Stops waiting; no event follows. Called once. */
  close(): void;
}

export type Ask = (
  endpoint: DnsEndpoint,
  bytes: Uint8Array,
  onAnswer: (answer: Uint8Array) => void,
  onFailure: () => void,
) => Asking;

export class UpstreamSockets {
  readonly #watch: Watch;
  readonly #idle: Readonly<Record<Family, OneSocket[]>> = { 4: [], 6: [] };
  /** As the kernel has them. */
  readonly #addresses = new WeakMap<DnsEndpoint, Uint8Array>();
  #isClosed = false;

  constructor(watch: Watch) {
    this.#watch = watch;
  }

  readonly ask: Ask = (endpoint, bytes, onAnswer, onFailure) => {
    const to = this.#addressOf(endpoint);
    const idle = this.#idle[familyOf(to)];
    try {
      const socket = idle.pop() ?? new OneSocket(familyOf(to), this.#watch);
      if (socket.ask(to, bytes, onAnswer, onFailure)) return { close: () => this.#release(socket, idle) };
      socket.close();
    } catch (error) {
      if (!(error instanceof SocketError)) throw error; // no more sockets are available
    }
    return failing(onFailure);
  };

  #addressOf(endpoint: DnsEndpoint): Uint8Array {
    const known = this.#addresses.get(endpoint) ?? socketAddressOf(endpoint);
    this.#addresses.set(endpoint, known);
    return known;
  }

  #release(socket: OneSocket, idle: OneSocket[]): void {
    if (socket.rest() && !this.#isClosed && idle.length < IDLE_SOCKETS_MAX) idle.push(socket);
    else socket.close();
  }

  close(): void {
    this.#isClosed = true;
    for (const idle of Object.values(this.#idle)) for (const socket of idle.splice(0)) socket.close();
  }
}

/** The buffer of all receives; answers are copied out of it. */
const RECEIVED = new Uint8Array(MESSAGE_MAX_BYTES);

/** One question at a time. */
class OneSocket {
  readonly #watch: Watch;
  readonly #fd: number;
  #onAnswer: ((answer: Uint8Array) => void) | undefined;
  #onFailure: (() => void) | undefined;

  /** Throws SocketError. */
  constructor(family: Family, watch: Watch) {
    this.#watch = watch;
    this.#fd = openDatagrams(family);
    watch.add(this.#fd, () => this.#receive());
  }

  /** Whether it could be sent. */
  ask(
    to: Uint8Array,
    bytes: Uint8Array,
    onAnswer: (answer: Uint8Array) => void,
    onFailure: () => void,
  ): boolean {
    this.#onAnswer = onAnswer;
    this.#onFailure = onFailure;
    if (!connectDatagrams(this.#fd, to)) return false;
    // The first send may report an error of the question before.
    return send(this.#fd, bytes) >= 0 || send(this.#fd, bytes) >= 0;
  }

  /** Reads late answers too, as the socket would otherwise stay readable. */
  #receive(): void {
    const count = receive(this.#fd, RECEIVED);
    if (count >= 0) this.#onAnswer?.(RECEIVED.slice(0, count));
    else if (count !== AGAIN) this.#onFailure?.();
  }

  /** Gives its port back. Whether it can be used again. */
  rest(): boolean {
    this.#onAnswer = undefined;
    this.#onFailure = undefined;
    return disconnect(this.#fd);
  }

  close(): void {
    this.#onAnswer = undefined;
    this.#onFailure = undefined;
    this.#watch.delete(this.#fd);
    close(this.#fd);
  }
}

/** A query that fails, but after the caller has registered it. */
function failing(onFailure: () => void): Asking {
  let isAwaited = true;
  queueMicrotask(() => {
    if (isAwaited) onFailure();
  });
  return {
    close: () => {
      isAwaited = false;
    },
  };
}

export const askByStream: Ask = ({ address, port }, bytes, onAnswer, onFailure) => {
  const socket = connect(port, address);
  const stream = new MessageStream();
  socket.write(framed(bytes));
  socket.on('data', (chunk) => {
    for (const answer of stream.feed(chunk)) onAnswer(Uint8Array.from(answer));
  });
  socket.on('error', () => undefined); // `close` comes after it
  socket.on('close', onFailure);
  return { close: () => socket.destroy() };
};
