/**
 * Hundreds of readers that poll nginx, by the configurations of examples/mirror, at the origin and through
 * the cache of a site: from the moment a head is in place to the moment a reader has the release, beside
 * what arithmetic says; requests and bytes, counted by nginx, which have to be exactly what arithmetic says;
 * and what nginx takes for them.
 */

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, watch, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { objectPath, readDepotHead } from '@rulecast/protocol';
import { churned, millionHosts, textOf } from '../inputs.mjs';
import { makeCertificate, startOrigin, startSite } from '../kit/nginx.mjs';
import { startPublisher, trustOf } from '../processes.mjs';
import { committed } from './committed.mjs';
import { lineChart } from './plot.mjs';
import { grouped, machineLine, median, ms, runsOf, table } from './report.mjs';

const CLIENTS = fileURLToPath(new URL('mirror-clients.mjs', import.meta.url));
const HOSTS = 100_000;
const CHANGES = 1000;
const SEED = 0x3177;
/** Readers wait for a poll of 0.9 to 1.1 times the usual. */
const SPREAD = 0.1;
/** `proxy_cache_valid 200 1s` in whole seconds: a head of second 0 is asked for again in second 2. */
const SITE_MS = 2000;
/**
 * The share of readers that poll between the first and the last head of a release, which takes tens of
 * milliseconds.
 */
const EARLY_SHARE = 0.1;
const SHARE_OFF = 0.15;
const MS_OFF = 1000;
const HEAD = [
  '',
  'p50, ms',
  'model',
  'p99, ms',
  'model',
  'polls/s',
  'model',
  'µs of CPU a poll',
  'an update',
];

/** @typedef {import('../kit/nginx.mjs').Nginx} Nginx */
/** @typedef {import('../kit/nginx.mjs').Served} Served */
/**
 * @typedef {{ readonly waits: readonly number[], readonly pollsPerSecond: number, readonly pollMicros:
 * number, readonly updateMicros: number }} Round
 */

/** @param {readonly string[]} args `--clients N`, `--poll SECONDS`, `--plots DIRECTORY`. */
export async function run(args) {
  const runs = runsOf(args, 5);
  const clients = Number(optionOf(args, '--clients') ?? 500);
  const pollMs = 1000 * Number(optionOf(args, '--poll') ?? 5);
  const plots = optionOf(args, '--plots');
  process.stdout.write(
    `${machineLine(runs)}\n${grouped(clients)} readers, a poll each ${pollMs / 1000} s.\n\n`,
  );
  const directory = mkdtempSync(join(tmpdir(), 'rulecast-mirror-'));
  const depot = join(directory, 'depot');
  const config = join(directory, 'publisher.yaml');
  // No head between two releases: each is a request of every reader.
  writeFileSync(config, `depot: { directory: ${depot}, sign-every: 2m }\n`);
  const publisher = await startPublisher(directory, ['--config', config]);
  const tls = makeCertificate(directory);
  const origin = await startOrigin(join(directory, 'origin'), { depot, tls });
  const site = await startSite(join(directory, 'site'), { origin: origin.port, tls });
  const bench = new Bench(directory, depot, { clients, pollMs, origin });
  const rows = [];
  const curves = [];
  let isRight = true;
  try {
    await bench.release();
    for (const [name, server, delayMs] of /** @type {const} */ ([
      ['at the origin', origin, 0],
      ['at a site', site, SITE_MS],
    ])) {
      const rounds = await bench.rounds(server, runs, [tls.certificate, await trustOf(directory)]);
      const model = modelOf(pollMs, delayMs);
      /** @param {(round: Round) => number} of */
      const middle = (of) => median(rounds.map(of));
      const [p50, p99] = [0.5, 0.99].map((share) => middle(({ waits }) => quantile(waits, share)));
      const [m50, m99] = [0.5, 0.99].map((share) => quantile(model, share));
      for (const [measured = 0, said = 0] of [
        [p50, m50],
        [p99, m99],
      ])
        if (Math.abs(measured - said) > said * SHARE_OFF + MS_OFF) isRight = false;
      rows.push([
        name,
        ...[p50, m50, p99, m99].map((value) => ms(value ?? 0)),
        middle(({ pollsPerSecond }) => pollsPerSecond).toFixed(1),
        (clients / (pollMs / 1000)).toFixed(1),
        middle(({ pollMicros }) => pollMicros).toFixed(0),
        middle(({ updateMicros }) => updateMicros).toFixed(0),
      ]);
      curves.push(
        { name, values: rounds.flatMap(({ waits }) => waits) },
        { name: `${name}, model`, values: model },
      );
    }
  } finally {
    for (const server of [site, origin]) await server.stop();
    await publisher.stop();
    rmSync(directory, { recursive: true, force: true });
  }
  process.stdout.write(`${table(HEAD, rows)}\n${bench.wave}\n`);
  process.stdout.write(`Requests and bytes are exactly those of the model, in all ${2 * runs} rounds.\n`);
  const bound = `${SHARE_OFF * 100} % + ${MS_OFF / 1000} s`;
  process.stdout.write(`p50 and p99 are ${isRight ? 'within' : 'NOT within'} ${bound} of the model.\n`);
  if (plots !== undefined) {
    const title = `From a head in place to a reader that has the release: ${clients} readers, poll ${pollMs / 1000} s`;
    const unit = 'share of readers, by seconds';
    writeFileSync(join(plots, 'mirror.svg'), lineChart({ title, unit, curves: curves.map(cumulative) }));
  }
  if (!isRight) process.exitCode = 1;
}

class Bench {
  /** What one update is, as text. */
  wave = '';
  #words = millionHosts(HOSTS, SEED).words;
  #releases = 0;

  /**
   * @param {string} directory @param {string} depot @param {{ clients: number, pollMs: number, origin: Nginx
   * }} options
   */
  constructor(directory, depot, options) {
    this.directory = directory;
    this.depot = depot;
    this.options = options;
  }

  /** Pushes the list with changes; resolves to when its first head was in place. */
  async release() {
    this.#words = churned(this.#words, this.#releases === 0 ? 0 : CHANGES, SEED + this.#releases);
    this.#releases += 1;
    const watcher = watch(this.depot);
    const placed = new Promise((resolve) => {
      watcher.on(
        'change',
        (_, name) => name === 'head' && resolve(performance.timeOrigin + performance.now()),
      );
    });
    const { version } = await committed(this.directory, textOf(this.#words));
    const atMs = Number(await placed);
    watcher.close();
    return { version, atMs };
  }

  /**
   * @param {Nginx} server @param {number} runs @param {readonly string[]} who A certificate, and a trust
   * line.
   */
  async rounds(server, runs, [ca = '', trust = '']) {
    const { clients, pollMs } = this.options;
    const fleet = fork(CLIENTS, [server.url, ca, String(clients), trust, String(pollMs)]);
    /** @type {Round[]} */
    const rounds = [];
    try {
      await once(fleet, 'message');
      for (let i = 0; i < runs; i++) rounds.push(await this.#round(server, fleet));
    } finally {
      fleet.kill('SIGKILL');
    }
    return rounds;
  }

  /**
   * @param {Nginx} server @param {import('node:child_process').ChildProcess} fleet @returns {Promise<Round>}
   */
  async #round(server, fleet) {
    const { clients, pollMs, origin } = this.options;
    await pause(1.2 * pollMs); // all have the whole page of the release before
    const [before, cpuBefore, fromMs] = [server.served().length, cpuOf(server.worker), performance.now()];
    await pause(2 * pollMs);
    const quiet = server.served().slice(before);
    const [quietMicros, quietMs] = [cpuOf(server.worker) - cpuBefore, performance.now() - fromMs];
    expectEqual('polls without news', quiet.filter(({ status }) => status !== 304).length, 0);

    const [start, originStart, cpuStart] = [
      server.served().length,
      origin.served().length,
      cpuOf(server.worker),
    ];
    const seen = once(fleet, 'message');
    const { atMs } = await this.release();
    const [{ at }] = /** @type {[{ at: readonly number[] }]} */ (await seen);
    await pause(1.2 * pollMs); // those that saw the first page have the second
    const wave = server.served().slice(start);
    const polls = wave.filter(({ status }) => status === 304).length;
    const pollMicros = quietMicros / quiet.length;
    this.#count(wave.filter(({ status }) => status !== 304));
    if (server !== origin) this.#countOnce(origin.served().slice(originStart));
    return {
      waits: at.map((one) => Math.max(0, one - atMs)).sort((a, b) => a - b),
      pollsPerSecond: quiet.length / (quietMs / 1000),
      pollMicros,
      updateMicros: (cpuOf(server.worker) - cpuStart - polls * pollMicros) / clients,
    };
  }

  /**
   * Each reader gets head, page and delta. A release has two heads, the second with more deltas: who polls in
   * between gets both, and both pages.
   * @param {readonly Served[]} wave
   */
  #count(wave) {
    const { clients } = this.options;
    const { head } = readDepotHead(readFileSync(join(this.depot, 'head')));
    const headBytes = statSync(join(this.depot, 'head')).size;
    const page = objectPath(head.page);
    const of = (/** @type {string} */ path) => wave.filter((one) => one.path === path);
    const others = [...new Set(wave.map(({ path }) => path))].filter(
      (path) => path !== '/head' && path !== `/${page}`,
    );
    const sizes = others.map((path) => ({
      path,
      count: of(path).length,
      size: statSync(join(this.depot, path)).size,
    }));
    const delta = sizes.find(({ count }) => count === clients);
    const first = sizes.find((one) => one !== delta);
    const early = { heads: of('/head').length - clients, pages: first?.count ?? 0 };
    if (early.heads > clients * EARLY_SHARE)
      throw new Error(`${early.heads} readers saw a head that was replaced`);
    expectEqual('pages', of(`/${page}`).length, clients);
    expectEqual('deltas', delta?.count ?? 0, clients);
    expectEqual('requests', wave.length, 3 * clients + early.heads + early.pages);
    const pageBytes = head.page.length;
    const bytes = clients * (headBytes + pageBytes + (delta?.size ?? 0));
    const earlyBytes = early.heads * headBytes + early.pages * (first?.size ?? 0);
    expectEqual(
      'bytes',
      wave.reduce((sum, { bodyBytes }) => sum + bodyBytes, 0),
      bytes + earlyBytes,
    );
    this.wave = `An update: a head of ${headBytes} B, a page of ${grouped(pageBytes)} B, a delta of ${grouped(delta?.size ?? 0)} B to each.`;
  }

  /** A site fetches each object once. @param {readonly Served[]} served By the origin. */
  #countOnce(served) {
    const objects = served.filter(({ path }) => path !== '/head').map(({ path }) => path);
    expectEqual('objects fetched twice', objects.length - new Set(objects).size, 0);
  }
}

/**
 * What arithmetic says of how long readers wait, as 10,000 quantiles. @param {number} pollMs @param {number}
 * delayMs
 */
function modelOf(pollMs, delayMs) {
  const waits = [];
  const steps = 100;
  for (let i = 0; i < steps; i++)
    for (let j = 0; j < steps; j++)
      waits.push(pollMs * restOfPoll((i + 0.5) / steps) + (delayMs * (j + 0.5)) / steps);
  return waits.sort((a, b) => a - b);
}

/**
 * The rest of a wait of 1 ± SPREAD that somebody finds who looks at a random time: up to 1 - SPREAD each
 * rest is as likely, and from there on it gets rarer evenly.
 * @param {number} share
 */
function restOfPoll(share) {
  if (share <= 1 - SPREAD) return share;
  return 1 + SPREAD - Math.sqrt(4 * SPREAD * (1 - share));
}

/** @param {readonly number[]} sorted @param {number} share */
function quantile(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

/** @param {{ name: string, values: readonly number[] }} curve */
function cumulative({ name, values }) {
  const sorted = values.toSorted((a, b) => a - b);
  const points = Array.from({ length: 101 }, (_, i) => ({ x: quantile(sorted, i / 100) / 1000, y: i / 100 }));
  return { name, points };
}

/** User and system time of a process, by its scheduler, in microseconds. @param {number} pid */
function cpuOf(pid) {
  return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1000;
}

/** @param {string} what @param {number} measured @param {number} said */
function expectEqual(what, measured, said) {
  if (measured !== said) throw new Error(`${what}: ${measured}, and the model says ${said}`);
}

/** @param {readonly string[]} args @param {string} name */
function optionOf(args, name) {
  const at = args.indexOf(name);
  return at < 0 ? undefined : args[at + 1];
}
