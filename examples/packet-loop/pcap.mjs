/**
 * Packets from a capture file in the classic pcap format (draft-ietf-opsawg-pcap), as tcpdump -w writes them,
 * both byte orders and both resolutions of time: each IP packet from its IP header on, without its link
 * layer.
 */

/** The file cannot be read as a capture of IP packets. */
export class PcapError extends Error {}

const FILE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const MAGIC_NANOSECONDS = 0xa1b23c4d;
const MAGIC_PCAPNG = 0x0a0d0d0a;
/** Link types (tcpdump.org/linktypes.html) by what they put before the IP header. */
const ETHERNET = 1;
const LINUX_COOKED = 113;
const RAW_IP = [12, 14, 101, 228, 229];
const ETHERTYPES_IP = [0x0800, 0x86dd];
const ETHERTYPES_VLAN = [0x8100, 0x88a8];

/**
 * The IP packets of a capture, and how many frames of it are something else, such as ARP. Packets are views
 * of `bytes`, as long as they were captured. Throws PcapError.
 * @param {Uint8Array} bytes
 * @returns {{ packets: Uint8Array[], others: number }}
 */
export function readPcap(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < FILE_HEADER_BYTES) throw new PcapError('it is shorter than the header of a pcap file');
  const isLittle = isLittleEndian(view);
  const linkType = view.getUint32(20, isLittle) & 0xffff; // the rest says how frames end
  /** @type {Uint8Array[]} */
  const packets = [];
  let others = 0;
  for (let at = FILE_HEADER_BYTES; at < bytes.length; ) {
    const start = at + RECORD_HEADER_BYTES;
    const end = start > bytes.length ? start : start + view.getUint32(at + 8, isLittle);
    if (end > bytes.length) throw new PcapError(`it ends within the frame at byte ${at}`);
    const packet = ipPacketOf(bytes.subarray(start, end), linkType);
    if (packet === undefined) others++;
    else packets.push(packet);
    at = end;
  }
  return { packets, others };
}

/** @param {DataView} view */
function isLittleEndian(view) {
  for (const isLittle of [true, false]) {
    const magic = view.getUint32(0, isLittle);
    if (magic === MAGIC_MICROSECONDS || magic === MAGIC_NANOSECONDS) return isLittle;
  }
  if (view.getUint32(0) === MAGIC_PCAPNG)
    throw new PcapError('it is a pcapng file: convert it with editcap -F pcap');
  throw new PcapError('it does not begin like a pcap file');
}

/**
 * A frame without its link layer; undefined if it carries no IP.
 * @param {Uint8Array} frame
 * @param {number} linkType
 */
function ipPacketOf(frame, linkType) {
  if (RAW_IP.includes(linkType)) return frame;
  if (linkType !== ETHERNET && linkType !== LINUX_COOKED)
    throw new PcapError(`its link type is ${linkType}: capture on an Ethernet or IP interface`);
  let at = linkType === ETHERNET ? 12 : 14; // where the type of the payload is
  while (ETHERTYPES_VLAN.includes(ethertypeAt(frame, at))) at += 4;
  return ETHERTYPES_IP.includes(ethertypeAt(frame, at)) ? frame.subarray(at + 2) : undefined;
}

/** -1 beyond the end. @param {Uint8Array} frame @param {number} at */
function ethertypeAt(frame, at) {
  const high = frame[at];
  const low = frame[at + 1];
  return high === undefined || low === undefined ? -1 : (high << 8) | low;
}
