/**
 * Prefix maps, as src/map/map.ts and src/map/node.ts describe and build them: one address, and tiles of many.
 * `mask` is a map's second word: its slots less one, and from bit 16 on how wide its nodes' values are.
 *
 * A tile is looked at in passes: all directory loads, then the searches. The loads of a pass do not wait for
 * each other, so that the latency of memory is paid once for many. Slots that answer at once are done after
 * the first pass; the others are listed without a branch, since which they are cannot be predicted. Nor can
 * be whether a part has more boundaries than lanes: what is left there is listed too, for a third pass.
 */

import { BYTE, HALF, NONE } from './layout';

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

/** The value at a place. */
// @ts-ignore: decorator
@inline
function valueAt(node: usize, place: u32, width: u32): i32 {
  if (width == NONE) return place & 1;
  if (width == BYTE) return load<u8>(node + ~(<usize>place));
  if (width == HALF) return load<u16>(node + (~(<usize>place) << 1));
  return load<i32>(node + (~(<usize>place) << 2));
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
  return valueAt(node, place, width);
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
  for (let level = 1; found < 0; level++) found = seek(found, load<u16>(at + ((level ^ 1) << 1)), 2);
  return found;
}

/**
 * What a map holds for up to TILE addresses: word i of `out` for address i. `lists` has room for 2 * TILE
 * words.
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
  if (width == NONE) passes4(directory, mask, addresses, count, out, lists, NONE);
  else if (width == BYTE) passes4(directory, mask, addresses, count, out, lists, BYTE);
  else if (width == HALF) passes4(directory, mask, addresses, count, out, lists, HALF);
  else passes4(directory, mask, addresses, count, out, lists, 2);
}

// @ts-ignore: decorator
@inline
function passes4(
  directory: usize,
  mask: u32,
  addresses: usize,
  count: i32,
  out: usize,
  lists: usize,
  width: u32,
): void {
  let left = lists;
  for (let i: usize = 0, end = <usize>count << 2; i < end; i += 4) {
    const found = load<i32>(directory + ((<u32>load<u16>(addresses + i, 2) & mask) << 2));
    store<i32>(out + i, found);
    store<u32>(left, <u32>i);
    left += (<u32>found >> 31) << 2;
  }
  let more = lists;
  for (let at = lists; at < left; at += 4) {
    const i = <usize>load<u32>(at);
    const value = load<i32>(out + i);
    const node = nodeOf(value);
    const shift = shiftOf(value);
    const chunk = <u32>load<u16>(addresses + i);
    const place = placeIn(node, shift, chunk);
    const below = lanesBelow(boundAt(node, shift, place), chunk);
    store<i32>(out + i, select(value, valueAt(node, place + below, width), below == 16));
    store<u32>(more, <u32>i);
    more += (below >> 4) << 2;
  }
  for (let at = lists; at < more; at += 4) {
    const i = <usize>load<u32>(at);
    store<i32>(out + i, seek(load<i32>(out + i), load<u16>(addresses + i), width));
  }
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
  let left = lists;
  for (let i: usize = 0, end = <usize>count << 2; i < end; i += 4) {
    const found = load<i32>(directory + ((<u32>load<u16>(addresses + (i << 2), 2) & mask) << 2));
    store<i32>(out + i, found);
    store<u32>(left, <u32>i);
    left += (<u32>found >> 31) << 2;
  }
  for (let level: usize = 1; left > lists; level++) {
    const chunks = addresses + ((level ^ 1) << 1);
    let more = lists + (<usize>TILE << 2); // the second list, of what has a part of more boundaries
    let further = lists;
    for (let at = lists; at < left; at += 4) {
      const i = <usize>load<u32>(at);
      const value = load<i32>(out + i);
      const node = nodeOf(value);
      const shift = shiftOf(value);
      const chunk = <u32>load<u16>(chunks + (i << 2));
      const place = placeIn(node, shift, chunk);
      const below = lanesBelow(boundAt(node, shift, place), chunk);
      const found = valueAt(node, place + below, 2);
      store<i32>(out + i, select(value, found, below == 16));
      store<u32>(more, <u32>i);
      more += (below >> 4) << 2;
      store<u32>(further, <u32>i);
      further += select(0, (<u32>found >> 31) << 2, below == 16);
    }
    for (let at = lists + (<usize>TILE << 2); at < more; at += 4) {
      const i = <usize>load<u32>(at);
      const found = seek(load<i32>(out + i), load<u16>(chunks + (i << 2)), 2);
      store<i32>(out + i, found);
      store<u32>(further, <u32>i);
      further += (<u32>found >> 31) << 2;
    }
    left = further;
  }
}
