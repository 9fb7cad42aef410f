/**
 * The types of a subscriber's session, publisher side: its states, events and effects. All are values;
 * machine.ts has the steps. WIRE.md "Sessions".
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
/** States with an OFFER that is not settled yet. */
export type Offering = Offered | Sending | Confirming;
export type Open = Exclude<State, Closed>;

export interface Greeting {
  readonly kind: 'greeting';
  readonly pulse: Pulse;
  readonly untilMs: number;
}

/** HELLO came, and the claim to its name is being decided. */
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
  /** When a release refused with `later` is offered again; NEVER if there is none. */
  readonly retryAtMs: number;
}

export interface Proving {
  readonly kind: 'proving';
  readonly pulse: Pulse;
  readonly peer: Peer;
  readonly untilMs: number;
  /** The release to be proved. */
  readonly claim: HeldRelease;
}

export interface Offered {
  readonly kind: 'offered';
  readonly pulse: Pulse;
  readonly peer: Peer;
  readonly offer: Offer;
  /** Offers not answered yet, oldest first; `offer` is the last. No other release can be acknowledged. */
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
  /** Whether a chain is being sent, instead of which a snapshot may be requested. */
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
  /** The peer's name, if it had one. */
  readonly name: string | undefined;
}

/** The least progress of a transfer's stream until a time. */
export interface Window {
  readonly endsAtMs: number;
  readonly sentBefore: number;
}

/** The last offer. */
export interface Offer {
  readonly release: SessionRelease;
  /** Bytes that the connection had sent before. */
  readonly sentBefore: number;
}

/** The subscriber, as this session knows it. Of constant size, whatever it does. */
export interface Peer {
  readonly name: string;
  readonly limits: MessageOf<'hello'>['limits'];
  readonly capabilities: readonly string[];
  /** The head that it was told it cannot be offered. */
  readonly told: SessionRelease | undefined;
  /**
   * The release it can prove: the last it applied; before that the floor in HELLO, or the release in force.
   */
  readonly claim: HeldRelease | undefined;
  /** The release in force according to HELLO. */
  readonly claimed: HeldRelease | undefined;
  readonly held: HeldRelease | undefined;
  /** In hex, what it refuses for good; a bounded number, the newest last. */
  readonly refused: readonly string[];
  /** A release that was offered and answered, so it need not be offered again. */
  readonly settled: SessionRelease | undefined;
  /** PING or PONG named another release than recorded: logged once a session. */
  readonly isCorrected: boolean;
  /**
   * When it loses its name to another connection, unless it answers before; NEVER: no other wants the name.
   */
  readonly probeUntilMs: number;
  readonly questions: Questions;
  readonly asking: FreshnessRequest;
  /** Numbers given to transfers. */
  readonly transfers: number;
}

/** Its request for freshness. */
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
  /** The connection ended; `fault`: an error of the peer, if any. */
  | { readonly kind: 'disconnected'; readonly fault?: Fault }
  /** The name is this session's, or `refusal` says why not. */
  | { readonly kind: 'claimed'; readonly refusal: Refusal | undefined }
  /** Another connection wants the name: is this peer alive? */
  | { readonly kind: 'probed' }
  /** Another connection has taken the name. */
  | { readonly kind: 'superseded'; readonly why: 'reconnected' | 'no-answer' }
  | { readonly kind: 'stopped'; readonly refusal: Refusal }
  /** The head has changed. */
  | { readonly kind: 'published' }
  /** A proof of this session was taken up. */
  | { readonly kind: 'proved'; readonly release: ReleaseNumber }
  /** Freshness was signed for a nonce, or cannot be; `prove`: the claim in HELLO must be proved first. */
  | {
      readonly kind: 'attested';
      readonly nonce: Uint8Array;
      readonly signed: Signed | 'prove' | undefined;
    }
  | { readonly kind: 'transferBegun'; readonly transfer: number; readonly isChain: boolean }
  /** END is handed to the connection. */
  | { readonly kind: 'transferSent'; readonly transfer: number }
  | { readonly kind: 'transferFailed'; readonly transfer: number }
  /** A caller asks a question; `ticket` identifies the caller. */
  | { readonly kind: 'asked'; readonly ticket: number; readonly about: Question }
  /** Only time passed. */
  | { readonly kind: 'tick' };

/** About a packet, the counters, whose page begins at `+from`, or refused packets. */
export type Question = Omit<MessageOf<'query'>, 'kind'>;

export type EventOf<K extends Event['kind']> = Extract<Event, { readonly kind: K }>;

export interface Fault {
  readonly code: ErrorCode;
  readonly text: string;
}

/** The environment of a step, beside the state. */
export interface Now {
  /** By the steady clock. */
  readonly monotonicMs: number;
  /** Since 1970, for people. */
  readonly wallMs: number;
  /** Bytes that the connection has sent so far. */
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
      /** Without deflate. */
      readonly isPlain: boolean;
      /** The part of a cut snapshot that it has. */
      readonly has: MessageOf<'want'>['has'];
    }
  /** Sign for a nonce that a release is the newest, or that there is none; `attested` follows. */
  | {
      readonly kind: 'attest';
      readonly nonce: Uint8Array;
      readonly release: SessionRelease | undefined;
      readonly name: string;
    }
  /** Send QUERY; if that fails, its caller is told. */
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
  /** The name is held: its entry exists from now on. `refused`: hashes in hex. */
  | {
      readonly kind: 'enter';
      readonly name: string;
      readonly refused: readonly string[];
      readonly atMs: number;
    }
  /** Update the entry. */
  | { readonly kind: 'note'; readonly note: Note }
  /** The entry says that a release, by its hash in hex, is refused for good. */
  | { readonly kind: 'refuse'; readonly hash: string; readonly reason: Reason }
  /** It has the head in force: what it was in trouble with is over. */
  | { readonly kind: 'well' }
  /** The status changed. */
  | { readonly kind: 'changed' }
  | { readonly kind: 'settle'; readonly outcome: Outcome }
  /** Record a proved release; the event `proved` follows. */
  | {
      readonly kind: 'prove';
      readonly release: HeldRelease;
      readonly name: string;
      readonly proof: Signed;
    }
  | { readonly kind: 'answered'; readonly ticket: number; readonly answer: MessageOf<'answer'> }
  | { readonly kind: 'unanswered'; readonly ticket: number; readonly error: ProtocolError }
  /** The answer for callers of a probe. */
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
