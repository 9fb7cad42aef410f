/**
 * Expressions of rules, as the kernel runs them (linux/netfilter/nf_tables.h): one loads a register or ends
 * the rule, the next compares it. They are those that `nft` makes of the same rules, so that it can list
 * ours.
 */

import type { Attribute } from './attributes.ts';

/** Its attributes: name and data. Those that do not depend on a rule are made once. */
export type Expression = readonly [readonly [1, string], readonly [2, readonly Attribute[]]];

/** The value to compare a register with: bytes, or an IPv4 address as a number. */
export type Value = Uint8Array | number;

/** Properties of the packet itself. */
export const Meta = {
  mark: 3,
  inIndex: 4,
  outIndex: 5,
  inName: 6,
  outName: 7,
  family: 15,
  protocol: 16,
  inGroup: 21,
  outGroup: 22,
} as const;
/** Properties of the packet's flow, from the connection table. */
export const Ct = {
  state: 0,
  direction: 1,
  protocol: 10,
  srcPort: 11,
  dstPort: 12,
  labels: 13,
  src4: 19,
  dst4: 20,
  src6: 21,
  dst6: 22,
} as const;
export const CtDirection = { original: 0, reply: 1 } as const;
/** Bits of `Ct.state`. */
export const CtState = { invalid: 1, established: 2, new: 8, untracked: 64 } as const;
export const Reject = { tcpReset: { type: 1, code: 0 }, adminProhibited: { type: 2, code: 3 } } as const;

const REGISTER = 1;
const INTERFACE_NAME_BYTES = 16;
/** The register of the second part of a key, behind the first: registers have 4 bytes, or 16. */
const BEHIND_REGISTER = { 4: 9, 6: 2 } as const;
const VERDICT_REGISTER = 0;
const NETWORK_HEADER = 1;
const TRANSPORT_HEADER = 2;
const Comparison = { equal: 0, unequal: 1 } as const;
const INVERTED = 1;
const COUNTER = 1;
const SOURCE_NAT = 0;
const BY_PACKETS = 0;
/** Adds an element, or has one stay for longer. */
const UPDATE = 1;
export const NFPROTO = { 4: 2, 6: 10 } as const;
export const VerdictCode = { drop: 0, accept: 1, jump: -3, goto: -4, return: -5 } as const;

export function meta(key: number): Expression {
  return expression('meta', [1, REGISTER], [2, key]);
}

/** Behind the address that a register has, as part of the same key. */
export function metaBehind(key: number, family: 4 | 6): Expression {
  return expression('meta', [1, BEHIND_REGISTER[family]], [2, key]);
}

/**
 * Loads a property of the flow; with a direction, from the tuple of that direction, which is the same for all
 * packets of a flow.
 */
export function ct(key: number, direction?: number): Expression {
  if (direction === undefined) return expression('ct', [1, REGISTER], [2, key]);
  return expression('ct', [1, REGISTER], [2, key], [3, byte(direction)]);
}

/** Behind what a register has, an address of that family, or of 16 bytes: an address of the flow. */
export function ctBehind(key: number, direction: number, family: 4 | 6): Expression {
  return expression('ct', [1, BEHIND_REGISTER[family]], [2, key], [3, byte(direction)]);
}

/** Adds labels to those of the flow. */
export function addLabels(labels: Uint8Array): readonly Expression[] {
  return [
    expression('immediate', [1, REGISTER], [2, value(labels)]),
    expression('ct', [2, Ct.labels], [4, REGISTER]),
  ];
}

/** Sets the mark of the packet, not of its flow. */
export function setPacketMark(): Expression {
  return expression('meta', [2, Meta.mark], [3, REGISTER]);
}

/** Gives the flow the address of the register to come from, which no later chain does then. */
export function sourceFrom(family: 4 | 6): Expression {
  return expression('nat', [1, SOURCE_NAT], [2, NFPROTO[family]], [3, REGISTER]);
}

/** Bytes of the header of the protocol above IP. */
export function transport(offset: number, bytes: number): Expression {
  return expression('payload', [1, REGISTER], [2, TRANSPORT_HEADER], [3, offset], [4, bytes]);
}

/** Bytes of the header of IP. */
export function network(offset: number, bytes: number): Expression {
  return expression('payload', [1, REGISTER], [2, NETWORK_HEADER], [3, offset], [4, bytes]);
}

/** Gives the first bytes of the packet to who reads a group of NFLOG, with a prefix. */
export function logs(group: number, prefix: string, bytes: number): Expression {
  return expression('log', [1, half(group)], [2, prefix], [3, bytes]);
}

/** The register, and `mask`, then exclusive or `flip`. */
export function masked(mask: Uint8Array, flip: Uint8Array = new Uint8Array(mask.length)): Expression {
  return expression(
    'bitwise',
    [1, REGISTER],
    [2, REGISTER],
    [3, mask.length],
    [4, value(mask)],
    [5, value(flip)],
  );
}

export function equals(compared: Value): Expression {
  return expression('cmp', [1, REGISTER], [2, Comparison.equal], [3, value(compared)]);
}

export function differs(bytes: Uint8Array): Expression {
  return expression('cmp', [1, REGISTER], [2, Comparison.unequal], [3, value(bytes)]);
}

/** Both ends inclusive. */
export function isWithin(from: Uint8Array, to: Uint8Array): Expression {
  return expression('range', [1, REGISTER], [2, Comparison.equal], [3, value(from)], [4, value(to)]);
}

export function isIn(set: string): Expression {
  return expression('lookup', [1, set], [2, REGISTER]);
}

/**
 * Whether the register has come in not more packets than so many in a second, which is noted in a set. Not so
 * where the set has no room for it: what cannot be counted does not pass.
 */
export function isWithinRate(set: string, perSecond: number): Expression {
  const limit = expression(
    'limit',
    [1, doubleWord(perSecond)],
    [2, doubleWord(1)],
    [3, perSecond],
    [4, BY_PACKETS],
  );
  return expression('dynset', [1, set], [3, UPDATE], [4, REGISTER], [7, limit]);
}

export function isNotIn(set: string): Expression {
  return expression('lookup', [1, set], [2, REGISTER], [5, INVERTED]);
}

/** Follows the map's verdict, if it has the register's key. */
export function verdictOf(map: string): Expression {
  return expression('lookup', [1, map], [2, REGISTER], [3, VERDICT_REGISTER]);
}

export function counts(counter: string): Expression {
  return expression('objref', [1, COUNTER], [2, counter]);
}

/** `chain` for goto and jump. */
export function verdict(kind: keyof typeof VerdictCode, chain?: string): Expression {
  return expression('immediate', [1, VERDICT_REGISTER], [2, [verdictData(VerdictCode[kind], chain)]]);
}

/** The verdict as data of an element or an expression. */
export function verdictData(code: number, chain: string | undefined): Attribute {
  return [
    2,
    chain === undefined
      ? [[1, code]]
      : [
          [1, code],
          [2, chain],
        ],
  ];
}

export function reject({ type, code }: { readonly type: number; readonly code: number }): Expression {
  return expression('reject', [1, type], [2, byte(code)]);
}

// ── Values ─────────────────────────────────────────────────────────────────────────────────────────────────

export function byte(number: number): Uint8Array {
  BYTES[number] ??= Uint8Array.of(number);
  return BYTES[number];
}

/** Small arrays are slow to make, and thousands of rules have the same few ports. */
const BYTES: Uint8Array[] = [];
const HALVES: Uint8Array[] = [];

/** As ports are, in the order of the network. */
export function half(number: number): Uint8Array {
  HALVES[number] ??= Uint8Array.of(number >> 8, number & 255);
  return HALVES[number];
}

/** As rates and times are, in the order of the network. */
export function doubleWord(number: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(number));
  return bytes;
}

/** As marks, states and groups are, in the order of the machine. */
export function machineWord(number: number): Uint8Array {
  return Uint8Array.of(number & 255, (number >> 8) & 255, (number >> 16) & 255, number >>> 24);
}

/** The name of an interface, as the kernel has it: with zeros up to its full length. */
export function interfaceName(name: string): Uint8Array {
  const bytes = new Uint8Array(INTERFACE_NAME_BYTES);
  bytes.set(Buffer.from(name, 'latin1'));
  return bytes;
}

function value(compared: Value): readonly Attribute[] {
  return [[1, compared]];
}

function expression(name: string, ...data: readonly Attribute[]): Expression {
  return [
    [1, name],
    [2, data],
  ];
}
