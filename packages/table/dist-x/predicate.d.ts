/**
 * Predicates: the sets of addresses that the rules of a rule set ask about, each once.
 *
 * A list, a name, a run's own prefixes and the environment's DNS addresses are one predicate each. Runs with the same
 * prefixes share one, so that alternating rules on one network do not multiply it.
 */
import { type Address, type Family, type Prefixes, type PrefixSet, type RuleSet, type RunRemote } from '@rulecast/rules';
/** Instead of a predicate's number: every address, even an absent one. */
export declare const ANY_ADDRESS = -1;
/** Instead of a predicate's number: no address. */
export declare const NO_ADDRESS = -2;
/** Numbers the predicates of one rule set, in the order of first use. */
export declare class Predicates {
    /** By number. */
    readonly sets: PrefixSet[];
    private readonly ruleSet;
    private readonly byName;
    private readonly byContent;
    private readonly contents;
    constructor(ruleSet: RuleSet);
    /** The predicate of a run's remote side, or ANY_ADDRESS or NO_ADDRESS. */
    of(remote: RunRemote): number;
    /** The predicate of the addresses that `specialtarget=dns` means. */
    ofDns(addresses: readonly Address[]): number;
    /** What the predicates say about one family, by number. */
    columns(family: Family): readonly Prefixes[];
    /** How many prefixes all predicates have. */
    entryCount(): number;
    private named;
    private add;
    private ofPrefixes;
    /** What a list stands for: its members, or all that its names resolve to. */
    private listSet;
}
