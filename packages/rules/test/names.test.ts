/** Columns of names, against sets of strings sorted label by label. */

import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import { compareHostNames, parseHostName } from '../src/name.ts';
import { hasWildcards, type Names, nameTexts, readNames, sameNames } from '../src/names.ts';
import { applyNamesDelta, diffNames, editPieces, namesAt } from '../src/names-delta.ts';
import { NamesBuilder, namesOf } from '../src/names-writer.ts';
import { atOnce } from '../src/pieces.ts';

const editNames = (before: Names, removed: Names, added: Names): Names | undefined =>
  atOnce(editPieces(before, removed, added));
const textsOf = (names: Names): readonly string[] => [...nameTexts(names)];
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Names that share labels, beginnings of labels and whole names. */
const label = fc.stringMatching(/^[ab1](?:[ab1_-]{0,8}[ab1])?$/);
const name = fc
  .array(label, { minLength: 1, maxLength: 5 })
  .map((labels) => `${labels.join('.')}.x`)
  .filter((text) => parseHostName(text).kind === 'name');
const some = fc.uniqueArray(name, { maxLength: 60 });

describe('the canonical order', () => {
  it('is that of RFC 4034, label by label from the last', () => {
    const sorted = [
      'example',
      'a.example',
      'yljkjljk.a.example',
      'z.a.example',
      'zabc.a.example',
      'z.example',
    ];
    const shuffled = [sorted[3], sorted[5], sorted[0], sorted[4], sorted[2], sorted[1]] as string[];
    expect([...shuffled].sort(compareHostNames)).toEqual(sorted);
    expect(textsOf(namesOf(shuffled))).toEqual(sorted);
  });

  it('is the same for columns and for texts', () => {
    fc.assert(
      fc.property(fc.array(name, { maxLength: 100 }), (texts) => {
        const names = namesOf(texts);
        expect(textsOf(names)).toEqual([...new Set(texts)].sort(compareHostNames));
        expect(names.count).toBe(new Set(texts).size);
        expect(readNames(names.bytes)).toEqual(names);
      }),
    );
  });

  it('is found for many names with long common ends', () => {
    const texts = Array.from(
      { length: 20_000 },
      (_, i) => `h${(i * 7919) % 20_011}.${'deep.'.repeat(i % 7)}example.com`,
    );
    expect(textsOf(namesOf(texts))).toEqual([...texts].sort(compareHostNames));
  });
});

describe('an entry', () => {
  it.each([
    ['a.example', '6578616d706c65036100'],
    ['*.a.example', '6578616d706c65036101'],
    ['.a.example', '6578616d706c65036102'],
    ['com', '636f6d00'],
  ])('%s has the key %s', (text, hex) => {
    const names = namesOf([text]);
    expect(Buffer.from(names.bytes).toString('hex')).toBe(hex);
    expect(textsOf(names)).toEqual([text]);
  });

  it('stands for a name and those below it where both are listed', () => {
    expect(textsOf(namesOf(['b.x', '*.a.x', 'a.x', 'z.a.x', 'a.x']))).toEqual(['.a.x', 'z.a.x', 'b.x']);
    expect([['a.x'], ['*.a.x'], ['.a.x']].map((texts) => hasWildcards(namesOf(texts)))).toEqual([
      false,
      true,
      true,
    ]);
  });

  it('is read from bytes exactly where the text is a host name', () => {
    const chars = fc.constantFrom(...'aZ09.-_xXf*/ é');
    fc.assert(
      fc.property(
        fc.array(chars, { maxLength: 70 }).map((parts) => parts.join('')),
        (text) => {
          const builder = new NamesBuilder();
          const bytes = bytesOf(`#${text}#`);
          const isName = builder.addWritten(bytes, 1, bytes.length - 1);
          const parsed = parseHostName(text);
          expect(isName).toBe(parsed.kind === 'name');
          expect(builder.last()).toBe(parsed.kind === 'name' ? parsed.name : '');
          expect(builder.count).toBe(isName ? 1 : 0);
        },
      ),
    );
  });

  it.each([
    [63, 253, true],
    [64, 253, false],
    [63, 254, false],
  ])('with a label of %d and %d characters in all: %s', (labelBytes, allBytes, isName) => {
    const head = `${'a'.repeat(labelBytes)}.`;
    const text =
      head + 'b.'.repeat(200).slice(0, allBytes - head.length - 1) + (allBytes % 2 === 0 ? 'bb' : 'b');
    const exact = text.slice(0, allBytes);
    const bytes = bytesOf(exact);
    expect(new NamesBuilder().addWritten(bytes, 0, bytes.length)).toBe(isName);
  });
});

describe('bytes that are no column', () => {
  it.each([
    ['a key without an end', '61'],
    ['an empty key', '00'],
    ['an empty label', '61030300'],
    ['a capital', '4100'],
    ['a number last', '3100'],
    ['a hexadecimal number last', '30786100'],
    ['a dash at an end of a label', '612d00'],
    ['a label of 64', `${'61'.repeat(64)}00`],
    ['keys that do not ascend', '62006100'],
    ['a name twice, once as a wildcard', '61006101'],
  ])('are refused: %s', (_, hex) => {
    expect(readNames(Uint8Array.from(Buffer.from(hex, 'hex')))).toHaveProperty('reason');
  });
});

describe('two columns', () => {
  it('differ by what is removed and added', () => {
    const entry = fc.tuple(fc.constantFrom('', '', '*.', '.'), name).map(([kind, text]) => kind + text);
    const entries = fc.array(entry, { maxLength: 60 });
    fc.assert(
      fc.property(entries, entries, (a, b) => {
        const [before, after] = [namesOf(a), namesOf(b)];
        const delta = diffNames(before, after);
        const old = textsOf(before);
        const next = textsOf(after);
        expect(textsOf(namesAt(before, delta.removed))).toEqual(old.filter((text) => !next.includes(text)));
        expect(textsOf(delta.added)).toEqual(next.filter((text) => !old.includes(text)));
        expect(sameNames(before, after)).toBe(delta.removed.length + delta.added.count === 0);
        expect(applyNamesDelta(before, delta)).toEqual(after);
      }),
    );
  });
});

describe('a delta', () => {
  const column = some.map((texts) => namesOf(texts.map((text, i) => ['', '*.', '.'][i % 3] + text)));

  it('makes of any column what is kept and what is added, and nothing where both have a name', () => {
    fc.assert(
      fc.property(column, fc.array(fc.nat(59)), column, (before, indices, added) => {
        const removed = Uint32Array.from(new Set(indices.filter((i) => i < before.count))).sort();
        const kept = textsOf(before).filter((_, i) => !removed.includes(i));
        const of = (texts: readonly string[]): readonly string[] =>
          texts.map((text) => text.replace(/^\*?\./, ''));
        const more = of(textsOf(added));
        const isTwice = of(kept).some((host) => more.includes(host));
        const after = isTwice ? undefined : namesOf([...kept, ...textsOf(added)]);
        expect(applyNamesDelta(before, { removed, added })).toEqual(after);
      }),
    );
  });
});

describe('an edit', () => {
  const entries = some.map((texts) => namesOf(texts.map((text, i) => ['', '*.', '.'][i % 3] + text)));

  it('makes any column of any other by what differs', () => {
    fc.assert(
      fc.property(entries, entries, (before, after) => {
        const { removed, added } = diffNames(before, after);
        expect(editNames(before, namesAt(before, removed), added)).toEqual(after);
      }),
    );
  });

  it('is none where an entry to remove is not there, or one to add is, whatever they stand for', () => {
    fc.assert(
      fc.property(entries, entries, entries, (before, removed, added) => {
        const of = (names: Names): ReadonlyMap<string, string> =>
          new Map([...nameTexts(names)].map((text) => [text.replace(/^\*?\./, ''), text]));
        const [has, out, more] = [of(before), of(removed), of(added)];
        const fits =
          [...out].every(([host, text]) => has.get(host) === text) &&
          [...more].every(([host]) => !has.has(host) || out.has(host));
        const after = editNames(before, removed, added);
        expect(after !== undefined).toBe(fits);
        if (after === undefined) return;
        const kept = [...has].filter(([host]) => !out.has(host)).map(([, text]) => text);
        expect(after).toEqual(namesOf([...kept, ...more.values()]));
      }),
    );
  });

  it.each([
    [['a.x'], ['a.x'], ['b.x', '*.c.x'], ['b.x', '*.c.x']],
    [['a.x', 'b.x'], ['a.x'], ['.a.x'], ['.a.x', 'b.x']],
    [[], [], ['a.x'], ['a.x']],
    [['a.x'], ['*.a.x'], [], undefined],
    [['a.x'], ['b.x'], [], undefined],
    [['a.x'], [], ['.a.x'], undefined],
  ])('of %j without %j and with %j is %j', (before, removed, added, after) => {
    expect(editNames(namesOf(before), namesOf(removed), namesOf(added))).toEqual(after && namesOf(after));
  });
});
