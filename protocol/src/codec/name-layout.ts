/**
 * What `name-engine.ts` and the code in WebAssembly (`../../assembly`) agree on: how many contexts there are
 * of each kind, and where everything lies in the memory of a code of names. Plain numbers, for both compilers
 * read this file.
 *
 *   0 │ tables of name-model.ts │ the last name, the next, the wanted │ contexts │ a stretch of keys │ the code
 */

// ── Contexts ───────────────────────────────────────────────────────────────────────────────────────────────

/** Characters by number, in the order of keys: end, separator, `-`, digits, `_`, letters. */
export const SYMBOLS = 40;
/** In place of a node: this and a character. */
export const LEAF = 64;
/** Contexts of a tree of characters: it has 39 nodes that are no leaves. */
export const NODES = 40;
/** Lengths below this have a way of six decisions; the others say the rest in eight bits more. */
export const LONG = 63;
export const LONG_BITS = 8;
export const LENGTH_NODES = 64;
/** What numbers are about; name-engine.ts says what. */
export const COUNTS = 4;
export const COUNT_NODES = 32;
export const COUNT_HEADS = 8;
/** So many bits below the first of a number are foretold, the others not. */
export const HEAD_BITS = 3;
/** Contexts of a slot: as many as a processor fetches at once, 64 bytes. */
export const SLOT_NODES = 32;

/** Where contexts of each kind begin. */
export const PAIRS = 0;
export const FIRSTS = PAIRS + SYMBOLS * SYMBOLS * NODES;
export const LENGTHS = FIRSTS + 6 * SYMBOLS * NODES;
export const NUMBERS = LENGTHS + 2 * (LONG + 1) * LENGTH_NODES;
export const ENDS = NUMBERS + COUNTS * (COUNT_NODES + COUNT_NODES * COUNT_HEADS);
export const SLOTS = (ENDS + 3 * 2 + SLOT_NODES - 1) & -SLOT_NODES;
/** Slots of the table of four characters, as a power of two: at most 2 MiB. */
export const SLOT_BITS_MAX = 15;

// ── Memory ─────────────────────────────────────────────────────────────────────────────────────────────────

export const SYMBOL_OF_AT = 0;
export const BYTE_OF_AT = 256;
export const DEPTHS_AT = 320;
export const NEXT_AT = 384;
export const PATHS_AT = 512;
export const PACES_AT = 640;
export const SHARES_AT = 672;
/** Room for a key each, and something behind it. */
export const LAST_AT = 1024;
export const BELOW_AT = 1536;
export const WANTED_AT = 2048;
export const CONTEXTS_AT = 4096;
/** Whole keys: what is to be said, or was read. */
export const KEYS_AT = CONTEXTS_AT + 2 * (SLOTS + (1 << SLOT_BITS_MAX) * SLOT_NODES);
export const KEYS_BYTES = 65536;
export const CODE_AT = KEYS_AT + KEYS_BYTES;
/** No name or number is longer in a code: 254 characters of nine decisions of ten bits. */
export const SAID_MAX_BYTES = 4096;

// ── Faults ─────────────────────────────────────────────────────────────────────────────────────────────────

/** Why a name cannot be, instead of its length. */
export const SHARES_TOO_MUCH = -1;
export const IS_NOT_ABOVE = -2;
export const IS_NO_NAME = -3;
export const IS_TOO_LONG = -4;
export const IS_THERE = -5;
/** Of names that are read in one go: the code has ended before, and there are more bytes than permitted. */
export const ENDS_TOO_SOON = -6;
export const ARE_TOO_MANY = -7;
