/**
 * How long the event loops of publisher and subscriber stall during one push: heartbeats and others' releases
 * wait so long.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { churned, millionHosts, seedPolicy, textOf } from '../inputs.mjs';
import { PERMITTED, rulectl, startPublisher } from '../processes.mjs';
import { networkOf, startBenched } from './enforced.mjs';
import { probed, stallOf } from './probed.mjs';
import { machineLine, median, ms, runsOf, table } from './report.mjs';

/**
 * @typedef {{ readonly name: string, readonly file: string, readonly text: string, readonly before: string | undefined }}
 *   Workload
 */

/** @returns {readonly Workload[]} */
function workloads() {
  const million = millionHosts(1_000_000, 7);
  return [
    { name: '1M random /32', file: 'hosts.txt', text: million.text, before: undefined },
    {
      name: '1k + 1k on 1M',
      file: 'hosts.txt',
      text: textOf(churned(million.words, 1000, 11)),
      before: million.text,
    },
    { name: '2^18 rules', file: 'seed.rules', text: seedPolicy(), before: undefined },
    { name: '10^4 policies, all of them', file: 'all.json', text: policies(444), before: policies(443) },
  ];
}

/** Ten thousand policies, each with a list of its own. @param {number} port */
function policies(port) {
  const all = Array.from({ length: 10_000 }, (_, i) => i);
  return JSON.stringify({
    unmatched: 'drop',
    lists: Object.fromEntries(all.map((i) => [`list-${i}`, { entries: [`11.${i >> 8}.${i & 255}.7`] }])),
    policies: Object.fromEntries(
      all.map((i) => {
        const egress = [`drop dst=@list-${i}`, `accept dst4=192.0.2.${i % 256} proto=tcp dstports=${port}`];
        return [`qube-${i}`, { prefixes: [`10.137.${i >> 8}.${i & 255}`], egress, default: 'accept' }];
      }),
    ),
  });
}

/**
 * @param {readonly string[]} args `--only WORDS`: workloads with these words in their name. `--enforce`, as
 *   root: the subscriber enforces.
 */
export async function run(args) {
  const runs = runsOf(args, 5);
  const only = args.includes('--only') ? (args[args.indexOf('--only') + 1] ?? '') : '';
  const network = await networkOf(args);
  const what = `Longest stall during one push${network ? ', enforced' : ''}, in milliseconds.`;
  process.stdout.write(`${machineLine(runs)}\n${what}\n\n`);
  const rows = [];
  for (const workload of workloads().filter(({ name }) => name.includes(only))) {
    const stalls = [];
    for (let i = 0; i < runs; i++) stalls.push(await stallsOf(workload, network));
    rows.push([
      workload.name,
      ms(median(stalls.map((stall) => stall.publisher))),
      ms(median(stalls.map((stall) => stall.subscriber))),
    ]);
  }
  process.stdout.write(table(['workload', 'publisher', 'subscriber'], rows));
  await network?.close();
}

/** @param {Workload} workload @param {Awaited<ReturnType<typeof networkOf>>} network */
async function stallsOf(workload, network) {
  const directory = mkdtempSync(join(tmpdir(), 'rulecast-stalls-'));
  const file = join(directory, 'stall');
  const publisher = await probed(file, () => startPublisher(directory));
  const subscriber = await probed(file, () => startBenched(directory, network));
  try {
    await publisher.logged((line) => line['msg'] === 'subscriber connected');
    // Warm: workers started, code compiled, a rule that uses the list in force.
    await push(directory, 'warm.txt', '192.0.2.1\n'.repeat(20_000));
    if (workload.file === 'hosts.txt') {
      await push(directory, 'hosts.txt', workload.before ?? '192.0.2.1\n');
      await push(directory, 'policy.rules', 'drop dst=@hosts\naccept\n');
    } else if (workload.before !== undefined) await push(directory, workload.file, workload.before);
    publisher.process.kill('SIGUSR2');
    subscriber.process.kill('SIGUSR2');
    await push(directory, workload.file, workload.text);
  } finally {
    await subscriber.stop();
    await publisher.stop();
  }
  const [published, received] = [publisher, subscriber].map(
    (daemon) => stallOf(file, daemon.process).stallMs,
  );
  const result = { publisher: published ?? 0, subscriber: received ?? 0 };
  rmSync(directory, { recursive: true, force: true });
  return result;
}

/** @param {string} directory @param {string} file @param {string} text */
async function push(directory, file, text) {
  const path = join(directory, file);
  writeFileSync(path, text);
  const { code, stdout, stderr } = await rulectl(directory, ['push', path, ...PERMITTED]);
  if (code !== 0) throw new Error(`rulectl push ${file} ended with ${code}: ${stdout}${stderr}`);
}
