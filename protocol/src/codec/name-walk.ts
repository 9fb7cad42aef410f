/**
 * How one name is said after another, in a code of names. PROTOCOL.md "Codes of names".
 *
 * A name is what it shares with the one before, and then its characters. What is known of them, that the
 * first is above that of the name before and that all are below the next name, is not said. The same walk
 * writes and reads: a coder says what it is told, or what it reads.
 */

import { isNumber, KEY_MAX_BYTES, KeyByte, LABEL_MAX_BYTES } from '@rulecast/rules';
import type { NameCoder } from './name-coder.ts';
import {
  BYTE_OF,
  COUNT_HEADS,
  COUNT_NODES,
  DEPTHS,
  END_SYMBOL,
  ENDS,
  FIRSTS,
  HEAD_BITS,
  LEAF,
  LENGTH_NODES,
  LENGTHS,
  LONG,
  LONG_BITS,
  NEXT,
  NODES,
  NUMBERS,
  PAIRS,
  PATHS,
  SLOT_NODES,
  SLOTS,
  SYMBOL_OF,
  SYMBOLS,
  slotMask,
  slotNode,
} from './name-model.ts';

const DASH = 0x2d;
const DASH_SYMBOL = 2;
const SEPARATOR_SYMBOL = 1;
/** What a reader is told to say. */
export const ANYTHING: Key = { bytes: new Uint8Array(KEY_MAX_BYTES + 1), at: 0 };

/** A key within a column. */
export interface Key {
  readonly bytes: Uint8Array;
  readonly at: number;
}

/** Says names one after the other, and the numbers between them. What cannot be is never taken as said. */
export class NameWalk {
  /** The name that was said last, as a key. */
  readonly last = new Uint8Array(KEY_MAX_BYTES + 2);
  /** How many characters of it were said. */
  said = 0;
  readonly #coder: NameCoder;
  readonly #mask: number;
  readonly #fault: (reason: string) => Error;
  readonly #hasWildcards: boolean;
  #sharedBefore = 0;
  #end: number = KeyByte.self;

  /** @param fault The error of a name that cannot be. */
  constructor(coder: NameCoder, names: number, hasWildcards: boolean, fault: (reason: string) => Error) {
    this.#coder = coder;
    this.#mask = slotMask(names);
    this.#hasWildcards = hasWildcards;
    this.#fault = fault;
  }

  /** A number of up to 31 bits. */
  number(about: number, value: number): number {
    const base = NUMBERS + about * (COUNT_NODES + COUNT_NODES * COUNT_HEADS);
    const wanted = value + 1;
    const wantedBits = 31 - Math.clz32(wanted);
    let node = 1;
    for (let bit = 4; bit >= 0; bit--)
      node = (node << 1) | this.#coder.decide(base + node, (wantedBits >>> bit) & 1);
    const bits = node & (COUNT_NODES - 1);
    let number = 1;
    let head = 1;
    for (let bit = bits - 1; bit >= 0; bit--) {
      const wantedBit = (wanted >>> bit) & 1;
      let said: number;
      if (bits - 1 - bit < HEAD_BITS) {
        said = this.#coder.decide(base + COUNT_NODES + bits * COUNT_HEADS + head, wantedBit);
        head = (head << 1) | said;
      } else said = this.#coder.even(wantedBit);
      number = ((number << 1) | said) >>> 0;
    }
    return number - 1;
  }

  /** What an entry stands for from then on. */
  end(wanted: number): number {
    const base = ENDS + 2 * this.#end;
    const isWildcard = this.#coder.decide(base, wanted === KeyByte.self ? 0 : 1);
    const both = isWildcard === 0 ? 0 : this.#coder.decide(base + 1, wanted === KeyByte.both ? 1 : 0);
    this.#end = isWildcard + both;
    return this.#end;
  }

  /** The name of `bytes[at, …)` is the last one from now on; with -1 there is none. */
  load(bytes: Uint8Array, at: number): void {
    this.last[0] = KeyByte.self;
    if (at < 0) return;
    let i = 0;
    do this.last[i] = bytes[at + i]!;
    while (bytes[at + i++]! >= KeyByte.separator); // a column ends in the end of a key
  }

  /**
   * Says a name above `last` and below `next`, if there is one, which it is from then on. Returns how long
   * its key is.
   */
  name(next: Key | undefined, wanted: Key): number {
    const { last } = this;
    const known = next === undefined ? 0 : commonBytes(last, 0, next.bytes, next.at);
    const shared = this.#shared(next !== undefined, known, commonBytes(last, 0, wanted.bytes, wanted.at));
    let labelStart = 0;
    let labels = 0;
    for (let i = 0; i < shared; i++) {
      const byte = last[i]!; // within the array
      if (byte < KeyByte.separator) throw this.#fault('shares more than there is');
      if (byte === KeyByte.separator) {
        labels++;
        labelStart = i + 1;
      }
    }
    const below = next !== undefined && shared === known ? next : undefined;
    const length = this.#characters(below, wanted, shared, labelStart, labels);
    this.said = length - shared;
    return length;
  }

  #characters(next: Key | undefined, wanted: Key, shared: number, start: number, labels: number): number {
    const { last } = this;
    const coder = this.#coder;
    let labelStart = start;
    let c1 = shared > 0 ? SYMBOL_OF[last[shared - 1]!]! : 0; // within the array, of 256
    let c2 = shared > 1 ? SYMBOL_OF[last[shared - 2]!]! : 0; // likewise
    let c3 = shared > 2 ? SYMBOL_OF[last[shared - 3]!]! : 0; // likewise
    let c4 = shared > 3 ? SYMBOL_OF[last[shared - 4]!]! : 0; // likewise
    let bounded = next !== undefined;
    for (let i = shared; ; i++) {
      const want = SYMBOL_OF[wanted.bytes[wanted.at + i]!]!; // a reader wants nothing in particular
      const upper = bounded && next !== undefined ? SYMBOL_OF[next.bytes[next.at + i]!]! : SYMBOLS; // `next` agrees so far
      let symbol: number;
      if (i === shared) {
        const before = SYMBOL_OF[last[i]!]!; // within the array
        symbol = this.#first(
          (Math.min(labels, 2) * 2 + (i === labelStart ? 1 : 0)) * SYMBOLS + before,
          before,
          upper,
          want,
        );
        if (symbol <= before) throw this.#fault('is not above the one before');
      } else {
        const pair = PAIRS + (c2 * SYMBOLS + c1) * NODES;
        const slot = SLOTS + (hashOf(c4, c3, c2, c1) & this.#mask) * SLOT_NODES;
        symbol = upper === SYMBOLS ? coder.character(pair, slot, want) : this.#below(pair, slot, upper, want);
      }
      if (symbol <= SEPARATOR_SYMBOL) {
        if (!this.#isLabel(labelStart, i)) throw this.#fault('is no host name');
        labelStart = i + 1;
      } else if ((symbol === DASH_SYMBOL && i === labelStart) || i - labelStart === LABEL_MAX_BYTES)
        throw this.#fault('is no host name');
      if (i === KEY_MAX_BYTES - 1 && symbol !== END_SYMBOL) throw this.#fault('is too long');
      bounded &&= symbol === upper;
      if (symbol === END_SYMBOL) {
        if (bounded) throw this.#fault('is there already');
        last[i] = this.#hasWildcards ? this.end(wanted.bytes[wanted.at + i]!) : KeyByte.self;
        return i + 1;
      }
      last[i] = BYTE_OF[symbol]!; // symbols are below 40
      c4 = c3;
      c3 = c2;
      c2 = c1;
      c1 = symbol;
    }
  }

  /** Whether `last[from, to)` is a label that may stand there; its characters are. */
  #isLabel(from: number, to: number): boolean {
    if (to === from || this.last[to - 1] === DASH) return false;
    return from > 0 || !isNumber(this.last, 0, to);
  }

  /** How much a name shares with the one before: at least `known`. */
  #shared(hasNext: boolean, known: number, wanted: number): number {
    const coder = this.#coder;
    const by = hasNext ? LONG + 1 + Math.min(known, LONG) : Math.min(this.#sharedBefore, LONG);
    const base = LENGTHS + by * LENGTH_NODES;
    const want = Math.min(wanted - known, LONG);
    let node = 1;
    for (let bit = 5; bit >= 0; bit--) node = (node << 1) | coder.decide(base + node, (want >>> bit) & 1);
    let shared = known + (node & LONG);
    if ((node & LONG) === LONG) {
      let more = 0;
      for (let bit = LONG_BITS - 1; bit >= 0; bit--)
        more = (more << 1) | coder.even(((wanted - known - LONG) >>> bit) & 1);
      shared += more;
    }
    if (shared >= KEY_MAX_BYTES) throw this.#fault('shares more than there is');
    this.#sharedBefore = shared;
    return shared;
  }

  /** The first character that is not shared: above `before`, at most `upper`. */
  #first(context: number, before: number, upper: number, want: number): number {
    const base = FIRSTS + context * NODES;
    const lowerPath = PATHS[before]!; // symbols are below 40
    const upperPath = upper < SYMBOLS ? PATHS[upper]! : 0; // likewise
    let lowerLevel = DEPTHS[before]!; // likewise
    let upperLevel = upper < SYMBOLS ? DEPTHS[upper]! : 0; // likewise
    let level = DEPTHS[want] ?? 0;
    let aboveLower = false;
    let belowUpper = upper >= SYMBOLS;
    let node = 0;
    do {
      lowerLevel--;
      upperLevel--;
      level--;
      const lowerBit = aboveLower || lowerLevel < 0 ? 0 : (lowerPath >>> lowerLevel) & 1;
      const upperBit = belowUpper || upperLevel < 0 ? 1 : (upperPath >>> upperLevel) & 1;
      let decision: number;
      if (lowerBit === 1) decision = 1;
      else if (upperBit === 0) decision = 0;
      else {
        decision = this.#coder.decide(base + node, (PATHS[want]! >>> Math.max(0, level)) & 1); // likewise
        if (decision === 1) aboveLower = true;
        else belowUpper = true;
      }
      node = NEXT[2 * node + decision]!; // nodes are below 40
    } while (node < LEAF);
    return node - LEAF;
  }

  /** A character that is at most `upper`. */
  #below(pair: number, slot: number, upper: number, want: number): number {
    const upperPath = PATHS[upper]!; // symbols are below 40
    let upperLevel = DEPTHS[upper]!; // likewise
    let level = DEPTHS[want] ?? 0;
    let belowUpper = false;
    let node = 0;
    do {
      upperLevel--;
      level--;
      let decision = 0;
      if (belowUpper || ((upperPath >>> upperLevel) & 1) === 1) {
        decision = this.#coder.decideMixed(
          pair + node,
          slot + slotNode(node),
          (PATHS[want]! >>> Math.max(0, level)) & 1,
        ); // likewise
        if (decision === 0) belowUpper = true;
      }
      node = NEXT[2 * node + decision]!; // nodes are below 40
    } while (node < LEAF);
    return node - LEAF;
  }
}

/** How many bytes two keys begin with in common, their ends not counted. */
function commonBytes(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number): number {
  let count = 0;
  while (a[aAt + count] === b[bAt + count] && a[aAt + count]! >= KeyByte.separator) count++; // keys have ends
  return count;
}

/** Where the contexts of four characters lie, from which as many bits are taken as there are slots. */
function hashOf(c4: number, c3: number, c2: number, c1: number): number {
  const product = Math.imul(((c4 * SYMBOLS + c3) * SYMBOLS + c2) * SYMBOLS + c1, 0x9e37_79b1);
  return product ^ (product >>> 15);
}
