/**
 * Messages of NFLOG (linux/netfilter/nfnetlink_log.h), read into the fields of a refused packet. The payload
 * is the sender's, so unreadable bytes give no packet, and nothing throws.
 *
 *   nlmsghdr │ nfgenmsg │ attributes: prefix, interfaces, sequence number, payload: IP, extensions, TCP …
 */

import type { Direction } from '@rulecast/rules';
import { attribute, messagesIn, textOf } from '../kernel/attributes.ts';
import type { LogReason } from '../kernel/log-script.ts';

/** A refused packet; if it was a reply, the flow that it belongs to. */
export interface RefusedPacket {
  /** First 16 hex digits of the release's hash; empty: no release refused it. */
  readonly release: string;
  readonly reason: Exclude<LogReason, 'reply'>;
  readonly direction: Direction;
  /** 4 or 16 bytes each, copies. */
  readonly qube: Uint8Array;
  readonly remote: Uint8Array;
  /** The qube's, by its present name; undefined: it is gone. */
  readonly interface: string | undefined;
  readonly proto: number;
  /** Destination port of the flow; undefined where there is none, or it is not in the packet. */
  readonly port: number | undefined;
  readonly icmpType: number | undefined;
}

interface LoggedMessage {
  /** Grows by one with each packet that the kernel logs for this group. */
  readonly sequence: number | undefined;
  /** Undefined: it cannot be read. */
  readonly packet: RefusedPacket | undefined;
}

const LOGGED_PACKET = (4 << 8) | 0;
const Attribute = { inIndex: 4, outIndex: 5, payload: 9, prefix: 10, sequence: 12 } as const;
const PREFIX = /^([0-9a-f]{16}|-) (rule|reply|tcp-rest|flowless|closed|dns) (from|to)$/;
/** Protocols with ports at the beginning: TCP, UDP, DCCP, SCTP, UDP-Lite. */
const WITH_PORTS = [6, 17, 33, 132, 136];
const ICMP = [1, 58];
const FRAGMENT = 44;
/** IPv6 extension headers: hop by hop, routing, fragment, destination options. */
const EXTENSIONS = [0, 43, FRAGMENT, 60];

/** The messages of one datagram. `interfaceOf` names an interface by its index. */
export function* loggedIn(
  bytes: Buffer,
  interfaceOf: (index: number) => string | undefined,
): Generator<LoggedMessage> {
  for (const { type, body } of messagesIn(bytes))
    if (type === LOGGED_PACKET)
      yield { sequence: wordIn(body, Attribute.sequence), packet: packetIn(body, interfaceOf) };
}

function packetIn(
  body: Buffer,
  interfaceOf: (index: number) => string | undefined,
): RefusedPacket | undefined {
  const [, release = '', reason, way] = PREFIX.exec(textOf(attribute(body, Attribute.prefix))) ?? [];
  const headers = headersOf(attribute(body, Attribute.payload) ?? Buffer.alloc(0));
  if (headers === undefined || reason === undefined) return undefined;
  const { source, destination, proto, transport } = headers;
  const isFrom = way === 'from';
  const isReply = reason === 'reply';
  const hasPorts = WITH_PORTS.includes(proto) && transport.length >= 4;
  return {
    release: release === '-' ? '' : release,
    reason: (isReply ? 'rule' : reason) as RefusedPacket['reason'], // one of the words of PREFIX
    direction: isFrom === isReply ? 'ingress' : 'egress',
    qube: Uint8Array.from(isFrom ? source : destination),
    remote: Uint8Array.from(isFrom ? destination : source),
    interface: interfaceOf(wordIn(body, isFrom ? Attribute.inIndex : Attribute.outIndex) ?? 0),
    proto,
    port: hasPorts ? transport.readUInt16BE(isReply ? 0 : 2) : undefined,
    icmpType: ICMP.includes(proto) ? transport[0] : undefined,
  };
}

interface Headers {
  readonly source: Buffer;
  readonly destination: Buffer;
  readonly proto: number;
  /** Empty in a fragment that is not the first. */
  readonly transport: Buffer;
}

function headersOf(packet: Buffer): Headers | undefined {
  const version = (packet[0] ?? 0) >> 4;
  if (version === 4 && packet.length >= 20) {
    const isFirst = (packet.readUInt16BE(6) & 0x1fff) === 0;
    return {
      source: packet.subarray(12, 16),
      destination: packet.subarray(16, 20),
      proto: packet[9] ?? 0,
      transport: packet.subarray(isFirst ? ((packet[0] ?? 0) & 15) * 4 : packet.length),
    };
  }
  if (version !== 6 || packet.length < 40) return undefined;
  let [proto, at] = [packet[6] ?? 0, 40];
  while (EXTENSIONS.includes(proto) && at + 8 <= packet.length) {
    const isLater = proto === FRAGMENT && (packet.readUInt16BE(at + 2) & 0xfff8) !== 0;
    const bytes = proto === FRAGMENT ? 8 : ((packet[at + 1] ?? 0) + 1) * 8;
    proto = packet[at] ?? 0;
    at = isLater ? packet.length : at + bytes;
  }
  const [source, destination] = [packet.subarray(8, 24), packet.subarray(24, 40)];
  return { source, destination, proto, transport: packet.subarray(at) };
}

function wordIn(body: Buffer, type: number): number | undefined {
  const value = attribute(body, type);
  return value?.length === 4 ? value.readUInt32BE(0) : undefined;
}
