import { setImmediate } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Pace } from '../src/pace.ts';

it('lets 32 go in each turn, in the order in which they came', async () => {
  const turns: (() => void)[] = [];
  const pace = new Pace(() => new Promise((resolve) => void turns.push(resolve)));
  const gone: number[] = [];
  const step = (i: number): void => void pace.step().then(() => gone.push(i));
  for (let i = 0; i < 70; i++) step(i);
  await setImmediate();
  expect(gone).toHaveLength(32);
  for (const count of [64, 70]) {
    turns.shift()?.();
    step(1000 + count);
    await setImmediate();
    expect(gone.length).toBeGreaterThanOrEqual(count);
  }
  expect(gone.slice(0, 70)).toEqual(Array.from({ length: 70 }, (_, i) => i));
  turns.shift()?.();
  await setImmediate();
  expect(gone.slice(70)).toEqual([1064, 1070]);
  expect(turns).toHaveLength(0); // nobody waits for one
});
