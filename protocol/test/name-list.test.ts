/**
 * Lists of names as they travel: the bytes of the vectors, those of a slow twin for random names, and no
 * other list out of damaged bytes without a word.
 */

import { readFileSync } from 'node:fs';
import {
  diffNames,
  type NameList,
  nameListOf,
  namesOf,
  nameTexts,
  parseHostName,
  sameNames,
} from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { flipped } from '../../test/kit/bytes.ts';
import fc from '../../test/seeded-fast-check.ts';
import { ByteReader } from '../src/bytes/reader.ts';
import { ByteWriter } from '../src/bytes/writer.ts';
import { readNameEdit, readNameList, writeNameEdit, writeNameList } from '../src/codec/name-list.ts';
import type { PartBounds } from '../src/content/budget.ts';
import { Meter, Work } from '../src/content/work.ts';
import { ErrorCode, ProtocolError } from '../src/error.ts';
import { bytesOfHex, hexOf } from './part-spec.ts';
import { slowNameList, slowNamePatch } from './slow-encoder.ts';

type Resolve = NameList['resolve'];
interface Texts {
  readonly names: readonly string[];
  readonly exceptions?: readonly string[];
}
interface Vectors {
  readonly lists: readonly ({ name: string; resolve: Resolve; hex: string } & Texts)[];
  readonly edits: readonly {
    name: string;
    before: Texts;
    after: Texts;
    resolve: Resolve;
    hex: string;
  }[];
  readonly refused: readonly { name: string; before?: Texts; hex: string; code: string }[];
}
const vectors: Vectors = JSON.parse(readFileSync(new URL('../vectors/names.json', import.meta.url), 'utf8'));

function boundsFor(entries: number, meter = new Meter()): PartBounds {
  return { entries, code: ErrorCode.overLimit, bytes: Number.POSITIVE_INFINITY, meter };
}

function readerOf(bytes: Uint8Array): ByteReader {
  return new ByteReader(bytes, ErrorCode.badDelta);
}

function putOf(list: NameList): Uint8Array {
  const writer = new ByteWriter();
  writeNameList(writer, list);
  return writer.take();
}

function patchOf(before: NameList, after: NameList): Uint8Array {
  const writer = new ByteWriter();
  const names = diffNames(before.names, after.names);
  writeNameEdit(writer, { names, exceptions: diffNames(before.exceptions, after.exceptions) }, after.resolve);
  return writer.take();
}

function read(bytes: Uint8Array, before: NameList | undefined, bounds = boundsFor(8)): NameList {
  const reader = readerOf(bytes);
  const list = before === undefined ? readNameList(reader, bounds) : readNameEdit(reader, before, bounds);
  reader.end();
  return list;
}

/** The error's code, or the names that came out. */
function outcomeOf(work: () => NameList): string | NameList {
  try {
    return work();
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
}

const listOf = (texts: Texts | undefined): NameList | undefined =>
  texts && nameListOf(texts.names, false, texts.exceptions);

describe('a list of names', () => {
  it.each(vectors.lists)('has the bytes of the vector: $name', ({ names, exceptions, resolve, hex }) => {
    const list = nameListOf(names, resolve, exceptions);
    expect(hexOf(putOf(list))).toBe(hex.replaceAll(' ', ''));
    expect(slowNameList({ names, ...(exceptions && { exceptions }), resolve })).toBe(hex);
    expect(read(bytesOfHex(hex), undefined)).toEqual(list);
    expect([...nameTexts(list.names)]).toEqual(names);
    expect([...nameTexts(list.exceptions)]).toEqual(exceptions ?? []);
  });

  it.each(vectors.edits)(
    'is patched by the bytes of the vector: $name',
    ({ before, after, resolve, hex }) => {
      const [old, next] = [before, after].map((texts) => nameListOf(texts.names, false, texts.exceptions));
      if (old === undefined || next === undefined) throw new TypeError('no list');
      const result = { ...next, resolve };
      expect(hexOf(patchOf(old, result))).toBe(hex.replaceAll(' ', ''));
      expect(slowNamePatch(before, { ...after, resolve })).toBe(hex);
      expect(read(bytesOfHex(hex), old)).toEqual(result);
    },
  );

  //
  it.each(vectors.refused)('is refused with $code: $name', ({ before, hex, code }) => {
    expect(outcomeOf(() => read(bytesOfHex(hex), listOf(before)))).toBe(code);
  });

  it('is paid for by its names and by the bytes of their keys', () => {
    const names = nameListOf(
      Array.from({ length: 100 }, (_, i) => `${'x'.repeat(40)}-${i}.example`),
      false,
    );
    const bytes = putOf(names);
    const work = 100 * Work.name + names.names.bytes.length * Work.keyByte;
    expect(read(bytes, undefined, boundsFor(100, new Meter(work)))).toEqual(names);
    expect(outcomeOf(() => read(bytes, undefined, boundsFor(100, new Meter(work - 1))))).toBe('over-budget');
  });

  it('ends where names are as many bytes as there is room for, however few bytes say them', () => {
    const long = `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}`;
    const before = nameListOf(['example'], false);
    const names = nameListOf(
      Array.from({ length: 2000 }, (_, i) => `x${i}.${long}`),
      false,
    );
    const bytes = putOf(names);
    expect(names.names.bytes.length).toBeGreaterThan(25 * bytes.length);
    const bounds = { ...boundsFor(2000), bytes: names.names.bytes.length - 1, code: ErrorCode.badCount };
    expect(outcomeOf(() => read(bytes, undefined, bounds))).toBe('bad-count');
    expect(outcomeOf(() => read(patchOf(before, names), before, bounds))).toBe('bad-count');
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
const some = fc.array(name, { maxLength: 40 });
const texts = fc.tuple(some, some, fc.boolean()).map(([entries, others, hasOthers]) => {
  const { names, exceptions } = nameListOf(entries, 'firewall', hasOthers ? others : []);
  return { names: [...nameTexts(names)], exceptions: [...nameTexts(exceptions)] };
});

describe('random names', () => {
  it('have the bytes that a slow twin makes of them, and come back, whole and as what changes', () => {
    fc.assert(
      fc.property(texts, texts, who, (before, after, resolve) => {
        const old = nameListOf(before.names, !resolve, before.exceptions);
        const next = nameListOf(after.names, resolve, after.exceptions);
        expect(hexOf(putOf(next))).toBe(slowNameList({ ...after, resolve }).replaceAll(' ', ''));
        expect(read(putOf(next), undefined, boundsFor(80))).toEqual(next);
        expect(hexOf(patchOf(old, next))).toBe(
          slowNamePatch(before, { ...after, resolve }).replaceAll(' ', ''),
        );
        expect(read(patchOf(old, next), old, boundsFor(80))).toEqual(next);
      }),
    );
  });

  it('are canonical, and have no other bytes, whatever bytes they come from', () => {
    let taken = 0;
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), texts, texts, fc.nat(), (noise, before, after, at) => {
        const bytes = putOf(nameListOf(after.names, false, after.exceptions));
        const other = bytes.with(at % bytes.length, 0x61 + (noise.length % 3));
        for (const one of [noise, other]) {
          for (const old of [undefined, nameListOf(before.names, true, before.exceptions)]) {
            const result = outcomeOf(() => read(one, old, boundsFor(100)));
            if (typeof result === 'string') continue;
            taken++;
            const found = [...nameTexts(result.names)];
            expect(sameNames(namesOf(found), result.names)).toBe(true);
            expect(nameListOf(found, result.resolve, nameTexts(result.exceptions))).toEqual(result);
            for (const text of found) expect(parseHostName(text.replace(/^\*?\./, '')).kind).toBe('name');
            if (old === undefined) expect(hexOf(putOf(result))).toBe(hexOf(one));
          }
        }
      }),
      { numRuns: 2000 },
    );
    expect(taken).toBeGreaterThan(50);
  });
});

describe('a damaged list of names', () => {
  const whole = [
    ...vectors.lists.map(({ hex }) => ({ bytes: bytesOfHex(hex), before: undefined })),
    ...vectors.edits.map(({ hex, before }) => ({ bytes: bytesOfHex(hex), before: listOf(before) })),
  ];

  it('is refused wherever it is cut', () => {
    for (const { bytes, before } of whole) {
      for (let end = 0; end < bytes.length; end++)
        expect(outcomeOf(() => read(bytes.subarray(0, end), before))).toBeTypeOf('string');
    }
  });

  it('with any bit flipped is refused, or has other names', () => {
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
