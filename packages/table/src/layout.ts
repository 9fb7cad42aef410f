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

// Fixed by the layout.
export const IMAGE_MAGIC = 0x7462_6331; // 'tbc1'
export const HeaderField = { magic: 0, generation: 1, bytes: 2, width4: 3, ownerWidth4: 4 } as const;
const SECTION_TABLE_WORD = 8;
const HEADER_BYTES = 512;
/** A cache line, so that sections do not share one. */
const ALIGNMENT_BYTES = 64;

export const ControlField = { active: 0 } as const;
const READER_FIRST_WORD = 16;
const READER_WORDS = 16;
/** Reader slots of a table. Our choice: more readers than cores only wait for each other. */
export const READER_SLOTS = 64;
export const CONTROL_BYTES = (READER_FIRST_WORD + READER_SLOTS * READER_WORDS) * 4;

/** The control word that says whether a reader slot is taken. */
export function takenWord(slot: number): number {
  return READER_FIRST_WORD + slot * READER_WORDS;
}

/** The control word that is odd while the reader of a slot looks at an image. */
export function pinWord(slot: number): number {
  return takenWord(slot) + 1;
}

/** The four sections of a map, by their distance from its first. */
const MapPart = { directory: 0, bounds: 1, values: 2 } as const;
const MAP_SECTIONS = 3;

/** Sections of an image, in their order. */
export const Section = {
  destination4: 0,
  destination6: MAP_SECTIONS,
  owner4: 2 * MAP_SECTIONS,
  owner6: 3 * MAP_SECTIONS,
  owners: 12,
  programs: 13,
  rows: 14,
  lists: 15,
  candidates: 16,
  /** One float64 per outcome: the only section that readers write. */
  hits: 17,
  blocks: 18,
  runLists: 19,
  /** UTF-8 JSON: NamesSection. */
  names: 20,
} as const;
const SECTION_COUNT = 21;

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
export function mapSections(shape: {
  readonly slots: number;
  readonly cells: number;
  readonly width: number;
}): readonly SectionSize[] {
  return [
    { elements: shape.slots, elementBytes: 4 },
    { elements: shape.cells, elementBytes: 2 },
    { elements: shape.cells, elementBytes: shape.width },
  ];
}

/** Places sections, given in the order of `Section`. */
export function planImage(sizes: readonly SectionSize[]): ImagePlan {
  const offsets: number[] = [];
  let bytes = HEADER_BYTES;
  for (const { elements, elementBytes } of sizes) {
    offsets.push(bytes);
    bytes = Math.ceil((bytes + elements * elementBytes) / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
  }
  return { offsets, elements: sizes.map(({ elements }) => elements), bytes };
}

/** What the header says besides the plan. */
export interface ImageHeader {
  readonly generation: number;
  readonly width4: number;
  readonly ownerWidth4: number;
}

export function writeHeader(buffer: ArrayBufferLike, plan: ImagePlan, header: ImageHeader): void {
  const words = new Uint32Array(buffer, 0, HEADER_BYTES / 4);
  words[HeaderField.magic] = IMAGE_MAGIC;
  words[HeaderField.generation] = header.generation;
  words[HeaderField.bytes] = plan.bytes;
  words[HeaderField.width4] = header.width4;
  words[HeaderField.ownerWidth4] = header.ownerWidth4;
  for (let section = 0; section < SECTION_COUNT; section++) {
    words[SECTION_TABLE_WORD + section * 2] = plan.offsets[section] ?? 0;
    words[SECTION_TABLE_WORD + section * 2 + 1] = plan.elements[section] ?? 0;
  }
}

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
export function openImage(buffer: ArrayBufferLike): Image {
  const words = new Uint32Array(buffer, 0, HEADER_BYTES / 4);
  const offset = (section: number): number => words[SECTION_TABLE_WORD + section * 2] ?? 0;
  const elements = (section: number): number => words[SECTION_TABLE_WORD + section * 2 + 1] ?? 0;
  const int32 = (section: number): Int32Array => new Int32Array(buffer, offset(section), elements(section));
  const map = (first: number, width: number): PrefixMap => {
    const values = first + MapPart.values;
    const cells = (valueBytes: number): number => (width === valueBytes ? elements(values) : 0);
    return {
      slotMask: elements(first) - 1,
      width,
      directory: int32(first),
      bounds: new Uint16Array(buffer, offset(first + MapPart.bounds), elements(first + MapPart.bounds)),
      values8: new Uint8Array(buffer, offset(values), cells(1)),
      values16: new Uint16Array(buffer, offset(values), cells(2)),
      values32: new Int32Array(buffer, offset(values), cells(4)),
    };
  };
  return {
    header: words,
    generation: words[HeaderField.generation] ?? 0,
    bytes: words[HeaderField.bytes] ?? 0,
    destination4: map(Section.destination4, words[HeaderField.width4] ?? 0),
    destination6: map(Section.destination6, 4),
    owner4: map(Section.owner4, words[HeaderField.ownerWidth4] ?? 0),
    owner6: map(Section.owner6, 4),
    owners: int32(Section.owners),
    programs: int32(Section.programs),
    rows: int32(Section.rows),
    lists: int32(Section.lists),
    candidates: int32(Section.candidates),
    hits: new Float64Array(buffer, offset(Section.hits), elements(Section.hits)),
    blocks: int32(Section.blocks),
    runLists: int32(Section.runLists),
    names: new Uint8Array(buffer, offset(Section.names), elements(Section.names)),
  };
}
