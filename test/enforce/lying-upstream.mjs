/**
 * A resolver that lies, by datagram alone, in the way that the second label of a name says:
 * `n7.id.deb.example` is answered under another id. What it says is always another address than
 * test/enforce/names-upstream.mjs has: 93.185.0.7. Its arguments are an address and a port.
 */

import { createSocket } from 'node:dgram';
import packet from 'dns-packet';

/**
 * @typedef {packet.Question & { readonly name: string }} Question
 * @typedef {(asked: Question, id: number) => Uint8Array | undefined} Lie undefined: it says nothing
 */

const FLAGS = packet.RECURSION_DESIRED | packet.RECURSION_AVAILABLE;
const QUERY_OPCODE_OF_OTHERS = 0x10;
const [SERVER_FAILURE, NOT_IMPLEMENTED, REFUSED] = [2, 4, 5];
const ALIASES = 65;

/** @param {string} name @returns {packet.Answer} */
function addressOf(name) {
  const number = Number(/^n(\d+)\./i.exec(name)?.[1] ?? 0);
  return { type: 'A', name, ttl: 60, data: `93.185.${number >> 8}.${number & 255}` };
}

/**
 * @param {Partial<packet.Packet>} different From what a resolver would answer.
 * @param {Question} asked @param {number} id
 */
function answer(asked, id, different = {}) {
  const plain = { type: /** @type {const} */ ('response'), id, flags: FLAGS, questions: [asked] };
  return packet.encode({ ...plain, answers: [addressOf(asked.name)], ...different });
}

/** @param {string} name @param {string} data @returns {packet.Answer} */
const alias = (name, data) => ({ type: 'CNAME', name, ttl: 60, data });

/** @param {string} name */
const turned = (name) =>
  name.replace(/[a-z]/gi, (letter) =>
    letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase(),
  );

/** With another question, to which the answer belongs. @param {Partial<Question>} different @returns {Lie} */
const toAnother = (different) => (asked, id) => answer({ ...asked, ...different }, id);

/** @type {Readonly<Record<string, Lie>>} */
const LIES = {
  id: (asked, id) => answer(asked, id ^ 1),
  name: (asked, id) => answer({ ...asked, name: asked.name.replace(/^n/i, 'm') }, id),
  type: toAnother({ type: 'TXT' }),
  class: toAnother({ class: 'CH' }),
  case: (asked, id) => answer({ ...asked, name: turned(asked.name) }, id),
  none: (asked, id) => answer(asked, id, { questions: [] }),
  two: (asked, id) => answer(asked, id, { questions: [asked, asked] }),
  question: (asked, id) => answer(asked, id, { type: 'query' }),
  opcode: (asked, id) => {
    const bytes = answer(asked, id);
    bytes.writeUInt8(bytes.readUInt8(2) | QUERY_OPCODE_OF_OTHERS, 2);
    return bytes;
  },
  short: (asked, id) => answer(asked, id).subarray(0, -3),
  long: (asked, id) => Buffer.concat([answer(asked, id), Buffer.alloc(3, 1)]),
  garbage: (_, id) => Buffer.concat([Uint8Array.of(id >> 8, id & 255), Buffer.alloc(60, 0xff)]),
  empty: () => new Uint8Array(0),
  silent: () => undefined,
  cut: (asked, id) => answer(asked, id, { flags: FLAGS | packet.TRUNCATED_RESPONSE }),
  failed: (asked, id) => answer(asked, id, { flags: FLAGS | SERVER_FAILURE }),
  unable: (asked, id) => answer(asked, id, { flags: FLAGS | NOT_IMPLEMENTED }),
  refused: (asked, id) => answer(asked, id, { flags: FLAGS | REFUSED }),
  // These are answers, and say nothing of the address that stands beside.
  owner: (asked, id) =>
    answer(asked, id, { answers: [{ ...addressOf(asked.name), name: 'm1.deb.example' }] }),
  loop: (asked, id) => {
    const [one, other] = [asked.name, `b.${asked.name}`];
    const beside = /** @type {packet.Answer} */ ({ ...addressOf(one), name: 'm1.deb.example' });
    return answer(asked, id, { answers: [alias(one, other), alias(other, one), beside] });
  },
  self: (asked, id) => answer(asked, id, { answers: [alias(asked.name, asked.name)] }),
  chain: (asked, id) => {
    const names = Array.from({ length: ALIASES + 1 }, (_, i) => (i === 0 ? asked.name : `a${i}.example`));
    const aliases = Array.from({ length: ALIASES }, (_, i) => alias(names[i] ?? '', names[i + 1] ?? ''));
    return answer(asked, id, { answers: [...aliases, addressOf(asked.name)] });
  },
};

const [address, port] = process.argv.slice(2);
const socket = createSocket('udp4');
socket.on('message', (bytes, from) => {
  const { id = 0, questions = [] } = packet.decode(bytes);
  const [asked] = questions;
  const lie = LIES[asked?.name.toLowerCase().split('.')[1] ?? ''];
  const said = asked === undefined ? undefined : lie?.(asked, id);
  if (said !== undefined) socket.send(said, from.port, from.address);
});
socket.bind(Number(port), address, () => process.stdout.write('ready\n'));
