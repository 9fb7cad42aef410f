/**
 * Rules in the kernel: how long a policy of 2^18 rules takes until it is in force, and one of its rules that
 * changes, from the sink's `prepare` to the kernel's answer; a thousand qubes with rules of their own; and
 * bare nft with a verdict map of intervals. By the sink alone, so as root.
 */

import { parseRuleLines } from '@rulecast/formats';
import { EMPTY_RULE_SET, eachRun, emptyPolicy, parsePrefix, prefixSetOf, runsOfEach } from '@rulecast/rules';
import { Network } from '../enforce/network.mjs';
import { sinkIn } from '../enforce/sink.mjs';
import { dottedQuad } from '../inputs.mjs';
import { seededNumbers } from '../kit/random.mjs';
import { grouped, median, ms, table } from './report.mjs';

const RULES = 2 ** 18;
const QUBES = 1000;
const RULES_OF_A_QUBE = 20;
const PORTS = [22, 25, 53, 80, 443, 8080];
const SEED = 29;
const MB = 1e6;

/** @typedef {import('@rulecast/rules').Runs} Runs */
/**
 * @typedef {{ readonly loadMs: number, readonly planMs: number, readonly peakMb: number, readonly changesMs: readonly number[] }}
 *   Sample
 */

/**
 * @param {number} runs @param {(below: (below: number) => number) => number} randomLength As lists have them.
 */
export async function benchRules(runs, randomLength) {
  const situations = [
    { name: 'disjoint', lines: disjointLines(randomLength) },
    { name: 'overlapping', lines: overlappingLines(randomLength, 0) },
    { name: 'overlapping, 30 % with ports', lines: overlappingLines(randomLength, 3) },
  ].map(({ name, lines }) => ({ name, runs: runsFrom(lines) }));
  process.stdout.write(
    `\nPolicies of ${grouped(RULES)} rules, accept and drop in turn: from the sink's prepare to the kernel's answer, milliseconds. Then one rule is inserted, edited and deleted, at the start, in the middle and at the end.\n\n`,
  );
  const head = ['rules', 'load', 'of that our plan', 'applier, MB', 'one rule changed', 'worst'];
  /** @type {string[][]} */
  const rows = [];
  for (const { name, runs: rules } of situations) {
    /** @type {Sample[]} */
    const samples = [];
    for (let i = 0; i < runs; i++)
      samples.push(await measured(policyOf(rules), changesOf(rules).map(policyOf)));
    rows.push(rowOf(name, samples));
  }
  /** @type {Sample[]} */
  const ofQubes = [];
  for (let i = 0; i < runs; i++) {
    const [first, ...changed] = qubes();
    if (first !== undefined) ofQubes.push(await measured(first, changed));
  }
  rows.push(rowOf(`${grouped(QUBES)} qubes with ${RULES_OF_A_QUBE} each, all with ports`, ofQubes));
  rows.push(bareRow(disjointLines(randomLength)));
  process.stdout.write(table(head, rows));
}

/** @param {string} name @param {readonly Sample[]} samples */
function rowOf(name, samples) {
  const changes = samples.flatMap(({ changesMs }) => changesMs);
  return [
    name,
    ms(median(samples.map(({ loadMs }) => loadMs))),
    ms(median(samples.map(({ planMs }) => planMs))),
    grouped(Math.round(median(samples.map(({ peakMb }) => peakMb)))),
    ms(median(changes)),
    ms(Math.max(...changes)),
  ];
}

/**
 * A sink of its own, with one rule in force before.
 * @param {import('@rulecast/rules').RuleSet} ruleSet
 * @param {readonly import('@rulecast/rules').RuleSet[]} changed
 * @returns {Promise<Sample>}
 */
async function measured(ruleSet, changed) {
  const network = new Network();
  const sink = sinkIn(network);
  let releases = 0;
  /** @param {import('@rulecast/rules').RuleSet} next */
  const release = async (next) => {
    releases++;
    const startMs = performance.now();
    await sink.prepare({
      hash: new Uint8Array(32).fill(releases),
      ruleSet: next,
      environment: { now: 0, dns: [] },
    });
    const plannedMs = performance.now();
    await sink.commit();
    const endMs = performance.now();
    await sink.settled();
    return { ms: endMs - startMs, planMs: plannedMs - startMs };
  };
  try {
    await release(policyOf(runsFrom(['accept'])));
    const { ms: loadMs, planMs } = await release(ruleSet);
    const peakMb = (sink.status().lastRun?.peakBytes ?? 0) / MB;
    /** @type {number[]} */
    const changesMs = [];
    for (const next of changed) changesMs.push((await release(next)).ms);
    return { loadMs, planMs, peakMb, changesMs };
  } finally {
    await sink.close();
    network.removeNamespaces();
  }
}

/**
 * One after the other, each by one rule; what did not change stays the same object, as when a delta is
 * applied.
 * @param {Runs} rules
 */
function changesOf(rules) {
  const [insert, edit] = eachRun(
    runsFrom(['drop dst4=10.9.9.9 proto=udp dstports=9', 'accept dst4=10.77.8.0/22']),
  );
  if (insert === undefined || edit === undefined) throw new TypeError('two rules');
  /** @type {(Runs)[]} */
  const out = [];
  let now = [...eachRun(rules)];
  for (const share of [0, 0.5, 1]) {
    const at = Math.floor(share * (rules.count - 1));
    now = now.toSpliced(at, 0, insert);
    out.push(runsOfEach(now));
    now = now.toSpliced(at, 1, edit);
    out.push(runsOfEach(now));
    now = now.toSpliced(at, 1);
    out.push(runsOfEach(now));
  }
  return out;
}

/** @param {Runs} egress */
function policyOf(egress) {
  return { ...EMPTY_RULE_SET, policies: new Map([['default', { ...emptyPolicy('default'), egress }]]) };
}

/** @param {readonly string[]} lines */
function runsFrom(lines) {
  return parseRuleLines(new TextEncoder().encode(lines.join('\n')), 'egress', 0).runs;
}

// ── Rules ──────────────────────────────────────────────────────────────────────────────────────────────────

/** @param {(below: (below: number) => number) => number} randomLength */
function disjointLines(randomLength) {
  const next = seededNumbers(SEED);
  /** @type {string[]} */
  const out = [];
  for (let at = 0x01000000; out.length < RULES; ) {
    const length = randomLength(next);
    const size = 2 ** (32 - length);
    at = Math.ceil((at + next(20_000)) / size) * size;
    out.push(`${out.length % 2 === 0 ? 'drop' : 'accept'} dst4=${dottedQuad(at)}/${length}`);
    at += size;
  }
  return out;
}

/**
 * Within 10.0.0.0/8, so that most lie within others.
 * @param {(below: (below: number) => number) => number} randomLength
 * @param {number} tenths With ports.
 */
function overlappingLines(randomLength, tenths) {
  const next = seededNumbers(SEED);
  return Array.from({ length: RULES }, (_, index) => {
    const length = randomLength(next);
    const address = Math.floor((0x0a000000 + next(0x01000000)) / 2 ** (32 - length)) * 2 ** (32 - length);
    const ports = next(10) < tenths ? ` proto=tcp dstports=${PORTS[next(PORTS.length)]}` : '';
    return `${index % 2 === 0 ? 'drop' : 'accept'} dst4=${dottedQuad(address)}/${length}${ports}`;
  });
}

/** Each with rules of its own; and the same with one rule of one of them changed, a few times. */
function qubes() {
  const next = seededNumbers(SEED);
  const line = () => {
    const address = dottedQuad(0x01000000 + next(0xdd000000));
    return `${next(3) === 0 ? 'drop' : 'accept'} dst4=${address} proto=tcp dstports=${PORTS[next(PORTS.length)]}`;
  };
  const all = Array.from({ length: QUBES }, (_, qube) => {
    const name = `q${qube}`;
    const address = parsePrefix(dottedQuad(0x0a890000 + qube));
    if (typeof address === 'string') throw new TypeError(address);
    const egress = runsFrom(Array.from({ length: RULES_OF_A_QUBE }, line));
    return { ...emptyPolicy(name), prefixes: prefixSetOf([address]), egress };
  });
  const whole = new Map(all.map((policy) => [policy.name, policy]));
  const changed = [0, 500, 999].map((qube) => {
    const policy = all[qube] ?? emptyPolicy(`q${qube}`);
    const egress = runsOfEach([...eachRun(policy.egress)].toSpliced(7, 1, ...eachRun(runsFrom([line()]))));
    return new Map(whole).set(policy.name, { ...policy, egress });
  });
  return [whole, ...changed].map((policies) => ({ ...EMPTY_RULE_SET, policies }));
}

/**
 * Bare nft with the same disjoint rules as one verdict map of intervals; one load and one change, which takes
 * seconds.
 * @param {readonly string[]} lines
 */
function bareRow(lines) {
  const elements = lines.map((line) => line.replace(/^(\S+) dst4=(\S+)$/, '$2 : $1'));
  const network = new Network();
  const timed = (/** @type {string} */ script) => {
    const startMs = performance.now();
    network.router.nft(script);
    return performance.now() - startMs;
  };
  try {
    const loadMs = timed(`table inet bare {
  map rules { type ipv4_addr : verdict; flags interval; elements = { ${elements.join(', ')} } }
  chain forward { type filter hook forward priority 0; policy accept; ip daddr vmap @rules; }
}
`);
    const [first = ''] = elements;
    const changeMs = timed(`delete element inet bare rules { ${first.split(' ')[0]} }\n`);
    return ['disjoint, bare nft, a map of intervals', ms(loadMs), '', '', ms(changeMs), ''];
  } finally {
    network.removeNamespaces();
  }
}
