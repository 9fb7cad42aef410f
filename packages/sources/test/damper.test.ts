/** What changes on and on is told less and less often, and what changes now and then at once. */

import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import { DAMPER_LIMITS, Damper } from '../src/schedule/damper.ts';
import { Flapping } from '../src/schedule/flapping.ts';
import { prefixesOf } from './list-of.ts';

const HOUR_MS = 3_600_000;

describe('a damper', () => {
  it('lets two go at once, and the more there are the longer they wait', () => {
    const damper = new Damper();
    const waits: number[] = [];
    let nowMs = 1e9;
    for (let i = 0; i < 6; i++) {
      const waitMs = damper.waitMs(nowMs);
      waits.push(Math.round(waitMs / 1000));
      nowMs += waitMs;
      damper.spend(nowMs);
    }
    expect(waits).toEqual([0, 0, 30, 120, 330, 480]);
    expect(damper.waitMs(nowMs + 10 * HOUR_MS)).toBe(0);
  });

  it('never lets more go within an hour than its tokens and what is filled in', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(600_000), { minLength: 50, maxLength: 400 }), (gaps) => {
        const damper = new Damper();
        const told: number[] = [];
        let nowMs = 0;
        for (const gapMs of gaps) {
          nowMs += gapMs;
          if (damper.waitMs(nowMs) > 0) continue;
          damper.spend(nowMs);
          told.push(nowMs);
        }
        const most = DAMPER_LIMITS.tokens + HOUR_MS / DAMPER_LIMITS.refillMs;
        for (const from of told) {
          expect(told.filter((at) => at >= from && at < from + HOUR_MS).length).toBeLessThanOrEqual(most);
        }
      }),
    );
  });
});

describe('a feed', () => {
  const contents = Array.from({ length: 60 }, (_, i) => prefixesOf(`192.0.2.${i}`));
  /** How often what is in force changes. */
  const taken = (picks: readonly number[], isPermitted = false): number => {
    const flapping = new Flapping();
    let inForce: number | undefined;
    let changes = 0;
    for (const [minute, pick] of picks.entries()) {
      const list = contents[pick];
      if (list === undefined || flapping.takeInMs(list, minute * 60_000, isPermitted) > 0) continue;
      if (pick !== inForce) changes++;
      inForce = pick;
    }
    return changes;
  };
  const everyMinute = Array.from({ length: 60 }, (_, i) => i);

  it('with something new each minute is taken each minute', () => {
    expect(taken(everyMinute)).toBe(60);
  });

  it.each([2, 3])('that goes round between %i contents is taken less and less often', (count) => {
    const changes = taken(everyMinute.map((minute) => minute % count));
    expect(changes).toBeGreaterThanOrEqual(count + 4);
    expect(changes).toBeLessThanOrEqual(count + 11);
  });

  it('that goes round is taken each time by permission', () => {
    expect(
      taken(
        everyMinute.map((minute) => minute % 2),
        true,
      ),
    ).toBe(60);
  });
});
