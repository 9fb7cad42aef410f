/**
 * Edits of prefix maps: from toggled predicates to new nodes beside the old ones.
 *
 * An edit is a sorted list of boundaries at which predicates begin or cease to differ from before. Between
 * two of them each address gets the class of its old predicates with those toggled, so an edit needs only the
 * old map and the classes, and none of the million unchanged prefixes. Only slots, and in IPv6 nodes, that
 * hold a boundary are made anew; in a large node, only what lies between its first and last boundary, the
 * rest is copied as it is.
 *
 *   old       ·······│ class 3 │ 5 │ 3 ·│····      toggled: predicate 7
 *   toggles          ├──────────────┤              class 8 = class 3 with 7, class 9 = class 5 with 7
 *   new       ·······│ class 8 │ 9 │ 8 ·│····
 */

import type { Boundaries, ClassSets, IndexColumn } from '../classes/classes.ts';
import type { Heap } from '../memory/heap.ts';
import type { Move, TableMemory } from '../memory/memory.ts';
import { Chunks } from './chunks.ts';
import { DIRECTORY_SLOTS } from './map.ts';
import { checkValue, Intervals, type NodeShape, NodeView, nodeShape, ValueWidth, writeNode } from './node.ts';
import { Splice } from './splice.ts';

/**
 * A node with more intervals is spliced where that is possible. Our choice: below, making it anew costs no
 * more.
 */
const SPLICED_INTERVALS = 64;
/**
 * Old intervals between two changes that are made anew rather than copied. Our choice: what a window costs.
 */
const NEAR_INTERVALS = 8;
/** Classes remembered with one predicate toggled; a power of two. */
const MEMO_SLOTS = 64;
/** Values of a chunk. */
const CHUNKS = 65536;

/** The effect of an edit on nodes, so that it can be undone, or the replaced nodes be given back. */
export class NodeChanges {
  /** Nodes made: their first byte, and their bytes after it. */
  readonly taken: number[] = [];
  /** Nodes that the new map no longer leads to; the same. */
  readonly dropped: number[] = [];
  /** How many boundaries the nodes gained. */
  bounds = 0;
  /** How many bytes they gained. */
  bytes = 0;
}

/** Applies toggles to maps, one after the other. All of an editor's edits are of the same classes. */
export class MapEditor {
  readonly #memory: TableMemory;
  readonly #move: Move;
  readonly #heap: Heap;
  readonly sets: ClassSets;
  readonly #scratch: Intervals[] = []; // by level
  readonly #unfolded = new Intervals();
  readonly #memoFrom = new Int32Array(MEMO_SLOTS).fill(-1); // a class
  readonly #memoBy = new Int32Array(MEMO_SLOTS); // a predicate
  readonly #memoTo = new Int32Array(MEMO_SLOTS); // the class with it toggled
  // Of the present edit:
  #changes = new NodeChanges();
  #chunks = new Chunks(new Uint32Array(0), 4);
  #width: ValueWidth = ValueWidth.word;
  #predicates: IndexColumn = new Uint32Array(0);
  #count = 0;
  readonly #toggled: number[] = []; // predicates that differ at the place looked at
  #latest: NodeView | undefined;

  constructor(memory: TableMemory, move: Move, heap: Heap, sets: ClassSets) {
    this.#memory = memory;
    this.#move = move;
    this.#heap = heap;
    this.sets = sets;
  }

  /**
   * Points a whole directory, a copy of the one in force, at new nodes where addresses are toggled; appends
   * the slots it changes to `touched`. Throws TableLimitError, for memory or classes, also for a class that
   * is too large for values of this width; the directory is then half done, and `changes` lists what was
   * taken.
   */
  edit(
    directory: number,
    family: 4 | 6,
    width: ValueWidth,
    toggles: Boundaries,
    changes: NodeChanges,
    touched: number[],
  ): void {
    this.#changes = changes;
    this.#width = width;
    this.#chunks = new Chunks(toggles.keys, family);
    this.#predicates = toggles.predicates;
    this.#count = toggles.count;
    this.#toggled.length = 0;
    const first = directory >>> 2;
    const set = (slot: number, value: number): void => {
      checkValue(value, width); // classes that answer at once, without a node
      touched.push(slot);
      this.#memory.views.words[first + slot] = value;
    };
    const at = (slot: number): number => this.#memory.views.words[first + slot]!; // slot < DIRECTORY_SLOTS
    let slot = 0;
    for (let i = 0; i < this.#count; ) {
      const chunk = this.#chunks.at(i, 0);
      if (this.#toggled.length > 0) for (; slot < chunk; slot++) set(slot, this.#mapped(1, at(slot)));
      const end = this.#chunks.groupEnd(i, this.#count, 0);
      i = this.#toggleStart(i, end, 0);
      slot = chunk;
      if (i === end) continue;
      set(slot, this.#node(1, at(slot), i, end));
      slot++;
      i = end;
    }
    if (this.#toggled.length > 0) for (; slot < DIRECTORY_SLOTS; slot++) set(slot, this.#mapped(1, at(slot)));
  }

  /**
   * The new value for `value`, which covers addresses from `level` on, after the boundaries [from, to) within
   * them.
   */
  #node(level: number, value: number, from: number, to: number): number {
    const old = value < 0 ? this.#view(value) : undefined;
    if (old !== undefined && old.count > SPLICED_INTERVALS) return this.#spliced(level, old, from, to);
    const made = this.#cleared(level);
    let chunk = 0; // those before it are copied
    for (let i = from; i < to; ) {
      const next = this.#chunks.at(i, level);
      this.#copy(level, value, old, chunk, next, made);
      const end = this.#chunks.groupEnd(i, to, level);
      i = this.#toggleStart(i, end, level);
      chunk = next;
      if (i === end) continue;
      made.push(chunk, this.#node(level + 1, old === undefined ? value : old.valueAt(chunk), i, end));
      chunk++;
      i = end;
    }
    this.#copy(level, value, old, chunk, CHUNKS, made);
    return this.#finish(old, made);
  }

  /** Likewise for a large node: makes only the differing stretches, and short gaps between them. */
  #spliced(level: number, old: NodeView, from: number, to: number): number {
    const made = this.#cleared(level);
    const splice = new Splice(old, made);
    let chunk = 0; // those before it are done
    if (this.#toggled.length > 0) splice.open(0);
    for (let i = from; i < to; ) {
      const next = this.#chunks.at(i, level);
      const isFar =
        this.#toggled.length === 0 &&
        (!splice.isOpen || old.indexOf(next) - old.indexOf(chunk) > NEAR_INTERVALS);
      if (isFar) {
        if (splice.isOpen) splice.close(chunk);
        splice.open(next);
      } else this.#copy(level, 0, old, chunk, next, made);
      const end = this.#chunks.groupEnd(i, to, level);
      i = this.#toggleStart(i, end, level);
      chunk = next;
      if (i === end) continue;
      made.push(chunk, this.#node(level + 1, old.valueAt(chunk), i, end));
      chunk++;
      i = end;
    }
    if (this.#toggled.length > 0) {
      this.#copy(level, 0, old, chunk, CHUNKS, made);
      chunk = CHUNKS;
    }
    splice.close(chunk);
    return this.#finishSplice(old, splice);
  }

  #finishSplice(old: NodeView, splice: Splice): number {
    const shape = splice.shape();
    if (shape !== undefined) {
      const address = this.#take(shape);
      const value = splice.write(this.#memory.views, this.#move, address, shape);
      if (value !== undefined) {
        this.#drop(old);
        return value;
      }
      this.#untake(shape);
    }
    this.#unfolded.clear();
    splice.unfold(this.#unfolded);
    return this.#finish(old, this.#unfolded);
  }

  /** Appends the intervals of a value in chunks [from, to), as toggled now. */
  #copy(
    level: number,
    value: number,
    old: NodeView | undefined,
    from: number,
    to: number,
    made: Intervals,
  ): void {
    if (from >= to) return;
    if (old === undefined) {
      made.push(from, this.#mapped(level + 1, value));
      return;
    }
    if (this.#toggled.length === 0) {
      old.appendTo(made, from, to);
      return;
    }
    let index = old.indexOf(from);
    for (let start = from; start < to; start = old.start(index)) {
      made.push(start, this.#mapped(level + 1, old.value(index)));
      if (++index === old.count) return;
    }
  }

  /** The new value for a value whose addresses are all toggled alike. */
  #mapped(level: number, value: number): number {
    if (this.#toggled.length === 0) return value;
    if (value >= 0) return this.#classOf(value);
    const made = this.#cleared(level);
    const old = this.#view(value);
    for (let i = 0; i < old.count; i++) made.push(old.start(i), this.#mapped(level + 1, old.value(i)));
    return this.#finish(old, made);
  }

  #finish(old: NodeView | undefined, made: Intervals): number {
    if (old !== undefined) this.#drop(old);
    if (made.count === 1) return made.values[0]!; // exactly one
    const shape = nodeShape(made, this.#width);
    const address = this.#take(shape); // for which memory may grow, and get other views
    return writeNode(this.#memory.views, address, made, shape);
  }

  /**
   * The node that a value leads to. The latest is kept, for what V8 has compiled for objects of a kind goes
   * with the last of them, and garbage is collected between most edits.
   */
  #view(value: number): NodeView {
    this.#latest = new NodeView(this.#memory.views, value, this.#width);
    return this.#latest;
  }

  /** The class of an address after the present toggles. */
  #classOf(classId: number): number {
    const toggled = this.#toggled;
    if (toggled.length !== 1) return this.sets.toggled(classId, toggled);
    const predicate = toggled[0]!; // exactly one
    const slot = (Math.imul(classId, 0x9e3779b1) ^ predicate) & (MEMO_SLOTS - 1);
    if (this.#memoFrom[slot] !== classId || this.#memoBy[slot] !== predicate) {
      this.#memoTo[slot] = this.sets.toggled(classId, toggled);
      this.#memoFrom[slot] = classId;
      this.#memoBy[slot] = predicate;
    }
    return this.#memoTo[slot]!; // slot < MEMO_SLOTS
  }

  #take(shape: NodeShape): number {
    const address = this.#heap.take(shape.bytes);
    this.#changes.taken.push(address, shape.bytes);
    this.#changes.bounds += shape.bounds;
    this.#changes.bytes += shape.bytes;
    return address;
  }

  /** Undoes the last `take`. */
  #untake(shape: NodeShape): void {
    const { taken } = this.#changes;
    const bytes = taken.pop() ?? 0;
    this.#heap.giveBack(taken.pop() ?? 0, bytes);
    this.#changes.bounds -= shape.bounds;
    this.#changes.bytes -= bytes;
  }

  #drop({ address, shape }: NodeView): void {
    this.#changes.dropped.push(address, shape.bytes);
    this.#changes.bounds -= shape.bounds;
    this.#changes.bytes -= shape.bytes;
  }

  #cleared(level: number): Intervals {
    this.#scratch[level] ??= new Intervals();
    this.#scratch[level].clear();
    return this.#scratch[level];
  }

  /**
   * Toggles what changes at the first address of the chunk of boundary i; returns the first boundary after
   * it.
   */
  #toggleStart(from: number, end: number, level: number): number {
    let i = from;
    while (i < end && this.#chunks.isStart(i, level)) this.#toggle(this.#predicates[i++]!); // i < count
    return i;
  }

  #toggle(predicate: number): void {
    const at = this.#toggled.indexOf(predicate);
    if (at < 0) this.#toggled.push(predicate);
    else this.#toggled.splice(at, 1);
  }
}
