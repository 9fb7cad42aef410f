/**
 * Programs: what one decides of a packet, or `decideTile` of many. src/program/program.ts says what the words
 * mean.
 *
 * What a packet comes to depends on its class, protocol and port, so that no branch on them can be predicted;
 * each that fails costs as much as a dozen loads. A tile is therefore decided in passes without such
 * branches: rows first, then those that led to lists, then the wildcards of those that need them, then other
 * nodes.
 */

import {
  ACTION_MASK,
  ASKS_DETAIL,
  BASE,
  CLASS_MASK,
  CODE,
  CODE_BITS,
  CODE_MASK,
  DROP,
  GROUP,
  IS_PLAIN,
  IS_SHAPED,
  KIND_MASK,
  LIST,
  MAP,
  NO_MATCH,
  NO_MATCH_FIELD,
  OFFSET_SHIFT,
  PAGE_BITS,
  PAGE_MASK,
  PORT_TABLE,
  PORT_TABLE_BYTES,
  PROGRAM_HEADER,
  RECORD_SHIFT,
  TABLE,
  TABLE_BYTES,
  TABLE_EMPTY,
  TABLE_OF_MEMBERS,
  WILDCARDS,
  WILDCARDS_LEAST,
  WITH_WILDCARDS,
} from './layout';

/** Where a word is, by its offset in words. */
function at(blob: usize, offset: i32): usize {
  return blob + ((<usize>(<u32>offset)) << 2);
}

/** A record's row for a class. */
function rowOf(blob: usize, record: usize, classId: i32): i32 {
  return load<i32>(at(blob, load<i32>(record) + (classId & load<i32>(record, CLASS_MASK))));
}

function recordOf(blob: usize, index: i32): usize {
  return blob + PROGRAM_HEADER + ((<usize>(<u32>index)) << RECORD_SHIFT);
}

// @ts-ignore: decorator
@inline
export function decide(blob: usize, program: i32, classId: i32, protoBit: i32, detail: i32): i32 {
  const record = recordOf(blob, program);
  const row = rowOf(blob, record, classId);
  if (load<i32>(record, IS_SHAPED)) {
    const isOther = protoBit == 8;
    const protocol = isOther ? <usize>0 : <usize>(protoBit >> 1) * PORT_TABLE_BYTES; // bits 1, 2, 4
    const port = load<u16>(at(blob, load<i32>(blob, PORT_TABLE)) + protocol + (<usize>min<u32>(detail, 65536) << 1));
    return decideShaped(blob, record, at(blob, row), isOther ? 0 : port);
  }
  return row < 0 ? load<i32>(record, BASE) + ~row : decideFurther(blob, record, row, classId, protoBit, detail);
}

/** What a record with a shape, and the wildcards, decide in a port class (src/program/shape.ts). */
// @ts-ignore: decorator
@inline
function decideShaped(blob: usize, program: usize, record: usize, port: u32): i32 {
  const place = load<u8>(blob + (<usize>load<u32>(record) & 0x7fffffff) + port);
  const wildcard = load<u32>(at(blob, load<i32>(program, WILDCARDS)) + (<usize>port << 2));
  const code = min<u32>(load<u32>(record + (<usize>place << 2)), wildcard);
  return select(load<i32>(program, NO_MATCH_FIELD), load<i32>(program, BASE) + <i32>code, code == NO_MATCH);
}

/** The codes of a tile where all programs are shaped, as for `tile`. */
// @ts-ignore: decorator
@inline
function shapedTile(
  blob: usize,
  hasPrograms: bool,
  programs: usize,
  program: i32,
  classes: usize,
  protos: usize,
  icmp: i32,
  details: usize,
  codes: usize,
  count: i32,
  scratch: usize,
): void {
  const ports = at(blob, load<i32>(blob, PORT_TABLE));
  const only = recordOf(blob, program);
  const onlyRows = at(blob, load<i32>(only));
  const onlyMask = load<i32>(only, CLASS_MASK);
  const end = <usize>count << 2;
  for (let i: usize = 0; i < end; i += 4) {
    const proto = <i32>load<u8>(protos + (i >> 2));
    const isTcp = proto == 6;
    const isUdp = proto == 17;
    const protocol = select<usize>(0, select<usize>(PORT_TABLE_BYTES, PORT_TABLE_BYTES * 2, isUdp), isTcp);
    const port = load<u16>(ports + protocol + (<usize>min<u32>(load<u32>(details + i), 65536) << 1));
    store<u32>(scratch + i, select<u32>(port, 0, isTcp | isUdp | (proto == icmp)));
    const classId = load<i32>(classes + i);
    if (hasPrograms) {
      const record = recordOf(blob, max(load<i32>(programs + i), 0));
      store<u32>(codes + i, <u32>at(blob, rowOf(blob, record, classId)));
    } else store<u32>(codes + i, <u32>at(blob, load<i32>(at(onlyRows, classId & onlyMask))));
  }
  for (let i: usize = 0; i < end; i += 4) {
    const record = <usize>load<u32>(codes + i);
    const port = load<u32>(scratch + i);
    if (hasPrograms) {
      const judge = load<i32>(programs + i);
      const code = decideShaped(blob, recordOf(blob, max(judge, 0)), record, port);
      store<i32>(codes + i, select(0, code, judge < 0));
    } else store<i32>(codes + i, decideShaped(blob, only, record, port));
  }
}

/** The protocol bit of a protocol number; `icmp` is the number of the family's ICMP. */
export function protoBitOf(proto: i32, icmp: i32): i32 {
  return select(1, select(2, select(4, 8, proto == icmp), proto == 17), proto == 6);
}

/** The code that a record's relative code stands for, or what further records give. */
// @ts-ignore: decorator
@inline
function finish(blob: usize, record: usize, code: i32, classId: i32, protoBit: i32, detail: i32): i32 {
  const noMatch = load<i32>(record, NO_MATCH_FIELD);
  const found = select(noMatch, load<i32>(record, BASE) + code, code == NO_MATCH);
  if (found >= 0) return found;
  const next = recordOf(blob, ~noMatch);
  return decideFurther(blob, next, rowOf(blob, next, classId), classId, protoBit, detail);
}

/**
 * The codes of `count` packets, with the classes, protocol numbers and details of the columns; by the
 * programs of the column `programs`, or, if that is 0, all by `program`. A negative program's packets get
 * code 0. `scratch` is for 2 * `count` words.
 */
export function decideTile(
  blob: usize,
  programs: usize,
  program: i32,
  classes: usize,
  protos: usize,
  icmp: i32,
  details: usize,
  codes: usize,
  count: i32,
  scratch: usize,
): void {
  if (load<i32>(blob, PORT_TABLE) != 0) {
    if (programs != 0) shapedTile(blob, true, programs, 0, classes, protos, icmp, details, codes, count, scratch);
    else if (program < 0) memory.fill(codes, 0, <usize>count << 2);
    else shapedTile(blob, false, 0, program, classes, protos, icmp, details, codes, count, scratch);
  } else if (programs != 0) tile(blob, true, programs, 0, classes, protos, icmp, details, codes, count, scratch);
  else if (program < 0) memory.fill(codes, 0, <usize>count << 2);
  else tile(blob, false, 0, program, classes, protos, icmp, details, codes, count, scratch);
}

// @ts-ignore: decorator
@inline
function tile(
  blob: usize,
  hasPrograms: bool,
  programs: usize,
  program: i32,
  classes: usize,
  protos: usize,
  icmp: i32,
  details: usize,
  codes: usize,
  count: i32,
  scratch: usize,
): void {
  const only = recordOf(blob, program);
  const onlyRows = at(blob, load<i32>(only));
  const onlyMask = load<i32>(only, CLASS_MASK);
  const onlyBase = load<i32>(only, BASE);
  if (!hasPrograms && load<i32>(only, IS_PLAIN)) {
    for (let i: usize = 0, end = <usize>count << 2; i < end; i += 4) {
      store<i32>(codes + i, onlyBase + ~load<i32>(at(onlyRows, load<i32>(classes + i) & onlyMask)));
    }
    return;
  }
  // Indices of those that led to lists; and in the second tile, from its two ends, of those that led to other
  // nodes and of those for which the wildcards are to be looked at.
  const lists = scratch;
  const others = scratch + (<usize>count << 2);
  const wildEnd = others + (<usize>count << 2);
  let listsEnd = lists;
  let othersEnd = others;
  let wild = wildEnd - 4; // where the next one goes
  for (let i: usize = 0, end = <usize>count << 2; i < end; i += 4) {
    const classId = load<i32>(classes + i);
    let row: i32;
    let code: i32;
    if (hasPrograms) {
      const judge = load<i32>(programs + i);
      const record = recordOf(blob, max(judge, 0));
      row = select(-1, rowOf(blob, record, classId), judge < 0);
      code = select(0, load<i32>(record, BASE) + ~row, judge < 0);
    } else {
      row = load<i32>(at(onlyRows, classId & onlyMask));
      code = onlyBase + ~row;
    }
    const kind = row & KIND_MASK;
    const isNode = i32(row >= 0);
    const isList = isNode & i32(kind == LIST);
    const isCode = isNode & i32(kind == CODE);
    const rest = select(<i32>(<u32>row >>> OFFSET_SHIFT), row, isCode);
    store<i32>(codes + i, select(rest, code, isNode));
    store<u32>(listsEnd, <u32>i);
    listsEnd += isList << 2;
    store<u32>(wild, <u32>i);
    wild -= isCode << 2;
    store<u32>(othersEnd, <u32>i);
    othersEnd += (isNode ^ isList ^ isCode) << 2;
  }
  for (let place = lists; place < listsEnd; place += 4) {
    const i = <usize>load<u32>(place);
    const row = load<i32>(codes + i);
    const record = hasPrograms ? recordOf(blob, load<i32>(programs + i)) : only;
    const bit = protoBitOf(load<u8>(protos + (i >> 2)), icmp);
    const detail = load<i32>(details + i);
    const code = evaluateList(at(blob, row >>> OFFSET_SHIFT), bit, detail);
    const needsWildcards = i32((row & WITH_WILDCARDS) != 0) & i32(code > load<i32>(record, WILDCARDS_LEAST));
    store<u32>(wild, <u32>i);
    wild -= needsWildcards << 2;
    store<i32>(
      codes + i,
      needsWildcards ? code : finish(blob, record, code, load<i32>(classes + i), bit, detail),
    );
  }
  for (let place = wild + 4; place < wildEnd; place += 4) {
    const i = <usize>load<u32>(place);
    const record = hasPrograms ? recordOf(blob, load<i32>(programs + i)) : only;
    const bit = protoBitOf(load<u8>(protos + (i >> 2)), icmp);
    const detail = load<i32>(details + i);
    const code = min(load<i32>(codes + i), evaluateNode(blob, load<i32>(record, WILDCARDS), bit, detail));
    store<i32>(codes + i, finish(blob, record, code, load<i32>(classes + i), bit, detail));
  }
  for (let place = others; place < othersEnd; place += 4) {
    const i = <usize>load<u32>(place);
    const record = hasPrograms ? recordOf(blob, load<i32>(programs + i)) : only;
    const bit = protoBitOf(load<u8>(protos + (i >> 2)), icmp);
    const code = decideFurther(blob, record, load<i32>(codes + i), load<i32>(classes + i), bit, load<i32>(details + i));
    store<i32>(codes + i, code);
  }
}

export function decideGrouped(blob: usize, program: i32, classes: usize, protoBit: i32, detail: i32): i32 {
  let best = i32.MAX_VALUE; // above all codes
  let record = recordOf(blob, program);
  while (true) {
    const base = load<i32>(record, BASE);
    if (base < best) {
      const classId = load<i32>(at(classes, load<i32>(record, GROUP)));
      const code = evaluateRow(blob, record, rowOf(blob, record, classId), classId, protoBit, detail);
      if (code != NO_MATCH && base + code < best) best = base + code;
    }
    const noMatch = load<i32>(record, NO_MATCH_FIELD);
    if (noMatch >= 0) return best == i32.MAX_VALUE ? noMatch : best;
    record = recordOf(blob, ~noMatch);
  }
}

function decideFurther(
  blob: usize,
  firstRecord: usize,
  firstRow: i32,
  classId: i32,
  protoBit: i32,
  detail: i32,
): i32 {
  let record = firstRecord;
  let row = firstRow;
  while (true) {
    const code = evaluateRow(blob, record, row, classId, protoBit, detail);
    if (code != NO_MATCH) return load<i32>(record, BASE) + code;
    const noMatch = load<i32>(record, NO_MATCH_FIELD);
    if (noMatch >= 0) return noMatch;
    record = recordOf(blob, ~noMatch);
    row = rowOf(blob, record, classId);
  }
}

function evaluateRow(
  blob: usize,
  record: usize,
  firstRow: i32,
  classId: i32,
  protoBit: i32,
  detail: i32,
): i32 {
  let row = firstRow;
  let code: i32;
  if (row >= 0 && (row & KIND_MASK) == TABLE) {
    const table = at(blob, row >>> OFFSET_SHIFT);
    if (load<i32>(table) == TABLE_OF_MEMBERS) code = leastOfMembers(blob, table, classId, protoBit, detail);
    else {
      row = findClass(table, classId);
      code = evaluateNode(blob, row, protoBit, detail);
    }
  } else code = evaluateNode(blob, row, protoBit, detail);
  if (row < 0 || (row & WITH_WILDCARDS) == 0 || code < load<i32>(record, WILDCARDS_LEAST)) return code;
  const other = evaluateNode(blob, load<i32>(record, WILDCARDS), protoBit, detail);
  return min(code, other);
}

function evaluateNode(blob: usize, node: i32, protoBit: i32, detail: i32): i32 {
  if (node < 0) return ~node;
  const kind = node & KIND_MASK;
  const start = at(blob, node >>> OFFSET_SHIFT);
  if (kind == LIST) return evaluateList(start, protoBit, detail);
  if (kind == MAP) return evaluateMap(blob, start, protoBit, detail);
  return kind == CODE ? <i32>(<u32>node >>> OFFSET_SHIFT) : evaluateUnion(blob, start, protoBit, detail);
}

/**
 * All candidates are looked at, without a branch: which of them matches cannot be predicted, and the least
 * code is the first.
 */
// @ts-ignore: decorator
@inline
function evaluateList(list: usize, protoBit: i32, detail: i32): i32 {
  const head = load<i32>(list);
  if (detail < 0) return evaluateUnreadable(list, protoBit);
  const end = list + ((<usize>(head >> CODE_BITS)) << 3);
  let best = head & CODE_MASK;
  for (let place = list; place < end; place += 8) {
    const candidate = load<i32>(place, 4);
    const first = <i32>load<u16>(place, 8);
    const last = <i32>load<u16>(place, 10);
    const matches =
      i32(((candidate >> CODE_BITS) & protoBit) != 0) & i32(detail >= first) & i32(detail <= last);
    best = min(best, select(candidate & CODE_MASK, NO_MATCH, matches));
  }
  return best;
}

function evaluateUnreadable(list: usize, protoBit: i32): i32 {
  const head = load<i32>(list);
  const end = list + ((<usize>(head >> CODE_BITS)) << 3);
  for (let place = list; place < end; place += 8) {
    const candidate = load<i32>(place, 4);
    const asks = candidate >> CODE_BITS;
    if ((asks & protoBit) == 0) continue;
    const code = candidate & CODE_MASK;
    return (asks & ASKS_DETAIL) == 0 ? code : (code & ~ACTION_MASK) | DROP; // it could match and cannot be read
  }
  return head & CODE_MASK;
}

function evaluateMap(blob: usize, map: usize, protoBit: i32, detail: i32): i32 {
  const offset = load<i32>(at(map, (protoBit >> 1) - (protoBit >> 3))); // bits 1, 2, 4, 8 are places 0, 1, 2, 3
  if (offset < 0) return ~offset;
  const intervals = at(blob, offset);
  if (detail < 0) return load<i32>(intervals, 4);
  const count = load<i32>(intervals);
  if (count < 0) {
    const page = at(blob, load<i32>(at(intervals, 2 + ((detail >> PAGE_BITS) & PAGE_MASK))));
    return load<i32>(at(page, detail & PAGE_MASK));
  }
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

function evaluateUnion(blob: usize, union: usize, protoBit: i32, detail: i32): i32 {
  let best = NO_MATCH;
  const end = at(union, 1 + (load<i32>(union) << 1));
  for (let place = union + 4; place < end && load<i32>(place) < best; place += 8) {
    const code = evaluateNode(blob, load<i32>(place, 4), protoBit, detail);
    best = min(best, code);
  }
  return best;
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

function leastOfMembers(blob: usize, table: usize, classId: i32, protoBit: i32, detail: i32): i32 {
  const shift = load<i32>(table, 4);
  const mask = load<i32>(table, 8);
  const list = load<i32>(at(blob, load<i32>(table, 12) + classId));
  const variant = (<usize>(list & 1)) << 2;
  let member = at(blob, list >>> 1);
  const end = at(member, load<i32>(member));
  let best = NO_MATCH;
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
    if (key == TABLE_EMPTY || load<i32>(found, 12) >= best) continue;
    best = min(best, evaluateNode(blob, load<i32>(found + variant, 4), protoBit, detail));
  }
  return best;
}

function tableHash(key: i32, shift: i32): i32 {
  return <i32>((<u32>(key * 0x9e3779b1)) >>> (<u32>shift));
}
