/**
 * Words of programs written by hand, as program.ts draws them: what the engine reads from each kind of node.
 */

import { beforeAll, describe, expect, it } from 'vitest';
import { ASKS_DETAIL, ProtoBit } from '../src/classes/rule-columns.ts';
import {
  codeReference,
  LIST_CODE_BITS,
  NO_MATCH,
  NODE_OFFSET_SHIFT,
  NodeKind,
  PROGRAM_HEADER_WORDS,
  PROGRAM_WORDS,
  TABLE_EMPTY,
  TableKind,
  tableHash,
  WITH_WILDCARDS,
} from '../src/program/program.ts';
import { ProgramEngine } from './program-engine.ts';

const { tcp, udp, icmp, other } = ProtoBit;
/** Of relative codes: run 0 accepts, run 1 drops, run 2 accepts. */
const [ACCEPT0, DROP1, ACCEPT2] = [5, 10, 13];
/** Added to them by the record, and what it has where nothing matches. */
const [BASE, DEFAULT] = [40, 42];
/** Where the words of a test begin, after the header and two records. */
const FIRST = PROGRAM_HEADER_WORDS + 2 * PROGRAM_WORDS;
const UNREADABLE = -1;

const reference = (kind: number, at: number): number => (at << NODE_OFFSET_SHIFT) | kind;
const candidate = (asks: number, code: number): number => (asks << LIST_CODE_BITS) | code;
const range = (first: number, last: number): number => first | (last << 16);

/** tcp 80 to 443 accepts, then any udp drops, else nothing matches. */
const LIST = [
  (2 << LIST_CODE_BITS) | NO_MATCH,
  candidate(tcp | ASKS_DETAIL, ACCEPT0),
  range(80, 443),
  candidate(udp, DROP1),
  range(0, 0xffff),
];

interface Words {
  /** By class; all of them, or one for all. */
  readonly rows: readonly number[];
  readonly words?: readonly number[];
  readonly wildcards?: number;
  readonly wildcardsLeast?: number;
  readonly noMatch?: number;
}

/** A block of words with one program; the second record is for a program that goes on. */
function blobOf({
  rows,
  words = [],
  wildcards = ~NO_MATCH,
  wildcardsLeast = NO_MATCH,
  noMatch = DEFAULT,
}: Words): Int32Array {
  const rowsAt = FIRST + words.length;
  const record = [rowsAt, rows.length === 1 ? 0 : -1, BASE, noMatch, wildcards, wildcardsLeast];
  const further = [rowsAt + rows.length, 0, BASE + 100, 7];
  const blob = new Int32Array(rowsAt + rows.length + 1);
  blob[0] = 1;
  blob.set(record, PROGRAM_HEADER_WORDS);
  blob.set(further, PROGRAM_HEADER_WORDS + PROGRAM_WORDS);
  blob.set(words, FIRST);
  blob.set(rows, rowsAt);
  blob[rowsAt + rows.length] = ~ACCEPT2; // what the second record decides
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
    const blob = blobOf({ rows: [~ACCEPT0, ~DROP1, codeReference(NO_MATCH), codeReference(ACCEPT2)] });
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
    const blob = blobOf({ rows: [codeReference(NO_MATCH)], noMatch: ~1 });
    expect(codes(blob, [[0, tcp, 80]])).toEqual([BASE + 100 + ACCEPT2]);
  });

  it('that asks the wildcards too gives the lesser code of both', () => {
    const wildcards = reference(NodeKind.list, FIRST);
    const rows = [ACCEPT2, NO_MATCH, ACCEPT0].map((code) => codeReference(code) | WITH_WILDCARDS);
    const blob = blobOf({ rows, words: LIST, wildcards, wildcardsLeast: ACCEPT0 });
    expect(
      codes(blob, [
        [0, udp, 1],
        [0, tcp, 1],
        [1, udp, 1],
        [1, other, 1],
        [2, udp, 1],
      ]),
    ).toEqual([BASE + DROP1, BASE + ACCEPT2, BASE + DROP1, DEFAULT, BASE + ACCEPT0]);
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

  it('of many intervals finds the page of a port, and the code on it', () => {
    const header = 4 + 2 + 256;
    const pages = Array.from({ length: 256 }, (_, page) => FIRST + header + (page === 1 ? 256 : 0));
    const plain = new Array<number>(256).fill(DROP1);
    const special = plain.map((code, port) => (port === 0 || port === 255 ? ACCEPT0 : code));
    const words = [FIRST + 4, ~NO_MATCH, ~NO_MATCH, ~NO_MATCH, -1, ACCEPT2, ...pages, ...plain, ...special];
    const blob = blobOf({ rows: [reference(NodeKind.map, FIRST)], words });
    const ports = [0, 255, 256, 257, 510, 511, 512, 65_535];
    expect(
      codes(
        blob,
        ports.map((port) => [0, tcp, port] as const),
      ),
    ).toEqual([DROP1, DROP1, ACCEPT0, DROP1, DROP1, ACCEPT0, DROP1, DROP1].map((code) => BASE + code));
    expect(codes(blob, [[0, tcp, UNREADABLE]])).toEqual([BASE + ACCEPT2]);
  });
});

describe('a union', () => {
  it('gives the least code of its nodes, and looks at none whose least is no less', () => {
    const list = FIRST;
    const union = FIRST + LIST.length;
    const broken = reference(NodeKind.list, 2 ** 20); // beyond the words: who looks at it would find an accept of everything
    const words = [...LIST, 3, ACCEPT0, reference(NodeKind.list, list), DROP1, ~DROP1, ACCEPT2, broken];
    const blob = blobOf({ rows: [reference(NodeKind.union, union)], words });
    expect(
      codes(blob, [
        [0, tcp, 80],
        [0, tcp, 1],
        [0, udp, 1],
      ]),
    ).toEqual([BASE + ACCEPT0, BASE + DROP1, BASE + DROP1]);
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
        [second, codeReference(ACCEPT2)],
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
