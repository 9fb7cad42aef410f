/**
 * What a change costs whatever else there is, what it costs to come back, and to be cut; then bytes on the
 * wire for snapshots and deltas, beside what else one might send, and how long they take to make
 * and to apply. Ours is everything that the publisher sends for one release: OFFER with the signed manifest,
 * BEGIN, CHUNKs and END, each with its frame's header. The others are bare contents, without frame, signature
 * or digest. Inputs are seeded or are real lists, so that bytes compare between any two runs, times between
 * runs of one machine.
 */

import { generateKeyPairSync } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants } from 'node:zlib';
import { importList, parseRuleLines } from '@rulecast/formats';
import {
  partsOf as allParts,
  applyDelta,
  CHUNK_BYTES,
  canonicalBytes,
  diffRuleSets,
  encodeChain,
  encodeDelta,
  encodeManifest,
  encodeMessage,
  FrameEncoder,
  manifestFor,
  partCount,
  signBytes,
} from '@rulecast/protocol';
import {
  canonicalPrefixes,
  EMPTY_RULE_SET,
  emptyPolicy,
  formatPrefixAt,
  nameTexts,
  PrefixBuilder,
  plainNames,
} from '@rulecast/rules';
import { churned, churnedLines, dottedQuad, millionHosts, seedPolicy, textOf } from '../inputs.mjs';
import { seededNumbers, seededWords } from '../kit/random.mjs';
import { millionText } from './names.mjs';
import { grouped, machineLine, median, ms, partsOf, runsOf, table } from './report.mjs';
import { CAUGHT_UP_HEAD, CUT_HEAD, caughtUp, cut, house, pushedTo, released } from './wire-costs.mjs';

const LISTS = new URL('../fixtures/lists/', import.meta.url);
/** The last byte of most of their entries is as good as random. */
const HOST_LISTS = ['ipsum-level3.txt', 'tor-exit-nodes.lst'];
/** Brotli at quality 11 takes some 2 s a megabyte. */
const BROTLI_BEST_MAX_BYTES = 2 ** 21;

/**
 * @typedef {import('@rulecast/rules').RuleSet} RuleSet
 * @typedef {import('@rulecast/rules').List} List
 * @typedef {import('@rulecast/rules').Prefixes} Prefixes
 * @typedef {object} Workload
 * @property {string} name
 * @property {RuleSet} before
 * @property {RuleSet} after
 * @property {number | undefined} entropyBytes The least that any code needs for such content, where it is
 *   known.
 */

const PARTS = ['entry', 'catch-up', 'cut', 'names', 'encodings'];

/** @param {readonly string[]} args */
export async function run(args) {
  const runs = runsOf(args, 5);
  const only = partsOf(args, PARTS);
  process.stdout.write(machineLine(runs));
  if (only.includes('entry')) await entries();
  if (only.includes('catch-up')) await catchUps();
  if (only.includes('cut')) await cuts();
  if (only.includes('names')) namesRows();
  if (only.includes('encodings')) encodings(runs);
}

// ── One entry ──────────────────────────────────────────────────────────────────────────────────────────────

/** One entry more in one list, whatever else there is. */
async function entries() {
  const rows = [];
  /** @param {number} i @param {readonly number[]} more */
  const small = (i, ...more) => prefixesOf([0x0a00_0000 + i * 256, 0x0b00_0000 + i * 256, ...more]);
  const change = new Map([['blocklist-500', small(500, 5)]]);
  const lists = (/** @type {number} */ count) =>
    new Map(Array.from({ length: count }, (_, i) => [`blocklist-${i}`, small(i)]));
  const { words } = millionHosts(1_000_000, 7);
  const names = millionText();
  /** @param {string} more @returns {List} */
  const namesOf = (more) => {
    const { list } = importList('', Buffer.concat([names, Buffer.from(more)]), { kind: 'names' });
    return list.kind === 'names' ? { ...list, names: plainNames(list).names } : list;
  };
  for (const [name, all, one, policies] of /** @type {const} */ ([
    ['a list of 1M', new Map([['l', prefixesOf(words)]]), new Map([['l', prefixesOf([...words, 5])]]), 0],
    [
      'a list of 1M names',
      new Map([['l', namesOf('')]]),
      new Map([['l', namesOf('one-more.example.com\n')]]),
      0,
    ],
    ['1,000 lists', lists(1000), change, 0],
    ['10^4 lists', lists(10_000), change, 0],
    ['10^4 lists, 10^4 policies', lists(10_000), change, 10_000],
  ])) {
    const at = await house();
    await released(at.publisher, all);
    if (policies > 0) await withPolicies(at.publisher, policies);
    const { wire, commitMs } = await pushedTo(at, one);
    await at.close();
    rows.push([name, grouped(wire), ms(commitMs)]);
  }
  process.stdout.write('\nOne list gains an entry: all bytes, with OFFER, signature and frames.\n\n');
  process.stdout.write(table(['in', 'bytes', 'commit, ms'], rows));
}

/** So many policies, each of a qube and with two lists. @param {import('@rulecast/publisher').Publisher} publisher @param {number} count */
async function withPolicies(publisher, count) {
  const policies = Object.fromEntries(
    Array.from({ length: count }, (_, i) => [
      `qube-${i}`,
      {
        prefixes: [dottedQuad(0x0a89_0000 + i)],
        egress: [`drop dst=@blocklist-${i}`, `accept dst4=192.0.2.${i % 256} proto=tcp dstports=443`],
      },
    ]),
  );
  const bytes = new TextEncoder().encode(JSON.stringify({ unmatched: 'drop', policies }));
  const input = { action: 'replace', list: undefined, policy: undefined, replaceAll: false };
  const files = [{ name: 'policies.json', role: 'pushed', bytes }];
  const outcome = await publisher.push(
    /** @type {import('@rulecast/publisher').PushInput} */ ({ ...input, files }),
    {
      permits: new Set(['unreachable', 'accept-all', 'drop-all']),
    },
  );
  if (outcome.kind !== 'released') throw new Error(`the policies are ${outcome.kind}`);
}

/** Hosts as a list. @param {readonly number[]} words @returns {List} */
function prefixesOf(words) {
  const builder = new PrefixBuilder(4, words.length);
  for (const word of words) builder.push4(word, 32);
  return { kind: 'prefixes', v4: canonicalPrefixes(builder.build()), v6: new PrefixBuilder(6).build() };
}

// ── Catching up ────────────────────────────────────────────────────────────────────────────────────────────

/** Lists of which entries leave and come back, as those of feeds do. */
async function catchUps() {
  const rows = [];
  rows.push(await caughtUp('tor-exit-nodes.lst, 2 % each', versionsOf('tor-exit-nodes.lst', 17, 0.02)));
  rows.push(await caughtUp('scam-plain.txt (names), 1 % each', versionsOf('scam-plain.txt', 13, 0.01)));
  const files = readdirSync(fileURLToPath(LISTS)).sort();
  const each = files.map((file) => versionsOf(file, 10, 0.01));
  const mixed = Array.from({ length: 10 }, (_, i) => each.map((versions) => versions[i] ?? new Map())).flat();
  const firsts = new Map(each.flatMap((versions) => [...(versions[0] ?? [])]));
  rows.push(
    await caughtUp(`${files.length} lists in turn, 1 % each`, [firsts, ...mixed.slice(files.length)]),
  );
  let { words } = millionHosts(1_000_000, 7);
  const million = [new Map([['l', prefixesOf(words)]])];
  for (let i = 0; i < 20; i++) {
    words = churned(words, 500, 100 + i);
    million.push(new Map([['l', prefixesOf(words)]]));
  }
  rows.push(await caughtUp('1M random /32, 500 + 500 each', million));
  process.stdout.write(
    '\nWho comes back after some releases: chain is all deltas between, direct the one delta between both states.\n\n',
  );
  process.stdout.write(table(CAUGHT_UP_HEAD, rows));
}

/**
 * Versions of a list, of which a tenth is away at any time. @param {string} file @param {number} count @param {number} share
 * @returns {readonly ReadonlyMap<string, List>[]}
 */
function versionsOf(file, count, share) {
  const lines = textsOf(listOf(readFileSync(new URL(file, LISTS), 'utf8')));
  const next = seededNumbers(lines.length);
  const tenth = Math.ceil(lines.length / 10);
  let both = { present: lines.slice(tenth), absent: lines.slice(0, tenth) };
  return Array.from({ length: count }, () => {
    const { list } = importList('', new TextEncoder().encode(`${both.present.join('\n')}\n`), {
      format: 'plain',
    });
    both = churnedLines(both.present, both.absent, share, next);
    return new Map([[file, list]]);
  });
}

// ── A cut snapshot ─────────────────────────────────────────────────────────────────────────────────────────

async function cuts() {
  const lists = new Map([['l', prefixesOf(millionHosts(2_000_000, 7).words)]]);
  const rows = [await cut(lists, 0.5), await cut(lists, 0.9)];
  process.stdout.write('\nA snapshot of 2M random /32 over two connections, all bytes of both.\n\n');
  process.stdout.write(table(CUT_HEAD, rows));
}

// ── Names ──────────────────────────────────────────────────────────────────────────────────────────────────

/** Rows for the fixtures; `bench -- names FILE…` is for longer lists, with the times. */
function namesRows() {
  const [before, after] = versionsOf('scam-plain.txt', 2, 0.05).map((lists) => ({
    ...EMPTY_RULE_SET,
    lists,
  }));
  if (before === undefined || after === undefined) throw new Error('two versions');
  const { addedCount, removedCount } = changeOf(before, after);
  /** @param {RuleSet} from @param {RuleSet} to @param {number} count */
  const row = (from, to, count) => {
    const bytes = encodeDelta(diffRuleSets(from, to)).length;
    const text = `${(from === EMPTY_RULE_SET ? textsOf(to) : changedLines(from, to)).join('\n')}\n`;
    return [grouped(count), grouped(bytes), (bytes / count).toFixed(2), grouped(brotliBytes(text, 11))];
  };
  process.stdout.write('\nNames of scam-plain.txt, whole and as a delta.\n\n');
  process.stdout.write(
    table(
      ['what', 'names', 'bytes', 'a name', 'brotli 11 of the text'],
      [
        ['whole', ...row(EMPTY_RULE_SET, after, countOf(after))],
        ['delta', ...row(before, after, addedCount + removedCount)],
      ],
    ),
  );
}

// ── Encodings ──────────────────────────────────────────────────────────────────────────────────────────────

/** @param {number} runs */
function encodings(runs) {
  process.stdout.write(
    '\nBytes an entry: of a snapshot each entry, name or rule, of a delta each one that is added or removed. Ours has the signed\n' +
      'manifest and all frames in it. Raw is 5 or 17 bytes a prefix, a byte and its characters for a name, canonical bytes for a policy.\n' +
      'JSON, MessagePack and brotli hold the sorted text. Entropy is what it takes to say which of all possible contents of this size it\n' +
      'is; nested, to say byte by byte of the addresses which of the 256 below are occupied, their number being known already: what a code\n' +
      'needs that knows where a list is dense, and nothing else of it.\n\n',
  );
  const rows = [];
  for (const workload of workloads()) rows.push(rowOf(workload, runs));
  process.stdout.write(table(HEAD, rows));
}

const HEAD = [
  'content',
  'entries',
  'ours, bytes',
  'ours',
  'raw',
  'JSON',
  'MessagePack',
  'brotli 5',
  'brotli 11',
  'entropy',
  'nested',
  'encode, ms',
  'apply, ms',
];

// ── Contents ───────────────────────────────────────────────────────────────────────────────────────────────

/** @returns {Iterable<Workload>} */
function* workloads() {
  const million = millionHosts(1_000_000, 7);
  const hosts = listOf(million.text);
  yield snapshot('1M random /32', hosts, combinationBytes(2 ** 32, countOf(hosts)));
  yield snapshot('2^18 x /30', seedList(), undefined);
  /** @type {RuleSet[]} */
  const prefixLists = [];
  /** @type {RuleSet[]} */
  const networkLists = [];
  for (const file of readdirSync(fileURLToPath(LISTS)).sort()) {
    const list = listOf(readFileSync(new URL(file, LISTS), 'utf8'));
    yield snapshot(file, list, undefined);
    if (list.lists.get('l')?.kind !== 'prefixes') continue;
    prefixLists.push(list);
    if (!HOST_LISTS.includes(file)) networkLists.push(list);
  }
  yield snapshot('lists of networks, merged', merged(networkLists), undefined);
  yield snapshot('those and lists of hosts, merged', merged(prefixLists), undefined);
  yield snapshot('2^18 rules', policyOf(seedPolicy()), undefined);
  const after = listOf(textOf(churned(million.words, 1000, 11)));
  yield delta('1k + 1k on 1M', hosts, after, deltaEntropy(hosts, after));
  for (const file of ['ipsum-level3.txt', 'country-ru-ipv4.netset']) {
    const lines = textsOf(listOf(readFileSync(new URL(file, LISTS), 'utf8')));
    yield delta(`8 % churn of ${file}`, listOf(without(lines, 3)), listOf(without(lines, 5)), undefined);
  }
}

/**
 * @param {string} name @param {RuleSet} after @param {number | undefined} entropyBytes @returns {Workload}
 */
function snapshot(name, after, entropyBytes) {
  return { name, before: EMPTY_RULE_SET, after, entropyBytes };
}

/**
 * @param {string} name
 * @param {RuleSet} before
 * @param {RuleSet} after
 * @param {number | undefined} entropyBytes
 * @returns {Workload}
 */
function delta(name, before, after, entropyBytes) {
  return { name, before, after, entropyBytes };
}

/** @param {string} text @returns {RuleSet} */
function listOf(text) {
  const { list } = importList('', new TextEncoder().encode(text), { format: 'plain' });
  return { ...EMPTY_RULE_SET, lists: new Map([['l', list]]) };
}

/** @param {string} text @returns {RuleSet} */
function policyOf(text) {
  const { runs } = parseRuleLines(new TextEncoder().encode(text), 'egress', 0);
  return {
    ...EMPTY_RULE_SET,
    policies: new Map([['default', { ...emptyPolicy('default'), egress: runs }]]),
  };
}

/** 172.16.0.0 to 172.31.255.255, by /30. @returns {RuleSet} */
function seedList() {
  const builder = new PrefixBuilder(4, 2 ** 18);
  for (let i = 0; i < 2 ** 18; i++) builder.push4(0xac10_0000 + i * 4, 30);
  return ruleSetOf(builder.build(), new PrefixBuilder(6).build());
}

/** @param {Prefixes} v4 @param {Prefixes} v6 @returns {RuleSet} */
function ruleSetOf(v4, v6) {
  return { ...EMPTY_RULE_SET, lists: new Map([['l', { kind: 'prefixes', v4, v6 }]]) };
}

/** @param {readonly RuleSet[]} all @returns {RuleSet} */
function merged(all) {
  const builders = [new PrefixBuilder(4), new PrefixBuilder(6)];
  for (const ruleSet of all) {
    for (const list of ruleSet.lists.values()) {
      if (list.kind !== 'prefixes') continue;
      [list.v4, list.v6].forEach(({ words, lengths }, family) => {
        for (let i = 0; i < lengths.length; i++) builders[family]?.push(words, i, lengths[i] ?? 0);
      });
    }
  }
  const [v4, v6] = builders.map((builder) => canonicalPrefixes(builder.build()));
  if (v4 === undefined || v6 === undefined) throw new Error('two families were expected');
  return ruleSetOf(v4, v6);
}

/**
 * All lines but about four in a hundred: two such lists differ in twice as many.
 * @param {readonly string[]} lines
 * @param {number} seed
 */
function without(lines, seed) {
  const next = seededWords(seed);
  for (let i = 0; i < 8; i++) next(); // xorshift needs a few steps to leave a small seed behind
  return `${lines.filter(() => next() % 25 !== 0).join('\n')}\n`;
}

// ── Entropy ────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * What it takes to say which `chosen` of `all`: log2 of the binomial coefficient, in bytes.
 * @param {number} all
 * @param {number} chosen
 */
function combinationBytes(all, chosen) {
  let bits = 0;
  for (let i = 0; i < chosen; i++) bits += Math.log2((all - i) / (i + 1));
  return bits / 8;
}

/**
 * The nested entropy of the lists of prefixes of a rule set, in bytes: for every group of prefixes of one
 * length below one node at a byte of the address, and for every node above with nodes below, which of those
 * possible there are. Undefined for other content.
 * @param {RuleSet} ruleSet
 */
function nestedBytes(ruleSet) {
  let bytes = 0;
  for (const list of ruleSet.lists.values()) {
    if (list.kind !== 'prefixes') return undefined;
    for (const column of [list.v4, list.v6]) bytes += nestedBytesOf(column);
  }
  return ruleSet.policies.size > 0 ? undefined : bytes;
}

/** @param {import('@rulecast/rules').Prefixes} column */
function nestedBytesOf(column) {
  const stride = column.family === 4 ? 1 : 4;
  /**
   * @type {Map<string, number>} How many prefixes of a length are below a node: by length, the node's depth
   *   and address.
   */
  const leaves = new Map();
  /** @type {Map<number, Set<string>>} The nodes at each byte that have something below. */
  const nodes = new Map();
  for (let i = 0; i < column.lengths.length; i++) {
    const length = column.lengths[i] ?? 0;
    const depth = Math.max(0, Math.ceil(length / 8) - 1);
    let address = '';
    for (let w = 0; w < stride; w++) {
      address += (column.words[i * stride + w] ?? 0).toString(16).padStart(8, '0');
    }
    for (let d = 0; d <= depth; d++) {
      const level = nodes.get(d) ?? new Set();
      nodes.set(d, level.add(address.slice(0, 2 * d)));
    }
    const key = `${length} ${depth} ${address.slice(0, 2 * depth)}`;
    leaves.set(key, (leaves.get(key) ?? 0) + 1);
  }
  let bytes = 0;
  for (const [key, count] of leaves) {
    const [length = 0, depth = 0] = key.split(' ').map(Number);
    bytes += combinationBytes(2 ** (length - 8 * depth), count);
  }
  for (const [depth, level] of nodes) {
    /** @type {Map<string, number>} */
    const below = new Map();
    if (depth === 0) continue;
    for (const node of level) below.set(node.slice(0, -2), (below.get(node.slice(0, -2)) ?? 0) + 1);
    for (const count of below.values()) bytes += combinationBytes(256, count);
  }
  return bytes;
}

/** @param {RuleSet} before @param {RuleSet} after */
function deltaEntropy(before, after) {
  const { addedCount, removedCount } = changeOf(before, after);
  const old = countOf(before);
  return combinationBytes(old, removedCount) + combinationBytes(2 ** 32 - old, addedCount);
}

/** @param {RuleSet} before @param {RuleSet} after */
function changeOf(before, after) {
  const [change] = diffRuleSets(before, after).changes;
  if (change === undefined) throw new Error('a change was expected');
  return change;
}

/** Entries or rules in all. @param {RuleSet} ruleSet */
function countOf(ruleSet) {
  return allParts(ruleSet).reduce((sum, part) => sum + partCount(part), 0);
}

// ── Ours ───────────────────────────────────────────────────────────────────────────────────────────────────

/** @param {Workload} workload @param {number} runs */
function rowOf({ name, before, after, entropyBytes }, runs) {
  const change = changeOf(before, after);
  const entries = change.addedCount + change.removedCount;
  const encodeMs = [];
  const applyMs = [];
  let bytes = new Uint8Array(0);
  for (let i = 0; i < runs; i++) {
    globalThis.gc?.();
    const diff = diffRuleSets(before, after);
    const start = performance.now();
    bytes = Uint8Array.from(encodeDelta(diff));
    encodeMs.push(performance.now() - start);
    const received = performance.now();
    const applied = applyDelta(before, bytes);
    applyMs.push(performance.now() - received);
    if (diffRuleSets(after, applied).changes.length > 0) throw new Error(`${name} came out another`);
  }
  const ours = wireBytes(bytes, before, after);
  /** @param {number | undefined} all */
  const each = (all) => (all === undefined ? '-' : (all / entries).toFixed(3));
  return [
    name,
    grouped(entries),
    grouped(ours),
    each(ours),
    ...othersOf(before, after).map(each),
    each(entropyBytes),
    each(before === EMPTY_RULE_SET && name !== '1M random /32' ? nestedBytes(after) : undefined),
    ms(median(encodeMs)),
    ms(median(applyMs)),
  ];
}

/**
 * All bytes of the publisher's frames for this release.
 * @param {Uint8Array} deltaBytes
 * @param {RuleSet} before
 * @param {RuleSet} after
 */
function wireBytes(deltaBytes, before, after) {
  const lineage = new Uint8Array(16);
  const created = { lineage, createdAtMs: 1_790_000_000_000, epoch: 1 };
  const next = manifestFor(after, { ...created, version: 2, previousVersion: 1 });
  const manifest = encodeManifest(next);
  const signatures = signBytes(manifest, generateKeyPairSync('ed25519').privateKey);
  const stream = encodeChain([deltaBytes]);
  const encoder = new FrameEncoder();
  let sum = 0;
  /** @param {import('@rulecast/protocol').Message} message */
  const send = (message) => {
    const { type, body } = encodeMessage(message);
    sum += encoder.frame(type, 0, body).length;
  };
  send({ kind: 'offer', signatures, content: manifest });
  send({ kind: 'begin', bytes: stream.length, snapshot: before === EMPTY_RULE_SET ? true : undefined });
  for (let at = 0; at < stream.length; at += CHUNK_BYTES) {
    send({ kind: 'chunk', bytes: stream.subarray(at, at + CHUNK_BYTES) });
  }
  send({ kind: 'end' });
  return sum;
}

// ── The others ─────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Raw, JSON, MessagePack, brotli 5 and 11.
 * @param {RuleSet} before
 * @param {RuleSet} after
 * @returns {readonly (number | undefined)[]}
 */
function othersOf(before, after) {
  const lines = before === EMPTY_RULE_SET ? textsOf(after) : changedLines(before, after);
  const text = `${lines.join('\n')}\n`;
  return [
    after.policies.size > 0 ? canonicalSize(after) : lines.reduce((sum, line) => sum + rawBytes(line), 0),
    JSON.stringify(lines).length,
    messagePackBytes(lines),
    brotliBytes(text, 5),
    text.length <= BROTLI_BEST_MAX_BYTES ? brotliBytes(text, 11) : undefined,
  ];
}

/**
 * What a person would write: one entry or rule a line, hosts without their length.
 * @param {RuleSet} ruleSet
 * @returns {string[]}
 */
function textsOf(ruleSet) {
  if (ruleSet.policies.size > 0) return seedPolicy().trim().split('\n');
  return [...ruleSet.lists.values()].flatMap((list) =>
    list.kind === 'names' ? [...nameTexts(list.names)] : [list.v4, list.v6].flatMap(columnTexts),
  );
}

/** @param {Prefixes} column */
function columnTexts(column) {
  const hostSuffix = column.family === 4 ? '/32' : '/128';
  return Array.from(column.lengths, (_, i) => formatPrefixAt(column, i).replace(hostSuffix, ''));
}

/**
 * `-` and what is removed, `+` and what is added, in order. @param {RuleSet} before @param {RuleSet} after
 */
function changedLines(before, after) {
  const old = textsOf(before);
  const next = textsOf(after);
  const [oldSet, nextSet] = [new Set(old), new Set(next)];
  const removed = old.filter((line) => !nextSet.has(line)).map((line) => `-${line}`);
  return [...removed, ...next.filter((line) => !oldSet.has(line)).map((line) => `+${line}`)];
}

/** @param {string} line */
function rawBytes(line) {
  if (line.includes(':')) return 17;
  return /^[-+]?[0-9.]+(?:\/\d+)?$/.test(line) ? 5 : 1 + line.length;
}

/** @param {RuleSet} ruleSet */
function canonicalSize(ruleSet) {
  return allParts(ruleSet).reduce((sum, part) => sum + canonicalBytes(part).length, 0);
}

/**
 * An array 32 of fixstr and str 8, as the MessagePack specification says. @param {readonly string[]} lines
 */
function messagePackBytes(lines) {
  return lines.reduce((sum, line) => sum + (line.length < 32 ? 1 : 2) + line.length, 5);
}

/** @param {string} text @param {number} quality */
function brotliBytes(text, quality) {
  const bytes = Buffer.from(text);
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: quality,
    [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
    [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
  };
  return brotliCompressSync(bytes, { params }).length;
}
