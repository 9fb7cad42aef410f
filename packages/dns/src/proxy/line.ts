/**
 * An upstream over TLS, without the socket: questions, received bytes and time go in, and actions on the
 * connection come out. One connection carries the questions of all qubes, and answers come in any order (RFC
 * 7858; RFC 7766 §6.2.1): each question has a number on it with which no other one waits.
 *
 *            question                 handshake
 *   closed ───────────▶ connecting ─────────────▶ open ──▶ closed, after 10 s without a question
 *     ▲ pause               │ refused, or too slow   │ ended, or silent for 1.4 s
 *     └─────────────────────┴──── all that waits fails, and is asked of the next upstream
 */

import { framed, MessageStream } from '../message/stream.ts';
import {
  ALL_QUESTIONS_MAX,
  CONNECT_MS,
  IDLE_MS,
  PAUSE_LONGEST_MS,
  PAUSE_MS,
  PAUSE_WAITED_MS,
  SILENT_MS,
} from './limits.ts';

export type LineEffect =
  /** There is no connection: make one. */
  | { readonly kind: 'connect' }
  | { readonly kind: 'write'; readonly bytes: Uint8Array }
  /** Close the connection; it sends no more events. */
  | { readonly kind: 'end' }
  /** Bytes are the receiver's. Whether it is the answer, the receiver sees: it waits until it is closed. */
  | { readonly kind: 'answer'; readonly query: number; readonly bytes: Uint8Array }
  | { readonly kind: 'fail'; readonly query: number };

interface Asked {
  readonly query: number;
  readonly bytes: Uint8Array;
}

type State =
  | { readonly kind: 'closed'; readonly untilMs: number }
  | { readonly kind: 'connecting'; readonly untilMs: number }
  | { readonly kind: 'open' };

const ID_BYTES = 2;
const IDS = 0x1_0000;

export class Line {
  #state: State = { kind: 'closed', untilMs: Number.NEGATIVE_INFINITY };
  /** Waiting questions, by their number on the connection, in order. */
  readonly #asked = new Map<number, Asked>();
  readonly #ids = new Map<number, number>();
  #stream = new MessageStream();
  #lastId = 0;
  #pauseMs = 0;
  /** Whether anything came by the connection that is open. */
  #isHeard = false;
  /** Since when questions wait without an answer. */
  #silentSinceMs: number | undefined;
  #usedMs = 0;

  /** When `expire` is due; undefined: nothing is waited for. */
  get deadlineMs(): number | undefined {
    const state = this.#state;
    if (state.kind === 'closed' && this.#asked.size === 0) return undefined;
    if (state.kind !== 'open') return state.untilMs;
    return this.#silentSinceMs === undefined ? this.#usedMs + IDLE_MS : this.#silentSinceMs + SILENT_MS;
  }

  /** Asks; `bytes` is a message. It waits until it is closed, or has failed. */
  ask(query: number, bytes: Uint8Array, nowMs: number): readonly LineEffect[] {
    const state = this.#state;
    const isLong = state.kind === 'closed' && state.untilMs - nowMs > PAUSE_WAITED_MS;
    if (isLong || this.#asked.size >= ALL_QUESTIONS_MAX) return [{ kind: 'fail', query }];
    do this.#lastId = (this.#lastId + 1) % IDS;
    while (this.#asked.has(this.#lastId));
    const asked = { query, bytes };
    this.#asked.set(this.#lastId, asked);
    this.#ids.set(query, this.#lastId);
    if (state.kind === 'open') return [this.#write([[this.#lastId, asked]], nowMs)];
    return state.kind === 'closed' && state.untilMs <= nowMs ? this.#connect(nowMs) : [];
  }

  /** Stops waiting for a query. Its number is used again after all others. */
  close(query: number): void {
    const id = this.#ids.get(query);
    if (id === undefined) return;
    this.#ids.delete(query);
    this.#asked.delete(id);
    if (this.#asked.size === 0) this.#silentSinceMs = undefined;
  }

  /** The connection is open, and the server's certificate is valid. */
  connected(nowMs: number): readonly LineEffect[] {
    this.#state = { kind: 'open' };
    this.#stream = new MessageStream();
    this.#isHeard = false;
    this.#usedMs = nowMs;
    return this.#asked.size === 0 ? [] : [this.#write([...this.#asked], nowMs)];
  }

  received(chunk: Uint8Array, nowMs: number): readonly LineEffect[] {
    this.#isHeard = true;
    this.#pauseMs = 0;
    this.#usedMs = nowMs;
    if (this.#asked.size > 0) this.#silentSinceMs = nowMs;
    const effects: LineEffect[] = [];
    for (const message of this.#stream.feed(chunk)) {
      const asked = message.length < ID_BYTES ? undefined : this.#asked.get(idOf(message));
      if (asked === undefined) continue; // its question was given up
      const bytes = Uint8Array.from(message);
      bytes.set(asked.bytes.subarray(0, ID_BYTES));
      effects.push({ kind: 'answer', query: asked.query, bytes });
    }
    return effects;
  }

  /** The connection ended, or could not be made. */
  ended(nowMs: number): readonly LineEffect[] {
    const isToPause = this.#state.kind === 'connecting' || !this.#isHeard;
    return this.#lost(nowMs, isToPause);
  }

  expire(nowMs: number): readonly LineEffect[] {
    const { deadlineMs } = this;
    if (deadlineMs === undefined || deadlineMs > nowMs) return [];
    if (this.#state.kind === 'closed') return this.#connect(nowMs);
    return [{ kind: 'end' }, ...this.#lost(nowMs, this.#state.kind === 'connecting')];
  }

  #connect(nowMs: number): readonly LineEffect[] {
    this.#state = { kind: 'connecting', untilMs: nowMs + CONNECT_MS };
    return [{ kind: 'connect' }];
  }

  #lost(nowMs: number, isToPause: boolean): readonly LineEffect[] {
    this.#pauseMs = isToPause ? Math.min(PAUSE_LONGEST_MS, Math.max(PAUSE_MS, this.#pauseMs * 2)) : 0;
    this.#state = { kind: 'closed', untilMs: nowMs + this.#pauseMs };
    this.#silentSinceMs = undefined;
    const queries = [...this.#ids.keys()];
    this.#asked.clear();
    this.#ids.clear();
    return queries.map((query) => ({ kind: 'fail', query }));
  }

  #write(all: readonly (readonly [id: number, asked: Asked])[], nowMs: number): LineEffect {
    this.#usedMs = nowMs;
    this.#silentSinceMs ??= nowMs;
    const messages = all.map(([id, { bytes }]) => {
      const message = framed(bytes);
      message.set([id >> 8, id & 0xff], message.length - bytes.length);
      return message;
    });
    return { kind: 'write', bytes: Buffer.concat(messages) };
  }
}

function idOf(message: Uint8Array): number {
  return (message[0]! << 8) | message[1]!; // checked by the caller
}
