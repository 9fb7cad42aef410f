import { describe, expect, it } from 'vitest';
import { prefixFrom as prefix } from '../../../test/kit/rules.ts';
import fc from '../../../test/seeded-fast-check.ts';
import {
  bitsOf,
  columnOf,
  comparePrefixAt,
  contains,
  containsAt,
  formatAddress,
  formatPrefix,
  formatPrefixAt,
  newPrefixScratch,
  PrefixBuilder,
  PrefixFault,
  parseAddress,
  parseDottedQuad,
  parsePrefix,
  parsePrefixBytes,
  prefixAt,
  prefixOf,
  wordMask,
} from '../src/prefix.ts';
import { prefixArbitrary } from './arbitrary.ts';

describe('parsing a prefix', () => {
  it.each([
    ['0.0.0.0', '0.0.0.0/32'],
    ['255.255.255.255', '255.255.255.255/32'],
    ['1.2.3.4/24', '1.2.3.0/24'],
    ['1.2.3.4/0', '0.0.0.0/0'],
    ['128.0.0.1/1', '128.0.0.0/1'],
    ['10.1.2.3/032', '10.1.2.3/32'],
    ['::', '::/128'],
    ['::/0', '::/0'],
    ['::1', '::1/128'],
    ['1::', '1::/128'],
    ['2001:DB8::A/127', '2001:db8::a/127'],
    ['2001:db8:ffff:ffff:ffff::/33', '2001:db8:8000::/33'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8/128'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0/128'],
    ['::2:3:4:5:6:7:8', '0:2:3:4:5:6:7:8/128'],
    ['2001:db8::0.0.0.1', '2001:db8::1/128'],
    ['1:2:3:4:5:6:1.2.3.4', '1:2:3:4:5:6:102:304/128'],
    ['0000:0000:0000:0000:0000:0000:255.255.255.254', '::ffff:fffe/128'],
    ['::ffff:1.2.3.4', '1.2.3.4/32'],
    ['::FFFF:102:304', '1.2.3.4/32'],
    ['::ffff:1.2.3.4/120', '1.2.3.0/24'],
    ['::ffff:0:0/96', '0.0.0.0/0'],
  ])('%s is %s', (text, canonical) => {
    expect(formatPrefix(prefix(text))).toBe(canonical);
  });

  it.each([
    ['', PrefixFault.address],
    ['1', PrefixFault.address],
    ['1.2.3', PrefixFault.address],
    ['1.2.3.', PrefixFault.address],
    ['.1.2.3', PrefixFault.address],
    ['1..2.3', PrefixFault.address],
    ['1.2.3.4.5', PrefixFault.address],
    ['1.2.3.4.', PrefixFault.address],
    ['01.2.3.4', PrefixFault.address],
    ['1.2.3.00', PrefixFault.address],
    ['256.2.3.4', PrefixFault.address],
    ['1.2.3.1000', PrefixFault.address],
    ['1.2.3.-4', PrefixFault.address],
    ['1.2.3.4 ', PrefixFault.address],
    [' 1.2.3.4', PrefixFault.address],
    ['0x1.2.3.4', PrefixFault.address],
    ['１.2.3.4', PrefixFault.address],
    [':', PrefixFault.address],
    [':::', PrefixFault.address],
    ['1:', PrefixFault.address],
    [':1', PrefixFault.address],
    ['1::2::3', PrefixFault.address],
    ['1:2:3:4:5:6:7', PrefixFault.address],
    ['1:2:3:4:5:6:7:8:9', PrefixFault.address],
    ['1:2:3:4:5:6:7:8::', PrefixFault.address],
    ['::1:2:3:4:5:6:7:8', PrefixFault.address],
    ['1:2:3:4::5:6:7:8', PrefixFault.address],
    ['12345::', PrefixFault.address],
    ['g::', PrefixFault.address],
    ['fe80::1%eth0', PrefixFault.address],
    ['[::1]', PrefixFault.address],
    ['::1.2.3', PrefixFault.address],
    ['::1.2.3.04', PrefixFault.address],
    ['1.2.3.4::', PrefixFault.address],
    ['1:2:3:4:5:6:7:1.2.3.4', PrefixFault.address],
    ['1.2.3.4/', PrefixFault.length],
    ['1.2.3.4/33', PrefixFault.length],
    ['1.2.3.4/-1', PrefixFault.length],
    ['1.2.3.4/+1', PrefixFault.length],
    ['1.2.3.4/0032', PrefixFault.length],
    ['1.2.3.4/24/8', PrefixFault.length],
    ['1.2.3.4/255.255.255.0', PrefixFault.length],
    ['::/129', PrefixFault.length],
    ['::/', PrefixFault.length],
    ['::ffff:1.2.3.4/95', PrefixFault.mapped],
    ['::ffff:0:0/0', PrefixFault.mapped],
  ])('%s is refused as %s', (text, fault) => {
    expect(parsePrefix(text)).toBe(fault);
  });

  it.each([
    [0, 8, '10.0.0.0/32'],
    [0, 9, undefined],
    [0, 10, '0.0.0.0/1'],
    [0, 11, '10.0.0.0/16'],
    [0, 12, undefined],
    [10, 18, '61.2.3.4/32'],
    [11, 18, '1.2.3.4/32'],
    [5, 5, undefined],
  ])('reads bytes [%i, %i) and nothing beyond', (start, end, canonical) => {
    const bytes = new TextEncoder().encode('10.0.0.0/161.2.3.4');
    const scratch = newPrefixScratch();
    const fault = parsePrefixBytes(bytes, start, end, scratch);
    const text = formatPrefix(prefixOf(scratch.family, scratch.words, scratch.length));
    expect(fault === undefined ? text : undefined).toBe(canonical);
  });

  it('leaves no trace of one address in the next', () => {
    const bytes = new TextEncoder().encode('1:2:3:4:5:6:7:8|::|a::b');
    const scratch = newPrefixScratch();
    parsePrefixBytes(bytes, 0, 15, scratch);
    expect([...scratch.words]).toEqual([0x10002, 0x30004, 0x50006, 0x70008]);
    parsePrefixBytes(bytes, 16, 18, scratch);
    expect([...scratch.words]).toEqual([0, 0, 0, 0]);
    parsePrefixBytes(bytes, 19, 23, scratch);
    expect([...scratch.words]).toEqual([0xa0000, 0, 0, 0xb]);
  });

  it('agrees with a parser that splits at dots on any dotted text', () => {
    const octet = fc.oneof(fc.nat(300).map(String), fc.constantFrom('', '00', '01', '1a', '-1'));
    fc.assert(
      fc.property(fc.array(octet, { minLength: 3, maxLength: 5 }), (octets) => {
        const good =
          octets.length === 4 && octets.every((o) => /^(0|[1-9]\d{0,2})$/.test(o) && Number(o) < 256);
        const bytes = new TextEncoder().encode(octets.join('.'));
        const word = octets.reduce((sum, o) => sum * 256 + Number(o), 0);
        expect(parseDottedQuad(bytes, 0, bytes.length)).toBe(good ? word : -1);
      }),
    );
  });
});

describe('printing', () => {
  it.each([
    ['0:0:0:0:0:0:0:0', '::'],
    ['2001:0db8:0:0:0:0:2:1', '2001:db8::2:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['1:0:0:0:0:0:0:0', '1::'],
    ['0:0:1:0:0:0:0:0', '0:0:1::'],
    ['ABCD:EF01::', 'abcd:ef01::'],
    ['0:1:0:1:0:1:0:1', '0:1:0:1:0:1:0:1'],
  ])('%s is printed %s, after RFC 5952', (text, canonical) => {
    expect(formatAddress(prefix(text))).toBe(canonical);
  });

  it.each([4, 6] as const)('parses back to the same IPv%i prefix, in any column', (family) => {
    fc.assert(
      fc.property(fc.array(prefixArbitrary(family), { minLength: 1 }), (prefixes) => {
        const column = columnOf(prefixes, family);
        prefixes.forEach((each, i) => {
          const text = formatPrefixAt(column, i);
          expect(text).toBe(formatPrefix(each));
          expect(prefix(text)).toEqual(each);
          expect(prefixAt(column, i)).toEqual(each);
        });
      }),
    );
  });
});

describe('addresses', () => {
  it.each(['1.2.3.4/32', '::/128', 'x', ''])('%j is no address', (text) => {
    expect(parseAddress(text)).toBe(undefined);
  });

  it('takes an IPv4-mapped address as IPv4', () => {
    expect(parseAddress('::ffff:10.0.0.1')).toEqual({ family: 4, words: Uint32Array.of(0x0a000001) });
  });
});

describe('masks', () => {
  it.each([
    [-40, 0],
    [0, 0],
    [1, 0x80000000],
    [8, 0xff000000],
    [31, 0xfffffffe],
    [32, 0xffffffff],
    [96, 0xffffffff],
  ])('wordMask(%i) is %i', (bits, mask) => {
    expect(wordMask(bits)).toBe(mask);
  });

  it('a prefix contains an address exactly if their leading bits agree', () => {
    const family = fc.constantFrom(4 as const, 6 as const);
    fc.assert(
      fc.property(
        family.chain((f) => fc.tuple(prefixArbitrary(f), prefixArbitrary(f), fc.nat(bitsOf(f)))),
        ([a, other, shared]) => {
          // The other address takes the first `shared` bits of the prefix, so that near misses are frequent.
          const words = a.words.map((w, i) => {
            const mask = wordMask(shared - i * 32);
            return (w & mask) | ((other.words[i] ?? 0) & ~mask);
          });
          const address = { family: a.family, words };
          expect(contains(a, address)).toBe(bits(words).startsWith(bits(a.words).slice(0, a.length)));
        },
      ),
    );
  });

  it('no prefix contains an address of the other family', () => {
    expect(contains(prefix('0.0.0.0/0'), prefix('::1'))).toBe(false);
    expect(contains(prefix('::/0'), prefix('1.2.3.4'))).toBe(false);
  });

  it('prefixOf copies its words and masks them', () => {
    const words = Uint32Array.of(0xffffffff);
    const made = prefixOf(4, words, 9);
    words[0] = 0;
    expect(formatPrefix(made)).toBe('255.128.0.0/9');
  });
});

describe('columns', () => {
  it('orders by address as unsigned number, then by length', () => {
    const texts = ['0.0.0.0/0', '0.0.0.0/1', '127.255.255.255/32', '128.0.0.0/1', '255.0.0.0/8'];
    const column = columnOf(texts.map(prefix), 4);
    texts.forEach((_, i) => {
      texts.forEach((__, j) => {
        expect(Math.sign(comparePrefixAt(column, i, column, j))).toBe(Math.sign(i - j));
      });
    });
  });

  it('refuses a prefix of the other family', () => {
    expect(() => columnOf([prefix('::1')], 4)).toThrow(TypeError);
  });

  it('grows past its capacity and keeps what it holds', () => {
    const builder = new PrefixBuilder(6, 1);
    const entry = prefix('2001:db8::5');
    for (let i = 0; i < 100; i++) builder.push(entry.words, 0, 28 + i);
    const column = builder.build();
    expect(builder.count).toBe(100);
    expect(column.words.length).toBe(400);
    expect([...column.lengths]).toEqual(Array.from({ length: 100 }, (_, i) => 28 + i));
    expect(containsAt(column, 99, entry.words, 0)).toBe(true);
  });

  it('a built column does not change when the builder goes on', () => {
    const builder = new PrefixBuilder(4);
    builder.push4(1, 32);
    const column = builder.build();
    builder.push4(2, 32);
    expect([...column.words]).toEqual([1]);
  });
});

function bits(words: Uint32Array): string {
  return [...words].map((word) => word.toString(2).padStart(32, '0')).join('');
}
