/**
 * The process that is fuzzed, started by main.mjs: runs the inputs of a range, says before each batch where
 * it is, and stops at the first fault that it sees itself. A crash, and a loop without an end, its parent
 * sees.
 *
 * Oracles: nothing but a refusal comes out of a decoder, and what it takes has one meaning; no input holds
 * the processor for longer than STALL_MAX_MS; what is resident never grows by more than GROWTH_MAX_BYTES.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { DECODERS } from './decoders.mjs';
import { DNS_DECODERS } from './dns.mjs';
import { Draw } from './draw.mjs';
import { PublisherTarget, SubscriberTarget } from './sessions.mjs';

/**
 * @typedef {{ readonly kind: string, readonly from: number, readonly to: number, readonly text: string }}
 *   Fault The inputs [from, to), one of which did it.
 */

/** The most work of a budget for a small release takes 0.2 s; twice that on a machine that is shared. */
const STALL_MAX_MS = 400;
/** A body that is inflated, what it makes, and the garbage before it. */
const GROWTH_MAX_BYTES = 256 * 2 ** 20;
const BATCH = 1000;
/** Batches until the code is compiled and pools are filled. */
const WARM_BATCHES = 2;
const BEAT_MS = 5;
const SUBSCRIBERS = 8;
/** The input at which a fault is made. */
const PLANTED_AT = 2345;

/** @type {{ target: 'peers' | 'dns', seed: number, from: number, to: number, batch?: number, plant?: string }} */
const { target, seed, from, to, batch = BATCH, plant } = JSON.parse(process.argv[2] ?? '{}');
const decoders = Object.values(target === 'dns' ? DNS_DECODERS : DECODERS);

const subscribers = await Promise.all(
  Array.from({ length: target === 'dns' ? 0 : SUBSCRIBERS }, async (_, i) => {
    const subscriber = new SubscriberTarget(i);
    await subscriber.start();
    return subscriber;
  }),
);
const publisher = new PublisherTarget();
await publisher.start();

/** Faults that a test makes, to see that they are found. @type {Readonly<Record<string, () => void>>} */
const PLANTS = {
  crash: () => void process.nextTick(() => process.abort()),
  uncaught: () => void Promise.reject(new Error('planted')),
  wrong: () => {
    throw new TypeError('planted');
  },
  stall: () => {
    for (const endMs = processorMs() + 1.5 * STALL_MAX_MS; processorMs() < endMs; );
  },
  memory: () => void Buffer.alloc(1.25 * GROWTH_MAX_BYTES, 1), // more would take as long as a stall
};

/** Processor time of this process, in milliseconds. */
function processorMs() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** The most that was resident since this was asked last, in bytes. */
function peakBytes() {
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  writeFileSync('/proc/self/clear_refs', '5');
  return Number(kibibytes) * 1024;
}

/** The decoder of an input; undefined for a session. @param {Draw} draw */
function decoderOf(draw) {
  let at = draw.below(100);
  for (const { share, run } of decoders) {
    if (at < share) return run;
    at -= share;
  }
  return undefined;
}

/**
 * Runs one input unless it is for a session; a stall counts where the processor was ours.
 * @param {number} index
 * @returns {Fault | 'session' | undefined}
 */
function decoded(index) {
  const draw = new Draw(seed, index);
  const decode = decoderOf(draw);
  if (decode === undefined) return 'session';
  const [startMs, startProcessorMs] = [performance.now(), processorMs()];
  try {
    if (plant !== undefined && index === PLANTED_AT) PLANTS[plant]?.();
    decode(draw);
  } catch (error) {
    const text = error instanceof Error ? `${error.stack}` : String(error);
    return { kind: 'wrong', from: index, to: index + 1, text };
  }
  const tookMs = Math.min(performance.now() - startMs, processorMs() - startProcessorMs);
  if (tookMs <= STALL_MAX_MS) return undefined;
  return { kind: 'stall', from: index, to: index + 1, text: `${tookMs.toFixed(0)} ms of ${decode.name}` };
}

/**
 * Runs the session inputs of a batch, at once where they go to different targets.
 * @param {readonly number[]} indices
 * @returns {Promise<Fault | undefined>}
 */
async function conversed(indices) {
  let stallMs = 0;
  let [lastMs, lastProcessorMs] = [performance.now(), processorMs()];
  const beat = setInterval(() => {
    const [nowMs, nowProcessorMs] = [performance.now(), processorMs()];
    stallMs = Math.max(stallMs, Math.min(nowMs - lastMs, nowProcessorMs - lastProcessorMs));
    [lastMs, lastProcessorMs] = [nowMs, nowProcessorMs];
  }, BEAT_MS);
  /** @type {Fault | undefined} */
  let fault;
  const targets = [...subscribers, publisher];
  await Promise.all(
    targets.map(async (peer, t) => {
      for (const index of indices) {
        const draw = new Draw(seed, index);
        if (draw.below(targets.length) !== t || fault !== undefined) continue;
        try {
          await peer.run(draw);
        } catch (error) {
          const text = error instanceof Error ? `${error.stack}` : String(error);
          fault = { kind: 'wrong', from: index, to: index + 1, text };
        }
      }
    }),
  );
  clearInterval(beat);
  const [first = 0] = indices;
  if (fault === undefined && stallMs > STALL_MAX_MS) {
    const text = `${stallMs.toFixed(0)} ms in sessions ${indices.join(', ')}`;
    fault = { kind: 'stall', from: first, to: (indices.at(-1) ?? first) + 1, text };
  }
  return fault;
}

/** @param {object} message @returns {Promise<void>} */
function tell(message) {
  return new Promise((resolve) => process.send?.(message, () => resolve()));
}

let baseBytes = Number.POSITIVE_INFINITY;
let growthBytes = 0;
for (let at = from, batches = 0; at < to; at += batch, batches++) {
  const end = Math.min(to, at + batch);
  await tell({ at, growthBytes });
  /** @type {Fault | undefined} */
  let fault;
  const sessions = [];
  for (let index = at; index < end && fault === undefined; index++) {
    const outcome = decoded(index);
    if (outcome === 'session') sessions.push(index);
    else fault = outcome;
  }
  await setImmediate(); // what a decoder left to be done is its own
  fault ??= await conversed(sessions);
  const peak = peakBytes();
  if (batches < WARM_BATCHES || batch === 1) baseBytes = Math.min(peak, batch === 1 ? baseBytes : peak);
  growthBytes = Math.max(growthBytes, peak - baseBytes);
  if (growthBytes > GROWTH_MAX_BYTES) {
    fault ??= { kind: 'memory', from: at, to: end, text: `${(growthBytes / 2 ** 20).toFixed(0)} MiB more` };
  }
  if (fault !== undefined) {
    await tell({ fault });
    process.exit(1);
  }
}
await tell({ at: to, growthBytes });
await Promise.all([...subscribers, publisher].map((peer) => peer.close()));
process.exit(0);
