/** What pages of `rulectl web` cost with many firewalls and lists: bytes, time to the answer, stalls. */

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { endpointsIn, PERMITTED, startPublisher, trustOf } from '../processes.mjs';
import { entered, startWeb } from '../web/visitor.mjs';
import { manyLists, told } from './metrics.mjs';
import { probed, stallOf } from './probed.mjs';
import { machineLine, median, ms, runsOf, table } from './report.mjs';

const FLEET = fileURLToPath(new URL('fleet-subscribers.mjs', import.meta.url));
/** A probe that is told to has written by then. */
const WRITTEN_MS = 300;
/** What was kept of an answer is too old by then. */
const OLD_MS = 700;
const [FIREWALLS, LISTS] = [200, 1000];
const PAGES = ['', 'lists', 'lists/list-7', 'releases', 'releases/1', 'refused', 'ask?what=11.0.7.7'];

/** @param {readonly string[]} args */
export async function run(args) {
  const runs = runsOf(args, 5);
  process.stdout.write(`${machineLine(runs)}\n${FIREWALLS} firewalls, ${LISTS} lists.\n\n`);
  const directory = mkdtempSync(join(tmpdir(), 'rulecast-web-'));
  const file = join(directory, 'stall');
  const trust = await trustOf(directory);
  const publisher = await startPublisher(directory);
  const { listen, control } = endpointsIn(directory);
  const fleet = fork(FLEET, [listen.replace(/^unix:/, ''), String(FIREWALLS), trust]);
  const { page, link } = await probed(file, () => startWeb(control));
  try {
    await once(fleet, 'message'); // all are welcome
    writeFileSync(join(directory, 'all.json'), manyLists(LISTS));
    await told(directory, ['push', '--wait', 'released', join(directory, 'all.json'), ...PERMITTED]);
    const browser = await entered(link);
    const rows = [];
    for (const path of PAGES) rows.push(await measured(path, browser, runs, file, page));
    process.stdout.write(
      table(
        [
          'page',
          'kB',
          'first, ms',
          'then, ms',
          'of these its own, ms',
          'longest stall, ms',
          'its own, ms',
          'of CPU, ms',
        ],
        rows,
      ),
    );
  } finally {
    page.kill();
    fleet.kill();
    await publisher.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** @typedef {(path: string) => Promise<string>} Browser */

/**
 * @param {string} path @param {Browser} browser @param {number} runs @param {string} file
 * @param {import('node:child_process').ChildProcess} page
 */
async function measured(path, browser, runs, file, page) {
  const asked = async () => {
    const usedMs = usedBy(page);
    const startMs = performance.now();
    const { length } = Buffer.from(await browser(path));
    return { length, tookMs: performance.now() - startMs, usedMs: usedBy(page) - usedMs };
  };
  const first = await asked();
  /** @type {{ tookMs: number, usedMs: number, stallMs: number, ownMs: number, cpuMs: number }[]} */
  const found = [];
  for (let i = 0; i < runs; i++) {
    await pause(OLD_MS);
    page.kill('SIGUSR2');
    const { tookMs, usedMs } = await asked();
    page.kill('SIGUSR2');
    await pause(WRITTEN_MS);
    found.push({ tookMs, usedMs, ...stallOf(file, page) });
  }
  const of = (/** @type {keyof (typeof found)[number]} */ key) => ms(median(found.map((one) => one[key])));
  const name = path === '' ? 'status' : path;
  return [
    name,
    (first.length / 1000).toFixed(1),
    ms(first.tookMs),
    of('tookMs'),
    of('usedMs'),
    of('stallMs'),
    of('ownMs'),
    of('cpuMs'),
  ];
}

/** Milliseconds that its main thread has run. @param {import('node:child_process').ChildProcess} page */
function usedBy({ pid }) {
  return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
}
