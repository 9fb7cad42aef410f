/** Files of a push in the formats that lists are published in. */

import { readFileSync } from 'node:fs';
import { type PushedParts, type PushInput, readPushed } from '@rulecast/formats';
import { entryCount, nameListOf } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { bytesOf } from './fresh-publisher.ts';

const NOW = 1_700_000_000;

function push(
  name: string,
  bytes: Uint8Array,
  list?: string,
  names: Pick<PushInput, 'resolve' | 'subdomains' | 'allowPublicSuffixes'> = {},
): PushedParts {
  const input: PushInput = {
    action: 'replace',
    list,
    policy: undefined,
    replaceAll: false,
    ...names,
    files: [{ name, role: 'pushed', bytes }],
  };
  return readPushed(input, NOW);
}

describe('pushed list files', () => {
  it.each([
    ['scam.hosts', 'names', 2214],
    ['drugs-adblock.txt', 'names', 26029],
    ['ransomware.dnsmasq.conf', 'names', 1904],
    ['scam.rpz', 'names', 3000],
    ['blackbook.csv', 'names', 5999],
    ['github-meta.json', 'prefixes', 5468],
    ['spamhaus-drop_v4.ndjson', 'prefixes', 1381],
    ['tor.nft', 'prefixes', 1127],
    ['vpn.ipset-save', 'prefixes', 6000],
    ['delegated-afrinic-20140630.txt', 'prefixes', 3081],
  ] as const)('%s becomes a list of %s', (file, kind, count) => {
    const bytes = readFileSync(new URL(`../../../test/fixtures/feeds/${file}`, import.meta.url));
    const pushed = push(file, bytes, 'feed');
    expect(pushed.rejects).toEqual([]);
    const list = pushed.lists.get('feed');
    expect(list?.kind).toBe(kind);
    expect(list === undefined ? 0 : entryCount(list)).toBe(count);
    expect(pushed.policies.size).toBe(0);
  });

  it.each([
    ['bogus.conf', '# ours\nbogus-nxdomain=192.0.2.1\n', 'directive'],
    ['ads.txt', '! ours\n||a.example/banner^\n||b.example^$third-party\n', 'pattern'],
    ['hide.txt', '##.banner\na.example##.ad\n', 'cosmetic'],
    ['allow.txt', '@@/banner/\n@@||a.example^$third-party\n', 'exception'],
    ['local.conf', 'local-data: "a.example A 192.0.2.1"\n', 'directive'],
    ['zone.rpz', '$TTL 60\na.example CNAME b.example.\n', 'redirect'],
  ])('%s, of which nothing can be used, is refused, also beside one of which all is', (name, text, code) => {
    const [reject, ...others] = push(name, bytesOf(text)).rejects;
    expect(others).toEqual([]);
    expect(reject).toMatchObject({
      file: name,
      code: 'nothing-read',
      reason: expect.stringContaining(`(${code})`),
    });
    const input = { action: 'replace', list: 'both', policy: undefined, replaceAll: false } as const;
    const files = [name, 'other.txt'].map((file) => {
      const bytes = bytesOf(file === name ? text : '192.0.2.1\n');
      return { name: file, role: 'pushed', bytes } as const;
    });
    expect(readPushed({ ...input, files }, NOW).rejects.map(({ file }) => file)).toContain(name);
  });

  it('of another program that begin as those of nftables do are refused, with the lines that do not', () => {
    const text = 'define ASN = 65000;\ndefine BOGONS = [\n  192.0.2.0/24+,\n  198.51.100.0/24+\n];\n';
    expect(push('bird.conf', bytesOf(text)).rejects).toMatchObject([
      { file: 'bird.conf', line: 3, code: 'bad-nft' },
      { file: 'bird.conf', line: 4, column: 3, code: 'bad-nft' },
      { file: 'bird.conf', line: 5, column: 1, code: 'bad-nft' },
    ]);
  });

  it.each([
    ['nothing.txt', '# nothing today\n'],
    ['empty.nft', 'table inet t {\n  set s {\n    type ipv4_addr\n  }\n}\n'],
    ['hosts', '127.0.0.1 localhost\n'],
  ])('%s is a list of nothing, of which guards decide', (name, text) => {
    expect(push(name, bytesOf(text), 'a').rejects).toEqual([]);
  });

  it('names below others come with what is said of the names of the push', () => {
    const text = bytesOf('||a.example^\nb.example\n||co.uk^\n');
    expect(push('ads', text).rejects).toMatchObject([{ line: 3, column: 3, code: 'public-suffix' }]);
    const taken = push('ads', text, undefined, {
      resolve: 'firewall',
      subdomains: true,
      allowPublicSuffixes: true,
    });
    expect(taken.rejects).toEqual([]);
    expect(taken.lists.get('ads')).toEqual(nameListOf(['.a.example', '.b.example', '.co.uk'], 'firewall'));
    const resolved = push('ads', bytesOf('a.example\n'), undefined, { resolve: 'publisher' });
    expect(resolved.lists.get('ads')).toEqual(nameListOf(['a.example'], true));
    const yaml = push('ads.yaml', bytesOf("payload:\n  - '+.a.example'\n  - b.example\n"));
    expect(yaml.lists.get('ads')).toEqual(nameListOf(['.a.example', 'b.example'], false));
  });

  it('one bad line refuses, what is knowingly not used does not', () => {
    const good = push('ads.hosts', bytesOf('127.0.0.1 localhost\n0.0.0.0 a.example\n192.0.2.1 b.example\n'));
    expect([good.rejectCount, good.lists.get('ads')]).toEqual([0, nameListOf(['a.example'], false)]);
    const bad = push('ads.hosts', bytesOf('0.0.0.0 a.example\n0.0.0.0 b_.-.example\n0.0.0.0 c.example\n'));
    expect(bad.rejects).toMatchObject([{ file: 'ads.hosts', line: 2, column: 9, code: 'bad-label' }]);
  });

  it('JSON with lists or policies is a rule set document, other JSON a list or refused', () => {
    const document = push('set.json', bytesOf('{"lists": {"a": {"entries": ["192.0.2.1"]}}}'));
    expect([...document.lists.keys()]).toEqual(['a']);
    const list = push('cloud.json', bytesOf('{"prefixes": [{"ipv4Prefix": "192.0.2.0/24"}]}'));
    expect([...list.lists.keys()]).toEqual(['cloud']);
    const other = push('answer.json', bytesOf('{"message": "API rate limit exceeded"}'));
    expect(other.rejectCount).toBeGreaterThan(0);
  });

  it('a page, half a JSON file and an archive are refused with the reason', () => {
    const codes = (name: string, text: string): readonly string[] =>
      push(name, bytesOf(text)).rejects.map(({ code }) => code);
    expect(codes('a.txt', '<html><body>429 Too Many Requests</body></html>')).toEqual(['looks-like-html']);
    expect(codes('a.json', '{"prefixes": [{"ipv4Prefix": "192.0.2.0/24"}, {"ipv4')).toEqual(['truncated']);
    expect(push('a.txt', Uint8Array.of(0x1f, 0x8b, 8, 0)).rejects.map(({ code }) => code)).toEqual([
      'nul-byte',
    ]);
  });

  it('a header that states more than the file holds is no reason to refuse what somebody edited', () => {
    const pushed = push(
      'mine.netset',
      bytesOf('# Entries         : 3 subnets, 768 unique IPs\n192.0.2.0/24\n'),
    );
    expect(pushed.rejects).toEqual([]);
  });
});
