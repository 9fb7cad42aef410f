/**
 * The table: the writer's face. Compiles a rule set beside the one in force, and swaps it in at once.
 *
 * One thread writes a table. It may look up through the table itself; all other threads use a reader (reader.ts).
 */

import { type Address, EMPTY_RULE_SET, type Environment, type Packet, type RuleSet } from '@rulecast/rules';
import { DoubleBuffer, type TableHandle } from './double-buffer.ts';
import { type Explanation, explainVerdict } from './explain.ts';
import { addListHits, countHit, HitLog, programHits, type TableHits } from './hits.ts';
import { compileImage, type ImageSizes, writeImage } from './image.ts';
import type { Image, NamesSection } from './layout.ts';
import { DEFAULT_TABLE_LIMITS, type TableLimits } from './limits.ts';
import {
  classOf,
  decodeVerdict,
  type LookupDirection,
  lookup4,
  lookup6,
  lookupAll,
  lookupPacket,
  type PacketBatch,
  readNames,
  type TableVerdict,
  type VerdictBatch,
} from './lookup.ts';
import { ruleColumns } from './rule-columns.ts';

export interface TableOptions {
  /** Address space reserved for each of the two images, and so the largest image. Memory follows use. Default 1 GiB. */
  readonly maxImageBytes?: number;
  readonly limits?: Partial<TableLimits>;
  /** How long `prepare` may block its thread for readers of the image before the one in force. Default 1,000 ms. */
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

const DEFAULT_MAX_IMAGE_BYTES = 2 ** 30;
/**
 * Our choice: a look is short, but a thread that lost its core within one keeps its pin until it runs again; on two busy
 * cores that took up to 170 ms. A table written on an event loop that must not stall takes less and tries again.
 */
const DEFAULT_PIN_WAIT_MS = 1000;

/** What a generation is made of. */
interface Generation {
  readonly image: Image;
  readonly names: NamesSection;
  readonly prepared: Prepared;
}

export class Table {
  private readonly buffer: DoubleBuffer;
  private readonly limits: TableLimits;
  private readonly pinWaitMs: number;
  private readonly log = new HitLog();
  private current: Generation;
  private standby: Generation | undefined; // the one before the current, or the one prepared to come after it
  private readonly pastListHits = new Map<string, number>(); // of generations no longer in either buffer

  /** A table of generation 0, which holds the empty rule set: every verdict is `none`. */
  constructor(options: TableOptions = {}) {
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
  prepare(ruleSet: RuleSet, environment: Environment, _previous?: Prepared): Prepared {
    this.standby = this.write(ruleSet, environment, this.current.prepared.generation + 1);
    return this.standby.prepared;
  }

  /** Puts what was prepared last in force; returns its generation. Cannot fail for that one; throws TypeError for any other. */
  flip(prepared: Prepared): number {
    const next = this.standby;
    if (next?.prepared !== prepared || prepared.generation <= this.current.prepared.generation) {
      throw new TypeError(`generation ${prepared.generation} is not what the table prepared last`);
    }
    this.log.flush(this.current.image);
    this.buffer.flip();
    this.standby = this.current;
    this.current = next;
    return prepared.generation;
  }

  /** The verdict on a packet, in words. */
  lookup(packet: Packet): TableVerdict {
    const code = lookupPacket(this.current.image, packet);
    countHit(this.current.image, code);
    return this.decode(code);
  }

  /** The code of a packet's verdict. Allocates nothing; see lookup.ts for its arguments. */
  lookup4(
    direction: LookupDirection,
    src: number | undefined,
    dst: number,
    proto: number,
    detail: number,
  ): number {
    const { image } = this.current;
    const code = lookup4(image, direction, src, dst, proto, detail);
    this.log.add(image, code);
    return code;
  }

  /** The same for IPv6, with addresses of four words from `srcAt` and `dstAt`. */
  lookup6(
    direction: LookupDirection,
    src: Uint32Array | undefined,
    srcAt: number,
    dst: Uint32Array,
    dstAt: number,
    proto: number,
    detail: number,
  ): number {
    const { image } = this.current;
    const code = lookup6(image, direction, src, srcAt, dst, dstAt, proto, detail);
    this.log.add(image, code);
    return code;
  }

  lookupBatch(batch: PacketBatch, out: VerdictBatch): void {
    lookupAll(this.current.image, batch, out);
  }

  /** A code of the generation in force, in words. */
  decode(code: number): TableVerdict {
    return decodeVerdict(this.current.image, this.current.names, code);
  }

  /** The class of an address as the remote side; 0 if no rule asks about it. Within this generation only. */
  classOf(address: Address): number {
    return classOf(this.current.image, address);
  }

  /** Exactly what decided, down to the rule and the prefix. Not counted as a hit. */
  explain(packet: Packet): Explanation {
    const { image, names, prepared } = this.current;
    const code = lookupPacket(image, packet);
    return explainVerdict(prepared.ruleSet, packet, decodeVerdict(image, names, code));
  }

  stats(): TableStats {
    const { image, prepared } = this.current;
    this.log.flush(image);
    return {
      ...prepared.sizes,
      generation: prepared.generation,
      reservedBytes: this.buffer.reservedBytes,
      hits: image.hits.reduce((sum, count) => sum + count, 0),
    };
  }

  /** Hit counts: exact for this table's own lookups, possibly a few too low while readers look up too (hits.ts). */
  hits(): TableHits {
    const { image, names, prepared } = this.current;
    this.log.flush(image);
    const lists = new Map(this.pastListHits);
    if (this.standby !== undefined) addListHits(this.standby.image, this.standby.names, lists);
    addListHits(image, names, lists);
    const programs = programHits(image, names);
    return { generation: prepared.generation, none: image.hits[0] ?? 0, programs, lists };
  }

  /** For `openReader` in any thread. */
  handle(): TableHandle {
    return this.buffer.handle;
  }

  /** Frees the slot of a reader whose thread ended without closing it. */
  evictReader(slot: number): void {
    this.buffer.evict(slot);
  }

  private write(ruleSet: RuleSet, environment: Environment, generation: number): Generation {
    const compiled = compileImage(ruleColumns(ruleSet), environment, this.limits);
    const buffer = this.buffer.openStandby(compiled.plan.bytes, this.pinWaitMs);
    if (this.standby !== undefined) addListHits(this.standby.image, this.standby.names, this.pastListHits);
    this.standby = undefined;
    const image = writeImage(compiled, generation, buffer);
    const prepared: Prepared = { generation, ruleSet, environment, sizes: compiled.sizes };
    return { image, names: readNames(image), prepared };
  }
}
