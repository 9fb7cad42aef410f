/**
 * The table, through a reader as any thread has one, beside its peers, in one run: whole verdicts a second by
 * trace, batched and one by one, which each set and trace has a function of its own for; time to build, time
 * of an edit, bytes an entry; policies of many rules; two readers at once, and readers while the table flips.
 */

import { Worker } from 'node:worker_threads';
import { parseRuleLines } from '@rulecast/formats';
import {
  applyPrefixesDelta,
  canonicalPrefixes,
  diffPrefixes,
  emptyPolicy,
  emptyPrefixes,
  PrefixBuilder,
  plainRule,
  prefixListOf,
  RunBuilder,
} from '@rulecast/rules';
import { openReader, Table } from '@rulecast/table';
import { seedPolicy } from '../inputs.mjs';
import { seededNumbers, seededWords } from '../kit/random.mjs';
import { classBenchPackets, classBenchRules, defaultPolicyOf } from './classbench.mjs';
import { grouped, machineLine, median, ms, partsOf, runsOf, table } from './report.mjs';
import { filterSets, RteAcl } from './table-filters.mjs';
import { Dpdk, EAL_OPTIONS, javaScriptPeers } from './table-peers.mjs';
import { denseSet, grownSet, randomHosts, realSet, traces } from './table-sets.mjs';

/**
 * @typedef {import('./table-sets.mjs').TableSet} TableSet
 * @typedef {import('./table-sets.mjs').Trace} Trace
 * @typedef {import('@rulecast/rules').RuleSet} RuleSet
 * @typedef {import('@rulecast/table').TableReader} TableReader
 * @typedef {import('@rulecast/rules').Prefixes} Prefixes
 * @typedef {import('@rulecast/rules').Rule} Rule
 * @typedef {import('./table-peers.mjs').PeerResult} Row
 */

const ENVIRONMENT = { now: 0, dns: [] };
const TCP = 6;
/** What there is to measure. @type {readonly string[]} */
const PARTS = ['sets', 'batches', 'deltas', 'policies', 'filters', 'readers'];
/** Packets of small batches. */
const BATCHES = [1, 8, 64];
/** Lookups of one timed stretch. */
const STRETCH = 2 ** 22;
const READER_MS = 1500;
const FLIPS_PER_SECOND = 20;

/**
 * @param {readonly string[]} args `--runs N`, `--only sets,batches,deltas,policies,filters,readers`, `--filters FILE,FILE` of ClassBench's generator
 */
export async function run(args) {
  const runs = runsOf(args, 5);
  const parts = partsOf(args, PARTS);
  process.stdout.write(machineLine(runs));
  if (parts.includes('sets')) await benchSets(runs);
  if (parts.includes('batches')) benchBatches(runs);
  if (parts.includes('deltas')) benchDeltas(runs);
  if (parts.includes('policies')) benchPolicies(runs);
  if (parts.includes('filters')) benchFilters(runs, optionOf(args, '--filters'));
  if (parts.includes('readers')) await benchReaders(runs);
}

/** @param {readonly string[]} args @param {string} option */
function optionOf(args, option) {
  const at = args.indexOf(option);
  return at < 0 ? undefined : args[at + 1];
}

// ── Sets of prefixes ───────────────────────────────────────────────────────────────────────────────────────

/** @param {number} runs */
async function benchSets(runs) {
  const dpdk = new Dpdk();
  if (dpdk.missing !== undefined) process.stdout.write(`\nWithout DPDK's rte_fib: it ${dpdk.missing}\n`);
  try {
    for (const make of SETS) {
      const set = make();
      const inputs = traces(set);
      const rows = [...(await byTurns(set, inputs, runs, dpdk)), ...javaScriptPeers(set, inputs)];
      process.stdout.write(`\n### ${set.name}: ${grouped(set.entries)} prefixes\n\nM lookups/s.\n\n`);
      process.stdout.write(setTable(set, inputs, rows));
    }
  } finally {
    dpdk.close();
  }
}

const SETS = [
  denseSet,
  randomHosts,
  () => realSet(4),
  () => grownSet(4, 2_200_000),
  () => realSet(6),
  () => grownSet(6, 200_000),
];

/** @param {TableSet} set @param {readonly Trace[]} inputs @param {readonly Row[]} rows */
function setTable(set, inputs, rows) {
  return table(
    ['engine', ...inputs.map(({ name }) => name), 'build, ms', 'B/entry'],
    rows.map(({ engine, rates, buildMs, bytes }) => [
      engine,
      ...inputs.map(({ name }) => millions(rates.get(name))),
      ms(buildMs),
      bytes === undefined ? '' : (bytes / set.entries).toFixed(1),
    ]),
  );
}

/** @param {number | undefined} rate */
function millions(rate) {
  if (rate === undefined) return '';
  const value = rate / 1e6;
  return value >= 1 ? value.toFixed(1) : value.toPrecision(2);
}

/** A list a class, and a rule a list with varied actions. @param {TableSet} set @returns {RuleSet} */
function ruleSetOf(set) {
  const other = emptyPrefixes(set.family === 4 ? 6 : 4);
  const lists = new Map();
  const runs = new RunBuilder();
  for (const [classId, members] of set.classes.entries()) {
    const name = `list${classId}`;
    const both = set.family === 4 ? { v4: members, v6: other } : { v4: other, v6: members };
    lists.set(name, prefixListOf(both));
    runs.push({ ...plainRule(classId % 2 === 0 ? 'drop' : 'accept'), remote: { kind: 'list', list: name } });
  }
  const policy = {
    ...emptyPolicy('default'),
    defaultAction: /** @type {const} */ ('accept'),
    egress: runs.build(),
  };
  return { lists, policies: new Map([[policy.name, policy]]), resolutions: new Map(), unmatched: undefined };
}

/**
 * Our table through a reader, and rte_fib: all of them in each round, by turns.
 * @param {TableSet} set @param {readonly Trace[]} inputs @param {number} runs @param {Dpdk} dpdk
 * @returns {Promise<Row[]>}
 */
async function byTurns(set, inputs, runs, dpdk) {
  const { subject, buildMs } = built(ruleSetOf(set), runs);
  const reader = openReader(subject.handle());
  const fib = dpdk.missing === undefined ? await dpdk.open(set, inputs) : undefined;
  const looks = inputs.map(({ name, words }) => ({
    name,
    stretches: {
      'Rulecast: verdicts, batched': verdictsOf(reader, set.family, words),
      'Rulecast: verdicts, one a call': scalarOf(reader, set.family, words),
    },
  }));
  /** By engine and trace. @type {Map<string, Map<string, number[]>>} */
  const rates = new Map();
  /** @param {string} engine @param {string} trace @param {number} value */
  const note = (engine, trace, value) => {
    const byTrace = rates.get(engine) ?? new Map();
    rates.set(engine, byTrace.set(trace, [...(byTrace.get(trace) ?? []), value]));
  };
  for (let round = 0; round < runs; round++) {
    for (const { name, stretches } of looks) {
      for (const [engine, stretch] of Object.entries(stretches)) note(engine, name, rate(1, stretch));
      for (const [form, value] of (await fib?.look(name)) ?? []) note(form, name, value);
    }
  }
  await fib?.close();
  reader.close();
  const { bytes } = subject.stats();
  return [...rates].map(([engine, byTrace]) => ({
    engine,
    ...(engine.startsWith('Rulecast')
      ? { buildMs, bytes }
      : { buildMs: fib?.buildMs ?? 0, bytes: fib?.bytes }),
    rates: new Map([...byTrace].map(([trace, values]) => [trace, median(values)])),
  }));
}

/**
 * A table of a rule set, and how long one takes to build.
 * @param {RuleSet} ruleSet @param {number} runs
 */
function built(ruleSet, runs) {
  const builds = [];
  let subject = new Table();
  for (let i = 0; i < runs; i++) {
    subject = new Table();
    const start = performance.now();
    subject.flip(subject.prepare(ruleSet, ENVIRONMENT));
    builds.push(performance.now() - start);
  }
  return { subject, buildMs: median(builds) };
}

/**
 * Lookups per second of this process's CPU time, so that other processes do not count; the median of the runs
 * after one to warm up.
 * @param {number} runs
 * @param {{ count: number, look: () => void }} stretch
 */
function rate(runs, { count, look }) {
  const rounds = Math.max(1, Math.round(STRETCH / count));
  const rates = [];
  for (let i = 0; i <= runs; i++) {
    const start = process.cpuUsage();
    for (let round = 0; round < rounds; round++) look();
    const { user, system } = process.cpuUsage(start);
    if (i > 0) rates.push(((rounds * count) / (user + system)) * 1e6);
  }
  return median(rates);
}

/** @param {TableReader} subject @param {4 | 6} family @param {Uint32Array} words */
function verdictsOf(subject, family, words) {
  const stride = family === 4 ? 1 : 4;
  const total = words.length / stride;
  const protos = new Uint8Array(total).fill(TCP);
  const details = new Int32Array(total).fill(443);
  return packetStretch(subject, family, words, protos, details);
}

/**
 * Packets looked up where they are: each piece is filled into the table's own columns, as a packet loop does,
 * and the filling is in the time.
 * @param {TableReader} subject
 * @param {4 | 6} family
 * @param {Uint32Array} dst
 * @param {Uint8Array} protos
 * @param {Int32Array} details
 * @param {Uint32Array} [src]
 */
function packetStretch(subject, family, dst, protos, details, src) {
  const stride = family === 4 ? 1 : 4;
  const total = dst.length / stride;
  const columns = subject.columns(family);
  const out = { codes: columns.codes, generation: 0 };
  const piece = columns.capacity;
  const look = () => {
    for (let at = 0; at < total; at += piece) {
      const count = Math.min(piece, total - at);
      columns.dst.set(dst.subarray(at * stride, (at + count) * stride));
      if (src !== undefined) columns.src.set(src.subarray(at * stride, (at + count) * stride));
      columns.protos.set(protos.subarray(at, at + count));
      columns.details.set(details.subarray(at, at + count));
      subject.lookupBatch(
        {
          family,
          direction: 0,
          count,
          src: src && columns.src,
          dst: columns.dst,
          protos: columns.protos,
          details: columns.details,
        },
        out,
      );
    }
  };
  return { count: total, look };
}

let scalarTexts = 0;

/**
 * Its loop has a text of its own: closures of one text share what the compiler knows of their calls, and each
 * after the first is slower than it would be alone.
 * @param {TableReader} subject
 * @param {4 | 6} family
 * @param {Uint32Array} words
 */
function scalarOf(subject, family, words) {
  const count = words.length / (family === 4 ? 1 : 4);
  const signed = new Int32Array(words.buffer, words.byteOffset, words.length); // so that no address becomes a heap number
  const call =
    family === 4
      ? `subject.lookup4(0, undefined, signed[i], ${TCP}, 443)`
      : `subject.lookup6(0, undefined, 0, words, i * 4, ${TCP}, 443)`;
  const text = `// ${scalarTexts++}
    let drops = 0;
    for (let i = 0; i < ${count}; i++) drops += ${call} & 2;
    return drops;`;
  const loop = new Function('subject', 'signed', 'words', text);
  const look = () => {
    if (loop(subject, signed, words) < 0) throw new RangeError('no count of drops is negative');
  };
  return { count, look };
}

// ── Small batches ──────────────────────────────────────────────────────────────────────────────────────────

/** As a packet loop has them that takes what there is. @param {number} runs */
function benchBatches(runs) {
  const set = realSet(4);
  const [trace] = traces(set);
  if (trace === undefined) return;
  const { words } = trace;
  const { subject } = built(ruleSetOf(set), 1);
  const reader = openReader(subject.handle());
  const batch = reader.batch(set.family);
  batch.protos.fill(TCP);
  batch.details.fill(443);
  const rows = BATCHES.map((size) => {
    const look = () => {
      for (let at = 0; at + size <= words.length; at += size) batch.run(size);
    };
    const fillAndLook = () => {
      for (let at = 0; at + size <= words.length; at += size) {
        for (let i = 0; i < size; i++) batch.dst[i] = words[at + i] ?? 0;
        batch.run(size);
      }
    };
    batch.dst.set(words.subarray(0, size));
    const times = [look, fillAndLook].map((each) => 1e9 / rate(runs, { count: words.length, look: each }));
    return [`${size}`, ...times.map((time) => time.toFixed(1))];
  });
  reader.close();
  process.stdout.write(`\n### Small batches, ${set.name}, half hits, ns a packet\n\n`);
  process.stdout.write(table(['packets', 'the same ones again', 'others each time, filled in'], rows));
}

// ── Deltas ─────────────────────────────────────────────────────────────────────────────────────────────────

/** @param {number} runs */
function benchDeltas(runs) {
  process.stdout.write('\n### Deltas, to the flip: changes known · lists compared\n\n');
  const rows = SETS.map((make) => deltaRow(make(), runs));
  const head = ['set', ...DELTAS.map(({ name }) => name), 'memory, × one image'];
  process.stdout.write(table(head, rows));
}

/** Rounds before the measured ones: what it costs once the code is compiled. */
const DELTAS = [
  { name: 'one entry', changes: 1, rounds: 1000 },
  { name: '1k + 1k', changes: 1000, rounds: 30 },
  { name: '10k + 10k', changes: 10_000, rounds: 6 },
];

/**
 * The cells of a set: times, and the most memory while one of up to 1k + 1k was prepared.
 * @param {TableSet} set
 * @param {number} runs
 */
function deltaRow(set, runs) {
  const subject = new Table();
  let before = ruleSetOf(set);
  subject.flip(subject.prepare(before, ENVIRONMENT));
  const next = seededWords(31);
  const cells = [set.name];
  let most = 0;
  for (const { changes, rounds } of DELTAS) {
    const [known, compared] = [/** @type {number[]} */ ([]), /** @type {number[]} */ ([])];
    let isEdit = true;
    const whole = before;
    for (let round = 0; round < (changes * 4 > set.entries ? 0 : rounds + 4 * runs); round++) {
      const isKnown = round % 4 < 2;
      const goes = round % 2 === 0; // one entry goes, and comes back
      const after =
        changes > 1 ? changedSet(before, set, changes, next) : goes ? withoutOne(before, next) : whole;
      const told = isKnown ? changesOf(before, after) : undefined;
      const start = performance.now();
      const prepared = subject.prepare(after, ENVIRONMENT, told);
      if (changes <= 1000) most = Math.max(most, subject.stats().liveBytes);
      subject.flip(prepared);
      const elapsed = performance.now() - start;
      if (round >= rounds) (isKnown ? known : compared).push(elapsed);
      isEdit &&= prepared.isEdit;
      before = after;
    }
    const times = `${delay(median(known))} · ${delay(median(compared))}${isEdit ? '' : ', some in full'}`;
    cells.push(known.length === 0 ? '' : times);
  }
  return [...cells, (most / subject.stats().bytes).toFixed(2)];
}

/** @param {RuleSet} ruleSet @param {() => number} next @returns {RuleSet} */
function withoutOne(ruleSet, next) {
  const list = ruleSet.lists.get('list0');
  if (list?.kind !== 'prefixes') throw new TypeError('the first list holds prefixes');
  /** @param {Prefixes} prefixes */
  const without = (prefixes) => {
    const { length } = prefixes.lengths;
    if (length === 0) return prefixes;
    const delta = { removed: Uint32Array.of(next() % length), added: emptyPrefixes(prefixes.family) };
    return applyPrefixesDelta(prefixes, delta);
  };
  const less = prefixListOf({ v4: without(list.v4), v6: without(list.v6) });
  return { ...ruleSet, lists: new Map(ruleSet.lists).set('list0', less) };
}

/** @param {number} time in milliseconds */
function delay(time) {
  return time < 1 ? `${(time * 1000).toFixed(0)} µs` : `${ms(time)} ms`;
}

/** @param {RuleSet} before @param {RuleSet} after */
function changesOf({ lists: were }, { lists: are }) {
  const [was, is] = [were.get('list0'), are.get('list0')];
  if (was?.kind !== 'prefixes' || is?.kind !== 'prefixes')
    throw new TypeError('the first list holds prefixes');
  const change = {
    before: was,
    after: is,
    v4: diffPrefixes(was.v4, is.v4),
    v6: diffPrefixes(was.v6, is.v6),
  };
  return new Map([['list0', change]]);
}

/**
 * @param {RuleSet} ruleSet
 * @param {TableSet} set
 * @param {number} changes
 * @param {() => number} next
 * @returns {RuleSet}
 */
function changedSet(ruleSet, set, changes, next) {
  const name = 'list0';
  const list = ruleSet.lists.get(name);
  if (list?.kind !== 'prefixes') throw new TypeError('the first list holds prefixes');
  const members = set.family === 4 ? list.v4 : list.v6;
  const stride = set.family === 4 ? 1 : 4;
  const count = members.lengths.length;
  const builder = new PrefixBuilder(set.family, count + changes);
  const below = seededNumbers(next() | 1);
  const removed = new Set();
  while (removed.size < Math.min(changes, count)) removed.add(below(count));
  for (let i = 0; i < count; i++) {
    if (!removed.has(i)) builder.push(members.words, i, members.lengths[i] ?? 0);
  }
  const added = new Uint32Array(4);
  for (let i = 0; i < changes; i++) {
    const like = below(count); // in the neighbourhood of a member, so that real sets stay real
    for (let w = 0; w < stride; w++) added[w] = members.words[like * stride + w] ?? 0;
    added[stride - 1] = ((added[stride - 1] ?? 0) ^ (next() & 0xffff)) >>> 0;
    builder.push(added, 0, set.family === 4 ? 32 : 128);
  }
  const changed = canonicalPrefixes(builder.build());
  const sets = set.family === 4 ? { v4: changed, v6: list.v6 } : { v4: list.v4, v6: changed };
  return { ...ruleSet, lists: new Map(ruleSet.lists).set(name, prefixListOf(sets)) };
}

// ── Policies ───────────────────────────────────────────────────────────────────────────────────────────────

/** @param {number} runs */
function benchPolicies(runs) {
  const rows = [];
  for (const { name, ruleSet, packets } of policies()) {
    const { subject, buildMs } = built(ruleSet, Math.min(3, runs));
    const reader = openReader(subject.handle());
    const stretch = packetStretch(reader, 4, packets.dst, packets.protos, packets.details);
    const lookups = rate(runs, stretch);
    reader.close();
    const { bytes } = subject.stats();
    rows.push([name, millions(lookups), ms(buildMs), grouped(bytes / 1024)]);
  }
  process.stdout.write('\n### Policies: whole packets, batched, M lookups/s\n\n');
  process.stdout.write(table(['policy', 'Rulecast', 'compile, ms', 'KiB'], rows));
}

/**
 * @returns {Iterable<{ name: string, ruleSet: RuleSet, packets: { dst: Uint32Array, protos: Uint8Array, details: Int32Array } }>}
 */
function* policies() {
  const count = 2 ** 18;
  for (const family of /** @type {const} */ (['acl', 'fw', 'ipc'])) {
    for (const rules of [100, 10_000, 63_000]) {
      const made = classBenchRules(family, rules, 1);
      yield {
        name: `ClassBench-like ${family}, ${grouped(rules)} rules`,
        ruleSet: defaultPolicyOf(made),
        packets: classBenchPackets(made, count, 2),
      };
    }
  }
  const { runs } = parseRuleLines(new TextEncoder().encode(seedPolicy()), 'egress', 0);
  const policy = { ...emptyPolicy('default'), egress: runs };
  yield {
    name: '262,145 rules, only the /30 differs',
    ruleSet: {
      lists: new Map(),
      policies: new Map([[policy.name, policy]]),
      resolutions: new Map(),
      unmatched: undefined,
    },
    packets: packetsTo(count, 0xac100000, 2 ** 21),
  };
  yield {
    name: '262,144 hosts, 1 in 10 with ports', // and one in a thousand to anywhere
    ruleSet: defaultPolicyOf(mostlyDestinations(2 ** 18)),
    packets: packetsTo(count, 0x0a000000, 2 ** 26),
  };
}

/** @param {number} count @returns {Rule[]} */
function mostlyDestinations(count) {
  const below = seededNumbers(37);
  const words = new Uint32Array(1);
  return Array.from({ length: count }, () => {
    const rule = plainRule(below(2) === 0 ? 'drop' : 'accept');
    const first = below(65_000);
    const asked = /** @type {const} */ ({ proto: 'tcp', ports: { first, last: first + below(3) * 100 } });
    if (below(1000) === 0) return { ...rule, ...asked };
    words[0] = 0x0a000000 + below(2 ** 26);
    const remote = /** @type {const} */ ({
      kind: 'prefix',
      prefix: { family: 4, words: words.slice(), length: 32 },
    });
    return below(10) === 0 ? { ...rule, ...asked, remote } : { ...rule, remote };
  });
}

/** @param {number} count @param {number} base @param {number} size */
function packetsTo(count, base, size) {
  const below = seededNumbers(41);
  return {
    dst: Uint32Array.from({ length: count }, () => base + below(size)),
    protos: Uint8Array.from({ length: count }, () => [TCP, TCP, 17, 1][below(4)] ?? TCP),
    details: Int32Array.from({ length: count }, () => below(65_536)),
  };
}

// ── Filters ────────────────────────────────────────────────────────────────────────────────────────────────

/** @param {number} runs @param {string | undefined} files */
function benchFilters(runs, files) {
  if (files === undefined) return;
  const acl = new RteAcl();
  if (acl.missing !== undefined) process.stdout.write(`\nWithout DPDK's rte_acl: it ${acl.missing}\n`);
  const rows = [];
  try {
    for (const file of files.split(','))
      for (const set of filterSets(file)) rows.push(filterRow(set, runs, acl));
  } finally {
    acl.close();
  }
  process.stdout.write('\n### Filters: whole packets, batched, M lookups/s\n\n');
  const head = ['set', 'rules', 'Rulecast', 'rte_acl', 'ratio', 'compile, ms', 'its', 'KiB', 'its'];
  process.stdout.write(table(head, rows));
}

/** @param {import('./table-filters.mjs').FilterSet} set @param {number} runs @param {RteAcl} acl */
function filterRow(set, runs, acl) {
  const { ruleSet, packets } = set;
  const { subject, buildMs } = built(ruleSet, 3);
  const reader = openReader(subject.handle());
  const stretch = packetStretch(reader, 4, packets.dst, packets.protos, packets.details, packets.src);
  const [ours, theirs] = [/** @type {number[]} */ ([]), /** @type {number[]} */ ([])];
  let its = { ms: '', kib: '' };
  for (let round = 0; round < runs; round++) {
    ours.push(rate(1, stretch));
    if (acl.missing !== undefined) continue;
    const { rates, buildMs, bytes, actions } = acl.measure(set, 5, EAL_OPTIONS);
    theirs.push(Math.max(...Object.values(rates)));
    its = { ms: ms(buildMs), kib: grouped(bytes / 1024) };
    if (round === 0) sameActions(subject, packets, actions);
  }
  reader.close();
  const peer = theirs.length === 0 ? undefined : median(theirs);
  const ratio = peer === undefined ? '' : (median(ours) / peer).toFixed(2);
  const kib = grouped(subject.stats().bytes / 1024);
  return [
    set.name,
    grouped(set.rules),
    millions(median(ours)),
    millions(peer),
    ratio,
    ms(buildMs),
    its.ms,
    kib,
    its.kib,
  ];
}

/**
 * Throws unless both find the same; 0 of the peer's is no rule, which drops.
 * @param {Table} subject
 * @param {import('./table-filters.mjs').FilterSet['packets']} packets
 * @param {Uint32Array} actions
 */
function sameActions(subject, { src, dst, protos, details }, actions) {
  for (const [i, action] of actions.entries()) {
    const code = subject.reader.lookup4(0, src?.[i], dst[i] ?? 0, protos[i] ?? 0, details[i] ?? 0);
    if ((code & 3) !== (action || 2))
      throw new RangeError(`packet ${i}: ${code & 3}, where rte_acl finds ${action}`);
  }
}

// ── Readers ────────────────────────────────────────────────────────────────────────────────────────────────

/** @param {number} runs */
async function benchReaders(runs) {
  const set = realSet(4);
  const [trace] = traces(set);
  if (trace === undefined) return;
  const ruleSet = ruleSetOf(set);
  const { subject } = built(ruleSet, 1);
  const other = changedSet(ruleSet, set, 1000, seededWords(43));
  /** @type {[number[], number[], number[]]} */
  const [one, two, flipped] = [[], [], []];
  for (let i = 0; i < runs; i++) {
    one.push(await readersRate(subject, trace.words, 1));
    two.push(await readersRate(subject, trace.words, 2));
    let flips = 0;
    const timer = setInterval(() => {
      subject.flip(subject.prepare(flips++ % 2 === 0 ? other : ruleSet, ENVIRONMENT));
    }, 1000 / FLIPS_PER_SECOND);
    flipped.push(await readersRate(subject, trace.words, 1));
    clearInterval(timer);
  }
  const [single, double, busy] = [median(one), median(two), median(flipped)];
  process.stdout.write(`\n### Readers in threads, ${set.name}, half hits, batched\n\n`);
  process.stdout.write(
    table(
      ['readers', 'M lookups/s', 'of one idle'],
      [
        ['one', millions(single), '1.00'],
        ['two', millions(double), (double / single).toFixed(2)],
        [
          `one, while ${FLIPS_PER_SECOND} deltas of 1,000 + 1,000 a second are flipped`,
          millions(busy),
          (busy / single).toFixed(2),
        ],
      ],
    ),
  );
}

/**
 * Lookups a second of so many threads together.
 * @param {Table} subject
 * @param {Uint32Array} words
 * @param {number} threads
 */
async function readersRate(subject, words, threads) {
  const gate = new Int32Array(new SharedArrayBuffer(8));
  const workerData = { handle: subject.handle(), words, gate, ms: READER_MS };
  const workers = Array.from(
    { length: threads },
    () => new Worker(new URL('table-reader.mjs', import.meta.url), { workerData }),
  );
  const counts = workers.map(
    (worker) => new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject)),
  );
  while (Atomics.load(gate, 0) < threads) await new Promise((resolve) => setTimeout(resolve, 5));
  Atomics.store(gate, 1, 1);
  Atomics.notify(gate, 1);
  const lookups = await Promise.all(counts);
  return (lookups.reduce((sum, count) => sum + count, 0) / READER_MS) * 1000;
}

// ── Plots ──────────────────────────────────────────────────────────────────────────────────────────────────
