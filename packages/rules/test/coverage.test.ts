/** What part of the reachable Internet a set covers. */

import { describe, expect, it } from 'vitest';
import { routableShare } from '../src/coverage.ts';
import { combineSets, prefixSetOf, subtractPrefixes } from '../src/list.ts';
import { type Prefix, parsePrefix } from '../src/prefix.ts';

function setOf(...texts: readonly string[]) {
  return prefixSetOf(texts.map((text) => parsePrefix(text) as Prefix));
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
});
