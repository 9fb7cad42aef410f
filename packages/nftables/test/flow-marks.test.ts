/** Which marks releases get: none that a flow of an earlier release may have. */

import { describe, expect, it } from 'vitest';
import { FlowMarks } from '../src/flow-marks.ts';

describe('flow marks', () => {
  it('are none before somebody looked at the flows', () => {
    const marks = new FlowMarks();
    expect([marks.next(), marks.known]).toEqual([0, false]);
    marks.look();
    marks.looked([1, 2]);
    expect([marks.next(), marks.known]).toEqual([3, true]);
  });

  it('are taken in turn, and begin again where no flow has them any more', () => {
    const marks = looked([200]);
    const taken: number[] = [];
    for (let release = 0; release < 600; release++) {
      taken.push(takeNext(marks));
      marks.look();
      marks.looked([200]);
    }
    expect(taken.slice(0, 256)).toEqual([...range(1, 199), ...range(201, 255), 1, 2]);
    expect(taken).not.toContain(200);
  });

  it('are not given twice between two looks, and are none when all are in use', () => {
    const marks = looked([]);
    expect(new Set(range(1, 255).map(() => takeNext(marks))).size).toBe(255);
    expect(marks.next()).toBe(0);
    marks.look();
    expect(marks.next()).toBe(0);
    marks.looked(range(1, 254));
    expect(marks.next()).toBe(0); // 255 is in force
    marks.take(0);
    marks.look();
    marks.looked(range(1, 254));
    expect(marks.next()).toBe(255);
  });

  it('that a release took during a look are in use, though the look did not find them', () => {
    const marks = looked([]);
    const first = takeNext(marks);
    marks.look();
    const second = takeNext(marks);
    marks.looked([]);
    const later = range(1, 253).map(() => takeNext(marks));
    expect(later).not.toContain(first);
    expect(later).not.toContain(second);
    expect(marks.next()).toBe(0);
  });

  it('of a release that is not in force yet are given to no other', () => {
    const marks = looked([]);
    const prepared = marks.next();
    marks.look();
    marks.looked([]);
    const others = range(1, 254).map(() => takeNext(marks));
    expect(others).not.toContain(prepared);
    const voided = looked([]);
    const [first, second] = [voided.next(), voided.next()];
    expect(second).not.toBe(first);
    voided.take(second);
    voided.look();
    voided.looked([]);
    expect(range(1, 254).map(() => takeNext(voided))).toContain(first);
  });

  it('that a failed look found nothing about stay in use', () => {
    const marks = looked([]);
    const first = takeNext(marks);
    takeNext(marks);
    marks.look();
    for (let i = 0; i < 253; i++) expect(takeNext(marks)).not.toBe(first);
    expect(marks.next()).toBe(0);
  });
});

function looked(found: readonly number[]): FlowMarks {
  const marks = new FlowMarks();
  marks.look();
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
