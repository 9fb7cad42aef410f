/**
 * Hit counters: how often each run, each policy's default action and each list decided.
 *
 * A count is a plain addition to the image, in shared memory: exact while one thread at a time counts; threads that count
 * the same outcome at the same moment may lose some. Single lookups gather in a log of their thread first, because
 * a store whose address waits for the whole lookup keeps the next lookup from overlapping with it.
 */

import type { Direction } from '@rulecast/rules';
import type { Image, NamesSection } from './layout.ts';
import { CODE_ACTION_BITS, DIRECTIONS } from './program.ts';
import { blockRunCount, listOf, programCount, programField } from './program-origin.ts';

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
  private hits: Float64Array | undefined; // of the image that the codes are of

  /** Notes a code of an image that the caller holds. Codes of one with other hits, which may be gone, are forgotten. */
  add(image: Image, code: number): void {
    if (image.hits !== this.hits) {
      this.hits = image.hits;
      this.count = 0;
    }
    this.codes[this.count++] = code;
    if (this.count === LOG_LENGTH) this.flush(image);
  }

  /** Counts all codes of an image that the caller holds. */
  flush(image: Image): void {
    const count = image.hits === this.hits ? this.count : 0;
    this.count = 0;
    for (let i = 0; i < count; i++) countHit(image, this.codes[i]!); // i < LOG_LENGTH
  }
}

/** What each program of an image decided. */
export function programHits(image: Image, names: NamesSection): readonly ProgramHits[] {
  const { programs, hits } = image;
  return Array.from({ length: programCount(programs) }, (_, program) => {
    const first = programField(programs, program, 'firstOutcome');
    const commonEnd = first + 1 + blockRunCount(programs, programField(programs, program, 'commonBlock'));
    const ownEnd = commonEnd + blockRunCount(programs, programField(programs, program, 'ownBlock'));
    return {
      policy: names.policies[programField(programs, program, 'policy')] ?? '',
      direction: DIRECTIONS[programField(programs, program, 'direction')] ?? 'egress',
      defaultAction: hits[first] ?? 0,
      common: [...hits.subarray(first + 1, commonEnd)],
      own: [...hits.subarray(commonEnd, ownEnd)],
    };
  });
}

/** Adds what an image counted for its lists to `totals`. */
export function addListHits(image: Image, names: NamesSection, totals: Map<string, number>): void {
  const { programs, hits } = image;
  if (names.lists.length === 0) return;
  for (let program = 0; program < programCount(programs); program++) {
    let outcome = programField(programs, program, 'firstOutcome') + 1;
    for (const field of ['commonBlock', 'ownBlock'] as const) {
      const block = programField(programs, program, field);
      const count = blockRunCount(programs, block);
      for (let run = 0; run < count; run++, outcome++) {
        const list = names.lists[listOf(programs, block, run)];
        if (list !== undefined) totals.set(list, (totals.get(list) ?? 0) + (hits[outcome] ?? 0));
      }
    }
  }
}
