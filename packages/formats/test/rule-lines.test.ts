import { readFileSync } from 'node:fs';
import {
  eachRun,
  formatRule,
  parseRule,
  type Rule,
  RunBuilder,
  rulesIn,
  runRuleCount,
} from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import { parseRuleLines, type RuleLines, type RuleLinesOptions } from '../src/document/rule-lines.ts';
import { detectFormat } from '../src/list/detect-file.ts';

const NOW = 1_750_000_000;

function read(text: string, options: RuleLinesOptions = {}): RuleLines {
  return parseRuleLines(new TextEncoder().encode(text), 'egress', NOW, options);
}

function rulesOf(lines: RuleLines): readonly string[] {
  return Array.from(rulesIn(lines.runs), (rule) => formatRule(rule, 'egress'));
}

describe('parseRuleLines', () => {
  it('reads lines as qvm-firewall prints them, with blank lines, comments, CRLF and a byte order mark', () => {
    const lines = read(
      '\ufeffaction=accept specialtarget=dns\r\n\r\n# office\naction=accept dst4=192.0.2.0/24 proto=tcp dstports=443-443\n \t\n  # x\n  drop\n',
    );
    expect(rulesOf(lines)).toEqual([
      'action=accept specialtarget=dns',
      'action=accept dst4=192.0.2.0/24 proto=tcp dstports=443-443',
      'action=drop',
    ]);
    expect([lines.ruleCount, lines.rejectCount, lines.lineCount]).toEqual([3, 0, 7]);
  });

  it('keeps order and duplicates, and gathers rules alike but for their address into one run', () => {
    const lines = read(
      'drop dst4=192.0.2.9\ndrop dst4=192.0.2.1/30\ndrop dst4=192.0.2.9\ndrop dst6=2001:db8::1\ndrop dst4=192.0.2.8 proto=udp\naccept',
    );
    expect(Array.from(eachRun(lines.runs), runRuleCount)).toEqual([3, 1, 1, 1]);
    expect(rulesOf(lines)).toEqual([
      'action=drop dst4=192.0.2.9/32',
      'action=drop dst4=192.0.2.0/30',
      'action=drop dst4=192.0.2.9/32',
      'action=drop dst6=2001:db8::1/128',
      'action=drop dst4=192.0.2.8/32 proto=udp',
      'action=accept',
    ]);
  });

  it.each([
    ['drop dst4=192.0.2.256', '2:11 bad-address'],
    ['drop dst4=::ffff:192.0.2.1', '2:11 wrong-family'],
    ['drop dst4=2001:db8::1', '2:11 wrong-family'],
    ['drop dst4=', '2:11 bad-address'],
    ['drop dst4=192.0.2.1/33', '2:11 bad-prefix-length'],
    ['drop dst4=192.0.2.1 192.0.2.2', '2:21 unknown-option'],
    ['drop dst4=192.0.2.1 dst4=192.0.2.2', '2:21 duplicate-option'],
    ['drop dst4=192.0.2.1\tproto=tcp', '2:20 tab-in-rule'],
    ['dropp', '2:1 unknown-option'],
    ['drop src4=192.0.2.1', '2:6 wrong-direction'],
    ['drop\0', '2:5 nul-byte'],
  ])('refuses %j after a line like it, at %s', (line, fault) => {
    const { rejects, ruleCount } = read(`drop dst4=192.0.2.1\n${line}\ndrop dst4=192.0.2.3\n`);
    expect(rejects.map((reject) => `${reject.line}:${reject.column} ${reject.code}`)).toEqual([fault]);
    expect(ruleCount).toBe(2);
  });

  it('does not take an address in a comment for the remote side', () => {
    const lines = read(
      'drop dst4=192.0.2.1 comment=dst4 192.0.2.1\ndrop dst4=192.0.2.1 comment=dst4 192.0.2.2\n',
    );
    expect(rulesOf(lines)).toEqual([
      'action=drop dst4=192.0.2.1/32 comment=dst4 192.0.2.1',
      'action=drop dst4=192.0.2.1/32 comment=dst4 192.0.2.2',
    ]);
  });

  it('reads ingress rules by their own options', () => {
    const bytes = new TextEncoder().encode(
      'accept src4=10.137.0.9 proto=tcp dstports=22\naccept src4=10.137.0.10 proto=tcp dstports=22\n',
    );
    const { runs, rejectCount } = parseRuleLines(bytes, 'ingress', NOW);
    expect([Array.from(eachRun(runs), runRuleCount), rejectCount]).toEqual([[2], 0]);
  });

  it('counts expire=+SECONDS from the given time', () => {
    expect(rulesOf(read('accept expire=+60 dst4=192.0.2.1\naccept expire=+60 dst4=192.0.2.2\n'))).toEqual([
      'action=accept expire=1750000060 dst4=192.0.2.1/32',
      'action=accept expire=1750000060 dst4=192.0.2.2/32',
    ]);
  });

  it('gives every rule to a listener, and the same runs as without one', () => {
    const text = '# x\ndrop dst4=192.0.2.1\n  drop dst4=192.0.2.2\nnonsense\naccept\n';
    const heard: string[] = [];
    const faults: number[] = [];
    const result = read(text, {
      onEntry: (line, column, canonical) => heard.push(`${line}:${column} ${canonical()}`),
      onReject: (reject) => faults.push(reject.line),
    });
    expect(heard).toEqual([
      '2:1 action=drop dst4=192.0.2.1/32',
      '3:3 action=drop dst4=192.0.2.2/32',
      '5:1 action=accept',
    ]);
    expect(faults).toEqual([4]);
    expect(result).toEqual(read(text));
  });

  it('takes as much as its limits say and not one more', () => {
    const text = 'drop dst4=192.0.2.1\ndrop dst4=192.0.2.2\n';
    const codes = (limits: RuleLinesOptions['limits']): readonly string[] =>
      read(text, { limits: limits ?? {} }).rejects.map((reject) => `${reject.line} ${reject.code}`);
    expect(codes({ inputBytes: 40, lineBytes: 19, entries: 2 })).toEqual([]);
    expect(codes({ inputBytes: 39 })).toEqual(['1 too-large']);
    expect(codes({ lineBytes: 18 })).toEqual(['1 line-too-long', '2 line-too-long']);
    expect(codes({ entries: 1 })).toEqual(['2 too-many-entries']);
    expect(read('x\n'.repeat(7), { limits: { rejectsKept: 3 } })).toMatchObject({
      rejectCount: 7,
      rejects: { length: 3 },
    });
  });

  it('refuses UTF-16', () => {
    const { rejects } = parseRuleLines(Uint8Array.from([0xff, 0xfe, 0x61, 0]), 'egress', NOW);
    expect(rejects.map((reject) => reject.code)).toEqual(['utf-16']);
  });

  it('takes the lines that dom0 takes, as a file: each as the rule parser does', () => {
    const url = new URL('../../../test/fixtures/qubes-rules/rule-lines.json', import.meta.url);
    const known: readonly { line: string }[] = JSON.parse(readFileSync(url, 'utf8'));
    const lines = known
      .map(({ line }) => line)
      .filter((line) => line.trim() !== '' && !/^[#\s]*#|[\0\r\n]/.test(line));
    expect(lines.length).toBeGreaterThan(80);
    agrees(lines);
  });

  it('agrees with the rule parser line by line on files of similar lines', () => {
    const octet = fc.nat(260);
    const address = fc.oneof(
      fc.tuple(octet, octet).map(([a, b]) => `10.0.${a}.${b}`),
      fc.constantFrom('::1', '::ffff:10.0.0.1', '10.0.0.0/8', '10.0.0.1/33', '10.0.0.01', '', '@bad'),
    );
    const line = fc
      .tuple(
        fc.constantFrom('drop ', 'action=drop ', ' drop ', 'accept '),
        fc.constantFrom('dst4=', 'dst4=', 'dst6=', 'dst=', 'dsthost='),
        address,
        fc.constantFrom('', ' ', ' proto=tcp', ' proto=tcp dstports=1-2', ' comment=a dst4', ' proto=xx'),
      )
      .map((parts) => parts.join(''));
    fc.assert(fc.property(fc.array(line, { maxLength: 40 }), agrees), { numRuns: 500 });
  });

  it('never throws, whatever the bytes', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.constantFrom('egress', 'ingress'),
        (bytes, direction) => {
          const { rejects, rejectCount } = parseRuleLines(bytes, direction, NOW);
          expect(rejects.length).toBe(rejectCount);
        },
      ),
    );
  });
});

/** Whether a file of these lines gives what the rule parser gives for each. */
function agrees(lines: readonly string[]): void {
  const rules: Rule[] = [];
  const faults: string[] = [];
  for (const [index, line] of lines.entries()) {
    const result = parseRule(line, 'egress', NOW);
    if (result.kind === 'rule') rules.push(result.rule);
    else faults.push(`${index + 1}:${result.column} ${result.code}`);
  }
  const runs = new RunBuilder();
  for (const rule of rules) runs.push(rule);
  const read = parseRuleLines(new TextEncoder().encode(lines.join('\n')), 'egress', NOW);
  expect(read.rejects.map((reject) => `${reject.line}:${reject.column} ${reject.code}`)).toEqual(faults);
  expect(read.runs).toEqual(runs.build());
}

it('what qvm-firewall shows people is refused once, with the option that prints rules', () => {
  const shown = 'NO  ACTION  HOST          PROTOCOL  PORT(S)\n0   accept  192.0.2.0/24  tcp       443\n';
  expect(detectFormat('work.txt', Buffer.from(shown))).toBe('rules');
  const { rejects, rejectCount } = parseRuleLines(Buffer.from(`\n${shown}`), 'egress', 0);
  expect(rejects).toEqual([
    { line: 2, column: 1, code: 'not-raw', reason: expect.stringContaining('qvm-firewall QUBE list --raw') },
  ]);
  expect(rejectCount).toBe(1);
});
