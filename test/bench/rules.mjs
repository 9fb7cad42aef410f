/**
 * Rules that do not gather: 2^18 in one policy, and a thousand policies, pushed whole and then with one rule
 * changed after the other. Stage by stage in one process, then from the commit to APPLIED of a real publisher
 * and a real subscriber with state on disk, with what the two cost.
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseRuleLines } from '@rulecast/formats';
import {
  applyChain,
  cataloguePieces,
  decodeManifest,
  diffPieces,
  encodeChain,
  encodeDelta,
  encodeManifest,
  isSignedBy,
  manifestFor,
  signBytes,
  verifyRuleSet,
} from '@rulecast/protocol';
import {
  atOnce,
  checkPieces,
  EMPTY_RULE_SET,
  emptyPolicy,
  firewallLoad,
  prefixOf,
  prefixSetOf,
  ruleSetOfSameRuns,
} from '@rulecast/rules';
import { Table } from '@rulecast/table';
import { dottedQuad } from '../inputs.mjs';
import { seededNumbers } from '../kit/random.mjs';
import { soleRoot } from '../kit/roots.mjs';
import { PERMITTED, rulectl, startPublisher, startSubscriber } from '../processes.mjs';
import { grouped, machineLine, median, ms, partsOf, runsOf, table } from './report.mjs';

/** What there is to measure. @type {readonly string[]} */
const PARTS = ['stages', 'processes'];
const RULES = 2 ** 18;
const POLICIES = 1000;
const RULES_EACH = 25;
const PORTS = [22, 25, 53, 80, 443, 8080];
/** Prefix lengths. */
const SIZES = [24, 28, 32];
const SEED = 43;

/** @typedef {import('@rulecast/rules').RuleSet} RuleSet */
/**
 * @typedef {object} Workload
 * @property {string} name
 * @property {string} file What is pushed.
 * @property {(change: number) => string} text Of the file, with so many rules changed, one after the other.
 * @property {(text: string) => RuleSet} read
 */

/** @param {readonly string[]} args */
export async function run(args) {
  const [runs, parts] = [runsOf(args, 20), partsOf(args, PARTS)];
  process.stdout.write(machineLine(runs));
  const workloads = () => [onePolicy(), manyPolicies()]; // each goes on where it was left
  const names = workloads().map(({ name }) => name);
  if (parts.includes('stages')) {
    process.stdout.write('\nOne process, milliseconds by the clock: median, slowest.\n\n');
    const columns = workloads().map((workload) => stagesOf(workload, runs));
    const stages = [...(columns[0]?.keys() ?? [])];
    const cells = (/** @type {string} */ stage) => columns.map((times) => shown(times.get(stage) ?? []));
    process.stdout.write(
      table(
        ['stage', ...names],
        stages.map((stage) => [stage, ...cells(stage)]),
      ),
    );
  }
  if (parts.includes('processes')) {
    process.stdout.write(
      '\nThree processes, one rule after the other, milliseconds and MB: median, most.\n\n',
    );
    /** @type {Map<string, number[]>[]} */
    const columns = [];
    for (const workload of workloads()) columns.push(await pushesOf(workload, runs));
    const rows = [...(columns[0]?.keys() ?? [])].map((name) => [
      name,
      ...columns.map((times) => shown(times.get(name) ?? [])),
    ]);
    process.stdout.write(table(['', ...names], rows));
  }
}

/** @param {readonly number[]} times */
function shown(times) {
  return `${ms(median(times))}, ${ms(Math.max(...times))}`;
}

// ── Rules ──────────────────────────────────────────────────────────────────────────────────────────────────

/** Accept and drop by turns for networks of three sizes, 3 in 10 with one of four ports. @returns {Workload} */
function onePolicy() {
  const below = seededNumbers(SEED);
  let made = 0;
  const line = () => {
    const length = SIZES[below(SIZES.length)] ?? 32;
    const address = dottedQuad(Math.floor(below(2 ** 32) / 2 ** (32 - length)) * 2 ** (32 - length));
    const ports = below(10) < 3 ? ` proto=tcp dstports=${PORTS[below(4)]}` : '';
    return `${made++ % 2 === 0 ? 'accept' : 'drop'} dst4=${address}/${length}${ports}`;
  };
  const lines = Array.from({ length: RULES - 1 }, line);
  let changed = 0;
  return {
    name: `${grouped(RULES)} rules`,
    file: 'default.rules',
    text: (changes) => {
      for (; changed < changes; changed++) lines[below(RULES - 1)] = line();
      return `${lines.join('\n')}\ndrop\n`;
    },
    read: (text) => policiesOf([['default', text]]),
  };
}

/** @returns {Workload} */
function manyPolicies() {
  const below = seededNumbers(SEED);
  const line = () => {
    const ports = below(2) === 0 ? ` proto=tcp dstports=${PORTS[below(PORTS.length)]}` : '';
    return `${below(3) === 0 ? 'drop' : 'accept'} dst4=${dottedQuad(0x01000000 + below(0xdd000000))}${ports}`;
  };
  const policies = Array.from({ length: POLICIES }, () => Array.from({ length: RULES_EACH }, line));
  let changed = 0;
  return {
    name: `${grouped(POLICIES)} policies of ${RULES_EACH}`,
    file: 'qubes.json',
    text: (changes) => {
      for (; changed < changes; changed++) {
        const rules = policies[below(POLICIES)];
        if (rules !== undefined) rules[below(RULES_EACH)] = line();
      }
      const all = policies.map((egress, i) => [`q${i}`, { prefixes: [dottedQuad(0x0a890000 + i)], egress }]);
      return JSON.stringify({ policies: Object.fromEntries(all), unmatched: 'drop' });
    },
    read: (text) =>
      policiesOf(
        Object.entries(JSON.parse(text).policies).map(([name, { egress }]) => [name, egress.join('\n')]),
      ),
  };
}

/** @param {readonly (readonly [name: string, lines: string])[]} texts @returns {RuleSet} */
function policiesOf(texts) {
  const policies = texts.map(([name, lines], i) => {
    const { runs: egress } = parseRuleLines(new TextEncoder().encode(lines), 'egress', 0);
    const prefixes = prefixSetOf(name === 'default' ? [] : [prefixOf(4, [0x0a890000 + i], 32)]);
    return /** @type {const} */ ([name, { ...emptyPolicy(name), prefixes, egress }]);
  });
  return { ...EMPTY_RULE_SET, policies: new Map(policies), unmatched: 'drop' };
}

// ── One process ────────────────────────────────────────────────────────────────────────────────────────────

/** @param {Workload} workload @param {number} runs */
function stagesOf(workload, runs) {
  const { key, root } = soleRoot(new Uint8Array(16));
  /** @type {Map<string, number[]>} */
  const times = new Map();
  const firewall = new Table();
  let head = workload.read(workload.text(0));
  let held = applyChain(EMPTY_RULE_SET, encodeChain([encodeDelta(atOnce(diffPieces(EMPTY_RULE_SET, head)))]));
  firewall.flip(firewall.prepare(held, { now: 0, dns: [] }));
  const identity = { lineage: new Uint8Array(16), epoch: 1, version: 2, previousVersion: 1, createdAtMs: 0 };
  verifyRuleSet(manifestFor(head, identity), held);
  atOnce(firewallLoad(head));
  atOnce(checkPieces(held));
  for (let i = 1; i <= runs; i++) {
    const text = workload.text(i);
    globalThis.gc?.();
    let last = performance.now();
    /** @param {string} stage */
    const lap = (stage) => {
      times.set(stage, [...(times.get(stage) ?? []), performance.now() - last]);
      last = performance.now();
    };
    const asked = workload.read(text);
    lap('read');
    const next = atOnce(ruleSetOfSameRuns(head, asked));
    lap('what is the same');
    atOnce(checkPieces(next));
    lap('check');
    const delta = atOnce(diffPieces(head, next));
    lap('diff');
    atOnce(cataloguePieces(next, head));
    lap('digests');
    atOnce(firewallLoad(next));
    lap('load of a firewall');
    const stream = encodeChain([encodeDelta(delta)]);
    lap('encode');
    const manifestBytes = encodeManifest(manifestFor(next, identity, head));
    const signatures = signBytes(manifestBytes, key);
    lap('sign');
    if (!isSignedBy(root.root, 'release', { signatures, content: manifestBytes }))
      throw new Error('the signature does not verify');
    const applied = applyChain(held, stream);
    lap('apply');
    atOnce(cataloguePieces(applied, held));
    verifyRuleSet(decodeManifest(manifestBytes), applied, held);
    lap('verify');
    atOnce(checkPieces(applied));
    lap('check again');
    const prepared = firewall.prepare(applied, { now: 0, dns: [] });
    lap(`compile`);
    firewall.flip(prepared);
    lap('flip');
    times.set('compiled in place, of all', [
      ...(times.get('compiled in place, of all') ?? []),
      prepared.isEdit ? 1 : 0,
    ]);
    head = next;
    held = applied;
  }
  return times;
}

// ── Three processes ────────────────────────────────────────────────────────────────────────────────────────

/** @param {Workload} workload @param {number} runs */
async function pushesOf(workload, runs) {
  const directory = mkdtempSync(join(tmpdir(), 'rulecast-bench-'));
  const publisher = await startPublisher(directory);
  const subscriber = await startSubscriber(directory, 'bench', ['--state', join(directory, 'subscriber')]);
  /** @type {Map<string, number[]>} */
  const times = new Map();
  /** @param {string} name @param {unknown} value */
  const note = (name, value) => times.set(name, [...(times.get(name) ?? []), Number(value)]);
  try {
    await publisher.logged((line) => line['msg'] === 'subscriber connected');
    let spentMs = cpuMsOf(publisher.process.pid);
    for (let i = 0; i <= runs; i++) {
      const path = join(directory, workload.file);
      writeFileSync(path, workload.text(i));
      const {
        code,
        stdout,
        stderr,
        ms: pushMs,
      } = await rulectl(directory, ['push', path, ...PERMITTED, '--json']);
      if (code !== 0) throw new Error(`rulectl push ended with ${code}: ${stdout}${stderr}`);
      const rows = stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
      const applied = rows.find(({ kind }) => kind === 'applied');
      const line = subscriber.log.findLast(({ msg }) => msg === 'applied');
      const cpuMs = cpuMsOf(publisher.process.pid);
      const when = i === 0 ? 'first' : 'one rule changed';
      note(`${when}: CPU of the publisher`, cpuMs - spentMs);
      spentMs = cpuMs;
      if (i === 0) continue; // all of it
      note('rulectl push', pushMs);
      note('commit to APPLIED', applied?.ms);
      note('of that, verify', line?.['verifyMs']);
      note('of that, compile', line?.['compileMs']);
    }
    note('publisher at most, MB', peakMb(publisher.process.pid));
    note('subscriber at most, MB', peakMb(subscriber.process.pid));
  } finally {
    await subscriber.stop();
    await publisher.stop();
    rmSync(directory, { recursive: true, force: true });
  }
  return times;
}

/** Of all threads of a process. @param {number | undefined} pid */
function cpuMsOf(pid) {
  const [, fields = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ');
  const [user, system] = fields.split(' ').slice(11, 13);
  return (Number(user) + Number(system)) * 10; // in ticks, of which Linux has 100 a second
}

/** Resident. @param {number | undefined} pid */
function peakMb(pid) {
  return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1000;
}
