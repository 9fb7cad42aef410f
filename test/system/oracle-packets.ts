/**
 * Columns of packets at the edges of rules, for the table; and the same packets one by one, for the reference
 * evaluator.
 */

import {
  type Address,
  columnOf,
  type Family,
  type Packet,
  type PortRange,
  type Prefix,
} from '@rulecast/rules';
import { LookupDirection, type PacketBatch, UNREADABLE } from '../../packages/table/src/index.ts';
import { neighbour } from '../../packages/table/test/random-rule-set.ts';
import type { Random } from '../kit/random.mjs';
import { lastAddressAt } from '../kit/rules.ts';

export interface OracleBatch {
  readonly family: Family;
  readonly direction: keyof typeof LookupDirection;
  readonly columns: PacketBatch;
  /** The addresses of the columns; of `srcs` none where no packet has a known source. */
  readonly srcs: readonly Address[];
  readonly dsts: readonly Address[];
}

/** What a rule names, as far as packets can be at its edges; no prefix: any address. */
export interface Edges {
  readonly prefix: Prefix | undefined;
  readonly proto: number;
  readonly ports: PortRange | undefined;
}

/** At the ends of the ranges and the types that the random rule sets have, and beside them. */
// biome-ignore format: numbers
const DETAILS = [
  UNREADABLE, UNREADABLE, 0, 1, 2, 3, 8, 51, 52, 53, 53, 54, 55, 56, 79, 80, 81, 127, 128, 253, 254, 255, 1023, 1024, 32767,
  32768, 65533, 65534, 65535,
] as const;
const PROTOS = [0, 1, 1, 6, 6, 6, 17, 17, 47, 58, 58] as const;

/** `count` packets between any of some addresses. */
export function anyPackets(
  random: Random,
  addresses: readonly Address[],
  direction: keyof typeof LookupDirection,
  count: number,
): OracleBatch {
  const family = random.pick(addresses).family;
  const pool = addresses.filter((address) => address.family === family);
  const pick = (): Address[] => Array.from({ length: count }, () => random.pick(pool));
  const srcs = random.chance(0.8) ? pick() : [];
  const protos = Uint8Array.from({ length: count }, () => random.pick(PROTOS));
  const details = Int32Array.from({ length: count }, () => random.pick(DETAILS));
  return batchOf(family, direction, srcs, pick(), protos, details);
}

/**
 * `count` egress packets of no known source, each at the edges of some rule: its address, protocol and port,
 * or those beside it.
 */
export function edgePackets(
  random: Random,
  rules: readonly Edges[],
  family: Family,
  count: number,
): OracleBatch {
  const dsts: Address[] = [];
  const protos = new Uint8Array(count);
  const details = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const { prefix, proto, ports } = random.pick(rules);
    dsts.push(
      prefix?.family === family && !random.chance(0.02) ? edgeOf(random, prefix) : anyAddress(random, family),
    );
    protos[i] = random.chance(0.85) ? proto : random.pick(PROTOS);
    const { first, last } = ports ?? { first: random.below(65536), last: random.below(65536) };
    const edge = random.pick([first - 1, first, first, last, last, last + 1]);
    details[i] = random.chance(0.03) ? UNREADABLE : Math.min(65535, Math.max(0, edge));
  }
  return batchOf(family, 'egress', [], dsts, protos, details);
}

function anyAddress(random: Random, family: Family): Address {
  return { family, words: Uint32Array.from({ length: family === 4 ? 1 : 4 }, () => random.word()) };
}

/** The packet at a place of a batch. */
export function packetAt({ direction, columns, srcs, dsts }: OracleBatch, i: number): Packet {
  const detail = columns.details[i] ?? UNREADABLE;
  const known = detail < 0 ? undefined : detail;
  const dst = dsts[i];
  if (dst === undefined) throw new RangeError(`no packet ${i}`);
  return { direction, src: srcs[i], dst, proto: columns.protos[i] ?? 0, port: known, icmpType: known };
}

function edgeOf(random: Random, { family, words, length }: Prefix): Address {
  const last: Address = { family, words: lastAddressAt(columnOf([{ family, words, length }], family), 0) };
  const first: Address = { family, words };
  return random.pick([first, first, last, last, neighbour(first, -1), neighbour(last, 1)]);
}

function batchOf(
  family: Family,
  direction: keyof typeof LookupDirection,
  srcs: readonly Address[],
  dsts: readonly Address[],
  protos: Uint8Array,
  details: Int32Array,
): OracleBatch {
  const columns = {
    family,
    direction: LookupDirection[direction],
    count: dsts.length,
    src: srcs.length > 0 ? wordsOf(family, srcs) : undefined,
    dst: wordsOf(family, dsts),
    protos,
    details,
  };
  return { family, direction, columns, srcs, dsts };
}

function wordsOf(family: Family, addresses: readonly Address[]): Uint32Array {
  const stride = family === 4 ? 1 : 4;
  const column = new Uint32Array(addresses.length * stride);
  for (const [i, { words }] of addresses.entries()) column.set(words, i * stride);
  return column;
}
