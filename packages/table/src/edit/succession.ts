/**
 * Successions: which outcomes of a generation go on as which of the next, whether that was edited or compiled
 * anew. A run goes on that says what it said (run-pairs.ts), in the same block and direction of a policy of
 * the same name; a default action while it is the same.
 */

import {
  type Direction,
  type Pieces,
  RULE_BLOCKS,
  type RuleBlock,
  type RuleSet,
  type Run,
  runsOf,
} from '@rulecast/rules';
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
import { Looks, pairedRunPieces } from './run-pairs.ts';

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

/** By block of a rule set, which of its runs is which of the same block of another. */
export type RunPairs = ReadonlyMap<string, Int32Array>;

/** What a succession has to find out of two rule sets, before the second has an image. */
export function* runPairPieces(before: RuleSet, after: RuleSet): Pieces<RunPairs> {
  const looks = new Looks();
  const pairs = new Map<string, Int32Array>();
  for (const [name, policy] of before.policies) {
    const other = after.policies.get(name);
    if (other === undefined) continue;
    for (const direction of DIRECTIONS) {
      for (const kind of ['exceptions', 'own'] as const) {
        if (looks.isOver) yield;
        const [runs, others] = [runsOf(policy, direction, kind), runsOf(other, direction, kind)];
        if (runs.length > 0 && others.length > 0)
          pairs.set(blockKey(name, direction, kind), yield* pairedRunPieces(runs, others, looks));
      }
    }
  }
  return pairs;
}

/** The runs of `common` are that policy's own. */
function blockKey(policy: string, direction: Direction, kind: RuleBlock): string {
  return `${direction} ${kind === 'exceptions' ? kind : 'own'} ${policy}`;
}

/**
 * The succession of two generations, in pieces. After an edit, only labels of other runs are others. That no
 * policy judged is an outcome of both. What is not in `known` is found out here.
 */
export function* successionPieces(
  before: Made,
  after: Made,
  isEdit: boolean,
  known: RunPairs,
): Pieces<Succession> {
  const looks = new Looks();
  const pairs = isEdit ? [] : [0, 0];
  const [blob, others] = [before.image.programs, after.image.programs];
  const places = new Map<string, number>();
  for (let other = 0; other < programCount(others); other++) places.set(keyOf(after, other), other);
  const labelled = new Map<number, readonly number[]>(); // by block
  for (let program = 0; program < programCount(blob); program++) {
    if (looks.isOver) yield;
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
        const blocks = [
          { ...before, block },
          { ...after, block: nextBlock },
        ] as const;
        const labels =
          labelled.get(block) ?? (yield* labelPairPieces(...blocks, direction, kind, isEdit, known, looks));
        labelled.set(block, labels);
        for (let i = 0; i < labels.length; i += 2) {
          if (looks.isOver) yield;
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
function* labelPairPieces(
  before: MadeBlock,
  after: MadeBlock,
  direction: Direction,
  kind: RuleBlock,
  isEdit: boolean,
  known: RunPairs,
  looks: Looks,
): Pieces<readonly number[]> {
  const found: number[] = [];
  const [runs, others] = [runsOfBlock(before, direction, kind), runsOfBlock(after, direction, kind)];
  if (isEdit && runs === others) return found;
  const key = blockKey(policyOf(before), direction, kind);
  const pairs = known.get(key) ?? (yield* pairedRunPieces(runs, others, looks));
  const labels = labelsOf(before.image.programs, before.block);
  const nextLabels = labelsOf(after.image.programs, after.block);
  for (let run = 0; run < pairs.length; run++) {
    if (looks.isOver) yield;
    const label = labels[run]!; // a run of the block, and of the other below
    const next = pairs[run]! < 0 ? -1 : nextLabels[pairs[run]!]!;
    if (isEdit ? next !== label : next >= 0) found.push(label, next);
  }
  return found;
}

/** The name of the policy whose runs a block has. */
function policyOf({ image, names, block }: MadeBlock): string {
  return names.policies[blockPolicy(image.programs, block)] ?? '';
}

function runsOfBlock(made: MadeBlock, direction: Direction, kind: RuleBlock): readonly Run[] {
  const policy = made.ruleSet.policies.get(policyOf(made));
  return policy === undefined ? [] : runsOf(policy, direction, kind);
}
