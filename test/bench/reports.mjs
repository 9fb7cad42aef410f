/** What reports of many names cost a publisher: CPU of each, the status of all, a start, and stalls. */

import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { openIdentity } from '@rulecast/program/identity';
import { readReportKey } from '@rulecast/program/report-key';
import {
  encodeReport,
  joinReports,
  readReportAnswer,
  readStatement,
  splitReports,
  tokenOf,
} from '@rulecast/protocol';
import { PERMITTED, rulectl, startPublisher } from '../processes.mjs';
import { probed, stallOf } from './probed.mjs';
import { grouped, machineLine, median, ms, runsOf, table } from './report.mjs';

/** A probe that is told to has written by then. */
const WRITTEN_MS = 500;
const CONNECTIONS = 16;
/** As many as a relay passes on at once. */
const TOGETHER = 256;
const TICKS_A_SECOND = 100;

/** @param {readonly string[]} args `--names N` */
export async function run(args) {
  const runs = runsOf(args, 3);
  const names = Number(args[args.indexOf('--names') + 1] ?? 0) || 100_000;
  process.stdout.write(`${machineLine(runs)}\n${grouped(names)} names.\n\n`);
  const directory = mkdtempSync(join(tmpdir(), 'rulecast-reports-'));
  const [stalls, secret, config] = ['stall', 'fleet.key', 'publisher.yaml'].map((name) =>
    join(directory, name),
  );
  if (stalls === undefined || secret === undefined || config === undefined) throw new Error('three paths');
  const socket = join(directory, 'reports.sock');
  await told(directory, ['keys', 'fleet', secret]);
  writeFileSync(config, `fleet: { reports: "unix:${socket}", secret: ${secret} }\n`);
  const start = () => probed(stalls, () => startPublisher(directory, ['--config', config]));
  let publisher = await start();
  publisher.process.kill('SIGUSR2');
  writeFileSync(join(directory, 'bad.txt'), '192.0.2.1\n');
  await told(directory, ['push', '--wait', 'released', join(directory, 'bad.txt'), ...PERMITTED]);
  const fleet = await fleetOf(directory, secret, socket, names);

  /** @type {Map<string, { wallMs: number, cpuMs: number, stallMs: number, ownMs: number, runMs: number }[]>} */
  const found = new Map();
  /** @param {string} what @param {() => Promise<unknown>} work */
  const measured = async (what, work) => {
    publisher.process.kill('SIGUSR2');
    const [cpuMs, beganMs] = [cpuOf(publisher.process.pid), performance.now()];
    await work();
    const wallMs = performance.now() - beganMs;
    await pause(WRITTEN_MS); // what was reported is written
    const usedMs = cpuOf(publisher.process.pid) - cpuMs;
    publisher.process.kill('SIGUSR2');
    await pause(WRITTEN_MS);
    const { stallMs, ownMs, cpuMs: runMs } = stallOf(stalls, publisher.process);
    found.set(what, [...(found.get(what) ?? []), { wallMs, cpuMs: usedMs, stallMs, ownMs, runMs }]);
  };
  try {
    await measured('new names, a report a request', () => fleet.all(1));
    for (let i = 0; i < runs; i++) {
      await measured('a report a request', () => fleet.all(1));
      await measured(`${TOGETHER} reports a request`, () => fleet.all(TOGETHER));
      await measured('rulectl status', () => told(directory, ['status', '--json']));
      await measured('rulectl status --state synced', () =>
        told(directory, ['status', '--state', 'synced', '--json']),
      );
    }
    const sizeBytes = statSync(join(directory, 'publisher', 'store', 'data.mdb')).size;
    await publisher.stop();
    const beganMs = performance.now();
    publisher = await start();
    process.stdout.write(rowsOf(found, names));
    process.stdout.write(
      `\nA start with all of them: ${ms(performance.now() - beganMs)} ms; ${grouped(sizeBytes / 1e6)} MB on disk.\n`,
    );
    const status = JSON.parse(
      (await told(directory, ['status', '--json'])).split('\n').find((line) => line.includes('"fleet"')) ??
        '{}',
    );
    process.stdout.write(`${grouped(status.synced)} of them are synced after it.\n`);
  } finally {
    fleet.close();
    await publisher.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** @param {ReadonlyMap<string, readonly { wallMs: number, cpuMs: number, stallMs: number, ownMs: number, runMs: number }[]>} found @param {number} names */
function rowsOf(found, names) {
  const rows = [...found].map(([what, all]) => {
    const of = (/** @type {'wallMs' | 'cpuMs' | 'stallMs' | 'ownMs' | 'runMs'} */ key) =>
      median(all.map((one) => one[key]));
    const each = what.includes('request') ? ((1000 * of('cpuMs')) / names).toFixed(0) : '';
    return [
      what,
      ms(of('wallMs')),
      ms(of('cpuMs')),
      each,
      ms(of('stallMs')),
      ms(of('ownMs')),
      ms(of('runMs')),
    ];
  });
  const head = [
    '',
    'ms',
    'CPU of the publisher, ms',
    'µs of it a report',
    'longest stall, ms',
    'its own, ms',
    'of CPU, ms',
  ];
  return table(head, rows);
}

/**
 * Names that report the head in force, over connections that stay.
 * @param {string} directory @param {string} secret @param {string} socket @param {number} count
 */
async function fleetOf(directory, secret, socket, count) {
  const { lineage } = openIdentity(join(directory, 'publisher', 'identity'));
  const key = readReportKey(secret);
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const tokens = Array.from({ length: count }, (_, i) => tokenOf(key, lineage, `fw-${i}`));
  let sequence = 0;
  /** @type {import('@rulecast/protocol').HeldReport | undefined} */
  let held;
  /** @param {number} i */
  const reportOf = (i) => {
    const base = { lineage, name: `fw-${i}`, via: undefined, refused: undefined, proof: undefined };
    const nonce = new Uint8Array(16).fill(i & 255);
    return encodeReport({ ...base, sequence, nonce, held }, tokens[i] ?? key);
  };
  /** @param {Uint8Array} body */
  const post = async (body) => {
    const headers = { 'content-length': body.length };
    const sent = request({ agent, socketPath: socket, path: '/report', method: 'POST', headers });
    sent.end(body);
    const [response] = await once(sent, 'response');
    const chunks = [];
    for await (const chunk of response) chunks.push(chunk);
    const answers = splitReports(Buffer.concat(chunks));
    if (answers.some(({ length }) => length === 0)) throw new Error('a report was refused');
    return answers;
  };
  sequence++;
  const [answer = new Uint8Array()] = await post(joinReports([reportOf(0)]));
  const said = readStatement(
    readReportAnswer(answer, tokens[0] ?? key).statement?.content ?? new Uint8Array(),
  );
  if (said === undefined) throw new Error('nothing was stated');
  held = { epoch: said.epoch, version: said.version, hash: said.hash, applyMs: 9, isPersisted: true };
  return {
    close: () => agent.destroy(),
    /** Each reports once, so many in a request. @param {number} together */
    all: async (together) => {
      sequence++;
      let next = 0;
      const one = async () => {
        while (next < count) {
          const from = next;
          next += together;
          const reports = Array.from({ length: Math.min(together, count - from) }, (_, i) =>
            reportOf(from + i),
          );
          await post(joinReports(reports));
        }
      };
      await Promise.all(Array.from({ length: CONNECTIONS }, one));
    },
  };
}

/** The CPU time of a process and its threads, in milliseconds. @param {number | undefined} pid */
function cpuOf(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /, '')
    .split(' ');
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_A_SECOND;
}

/** @param {string} directory @param {readonly string[]} args */
async function told(directory, args) {
  const { code, stdout, stderr } = await rulectl(directory, args);
  if (code !== 0 && args[0] !== 'status') throw new Error(`rulectl ${args[0]}: ${stderr}`);
  return stdout;
}
