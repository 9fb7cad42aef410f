/**
 * Nodes: what the runs that hold in a class decide by protocol and port or type, as the words that program.ts
 * describes. Equal nodes are kept once.
 *
 * First match is the least code, so runs may be gathered in any way whose results are then compared. In order
 * of preference:
 *
 *   all runs of the class, with the wildcards that matter, as one list or one map;
 *   the class's own runs as a list or a map, compared with the wildcards' node at lookup;
 *   a node for each of the class's predicates, all compared at lookup (and with the wildcards' node).
 *
 * The last takes words in proportion to the pairs of class and predicate; the maps of the others can take the
 * product of rules that overlap, so they are bounded, and so is the work that goes into maps which are equal
 * in the end.
 */

import { ALL_PROTOS, ASKS_DETAIL, ProtoBit } from '../classes/rule-columns.ts';
import type { ProgramPart } from './part.ts';
import {
  CODE_ACTION_MASK,
  CodeAction,
  codeReference,
  LIST_CODE_BITS,
  NO_MATCH,
  NODE_OFFSET_SHIFT,
  NodeKind,
  PAGE_BITS,
  WITH_WILDCARDS,
} from './program.ts';
import { StretchIndex, type WordBuffer } from './words.ts';

/** Our choice: candidates up to which a list is as fast as a map, and smaller. */
const LIST_RUNS = 5;
/**
 * Our choice: wildcards up to which a class's own map takes them in; more would be repeated in too many maps.
 */
const MERGED_WILDCARDS = 16;
/** Our choice: runs from which on the wildcards' map is in pages, which take two loads and no search. */
const PAGED_RUNS = 24;
/** Our choice: words of all pages. Those of one map are at most 2^17, and usually a tenth. */
const PAGE_WORDS_MAX = 2 ** 20;
const PORT_MAX = 0xffff;
const PAGE_PORTS = 2 ** PAGE_BITS;

/** In the order of a map's words. */
const PROTOCOLS = [ProtoBit.tcp, ProtoBit.udp, ProtoBit.icmp, ProtoBit.other] as const;

export interface PredicateNode {
  readonly word: number;
  /** At most the least code it gives. */
  readonly least: number;
  /** What it gives where none of its runs that ask something matches, which may be NO_MATCH. */
  readonly end: number;
}

export class NodeMaker {
  readonly #words: WordBuffer;
  readonly #known: StretchIndex;
  readonly #combinedMax: number;
  #combined = 0; // words of maps of classes, or runs painted into them where those are more
  #pageWords = 0;
  readonly #wholePages = new Map<number, number>(); // by code
  #merged = new Int32Array(64);
  readonly #paint = new IntervalPaint();

  /** `combinedMax` bounds the maps that put together what several predicates say, as TableLimits says. */
  constructor(words: WordBuffer, combinedMax: number) {
    this.#words = words;
    this.#known = new StretchIndex(words);
    this.#combinedMax = combinedMax;
  }

  /** Whether there may be more maps of classes. */
  get hasRoom(): boolean {
    return this.#combined < this.#combinedMax;
  }

  /** What the wildcards alone decide: a node, NO_MATCH where they decide nothing. */
  wildcards(part: ProgramPart): number {
    const count = part.wildcardsBefore(part.count);
    if (count < PAGED_RUNS || this.#pageWords >= PAGE_WORDS_MAX)
      return this.node(part, part.wildcards, count, part.wildcardsEnd);
    const words = this.#words;
    const before = words.count;
    const protocols = PROTOCOLS.map((bit) =>
      this.#pages(part, part.wildcards, count, part.wildcardsEnd, bit),
    );
    this.#pageWords += words.count - before;
    const start = words.count;
    for (const at of protocols) words.push(at);
    return (this.#known.intern(start) << NODE_OFFSET_SHIFT) | NodeKind.map;
  }

  /** The row of a class in which no run but the wildcards can match; `wildcards` is their node. */
  elsewhere(part: ProgramPart, wildcards: number): number {
    if (wildcards >= 0) return codeReference(NO_MATCH) | WITH_WILDCARDS;
    if (wildcards !== ~NO_MATCH) return wildcards;
    return part.defaultCode === NO_MATCH ? codeReference(NO_MATCH) : ~part.defaultCode;
  }

  /**
   * The row of a class in which `runCount` runs hold, at least one: their positions, ascending, of which only
   * the last may ask nothing. `predicateNodes` gives a node for each predicate of the class; it is called
   * where all runs together are too many.
   */
  row(
    part: ProgramPart,
    runs: Int32Array,
    runCount: number,
    predicateNodes: (part: ProgramPart) => readonly PredicateNode[],
  ): number {
    const isEnd = part.asksNothing(runs[runCount - 1]!); // runCount > 0
    const own = isEnd ? runCount - 1 : runCount;
    const last = isEnd ? runs[own]! : -1; // own < runCount
    const before = part.wildcardsBefore(last < 0 ? part.count : last);
    const end = last >= 0 ? part.codeOf(last) : NO_MATCH;
    const fits = own <= LIST_RUNS || this.hasRoom;
    if (
      before === 0 ||
      own + before <= LIST_RUNS ||
      (fits && own > LIST_RUNS && before <= MERGED_WILDCARDS)
    ) {
      if (fits) {
        const count = this.#merge(part, runs, own, before);
        const word = this.node(part, this.#merged, count, last >= 0 ? end : part.wildcardsEnd);
        return word === ~NO_MATCH ? this.elsewhere(part, word) : word;
      }
    }
    if (!fits) return this.union(part, predicateNodes(part));
    const withWildcards = before > 0 || (last < 0 && part.wildcards.length > 0) ? WITH_WILDCARDS : 0;
    const word = this.node(part, runs, own, end);
    return (word < 0 ? codeReference(~word) : word) | withWildcards;
  }

  /** The row of a class: the least of what its predicates' nodes give, and of the wildcards. */
  union(part: ProgramPart, nodes: readonly PredicateNode[]): number {
    const end = nodes.reduce((least, node) => Math.min(least, node.end), NO_MATCH);
    const needed = nodes.filter(({ least }) => least <= end).sort((a, b) => a.least - b.least);
    const start = this.#words.count;
    this.#words.push(needed.length);
    for (const { least, word } of needed) {
      this.#words.push(least);
      this.#words.push(word);
    }
    const withWildcards = part.wildcards.length > 0 ? WITH_WILDCARDS : 0; // the least that they give may come too late
    return (this.#known.intern(start) << NODE_OFFSET_SHIFT) | withWildcards | NodeKind.union;
  }

  /** What `count` runs and then the code `end` decide: a word. */
  node(part: ProgramPart, runs: Int32Array, count: number, end: number): number {
    return count <= LIST_RUNS ? this.#list(part, runs, count, end) : this.#map(part, runs, count, end);
  }

  /** Puts a class's own runs and the first wildcards into `merged` by position; returns how many they are. */
  #merge(part: ProgramPart, runs: Int32Array, own: number, wildcards: number): number {
    const count = own + wildcards;
    if (this.#merged.length < count) this.#merged = new Int32Array(count * 2);
    const merged = this.#merged;
    let r = 0;
    let w = 0;
    for (let i = 0; i < count; i++) {
      const takeRun = r < own && (w >= wildcards || runs[r]! < part.wildcards[w]!); // both in range
      merged[i] = takeRun ? runs[r++]! : part.wildcards[w++]!; // likewise
    }
    return count;
  }

  #list(part: ProgramPart, runs: Int32Array, count: number, end: number): number {
    const words = this.#words;
    const start = words.count;
    words.push(0); // until it is known how many candidates there are
    let decided = 0; // protocols that some run before decides whatever the port
    for (let i = 0; i < count && decided !== ALL_PROTOS; i++) {
      const position = runs[i]!; // i < count
      const checks = part.checks[position]!; // a position of the part
      const asks = checks & (ALL_PROTOS | ASKS_DETAIL);
      if ((checks & ALL_PROTOS & ~decided) === 0) continue;
      if ((checks & ASKS_DETAIL) === 0) decided |= checks & ALL_PROTOS;
      words.push((asks << LIST_CODE_BITS) | part.codeOf(position));
      words.push(part.ranges[position]! | 0); // likewise
    }
    const candidates = (words.count - start) >> 1;
    if (candidates === 0) words.count = start;
    if (candidates === 0) return ~end;
    words.set(start, (candidates << LIST_CODE_BITS) | end);
    return (this.#known.intern(start) << NODE_OFFSET_SHIFT) | NodeKind.list;
  }

  #map(part: ProgramPart, runs: Int32Array, count: number, end: number): number {
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

  /** What the runs decide for one protocol: ~code, or where its intervals are. */
  #intervals(part: ProgramPart, runs: Int32Array, count: number, end: number, bit: number): number {
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

  /** The same in pages, always. */
  #pages(part: ProgramPart, runs: Int32Array, count: number, end: number, bit: number): number {
    const paint = this.#paint;
    const words = this.#words;
    const unreadable = this.#paintRuns(part, runs, count, end, bit);
    const pages: number[] = [];
    let interval = 0;
    for (let port = 0; port <= PORT_MAX; port += PAGE_PORTS) {
      if (interval + 1 < paint.count && paint.firsts[interval + 1] === port) interval++;
      const isWhole = interval + 1 >= paint.count || paint.firsts[interval + 1]! >= port + PAGE_PORTS; // the latter: < count
      if (isWhole) {
        pages.push(this.#wholePage(paint.codes[interval]!)); // interval < count, here and below
        continue;
      }
      const start = words.count;
      for (let i = 0; i < PAGE_PORTS; i++) {
        if (interval + 1 < paint.count && paint.firsts[interval + 1] === port + i) interval++;
        words.push(paint.codes[interval]!);
      }
      pages.push(this.#known.intern(start));
    }
    const start = words.count;
    words.push(-1);
    words.push(unreadable < 0 ? paint.codes[0]! : unreadable); // there is one interval at least
    for (const page of pages) words.push(page);
    return this.#known.intern(start);
  }

  /** A page of one code, as most are: found without making it again. */
  #wholePage(code: number): number {
    let page = this.#wholePages.get(code);
    if (page === undefined) {
      page = this.#known.intern(this.#words.take(PAGE_PORTS, code));
      this.#wholePages.set(code, page);
    }
    return page;
  }

  /**
   * Paints what the runs decide for one protocol; returns the code where ports cannot be read, or -1 if that
   * is no matter.
   */
  #paintRuns(part: ProgramPart, runs: Int32Array, count: number, end: number, bit: number): number {
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
      if (unreadable < 0) unreadable = (code & ~CODE_ACTION_MASK) | CodeAction.drop;
      paint.add(part.ranges[position]!, code); // likewise
    }
    paint.finish(base);
    return unreadable;
  }
}

/** Ranges of ports painted one after the other, each only where nothing is painted yet. */
class IntervalPaint {
  /** The first port of each interval; the first is 0. */
  firsts = new Int32Array(64);
  codes = new Int32Array(64);
  #next = new Int32Array(64); // the first interval from here on that is not painted
  #ranges = new Uint32Array(32);
  #rangeCodes = new Int32Array(32);
  /** How many intervals there are, after `finish`. */
  count = 0;
  #rangeCount = 0;

  clear(): void {
    this.#rangeCount = 0;
  }

  /** `range` is first | last << 16; it is empty where first > last. */
  add(range: number, code: number): void {
    if ((range & PORT_MAX) > range >>> 16) return;
    if (this.#rangeCount === this.#ranges.length) {
      const ranges = new Uint32Array(this.#rangeCount * 2);
      const codes = new Int32Array(this.#rangeCount * 2);
      ranges.set(this.#ranges);
      codes.set(this.#rangeCodes);
      this.#ranges = ranges;
      this.#rangeCodes = codes;
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
