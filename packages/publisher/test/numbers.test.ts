/** Numbers are given once and only go up, whatever is proved and whatever cannot be written. */

import { compareRelease } from '@rulecast/protocol';
import type { ReleaseNumber } from '@rulecast/sessions';
import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import { often } from '../../../test/thorough.ts';
import {
  behindOf,
  inNewEpoch,
  type Numbers,
  nextNumber,
  withHead,
  withProof,
} from '../src/release/numbers.ts';

const FIRST: Numbers = { head: undefined, epoch: 1, proved: undefined };
const at = (epoch: number, version: number): ReleaseNumber => ({ epoch, version });

describe('the next number', () => {
  it.each<[string, Numbers, ReturnType<typeof nextNumber>]>([
    ['of all', FIRST, { ...at(1, 1), previousVersion: 0 }],
    ['of a store that starts over', { ...FIRST, epoch: 700 }, { ...at(700, 1), previousVersion: 0 }],
    ['after a head', { ...FIRST, head: at(1, 7) }, { ...at(1, 8), previousVersion: 7 }],
    ['in a new epoch', inNewEpoch({ ...FIRST, head: at(1, 7) }), { ...at(2, 8), previousVersion: 0 }],
    ['while behind', { ...FIRST, head: at(1, 7), proved: at(1, 9) }, undefined],
    ['behind, and none was ever released', { ...FIRST, proved: at(3, 9) }, undefined],
    [
      'above what was proved',
      inNewEpoch({ ...FIRST, head: at(1, 7), proved: at(5, 1) }),
      { ...at(6, 8), previousVersion: 0 },
    ],
    [
      'after a proof of an epoch that is over',
      { head: at(4, 2), epoch: 4, proved: at(3, 99) },
      { ...at(4, 3), previousVersion: 2 },
    ],
  ])('%s', (_, numbers, next) => {
    expect(nextNumber(numbers)).toEqual(next);
  });

  it('is above all that were given or proved, and is given once', () => {
    const number = fc.record({
      epoch: fc.integer({ min: 1, max: 6 }),
      version: fc.integer({ min: 1, max: 9 }),
    });
    const act = fc.oneof(
      fc.record({ kind: fc.constant('proved' as const), number }),
      fc.record({ kind: fc.constant('asked' as const), isNew: fc.boolean(), isWritten: fc.boolean() }),
    );
    fc.assert(
      fc.property(fc.array(act, { maxLength: 40 }), (acts) => {
        let numbers = FIRST;
        let highest = at(0, 0);
        for (const one of acts) {
          if (one.kind === 'proved') {
            const isBehind = behindOf(numbers);
            const next = withProof(numbers, one.number);
            numbers = next ?? numbers;
            const left = behindOf(numbers);
            if (isBehind !== undefined) expect(left).toBeDefined(); // a proof ends nothing
            if (left !== undefined && compareRelease(left, highest) > 0) highest = left;
            continue;
          }
          const asked = one.isNew ? inNewEpoch(numbers) : numbers;
          const next = nextNumber(asked);
          if (next === undefined) {
            expect(one.isNew).toBe(false);
            continue;
          }
          expect(compareRelease(next, highest)).toBeGreaterThan(0);
          if (!one.isWritten) continue; // nothing was said
          highest = next;
          numbers = withHead(asked, next);
          expect(behindOf(numbers)).toBeUndefined();
        }
      }),
      { numRuns: often(1000, 20_000) },
    );
  });
});

describe('a proof', () => {
  it.each<[string, Numbers, ReleaseNumber, boolean]>([
    ['of more than the head', { ...FIRST, head: at(1, 7) }, at(1, 9), true],
    ['of less than was proved', { ...FIRST, proved: at(1, 9) }, at(1, 8), false],
    ['of the same once more', { ...FIRST, proved: at(1, 9) }, at(1, 9), false],
    ['of a later epoch than was proved', { ...FIRST, proved: at(1, 9) }, at(2, 1), true],
    ['of an epoch that is over', { ...FIRST, head: at(3, 1), epoch: 3 }, at(2, 99), false],
  ])('%s is news or not', (_, numbers, number, isNews) => {
    expect(withProof(numbers, number)).toEqual(isNews ? { ...numbers, proved: number } : undefined);
  });
});
