/** Which of the three OFFER events an OFFER is, in the order of WIRE.md "Offers". */

import {
  boundText,
  ErrorCode,
  FRESH_EVERY_MS,
  type MessageOf,
  manifestHash,
  ProtocolError,
} from '@rulecast/protocol';
import type { VerifiedOffer } from '../apply/offer.ts';
import type { ActiveMark } from '../state/state.ts';
import { checkNewest } from './freshness.ts';
import { pauseLeftMs } from './patience.ts';
import { refusalOf } from './refusals.ts';
import { isSame, nackOfTrouble, type OfferEvent, type State, type TableEvent } from './states.ts';

export interface Judge {
  /** Checks signature, manifest, lineage, order and limits. Throws ProtocolError. */
  verifyOffer(manifestBytes: Uint8Array, signatures: Uint8Array): VerifiedOffer;
  /** The newest that ever was in force, where it counts. */
  floor(): Pick<ActiveMark, 'hash'> | undefined;
  /** The state of the table in force. */
  generation(): number;
}

/** Judges an offer; the checks that need no signature come first. */
export function judgeOffer(
  { content: manifest, signatures }: MessageOf<'offer'>,
  state: Exclude<State, { readonly kind: 'closed' }>,
  judge: Judge,
  nowMs: number,
): OfferEvent | Extract<TableEvent, { kind: 'stop' }> {
  const { held, trouble, memory } = state;
  const hash = manifestHash(manifest);
  const nack = { kind: 'nack', hash, retry: 'later', keeps: held?.hash } as const;
  if (held !== undefined && Buffer.compare(held.hash, hash) === 0) {
    if (trouble === undefined) return { kind: 'offerActive', generation: judge.generation() };
    return { kind: 'offerRefused', nack: nackOfTrouble(hash, trouble), isForGood: false };
  }
  const known = refusalOf(memory.refusals, hash);
  if (known !== undefined) return { kind: 'offerRefused', nack: known, isForGood: false };
  let isOfConnection = false; // a statement of freshness counts no longer than that
  try {
    const offer = judge.verifyOffer(manifest, signatures);
    const { epoch, version } = offer.manifest;
    isOfConnection = true;
    const sinceMs = nowMs - state.self.staleAfterMs;
    checkNewest({ hash, epoch, version }, state.known, judge.floor() !== undefined, sinceMs);
    const leftMs = pauseLeftMs(memory.patience, nowMs);
    if (leftMs === 0) return { kind: 'offer', offer };
    const text = `streams of this channel did not verify: nothing is wanted for ${leftMs} ms`;
    const said = { ...nack, code: ErrorCode.badTransfer, text, retryAfterMs: leftMs };
    return { kind: 'offerRefused', nack: said, isForGood: false };
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    const { code, message } = error;
    if (isUntold(judge.floor(), state) && (code === ErrorCode.notNewer || code === ErrorCode.forked)) {
      // Ends the session: a new root made the release acceptable, and only the next HELLO can tell the
      // publisher.
      return { kind: 'stop', reason: { code, text: boundText(`${message}; the next HELLO says so`) } };
    }
    // The same manifest may come with good signatures, which anybody can spoil; the next root may grant it.
    const isForGood =
      !isOfConnection && code !== ErrorCode.badSignature && code !== ErrorCode.epochNotGranted;
    const retryAfterMs = isOfConnection ? FRESH_EVERY_MS : undefined;
    const retry = isForGood ? 'never' : 'later';
    const said = { ...nack, code, text: boundText(message), retry, retryAfterMs } as const;
    return { kind: 'offerRefused', nack: said, isForGood };
  }
}

/** Whether the publisher does not know that it was in force here: neither HELLO said so nor APPLIED. */
function isUntold(
  floor: Pick<ActiveMark, 'hash'> | undefined,
  { held, floor: said }: Exclude<State, { readonly kind: 'closed' }>,
): boolean {
  return (
    floor !== undefined && ![held, said].some((told) => told !== undefined && isSame(told.hash, floor.hash))
  );
}
