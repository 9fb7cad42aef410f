/**
 * The time of a peer: a count that cannot be set, and timers by it. Both are arguments everywhere; the
 * process's own are here, and nowhere else below `protocol/`.
 */

import { setImmediate as immediate } from 'node:timers/promises';

/** Calls `work` once after a delay; returns a function that cancels it. */
export type After = (delayMs: number, work: () => void) => () => void;

export interface SteadyClock {
  /** Milliseconds that only grow, by as much as time passes, from any start. */
  monotonicMs(): number;
  readonly after: After;
}

/** Lets the event loop run waiting timers and sockets, before long work goes on. */
export type Turn = () => Promise<void>;

/** The longest delay that Node's timers take; a longer one would end at once. */
const DELAY_MAX_MS = 0x7fff_ffff;

/** Timers of the process, which keep it alive. */
export const systemAfter: After = (delayMs, work) => {
  const timer = setTimeout(work, Math.min(delayMs, DELAY_MAX_MS));
  return () => clearTimeout(timer);
};

/** One turn ends the poll phase of Node's event loop, the next lets timers and sockets in. */
export const systemTurn: Turn = async () => {
  await immediate();
  await immediate();
};

export const STEADY_CLOCK: SteadyClock = { monotonicMs: () => performance.now(), after: systemAfter };
