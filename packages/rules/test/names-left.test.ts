/** What is left of a column, against both columns. */

import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import { namesOf, namesStandFor, nameTexts } from '../src/names.ts';
import { isLeft, leftBetween } from '../src/names-left.ts';

/** Names that are below each other. */
const name = fc
  .array(fc.constantFrom('a', 'b', 'ab', 'a-b'), { minLength: 1, maxLength: 4 })
  .map((labels) => [...labels, 'x'].join('.'));
const names = fc
  .array(fc.tuple(fc.constantFrom('', '', '*.', '.'), name), { maxLength: 30 })
  .map((texts) => namesOf(texts.map((parts) => parts.join(''))));

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

  it('is told by what differs, and by what stands for the same names', () => {
    const [before, after] = [
      ['.cdn.example', 'a.cdn.example', 'api.example', 'x.more.example', 'other.example', '*.more.example'],
      ['*.cdn.example', 'a.cdn.example', 'news.example', '*.more.example', 'other.example'],
    ].map(namesOf);
    const left = leftBetween(before, after ?? namesOf([]), MANY);
    const texts = (which: 'gone' | 'kept'): readonly string[] => [...nameTexts(left?.[which] ?? namesOf([]))];
    expect([texts('gone'), texts('kept')]).toEqual([
      ['api.example', '.cdn.example', 'x.more.example'],
      ['*.cdn.example', 'a.cdn.example', '*.more.example', 'news.example'],
    ]);
  });

  it('is not told where that takes too much', () => {
    const [before, after] = [namesOf(['a.y']), namesOf(['a.x', 'b.x', 'c.x'])];
    const bytes = 4 * 4;
    expect(leftBetween(before, after, bytes)?.kept.count).toBe(3);
    expect(leftBetween(before, after, bytes - 1)).toBeUndefined();
    const all = namesOf(['a.x', 'b.x', 'c.x', '.x']);
    expect(leftBetween(all, after, 13)).toBeUndefined(); // by what is below, which both have
    expect(leftBetween(all, after, 14)?.kept.count).toBe(3);
    expect(leftBetween(undefined, after, 3 * 4 - 1)).toBeUndefined();
  });
});
