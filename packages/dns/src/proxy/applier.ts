/**
 * The applier, which opens addresses in the kernel before a qube gets them: a socket, reconnected whenever it
 * fails. The requests of one turn go out together. An edge: machine.ts decides when to ask, and what the
 * outcome means.
 */

import { AnswerReader, type OpeningOutcome, Outcome, openingFrame } from '@rulecast/nftables/openings';
import type { NewOpening } from './machine.ts';
import { AGAIN, close, openStream, receive, SocketError, send } from './native.ts';
import type { Watch } from './watch.ts';

/** Between attempts to connect. */
const AGAIN_MS = 100;
/** Bytes of requests that it does not read; beyond, nothing more is asked. */
const UNREAD_MAX_BYTES = 1_048_576;
/** Bytes of answers that are read at a time. */
const READ_BYTES = 16_384;
const ID_MAX = 0xffff_ffff;

/** `index`: of the opening among those of the wait. */
type OnOutcome = (wait: number, index: number, outcome: OpeningOutcome) => void;

export class ApplierSocket {
  readonly #path: string;
  readonly #watch: Watch;
  readonly #onOutcome: OnOutcome;
  /** Requests that wait for an answer, by number. */
  readonly #asked = new Map<number, { readonly wait: number; readonly index: number }>();
  readonly #read = new Uint8Array(READ_BYTES);
  /** Undefined: it is not connected. */
  #fd: number | undefined;
  #reader = new AnswerReader();
  /** Bytes that the socket has not taken yet. */
  #unsent: Uint8Array[] = [];
  #unsentBytes = 0;
  #isToFlush = false;
  /** The socket accepts no more until there is room. */
  #isFull = false;
  #again: NodeJS.Timeout | undefined;
  #lastId = 0;

  /** `onOutcome` is called once for each opening, perhaps from within `ask`. */
  constructor(path: string, watch: Watch, onOutcome: OnOutcome) {
    this.#path = path;
    this.#watch = watch;
    this.#onOutcome = onOutcome;
    this.#connect();
  }

  #connect(): void {
    try {
      const fd = openStream(this.#path);
      this.#fd = fd;
      this.#watch.add(fd, () => this.#ready(fd));
    } catch (error) {
      if (!(error instanceof SocketError)) throw error;
      this.#lose();
    }
  }

  /** The connection is lost: open requests end as `later`, and are tried once more on another one. */
  #lose(): void {
    this.#disconnect();
    for (const id of [...this.#asked.keys()]) this.#take(id, Outcome.later);
    this.#again = setTimeout(() => this.#connect(), AGAIN_MS);
  }

  #disconnect(): void {
    const fd = this.#fd;
    this.#fd = undefined;
    this.#reader = new AnswerReader();
    this.#unsent = [];
    this.#unsentBytes = 0;
    this.#isFull = false;
    if (fd === undefined) return;
    this.#watch.delete(fd);
    close(fd);
  }

  #ready(fd: number): void {
    if (this.#fd !== fd) return;
    if (this.#unsentBytes > 0) this.#flush();
    const count = receive(fd, this.#read);
    if (count === AGAIN || this.#fd !== fd) return;
    if (count <= 0) return this.#lose();
    const answers = this.#answersIn(this.#read.subarray(0, count));
    if (answers === undefined) return this.#lose(); // it is no applier
    for (const { id, outcome } of answers) this.#take(id, outcome);
  }

  #answersIn(bytes: Uint8Array): ReturnType<AnswerReader['feed']> | undefined {
    try {
      return this.#reader.feed(bytes);
    } catch {
      return undefined;
    }
  }

  #take(id: number, outcome: OpeningOutcome): void {
    const asked = this.#asked.get(id);
    if (asked === undefined) return;
    this.#asked.delete(id);
    this.#onOutcome(asked.wait, asked.index, outcome);
  }

  get isConnected(): boolean {
    return this.#fd !== undefined;
  }

  ask(wait: number, openings: readonly NewOpening[]): void {
    for (const [index, opening] of openings.entries()) {
      const id = (this.#lastId % ID_MAX) + 1;
      this.#lastId = id;
      this.#asked.set(id, { wait, index });
      if (this.#fd === undefined || this.#unsentBytes >= UNREAD_MAX_BYTES) this.#take(id, Outcome.later);
      else this.#put(openingFrame({ ...opening, id }));
    }
  }

  #put(frame: Uint8Array): void {
    this.#unsent.push(frame);
    this.#unsentBytes += frame.length;
    if (this.#isToFlush) return;
    this.#isToFlush = true;
    queueMicrotask(() => {
      this.#isToFlush = false;
      if (!this.#isFull) this.#flush();
    });
  }

  #flush(): void {
    const fd = this.#fd;
    if (fd === undefined || this.#unsentBytes === 0) return;
    const bytes = Buffer.concat(this.#unsent);
    const sent = send(fd, bytes);
    if (sent < 0 && sent !== AGAIN) return this.#lose();
    const left = bytes.subarray(Math.max(0, sent));
    const isFull = left.length > 0;
    this.#unsent = isFull ? [left] : [];
    this.#unsentBytes = left.length;
    if (isFull !== this.#isFull) this.#watch.change(fd, isFull);
    this.#isFull = isFull;
  }

  close(): void {
    this.#disconnect();
    clearTimeout(this.#again);
    this.#asked.clear();
  }
}
