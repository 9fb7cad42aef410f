/**
 * Edits of policies: the runs that were replaced by others. Everything else in a policy must be unchanged,
 * and so must the set of policies; else they are compiled in full.
 */

import {
  commonEnds,
  type Direction,
  judgesIngress,
  type Policy,
  type RuleSet,
  type Run,
  type Runs,
  ruleCount,
  runAt,
  runOfRule,
  runsOf,
  samePrefixSet,
} from '@rulecast/rules';
import type { BlockPredicates } from '../program/outline.ts';
import { DIRECTIONS } from '../program/program.ts';

/** In a block, the runs [first, first + removed.length) were replaced by others. */
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

/** The changed blocks of policies; undefined if anything but runs of the same blocks changed. */
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
      const [runs, others] = [runsOf(before, direction, stands), runsOf(after, direction, stands)];
      const block = numbers.of(before.name, stands, direction);
      const { head, tail } = sameEnds(runs, others);
      if (head === runs.count && head === others.count) continue;
      if (block === undefined) return false;
      const removed = runsWithin(runs, head, runs.count - tail);
      changes.push({ block, first: head, removed, added: runsWithin(others, head, others.count - tail) });
    }
  }
  return true;
}

/** The number of equal runs that two blocks begin and end with. */
export function sameEnds(runs: Runs, others: Runs): { readonly head: number; readonly tail: number } {
  if (runs === others) return { head: runs.count, tail: 0 };
  const ends = commonEnds(runs, others); // rules
  const headOf = (of: Runs): number => {
    const run = runOfRule(of, ends.head);
    return of.count > 0 && of.starts[run + 1]! <= ends.head ? run + 1 : run; // one more than runs, here and below
  };
  const tailOf = (of: Runs): number => {
    const first = ruleCount(of) - ends.tail;
    const run = runOfRule(of, first);
    return of.count - (of.starts[run]! < first ? run + 1 : run);
  };
  const head = Math.min(headOf(runs), headOf(others));
  const most = Math.min(runs.count, others.count) - head;
  return { head, tail: ends.tail === 0 ? 0 : Math.min(most, tailOf(runs), tailOf(others)) };
}

/** The runs [from, to). */
function runsWithin(runs: Runs, from: number, to: number): readonly Run[] {
  return Array.from({ length: to - from }, (_, place) => runAt(runs, from + place));
}
