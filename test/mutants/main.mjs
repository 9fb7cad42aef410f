/**
 * `npm run mutants`: whether the simulator, and the suites, see what is wrong. Each known design error is put
 * into the sources as they are read, one at a time; none may live.
 */

import { spawn } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { givenOptions, numberGiven } from '../kit/options.mjs';
import { openRun } from '../run/run.mjs';
import { bundle } from '../simulate/bundle.mjs';
import { MUTANTS, mutated } from './list.mjs';

/** @typedef {import('./list.mjs').Mutant} Mutant */

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const CACHE = `${ROOT}node_modules/.cache/rulecast/`;
const SIMULATOR = fileURLToPath(new URL('../simulate/main.mjs', import.meta.url));
const CONFIG = fileURLToPath(new URL('vitest.config.ts', import.meta.url));
/** Half of them are for the suites to see: the whole table is to take half an hour. */
const SIMULATE_MINUTES = 0.75;
/** The time for a simulator or some suites: after it they count as hung, which is detected. */
const HANG_MS = 900_000;
/** The part of their output that is kept. */
const TEXT_MAX = 1 << 20;
const USAGE = `npm run mutants -- [--seed N] [--minutes M] [--simulate S] [--only WORDS]

Puts known design errors into the sources, one at a time, and looks whether the simulator sees them, and else the suites. Ends with 1 if one
of them is seen by nobody.

  --seed N      the first seed (1), and with --minutes the mutant to begin with
  --minutes M   begins no further mutant after so long
  --simulate S  minutes of simulation of each (${SIMULATE_MINUTES})
  --only WORDS  those with these words in their name
  --suites      the suites as well where the simulator has seen it
`;

/** @param {string} text */
function say(text) {
  process.stdout.write(`${text}\n`);
}

/**
 * Runs a command; resolves with its exit code and what it says.
 * @param {readonly string[]} args of this Node
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<{ readonly code: number | null, readonly text: string }>}
 */
function run(args, env) {
  const child = spawn(process.execPath, args, {
    cwd: ROOT,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: HANG_MS,
    killSignal: 'SIGKILL',
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (bytes) => {
      text = `${text}${bytes}`.slice(-TEXT_MAX);
    });
  }
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, text })));
}

/**
 * What the simulator sees of a mutant; undefined for nothing.
 * @param {Mutant} mutant
 * @param {number} seed
 * @param {number} minutes
 */
async function simulated(mutant, seed, minutes) {
  const file = `${CACHE}mutant-${process.pid}.mjs`;
  await bundle(file, (path, text) => mutated(mutant, path, text));
  const args = [
    SIMULATOR,
    '--file',
    file,
    '--no-shrink',
    '--seed',
    `${seed}`,
    '--hours',
    '0.5',
    '--minutes',
    `${minutes}`,
  ];
  const { code, text } = await run(args, process.env);
  rmSync(file, { force: true });
  if (code === 0) return undefined;
  const violation = /^seed \d+: [a-z-]+/m.exec(text)?.[0];
  // Whatever else it ends with, such as a line that it does not understand, sees nothing.
  if (code !== 1 || violation === undefined)
    throw new Error(`${mutant.name}: the simulator ended with ${code}\n${text.slice(-2000)}`);
  return violation;
}

/**
 * Which suites fail with a mutant; undefined for none. Throws Error where they fail without it, too: then it
 * is not the mutant that they see.
 * @param {Mutant} mutant
 */
async function failing({ name, suites }) {
  const vitest = `${ROOT}node_modules/vitest/vitest.mjs`;
  const tested = (/** @type {string} */ mutant) =>
    run([vitest, 'run', '--bail', '1', '--config', CONFIG, '--root', ROOT, ...suites], {
      ...process.env,
      RULECAST_MUTANT: mutant,
    });
  if ((await tested(name)).code === 0) return undefined;
  const { code, text } = await tested('');
  if (code !== 0) throw new Error(`${name}: its suites fail without it\n${text.slice(-2000)}`);
  return suites.map((path) => path.split('/').at(-1)).join(', ');
}

/** @param {readonly string[]} args */
function optionsOf(args) {
  const given = givenOptions(args, ['seed', 'minutes', 'simulate', 'only'], ['suites']);
  if (given === undefined) return undefined;
  const options = {
    seed: numberGiven(given, 'seed', 1),
    minutes: numberGiven(given, 'minutes', Number.POSITIVE_INFINITY),
    simulate: numberGiven(given, 'simulate', SIMULATE_MINUTES),
    only: given.get('only') ?? '',
    isThorough: given.has('suites'),
  };
  const { seed, minutes, simulate } = options;
  return Number.isSafeInteger(seed) && minutes > 0 && simulate > 0 ? options : undefined;
}

const options = optionsOf(process.argv.slice(2));
if (options === undefined) {
  say(USAGE);
  process.exit(process.argv.includes('--help') ? 0 : 64);
}
openRun();
mkdirSync(CACHE, { recursive: true });
const startMs = performance.now();
const { seed, minutes, simulate, only, isThorough } = options;
const first = Number.isFinite(minutes) ? seed % MUTANTS.length : 0;
const turned = [...MUTANTS.slice(first), ...MUTANTS.slice(0, first)].filter(({ name }) =>
  name.includes(only),
);
if (turned.length === 0) {
  say(`no mutant has these words in its name: ${only}`);
  process.exit(64);
}
const width = Math.max(...turned.map(({ name }) => name.length));
let [bySimulator, bySuites, alive] = [0, 0, 0];
for (const mutant of turned) {
  if (performance.now() - startMs > minutes * 60_000) break;
  const beganMs = performance.now();
  const seen = await simulated(mutant, seed, simulate);
  const took = `${((performance.now() - beganMs) / 1000).toFixed(0)} s`.padStart(5);
  const suites = seen === undefined || isThorough ? await failing(mutant) : undefined;
  if (seen !== undefined) bySimulator += 1;
  else if (suites !== undefined) bySuites += 1;
  else alive += 1;
  const what = [seen ?? 'not seen', suites ?? (seen === undefined || isThorough ? 'SUITES SEE NOTHING' : '')];
  say(`${mutant.name.padEnd(width)}  ${took}  ${what.filter(Boolean).join('; ')}`);
}
const tookS = ((performance.now() - startMs) / 1000).toFixed(0);
say(
  `${bySimulator} seen by the simulator, ${bySuites} by suites alone, ${alive} by nobody, of ${MUTANTS.length}, in ${tookS} s`,
);
process.exit(alive === 0 ? 0 : 1);
