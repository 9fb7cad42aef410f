/**
 * `npm run bench -- names [FILE…] [--runs N]`: bytes and time of lists of names, as they travel, beside xz
 * and zstd of the same text; an import of a million names, and a delta of it. Files are lists of names as
 * text; several are versions of one list, the oldest first. Without any, the lists of names among the
 * fixtures are joined.
 */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { importList } from '@rulecast/formats';
import { applyDelta, diffRuleSets, encodeDelta, encodeSnapshot } from '@rulecast/protocol';
import { EMPTY_RULE_SET, NO_NAME_SET, nameListOf, nameSetOf, nameTexts, unionNames } from '@rulecast/rules';
import { seededWords } from '../kit/random.mjs';
import { grouped, machineLine, median, ms, runsOf, table } from './report.mjs';

/** @typedef {import('@rulecast/rules').Names} Names */

const FIXTURES = new URL('../fixtures/', import.meta.url);
const LISTS = [
  'feeds/anudeep-adservers.hosts',
  'feeds/drugs-adblock.txt',
  'feeds/adaway.hosts',
  'feeds/scam.hosts',
  'feeds/ransomware.dnsmasq.conf',
  'lists/scam-plain.txt',
];
const MILLION = 1_000_000;
const CHANGED = 1_000;

/** @param {readonly string[]} args */
export function run(args) {
  const runs = runsOf(args, 5);
  const files = args.filter((arg, i) => !arg.startsWith('--') && args[i - 1] !== '--runs');
  process.stdout.write(`${machineLine(runs)}Times are CPU time.\n\n`);
  const versions = files.length === 0 ? [fixtures()] : files.map((file) => namesIn(file, readFileSync(file)));
  const names = versions[0] ?? fixtures();
  whole(names, runs);
  if (versions.length > 1) changes(versions);
  million(names, runs);
}

/** @param {string} file @param {Uint8Array} bytes */
function namesIn(file, bytes) {
  const { list } = importList(file, bytes, { kind: 'names' });
  if (list.kind !== 'names') throw new TypeError(`${file} is no list of names`);
  return list.names;
}

/** All names of the fixtures. */
export function fixtures() {
  const sets = LISTS.map((file) => nameSetOf(namesIn(file, readFileSync(new URL(file, FIXTURES)))));
  return sets.reduce(unionNames, NO_NAME_SET).names;
}

/** @param {Names} names */
function ruleSetOf(names) {
  const list = /** @type {const} */ ({ kind: 'names', ...nameSetOf(names), resolve: false });
  return { ...EMPTY_RULE_SET, lists: new Map([['names', list]]) };
}

/**
 * The median CPU time of some work, in ms, and its last result.
 * @template T
 * @param {number} runs
 * @param {() => T} work
 */
function timed(runs, work) {
  const times = [];
  let result = work(); // warms up
  for (let i = 0; i < runs; i++) {
    const start = process.cpuUsage();
    result = work();
    const { user, system } = process.cpuUsage(start);
    times.push((user + system) / 1000);
  }
  return { cpuMs: median(times), result };
}

/** @param {Names} names @param {number} runs */
function whole(names, runs) {
  const text = Buffer.from(`${[...nameTexts(names)].sort().join('\n')}\n`);
  const made = timed(runs, () => encodeSnapshot(ruleSetOf(names)));
  const read = timed(runs, () => applyDelta(EMPTY_RULE_SET, made.result));
  const { count } = names;
  /** @param {string} what @param {number | undefined} bytes */
  const row = (what, bytes) =>
    bytes === undefined
      ? [what, 'not installed', '', '', '']
      : [what, grouped(bytes), (bytes / count).toFixed(2), '', ''];
  const rates = [made, read].map(({ cpuMs }) => `${(count / cpuMs / 1000).toFixed(2)} M/s`);
  const own = row('ours', made.result.length).slice(0, 3);
  process.stdout.write(
    table(
      [`${grouped(count)} names`, 'bytes', 'a name', 'encode', 'decode'],
      [
        row('text, sorted', text.length),
        row('xz -9e of it', packed('xz', ['-9e'], text)),
        row('zstd -19 of it', packed('zstd', ['-19'], text)),
        row('ours, nothing deflated', encodeSnapshot(ruleSetOf(names), true).length),
        [...own, ...rates],
      ],
    ),
  );
}

/** @param {string} program @param {readonly string[]} options @param {Uint8Array} input */
function packed(program, options, input) {
  const { status, stdout } = spawnSync(program, [...options, '-q', '-c'], { input, maxBuffer: 2 ** 28 });
  return status === 0 ? stdout.length : undefined;
}

/** @param {readonly Names[]} versions */
function changes(versions) {
  const rows = [];
  let all = 0;
  for (const [i, after] of versions.entries()) {
    const before = versions[i - 1];
    if (before === undefined) continue;
    const { changes: edits } = diffRuleSets(ruleSetOf(before), ruleSetOf(after));
    const bytes = encodeDelta({ changes: edits });
    const [edit] = edits;
    all += bytes.length;
    rows.push([
      String(i),
      grouped(edit?.removedCount ?? 0),
      grouped(edit?.addedCount ?? 0),
      grouped(bytes.length),
    ]);
  }
  process.stdout.write(
    `\n${table(['delta', 'removed', 'added', 'bytes'], [...rows, ['all', '', '', grouped(all)]])}`,
  );
}

/** A million crossovers of the names of the fixtures, or of others, as text in no order. */
export function millionText(names = fixtures()) {
  const texts = [...nameTexts(names)];
  const draw = seededWords(0x2545f491);
  const all = new Set();
  while (all.size < MILLION) {
    const [head = '', tail = ''] = [texts[draw() % texts.length], texts[draw() % texts.length]];
    all.add(head.slice(0, head.indexOf('.') + 1) + tail.slice(tail.indexOf('.') + 1));
  }
  return Buffer.from(`${[...all].join('\n')}\n`);
}

/** @param {Names} names @param {number} runs */
function million(names, runs) {
  const text = millionText(names);
  const before = process.memoryUsage.rss();
  const read = timed(runs, () => namesIn('million.txt', text));
  const grown = process.resourceUsage().maxRSS * 1024 - before;
  const list = read.result;
  const added = Array.from({ length: CHANGED }, (_, i) => `host-${i * 7919}.example`);
  const kept = [...nameTexts(list)].filter((_, i) => i % CHANGED !== 1);
  const next = ruleSetOf(nameListOf([...kept, ...added], false).names);
  const old = ruleSetOf(list);
  const diff = timed(runs, () => diffRuleSets(old, next));
  const encoded = timed(runs, () => encodeDelta(diff.result));
  const applied = timed(runs, () => applyDelta(old, encoded.result));
  const made = timed(1, () => encodeSnapshot(old));
  const taken = timed(1, () => applyDelta(EMPTY_RULE_SET, made.result));
  process.stdout.write(
    `\n${table(
      [`${grouped(list.count)} crossovers of them`, 'ms', 'bytes'],
      [
        ['import, from text in no order', ms(read.cpuMs), `+${grouped(grown / 2 ** 20)} MiB at the most`],
        ['snapshot, encoded', ms(made.cpuMs), grouped(made.result.length)],
        ['snapshot, decoded', ms(taken.cpuMs), grouped(list.bytes.length)],
        [`1,000 out and ${grouped(CHANGED)} in: compared`, ms(diff.cpuMs), ''],
        ['the delta, encoded', ms(encoded.cpuMs), grouped(encoded.result.length)],
        ['the delta, decoded and applied', ms(applied.cpuMs), ''],
      ],
    )}`,
  );
}
