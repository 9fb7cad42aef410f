/**
 * `npm run simulate`: real publishers and subscribers in simulated houses, where time, network and disks are
 * those of a seed, and much goes wrong. This process makes them anew from the sources, watches them, and
 * where one fails finds out what it takes.
 */

import { fork } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { openRun } from '../run/run.mjs';
import { bundle } from './bundle.mjs';
import { optionsOf, USAGE } from './options.mjs';
import { lastLine, Tally, tableOf } from './tally.mjs';

/**
 * @typedef {import('./options.mjs').Options} Options
 * @typedef {import('./tally.mjs').Told} Told
 * @typedef {{ seeds: readonly number[], kept?: readonly number[] | undefined, wanted?: readonly string[] | undefined }} Order
 */

/** Beside node_modules, where what the file imports is found. */
const CACHE = fileURLToPath(new URL('../../node_modules/.cache/rulecast/', import.meta.url));
/** Seeds that one process runs: starting one takes half a second. */
const BATCH = 5;
/**
 * A seed that does not end: by its processor time, for on a busy machine one that does takes long; and by the
 * clock.
 */
const HANG_CPU_S = 300;
const HANG_MS = 3_600_000;
const LOOK_MS = 10_000;
/** Ticks of the times in /proc. */
const TICKS_PER_S = 100;
/** More pairs than that come by themselves. */
const WANTED_MAX = 40;
const SHRINK_TRIES = 120;
const SHRINK_MS = 240_000;

/**
 * Runs an order in a process of its own. Resolves with the first violation, if there is one.
 * @param {string} file
 * @param {Options} options
 * @param {Order} order
 * @param {(told: Told) => void} onTold
 * @param {number} [endMs] After the next seed from then on it is ended.
 * @returns {Promise<Told | undefined>}
 */
function simulated(
  file,
  { rounds, faults, wanted, isLoud },
  order,
  onTold,
  endMs = Number.POSITIVE_INFINITY,
) {
  const argument = JSON.stringify({ rounds, faults, wanted, loud: isLoud, ...order });
  const child = fork(file, [argument], { execArgv: ['--enable-source-maps'], serialization: 'json' });
  /** @type {Told | undefined} */
  let violated;
  let [next = 0] = order.seeds;
  let isEnded = false; // by us, in time
  return new Promise((resolve) => {
    let since = { cpuS: 0, ms: performance.now() };
    const timer = setInterval(() => {
      const isOver =
        cpuSecondsOf(child.pid) - since.cpuS > HANG_CPU_S || performance.now() - since.ms > HANG_MS;
      if (isOver) child.kill('SIGKILL');
    }, LOOK_MS);
    child.on('message', (/** @type {Told} */ told) => {
      since = { cpuS: cpuSecondsOf(child.pid), ms: performance.now() };
      next = order.seeds[order.seeds.indexOf(told.seed) + 1] ?? told.seed;
      if (told.violation !== undefined) violated ??= told;
      onTold(told);
      if (performance.now() < endMs) return;
      isEnded = true;
      child.kill('SIGKILL');
    });
    child.on('close', (code, signal) => {
      clearInterval(timer);
      if (code !== 0 && !isEnded) violated ??= crashed(next, `${signal ?? `exit code ${code}`}`);
      resolve(violated);
    });
  });
}

/** Processor time that a process has had; 0 for one that is gone. @param {number | undefined} pid */
function cpuSecondsOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // "PID (NAME) STATE …": the name may hold anything; user and system time are the 14th and 15th word.
    const words = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(words[11]) + Number(words[12])) / TICKS_PER_S;
  } catch {
    return 0;
  }
}

/** @param {number} seed @param {string} text @returns {Told} */
function crashed(seed, text) {
  const violation = { code: 'process', text };
  const nothing = { simulatedMs: 0, releases: 0, faults: 0, steps: 0, trace: '', actionCount: 0 };
  return { ...nothing, seed, violation, pairs: [], forks: [], events: [], lines: [] };
}

/**
 * The fewest actions of a plan, as far as they are found in time, that bring about the same violation (delta
 * debugging; Zeller and Hildebrandt, 2002).
 * @param {string} file
 * @param {Options} options
 * @param {Told} told
 */
async function shrunk(file, options, told) {
  const { seed, violation } = told;
  let kept = options.kept ?? Array.from({ length: told.actionCount }, (_, i) => i);
  const endMs = performance.now() + SHRINK_MS;
  let tries = 0;
  /** @param {readonly number[]} some */
  const fails = async (some) => {
    tries += 1;
    const again = await simulated(
      file,
      { ...options, isLoud: false },
      { seeds: [seed], kept: some, wanted: told.wanted },
      () => undefined,
    );
    return again?.violation?.code === violation?.code;
  };
  for (let parts = 2; kept.length > 0; ) {
    const size = Math.ceil(kept.length / parts);
    let isSmaller = false;
    for (let at = 0; at < kept.length && !isSmaller; at += size) {
      if (tries >= SHRINK_TRIES || performance.now() > endMs) return kept;
      const rest = [...kept.slice(0, at), ...kept.slice(at + size)];
      if (!(await fails(rest))) continue;
      kept = rest;
      isSmaller = true;
    }
    if (isSmaller) parts = Math.max(2, parts - 1);
    else if (size === 1) return kept;
    else parts = Math.min(kept.length, 2 * parts);
  }
  return kept;
}

/**
 * Runs seeds from the first on, as many at once as there are jobs, until the time is over or one fails.
 * @param {string} file
 * @param {Options} options
 * @param {Tally} tally
 */
async function allSeeds(file, options, tally) {
  const endMs = performance.now() + options.minutes * 60_000;
  const isLong = options.minutes > 0;
  let seed = options.seed;
  /** @type {Told | undefined} */
  let violated;
  const work = async () => {
    do {
      const count = isLong ? BATCH : 1;
      const seeds = Array.from({ length: count }, (_, i) => seed + i);
      seed += count;
      /** @type {Order} */
      const order = { seeds, kept: options.kept, wanted: wantedBy(options, tally) };
      const told = await simulated(file, options, order, (one) => tally.add(one), isLong ? endMs : undefined);
      violated ??= told && { ...told, wanted: order.wanted };
    } while (isLong && violated === undefined && performance.now() < endMs);
  };
  const jobs = isLong ? Math.min(options.jobs ?? availableParallelism(), availableParallelism()) : 1;
  await Promise.all(Array.from({ length: jobs }, work));
  return violated;
}

/**
 * What is tried on top of the plans: where everything has to be reached, the few pairs that were not yet.
 * @param {Options} options
 * @param {Tally} tally
 */
function wantedBy({ wanted, isComplete }, tally) {
  if (!isComplete || tally.seeds === 0) return wanted;
  const missing = tally.missingPairs();
  return missing.length <= WANTED_MAX ? missing : undefined;
}

/** @param {string} text */
function say(text) {
  process.stdout.write(`${text}\n`);
}

const options = optionsOf(process.argv.slice(2));
if (options === undefined) {
  say(USAGE);
  process.exit(process.argv.includes('--help') ? 0 : 64);
}
openRun();
mkdirSync(CACHE, { recursive: true });
const file = options.file ?? `${CACHE}simulate-${process.pid}.mjs`;
if (options.file === undefined) await bundle(file);
const startMs = performance.now();
const tally = new Tally();
const violated = await allSeeds(file, options, tally);
const tookS = (performance.now() - startMs) / 1000;
if (violated !== undefined) {
  const { seed, violation, lines, trace } = violated;
  for (const line of lines.slice(-60)) say(`  ${line}`);
  say(`seed ${seed}: ${violation?.text}`);
  const faults = options.faults === undefined ? '' : ` --faults ${options.faults.join(',')}`;
  const wanted = violated.wanted?.length ? ` --want '${violated.wanted.join(';')}'` : '';
  const command = `npm run simulate -- --seed ${seed} --hours ${options.hours}${faults}${wanted}`;
  say(`again: ${command}`);
  if (options.isShrinking && trace !== '') {
    const kept = await shrunk(file, options, violated);
    const { actionCount } = violated;
    if (kept.length === actionCount) say(`it takes all of the ${actionCount} actions`);
    else say(`it takes ${kept.length} of ${actionCount} actions: ${command} --only ${kept.join(',')}`);
  }
  say(lastLine(tally, tookS));
  process.exit(1);
}
const missing = tally.missing();
if (options.minutes > 0) say(tableOf(tally));
if (options.isHash) say(`trace ${tally.traces.join(' ')}`);
if (options.isComplete && missing.length > 0) {
  for (const line of missing) say(`never came: ${line}`);
  say(lastLine(tally, tookS));
  process.exit(1);
}
say(lastLine(tally, tookS));
process.exit(0);
