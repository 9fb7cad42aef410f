/**
 * What a rule set means is the same to everybody: the vectors of MEANING.md "Meaning", to the reference
 * evaluator and the table. test/system/ocaml.test.ts has that the package in OCaml agrees.
 */

import { checkRuleSet, evaluate, evaluateFlow } from '@rulecast/rules';
import { Table } from '@rulecast/table';
import { describe, expect, it } from 'vitest';
import { VERDICT_FILES, verdictCases, verdictText } from './kit/verdict-vectors.ts';

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
