/**
 * Programs: what each policy does with each class of remote addresses, in one direction; as one block of 32-bit words that
 * lies anywhere, since all places in it are word offsets from its start. compiler.ts makes it; `decide`, here and in
 * assembly/program.ts, reads it; the two must stay alike line by line.
 *
 *   header │ records, one a program │ blocks │ run lists │ rows, nodes, tables …
 *
 *   record ─▶ rows[class & mask] ─┬─ negative: ~code, whatever else the packet has
 *                                 └─ a reference: offset << 4 | together with the wildcards? << 3 | NodeKind
 *
 *   code    no node: the code itself in place of the offset; NO_MATCH where all is the wildcards' business
 *   list    n << 26 | the code where no candidate matches, then n candidates in rule order of two words: what it asks << 26
 *           | its code, and the ports or types first | last << 16
 *   map     by protocol (tcp, udp, icmp, others) a word: ~code, or the offset of n, the code where the port or type
 *           cannot be read, the n first ones of all intervals but the first, and the n + 1 codes; or, where intervals are many,
 *           of -1, that code, and the offsets of 256 pages of 256 codes
 *   union   n, then n times the least code that a node can give and the node; the least code of all decides
 *   table   for programs that ask about few of many classes, see TableKind
 *
 * First match is the least code, since codes grow in rule order: so what wildcard rules decide is kept once, and a class
 * whose own rules do not come before all of them takes the lesser of two.
 *
 * A code names a verdict: `outcome << 2 | action`. Within nodes it is relative, outcome 1 being the first run, so that
 * programs of equal rules share them; a record's `base` is added in the end. A program's outcomes are numbered from its
 * `firstOutcome`: its default action, then the runs of the policy's exceptions, of `common`, and the policy's own. Code 0 is the verdict none.
 *
 * Where nothing matches, a record has its default's code, code 0 if that is no action, or ~r: record r goes on.
 */

import { type Family, IpProtocol } from '@rulecast/rules';
import { ASKS_DETAIL, ProtoBit } from '../classes/rule-columns.ts';

/** The action in the low bits of a code. */
export const CodeAction = { none: 0, accept: 1, drop: 2 } as const;
export const CODE_ACTION_BITS = 2;
export const CODE_ACTION_MASK = 3;
/** The code of the verdict none. */
export const NO_VERDICT_CODE = 0;

/** The words of the header. */
export const ProgramHeader = {
  /** How many records programs have; those that go on for them come after. */
  programCount: 0,
  /** Offset of the blocks. */
  blocks: 1,
  /** Offset of the lists of runs. */
  runLists: 2,
  /** How many groups of predicates there are; if more than one, decideGrouped decides. */
  groupCount: 3,
} as const;
export const PROGRAM_HEADER_WORDS = 16;

/** The words of a record. */
export const ProgramField = {
  rows: 0,
  /** 0 for a program with one row, else all ones. */
  classMask: 1,
  /** What to add to relative codes. */
  base: 2,
  /** The code where nothing matches, or ~r where record r goes on. */
  noMatch: 3,
  /** What the rules for any address decide: a node. */
  wildcards: 4,
  /** The least code that they can give. */
  wildcardsLeast: 5,
  /** The group whose classes it reads. */
  group: 6,
  firstOutcome: 7,
  /** -1: it judges qubes that no policy does. */
  policy: 8,
  /** A Direction's place in DIRECTIONS. */
  direction: 9,
  /** Blocks, or -1. */
  commonBlock: 10,
  ownBlock: 11,
  /** A bit for each group that the program's records read. */
  groupMask: 12,
  /** 1 if all its rows are codes. */
  isPlain: 13,
  exceptionsBlock: 14,
} as const;
export const PROGRAM_WORDS = 16;

/** The words of a block's record: the runs of one policy in one direction. `firstRunList` is -1 if none has a list. */
export const BlockField = { policy: 0, runCount: 1, firstRunList: 2 } as const;
export const BLOCK_WORDS = 4;

export const DIRECTIONS = ['egress', 'ingress'] as const;

export const NodeKind = { list: 0, map: 1, union: 2, table: 3, code: 4 } as const;
export const NODE_KIND_MASK = 7;
/** In a reference: the lesser of the node's code and the wildcards' decides. */
export const WITH_WILDCARDS = 8;
export const NODE_OFFSET_SHIFT = 4;

/**
 * A table's first words: its kind, what `tableHash` takes, slots - 1, and of one of classes the row of classes that it has not,
 * of one of members the offset of a word for each class: the offset of a count and as many predicates, << 1, and whether its
 * addresses are DNS addresses. Slots of one of classes: class, row. Slots of one of members: predicate, its node in other
 * classes, in DNS classes, at most the least code of both.
 */
export const TableKind = { classes: 0, members: 1 } as const;
export const TABLE_WORDS = 4;
/** The key of an empty slot. */
export const TABLE_EMPTY = -1;

/** Above all relative codes: nothing matches. */
export const NO_MATCH = 2 ** 26 - 1;

/** A code as a reference. */
export function codeReference(code: number): number {
  return (code << NODE_OFFSET_SHIFT) | NodeKind.code;
}

/** The pages of a map's protocol, and the codes of a page. */
export const PAGE_BITS = 8;
export const PAGE_MASK = 255;

/** Above the relative code in a list's words: how many candidates; what one asks, its protocol bits and ASKS_DETAIL. */
export const LIST_CODE_BITS = 26;
export const LIST_CODE_MASK = 2 ** LIST_CODE_BITS - 1;

/** The protocol bit of a packet of a family, by its protocol number. */
export function protoBitOf(family: Family, proto: number): number {
  return (family === 4 ? PROTO_BITS4 : PROTO_BITS6)[proto & 0xff]!; // the mask keeps within the table
}

const PROTO_BITS4 = protoBits(IpProtocol.icmp);
const PROTO_BITS6 = protoBits(IpProtocol.icmp6);

function protoBits(icmp: number): Uint8Array {
  const bits = new Uint8Array(256).fill(ProtoBit.other);
  bits[IpProtocol.tcp] = ProtoBit.tcp;
  bits[IpProtocol.udp] = ProtoBit.udp;
  bits[icmp] = ProtoBit.icmp;
  return bits;
}

/**
 * The code of what a program does with a packet whose remote side has the class `classId`. `detail` is the destination port of tcp and udp or the type of ICMP, up to 65,535, or negative where
 * it cannot be read. All offsets here and below were made by the compiler for this block of words.
 */
export function decide(
  blob: Int32Array,
  program: number,
  classId: number,
  protoBit: number,
  detail: number,
): number {
  const record = PROGRAM_HEADER_WORDS + program * PROGRAM_WORDS;
  const row = blob[blob[record]! + (classId & blob[record + 1]!)]!;
  return row < 0 ? blob[record + 2]! + ~row : decideFurther(blob, record, row, classId, protoBit, detail);
}

/**
 * The same for programs whose predicates are in several groups; `classes` holds the class of the remote side in each group
 * of the program's mask.
 */
export function decideGrouped(
  blob: Int32Array,
  program: number,
  classes: Int32Array,
  protoBit: number,
  detail: number,
): number {
  let best = 0x7fffffff; // above all codes
  let record = PROGRAM_HEADER_WORDS + program * PROGRAM_WORDS;
  for (;;) {
    const base = blob[record + ProgramField.base]!;
    if (base < best) {
      const classId = classes[blob[record + ProgramField.group]!]!;
      const row = blob[blob[record]! + (classId & blob[record + 1]!)]!;
      const code = evaluateRow(blob, record, row, classId, protoBit, detail);
      if (code !== NO_MATCH && base + code < best) best = base + code;
    }
    const noMatch = blob[record + ProgramField.noMatch]!;
    if (noMatch >= 0) return best === 0x7fffffff ? noMatch : best;
    record = PROGRAM_HEADER_WORDS + ~noMatch * PROGRAM_WORDS;
  }
}

/** Apart from `decide`, which so stays small enough to be inlined everywhere. */
function decideFurther(
  blob: Int32Array,
  firstRecord: number,
  firstRow: number,
  classId: number,
  protoBit: number,
  detail: number,
): number {
  let record = firstRecord;
  let row = firstRow;
  for (;;) {
    const code = evaluateRow(blob, record, row, classId, protoBit, detail);
    if (code !== NO_MATCH) return blob[record + ProgramField.base]! + code;
    const noMatch = blob[record + ProgramField.noMatch]!;
    if (noMatch >= 0) return noMatch;
    record = PROGRAM_HEADER_WORDS + ~noMatch * PROGRAM_WORDS;
    row = blob[blob[record]! + (classId & blob[record + 1]!)]!;
  }
}

/** The relative code that a record's row gives. */
function evaluateRow(
  blob: Int32Array,
  record: number,
  firstRow: number,
  classId: number,
  protoBit: number,
  detail: number,
): number {
  let row = firstRow;
  let code: number;
  if (row >= 0 && (row & NODE_KIND_MASK) === NodeKind.table) {
    const table = row >>> NODE_OFFSET_SHIFT;
    if (blob[table] === TableKind.members) code = leastOfMembers(blob, table, classId, protoBit, detail);
    else {
      row = findClass(blob, table, classId);
      code = evaluateNode(blob, row, protoBit, detail);
    }
  } else code = evaluateNode(blob, row, protoBit, detail);
  if (row < 0 || (row & WITH_WILDCARDS) === 0 || code < blob[record + ProgramField.wildcardsLeast]!)
    return code;
  const other = evaluateNode(blob, blob[record + ProgramField.wildcards]!, protoBit, detail);
  if (other < code) code = other;
  return code;
}

/** The relative code that a node gives. */
function evaluateNode(blob: Int32Array, node: number, protoBit: number, detail: number): number {
  if (node < 0) return ~node;
  const kind = node & NODE_KIND_MASK;
  const at = node >>> NODE_OFFSET_SHIFT;
  if (kind === NodeKind.list) return evaluateList(blob, at, protoBit, detail);
  if (kind === NodeKind.map) return evaluateMap(blob, at, protoBit, detail);
  return kind === NodeKind.code ? at : evaluateUnion(blob, at, protoBit, detail);
}

function evaluateList(blob: Int32Array, list: number, protoBit: number, detail: number): number {
  const head = blob[list]!;
  const end = list + ((head >> LIST_CODE_BITS) << 1);
  for (let at = list + 1; at < end; at += 2) {
    const candidate = blob[at]!;
    const asks = candidate >> LIST_CODE_BITS;
    if ((asks & protoBit) === 0) continue;
    const code = candidate & LIST_CODE_MASK;
    if ((asks & ASKS_DETAIL) === 0) return code;
    if (detail < 0) return (code & ~CODE_ACTION_MASK) | CodeAction.drop; // it could match and cannot be read
    const range = blob[at + 1]!;
    if (detail >= (range & 0xffff) && detail <= range >>> 16) return code;
  }
  return head & LIST_CODE_MASK;
}

function evaluateMap(blob: Int32Array, map: number, protoBit: number, detail: number): number {
  const at = blob[map + (protoBit >> 1) - (protoBit >> 3)]!; // bits 1, 2, 4, 8 are places 0, 1, 2, 3
  if (at < 0) return ~at;
  if (detail < 0) return blob[at + 1]!;
  const count = blob[at]!;
  if (count < 0) return blob[blob[at + 2 + ((detail >> PAGE_BITS) & PAGE_MASK)]! + (detail & PAGE_MASK)]!;
  let place = 0; // the last interval, of those tried, that begins at or below the detail
  let rest = count;
  while (rest > 0) {
    const half = (rest + 1) >> 1;
    if (blob[at + 1 + place + half]! <= detail) place += half;
    rest -= half;
  }
  return blob[at + 2 + count + place]!;
}

function evaluateUnion(blob: Int32Array, union: number, protoBit: number, detail: number): number {
  let best = NO_MATCH;
  const end = union + 1 + blob[union]! * 2;
  for (let at = union + 1; at < end && blob[at]! < best; at += 2) {
    const code = evaluateNode(blob, blob[at + 1]!, protoBit, detail);
    if (code < best) best = code;
  }
  return best;
}

/** The row that a table has for a class. */
function findClass(blob: Int32Array, table: number, classId: number): number {
  const mask = blob[table + 2]!;
  for (let slot = tableHash(classId, blob[table + 1]!); ; slot = (slot + 1) & mask) {
    const at = table + TABLE_WORDS + slot * 2;
    const key = blob[at]!;
    if (key === classId) return blob[at + 1]!;
    if (key === TABLE_EMPTY) return blob[table + 3]!;
  }
}

/** The least of what a table's nodes for the predicates of a class give. */
function leastOfMembers(
  blob: Int32Array,
  table: number,
  classId: number,
  protoBit: number,
  detail: number,
): number {
  const shift = blob[table + 1]!;
  const mask = blob[table + 2]!;
  const list = blob[blob[table + 3]! + classId]!;
  const members = list >>> 1;
  const end = members + blob[members]!;
  let best = NO_MATCH;
  for (let at = members; at < end; ) {
    const predicate = blob[++at]!;
    let slot = tableHash(predicate, shift);
    let found = table + TABLE_WORDS + slot * 4;
    while (blob[found] !== predicate && blob[found] !== TABLE_EMPTY) {
      slot = (slot + 1) & mask;
      found = table + TABLE_WORDS + slot * 4;
    }
    if (blob[found] === TABLE_EMPTY || blob[found + 3]! >= best) continue;
    const code = evaluateNode(blob, blob[found + 1 + (list & 1)]!, protoBit, detail);
    if (code < best) best = code;
  }
  return best;
}

/** Where the search for a key begins in a table whose second word is `shift`. */
export function tableHash(key: number, shift: number): number {
  return Math.imul(key, 0x9e3779b1) >>> shift;
}
