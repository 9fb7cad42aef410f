/**
 * Counts streams in a row that did not verify, so that a channel that spoils them cannot make this host
 * verify without end. They lead to no refusal of a release, as nobody signed them. WIRE.md "Transfers".
 */

import { pauseMsAfter } from '../clock/pauses.ts';

/** A value; times are by the clock of the machine. */
export interface Patience {
  readonly failures: number;
  /** Until then nothing is wanted. */
  readonly untilMs: number;
  /** The release whose chain of deltas did not lead to it. */
  readonly failedChain: Uint8Array | undefined;
}

/** No failure, or a stream has made its release since: the channel is good. */
export const FULL_PATIENCE: Patience = { failures: 0, untilMs: 0, failedChain: undefined };

/** A stream of a release did not verify. */
export function failed(patience: Patience, hash: Uint8Array, isChain: boolean, nowMs: number): Patience {
  const untilMs = nowMs + pauseMsAfter(patience.failures);
  const failedChain = isChain ? hash : patience.failedChain;
  return { failures: patience.failures + 1, untilMs, failedChain };
}

/** How long offers are unwanted, in whole milliseconds. */
export function pauseLeftMs({ untilMs }: Patience, nowMs: number): number {
  return Math.max(0, Math.ceil(untilMs - nowMs));
}

/** Whether only a snapshot of it will do. */
export function needsSnapshot({ failedChain }: Patience, hash: Uint8Array): boolean {
  return failedChain !== undefined && Buffer.compare(failedChain, hash) === 0;
}
