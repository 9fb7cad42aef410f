import { readFileSync } from 'node:fs';
import { isIPv4, isIPv6 } from 'node:net';
import {
  formatPrefixAt,
  isCanonical,
  type List,
  NO_NAMES,
  nameTexts,
  newPrefixScratch,
  parsePrefix,
  parsePrefixBytes,
  prefixSetOf,
} from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import type { ImportOptions } from '../src/collect/options.ts';
import { type ImportedList, importList } from '../src/list/import.ts';
import { readIp4 } from '../src/text/entry.ts';

function readPlain(bytes: Uint8Array, options: ImportOptions = {}): ImportedList {
  return importList('', bytes, { ...options, format: 'plain' });
}

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function textsOf(list: List): readonly string[] {
  if (list.kind === 'names') return [...nameTexts(list.names)];
  return [list.v4, list.v6].flatMap((column) =>
    Array.from(column.lengths, (_, index) => formatPrefixAt(column, index)),
  );
}

/** Entries of a text that has no rejects. */
function read(text: string): readonly string[] {
  const { list, rejects } = readPlain(bytesOf(text));
  expect(rejects).toEqual([]);
  return textsOf(list);
}

/** `line:column code` of every reject. */
function faults(text: string | Uint8Array, options: ImportOptions = {}): readonly string[] {
  const bytes = typeof text === 'string' ? bytesOf(text) : text;
  return readPlain(bytes, options).rejects.map((reject) => `${reject.line}:${reject.column} ${reject.code}`);
}

/** So long that the lines before it are read by the tight loop, which stops near the end of the text. */
const PADDING = '# ............................\n';

describe('plain lists: what a line may be', () => {
  it.each([
    ['an address', '192.0.2.1', ['192.0.2.1/32']],
    ['a CIDR', '192.0.2.0/24\n', ['192.0.2.0/24']],
    ['everything', '0.0.0.0/0\n::/0\n', ['0.0.0.0/0', '::/0']],
    ['a two-digit length with a zero before it', '10.0.0.0/08\n', ['10.0.0.0/8']],
    ['IPv6', '2001:DB8::1\n2001:db8:1::/48\n', ['2001:db8::1/128', '2001:db8:1::/48']],
    ['IPv4-mapped IPv6', '::ffff:192.0.2.1\n::ffff:198.51.100.0/120\n', ['192.0.2.1/32', '198.51.100.0/24']],
    ['a range', '198.51.100.7-198.51.100.9\n', ['198.51.100.7/32', '198.51.100.8/31']],
    ['a range with blanks', '198.51.100.8 \t- 198.51.100.9 # two\n', ['198.51.100.8/31']],
    ['an IPv6 range', '2001:db8::-2001:db8::ffff\n', ['2001:db8::/112']],
    ['a mapped range', '::ffff:10.0.0.0-::ffff:10.0.0.255\n', ['10.0.0.0/24']],
    [
      'trailing fields',
      '192.0.2.1\t5\n192.0.2.2 five hits\n192.0.2.3,x,y\n',
      ['192.0.2.1/32', '192.0.2.2/32', '192.0.2.3/32'],
    ],
    [
      'comments',
      '# a\n; b\n// c\n \t# d\n192.0.2.1# e\n192.0.2.2 ; f\n192.0.2.3//g\n',
      ['192.0.2.1/32', '192.0.2.2/32', '192.0.2.3/32'],
    ],
    ['CRLF', '192.0.2.1\r\n\r\n192.0.2.2\r\n', ['192.0.2.1/32', '192.0.2.2/32']],
    ['lone CR', '192.0.2.1\r192.0.2.2\r', ['192.0.2.1/32', '192.0.2.2/32']],
    ['a byte order mark', '\ufeff192.0.2.1\n', ['192.0.2.1/32']],
    ['leading blanks', '  \t192.0.2.1\n', ['192.0.2.1/32']],
    ['nothing', '', []],
    ['comments alone', '# nothing\n', []],
    ['duplicates and covered entries', '10.1.2.3\n10.0.0.0/8\n10.0.0.0/8\n', ['10.0.0.0/8']],
    [
      'names',
      'B.example.\na.example # x\n_dmarc.c.example,1\n',
      ['a.example', 'b.example', '_dmarc.c.example'],
    ],
    [
      'names with dashes that look like ranges',
      '10-0-0-1.example\n1.2.3.4-5.example\n',
      ['10-0-0-1.example', '1.2.3.4-5.example'],
    ],
  ])('reads %s', (_, text, entries) => {
    expect(read(text)).toEqual(entries);
    expect(read(`${text}\n${PADDING}`)).toEqual(entries);
  });

  it.each([
    ['1.2.3', '1:1 bad-address'],
    ['  1.2.3.256', '1:3 bad-address'],
    ['01.2.3.4', '1:1 bad-address'],
    ['1.2.3.00', '1:1 bad-address'],
    ['1.2.3.4.5', '1:1 bad-address'],
    ['1.2.3.4/33', '1:9 bad-prefix-length'],
    ['1.2.3.4/', '1:9 bad-prefix-length'],
    ['1.2.3.4/+8', '1:9 bad-prefix-length'],
    ['2001:db8::/129', '1:12 bad-prefix-length'],
    ['2001:db8:::', '1:1 bad-address'],
    ['fe80::1%eth0', '1:1 bad-address'],
    ['::ffff:0:0/95', '1:12 mapped-prefix-too-short'],
    ['192.0.2.9-192.0.2.1', '1:1 reversed-range'],
    ['2001:db8::2-2001:db8::1', '1:1 reversed-range'],
    ['192.0.2.1-2001:db8::1', '1:1 mixed-families'],
    ['192.0.2.1 - ', '1:13 bad-range'],
    ['192.0.2.1-9', '1:11 bad-range'],
    ['192.0.2.1 - some text', '1:13 bad-range'],
    ['192.0.2.0/24-192.0.3.0', '1:1 bad-range'],
    ['192.0.2.0-192.0.3.0/24', '1:1 bad-range'],
    ['::fffe:0:1-::1:0:0:0', '1:1 range-over-mapped'],
    ['0.0.0.0 ads.example', '1:1 hosts-file-line'],
    ['127.0.0.1\tads.example', '1:1 hosts-file-line'],
    ['1.0.0.0,1.0.0.255,AU', '1:9 second-address'],
    ['192.0.2.1 192.0.2.2', '1:11 second-address'],
    ['192.0.2.1\0', '1:10 nul-byte'],
    ['# é𐐀\0', '1:6 nul-byte'],
    ['bücher.example', '1:1 name-not-ascii'],
    ['*ads.example', '1:1 bad-label'],
    ['..ads.example', '1:2 bad-label'],
    ['*.*.example', '1:3 bad-label'],
    ['*.com', '1:3 public-suffix'],
    ['http://ads.example/', '1:1 bad-address'],
    [`${'a'.repeat(64)}.example`, '1:1 bad-label'],
    [`${'abcdefg.'.repeat(32)}example`, '1:1 name-too-long'],
    [',', '1:1 bad-address'],
    ['add blocked 192.0.2.1', '1:1 words-not-a-name'],
    ['Domain,Malware', '1:1 words-not-a-name'],
    ['table inet blocked {', '1:1 words-not-a-name'],
  ])('refuses %j at %s', (line, fault) => {
    expect(faults(line)).toEqual([fault]);
  });

  it('counts lines through the tight loop, and refuses a short range in either kind of list', () => {
    expect(faults(`192.0.2.1\n192.0.2.1\n192.0.2.1-9\n${PADDING}`)).toEqual(['3:11 bad-range']);
    expect(faults('a.example\n192.0.2.1-9\n')).toEqual(['2:11 bad-range']);
  });

  it('keeps reading after a reject, and names the line whatever its line end', () => {
    const { list, rejects, entries, lineCount } = readPlain(
      bytesOf('192.0.2.1\r\nbad/1\r192.0.2.2\n\n1.2.3\n192.0.2.3'),
    );
    expect(rejects.map(({ line, column }) => [line, column])).toEqual([
      [2, 1],
      [5, 1],
    ]);
    expect(textsOf(list)).toEqual(['192.0.2.1/32', '192.0.2.2/32', '192.0.2.3/32']);
    expect([entries, lineCount]).toEqual([3, 6]);
  });

  it('says what is wrong and what to do, without characters that steer a terminal', () => {
    const [reject] = readPlain(bytesOf('1.2.3.4/8\u001b[2J\n')).rejects;
    expect(reject?.reason).toBe(
      '"1.2.3.4/8\\u{1b}[2J" has no valid prefix length: 0 to 32 for IPv4, 0 to 128 for IPv6',
    );
  });
});

describe('plain lists: addresses or names', () => {
  it('is decided by the first entry, and entries of the other kind are refused', () => {
    expect(faults('# x\n192.0.2.1\nads.example\n')).toEqual(['3:1 name-among-addresses']);
    expect(faults('ads.example\n192.0.2.1\n10.0.0.1-10.0.0.2\n')).toEqual([
      '2:1 address-among-names',
      '3:1 address-among-names',
    ]);
  });

  it('is decided by no line that is refused', () => {
    const { kind, rejectCount } = readPlain(bytesOf('1.2.3\nads.example\n'));
    expect([kind, rejectCount]).toEqual(['names', 1]);
  });

  it('is decided by the caller if the caller says so', () => {
    expect(faults('192.0.2.1\n', { kind: 'names' })).toEqual(['1:1 address-among-names']);
    expect(faults('ads.example\n', { kind: 'prefixes' })).toEqual(['1:1 name-among-addresses']);
    expect(readPlain(bytesOf(''), { kind: 'names', resolve: true }).list).toEqual({
      kind: 'names',
      names: NO_NAMES,
      exceptions: NO_NAMES,
      resolve: true,
    });
  });
});

describe('plain lists: limits', () => {
  const text = bytesOf('192.0.2.1\n192.0.2.2\n192.0.2.3\n');

  it('takes as many bytes as it says and not one more', () => {
    expect(faults(text, { limits: { inputBytes: 30 } })).toEqual([]);
    expect(faults(text, { limits: { inputBytes: 29 } })).toEqual(['1:1 too-large']);
  });

  it('takes as long a line as it says and not one byte more', () => {
    const lines = bytesOf(`192.0.2.1 ${'x'.repeat(30)}\n192.0.2.2 ${'x'.repeat(31)}\n192.0.2.3\n`);
    const { entries } = readPlain(lines, { limits: { lineBytes: 40 } });
    expect([faults(lines, { limits: { lineBytes: 40 } }), entries]).toEqual([['2:1 line-too-long'], 2]);
    expect(faults(text, { limits: { lineBytes: 8 } })).toHaveLength(3);
  });

  it.each(['', PADDING])('takes as many entries as it says and not one more (%j)', (tail) => {
    const padded = bytesOf(`192.0.2.1\n192.0.2.2\n192.0.2.3\n${tail}`);
    expect(faults(padded, { limits: { entries: 3 } })).toEqual([]);
    expect(faults(padded, { limits: { entries: 2 } })).toEqual(['3:1 too-many-entries']);
    expect(faults('a.example\nb.example\n', { limits: { entries: 1 } })).toEqual(['2:1 too-many-entries']);
    expect(faults('10.0.0.1-10.0.0.2\n', { limits: { entries: 1 } })).toEqual(['1:1 too-many-entries']);
  });

  it('keeps the first rejects, counts all, and gives all to a listener', () => {
    let heard = 0;
    const result = readPlain(bytesOf('1.2\n'.repeat(1500)), { onReject: () => heard++ });
    expect([result.rejects.length, result.rejects.at(-1)?.line, result.rejectCount, heard]).toEqual([
      1000, 1000, 1500, 1500,
    ]);
  });

  it.each([[[0xff, 0xfe, 0x31, 0]], [[0xfe, 0xff, 0, 0x31]]])('refuses UTF-16', (bytes) => {
    expect(faults(Uint8Array.from(bytes))).toEqual(['1:1 utf-16']);
  });
});

describe('plain lists: the listener', () => {
  it('gets every entry with its place and canonical text, and the list is the same as without', () => {
    const text = `# x\n 192.0.2.1\n198.51.100.7-198.51.100.9 x\n1.2.3\n2001:DB8::/32\n${PADDING}`;
    const heard: string[] = [];
    const result = readPlain(bytesOf(text), {
      onEntry: (line, column, canonical) => heard.push(`${line}:${column} ${canonical()}`),
    });
    expect(heard).toEqual(['2:2 192.0.2.1/32', '3:1 198.51.100.7/32 198.51.100.8/31', '5:1 2001:db8::/32']);
    expect(result).toEqual(readPlain(bytesOf(text)));
  });

  it('gets names in normal form', () => {
    const heard: string[] = [];
    readPlain(bytesOf('Ads.Example.\n'), {
      onEntry: (_line, _column, canonical) => heard.push(canonical()),
    });
    expect(heard).toEqual(['ads.example']);
  });
});

describe('plain lists: published lists', () => {
  it.each([
    ['country-ru-ipv4.netset', 8538, 8538, '2.56.24.0/22', '217.199.254.0/24'],
    ['country-nl-ipv4.netset', 5627, 5627, '2.16.0.0/13', '223.27.114.0/24'],
    ['country-nl-ipv6.netset', 1905, 1905, '2001:504:34::/48', '2a14:f200::/32'],
    ['tor-exit-nodes.lst', 1746, 1746, '2.57.122.58/32', '2a12:a800:2:1:45:138:16:203/128'],
    ['ipsum-level3.txt', 14217, 14217, '1.20.178.157/32', '223.255.177.204/32'],
    ['vpn-ipv4.txt', 10862, 10862, '2.26.157.0/24', '220.158.199.176/32'],
    ['datacenter-ipv6.txt', 8752, 8752, '2001:310::/32', '2c0f:fee0::/32'],
    ['cloudflare-v4.txt', 15, 15, '103.21.244.0/22', '198.41.128.0/17'],
    ['spamhaus-dropv6.txt', 51, 51, '2001:678:6c4::/48', '2a13:ef45::/32'],
    ['scam-plain.txt', 8527, 8527, 'emall.ae', 'homepros.zone'],
  ])('%s has %i entries', (name, entries, members, first, last) => {
    const bytes = readFileSync(new URL(`../../../test/fixtures/lists/${name}`, import.meta.url));
    const result = readPlain(bytes);
    const texts = textsOf(result.list);
    expect([result.entries, texts.length, result.rejectCount]).toEqual([entries, members, 0]);
    expect([texts[0], texts.at(-1)]).toEqual([first, last]);
  });
});

/**
 * The slow twin: lines and regular expressions, node:net to judge addresses; for texts of one kind without
 * ranges.
 */
function twin(text: string): { readonly entries: readonly string[]; readonly bad: readonly number[] } {
  const entries: string[] = [];
  const bad: number[] = [];
  for (const [index, line] of text.split(/\r\n|\n|\r/).entries()) {
    const [token = ''] = line
      .replace(/(?:#|;|\/\/).*$/, '')
      .trim()
      .replace(/^([^\s,]+)[ \t]+(\/\d{1,3})(?=[\s,]|$)/, '$1$2')
      .split(/[ \t,]/);
    if (token === '' && !line.trim().startsWith(',')) continue;
    const [address = '', length, extra] = token.split('/');
    const bits = isIPv4(address) ? 32 : isIPv6(address) && !address.includes('%') ? 128 : -1;
    const lengthFits = length === undefined || (/^\d{1,3}$/.test(length) && Number(length) <= bits);
    if (bits < 0 || !lengthFits || extra !== undefined) bad.push(index + 1);
    else entries.push(token);
  }
  return { entries, bad };
}

describe('plain lists against a slow twin', () => {
  const octet = fc.oneof(fc.nat(255), fc.nat(300)).map(String);
  const ip4 = fc.tuple(octet, octet, octet, octet).map((octets) => octets.join('.'));
  const ip6 = fc.oneof(
    fc.ipV6().filter((text) => !/^::ffff:/i.test(text)),
    fc.constantFrom('::', '2001:db8::', '1:2:3:4:5:6:7:8', '1::2::3', ':1'),
  );
  const length = fc.oneof(
    fc.constant(''),
    fc.nat(140).map((bits) => `/${bits}`),
    fc.constantFrom('/', '/x', '/8/8'),
  );
  const tail = fc.constantFrom('', ' ', '\t500', ' # x', ';', ',a,b', ' x', ' /24', '\t/9 x');
  const entry = fc.tuple(fc.oneof(ip4, ip4, ip4, ip6), length, tail).map((parts) => parts.join(''));
  const line = fc.oneof(
    { weight: 8, arbitrary: entry },
    { weight: 1, arbitrary: fc.constantFrom('', '# c', '  ', '; 1.2.3.4') },
  );
  const text = fc
    .array(fc.tuple(line, fc.constantFrom('\n', '\n', '\r\n', '\r')), { maxLength: 60 })
    .map((lines) => lines.flat().join(''));

  it('accepts and refuses the same lines, and gives a canonical list of the same prefixes', () => {
    fc.assert(
      fc.property(text, (input) => {
        const expected = twin(input);
        const result = readPlain(bytesOf(input), { kind: 'prefixes', hostBits: 'mask' });
        // A hosts line or a second address is refused here and unknown to the twin; no tail above makes one.
        expect(result.rejects.map((reject) => reject.line)).toEqual(expected.bad);
        const prefixes = expected.entries.map(parsePrefix).filter((prefix) => typeof prefix !== 'string');
        expect(prefixes.length).toBe(expected.entries.length);
        const list = result.list;
        if (list.kind !== 'prefixes') throw new Error('a list of names');
        expect({ v4: list.v4, v6: list.v6 }).toEqual(prefixSetOf(prefixes));
        expect(isCanonical(list.v4) && isCanonical(list.v6)).toBe(true);
      }),
      { numRuns: 400 },
    );
  });

  it('rejects exactly the lines with host bits beside those, unless they are masked', () => {
    fc.assert(
      fc.property(text, (input) => {
        const masked = readPlain(bytesOf(input), { kind: 'prefixes', hostBits: 'mask' });
        const strict = readPlain(bytesOf(input), { kind: 'prefixes' });
        const others = strict.rejects.filter(({ code }) => code !== 'host-bits');
        expect(others).toEqual(masked.rejects);
        for (const { code, reason } of strict.rejects) {
          if (code !== 'host-bits') continue;
          const [, cidr = '', network = ''] = /^"(\S+)" .* write (\S+) for the network/.exec(reason) ?? [];
          expect(parsePrefix(cidr)).toEqual(parsePrefix(network));
        }
        expect(strict.entries + strict.rejectCount).toBe(masked.entries + masked.rejectCount);
      }),
      { numRuns: 400 },
    );
  });

  it('reads names as the careful reader does, which reads all lines where somebody hears of each', () => {
    const label = fc.constantFrom(
      'a',
      'Ads',
      'x-1',
      '_dmarc',
      '7',
      '0x1f',
      '-a',
      'b-',
      'a'.repeat(63),
      'a'.repeat(64),
    );
    const name = fc.array(label, { minLength: 1, maxLength: 5 }).map((labels) => labels.join('.'));
    const end = fc.constantFrom(
      '\n',
      '\n',
      '\n',
      '.\n',
      '\r\n',
      '\r',
      ' \n',
      ' # x\n',
      ' b.c\n',
      '..\n',
      '\0\n',
      '',
    );
    const other = fc.constantFrom(
      '\n',
      '# c\n',
      '192.0.2.1\n',
      '192.0.2.1-9\n',
      '::1\n',
      'é.example\n',
      '-\n',
      '.\n',
    );
    const line = fc.oneof(
      { weight: 8, arbitrary: fc.tuple(name, end).map((parts) => parts.join('')) },
      other,
    );
    const texts = fc.array(line, { maxLength: 40 }).map((lines) => lines.join(''));
    fc.assert(
      fc.property(
        texts,
        fc.nat(30),
        fc.constantFrom({}, { kind: 'names' as const }),
        (input, entries, said) => {
          const limits = { entries };
          const heard = readPlain(bytesOf(input), { ...said, limits, onEntry: () => undefined });
          expect(readPlain(bytesOf(input), { ...said, limits })).toEqual(heard);
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('never throws, whatever the bytes', () => {
    const noise = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.string({ unit: fc.constantFrom(...'0123456789./:-abcf#;, \t\r\n\0'), maxLength: 200 }).map(bytesOf),
    );
    fc.assert(
      fc.property(noise, (bytes) => {
        const result = readPlain(bytes);
        expect(result.rejectCount).toBe(result.rejects.length);
        expect(result.rejects.every((reject) => reject.line >= 1 && reject.column >= 1)).toBe(true);
        expect(readPlain(bytes, { onEntry: () => {} })).toEqual(result);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('readIp4', () => {
  it('reads what parsePrefixBytes reads as IPv4 to the same prefix, or leaves it to it', () => {
    const text = fc.oneof(
      fc.string({ unit: fc.constantFrom('0', '1', '2', '5', '9', '.', '/', ':', 'a', '-'), maxLength: 20 }),
      fc
        .tuple(fc.array(fc.nat({ max: 300 }), { minLength: 3, maxLength: 5 }), fc.option(fc.nat({ max: 40 })))
        .map(([octets, length]) => octets.join('.') + (length === null ? '' : `/${length}`)),
    );
    fc.assert(
      fc.property(text, (value) => {
        const bytes = bytesOf(`x${value}x`);
        const own = newPrefixScratch();
        const reference = newPrefixScratch();
        const isRead = readIp4(bytes, 1, bytes.length - 1, own);
        const fault = parsePrefixBytes(bytes, 1, bytes.length - 1, reference);
        if (isRead)
          expect([fault, own.words[0], own.length, own.hasHostBits]).toEqual([
            undefined,
            reference.words[0],
            reference.length,
            reference.hasHostBits,
          ]);
        else if (fault === undefined) expect(/^\d+(?:\.\d+){3}(?:\/\d\d?)?$/.test(value)).toBe(false);
      }),
      { numRuns: 2000 },
    );
  });
});
