/**
 * Predicates: the sets of addresses that the rules of a rule set ask about, each once.
 *
 * A list, a name, a run's own prefixes and the environment's DNS addresses are one predicate each. Runs with the same
 * prefixes share one, so that alternating rules on one network do not multiply it.
 */
import { bitsOf, canonicalPrefixes, columnFor, emptyPrefixes, prefixCount, prefixOf, prefixSetOf, resolutionOf, } from '@rulecast/rules';
/** Instead of a predicate's number: every address, even an absent one. */
export const ANY_ADDRESS = -1;
/** Instead of a predicate's number: no address. */
export const NO_ADDRESS = -2;
/** Numbers the predicates of one rule set, in the order of first use. */
export class Predicates {
    /** By number. */
    sets = [];
    ruleSet;
    byName = new Map(); // `list NAME`, `name NAME` and `dns`
    byContent = new Map(); // hash of a run's prefixes -> predicates
    contents = new Map(); // the prefixes as the run has them, for comparison
    constructor(ruleSet) {
        this.ruleSet = ruleSet;
    }
    /** The predicate of a run's remote side, or ANY_ADDRESS or NO_ADDRESS. */
    of(remote) {
        switch (remote.kind) {
            case 'any':
                return ANY_ADDRESS;
            case 'prefixes':
                return this.ofPrefixes(remote.prefixes);
            case 'name':
                return this.named(`name ${remote.name}`, () => resolutionOf(this.ruleSet, remote.name));
            case 'list':
                return this.named(`list ${remote.list}`, () => this.listSet(remote.list));
        }
    }
    /** The predicate of the addresses that `specialtarget=dns` means. */
    ofDns(addresses) {
        return this.named('dns', () => prefixSetOf(addresses.map(({ family, words }) => prefixOf(family, words, bitsOf(family)))));
    }
    /** What the predicates say about one family, by number. */
    columns(family) {
        return this.sets.map((set) => columnFor(set, family));
    }
    /** How many prefixes all predicates have. */
    entryCount() {
        return this.sets.reduce((sum, set) => sum + prefixCount(set), 0);
    }
    named(key, make) {
        let predicate = this.byName.get(key);
        if (predicate === undefined) {
            predicate = this.add(make());
            this.byName.set(key, predicate);
        }
        return predicate;
    }
    add(set) {
        return prefixCount(set) === 0 ? NO_ADDRESS : this.sets.push(set) - 1;
    }
    ofPrefixes(prefixes) {
        const hash = contentHash(prefixes);
        const known = this.byContent.get(hash) ?? [];
        for (const predicate of known) {
            const other = this.contents.get(predicate);
            if (other !== undefined && sameContent(other, prefixes))
                return predicate;
        }
        const column = canonicalPrefixes(prefixes);
        const predicate = this.add(prefixes.family === 4 ? { v4: column, v6: NO_IP6 } : { v4: NO_IP4, v6: column });
        known.push(predicate);
        this.byContent.set(hash, known);
        this.contents.set(predicate, prefixes);
        return predicate;
    }
    /** What a list stands for: its members, or all that its names resolve to. */
    listSet(name) {
        const list = this.ruleSet.lists.get(name);
        if (list === undefined || (list.kind === 'names' && !list.resolve))
            return { v4: NO_IP4, v6: NO_IP6 };
        if (list.kind === 'prefixes')
            return list;
        const sets = list.names.map((host) => resolutionOf(this.ruleSet, host));
        return {
            v4: union(sets.map((set) => set.v4), NO_IP4),
            v6: union(sets.map((set) => set.v6), NO_IP6),
        };
    }
}
const NO_IP4 = emptyPrefixes(4);
const NO_IP6 = emptyPrefixes(6);
function union(columns, empty) {
    const count = columns.reduce((sum, column) => sum + column.lengths.length, 0);
    const words = new Uint32Array(columns.reduce((sum, column) => sum + column.words.length, 0));
    const lengths = new Uint8Array(count);
    let at = 0;
    let wordAt = 0;
    for (const column of columns) {
        words.set(column.words, wordAt);
        lengths.set(column.lengths, at);
        at += column.lengths.length;
        wordAt += column.words.length;
    }
    return canonicalPrefixes({ family: empty.family, words, lengths });
}
function contentHash({ family, words, lengths }) {
    let hash = family;
    for (let i = 0; i < words.length; i++)
        hash = mix(hash, words[i]); // i < length
    for (let i = 0; i < lengths.length; i++)
        hash = mix(hash, lengths[i]); // i < length
    return hash;
}
function mix(hash, value) {
    const mixed = Math.imul(hash ^ value, 0x9e3779b1);
    return mixed ^ (mixed >>> 15);
}
function sameContent(a, b) {
    return (a.family === b.family &&
        a.lengths.length === b.lengths.length &&
        a.words.every((word, i) => word === b.words[i]) &&
        a.lengths.every((length, i) => length === b.lengths[i]));
}
//# sourceMappingURL=predicate.js.map