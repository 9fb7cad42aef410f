/**
 * Port classes: the ports of tcp and udp, and the types of ICMP, cut at the ends of the runs' ranges; and by
 * port class the decision of a program's runs for any address.
 *
 *   index  by protocol (tcp, udp, icmp, others) 1025 words: the first byte of a page, for the high bits of a port or type; the
 *          last is for what cannot be read
 *   page   by the low 6 bits a port class: a half where programs have shapes, which are few, or else a word
 *   wildcards  by port class a word: a relative code, or NO_MATCH
 *
 * Pages that one interval fills, and equal columns of wildcards, are kept once.
 */

import { ALL_PROTOS, ASKS_DETAIL, ProtoBit } from '../classes/match-checks.ts';
import type { Candidates, ProgramPart } from './part.ts';
import { CODE_ACTION_MASK, CodeAction, NO_MATCH, PAGE_PORTS, PORT_PAGES } from './program.ts';
import { StretchIndex, type WordBuffer } from './words.ts';

const PORTS = 65_536;
/** The protocols that have ports or types, in the order of the index. */
const PROTOCOLS = [ProtoBit.tcp, ProtoBit.udp, ProtoBit.icmp] as const;
/** The check of a run: its protocols and ASKS_DETAIL, and its range. */
const ASKS = ALL_PROTOS | ASKS_DETAIL;

/** A check that some runs share. */
interface Ask {
  /** Port classes in which it matches, in pairs: the first, and the one after the last. */
  readonly classes: readonly number[];
  /** The classes in which it could match a packet whose port cannot be read. */
  readonly unreadable: readonly number[];
}

export class PortClasses {
  /** The number of classes; the first is that of the other protocols. */
  readonly count: number;
  readonly #asks: readonly Ask[];
  readonly #askOf: ReadonlyMap<number, number>; // by checks and range
  readonly #edges: readonly (readonly number[])[]; // by protocol
  readonly #firsts: readonly number[]; // by protocol: its first class; the one for what cannot be read is its last
  #loaded: { readonly part: Candidates; readonly asks: Int32Array } | undefined;
  #known: StretchIndex | undefined;

  /** The classes cut by some checks, each given once (`askKeys`). */
  constructor(askKeys: readonly number[]) {
    this.#askOf = new Map(askKeys.map((key, ask) => [key, ask]));
    const keys = askKeys.map(askParts);
    this.#edges = PROTOCOLS.map((bit) => edgesOf(keys, bit));
    const firsts: number[] = [];
    let count = 1;
    for (const { length } of this.#edges) {
      firsts.push(count);
      count += length + 1;
    }
    this.#firsts = firsts;
    this.count = count;
    const places = this.#edges.map((ports) => new Map(ports.map((port, i) => [port, i])));
    this.#asks = keys.map((key) => this.#ask(key, places));
  }

  /** The keys of the checks, by number, as `askKeys` returns them. */
  get keys(): readonly number[] {
    return [...this.#askOf.keys()];
  }

  /** By position, the number of a run's check; -1 if it is none of these. */
  asksOf(part: Candidates): Int32Array {
    if (this.#loaded?.part === part) return this.#loaded.asks;
    const asks = Int32Array.from(part.checks, (_, position) => this.#askOf.get(askKey(part, position)) ?? -1);
    this.#loaded = { part, asks };
    return asks;
  }

  /** Writes the index and its pages, of halves or words; returns where the index is. */
  write(words: WordBuffer, isNarrow: boolean): number {
    this.#known = new StretchIndex(words);
    const index: number[] = [];
    const page = new (isNarrow ? Uint16Array : Uint32Array)(PAGE_PORTS);
    const append = (): number => words.append(new Int32Array(page.buffer)) * 4;
    for (const [t, ports] of this.#edges.entries()) {
      const first = this.#firsts[t]!; // one for each protocol
      let at = 0; // the interval of the present port
      let [whole, wholeAt] = [-1, 0]; // the last interval that had a page of its own, as most have, and where it is
      for (let port = 0; port < PORTS; port += PAGE_PORTS) {
        if (ports[at + 1] === port) at++;
        if ((ports[at + 1] ?? PORTS) >= port + PAGE_PORTS) {
          page.fill(first + at);
          if (whole !== at) wholeAt = append();
          whole = at;
          index.push(wholeAt);
          continue;
        }
        for (let low = 0; low < PAGE_PORTS; low++) {
          if (ports[at + 1] === port + low) at++;
          page[low] = first + at;
        }
        index.push(append());
      }
      page.fill(first + ports.length);
      index.push(append());
    }
    page.fill(0);
    const others = append();
    for (let i = 0; i < PORT_PAGES; i++) index.push(others);
    return words.append(Int32Array.from(index));
  }

  /** By port class what runs for any address, at these positions, decide; returns where that is. */
  wildcards(part: Candidates, positions: Int32Array, words: WordBuffer): number {
    const asks = this.asksOf(part);
    const codes = this.decidedBy(positions.map((position) => asks[position]!)).map((decides) => {
      if (decides < 0) return NO_MATCH;
      const code = part.codeOf(positions[decides >> 1]!); // the deciding run is one of them
      return (decides & 1) === 0 ? code : dropOf(code);
    });
    const start = words.append(codes);
    return this.#known?.intern(start) ?? start;
  }

  /** By port class the place of the first of some asks that matches, twice, plus 1 for a drop; or -1. */
  decidedBy(asks: Int32Array): Int32Array {
    const first = new Int32Array(this.count).fill(-1);
    for (let place = asks.length - 1; place >= 0; place--) {
      const { classes, unreadable } = this.#asks[asks[place]!]!; // numbers of checks in the cut
      for (let i = 0; i < classes.length; i += 2) first.fill(place * 2, classes[i], classes[i + 1]);
      for (const p of unreadable) first[p] = place * 2 + 1;
    }
    return first;
  }

  #ask({ asks, first, last }: AskParts, places: readonly ReadonlyMap<number, number>[]): Ask {
    const classes: number[] = [];
    const unreadable: number[] = [];
    if ((asks & ProtoBit.other) !== 0) classes.push(0, 1);
    for (const [t, bit] of PROTOCOLS.entries()) {
      if ((asks & bit) === 0) continue;
      const { length } = this.#edges[t]!; // one for each protocol, as below
      const base = this.#firsts[t]!;
      if ((asks & ASKS_DETAIL) === 0) {
        classes.push(base, base + length + 1);
        continue;
      }
      unreadable.push(base + length);
      if (first <= last)
        classes.push(base + (places[t]?.get(first) ?? 0), base + (places[t]?.get(last + 1) ?? length)); // they are edges
    }
    return { classes, unreadable };
  }
}

/** The code of a run that could match, for a packet whose port cannot be read. */
export function dropOf(code: number): number {
  return (code & ~CODE_ACTION_MASK) | CodeAction.drop;
}

interface AskParts {
  readonly asks: number;
  readonly first: number;
  readonly last: number;
}

/** The checks of the runs of some parts, or only of those for any address: a number for each, exact. */
export function askKeys(parts: readonly ProgramPart[], onlyWildcards: boolean): readonly number[] {
  const keys = new Set<number>();
  for (const part of parts) {
    for (const position of onlyWildcards ? part.wildcards : part.predicates.keys())
      keys.add(askKey(part, position));
  }
  return [...keys];
}

function askKey(part: Candidates, position: number): number {
  const asks = part.checks[position]! & ASKS; // a position of the part
  return (asks & ASKS_DETAIL) === 0 ? asks : part.ranges[position]! * 32 + asks; // likewise
}

function askParts(key: number): AskParts {
  const range = Math.floor(key / 32);
  return { asks: key % 32, first: range % PORTS, last: Math.floor(range / PORTS) };
}

/** The ports of a protocol at which what some run asks begins or has ended, from 0 on. */
function edgesOf(keys: readonly AskParts[], bit: number): readonly number[] {
  const edges = new Set([0]);
  for (const { asks, first, last } of keys) {
    if ((asks & bit) === 0 || (asks & ASKS_DETAIL) === 0 || first > last) continue;
    edges.add(first);
    if (last + 1 < PORTS) edges.add(last + 1);
  }
  return [...edges].sort((a, b) => a - b);
}
