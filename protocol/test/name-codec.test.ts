/**
 * Codes of names: the bytes of the vectors, which a twin in Python made (name_code.py), the same bytes as the
 * twin for random names, and no other list out of damaged bytes without a word.
 */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  diffNames,
  type NameList,
  type Names,
  nameListOf,
  namesOf,
  nameTexts,
  parseHostName,
  sameNames,
} from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { flipped } from '../../test/kit/bytes.ts';
import { python } from '../../test/kit/python.ts';
import fc from '../../test/seeded-fast-check.ts';
import { ByteReader } from '../src/bytes/reader.ts';
import { ByteWriter } from '../src/bytes/writer.ts';
import { NameCode } from '../src/codec/name-engine.ts';
import { readNameEdit, readNameList, writeNameEdit, writeNameList } from '../src/codec/name-list.ts';
import type { PartBounds } from '../src/content/budget.ts';
import { Meter, Work } from '../src/content/work.ts';
import { ErrorCode, ProtocolError } from '../src/error.ts';
import { bytesOfHex, hexOf } from './part-spec.ts';

interface Vectors {
  readonly lists: readonly {
    name: string;
    names: readonly string[];
    resolve: NameList['resolve'];
    hex: string;
  }[];
  readonly edits: readonly {
    name: string;
    before: readonly string[];
    after: readonly string[];
    resolve: NameList['resolve'];
    hex: string;
  }[];
  readonly refused: readonly { name: string; before?: readonly string[]; hex: string; code: string }[];
}
const vectors: Vectors = JSON.parse(readFileSync(new URL('../vectors/names.json', import.meta.url), 'utf8'));
const TWIN = fileURLToPath(new URL('name_code.py', import.meta.url));

function boundsFor(entries: number, meter = new Meter()): PartBounds {
  return { entries, code: ErrorCode.overLimit, bytes: Number.POSITIVE_INFINITY, meter };
}

function readerOf(bytes: Uint8Array): ByteReader {
  return new ByteReader(bytes, ErrorCode.badDelta);
}

function putOf(list: NameList): Uint8Array {
  const writer = new ByteWriter();
  writeNameList(writer, list);
  return writer.take().slice();
}

function patchOf(before: Names, after: Names, resolve: NameList['resolve']): Uint8Array {
  const writer = new ByteWriter();
  writeNameEdit(writer, before, diffNames(before, after), resolve);
  return writer.take().slice();
}

const read = (bytes: Uint8Array, before: readonly string[] | undefined, entries = 8): NameList =>
  before === undefined
    ? readNameList(readerOf(bytes), boundsFor(entries))
    : readNameEdit(readerOf(bytes), nameListOf(before, false), boundsFor(entries));

/** The error's code, or the names that came out. */
function outcomeOf(work: () => NameList): string | NameList {
  try {
    return work();
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
}

describe('codes of names', () => {
  it.each(vectors.lists)('have the bytes of the vector: $name', ({ names, resolve, hex }) => {
    const list = nameListOf(names, resolve);
    expect(hexOf(putOf(list))).toBe(hex);
    expect(readNameList(readerOf(bytesOfHex(hex)), boundsFor(names.length))).toEqual(list);
    expect([...nameTexts(list.names)]).toEqual(names);
  });

  it.each(vectors.edits)('have the bytes of the vector: $name', ({ before, after, resolve, hex }) => {
    const [old, next] = [nameListOf(before, false), nameListOf(after, resolve)];
    expect(hexOf(patchOf(old.names, next.names, resolve))).toBe(hex);
    expect(readNameEdit(readerOf(bytesOfHex(hex)), old, boundsFor(after.length))).toEqual(next);
  });

  it.each(vectors.refused)('are refused with $code: $name', ({ before, hex, code }) => {
    expect(outcomeOf(() => read(bytesOfHex(hex), before))).toBe(code);
  });

  it('are paid for by the character', () => {
    const names = Array.from({ length: 100 }, (_, i) => `${'x'.repeat(40)}-${i}.example`);
    const bytes = putOf(nameListOf(names, false));
    const most = Work.nameCode + 100 * Work.name + 100 * 60 * Work.character;
    expect(() => readNameList(readerOf(bytes), boundsFor(100, new Meter(most)))).not.toThrow();
    const least = Work.nameCode + 100 * Work.name + 40 * Work.character;
    expect(outcomeOf(() => readNameList(readerOf(bytes), boundsFor(100, new Meter(least))))).toBe(
      'over-budget',
    );
  });

  it('end where names are as many bytes as there is room for, however few bytes say them', () => {
    const long = `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}`;
    const names = nameListOf(
      Array.from({ length: 2000 }, (_, i) => `x${i}.${long}`),
      false,
    );
    const bytes = putOf(names);
    expect(names.names.bytes.length).toBeGreaterThan(50 * bytes.length);
    const meter = new Meter(Work.nameCode + 2000 * Work.name + 400 * Work.character);
    const bounds = { ...boundsFor(2000, meter), bytes: 1000, code: ErrorCode.badCount };
    expect(outcomeOf(() => readNameList(readerOf(bytes), bounds))).toBe('bad-count');
    const edit = new ByteWriter();
    const before = nameListOf(['example'], false);
    writeNameEdit(edit, before.names, diffNames(before.names, names.names), false);
    const other = { ...bounds, meter: new Meter(200_000) };
    expect(outcomeOf(() => readNameEdit(readerOf(edit.take()), before, other))).toBe('bad-count');
  });
});

/** Names that share labels and beginnings of labels, some of them as long as may be. */
const label = fc.oneof(
  { weight: 6, arbitrary: fc.stringMatching(/^[ab1](?:[ab1_-]{0,4}[ab1])?$/) },
  { weight: 1, arbitrary: fc.stringMatching(/^[a-z0-9_]{50,63}$/) },
);
const name = fc
  .tuple(fc.constantFrom('', '', '', '', '*.', '.'), fc.array(label, { minLength: 1, maxLength: 5 }))
  .filter(([, labels]) => parseHostName(labels.join('.')).kind === 'name')
  .map(([kind, labels]) => kind + labels.join('.'));
const who = fc.constantFrom(false, true, 'firewall' as const, 'firewall-private' as const);
const column = fc.array(name, { maxLength: 40 }).map((texts) => namesOf(texts));

describe('random names', () => {
  it('come back, whole and as what changes', () => {
    fc.assert(
      fc.property(column, column, who, (before, after, resolve) => {
        const list: NameList = { kind: 'names', names: after, resolve };
        expect(readNameList(readerOf(putOf(list)), boundsFor(after.count))).toEqual(list);
        const old: NameList = { kind: 'names', names: before, resolve: !resolve };
        const patch = patchOf(before, after, resolve);
        expect(readNameEdit(readerOf(patch), old, boundsFor(after.count))).toEqual(list);
      }),
    );
  });

  it.runIf(python.isThere)('have the bytes that the twin in Python makes of them', () => {
    const cases = fc.sample(fc.record({ before: fc.option(column), after: column, resolve: who }), 150);
    const textsOf = (names: Names): readonly string[] => [...nameTexts(names)];
    const input = cases.map(({ before, after, resolve }) => ({
      before: before === null ? null : textsOf(before),
      after: textsOf(after),
      resolve,
    }));
    const { stdout, stderr } = python.run([TWIN], JSON.stringify(input));
    expect(stderr).toBe('');
    const ours = cases.map(({ before, after, resolve }) =>
      hexOf(
        before === null ? putOf({ kind: 'names', names: after, resolve }) : patchOf(before, after, resolve),
      ),
    );
    expect(ours).toEqual(JSON.parse(stdout));
  });

  it('are canonical, whatever bytes they come from', () => {
    const checkIfNames = (bytes: Uint8Array, before?: readonly string[]): boolean => {
      const result = outcomeOf(() => read(bytes, before, 100));
      if (typeof result === 'string') return false;
      const names = [...nameTexts(result.names)];
      expect(sameNames(namesOf(names), result.names)).toBe(true);
      const parsed = names.map((text) => parseHostName(text.replace(/^\*?\./, '')).kind);
      expect(new Set(parsed)).toEqual(new Set(names.length === 0 ? [] : ['name']));
      return true;
    };
    // Chance rarely makes names out of bytes; among the least codes of one name are those of one letter.
    const short = Array.from({ length: 2 ** 10 }, (_, code) => Uint8Array.of(0, 1, code >>> 8, code & 255));
    expect(short.filter((bytes) => checkIfNames(bytes)).length).toBe(26);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat(20), column, (noise, count, before) => {
        checkIfNames(Uint8Array.of(count & 3, count, ...noise));
        checkIfNames(Uint8Array.of(count & 3, count % 3, count % 2, count, ...noise), [...nameTexts(before)]);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('damaged codes of names', () => {
  const whole = [
    ...vectors.lists.map(({ hex }) => ({ bytes: bytesOfHex(hex), before: undefined })),
    ...vectors.edits.map(({ hex, before }) => ({ bytes: bytesOfHex(hex), before })),
  ];

  it('are refused wherever they are cut', () => {
    for (const { bytes, before } of whole) {
      for (let end = 0; end < bytes.length; end++)
        expect(outcomeOf(() => read(bytes.subarray(0, end), before))).toBeTypeOf('string');
    }
  });

  it('with any bit flipped are refused, or are other names', () => {
    let refused = 0;
    let different = 0;
    for (const { bytes, before } of whole) {
      const list = read(bytes, before);
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const result = outcomeOf(() => read(flipped(bytes, bit), before));
        if (typeof result === 'string') refused++;
        else {
          expect(result).not.toEqual(list);
          different++;
        }
      }
    }
    expect(refused).toBeGreaterThan(1000);
    expect(different).toBeGreaterThan(10);
  });
});

describe('a code of names', () => {
  const options = { names: 3, hasWildcards: false, fault: (reason: string) => new RangeError(reason) };

  it('does not go on after another was begun in its thread', () => {
    const first = new NameCode(options);
    first.number(0, 7);
    const second = new NameCode(options);
    expect(() => first.number(0, 7)).toThrow('after another was begun');
    expect(() => first.finish()).toThrow('after another was begun');
    second.number(0, 7);
    expect(second.finish().length).toBeGreaterThan(0);
  });

  it('is that of other names whatever was coded before it, small or large', () => {
    const small = nameListOf(['a.example', 'b.example'], false);
    const bytes = hexOf(putOf(small));
    const texts = Array.from({ length: 40_000 }, (_, i) => `${Math.imul(i, 0x9e37_79b1) >>> 0}x${i}.example`);
    const large = nameListOf(texts, false);
    const read = readNameList(readerOf(putOf(large)), boundsFor(40_000));
    expect(sameNames(read.names, large.names)).toBe(true);
    expect(hexOf(putOf(small))).toBe(bytes);
  });

  it('of a name that cannot be is refused by who would say it', () => {
    const code = new NameCode(options);
    const key = Buffer.from('example\0');
    code.writeName(undefined, { bytes: key, at: 0 });
    expect(() => code.writeName(undefined, { bytes: key, at: 0 })).toThrow('is not above the one before');
    const foreign = new NameCode(options);
    expect(() => foreign.writeNames(Buffer.from('Ex\0'))).toThrow('is no host name');
  });
});
