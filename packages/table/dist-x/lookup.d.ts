/**
 * Lookups: plain functions of an image. Whoever calls them has made sure that the image stays (a reader's pin, or being
 * the writer's own thread).
 *
 * A lookup answers with a code, a small integer that needs no allocation: 0 for the verdict none, else `code & 3` is
 * CodeAction.accept or CodeAction.drop, and `decodeVerdict` says who decided. A code means something only within its generation.
 *
 * Every lookup counts a hit of its outcome in the image: a plain addition to shared memory. The counts are exact while
 * one thread at a time looks up; threads that count the same outcome at the same moment may lose some of their additions.
 */
import type { Address, Direction, Family, Packet } from '@rulecast/rules';
import type { Image, NamesSection } from './layout.ts';
/** A packet's direction as a number, for the forms that allocate nothing. */
export declare const LookupDirection: {
    readonly egress: 0;
    readonly ingress: 1;
    readonly both: 2;
};
export type LookupDirection = (typeof LookupDirection)[keyof typeof LookupDirection];
/** The port or ICMP type of a packet where it cannot be read or does not exist. */
export declare const UNREADABLE = -1;
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
export declare function lookup4(image: Image, direction: LookupDirection, src: number | undefined, dst: number, proto: number, detail: number): number;
/** Addresses as four words each, from `srcAt` and `dstAt`. */
export declare function lookup6(image: Image, direction: LookupDirection, src: Uint32Array | undefined, srcAt: number, dst: Uint32Array, dstAt: number, proto: number, detail: number): number;
/** Any packet, also one whose addresses are of two families. */
export declare function lookupPacket(image: Image, packet: Packet): number;
/** The same without counting a hit. */
export declare function decidePacket(image: Image, packet: Packet): number;
/** Fills `out` with the codes of a batch. Throws RangeError where `out` is too short. */
export declare function lookupAll(image: Image, batch: PacketBatch, out: VerdictBatch): void;
/** The class of an address; an absent one satisfies no predicate. */
export declare function classOf(image: Image, address: Address | undefined): number;
/** A packet's `detail`, as lookups take it. */
export declare function detailOf({ proto, port, icmpType }: Packet): number;
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
export declare function originOf(image: Image, code: number): CodeOrigin | undefined;
/** A code in words; `names` are the image's. */
export declare function decodeVerdict(image: Image, names: NamesSection, code: number): TableVerdict;
/** The number of a run's list, or -1. */
export declare function listOf(image: Image, block: number, run: number): number;
/** The names of an image. A copy: text decoders refuse shared memory. */
export declare function readNames(image: Image): NamesSection;
