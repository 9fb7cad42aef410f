/**
 * Loaded into a daemon by `node --import`: measures how long its event loop stalls, from SIGUSR2 on, and
 * writes the longest stall in milliseconds to the file named in RULECAST_STALLS, with the process id
 * appended, at exit.
 */

import { writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';

const RESOLUTION_MS = 1;
const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });

process.on('SIGUSR2', () => {
  histogram.enable();
  histogram.reset();
});
process.on('exit', () => {
  writeFileSync(`${process.env['RULECAST_STALLS']}.${process.pid}`, String(histogram.max / 1e6));
});
