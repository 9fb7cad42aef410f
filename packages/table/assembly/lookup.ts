/**
 * Lookups: from addresses to codes, for one packet and for columns of them. An `image` is the first byte
 * of a generation's header, whose words src/image/header.ts names and layout.ts knows.
 */

import {
  ACTION_BITS,
  ACTION_MASK,
  DROP,
  EGRESS,
  EGRESS_FIELD,
  GROUPS,
  GROUP_COUNT,
  GROUP_SHIFT,
  HITS,
  HOT_CODE,
  INGRESS,
  INGRESS_FIELD,
  MAP4,
  MAP4_MASK,
  MAP6,
  MAP6_MASK,
  NO_VERDICT,
  OWNER4,
  OWNER4_MASK,
  OWNER6,
  OWNER6_MASK,
  OWNERS,
  OWNER_SHIFT,
  PROGRAMS,
  SCRATCH_SHARE,
  SHARES,
  SHARE_BYTES,
  SHARE_COUNT,
} from './layout';
import { find4, find6, TILE, tile4, tile6 } from './map';
import { decide, decideGrouped, decideTile, protoBitOf } from './program';

/** The number of a family's ICMP. */
function icmpOf(family: i32): i32 {
  return family == 4 ? 1 : 58;
}

/** What a packet judged twice gets: drop before accept before none, egress before ingress. */
function stricter(egress: i32, ingress: i32): i32 {
  if ((egress & ACTION_MASK) == DROP) return egress;
  if ((ingress & ACTION_MASK) == DROP) return ingress;
  return egress == NO_VERDICT ? ingress : egress;
}

/** The class of an address in the first group; `at` is an IPv4 address, or where an IPv6 one is. */
// @ts-ignore: decorator
@inline
function classOf(image: usize, family: i32, at: u32): i32 {
  return family == 4
    ? find4(load<u32>(image, MAP4), load<u32>(image, MAP4_MASK), at)
    : find6(load<u32>(image, MAP6), load<u32>(image, MAP6_MASK), at);
}

/**
 * Judges by the classes that the address has in all groups; they are noted in the reader's scratch memory.
 */
function judgeGrouped(
  image: usize,
  family: i32,
  program: i32,
  hasRemote: bool,
  remote: u32,
  bit: i32,
  detail: i32,
  scratch: usize,
): i32 {
  const count = load<i32>(image, GROUP_COUNT);
  const classes = scratch + GROUP_CLASSES;
  for (let group = 0; group < count; group++) {
    const maps = image + GROUPS + (<usize>group << GROUP_SHIFT);
    let classId = 0;
    if (hasRemote)
      classId =
        family == 4
          ? find4(load<u32>(maps), load<u32>(maps, 4), remote)
          : find6(load<u32>(maps, 8), load<u32>(maps, 12), remote);
    store<i32>(classes + (<usize>group << 2), classId);
  }
  return decideGrouped(load<u32>(image, PROGRAMS), program, classes, bit, detail);
}

/** The code of what a program does with one packet. */
// @ts-ignore: decorator
@inline
function judge(
  image: usize,
  family: i32,
  program: i32,
  hasRemote: bool,
  remote: u32,
  bit: i32,
  detail: i32,
  scratch: usize,
): i32 {
  if (program < 0) return NO_VERDICT;
  if (load<i32>(image, GROUP_COUNT) > 1)
    return judgeGrouped(image, family, program, hasRemote, remote, bit, detail, scratch);
  const classId = hasRemote ? classOf(image, family, remote) : 0;
  return decide(load<u32>(image, PROGRAMS), program, classId, bit, detail);
}

/** The program of the owner of an address; `field` is 0 for egress, 4 for ingress. */
// @ts-ignore: decorator
@inline
function programOf(image: usize, family: i32, hasAddress: bool, address: u32, field: usize): i32 {
  const owners = <usize>load<u32>(image, OWNERS) + field;
  if (!hasAddress) return load<i32>(owners);
  const ownerClass =
    family == 4
      ? find4(load<u32>(image, OWNER4), load<u32>(image, OWNER4_MASK), address)
      : find6(load<u32>(image, OWNER6), load<u32>(image, OWNER6_MASK), address);
  return load<i32>(owners + (<usize>ownerClass << OWNER_SHIFT));
}

// @ts-ignore: decorator
@inline
function lookup(
  image: usize,
  direction: i32,
  srcFamily: i32,
  hasSrc: bool,
  src: u32,
  dstFamily: i32,
  dst: u32,
  proto: i32,
  detail: i32,
  scratch: usize,
): i32 {
  const bit = protoBitOf(proto, icmpOf(dstFamily));
  let code = NO_VERDICT;
  if (direction != INGRESS) {
    const program = programOf(image, srcFamily, hasSrc, src, EGRESS_FIELD);
    code = judge(image, dstFamily, program, true, dst, bit, detail, scratch);
    if (direction == EGRESS) return code;
  }
  const program = programOf(image, dstFamily, true, dst, INGRESS_FIELD);
  return stricter(code, judge(image, srcFamily, program, hasSrc, src, bit, detail, scratch));
}

/**
 * The code of any packet's verdict, not counted: its addresses may be of two families, of which `srcFamily`
 * is 0 if the source is unknown. `src` and `dst` are IPv4 addresses, or where four words are.
 */
export function judgePacket(
  image: usize,
  direction: i32,
  srcFamily: i32,
  src: u32,
  dstFamily: i32,
  dst: u32,
  proto: i32,
  detail: i32,
  scratch: usize,
): i32 {
  return lookup(image, direction, srcFamily, srcFamily != 0, src, dstFamily, dst, proto, detail, scratch);
}

/** The share of the hits that is a reader's alone; 0 if there is none for it. */
function shareOf(image: usize, scratch: usize): usize {
  const share = load<u32>(scratch, SCRATCH_SHARE);
  if (share >= load<u32>(image, SHARE_COUNT)) return 0;
  return load<u32>(image, SHARES) + share * load<u32>(image, SHARE_BYTES);
}

/** Counts in a share, a float64 an outcome; without one, where all others do, a word of 64 bits each. */
function countHits(image: usize, share: usize, code: u32, count: u32): void {
  const at = <usize>(code >> ACTION_BITS) << 3;
  if (share != 0) store<f64>(share + at, load<f64>(share + at) + <f64>count);
  else atomic.add<u64>(<usize>load<u32>(image, HITS) + at, count); // orders nothing: it is for the sum alone
}

function counted(image: usize, code: i32, scratch: usize): i32 {
  countHits(image, shareOf(image, scratch), code, 1);
  return code;
}

/** The code of an IPv4 packet's verdict; counts it, like all below. */
export function lookup4(
  image: usize,
  direction: i32,
  hasSrc: bool,
  src: u32,
  dst: u32,
  proto: i32,
  detail: i32,
  scratch: usize,
): i32 {
  return counted(image, lookup(image, direction, 4, hasSrc, src, 4, dst, proto, detail, scratch), scratch);
}

/**
 * The code of an IPv4 packet's egress verdict whose source is unknown: what most single lookups ask, with
 * little to hand over.
 */
export function egress4(image: usize, dst: u32, proto: i32, detail: i32, scratch: usize): i32 {
  const program = load<i32>(load<u32>(image, OWNERS));
  return counted(image, judge(image, 4, program, true, dst, protoBitOf(proto, icmpOf(4)), detail, scratch), scratch);
}

/** The code of an IPv6 packet's verdict; `src` and `dst` are where four words are. */
export function lookup6(
  image: usize,
  direction: i32,
  hasSrc: bool,
  src: usize,
  dst: usize,
  proto: i32,
  detail: i32,
  scratch: usize,
): i32 {
  return counted(image, lookup(image, direction, 6, hasSrc, <u32>src, 6, <u32>dst, proto, detail, scratch), scratch);
}

/** The class of an IPv6 address in the first group; `at` is where its four words are. */
export function classOf6(image: usize, at: usize): i32 {
  return find6(load<u32>(image, MAP6), load<u32>(image, MAP6_MASK), at);
}

/** The class of an IPv4 address in the first group. */
export function classOf4(image: usize, address: u32): i32 {
  return find4(load<u32>(image, MAP4), load<u32>(image, MAP4_MASK), address);
}

// What a reader's scratch memory holds for a tile, in bytes from its start.
const TILE_BYTES: usize = <usize>TILE << 2;
const LISTS: usize = 0; // two tiles, for whatever runs
const CLASSES: usize = TILE_BYTES * 2;
const TILE_PROGRAMS: usize = TILE_BYTES * 3; // first the owners' classes
const SECOND_CODES: usize = TILE_BYTES * 4;
const GROUP_CLASSES: usize = TILE_BYTES * 5;

/**
 * The codes of a tile in one direction, those that the owners of `own` addresses get for the `remote` ones; 0
 * for either: it is absent. `field` is where an owner's record has its program.
 */
// @ts-ignore: decorator
@inline
function judgeTile(
  image: usize,
  family: i32,
  field: usize,
  own: usize,
  remote: usize,
  protos: usize,
  details: usize,
  codes: usize,
  count: i32,
  scratch: usize,
): void {
  const blob = <usize>load<u32>(image, PROGRAMS);
  const owners = <usize>load<u32>(image, OWNERS) + field;
  const ownMap = <usize>load<u32>(image + (family == 4 ? OWNER4 : OWNER6));
  const ownMask = load<u32>(image + (family == 4 ? OWNER4_MASK : OWNER6_MASK));
  const end = <usize>count << 2;
  const only = load<i32>(owners + (own == 0 ? 0 : <usize>load<u32>(ownMap) << OWNER_SHIFT)); // the program of all, if they have one
  let programs: usize = 0;
  if (own != 0 && ownMask != 0) {
    programs = scratch + TILE_PROGRAMS;
    if (family == 4) tile4(ownMap, ownMask, own, count, programs, scratch + LISTS);
    else tile6(ownMap, ownMask, own, count, programs, scratch + LISTS);
    for (let i: usize = 0; i < end; i += 4) {
      store<i32>(programs + i, load<i32>(owners + (<usize>load<u32>(programs + i) << OWNER_SHIFT)));
    }
  }
  if (load<i32>(image, GROUP_COUNT) > 1) {
    judgeTileGrouped(image, family, programs, only, remote, protos, details, codes, count, scratch);
    return;
  }
  const classes = scratch + CLASSES;
  if (remote == 0) memory.fill(classes, 0, end);
  else if (family == 4)
    tile4(load<u32>(image, MAP4), load<u32>(image, MAP4_MASK), remote, count, classes, scratch + LISTS);
  else tile6(load<u32>(image, MAP6), load<u32>(image, MAP6_MASK), remote, count, classes, scratch + LISTS);
  decideTile(blob, programs, only, classes, protos, icmpOf(family), details, codes, count, scratch + LISTS);
}

/** The same where predicates are shared out to groups: packet by packet. */
function judgeTileGrouped(
  image: usize,
  family: i32,
  programs: usize,
  only: i32,
  remote: usize,
  protos: usize,
  details: usize,
  codes: usize,
  count: i32,
  scratch: usize,
): void {
  for (let i: usize = 0, end = <usize>count; i < end; i++) {
    const at = i << 2;
    const program = programs == 0 ? only : load<i32>(programs + at);
    let code = NO_VERDICT;
    if (program >= 0) {
      const bit = protoBitOf(load<u8>(protos + i), icmpOf(family));
      const hasRemote = remote != 0;
      const address = family == 6 ? <u32>remote + (<u32>at << 2) : hasRemote ? load<u32>(remote + at) : 0;
      code = judgeGrouped(image, family, program, hasRemote, address, bit, load<i32>(details + at), scratch);
    }
    store<i32>(codes + at, code);
  }
}

/** Which of the 64 codes of a tile are `code`, a bit each. */
function sameCodes(codes: usize, code: u32): u64 {
  const sought = i32x4.splat(code);
  let same: u64 = 0;
  for (let i: usize = 0; i < 16; i += 4) {
    const at = codes + (i << 4);
    const low = i16x8.narrow_i32x4_s(i32x4.eq(v128.load(at), sought), i32x4.eq(v128.load(at, 16), sought));
    const high = i16x8.narrow_i32x4_s(i32x4.eq(v128.load(at, 32), sought), i32x4.eq(v128.load(at, 48), sought));
    same |= <u64>(<u32>i8x16.bitmask(i8x16.narrow_i16x8_s(low, high))) << (i << 2);
  }
  return same;
}

/**
 * Counts the hits of a tile. Counts of one code wait for each other, so the code that was most frequent
 * lately is counted at once, and so is the first other one, which may take its place: most tiles have no
 * more, or many that are rare.
 */
// @ts-ignore: decorator
@inline
function countTile(image: usize, codes: usize, count: i32, scratch: usize): void {
  const share = shareOf(image, scratch);
  let left: u64 = count == TILE ? -1 : (<u64>1 << count) - 1;
  if (count == TILE) {
    const hot = load<u32>(scratch, HOT_CODE);
    const same = sameCodes(codes, hot);
    if (same != 0) {
      countHits(image, share, hot, <u32>popcnt(same));
      left = ~same;
    }
    if (left != 0) {
      const code = load<u32>(codes + (<usize>ctz(left) << 2));
      const others = sameCodes(codes, code);
      countHits(image, share, code, <u32>popcnt(others));
      left &= ~others;
      if (popcnt(others) > popcnt(same)) store<u32>(scratch, code, HOT_CODE);
    }
  }
  for (; left != 0; left &= left - 1) countHits(image, share, load<u32>(codes + (<usize>ctz(left) << 2)), 1);
}

/** The codes of up to a tile of packets, and their hits. */
// @ts-ignore: decorator
@inline
function lookupTile(
  image: usize,
  family: i32,
  direction: i32,
  src: usize,
  dst: usize,
  protos: usize,
  details: usize,
  codes: usize,
  count: i32,
  scratch: usize,
): void {
  if (direction != INGRESS) judgeTile(image, family, EGRESS_FIELD, src, dst, protos, details, codes, count, scratch);
  if (direction != EGRESS) {
    const ingress = direction == INGRESS ? codes : scratch + SECOND_CODES;
    judgeTile(image, family, INGRESS_FIELD, dst, src, protos, details, ingress, count, scratch);
    for (let i: usize = 0, end = <usize>count << 2; direction != INGRESS && i < end; i += 4) {
      store<i32>(codes + i, stricter(load<i32>(codes + i), load<i32>(ingress + i)));
    }
  }
  countTile(image, codes, count, scratch);
}

/**
 * The codes of many packets, into `codes`, and their hits. Columns are where the caller has them, addresses
 * of a word (IPv4) or four; `src` is 0 if no packet has a known source. `scratch` is the reader's own.
 */
export function lookupAll(
  image: usize,
  family: i32,
  direction: i32,
  src: usize,
  dst: usize,
  protos: usize,
  details: usize,
  codes: usize,
  count: i32,
  scratch: usize,
): void {
  const addressShift: usize = family == 4 ? 2 : 4;
  for (let i = 0; i < count; i += TILE) {
    const at = <usize>i << 2;
    const addressAt = <usize>i << addressShift;
    const from: usize = src == 0 ? 0 : src + addressAt;
    const to = dst + addressAt;
    const left = min(count - i, TILE);
    // Twice, as each is compiled for its family.
    if (family == 4) lookupTile(image, 4, direction, from, to, protos + i, details + at, codes + at, left, scratch);
    else lookupTile(image, 6, direction, from, to, protos + i, details + at, codes + at, left, scratch);
  }
}

/** The classes, in the first group, of many addresses. */
export function classesOf(image: usize, family: i32, addresses: usize, out: usize, count: i32, scratch: usize): void {
  for (let i = 0; i < count; i += TILE) {
    const at = <usize>i << 2;
    const left = min(count - i, TILE);
    if (family == 4)
      tile4(load<u32>(image, MAP4), load<u32>(image, MAP4_MASK), addresses + at, left, out + at, scratch + LISTS);
    else
      tile6(load<u32>(image, MAP6), load<u32>(image, MAP6_MASK), addresses + (at << 2), left, out + at, scratch + LISTS);
  }
}
