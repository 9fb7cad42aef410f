import { describe, expect, it } from 'vitest';
import { detectListFormat } from '../src/list/detect-list.ts';

function detect(text: string, name = ''): string {
  return detectListFormat(name, new TextEncoder().encode(text));
}

describe('detectListFormat', () => {
  it.each([
    ['', '', 'plain'],
    ['', '# nothing\n', 'plain'],
    ['', '192.0.2.1\n2001:db8::/32\n', 'plain'],
    ['', 'a.example # b\nc.example ; d\n', 'plain'],
    ['', '192.0.2.0/24 ; SBL1\n', 'plain'],
    ['', '# Maintainer: x\n192.0.2.1\n', 'netset'],
    ['', '# Title: x\na.example\n', 'plain'],
    ['', '192.0.2.1-192.0.2.9\n', 'ranges'],
    ['', '192.0.2.1\n192.0.2.3-192.0.2.9\n192.0.2.12\n', 'plain'],
    ['', '192.0.2.1 7\n192.0.2.2 9\n', 'scored'],
    ['', '192.0.2.1;a;b\n', 'csv'],
    ['', 'ip\n192.0.2.1\n', 'csv'],
    ['', '"ip","note"\n', 'csv'],
    ['', '192.0.2.0/24,NL\n', 'geofeed'],
    ['', '127.0.0.1 localhost\n192.0.2.1 a.example\n0.0.0.0 b.example\n', 'hosts'],
    ['', '! Title: x\n||a.example^\n', 'adblock'],
    ['', 'a.example##.ad\n', 'adblock'],
    ['', '##.ad\n', 'adblock'],
    ['', '## Title\n192.0.2.1\n', 'plain'],
    ['', 'server=/a.example/\n', 'dnsmasq'],
    ['', '$TTL 60\na.example CNAME .\n', 'rpz'],
    ['', '*.a.example\n.b.example\n+.c.example\n', 'plain'],
    ['', 'server:\n  local-zone: "a.example" always_nxdomain\n', 'unbound'],
    ['', "# c\npayload:\n  - '+.a.example'\n  - b.example\n", 'clash'],
    ['', 'DOMAIN-SUFFIX,a.example\nDOMAIN,b.example,REJECT\n', 'clash'],
    ['', '  - DOMAIN-KEYWORD,ads\n', 'clash'],
    ['', 'a.example IN CNAME .\nb.example CNAME rpz-passthru.\n', 'rpz'],
    ['', 'add a 192.0.2.1\n', 'ipset'],
    ['', 'add element inet t s { 192.0.2.1 }\n', 'nft'],
    ['', 'table ip6 t {\n', 'nft'],
    ['', '{"prefixes": [], "createDate": "x"}', 'aws'],
    ['', '{"prefixes": [], "creationTime": "x"}', 'google'],
    ['', '{"values": [], "changeNumber": 1}', 'azure'],
    ['', '{"hooks": [], "web": []}', 'github'],
    ['', '{"asn": 64500, "asname": "x"}', 'spamhaus-asn'],
    ['', '{"cidr": "192.0.2.0/24", "sblid": "SBL1"}\n{"cidr": "198.51.100.0/24"}\n', 'spamhaus'],
    ['', '{"cidr": "192.0.2.0/24"}\n{"cidr": "198.51.100.0/24"}\n', 'jsonl'],
    ['', '"192.0.2.0/24"\n"198.51.100.0/24"\n', 'csv'],
    ['', '[{"serviceArea": "Exchange", "ips": []}]', 'o365'],
    ['', '{"metadata": {}, "roas": []}', 'vrp'],
    ['', 'ExitNode 0011\n', 'tor'],
    ['', 'drop tcp [192.0.2.1,192.0.2.2] any -> any any (sid:1;)\n', 'suricata'],
    ['', `alert ip [${'192.0.2.1,'.repeat(400)}192.0.2.2] any -> any any (sid:1;)\n`, 'suricata'],
    ['', 'hxxp://evil.example/\n', 'urls'],
    ['', '192.0.2.1:443\nevil.example:80\n[2001:db8::1]:53\n', 'ip-port'],
    ['', '1.0.4.0\t22\t64500\n', 'pfx2as'],
    ['', '192.0.2.7\t22\t64500\n', 'csv'],
    ['', '64500 | EXAMPLE | 192.0.2.1 | now\n', 'csv'],
    ['', '[]', 'json'],
    ['', '{"anything": 1}', 'json'],
    ['', '\ufeff\n {"nftables": []}', 'nft-json'],
    // The name decides where the content does not.
    ['x.csv', '192.0.2.1\n192.0.2.2\n', 'csv'],
    ['x.csv', 'x\n192.0.2.2\n', 'csv'],
    ['x.hosts', '', 'hosts'],
    ['x.rpz', '; nothing\n', 'rpz'],
    ['x.csv', '0.0.0.0 a.example\n', 'hosts'],
    ['x.json', '192.0.2.1\n', 'plain'],
    ['x.hosts', '192.0.2.1\n', 'plain'],
  ])('%j with %j is %s', (name, text, format) => {
    expect(detect(text, name)).toBe(format);
  });

  it('the format of most lines wins, wherever they stand', () => {
    expect(detect(`a.example\n${'0.0.0.0 b.example\n'.repeat(3)}`)).toBe('hosts');
    expect(detect(`${'0.0.0.0 b.example\n'.repeat(3)}${'||c.example^\n'.repeat(5)}`)).toBe('adblock');
  });

  it('looks at the first 64 KiB, and there at lines that are whole', () => {
    const hosts = '0.0.0.0 a.example\n'.repeat(150);
    const comments = '# nothing to see\n'.repeat(4000);
    expect(detect(hosts + '||b.example^\n'.repeat(100_000))).toBe('hosts');
    expect(detect(`${comments}||b.example^\n`)).toBe('plain');
    expect(detect(`${'# x\n'.repeat(16_000)}||b.example^\n`)).toBe('adblock');
    // JSON is recognised though the sample cuts it.
    expect(detect(`{"prefixes": [${'{"ip_prefix": "192.0.2.0/24"},'.repeat(9000)}`)).toBe('aws');
  });
});
