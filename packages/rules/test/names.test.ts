/** Columns of names, against sets of strings sorted label by label. */

import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import { compareHostNames, parseHostName } from '../src/name.ts';
import {
  applyNamesDelta,
  diffNames,
  editNames,
  hasWildcards,
  intersectNames,
  type Names,
  NamesBuilder,
  namesAt,
  namesOf,
  namesStandFor,
  nameTexts,
  plainNames,
  readNames,
  sameNames,
  subtractNames,
  unionNames,
  widerPieces,
} from '../src/names.ts';
import { atOnce } from '../src/pieces.ts';

const textsOf = (names: Names): readonly string[] => [...nameTexts(names)];
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Names that share labels, beginnings of labels and whole names. */
const label = fc.stringMatching(/^[ab1](?:[ab1_-]{0,8}[ab1])?$/);
const name = fc
  .array(label, { minLength: 1, maxLength: 5 })
  .map((labels) => `${labels.join('.')}.x`)
  .filter((text) => parseHostName(text).kind === 'name');
const some = fc.uniqueArray(name, { maxLength: 60 });

describe('what a column stands for', () => {
  const entry = fc.tuple(fc.constantFrom('', '', '*.', '.'), name).map((parts) => parts.join(''));

  it('is what its entries do, one by one', () => {
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 60 }), fc.array(name, { maxLength: 30 }), (texts, asked) => {
        const names = namesOf(texts);
        for (const one of [...asked, ...texts.map((text) => text.replace(/^\*?\./, ''))]) {
          const said = texts.some((text) => {
            const isBelow = text.startsWith('.') || text.startsWith('*.');
            return text === one || text === `.${one}` || (isBelow && one.endsWith(text.replace(/^\*/, '')));
          });
          expect([one, namesStandFor(names, one)]).toEqual([one, said]);
        }
      }),
    );
  });

  it('is nothing where there is none', () => {
    expect(namesStandFor(namesOf([]), 'a.example')).toBe(false);
  });
});

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

/**
 * All names of three levels and two letters, and of a third that no entry has: what is below is more than is
 * named.
 */
const LEVELS = [['x'], ['a', 'b'], ['a', 'b']];
const ENTRIES = below(LEVELS).flatMap((text) => [text, `.${text}`, `*.${text}`]);
const ALL = below([['x'], ['a', 'b', 'z'], ['a', 'b', 'z'], ['z']]);
const suffixes = fc.array(fc.constantFrom(...ENTRIES), { maxLength: 6 });

function below([first = [], ...others]: readonly (readonly string[])[]): readonly string[] {
  const deeper = others.length === 0 ? [] : below(others);
  return first.flatMap((label) => [label, ...deeper.map((text) => `${text}.${label}`)]);
}

/** The names of all that some entries stand for, in the order of all. */
function standsFor(entries: readonly string[]): readonly string[] {
  const holds = (entry: string, text: string): boolean => {
    if (entry.startsWith('*.')) return text.endsWith(entry.slice(1));
    return entry.startsWith('.') ? `.${text}`.endsWith(entry) : text === entry;
  };
  return ALL.filter((text) => entries.some((entry) => holds(entry, text)));
}

describe('columns as sets', () => {
  it('have unions, intersections and differences', () => {
    fc.assert(
      fc.property(some, some, (a, b) => {
        const [x, y] = [namesOf(a), namesOf(b)];
        const sorted = (texts: readonly string[]): readonly string[] => [...texts].sort(compareHostNames);
        expect(textsOf(unionNames(x, y))).toEqual(sorted([...new Set([...a, ...b])]));
        expect(textsOf(intersectNames(x, y))).toEqual(sorted(a.filter((text) => b.includes(text))));
        expect(textsOf(subtractNames(x, y).names)).toEqual(sorted(a.filter((text) => !b.includes(text))));
      }),
    );
  });

  it('hold what entries of one name stand for', () => {
    const [name, below, both] = ['a.x', '*.a.x', '.a.x'].map((text) => namesOf([text])) as [
      Names,
      Names,
      Names,
    ];
    expect(textsOf(unionNames(name, below))).toEqual(['.a.x']);
    expect(textsOf(subtractNames(both, below).names)).toEqual(['a.x']);
    expect(textsOf(intersectNames(both, below))).toEqual(['*.a.x']);
    expect(textsOf(intersectNames(name, below))).toEqual([]);
  });

  it('agree with sets of all names, where entries stand for those below theirs, or name what cannot be said', () => {
    fc.assert(
      fc.property(suffixes, suffixes, (a, b) => {
        const [x, y] = [namesOf(a), namesOf(b)];
        const [all, others] = [standsFor(a), standsFor(b)];
        const isIn = (text: string): boolean => all.includes(text);
        const isOther = (text: string): boolean => others.includes(text);
        expect(standsFor(textsOf(unionNames(x, y)))).toEqual(
          ALL.filter((text) => isIn(text) || isOther(text)),
        );
        expect(standsFor(textsOf(intersectNames(x, y)))).toEqual(all.filter(isOther));
        const { names, hole } = subtractNames(x, y);
        const left = standsFor(textsOf(names));
        const rest = all.filter((text) => !isOther(text));
        const within = (part: readonly string[], whole: readonly string[]): boolean =>
          part.every((text) => whole.includes(text));
        const sayable = standsFor(ENTRIES.filter((entry) => within(standsFor([entry]), rest)));
        expect(hole === undefined).toBe(within(rest, sayable));
        if (hole === undefined) expect(left).toEqual(rest);
        else {
          expect([textsOf(x), textsOf(y)]).toMatchObject([
            expect.arrayContaining([hole.entry]),
            expect.arrayContaining([hole.without]),
          ]);
          expect([within(rest, left), within(left, all)]).toEqual([true, true]);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it.each([
    [['.x'], ['www.x'], '.x', 'www.x'],
    [['a.x', '*.x'], ['x', '.b.www.x'], '*.x', '.b.www.x'],
    [['.www.x'], ['.a.x', '*.www.x', 'a.www.x'], undefined, undefined],
    [['.x', 'www.x'], ['.x'], undefined, undefined],
  ])('%j without %j is refused for %s', (a, b, entry, without) => {
    const { hole } = subtractNames(namesOf(a), namesOf(b));
    expect(hole).toEqual(entry === undefined ? undefined : { entry, without });
  });

  it('are plain without the names below those of the entries', () => {
    const { names, suffixCount } = plainNames(namesOf(['a.x', '.b.x', '*.c.x']));
    expect([textsOf(names), suffixCount]).toEqual([['a.x', 'b.x'], 2]);
    const plain = namesOf(['a.x']);
    expect(plainNames(plain).names).toBe(plain);
  });

  it('are not wider by their first suffixes where these do not count', () => {
    const [before, after] = [namesOf(['a.x', 'c.x']), namesOf(['.b.x', '.c.x'])];
    expect(atOnce(widerPieces(before, after, false))).toEqual({ count: 1, first: '.c.x' });
  });

  it.each([
    ['a name that becomes a suffix', ['a.x'], ['.a.x', 'b.x'], { count: 1, first: '.a.x' }],
    ['what is below beside the name', ['a.x', '*.b.x'], ['.a.x', '.b.x'], { count: 2, first: '.a.x' }],
    ['below only in place of the name', ['a.x', '.b.x'], ['*.a.x'], { count: 1, first: '*.a.x' }],
    ['the first suffixes of all', ['a.x'], ['a.x', '*.b.x'], { count: 1, first: '*.b.x' }],
    ['another suffix', ['a.x', '.c.x'], ['a.x', '.b.x', '.c.x'], undefined],
    ['one that was below another', ['.x', 'a.x'], ['.a.x', 'b.x'], undefined],
    ['a narrower one', ['.a.x', '.b.x'], ['a.x', '*.b.x'], undefined],
  ])('are wider by %s', (_, before, after, wider) => {
    expect(atOnce(widerPieces(namesOf(before), namesOf(after), true))).toEqual(wider);
  });

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
