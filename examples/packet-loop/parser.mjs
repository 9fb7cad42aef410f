/**
 * Headers of raw packets, read into the columns that a table judges in place: IPv4 (RFC 791) and IPv6 with
 * its extension headers (RFC 8200). Nothing is allocated, and no byte outside the packet is read, whatever
 * the packet claims.
 *
 * A rule looks at a packet's addresses, its protocol, and its port or ICMP type. The protocol of an IPv6
 * packet is the one after all extension headers. The port is unreadable in a later fragment, and in a packet
 * that ends before it; then no rule for ports accepts. A packet without a readable protocol or addresses is
 * not judged: drop it.
 *
 * Checksums are not checked: the receiver does that, and each forwarder computes the header's own anew.
 */

import { IpProtocol } from '@rulecast/rules';
import { UNREADABLE } from '@rulecast/table';

/** What became of a packet. The first two are in a lane now, all others are to be dropped. */
export const Parsed = /** @type {const} */ ({
  ip4: 0,
  ip6: 1,
  /** No bytes, or of another version. */
  notIp: 2,
  /** It, or one of its headers, claims more bytes than there are. */
  truncated: 3,
  /** It claims fewer bytes than its own header, or has an address that belongs on no wire. */
  malformed: 4,
  /** A later fragment, whose protocol stands in the first one only. */
  hidden: 5,
});
/** @typedef {(typeof Parsed)[keyof typeof Parsed]} ParsedKind */

// Fixed by the protocols.
const IP4_HEADER_BYTES = 20;
const IP6_HEADER_BYTES = 40;
/** The unit of an extension header's length. */
const EXTENSION_BYTES = 8;
/** In units of 8 bytes, in the last 13 bits of its field. */
const IP4_FRAGMENT_OFFSET = 0x1fff;
/** In bytes, as its field's last three bits are flags. */
const IP6_FRAGMENT_OFFSET = 0xfff8;
/**
 * Extension headers by their protocol numbers (IANA); ESP is none, because what is behind it cannot be read.
 */
const Extension = /** @type {const} */ ({
  hopByHop: 0,
  routing: 43,
  fragment: 44,
  authentication: 51,
  destination: 60,
});
/** The third word of an IPv4-mapped address, after two of zeros (RFC 4291 §2.5.5.2). */
const MAPPED = 0xffff;

/** The packets of one family that wait to be judged together. */
export class Lane {
  count = 0;

  /** @param {import('@rulecast/table').PacketColumns} columns */
  constructor(columns) {
    this.columns = columns;
    /** The frame of each packet, for the caller that executes its verdict. */
    this.frames = new Uint32Array(columns.capacity);
  }
}

/**
 * Reads the packet in `view[start, end)` and adds it to the lane of its family, which must have room.
 * @param {DataView} view @param {number} start @param {number} end
 * @param {number} frame Noted with the packet.
 * @param {Lane} lane4 @param {Lane} lane6
 * @returns {ParsedKind}
 */
export function parsePacket(view, start, end, frame, lane4, lane6) {
  if (start >= end) return Parsed.notIp;
  const version = view.getUint8(start) >>> 4;
  if (version === 4) return parse4(view, start, end, frame, lane4);
  return version === 6 ? parse6(view, start, end, frame, lane6) : Parsed.notIp;
}

/**
 * @param {DataView} view
 * @param {number} start
 * @param {number} end
 * @param {number} frame
 * @param {Lane} lane
 * @returns {ParsedKind}
 */
function parse4(view, start, end, frame, lane) {
  if (end - start < IP4_HEADER_BYTES) return Parsed.truncated;
  const headerBytes = (view.getUint8(start) & 15) * 4;
  const totalBytes = view.getUint16(start + 2);
  if (headerBytes < IP4_HEADER_BYTES || totalBytes < headerBytes) return Parsed.malformed;
  if (totalBytes > end - start) return Parsed.truncated;
  const isLater = (view.getUint16(start + 6) & IP4_FRAGMENT_OFFSET) !== 0;
  const proto = view.getUint8(start + 9);
  const { columns, count } = lane;
  // Signed reads, here and below: the words are the same in their column, and a signed one never costs an
  // allocation.
  columns.src[count] = view.getInt32(start + 12);
  columns.dst[count] = view.getInt32(start + 16);
  columns.protos[count] = proto;
  columns.details[count] = isLater
    ? UNREADABLE
    : detailAt(view, start + headerBytes, start + totalBytes, proto, IpProtocol.icmp);
  lane.frames[count] = frame;
  lane.count = count + 1;
  return Parsed.ip4;
}

/**
 * @param {DataView} view
 * @param {number} start
 * @param {number} end
 * @param {number} frame
 * @param {Lane} lane
 * @returns {ParsedKind}
 */
function parse6(view, start, end, frame, lane) {
  if (end - start < IP6_HEADER_BYTES) return Parsed.truncated;
  const packetEnd = start + IP6_HEADER_BYTES + view.getUint16(start + 4);
  if (packetEnd > end) return Parsed.truncated;
  // Rules mean such an address as IPv4, where this packet would pass them by.
  if (isMapped(view, start + 8) || isMapped(view, start + 24)) return Parsed.malformed;
  let proto = view.getUint8(start + 6);
  let at = start + IP6_HEADER_BYTES;
  let isLater = false;
  while (isExtension(proto) && !isLater) {
    if (at + EXTENSION_BYTES > packetEnd) return Parsed.truncated;
    isLater = proto === Extension.fragment && (view.getUint16(at + 2) & IP6_FRAGMENT_OFFSET) !== 0;
    const bytes = extensionBytes(proto, view.getUint8(at + 1));
    proto = view.getUint8(at);
    at += bytes;
    if (at > packetEnd) return Parsed.truncated;
  }
  if (isExtension(proto)) return Parsed.hidden;
  const { columns, count } = lane;
  for (let word = 0; word < 4; word++) {
    columns.src[count * 4 + word] = view.getInt32(start + 8 + word * 4);
    columns.dst[count * 4 + word] = view.getInt32(start + 24 + word * 4);
  }
  columns.protos[count] = proto;
  columns.details[count] = isLater ? UNREADABLE : detailAt(view, at, packetEnd, proto, IpProtocol.icmp6);
  lane.frames[count] = frame;
  lane.count = count + 1;
  return Parsed.ip6;
}

/** @param {DataView} view @param {number} at Of an IPv6 address. */
function isMapped(view, at) {
  return view.getInt32(at + 8) === MAPPED && view.getInt32(at) === 0 && view.getInt32(at + 4) === 0;
}

/** @param {number} proto */
function isExtension(proto) {
  return (
    proto === Extension.hopByHop ||
    proto === Extension.routing ||
    proto === Extension.fragment ||
    proto === Extension.authentication ||
    proto === Extension.destination
  );
}

/** How long a header is, by its own length field. @param {number} proto @param {number} length */
function extensionBytes(proto, length) {
  if (proto === Extension.fragment) return EXTENSION_BYTES; // the field is reserved
  if (proto === Extension.authentication) return (length + 2) * 4; // RFC 4302 §2.2
  return (length + 1) * EXTENSION_BYTES;
}

/**
 * The destination port or ICMP type in the header at `at`; UNREADABLE where it has none, or ends before it.
 * @param {DataView} view @param {number} at @param {number} end @param {number} proto
 * @param {number} icmp The family's own.
 */
function detailAt(view, at, end, proto, icmp) {
  if (proto === IpProtocol.tcp || proto === IpProtocol.udp)
    return at + 4 <= end ? view.getUint16(at + 2) : UNREADABLE;
  return proto === icmp && at < end ? view.getUint8(at) : UNREADABLE;
}
