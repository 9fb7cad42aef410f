/** What elements.mjs measures, in the namespace that it is started in: tells microseconds as JSON. */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { addSet, addTable, deleteTable } from '../../packages/nftables/dist/kernel/commands.js';
import { renewNamed } from '../../packages/nftables/dist/kernel/name-elements.js';
import { openNetlink } from '../../packages/nftables/dist/kernel/native.js';
import { Netlink } from '../../packages/nftables/dist/kernel/netlink.js';
import { median } from './report.mjs';

const NFT = 'nft';
const TABLE = 'rulecast_bench';
const SET = 'n0123456789abcdef_4_65536_0000000000000000';
const QUBE = 0x0a890005;
const RAW = 4000;
const INTERACTIVE = 400;
const SPAWNED = 40;

const runs = Number(process.argv[2]);
const netlink = new Netlink(openNetlink);
netlink.run([addTable(TABLE, false), addSet(TABLE, SET)]);
let next = 0x5db80000;

/** @param {number} count */
function fresh(count) {
  return Array.from({ length: count }, () => {
    const key = Uint32Array.of(QUBE, next++ % 0x5db8ffff);
    return { key, milliseconds: 90_000, label: 'api.example' };
  });
}

/** @type {Map<string, number[]>} */
const samples = new Map();
/** @param {string} what @param {number} startMs */
function took(what, startMs) {
  const list = samples.get(what) ?? [];
  samples.set(what, list);
  list.push((performance.now() - startMs) * 1000);
}

/** @param {ReturnType<typeof fresh>} elements */
const add = (elements) => netlink.run(renewNamed(TABLE, SET, elements));
const text = () => {
  const address = [next >>> 24, (next >> 16) & 255, (next >> 8) & 255, next++ & 255].join('.');
  return `add element inet ${TABLE} ${SET} { 10.137.0.5 . ${address} timeout 90s comment "api.example" }`;
};

for (let run = 0; run < runs; run++) {
  for (const count of [1, 4]) {
    for (let i = 0; i < RAW; i++) {
      const elements = fresh(count);
      const startMs = performance.now();
      add(elements);
      took(`ours, ${count === 1 ? 'one element' : 'four elements'}`, startMs);
    }
  }
  const one = fresh(1);
  for (let i = 0; i < RAW; i++) {
    const startMs = performance.now();
    add(one);
    took('ours, one that is there', startMs);
  }
  netlink.run([deleteTable(TABLE), addTable(TABLE, false), addSet(TABLE, SET)]);
  const nft = spawn(NFT, ['-i'], { stdio: ['pipe', 'pipe', 'inherit'] });
  for (let i = 0; i < INTERACTIVE; i++) {
    const [line, generation] = [`${text()}\n`, netlink.generation()];
    const startMs = performance.now();
    nft.stdin.write(line); // at once: the pipe is empty
    while (netlink.generation() === generation); // 3 µs each
    if (i > 0) took('nft -i, held open', startMs); // the first waits for its start
  }
  nft.stdin.end();
  nft.stdout.resume();
  await once(nft, 'close');
  for (let i = 0; i < SPAWNED; i++) {
    const line = text();
    const startMs = performance.now();
    if (spawnSync(NFT, [line]).status !== 0) throw new Error(`nft does not take ${line}`);
    took('nft, started each time', startMs);
  }
}
netlink.run([deleteTable(TABLE)]);
const rows = [...samples].map(([what, list]) => {
  const sorted = list.sort((a, b) => a - b);
  return [what, [median(sorted), sorted[Math.floor(sorted.length * 0.99)]]];
});
process.stdout.write(JSON.stringify(Object.fromEntries(rows)));
