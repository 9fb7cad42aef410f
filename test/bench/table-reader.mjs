/**
 * A thread of the table bench: looks a trace up again and again through a reader of its own, in place, and
 * says how often.
 */

import { parentPort, workerData } from 'node:worker_threads';
import { openReader } from '@rulecast/table';

/**
 * @type {{ handle: import('@rulecast/table').TableHandle, words: Uint32Array, gate: Int32Array, ms: number }}
 */
const { handle, words, gate, ms } = workerData;
const reader = openReader(handle);
const columns = reader.columns(4);
const count = Math.min(columns.capacity, words.length);
columns.dst.set(words.subarray(0, count));
columns.protos.fill(6);
columns.details.fill(443);
const batch = {
  family: /** @type {const} */ (4),
  direction: /** @type {const} */ (0),
  count,
  src: undefined,
  ...columnsOf(columns),
};
const out = { codes: columns.codes, generation: 0 };
for (let i = 0; i < 200; i++) reader.lookupBatch(batch, out);
Atomics.add(gate, 0, 1);
Atomics.notify(gate, 0);
Atomics.wait(gate, 1, 0);
const end = performance.now() + ms;
let lookups = 0;
while (performance.now() < end) {
  reader.lookupBatch(batch, out);
  lookups += count;
}
reader.close();
parentPort?.postMessage(lookups);

/** @param {import('@rulecast/table').PacketColumns} from */
function columnsOf({ dst, protos, details }) {
  return { dst, protos, details };
}
