/**
 * What may be guessed of a text with commas, and what needs to be said. `a, b` was read as a range: two lines
 * became 80 million addresses. Rules with groups passed for a table and gave 34 of 681 addresses, one of pf
 * half of its addresses, and names of malware became host names.
 */

import { formatPrefixAt, type List, nameTexts } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import type { ImportOptions } from '../src/collect/options.ts';
import { acceptImport } from '../src/list/acceptance.ts';
import { type ImportedList, importList } from '../src/list/import.ts';

function read(text: string, options: ImportOptions = {}, name = ''): ImportedList {
  return importList(name, Buffer.from(text), options);
}

function entriesOf(list: List): readonly string[] {
  if (list.kind === 'names') return [...nameTexts(list.names)];
  return [list.v4, list.v6].flatMap((column) =>
    Array.from(column.lengths, (_, index) => formatPrefixAt(column, index)),
  );
}

/** Rules of no program that we know. */
const GROUPS = Array.from({ length: 34 }, (_, rule) => {
  const addresses = Array.from({ length: 20 }, (_, i) => `198.51.${rule}.${i + 1}`).join(',');
  return `note ip [${addresses}] any (msg:"ET DROP group ${rule + 1}"; flow:to_server, stateless; sid:${2_400_000 + rule}; rev:1;)\n`;
}).join('');

/** As ThreatFox exports its indicators: the titles are in a comment. */
const THREATFOX = `# "first_seen_utc","ioc_id","ioc_value","ioc_type","threat_type","fk_malware","malware_alias"
"2026-01-01 10:00:00", "1", "198.51.100.7:443", "ip:port", "botnet_cc", "win.cobalt_strike", "BEACON"
"2026-01-01 11:00:00", "2", "evil.example", "domain", "botnet_cc", "js.clearfake", "None"
"2026-01-01 12:00:00", "3", "https://evil.example/x", "url", "payload_delivery", "elf.mirai", "None"
`;

const UNPROVEN: readonly (readonly [string, string])[] = [
  ['rules with groups', GROUPS],
  ['one rule with a group', 'note tcp [192.0.2.1,198.51.100.7] any (msg:"x"; sid:1;)\n'],
  ['a table of pf', 'table <bad> persist { 192.0.2.1, 198.51.100.7 }\n'],
  ['a table of pf over lines', 'table <bad> {\n  192.0.2.1,\n  198.51.100.7 }\n'],
  ['the addresses of a table of pf', '{ 192.0.2.1, 198.51.100.7 }\n'],
  ['indicators of ThreatFox', THREATFOX],
  ['addresses with commas', '192.0.2.1, 198.51.100.7, 203.0.113.9\n'],
  ['pairs', '1.0.0.1,96.0.0.7\n100.0.0.1,130.0.0.9\n140.0.0.3,150.0.0.1\n'],
  ['pairs with more behind', '1.0.0.1,96.0.0.7,x\n100.0.0.1,130.0.0.9,y\n'],
  ['pairs of networks', '10.0.0.0/8, 172.16.0.0/12\n'],
  [
    'whole networks by their ends, which nothing says',
    '192.0.2.0,192.0.2.255\n198.51.100.0,198.51.100.255\n',
  ],
  ['flows', '2026-01-01,192.0.2.1,198.51.100.7,443\n2026-01-01,192.0.2.3,198.51.100.9,443\n'],
  ['sentences', 'This list, as of today, is empty, sorry.\nWrite, if you must, to abuse.example, please.\n'],
  [
    'names and addresses of pages',
    'evil.example,http://evil.example/a.exe\nbad.example,http://bad.example/b.exe\n',
  ],
  ['two columns of names', 'evil.example,ns1.evil.example\nbad.example,ns1.bad.example\n'],
];

describe('a text with commas that proves nothing', () => {
  it.each(UNPROVEN)('is refused, and nothing of it is taken: %s', (_, text) => {
    const imported = read(text);
    expect(entriesOf(imported.list)).toEqual([]);
    expect(acceptImport(imported).kind).toBe('refused');
  });

  it('is shown by its first lines, with what could be said', () => {
    const { fault } = read('# x\n192.0.2.1, 198.51.100.7\n203.0.113.9, 203.0.113.11\n');
    expect(fault).toEqual({
      line: 2,
      column: 1,
      code: 'unproven-table',
      reason:
        'nothing says which column holds the entries: 1 and 2 hold addresses; say format: ranges, if the two columns are the ends of ranges, or write one entry a line; it starts with "192.0.2.1, 198.51.100.7" and "203.0.113.9, 203.0.113.11"',
    });
    expect(read(GROUPS).fault?.reason).toMatch(
      /^nothing says which column holds the entries: 2, 3, 4, 5 and more hold addresses; /,
    );
    expect(read(THREATFOX).fault?.reason).toMatch(
      /^nothing says which column holds the entries: none reads as addresses, or alone as names, in 95 % of the rows; /,
    );
  });

  it('is read where the column is said, or that it is ranges', () => {
    expect(entriesOf(read('192.0.2.1, 198.51.100.7\n', { column: 2 }).list)).toEqual(['198.51.100.7/32']);
    const pairs = '192.0.2.0,192.0.2.255\n198.51.100.0,198.51.100.127\n';
    expect(entriesOf(read(pairs, { format: 'ranges' }).list)).toEqual(['192.0.2.0/24', '198.51.100.0/25']);
    const titled = `first_ip,last_ip\n${pairs}`;
    expect(entriesOf(read(titled).list)).toEqual(['192.0.2.0/24', '198.51.100.0/25']);
  });

  it('is no range because it is said to be a table', () => {
    const imported = read('192.0.2.1,198.51.100.7,x\n', { format: 'csv' });
    expect(imported.fault?.code).toBe('unproven-table');
  });
});

describe('a text with commas that proves what it is', () => {
  it.each([
    ['one column of addresses', '192.0.2.1,x\n198.51.100.7,y\n', ['192.0.2.1/32', '198.51.100.7/32']],
    ['one column of names', '1,a.example\n2,b.example\n', ['a.example', 'b.example']],
    [
      'a header',
      'when,IP,what\n2026,192.0.2.1,x\n2026,198.51.100.7,y.z\n',
      ['192.0.2.1/32', '198.51.100.7/32'],
    ],
    [
      'whole networks by their ends, in order, each with a country',
      '1.0.0.0,1.0.0.255,AU\n1.0.1.0,1.0.3.255,CN\n1.0.4.0,1.0.7.255,AU\n',
      ['1.0.0.0/24', '1.0.1.0/24', '1.0.2.0/23', '1.0.4.0/22'],
    ],
  ] as const)('is read: %s', (_, text, entries) => {
    const imported = read(text);
    expect([entriesOf(imported.list), imported.rejectCount]).toEqual([entries, 0]);
  });

  it('needs a column that reads in 95 % of the rows', () => {
    const rows = (good: number, bad: number): string =>
      Array.from({ length: good + bad }, (_, i) => (i < good ? `192.0.2.${i},x\n` : `word${i},x\n`)).join('');
    expect(read(rows(95, 5))).toMatchObject({ entries: 95, rejectCount: 5, fault: undefined });
    expect(read(rows(94, 6)).fault?.code).toBe('unproven-table');
  });

  it('rejects, in ranges that were guessed, what is out of order', () => {
    const text = '1.0.0.0,1.0.0.255,AU\n1.0.1.0,1.0.1.255,AU\n1.0.0.7,9.0.0.0,US\n1.0.2.0,1.0.2.255,AU\n';
    const { rejects, list } = read(text);
    expect(rejects.map(({ line, code }) => [line, code])).toEqual([[3, 'range-out-of-order']]);
    expect(entriesOf(list)).toEqual(['1.0.0.0/24', '1.0.1.0/24', '1.0.2.0/24']);
    expect(read(text, { format: 'ranges' }).rejectCount).toBe(0);
  });
});

const rows = (row: (i: number) => string): string =>
  `${Array.from({ length: 30 }, (_, i) => row(i)).join('\n')}\n`;

describe('what is advised', () => {
  it('is a column that reads the whole table and loses no address', () => {
    const [urls, words] = [
      rows((i) => `a${i}.example,http://b.example/x.html`),
      'a1,http://b.example/x.html\n',
    ];
    expect(read(urls).fault?.reason).toContain('; say column: 1; ');
    expect(read(urls, { column: 1 })).toMatchObject({ entries: 30, rejectCount: 0 });
    expect(read(urls + words.replace('a1', 'a_-')).fault?.reason).toContain('; write one entry a line; ');
  });

  it('is that they are ranges, where all of them may be', () => {
    expect(read('192.0.2.1,192.0.2.9\n198.51.100.1,198.51.100.7\n').fault?.reason).toContain(
      'say format: ranges',
    );
    expect(read('192.0.2.9,192.0.2.1\n198.51.100.1,198.51.100.7\n').fault?.reason).toContain(
      '; write one entry a line',
    );
  });

  it('is no column of a table that holds addresses beside it', () => {
    const rules = rows((i) =>
      i < 2 ? `[203.0.${i}.1,203.1.${i}.1] any` : `[203.0.${i}.1,203.1.${i}.1,203.2.${i}.1] any`,
    );
    expect(read(rules).fault?.reason ?? read(rules).rejects[0]?.reason).toMatch(/write one entry a line/);
  });
});

describe('addresses of a record', () => {
  it.each([
    [
      'a rule with a group',
      (i: number) => `note ip [203.0.${i}.1,203.1.${i}.1,203.2.${i}.1] any (sid:${i};)`,
    ],
    ['a list of three', (i: number) => `NN${i} = [ 203.0.${i}.0/24, 203.1.${i}.0/24, 203.2.${i}.0/24 ];`],
    ['a table of pf', (i: number) => `tables <a${i}> persist { 203.0.${i}.1, 203.1.${i}.1, !203.2.${i}.1 }`],
    ['a tuple', (i: number) => `x = (203.0.${i}.1, 203.1.${i}.1, 203.2.${i}.1)`],
    ['of IPv6', (i: number) => `NN = [ 2001:db8:${i}::/48, 2001:db9:${i}::/48, 2001:dba:${i}::/48 ];`],
    ['a word with an address in it', (i: number) => `203.0.${i}.1,seen from 198.51.100.${i}:80,x`],
    ['a key before an address', (i: number) => `203.0.${i}.1,Ip:198.51.100.${i},x`],
    ['a JSON object', (i: number) => `{"ip": "203.0.${i}.1", "why": "like 198.51.100.${i}"}`],
    ['an array in a JSON object', (i: number) => `{"ip": "203.0.${i}.1", "too": ["198.51.100.${i}"]}`],
  ])('are rejects, none of them used: %s', (kind, row) => {
    const text = kind.includes('JSON') ? `[${rows(row).trim().replaceAll('\n', ',\n')}]` : rows(row);
    const { entries, rejectCount, rejects } = read(text);
    expect({ entries, rejectCount, code: rejects[0]?.code }).toEqual({
      entries: 0,
      rejectCount: 30,
      code: 'second-address',
    });
  });

  it('are told where they stand', () => {
    expect(read('ip,why\n203.0.113.1,seen from 198.51.100.7\n').rejects).toMatchObject([
      { line: 2, column: 23 },
    ]);
  });

  it.each([
    ['the entry again in an address of a page', '203.0.113.9,http://203.0.113.9:80/x,y\n'],
    ['an address within the entry', '203.0.113.0/24,as of 203.0.113.9,y\n'],
    ['a name of four numbers', '203.0.113.9,4.3.2.1.in-addr.arpa,y\n'],
    [
      'a time, a version, and words with colons',
      '203.0.113.9,10:05:11 v1.2.3.4 std::cout aa:bb:cc:dd:ee:ff,y\n',
    ],
    ['a number too large', '203.0.113.9,98.0.4758.102,y\n'],
  ])('are none: %s', (_, row) => {
    expect(read(`ip,why,x\n${row}`)).toMatchObject({ entries: 1, rejectCount: 0 });
  });

  it('are counted where a column was asked for', () => {
    const table = 'ip,to\n192.0.2.1,198.51.100.7\n192.0.2.2,by 198.51.100.8\n192.0.2.3,x\n';
    const other = { code: 'other-column', count: 2, line: 2 };
    expect(read(table, { column: 'ip' })).toMatchObject({ entries: 3, rejectCount: 0 });
    expect(read(table, { column: 'ip' }).skipped).toContainEqual(other);
    const json = '[{"ip": "192.0.2.1", "to": "198.51.100.7"}]';
    expect(read(json, { column: 'ip' }).skipped).toContainEqual({ ...other, count: 1, line: 1 });
  });
});

describe('a prefix length that stands apart', () => {
  const networks = (separator: string): string =>
    rows((i) => [`1.0.${i * 4}.0`, '22', 38_803 + i].join(separator));

  it.each([
    ['tabs', '\t', 'say length-column: 2, or write 1.0.0.0/22'],
    ['commas', ',', 'say length-column: 2, or write 1.0.0.0/22'],
    ['blanks', ' ', ': write 1.0.0.0/22'],
  ])('is refused between %s, whatever the format', (_, separator, advice) => {
    for (const options of [{}, { format: 'csv' }, { column: 1 }] as const) {
      if (separator === ' ' && 'column' in options) continue;
      if (separator === '\t' && !('format' in options)) continue; // which is pfx2as
      const { fault, list } = read(networks(separator), options);
      expect(fault).toMatchObject({ code: 'length-column' });
      expect(fault?.reason).toContain(advice);
      expect(entriesOf(list)).toEqual([]);
    }
  });

  it('is refused in a table of two columns, and of IPv6', () => {
    expect(read(rows((i) => `1.0.${i}.0\t24`)).fault?.code).toBe('length-column');
    expect(read(rows((i) => `2001:db8:${i}::;48;64500`)).fault?.code).toBe('length-column');
  });

  it('is not passed over because a row is broken', () => {
    const broken = networks('\t').split('\n').slice(0, 5).with(3, '1.0.12.0\t64500,64501\t22').join('\n');
    expect(acceptImport(read(broken)).kind).toBe('refused');
    expect(read(broken, { format: 'csv' }).fault?.code).toBe('length-column');
  });

  it('is read where it was said, by number or title', () => {
    expect(entriesOf(read(networks('\t'), { lengthColumn: 2 }).list).slice(0, 2)).toEqual([
      '1.0.0.0/22',
      '1.0.4.0/22',
    ]);
    const titled = 'network,bits,as\n1.0.4.0,22,38803\n';
    expect(entriesOf(read(titled, { lengthColumn: 'bits' }).list)).toEqual(['1.0.4.0/22']);
    expect(
      entriesOf(
        read(`x,${titled.replace('1.0', 'y,1.0')}`, { column: 'network', lengthColumn: 'bits' }).list,
      ),
    ).toEqual(['1.0.4.0/22']);
  });

  it('leaves the number behind it to be an AS', () => {
    expect(entriesOf(read(networks('\t'), { lengthColumn: 2, asn: [38_804] }).list)).toEqual(['1.0.4.0/22']);
  });

  it.each([
    ['no number', '1.0.4.0,x\n', 2, 'no-entry'],
    ['nothing', '1.0.4.0,22\n1.0.8.0\n', 2, 'no-entry'],
    ['too long', '1.0.4.0,33\n', 2, 'bad-prefix-length'],
    ['too short for the address', '1.0.4.7,22\n', 2, 'host-bits'],
    ['a column that is not there', '1.0.4.0,22\n', 'bits', 'no-such-column'],
    ['the column of addresses', '1.0.4.0,22\n', 1, 'no-such-column'],
  ])('that is %s is a reject', (_, text, lengthColumn, code) => {
    expect(read(text, { lengthColumn }).rejects.map((reject) => reject.code)).toContain(code);
  });

  it.each([
    ['ports', (i: number) => `1.2.3.${i + 1},22`],
    ['scores', (i: number) => `198.51.100.${i + 1}\t${(i % 9) + 1}`],
    ['categories and reputations', (i: number) => `1.2.3.${i + 1},1,100`],
    ['the longest', (i: number) => `1.2.3.${i + 1},32`],
  ])('is not seen in %s', (_, row) => {
    expect(read(rows(row))).toMatchObject({ entries: 30, rejectCount: 0, fault: undefined });
  });

  it('may be a score, where that was said', () => {
    const scores = rows((i) => `1.0.${i}.0\t24`);
    expect(read(scores, { format: 'scored' })).toMatchObject({ entries: 30, fault: undefined });
    expect(read(scores, { minScore: 20 })).toMatchObject({ entries: 30, fault: undefined });
  });

  it('is read behind blanks and a slash', () => {
    const text =
      '203.0.113.0 /24\n198.51.100.0  /25 # x\n2001:db8:: /32 some network\n192.0.2.7 /24\n192.0.2.0 /24 192.0.3.0\n10.1.2.3 /etc\n';
    const { list, rejects } = read(text, { format: 'plain' });
    expect(entriesOf(list)).toEqual(['10.1.2.3/32', '198.51.100.0/25', '203.0.113.0/24', '2001:db8::/32']);
    expect(rejects.map(({ line, column, code }) => [line, column, code])).toEqual([
      [4, 1, 'host-bits'],
      [5, 15, 'second-address'],
    ]);
  });
});

describe('an address that is not used', () => {
  it.each([
    ['of a table whose header names two', 'src_ip,dst_ip\n192.0.2.1,198.51.100.7\n', 'second-address', 11],
    ['of a table of names', 'domain,note\na.example,192.0.2.1\n', 'second-address', 11],
    ['far behind an entry', '192.0.2.1 seen by 198.51.100.7\n', 'second-address', 19],
    ['after commas', '192.0.2.1,x,198.51.100.0/24\n', 'second-address', 13],
    ['behind a range', '192.0.2.1 - 192.0.2.4 198.51.100.7\n', 'second-address', 23],
    ['behind a range and a dash', '192.0.2.1 - 192.0.2.4 - 198.51.100.7\n', 'second-address', 25],
    ['as a third end', '192.0.2.1-192.0.2.4-198.51.100.7\n', 'bad-range', 21],
    ['as a third end of JSON', '["192.0.2.1-192.0.2.4-198.51.100.7"]', 'bad-range', 23],
    ['behind a score', '192.0.2.1 7 198.51.100.7\n192.0.2.3 8\n', 'second-address', 13],
  ] as const)('%s is a reject', (_, text, code, column) => {
    const format =
      text.startsWith('192.0.2.1,') || text.includes('seen') ? ({ format: 'plain' } as const) : {};
    const { rejects } = read(text, format);
    expect(rejects[0]).toMatchObject({ code, column });
  });

  it('under another key of a JSON object is a reject too, unless the key was said', () => {
    const text = '[{"ip": "192.0.2.1", "via": "198.51.100.7", "n": 4, "note": "x"},\n{"ip": "192.0.2.3"}]';
    const { rejects, list } = read(text);
    expect(rejects.map(({ line, column, code }) => [line, column, code])).toEqual([
      [1, 30, 'second-address'],
    ]);
    expect(entriesOf(list)).toEqual(['192.0.2.3/32']);
    expect(read(text, { column: 'ip' }).rejectCount).toBe(0);
    expect(read('[{"ip": "192.0.2.1", "cidr": "192.0.2.0/24"}]').rejects[0]?.code).toBe('second-address');
    expect(read('[{"cidr": "192.0.2.0/24", "ip": "192.0.2.1"}]').rejects[0]?.code).toBe('second-address');
  });

  it('is none where the column was said, in a comment, or in a table whose columns are fixed', () => {
    expect(read('src_ip,dst_ip\n192.0.2.1,198.51.100.7\n', { column: 'src_ip' }).rejectCount).toBe(0);
    expect(read('domain,ip\na.example,192.0.2.1\n', { kind: 'names' }).rejectCount).toBe(0);
    expect(
      read('192.0.2.1 # seen by 198.51.100.7\n192.0.2.3 7 ; by 192.0.2.9\n', { format: 'plain' }).rejectCount,
    ).toBe(0);
  });
});
