/**
 * The parts of the machine that a publisher uses besides disk and network: clock, randomness, and turns of
 * the event loop. SYSTEM_HOST is the default. Nothing else in the package takes them from the process, except
 * the edges that edges.mjs names.
 */

import { systemTurn, type Turn } from '@rulecast/protocol';
import { type Clock, SYSTEM_CLOCK } from '@rulecast/sources';

export interface Host {
  readonly clock: Clock;
  /** 0 to 1, for jitter. */
  readonly random: () => number;
  readonly turn: Turn;
}

export const SYSTEM_HOST: Host = { clock: SYSTEM_CLOCK, random: Math.random, turn: systemTurn };
