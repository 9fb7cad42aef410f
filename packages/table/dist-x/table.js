/**
 * The table: the writer's face. Compiles a rule set beside the one in force, and swaps it in at once.
 *
 * One thread writes a table. It may look up through the table itself; all other threads use a reader (reader.ts).
 */
import { EMPTY_RULE_SET } from '@rulecast/rules';
import { DoubleBuffer } from './double-buffer.js';
import { explainVerdict } from './explain.js';
import { addListHits, programHits } from './hits.js';
import { compileImage, writeImage } from './image.js';
import { DEFAULT_TABLE_LIMITS } from './limits.js';
import { classOf, decidePacket, decodeVerdict, lookup4, lookup6, lookupAll, lookupPacket, readNames, } from './lookup.js';
const DEFAULT_MAX_IMAGE_BYTES = 2 ** 30;
/** Below the 50 ms that no event loop may stall. */
const DEFAULT_PIN_WAIT_MS = 40;
export class Table {
    buffer;
    limits;
    pinWaitMs;
    current;
    standby; // the one before the current, or the one prepared to come after it
    pastListHits = new Map(); // of generations no longer in either buffer
    /** A table of generation 0, which holds the empty rule set: every verdict is `none`. */
    constructor(options = {}) {
        this.buffer = new DoubleBuffer(options.maxImageBytes ?? DEFAULT_MAX_IMAGE_BYTES);
        this.limits = { ...DEFAULT_TABLE_LIMITS, ...options.limits };
        this.pinWaitMs = options.pinWaitMs ?? DEFAULT_PIN_WAIT_MS;
        this.current = this.write(EMPTY_RULE_SET, { now: 0, dns: [] }, 0);
        this.buffer.flip();
    }
    /**
     * Compiles a sound rule set (`checkRuleSet`) and writes it to the standby. What is in force is untouched. Throws TableLimitError
     * if it does not fit, TablePinnedError if a reader holds the standby for longer than `pinWaitMs`. A full build each time;
     * `previous` is for tables that build on the generation before.
     */
    prepare(ruleSet, environment, _previous) {
        this.standby = this.write(ruleSet, environment, this.current.prepared.generation + 1);
        return this.standby.prepared;
    }
    /** Puts what was prepared last in force; returns its generation. Cannot fail for that one; throws TypeError for any other. */
    flip(prepared) {
        const next = this.standby;
        if (next?.prepared !== prepared || prepared.generation <= this.current.prepared.generation) {
            throw new TypeError(`generation ${prepared.generation} is not what the table prepared last`);
        }
        this.buffer.flip();
        this.standby = this.current;
        this.current = next;
        return prepared.generation;
    }
    /** The verdict on a packet, in words. */
    lookup(packet) {
        return this.decode(lookupPacket(this.current.image, packet));
    }
    /** The code of a packet's verdict. Allocates nothing; see lookup.ts for its arguments. */
    lookup4(direction, src, dst, proto, detail) {
        return lookup4(this.current.image, direction, src, dst, proto, detail);
    }
    /** The same for IPv6, with addresses of four words from `srcAt` and `dstAt`. */
    lookup6(direction, src, srcAt, dst, dstAt, proto, detail) {
        return lookup6(this.current.image, direction, src, srcAt, dst, dstAt, proto, detail);
    }
    lookupBatch(batch, out) {
        lookupAll(this.current.image, batch, out);
    }
    /** A code of the generation in force, in words. */
    decode(code) {
        return decodeVerdict(this.current.image, this.current.names, code);
    }
    /** The class of an address as the remote side; 0 if no rule asks about it. Within this generation only. */
    classOf(address) {
        return classOf(this.current.image, address);
    }
    /** Exactly what decided, down to the rule and the prefix. Not counted as a hit. */
    explain(packet) {
        const { image, names, prepared } = this.current;
        const code = decidePacket(image, packet);
        return explainVerdict(prepared.ruleSet, packet, decodeVerdict(image, names, code));
    }
    stats() {
        const { image, prepared } = this.current;
        return {
            ...prepared.sizes,
            generation: prepared.generation,
            reservedBytes: this.buffer.reservedBytes,
            hits: image.hits.reduce((sum, count) => sum + count, 0),
        };
    }
    /** Hit counts; exact while one thread looks up, else possibly a few too low. */
    hits() {
        const { image, names, prepared } = this.current;
        const lists = new Map(this.pastListHits);
        if (this.standby !== undefined)
            addListHits(this.standby.image, this.standby.names, lists);
        addListHits(image, names, lists);
        const programs = programHits(image, names);
        return { generation: prepared.generation, none: image.hits[0] ?? 0, programs, lists };
    }
    /** For `openReader` in any thread. */
    handle() {
        return this.buffer.handle;
    }
    /** Frees the slot of a reader whose thread ended without closing it. */
    evictReader(slot) {
        this.buffer.evict(slot);
    }
    write(ruleSet, environment, generation) {
        const compiled = compileImage(ruleSet, environment, this.limits);
        const buffer = this.buffer.openStandby(compiled.plan.bytes, this.pinWaitMs);
        if (this.standby !== undefined)
            addListHits(this.standby.image, this.standby.names, this.pastListHits);
        this.standby = undefined;
        const image = writeImage(compiled, generation, buffer);
        const prepared = { generation, ruleSet, environment, sizes: compiled.sizes };
        return { image, names: readNames(image), prepared };
    }
}
//# sourceMappingURL=table.js.map