import {
  emptyPolicy,
  entryCount,
  formatPrefixAt,
  formatRule,
  type List,
  NO_RULES,
  NO_RUNS,
  nameListOf,
  nameTexts,
  type Policy,
  parsePrefix,
  parseRule,
  prefixListOf,
  prefixSetOf,
  RunBuilder,
  type Runs,
  rulesIn,
} from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import { often } from '../../../test/thorough.ts';
import { parseDocument, type RuleSetDocument } from '../src/document/document.ts';
import { documentReferences } from '../src/document/references.ts';
import type { FormatLimits } from '../src/text/limits.ts';
import { formatDocument } from './print-document.ts';

const NOW = 1_750_000_000;

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function read(
  text: string,
  files: Readonly<Record<string, string>> = {},
  limits: Partial<FormatLimits> = {},
): RuleSetDocument {
  const find = (name: string): Uint8Array | undefined => {
    const file = files[name];
    return file === undefined ? undefined : bytesOf(file);
  };
  return parseDocument('set.yaml', bytesOf(text), NOW, find, { limits });
}

/** `line:column code` of every reject, with the file if it is another one. */
function faults(document: RuleSetDocument): readonly string[] {
  return document.rejects.map(({ file, line, column, code }) => {
    const where = file === 'set.yaml' ? '' : `${file}:`;
    return `${where}${line}:${column} ${code}`;
  });
}

function entriesOf(list: List | undefined): readonly string[] {
  if (list === undefined) return [];
  if (list.kind === 'names') return [...nameTexts(list.names)];
  return [list.v4, list.v6].flatMap((column) =>
    Array.from(column.lengths, (_, index) => formatPrefixAt(column, index)),
  );
}

function rulesOf(runs: Runs | undefined, direction: 'egress' | 'ingress' = 'egress'): readonly string[] {
  return Array.from(rulesIn(runs ?? NO_RULES), (rule) => formatRule(rule, direction));
}

const EXAMPLE = `# the whole shape
lists:
  bad:
    entries: [192.0.2.0/24, 2001:db8::/32, 198.51.100.7-198.51.100.9, 198.51.100.0 - 198.51.100.1]
  russia: { file: ./lists/../country-ru.netset }
  ads: { names: [Ads.example, t.example], resolve: true }
  more: { file: /etc/ads.txt, resolve: true }
common:
  egress: [ "drop dst=@russia" ]
  ingress: []
policies:
  work:
    prefixes: [10.137.0.5, 10.137.1.0/24]
    default: accept
    egress:
      - accept specialtarget=dns
      - drop dst=@bad   # a YAML comment
      - action=accept proto=tcp dstports=443
    ingress:
      - accept src4=10.137.0.9 proto=tcp dstports=22
  vault: { prefixes: [10.137.0.6], egress: { file: vault.rules } }
  default:
    egress: [ accept ]
`;
const FILES = {
  'country-ru.netset': '5.8.0.0/19\n2.56.24.0/22\n',
  '/etc/ads.txt': 'b.example\na.example\n',
  'vault.rules': 'accept dst4=192.0.2.1\ndrop\n',
};

describe('parseDocument', () => {
  const document = read(EXAMPLE, FILES);

  it('reads lists, common rules and policies', () => {
    expect(faults(document)).toEqual([]);
    const lists = [...document.lists].map(([name, list]) => [name, list.kind, ...entriesOf(list)]);
    expect(lists).toEqual([
      [
        'bad',
        'prefixes',
        '192.0.2.0/24',
        '198.51.100.0/31',
        '198.51.100.7/32',
        '198.51.100.8/31',
        '2001:db8::/32',
      ],
      ['russia', 'prefixes', '2.56.24.0/22', '5.8.0.0/19'],
      ['ads', 'names', 'ads.example', 't.example'],
      ['more', 'names', 'a.example', 'b.example'],
    ]);
    expect(document.lists.get('ads')).toMatchObject({ resolve: true });
    const policies = [...document.policies.values()].map((policy) => [
      policy.name,
      policy.defaultAction,
      entriesOf(prefixListOf(policy.prefixes)),
      rulesOf(policy.egress),
      rulesOf(policy.ingress, 'ingress'),
    ]);
    expect(policies).toEqual([
      ['common', 'drop', [], ['action=drop dst=@russia'], []],
      [
        'work',
        'accept',
        ['10.137.0.5/32', '10.137.1.0/24'],
        [
          'action=accept specialtarget=dns',
          'action=drop dst=@bad',
          'action=accept proto=tcp dstports=443-443',
        ],
        ['action=accept src4=10.137.0.9/32 proto=tcp dstports=22-22'],
      ],
      ['vault', 'drop', ['10.137.0.6/32'], ['action=accept dst4=192.0.2.1/32', 'action=drop'], []],
      ['default', 'drop', [], ['action=accept'], []],
    ]);
  });

  it('reads exceptions of names, of which the nearest to a name decides', () => {
    const names = '[.a.example, x.b.a.example, .c.example]';
    const exceptions = '[.b.a.example, "*.c.example", y.a.example, com.a.example]';
    const document = read(
      `lists: { a: { names: ${names}, exceptions: ${exceptions}, resolve: firewall } }\n`,
    );
    expect(document.rejects).toEqual([]);
    expect(document.lists.get('a')).toEqual(
      nameListOf(['.a.example', 'x.b.a.example', 'c.example'], 'firewall', [
        '.b.a.example',
        'y.a.example',
        'com.a.example',
      ]),
    );
  });

  it('reads exceptions of both directions, of default for egress, from files too', () => {
    const text = `policies:
  work:
    prefixes: [10.137.0.5]
    exceptions: { egress: [accept dst=@office], ingress: { file: in.rules } }
    egress: [drop]
  default: { exceptions: { egress: [accept dst4=192.0.2.1] } }
`;
    const parsed = read(text, { 'in.rules': 'accept src4=192.0.2.2\n' });
    expect(faults(parsed)).toEqual([]);
    const { work, default: other } = Object.fromEntries(parsed.policies);
    expect([rulesOf(work?.exceptions.egress), rulesOf(work?.exceptions.ingress, 'ingress')]).toEqual([
      ['action=accept dst=@office'],
      ['action=accept src4=192.0.2.2/32'],
    ]);
    expect([rulesOf(work?.egress), rulesOf(work?.ingress, 'ingress')]).toEqual([['action=drop'], []]);
    expect(rulesOf(other?.exceptions.egress)).toEqual(['action=accept dst4=192.0.2.1/32']);
    expect(parsed.references).toEqual(['in.rules']);
    expect(documentReferences('set.yaml', bytesOf(text))).toEqual(['in.rules']);
  });

  it.each([
    ['', undefined],
    ['unmatched: drop\n', 'drop'],
    ['unmatched: accept\n', 'accept'],
    ['unmatched: reject\n', 'drop'], // with a reject; used in spite of it, it would close
  ])('reads what is said of other qubes: %j', (line, expected) => {
    expect(read(`lists: {}\n${line}`).unmatched).toBe(expected);
  });

  it('names the files it needs, normalised, each once', () => {
    const names = ['country-ru.netset', '/etc/ads.txt', 'vault.rules'];
    expect(document.references).toEqual(names);
    expect(documentReferences('set.yaml', bytesOf(EXAMPLE))).toEqual(names);
  });

  it('reads the same from JSON, indented with tabs', () => {
    const json = JSON.stringify(
      {
        lists: {
          bad: { entries: ['192.0.2.0/24', '2001:db8::'] },
          ads: { names: ['t.example'], resolve: true },
        },
        policies: { 'work.1': { prefixes: ['10.137.0.5'], default: 'drop', egress: ['drop dst=@bad'] } },
      },
      null,
      '\t',
    );
    const parsed = read(json);
    expect(faults(parsed)).toEqual([]);
    expect(entriesOf(parsed.lists.get('bad'))).toEqual(['192.0.2.0/24', '2001:db8::/128']);
    expect(rulesOf(parsed.policies.get('work.1')?.egress)).toEqual(['action=drop dst=@bad']);
  });

  it('takes every scalar as the text that was written', () => {
    const parsed = read(
      'policies:\n  2024: { prefixes: [10.0.0.1] }\n  1e3: { prefixes: [10.0.0.2] }\n  null: { prefixes: [10.0.0.3] }\n',
    );
    expect([faults(parsed), [...parsed.policies.keys()]]).toEqual([[], ['2024', '1e3', 'null']]);
  });

  it('shares rules by anchor and alias', () => {
    const parsed = read(
      'policies:\n  a: { prefixes: [10.0.0.1], egress: &web [accept proto=tcp dstports=443, drop] }\n  b: { prefixes: [10.0.0.2], egress: *web }\n',
    );
    expect(faults(parsed)).toEqual([]);
    expect(rulesOf(parsed.policies.get('b')?.egress)).toEqual(rulesOf(parsed.policies.get('a')?.egress));
  });

  it('counts expire=+SECONDS from the given time, inline and in files', () => {
    const parsed = read(
      'common: { egress: [accept expire=+60] }\npolicies:\n  a: { prefixes: [10.0.0.1], egress: { file: r } }\n',
      { r: 'accept expire=+61\n' },
    );
    expect(rulesOf(parsed.policies.get('common')?.egress)).toEqual(['action=accept expire=1750000060']);
    expect(rulesOf(parsed.policies.get('a')?.egress)).toEqual(['action=accept expire=1750000061']);
  });
});

describe('parseDocument: what is refused, and where', () => {
  it.each([
    ['nothing', '', ['1:1 not-a-document']],
    ['comments alone', '# x\n', ['1:1 not-a-document']],
    ['a text', 'accept\n', ['1:1 not-a-document']],
    ['a sequence', '- accept\n', ['1:1 not-a-document']],
    ['JSON of another kind', '{"syncToken": "1", "prefixes": []}', ['1:2 unknown-key', '1:20 unknown-key']],
    ['bad YAML', 'lists: [\n', ['2:1 bad-yaml']],
    ['a tag', 'lists: !x {}\n', ['1:8 bad-yaml']],
    ['two documents', 'lists: {}\n---\nlists: {}\n', ['2:1 second-document']],
    ['a key twice', 'lists: {}\ncommon: {}\nlists: {}\n', ['3:1 duplicate-key']],
    ['a list twice', 'lists:\n  a: { entries: [] }\n  a: { entries: [] }\n', ['3:3 duplicate-key']],
    ['a key that is no text', '? [a]\n: b\n', ['1:3 bad-key']],
    ['an alias to nothing', 'lists: *x\n', ['1:8 bad-alias']],
    ['an alias to itself', 'lists: &x { a: *x }\n', ['1:16 bad-alias']],
    ['an unknown key', 'policy: {}\n', ['1:1 unknown-key']],
    ['an unknown key of a policy', 'policies:\n  a:\n    prefix: [10.0.0.1]\n', ['3:5 unknown-key']],
    ['prefixes of common', 'common:\n  prefixes: [10.0.0.1]\n', ['2:3 unknown-key']],
    ['a missing value', 'policies:\n  a:\n    egress:\n', ['3:5 wrong-type']],
    ['a text for a sequence', 'policies: { a: { egress: drop } }\n', ['1:26 wrong-type']],
    [
      'rules in a mapping',
      'policies: { a: { egress: { files: x } } }\n',
      ['1:26 missing-key', '1:28 unknown-key'],
    ],
    [
      'an address that ends in a colon',
      'lists: { a: { entries: [192.0.2.1, 2001:db8::, ::1] } }\n',
      ['1:36 wrong-type'],
    ],
    ['a default that is none', 'policies: { a: { default: reject } }\n', ['1:27 bad-value']],
    // MEANING.md "Forms to come": what has a meaning, and nothing that enforces it.
    ['private names', 'lists: { a: { names: [], private: true } }\n', ['1:26 misplaced-key']],
    ['private words of another kind', 'lists: { a: { names: [], private: yes } }\n', ['1:35 bad-value']],
    ['names below another', 'lists: { a: { names: [a.example, "*.b.example"] } }\n', ['1:35 unsupported']],
    ['a name and those below it', 'lists: { a: { names: [.b.example] } }\n', ['1:23 unsupported']],
    [
      'what is below a public suffix',
      'lists: { a: { names: [.com, "*.co.uk"], resolve: firewall } }\n',
      ['1:23 public-suffix', '1:30 public-suffix'],
    ],
    [
      'subdomains of names that the publisher resolves',
      'lists: { a: { names: [b.example], resolve: publisher, subdomains: true } }\n',
      ['1:23 unsupported'],
    ],
    [
      'subdomains of addresses',
      'lists: { a: { entries: [192.0.2.1], subdomains: true, allow-public-suffixes: true } }\n',
      ['1:49 resolve-without-names', '1:78 resolve-without-names'],
    ],
    ['a word that is none for blocked', 'policies: { p: { blocked: no } }\n', ['1:27 bad-value']],
    [
      'addresses that the firewall resolved, where traffic comes from',
      'policies:\n  a: { ingress: ["accept src=@resolved"] }\n',
      ['2:30 bad-list-reference'],
    ],
    ['a list called resolved', 'lists: { resolved: { entries: [] } }\n', ['1:10 reserved-list']],
    [
      'exceptions that take nothing away',
      'lists: { a: { names: [.a.example, c.example], exceptions: [b.example, x.c.example, "*.c.example", ..x], resolve: firewall } }\n',
      ['1:60 useless-exception', '1:71 useless-exception', '1:85 useless-exception', '1:100 bad-label'],
    ],
    [
      'exceptions of a file',
      'lists: { a: { file: a.txt, exceptions: [a.example] } }\n',
      ['1:21 missing-file', '1:40 misplaced-key'],
    ],
    [
      'exceptions of addresses',
      'lists: { a: { entries: [], exceptions: [a.example] } }\n',
      ['1:40 resolve-without-names'],
    ],
    ['a resolve that is none', 'lists: { a: { names: [], resolve: yes } }\n', ['1:35 bad-value']],
    ['a list without content', 'lists:\n  a: {}\n', ['2:3 list-without-source']],
    ['a list with two contents', 'lists:\n  a: { entries: [], file: x }\n', ['2:3 list-with-two-sources']],
    ['a bad list name', 'lists:\n  -a: { entries: [] }\n', ['2:3 bad-name']],
    ['a bad policy name', 'policies:\n  "a b": { prefixes: [] }\n', ['2:3 bad-name']],
    [
      'resolve for addresses',
      'lists:\n  a: { entries: [], resolve: true }\n',
      ['2:30 resolve-without-names'],
    ],
    ['a policy called common', 'policies:\n  common: { egress: [] }\n', ['2:3 reserved-policy']],
    [
      'a policy of qubes called first',
      'policies:\n  first: { prefixes: [10.0.0.1] }\n',
      ['2:3 reserved-policy'],
    ],
    ['an accept in first', 'first:\n  egress: [drop, accept]\n', ['2:18 reserved-policy']],
    ['exceptions of first', 'first:\n  exceptions: { egress: [drop] }\n', ['2:3 unknown-key']],
    ['prefixes of first', 'first: { prefixes: [10.0.0.1] }\n', ['1:10 unknown-key']],
    ['a default action of first', 'first: { default: drop }\n', ['1:10 unknown-key']],
    ['how first answers names', 'first: { blocked: null }\n', ['1:10 unknown-key']],
    ['exceptions of common', 'common:\n  exceptions: { egress: [drop] }\n', ['2:3 unknown-key']],
    ['exceptions in a sequence', 'policies: { a: { exceptions: [drop] } }\n', ['1:30 wrong-type']],
    [
      'an unknown key of exceptions',
      'policies: { a: { exceptions: { egres: [] } } }\n',
      ['1:32 unknown-key'],
    ],
    [
      'a bad rule of exceptions',
      'policies: { a: { exceptions: { egress: [dropp] } } }\n',
      ['1:41 unknown-option'],
    ],
    [
      'ingress exceptions of default',
      'policies:\n  default:\n    exceptions: { ingress: [accept] }\n',
      ['3:19 reserved-policy'],
    ],
    ['an unmatched that is none', 'unmatched: reject\n', ['1:12 bad-value']],
    ['an unmatched in other letters', 'unmatched: Accept\n', ['1:12 bad-value']],
    ['an unmatched without a word', 'unmatched:\n', ['1:11 bad-value']],
    ['an unmatched of rules', 'unmatched: [accept]\n', ['1:12 bad-value']],
    ['an unmatched within policies', 'policies: { unmatched: drop }\n', ['1:24 wrong-type']],
    ['prefixes of default', 'policies:\n  default: { prefixes: [10.0.0.1] }\n', ['2:14 reserved-policy']],
    ['ingress of default', 'policies:\n  default:\n    ingress: [accept]\n', ['3:5 reserved-policy']],
    ['a missing file', 'lists:\n  a: { file: ./x/../y.txt }\n', ['2:14 missing-file']],
    ['a file without a name', 'lists:\n  a: { file: "" }\n', ['2:14 bad-reference']],
    [
      'bad entries',
      'lists:\n  a:\n    entries:\n      - 192.0.2.300\n      - "192.0.2.0/33"\n      - ads.example\n      - 192.0.2.1 x\n      - 192.0.2.2-192.0.2.1\n',
      [
        '4:9 bad-address',
        '5:20 bad-prefix-length',
        '6:9 name-among-addresses',
        '7:18 trailing-text',
        '8:9 reversed-range',
      ],
    ],
    [
      'bad names',
      'lists: { a: { names: [a..b, 192.0.2.1, "bü.example"] } }\n',
      ['1:23 bad-label', '1:29 name-is-numeric', '1:41 name-not-ascii'],
    ],
    [
      'bad prefixes',
      'policies:\n  a:\n    prefixes: [10.0.0.1-10.0.0.2, 10.0.0.0/33]\n',
      ['3:16 bad-address', '3:44 bad-prefix-length'],
    ],
    [
      'prefixes twice',
      'policies:\n  a:\n    prefixes: [10.0.0.1, 10.0.0.1/32]\n',
      ['3:26 duplicate-policy-prefix'],
    ],
    [
      'a prefix within another',
      'policies:\n  a:\n    prefixes: [10.0.0.1, 10.0.0.0/8]\n',
      ['3:16 covered-prefix'],
    ],
    [
      'bad rules',
      'policies:\n  a:\n    egress:\n      - accept proto=tpc\n      - "drop dst4=10.0.0.300"\n      - \'dropp\'\n    ingress: [drop dst4=10.0.0.1]\n',
      ['4:22 bad-proto', '5:20 bad-address', '6:10 unknown-option', '7:20 wrong-direction'],
    ],
    [
      'a bad rule that is folded or escaped, at its start',
      'common:\n  egress:\n    - accept\n      proto=tpc\n    - "drop\\x20x"\n',
      ['3:7 bad-proto', '5:7 unknown-option'],
    ],
    [
      'a rule with a colon and a space',
      'common:\n  egress:\n    - accept comment=a: b\n',
      ['3:7 wrong-type'],
    ],
    ['CRLF and a byte order mark', '\ufefflists: {}\r\nx: 1\r\n', ['2:1 unknown-key']],
  ])('%s', (_, text, expected) => {
    expect(faults(read(text))).toEqual(expected);
  });

  it('reports the faults of files under their names, and everything in one pass', () => {
    const parsed = read(
      'lists:\n  a: { file: a.txt }\n  b: { file: b.txt, resolve: true }\n  c: { names: [c..c] }\npolicies:\n  p: { egress: { file: p.rules }, oops: 1 }\n',
      { 'a.txt': '192.0.2.1\n1.2.3\n', 'b.txt': '192.0.2.1\n', 'p.rules': 'accept\n\n drop x\n' },
    );
    expect(faults(parsed)).toEqual([
      '6:35 unknown-key',
      'a.txt:2:1 bad-address',
      'b.txt:1:1 address-among-names',
      '4:16 bad-label',
      'p.rules:3:7 unknown-option',
    ]);
  });

  it('refuses an accept in first, also in its files, with its place', () => {
    const files = { 'f.rules': 'drop dst4=192.0.2.1\ndrop dst4=192.0.2.2\n\n  accept dst4=192.0.2.3\n' };
    const parsed = read('first: { egress: { file: f.rules }, ingress: [accept] }\n', files);
    expect(faults(parsed)).toEqual(['f.rules:4:3 reserved-policy', '1:47 reserved-policy']);
    expect(documentReferences('', bytesOf('first: { egress: { file: f.rules } }\n'))).toEqual(['f.rules']);
  });

  it('says which key was probably meant, and which there are', () => {
    const reasons = read('policys: {}\nzzz: {}\n').rejects.map((reject) => reject.reason);
    expect(reasons).toEqual([
      '"policys" is no key here: did you mean "policies"?',
      '"zzz" is no key here: keys are lists, first, common, policies, unmatched',
    ]);
  });

  it.each([
    [
      'common: { exceptions: { egress: [] } }\n',
      'common has no exceptions, since nothing comes before it: write them as its first rules',
    ],
    [
      'policies: { a: { exceptions: [accept] } }\n',
      'this is a sequence: write exceptions: with egress: or ingress: below it, and the rules below that',
    ],
    [
      'policies:\n  first: { prefixes: [10.0.0.1] }\n',
      'a policy cannot be called first: first: stands at the top level, for drops before all else; give this one another name, as in "first-policy:"',
    ],
    [
      'first: [drop]\n',
      'this is a sequence: write first: with egress: or ingress: below it, and rules that drop below that',
    ],
    ['common: { zzz: 1 }\n', '"zzz" is no key here: keys are egress, ingress, blocked, unlisted'],
    ['unmatched: close\n', 'write drop or accept'],
  ])('says what to write: %s', (text, reason) => {
    expect(read(text).rejects.map((reject) => reject.reason)).toEqual([reason]);
  });

  it('says to quote what YAML took for a mapping', () => {
    const [reject] = read('lists: { a: { entries: [2001:db8::, ::1] } }\n').rejects;
    expect(reject?.reason).toBe(
      'this is a mapping: write text, and put it in quotes if it has a colon at its end or before a space',
    );
  });

  it('keeps the first rejects and counts all', () => {
    const parsed = read(`common: { egress: [${'x, '.repeat(1500)}] }\n`);
    expect([parsed.rejects.length, parsed.rejectCount]).toEqual([1000, 1500]);
  });

  it('refuses bytes that are no UTF-8, and UTF-16', () => {
    const parse = (bytes: readonly number[]): readonly string[] =>
      faults(parseDocument('set.yaml', Uint8Array.from(bytes), NOW, () => undefined));
    expect(parse([0x23, 0x0a, 0x61, 0xff, 0x0a])).toEqual(['2:2 not-utf-8']);
    expect(parse([0xff, 0xfe, 0x61, 0])).toEqual(['1:1 utf-16']);
  });
});

describe('parseDocument: hostile documents', () => {
  it.each([
    ['flow sequences', '['.repeat(100_000), 'nested-too-deep'],
    ['block sequences', '- '.repeat(100_000), 'nested-too-deep'],
    ['flow mappings', '{a: '.repeat(50_000), 'nested-too-deep'],
    ['nested keys', '? '.repeat(100_000), 'bad-key'],
    ['keys within keys', `${'{ ? '.repeat(12)}a`, 'bad-key'],
  ])('refuses deep %s without composing them', (_, text, code) => {
    expect(read(text).rejects.map((reject) => reject.code)).toEqual([code]);
  });

  it('refuses a billion laughs by their size', () => {
    const levels = ['a: &a0 [x, x, x, x, x, x, x, x, x, x]'];
    for (let i = 1; i < 10; i++)
      levels.push(`b${i}: &a${i} [${Array.from({ length: 10 }, () => `*a${i - 1}`).join(', ')}]`);
    expect(faults(read(`${levels.join('\n')}\n`))).toEqual(['1:1 aliases-too-large']);
  });

  it('takes as many bytes and tokens as it says and not one more', () => {
    const text = 'lists: {}\n';
    expect(faults(read(text, {}, { documentBytes: 10 }))).toEqual([]);
    expect(faults(read(text, {}, { documentBytes: 9 }))).toEqual(['1:1 too-large']);
    const tokens = Array.from(
      { length: 40 },
      (_, count) => read(text, {}, { documentTokens: count }).rejectCount,
    );
    const least = tokens.indexOf(0);
    expect(least).toBeGreaterThan(3);
    expect(tokens.slice(least).every((count) => count === 0)).toBe(true);
    expect(faults(read(text, {}, { documentTokens: least - 1 }))).toEqual(['1:1 too-many-tokens']);
  });

  it('reads keys that objects have already like all others', () => {
    expect(faults(read('__proto__: {}\nconstructor: {}\n'))).toEqual(['1:1 unknown-key', '2:1 unknown-key']);
    const parsed = read('lists:\n  constructor: { entries: [192.0.2.1] }\n  __proto__: { entries: [] }\n');
    expect(faults(parsed)).toEqual(['3:3 bad-name']);
    expect(parsed.lists.size).toBe(1);
  });

  it('never throws, whatever the bytes', () => {
    const piece = fc.constantFrom(
      'lists:',
      'policies:',
      ' a:',
      '\n',
      '  ',
      '- ',
      '[',
      ']',
      '{',
      '}',
      ',',
      ': ',
      '? ',
      '&a ',
      '*a',
      '!t ',
      '|',
      '"',
      "'",
      '#',
      'x',
      'egress:',
      'file: x',
      '---\n',
      '...\n',
      '%YAML 1.2\n',
      '\t',
      '\r',
      '\0',
      '<<: ',
      '192.0.2.1',
    );
    const text = fc.array(piece, { maxLength: 60 }).map((pieces) => bytesOf(pieces.join('')));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 100 }), text), (bytes) => {
        const document = parseDocument('x', bytes, NOW, () => undefined);
        expect(document.rejectCount).toBe(document.rejects.length);
        expect(document.rejects.every(({ line, column }) => line >= 1 && column >= 1)).toBe(true);
        expect(documentReferences('x', bytes)).toEqual(expect.arrayContaining([...document.references]));
      }),
      { numRuns: often(500, 2000) },
    );
  });
});

describe('documentReferences', () => {
  it('gives what it can of a document with faults, and nothing of no document', () => {
    const text =
      'lists: { a: { file: a.txt, oops: 1 }, b: x, c: { file: b/./a.txt } }\npolicies: { p: { egress: { file: a.txt }, ingress: { file: ../i } } }\nmore: 1\n';
    expect(documentReferences('x', bytesOf(text))).toEqual(['a.txt', 'b/a.txt', '../i']);
    expect(documentReferences('x', bytesOf('lists: ['))).toEqual([]);
    expect(documentReferences('x', new Uint8Array(0))).toEqual([]);
  });
});

describe('formatDocument', () => {
  it('prints a document that a person would write', () => {
    const { lists, policies, unmatched } = read(
      'policies: { default: { egress: [accept] }, a: { prefixes: [10.0.0.1], exceptions: { egress: [accept dst4=192.0.2.1] }, egress: ["drop dst=@l comment=a: b"], ingress: [drop] } }\nlists: { n: { names: [a.example] }, l: { entries: ["::", 192.0.2.1] }, e: { entries: [] } }\ncommon: {}\nunmatched: accept\n',
    );
    expect(formatDocument({ lists, policies, unmatched })).toBe(`lists:
  e:
    entries: []
  l:
    entries:
      - 192.0.2.1/32
      - "::/128"
  n:
    names:
      - a.example
    resolve: false
common:
  egress: []
policies:
  a:
    prefixes:
      - 10.0.0.1/32
    default: drop
    exceptions:
      egress:
        - action=accept dst4=192.0.2.1/32
    egress:
      - "action=drop dst=@l comment=a: b"
    ingress:
      - action=drop
  default:
    default: drop
    egress:
      - action=accept
unmatched: accept
`);
  });

  it('parses back to the same lists and policies', () => {
    const address = fc.oneof(fc.ipV4(), fc.ipV6());
    const prefix = address.map((text) => parsePrefix(text)).filter((parsed) => typeof parsed !== 'string');
    const prefixList = fc
      .array(prefix, { maxLength: 5 })
      .map((prefixes): List => prefixListOf(prefixSetOf(prefixes)));
    const nameList = fc
      .tuple(
        fc.array(fc.constantFrom('a.example', 'null', 'true.example', '_x.y', '0x1.example')),
        fc.boolean(),
      )
      .map(([names, resolve]): List => nameListOf(names, resolve));
    const names = ['a', '2024', 'null', 'true', 'A.b-c_d', '0x10', 'default', 'first', 'common', 'y.'];
    const name = fc.constantFrom(...names);
    const rule = fc
      .tuple(
        fc.constantFrom('accept', 'drop'),
        fc.constantFrom(
          '',
          ' dst=@null',
          ' dst4=10.0.0.0/8',
          ' dst6=::',
          ' dsthost=a.example',
          ' proto=icmp icmptype=8',
        ),
        fc.constantFrom('', ' comment=a: b', ' comment=[x]; - y', ' comment=/ : ', ' expire=5'),
      )
      .map((parts) => parseRule(parts.join(''), 'egress', NOW))
      .filter((result) => result.kind === 'rule')
      .map((result) => result.rule);
    const runs = fc.array(rule, { maxLength: 6 }).map((rules) => {
      const builder = new RunBuilder();
      for (const one of rules) builder.push(one);
      return builder.build();
    });
    const said = fc.record(
      {
        blocked: fc.constantFrom('nxdomain', 'refused', 'null'),
        unlisted: fc.constantFrom('answer', 'nxdomain'),
      },
      { requiredKeys: [] },
    );
    const policy = fc
      .tuple(name, fc.array(prefix, { maxLength: 2 }), runs, fc.constantFrom('accept', 'drop'), runs, said)
      .map(([policyName, prefixes, egress, defaultAction, exceptions, terms]): Policy => {
        const drops = new RunBuilder();
        for (const one of rulesIn(egress)) if (one.action === 'drop') drops.push(one);
        if (policyName === 'first') return { ...emptyPolicy(policyName), egress: drops.build() };
        const reserved = policyName === 'default' || policyName === 'common';
        return {
          name: policyName,
          ...terms,
          exceptions: policyName === 'common' ? NO_RUNS : { egress: exceptions, ingress: NO_RULES },
          prefixes: prefixSetOf(reserved ? [] : prefixes),
          defaultAction: policyName === 'common' ? 'drop' : defaultAction,
          egress,
          ingress: NO_RULES,
        };
      });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(name, fc.oneof(prefixList, nameList)), { maxLength: 4 }),
        fc.array(policy, { maxLength: 4 }),
        fc.constantFrom(undefined, 'accept' as const, 'drop' as const),
        (listPairs, policyValues, unmatched) => {
          const lists = new Map(listPairs);
          const policies = new Map(policyValues.map((value) => [value.name, value]));
          const parsed = read(formatDocument({ lists, policies, unmatched }));
          expect(faults(parsed)).toEqual([]);
          expect(parsed.lists).toEqual(lists);
          expect(parsed.policies).toEqual(policies);
          expect(parsed.unmatched).toBe(unmatched);
          expect([...parsed.lists.values()].map(entryCount)).toHaveLength(lists.size);
        },
      ),
      { numRuns: often(75, 300) },
    );
  });

  it('tells each rule and entry with the file and place it stands at, and no reject', () => {
    const heard: string[] = [];
    const text = [
      'lists:',
      '  here: { entries: [192.0.2.7-192.0.2.8, "x"] }',
      '  names: { names: [Example.COM] }',
      '  there: { file: there.txt }',
      'policies:',
      '  work: { prefixes: [10.0.0.1], egress: [drop dst=@here, bad], ingress: { file: in.rules } }',
    ].join('\n');
    const files: Readonly<Record<string, string>> = {
      'there.txt': '# none\n2001:db8::1\n',
      'in.rules': 'accept src4=192.0.2.1\n',
    };
    const find = (fileName: string): Uint8Array => bytesOf(files[fileName] ?? '');
    parseDocument('set.yaml', bytesOf(text), NOW, find, {
      onEntry: (kind, file, line, column, canonical) =>
        heard.push(`${kind} ${file}:${line}:${column} ${canonical()}`),
    });
    expect(heard).toEqual([
      'entry set.yaml:2:21 192.0.2.7/32 192.0.2.8/32',
      'entry set.yaml:3:20 example.com',
      'entry there.txt:2:1 2001:db8::1/128',
      'rule set.yaml:6:42 action=drop dst=@here',
      'rule in.rules:1:1 action=accept src4=192.0.2.1/32',
    ]);
  });
});
