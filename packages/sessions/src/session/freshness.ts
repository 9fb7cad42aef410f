/**
 * Sends a subscriber which release is the newest: its last nonce is answered once, at a limited rate. A
 * publisher that is behind, or has still to judge a claim, sends nothing: its head may not be the newest.
 * WIRE.md "Freshness".
 */

import { ANSWER_TIMEOUT_MS, FRESH_EVERY_MS, type Signed } from '@rulecast/protocol';
import { withAsking } from './asking.ts';
import { stepTo } from './ending.ts';
import { isSame, offerIfDue } from './offering.ts';
import type { Effect, Named, Now, Step } from './state.ts';

/** Requests the signature for a due nonce; gives up one that is not made in time. */
export function sayIfDue(state: Named, now: Now): Step<Named> {
  const { nonce, notBeforeMs, signing } = state.peer.asking;
  const nowMs = now.monotonicMs;
  if (signing !== undefined) {
    return signing.untilMs > nowMs
      ? stepTo(state)
      : offerIfDue(withAsking(state, { signing: undefined }), now);
  }
  if (nonce === undefined || notBeforeMs > nowMs) return stepTo(state);
  // the next PING brings another nonce
  if (now.publisher.isBehind) return stepTo(withAsking(state, { nonce: undefined }));
  const untilMs = nowMs + ANSWER_TIMEOUT_MS;
  const asking = { nonce: undefined, notBeforeMs: nowMs + FRESH_EVERY_MS, signing: { nonce, untilMs } };
  return stepTo(withAsking(state, asking), {
    kind: 'attest',
    nonce,
    release: now.publisher.head,
    name: state.peer.name,
  });
}

/** It is signed, or cannot be; what was given up is not sent late. */
export function said(state: Named, nonce: Uint8Array, signed: Signed | undefined, now: Now): Step<Named> {
  if (!isSame(state.peer.asking.signing?.nonce, nonce)) return stepTo(state);
  const effects: Effect[] =
    signed === undefined ? [] : [{ kind: 'send', message: { kind: 'fresh', ...signed } }];
  const { state: next, effects: offering } = offerIfDue(withAsking(state, { signing: undefined }), now);
  return stepTo(next, ...effects, ...offering);
}
