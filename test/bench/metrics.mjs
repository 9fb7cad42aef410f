/** What `rulectl metrics` costs with many firewalls, lists and policies: time, bytes and stalls. */

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { endpointsIn, PERMITTED, rulectl, startPublisher, trustOf } from '../processes.mjs';
import { probed, stallOf } from './probed.mjs';
import { grouped, machineLine, median, ms, runsOf, table } from './report.mjs';

const FLEET = fileURLToPath(new URL('fleet-subscribers.mjs', import.meta.url));
/** A probe that is told to has written by then. */
const WRITTEN_MS = 300;
const [FIREWALLS, LISTS, POLICIES] = [200, 960, 100];

/** @param {readonly string[]} args */
export async function run(args) {
  const runs = runsOf(args, 5);
  const what = `${FIREWALLS} firewalls, ${LISTS} lists, ${POLICIES} policies.`;
  process.stdout.write(`${machineLine(runs)}\n${what}\n\n`);
  const directory = mkdtempSync(join(tmpdir(), 'rulecast-metrics-'));
  const file = join(directory, 'stall');
  const trust = await trustOf(directory);
  const publisher = await probed(file, () => startPublisher(directory));
  const fleet = fork(FLEET, [endpointsIn(directory).listen.replace(/^unix:/, ''), String(FIREWALLS), trust]);
  try {
    await once(fleet, 'message'); // all are welcome
    writeFileSync(join(directory, 'all.json'), manyLists(LISTS));
    await told(directory, ['push', '--wait', 'released', join(directory, 'all.json'), ...PERMITTED]);
    await told(directory, ['metrics']); // warm
    /** @type {{ series: number, bytes: number, tookMs: number, stallMs: number, ownMs: number, cpuMs: number }[]} */
    const found = [];
    for (let i = 0; i < runs; i++) {
      publisher.process.kill('SIGUSR2');
      const startMs = performance.now();
      const text = await told(directory, ['metrics']);
      const tookMs = performance.now() - startMs;
      publisher.process.kill('SIGUSR2');
      await pause(WRITTEN_MS);
      const { stallMs, ownMs, cpuMs } = stallOf(file, publisher.process);
      const series = text.split('\n').filter((line) => line !== '' && !line.startsWith('#')).length;
      found.push({ series, bytes: text.length, tookMs, stallMs, ownMs, cpuMs });
    }
    const of = (/** @type {keyof (typeof found)[number]} */ key) => median(found.map((one) => one[key]));
    process.stdout.write(
      table(
        ['series', 'kB', 'rulectl metrics, ms', 'longest stall, ms', 'its own, ms', 'of CPU, ms'],
        [
          [
            grouped(of('series')),
            (of('bytes') / 1000).toFixed(0),
            ...[of('tookMs'), of('stallMs'), of('ownMs'), of('cpuMs')].map(ms),
          ],
        ],
      ),
    );
  } finally {
    fleet.kill();
    await publisher.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** A document of so many lists, all of them in use. @param {number} count */
export function manyLists(count) {
  const lists = Array.from({ length: count }, (_, i) => [
    `list-${i}`,
    { entries: [`11.${i >> 8}.${i & 255}.7`] },
  ]);
  const policies = Array.from({ length: POLICIES }, (_, i) => {
    const egress = [`drop dst=@list-${i}`, 'accept'];
    return [`qube-${i}`, { prefixes: [`10.137.0.${i}`], egress }];
  });
  const common = { egress: lists.map(([name]) => `drop dst=@${name}`) };
  return JSON.stringify({
    unmatched: 'drop',
    lists: Object.fromEntries(lists),
    common,
    policies: Object.fromEntries(policies),
  });
}

/** @param {string} directory @param {readonly string[]} words */
export async function told(directory, words) {
  const { code, stdout, stderr } = await rulectl(directory, words);
  if (code !== 0) throw new Error(`rulectl ${words[0]} ended with ${code}: ${stdout}${stderr}`);
  return stdout;
}
