/**
 * Edits of policies: which runs gave way to which others. All else that a policy says has to be as it was,
 * and so have to be the policies; else they are compiled in full.
 */

import {
  commonEnds,
  type Direction,
  judgesIngress,
  type Policy,
  type RuleSet,
  type Run,
  runsOf,
  samePrefixSet,
  sameRun,
} from '@rulecast/rules';
import type { BlockPredicates } from '../program/outline.ts';
import { DIRECTIONS } from '../program/program.ts';

/** In a block, the runs [first, first + removed.length) gave way to others. */
export interface BlockChange {
  readonly block: number;
  readonly first: number;
  readonly removed: readonly Run[];
  readonly added: readonly Run[];
}

/** Which block of a compiled rule set is which. */
export class BlockNumbers {
  readonly #numbers: ReadonlyMap<string, number>;

  constructor(blocks: readonly BlockPredicates[]) {
    this.#numbers = new Map(
      blocks.map(({ policy, block, direction }, number) => [keyOf(policy, block, direction), number]),
    );
  }

  of(policy: string, block: BlockPredicates['block'], direction: Direction): number | undefined {
    return this.#numbers.get(keyOf(policy, block, direction));
  }
}

function keyOf(policy: string, block: BlockPredicates['block'], direction: Direction): string {
  return `${block} ${direction} ${policy}`;
}

/** What turns the policies into others; undefined if that takes more than other runs in the same blocks. */
export function changedBlocks(
  before: RuleSet['policies'],
  after: RuleSet['policies'],
  numbers: BlockNumbers,
): readonly BlockChange[] | undefined {
  const changes: BlockChange[] = [];
  if (before === after) return changes;
  if (before.size !== after.size) return undefined;
  const others = after.entries();
  for (const [name, policy] of before) {
    const other = others.next();
    if (other.done === true || other.value[0] !== name) return undefined;
    if (other.value[1] === policy) continue;
    if (!addChanges(policy, other.value[1], numbers, changes)) return undefined;
  }
  return changes;
}

function addChanges(before: Policy, after: Policy, numbers: BlockNumbers, changes: BlockChange[]): boolean {
  if (before.name !== after.name || before.defaultAction !== after.defaultAction) return false;
  if (!samePrefixSet(before.prefixes, after.prefixes)) return false;
  if (judgesIngress(before) !== judgesIngress(after)) return false;
  for (const direction of DIRECTIONS) {
    for (const stands of ['exceptions', 'own'] as const) {
      const [runs = [], others = []] = [before, after].map((policy) => runsOf(policy, direction, stands));
      const block = numbers.of(before.name, stands, direction);
      const { head, tail } = sameEnds(runs, others);
      if (head === runs.length && head === others.length) continue;
      if (block === undefined) return false;
      const removed = runs.slice(head, runs.length - tail);
      changes.push({ block, first: head, removed, added: others.slice(head, others.length - tail) });
    }
  }
  return true;
}

/** How many runs two blocks begin and end with that say the same. */
export function sameEnds(
  runs: readonly Run[],
  others: readonly Run[],
): { readonly head: number; readonly tail: number } {
  if (runs === others) return { head: runs.length, tail: 0 };
  let { head, tail } = commonEnds(runs, others);
  const least = Math.min(runs.length, others.length);
  while (head + tail < least && sameRun(runs[head]!, others[head]!)) head++; // within both, as below
  const isSameTail = (): boolean => sameRun(runs[runs.length - 1 - tail]!, others[others.length - 1 - tail]!);
  while (head + tail < least && isSameTail()) tail++;
  return { head, tail };
}
