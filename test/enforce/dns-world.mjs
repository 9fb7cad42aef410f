/**
 * A resolver of the Internet, at port 53 of the addresses that are its arguments, by UDP and TCP: whatever is
 * asked has an address. And something else at port 5300 of them, which says `other`.
 */

import { createSocket } from 'node:dgram';
import { createServer, isIPv6 } from 'node:net';
import packet from 'dns-packet';

/** @param {Uint8Array} bytes */
function answerTo(bytes) {
  const { id, questions = [] } = packet.decode(Buffer.from(bytes));
  const answers = questions.map(({ name, type }) =>
    type === 'AAAA'
      ? /** @type {const} */ ({ type: 'AAAA', name, ttl: 60, data: '2606:2800:220:1::1' })
      : /** @type {const} */ ({ type: 'A', name, ttl: 60, data: '93.184.216.34' }),
  );
  const flags = packet.RECURSION_DESIRED | packet.RECURSION_AVAILABLE;
  return packet.encode({ type: 'response', id: id ?? 0, flags, questions, answers });
}

/** @param {string} address @param {number} port @param {(asked: Uint8Array) => Uint8Array} answer @param {boolean} isFramed */
async function serve(address, port, answer, isFramed) {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  socket.on('message', (bytes, from) => socket.send(answer(bytes), from.port, from.address));
  const server = createServer((client) => {
    client.on('error', () => undefined);
    client.once('data', (bytes) => {
      const said = answer(isFramed ? bytes.subarray(2) : bytes);
      client.end(isFramed ? Buffer.concat([Uint8Array.of(said.length >> 8, said.length & 255), said]) : said);
    });
  });
  await Promise.all([
    new Promise((resolve) => socket.bind(port, address, () => resolve(undefined))),
    new Promise((resolve) => server.listen(port, address, () => resolve(undefined))),
  ]);
}

for (const address of process.argv.slice(2)) {
  await serve(address, 53, answerTo, true);
  await serve(address, 5300, () => Buffer.from('other\n'), false);
}
process.stdout.write('ready\n');
