/** Sets of names with exceptions, against predicates over all names of a small world. */

import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import { parseHostName } from '../src/name.ts';
import { type NameSet, namesStandFor } from '../src/name-lookup.ts';
import {
  canonicalNames,
  exceptionFaultPieces,
  faultAround,
  intersectNames,
  nameSetOf,
  nameSetOfTexts,
  nameSetPieces,
  plainNames,
  sameNameSet,
  standingOf,
  subtractNames,
  unionNames,
  widerPieces,
} from '../src/name-set.ts';
import { type Names, nameTexts } from '../src/names.ts';
import { diffNames, namesAt } from '../src/names-delta.ts';
import { namesOf } from '../src/names-writer.ts';
import { atOnce } from '../src/pieces.ts';

const textsOf = ({ names, exceptions }: NameSet): readonly string[] => [
  ...nameTexts(names),
  ...Array.from(nameTexts(exceptions), (text) => `!${text}`),
];
/** A set of texts, of which `!` marks exceptions. */
const setOf = (texts: readonly string[]): NameSet =>
  nameSetOfTexts(
    texts.filter((text) => !text.startsWith('!')),
    texts.filter((text) => text.startsWith('!')).map((text) => text.slice(1)),
  );

/** Names of three levels and two letters, and of a third that nothing names: more is below than is named. */
const LEVELS = [['x'], ['a', 'b'], ['a', 'b']];
const ENTRIES = below(LEVELS).flatMap((text) => [text, `.${text}`, `*.${text}`]);
const ALL = below([['x'], ['a', 'b', 'z'], ['a', 'b', 'z'], ['z']]);
const entries = fc.array(fc.constantFrom(...ENTRIES), { maxLength: 6 });
const said = fc.record({ entries, exceptions: entries });
type Said = { readonly entries: readonly string[]; readonly exceptions: readonly string[] };

function below([first = [], ...others]: readonly (readonly string[])[]): readonly string[] {
  const deeper = others.length === 0 ? [] : below(others);
  return first.flatMap((label) => [label, ...deeper.map((text) => `${text}.${label}`)]);
}

/** How many labels the nearest text has that stands for a name; 0: none does. */
function nearest(texts: readonly string[], name: string): number {
  const depths = texts.map((text) => {
    const host = text.replace(/^\*?\./, '');
    const isSelf = host === name && !text.startsWith('*');
    const isBelow = text !== host && name.endsWith(`.${host}`);
    return isSelf || isBelow ? host.split('.').length : 0;
  });
  return Math.max(0, ...depths);
}

/** The twin: the nearest decides, of the same name an exception. */
const has = ({ entries: texts, exceptions }: Said, name: string): boolean =>
  nearest(texts, name) > nearest(exceptions, name);
const held = (of: Said): readonly string[] => ALL.filter((name) => has(of, name));
const heldBy = (set: NameSet): readonly string[] => ALL.filter((name) => namesStandFor(set, name));
const made = (of: Said): NameSet => nameSetOfTexts(of.entries, of.exceptions);
const isCanonical = (set: NameSet): boolean => atOnce(exceptionFaultPieces(set)) === undefined;

describe('a set of names', () => {
  //
  it('has what the nearest of its entries and exceptions says, of any texts', () => {
    fc.assert(
      fc.property(said, (of) => {
        const set = made(of);
        expect(isCanonical(set)).toBe(true);
        expect(heldBy(set)).toEqual(held(of));
        expect(canonicalNames(set)).toEqual(set);
      }),
      { numRuns: 2000 },
    );
  });

  it('says of a name the nearest that stands for it, or the entries that stand for names below it alone', () => {
    const host = (text: string): string => text.replace(/^\*?\./, '');
    fc.assert(
      fc.property(said, fc.constantFrom(...ALL), (of, name) => {
        const set = made(of);
        const found = standingOf(set, name, 2);
        const { how, entries: [entry = ''] = [] } = found ?? {};
        expect(how === 'all').toBe(namesStandFor(set, name));
        if (how === 'all' || how === 'excepted') {
          expect([...nameTexts(how === 'all' ? set.names : set.exceptions)]).toContain(entry);
          const deepest = nearest([...nameTexts(set.names), ...nameTexts(set.exceptions)], name);
          expect(nearest([entry], name)).toBe(deepest);
          return;
        }
        const under = [...nameTexts(set.names)].filter((text) =>
          host(text) === name ? text.startsWith('*') : host(text).endsWith(`.${name}`),
        );
        const below = { how: 'below', entries: under.slice(0, 2) };
        expect(found).toEqual(under.length === 0 ? undefined : below);
      }),
      { numRuns: 2000 },
    );
  });

  it('has what its entries stand for, one by one, where there are no exceptions', () => {
    const label = fc.stringMatching(/^[ab1](?:[ab1_-]{0,8}[ab1])?$/);
    const name = fc
      .array(label, { minLength: 1, maxLength: 5 })
      .map((labels) => `${labels.join('.')}.x`)
      .filter((text) => parseHostName(text).kind === 'name');
    const entry = fc.tuple(fc.constantFrom('', '', '*.', '.'), name).map((parts) => parts.join(''));
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 60 }), fc.array(name, { maxLength: 30 }), (texts, asked) => {
        const set = nameSetOf(namesOf(texts));
        for (const one of [...asked, ...texts.map((text) => text.replace(/^\*?\./, ''))])
          expect([one, namesStandFor(set, one)]).toEqual([one, nearest(texts, one) > 0]);
      }),
    );
  });

  //
  it('is canonical exactly where each exception takes away all that it stands for', () => {
    const alone = ({ entries: texts, exceptions }: Said, host: string): Said => {
      const other = (text: string): boolean => text.replace(/^\*?\./, '') !== host;
      return { entries: texts.filter(other), exceptions: exceptions.filter(other) };
    };
    fc.assert(
      fc.property(said, (of) => {
        const columns = { names: namesOf(of.entries), exceptions: namesOf(of.exceptions) };
        const isFine = [...nameTexts(columns.exceptions)].every((text) => {
          const host = text.replace(/^\*?\./, '');
          const without = alone(of, host);
          const own = [...nameTexts(columns.names)].find((entry) => entry.replace(/^\*?\./, '') === host);
          const parts = [
            ...(text.startsWith('*') ? [] : [host]),
            ...(text === host ? [] : [`other.${host}`]),
          ];
          const isOwn = (part: string): boolean => own !== undefined && nearest([own], part) > 0;
          return parts.every((part) => has(without, part) && !isOwn(part));
        });
        expect(isCanonical(columns)).toBe(isFine);
        const read = atOnce(nameSetPieces(columns.names.bytes.slice(), columns.exceptions.bytes.slice()));
        if (isFine) expect(read).toEqual(columns);
        else expect(read).toMatchObject({ of: 'exception', reason: expect.stringContaining('excepts') });
      }),
      { numRuns: 3000 },
    );
  });

  it.each([
    [
      ['.x', '!a.x'],
      ['.x', '!a.x'],
    ],
    [
      ['.x', '!.a.x', 'b.a.x'],
      ['.x', 'b.a.x', '!.a.x'],
    ],
    [['.x', '!x'], ['*.x']],
    [['.x', '!*.x'], ['x']],
    [['*.x', '!.x'], []],
    [['a.x', '!.x'], ['a.x']],
    [
      ['.x', '!a.x', '!.a.x', '!b.a.x'],
      ['.x', '!.a.x'],
    ],
    [
      ['.x', 'a.x', '!*.a.x'],
      ['.x', 'a.x', '!*.a.x'],
    ],
    [
      ['.x', '.a.x', '!a.x'],
      ['.x', '*.a.x', '!a.x'],
    ],
    [['b.x', '!a.x'], ['b.x']],
  ])('of %j is %j', (texts, canonical) => {
    expect(textsOf(setOf(texts))).toEqual(canonical);
  });

  it.each([
    ['an exception without an entry above it', ['b.x'], ['a.x']],
    ['one of the very name of an entry', ['*.a.x'], ['a.x']],
    ['one within another', ['.x'], ['.a.x', 'b.a.x']],
    ['one of what an entry of its name stands for', ['.x', '.a.x'], ['a.x']],
    ['one that only half excepts', ['.x', '*.a.x'], ['.a.x']],
  ])('is refused with %s', (_, names, exceptions) => {
    const [a, b] = [namesOf(names), namesOf(exceptions)];
    expect(atOnce(nameSetPieces(a.bytes, b.bytes))).toMatchObject({ of: 'exception' });
  });

  it('is refused with the place of what is wrong', () => {
    const good = namesOf(['.x']).bytes;
    const bad = Uint8Array.from([...namesOf(['a.x']).bytes, 0]);
    expect(atOnce(nameSetPieces(bad, good))).toMatchObject({ index: 1, of: 'name' });
    expect(atOnce(nameSetPieces(good, bad))).toMatchObject({ index: 1, of: 'exception' });
    const two = namesOf(['a.x', 'a.y']).bytes;
    expect(atOnce(nameSetPieces(good, two))).toMatchObject({ index: 1, of: 'exception' });
  });
});

describe('sets of names', () => {
  it('have exact unions, intersections and differences, which are canonical', () => {
    fc.assert(
      fc.property(said, said, (a, b) => {
        const [x, y] = [made(a), made(b)];
        for (const [set, isIn] of [
          [unionNames(x, y), (name: string) => has(a, name) || has(b, name)],
          [intersectNames(x, y), (name: string) => has(a, name) && has(b, name)],
          [subtractNames(x, y), (name: string) => has(a, name) && !has(b, name)],
        ] as const) {
          expect(heldBy(set)).toEqual(ALL.filter(isIn));
          expect(isCanonical(set)).toBe(true);
        }
      }),
      { numRuns: 3000 },
    );
  });

  it('keep entries as they were written', () => {
    expect(textsOf(unionNames(setOf(['.x']), setOf(['a.x'])))).toEqual(['.x', 'a.x']);
    expect(textsOf(unionNames(setOf(['a.x']), setOf(['*.a.x'])))).toEqual(['.a.x']);
    expect(textsOf(unionNames(setOf(['.x', '!.a.x']), setOf(['b.a.x'])))).toEqual(['.x', 'b.a.x', '!.a.x']);
    expect(textsOf(unionNames(setOf(['.x', '!.a.x']), setOf(['.a.x'])))).toEqual(['.x', '.a.x']);
    expect(textsOf(intersectNames(setOf(['.a.x']), setOf(['*.a.x'])))).toEqual(['*.a.x']);
    expect(textsOf(intersectNames(setOf(['a.x']), setOf(['*.a.x'])))).toEqual([]);
    expect(textsOf(intersectNames(setOf(['.x', '!a.x']), setOf(['.x', '!b.x'])))).toEqual([
      '.x',
      '!a.x',
      '!b.x',
    ]);
  });

  it.each([
    [['.x'], ['www.x'], ['.x', '!www.x']],
    [
      ['a.x', '*.x'],
      ['x', '.b.www.x'],
      ['*.x', 'a.x', '!.b.www.x'],
    ],
    [['.www.x'], ['.a.x', '*.www.x', 'a.www.x'], ['www.x']],
    [['.x', 'www.x'], ['.x'], []],
    [['.x'], ['.a.x', '!b.a.x'], ['.x', 'b.a.x', '!.a.x']],
    [['.x', '!a.x'], ['.x'], []],
  ])('of %j without %j is %j', (a, b, rest) => {
    expect(textsOf(subtractNames(setOf(a), setOf(b)))).toEqual(rest);
  });

  it('are the same with the same entries and exceptions', () => {
    expect(sameNameSet(setOf(['.x', '!a.x']), setOf(['!a.x', '.x']))).toBe(true);
    expect(sameNameSet(setOf(['.x', '!a.x']), setOf(['.x']))).toBe(false);
    expect(sameNameSet(setOf(['.x']), setOf(['.x', 'a.x']))).toBe(false);
  });

  it('are plain without the names below those of the entries', () => {
    const { names, suffixCount } = plainNames(setOf(['a.x', '.b.x', '*.c.x', '!d.b.x']));
    expect([[...nameTexts(names)], suffixCount]).toEqual([['a.x', 'b.x'], 2]);
    const plain = namesOf(['a.x']);
    expect(plainNames(nameSetOf(plain)).names).toBe(plain);
  });

  it('are not wider by their first suffixes where these do not count', () => {
    const [before, after] = [setOf(['a.x', 'c.x']), setOf(['.b.x', '.c.x'])];
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
    [
      'an exception that is gone',
      ['.x', '!.a.x'],
      ['.x'],
      { count: 1, first: '.a.x, no exception any more' },
    ],
    ['a part of one', ['.x', '!.a.x'], ['.x', '!*.a.x'], { count: 1, first: '.a.x, no exception any more' }],
    [
      'a name that was excepted, where no suffix stays',
      ['.x', '!a.x'],
      ['a.x', 'x'],
      { count: 1, first: 'a.x, no exception any more' },
    ],
    ['one that came', ['.x'], ['.x', '!.a.x'], undefined],
    ['one that is gone with its entry', ['.x', '!.a.x'], ['.b.x'], undefined],
  ])('are wider by %s', (_, before, after, wider) => {
    expect(atOnce(widerPieces(setOf(before), setOf(after), true))).toEqual(wider);
  });
});

describe('exceptions around what changed', () => {
  const columns = (of: Said): NameSet => ({ names: namesOf(of.entries), exceptions: namesOf(of.exceptions) });
  const come = (before: NameSet, after: NameSet): readonly Names[] => {
    const [names, exceptions] = [
      diffNames(before.names, after.names),
      diffNames(before.exceptions, after.exceptions),
    ];
    const gone = namesAt(before.names, names.removed);
    return [gone, names.added, exceptions.added];
  };

  it('are at odds where those of the whole set are', () => {
    let faults = 0;
    fc.assert(
      fc.property(said, said, entries, (start, other, more) => {
        const before = made(start);
        const some = nameTexts(before.names);
        const next = {
          entries: [...some, ...more].slice(other.entries.length % 2),
          exceptions: other.exceptions,
        };
        const kept = { entries: other.entries, exceptions: [...nameTexts(before.exceptions)] };
        for (const after of [columns(next), columns(kept), columns({ ...kept, entries: next.entries })]) {
          const touched = come(before, after);
          const found = faultAround(after, touched, Number.POSITIVE_INFINITY);
          const whole = atOnce(exceptionFaultPieces(after));
          expect(found?.fault === undefined).toBe(whole === undefined);
          if (found?.fault === undefined) continue;
          faults++;
          const { index } = found.fault;
          expect(index).toBeLessThan(after.exceptions.count);
        }
      }),
      { numRuns: 3000 },
    );
    expect(faults).toBeGreaterThan(100);
  });

  it('are looked at below the names that changed alone, and only so many', () => {
    const exceptions = Array.from({ length: 20 }, (_, i) => `e${i}.a.x`);
    const set = setOf(['.x', '.a.x', '*.b.x', ...exceptions.map((text) => `!${text}`), '!c.b.x']);
    expect(faultAround(set, [namesOf(['b.x', 'other.x'])], 5)).toEqual({ lookedAt: 1, fault: undefined });
    expect(faultAround(set, [namesOf(['a.x'])], 20)).toEqual({ lookedAt: 20, fault: undefined });
    expect(faultAround(set, [namesOf(['a.x', 'e3.a.x', 'e4.a.x'])], 20)?.lookedAt).toBe(20);
    expect(faultAround(set, [namesOf(['a.x'])], 19)).toBeUndefined();
  });
});
