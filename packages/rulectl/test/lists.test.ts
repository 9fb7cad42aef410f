/**
 * `rulectl lists`, `lists show`, `lists refresh` and `check` of a configuration, run as programs; a publisher
 * answers as each test has it.
 */

import type { Connection, ControlRecordOf, MessageOf } from '@rulecast/protocol';
import { permitCodes } from '@rulecast/publisher/permits';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { recordOf } from '../src/terminal/records.ts';
import { Folder, ndjson, rulectl } from './cli.ts';
import { FakePublisher, receive, type Script, sendRecords } from './fake-publisher.ts';
import { list } from './records.ts';

let publisher: FakePublisher | undefined;
let folder: Folder;
beforeEach(() => {
  folder = new Folder();
});
afterEach(async () => {
  await publisher?.stop();
  publisher = undefined;
  folder.remove();
});

async function run(args: readonly string[], script: Script) {
  publisher = await FakePublisher.start(script);
  return rulectl([...args, '--control', publisher.endpoint]);
}

const done = (connection: Connection, code = 'ok'): Promise<void> =>
  connection.send({ kind: 'done', code, text: '' });

const FAILING: Partial<ControlRecordOf<'list'>> = {
  state: 'failing',
  error: { code: 'unusable', text: 'drop.json: looks like HTML', atMs: Date.now() - 61_000 },
};

describe('lists', () => {
  it('is a table with source, count, change, times and error', async () => {
    const { exit, stdout, stderr } = await run(['lists'], async (connection) => {
      expect(await receive(connection, 'lists')).toEqual({ kind: 'lists', sourcesOnly: false });
      const pushed = list({ name: 'own', source: 'push', origin: '', formats: [] });
      const { fetchedAtMs: _f, nextAtMs: _n, changedAtMs: _c, ...bare } = pushed;
      await sendRecords(connection, [list(), list({ name: 'x', published: false, ...FAILING }), bare]);
      await done(connection);
    });
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' });
    expect(stdout).toMatch(/^list +source +state +count +change +changed +fetched +next +error$/m);
    expect(stdout).toMatch(/^spamhaus +url +ok +1,406 +\+12 -3 +2 h ago +2 min ago +in 1 h +-$/m);
    expect(stdout).toMatch(/^x \(operand\) +url +failing .* unusable: drop\.json: looks like HTML$/m);
    expect(stdout).toMatch(/^own +push +ok +1,406 +- +- +- +- +-$/m);
  });

  it('with --json tells the records as they are', async () => {
    const record = list();
    const { exit, stdout } = await run(['lists', '--sources', '--json'], async (connection) => {
      expect(await receive(connection, 'lists')).toEqual({ kind: 'lists', sourcesOnly: true });
      await sendRecords(connection, [record]);
      await done(connection);
    });
    expect(exit).toBe(0);
    expect(ndjson(stdout)).toEqual([recordOf(record), { kind: 'end', exit: 0, code: 'ok' }]);
  });

  it('without any says how to get one', async () => {
    const { exit, stdout } = await run(['lists'], async (connection) => {
      await receive(connection, 'lists');
      await done(connection);
    });
    expect(exit).toBe(0);
    expect(stdout).toContain('rulectl push FILE');
  });
});

describe('list', () => {
  const entries = ['192.0.2.0/24', '198.51.100.7/32', '198.51.100.9/32', '2001:db8::/32'];
  const answer =
    (record: ControlRecordOf<'list'>, lines: readonly string[]): Script =>
    async (connection) => {
      const { content } = await receive(connection, 'list');
      await sendRecords(connection, [record]);
      if (content)
        await sendRecords(connection, [
          { record: 'entries', lines: lines.slice(0, 1) },
          { record: 'entries', lines: lines.slice(1) },
        ]);
      await done(connection);
    };

  it('says all that is known of it', async () => {
    const record = list({
      ...FAILING,
      rejects: 2,
      reject: 'drop.json:7:1: no address',
      protected: 1,
      protectedPrefixes: ['10.0.0.0/8'],
    });
    const { exit, stdout } = await run(['lists', 'show', 'spamhaus'], answer(record, []));
    expect(exit).toBe(0);
    expect(stdout).toMatch(/^source: +url, https:\/\/www\.example\.org\/drop\.json$/m);
    expect(stdout).toMatch(/^error: +unusable: drop\.json: looks like HTML \(1 min ago\)$/m);
    expect(stdout).toMatch(/^holds: +1,406 entries$/m);
    expect(stdout).toMatch(/^not used: +2 lines; the first: drop\.json:7:1: no address$/m);
    expect(stdout).toMatch(/^never block: 1 entry without 10\.0\.0\.0\/8 and the like$/m);
  });

  it('--stats counts by length of prefixes', async () => {
    const { exit, stdout } = await run(['lists', 'show', 'spamhaus', '--stats'], answer(list(), entries));
    expect(exit).toBe(0);
    expect(stdout).toMatch(/^IPv4: 3 prefixes, 258 addresses, /m);
    expect(stdout).toMatch(/^\/24 +1$/m);
    expect(stdout).toMatch(/^\/32 +2$/m);
    expect(stdout).toMatch(/^IPv6: 1 prefix, /m);
  });

  it('--stats counts names by top-level domain', async () => {
    const names = ['a.example', 'b.example', 'c.test'];
    const { stdout } = await run(['lists', 'show', 'n', '--stats'], answer(list({ holds: 'names' }), names));
    expect(stdout).toMatch(/^3 names in 2 top-level domains$/m);
    expect(stdout).toMatch(/^\.example +2$/m);
  });

  it.each([
    ['plain', '198.51.100.7/32\n'],
    ['json', '"198.51.100.7/32"'],
    ['nft', 'set '],
    ['ipset', 'add '],
  ])('--export %s writes it', async (format, part) => {
    const { exit, stdout, stderr } = await run(
      ['lists', 'show', 'spamhaus', '--export', format],
      answer(list(), entries),
    );
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' });
    expect(stdout).toContain(part);
  });

  it('--export of a format that cannot hold it is refused', async () => {
    const { exit, stderr } = await run(
      ['lists', 'show', 'spamhaus', '--export', 'hosts'],
      answer(list(), entries),
    );
    expect(exit).toBe(2);
    expect(stderr).toContain('the format hosts holds names');
  });

  it('--diff asks for the difference of that list alone', async () => {
    let asked: MessageOf<'diff'> | undefined;
    const { exit, stdout } = await run(
      ['lists', 'show', 'spamhaus', '--diff', '4..5'],
      async (connection) => {
        asked = await receive(connection, 'diff');
        await sendRecords(connection, [
          {
            record: 'change',
            op: 'change',
            kind: 'list',
            name: 'spamhaus',
            added: 1,
            removed: 0,
            unchanged: 2,
          },
          {
            record: 'edit',
            op: 'added',
            kind: 'list',
            name: 'spamhaus',
            aspect: 'entries',
            lines: ['192.0.2.0/24'],
          },
        ]);
        await done(connection, 'different');
      },
    );
    expect(asked).toMatchObject({ from: 4, to: 5, list: 'spamhaus', stats: false });
    expect(exit).toBe(1);
    expect(stdout).toContain('+ 192.0.2.0/24');
  });

  it('that is not there is refused', async () => {
    const { exit, stderr } = await run(['lists', 'show', 'nope'], async (connection) => {
      await receive(connection, 'list');
      await connection.send({ kind: 'fail', code: 'no-such-part', text: 'nope: there is no such list' });
    });
    expect(exit).toBe(2);
    expect(stderr).toContain('nope: there is no such list');
  });
});

describe('refresh', () => {
  it('names lists and permits, and ends with 0 if all are good', async () => {
    let asked: MessageOf<'refresh'> | undefined;
    const { exit, stdout, stderr } = await run(
      ['lists', 'refresh', 'a', 'b', '--permit', 'shrunk'],
      async (connection) => {
        asked = await receive(connection, 'refresh');
        await sendRecords(connection, [list({ name: 'a' }), list({ name: 'b' })]);
        await done(connection, 'refreshed');
      },
    );
    expect(asked).toEqual({
      kind: 'refresh',
      lists: ['a', 'b'],
      '+permit': ['shrunk'],
      allowShrink: true, // as 0.2 knows it
      force: false,
    });
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' });
    expect(stdout).toMatch(/^b +url +ok/m);
  });

  it.each([
    ['--allow-growth', ['grown'], { allowGrowth: true }],
    ['--allow-coverage', ['covers-too-much', 'coverage-changed', 'short-prefix'], { allowCoverage: true }],
    ['--allow-all=true', ['all-addresses', 'short-prefix'], { allowAll: true }],
    ['--allow-wider', ['wider'], { allowWider: true }],
    ['--force', permitCodes('refresh'), { force: true }],
  ])('%s of 0.2 permits what it did, and says what to write', async (option, codes, old) => {
    let asked: MessageOf<'refresh'> | undefined;
    const { exit, stderr } = await run(['lists', 'refresh', 'a', option], async (connection) => {
      asked = await receive(connection, 'refresh');
      await done(connection, 'refreshed');
    });
    expect(asked).toMatchObject({ '+permit': codes, ...old });
    expect(asked?.force).toBe(option === '--force');
    expect(stderr).toBe(`rulectl: ${option} goes with 0.4: write --permit ${codes.join(',')}\n`);
    expect(exit).toBe(0);
  });

  it('permits no more to a publisher of 0.2 than what is named', async () => {
    let asked: MessageOf<'refresh'> | undefined;
    await run(['lists', 'refresh', 'a', '--permit', 'coverage-changed,short-prefix'], async (connection) => {
      asked = await receive(connection, 'refresh');
      await done(connection, 'refreshed');
    });
    expect(asked).toEqual({
      kind: 'refresh',
      lists: ['a'],
      '+permit': ['coverage-changed', 'short-prefix'],
      allowShrink: false,
      force: false,
    });
  });

  it('says which code nothing needed', async () => {
    const { exit, stderr } = await run(
      ['lists', 'refresh', 'a', '--permit', 'shrunk'],
      async (connection) => {
        await receive(connection, 'refresh');
        await connection.send({ kind: 'done', code: 'refreshed', text: 'nothing needed --permit shrunk' });
      },
    );
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: 'rulectl: nothing needed --permit shrunk\n' });
  });

  it('ends with 2 if one keeps its last good content, and says which and why', async () => {
    const { exit, stderr } = await run(['lists', 'refresh'], async (connection) => {
      expect(await receive(connection, 'refresh')).toMatchObject({
        lists: [],
        allowShrink: false,
        force: false,
      });
      await sendRecords(connection, [list({ name: 'a' }), list({ name: 'b', ...FAILING })]);
      await done(connection, 'failing');
    });
    expect(exit).toBe(2);
    expect(stderr).toBe('rulectl: list b: drop.json: looks like HTML (unusable)\n');
  });

  it('of a publisher without sources says so', async () => {
    const { exit, stderr } = await run(['lists', 'refresh'], async (connection) => {
      await receive(connection, 'refresh');
      await connection.send({ kind: 'fail', code: 'not-ready', text: 'start it with --config FILE' });
    });
    expect(exit).toBe(3);
    expect(stderr).toBe('rulectl: start it with --config FILE (rulectl help not-ready)\n'); // not to ask again
  });
});

describe('check of a configuration', () => {
  it('accepts a sound configuration', async () => {
    const file = folder.write('p.yaml', 'listen: unix:/run/x.sock\nlists: { a: { file: a.txt } }\n');
    const { exit, stdout } = await rulectl(['check', file]);
    expect(exit).toBe(0);
    expect(stdout).toBe(`${file}: a publisher configuration, 1 list, nothing refused\n`);
  });

  it('tells each fault with file, line and column, endpoints included', async () => {
    const file = folder.write('p.yaml', 'lists:\n  a: { fil: x }\n  b: { file: x, shrink: 5 }\n');
    const { exit, stdout } = await rulectl(['check', file]);
    expect(exit).toBe(2);
    expect(stdout).toContain(`${file}:2:8: unknown-key: "fil" is no key here: did you mean "file"?`);
    expect(stdout).toContain(`${file}:3:25: bad-value: shrink: "5": write a percentage: 5%`);
    const bad = folder.write('q.yaml', 'listen: [nowhere]\n');
    expect((await rulectl(['check', bad])).stdout).toContain(`${bad}:1:10: bad-endpoint: `);
  });

  it('with --json is one object a fault, and a summary', async () => {
    const { exit, stdout } = await rulectl(['check', '-', '--json'], { stdin: 'name: x\nnme: x\n' });
    expect(exit).toBe(2);
    expect(ndjson(stdout)).toMatchObject([
      { kind: 'reject', line: 2, column: 1, code: 'unknown-key' },
      { kind: 'configuration', lists: 0, tables: 0, rejects: 1 },
      { kind: 'end', exit: 2, code: 'bad-input' },
    ]);
  });

  it('knows its lists in rules beside it', async () => {
    const rules = folder.write('rules.yaml', 'first: { egress: [drop dst=@ads] }\nunmatched: accept\n');
    const config = folder.write('p.yaml', 'lists: { ads: { url: "https://example.org/ads.txt" } }\n');
    const alone = await rulectl(['check', rules]);
    expect([alone.exit, alone.stdout]).toEqual([
      2,
      expect.stringContaining('unknown-list: policy first uses list ads'),
    ]);
    const both = await rulectl(['check', config, rules]);
    expect(both).toEqual({
      exit: 0,
      stdout: `${config}: a publisher configuration, 1 list, nothing refused\n${rules}: a rule set document, 1 rule, nothing refused\n`,
      stderr: '',
    });
    const naming = folder.write(
      'r.yaml',
      'lists: { ads: { url: "https://example.org/ads.txt" } }\nrules: rules.yaml\n',
    );
    for (const files of [[naming], [naming, rules]])
      expect((await rulectl(['check', ...files])).stdout).toBe(
        `${naming}: a publisher configuration, 1 list, nothing refused\n${rules}: a rule set document, 1 rule, nothing refused\n`,
      );
    expect((await rulectl(['check', folder.write('s.yaml', 'rules: none.yaml\n')])).stderr).toContain(
      'none.yaml',
    );
    const faulty = folder.write('q.yaml', 'lists: { ads: { url: 5 } }\n');
    expect((await rulectl(['check', '--known-list', 'ads', faulty, rules])).exit).toBe(2);
  });

  it('of a file that is not there says so', async () => {
    const { exit, stderr } = await rulectl(['check', '/nowhere/p.yaml']);
    expect(exit).toBe(2);
    expect(stderr).toContain('there is no file /nowhere/p.yaml');
  });
});
