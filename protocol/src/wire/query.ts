/**
 * Packets, names and verdicts on the wire: the questions of QUERY and TEST, and their answers, WIRE.md
 * "QUERY" and CONTROL.md "TEST". And refusals, CONTROL.md "Refused".
 */

import {
  type Address,
  formatPrefix,
  HOST_NAME_MAX_BYTES,
  type NameQuestion,
  type Packet,
  RULE_BLOCKS,
  type Verdict,
} from '@rulecast/rules';
import { ALIASES_ASKED_MAX, INTERFACE_MAX_BYTES, RULE_TEXT_MAX_BYTES } from '../limits.ts';
import {
  boundText,
  bytes,
  type FieldValues,
  integer,
  listOf,
  mapOf,
  name,
  oneOf,
  optional,
  prefixText,
  textOf,
  uint,
} from './field.ts';

/** Addresses are 4 or 16 bytes in network order. */
export const PACKET_FIELDS = {
  direction: oneOf('egress', 'ingress', 'both'),
  src: optional(bytes(4, 16)),
  dst: bytes(4, 16),
  proto: integer(0, 255),
  port: optional(integer(0, 65_535)),
  icmpType: optional(integer(0, 255)),
} as const;
export type WirePacket = FieldValues<typeof PACKET_FIELDS>;

/** A name in place of a packet; the asker is an address, or the policy that judges it. */
export const QUESTION_FIELDS = {
  asker: optional(bytes(4, 16)),
  policy: optional(name),
  name: textOf(HOST_NAME_MAX_BYTES),
  /** Names that lead to it as aliases. */
  aliases: listOf(textOf(HOST_NAME_MAX_BYTES), ALIASES_ASKED_MAX),
} as const;
export type WireQuestion = FieldValues<typeof QUESTION_FIELDS>;

export const VERDICT_FIELDS = {
  action: oneOf('accept', 'drop', 'none'),
  /** The direction in which the decision fell; absent for `none`. */
  direction: optional(oneOf('egress', 'ingress')),
  /** The policy that judged; absent for `none`, and where none did, but `common` and then `unmatched`. */
  policy: optional(name),
  /**
   * The policy of the rule: `common`, or `policy` again. Absent, like all that follow, if the default action
   * or `unmatched` decided.
   */
  rulePolicy: optional(name),
  block: optional(oneOf(...RULE_BLOCKS)),
  /** The canonical line, cut off at 1,536 bytes. */
  rule: optional(textOf(RULE_TEXT_MAX_BYTES)),
  ruleIndex: optional(uint),
  run: optional(uint),
  list: optional(name),
  prefix: optional(prefixText),
} as const;
export type WireVerdict = FieldValues<typeof VERDICT_FIELDS>;

/** By which name, and how long ago, a qube was told the address that a rule accepts for that. */
export const TOLD_FIELDS = { name: textOf(HOST_NAME_MAX_BYTES), agoS: uint } as const;
export type WireTold = FieldValues<typeof TOLD_FIELDS>;

/** Selects refusals. */
export const REFUSED_QUERY_FIELDS = {
  after: uint,
  qube: optional(bytes(4, 16)),
  sinceS: optional(uint),
} as const;
export type WireRefusedQuery = FieldValues<typeof REFUSED_QUERY_FIELDS>;

/** One refusal: packets, or questions, that differ in nothing but their time. */
export const REFUSED_FIELDS = {
  /** Grows with each change of any refusal, so that a reader asks only for later ones. */
  id: uint,
  what: oneOf('packet', 'name'),
  /** The address behind the firewall. */
  qube: bytes(4, 16),
  /** By which its packets come, or go to it. */
  interface: optional(textOf(INTERFACE_MAX_BYTES)),
  direction: oneOf('egress', 'ingress'),
  /** These four of packets. */
  remote: optional(bytes(4, 16)),
  proto: optional(integer(0, 255)),
  port: optional(integer(0, 65_535)),
  icmpType: optional(integer(0, 255)),
  /** The name asked for; for a packet, the name for which our DNS gave the qube its remote address. */
  name: optional(textOf(HOST_NAME_MAX_BYTES)),
  reason: oneOf('rule', 'tcp-rest', 'flowless', 'closed', 'dns', 'name'),
  count: uint,
  /** Seconds since 1970 by the firewall's clock. */
  firstS: uint,
  lastS: uint,
  /** Version of the release that refused; 0: none. */
  version: uint,
  /** Version of the release that gave `verdict`, which may be a later one. */
  judgedBy: optional(uint),
  verdict: optional(mapOf(VERDICT_FIELDS)),
} as const;
export type WireRefused = FieldValues<typeof REFUSED_FIELDS>;

export function packetToWire(packet: Packet): WirePacket {
  return {
    direction: packet.direction,
    src: packet.src === undefined ? undefined : addressBytes(packet.src),
    dst: addressBytes(packet.dst),
    proto: packet.proto,
    port: packet.port,
    icmpType: packet.icmpType,
  };
}

export function packetFromWire(wire: WirePacket): Packet {
  return {
    direction: wire.direction,
    src: wire.src === undefined ? undefined : addressFromBytes(wire.src),
    dst: addressFromBytes(wire.dst),
    proto: wire.proto,
    port: wire.port,
    icmpType: wire.icmpType,
  };
}

/** `ruleText` is the canonical line of the rule that decided, if one did. */
export function verdictToWire(verdict: Verdict, ruleText: string | undefined): WireVerdict {
  const { action, by } = verdict;
  if (by === undefined) return { action };
  const rule = by.rule;
  if (rule === undefined) return { action, direction: by.direction, policy: by.policy };
  return {
    action,
    direction: by.direction,
    policy: by.policy,
    rulePolicy: rule.policy,
    block: rule.block,
    rule: ruleText === undefined ? undefined : boundText(ruleText, RULE_TEXT_MAX_BYTES),
    ruleIndex: rule.index,
    run: rule.run,
    list: rule.list,
    prefix: rule.prefix === undefined ? undefined : formatPrefix(rule.prefix),
  };
}

export function questionToWire({ asker, name, aliases }: NameQuestion): WireQuestion {
  const who = asker === undefined ? {} : 'policy' in asker ? asker : { asker: addressBytes(asker) };
  return { ...who, name, aliases };
}

export function questionFromWire({ asker, policy, name, aliases }: WireQuestion): NameQuestion {
  const who = policy === undefined ? undefined : { policy };
  return { asker: asker === undefined ? who : addressFromBytes(asker), name, aliases };
}

export function addressBytes(address: Address): Uint8Array {
  const out = new Uint8Array(address.words.length * 4);
  const view = new DataView(out.buffer);
  address.words.forEach((word, i) => {
    view.setUint32(i * 4, word);
  });
  return out;
}

export function addressFromBytes(octets: Uint8Array): Address {
  const view = new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
  const words = Uint32Array.from({ length: octets.length / 4 }, (_, i) => view.getUint32(i * 4));
  return { family: octets.length === 4 ? 4 : 6, words };
}
