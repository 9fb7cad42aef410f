/**
 * Prefix maps, as src/map/map.ts and src/map/node.ts describe and build them: one address, and tiles of many.
 * `mask` is a map's second word: its slots less one, and from bit 16 on how wide its nodes' values are.
 *
 * A tile is looked at in passes: all directory loads, then, level by level, all starts of parts, then the
 * boundaries. The loads of a pass do not wait for each other, so that the latency of memory is paid once for
 * many. Slots that answer at once are done after the first pass; the others are listed without a branch,
 * since which they are cannot be predicted. Nor can be whether a part has more boundaries than lanes: what is
 * left there is listed too, for one more pass.
 */

import { BYTE, HALF, NONE, WORD } from './layout';

/** Addresses looked at in one go; their lists stay in the first-level cache. */
export const TILE: i32 = 256;

/** Where a node begins. */
// @ts-ignore: decorator
@inline
function nodeOf(value: i32): usize {
  return <usize>(~value & ~7) << 1;
}

/** How far a chunk is shifted to be the number of its part. */
// @ts-ignore: decorator
@inline
function shiftOf(value: i32): u32 {
  return (~value & 7) << 1;
}

/** The place of the first boundary in a chunk's part. */
// @ts-ignore: decorator
@inline
function placeIn(node: usize, shift: u32, chunk: u32): u32 {
  return load<u16>(node + ((chunk >> shift) << 1));
}

/** Where a boundary is by its place. */
// @ts-ignore: decorator
@inline
function boundAt(node: usize, shift: u32, place: u32): usize {
  return node + (0x20000 >> shift) + (<usize>place << 1);
}

/** How many of the 16 boundaries from `at` are at or below a chunk. */
// @ts-ignore: decorator
@inline
function lanesBelow(at: usize, chunk: u32): u32 {
  const limit = i16x8.splat(<i16>(chunk ^ 0x8000));
  const low = i16x8.gt_s(limit, v128.load(at));
  const high = i16x8.gt_s(limit, v128.load(at, 16));
  return ctz(~i8x16.bitmask(i8x16.narrow_i16x8_s(low, high)));
}

/** Where the value at a place is, in a map that has values. */
// @ts-ignore: decorator
@inline
function valuePlace(node: usize, place: u32, width: u32): usize {
  return node + (~(<usize>place) << width);
}

// @ts-ignore: decorator
@inline
function loadValue(at: usize, width: u32): i32 {
  return width == BYTE ? load<u8>(at) : width == HALF ? load<u16>(at) : load<i32>(at);
}

/** What the node that `value` leads to holds for 16 bits of an address. */
// @ts-ignore: decorator
@inline
function seek(value: i32, chunk: u32, width: u32): i32 {
  const node = nodeOf(value);
  const shift = shiftOf(value);
  let place = placeIn(node, shift, chunk);
  let below = lanesBelow(boundAt(node, shift, place), chunk);
  place += below;
  while (below == 16) {
    below = lanesBelow(boundAt(node, shift, place), chunk);
    place += below;
  }
  return width == NONE ? place & 1 : loadValue(valuePlace(node, place, width), width);
}

/** What a map holds for an IPv4 address. */
// @ts-ignore: decorator
@inline
export function find4(directory: usize, mask: u32, address: u32): i32 {
  const found = load<i32>(directory + (((address >> 16) & mask) << 2));
  return found >= 0 ? found : seek(found, address & 0xffff, mask >> 16);
}

/** What a map holds for the IPv6 address in the four words from `at`. */
export function find6(directory: usize, mask: u32, at: usize): i32 {
  let found = load<i32>(directory + ((<u32>load<u16>(at, 2) & mask) << 2));
  // Chunk i of an address is the half at i ^ 1: words are little-endian. Values are words.
  for (let level = 1; found < 0; level++) found = seek(found, load<u16>(at + ((level ^ 1) << 1)), WORD);
  return found;
}

// What the lists of a tile are, each of TILE words: what is to be looked at, as bytes into a column of words;
// by place in that list where its boundaries and the value of the first are; and what has more boundaries.
const BOUNDS: usize = <usize>TILE << 2;
const VALUES: usize = BOUNDS << 1;
const MORE: usize = BOUNDS * 3;
/** Words of all lists. */
export const LIST_WORDS: usize = <usize>TILE << 2;

/**
 * What a map holds for up to TILE addresses: word i of `out` for address i. `lists` has room for LIST_WORDS.
 */
export function tile4(
  directory: usize,
  mask: u32,
  addresses: usize,
  count: i32,
  out: usize,
  lists: usize,
): void {
  const width = mask >> 16;
  if (width == NONE) tileOfTwo4(directory, mask, addresses, count, out, lists);
  else if (width == BYTE) tileOfBytes4(directory, mask, addresses, count, out, lists);
  else {
    const left = slots(directory, mask, addresses, 2, count, out, lists);
    if (width == HALF) level(addresses, 2, lists, left, out, HALF, true);
    else level(addresses, 2, lists, left, out, WORD, true);
  }
}

/** The same for a map of two values; a function of its own, whose loops the compiler gives all registers. */
export function tileOfTwo4(
  directory: usize,
  mask: u32,
  addresses: usize,
  count: i32,
  out: usize,
  lists: usize,
): void {
  level(addresses, 2, lists, slots(directory, mask, addresses, 2, count, out, lists), out, NONE, true);
}

/** The same for a map of values of a byte. */
export function tileOfBytes4(
  directory: usize,
  mask: u32,
  addresses: usize,
  count: i32,
  out: usize,
  lists: usize,
): void {
  level(addresses, 2, lists, slots(directory, mask, addresses, 2, count, out, lists), out, BYTE, true);
}

/** The same for IPv6 addresses of four words each, level after level. */
export function tile6(
  directory: usize,
  mask: u32,
  addresses: usize,
  count: i32,
  out: usize,
  lists: usize,
): void {
  let left = slots(directory, mask, addresses, 4, count, out, lists);
  for (let i: usize = 1; left > lists; i++) left = level(addresses + ((i ^ 1) << 1), 4, lists, left, out, WORD, false);
}

/**
 * What the directory holds for each address, of 2 ** `shift` bytes; returns the end of the list of those that
 * a node goes on for.
 */
// @ts-ignore: decorator
@inline
function slots(
  directory: usize,
  mask: u32,
  addresses: usize,
  shift: usize,
  count: i32,
  out: usize,
  lists: usize,
): usize {
  let left = lists;
  for (let i: usize = 0, end = <usize>count << 2; i < end; i += 4) {
    const found = load<i32>(directory + ((<u32>load<u16>(addresses + (i << (shift - 2)), 2) & mask) << 2));
    store<i32>(out + i, found);
    store<u32>(left, <u32>i);
    left += (<u32>found >> 31) << 2;
  }
  return left;
}

/**
 * What nodes hold for the halves from `chunks` of those that are listed; returns the end of the list of those
 * that further nodes go on for.
 */
// @ts-ignore: decorator
@inline
function level(
  chunks: usize,
  shift: usize,
  lists: usize,
  left: usize,
  out: usize,
  width: u32,
  isLast: bool,
): usize {
  for (let at = lists; at < left; at += 4) {
    const i = <usize>load<u32>(at);
    const value = load<i32>(out + i);
    const node = nodeOf(value);
    const partShift = shiftOf(value);
    const place = placeIn(node, partShift, load<u16>(chunks + (i << (shift - 2))));
    store<u32>(at, <u32>boundAt(node, partShift, place), BOUNDS);
    store<u32>(at, width == NONE ? place : <u32>valuePlace(node, place, width), VALUES);
  }
  let more = lists + MORE;
  let further = lists;
  for (let at = lists; at < left; at += 4) {
    const i = <usize>load<u32>(at);
    const below = lanesBelow(load<u32>(at, BOUNDS), load<u16>(chunks + (i << (shift - 2))));
    const first = load<u32>(at, VALUES);
    const found = width == NONE ? (first + below) & 1 : loadValue(first - (below << width), width);
    store<i32>(out + i, select(load<i32>(out + i), found, below == 16));
    store<u32>(more, <u32>i);
    more += (below >> 4) << 2;
    if (isLast) continue;
    store<u32>(further, <u32>i);
    further += select(0, (<u32>found >> 31) << 2, below == 16);
  }
  for (let at = lists + MORE; at < more; at += 4) {
    const i = <usize>load<u32>(at);
    const found = seek(load<i32>(out + i), load<u16>(chunks + (i << (shift - 2))), width);
    store<i32>(out + i, found);
    if (isLast) continue;
    store<u32>(further, <u32>i);
    further += (<u32>found >> 31) << 2;
  }
  return further;
}
