/**
 * One subscriber's session, publisher side, as a machine: a state and an event make the next state and a list
 * of effects. No clock, no channel, no store: session.ts has those. WIRE.md "Sessions"; a test compares each
 * state and event with the table of that chapter.
 *
 * ```
 *   received, claimed, published ──┐                            ┌─▶ send, transfer, bye: the connection
 *                                  ├─▶ step(state, event, now) ─┼─▶ enter, note, settle: what is known of it
 *   tick, at deadline(state) ──────┘                            └─▶ claim, prove: the publisher, which answers
 * ```
 */

import {
  beaten,
  Capability,
  ErrorCode,
  HANDSHAKE_TIMEOUT_MS,
  HEARTBEAT_MS,
  heard,
  type Message,
  type MessageKind,
  NAME_PATIENCE_MS,
  NEVER,
  type PublisherEvent,
  pulseDeadline,
  pulseFrom,
  RETRY_AFTER_MS,
  TRANSFER_WINDOW_MIN_BYTES,
} from '@rulecast/protocol';
import { askedWith, askingDeadline } from './asking.ts';
import { andThen, byTable, disconnected, stepTo, stopped, withPeer } from './ending.ts';
import { said, sayIfDue } from './freshness.ts';
import { greeted, judged, proofTaken, proofWanted, welcomed } from './greeting.ts';
import {
  activeNoted,
  offerAnswered,
  offeredAgain,
  offerIfDue,
  transferBegun,
  transferOver,
  windowFrom,
} from './offering.ts';
import { answer, ask, dueQuestions, questionsDeadline, unanswered } from './questions.ts';
import type { Closed, Effect, Event, EventOf, Named, Now, Open, Sending, State, Step } from './state.ts';

/** A connection on which nothing was said yet. */
export function start(nowMs: number): State {
  return {
    kind: 'greeting',
    pulse: pulseFrom(nowMs, HEARTBEAT_MS),
    untilMs: nowMs + HANDSHAKE_TIMEOUT_MS,
  };
}

/**
 * The step of an event, and of everything due by then. Never throws, whatever the peer does. The deadline of
 * the returned state is later than `now`.
 */
export function step(state: State, event: Event, now: Now): Step {
  return andThen(taken(state, event, now), (next) => whatIsDue(next, now));
}

/** When something is due, by the steady clock, if nothing happens before; NEVER: nothing is due. */
export function deadline(state: State): number {
  if (state.kind === 'closed') return NEVER;
  return Math.min(
    pulseDeadline(state.pulse),
    'untilMs' in state ? state.untilMs : NEVER,
    state.kind === 'sending' ? (state.window?.endsAtMs ?? NEVER) : NEVER,
    state.kind === 'idle' ? state.retryAtMs : NEVER,
    'peer' in state ? peerDeadline(state.peer) : NEVER,
  );
}

function peerDeadline({ probeUntilMs, questions, asking }: Named['peer']): number {
  return Math.min(probeUntilMs, questionsDeadline(questions), askingDeadline(asking));
}

// ── Events ─────────────────────────────────────────────────────────────────────────────────────────────────

function taken(state: State, event: Event, now: Now): Step {
  if (state.kind === 'closed') return stepTo(state, ...whenClosed(state, event));
  switch (event.kind) {
    case 'received':
      return received(state, event, now);
    case 'disconnected':
      return disconnected(state, event.fault, now);
    case 'stopped':
      return stopped(state, event.refusal, now);
    case 'superseded':
      return superseded(state, event.why, now);
    case 'claimed':
      if (state.kind !== 'claiming') return stepTo(state);
      return event.refusal === undefined ? welcomed(state, now) : stopped(state, event.refusal, now);
    case 'published':
      return 'peer' in state ? offerIfDue(state, now) : stepTo(state);
    case 'proved':
      return 'peer' in state ? proofTaken(state, event.release, now) : stepTo(state);
    case 'attested':
      return 'peer' in state ? attested(state, event, now) : stepTo(state);
    case 'transferBegun':
      return isUnderWay(state, event) ? transferBegun(state, event.isChain, now) : stepTo(state);
    case 'transferSent':
      return isUnderWay(state, event) ? transferOver(state, true) : stepTo(state);
    case 'transferFailed':
      return isUnderWay(state, event) ? transferOver(state, false) : stepTo(state);
    case 'probed':
      return probed(state, now);
    case 'asked':
      return asked(state, event, now);
    case 'tick':
      return stepTo(state);
  }
}

function attested(state: Named, { nonce, signed }: EventOf<'attested'>, now: Now): Step<Named> {
  return signed === 'prove' ? proofWanted(state, nonce, now) : said(state, nonce, signed, now);
}

/** Answers waiting callers; all else is ignored. */
function whenClosed(state: Closed, event: Event): readonly Effect[] {
  if (event.kind === 'probed') return [{ kind: 'alive', isAlive: false }];
  return event.kind === 'asked' ? [notConnected(event.ticket, state.name)] : [];
}

/** Whether it is about the transfer that is being sent, and not of one that was given up. */
function isUnderWay(state: Open, { transfer }: { readonly transfer: number }): state is Sending {
  return state.kind === 'sending' && state.transfer === transfer;
}

function received(before: Open, { message, transaction }: EventOf<'received'>, now: Now): Step {
  const state: Open = { ...before, pulse: heard(before.pulse, now.monotonicMs) };
  if (state.kind === 'greeting') {
    if (message.kind === 'hello') return greeted(state, message, now);
    return byTable(state, tableEventOf(message.kind), now);
  }
  if (state.kind === 'claiming') {
    // only one HELLO is allowed
    const event = message.kind === 'hello' ? 'other' : tableEventOf(message.kind);
    return byTable(state, event, now);
  }
  const seen = stepTo(state, { kind: 'note', note: { lastSeenMs: now.wallMs } });
  return andThen(seen, (named) => receivedByName(named, message, transaction, now));
}

function receivedByName(state: Named, message: Message, transaction: number, now: Now): Step {
  switch (message.kind) {
    case 'want':
    case 'applied':
    case 'nack':
      return offerAnswered(state, message, now);
    case 'proof':
      return state.kind === 'proving' ? judged(state, message, now) : byTable(state, 'proof', now);
    case 'answer': {
      const { questions, effects } = answer(state.peer.questions, transaction, message);
      return stepTo(withPeer(state, { questions }), ...effects);
    }
    case 'ping':
      return andThen(activeNoted(askedWith(state, message.nonce), message, now), (next) =>
        stepTo(next, { kind: 'send', message: { kind: 'pong', hash: now.publisher.head?.hash } }),
      );
    case 'pong':
      return andThen(alive(state), (next) => activeNoted(next, message, now));
    default:
      return byTable(state, tableEventOf(message.kind), now);
  }
}

/** The event in the table of a message that ends the session, or does nothing. */
function tableEventOf(kind: MessageKind): PublisherEvent {
  switch (kind) {
    case 'hello':
    case 'proof':
    case 'answer':
    case 'ping':
    case 'pong':
    case 'bye':
      return kind;
    default:
      return 'other'; // an answer to no OFFER as well
  }
}

/** Ends a session whose name another connection now has. */
function superseded(state: Open, why: EventOf<'superseded'>['why'], now: Now): Step<Closed> {
  const subscriber = 'peer' in state ? state.peer.name : undefined;
  const code = ErrorCode.nameInUse;
  const text =
    why === 'reconnected'
      ? `${subscriber} connected once more`
      : `another connection has the name ${subscriber} now: there was no PONG from this one in ${NAME_PATIENCE_MS / 1000} s`;
  // Without a wait, two subscribers of one name would displace each other again and again.
  const refusal = { code, text, retryAfterMs: RETRY_AFTER_MS };
  const told = stepTo(state, { kind: 'log', level: 'warn', fields: { subscriber, code }, text });
  return andThen(told, (same) => stopped(same, refusal, now));
}

/**
 * Probes a peer by one PING, whose answer serves all who ask meanwhile: claims cost the holder of the name no
 * more than that.
 */
function probed(state: Open, now: Now): Step {
  // it has just sent HELLO, and WELCOME must come before a PING
  if (!('peer' in state)) return stepTo(state, { kind: 'alive', isAlive: true });
  if (state.peer.probeUntilMs !== NEVER) return stepTo(state);
  const probeUntilMs = now.monotonicMs + NAME_PATIENCE_MS;
  return stepTo(withPeer(state, { probeUntilMs }), ping(now));
}

function alive(state: Named): Step<Named> {
  if (state.peer.probeUntilMs === NEVER) return stepTo(state);
  return stepTo(withPeer(state, { probeUntilMs: NEVER }), { kind: 'alive', isAlive: true });
}

function asked(state: Open, { ticket, about }: EventOf<'asked'>, now: Now): Step {
  if (!('peer' in state)) return stepTo(state, notConnected(ticket, undefined));
  const { questions, name, capabilities } = state.peer;
  const lacks = (capability: Capability): boolean => !capabilities.includes(capability);
  if (about.question === 'refused' && lacks(Capability.firewallLog)) {
    const text = `${name} keeps no log of what it refuses`;
    return stepTo(state, unanswered(ticket, ErrorCode.unsupported, text));
  }
  const known = lacks(Capability.pages) ? { ...about, '+from': undefined } : about;
  const asking = ask(questions, { ticket, about: known }, name, now.monotonicMs);
  return stepTo(withPeer(state, { questions: asking.questions }), ...asking.effects);
}

function notConnected(ticket: number, name: string | undefined): Effect {
  return unanswered(ticket, ErrorCode.notReady, `${name ?? 'the subscriber'} is not connected`);
}

function ping({ publisher }: Now): Effect {
  return { kind: 'send', message: { kind: 'ping', hash: publisher.head?.hash } };
}

// ── Time ───────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Handles what is due, after an event, so that a message that came in time counts though it is read late. The
 * end of the session goes first.
 */
function whatIsDue(state: State, now: Now): Step {
  if (state.kind === 'closed') return stepTo(state);
  const nowMs = now.monotonicMs;
  const isSilent = state.pulse.silentAtMs <= nowMs; // a peer whose power was cut sends nothing any more
  const isLate = 'untilMs' in state && state.untilMs <= nowMs;
  if (isSilent || isLate || hasStalled(state, now)) return byTable(state, 'timeout', now);
  if (!('peer' in state)) return stepTo(beating(state, nowMs));
  const said = andThen(whatIsDueByName(state, now), (next) => sayIfDue(next, now));
  return andThen(said, (next) => {
    if (next.pulse.beatAtMs > nowMs) return stepTo(next);
    return stepTo(beating(next, nowMs), ...(now.isSending ? [] : [ping(now)]));
  });
}

function beating<S extends Open>(state: S, nowMs: number): S {
  return state.pulse.beatAtMs > nowMs ? state : { ...state, pulse: beaten(state.pulse, nowMs) };
}

function whatIsDueByName(before: Named, now: Now): Step<Named> {
  const nowMs = now.monotonicMs;
  const { probeUntilMs, questions, name } = before.peer;
  const asking = dueQuestions(questions, name, nowMs);
  const isGone = probeUntilMs <= nowMs;
  const peer = { questions: asking.questions, probeUntilMs: isGone ? NEVER : probeUntilMs };
  const effects: Effect[] = [...asking.effects];
  if (isGone) effects.push({ kind: 'alive', isAlive: false });
  return andThen(stepTo(withPeer(before, peer), ...effects), (state): Step<Named> => {
    if (state.kind === 'idle' && state.retryAtMs <= nowMs) return offeredAgain(state, now);
    if (state.kind !== 'sending' || state.window === undefined || state.window.endsAtMs > nowMs) {
      return stepTo(state);
    }
    return stepTo({ ...state, window: windowFrom(now) });
  });
}

/** Whether the stream of a transfer took too little in its time. */
function hasStalled(state: Open, { monotonicMs, bytesSent }: Now): boolean {
  if (state.kind !== 'sending' || state.window === undefined) return false;
  const { endsAtMs, sentBefore } = state.window;
  return endsAtMs <= monotonicMs && bytesSent - sentBefore < TRANSFER_WINDOW_MIN_BYTES;
}
