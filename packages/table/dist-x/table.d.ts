/**
 * The table: the writer's face. Compiles a rule set beside the one in force, and swaps it in at once.
 *
 * One thread writes a table. It may look up through the table itself; all other threads use a reader (reader.ts).
 */
import { type Address, type Environment, type Packet, type RuleSet } from '@rulecast/rules';
import { type TableHandle } from './double-buffer.ts';
import { type Explanation } from './explain.ts';
import { type TableHits } from './hits.ts';
import { type ImageSizes } from './image.ts';
import { type TableLimits } from './limits.ts';
import { type LookupDirection, type PacketBatch, type TableVerdict, type VerdictBatch } from './lookup.ts';
export interface TableOptions {
    /** Address space reserved for each of the two images, and so the largest image. Memory follows use. Default 1 GiB. */
    readonly maxImageBytes?: number;
    readonly limits?: Partial<TableLimits>;
    /** How long `prepare` waits for readers of the image before the one in force. Default 40 ms. */
    readonly pinWaitMs?: number;
}
/** A generation written to the standby, ready to flip. The next `prepare` takes its place. */
export interface Prepared {
    readonly generation: number;
    readonly ruleSet: RuleSet;
    readonly environment: Environment;
    readonly sizes: ImageSizes;
}
export interface TableStats extends ImageSizes {
    readonly generation: number;
    /** Bytes that both buffers have taken; they never shrink. */
    readonly reservedBytes: number;
    /** Lookups of this generation. */
    readonly hits: number;
}
export declare class Table {
    private readonly buffer;
    private readonly limits;
    private readonly pinWaitMs;
    private current;
    private standby;
    private readonly pastListHits;
    /** A table of generation 0, which holds the empty rule set: every verdict is `none`. */
    constructor(options?: TableOptions);
    /**
     * Compiles a sound rule set (`checkRuleSet`) and writes it to the standby. What is in force is untouched. Throws TableLimitError
     * if it does not fit, TablePinnedError if a reader holds the standby for longer than `pinWaitMs`. A full build each time;
     * `previous` is for tables that build on the generation before.
     */
    prepare(ruleSet: RuleSet, environment: Environment, _previous?: Prepared): Prepared;
    /** Puts what was prepared last in force; returns its generation. Cannot fail for that one; throws TypeError for any other. */
    flip(prepared: Prepared): number;
    /** The verdict on a packet, in words. */
    lookup(packet: Packet): TableVerdict;
    /** The code of a packet's verdict. Allocates nothing; see lookup.ts for its arguments. */
    lookup4(direction: LookupDirection, src: number | undefined, dst: number, proto: number, detail: number): number;
    /** The same for IPv6, with addresses of four words from `srcAt` and `dstAt`. */
    lookup6(direction: LookupDirection, src: Uint32Array | undefined, srcAt: number, dst: Uint32Array, dstAt: number, proto: number, detail: number): number;
    lookupBatch(batch: PacketBatch, out: VerdictBatch): void;
    /** A code of the generation in force, in words. */
    decode(code: number): TableVerdict;
    /** The class of an address as the remote side; 0 if no rule asks about it. Within this generation only. */
    classOf(address: Address): number;
    /** Exactly what decided, down to the rule and the prefix. Not counted as a hit. */
    explain(packet: Packet): Explanation;
    stats(): TableStats;
    /** Hit counts; exact while one thread looks up, else possibly a few too low. */
    hits(): TableHits;
    /** For `openReader` in any thread. */
    handle(): TableHandle;
    /** Frees the slot of a reader whose thread ended without closing it. */
    evictReader(slot: number): void;
    private write;
}
