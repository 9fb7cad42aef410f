/** Which marks releases get: none that a flow of an earlier release may have. */

import { describe, expect, it } from 'vitest';
import { FLOW_MARKS_FREE_MIN } from '../src/limits.ts';
import { FlowMarks } from '../src/sink/flow-marks.ts';

describe('flow marks', () => {
  it('are none before somebody looked at the flows', () => {
    const marks = new FlowMarks();
    expect([marks.next(), marks.unknown, marks.scarce]).toEqual([0, true, false]);
    marks.looked([1, 2]);
    expect([marks.next(), marks.unknown]).toEqual([3, false]);
  });

  it('are taken in turn, and begin again where no flow has them any more', () => {
    const marks = looked([200]);
    const taken: number[] = [];
    for (let release = 0; release < 600; release++) {
      taken.push(takeNext(marks));
      if (marks.scarce) marks.looked([200]);
    }
    expect(taken.slice(0, 256)).toEqual([...range(1, 199), ...range(201, 255), 1, 2]);
    expect(taken).not.toContain(200);
  });

  it('are not given twice between two looks, and are none when all are in use', () => {
    const marks = looked([]);
    expect(new Set(range(1, 255).map(() => takeNext(marks))).size).toBe(255);
    expect(marks.next()).toBe(0);
    marks.looked(range(1, 254));
    expect(marks.next()).toBe(0); // 255 is in force
    marks.looked(range(2, 254));
    expect(marks.next()).toBe(1);
  });

  it('are scarce while there is still time to look', () => {
    const marks = looked(range(1, 255 - FLOW_MARKS_FREE_MIN));
    expect(marks.scarce).toBe(false);
    marks.next();
    expect(marks.scarce).toBe(true);
  });

  it('of a release that is not in force yet, or that failed, are given to no other', () => {
    const marks = looked([]);
    const inForce = takeNext(marks);
    const failed = marks.next();
    const prepared = marks.next();
    marks.looked([]); // no flow has any of them yet
    const others = range(1, 252).map(() => marks.next());
    for (const mark of [inForce, failed, prepared]) expect(others).not.toContain(mark);
    expect(marks.next()).toBe(0);
  });

  it('of what is no more in force are free once no flow has them', () => {
    const marks = looked([]);
    const [first, second] = [takeNext(marks), takeNext(marks)];
    marks.looked([]);
    const others = range(1, 254).map(() => marks.next());
    expect([others.includes(first), others.includes(second)]).toEqual([true, false]);
  });
});

function looked(found: readonly number[]): FlowMarks {
  const marks = new FlowMarks();
  marks.looked(found);
  return marks;
}

function takeNext(marks: FlowMarks): number {
  const next = marks.next();
  marks.take(next);
  return next;
}

function range(first: number, last: number): readonly number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}
