/**
 * `npm run nightly`: what need not run at each commit, in pieces. CI takes one of twenty shares of them, by
 * the commit's hash, so that all of them run in a few dozen commits.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { givenOptions } from './kit/options.mjs';
import { MUTANTS } from './mutants/list.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const SHARES = 20;
const USAGE = `npm run nightly -- [--share N/${SHARES} | --commit HASH]

Runs what takes too long for each commit: the fuzzer, the simulator, mutants, properties tried at random for longer, and the long files of
test/system. All of it takes some two hours. Ends with 1 where a piece fails, once all have run.

  --share N/${SHARES}   one of ${SHARES} shares, which take about as long as each other
  --commit HASH  the share that goes with a commit
`;

/**
 * @typedef {object} Piece
 * @property {string} command As a shell takes it; SEED is the number of commits, so that each has other
 *   inputs.
 * @property {number} seconds About, on two idle cores.
 */

/** Files of test/system that run here, and not in `npm run test:system`, with their seconds. */
export const NIGHTLY_SYSTEM = {
  bystander: 22,
  'churned-lists': 13,
  flood: 40,
  fuzz: 45,
  large: 11,
  limits: 68,
  'packet-loop-heap': 4,
  'table-interleaving': 25,
  'table-oracle': 270,
  'ten-thousand': 19,
};

/** Tests that `test/thorough.ts` lets try more, with their seconds. */
export const THOROUGH = {
  'packages/dns': 190,
  'packages/formats': 30,
  'packages/nftables': 40,
  'packages/publisher': 160,
  'packages/rules': 20,
  'packages/sessions': 40,
  'packages/sources': 110,
  'packages/subscriber': 80,
  'packages/table': 120,
  'packages/vchan': 40,
  protocol: 40,
  'test/get-all.test.ts': 20,
  'test/system/simulate.test.ts': 120,
  'test/system/state-damaged.test.ts': 60,
};

/** @type {readonly Piece[]} */
export const PIECES = [
  ...[1, 2].map((i) => ({ command: `npm run fuzz -- --seconds 180 --seed SEED${i}`, seconds: 180 })),
  ...['dns', 'applier'].map((target) => ({
    command: `npm run fuzz -- --target ${target} --seconds 120 --seed SEED`,
    seconds: 120,
  })),
  ...[1, 2, 3, 4].map((i) => ({
    command: `npm run simulate -- --minutes 4 --seed SEED${i}000`,
    seconds: 260,
  })),
  ...MUTANTS.map(({ name }) => ({
    command: `npm run mutants -- --seed SEED --simulate 0.5 --only '${name}'`,
    seconds: 75,
  })),
  ...Object.entries(THOROUGH).map(([path, seconds]) => ({
    command: path.startsWith('test/system/')
      ? `RULECAST_THOROUGH=1 npm run test:system -- ${path}`
      : `npm run test:thorough -- ${path}`,
    seconds,
  })),
  ...Object.entries(NIGHTLY_SYSTEM).map(([name, seconds]) => ({
    command: `npm run test:system -- test/system/${name}.test.ts`,
    seconds,
  })),
];

/**
 * The pieces in shares of about the same time: the longest first, each to the share that has least.
 * @returns {readonly (readonly Piece[])[]}
 */
export function shares() {
  const each = Array.from({ length: SHARES }, () => ({ seconds: 0, pieces: /** @type {Piece[]} */ ([]) }));
  for (const piece of PIECES.toSorted((a, b) => b.seconds - a.seconds)) {
    const least = each.reduce((one, other) => (other.seconds < one.seconds ? other : one));
    least.seconds += piece.seconds;
    least.pieces.push(piece);
  }
  return each.map(({ pieces }) => pieces);
}

/**
 * Which share is asked for, from 1 on; 0 for all, undefined for what is not understood.
 * @param {readonly string[]} args
 */
export function shareAsked(args) {
  const given = givenOptions(args, ['share', 'commit']);
  if (given === undefined || given.size > 1) return undefined;
  if (given.size === 0) return 0;
  const hash = /^([0-9a-f]{7})[0-9a-f]*$/.exec(given.get('commit') ?? '')?.[1];
  if (hash !== undefined) return 1 + (Number.parseInt(hash, 16) % SHARES);
  const share = Number(new RegExp(`^(\\d+)/${SHARES}$`).exec(given.get('share') ?? '')?.[1]);
  return share >= 1 && share <= SHARES ? share : undefined;
}

/** @param {number} share @returns {number} The exit code. */
function run(share) {
  const pieces = share === 0 ? PIECES : (shares()[share - 1] ?? []);
  const seed = execFileSync('git', ['rev-list', '--count', 'HEAD'], { cwd: ROOT, encoding: 'utf8' }).trim();
  if (share > 0) process.stdout.write(`npm run nightly -- --share ${share}/${SHARES}\n`);
  const ends = pieces.map((piece) => {
    const command = piece.command.replace('SEED', seed);
    process.stdout.write(`\n$ ${command}\n`);
    const startMs = performance.now();
    const isWell = spawnSync(command, { cwd: ROOT, shell: true, stdio: 'inherit' }).status === 0;
    const seconds = Math.round((performance.now() - startMs) / 1000);
    return { isWell, line: `${isWell ? 'passed' : 'FAILED'} ${seconds} s: ${command}\n` };
  });
  process.stdout.write(`\n${ends.map(({ line }) => line).join('')}`);
  return ends.every(({ isWell }) => isWell) ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const share = shareAsked(process.argv.slice(2));
  if (share === undefined) process.stderr.write(USAGE);
  process.exitCode = share === undefined ? 2 : run(share);
}
