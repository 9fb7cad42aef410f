/**
 * A resolver that knows names by their first label, whatever comes behind: `n7` has an address of its own,
 * `w7` as many as a datagram has room for, which no other name has, `many` has 65, `private` one of a qube,
 * `inner` one of a network behind, and `www` is an alias of `n1` of another domain. A service (HTTPS,
 * UNKNOWN_65) has the address of each family as a hint. Its arguments are a port, and an address in place of
 * 127.0.0.1.
 */

import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import packet from 'dns-packet';

const WIDE = 40;

const socket = createSocket('udp4');
socket.on('message', (bytes, from) => {
  const answer = answerTo(packet.decode(bytes));
  if (answer !== undefined) socket.send(packet.encode(answer), from.port, from.address);
});
const server = createServer((stream) => {
  stream.on('error', () => undefined);
  stream.once('data', (bytes) => {
    const answer = answerTo(packet.streamDecode(bytes)); // a question is one piece
    if (answer !== undefined) stream.end(packet.streamEncode(answer));
  });
});
const [port, address = '127.0.0.1'] = process.argv.slice(2);
socket.bind(Number(port), address, () => {
  server.listen(Number(port), address, () => process.stdout.write('ready\n'));
});

/** @param {packet.Packet} asked @returns {packet.Packet | undefined} */
function answerTo({ id, questions: [question] = [] }) {
  if (question === undefined) return undefined;
  const answers = answersTo(question.name.toLowerCase(), question.name, question.type ?? 'A');
  const flags = packet.RECURSION_DESIRED | packet.RECURSION_AVAILABLE;
  return { type: 'response', id: id ?? 0, flags, questions: [question], answers };
}

/** @param {string} lower @param {string} name @param {string} type @returns {packet.Answer[]} */
function answersTo(lower, name, type) {
  const [label = ''] = lower.split('.');
  if (label === 'www') {
    const target = 'n1.cdn.example';
    return [{ type: 'CNAME', name, ttl: 60, data: target }, ...answersTo(target, target, type)];
  }
  const number = Number(/^n(\d+)$/.exec(label)?.[1] ?? 0);
  if (type === 'UNKNOWN_65') {
    const [four, six] = [
      [93, 184, number >> 8, number & 255],
      [38, 6, 40, 0, 2, 32, 0, 1, 0, 0, 0, 0, 0, 0],
    ];
    const hints = [0, 4, 0, 4, ...four, 0, 6, 0, 16, ...six, number >> 8, number & 255];
    return [/** @type {any} */ ({ type, name, ttl: 60, data: Buffer.from([0, 1, 0, ...hints]) })];
  }
  if (type === 'AAAA') return [{ type, name, ttl: 60, data: `2606:2800:220:1::${number.toString(16)}` }];
  if (type !== 'A') return [];
  if (label === 'inner') return [{ type, name, ttl: 60, data: '10.55.0.1' }];
  if (label === 'private') return [{ type, name, ttl: 60, data: '10.137.128.6' }];
  const wide = /^w(\d+)$/.exec(label)?.[1];
  if (wide !== undefined) return addresses(name, 101, Number(wide) * WIDE, WIDE);
  return addresses(name, 93, 184 * 65_536 + number, label === 'many' ? 65 : 1);
}

/** @param {string} name @param {number} net the first byte @param {number} from @param {number} count */
function addresses(name, net, from, count) {
  return Array.from({ length: count }, (_, i) => {
    const at = from + i;
    const data = [net, at >> 16, (at >> 8) & 255, at & 255].join('.');
    return /** @type {const} */ ({ type: 'A', name, ttl: 60, data });
  });
}
