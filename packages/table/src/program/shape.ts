/**
 * Shapes: the decision of a class's runs by port class, if port classes are few (the second phase of
 * recursive flow classification, Gupta and McKeown 1999).
 *
 *   record  word 0: the first byte of its shape, with the top bit; then relative codes
 *   shape   by port class a byte: which word of the record decides, 0: none of its codes
 *
 * The answer is the lesser, unsigned, of `record[shape[p]]` and the wildcards' decision: word 0 is above all
 * codes. So no branch depends on the packet, only the addresses of loads. Classes with equal checks share a
 * shape, whatever their codes; equal records are kept once. If that takes too much, no class of the rule set
 * has a shape, and nodes (node.ts) decide.
 */

import type { Candidates } from './part.ts';
import { dropOf, type PortClasses } from './ports.ts';
import { SHAPE_BIT } from './program.ts';
import { StretchIndex, type WordBuffer } from './words.ts';

/** Our choice: bytes of a shape. Real rule sets cut ports into some hundred classes. */
export const PORT_CLASSES_MAX = 1024;
/** Our choice: words of all shapes, or a third of the programs where that is more. */
const SHAPE_WORDS = 2 ** 19;
/**
 * Our choice: runs looked at for records, by words that these may take. Qubes with some thousand rules in
 * common look at many for few words; at a few nanoseconds each, that is less than nodes would take.
 */
const LOOKS_FACTOR = 16;
/** Fixed by the bytes of shapes. */
const RECORD_CODES_MAX = 255;

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
  /** Whether rows of this kind take too much; those made are then useless. */
  isFull = false;
  readonly #words: WordBuffer;
  readonly #known: StretchIndex;
  readonly #ports: PortClasses;
  readonly #shapes = new Map<number, Shape[]>(); // by hash
  readonly #wordsMax: number;
  readonly #start: number;
  #sequence = new Int32Array(64);
  #looks = 0;
  #shapeWords = 0;

  /** `wordsMax` bounds the words of all records and shapes, and, LOOKS_FACTOR times, the runs looked at. */
  constructor(words: WordBuffer, ports: PortClasses, wordsMax: number) {
    this.#words = words;
    this.#ports = ports;
    this.#wordsMax = wordsMax;
    this.#start = words.count;
    this.#known = new StretchIndex(words);
  }

  /** The record of a class in which `count` runs hold: their positions, ascending; 0 if there is no room. */
  record(part: Candidates, runs: Int32Array, count: number): number {
    this.#looks += count;
    if (count > this.#sequence.length) this.#sequence = new Int32Array(count * 2);
    const asks = this.#ports.asksOf(part);
    for (let i = 0; i < count; i++) this.#sequence[i] = asks[runs[i]!]!; // i < count, a position of the part
    const shape = this.#shapeOf(count);
    const words = this.#words.count - this.#start;
    const isMuch =
      this.#looks > this.#wordsMax * LOOKS_FACTOR ||
      words > this.#wordsMax ||
      this.#shapeWords > Math.max(SHAPE_WORDS, words / 3);
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

  /** The shape of the first `count` checks of the present sequence. */
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
    const first = this.#ports.decidedBy(asks);
    const places = new Int32Array(asks.length * 2); // by what decides: the word of the record
    const codes: { run: number; isDrop: boolean }[] = [];
    const bytes = new Uint8Array(Math.ceil(this.#ports.count / 4) * 4);
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
