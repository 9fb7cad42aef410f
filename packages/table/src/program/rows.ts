/**
 * Rows: how a record gets from a class to a node, in one of four ways.
 *
 *   one      no run asks about an address: one row for all classes
 *   rows     a row for every class
 *   classes  a hash table of the classes that the part's predicates hold in, where those are few of many
 *   members  a hash table of the part's predicates, and for each class, shared by all parts, a list of the
 *            predicates that hold in it; what each of them decides is compared at lookup
 *
 * The last takes words in proportion to runs and class members however many programs there are, and keeps
 * many programs over many classes from taking their product.
 */

import type { TableLimits } from '../limits.ts';
import type { ProgramClasses } from './class.ts';
import type { ClassRows } from './class-rows.ts';
import { NodeMaker } from './node.ts';
import { asksNothing, type ProgramPart } from './part.ts';
import type { PortClasses } from './ports.ts';
import {
  CODE_ACTION_MASK,
  LIST_RUNS,
  NO_MATCH,
  NODE_OFFSET_SHIFT,
  NodeKind,
  TABLE_EMPTY,
  TABLE_WORDS,
  TableKind,
  tableHash,
} from './program.ts';
import type { ShapeMaker } from './shape.ts';
import type { WordBuffer } from './words.ts';

/** Our choice: rows up to which a part has one for every class, whatever a hash table would save. */
const ROWS_SMALL = 4096;
/** Our choice: how much larger than a hash table the rows may be, which answer with two loads less. */
const ROWS_FACTOR = 2;
/**
 * Our choice: how many pairs of classes and predicates, of all programs, one program may go through in the
 * order of memory rather than look for one of its own.
 */
const SWEPT_FACTOR = 4;
/**
 * Our choice: rows of all programs with shapes, which then answer with no search; 8 MiB. Beyond, they must be
 * worth it for each program.
 */
const SHAPED_ROWS = 2 ** 21;
/**
 * Words of a slot: the class and its row; the predicate, its node without and with DNS runs, and their least
 * code.
 */
export const CLASS_SLOT_WORDS = 2;
const MEMBER_SLOT_WORDS = 4;

/** The way in which the records of a part find their nodes. */
export interface PartRows {
  readonly part: ProgramPart;
  readonly kind: 'one' | 'rows' | 'classes' | 'members';
  /** The place of the rows (class-rows.ts). */
  readonly rows: number;
  readonly classMask: number;
  readonly wildcards: number;
  /** The row of a class in which no run but the wildcards can match. */
  readonly elsewhere: number;
}

/** The decision of a part's runs of one predicate. */
interface PredicateNode {
  readonly word: number;
  /** A lower bound of its codes. */
  readonly least: number;
}

export class RowMaker {
  readonly #words: WordBuffer;
  readonly #rows: ClassRows;
  readonly #nodes: NodeMaker;
  readonly #limits: TableLimits;
  readonly #classes: ProgramClasses;
  readonly #ports: PortClasses;
  readonly #shapes: ShapeMaker | undefined; // where all rows are codes or records with shapes
  #rowWords = 0;
  #pairCount = 0;
  #isOver = false; // whether there is no room for a map of a class

  constructor(
    words: WordBuffer,
    classes: ProgramClasses,
    limits: TableLimits,
    ports: PortClasses,
    shapes: ShapeMaker | undefined,
    rows: ClassRows,
  ) {
    this.#shapes = shapes;
    this.#words = words;
    this.#rows = rows;
    this.#nodes = new NodeMaker(words, limits.combined);
    this.#classes = classes;
    this.#limits = limits;
    this.#ports = ports;
  }

  /** Undefined if shapes take too much; the rows made so far are then useless. */
  make(part: ProgramPart): PartRows | undefined {
    const classes = this.#classes;
    classes.load(part);
    const wildcards = this.#ports.wildcards(part, part.wildcards, this.#words);
    const end = part.wildcardsEnd === NO_MATCH ? part.defaultCode : part.wildcardsEnd;
    const elsewhere = ~(part.isPlain ? end : NO_MATCH);
    const rest = { part, wildcards, elsewhere };
    if (classes.predicates.length === 0)
      return { ...rest, kind: 'one', rows: this.#rows.append(Int32Array.of(elsewhere)), classMask: 0 };
    const start = this.#words.count;
    const made = this.#byClass(classes, rest);
    if (this.#shapes !== undefined) return made;
    if (made !== undefined && !this.#isOver) return made;
    this.#nodes.forget(start);
    this.#isOver = false;
    return { ...rest, kind: 'members', rows: this.#members(classes, part), classMask: 0 };
  }

  /** Makes rows by class; undefined if they would be too many. */
  #byClass(
    classes: ProgramClasses,
    rest: Omit<PartRows, 'kind' | 'rows' | 'classMask'>,
  ): PartRows | undefined {
    const { part, elsewhere } = rest;
    const pairs = classes.pairs();
    const tableWords = tableWordsFor(classes, pairs);
    const isShaped = this.#shapes !== undefined;
    const isDense = isDenseIn(classes, pairs) || (isShaped && this.#rowWords + classes.room <= SHAPED_ROWS);
    const needed = isDense ? classes.room : tableWords;
    const isMuch =
      this.#rowWords + needed > this.#limits.rows || this.#pairCount + pairs > this.#limits.pairs;
    if (isMuch || (isShaped && !isDense)) return undefined;
    this.#rowWords += needed;
    this.#pairCount += pairs;
    if (isDense) {
      const rows = this.#dense(classes, part, elsewhere, pairs);
      return this.#shapes?.isFull === true ? undefined : { ...rest, kind: 'rows', rows, classMask: -1 };
    }
    classes.touch();
    const { touched } = classes;
    const slots = slotsFor(touched.length + 8);
    const table = this.#table(TableKind.classes, slots, CLASS_SLOT_WORDS, elsewhere);
    for (const classId of touched) {
      classes.holdTouched(classId);
      const row = this.#row(classes, part, elsewhere, classId);
      const slot = slotOf(this.#words, table, classId, CLASS_SLOT_WORDS);
      this.#words.set(slot, classId);
      this.#words.set(slot + 1, row);
    }
    const rows = this.#words.take(1, (table << NODE_OFFSET_SHIFT) | NodeKind.table);
    return { ...rest, kind: 'classes', rows, classMask: 0 };
  }

  /** Makes a row for every class; returns where they are. */
  #dense(classes: ProgramClasses, part: ProgramPart, elsewhere: number, pairs: number): number {
    const rows = new Int32Array(classes.room).fill(elsewhere);
    if (classes.allPairs <= pairs * SWEPT_FACTOR) {
      for (let classId = 0; classId < classes.count; classId++) {
        classes.hold(classId);
        if (classes.held.length > 0) rows[classId] = this.#row(classes, part, elsewhere, classId);
      }
      return this.#rows.append(rows);
    }
    classes.touch();
    for (const classId of classes.touched) {
      classes.holdTouched(classId);
      rows[classId] = this.#row(classes, part, elsewhere, classId);
    }
    return this.#rows.append(rows);
  }

  /** The row of the present class. */
  #row(classes: ProgramClasses, part: ProgramPart, elsewhere: number, classId: number): number {
    if (this.#isOver || this.#shapes?.isFull === true) return elsewhere;
    const count = classes.collect(part, classes.held, classes.isDnsIn(part, classId));
    if (count === 0) return elsewhere;
    const { runs } = classes;
    if (asksNothing(part, runs[0]!)) return ~part.codeOf(runs[0]!); // count > 0
    if (this.#shapes !== undefined) return this.#shapes.record(part, runs, count);
    this.#isOver = count > LIST_RUNS && !this.#nodes.hasRoom;
    return this.#isOver ? elsewhere : this.#nodes.node(part, runs, count);
  }

  /** The decision of a part's runs of one predicate, in DNS classes or in others. */
  #nodeOf(classes: ProgramClasses, part: ProgramPart, predicate: number, isDns: boolean): PredicateNode {
    const count = classes.collect(part, [predicate], isDns);
    const least = count === 0 ? NO_MATCH : part.codeOf(classes.runs[0]!) & ~CODE_ACTION_MASK; // count > 0
    return { word: this.#nodes.node(part, classes.runs, count), least };
  }

  /** Makes the table of a part's predicates; returns the offset of its one row. */
  #members(classes: ProgramClasses, part: ProgramPart): number {
    const lists = classes.memberLists(this.#words);
    const { predicates } = classes;
    const made = predicates.map((predicate) => {
      const plain = this.#nodeOf(classes, part, predicate, false);
      return { predicate, plain, dns: part.asksDns ? this.#nodeOf(classes, part, predicate, true) : plain };
    });
    const table = this.#table(TableKind.members, slotsFor(predicates.length), MEMBER_SLOT_WORDS, lists);
    for (const { predicate, plain, dns } of made) {
      const slot = slotOf(this.#words, table, predicate, MEMBER_SLOT_WORDS);
      this.#words.set(slot, predicate);
      this.#words.set(slot + 1, plain.word);
      this.#words.set(slot + 2, dns.word);
      this.#words.set(slot + 3, Math.min(plain.least, dns.least));
    }
    return this.#words.take(1, (table << NODE_OFFSET_SHIFT) | NodeKind.table);
  }

  /**
   * Takes the words of an empty hash table of `slots`, a power of two; `last` is the last word before them.
   */
  #table(kind: number, slots: number, slotWords: number, last: number): number {
    const table = this.#words.take(TABLE_WORDS, kind);
    this.#words.set(table + 1, Math.clz32(slots - 1));
    this.#words.set(table + 2, slots - 1);
    this.#words.set(table + 3, last);
    this.#words.take(slots * slotWords, TABLE_EMPTY);
    return table;
  }
}

/** The slot of a key in a hash table, or the free one that it would have. */
export function slotOf(words: WordBuffer, table: number, key: number, slotWords: number): number {
  const mask = words.at(table + 2);
  for (let slot = tableHash(key, words.at(table + 1)); ; slot = (slot + 1) & mask) {
    const at = table + TABLE_WORDS + slot * slotWords;
    const there = words.at(at);
    if (there === key || there === TABLE_EMPTY) return at;
  }
}

/** Words of a hash table of the classes that predicates with so many pairs may hold in. */
function tableWordsFor({ room }: ProgramClasses, pairs: number): number {
  return TABLE_WORDS + CLASS_SLOT_WORDS * slotsFor(Math.min(pairs, room));
}

/** Whether a row for every class is better. */
function isDenseIn(classes: ProgramClasses, pairs: number): boolean {
  return classes.room <= ROWS_SMALL || classes.room <= tableWordsFor(classes, pairs) * ROWS_FACTOR;
}

/** A power of two, at least twice as many. */
function slotsFor(keys: number): number {
  return Math.max(4, 2 ** Math.ceil(Math.log2(keys * 2)));
}
