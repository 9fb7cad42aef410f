import {
  canonicalPrefixes,
  columnOf,
  EMPTY_RULE_SET,
  type Family,
  formAt,
  type Prefix,
  type Prefixes,
  plainRule,
  RunBuilder,
} from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { Random } from '../../../test/kit/random.mjs';
import { NO_ADDRESS, Predicates, spanOf } from '../src/classes/predicate.ts';
import type { PredicateColumns } from '../src/classes/predicate-columns.ts';
import { randomPrefix } from './random-rule-set.ts';

/** The predicate of one run with these prefixes, in their order. */
function predicateOf(predicates: Predicates, prefixes: readonly Prefix[]): number {
  const runs = new RunBuilder();
  for (const prefix of prefixes) {
    runs.push({
      ...plainRule('drop'),
      remote: { kind: 'prefix', prefix },
    });
  }
  const all = runs.build();
  const { remote } = formAt(all, 0);
  if (remote.kind !== 'prefixes') throw new TypeError('no run of prefixes');
  return predicates.ofPrefixes(spanOf(all, 0, remote.family));
}

function columnAt(columns: PredicateColumns, predicate: number): Prefixes {
  const stride = columns.family === 4 ? 1 : 4;
  const [start = 0, end = 0] = [columns.starts[predicate], columns.starts[predicate + 1]];
  return {
    family: columns.family,
    words: columns.words.slice(start * stride, end * stride),
    lengths: columns.lengths.slice(start, end),
  };
}

describe('predicates of runs', () => {
  it.each<readonly [Family, number]>([
    [4, 5],
    [4, 32],
    [4, 33],
    [4, 200],
    [6, 5],
    [6, 32],
    [6, 33],
    [6, 200],
  ])('hold the canonical form of IPv%i prefixes, up to %i of them, whatever their order', (family, most) => {
    const random = new Random(family * most);
    for (let i = 0; i < 200; i++) {
      const prefixes = Array.from({ length: 1 + random.below(most) }, () => randomPrefix(random, family));
      const predicates = new Predicates(EMPTY_RULE_SET);
      const predicate = predicateOf(predicates, prefixes);
      const canonical = canonicalPrefixes(columnOf(prefixes, family));
      expect(columnAt(family === 4 ? predicates.v4 : predicates.v6, predicate)).toEqual(canonical);
      expect(columnAt(family === 4 ? predicates.v6 : predicates.v4, predicate).lengths).toHaveLength(0);
      expect(predicateOf(predicates, prefixes.toReversed())).toBe(predicate);
      expect(
        predicateOf(
          predicates,
          prefixes.toSorted((a, b) => a.length - b.length),
        ),
      ).toBe(predicate);
    }
  });

  it('of other prefixes are others, numbered in order of first use', () => {
    const predicates = new Predicates(EMPTY_RULE_SET);
    const [random, seen] = [new Random(3), new Map<string, number>()];
    for (let i = 0; i < 2000; i++) {
      const prefix = randomPrefix(random, random.pick([4, 6]));
      const key = `${prefix.family} ${prefix.words.join()}/${prefix.length}`;
      const predicate = predicateOf(predicates, [prefix]);
      expect(predicate, key).toBe(seen.get(key) ?? seen.size);
      seen.set(key, predicate);
    }
    expect(predicates.count).toBe(seen.size);
  });

  it('are none where there is nothing: an unknown list, an unknown name, no DNS addresses', () => {
    const predicates = new Predicates(EMPTY_RULE_SET);
    expect(predicates.ofList('none')).toBe(NO_ADDRESS);
    expect(predicates.ofName('none.example')).toBe(NO_ADDRESS);
    expect(predicates.ofDns([])).toBe(NO_ADDRESS);
    expect(predicates.count).toBe(0);
  });
});
