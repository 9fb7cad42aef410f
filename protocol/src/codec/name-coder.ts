/**
 * The range coder of names: decisions in contexts of `name-model.ts`, one way and the other. Each method says
 * a decision and returns it; a reader takes no notice of what it is told, and returns what it reads, so that
 * one walk writes and reads. The interval and the bytes are those of `range-coder.ts`.
 */

import {
  CHANCE_BITS,
  DEPTHS,
  LEAF,
  learned,
  NEXT,
  newContexts,
  PATHS,
  SEEN_MAX,
  SHARES,
  slotNode,
} from './name-model.ts';

export interface NameCoder {
  /** A decision that one context foretells. */
  decide(context: number, decision: number): number;
  /** A decision that a context of two characters and one of four foretell. */
  decideMixed(pair: number, slot: number, decision: number): number;
  /** The decisions of a character, from the contexts of its root on. */
  character(pair: number, slot: number, symbol: number): number;
  /** A decision that nothing foretells. */
  even(decision: number): number;
}

const EVEN = 0x8000;
const RANGE_LEAST = 0x100_0000;
const RANGE_START = 0xffff_ffff;
/** Zero bytes at the end that are not written. */
const IMPLIED_BYTES = 3;

/** The chance of decision 0 from both contexts, in units of 1/65,536. */
function mixedChance(pair: number, slot: number): number {
  const share = SHARES[slot & SEEN_MAX]!; // at most 15
  return ((slot & CHANCE_BITS) * share + (pair & CHANCE_BITS) * (256 - share)) >>> 8;
}

/** A context of four characters that has seen nothing begins with what the pair says. */
function slotState(pair: number, slot: number): number {
  const isNew = ((slot & SEEN_MAX) - 1) >> 31; // -1 or 0
  return (slot & ~isNew) | (pair & CHANCE_BITS & isNew);
}

export class NameEncoder implements NameCoder {
  readonly #contexts: Uint16Array;
  #buffer: Uint8Array;
  #used = 0;
  #low = 0;
  #range = RANGE_START;

  /** @param names How many the code will hold. */
  constructor(names: number) {
    this.#contexts = newContexts(names);
    this.#buffer = new Uint8Array(1024 + 4 * names);
  }

  decide(context: number, decision: number): number {
    const state = this.#contexts[context]!; // contexts are below the count
    this.#narrow(state & CHANCE_BITS, decision);
    this.#contexts[context] = learned(state, decision);
    return decision;
  }

  decideMixed(pair: number, slot: number, decision: number): number {
    const pairState = this.#contexts[pair]!; // contexts are below the count
    const state = slotState(pairState, this.#contexts[slot]!); // likewise
    this.#narrow(mixedChance(pairState, state), decision);
    this.#contexts[pair] = learned(pairState, decision);
    this.#contexts[slot] = learned(state, decision);
    return decision;
  }

  character(pair: number, slot: number, symbol: number): number {
    const contexts = this.#contexts;
    const path = PATHS[symbol]!; // symbols are below 40
    let low = this.#low >>> 0;
    let range = this.#range >>> 0;
    let node = 0;
    for (let level = DEPTHS[symbol]! - 1; level >= 0; level--) {
      const decision = (path >>> level) & 1;
      const pairState = contexts[pair + node]!; // contexts are below the count
      const state = slotState(pairState, contexts[slot + slotNode(node)]!); // likewise
      const bound = Math.imul(range >>> 16, mixedChance(pairState, state)) >>> 0;
      const raised = (low + (bound & -decision)) >>> 0;
      if (raised < low) this.#carry();
      low = raised;
      range = ((range & -decision) + (bound ^ -decision) + decision) >>> 0; // bound, or range - bound
      contexts[pair + node] = learned(pairState, decision);
      contexts[slot + slotNode(node)] = learned(state, decision);
      for (; range < RANGE_LEAST; range = (range << 8) >>> 0) {
        this.#put(low >>> 24);
        low = (low << 8) >>> 0;
      }
      node = NEXT[2 * node + decision]!; // nodes are below 40
    }
    this.#low = low;
    this.#range = range;
    return symbol;
  }

  even(decision: number): number {
    this.#narrow(EVEN, decision);
    return decision;
  }

  /** Ends the code and returns its bytes, a view of the encoder's memory. Encode no more. */
  finish(): Uint8Array {
    const raised = (this.#low + RANGE_LEAST - 1) >>> 0;
    if (raised < this.#low) this.#carry();
    this.#put(raised >>> 24);
    return this.#buffer.subarray(0, this.#used);
  }

  #narrow(chance: number, decision: number): void {
    const bound = Math.imul(this.#range >>> 16, chance) >>> 0;
    if (decision === 0) this.#range = bound;
    else {
      const raised = (this.#low + bound) >>> 0;
      if (raised < this.#low) this.#carry();
      this.#low = raised;
      this.#range = (this.#range - bound) >>> 0;
    }
    for (; this.#range < RANGE_LEAST; this.#range = (this.#range << 8) >>> 0) {
      this.#put(this.#low >>> 24);
      this.#low = (this.#low << 8) >>> 0;
    }
  }

  /** Adds one to the bytes written. They are below one together, so that the carry ends within them. */
  #carry(): void {
    let at = this.#used - 1;
    while (this.#buffer[at] === 255) this.#buffer[at--] = 0;
    this.#buffer[at]!++; // at >= 0, as said
  }

  #put(byte: number): void {
    if (this.#used === this.#buffer.length) {
      const larger = new Uint8Array(this.#used * 2);
      larger.set(this.#buffer);
      this.#buffer = larger;
    }
    this.#buffer[this.#used++] = byte;
  }
}

export class NameDecoder implements NameCoder {
  readonly #contexts: Uint16Array;
  readonly #bytes: Uint8Array;
  #at = 0;
  #code = 0;
  #range = RANGE_START;

  /**
   * @param names How many the code holds.
   * @param bytes Stay the caller's and must not change while they are read.
   */
  constructor(names: number, bytes: Uint8Array) {
    this.#contexts = newContexts(names);
    this.#bytes = bytes;
    for (let i = 0; i <= IMPLIED_BYTES; i++) this.#code = ((this.#code << 8) | this.#take()) >>> 0;
  }

  /** Whether decisions were read that the bytes do not hold: from then on they mean nothing. */
  get exhausted(): boolean {
    return this.#at > this.#bytes.length + IMPLIED_BYTES;
  }

  /** Whether the bytes are exactly those of the decisions read. */
  get complete(): boolean {
    return this.#at === this.#bytes.length + IMPLIED_BYTES && this.#code < RANGE_LEAST;
  }

  decide(context: number): number {
    const state = this.#contexts[context]!; // contexts are below the count
    const decision = this.#narrow(state & CHANCE_BITS);
    this.#contexts[context] = learned(state, decision);
    return decision;
  }

  decideMixed(pair: number, slot: number): number {
    const pairState = this.#contexts[pair]!; // contexts are below the count
    const state = slotState(pairState, this.#contexts[slot]!); // likewise
    const decision = this.#narrow(mixedChance(pairState, state));
    this.#contexts[pair] = learned(pairState, decision);
    this.#contexts[slot] = learned(state, decision);
    return decision;
  }

  character(pair: number, slot: number): number {
    const contexts = this.#contexts;
    let code = this.#code >>> 0;
    let range = this.#range >>> 0;
    let node = 0;
    do {
      const pairState = contexts[pair + node]!; // contexts are below the count
      const state = slotState(pairState, contexts[slot + slotNode(node)]!); // likewise
      const bound = Math.imul(range >>> 16, mixedChance(pairState, state)) >>> 0;
      const decision = Number(code >= bound);
      code = (code - (bound & -decision)) >>> 0;
      range = ((range & -decision) + (bound ^ -decision) + decision) >>> 0; // bound, or range - bound
      contexts[pair + node] = learned(pairState, decision);
      contexts[slot + slotNode(node)] = learned(state, decision);
      for (; range < RANGE_LEAST; range = (range << 8) >>> 0) code = ((code << 8) | this.#take()) >>> 0;
      node = NEXT[2 * node + decision]!; // nodes are below 40
    } while (node < LEAF);
    this.#code = code;
    this.#range = range;
    return node - LEAF;
  }

  even(): number {
    return this.#narrow(EVEN);
  }

  #narrow(chance: number): number {
    const bound = Math.imul(this.#range >>> 16, chance) >>> 0;
    let decision = 0;
    if (this.#code < bound) this.#range = bound;
    else {
      decision = 1;
      this.#code = (this.#code - bound) >>> 0;
      this.#range = (this.#range - bound) >>> 0;
    }
    for (; this.#range < RANGE_LEAST; this.#range = (this.#range << 8) >>> 0)
      this.#code = ((this.#code << 8) | this.#take()) >>> 0;
    return decision;
  }

  #take(): number {
    const byte = this.#at < this.#bytes.length ? this.#bytes[this.#at]! : 0; // at < length
    this.#at++;
    return byte;
  }
}
