/**
 * Owners: which policies judge a qube, by its address. The longest prefix of any policy that holds the address decides, for
 * each direction among the policies that have a program in it.
 *
 * The space is cut like that of destinations, by one predicate per policy and prefix length, so that a class tells all
 * that the choice needs; each class then comes down to a pair of programs.
 */
import { type Cut } from './classes.ts';
import type { TableLimits } from './limits.ts';
import type { ProgramPlans } from './program.ts';
/** The words of a class's record: a program, or -1 where no policy judges. */
export declare const OwnerField: {
    readonly egress: 0;
    readonly ingress: 1;
};
export declare const OWNER_WORDS = 2;
export interface Owners {
    readonly v4: Cut;
    readonly v6: Cut;
    /** By class, OWNER_WORDS each. */
    readonly records: Int32Array;
    readonly classCount: number;
}
export declare function compileOwners(plans: ProgramPlans, limits: TableLimits): Owners;
