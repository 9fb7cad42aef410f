/**
 * Looks up the same batch so many times through a reader of its own, by `lookupBatch` and by `lookup4` in
 * turn: each host and its neighbour.
 */

import { workerData } from 'node:worker_threads';
import { openReader } from '../dist/index.js';

const { handle, rounds, gate, threads, hosts, first } = workerData;
const reader = openReader(handle);
const { dst, protos, details, codes } = reader.columns(4);
const count = hosts * 2;
protos.fill(6);
details.fill(443);
for (let i = 0; i < count; i++) dst[i] = first + (i >> 1) * 1024 + (i & 1);
const batch = { family: 4, direction: 0, count, src: undefined, dst, protos, details };
const out = { codes, generation: 0 };
Atomics.add(gate, 0, 1);
while (Atomics.load(gate, 0) < threads); // so that all count at once
for (let round = 0; round < rounds; round++) {
  if (round % 2 === 0) reader.lookupBatch(batch, out);
  else for (let i = 0; i < count; i++) reader.lookup4(0, undefined, dst[i] | 0, 6, 443);
}
reader.close();
