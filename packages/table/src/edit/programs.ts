/**
 * Edits of programs: makes the rows of new classes, and of those whose rules changed, and puts them into the
 * compiled programs.
 *
 *   runs that came, went or have another label ─▶ their predicates ─▶ the classes of these, and new ones
 *      ─▶ by part the runs that hold there ─▶ a row anew
 *
 * If rules change, it works on a copy that no reader knows; if there are only new classes, on the programs
 * that readers use, who meet none of these classes before the flip. Nodes go to free words. A change that
 * does not fit the compiled form, such as a port of a new class, or the first rule for a port of a policy, is
 * compiled in full.
 */

import { formAt, NO_RULES, type RuleSet, type Runs, runsOf as runsOfPolicy } from '@rulecast/rules';
import type { ClassSets } from '../classes/classes.ts';
import { ASKS_DNS, checksOf, rangeOf } from '../classes/match-checks.ts';
import { ANY_ADDRESS } from '../classes/predicate.ts';
import type { TableLimits } from '../limits.ts';
import { roomFor } from '../program/class.ts';
import { ClassRows } from '../program/class-rows.ts';
import { relabelled } from '../program/labels.ts';
import { NodeMaker } from '../program/node.ts';
import { BLOCK_FIELDS, blockField, labelsOf, programCount, programField } from '../program/origin.ts';
import type { BlockPredicates } from '../program/outline.ts';
import { asksNothing, type Candidates, codeOfRun } from '../program/part.ts';
import type { PortClasses } from '../program/ports.ts';
import {
  BLOCK_WORDS,
  BlockField,
  LIST_RUNS,
  NO_MATCH,
  NODE_KIND_MASK,
  NODE_OFFSET_SHIFT,
  NodeKind,
  PROGRAM_HEADER_WORDS,
  PROGRAM_WORDS,
  ProgramField,
  ProgramHeader,
  TABLE_EMPTY,
  TABLE_WORDS,
  TableKind,
} from '../program/program.ts';
import { CLASS_SLOT_WORDS, slotOf } from '../program/rows.ts';
import { ShapeMaker } from '../program/shape.ts';
import { WordBuffer } from '../program/words.ts';

/** Classes looked at, and rows made of them for all parts. Our choice: a microsecond or two each. */
const CLASSES_MAX = 2 ** 12;
const ROWS_MAX = 2 ** 13;

/** In a block, the runs [first, first + removed) were replaced by runs with these predicates. */
export interface BlockEdit {
  readonly block: number;
  readonly first: number;
  readonly removed: number;
  readonly added: readonly { readonly predicate: number; readonly list: string | undefined }[];
}

/** The input that the programs were compiled from, and how far. */
export interface ProgramState {
  readonly blocks: readonly BlockPredicates[];
  readonly usedWords: number;
  /** The number of classes that the programs cover. */
  readonly classes: number;
  /** Room for classes in tables with a row for each. */
  readonly room: number;
}

/** The parts shared by all edits of some programs. */
export interface ProgramBase {
  readonly sets: ClassSets;
  /** Negative if the environment has none. */
  readonly dnsPredicate: number;
  readonly ports: PortClasses;
  readonly listNames: readonly string[];
  readonly limits: TableLimits;
}

/** There is no room or no place for the edit: everything is compiled in full. */
class Unfit extends Error {}

/**
 * Puts an edit into programs, for the rule set after it; undefined if a full compile is needed, and the words
 * are of no use.
 */
export function editPrograms(
  blob: Int32Array,
  state: ProgramState,
  base: ProgramBase,
  ruleSet: RuleSet,
  edits: readonly BlockEdit[],
): ProgramState | undefined {
  try {
    return new ProgramEditor(blob, state, base, ruleSet).edited(edits);
  } catch (error) {
    if (error instanceof Unfit) return undefined;
    throw error;
  }
}

/** The records that decide by the same rows and the same blocks. */
interface Part {
  readonly records: number[];
  readonly blocks: readonly number[];
  readonly isChanged: boolean;
  rows: number;
  taken: number | undefined; // slots of a table of classes, once counted
}

class ProgramEditor {
  readonly #blob: Int32Array;
  readonly #words: WordBuffer;
  readonly #rows: ClassRows;
  readonly #state: ProgramState;
  readonly #base: ProgramBase;
  readonly #blocks: BlockPredicates[];
  readonly #runs: readonly Runs[]; // by block
  readonly #ports: PortClasses;
  readonly #shapes: ShapeMaker | undefined;
  readonly #nodes: NodeMaker;
  #room: number;
  #rowCount = 0;
  readonly #labels: Int32Array[] = []; // by block and run, computed on use
  readonly #ends: (number | undefined)[] = []; // by block: its first run after which none is asked
  /** By predicate, chained: the runs that use it, for affected predicates. */
  #heads = new Int32Array(0);
  readonly #found: { readonly block: number; readonly run: number; readonly next: number }[] = [];

  constructor(blob: Int32Array, state: ProgramState, base: ProgramBase, { policies }: RuleSet) {
    const { limits, ports } = base;
    this.#blob = blob;
    this.#state = state;
    this.#base = base;
    this.#room = state.room;
    this.#words = WordBuffer.over(blob, state.usedWords, () => new Unfit());
    this.#rows = new ClassRows(this.#words, blob[ProgramHeader.sharedPages]!); // every block of words has a header
    this.#blocks = [...state.blocks];
    this.#runs = state.blocks.map(({ policy, block, direction }) => {
      const of = policies.get(policy);
      return of === undefined ? NO_RULES : runsOfPolicy(of, direction, block);
    });
    this.#ports = ports;
    this.#nodes = new NodeMaker(this.#words, limits.combined);
    const isShaped = blob[ProgramHeader.shapeless] !== 0;
    this.#shapes = isShaped ? new ShapeMaker(this.#words, this.#ports, limits.combined) : undefined;
  }

  edited(edits: readonly BlockEdit[]): ProgramState {
    const { sets } = this.#base;
    const changed = new Set<number>();
    const anywhere = new Set<number>(); // blocks whose rules for any address changed
    for (const { block } of edits) changed.add(block);
    const touched = edits.flatMap((edit) => this.#editBlock(edit, anywhere));
    const classes = this.#classesOf(touched);
    this.#find(classes);
    const parts = this.#parts(changed);
    if (sets.count > this.#room) this.#grow(parts);
    for (const part of parts) if (part.isChanged) this.#editWildcards(part, anywhere);
    for (const classId of classes) this.#editClass(classId, parts);
    return { blocks: this.#blocks, usedWords: this.#words.count, classes: sets.count, room: this.#room };
  }

  /** Relabels the runs of a block; returns the predicates whose runs changed. */
  #editBlock({ block, first, removed, added }: BlockEdit, anywhere: Set<number>): readonly number[] {
    const blob = this.#blob;
    const { predicates, ...where } = this.#blocks[block]!; // the caller's blocks exist
    const before = this.#labelsOf(block);
    const room = blockField(blob, block, 'room');
    const after = relabelled(before, first, removed, added.length, room);
    if (after === undefined) throw new Unfit();
    const asked = spliced(
      predicates,
      first,
      removed,
      Int32Array.from(added, ({ predicate }) => predicate),
    );
    const touched = [
      ...predicates.subarray(first, first + removed),
      ...asked.subarray(first, first + added.length),
    ];
    for (let run = 0; run < after.length; run++) {
      const was = run < first ? run : run - added.length + removed;
      if ((run < first || run >= first + added.length) && after[run] !== before[was])
        touched.push(asked[run]!); // run < length
    }
    this.#editLists(block, first, removed, added, after);
    const known = blockField(blob, block, 'runs');
    const isShared = this.#blocks.some(
      (_, other) => other !== block && blockField(blob, other, 'runs') === known,
    );
    const runsAt = isShared ? this.#words.take(room, -1) : known;
    this.#put(block, 'runs', runsAt);
    blob.fill(-1, runsAt, runsAt + room);
    for (let run = 0; run < after.length; run++) blob[runsAt + after[run]!] = run; // likewise
    this.#put(block, 'runCount', after.length);
    this.#blocks[block] = { ...where, predicates: asked };
    this.#labels[block] = after;
    if (touched.includes(ANY_ADDRESS)) anywhere.add(block);
    return touched;
  }

  #editLists(
    block: number,
    first: number,
    removed: number,
    added: BlockEdit['added'],
    after: Int32Array,
  ): void {
    const blob = this.#blob;
    const listsAt = blockField(blob, block, 'lists');
    const own = Int32Array.from(added, ({ list }) =>
      list === undefined ? -1 : this.#base.listNames.indexOf(list),
    );
    if (listsAt < 0 && own.every((place) => place < 0)) return;
    const room = blockField(blob, block, 'room');
    const before = Int32Array.from(this.#labelsOf(block), (label) =>
      listsAt < 0 ? -1 : blob[listsAt + label]!,
    ); // within the room
    const lists = spliced(before, first, removed, own);
    const at = listsAt < 0 ? this.#words.take(room, -1) : listsAt;
    blob.fill(-1, at, at + room);
    for (const [run, list] of lists.entries()) blob[at + after[run]!] = list; // of the same length
    this.#put(block, 'lists', at);
  }

  #put(block: number, field: keyof typeof BlockField, value: number): void {
    this.#blob[this.#blob[ProgramHeader.blocks]! + block * BLOCK_WORDS + BlockField[field]] = value; // every block of words has a header
  }

  /** By run. */
  #labelsOf(block: number): Int32Array {
    this.#labels[block] ??= labelsOf(this.#blob, block);
    return this.#labels[block];
  }

  /** The classes that are new, or that some predicates hold in. */
  #classesOf(touched: readonly number[]): readonly number[] {
    const { sets } = this.#base;
    const isTouched = new Uint8Array(sets.predicateCount);
    for (const predicate of touched) if (predicate >= 0) isTouched[predicate] = 1;
    const classes: number[] = [];
    const { classes: known } = this.#state;
    for (let classId = touched.length === 0 ? known : 0; classId < sets.count; classId++) {
      const end = sets.firstMember(classId + 1);
      let m = classId < known ? sets.firstMember(classId) : end;
      while (m < end && isTouched[sets.memberAt(m)] === 0) m++;
      if (classId >= known || m < end) classes.push(classId);
      if (classes.length > CLASSES_MAX) throw new Unfit();
    }
    return classes;
  }

  /** Finds the runs that hold in some classes, and by block the first one after which none is asked. */
  #find(classes: readonly number[]): void {
    const { sets } = this.#base;
    const heads = new Int32Array(sets.predicateCount).fill(-2); // -1: wanted, and no run yet
    for (const classId of classes) for (const predicate of sets.membersOf(classId)) heads[predicate] = -1;
    for (const [block, { predicates }] of this.#blocks.entries()) {
      for (let run = 0; run < predicates.length; run++) {
        const predicate = predicates[run]!; // run < length
        if (predicate === ANY_ADDRESS) {
          if (this.#ends[block] === undefined && asksNothing({ checks: [this.#checksOf(block, run)] }, 0))
            this.#ends[block] = run;
        } else if (predicate >= 0 && heads[predicate] !== -2)
          heads[predicate] = this.#found.push({ block, run, next: heads[predicate]! }) - 1; // a predicate
      }
    }
    this.#heads = heads;
  }

  #checksOf(block: number, run: number): number {
    return checksOf(formAt(this.#runs[block]!, run).match); // runs of the caller's rule set, as many as predicates
  }

  /** All parts; those that have a changed block have rows of their own. */
  #parts(changed: ReadonlySet<number>): readonly Part[] {
    const blob = this.#blob;
    const byRows = new Map<number, Part[]>();
    const records = blob[ProgramHeader.recordCount]!; // every block of words has a header
    for (let record = 0; record < records; record++) {
      const rows = programField(blob, record, 'rows');
      const mask = programField(blob, record, 'blockMask');
      const blocks = Object.values(BLOCK_FIELDS)
        .map((field, place) => (((mask >> place) & 1) === 0 ? -1 : programField(blob, record, field)))
        .filter((block) => block >= 0);
      const alike = byRows.get(rows) ?? [];
      const known = alike.find(
        (part) => part.blocks.length === blocks.length && part.blocks.every((b, i) => b === blocks[i]),
      );
      if (known !== undefined) known.records.push(record);
      else
        alike.push({
          records: [record],
          blocks,
          isChanged: blocks.some((block) => changed.has(block)),
          rows,
          taken: undefined,
        });
      byRows.set(rows, alike);
    }
    for (const alike of byRows.values()) {
      // One part may keep them.
      const keeps = alike.find(({ isChanged }) => !isChanged) ?? alike[0];
      for (const part of alike) if (part.isChanged) this.#ownRows(part, part !== keeps);
    }
    return [...byRows.values()].flat();
  }

  /** Gives a part rows by class, and rows of its own if it shares them. */
  #ownRows(part: Part, isShared: boolean): void {
    const blob = this.#blob;
    const words = this.#words;
    const { rows } = part;
    const first = this.#rows.get(rows, 0);
    const isEach = this.#isEach(part);
    const table = isEach ? -1 : this.#tableOf(first);
    const room = this.#room;
    if (isEach && isShared) part.rows = this.#rows.copy(rows, room, new Int32Array(0));
    else if (!isEach && table < 0) part.rows = this.#rows.append(new Int32Array(room).fill(first));
    else if (table >= 0 && isShared) {
      const length = TABLE_WORDS + (words.at(table + 2) + 1) * CLASS_SLOT_WORDS;
      const copy = words.take(length, 0);
      blob.copyWithin(copy, table, table + length);
      part.rows = words.take(1, (copy << NODE_OFFSET_SHIFT) | NodeKind.table);
    }
    for (const record of part.records) {
      this.#putRecord(record, 'rows', part.rows);
      if (table < 0) this.#putRecord(record, 'classMask', -1);
    }
  }

  /** Makes room for more classes, in tables with a row for each; readers' rows stay in place. */
  #grow(parts: readonly Part[]): void {
    const grown = new Map<number, number>(); // new rows by the old ones
    const room = roomFor(this.#base.sets.count);
    for (const part of parts) {
      if (!this.#isEach(part)) continue;
      let rows = grown.get(part.rows);
      if (rows === undefined) {
        const added = new Int32Array(room - this.#room).fill(this.#elsewhereOf(part));
        rows = this.#rows.copy(part.rows, this.#room, added);
        grown.set(part.rows, rows);
      }
      part.rows = rows;
      for (const record of part.records) this.#putRecord(record, 'rows', rows);
    }
    this.#room = room;
  }

  /** Whether a part has a row for every class. */
  #isEach({ records }: Part): boolean {
    return programField(this.#blob, records[0]!, 'classMask') !== 0; // a part has one
  }

  /** The table of classes that a row leads to, or -1. */
  #tableOf(row: number): number {
    if (row < 0 || this.#shapes !== undefined || (row & NODE_KIND_MASK) !== NodeKind.table) return -1;
    const table = row >>> NODE_OFFSET_SHIFT;
    if (this.#words.at(table) !== TableKind.classes) throw new Unfit();
    return table;
  }

  #putRecord(record: number, field: keyof typeof ProgramField, value: number): void {
    this.#blob[PROGRAM_HEADER_WORDS + record * PROGRAM_WORDS + ProgramField[field]] = value;
  }

  /** The row of a part for classes in which only its runs for any address hold. */
  #elsewhereOf(part: Part): number {
    const first = this.#rows.get(part.rows, 0); // class 0 has no predicates
    if (this.#isEach(part)) return first;
    const table = this.#tableOf(first);
    return table < 0 ? first : this.#words.at(table + 3);
  }

  #isPlain(part: Part): boolean {
    return this.#elsewhereOf(part) !== ~NO_MATCH;
  }

  /** If the rules for any address of a part changed, its wildcards by port class are made anew. */
  #editWildcards(part: Part, anywhere: ReadonlySet<number>): void {
    if (!part.blocks.some((block) => anywhere.has(block))) return;
    if (this.#isPlain(part)) throw new Unfit();
    const candidates = new Gathered();
    let firstLabel = 0;
    for (const block of part.blocks) {
      const { predicates } = this.#blocks[block]!; // a block
      const end = this.#ends[block] ?? predicates.length - 1;
      for (
        let run = predicates.indexOf(ANY_ADDRESS);
        run >= 0 && run <= end;
        run = predicates.indexOf(ANY_ADDRESS, run + 1)
      )
        this.#gather(candidates, block, run, firstLabel);
      if (this.#ends[block] !== undefined) break;
      firstLabel += blockField(this.#blob, block, 'room');
    }
    this.#checkPorts(candidates);
    const wildcards = this.#ports.wildcards(candidates, candidates.positions, this.#words);
    for (const record of part.records) this.#putRecord(record, 'wildcards', wildcards);
  }

  #gather(into: Gathered, block: number, run: number, firstLabel: number): number {
    const { match } = formAt(this.#runs[block]!, run); // as many as predicates
    const checks = checksOf(match);
    into.push(checks, rangeOf(match), firstLabel + this.#labelsOf(block)[run]!); // likewise
    return checks;
  }

  /** Ports or types that nothing asked about are of no port class. */
  #checkPorts(candidates: Gathered): void {
    if (this.#ports.asksOf(candidates).includes(-1)) throw new Unfit();
  }

  /** Makes the rows of a class: of parts that changed, and of the others where it is new. */
  #editClass(classId: number, parts: readonly Part[]): void {
    const { sets, dnsPredicate } = this.#base;
    const holding = new Map<number, number[]>(); // by block: the runs that hold
    for (const predicate of sets.membersOf(classId)) {
      for (let at = this.#heads[predicate]!; at >= 0; at = this.#found[at]!.next) {
        const { block, run } = this.#found[at]!; // indices of a chain are in range
        const runs = holding.get(block);
        if (runs === undefined) holding.set(block, [run]);
        else runs.push(run);
      }
    }
    const isDns = dnsPredicate >= 0 && sets.membersOf(classId).includes(dnsPredicate);
    const isNew = classId >= this.#state.classes;
    for (const part of parts) {
      if (!part.isChanged && !(isNew && part.blocks.some((block) => holding.has(block)))) continue;
      if (++this.#rowCount > ROWS_MAX) throw new Unfit();
      this.#store(part, classId, this.#row(part, holding, isDns));
    }
  }

  #row(part: Part, holding: ReadonlyMap<number, number[]>, isDns: boolean): number {
    const elsewhere = this.#elsewhereOf(part);
    const candidates = this.#holding(part, holding, isDns);
    const { count } = candidates;
    if (count === 0) return elsewhere;
    if (asksNothing(candidates, 0)) return ~candidates.codeOf(0);
    if (elsewhere !== ~NO_MATCH) throw new Unfit(); // a plain program looks no further than its rows
    if (this.#shapes === undefined) {
      if (count > LIST_RUNS && !this.#nodes.hasRoom) throw new Unfit();
      return this.#nodes.node(candidates, candidates.positions, count);
    }
    this.#checkPorts(candidates);
    const record = this.#shapes.record(candidates, candidates.positions, count);
    if (this.#shapes.isFull) throw new Unfit();
    return record;
  }

  /** The runs of a part that hold in the class at hand, to the first after which none is asked. */
  #holding(part: Part, holding: ReadonlyMap<number, number[]>, isDns: boolean): Gathered {
    const candidates = new Gathered();
    let firstLabel = 0;
    for (const block of part.blocks) {
      const runs = (holding.get(block) ?? []).sort((a, b) => a - b);
      const end = this.#ends[block];
      for (const run of runs) {
        if (end !== undefined && run > end) return candidates;
        if (!isDns && (this.#checksOf(block, run) & ASKS_DNS) !== 0) continue;
        this.#gather(candidates, block, run, firstLabel);
        if (asksNothing(candidates, candidates.count - 1)) return candidates;
      }
      if (end !== undefined) return candidates;
      firstLabel += blockField(this.#blob, block, 'room');
    }
    return candidates;
  }

  #store(part: Part, classId: number, row: number): void {
    const words = this.#words;
    if (this.#isEach(part)) return this.#rows.set(part.rows, classId, row);
    const first = this.#rows.get(part.rows, 0);
    const table = this.#tableOf(first);
    if (table < 0 && row === first) return;
    if (table < 0) throw new Unfit(); // it has one row for all classes
    const slot = slotOf(words, table, classId, CLASS_SLOT_WORDS);
    if (words.at(slot) === TABLE_EMPTY) {
      if (row === words.at(table + 3)) return;
      const slots = words.at(table + 2) + 1;
      part.taken = (part.taken ?? takenSlots(words, table, slots)) + 1;
      if (part.taken * 2 > slots) throw new Unfit();
    }
    // A reader that sees the slot half written is looking for another class, and goes on either way.
    words.set(slot + 1, row);
    words.set(slot, classId);
  }
}

/** Runs gathered one by one. */
class Gathered implements Candidates {
  readonly #checks: number[] = [];
  readonly #ranges: number[] = [];
  readonly #labels: number[] = [];

  push(checks: number, range: number, label: number): void {
    this.#checks.push(checks);
    this.#ranges.push(range);
    this.#labels.push(label);
  }

  get count(): number {
    return this.#labels.length;
  }

  get checks(): readonly number[] {
    return this.#checks;
  }

  get ranges(): readonly number[] {
    return this.#ranges;
  }

  get positions(): Int32Array {
    return Int32Array.from(this.#labels.keys());
  }

  codeOf(position: number): number {
    return codeOfRun(this.#labels[position]!, this.#checks[position]!); // the caller's position
  }
}

function takenSlots(words: WordBuffer, table: number, slots: number): number {
  let taken = 0;
  for (let slot = 0; slot < slots; slot++)
    if (words.at(table + TABLE_WORDS + slot * CLASS_SLOT_WORDS) !== TABLE_EMPTY) taken++;
  return taken;
}

function spliced(numbers: Int32Array, first: number, removed: number, added: Int32Array): Int32Array {
  const after = new Int32Array(numbers.length - removed + added.length);
  after.set(numbers.subarray(0, first));
  after.set(added, first);
  after.set(numbers.subarray(first + removed), first + added.length);
  return after;
}

/** How many runs all programs gain by an edit. */
export function runsMore(blob: Int32Array, { block, removed, added }: BlockEdit): number {
  let programs = 0;
  for (let program = 0; program < programCount(blob); program++)
    for (const field of Object.values(BLOCK_FIELDS))
      if (programField(blob, program, field) === block) programs++;
  return programs * (added.length - removed);
}
