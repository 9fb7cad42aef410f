/**
 * Lookups: plain functions of an image. Whoever calls them has made sure that the image stays (a reader's pin, or being
 * the writer's own thread).
 *
 * A lookup answers with a code, a small integer that needs no allocation: 0 for the verdict none, else `code & 3` is
 * CodeAction.accept or CodeAction.drop, and `decodeVerdict` says who decided. A code means something only within its generation.
 *
 * Only `lookupAll` counts hits; whoever calls the others counts them (hits.ts).
 */

import type { Address, Direction, Family, Packet, RuleBlock } from '@rulecast/rules';
import { IpProtocol } from '@rulecast/rules';
import { GROUPS_MAX, type Image, type NamesSection } from '../image/header.ts';
import { find4, find6 } from '../map/map.ts';
import { blockPolicy, listOf, originOf } from '../program/origin.ts';
import { OWNER_WORDS, OwnerField } from '../program/owner.ts';
import {
  CODE_ACTION_MASK,
  CodeAction,
  decide,
  decideGrouped,
  NO_VERDICT_CODE,
  protoBitOf,
} from '../program/program.ts';
import { countHit } from './hits.ts';

/** A packet's direction as a number, for the forms that allocate nothing. */
export const LookupDirection = { egress: 0, ingress: 1, both: 2 } as const;
export type LookupDirection = (typeof LookupDirection)[keyof typeof LookupDirection];

/** The port or ICMP type of a packet where it cannot be read or does not exist. */
export const UNREADABLE = -1;

/** Packets of one family and direction as columns; packet i has the words from `i * stride` (1 or 4). */
export interface PacketBatch {
  readonly family: Family;
  readonly direction: LookupDirection;
  readonly count: number;
  /** Undefined: no packet has a known source. */
  readonly src: Uint32Array | undefined;
  readonly dst: Uint32Array;
  /** IP protocol numbers. */
  readonly protos: Uint8Array;
  /** The destination port (tcp, udp) or the type (ICMP, ICMPv6), or UNREADABLE. */
  readonly details: Int32Array;
}

/** Where a batch's codes go; at least `count` long. */
export interface VerdictBatch {
  readonly codes: Uint32Array;
  /** The generation that all the codes are of. */
  generation: number;
}

/** A code in words. */
export interface TableVerdict {
  readonly action: 'accept' | 'drop' | 'none';
  readonly generation: number;
  /** All below are undefined for `none`. */
  readonly direction: Direction | undefined;
  /** The policy that judges the qube; undefined also where none does, and `common` or `unmatched` decided. */
  readonly policy: string | undefined;
  /** The policy whose run decided, `common` or the judging one; undefined where the default action or `unmatched` did. */
  readonly rulePolicy: string | undefined;
  /** The block that the run stands in. */
  readonly block: RuleBlock | undefined;
  /** Index of the run within that policy, block and direction. */
  readonly run: number | undefined;
  /** The run's list. */
  readonly list: string | undefined;
}

/** Addresses as words, signed or unsigned (signed ones never cost an allocation); `src` undefined if unknown. */
export function lookup4(
  image: Image,
  direction: LookupDirection,
  src: number | undefined,
  dst: number,
  proto: number,
  detail: number,
): number {
  const protoBit = protoBitOf(4, proto);
  return direction === LookupDirection.egress
    ? egress4(image, src, dst, protoBit, detail)
    : otherwise4(image, direction, src, dst, protoBit, detail);
}

// Apart from the rest, so that the whole way of an egress packet fits what V8 inlines into one function.
function egress4(
  image: Image,
  src: number | undefined,
  dst: number,
  protoBit: number,
  detail: number,
): number {
  const owner = src === undefined ? 0 : find4(image.views, image.owner4, src);
  const program = image.owners[owner * OWNER_WORDS + OwnerField.egress]!; // the map holds owners' classes
  if (program < 0) return NO_VERDICT_CODE;
  if (image.places.groups.length > 1) return judge4(image, program, dst, protoBit, detail);
  return decide(image.programs, program, find4(image.views, image.map4, dst), protoBit, detail);
}

function otherwise4(
  image: Image,
  direction: LookupDirection,
  src: number | undefined,
  dst: number,
  protoBit: number,
  detail: number,
): number {
  const program = image.owners[find4(image.views, image.owner4, dst) * OWNER_WORDS + OwnerField.ingress]!; // likewise
  const code = program < 0 ? NO_VERDICT_CODE : judge4(image, program, src, protoBit, detail);
  return direction === LookupDirection.ingress
    ? code
    : stricter(egress4(image, src, dst, protoBit, detail), code);
}

/** The code of what a program does with an address as the remote side, which may be absent. */
function judge4(
  image: Image,
  program: number,
  remote: number | undefined,
  protoBit: number,
  detail: number,
): number {
  const { groups } = image.places;
  if (groups.length === 1) {
    const classId = remote === undefined ? 0 : find4(image.views, image.map4, remote);
    return decide(image.programs, program, classId, protoBit, detail);
  }
  for (const [group, { v4 }] of groups.entries()) {
    groupClasses[group] = remote === undefined ? 0 : find4(image.views, v4, remote);
  }
  return decideGrouped(image.programs, program, groupClasses, protoBit, detail);
}

/** The classes of an address in all groups; of the lookup at hand. */
const groupClasses = new Int32Array(GROUPS_MAX);

function judge6(
  image: Image,
  program: number,
  remote: Uint32Array | undefined,
  at: number,
  protoBit: number,
  detail: number,
): number {
  const { groups } = image.places;
  if (groups.length === 1) {
    const classId = remote === undefined ? 0 : find6(image.views, image.map6, remote, at);
    return decide(image.programs, program, classId, protoBit, detail);
  }
  for (const [group, { v6 }] of groups.entries()) {
    groupClasses[group] = remote === undefined ? 0 : find6(image.views, v6, remote, at);
  }
  return decideGrouped(image.programs, program, groupClasses, protoBit, detail);
}

/** Addresses as four words each, from `srcAt` and `dstAt`. */
export function lookup6(
  image: Image,
  direction: LookupDirection,
  src: Uint32Array | undefined,
  srcAt: number,
  dst: Uint32Array,
  dstAt: number,
  proto: number,
  detail: number,
): number {
  const protoBit = protoBitOf(6, proto);
  let code: number = NO_VERDICT_CODE;
  if (direction !== LookupDirection.ingress) {
    const owner = src === undefined ? 0 : find6(image.views, image.owner6, src, srcAt);
    const program = image.owners[owner * OWNER_WORDS + OwnerField.egress]!; // the map holds owners' classes
    if (program >= 0) code = judge6(image, program, dst, dstAt, protoBit, detail);
  }
  if (direction !== LookupDirection.egress) {
    const owner = find6(image.views, image.owner6, dst, dstAt);
    const program = image.owners[owner * OWNER_WORDS + OwnerField.ingress]!; // likewise
    if (program >= 0) code = stricter(code, judge6(image, program, src, srcAt, protoBit, detail));
  }
  return code;
}

/** Any packet, also one whose addresses are of two families. */
export function lookupPacket(image: Image, packet: Packet): number {
  const { src, dst } = packet;
  const protoBit = protoBitOf(dst.family, packet.proto);
  const detail = detailOf(packet);
  let code: number = NO_VERDICT_CODE;
  if (packet.direction !== 'ingress') {
    const program = image.owners[ownerOf(image, src) * OWNER_WORDS + OwnerField.egress]!; // the map holds owners' classes
    if (program >= 0) code = judge(image, program, dst, protoBit, detail);
  }
  if (packet.direction !== 'egress') {
    const program = image.owners[ownerOf(image, dst) * OWNER_WORDS + OwnerField.ingress]!; // likewise
    if (program >= 0) code = stricter(code, judge(image, program, src, protoBit, detail));
  }
  return code;
}

function judge(
  image: Image,
  program: number,
  remote: Address | undefined,
  protoBit: number,
  detail: number,
): number {
  return remote?.family === 6
    ? judge6(image, program, remote.words, 0, protoBit, detail)
    : judge4(image, program, remote?.words[0], protoBit, detail);
}

/** Fills `codes` with the codes of a batch, and counts them. */
export function lookupAll(image: Image, batch: PacketBatch, codes: Uint32Array): void {
  const { family, direction, count, src, dst, protos, details } = batch;
  for (let i = 0; i < count; i++) {
    codes[i] =
      family === 4
        ? lookup4(image, direction, src?.[i], dst[i]!, protos[i]!, details[i]!) // i < count
        : lookup6(image, direction, src, i * 4, dst, i * 4, protos[i]!, details[i]!); // likewise
  }
  for (let i = 0; i < count; i++) countHit(image, codes[i]!); // likewise
}

/** Fills `classes` with the classes, in the first group, of `count` addresses. */
export function classesOf(
  image: Image,
  family: Family,
  addresses: Uint32Array,
  count: number,
  classes: Uint32Array,
): void {
  const { views, map4, map6 } = image;
  if (family === 4)
    for (let i = 0; i < count; i++) classes[i] = find4(views, map4, addresses[i]!); // i < count
  else for (let i = 0; i < count; i++) classes[i] = find6(views, map6, addresses, i * 4);
}

/** The class of an address in the first group; an absent one satisfies no predicate. */
export function classOf(image: Image, address: Address | undefined): number {
  if (address === undefined) return 0;
  return address.family === 4
    ? find4(image.views, image.map4, address.words[0]!) // an IPv4 address has one word
    : find6(image.views, image.map6, address.words, 0);
}

function ownerOf(image: Image, address: Address | undefined): number {
  if (address === undefined) return 0;
  return address.family === 4
    ? find4(image.views, image.owner4, address.words[0]!)
    : find6(image.views, image.owner6, address.words, 0); // likewise
}

/** A packet's `detail`, as lookups take it. */
export function detailOf({ proto, port, icmpType }: Packet): number {
  return (proto === IpProtocol.tcp || proto === IpProtocol.udp ? port : icmpType) ?? UNREADABLE;
}

/** What a packet judged twice gets: drop before accept before none, egress before ingress. */
function stricter(egress: number, ingress: number): number {
  if ((egress & CODE_ACTION_MASK) === CodeAction.drop) return egress;
  if ((ingress & CODE_ACTION_MASK) === CodeAction.drop) return ingress;
  return egress === NO_VERDICT_CODE ? ingress : egress;
}

/** A code in words; `names` are the image's. */
export function decodeVerdict(image: Image, names: NamesSection, code: number): TableVerdict {
  const origin = originOf(image.programs, image.places.outcomeCount, code);
  const block = origin?.block;
  const list = block === undefined || origin === undefined ? -1 : listOf(image.programs, block, origin.run);
  const action = code & CODE_ACTION_MASK;
  return {
    action: action === CodeAction.none ? 'none' : action === CodeAction.accept ? 'accept' : 'drop',
    generation: image.generation,
    direction: origin?.direction,
    policy: origin && names.policies[origin.policy],
    rulePolicy: block === undefined ? undefined : names.policies[blockPolicy(image.programs, block)],
    block: origin?.kind,
    run: block === undefined ? undefined : origin?.run,
    list: names.lists[list],
  };
}

/** The names of an image. A copy: text decoders refuse shared memory. */
export function readNames({ views, places }: Image): NamesSection {
  const bytes = views.bytes.slice(places.names, places.names + places.nameBytes);
  const names: NamesSection = JSON.parse(new TextDecoder().decode(bytes));
  return names;
}
