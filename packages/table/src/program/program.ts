/**
 * Programs: what each policy does with each class of remote addresses, in one direction; as one block of
 * 32-bit words that lies anywhere, since all places in it are word offsets from its start. compiler.ts makes
 * it, assembly/program.ts reads it.
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
 * Where all programs are shaped, all their rows are offsets of records with shapes instead (shape.ts).
 *
 * First match is the least code, since codes grow in rule order: so what wildcard rules decide is kept once,
 * and a class whose own rules do not come before all of them takes the lesser of two.
 *
 * A code names a verdict: `outcome << 2 | action`. Within nodes it is relative, outcome 1 being the first
 * run, so that programs of equal rules share them; a record's `base` is added in the end. A program's
 * outcomes are numbered from its `firstOutcome`: its default action, then the runs of the policy's
 * exceptions, of `common`, and the policy's own. Code 0 is the verdict none.
 *
 * Where nothing matches, a record has its default's code, code 0 if that is no action, or ~r: record r goes
 * on.
 */

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
  /** Offset of the port table, where all programs are shaped (shape.ts); else 0. */
  ports: 4,
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
  /** 1 if its rows are records with shapes; `wildcards` is then the offset of a word for each port class. */
  isShaped: 15,
} as const;
export const PROGRAM_WORDS = 16;

/**
 * The words of a block's record: the runs of one policy in one direction. `firstRunList` is -1 if none has a
 * list.
 */
export const BlockField = { policy: 0, runCount: 1, firstRunList: 2 } as const;
export const BLOCK_WORDS = 4;

export const DIRECTIONS = ['egress', 'ingress'] as const;

export const NodeKind = { list: 0, map: 1, union: 2, table: 3, code: 4 } as const;
export const NODE_KIND_MASK = 7;
/** In a reference: the lesser of the node's code and the wildcards' decides. */
export const WITH_WILDCARDS = 8;
export const NODE_OFFSET_SHIFT = 4;

/**
 * A table's first words: its kind, what `tableHash` takes, slots - 1, and of one of classes the row of
 * classes that it has not, of one of members the offset of a word for each class: the offset of a count and
 * as many predicates, << 1, and whether its addresses are DNS addresses. Slots of one of classes: class, row.
 * Slots of one of members: predicate, its node in other classes, in DNS classes, at most the least code of
 * both.
 */
export const TableKind = { classes: 0, members: 1 } as const;
export const TABLE_WORDS = 4;
/** The key of an empty slot. */
export const TABLE_EMPTY = -1;

/**
 * Halves of a protocol in the port table, of which the one after the last port is for what cannot be read.
 */
export const PORT_TABLE_PORTS = 65_538;
/** In the first word of a record with a shape: it is above all codes. */
export const SHAPE_BIT = -0x80000000;

/** Above all relative codes: nothing matches. */
export const NO_MATCH = 2 ** 26 - 1;

/** A code as a reference. */
export function codeReference(code: number): number {
  return (code << NODE_OFFSET_SHIFT) | NodeKind.code;
}

/** Bits of the number of a page of a map's protocol, and of a code on it. */
export const PAGE_BITS = 8;

/**
 * Above the relative code in a list's words: how many candidates; what one asks, its protocol bits and
 * ASKS_DETAIL.
 */
export const LIST_CODE_BITS = 26;

/** Where the search for a key begins in a table whose second word is `shift`. */
export function tableHash(key: number, shift: number): number {
  return Math.imul(key, 0x9e3779b1) >>> shift;
}
