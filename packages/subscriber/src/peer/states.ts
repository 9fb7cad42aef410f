/**
 * The machine of machine.ts in types: its states with what each has, what may happen, and what is to be done.
 * Below them what more than one file makes of them.
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

/** Who this side is. */
export interface Self {
  readonly name: string;
  /** The one that is trusted. */
  readonly lineage: Uint8Array;
  readonly limits: MessageOf<'hello'>['limits'];
  readonly capabilities: readonly string[];
  /** What was said to be the newest counts for so long after its nonce was made. */
  readonly staleAfterMs: number;
}

/** The release in force, as far as a publisher is told of it. */
export interface Held extends Omit<ActiveMark, 'lineage'> {
  readonly persisted: boolean;
  /** By the clock of the machine. */
  readonly sinceMs: number;
}

/** What outlives a connection: connecting again makes no channel better. */
export interface Memory {
  readonly refusals: Refusals;
  readonly patience: Patience;
  /** A snapshot of which the beginning is staged. */
  readonly cut: Cut | undefined;
}

export const NO_MEMORY: Memory = { refusals: [], patience: FULL_PATIENCE, cut: undefined };

/** A snapshot that a connection did not bring to its end. */
export interface Cut {
  /** Of the release. */
  readonly hash: Uint8Array;
  /** What names the bytes. */
  readonly stream: Uint8Array;
  /** Of all of it, and those that are here. */
  readonly bytes: number;
  readonly receivedBytes: number;
}

/** How long the release in force took, if it came by this connection, in milliseconds. */
export interface Figures {
  readonly receiveMs: number;
  readonly verifyMs: number;
  readonly compileMs: number;
  readonly flipMs: number;
  readonly generation: number;
}

/** Of every connection that is open. */
export interface Open {
  readonly self: Self;
  readonly memory: Memory;
  readonly held: Held | undefined;
  /** The newest that ever was in force, where that is not what HELLO said is held. */
  readonly floor: Omit<ActiveMark, 'lineage'> | undefined;
  /** Why what is held is not enforced, or not known to be; undefined: it is. */
  readonly trouble: string | undefined;
  /** Of what is the newest. */
  readonly known: Known;
}

/** After WELCOME. */
export interface Linked extends Open {
  readonly pulse: Pulse;
  readonly queries: QueryRate;
  /** Of refusals. */
  readonly refusedPages: QueryRate;
  /** Questions that wait for an answer from here. */
  readonly askedCount: number;
  readonly figures: Figures | undefined;
}

/** What was wanted last. */
export interface Want {
  readonly offer: VerifiedOffer;
  /** The release that deltas may start from. */
  readonly base: Uint8Array | undefined;
}

/** What BEGIN announced, and how much of it has come. */
export interface Transfer {
  readonly offer: VerifiedOffer;
  readonly base: Uint8Array | undefined;
  /** What names the bytes, of a snapshot that may be resumed. */
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
  /** How long the publisher asked to be left alone. */
  readonly retryAfterMs: number | undefined;
  /** What was being applied when the connection ended: its outcome is still to be learned from. */
  readonly applying: { readonly hash: Uint8Array; readonly isChain: boolean } | undefined;
}
export type OpenState = Greeting | LinkedState;
export type LinkedState = Idle | Wanting | Receiving | Draining | Applying;

/** By the names of WIRE.md "Subscriber". */
export type State = OpenState | Closed;

// ── Events ─────────────────────────────────────────────────────────────────────────────────────────────────

export type Nack = MessageOf<'nack'>;

/** What ends a session, or makes an error of it. */
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

/** About a packet, or what was refused; without either for the counters, of which `from` begins a page. */
export interface Question {
  readonly packet: WirePacket | undefined;
  readonly refused: WireRefusedQuery | undefined;
  readonly from: number | undefined;
}

/** Of the peer: its messages, by the names of the table. */
export type Received =
  | OfferEvent
  | FreshEvent
  | MessageOf<
      'welcome' | 'begin' | 'chunk' | 'end' | 'abort' | 'unsupported' | 'prove' | 'ping' | 'pong' | 'bye'
    >
  /** A root that was taken. */
  | { readonly kind: 'root'; readonly number: number }
  | (Question & { readonly kind: 'query'; readonly transaction: number })
  | { readonly kind: 'other' };

/** A release that was received is not in force, and why. */
export interface Refused {
  readonly kind: 'refused';
  /** Undefined: of nobody that we know of. */
  readonly blame: Blame | undefined;
  readonly code: ErrorCode;
  readonly text: string;
  readonly part: string | undefined;
  readonly entry: number | undefined;
}

/** Of what was to be applied, once. */
export type Outcome =
  | { readonly kind: 'applied'; readonly held: Held; readonly figures: Omit<Figures, 'receiveMs'> }
  | Refused
  /** The chain of deltas takes more than what was signed allows. */
  | { readonly kind: 'overBudget' };

/** To what was asked, once. */
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
  /** The clock is to be looked at; with what a PING asks what is newest. */
  | { readonly kind: 'tick'; readonly nonce?: Uint8Array }
  /** What was waited for did not come in its time: raised by a tick. */
  | { readonly kind: 'timeout' }
  /** With what was wrong, where that is known. */
  | { readonly kind: 'disconnected'; readonly fault: Reason | undefined }
  | { readonly kind: 'stop'; readonly reason: Reason }
  | { readonly kind: 'trouble'; readonly text: string | undefined };

/** What the table has a place for, or none. */
export type TableEvent = Exclude<Event, { readonly kind: 'tick' | 'trouble' | 'answered' }>;

// ── Effects ────────────────────────────────────────────────────────────────────────────────────────────────

/** To be done in their order. */
export type Effect =
  /** `isSpare`: only if nothing waits to be sent. */
  | {
      readonly kind: 'send';
      readonly message: Message;
      readonly transaction: number;
      readonly isSpare: boolean;
    }
  /** Says BYE and closes. */
  | { readonly kind: 'bye'; readonly code: ErrorCode; readonly text: string }
  | { readonly kind: 'close' }
  /** Makes room for a stream that begins anew; where there is none, `refused`. */
  | { readonly kind: 'stage'; readonly bytes: number }
  /** Puts bytes to those that are staged: there is room for them. */
  | { readonly kind: 'keep'; readonly bytes: Uint8Array }
  /** Throws away what is staged. */
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
  /** What is in force was the newest at a time, or is not. */
  | { readonly kind: 'learned'; readonly newest: Newest; readonly isInForce: boolean }
  | { readonly kind: 'complain'; readonly code: string; readonly text: string };

export type EffectOf<K extends Effect['kind']> = Extract<Effect, { readonly kind: K }>;

export interface Step<S extends State = State> {
  readonly state: S;
  readonly effects: readonly Effect[];
}

// ── Pieces ─────────────────────────────────────────────────────────────────────────────────────────────────

/** What every state after WELCOME has, and nothing else. */
export function linked(state: LinkedState): Linked {
  const { self, memory, held, floor, trouble, known, pulse, queries, refusedPages, askedCount, figures } =
    state;
  return { self, memory, held, floor, trouble, known, pulse, queries, refusedPages, askedCount, figures };
}

export function idle(state: LinkedState): Idle {
  return { kind: 'idle', ...linked(state) };
}

/** What is told of as active: a release whose enforcement is in doubt is not. */
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

/** Whether what is in force is the newest, as far as that is known. */
export function sayLearned({ held, known }: Pick<Open, 'held' | 'known'>): readonly Effect[] {
  const { newest } = known;
  return newest === undefined ? [] : [{ kind: 'learned', newest, isInForce: isNewest(held, known) }];
}

export function sayNack(nack: Nack): readonly Effect[] {
  return [complain(nack), send(nack)];
}

/** What is active is not enforced, or not all of it: it is not said to be in force. */
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
