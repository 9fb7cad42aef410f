/**
 * Limits over time that both peers enforce, as values of a machine's state: heartbeats, the least speed of a
 * transfer, the rate of questions. Times are milliseconds of one steady clock, which the caller has. WIRE.md
 * "Time".
 */

import { QUERIES_PER_SECOND_MAX, TRANSFER_WINDOW_MIN_BYTES, TRANSFER_WINDOW_MS } from '../limits.ts';

/** Heartbeats that may be missed: WIRE.md "Time". */
const SILENT_BEATS = 3;

/** The signs of life of one connection, ours and the peer's. */
export interface Pulse {
  readonly everyMs: number;
  /** When the next PING is due. */
  readonly beatAtMs: number;
  /** When the peer counts as gone, unless a message arrives before. */
  readonly silentAtMs: number;
}

export function pulseFrom(nowMs: number, everyMs: number): Pulse {
  return { everyMs, beatAtMs: nowMs + everyMs, silentAtMs: nowMs + SILENT_BEATS * everyMs };
}

/** A message arrived. */
export function heard(pulse: Pulse, nowMs: number): Pulse {
  return { ...pulse, silentAtMs: nowMs + SILENT_BEATS * pulse.everyMs };
}

/** The PING that was due is sent, or left out; what was missed meanwhile is not made up for. */
export function beaten(pulse: Pulse, nowMs: number): Pulse {
  const next = pulse.beatAtMs + pulse.everyMs;
  return { ...pulse, beatAtMs: next > nowMs ? next : nowMs + pulse.everyMs };
}

/** The next time at which the pulse needs attention. */
export function pulseDeadline({ beatAtMs, silentAtMs }: Pulse): number {
  return Math.min(beatAtMs, silentAtMs);
}

/** The time in which a transfer has to move on. */
export interface MovingWindow {
  readonly endsAtMs: number;
  /** Since it began. */
  readonly movedBytes: number;
}

export function windowFrom(nowMs: number): MovingWindow {
  return { endsAtMs: nowMs + TRANSFER_WINDOW_MS, movedBytes: 0 };
}

/** Counts moved bytes; starts another window once they are enough. */
export function moved(window: MovingWindow, byteCount: number, nowMs: number): MovingWindow {
  const movedBytes = window.movedBytes + byteCount;
  return movedBytes >= TRANSFER_WINDOW_MIN_BYTES ? windowFrom(nowMs) : { ...window, movedBytes };
}

/** The questions of the second that runs. */
export interface QueryRate {
  readonly second: number;
  readonly count: number;
}

export const NO_QUERIES: QueryRate = { second: 0, count: 0 };

/** One more question, whether it is answered or not. */
export function asked(rate: QueryRate, nowMs: number): QueryRate {
  const second = Math.floor(nowMs / 1000);
  return { second, count: second === rate.second ? rate.count + 1 : 1 };
}

export function isOverRate({ count }: QueryRate, most: number = QUERIES_PER_SECOND_MAX): boolean {
  return count > most;
}
