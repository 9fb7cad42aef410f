/**
 * How long single events take, by the sink alone in a router: a small release, the end of replies, and the
 * hole that a killed applier leaves.
 */

import { readFileSync } from 'node:fs';
import { parseRuleLines } from '@rulecast/formats';
import { EMPTY_RULE_SET, emptyPolicy, IpProtocol } from '@rulecast/rules';
import { frameOf, segment } from '../enforce/frames.mjs';
import { address, monotonicMs, Network } from '../enforce/network.mjs';
import { appliers, sinkIn } from '../enforce/sink.mjs';
import { median, ms } from './report.mjs';

const SWAPS = 50;
const REPLYING_FLOWS = 20_000;
/** Flows whose replies are watched. */
const WATCHED_FLOWS = 2048;
const FIRST_PORT = 10_000;
const REPLIES_RATE = 20_000;
const KILLS = 10;
/** A flush comes too late after this: the next applier owns the table. */
const FLUSHED_WITHIN_MS = 200;
/** After as long a life of an applier the next one is started without a longer pause. */
const STEADY_MS = 5100;
/** Packets a second while it is watched how long they pass. */
const WATCH_RATE = 2000;
const MARK = 0x0bebe;
const QUBE = '10.137.0.5';
const REMOTE = '203.0.113.7';

export const EVENTS_HEAD = ['what', 'median', 'at worst'];

/** @param {number} runs */
export async function eventRows(runs) {
  /** @type {Map<string, number[]>} */
  const samples = new Map();
  for (let i = 0; i < runs; i++) {
    for (const event of [swaps, replies, holes])
      for (const [what, values] of Object.entries(await event()))
        samples.set(what, [...(samples.get(what) ?? []), ...values]);
  }
  return [...samples].map(([what, values]) => [what, ms(median(values)), ms(Math.max(...values))]);
}

let releases = 0;

/** @param {readonly string[]} rules Of the policy of all qubes. */
function releaseOf(rules) {
  const { runs, rejectCount } = parseRuleLines(new TextEncoder().encode(rules.join('\n')), 'egress', 0);
  if (rejectCount > 0) throw new TypeError(`${rejectCount} rules cannot be read`);
  const hash = new Uint8Array(32);
  new DataView(hash.buffer).setUint32(0, ++releases);
  const policies = new Map([['default', { ...emptyPolicy('default'), egress: runs }]]);
  return { hash, ruleSet: { ...EMPTY_RULE_SET, policies }, environment: { now: 0, dns: [] } };
}

/**
 * @template T
 * @param {(router: { readonly network: Network, enforce(rules: readonly string[]): Promise<{ planMs: number, loadMs: number }>, settled(): Promise<void> }) => Promise<T>}
 *   work
 * @returns {Promise<T>}
 */
async function enforcing(work) {
  const network = await Network.open();
  const sink = sinkIn(network);
  try {
    return await work({
      network,
      async enforce(rules) {
        const release = releaseOf(rules);
        const startMs = monotonicMs();
        await sink.prepare(release);
        const plannedMs = monotonicMs();
        await sink.commit();
        return { planMs: plannedMs - startMs, loadMs: monotonicMs() - plannedMs };
      },
      settled: () => sink.settled(),
    });
  } finally {
    await sink.close();
    await network.close();
  }
}

function swaps() {
  return enforcing(async ({ enforce, settled }) => {
    /** @type {number[]} */
    const took = [];
    for (let i = 0; i < SWAPS; i++) {
      const { planMs, loadMs } = await enforce([`drop dst4=192.0.2.${i}`, 'accept']);
      took.push(planMs + loadMs);
      await settled();
    }
    return { 'a release of two rules, ms': took.slice(1) };
  });
}

/** @param {Network} network @param {'a' | 'world'} from @param {number} port */
function datagram(network, from, port) {
  const { routerMac, hostMac } = network.links[from];
  const [src, dst] = (from === 'a' ? [QUBE, REMOTE] : [REMOTE, QUBE]).map(address);
  if (src === undefined || dst === undefined) throw new TypeError('two addresses');
  const [srcPort, dstPort] = from === 'a' ? [port, 443] : [443, port];
  const payload = segment(src, dst, IpProtocol.udp, { mark: MARK, srcPort, dstPort });
  return frameOf(routerMac, hostMac, { src, dst, proto: IpProtocol.udp, payload });
}

function replies() {
  return enforcing(async ({ network, enforce }) => {
    await enforce(['accept']);
    const ports = Array.from({ length: REPLYING_FLOWS }, (_, index) => FIRST_PORT + index);
    await network.send(
      'a',
      ports.map((port) => datagram(network, 'a', port)),
    );
    const watched = ports.slice(0, WATCHED_FLOWS).map((port) => datagram(network, 'world', port));
    await network.stream('world', watched, REPLIES_RATE);
    while (!(await network.arrived('a')).has(MARK)); // they come
    const startMs = monotonicMs();
    const { planMs, loadMs } = await enforce(['drop proto=udp', 'accept']);
    await network.stopStream('world');
    const last = (await network.arrived('a')).get(MARK)?.lastMs ?? startMs;
    const name = `${REPLYING_FLOWS.toLocaleString('en-US')} flows forbidden`;
    return {
      [`${name}: last reply after the start of the load, ms`]: [Math.max(0, last - startMs - planMs)],
      [`${name}: last reply after the answer to the load, ms`]: [
        Math.max(0, last - startMs - planMs - loadMs),
      ],
    };
  });
}

function holes() {
  return enforcing(async ({ network, enforce, settled }) => {
    await enforce(['drop']);
    const killed = async () => {
      await network.arrived('world');
      await network.stream('a', [datagram(network, 'a', FIRST_PORT)], WATCH_RATE);
      process.kill(appliers()[0] ?? 0, 'SIGKILL');
      // The kernel skips the table until the last thread of its owner has ended.
      const flushedByMs = monotonicMs() + FLUSHED_WITHIN_MS;
      do network.router.nft('flush ruleset\n');
      while (network.router.table() !== '' && monotonicMs() < flushedByMs);
      await until(() => network.router.table() !== '');
      await network.stopStream('a');
      const passed = (await network.arrived('world')).get(MARK);
      return passed === undefined ? 0 : passed.lastMs - passed.firstMs;
    };
    /** @type {number[]} */
    const took = [];
    /** @type {number[]} */
    const again = [];
    for (let i = 0; i < KILLS; i++) {
      await new Promise((resolve) => setTimeout(resolve, STEADY_MS));
      took.push(await killed());
      await until(() => appliers().some(isLoaded));
      again.push(await killed());
      await settled();
    }
    return {
      'the applier killed and all rules flushed: open for, ms': took,
      'the same at once again, ms': again,
    };
  });
}

/** @param {number} pid */
function isLoaded(pid) {
  return readFileSync(`/proc/${pid}/maps`, 'utf8').includes('koffi');
}

/** @param {() => boolean} holds */
async function until(holds) {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10));
}
