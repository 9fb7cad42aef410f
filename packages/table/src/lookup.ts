/**
 * Lookups: plain functions of an image. Whoever calls them has made sure that the image stays (a reader's pin, or being
 * the writer's own thread).
 *
 * A lookup answers with a code, a small integer that needs no allocation: 0 for the verdict none, else `code & 3` is
 * CodeAction.accept or CodeAction.drop, and `decodeVerdict` says who decided. A code means something only within its generation.
 *
 * Only `lookupAll` counts hits; whoever calls the others counts them (hits.ts).
 */

import type { Address, Direction, Family, Packet } from '@rulecast/rules';
import { IpProtocol } from '@rulecast/rules';
import { countHit, listOf } from './hits.ts';
import type { Image, NamesSection } from './layout.ts';
import { OWNER_WORDS, OwnerField } from './owner.ts';
import { find4, find6 } from './prefix-map.ts';
import {
  BLOCK_WORDS,
  BlockField,
  CODE_ACTION_BITS,
  CODE_ACTION_MASK,
  CodeAction,
  DIRECTIONS,
  decide,
  NO_VERDICT_CODE,
  PROGRAM_WORDS,
  ProgramField,
  protoBitOf,
} from './program.ts';

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
  /** The policy that judges the qube. */
  readonly policy: string | undefined;
  /** The policy whose run decided, `common` or the judging one; undefined where the default action did. */
  readonly rulePolicy: string | undefined;
  /** Index of the run within that policy and direction. */
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
  const owner = src === undefined ? 0 : find4(image.owner4, src);
  const program = image.owners[owner * OWNER_WORDS + OwnerField.egress]!; // the map holds owners' classes
  if (program < 0) return NO_VERDICT_CODE;
  return decide(image, program, find4(image.destination4, dst), protoBit, detail);
}

function otherwise4(
  image: Image,
  direction: LookupDirection,
  src: number | undefined,
  dst: number,
  protoBit: number,
  detail: number,
): number {
  const program = image.owners[find4(image.owner4, dst) * OWNER_WORDS + OwnerField.ingress]!; // likewise
  const remote = src === undefined || program < 0 ? 0 : find4(image.destination4, src);
  const code = program < 0 ? NO_VERDICT_CODE : decide(image, program, remote, protoBit, detail);
  return direction === LookupDirection.ingress
    ? code
    : stricter(egress4(image, src, dst, protoBit, detail), code);
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
  let code = NO_VERDICT_CODE;
  if (direction !== LookupDirection.ingress) {
    const owner = src === undefined ? 0 : find6(image.owner6, src, srcAt);
    const program = image.owners[owner * OWNER_WORDS + OwnerField.egress]!; // the map holds owners' classes
    if (program >= 0) code = decide(image, program, find6(image.destination6, dst, dstAt), protoBit, detail);
  }
  if (direction !== LookupDirection.egress) {
    const program = image.owners[find6(image.owner6, dst, dstAt) * OWNER_WORDS + OwnerField.ingress]!; // likewise
    const remote = src === undefined || program < 0 ? 0 : find6(image.destination6, src, srcAt);
    if (program >= 0) code = stricter(code, decide(image, program, remote, protoBit, detail));
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
    if (program >= 0) code = decide(image, program, classOf(image, dst), protoBit, detail);
  }
  if (packet.direction !== 'egress') {
    const program = image.owners[ownerOf(image, dst) * OWNER_WORDS + OwnerField.ingress]!; // likewise
    if (program >= 0) code = stricter(code, decide(image, program, classOf(image, src), protoBit, detail));
  }
  return code;
}

/** Fills `out` with the codes of a batch, and counts them. Throws RangeError where `out` is too short. */
export function lookupAll(image: Image, batch: PacketBatch, out: VerdictBatch): void {
  const { family, direction, count, src, dst, protos, details } = batch;
  const { codes } = out;
  if (codes.length < count) throw new RangeError(`${count} packets, but room for ${codes.length} codes`);
  out.generation = image.generation;
  if (family === 4 && direction === LookupDirection.egress) lookupEgress4(image, batch, codes);
  else if (family === 4) {
    for (let i = 0; i < count; i++) {
      codes[i] = lookup4(image, direction, src?.[i], dst[i]!, protos[i]!, details[i]!); // i < count
    }
  } else {
    for (let i = 0; i < count; i++) {
      codes[i] = lookup6(image, direction, src, i * 4, dst, i * 4, protos[i]!, details[i]!); // i < count
    }
  }
  for (let i = 0; i < count; i++) countHit(image, codes[i]!); // i < count
}

/** Packets looked at in one go: their classes stay in the first-level cache, and their loads from memory overlap. */
const TILE_PACKETS = 64;

/** Egress batches of IPv4, the bulk of all traffic: first all classes of a tile, then its decisions. */
function lookupEgress4(
  image: Image,
  { count, src, dst, protos, details }: PacketBatch,
  codes: Uint32Array,
): void {
  const { owner4, owners, destination4 } = image;
  const classes = new Int32Array(TILE_PACKETS);
  for (let start = 0; start < count; start += TILE_PACKETS) {
    const end = Math.min(count, start + TILE_PACKETS);
    // start <= i < end <= count throughout, and a tile has room for all of them.
    for (let i = start; i < end; i++) classes[i - start] = find4(destination4, dst[i]!);
    for (let i = start; i < end; i++) {
      const owner = src === undefined ? 0 : find4(owner4, src[i]!);
      const program = owners[owner * OWNER_WORDS + OwnerField.egress]!; // the map holds owners' classes
      codes[i] =
        program < 0
          ? NO_VERDICT_CODE
          : decide(image, program, classes[i - start]!, protoBitOf(4, protos[i]!), details[i]!);
    }
  }
}

/** The class of an address; an absent one satisfies no predicate. */
export function classOf(image: Image, address: Address | undefined): number {
  if (address === undefined) return 0;
  return address.family === 4
    ? find4(image.destination4, address.words[0]!) // an IPv4 address has one word
    : find6(image.destination6, address.words, 0);
}

function ownerOf(image: Image, address: Address | undefined): number {
  if (address === undefined) return 0;
  return address.family === 4
    ? find4(image.owner4, address.words[0]!)
    : find6(image.owner6, address.words, 0); // likewise
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

/** Where a code comes from, in numbers. */
export interface CodeOrigin {
  readonly program: number;
  readonly policy: number;
  readonly direction: Direction;
  /** The block and run that decided; undefined where the default action did. */
  readonly block: number | undefined;
  readonly run: number;
}

/** Where the outcome of a code comes from; undefined for the verdict none. Throws RangeError for a code of no outcome. */
export function originOf(image: Image, code: number): CodeOrigin | undefined {
  if (code === NO_VERDICT_CODE) return undefined;
  const outcome = code >> CODE_ACTION_BITS;
  const { programs } = image;
  let low = 0;
  let high = programs.length / PROGRAM_WORDS;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (programs[middle * PROGRAM_WORDS + ProgramField.firstOutcome]! <= outcome)
      low = middle; // a program's record
    else high = middle;
  }
  if (outcome >= image.hits.length || high === 0) throw new RangeError(`no verdict has the code ${code}`);
  const field = (name: keyof typeof ProgramField): number =>
    programs[low * PROGRAM_WORDS + ProgramField[name]]!; // likewise
  const direction = DIRECTIONS[field('direction')] ?? 'egress';
  const origin = { program: low, policy: field('policy'), direction };
  const position = outcome - field('firstOutcome') - 1;
  if (position < 0) return { ...origin, block: undefined, run: -1 };
  const common = field('commonBlock');
  const commonRuns = common < 0 ? 0 : image.blocks[common * BLOCK_WORDS + BlockField.runCount]!; // a block's record
  return position < commonRuns
    ? { ...origin, block: common, run: position }
    : { ...origin, block: field('ownBlock'), run: position - commonRuns };
}

/** A code in words; `names` are the image's. */
export function decodeVerdict(image: Image, names: NamesSection, code: number): TableVerdict {
  const origin = originOf(image, code);
  const block = origin?.block;
  const blockPolicy = block === undefined ? undefined : image.blocks[block * BLOCK_WORDS + BlockField.policy];
  const list = block === undefined || origin === undefined ? -1 : listOf(image, block, origin.run);
  const action = code & CODE_ACTION_MASK;
  return {
    action: action === CodeAction.none ? 'none' : action === CodeAction.accept ? 'accept' : 'drop',
    generation: image.generation,
    direction: origin?.direction,
    policy: origin && names.policies[origin.policy],
    rulePolicy: blockPolicy === undefined ? undefined : names.policies[blockPolicy],
    run: block === undefined ? undefined : origin?.run,
    list: names.lists[list],
  };
}

/** The names of an image. A copy: text decoders refuse shared memory. */
export function readNames(image: Image): NamesSection {
  const names: NamesSection = JSON.parse(new TextDecoder().decode(image.names.slice()));
  return names;
}
