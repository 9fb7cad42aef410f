/**
 * Hit counters in words: how often each run, each policy's default action and each list decided.
 */
import type { Direction } from '@rulecast/rules';
import type { Image, NamesSection } from './layout.ts';
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
export declare function programHits(image: Image, names: NamesSection): readonly ProgramHits[];
/** Adds what an image counted for its lists to `totals`. */
export declare function addListHits(image: Image, names: NamesSection, totals: Map<string, number>): void;
