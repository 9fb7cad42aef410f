/**
 * Destination classes: predicates (sets of prefixes) cut the address space, and addresses that satisfy the same
 * predicates share a class (DESIGN "Table"; the idea is that of equivalence classes in recursive flow classification,
 * Gupta and McKeown 1999).
 *
 * One sweep over the sorted boundaries of all predicates, each of which switches one predicate on or off:
 *
 *   predicate 0      [===========)         [=====)
 *   predicate 1             [==============)
 *   class        0   1      2    3         1     0        1 = {0}, 2 = {0, 1}, 3 = {1}
 *
 * The boundaries of one predicate come sorted out of its canonical column, so that merging natural runs is all the
 * sorting there is; a single list of any size needs none.
 */
import { type Family, type Prefixes } from '@rulecast/rules';
import { type TableLimits } from './limits.ts';
/** Unsigned numbers in the narrowest array that holds them. */
export type IndexColumn = Uint8Array<ArrayBuffer> | Uint16Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;
/** Where the class of an address changes. Below the first start, addresses have class 0. */
export interface Cut {
    readonly family: Family;
    /** Interval i begins at the address in the words from `i * stride`; ascending, distinct; longer than needed. */
    readonly starts: Uint32Array;
    /** The class of each interval; never that of the interval before it. */
    readonly classes: IndexColumn;
    readonly count: number;
    /** How many different classes the addresses of this family have. */
    readonly classCount: number;
}
/** The class of addresses that satisfy no predicate. */
export declare const NO_PREDICATE_CLASS = 0;
/** The narrowest column of `length` numbers up to `max`. */
export declare function indexColumn(max: number, length: number): IndexColumn;
/** All classes so far, as sets of predicates, and the set under construction. Sets are compared, never only hashed. */
export declare class ClassSets {
    private readonly limits;
    private readonly isOn;
    private readonly place;
    private readonly current;
    private currentCount;
    private currentHash;
    private starts;
    private hashes;
    private members;
    private slots;
    private used;
    constructor(predicateCount: number, limits: TableLimits);
    get count(): number;
    get predicateCount(): number;
    /** The predicates of a class, in no order. A view; do not keep. */
    membersOf(classId: number): Uint32Array;
    /** Puts a predicate into the set under construction, or takes it out. */
    toggle(predicate: number): void;
    clear(): void;
    /** The class of the set under construction. Throws TableLimitError if it would be one too many. */
    intern(): number;
    private isCurrent;
    private add;
    private rehash;
}
/** Cuts one family's addresses by `columns`, one canonical column per predicate. Adds its classes to `sets`. */
export declare function cutSpace(family: Family, columns: readonly Prefixes[], sets: ClassSets): Cut;
