/** A pair is believed once it was seen. What is seen: test/system/openings.test.ts. */

import { expect, it } from 'vitest';
import { Sources } from '../src/apply/sources.ts';
import { NativeError } from '../src/kernel/native.ts';
import { parseSources } from '../src/kernel/sources.ts';

const turn = async (): Promise<void> => undefined;
const sources = async (): Promise<readonly []> => [];

it.each([
  ['that has nothing', async () => undefined, 0],
  [
    'that cannot be read',
    async () => {
      throw new NativeError('the ruleset changes all the time');
    },
    undefined, // what an applier before this one was told stays open
  ],
])('no family is known before a look, nor after one at a kernel %s', async (_, all, pairs) => {
  const found = new Sources([]);
  expect(found.unknown).toEqual([4, 6]);
  expect(await found.look({ all, sources }, turn)).toBe(true); // that there is none is news
  expect(await found.look({ all, sources }, turn)).toBe(false);
  expect([found.unknown, found.pairs?.size]).toEqual([[4, 6], pairs]);
});

it('pairs of the configuration are known without a set of Qubes', async () => {
  const found = new Sources(parseSources('eth1=10.137.0.5') ?? []);
  await found.look({ all: async () => undefined, sources }, turn);
  expect([found.unknown, [...(found.pairs?.keys() ?? [])], found.otherOf('0a890005')]).toEqual([
    [6],
    ['0a890005'],
    '',
  ]);
});
