/** The publisher's configuration: what it means, and every fault with its place. */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { formatPrefixAt, type PrefixSet } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import { filterKey, LIST_FORMATS } from '../src/collect/format.ts';
import { CONFIG_SCHEMA, LISTS_MAX, parseConfig } from '../src/config/config.ts';
import { isConfig } from '../src/config/detect-config.ts';

const EXAMPLE = fileURLToPath(new URL('../../../examples/publisher.yaml', import.meta.url));

function read(text: string) {
  return parseConfig('/etc/rulecast/publisher.yaml', Buffer.from(text));
}

function configOf(text: string) {
  const { config, rejects } = read(text);
  if (config === undefined) throw new Error(JSON.stringify(rejects));
  return config;
}

function listOf(text: string) {
  const list = configOf(`lists:\n  a: ${text}`).lists.get('a');
  if (list === undefined) throw new Error('there is no list');
  return list;
}

/** `line:column code`, and the reason, of each fault. */
function faults(text: string): readonly (readonly [string, string])[] {
  return read(text).rejects.map(({ line, column, code, reason }) => [`${line}:${column} ${code}`, reason]);
}

function texts({ v4, v6 }: PrefixSet): readonly string[] {
  return [v4, v6].flatMap((column) => Array.from(column.lengths, (_, i) => formatPrefixAt(column, i)));
}

/** Every key that a schema names, at any depth. */
function keysOf(schema: object): readonly string[] {
  const keys: string[] = [];
  for (const [key, value] of Object.entries(schema)) {
    if (typeof value !== 'object' || value === null) continue;
    if (key === 'properties') keys.push(...Object.keys(value));
    keys.push(...keysOf(value));
  }
  return keys;
}

describe('rules:', () => {
  it('is the path of a file, from the folder of the configuration', () => {
    expect(read('rules: rules.yaml\n').config?.rules).toBe('/etc/rulecast/rules.yaml');
    expect(read('lists: {}\n').config?.rules).toBeUndefined();
  });

  it('is not the configuration itself', () => {
    expect(read('name: a\nrules: ./publisher.yaml\n').rejects).toMatchObject([
      { line: 2, column: 1, reason: 'rules: is this file: write a rule set document into another one' },
    ]);
  });

  it.each(['first', 'common', 'policies', 'unmatched'])('is where %s: is to be written', (key) => {
    expect(read(`lists: {}\n${key}: {}\n`).rejects).toMatchObject([
      {
        line: 2,
        column: 1,
        reason: `${key}: is in the file of the rules: write rules: rules.yaml here, and ${key}: there`,
      },
    ]);
  });
});

describe('examples/publisher.yaml', () => {
  const bytes = readFileSync(EXAMPLE);

  it('is accepted whole', () => {
    const { config, rejects } = parseConfig(EXAMPLE, bytes);
    expect(rejects).toEqual([]);
    expect(config?.lists.size).toBe(28); // of which two stand in an expression
    expect(config?.tables.size).toBe(2);
  });

  it('shows every key there is', () => {
    const text = bytes.toString();
    for (const key of new Set(keysOf(CONFIG_SCHEMA))) expect(text, key).toMatch(new RegExp(`\\b${key}:`));
  });
});

describe('the pages about lists', () => {
  const pages = ['sources', 'publisher-yaml', 'list-formats', 'guards'];
  const textOf = (page: string): string =>
    readFileSync(new URL(`../../../docs/reference/${page}.md`, import.meta.url), 'utf8');

  it('have configurations that are accepted whole', () => {
    const blocks = pages.flatMap((page) =>
      Array.from(textOf(page).matchAll(/```yaml\n(.*?)```/gs), ([, block = '']) => block),
    );
    expect(blocks).toHaveLength(8);
    const configurations = blocks.filter((block) => isConfig('a.yaml', Buffer.from(block)));
    expect(configurations).toHaveLength(7); // one is a file of rules
    for (const block of configurations) expect(faults(block)).toEqual([]);
  });

  it('have a row for each format, with what it holds and its filters', () => {
    const rows = textOf('list-formats').matchAll(/^\| `([a-z0-9-]+)` \| .+ \| (.+) \| (.*)\|$/gm);
    const told = Array.from(rows, ([, name, holds, filters = '']) => [name, holds, filters.trim()]);
    const declared = LIST_FORMATS.map(({ name, holds, filters }) => [
      name,
      holds === 'prefixes' ? 'addresses' : holds,
      filters.map((filter) => `\`${filterKey(filter)}\``).join(', '),
    ]);
    expect(told).toEqual(declared);
  });
});

describe('what takes effect at the next start', () => {
  const startOf = (text: string) => Object.fromEntries(configOf(text).startTexts);

  it('is known by its key, and what takes effect at once is not among it', () => {
    const text = 'lists: {}\nmust-reach: [10.0.0.1]\nlimits: { entries: 5, fetches: 2 }\nname: a\n';
    expect(startOf(text)).toEqual({ name: '"a"', 'limits: fetches': '"2"' });
    expect(Object.keys(startOf('subscribers: { a: { qube: b }, c: {} }'))).toEqual(['subscribers']);
    expect(startOf('subscribers: { a: {}, c: {} }')).toEqual({});
  });

  it.each([
    ['listen: unix:/a', '# moved\n\nlisten: [unix:/a]'],
    ['curve: { secret: a, clients: b }', 'curve:\n  clients: b\n  secret: a'],
    ['depot: { directory: a, keep: 3h }', 'depot: { keep: 3h, directory: a }'],
    ['', 'proxy: environment\nhistory: 30d\nlimits: { fetches: 4 }'],
    ['subscribers: { a: { qube: b }, c: {} }', 'subscribers: { d: {}, a: { qube: b } }'],
  ])('is the same in %j and %j', (one, other) => {
    expect(startOf(one)).toEqual(startOf(other));
  });

  it.each([
    ['listen: unix:/a', 'listen: [unix:/a, unix:/b]'],
    ['dns: { servers: 192.0.2.1 }', 'dns: { servers: 192.0.2.2 }'],
    ['', 'proxy: none'],
    ['', 'history: 29d'],
    ['operators: { a: { role: push, qube: b } }', 'operators: { a: { role: admin, qube: b } }'],
    ['subscribers: { a: { qube: b } }', 'subscribers: { a: { qube: c } }'],
  ])('is another in %j and %j', (one, other) => {
    expect(startOf(one)).not.toEqual(startOf(other));
  });
});

describe('what it means', () => {
  it('nothing, if it is empty', () => {
    for (const text of ['', '# nothing\n', '{}']) {
      expect(configOf(text)).toMatchObject({
        name: undefined,
        listen: undefined,
        subscribers: undefined,
        bindings: [],
        depot: undefined,
        fleet: undefined,
        mustReach: [],
        lists: new Map(),
      });
    }
  });

  it('paths start at its folder', () => {
    const config = configOf(
      'state: st\nidentity: ../id\ncurve: { secret: k, clients: [a, /b] }\nlists: { a: { file: x/y } }',
    );
    expect(config.state).toBe('/etc/rulecast/st');
    expect(config.identity).toBe('/etc/id');
    expect(config.curve).toEqual({
      secret: '/etc/rulecast/k',
      clients: ['/etc/rulecast/a', '/b'],
      controlClients: [],
    });
    expect(config.lists.get('a')?.source).toEqual({ kind: 'file', path: '/etc/rulecast/x/y' });
  });

  it('a depot has its directory beside it, and times of its own', () => {
    const standard = { signEveryMs: 60_000, expiresMs: 300_000, keepMs: 7_200_000 };
    expect(configOf('depot: { directory: d }').depot).toEqual({ directory: '/etc/rulecast/d', ...standard });
    expect(configOf('depot: { directory: /d, keep: 1d }').depot).toMatchObject({ keepMs: 86_400_000 });
  });

  it('reports have a socket, a secret beside the file, and a standard time', () => {
    expect(configOf('fleet: { reports: "unix:/r", secret: s }').fleet).toEqual({
      reports: { value: 'unix:/r', line: 1, column: 20 },
      secret: '/etc/rulecast/s',
      everyMs: 300_000,
    });
  });

  it('endpoints keep their place', () => {
    const config = configOf('listen:\n  - unix:/a\n  - unix:/b\ncontrol: unix:/c');
    expect(config.listen).toEqual([
      { value: 'unix:/a', line: 2, column: 5 },
      { value: 'unix:/b', line: 3, column: 5 },
    ]);
    expect(config.control).toEqual([{ value: 'unix:/c', line: 4, column: 10 }]);
  });

  it('lists have defaults, the file has its own, and a list has the last word', () => {
    const config = configOf(
      'defaults: { interval: 1h, shrink: 20%, growth: off, max-coverage: 10%, coverage-change: off, ttl: 2d, aggregate: true }\nlists:\n  a: { url: "https://x.example/" }\n  b: { url: "https://x.example/", interval: 90s, shrink: off, growth: 5%, max-coverage: off, coverage-change: 5% }\n  c: { file: c }',
    );
    expect(config.lists.get('a')).toMatchObject({
      intervalMs: 3_600_000,
      ttlMs: 172_800_000,
      aggregate: true,
      guard: {
        shrinkShare: 0.2,
        growthShare: Number.POSITIVE_INFINITY,
        maxCoverageShare: 0.1,
        coverageChangeShare: Number.POSITIVE_INFINITY,
      },
    });
    expect(config.lists.get('b')).toMatchObject({
      intervalMs: 90_000,
      guard: {
        shrinkShare: 1,
        growthShare: 0.05,
        maxCoverageShare: Number.POSITIVE_INFINITY,
        coverageChangeShare: 0.05,
      },
    });
    expect(config.lists.get('c')?.intervalMs).toBeUndefined(); // it is watched
  });

  it.each([
    ['{ file: x }', 'allow'],
    ['{ dir: x }', 'allow'],
    ['{ url: "https://x.example/" }', 'block'],
    ['{ url: "https://x.example/", purpose: allow }', 'allow'],
    ['{ file: x, purpose: block }', 'block'],
    ['{ names: [a.example] }', 'allow'],
  ])('the purpose of %s is %s', (text, purpose) => {
    expect(listOf(text).purpose).toBe(purpose);
  });

  it.each([
    ['{ file: x }', { quietMs: 2000, unfinishedMs: 30_000 }],
    ['{ dir: x, quiet: 0s, unfinished: never }', { quietMs: 0, unfinishedMs: undefined }],
    ['{ file: x, quiet: 1m, unfinished: 2h }', { quietMs: 60_000, unfinishedMs: 7_200_000 }],
  ])('files of %s rest for %j', (text, rest) => {
    expect(listOf(text).rest).toEqual(rest);
  });

  it('how long files rest is said for all, and for one', () => {
    const config = configOf(
      'defaults: { quiet: 5s, unfinished: never }\nlists:\n  a: { file: a }\n  b: { file: b, unfinished: 1m }\ntables:\n  t: { of: asn, file: t, quiet: 9s }',
    );
    expect(config.lists.get('a')?.rest).toEqual({ quietMs: 5000, unfinishedMs: undefined });
    expect(config.lists.get('b')?.rest).toEqual({ quietMs: 5000, unfinishedMs: 60_000 });
    expect(config.tables.get('t')?.rest).toEqual({ quietMs: 9000, unfinishedMs: 30_000 });
  });

  it('the guards of a feed are at a half unless it says so', () => {
    expect(listOf('{ url: "https://x.example/" }')).toMatchObject({
      intervalMs: 21_600_000,
      jitterShare: 0.1,
      rejectsShare: 0.1,
      mode: 'replace',
      guard: {
        shrinkShare: 0.5,
        growthShare: 0.5,
        maxCoverageShare: 0.25,
        coverageChangeShare: 0.5,
        allowAll: false,
      },
      resolve: false,
      publish: true,
    });
  });

  it('country and asn cut from a table, and pick from what has bytes of its own', () => {
    const config = configOf(
      'tables: { t: { of: country, file: t }, n: { of: asn, file: n } }\nlists:\n  a: { country: [NL, be] }\n  b: { asn: AS13335 }\n  c: { file: c, country: ru, asn: 1 }',
    );
    expect(config.lists.get('a')).toMatchObject({
      source: { kind: 'table', table: 't' },
      reading: { country: ['nl', 'be'] },
    });
    expect(config.lists.get('b')).toMatchObject({
      source: { kind: 'table', table: 'n' },
      reading: { asn: [13335] },
    });
    expect(config.lists.get('c')).toMatchObject({
      source: { kind: 'file' },
      reading: { country: ['ru'], asn: [1] },
    });
  });

  it.each([
    ['', '{ country: ru }', 'country', ['country']],
    ['', '{ asn: 15169 }', 'asn', ['asn']],
    ['', '{ country: ru, table: country }', 'country', ['country']],
    ['', '{ file: x, country: ru }', undefined, []],
    ['', '{ file: x }', undefined, []],
    ['t: { of: country, file: t }', '{ country: ru }', 't', ['t']],
    ['t: { of: country, file: t }', '{ asn: 15169 }', 'asn', ['asn', 't']],
    ['t: { of: country, file: t }', '{ country: ru, table: country }', 'country', ['country', 't']],
    ['country: { of: country, file: t }', '{ country: ru, table: country }', 'country', ['country']],
    [
      'country: { of: country, file: t }, u: { of: country, file: u }',
      '{ country: ru }',
      'country',
      ['country', 'u'],
    ],
  ])('with the tables {%s}, a list %s is cut from %s', (own, list, table, tables) => {
    const config = configOf(`tables: { ${own} }\nlists:\n  a: ${list}`);
    const { source } = config.lists.get('a') ?? {};
    expect(source?.kind === 'table' ? source.table : undefined).toBe(table);
    expect([...config.tables.keys()].sort()).toEqual(tables);
  });

  it('a built-in table is that of five registries, over https, unless a file takes its place', () => {
    const source = (text: string): unknown => configOf(text).tables.get('country')?.source;
    const urls = source('lists: { a: { country: ru } }');
    expect(urls).toMatchObject({ kind: 'url', urls: Array(5).fill(expect.stringMatching(/^https:/)) });
    const own = 'tables: { country: { of: country, file: /t } }\nlists: { a: { country: ru } }';
    expect(source(own)).toEqual({ kind: 'files', paths: ['/t'] });
  });

  it('a company is what it publishes, with its format, or the numbers that it announces by', () => {
    expect(listOf('{ company: cloudflare }')).toMatchObject({
      source: { kind: 'url', urls: expect.arrayContaining(['https://www.cloudflare.com/ips-v4']) },
      reading: { format: 'plain' },
      purpose: 'block',
    });
    expect(listOf('{ company: github }').reading.service).toContain('hooks');
    expect(listOf('{ company: github }').maxUnchangedMs).toBe(Number.POSITIVE_INFINITY);
    expect(listOf("{ url: 'https://a.example/' }").maxUnchangedMs).toBeUndefined();
    const config = configOf('lists: { a: { company: apple, purpose: allow } }');
    expect(config.lists.get('a')).toMatchObject({
      source: { kind: 'table', table: 'asn' },
      reading: { asn: [714, 6185] },
      purpose: 'allow',
    });
    expect([...config.tables.keys()]).toEqual(['asn']);
    const own = 'tables: { t: { of: asn, file: t } }\nlists: { a: { company: apple } }';
    expect(configOf(own).lists.get('a')?.source).toEqual({ kind: 'table', table: 't' });
  });

  it('lists that stand in expressions are lists that are not released, each once', () => {
    const { lists, tables } = configOf(
      'lists:\n  a: { union: [b, { country: RU }], minus: { asn: [AS1, 2] } }\n  b: { file: b }\n  c: { intersect: [b, { country: ru }, { company: apple }] }',
    );
    expect([...lists.keys()]).toEqual(['a', 'b', 'c', 'country.ru', 'asn.as1.2', 'company.apple']);
    expect(lists.get('a')?.source).toMatchObject({ operands: ['b', 'country.ru'], minus: ['asn.as1.2'] });
    expect(lists.get('country.ru')).toMatchObject({ publish: false, reading: { country: ['ru'] } });
    expect(lists.get('asn.as1.2')).toMatchObject({ publish: false, reading: { asn: [1, 2] } });
    expect([...tables.keys()]).toEqual(['country', 'asn']);
    expect(lists.get('a')?.guard.maxCoverageShare).toBe(0.5);
  });

  it('ways to find entries are read and checked, and stand alone', () => {
    const { reading } = listOf("{ file: x, pattern: 'a=(\\S+)', strict: true, take: names }");
    expect(reading).toMatchObject({ pattern: 'a=(\\S+)', strict: true, take: 'names', allAddresses: false });
    expect(listOf('{ file: x, json: "$..ip" }').reading.json).toBe('$..ip');
    expect(listOf('{ file: x, column: 1, delimiter: "#" }').reading.delimiter).toBe('#');
    for (const [text, reason] of [
      ['{ file: x, pattern: "(" }', 'pattern: "(": error parsing regexp: missing closing ): `(`'],
      [
        '{ file: x, json: "ip" }',
        'json: "ip": no path of RFC 9535: write one such as $..prefix or $.data[*].ip',
      ],
      ['{ file: x, delimiter: "ab" }', 'delimiter: "ab": write one sign, such as "#"'],
      ['{ file: x, json: "$", format: json }', 'format: does not go with json:'],
      ['{ file: x, json: "$", pattern: a }', 'pattern: does not go with json:'],
      ['{ file: x, all-addresses: true, min-score: 3 }', 'min-score: does not go with all-addresses:'],
    ] as const)
      expect(faults(`lists: { a: ${text} }\n`).map(([, why]) => why)).toEqual([reason]);
  });

  it('a column is a number or a title', () => {
    expect(listOf('{ file: x, column: 2 }').reading.column).toBe(2);
    expect(listOf('{ file: x, column: "02" }').reading.column).toBe('02');
    expect(listOf('{ file: x, column: Source IP }').reading.column).toBe('Source IP');
  });

  it('words that YAML means something else by are what they say: no is Norway', () => {
    expect(listOf('{ file: x, country: no }').reading.country).toEqual(['no']);
    expect([...configOf('lists: { on: { file: x }, 2024: { file: y } }').lists.keys()]).toEqual([
      'on',
      '2024',
    ]);
  });

  it('never-block takes addresses, prefixes and ranges', () => {
    const { neverBlock } = configOf(
      'never-block: { defaults: false, add: [192.0.2.1, 198.51.100.0/24, 203.0.113.0-203.0.113.3] }',
    );
    expect(neverBlock.defaults).toBe(false);
    expect(texts(neverBlock.add)).toEqual(['192.0.2.1/32', '198.51.100.0/24', '203.0.113.0/30']);
  });

  it('names are resolved and entries are not, unless it says so', () => {
    expect(listOf('{ names: [A.example.] }')).toMatchObject({
      source: { names: ['a.example'] },
      resolve: true,
    });
    expect(listOf('{ names: [a.example], resolve: false }').resolve).toBe(false);
    expect(listOf('{ file: a.txt, resolve: publisher }').resolve).toBe(true);
    expect(listOf('{ file: a.txt, resolve: firewall }').resolve).toBe('firewall');
    expect(listOf('{ file: a.txt, resolve: firewall, private: true }').resolve).toBe('firewall-private');
    expect(listOf('{ file: a.txt, resolve: firewall, private: false }').resolve).toBe('firewall');
  });

  it.each([
    ['resolve: firewall', ['a.example', '.b.example', '*.c.example']],
    ['publish: false', ['a.example', '.b.example', '*.c.example']],
    ['suffixes: as-names', ['a.example', '.b.example', '*.c.example']],
    ['resolve: firewall, subdomains: true', ['.a.example', '.b.example', '*.c.example']],
  ])('names may be below others with %s', (keys, names) => {
    const list = listOf(`{ names: [A.example., .b.example, "*.c.example"], ${keys} }`);
    expect(list.source).toEqual({ kind: 'names', names });
  });

  it('how names of a file are read is said for each list, and nothing else opens', () => {
    const read = (keys: string) => listOf(`{ file: a.txt, resolve: firewall${keys} }`).reading;
    expect(read('')).toMatchObject({ subdomains: false, allowPublicSuffixes: false });
    expect(read(', subdomains: true')).toMatchObject({ subdomains: true, allowPublicSuffixes: false });
    expect(read(', allow-public-suffixes: true')).toMatchObject({
      subdomains: false,
      allowPublicSuffixes: true,
    });
  });
});

/** That a configuration has a fault at a place, whose reason holds these words. */
function expectFault(text: string, place: string, words: string): void {
  const found = faults(text);
  expect(found.map(([at]) => at)).toContain(place);
  expect(found.find(([at]) => at === place)?.[1]).toContain(words);
}

describe('faults', () => {
  it.each([
    ['nme: x', '1:1 unknown-key', 'did you mean "name"?'],
    ['name: a b', '1:7 bad-value', '1 to 63 of A-Z'],
    ['lists:\n  rulectl.block.0: { file: a.txt }', '2:3 bad-name', 'reserved for rulectl block and allow'],
    ['- a', '1:1 bad-value', 'a configuration is a mapping'],
    ['lists: [a]', '1:8 wrong-type', 'write a mapping'],
    ['lists:\n  a/b: { file: x }', '2:3 bad-name', '"a/b" cannot name a list'],
    ['lists:\n  a: { union: b, interval: 1h }\n  b: { file: x }', '2:18 misplaced-key', 'not with union'],
    ['lists:\n  a: { url: "https://x.example/", headers: { a: "b\\nc" } }', '2:46 bad-value', 'is no header'],
    [
      'tables: { t: { of: asn, file: t } }\nlists:\n  a: { country: ru, table: t }',
      '3:28 unknown-table',
      'the table "t" under tables: is not of: country',
    ],
    [
      'tables: { t: { of: asn, file: t }, u: { of: asn, file: u } }\nlists:\n  a: { asn: 1 }',
      '3:8 unknown-table',
      'say which table: t or u',
    ],
    [
      'tables: { country: { of: asn, file: t } }\nlists:\n  a: { country: ru }',
      '3:8 unknown-table',
      'the table "country" under tables: is not of: country',
    ],
    [
      'tables: { asn: { of: country, file: t } }\nlists:\n  a: { asn: 1, table: asn }',
      '3:23 unknown-table',
      'the table "asn" under tables: is not of: asn',
    ],
    ['lists:\n  a: { country: ru, table: asn }', '2:28 unknown-table', 'without table: one is built in'],
    [
      'lists:\n  country.ru: { file: x }\n  a: { union: [{ country: RU }] }',
      '2:3 bad-name',
      'use another name',
    ],
    ['tables:\n  t: { of: asn }', '2:3 list-without-source', 'needs file: or url:'],
    ['tables:\n  t: { file: x }', '2:6 missing-key', 'of: country or of: asn'],
    ['tables:\n  t: { of: asn, file: x, sha256: y }', '2:26 misplaced-key', 'goes with url, not with file'],
    ['never-block: { add: [x] }', '1:22 bad-address', 'is no address'],
    ['never-block: { defaults: yes }', '1:26 bad-value', 'write true or false'],
    ['subscribers: { a/b: {} }', '1:16 bad-name', 'cannot name a subscriber'],
    ['subscribers: [fw]', '1:14 wrong-type', 'write a mapping'],
    ['subscribers: { fw: { key: x } }', '1:22 unknown-key', 'key'],
    ['subscribers: { fw: { curve-key: abc } }', '1:33 bad-value', 'the 40 characters that rulectl keys new'],
    ['subscribers: { fw: { qube: ../x } }', '1:28 bad-value', 'name of a qube'],
    ['subscribers: { fw: { socket: [] } }', '1:30 wrong-type', 'write socket: PATH'],
    ['subscribers: { fw: { socket: { mode: 0600 } } }', '1:30 missing-key', '"path" is missing'],
    // A directory "unix:" was made beside the configuration.
    ['subscribers: { fw: { socket: "unix:/run/x" } }', '1:31 bad-value', 'write a path alone: /run/x'],
    ['subscribers: { fw: { socket: { path: "zmq+ipc:/x" } } }', '1:39 bad-value', 'a path alone: /x'],
    ['operators: { a: { role: push, socket: "qrexec:/run/x" } }', '1:40 bad-value', 'a path alone: /run/x'],
    ['history: 59m', '1:10 bad-value', 'from 1h to 3660d'],
    ['history: 3661d', '1:10 bad-value', 'from 1h to 3660d'],
    ['history: 30', '1:10 bad-value', 'a number and a unit'],
    ['history:', '1:1 bad-value', 'history: has no value'],
    ['history: 1d\nhistory: 2d', '2:1 duplicate-key', 'history'],
    ['limits: { entries: 10,000 }', '1:23 unknown-key', 'write 10000 for 10,000'],
    ['limits: { entries: 10,000, archive-members: 10,000 }', '1:48 duplicate-key', 'write 10000 for 10,000'],
    ['subscribers: { fw: { socket: { path: x, mode: 0666 } } }', '1:47 bad-value', '0660, for its group'],
    ['subscribers: { fw: { socket: { path: x, mode: 0640 } } }', '1:47 bad-value', '0660, for its group'],
    [
      'subscribers: { fw: { socket: { path: x, mode: 0600, group: g } } }',
      '1:47 bad-value',
      'lets no group in',
    ],
    [
      'subscribers: { fw: { socket: { path: x, group: a b } } }',
      '1:48 bad-value',
      'name or number of a group',
    ],
    ['subscribers:\n  a: { qube: q }\n  b: { qube: q }', '3:14 bound-twice', 'bound to a (line 2) already'],
    ['subscribers:\n  a: { socket: x }\n  b: { socket: ./y/../x }', '3:16 bound-twice', 'a (line 2)'],
    [
      `subscribers:\n  a: { curve-key: "${'k'.repeat(40)}" }\n  b: { curve-key: "${'k'.repeat(40)}" }`,
      '3:20 bound-twice',
      'a (line 2)',
    ],
    ['subscribers: { a: { qube: x, qube: y } }', '1:30 duplicate-key', 'qube'],
    ['operators: { a/b: { role: push, qube: q } }', '1:14 bad-name', 'cannot name an operator'],
    ['operators: { a: { qube: q } }', '1:17 missing-key', 'role'],
    ['operators: { a: { role: Push, qube: q } }', '1:25 bad-value', 'push'],
    ['operators: { a: { role: [admin], qube: q } }', '1:25 bad-value', ''],
    ['operators: { a: { role: push } }', '1:14 bad-value', 'write curve-key:, qube: or socket:'],
    ['operators: { a: { role: push, qube: q, allow: x } }', '1:40 unknown-key', 'allow'],
    [
      'operators:\n  a: { role: push, qube: q }\n  b: { role: admin, qube: q }',
      '3:27 bound-twice',
      'a (line 2)',
    ],
    ['must-reach: [192.0.2.0/24]', '1:14 bad-value', 'is no address'],
    ['must-reach: [192.0.2.1 tcp/ssh]', '1:14 bad-value', 'after the slash stands a port'],
    ['dns: { servers: dns.example }', '1:17 bad-value', 'is no DNS server'],
    ['dns: { private-zones: "a b" }', '1:24 bad-label', 'is no zone'],
    ['dns: { max-age: 59s }', '1:17 bad-value', 'from 1m to 366d'],
    ['dns: { fixed: { "b c": 192.0.2.1 } }', '1:17 bad-label', 'is no host name'],
    ['curve: { clients: x }', '1:8 missing-key', 'secret: FILE'],
    ['fleet: { secret: x }', '1:8 missing-key', 'reports'],
    ['fleet: { reports: "unix:/x" }', '1:8 missing-key', 'secret'],
    ['fleet: { reports: "unix:/x", secret: x, every: 30s }', '1:48 bad-value', 'from 1m to 1d'],
    ['depot: { keep: 3h }', '1:8 missing-key', 'directory: DIRECTORY'],
    ['depot: { directory: x, sign-every: 3m }', '1:36 bad-value', 'from 10s to 2m'],
    ['depot: { directory: x, expires: 3m }', '1:33 bad-value', 'from 4m to 1d'],
    ['depot: { directory: x, keep: 1h }', '1:30 bad-value', 'from 2h to 30d'],
    ['proxy: socks5://x', '1:8 bad-value', 'write environment, none, qubes'],
    ['limits: { fetches: 65 }', '1:20 bad-value', 'from 1 to 64'],
    ['limits: { bytes: 1TB }', '1:18 bad-value', 'write a size'],
    ['a: [', '1:5 bad-yaml', ''],
  ])('%j', expectFault);

  it.each([
    ['{}', '2:3 list-without-source', 'give it one of file, dir, url'],
    ['{ file: x, url: y }', '2:3 list-with-two-sources', 'has file and url'],
    ['{ country: ru, asn: 1 }', '2:3 list-with-two-sources', 'has country and asn'],
    ['{ file: "" }', '2:8 bad-value', 'file: has no value'],
    ['{ file: x, match: y }', '2:17 misplaced-key', 'match: goes with dir, not with file'],
    ['{ names: [a.example], format: csv }', '2:28 misplaced-key', 'goes with file or dir or url'],
    ['{ file: x, interval: 5x }', '2:27 bad-value', '90s, 15m, 6h, 2d or 1w'],
    ['{ file: x, interval: 9s }', '2:27 bad-value', 'from 10s to 366d'],
    ['{ file: x, jitter: 51% }', '2:25 bad-value', 'at most 50%'],
    ['{ file: x, rejects: 0.1 }', '2:26 bad-value', 'write a percentage: 5%'],
    ['{ file: x, min-entries: -1 }', '2:30 bad-value', 'write a whole number'],
    ['{ file: x, min-entries: 5, max-entries: 4 }', '2:17 bad-value', 'is more than max-entries:'],
    ['{ file: x, mode: add }', '2:23 bad-value', 'write replace or merge'],
    ['{ file: x, entry-ttl: 1d }', '2:17 misplaced-key', 'goes with mode: merge'],
    ['{ file: x, format: hostz }', '2:25 bad-value', 'did you mean hosts?'],
    ['{ file: x, format: hosts, min-score: 3 }', '2:32 misplaced-key', 'the format hosts has no such field'],
    ['{ url: ftp://x.example/ }', '2:13 bad-value', 'is no https: or http: URL'],
    ['{ url: [] }', '2:8 over-limit', '1 to 64 URLs'],
    ['{ url: "https://x.example/", sha256: abc }', '2:43 bad-value', 'sha256sum prints'],
    [
      `{ url: ["https://x.example/", "https://y.example/"], sha256: ${'0'.repeat(64)} }`,
      '2:67 misplaced-key',
      'goes with one URL',
    ],
    ['{ url: "https://x.example/", headers: { "a b": c } }', '2:46 bad-value', 'is no header'],
    ['{ country: [ru, UK] }', '2:22 bad-value', 'write gb for uk'],
    ['{ country: [] }', '2:8 over-limit', 'takes 1 to 256 values'],
    ['{ file: x, country: rus }', '2:26 bad-value', 'two letters'],
    ['{ file: x, asn: 4294967296 }', '2:22 bad-value', 'number of an autonomous system'],
    ['{ names: ["b c"] }', '2:17 bad-label', 'is no host name'],
    ['{ entries: [192.0.2.300] }', '2:18 bad-address', 'is no address'],
    ['{ union: [b] }', '2:16 unknown-list', 'no list "b"'],
    ['{ union: [] }', '2:3 bad-value', 'names no list'],
    ['{ union: { country: rus } }', '2:26 bad-value', 'two letters'],
    ['{ union: [{ country: [] }] }', '2:18 over-limit', 'takes 1 to 256 values'],
    ['{ union: [{ file: x }] }', '2:18 unknown-key', 'keys are country, asn, company'],
    ['{ union: [{ country: ru, asn: 1 }] }', '2:16 wrong-type', 'write the name of a list, { country: ru }'],
    ['{ union: [{}] }', '2:16 wrong-type', 'write the name of a list, { country: ru }'],
    ['{ union: [[b]] }', '2:16 wrong-type', 'write the name of a list, { country: ru }'],
    [
      `{ union: { asn: [${'4294967295, '.repeat(6)}] } }`,
      '2:17 over-limit',
      'make a list of it, and name that',
    ],
    ['{ company: gogle }', '2:17 bad-value', 'did you mean google?'],
    ['{ company: google, asn: 1 }', '2:3 list-with-two-sources', 'has asn and company'],
    ['{ company: apple, format: plain }', '2:24 misplaced-key', 'not with company'],
    ['{ union: a }', '2:3 circular-lists', 'made from itself: a ← a'],
    ['{ names: ["*.example"] }', '2:17 unsupported', 'is a wildcard, which only the firewall'],
    ['{ names: [.com], resolve: firewall }', '2:16 public-suffix', 'say allow-public-suffixes'],
    ['{ names: [a.example], private: true }', '2:28 misplaced-key', 'say resolve: firewall for this list'],
  ])('of a list %s, in the second line', (list, place, words) => {
    expectFault(`lists:\n  a: ${list}`, place, words);
  });

  it('are told together, in the order of the file', () => {
    const found = faults('nme: x\nlists:\n  a: { file: x, interval: 5 }\n  b: {}\n  c: { union: z }');
    expect(found.map(([place]) => place)).toEqual([
      '1:1 unknown-key',
      '3:27 bad-value',
      '4:3 list-without-source',
      '5:15 unknown-list',
    ]);
  });

  it('a circle of lists is told for each of them', () => {
    const found = faults(
      'lists:\n  a: { union: b }\n  b: { union: [d], minus: c }\n  c: { intersect: a }\n  d: { file: x }',
    );
    expect(found.map(([place]) => place)).toEqual([
      '2:3 circular-lists',
      '3:3 circular-lists',
      '4:3 circular-lists',
    ]);
  });

  it('so many lists are taken and no more', () => {
    const lists = (count: number) =>
      `lists:\n${Array.from({ length: count }, (_, i) => `  l${i}: { file: x }\n`).join('')}`;
    expect(configOf(lists(LISTS_MAX)).lists.size).toBe(LISTS_MAX);
    expect(faults(lists(LISTS_MAX + 1)).map(([place]) => place)).toEqual([`${LISTS_MAX + 2}:3 over-limit`]);
  });

  it('so many names may be used by rules, and more may be carried', () => {
    const names = (count: number) => Array.from({ length: count }, (_, i) => `n${i}.example`).join(', ');
    expect(listOf(`{ names: [${names(4096)}] }`).resolve).toBe(true);
    expect(faults(`lists:\n  a: { names: [${names(4097)}] }`).map(([place]) => place)).toEqual([
      '2:3 over-limit',
    ]);
    expect(listOf(`{ names: [${names(4097)}], resolve: false }`).resolve).toBe(false);
    expect(listOf(`{ names: [${names(4097)}], resolve: firewall }`).resolve).toBe('firewall');
  });

  it('never throws, whatever the bytes', () => {
    const example = readFileSync(EXAMPLE);
    fc.assert(
      fc.property(fc.nat(example.length - 1), fc.uint8Array({ maxLength: 8 }), (at, bytes) => {
        parseConfig(
          'x',
          Buffer.concat([example.subarray(0, at), bytes, example.subarray(at + bytes.length)]),
        );
        parseConfig('x', example.subarray(0, at));
      }),
      { numRuns: 30 },
    );
  });
});
