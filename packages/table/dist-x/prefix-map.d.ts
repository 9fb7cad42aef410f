/**
 * Maps from an address to a number, the same structure for both families: 16 bits of the address a step.
 *
 * The first step is a directory; each further step is a node, a sorted stretch of cells. A cell is a boundary (the low
 * end of an interval of the next 16 bits) and a value: an answer, or the node that looks at the 16 bits after these.
 *
 *   directory[top 16 bits] ──┬── answer >= 0
 *                            └── ~cell ─▶  cell        bounds            values
 *                                          c           n                 value of the interval from 0
 *                                          c + 1       boundary 1        value of the interval from boundary 1
 *                                          …           …                 …
 *                                          c + n       boundary n        value of the interval from boundary n
 *
 * IPv4 ends after one node, so its values are answers only and as narrow as they can be (1, 2 or 4 bytes); IPv6 values
 * are 4 bytes, and ~cell leads to the next node, of up to seven. A map that gives all addresses one answer has a
 * directory of one slot.
 */
import type { Cut } from './classes.ts';
/** Slots of a directory that has more than one. */
export declare const DIRECTORY_SLOTS = 65536;
/** What a map needs. */
export interface MapShape {
    readonly slots: 1 | typeof DIRECTORY_SLOTS;
    readonly cells: number;
    /** Bytes of a value. */
    readonly width: 1 | 2 | 4;
}
/** A map in memory. The three views of values lie on the same bytes; `width` says which one means something. */
export interface PrefixMap {
    readonly slotMask: number;
    readonly width: number;
    readonly directory: Int32Array;
    readonly bounds: Uint16Array;
    readonly values8: Uint8Array;
    readonly values16: Uint16Array;
    readonly values32: Int32Array;
}
/** What a map of a cut needs, `classCount` being the number of all classes, of both families. */
export declare function measureMap(cut: Cut, classCount: number): MapShape;
/** Fills a map that has the shape `measureMap` gave for this cut. */
export declare function writeMap(cut: Cut, map: PrefixMap): void;
/** What the map holds for an IPv4 address, signed or unsigned. */
export declare function find4(map: PrefixMap, address: number): number;
/** What the map holds for the IPv6 address in `words[at, at + 4)`. */
export declare function find6(map: PrefixMap, words: Uint32Array, at: number): number;
