/**
 * The limits of a table, checked while compiling, before readers see anything; and the reasons why a process
 * cannot have a table.
 */

/** Why a rule set does not fit a table. */
export const TableLimitCode = {
  classes: 'too-many-classes',
  classMembers: 'classes-too-large',
  lists: 'programs-too-large',
  outcomes: 'too-many-outcomes',
  bytes: 'image-too-large',
} as const;
export type TableLimitCode = (typeof TableLimitCode)[keyof typeof TableLimitCode];

export interface TableLimits {
  /** Distinct address classes. */
  readonly classes: number;
  /** Predicates summed over all classes; 4 bytes each, in the heap. */
  readonly classMembers: number;
  /**
   * Words of programs' rows by class; 4 bytes each. Beyond, a program looks at the predicates of a class one
   * by one; slower.
   */
  readonly rows: number;
  /**
   * Pairs of a class and a predicate looked at to make rows; time, and transiently 8 bytes each. Beyond, as
   * for `rows`.
   */
  readonly pairs: number;
  /**
   * Words of records with shapes, 4 bytes each, and a sixteenth of the runs looked at for them; beyond, there
   * are none, but lists and maps by protocol and port. Of maps too, or the runs put into them where those are
   * more; beyond, as for `rows`.
   */
  readonly combined: number;
  /** Words of all programs, those above included; 4 bytes each. At most PROGRAM_WORDS_MAX. */
  readonly lists: number;
  /**
   * Runs (common ones anew) and one default, summed over programs; 8 bytes each, for the hit counter, besides
   * its shares (image/header.ts). At most OUTCOMES_MAX.
   */
  readonly outcomes: number;
}

// Our choice. Each keeps the arrays it bounds within the default image of 1 GiB, and the seed's 2^18
// alternating rules in one policy need a sixty-fourth of the classes and a hundredth of the rest.
export const DEFAULT_TABLE_LIMITS: TableLimits = {
  classes: 2 ** 24,
  classMembers: 2 ** 26,
  rows: 2 ** 24,
  pairs: 2 ** 24,
  combined: 2 ** 22,
  lists: 2 ** 26,
  outcomes: 2 ** 24,
};

// Fixed by the layout of programs (program/program.ts), whatever the limits say: a code has 24 bits for an
// outcome, and the first word of a record with a shape 31 bits for a byte.
export const OUTCOMES_MAX = 2 ** 24;
export const PROGRAM_WORDS_MAX = 2 ** 27;

/** The limits, as far as programs can reach them. */
export function reachableLimits(limits: TableLimits): TableLimits {
  return {
    ...limits,
    lists: Math.min(limits.lists, PROGRAM_WORDS_MAX),
    outcomes: Math.min(limits.outcomes, OUTCOMES_MAX),
  };
}

/** The rule set is sound, but this table does not take it; the table is as it was. */
export class TableLimitError extends Error {
  readonly code: TableLimitCode;
  readonly limit: number;
  /** The unit of the limit, in words. */
  readonly what: string;

  constructor(code: TableLimitCode, limit: number, what: string, options?: ErrorOptions) {
    super(
      `the table takes at most ${limit} ${what}: use fewer or larger lists, or raise its limits`,
      options,
    );
    this.name = 'TableLimitError';
    this.code = code;
    this.limit = limit;
    this.what = what;
  }
}

export const TableEngineCode = {
  /** The process has no WebAssembly. */
  missing: 'no-webassembly',
  /** The engine's file is not there, or is nothing that this machine can run. */
  unusable: 'engine-unusable',
  /** The process may not have so much address space. */
  addressSpace: 'no-address-space',
} as const;
export type TableEngineCode = (typeof TableEngineCode)[keyof typeof TableEngineCode];

/** This process can have no table, whatever the rule set: a program that needs one ends with this message. */
export class TableEngineError extends Error {
  readonly code: TableEngineCode;

  constructor(code: TableEngineCode, reason: string, options?: ErrorOptions) {
    super(reason, options);
    this.name = 'TableEngineError';
    this.code = code;
  }
}
