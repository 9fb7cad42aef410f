/**
 * Switches the generation in force by one word, and tells which memory no reader can see any more, by hazard
 * pointers (Michael, "Hazard pointers", 2004), each to the header of a generation.
 *
 *   writer   write what is new beside what is in force ─▶ store header ─▶ later: load all holds, free what none needs
 *   reader   load header ─▶ store it as own hold ─▶ load header again: the same? ─▶ look up ─▶ … ─▶ clear own hold
 *
 * A hold outlives the lookup: the engine compares the header in force with the one held before each lookup,
 * and only where a flip is seen is the hold renewed. It is given up at the end of the turn of the event loop,
 * so that a reader with nothing to do holds nothing; one that blocks its thread gives it up itself, or holds
 * what it holds.
 *
 * All these are sequentially consistent. Lifetime: the second load comes before the flip that takes the
 * header out of force, and that flip before the scan of holds that frees anything of it. So the scan sees the
 * hold, or what the same reader stored later; that comes after all its looks, which are then over before
 * memory is reused. Visibility: the second load reads from the flip, and so sees all that was written before.
 * The quick check orders nothing: if the header is the one held, the hold is valid, however old the answer
 * is. A header that is held cannot be used again for another generation; one that was reused before it was
 * held is what is in force.
 *
 * Nobody ever waits for the other, but for the reader's second load, which fails only where a flip falls
 * between the two. What a sleeping reader holds is bounded by the writer (image/space.ts). A dead reader
 * holds memory until a caller that knows of its death calls `evict`.
 */

import { ControlField, heldWord, holdWord, READER_FIRST_WORD, READER_SLOTS, takenWord } from './control.ts';
import type { WasmMemory, WasmModule } from './memory.ts';

/** The data with which another thread reads a table. Structured-cloneable; all of it is shared. */
export interface TableHandle {
  readonly memory: WasmMemory;
  /** The engine, compiled once for all threads. */
  readonly module: WasmModule;
}

/** The words of a flip, for the generation that the writer has prepared. */
export interface TableFlip {
  /** First byte of the header of the generation. */
  readonly header: number;
  /** Bytes of the memory that readers of it need. */
  readonly memoryBytes: number;
}

/**
 * Puts a prepared generation in force, from any thread that the writer has told of it by a message. The
 * writer prepares no other until it knows of the flip (`Table.settle`).
 */
export function flipTable({ memory }: TableHandle, { header, memoryBytes }: TableFlip): void {
  const control = new Int32Array(memory.buffer, 0, READER_FIRST_WORD);
  // Each store orders all plain stores before it, and those of a writer in another thread before its message:
  // a reader that sees the header sees the image, and a large enough memory.
  Atomics.store(control, ControlField.memoryBytes, memoryBytes);
  Atomics.store(control, ControlField.header, header);
}

/** Readers hold all memory that is left. Try again later, or evict those that are dead. */
export class TablePinnedError extends Error {
  readonly code = 'standby-pinned';
  /** The reader slots waited for. */
  readonly slots: readonly number[];

  constructor(slots: readonly number[], waitedMs: number) {
    super(
      `readers ${slots.join(', ')} have been looking at the table's old memory for over ${waitedMs} ms: try again, or evict them if their threads ended`,
    );
    this.name = 'TablePinnedError';
    this.slots = slots;
  }
}

/** A reader slot that holds a header. */
export interface Hold {
  readonly slot: number;
  readonly header: number;
}

/** The bytes of the memory from the first in use to the last. */
export interface UsedBytes {
  readonly from: number;
  readonly to: number;
}

/** The writer's side of the control block. */
export class ReaderHolds {
  readonly #control: Int32Array;

  constructor(control: Int32Array) {
    this.#control = control;
  }

  /** The first byte of the header in force. */
  inForce(): number {
    // Sees the flip of a thread that reported it by a message, and orders the scan of holds behind it.
    return Atomics.load(this.#control, ControlField.header) >>> 0;
  }

  /**
   * Notes the bounds of the memory that readers may see, and of the prepared generation: for the next writer.
   */
  noteUsed({ from, to }: UsedBytes): void {
    // Each bound is right by itself, so this writer may die between the stores: the prepared generation is
    // not in force yet, and freed memory is out of every reader's sight.
    Atomics.store(this.#control, ControlField.usedFrom, from);
    Atomics.store(this.#control, ControlField.usedTo, to);
  }

  /** As noted by the writer before this one. */
  used(): UsedBytes {
    // Its thread is gone: all that it stored is seen.
    const from = Atomics.load(this.#control, ControlField.usedFrom) >>> 0;
    return { from, to: Atomics.load(this.#control, ControlField.usedTo) >>> 0 };
  }

  /** The readers' holds; a hold may be outdated until its reader notices the flip. */
  all(): readonly Hold[] {
    const holds: Hold[] = [];
    for (let slot = 0; slot < READER_SLOTS; slot++) {
      // After the flip, which `inForce` has seen: a hold that is not seen here is followed by a load of the
      // new header. And orders what comes after it behind the looks of a reader that holds nothing more.
      const header = Atomics.load(this.#control, holdWord(slot)) >>> 0;
      if (header !== 0) holds.push({ slot, header });
    }
    return holds;
  }

  /** Waits, blocking the thread, for a hold that is seen to change, or for so long. */
  awaitChange({ slot, header }: Hold, waitMs: number): void {
    // Readers need not wake it; it looks again by itself.
    Atomics.wait(this.#control, holdWord(slot), header | 0, waitMs);
  }

  /**
   * Frees the slot of a reader whose thread has ended. Evicting a living one lets it read bytes while they
   * change.
   */
  evict(slot: number): void {
    if (!Number.isInteger(slot) || slot < 0 || slot >= READER_SLOTS)
      throw new RangeError(`no reader slot ${slot}`);
    // No look. Before the slot is freed, so that the next owner starts without a hold.
    Atomics.store(this.#control, holdWord(slot), 0);
    // After this store, the slot may be taken again.
    Atomics.store(this.#control, takenWord(slot), 0);
  }
}

/** The readers of this thread that hold a generation: for a writer that is about to block it. */
const holding = new Set<ReaderHold>();

/** Ends the holds of all readers of this thread; none of them is within a lookup. */
export function restHere(): void {
  for (const hold of holding) hold.rest();
}

/** A reader's side of the control block: one slot, until `release`. */
export class ReaderHold {
  readonly slot: number;
  readonly #control: Int32Array;
  readonly #word: number;
  readonly #heldWord: number;
  #isArmed = false; // whether this turn ends with a rest

  /**
   * Takes a slot. Its hold is also in a word of its scratch memory, which only this thread reads. Throws
   * RangeError if there is no slot.
   */
  constructor(control: Int32Array) {
    this.#control = control;
    this.slot = takeSlot(control);
    this.#word = holdWord(this.slot);
    this.#heldWord = heldWord(this.slot);
    this.rest();
  }

  /** Holds the generation in force, to the end of the turn at most; returns the first byte of its header. */
  renew(): number {
    const control = this.#control;
    let header = Atomics.load(control, ControlField.header);
    for (;;) {
      // Before the load below, as the protocol above needs.
      Atomics.store(control, this.#word, header);
      // If it is still in force, the thread that replaces it will see the hold. Sees everything written
      // before the flip.
      const again = Atomics.load(control, ControlField.header);
      if (again === header) break;
      header = again;
    }
    control[this.#heldWord] = header;
    holding.add(this);
    if (!this.#isArmed) {
      this.#isArmed = true;
      queueMicrotask(this.#endTurn);
    }
    return header >>> 0;
  }

  /** Holds nothing from now on. */
  rest(): void {
    this.#control[this.#heldWord] = 0;
    holding.delete(this);
    // After all reads of the held generation: a writer that sees it may reuse the memory.
    Atomics.store(this.#control, this.#word, 0);
  }

  readonly #endTurn = (): void => {
    this.#isArmed = false;
    if (holding.has(this)) this.rest();
  };

  /** Bytes of memory that the generation held needs. */
  memoryBytes(): number {
    // Loaded after the header: at least the size at the time of its store.
    return Atomics.load(this.#control, ControlField.memoryBytes) >>> 0;
  }

  /** Releases the slot. */
  release(): void {
    this.rest();
    // After all this reader's looks: the slot's next owner starts without a hold.
    Atomics.store(this.#control, takenWord(this.slot), 0);
  }
}

function takeSlot(control: Int32Array): number {
  for (let slot = 0; slot < READER_SLOTS; slot++) {
    // One of several readers that see a free slot takes it; also orders its last owner's stores before ours.
    if (Atomics.compareExchange(control, takenWord(slot), 0, 1) === 0) return slot;
  }
  throw new RangeError(`all ${READER_SLOTS} reader slots of the table are taken: close a reader first`);
}
