/**
 * Reads the log of refused packets where it is started: a line of JSON for each, one `ready` before, and at
 * the end of its input one with what was lost, and what it took. Arguments: the group, and that of the
 * interfaces of qubes; and a pipe without a writer, to hold a thread of the pool.
 */

import { open, stat } from 'node:fs';
import { openDropLog } from '@rulecast/nftables';

const EVERY_MS = 100;
const [group, downstreamGroup, held] = process.argv.slice(2);
const log = openDropLog(Number(group), Number(downstreamGroup));
const begin = process.cpuUsage();
let packets = 0;
const read = () =>
  log.read((packet) => {
    packets += 1;
    const [qube, remote] = [packet.qube, packet.remote].map((each) => Buffer.from(each).toString('hex'));
    say({ ...packet, qube, remote });
  });
const timer = setInterval(read, EVERY_MS);
if (held !== undefined) {
  open(held, 'r', () => undefined); // waits for who writes
  stat('.', () => say({ pool: 'free' }));
}
say({ ready: true });
process.stdin.resume().on('end', () => {
  clearInterval(timer);
  read();
  const { user, system } = process.cpuUsage(begin);
  say({ packets, lost: log.lost, cpuMs: (user + system) / 1000 });
  log.close();
});

/** @param {object} line */
function say(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
