/**
 * Shapes: what the runs that hold in a class decide by protocol and port or type, where the ranges of all
 * runs cut those into few classes (the second phase of recursive flow classification, Gupta and McKeown
 * 1999).
 *
 *   port table  [tcp, udp, icmp][port or type, or 65,536 for unreadable] ─▶ port class p, a half; 0: other protocols
 *   row         offset of a record
 *   record      word 0: the first byte of its shape, with the top bit; then relative codes
 *   shape       by port class a byte: which word of the record decides, 0: none of its codes
 *   wildcards   by port class a word: what the runs for any address decide, or NO_MATCH
 *
 * The answer is the lesser, unsigned, of `record[shape[p]]` and `wildcards[p]`: word 0 is above all codes. So
 * nothing depends on what a packet has, but for what is loaded. Classes that ask alike share a shape,
 * whatever their codes; equal records are kept once. Where it takes too much, or ports are cut into too many
 * classes, nothing of a rule set is shaped, and nodes (node.ts) decide.
 */

import { ALL_PROTOS, ASKS_DETAIL, ProtoBit } from '../classes/rule-columns.ts';
import type { ProgramPart } from './part.ts';
import { CODE_ACTION_MASK, CodeAction, NO_MATCH, PORT_TABLE_PORTS, SHAPE_BIT } from './program.ts';
import { StretchIndex, type WordBuffer } from './words.ts';

/** Our choice: runs that ask something from which on a port table, of 384 KiB, is worth it. */
const ASKING_RUNS = 128;
/** Our choice: bytes of a shape. Real rule sets cut ports into some hundred classes. */
const PORT_CLASSES_MAX = 1024;
/** Our choice: words of all shapes, or a third of the programs where that is more. */
const SHAPE_WORDS = 2 ** 19;
/** Fixed by the bytes of shapes. */
const RECORD_CODES_MAX = 255;
const PORTS = 65_536;
/** The protocols that have ports or types, in the order of the table. */
const PROTOCOLS = [ProtoBit.tcp, ProtoBit.udp, ProtoBit.icmp] as const;
/** What a run asks: its protocols and ASKS_DETAIL, and its range. */
const ASKS = ALL_PROTOS | ASKS_DETAIL;

/** What one kind of run asks. */
interface Ask {
  /** Port classes in which it matches, in pairs: the first, and the one after the last. */
  readonly classes: readonly number[];
  /** Those in which it could match, for what cannot be read. */
  readonly unreadable: readonly number[];
}

interface Shape {
  readonly asks: Int32Array;
  /** Its first byte. */
  readonly at: number;
  /**
   * By word of the record, from the first code on: the run's place among the asks, and whether it is made a
   * drop.
   */
  readonly codes: readonly { readonly run: number; readonly isDrop: boolean }[];
}

export class ShapeMaker {
  /** Offset of the port table. */
  readonly ports: number;
  /** Whether there is too much for rows of this kind; what was made is then of no use. */
  isFull = false;
  readonly #words: WordBuffer;
  readonly #known: StretchIndex;
  readonly #asks: readonly Ask[];
  readonly #askOf: ReadonlyMap<number, number>; // by checks and range
  readonly #shapes = new Map<number, Shape[]>(); // by hash
  readonly #portClasses: number;
  readonly #wordsMax: number;
  #sequence = new Int32Array(64);
  #loaded: { readonly part: ProgramPart; readonly asks: Int32Array } | undefined; // by position: what it asks
  #looks = 0;
  #shapeWords = 0;

  private constructor(words: WordBuffer, cut: PortCut, wordsMax: number) {
    this.#words = words;
    this.#wordsMax = wordsMax;
    this.#known = new StretchIndex(words);
    this.#asks = cut.asks;
    this.#askOf = cut.askOf;
    this.#portClasses = cut.count;
    this.ports = words.count;
    words.append(new Int32Array(cut.table.buffer));
  }

  /** Undefined where the runs of these parts are too few for shapes, or cut ports into too many classes. */
  static of(parts: readonly ProgramPart[], words: WordBuffer, wordsMax: number): ShapeMaker | undefined {
    const cut = cutPorts(parts);
    return cut && new ShapeMaker(words, cut, wordsMax);
  }

  /** By port class what the runs for any address decide; returns where that is. */
  wildcards(part: ProgramPart): number {
    const codes = new Int32Array(this.#portClasses).fill(NO_MATCH);
    for (let w = part.wildcards.length - 1; w >= 0; w--) {
      const position = part.wildcards[w]!; // w < length
      const { classes, unreadable } = this.#asks[this.#asksOf(part)[position]!]!; // an ask of the cut, here and below
      const code = part.codeOf(position);
      for (let i = 0; i < classes.length; i += 2) codes.fill(code, classes[i], classes[i + 1]);
      for (const p of unreadable) codes[p] = dropOf(code);
    }
    return this.#words.append(codes);
  }

  /** The row of a class in which `count` runs hold: their positions, ascending; 0 if there is no room. */
  row(part: ProgramPart, runs: Int32Array, count: number): number {
    this.#looks += count;
    if (count > this.#sequence.length) this.#sequence = new Int32Array(count * 2);
    const asks = this.#asksOf(part);
    for (let i = 0; i < count; i++) this.#sequence[i] = asks[runs[i]!]!; // i < count, a position of the part
    const shape = this.#shapeOf(count);
    const words = this.#words.count - this.ports;
    const isMuch =
      this.#looks + words > this.#wordsMax || this.#shapeWords > Math.max(SHAPE_WORDS, words / 3);
    if (shape.codes.length > RECORD_CODES_MAX || isMuch) this.isFull = true;
    if (this.isFull) return 0;
    const start = this.#words.count;
    this.#words.push(shape.at | SHAPE_BIT);
    for (const { run, isDrop } of shape.codes) {
      const code = part.codeOf(runs[run]!); // an index of the runs
      this.#words.push(isDrop ? dropOf(code) : code);
    }
    return this.#known.intern(start);
  }

  /** By position of a part, which ask its run is. */
  #asksOf(part: ProgramPart): Int32Array {
    if (this.#loaded?.part === part) return this.#loaded.asks;
    const asks = Int32Array.from(part.checks, (_, position) => this.#askOf.get(askKey(part, position)) ?? -1); // all were asked
    this.#loaded = { part, asks };
    return asks;
  }

  /** The shape of the first `count` asks of the sequence at hand. */
  #shapeOf(count: number): Shape {
    const sequence = this.#sequence;
    let hash = count;
    for (let i = 0; i < count; i++) {
      hash = Math.imul(hash ^ sequence[i]!, 0x9e3779b1); // i < count
      hash ^= hash >>> 15;
    }
    const alike = this.#shapes.get(hash);
    const isSame = ({ asks }: Shape): boolean =>
      asks.length === count && asks.every((ask, i) => ask === sequence[i]);
    const known = alike?.find(isSame);
    if (known !== undefined) return known;
    const made = this.#made(sequence.slice(0, count));
    this.#shapes.set(hash, [...(alike ?? []), made]);
    return made;
  }

  #made(asks: Int32Array): Shape {
    const first = new Int32Array(this.#portClasses).fill(-1); // by port class: the run that decides, twice, plus 1 for a drop
    for (let run = asks.length - 1; run >= 0; run--) {
      const { classes, unreadable } = this.#asks[asks[run]!]!; // asks of the cut
      for (let i = 0; i < classes.length; i += 2) first.fill(run * 2, classes[i], classes[i + 1]);
      for (const p of unreadable) first[p] = run * 2 + 1;
    }
    const places = new Int32Array(asks.length * 2); // by what decides: the word of the record
    const codes: { run: number; isDrop: boolean }[] = [];
    const bytes = new Uint8Array(Math.ceil(this.#portClasses / 4) * 4);
    for (let p = 0; p < first.length; p++) {
      const decides = first[p]!; // p < length
      if (decides < 0) continue;
      if (places[decides] === 0)
        places[decides] = codes.push({ run: decides >> 1, isDrop: (decides & 1) === 1 });
      bytes[p] = places[decides]!; // likewise
    }
    const start = this.#words.append(new Int32Array(bytes.buffer));
    const at = this.#known.intern(start);
    if (at === start) this.#shapeWords += bytes.length / 4;
    return { asks, at: at * 4, codes };
  }
}

function dropOf(code: number): number {
  return (code & ~CODE_ACTION_MASK) | CodeAction.drop;
}

/** A number for what a run asks; exact. */
function askKey(part: ProgramPart, position: number): number {
  const asks = part.checks[position]! & ASKS; // a position of the part
  return (asks & ASKS_DETAIL) === 0 ? asks : part.ranges[position]! * 32 + asks; // likewise
}

interface PortCut {
  readonly asks: readonly Ask[];
  readonly askOf: ReadonlyMap<number, number>;
  readonly count: number;
  readonly table: Uint16Array<ArrayBuffer>;
}

/** The port classes of all runs of some parts, with what each kind of run asks in terms of them. */
function cutPorts(parts: readonly ProgramPart[]): PortCut | undefined {
  const askOf = new Map<number, number>();
  let asking = 0;
  for (const part of parts) {
    for (let position = 0; position < part.count; position++) {
      const asks = part.checks[position]! & ASKS; // position < count
      if ((asks & ASKS_DETAIL) !== 0 && (asks & ProtoBit.other) !== 0) return undefined; // it has no port
      if (asks !== ALL_PROTOS) asking++;
      const key = askKey(part, position);
      if (!askOf.has(key)) askOf.set(key, askOf.size);
    }
  }
  if (asking < ASKING_RUNS) return undefined;
  const edges = PROTOCOLS.map((bit) => edgesOf([...askOf.keys()], bit));
  const count = edges.reduce((sum, { length }) => sum + length + 1, 1);
  if (count > PORT_CLASSES_MAX) return undefined;
  const table = new Uint16Array(PORT_TABLE_PORTS * PROTOCOLS.length);
  const firsts: number[] = []; // by protocol: its first class; the one for what cannot be read comes after the others
  let next = 1;
  for (const [t, ports] of edges.entries()) {
    firsts.push(next);
    for (const [i, port] of ports.entries()) {
      table.fill(next++, t * PORT_TABLE_PORTS + port, t * PORT_TABLE_PORTS + (ports[i + 1] ?? PORTS));
    }
    table[t * PORT_TABLE_PORTS + PORTS] = next++;
  }
  const asks = [...askOf.keys()].map((key) => askIn(key, edges, firsts));
  return { asks, askOf, count, table };
}

/** The ports of a protocol at which what some run asks begins or has ended, from 0 on. */
function edgesOf(keys: readonly number[], bit: number): readonly number[] {
  const edges = new Set([0]);
  for (const key of keys) {
    const { asks, first, last } = askParts(key);
    if ((asks & bit) === 0 || (asks & ASKS_DETAIL) === 0 || first > last) continue;
    edges.add(first);
    if (last + 1 < PORTS) edges.add(last + 1);
  }
  return [...edges].sort((a, b) => a - b);
}

function askParts(key: number): { readonly asks: number; readonly first: number; readonly last: number } {
  const range = Math.floor(key / 32);
  return { asks: key % 32, first: range % PORTS, last: Math.floor(range / PORTS) };
}

function askIn(key: number, edges: readonly (readonly number[])[], firsts: readonly number[]): Ask {
  const { asks, first, last } = askParts(key);
  const classes: number[] = [];
  const unreadable: number[] = [];
  if ((asks & ProtoBit.other) !== 0) classes.push(0, 1);
  for (const [t, bit] of PROTOCOLS.entries()) {
    if ((asks & bit) === 0) continue;
    const ports = edges[t]!; // one of each protocol, as below
    const base = firsts[t]!;
    if ((asks & ASKS_DETAIL) === 0) {
      classes.push(base, base + ports.length + 1);
      continue;
    }
    unreadable.push(base + ports.length);
    if (first > last) continue;
    const end = last + 1 < PORTS ? ports.indexOf(last + 1) : ports.length;
    classes.push(base + ports.indexOf(first), base + end);
  }
  return { classes, unreadable };
}
