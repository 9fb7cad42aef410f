/**
 * Hit counters: how often each run, each policy's default action and each list decided.
 *
 * A count is a plain addition to the image, in shared memory: exact while one thread at a time counts; threads that count
 * the same outcome at the same moment may lose some. Single lookups gather in a log of their thread first, because
 * a store whose address waits for the whole lookup keeps the next lookup from overlapping with it.
 */

import type { Direction } from '@rulecast/rules';
import type { Image, NamesSection } from './layout.ts';
import {
  BLOCK_WORDS,
  BlockField,
  CODE_ACTION_BITS,
  DIRECTIONS,
  PROGRAM_WORDS,
  ProgramField,
} from './program.ts';

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

/** Lookups that a log holds back at most. */
const LOG_LENGTH = 64;

/** Counts one verdict. */
export function countHit(image: Image, code: number): void {
  image.hits[code >> CODE_ACTION_BITS]! += 1; // one cell per outcome
}

/** One thread's latest codes, not yet counted. */
export class HitLog {
  private readonly codes = new Int32Array(LOG_LENGTH);
  private count = 0;
  private image: Image | undefined;

  /** Notes a code of an image that the caller holds. Codes of another image, which may be gone, are forgotten. */
  add(image: Image, code: number): void {
    if (image !== this.image) {
      this.image = image;
      this.count = 0;
    }
    this.codes[this.count++] = code;
    if (this.count === LOG_LENGTH) this.flush(image);
  }

  /** Counts all codes of an image that the caller holds. */
  flush(image: Image): void {
    const count = image === this.image ? this.count : 0;
    this.count = 0;
    for (let i = 0; i < count; i++) countHit(image, this.codes[i]!); // i < LOG_LENGTH
  }
}

/** What each program of an image decided. */
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

/** The number of a run's list, or -1. */
export function listOf(image: Image, block: number, run: number): number {
  const first = image.blocks[block * BLOCK_WORDS + BlockField.firstRunList] ?? -1;
  return first < 0 ? -1 : (image.runLists[first + run] ?? -1);
}
