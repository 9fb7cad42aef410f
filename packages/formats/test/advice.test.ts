/**
 * What is said of files that are refused. A line is proposed only where it uses every address, so what it
 * leads to is compared with the addresses of the file, found in the simplest way.
 */

import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { ImportOptions } from '../src/collect/options.ts';
import { jsonQueryOf } from '../src/json/query.ts';
import { acceptImport } from '../src/list/acceptance.ts';
import { adviceOn, importList } from '../src/list/import.ts';
import { finderOf } from '../src/text/pattern.ts';
import { textsOf } from './shown.ts';

function said(text: string): { readonly reason: string; readonly line: string | undefined } {
  const bytes = Buffer.from(text);
  const imported = importList('', bytes);
  const verdict = acceptImport(imported);
  return {
    reason: verdict.kind === 'refused' ? verdict.reason : '',
    line: adviceOn(imported, '', bytes),
  };
}

/** As the line of a configuration is read. */
function optionsOf(line: string): ImportOptions {
  const written: Readonly<Record<string, unknown>> = parse(line);
  const { json, pattern, 'all-addresses': allAddresses } = written;
  const [query, finder] = [jsonQueryOf(String(json)), finderOf(String(pattern))];
  if (json !== undefined && query !== undefined) return { json: query };
  if (pattern !== undefined && typeof finder === 'function') return { pattern: finder };
  return allAddresses === undefined ? {} : { allAddresses: true };
}

function addressesOf(text: string): readonly string[] {
  return (text.match(/(?<![\w.])(?:\d+(?:\.\d+){3}|[\da-f]+:[\da-f:]*::?[\da-f]*)(?:\/\d+)?/g) ?? []).map(
    (found) => (found.includes('/') ? found : `${found}/${found.includes(':') ? 128 : 32}`),
  );
}

const IPTABLES =
  '*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s 192.0.2.1/32 -j DROP\n-A INPUT -s 198.51.100.0/24 -j DROP\nCOMMIT\n';

describe('rules of firewalls', () => {
  it.each([
    ['iptables or UFW', IPTABLES],
    [
      'iptables or UFW',
      '### tuple ### deny any any 0.0.0.0/0 any 192.0.2.1 in\n-A ufw-user-input -s 192.0.2.1 -j DROP\n',
    ],
    ['pf', 'table <bad> persist { 192.0.2.1, 198.51.100.0/24 }\n'],
    ['pf', 'table <bad> const {\n  192.0.2.1,\n  198.51.100.0/24,\n  2001:db8::1 }\n'],
    ['Cisco', 'access-list 101 deny ip host 192.0.2.1 any\naccess-list 101 deny ip host 192.0.2.2 any\n'],
    [
      'Cisco',
      'no ip prefix-list NN\nip prefix-list NN permit 192.0.2.0/24\nip prefix-list NN permit 198.51.100.0/24\n',
    ],
    [
      'RouterOS',
      '/ip firewall address-list\nadd list=CN address=192.0.2.0/24\nadd address=198.51.100.0/24 comment="a b" list=CN\n',
    ],
    ['BIRD', 'route 192.0.2.0/24 blackhole;\nroute 198.51.100.0/24 unreachable;\n'],
    [
      'Junos',
      'policy-options {\nreplace:\n prefix-list NN {\n    192.0.2.0/24;\n    198.51.100.0/24;\n }\n}\n',
    ],
  ])('of %s are refused by name, with the line that takes all of their addresses: %j', (of, text) => {
    const { reason, line = '' } = said(text);
    expect(reason).toBe(
      `rules of ${of}: they have ports, an order and exceptions, and a list has none of that`,
    );
    const imported = importList('', Buffer.from(text), optionsOf(line));
    const meant = text
      .split('\n')
      .filter((row) => !row.startsWith('#'))
      .join('\n');
    expect([new Set(textsOf(imported.list)), imported.rejectCount]).toEqual([new Set(addressesOf(meant)), 0]);
  });

  it.each([
    ['iptables or UFW', 'of a port', IPTABLES.replace('/32 -j', '/32 -p tcp --dport 22 -j')],
    ['iptables or UFW', 'of all but some', IPTABLES.replace('-s 192', '! -s 192')],
    ['iptables or UFW', 'that accepts', IPTABLES.replace('DROP', 'ACCEPT')],
    ['pf', 'with an exception', 'table <bad> persist { 192.0.2.0/24, !192.0.2.1 }\n'],
    [
      'pf',
      'beside others',
      'table <bad> { 192.0.2.1 }\npass in from 198.51.100.7 to any\nblock in from <bad>\n',
    ],
    ['Cisco', 'with a wildcard', 'deny ip 192.0.2.0 0.0.0.255 any\npermit ip any any\n'],
    ['Cisco', 'of longer prefixes', 'ip prefix-list NN permit 192.0.2.0/24 le 32\n'],
    [
      'FortiGate',
      'with masks',
      'config firewall address\nedit "a"\nset subnet 192.0.2.0 255.255.255.0\nnext\nend\n',
    ],
    ['RouterOS', 'that is off', 'add list=a address=192.0.2.1\nadd disabled=yes list=a address=192.0.2.2\n'],
    ['BIRD', 'to a router', 'route 192.0.2.0/24 via 198.51.100.1;\nroute 203.0.113.0/24 blackhole;\n'],
  ])('of %s are not read by any line where one is %s', (of, _, text) => {
    expect(said(text)).toEqual({ reason: expect.stringContaining(`rules of ${of}: `), line: undefined });
  });

  it.each([
    ['pf', '192.0.2.1,\n198.51.100.0/24,\n2001:db8::1,\n'],
    ['Junos', '192.0.2.1/32;\n198.51.100.0/24;\n2001:db8::1/128;\n'],
  ])('are not what has lines as %s has within a set alone', (_, text) => {
    const { rejectCount, fault, list } = importList('', Buffer.from(text));
    expect([fault, rejectCount]).toEqual([undefined, 0]);
    expect(new Set(textsOf(list))).toEqual(new Set(['192.0.2.1/32', '198.51.100.0/24', '2001:db8::1/128']));
  });

  // Patterns that go back took 2^60 and 10^12 steps for these.
  it.each([
    ['RouterOS', `/ip firewall address-list\nadd ${'list="a" '.repeat(60)}!\n`],
    ['pf', `table <x> ${' '.repeat(1_000_000)}!\nblock in\n`],
  ])('of %s take a time that grows with the text alone', (of, text) => {
    expect(said(text)).toEqual({ reason: expect.stringContaining(`rules of ${of}: `), line: undefined });
  });
});

describe('other files', () => {
  it.each([
    [
      '{"agents": {"prefixes_ipv4": ["192.0.2.0/24"], "prefixes_ipv6": ["2001:db8::/32"]}}',
      `json: '$..["prefixes_ipv4","prefixes_ipv6"][*]'`,
    ],
    ['{"ipRanges": ["192.0.2.0/24"], "n": 4}', "json: '$..ipRanges[*]'"],
    [
      '[{"scope": "Ip", "value": "192.0.2.1"}, {"scope": "Range", "value": "198.51.100.0/24"}]',
      "json: '$..value'",
    ],
    ['{"NN": [{"prefix": "192.0.2.0/24", "exact": true}]}', "json: '$..prefix'"],
    [`{"it's": "192.0.2.1", "n": "x"}`, 'all-addresses: true'], // no path finds it
    ['{"a": "192.0.2.1", "b": ["192.0.2.2"]}', 'all-addresses: true'],
    [`{"type": "indicator", "pattern": "[ipv4-addr:value = '192.0.2.1']"}`, 'all-addresses: true'],
    ['id,source,ip,reason\n1,crowdsec,Ip:192.0.2.1,a\n2,crowdsec,Ip:192.0.2.2,b\n', 'all-addresses: true'],
  ])('%j is read with a line that takes all of its addresses', (text, line) => {
    expect(said(text).line).toBe(line);
    const { list, rejectCount, skipped } = importList('', Buffer.from(text), optionsOf(line));
    expect([new Set(textsOf(list)), rejectCount]).toEqual([new Set(addressesOf(text)), 0]);
    expect(skipped.filter(({ code }) => code !== 'other-line')).toEqual([]);
  });

  it.each([
    ['of URLs', 'http://192.0.2.1/a\nhttp://192.0.2.2/b\n', 'format: urls'],
    [
      'of URLs of both',
      'http://192.0.2.1/a\nhttp://evil.example/b\n',
      'format: urls, and take: addresses or take: names',
    ],
    ['of ports', '192.0.2.1:80\n192.0.2.2:81\n', 'format: ip-port'],
    ['of both', '192.0.2.1\nevil.example\nbad.example\n', 'take: addresses or take: names'],
    ['of both and something else', '192.0.2.1\nevil.example\nbad.example\n-\n', undefined],
    ['of flows', '2026-01-01,192.0.2.1,198.51.100.7,443\n2026-01-01,192.0.2.3,198.51.100.9,443\n', undefined],
    ['of one flow, below a header', 'seen,from,to\n2026-01-01,192.0.2.1,198.51.100.7\n', undefined],
    ['with an address that is none', 'a,Ip:192.0.2.1\nb,Ip:192.0.2.300\n', undefined],
    ['of words', 'This list, as of today, is empty.\nWrite, if you must, to us.\n', undefined],
    ['that is a page', '<html>192.0.2.1</html>', undefined],
    ['that is cut', '{"ipRanges": ["192.0.2.0/24", ', undefined],
  ])('%s: %j', (_, text, line) => {
    expect(said(text).line).toBe(line);
  });
});
