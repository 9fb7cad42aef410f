/**
 * What a table refuses to build, checked while compiling, before anything that a reader can see is touched.
 */
/** Why a rule set does not fit a table. */
export const TableLimitCode = {
    classes: 'too-many-classes',
    classMembers: 'classes-too-large',
    rows: 'too-many-program-rows',
    lists: 'programs-too-large',
    outcomes: 'too-many-outcomes',
    bytes: 'image-too-large',
};
// Our choice. Each keeps the arrays it bounds within the default image of 1 GiB, and the seed's 2^18 alternating rules in
// one policy need a sixty-fourth of the classes and a hundredth of the rest.
export const DEFAULT_TABLE_LIMITS = {
    classes: 2 ** 24,
    classMembers: 2 ** 26,
    rows: 2 ** 26,
    lists: 2 ** 26,
    outcomes: 2 ** 24,
};
/** The rule set is sound, but this table does not take it; the table is as it was. */
export class TableLimitError extends Error {
    code;
    limit;
    constructor(code, limit, what, options) {
        super(`the table takes at most ${limit} ${what}: use fewer or larger lists, or raise its limits`, options);
        this.name = 'TableLimitError';
        this.code = code;
        this.limit = limit;
    }
}
//# sourceMappingURL=limits.js.map