/**
 * The bytes of a table: the image of one generation, and the control block that names the image in force.
 *
 * An image is 32-bit words, little-endian as all machines that Node runs on; sections begin at multiples of 64 bytes.
 *
 *   word 0   magic
 *   word 1   generation
 *   word 2   bytes of the image
 *   word 3   bytes of a value of the IPv4 destination map ┐ 1, 2 or 4; the IPv6 maps have 4
 *   word 4   bytes of a value of the IPv4 owner map       ┘
 *   word 8   section 0: first byte   ┐
 *   word 9   section 0: elements     │ one pair per Section
 *   …                                ┘
 *   byte 512 the sections
 *
 *   destination map ─ class ─┐
 *                            ├▶ rows, lists, candidates ─▶ code ─▶ blocks, run lists, names; hits[code >> 2]
 *   owner map ─ program ─────┘
 *
 * The control block is 32-bit words too, each group on cache lines of its own:
 *
 *   word 0    which buffer holds the image in force: 0 or 1
 *   word 16   by reader slot, 16 words each: 1 if taken
 *             and in the word after it: even while the reader looks at no image, odd while it does
 */
import type { PrefixMap } from './prefix-map.ts';
export declare const IMAGE_MAGIC = 1952604977;
export declare const HeaderField: {
    readonly magic: 0;
    readonly generation: 1;
    readonly bytes: 2;
    readonly width4: 3;
    readonly ownerWidth4: 4;
};
export declare const ControlField: {
    readonly active: 0;
};
/** Reader slots of a table. Our choice: more readers than cores only wait for each other. */
export declare const READER_SLOTS = 64;
export declare const CONTROL_BYTES: number;
/** The control word that says whether a reader slot is taken. */
export declare function takenWord(slot: number): number;
/** The control word that is odd while the reader of a slot looks at an image. */
export declare function pinWord(slot: number): number;
/** Sections of an image, in their order. */
export declare const Section: {
    readonly destination4: 0;
    readonly destination6: 3;
    readonly owner4: number;
    readonly owner6: number;
    readonly owners: 12;
    readonly programs: 13;
    readonly rows: 14;
    readonly lists: 15;
    readonly candidates: 16;
    /** One float64 per outcome: the only section that readers write. */
    readonly hits: 17;
    readonly blocks: 18;
    readonly runLists: 19;
    /** UTF-8 JSON: NamesSection. */
    readonly names: 20;
};
/** Names by their number in records. */
export interface NamesSection {
    readonly policies: readonly string[];
    readonly lists: readonly string[];
}
export interface SectionSize {
    readonly elements: number;
    readonly elementBytes: number;
}
/** Where each section of an image goes. */
export interface ImagePlan {
    readonly offsets: readonly number[];
    readonly elements: readonly number[];
    readonly bytes: number;
}
/** The section sizes of a map. */
export declare function mapSections(shape: {
    readonly slots: number;
    readonly cells: number;
    readonly width: number;
}): readonly SectionSize[];
/** Places sections, given in the order of `Section`. */
export declare function planImage(sizes: readonly SectionSize[]): ImagePlan;
/** What the header says besides the plan. */
export interface ImageHeader {
    readonly generation: number;
    readonly width4: number;
    readonly ownerWidth4: number;
}
export declare function writeHeader(buffer: ArrayBufferLike, plan: ImagePlan, header: ImageHeader): void;
/**
 * An image as typed arrays. The views have fixed lengths: views that follow a growable buffer's length are several
 * times slower to index.
 */
export interface Image {
    /** The header as it is now: its generation differs from the field's once the buffer holds another image. */
    readonly header: Uint32Array;
    readonly generation: number;
    readonly bytes: number;
    readonly destination4: PrefixMap;
    readonly destination6: PrefixMap;
    readonly owner4: PrefixMap;
    readonly owner6: PrefixMap;
    readonly owners: Int32Array;
    readonly programs: Int32Array;
    readonly rows: Int32Array;
    readonly lists: Int32Array;
    readonly candidates: Int32Array;
    readonly hits: Float64Array;
    readonly blocks: Int32Array;
    readonly runLists: Int32Array;
    readonly names: Uint8Array;
}
/** The image at the start of a buffer. */
export declare function openImage(buffer: ArrayBufferLike): Image;
