/**
 * From the commit of a release to APPLIED of five subscribers, alone and beside one that is stopped, one on a
 * line of 8 kB/s, and one that attacks (`attacker.mjs`). Seven processes and this one share the machine;
 * quiet and troubled rounds take turns, so that what else it does meets both.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Connection } from '@rulecast/protocol';
import { connect, parseEndpoint } from '@rulecast/vchan';
import { churned, millionHosts, textOf } from '../inputs.mjs';
import { endpointsIn, startPublisher, startSubscriber, startSubscriberOf, trustOf } from '../processes.mjs';
import { machineLine, median, ms, runsOf, table } from './report.mjs';

const HEALTHY = Array.from({ length: 5 }, (_, i) => `healthy-${i + 1}`);
const SEED = 0x5eed12;
const HOSTS = 50_000;
const CHANGES = 1000;
const WARM_UP = 30;
/** Pushes of a round. */
const PUSHES = 60;
const LINE_BYTES = 400;
const LINE_PAUSE_MS = 50;
const ATTACKER = fileURLToPath(new URL('attacker.mjs', import.meta.url));

/** @param {readonly string[]} args */
export async function run(args) {
  const runs = runsOf(args, 5);
  process.stdout.write(machineLine(runs));
  const directory = mkdtempSync(join(tmpdir(), 'rulecast-bystanders-'));
  const publisher = await startPublisher(directory);
  const healthy = [];
  for (const name of HEALTHY) healthy.push(await startSubscriber(directory, name));
  const pushes = new Pushes(directory);
  /** @type {{ readonly quiet: number[][], readonly beside: number[][] }} */
  const found = { quiet: [], beside: [] };
  try {
    await pushes.times(WARM_UP);
    for (let i = 0; i < runs; i++) {
      found.quiet.push(await pushes.times(PUSHES));
      const end = await trouble(directory);
      found.beside.push(await pushes.times(PUSHES));
      await end();
    }
  } finally {
    for (const daemon of [...healthy, publisher]) await daemon.kill();
    rmSync(directory, { recursive: true, force: true });
  }
  const row = (/** @type {number} */ share) => {
    const [quiet, beside] = [found.quiet, found.beside].map((rounds) =>
      median(rounds.map((times) => percentile(times, share))),
    );
    if (quiet === undefined || beside === undefined) throw new Error('there were no rounds');
    return [`p${100 * share}`, ms(quiet), ms(beside), `${((100 * (beside - quiet)) / quiet).toFixed(0)} %`];
  };
  process.stdout.write(
    `\nCommit to APPLIED of ${HEALTHY.length} subscribers, ${PUSHES} releases of ${CHANGES} + ${CHANGES} on ${HOSTS} a round, milliseconds.\n\n`,
  );
  process.stdout.write(table(['share', 'quiet', 'beside', 'more'], [row(0.5), row(0.9), row(0.99)]));
}

/** Starts the three that trouble the others; resolves to what ends them. @param {string} directory */
async function trouble(directory) {
  const front = join(directory, 'line.sock');
  const path = join(directory, 'subscribers.sock');
  const line = await slowLine(front, path);
  const stopped = await startSubscriber(directory, 'stopped');
  await stopped.logged(({ msg }) => msg === 'applied');
  stopped.process.kill('SIGSTOP');
  const slow = await startSubscriberOf(await trustOf(directory), `unix:${front}`, 'slow');
  const attacker = spawn(process.execPath, [ATTACKER, path, await trustOf(directory), ...HEALTHY], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(attacker.stdout, 'data');
  await pause(2000); // until its crowd is there
  return async () => {
    attacker.kill('SIGKILL');
    await Promise.all([stopped.kill(), slow.kill()]);
    await line.close();
  };
}

/**
 * A Unix socket that leads to another, with so many bytes at a time the way back.
 * @param {string} front
 * @param {string} path
 */
async function slowLine(front, path) {
  /** @type {Set<import('node:net').Socket>} */
  const sockets = new Set();
  const server = createServer((near) => {
    const far = createConnection(path);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    near.pipe(far);
    void trickle(far, near).catch(() => undefined);
  });
  await new Promise((resolve) => server.listen(front, () => resolve(undefined)));
  return {
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** @param {import('node:net').Socket} from @param {import('node:net').Socket} to */
async function trickle(from, to) {
  for await (const chunk of from) {
    for (let at = 0; at < chunk.length && !to.destroyed; at += LINE_BYTES) {
      to.write(chunk.subarray(at, at + LINE_BYTES));
      await pause(LINE_PAUSE_MS);
    }
  }
}

/** Pushes of one list that changes each time. */
class Pushes {
  words = millionHosts(HOSTS, SEED).words;
  count = 0;

  /** @param {string} directory */
  constructor(directory) {
    this.endpoint = parseEndpoint(endpointsIn(directory).control);
  }

  /**
   * Commit to APPLIED of each healthy subscriber, of so many releases; milliseconds, ascending.
   * @param {number} releases
   */
  async times(releases) {
    /** @type {number[]} */
    const times = [];
    for (let i = 0; i < releases; i++) {
      this.words = churned(this.words, CHANGES, SEED + ++this.count);
      times.push(...(await this.push(Buffer.from(textOf(this.words)))));
    }
    return times.sort((a, b) => a - b);
  }

  /** @param {Uint8Array} bytes */
  async push(bytes) {
    const connection = new Connection(await connect(this.endpoint));
    const common = /** @type {const} */ ({ action: 'replace', replaceAll: false, dryRun: false, files: 1 });
    const wait = /** @type {const} */ ({ wait: 'applied', timeoutMs: 60_000, require: HEALTHY });
    await connection.send({ kind: 'push', ...common, ...wait, list: 'hosts', allowGrowth: true });
    await connection.send({ kind: 'file', name: 'hosts.txt', role: 'pushed', bytes: bytes.length });
    const sent = await connection.sendBytes([bytes]);
    await connection.send({ kind: 'end', sha256: sent.sha256 });
    /** @type {Map<string, number>} */
    const times = new Map();
    while (times.size < HEALTHY.length) {
      const message = (await connection.receive())?.message;
      if (message?.kind !== 'record') throw new Error(`a record was due: ${JSON.stringify(message)}`);
      const { record } = message;
      if (record.record !== 'applied' || !HEALTHY.includes(record.subscriber)) continue;
      if (record.state !== 'applied') throw new Error(JSON.stringify(record));
      times.set(record.subscriber, record.ms);
    }
    connection.close(); // the others may take as long as they like
    return [...times.values()];
  }
}

/**
 * The least of sorted values that so large a share of them does not exceed.
 * @param {readonly number[]} sorted
 * @param {number} share
 */
function percentile(sorted, share) {
  return sorted[Math.ceil(sorted.length * share) - 1] ?? Number.NaN;
}
