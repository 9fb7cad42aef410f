/** When a source is read again. */

import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import { delayAfterCache, delayAfterFailure, delayAfterSuccess, jittered } from '../src/schedule/timing.ts';

const HOUR_MS = 3_600_000;
const TIMING = { intervalMs: 6 * HOUR_MS, jitterShare: 0.1 };

describe('timing', () => {
  it.each([
    [0, 0.9 * HOUR_MS],
    [0.5, HOUR_MS],
    [1, 1.1 * HOUR_MS],
  ])('jitter by chance %d', (chance, expected) => {
    expect(jittered(HOUR_MS, 0.1, chance)).toBe(Math.round(expected));
  });

  it('without an interval a success waits for a change', () => {
    expect(delayAfterSuccess({ intervalMs: undefined, jitterShare: 0.1 }, 0.5)).toBeUndefined();
  });

  it('failures wait longer and longer, never beyond an hour or the interval', () => {
    const delays = [1, 2, 3, 8, 20, 1000].map((failures) =>
      delayAfterFailure(failures, TIMING, 1, undefined),
    );
    expect(delays).toEqual([30_000, 60_000, 120_000, HOUR_MS, HOUR_MS, HOUR_MS]);
    expect(delayAfterFailure(20, { intervalMs: 60_000, jitterShare: 0 }, 1, undefined)).toBe(60_000);
    expect(delayAfterFailure(1, TIMING, 0, undefined)).toBe(15_000);
  });

  it('a server that asks for more time gets it', () => {
    expect(delayAfterFailure(1, TIMING, 1, 1_800_000)).toBe(1_800_000);
    expect(delayAfterFailure(3, TIMING, 1, 1000)).toBe(120_000);
  });

  // A Retry-After in the year 2100 kept a list from being fetched for 74 years.
  it.each([
    [7 * HOUR_MS, 6 * HOUR_MS, HOUR_MS],
    [74 * 365 * 24 * HOUR_MS, 6 * HOUR_MS, HOUR_MS],
    [Number.POSITIVE_INFINITY, undefined, HOUR_MS],
    [74 * 365 * 24 * HOUR_MS, 900_000, 900_000],
  ])('a server that asks for %s ms at an interval of %s gets %s', (askedMs, intervalMs, expected) => {
    expect(delayAfterFailure(1, { intervalMs, jitterShare: 0.1 }, 1, askedMs)).toBe(expected);
  });

  it('after a start, what is fresh waits for its time and what is overdue is spread', () => {
    expect(delayAfterCache(TIMING, HOUR_MS, 0.5)).toBe(5 * HOUR_MS);
    expect(delayAfterCache(TIMING, 100 * HOUR_MS, 0.5)).toBe(30_000);
    expect(delayAfterCache({ intervalMs: 40_000, jitterShare: 0 }, 100 * HOUR_MS, 1)).toBe(10_000);
    expect(delayAfterCache(TIMING, -100 * HOUR_MS, 0.5)).toBe(6 * HOUR_MS); // the clock was set back
  });

  it('never waits less than nothing, nor for ever', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.nat(50),
        fc.integer(),
        (chance, failures, ageMs) => {
          for (const delay of [
            delayAfterFailure(failures, TIMING, chance, undefined),
            delayAfterCache(TIMING, ageMs, chance),
            delayAfterSuccess(TIMING, chance) ?? 0,
          ]) {
            expect(delay).toBeGreaterThanOrEqual(0);
            expect(delay).toBeLessThanOrEqual(7 * HOUR_MS);
          }
        },
      ),
    );
  });
});
