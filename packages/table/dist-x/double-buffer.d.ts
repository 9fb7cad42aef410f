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
import { type Image } from './layout.ts';
/** What another thread needs to read a table. Structured-cloneable; all of it is shared memory. */
export interface TableHandle {
    readonly control: SharedArrayBuffer;
    readonly buffers: readonly [SharedArrayBuffer, SharedArrayBuffer];
}
/** A reader did not let go of the standby in time. Try again later, or evict the reader if it is dead. */
export declare class TablePinnedError extends Error {
    readonly code = "standby-pinned";
    /** The reader slots waited for. */
    readonly slots: readonly number[];
    constructor(slots: readonly number[], waitedMs: number);
}
export declare class DoubleBuffer {
    readonly handle: TableHandle;
    private readonly control;
    private active;
    /** Reserves address space for two images of `maxBytes`; memory is taken only as images grow, and never given back. */
    constructor(maxBytes: number);
    /** Bytes that both buffers have taken. */
    get reservedBytes(): number;
    /** The buffer that no new reader will look at. */
    get standby(): SharedArrayBuffer;
    /**
     * Makes the standby free to write and large enough. Throws TablePinnedError if a reader has not left it within
     * `waitMs`, TableLimitError if it cannot grow so far; the image in force is untouched either way.
     */
    openStandby(bytes: number, waitMs: number): SharedArrayBuffer;
    /** Puts the standby in force. */
    flip(): void;
    /** The image in force. */
    image(): Image;
    /** Frees the slot of a reader whose thread has ended. Evicting a living one lets it read bytes while they change. */
    evict(slot: number): void;
    private awaitReaders;
    private isStill;
}
