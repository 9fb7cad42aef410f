/** What part of the reachable Internet a set covers. */

import { describe, expect, it } from 'vitest';
import { seededNumbers } from '../../../test/kit/random.mjs';
import { prefixSetFrom } from '../../../test/kit/rules.ts';
import { partOfSpace, routableShare } from '../src/coverage.ts';
import { combineSets, intersectPrefixes, subtractPrefixes } from '../src/list.ts';
import { bitsOf, prefixAt, prefixOf } from '../src/prefix.ts';
import { columnFor, prefixSetOf } from '../src/prefix-set.ts';
import { specialPurposeSpace } from '../src/special-purpose.ts';

function setOf(...texts: readonly string[]) {
  return prefixSetFrom(texts);
}

/** Addresses of IPv4 outside the special blocks, by hand: 2^32 less fifteen blocks. */
const REACHABLE_V4 =
  2 ** 32 -
  (3 * 2 ** 24 +
    2 ** 22 +
    2 ** 16 +
    2 ** 20 +
    2 ** 8 +
    2 ** 8 +
    2 ** 8 +
    2 ** 16 +
    2 ** 17 +
    2 * 2 ** 8 +
    2 * 2 ** 28);

describe('routableShare', () => {
  it.each([
    [['0.0.0.0/0'], 4, 1],
    [['::/0'], 6, 1],
    [['2000::/3'], 6, 1],
    [[], 4, 0],
    [['5.0.0.0/8'], 4, 2 ** 24 / REACHABLE_V4],
    [['5.0.0.0/8', '9.9.9.9'], 4, (2 ** 24 + 1) / REACHABLE_V4],
    [['192.0.0.0/16'], 4, (2 ** 16 - 3 * 2 ** 8 + 2 ** 8) / REACHABLE_V4],
    [['224.0.0.0/3', '10.0.0.0/8', '192.168.7.7'], 4, 0],
    [['fc00::/7', 'ff00::/8', '64:ff9b::/96', '2001:db8::/32'], 6, 0],
    [['5.0.0.0/8'], 6, 0],
  ] as const)('of %j, IPv%d, is %f', (texts, family, share) => {
    expect(routableShare(setOf(...texts), family)).toBeCloseTo(share, 12);
  });

  it('of a set and of what it leaves is the whole', () => {
    const set = setOf('0.0.0.0/2', '100.64.0.0/9', '198.0.0.0/8', '2400::/12', '2001::/16');
    for (const family of [4, 6] as const) {
      const rest = combineSets(subtractPrefixes, setOf('0.0.0.0/0', '::/0'), set);
      expect(routableShare(set, family) + routableShare(rest, family)).toBeCloseTo(1, 12);
    }
  });

  it('of random sets is what they hold less what of it is special', () => {
    const next = seededNumbers(3);
    for (const family of [4, 6] as const) {
      const special = columnFor(specialPurposeSpace(), family);
      for (let round = 0; round < 200; round++) {
        const near = next(special.lengths.length);
        const members = Array.from({ length: 1 + next(20) }, () => {
          const { words } = prefixAt(special, near);
          words[next(words.length)]! ^= next(2 ** 32) >>> next(32); // below their number
          return prefixOf(family, words, next(bitsOf(family) + 1));
        });
        const set = prefixSetOf(members);
        const column = columnFor(set, family);
        const held = partOfSpace(column) - partOfSpace(intersectPrefixes(column, special));
        expect(routableShare(set, family)).toBeCloseTo(held / (1 - partOfSpace(special)), 12);
      }
    }
  });
});
