/**
 * A depot by a session with its publisher, which announces each head at once. One connection, made on demand.
 * DEPOT.md "Relays".
 */

import { type DepotSource, SourceError } from '@rulecast/depot';
import {
  type ByteStream,
  Connection,
  FRAME_BODY_MAX_BYTES,
  HANDSHAKE_TIMEOUT_MS,
  joinReports,
  type Message,
  type ObjectReference,
  PROTOCOL_VERSION,
  REPORT_MAX_BYTES,
  type SteadyClock,
  splitReports,
  TRANSFER_WINDOW_MS,
} from '@rulecast/protocol';
import { Heartbeat } from '@rulecast/sessions';

/** The least between two connections. Our choice. */
const PAUSE_MS = 1000;
/** A firewall waits five seconds for what answers its nonce. Our choice. */
const REPORT_MS = 4000;
/** The number of reports of the largest size that fit one frame. */
const REPORTS_PER_FRAME = Math.floor(FRAME_BODY_MAX_BYTES / (REPORT_MAX_BYTES + 2));

export interface SessionSourceOptions {
  /** The endpoint, for people. */
  readonly name: string;
  /** The name of the relay. */
  readonly relay: string;
  readonly open: () => Promise<ByteStream>;
  readonly clock: SteadyClock;
}

export class SessionSource implements DepotSource {
  readonly name: string;
  readonly #options: SessionSourceOptions;
  #line: Promise<Line> | undefined;
  #head: Uint8Array | undefined;
  #onHead = (): void => undefined;
  /** Fetches one at a time, as the publisher answers them. */
  #fetching: Promise<unknown> = Promise.resolve();
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  #fault = '';
  #isClosed = false;

  constructor(options: SessionSourceOptions) {
    this.#options = options;
    this.name = options.name;
  }

  async head(isAgain = false): Promise<Uint8Array | undefined> {
    const { head } = await this.#connected();
    if (head === this.#head && !isAgain) return undefined;
    this.#head = head;
    return head;
  }

  object(reference: ObjectReference): Promise<Uint8Array> {
    const fetched = this.#fetching.then(async () => (await this.#connected()).fetch(reference));
    this.#fetching = fetched.catch(() => undefined); // the caller handles the error
    return fetched;
  }

  async report(reports: readonly Uint8Array[]): Promise<readonly Uint8Array[]> {
    const line = await this.#connected();
    const answers: Uint8Array[] = [];
    for (let at = 0; at < reports.length; at += REPORTS_PER_FRAME)
      answers.push(...(await line.report(reports.slice(at, at + REPORTS_PER_FRAME))));
    return answers;
  }

  onHead(listener: () => void): void {
    this.#onHead = listener;
  }

  close(): void {
    this.#isClosed = true;
    void this.#line?.then((line) => line.end('closed')).catch(() => undefined);
  }

  #connected(): Promise<Line> {
    const { clock } = this.#options;
    if (this.#isClosed || clock.monotonicMs() < this.#notBeforeMs)
      return Promise.reject(new SourceError(`${this.name}: ${this.#fault}`));
    this.#line ??= this.#connect();
    return this.#line;
  }

  async #connect(): Promise<Line> {
    try {
      const { open, clock, relay } = this.#options;
      const line = new Line(await open(), this.name, clock);
      line.onHead = () => this.#onHead();
      line.onEnd = (text, retryAfterMs) => this.#ended(text, retryAfterMs);
      await line.greet(relay);
      return line;
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      this.#ended(text, 0);
      throw error instanceof SourceError ? error : new SourceError(`${this.name}: ${text}`);
    }
  }

  /** Another connection may be made after a pause, on demand. */
  #ended(text: string, retryAfterMs: number): void {
    const { clock } = this.#options;
    if (this.#line === undefined) return;
    this.#line = undefined;
    this.#fault = text;
    const pauseMs = Math.max(PAUSE_MS, retryAfterMs);
    this.#notBeforeMs = clock.monotonicMs() + pauseMs;
    if (!this.#isClosed) clock.after(pauseMs, () => this.#onHead());
  }
}

/** A pending request, with its timer. */
interface Awaited<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: SourceError) => void;
  cancel: () => void;
}

class Line {
  head: Uint8Array | undefined;
  onHead = (): void => undefined;
  onEnd = (_text: string, _retryAfterMs: number): void => undefined;
  readonly #connection: Connection;
  readonly #name: string;
  readonly #clock: SteadyClock;
  #heartbeat: Heartbeat | undefined;
  #greeted: Awaited<void> | undefined;
  #object: (Awaited<Uint8Array> & { readonly bytes: Uint8Array; filled: number }) | undefined;
  #answers: (Awaited<readonly Uint8Array[]> & { readonly count: number }) | undefined;
  #fault: SourceError | undefined;

  constructor(stream: ByteStream, name: string, clock: SteadyClock) {
    this.#connection = new Connection(stream, { after: (ms, work) => clock.after(ms, work) });
    this.#name = name;
    this.#clock = clock;
  }

  /** Resolves with the publisher's WELCOME. */
  greet(relay: string): Promise<void> {
    const greeted = this.#await<void>(HANDSHAKE_TIMEOUT_MS, (awaited) => {
      this.#greeted = awaited;
    });
    this.#send({ kind: 'relay', protocolMin: PROTOCOL_VERSION, protocolMax: PROTOCOL_VERSION, name: relay });
    void this.#run();
    return greeted;
  }

  fetch({ sha256, length }: ObjectReference): Promise<Uint8Array> {
    const fetched = this.#await<Uint8Array>(TRANSFER_WINDOW_MS, (awaited) => {
      this.#object = { ...awaited, bytes: new Uint8Array(length), filled: 0 };
    });
    this.#send({ kind: 'fetch', sha256, length });
    return fetched;
  }

  report(reports: readonly Uint8Array[]): Promise<readonly Uint8Array[]> {
    const answers = this.#await<readonly Uint8Array[]>(REPORT_MS, (awaited) => {
      this.#answers = { ...awaited, count: reports.length };
    });
    this.#send({ kind: 'reports', bytes: joinReports(reports) });
    return answers;
  }

  end(text: string, retryAfterMs = 0): void {
    if (this.#fault !== undefined) return;
    this.#fault = new SourceError(`${this.#name}: ${text}`);
    this.#heartbeat?.stop();
    this.#connection.close();
    for (const awaited of [this.#greeted, this.#object, this.#answers]) {
      awaited?.cancel();
      awaited?.reject(this.#fault);
    }
    this.onEnd(text, retryAfterMs);
  }

  /** Waits for an answer; one that is too slow ends the connection. */
  #await<T>(ms: number, begin: (awaited: Awaited<T>) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#fault !== undefined) return reject(this.#fault);
      begin({ resolve, reject, cancel: this.#within(ms) });
    });
  }

  #within(ms: number): () => void {
    return this.#clock.after(ms, () => this.end(`no answer in ${ms / 1000} s`));
  }

  #send(message: Message): void {
    this.#connection.send(message).catch(() => undefined); // the receiver notices it
  }

  async #run(): Promise<void> {
    try {
      for (;;) {
        const received = await this.#connection.receive();
        if (received === undefined) break;
        this.#heartbeat?.heard();
        this.#hear(received.message);
      }
      this.end('the connection ended');
    } catch (error) {
      this.end(error instanceof Error ? error.message : String(error));
    }
  }

  #hear(message: Message): void {
    switch (message.kind) {
      case 'welcome': {
        const silent = (): void => this.end('nothing was heard for too long');
        this.#heartbeat = new Heartbeat(this.#connection, this.#clock, message.heartbeatMs, silent);
        this.#greeted?.cancel();
        return this.#greeted?.resolve();
      }
      case 'head':
        this.head = message.bytes;
        return this.onHead();
      case 'chunk':
        return this.#taken(message.bytes);
      case 'abort':
      case 'end':
        return this.#objectOver(message);
      case 'answers':
        return this.#answered(splitReports(message.bytes));
      case 'ping':
        return this.#send({ kind: 'pong' });
      case 'bye':
        return this.end(`${message.code}: ${message.text}`, message.retryAfterMs);
      case 'begin':
      case 'pong':
        return;
      default:
        return this.end(`it sent ${message.kind}, which a relay does not accept`);
    }
  }

  #taken(bytes: Uint8Array): void {
    const object = this.#object;
    if (object === undefined || object.filled + bytes.length > object.bytes.length)
      return this.end('it sent more than requested');
    object.cancel();
    object.cancel = this.#within(TRANSFER_WINDOW_MS);
    object.bytes.set(bytes, object.filled);
    object.filled += bytes.length;
  }

  #objectOver(message: Message): void {
    const object = this.#object;
    if (object === undefined) return this.end('it ended an object that was not requested');
    this.#object = undefined;
    object.cancel();
    if (message.kind === 'abort') return object.reject(new SourceError(`${this.#name}: ${message.text}`));
    if (object.filled === object.bytes.length) return object.resolve(object.bytes);
    object.reject(new SourceError(`${this.#name}: an object is shorter than it should be`));
  }

  #answered(answers: readonly Uint8Array[]): void {
    const awaited = this.#answers;
    this.#answers = undefined;
    awaited?.cancel();
    if (awaited?.count !== answers.length) return this.end('its answers are for other reports');
    awaited.resolve(answers);
  }
}
