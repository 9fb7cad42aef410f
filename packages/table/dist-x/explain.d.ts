/**
 * Explaining a verdict: from the run that the table found to the very rule, list member and prefix, as the reference evaluator
 * names them. Only the run that decided is searched.
 */
import { type Packet, type RuleSet, type Verdict } from '@rulecast/rules';
import type { TableVerdict } from './lookup.ts';
export interface Explanation {
    /** Equal to what `evaluate` gives. */
    readonly verdict: Verdict;
    /** The deciding rule as a canonical line; undefined where no rule decided. */
    readonly rule: string | undefined;
    readonly generation: number;
}
/** Explains what the table answered for a packet; `ruleSet` is what the table was compiled from. */
export declare function explainVerdict(ruleSet: RuleSet, packet: Packet, found: TableVerdict): Explanation;
