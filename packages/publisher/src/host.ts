/**
 * What a publisher has of the machine that it runs on, beside disk and network: time, chance, and turns of
 * the event loop. Those of the process are here, for who hands in none; nothing else of the package takes
 * them from the air but the edges that edges.mjs names.
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
