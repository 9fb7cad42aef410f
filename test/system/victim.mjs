/**
 * A subscriber in a process of its own, for a peer that means harm: its memory is nobody else's, and its
 * event loop says how long it stood still. Forked with an endpoint and a trust line; asked by any message, it
 * tells what it measured since the last.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { parseTrust } from '@rulecast/protocol';
import { createSubscriber } from '@rulecast/subscriber';
import { connect, parseEndpoint } from '@rulecast/vchan';
import { pino } from 'pino';

/** How often the event loop is to be there. */
const BEAT_MS = 5;

const [endpoint = '', trustLine = ''] = process.argv.slice(2);
const trust = parseTrust(trustLine);
if (trust === undefined) throw new TypeError('no trust line');

let stallMs = 0;
let lastMs = performance.now();
setInterval(() => {
  const nowMs = performance.now();
  stallMs = Math.max(stallMs, nowMs - lastMs - BEAT_MS);
  lastMs = nowMs;
}, BEAT_MS);

/** The most memory that was resident since it was last asked, in bytes: Linux counts it, and counts anew. */
function peakBytes() {
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  writeFileSync('/proc/self/clear_refs', '5');
  return Number(kibibytes) * 1024;
}

const subscriber = await createSubscriber({
  channel: (signal) => connect(parseEndpoint(endpoint), { signal }),
  trust,
  name: 'victim',
  logger: pino({ level: 'silent' }),
});

process.on('message', () => {
  const { version, lastError } = subscriber.status();
  process.send?.({ stallMs, peakBytes: peakBytes(), version, code: lastError?.code });
  stallMs = 0;
});
