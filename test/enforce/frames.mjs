/**
 * Ethernet frames of IPv4 and IPv6 packets, byte by byte, so that tests can send what no socket would:
 * fragments, chains of extension headers, any protocol. Layouts: RFC 791, RFC 8200, RFC 768, RFC 9293, RFC
 * 792, RFC 4443, RFC 9260.
 */

import { IpProtocol } from '@rulecast/rules';

/** What stands in every frame: four bytes and a number of four, found again by frame-pump.py. */
const MARK = Buffer.from('RCmk');
const MARK_BYTES = 8;
const ETHERTYPE = /** @type {const} */ ({ 4: 0x0800, 6: 0x86dd });
const ETHERNET_BYTES = 14;
const HOP_LIMIT = 64;
const TCP_SYN = 0x02;
const SCTP = 132;
const SCTP_INIT = 1;
const CRC32C = 0x82f63b78; // the polynomial, its bits reversed
const ROUTING_HEADER = 43;
const FRAGMENT_HEADER = 44;
const MORE_FRAGMENTS = 0x2000;

/**
 * @typedef {import('@rulecast/rules').Address} Address
 * @typedef {object} IpPacket
 * @property {Address} src
 * @property {Address} dst
 * @property {number} proto IP protocol number, after extension headers.
 * @property {Uint8Array} payload After the IP header and all extension headers.
 * @property {readonly number[]} [extensions] IPv6 only: header types in their order, of 0 (hop by hop), 43
 *   (routing), 44 (fragment, a whole packet), 60 (destination).
 */

/**
 * What a packet carries: a TCP segment, a UDP datagram, an ICMP message, the first chunk of an SCTP
 * association, or the mark alone.
 * @typedef {object} Segment
 * @property {number} mark 32 bits, to know the packet again.
 * @property {number} [srcPort]
 * @property {number | undefined} [dstPort]
 * @property {number | undefined} [icmpType]
 * @property {number} [tcpFlags] Default SYN.
 * @property {number} [dataBytes] After the header; the mark fills them, again in each 8 bytes. Default 8.
 */

/**
 * The transport header and marked data, with the checksum that the addresses ask for.
 * @param {Address} src @param {Address} dst @param {number} proto @param {Segment} content
 * @returns {Uint8Array}
 */
export function segment(src, dst, proto, { dataBytes = MARK_BYTES, ...content }) {
  const data = Buffer.alloc(dataBytes);
  for (let at = 0; at + MARK_BYTES <= dataBytes; at += MARK_BYTES) {
    MARK.copy(data, at);
    data.writeUInt32BE(content.mark, at + MARK.length);
  }
  const header = transportHeader(proto, content, dataBytes);
  const bytes = Buffer.concat([header.bytes, data]);
  if (header.checksumAt !== undefined) {
    const pseudo =
      proto === IpProtocol.icmp ? new Uint8Array(0) : pseudoHeader(src, dst, proto, bytes.length);
    bytes.writeUInt16BE(checksum(pseudo, bytes) || 0xffff, header.checksumAt);
  }
  if (proto === SCTP) bytes.writeUInt32LE(crc32c(bytes), 8);
  return bytes;
}

/**
 * @param {number} proto @param {Segment} content @param {number} dataBytes
 * @returns {{ bytes: Buffer, checksumAt: number | undefined }}
 */
function transportHeader(
  proto,
  { mark, srcPort = 0, dstPort = 0, icmpType = 0, tcpFlags = TCP_SYN },
  dataBytes,
) {
  switch (proto) {
    case IpProtocol.tcp: {
      const bytes = Buffer.alloc(20);
      bytes.writeUInt16BE(srcPort, 0);
      bytes.writeUInt16BE(dstPort, 2);
      bytes.writeUInt32BE(mark, 4); // sequence number
      bytes[12] = 5 << 4; // words of header
      bytes[13] = tcpFlags;
      bytes.writeUInt16BE(0xffff, 14); // window
      return { bytes, checksumAt: 16 };
    }
    case IpProtocol.udp: {
      const bytes = Buffer.alloc(8);
      bytes.writeUInt16BE(srcPort, 0);
      bytes.writeUInt16BE(dstPort, 2);
      bytes.writeUInt16BE(bytes.length + dataBytes, 4);
      return { bytes, checksumAt: 6 };
    }
    case IpProtocol.icmp:
    case IpProtocol.icmp6: {
      const bytes = Buffer.alloc(8);
      bytes[0] = icmpType;
      bytes.writeUInt32BE(mark, 4); // identifier and sequence number of an echo
      return { bytes, checksumAt: 2 };
    }
    case SCTP: {
      const bytes = Buffer.alloc(12 + 20 + 4); // header, chunk, and a parameter that holds the data
      bytes.writeUInt16BE(srcPort, 0);
      bytes.writeUInt16BE(dstPort, 2);
      bytes[12] = SCTP_INIT;
      bytes.writeUInt16BE(bytes.length - 12 + dataBytes, 14);
      bytes.writeUInt32BE(mark, 16); // initiate tag
      bytes.writeUInt32BE(0xffff, 20); // window
      bytes.writeUInt32BE(0x00010001, 24); // one stream each way
      bytes.writeUInt16BE(0x8000, 32); // a parameter to be skipped
      bytes.writeUInt16BE(4 + dataBytes, 34);
      return { bytes, checksumAt: undefined };
    }
    default:
      return { bytes: Buffer.alloc(0), checksumAt: undefined };
  }
}

/** The checksum of SCTP, of a packet whose own is zero. @param {Uint8Array} bytes */
function crc32c(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) === 0 ? 0 : CRC32C);
  }
  return ~crc >>> 0;
}

/**
 * A whole packet in a frame.
 * @param {Uint8Array} dstMac Six bytes. @param {Uint8Array} srcMac Six bytes. @param {IpPacket} packet
 * @returns {Uint8Array}
 */
export function frameOf(dstMac, srcMac, { src, dst, proto, payload, extensions = [] }) {
  if (src.family === 4) return frame(dstMac, srcMac, 4, ipv4Packet(src, dst, proto, payload, 0, 0));
  const { first, bytes } = extensionChain(extensions, proto);
  return frame(dstMac, srcMac, 6, ipv6Packet(src, dst, first, Buffer.concat([bytes, payload])));
}

/**
 * The packet in fragments, a frame each, that can be sent, or left out, one by one.
 * @param {Uint8Array} dstMac @param {Uint8Array} srcMac
 * @param {IpPacket} packet Without extension headers.
 * @param {readonly number[]} cuts Bytes of payload after which it is cut: ascending multiples of 8.
 * @param {number} id Of the packet, for its family's identification field.
 * @returns {readonly Uint8Array[]}
 */
export function fragmentFrames(dstMac, srcMac, { src, dst, proto, payload }, cuts, id) {
  const starts = [0, ...cuts];
  return starts.map((start, index) => {
    const end = starts[index + 1] ?? payload.length;
    const more = end < payload.length;
    const part = payload.subarray(start, end);
    if (src.family === 4) {
      const flagsAndOffset = (more ? MORE_FRAGMENTS : 0) | (start >> 3);
      return frame(dstMac, srcMac, 4, ipv4Packet(src, dst, proto, part, id, flagsAndOffset));
    }
    const header = Buffer.alloc(8);
    header[0] = proto;
    header.writeUInt16BE(start | (more ? 1 : 0), 2);
    header.writeUInt32BE(id, 4);
    return frame(dstMac, srcMac, 6, ipv6Packet(src, dst, FRAGMENT_HEADER, Buffer.concat([header, part])));
  });
}

/**
 * What a host answers to a packet of IPv4 for a port that nobody listens on, in a frame.
 * @param {Uint8Array} dstMac @param {Uint8Array} srcMac @param {Address} src @param {Address} dst
 * @param {Uint8Array} refused The frame with that packet.
 */
export function unreachableFrame(dstMac, srcMac, src, dst, refused) {
  const message = Buffer.concat([Buffer.from([3, 3, 0, 0, 0, 0, 0, 0]), refused.subarray(ETHERNET_BYTES)]);
  message.writeUInt16BE(checksum(message), 2);
  return frame(dstMac, srcMac, 4, ipv4Packet(src, dst, IpProtocol.icmp, message, 0, 0));
}

/** @param {Uint8Array} dstMac @param {Uint8Array} srcMac @param {4 | 6} family @param {Uint8Array} packet */
function frame(dstMac, srcMac, family, packet) {
  const ethertype = Buffer.alloc(2);
  ethertype.writeUInt16BE(ETHERTYPE[family]);
  return Buffer.concat([dstMac, srcMac, ethertype, packet]);
}

/**
 * @param {Address} src
 * @param {Address} dst
 * @param {number} proto
 * @param {Uint8Array} payload
 * @param {number} id
 * @param {number} flagsAndOffset
 */
function ipv4Packet(src, dst, proto, payload, id, flagsAndOffset) {
  const header = Buffer.alloc(20);
  header[0] = 0x45; // version, words of header
  header.writeUInt16BE(header.length + payload.length, 2);
  header.writeUInt16BE(id & 0xffff, 4);
  header.writeUInt16BE(flagsAndOffset, 6);
  header[8] = HOP_LIMIT;
  header[9] = proto;
  header.set(addressBytes(src), 12);
  header.set(addressBytes(dst), 16);
  header.writeUInt16BE(checksum(header), 10);
  return Buffer.concat([header, payload]);
}

/** @param {Address} src @param {Address} dst @param {number} nextHeader @param {Uint8Array} payload */
function ipv6Packet(src, dst, nextHeader, payload) {
  const header = Buffer.alloc(40);
  header[0] = 6 << 4;
  header.writeUInt16BE(payload.length, 4);
  header[6] = nextHeader;
  header[7] = HOP_LIMIT;
  header.set(addressBytes(src), 8);
  header.set(addressBytes(dst), 24);
  return Buffer.concat([header, payload]);
}

/**
 * Extension headers of 8 bytes each, and the type of the first.
 * @param {readonly number[]} types
 * @param {number} proto
 */
function extensionChain(types, proto) {
  const headers = types.map((type, index) => {
    const next = types[index + 1] ?? proto;
    // Routing: experimental type 253 with no segments left (RFC 4727). Fragment: offset 0, the last one.
    // Options: PadN of 4 bytes.
    if (type === ROUTING_HEADER) return Buffer.from([next, 0, 253, 0, 0, 0, 0, 0]);
    if (type === FRAGMENT_HEADER) return Buffer.from([next, 0, 0, 0, 0, 0, 0, 1]);
    return Buffer.from([next, 0, 1, 4, 0, 0, 0, 0]);
  });
  return { first: types[0] ?? proto, bytes: Buffer.concat(headers) };
}

/** Four or sixteen bytes, in network order. @param {Address} address */
function addressBytes({ family, words }) {
  const bytes = Buffer.alloc(family === 4 ? 4 : 16);
  for (let at = 0; at < bytes.length; at += 4) bytes.writeUInt32BE(words[at / 4] ?? 0, at);
  return bytes;
}

/** @param {Address} src @param {Address} dst @param {number} proto @param {number} length */
function pseudoHeader(src, dst, proto, length) {
  const tail = Buffer.alloc(src.family === 4 ? 4 : 8);
  tail.writeUInt16BE(length, 2);
  tail[src.family === 4 ? 1 : 7] = proto;
  return Buffer.concat([addressBytes(src), addressBytes(dst), tail]);
}

/**
 * The Internet checksum (RFC 1071); each part but the last is of even length.
 * @param {readonly Uint8Array[]} parts
 */
function checksum(...parts) {
  let sum = 0;
  for (const part of parts) {
    for (let at = 0; at < part.length; at += 2) sum += ((part[at] ?? 0) << 8) | (part[at + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
