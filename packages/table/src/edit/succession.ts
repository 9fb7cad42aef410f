/**
 * Successions: which outcomes of a generation go on as which of the next, whether that was edited or compiled
 * anew. A run goes on that says what it said (run-pairs.ts), in the same block and direction of a policy of
 * the same name; a default action while it is the same.
 */

import { type Direction, RULE_BLOCKS, type RuleBlock, type RuleSet, type Run, runsOf } from '@rulecast/rules';
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
import { pairedRuns } from './run-pairs.ts';

/** A generation, and what it was made of. */
export interface Made {
  readonly image: Image;
  readonly names: NamesSection;
  readonly ruleSet: RuleSet;
}

/** Which outcomes go on as which. */
export interface Succession {
  /** In pairs: an outcome, and that which it is now, or -1 if it is gone. */
  readonly pairs: readonly number[];
  /** Whether the others stay what they are, or are gone. */
  readonly restStays: boolean;
}

/** After an edit, only labels of other runs are others. That no policy judged is an outcome of both. */
export function succession(before: Made, after: Made, isEdit: boolean): Succession {
  const pairs = isEdit ? [] : [0, 0];
  const [blob, others] = [before.image.programs, after.image.programs];
  const places = new Map<string, number>();
  for (let other = 0; other < programCount(others); other++) places.set(keyOf(after, other), other);
  const known = new Map<number, readonly number[]>(); // by block
  for (let program = 0; program < programCount(blob); program++) {
    const other = places.get(keyOf(before, program));
    if (other === undefined) continue;
    let outcome = programField(blob, program, 'firstOutcome');
    let nextOutcome = programField(others, other, 'firstOutcome');
    if (!isEdit && defaultOf(before, program) === defaultOf(after, other)) pairs.push(outcome, nextOutcome);
    outcome++;
    nextOutcome++;
    for (const kind of RULE_BLOCKS) {
      const block = programField(blob, program, BLOCK_FIELDS[kind]);
      const nextBlock = programField(others, other, BLOCK_FIELDS[kind]);
      if (block >= 0 && nextBlock >= 0) {
        const direction = DIRECTIONS[programField(blob, program, 'direction')] ?? 'egress';
        const labels =
          known.get(block) ??
          labelPairs({ ...before, block }, { ...after, block: nextBlock }, direction, kind, isEdit);
        known.set(block, labels);
        for (let i = 0; i < labels.length; i += 2) {
          const [label, next] = [labels[i]!, labels[i + 1]!]; // in pairs
          pairs.push(outcome + label, next < 0 ? -1 : nextOutcome + next);
        }
      }
      outcome += blockRoom(blob, block);
      nextOutcome += blockRoom(others, nextBlock);
    }
  }
  return { pairs, restStays: isEdit };
}

/** Programs of two generations that judge the same qubes in the same direction have the same. */
function keyOf({ image, names }: Made, program: number): string {
  const direction = programField(image.programs, program, 'direction');
  return `${direction} ${names.policies[programField(image.programs, program, 'policy')]}`; // names are not "undefined"
}

/** What a program does where no run matches, as the rule set says it. */
function defaultOf({ image, names, ruleSet }: Made, program: number): string | undefined {
  const policy = names.policies[programField(image.programs, program, 'policy')];
  return policy === undefined ? ruleSet.unmatched : ruleSet.policies.get(policy)?.defaultAction;
}

type MadeBlock = Made & { readonly block: number };

/** The same by label of a block, of its runs; of an edit only what is not as it was. */
function labelPairs(
  before: MadeBlock,
  after: MadeBlock,
  direction: Direction,
  kind: RuleBlock,
  isEdit: boolean,
): readonly number[] {
  const found: number[] = [];
  const [runs = [], others = []] = [before, after].map((made) => runsOfBlock(made, direction, kind));
  if (isEdit && runs === others) return found;
  const pairs = pairedRuns(runs, others);
  const labels = labelsOf(before.image.programs, before.block);
  const nextLabels = labelsOf(after.image.programs, after.block);
  for (let run = 0; run < pairs.length; run++) {
    const label = labels[run]!; // a run of the block, and of the other below
    const next = pairs[run]! < 0 ? -1 : nextLabels[pairs[run]!]!;
    if (isEdit ? next !== label : next >= 0) found.push(label, next);
  }
  return found;
}

function runsOfBlock(
  { image, names, ruleSet, block }: MadeBlock,
  direction: Direction,
  kind: RuleBlock,
): readonly Run[] {
  const policy = ruleSet.policies.get(names.policies[blockPolicy(image.programs, block)] ?? '');
  return policy === undefined ? [] : runsOf(policy, direction, kind);
}
