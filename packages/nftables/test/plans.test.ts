/** Plans are asked for by what they are of, since the thread that makes them may be another meanwhile. */

import { describe, expect, it } from 'vitest';
import { type PlannedStep, type PlanQuestion, Plans } from '../src/sink/plans.ts';
import { ruleSet, sourceOf } from './sample.ts';

const OPTIONS = { downstreamGroup: 2, answer: 'reject', marksFlows: false, capturesDns: false } as const;
const IN_FORCE = sourceOf(ruleSet([{ name: 'default', prefixes: [], egress: ['drop'] }]));
const CANDIDATE = sourceOf(ruleSet([{ name: 'default', prefixes: [], egress: ['accept'] }]));

describe('plans that begin anew while a candidate is planned', () => {
  it('give no candidate for what is in force', () => {
    const { next } = planned(new Plans(OPTIONS), 1, IN_FORCE);
    const plans = new Plans(OPTIONS);
    planned(plans, 2, CANDIDATE);
    for (const kind of ['whole', 'take'] as const)
      expect(() => ask(plans, { kind, ...next })).toThrow('no plan of release 0101');
  });

  it('give what is in force once it is planned again, and the mark it is to have', () => {
    const { next } = planned(new Plans(OPTIONS), 1, IN_FORCE);
    const plans = new Plans(OPTIONS);
    const { first } = planned(plans, 1, IN_FORCE);
    expect(ask(plans, { kind: 'whole', ...next })).toEqual(first);
    const marked = ask(plans, { kind: 'whole', tag: { ...next.tag, mark: 7 } });
    expect(JSON.parse(Buffer.from((marked as typeof first & object).json).toString())).toMatchObject({
      tag: { ...next.tag, mark: 7 },
    });
  });
});

function planned(plans: Plans, hashByte: number, source: typeof IN_FORCE): PlannedStep {
  const hash = new Uint8Array(32).fill(hashByte);
  const question = { kind: 'plan', hash, isInForce: false, mark: 0 } as const;
  return plans.answer(question, source, new Set()) as PlannedStep;
}

function ask(plans: Plans, question: PlanQuestion): unknown {
  return plans.answer(question, CANDIDATE, new Set());
}
