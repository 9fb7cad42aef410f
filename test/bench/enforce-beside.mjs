/**
 * What somebody who changes nftables waits for while our applier loads or empties large tables: another
 * process in the same router adds and deletes an element of a table of its own, over and over
 * (element-probe.mjs). By the sink alone.
 */

import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { importList } from '@rulecast/formats';
import { EMPTY_RULE_SET, emptyPolicy, plainRule, RunBuilder } from '@rulecast/rules';
import { Network } from '../enforce/network.mjs';
import { sinkIn } from '../enforce/sink.mjs';
import { grouped } from './report.mjs';

const PROBE = fileURLToPath(new URL('element-probe.mjs', import.meta.url));
const IDLE_MS = 2000;
/** Between looks whether the old table is gone. */
const LOOK_EVERY_MS = 100;

export const BESIDE_HEAD = ['beside', 'elements', 'median', '99 %', 'worst', 'worst, but for processor'];

/**
 * Times of one element each, in ms.
 * @typedef {{ readonly tookMs: number, readonly ranMs: number }} Sample `ranMs`: without the time in which
 *   the prober was ready and had no processor.
 */

/**
 * @param {readonly string[]} million @param {number} runs
 * @returns {Promise<readonly (readonly string[])[]>}
 */
export async function besideRows(million, runs) {
  /** @type {Map<string, Sample[]>} */
  const samples = new Map();
  for (let i = 0; i < runs; i++) {
    for (const [what, list] of Object.entries(await besideOnce(million)))
      samples.set(what, [...(samples.get(what) ?? []), ...list]);
  }
  return [...samples].map(([what, list]) => {
    const took = list.map(({ tookMs }) => tookMs).sort((a, b) => a - b);
    const at = (/** @type {number} */ share) => (took[Math.ceil(share * took.length) - 1] ?? 0).toFixed(2);
    const ran = Math.max(...list.map(({ ranMs }) => ranMs));
    return [what, grouped(took.length), at(0.5), at(0.99), at(1), ran.toFixed(2)];
  });
}

/** @param {readonly string[]} million @returns {Promise<Readonly<Record<string, Sample[]>>>} */
async function besideOnce(million) {
  const network = new Network();
  const sink = sinkIn(network);
  const probe = new Probe(network);
  try {
    await enforce(sink, ['192.0.2.1']);
    await sink.settled();
    await probe.phase();
    await pause(IDLE_MS);
    const idle = await probe.phase();
    await enforce(sink, million);
    const loading = await probe.phase();
    await sink.settled();
    await enforce(sink, ['192.0.2.2']);
    await probe.phase();
    /** @type {Sample[]} */
    const emptying = [];
    for (let tables = 2; tables > 1; ) {
      await pause(LOOK_EVERY_MS);
      const { samples, ...seen } = await probe.told();
      emptying.push(...samples);
      tables = seen.tables;
    }
    return { nothing: idle, 'a million being loaded': loading, 'a million being emptied': emptying };
  } finally {
    await probe.end();
    await sink.close();
    network.removeNamespaces();
  }
}

/** The prober, which tells at the end of each phase what it measured in it. */
class Probe {
  #child;
  #lines;

  /** @param {Network} network */
  constructor(network) {
    const child = network.router.spawn([process.execPath, PROBE]);
    if (child.stdin === null || child.stdout === null) throw new Error('no pipes');
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  /** Ends a phase. @returns {Promise<Sample[]>} */
  async phase() {
    return (await this.told()).samples;
  }

  /** The samples since it was asked last, and how many tables Rulecast has. */
  async told() {
    this.#child.stdin?.write('\n');
    return /** @type {{ samples: Sample[], tables: number }} */ (
      JSON.parse((await this.#lines.next()).value)
    );
  }

  async end() {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.stdin?.end();
    await ended;
  }
}

let releases = 0;

/** @param {ReturnType<typeof sinkIn>} sink @param {readonly string[]} entries */
async function enforce(sink, entries) {
  const runs = new RunBuilder();
  runs.push({ ...plainRule('drop'), remote: { kind: 'list', list: 'blocked' } });
  const policy = /** @type {const} */ ({
    ...emptyPolicy('default'),
    egress: runs.build(),
    defaultAction: 'accept',
  });
  const { list } = importList('', new TextEncoder().encode(entries.join('\n')), { format: 'plain' });
  const hash = new Uint8Array(32).fill(++releases);
  const ruleSet = {
    ...EMPTY_RULE_SET,
    lists: new Map([['blocked', list]]),
    policies: new Map([['default', policy]]),
  };
  await sink.prepare({ hash, ruleSet, environment: { now: 0, dns: [] } });
  await sink.commit();
}

/** @param {number} ms */
function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
