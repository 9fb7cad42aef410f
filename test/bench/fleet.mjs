/**
 * A thousand subscribers on one publisher, in one process of their own, which take releases without applying
 * them: from the commit of a release to APPLIED of the last of them, and what of that is the publisher's:
 * time, CPU, memory, and the longest stall of its event loop.
 */

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { SUBSCRIBERS_MAX } from '@rulecast/protocol';
import { churned, millionHosts, textOf } from '../inputs.mjs';
import { rulectl, startPublisher } from '../processes.mjs';
import { committed } from './committed.mjs';
import { grouped, machineLine, median, ms, runsOf, table } from './report.mjs';

const HOSTS = 1_000_000;
const CHANGES = 1000;
const SEED = 0xf1ee7;
/** Two heartbeats: all have said PING. */
const QUIET_MS = 10_000;
/** Long enough to fill what a sleeper may be sent, shorter than the time after which it is dropped. */
const ASLEEP_MS = 5000;
const FLEET = fileURLToPath(new URL('fleet-subscribers.mjs', import.meta.url));

/**
 * @typedef {Awaited<ReturnType<Probe['since']>>} Cost
 * @typedef {{ readonly version: number, readonly atMs: number, readonly bytes: number }} Reached
 */

/** @param {readonly string[]} args `--sessions N` in place of as many as there are places. */
export async function run(args) {
  const runs = runsOf(args, 7);
  const at = args.indexOf('--sessions');
  const sessions = at < 0 ? SUBSCRIBERS_MAX : Number(args[at + 1]);
  process.stdout.write(`${machineLine(runs)}\n${grouped(sessions)} subscribers.\n\n`);
  const directory = mkdtempSync(join(tmpdir(), 'rulecast-fleet-'));
  const stalls = join(directory, 'stall');
  let { publisher, probe } = await startProbed(directory, stalls);
  let { words } = millionHosts(HOSTS, SEED);
  /** @type {string[][]} */
  const rows = [];
  /** @param {string} what @param {number | undefined} tookMs @param {Cost} cost @param {number} [bytes] */
  const row = (what, tookMs, cost, bytes) => {
    const took = tookMs === undefined ? '' : ms(tookMs);
    const each = bytes === undefined ? '' : grouped(bytes / sessions);
    rows.push([what, took, ms(cost.cpuMs), ms(cost.stallMs), cost.mib.toFixed(0), each]);
  };
  /** @type {import('node:child_process').ChildProcess | undefined} */
  let fleet;
  try {
    await committed(directory, textOf(words.slice(0, CHANGES)));
    row('nobody', undefined, await probe.since());
    const beganMs = performance.now();
    fleet = fork(FLEET, [join(directory, 'subscribers.sock'), String(sessions)]);
    await messagesOf(fleet, 2); // that all are there, and have the first release
    row('all connect, one after the other', performance.now() - beganMs, await probe.since());
    await pause(QUIET_MS);
    row(`${QUIET_MS / 1000} s of PING, PONG and FRESH`, undefined, await probe.since());
    const whole = await reached(directory, words, fleet);
    row('a million to each, whole', whole.tookMs, await probe.since(), whole.bytes);
    words = churned(words, CHANGES, SEED);
    await reached(directory, words, fleet); // warm
    await pause(QUIET_MS);
    await probe.since();
    /** @type {(Cost & Awaited<ReturnType<typeof reached>>)[]} */
    const deltas = [];
    for (let i = 1; i <= runs; i++) {
      words = churned(words, CHANGES, SEED + i);
      const delta = await reached(directory, words, fleet);
      deltas.push({ ...delta, ...(await probe.since()) });
    }
    const [middle, worst] = [median, largest].map((of) => allOf(deltas, of));
    if (middle !== undefined) row('1k + 1k to each', middle.tookMs, middle, middle.bytes);
    if (worst !== undefined) row('the worst of each', worst.tookMs, worst);
    const { code, ms: statusMs } = await rulectl(directory, ['status', '--json']);
    if (code !== 0) throw new Error(`rulectl status ended with ${code}`);
    row('rulectl status --json', statusMs, await probe.since());
    await publisher.stop();
    ({ publisher, probe } = await startProbed(directory, stalls));
    const againMs = performance.now();
    fleet.send('again');
    const [{ tries }] = /** @type {[{ tries: number }]} */ (await once(fleet, 'message'));
    row(`all connect at once, ${tries} tries at most`, performance.now() - againMs, await probe.since());
    fleet.send('sleep');
    const sleeping = once(fleet, 'message');
    await committed(directory, textOf(churned(words, CHANGES, SEED - 1)));
    await sleeping;
    await pause(ASLEEP_MS);
    row('all want a million, and read nothing', undefined, await probe.since());
  } finally {
    fleet?.kill('SIGKILL');
    await publisher.stop();
    rmSync(directory, { recursive: true, force: true });
  }
  const head = [
    'what',
    'to the last, ms',
    "publisher's CPU, ms",
    'longest stall, ms',
    'RSS, MiB',
    'bytes each',
  ];
  process.stdout.write(table(head, rows));
}

/** @param {string} directory @param {string} stalls Where it writes how long it stood still. */
async function startProbed(directory, stalls) {
  process.env['RULECAST_STALLS'] = stalls;
  process.env['NODE_OPTIONS'] = `--import=${new URL('stall-probe.mjs', import.meta.url).href}`;
  const publisher = await startPublisher(directory);
  delete process.env['NODE_OPTIONS'];
  return { publisher, probe: new Probe(publisher.process, stalls) };
}

/** @param {import('node:child_process').ChildProcess} fleet @param {number} count */
async function messagesOf(fleet, count) {
  for (let i = 0; i < count; i++) await once(fleet, 'message');
}

/** @param {readonly number[]} values */
function largest(values) {
  return Math.max(...values);
}

/**
 * Of several of a kind, each value by itself.
 * @param {readonly (Cost & Awaited<ReturnType<typeof reached>>)[]} all
 * @param {(values: readonly number[]) => number} of
 */
function allOf(all, of) {
  const value = (/** @type {keyof (typeof all)[number]} */ key) => of(all.map((one) => one[key]));
  return {
    tookMs: value('tookMs'),
    bytes: value('bytes'),
    cpuMs: value('cpuMs'),
    stallMs: value('stallMs'),
    mib: value('mib'),
  };
}

/** What a process costs, from each look to the next. */
class Probe {
  /** @param {import('node:child_process').ChildProcess} daemon @param {string} stalls */
  constructor(daemon, stalls) {
    this.daemon = daemon;
    this.pid = daemon.pid ?? 0;
    this.file = `${stalls}.${this.pid}`;
    this.cpuMs = cpuOf(this.pid);
    daemon.kill('SIGUSR2');
  }

  async since() {
    rmSync(this.file, { force: true });
    this.daemon.kill('SIGUSR2');
    while (!existsSync(this.file)) await pause(10);
    const [cpuMs, before] = [cpuOf(this.pid), this.cpuMs];
    this.cpuMs = cpuMs;
    const kib = Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'))?.[1]);
    return { cpuMs: cpuMs - before, stallMs: Number(readFileSync(this.file, 'utf8')), mib: kib / 1024 };
  }
}

/**
 * Pushes the list and waits for the whole fleet to have it: how long after the commit, and what was sent.
 * @param {string} directory
 * @param {readonly number[]} words
 * @param {import('node:child_process').ChildProcess} fleet
 */
async function reached(directory, words, fleet) {
  const text = textOf(words);
  const all = once(fleet, 'message');
  const { createdAtMs } = await committed(directory, text);
  const [{ atMs, bytes: sent }] = /** @type {[Reached]} */ (await all);
  return { tookMs: atMs - createdAtMs, bytes: sent };
}

/** User and system time that a process has taken; Linux counts it in hundredths of a second. @param {number} pid */
function cpuOf(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return 10 * (Number(fields[11]) + Number(fields[12]));
}
