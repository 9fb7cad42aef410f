/**
 * The writer's memory: the pieces of the generation in force, how the next one is put beside it, and when
 * replaced pieces are free again.
 *
 *   full    ─▶ all pieces taken anew, written by any thread ─┐
 *   edit   ─▶ changed nodes, and a directory ───────────────┴─▶ flip ─▶ retired pieces ─▶ free once no reader can be there
 *
 * A full image and the edits that follow it are a cohort: they share pieces with each other, and with no
 * other cohort. A piece that a flip to generation r replaced, in a cohort that began with generation f, is
 * free iff no reader holds a generation from f to r - 1. A reader that sleeps for ever holds the pieces of
 * its own generation, and those that its cohort retired later. Once these are many, the next generation is
 * compiled in full and begins a new cohort, of which the sleeper holds nothing: nobody waits for it.
 *
 * The flip itself is done by whoever decides on it (memory/double-buffer.ts), in whatever thread, and then
 * settled here. The knowledge of the memory dies with its writer: the next one treats everything between the
 * bounds noted there as one cohort, and writes around it, so that readers go on.
 *
 * A map that edits change has two directories in turn: the one in force, and the one before it, which is
 * brought up to date slot by slot as soon as no reader can be in it. If one stays too long, a third one takes
 * its place.
 */

import type { Boundaries, ClassSets } from '../classes/classes.ts';
import { TableLimitCode, TableLimitError } from '../limits.ts';
import { MapEditor, NodeChanges } from '../map/editor.ts';
import { DIRECTORY_SLOTS, type PrefixMap } from '../map/map.ts';
import { NodeView, type ValueWidth } from '../map/node.ts';
import { HEAP_FIRST_BYTE, LINE_BYTES } from '../memory/control.ts';
import { type Hold, ReaderHolds, restHere, TablePinnedError } from '../memory/double-buffer.ts';
import { Heap } from '../memory/heap.ts';
import {
  type MemoryViews,
  type Move,
  moverOf,
  OVERREAD_BYTES,
  TableMemory,
  type WasmMemory,
  type WasmModule,
} from '../memory/memory.ts';
import { Cohort } from './cohort.ts';
import { generationAt, HEADER_BYTES, type Image, openImage, writeHeader } from './header.ts';
import { type ImagePieces, NO_PIECES, pieceList, takePieces } from './pieces.ts';

const DIRECTORY_BYTES = DIRECTORY_SLOTS * 4;
/** Slots from which on a whole directory is copied rather than each of them. */
const COPIED_SLOTS = 4096;
/**
 * The memory that readers may hold of a cohort besides half of that in use. Our choice: 16 edits, mostly
 * their directories.
 */
const HELD_BYTES = 2 ** 22;
/** Programs that are copied. Our choice: 5 ms, of a thread that others wait for. */
const COPIED_BYTES = 2 ** 25;
/** The length of one sleep of the waiting writer. A look takes microseconds, a large batch milliseconds. */
const WAIT_STEP_MS = 1;

/** A directory that is not in force. */
interface Spare {
  readonly address: number;
  /** The generation that took it out of sight. */
  readonly since: number;
  /** The slots in which it may differ from the one in force. */
  readonly slots: readonly number[];
}

/** The generation to be in force next. */
interface Pending {
  readonly image: Image;
  readonly bytes: ImagePieces;
  readonly places: ImagePieces;
  /** Undefined for a full image. */
  readonly edit: PendingEdit | undefined;
}

interface PendingEdit {
  readonly changes: NodeChanges;
  readonly maps: readonly [MapChange | undefined, MapChange | undefined];
  /** Undefined: the former ones stay. */
  readonly programs: NewPrograms | undefined;
}

/** The pieces that changed rules need of their own: a copy of the programs, and hit counters. */
type NewPrograms = Pick<ImagePieces, 'programs' | 'hits' | 'shares'>;
const NEW_PIECES = ['programs', 'hits', 'shares'] as const;

interface MapChange {
  readonly address: number;
  readonly touched: readonly number[];
}

/** The content of an edit. Families without toggles are undefined. */
interface EditOrder {
  readonly generation: number;
  readonly toggles4: Boundaries | undefined;
  readonly toggles6: Boundaries | undefined;
  readonly sets: ClassSets;
  /** Whether programs are changed, which is done to a copy. */
  readonly copiesPrograms: boolean;
}

export class TableSpace {
  readonly memory: TableMemory;
  readonly #move: Move;
  readonly #heap: Heap;
  readonly #holds: ReaderHolds;
  #current: Pending | undefined;
  #pending: Pending | undefined;
  #spares: [Spare | undefined, Spare | undefined] = [undefined, undefined];
  readonly #beforeReclaim: (floor: number, safeGeneration: number) => void;
  #editor: MapEditor | undefined; // of the classes that edits last had
  #hasOriginalNodes = false; // whether the nodes in force are still one piece
  #cohorts: readonly Cohort[] = []; // the last one is that in force; the others have something retired

  /**
   * Reserves address space for `maxBytes` bytes of generations, whose memory is used as they need it; or
   * continues in the memory of a dead writer. `beforeReclaim` is called before memory is freed: no reader can
   * see pieces that were replaced up to a generation, in the cohort that began with another.
   */
  constructor(
    code: WasmModule,
    maxBytes: number,
    beforeReclaim: (floor: number, safeGeneration: number) => void,
    other: WasmMemory | undefined,
  ) {
    this.#beforeReclaim = beforeReclaim;
    const most = HEAP_FIRST_BYTE + maxBytes + OVERREAD_BYTES;
    this.memory = other === undefined ? TableMemory.create(HEAP_FIRST_BYTE, most) : TableMemory.open(other);
    this.#move = moverOf(this.memory, code);
    this.#heap = new Heap(this.memory, HEAP_FIRST_BYTE, maxBytes);
    this.#holds = new ReaderHolds(this.memory.views.words);
    if (other !== undefined) this.#goOn();
  }

  /**
   * Which pieces are in use only the other writer knew: all between the bounds that it noted are, as one
   * piece of a cohort that the next full image retires. So the memory does not grow with each writer.
   */
  #goOn(): void {
    const { from, to } = this.#holds.used();
    const first = this.#heap.take(to - HEAP_FIRST_BYTE);
    if (from > first) this.#heap.giveBack(first, from - first);
    const nodes = to - from;
    const places = { ...NO_PIECES, nodes: from };
    const image = openImage(this.memory.views, this.#holds.inForce(), undefined);
    this.#current = { image, bytes: { ...NO_PIECES, nodes }, places, edit: undefined };
    this.#cohorts = [new Cohort(0)];
    this.#hasOriginalNodes = true;
  }

  /** The generation in force. */
  get image(): Image {
    return this.#inForce().image;
  }

  /** Bytes that the memory has taken for generations; they never shrink. */
  get reservedBytes(): number {
    return this.memory.byteLength - HEAP_FIRST_BYTE;
  }

  /** Bytes in use: of the generation in force, the next one, and those that readers may still see. */
  get liveBytes(): number {
    return this.#heap.liveBytes;
  }

  evict(slot: number): void {
    this.#holds.evict(slot);
  }

  /** Takes memory for a full image. Throws TableLimitError. */
  take(bytes: ImagePieces): ImagePieces {
    this.discard();
    this.reclaim();
    return takePieces(this.#heap, bytes);
  }

  /** An image that was written to pieces of `take`: the next to be in force. */
  open(bytes: ImagePieces, places: ImagePieces): Image {
    const image = openImage(this.memory.views, places.header, undefined);
    this.#pending = { image, bytes, places, edit: undefined };
    this.#holds.noteUsed(this.#heap.used);
    return image;
  }

  /**
   * Makes the next generation from the one in force. `editPrograms` is given the words
   * of the programs once the classes are known; if it says no, there is none. Throws TableLimitError; then
   * nothing changed.
   */
  applyEdit(order: EditOrder, editPrograms: (words: Int32Array) => boolean): EditResult | undefined {
    this.discard();
    this.reclaim();
    const before = this.#inForce();
    if (order.copiesPrograms && before.bytes.programs > COPIED_BYTES) return undefined;
    const changes = new NodeChanges();
    const maps: [MapChange | undefined, MapChange | undefined] = [undefined, undefined];
    const bounds = [0, 0];
    let programs: NewPrograms | undefined;
    let header = 0;
    try {
      for (const family of [0, 1] as const) {
        const toggles = family === 0 ? order.toggles4 : order.toggles6;
        if (toggles === undefined || toggles.count === 0) continue;
        const boundsBefore = changes.bounds;
        maps[family] = this.#editMap(family, toggles, order.sets, changes);
        bounds[family] = changes.bounds - boundsBefore;
      }
      if (order.copiesPrograms) programs = this.#copyPrograms(before);
      const { programWords } = before.image.places;
      const first = (programs?.programs ?? before.places.programs) >>> 2;
      if (!editPrograms(this.memory.views.words.subarray(first, first + programWords))) {
        this.#undo({ changes, maps, programs });
        return undefined;
      }
      header = this.#heap.take(HEADER_BYTES, LINE_BYTES);
    } catch (error) {
      this.#undo({ changes, maps, programs });
      throw error;
    }
    const image = writeEdit(this.memory.views, header, order.generation, before, maps, programs);
    const { map4, map6 } = image;
    const directories = { directory4: map4.directory, directory6: map6.directory };
    const places: ImagePieces = { ...before.places, ...programs, header, ...directories };
    const bytes: ImagePieces = {
      ...before.bytes,
      directory4: (map4.slotMask + 1) * 4,
      directory6: (map6.slotMask + 1) * 4,
      shares: places.shares === 0 ? 0 : before.bytes.shares,
    };
    this.#pending = { image, bytes, places, edit: { changes, maps, programs } };
    this.#holds.noteUsed(this.#heap.used);
    const slots = (of: Image): number => of.map4.slotMask + of.map6.slotMask;
    const grown = (slots(image) - slots(before.image)) * 4 + bytes.shares - before.bytes.shares;
    return { image, bytes: changes.bytes + grown, bounds4: bounds[0] ?? 0, bounds6: bounds[1] ?? 0 };
  }

  /** The prepared generation is in force: retires pieces that only the former one needs. */
  settle(): void {
    const next = this.#pending;
    if (next === undefined || !this.#isFlipped(next)) throw new TypeError('what is prepared is not in force');
    const { generation } = next.image;
    this.#pending = undefined;
    const before = this.#current;
    this.#current = next;
    if (next.edit !== undefined && before !== undefined) this.#retireReplaced(before, next, next.edit);
    else {
      if (before !== undefined) this.#retireAll(before, generation);
      this.#cohorts = [...this.#cohorts, new Cohort(generation)];
      this.#hasOriginalNodes = true;
    }
  }

  #isFlipped({ image }: Pending): boolean {
    return this.#holds.inForce() === image.at;
  }

  /** Forgets what is prepared. Throws TypeError if it is in force, and was not settled. */
  discard(): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    if (this.#isFlipped(pending)) throw new TypeError('what is in force was not settled');
    this.#pending = undefined;
    if (pending.edit === undefined) {
      for (const piece of pieceList(pending.bytes, pending.places))
        this.#heap.giveBack(piece.address, piece.bytes);
    } else {
      this.#heap.giveBack(pending.places.header, pending.bytes.header);
      this.#undo(pending.edit);
    }
  }

  /** Frees what no reader can see any more. */
  reclaim(): void {
    if (!this.#hasRetired()) return;
    for (const [index, cohort] of this.#cohorts.entries()) {
      const { floor } = cohort;
      const end = this.#cohorts[index + 1]?.floor ?? this.#inForce().image.generation;
      const safe = this.#safeOf(floor, end);
      this.#beforeReclaim(floor, safe);
      cohort.free(this.#heap, safe);
    }
    const { length } = this.#cohorts;
    this.#cohorts = this.#cohorts.filter(({ bytes }, index) => bytes > 0 || index === length - 1);
    this.#holds.noteUsed(this.#heap.used);
  }

  #hasRetired(): boolean {
    return this.#cohorts.some(({ bytes }) => bytes > 0);
  }

  /**
   * Whether readers hold so much of the cohort in force that a new one is better: what one that sleeps, or
   * died, may hold has a bound.
   */
  isCrowded(): boolean {
    this.reclaim();
    const retired = this.#cohorts.reduce((sum, { bytes }) => sum + bytes, 0);
    const mine = this.#cohorts.at(-1)?.bytes ?? 0;
    return mine > HELD_BYTES + (this.#heap.liveBytes - retired) / 2;
  }

  /** Whether memory would be free if readers looked away; so it is worth waiting after a refusal. */
  isHeld(error: unknown): boolean {
    return error instanceof TableLimitError && error.code === TableLimitCode.bytes && this.#hasRetired();
  }

  /**
   * Blocks until all that is retired is free. Throws TablePinnedError if a reader does not look away within
   * `waitMs`.
   */
  awaitReaders(waitMs: number): void {
    restHere();
    const deadline = performance.now() + waitMs;
    for (;;) {
      this.reclaim();
      const holders = this.#holders();
      const [first] = holders;
      if (first === undefined) return;
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) throw pinnedBy(holders, waitMs);
      this.#holds.awaitChange(first, Math.min(WAIT_STEP_MS, leftMs));
    }
  }

  /** Readers of generations that are out of force, while they hold anything. */
  #holders(): readonly Hold[] {
    if (!this.#hasRetired()) return [];
    const { at } = this.#inForce().image;
    return this.#holds.all().filter(({ header }) => header !== at);
  }

  #inForce(): Pending {
    if (this.#current === undefined) throw new TypeError('no generation is in force yet');
    return this.#current;
  }

  #retire(address: number, bytes: number, generation: number): void {
    const cohort = this.#cohorts.at(-1);
    if (cohort === undefined) throw new TypeError('no image is in force yet');
    cohort.retire(address, bytes, generation);
  }

  #retireAll(before: Pending, generation: number): void {
    const { bytes, places } = before;
    const withNodes = this.#hasOriginalNodes ? bytes : { ...bytes, nodes: 0 };
    for (const piece of pieceList(withNodes, places)) this.#retire(piece.address, piece.bytes, generation);
    if (!this.#hasOriginalNodes) {
      this.#retireNodes(before.image.map4, generation);
      this.#retireNodes(before.image.map6, generation);
    }
    // They were retired before, so out of their order; both are as old as the oldest now, to be on the safe
    // side.
    for (const spare of this.#spares)
      if (spare !== undefined) this.#retire(spare.address, DIRECTORY_BYTES, generation);
    this.#spares = [undefined, undefined];
  }

  #retireNodes({ directory, slotMask, width }: PrefixMap, generation: number): void {
    const { words } = this.memory.views;
    const first = directory >>> 2;
    for (let slot = 0; slot <= slotMask; slot++) this.#retireNode(words[first + slot]!, width, generation); // within the slots
  }

  #retireNode(value: number, width: ValueWidth, generation: number): void {
    if (value >= 0) return;
    const node = new NodeView(this.memory.views, value, width);
    this.#retire(node.address, node.shape.bytes, generation);
    for (let i = 0; i < node.count; i++) this.#retireNode(node.value(i), width, generation);
  }

  #retireReplaced(before: Pending, next: Pending, edit: PendingEdit): void {
    const { generation } = next.image;
    const { dropped } = edit.changes;
    for (let i = 0; i < dropped.length; i += 2) this.#retire(dropped[i]!, dropped[i + 1]!, generation); // in pairs
    if (dropped.length + edit.changes.taken.length > 0) this.#hasOriginalNodes = false;
    this.#retire(before.places.header, before.bytes.header, generation);
    if (edit.programs !== undefined) {
      for (const name of NEW_PIECES)
        if (before.places[name] > 0) this.#retire(before.places[name], before.bytes[name], generation);
    }
    for (const family of [0, 1] as const) {
      const change = edit.maps[family];
      if (change === undefined) continue;
      const { directory, slotMask } = family === 0 ? before.image.map4 : before.image.map6;
      if (slotMask === 0) {
        this.#retire(directory, 4, generation);
        this.#spares[family] = undefined;
      } else this.#spares[family] = { address: directory, since: generation, slots: change.touched };
    }
  }

  /** Undoes an edit's allocations; its directories become spare, and differ in the slots it touched. */
  #undo({ changes, maps, programs }: PendingEdit): void {
    const { taken } = changes;
    for (let i = 0; i < taken.length; i += 2) this.#heap.giveBack(taken[i]!, taken[i + 1]!); // in pairs
    const { bytes } = this.#inForce();
    if (programs !== undefined) {
      for (const name of NEW_PIECES) if (programs[name] > 0) this.#heap.giveBack(programs[name], bytes[name]);
    }
    for (const family of [0, 1] as const) {
      const change = maps[family];
      if (change !== undefined) this.#keepSpare(family, change);
    }
  }

  /** Keeps the directory of a generation that was never in force, and that no reader saw. */
  #keepSpare(family: 0 | 1, { address, touched }: MapChange): void {
    const { image } = this.#inForce();
    if ((family === 0 ? image.map4 : image.map6).slotMask === 0)
      this.#heap.giveBack(address, DIRECTORY_BYTES);
    else this.#spares[family] = { address, since: 0, slots: touched };
  }

  #editMap(family: 0 | 1, toggles: Boundaries, sets: ClassSets, changes: NodeChanges): MapChange {
    const address = this.#standbyDirectory(family);
    const touched: number[] = [];
    if (this.#editor?.sets !== sets) this.#editor = new MapEditor(this.memory, this.#move, this.#heap, sets);
    try {
      const { map4, map6 } = this.#inForce().image;
      if (family === 0) this.#editor.edit(address, 4, map4.width, toggles, changes, touched);
      else this.#editor.edit(address, 6, map6.width, toggles, changes, touched);
    } catch (error) {
      this.#keepSpare(family, { address, touched });
      throw error;
    }
    return { address, touched };
  }

  /** The oldest generation of the cohort in force that a reader may hold; at most that in force. */
  #oldestHeld(): number {
    return this.#safeOf(this.#cohorts.at(-1)?.floor ?? 0, this.#inForce().image.generation);
  }

  /**
   * No reader holds any of the generations from `floor` on that are before the one returned, at most `end`.
   */
  #safeOf(floor: number, end: number): number {
    const held = this.#holds.all().map(({ header }) => generationAt(this.memory.views, header));
    return held.reduce((least, one) => (one >= floor && one < least ? one : least), end);
  }

  /** A directory equal to the one in force, which no reader can see. */
  #standbyDirectory(family: 0 | 1): number {
    const { image } = this.#inForce();
    const { directory, slotMask } = family === 0 ? image.map4 : image.map6;
    const spare = this.#spares[family];
    this.#spares[family] = undefined;
    if (spare !== undefined && spare.since <= this.#oldestHeld()) {
      const { words } = this.memory.views;
      const from = directory >>> 2;
      const to = spare.address >>> 2;
      if (spare.slots.length > COPIED_SLOTS) this.#move(spare.address, directory, DIRECTORY_BYTES);
      else for (const slot of spare.slots) words[to + slot] = words[from + slot]!; // a slot
      return spare.address;
    }
    // It was retired before, so its place in this order is too late; the generation in force is the latest of
    // all.
    if (spare !== undefined) this.#retire(spare.address, DIRECTORY_BYTES, image.generation);
    const address = this.#heap.take(DIRECTORY_BYTES, LINE_BYTES);
    const { words } = this.memory.views;
    const to = address >>> 2;
    if (slotMask === 0) words.fill(words[directory >>> 2]!, to, to + DIRECTORY_SLOTS);
    else this.#move(address, directory, DIRECTORY_BYTES);
    return address;
  }

  /** Copies the programs in force, with their names, and takes hit counters. */
  #copyPrograms({ bytes, places }: Pending): NewPrograms {
    const made = takePieces(this.#heap, {
      ...NO_PIECES,
      programs: bytes.programs,
      hits: bytes.hits,
      shares: bytes.shares,
    });
    this.#move(made.programs, places.programs, bytes.programs);
    const { words } = this.memory.views;
    words.fill(0, made.hits >>> 2, (made.hits + bytes.hits) >>> 2);
    if (made.shares > 0) words.fill(0, made.shares >>> 2, (made.shares + bytes.shares) >>> 2);
    return { programs: made.programs, hits: made.hits, shares: made.shares };
  }
}

/** Writes the header of an edit. */
function writeEdit(
  views: MemoryViews,
  header: number,
  generation: number,
  { image }: Pending,
  maps: PendingEdit['maps'],
  made: NewPrograms | undefined,
): Image {
  const mapOf = (change: MapChange | undefined, map: PrefixMap): PrefixMap =>
    change === undefined ? map : { ...map, directory: change.address, slotMask: DIRECTORY_SLOTS - 1 };
  const { places } = image;
  writeHeader(views, header, {
    ...places,
    generation,
    map4: mapOf(maps[0], image.map4),
    map6: mapOf(maps[1], image.map6),
    ...(made && {
      ...made,
      names: made.programs + places.names - places.programs,
      shareCount: made.shares === 0 ? 0 : places.shareCount,
      hitsSince: generation,
    }),
  });
  return openImage(views, header, image);
}

function pinnedBy(holders: readonly Hold[], waitedMs: number): TablePinnedError {
  return new TablePinnedError(
    holders.map(({ slot }) => slot),
    waitedMs,
  );
}

/** A generation made by an edit, and what it has more than the one before. */
export interface EditResult {
  readonly image: Image;
  readonly bytes: number;
  readonly bounds4: number;
  readonly bounds6: number;
}
