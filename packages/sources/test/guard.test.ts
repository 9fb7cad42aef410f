/** Guards: the edges of each limit, what a permit opens, and what must never be blocked. */

import type { GuardConfig } from '@rulecast/formats';
import { type List, nameListOf, prefixCount } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { wholeFamilies } from '../src/guard/finding.ts';
import { changeRefusals, judged, wholeRefusals } from '../src/guard/guard.ts';
import { defaultNeverBlock, withoutProtected } from '../src/guard/never-block.ts';
import { addresses, entriesOf, listOf, prefixesOf } from './list-of.ts';

const GUARD: GuardConfig = {
  shrinkShare: 0.5,
  growthShare: 0.5,
  maxCoverageShare: 0.25,
  coverageChangeShare: 0.5,
  minEntries: undefined,
  maxEntries: undefined,
  allowAll: false,
  allowShortPrefixes: false,
  ignoreDeclared: false,
};
/** What is refused of a change, where some codes are permitted. */
function changed(before: List | undefined, after: List, guard = GUARD, ...codes: readonly string[]) {
  const permits = { codes: new Set(codes), needed: new Set<string>() };
  return judged('a', changeRefusals(before, after, guard), permits).refusal;
}

const tenEighths = Array.from({ length: 10 }, (_, i) => `${80 + i}.0.0.0/8`);

function sized(count: number) {
  return listOf(...addresses(count));
}

describe('shrink and growth', () => {
  it.each([
    [100, 50, undefined],
    [100, 49, 'shrunk'],
    [10, 5, undefined],
    [10, 4, 'shrunk'],
    [1, 0, 'shrunk'],
    [200, 300, undefined],
    [200, 301, 'grown'],
    [3, 67, undefined],
    [3, 68, 'grown'],
    [0, 1000, undefined],
  ])('from %d to %d entries is %s', (before, after, code) => {
    expect(changed(sized(before), sized(after))?.code).toBe(code);
  });

  it('are off where the configuration says so', () => {
    const off = { ...GUARD, shrinkShare: 1, growthShare: Number.POSITIVE_INFINITY };
    expect(changed(sized(1000), sized(0), off)).toBeUndefined();
    expect(changed(sized(1), sized(1000), off)).toBeUndefined();
  });

  it('a permit to shrink opens that guard alone', () => {
    expect(changed(sized(100), sized(1), GUARD, 'shrunk')).toBeUndefined();
    expect(changed(sized(100), sized(1000), GUARD, 'shrunk')?.code).toBe('grown');
    expect(changed(sized(100), sized(1000), GUARD, 'grown')).toBeUndefined();
  });

  it('say numbers, and what to do', () => {
    const { reason } = changed(sized(100), sized(10)) ?? { reason: '' };
    expect(reason).toContain('from 100 to 10 entries, by 90 %');
    expect(reason).toContain('rulectl lists refresh a --permit shrunk');
  });
});

describe('size and kind', () => {
  const bounded = { ...GUARD, minEntries: 2, maxEntries: 4 };
  it.each([
    [1, 'too-few-entries'],
    [2, undefined],
    [4, undefined],
    [5, 'too-many-entries'],
  ])('%d entries of 2 to 4 are %s', (count, code) => {
    expect(changed(undefined, sized(count), bounded)?.code).toBe(code);
  });

  it('a list of addresses does not become one of names unasked', () => {
    expect(changed(sized(1), listOf('a.example'))?.code).toBe('kind-changed');
    expect(changed(sized(1), listOf('a.example'), GUARD, 'kind-changed')).toBeUndefined();
  });
});

describe('coverage', () => {
  it.each([
    ['a quarter of what is reachable', ['0.0.0.0/3', '32.0.0.0/4', '48.0.0.0/5'], undefined],
    ['a little more', ['0.0.0.0/3', '32.0.0.0/4', '48.0.0.0/5', '56.0.0.0/7'], 'covers-too-much'],
    ['half of IPv4', ['0.0.0.0/1'], 'covers-too-much'],
    ['what begins every list of unusable addresses', ['0.0.0.0/8', '10.0.0.0/8', '224.0.0.0/3'], undefined],
    ['a quarter of what IANA assigns of IPv6', ['2000::/5'], undefined],
    ['half of it', ['2000::/4'], 'covers-too-much'],
    ['what nobody has of IPv6', ['8000::/1', '4000::/2', '::/3', '2002::/16'], undefined],
  ])('of a new list: %s', (_what, entries, code) => {
    expect(changed(undefined, listOf(...entries))?.code).toBe(code);
  });

  it.each([
    ['a /8 joins addresses', addresses(100), ['5.0.0.0/8'], 'coverage-changed'],
    ['a /16 joins addresses', addresses(100), ['5.0.0.0/16'], undefined],
    ['a /8 joins ten', tenEighths, ['5.0.0.0/8'], undefined],
    ['six /8 join ten', tenEighths, ['5.0.0.0/8', '60.0.0.0/6', '70.0.0.0/8'], 'coverage-changed'],
    ['a /12 joins addresses of IPv6', ['2a01::/32'], ['2600::/12'], 'coverage-changed'],
    ['reserved space joins addresses', addresses(100), ['224.0.0.0/3', 'fc00::/7'], undefined],
  ])('that a list gains: %s', (_what, before, added, code) => {
    const after = listOf(...before, ...added);
    expect(changed(listOf(...before), after)?.code).toBe(code);
  });

  it('that a list lost is told as well: a block list that loses a /8 opens it', () => {
    const before = listOf(...addresses(1000), '5.0.0.0/8');
    expect(changed(before, sized(1000))?.code).toBe('coverage-changed');
  });

  it('of names that it excepts from now on counts each as an entry less', () => {
    const entries = Array.from({ length: 10 }, (_, i) => `.n${i}.example`);
    const holed = (count: number): List =>
      nameListOf(
        entries,
        'firewall',
        Array.from({ length: count }, (_, i) => `a${i}.n${i % 10}.example`),
      );
    expect(changed(holed(0), holed(5))).toBeUndefined();
    expect(changed(holed(0), holed(6))).toMatchObject({
      code: 'shrunk',
      reason: expect.stringContaining('from 10 to 4 entries less exceptions'),
    });
    expect(changed(holed(0), holed(20))?.code).toBe('shrunk');
    expect(changed(holed(6), holed(0))).toBeUndefined();
  });

  it('of names that gains as many exceptions as entries still grows', () => {
    const wild = (count: number, exceptions: readonly string[] = []): List => {
      const entries = Array.from({ length: count }, (_, i) => `.n${i}.example`);
      return nameListOf(entries, 'firewall', exceptions);
    };
    const exceptions = Array.from({ length: 900 }, (_, i) => `a.n${i}.example`);
    expect(changed(wild(100), wild(1000, exceptions))).toMatchObject({
      code: 'grown',
      reason: expect.stringContaining('from 100 to 1000 entries,'),
    });
  });

  it('that is in force already is not refused again', () => {
    const half = listOf('0.0.0.0/1');
    expect(changed(half, listOf('0.0.0.0/1', '203.0.113.7'))).toBeUndefined();
  });

  it('is permitted by its own permit, by a list that may hold everything, and where the configuration says off', () => {
    const before = sized(100);
    const after = listOf(...addresses(100), '0.0.0.0/1');
    const off = { ...GUARD, maxCoverageShare: Number.POSITIVE_INFINITY };
    expect(changed(before, after, GUARD, 'covers-too-much')).toBeUndefined();
    expect(changed(before, after, { ...GUARD, allowAll: true })).toBeUndefined();
    expect(changed(before, after, off)?.code).toBe('coverage-changed');
    expect(changed(before, after, { ...off, coverageChangeShare: Number.POSITIVE_INFINITY })).toBeUndefined();
    for (const code of ['shrunk', 'grown', 'all-addresses', 'kind-changed', 'coverage-changed']) {
      expect(changed(before, after, GUARD, code)?.code).toBe('covers-too-much');
    }
  });

  it('says numbers, and what to do', () => {
    const { reason } = changed(sized(1), listOf('0.0.0.0/1')) ?? { reason: '' };
    expect(reason).toContain(
      'it would cover 56.5 % of the IPv4 addresses that are reachable over the Internet',
    );
    expect(reason).toContain('at most 25 % are taken');
    expect(reason).toContain('rulectl lists refresh a --permit covers-too-much');
  });
});

describe('all addresses', () => {
  it.each([
    [['0.0.0.0/0'], [4]],
    [['0.0.0.0/1', '128.0.0.0/1'], [4]],
    [['0.0.0.0/1', '128.0.0.0/2', '192.0.0.0/3', '224.0.0.0/3'], [4]],
    [['0.0.0.0/1', '128.0.0.0/2'], []],
    [['::/0'], [6]],
    [['::/1', '8000::/1', '192.0.2.0/24'], [6]],
    [
      ['0.0.0.0/0', '::/0'],
      [4, 6],
    ],
    [[], []],
  ])('%j holds all of %j', (entries, families) => {
    expect(wholeFamilies(listOf(...entries))).toEqual(families);
  });

  it('need a permit, once', () => {
    const codes = wholeRefusals([4], [], GUARD).map(({ code }) => code);
    expect(codes).toEqual(['all-addresses']);
    expect(wholeRefusals([4], [4], GUARD)).toEqual([]);
    expect(wholeRefusals([4, 6], [4], GUARD)[0]?.reason).toContain('::/0');
    expect(wholeRefusals([4], [], { ...GUARD, allowAll: true })).toEqual([]);
  });
});

describe('what several guards say', () => {
  const against = [
    { code: 'short-prefix', reason: 'it has /4' },
    { code: 'shrunk', reason: 'it shrinks' },
  ];
  const permitted = (...codes: readonly string[]) => ({
    codes: new Set(codes),
    needed: new Set<string>(),
    by: 'ann',
  });

  it('is told at once, with the line that takes all of it', () => {
    expect(judged('a', against, permitted()).refusal).toEqual({
      code: 'short-prefix',
      reason:
        'it has /4; and it shrinks: look at the source, then rulectl lists refresh a --permit short-prefix,shrunk',
    });
    const { refusal, overridden } = judged('a', against, permitted('short-prefix'));
    expect(refusal).toMatchObject({
      code: 'shrunk',
      reason: expect.stringContaining('--permit short-prefix,shrunk'),
    });
    expect(overridden).toBeUndefined();
  });

  it('is taken by the very codes alone, with who permitted it and which were needed', () => {
    const permits = permitted('shrunk', 'short-prefix', 'grown');
    const { refusal, overridden } = judged('a', against, permits);
    expect(refusal).toBeUndefined();
    expect(overridden).toEqual({ code: 'short-prefix', reason: 'it has /4; and it shrinks', by: 'ann' });
    expect([...permits.needed]).toEqual(['short-prefix', 'shrunk']);
    for (const code of ['shrink', 'Shrunk', 'shrunk ', '', '*'])
      expect(judged('a', against, permitted('short-prefix', code)).refusal?.code).toBe('shrunk');
  });
});

describe('never-block', () => {
  const neverBlock = defaultNeverBlock();

  it.each([
    '10.139.1.1',
    '10.139.1.2',
    '10.0.0.0/8',
    '172.31.255.255',
    '192.168.0.0/24',
    'fd09:24ef:4179::1',
    '127.0.0.1',
    '::1',
    '169.254.169.254',
    'fe80::1',
    '239.255.255.255',
    'ff02::1',
  ])('%s is taken out', (entry) => {
    const { set, taken } = withoutProtected(prefixesOf(entry, '192.0.2.1'), neverBlock);
    expect(entriesOf({ kind: 'prefixes', ...set })).toEqual(['192.0.2.1/32']);
    expect(taken?.entryCount).toBe(1);
  });

  it('splits an entry around what it holds, and counts entries, not pieces', () => {
    const { set, taken } = withoutProtected(prefixesOf('8.0.0.0/5', '8.8.8.8/32'), neverBlock);
    expect(entriesOf({ kind: 'prefixes', ...set })).toEqual(['8.0.0.0/7', '11.0.0.0/8', '12.0.0.0/6']);
    expect(taken).toEqual({ entryCount: 1, examples: ['10.0.0.0/8'] });
  });

  it('leaves a list alone that holds nothing of it', () => {
    const list = prefixesOf('8.8.8.0/24', '2001:db8::/32');
    expect(withoutProtected(list, neverBlock)).toEqual({ set: list, taken: undefined });
  });

  it('names the first few of many', () => {
    const { taken } = withoutProtected(
      prefixesOf(...addresses(20).map((a) => a.replace('198.18', '10.0'))),
      neverBlock,
    );
    expect(taken?.entryCount).toBe(20);
    expect(taken?.examples).toHaveLength(4);
  });

  it('protects nothing of a list of all addresses but the protected', () => {
    const { set } = withoutProtected(prefixesOf('0.0.0.0/0'), neverBlock);
    let share = 0;
    for (const length of set.v4.lengths) share += 2 ** -length;
    const protectedShare = 2 ** -8 + 2 ** -12 + 2 ** -16 + 2 ** -8 + 2 ** -16 + 2 ** -4;
    expect(share).toBe(1 - protectedShare);
    expect(prefixCount(set)).toBeGreaterThan(0);
  });
});
