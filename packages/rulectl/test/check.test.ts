/** `rulectl check`, run as a program. */

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { formatRule, parseRule } from '@rulecast/rules';
import { afterAll, describe, expect, it } from 'vitest';
import { Folder, ndjson, rulectl } from './cli.ts';
import { FakePublisher, receivePush, type SentPush } from './fake-publisher.ts';

const FIXTURES = new URL('../../../test/fixtures/qubes-rules/', import.meta.url);
const NOW = 1_790_000_000;
const folder = new Folder();
afterAll(() => folder.remove());

folder.write(
  'list.txt',
  '# ours\n192.0.2.1\n10.0.0.300\n  2001:DB8::/32 ; note\n198.51.100.0-198.51.100.2\n',
);
folder.write('good.rules', 'accept dst4=192.0.2.1 proto=tcp dstports=443\ndrop\n');
folder.write('list2.txt', '192.0.2.1\n');
folder.write('bad.rules', 'accept\n\naction=drop foo=1\n');
folder.write('lists/drop.txt', '192.0.2.0/24\n');
const DOCUMENT = [
  'lists:',
  '  drop: { file: lists/drop.txt }',
  '  spare: { entries: [198.51.100.0/24] }',
  'policies:',
  '  default: { egress: ["drop dst=@drop", accept] }',
  '',
];
folder.write('good.yaml', DOCUMENT.join('\n'));
folder.write('faulty.yaml', DOCUMENT.join('\n').replace('@drop', '@nothing'));
folder.write('elsewhere/lost.yaml', DOCUMENT.join('\n'));

const check = (args: readonly string[], stdin = '') =>
  rulectl(['check', ...args], { cwd: folder.path, stdin });

describe('check --json', () => {
  it('gives one object for each line that holds something, and a summary', async () => {
    const { exit, stdout, stderr } = await check(['list.txt', 'good.rules', '--json']);
    expect(stderr).toBe('');
    expect(ndjson(stdout)).toEqual([
      { file: 'list.txt', line: 2, kind: 'entry', canonical: '192.0.2.1/32' },
      {
        file: 'list.txt',
        line: 3,
        kind: 'reject',
        code: 'bad-address',
        column: 1,
        reason: expect.stringContaining('10.0.0.300'),
      },
      { file: 'list.txt', line: 4, kind: 'entry', canonical: '2001:db8::/32' },
      { file: 'list.txt', line: 5, kind: 'entry', canonical: '198.51.100.0/31 198.51.100.2/32' },
      {
        file: 'list.txt',
        kind: 'list-file',
        format: 'plain',
        skipped: [{ code: 'comment', count: 1, line: 1 }],
        widened: 0,
      },
      {
        file: 'good.rules',
        line: 1,
        kind: 'rule',
        canonical: 'action=accept dst4=192.0.2.1/32 proto=tcp dstports=443-443',
      },
      { file: 'good.rules', line: 2, kind: 'rule', canonical: 'action=drop' },
      { kind: 'summary', files: 2, rules: 2, entries: 3, rejects: 1, warnings: 0 },
      { kind: 'end', exit: 2, code: 'bad-input' },
    ]);
    expect(exit).toBe(2);
  });

  it('gives line and column of a refused rule', async () => {
    const { exit, stdout } = await check(['bad.rules', '--json']);
    expect(ndjson(stdout)[1]).toMatchObject({ line: 3, kind: 'reject', code: 'unknown-option', column: 13 });
    expect(exit).toBe(2);
  });

  it('reads standard input', async () => {
    const { exit, stdout } = await check(['--json', '-'], '2001:db8::1\n');
    expect(ndjson(stdout)).toEqual([
      { file: '-', line: 1, kind: 'entry', canonical: '2001:db8::1/128' },
      { file: '-', kind: 'list-file', format: 'plain', skipped: [], widened: 0 },
      { kind: 'summary', files: 1, rules: 0, entries: 1, rejects: 0, warnings: 0 },
      { kind: 'end', exit: 0, code: 'ok' },
    ]);
    expect(exit).toBe(0);
  });

  it('gives each rule and entry of a document and of the files it names, and its warnings', async () => {
    const { exit, stdout } = await check(['good.yaml', '--json']);
    expect(ndjson(stdout)).toEqual([
      { file: 'lists/drop.txt', line: 1, kind: 'entry', canonical: '192.0.2.0/24' },
      { file: 'good.yaml', line: 3, kind: 'entry', canonical: '198.51.100.0/24' },
      { file: 'good.yaml', line: 5, kind: 'rule', canonical: 'action=drop dst=@drop' },
      { file: 'good.yaml', line: 5, kind: 'rule', canonical: 'action=accept' },
      { file: 'lists/drop.txt', kind: 'list-file', format: 'plain', skipped: [], widened: 0 },
      {
        file: 'good.yaml',
        kind: 'warning',
        code: 'unused-list',
        part: 'spare',
        reason: expect.stringContaining('no rule uses list spare'),
      },
      { kind: 'summary', files: 1, rules: 2, entries: 2, rejects: 0, warnings: 1 },
      { kind: 'end', exit: 0, code: 'ok' },
    ]);
    expect(exit).toBe(0);
  });

  it('tells names below others as they are read, and that wildcards alone mean the names, too', async () => {
    folder.write('below.txt', '*.a.example\n*.b.example\n');
    const { exit, stdout } = await check(['below.txt', '--json', '--resolve', 'firewall']);
    expect(ndjson(stdout)).toMatchObject([
      { line: 1, kind: 'entry', canonical: '.a.example' },
      { line: 2, kind: 'entry', canonical: '.b.example' },
      { kind: 'list-file', format: 'plain', skipped: [], widened: 2 },
      { kind: 'summary', entries: 2, rejects: 0, warnings: 0 },
      { kind: 'end', exit: 0 },
    ]);
    expect(exit).toBe(0);
  });

  it('refuses a document that is faulty as a whole, with the part', async () => {
    const { exit, stdout } = await check(['faulty.yaml', '--json']);
    expect(ndjson(stdout)).toContainEqual(
      expect.objectContaining({ kind: 'reject', code: 'unknown-list', part: 'default', line: 5, column: 33 }),
    );
    expect(ndjson(stdout).at(-2)).toMatchObject({ kind: 'summary', rejects: 1 });
    expect(exit).toBe(2);
  });

  it('--direction ingress reads rules about sources', async () => {
    const rule = 'accept src4=192.0.2.1\n';
    const ingress = await check(['-', '--json', '--direction', 'ingress'], rule);
    expect(ndjson(ingress.stdout)[0]).toMatchObject({
      kind: 'rule',
      canonical: 'action=accept src4=192.0.2.1/32',
    });
    const egress = await check(['-', '--json'], rule);
    expect(ndjson(egress.stdout)[0]).toMatchObject({ kind: 'reject', code: 'wrong-direction', column: 8 });
    expect([ingress.exit, egress.exit]).toEqual([0, 2]);
  });

  it('answers each line of the Qubes fixtures as parseRule does', async () => {
    const cases: readonly { readonly id: string; readonly line: string }[] = JSON.parse(
      readFileSync(new URL('rule-lines.json', FIXTURES), 'utf8'),
    );
    expect(cases.length).toBe(93);
    // A rule before each keeps the line numbers, and blank lines, which hold nothing, apart from refused
    // ones.
    const text = cases.map(({ line }) => `drop\n${line}\n`).join('');
    const { stdout } = await check(['-', '--json', '--at', String(NOW)], text);
    const answers = new Map(ndjson(stdout).map((answer) => [answer.line, answer]));
    for (const [i, { id, line }] of cases.entries()) {
      const answer = answers.get(2 * i + 2);
      if (line.trim() === '') {
        expect(answer, id).toBeUndefined();
        continue;
      }
      const expected = parseRule(line, 'egress', NOW);
      if (expected.kind === 'rule') {
        expect(answer, id).toMatchObject({ kind: 'rule', canonical: formatRule(expected.rule, 'egress') });
      } else {
        const { code, column, reason } = expected;
        expect(answer, id).toMatchObject({ kind: 'reject', code, column, reason });
      }
    }
  });
});

describe('check for people', () => {
  it('says where, what and why, then one line a file', async () => {
    const { exit, stdout, stderr } = await check(['list.txt', 'bad.rules']);
    const lines = stdout.split('\n');
    expect(lines[0]).toMatch(/^list\.txt:3:1: bad-address: "10\.0\.0\.300" is no address/);
    expect(lines[1]).toMatch(/^bad\.rules:3:13: unknown-option: /);
    expect(lines.slice(2)).toEqual([
      'list.txt: a list of prefixes (plain), 3 entries, 1 refused',
      'bad.rules: egress rules, 1 rule, 1 refused',
      '',
    ]);
    expect(stderr).toBe('');
    expect(exit).toBe(2);
  });

  it('says what is wrong with all files together before what each is', async () => {
    const { exit, stdout } = await check(['good.yaml', 'list2.txt']);
    expect(stdout.split('\n')).toEqual([
      expect.stringMatching(/^warning: no rule uses list spare/),
      expect.stringMatching(/^warning: no rule uses list list2/),
      'good.yaml: a rule set document, 2 rules, 2 entries, 1 warning, nothing refused',
      'list2.txt: a list of prefixes (plain), 1 entry, 1 warning, nothing refused',
      '',
    ]);
    expect(exit).toBe(0);
  });

  it('is plain in a pipe, and coloured where FORCE_COLOR asks for it and NO_COLOR does not', async () => {
    const run = async (args: readonly string[], env: Readonly<Record<string, string>>) =>
      (await rulectl(['check', 'bad.rules', ...args], { cwd: folder.path, env })).stdout.includes('\u001b[');
    expect(await run([], {})).toBe(false);
    expect(await run([], { FORCE_COLOR: '1' })).toBe(true);
    expect(await run([], { FORCE_COLOR: '1', NO_COLOR: '1' })).toBe(false);
    expect(await run(['--no-color'], { FORCE_COLOR: '1' })).toBe(false);
  });

  it('shows the first thousand refused lines and counts the rest', async () => {
    const { stdout } = await check(['-'], `192.0.2.1\n${'10.0.0.300\n'.repeat(1500)}`);
    const lines = stdout.trimEnd().split('\n');
    expect(lines.length).toBe(1002);
    expect(lines.at(-2)).toBe('… and 500 more');
    expect(lines.at(-1)).toBe('(standard input): a list of prefixes (plain), 1 entry, 1,500 refused');
  });

  it.each([
    [['absent.txt'], 'there is no file absent.txt'],
    [['lists'], 'lists is a folder'],
  ])('refuses %j', async (args, message) => {
    const { exit, stderr } = await check(args);
    expect(stderr).toContain(`rulectl: ${message}`);
    expect(exit).toBe(2);
  });

  it('says what lists leave out, also those that documents name, and what wildcards mean', async () => {
    folder.write(
      'ads.txt',
      '||a.example^\n@@/ad\n@@||c.example^$app=x\n##.ad\nd.example\n@@||b.a.example^\n',
    );
    folder.write('below.txt', '*.a.example\n');
    folder.write('ads.yaml', 'lists: { ads: { file: ads.txt, resolve: firewall, subdomains: true } }\n');
    const left =
      'ads.txt:2: not used: 2 exceptions of what no list carries: patterns, parts of pages, addresses (exception)\n' +
      'ads.txt:4: not used: 1 rules that hide parts of pages (cosmetic)\n';
    const document = await check(['ads.yaml']);
    expect(document.stdout).toBe(`${left}ads.yaml: a rule set document, 2 entries, nothing refused\n`);
    const lists = await check(['ads.txt', 'below.txt', '--resolve', 'firewall']);
    expect(lists.stdout).toBe(
      `${left}below.txt: 1 entry *.name is read as .name, which is the name and all below it: the file has no others\n` +
        'ads.txt: a list of names (adblock), 2 entries, nothing refused\n' +
        'below.txt: a list of names (plain), 1 entry, nothing refused\n',
    );
    expect([document.exit, lists.exit]).toEqual([0, 0]);
  });

  it('warns of names below others, which a push needs resolve: firewall for', async () => {
    folder.write('ads.txt', '||a.example^\n');
    const { exit, stdout } = await check(['ads.txt']);
    expect(stdout).toContain('list ads has entries for names below others (1)');
    expect(stdout).toContain('1 entry, 1 warning, nothing refused');
    expect(exit).toBe(0);
  });

  it('refuses what is below a public suffix, unless told otherwise', async () => {
    folder.write('tld.txt', '||com^\n||a.example^\n');
    const args = ['tld.txt', '--resolve', 'firewall'];
    const refused = await check(args);
    expect(refused.stdout).toContain('tld.txt:1:3: public-suffix: "com" is a public suffix');
    expect([refused.exit, (await check([...args, '--allow-public-suffixes'])).exit]).toEqual([2, 0]);
  });

  it('places the reject of a named file that is not there in the document', async () => {
    const { exit, stdout } = await check(['elsewhere/lost.yaml']);
    expect(stdout).toMatch(/^elsewhere\/lost\.yaml:2:\d+: missing-file: /);
    expect(exit).toBe(2);
  });
});

describe('check says of files what a push of them would', () => {
  const twice = 'policies:\n  default: { egress: ["drop dst=@list2"] }\n';
  folder.write('uses.yaml', twice);
  folder.write('again.yaml', twice);
  folder.write('a b.txt', '192.0.2.1\n');

  it.each<[string, readonly string[], number, string]>([
    ['a list that nobody has is refused', ['uses.yaml'], 2, 'unknown-list'],
    ['a list on the same command line is there', ['uses.yaml', 'list2.txt'], 0, 'nothing refused'],
    [
      'and so is one that the publisher is said to have',
      ['uses.yaml', '--known-list', 'list2'],
      0,
      'nothing',
    ],
    ['one policy in two files is refused', ['uses.yaml', 'again.yaml', 'list2.txt'], 2, 'duplicate-part'],
    ['a file that cannot name a list is refused', ['a b.txt'], 2, 'bad-part-name'],
    ['unless --list does', ['a b.txt', '--list', 'ab'], 0, 'nothing refused'],
    ['--list needs a list', ['good.rules', '--list', 'ab'], 64, 'none of the files is a list'],
  ])('%s', async (_title, args, exit, says) => {
    const ended = await check(args);
    expect(ended.stdout + ended.stderr).toContain(says);
    expect(ended.exit).toBe(exit);
  });

  it('--live asks the publisher by a push that releases nothing', async () => {
    let asked: SentPush | undefined;
    const publisher = await FakePublisher.start(async (connection) => {
      asked = await receivePush(connection);
      await connection.send({ kind: 'fail', code: 'bad-rule-set', text: 'list2 is a list of names' });
    });
    const args = ['uses.yaml', '--live', '--control', publisher.endpoint];
    const { exit, stderr } = await check(args);
    await publisher.stop();
    expect(asked?.push).toMatchObject({ action: 'replace', replaceAll: false, dryRun: true });
    expect(asked?.files).toMatchObject([{ name: 'uses.yaml', content: twice }]);
    expect(stderr).toContain('list2 is a list of names');
    expect(exit).toBe(2);
  });

  it.each(['--known-list', '--at', '--direction'])('--live knows better than %s', async (option) => {
    const value = option === '--direction' ? 'egress' : '1';
    const { exit, stderr } = await check(['uses.yaml', '--live', option, value]);
    expect(stderr).toContain(`${option} goes without --live`);
    expect(exit).toBe(64);
  });
});

describe('check of published lists', () => {
  // Both were taken for rule set documents.
  const many = Array.from({ length: 9000 }, (_, i) => `192.0.${i >> 8}.${i & 255}`);
  folder.write('misp.json', JSON.stringify({ description: 'x', list: many, type: 'cidr', version: 1 }));
  folder.write('fastly.json', '{"addresses":["23.235.32.0/20"],"ipv6_addresses":["2a04:4e40::/32"]}');
  folder.write('any.json', '{"ranges": ["192.0.2.0/24"]}');

  it.each<[readonly string[], number, string]>([
    [['misp.json'], 0, 'misp.json: a list of prefixes (misp), 9,000 entries, nothing refused'],
    [['fastly.json'], 0, 'fastly.json: a list of prefixes (json), 2 entries, nothing refused'],
    [['any.json'], 2, 'any.json:1:1: unknown-json: '],
    [['any.json', '--format', 'json'], 2, 'any.json: a list of prefixes (json)'],
    [['list2.txt', '--format', 'hosts'], 2, 'list2.txt: a list of names (hosts)'],
  ])('%j', async (args, exit, says) => {
    const ended = await check(args);
    expect(ended.stdout).toContain(says);
    expect(ended.exit).toBe(exit);
  });

  folder.write('ads.hosts', '127.0.0.1 localhost\n0.0.0.0 ads.example.com\n192.0.2.1 intranet.example.com\n');
  folder.write(
    'cloud.json',
    '{"prefixes": [{"ipv4Prefix": "192.0.2.0/24"}, {"ipv4Prefix": "192.0.2.300"}]}\n',
  );
  folder.write('short.txt', '192.0.2.1\n64.0.0.0/4\n');
  folder.write('half.netset', '# Entries         : 3 subnets, 768 unique IPs\n192.0.2.0/24\n');
  folder.write('page.txt', '<!DOCTYPE html>\n<title>429 Too Many Requests</title>\n');

  it('says the format and what is not used', async () => {
    const { exit, stdout } = await check(['ads.hosts']);
    expect(stdout.split('\n').slice(0, -1)).toEqual([
      'ads.hosts:1: not used: 1 names of the machine itself, such as localhost (local-name)',
      'ads.hosts:3: not used: 1 names that are sent elsewhere and not blocked (redirect)',
      'ads.hosts: a list of names (hosts), 1 entry, nothing refused',
    ]);
    expect(exit).toBe(0);
  });

  it('reads JSON that is a list as one, with the place of what it refuses', async () => {
    const { exit, stdout } = await check(['cloud.json', '--json']);
    expect(ndjson(stdout)).toMatchObject([
      { line: 1, kind: 'entry', canonical: '192.0.2.0/24' },
      { line: 1, kind: 'reject', code: 'bad-address', column: 63 },
      { kind: 'list-file', format: 'google', skipped: [] },
      { kind: 'summary', entries: 1, rejects: 1 },
      { kind: 'end', exit: 2, code: 'bad-input' },
    ]);
    expect(exit).toBe(2);
  });

  it('warns of a file that holds less than it states, and refuses a page of a web server', async () => {
    const { exit, stdout } = await check(['half.netset', 'page.txt']);
    expect(stdout).toMatch(
      /^warning: the file seems .* states 3 subnets in line 1 and holds 1 \(truncated\)$/m,
    );
    expect(stdout).toMatch(/^page\.txt:1:1: looks-like-html: /m);
    expect(exit).toBe(2);
  });

  it('warns of CIDRs that a source would be refused for', async () => {
    const { exit, stdout } = await check(['short.txt']);
    expect(stdout).toMatch(
      /^warning: one CIDR is shorter than \/8, .* the first in line 2: 64\.0\.0\.0\/4; .* \(short-prefix\)$/m,
    );
    expect(exit).toBe(0);
  });
});

describe('a million entries', () => {
  const text = Array.from({ length: 1_000_000 }, (_, i) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`).join(
    '\n',
  );
  const path = folder.write('million.txt', text);
  const main = fileURLToPath(new URL('../dist/main.js', import.meta.url));

  it('come out one by one, to a reader that is slow', async () => {
    const child = spawn(process.execPath, [main, 'check', '--json', path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let lines = 0;
    let tail = '';
    for await (const chunk of child.stdout.setEncoding('utf8')) {
      const piece: string = chunk;
      lines += piece.split('\n').length - 1;
      tail = piece;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(lines).toBe(1_000_003); // one for each entry, one of the list, one of all, and the end
    expect(tail.trimEnd().split('\n').slice(-2)).toEqual([
      '{"kind":"summary","files":1,"rules":0,"entries":1000000,"rejects":0,"warnings":0}',
      '{"kind":"end","exit":0,"code":"ok"}',
    ]);
  });

  it('end quietly when the reader goes away', async () => {
    const child = spawn(process.execPath, [main, 'check', '--json', path], { stdio: 'pipe' });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      stderr += chunk;
    });
    child.stdout.once('data', () => child.stdout.destroy());
    const exit = await new Promise((resolve) => child.on('close', resolve));
    expect(stderr).toBe('');
    expect(exit).toBe(141);
  });
});
