/**
 * Traffic to judge where there is none at hand: seeded, so that every run sees the same packets. Qubes of
 * Qubes OS talk to blocks of addresses that are set aside for benchmarks and documentation, in TCP, UDP, ICMP
 * and what else there is, with options, extension headers and fragments, and now and then a packet is cut
 * short or says what cannot be.
 */

import { IpProtocol } from '@rulecast/rules';

/** Blocks of destinations, of 4 addresses (IPv4) or a /48 (IPv6). */
export const BLOCKS = 2 ** 14;
const BLOCKS4_FIRST = 0xc6120000; // 198.18.0.0, RFC 2544
const BLOCKS6_FIRST = 0x20010db8; // 2001:db8::, RFC 3849
/** Senders: 10.137.0.1 and up, fd09:24ef:4179::a89:1 and up, as Qubes numbers them. */
const QUBES = 8;
const QUBES4_FIRST = 0x0a890001;
const QUBES6_FIRST = [0xfd0924ef, 0x41790000, 0, 0x0a890001];

const GRE = 47;
/** Likelier ones stand more often; ICMP is the family's own. @type {readonly (number | 'icmp')[]} */
const PROTOCOLS = [
  IpProtocol.tcp,
  IpProtocol.tcp,
  IpProtocol.tcp,
  IpProtocol.udp,
  IpProtocol.udp,
  'icmp',
  'icmp',
  GRE,
];
const PORTS = [22, 53, 80, 123, 443, 443, 443, 8080];
const ICMP_TYPES = { 4: [0, 3, 8, 8, 11], 6: [1, 3, 128, 128, 129] };
/**
 * Data after the transport header: seven small packets to four middling to a large one, the "simple IMIX" of
 * router benches.
 */
const DATA_BYTES = [0, 0, 0, 0, 0, 0, 0, 536, 536, 536, 536, 1440];
/** What stands between an IPv6 header and its payload, mostly nothing. Protocol numbers, see parser.mjs. */
const CHAINS = [[], [], [], [], [], [], [0], [60], [43, 60], [0, 51]];
/** The same of fragments; a later one that begins with a header does not say which protocol it is of. */
const FRAGMENT_CHAINS = [[44], [44], [44], [44, 60]];
const FRAGMENT_HEADER = 44;
const AUTHENTICATION_HEADER = 51;
const MORE_FRAGMENTS = 1;

/** @typedef {(below: number) => number} Numbers Seeded whole numbers from 0 to `below` - 1. */

/**
 * Packets, each from its IP header on.
 * @param {number} count @param {number} seed Not 0.
 * @returns {Uint8Array[]}
 */
export function trafficOf(count, seed) {
  const below = numbersFrom(seed);
  return Array.from({ length: count }, () => {
    const packet = below(2) === 0 ? packet4(below) : packet6(below);
    if (below(256) === 0) packet[0] = 0x40 | below(5); // a header shorter than any
    return below(32) === 0 ? packet.subarray(0, below(packet.length)) : packet;
  });
}

/** xorshift32 (Marsaglia, "Xorshift RNGs", 2003). @param {number} seed Not 0. @returns {Numbers} */
export function numbersFrom(seed) {
  let state = seed | 0;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return Math.floor(((state >>> 0) / 2 ** 32) * below);
  };
}

/** @template T @param {Numbers} below @param {readonly T[]} items @returns {T} */
function pick(below, items) {
  return /** @type {T} */ (items[below(items.length)]); // below the length
}

/** @param {Numbers} below */
function packet4(below) {
  const proto = protocolOf(pick(below, PROTOCOLS), 4);
  const body = transport(proto, 4, below);
  const headerBytes = below(16) === 0 ? 20 + 4 * (1 + below(10)) : 20;
  const { offset, more } = fragmentOf(below);
  const bytes = Buffer.alloc(headerBytes + body.length, 1); // options are no-operations
  bytes[0] = 0x40 | (headerBytes / 4);
  bytes[1] = 0;
  bytes.writeUInt16BE(bytes.length, 2);
  bytes.writeUInt16BE(below(2 ** 16), 4);
  bytes.writeUInt16BE((more << 13) | offset, 6);
  bytes[8] = 64;
  bytes[9] = proto;
  bytes.writeUInt32BE(QUBES4_FIRST + below(QUBES), 12);
  bytes.writeUInt32BE(BLOCKS4_FIRST + below(BLOCKS) * 4 + below(4), 16);
  bytes.set(body, headerBytes);
  return bytes;
}

/** @param {Numbers} below */
function packet6(below) {
  const proto = protocolOf(pick(below, PROTOCOLS), 6);
  const body = transport(proto, 6, below);
  const { offset, more } = fragmentOf(below);
  const isWhole = offset === 0 && more === 0;
  const chain = pick(below, isWhole ? CHAINS : FRAGMENT_CHAINS);
  const extensions = chain.map((type, i) => extension(type, chain[i + 1] ?? proto, offset, more));
  const bytes = Buffer.concat([Buffer.alloc(40), ...extensions, body]);
  bytes[0] = 0x60;
  bytes.writeUInt16BE(bytes.length - 40, 4);
  bytes[6] = chain[0] ?? proto;
  bytes[7] = 64;
  for (const [i, word] of QUBES6_FIRST.entries()) bytes.writeUInt32BE(word, 8 + i * 4);
  bytes.writeUInt32BE((QUBES6_FIRST[3] ?? 0) + below(QUBES), 20);
  bytes.writeUInt32BE(BLOCKS6_FIRST, 24);
  bytes.writeUInt32BE(below(BLOCKS) * 2 ** 16, 28);
  bytes.writeUInt32BE(1 + below(2 ** 16), 36);
  return bytes;
}

/**
 * A whole packet, mostly; else a first fragment or a later one. Offsets in units of 8 bytes.
 * @param {Numbers} below
 */
function fragmentOf(below) {
  switch (below(16)) {
    case 0:
      return { offset: 0, more: MORE_FRAGMENTS };
    case 1:
      return { offset: 1 + below(180), more: below(2) };
    default:
      return { offset: 0, more: 0 };
  }
}

/** @param {number} type @param {number} next @param {number} offset @param {number} more */
function extension(type, next, offset, more) {
  if (type === FRAGMENT_HEADER) return Buffer.from([next, 0, offset >>> 5, (offset << 3) | more, 0, 0, 0, 1]);
  if (type === AUTHENTICATION_HEADER) return Buffer.from([next, 2, ...new Uint8Array(14)]); // 16 bytes
  return Buffer.from([next, 0, 1, 4, 0, 0, 0, 0]); // one padding option of 6 bytes
}

/** @param {number | 'icmp'} proto @param {4 | 6} family */
function protocolOf(proto, family) {
  if (proto !== 'icmp') return proto;
  return family === 4 ? IpProtocol.icmp : IpProtocol.icmp6;
}

/** Transport header and data. @param {number} proto @param {4 | 6} family @param {Numbers} below */
function transport(proto, family, below) {
  const bytes = Buffer.alloc(20 + pick(below, DATA_BYTES));
  switch (proto) {
    case IpProtocol.tcp:
    case IpProtocol.udp:
      bytes.writeUInt16BE(32768 + below(28_232), 0);
      bytes.writeUInt16BE(pick(below, PORTS), 2);
      return bytes;
    case IpProtocol.icmp:
    case IpProtocol.icmp6:
      bytes[0] = pick(below, ICMP_TYPES[family]);
      return bytes;
    default:
      return bytes;
  }
}
