import { formatPrefix, parseAddress, prefixOf } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import { splitRange } from '../src/text/range.ts';

/** The prefixes of a range as text, or undefined if it is reversed. */
function split(first: string, last: string): readonly string[] | undefined {
  const a = parseAddress(first);
  const b = parseAddress(last);
  if (a === undefined || b === undefined) throw new Error(`not an address: ${first} or ${last}`);
  const texts: string[] = [];
  const ordered = splitRange(a.family, a.words, b.words, (family, words, length) =>
    texts.push(formatPrefix(prefixOf(family, words, length))),
  );
  return ordered ? texts : undefined;
}

/** The greedy twin on BigInt: the largest aligned block that fits, again and again. */
function greedy(first: bigint, last: bigint, bits: number): readonly [bigint, number][] {
  const blocks: [bigint, number][] = [];
  for (let at = first; at <= last; ) {
    let size = 0;
    while (size < bits && at % (1n << BigInt(size + 1)) === 0n && at + (1n << BigInt(size + 1)) - 1n <= last)
      size++;
    blocks.push([at, bits - size]);
    at += 1n << BigInt(size);
  }
  return blocks;
}

function wordsOf(value: bigint, bits: number): Uint32Array {
  return Uint32Array.from({ length: bits / 32 }, (_, w) =>
    Number((value >> BigInt(bits - 32 - w * 32)) & 0xffffffffn),
  );
}

describe('splitRange', () => {
  it.each([
    ['192.0.2.7', '192.0.2.7', ['192.0.2.7/32']],
    ['192.0.2.0', '192.0.2.255', ['192.0.2.0/24']],
    ['192.0.2.1', '192.0.2.6', ['192.0.2.1/32', '192.0.2.2/31', '192.0.2.4/31', '192.0.2.6/32']],
    ['192.0.2.0', '192.0.2.2', ['192.0.2.0/31', '192.0.2.2/32']],
    ['192.0.2.1', '192.0.2.3', ['192.0.2.1/32', '192.0.2.2/31']],
    ['0.0.0.0', '255.255.255.255', ['0.0.0.0/0']],
    ['127.255.255.255', '128.0.0.0', ['127.255.255.255/32', '128.0.0.0/32']],
    ['::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', ['::/0']],
    ['2001:db8::', '2001:db8::1:ffff', ['2001:db8::/111']],
    [
      '2001:db8:0:0:ffff:ffff:ffff:ffff',
      '2001:db8:0:1::',
      ['2001:db8::ffff:ffff:ffff:ffff/128', '2001:db8:0:1::/128'],
    ],
  ])('splits %s-%s into the fewest prefixes, ascending', (first, last, prefixes) => {
    expect(split(first, last)).toEqual(prefixes);
  });

  it('refuses a reversed range', () => {
    expect(split('192.0.2.2', '192.0.2.1')).toBeUndefined();
    expect(split('2001:db8::1', '2001:db8::')).toBeUndefined();
  });

  it('gives 62 and 254 prefixes at most', () => {
    expect(split('0.0.0.1', '255.255.255.254')).toHaveLength(62);
    expect(split('::1', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe')).toHaveLength(254);
  });

  it.each([32, 128] as const)('agrees with the greedy twin at %i bits', (bits) => {
    const address = fc.oneof(
      fc.bigInt({ min: 0n, max: (1n << BigInt(bits)) - 1n }),
      fc.bigInt({ min: 0n, max: 300n }),
      fc.bigInt({ min: (1n << BigInt(bits)) - 300n, max: (1n << BigInt(bits)) - 1n }),
    );
    fc.assert(
      fc.property(address, address, (a, b) => {
        const [first, last] = a <= b ? [a, b] : [b, a];
        const blocks: [string, number][] = [];
        const family = bits === 32 ? 4 : 6;
        splitRange(family, wordsOf(first, bits), wordsOf(last, bits), (_, words, length) =>
          blocks.push([words.join(), length]),
        );
        expect(blocks).toEqual(
          greedy(first, last, bits).map(([at, length]) => [wordsOf(at, bits).join(), length]),
        );
      }),
      { numRuns: 500 },
    );
  });
});
