/**
 * A qube that asks for one name again and again, by UDP from a port of its own each time and by TCP, of
 * some resolvers, until its standard input ends; then it says how often it got which answer. Each line of
 * input is answered at once with what came since the last:
 *
 *     node dns-stream.mjs ads.example 10.139.1.1 fd53::1        {"NXDOMAIN 10.139.1.1": 42}
 */

import { createSocket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import { createInterface } from 'node:readline';
import packet from 'dns-packet';

const EVERY_MS = 4;
const LIVES_MS = 1500;
const [name = '', ...servers] = process.argv.slice(2);

/** @type {Record<string, number>} */
let seen = {};

/** @param {Buffer} bytes @param {string} server */
function note(bytes, server) {
  const { rcode } = /** @type {packet.DecodedPacket & { rcode: string }} */ (packet.decode(bytes));
  const key = `${rcode} ${server}`;
  seen[key] = (seen[key] ?? 0) + 1;
}

function question() {
  const id = Math.floor(Math.random() * 65_536);
  const questions = [/** @type {const} */ ({ type: 'A', name })];
  return packet.encode({ type: 'query', id, flags: packet.RECURSION_DESIRED, questions });
}

let count = 0;
const timer = setInterval(() => {
  const server = servers[count % servers.length] ?? '';
  if (++count % 8 < 2) {
    const socket = connect(53, server);
    const bytes = question();
    socket.write(Buffer.concat([Uint8Array.of(bytes.length >> 8, bytes.length & 255), bytes]));
    socket.setTimeout(LIVES_MS, () => socket.destroy());
    socket.on('error', () => undefined);
    socket.once('data', (answer) => {
      note(answer.subarray(2), server);
      socket.destroy();
    });
    return;
  }
  const socket = createSocket(isIPv6(server) ? 'udp6' : 'udp4');
  const close = setTimeout(() => socket.close(), LIVES_MS);
  socket.on('error', () => undefined);
  socket.once('message', (answer) => {
    note(answer, server);
    clearTimeout(close);
    socket.close();
  });
  socket.send(question(), 53, server, () => undefined);
}, EVERY_MS);

for await (const _ of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(seen)}\n`);
  seen = {};
}
clearInterval(timer);
process.exit(0);
