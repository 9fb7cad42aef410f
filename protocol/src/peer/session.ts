/**
 * Sessions: which message may come when, for both sides, WIRE.md "Sessions". Each side is one total table
 * from state and event to the next state and one action; what an action does is the daemons' business. A test
 * compares every cell with the document, another walks both machines against each other through queues and
 * finds no refusal and no deadlock.
 *
 * Two rules make it sound. Every OFFER is answered exactly once, in order, by WANT, APPLIED or NACK; a WANT
 * that is answered by BEGIN is answered exactly once more, by APPLIED or NACK, even after ABORT; or, once, by
 * WANT for a snapshot where a chain was sent. An answer that names an older OFFER than the last changes
 * nothing, for the answer to the last is on its way.
 *
 * ```
 * publisher                                             subscriber
 *
 *  greeting                                              greeting
 *     │ hello: welcome                                      │ welcome
 *     ▼     claimAhead: prove                               ▼
 *    idle ────────────────────▶ proving                    idle ◀─┐ offerActive: applied, offerRefused: nack, prove: proof, root: trust
 *     │ ▲ ◀──────────────────────┘                          │ └───┘
 *     │ │   proof: judge, nackOther: diverge                │ offer: want
 *     │ │                                                   ▼
 *     │ │ headChanged: offer                             wanting ──▶ idle   abort, offerRefused: nack, offerActive: applied
 *     │ │ applied, nack: record (back)                      │ └─┐ ▲  offer: want
 *     ▼ │                                                   │   └─┘
 *   offered ◀─┐ headChanged: offer                          │ begin: receive
 *     │ └─────┘ wantOther, appliedOther, nackOther          ▼
 *     │ want: transfer                                  receiving ──▶ idle   abort: nack
 *     ▼                                                  │  │ └─┐ ▲  chunk: store
 *   sending ──▶ idle   nack: abort                       │  │   └─┘
 *     │                                                  │  │ refused: nack
 *     │ transferSent, or transferFailed: abort           │  └──▶ draining ──▶ idle   end, abort
 *     ▼                                                  │ end: apply
 *  confirming ──▶ idle   applied, nack: record           ▼
 *     └──▶ sending   wantSnapshot: transfer             applying ──▶ idle   applied: applied, refused: nack
 *                                                          └──▶ wanting   overBudget: want
 * ```
 * From every state: bye and disconnected close, timeout and stop say BYE and close, and so does any message
 * that has no place.
 */

import { ErrorCode } from '../error.ts';

export const PUBLISHER_STATES = [
  'greeting',
  'idle',
  'proving',
  'offered',
  'sending',
  'confirming',
  'closed',
] as const;
export type PublisherState = (typeof PUBLISHER_STATES)[number];

export const PUBLISHER_EVENTS = [
  // Received. Those ending in Other name another release than the last offer.
  'hello',
  'want',
  /** WANT without a base, after the chain that was sent in answer to the WANT before. */
  'wantSnapshot',
  'wantOther',
  'applied',
  'appliedOther',
  'nack',
  'nackOther',
  'proof',
  'answer',
  'ping',
  'pong',
  'bye',
  /** Any message that a subscriber never sends. */
  'other',
  // Local.
  /** After HELLO it claims a release above the head. */
  'claimAhead',
  /** The subscriber lacks the head, may get it, and was not offered it last. */
  'headChanged',
  /** END is handed to the connection; raised before waiting for it to be written. */
  'transferSent',
  /** The rest of the transfer cannot be sent. */
  'transferFailed',
  'timeout',
  'disconnected',
  /** The session ends for a reason of ours: HELLO not acceptable, shutdown. */
  'stop',
] as const;
export type PublisherEvent = (typeof PUBLISHER_EVENTS)[number];

export type PublisherAction =
  | 'none'
  | 'welcome' // send WELCOME, then raise claimAhead or headChanged if so
  | 'prove' // send PROVE
  | 'judge' // check the PROOF: open a new epoch, or mark as diverged; then raise headChanged
  | 'diverge' // there is no proof: mark as diverged; then raise headChanged
  | 'offer' // send OFFER for the head
  | 'transfer' // send BEGIN, CHUNKs and END for the release offered last
  | 'abort' // send no more CHUNKs, send ABORT; note the NACK if one was received
  | 'record' // note APPLIED or NACK; then raise headChanged if so, or later for `later`
  | 'answer' // pass ANSWER to its caller; one without a caller is dropped
  | 'pong' // send PONG
  | 'bye' // send BYE with the code, and close
  | 'close' // close
  | 'never'; // cannot happen: a mistake of ours

export const SUBSCRIBER_SESSION_STATES = [
  'greeting',
  'idle',
  'wanting',
  'receiving',
  'draining',
  'applying',
  'closed',
] as const;
export type SubscriberSessionState = (typeof SUBSCRIBER_SESSION_STATES)[number];

export const SUBSCRIBER_EVENTS = [
  // Received.
  'welcome',
  /** An OFFER that verifies, is newer, and was not refused. */
  'offer',
  /** An OFFER of the active release. */
  'offerActive',
  /** An OFFER that does not verify, is not newer, was refused with `never`, or is beyond a limit. */
  'offerRefused',
  'begin',
  'chunk',
  'end',
  'abort',
  /** The head needs capabilities that this side lacks. */
  'unsupported',
  /** The root that follows the newest one here, signed as it must be, and stored. */
  'root',
  /** A statement of freshness that answers a nonce. */
  'fresh',
  'query',
  'prove',
  'ping',
  'pong',
  'bye',
  /** Any message that a publisher never sends. */
  'other',
  // Local.
  /** The release is active. */
  'applied',
  /** The transfer or the release cannot be taken, for whatever reason. */
  'refused',
  /** The chain of deltas takes more than its budget: a snapshot will do. */
  'overBudget',
  'timeout',
  'disconnected',
  'stop',
] as const;
export type SubscriberEvent = (typeof SUBSCRIBER_EVENTS)[number];

export type SubscriberAction =
  | 'none'
  | 'want' // send WANT for the release offered
  | 'applied' // send APPLIED
  | 'nack' // discard the staged stream, send NACK
  | 'receive' // check what BEGIN announces, make room; raise refused if it is too much
  | 'store' // keep the CHUNK; raise refused if it is more than announced
  | 'apply' // check length and hash, verify, compile, flip; then raise applied or refused
  | 'answer' // send ANSWER
  | 'tell' // report which capabilities the head needs
  | 'trust' // from here on trust the keys of this root
  | 'learn' // record the newest release, if the message answers a nonce and is signed
  | 'proof' // send PROOF, or NACK for the claimed release if its manifest is not at hand
  | 'pong' // send PONG
  | 'bye' // send BYE with the code, and close
  | 'close' // close
  | 'never'; // cannot happen: a mistake of ours

export interface Transition<State, Action> {
  readonly next: State;
  readonly action: Action;
  /** With the action `bye`, unless the caller has the reason. */
  readonly code?: ErrorCode;
}

type Table<State extends string, Event extends string, Action> = Readonly<
  Record<State, Readonly<Record<Event, Transition<State, Action>>>>
>;
export type PublisherTable = Table<PublisherState, PublisherEvent, PublisherAction>;
export type SubscriberTable = Table<SubscriberSessionState, SubscriberEvent, SubscriberAction>;

/** A message that has no place here. */
const REFUSE = { next: 'closed', action: 'bye', code: ErrorCode.unexpectedMessage } as const;
const TIMEOUT = { next: 'closed', action: 'bye', code: ErrorCode.timeout } as const;
const STOP = { next: 'closed', action: 'bye' } as const;
const CLOSE = { next: 'closed', action: 'close' } as const;
const GONE = { next: 'closed', action: 'none' } as const;

function to<State extends string, Action extends string>(
  next: State,
  action: Action,
): Transition<State, Action> {
  return { next, action };
}

/** Every way of ending, the same in every open state. */
const ENDINGS = { bye: CLOSE, other: REFUSE, timeout: TIMEOUT, disconnected: CLOSE, stop: STOP } as const;

/** The transitions of a publisher in every open state after WELCOME, unless the state has its own. */
function publisherOpen(
  state: Exclude<PublisherState, 'closed'>,
): Record<PublisherEvent, Transition<PublisherState, PublisherAction>> {
  return {
    ...ENDINGS,
    hello: REFUSE,
    want: REFUSE,
    wantSnapshot: REFUSE,
    wantOther: REFUSE,
    applied: REFUSE,
    appliedOther: REFUSE,
    nack: REFUSE,
    nackOther: REFUSE,
    proof: REFUSE,
    answer: to(state, 'answer'),
    ping: to(state, 'pong'),
    pong: to(state, 'none'),
    claimAhead: to(state, 'never'),
    headChanged: to(state, 'none'), // remembered by the caller, who raises it again when idle
    transferSent: to(state, 'none'), // of a transfer that was given up
    transferFailed: to(state, 'none'),
  };
}

export const PUBLISHER_TABLE: PublisherTable = {
  greeting: {
    ...publisherOpen('greeting'),
    hello: to('idle', 'welcome'),
    answer: REFUSE,
    ping: REFUSE,
    pong: REFUSE,
    transferSent: to('greeting', 'never'),
    transferFailed: to('greeting', 'never'),
  },
  idle: {
    ...publisherOpen('idle'),
    claimAhead: to('proving', 'prove'),
    headChanged: to('offered', 'offer'),
  },
  proving: {
    ...publisherOpen('proving'),
    nackOther: to('idle', 'diverge'),
    proof: to('idle', 'judge'),
    transferSent: to('proving', 'never'),
    transferFailed: to('proving', 'never'),
  },
  offered: {
    ...publisherOpen('offered'),
    want: to('sending', 'transfer'),
    wantOther: to('offered', 'none'),
    applied: to('idle', 'record'),
    appliedOther: to('offered', 'record'),
    nack: to('idle', 'record'),
    nackOther: to('offered', 'record'),
    headChanged: to('offered', 'offer'),
  },
  sending: {
    ...publisherOpen('sending'),
    nack: to('idle', 'abort'),
    transferSent: to('confirming', 'none'),
    transferFailed: to('confirming', 'abort'),
  },
  confirming: {
    ...publisherOpen('confirming'),
    wantSnapshot: to('sending', 'transfer'),
    applied: to('idle', 'record'),
    nack: to('idle', 'record'),
  },
  closed: closedRow(PUBLISHER_EVENTS),
};

/** The transitions of a subscriber in every open state after WELCOME, unless the state has its own. */
function subscriberOpen(
  state: Exclude<SubscriberSessionState, 'closed'>,
): Record<SubscriberEvent, Transition<SubscriberSessionState, SubscriberAction>> {
  return {
    ...ENDINGS,
    welcome: REFUSE,
    offer: REFUSE,
    offerActive: REFUSE,
    offerRefused: REFUSE,
    begin: REFUSE,
    chunk: REFUSE,
    end: REFUSE,
    abort: REFUSE,
    unsupported: to(state, 'tell'),
    root: REFUSE,
    fresh: to(state, 'learn'),
    query: to(state, 'answer'),
    prove: REFUSE,
    ping: to(state, 'pong'),
    pong: to(state, 'none'),
    applied: to(state, 'never'),
    refused: to(state, 'never'),
    overBudget: to(state, 'never'),
  };
}

export const SUBSCRIBER_TABLE: SubscriberTable = {
  greeting: {
    ...subscriberOpen('greeting'),
    welcome: to('idle', 'none'),
    unsupported: REFUSE,
    fresh: REFUSE,
    query: REFUSE,
    ping: REFUSE,
    pong: REFUSE,
  },
  idle: {
    ...subscriberOpen('idle'),
    offer: to('wanting', 'want'),
    offerActive: to('idle', 'applied'),
    offerRefused: to('idle', 'nack'),
    prove: to('idle', 'proof'),
    root: to('idle', 'trust'),
  },
  wanting: {
    ...subscriberOpen('wanting'),
    offer: to('wanting', 'want'),
    offerActive: to('idle', 'applied'),
    offerRefused: to('idle', 'nack'),
    begin: to('receiving', 'receive'),
    abort: to('idle', 'nack'),
  },
  receiving: {
    ...subscriberOpen('receiving'),
    chunk: to('receiving', 'store'),
    end: to('applying', 'apply'),
    abort: to('idle', 'nack'),
    refused: to('draining', 'nack'),
  },
  draining: {
    ...subscriberOpen('draining'),
    chunk: to('draining', 'none'),
    end: to('idle', 'none'),
    abort: to('idle', 'none'),
  },
  applying: {
    ...subscriberOpen('applying'),
    applied: to('idle', 'applied'),
    refused: to('idle', 'nack'),
    overBudget: to('wanting', 'want'),
  },
  closed: closedRow(SUBSCRIBER_EVENTS),
};

/** The session is closed: later events are dropped. */
function closedRow<Event extends string>(events: readonly Event[]): Readonly<Record<Event, typeof GONE>> {
  const row: Partial<Record<Event, typeof GONE>> = {};
  for (const event of events) row[event] = GONE;
  return row as Readonly<Record<Event, typeof GONE>>; // every event was set
}

/**
 * One step of the publisher's side. Throws Error for an event that cannot happen in the state: a mistake of
 * the caller.
 */
export function stepPublisher(
  state: PublisherState,
  event: PublisherEvent,
): Transition<PublisherState, PublisherAction> {
  const transition = PUBLISHER_TABLE[state][event];
  if (transition.action === 'never') throw new Error(`publisher: ${event} while ${state}`);
  return transition;
}

/**
 * One step of the subscriber's side. Throws Error for an event that cannot happen in the state: a mistake of
 * the caller.
 */
export function stepSubscriber(
  state: SubscriberSessionState,
  event: SubscriberEvent,
): Transition<SubscriberSessionState, SubscriberAction> {
  const transition = SUBSCRIBER_TABLE[state][event];
  if (transition.action === 'never') throw new Error(`subscriber: ${event} while ${state}`);
  return transition;
}
