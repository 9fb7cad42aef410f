/**
 * Enforcement: how long from `rulectl push` to the first packet that is dropped, what `nft` takes for it, and
 * how fast a router forwards with the rules in it; beside the bare tools with the same lists in the same run.
 * As root, in network namespaces of its own.
 *
 * Lists are seeded: disjoint prefixes, with lengths as blocklists have them. Forwarding is
 * enforce-forwarding.mjs.
 */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { IpProtocol } from '@rulecast/rules';
import { frameOf, segment } from '../enforce/frames.mjs';
import { address, missingForEnforcement, monotonicMs, Network } from '../enforce/network.mjs';
import { dottedQuad } from '../inputs.mjs';
import { seededNumbers } from '../kit/random.mjs';
import {
  endpointsIn,
  PERMITTED,
  rulectl,
  startPublisher,
  startSubscriberOf,
  trustOf,
} from '../processes.mjs';
import { BESIDE_HEAD, besideRows } from './enforce-beside.mjs';
import { EVENTS_HEAD, eventRows } from './enforce-events.mjs';
import { FORWARDING_HEAD, forwardingRows } from './enforce-forwarding.mjs';
import { benchRules } from './enforce-rules.mjs';
import { grouped, machineLine, median, ms, partsOf, runsOf, table } from './report.mjs';

const MEASURED = fileURLToPath(new URL('../enforce/measured.py', import.meta.url));
/** What there is to measure. @type {readonly string[]} */
const PARTS = ['lists', 'rules', 'forwarding', 'events', 'beside'];
const SIZES = [10, 1000, 100_000, 1_000_000];
/** Removed and added by a delta, but for lists that have fewer. */
const CHANGES = 1000;
/** After the first delta, back and forth: by then what they need is compiled. */
const LATER_DELTAS = 8;
/** A bare interval set of more takes minutes for a delta. */
const BARE_DELTA_MAX = 10_000;
const SEED = 17;
const MARK = 0x0bebe;
/** Frames a second while a push is watched: the resolution is half a millisecond. */
const WATCH_RATE = 2000;
const MB = 1e6;
/** Weights of prefix lengths, in thousandths or so. */
const LENGTH_WEIGHTS = /** @type {const} */ ([
  [32, 450],
  [24, 340],
  [22, 60],
  [23, 50],
  [21, 20],
  [20, 15],
  [25, 10],
  [26, 10],
  [27, 10],
  [28, 10],
  [29, 10],
  [30, 10],
  [31, 5],
  [16, 1],
]);
const WEIGHTS_TOTAL = LENGTH_WEIGHTS.reduce((sum, [, weight]) => sum + weight, 0);
const FIRST_ADDRESS = 0x01000000;
const LAST_ADDRESS = 0xdf000000;
/** Addresses outside of those that lists are made from. */
const MARKERS = ['223.255.255.1', '223.255.255.2'];

/** @param {readonly string[]} args */
export async function run(args) {
  const missing = missingForEnforcement(['ipset']);
  if (missing !== undefined) {
    process.stderr.write(`bench enforce cannot run here: ${missing}\n`);
    process.exitCode = 1;
    return;
  }
  const [runs, parts] = [runsOf(args, 3), partsOf(args, PARTS)];
  process.stdout.write(machineLine(runs));
  if (parts.includes('lists')) await benchLists(runs);
  if (parts.includes('rules')) await benchRules(runs, randomLength);
  if (parts.includes('forwarding')) await benchForwarding(runs);
  if (parts.includes('events')) await benchEvents(runs);
  if (parts.includes('beside')) await benchBeside(runs);
}

/** @param {number} runs */
async function benchLists(runs) {
  /** @type {Map<number, Sample[]>} */
  const samples = new Map(SIZES.map((size) => [size, []]));
  for (let i = 0; i < runs; i++) {
    for (const [size, list] of samples) list.push({ ...bareOnce(size), ...(await pushedOnce(size)) });
  }
  const rowsOf = (/** @type {typeof loadRow} */ row) => [...samples].map(([size, list]) => row(size, list));
  process.stdout.write(
    '\nA list of so many prefixes into a firewall that had one; milliseconds, and peak MB of the process.\n\n',
  );
  process.stdout.write(table(LOAD_HEAD, rowsOf(loadRow)));
  process.stdout.write(
    `\nThen ${grouped(CHANGES)} entries removed and as many added, of shorter lists all.\n\n`,
  );
  process.stdout.write(table(DELTA_HEAD, rowsOf(deltaRow)));
}

/** @param {number} runs */
async function benchEvents(runs) {
  process.stdout.write('\nSingle events.\n\n');
  process.stdout.write(table(EVENTS_HEAD, await eventRows(runs)));
}

/** @param {number} runs */
async function benchBeside(runs) {
  process.stdout.write('\nAn element of somebody else beside what our applier does, milliseconds.\n\n');
  process.stdout.write(table(BESIDE_HEAD, await besideRows(prefixes(1_000_000), runs)));
}

/** @param {number} runs */
async function benchForwarding(runs) {
  process.stdout.write(
    '\nForwarding, packets of 58 bytes of 1,024 flows, by processor time of one core.\n\n',
  );
  process.stdout.write(table(FORWARDING_HEAD, await forwardingRows(prefixes(1_000_000), runs)));
}

// ── Lists ──────────────────────────────────────────────────────────────────────────────────────────────────

/** So many disjoint prefixes, ascending. @param {number} count */
function prefixes(count) {
  const next = seededNumbers(SEED);
  const gap = Math.floor((1.7 * (LAST_ADDRESS - FIRST_ADDRESS)) / count) - 800; // 400 addresses are the mean of a prefix
  /** @type {string[]} */
  const out = [];
  for (let at = FIRST_ADDRESS; out.length < count; ) {
    const length = randomLength(next);
    const size = 2 ** (32 - length);
    at = Math.ceil((at + next(gap)) / size) * size;
    if (at >= LAST_ADDRESS) throw new RangeError('the prefixes do not fit');
    out.push(`${dottedQuad(at)}/${length}`);
    at += size;
  }
  return out;
}

/** @param {(below: number) => number} next */
function randomLength(next) {
  let pick = next(WEIGHTS_TOTAL);
  for (const [length, weight] of LENGTH_WEIGHTS) {
    if (pick < weight) return length;
    pick -= weight;
  }
  return 32;
}

/** Two versions of a list that differ in `changes` entries each way. @param {number} size */
function versions(size) {
  const changes = Math.min(CHANGES, size);
  const all = prefixes(size + changes);
  const stride = Math.floor(all.length / (2 * changes));
  /** @type {string[]} */
  const removed = [];
  /** @type {string[]} */
  const added = [];
  /** @type {string[]} */
  const kept = [];
  all.forEach((entry, index) => {
    const turn = Math.floor(index / stride);
    if (index % stride > 0 || turn >= 2 * changes) kept.push(entry);
    else (turn % 2 === 0 ? removed : added).push(entry);
  });
  return { removed, added, kept };
}

// ── One run of one size ────────────────────────────────────────────────────────────────────────────────────

/**
 * @typedef {object} Run What a command took.
 * @property {number} ms
 * @property {number} peakKb
 *
 * @typedef {object} Bare
 * @property {Run} nftLoad
 * @property {Run | undefined} nftDelta
 * @property {Run} ipsetLoad
 * @property {Run} ipsetDelta
 *
 * @typedef {object} Push
 * @property {number} dropMs From the start of `rulectl push` to the first packet that is dropped.
 * @property {number} appliedMs From the release to the subscriber's answer.
 * @property {number} planMs What the sink took to plan and compare.
 * @property {number} nftMs
 * @property {number} nftPeakBytes
 *
 * @typedef {Bare & { load: Push, delta: Push, laterMs: readonly number[] }} Sample `laterMs`: from the
 *   release to the answer, of further deltas.
 */

/**
 * The bare tools, each list in one transaction that replaces a list of one entry.
 * @param {number} size
 * @returns {Bare}
 */
function bareOnce(size) {
  const { removed, added, kept } = versions(size);
  const network = new Network();
  try {
    const before = [...removed, ...kept];
    network.router.nft(nftLoadScript(['192.0.2.1']));
    network.router.run(['ipset', 'create', 'blocked', 'hash:net']);
    const nftLoad = measured(network, ['nft', '-f', '-'], nftLoadScript(before));
    const nftDelta =
      size > BARE_DELTA_MAX
        ? undefined
        : measured(network, ['nft', '-f', '-'], nftDeltaScript(removed, added));
    const ipsetLoad = measured(network, ['ipset', 'restore'], ipsetLoadScript(before));
    const ipsetDelta = measured(network, ['ipset', 'restore'], ipsetDeltaScript(removed, added));
    return { nftLoad, nftDelta, ipsetLoad, ipsetDelta };
  } finally {
    network.removeNamespaces();
  }
}

/** @param {Network} network @param {readonly string[]} command @param {string} input @returns {Run} */
function measured(network, command, input) {
  const directory = mkdtempSync(join(tmpdir(), 'rulecast-bench-'));
  try {
    const file = join(directory, 'run.json');
    warmMemory();
    network.router.run(['python3', MEASURED, file, ...command], input);
    return JSON.parse(readFileSync(file, 'utf8'));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/**
 * Uses a gigabyte and gives it back: a hypervisor that takes away what its guest has not used for seconds has
 * to bring it again, which takes a large load up to half as long again, as it happens.
 */
function warmMemory() {
  execFileSync('python3', ['-c', 'b"1" * 2**30']);
}

/** @param {readonly string[]} entries */
function nftLoadScript(entries) {
  return `add table inet bare
delete table inet bare
add table inet bare
add set inet bare blocked { type ipv4_addr; flags interval; }
add element inet bare blocked { ${entries.join(', ')} }
add chain inet bare forward { type filter hook forward priority 0; policy accept; }
add rule inet bare forward ip daddr @blocked drop
`;
}

/** @param {readonly string[]} removed @param {readonly string[]} added */
function nftDeltaScript(removed, added) {
  return `delete element inet bare blocked { ${removed.join(', ')} }
add element inet bare blocked { ${added.join(', ')} }
`;
}

/** Filled beside `blocked`, then swapped in. @param {readonly string[]} entries */
function ipsetLoadScript(entries) {
  const size = `hashsize ${2 ** Math.ceil(Math.log2(entries.length + 64))} maxelem ${entries.length + 2 * CHANGES}`;
  return `create next hash:net ${size}
${entries.map((entry) => `add next ${entry}`).join('\n')}
swap next blocked
destroy next
`;
}

/**
 * Not atomic: `ipset` has no transaction. @param {readonly string[]} removed @param {readonly string[]} added
 */
function ipsetDeltaScript(removed, added) {
  return `${removed.map((entry) => `del blocked ${entry}`).join('\n')}
${added.map((entry) => `add blocked ${entry}`).join('\n')}
`;
}

/** Ours: three processes, and a stream of packets that each push forbids. @param {number} size */
async function pushedOnce(size) {
  const { removed, added, kept } = versions(size);
  const directory = mkdtempSync(join(tmpdir(), 'rulecast-bench-'));
  const network = await Network.open();
  const publisher = await startPublisher(directory);
  const enforcer = await startSubscriberOf(
    await trustOf(directory),
    endpointsIn(directory).listen,
    'bench',
    ['--state', join(directory, 'subscriber'), '--enforce'],
    network.router.prefix,
  );
  try {
    await publisher.logged((line) => line['msg'] === 'subscriber connected');
    await push(directory, 'blocked.txt', ['192.0.2.1']);
    await push(directory, 'default.rules', ['drop dst=@blocked', 'accept']);
    const [first = '', second = ''] = MARKERS;
    const load = await watchedPush(network, directory, enforcer, first, [...removed, ...kept, first]);
    const delta = await watchedPush(network, directory, enforcer, second, [...added, ...kept, first, second]);
    /** @type {number[]} */
    const laterMs = [];
    for (let i = 0; i < LATER_DELTAS; i++) {
      const applied = await push(directory, 'blocked.txt', [...(i % 2 === 0 ? removed : added), ...kept]);
      laterMs.push(Number(applied['ms']));
    }
    return { load, delta, laterMs };
  } finally {
    await enforcer.stop();
    await publisher.stop();
    await network.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

/**
 * @param {Network} network @param {string} directory @param {import('../processes.mjs').Daemon} enforcer
 * @param {string} marker Forbidden by this push. @param {readonly string[]} entries
 * @returns {Promise<Push>}
 */
async function watchedPush(network, directory, enforcer, marker, entries) {
  const { routerMac, hostMac, address4 } = network.links.a;
  const [src, dst, proto] = [address(address4), address(marker), IpProtocol.udp];
  const payload = segment(src, dst, proto, { mark: MARK, srcPort: 20_000, dstPort: 443 });
  await network.stream('a', [frameOf(routerMac, hostMac, { src, dst, proto, payload })], WATCH_RATE);
  const path = join(directory, 'blocked.txt');
  writeFileSync(path, `${entries.join('\n')}\n`);
  const logged = enforcer.log.length;
  warmMemory();
  const startMs = monotonicMs();
  const applied = await push(directory, 'blocked.txt', undefined);
  await network.stopStream('a');
  const last = (await network.arrived('world')).get(MARK);
  if (last === undefined) throw new Error('no packet came before the push');
  const runs = enforcer.log.slice(logged).filter((line) => line['msg'] === 'enforced');
  return {
    dropMs: last.lastMs - startMs + 1000 / WATCH_RATE,
    appliedMs: Number(applied['ms']),
    planMs: Number(runs.at(-1)?.['planMs']),
    nftMs: Number(runs.at(-1)?.['nftMs']),
    nftPeakBytes: Number(runs.at(-1)?.['nftPeakBytes']),
  };
}

/**
 * @param {string} directory
 * @param {string} file
 * @param {readonly string[] | undefined} lines Undefined: the file is there.
 */
async function push(directory, file, lines) {
  const path = join(directory, file);
  if (lines !== undefined) writeFileSync(path, `${lines.join('\n')}\n`);
  const { code, stdout, stderr } = await rulectl(directory, ['push', path, ...PERMITTED, '--json']);
  if (code !== 0) throw new Error(`rulectl push ${file} ended with ${code}: ${stdout}${stderr}`);
  const rows = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const applied = rows.find((row) => row.kind === 'applied');
  if (applied?.state !== 'applied') throw new Error(`nobody applied it: ${stdout}`);
  return applied;
}

// ── Rows ───────────────────────────────────────────────────────────────────────────────────────────────────

const LOAD_HEAD = [
  'entries',
  'push to first drop',
  'release to APPLIED',
  'our load',
  'our applier, MB',
  'bare nft -f',
  'bare nft -f, MB',
  'ipset restore',
];
const DELTA_HEAD = [
  'entries',
  'push to first drop',
  'release to APPLIED',
  'of later ones',
  'our plan',
  'our load',
  'bare nft -f',
  'ipset restore',
];

/** @param {readonly Sample[]} samples @param {(sample: Sample) => number} field */
function of(samples, field) {
  return median(samples.map(field));
}

/** @param {number} size @param {readonly Sample[]} samples */
function loadRow(size, samples) {
  return [
    grouped(size),
    ms(of(samples, ({ load }) => load.dropMs)),
    ms(of(samples, ({ load }) => load.appliedMs)),
    ms(of(samples, ({ load }) => load.nftMs)),
    grouped(of(samples, ({ load }) => load.nftPeakBytes / MB)),
    ms(of(samples, ({ nftLoad }) => nftLoad.ms)),
    grouped(of(samples, ({ nftLoad }) => (nftLoad.peakKb * 1024) / MB)),
    ms(of(samples, ({ ipsetLoad }) => ipsetLoad.ms)),
  ];
}

/** @param {number} size @param {readonly Sample[]} samples */
function deltaRow(size, samples) {
  const bare = samples.flatMap(({ nftDelta }) => (nftDelta === undefined ? [] : [nftDelta.ms]));
  return [
    grouped(size),
    ms(of(samples, ({ delta }) => delta.dropMs)),
    ms(of(samples, ({ delta }) => delta.appliedMs)),
    ms(median(samples.flatMap(({ laterMs }) => laterMs))),
    ms(of(samples, ({ delta }) => delta.planMs)),
    ms(of(samples, ({ delta }) => delta.nftMs)),
    bare.length === 0 ? 'minutes' : ms(median(bare)),
    ms(of(samples, ({ ipsetDelta }) => ipsetDelta.ms)),
  ];
}
