/** Which upstream is asked: time and what came of questions go in. */

import { describe, expect, it } from 'vitest';
import { ATTEMPT_MS, DOWN_LONGEST_MS, DOWN_MS, UNANSWERED_MAX } from '../src/proxy/limits.ts';
import { Upstreams } from '../src/proxy/upstreams.ts';

/** Has one miss so many questions, each asked and given up one after the other. When the last one was. */
function silent(upstreams: Upstreams, upstream: number, count = UNANSWERED_MAX, fromMs = 0): number {
  for (let i = 0; i < count; i++) upstreams.missed(upstream, fromMs + i, fromMs + i + ATTEMPT_MS);
  return fromMs + count - 1 + ATTEMPT_MS;
}

describe('an upstream that does not answer', () => {
  it('is asked first until several questions in a row had no answer', () => {
    const upstreams = new Upstreams(3);
    const nowMs = silent(upstreams, 0, UNANSWERED_MAX - 1);
    expect([upstreams.first(nowMs), upstreams.after(0, nowMs)]).toEqual([0, 1]);
    upstreams.heard(0, nowMs);
    expect(upstreams.first(silent(upstreams, 0, UNANSWERED_MAX - 1, nowMs + 1))).toBe(0);
    expect(upstreams.first(silent(upstreams, 0, 1, nowMs + 10))).toBe(1);
    expect(upstreams.unanswered).toEqual([2 * UNANSWERED_MAX - 1, 0, 0]);
  });

  it('is asked one question after each pause, which is twice as long each time, up to the longest', () => {
    const upstreams = new Upstreams(2);
    let nowMs = silent(upstreams, 0);
    const pauses: number[] = [];
    for (let lastMs = nowMs; pauses.length < 8; ) {
      nowMs += 100; // a question each 0.1 s
      if (upstreams.first(nowMs) === 1) continue;
      pauses.push(nowMs - lastMs);
      lastMs = nowMs;
      upstreams.missed(0, nowMs, nowMs + ATTEMPT_MS);
    }
    expect(pauses).toEqual([
      DOWN_MS,
      2000,
      4000,
      8000,
      16_000,
      DOWN_LONGEST_MS,
      DOWN_LONGEST_MS,
      DOWN_LONGEST_MS,
    ]);
  });

  it('is asked all again once it answered, and is down for the first pause when it stops', () => {
    const upstreams = new Upstreams(2);
    let nowMs = silent(upstreams, 0) + DOWN_MS;
    expect([upstreams.first(nowMs), upstreams.first(nowMs)]).toEqual([0, 1]);
    upstreams.heard(0, nowMs + 20);
    expect([upstreams.first(nowMs + 20), upstreams.first(nowMs + 20)]).toEqual([0, 0]);
    nowMs = silent(upstreams, 0, UNANSWERED_MAX, nowMs + 30);
    expect([upstreams.first(nowMs + DOWN_MS - 1), upstreams.first(nowMs + DOWN_MS)]).toEqual([1, 0]);
  });

  it('is down once for a flood of questions that end at a time, for no longer than for three', () => {
    const upstreams = new Upstreams(2);
    for (let i = 0; i < 4096; i++) upstreams.missed(0, 0, ATTEMPT_MS);
    const asked = Array.from({ length: 4096 }, () => upstreams.first(ATTEMPT_MS + DOWN_MS));
    expect(asked.filter((upstream) => upstream === 0)).toHaveLength(1);
    expect(upstreams.unanswered).toEqual([4096, 0]);
  });

  it('is not down where it answered something since: that question alone has no answer', () => {
    const upstreams = new Upstreams(2);
    for (let i = 0; i < 100; i++) {
      const askedMs = i * 1000;
      upstreams.heard(0, askedMs + 3);
      upstreams.missed(0, askedMs, askedMs + ATTEMPT_MS);
      expect(upstreams.first(askedMs + ATTEMPT_MS)).toBe(0);
    }
    expect(upstreams.unanswered).toEqual([100, 0]);
  });

  it('is not down that answers one question of three', () => {
    const upstreams = new Upstreams(2);
    for (let i = 0; i < 99; i++) {
      const askedMs = i * 2000;
      if (i % 3 === 2) upstreams.heard(0, askedMs + 3);
      else upstreams.missed(0, askedMs, askedMs + ATTEMPT_MS);
      expect(upstreams.first(askedMs + ATTEMPT_MS)).toBe(0);
    }
  });

  it('is passed over for the next one that answers, in turn', () => {
    const upstreams = new Upstreams(4);
    const nowMs = Math.max(silent(upstreams, 0), silent(upstreams, 2));
    expect([upstreams.first(nowMs), upstreams.after(1, nowMs), upstreams.after(3, nowMs)]).toEqual([1, 3, 1]);
  });

  it('is asked in turn with the others where all are down', () => {
    const upstreams = new Upstreams(3);
    const nowMs = Math.max(...[0, 1, 2].map((upstream) => silent(upstreams, upstream)));
    expect([upstreams.first(nowMs), upstreams.after(0, nowMs), upstreams.after(1, nowMs)]).toEqual([0, 1, 2]);
    const alone = new Upstreams(1);
    const thenMs = silent(alone, 0);
    expect([alone.first(thenMs), alone.after(0, thenMs)]).toEqual([0, 0]);
  });

  it.each([
    ['back', -1_000_000],
    ['forward', 1_000_000],
  ])('is asked one question where the clock jumps %s', (_, byMs) => {
    const upstreams = new Upstreams(2);
    const nowMs = silent(upstreams, 0) + byMs;
    expect([upstreams.first(nowMs), upstreams.first(nowMs), upstreams.first(nowMs + 1999)]).toEqual([
      0, 1, 1,
    ]);
    expect(upstreams.first(nowMs + 2000)).toBe(0);
    // What was heard at a time that is not yet says nothing.
    const other = new Upstreams(2);
    other.heard(0, 1_000_000);
    expect(other.first(silent(other, 0))).toBe(1);
  });
});
