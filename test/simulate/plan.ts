/**
 * What is done to a simulated house, drawn from a seed before it begins: so that any of it can be left out,
 * and what is left still happens. Pure.
 *
 *   round:  faults and pushes, some of them as soon as a machine is in a certain state ─▶ calm: no faults, all converge
 */

import { Random } from '../kit/random.mjs';
import { MACHINE_STATES, type MachineState } from './witness.ts';

/** Faults of one connection. */
export const LINK_FAULTS = [
  'cut',
  'half-open',
  'stall',
  'delay',
  'bytewise',
  'duplicate',
  'slow-reader',
  'spoil',
  'replay',
  'strange-fresh',
  'forged-stream',
  'freeze',
] as const;
/** Faults of one subscriber and its machine. */
export const SUBSCRIBER_FAULTS = [
  'subscriber-killed',
  'subscriber-owner-killed',
  'subscriber-power-cut',
  'subscriber-torn-write',
  'subscriber-disk-full',
  'subscriber-disk-error',
  'subscriber-disk-slow',
  'subscriber-disk-doubtful',
  'subscriber-fsync-lies',
  'subscriber-bit-flip',
  'subscriber-state-lost',
  'subscriber-state-restored',
  'subscriber-releases-lost',
  'subscriber-clock-jump',
  'subscriber-frozen',
] as const;
/** Faults of one publisher and its machine. */
export const PUBLISHER_FAULTS = [
  'publisher-killed',
  'publisher-power-cut',
  'publisher-crash-in-commit',
  'publisher-disk-full',
  'publisher-disk-error',
  'publisher-disk-slow',
  'publisher-commit-doubtful',
  'publisher-fsync-lies',
  'publisher-bit-flip',
  'publisher-restored',
  'publisher-store-lost',
  'publisher-rotated',
  'publisher-clock-jump',
  'publisher-frozen',
  'publisher-twin',
] as const;
export const FAULTS = [...LINK_FAULTS, ...SUBSCRIBER_FAULTS, ...PUBLISHER_FAULTS] as const;
export type Fault = (typeof FAULTS)[number];

/** What people do, and no fault. */
export const DEEDS = ['push', 'push-list', 'push-heavy', 'rollback', 'back-up', 'ask', 'burst'] as const;
export type Deed = (typeof DEEDS)[number];

export interface Action {
  readonly round: number;
  /** From the beginning of the round. */
  readonly atMs: number;
  readonly kind: Fault | Deed;
  /** Done when a machine comes into this state after `atMs`, if it does; at once without it. */
  readonly when?: MachineState;
  /** The seed of its own choices. */
  readonly seed: number;
}

export interface Plan {
  readonly seed: number;
  readonly subscribers: number;
  readonly actions: readonly Action[];
}

export const ROUND_MS = 5 * 60_000;
/** Faults come so often on average, in rounds that are wild and in those that are mild. */
const FAULT_EVERY_MS = [4000, 15_000, 60_000] as const;
const DEED_EVERY_MS = 12_000;
/** Share of faults that wait for a state. */
const AMBUSHES = 0.6;
/** Things that lose what was promised, or cost much, are rarer than the rest. */
const RARE: readonly string[] = [
  'publisher-restored',
  'publisher-store-lost',
  'publisher-rotated',
  'publisher-bit-flip',
  'publisher-twin',
  'subscriber-state-lost',
  'subscriber-state-restored',
  'subscriber-releases-lost',
];
const RARE_SHARE = 0.25;

/** A fault while a machine is in a state: `FAULT, STATE`. */
export type Pair = `${Fault}, ${MachineState}`;

/**
 * @param faults Only these; all by default.
 * @param wanted Pairs that are tried on top, once a round each.
 */
export function planOf(
  seed: number,
  rounds: number,
  faults: readonly Fault[] = FAULTS,
  wanted: readonly Pair[] = [],
): Plan {
  const random = new Random(seed);
  const actions: Action[] = [];
  for (let round = 0; round < rounds; round++) {
    const everyMs = random.pick(FAULT_EVERY_MS);
    const own = faults.filter((fault) => !RARE.includes(fault) || random.chance(RARE_SHARE));
    for (let atMs = random.below(everyMs); atMs < ROUND_MS; atMs += random.below(2 * everyMs)) {
      if (own.length > 0) actions.push(...faultAt(random, round, atMs, random.pick(own)));
    }
    for (let atMs = 0; atMs < ROUND_MS; atMs += random.below(2 * DEED_EVERY_MS)) {
      actions.push({ round, atMs, kind: random.pick(DEEDS), seed: random.word() });
    }
  }
  const subscribers = 2 + random.below(2);
  for (let round = 0; round < rounds; round++) {
    for (const pair of wanted) actions.push(...tryFor(pair, random, round));
  }
  actions.sort((a, b) => a.round - b.round || a.atMs - b.atMs);
  return { seed, subscribers, actions };
}

function tryFor(pair: Pair, random: Random, round: number): readonly Action[] {
  const kind = FAULTS.find((fault) => pair.startsWith(`${fault}, `));
  const when = MACHINE_STATES.find((state) => pair.endsWith(`, ${state}`));
  if (kind === undefined || when === undefined) throw new TypeError(`there is no pair ${pair}`);
  return ambush(random, { round, atMs: random.below(ROUND_MS), kind, seed: random.word() }, when);
}

function faultAt(random: Random, round: number, atMs: number, kind: Fault): readonly Action[] {
  const fault = { round, atMs, kind, seed: random.word() };
  if (!random.chance(AMBUSHES)) return [fault];
  return ambush(random, fault, random.pick(MACHINE_STATES));
}

function ambush(random: Random, fault: Action, when: MachineState): readonly Action[] {
  const { round, atMs } = fault;
  const lure = LURES[when];
  const lures: readonly Action[] =
    lure === undefined
      ? []
      : [{ round, atMs: atMs + 1 + random.below(3000), kind: lure, seed: random.word() }];
  return [{ ...fault, when }, ...lures];
}

/** What brings machines into a state that they are rarely in. */
const LURES: Partial<Record<MachineState, Fault | Deed>> = {
  'publisher greeting': 'cut',
  'subscriber greeting': 'cut',
  'publisher proving': 'publisher-restored',
  'publisher offered': 'push',
  'publisher sending': 'push-heavy',
  'publisher confirming': 'push',
  'subscriber wanting': 'push',
  'subscriber receiving': 'push-heavy',
  'subscriber draining': 'push-heavy',
  'subscriber applying': 'push',
};
