import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { detectFormat } from '../src/list/detect-file.ts';

describe('detectFormat', () => {
  it.each([
    ['office.yaml', '192.0.2.1', 'list'],
    ['office.yaml', '# nothing', 'document'],
    ['office.YML', '', 'document'],
    ['ranges.json', '{"prefixes": []}', 'list'],
    [
      'roas.json',
      '{"metadata": {"counts": 1}, "roas": [{"prefix": "192.0.2.0/24", "asn": "AS64500"}]}',
      'list',
    ],
    ['lines.json', '{"ip":"192.0.2.1"}\n{"ip":"192.0.2.2"}\n', 'list'],
    ['ads.yaml', '- a.example\n- b.example\n', 'list'],
    ['ads.yml', '%YAML 1.2\n---\n# ours\n- a.example\n', 'list'],
    ['ads.yml', 'ads:\n  - a.example\n', 'list'],
    ['ads.yml', 'ads:\n  a: b.example\n', 'document'],
    ['set.yaml', 'common:\n  - drop\n', 'document'],
    ['', 'first:\n  egress: [drop]\n', 'document'],
    ['', 'first:\n  - a.example\n', 'list'],
    ['set.json', '{"first": {"ingress": ["drop"]}}', 'document'],
    ['page.json', '{"first": {"url": "x"}, "data": ["192.0.2.1"]}', 'list'],
    ['set.yaml', '- accept dst4=192.0.2.1\n', 'rules'],
    ['work.rules', '192.0.2.1\n', 'list'],
    ['work.rules', 'alert ip [192.0.2.1] any -> any any (sid:1;)\n', 'list'],
    ['', `drop tcp [${'192.0.2.1,'.repeat(400)}192.0.2.2] any -> any any (sid:1;)\n`, 'list'],
    ['', 'drop tcp 192.0.2.1 any -> any any (sid:1;)\n', 'list'],
    ['work.rules', 'drop dst4=192.0.2.1 proto=tcp\n', 'rules'],
    ['work.rules', 'acept\n', 'rules'],
    ['work.rules', '', 'rules'],
    ['ranges.json', '{"prefixes": [{"ipv4Prefix": "192.0.2.0/24"}]}', 'list'],
    ['ranges.yaml', '["192.0.2.0/24"]', 'list'],
    ['', '{"cidr":"192.0.2.0/24","sblid":"SBL1"}\n', 'list'],
    ['', '{"nftables": []}', 'list'],
    ['warning.json', '{"list": [], "type": "cidr"}', 'list'],
    ['cdn.json', '{"addresses":["192.0.2.0/24"],"ipv6_addresses":[]}', 'list'],
    ['set.json', '{"policies": {}, "list": ["192.0.2.0/24"]}', 'document'],
    ['answer.json', '{"message": "no"}', 'list'],
    ['', '{ policies: { default: { egress: [drop] } } }', 'document'],
    ['set.json', '{"lists": {"a": {"entries": []}}}', 'document'],
    ['', '[Adblock Plus 2.0]\n||a.example^\n', 'list'],
    ['-', 'lists:\n  a: {}\n', 'document'],
    ['-', '# x\n---\npolicies: {}\n', 'document'],
    ['-', '{ "policies": {} }', 'document'],
    ['', 'action=accept', 'rules'],
    ['', '\n# my rules\r\n\r\n  drop\r\n', 'rules'],
    ['', 'accept dst4=192.0.2.1', 'rules'],
    ['', 'dst4=192.0.2.1 action=drop', 'rules'],
    ['', 'proto=tcp accept', 'rules'],
    ['', '\ufeffdrop', 'rules'],
    ['list.txt', '192.0.2.1\naction=drop\n', 'list'],
    ['', 'accept.example.com\n', 'list'],
    ['', 'drop-box.example\n', 'list'],
    ['', '; accept\n// drop\n2001:db8::/32\n', 'list'],
    ['', '', 'list'],
    ['', '# only comments\n', 'list'],
  ])('takes %j with %j for a %s', (name, text, format) => {
    expect(detectFormat(name, new TextEncoder().encode(text))).toBe(format);
  });

  it('looks past a long header, but judges no line that its sample cuts', () => {
    const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
    expect(detectFormat('', encode(`${'# header\n'.repeat(2000)}drop\n`))).toBe('rules');
    expect(detectFormat('', encode(`192.0.2.1\n${'drop\n'.repeat(20_000)}`))).toBe('list');
    expect(detectFormat('', encode('#'.repeat(100_000)))).toBe('list');
  });

  it.each(['country-ru-ipv4.netset', 'tor-exit-nodes.lst', 'scam-plain.txt', 'spamhaus-dropv6.txt'])(
    'takes %s for a list',
    (name) => {
      const bytes = readFileSync(new URL(`../../../test/fixtures/lists/${name}`, import.meta.url));
      expect(detectFormat(name, bytes)).toBe('list');
    },
  );
});
