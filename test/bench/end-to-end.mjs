/**
 * From the text of a push to a table in force: each stage by itself in one process, then `rulectl push`
 * through three processes. The slow twin does the same job in plain JavaScript: split the text, parse and
 * sort strings, send them as JSON, build a Set. Inputs are seeded or are real lists, so figures compare
 * between runs of the same machine.
 */

import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { importList, parseRuleLines } from '@rulecast/formats';
import {
  applyChain,
  Connection,
  decodeManifest,
  diffRuleSets,
  encodeChain,
  encodeDelta,
  encodeManifest,
  isSignedBy,
  manifestFor,
  signBytes,
  verifyRuleSet,
} from '@rulecast/protocol';
import {
  canonicalPrefixes,
  EMPTY_RULE_SET,
  emptyPolicy,
  PrefixBuilder,
  plainRule,
  policyRuleCount,
  RunBuilder,
} from '@rulecast/rules';
import { Table } from '@rulecast/table';
import { connect, listen, parseEndpoint } from '@rulecast/vchan';
import { churned, millionHosts, seedPolicy, textOf } from '../inputs.mjs';
import { soleRoot } from '../kit/roots.mjs';
import { PERMITTED, rulectl, startPublisher } from '../processes.mjs';
import { networkOf, startBenched } from './enforced.mjs';
import { grouped, machineLine, median, ms, partsOf, runsOf, table } from './report.mjs';

const LISTS = fileURLToPath(new URL('../fixtures/lists/', import.meta.url));
const REAL_LISTS = [
  'country-ru-ipv4.netset',
  'country-nl-ipv4.netset',
  'country-nl-ipv6.netset',
  'datacenter-ipv6.txt',
  'ipsum-level3.txt',
  'tor-exit-nodes.lst',
  'vpn-ipv4.txt',
];
/** What there is to measure. @type {readonly string[]} */
const PARTS = ['stages', 'processes', 'series', 'growth'];
/** Each ten times the one before. */
const GROWTH_HOSTS = [1, 10, 100, 1000, 10_000, 100_000, 1_000_000];
const STAGES = /** @type {const} */ ([
  'parse',
  'canonicalise',
  'diff',
  'encode',
  'digest + sign',
  'transfer',
  'verify',
  'compile',
  'flip',
  'total',
]);

/**
 * @typedef {import('@rulecast/rules').RuleSet} RuleSet
 * @typedef {Awaited<ReturnType<typeof networkOf>>} BenchNetwork Undefined: the subscriber does not enforce.
 * @typedef {object} Workload
 * @property {string} name
 * @property {string} file Name of the pushed file.
 * @property {Uint8Array} bytes What is pushed.
 * @property {Uint8Array | undefined} before What was pushed before, under the same name.
 * @property {'list' | 'rules'} kind
 */

/** @returns {readonly Workload[]} */
function workloads() {
  const million = millionHosts(1_000_000, 7);
  const real = REAL_LISTS.map((name) => readFileSync(join(LISTS, name), 'utf8')).join('\n');
  return [
    {
      name: '1M random /32',
      file: 'hosts.txt',
      bytes: bytesOf(million.text),
      before: undefined,
      kind: 'list',
    },
    { name: 'real lists', file: 'real.txt', bytes: bytesOf(real), before: undefined, kind: 'list' },
    {
      name: '2^18 rules',
      file: 'seed.rules',
      bytes: bytesOf(seedPolicy()),
      before: undefined,
      kind: 'rules',
    },
    {
      name: '578 rules',
      file: 'few.rules',
      bytes: bytesOf(`${seedPolicy().split('\n', 577).join('\n')}\naccept\n`),
      before: undefined,
      kind: 'rules',
    },
    {
      name: '1k + 1k on 1M',
      file: 'hosts.txt',
      bytes: bytesOf(textOf(churned(million.words, 1000, 11))),
      before: bytesOf(million.text),
      kind: 'list',
    },
  ];
}

/** @param {string} text */
function bytesOf(text) {
  return new TextEncoder().encode(text);
}

/** @param {readonly string[]} args `--enforce`, as root: the subscriber enforces. */
export async function run(args) {
  const [runs, parts] = [runsOf(args, 5), partsOf(args, PARTS)];
  const network = await networkOf(args);
  process.stdout.write(machineLine(runs));
  if (network) process.stdout.write('\nThe subscriber enforces.\n');
  if (parts.includes('stages')) await benchStages(runs);
  if (parts.includes('processes')) await benchProcesses(runs, network);
  if (parts.includes('series')) await benchSeries(network);
  if (parts.includes('growth')) await benchGrowth(runs, network);
  await network?.close();
}

/** @param {number} runs */
async function benchStages(runs) {
  process.stdout.write(
    '\nOne process, milliseconds; the transfer is over an in-memory channel with a 64 KiB buffer.\n\n',
  );
  const all = workloads();
  /** @type {Awaited<ReturnType<typeof stagesOf>>[]} */
  const columns = [];
  for (const workload of all) columns.push(await stagesOf(workload, runs));
  const head = ['stage', ...all.map((workload) => workload.name)];
  const rows = STAGES.map((stage) => [
    stage,
    ...columns.map((column) => ms(median(column.times.get(stage) ?? [0]))),
  ]);
  rows.push(['stream, bytes', ...columns.map((column) => grouped(column.bytes))]);
  rows.push(['entries or rules', ...columns.map((column) => grouped(column.entries))]);
  rows.push(['slow twin, total', ...columns.map((column) => ms(median(column.twin)))]);
  process.stdout.write(table(head, rows));
}

/** @param {number} runs @param {BenchNetwork} network */
async function benchProcesses(runs, network) {
  process.stdout.write(
    '\nThree processes: `rulectl push FILE` until the subscriber said APPLIED, with state on disk.\n\n',
  );
  process.stdout.write(table(PROCESS_HEAD, await processRows(workloads(), runs, network)));
}

/** @param {BenchNetwork} network */
async function benchSeries(network) {
  process.stdout.write(
    `\n${SERIES_PUSHES} changes of 1k + 1k on 1M, one after the other, by the same three processes.\n\n`,
  );
  process.stdout.write(table(SERIES_HEAD, await seriesRows(network)));
}

/** @param {number} runs @param {BenchNetwork} network */
async function benchGrowth(runs, network) {
  process.stdout.write('\nThe same push, of more and more random hosts.\n\n');
  const workloads = GROWTH_HOSTS.map((count) => {
    const bytes = bytesOf(millionHosts(count, 7).text);
    /** @type {Workload} */
    const workload = { name: grouped(count), file: 'hosts.txt', bytes, before: undefined, kind: 'list' };
    return workload;
  });
  process.stdout.write(table(PROCESS_HEAD, await processRows(workloads, runs, network)));
}

// ── One process ────────────────────────────────────────────────────────────────────────────────────────────

/** @param {Workload} workload @param {number} runs */
async function stagesOf(workload, runs) {
  /** @type {Map<string, number[]>} */
  const times = new Map(STAGES.map((stage) => [stage, []]));
  const before = workload.before === undefined ? EMPTY_RULE_SET : ruleSetOf(workload, workload.before);
  /** @type {number[]} */
  const twin = [];
  let bytes = 0;
  let entries = 0;
  for (let i = 0; i < runs; i++) {
    globalThis.gc?.();
    const one = await oneRun(workload, before);
    for (const stage of STAGES) times.get(stage)?.push(one.times[stage] ?? 0);
    bytes = one.bytes;
    entries = one.entries;
    twin.push(slowTwin(workload));
  }
  return { times, twin, bytes, entries };
}

/** @param {Workload} workload @param {RuleSet} before */
async function oneRun(workload, before) {
  const { key, root } = soleRoot(new Uint8Array(16));
  const watch = new StopWatch();
  const ruleSet = ruleSetOf(workload, workload.bytes);
  watch.lap('parse');
  const canonicaliseMs = workload.kind === 'list' ? canonicaliseAlone(workload.bytes) : 0;
  watch.skip();
  const delta = diffRuleSets(before, ruleSet);
  watch.lap('diff');
  const stream = encodeChain([encodeDelta(delta)]);
  watch.lap('encode');
  const identity = { lineage: new Uint8Array(16), epoch: 1, version: 2, previousVersion: 1, createdAtMs: 0 };
  const manifestBytes = encodeManifest(manifestFor(ruleSet, identity));
  const signatures = signBytes(manifestBytes, key);
  watch.lap('digest + sign');
  const received = await transferred(stream);
  watch.lap('transfer');
  if (!isSignedBy(root.root, 'release', { signatures, content: manifestBytes }))
    throw new Error('the signature does not verify');
  const applied = applyChain(before, received);
  verifyRuleSet(decodeManifest(manifestBytes), applied);
  watch.lap('verify');
  const compiled = new Table();
  if (workload.before !== undefined) compiled.flip(compiled.prepare(usedByRule(before), { now: 0, dns: [] }));
  watch.skip();
  const prepared = compiled.prepare(usedByRule(applied), { now: 0, dns: [] });
  watch.lap('compile');
  compiled.flip(prepared);
  watch.lap('flip');
  /** @type {Record<string, number>} */
  const times = { ...watch.laps, canonicalise: canonicaliseMs };
  times['parse'] = (times['parse'] ?? 0) - canonicaliseMs;
  times['total'] = STAGES.slice(0, -1).reduce((sum, stage) => sum + (times[stage] ?? 0), 0);
  return { times, bytes: stream.length, entries: entriesOf(ruleSet) };
}

class StopWatch {
  /** @type {Record<string, number>} */
  laps = {};
  #last = performance.now();

  /** @param {string} name */
  lap(name) {
    const now = performance.now();
    this.laps[name] = now - this.#last;
    this.#last = performance.now();
  }

  skip() {
    this.#last = performance.now();
  }
}

/** @param {Workload} workload @param {Uint8Array} bytes @returns {RuleSet} */
function ruleSetOf(workload, bytes) {
  if (workload.kind === 'rules') {
    const policy = { ...emptyPolicy('default'), egress: parseRuleLines(bytes, 'egress', 0).runs };
    return { ...EMPTY_RULE_SET, policies: new Map([['default', policy]]) };
  }
  return { ...EMPTY_RULE_SET, lists: new Map([['hosts', importList('', bytes, { format: 'plain' }).list]]) };
}

/**
 * A list decides nothing until a rule uses it: the compiled table gets one that does.
 * @param {RuleSet} ruleSet
 * @returns {RuleSet}
 */
function usedByRule(ruleSet) {
  if (ruleSet.policies.size > 0) return ruleSet;
  const runs = new RunBuilder();
  runs.push({ ...plainRule('drop'), remote: { kind: 'list', list: 'hosts' } });
  runs.push(plainRule('accept'));
  return {
    ...ruleSet,
    policies: new Map([['default', { ...emptyPolicy('default'), egress: runs.build() }]]),
  };
}

/**
 * How long sorting and checking alone take: the part of parsing that a sorted file saves.
 * @param {Uint8Array} bytes
 */
function canonicaliseAlone(bytes) {
  const { list } = importList('', bytes, { format: 'plain' });
  if (list.kind !== 'prefixes') throw new Error('a list of prefixes was expected');
  const count = list.v4.lengths.length;
  const shuffled = new PrefixBuilder(4, count);
  for (let i = 0, at = 0; i < count; i++, at = (at + 611_953) % count) {
    shuffled.push(list.v4.words, at, list.v4.lengths[at] ?? 32);
  }
  const column = shuffled.build();
  const start = performance.now();
  canonicalPrefixes(column);
  return performance.now() - start;
}

/** @param {Uint8Array} stream */
async function transferred(stream) {
  const endpoint = parseEndpoint('memory:bench');
  const listener = await listen(endpoint);
  const [client, server] = await Promise.all([connect(endpoint), listener.accept()]);
  const sender = new Connection(server);
  const receiver = new Connection(client);
  const sending = sender.sendBytes([stream]);
  const out = new Uint8Array(stream.length);
  const digest = createHash('sha256');
  for (let at = 0; at < out.length; ) {
    const message = (await receiver.receive())?.message;
    if (message?.kind !== 'chunk') throw new Error('a chunk was expected');
    out.set(message.bytes, at);
    digest.update(message.bytes);
    at += message.bytes.length;
  }
  if (!digest.digest().equals((await sending).sha256)) throw new Error('the stream arrived damaged');
  sender.close();
  receiver.close();
  await listener.close();
  return out;
}

/** @param {RuleSet} ruleSet */
function entriesOf(ruleSet) {
  let count = 0;
  for (const list of ruleSet.lists.values()) {
    count += list.kind === 'names' ? list.names.count : list.v4.lengths.length + list.v6.lengths.length;
  }
  for (const policy of ruleSet.policies.values()) count += policyRuleCount(policy);
  return count;
}

/**
 * Split, check each line with a regular expression, sort, send as JSON, build a Set.
 * @param {Workload} workload
 */
function slowTwin(workload) {
  const start = performance.now();
  const lines = Buffer.from(workload.bytes).toString('utf8').split('\n');
  const entries = lines
    .map((line) => line.trim())
    .filter((line) => /^[0-9a-f:.]+(?:\/\d+)?$|^drop dst4=[0-9.]+\/\d+$|^accept$/.test(line));
  const sorted = [...new Set(entries)].sort();
  const sent = JSON.stringify(sorted);
  createHash('sha256').update(sent).digest();
  const received = new Set(JSON.parse(sent));
  if (received.size === 0) throw new Error('the twin lost everything');
  return performance.now() - start;
}

// ── Three processes ────────────────────────────────────────────────────────────────────────────────────────

/** Threads of the daemons start, load and compile what they will need, within a second. */
const READY_MS = 2000;
const PROCESS_HEAD = [
  'workload',
  'push, ms',
  'commit to APPLIED, ms',
  'sent, bytes',
  'publisher RSS, MB',
  'subscriber RSS, MB',
];

/** @param {readonly Workload[]} all @param {number} runs @param {BenchNetwork} network */
async function processRows(all, runs, network) {
  const rows = [];
  for (const workload of all) {
    /**
     * @type {Array<{ pushMs: number, appliedMs: number, bytes: number, publisherMb: number, subscriberMb: number }>}
     */
    const results = [];
    for (let i = 0; i < runs; i++) results.push(await pushedOnce(workload, network));
    /** @param {(result: (typeof results)[number]) => number} field */
    const of = (field) => median(results.map(field));
    rows.push([
      workload.name,
      ms(of((result) => result.pushMs)),
      ms(of((result) => result.appliedMs)),
      grouped(of((result) => result.bytes)),
      of((result) => result.publisherMb).toFixed(0),
      of((result) => result.subscriberMb).toFixed(0),
    ]);
  }
  return rows;
}

/**
 * A new publisher and subscriber, which get ready for work to come as those have that run for long, a policy
 * that uses the list, then the push that is measured.
 * @param {Workload} workload
 * @param {BenchNetwork} network
 */
async function pushedOnce(workload, network) {
  const directory = mkdtempSync(join(tmpdir(), 'rulecast-bench-'));
  const publisher = await startPublisher(directory);
  const subscriber = await startBenched(directory, network);
  try {
    await publisher.logged((line) => line['msg'] === 'subscriber connected');
    await setTimeout(READY_MS);
    const name = workload.file.replace(/\..*$/, '');
    if (workload.kind === 'list') {
      await push(directory, workload.file, workload.before ?? bytesOf('192.0.2.1\n'));
      await push(directory, 'policy.rules', bytesOf(`drop dst=@${name}\naccept\n`));
    }
    const { pushMs, applied } = await push(directory, workload.file, workload.bytes);
    return {
      pushMs,
      appliedMs: Number(applied['ms']),
      bytes: Number(applied['bytes']),
      publisherMb: residentMb(publisher.process.pid),
      subscriberMb: residentMb(subscriber.process.pid),
    };
  } finally {
    await subscriber.stop();
    await publisher.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

const SERIES_PUSHES = 20;
const SERIES_HEAD = ['milliseconds', 'median', 'quickest', 'slowest'];

/**
 * Change after change of one list: what a subscriber that has been running for a while takes.
 * @param {BenchNetwork} network
 */
async function seriesRows(network) {
  const directory = mkdtempSync(join(tmpdir(), 'rulecast-bench-'));
  const publisher = await startPublisher(directory);
  const subscriber = await startBenched(directory, network);
  /** @type {Map<string, number[]>} */
  const times = new Map();
  try {
    await publisher.logged((line) => line['msg'] === 'subscriber connected');
    const { text, words } = millionHosts(1_000_000, 7);
    await push(directory, 'hosts.txt', bytesOf(text));
    await push(directory, 'policy.rules', bytesOf('drop dst=@hosts\naccept\n'));
    let present = words;
    for (let i = 0; i < SERIES_PUSHES; i++) {
      present = churned(present, 1000, 100 + i);
      const { applied } = await push(directory, 'hosts.txt', bytesOf(textOf(present)));
      const line = subscriber.log.findLast(({ msg }) => msg === 'applied');
      noteTime(times, 'commit to APPLIED', Number(applied['ms']));
      noteTime(times, 'verify', Number(line?.['verifyMs']));
      noteTime(times, 'compile', Number(line?.['compileMs']));
    }
  } finally {
    await subscriber.stop();
    await publisher.stop();
    rmSync(directory, { recursive: true, force: true });
  }
  return [...times].map(([name, all]) => [name, ms(median(all)), ms(Math.min(...all)), ms(Math.max(...all))]);
}

/** @param {Map<string, number[]>} times @param {string} name @param {number} value */
function noteTime(times, name, value) {
  times.set(name, [...(times.get(name) ?? []), value]);
}

/** @param {string} directory @param {string} file @param {Uint8Array} bytes */
async function push(directory, file, bytes) {
  const path = join(directory, file);
  writeFileSync(path, bytes);
  const {
    code,
    stdout,
    stderr,
    ms: pushMs,
  } = await rulectl(directory, ['push', path, ...PERMITTED, '--json']);
  if (code !== 0) throw new Error(`rulectl push ${file} ended with ${code}: ${stdout}${stderr}`);
  const rows = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const applied = rows.find((row) => row.kind === 'applied');
  if (applied === undefined) throw new Error('nobody applied it');
  return { pushMs, applied };
}

/** Peak resident memory of a process, in MB. @param {number | undefined} pid */
function residentMb(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1000;
}
