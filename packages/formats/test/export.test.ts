import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import {
  aggregatePrefixes,
  type List,
  nameListOf,
  namesStandFor,
  nameTexts,
  prefixListOf,
} from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { prefixSetFrom } from '../../../test/kit/rules.ts';
import fc from '../../../test/seeded-fast-check.ts';
import { EXPORT_FORMATS, type ExportFormatName, exportList, isExportFormatName } from '../src/list/export.ts';
import { importList } from '../src/list/import.ts';

const OPTIONS = { name: 'drop.list-1', comments: ['version 7', 'two\nlines'] };

function prefixes(...texts: readonly string[]): List {
  return prefixListOf(prefixSetFrom(texts));
}

function written(list: List, format: ExportFormatName): string {
  const result = exportList(list, format, OPTIONS);
  if (result.kind === 'refused') throw new Error(result.reason);
  return [...result.chunks].join('');
}

const SOME = prefixes('192.0.2.1', '198.51.100.0/24', '2001:db8::/32');
const NAMES = nameListOf(['a.example', 'b_1.example'], false);
const HOLED = nameListOf(['.a.example'], 'firewall', ['.b.a.example', '*.c.a.example']);
const BELOW = nameListOf(['.a.example', '*.b.example', 'c.example'], 'firewall');

describe('exportList: what it writes', () => {
  it.each([
    ['plain', SOME, '# version 7\n# two lines\n192.0.2.1/32\n198.51.100.0/24\n2001:db8::/32\n'],
    [
      'netset',
      SOME,
      '#\n# drop.list-1\n#\n# version 7\n# two lines\n# Entries         : 3 subnets, 257 unique IPs\n#\n192.0.2.1/32\n198.51.100.0/24\n2001:db8::/32\n',
    ],
    ['csv', SOME, 'cidr\n192.0.2.1/32\n198.51.100.0/24\n2001:db8::/32\n'],
    ['json', SOME, '[\n"192.0.2.1/32",\n"198.51.100.0/24",\n"2001:db8::/32"\n]\n'],
    [
      'ipset',
      SOME,
      '# version 7\n# two lines\ncreate drop.list-1 hash:net family inet maxelem 65536\nadd drop.list-1 192.0.2.1/32\nadd drop.list-1 198.51.100.0/24\ncreate drop.list-16 hash:net family inet6 maxelem 65536\nadd drop.list-16 2001:db8::/32\n',
    ],
    [
      'nft',
      SOME,
      '# version 7\n# two lines\ntable inet list_drop_list_1 {\n\tset list_drop_list_1_v4 {\n\t\ttype ipv4_addr\n\t\tflags interval\n\t\telements = {\n\t\t\t192.0.2.1/32,\n\t\t\t198.51.100.0/24\n\t\t}\n\t}\n\tset list_drop_list_1_v6 {\n\t\ttype ipv6_addr\n\t\tflags interval\n\t\telements = {\n\t\t\t2001:db8::/32\n\t\t}\n\t}\n}\n',
    ],
    ['plain', NAMES, '# version 7\n# two lines\na.example\nb_1.example\n'],
    ['csv', NAMES, 'name\na.example\nb_1.example\n'],
    ['json', NAMES, '[\n"a.example",\n"b_1.example"\n]\n'],
    ['json', nameListOf([], false), '[]\n'],
    ['hosts', NAMES, '# version 7\n# two lines\n0.0.0.0 a.example\n0.0.0.0 b_1.example\n'],
    ['adblock', NAMES, '[Adblock Plus 2.0]\n! version 7\n! two lines\na.example\nb_1.example\n'],
    ['dnsmasq', NAMES, '# version 7\n# two lines\naddress=/a.example/\naddress=/b_1.example/\n'],
    [
      'rpz',
      NAMES,
      '$TTL 300\n; version 7\n; two lines\n@ SOA localhost. root.localhost. 1 3600 600 86400 300\n  NS localhost.\na.example CNAME .\nb_1.example CNAME .\n',
    ],
    ['plain', BELOW, '# version 7\n# two lines\n.a.example\n*.b.example\nc.example\n'],
    ['csv', BELOW, 'name\n.a.example\n*.b.example\nc.example\n'],
    [
      'adblock',
      BELOW,
      '[Adblock Plus 2.0]\n! version 7\n! two lines\n||a.example^\n||*.b.example^\nc.example\n',
    ],
    [
      'dnsmasq',
      BELOW,
      '# version 7\n# two lines\naddress=/a.example/\naddress=/*.b.example/\naddress=/c.example/\n',
    ],
    [
      'rpz',
      BELOW,
      '$TTL 300\n; version 7\n; two lines\n@ SOA localhost. root.localhost. 1 3600 600 86400 300\n  NS localhost.\na.example CNAME .\n*.a.example CNAME .\n*.b.example CNAME .\nc.example CNAME .\n',
    ],
    [
      'adblock',
      HOLED,
      '[Adblock Plus 2.0]\n! version 7\n! two lines\n||a.example^\n@@||b.a.example^\n@@||*.c.a.example^\n',
    ],
    [
      'dnsmasq',
      HOLED,
      '# version 7\n# two lines\naddress=/a.example/\nserver=/b.a.example/#\nserver=/*.c.a.example/#\n',
    ],
    [
      'rpz',
      HOLED,
      '$TTL 300\n; version 7\n; two lines\n@ SOA localhost. root.localhost. 1 3600 600 86400 300\n  NS localhost.\na.example CNAME .\n*.a.example CNAME .\nb.a.example CNAME rpz-passthru.\n*.b.a.example CNAME rpz-passthru.\n*.c.a.example CNAME rpz-passthru.\n',
    ],
  ] as const)('%s', (format, list, text) => {
    expect(written(list, format)).toBe(text);
  });

  it.each([
    ['hosts', SOME, 'the format hosts holds names, and this list holds addresses'],
    ['nft', NAMES, 'the format nft holds addresses, and this list holds names'],
    [
      'hosts',
      BELOW,
      'the format hosts holds single names, and this list holds entries for what is below a name',
    ],
    ['plain', HOLED, 'the format plain holds entries, and this list holds exceptions'],
    ['json', HOLED, 'the format json holds entries, and this list holds exceptions'],
    [
      'adblock',
      nameListOf(['.a.example', 'c.b.a.example'], false, ['.b.a.example']),
      'the format adblock holds entries, and this list holds entries within exceptions',
    ],
    [
      'dnsmasq',
      nameListOf(['.a.example'], false, ['b.a.example']),
      'the format dnsmasq holds entries, and this list holds exceptions of single names',
    ],
  ] as const)('refuses %s for the other kind', (format, list, reason) => {
    expect(exportList(list, format, OPTIONS)).toEqual({ kind: 'refused', reason });
  });

  it('comes in chunks, none of them long', () => {
    const list = nameListOf(
      Array.from({ length: 20_000 }, (_, i) => `n${i}.example`),
      false,
    );
    for (const { name, holds } of EXPORT_FORMATS) {
      if (holds === 'prefixes') continue;
      const result = exportList(list, name, OPTIONS);
      const lengths = result.kind === 'text' ? Array.from(result.chunks, (chunk) => chunk.length) : [];
      expect(lengths.length).toBeGreaterThanOrEqual(5);
      expect(Math.max(...lengths)).toBeLessThan(200_000);
    }
  });

  it('knows its formats by name', () => {
    expect(isExportFormatName('rpz')).toBe(true);
    expect(isExportFormatName('aws')).toBe(false);
  });
});

const ip4 = fc
  .tuple(fc.nat({ max: 0xffffffff }), fc.nat({ max: 32 }))
  .map(([word, length]) => `${[24, 16, 8, 0].map((shift) => (word >>> shift) & 255).join('.')}/${length}`);
const ip6 = fc
  .tuple(fc.array(fc.nat({ max: 0xffff }), { minLength: 8, maxLength: 8 }), fc.nat({ max: 128 }))
  // 2000::/3, so that nothing is IPv4-mapped.
  .map(
    ([[first = 0, ...groups], length]) =>
      `${[(first & 0x1fff) | 0x2000, ...groups].map((group) => group.toString(16)).join(':')}/${Math.max(3, length)}`,
  );
const label = fc.stringMatching(/^[a-z][a-z0-9_]{0,8}$/);

describe('what is written is read back', () => {
  it.each(EXPORT_FORMATS.filter(({ holds }) => holds !== 'names').map(({ name }) => name))(
    '%s: the same addresses',
    (format) => {
      fc.assert(
        fc.property(fc.array(fc.oneof(ip4, ip6), { minLength: 1, maxLength: 30 }), (texts) => {
          const list = prefixes(...texts);
          const imported = importList('', Buffer.from(written(list, format)));
          expect([imported.rejects, imported.fault, imported.truncated]).toEqual([[], undefined, undefined]);
          // A prefix of length 0 is written to ipset as its halves.
          const whole = (of: List): List =>
            of.kind === 'names' ? of : { ...of, v4: aggregatePrefixes(of.v4), v6: aggregatePrefixes(of.v6) };
          expect(format === 'ipset' ? whole(imported.list) : imported.list).toEqual(
            format === 'ipset' ? whole(list) : list,
          );
        }),
      );
    },
  );

  it.each(EXPORT_FORMATS.filter(({ holds }) => holds !== 'prefixes').map(({ name }) => name))(
    '%s: the same names',
    (format) => {
      // dnsmasq has no names without those below, and hosts files none with them.
      const marks = format === 'hosts' ? [''] : format === 'dnsmasq' ? ['.', '*.'] : ['', '.', '*.'];
      const name = fc
        .tuple(fc.constantFrom(...marks), fc.array(label, { minLength: 1, maxLength: 3 }))
        .map(([mark, labels]) => `${mark}${labels.join('.')}.example`);
      fc.assert(
        fc.property(fc.array(name, { minLength: 1, maxLength: 30 }), (names) => {
          // A plain list with only `*.name` entries is read to include the names themselves.
          const list = nameListOf(format === 'plain' ? [...names, 'a.example'] : names, false);
          const imported = importList('', Buffer.from(written(list, format)));
          expect([imported.rejects, imported.fault]).toEqual([[], undefined]);
          expect(imported.list).toEqual(list);
        }),
      );
    },
  );
});

describe('exceptions that are written', () => {
  const labels = fc.array(fc.constantFrom('a', 'b'), { maxLength: 3 });
  it.each(['adblock', 'dnsmasq', 'rpz'] as const)('%s: are read back, of what it can say', (format) => {
    const marks = format === 'dnsmasq' ? ['.', '*.'] : ['', '.', '*.'];
    const name = fc
      .tuple(fc.constantFrom(...marks), labels)
      .map(([mark, above]) => mark + [...above, 'x.example'].join('.'));
    const names = fc.array(name, { maxLength: 12 });
    let taken = 0;
    fc.assert(
      fc.property(names, names, (entries, exceptions) => {
        const list = nameListOf(entries, false, exceptions);
        const result = exportList(list, format, OPTIONS);
        // What an exception leaves of an entry may be a single name, which dnsmasq has not.
        const isOfOne =
          format === 'dnsmasq' && [...nameTexts(list.names)].some((text) => !/^\*?\./.test(text));
        if (result.kind === 'refused' || isOfOne) return;
        taken += list.exceptions.count;
        const imported = importList('', Buffer.from([...result.chunks].join('')), { format });
        expect([imported.rejects, imported.fault]).toEqual([[], undefined]);
        expect(imported.list).toEqual(list);
      }),
    );
    expect(taken).toBeGreaterThan(20);
  });
});

describe('published lists', () => {
  // Names of lists as they are published, and exceptions of some of them as each format writes them.
  it.each([
    ['drugs-adblock.txt', (name: string) => `@@||${name}^`],
    ['ransomware.dnsmasq.conf', (name: string) => `server=/${name}/#`],
  ])('%s, with exceptions: has all but these, and is written back', (file, exception) => {
    const text = readFileSync(new URL(`../../../test/fixtures/feeds/${file}`, import.meta.url), 'utf8');
    const { list: whole } = importList('', Buffer.from(text));
    if (whole.kind !== 'names') throw new TypeError(whole.kind);
    const hosts = Array.from(nameTexts(whole.names), (name) => name.slice(1));
    const [excepted, gone] = [7, 31].map((step) => hosts.filter((_, i) => i % step === 1)) as [
      string[],
      string[],
    ];
    const lines = [...excepted.map((name) => `www.${name}`), ...gone].map(exception);
    const { list, format, skipped } = importList('', Buffer.from(`${text}\n${lines.join('\n')}\n`));
    if (list.kind !== 'names') throw new TypeError(list.kind);
    expect(skipped.map(({ code }) => code)).not.toContain('exception');
    const [listed, without] = [new Set(hosts), new Set([...excepted.map((name) => `www.${name}`), ...gone])];
    const isIn = (name: string): boolean => {
      const above = name.split('.').map((_, i, labels) => labels.slice(i).join('.'));
      const [entry, exception] = [listed, without].map((set) => above.findIndex((each) => set.has(each)));
      if (entry === undefined || exception === undefined || entry < 0) return false;
      return exception < 0 || (format === 'dnsmasq' && entry < exception); // where the nearest decides
    };
    for (const name of hosts)
      for (const asked of [name, `www.${name}`, `a.${name}`])
        expect([asked, namesStandFor(list, asked)]).toEqual([asked, isIn(asked)]);
    expect(list.exceptions.count).toBeGreaterThan(200);
    expect(importList('', Buffer.from(written(list, format as ExportFormatName))).list).toEqual(list);
  });
});

/** Whether nftables may be used here: the program, and a network namespace of our own. */
function canRunNft(): boolean {
  return spawnSync('unshare', ['-rn', 'nft', 'list', 'ruleset']).status === 0;
}

describe('nftables itself', () => {
  const possible = canRunNft();
  if (!possible && process.env['CI'] !== 'true') {
    console.warn('skipped: nft or a network namespace is not to be had here');
  }

  it.skipIf(!possible && process.env['CI'] !== 'true')(
    'takes what is written, and what it prints is read back',
    () => {
      const list = prefixes('0.0.0.0/1', '192.0.2.1', '198.51.100.0/24', '2001:db8::/32', '2001:db9::1');
      for (const json of [[], ['-j']]) {
        const script = `nft -f - && nft ${json.join(' ')} list ruleset`;
        const run = spawnSync('unshare', ['-rn', 'sh', '-c', script], { input: written(list, 'nft') });
        expect(run.stderr.toString()).toBe('');
        const imported = importList('', run.stdout);
        expect([imported.format, imported.rejects]).toEqual([json.length === 0 ? 'nft' : 'nft-json', []]);
        expect(imported.list).toEqual(list);
      }
    },
  );
});
