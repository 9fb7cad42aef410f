/** `rulectl check --test` and `--packets`, run as a program, and the options that make its environment. */

import { readFileSync } from 'node:fs';
import { formatPrefixAt } from '@rulecast/rules';
import { afterAll, describe, expect, it } from 'vitest';
import { parseResolutions, parseTime } from '../src/offline/environment.ts';
import { withoutOldCommand } from '../src/old-words.ts';
import { Folder, ndjson, rulectl } from './cli.ts';

const FIXTURES = new URL('../../../test/fixtures/qubes-rules/', import.meta.url);
const folder = new Folder();
afterAll(() => folder.remove());

folder.write(
  'web.rules',
  [
    'accept dst4=192.0.2.0/24 proto=tcp dstports=443',
    'accept specialtarget=dns',
    'accept dsthost=a.example',
    'accept dst4=198.51.100.1 expire=1800000000',
    'drop',
  ].join('\n'),
);
folder.write('own.yaml', 'policies: { default: { egress: [drop] } }\n');
folder.write('bad.rules', 'accept\ndrop foo=1\n');
folder.write('drop.txt', '192.0.2.0/25\n');
folder.write(
  'office.yaml',
  [
    'lists:',
    '  drop: { file: drop.txt }',
    'common: { egress: ["drop dst=@drop"] }',
    'policies:',
    '  default: { egress: [drop] }',
    '  work: { prefixes: [10.137.0.5/32], default: accept, egress: ["drop proto=udp"] }',
    '',
  ].join('\n'),
);
folder.write('faulty.yaml', 'policies:\n  default: { egress: ["drop dst=@nothing"] }\n');

folder.write(
  'names.yaml',
  [
    'lists: { ads: { names: [ads.example, "*.ads.example"], resolve: firewall } }',
    'common: { egress: [drop dst=@ads], blocked: refused }',
    'policies: { work: { prefixes: [10.137.0.5], egress: [accept dsthost=a.example] } }',
    'unmatched: drop',
    '',
  ].join('\n'),
);

/** With the words of `test --offline`, which are read so until 0.4. */
const test = (args: readonly string[], stdin = '') =>
  rulectl(withoutOldCommand(['test', '--offline', ...args]).words, { cwd: folder.path, stdin });

/** What programs are told, without warnings and the end. */
function answersIn(stdout: string): readonly Readonly<Record<string, unknown>>[] {
  return ndjson(stdout).filter(({ kind }) => kind !== 'warning' && kind !== 'end');
}

describe('check --test --json', () => {
  it('answers each packet with rule, list, prefix and judging policy', async () => {
    const { exit, stdout, stderr } = await test([
      'office.yaml',
      '--json',
      '10.137.0.5 > 192.0.2.7 tcp/443',
      '10.137.0.5 > 192.0.2.200 tcp/443',
      '10.137.0.5 > 192.0.2.200 udp/53',
      '192.0.2.200',
    ]);
    expect(stderr).toMatch(/^warning: policy work has IPv4 prefixes only: .* \(policy-of-one-family\)\n$/);
    expect(answersIn(stdout)).toMatchObject([
      {
        action: 'drop',
        policy: 'work',
        block: 'common',
        rule: 'action=drop dst=@drop',
        list: 'drop',
        prefix: '192.0.2.0/25',
        packet: '10.137.0.5 > 192.0.2.7 tcp/443',
      },
      {
        action: 'accept',
        policy: 'work',
        packet: '10.137.0.5 > 192.0.2.200 tcp/443',
      },
      {
        action: 'drop',
        policy: 'work',
        block: 'own',
        rule: 'action=drop proto=udp',
        packet: '10.137.0.5 > 192.0.2.200 udp/53',
      },
      {
        action: 'drop',
        policy: 'default',
        block: 'own',
        rule: 'action=drop',
        packet: '192.0.2.200',
      },
    ]);
    expect(exit).toBe(0);
  });

  it('takes an address of a policy that is written in place of a sender, and says which', async () => {
    const packets = ['work > 192.0.2.7', 'work > 192.0.2.200 udp/53', 'default > 192.0.2.200'];
    const { exit, stdout } = await test(['office.yaml', '--json', ...packets]);
    expect(answersIn(stdout)).toMatchObject([
      {
        action: 'drop',
        policy: 'work',
        rule: 'action=drop dst=@drop',
        packet: packets[0],
        source: '10.137.0.5',
      },
      { action: 'drop', policy: 'work', rule: 'action=drop proto=udp', source: '10.137.0.5' },
      { action: 'drop', policy: 'default', rule: 'action=drop' }, // of whom no policy names
    ]);
    expect(answersIn(stdout)[2]).not.toHaveProperty('source');
    expect(exit).toBe(0);
    const shown = await test(['office.yaml', 'work > 192.0.2.7']);
    expect(shown.stdout.split('\n').slice(0, 3)).toEqual([
      'work > 192.0.2.7: drop',
      '  source     10.137.0.5',
      '  policy     work, egress',
    ]);
  });

  it.each([
    ['wrok > 192.0.2.7', 'no policy is called wrok: write the address of a qube, or one of default, work'],
    ['common > 192.0.2.7', 'no policy is called common'],
    ['work > 2001:db8::1', 'the policy work has no IPv6 address'],
    ['work > 192.0.2.700', 'column 8: "192.0.2.700" is no address'],
  ])('refuses %s', async (packet, words) => {
    const { exit, stdout, stderr } = await test(['office.yaml', packet]);
    expect(stderr).toContain(words);
    expect([exit, stdout]).toEqual([2, '']);
  });

  it.each([
    ['drop', '10.137.0.9 > 203.0.113.7 tcp/443', { action: 'drop' }],
    ['accept', '10.137.0.9 > 203.0.113.7 tcp/443', { action: 'none' }],
    ['drop', 'fd00::5 > 2001:db8::1 tcp/443', { action: 'drop' }],
    [
      'accept',
      '10.137.0.9 > 198.51.100.7 tcp/443',
      { action: 'drop', block: 'common', rule: 'action=drop dst4=198.51.100.0/24' },
    ],
    [
      'drop',
      '10.137.0.5 > 198.51.100.7 tcp/443',
      { action: 'accept', policy: 'work', block: 'exceptions', rule: 'action=accept dst4=198.51.100.7/32' },
    ],
  ])('judges unmatched qubes and exceptions: unmatched %s, %s', async (unmatched, packet, expected) => {
    folder.write(
      'unmatched.yaml',
      [
        'common: { egress: [drop dst4=198.51.100.0/24] }',
        'policies:',
        '  work:',
        '    prefixes: [10.137.0.5]',
        '    exceptions: { egress: [accept dst4=198.51.100.7] }',
        '    egress: [accept]',
        `unmatched: ${unmatched}`,
        '',
      ].join('\n'),
    );
    const { exit, stdout } = await test(['unmatched.yaml', '--json', packet]);
    expect(answersIn(stdout)).toMatchObject([expected]);
    expect(exit).toBe(0);
  });

  it('warns where nothing is said of unmatched qubes, with the lines to choose from', async () => {
    folder.write(
      'said-nothing.yaml',
      'policies: { work: { prefixes: [10.137.0.5, "fd00::5"], egress: [accept] } }\n',
    );
    const { stdout, stderr } = await test(['said-nothing.yaml', '--json', '10.137.0.9 > 203.0.113.7']);
    expect(answersIn(stdout)).toEqual([expect.objectContaining({ action: 'none' })]);
    expect(stderr).toMatch(/"unmatched: drop".*"unmatched: accept".*\(unmatched-not-said\)/);
  });

  it('answers none, and no more, where no policy judges', async () => {
    const { exit, stdout } = await test(['own.yaml', '--json', '--direction', 'ingress', '192.0.2.7']);
    expect(answersIn(stdout)).toEqual([{ kind: 'verdict', action: 'none', packet: '192.0.2.7' }]);
    expect(exit).toBe(0);
  });

  it('compares with expectations, and ends with 1 where one is not met', async () => {
    const met = '{"dst": "192.0.2.7", "proto": "tcp", "dport": 443, "expect": "accept"}';
    const unmet = '{"dst": "192.0.2.7", "proto": "tcp", "dport": 80, "expect": "accept"}';
    const open = '{"dst": "192.0.2.7", "proto": "gre"}';
    const bad = await test(['web.rules', '--packets', '-', '--json'], `${met}\n\n${unmet}\n${open}\n`);
    expect(answersIn(bad.stdout)).toEqual([
      expect.objectContaining({ line: 1, action: 'accept', expect: 'accept', ok: true }),
      expect.objectContaining({ line: 3, action: 'drop', expect: 'accept', ok: false }),
      expect.objectContaining({ action: 'drop', policy: 'default', rule: 'action=drop', line: 4 }),
    ]);
    expect(bad.exit).toBe(1);
    const good = await test(['web.rules', '--packets', '-', '--json'], met);
    expect(good.exit).toBe(0);
  });

  it('places a refused packet, goes on, and ends with 2', async () => {
    const packets =
      '{"dst": "192.0.2.7", "proto": "tcq"}\n{"dst": "192.0.2.7", "proto": "tcp", "expect": "accept"}\n';
    const { exit, stdout } = await test(['web.rules', '--packets', '-', '--json'], packets);
    expect(answersIn(stdout)).toEqual([
      expect.objectContaining({ kind: 'reject', file: '-', line: 1, column: 31, code: 'bad-proto' }),
      expect.objectContaining({ line: 2, ok: false }),
    ]);
    expect(exit).toBe(2);
  });

  it('refuses a rule set with bad lines, each with its place', async () => {
    const { exit, stdout, stderr } = await test(['bad.rules', '--json', '192.0.2.7']);
    expect(answersIn(stdout)).toEqual([
      expect.objectContaining({
        kind: 'reject',
        file: 'bad.rules',
        line: 2,
        column: 6,
        code: 'unknown-option',
      }),
      { kind: 'error', code: 'bad-input', message: '1 line is refused: no packet was judged' },
    ]);
    expect(stderr).toBe('rulectl: 1 line is refused: no packet was judged (rulectl help bad-input)\n');
    expect(exit).toBe(2);
  });

  it('refuses a rule set that is faulty as a whole', async () => {
    const { exit, stdout } = await test(['faulty.yaml', '--json', '192.0.2.7']);
    expect(answersIn(stdout)[0]).toMatchObject({ kind: 'reject', code: 'unknown-list', part: 'default' });
    expect(exit).toBe(2);
  });

  it('refuses a list, and says what to give instead', async () => {
    const { exit, stdout, stderr } = await test(['drop.txt', '--json', '192.0.2.7']);
    expect(stderr).toContain('drop.txt: lists decide nothing alone: give a rule set document');
    expect(answersIn(stdout)).toEqual([expect.objectContaining({ kind: 'error', code: 'not-a-rule-set' })]);
    expect(exit).toBe(2);
  });

  it('refuses a packet of the command line with its column', async () => {
    const { exit, stderr } = await test(['web.rules', '192.0.2.7 tcp/99999']);
    expect(stderr).toContain('packet "192.0.2.7 tcp/99999", column 15: ');
    expect(exit).toBe(2);
  });
});

describe('a test that tests nothing', () => {
  it.each([
    ['an empty file of packets', '', 'holds no packet'],
    ['a file that expects nothing', '{"dst": "192.0.2.7", "proto": "gre"}\n', 'expects nothing'],
  ])('is refused: %s', async (_what, packets, says) => {
    const { exit, stderr } = await test(['web.rules', '--packets', '-'], packets);
    expect(stderr).toContain(`rulectl: (standard input) ${says}`);
    expect(exit).toBe(2);
  });

  it.each<[readonly string[], string]>([
    [['web.rules'], '--test needs a value'],
    [['web.rules', '--packets', '-', '--expect', 'drop'], '--expect goes with --test: in a file of packets'],
  ])('is refused: %j', async (args, says) => {
    const { exit, stderr } = await test(args);
    expect(stderr).toContain(says);
    expect(exit).toBe(64);
  });
});

describe('the command line', () => {
  // Packets after -- were left out, with exit code 0.
  it('takes packets after --', async () => {
    const { exit, stdout } = await test(['web.rules', '--json', '192.0.2.7', '--', '192.0.2.8', '192.0.2.9']);
    expect(answersIn(stdout).map(({ packet }) => packet)).toEqual(['192.0.2.7', '192.0.2.8', '192.0.2.9']);
    expect(exit).toBe(0);
  });

  it.each([
    ['drop', 0],
    ['accept', 1],
  ])('--expect %s ends with %d', async (action, expected) => {
    const { exit, stdout } = await test(['web.rules', '--json', '--expect', action, '192.0.3.7']);
    expect(answersIn(stdout)[0]).toMatchObject({ action: 'drop', expect: action, ok: expected === 0 });
    expect(exit).toBe(expected);
  });

  it('takes several files as one push', async () => {
    folder.write('apart.yaml', 'policies:\n  default: { default: accept, egress: ["drop dst=@drop"] }\n');
    const one = await test(['apart.yaml', '--json', '192.0.2.7']);
    expect(answersIn(one.stdout)[0]).toMatchObject({
      kind: 'reject',
      code: 'unknown-list',
      file: 'apart.yaml',
    });
    const both = await test(['apart.yaml', '--offline', 'drop.txt', '--json', '192.0.2.7', '192.0.2.200']);
    expect(answersIn(both.stdout).map(({ action }) => action)).toEqual(['drop', 'accept']);
    expect([one.exit, both.exit]).toEqual([2, 0]);
  });
});

describe('the environment', () => {
  it.each([
    [
      'names stand for what --resolve says',
      ['--resolve', 'A.example.=203.0.113.1,2001:db8::1', '203.0.113.1'],
      'accept',
    ],
    ['in both families', ['--resolve', 'a.example=203.0.113.1,2001:db8::1', '2001:db8::1'], 'accept'],
    ['and for nothing else', ['--resolve', 'a.example=203.0.113.1', '203.0.113.2'], 'drop'],
    ['DNS is that of Qubes', ['10.139.1.2 udp/53'], 'accept'],
    ['unless --dns says otherwise', ['--dns', '9.9.9.9', '10.139.1.2 udp/53'], 'drop'],
    ['and then it is that', ['--dns', '9.9.9.9', '9.9.9.9 tcp/53'], 'accept'],
    ['before the expiry', ['--at', '1799999999', '198.51.100.1'], 'accept'],
    ['at the expiry', ['--at', '2027-01-15T08:00:00Z', '198.51.100.1'], 'drop'],
  ])('%s', async (_title, args, action) => {
    const { exit, stdout } = await test(['web.rules', '--json', ...args]);
    expect(answersIn(stdout)).toEqual([expect.objectContaining({ action })]);
    expect(exit).toBe(0);
  });

  it('warns of a name without addresses, and not of one that has none on purpose', async () => {
    const warned = await test(['web.rules', '--json', '203.0.113.1']);
    expect(warned.stderr).toContain('no address is given for a.example');
    const meant = await test(['web.rules', '--json', '203.0.113.1', '--resolve', 'a.example=']);
    expect(meant.stderr).toBe('');
    expect([warned.exit, meant.exit]).toEqual([0, 0]);
  });

  it.each([
    ['0', 0],
    ['1790000000', 1_790_000_000],
    ['1970-01-02', 86_400],
    ['1970-01-01T00:01', 60],
    ['1970-01-01T00:01:02.9', 62],
    ['1970-01-01T01:00:00+01:00', 0],
  ])('time %s is %d', (text, seconds) => {
    expect(parseTime('--at', text)).toBe(seconds);
  });

  it.each(['', '-1', '1e3', 'now', '1970-13-01', '1970-01-01 00:00', '1970-01-01T25:00'])(
    'time %j is refused',
    (text) => {
      expect(() => parseTime('--at', text)).toThrow('seconds since 1970 or ISO 8601');
    },
  );

  it('resolutions keep names in normal form and addresses in order', () => {
    const resolutions = parseResolutions(['B.example.=192.0.2.2,192.0.2.1', 'c.example=']);
    expect([...resolutions.keys()]).toEqual(['b.example', 'c.example']);
    const addresses = resolutions.get('b.example')?.v4;
    expect(addresses && [formatPrefixAt(addresses, 0), formatPrefixAt(addresses, 1)]).toEqual([
      '192.0.2.1/32',
      '192.0.2.2/32',
    ]);
  });

  it('a name is given once', () => {
    expect(() => parseResolutions(['a.example=192.0.2.1', 'A.example=192.0.2.2'])).toThrow('given twice');
  });
});

describe('check --test for people', () => {
  it('names the rule and its number, and sums up a file of packets', async () => {
    const packet = '{"dst": "192.0.2.7", "proto": "tcp", "dport": 80, "expect": "accept"}\n';
    const { exit, stdout } = await test(['web.rules', '--resolve', 'a.example=', '--packets', '-'], packet);
    expect(stdout.split('\n')).toEqual([
      '(standard input):1: drop',
      '  expected   accept',
      '  policy     default, egress',
      '  rule       action=drop (number 5)',
      '1 packet, 0 of 1 as expected',
      '',
    ]);
    expect(exit).toBe(1);
  });
});

describe('the verdicts of the Qubes fixtures', () => {
  interface VerdictCase {
    readonly id: string;
    readonly rules: readonly string[];
    readonly packets: readonly {
      readonly proto: string;
      readonly dst: string;
      readonly dport?: number;
      readonly type?: number;
      readonly verdict: string;
    }[];
  }
  const cases: readonly VerdictCase[] = JSON.parse(readFileSync(new URL('verdicts.json', FIXTURES), 'utf8'));
  const names = {
    'yum.qubes-os.org': '193.219.28.150',
    'two.test': '192.0.2.10,192.0.2.11',
    'v6only.test': '2001:db8::66',
  };
  const resolve = Object.entries(names).flatMap(([name, addresses]) => ['--resolve', `${name}=${addresses}`]);
  /**
   * Where ours differ, which docs/contribute/adr/0001 gives the reasons for: refused whole, or other
   * verdicts.
   */
  const REFUSED: ReadonlySet<string> = new Set(['V17', 'V22', 'V23', 'V24']);
  const OURS: ReadonlyMap<string, readonly string[]> = new Map([
    ['V20', ['accept', 'drop']],
    ['V21', ['accept']],
  ]);

  it('are all here', () => {
    expect(cases.length).toBe(24);
  });

  it.each(cases.map((one) => [one.id, one] as const))('%s', async (id, { rules, packets }) => {
    const file = folder.write(`${id}.rules`, `${rules.join('\n')}\n`);
    const lines = packets.map(({ proto, dst, dport, type, verdict }, i) =>
      JSON.stringify({ dst, proto, dport, icmptype: type, expect: OURS.get(id)?.[i] ?? verdict }),
    );
    const packetFile = folder.write(`${id}.ndjson`, lines.join('\n'));
    const args = [file, '--json', '--at', '1790000000', ...resolve, '--packets', packetFile];
    const { exit, stdout } = await test(args);
    const answers = answersIn(stdout);
    if (REFUSED.has(id)) {
      expect(answers[0]).toMatchObject({ kind: 'reject', file });
      expect(exit).toBe(2);
      return;
    }
    expect(answers.filter(({ ok }) => ok !== true)).toEqual([]);
    expect(answers.length).toBe(packets.length);
    expect(exit).toBe(0);
  });
});

describe('check --test of names', () => {
  it('answers each with how it is answered, rule, list and the name that matched', async () => {
    const asked = ['work ? www.example > x.ads.example', '10.137.0.5 ? A.example'];
    const { exit, stdout, stderr } = await test(['names.yaml', '--json', ...asked]);
    expect(stderr).toContain('(policy-of-one-family)');
    expect(answersIn(stdout)).toMatchObject([
      {
        action: 'drop',
        answer: 'refused',
        policy: 'work',
        block: 'common',
        rule: 'action=drop dst=@ads',
        list: 'ads',
        name: 'x.ads.example',
        question: asked[0],
      },
      {
        action: 'accept',
        answer: 'answer',
        policy: 'work',
        block: 'own',
        rule: 'action=accept dsthost=a.example',
        name: 'a.example',
        question: asked[1],
      },
    ]);
    expect(exit).toBe(0);
  });

  it('tells people the same', async () => {
    const { stdout } = await test(['names.yaml', 'work ? ads.example', 'work ? other.example']);
    expect(stdout).toBe(
      [
        'work ? ads.example: drop',
        '  answer     refused',
        '  policy     work, egress',
        '  rule       action=drop dst=@ads (number 1 of common)',
        '  list       ads',
        '  name       ads.example',
        'work ? other.example: accept',
        '  answer     answer',
        '  policy     work, egress',
        '  rule       none matches: unlisted: answer decides',
        '',
      ].join('\n'),
    );
  });

  it('ends with 1 unless each gets what is expected', async () => {
    expect((await test(['names.yaml', '--expect', 'drop', 'work ? ads.example'])).exit).toBe(0);
    expect((await test(['names.yaml', '--expect', 'drop', 'work ? b.example'])).exit).toBe(1);
  });

  it.each([
    [['names.yaml', 'work ? ads..example'], 2, 'column 8: "ads..example" is no host name'],
    [['names.yaml', 'wrok ? ads.example'], 2, 'no policy is called wrok'],
    [['names.yaml', 'common ? ads.example'], 2, 'no policy is called common'],
    [['names.yaml', 'work ? ads.example', '192.0.2.7'], 64, 'packets and names are not judged together'],
    [['names.yaml', '--dns', '192.0.2.1', 'work ? ads.example'], 64, '--dns is for packets'],
    [['faulty.yaml', 'default ? ads.example'], 2, 'no name was judged'],
  ])('refuses %j', async (args, code, words) => {
    const { exit, stderr } = await test(args);
    expect(stderr).toContain(words);
    expect(exit).toBe(code);
  });
});
