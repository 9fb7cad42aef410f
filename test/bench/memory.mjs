/**
 * Memory of a publisher and a subscriber over their lives: a list of hosts pushed anew again and again, then
 * change after change of 1k + 1k; or (`--rules`) 2^18 rules of which one line changes. Real processes with
 * state on disk, with `--enforce` in a network namespace. What is resident, by where it comes from.
 *
 * The subscriber has the environment of its unit, the publisher that of who starts it from the checkout,
 * unless `--unit` is said. Ends with 1 where one of them grew by more than 5 % over the second half of the
 * changes.
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { churned, millionHosts, seedPolicy, textOf } from '../inputs.mjs';
import {
  endpointsIn,
  PERMITTED,
  rulectl,
  startPublisher,
  startSubscriberOf,
  trustOf,
} from '../processes.mjs';
import { committed } from './committed.mjs';
import { networkOf } from './enforced.mjs';
import { grouped, machineLine, median, table } from './report.mjs';

const CHANGED = 1000;
/** How many hosts and how often, unless `--hosts`, `--pushes` and `--changes` say otherwise. */
const [HOSTS, PUSHES, CHANGES] = [1_000_000, 100, 1000];
/** Lines of the table for pushes and for changes. */
const LOOKS = 10;
/** After a release: what nobody holds is given back by then. */
const SETTLE_MS = 1000;
/** Longer than threads that have worked are kept. */
const REST_MS = 32_000;
/** The second half of the changes may grow by so much of the first: more is a leak. */
const GROWTH_MAX = 1.05;
const DAEMONS = /** @type {const} */ (['publisher', 'subscriber']);
const HEAD = ['after', 'publisher, MB', 'publisher at most', 'subscriber, MB', 'subscriber at most'];
/** On standard error, while it goes on. */
const PARTS = ['MB resident', 'at most', 'mapped from files', 'malloc', 'other anonymous'];

/**
 * @typedef {object} Life
 * @property {string} directory
 * @property {Readonly<Record<'publisher' | 'subscriber', import('../processes.mjs').Daemon>>} daemons
 * @property {(text: string) => Promise<void>} apply Pushes it, and waits until it is in force.
 * @property {(after: string) => Promise<Readonly<Record<'publisher' | 'subscriber', number>>>} look MB.
 */

/** @param {readonly string[]} args */
export async function run(args) {
  const [hosts, pushes] = [countOf(args, '--hosts', HOSTS), countOf(args, '--pushes', PUSHES)];
  const changes = countOf(args, '--changes', CHANGES);
  const directory = mkdtempSync(join(tmpdir(), 'rulecast-bench-'));
  const network = await networkOf(args);
  const publisher = await withUnit('publisher', args.includes('--unit'), () => startPublisher(directory));
  const trust = await trustOf(directory);
  const subscriber = await withUnit('subscriber', true, () => {
    const own = ['--state', join(directory, 'subscriber'), ...(network === undefined ? [] : ['--enforce'])];
    return startSubscriberOf(trust, endpointsIn(directory).listen, 'bench', own, network?.router.prefix);
  });
  const daemons = { publisher, subscriber };
  /** @type {string[][]} */
  const rows = [];
  /** @type {Life} */
  const life = {
    directory,
    daemons,
    apply: async (text) => {
      const { version } = await committed(directory, text);
      await subscriber.logged(({ msg, version: applied }) => msg === 'applied' && applied === version);
    },
    look: async (after) => {
      await pause(SETTLE_MS);
      const [publisher = [], subscriber = []] = DAEMONS.map((of) => {
        const parts = residentOf(daemons[of].process.pid);
        const text = parts.map((part, index) => `${part} ${PARTS[index]}`).join(', ');
        process.stderr.write(`${after}: ${of} ${text}\n`);
        return parts;
      });
      rows.push([after, ...publisher.slice(0, 2), ...subscriber.slice(0, 2)]);
      return { publisher: Number(publisher[0]), subscriber: Number(subscriber[0]) };
    },
  };
  try {
    await publisher.logged((line) => line['msg'] === 'subscriber connected');
    const what = args.includes('--rules') ? '2^18 rules' : `${grouped(hosts)} hosts in the list`;
    process.stdout.write(`${machineLine(1)}\n${what}${network ? ', enforced' : ''}.\n\n`);
    const looks = args.includes('--rules')
      ? await livesOfRules(life, changes)
      : await livesOfLists(life, hosts, pushes, changes);
    process.stdout.write(`${table(HEAD, rows)}\n`);
    for (const of of DAEMONS)
      sayGrowth(
        of,
        looks.map((look) => look[of]),
      );
  } finally {
    await subscriber.stop();
    await publisher.stop();
    await network?.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** @param {Life} life @param {number} hosts @param {number} pushes @param {number} changes */
async function livesOfLists({ directory, apply, look }, hosts, pushes, changes) {
  await committed(directory, '192.0.2.1\n');
  await pushPolicy(directory, 'drop dst=@hosts\naccept\n');
  await look('one host');
  let { words } = millionHosts(hosts, 7);
  for (let i = 1; i <= pushes; i++) {
    ({ words } = millionHosts(hosts, 7 + i));
    await apply(textOf(words));
    if (isLook(i, pushes)) await look(`${grouped(i)} pushes of all`);
  }
  await pause(REST_MS);
  await look('at rest');
  const looks = [];
  for (let i = 1; i <= changes; i++) {
    words = churned(words, CHANGED, 1_000_003 + i);
    await apply(textOf(words));
    if (isLook(i, changes)) looks.push(await look(`${grouped(i)} changes of 1k + 1k`));
  }
  await pause(REST_MS);
  await look('at rest');
  return looks;
}

/** @param {Life} life @param {number} changes */
async function livesOfRules({ directory, daemons, look }, changes) {
  const policy = alternating(seedPolicy());
  const looks = [];
  for (let i = 0; i <= changes; i++) {
    const version = await pushPolicy(directory, `drop dst4=198.51.${i >> 8}.${i & 255}\n${policy}`);
    await daemons.subscriber.logged(({ msg, version: applied }) => msg === 'applied' && applied === version);
    if (i === 0) await look('2^18 rules');
    else if (isLook(i, changes)) looks.push(await look(`${grouped(i)} changes of one`));
  }
  await pause(REST_MS);
  await look('at rest');
  return looks;
}

/** Every second rule accepts, so that no two are one run of the same action. @param {string} policy */
function alternating(policy) {
  return policy.replace(/^drop (.*)\ndrop /gm, 'drop proto=tcp $1\naccept proto=tcp ');
}

/** @param {string} directory @param {string} text @returns {Promise<number>} The version that it is in. */
async function pushPolicy(directory, text) {
  const file = join(directory, 'policy.rules');
  writeFileSync(file, text);
  const { code, stdout, stderr } = await rulectl(directory, ['push', file, '--json', ...PERMITTED]);
  if (code !== 0) throw new Error(stderr);
  const records = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  return records.find(({ kind }) => kind === 'release').version;
}

/** The first, and `LOOKS` more. @param {number} i @param {number} of */
function isLook(i, of) {
  return i === 1 || i % Math.ceil(of / LOOKS) === 0;
}

/**
 * Starts a daemon with the environment of its unit.
 * @template T
 * @param {string} daemon
 * @param {boolean} hasUnit
 * @param {() => Promise<T>} start
 */
async function withUnit(daemon, hasUnit, start) {
  const unit = new URL(`../../packaging/systemd/rulecast-${daemon}.service`, import.meta.url);
  const lines = readFileSync(unit, 'utf8').matchAll(/^Environment=(MALLOC_\w+|NODE_OPTIONS)=(.*)$/gm);
  const settings = hasUnit ? [...lines] : [];
  for (const [, name = '', value] of settings) process.env[name] = value;
  try {
    return await start();
  } finally {
    for (const [, name = ''] of settings) delete process.env[name];
  }
}

/** @param {string} of @param {readonly number[]} looks At changes, in order; the first is left out. */
function sayGrowth(of, looks) {
  const half = 1 + Math.floor((looks.length - 1) / 2);
  const growth = median(looks.slice(half)) / median(looks.slice(1, half));
  if (!Number.isFinite(growth) || growth === 0) return; // too few
  const isFlat = growth <= GROWTH_MAX;
  if (!isFlat) process.exitCode = 1;
  process.stdout.write(
    `${of}: ${isFlat ? 'flat' : 'GROWS'}, the second half is ${growth.toFixed(3)} of the first\n`,
  );
}

/** @param {readonly string[]} args @param {string} option @param {number} otherwise */
function countOf(args, option, otherwise) {
  const at = args.indexOf(option);
  const count = at < 0 ? otherwise : Number(args[at + 1]);
  if (!Number.isSafeInteger(count) || count < 1)
    throw new RangeError(`${option} takes a whole number from 1 on`);
  return count;
}

/**
 * Resident memory of a process in MB: the peak so far, and now, by kind: mapped from files, the heap of
 * malloc in its first arena, and the rest, which includes V8 and WebAssembly.
 * @param {number | undefined} pid
 */
function residentOf(pid) {
  const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  const sums = { file: 0, heap: 0, other: 0 };
  /** @type {keyof typeof sums} */
  let kind = 'other';
  for (const line of readFileSync(`/proc/${pid}/smaps`, 'utf8').split('\n')) {
    const mapping = /^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+\s*(.*)$/.exec(line)?.[1];
    if (mapping !== undefined)
      kind = mapping.startsWith('/') ? 'file' : mapping === '[heap]' ? 'heap' : 'other';
    sums[kind] += Number(/^Rss:\s+(\d+) kB/.exec(line)?.[1] ?? 0);
  }
  const all = sums.file + sums.heap + sums.other;
  return [all, Number(peak), sums.file, sums.heap, sums.other].map((kb) => (kb / 1000).toFixed(0));
}
