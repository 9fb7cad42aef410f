/** Deadlines as values, and the one timer that is set by them. The only clock here is moved by tests. */

import { describe, expect, it } from 'vitest';
import { QUERIES_PER_SECOND_MAX, TRANSFER_WINDOW_MIN_BYTES, TRANSFER_WINDOW_MS } from '../src/limits.ts';
import { Alarm, NEVER } from '../src/peer/alarm.ts';
import {
  asked,
  beaten,
  heard,
  isOverRate,
  moved,
  NO_QUERIES,
  pulseDeadline,
  pulseFrom,
  windowFrom,
} from '../src/peer/pace.ts';

describe('a pulse', () => {
  it('is due each heartbeat, and silent after three in which nothing was heard', () => {
    let pulse = pulseFrom(100, 1000);
    expect([pulseDeadline(pulse), pulse.silentAtMs]).toEqual([1100, 3100]);
    pulse = beaten(pulse, 1100);
    expect(pulseDeadline(pulse)).toBe(2100);
    pulse = beaten(beaten(pulse, 2100), 3100);
    expect([pulse.beatAtMs, pulseDeadline(pulse)]).toEqual([4100, 3100]);
    expect(pulseDeadline(heard(pulse, 3000))).toBe(4100);
  });

  it('keeps its beat when it is looked at late, and makes up for none that were missed', () => {
    const pulse = pulseFrom(0, 1000);
    expect(beaten(pulse, 1400).beatAtMs).toBe(2000);
    expect(beaten(pulse, 5400).beatAtMs).toBe(6400);
  });
});

describe('a window of a transfer', () => {
  it('begins anew with 64 KiB, and with nothing less', () => {
    const window = windowFrom(5);
    const less = moved(window, TRANSFER_WINDOW_MIN_BYTES - 1, 1000);
    expect(less.endsAtMs).toBe(5 + TRANSFER_WINDOW_MS);
    expect(moved(less, 1, 2000)).toEqual({ endsAtMs: 2000 + TRANSFER_WINDOW_MS, movedBytes: 0 });
  });
});

describe('a rate of questions', () => {
  it('is over with the twenty-first of one second, and begins anew with the next', () => {
    let rate = NO_QUERIES;
    for (let i = 0; i < QUERIES_PER_SECOND_MAX; i++) rate = asked(rate, 7999);
    expect(isOverRate(rate)).toBe(false);
    rate = asked(rate, 7999);
    expect(isOverRate(rate)).toBe(true);
    expect(isOverRate(asked(rate, 8000))).toBe(false);
  });
});

/** A clock with one timer at most; a second one at once is a fault of the alarm. */
class OneTimer {
  nowMs = 0;
  started = 0;
  pending: { readonly atMs: number; readonly work: () => void } | undefined;

  monotonicMs(): number {
    return this.nowMs;
  }

  readonly after = (delayMs: number, work: () => void): (() => void) => {
    if (this.pending !== undefined) throw new Error('two timers at once');
    this.started += 1;
    this.pending = { atMs: this.nowMs + delayMs, work };
    return () => {
      this.pending = undefined;
    };
  };

  /** Moves on to the end of the timer, if there is one. */
  ring(): void {
    const { pending } = this;
    if (pending === undefined) return;
    this.pending = undefined;
    this.nowMs = pending.atMs;
    pending.work();
  }
}

describe('an alarm', () => {
  function alarmOn(clock: OneTimer): { readonly alarm: Alarm; readonly rungMs: number[] } {
    const rungMs: number[] = [];
    return { alarm: new Alarm(clock, () => rungMs.push(clock.nowMs)), rungMs };
  }

  it('rings at its deadline, once', () => {
    const clock = new OneTimer();
    const { alarm, rungMs } = alarmOn(clock);
    alarm.set(40.5);
    clock.ring();
    clock.ring();
    expect(rungMs).toEqual([41]);
  });

  it('is set anew for an earlier deadline, and may ring early for a later one', () => {
    const clock = new OneTimer();
    const { alarm, rungMs } = alarmOn(clock);
    alarm.set(100);
    alarm.set(200);
    expect([clock.started, clock.pending?.atMs]).toEqual([1, 100]);
    alarm.set(50);
    expect([clock.started, clock.pending?.atMs]).toEqual([2, 50]);
    clock.ring();
    alarm.set(200);
    clock.ring();
    expect(rungMs).toEqual([50, 200]);
  });

  it('holds no timer without a deadline, nor once it is stopped; one that has passed rings later', () => {
    const clock = new OneTimer();
    const { alarm, rungMs } = alarmOn(clock);
    alarm.set(NEVER);
    expect(clock.started).toBe(0);
    alarm.set(10);
    alarm.set(NEVER);
    expect(clock.pending).toBeUndefined();
    alarm.set(10);
    alarm.stop();
    expect(clock.pending).toBeUndefined();
    clock.nowMs = 20;
    alarm.set(10);
    expect(rungMs).toEqual([]);
    clock.ring();
    expect(rungMs).toEqual([20]);
  });
});
