/**
 * Images: a rule set in an environment compiled to the bytes that answer lookups. Compiling writes private arrays only
 * and refuses what does not fit; writing puts them into a buffer and cannot refuse.
 */
import type { Environment, RuleSet } from '@rulecast/rules';
import { type Cut } from './classes.ts';
import { type Image, type ImagePlan } from './layout.ts';
import type { TableLimits } from './limits.ts';
import { type Owners } from './owner.ts';
import { type MapShape } from './prefix-map.ts';
import { type Programs } from './program.ts';
/** How large a table's content is. */
export interface ImageSizes {
    /** Bytes of the image. */
    readonly bytes: number;
    /** Distinct classes of remote addresses: in all, and those of each family. */
    readonly classes: number;
    readonly classes4: number;
    readonly classes6: number;
    /** Prefixes of all predicates: lists, names, runs' own, DNS. */
    readonly entries: number;
    readonly predicates: number;
    /** Addresses where the class changes. */
    readonly boundaries4: number;
    readonly boundaries6: number;
    /** Runs over all programs, common ones once per program. */
    readonly runs: number;
    readonly programs: number;
    /** Words of all candidate lists. */
    readonly listWords: number;
}
/** A compiled image, not yet anywhere. */
export interface CompiledImage {
    readonly plan: ImagePlan;
    readonly sizes: ImageSizes;
    readonly destination4: PlannedMap;
    readonly destination6: PlannedMap;
    readonly owner4: PlannedMap;
    readonly owner6: PlannedMap;
    readonly owners: Owners;
    readonly programs: Programs;
    readonly names: Uint8Array;
}
interface PlannedMap {
    readonly cut: Cut;
    readonly shape: MapShape;
}
/** Compiles a rule set. Throws TableLimitError. */
export declare function compileImage(ruleSet: RuleSet, environment: Environment, limits: TableLimits): CompiledImage;
/** Writes a compiled image to the start of a buffer of at least `plan.bytes` bytes. Nobody else may look at it meanwhile. */
export declare function writeImage(compiled: CompiledImage, generation: number, buffer: ArrayBufferLike): Image;
export {};
