/**
 * Packets and verdicts, in numbers as lookups take and give them, and in words.
 *
 * A lookup answers with a code, a small integer that needs no allocation: 0 for the verdict none, else `code
 * & 3` is CodeAction.accept or CodeAction.drop, and `decodeVerdict` tells what decided. A code is valid
 * within its generation only.
 */

import type { Direction, Family, Packet, RuleBlock } from '@rulecast/rules';
import { IpProtocol } from '@rulecast/rules';
import type { Image, NamesSection } from '../image/header.ts';
import { blockPolicy, listOf, originOf } from '../program/origin.ts';
import { CODE_ACTION_MASK, CodeAction } from '../program/program.ts';

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

/** Receives a batch's codes; at least `count` long. */
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
  /**
   * The policy that judges the qube, or `first`; undefined also where none does, and `common` or `unmatched`
   * decided.
   */
  readonly policy: string | undefined;
  /**
   * The policy whose run decided, `common` or the judging one; undefined where the default action or
   * `unmatched` did.
   */
  readonly rulePolicy: string | undefined;
  /** The block of the run. */
  readonly block: RuleBlock | undefined;
  /** Index of the run within that policy, block and direction. */
  readonly run: number | undefined;
  /** The run's list. */
  readonly list: string | undefined;
}

/** A packet's `detail` for lookups: its port, or ICMP type. */
export function detailOf({ proto, port, icmpType }: Packet): number {
  return (proto === IpProtocol.tcp || proto === IpProtocol.udp ? port : icmpType) ?? UNREADABLE;
}

/** A code in words; `names` are the image's. */
export function decodeVerdict(image: Image, names: NamesSection, code: number): TableVerdict {
  const origin = originOf(image.programs, image.places.outcomeCount, code);
  const block = origin?.block;
  const list = block === undefined || origin === undefined ? -1 : listOf(image.programs, block, origin.label);
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
