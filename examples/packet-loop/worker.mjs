/**
 * One thread of the packet loop: takes frames from the ring, parses their headers into the table's own
 * columns, has each lane judged as one batch, and carries the verdicts out. No lock, no message and no
 * allocation is on the way of a packet.
 */

import { parentPort, workerData } from 'node:worker_threads';
import { CODE_ACTION_MASK, CodeAction, openReader } from '@rulecast/table';
import { Lane, parsePacket } from './parser.mjs';
import { Counter, frameCount } from './ring.mjs';

/**
 * @typedef {object} WorkerOrder
 * @property {import('@rulecast/table').TableHandle} handle
 * @property {import('./ring.mjs').FrameRing} ring
 * @property {Float64Array<SharedArrayBuffer>} counters This thread's own, see Counter.
 * @property {Int32Array<SharedArrayBuffer>} stop A word: not 0 means stop.
 * @property {number} firstFrame Where in the ring to begin, so that threads do not go in step.
 */

/**
 * Our choice: few enough that a packet waits for tens of microseconds at most, many enough that a batch is
 * worth its call. A lane has room for more.
 */
const ROUND_FRAMES = 512;

/** @type {WorkerOrder} */
const { handle, ring, counters, stop, firstFrame } = workerData;
const { bounds } = ring;
const view = new DataView(ring.bytes.buffer);
const frames = frameCount(ring);
const reader = openReader(handle);
parentPort?.postMessage({ slot: reader.slot });

const lane4 = new Lane(reader.columns(4));
const lane6 = new Lane(reader.columns(6));
const judge4 = judgeOf(lane4);
const judge6 = judgeOf(lane6);

let frame = firstFrame;
while (Atomics.load(stop, 0) === 0) {
  for (let i = 0; i < ROUND_FRAMES; i++) {
    const parsed = parsePacket(view, bounds[frame] ?? 0, bounds[frame + 1] ?? 0, frame, lane4, lane6);
    count(Counter.parsed + parsed, 1);
    frame = frame + 1 === frames ? 0 : frame + 1;
  }
  judge4();
  judge6();
}
reader.close();

/** Judges and empties a lane; what it needs for that is made once. @param {Lane} lane */
function judgeOf(lane) {
  const { family, src, dst, protos, details, codes } = lane.columns;
  const batch = { family, direction: /** @type {const} */ (0), count: 0, src, dst, protos, details };
  const out = { codes, generation: 0 };
  return () => {
    batch.count = lane.count;
    lane.count = 0;
    if (batch.count === 0) return;
    reader.lookupBatch(batch, out);
    for (let i = 0; i < batch.count; i++) {
      const action = (codes[i] ?? 0) & CODE_ACTION_MASK;
      count(action, 1);
      if (action === CodeAction.accept) forward(lane.frames[i] ?? 0);
    }
    counters[Counter.generation] = out.generation;
  };
}

/**
 * Here a firewall sends the frame on its way. Whatever is not accepted is not forwarded.
 * @param {number} accepted
 */
function forward(accepted) {
  count(Counter.acceptedBytes, (bounds[accepted + 1] ?? 0) - (bounds[accepted] ?? 0));
}

/** @param {number} counter @param {number} by */
function count(counter, by) {
  counters[counter] = (counters[counter] ?? 0) + by;
}
