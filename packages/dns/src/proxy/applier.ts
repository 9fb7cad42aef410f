/**
 * The applier, which has addresses in the kernel before a qube is told them: a socket that is connected to
 * again and again. An edge: when to ask, and what to make of the outcome, is machine.ts.
 */

import { connect, type Socket } from 'node:net';
import { AnswerReader, type OpeningOutcome, Outcome, openingFrame } from '@rulecast/nftables/openings';
import type { NewOpening } from './machine.ts';

/** Between attempts to connect. */
const AGAIN_MS = 100;
/** Bytes of requests that it does not read; beyond, nothing more is asked. */
const UNREAD_MAX_BYTES = 1_048_576;
const ID_MAX = 0xffff_ffff;

/** `index`: of the opening among those of the wait. */
type OnOutcome = (wait: number, index: number, outcome: OpeningOutcome) => void;

export class ApplierSocket {
  readonly #path: string;
  readonly #onOutcome: OnOutcome;
  /** What waits for an answer, by the number of the request. */
  readonly #asked = new Map<number, { readonly wait: number; readonly index: number }>();
  #socket: Socket | undefined;
  #again: NodeJS.Timeout | undefined;
  #lastId = 0;

  /** `onOutcome` is told once for each opening, also from within `ask`. */
  constructor(path: string, onOutcome: OnOutcome) {
    this.#path = path;
    this.#onOutcome = onOutcome;
    this.#connect();
  }

  #connect(): void {
    const socket = connect(this.#path);
    const reader = new AnswerReader();
    socket.on('connect', () => {
      this.#socket = socket;
    });
    socket.on('data', (bytes) => {
      try {
        for (const { id, outcome } of reader.feed(bytes)) this.#take(id, outcome);
      } catch {
        socket.destroy(); // it is no applier
      }
    });
    socket.on('error', () => undefined); // `close` comes after it
    socket.on('close', () => {
      this.#socket = undefined;
      for (const id of [...this.#asked.keys()]) this.#take(id, Outcome.later);
      this.#again = setTimeout(() => this.#connect(), AGAIN_MS);
    });
  }

  #take(id: number, outcome: OpeningOutcome): void {
    const asked = this.#asked.get(id);
    if (asked === undefined) return;
    this.#asked.delete(id);
    this.#onOutcome(asked.wait, asked.index, outcome);
  }

  get isConnected(): boolean {
    return this.#socket !== undefined;
  }

  ask(wait: number, openings: readonly NewOpening[]): void {
    for (const [index, opening] of openings.entries()) {
      const id = (this.#lastId % ID_MAX) + 1;
      this.#lastId = id;
      this.#asked.set(id, { wait, index });
      const isAsked = this.#socket !== undefined && this.#socket.writableLength < UNREAD_MAX_BYTES;
      if (isAsked) this.#socket?.write(openingFrame({ ...opening, id }));
      else this.#take(id, Outcome.later);
    }
  }

  close(): void {
    this.#socket?.removeAllListeners('close').destroy();
    clearTimeout(this.#again);
    this.#asked.clear();
  }
}
