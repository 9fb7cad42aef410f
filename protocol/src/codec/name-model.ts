/**
 * What a code of names knows of names: the tree of their characters, and contexts that remember how decisions
 * fell before, on a range coder. PROTOCOL.md "Codes of names".
 *
 * A character is some decisions down a fixed tree. Each is foretold by the two characters before it, and by
 * the four before it in a table that is found by their hash and filled from the former; what both say is
 * averaged by how much the latter has seen. All of it is integers, so that every machine foretells the same.
 */

import { KeyByte } from '@rulecast/rules';

/** Characters by number, in the order of keys: end, separator, `-`, digits, `_`, letters. */
export const SYMBOLS = 40;
export const END_SYMBOL = 0;
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
export const LEAF = 64;

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

/**
 * A context is 16 bits: the chance of decision 0 in units of 1/4,096, and below it how many decisions it has
 * seen, at most 15. With the n-th it moves by 1/(n + 2) of the way, later by 1/17.
 */
const CONTEXT_START = 0x8000;
export const SEEN_MAX = 15;
export const CHANCE_BITS = 0xfff0;
/** Of chances in units of 1/65,536, as the coder takes them. */
export const CHANCE_LEAST = 64;
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

/** Contexts of a tree of characters: it has 39 nodes that are no leaves. */
export const NODES = 40;
/** Lengths below this have a way of six decisions; the others say the rest in eight bits more. */
export const LONG = 63;
export const LONG_BITS = 8;
export const LENGTH_NODES = 64;
/** What numbers are about. */
export const Count = { kept: 0, removed: 1, passed: 2, unchanged: 3 } as const;
const COUNTS = 4;
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
export const SLOTS = Math.ceil((ENDS + 3 * 2) / SLOT_NODES) * SLOT_NODES;

/** Slots of the table of four characters, as a power of two: at most 2 MiB. */
const SLOT_BITS_MIN = 10;
const SLOT_BITS_MAX = 15;

/** Contexts for a code of so many names. */
export function newContexts(names: number): Uint16Array {
  return new Uint16Array(SLOTS + (slotMask(names) + 1) * SLOT_NODES).fill(CONTEXT_START);
}

export function slotMask(names: number): number {
  let bits = SLOT_BITS_MIN;
  while (bits < SLOT_BITS_MAX && 2 ** (bits + 1) < names) bits++;
  return 2 ** bits - 1;
}

/** Where a node has its context in a slot: the last seven, seldom met, share those of the seven before. */
export function slotNode(node: number): number {
  return node - 7 * (node >>> 5);
}

/** What becomes of a context that was `state`. */
export function learned(state: number, decision: number): number {
  const seen = state & SEEN_MAX;
  const pace = PACES[seen]!; // seen is at most 15
  const chance = state & CHANCE_BITS;
  // Rounded down, also where it goes down. No branch: which way it goes is what nobody foretells.
  const moved = chance + (Math.imul(((decision ^ 1) << 16) - chance, pace) >> 16);
  return (Math.max(moved, CHANCE_LEAST) & CHANCE_BITS) | (seen < SEEN_MAX ? seen + 1 : seen);
}
