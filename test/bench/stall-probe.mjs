/**
 * Loaded into a daemon by `node --import`: measures how long its event loop stalls. At each SIGUSR2, and at
 * exit, it writes the longest stall since the SIGUSR2 before, in milliseconds, to the file named in
 * RULECAST_STALLS, with the process id appended. The first SIGUSR2 begins, and writes nothing.
 */

import { renameSync, writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';

const RESOLUTION_MS = 1;
const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
let hasBegun = false;

process.on('SIGUSR2', () => {
  if (hasBegun) write();
  hasBegun = true;
  histogram.enable();
  histogram.reset();
});
process.on('exit', write);

/** Whole, or not there. */
function write() {
  const file = `${process.env['RULECAST_STALLS']}.${process.pid}`;
  writeFileSync(`${file}.next`, String(histogram.max / 1e6));
  renameSync(`${file}.next`, file);
}
