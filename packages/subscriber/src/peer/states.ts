/**
 * The types of machine.ts: its states with their data, its events, and its effects. Below them are helpers
 * that several files use.
 */

import {
  boundText,
  DURATION_MAX_MS,
  ErrorCode,
  type Message,
  type MessageOf,
  type MovingWindow,
  type Pulse,
  type QueryRate,
  type WirePacket,
  type WireRefusedQuery,
  type WireTold,
  type WireVerdict,
} from '@rulecast/protocol';
import type { Blame } from '../apply/commit.ts';
import type { VerifiedOffer } from '../apply/offer.ts';
import type { RefusedPage } from '../refused/kept.ts';
import type { ActiveMark } from '../state/state.ts';
import type { CounterPage } from './counters.ts';
import { type FreshEvent, isNewest, type Known, type Newest } from './freshness.ts';
import { FULL_PATIENCE, type Patience } from './patience.ts';
import type { Refusals } from './refusals.ts';

// ── States ─────────────────────────────────────────────────────────────────────────────────────────────────

/** This side of the connection. */
export interface Self {
  readonly name: string;
  /** The one that is trusted. */
  readonly lineage: Uint8Array;
  readonly limits: MessageOf<'hello'>['limits'];
  readonly capabilities: readonly string[];
  /** How long a statement of freshness counts, from the making of its nonce. */
  readonly staleAfterMs: number;
}

/** The release in force, as reported to a publisher. */
export interface Held extends Omit<ActiveMark, 'lineage'> {
  readonly persisted: boolean;
  /** By the clock of the machine. */
  readonly sinceMs: number;
}

/** The memory that outlives a connection: reconnecting does not improve a channel. */
export interface Memory {
  readonly refusals: Refusals;
  readonly patience: Patience;
  /** A snapshot of which the beginning is staged. */
  readonly cut: Cut | undefined;
}

export const NO_MEMORY: Memory = { refusals: [], patience: FULL_PATIENCE, cut: undefined };

/** A snapshot that a connection did not bring to its end. */
export interface Cut {
  /** Hash of the release. */
  readonly hash: Uint8Array;
  /** Id of the stream. */
  readonly stream: Uint8Array;
  /** Size of the stream, and of the part already here. */
  readonly bytes: number;
  readonly receivedBytes: number;
}

/** Times of the release in force, if it came by this connection, in milliseconds. */
export interface Figures {
  readonly receiveMs: number;
  readonly verifyMs: number;
  readonly compileMs: number;
  readonly flipMs: number;
  readonly generation: number;
}

/** The data of every open connection. */
export interface Open {
  readonly self: Self;
  readonly memory: Memory;
  readonly held: Held | undefined;
  /** The newest release that ever was in force, if HELLO reported another as held. */
  readonly floor: Omit<ActiveMark, 'lineage'> | undefined;
  /** Why the held release is not enforced, or not known to be; undefined: it is. */
  readonly trouble: string | undefined;
  /** Knowledge of the newest release. */
  readonly known: Known;
}

/** After WELCOME. */
export interface Linked extends Open {
  readonly pulse: Pulse;
  readonly queries: QueryRate;
  /** Rate of pages of refused packets. */
  readonly refusedPages: QueryRate;
  /** Questions that wait for an answer from here. */
  readonly askedCount: number;
  readonly figures: Figures | undefined;
}

/** The last WANT. */
export interface Want {
  readonly offer: VerifiedOffer;
  /** The release that deltas may start from. */
  readonly base: Uint8Array | undefined;
}

/** A transfer announced by BEGIN, and how much of it has arrived. */
export interface Transfer {
  readonly offer: VerifiedOffer;
  readonly base: Uint8Array | undefined;
  /** Id of the stream, for a snapshot that may be resumed. */
  readonly stream: Uint8Array | undefined;
  readonly bytes: number;
  readonly receivedBytes: number;
  readonly beganAtMs: number;
}

export interface Greeting extends Open {
  readonly kind: 'greeting';
  readonly untilMs: number;
}
export interface Idle extends Linked {
  readonly kind: 'idle';
}
export interface Wanting extends Linked {
  readonly kind: 'wanting';
  readonly want: Want;
}
export interface Receiving extends Linked {
  readonly kind: 'receiving';
  readonly transfer: Transfer;
  readonly window: MovingWindow;
}
export interface Draining extends Linked {
  readonly kind: 'draining';
  readonly window: MovingWindow;
}
export interface Applying extends Linked {
  readonly kind: 'applying';
  readonly offer: VerifiedOffer;
  readonly isChain: boolean;
  readonly receiveMs: number;
}
export interface Closed {
  readonly kind: 'closed';
  readonly memory: Memory;
  /** Whether the publisher welcomed us, and is the one we trust. */
  readonly welcomed: boolean;
  /** The pause that the publisher asked for. */
  readonly retryAfterMs: number | undefined;
  /** The release being applied when the connection ended: its outcome still updates the memory. */
  readonly applying: { readonly hash: Uint8Array; readonly isChain: boolean } | undefined;
}
export type OpenState = Greeting | LinkedState;
export type LinkedState = Idle | Wanting | Receiving | Draining | Applying;

/** By the names of WIRE.md "Subscriber". */
export type State = OpenState | Closed;

// ── Events ─────────────────────────────────────────────────────────────────────────────────────────────────

export type Nack = MessageOf<'nack'>;

/** The reason for the end of a session, or for an error in it. */
export interface Reason {
  readonly code: ErrorCode;
  readonly text: string;
}

/** OFFER, judged: see judge.ts. */
export type OfferEvent =
  | { readonly kind: 'offer'; readonly offer: VerifiedOffer }
  /** With the state of the table in force. */
  | { readonly kind: 'offerActive'; readonly generation: number }
  /** `isForGood`: that it was refused is remembered. */
  | { readonly kind: 'offerRefused'; readonly nack: Nack; readonly isForGood: boolean };

/**
 * A question about a packet, or about refused packets; without either, about counters, whose page begins at
 * `from`.
 */
export interface Question {
  readonly packet: WirePacket | undefined;
  readonly refused: WireRefusedQuery | undefined;
  readonly from: number | undefined;
}

/** A message of the peer, by its name in the table. */
export type Received =
  | OfferEvent
  | FreshEvent
  | MessageOf<
      'welcome' | 'begin' | 'chunk' | 'end' | 'abort' | 'unsupported' | 'prove' | 'ping' | 'pong' | 'bye'
    >
  /** A root that was accepted. */
  | { readonly kind: 'root'; readonly number: number }
  | (Question & { readonly kind: 'query'; readonly transaction: number })
  | { readonly kind: 'other' };

/** A release that was received is not in force, and why. */
export interface Refused {
  readonly kind: 'refused';
  /** Who is at fault; undefined if unknown. */
  readonly blame: Blame | undefined;
  readonly code: ErrorCode;
  readonly text: string;
  readonly part: string | undefined;
  readonly entry: number | undefined;
}

/** The outcome of applying a release; comes once. */
export type Outcome =
  | { readonly kind: 'applied'; readonly held: Held; readonly figures: Omit<Figures, 'receiveMs'> }
  | Refused
  /** The chain of deltas exceeds the signed budget. */
  | { readonly kind: 'overBudget' };

/** The answer to a question; comes once. */
export type Answer =
  | {
      readonly kind: 'verdict';
      readonly verdict: WireVerdict;
      readonly told?: WireTold | undefined;
      readonly generation: number;
    }
  | ({ readonly kind: 'stats' } & CounterPage)
  | ({ readonly kind: 'refused' } & RefusedPage)
  | { readonly kind: 'none'; readonly text: string };

export type Event =
  | Received
  | Outcome
  | { readonly kind: 'answered'; readonly transaction: number; readonly answer: Answer }
  /** The timer fired; `nonce` is for a PING that asks for freshness. */
  | { readonly kind: 'tick'; readonly nonce?: Uint8Array }
  /** The peer did not answer in time: raised by a tick. */
  | { readonly kind: 'timeout' }
  /** With the fault, if known. */
  | { readonly kind: 'disconnected'; readonly fault: Reason | undefined }
  | { readonly kind: 'stop'; readonly reason: Reason }
  | { readonly kind: 'trouble'; readonly text: string | undefined };

/** Events of the protocol's table. */
export type TableEvent = Exclude<Event, { readonly kind: 'tick' | 'trouble' | 'answered' }>;

// ── Effects ────────────────────────────────────────────────────────────────────────────────────────────────

/** Effects, to be executed in order. */
export type Effect =
  /** `isSpare`: only if nothing waits to be sent. */
  | {
      readonly kind: 'send';
      readonly message: Message;
      readonly transaction: number;
      readonly isSpare: boolean;
    }
  /** Send BYE and close. */
  | { readonly kind: 'bye'; readonly code: ErrorCode; readonly text: string }
  | { readonly kind: 'close' }
  /** Make room for a stream from its beginning; without room, `refused` follows. */
  | { readonly kind: 'stage'; readonly bytes: number }
  /** Append bytes to the staged stream, which has room for them. */
  | { readonly kind: 'keep'; readonly bytes: Uint8Array }
  /** Discard the staged stream. */
  | { readonly kind: 'drop' }
  /** Puts what is staged in force; an Outcome follows. */
  | {
      readonly kind: 'apply';
      readonly offer: VerifiedOffer;
      readonly base: Uint8Array | undefined;
    }
  /** `answered` follows. */
  | (Question & { readonly kind: 'ask'; readonly transaction: number })
  /** For people. */
  | { readonly kind: 'welcomed'; readonly publisher: string }
  | { readonly kind: 'trusted'; readonly number: number }
  /** The release in force was confirmed as the newest, or is known not to be. */
  | { readonly kind: 'learned'; readonly newest: Newest; readonly isInForce: boolean }
  | { readonly kind: 'complain'; readonly code: string; readonly text: string };

export type EffectOf<K extends Effect['kind']> = Extract<Effect, { readonly kind: K }>;

export interface Step<S extends State = State> {
  readonly state: S;
  readonly effects: readonly Effect[];
}

// ── Pieces ─────────────────────────────────────────────────────────────────────────────────────────────────

/** Exactly the fields that every state after WELCOME has. */
export function linked(state: LinkedState): Linked {
  const { self, memory, held, floor, trouble, known, pulse, queries, refusedPages, askedCount, figures } =
    state;
  return { self, memory, held, floor, trouble, known, pulse, queries, refusedPages, askedCount, figures };
}

export function idle(state: LinkedState): Idle {
  return { kind: 'idle', ...linked(state) };
}

/** The release to report as active; none if its enforcement is in doubt. */
export function inForce(
  { held, trouble }: Open,
  nowMs: number,
): { readonly hash?: Uint8Array; readonly ageMs?: number } {
  if (held === undefined || trouble !== undefined) return {};
  const ageMs = Math.round(Math.min(DURATION_MAX_MS, Math.max(0, nowMs - held.sinceMs)));
  return { hash: held.hash, ageMs };
}

export function sayApplied(
  held: Held | undefined,
  figures: Figures | undefined,
  generation: number,
): readonly Effect[] {
  if (held === undefined) return [];
  const { hash, epoch, version, persisted } = held;
  return [
    send({
      kind: 'applied',
      hash,
      epoch,
      version,
      receiveMs: Math.round(figures?.receiveMs ?? 0),
      verifyMs: Math.round(figures?.verifyMs ?? 0),
      compileMs: Math.round(figures?.compileMs ?? 0),
      flipMs: Math.round(figures?.flipMs ?? 0),
      persisted,
      generation: figures?.generation ?? generation,
    }),
  ];
}

/** Whether the release in force is the newest, as far as known. */
export function sayLearned({ held, known }: Pick<Open, 'held' | 'known'>): readonly Effect[] {
  const { newest } = known;
  return newest === undefined ? [] : [{ kind: 'learned', newest, isInForce: isNewest(held, known) }];
}

export function sayNack(nack: Nack): readonly Effect[] {
  return [complain(nack), send(nack)];
}

/** A NACK for the active release: it is not enforced, or not all of it. */
export function nackOfTrouble(hash: Uint8Array, trouble: string): Nack {
  const text = boundText(trouble);
  return { kind: 'nack', hash, code: ErrorCode.sinkFailed, text, retry: 'later', keeps: undefined };
}

export function dropped(state: LinkedState): readonly Effect[] {
  return state.kind === 'receiving' || state.kind === 'applying' ? [{ kind: 'drop' }] : [];
}

export function streamFault(code: ErrorCode, text: string): Refused {
  return { kind: 'refused', blame: 'stream', code, text, part: undefined, entry: undefined };
}

export function send(message: Message, transaction = 0, isSpare = false): Effect {
  return { kind: 'send', message, transaction, isSpare };
}

export function complain({ code, text }: { readonly code: string; readonly text: string }): Effect {
  return { kind: 'complain', code, text };
}

export function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
