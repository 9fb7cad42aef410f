import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import {
  canonicalPrefixes,
  type Family,
  formatPrefixAt,
  PrefixBuilder,
  type Prefixes,
} from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { flipped } from '../../test/kit/bytes.ts';
import { mulberryWords } from '../../test/kit/random.mjs';
import { prefixSetFrom } from '../../test/kit/rules.ts';
import fc from '../../test/seeded-fast-check.ts';
import { ByteReader } from '../src/bytes/reader.ts';
import { ByteWriter } from '../src/bytes/writer.ts';
import { readEntries, readIndices, readSequence, writeEntries, writeSequence } from '../src/codec/entry.ts';
import type { Stride } from '../src/codec/gap.ts';
import { writeTree } from '../src/codec/prefix-tree.ts';
import type { PartBounds } from '../src/content/budget.ts';
import { Meter } from '../src/content/work.ts';
import { ErrorCode, ProtocolError } from '../src/error.ts';
import { bytesOfHex, hexOf } from './part-spec.ts';
import { slowEntries, slowSequence } from './slow-encoder.ts';

interface Vectors {
  readonly sequences: readonly {
    name: string;
    words: Stride;
    numbers: readonly string[];
    hex: string;
    decodeOnly?: boolean;
  }[];
  readonly columns: readonly {
    name: string;
    family: Family;
    prefixes: readonly string[];
    hex: string;
    decodeOnly?: boolean;
  }[];
  readonly refused: readonly { name: string; kind: keyof typeof READERS; hex: string; code: string }[];
}
const vectors: Vectors = JSON.parse(
  readFileSync(new URL('../vectors/entries.json', import.meta.url), 'utf8'),
);

const BOUNDS = boundsFor(100_000);
const READERS = {
  sequence: (reader: ByteReader) => readSequence(reader, 1, BOUNDS),
  sequence4: (reader: ByteReader) => readSequence(reader, 4, BOUNDS),
  column4: (reader: ByteReader) => readEntries(reader, 4, BOUNDS),
  column6: (reader: ByteReader) => readEntries(reader, 6, BOUNDS),
} as const;

/** For so many entries, and for any work. */
function boundsFor(entries: number): PartBounds {
  return { entries, code: ErrorCode.overLimit, bytes: Number.POSITIVE_INFINITY, meter: new Meter() };
}

function readerOf(bytes: Uint8Array): ByteReader {
  return new ByteReader(bytes, ErrorCode.badDelta, 'list l');
}

function written(write: (writer: ByteWriter) => void): Uint8Array {
  const writer = new ByteWriter();
  write(writer);
  return writer.take();
}

/** The numbers of an IPv4 column of one length. */
function networksOf({ words, lengths }: Prefixes): Uint32Array {
  return words.map((word, i) => word >>> (32 - (lengths[i] ?? 0)));
}

/** The hex of fields that may have spaces within. */
function joined(fields: readonly string[]): string {
  return fields.join('').replaceAll(' ', '');
}

function wordsOf(numbers: readonly bigint[], stride: Stride): Uint32Array {
  const shifts = stride === 1 ? [0n] : [96n, 64n, 32n, 0n];
  return Uint32Array.from(
    numbers.flatMap((number) => shifts.map((shift) => Number((number >> shift) & 0xffff_ffffn))),
  );
}

function textsOf(column: Prefixes): readonly string[] {
  return Array.from(column.lengths, (_, i) => formatPrefixAt(column, i));
}

/** Strictly ascending numbers, with small and large gaps. */
function numbersBelow(bits: number): fc.Arbitrary<readonly bigint[]> {
  const number = fc.oneof(
    fc.bigInt({ min: 0n, max: 2n ** BigInt(bits) - 1n }),
    fc.bigInt({ min: 0n, max: 300n }),
    fc.bigInt({ min: 2n ** BigInt(bits) - 300n, max: 2n ** BigInt(bits) - 1n }),
  );
  return fc
    .uniqueArray(number, { maxLength: 60 })
    .map((numbers) => numbers.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0)));
}

/** A canonical column with prefixes of all lengths. */
function columns(family: Family): fc.Arbitrary<Prefixes> {
  const bits = family === 4 ? 32 : 128;
  const word = fc.oneof(fc.nat({ max: 0xffff_ffff }), fc.constantFrom(0, 0xffff_ffff, 0x20010db8));
  const prefix = fc.tuple(fc.array(word, { minLength: 4, maxLength: 4 }), fc.nat({ max: bits }));
  return fc.array(prefix, { maxLength: 40 }).map((loose) => {
    const builder = new PrefixBuilder(family);
    for (const [words, length] of loose) {
      const masked = words.map((w, i) => {
        const keep = Math.min(32, Math.max(0, length - i * 32));
        return keep === 0 ? 0 : Number(BigInt(w) & ((0xffff_ffffn << BigInt(32 - keep)) & 0xffff_ffffn));
      });
      builder.push(Uint32Array.from(masked), 0, length);
    }
    return canonicalPrefixes(builder.build());
  });
}

/** Networks and hosts that lie close together, many of them side by side. */
function crowds(family: Family): fc.Arbitrary<Prefixes> {
  const bits = family === 4 ? 32 : 128;
  const one = fc.tuple(fc.nat({ max: 255 }), fc.constantFrom(bits - 8, bits - 6, bits - 3, bits - 1, bits));
  return fc.array(one, { minLength: 1, maxLength: 80 }).map((loose) => {
    const builder = new PrefixBuilder(family);
    for (const [offset, length] of loose) {
      const words = new Uint32Array(family === 4 ? 1 : 4).fill(0x0a0b0c00);
      words[words.length - 1]! += offset & (-1 << (bits - length));
      builder.push(words, 0, length);
    }
    return canonicalPrefixes(builder.build());
  });
}

describe('a sequence', () => {
  it.each(vectors.sequences)('has the bytes of the vector: $name', ({ words, numbers, hex, decodeOnly }) => {
    const values = numbers.map(BigInt);
    const column = wordsOf(values, words);
    if (decodeOnly !== true) {
      expect(hexOf(written((writer) => writeSequence(writer, column, words)))).toBe(hex.replaceAll(' ', ''));
      expect(
        slowSequence(values)
          .filter((field) => field !== '')
          .join(' '),
      ).toBe(hex);
    }
    const reader = readerOf(bytesOfHex(hex));
    expect(readSequence(reader, words, BOUNDS)).toEqual(column);
    reader.end();
  });

  it.each<[Stride, number]>([
    [1, 32],
    [4, 128],
    [4, 64],
  ])('of %i words comes back and is what the slow encoder makes (numbers of %i bits)', (stride, bits) => {
    fc.assert(
      fc.property(numbersBelow(bits), (numbers) => {
        const column = wordsOf(numbers, stride);
        const bytes = written((writer) => writeSequence(writer, column, stride));
        expect(hexOf(bytes)).toBe(joined(slowSequence(numbers)));
        expect(readSequence(readerOf(bytes), stride, BOUNDS)).toEqual(column);
      }),
    );
  });

  it.each([4095, 4096, 4097, 8192, 8193])('of %i numbers is cut into blocks', (count) => {
    for (const stride of [1, 4] as const) {
      const numbers = Array.from({ length: count }, (_, i) => BigInt(i * 100 + (i % 2) * 50 + 7));
      const column = wordsOf(numbers, stride);
      const bytes = written((writer) => writeSequence(writer, column, stride));
      expect(hexOf(bytes)).toBe(joined(slowSequence(numbers)));
      expect(readSequence(readerOf(bytes), stride, boundsFor(count))).toEqual(column);
      expect(() => readSequence(readerOf(bytes), stride, boundsFor(count - 1))).toThrow(
        expect.objectContaining({ code: 'over-limit', part: 'list l' }),
      );
    }
  });

  it('of indices stays within the list', () => {
    const bytes = written((writer) => writeSequence(writer, Uint32Array.from([0, 9]), 1));
    expect(readIndices(readerOf(bytes), 10, BOUNDS.meter)).toEqual(Uint32Array.from([0, 9]));
    expect(() => readIndices(readerOf(bytes), 9, BOUNDS.meter)).toThrow(
      expect.objectContaining({ code: 'bad-base', entry: 9 }),
    );
    expect(() => readIndices(readerOf(bytes), 1, BOUNDS.meter)).toThrow(
      expect.objectContaining({ code: 'bad-base' }),
    );
  });

  //
  it('of four thousand million numbers in three bytes is refused before memory is taken', () => {
    const bytes = bytesOfHex('ffffffff0f 00 01 00');
    expect(() => readSequence(readerOf(bytes), 4, boundsFor(2 ** 32))).toThrow(ProtocolError);
  });
});

describe('a column', () => {
  it.each(vectors.columns)(
    'has the bytes of the vector: $name',
    ({ family, prefixes: texts, hex, decodeOnly }) => {
      const set = prefixSetFrom(texts);
      const column = family === 4 ? set.v4 : set.v6;
      if (decodeOnly !== true) {
        expect(hexOf(written((writer) => writeEntries(writer, column)))).toBe(hex.replaceAll(' ', ''));
        expect(
          slowEntries(texts, family === 4 ? 32 : 128)
            .filter((field) => field !== '')
            .join(' '),
        ).toBe(hex);
      }
      const reader = readerOf(bytesOfHex(hex));
      expect(readEntries(reader, family, boundsFor(texts.length))).toEqual(column);
      reader.end();
    },
  );

  it.each<Family>([4, 6])('of IPv%i comes back and is what the slow encoder makes', (family) => {
    fc.assert(
      fc.property(fc.oneof(columns(family), crowds(family)), (column) => {
        const bytes = written((writer) => writeEntries(writer, column));
        expect(hexOf(bytes)).toBe(joined(slowEntries(textsOf(column), family === 4 ? 32 : 128)));
        expect(readEntries(readerOf(bytes), family, boundsFor(column.lengths.length))).toEqual(column);
      }),
    );
  });

  it('of more entries than are left is over the limit, counted over all groups', () => {
    const column = prefixSetFrom(['10.0.0.0/8', '11.0.0.0/16', '12.0.0.0/32']).v4;
    const bytes = written((writer) => writeEntries(writer, column));
    expect(readEntries(readerOf(bytes), 4, boundsFor(3))).toEqual(column);
    expect(() => readEntries(readerOf(bytes), 4, boundsFor(2))).toThrow(
      expect.objectContaining({ code: 'over-limit' }),
    );
  });
});

describe('entries', () => {
  //
  it.each(vectors.refused)('are refused with $code: $name', ({ kind, hex, code }) => {
    const read = (): unknown => {
      const reader = readerOf(bytesOfHex(hex));
      READERS[kind](reader);
      return reader.end();
    };
    expect(read).toThrow(expect.objectContaining({ name: 'ProtocolError', code }));
  });

  const whole = [
    ...vectors.sequences.map(({ words, hex }) => [words === 1 ? 'sequence' : 'sequence4', hex] as const),
    ...vectors.columns.map(({ family, hex }) => [family === 4 ? 'column4' : 'column6', hex] as const),
  ];

  it('are refused wherever they are cut', () => {
    for (const [kind, hex] of whole) {
      const bytes = bytesOfHex(hex);
      for (let end = 0; end < bytes.length; end++) {
        expect(() => READERS[kind](readerOf(bytes.subarray(0, end)))).toThrow(ProtocolError);
      }
    }
  });

  it('with any bit flipped are refused with a code, or are other entries', () => {
    let refused = 0;
    let different = 0;
    for (const [kind, hex] of whole) {
      const bytes = bytesOfHex(hex);
      const entries = READERS[kind](readerOf(bytes));
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const damaged = flipped(bytes, bit);
        const result = resultOf(() => READERS[kind](readerOf(damaged)));
        if (result === undefined) refused++;
        else {
          expect(result).not.toEqual(entries);
          different++;
        }
      }
    }
    expect(refused).toBeGreaterThan(1000);
    expect(different).toBeGreaterThan(1000);
  });
});

/**
 * What reading gave; undefined if it was refused. Anything thrown that is no ProtocolError fails the test.
 */
function resultOf(read: () => unknown): unknown {
  try {
    return read();
  } catch (error) {
    if (error instanceof ProtocolError) return undefined;
    throw error;
  }
}

describe('the shorter form', () => {
  const LISTS = new URL('../../test/fixtures/lists/', import.meta.url);
  /** Bytes an entry: what the list takes today, and a little. */
  it.each([
    ['country-ru-ipv4.netset', 4, 0.89],
    ['country-nl-ipv4.netset', 4, 1.06],
    ['country-nl-ipv6.netset', 6, 0.86],
    ['datacenter-ipv6.txt', 6, 1.02],
    ['vpn-ipv4.txt', 4, 0.84],
    ['tor-exit-nodes.lst', 4, 1.68],
    ['tor-exit-nodes.lst', 6, 4.93],
  ] as const)(
    'of %s, IPv%i, is what the slow encoder makes, at most %f bytes an entry',
    (file, family, most) => {
      const lines = readFileSync(new URL(file, LISTS), 'utf8')
        .split('\n')
        .map((line) => line.trim());
      const addresses = lines.filter(
        (line) => /^[0-9a-f.:]+(?:\/\d+)?$/.test(line) && line.includes(':') === (family === 6),
      );
      const set = prefixSetFrom(addresses);
      const column = family === 4 ? set.v4 : set.v6;
      const bytes = written((writer) => writeEntries(writer, column));
      const slow = joined(slowEntries(textsOf(column), family === 4 ? 32 : 128));
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(
        createHash('sha256').update(Buffer.from(slow, 'hex')).digest('hex'),
      );
      expect(bytes.length / column.lengths.length).toBeLessThan(most);
      expect(readEntries(readerOf(bytes), family, boundsFor(column.lengths.length))).toEqual(column);
    },
  );

  const COUNT = 50_000;
  it.each<[string, number, (random: () => number, i: number, last: number) => number]>([
    ['in crowds of three', 32, (random, i, last) => (i % 3 === 0 ? random() : last ^ (random() & 255))],
    [
      'crowded in the middle only',
      32,
      (random, i) => (i < COUNT / 30 ? 0x7fff_f000 + (random() & 0x1fff) : random()),
    ],
    ['side by side', 30, (_, i) => 0xac00_0000 + i * 4],
  ])('is sent of networks %s', (_, length, draw) => {
    const random = mulberryWords(5);
    const addresses = new Set<number>();
    for (let last = 0; addresses.size < COUNT; addresses.add(last))
      last = draw(random, addresses.size, last) >>> 0;
    const builder = new PrefixBuilder(4, COUNT);
    for (const address of Uint32Array.from(addresses).sort()) builder.push4(address, length);
    const column = builder.build();
    const bytes = written((writer) => writeEntries(writer, column));
    const tree = written((writer) => writeTree(writer, column));
    const groups = written((writer) => writeSequence(writer, networksOf(column), 1));
    expect(tree.length + 1).toBeLessThan(groups.length + 2);
    expect([bytes[0], bytes.length]).toEqual([255, tree.length + 1]);
    expect(isDeepStrictEqual(readEntries(readerOf(bytes), 4, boundsFor(COUNT)), column)).toBe(true);
  });

  it('of a tree that holds more entries than are left is refused as it is read', () => {
    const builder = new PrefixBuilder(4, 65_536);
    for (let i = 0; i < 65_536; i++) builder.push4(0x0a000000 + i, 32);
    const column = builder.build();
    const bytes = written((writer) => writeEntries(writer, column));
    expect(bytes.length).toBeLessThan(200);
    expect(isDeepStrictEqual(readEntries(readerOf(bytes), 4, boundsFor(65_536)), column)).toBe(true);
    expect(() => readEntries(readerOf(bytes), 4, boundsFor(65_535))).toThrow(
      expect.objectContaining({ code: 'over-limit', entry: 65_535 }),
    );
  });
});
