import {
  type Address,
  canonicalPrefixes,
  columnOf,
  type Family,
  memberContaining,
  type Prefix,
  type Prefixes,
  prefixAt,
  prefixOf,
} from '@rulecast/rules';
import { beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../../../test/kit/random.mjs';
import { prefixFrom } from '../../../test/kit/rules.ts';
import fc from '../../../test/seeded-fast-check.ts';
import { cases, often } from '../../../test/thorough.ts';
import { ClassSets, type Cut, cutSpace } from '../src/classes/classes.ts';
import { PredicateColumns } from '../src/classes/predicate-columns.ts';
import { DEFAULT_TABLE_LIMITS } from '../src/limits.ts';
import { measureMap, type PrefixMap, writeMap } from '../src/map/map.ts';
import { Intervals, nodeShape, ValueWidth, widthFor } from '../src/map/node.ts';
import type { MemoryViews } from '../src/memory/memory.ts';
import { MapEngine } from './map-engine.ts';
import { edgeAddresses } from './random-rule-set.ts';

let engine: MapEngine;
beforeAll(async () => {
  engine = await MapEngine.load();
});

/** A map in the engine's memory, where the one before was, and its views. */
interface PlacedMap {
  readonly views: MemoryViews;
  readonly map: PrefixMap;
}

function mapOf(cut: Cut, width: ValueWidth): PlacedMap {
  const { slots, nodeBytes } = measureMap(cut, width);
  const directory = MapEngine.firstByte;
  const nodesAt = directory + (slots === 1 ? 16 : slots * 4);
  const views = engine.viewsOf(nodesAt + nodeBytes);
  const map = { directory, slotMask: slots - 1, width };
  writeMap(cut, views, map, nodesAt);
  return { views, map };
}

function predicateColumns(family: Family, columns: readonly Prefixes[]): PredicateColumns {
  const joined = new PredicateColumns(family);
  for (const column of columns) joined.push(column);
  return joined;
}

/**
 * Checks a cut by columns, one address after the other and in tiles, against a binary search in each column.
 */
function checkCut(family: Family, columns: readonly Prefixes[], addresses: readonly Address[]): void {
  const sets = new ClassSets(columns.length, DEFAULT_TABLE_LIMITS);
  const cut = cutSpace(predicateColumns(family, columns), sets);
  const own = addresses.filter((address) => address.family === family);
  let one: Int32Array = new Int32Array(0);
  for (let width = widthFor(family, sets.count); ; width = wider(width)) {
    const { map } = mapOf(cut, width);
    one = engine.find(map, family, own);
    expect([...engine.findTiles(map, family, own)]).toEqual([...one]);
    if (width === ValueWidth.word) break;
    checkSets(sets, columns, own, one);
  }
  checkSets(sets, columns, own, one);
}

function wider(width: ValueWidth): ValueWidth {
  if (width === ValueWidth.none) return ValueWidth.byte;
  return width === ValueWidth.byte ? ValueWidth.half : ValueWidth.word;
}

function checkSets(
  sets: ClassSets,
  columns: readonly Prefixes[],
  own: readonly Address[],
  one: Int32Array,
): void {
  for (const [index, address] of own.entries()) {
    const found = [...sets.membersOf(one[index] ?? 0)].sort((a, b) => a - b);
    const expected = columns.flatMap((column, i) => (memberContaining(column, address.words) < 0 ? [] : [i]));
    expect(found, `${address.words.join()}`).toEqual(expected);
  }
}

const CASES: readonly (readonly [string, readonly (readonly string[])[]])[] = [
  ['nothing', []],
  ['an empty list', [[]]],
  ['everything', [['0.0.0.0/0']]],
  ['everything but one half', [['0.0.0.0/1'], ['128.0.0.0/1']]],
  ['the first address', [['0.0.0.0/32']]],
  ['the last address', [['255.255.255.255/32']]],
  ['both ends', [['0.0.0.0/32', '255.255.255.255/32']]],
  ['neighbours in one list', [['10.0.0.0/32', '10.0.0.1/32', '10.0.0.2/31']]],
  ['neighbours in two lists', [['10.0.0.0/25'], ['10.0.0.128/25']]],
  ['the same prefix twice', [['10.0.0.0/8'], ['10.0.0.0/8']]],
  ['nested', [['10.0.0.0/8'], ['10.1.0.0/16'], ['10.1.1.0/24'], ['10.1.1.1/32']]],
  [
    'nested with common ends',
    [['10.0.0.0/8'], ['10.0.0.0/16', '10.255.0.0/16'], ['10.0.0.0/32', '10.255.255.255/32']],
  ],
  ['slot edges', [['10.1.0.0/16'], ['10.0.255.255/32', '10.2.0.0/32'], ['10.1.255.255/32', '10.1.0.0/32']]],
  ['IPv6 everything', [['::/0'], ['::/128'], ['ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128']]],
  ['IPv6 around /64', [['2001:db8::/63'], ['2001:db8::/64'], ['2001:db8::/65'], ['2001:db8:0:0:8000::/65']]],
  [
    'IPv6 hosts',
    [['2001:db8::/127'], ['2001:db8::/128', '2001:db8::3/128'], ['2001:db8::ffff/128', '2001:db8::1:0/128']],
  ],
  [
    'IPv6 chunk ends',
    [['2001:ffff::/32'], ['2001:ffff:ffff::/48'], ['2001:ffff:ffff:ffff::/64', '2002::/128']],
  ],
  [
    'IPv6 nested through every chunk',
    [['2000::/16'], ['2000:1::/32'], ['2000:1:1::/48'], ['2000:1:1:1::/80'], ['2000:1:1:1::/112']],
  ],
];

describe('a class map', () => {
  it.each(CASES)('gives each address the predicates that hold it: %s', (_, lists) => {
    const prefixes = lists.flat().map(prefixFrom);
    for (const family of [4, 6] as const) {
      const columns = lists.map((list) =>
        canonicalPrefixes(
          columnOf(
            list.map(prefixFrom).filter((one) => one.family === family),
            family,
          ),
        ),
      );
      const ends = [prefixOf(family, [0, 0, 0, 0], 0)];
      const edges = edgeAddresses([...prefixes, ...ends]).filter((address) => address.family === family);
      checkCut(family, columns, edges);
    }
  });

  it.each([4, 6] as const)('holds for any IPv%i lists, at every boundary and beside it', (family) => {
    const word = fc.oneof(
      fc.constantFrom(0, 1, 0xffff, 0x10000, 0xffffffff),
      fc.integer({ min: 0, max: 0xffffffff }),
    );
    const anyPrefix = fc
      .tuple(
        fc.array(word, { minLength: 4, maxLength: 4 }),
        fc.integer({ min: 0, max: family === 4 ? 32 : 128 }),
      )
      .map(([words, length]) => prefixOf(family, words, length));
    fc.assert(
      fc.property(fc.array(fc.array(anyPrefix, { maxLength: 8 }), { maxLength: 6 }), (lists) => {
        const columns = lists.map((list) => canonicalPrefixes(columnOf(list, family)));
        checkCut(family, columns, edgeAddresses([...lists.flat(), prefixOf(family, [0, 0, 0, 0], 0)]));
      }),
      { seed: 1, numRuns: often(60, 400) },
    );
  });

  it.each([
    [4, 1, 1],
    [4, 5, often(4000, 20_000)],
    [4, often(100, 300), 300],
    [6, 4, often(4000, 20_000)],
  ] as const)('holds for large IPv%i lists: %i of %i prefixes', (family, listCount, size) => {
    const random = new Random(7);
    const lists = Array.from({ length: listCount }, () =>
      Array.from({ length: size }, () =>
        family === 4
          ? prefixOf(4, [random.word()], 12 + random.below(21))
          : prefixOf(
              6,
              [0x20010000 + random.below(64), random.word(), random.word(), random.word()],
              24 + random.below(105),
            ),
      ),
    );
    const columns = lists.map((list) => canonicalPrefixes(columnOf(list, family)));
    const sample = Array.from({ length: Math.min(5_000, listCount * size) }, () =>
      random.pick(random.pick(lists)),
    );
    checkCut(family, columns, edgeAddresses(sample));
  });

  it.each([
    ['even', 1],
    ['skewed', 700],
  ])('holds for IPv6 nodes of any number of boundaries, %s', (_, crowd) => {
    // Chunks of two lists in turn: two boundaries each while they lie apart, one each where all of them meet.
    for (const count of [31, 32, 33, 62, 63, 64, 65, 127, 128, 255, 256, 1023, 4096, 65_534, 65_535]) {
      const step = Math.max(1, Math.floor(65_535 / count));
      const chunks = Array.from({ length: count }, (_, i) => (i < crowd ? i : Math.max(i, 1 + i * step)) + 1);
      const kept = chunks.filter((chunk) => chunk <= 0xffff);
      const columns = [0, 1].map((parity) =>
        columnOf(
          kept
            .filter((_, i) => i % 2 === parity)
            .map((chunk) => prefixOf(6, [0x20010000 + chunk, 0, 0, 0], 32)),
          6,
        ),
      );
      const near = [0, 1, 2, 3, 9, 100, kept.length >> 1, kept.length - 2, kept.length - 1];
      const sample = near.flatMap((i) => {
        const chunk = kept[i];
        return chunk === undefined ? [] : [prefixOf(6, [0x20010000 + chunk, 0, 0, 0], 32)];
      });
      checkCut(6, columns, edgeAddresses([...sample, prefixOf(6, [0x20010000], 16)]));
    }
  });

  it('has values as wide as its classes need, and none where there are two', () => {
    expect([2, 3, 256, 257, 65_536, 65_537].map((count) => widthFor(4, count))).toEqual([3, 0, 0, 1, 1, 2]);
    expect(widthFor(6, 2)).toBe(ValueWidth.word);
    for (const [lists, width] of [
      [1, ValueWidth.none],
      [255, ValueWidth.byte],
      [256, ValueWidth.half],
      [70_000, ValueWidth.word],
    ] as const) {
      const columns = Array.from({ length: lists }, (_, i) => columnOf([prefixOf(4, [i * 512], 24)], 4));
      const sets = new ClassSets(columns.length, DEFAULT_TABLE_LIMITS);
      const cut = cutSpace(predicateColumns(4, columns), sets);
      expect(widthFor(4, sets.count)).toBe(width);
      const { map } = mapOf(cut, width);
      const asked = columns.flatMap((_, i) => [i * 512 + 255, i * 512 + 256]);
      const found = engine.find(
        map,
        4,
        asked.map((word) => ({ family: 4, words: Uint32Array.of(word) })),
      );
      for (let i = 0; i < columns.length; i += 97) {
        expect([...sets.membersOf(found[i * 2] ?? 0)]).toEqual([i]);
        expect(found[i * 2 + 1]).toBe(0);
      }
      if (width === ValueWidth.byte || width === ValueWidth.half) {
        const narrow = width === ValueWidth.byte ? 1 : 2;
        expect(measureMap(cut, ValueWidth.word).nodeBytes / measureMap(cut, width).nodeBytes).toBeGreaterThan(
          narrow === 1 ? 1.3 : 1.1,
        );
      }
    }
  });

  // Networks of IPv6 stand close together: with fewer parts, many lookups took several comparisons.
  it.each([
    ['few', ValueWidth.none, 16, 2, 2],
    ['300 hosts', ValueWidth.none, 300, 4, 10],
    ['300 hosts in many lists', ValueWidth.half, 300, 4, 10],
    ['1,000 networks', ValueWidth.word, 1000, 2, 12],
    ['more than memory allows', ValueWidth.none, 1000, 2, 10],
    ['every second address', ValueWidth.byte, 32_767, 2, 12],
  ] as const)(
    'has a node in as many parts as its boundaries crowd: %s',
    (_, width, bounds, apart, partBits) => {
      const intervals = new Intervals();
      for (let i = 0; i <= bounds; i++) intervals.push(i * apart, i & 1);
      const shape = nodeShape(intervals, width);
      expect(shape.partBits).toBe(partBits);
      expect(2 << partBits).toBeLessThanOrEqual(4 * (shape.bytes - (2 << partBits)));
    },
  );

  it('searches parts that are as crowded as can be', () => {
    // Alternate hosts in one corner of a slot: more boundaries in a part than one comparison tells apart.
    for (const count of cases([8, 9, 16, 17, 33, 100, 1000], [20_000])) {
      const hosts = columnOf(
        Array.from({ length: count }, (_, i) => prefixOf(4, [0x0a000100 + i * 2], 32)),
        4,
      );
      const far = columnOf([prefixOf(4, [0x0a00fff0], 29)], 4);
      checkCut(4, [hosts, far], edgeAddresses([...prefixesOf(hosts), ...prefixesOf(far)]));
    }
  });
});

function prefixesOf(column: Prefixes): readonly Prefix[] {
  return Array.from(column.lengths, (_, i) => prefixAt(column, i));
}
