/** How columns lie in the kernel: every address of a column is in one of its sets, and no other is. */

import {
  canonicalPrefixes,
  memberContaining,
  PrefixBuilder,
  type Prefixes,
  prefixSetOf,
} from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { Random } from '../../../test/kit/random.mjs';
import { randomPrefix } from '../../table/test/random-rule-set.ts';
import { keyPieces } from '../src/kernel/elements.ts';
import { SMALL_MEMBERS_MAX } from '../src/limits.ts';
import { elementsOf } from '../src/plan/change.ts';
import { fitsLayout, layoutOf, loadsOf } from '../src/plan/layout.ts';
import { capacityOf, type Layout, parseSetName, setNames } from '../src/plan/plan.ts';
import { prefixSet } from './sample.ts';

type HashLayout = Extract<Layout, { kind: 'hash' }>;

function hashLayout(members: Prefixes): HashLayout {
  const layout = layoutOf(members);
  if (layout.kind !== 'hash') throw new TypeError('a hash layout was expected');
  return layout;
}

/** Members of every length from 8 to 32, `counts` of each, far apart. */
function membersOf(counts: Readonly<Record<number, number>>): Prefixes {
  const builder = new PrefixBuilder(4);
  let at = 0x01000000;
  for (const [length, count] of Object.entries(counts)) {
    const size = 2 ** (32 - Number(length));
    for (let i = 0; i < count; i++) {
      at = Math.ceil(at / size) * size;
      builder.push4(at, Number(length));
      at += size;
    }
  }
  return canonicalPrefixes(builder.build());
}

describe('a layout', () => {
  it('is one hash set for one length, however many members', () => {
    expect(layoutOf(membersOf({ 32: 5 }))).toEqual({ kind: 'hash', tiers: [{ length: 32, bucketsLog2: 4 }] });
    expect(hashLayout(membersOf({ 30: 40_000 })).tiers.map((tier) => tier.length)).toEqual([30]);
  });

  it('is an interval set for few members of several lengths, and hash sets for one more than that', () => {
    const few = { 16: 10, 24: 10, 32: SMALL_MEMBERS_MAX - 20 };
    expect(layoutOf(membersOf(few))).toEqual({ kind: 'interval' });
    expect(layoutOf(membersOf({ ...few, 24: 11 })).kind).toBe('hash');
  });

  it('expands rare lengths into frequent ones, as long as that adds few elements', () => {
    const members = membersOf({ 23: 200, 24: 6000, 31: 300, 32: 5000 });
    const { tiers } = hashLayout(members);
    expect(tiers.map((tier) => tier.length)).toEqual([24, 32]);
    expect(loadsOf(members, tiers)).toEqual([6400, 5600]);
    const most = membersOf({ 16: 16, 24: 6000, 32: 5000 }); // a /16 adds 255 networks of length 24
    expect(hashLayout(most).tiers.map((tier) => tier.length)).toEqual([24, 32]);
    const costly = membersOf({ 16: 17, 24: 6000, 32: 5000 });
    expect(hashLayout(costly).tiers.map((tier) => tier.length)).toEqual([16, 24, 32]);
  });

  it('has room for growth, and does not fit what outgrows it', () => {
    const members = membersOf({ 32: 1000 });
    const layout = hashLayout(members);
    const capacity = capacityOf(layout.tiers[0]?.bucketsLog2 ?? 0);
    expect(capacity).toBeGreaterThanOrEqual(1250);
    expect(fitsLayout(membersOf({ 32: capacity }), layout)).toBe(true);
    expect(fitsLayout(membersOf({ 32: capacity + 1 }), layout)).toBe(false);
    expect(fitsLayout(membersOf({ 31: 10 }), layout)).toBe(true); // as 20 of length 32
    expect(fitsLayout(membersOf({ 32: 5 }), { kind: 'hash', tiers: [{ length: 24, bucketsLog2: 8 }] })).toBe(
      false,
    );
  });

  it('is told by the names of its sets', () => {
    const { v4, v6 } = prefixSet('10.0.0.0/8', '1.1.1.1/32', '2001:db8::/32', '2001:db9::/33', '::1/128');
    const key = '0123456789abcdef';
    const named = (members: Prefixes) =>
      setNames({ key, members, layout: layoutOf(members), version: '89abcdef', delta: undefined });
    const names = [...named(v4), ...named(v6)];
    const stem = 's0123456789abcdef';
    expect(names).toEqual([`${stem}_4_8_4_89abcdef`, `${stem}_4_32_4_89abcdef`, `${stem}_6_i_89abcdef`]);
    expect(names.map(parseSetName)).toEqual([
      { key, family: 4, tier: { length: 8, bucketsLog2: 4 }, version: '89abcdef' },
      { key, family: 4, tier: { length: 32, bucketsLog2: 4 }, version: '89abcdef' },
      { key, family: 6, tier: undefined, version: '89abcdef' },
    ]);
  });

  it.each([4, 6] as const)('expands to the very addresses of the members, IPv%i', (family) => {
    for (let seed = 0; seed < 200; seed++) {
      const random = new Random(seed);
      const set = prefixSetOf(Array.from({ length: 6 }, () => randomPrefix(random, family)));
      const members = family === 4 ? set.v4 : set.v6;
      const used = [...new Set(members.lengths)].sort((a, b) => a - b);
      const lengths = used.filter((length, i) => (used[i + 1] ?? 1000) - length > 6); // the others expand by up to 2^6
      const tiers = lengths.map((length) => ({ length, bucketsLog2: 10 }));
      const stride = family === 4 ? 1 : 4;
      const again = new PrefixBuilder(family);
      const { elements, body } = elementsOf({
        key: '0123456789abcdef',
        members,
        layout: { kind: 'hash', tiers },
        version: '89abcdef',
        delta: undefined,
      });
      for (const each of elements) {
        const { length = 0 } = parseSetName(each.set)?.tier ?? {};
        for (const { keys } of keyPieces(each, body)) {
          for (let i = 0; i * stride < keys.length; i++) {
            again.push(keys, i, length);
            const words = keys.subarray(i * stride, (i + 1) * stride);
            expect(memberContaining(members, words)).toBeGreaterThanOrEqual(0);
          }
        }
      }
      expect(sizeOf(canonicalPrefixes(again.build()))).toBe(sizeOf(members));
    }
  });
});

/** How many addresses a canonical column holds. */
function sizeOf({ family, lengths }: Prefixes): bigint {
  let size = 0n;
  for (const length of lengths) size += 1n << BigInt((family === 4 ? 32 : 128) - length);
  return size;
}
