/**
 * Does what each line of standard input says to elements of name sets, in the namespace that it is started
 * in, and answers each with a line: what was read, or how the kernel refused. For tests and benches.
 *
 *     {"verb": "add", "set": "n…", "elements": [{"key": [167772161, 16909060], "milliseconds": 90000, "label": "a.example"}]}
 *     {"verb": "destroy" | "read" | "flows", …}
 */

import { createInterface } from 'node:readline';
import { addSet, addTable } from '../../packages/nftables/dist/kernel/commands.js';
import { destroyNamed, renewNamed } from '../../packages/nftables/dist/kernel/name-elements.js';
import { openNetlink } from '../../packages/nftables/dist/kernel/native.js';
import { Netlink } from '../../packages/nftables/dist/kernel/netlink.js';

const TABLE = 'rulecast_a';
const netlink = new Netlink(openNetlink);

/** @param {{ verb: string, set: string, elements: { key: number[], milliseconds: number, label: string }[] }} line */
async function done({ verb, set, elements = [] }) {
  const all = elements.map((each) => ({ ...each, key: Uint32Array.from(each.key) }));
  if (verb === 'make') netlink.run([addTable(TABLE, true), addSet(TABLE, set)]);
  else if (verb === 'add') netlink.run(renewNamed(TABLE, set, all));
  else if (verb === 'destroy') netlink.run([destroyNamed(TABLE, set, all)]);
  else if (verb === 'flows') {
    /** @type {number[][]} */
    const keys = [];
    await netlink.flows(
      (key) => keys.push([...key]),
      async () => undefined,
    );
    return keys;
  } else {
    const read = await netlink.named(TABLE, set, async () => undefined);
    return read.map((each) => ({ ...each, key: [...each.key] }));
  }
  return [];
}

for await (const line of createInterface({ input: process.stdin })) {
  const answer = await done(JSON.parse(line)).catch((error) => ({
    errno: error.errno ?? 0,
    text: error.message,
  }));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
