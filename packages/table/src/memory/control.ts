/**
 * The bytes of a table: one shared memory with the control block, scratch memory for each reader, and the
 * heap, in which generations lie. All words are 32 bits, little-endian as all machines that Node runs on.
 *
 *   control block │ readers' scratch │ heap: headers, directories, nodes, owners, programs, hits, shares of them
 *
 *   control  word 1    first byte of the header of the generation in force
 *            word 2    bytes of the memory that it needs
 *            word 3    first byte in use by the generation in force and those that readers may see
 *            word 4    first byte after them: for the writer that comes after one that died
 *            word 16   by reader slot, 16 words each, on a cache line of its own: 1 if taken
 *                      and in the word after it: the first byte of the header that the reader holds, 0 while it holds none
 */

// Fixed by the layout.
export const ControlField = { header: 1, memoryBytes: 2, usedFrom: 3, usedTo: 4 } as const;
export const READER_FIRST_WORD = 16;
const READER_WORDS = 16;
/** Reader slots of a table. Our choice: more readers than cores only wait for each other. */
export const READER_SLOTS = 64;
/**
 * Bytes of a reader's scratch memory: lists for a tile, columns that are copied in, columns for the reader to
 * fill (lookup/engine.ts). Untouched pages take no memory.
 */
export const SCRATCH_BYTES = 2 ** 18;
const CONTROL_BYTES = 8192;
export const HEAP_FIRST_BYTE = CONTROL_BYTES + (READER_SLOTS + 1) * SCRATCH_BYTES;
/** A cache line. */
export const LINE_BYTES = 64;

/** The control word that marks a reader slot as taken. */
export function takenWord(slot: number): number {
  return READER_FIRST_WORD + slot * READER_WORDS;
}

/** The control word with the header that the reader of a slot holds. */
export function holdWord(slot: number): number {
  return takenWord(slot) + 1;
}

/**
 * The first byte of a reader's scratch memory. Slot READER_SLOTS is the table's own reader, which has no
 * hold.
 */
export function scratchOf(slot: number): number {
  return CONTROL_BYTES + slot * SCRATCH_BYTES;
}

/** The word, its first, with which the engine compares the header in force. */
export function heldWord(slot: number): number {
  return scratchOf(slot) >>> 2;
}
