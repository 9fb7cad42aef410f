/**
 * A qube that asks for names, and connects to what it is told at once: each line of standard input is what to
 * do, and is answered with how often what came of it.
 *
 *     {"server": "10.138.0.1", "domain": "deb.example", "from": 0, "count": 100, "type": "A", "port": 5353}
 *     {"open": 98, "SERVFAIL": 2}        or refused: it was told an address, and could not connect to it
 *
 * With "again" it connects to what it was told before, and asks nobody; with "wide" it asks for `w7` and
 * so on alone, with room for long answers, and counts the addresses that it is told.
 */

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, isIPv6 } from 'node:net';
import { createInterface } from 'node:readline';
import packet from 'dns-packet';

const PORT = 443;
const AT_ONCE = 4;
const WAIT_MS = 5000;
const TRIES = 5;
const ROOM_BYTES = 1232;

/** @typedef {{ readonly address: string, readonly port: number, readonly roomBytes?: number }} Server */

/** @param {number} udpPayloadSize */
const optOf = (udpPayloadSize) =>
  /** @type {packet.OptAnswer} */ ({
    ...{ type: 'OPT', name: '.', udpPayloadSize, flags: 0, options: [] },
    ...{ extendedRcode: 0, ednsVersion: 0, flag_do: false },
  });

/** @param {Server} server @param {string} name @param {packet.RecordType} type */
async function asked(server, name, type) {
  const query = /** @type {packet.Packet} */ ({
    type: 'query',
    id: 7,
    flags: packet.RECURSION_DESIRED,
    questions: [{ type, name }],
    additionals: server.roomBytes === undefined ? [] : [optOf(server.roomBytes)],
  });
  const socket = createSocket(isIPv6(server.address) ? 'udp6' : 'udp4');
  const timer = setTimeout(() => socket.emit('message', undefined), WAIT_MS);
  socket.send(packet.encode(query), server.port, server.address);
  const [bytes] = await once(socket, 'message');
  clearTimeout(timer);
  socket.close();
  if (bytes === undefined) return { rcode: 'SILENCE', addresses: [] };
  const first = packet.decode(bytes);
  const whole = first.flag_tc ? await askedByTcp(server, query) : first;
  const answer = /** @type {packet.DecodedPacket & { rcode: string }} */ (whole);
  const addresses = (answer.answers ?? []).flatMap((each) =>
    each.type === 'A' || each.type === 'AAAA' ? [each.data] : hintsOf(/** @type {any} */ (each)),
  );
  return { rcode: answer.rcode, addresses };
}

/**
 * What a service of the name itself (HTTPS) has as hints, one of each family.
 * @param {{ readonly type: string, readonly data: Buffer }} answer
 */
function hintsOf({ type, data }) {
  if (type !== 'UNKNOWN_65') return [];
  const hints = [];
  for (let at = 3; at < data.length; at += 4 + data.readUInt16BE(at + 2)) {
    const value = data.subarray(at + 4, at + 4 + data.readUInt16BE(at + 2));
    const words = Array.from({ length: value.length / 2 }, (_, i) => value.readUInt16BE(i * 2).toString(16));
    hints.push(value.length === 4 ? value.join('.') : words.join(':'));
  }
  return hints;
}

/** @param {Server} server @param {packet.Packet} query */
async function askedByTcp(server, query) {
  const socket = connect(server.port, server.address);
  socket.write(packet.streamEncode(query));
  let bytes = Buffer.alloc(0);
  for await (const piece of socket) {
    bytes = Buffer.concat([bytes, piece]);
    if (bytes.length >= 2 && bytes.length >= 2 + bytes.readUInt16BE(0)) break;
  }
  return packet.streamDecode(bytes);
}

/**
 * As resolvers do: who gets SERVFAIL asks again.
 * @param {Server} server @param {string} name @param {packet.RecordType} type
 */
async function answered(server, name, type) {
  for (let tries = 1; ; tries++) {
    const answer = await asked(server, name, type);
    if (answer.rcode !== 'SERVFAIL' || tries === TRIES) return answer;
  }
}

/** @param {string} address @returns {Promise<'open' | 'refused'>} */
function connected(address) {
  return new Promise((resolve) => {
    const socket = connect(PORT, address);
    socket.setTimeout(WAIT_MS, () => socket.destroy(new Error('no answer')));
    socket.once('connect', () => {
      socket.destroy();
      resolve('open');
    });
    socket.once('error', () => resolve('refused'));
  });
}

/** By name. @type {Map<string, { readonly rcode: string, readonly addresses: readonly string[] }>} */
const told = new Map();

for await (const line of createInterface({ input: process.stdin })) {
  const asking = JSON.parse(line);
  const {
    server,
    port = 5353,
    domain,
    from = 0,
    count = 1,
    type = 'A',
    label,
    address,
    again,
    wide,
  } = asking;
  const asker = { address: server, port, ...(wide ? { roomBytes: ROOM_BYTES } : {}) };
  /** @type {Record<string, number>} */
  const seen = {};
  const note = (/** @type {string} */ what, count = 1) => {
    seen[what] = (seen[what] ?? 0) + count;
  };
  let next = from;
  const work = async () => {
    while (next < from + count) {
      const name = `${label ?? `${wide ? 'w' : 'n'}${next}`}.${domain}`;
      next++;
      if (address !== undefined) {
        note(await connected(address));
        continue;
      }
      const answer = again ? told.get(name) : await answered(asker, name, type);
      const { rcode, addresses } = answer ?? { rcode: 'never told', addresses: [] };
      told.set(name, { rcode, addresses });
      if (addresses.length === 0) note(rcode === 'NOERROR' ? 'NODATA' : rcode);
      if (wide) note('told', addresses.length);
      else for (const each of addresses) note(await connected(each));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  process.stdout.write(`${JSON.stringify(seen)}\n`);
}
