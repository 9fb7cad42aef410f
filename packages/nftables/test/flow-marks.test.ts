/** Which marks releases get: none that a flow of an earlier release may have. */

import { describe, expect, it } from 'vitest';
import { FLOW_MARKS_FREE_MIN } from '../src/limits.ts';
import { FlowMarks } from '../src/sink/flow-marks.ts';

describe('flow marks', () => {
  it('are none before those of former releases were taken from flows', () => {
    const marks = new FlowMarks();
    expect([marks.next(), marks.unknown, marks.scarce]).toEqual([0, true, false]);
    marks.cleared([1, 2]);
    expect([marks.next(), marks.unknown]).toEqual([3, false]);
  });

  it('are taken in turn, and begin again where no flow has them any more', () => {
    const marks = cleared([90]);
    const taken: number[] = [];
    for (let release = 0; release < 300; release++) {
      taken.push(takeNext(marks));
      if (marks.scarce) marks.cleared([90]);
    }
    expect(taken.slice(0, 97)).toEqual([...range(1, 89), ...range(91, 96), 1, 2]);
    expect(taken).not.toContain(90);
  });

  it('are not given twice before they were taken from flows, and are none when all are in use', () => {
    const marks = cleared([]);
    expect(new Set(range(1, 96).map(() => takeNext(marks))).size).toBe(96);
    expect(marks.next()).toBe(0);
    marks.cleared(range(1, 95));
    expect(marks.next()).toBe(0); // 96 is in force
    marks.cleared(range(2, 95));
    expect(marks.next()).toBe(1);
  });

  it('are scarce while there is still time', () => {
    const marks = cleared(range(1, 96 - FLOW_MARKS_FREE_MIN));
    expect(marks.scarce).toBe(false);
    marks.next();
    expect(marks.scarce).toBe(true);
  });

  it('of a release that is not in force yet, or that failed, are given to no other', () => {
    const marks = cleared([]);
    const inForce = takeNext(marks);
    const failed = marks.next();
    const prepared = marks.next();
    expect(marks.given).toEqual([inForce, failed, prepared]);
    marks.cleared([]); // no flow has a mark yet
    const others = range(1, 93).map(() => marks.next());
    for (const mark of [inForce, failed, prepared]) expect(others).not.toContain(mark);
    expect(marks.next()).toBe(0);
  });

  it('of what is no more in force are free once they were taken from flows', () => {
    const marks = cleared([]);
    const [first, second] = [takeNext(marks), takeNext(marks)];
    marks.cleared([]);
    const others = range(1, 95).map(() => marks.next());
    expect([others.includes(first), others.includes(second)]).toEqual([true, false]);
  });
});

function cleared(others: readonly number[]): FlowMarks {
  const marks = new FlowMarks();
  marks.cleared(others);
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
