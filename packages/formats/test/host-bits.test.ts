/**
 * Address bits beyond the prefix length, and prefixes so short that few mean them. `220.242.180.0/2`, the
 * last line of a list that was cut, became 192.0.0.0/2 without a word: a quarter of all addresses.
 */

import { formatPrefixAt, type List, nameTexts } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import type { ListFormatName } from '../src/collect/format.ts';
import type { ImportOptions } from '../src/collect/options.ts';
import { parseConfig } from '../src/config/config.ts';
import { parseDocument } from '../src/document/document.ts';
import { importList } from '../src/list/import.ts';

function entriesOf(list: List): readonly string[] {
  if (list.kind === 'names') return [...nameTexts(list.names)];
  return [list.v4, list.v6].flatMap((column) =>
    Array.from(column.lengths, (_, index) => formatPrefixAt(column, index)),
  );
}

/** Long enough that the lines before it are read by the tight loop. */
const PADDING = '# ............................\n';

/** A sound entry, one with host bits, and the column of that, in each format that has prefix lengths. */
const TEXTS: readonly (readonly [ListFormatName, string, number])[] = [
  ['plain', '198.51.100.0/24\n192.0.2.7/24\n', 1],
  ['plain', `198.51.100.0/24\n192.0.2.7/24\n${PADDING}`, 1],
  ['netset', `# Category: x\n198.51.100.0/24\n192.0.2.7/24\n${PADDING}`, 1],
  ['scored', '198.51.100.0/24\t3\n192.0.2.7/24\t9\n', 1],
  ['csv', 'cidr,what\n198.51.100.0/24,x\n192.0.2.7/24,y\n', 1],
  ['geofeed', '198.51.100.0/24,NL,,,\n192.0.2.7/24,NL,,,\n', 1],
  ['ipset', 'add a 198.51.100.0/24\nadd a 192.0.2.7/24\n', 7],
  ['nft', 'table ip t {\nset s {\nelements = { 198.51.100.0/24,\n192.0.2.7/24 }\n}\n}\n', 1],
  ['ipverse', '{"prefixes": {"ipv4": ["198.51.100.0/24",\n"192.0.2.7/24"]}}', 2],
  ['json', '["198.51.100.0/24",\n"192.0.2.7/24"]', 2],
  ['spamhaus', '{"cidr":"198.51.100.0/24"}\n{"cidr":"192.0.2.7/24"}\n', 10],
];

describe.each(TEXTS)('host bits in %s: %j', (format, text, column) => {
  const read = (options: ImportOptions): ReturnType<typeof importList> =>
    importList('', Buffer.from(text), { format, ...options });

  it.each([
    ['at once', {}],
    ['one by one', { onEntry: () => undefined }],
  ] as const)('are a reject, told with what to write, read %s', (_, options) => {
    const { list, rejects } = read(options);
    expect(entriesOf(list)).toEqual(['198.51.100.0/24']);
    expect(rejects.map(({ code, column: at }) => [code, at])).toEqual([['host-bits', column]]);
    expect(rejects[0]?.reason).toBe(
      '"192.0.2.7/24" has bits beyond its prefix length: write 192.0.2.0/24 for the network, or 192.0.2.7 for the one address',
    );
  });

  it.each([
    ['at once', {}],
    ['one by one', { onEntry: () => undefined }],
  ] as const)('are masked where that is asked for, read %s', (_, options) => {
    const { list, rejectCount } = read({ ...options, hostBits: 'mask' });
    expect(rejectCount).toBe(0);
    expect(entriesOf(list)).toEqual(['192.0.2.0/24', '198.51.100.0/24']);
  });
});

describe('host bits', () => {
  it.each([
    ['2001:db8::1/32', 'write 2001:db8::/32 for the network, or 2001:db8::1 for the one address'],
    [
      '2001:db8:0:0:8000::/64',
      'write 2001:db8::/64 for the network, or 2001:db8:0:0:8000:: for the one address',
    ],
    ['::ffff:192.0.2.7/120', 'write 192.0.2.0/24 for the network, or 192.0.2.7 for the one address'],
    ['220.242.180.0/2', 'write 192.0.0.0/2 for the network, or 220.242.180.0 for the one address'],
    ['0.0.0.1/0', 'write 0.0.0.0/0 for the network, or 0.0.0.1 for the one address'],
  ])('of %s are told', (entry, advice) => {
    const { entries, rejects } = importList('', Buffer.from(`${entry}\n`), { format: 'plain' });
    expect(entries).toBe(0);
    expect(rejects[0]?.code).toBe('host-bits');
    expect(rejects[0]?.reason).toContain(advice);
  });

  it.each(['192.0.2.7/32', '2001:db8::1/128', '::ffff:192.0.2.7/128', '0.0.0.0/0', '::/0', '128.0.0.0/1'])(
    'are none of %s',
    (entry) => {
      expect(importList('', Buffer.from(`${entry}\n`), { format: 'plain' })).toMatchObject({
        entries: 1,
        rejectCount: 0,
      });
    },
  );

  it('are refused in documents, in lists and as the address of a policy, and masked in a list that says so', () => {
    const text = [
      'lists:',
      '  a: { entries: [192.0.2.7/24] }',
      '  b: { entries: [192.0.2.7/24], host-bits: mask }',
      '  c: { file: c.txt }',
      '  d: { file: c.txt, host-bits: mask }',
      '  e: { entries: [192.0.2.0/24], host-bits: reject }',
      'policies:',
      '  work: { prefixes: [10.137.0.5/24], egress: [accept dst4=192.0.2.7/24] }',
    ].join('\n');
    const read = parseDocument('x.yaml', Buffer.from(text), 0, () => Buffer.from('\n198.51.100.9/24\n'));
    expect(read.rejects.map(({ file, line, column, code }) => [file, line, column, code])).toEqual([
      ['x.yaml', 2, 18, 'host-bits'],
      ['c.txt', 2, 1, 'host-bits'],
      ['x.yaml', 8, 22, 'host-bits'],
    ]);
    const [, b, , d] = [...read.lists.values()];
    expect([b, d].map((list) => list && entriesOf(list))).toEqual([['192.0.2.0/24'], ['198.51.100.0/24']]);
  });

  it('are refused in the configuration, where an exemption would grow by them', () => {
    const text = 'lists:\n  a:\n    url: https://feeds.example/a\n    never-block-exempt: [10.1.2.3/8]\n';
    const { rejects } = parseConfig('x.yaml', Buffer.from(text));
    expect(rejects.map(({ line, column, code }) => [line, column, code])).toEqual([[4, 26, 'host-bits']]);
  });
});

describe('prefixes shorter than /8, and of IPv6 than /16', () => {
  it.each([
    ['plain', '128.0.0.0/1\n', '128.0.0.0/1'],
    ['plain', `192.0.2.1\n64.0.0.0/2\n${PADDING}`, '64.0.0.0/2'],
    ['plain', `2a00::/12\n${PADDING}`, '2a00::/12'],
    ['csv', 'cidr,x\n128.0.0.0/7,y\n', '128.0.0.0/7'],
    ['json', '["0.0.0.0/0"]', '0.0.0.0/0'],
    ['plain', '::ffff:128.0.0.0/97\n', '128.0.0.0/1'],
  ] as const)('are told: %s %j', (format, text, prefix) => {
    for (const options of [{}, { onEntry: () => undefined }]) {
      const { short, rejectCount } = importList('', Buffer.from(text), { format, ...options });
      expect([short?.prefix, short?.count, rejectCount]).toEqual([prefix, 1, 0]);
    }
  });

  it('are counted, with the line of the first', () => {
    const { short } = importList('', Buffer.from('8.0.0.0/8\n16.0.0.0/7\n128.0.0.0/1\n'));
    expect(short).toEqual({ prefix: '16.0.0.0/7', line: 2, count: 2, lengths: { 4: 8, 6: 16 } });
  });

  it.each([
    ['of special purpose', '224.0.0.0/3\n240.0.0.0/4\n8000::/1\n::/8\nff00::/8\n'],
    ['not shorter', '8.0.0.0/8\n2a00::/16\n'],
    ['ranges', '16.0.0.0-19.255.255.255\n'],
  ])('are none that are %s', (_, text) => {
    expect(importList('', Buffer.from(text), { format: 'plain' })).toMatchObject({
      short: undefined,
      rejectCount: 0,
    });
  });
});
