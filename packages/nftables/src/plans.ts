/**
 * Plans for a sink, for the thread that has the rule sets; the sink may be in another thread (sink/plans.ts).
 */

import type { PlanSource } from './plan/plan.ts';
import { type PlanQuestion, Plans, type PlansOptions } from './sink/plans.ts';

export interface Planner {
  /** Gathers in `moved` the memory that the answer takes with it. Throws as `Plans.answer`. */
  answer(question: PlanQuestion, source: PlanSource, moved: Set<ArrayBuffer>): unknown;
}

/** `options` are those that the sink gives as `plans`. */
export function plannerFor(options: unknown): Planner {
  return new Plans(options as PlansOptions); // our own sink's options, passed on unchanged
}
