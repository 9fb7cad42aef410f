/** Classes after changes are those of the rules alone, whatever was there before. */

import { describe, expect, it } from 'vitest';
import { prefixFrom, runsFrom } from '../../../test/kit/rules.ts';
import fc from '../../../test/seeded-fast-check.ts';
import { classesOf, classFor, type MatchClasses } from '../src/match-classes.ts';
import { columnOf, containsAt, type Family, formatPrefixAt, type Prefix, prefixOf } from '../src/prefix.ts';
import type { RuleMatch } from '../src/rule.ts';
import type { Runs } from '../src/runs.ts';

const CONDITIONS = [
  '',
  '',
  '',
  ' proto=tcp',
  ' proto=tcp dstports=80',
  ' proto=udp dstports=53-60',
  ' proto=icmp icmptype=8',
];

/** A rule for one of few networks, which lie within each other, or for any address. */
const line = fc
  .tuple(
    fc.constantFrom('accept', 'drop'),
    fc.constantFrom(...CONDITIONS),
    fc.oneof({ weight: 1, arbitrary: fc.constant(undefined) }, { weight: 40, arbitrary: fc.nat(63) }),
    fc.constantFrom(4 as const, 6 as const),
    fc.nat(6),
  )
  .map(([action, condition, place, family, bits]) => {
    if (place === undefined) return `${action}${condition}`;
    const target =
      family === 4
        ? `dst4=9.0.${place}.0/${18 + bits}`
        : `dst6=2001:db8::${place.toString(16)}00:0/${106 + bits}`;
    return `${action} ${target}${condition}`;
  });

/** One edit: so many rules at a place go, and others come. */
const edit = fc.record({ at: fc.nat(1000), drop: fc.nat(3), lines: fc.array(line, { maxLength: 3 }) });

function brief(matches: readonly RuleMatch[] | undefined): string {
  return (matches ?? [])
    .map(({ action, proto, ports, icmpType }) =>
      [action, proto, ports?.first, ports?.last, icmpType].join(' '),
    )
    .join(', ');
}

/** Each prefix with what its class asks. */
function told({ prefixes, classOf, classes }: MatchClasses): readonly string[] {
  return Array.from(classOf, (own, at) => `${formatPrefixAt(prefixes, at)} ${brief(classes[own])}`);
}

function whole(runs: Runs, family: Family, before?: MatchClasses): MatchClasses {
  return classesOf({ runs, first: 0, end: runs.count }, family, before);
}

describe('classes after changes', () => {
  it('are those of the rules alone', () => {
    fc.assert(
      fc.property(
        fc.array(line, { maxLength: 60 }),
        fc.array(fc.array(edit, { maxLength: 3 }), { maxLength: 6 }),
        (first, releases) => {
          let lines = first;
          const before = new Map<Family, MatchClasses>();
          for (const edits of [[], ...releases]) {
            for (const { at, drop, lines: more } of edits)
              lines = lines.toSpliced(at % (lines.length + 1), drop, ...more);
            const runs = runsFrom('egress', lines);
            for (const family of [4, 6] as const) {
              const after = whole(runs, family, before.get(family));
              expect(told(after)).toEqual(told(whole(runs, family)));
              before.set(family, after);
            }
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it('stay the same object where no rule changed', () => {
    const lines = ['accept dst4=9.0.0.0/24', 'drop dst4=9.0.0.0/8 proto=tcp'];
    const before = whole(runsFrom('egress', lines), 4);
    expect(whole(runsFrom('egress', lines), 4, before)).toBe(before);
  });

  it('of many rules keep their numbers after edits at the start, in the middle and at the end, and a block of a thousand', () => {
    const lines = Array.from(
      { length: 5000 },
      (_, i) => `${i % 2 ? 'accept' : 'drop'} dst4=9.${i >> 8}.${i & 255}.0/${20 + (i % 9)}`,
    );
    let before = whole(runsFrom('egress', lines), 4);
    const block = Array.from({ length: 1000 }, (_, i) => `drop dst4=11.${i >> 8}.${i & 255}.7`);
    for (const next of [
      lines.with(0, 'accept dst4=9.0.0.0/16 proto=udp'),
      lines.toSpliced(2500, 0, 'drop dst4=9.4.0.0/14'),
      [...lines.slice(0, 4998), 'drop dst4=9.16.0.0/12 proto=udp'],
      lines.toSpliced(100, 0, ...block),
      ['drop dst4=10.0.0.0/8', ...lines.toSpliced(4000, 2).toSpliced(17, 1)],
      lines,
    ]) {
      const after = whole(runsFrom('egress', next), 4, before);
      expect(told(after)).toEqual(told(whole(runsFrom('egress', next), 4)));
      expect(after.classes.slice(0, 3)).toEqual(before.classes.slice(0, 3));
      before = after;
    }
  });

  it('are found for prefixes by the longest that holds them', () => {
    fc.assert(
      fc.property(
        fc.array(line, { minLength: 1, maxLength: 60 }),
        fc.nat(63),
        fc.integer({ min: 8, max: 32 }),
        (lines, place, length) => {
          const classes = whole(runsFrom('egress', lines), 4);
          const of = columnOf([masked(`9.0.${place}.0`, length)], 4);
          let expected = classes.classOf[0];
          for (let at = 0; at < classes.classOf.length; at++) {
            if ((classes.prefixes.lengths[at] ?? 0) > length) continue;
            if (containsAt(classes.prefixes, at, of.words, 0)) expected = classes.classOf[at];
          }
          expect(classFor(classes, of, 0)).toBe(expected);
        },
      ),
    );
  });
});

function masked(text: string, length: number): Prefix {
  return prefixOf(4, prefixFrom(text).words, length);
}
