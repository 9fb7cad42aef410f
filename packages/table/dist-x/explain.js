/**
 * Explaining a verdict: from the run that the table found to the very rule, list member and prefix, as the reference evaluator
 * names them. Only the run that decided is searched.
 */
import { columnFor, containsAt, formatRule, memberContaining, prefixAt, resolutionOf, ruleAt, ruleCount, runsOf, } from '@rulecast/rules';
/** Explains what the table answered for a packet; `ruleSet` is what the table was compiled from. */
export function explainVerdict(ruleSet, packet, found) {
    const { action, direction, policy, generation } = found;
    if (direction === undefined || policy === undefined) {
        return { verdict: { action, by: undefined }, rule: undefined, generation };
    }
    const runs = runsOfVerdict(ruleSet, found);
    const run = found.run === undefined ? undefined : runs[found.run];
    if (found.rulePolicy === undefined || found.run === undefined || run === undefined) {
        return { verdict: { action, by: { direction, policy, rule: undefined } }, rule: undefined, generation };
    }
    const remote = direction === 'egress' ? packet.dst : packet.src;
    const hit = locate(ruleSet, run, remote);
    const index = ruleCount(runs.slice(0, found.run)) + hit.offset;
    const rule = {
        policy: found.rulePolicy,
        run: found.run,
        index,
        list: found.list,
        prefix: hit.prefix,
    };
    const line = formatRule(ruleAt(runs, index), direction);
    return { verdict: { action, by: { direction, policy, rule } }, rule: line, generation };
}
function runsOfVerdict(ruleSet, { rulePolicy, direction }) {
    const policy = rulePolicy === undefined ? undefined : ruleSet.policies.get(rulePolicy);
    return policy === undefined || direction === undefined ? [] : runsOf(policy, direction);
}
/** The rule of a run that holds an address, by its offset within the run, and the prefix that does. */
function locate(ruleSet, { remote }, address) {
    if (remote.kind === 'any' || address === undefined)
        return { offset: 0, prefix: undefined };
    switch (remote.kind) {
        case 'prefixes': {
            const { prefixes } = remote;
            for (let offset = 0; offset < prefixes.lengths.length; offset++) {
                if (containsAt(prefixes, offset, address.words, 0))
                    return { offset, prefix: prefixAt(prefixes, offset) };
            }
            return { offset: 0, prefix: undefined };
        }
        case 'name':
            return { offset: 0, prefix: memberOf(resolutionOf(ruleSet, remote.name), address) };
        case 'list':
            return { offset: 0, prefix: listMember(ruleSet, remote.list, address) };
    }
}
/** The member of a list that holds an address; of a list of names, the widest of all that they resolve to. */
function listMember(ruleSet, name, address) {
    const list = ruleSet.lists.get(name);
    if (list === undefined || list.kind === 'prefixes')
        return list && memberOf(list, address);
    let widest;
    for (const host of list.names) {
        const member = memberOf(resolutionOf(ruleSet, host), address);
        if (member !== undefined && (widest === undefined || member.length < widest.length))
            widest = member;
    }
    return widest;
}
function memberOf(set, address) {
    const column = columnFor(set, address.family);
    const index = memberContaining(column, address.words);
    return index < 0 ? undefined : prefixAt(column, index);
}
//# sourceMappingURL=explain.js.map