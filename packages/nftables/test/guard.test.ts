/** That sources are checked is believed once it was seen. What is seen: test/system/openings.test.ts. */

import { expect, it } from 'vitest';
import { Guard } from '../src/apply/guard.ts';
import { NativeError } from '../src/kernel/native.ts';

const turn = async (): Promise<void> => undefined;

it.each([
  ['that has nothing', async () => undefined],
  [
    'that cannot be read',
    async () => {
      throw new NativeError('the ruleset changes all the time');
    },
  ],
])('no family is guarded before a look, nor after one at a kernel %s', async (_, all) => {
  const guard = new Guard();
  expect(guard.unguarded).toEqual([4, 6]);
  expect(await guard.look(all, turn)).toBe(true); // that there is no guard is news
  expect(await guard.look(all, turn)).toBe(false);
  expect([4, 6].map((family) => guard.holds(family as 4 | 6))).toEqual([false, false]);
});
