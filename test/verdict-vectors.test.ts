/**
 * What a rule set means is the same to everybody: the vectors of MEANING.md "Meaning", to the reference
 * evaluator, the table, and a second evaluator that was written from the document.
 */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { checkRuleSet, evaluate, evaluateFlow } from '@rulecast/rules';
import { Table } from '@rulecast/table';
import { describe, expect, it } from 'vitest';
import { python } from './kit/python.ts';
import { VERDICT_FILES, vectorUrl, verdictCases, verdictText } from './kit/verdict-vectors.ts';

const EVALUATOR = fileURLToPath(new URL('python/verdicts.py', import.meta.url));

describe.each(VERDICT_FILES)('%s', (file) => {
  const cases = verdictCases(file);

  //
  it.each(cases)('evaluator and table: $title', async ({ ruleSet, environment, isOfFlows, packets }) => {
    expect(checkRuleSet(ruleSet).filter(({ severity }) => severity === 'fault')).toEqual([]);
    const judge = isOfFlows ? evaluateFlow : evaluate;
    const expected = packets.map(({ text, verdict }) => `${text}: ${verdict}`);
    const evaluated = packets.map(
      ({ text, packet }) => `${text}: ${verdictText(judge(ruleSet, environment, packet))}`,
    );
    expect(evaluated).toEqual(expected);
    if (isOfFlows) return; // the table is asked about packets; who follows flows stands before it
    const table = new Table();
    table.flip(table.prepare(ruleSet, environment));
    const looked = packets.map(
      ({ text, packet }) => `${text}: ${verdictText(table.explain(packet).verdict)}`,
    );
    expect(looked).toEqual(expected);
  });

  it.runIf(python.isThere)('the second evaluator', () => {
    const { stdout, stderr } = python.run([EVALUATOR, 'check', fileURLToPath(vectorUrl(file))]);
    expect(stdout + stderr).toBe('');
  });
});

it('there are enough of them, of every action, block and direction', () => {
  const verdicts = VERDICT_FILES.flatMap(verdictCases).flatMap(({ packets }) =>
    packets.map(({ verdict }) => verdict),
  );
  expect(verdicts.length).toBeGreaterThanOrEqual(500);
  const SEEN = ['none', 'drop', 'drop egress -', / exceptions /, / common /, / own /, / ingress /, / list /];
  for (const form of SEEN) {
    const count = verdicts.filter((verdict) =>
      typeof form === 'string' ? verdict === form : form.test(verdict),
    ).length;
    expect(count, String(form)).toBeGreaterThan(5);
  }
});

it.runIf(python.isThere)('those that are random are what the second evaluator makes', () => {
  const written = readFileSync(vectorUrl('verdicts-random.json'), 'utf8');
  const { seed, cases }: { seed: number; cases: readonly unknown[] } = JSON.parse(written);
  const { stdout, stderr } = python.run([EVALUATOR, 'make', `${seed}`, `${cases.length}`]);
  expect(stderr).toBe('');
  expect(stdout).toBe(written);
});
