/**
 * Programs: what one decides of a packet, or `decideTile` of many. src/program/program.ts says what the words
 * mean.
 *
 * What a packet comes to depends on its class, protocol and port, so that no branch on them can be predicted;
 * each that fails costs as much as a dozen loads. With shapes there is none. With nodes a tile is decided in
 * passes: rows first, then those that led to lists, then other nodes, and the wildcards last.
 */

import {
  ACTION_MASK,
  ASKS_DETAIL,
  BASE,
  CLASS_MASK,
  DROP,
  IS_PLAIN,
  KIND_MASK,
  LIST,
  NO_MATCH,
  NO_MATCH_FIELD,
  OFFSET_SHIFT,
  PAGE_SHIFT,
  PORTS,
  PROGRAM_HEADER,
  PROTOCOL_BYTES,
  RECORD_COUNT,
  RECORD_SHIFT,
  ROW_PAGE_SHIFT,
  SHAPELESS,
  SHARED_PAGES,
  TABLE,
  TABLE_BYTES,
  TABLE_EMPTY,
  TABLE_OF_MEMBERS,
  WILDCARDS,
} from './layout';

/** The ports or types of a page, less one. */
const PAGE_MASK: u32 = (1 << <u32>PAGE_SHIFT) - 1;
/** What stands for a port or type that cannot be read, as any negative number does. */
const UNREADABLE: u32 = 65536;

/** Where a word is, by its offset in words. */
// @ts-ignore: decorator
@inline
function at(blob: usize, offset: i32): usize {
  return blob + ((<usize>(<u32>offset)) << 2);
}

/** A record's row for a class, where rows lie one after another. */
// @ts-ignore: decorator
@inline
function rowOf(blob: usize, record: usize, classId: i32): i32 {
  return load<i32>(at(blob, load<i32>(record) + (classId & load<i32>(record, CLASS_MASK))));
}

/** Whether rows lie in pages (src/program/class-rows.ts). */
// @ts-ignore: decorator
@inline
function isPaged(blob: usize): bool {
  return load<i32>(blob, SHARED_PAGES) >= 0;
}

/** Where a record's row for a class is, in a page. */
// @ts-ignore: decorator
@inline
function pagedPlace(blob: usize, record: usize, classId: i32): i32 {
  const place = classId & load<i32>(record, CLASS_MASK);
  const page = load<i32>(at(blob, load<i32>(record) + (place >>> <i32>ROW_PAGE_SHIFT)));
  return page + (place & ((1 << <i32>ROW_PAGE_SHIFT) - 1));
}

// @ts-ignore: decorator
@inline
function recordOf(blob: usize, index: i32): usize {
  return blob + PROGRAM_HEADER + ((<usize>(<u32>index)) << RECORD_SHIFT);
}

/** The record of a program; of a negative one that of nobody, which has code 0 for all. */
// @ts-ignore: decorator
@inline
export function judgeOf(blob: usize, program: i32): usize {
  return recordOf(blob, select(program, load<i32>(blob, RECORD_COUNT), program >= 0));
}

/** The port class of a packet; `protocol` is 0 for tcp, 1 for udp, 2 for ICMP, 3 for all others. */
// @ts-ignore: decorator
@inline
function portClassOf(blob: usize, index: usize, protocol: u32, detail: i32, isShaped: bool): u32 {
  const port = min<u32>(detail, UNREADABLE);
  const page = blob + load<u32>(index + <usize>protocol * PROTOCOL_BYTES + (<usize>(port >> <u32>PAGE_SHIFT) << 2));
  const place = <usize>(port & PAGE_MASK);
  return isShaped ? load<u16>(page + (place << 1)) : load<u32>(page + (place << 2));
}

/** What a program's rules for any address decide in a port class. */
// @ts-ignore: decorator
@inline
function wildcardOf(blob: usize, record: usize, portClass: u32): u32 {
  return load<u32>(at(blob, load<i32>(record, WILDCARDS)) + (<usize>portClass << 2));
}

/** The record of a row; of one that is a code the record that decides nothing, which is the first of all. */
// @ts-ignore: decorator
@inline
function shapedRecord(blob: usize, shapeless: i32, row: i32): usize {
  return at(blob, max(row, shapeless));
}

/** Where a record's shape (src/program/shape.ts) says which of its words decides in a port class. */
// @ts-ignore: decorator
@inline
function placeOf(blob: usize, record: usize, portClass: u32): usize {
  return blob + (<usize>load<u32>(record) & 0x7fffffff) + portClass;
}

/**
 * What a row decides, by its record and where its place is. As a code, a row that is none is above all codes,
 * as the first word of a record is.
 */
// @ts-ignore: decorator
@inline
function ownOf(row: i32, record: usize, place: usize): u32 {
  return min<u32>(~row, load<u32>(record + (<usize>load<u8>(place) << 2)));
}

/** The code that the lesser of two relative codes stands for; negative where another record goes on. */
// @ts-ignore: decorator
@inline
function finish(record: usize, own: u32, wildcard: u32): i32 {
  const code = min<u32>(own, wildcard);
  return select(load<i32>(record, NO_MATCH_FIELD), load<i32>(record, BASE) + <i32>code, code == NO_MATCH);
}

/** The code of a program for a packet of a class. */
export function decide(blob: usize, program: i32, classId: i32, protoBit: i32, detail: i32): i32 {
  const record = recordOf(blob, program);
  if (load<i32>(record, IS_PLAIN)) return load<i32>(record, BASE) + ~rowOf(blob, record, classId);
  const shapeless = load<i32>(blob, SHAPELESS);
  if (shapeless == 0) return decideFrom(blob, record, classId, protoBit, detail);
  const row = isPaged(blob) ? load<i32>(at(blob, pagedPlace(blob, record, classId))) : rowOf(blob, record, classId);
  const portClass = portClassOf(blob, at(blob, load<i32>(blob, PORTS)), ctz(protoBit), detail, true);
  const decides = shapedRecord(blob, shapeless, row);
  const own = ownOf(row, decides, placeOf(blob, decides, portClass));
  return finish(record, own, wildcardOf(blob, record, portClass));
}

/** The same where there are nodes, by a record and those that go on for it. */
function decideFrom(blob: usize, first: usize, classId: i32, protoBit: i32, detail: i32): i32 {
  const portClass = portClassOf(blob, at(blob, load<i32>(blob, PORTS)), ctz(protoBit), detail, false);
  let record = first;
  while (true) {
    const own = evaluate(blob, rowOf(blob, record, classId), classId, protoBit, detail);
    const code = finish(record, own, wildcardOf(blob, record, portClass));
    if (code >= 0) return code;
    record = recordOf(blob, ~code);
  }
}

/** The protocol bit of a protocol number; `icmp` is the number of the family's ICMP. */
export function protoBitOf(proto: i32, icmp: i32): i32 {
  return 1 << protocolOf(proto, icmp);
}

/** The place of a protocol number among those of port classes. */
// @ts-ignore: decorator
@inline
function protocolOf(proto: i32, icmp: i32): i32 {
  return select(0, select(1, select(2, 3, proto == icmp), proto == 17), proto == 6);
}

/** The same of many, a byte each; up to 15 bytes more are read, and written. */
function protocolsOf(protos: usize, icmp: i32, out: usize, count: i32): void {
  for (let i: usize = 0; i < <usize>count; i += 16) {
    const sixteen = v128.load(protos + i);
    const tcp = v128.and(i8x16.eq(sixteen, i8x16.splat(6)), i8x16.splat(3));
    const udp = v128.and(i8x16.eq(sixteen, i8x16.splat(17)), i8x16.splat(2));
    const own = v128.and(i8x16.eq(sixteen, i8x16.splat(<i8>icmp)), i8x16.splat(1));
    v128.store(out + i, i8x16.sub(i8x16.splat(3), v128.or(v128.or(tcp, udp), own)));
  }
}

/**
 * The codes of `count` packets, with the classes, protocol numbers and details of the columns; by the
 * records of the column `judges` (judgeOf), or, if that is 0, all by `program`. A negative program's packets
 * get code 0. `scratch` is for two words of each, and 16 bytes more.
 */
export function decideTile(
  blob: usize,
  judges: usize,
  program: i32,
  classes: usize,
  protos: usize,
  icmp: i32,
  details: usize,
  codes: usize,
  count: i32,
  scratch: usize,
): void {
  const isShaped = load<i32>(blob, SHAPELESS) != 0;
  // Each is compiled for itself.
  if (judges != 0) {
    if (isShaped) shapedTile(blob, true, judges, 0, classes, protos, icmp, details, codes, count, scratch);
    else nodeTile(blob, true, judges, 0, classes, protos, icmp, details, codes, count, scratch);
  } else if (program < 0) memory.fill(codes, 0, <usize>count << 2);
  else if (load<i32>(recordOf(blob, program), IS_PLAIN)) plainTile(blob, program, classes, codes, count);
  else if (isShaped) shapedTile(blob, false, 0, program, classes, protos, icmp, details, codes, count, scratch);
  else nodeTile(blob, false, 0, program, classes, protos, icmp, details, codes, count, scratch);
}

/** Where all rows are codes that decide. */
function plainTile(blob: usize, program: i32, classes: usize, codes: usize, count: i32): void {
  const record = recordOf(blob, program);
  const rows = at(blob, load<i32>(record));
  const mask = load<i32>(record, CLASS_MASK);
  const base = load<i32>(record, BASE);
  for (let i: usize = 0, end = <usize>count << 2; i < end; i += 4) {
    store<i32>(codes + i, base + ~load<i32>(at(rows, load<i32>(classes + i) & mask)));
  }
}

/** Where rows are codes or records with shapes. */
// @ts-ignore: decorator
@inline
function shapedTile(
  blob: usize,
  hasJudges: bool,
  judges: usize,
  program: i32,
  classes: usize,
  protos: usize,
  icmp: i32,
  details: usize,
  codes: usize,
  count: i32,
  scratch: usize,
): void {
  const ports = at(blob, load<i32>(blob, PORTS));
  const only = recordOf(blob, program);
  const rows = at(blob, load<i32>(only));
  const mask = load<i32>(only, CLASS_MASK);
  const end = <usize>count << 2;
  const places = scratch + end;
  const protocols = places; // which are no longer needed then
  protocolsOf(protos, icmp, protocols, count);
  for (let i: usize = 0; i < end; i += 4) {
    const protocol = <u32>load<u8>(protocols + (i >> 2));
    store<u32>(scratch + i, portClassOf(blob, ports, protocol, load<i32>(details + i), true));
  }
  // Rows of many programs lie far apart: with little else in a loop, more of them are on their way at once.
  if (isPaged(blob)) {
    for (let i: usize = 0; i < end; i += 4) {
      const record = hasJudges ? <usize>load<u32>(judges + i) : only;
      store<i32>(codes + i, pagedPlace(blob, record, load<i32>(classes + i)));
    }
    for (let i: usize = 0; i < end; i += 4) store<i32>(codes + i, load<i32>(at(blob, load<i32>(codes + i))));
  } else {
    for (let i: usize = 0; i < end; i += 4) {
      const classId = load<i32>(classes + i);
      if (hasJudges) store<i32>(codes + i, rowOf(blob, load<u32>(judges + i), classId));
      else store<i32>(codes + i, load<i32>(at(rows, classId & mask)));
    }
  }
  // The fields of a single program are loaded once: stores in the loop keep the compiler from hoisting the
  // loads.
  const shapeless = load<i32>(blob, SHAPELESS);
  const wildcards = at(blob, load<i32>(only, WILDCARDS));
  const base = load<i32>(only, BASE);
  const noMatch = load<i32>(only, NO_MATCH_FIELD);
  if (hasJudges) {
    for (let i: usize = 0; i < end; i += 4) {
      const record = shapedRecord(blob, shapeless, load<i32>(codes + i));
      store<u32>(places + i, <u32>placeOf(blob, record, load<u32>(scratch + i)));
    }
  }
  for (let i: usize = 0; i < end; i += 4) {
    const portClass = load<u32>(scratch + i);
    const row = load<i32>(codes + i);
    const decides = shapedRecord(blob, shapeless, row);
    if (hasJudges) {
      const record = <usize>load<u32>(judges + i);
      const own = ownOf(row, decides, load<u32>(places + i));
      store<i32>(codes + i, finish(record, own, wildcardOf(blob, record, portClass)));
    } else {
      const own = ownOf(row, decides, placeOf(blob, decides, portClass));
      const code = <i32>min<u32>(own, load<u32>(wildcards + (<usize>portClass << 2)));
      store<i32>(codes + i, select(noMatch, base + code, code == NO_MATCH));
    }
  }
}

/** Where rows are codes or lead to nodes. */
// @ts-ignore: decorator
@inline
function nodeTile(
  blob: usize,
  hasJudges: bool,
  judges: usize,
  program: i32,
  classes: usize,
  protos: usize,
  icmp: i32,
  details: usize,
  codes: usize,
  count: i32,
  scratch: usize,
): void {
  const ports = at(blob, load<i32>(blob, PORTS));
  const only = recordOf(blob, program);
  const rows = at(blob, load<i32>(only));
  const mask = load<i32>(only, CLASS_MASK);
  const end = <usize>count << 2;
  // Indices of those that led to lists, and of those that led to other nodes.
  const others = scratch + end;
  let listsEnd = scratch;
  let othersEnd = others;
  for (let i: usize = 0; i < end; i += 4) {
    const classId = load<i32>(classes + i);
    const row = hasJudges
      ? rowOf(blob, load<u32>(judges + i), classId)
      : load<i32>(at(rows, classId & mask));
    const isNode = i32(row >= 0);
    const isList = isNode & i32((row & KIND_MASK) == LIST);
    store<i32>(codes + i, row ^ (row >> 31)); // a code, or the row that is a reference
    store<u32>(listsEnd, <u32>i);
    listsEnd += isList << 2;
    store<u32>(othersEnd, <u32>i);
    othersEnd += (isNode ^ isList) << 2;
  }
  for (let place = scratch; place < listsEnd; place += 4) {
    const i = <usize>load<u32>(place);
    const bit = protoBitOf(load<u8>(protos + (i >> 2)), icmp);
    const list = at(blob, load<i32>(codes + i) >>> OFFSET_SHIFT);
    store<u32>(codes + i, evaluateList(list, bit, load<i32>(details + i)));
  }
  for (let place = others; place < othersEnd; place += 4) {
    const i = <usize>load<u32>(place);
    const bit = protoBitOf(load<u8>(protos + (i >> 2)), icmp);
    store<u32>(codes + i, evaluate(blob, load<i32>(codes + i), load<i32>(classes + i), bit, load<i32>(details + i)));
  }
  for (let i: usize = 0; i < end; i += 4) {
    const protocol = protocolOf(load<u8>(protos + (i >> 2)), icmp);
    const detail = load<i32>(details + i);
    const record = hasJudges ? <usize>load<u32>(judges + i) : only;
    const wildcard = wildcardOf(blob, record, portClassOf(blob, ports, protocol, detail, false));
    let code = finish(record, load<u32>(codes + i), wildcard);
    if (code < 0) code = decideFrom(blob, recordOf(blob, ~code), load<i32>(classes + i), 1 << protocol, detail);
    store<i32>(codes + i, code);
  }
}

/** What a row decides where there are nodes: a relative code, or NO_MATCH. */
function evaluate(blob: usize, first: i32, classId: i32, protoBit: i32, detail: i32): u32 {
  let row = first;
  if (row >= 0 && (row & KIND_MASK) == TABLE) {
    const table = at(blob, row >>> OFFSET_SHIFT);
    if (load<i32>(table) == TABLE_OF_MEMBERS) return leastOfMembers(blob, table, classId, protoBit, detail);
    row = findClass(table, classId);
  }
  if (row < 0) return ~row;
  const start = at(blob, row >>> OFFSET_SHIFT);
  return (row & KIND_MASK) == LIST
    ? evaluateList(start, protoBit, detail)
    : evaluateMap(blob, start, protoBit, detail);
}

/**
 * All candidates are looked at, without a branch: which of them matches cannot be predicted. The code after
 * the last is where none does.
 */
// @ts-ignore: decorator
@inline
function evaluateList(list: usize, protoBit: i32, detail: i32): u32 {
  const count = load<u32>(list);
  const bytes = <usize>count << 1;
  const codes = list + 4 + ((bytes * 3 + 3) & ~3);
  const port = i16x8.splat(<i16>detail);
  const bit = i16x8.splat(<i16>protoBit);
  const asks = v128.load(list + (bytes << 1), 4);
  const first = i16x8.ge_u(port, v128.load(list, 4));
  const last = i16x8.le_u(port, v128.load(list + bytes, 4));
  // If the port cannot be read, every candidate with the protocol may match.
  const inRange = v128.or(v128.and(first, last), i16x8.splat(<i16>(detail >> 31)));
  const matches = v128.and(inRange, i16x8.eq(v128.and(asks, bit), bit));
  // lanes from `count` on hold bytes behind the list
  const place = <usize>ctz(i16x8.bitmask(matches) | (1 << count));
  const code = load<u32>(codes + (place << 2));
  if (detail >= 0 || place == count) return code;
  return (load<u16>(list + (bytes << 1) + (place << 1), 4) & ASKS_DETAIL) == 0 ? code : (code & ~ACTION_MASK) | DROP;
}

function evaluateMap(blob: usize, map: usize, protoBit: i32, detail: i32): u32 {
  const offset = load<i32>(at(map, (protoBit >> 1) - (protoBit >> 3))); // bits 1, 2, 4, 8 are places 0, 1, 2, 3
  if (offset < 0) return ~offset;
  const intervals = at(blob, offset);
  if (detail < 0) return load<i32>(intervals, 4);
  const count = load<i32>(intervals);
  let place = 0; // the last interval, of those tried, that begins at or below the detail
  let rest = count;
  while (rest > 0) {
    const half = (rest + 1) >> 1;
    const further = place + half;
    place = select(further, place, load<i32>(at(intervals, 1 + further)) <= detail);
    rest -= half;
  }
  return load<i32>(at(intervals, 2 + count + place));
}

function findClass(table: usize, classId: i32): i32 {
  const mask = load<i32>(table, 8);
  let slot = tableHash(classId, load<i32>(table, 4));
  while (true) {
    const place = table + TABLE_BYTES + ((<usize>slot) << 3);
    const key = load<i32>(place);
    if (key == classId) return load<i32>(place, 4);
    if (key == TABLE_EMPTY) return load<i32>(table, 12);
    slot = (slot + 1) & mask;
  }
}

function leastOfMembers(blob: usize, table: usize, classId: i32, protoBit: i32, detail: i32): u32 {
  const shift = load<i32>(table, 4);
  const mask = load<i32>(table, 8);
  const list = load<i32>(at(blob, load<i32>(table, 12) + classId));
  const variant = (<usize>(list & 1)) << 2;
  let member = at(blob, list >>> 1);
  const end = at(member, load<i32>(member));
  let best: u32 = NO_MATCH;
  while (member < end) {
    member += 4;
    const predicate = load<i32>(member);
    let slot = tableHash(predicate, shift);
    let found = table + TABLE_BYTES + ((<usize>slot) << 4);
    let key = load<i32>(found);
    while (key != predicate && key != TABLE_EMPTY) {
      slot = (slot + 1) & mask;
      found = table + TABLE_BYTES + ((<usize>slot) << 4);
      key = load<i32>(found);
    }
    if (key == TABLE_EMPTY || load<u32>(found, 12) >= best) continue;
    best = min(best, evaluate(blob, load<i32>(found + variant, 4), classId, protoBit, detail));
  }
  return best;
}

function tableHash(key: i32, shift: i32): i32 {
  return <i32>((<u32>(key * 0x9e3779b1)) >>> (<u32>shift));
}
