/**
 * A thousand subscribers on one publisher, in one process of their own, which take releases without applying
 * them: from the commit of a release to APPLIED of the last of them, and what of that is the publisher's:
 * time, CPU, memory, and the longest stall of its event loop, whole and without what it waited for a
 * processor; beside it the longest stall of a process that does nothing.
 */

import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { SUBSCRIBERS_MAX } from '@rulecast/protocol';
import { churned, millionHosts, textOf } from '../inputs.mjs';
import { rulectl, startPublisher, trustOf } from '../processes.mjs';
import { committed } from './committed.mjs';
import { probed, stallOf } from './probed.mjs';
import { grouped, machineLine, median, ms, runsOf, table } from './report.mjs';

const HOSTS = 1_000_000;
const CHANGES = 1000;
const SEED = 0xf1ee7;
/** Two heartbeats: all have said PING. */
const QUIET_MS = 10_000;
/** Long enough to fill what a sleeper may be sent, shorter than the time after which it is dropped. */
const ASLEEP_MS = 5000;
const HEAD = [
  'what',
  'to the last, ms',
  "publisher's CPU, ms",
  'longest stall, ms',
  'its own, ms',
  'of CPU, ms',
  "an idle process's, ms",
  'RSS, MiB',
  'bytes each',
];
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
  const idler = await probed(stalls, idleProcess);
  let publisher = await probed(stalls, () => startPublisher(directory));
  let probe = new Probe(publisher.process, idler, stalls);
  let { words } = millionHosts(HOSTS, SEED);
  /** @type {string[][]} */
  const rows = [];
  /** @param {string} what @param {number | undefined} tookMs @param {Cost} cost @param {number} [bytes] */
  const row = (what, tookMs, cost, bytes) => {
    const took = tookMs === undefined ? '' : ms(tookMs);
    const each = bytes === undefined ? '' : grouped(bytes / sessions);
    const stall = [cost.stallMs, cost.ownMs, cost.turnMs, cost.idlerMs].map(ms);
    rows.push([what, took, ms(cost.cpuMs), ...stall, cost.mib.toFixed(0), each]);
  };
  /** @type {import('node:child_process').ChildProcess | undefined} */
  let fleet;
  try {
    await committed(directory, textOf(words.slice(0, CHANGES)));
    row('nobody', undefined, await probe.since());
    const beganMs = performance.now();
    fleet = fork(FLEET, [join(directory, 'subscribers.sock'), String(sessions), await trustOf(directory)]);
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
    publisher = await probed(stalls, () => startPublisher(directory));
    probe = new Probe(publisher.process, idler, stalls);
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
    idler.kill('SIGKILL');
    await publisher.stop();
    rmSync(directory, { recursive: true, force: true });
  }
  process.stdout.write(table(HEAD, rows));
}

/** Does nothing, and waits for a processor as the others do; resolves once it runs. */
async function idleProcess() {
  const script = "process.stdout.write('.'); setInterval(() => undefined, 1e6);";
  const idler = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(idler.stdout, 'data');
  return idler;
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
 * Applies `of` to each value of several measurements.
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
    ownMs: value('ownMs'),
    turnMs: value('turnMs'),
    idlerMs: value('idlerMs'),
    mib: value('mib'),
  };
}

/** What a process costs, from each look to the next; and how long one stands still that does nothing. */
class Probe {
  /**
   * @param {import('node:child_process').ChildProcess} daemon
   * @param {import('node:child_process').ChildProcess} idler
   * @param {string} stalls Where both write how long they stood still.
   */
  constructor(daemon, idler, stalls) {
    this.daemon = daemon;
    this.idler = idler;
    this.pid = daemon.pid ?? 0;
    this.stalls = stalls;
    this.cpuMs = cpuOf(this.pid);
    for (const one of [daemon, idler]) one.kill('SIGUSR2');
  }

  async since() {
    const [own, idler] = [await this.#stall(this.daemon), await this.#stall(this.idler)];
    const [cpuMs, before] = [cpuOf(this.pid), this.cpuMs];
    this.cpuMs = cpuMs;
    const kib = Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'))?.[1]);
    const { stallMs, ownMs, cpuMs: turnMs } = own;
    return { stallMs, ownMs, turnMs, idlerMs: idler.stallMs, cpuMs: cpuMs - before, mib: kib / 1024 };
  }

  /** @param {import('node:child_process').ChildProcess} one */
  async #stall(one) {
    const file = `${this.stalls}.${one.pid}`;
    rmSync(file, { force: true });
    one.kill('SIGUSR2');
    while (!existsSync(file)) await pause(10);
    return stallOf(this.stalls, one);
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
