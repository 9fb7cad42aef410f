/**
 * The connection to an upstream that is asked over TLS, and its clock. The server must have a trusted
 * certificate for the upstream's name; else nothing is sent, and no other transport is tried. An edge:
 * line.ts decides what to ask, and reads the answers.
 */

import { connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';
import { UNREAD_MAX_BYTES } from './limits.ts';
import { Line, type LineEffect } from './line.ts';
import type { Ask, DnsEndpoint } from './upstream.ts';

export interface TlsUpstreamOptions {
  readonly endpoint: DnsEndpoint;
  /** The name that its certificate has to be for. */
  readonly name: string;
  /** Trusted certificates, as PEM; absent: those of Node. */
  readonly ca?: string | undefined;
  readonly nowMs: () => number;
  /** Called with the reason why it cannot connect; undefined: it can again. Only on changes. */
  readonly tell: (why: string | undefined) => void;
}

/** RFC 8310 §8.1, RFC 9325: nothing older. */
const OLDEST = 'TLSv1.2';

interface Waiting {
  readonly onAnswer: (answer: Uint8Array) => void;
  readonly onFailure: () => void;
}

export class TlsUpstream {
  readonly #options: TlsUpstreamOptions;
  readonly #context: SecureContext;
  readonly #line = new Line();
  readonly #waiting = new Map<number, Waiting>();
  #socket: TLSSocket | undefined;
  #timer: NodeJS.Timeout | undefined;
  #lastQuery = 0;
  #told: string | undefined;
  #isClosed = false;

  /** Throws if `ca` is not a certificate. */
  constructor(options: TlsUpstreamOptions) {
    this.#options = options;
    const { ca } = options;
    this.#context = createSecureContext({ minVersion: OLDEST, ...(ca !== undefined && { ca }) });
  }

  readonly ask: Ask = (_, bytes, onAnswer, onFailure) => {
    const query = ++this.#lastQuery;
    this.#waiting.set(query, { onAnswer, onFailure });
    this.#follow(this.#line.ask(query, bytes, this.#options.nowMs()));
    return {
      close: () => {
        this.#waiting.delete(query);
        this.#line.close(query);
        this.#setTimer();
      },
    };
  };

  #follow(effects: readonly LineEffect[]): void {
    for (const effect of effects) {
      switch (effect.kind) {
        case 'connect':
          this.#connect();
          break;
        case 'write':
          this.#write(effect.bytes);
          break;
        case 'end':
          this.#end();
          break;
        case 'answer':
          this.#waiting.get(effect.query)?.onAnswer(effect.bytes);
          break;
        case 'fail': {
          const { query } = effect;
          queueMicrotask(() => this.#waiting.get(query)?.onFailure()); // not within `ask`
          break;
        }
      }
    }
    this.#setTimer();
  }

  #connect(): void {
    const { endpoint, name, nowMs } = this.#options;
    const socket = connect({
      host: endpoint.address,
      port: endpoint.port,
      servername: name,
      secureContext: this.#context,
      rejectUnauthorized: true, // even if NODE_TLS_REJECT_UNAUTHORIZED turns it off
    });
    this.#socket = socket;
    socket.setNoDelay(true);
    let why = 'it ends the connection';
    const isOurs = (): boolean => this.#socket === socket;
    socket.on('secureConnect', () => {
      if (!isOurs()) return;
      this.#tell(undefined);
      this.#follow(this.#line.connected(nowMs()));
    });
    socket.on('data', (chunk) => {
      if (isOurs()) this.#follow(this.#line.received(chunk, nowMs()));
    });
    socket.on('error', (error) => {
      why = error.message; // `close` comes after it
    });
    socket.on('close', () => {
      if (!isOurs()) return;
      this.#socket = undefined;
      if (!socket.authorized) this.#tell(why);
      this.#follow(this.#line.ended(nowMs()));
    });
  }

  #write(bytes: Uint8Array): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    if (socket.writableLength > UNREAD_MAX_BYTES) socket.destroy();
    else socket.write(bytes);
  }

  /** The line's own end: of a connection that is not used, or of use. */
  #end(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket?.authorized === false) this.#tell('it does not answer in time');
    socket?.destroy();
  }

  #tell(why: string | undefined): void {
    if (why === this.#told) return;
    this.#told = why;
    this.#options.tell(why);
  }

  #setTimer(): void {
    clearTimeout(this.#timer);
    const { deadlineMs } = this.#line;
    if (deadlineMs === undefined || this.#isClosed) return;
    const { nowMs } = this.#options;
    this.#timer = setTimeout(
      () => this.#follow(this.#line.expire(nowMs())),
      Math.max(0, deadlineMs - nowMs()),
    );
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#waiting.clear();
    const socket = this.#socket;
    this.#socket = undefined; // its events are ignored
    socket?.destroy();
  }
}
