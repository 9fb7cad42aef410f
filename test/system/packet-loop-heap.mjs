/**
 * Prints what the calls of a packet loop take of the heap, in bytes a call, as a JSON object.
 * packet-loop-heap.test.ts runs it with a heap so large that nothing is collected between two looks at it, so
 * that even what dies at once is seen.
 */

import { parseRuleLines } from '@rulecast/formats';
import { emptyPolicy } from '@rulecast/rules';
import { LookupDirection, openReader, Table } from '@rulecast/table';
import { Lane, parsePacket } from '../../examples/packet-loop/parser.mjs';
import { ringOf } from '../../examples/packet-loop/ring.mjs';
import { trafficOf } from '../../examples/packet-loop/traffic.mjs';

const TCP = 6;
const PACKETS = 64;
const WARM_UP_CALLS = 100_000;
const CALLS = 200_000;

/** Bytes of heap that a call takes, once the compiler is done with it. @param {(i: number) => void} call */
function bytesPerCall(call) {
  for (let i = 0; i < WARM_UP_CALLS; i++) call(i);
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  for (let i = 0; i < CALLS; i++) call(i);
  return (process.memoryUsage().heapUsed - before) / CALLS;
}

/** Takes what calls come to, so that none is optimised away. */
const kept = new Float64Array(1);
/** @type {object | undefined} */
let object;
/** @param {number} value */
function keep(value) {
  kept[0] = (kept[0] ?? 0) + value;
}

/** @type {Record<string, number>} */
const results = {
  'an object': bytesPerCall((i) => {
    object = { i };
  }),
};

const ring = ringOf(trafficOf(1024, 1));
const view = new DataView(ring.bytes.buffer);
const { runs } = parseRuleLines(
  new TextEncoder().encode(
    'drop dst4=198.18.0.0/20\ndrop dst6=2001:db8::/36\naccept proto=tcp dstports=443\n',
  ),
  'egress',
  0,
);
const policies = new Map([['default', { ...emptyPolicy('default'), egress: runs }]]);
const table = new Table();
table.flip(
  table.prepare(
    { lists: new Map(), policies, resolutions: new Map(), unmatched: undefined },
    { now: 0, dns: [] },
  ),
);
measure('table', table.reader);
const reader = openReader(table.handle());
measure('reader', reader);
reader.close();
if (object === undefined) throw new TypeError('an object was kept');
process.stdout.write(`${JSON.stringify(results)}\n`);

/** @param {string} name @param {Table['reader']} subject */
function measure(name, subject) {
  const words = Uint32Array.from({ length: PACKETS * 4 }, (_, i) => Math.imul(i, 0x9e3779b1));
  results[`${name}: lookup4`] = bytesPerCall((i) => {
    keep(subject.lookup4(LookupDirection.egress, Math.imul(i, 77), Math.imul(i, 0x9e3779b1), TCP, i & 1023));
  });
  results[`${name}: lookup6`] = bytesPerCall((i) => {
    keep(subject.lookup6(LookupDirection.both, words, (i & 15) * 4, words, (i & 63) * 4, TCP, i & 1023));
  });
  for (const family of /** @type {const} */ ([4, 6])) {
    const { src, dst, protos, details, codes } = subject.columns(family);
    const out = { codes, generation: 0 };
    const batch = { family, direction: LookupDirection.both, count: PACKETS, src, dst, protos, details };
    results[`${name}: batch of IPv${family}`] = bytesPerCall(() => subject.lookupBatch(batch, out));
  }
  const lane4 = new Lane(subject.columns(4));
  const lane6 = new Lane(subject.columns(6));
  results[`${name}: packet parsed`] = bytesPerCall((i) => {
    const frame = i & 1023;
    keep(parsePacket(view, ring.bounds[frame] ?? 0, ring.bounds[frame + 1] ?? 0, frame, lane4, lane6));
    lane4.count &= 255;
    lane6.count &= 255;
  });
}
