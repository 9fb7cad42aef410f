/**
 * Nodes: the decision of some runs by protocol and port or type, if there are no shapes, in the words that
 * program.ts describes: a code if the runs have no checks, a list if they are few, else a map. Equal nodes
 * are kept once. Maps can grow with the product of overlapping rules, so their words are bounded, and so is
 * the work on maps that turn out equal.
 */

import { ALL_PROTOS, ASKS_DETAIL, ProtoBit } from '../classes/match-checks.ts';
import { asksNothing, type Candidates } from './part.ts';
import { dropOf } from './ports.ts';
import { LIST_RUNS, NO_MATCH, NODE_OFFSET_SHIFT, NodeKind } from './program.ts';
import { doubled, StretchIndex, type WordBuffer } from './words.ts';

const PORT_MAX = 0xffff;
/** In the order of a map's words. */
const PROTOCOLS = [ProtoBit.tcp, ProtoBit.udp, ProtoBit.icmp, ProtoBit.other] as const;

export class NodeMaker {
  readonly #words: WordBuffer;
  readonly #known: StretchIndex;
  readonly #combinedMax: number;
  #combined = 0; // words of maps, or runs painted into them if those are more
  readonly #paint = new IntervalPaint();

  /** `combinedMax` bounds maps, as TableLimits says. */
  constructor(words: WordBuffer, combinedMax: number) {
    this.#words = words;
    this.#known = new StretchIndex(words);
    this.#combinedMax = combinedMax;
  }

  /** Whether there may be more maps of classes. */
  get hasRoom(): boolean {
    return this.#combined < this.#combinedMax;
  }

  /** Removes all words from `start` on. */
  forget(start: number): void {
    this.#known.forget(start);
    this.#words.count = start;
  }

  /** The node of `count` runs, of which only the last may be without checks. */
  node(part: Candidates, runs: Int32Array, count: number): number {
    const last = count > 0 && asksNothing(part, runs[count - 1]!) ? runs[count - 1]! : -1; // count > 0
    const end = last < 0 ? NO_MATCH : part.codeOf(last);
    const asking = last < 0 ? count : count - 1;
    return asking <= LIST_RUNS ? this.#list(part, runs, asking, end) : this.#map(part, runs, asking, end);
  }

  #list(part: Candidates, runs: Int32Array, count: number, end: number): number {
    const [firsts, lasts, asked, codes]: [number[], number[], number[], number[]] = [[], [], [], []];
    let decided = 0; // protocols that some run before decides whatever the port
    for (let i = 0; i < count && decided !== ALL_PROTOS; i++) {
      const position = runs[i]!; // i < count
      const asks = part.checks[position]! & (ALL_PROTOS | ASKS_DETAIL); // a position of the part
      if ((asks & ALL_PROTOS & ~decided) === 0) continue;
      const asksDetail = (asks & ASKS_DETAIL) !== 0;
      if (!asksDetail) decided |= asks;
      const range = part.ranges[position]!; // likewise
      firsts.push(asksDetail ? range & PORT_MAX : 0);
      lasts.push(asksDetail ? range >>> 16 : PORT_MAX);
      asked.push(asks);
      codes.push(part.codeOf(position));
    }
    if (codes.length === 0) return ~end;
    const words = this.#words;
    const start = words.count;
    words.push(codes.length);
    const halves = [...firsts, ...lasts, ...asked, 0];
    // one code more than intervals
    for (let h = 0; h < codes.length * 3; h += 2) words.push(halves[h]! | (halves[h + 1]! << 16));
    for (const code of codes) words.push(code);
    words.push(end);
    return (this.#known.intern(start) << NODE_OFFSET_SHIFT) | NodeKind.list;
  }

  #map(part: Candidates, runs: Int32Array, count: number, end: number): number {
    const before = this.#words.count;
    const protocols = PROTOCOLS.map((bit) => this.#intervals(part, runs, count, end, bit));
    const [first = 0] = protocols;
    if (first < 0 && protocols.every((word) => word === first)) return first;
    const start = this.#words.count;
    for (const word of protocols) this.#words.push(word);
    const at = this.#known.intern(start);
    this.#combined += Math.max(this.#words.count - before, count);
    return (at << NODE_OFFSET_SHIFT) | NodeKind.map;
  }

  /** The decision of the runs for one protocol: ~code, or the offset of its intervals. */
  #intervals(part: Candidates, runs: Int32Array, count: number, end: number, bit: number): number {
    const paint = this.#paint;
    const words = this.#words;
    const unreadable = this.#paintRuns(part, runs, count, end, bit);
    if (unreadable < 0) return ~(paint.codes[0] ?? end);
    const start = words.count;
    words.push(paint.count - 1);
    words.push(unreadable);
    for (let i = 1; i < paint.count; i++) words.push(paint.firsts[i]!); // i < count
    for (let i = 0; i < paint.count; i++) words.push(paint.codes[i]!); // likewise
    return this.#known.intern(start);
  }

  /**
   * Paints what the runs decide for one protocol; returns the code where ports cannot be read, or -1 if that
   * is no matter.
   */
  #paintRuns(part: Candidates, runs: Int32Array, count: number, end: number, bit: number): number {
    const paint = this.#paint;
    paint.clear();
    let base = end;
    let unreadable = -1;
    for (let i = 0; i < count; i++) {
      const position = runs[i]!; // i < count
      const checks = part.checks[position]!; // a position of the part
      if ((checks & bit) === 0) continue;
      const code = part.codeOf(position);
      if ((checks & ASKS_DETAIL) === 0) {
        base = code;
        break;
      }
      // It could match and cannot be read.
      if (unreadable < 0) unreadable = dropOf(code);
      paint.add(part.ranges[position]!, code); // likewise
    }
    paint.finish(base);
    return unreadable;
  }
}

/** Ranges of ports painted one after another, each only on cells not painted yet. */
class IntervalPaint {
  /** The first port of each interval; the first is 0. */
  firsts = new Int32Array(64);
  codes = new Int32Array(64);
  #next = new Int32Array(64); // the first interval from here on that is not painted
  #ranges = new Int32Array(32);
  #rangeCodes = new Int32Array(32);
  /** The number of intervals, after `finish`. */
  count = 0;
  #rangeCount = 0;

  clear(): void {
    this.#rangeCount = 0;
  }

  /** `range` is first | last << 16; it is empty where first > last. */
  add(range: number, code: number): void {
    if ((range & PORT_MAX) > range >>> 16) return;
    if (this.#rangeCount === this.#ranges.length) {
      this.#ranges = doubled(this.#ranges);
      this.#rangeCodes = doubled(this.#rangeCodes);
    }
    this.#ranges[this.#rangeCount] = range;
    this.#rangeCodes[this.#rangeCount++] = code;
  }

  /** Paints, with `base` where nothing is. Intervals that are alike and touch become one. */
  finish(base: number): void {
    const cells = this.#cut();
    const { firsts, codes } = this;
    const next = this.#next;
    codes.fill(base, 0, cells);
    for (let i = 0; i <= cells; i++) next[i] = i;
    for (let r = 0; r < this.#rangeCount; r++) {
      const range = this.#ranges[r]!; // r < rangeCount
      const last = range >>> 16;
      let cell = this.#unpainted(this.#cellOf(range & PORT_MAX, cells));
      while (cell < cells && firsts[cell]! <= last) {
        codes[cell] = this.#rangeCodes[r]!; // likewise
        next[cell] = cell + 1;
        cell = this.#unpainted(cell + 1);
      }
    }
    let kept = 0;
    for (let cell = 0; cell < cells; cell++) {
      if (kept > 0 && codes[cell] === codes[kept - 1]) continue;
      firsts[kept] = firsts[cell]!; // kept <= cell < cells
      codes[kept++] = codes[cell]!; // likewise
    }
    this.count = kept;
  }

  /** Makes a cell from each port where some range begins or has ended. */
  #cut(): number {
    const most = this.#rangeCount * 2 + 1;
    if (this.firsts.length <= most) {
      this.firsts = new Int32Array(most * 2);
      this.codes = new Int32Array(most * 2);
      this.#next = new Int32Array(most * 2);
    }
    const { firsts } = this;
    let edges = 0;
    firsts[edges++] = 0;
    for (let r = 0; r < this.#rangeCount; r++) {
      const range = this.#ranges[r]!; // r < rangeCount
      firsts[edges++] = range & PORT_MAX;
      if (range >>> 16 < PORT_MAX) firsts[edges++] = (range >>> 16) + 1;
    }
    firsts.subarray(0, edges).sort();
    let cells = 1;
    for (let e = 1; e < edges; e++) if (firsts[e] !== firsts[e - 1]) firsts[cells++] = firsts[e]!; // e < edges
    return cells;
  }

  #cellOf(port: number, cells: number): number {
    let low = 0;
    let high = cells;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (this.firsts[middle]! <= port)
        low = middle; // middle < cells
      else high = middle;
    }
    return low;
  }

  #unpainted(from: number): number {
    const next = this.#next;
    let cell = from;
    while (next[cell] !== cell) {
      next[cell] = next[next[cell]!]!; // cells up to the one after the last have a next
      cell = next[cell]!; // likewise
    }
    return cell;
  }
}
