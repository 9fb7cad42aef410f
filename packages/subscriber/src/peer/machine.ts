/**
 * One connection to the publisher as a pure machine: a state and an event make the next state and a list of
 * effects. The protocol's table says which event is allowed in which state (WIRE.md "Sessions"); this file
 * says what each one does. It has no clock, no timer and no channel: session.ts has them.
 *
 *   message ─▶ judge ─▶ event ─▶ step(state, event, now) ─▶ state ─▶ deadline(state) ─▶ one timer ─▶ tick
 *                         ▲                              └▶ effects: send, stage, keep, apply, ask, …
 *                         └── applied, refused, answered ◀──── of the activator and the table
 */

import {
  beaten,
  ErrorCode,
  HANDSHAKE_TIMEOUT_MS,
  heard,
  type Message,
  type MessageOf,
  NEVER,
  NO_QUERIES,
  PROTOCOL_VERSION,
  pulseDeadline,
  pulseFrom,
  stepSubscriber,
  UNPROVED_RETRY_MAX_MS,
} from '@rulecast/protocol';
import { ask, type FreshEvent, learn, NOTHING_KNOWN } from './freshness.ts';
import { answered, query } from './questions.ts';
import {
  type Closed,
  complain,
  type Effect,
  type Event,
  type Greeting,
  type Held,
  type Idle,
  inForce,
  isSame,
  type LinkedState,
  type Memory,
  type Open,
  type OpenState,
  type Reason,
  type Self,
  type State,
  type Step,
  sayLearned,
  send,
  type TableEvent,
} from './states.ts';
import {
  conclude,
  cutOf,
  drain,
  learned,
  nackOf,
  receive,
  takeAbort,
  takeBegin,
  takeOffer,
} from './transfer.ts';

/** A connection that has just been made: HELLO goes first. */
export function start(
  self: Self,
  memory: Memory,
  held: Held | undefined,
  mark: Open['floor'],
  root: MessageOf<'hello'>['root'],
  trouble: string | undefined,
  nowMs: number,
  nonce?: Uint8Array,
): Step {
  const floor = mark === undefined || (held && isSame(held.hash, mark.hash)) ? undefined : mark;
  const hello: Message = {
    kind: 'hello',
    protocolMin: PROTOCOL_VERSION,
    protocolMax: PROTOCOL_VERSION,
    name: self.name,
    lineage: self.lineage,
    root,
    holds: numberOf(held),
    floor: numberOf(floor),
    refused: memory.refusals.map(({ hash }) => hash),
    limits: self.limits,
    capabilities: self.capabilities,
    nonce,
  };
  const untilMs = nowMs + HANDSHAKE_TIMEOUT_MS;
  const open = { self, memory, held, floor, trouble, known: NOTHING_KNOWN };
  const state: Greeting = { kind: 'greeting', ...asking(open, nonce, nowMs), untilMs };
  return { state, effects: [send(hello)] };
}

function asking<S extends Open>(state: S, nonce: Uint8Array | undefined, nowMs: number): S {
  return nonce === undefined
    ? state
    : { ...state, known: ask(state.known, nonce, state.held, state.floor, nowMs) };
}

function numberOf(release: Open['floor']): MessageOf<'hello'>['floor'] {
  return release && { hash: release.hash, epoch: release.epoch, version: release.version };
}

/** The time at which a `tick` is due. */
export function deadline(state: State): number {
  switch (state.kind) {
    case 'closed':
      return NEVER;
    case 'greeting':
      return state.untilMs;
    default:
      return Math.min(pulseDeadline(state.pulse), state.known.askAtMs, patienceEnd(state));
  }
}

/** The deadline of a state that waits for the peer. */
function patienceEnd(state: LinkedState): number {
  switch (state.kind) {
    case 'receiving':
    case 'draining':
      return state.window.endsAtMs;
    case 'idle':
    case 'wanting':
    case 'applying':
      return NEVER; // each side bounds its own work, and is there as long as it answers PING
  }
}

/**
 * One step, for any event at any time. Throws Error for an event that is impossible in the state, such as an
 * outcome that was not requested.
 */
export function step(state: State, event: Event, nowMs: number): Step {
  if (state.kind === 'closed') return over(state, event, nowMs);
  switch (event.kind) {
    case 'tick':
      return tick(state, event.nonce, nowMs);
    case 'trouble':
      return { state: { ...state, trouble: event.text }, effects: [] };
    case 'answered':
      return state.kind === 'greeting' ? { state, effects: [] } : answered(state, event);
    default:
      return act(isReceived(event) ? alive(state, nowMs) : state, event, nowMs);
  }
}

function isReceived({ kind }: Event): boolean {
  switch (kind) {
    case 'tick':
    case 'timeout':
    case 'trouble':
    case 'answered':
    case 'applied':
    case 'refused':
    case 'overBudget':
    case 'disconnected':
    case 'stop':
      return false;
    default:
      return true;
  }
}

function alive(state: OpenState, nowMs: number): OpenState {
  return state.kind === 'greeting' ? state : { ...state, pulse: heard(state.pulse, nowMs) };
}

/**
 * Handles one thing at a time: a due PING comes before the session may end. The subscriber decides when a
 * PING carries a new nonce; the next heartbeat is then counted from it.
 */
function tick(state: OpenState, nonce: Uint8Array | undefined, nowMs: number): Step {
  if (state.kind !== 'greeting' && nonce !== undefined && nowMs >= state.known.askAtMs) {
    const pulse = { ...state.pulse, beatAtMs: nowMs + state.pulse.everyMs };
    return { state: asking({ ...state, pulse }, nonce, nowMs), effects: [pingOf(state, nonce, nowMs)] };
  }
  if (state.kind !== 'greeting' && nowMs >= state.pulse.beatAtMs) {
    const pulse = beaten(state.pulse, nowMs);
    return { state: { ...state, pulse }, effects: [pingOf(state, undefined, nowMs)] };
  }
  return nowMs < deadline(state) ? { state, effects: [] } : act(state, { kind: 'timeout' }, nowMs);
}

function pingOf(state: Open, nonce: Uint8Array | undefined, nowMs: number): Effect {
  return send({ kind: 'ping', ...inForce(state, nowMs), nonce }, 0, true);
}

/**
 * Looks the event up in the protocol's table, which says whether it ends the session; otherwise handles it.
 */
function act(state: OpenState, event: TableEvent, nowMs: number): Step {
  const { action, code } = stepSubscriber(state.kind, event.kind);
  if (action === 'bye') return sayBye(state, event, code);
  if (action === 'close') return close(state, event);
  const next = state.kind === 'greeting' ? greet(state, event, nowMs) : go(state, event, nowMs);
  if (next === undefined) throw new Error(`nothing is done for ${event.kind} while ${state.kind}`);
  return next;
}

function greet(state: Greeting, event: TableEvent, nowMs: number): Step | undefined {
  return event.kind === 'welcome' ? takeWelcome(state, event, nowMs) : undefined;
}

function go(state: LinkedState, event: TableEvent, nowMs: number): Step | undefined {
  switch (event.kind) {
    case 'ping':
      return { state, effects: [send({ kind: 'pong', ...inForce(state, nowMs) })] };
    case 'pong':
      return { state, effects: [] };
    case 'unsupported': {
      // The release in force stays; the publisher sends this once for each head.
      const text = `the publisher does not offer its head, which needs ${event.capabilities.join(', ')}: ${event.text}`;
      return { state, effects: [complain({ code: ErrorCode.unsupported, text })] };
    }
    case 'fresh':
      return learnFrom(state, event);
    case 'query':
      return query(state, event, nowMs);
  }
  switch (state.kind) {
    case 'idle':
      if (event.kind === 'root') return trust(state, event.number);
      return event.kind === 'prove' ? prove(state) : takeOffer(state, event);
    case 'wanting':
      if (event.kind === 'begin') return takeBegin(state, event, nowMs);
      if (event.kind === 'abort') return takeAbort(state, state.want.offer, event);
      return takeOffer(state, event);
    case 'receiving':
      return receive(state, event, nowMs);
    case 'draining':
      return drain(state, event, nowMs);
    case 'applying':
      return conclude(state, event, nowMs);
  }
}

function takeWelcome(state: Greeting, welcome: MessageOf<'welcome'>, nowMs: number): Step {
  const reason = welcomeFault(welcome, state.self);
  if (reason !== undefined) return sayBye(state, { kind: 'stop', reason }, undefined);
  const { self, memory, held, floor, trouble, known } = state;
  const pulse = pulseFrom(nowMs, welcome.heartbeatMs);
  const link = {
    pulse,
    queries: NO_QUERIES,
    refusedPages: NO_QUERIES,
    askedCount: 0,
    figures: undefined,
  };
  return {
    state: { kind: 'idle', self, memory, held, floor, trouble, known, ...link },
    effects: [{ kind: 'welcomed', publisher: welcome.name }],
  };
}

function welcomeFault({ protocol, lineage }: MessageOf<'welcome'>, self: Self): Reason | undefined {
  if (protocol !== PROTOCOL_VERSION) {
    const text = `the publisher answers in protocol ${protocol}, and this subscriber speaks ${PROTOCOL_VERSION} only: update the older of both`;
    return { code: ErrorCode.noCommonVersion, text };
  }
  if (isSame(lineage, self.lineage)) return undefined;
  const text = 'the publisher is of another lineage than the one trusted here';
  return { code: ErrorCode.wrongLineage, text };
}

/** Refusals for good are forgotten: they were judged by the roots of then. */
function trust(state: Idle, number: number): Step {
  const memory = { ...state.memory, refusals: [] };
  return { state: { ...state, memory }, effects: [{ kind: 'trusted', number }] };
}

/** A doubt is reported once, as long as it stays the same. */
function learnFrom(state: LinkedState, event: FreshEvent): Step {
  const next = { ...state, known: learn(state.known, event) };
  const { doubt } = next.known;
  if (event.newest !== undefined) return { state: next, effects: sayLearned(next) };
  const isNews = event.fault !== undefined && doubt !== state.known.doubt;
  return { state: next, effects: isNews ? [complain(event.fault)] : [] };
}

/** Proves the release that HELLO claimed, and says why nothing new may come for a long time. */
function prove(state: Idle): Step {
  const claim = state.floor ?? state.held;
  if (claim === undefined) return { state, effects: [] };
  const { signatures, manifestBytes, epoch, version } = claim;
  const text = `the publisher does not have release ${epoch}/${version}, which was in force here: its state is older, or another publisher uses its key; it sends no new release until that is settled there (rulectl status)`;
  return {
    state,
    effects: [
      send({ kind: 'proof', signatures, content: manifestBytes }),
      complain({ code: ErrorCode.publisherBehind, text }),
    ],
  };
}

// ── The end ────────────────────────────────────────────────────────────────────────────────────────────────

function sayBye(state: OpenState, event: TableEvent, code: ErrorCode | undefined): Step {
  const reason =
    event.kind === 'stop'
      ? event.reason
      : { code: code ?? ErrorCode.internal, text: `${event.kind} while ${state.kind}` };
  const bye: Effect = { kind: 'bye', ...reason };
  const isAsked = reason.code === ErrorCode.shuttingDown;
  const end = closed(state, undefined);
  // A failure of this side would repeat with the same publisher, so the waits keep growing.
  const welcomed = end.welcomed && event.kind !== 'stop';
  const told = isAsked ? [] : [complain(reason)];
  return { state: { ...end, welcomed }, effects: [...unresumed(state), ...told, bye] };
}

function close(state: OpenState, event: TableEvent): Step {
  if (event.kind === 'bye') {
    const { code, text, retryAfterMs } = event;
    const advice =
      code === ErrorCode.noCommonVersion
        ? ` (this subscriber speaks protocol ${PROTOCOL_VERSION}: upgrade the older of both; what is in force stays so meanwhile)`
        : '';
    const reason = { code, text: `the publisher ended the session: ${text}${advice}` };
    const most = state.known.newest === undefined ? UNPROVED_RETRY_MAX_MS : Number.POSITIVE_INFINITY;
    return {
      state: closed(state, retryAfterMs && Math.min(retryAfterMs, most)),
      effects: [...unresumed(state), complain(reason), { kind: 'close' }],
    };
  }
  const fault = event.kind === 'disconnected' ? event.fault : undefined;
  const told = fault === undefined ? [] : [complain(fault)];
  return { state: closed(state, undefined), effects: [...unresumed(state), ...told, { kind: 'close' }] };
}

function closed(state: OpenState, retryAfterMs: number | undefined): Closed {
  const applying = state.kind === 'applying' ? { hash: state.offer.hash, isChain: state.isChain } : undefined;
  const welcomed = state.kind !== 'greeting';
  const memory = state.kind === 'receiving' ? { ...state.memory, cut: cutOf(state.transfer) } : state.memory;
  return { kind: 'closed', memory, welcomed, retryAfterMs, applying };
}

/** Drops the staged transfer unless it can be resumed on the next connection. */
function unresumed(state: OpenState): readonly Effect[] {
  const isKept = state.kind !== 'receiving' || cutOf(state.transfer) !== undefined;
  return isKept ? [] : [{ kind: 'drop' }];
}

/** After the end only the outcome of the release being applied matters; no NACK is sent. */
function over(state: Closed, event: Event, nowMs: number): Step {
  const isOutcome = event.kind === 'applied' || event.kind === 'refused' || event.kind === 'overBudget';
  if (!isOutcome || state.applying === undefined) return { state, effects: [] };
  const nack = event.kind === 'refused' ? nackOf(event, state.applying.hash, undefined) : undefined;
  const memory = learned(state.memory, state.applying, event, nack, nowMs);
  const told = nack === undefined ? [] : [complain(nack)];
  return { state: { ...state, memory, applying: undefined }, effects: told };
}
