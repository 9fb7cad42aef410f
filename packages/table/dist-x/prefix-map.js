/**
 * Maps from an address to a number, the same structure for both families: 16 bits of the address a step.
 *
 * The first step is a directory; each further step is a node, a sorted stretch of cells. A cell is a boundary (the low
 * end of an interval of the next 16 bits) and a value: an answer, or the node that looks at the 16 bits after these.
 *
 *   directory[top 16 bits] ──┬── answer >= 0
 *                            └── ~cell ─▶  cell        bounds            values
 *                                          c           n                 value of the interval from 0
 *                                          c + 1       boundary 1        value of the interval from boundary 1
 *                                          …           …                 …
 *                                          c + n       boundary n        value of the interval from boundary n
 *
 * IPv4 ends after one node, so its values are answers only and as narrow as they can be (1, 2 or 4 bytes); IPv6 values
 * are 4 bytes, and ~cell leads to the next node, of up to seven. A map that gives all addresses one answer has a
 * directory of one slot.
 */
import { strideOf } from '@rulecast/rules';
/** Slots of a directory that has more than one. */
export const DIRECTORY_SLOTS = 65536;
/** What a map of a cut needs, `classCount` being the number of all classes, of both families. */
export function measureMap(cut, classCount) {
    const builder = new MapBuilder(cut, undefined);
    const slots = builder.isConstant() ? 1 : DIRECTORY_SLOTS;
    if (slots !== 1)
        builder.build();
    const narrow = classCount <= 0x100 ? 1 : classCount <= 0x10000 ? 2 : 4;
    return { slots, cells: builder.cells, width: cut.family === 4 ? narrow : 4 };
}
/** Fills a map that has the shape `measureMap` gave for this cut. */
export function writeMap(cut, map) {
    const builder = new MapBuilder(cut, map);
    if (builder.isConstant())
        map.directory[0] = cut.count === 0 ? 0 : cut.classes[0]; // count > 0
    else
        builder.build();
}
/** What the map holds for an IPv4 address, signed or unsigned. */
export function find4(map, address) {
    const found = map.directory[(address >>> 16) & map.slotMask]; // the mask keeps within the directory
    if (found >= 0)
        return found;
    const cell = seek(map.bounds, ~found, (address & 0xffff) + 1);
    if (map.width === 1)
        return map.values8[cell]; // `seek` stays within the node
    return map.width === 2 ? map.values16[cell] : map.values32[cell];
}
/** What the map holds for the IPv6 address in `words[at, at + 4)`. */
export function find6(map, words, at) {
    const { bounds, values32 } = map;
    let word = words[at]; // the caller's address exists
    let found = map.directory[(word >>> 16) & map.slotMask]; // the mask keeps within the directory
    for (let level = 1; found < 0; level++) {
        let chunk = word & 0xffff;
        if ((level & 1) === 0) {
            word = words[at + (level >> 1)]; // level <= 7: nodes of the last level hold answers only
            chunk = word >>> 16;
        }
        found = values32[seek(bounds, ~found, chunk + 1)]; // `seek` stays within the node
    }
    return found;
}
/** The last cell of a node whose boundary is below `limit`; a binary search whose steps are arithmetic, not branches. */
function seek(bounds, node, limit) {
    let cell = node;
    let rest = bounds[node]; // cells from `cell + 1` that may hold the answer
    while (rest > 0) {
        const half = (rest + 1) >> 1;
        cell += half & ((bounds[cell + half] - limit) >> 31); // cell + half <= node + n
        rest -= half;
    }
    return cell;
}
/** Walks a cut in address order. Without a map it counts cells, with one it fills it; both walks are the same code. */
class MapBuilder {
    /** Cells so far. */
    cells = 0;
    starts;
    classes;
    count;
    stride;
    lastLevel;
    map;
    values;
    constructor(cut, map) {
        this.starts = cut.starts;
        this.classes = cut.classes;
        this.count = cut.count;
        this.stride = strideOf(cut.family);
        this.lastLevel = cut.family === 4 ? 1 : 7;
        this.map = map;
        this.values = map && (map.width === 1 ? map.values8 : map.width === 2 ? map.values16 : map.values32);
    }
    /** Whether all addresses have one class. */
    isConstant() {
        return this.count === 0 || (this.count === 1 && this.chunkAt(0, 0) === 0 && this.isChunkStart(0, 0));
    }
    build() {
        const directory = this.map?.directory;
        let classId = 0;
        let slot = 0;
        for (let i = 0; i < this.count;) {
            const chunk = this.chunkAt(i, 0);
            directory?.fill(classId, slot, chunk);
            const end = this.groupEnd(i, this.count, 0);
            if (this.isChunkStart(i, 0))
                classId = this.classes[i++]; // i < count
            const value = i < end ? ~this.node(1, i, end, classId) : classId;
            if (directory !== undefined)
                directory[chunk] = value;
            classId = this.classes[end - 1]; // end > 0
            i = end;
            slot = chunk + 1;
        }
        directory?.fill(classId, slot, DIRECTORY_SLOTS);
    }
    /** A node for the starts [from, to), which lie within its addresses and above the first. Returns its first cell. */
    node(level, from, to, classId) {
        const node = this.cells;
        if (level === this.lastLevel) {
            this.cells += 1 + to - from;
            this.set(node, to - from, classId);
            if (this.map !== undefined) {
                for (let i = from; i < to; i++)
                    this.set(node + 1 + i - from, this.chunkAt(i, level), this.classes[i]); // i < count
            }
            return node;
        }
        const further = this.innerCells(level, from, to, classId, -1);
        this.cells += 1 + further;
        this.set(node, further, classId);
        this.innerCells(level, from, to, classId, node);
        return node;
    }
    /** Counts the cells of an inner node after its first (`node` < 0), or makes them, and the nodes below it. */
    innerCells(level, from, to, firstClass, node) {
        let further = 0;
        let classId = firstClass;
        let resume = -1; // the chunk after one that leads to a node, until its cell is made
        for (let i = from; i < to;) {
            const chunk = this.chunkAt(i, level);
            const end = this.groupEnd(i, to, level);
            if (resume >= 0 && resume < chunk)
                this.cell(node, ++further, resume, classId);
            if (this.isChunkStart(i, level))
                classId = this.classes[i++]; // i < count
            const isLeaf = i === end;
            const value = isLeaf || node < 0 ? classId : ~this.node(level + 1, i, end, classId);
            if (chunk > 0)
                this.cell(node, ++further, chunk, value);
            else if (node >= 0)
                this.setValue(node, value);
            classId = this.classes[end - 1]; // end > 0
            resume = isLeaf || chunk === 0xffff ? -1 : chunk + 1;
            i = end;
        }
        if (resume >= 0)
            this.cell(node, ++further, resume, classId);
        return further;
    }
    cell(node, offset, bound, value) {
        if (node >= 0)
            this.set(node + offset, bound, value);
    }
    set(cell, bound, value) {
        if (this.map === undefined)
            return;
        this.map.bounds[cell] = bound;
        this.setValue(cell, value);
    }
    setValue(cell, value) {
        if (this.values !== undefined)
            this.values[cell] = value;
    }
    /** The end of the starts from `i` that share its chunk of a level. */
    groupEnd(i, to, level) {
        const chunk = this.chunkAt(i, level);
        let end = i + 1;
        while (end < to && this.chunkAt(end, level) === chunk)
            end++;
        return end;
    }
    chunkAt(i, level) {
        const word = this.starts[i * this.stride + (level >> 1)]; // i < count
        return (level & 1) === 0 ? word >>> 16 : word & 0xffff;
    }
    /** Whether a start has only zeros after its chunk of a level. */
    isChunkStart(i, level) {
        const word = level >> 1;
        if ((level & 1) === 0 && (this.starts[i * this.stride + word] & 0xffff) !== 0)
            return false; // i < count
        for (let w = word + 1; w < this.stride; w++)
            if (this.starts[i * this.stride + w] !== 0)
                return false;
        return true;
    }
}
//# sourceMappingURL=prefix-map.js.map