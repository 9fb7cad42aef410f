/** Steady time: nothing ages because a wall clock was set. */

import { describe, expect, it } from 'vitest';
import { DOWNTIME_MAX_MS, SteadyTime } from '../src/clock.ts';
import { FakeClock } from './fake-clock.ts';

const YEAR_MS = 365 * 86_400_000;

describe('SteadyTime', () => {
  it.each([YEAR_MS, -YEAR_MS])('does not move when the wall clock jumps by %d ms', (jumpMs) => {
    const clock = new FakeClock();
    const time = new SteadyTime(clock, undefined);
    const before = time.nowMs();
    clock.jumpWall(jumpMs);
    expect(time.nowMs()).toBe(before);
    clock.advance(1000);
    expect(time.nowMs()).toBe(before + 1000);
  });

  it.each([
    ['an hour', 3_600_000, 3_600_000],
    ['a year, or a clock that was set', YEAR_MS, DOWNTIME_MAX_MS],
    ['less than nothing, for the clock was set back', -YEAR_MS, 0],
  ])('counts a stop of %s', (_what, stoppedMs, countedMs) => {
    const clock = new FakeClock();
    const saved = new SteadyTime(clock, { steadyMs: 1_000_000, wallMs: clock.wallMs() }).saved();
    expect(saved.steadyMs).toBe(1_000_000);
    const later = new FakeClock(); // another process: its monotonic clock starts anew
    later.jumpWall(stoppedMs);
    expect(new SteadyTime(later, saved).nowMs()).toBe(1_000_000 + countedMs);
  });
});
