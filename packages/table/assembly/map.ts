/**
 * Prefix maps, as src/map/map.ts and src/map/node.ts describe and build them: one address, and tiles of many.
 *
 * A tile is looked at in passes: all directory loads, then the first load from each node, then the searches.
 * The loads of a pass do not wait for each other, so that the latency of memory is paid once for many. Slots
 * that answer at once are done after the first pass; the others are listed without a branch, since which they
 * are cannot be predicted.
 */

import { GRANULE_SHIFT } from './layout';

/** Addresses looked at in one go; their lists stay in the first-level cache. */
export const TILE: i32 = 64;

/** What a node holds for 16 bits of an address. `head` is its first word. */
// @ts-ignore: decorator
@inline
export function seekFrom(node: usize, head: u32, chunk: u32): i32 {
  const partBits = (head >> 16) & 15;
  const starts = node + 6;
  const bounds = starts + (2 << partBits);
  let index = <u32>load<u16>(starts + ((chunk >> (16 - partBits)) << 1));
  if (head & 0xf00000) index = halve(node, bounds, index, chunk, (head >> 20) & 15);
  const at = bounds + (index << 1);
  const limit = i16x8.splat(<i16>(chunk ^ 0x8000));
  const low = i16x8.gt_s(limit, v128.load(at));
  const high = i16x8.gt_s(limit, v128.load(at, 16));
  index += ctz(~i8x16.bitmask(i8x16.narrow_i16x8_s(low, high)));
  const width = head >> 24;
  const value = load<u32>(node + ((head & 0xffff) << 2) + (index << width));
  const unused = 32 - (8 << width);
  return (value << unused) >> unused;
}

/** Moves `index` to within 16 of the answer, `rounds` halvings of a crowded part. */
function halve(node: usize, bounds: usize, index: u32, chunk: u32, rounds: u32): u32 {
  const count = <u32>load<u16>(node + 4);
  const limit = <i32>chunk - 32768;
  for (let step: u32 = 8 << rounds; step >= 16; step >>= 1) {
    const next = index + step;
    if (next <= count && <i32>load<i16>(bounds + ((next - 1) << 1)) < limit) index = next;
  }
  return index;
}

// @ts-ignore: decorator
@inline
export function seek(value: i32, chunk: u32): i32 {
  const node = (<usize>~value) << GRANULE_SHIFT;
  return seekFrom(node, load<u32>(node), chunk);
}

/** What a map holds for an IPv4 address. */
// @ts-ignore: decorator
@inline
export function find4(directory: usize, slotMask: u32, address: u32): i32 {
  const found = load<i32>(directory + (((address >> 16) & slotMask) << 2));
  return found >= 0 ? found : seek(found, address & 0xffff);
}

/** What a map holds for the IPv6 address in the four words from `at`. */
export function find6(directory: usize, slotMask: u32, at: usize): i32 {
  let found = load<i32>(directory + ((<u32>load<u16>(at, 2) & slotMask) << 2));
  // Chunk i of an address is the half at i ^ 1: words are little-endian.
  for (let level = 1; found < 0; level++) found = seek(found, load<u16>(at + ((level ^ 1) << 1)));
  return found;
}

/**
 * What a map holds for up to TILE addresses: word i of `out` for address i. `pending` has room for TILE
 * words, and `heads` too.
 */
// @ts-ignore: decorator
@inline
export function tile4(
  directory: usize,
  slotMask: u32,
  addresses: usize,
  count: i32,
  out: usize,
  pending: usize,
): void {
  let left = pending;
  for (let i: usize = 0, end = <usize>count << 2; i < end; i += 4) {
    const found = load<i32>(directory + (((load<u32>(addresses + i) >> 16) & slotMask) << 2));
    store<i32>(out + i, found);
    store<u32>(left, <u32>i);
    left += (<u32>found >> 31) << 2;
  }
  for (let at = pending; at < left; at += 4) {
    const i = <usize>load<u32>(at);
    store<u32>(at, load<u32>((<usize>~load<i32>(out + i)) << GRANULE_SHIFT), TILE << 2);
  }
  for (let at = pending; at < left; at += 4) {
    const i = <usize>load<u32>(at);
    const node = (<usize>~load<i32>(out + i)) << GRANULE_SHIFT;
    store<i32>(out + i, seekFrom(node, load<u32>(at, TILE << 2), load<u16>(addresses + i)));
  }
}

/** The same for IPv6 addresses of four words each, level after level. */
export function tile6(
  directory: usize,
  slotMask: u32,
  addresses: usize,
  count: i32,
  out: usize,
  pending: usize,
): void {
  let left = pending;
  for (let i: usize = 0, end = <usize>count << 2; i < end; i += 4) {
    const found = load<i32>(directory + ((<u32>load<u16>(addresses + (i << 2), 2) & slotMask) << 2));
    store<i32>(out + i, found);
    store<u32>(left, <u32>i);
    left += (<u32>found >> 31) << 2;
  }
  for (let level: usize = 1; left > pending; level++) {
    const chunkAt = addresses + ((level ^ 1) << 1);
    for (let at = pending; at < left; at += 4) {
      const i = <usize>load<u32>(at);
      store<u32>(at, load<u32>((<usize>~load<i32>(out + i)) << GRANULE_SHIFT), TILE << 2);
    }
    let further = pending;
    for (let at = pending; at < left; at += 4) {
      const i = <usize>load<u32>(at);
      const node = (<usize>~load<i32>(out + i)) << GRANULE_SHIFT;
      const found = seekFrom(node, load<u32>(at, TILE << 2), load<u16>(chunkAt + (i << 2)));
      store<i32>(out + i, found);
      store<u32>(further, <u32>i);
      further += (<u32>found >> 31) << 2;
    }
    left = further;
  }
}
