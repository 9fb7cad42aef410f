/**
 * Ways to find entries in files of any format, what they leave, and files of which half is taken. What is
 * left is counted, so that nobody takes a part for the whole.
 */

import { describe, expect, it } from 'vitest';
import type { ImportOptions } from '../src/collect/options.ts';
import { jsonQueryOf } from '../src/json/query.ts';
import { acceptImport } from '../src/list/acceptance.ts';
import { type ImportedList, importList } from '../src/list/import.ts';
import { finderOf } from '../src/text/pattern.ts';
import { shown } from './shown.ts';

type WrittenOptions = Omit<ImportOptions, 'json' | 'pattern'> & {
  readonly json?: string;
  readonly pattern?: string;
};

/** Reads as a configuration says it. */
function read(text: string, { json, pattern, ...others }: WrittenOptions): ImportedList {
  const query = json === undefined ? undefined : jsonQueryOf(json);
  const finder = pattern === undefined ? undefined : finderOf(pattern);
  if (typeof finder === 'string') throw new TypeError(finder);
  const ways = { ...(query && { json: query }), ...(finder && { pattern: finder }) };
  return importList('', Buffer.from(text), { ...others, ...ways });
}

const CROWDSEC =
  'id,source,ip,reason\n1,crowdsec,Ip:192.0.2.1,a/b\n2,cscli,Range:198.51.100.0/24,c\n3,x,Ip:192.0.2.300,d\n';
const NESTED =
  '{"a": {"v4": ["192.0.2.0/24", "198.51.100.0/24"], "n": 4}, "b": {"v6": ["2001:db8::/32"], "why": "192.0.2.9"}}';

describe('entries that a pattern finds', () => {
  it.each([
    [
      'by its first group that took part',
      CROWDSEC,
      'Ip:([^,]+),|Range:([^,]+),',
      ['192.0.2.1/32', '198.51.100.0/24'],
      ['other-line:1'],
      ['4:8 bad-address'],
    ],
    ['as a whole without groups', 'x 192.0.2.1 y\n', '[0-9.]+', ['192.0.2.1/32'], [], []],
    [
      'each of a line, with ranges, and counts addresses beside them',
      '# 198.51.100.1\n[192.0.2.1,192.0.2.4-192.0.2.5] by 198.51.100.7\n',
      '[\\[,]([0-9.-]+)',
      ['192.0.2.1/32', '192.0.2.4/31'],
      ['comment:1', 'other-column:1'],
      [],
    ],
    ['names, too', '1 http://evil.example/x\n', 'http://([^/]+)', ['evil.example'], [], []],
    [
      'where its group is empty nothing',
      'a=\na=192.0.2.1\n',
      'a=(\\S*)',
      ['192.0.2.1/32'],
      ['other-line:1'],
      [],
    ],
    [
      'behind characters that are not ASCII',
      'é 192.0.2.1 ü 192.0.2.300\n',
      '\\d\\S+',
      ['192.0.2.1/32'],
      [],
      ['1:15 bad-address'],
    ],
  ])('%s', (_, text, pattern, entries, skipped, rejects) => {
    expect(shown(read(text, { pattern }))).toEqual([entries, skipped, rejects]);
  });

  it('takes a time that grows with the text alone', () => {
    const text = `${'a'.repeat(60_000)}!\n`;
    expect(shown(read(text, { pattern: '(a|a)*(a+)+$' }))).toEqual([[], ['other-line:1'], []]);
  });

  it.each(['(', 'a{1001}', '(?<=a)b', '\\1', 'x'.repeat(1001)])('is none: %s', (pattern) => {
    expect(finderOf(pattern)).toEqual(expect.any(String));
  });
});

describe('entries that a path of JSON finds', () => {
  it.each([
    ['$.*.v4[*]', ['192.0.2.0/24', '198.51.100.0/24'], ['other-column:2'], []],
    [
      '$..[?@ != "192.0.2.9"]',
      ['192.0.2.0/24', '198.51.100.0/24', '2001:db8::/32'],
      ['other-column:1'],
      ['1:7', '1:14', '1:56', '1:65', '1:72'],
    ],
    ['$..none', [], ['other-column:4'], []],
  ])('%s', (json, entries, skipped, rejects) => {
    const [list, left, refused] = shown(read(NESTED, { json }));
    expect([list, left]).toEqual([entries, skipped]);
    expect(
      refused?.filter((text) => text.endsWith('unexpected-value')).map((text) => text.split(' ')[0]),
    ).toEqual(rejects);
  });

  it('in the order of the file, at their places, in each of several values', () => {
    const text = '{"ip": "192.0.2.1"}\n{"ip": "192.0.2.300"}\n\n{"ip": ["192.0.2.3"]}\n{"i p": 1, "ip": 7}\n';
    const { rejects, list, entries } = read(text, { json: '$..ip' });
    expect(rejects.map(({ line, column, code }) => [line, column, code])).toEqual([
      [2, 9, 'bad-address'],
      [4, 8, 'unexpected-value'],
      [5, 18, 'unexpected-value'],
    ]);
    expect([list.kind, entries]).toEqual(['prefixes', 1]);
  });

  it('of a key that is repeated the last, and counts the others', () => {
    expect(shown(read('{"a": ["192.0.2.1"], "a": ["192.0.2.2"]}', { json: '$.a[*]' }))).toEqual([
      ['192.0.2.2/32'],
      ['other-column:1'],
      [],
    ]);
  });

  it('and nothing of a file that is no JSON, or is cut', () => {
    expect(read('192.0.2.1\n', { json: '$..ip' }).fault?.code).toBe('bad-json');
    expect(read(NESTED.slice(0, -2), { json: '$..v4[*]' }).fault?.code).toBe('truncated');
  });
});

describe('all addresses', () => {
  it.each([
    [
      'wherever they stand',
      '203.0.113.9#4#KR#37.5,126.9\nroute 2001:db8::/32 via [2001:db9::1]:80;\n',
      ['203.0.113.9/32', '2001:db8::/32', '2001:db9::1/128'],
      [],
      [],
    ],
    [
      'and ranges',
      '192.0.2.4 - 192.0.2.5 , 0 , text\n192.0.2.8-192.0.2.9\n192.0.2.16-18\n',
      ['192.0.2.4/31', '192.0.2.8/31'],
      [],
      ['3:12 bad-range'],
    ],
    [
      'but no masks',
      'set subnet 192.0.2.0 255.255.255.0\ndeny ip 192.0.3.0 0.0.0.255 any\n',
      ['192.0.2.0/32', '192.0.3.0/32'],
      [],
      ['1:22 mask', '2:19 mask'],
    ],
    [
      'but no range, set or group that is excepted',
      '10.0.0.0/8 !192.0.2.1-192.0.2.9 192.0.2.7\nfrom ! { 192.0.2.1, 192.0.2.2 } 192.0.2.3\nsaddr != [192.0.2.4,\nsaddr != 192.0.2.5\n',
      ['10.0.0.0/8', '192.0.2.3/32', '192.0.2.7/32'],
      ['exception:5'],
      [],
    ],
    [
      'but no exceptions',
      'table <bad> { 192.0.2.1, !192.0.2.2, ! 192.0.2.3 }\n',
      ['192.0.2.1/32'],
      ['exception:2'],
      [],
    ],
    [
      'but none of comments',
      '# 192.0.2.1\n192.0.2.2 # 192.0.2.3\nwords\n',
      ['192.0.2.2/32'],
      ['comment:1', 'other-column:1', 'other-line:1'],
      [],
    ],
    [
      'and no times, versions, names and numbers of cards',
      '10:05:11 aa:bb:cc:dd:ee:ff 1.2.3 1.2.3.4.5 4.3.2.1.in-addr.arpa\n',
      [],
      ['other-line:1'],
      [],
    ],
    [
      'and refuses what is none',
      '192.0.2.300 192.0.2.1/33 192.0.2.1/24x 192.0.2.7/24\n',
      [],
      [],
      ['1:1 bad-address', '1:23 bad-prefix-length', '1:36 bad-prefix-length', '1:40 host-bits'],
    ],
    [
      'of pages without what follows',
      'http://192.0.2.0/24 http://192.0.3.1:80/x\n',
      ['192.0.2.0/32', '192.0.3.1/32'],
      [],
      [],
    ],
    [
      'of JSON, keys among them',
      '{"192.0.2.1": {"a": ["198.51.100.0/24", "by 192.0.2.3"], "n": 4}}',
      ['192.0.2.1/32', '192.0.2.3/32', '198.51.100.0/24'],
      [],
      [],
    ],
  ])('%s', (_, text, entries, skipped, rejects) => {
    expect(shown(read(text, { allAddresses: true }))).toEqual([entries, skipped, rejects]);
  });

  it('are not taken of a table whose prefix lengths stand apart', () => {
    const text = '1.0.4.0\t22\t64500\n1.0.8.0\t21\t64501\n';
    expect(read(text, { allAddresses: true }).fault?.code).toBe('length-column');
  });
});

describe('columns', () => {
  const COMMENTED =
    '# "seen","id","ioc","type"\n"2026-01-01 10:00:00", "1", "192.0.2.1", "by 198.51.100.7"\n"2026-01-01", "2", "192.0.2.2", "x"\n';

  it('have their titles in a comment, too', () => {
    expect(shown(read(COMMENTED, { column: 'ioc' }))).toEqual([
      ['192.0.2.1/32', '192.0.2.2/32'],
      ['comment:1', 'other-column:1'],
      [],
    ]);
    expect(read(COMMENTED, { column: 'oic' }).fault?.code).toBe('no-such-column');
  });

  it('are divided by what is said', () => {
    const text = '192.0.2.1#4#198.51.100.7#KR\n192.0.2.2#3##US\n';
    expect(shown(read(text, { column: 1, delimiter: '#' }))).toEqual([
      ['192.0.2.1/32', '192.0.2.2/32'],
      ['other-column:1'],
      [],
    ]);
    expect(shown(read('a^b\n1^192.0.2.1\n', { column: 'B', delimiter: '^' }))[0]).toEqual(['192.0.2.1/32']);
  });
});

describe('a file of addresses and names', () => {
  const MIXED = '192.0.2.1\nevil.example\n192.0.2.0/25\n.bad.example\n192.0.2.300\n-x.example\n';

  it.each([
    ['prefixes', ['192.0.2.0/25'], ['other-kind:2']],
    ['names', ['evil.example', '.bad.example'], ['other-kind:2']],
  ] as const)('gives its %s, and counts the others', (take, entries, skipped) => {
    const [list, left, rejects] = shown(read(MIXED, { take }));
    expect([new Set(list), left, rejects?.length]).toEqual([new Set(entries), skipped, 2]);
  });

  it('gives nothing where its format holds the others', () => {
    expect(read('0.0.0.0 evil.example\n', { take: 'prefixes' }).fault?.code).toBe('wrong-kind');
  });

  it('may be URLs, endpoints or indicators', () => {
    const urls = 'http://192.0.2.1/x\nhttp://evil.example/y\n';
    expect(shown(read(urls, { format: 'urls', take: 'prefixes' }))).toEqual([
      ['192.0.2.1/32'],
      ['other-kind:1'],
      [],
    ]);
    expect(shown(read(urls, { format: 'urls', take: 'names' }))).toEqual([
      ['evil.example'],
      ['other-kind:1'],
      [],
    ]);
    const endpoints =
      '[{"serviceArea": "x", "urls": ["a.example"], "ips": ["192.0.2.0/24", "2001:db8::/32"]}]';
    expect(shown(read(endpoints, { take: 'prefixes' }))).toEqual([
      ['192.0.2.0/24', '2001:db8::/32'],
      ['other-kind:1'],
      [],
    ]);
    expect(shown(read(endpoints, { take: 'names' }))).toEqual([['a.example'], ['other-kind:2'], []]);
  });
});

describe('strict', () => {
  it.each([
    [
      'a line in which nothing is found',
      CROWDSEC.slice(0, 45),
      { pattern: 'Ip:([^,]+)' },
      /^1 lines in which nothing is found, the first in line 1, /,
    ],
    [
      'an address under another key',
      NESTED,
      { json: '$.a.v4[*]' },
      /^2 addresses elsewhere, as in other columns or under other keys, /,
    ],
    [
      'an address in another column',
      'ip,to\n192.0.2.1,198.51.100.7\n',
      { column: 'ip' },
      /^1 addresses elsewhere/,
    ],
    ['an exception', '{ 192.0.2.1, !192.0.2.2 }\n', { allAddresses: true }, /^1 exceptions /],
    [
      'a line that cannot be read',
      '192.0.2.1\n192.0.2.2\n192.0.2.300\n',
      {},
      /^line 3: "192.0.2.300" is no address/,
    ],
    [
      'a rule of another kind',
      'alert ip [192.0.2.1] any -> any any (sid:1;)\npass ip any any -> any any (sid:2;)\n',
      {},
      /^1 other settings/,
    ],
  ])('refuses %s, which is counted without it', (_, text, options, reason) => {
    const loose = read(text, options);
    expect([loose.fault, loose.entries > 0]).toEqual([undefined, true]);
    const tight = read(text, { ...options, strict: true });
    expect(tight.fault).toMatchObject({ code: 'left-out', reason: expect.stringMatching(reason) });
    expect(acceptImport(tight, { tolerance: 1 }).kind).toBe('refused');
  });

  it.each([
    ['comments and headers', '# a\nip,cc\n192.0.2.1,nl\n192.0.2.2,de\n', { country: ['nl'] }],
    ['the half that is not taken', '192.0.2.1\nevil.example\n', { take: 'names' }],
    ['nothing', NESTED, { json: "$..['v4','v6','why']" }],
  ] as const)('takes a file of which %s is left', (kind, text, options) => {
    const json = kind === 'nothing' ? '{"v4": "192.0.2.1", "v6": "2001:db8::1"}' : text;
    expect(read(json, { ...options, strict: true }).fault).toBeUndefined();
  });
});

describe('ways and filters', () => {
  it('do not go together: a filter that is ignored would let everything pass', () => {
    for (const way of [{ json: '$..ip' }, { pattern: '\\S+' }, { allAddresses: true }])
      for (const filter of [{ minScore: 2 }, { country: ['nl'] }, { column: 1 }, { asn: [1] }])
        expect(read('{"ip": "192.0.2.1"}', { ...way, ...filter }).fault?.code).toBe('useless-filter');
  });
});
