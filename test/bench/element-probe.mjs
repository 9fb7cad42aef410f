/**
 * Adds and deletes an element of a table of its own, over and over, and takes the time of each; after each
 * line of standard input it tells those since the last. It opens and closes no socket meanwhile, at the end
 * of which the kernel would wait for what is being freed. Started by enforce-beside.mjs in the router.
 */

import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { addSet, addTable, deleteTable } from '../../packages/nftables/dist/kernel/commands.js';
import { openNetlink } from '../../packages/nftables/dist/kernel/native.js';
import { Netlink } from '../../packages/nftables/dist/kernel/netlink.js';

const TABLE = 'probe';
const SET = 's0000000000000000_4_32_4_00000000';
const EVERY_MS = 1;

const netlink = new Netlink(openNetlink);
netlink.run([addTable(TABLE, false), addSet(TABLE, SET)]);
/** @type {{ tookMs: number, ranMs: number }[]} */
let samples = [];
let isOver = false;
process.stdin.on('data', () => {
  const tables = netlink.tables().filter(({ name }) => name.startsWith('rulecast_')).length;
  process.stdout.write(`${JSON.stringify({ samples, tables })}\n`);
  samples = [];
});
process.stdin.on('end', () => {
  isOver = true;
});
const piece = /** @type {const} */ ({ set: SET, family: 4, keys: Uint32Array.of(1) });
for (let isIn = false; !isOver; isIn = !isIn) {
  const [startMs, readyMs] = [performance.now(), waitedMs()];
  netlink.change(isIn ? 'delete' : 'add', TABLE, [piece].values());
  const tookMs = performance.now() - startMs;
  samples.push({ tookMs, ranMs: tookMs - (waitedMs() - readyMs) });
  await pause(EVERY_MS);
}
netlink.run([deleteTable(TABLE)]);

/** How long this thread has been ready without a processor, in ms. */
function waitedMs() {
  return Number(readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ')[1]) / 1e6;
}
