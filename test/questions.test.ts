/**
 * What a question of DNS gets is the same to everybody: the vectors, to the reference evaluator, and as
 * docs/explain/names.md tells them.
 */

import { readFileSync } from 'node:fs';
import { parseDocument, parseQuestionText } from '@rulecast/formats';
import {
  checkRuleSet,
  evaluateName,
  type NameQuestion,
  type NameVerdict,
  namesStandFor,
  type RuleSet,
} from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { blockText, ROOT } from './docs/blocks.ts';

const VECTORS: {
  readonly document: object;
  readonly questions: readonly (readonly [question: string, verdict: string, since: string])[];
} = JSON.parse(readFileSync(`${ROOT}protocol/vectors/questions.json`, 'utf8'));

function read(text: string): ReturnType<typeof parseDocument> {
  const document = parseDocument('f.yaml', Buffer.from(text), 0, () => undefined);
  expect(document.rejects).toEqual([]);
  return document;
}

function questionOf(text: string): NameQuestion {
  const result = parseQuestionText(text);
  if (result.kind === 'fault') throw new TypeError(result.reason);
  return result.question;
}

function textOf({ action, answer, policy = '-', rule }: NameVerdict): string {
  const decided =
    rule && ` ${rule.block} ${rule.index}${rule.list === undefined ? '' : ` list ${rule.list}`} ${rule.name}`;
  return `${action} ${answer} ${policy}${decided ?? ''}`;
}

const document = read(JSON.stringify(VECTORS.document));
const ruleSet: RuleSet = { ...document, resolutions: new Map() };
const judged = (text: string, now = 0): string => textOf(evaluateName(ruleSet, { now }, questionOf(text)));

// R-98
it.each(VECTORS.questions)('%s: %s', (question, verdict) => {
  expect(judged(question)).toBe(verdict);
  expect(textOf(evaluateName(ruleSet, { now: 0 }, questionOf(question), namesStandFor))).toBe(verdict);
});

it('there are a dozen of them at least, of every answer but one', () => {
  expect(VECTORS.questions.length).toBeGreaterThanOrEqual(12);
  for (const part of [' answer ', ' nxdomain ', ' refused ', ' exceptions ', ' common ', ' own '])
    expect(
      VECTORS.questions.some(([, verdict]) => verdict.includes(part)),
      part,
    ).toBe(true);
});

it('are those of docs/explain/names.md', () => {
  const page = readFileSync(`${ROOT}docs/explain/names.md`, 'utf8');
  const rows = VECTORS.questions.map(([question, verdict, since]) => {
    const answer = verdict.split(' ')[1] ?? '';
    return `| \`${question}\` | ${answer === 'answer' ? 'answered' : answer} | ${since} |`;
  });
  expect(page.split('\n').filter((line) => /^\| `\S+ \? /.test(line))).toEqual(rows);
  const { lists, policies, unmatched } = read(blockText('docs/explain/names.md#Examples'));
  expect({ lists, policies, unmatched }).toEqual({
    lists: document.lists,
    policies: document.policies,
    unmatched: document.unmatched,
  });
});

describe('what is said of names', () => {
  const DROP = '{"lists": {"a": {"names": ["a.example"], "resolve": "firewall"}}, "unmatched": "drop", ';

  it.each([
    [
      '"policies": {"p": {"prefixes": ["10.0.0.1"], "egress": ["drop dst=@a proto=tcp"]}}',
      'DNS has no ports',
    ],
    ['"policies": {"p": {"prefixes": ["10.0.0.1"], "ingress": ["drop src=@a"]}}', 'where traffic goes'],
  ])('is refused where DNS cannot follow it: %s', (policies, words) => {
    const parts = read(`${DROP}${policies}}`);
    const faults = checkRuleSet({ ...parts, resolutions: new Map() }).filter(
      ({ severity }) => severity === 'fault',
    );
    expect(faults.map(({ code, reason }) => [code, reason.includes(words)])).toEqual([['not-of-dns', true]]);
  });

  it('is refused where a rule would open a resolver by name, but where it is only explained', () => {
    const faultsFor = (rule: string, use: 'enforce' | 'explain'): readonly string[] => {
      const parts = read(`${DROP}"policies": {"p": {"exceptions": {"egress": ["${rule}"]}}}}`);
      return checkRuleSet({ ...parts, resolutions: new Map() }, use)
        .filter(({ severity }) => severity === 'fault')
        .map(({ code }) => code);
    };
    const dns = 'accept dst=@a specialtarget=dns';
    expect([faultsFor(dns, 'enforce'), faultsFor(dns, 'explain')]).toEqual([['accept-by-name'], []]);
    expect(faultsFor('accept dst=@a proto=tcp', 'enforce')).toEqual([]);
  });

  it('of common holds for policies that say nothing, and the address is null where that is said', () => {
    const text = `${DROP}"common": {"blocked": "null", "unlisted": "nxdomain", "egress": ["drop dst=@a"]}, "policies": {"p": {"unlisted": "answer"}}}`;
    const set = { ...read(text), resolutions: new Map() };
    const asked = (question: string): string => textOf(evaluateName(set, { now: 0 }, questionOf(question)));
    expect(asked('p ? a.example')).toBe('drop null p common 0 list a a.example');
    expect(asked('p ? b.example')).toBe('accept answer p');
    expect(asked('10.9.9.9 ? b.example')).toBe('drop nxdomain -');
  });

  it('of first holds for a qube that nobody judges, and nothing else does', () => {
    const text =
      '{"first": {"egress": ["drop dsthost=a.example"]}, "common": {"egress": ["drop dsthost=b.example"]}}';
    const set = { ...read(text), resolutions: new Map() };
    const asked = (question: string): string => textOf(evaluateName(set, { now: 0 }, questionOf(question)));
    expect(asked('10.9.9.9 ? c.example > a.example')).toBe('drop nxdomain first own 0 a.example');
    expect(asked('10.9.9.9 ? b.example')).toBe('none answer -');
  });

  it('is nothing to a qube that nobody judges, and a rule that has expired to nobody', () => {
    const text = '{"policies": {"p": {"egress": ["drop dsthost=a.example expire=100"]}}}';
    const set = { ...read(text), resolutions: new Map() };
    const asked = (question: string, now: number): string =>
      textOf(evaluateName(set, { now }, questionOf(question)));
    expect(asked('10.9.9.9 ? a.example', 1)).toBe('none answer -');
    expect(asked('p ? a.example', 99)).toBe('drop nxdomain p own 0 a.example');
    expect(asked('p ? a.example', 100)).toBe('accept answer p');
  });
});

it.each([
  ['ads.example', 1],
  [' ? ads.example', 1],
  ['work ?', 7],
  ['work ? a..b', 8],
  ['work ? a.example >', 19],
  ['work ? a.example > 1.2', 20],
  ['wo rk ? a.example', 1],
])('no question: %s', (text, column) => {
  expect(parseQuestionText(text)).toMatchObject({ kind: 'fault', code: 'bad-question', column });
});
