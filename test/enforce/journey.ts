/**
 * Packets of the rule language, sent through the network of the tests as real ones; what came through is
 * their verdict.
 */

import { type Address, formatAddress, IpProtocol, type Packet } from '@rulecast/rules';
import { frameOf, type IpPacket, segment } from './frames.mjs';
import { address, type HostName, type Network } from './network.mjs';

/** A packet and the way it takes. */
export interface Journey {
  readonly from: HostName;
  readonly to: HostName;
  readonly packet: Packet & { readonly src: Address };
  /** IPv6 only, see IpPacket. */
  readonly extensions?: readonly number[];
}

/** A datagram to port 443, from one host to another. */
export function datagramFrom(from: HostName, to: HostName, src: string, dst: string): Journey {
  const direction = from === 'world' ? 'ingress' : to === 'world' ? 'egress' : 'both';
  const ends = { src: address(src), dst: address(dst) };
  return { from, to, packet: { direction, ...ends, proto: IpProtocol.udp, port: 443, icmpType: undefined } };
}

/** Source ports that no rule of the tests and no destination port is: answers and questions stay apart. */
const FIRST_SOURCE_PORT = 10_001;
const SOURCE_PORTS = 32_000;

let marks = 0;

/** The packet that a journey is about, with a mark that no other of this process has. */
export function ipPacketOf(
  { packet, extensions = [] }: Journey,
  dataBytes = 8,
): { mark: number; ip: IpPacket } {
  const { src, dst, proto, port, icmpType } = packet;
  const mark = ++marks;
  const srcPort = FIRST_SOURCE_PORT + (mark % SOURCE_PORTS);
  const payload = segment(src, dst, proto, { mark, srcPort, dstPort: port, icmpType, dataBytes });
  return { mark, ip: { src, dst, proto, payload, extensions } };
}

/**
 * Sends the packets in their order, each a flow of its own; says of each whether it came to the host it was
 * meant for.
 */
export async function passed(network: Network, journeys: readonly Journey[]): Promise<readonly boolean[]> {
  const marksOf = new Map<Journey, number>();
  for (const from of ['a', 'b', 'world'] as const) {
    const { routerMac, hostMac } = network.links[from];
    const frames: Uint8Array[] = [];
    for (const journey of journeys) {
      if (journey.from !== from) continue;
      const { mark, ip } = ipPacketOf(journey);
      marksOf.set(journey, mark);
      frames.push(frameOf(routerMac, hostMac, ip));
    }
    if (frames.length > 0) await network.send(from, frames);
  }
  const arrivals = {
    a: await network.arrived('a'),
    b: await network.arrived('b'),
    world: await network.arrived('world'),
  };
  // What answers a refused packet goes back to its sender, never to where it was meant for.
  return journeys.map((journey) => arrivals[journey.to].has(marksOf.get(journey) ?? 0));
}

/** For messages. */
export function journeyText({ from, to, packet, extensions = [] }: Journey): string {
  const { src, dst, proto, port, icmpType } = packet;
  const detail = port ?? icmpType ?? '-';
  return `${from} > ${to}: ${formatAddress(src)} > ${formatAddress(dst)} ${[...extensions, proto].join('+')}/${detail}`;
}
