/**
 * Lookups: from addresses to codes, for one packet and for columns of them.
 *
 * Each begins by comparing the header in force with the one that its reader holds
 * (src/memory/double-buffer.ts), by an atomic load, which here costs nothing: if a flip was missed, nothing
 * is looked at, and the answer is RENEW. An `image` is the first byte of a generation's header, whose words
 * src/image/header.ts names and layout.ts knows. `room` is the scratch memory of the reader.
 */

import {
  ACTION_BITS,
  ACTION_MASK,
  DROP,
  EGRESS,
  EGRESS_FIELD,
  FIRST,
  HITS,
  IN_FORCE,
  INGRESS,
  INGRESS_FIELD,
  MAP4,
  MAP4_MASK,
  MAP6,
  MAP6_MASK,
  IS_PLAIN,
  BYTE,
  NONE,
  NO_VERDICT,
  BASE,
  CLASS_MASK,
  COLUMNS,
  OWNER4,
  OWNER4_MASK,
  OWNER6,
  OWNER6_MASK,
  OWNERS,
  OWNER_SHIFT,
  PROGRAMS,
  PROGRAM_HEADER,
  RECORD_SHIFT,
  SHARE_INDEX,
  SHARES,
  SHARE_BYTES,
  SHARE_COUNT,
} from './layout';
import { find4, find6, LIST_WORDS, TILE, tile4, tile6, tileOfBytes4, tileOfTwo4 } from './map';
import { decide, decideTile, judgeOf, protoBitOf } from './program';

/** What a lookup answers that saw a flip; below all codes. */
const RENEW = -1;

// What the room of a reader holds, in bytes from its start: first the header held, 0 for none; then what
// `open` notes of that generation.
const SHARE: usize = 8; // the reader's share of the hits; 0: it has none
const PLAIN: usize = 12; // whether one program of codes alone judges what unknown sources send
const ROWS: usize = 16; // of that: its rows, as an address
const ROW_MASK: usize = 20;
const ROW_BASE: usize = 24;
const DIRECTORY: usize = 28; // the map of IPv4 addresses
const MASK: usize = 32;
const HOT: usize = 36; // the two codes most frequent lately
const SPREAD: usize = 44; // tiles to come whose codes are taken to be many
// COLUMNS: where the reader's own columns of IPv4 packets are: dst, protos, details, codes
/** Our choice: tiles until it is tried again whether few codes are frequent. */
const SPREAD_TILES: u32 = 32;
const LISTS: usize = 128; // for whatever runs, of which decideTile needs the first half and a little
const TILE_BYTES: usize = <usize>TILE << 2;
const FIRST_CODES: usize = LISTS + 3 * TILE_BYTES; // the last of the lists
const CLASSES: usize = LISTS + (LIST_WORDS << 2);
const TILE_JUDGES: usize = CLASSES + TILE_BYTES; // first the owners' classes
const SECOND_CODES: usize = TILE_JUDGES + TILE_BYTES;
/** By class of a byte four words, for packets in turn: counts of one word wait for each other. */
const CLASS_COUNTS: usize = SECOND_CODES + TILE_BYTES;
const CLASS_COUNT_SHIFT: usize = 4;
/** Our choice: packets up to which one by one takes less than the passes of a tile. */
const FEW: i32 = 3;
/** Our choice: packets from which counts by class, summed up in the end, take less than code by code. */
const SUMMED: i32 = 1024;

/** Whether the generation that a reader holds is in force. */
// @ts-ignore: decorator
@inline
function isHeld(room: usize): bool {
  return atomic.load<u32>(IN_FORCE) == load<u32>(room);
}

/** Notes what lookups need of the generation that a reader has held since just now. */
export function open(room: usize): void {
  const image = <usize>load<u32>(room);
  const share = load<u32>(room, SHARE_INDEX);
  const hasShare = share < load<u32>(image, SHARE_COUNT);
  store<u32>(room, hasShare ? load<u32>(image, SHARES) + share * load<u32>(image, SHARE_BYTES) : 0, SHARE);
  const program = load<i32>(load<u32>(image, OWNERS), EGRESS_FIELD);
  const blob = <usize>load<u32>(image, PROGRAMS);
  const record = blob + PROGRAM_HEADER + (<usize>max(program, 0) << RECORD_SHIFT);
  const isPlain = program >= 0 && load<i32>(record, IS_PLAIN) != 0 && load<i32>(blob + EGRESS_FIELD, FIRST) < 0;
  store<u32>(room, u32(isPlain), PLAIN);
  store<u32>(room, <u32>blob + (load<u32>(record) << 2), ROWS);
  store<u32>(room, load<u32>(record, CLASS_MASK), ROW_MASK);
  store<u32>(room, load<u32>(record, BASE), ROW_BASE);
  store<u32>(room, load<u32>(image, MAP4), DIRECTORY);
  store<u32>(room, load<u32>(image, MAP4_MASK), MASK);
}

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

/** The class of an address; `at` is an IPv4 address, or where an IPv6 one is. */
// @ts-ignore: decorator
@inline
function classOf(image: usize, family: i32, at: u32): i32 {
  return family == 4
    ? find4(load<u32>(image, MAP4), load<u32>(image, MAP4_MASK), at)
    : find6(load<u32>(image, MAP6), load<u32>(image, MAP6_MASK), at);
}

/** The code of a decision by the policy `first`, which always drops. */
// @ts-ignore: decorator
@inline
function dropOf(code: i32): i32 {
  return (code & ~ACTION_MASK) | DROP;
}

/** The code of `first` and then of a program for one packet; `field` as for `programOf`. */
// @ts-ignore: decorator
@inline
function judge(
  image: usize,
  family: i32,
  field: usize,
  program: i32,
  hasRemote: bool,
  remote: u32,
  bit: i32,
  detail: i32,
): i32 {
  const blob = <usize>load<u32>(image, PROGRAMS);
  const first = load<i32>(blob + field, FIRST);
  if ((first & program) < 0) return NO_VERDICT; // both are
  const classId = hasRemote ? classOf(image, family, remote) : 0;
  if (first >= 0) {
    const code = decide(blob, first, classId, bit, detail);
    if (code != NO_VERDICT) return dropOf(code);
    if (program < 0) return NO_VERDICT;
  }
  return decide(blob, program, classId, bit, detail);
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
): i32 {
  const bit = protoBitOf(proto, icmpOf(dstFamily));
  let code = NO_VERDICT;
  if (direction != INGRESS) {
    const program = programOf(image, srcFamily, hasSrc, src, EGRESS_FIELD);
    code = judge(image, dstFamily, EGRESS_FIELD, program, true, dst, bit, detail);
    if (direction == EGRESS) return code;
  }
  const program = programOf(image, dstFamily, true, dst, INGRESS_FIELD);
  return stricter(code, judge(image, srcFamily, INGRESS_FIELD, program, hasSrc, src, bit, detail));
}

/**
 * The code of any packet's verdict, counted or not: its addresses may be of two families, of which
 * `srcFamily` is 0 if the source is unknown. `src` and `dst` are IPv4 addresses, or where four words are.
 */
export function judgePacket(
  room: usize,
  direction: i32,
  srcFamily: i32,
  src: u32,
  dstFamily: i32,
  dst: u32,
  proto: i32,
  detail: i32,
  isHit: bool,
): i32 {
  if (!isHeld(room)) return RENEW;
  const code = lookup(load<u32>(room), direction, srcFamily, srcFamily != 0, src, dstFamily, dst, proto, detail);
  if (isHit) count(room, code, 1);
  return code;
}

/** Counts in the reader's share; without one, where all others do. */
// @ts-ignore: decorator
@inline
function count(room: usize, code: u32, hits: u64): void {
  const share = <usize>load<u32>(room, SHARE);
  const at = <usize>(code >> ACTION_BITS) << 3;
  if (share != 0) store<u64>(share + at, load<u64>(share + at) + hits);
  else atomic.add<u64>(<usize>load<u32>(load<u32>(room), HITS) + at, hits); // orders nothing: it is for the sum alone
}

/** The code that the plain program has for a class. */
// @ts-ignore: decorator
@inline
function plainCode(room: usize, classId: i32): i32 {
  const row = load<i32>(<usize>load<u32>(room, ROWS) + (<usize>(classId & load<i32>(room, ROW_MASK)) << 2));
  return load<i32>(room, ROW_BASE) + ~row;
}

/** The code of an IPv4 packet's egress verdict by the plain program. */
// @ts-ignore: decorator
@inline
function plainOne(room: usize, dst: u32): i32 {
  return plainCode(room, find4(load<u32>(room, DIRECTORY), load<u32>(room, MASK), dst));
}

/** The code of an IPv4 packet's verdict; counts it, like all below. */
export function lookup4(
  room: usize,
  direction: i32,
  hasSrc: bool,
  src: u32,
  dst: u32,
  proto: i32,
  detail: i32,
): i32 {
  if (!isHeld(room)) return RENEW;
  const code = lookup(load<u32>(room), direction, 4, hasSrc, src, 4, dst, proto, detail);
  count(room, code, 1);
  return code;
}

/**
 * The code of an IPv4 packet's egress verdict whose source is unknown: what most single lookups ask, with
 * little to hand over.
 */
export function egress4(room: usize, dst: u32, proto: i32, detail: i32): i32 {
  if (!isHeld(room)) return RENEW;
  let code: i32;
  if (load<u32>(room, PLAIN)) code = plainOne(room, dst);
  else {
    const image = <usize>load<u32>(room);
    const program = load<i32>(load<u32>(image, OWNERS), EGRESS_FIELD);
    code = judge(image, 4, EGRESS_FIELD, program, true, dst, protoBitOf(proto, icmpOf(4)), detail);
  }
  count(room, code, 1);
  return code;
}

/** The code of an IPv6 packet's verdict; `src` and `dst` are where four words are. */
export function lookup6(
  room: usize,
  direction: i32,
  hasSrc: bool,
  src: usize,
  dst: usize,
  proto: i32,
  detail: i32,
): i32 {
  if (!isHeld(room)) return RENEW;
  const code = lookup(load<u32>(room), direction, 6, hasSrc, <u32>src, 6, <u32>dst, proto, detail);
  count(room, code, 1);
  return code;
}

/**
 * The codes of a tile in one direction, those that the owners of `own` addresses get for the `remote` ones; 0
 * for either: it is absent. `field` is where an owner's record has its program, and `first` too.
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
  const hasOne = own == 0 || <u16>ownMask == 0; // all have one owner, and one program
  const only = load<i32>(owners + (own == 0 || !hasOne ? 0 : <usize>load<u32>(ownMap) << OWNER_SHIFT));
  let judges: usize = 0;
  if (!hasOne) {
    judges = scratch + TILE_JUDGES;
    if (family == 4) tile4(ownMap, ownMask, own, count, judges, scratch + LISTS);
    else tile6(ownMap, ownMask, own, count, judges, scratch + LISTS);
    for (let i: usize = 0; i < end; i += 4) {
      const program = load<i32>(owners + (<usize>load<u32>(judges + i) << OWNER_SHIFT));
      store<u32>(judges + i, <u32>judgeOf(blob, program));
    }
  }
  const classes = scratch + CLASSES;
  if (remote == 0) memory.fill(classes, 0, end);
  else if (family == 4)
    tile4(load<u32>(image, MAP4), load<u32>(image, MAP4_MASK), remote, count, classes, scratch + LISTS);
  else tile6(load<u32>(image, MAP6), load<u32>(image, MAP6_MASK), remote, count, classes, scratch + LISTS);
  decideTile(blob, judges, only, classes, protos, icmpOf(family), details, codes, count, scratch + LISTS);
  const first = load<i32>(blob + field, FIRST);
  if (first < 0) return;
  const before = scratch + FIRST_CODES;
  decideTile(blob, 0, first, classes, protos, icmpOf(family), details, before, count, scratch + LISTS);
  for (let i: usize = 0; i < end; i += 4) {
    const code = load<i32>(before + i);
    store<i32>(codes + i, select(dropOf(code), load<i32>(codes + i), code != NO_VERDICT));
  }
}

/** Four words are the sum of the lanes. */
// @ts-ignore: decorator
@inline
function sumOf(lanes: v128): u32 {
  return (
    i32x4.extract_lane(lanes, 0) +
    i32x4.extract_lane(lanes, 1) +
    i32x4.extract_lane(lanes, 2) +
    i32x4.extract_lane(lanes, 3)
  );
}

/** Counts codes one by one. */
// @ts-ignore: decorator
@inline
function countEach(room: usize, from: usize, end: usize): void {
  const share = <usize>load<u32>(room, SHARE);
  if (share == 0) for (let at = from; at < end; at += 4) count(room, load<u32>(at), 1);
  else {
    for (let at = from; at < end; at += 4) {
      const hits = share + (<usize>(load<u32>(at) >> ACTION_BITS) << 3);
      store<u64>(hits, load<u64>(hits) + 1);
    }
  }
}

/**
 * Counts the hits of a tile. Counts of one code wait for each other, so the two that were most frequent
 * lately are counted by comparing; the others are listed without a branch, and counted one by one. Where most
 * are others, all are, for some tiles.
 */
function countTile(room: usize, codes: usize, codeCount: i32): void {
  const spread = load<u32>(room, SPREAD);
  if (spread != 0) {
    store<u32>(room, spread - 1, SPREAD);
    countEach(room, codes, codes + (<usize>codeCount << 2));
    return;
  }
  const lists = room + LISTS;
  const hot0 = load<u32>(room, HOT);
  const hot1 = load<u32>(room, HOT + 4);
  const is0 = i32x4.splat(hot0);
  const is1 = i32x4.splat(hot1);
  let n0 = i32x4.splat(0);
  let n1 = i32x4.splat(0);
  let left = lists;
  const end = codes + (<usize>codeCount << 2);
  let at = codes;
  for (; at + 16 <= end; at += 16) {
    const four = v128.load(at);
    const equal0 = i32x4.eq(four, is0);
    const equal1 = i32x4.eq(four, is1);
    n0 = i32x4.sub(n0, equal0);
    n1 = i32x4.sub(n1, equal1);
    const hot = i32x4.bitmask(v128.or(equal0, equal1));
    if (hot == 15) continue;
    for (let i: usize = 0; i < 4; i++) {
      store<u32>(left, load<u32>(at + (i << 2)));
      left += <usize>(~(hot >>> <i32>i) & 1) << 2;
    }
  }
  for (; at < end; at += 4, left += 4) store<u32>(left, load<u32>(at));
  const hits0 = sumOf(n0);
  const hits1: u32 = hot1 == hot0 ? 0 : sumOf(n1);
  if (hits0 != 0) count(room, hot0, hits0);
  if (hits1 != 0) count(room, hot1, hits1);
  countEach(room, lists, left);
  if (left - lists > <usize>codeCount << 1) store<u32>(room, SPREAD_TILES, SPREAD);
  if (<u32>((left - lists) >> 2) <= hits1) return;
  // The less frequent of the two makes room for one of the others, whichever it is.
  if (hits1 > hits0) store<u32>(room, hot1, HOT);
  store<u32>(room, load<u32>(left - 4), HOT + 4);
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
  countTile(scratch, codes, count);
}

/**
 * The codes of many packets, into `codes`, and their hits. Columns are where the caller has them, addresses
 * of a word (IPv4) or four; `src` is 0 if no packet has a known source. `room` is the reader's own.
 */
export function lookupAll(
  room: usize,
  family: i32,
  direction: i32,
  src: usize,
  dst: usize,
  protos: usize,
  details: usize,
  codes: usize,
  count: i32,
): i32 {
  return isHeld(room) ? lookupRest(room, family, direction, src, dst, protos, details, codes, count) : RENEW;
}

/**
 * The same for the first packets in the reader's own columns of IPv4, sent from unknown sources: what small
 * batches ask, with little to hand over.
 */
export function batch4(room: usize, count: i32): i32 {
  const dst = <usize>load<u32>(room, COLUMNS);
  const protos = <usize>load<u32>(room, COLUMNS + 4);
  const details = <usize>load<u32>(room, COLUMNS + 8);
  return lookupAll(room, 4, EGRESS, 0, dst, protos, details, load<u32>(room, COLUMNS + 12), count);
}

/** The same of the generation held, whatever is in force: for what is left of a batch. */
export function lookupRest(
  room: usize,
  family: i32,
  direction: i32,
  src: usize,
  dst: usize,
  protos: usize,
  details: usize,
  codes: usize,
  count: i32,
): i32 {
  const image = <usize>load<u32>(room);
  if (family == 4 && direction == EGRESS && src == 0 && load<u32>(room, PLAIN)) {
    const width = load<u32>(room, MASK) >> 16;
    if (count <= FEW) plainOfFew(room, dst, codes, count);
    else if (width == NONE) plainOfTwo(room, dst, codes, count);
    else if (width == BYTE && count >= SUMMED) plainOfBytes(room, dst, codes, count);
    else plainOfMany(room, dst, codes, count);
    return 0;
  }
  const addressShift: usize = family == 4 ? 2 : 4;
  for (let i = 0; i < count; i += TILE) {
    const at = <usize>i << 2;
    const addressAt = <usize>i << addressShift;
    const from: usize = src == 0 ? 0 : src + addressAt;
    const to = dst + addressAt;
    const left = min(count - i, TILE);
    // Twice, as each is compiled for its family.
    if (family == 4) lookupTile(image, 4, direction, from, to, protos + i, details + at, codes + at, left, room);
    else lookupTile(image, 6, direction, from, to, protos + i, details + at, codes + at, left, room);
  }
  return 0;
}

/** The same for a few IPv4 packets from unknown sources that a plain program judges, one by one. */
function plainOfFew(room: usize, dst: usize, codes: usize, packetCount: i32): void {
  for (let i: usize = 0, end = <usize>packetCount << 2; i < end; i += 4) {
    const code = plainOne(room, load<u32>(dst + i));
    store<i32>(codes + i, code);
    count(room, code, 1);
  }
}

/** The same for many. */
function plainOfMany(room: usize, dst: usize, codes: usize, count: i32): void {
  const rows = <usize>load<u32>(room, ROWS);
  const mask = load<u32>(room, ROW_MASK);
  const base = load<i32>(room, ROW_BASE);
  for (let i = 0; i < count; i += TILE) {
    const tile = codes + (<usize>i << 2);
    const left = min(count - i, TILE);
    tile4(load<u32>(room, DIRECTORY), load<u32>(room, MASK), dst + (<usize>i << 2), left, tile, room + LISTS);
    for (let at = tile, end = tile + (<usize>left << 2); at < end; at += 4)
      store<i32>(at, base + ~load<i32>(rows + (<usize>(load<u32>(at) & mask) << 2)));
    countTile(room, tile, left);
  }
}

/** The same where classes are bytes: hits are counted by class, and summed up in the end. */
function plainOfBytes(room: usize, dst: usize, codes: usize, packetCount: i32): void {
  const counts = room + CLASS_COUNTS;
  memory.fill(counts, 0, 256 << CLASS_COUNT_SHIFT);
  const rows = <usize>load<u32>(room, ROWS);
  const mask = load<u32>(room, ROW_MASK);
  const base = load<i32>(room, ROW_BASE);
  for (let i = 0; i < packetCount; i += TILE) {
    const tile = codes + (<usize>i << 2);
    const left = min(packetCount - i, TILE);
    tileOfBytes4(load<u32>(room, DIRECTORY), load<u32>(room, MASK), dst + (<usize>i << 2), left, tile, room + LISTS);
    const end = tile + (<usize>left << 2);
    let at = tile;
    for (; at + 16 <= end; at += 16) {
      codeByClass(at, rows, mask, base, counts);
      codeByClass(at + 4, rows, mask, base, counts + 4);
      codeByClass(at + 8, rows, mask, base, counts + 8);
      codeByClass(at + 12, rows, mask, base, counts + 12);
    }
    for (; at < end; at += 4) codeByClass(at, rows, mask, base, counts);
  }
  for (let classId = 0; classId < 256; classId++) {
    const hits = sumOf(v128.load(counts + (<usize>classId << CLASS_COUNT_SHIFT)));
    if (hits != 0) count(room, plainCode(room, classId), hits);
  }
}

/** Puts the code of a class in its place, and counts it. */
// @ts-ignore: decorator
@inline
function codeByClass(at: usize, rows: usize, mask: u32, base: i32, counts: usize): void {
  const classId = <usize>(load<u32>(at) & mask);
  const hits = counts + (classId << CLASS_COUNT_SHIFT);
  store<u32>(hits, load<u32>(hits) + 1);
  store<i32>(at, base + ~load<i32>(rows + (classId << 2)));
}

/** The same where there are two classes: their codes are told apart, and counted, four at a time. */
function plainOfTwo(room: usize, dst: usize, codes: usize, packetCount: i32): void {
  const code0 = plainCode(room, 0);
  const code1 = plainCode(room, 1);
  const four0 = i32x4.splat(code0);
  const change = i32x4.splat(code0 ^ code1);
  let sums = i32x4.splat(0);
  let sum: u32 = 0;
  for (let i = 0; i < packetCount; i += TILE) {
    const tile = codes + (<usize>i << 2);
    const left = min(packetCount - i, TILE);
    tileOfTwo4(load<u32>(room, DIRECTORY), load<u32>(room, MASK), dst + (<usize>i << 2), left, tile, room + LISTS);
    const end = tile + (<usize>left << 2);
    let at = tile;
    for (; at + 16 <= end; at += 16) {
      const classes = v128.load(at);
      sums = i32x4.add(sums, classes);
      v128.store(at, v128.xor(four0, v128.and(change, i32x4.neg(classes))));
    }
    for (; at < end; at += 4) {
      const classId = load<u32>(at);
      sum += classId;
      store<i32>(at, classId == 0 ? code0 : code1);
    }
  }
  sum += sumOf(sums);
  count(room, code0, <u32>packetCount - sum);
  count(room, code1, sum);
}
