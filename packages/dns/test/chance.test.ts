import { expect, it } from 'vitest';
import { drawnAhead } from '../src/daemon/chance.ts';

it('gives each byte that was drawn once, in order, and draws many at a time', () => {
  let [next, draws] = [0, 0];
  const give = drawnAhead((byteCount) => {
    draws++;
    return Uint8Array.from({ length: byteCount }, () => next++ & 0xff);
  });
  const given: number[] = [];
  const kept = give(34);
  given.push(...kept);
  for (let i = 1; i < 200; i++) given.push(...give(34)); // 16 of a draw's bytes are left over
  const whole = Math.floor(4096 / 34) * 34;
  expect(given.slice(0, whole)).toEqual(Array.from({ length: whole }, (_, i) => i & 0xff));
  expect(given.slice(whole)).toEqual(Array.from({ length: given.length - whole }, (_, i) => i & 0xff));
  expect(draws).toBe(2);
  expect([...kept]).toEqual(given.slice(0, 34)); // what was given stays as it is
  expect(give(5000)).toHaveLength(5000);
});
