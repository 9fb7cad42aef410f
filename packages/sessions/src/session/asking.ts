/**
 * A subscriber's request for freshness, as a value of its session: its last nonce, when it may be answered,
 * and the signature under way. WIRE.md "Freshness".
 */

import { NEVER } from '@rulecast/protocol';
import type { FreshnessRequest, Named, Now } from './state.ts';

export const NOTHING_ASKED: FreshnessRequest = { nonce: undefined, notBeforeMs: 0, signing: undefined };

/** A PING's nonce replaces an earlier one without an answer. */
export function askedWith<S extends Named>(state: S, nonce: Uint8Array | undefined): S {
  return nonce === undefined ? state : withAsking(state, { nonce });
}

/** Until a claim is judged the newest release is not known: no freshness is sent, and nothing offered. */
export function held<S extends Named>(state: S): S {
  return withAsking(state, { notBeforeMs: NEVER });
}

export function isHeld({ notBeforeMs }: FreshnessRequest): boolean {
  return notBeforeMs === NEVER;
}

export function heldNoMore<S extends Named>(state: S, { monotonicMs }: Now): S {
  return isHeld(state.peer.asking) ? withAsking(state, { notBeforeMs: monotonicMs }) : state;
}

/** The time at which freshness is to be sent, or the wait for a signature ends. */
export function askingDeadline({ nonce, notBeforeMs, signing }: FreshnessRequest): number {
  if (signing !== undefined) return signing.untilMs;
  return nonce === undefined ? NEVER : notBeforeMs;
}

export function withAsking<S extends Named>(state: S, changes: Partial<FreshnessRequest>): S {
  const { peer } = state;
  return { ...state, peer: { ...peer, asking: { ...peer.asking, ...changes } } };
}
