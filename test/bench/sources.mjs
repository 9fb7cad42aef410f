/**
 * What refreshing a list of a million entries costs the publisher: how long its event loop stalls, how long
 * `rulectl lists refresh` takes until the release is on disk, and its peak memory.
 */

import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { churned, millionHosts, textOf } from '../inputs.mjs';
import { rulectl, startPublisher } from '../processes.mjs';
import { probed, stallOf } from './probed.mjs';
import { grouped, machineLine, median, ms, runsOf, table } from './report.mjs';

const MILLION = 1_000_000;
const DEFAULT_RUNS = 5;

/**
 * @typedef {object} Workload
 * @property {string} name
 * @property {string} lists Under `lists:` in the configuration; `feed.txt` is the file that changes.
 * @property {string} before
 * @property {string} after
 */

/** @returns {readonly Workload[]} */
function workloads() {
  const { words, text } = millionHosts(MILLION, 7);
  const changed = textOf(churned(words, 1000, 11));
  const names = words.map((word, i) => `${word.toString(36)}-${i.toString(36)}.example.com`);
  const file = '  feed: { file: feed.txt, shrink: off, growth: off }\n';
  return [
    { name: '1M hosts, first', lists: file, before: '192.0.2.1\n', after: text },
    { name: '1k + 1k on 1M', lists: file, before: text, after: changed },
    { name: 'no change to 1M', lists: file, before: text, after: text },
    {
      name: '1k + 1k on 1M, through an expression',
      lists: `  feed: { file: feed.txt, publish: false }\n  office: { entries: [10.0.0.0/8] }\n  blocked: { union: feed, minus: office }\n`,
      before: text,
      after: changed,
    },
    {
      name: '1k + 1k on 1M, merged',
      lists: '  feed: { file: feed.txt, mode: merge, entry-ttl: 30d }\n',
      before: text,
      after: changed,
    },
    {
      name: '1M names, first',
      lists: file,
      before: 'example.com\n',
      after: `${names.join('\n')}\n`,
    },
  ];
}

/** @param {readonly string[]} args */
export async function run(args) {
  const runs = runsOf(args, DEFAULT_RUNS);
  process.stdout.write(`${machineLine(runs)}\nOne refresh of a list of a million entries.\n\n`);
  const rows = [];
  for (const workload of workloads()) {
    const measured = [];
    for (let i = 0; i < runs; i++) measured.push(await refreshed(workload));
    rows.push([
      workload.name,
      ms(median(measured.map(({ stallMs }) => stallMs))),
      ms(Math.max(...measured.map(({ stallMs }) => stallMs))),
      grouped(median(measured.map(({ refreshMs }) => refreshMs))),
      grouped(median(measured.map(({ peakMb }) => peakMb))),
    ]);
  }
  const head = [
    'refresh',
    'longest stall, ms',
    'worst run',
    'rulectl lists refresh, ms',
    'publisher peak RSS, MB',
  ];
  process.stdout.write(table(head, rows));
}

/** @param {Workload} workload */
async function refreshed({ lists, before, after }) {
  const directory = mkdtempSync(join(tmpdir(), 'rulecast-refresh-'));
  const file = join(directory, 'stall');
  /** @param {string} text */
  const place = (text) => {
    writeFileSync(join(directory, 'next'), text);
    renameSync(join(directory, 'next'), join(directory, 'feed.txt'));
  };
  place(before);
  writeFileSync(join(directory, 'publisher.yaml'), `lists:\n${lists}`);
  const own = ['--config', join(directory, 'publisher.yaml')];
  const publisher = await probed(file, () => startPublisher(directory, own));
  const { pid } = publisher.process;
  let refreshMs = 0;
  let peakMb = 0;
  try {
    await refresh(directory); // the first release is made, and what runs next is compiled
    publisher.process.kill('SIGUSR2');
    place(after);
    refreshMs = await refresh(directory);
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    peakMb = Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1000;
  } finally {
    await publisher.stop();
  }
  const { stallMs } = stallOf(file, publisher.process);
  rmSync(directory, { recursive: true, force: true });
  return { stallMs, refreshMs, peakMb };
}

/** @param {string} directory */
async function refresh(directory) {
  const { code, stdout, stderr, ms: tookMs } = await rulectl(directory, ['lists', 'refresh']);
  if (code !== 0) throw new Error(`rulectl lists refresh ended with ${code}: ${stdout}${stderr}`);
  return tookMs;
}
