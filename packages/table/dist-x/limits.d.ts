/**
 * What a table refuses to build, checked while compiling, before anything that a reader can see is touched.
 */
/** Why a rule set does not fit a table. */
export declare const TableLimitCode: {
    readonly classes: 'too-many-classes';
    readonly classMembers: 'classes-too-large';
    readonly rows: 'too-many-program-rows';
    readonly lists: 'programs-too-large';
    readonly outcomes: 'too-many-outcomes';
    readonly bytes: 'image-too-large';
};
export type TableLimitCode = (typeof TableLimitCode)[keyof typeof TableLimitCode];
export interface TableLimits {
    /** Distinct address classes. */
    readonly classes: number;
    /** Predicates summed over all classes; transient, 4 bytes each. */
    readonly classMembers: number;
    /** Classes summed over the programs that look at addresses; 4 bytes each. */
    readonly rows: number;
    /** Words of all candidate lists; 4 bytes each. */
    readonly lists: number;
    /** Runs (common ones anew) and one default, summed over programs; 8 bytes each, for the hit counter. */
    readonly outcomes: number;
}
export declare const DEFAULT_TABLE_LIMITS: TableLimits;
/** The rule set is sound, but this table does not take it; the table is as it was. */
export declare class TableLimitError extends Error {
    readonly code: TableLimitCode;
    readonly limit: number;
    constructor(code: TableLimitCode, limit: number, what: string, options?: ErrorOptions);
}
