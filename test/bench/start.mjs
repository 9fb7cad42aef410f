/**
 * What a start costs, of the programs as packages have them: `rulectl status` as a whole process, and a
 * firewall that has nothing on its disk, from its start to a release in force (as root, in a network
 * namespace).
 */

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { bundle } from '../../packaging/bundle.mjs';
import { missingForEnforcement, Network } from '../enforce/network.mjs';
import { millionHosts, textOf } from '../inputs.mjs';
import { endpointsIn, PERMITTED, rulectl, startPublisher, trustOf } from '../processes.mjs';
import { grouped, machineLine, median, ms, partsOf, runsOf, table } from './report.mjs';

/** What there is to measure. @type {readonly string[]} */
const PARTS = ['sizes', 'status', 'cold'];
const SIZES = [0, 100_000, 1_000_000];
const MB = 1e6;
const PATIENCE_MS = 60_000;

/**
 * @typedef {object} Start Of a firewall with nothing on its disk; milliseconds from when its process was
 *   started, and MB at most so far.
 * @property {number} readyMs
 * @property {number} appliedMs
 * @property {number} nftMs The kernel's part of it.
 * @property {number} ownMb Of the subscriber.
 * @property {number} applierMb
 */

/** @param {readonly string[]} args */
export async function run(args) {
  const [runs, parts] = [runsOf(args, 5), partsOf(args, PARTS)];
  process.stdout.write(machineLine(runs));
  const directory = mkdtempSync(join(tmpdir(), 'rulecast-bench-'));
  try {
    const folders = { management: join(directory, 'management'), firewall: join(directory, 'firewall') };
    for (const side of /** @type {const} */ (['management', 'firewall']))
      await bundle(side, { folder: folders[side], maps: join(directory, 'maps', side), version: '0' });
    if (parts.includes('sizes')) benchSizes(folders);
    if (parts.includes('status')) await benchStatus(runs, directory, folders.management);
    if (parts.includes('cold')) await benchCold(runs, directory, folders.firewall);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** @param {Readonly<Record<'management' | 'firewall', string>>} folders */
function benchSizes(folders) {
  const rows = Object.entries(folders).map(([side, folder]) => {
    const packed = execFileSync('sh', ['-c', 'tar -c . | xz -6 | wc -c'], { cwd: folder, encoding: 'utf8' });
    return [side, grouped(bytesBelow(folder) / 1000), grouped(Number(packed) / 1000)];
  });
  process.stdout.write('\nWhat lies in /usr/lib/rulecast of each side.\n\n');
  process.stdout.write(table(['side', 'kB', 'kB as xz'], rows));
}

/** @param {string} folder @returns {number} */
function bytesBelow(folder) {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) =>
    statSync(join(folder, name)),
  );
  return files.reduce((sum, file) => sum + (file.isFile() ? file.size : 0), 0);
}

/** @param {number} runs @param {string} directory @param {string} folder */
async function benchStatus(runs, directory, folder) {
  const publisher = await startPublisher(directory);
  try {
    const { control } = endpointsIn(directory);
    const programs = { 'rulectl status': [join(folder, 'rulectl.js'), 'status', '--control', control] };
    const asked = { 'node -e 0, which does nothing': ['-e', '0'], ...programs };
    const rows = Object.entries(asked).map(([name, words]) => {
      const took = Array.from({ length: runs + 1 }, () => wholeProcess(words)).slice(1);
      return [name, ms(median(took.map(({ wallMs }) => wallMs))), ms(median(took.map(({ cpuMs }) => cpuMs)))];
    });
    process.stdout.write('\nA whole process; 150 ms are asked of `rulectl status`.\n\n');
    process.stdout.write(table(['process', 'ms', 'processor, ms'], rows));
  } finally {
    await publisher.stop();
  }
}

/** @param {readonly string[]} words Of node. */
function wholeProcess(words) {
  const before = childrenCpuMs();
  const startMs = performance.now();
  execFileSync(process.execPath, words, { stdio: 'ignore' });
  return { wallMs: performance.now() - startMs, cpuMs: childrenCpuMs() - before };
}

/** What children that have ended took, of this process: proc_pid_stat(5), in ticks of 10 ms. */
function childrenCpuMs() {
  const fields = readFileSync('/proc/self/stat', 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[13]) + Number(fields[14])) * 10;
}

/** @param {number} runs @param {string} directory @param {string} folder */
async function benchCold(runs, directory, folder) {
  const missing = missingForEnforcement([]);
  if (missing !== undefined) {
    process.stdout.write(`\nCold starts are not measured here: ${missing}\n`);
    return;
  }
  const { words } = millionHosts(Math.max(...SIZES), 7);
  /** @type {string[][]} */
  const rows = [];
  for (const size of SIZES) {
    const own = mkdtempSync(join(directory, 'cold-'));
    const publisher = await startPublisher(own);
    try {
      await push(own, words.slice(0, size));
      const trust = await trustOf(own);
      /** @type {Start[]} */
      const starts = [];
      for (let i = 0; i < runs; i++) starts.push(await coldStart(folder, trust, endpointsIn(own).listen));
      rows.push(coldRow(size, starts));
    } finally {
      await publisher.stop();
    }
  }
  process.stdout.write(
    '\nA firewall without anything on its disk, with a release of so many addresses: 1 s is asked of 100,000, 2 s of a\nmillion (the kernel 1.2), and 128 MB of the subscriber.\n\n',
  );
  process.stdout.write(table(COLD_HEAD, rows));
}

/** A list of these addresses, and a policy that drops them. @param {string} directory @param {readonly number[]} words */
async function push(directory, words) {
  const contents = {
    'blocked.txt': textOf([0xc0000201, ...words]),
    'default.rules': 'drop dst=@blocked\naccept\n',
  };
  for (const [name, text] of Object.entries(contents)) {
    const path = join(directory, name);
    writeFileSync(path, text);
    const { code, stderr } = await rulectl(directory, ['push', path, '--wait', 'released', ...PERMITTED]);
    if (code !== 0) throw new Error(stderr);
  }
}

/** @param {string} folder @param {string} trust @param {string} connect @returns {Promise<Start>} */
async function coldStart(folder, trust, connect) {
  const network = await Network.open();
  const script = join(folder, 'rulecast-subscriber.js');
  const own = ['--trust', trust, '--connect', connect, '--name', 'cold', '--enforce'];
  const [program = '', ...words] = [...network.router.prefix, process.execPath, script, ...own];
  const startMs = performance.now();
  const child = spawn(program, words, { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(child, 'exit');
  const patience = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
  try {
    let [readyMs, nftMs] = [0, 0];
    for await (const text of createInterface({ input: child.stderr })) {
      const line = JSON.parse(text);
      const nowMs = performance.now() - startMs;
      if (line.msg === 'ready') readyMs = nowMs;
      if (line.msg === 'enforced') nftMs = line.nftMs;
      if (line.msg !== 'applied') continue;
      const pid = child.pid ?? 0;
      const [applier] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
      return { readyMs, appliedMs: nowMs, nftMs, ownMb: peakMb(pid), applierMb: peakMb(Number(applier)) };
    }
    throw new Error('the subscriber ended before it applied anything');
  } finally {
    clearTimeout(patience);
    child.kill('SIGTERM');
    await ended;
    await network.close();
  }
}

/** @param {number} pid */
function peakMb(pid) {
  const kibibytes = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return (Number(kibibytes) * 1024) / MB;
}

const COLD_HEAD = ['addresses', 'ready, ms', 'in force, ms', 'kernel, ms', 'subscriber, MB', 'applier, MB'];

/** @param {number} size @param {readonly Start[]} starts */
function coldRow(size, starts) {
  const of = (/** @type {keyof Start} */ field) => median(starts.map((start) => start[field]));
  return [
    grouped(size),
    ms(of('readyMs')),
    ms(of('appliedMs')),
    ms(of('nftMs')),
    ms(of('ownMb')),
    ms(of('applierMb')),
  ];
}
