/**
 * A resolver that knows names by their first label, whatever comes behind: `n7` has an address of its own,
 * `many` has 65, `private` one of a qube, and `www` is an alias of `n1` of another domain. On 127.0.0.1; its
 * argument is the port.
 */

import { createSocket } from 'node:dgram';
import packet from 'dns-packet';

const socket = createSocket('udp4');
socket.on('message', (bytes, from) => {
  const { id, questions: [question] = [] } = packet.decode(bytes);
  if (question === undefined) return;
  const answers = answersTo(question.name.toLowerCase(), question.name, question.type ?? 'A');
  const flags = packet.RECURSION_DESIRED | packet.RECURSION_AVAILABLE;
  socket.send(
    packet.encode({ type: 'response', id: id ?? 0, flags, questions: [question], answers }),
    from.port,
    from.address,
  );
});
socket.bind(Number(process.argv[2]), '127.0.0.1', () => process.stdout.write('ready\n'));

/** @param {string} lower @param {string} name @param {string} type @returns {packet.Answer[]} */
function answersTo(lower, name, type) {
  const [label = ''] = lower.split('.');
  if (label === 'www') {
    const target = 'n1.cdn.example';
    return [{ type: 'CNAME', name, ttl: 60, data: target }, ...answersTo(target, target, type)];
  }
  const number = Number(/^n(\d+)$/.exec(label)?.[1] ?? 0);
  if (type === 'AAAA') return [{ type, name, ttl: 60, data: `2606:2800:220:1::${number.toString(16)}` }];
  if (type !== 'A') return [];
  if (label === 'private') return [{ type, name, ttl: 60, data: '10.137.128.6' }];
  const count = label === 'many' ? 65 : 1;
  return Array.from({ length: count }, (_, i) => {
    const at = number + i;
    return /** @type {const} */ ({ type, name, ttl: 60, data: `93.184.${at >> 8}.${at & 255}` });
  });
}
