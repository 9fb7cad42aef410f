/**
 * Looks up in a table that its parent flips between two known releases, and reports the first answer that is
 * of neither. An odd generation accepts the hosts and drops the rest, an even one the other way round.
 * Without `holds`, the stores that say what is held never come about.
 */

import { parentPort, workerData } from 'node:worker_threads';
import { CODE_ACTION_MASK, CodeAction, openReader } from '../dist/index.js';
import { holdWord } from '../dist/memory/control.js';

const { handle, shared, first, hosts, holds } = workerData;
const reader = openReader(handle);
if (!holds) {
  const { store } = Atomics;
  const hold = holdWord(reader.slot);
  Atomics.store = (array, index, value) =>
    store(array, index, array !== shared && index === hold ? 0 : value);
}
const report = { lookups: 0, generations: 0, fault: undefined };
let last = 0;

/** Whether an answer is that of the generation it names, and the generation not older than the last. */
function check(code, generation, isHost) {
  const expected = isHost === (generation % 2 === 1) ? CodeAction.accept : CodeAction.drop;
  if ((code & CODE_ACTION_MASK) !== expected)
    report.fault ??= `code ${code} in generation ${generation}, host ${isHost}`;
  if (generation < last) report.fault ??= `generation ${generation} after ${last}`;
  if (generation !== last) report.generations++;
  last = generation;
  report.lookups++;
}

// A batch of milliseconds is long enough to go wrong where it can.
const count = holds ? hosts : hosts * 64;
const batch = {
  family: 4,
  direction: 0,
  count,
  src: undefined,
  dst: Uint32Array.from({ length: count }, (_, i) => first + (i % hosts) * 1024 + (i & 1)),
  protos: new Uint8Array(count).fill(6),
  details: new Int32Array(count).fill(443),
};
const out = { codes: new Uint32Array(count), generation: 0 };

parentPort.postMessage('ready');
while (Atomics.load(shared, 0) === 0 && report.fault === undefined) {
  for (let i = 0; i < hosts; i++) {
    const code = reader.lookup4(0, undefined, batch.dst[i], 6, 443);
    check(code, reader.lookupGeneration, (i & 1) === 0);
  }
  reader.lookupBatch(batch, out);
  for (let i = 0; i < count; i++) check(out.codes[i], out.generation, (i & 1) === 0);
  const dst = { family: 4, words: batch.dst.slice(0, 1) };
  const verdict = reader.lookup({
    direction: 'egress',
    src: undefined,
    dst,
    proto: 6,
    port: 1,
    icmpType: undefined,
  });
  check(CodeAction[verdict.action], verdict.generation, true);
  if (verdict.list !== `release-${verdict.generation % 2}`) report.fault ??= `list ${verdict.list}`;
  Atomics.store(shared, 1, Math.min(report.lookups, 2 ** 31 - 1));
  Atomics.store(shared, 2, report.generations);
}
reader.close();
parentPort.postMessage(report);
