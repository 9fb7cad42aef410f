/**
 * Programs: what each policy does with each class of remote addresses, in one direction.
 *
 *   program ─▶ rows[class] ──┬── ~code: a verdict, whatever else the packet has
 *                            └── at ─▶ lists[at …]: candidates in rule order, the last of them a ~code
 *
 * A candidate is a run that can match in that class and has more to ask: protocol, ports, ICMP type. Lists are cut at
 * the first run with nothing more to ask, contain no run that has expired, and are kept once however many classes use
 * them. A program that asks about no address has one row.
 *
 * A code names a verdict within one image: `outcome << 2 | action`. A program's outcomes are numbered from its
 * `firstOutcome`: its default action, then the runs of `common`, then the policy's own. Code 0 is the verdict none.
 */
import { type Direction, type Environment, type Family, type Policy, type RuleSet } from '@rulecast/rules';
import type { ClassSets } from './classes.ts';
import { type TableLimits } from './limits.ts';
import { type Predicates } from './predicate.ts';
/** The action in the low bits of a code. */
export declare const CodeAction: {
    readonly none: 0;
    readonly accept: 1;
    readonly drop: 2;
};
export declare const CODE_ACTION_BITS = 2;
export declare const CODE_ACTION_MASK = 3;
/** The code of the verdict none. */
export declare const NO_VERDICT_CODE = 0;
/** The words of a program's record. */
export declare const ProgramField: {
    readonly rowStart: 0;
    /** 0 for a program with one row, else all ones. */
    readonly classMask: 1;
    readonly firstOutcome: 2;
    readonly policy: 3;
    /** A Direction's place in DIRECTIONS. */
    readonly direction: 4;
    /** Block of `common`, or -1. */
    readonly commonBlock: 5;
    readonly ownBlock: 6;
};
export declare const PROGRAM_WORDS = 8;
/** The words of a block's record: the runs of one policy in one direction. */
export declare const BlockField: {
    readonly policy: 0;
    readonly runCount: 1;
    readonly firstRunList: 2;
};
export declare const BLOCK_WORDS = 4;
/** The words of a candidate: what it asks; the range of its port or ICMP type, first | last << 16; its code. */
export declare const CANDIDATE_WORDS = 3;
export declare const DIRECTIONS: readonly ['egress', 'ingress'];
/** All programs, in arrays of their own. */
export interface Programs {
    readonly programs: Int32Array;
    readonly rows: Int32Array;
    readonly lists: Int32Array;
    readonly candidates: Int32Array;
    readonly blocks: Int32Array;
    /** By block and run: the place of the run's list in `listNames`, or -1. Empty if no run has a list. */
    readonly runLists: Int32Array;
    readonly outcomeCount: number;
    readonly policyNames: readonly string[];
    readonly listNames: readonly string[];
}
/** What `decide` reads. */
export interface ProgramViews {
    readonly programs: Int32Array;
    readonly rows: Int32Array;
    readonly lists: Int32Array;
    readonly candidates: Int32Array;
}
/** The protocol bit of a packet of a family. */
export declare function protoBitOf(family: Family, proto: number): number;
/**
 * The code of what a program does with a packet whose remote side has the class `classId`. `detail` is the destination
 * port of tcp and udp, the type of ICMP, or negative where it cannot be read.
 */
export declare function decide(views: ProgramViews, program: number, classId: number, protoBit: number, detail: number): number;
/** The runs of one policy in one direction, as columns. */
interface Block {
    readonly policy: number;
    readonly count: number;
    /** By run: a predicate, ANY_ADDRESS or NO_ADDRESS. */
    readonly predicates: Int32Array;
    readonly checks: Uint8Array;
    /** By run: first | last << 16. */
    readonly ranges: Uint32Array;
    readonly lists: readonly (string | undefined)[];
}
/** A program before its rows. */
export interface ProgramPlan {
    readonly policy: Policy;
    readonly direction: Direction;
    readonly common: number;
    readonly own: number;
}
/** The programs of a rule set before classes exist; making one registers every predicate. */
export declare class ProgramPlans {
    readonly plans: ProgramPlan[];
    readonly blocks: Block[];
    readonly policies: readonly Policy[];
    /** NO_ADDRESS if the environment has none. */
    readonly dnsPredicate: number;
    private readonly environment;
    private readonly predicates;
    constructor(ruleSet: RuleSet, environment: Environment, predicates: Predicates);
    /** The program of a policy in a direction, or -1. */
    programOf(policy: string, direction: Direction): number;
    private block;
    private fillRun;
}
/** Turns plans into programs, class by class. Throws TableLimitError. */
export declare function compilePrograms(plans: ProgramPlans, sets: ClassSets, limits: TableLimits): Programs;
export {};
