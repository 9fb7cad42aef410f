/**
 * The end of a session, and its reports of errors. An event that is out of place in a state is handled by the
 * protocol's own table.
 */

import {
  boundText,
  ErrorCode,
  NEVER,
  type PublisherEvent,
  type PublisherState,
  stepPublisher,
} from '@rulecast/protocol';
import type { Refusal } from '../admission/refusal.ts';
import { abandoned } from './questions.ts';
import type { Closed, Effect, Fault, Named, Now, Open, State, Step } from './state.ts';

/** A step to a state, with its effects. */
export function stepTo<S extends State>(state: S, ...effects: readonly Effect[]): Step<S> {
  return { state, effects };
}

/** Continues from the state of a step. */
export function andThen<S extends State, T extends State>(
  before: Step<S>,
  next: (state: S) => Step<T>,
): Step<T> {
  const after = next(before.state);
  return { state: after.state, effects: [...before.effects, ...after.effects] };
}

/** The state by WIRE.md "Publisher". */
export function stateOf({ kind }: State): PublisherState {
  return kind === 'claiming' ? 'greeting' : kind;
}

/** The step of an event that only ends the session, or does nothing, by the table. */
export function byTable<S extends Open>(state: S, event: PublisherEvent, now: Now): Step<S | Closed> {
  const { action, code } = stepPublisher(stateOf(state), event);
  switch (action) {
    case 'none':
      return stepTo(state);
    case 'close':
      return stepTo({ kind: 'closed', name: nameOf(state) }, { kind: 'close' }, ...leaving(state, now));
    case 'bye': {
      const reason = code ?? ErrorCode.internal;
      const text = `the session ended: ${event} while ${stateOf(state)}`;
      return ended(state, { code: reason, text }, { code: reason, text: reason }, now);
    }
    default:
      throw new Error(`publisher: ${event} while ${state.kind} is more than an end`);
  }
}

/** The publisher ends the session for a reason of its own. */
export function stopped(state: Open, refusal: Refusal, now: Now): Step<Closed> {
  return ended(state, refusal, refusal, now);
}

function ended(state: Open, fault: Fault, { code, text, retryAfterMs }: Refusal, now: Now): Step<Closed> {
  return stepTo(
    { kind: 'closed', name: nameOf(state) },
    ...faulty(state, fault, now),
    { kind: 'bye', code, text, retryAfterMs },
    ...leaving(state, now),
  );
}

/** The connection has ended by itself. */
export function disconnected(state: Open, fault: Fault | undefined, now: Now): Step {
  const told = fault === undefined ? [] : faulty(state, fault, now);
  return andThen(stepTo(state, ...told), (same) => byTable(same, 'disconnected', now));
}

/** Records the last error; a client without a name has no entry, so it is logged. */
export function faulty(state: Open, { code, text }: Fault, now: Now): readonly Effect[] {
  if ('peer' in state) {
    const lastError = { code, text: boundText(text), atMs: now.wallMs };
    return [{ kind: 'note', note: { lastError } }, { kind: 'changed' }];
  }
  const fields = { code, subscriber: nameOf(state) };
  return [{ kind: 'log', level: 'warn', fields, text: `a connection ended before it had a name: ${text}` }];
}

/** The effects of leaving. A newer session of the same name may write the same entry next. */
function leaving(state: Open, now: Now): readonly Effect[] {
  if (!('peer' in state)) return [];
  const { name, held, questions, probeUntilMs } = state.peer;
  const { epoch, version } = held ?? { epoch: 0, version: 0 };
  const note = { connectedSinceMs: undefined, receiving: false, lastSeenMs: now.wallMs };
  const outcome = { subscriber: name, state: 'disconnected', epoch, version, bytes: 0 } as const;
  return [
    ...(probeUntilMs === NEVER ? [] : [{ kind: 'alive', isAlive: false } as const]),
    ...abandoned(questions, name),
    { kind: 'note', note },
    { kind: 'log', level: 'info', fields: { subscriber: name, version }, text: 'subscriber disconnected' },
    { kind: 'settle', outcome },
  ];
}

/** The name in HELLO, even if the session does not own it. */
function nameOf(state: Open): string | undefined {
  if ('peer' in state) return state.peer.name;
  return state.kind === 'claiming' ? state.hello.name : undefined;
}

/** The same state with changes to its peer. */
export function withPeer<S extends Named>(state: S, changes: Partial<S['peer']>): S {
  return { ...state, peer: { ...state.peer, ...changes } };
}
