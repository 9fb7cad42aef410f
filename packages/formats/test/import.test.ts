import { describe, expect, it } from 'vitest';
import { isListFormatName, LIST_FORMATS, type ListFormatName } from '../src/collect/format.ts';
import type { ImportOptions } from '../src/collect/options.ts';
import { type ImportedList, importList } from '../src/list/import.ts';
import { shown, textsOf } from './shown.ts';

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function importText(text: string, options: ImportOptions = {}): ImportedList {
  return importList('', bytesOf(text), options);
}

type Case = readonly [
  format: ListFormatName,
  text: string,
  entries: readonly string[],
  skipped: readonly string[],
  rejects: readonly string[],
];

const CASES: readonly Case[] = [
  // Scored tables.
  ['scored', '# a\n192.0.2.1\t10\n192.0.2.2, 3.5\n', ['192.0.2.1/32', '192.0.2.2/32'], ['comment:1'], []],
  ['scored', '192.0.2.0/24 7\n2001:db8::1 2 x\n', ['192.0.2.0/24', '2001:db8::1/128'], [], []],
  [
    'scored',
    '192.0.2.1 1\n192.0.2.2\n192.0.2.3 x\n192.0.2.300 4\n',
    ['192.0.2.1/32'],
    [],
    ['2:10 no-score', '3:11 no-score', '4:1 bad-address'],
  ],
  // What stands between other words.
  [
    'tor',
    `ExitNode ${'0'.repeat(40)}\nPublished 2026-11-30 09:11:02\nLastStatus 2026-11-30 09:11:02\nExitAddress 192.0.2.1 2026-11-30 09:11:02\nExitAddress 2001:db8::1 2026-11-30 09:11:02\nExitAddress 192.0.2.2 198.51.100.7\nExitAddress 192.0.2.300\nExitExit 192.0.2.3\n`,
    ['192.0.2.1/32', '2001:db8::1/128'],
    ['metadata:3'],
    ['6:1 bad-line', '7:13 bad-address', '8:1 bad-line'],
  ],
  [
    'suricata',
    'alert ip [192.0.2.0/24, 198.51.100.7] any -> $HOME_NET any (msg:"a (b; c)"; reference:url,a.example; threshold: type limit, track by_src, seconds 3600, count 1; flags:S; flowbits:set,a.b; noalert; sid:1;)\n#alert ip [192.0.2.1] any -> any any (sid:2;)\nalert tcp $HOME_NET any <> [2001:db8::/32] any (sid:3;)\ndrop ip 203.0.113.9 any -> any any (sid:4;)\n',
    ['192.0.2.0/24', '198.51.100.7/32', '203.0.113.9/32', '2001:db8::/32'],
    ['comment:1'],
    [],
  ],
  [
    'suricata',
    'alert tcp any any -> any 80 (content:"x"; sid:1;)\npass ip [192.0.2.1] any -> any any (sid:2;)\nalert ip ![192.0.2.1] any -> any any (sid:3;)\nalert tcp [192.0.2.1] any -> any 22 (sid:4;)\nalert ip [192.0.2.1] any -> [192.0.2.2] any (sid:5;)\nalert ip [192.0.2.0/24,!192.0.2.1] any -> any any (sid:6;)\nalert ip [192.0.2.1,$BAD] any -> any any (sid:7;)\nalert ip [192.0.2.1] any any\nalert tcp [192.0.2.1] any -> any any (msg:"a;b"; content:"x"; sid:9;)\nalert dns [192.0.2.1] any -> any any (sid:10;)\nalert ip [192.0.2.1] any -> any any (flowbits:isset,x; sid:11;)\n',
    [],
    ['directive:1', 'exception:2', 'partial:4'],
    ['5:1 two-groups', '6:24 bad-suricata-rule', '7:21 bad-suricata-rule', '8:1 bad-suricata-rule'],
  ],
  // Ranges.
  ['ranges', '192.0.2.0-192.0.2.3\n192.0.2.8 - 192.0.2.9\n', ['192.0.2.0/30', '192.0.2.8/31'], [], []],
  [
    'ranges',
    '192.0.2.0,192.0.2.3,NL\n2001:db8::,2001:db8::f,DE\n',
    ['192.0.2.0/30', '2001:db8::/124'],
    [],
    [],
  ],
  [
    'ranges',
    '192.0.2.9,192.0.2.8,NL\n192.0.2.1,2001:db8::,NL\n192.0.2.1,192.0.2.2/32,NL\n192.0.2.4,192.0.2.4,DE\n192.0.3.0,192.0.3.0,DE\n192.0.4.0,192.0.4.0,DE\n192.0.5.0,192.0.5.0,DE\n',
    ['192.0.2.4/32', '192.0.3.0/32', '192.0.4.0/32', '192.0.5.0/32'],
    [],
    ['1:1 reversed-range', '2:1 mixed-families', '3:11 bad-range'],
  ],
  [
    'pfx2as',
    '1.0.4.0\t22\t64500\n1.0.8.0\t21\t64501_64502\n1.0.16.0\t24\t64503,64504\n1.0.17.0\t22\t64500\n1.0.18.0\tx\t64500\n2001:db8::\t32\t64500\n'.concat(
      Array.from({ length: 50 }, (_, i) => `1.0.${i + 32}.0\t24\t64505\n`).join(''),
    ),
    ['1.0.4.0/22', '1.0.8.0/21', '1.0.16.0/24'].concat(
      Array.from({ length: 50 }, (_, i) => `1.0.${i + 32}.0/24`),
      '2001:db8::/32',
    ),
    [],
    ['4:1 host-bits', '5:10 no-entry'],
  ],
  [
    'csv',
    '# ASN | name | address | last seen\n64500  |  EXAMPLE  |  192.0.2.1  |  2026-11-30 10:00:00\n64501 | B | 192.0.2.2 | x\n',
    ['192.0.2.1/32', '192.0.2.2/32'],
    ['comment:1'],
    [],
  ],
  // CSV.
  ['csv', 'Domain,Seen\nA.example,x\nb.example.,y\n', ['a.example', 'b.example'], ['metadata:1'], []],
  [
    'csv',
    'id;IP Address;note\n1;192.0.2.1;"a;b"\n2;"192.0.2.2";c\n',
    ['192.0.2.1/32', '192.0.2.2/32'],
    ['metadata:1'],
    [],
  ],
  ['csv', 'start_ip\tend_ip\tcountry\n192.0.2.0\t192.0.2.1\tNL\n', ['192.0.2.0/31'], ['metadata:1'], []],
  ['csv', 'x,192.0.2.1\ny,192.0.2.2\n', ['192.0.2.1/32', '192.0.2.2/32'], [], []],
  ['csv', '7,a.example\n8,b.example\n', ['a.example', 'b.example'], [], []],
  [
    'csv',
    'ip,x\n192.0.2.1,1\n,2\n192.0.2.2\nfoo,3\n',
    ['192.0.2.1/32', '192.0.2.2/32'],
    ['metadata:1'],
    ['3:1 no-entry', '5:1 name-among-addresses'],
  ],
  ['csv', '# c\n; d\n// e\n192.0.2.1,x\n', ['192.0.2.1/32'], ['comment:3'], []],
  [
    'csv',
    'ip,x\n"192.0.2.1","a\nb"\n192.0.2.2,"c""d"\n"192.0.2.3,e\n',
    ['192.0.2.1/32', '192.0.2.2/32'],
    ['metadata:1'],
    ['5:1 bad-csv'],
  ],
  // Geofeed.
  [
    'geofeed',
    '192.0.2.0/24,NL,NL-NH,Amsterdam,\n2001:db8::/32,,,,\n',
    ['192.0.2.0/24', '2001:db8::/32'],
    [],
    [],
  ],
  ['geofeed', '192.0.2.0/24,NL\n192.0.2.0/33,NL,,,\n', ['192.0.2.0/24'], [], ['2:11 bad-prefix-length']],
  // Delegated statistics.
  [
    'rir',
    '2|ripencc|20260101|4|19830101|20260101|+0000\nripencc|*|ipv4|*|2|summary\nripencc|NL|ipv4|192.0.2.0|256|19930101|allocated\nripencc|DE|ipv4|198.51.100.0|3|19930101|assigned|x\nripencc|NL|asn|1|1|19930101|allocated\nripencc||ipv6|2001:db8::|32||available\n',
    ['192.0.2.0/24', '198.51.100.0/31', '198.51.100.2/32'],
    ['metadata:2', 'asn:1', 'unallocated:1'],
    [],
  ],
  [
    'rir',
    'x|NL|ipv4|192.0.2.0|0|1|allocated\nx|NL|ipv4|255.255.255.255|2|1|allocated\nx|NL|ipv6|2001:db8::|129|1|allocated\nx|NL|ipv6|192.0.2.1|24|1|allocated\nx|NL|foo|1|2|3|4\nx|NL|ipv4|192.0.2.0|1|1|allocated\n',
    ['192.0.2.0/32'],
    [],
    ['1:11 bad-record', '2:11 bad-record', '3:11 bad-record', '4:11 bad-record', '5:1 bad-record'],
  ],
  // PeerGuardian.
  ['p2p', '# c\nSome: body - x:192.0.2.0-192.0.2.3\n', ['192.0.2.0/30'], ['comment:1'], []],
  [
    'p2p',
    'a:192.0.2.0-192.0.2.1\nb:192.0.2.9-192.0.2.8\nc\nd:192.0.2.1-x\n',
    ['192.0.2.0/31'],
    [],
    ['2:3 reversed-range', '3:1 bad-p2p-line', '4:13 bad-range'],
  ],
  // Hosts files.
  [
    'hosts',
    '# c\n0.0.0.0 a.example B.example # d\n:: c.example\n',
    ['a.example', 'b.example', 'c.example'],
    ['comment:1'],
    [],
  ],
  [
    'hosts',
    '127.0.0.1 localhost\n::1 ip6-localhost\nfe80::1%lo0 localhost\n0.0.0.0 0.0.0.0\n255.255.255.255 broadcasthost\n0.0.0.0 a.example\n',
    ['a.example'],
    ['local-name:5'],
    [],
  ],
  [
    'hosts',
    '192.0.2.1 b.example\n127.0.0.1\ta.example\nx y\n0.0.0.0\n0.0.0.0 bad..example\n',
    ['a.example'],
    ['redirect:1'],
    ['3:1 bad-hosts-line', '4:1 bad-hosts-line', '5:9 bad-label'],
  ],
  // Ad blockers.
  [
    'adblock',
    '[Adblock Plus 2.0]\n! c\n||a.example^\n||b.example^$important\n# d\n||x.b.example^\n||b.example^\n',
    ['.a.example', '.b.example', '.x.b.example'],
    ['comment:3'],
    [],
  ],
  [
    'adblock',
    '||a.example^\n@@||b.a.example^\n@@||other.example^\n@@||x.a.example^$third-party\n@@/ad\n##.ad\nexample.com##.ad\nexample.com#@#.ad\n||c.example^$third-party\n||d.example/path\n/banner/\n||*.e.example^\n||192.0.2.1^\n',
    ['.a.example', '*.e.example', '!.b.a.example'],
    ['exception:2', 'cosmetic:3', 'partial:1', 'pattern:2', 'other-kind:1'],
    [],
  ],
  [
    'adblock',
    '||a.example^\n@@||b.a.example^|\n@@|c.a.example^\n@@||*.d.a.example^$important\n||x.b.a.example^\n||y.b.a.example^$important\n||d.a.example^\n||gone.example^\n@@||gone.example^\n@@||192.0.2.1^\n@@||e*.a.example^\n@@||bad..name^\n||f.example^|\n',
    ['.a.example', '.y.b.a.example', 'd.a.example', '!.b.a.example', '!c.a.example', '!*.d.a.example'],
    ['exception:2', 'pattern:1'],
    ['12:5 bad-label'],
  ],
  // One line would take all below .com off the list.
  [
    'adblock',
    '||a.com^\n||b.org^\n@@||com^\n@@||*.co.uk^\n@@|org^\n',
    ['.a.com', '.b.org'],
    [],
    ['3:5 public-suffix', '4:7 public-suffix'],
  ],
  [
    'adblock',
    '||a.example^\nb.example\n0.0.0.0 c.example\nnot a rule\n||bad_.-.example^\n',
    ['.a.example', 'b.example', 'c.example'],
    [],
    ['4:1 bad-adblock-rule', '5:3 bad-label'],
  ],
  [
    'adblock',
    '||a*.example^\n||*b.example^\n||*.c.*^\n||d.example^$denyallow=e.example\n@@||*.lan^\n||com^\n||*.co.uk^\n||lan^\n||github.io^\n||bad..example^\n',
    ['.github.io', 'lan'],
    ['pattern:3', 'partial:1'],
    ['6:3 public-suffix', '7:5 public-suffix', '10:3 bad-label'],
  ],
  // dnsmasq.
  [
    'dnsmasq',
    '# c\nserver=/a.example/\nlocal=/b.example/c.example/\naddress=/d.example/0.0.0.0\naddress=/.e.example/\n',
    ['.a.example', '.b.example', '.c.example', '.d.example', '.e.example'],
    ['comment:1'],
    [],
  ],
  [
    'dnsmasq',
    'server=/a.example/\nserver=/b.example/192.0.2.53\naddress=/c.example/192.0.2.1\nserver=/d.a.example/#\ncache-size=100\nno-resolv\naddress=/*.e.example/\nserver=/x.d.a.example/\nserver=/*.f.a.example/y.example/#\n',
    ['.a.example', '.x.d.a.example', '*.e.example', '!.d.a.example', '!*.f.a.example'],
    ['redirect:2', 'directive:2'],
    [],
  ],
  [
    'dnsmasq',
    'address=/a.example/b.example/#\naddress=/c.example/::\nserver=/d.example/9.9.9.9#53\naddress=/*e.example/\naddress=/net/\nserver=/f.example/g.example/#\n',
    ['.a.example', '.b.example', '.c.example'],
    ['redirect:1', 'pattern:1'],
    ['5:10 public-suffix'],
  ],
  [
    'dnsmasq',
    'server=/a.example/\nserver=/b.example\nserver=/bad..example/\nwhat is this\n',
    ['.a.example'],
    [],
    ['2:9 bad-dnsmasq-line', '3:9 bad-label', '4:1 bad-dnsmasq-line'],
  ],
  // Unbound.
  [
    'unbound',
    'server:\n# c\nlocal-zone: "a.example" always_nxdomain\nlocal-zone: b.example. refuse # d\n  local-zone: "c.example" static\nlocal-zone: "d.example" "always_null"\n',
    ['.a.example', '.b.example', '.c.example', '.d.example'],
    ['directive:1', 'comment:1'],
    [],
  ],
  [
    'unbound',
    'local-zone: "a.example" inform_deny\nlocal-zone: "b.a.example" transparent\nlocal-zone: "c.example" always_transparent\nlocal-zone: "c.b.a.example" static\nlocal-zone: "d.example" redirect\nlocal-data: "d.example A 192.0.2.1"\nlocal-zone: "com" deny\nlocal-zone: "e.example"\nwhat is this\n',
    ['.a.example', '.c.b.a.example', '!.b.a.example'],
    ['redirect:1', 'directive:1'],
    ['7:14 public-suffix', '8:1 bad-unbound-line', '9:1 bad-unbound-line'],
  ],
  // Clash.
  [
    'clash',
    "payload:\n  # c\n  - DOMAIN-SUFFIX,a.example\n  - DOMAIN,b.example\n  - '+.c.example'\n  - \"d.example\" # e\n  - '*.e.example'\n  - .f.example\n",
    ['.a.example', 'b.example', '.c.example', 'd.example', '*.e.example', '*.f.example'],
    ['metadata:1', 'comment:1'],
    [],
  ],
  [
    'clash',
    'DOMAIN-SUFFIX,a.example,REJECT\nDOMAIN-SUFFIX, b.example # c\nDOMAIN-SUFFIX,c.example,DIRECT\nDOMAIN,d.example,Proxy\nDOMAIN-KEYWORD,ads\nIP-CIDR,192.0.2.0/24,no-resolve\nDOMAIN-SUFFIX,com\nDOMAIN,com\nDOMAIN,*.e.example\n- 192.0.2.1\n',
    ['com', '.a.example', '.b.example'],
    ['exception:1', 'redirect:1', 'pattern:1', 'other-kind:1'],
    ['7:15 public-suffix', '9:8 bad-label', '10:3 address-among-names'],
  ],
  // Response policy zones.
  [
    'rpz',
    '$TTL 60\n@ IN SOA localhost. root.localhost. (\n 1 2 3\n 4 5 )\n IN NS localhost.\na.example CNAME . ; c\n*.a.example CNAME .\nb.example 60 IN CNAME *.\nc.example A 0.0.0.0\n  AAAA ::\n',
    ['.a.example', 'b.example', 'c.example'],
    ['metadata:6'],
    [],
  ],
  [
    'rpz',
    '$ORIGIN rpz.test.\n*.a.example.rpz.test. CNAME .\nb.a.example CNAME rpz-passthru.\nc.b.a.example CNAME .\n*.d.a.example CNAME rpz-tcp-only.\n32.1.2.0.192.rpz-ip CNAME rpz-passthru.\n@ CNAME rpz-passthru.\n32.1.2.0.192.rpz-ip CNAME .\nc.example CNAME sink.example.net.\nd.example TXT "x"\n',
    ['*.a.example', 'c.b.a.example', '!b.a.example', '!*.d.a.example'],
    ['metadata:2', 'exception:1', 'partial:1', 'redirect:1', 'directive:1'],
    [],
  ],
  [
    'rpz',
    '$ORIGIN rpz.test.\n*.a.example.rpz.test. CNAME .\n*.b.example CNAME rpz-passthru.\n*.c.example CNAME *.\n*.rpz.test. CNAME .\n*.com CNAME .\ncom CNAME .\n',
    ['com', '*.a.example', '*.c.example'],
    ['metadata:1', 'pattern:1'],
    ['6:3 public-suffix'],
  ],
  [
    'rpz',
    '$TTL 60\na.example CNAME .\nnonsense\nbad..example CNAME .\n',
    ['a.example'],
    ['metadata:1'],
    ['3:1 bad-rpz-record', '4:1 bad-label'],
  ],
  // ipset.
  [
    'ipset',
    'create a hash:net family inet\nadd a 192.0.2.0/24 timeout 7\nadd b 192.0.2.9-192.0.2.10\nadd a 192.0.2.1 nomatch\nadd c 192.0.2.1,tcp:80\n',
    ['192.0.2.0/24'],
    ['metadata:1', 'exception:1', 'partial:1'],
    [],
  ],
  [
    'ipset',
    'create a hash:net\nadd a x\nadd a\nwhat\nadd a 2001:db8::/32\n',
    ['2001:db8::/32'],
    ['metadata:1'],
    ['2:7 bad-address', '3:5 bad-ipset-line', '4:1 bad-ipset-line'],
  ],
  // nftables.
  [
    'nft',
    'table inet t {\n\tset a {\n\t\ttype ipv4_addr\n\t\telements = { 192.0.2.1 timeout 1h expires 5m, 192.0.2.8-192.0.2.9,\n\t\t\t192.0.2.128/25 comment "x, y" }\n\t}\n\tset p { type inet_service; elements = { 22, 80-90 }; }\n\tchain c { ip saddr @a drop; ip daddr { 198.51.100.1 } drop; }\n}\n',
    ['192.0.2.1/32', '192.0.2.8/31', '192.0.2.128/25'],
    ['metadata:10', 'other-kind:2', 'other-column:1'],
    [],
  ],
  [
    'nft',
    'add element inet t a { 192.0.2.1, 2001:db8::/32 }\ndefine x = { 192.0.2.2 } # c\n',
    ['192.0.2.1/32', '192.0.2.2/32', '2001:db8::/32'],
    ['comment:1'],
    [],
  ],
  [
    'nft',
    'table ip t {\n set a {\n  typeof ip saddr . tcp dport\n  elements = { 192.0.2.1 . 80 }\n }\n set b {\n  elements = { 192.0.2.1 . 80, 192.0.2.2 - 192.0.2.3 }\n }\n map m {\n  type ipv4_addr : verdict\n  elements = { 192.0.2.9 : drop }\n }\n}\n',
    ['192.0.2.2/31'],
    ['metadata:6', 'other-kind:2', 'partial:1'],
    [],
  ],
  [
    'nft',
    'table ip t {\n set a {\n  elements = { 192.0.2.1, 192.0.2.2 192.0.2.3, x }\n }\n}\n',
    ['192.0.2.1/32'],
    ['metadata:2'],
    ['3:27 bad-nft', '3:48 bad-address'],
  ],
  // JSON.
  [
    'nft-json',
    '{"nftables": [{"metainfo": {}}, {"set": {"name": "a", "type": "ipv4_addr", "elem": ["192.0.2.1", {"prefix": {"addr": "192.0.2.128", "len": 25}}, {"range": ["192.0.2.8", "192.0.2.9"]}, {"elem": {"val": "192.0.2.3", "timeout": 9}}, {"concat": ["192.0.2.4", 80]}]}}, {"set": {"name": "p", "type": "inet_service", "elem": [80]}}, {"rule": {}}]}',
    ['192.0.2.1/32', '192.0.2.3/32', '192.0.2.8/31', '192.0.2.128/25'],
    ['metadata:2', 'partial:1', 'other-kind:1'],
    [],
  ],
  [
    'aws',
    '{"prefixes": [{"ip_prefix": "192.0.2.0/24"}, {"region": "x"}, 7, {"ip_prefix": "192.0.2.0/33"}], "ipv6_prefixes": [{"ipv6_prefix": "2001:db8::/32"}]}',
    ['192.0.2.0/24', '2001:db8::/32'],
    [],
    ['1:46 bad-record', '1:63 unexpected-value', '1:91 bad-prefix-length'],
  ],
  [
    'google',
    '{"prefixes": [\n {"ipv4Prefix": "192.0.2.0\\/24"},\n {"ipv6Prefix": "2001:db8::\\/129"}]}',
    ['192.0.2.0/24'],
    [],
    ['3:18 bad-prefix-length'],
  ],
  [
    'azure',
    '{"changeNumber": 1, "values": [{"name": "A", "properties": {"region": "", "addressPrefixes": ["192.0.2.0/24", "2001:db8::/32"]}}]}',
    ['192.0.2.0/24', '2001:db8::/32'],
    [],
    [],
  ],
  [
    'oracle',
    '{"regions": [{"region": "a", "cidrs": [{"cidr": "192.0.2.0/24", "tags": ["OSN"]}, {"tags": []}]}]}',
    ['192.0.2.0/24'],
    [],
    ['1:83 bad-record'],
  ],
  [
    'github',
    '{"verifiable_password_authentication": false, "ssh_keys": ["ssh-ed25519 AAAA"], "hooks": ["192.0.2.0/24", "2001:db8::/32", "192.0.2.0/99"], "domains": {"x": ["a.example"]}}',
    ['192.0.2.0/24', '2001:db8::/32'],
    ['other-kind:1'],
    ['1:135 bad-prefix-length'],
  ],
  [
    'cloudflare',
    '{"result": {"ipv4_cidrs": ["192.0.2.0/24"], "ipv6_cidrs": ["2001:db8::/32"], "etag": "x"}, "success": true}',
    ['192.0.2.0/24', '2001:db8::/32'],
    [],
    [],
  ],
  ['ipverse', '{"asn": 1, "subnets": {"ipv4": ["192.0.2.0/24"], "ipv6": []}}', ['192.0.2.0/24'], [], []],
  [
    'spamhaus',
    '{"cidr":"192.0.2.0/24","sblid":"SBL1"}\n{"sblid":"SBL2"}\n{"cidr":"x/1","sblid":"SBL3"}\n{"type":"metadata","records":3}\n',
    ['192.0.2.0/24'],
    ['metadata:1'],
    ['2:1 bad-record', '3:10 bad-address'],
  ],
  ['misp', '{"list": ["192.0.2.0/24", "FE80::/10"], "type": "cidr"}', ['192.0.2.0/24', 'fe80::/10'], [], []],
  ['misp', '{"list": [".gov", "a.example"], "type": "hostname"}', ['a.example'], [], ['1:13 public-suffix']],
  [
    'misp',
    '{"list": [".metrics.example", "a.example"], "type": "hostname"}',
    ['a.example', '.metrics.example'],
    [],
    [],
  ],
  [
    'json',
    '["192.0.2.1", "2001:db8::/32", 7, "a.example"]',
    ['192.0.2.1/32', '2001:db8::/32'],
    [],
    ['1:32 unexpected-value', '1:36 name-among-addresses'],
  ],
  [
    'json',
    '[{"domain": "a.example", "x": 1}, {"y": 2}, {"name": "x y", "hostname": "b.example"}]',
    ['a.example', 'b.example'],
    [],
    ['1:35 bad-record'],
  ],
  [
    'jsonl',
    '{"CIDR": "192.0.2.0/24", "ASN": 64500, "Hits": 12}\n{"ASN": 1}\n"2001:db8::/32"\n7\n{"ip": "192.0.3.1", "to": "198.51.100.7"}\n',
    ['192.0.2.0/24', '2001:db8::/32'],
    [],
    ['2:1 bad-record', '4:1 unexpected-value', '5:28 second-address'],
  ],
  [
    'vrp',
    '{"metadata": {"vrps": 2}, "roas": [{"asn": 64500, "prefix": "192.0.2.0/24", "maxLength": 24}, {"asn": "AS64501"}]}',
    ['192.0.2.0/24'],
    [],
    ['1:95 bad-record'],
  ],
  [
    'o365',
    '[{"id": 1, "serviceArea": "Exchange", "urls": ["*.a.example", "b.example", "c.*.example"], "ips": ["192.0.2.0/24"]}, {"id": 2, "serviceArea": "Common", "urls": ["d.example"]}]',
    ['*.a.example', 'b.example', 'd.example'],
    ['pattern:1'],
    ['1:101 address-among-names'],
  ],
  [
    'json',
    '{"addresses": ["192.0.2.0/24"], "ipv6_addresses": ["2001:db8::/32"]}',
    ['192.0.2.0/24', '2001:db8::/32'],
    [],
    [],
  ],
];

describe('importList: what each format gives, skips and rejects', () => {
  it.each(CASES)('%s %j', (format, text, entries, skipped, rejects) => {
    const imported = importText(text);
    expect(imported.format).toBe(format);
    expect(shown(imported)).toEqual([entries, skipped, rejects]);
    expect(shown(importText(text, { format }))).toEqual([entries, skipped, rejects]);
    expect(shown(importText(`\ufeff${text.replaceAll('\n', '\r\n')}`)).slice(0, 2)).toEqual([
      entries,
      skipped,
    ]);
  });

  it('has a case for every format that gives entries', () => {
    const seen = new Set(CASES.map(([format]) => format));
    const missing = LIST_FORMATS.map(({ name }) => name).filter((name) => !seen.has(name));
    expect(missing).toEqual(['plain', 'netset', 'urls', 'ip-port', 'spamhaus-asn']);
    expect(isListFormatName('hosts') && !isListFormatName('host')).toBe(true);
  });
});

describe('lines that say something else than the others', () => {
  it.each([
    ['clash', 'payload:\n- DOMAIN,a.example\n"first","last"\n', ['a.example'], '3:1 bad-clash-line'],
    [
      'nft',
      'add element inet t a { 192.0.2.1 }\n192.0.2.7,add element inet t a { 192.0.2.9 }\n',
      ['192.0.2.1/32'],
      '2:1 bad-nft',
    ],
    ['plain', 'network;note\na.example\n', ['a.example'], '1:1 words-not-a-name'],
    ['csv', 'by 192.0.2.1;4;x\n192.0.2.2;3;y\n', ['192.0.2.2/32'], '1:1 bad-label'],
  ] as const)('are rejects: %s %j', (format, text, entries, reject) => {
    const [held, , rejects] = shown(importText(text, { format, ...(format === 'csv' && { column: 1 }) }));
    expect([held, rejects]).toEqual([entries, expect.arrayContaining([reject])]);
  });

  it('are counted where they may hold addresses that are not meant', () => {
    const rule = 'alert ip [192.0.2.1] any -> any any (reference:url,198.51.100.7/a; sid:1;)\n';
    expect(shown(importText(rule))).toEqual([['192.0.2.1/32'], ['other-column:1'], []]);
  });
});

describe('hosts of URLs and of ports', () => {
  const URLS =
    '# seen today\nhttp://user@evil.example:8080/a?b\nhxxps://192.0.2.1/x # why\nhttp://[2001:db8::1]:80/\nhttp://a.example/ http://b.example/\nhttp://192.0.2.300/\nevil.example/x\nhttp://good.example\\@evil.example/\n192.0.2.0/24\n';

  it('are taken where somebody says that this is meant', () => {
    const read = importText(URLS, { format: 'urls', kind: 'prefixes' });
    expect(shown(read)).toEqual([
      ['192.0.2.0/24', '2001:db8::1/128'],
      ['comment:1'],
      ['2:13 name-among-addresses', '5:1 bad-line', '6:8 bad-address', '7:1 bad-line', '8:1 bad-line'],
    ]);
    const ports =
      '192.0.2.1:443\n[2001:db8::1]:80 # x\n192.0.2.3\n192.0.2.4:x\n2001:db8::5\n192.0.2.6:99 192.0.2.7:99\n';
    expect(shown(importText(ports, { format: 'ip-port' }))).toEqual([
      ['192.0.2.1/32', '192.0.2.3/32', '2001:db8::1/128', '2001:db8::5/128'],
      [],
      ['4:1 bad-line', '6:1 bad-line'],
    ]);
    expect(
      textsOf(
        importText('http://.evil.example/\nhttp://*.a.example/\nhttp://b.example\n', { format: 'urls' }).list,
      ),
    ).toEqual(['b.example']);
    expect(textsOf(importText('b.example:80\n', { format: 'ip-port', subdomains: true }).list)).toEqual([
      '.b.example',
    ]);
  });

  it('are not taken unasked, for a list says more of a host than a page or a port', () => {
    for (const [text, format] of [
      [URLS, 'urls'],
      ['192.0.2.1:443\n192.0.2.2:80\n', 'ip-port'],
    ]) {
      const { fault, list } = importText(text ?? '');
      expect(fault).toMatchObject({ code: 'to-be-stated' });
      expect(fault?.reason).toContain(`write format: ${format}`);
      expect(textsOf(list)).toEqual([]);
    }
  });
});

const SCORES = '192.0.2.1\t1\n192.0.2.2\t2\n192.0.2.3\t2.5\n';
const AWS =
  '{"prefixes": [{"ip_prefix": "192.0.2.0/24", "region": "eu-west-1", "service": "EC2"},' +
  '{"ip_prefix": "198.51.100.0/24", "region": "us-east-1", "service": "S3", "network_border_group": "us-x"}]}';
const GOOGLE =
  '{"prefixes": [{"ipv4Prefix": "192.0.2.0/24", "service": "Google Cloud", "scope": "europe-west4"},' +
  '{"ipv4Prefix": "198.51.100.0/24", "service": "Google Cloud", "scope": "us-east1"}]}';
const AZURE =
  '{"values": [{"name": "Sql.WestEurope", "properties": {"addressPrefixes": ["192.0.2.0/24"], "region": "westeurope", "systemService": "AzureSQL"}},' +
  '{"name": "X", "properties": {"addressPrefixes": ["198.51.100.0/24"], "region": "", "systemService": ""}}]}';
const ORACLE =
  '{"regions": [{"region": "us-phoenix-1", "cidrs": [{"cidr": "192.0.2.0/24", "tags": ["OCI"]}, {"cidr": "198.51.100.0/24", "tags": ["OSN", "OBJECT_STORAGE"]}]}]}';
const GITHUB =
  '{"verifiable_password_authentication": true, "hooks": ["192.0.2.0/24"], "actions": ["198.51.100.0/24"]}';
const NFT =
  'table inet t {\n set a {\n elements = { 192.0.2.0/24 }\n }\n set b {\n elements = { 198.51.100.0/24 }\n }\n}\n';
const NFT_JSON =
  '{"nftables": [{"set": {"name": "a", "type": "ipv4_addr", "elem": ["192.0.2.1"]}}, {"set": {"name": "b", "type": "ipv4_addr", "elem": ["192.0.2.2"]}}]}';
const TABLE = 'ip,cc,asn,confidence\n192.0.2.1,NL,AS64500,90\n192.0.2.2,DE,64501,10\n';

describe('importList: filters', () => {
  it.each([
    ['minScore', SCORES, { minScore: 2 }, ['192.0.2.2/32', '192.0.2.3/32'], 'low-score:1'],
    ['minScore with a fraction', SCORES, { minScore: 2.25 }, ['192.0.2.3/32'], 'low-score:2'],
    [
      'country of ranges',
      '192.0.2.0,192.0.2.0,NL\n192.0.2.1,192.0.2.1,DE\n',
      { country: ['nl', 'BE'] },
      ['192.0.2.0/32'],
      'other-country:1',
    ],
    [
      'asn of ranges',
      '192.0.2.0,192.0.2.0,64500,"X, Inc"\n192.0.2.1,192.0.2.1,64501,Y\n',
      { asn: [64501] },
      ['192.0.2.1/32'],
      'other-asn:1',
    ],
    ['country of a table', TABLE, { country: ['DE'] }, ['192.0.2.2/32'], 'other-country:1'],
    ['asn of a table', TABLE, { asn: [64500] }, ['192.0.2.1/32'], 'other-asn:1'],
    ['score of a table', TABLE, { minScore: 50 }, ['192.0.2.1/32'], 'low-score:1'],
    [
      'country of a geofeed',
      '192.0.2.0/24,NL,NL-NH,A,\n198.51.100.0/24,US,US-NY,B,\n',
      { country: ['us'] },
      ['198.51.100.0/24'],
      'other-country:1',
    ],
    [
      'region of a geofeed',
      '192.0.2.0/24,NL,NL-NH,A,\n198.51.100.0/24,US,US-NY,B,\n',
      { region: ['nl-nh'] },
      ['192.0.2.0/24'],
      'other-region:1',
    ],
    [
      'country of statistics',
      'x|NL|ipv4|192.0.2.0|1|1|allocated\nx|DE|ipv4|192.0.2.1|1|1|assigned\n',
      { country: ['NL'] },
      ['192.0.2.0/32'],
      'other-country:1',
    ],
    ['region of AWS', AWS, { region: ['EU-west-1'] }, ['192.0.2.0/24'], 'other-region:1'],
    ['border group of AWS', AWS, { region: ['us-x'] }, ['198.51.100.0/24'], 'other-region:1'],
    ['service of AWS', AWS, { service: ['s3'] }, ['198.51.100.0/24'], 'other-service:1'],
    ['scope of Google', GOOGLE, { region: ['us-east1'] }, ['198.51.100.0/24'], 'other-region:1'],
    ['tag of Azure', AZURE, { tag: ['sql.westeurope'] }, ['192.0.2.0/24'], 'other-tag:1'],
    ['service of Azure', AZURE, { service: ['azuresql'] }, ['192.0.2.0/24'], 'other-service:1'],
    ['region of Azure', AZURE, { region: ['westeurope'] }, ['192.0.2.0/24'], 'other-region:1'],
    ['tag of Oracle', ORACLE, { tag: ['object_storage'] }, ['198.51.100.0/24'], 'other-tag:1'],
    ['key of GitHub', GITHUB, { service: ['hooks'] }, ['192.0.2.0/24'], 'other-service:1'],
    [
      'set of ipset',
      'create a hash:net\nadd a 192.0.2.1\nadd b 192.0.2.2\n',
      { set: ['b'] },
      ['192.0.2.2/32'],
      'other-set:1',
    ],
    [
      'asn of pfx2as, of several systems',
      '1.0.4.0\t22\t64500\n1.0.8.0\t21\t64501_64502\n1.0.16.0\t20\t64503,64500\n',
      { asn: [64500, 64502] },
      ['1.0.4.0/22', '1.0.8.0/21', '1.0.16.0/20'],
      undefined,
    ],
    [
      'asn of pfx2as',
      '1.0.4.0\t22\t64500\n1.0.8.0\t21\t64501_64502\n',
      { asn: [64500] },
      ['1.0.4.0/22'],
      'other-asn:1',
    ],
    [
      'asn of payloads',
      '{"metadata": {}, "roas": [{"asn": 64500, "prefix": "192.0.2.0/24"}, {"asn": "AS64501", "prefix": "198.51.100.0/24"}]}',
      { asn: [64501] },
      ['198.51.100.0/24'],
      'other-asn:1',
    ],
    [
      'asn of objects, one a line',
      '{"CIDR": "192.0.2.0/24", "ASN": 64500}\n{"CIDR": "198.51.100.0/24", "ASN": 64501}\n{"CIDR": "203.0.113.0/24"}\n',
      { asn: [64501] },
      ['198.51.100.0/24'],
      'other-asn:2',
    ],
    [
      'service of Microsoft 365',
      '[{"serviceArea": "Exchange", "ips": ["192.0.2.0/24"]}, {"serviceArea": "Skype", "ips": ["198.51.100.0/24"]}]',
      { service: ['exchange'] },
      ['192.0.2.0/24'],
      'other-service:1',
    ],
    ['set of nftables', NFT, { set: ['b'] }, ['198.51.100.0/24'], 'other-set:1'],
    ['set of nftables JSON', NFT_JSON, { set: ['a'] }, ['192.0.2.1/32'], 'other-set:1'],
  ] as const)('%s', (_name, text, options, entries, skipped) => {
    const imported = importText(text, options);
    expect(imported.rejects).toEqual([]);
    expect(textsOf(imported.list)).toEqual(entries);
    expect(imported.skipped.map(({ code, count }) => `${code}:${count}`)).toEqual(
      skipped === undefined ? [] : expect.arrayContaining([skipped]),
    );
  });

  it.each([
    ['by title', 'name,ip,gateway\nx,192.0.2.1,192.0.2.254\n', { column: 'Gateway' }, ['192.0.2.254/32']],
    ['by number', 'name,ip,gateway\nx,192.0.2.1,192.0.2.254\n', { column: 3 }, ['192.0.2.254/32']],
    [
      'by number without a header',
      '192.0.2.1,192.0.2.254,x\n',
      { column: 2, format: 'csv' },
      ['192.0.2.254/32'],
    ],
    ['of names', 'ip,host\n192.0.2.1,a.example\n', { kind: 'names' }, ['a.example']],
    ['a key of JSON', '[{"ip": "192.0.2.1", "via": "192.0.2.2"}]', { column: 'via' }, ['192.0.2.2/32']],
  ] as const)('column %s', (_name, text, options, entries) => {
    const imported = importText(text, options);
    expect([textsOf(imported.list), imported.rejects]).toEqual([entries, []]);
  });

  it.each([
    [
      'hosts',
      '0.0.0.0 a.example\n',
      { country: ['NL'] },
      'useless-filter',
      /picked by country: the format hosts takes no filter/,
    ],
    ['csv', 'ip,x\n192.0.2.1,1\n', { country: ['NL'] }, 'no-such-column', /no column of country/],
    ['csv', 'ip,x\n192.0.2.1,1\n', { minScore: 5 }, 'no-such-column', /no column of scores/],
    ['csv', 'ip,x\n192.0.2.1,1\n', { column: 'y' }, 'no-such-column', /no column "y": its header has ip, x/],
    ['csv', 'ip,x\n192.0.2.1,1\n', { column: 0 }, 'no-such-column', /counted from 1/],
    ['csv', '192.0.2.1,1\n', { column: 'y', format: 'csv' }, 'no-such-column', /no column "y"/],
    [
      'hosts',
      '0.0.0.0 a.example\n',
      { kind: 'prefixes' },
      'wrong-kind',
      /holds names, and prefixes are asked for/,
    ],
    ['aws', AWS, { tag: ['x'] }, 'useless-filter', /takes only region, service/],
    ['plain', '192.0.2.1\n', { minScore: 3 }, 'useless-filter', /picked by min-score: the format plain/],
  ] as const)('%s %j with %j is refused as a whole', (format, text, options, code, reason) => {
    const { fault, rejectCount, ...imported } = importText(text, { format, ...options });
    expect(imported.format).toBe(format);
    expect([fault?.code, rejectCount]).toEqual([code, 1]);
    expect(fault?.reason).toMatch(reason);
    expect(textsOf(imported.list)).toEqual([]);
  });
});

describe('importList: the list', () => {
  it.each(['', '\n \n', '\ufeff'])(
    'nothing at all, %j, is empty and no fault, whatever is to be picked',
    (text) => {
      expect(importText(text, { minScore: 3, country: ['NL'] })).toMatchObject({
        entries: 0,
        rejectCount: 0,
      });
    },
  );

  it('adjacent prefixes merge only where that is asked for, covered ones always', () => {
    const text = '192.0.2.0/25\n192.0.2.128/25\n192.0.2.7\n2001:db8::/33\n2001:db8:8000::/33\n';
    expect(textsOf(importText(text).list)).toEqual([
      '192.0.2.0/25',
      '192.0.2.128/25',
      '2001:db8::/33',
      '2001:db8:8000::/33',
    ]);
    expect(textsOf(importText(text, { aggregate: true }).list)).toEqual(['192.0.2.0/24', '2001:db8::/32']);
    const table = '192.0.2.0,192.0.2.0,NL\n192.0.2.1,192.0.2.1,NL\n';
    expect(textsOf(importText(table, { aggregate: true }).list)).toEqual(['192.0.2.0/31']);
  });

  it('holds more names than a rule could use', () => {
    const text = Array.from({ length: 5000 }, (_, i) => `0.0.0.0 n${i}.example\n`).join('');
    const imported = importText(text, { resolve: true });
    expect([imported.entries, imported.rejectCount]).toEqual([5000, 0]);
    expect(imported.list).toMatchObject({ kind: 'names', resolve: true });
  });

  it.each([
    ['mixed, as written', 'a.example\n*.a.example\n*.b.example\n', ['.a.example', '*.b.example'], 0],
    ['*.name alone', '# c\n*.a.example\n\n*.b.example # d\n', ['.a.example', '.b.example'], 2],
    ['*.name and what is no entry', 'not a list\n*.a.example\n', ['.a.example'], 1],
    ['*.name and .name', '*.a.example\n.b.example\n', ['*.a.example', '.b.example'], 0],
    ['.name, and +.name of Clash', '.a.example\n+.b.example\n', ['.a.example', '.b.example'], 0],
    ['in any case, with a dot at the end', '*.A.example.\nB.example\n', ['*.a.example', 'b.example'], 0],
    ['in a table', 'domain,note\n*.a.example,x\n.b.example,y\n', ['*.a.example', '.b.example'], 0],
    ['in JSON', '["*.a.example", ".b.example"]', ['*.a.example', '.b.example'], 0],
  ] as const)('names below others: %s', (_, text, names, widened) => {
    for (const options of [{}, { onEntry: () => undefined }]) {
      const imported = importText(text, options);
      expect([textsOf(imported.list), imported.widened]).toEqual([names, widened]);
    }
  });

  it('tells each entry as it stands in the list', () => {
    const told: string[] = [];
    const onEntry = (line: number, column: number, canonical: () => string): void => {
      told.push(`${line}:${column} ${canonical()}`);
    };
    importText('*.a.example\n*.b.example\n', { onEntry });
    importText('||c.example^\nd.example\n', { onEntry, subdomains: true });
    expect(told).toEqual(['1:3 .a.example', '2:3 .b.example', '1:3 .c.example', '2:1 .d.example']);
  });

  it.each([
    ['plain', 'a.example\n*.b.example\n', ['.a.example', '*.b.example']],
    ['csv', 'domain,note\na.example,x\n', ['.a.example']],
    ['json', '["a.example"]', ['.a.example']],
    [
      'adblock',
      '! c\n||a.example^\nb.example\n0.0.0.0 c.example\n',
      ['.a.example', '.b.example', 'c.example'],
    ],
  ] as const)('with subdomains a name that stands alone means all below it: %s', (format, text, names) => {
    const imported = importText(text, { format, subdomains: true });
    expect([textsOf(imported.list), imported.rejectCount]).toEqual([names, 0]);
    expect(textsOf(importText(text, { format, subdomains: false }).list)).toEqual(
      textsOf(importText(text, { format }).list),
    );
  });

  it.each([
    ['hosts', '0.0.0.0 a.example\n'],
    ['rpz', 'a.example CNAME .\n'],
    ['clash', 'DOMAIN,a.example\n'],
  ] as const)('subdomains is refused where the format says what a name is: %s', (format, text) => {
    const { fault, entries } = importText(text, { format, subdomains: true });
    expect([fault?.code, entries]).toEqual(['useless-filter', 0]);
    expect(fault?.reason).toContain(`the format ${format} already says whether names below are meant`);
  });

  it.each([
    ['plain', '.com\n*.com\nCo.Uk\n.foo.ck\n.github.io\n.lan\n', {}, ['1:2', '2:3', '4:2']],
    ['plain', 'com\na.example\n', { subdomains: true }, ['1:1']],
    ['json', '["*.com", ".jp."]', {}, ['1:5', '1:13']],
  ] as const)('what is below a public suffix is a reject: %s %j', (format, text, options, places) => {
    const { rejects } = importText(text, { format, ...options });
    expect(rejects.map(({ line, column, code }) => `${line}:${column} ${code}`)).toEqual(
      places.map((place) => `${place} public-suffix`),
    );
    expect(importText(text, { format, ...options, allowPublicSuffixes: true }).rejects).toEqual([]);
  });

  it.each([
    'scored',
    'ranges',
    'hosts',
    'adblock',
    'rir',
    'p2p',
    'ipset',
    'nft',
    'nft-json',
    'aws',
    'json',
    'spamhaus',
  ] as const)('stops at the limit of entries: %s', (format) => {
    const texts: { readonly [name: string]: string } = {
      scored: '192.0.2.1 1\n192.0.2.2 1\n192.0.2.3 1\n',
      ranges: '192.0.2.1,192.0.2.1\n192.0.2.2,192.0.2.2\n192.0.2.3,192.0.2.3\n',
      hosts: '0.0.0.0 a.example\n0.0.0.0 b.example\n0.0.0.0 c.example\n',
      adblock: '||a.example^\n||b.example^\n||c.example^\n',
      rir: 'x|NL|ipv4|192.0.2.0|1|1|allocated\n'.repeat(3),
      p2p: 'a:192.0.2.0-192.0.2.0\n'.repeat(3),
      ipset: 'add a 192.0.2.1\n'.repeat(3),
      nft: 'add element ip t s { 192.0.2.1, 192.0.2.2, 192.0.2.3 }\n',
      'nft-json': '{"nftables": [{"set": {"elem": ["192.0.2.1", "192.0.2.2", "192.0.2.3"]}}]}',
      aws: `{"prefixes": [${Array(3).fill('{"ip_prefix": "192.0.2.0/24"}').join()}]}`,
      json: '["192.0.2.1", "192.0.2.2", "192.0.2.3"]',
      spamhaus: '{"cidr":"192.0.2.0/24","sblid":"x"}\n'.repeat(3),
    };
    const text = texts[format] ?? '';
    const full = importText(text, { format, limits: { entries: 2 } });
    expect(full.rejects.map(({ code }) => code)).toEqual(['too-many-entries']);
    expect(full.fault).toEqual(full.rejects[0]);
    expect(importText(text, { format, limits: { entries: 3 } }).rejectCount).toBe(0);
  });

  it.each([
    ['plain', '192.0.2.1\n', '192.0.2.x\n'],
    ['p2p', 'a:192.0.2.1-192.0.2.1\n', '192.0.2.1-192.0.2.9\n'],
    ['csv', 'ip,name\n192.0.2.1,a\n', '192.0.2.x,a\n'],
    ['nft', 'add element ip t s { 192.0.2.1 }\n', 'add element ip t s { 192.0.2.x }\n'],
  ] as const)('%s with too many rejects is given up, and no list', (format, good, bad) => {
    const text = good + bad.repeat(9);
    const { fault, rejects, lineCount } = importText(text, { format, limits: { rejects: 5 } });
    expect(rejects).toHaveLength(6);
    expect(rejects.at(-1)).toEqual(fault);
    expect(fault).toMatchObject({
      code: 'too-many-rejects',
      reason: '5 entries that cannot be read: this is no list',
    });
    expect(lineCount).toBeLessThan(9);
    expect(importText(text, { format, limits: { rejects: 10 } }).fault).toBeUndefined();
  });

  it('gives every reject to the listener and keeps the first', () => {
    const seen: number[] = [];
    const { rejects, rejectCount } = importText(`0.0.0.0 a.example\n${'x y\n'.repeat(9)}`, {
      format: 'hosts',
      limits: { rejectsKept: 3 },
      onReject: ({ line }) => seen.push(line),
    });
    expect([rejects.length, rejectCount, seen]).toEqual([3, 9, [2, 3, 4, 5, 6, 7, 8, 9, 10]]);
  });
});
