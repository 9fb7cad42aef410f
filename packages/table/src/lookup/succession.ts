/**
 * Successions: which outcomes of one generation continue as which of the next, whether that was edited or
 * compiled anew. In the same block and direction of a policy of the same name, the rules before the first
 * changed one and after the last continue; a default action continues while it is the same.
 */

import { type Direction, NO_RULES, RULE_BLOCKS, type RuleSet, type Runs, runsOf } from '@rulecast/rules';
import { sameEnds } from '../edit/policy.ts';
import type { Image, NamesSection } from '../image/header.ts';
import {
  BLOCK_FIELDS,
  blockPolicy,
  blockRoom,
  labelsOf,
  programCount,
  programField,
} from '../program/origin.ts';
import { DIRECTIONS } from '../program/program.ts';

/** A generation, and the rule set that it was compiled from. */
export interface Contents {
  readonly image: Image;
  readonly names: NamesSection;
  readonly ruleSet: RuleSet;
}

/** By outcome, which it is in the next generation; -1: it is gone. */
export type Succession = Int32Array;

export function successionOf(before: Contents, after: Contents): Succession {
  const [blob, others] = [before.image.programs, after.image.programs];
  const next = new Int32Array(before.image.places.outcomeCount).fill(-1);
  next[0] = 0; // no policy judged
  const places = new Map<string, number>();
  for (let other = 0; other < programCount(others); other++) places.set(keyOf(after, other), other);
  const known = new Map<number, readonly number[]>(); // by block
  for (let program = 0; program < programCount(blob); program++) {
    const other = places.get(keyOf(before, program));
    if (other === undefined) continue;
    let outcome = programField(blob, program, 'firstOutcome');
    let nextOutcome = programField(others, other, 'firstOutcome');
    if (defaultOf(before, program) === defaultOf(after, other)) next[outcome] = nextOutcome;
    outcome++;
    nextOutcome++;
    for (const kind of RULE_BLOCKS) {
      const block = programField(blob, program, BLOCK_FIELDS[kind]);
      const nextBlock = programField(others, other, BLOCK_FIELDS[kind]);
      if (block >= 0 && nextBlock >= 0) {
        const direction = DIRECTIONS[programField(blob, program, 'direction')] ?? 'egress';
        const runs = [
          runsIn(before, block, direction, kind),
          runsIn(after, nextBlock, direction, kind),
        ] as const;
        const pairs = known.get(block) ?? labelPairs(before, block, after, nextBlock, runs);
        known.set(block, pairs);
        for (let i = 0; i < pairs.length; i += 2) next[outcome + pairs[i]!] = nextOutcome + pairs[i + 1]!; // in pairs
      }
      outcome += blockRoom(blob, block);
      nextOutcome += blockRoom(others, nextBlock);
    }
  }
  return next;
}

/** Programs of two generations that judge the same qubes in the same direction have the same. */
function keyOf({ image, names }: Contents, program: number): string {
  const direction = programField(image.programs, program, 'direction');
  return `${direction} ${names.policies[programField(image.programs, program, 'policy')]}`; // names are not "undefined"
}

/** A program's action if no run matches, by the rule set. */
function defaultOf({ image, names, ruleSet }: Contents, program: number): string | undefined {
  const policy = names.policies[programField(image.programs, program, 'policy')];
  return policy === undefined ? ruleSet.unmatched : ruleSet.policies.get(policy)?.defaultAction;
}

function runsIn(
  { image, names, ruleSet }: Contents,
  block: number,
  direction: Direction,
  kind: (typeof RULE_BLOCKS)[number],
): Runs {
  const policy = ruleSet.policies.get(names.policies[blockPolicy(image.programs, block)] ?? '');
  return policy === undefined ? NO_RULES : runsOf(policy, direction, kind);
}

/** In pairs, the labels of runs that both blocks begin and end with. */
function labelPairs(
  before: Contents,
  block: number,
  after: Contents,
  nextBlock: number,
  [runs, others]: readonly [Runs, Runs],
): readonly number[] {
  const labels = labelsOf(before.image.programs, block);
  const nextLabels = labelsOf(after.image.programs, nextBlock);
  const { head, tail } = sameEnds(runs, others);
  const pairs: number[] = [];
  for (let run = 0; run < runs.count; run++) {
    const isTail = run >= runs.count - tail;
    if (run < head || isTail)
      pairs.push(labels[run]!, nextLabels[isTail ? run + others.count - runs.count : run]!); // runs of both
  }
  return pairs;
}
