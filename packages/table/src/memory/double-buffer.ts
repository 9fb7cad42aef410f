/**
 * Which generation is in force, and which memory no reader can see any more: epoch-based reclamation (Fraser,
 * "Practical lock freedom", 2004) under a flip of one word.
 *
 *   writer   write what is new beside what is in force ─▶ store header ─▶ store epoch
 *   reader   load epoch ─▶ store it as own pin ─▶ load header ─▶ look up ─▶ clear own pin
 *
 * All these are sequentially consistent. A reader's epoch is at most that of the header it then loads, so
 * that a pin of epoch e holds all generations from e on. What a flip to generation g took out of sight is
 * free once no pin is older than g: a pin that is stored later comes with a later load of the header. Readers
 * never wait; neither does the writer, unless the memory that readers hold is all that is left. A reader that
 * died within a look holds memory until whoever knows that it is dead says so with `evict`.
 */

import { ControlField, EPOCH_MASK, PINNED, pinWord, READER_SLOTS, takenWord } from './control.ts';
import type { WasmMemory, WasmModule } from './memory.ts';

/** What another thread needs to read a table. Structured-cloneable; all of it is shared. */
export interface TableHandle {
  readonly memory: WasmMemory;
  /** The engine, compiled once for all threads. */
  readonly module: WasmModule;
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

/** How many generations `later` is after `earlier`, both epochs. */
function epochsBetween(earlier: number, later: number): number {
  return (later - earlier) & EPOCH_MASK;
}

/** The writer's side of the control block. */
export class ReaderPins {
  readonly #control: Int32Array;

  constructor(control: Int32Array) {
    this.#control = control;
  }

  /** Puts a generation in force. `memoryBytes` is what the memory has by now. */
  flip(header: number, generation: number, memoryBytes: number): void {
    const control = this.#control;
    // Each orders all plain stores before it: who sees the header sees what it leads to, and a memory large
    // enough.
    Atomics.store(control, ControlField.memoryBytes, memoryBytes);
    Atomics.store(control, ControlField.header, header);
    // After the header: a reader that pins this epoch loads no older header.
    Atomics.store(control, ControlField.epoch, generation & EPOCH_MASK);
  }

  /**
   * How many generations back from `generation`, which is in force, the oldest pin goes; -1 if nothing is
   * pinned.
   */
  oldest(generation: number): number {
    let oldest = -1;
    for (let slot = 0; slot < READER_SLOTS; slot++) {
      // Comes after the stores of `flip`: a pin that is not seen here is followed by a load of the new
      // header.
      const pin = Atomics.load(this.#control, pinWord(slot));
      if (pin !== 0) oldest = Math.max(oldest, epochsBetween(pin & EPOCH_MASK, generation & EPOCH_MASK));
    }
    return oldest;
  }

  /** The slots whose pins are older than `generation`. */
  holders(generation: number): readonly number[] {
    const slots: number[] = [];
    for (let slot = 0; slot < READER_SLOTS; slot++) {
      // Likewise.
      const pin = Atomics.load(this.#control, pinWord(slot));
      if (pin !== 0 && epochsBetween(pin & EPOCH_MASK, generation & EPOCH_MASK) > 0) slots.push(slot);
    }
    return slots;
  }

  /** Waits, blocking the thread, for a pin that is seen to change, or for so long. */
  awaitChange(slot: number, waitMs: number): void {
    // Orders what comes after it behind the change. Nobody wakes it, so that readers need not; it looks again
    // by itself.
    const pin = Atomics.load(this.#control, pinWord(slot));
    if (pin !== 0) Atomics.wait(this.#control, pinWord(slot), pin, waitMs);
  }

  /**
   * Frees the slot of a reader whose thread has ended. Evicting a living one lets it read bytes while they
   * change.
   */
  evict(slot: number): void {
    if (!Number.isInteger(slot) || slot < 0 || slot >= READER_SLOTS)
      throw new RangeError(`no reader slot ${slot}`);
    // No look. Before the slot is freed, so that the next owner starts without a pin.
    Atomics.store(this.#control, pinWord(slot), 0);
    // After it, the slot may be taken again.
    Atomics.store(this.#control, takenWord(slot), 0);
  }
}

/** A reader's side of the control block: one slot, from `take` to `release`. */
export class ReaderPin {
  readonly slot: number;
  readonly #control: Int32Array;
  readonly #word: number;

  /** Takes a slot. Throws RangeError if there is none. */
  constructor(control: Int32Array) {
    this.#control = control;
    this.slot = takeSlot(control);
    this.#word = pinWord(this.slot);
  }

  /** Pins all generations from the one in force on; returns the first byte of its header. */
  pin(): number {
    const control = this.#control;
    // At most the epoch of the header loaded below.
    const epoch = Atomics.load(control, ControlField.epoch);
    // Before the load below: a writer that does not see this pin stored `header` before it, so we load that.
    Atomics.store(control, this.#word, epoch | PINNED);
    // After the pin, and before all loads from the generation: sees everything that was stored before the
    // flip.
    return Atomics.load(control, ControlField.header) >>> 0;
  }

  unpin(): void {
    // After all loads from the generation: a writer that sees it may overwrite them.
    Atomics.store(this.#control, this.#word, 0);
  }

  /** Bytes of memory that the pinned generation needs. */
  memoryBytes(): number {
    // After the header was loaded: at least what was there when it was stored.
    return Atomics.load(this.#control, ControlField.memoryBytes) >>> 0;
  }

  release(): void {
    // After all this reader's looks: the slot's next owner starts without a pin.
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
