/** Checks: the conditions of a match on a packet besides its address, as two numbers for the compiler. */

import type { RuleMatch } from '@rulecast/rules';

/** The protocols that rules distinguish, one bit each. */
export const ProtoBit = { tcp: 1, udp: 2, icmp: 4, other: 8 } as const;
export const ALL_PROTOS = 15;
/** In checks and in a candidate's first word: the port or ICMP type must be within the range. */
export const ASKS_DETAIL = 16;
/** In checks only: the address must be one of the environment's DNS addresses. */
export const ASKS_DNS = 32;
/** In checks only. */
export const ACCEPTS = 64;
const DNS_PORT = 53;

/** The protocols that a match leaves possible, with ASKS_DETAIL, ASKS_DNS and ACCEPTS. */
export function checksOf(match: RuleMatch): number {
  const asksDetail = match.dns || match.ports !== undefined || match.icmpType !== undefined;
  return (
    protosOf(match) |
    (asksDetail ? ASKS_DETAIL : 0) |
    (match.dns ? ASKS_DNS : 0) |
    (match.action === 'accept' ? ACCEPTS : 0)
  );
}

function protosOf(match: RuleMatch): number {
  let protos: number = match.proto === undefined ? ALL_PROTOS : ProtoBit[match.proto];
  if (match.dns || match.ports !== undefined) protos &= ProtoBit.tcp | ProtoBit.udp;
  if (match.icmpType !== undefined) protos &= ProtoBit.icmp;
  return protos;
}

/** The ports or ICMP types that a match leaves possible: first | last << 16; none where first > last. */
export function rangeOf(match: RuleMatch): number {
  if (match.icmpType !== undefined) return packRange(match.icmpType, match.icmpType);
  const first = match.ports?.first ?? 0;
  const last = match.ports?.last ?? 0xffff;
  if (!match.dns) return packRange(first, last);
  return first <= DNS_PORT && last >= DNS_PORT ? packRange(DNS_PORT, DNS_PORT) : packRange(1, 0);
}

function packRange(first: number, last: number): number {
  return (first | (last << 16)) >>> 0;
}
