/**
 * A packet loop around the subscriber: threads judge raw packets by the table in force, while releases come
 * in and flip under them.
 *
 *   node examples/packet-loop.mjs            with a publisher and packets of its own, after `npm run build`
 *   node examples/packet-loop.mjs --help     for everything else
 *
 *   scene ═ channel ═▶ subscriber ─▶ table ◀─ worker ◀─ parser ◀─ ring ◀─ traffic, pcap
 *   └── this thread ────────────┘   shared    └ so many threads ┘  shared    this thread
 *
 * The files of packet-loop/ read in the order ring, parser, worker; then traffic, pcap, scene, options,
 * report.
 */

import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { createSubscriber } from '@rulecast/subscriber';
import { connect } from '@rulecast/vchan';
import { pino } from 'pino';
import { HELP, readOptions, UsageError } from './packet-loop/options.mjs';
import { Parsed } from './packet-loop/parser.mjs';
import { PcapError, readPcap } from './packet-loop/pcap.mjs';
import {
  headingAsText,
  secondAsJson,
  secondAsText,
  totalAsJson,
  totalAsText,
  totalOf,
} from './packet-loop/report.mjs';
import { frameCount, newCounters, ringOf } from './packet-loop/ring.mjs';
import { startScene } from './packet-loop/scene.mjs';
import { trafficOf } from './packet-loop/traffic.mjs';

/** A few megabytes, as much as the ring of a busy device. */
const MADE_PACKETS = 8192;
const EXIT_USAGE = 64;

/**
 * @typedef {import('@rulecast/subscriber').Subscriber} Subscriber
 * @typedef {import('./packet-loop/options.mjs').Options} Options
 * @typedef {import('./packet-loop/ring.mjs').FrameRing} FrameRing
 * @typedef {import('./packet-loop/worker.mjs').WorkerOrder} WorkerOrder
 */

/** @param {Options} options */
async function run(options) {
  const ring = ringOf(packetsOf(options));
  const interrupted = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]); // before there is anything to clean up
  const directory = mkdtempSync(join(tmpdir(), 'rulecast-packet-loop-'));
  const scene = options.publisher ?? (await startScene(directory));
  const subscriber = await createSubscriber({
    channel: (signal) => connect(scene.endpoint, { signal }), // called again after every disconnect
    trust: scene.trust,
    name: 'packet-loop',
    logger: pino({ level: 'silent' }),
    bootMode: 'closed', // drop everything until the first release
  });
  subscriber.events.on('refused', ({ text }) => process.stderr.write(`${text}\n`));
  try {
    if (subscriber.status().version === undefined)
      await Promise.race([once(subscriber.events, 'applied'), interrupted]);
    await judge(subscriber, ring, options, interrupted);
  } finally {
    await subscriber.close();
    await scene.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** @param {Options} options @returns {readonly Uint8Array[]} */
function packetsOf({ pcap, seed }) {
  if (pcap === undefined) return trafficOf(MADE_PACKETS, seed);
  const { packets, others } = readPcap(bytesOf(pcap));
  if (others > 0) process.stderr.write(`${pcap}: ${others} frames are no IP packets\n`);
  if (packets.length === 0) throw new PcapError('it holds no IP packet');
  return packets;
}

/** @param {string} file */
function bytesOf(file) {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new PcapError(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

/**
 * Runs the threads for as long as was asked, and says each second what they did.
 * @param {Subscriber} subscriber
 * @param {FrameRing} ring
 * @param {Options} options
 * @param {Promise<unknown>} interrupted
 */
async function judge(subscriber, ring, { threads, seconds, json }, interrupted) {
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const counters = Array.from({ length: threads }, () => newCounters(Object.keys(Parsed).length));
  const workers = counters.map((own, i) => {
    const firstFrame = Math.floor((frameCount(ring) * i) / threads);
    return startWorker(subscriber, { handle: subscriber.handle(), ring, counters: own, stop, firstFrame });
  });
  const ended = Promise.all(workers.map((worker) => worker.ended));
  let isInterrupted = false;
  interrupted.then(() => {
    isInterrupted = true;
  });
  let startMs = performance.now();
  const now = () => totalOf(counters, (performance.now() - startMs) / 1000);
  if (!json) process.stdout.write(headingAsText());
  try {
    await Promise.race([Promise.all(workers.map((worker) => worker.started)), ended]);
    startMs = performance.now();
    for (let second = 0, before = now(); second < seconds && !isInterrupted; second++) {
      await Promise.race([setTimeout(1000), interrupted, ended]);
      const after = now();
      process.stdout.write(await (json ? secondAsJson : secondAsText)(subscriber, before, after));
      before = after;
    }
  } finally {
    Atomics.store(stop, 0, 1); // also where one of them failed
  }
  await ended;
  process.stdout.write(await (json ? totalAsJson : totalAsText)(subscriber, now()));
}

/**
 * A thread that judges until it is told to stop. `ended` rejects with what it threw.
 * @param {Subscriber} subscriber @param {WorkerOrder} workerData
 */
function startWorker(subscriber, workerData) {
  const worker = new Worker(new URL('packet-loop/worker.mjs', import.meta.url), { workerData });
  worker.once('message', ({ slot }) => {
    worker.once('error', () => subscriber.evictReader(slot)); // it cannot close its reader any more
  });
  return { started: once(worker, 'message'), ended: once(worker, 'exit') };
}

try {
  const options = readOptions(process.argv.slice(2));
  if (options.help) process.stdout.write(HELP);
  else await run(options);
} catch (error) {
  if (!(error instanceof UsageError || error instanceof PcapError)) throw error;
  process.stderr.write(
    `${error instanceof PcapError ? 'the capture cannot be used: ' : ''}${error.message}\n`,
  );
  process.exitCode = EXIT_USAGE;
}
