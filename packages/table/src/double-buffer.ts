/**
 * Two images and the word that says which is in force: the writer's side of the left-right technique (Ramalhete and
 * Correia, "Left-Right: a concurrency control technique with wait-free population oblivious reads", 2013).
 *
 *   writer   wait until no reader can be in the standby ─▶ write it ─▶ store active
 *   reader   make own pin odd ─▶ load active ─▶ look up ─▶ make own pin even
 *
 * All these are sequentially consistent. If the writer sees a pin even after it stored `active`, the reader's next pin comes
 * after that store, so the reader will load the new `active`. A pin seen odd may be in the old image; once its
 * word has changed, that look is over. So the writer waits for each pin that is odd to change, once, and a reader that
 * never pauses does not hold it up. A reader that died within a look does: the writer gives up after a bounded wait, the
 * image in force stays, and whoever knows that the reader is dead says so with `evict`.
 */

import { setTimeout } from 'node:timers/promises';
import {
  CONTROL_BYTES,
  ControlField,
  type Image,
  openImage,
  pinWord,
  READER_SLOTS,
  takenWord,
} from './layout.ts';
import { TableLimitCode, TableLimitError } from './limits.ts';

/** What another thread needs to read a table. Structured-cloneable; all of it is shared memory. */
export interface TableHandle {
  readonly control: SharedArrayBuffer;
  readonly buffers: readonly [SharedArrayBuffer, SharedArrayBuffer];
}

/** A reader did not let go of the standby in time. Try again later, or evict the reader if it is dead. */
export class TablePinnedError extends Error {
  readonly code = 'standby-pinned';
  /** The reader slots waited for. */
  readonly slots: readonly number[];

  constructor(slots: readonly number[], waitedMs: number) {
    super(
      `readers ${slots.join(', ')} have been looking at the table's old image for over ${waitedMs} ms: try again, or evict them if their threads ended`,
    );
    this.name = 'TablePinnedError';
    this.slots = slots;
  }
}

/** Growth goes by steps of this many bytes, so that small changes of size do not each grow a buffer. */
const GROWTH_STEP_BYTES = 65536;
/** How long one sleep of the waiting writer lasts. A look takes microseconds, a large batch milliseconds. */
const WAIT_STEP_MS = 1;

export class DoubleBuffer {
  readonly handle: TableHandle;
  private readonly control: Int32Array;
  private active: 0 | 1 = 0;

  /** Reserves address space for two images of `maxBytes`; memory is taken only as images grow, and never given back. */
  constructor(maxBytes: number) {
    const reserve = (): SharedArrayBuffer => new SharedArrayBuffer(0, { maxByteLength: maxBytes });
    this.handle = { control: new SharedArrayBuffer(CONTROL_BYTES), buffers: [reserve(), reserve()] };
    this.control = new Int32Array(this.handle.control);
  }

  /** Bytes that both buffers have taken. */
  get reservedBytes(): number {
    return this.handle.buffers[0].byteLength + this.handle.buffers[1].byteLength;
  }

  /** The buffer that no new reader will look at. */
  get standby(): SharedArrayBuffer {
    return this.handle.buffers[this.active === 0 ? 1 : 0];
  }

  /**
   * Makes the standby free to write and large enough. Throws TablePinnedError if a reader has not left it within
   * `waitMs`, TableLimitError if it cannot grow so far; the image in force is untouched either way.
   */
  openStandby(bytes: number, waitMs: number): SharedArrayBuffer {
    this.awaitReaders(waitMs);
    growTo(this.standby, bytes);
    return this.standby;
  }

  /**
   * Resolves once no reader can be in the standby, which then stays free until the next flip, also for another thread to
   * write. Rejects with TablePinnedError if a reader has not left it within `waitMs`. Does not block this thread.
   */
  async readersLeft(waitMs: number): Promise<void> {
    const pins = this.pins();
    const deadline = performance.now() + waitMs;
    for (let slots = this.stillPinned(pins); slots.length > 0; slots = this.stillPinned(pins)) {
      if (performance.now() >= deadline) throw new TablePinnedError(slots, waitMs);
      await setTimeout(WAIT_STEP_MS);
    }
  }

  /** Puts the standby in force. */
  flip(): void {
    this.active = this.active === 0 ? 1 : 0;
    // Orders every plain store to the standby before the index: a reader that loads it sees the whole image.
    Atomics.store(this.control, ControlField.active, this.active);
  }

  /** The image in force. */
  image(): Image {
    return openImage(this.handle.buffers[this.active]);
  }

  /** Frees the slot of a reader whose thread has ended. Evicting a living one lets it read bytes while they change. */
  evict(slot: number): void {
    if (!Number.isInteger(slot) || slot < 0 || slot >= READER_SLOTS)
      throw new RangeError(`no reader slot ${slot}`);
    // Even: no look. Before the slot is freed, so that the next owner starts from even.
    Atomics.and(this.control, pinWord(slot), ~1);
    // After it, the slot may be taken again.
    Atomics.store(this.control, takenWord(slot), 0);
  }

  private awaitReaders(waitMs: number): void {
    const pins = this.pins();
    const deadline = performance.now() + waitMs;
    for (const [slot, pin] of pins) {
      // Sleeps while the pin is as it was. Nobody wakes it, so that readers need not; it looks again by itself.
      while (this.isPinned(slot, pin)) {
        const leftMs = deadline - performance.now();
        if (leftMs <= 0) throw new TablePinnedError(this.stillPinned(pins), waitMs);
        Atomics.wait(this.control, pinWord(slot), pin, Math.min(WAIT_STEP_MS, leftMs));
      }
    }
  }

  /** The pins of the readers that may be in the standby. */
  private pins(): ReadonlyMap<number, number> {
    const pins = new Map<number, number>();
    for (let slot = 0; slot < READER_SLOTS; slot++) {
      // Comes after the store of `active` in `flip`: an even pin seen here means that the next look is elsewhere.
      const pin = Atomics.load(this.control, pinWord(slot));
      if ((pin & 1) === 1) pins.set(slot, pin);
    }
    return pins;
  }

  private isPinned(slot: number, pin: number): boolean {
    // A change seen here comes after all the reader's loads, so the writer's stores cannot overtake them.
    return Atomics.load(this.control, pinWord(slot)) === pin;
  }

  private stillPinned(pins: ReadonlyMap<number, number>): readonly number[] {
    return [...pins].filter(([slot, pin]) => this.isPinned(slot, pin)).map(([slot]) => slot);
  }
}

/** Makes a buffer hold at least `bytes`. Throws TableLimitError if it cannot. In any thread. */
export function growTo(buffer: SharedArrayBuffer, bytes: number): void {
  if (buffer.byteLength >= bytes) return;
  const limit = buffer.maxByteLength;
  const refusal = (cause?: unknown): Error =>
    new TableLimitError(TableLimitCode.bytes, limit, `bytes, this rule set needs ${bytes}`, { cause });
  if (bytes > limit) throw refusal();
  try {
    buffer.grow(Math.min(Math.ceil(bytes / GROWTH_STEP_BYTES) * GROWTH_STEP_BYTES, limit));
  } catch (error) {
    throw refusal(error);
  }
}
