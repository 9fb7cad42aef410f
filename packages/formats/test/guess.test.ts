/**
 * What may be guessed of a text with commas, and what needs to be said. `a, b` was read as a range: two lines
 * became 80 million addresses. Suricata rules passed for a table and gave 34 of 681 addresses, a table of pf
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

/** As the emerging-threats rules of Suricata are written. */
const SURICATA = Array.from({ length: 34 }, (_, rule) => {
  const addresses = Array.from({ length: 20 }, (_, i) => `198.51.${rule}.${i + 1}`).join(',');
  return `alert ip [${addresses}] any -> $HOME_NET any (msg:"ET DROP group ${rule + 1}"; flow:to_server, stateless; sid:${2_400_000 + rule}; rev:1;)\n`;
}).join('');

/** As ThreatFox exports its indicators: the titles are in a comment. */
const THREATFOX = `# "first_seen_utc","ioc_id","ioc_value","ioc_type","threat_type","fk_malware","malware_alias"
"2026-01-01 10:00:00", "1", "198.51.100.7:443", "ip:port", "botnet_cc", "win.cobalt_strike", "BEACON"
"2026-01-01 11:00:00", "2", "evil.example", "domain", "botnet_cc", "js.clearfake", "None"
"2026-01-01 12:00:00", "3", "https://evil.example/x", "url", "payload_delivery", "elf.mirai", "None"
`;

const UNPROVEN: readonly (readonly [string, string])[] = [
  ['rules of Suricata', SURICATA],
  ['one rule of Suricata', 'drop tcp [192.0.2.1,198.51.100.7] any -> any any (msg:"x"; sid:1;)\n'],
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
        'nothing says which column holds the entries: 1 and 2 hold addresses; say column: NUMBER, or format: (ranges, if two columns are the ends of ranges), or keep one column; it starts with "192.0.2.1, 198.51.100.7" and "203.0.113.9, 203.0.113.11"',
    });
    expect(read(SURICATA).fault?.reason).toMatch(
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

describe('an address that is not used', () => {
  it.each([
    ['of a table whose header names two', 'src_ip,dst_ip\n192.0.2.1,198.51.100.7\n', 'second-address', 11],
    ['of a table of names', 'domain,note\na.example,192.0.2.1\n', 'second-address', 11],
    ['far behind an entry', '192.0.2.1 seen by 198.51.100.7\n', 'second-address', 19],
    ['after commas', '192.0.2.1,x,198.51.100.0/24\n', 'second-address', 13],
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
