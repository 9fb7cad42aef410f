/**
 * Hit counters in words: how often each run, each policy's default action and each list decided.
 */

import type { Direction } from '@rulecast/rules';
import type { Image, NamesSection } from './layout.ts';
import { listOf } from './lookup.ts';
import { BLOCK_WORDS, BlockField, DIRECTIONS, PROGRAM_WORDS, ProgramField } from './program.ts';

/** What one policy's program in one direction has decided since its generation began. */
export interface ProgramHits {
  readonly policy: string;
  readonly direction: Direction;
  readonly defaultAction: number;
  /** By run of `common`, while judging for this policy. */
  readonly common: readonly number[];
  /** By run of the policy itself. */
  readonly own: readonly number[];
}

export interface TableHits {
  readonly generation: number;
  /** Verdicts of this generation that no policy gave. */
  readonly none: number;
  readonly programs: readonly ProgramHits[];
  /** By list, over all generations of this table. */
  readonly lists: ReadonlyMap<string, number>;
}

export function programHits(image: Image, names: NamesSection): readonly ProgramHits[] {
  const all: ProgramHits[] = [];
  for (let record = 0; record < image.programs.length; record += PROGRAM_WORDS) {
    const field = (name: keyof typeof ProgramField): number =>
      image.programs[record + ProgramField[name]] ?? -1;
    const first = field('firstOutcome');
    const commonEnd = first + 1 + runCount(image, field('commonBlock'));
    all.push({
      policy: names.policies[field('policy')] ?? '',
      direction: DIRECTIONS[field('direction')] ?? 'egress',
      defaultAction: image.hits[first] ?? 0,
      common: [...image.hits.subarray(first + 1, commonEnd)],
      own: [...image.hits.subarray(commonEnd, commonEnd + runCount(image, field('ownBlock')))],
    });
  }
  return all;
}

/** Adds what an image counted for its lists to `totals`. */
export function addListHits(image: Image, names: NamesSection, totals: Map<string, number>): void {
  if (image.runLists.length === 0) return;
  for (let record = 0; record < image.programs.length; record += PROGRAM_WORDS) {
    const field = (name: keyof typeof ProgramField): number =>
      image.programs[record + ProgramField[name]] ?? -1;
    let outcome = field('firstOutcome') + 1;
    for (const block of [field('commonBlock'), field('ownBlock')]) {
      const count = runCount(image, block);
      for (let run = 0; run < count; run++, outcome++) {
        const list = names.lists[listOf(image, block, run)];
        if (list !== undefined) totals.set(list, (totals.get(list) ?? 0) + (image.hits[outcome] ?? 0));
      }
    }
  }
}

function runCount(image: Image, block: number): number {
  return image.blocks[block * BLOCK_WORDS + BlockField.runCount] ?? 0;
}
