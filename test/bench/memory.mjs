/**
 * Memory of a subscriber over its life: a million entries pushed anew again and again, then change after
 * change of 1k + 1k, by a real publisher and a real subscriber with state on disk. What is resident, by where
 * it comes from.
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { churned, millionHosts, textOf } from '../inputs.mjs';
import { PERMITTED, rulectl, startPublisher, startSubscriber } from '../processes.mjs';
import { committed } from './committed.mjs';
import { grouped, machineLine, table } from './report.mjs';

const HOSTS = 1_000_000;
const CHANGES = 1000;
/** How often, unless `--pushes` and `--deltas` say otherwise. */
const [PUSHES, DELTAS] = [100, 1000];
/** Lines of the table for each of both. */
const LOOKS = 5;
/** Longer than its threads are kept. */
const REST_MS = 11_000;
const UNIT = new URL('../../packaging/systemd/rulecast-subscriber.service', import.meta.url);
const HEAD = ['after', 'resident, MB', 'at most', 'Node and libraries', 'malloc', 'other anonymous'];

/** @param {readonly string[]} args */
export async function run(args) {
  const [pushes, deltas] = [countOf(args, '--pushes', PUSHES), countOf(args, '--deltas', DELTAS)];
  process.stdout.write(
    `${machineLine(1)}\n${grouped(HOSTS)} hosts in the list, in a rule that drops them.\n\n`,
  );
  const directory = mkdtempSync(join(tmpdir(), 'rulecast-bench-'));
  const publisher = await startPublisher(directory);
  const unit = readFileSync(UNIT, 'utf8');
  const settings = [...unit.matchAll(/^Environment=(MALLOC_\w+|NODE_OPTIONS)=(.*)$/gm)];
  for (const [, name = '', value] of settings) process.env[name] = value;
  const subscriber = await startSubscriber(directory, 'bench', ['--state', join(directory, 'subscriber')]);
  for (const [, name = ''] of settings) delete process.env[name];
  /** @type {string[][]} */
  const rows = [];
  /** @param {string} text */
  const apply = async (text) => {
    const { version } = await committed(directory, text);
    await subscriber.logged(({ msg, version: applied }) => msg === 'applied' && applied === version);
  };
  /** @param {string} after */
  const look = (after) => {
    rows.push([after, ...residentOf(subscriber.process.pid)]);
    process.stderr.write(`${rows.at(-1)?.join(', ')}\n`);
  };
  try {
    await publisher.logged((line) => line['msg'] === 'subscriber connected');
    await committed(directory, '192.0.2.1\n');
    const policy = join(directory, 'policy.rules');
    writeFileSync(policy, 'drop dst=@hosts\naccept\n');
    const { code, stderr } = await rulectl(directory, ['push', policy, ...PERMITTED]);
    if (code !== 0) throw new Error(stderr);
    look('one host');
    let { words } = millionHosts(HOSTS, 7);
    for (let i = 1; i <= pushes; i++) {
      ({ words } = millionHosts(HOSTS, 7 + i));
      await apply(textOf(words));
      if (i === 1 || i % Math.ceil(pushes / LOOKS) === 0) look(`${grouped(i)} pushes of all`);
    }
    await pause(REST_MS);
    look('at rest');
    for (let i = 1; i <= deltas; i++) {
      words = churned(words, CHANGES, 1_000_003 + i);
      await apply(textOf(words));
      if (i === 1 || i % Math.ceil(deltas / LOOKS) === 0) look(`${grouped(i)} changes of 1k + 1k`);
    }
    await pause(REST_MS);
    look('at rest');
  } finally {
    await subscriber.stop();
    await publisher.stop();
    rmSync(directory, { recursive: true, force: true });
  }
  process.stdout.write(table(HEAD, rows));
}

/** @param {readonly string[]} args @param {string} option @param {number} otherwise */
function countOf(args, option, otherwise) {
  const at = args.indexOf(option);
  const count = at < 0 ? otherwise : Number(args[at + 1]);
  if (!Number.isSafeInteger(count) || count < 1)
    throw new RangeError(`${option} takes a whole number from 1 on`);
  return count;
}

/**
 * What is in memory of a process, at most so far, and of that which is now: mapped from files, the heap of
 * malloc in its first arena, and the rest, in which V8 and WebAssembly have theirs; MB.
 * @param {number | undefined} pid
 */
function residentOf(pid) {
  const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  const sums = { file: 0, heap: 0, other: 0 };
  /** @type {keyof typeof sums} */
  let kind = 'other';
  for (const line of readFileSync(`/proc/${pid}/smaps`, 'utf8').split('\n')) {
    const mapping = /^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+\s*(.*)$/.exec(line)?.[1];
    if (mapping !== undefined)
      kind = mapping.startsWith('/') ? 'file' : mapping === '[heap]' ? 'heap' : 'other';
    sums[kind] += Number(/^Rss:\s+(\d+) kB/.exec(line)?.[1] ?? 0);
  }
  const all = sums.file + sums.heap + sums.other;
  return [all, Number(peak), sums.file, sums.heap, sums.other].map((kb) => (kb / 1000).toFixed(0));
}
