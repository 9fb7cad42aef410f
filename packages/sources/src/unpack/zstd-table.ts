/** The code tables of zstd: FSE (finite state entropy) and Huffman, RFC 8878 §4. */

import { BackwardBits, damagedZstd } from './zstd-bits.ts';

/** A state means a symbol, and how many bits give the next state. */
export class FseTable {
  readonly log: number;
  readonly symbols: Uint8Array;
  private readonly bitCounts: Uint8Array;
  private readonly bases: Uint16Array;

  /** From how often each symbol occurs of 2^log; -1 means less than once. §4.1.1 */
  constructor(counts: readonly number[], log: number) {
    const size = 2 ** log;
    this.log = log;
    this.symbols = new Uint8Array(size);
    this.bitCounts = new Uint8Array(size);
    this.bases = new Uint16Array(size);
    this.spread(counts);
    const next = counts.map((count) => Math.max(count, 1));
    for (let state = 0; state < size; state++) {
      const symbol = this.symbols[state] ?? 0;
      const position = next[symbol] ?? 1;
      next[symbol] = position + 1;
      const bits = log - (31 - Math.clz32(position));
      this.bitCounts[state] = bits;
      this.bases[state] = (position << bits) - size;
    }
  }

  /** Always the same symbol, for no bits. */
  static ofOne(symbol: number): FseTable {
    const table = new FseTable([1], 0);
    table.symbols[0] = symbol;
    return table;
  }

  private spread(counts: readonly number[]): void {
    const size = this.symbols.length;
    let high = size;
    for (const [symbol, count] of counts.entries()) if (count === -1) this.symbols[--high] = symbol;
    const step = (size >> 1) + (size >> 3) + 3;
    let at = 0;
    for (const [symbol, count] of counts.entries()) {
      for (let i = 0; i < count; i++) {
        this.symbols[at] = symbol;
        do at = (at + step) & (size - 1);
        while (at >= high);
      }
    }
  }

  next(state: number, bits: BackwardBits): number {
    return this.bases[state]! + bits.read(this.bitCounts[state]!); // a state is below the size of its table
  }
}

/** §4.1.1: a table as described at the start of `bytes`, and where the description ends. Throws ArchiveError `damaged`. */
export function readFseTable(
  bytes: Uint8Array,
  symbolMax: number,
  logMax: number,
): { readonly table: FseTable; readonly end: number } {
  let at = 0; // in bits
  const read = (bits: number): number => {
    if (at + bits > bytes.length * 8) throw damagedZstd('a table has no end');
    let value = 0;
    for (let i = 0; i < bits; i++, at++) value |= (((bytes[at >> 3] ?? 0) >> (at & 7)) & 1) << i;
    return value;
  };
  const log = read(4) + 5;
  if (log > logMax) throw damagedZstd('a table is too large');
  const counts: number[] = [];
  let remaining = 2 ** log;
  while (remaining > 0) {
    const bits = 32 - Math.clz32(remaining + 1); // of the largest value there can be
    const spare = 2 ** bits - 1 - (remaining + 1); // so many values take one bit less
    let value = read(bits - 1);
    if (value >= spare) {
      value |= read(1) << (bits - 1);
      if (value >= 2 ** (bits - 1)) value -= spare;
    }
    const count = value - 1;
    counts.push(count);
    remaining -= Math.abs(count);
    for (let repeat = count === 0 ? 3 : 0; repeat === 3; ) {
      repeat = read(2);
      for (let i = 0; i < repeat; i++) counts.push(0);
    }
    if (counts.length > symbolMax + 1) throw damagedZstd('a table has too many symbols');
  }
  return { table: new FseTable(counts, log), end: Math.ceil(at / 8) };
}

const HUFFMAN_MAX_BITS = 11;

/** §4.2 */
export class HuffmanTable {
  private readonly bits: number;
  private readonly symbols: Uint8Array;
  private readonly lengths: Uint8Array;

  /** From the weight of each symbol but the last, which follows from the others. */
  constructor(weights: readonly number[]) {
    let sum = 0;
    for (const weight of weights) sum += weight === 0 ? 0 : 2 ** (weight - 1);
    this.bits = 32 - Math.clz32(sum);
    const left = 2 ** this.bits - sum;
    if (sum === 0 || this.bits > HUFFMAN_MAX_BITS || (left & (left - 1)) !== 0) {
      throw damagedZstd('a table of codes is not complete');
    }
    const all = [...weights, 32 - Math.clz32(left)];
    this.symbols = new Uint8Array(2 ** this.bits);
    this.lengths = new Uint8Array(2 ** this.bits);
    let at = 0;
    for (let weight = 1; weight <= this.bits; weight++) {
      for (const [symbol, ofSymbol] of all.entries()) {
        if (ofSymbol !== weight) continue;
        const end = at + 2 ** (weight - 1);
        this.symbols.fill(symbol, at, end);
        this.lengths.fill(this.bits + 1 - weight, at, end);
        at = end;
      }
    }
  }

  /** Fills `out` from a stream that holds exactly as many symbols. Throws ArchiveError `damaged`. */
  read(bytes: Uint8Array, out: Uint8Array): void {
    const stream = new BackwardBits(bytes);
    for (let i = 0; i < out.length; i++) {
      const code = stream.peek(this.bits);
      out[i] = this.symbols[code]!; // the tables have 2^bits items
      stream.left -= this.lengths[code]!;
    }
    if (stream.left !== 0) throw damagedZstd('literals are not used up');
  }
}

/** §4.2.1: weights as nibbles, or by an FSE table of their own with two states by turns. */
export function readHuffmanTable(bytes: Uint8Array): { readonly table: HuffmanTable; readonly end: number } {
  const head = bytes[0] ?? 0;
  const weights: number[] = [];
  if (head >= 128) {
    const count = head - 127;
    const end = 1 + Math.ceil(count / 2);
    if (end > bytes.length) throw damagedZstd('a table has no end');
    for (let i = 0; i < count; i++) {
      const pair = bytes[1 + (i >> 1)] ?? 0;
      weights.push(i % 2 === 0 ? pair >> 4 : pair & 15);
    }
    return { table: new HuffmanTable(weights), end };
  }
  const end = 1 + head;
  if (head === 0 || end > bytes.length) throw damagedZstd('a table has no end');
  const description = readFseTable(bytes.subarray(1, end), 12, 6);
  const { table } = description;
  const bits = new BackwardBits(bytes.subarray(1 + description.end, end));
  let state = bits.read(table.log);
  let other = bits.read(table.log);
  for (;;) {
    weights.push(table.symbols[state] ?? 0);
    state = table.next(state, bits);
    if (bits.left < 0) {
      weights.push(table.symbols[other] ?? 0);
      break;
    }
    [state, other] = [other, state];
    if (weights.length > 255) throw damagedZstd('a table has too many symbols');
  }
  if (weights.length > 255) throw damagedZstd('a table has too many symbols');
  return { table: new HuffmanTable(weights), end };
}

interface Predefined {
  readonly table: FseTable;
  readonly symbolMax: number;
  readonly logMax: number;
}

/** §3.1.1.3.2.2: of literal lengths, offsets, match lengths; and what tables in their place may hold. */
export const PREDEFINED: readonly Predefined[] = [
  {
    table: new FseTable(
      [
        4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1,
        -1, -1, -1,
      ],
      6,
    ),
    symbolMax: 35,
    logMax: 9,
  },
  {
    table: new FseTable(
      [1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1],
      5,
    ),
    symbolMax: 31,
    logMax: 8,
  },
  {
    table: new FseTable(
      [
        1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
      ],
      6,
    ),
    symbolMax: 52,
    logMax: 9,
  },
];
