/**
 * The header of a generation: the addresses of its parts in the heap.
 *
 *   header   words: HeaderField
 *
 *   destination map ─ class ─┐
 *                            ├▶ programs ─▶ code ─▶ names; hits or share of them [code >> 2]
 *   owner map ─ program ─────┘
 *
 * Generations share whatever did not change between them: nodes, directories of other maps, owners, programs,
 * and the hits, which count from when the programs were compiled.
 */

import { DIRECTORY_SLOTS, type PrefixMap } from '../map/map.ts';
import type { ValueWidth } from '../map/node.ts';
import { LINE_BYTES, READER_SLOTS } from '../memory/control.ts';
import type { MemoryViews } from '../memory/memory.ts';

/**
 * The words of a generation's header. Places are first bytes; the mask of a map has the width of its values
 * from bit 16 on.
 */
export const HeaderField = {
  generation: 0,
  owner4: 2,
  owner4Mask: 3,
  owner6: 4,
  owner6Mask: 5,
  /** By owner class: OWNER_WORDS words. */
  owners: 6,
  programs: 7,
  programWords: 8,
  /**
   * An integer of 64 bits by outcome, for readers without a share; with shares and scratch memory all that
   * readers write.
   */
  hits: 9,
  outcomeCount: 10,
  /** UTF-8 JSON: NamesSection. */
  names: 11,
  nameBytes: 12,
  /**
   * Shares of the hits, each the same for one reader alone: the first byte, how many, bytes of each.
   */
  shares: 13,
  shareCount: 14,
  shareBytes: 15,
  /** The generation that the hits count from: the one that the programs were compiled for. */
  hitsSince: 16,
  map4: 17,
  map4Mask: 18,
  map6: 19,
  map6Mask: 20,
} as const;
/** In whole cache lines. */
export const HEADER_BYTES = 128;

/**
 * Bytes of all shares of an image: as many as of the rest of it, but at least and at most these. Our choice:
 * sets of lists have a share for every reader, and the 2^18 runs of the largest policies still have one for
 * the table and for two readers.
 */
const SHARES_LEAST_BYTES = 2 ** 16;
const SHARES_MOST_BYTES = 2 ** 23;

/**
 * How many readers, the table being the first, get a share of their own for counting, so that none waits for
 * another's cache line.
 */
export function shareCount(outcomeCount: number, restBytes: number): number {
  const bytes = Math.min(Math.max(SHARES_LEAST_BYTES, restBytes), SHARES_MOST_BYTES);
  return Math.min(READER_SLOTS + 1, Math.floor(bytes / shareBytes(outcomeCount)));
}

/** Bytes from one share to the next, which begins a cache line. */
export function shareBytes(outcomeCount: number): number {
  return Math.ceil((outcomeCount * 8) / LINE_BYTES) * LINE_BYTES;
}

/**
 * The share of a reader slot, if there are so many shares. The first is the table's own, whose slot is
 * READER_SLOTS.
 */
export function shareOf(slot: number): number {
  return slot === READER_SLOTS ? 0 : slot + 1;
}

/** Names by their number in records. */
export interface NamesSection {
  readonly policies: readonly string[];
  readonly lists: readonly string[];
}

/** The addresses of a generation's parts. */
export interface ImagePlaces {
  readonly generation: number;
  readonly map4: PrefixMap;
  readonly map6: PrefixMap;
  readonly owner4: PrefixMap;
  readonly owner6: PrefixMap;
  readonly owners: number;
  readonly programs: number;
  readonly programWords: number;
  readonly hits: number;
  readonly shares: number;
  /** 0 if there was no memory for shares. */
  readonly shareCount: number;
  readonly hitsSince: number;
  readonly outcomeCount: number;
  readonly names: number;
  readonly nameBytes: number;
}

/** Writes a header; no reader may see these bytes yet. */
export function writeHeader({ words }: MemoryViews, at: number, places: ImagePlaces): void {
  const first = at >>> 2;
  const set = (field: keyof typeof HeaderField, value: number): void => {
    words[first + HeaderField[field]] = value;
  };
  set('generation', places.generation);
  set('map4', places.map4.directory);
  set('map4Mask', maskOf(places.map4));
  set('map6', places.map6.directory);
  set('map6Mask', maskOf(places.map6));
  set('owner4', places.owner4.directory);
  set('owner4Mask', maskOf(places.owner4));
  set('owner6', places.owner6.directory);
  set('owner6Mask', maskOf(places.owner6));
  set('owners', places.owners);
  set('programs', places.programs);
  set('programWords', places.programWords);
  set('hits', places.hits);
  set('outcomeCount', places.outcomeCount);
  set('names', places.names);
  set('nameBytes', places.nameBytes);
  set('shares', places.shares);
  set('shareCount', places.shareCount);
  set('hitsSince', places.hitsSince);
  set('shareBytes', shareBytes(places.outcomeCount));
}

function maskOf({ slotMask, width }: PrefixMap): number {
  return slotMask | (width << 16);
}

function mapOf(directory: number, mask: number): PrefixMap {
  // only widths are written there
  return { directory, slotMask: mask & (DIRECTORY_SLOTS - 1), width: (mask >>> 16) as ValueWidth };
}

/** The generation of the header at a byte. */
export function generationAt({ words }: MemoryViews, header: number): number {
  return words[(header >>> 2) + HeaderField.generation]! >>> 0; // within the memory
}

function readHeader({ words }: MemoryViews, at: number): ImagePlaces {
  const first = at >>> 2;
  const get = (field: keyof typeof HeaderField): number => words[first + HeaderField[field]]! >>> 0; // within the header
  return {
    generation: get('generation'),
    map4: mapOf(get('map4'), get('map4Mask')),
    map6: mapOf(get('map6'), get('map6Mask')),
    owner4: mapOf(get('owner4'), get('owner4Mask')),
    owner6: mapOf(get('owner6'), get('owner6Mask')),
    owners: get('owners'),
    programs: get('programs'),
    programWords: get('programWords'),
    hits: get('hits'),
    shares: get('shares'),
    shareCount: get('shareCount'),
    hitsSince: get('hitsSince'),
    outcomeCount: get('outcomeCount'),
    names: get('names'),
    nameBytes: get('nameBytes'),
  };
}

/** A generation as typed arrays. */
export interface Image {
  /** First byte of the header. */
  readonly at: number;
  readonly generation: number;
  readonly views: MemoryViews;
  readonly places: ImagePlaces;
  readonly map4: PrefixMap;
  readonly map6: PrefixMap;
  readonly programs: Int32Array;
}

/** The generation whose header is at `at`. Reuses the views of `before` for the same bytes. */
export function openImage(views: MemoryViews, at: number, before: Image | undefined): Image {
  const places = readHeader(views, at);
  const { map4, map6, programs, programWords } = places;
  return {
    at,
    generation: places.generation,
    views,
    places,
    map4,
    map6,
    programs:
      before?.places.programs === programs && before.programs.length === programWords
        ? before.programs
        : views.words.subarray(programs >>> 2, (programs >>> 2) + programWords),
  };
}
