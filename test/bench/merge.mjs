/**
 * A change of 1k + 1k in a list of ten million hosts, as a subscriber makes it once it has decoded it: merged
 * into the columns, then edited in the table, then flipped.
 */

import {
  applyPrefixesDelta,
  canonicalPrefixes,
  diffPrefixes,
  EMPTY_RULE_SET,
  emptyPolicy,
  emptyPrefixes,
  PrefixBuilder,
  plainRule,
  prefixListOf,
  RunBuilder,
} from '@rulecast/rules';
import { Table } from '@rulecast/table';
import { seededWords } from '../kit/random.mjs';
import { grouped, machineLine, median, ms, runsOf, table } from './report.mjs';

const HOSTS = 10_000_000;
const CHANGES = 1000;
const ENVIRONMENT = { now: 0, dns: [] };
const NOTHING = diffPrefixes(emptyPrefixes(6), emptyPrefixes(6));

/** @typedef {import('@rulecast/rules').Prefixes} Hosts */

/** @param {readonly string[]} args */
export async function run(args) {
  const runs = runsOf(args, 9);
  process.stdout.write(`${machineLine(runs)}\n1k + 1k in ${grouped(HOSTS)} random hosts, milliseconds.\n\n`);
  const next = seededWords(5);
  let hosts = hostsOf(Uint32Array.from({ length: HOSTS }, next));
  const compiled = new Table();
  let list = listOf(hosts);
  compiled.flip(compiled.prepare(ruleSetOf(list), ENVIRONMENT));
  /** @type {Readonly<Record<'merge' | 'edit' | 'flip' | 'all', number[]>>} */
  const times = { merge: [], edit: [], flip: [], all: [] };
  for (let i = 0; i < runs; i++) {
    const words = hosts.words.slice();
    const stride = Math.floor(words.length / CHANGES);
    for (let change = 0; change < CHANGES; change++) words[change * stride] = next();
    const delta = diffPrefixes(hosts, hostsOf(words));
    const marks = [performance.now()];
    hosts = applyPrefixesDelta(hosts, delta);
    marks.push(performance.now());
    const after = listOf(hosts);
    const changes = new Map([['hosts', { before: list, after, v4: delta, v6: NOTHING }]]);
    const prepared = compiled.prepare(ruleSetOf(after), ENVIRONMENT, changes);
    list = after;
    marks.push(performance.now());
    compiled.flip(prepared);
    marks.push(performance.now());
    const [began = 0, merged = 0, edited = 0, flipped = 0] = marks;
    times.merge.push(merged - began);
    times.edit.push(edited - merged);
    times.flip.push(flipped - edited);
    times.all.push(flipped - began);
  }
  const rows = Object.entries(times).map(([stage, all]) => [
    stage,
    ...[median(all), Math.min(...all), Math.max(...all)].map(ms),
  ]);
  process.stdout.write(table(['stage', 'median', 'quickest', 'slowest'], rows));
}

/** @param {Uint32Array} words @returns {Hosts} */
function hostsOf(words) {
  const builder = new PrefixBuilder(4, words.length);
  for (let i = 0; i < words.length; i++) builder.push(words, i, 32);
  return canonicalPrefixes(builder.build());
}

/** @param {Hosts} hosts */
function listOf(hosts) {
  return prefixListOf({ v4: hosts, v6: emptyPrefixes(6) });
}

/** @param {import('@rulecast/rules').List} list @returns {import('@rulecast/rules').RuleSet} */
function ruleSetOf(list) {
  const runs = new RunBuilder();
  runs.push({ ...plainRule('drop'), remote: { kind: 'list', list: 'hosts' } });
  runs.push(plainRule('accept'));
  const policy = { ...emptyPolicy('default'), egress: runs.build() };
  return { ...EMPTY_RULE_SET, policies: new Map([['default', policy]]), lists: new Map([['hosts', list]]) };
}
