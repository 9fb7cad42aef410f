/**
 * Hit counters: how often each run, each policy's default action and each list decided.
 *
 * A reader counts in a share that is its own (image/header.ts), by plain additions. If there are more readers
 * than shares, the others share one by atomic additions: no hit is lost, but batches take a seventh longer,
 * even if only one thread counts there.
 */

import { type Direction, RULE_BLOCKS } from '@rulecast/rules';
import { type Image, type NamesSection, shareBytes } from '../image/header.ts';
import { BLOCK_FIELDS, blockRoom, listOf, programCount, programField, runOf } from '../program/origin.ts';
import { DIRECTIONS, type ProgramField } from '../program/program.ts';
import type { Contents } from './succession.ts';

/** The hits of one policy's program in one direction, since it has these rules. */
export interface ProgramHits {
  /** Also `first`; undefined: for qubes that no policy judges, if the rule set has an action for them. */
  readonly policy: string | undefined;
  readonly direction: Direction;
  /**
   * Hits without a matching run, decided by this action. Always 0 if that makes no verdict (`unmatched:
   * accept`, `first`).
   */
  readonly defaultAction: number;
  /** By run of the policy's exceptions. */
  readonly exceptions: readonly number[];
  /** By run of `common`, while judging for this policy. */
  readonly common: readonly number[];
  /** By run of the policy itself. */
  readonly own: readonly number[];
}

export interface TableHits {
  readonly generation: number;
  /** Verdicts that no policy gave, over all generations of this table. */
  readonly none: number;
  readonly programs: readonly ProgramHits[];
  /** By list, over all generations of this table. */
  readonly lists: ReadonlyMap<string, number>;
}

/** The counts of all readers, by outcome. */
export function sumHits({ views, places }: Image): Float64Array {
  const { hits, shares, shareCount, outcomeCount } = places;
  const sums = new Float64Array(outcomeCount);
  for (let share = -1; share < shareCount; share++) {
    const first = (share < 0 ? hits : shares + share * shareBytes(outcomeCount)) / 8;
    const halves = views.words.subarray(first * 2, (first + outcomeCount) * 2);
    for (let i = 0; i < outcomeCount; i++) {
      // The low half first: if the high half is 0 afterwards, it was 0 before. An atomic read of both takes
      // five times as long.
      const low = halves[i * 2]! >>> 0; // two for each
      if (halves[i * 2 + 1] !== 0)
        sums[i]! += Number(views.longs[first + i]!); // as many
      else if (low !== 0) sums[i]! += low;
    }
  }
  return sums;
}

/** The hits of each program of an image, from its `sumHits`. */
export function programHits(
  { programs }: Image,
  names: NamesSection,
  hits: Float64Array,
): readonly ProgramHits[] {
  return Array.from({ length: programCount(programs) }, (_, program) => {
    const first = programField(programs, program, 'firstOutcome');
    let end = first + 1;
    const hitsOf = (field: keyof typeof ProgramField): readonly number[] => {
      const start = end;
      const block = programField(programs, program, field);
      end += blockRoom(programs, block);
      const ofRuns: number[] = [];
      for (let outcome = start; outcome < end; outcome++)
        if (runOf(programs, block, outcome - start) >= 0) ofRuns.push(hits[outcome] ?? 0);
      return ofRuns;
    };
    return {
      policy: names.policies[programField(programs, program, 'policy')],
      direction: DIRECTIONS[programField(programs, program, 'direction')] ?? 'egress',
      defaultAction: hits[first] ?? 0,
      exceptions: hitsOf(BLOCK_FIELDS.exceptions),
      common: hitsOf(BLOCK_FIELDS.common),
      own: hitsOf(BLOCK_FIELDS.own),
    };
  });
}

/** By outcome that a list decides, its name. */
export function listsOf({
  image: { programs },
  names,
}: Pick<Contents, 'image' | 'names'>): Map<number, string> {
  const lists = new Map<number, string>();
  if (names.lists.length === 0) return lists;
  for (let program = 0; program < programCount(programs); program++) {
    let outcome = programField(programs, program, 'firstOutcome') + 1;
    for (const kind of RULE_BLOCKS) {
      const block = programField(programs, program, BLOCK_FIELDS[kind]);
      const room = blockRoom(programs, block);
      for (let label = 0; label < room; label++, outcome++) {
        const list = names.lists[listOf(programs, block, label)];
        if (list !== undefined) lists.set(outcome, list);
      }
    }
  }
  return lists;
}
