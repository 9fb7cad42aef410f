/**
 * The code of names: how one name is said after another, by decisions in contexts on a range coder.
 * CONTENT.md "Codes of names". src/codec/name-engine.ts owns the memory, and wrote the tables of
 * src/codec/name-model.ts there.
 *
 * A name is what it shares with the one before, and then its characters. What is known of them, that the
 * first is above that of the name before and that all are below the next name, is not said. The same walk
 * writes and reads: it says what it is told, or what it reads, and what cannot be is never taken as said. The
 * interval and the bytes are those of src/bytes/range-coder.ts.
 */

import * as layout from '../src/codec/name-layout';

const COUNT_HEADS: u32 = layout.COUNT_HEADS;
const COUNT_NODES: u32 = layout.COUNT_NODES;
const ENDS: u32 = layout.ENDS;
const FIRSTS: u32 = layout.FIRSTS;
const HEAD_BITS: u32 = layout.HEAD_BITS;
const LEAF: u32 = layout.LEAF;
const LENGTHS: u32 = layout.LENGTHS;
const LENGTH_NODES: u32 = layout.LENGTH_NODES;
const LONG: u32 = layout.LONG;
const LONG_BITS: u32 = layout.LONG_BITS;
const NODES: u32 = layout.NODES;
const NUMBERS: u32 = layout.NUMBERS;
const PAIRS: u32 = layout.PAIRS;
const SLOTS: u32 = layout.SLOTS;
const SLOT_NODES: u32 = layout.SLOT_NODES;
const SYMBOLS: u32 = layout.SYMBOLS;
const BELOW_AT: usize = layout.BELOW_AT;
const BYTE_OF_AT: usize = layout.BYTE_OF_AT;
const CODE_AT: usize = layout.CODE_AT;
const CONTEXTS_AT: usize = layout.CONTEXTS_AT;
const DEPTHS_AT: usize = layout.DEPTHS_AT;
const KEYS_AT: usize = layout.KEYS_AT;
const KEYS_BYTES: usize = layout.KEYS_BYTES;
const LAST_AT: usize = layout.LAST_AT;
const NEXT_AT: usize = layout.NEXT_AT;
const PACES_AT: usize = layout.PACES_AT;
const PATHS_AT: usize = layout.PATHS_AT;
const SHARES_AT: usize = layout.SHARES_AT;
const SYMBOL_OF_AT: usize = layout.SYMBOL_OF_AT;
const WANTED_AT: usize = layout.WANTED_AT;
const SAID_MAX_BYTES: usize = layout.SAID_MAX_BYTES;
const ARE_TOO_MANY: i32 = layout.ARE_TOO_MANY;
const ENDS_TOO_SOON: i32 = layout.ENDS_TOO_SOON;
const IS_NOT_ABOVE: i32 = layout.IS_NOT_ABOVE;
const IS_NO_NAME: i32 = layout.IS_NO_NAME;
const IS_THERE: i32 = layout.IS_THERE;
const IS_TOO_LONG: i32 = layout.IS_TOO_LONG;
const SHARES_TOO_MUCH: i32 = layout.SHARES_TOO_MUCH;

/** Which way a walk goes is known when it is compiled: each is compiled for both. */
type Reads = f32;
type Writes = i32;

const SEPARATOR: u32 = 3; // of keys; what ends them is below
const SEPARATOR_SYMBOL: u32 = 1;
const END_SYMBOL: u32 = 0;
const DASH: u32 = 0x2d;
const DASH_SYMBOL: u32 = 2;
const KEY_MAX_BYTES: u32 = 254;
const LABEL_MAX_BYTES: u32 = 63;

const SEEN_MAX: u32 = 15;
const CHANCE_BITS: u32 = 0xfff0;
const CHANCE_LEAST: i32 = 64;
const CONTEXT_START: u64 = 0x8000800080008000; // four of them
const EVEN: u32 = 0x8000;
const RANGE_LEAST: u32 = 0x1000000;
const RANGE_START: u32 = 0xffffffff;
/** Zero bytes at the end that are not written. */
const IMPLIED_BYTES: usize = 3;
const PAGE_BYTES: usize = 65536;

let low: u32 = 0;
let range: u32 = 0;
let code: u32 = 0;
/** The next byte of the code. */
let at: usize = 0;
/** Behind what is read, or behind the room for what is written. */
let end: usize = 0;
let isReader: bool = false;
let hasWildcards: bool = false;
let mask: u32 = 0;
let sharedBefore: u32 = 0;
let endBefore: u32 = 0;
let said: u32 = 0;
let allSaid: u32 = 0;
let keysEnd: usize = 0;
let fault: i32 = 0;
/** An entry was said that stands for more than the name itself. */
let foundWildcard: bool = false;

/** Begins a code: of `codeBytes` bytes that lie at CODE_AT if it is to be read. */
export function begin(slotMask: u32, wildcards: bool, reads: bool, codeBytes: u32): void {
  const contexts = <usize>(SLOTS + (slotMask + 1) * SLOT_NODES) << 1;
  for (let i: usize = 0; i < contexts; i += 8) store<u64>(CONTEXTS_AT + i, CONTEXT_START);
  mask = slotMask;
  hasWildcards = wildcards;
  isReader = reads;
  sharedBefore = 0;
  endBefore = 0;
  foundWildcard = false;
  memory.fill(LAST_AT, 0, 512);
  low = 0;
  code = 0;
  range = RANGE_START;
  at = CODE_AT;
  end = reads ? CODE_AT + <usize>codeBytes : <usize>memory.size() * PAGE_BYTES;
  if (reads) for (let i: usize = 0; i <= IMPLIED_BYTES; i++) code = (code << 8) | byteAt(at++);
}

/** How many characters of the last name, or of all read in one go, were said. */
export function saidCharacters(): u32 {
  return said;
}
export function allSaidCharacters(): u32 {
  return allSaid;
}
export function keysBytes(): u32 {
  return <u32>(keysEnd - KEYS_AT);
}
export function lastFault(): i32 {
  return fault;
}
export function hasFoundWildcard(): bool {
  return foundWildcard;
}
/** Whether decisions were read that the code does not hold: from then on they mean nothing. */
export function isExhausted(): bool {
  return at > end + IMPLIED_BYTES;
}
/** Whether the code is exactly that of the decisions read. */
export function isComplete(): bool {
  return at == end + IMPLIED_BYTES && code < RANGE_LEAST;
}

/** Ends what was written: how many bytes there are. */
export function finish(): u32 {
  makeRoom();
  const raised = low + RANGE_LEAST - 1;
  if (raised < low) carryBefore(at);
  store<u8>(at++, raised >>> 24);
  return <u32>(at - CODE_AT);
}

// ── Names and numbers ──────────────────────────────────────────────────────────────────────────────────────

/** Writes the keys of [KEYS_AT, to): 0, or the fault of the one that cannot be said. */
export function writeNames(to: usize): i32 {
  for (let key: usize = KEYS_AT; key < to; ) {
    makeRoom();
    const length = nameOf<Writes>(0, key);
    if (length < 0) return length;
    key += <usize>length;
  }
  return 0;
}

/**
 * Reads names, whose keys go to KEYS_AT, until there are `count`, or no room for another. Returns how many;
 * `lastFault` says why there is not another, and 0 if there may be. `most`: bytes of keys.
 */
export function readNames(count: u32, most: u32): u32 {
  keysEnd = KEYS_AT;
  allSaid = 0;
  fault = 0;
  let read: u32 = 0;
  while (read < count && keysEnd + <usize>KEY_MAX_BYTES <= KEYS_AT + KEYS_BYTES) {
    const length = nameOf<Reads>(0, 0);
    fault = length < 0 ? length : isExhausted() ? ENDS_TOO_SOON : 0;
    if (fault != 0) break;
    memory.copy(keysEnd, LAST_AT, <usize>length);
    keysEnd += <usize>length;
    allSaid += said;
    if (<u32>(keysEnd - KEYS_AT) > most) {
      fault = ARE_TOO_MANY;
      break;
    }
    read++;
  }
  return read;
}

/**
 * Says one name, that at WANTED_AT, below that at BELOW_AT if there is one. Returns the length of its key, or
 * a fault.
 */
export function name(isBounded: bool): i32 {
  const below: usize = isBounded ? BELOW_AT : 0;
  if (isReader) return nameOf<Reads>(below, 0);
  makeRoom();
  return nameOf<Writes>(below, WANTED_AT);
}

/** A number of up to 31 bits. */
export function number(about: u32, value: u32): u32 {
  if (isReader) return numberOf<Reads>(about, value);
  makeRoom();
  return numberOf<Writes>(about, value);
}

/** What an entry stands for from then on. */
export function standsFor(wanted: u32): u32 {
  if (isReader) return endOf<Reads>(wanted);
  makeRoom();
  return endOf<Writes>(wanted);
}

function numberOf<Way>(about: u32, value: u32): u32 {
  const base = NUMBERS + about * (COUNT_NODES + COUNT_NODES * COUNT_HEADS);
  const wanted = value + 1;
  const wantedBits: u32 = 31 - clz(wanted);
  let node: u32 = 1;
  for (let bit: i32 = 4; bit >= 0; bit--)
    node = (node << 1) | decide<Way>(base + node, (wantedBits >>> bit) & 1);
  const bits = node & (COUNT_NODES - 1);
  let value1: u32 = 1;
  let head: u32 = 1;
  for (let bit: i32 = <i32>bits - 1; bit >= 0; bit--) {
    const wantedBit = (wanted >>> bit) & 1;
    let next: u32;
    if (bits - 1 - <u32>bit < HEAD_BITS) {
      next = decide<Way>(base + COUNT_NODES + bits * COUNT_HEADS + head, wantedBit);
      head = (head << 1) | next;
    } else next = narrow<Way>(EVEN, wantedBit);
    value1 = (value1 << 1) | next;
  }
  return value1 - 1;
}

function endOf<Way>(wanted: u32): u32 {
  const base = ENDS + 2 * endBefore;
  const isWildcard = decide<Way>(base, wanted == 0 ? 0 : 1);
  const both = isWildcard == 0 ? 0 : decide<Way>(base + 1, wanted == 2 ? 1 : 0);
  endBefore = isWildcard + both;
  return endBefore;
}

/** `below`: where the next key lies, 0 if there is none. */
function nameOf<Way>(below: usize, wanted: usize): i32 {
  const known = below == 0 ? 0 : commonBytes(LAST_AT, below);
  const wantedShared = isInteger<Way>() ? commonBytes(LAST_AT, wanted) : 0;
  const shared = sharedOf<Way>(below != 0, known, wantedShared);
  if (shared >= KEY_MAX_BYTES) return SHARES_TOO_MUCH;
  let start: u32 = 0;
  let labels: u32 = 0;
  for (let i: u32 = 0; i < shared; i++) {
    const byte: u32 = load<u8>(LAST_AT + i);
    if (byte < SEPARATOR) return SHARES_TOO_MUCH;
    if (byte == SEPARATOR) {
      labels++;
      start = i + 1;
    }
  }
  const length = charactersOf<Way>(shared == known ? below : 0, wanted, shared, start, labels);
  if (length > 0) said = <u32>length - shared;
  return length;
}

function charactersOf<Way>(below: usize, wanted: usize, shared: u32, from: u32, labels: u32): i32 {
  let start = from;
  let c1: u32 = shared > 0 ? symbolAt(LAST_AT + shared - 1) : 0;
  let c2: u32 = shared > 1 ? symbolAt(LAST_AT + shared - 2) : 0;
  let c3: u32 = shared > 2 ? symbolAt(LAST_AT + shared - 3) : 0;
  let c4: u32 = shared > 3 ? symbolAt(LAST_AT + shared - 4) : 0;
  let isBounded = below != 0;
  for (let i = shared; i < KEY_MAX_BYTES; i++) {
    const want: u32 = isInteger<Way>() ? symbolAt(wanted + i) : 0;
    if (want >= SYMBOLS) return IS_NO_NAME;
    const upper: u32 = isBounded ? symbolAt(below + i) : SYMBOLS;
    let symbol: u32;
    if (i == shared) {
      const before = symbolAt(LAST_AT + i);
      const context = (min<u32>(labels, 2) * 2 + u32(i == start)) * SYMBOLS + before;
      symbol = firstOf<Way>(FIRSTS + context * NODES, before, upper, want);
      if (symbol <= before) return IS_NOT_ABOVE;
    } else {
      const pair = PAIRS + (c2 * SYMBOLS + c1) * NODES;
      const slot = SLOTS + (hashOf(c4, c3, c2, c1) & mask) * SLOT_NODES;
      symbol = upper == SYMBOLS ? characterOf<Way>(pair, slot, want) : belowOf<Way>(pair, slot, upper, want);
    }
    if (symbol <= SEPARATOR_SYMBOL) {
      if (!isLabel(start, i)) return IS_NO_NAME;
      start = i + 1;
    } else if ((symbol == DASH_SYMBOL && i == start) || i - start == LABEL_MAX_BYTES) return IS_NO_NAME;
    isBounded = isBounded && symbol == upper;
    if (symbol == END_SYMBOL) {
      if (isBounded) return IS_THERE;
      const ended = hasWildcards ? endOf<Way>(isInteger<Way>() ? <u32>load<u8>(wanted + i) : 0) : 0;
      if (ended != 0) foundWildcard = true;
      store<u8>(LAST_AT + i, ended);
      return i + 1;
    }
    store<u8>(LAST_AT + i, load<u8>(BYTE_OF_AT + symbol));
    c4 = c3;
    c3 = c2;
    c2 = c1;
    c1 = symbol;
  }
  return IS_TOO_LONG;
}

@inline
function symbolAt(key: usize): u32 {
  return load<u8>(SYMBOL_OF_AT + <usize>load<u8>(key));
}

/** Whether `last[from, to)` is a label that may stand there; its characters are. */
function isLabel(from: u32, to: u32): bool {
  if (to == from || load<u8>(LAST_AT + to - 1) == DASH) return false;
  return from > 0 || !isNumber(to);
}

/** Whether the last label of a name, which a key begins with, is a number, decimal or 0x. */
function isNumber(to: u32): bool {
  const isHex = to > 1 && load<u16>(LAST_AT) == 0x7830; // 0x
  for (let i: u32 = isHex ? 2 : 0; i < to; i++) {
    const byte: u32 = load<u8>(LAST_AT + i);
    if (!(byte >= 0x30 && byte <= 0x39) && !(isHex && byte >= 0x61 && byte <= 0x66)) return false;
  }
  return true;
}

/** How much a name shares with the one before: at least `known`. */
function sharedOf<Way>(hasNext: bool, known: u32, wanted: u32): u32 {
  const by: u32 = hasNext ? LONG + 1 + min<u32>(known, LONG) : min<u32>(sharedBefore, LONG);
  const base = LENGTHS + by * LENGTH_NODES;
  const want = min<u32>(wanted - known, LONG);
  let node: u32 = 1;
  for (let bit: i32 = 5; bit >= 0; bit--) node = (node << 1) | decide<Way>(base + node, (want >>> bit) & 1);
  let shared = known + (node & LONG);
  if ((node & LONG) == LONG) {
    let more: u32 = 0;
    for (let bit = <i32>LONG_BITS - 1; bit >= 0; bit--)
      more = (more << 1) | narrow<Way>(EVEN, ((wanted - known - LONG) >>> bit) & 1);
    shared += more;
  }
  sharedBefore = shared;
  return shared;
}

/** The first character that is not shared: above `before`, at most `upper`. */
function firstOf<Way>(base: u32, before: u32, upper: u32, want: u32): u32 {
  const hasUpper = upper < SYMBOLS;
  const lowerPath: u32 = pathOf(before);
  const upperPath: u32 = hasUpper ? pathOf(upper) : 0;
  const wantedPath: u32 = pathOf(want);
  let lowerLevel: i32 = depthOf(before);
  let upperLevel: i32 = hasUpper ? depthOf(upper) : 0;
  let level: i32 = depthOf(want);
  let isAbove = false;
  let isBelow = !hasUpper;
  let node: u32 = 0;
  do {
    lowerLevel--;
    upperLevel--;
    level--;
    const lowerBit: u32 = isAbove || lowerLevel < 0 ? 0 : (lowerPath >>> lowerLevel) & 1;
    const upperBit: u32 = isBelow || upperLevel < 0 ? 1 : (upperPath >>> upperLevel) & 1;
    let decision: u32;
    if (lowerBit == 1) decision = 1;
    else if (upperBit == 0) decision = 0;
    else {
      decision = decide<Way>(base + node, (wantedPath >>> max<i32>(0, level)) & 1);
      if (decision == 1) isAbove = true;
      else isBelow = true;
    }
    node = nodeAfter(node, decision);
  } while (node < LEAF);
  return node - LEAF;
}

/** A character that is at most `upper`. */
function belowOf<Way>(pair: u32, slot: u32, upper: u32, want: u32): u32 {
  const upperPath: u32 = pathOf(upper);
  const wantedPath: u32 = pathOf(want);
  let upperLevel: i32 = depthOf(upper);
  let level: i32 = depthOf(want);
  let isBelow = false;
  let node: u32 = 0;
  do {
    upperLevel--;
    level--;
    let decision: u32 = 0;
    if (isBelow || ((upperPath >>> upperLevel) & 1) == 1) {
      decision = decideMixed<Way>(pair + node, slot + slotNode(node), (wantedPath >>> max<i32>(0, level)) & 1);
      if (decision == 0) isBelow = true;
    }
    node = nodeAfter(node, decision);
  } while (node < LEAF);
  return node - LEAF;
}

@inline
function pathOf(symbol: u32): u32 {
  return load<u16>(PATHS_AT + (<usize>symbol << 1));
}

@inline
function depthOf(symbol: u32): i32 {
  return load<u8>(DEPTHS_AT + symbol);
}

@inline
function nodeAfter(node: u32, decision: u32): u32 {
  return load<u8>(NEXT_AT + 2 * node + decision);
}

/** Where a node has its context in a slot: the last seven, seldom met, share those of the seven before. */
@inline
function slotNode(node: u32): u32 {
  return node - 7 * (node >>> 5);
}

/** How many bytes two keys begin with in common, their ends not counted. */
function commonBytes(a: usize, b: usize): u32 {
  let count: u32 = 0;
  while (load<u8>(a + count) == load<u8>(b + count) && <u32>load<u8>(a + count) >= SEPARATOR) count++;
  return count;
}

/** Where the contexts of four characters lie, from which as many bits are taken as there are slots. */
@inline
function hashOf(c4: u32, c3: u32, c2: u32, c1: u32): u32 {
  const product = (((c4 * SYMBOLS + c3) * SYMBOLS + c2) * SYMBOLS + c1) * 0x9e3779b1;
  return product ^ (product >>> 15);
}

// ── Decisions ──────────────────────────────────────────────────────────────────────────────────────────────

/** A decision that one context foretells. */
function decide<Way>(index: u32, wanted: u32): u32 {
  const context = CONTEXTS_AT + (<usize>index << 1);
  const state: u32 = load<u16>(context);
  const decision = narrow<Way>(state & CHANCE_BITS, wanted);
  store<u16>(context, learned(state, decision));
  return decision;
}

/** A decision that a context of two characters and one of four foretell. */
function decideMixed<Way>(pairIndex: u32, slotIndex: u32, wanted: u32): u32 {
  const pair = CONTEXTS_AT + (<usize>pairIndex << 1);
  const slot = CONTEXTS_AT + (<usize>slotIndex << 1);
  const pairState: u32 = load<u16>(pair);
  const state = slotState(pairState, load<u16>(slot));
  const decision = narrow<Way>(mixedChance(pairState, state), wanted);
  store<u16>(pair, learned(pairState, decision));
  store<u16>(slot, learned(state, decision));
  return decision;
}

/**
 * The decisions of a character, from the contexts of its root on: most of the work, so that the interval is
 * kept in locals meanwhile.
 */
function characterOf<Way>(pairIndex: u32, slotIndex: u32, symbol: u32): u32 {
  const pairs = CONTEXTS_AT + (<usize>pairIndex << 1);
  const slots = CONTEXTS_AT + (<usize>slotIndex << 1);
  const path = pathOf(symbol);
  let level = depthOf(symbol);
  let node: u32 = 0;
  let interval = range;
  let value = isInteger<Way>() ? low : code;
  let next = at;
  do {
    level--;
    const pair = pairs + (<usize>node << 1);
    const slot = slots + (<usize>slotNode(node) << 1);
    const pairState: u32 = load<u16>(pair);
    const state = slotState(pairState, load<u16>(slot));
    const bound = (interval >>> 16) * mixedChance(pairState, state);
    const decision = isInteger<Way>() ? (path >>> level) & 1 : u32(value >= bound);
    const taken = bound & -decision;
    if (isInteger<Way>()) {
      value += taken;
      if (value < taken) carryBefore(next);
    } else value -= taken;
    interval = narrowed(interval, bound, decision);
    store<u16>(pair, learned(pairState, decision));
    store<u16>(slot, learned(state, decision));
    while (interval < RANGE_LEAST) {
      if (isInteger<Way>()) {
        store<u8>(next, value >>> 24);
        value <<= 8;
      } else value = (value << 8) | byteAt(next);
      next++;
      interval <<= 8;
    }
    node = nodeAfter(node, decision);
  } while (node < LEAF);
  range = interval;
  at = next;
  if (isInteger<Way>()) low = value;
  else code = value;
  return node - LEAF;
}

/** The chance of decision 0 from both contexts, in units of 1/65,536. */
@inline
function mixedChance(pair: u32, slot: u32): u32 {
  const share: u32 = load<u8>(SHARES_AT + (slot & SEEN_MAX));
  return ((slot & CHANCE_BITS) * share + (pair & CHANCE_BITS) * (256 - share)) >>> 8;
}

/** A context of four characters that has seen nothing begins with what the pair says. */
@inline
function slotState(pair: u32, slot: u32): u32 {
  return (slot & SEEN_MAX) == 0 ? pair & CHANCE_BITS : slot;
}

/** What becomes of a context that was `state`. */
@inline
function learned(state: u32, decision: u32): u32 {
  const seen = state & SEEN_MAX;
  const pace: i32 = load<u16>(PACES_AT + (<usize>seen << 1));
  const chance = <i32>(state & CHANCE_BITS);
  // Rounded down, also where it goes down. No branch: which way it goes is what nobody foretells.
  const moved = chance + (((<i32>((decision ^ 1) << 16) - chance) * pace) >> 16);
  return (<u32>max<i32>(moved, CHANCE_LEAST) & CHANCE_BITS) | (seen + u32(seen < SEEN_MAX));
}

// ── Bytes ──────────────────────────────────────────────────────────────────────────────────────────────────

/** Says a decision of which 0 has this chance, or reads it. */
function narrow<Way>(chance: u32, wanted: u32): u32 {
  const bound = (range >>> 16) * chance;
  const decision = isInteger<Way>() ? wanted : u32(code >= bound);
  const taken = bound & -decision;
  if (isInteger<Way>()) {
    low += taken;
    if (low < taken) carryBefore(at);
  } else code -= taken;
  range = narrowed(range, bound, decision);
  while (range < RANGE_LEAST) {
    if (isInteger<Way>()) {
      store<u8>(at, low >>> 24);
      low <<= 8;
    } else code = (code << 8) | byteAt(at);
    at++;
    range <<= 8;
  }
  return decision;
}

/** The bound, or the interval without it. */
@inline
function narrowed(interval: u32, bound: u32, decision: u32): u32 {
  return (interval & -decision) + (bound ^ -decision) + decision;
}

/** Adds one to the bytes written. They are below one together, so that the carry ends within them. */
function carryBefore(next: usize): void {
  let byte = next - 1;
  while (load<u8>(byte) == 255) store<u8>(byte--, 0);
  store<u8>(byte, load<u8>(byte) + 1);
}

/** Of the code; behind its end there are zeros. */
@inline
function byteAt(byte: usize): u32 {
  return byte < end ? load<u8>(byte) : 0;
}

/** For another name or number. */
@inline
function makeRoom(): void {
  if (at + SAID_MAX_BYTES > end) grow();
}

function grow(): void {
  const pages = <i32>(<usize>memory.size() >>> 3) + 1;
  if (memory.grow(pages) < 0) unreachable();
  end = <usize>memory.size() * PAGE_BYTES;
}
