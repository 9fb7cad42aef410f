/** The command line of `npm run simulate`. */

import { givenOptions, numberGiven } from '../kit/options.mjs';

/**
 * @typedef {{
 *   readonly seed: number,
 *   readonly hours: number,
 *   readonly rounds: number,
 *   readonly minutes: number,
 *   readonly jobs: number | undefined,
 *   readonly faults: readonly string[] | undefined,
 *   readonly kept: readonly number[] | undefined,
 *   readonly wanted: readonly string[] | undefined,
 *   readonly file: string | undefined,
 *   readonly isLoud: boolean,
 *   readonly isHash: boolean,
 *   readonly isShrinking: boolean,
 *   readonly isComplete: boolean,
 * }} Options
 */

/** Minutes of faults in a round; the calm after it comes on top. */
const ROUND_MINUTES = 5;
/** A run of so many minutes has to reach every fault in every state. */
const COMPLETE_MINUTES = 30;

export const USAGE = `npm run simulate -- [--seed N] [--hours H] [--minutes M] [--faults A,B] [--jobs N] [--only I,J] [--want PAIRS] [--loud] [--hash]

Runs a publisher, sometimes two, and some subscribers over a network, disks and clocks of which a seed decides what goes wrong. Ends with 1
at the first thing that must never be, having found out which faults and pushes it takes.

  --seed N     which house (1)
  --hours H    simulated hours of faults of each seed (1)
  --minutes M  the seeds from N on, for so long by the wall clock; from ${COMPLETE_MINUTES} on, a fault that was never had in some state fails it
  --faults A,B only these; none: no faults
  --jobs N     processes at once (all processors)
  --only I,J   only these actions of the plan, by number
  --want PAIRS FAULT, STATE; FAULT, STATE: tried on top of the plan, once a round each. A long run does so by itself for what it did not have
  --loud       tells on standard error what happens
  --hash       prints the hash of the trace
  --no-shrink  does not look for what it takes
`;

const NAMES = ['seed', 'hours', 'minutes', 'faults', 'jobs', 'only', 'want', 'file'];
const FLAGS = ['loud', 'hash', 'no-shrink'];

/**
 * What is asked for; undefined where that is not understood.
 * @param {readonly string[]} args
 * @returns {Options | undefined}
 */
export function optionsOf(args) {
  const given = givenOptions(args, NAMES, FLAGS);
  if (given === undefined) return undefined;
  const [seed, hours, minutes] = [
    numberGiven(given, 'seed', 1),
    numberGiven(given, 'hours', 1),
    numberGiven(given, 'minutes', 0),
  ];
  const jobs = given.has('jobs') ? numberGiven(given, 'jobs', 1) : undefined;
  if (!Number.isSafeInteger(seed) || !(hours > 0) || !(minutes >= 0) || !((jobs ?? 1) >= 1)) return undefined;
  const faults = given
    .get('faults')
    ?.split(',')
    .filter((fault) => fault !== '' && fault !== 'none');
  return {
    seed,
    hours,
    rounds: Math.max(1, Math.round((hours * 60) / ROUND_MINUTES)),
    minutes,
    jobs,
    faults,
    kept: given.get('only')?.split(',').filter(Boolean).map(Number),
    wanted: given
      .get('want')
      ?.split(';')
      .map((pair) => pair.trim()),
    file: given.get('file'),
    isLoud: given.has('loud'),
    isHash: given.has('hash'),
    isShrinking: !given.has('no-shrink'),
    isComplete: minutes >= COMPLETE_MINUTES && faults === undefined,
  };
}
