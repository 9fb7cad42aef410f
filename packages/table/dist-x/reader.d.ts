/**
 * Reading a table from any thread. Each reader has a slot of its own in the control block and never waits: it raises its
 * pin, looks at the image in force, and lowers it (double-buffer.ts says why that is enough).
 */
import type { Address, Packet } from '@rulecast/rules';
import type { TableHandle } from './double-buffer.ts';
import { type LookupDirection, type PacketBatch, type TableVerdict, type VerdictBatch } from './lookup.ts';
/** Opens a reader on a table, in the table's thread or any other. Throws RangeError if all 64 slots are taken. */
export declare function openReader(handle: TableHandle): TableReader;
/** One thread's way into a table. Close it when done; one reader serves one thread. */
export declare class TableReader {
    /** For `Table.evictReader`, should this reader's thread end without closing it. */
    readonly slot: number;
    private readonly handle;
    private readonly control;
    private readonly pinWord;
    private pinned;
    private readonly images;
    private names;
    private lastGeneration;
    private isOpen;
    constructor(handle: TableHandle);
    /** The verdict on a packet, in words. */
    lookup(packet: Packet): TableVerdict;
    /** The code of a packet's verdict, of `lookupGeneration`. Allocates nothing. See `lookup4` in lookup.ts. */
    lookup4(direction: LookupDirection, src: number | undefined, dst: number, proto: number, detail: number): number;
    /** The same for IPv6, with addresses of four words from `srcAt` and `dstAt`. */
    lookup6(direction: LookupDirection, src: Uint32Array | undefined, srcAt: number, dst: Uint32Array, dstAt: number, proto: number, detail: number): number;
    /** The codes of many packets, all of one generation. The image stays pinned for the whole batch. */
    lookupBatch(batch: PacketBatch, out: VerdictBatch): void;
    /** A code of the given generation in words; undefined if that generation is no longer in force. */
    decode(code: number, generation: number): TableVerdict | undefined;
    classOf(address: Address): number;
    /** The generation in force. */
    generation(): number;
    /** The generation that answered last. */
    get lookupGeneration(): number;
    /** Gives the slot back. The reader must not be used after it. */
    close(): void;
    private pin;
    private unpin;
    private namesOf;
}
