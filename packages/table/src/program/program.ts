/**
 * Programs: the decisions of each policy for each class of remote addresses, in one direction; as one
 * relocatable block of 32-bit words, since all places in it are word offsets from its start. compiler.ts
 * makes it, assembly/program.ts reads it.
 *
 *   header │ records, one a program, and of nobody │ port classes, wildcards, rows, nodes, tables … │ blocks, their labels, some to spare
 *
 *   record ─┬─▶ rows (class-rows.ts), by class a word ─┬─ negative: ~code, whatever else the packet has; NO_MATCH: nothing
 *           │                                            │  of its own
 *           │                                            └─ offset of a record with a shape (shape.ts), where all programs
 *           │                                               have those; or else a reference: offset << 2 | NodeKind
 *           └─▶ wildcards[port class] (ports.ts): what the rules for any address decide, or NO_MATCH
 *
 *   list    up to LIST_RUNS candidates in rule order, compared at once: how many they are, the halves of all firsts, lasts, and
 *           what they ask; then, at a word, their codes, and the one where none matches
 *   map     by protocol (tcp, udp, icmp, others) a word: ~code, or the offset of n, the code where the port or type
 *           cannot be read, the n first ones of all intervals but the first, and the n + 1 codes
 *   table   of classes or of predicates (rows.ts): where a row for every class would be too many
 *
 * The lesser of the decisions of the row and of the wildcards is that of the earlier rule.
 *
 * A code names a verdict: `outcome << 2 | action`. Within nodes it is relative, outcome 1 being the first
 * label, so that programs of equal rules share them; a record's `base` is added in the end. A program's
 * outcomes are numbered from its `firstOutcome`: its default action, then the labels (labels.ts) of the runs
 * of the policy's exceptions, of `common`, and the policy's own. Code 0 is the verdict none.
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
  /** The number of records of programs; continuations come after them. */
  programCount: 0,
  /** Offset of the blocks. */
  blocks: 1,
  /** The number of records; the one after them decides nothing, for packets that no program judges. */
  recordCount: 2,
  /** Offset of the index of port classes (ports.ts). */
  ports: 3,
  /** Offset of the first record with a shape (shape.ts), which decides nothing; 0 where there are none. */
  shapeless: 4,
  /** The number of pages of rows that each part may share (class-rows.ts); -1: rows lie one after another. */
  sharedPages: 5,
  /** In the order of DIRECTIONS, the programs of the policy `first`, asked before all others; -1: none. */
  first: 6,
} as const;
export const PROGRAM_HEADER_WORDS = 16;

/** The words of a record. */
export const ProgramField = {
  rows: 0,
  /** 0 for a program with one row, else all ones. */
  classMask: 1,
  /** The number to add to relative codes. */
  base: 2,
  /** The code if nothing matches, or ~r if record r continues. */
  noMatch: 3,
  /** By port class what the rules for any address decide: the offset of the first. */
  wildcards: 4,
  firstOutcome: 5,
  /** -1: it judges qubes that no policy does. */
  policy: 6,
  /** A Direction's place in DIRECTIONS. */
  direction: 7,
  /** Blocks, or -1. */
  commonBlock: 8,
  ownBlock: 9,
  /** 1 if its rows are codes that decide, and wildcards need not be looked at. */
  isPlain: 10,
  exceptionsBlock: 11,
  /** Which blocks the record decides by, a bit for each: 1 exceptions, 2 `common`, 4 own. */
  blockMask: 12,
} as const;
export const PROGRAM_WORDS = 16;

/** The words of a block's record: the runs of one policy in one direction. */
export const BlockField = {
  policy: 0,
  runCount: 1,
  /** The number of its labels. */
  room: 2,
  /** Offset of a word for each label: the run that has it, or -1. */
  runs: 3,
  /** Offset of a word for each label: the list of its run, or -1; -1 itself if no run has a list. */
  lists: 4,
} as const;
export const BLOCK_WORDS = 8;

export const DIRECTIONS = ['egress', 'ingress'] as const;

export const NodeKind = { list: 0, map: 1, table: 2 } as const;
export const NODE_KIND_MASK = 3;
export const NODE_OFFSET_SHIFT = 2;
/** Fixed by the lanes of a vector: candidates of a list. */
export const LIST_RUNS = 8;

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
 * Ports or types of a page, and pages of a protocol; the last is for what cannot be read. Our choice: where
 * the ports of packets vary, those of some hundred port classes stay in the first-level cache.
 */
export const PAGE_PORTS = 64;
export const PORT_PAGES = 1025;
/** Rows of a page. Our choice: two lines of a cache. */
export const ROW_PAGE = 32;
/** In the first word of a record with a shape: it is above all codes. */
export const SHAPE_BIT = -0x80000000;

/** Above all relative codes: nothing matches. */
export const NO_MATCH = 2 ** 26 - 1;

/** The start of the search for a key in a table whose second word is `shift`. */
export function tableHash(key: number, shift: number): number {
  return Math.imul(key, 0x9e3779b1) >>> shift;
}
