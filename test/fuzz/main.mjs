/**
 * `npm run fuzz`: a million inputs that are nearly right for everything that a peer's bytes reach, in a
 * process of their own that this one watches. Each input comes from the seed and its number alone, so that
 * one is found again by them.
 */

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { givenOptions, numberGiven } from '../kit/options.mjs';
import { openRun } from '../run/run.mjs';

/** @typedef {import('./victim.mjs').Fault} Fault */

const VICTIM = fileURLToPath(new URL('victim.mjs', import.meta.url));
const INPUTS = 1_000_000;
const REQUESTS = 5000;
/** A batch takes a second at most; a process that says nothing for so long loops without an end. */
const HANG_MS = 120_000;
/** How often it is said on standard error how far a long run is. */
const TELL_MS = 30_000;
const USAGE = `npm run fuzz -- [--target peers|dns|applier] [--seed N] [--inputs N] [--seconds N] [--input N]

Sends inputs that are nearly right to everything that a peer's bytes reach: frames, messages, manifests, roots, parts, deltas, chains, both
session machines; or, with --target dns, to what reads messages of DNS, beside dns-packet. Ends with 1 at the first that crashes the process,
holds it up, takes its memory, or means two things. Or, as root, with --target applier, sends requests to the applier of nftables, in a network
namespace of its own: each is answered, takes no more of the kernel's memory than was given, and leaves the tables of others alone.

  --target T   peers, dns or applier (peers)
  --seed N     which inputs (1)
  --inputs N   how many (1,000,000; 5,000 requests)
  --seconds N  begin no more after so long; a long run says on standard error how far it is
  --input N    only that one
  --plant WHAT make a fault, to see that it is found: crash, uncaught, wrong, stall, memory; of the applier memory
`;

const NAMES = ['target', 'seed', 'inputs', 'seconds', 'input', 'plant'];

/** @param {readonly string[]} args */
function optionsOf(args) {
  const given = givenOptions(args, NAMES);
  if (given === undefined) return undefined;
  const target = given.get('target') ?? 'peers';
  if (target !== 'peers' && target !== 'dns' && target !== 'applier') return undefined;
  const only = numberGiven(given, 'input', -1);
  const from = Math.max(0, only);
  const options = {
    target,
    seed: numberGiven(given, 'seed', 1),
    from,
    to: only < 0 ? numberGiven(given, 'inputs', target === 'applier' ? REQUESTS : INPUTS) : only + 1,
    seconds: numberGiven(given, 'seconds', Number.POSITIVE_INFINITY),
    plant: given.get('plant'),
  };
  return [options.seed, options.to, options.from].every(Number.isSafeInteger) && options.seconds > 0
    ? options
    : undefined;
}

/**
 * Runs a range in a process of its own, until its end, a fault, or the time.
 * @param {{ target: string, seed: number, from: number, to: number, batch?: number, plant?: string | undefined }} range
 * @param {number} endMs
 * @returns {Promise<{ readonly done: number, readonly growthBytes: number, readonly fault?: Fault }>} `done`:
 *   the input after the last.
 */
function watched(range, endMs) {
  const child = fork(VICTIM, [JSON.stringify(range)], { stdio: ['ignore', 'inherit', 'pipe', 'ipc'] });
  const batch = range.batch ?? 1000;
  let at = range.from;
  let toldMs = performance.now();
  let growthBytes = 0;
  let words = '';
  /** @type {Fault | undefined} */
  let fault;
  let isEnded = false; // by us, in time
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  child.stderr?.on('data', (bytes) => {
    words = `${words}${bytes}`.slice(-4000);
  });
  return new Promise((resolve) => {
    const hear = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        fault ??= {
          kind: 'hang',
          from: at,
          to: Math.min(range.to, at + batch),
          text: `nothing for ${HANG_MS} ms`,
        };
        child.kill('SIGKILL');
      }, HANG_MS);
    };
    hear();
    child.on('message', (/** @type {{ at?: number, growthBytes?: number, fault?: Fault }} */ message) => {
      hear();
      fault ??= message.fault;
      at = message.at ?? at;
      growthBytes = Math.max(growthBytes, message.growthBytes ?? 0);
      if (performance.now() - toldMs > TELL_MS) {
        toldMs = performance.now();
        process.stderr.write(`${at - range.from} of ${range.to - range.from} inputs\n`);
      }
      if (performance.now() > endMs && fault === undefined) {
        isEnded = true;
        child.kill('SIGKILL');
      }
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (code !== 0 && !isEnded) {
        const text = `${signal ?? `exit code ${code}`}\n${words}`;
        fault ??= { kind: 'crash', from: at, to: Math.min(range.to, at + batch), text };
      }
      resolve(fault === undefined ? { done: at, growthBytes } : { done: at, growthBytes, fault });
    });
  });
}

/**
 * The one input of a range that does it by itself, or the range.
 * @param {{ target: string, seed: number, plant?: string | undefined }} options
 * @param {Fault} fault
 */
async function isolated(options, fault) {
  if (fault.to - fault.from === 1) return fault;
  const again = await watched(
    { ...options, from: fault.from, to: fault.to, batch: 1 },
    Number.POSITIVE_INFINITY,
  );
  return again.fault ?? fault;
}

/**
 * The exit code.
 * @param {Parameters<typeof import('./applier.mjs').fuzzApplier>[0]} range @param {number} endMs
 */
async function applierFuzzed(range, endMs) {
  const { fuzzApplier } = await import('./applier.mjs');
  const { done, taken, worstBytes, fault } = await fuzzApplier(range, endMs);
  const figures = `${taken} taken, ${(worstBytes / 2 ** 20).toFixed(0)} MiB of the kernel at most`;
  if (fault === undefined) {
    process.stdout.write(`${done - range.from} requests of seed ${range.seed}: no fault; ${figures}\n`);
    return 0;
  }
  process.stdout.write(
    `${fault} (${figures})\nagain: npm run fuzz -- --target applier --seed ${range.seed} --input ${done}\n`,
  );
  return 1;
}

const options = optionsOf(process.argv.slice(2));
if (options === undefined) {
  process.stdout.write(USAGE);
  process.exit(process.argv.includes('--help') ? 0 : 64);
}
openRun();
const { seconds, ...range } = options;
const startMs = performance.now();
if (range.target === 'applier') process.exit(await applierFuzzed(range, startMs + seconds * 1000));
const { done, growthBytes, fault } = await watched(range, startMs + seconds * 1000);
const tookS = ((performance.now() - startMs) / 1000).toFixed(0);
if (fault !== undefined) {
  const { kind, from, to, text } = await isolated(range, fault);
  const where = to - from === 1 ? `input ${from}` : `one of the inputs ${from} to ${to - 1}`;
  process.stdout.write(`${kind}: ${where} of seed ${range.seed}\n${text}\n`);
  if (to - from === 1)
    process.stdout.write(
      `again: npm run fuzz -- --target ${range.target} --seed ${range.seed} --input ${from}\n`,
    );
  process.exit(1);
}
const grown = (growthBytes / 2 ** 20).toFixed(0);
process.stdout.write(
  `${done - range.from} inputs of seed ${range.seed} in ${tookS} s: no fault; ${grown} MiB at most\n`,
);
process.exit(0);
