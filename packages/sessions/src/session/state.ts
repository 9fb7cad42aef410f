/**
 * What a subscriber's session is made of, publisher side: its states, what may happen to it, and what comes
 * of that. All of it are values, which machine.ts turns into one another. WIRE.md "Sessions".
 *
 * ```
 *   greeting ──HELLO──▶ claiming ──its own──▶ idle, proving, offered, sending, confirming ──▶ closed
 * ```
 * A name that is being claimed is still `greeting` in WIRE.md; the others are its states by their names.
 */

import type { ErrorCode, Message, MessageOf, ProtocolError, Pulse, Signed } from '@rulecast/protocol';
import type { Refusal } from '../admission/refusal.ts';
import type { PublisherView, SessionRelease } from '../host.ts';
import type { HeldRelease, Reason, ReleaseNumber, SubscriberEntry } from '../subscribers/entry.ts';
import type { Outcome } from '../subscribers/subscribers.ts';
import type { Questions } from './questions.ts';

// ── States ─────────────────────────────────────────────────────────────────────────────────────────────────

/** All times are milliseconds of the steady clock. */
export type State = Greeting | Claiming | Named | Closed;
/** The subscriber has its name. */
export type Named = Idle | Proving | Offered | Sending | Confirming;
/** There is an OFFER of which something is still to come. */
export type Offering = Offered | Sending | Confirming;
export type Open = Exclude<State, Closed>;

export interface Greeting {
  readonly kind: 'greeting';
  readonly pulse: Pulse;
  readonly untilMs: number;
}

/** HELLO came, and whose name it is is being found out. */
export interface Claiming {
  readonly kind: 'claiming';
  readonly pulse: Pulse;
  /** As before HELLO. */
  readonly untilMs: number;
  readonly hello: MessageOf<'hello'>;
}

export interface Idle {
  readonly kind: 'idle';
  readonly pulse: Pulse;
  readonly peer: Peer;
  /** When what was refused with `later` is offered again; NEVER where nothing was. */
  readonly retryAtMs: number;
}

export interface Proving {
  readonly kind: 'proving';
  readonly pulse: Pulse;
  readonly peer: Peer;
  readonly untilMs: number;
  /** What has to be proved. */
  readonly claim: HeldRelease;
}

export interface Offered {
  readonly kind: 'offered';
  readonly pulse: Pulse;
  readonly peer: Peer;
  readonly offer: Offer;
  /**
   * What was offered and is not answered yet, oldest first; `offer` is the last. Nothing else can be
   * acknowledged.
   */
  readonly unanswered: readonly HeldRelease[];
}

export interface Sending {
  readonly kind: 'sending';
  readonly pulse: Pulse;
  readonly peer: Peer;
  readonly offer: Offer;
  readonly transfer: number;
  /** Since BEGIN; undefined while the transfer is being made. */
  readonly window: Window | undefined;
  /** Whether a chain is sent, in place of which a snapshot may be wanted. */
  readonly isChain: boolean;
}

export interface Confirming {
  readonly kind: 'confirming';
  readonly pulse: Pulse;
  readonly peer: Peer;
  readonly offer: Offer;
  readonly isChain: boolean;
}

export interface Closed {
  readonly kind: 'closed';
  /** Where it had one. */
  readonly name: string | undefined;
}

/** What the stream of a transfer has to take until then. */
export interface Window {
  readonly endsAtMs: number;
  readonly sentBefore: number;
}

/** What was offered last. */
export interface Offer {
  readonly release: SessionRelease;
  /** Bytes that the connection had sent before. */
  readonly sentBefore: number;
}

/** The subscriber, as this session knows it. Of the same size whatever it does. */
export interface Peer {
  readonly name: string;
  readonly limits: MessageOf<'hello'>['limits'];
  readonly capabilities: readonly string[];
  /** The head that it was told it cannot be offered. */
  readonly told: SessionRelease | undefined;
  /** What it can prove: what it took last; before that the floor of HELLO, or what it has in force. */
  readonly claim: HeldRelease | undefined;
  /** What HELLO said that it has in force. */
  readonly claimed: HeldRelease | undefined;
  readonly held: HeldRelease | undefined;
  /** In hex, what it refuses for good; a bounded number, the newest last. */
  readonly refused: readonly string[];
  /** What needs not be offered: it was, and the answer stands. */
  readonly settled: SessionRelease | undefined;
  /** PING or PONG named another release than was believed: told once a session. */
  readonly isCorrected: boolean;
  /** When it loses its name to another connection, unless it answers before; NEVER where none wants it. */
  readonly probeUntilMs: number;
  readonly questions: Questions;
  readonly asking: FreshnessRequest;
  /** Numbers given to transfers. */
  readonly transfers: number;
}

/** What it wants to know of the newest release. */
export interface FreshnessRequest {
  /** Its last nonce, if that has no answer. */
  readonly nonce: Uint8Array | undefined;
  /** NEVER while a claim is being judged. */
  readonly notBeforeMs: number;
  /** The nonce of which the answer is being signed: nothing is offered before that is done, or until then. */
  readonly signing: { readonly nonce: Uint8Array; readonly untilMs: number } | undefined;
}

// ── Events ─────────────────────────────────────────────────────────────────────────────────────────────────

export type Event =
  | { readonly kind: 'received'; readonly message: Message; readonly transaction: number }
  /** The connection ended; `fault` says what the peer did wrong, if it did. */
  | { readonly kind: 'disconnected'; readonly fault?: Fault }
  /** The name is this session's, or `refusal` says why not. */
  | { readonly kind: 'claimed'; readonly refusal: Refusal | undefined }
  /** Another connection wants the name: is there somebody at this one? */
  | { readonly kind: 'probed' }
  /** Another connection has the name. */
  | { readonly kind: 'superseded'; readonly why: 'reconnected' | 'no-answer' }
  | { readonly kind: 'stopped'; readonly refusal: Refusal }
  /** There is another head. */
  | { readonly kind: 'published' }
  /** A proof of this session was taken up. */
  | { readonly kind: 'proved'; readonly release: ReleaseNumber }
  /** What is newest is signed for a nonce, or cannot be: `prove` before it is proved what HELLO claims. */
  | {
      readonly kind: 'attested';
      readonly nonce: Uint8Array;
      readonly signed: Signed | 'prove' | undefined;
    }
  | { readonly kind: 'transferBegun'; readonly transfer: number; readonly isChain: boolean }
  /** END is handed to the connection. */
  | { readonly kind: 'transferSent'; readonly transfer: number }
  | { readonly kind: 'transferFailed'; readonly transfer: number }
  /** Somebody asks; `ticket` is whom to answer. */
  | { readonly kind: 'asked'; readonly ticket: number; readonly about: Question }
  /** Nothing but time passed. */
  | { readonly kind: 'tick' };

/** About a packet, the counters, of which `+from` begins a page, or what was refused. */
export type Question = Omit<MessageOf<'query'>, 'kind'>;

export type EventOf<K extends Event['kind']> = Extract<Event, { readonly kind: K }>;

export interface Fault {
  readonly code: ErrorCode;
  readonly text: string;
}

/** What is so at the moment of a step, beside the state. */
export interface Now {
  /** By the steady clock. */
  readonly monotonicMs: number;
  /** Since 1970, for people. */
  readonly wallMs: number;
  /** What the connection has sent so far. */
  readonly bytesSent: number;
  /** Messages wait for the peer to read. */
  readonly isSending: boolean;
  readonly publisher: PublisherView;
}

// ── Effects ────────────────────────────────────────────────────────────────────────────────────────────────

export type Effect =
  /** Without waiting: a send that fails means that the connection is gone, which the receiver notices. */
  | { readonly kind: 'send'; readonly message: Message }
  /** Send BEGIN to END of a release; `transferBegun`, then `transferSent` or `transferFailed` follow. */
  | {
      readonly kind: 'transfer';
      readonly transfer: number;
      readonly name: string;
      readonly release: SessionRelease;
      readonly base: Uint8Array | undefined;
      /** Nothing of it is deflated. */
      readonly isPlain: boolean;
      /** Of a snapshot that was cut. */
      readonly has: MessageOf<'want'>['has'];
    }
  /** Sign for a nonce that a release is the newest, or that there is none; `attested` follows. */
  | {
      readonly kind: 'attest';
      readonly nonce: Uint8Array;
      readonly release: SessionRelease | undefined;
      readonly name: string;
    }
  /** Send QUERY; what cannot be sent is told who asked. */
  | {
      readonly kind: 'query';
      readonly ticket: number;
      readonly transaction: number;
      readonly about: Question;
    }
  | {
      readonly kind: 'bye';
      readonly code: string;
      readonly text: string;
      readonly retryAfterMs: number | undefined;
    }
  | { readonly kind: 'close' }
  /** Find out whose name it is; `claimed` follows. */
  | { readonly kind: 'claim'; readonly name: string }
  /** The name is held: there is an entry of it from now on. In hex what it refuses. */
  | {
      readonly kind: 'enter';
      readonly name: string;
      readonly refused: readonly string[];
      readonly atMs: number;
    }
  /** What the entry says from now on. */
  | { readonly kind: 'note'; readonly note: Note }
  /** The entry says that a release, by its hash in hex, is refused for good. */
  | { readonly kind: 'refuse'; readonly hash: string; readonly reason: Reason }
  /** It has the head in force: what it was in trouble with is over. */
  | { readonly kind: 'well' }
  /** What the status shows is another than before. */
  | { readonly kind: 'changed' }
  | { readonly kind: 'settle'; readonly outcome: Outcome }
  /** Take up what was proved; `proved` follows. */
  | {
      readonly kind: 'prove';
      readonly release: HeldRelease;
      readonly name: string;
      readonly proof: Signed;
    }
  | { readonly kind: 'answered'; readonly ticket: number; readonly answer: MessageOf<'answer'> }
  | { readonly kind: 'unanswered'; readonly ticket: number; readonly error: ProtocolError }
  /** For those who asked whether somebody is there. */
  | { readonly kind: 'alive'; readonly isAlive: boolean }
  | {
      readonly kind: 'log';
      readonly level: 'info' | 'warn' | 'error';
      readonly fields: Readonly<Record<string, unknown>>;
      readonly text: string;
    };

export type EffectOf<K extends Effect['kind']> = Extract<Effect, { readonly kind: K }>;

export type Note = Partial<Omit<SubscriberEntry, 'name' | 'refused'>>;

export interface Step<S extends State = State> {
  readonly state: S;
  /** To be done in this order, once the state is in place. */
  readonly effects: readonly Effect[];
}
