/**
 * Words of programs written by hand, as program.ts draws them: what the engine reads from each kind of node.
 */

import { beforeAll, describe, expect, it } from 'vitest';
import { ASKS_DETAIL, ProtoBit } from '../src/classes/match-checks.ts';
import {
  NO_MATCH,
  NODE_OFFSET_SHIFT,
  NodeKind,
  PAGE_PORTS,
  PORT_PAGES,
  PROGRAM_HEADER_WORDS,
  PROGRAM_WORDS,
  ProgramHeader,
  SHAPE_BIT,
  TABLE_EMPTY,
  TableKind,
  tableHash,
} from '../src/program/program.ts';
import { ProgramEngine } from './program-engine.ts';

const { tcp, udp, icmp, other } = ProtoBit;
/** Relative codes: run 0 accepts, run 1 drops, run 2 accepts. */
const [ACCEPT0, DROP1, ACCEPT2] = [5, 10, 13];
/** Added to them by the record, and what it has where nothing matches. */
const [BASE, DEFAULT] = [40, 42];
/** Where the words of a test begin, after the header and two records. */
const FIRST = PROGRAM_HEADER_WORDS + 2 * PROGRAM_WORDS;
const UNREADABLE = -1;

const reference = (kind: number, at: number): number => (at << NODE_OFFSET_SHIFT) | kind;

/** Candidates: what each asks, and its ports; then their codes, and the one where none matches. */
function listOf(
  candidates: readonly (readonly [asks: number, first: number, last: number, code: number])[],
  end: number,
): number[] {
  const halves = [1, 2, 0].flatMap((field) => candidates.map((candidate) => candidate[field] ?? 0));
  const words = Array.from({ length: Math.ceil(halves.length / 2) }, (_, w) => {
    return (halves[w * 2] ?? 0) | ((halves[w * 2 + 1] ?? 0) << 16);
  });
  return [candidates.length, ...words, ...candidates.map(([, , , code]) => code), end];
}

/** tcp 80 to 443 accepts, then any udp drops, else nothing matches. */
const LIST = listOf(
  [
    [tcp | ASKS_DETAIL, 80, 443, ACCEPT0],
    [udp, 0, 0xffff, DROP1],
  ],
  NO_MATCH,
);
/** The sizes of the words in a test. */
const PORT_CLASSES = 7;

interface Words {
  /** By class; all of them, or one for all. */
  readonly rows: readonly number[];
  readonly words?: readonly number[];
  /** By port class. */
  readonly wildcards?: readonly number[];
  readonly noMatch?: number;
  /** Where there are shapes, a record that decides nothing. */
  readonly shapeless?: number;
}

/**
 * Port classes: 0 others; 1 tcp below 256, 2 from 256 on, 3 unreadable; 4 udp; 5 ICMP, 6 unreadable. Pages
 * are of halves beside shapes.
 */
function portWords(at: number, isShaped: boolean): number[] {
  const pageWords = isShaped ? PAGE_PORTS / 2 : PAGE_PORTS;
  const pages = Array.from({ length: PORT_CLASSES }, (_, p) =>
    new Array<number>(pageWords).fill(isShaped ? p * 0x10001 : p),
  ).flat();
  const pageOf = (p: number): number => (at + 4 * PORT_PAGES + p * pageWords) * 4;
  const last = PORT_PAGES - 1;
  const tcpIndex = Array.from({ length: PORT_PAGES }, (_, page) =>
    pageOf(page === last ? 3 : page * PAGE_PORTS < 256 ? 1 : 2),
  );
  const udpIndex = new Array<number>(PORT_PAGES).fill(pageOf(4));
  const icmpIndex = Array.from({ length: PORT_PAGES }, (_, page) => pageOf(page < last ? 5 : 6));
  return [...tcpIndex, ...udpIndex, ...icmpIndex, ...new Array<number>(PORT_PAGES).fill(pageOf(0)), ...pages];
}

/** A block of words with one program; the second record is for a program that goes on. */
function blobOf({
  rows,
  words = [],
  wildcards = new Array<number>(PORT_CLASSES).fill(NO_MATCH),
  noMatch = DEFAULT,
  shapeless = 0,
}: Words): Int32Array {
  const rowsAt = FIRST + words.length;
  const wildcardsAt = rowsAt + rows.length + 1;
  const portsAt = wildcardsAt + 2 * PORT_CLASSES;
  const ports = portWords(portsAt, shapeless !== 0);
  const record = [rowsAt, rows.length === 1 ? 0 : -1, BASE, noMatch, wildcardsAt];
  const further = [rowsAt + rows.length, 0, BASE + 100, 7, wildcardsAt + PORT_CLASSES];
  const blob = new Int32Array(portsAt + ports.length);
  blob[ProgramHeader.programCount] = 1;
  blob[ProgramHeader.recordCount] = 2;
  blob[ProgramHeader.ports] = portsAt;
  blob[ProgramHeader.shapeless] = shapeless;
  blob[ProgramHeader.sharedPages] = -1;
  blob.set(record, PROGRAM_HEADER_WORDS);
  blob.set(further, PROGRAM_HEADER_WORDS + PROGRAM_WORDS);
  blob.set(words, FIRST);
  blob.set(rows, rowsAt);
  blob[rowsAt + rows.length] = ~ACCEPT2; // what the second record decides
  blob.set(wildcards, wildcardsAt);
  blob.fill(NO_MATCH, wildcardsAt + PORT_CLASSES, portsAt);
  blob.set(ports, portsAt);
  return blob;
}

let engine: ProgramEngine;
beforeAll(async () => {
  engine = await ProgramEngine.load();
});

/** What a block decides, one by one; the same must come of tiles. */
function codes(
  blob: Int32Array,
  asked: readonly (readonly [classId: number, bit: number, detail: number])[],
): number[] {
  const one = engine.decideEach(
    blob,
    asked.map(([classId, bit, detail]) => [0, classId, bit, detail]),
  );
  const protos = Uint8Array.from(asked, ([, bit]) =>
    bit === tcp ? 6 : bit === udp ? 17 : bit === icmp ? 1 : 47,
  );
  const classes = Int32Array.from(asked, ([classId]) => classId);
  const details = Int32Array.from(asked, ([, , detail]) => detail);
  expect([...engine.decideTiles(blob, { programs: 0, classes, protos, icmp: 1, details })]).toEqual(one);
  return one;
}

describe('a row', () => {
  it('that is a code decides whatever the packet has, and a class has its own', () => {
    const blob = blobOf({ rows: [~ACCEPT0, ~DROP1, ~NO_MATCH, ~ACCEPT2] });
    expect(
      codes(blob, [
        [0, tcp, 80],
        [1, udp, UNREADABLE],
        [2, icmp, 8],
        [3, other, 0],
      ]),
    ).toEqual([BASE + ACCEPT0, BASE + DROP1, DEFAULT, BASE + ACCEPT2]);
  });

  it('without a match goes on in the record that comes next', () => {
    const blob = blobOf({ rows: [~NO_MATCH], noMatch: ~1 });
    expect(codes(blob, [[0, tcp, 80]])).toEqual([BASE + 100 + ACCEPT2]);
  });

  it.each([
    ['nodes', 0],
    ['shapes', FIRST],
  ])('gives way to a lesser code of the wildcards, by port class, where there are %s', (_, shapeless) => {
    const rows = [ACCEPT2, NO_MATCH, ACCEPT0].map((code) => ~code);
    const wildcards = [DROP1, NO_MATCH, DROP1, ACCEPT0, DROP1, NO_MATCH, DROP1];
    const words = [((FIRST + 1) * 4) | SHAPE_BIT, 0, 0];
    const blob = blobOf({ rows, words, wildcards, shapeless });
    expect(
      codes(blob, [
        [0, other, 1],
        [0, tcp, 255],
        [0, tcp, 256],
        [0, tcp, 65_535],
        [0, tcp, UNREADABLE],
        [0, udp, 1],
        [0, icmp, 255],
        [0, icmp, UNREADABLE],
        [1, icmp, 1],
        [1, udp, 1],
        [2, udp, 1],
      ]),
    ).toEqual(
      [DROP1, ACCEPT2, DROP1, DROP1, ACCEPT0, DROP1, ACCEPT2, DROP1, undefined, DROP1, ACCEPT0].map((code) =>
        code === undefined ? DEFAULT : BASE + code,
      ),
    );
  });

  it('that leads to a record takes the code that its shape has for the port class', () => {
    const shape = [0x00010200, 0x00000001]; // by port class: 0, 2, 1, 0; 1, 0, 0
    const nothing = [((FIRST + 1) * 4) | SHAPE_BIT, 0, 0];
    const words = [...nothing, ...shape, ((FIRST + 3) * 4) | SHAPE_BIT, ACCEPT0, DROP1];
    const blob = blobOf({ rows: [FIRST + 5], words, shapeless: FIRST });
    expect(
      codes(blob, [
        [0, other, 1],
        [0, tcp, 1],
        [0, tcp, 256],
        [0, tcp, UNREADABLE],
        [0, udp, 1],
        [0, icmp, 1],
      ]),
    ).toEqual([DEFAULT, BASE + DROP1, BASE + ACCEPT0, DEFAULT, BASE + ACCEPT0, DEFAULT]);
  });
});

describe('a list', () => {
  it('gives its first candidate that matches; one that might match what cannot be read drops', () => {
    const blob = blobOf({ rows: [reference(NodeKind.list, FIRST)], words: LIST });
    expect(
      codes(blob, [
        [0, tcp, 79],
        [0, tcp, 80],
        [0, tcp, 443],
        [0, tcp, 444],
        [0, udp, UNREADABLE],
        [0, tcp, UNREADABLE],
        [0, icmp, 8],
      ]),
    ).toEqual([
      DEFAULT,
      BASE + ACCEPT0,
      BASE + ACCEPT0,
      DEFAULT,
      BASE + DROP1,
      BASE + (ACCEPT0 & ~3) + 2,
      DEFAULT,
    ]);
  });
});

describe('a map', () => {
  it('finds the interval of a port by protocol, and has a code for what cannot be read', () => {
    const intervals = FIRST + 4;
    const words = [intervals, ~DROP1, ~NO_MATCH, ~ACCEPT2, 2, DROP1, 80, 444, NO_MATCH, ACCEPT0, ACCEPT2];
    const blob = blobOf({ rows: [reference(NodeKind.map, FIRST)], words });
    expect(
      codes(blob, [
        [0, tcp, 0],
        [0, tcp, 79],
        [0, tcp, 80],
        [0, tcp, 443],
        [0, tcp, 444],
        [0, tcp, 65_535],
        [0, tcp, UNREADABLE],
        [0, udp, 9],
        [0, icmp, 8],
        [0, other, UNREADABLE],
      ]),
    ).toEqual([
      DEFAULT,
      DEFAULT,
      BASE + ACCEPT0,
      BASE + ACCEPT0,
      BASE + ACCEPT2,
      BASE + ACCEPT2,
      BASE + DROP1,
      BASE + DROP1,
      DEFAULT,
      BASE + ACCEPT2,
    ]);
  });
});

describe('a table', () => {
  const SHIFT = 30; // of four slots

  /** Slots with the keys where a search begins, or after it. */
  function slotsOf(
    entries: readonly (readonly [key: number, ...values: readonly number[]])[],
    width: number,
  ): number[] {
    const slots = Array.from({ length: 4 }, () => [TABLE_EMPTY, ...new Array<number>(width - 1).fill(0)]);
    for (const [key, ...values] of entries) {
      let slot = tableHash(key, SHIFT);
      while (slots[slot]?.[0] !== TABLE_EMPTY) slot = (slot + 1) & 3;
      slots[slot] = [key, ...values];
    }
    return slots.flat();
  }

  it('of classes gives the row of a class, also behind others, and one for those that it has not', () => {
    const [first = 0, second = 0, missing = 0] = Array.from({ length: 40 }, (_, key) => key).filter(
      (key) => tableHash(key, SHIFT) === 3,
    );
    const slots = slotsOf(
      [
        [first, ~ACCEPT0],
        [second, ~ACCEPT2],
      ],
      2,
    );
    const words = [TableKind.classes, SHIFT, 3, ~DROP1, ...slots];
    const blob = blobOf({ rows: [reference(NodeKind.table, FIRST)], words });
    expect(
      codes(blob, [
        [first, tcp, 1],
        [second, tcp, 1],
        [missing, tcp, 1],
      ]),
    ).toEqual([BASE + ACCEPT0, BASE + ACCEPT2, BASE + DROP1]);
  });

  it('of members gives the least that the predicates of a class decide, in DNS classes by other nodes', () => {
    const slots = slotsOf(
      [
        [4, ~ACCEPT2, ~ACCEPT0, ACCEPT0],
        [9, ~DROP1, ~DROP1, DROP1],
      ],
      4,
    );
    const classesAt = FIRST + 4 + slots.length;
    const membersAt = classesAt + 4;
    const members = [1, 4, 2, 4, 9, 1, 5]; // {4}, {4, 9}, {5}
    const classes = [membersAt << 1, (membersAt << 1) | 1, (membersAt + 2) << 1, (membersAt + 5) << 1];
    const words = [TableKind.members, SHIFT, 3, classesAt, ...slots, ...classes, ...members];
    const blob = blobOf({ rows: [reference(NodeKind.table, FIRST)], words });
    expect(
      codes(blob, [
        [0, tcp, 1],
        [1, tcp, 1],
        [2, tcp, 1],
        [3, tcp, 1],
      ]),
    ).toEqual([BASE + ACCEPT2, BASE + ACCEPT0, BASE + DROP1, DEFAULT]);
  });
});
