/** `rulectl lists add` and `lists outdated`: the catalogue against a configuration on disk. */

import { chmodSync, lstatSync, readdirSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseConfig } from '@rulecast/formats';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CATALOGUE } from '../src/catalogue/catalogue.ts';
import { marked, planFile } from '../src/init/files.ts';
import { Folder, ndjson, rulectl, rulectlAsked } from './cli.ts';

let folder: Folder;
beforeEach(() => {
  folder = new Folder();
});
afterEach(() => folder.remove());

const read = (name: string): string => readFileSync(join(folder.path, name), 'utf8');

const OWN = `# mine, with care
state: s # where
lists:   # mine too
    office: { file:   office.txt }   # by hand

# the end
`;

async function add(text: string, ...args: readonly string[]) {
  const config = folder.write('publisher.yaml', text);
  const result = await rulectl(['lists', 'add', ...args, '--config', config]);
  return { ...result, config, text: read('publisher.yaml') };
}

describe('lists add', () => {
  it('adds the lines of the entry, and leaves every other byte', async () => {
    const { exit, stdout, stderr, text } = await add(OWN, 'spamhaus-drop', '--as', 'drop');
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' });
    expect(stdout).toMatch(/^added: drop, in .*publisher\.yaml$/m);
    expect(stdout).toMatch(/^credit: The Spamhaus Project$/m);
    const lines = text.split('\n');
    const at = lines.indexOf('    # catalogue: spamhaus-drop');
    expect(at).toBe(4);
    expect(lines[at + 1]).toMatch(/^ {4}# Spamhaus DROP: .* Licence: .* Credit: The Spamhaus Project\.$/);
    expect(lines.slice(at + 2, at + 9)).toEqual([
      '    drop:',
      '      url: https://www.spamhaus.org/drop/drop_v4.json',
      '      format: spamhaus',
      '      interval: 12h',
      '      min-entries: 500',
      '      max-entries: 10000',
      '      max-unchanged: 30d',
    ]);
    expect([...lines.slice(0, at), ...lines.slice(at + 9)].join('\n')).toBe(OWN);
    expect((await rulectl(['check', join(folder.path, 'publisher.yaml')])).exit).toBe(0);
  });

  it('of a country writes what a list says of it', async () => {
    const { exit, text } = await add(OWN, 'country:ru', '--as', 'russia');
    expect(exit).toBe(0);
    expect(text).toContain('    russia: { country: ru }\n');
  });

  it('of a table makes a table', async () => {
    const { exit, stdout, text } = await add(OWN, 'table-iptoasn');
    expect(exit).toBe(0);
    expect(stdout).toContain('Lists are cut from it');
    expect(text).toMatch(/^tables:\n {2}# catalogue: table-iptoasn\n.*\n {2}table-iptoasn:\n {4}of: asn$/m);
  });

  it('again changes nothing, and says so; --json tells both', async () => {
    const first = await add(OWN, 'tor-exits', '--json');
    const [added, end] = ndjson(first.stdout);
    expect(added).toMatchObject({
      kind: 'added',
      state: 'added',
      name: 'tor-exits',
      feed: { key: 'tor-exits' },
    });
    expect(end).toEqual({ kind: 'end', exit: 0, code: 'added' });
    const again = await add(first.text, 'tor-exits');
    expect(again.exit).toBe(0);
    expect(again.stdout).toMatch(/^unchanged: tor-exits/m);
    expect(again.text).toBe(first.text);
  });

  it('leaves a list of that name that says something else', async () => {
    const { exit, stderr, text } = await add(OWN, 'tor-exits', '--as', 'office');
    expect(exit).toBe(2);
    expect(stderr).toContain('has a office that says something else');
    expect(text).toBe(OWN);
  });

  it('keeps the mode of the file, and a link that leads to it', async () => {
    const config = folder.write('etc/publisher.yaml', OWN);
    chmodSync(config, 0o640);
    const link = join(folder.path, 'link.yaml');
    symlinkSync(config, link);
    expect((await rulectl(['lists', 'add', 'tor-exits', '--config', link])).exit).toBe(0);
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect(statSync(config).mode & 0o777).toBe(0o640);
    expect(read('etc/publisher.yaml')).toContain('tor-exits:');
    expect(readdirSync(dirname(config))).toEqual(['publisher.yaml']);
  });

  it.each([
    ['still one of init where it was', marked('state: s\n'), 'written'],
    ["still a person's where it was", marked('state: s\n').replace('state: s', 'state: mine'), 'left'],
  ] as const)('leaves the file %s', async (_what, before, state) => {
    const { exit, config } = await add(before, 'tor-exits');
    expect(exit).toBe(0);
    expect(planFile(config, '', (text) => `${text}# more\n`).state).toBe(state);
  });
});

describe('what lists add does not write, it prints:', () => {
  const LINES = /^lists:\n {2}# catalogue: tor-exits\n.*\n {2}tor-exits:\n {4}url: https:/m;

  it.each([
    ['in braces', 'lists: { a: { entries: [192.0.2.1] } }\n', 'is written in braces'],
    ['with a fault', 'lists:\n  a: {}\n', 'publisher.yaml:2:3: list a has no source'],
  ])('to a configuration %s', async (_what, before, why) => {
    const { exit, stdout, stderr, text } = await add(before, 'tor-exits');
    expect(exit).toBe(2);
    expect(stdout).toMatch(LINES);
    expect(stderr).toContain(why);
    expect(stderr).toContain('nothing was written: the lines are above');
    expect(text).toBe(before);
  });

  it('to a file that is not there', async () => {
    const path = join(folder.path, 'none.yaml');
    const { exit, stdout, stderr } = await rulectl(['lists', 'add', 'tor-exits', '--config', path]);
    expect(exit).toBe(2);
    expect(stdout).toMatch(LINES);
    expect(stderr).toContain('there is no file');
    expect(readdirSync(folder.path)).toEqual([]);
  });

  it('to a file that is no text, and to a folder', async () => {
    const path = folder.write('latin.yaml', Buffer.from('# \xe9\nstate: s\n', 'latin1'));
    const { exit, stdout, stderr } = await rulectl(['lists', 'add', 'tor-exits', '--config', path]);
    expect(exit).toBe(2);
    expect(stdout).toMatch(LINES);
    expect(stderr).toContain('latin.yaml:1');
    const ofFolder = await rulectl(['lists', 'add', 'tor-exits', '--config', folder.path]);
    expect(ofFolder.exit).toBe(2);
    expect(ofFolder.stderr).toContain('is a folder');
  });

  it('to a file that cannot be written, with --json as a record', async () => {
    const path = folder.write(`${'n'.repeat(250)}.yaml`, OWN); // no name beside it is longer
    const { exit, stdout, stderr } = await rulectl(['lists', 'add', 'tor-exits', '--json', '--config', path]);
    expect(exit).toBe(2);
    const [lines, error] = ndjson(stdout);
    expect(lines).toMatchObject({ kind: 'text', text: expect.stringMatching(LINES) });
    expect(error).toMatchObject({ kind: 'error', code: 'cannot-write' });
    expect(stderr).toContain('cannot write');
    expect(readdirSync(folder.path)).toHaveLength(1);
  });
});

describe('keys that lists add refuses', () => {
  it.each([
    ['sslbl', 'sslbl has ended. Empty since 3 January 2025'],
    ['spamhaus-drp', 'the catalogue has no spamhaus-drp: did you mean spamhaus-drop?'],
    ['country:zz', 'rulectl lists search finds keys'],
    ['../x', 'the catalogue has no ../x'],
  ])('%s', async (key, why) => {
    const { exit, stdout, stderr, text } = await add(OWN, key);
    expect(exit).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toContain(why);
    expect(text).toBe(OWN);
  });
});

describe('what is restricted', () => {
  const asked = async (answer: string | undefined, ...args: readonly string[]) => {
    const config = folder.write('publisher.yaml', OWN);
    const line = ['lists', 'add', 'dshield-top20', '--config', config, ...args];
    return { ...(await rulectlAsked(line, answer)), isAdded: read('publisher.yaml') !== OWN };
  };

  it.each([
    ['y', 0, true],
    ['n', 2, false],
    ['maybe', 2, false],
    [undefined, 2, false],
  ])('is added where the answer is yes: %j', async (answer, exit, isAdded) => {
    const result = await asked(answer);
    expect(result).toMatchObject({ exit, isAdded });
    expect(result.stderr).toContain('restricted: not to be sold again');
    if (answer === undefined) expect(result.stderr).toContain('--yes says that it is');
  });

  it('is added without a question with --yes', async () => {
    const result = await asked(undefined, '--yes');
    expect(result).toMatchObject({ exit: 0, isAdded: true });
    expect(result.stdout).toMatch(/^restricted: not to be sold again/m);
  });
});

describe('lists outdated', () => {
  const of = (text: string, ...args: readonly string[]) =>
    rulectl(['lists', 'outdated', '--config', folder.write('publisher.yaml', text), ...args]);

  it('tells what moved, what ended, and what is asked too often', async () => {
    const text = `lists:
  level1: { url: https://raw.githubusercontent.com/firehol/blocklist-ipsets/master/firehol_level1.netset }
  ssl: { url: https://sslbl.abuse.ch/blacklist/sslipblacklist.txt, interval: 1h }
  drop: { url: https://www.spamhaus.org/drop/drop_v4.json, interval: 10m }
  good: { url: https://check.torproject.org/torbulkexitlist }
  own: { url: https://feeds.example/own.txt, interval: 10m }
  daily: { url: https://rules.emergingthreats.net/blockrules/compromised-ips.txt }
tables:
  asn: { of: asn, url: https://iptoasn.com/data/ip2asn-combined.tsv.gz, interval: 1h }
`;
    const { exit, stdout } = await of(text);
    expect(exit).toBe(1);
    expect(stdout.split('\n').map((line) => line.split(/ {2,}/)[1])).toEqual([
      ...['is', 'moved', 'ended', 'too-often', 'too-often'],
      undefined,
    ]);
    expect(stdout).toMatch(
      /^level1 .* is https:\/\/iplists\.firehol\.org\/files\/firehol_level1\.netset now$/m,
    );
    const [first, ...more] = ndjson((await of(text, '--json')).stdout);
    expect(first).toMatchObject({ kind: 'outdated', list: 'level1', key: 'firehol-level1', what: 'moved' });
    expect(more.at(-1)).toEqual({ kind: 'end', exit: 1, code: 'outdated' });
  });

  it('has nothing against what lists add writes', async () => {
    const active = CATALOGUE.filter(({ status }) => status === 'active').map(({ key }) => key);
    let text = OWN;
    for (const key of active.slice(0, 12)) ({ text } = await add(text, key, '--yes'));
    expect([...(parseConfig('publisher.yaml', Buffer.from(text)).config?.lists ?? [])]).toHaveLength(13);
    const { exit, stdout } = await of(text);
    expect(exit).toBe(0);
    expect(stdout).toContain('knows nothing against these lists');
  });

  it('refuses a configuration with a fault, and one that is not there', async () => {
    const broken = await of('lists:\n  a: {}\n');
    expect(broken.exit).toBe(2);
    expect(broken.stderr).toContain('publisher.yaml:2:3: list a has no source');
    const missing = await rulectl(['lists', 'outdated', '--config', join(folder.path, 'none.yaml')]);
    expect(missing.exit).toBe(2);
    expect(missing.stderr).toContain('there is no file');
  });
});
