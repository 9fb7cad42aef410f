/**
 * Edits of policies: rules that came to a run or left it, which is what most changes of a rule file are. A
 * policy that has the same runs but for the prefixes of some differs from what it was like a list does;
 * anything else is compiled in full.
 */

import {
  canonicalPrefixes,
  type Direction,
  type Policy,
  type Prefixes,
  type RuleSet,
  type Run,
  runsOf,
  sameMatch,
  samePrefixes,
  samePrefixSet,
} from '@rulecast/rules';
import type { BlockPredicates } from '../program/outline.ts';
import { DIRECTIONS } from '../program/program.ts';

/** The prefixes of runs that share a predicate of nobody else. */
interface RunChange {
  readonly predicate: number;
  /** Canonical. */
  readonly before: Prefixes;
  readonly after: Prefixes;
}

/** Which predicate each run of a compiled rule set has. */
export class RunPredicates {
  readonly #blocks: readonly BlockPredicates[];
  readonly #predicateCount: number;
  #uses: Uint8Array | undefined; // by predicate: its runs, 2 for more than one; once asked for

  constructor(blocks: readonly BlockPredicates[], predicateCount: number) {
    this.#blocks = blocks;
    this.#predicateCount = predicateCount;
  }

  of(policy: string, block: BlockPredicates['block'], direction: Direction): Int32Array | undefined {
    const isIt = (other: BlockPredicates): boolean =>
      other.policy === policy && other.block === block && other.direction === direction;
    return this.#blocks.find(isIt)?.predicates;
  }

  isShared(predicate: number): boolean {
    if (this.#uses === undefined) {
      const uses = new Uint8Array(this.#predicateCount);
      for (const { predicates } of this.#blocks) {
        for (const used of predicates) if (used >= 0 && uses[used]! < 2) uses[used]!++; // used < predicateCount
      }
      this.#uses = uses;
    }
    return this.#uses[predicate] === 2;
  }
}

/** What turns the policies into others; undefined if that takes more than other prefixes of runs. */
export function changedRuns(
  before: RuleSet['policies'],
  after: RuleSet['policies'],
  predicates: RunPredicates,
): readonly RunChange[] | undefined {
  const changes: RunChange[] = [];
  if (before === after) return changes;
  if (before.size !== after.size) return undefined;
  const others = after.entries();
  for (const [name, policy] of before) {
    const other = others.next();
    if (other.done === true || other.value[0] !== name) return undefined;
    if (other.value[1] === policy) continue;
    if (!addChanges(policy, other.value[1], predicates, changes)) return undefined;
  }
  return changes;
}

function addChanges(before: Policy, after: Policy, predicates: RunPredicates, changes: RunChange[]): boolean {
  if (before.name !== after.name || before.defaultAction !== after.defaultAction) return false;
  if (!samePrefixSet(before.prefixes, after.prefixes)) return false;
  for (const direction of DIRECTIONS) {
    for (const block of ['exceptions', 'own'] as const) {
      const own = predicates.of(before.name, block, direction);
      const [runs, others] = [before, after].map((policy) => runsOf(policy, direction, block));
      if (!addBlockChanges(runs ?? [], others ?? [], own, predicates, changes)) return false;
    }
  }
  return true;
}

/** `own`: the predicates of the runs before. */
function addBlockChanges(
  runs: readonly Run[],
  others: readonly Run[],
  own: Int32Array | undefined,
  predicates: RunPredicates,
  changes: RunChange[],
): boolean {
  if (runs === others) return true;
  if (runs.length !== others.length) return false;
  for (const [i, run] of runs.entries()) {
    const other = others[i]!; // of the same length
    if (run === other) continue;
    if (!sameMatch(run.match, other.match)) return false;
    const columns = changedColumns(run, other);
    if (columns === 'differ') return false;
    if (columns === 'same') continue;
    const [was, is] = columns;
    const predicate = own?.[i];
    if (predicate === undefined || (predicate < 0 && was.lengths.length === 0)) return false;
    if (predicate < 0) continue; // a run that matches nothing, whatever its prefixes
    if (predicates.isShared(predicate)) return false;
    changes.push({ predicate, before: canonicalPrefixes(was), after: canonicalPrefixes(is) });
  }
  return true;
}

/** The prefixes of two runs that differ in nothing else. */
function changedColumns(
  { remote }: Run,
  { remote: other }: Run,
): readonly [Prefixes, Prefixes] | 'same' | 'differ' {
  if (remote.kind === 'prefixes' && other.kind === 'prefixes') {
    const { prefixes } = remote;
    if (prefixes.family !== other.prefixes.family) return 'differ';
    return samePrefixes(prefixes, other.prefixes) ? 'same' : [prefixes, other.prefixes];
  }
  const isSame =
    (remote.kind === 'any' && other.kind === 'any') ||
    (remote.kind === 'name' && other.kind === 'name' && remote.name === other.name) ||
    (remote.kind === 'list' && other.kind === 'list' && remote.list === other.list);
  return isSame ? 'same' : 'differ';
}
