/**
 * How upstreams are asked. Each question by datagram goes out from a port that the kernel draws for it alone,
 * of a socket that is connected, so that whoever would forge an answer has to guess the port, and to be
 * believed to be the upstream. A socket that is disconnected loses its port, and has another once it connects
 * again: that takes a third of the time of a new socket. An edge.
 */

import { createSocket, type Socket as Datagrams, type SocketOptions } from 'node:dgram';
import { connect } from 'node:net';
import { framed, MessageStream } from '../message/stream.ts';
import { IDLE_SOCKETS_MAX } from './limits.ts';

/** An IP address and a port of it. */
export interface DnsEndpoint {
  readonly address: string;
  readonly port: number;
}

/** With a name it is asked over TLS, or not at all, and that is what its certificate has to be for. */
export interface DnsUpstream extends DnsEndpoint {
  readonly tlsName?: string;
}

/** A question that is under way. */
export interface Asking {
  /** Nothing more is awaited; nothing is told from then on. */
  close(): void;
}

export type Ask = (
  endpoint: DnsEndpoint,
  bytes: Uint8Array,
  onAnswer: (answer: Uint8Array) => void,
  onFailure: () => void,
) => Asking;

type Family = 'udp4' | 'udp6';

/** Addresses are all that is asked for or answered to: Node would look them up, a turn later. */
export const ADDRESSES_ONLY = {
  lookup: (address, family, callback) => callback(null, address, Number(family)),
} as const satisfies Pick<SocketOptions, 'lookup'>;

export class UpstreamSockets {
  readonly #idle: Readonly<Record<Family, OneSocket[]>> = { udp4: [], udp6: [] };
  #isClosed = false;

  readonly ask: Ask = (endpoint, bytes, onAnswer, onFailure) => {
    const family = endpoint.address.includes(':') ? 'udp6' : 'udp4'; // as `formatAddress` writes it
    const socket = this.#idle[family].pop() ?? new OneSocket(family);
    socket.ask(endpoint, bytes, onAnswer, onFailure);
    return { close: () => this.#release(socket, family) };
  };

  #release(socket: OneSocket, family: Family): void {
    const idle = this.#idle[family];
    if (socket.rest() && !this.#isClosed && idle.length < IDLE_SOCKETS_MAX) idle.push(socket);
    else socket.close();
  }

  close(): void {
    this.#isClosed = true;
    for (const idle of Object.values(this.#idle)) for (const socket of idle.splice(0)) socket.close();
  }
}

/** One question at a time. */
class OneSocket {
  readonly #socket: Datagrams;
  #onAnswer: ((answer: Uint8Array) => void) | undefined;
  #onFailure: (() => void) | undefined;
  #isBroken = false;

  constructor(type: Family) {
    this.#socket = createSocket({ type, ...ADDRESSES_ONLY });
    this.#socket.on('message', (answer) => this.#onAnswer?.(answer));
    this.#socket.on('error', () => this.#fail());
  }

  ask(
    { address, port }: DnsEndpoint,
    bytes: Uint8Array,
    onAnswer: (answer: Uint8Array) => void,
    onFailure: () => void,
  ): void {
    this.#onAnswer = onAnswer;
    this.#onFailure = onFailure;
    this.#socket.connect(port, address);
    try {
      this.#socket.send(bytes, (error) => {
        if (error !== null) this.#fail();
      });
    } catch {
      this.#isBroken = true; // it could not be connected: `error` follows
    }
  }

  #fail(): void {
    this.#isBroken = true;
    this.#onFailure?.();
  }

  /** Gives its port back. Whether it can be used again. */
  rest(): boolean {
    this.#onAnswer = undefined;
    this.#onFailure = undefined;
    if (!this.#isBroken) this.#socket.disconnect();
    return !this.#isBroken;
  }

  close(): void {
    this.#socket.close();
  }
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
