/**
 * Loaded into a process by `node --import`: measures how long its event loop stalls, and how much of that is
 * its own doing. At each SIGUSR2, and at exit, it writes the longest since the SIGUSR2 before, in
 * milliseconds and as JSON, to the file named in RULECAST_STALLS, with the process id appended. The first
 * SIGUSR2 begins, and writes nothing.
 */

import { openSync, readSync, renameSync, writeFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

/**
 * What a stall is told apart by: the kernel counts, in nanoseconds, how long the main thread ran, and how
 * long it could have run and others had the processor, those of the same process included.
 */
const SCHEDSTAT = openSync('/proc/self/schedstat', 'r');
const LOOK_EVERY_MS = 2;
const text = Buffer.alloc(64);

let hasBegun = false;
const NONE = { stallMs: 0, ownMs: 0, cpuMs: 0 };
let longest = NONE;
let before = now();

if (isMainThread) {
  process.on('SIGUSR2', () => {
    if (hasBegun) write();
    else setInterval(look, LOOK_EVERY_MS).unref();
    hasBegun = true;
    longest = NONE;
    before = now();
  });
  process.on('exit', write);
}

/** A timer that is late: by how much, without what it waited for a processor, and on one. */
function look() {
  const after = now();
  const stallMs = after.atMs - before.atMs;
  const ownMs = stallMs - (after.waitedMs - before.waitedMs);
  const cpuMs = after.ranMs - before.ranMs;
  longest = {
    stallMs: Math.max(longest.stallMs, stallMs),
    ownMs: Math.max(longest.ownMs, ownMs),
    cpuMs: Math.max(longest.cpuMs, cpuMs),
  };
  before = after;
}

/** The moment, and how long the main thread has run and has waited for a processor until now. */
function now() {
  const length = readSync(SCHEDSTAT, text, 0, text.length, 0);
  const [ranNs, waitedNs] = text.toString('latin1', 0, length).split(' ');
  return { atMs: performance.now(), ranMs: Number(ranNs) / 1e6, waitedMs: Number(waitedNs) / 1e6 };
}

/** Whole, or not there. */
function write() {
  const file = `${process.env['RULECAST_STALLS']}.${process.pid}`;
  writeFileSync(`${file}.next`, JSON.stringify(longest));
  renameSync(`${file}.next`, file);
}
