/** The catalogue of feeds: what its file holds, and what commands say of it. */

import { parseConfig } from '@rulecast/formats';
import { isPartName } from '@rulecast/rules';
import { afterEach, describe, expect, it } from 'vitest';
import catalogue from '../catalogue.json' with { type: 'json' };
import { CATALOGUE, type CatalogueEntry, isTable, searchCatalogue } from '../src/catalogue/catalogue.ts';
import { configurationOf, documentOf } from '../src/catalogue/configuration.ts';
import { companies, countries, expressionOf } from '../src/catalogue/expression.ts';
import { ndjson, rulectl } from './cli.ts';
import { FakePublisher, receive, sendRecords } from './fake-publisher.ts';
import { list } from './records.ts';

const text = (value: unknown): boolean => typeof value === 'string' && value.trim() === value && value !== '';
const urls = (value: unknown): boolean =>
  Array.isArray(value) && value.length > 0 && value.every((each) => URL.canParse(each));
const among =
  (...words: readonly unknown[]) =>
  (value: unknown): boolean =>
    words.includes(value);
const TOPICS = [
  ...['attackers', 'scanners', 'spam', 'malware', 'phishing', 'anonymity', 'companies', 'crawlers'],
  ...['bogons', 'ads', 'content', 'tables'],
];
/** The schema of an entry: what each of its fields is, and whether it may be missing. */
const SCHEMA: Readonly<Record<string, readonly [isSound: (value: unknown) => boolean, isOptional?: true]>> = {
  key: [(key) => typeof key === 'string' && isPartName(key)],
  title: [text],
  topic: [among(...TOPICS)],
  holds: [among('addresses', 'names', 'countries', 'networks')],
  url: [urls],
  alternates: [urls, true],
  'past-urls': [urls, true],
  format: [text],
  settings: [(value) => Object.values(value as object).every((each) => each === true || text(each)), true],
  licence: [text],
  restricted: [text, true],
  attribution: [text],
  entries: [
    (value) => {
      const [fewest, most, ...more] = value as readonly number[];
      return [fewest, most].every(Number.isSafeInteger) && more.length === 0 && Number(fewest) < Number(most);
    },
  ],
  interval: [(value) => /^[1-9]\d*[mhdw]$/.test(String(value))],
  'most-often': [(value) => /^[1-9]\d*[mhdw]$/.test(String(value)), true],
  status: [among('active', 'ended')],
  note: [text, true],
  evidence: [text],
};

function configOf(entry: CatalogueEntry) {
  return parseConfig('publisher.yaml', Buffer.from(documentOf(configurationOf(entry, entry.key))));
}

describe('the file of the catalogue', () => {
  it('has no field that its schema lacks, and each that it wants', () => {
    const faults = catalogue.entries.flatMap((entry: Readonly<Record<string, unknown>>) => {
      const unknown = Object.keys(entry).filter((field) => !Object.hasOwn(SCHEMA, field));
      const unsound = Object.entries(SCHEMA).filter(([field, [isSound, isOptional = false]]) =>
        entry[field] === undefined ? !isOptional : !isSound(entry[field]),
      );
      return [...unknown, ...unsound.map(([field]) => field)].map((field) => `${entry['key']}: ${field}`);
    });
    expect(faults).toEqual([]);
  });

  it('has at least 90 feeds that have not ended', () => {
    expect(CATALOGUE.filter(({ status }) => status === 'active').length).toBeGreaterThanOrEqual(90);
  });

  it('has each key once, and each URL of what is fetched or was in one entry', () => {
    const keys = CATALOGUE.map(({ key }) => key);
    expect(new Set(keys).size).toBe(keys.length);
    const all = CATALOGUE.flatMap((entry) => [...entry.url, ...(entry['past-urls'] ?? [])]);
    expect(all.filter((url, i) => all.indexOf(url) < i)).toEqual([]);
  });

  it('fetches by https only', () => {
    const all = CATALOGUE.flatMap(({ url, alternates = [] }) => [...url, ...alternates]);
    expect(all.filter((url) => !url.startsWith('https://'))).toEqual([]);
  });

  it('says nothing of licences that nobody saw', () => {
    for (const { licence } of CATALOGUE) expect(licence).not.toMatch(/verify|known/);
  });

  it.each([
    ['sslbl', 'ended'],
    ['alienvault', 'ended'],
    ['c2-tracker', 'ended'],
    ['tor-exits', 'active'],
  ])('knows that %s is %s', (key, status) => {
    expect(CATALOGUE.find((entry) => entry.key === key)?.status).toBe(status);
  });
});

describe.each(CATALOGUE.map((entry) => [entry.key, entry] as const))(
  'what is written for %s',
  (key, entry) => {
    it('is a sound configuration of its URLs, interval and size', () => {
      const { config, rejects } = configOf(entry);
      expect(rejects).toEqual([]);
      const [list] = [...(config?.lists ?? []).values()];
      const [table] = [...(config?.tables ?? []).values()];
      const made = isTable(entry) ? table : list;
      expect(made?.name).toBe(key);
      expect(made?.source).toMatchObject({ kind: 'url', urls: entry.url });
      if (list === undefined) return;
      const [minEntries, maxEntries] = entry.entries;
      expect(list.guard).toMatchObject({ minEntries, maxEntries });
      expect(list.resolve).toBe(entry.holds === 'names' ? 'firewall' : false);
    });
  },
);

describe('searching', () => {
  it('finds entries that have a word for each beginning, in whatever case, and not within words', () => {
    const keysOf = (...words: readonly string[]) => searchCatalogue(words).map(({ key }) => key);
    const found = keysOf('TOR');
    expect(found).toContain('tor-exits');
    expect(found).not.toContain('dshield-top20'); // of the Storm Center
    expect(keysOf('phish', 'names')).toContain('certpl');
    expect(keysOf('phish', 'addresses')).toEqual([]);
    expect(keysOf('spamhaus-drop')).toContain('spamhaus-drop-v6');
    expect(keysOf('!?')).toEqual([]);
    expect(searchCatalogue([])).toEqual(CATALOGUE);
  });

  it.each([
    ['russia', 'country:ru'],
    ['South Korea', 'country:kr'],
    ['country:RU', 'country:ru'],
    ['asn:15169', 'asn:15169'],
    ['AS15169', 'asn:15169'],
    ['yandex', 'company:yandex'],
  ])('for %s finds %s alone', (words, key) => {
    expect(searchCatalogue(words.split(' ')).map((each) => each.key)).toEqual([key]);
  });

  it('prints key, size and title of each, and marks what has ended or is restricted', async () => {
    const { exit, stdout } = await rulectl(['lists', 'search', 'c2', 'tracker']);
    expect(exit).toBe(0);
    expect(stdout).toContain('c2-tracker');
    expect(stdout).toContain('C2 Tracker: servers that steer malware (ended)');
    expect((await rulectl(['lists', 'search', 'greensnow'])).stdout).toContain('(restricted)');
  });

  it('is JSON lines with --json', async () => {
    const { stdout } = await rulectl(['lists', 'search', 'peter', 'lowe', '--json']);
    const [entry, end, ...more] = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(entry).toMatchObject({ kind: 'feed', key: 'peter-lowe', licence: expect.any(String) });
    expect(end).toEqual({ kind: 'end', exit: 0, code: 'ok' });
    expect(more).toEqual([]);
  });

  it('that finds nothing says so, and ends with 2', async () => {
    const { exit, stderr } = await rulectl(['lists', 'search', 'no', 'such']);
    expect(exit).toBe(2);
    expect(stderr).toContain('no entry of the catalogue has no and such');
  });
});

describe('keys that stand for no feed', () => {
  it.each([
    ['country:ru', { key: 'country:ru', says: '{ country: ru }' }],
    ['country:UK', { key: 'country:gb', says: '{ country: gb }' }],
    ['company:Google', { key: 'company:google', says: '{ company: google }' }],
    ['asn:AS4294967295', { key: 'asn:4294967295', says: '{ asn: 4294967295 }' }],
  ])('%s', (key, expected) => {
    expect(expressionOf(key)).toMatchObject(expected);
  });

  it.each([
    'country:zz',
    'country:rus',
    'country:',
    'asn:4294967296',
    'asn:-1',
    'asn:x',
    'company:nobody',
    'continent:eu',
    'ru',
  ])('%s is none', (key) => {
    expect(expressionOf(key)).toBeUndefined();
  });

  it('are as many countries as there are, each once, and companies, and their lists are sound', () => {
    expect(countries().length).toBeGreaterThanOrEqual(249);
    const all = [...companies(), ...countries()];
    expect(new Set(all.map(({ key }) => key)).size).toBe(all.length);
    for (const one of [...all, expressionOf('asn:15169') ?? expect.fail()]) {
      const text = documentOf(configurationOf(one, 'x'));
      expect(parseConfig('publisher.yaml', Buffer.from(text)).rejects).toEqual([]);
    }
  });
});

describe('lists show of a key', () => {
  let publisher: FakePublisher | undefined;
  afterEach(() => publisher?.stop());

  /** What a publisher knows under the name, which has no lists but `spamhaus-drop`. */
  async function show(...args: readonly string[]) {
    publisher = await FakePublisher.start(async (connection) => {
      const { name } = await receive(connection, 'list');
      if (name !== 'spamhaus-drop')
        return connection.send({
          kind: 'fail',
          code: 'no-such-part',
          text: `${name}: there is no such list`,
        });
      await sendRecords(connection, [list({ name })]);
      await connection.send({ kind: 'done', code: 'ok', text: '' });
    });
    return rulectl(['lists', 'show', ...args, '--control', publisher.endpoint]);
  }

  it('shows the list of the publisher where it has one of that name', async () => {
    const { exit, stdout, stderr } = await show('spamhaus-drop');
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' });
    expect(stdout).toContain('state:');
    expect(stdout).not.toContain('licence:');
  });

  it('shows the entry where the publisher has no such list, and says so', async () => {
    const { exit, stdout, stderr } = await show('peter-lowe');
    expect(exit).toBe(0);
    expect(stderr).toBe('rulectl: the publisher has no such list: this is an entry of the catalogue\n');
    expect(stdout).toMatch(/^licence: +McRae/m);
    expect(stdout).toMatch(/^restricted: +not for use that could make money$/m);
    expect(stdout).toMatch(/^ {4}url: https:\/\/pgl\.yoyo\.org/m);
  });

  it('shows the entry where no publisher answers, and says so', async () => {
    const gone = ['lists', 'show', 'peter-lowe', '--control', 'unix:/nonexistent/rulecast.sock'];
    const { exit, stdout, stderr } = await rulectl(gone);
    expect(exit).toBe(0);
    expect(stderr).toBe('rulectl: no publisher answers: this is an entry of the catalogue\n');
    expect(stdout).toMatch(/^entry: +peter-lowe$/m);
    const [entry, end] = ndjson((await rulectl([...gone, '--json'])).stdout);
    expect(entry).toMatchObject({ kind: 'feed', key: 'peter-lowe' });
    expect(end).toMatchObject({ kind: 'end', code: 'catalogue', exit: 0 });
  });

  it('shows what a key says that is no name of a list', async () => {
    const { exit, stdout } = await rulectl(['lists', 'show', 'country:is']);
    expect(exit).toBe(0);
    expect(stdout).toMatch(/^is: +Iceland/m);
    expect(stdout).toMatch(/^ {2}country-is: \{ country: is \}$/m);
  });

  it.each([['nothing-of-that-name'], ['peter-lowe', '--stats'], ['peter-lowe', '--export', 'plain']])(
    '%s %s is refused as the publisher refuses it',
    async (...args) => {
      const { exit, stderr } = await show(...args);
      expect(exit).toBe(2);
      expect(stderr).toContain('there is no such list');
    },
  );
});
