/**
 * Hit counters in words: how often each run, each policy's default action and each list decided.
 */
import { listOf } from './lookup.js';
import { BLOCK_WORDS, BlockField, DIRECTIONS, PROGRAM_WORDS, ProgramField } from './program.js';
export function programHits(image, names) {
    const all = [];
    for (let record = 0; record < image.programs.length; record += PROGRAM_WORDS) {
        const field = (name) => image.programs[record + ProgramField[name]] ?? -1;
        const first = field('firstOutcome');
        const commonEnd = first + 1 + runCount(image, field('commonBlock'));
        all.push({
            policy: names.policies[field('policy')] ?? '',
            direction: DIRECTIONS[field('direction')] ?? 'egress',
            defaultAction: image.hits[first] ?? 0,
            common: [...image.hits.subarray(first + 1, commonEnd)],
            own: [...image.hits.subarray(commonEnd, commonEnd + runCount(image, field('ownBlock')))],
        });
    }
    return all;
}
/** Adds what an image counted for its lists to `totals`. */
export function addListHits(image, names, totals) {
    if (image.runLists.length === 0)
        return;
    for (let record = 0; record < image.programs.length; record += PROGRAM_WORDS) {
        const field = (name) => image.programs[record + ProgramField[name]] ?? -1;
        let outcome = field('firstOutcome') + 1;
        for (const block of [field('commonBlock'), field('ownBlock')]) {
            const count = runCount(image, block);
            for (let run = 0; run < count; run++, outcome++) {
                const list = names.lists[listOf(image, block, run)];
                if (list !== undefined)
                    totals.set(list, (totals.get(list) ?? 0) + (image.hits[outcome] ?? 0));
            }
        }
    }
}
function runCount(image, block) {
    return image.blocks[block * BLOCK_WORDS + BlockField.runCount] ?? 0;
}
//# sourceMappingURL=hits.js.map