import { describe, expect, it } from 'vitest';
import { lastAddressAt, prefixFrom, prefixSetFrom } from '../../../test/kit/rules.ts';
import fc from '../../../test/seeded-fast-check.ts';
import {
  aggregatePrefixes,
  applyPrefixesDelta,
  combineSets,
  diffPrefixes,
  entryCount,
  intersectPrefixes,
  nameListOf,
  prefixCount,
  prefixListOf,
  subtractPrefixes,
  unionPrefixes,
} from '../src/list.ts';
import { nameTexts } from '../src/names.ts';
import {
  bitsOf,
  columnOf,
  type Family,
  formatPrefix,
  formatPrefixAt,
  type Prefix,
  type Prefixes,
  prefixOf,
} from '../src/prefix.ts';
import { canonicalPrefixes, isCanonical, memberContaining } from '../src/prefix-set.ts';

/**
 * The universe of the slow twin: the 64 addresses that differ in six bits, so that a set of addresses is a
 * set of numbers. The six bits stand at the end of an address, or across the border of two words.
 */
interface Universe {
  readonly family: Family;
  /** Bits before the six. */
  readonly fixed: number;
}

const UNIVERSE_BITS = 6;
const universes: readonly Universe[] = [
  { family: 4, fixed: 0 },
  { family: 4, fixed: 26 },
  { family: 6, fixed: 0 },
  { family: 6, fixed: 61 },
  { family: 6, fixed: 122 },
];

/** The prefix of the universe that fixes the first `length` of its six bits to those of `value`. */
function prefixIn({ family, fixed }: Universe, value: number, length: number): Prefix {
  const bits = BigInt(bitsOf(family));
  const base = (0x20010db8_c0000201_ffff8000_0a0b0c0dn >> (128n - BigInt(fixed))) << (bits - BigInt(fixed));
  const all = base | (BigInt(value) << (bits - BigInt(fixed) - BigInt(UNIVERSE_BITS)));
  const words: number[] = [];
  for (let shift = bits - 32n; shift >= 0n; shift -= 32n) words.push(Number((all >> shift) & 0xffffffffn));
  return prefixOf(family, words, fixed + length);
}

/** The numbers of the universe's addresses that a column holds. */
function addressesOf(universe: Universe, column: Prefixes): ReadonlySet<number> {
  const held = new Set<number>();
  for (let value = 0; value < 1 << UNIVERSE_BITS; value++) {
    const { words } = prefixIn(universe, value, UNIVERSE_BITS);
    for (const [i, length] of column.lengths.entries()) {
      if (formatPrefixAt(column, i) === formatPrefix(prefixOf(column.family, words, length))) held.add(value);
    }
  }
  return held;
}

const entry = fc.tuple(
  fc.nat((1 << UNIVERSE_BITS) - 1),
  fc.oneof(fc.constant(UNIVERSE_BITS), fc.nat(UNIVERSE_BITS)),
);
const entries = fc.array(entry, { maxLength: 24 });

function columnIn(universe: Universe, list: readonly (readonly [number, number])[]): Prefixes {
  return columnOf(
    list.map(([value, length]) => prefixIn(universe, value, length)),
    universe.family,
  );
}

function canonicalIn(universe: Universe, list: readonly (readonly [number, number])[]): Prefixes {
  return canonicalPrefixes(columnIn(universe, list));
}

function textsOf(column: Prefixes): readonly string[] {
  return Array.from(column.lengths, (_, i) => formatPrefixAt(column, i));
}

function columnOfTexts(family: Family, ...texts: readonly string[]): Prefixes {
  return columnOf(texts.map(prefixFrom), family);
}

describe.each(universes)('columns that differ in bits $fixed to $fixed + 6 of IPv$family', (universe) => {
  it('canonical form keeps the addresses, and exactly the entries that no other covers', () => {
    fc.assert(
      fc.property(entries, (list) => {
        const column = columnIn(universe, list);
        const canonical = canonicalPrefixes(column);
        expect(isCanonical(canonical)).toBe(true);
        const uncovered = list.filter(
          ([value, length]) =>
            !list.some(([v, l]) => l < length && v >> (UNIVERSE_BITS - l) === value >> (UNIVERSE_BITS - l)),
        );
        expect(new Set(textsOf(canonical))).toEqual(new Set(textsOf(columnIn(universe, uncovered))));
        expect(addressesOf(universe, canonical)).toEqual(addressesOf(universe, column));
      }),
    );
  });

  it('a column is canonical exactly if its form is itself', () => {
    fc.assert(
      fc.property(entries, (list) => {
        const column = columnIn(universe, list);
        expect(isCanonical(column)).toBe(
          textsOf(column).join() === textsOf(canonicalPrefixes(column)).join(),
        );
      }),
    );
  });

  it('union, difference and intersection hold the addresses of sets', () => {
    fc.assert(
      fc.property(entries, entries, (listA, listB) => {
        const a = canonicalIn(universe, listA);
        const b = canonicalIn(universe, listB);
        const inA = addressesOf(universe, a);
        const inB = addressesOf(universe, b);
        const results: readonly [Prefixes, (value: number) => boolean][] = [
          [unionPrefixes(a, b), (value) => inA.has(value) || inB.has(value)],
          [subtractPrefixes(a, b), (value) => inA.has(value) && !inB.has(value)],
          [intersectPrefixes(a, b), (value) => inA.has(value) && inB.has(value)],
        ];
        for (const [result, holds] of results) {
          expect(isCanonical(result)).toBe(true);
          const expected = Array.from({ length: 1 << UNIVERSE_BITS }, (_, value) => value).filter(holds);
          expect([...addressesOf(universe, result)]).toEqual(expected);
        }
      }),
    );
  });

  it('aggregation keeps the addresses and leaves no two halves of one prefix', () => {
    fc.assert(
      fc.property(entries, (list) => {
        const column = canonicalIn(universe, list);
        const aggregated = aggregatePrefixes(column);
        expect(isCanonical(aggregated)).toBe(true);
        expect(addressesOf(universe, aggregated)).toEqual(addressesOf(universe, column));
        const texts = new Set(textsOf(aggregated));
        for (const [value, length] of list) {
          for (let l = 1; l <= length; l++) {
            const half = formatPrefix(prefixIn(universe, value, l));
            const other = formatPrefix(prefixIn(universe, value ^ (1 << (UNIVERSE_BITS - l)), l));
            expect(texts.has(half) && texts.has(other)).toBe(false);
          }
        }
      }),
    );
  });

  it('a delta turns the one column into the other, and says no more than it must', () => {
    fc.assert(
      fc.property(entries, entries, (listA, listB) => {
        const before = canonicalIn(universe, listA);
        const after = canonicalIn(universe, listB);
        const delta = diffPrefixes(before, after);
        expect(textsOf(applyPrefixesDelta(before, delta))).toEqual(textsOf(after));
        const had = new Set(textsOf(before));
        const has = new Set(textsOf(after));
        expect(textsOf(delta.added)).toEqual(textsOf(after).filter((text) => !had.has(text)));
        expect(Array.from(delta.removed, (i) => formatPrefixAt(before, i))).toEqual(
          textsOf(before).filter((text) => !has.has(text)),
        );
      }),
    );
  });

  it('a delta of more entries than asked is none, and any other is the same', () => {
    fc.assert(
      fc.property(entries, entries, fc.nat(12), (listA, listB, most) => {
        const before = canonicalIn(universe, listA);
        const after = canonicalIn(universe, listB);
        const delta = diffPrefixes(before, after);
        const count = delta.removed.length + delta.added.lengths.length;
        expect(diffPrefixes(before, after, most)).toEqual(count > most ? undefined : delta);
      }),
    );
  });

  it('the member that contains an address is found, and none where there is none', () => {
    fc.assert(
      fc.property(entries, fc.nat((1 << UNIVERSE_BITS) - 1), (list, value) => {
        const column = canonicalIn(universe, list);
        const { words } = prefixIn(universe, value, UNIVERSE_BITS);
        const index = memberContaining(column, words);
        expect(index >= 0).toBe(addressesOf(universe, column).has(value));
        if (index < 0) return;
        const length = column.lengths[index] ?? 0;
        expect(formatPrefixAt(column, index)).toBe(formatPrefix(prefixOf(universe.family, words, length)));
      }),
    );
  });
});

describe('lists', () => {
  it('adjacent members stay the entries that somebody wrote', () => {
    const column = canonicalPrefixes(columnOfTexts(4, '10.0.0.128/25', '10.0.0.0/25'));
    expect(textsOf(column)).toEqual(['10.0.0.0/25', '10.0.0.128/25']);
  });

  it('a canonical column is its own canonical form, not a copy', () => {
    const column = columnOfTexts(6, '::/8', '2001:db8::/32');
    expect(canonicalPrefixes(column)).toBe(column);
  });

  it.each([
    [4, ['0.0.0.0/1', '128.0.0.0/1'], ['0.0.0.0/0']],
    [4, ['10.0.0.0/25', '10.0.0.128/26', '10.0.0.192/26'], ['10.0.0.0/24']],
    [4, ['10.0.1.0/24', '10.0.2.0/24'], ['10.0.1.0/24', '10.0.2.0/24']],
    [4, ['192.0.2.6/32', '192.0.2.7/32', '192.0.2.8/32'], ['192.0.2.6/31', '192.0.2.8/32']],
    [6, ['::/1', '8000::/1'], ['::/0']],
    [6, ['2001:db8::/33', '2001:db8:8000::/33'], ['2001:db8::/32']],
    [
      6,
      ['2001:db8::7fff:ffff:0:0/96', '2001:db8:0:0:8000::/96'],
      ['2001:db8::7fff:ffff:0:0/96', '2001:db8:0:0:8000::/96'],
    ],
  ] as const)('aggregates IPv%d %j to %j', (family, texts, expected) => {
    const column = columnOfTexts(family, ...texts);
    expect(textsOf(aggregatePrefixes(column))).toEqual(expected);
    if (texts.length === expected.length) expect(aggregatePrefixes(column)).toBe(column);
  });

  it.each([100, 4095, 4096, 20_000])('sorts %d IPv6 prefixes in any order', (count) => {
    // Multiplicative hashing: some words alike, so that later ones decide.
    const prefixes = Array.from({ length: count }, (_, i) => {
      const word = Math.imul(i + 1, 0x9e3779b1) >>> 0;
      return prefixOf(6, [0x20010db8, word % 7, word >>> 16, word], 128 - (word % 3));
    });
    const canonical = canonicalPrefixes(columnOf(prefixes, 6));
    expect(isCanonical(canonical)).toBe(true);
    const before = new Set(prefixes.map(formatPrefix));
    const kept = textsOf(canonical);
    expect(kept.every((text) => before.has(text))).toBe(true);
    // Whatever is gone is covered by something that was kept.
    const keptTexts = new Set(kept);
    for (const prefix of prefixes) {
      const covers = [0, 1, 2].map((less) => prefixOf(6, prefix.words, prefix.length - less));
      expect(covers.some((cover) => keptTexts.has(formatPrefix(cover)))).toBe(true);
    }
  });

  it('sorts IPv6 by all four words as unsigned numbers', () => {
    const sorted = ['::1', '::8000:0', '::1:0:0', '0:0:8000::', '0:1::', '8000::', 'ffff::'].map(
      (t) => `${t}/128`,
    );
    expect(textsOf(canonicalPrefixes(columnOfTexts(6, ...[...sorted].reverse(), ...sorted)))).toEqual(sorted);
  });

  it('subtracting one host from everything leaves a prefix per bit', () => {
    const rest = subtractPrefixes(columnOfTexts(6, '::/0'), columnOfTexts(6, '::1'));
    expect(rest.lengths.length).toBe(128);
    expect(isCanonical(rest)).toBe(true);
    expect(textsOf(rest)[0]).toBe('::/128');
    expect(textsOf(rest).at(-1)).toBe('8000::/1');
  });

  it('sets keep their families apart', () => {
    const set = prefixSetFrom(['::ffff:1.2.3.4', '2001:db8::/32', '1.2.3.0/24']);
    expect(textsOf(set.v4)).toEqual(['1.2.3.0/24']);
    expect(textsOf(set.v6)).toEqual(['2001:db8::/32']);
    expect(prefixCount(set)).toBe(2);
    expect(entryCount(prefixListOf(set))).toBe(2);
    expect(prefixCount(combineSets(subtractPrefixes, set, set))).toBe(0);
    expect(prefixCount(combineSets(unionPrefixes, set, set))).toBe(2);
  });

  it('names are in canonical order and unique', () => {
    const list = nameListOf(['b.example', 'a.example', 'b.example', 'a-b.example', '_x'], true);
    expect([...nameTexts(list.names)]).toEqual(['_x', 'a.example', 'a-b.example', 'b.example']);
    expect(entryCount(list)).toBe(4);
    expect(list.resolve).toBe(true);
  });

  it.each([
    ['1.2.3.4/32', [0x01020304]],
    ['0.0.0.0/0', [0xffffffff]],
    ['10.0.0.0/9', [0x0a7fffff]],
  ])('the last address of %s', (text, words) => {
    expect([...lastAddressAt(columnOfTexts(4, text), 0)]).toEqual(words);
  });

  it.each([
    ['::/0', [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff]],
    ['2001:db8::/32', [0x20010db8, 0xffffffff, 0xffffffff, 0xffffffff]],
    ['2001:db8::/63', [0x20010db8, 1, 0xffffffff, 0xffffffff]],
    ['2001:db8::/64', [0x20010db8, 0, 0xffffffff, 0xffffffff]],
    ['::5/128', [0, 0, 0, 5]],
    ['::4/127', [0, 0, 0, 5]],
  ])('the last address of %s', (text, words) => {
    expect([...lastAddressAt(columnOfTexts(6, text), 0)]).toEqual(words);
  });
});

describe('a delta of a long column', () => {
  /** Every `step`th address from `start`, as hosts. */
  function hosts(start: number, step: number, count: number): Prefixes {
    return {
      family: 4,
      words: Uint32Array.from({ length: count }, (_, i) => start + i * step),
      lengths: new Uint8Array(count).fill(32),
    };
  }

  it.each([
    ['far apart', hosts(0, 1, 5000), hosts(0, 977, 5000)],
    ['interleaved', hosts(0, 2, 5000), hosts(1, 2, 5000)],
    ['one among many', hosts(0, 3, 5000), unionPrefixes(hosts(0, 3, 5000), hosts(7_001, 1, 1))],
    ['all gone', hosts(0, 1, 5000), hosts(0, 1, 0)],
    ['from nothing', hosts(0, 1, 0), hosts(5, 1, 5000)],
    ['stretches that one has alone, before and behind', hosts(0, 1, 3000), hosts(2000, 1, 3000)],
    ['stretches between entries of the other', hosts(0, 999, 10), hosts(5, 1, 9000)],
  ])('%s: applies to exactly the other column, both ways', (_, a, b) => {
    expect(applyPrefixesDelta(a, diffPrefixes(a, b))).toEqual(b);
    expect(applyPrefixesDelta(b, diffPrefixes(b, a))).toEqual(a);
  });

  it.each([
    ['that went in one stretch', hosts(0, 1, 3000), hosts(2000, 1, 3000)],
    ['that came in one stretch', hosts(2000, 1, 3000), hosts(0, 1, 3000)],
    ['one by one', hosts(0, 2, 2000), hosts(1, 2, 2000)],
  ])('stops at more entries than asked, %s', (_, a, b) => {
    const { removed, added } = diffPrefixes(a, b);
    const count = removed.length + added.lengths.length;
    expect(diffPrefixes(a, b, count)).toEqual({ removed, added });
    expect(diffPrefixes(a, b, count - 1)).toBeUndefined();
  });
});
