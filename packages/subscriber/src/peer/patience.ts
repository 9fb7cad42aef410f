/**
 * Streams that did not verify, in a row: what stands between a channel that spoils them and a processor that
 * verifies them again and again. They refuse no release, for nobody signed them. PROTOCOL.md "Transfers".
 */

/** A value; times are by the clock of the machine. */
export interface Patience {
  readonly failures: number;
  /** Until then nothing is wanted. */
  readonly untilMs: number;
  /** The release whose chain of deltas did not lead to it. */
  readonly failedChain: Uint8Array | undefined;
}

/** Nothing failed, or a stream has made its release since: the channel is good. */
export const FULL_PATIENCE: Patience = { failures: 0, untilMs: 0, failedChain: undefined };

/**
 * How long nothing is wanted after the first such stream, the second, and so on; the last holds for all that
 * follow.
 */
const PAUSES_MS = [0, 1000, 4000, 16_000] as const;
const LONGEST_MS = 60_000;

/** A stream of a release did not verify. */
export function failed(patience: Patience, hash: Uint8Array, isChain: boolean, nowMs: number): Patience {
  const untilMs = nowMs + (PAUSES_MS[patience.failures] ?? LONGEST_MS);
  const failedChain = isChain ? hash : patience.failedChain;
  return { failures: Math.min(patience.failures + 1, PAUSES_MS.length), untilMs, failedChain };
}

/** How long nothing is to be offered, in whole milliseconds. */
export function pauseLeftMs({ untilMs }: Patience, nowMs: number): number {
  return Math.max(0, Math.ceil(untilMs - nowMs));
}

/** Whether only a snapshot of it will do. */
export function needsSnapshot({ failedChain }: Patience, hash: Uint8Array): boolean {
  return failedChain !== undefined && Buffer.compare(failedChain, hash) === 0;
}
