/**
 * What a code of names knows of names: the tree of their characters, and contexts that remember how decisions
 * fell before, on a range coder. CONTENT.md "Codes of names".
 *
 * A character is some decisions down a fixed tree. Each is foretold by the two characters before it, and by
 * the four before it in a table that is found by their hash and filled from the former; what both say is
 * averaged by how much the latter has seen. All of it is integers, so that every machine foretells the same.
 */

import { KeyByte } from '@rulecast/rules';
import { LEAF, SLOT_BITS_MAX, SYMBOLS } from './name-layout.ts';

const END_SYMBOL = 0;
const CHARACTERS = '-0123456789_abcdefghijklmnopqrstuvwxyz';

/** How many decisions each takes: what is frequent in names takes few. The leaves of the tree, in order. */
export const DEPTHS = [
  3, 4, 6, 7, 7, 7, 8, 8, 8, 9, 9, 8, 9, 9, 4, 6, 6, 5, 4, 6, 6, 5, 4, 7, 7, 6, 5, 4, 4, 6, 6, 5, 4, 5, 6, 6,
  5, 6, 7, 7,
] as const;

/** The number of each byte of a key; 255 for bytes that keys do not have. */
export const SYMBOL_OF = new Uint8Array(256).fill(255);
/** The byte of each number; that of the end says that an entry is the name itself. */
export const BYTE_OF = new Uint8Array(SYMBOLS);

/** The way down to each character: its decisions as bits, the first the most significant, below a 1. */
export const PATHS = new Uint16Array(SYMBOLS);
/** Twice a node, and the decision: the node it leads to, or 64 and a character. */
export const NEXT = new Uint8Array(2 * SYMBOLS);

defineCharacters();
defineTree();

function defineCharacters(): void {
  for (let end = KeyByte.self; end < KeyByte.separator; end++) SYMBOL_OF[end] = END_SYMBOL;
  for (const [i, byte] of [KeyByte.separator, ...Buffer.from(CHARACTERS)].entries()) {
    SYMBOL_OF[byte] = i + 1;
    BYTE_OF[i + 1] = byte;
  }
  BYTE_OF[END_SYMBOL] = KeyByte.self;
}

/** Each character's path is the next one that is free, from the left. Nodes are numbered level by level. */
function defineTree(): void {
  let path = 0;
  let depth = 0;
  DEPTHS.forEach((next, symbol) => {
    path = symbol === 0 ? 0 : path + 1;
    path = next >= depth ? path << (next - depth) : path >> (depth - next);
    depth = next;
    PATHS[symbol] = (1 << depth) | path;
  });
  const leaves = new Map(Array.from(PATHS, (way, symbol) => [way, symbol]));
  const inner = [1]; // ways of nodes
  for (let node = 0; node < inner.length; node++) {
    for (const decision of [0, 1]) {
      const way = 2 * (inner[node] ?? 1) + decision;
      const symbol = leaves.get(way);
      if (symbol === undefined) inner.push(way);
      NEXT[2 * node + decision] = symbol === undefined ? inner.length - 1 : LEAF | symbol;
    }
  }
}

// ── Contexts ───────────────────────────────────────────────────────────────────────────────────────────────

/*
 * A context is 16 bits: the chance of decision 0 in units of 1/4,096, and below it how many decisions it has
 * seen, at most 15. With the n-th it moves by 1/(n + 2) of the way, later by 1/17.
 */

/** By what a context has seen: 65,536 / (n + 2), rounded up. */
export const PACES = Uint16Array.of(
  32_768,
  21_846,
  16_384,
  13_108,
  10_923,
  9_363,
  8_192,
  7_282,
  6_554,
  5_958,
  5_462,
  5_042,
  4_682,
  4_370,
  4_096,
  3_856,
);
/** By what the context of four characters has seen: its share of the chance, in units of 1/256. */
export const SHARES = Uint8Array.of(
  52,
  86,
  110,
  128,
  143,
  154,
  163,
  171,
  178,
  183,
  188,
  192,
  196,
  200,
  203,
  205,
);

/** Slots of the table of four characters, as a power of two. */
const SLOT_BITS_MIN = 10;

/** Which bits of a hash tell the slot, in a code of so many names. */
export function slotMask(names: number): number {
  let bits = SLOT_BITS_MIN;
  while (bits < SLOT_BITS_MAX && 2 ** (bits + 1) < names) bits++;
  return 2 ** bits - 1;
}
