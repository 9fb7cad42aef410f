/** What is left of a column, against both columns. */

import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import { isLeft, type NameSet, namesStandFor } from '../src/name-lookup.ts';
import { leftBetween, nameSetOf, nameSetOfTexts } from '../src/name-set.ts';
import { nameTexts } from '../src/names.ts';
import { namesOf } from '../src/names-writer.ts';

/** Names that are below each other. */
const name = fc
  .array(fc.constantFrom('a', 'b', 'ab', 'a-b'), { minLength: 1, maxLength: 4 })
  .map((labels) => [...labels, 'x'].join('.'));
const texts = fc
  .array(fc.tuple(fc.constantFrom('', '', '*.', '.'), name), { maxLength: 30 })
  .map((all) => all.map((parts) => parts.join('')));
const names = fc.tuple(texts, texts).map(([entries, others]) => nameSetOfTexts(entries, others));

const MANY = 1_000_000;

describe('what is left of a column', () => {
  it('is each name for which the next one stands, too', () => {
    fc.assert(
      fc.property(names, names, fc.array(name, { maxLength: 60 }), (before, after, asked) => {
        for (const known of [before, undefined]) {
          const left = leftBetween(known, after, MANY);
          for (const each of asked.filter((one) => namesStandFor(before, one)))
            expect([each, left && isLeft(left, each)]).toEqual([each, namesStandFor(after, each)]);
        }
      }),
    );
  });

  it('is told by what is gone', () => {
    const [before, after] = [
      ['.cdn.example', 'a.cdn.example', 'api.example', 'x.more.example', 'other.example', '*.more.example'],
      ['*.cdn.example', 'a.cdn.example', 'news.example', '*.more.example', 'other.example'],
    ].map((entries) => nameSetOfTexts(entries)) as [NameSet, NameSet];
    const left = leftBetween(before, after, MANY);
    expect(left?.isOfGone).toBe(true);
    expect([...nameTexts(left?.names.names ?? namesOf([]))]).toEqual(['api.example', 'cdn.example']);
    const narrowed = leftBetween(before, nameSetOfTexts(['.cdn.example'], ['b.cdn.example']), MANY);
    expect([...nameTexts(narrowed?.names.names ?? namesOf([]))]).toContain('b.cdn.example');
  });

  it('is not told where that takes too much', () => {
    const [before, after] = [nameSetOf(namesOf(['a.y'])), nameSetOf(namesOf(['a.x', 'b.x', 'c.x']))];
    expect(leftBetween(before, after, 4)?.names.names.count).toBe(1);
    expect(leftBetween(before, after, 3)).toBeUndefined();
    const all = nameSetOf(namesOf(['.x'])); // less three names
    expect(leftBetween(all, after, 13)).toBeUndefined();
    expect(leftBetween(all, after, 14)?.names.exceptions.count).toBe(3);
    expect(leftBetween(undefined, after, 3 * 4 - 1)).toBeUndefined();
    expect(leftBetween(undefined, after, 3 * 4)?.isOfGone).toBe(false);
  });
});
