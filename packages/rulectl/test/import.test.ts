/** `rulectl import qubes`: the rules of qubes, in both forms that dom0 has them, as one document. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { rulectl } from './cli.ts';

/** As dom0 writes it. */
function firewallXml(...rules: readonly (readonly (readonly [string, string])[])[]): string {
  const properties = (rule: readonly (readonly [string, string])[]): string =>
    rule.map(([name, value]) => `        <property name="${name}">${value}</property>\n`).join('');
  const all = rules.map(
    (rule) => `    <rule>\n      <properties>\n${properties(rule)}      </properties>\n    </rule>\n`,
  );
  return `<?xml version='1.0' encoding='UTF-8'?>\n<firewall version="2">\n  <rules>\n${all.join('')}  </rules>\n</firewall>\n`;
}

function filesOf(files: Readonly<Record<string, string>>): string {
  const directory = temporaryDirectory();
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), text);
  }
  return directory;
}

const QUBES = 'work|10.137.0.5|fd09::a89:5\npersonal|10.137.0.6|-\ndom0|-|-\n';

describe('import qubes', () => {
  it('makes a policy for each qube, which check takes, of --raw output and firewall.xml', async () => {
    const cwd = filesOf({
      'qubes.txt': QUBES,
      'work.rules':
        'action=accept proto=tcp dst4=192.0.2.0/24 dstports=443-443\naction=drop comment=no more\n',
      'appvms/personal/firewall.xml': firewallXml(
        [
          ['comment', 'a b&#46;'],
          ['action', 'accept'],
          ['dsthost', '198.51.100.0/24'],
        ],
        [
          ['action', 'accept'],
          ['specialtarget', 'dns'],
        ],
      ),
    });
    const words = [
      'import',
      'qubes',
      'work.rules',
      'appvms/personal/firewall.xml',
      '--addresses',
      'qubes.txt',
    ];
    const { exit, stdout, stderr } = await rulectl(words, { cwd });
    expect(stderr).toBe('');
    expect(exit).toBe(0);
    expect(stdout).toBe(`policies:
  "work":
    prefixes: [10.137.0.5, fd09::a89:5]
    egress:
      - "action=accept dst4=192.0.2.0/24 proto=tcp dstports=443-443"
      - "action=drop comment=no more"
  "personal":
    prefixes: [10.137.0.6]
    egress:
      - "action=accept dst4=198.51.100.0/24 comment=a b."
      - "action=accept specialtarget=dns"
unmatched: accept # other qubes are left to the firewall of Qubes
`);
    writeFileSync(join(cwd, 'firewall.yaml'), stdout);
    const checked = await rulectl(['check', 'firewall.yaml'], { cwd });
    expect(checked.stdout).toContain('4 rules');
    expect(checked.exit).toBe(0);
  });

  it('of a qube without rules is a policy that drops', async () => {
    const xml = '<firewall version="2">\n  <rules/>\n</firewall>\n';
    const cwd = filesOf({ 'qubes.txt': QUBES, 'work/firewall.xml': xml });
    const words = ['import', 'qubes', 'work/firewall.xml', '--addresses', 'qubes.txt'];
    expect((await rulectl(words, { cwd })).stdout).toContain('    egress: []\n');
  });

  it('refuses all where one line is refused, and says each', async () => {
    const xml = firewallXml(
      [['action', 'accept']],
      [
        ['action', 'accept'],
        ['proto', 'gre'],
      ],
    );
    const cwd = filesOf({
      'qubes.txt': QUBES,
      'work.rules': 'action=accept\naction=allow\n',
      'personal/firewall.xml': xml,
    });
    const words = ['import', 'qubes', 'work.rules', 'personal/firewall.xml', '--addresses', 'qubes.txt'];
    const { exit, stdout, stderr } = await rulectl(words, { cwd });
    expect([exit, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(
      /^work\.rules:2:8: .*\npersonal\/firewall\.xml: rule 2: .*\nrulectl: 2 lines refused/,
    );
  });

  it.each([
    [
      'of an older version',
      firewallXml([['action', 'accept']]).replace('"2"', '"1"'),
      ':1:1: bad-firewall-xml',
    ],
    ['that is cut', firewallXml([['action', 'accept']]).slice(0, 150), 'bad-firewall-xml'],
    [
      'with something else in it',
      firewallXml([['action', 'accept']]).replace('<rule>', '<rule><!-- x -->'),
      ':4:',
    ],
    ['with more behind it', `${firewallXml([['action', 'accept']])}<x/>`, 'bad-firewall-xml'],
  ])('refuses a firewall.xml %s', async (_, xml, said) => {
    const cwd = filesOf({ 'qubes.txt': QUBES, 'work/firewall.xml': xml });
    const words = ['import', 'qubes', 'work/firewall.xml', '--addresses', 'qubes.txt'];
    const { exit, stdout, stderr } = await rulectl(words, { cwd });
    expect([exit, stdout]).toEqual([2, '']);
    expect(stderr).toContain(said);
  });

  it.each([
    [['vault.rules'], 2, 'qubes.txt has no address of vault'],
    [['work.rules', 'work.txt'], 64, 'the rules of work are named twice'],
    [['-'], 64, '- has no name of a qube'],
    [['firewall.xml'], 64, 'name the file QUBE/firewall.xml'],
    [['first.rules'], 64, 'rename the file, and the qube in qubes.txt, as in first-qube'],
    [['common.rules'], 64, 'a policy common is not that of one qube'],
    [['default.rules'], 64, 'a policy default is not that of one qube'],
  ])('does nothing for %s', async (files, exit, said) => {
    const rules = 'action=accept\n';
    const cwd = filesOf({ 'qubes.txt': QUBES, 'work.rules': rules, 'work.txt': rules, 'vault.rules': rules });
    const result = await rulectl(['import', 'qubes', ...files, '--addresses', 'qubes.txt'], { cwd });
    expect(result.stderr).toContain(said);
    expect([result.exit, result.stdout]).toEqual([exit, '']);
  });
});
