/**
 * Messages of NFLOG (linux/netfilter/nfnetlink_log.h), read into what a person asks of a refused packet.
 * Their payload is from whoever sent the packet: what cannot be read is no packet, and nothing throws.
 *
 *   nlmsghdr │ nfgenmsg │ attributes: prefix, interfaces, sequence number, payload: IP, extensions, TCP …
 */

import type { Direction } from '@rulecast/rules';
import { attributesOf, messagesIn, textOf } from '../kernel/attributes.ts';
import type { LogReason } from '../kernel/log-script.ts';

/** The headers of a refused packet, as of its flow where a reply was refused. */
export interface RefusedPacket {
  /** 16 hex digits; empty: no release refused it. */
  readonly release: string;
  readonly reason: Exclude<LogReason, 'reply'>;
  readonly direction: Direction;
  /** 4 or 16 bytes each, of their own. */
  readonly qube: Uint8Array;
  readonly remote: Uint8Array;
  /** Of the side of the qube. */
  readonly interfaceIndex: number;
  readonly proto: number;
  /** Where the flow goes; undefined where there is none, or it is not in the packet. */
  readonly port: number | undefined;
  readonly icmpType: number | undefined;
}

export interface LoggedMessage {
  /** Grows by one with each that the kernel has for this group. */
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
/** Hop by hop, routing, of the destination: each says how long it is. */
const EXTENSIONS = [0, 43, 60];
const EXTENSIONS_MAX = 8;

/** The messages of one datagram. */
export function* loggedIn(bytes: Buffer): Generator<LoggedMessage> {
  for (const { type, body } of messagesIn(bytes)) {
    if (type !== LOGGED_PACKET) continue;
    const found: Partial<Record<keyof typeof Attribute, Buffer>> = {};
    for (const { type: own, value } of attributesOf(body.subarray(4)))
      for (const name of Object.keys(Attribute) as (keyof typeof Attribute)[])
        if (Attribute[name] === own) found[name] = value;
    yield { sequence: wordOf(found.sequence), packet: packetOf(found) };
  }
}

function packetOf(found: Partial<Record<keyof typeof Attribute, Buffer>>): RefusedPacket | undefined {
  const [, release = '', reason, way] = PREFIX.exec(textOf(found.prefix)) ?? [];
  const headers = found.payload && headersOf(found.payload);
  if (headers === undefined || reason === undefined) return undefined;
  const isFrom = way === 'from';
  const isReply = reason === 'reply';
  const { source, destination, proto, sourcePort, destinationPort, icmpType } = headers;
  return {
    release: release === '-' ? '' : release,
    reason: (isReply ? 'rule' : reason) as RefusedPacket['reason'], // one of the words of PREFIX
    direction: isFrom === isReply ? 'ingress' : 'egress',
    qube: isFrom ? source : destination,
    remote: isFrom ? destination : source,
    interfaceIndex: wordOf(isFrom ? found.inIndex : found.outIndex) ?? 0,
    proto,
    port: isReply ? sourcePort : destinationPort,
    icmpType,
  };
}

interface Headers {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly proto: number;
  readonly sourcePort: number | undefined;
  readonly destinationPort: number | undefined;
  readonly icmpType: number | undefined;
}

function headersOf(packet: Buffer): Headers | undefined {
  const version = (packet[0] ?? 0) >> 4;
  if (version === 4 && packet.length >= 20) {
    const isFirst = (packet.readUInt16BE(6) & 0x1fff) === 0;
    const at = ((packet[0] ?? 0) & 15) * 4;
    const addresses = [packet.subarray(12, 16), packet.subarray(16, 20)] as const;
    return withTransport(addresses, packet[9] ?? 0, isFirst ? packet.subarray(at) : undefined);
  }
  if (version !== 6 || packet.length < 40) return undefined;
  const addresses = [packet.subarray(8, 24), packet.subarray(24, 40)] as const;
  let proto = packet[6] ?? 0;
  let at = 40;
  for (let count = 0; count < EXTENSIONS_MAX && at + 8 <= packet.length; count++) {
    const isFragment = proto === FRAGMENT;
    if (!isFragment && !EXTENSIONS.includes(proto)) break;
    proto = packet[at] ?? 0;
    if (isFragment && (packet.readUInt16BE(at + 2) & 0xfff8) !== 0)
      return withTransport(addresses, proto, undefined);
    at += isFragment ? 8 : ((packet[at + 1] ?? 0) + 1) * 8;
  }
  return withTransport(addresses, proto, packet.subarray(at));
}

/** `transport` is undefined in a fragment that is not the first. */
function withTransport(
  [source, destination]: readonly [Buffer, Buffer],
  proto: number,
  transport: Buffer | undefined,
): Headers {
  const hasPorts = WITH_PORTS.includes(proto) && transport !== undefined && transport.length >= 4;
  return {
    source: Uint8Array.from(source),
    destination: Uint8Array.from(destination),
    proto,
    sourcePort: hasPorts ? transport.readUInt16BE(0) : undefined,
    destinationPort: hasPorts ? transport.readUInt16BE(2) : undefined,
    icmpType: ICMP.includes(proto) ? transport?.[0] : undefined,
  };
}

function wordOf(value: Buffer | undefined): number | undefined {
  return value?.length === 4 ? value.readUInt32BE(0) : undefined;
}
