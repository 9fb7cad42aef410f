/**
 * The table: the writer's face. Compiles a rule set beside the one in force, and swaps it in at once.
 *
 * One thread writes a table. It may look up through the table itself; all other threads use a reader (reader.ts). A large
 * rule set is best compiled with `prepareAsync`, in a thread that the table keeps for it (compiler.ts).
 */

import { type Address, EMPTY_RULE_SET, type Environment, type Packet, type RuleSet } from '@rulecast/rules';
import { isSmall } from './compile-cost.ts';
import { Compiler, closedError } from './compiler.ts';
import { DoubleBuffer, growTo, type TableHandle } from './double-buffer.ts';
import { type Explanation, explainVerdict } from './explain.ts';
import { addListHits, countHit, HitLog, programHits, type TableHits } from './hits.ts';
import { compileImage, type ImageSizes, writeImage } from './image.ts';
import { type Image, type NamesSection, openImage } from './layout.ts';
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
  /**
   * How long `prepare` may block its thread, and `prepareAsync` may wait without blocking it, for readers of the image
   * before the one in force. Default 1,000 ms.
   */
  readonly pinWaitMs?: number;
  /** Most JavaScript heap of the compile thread, in MiB; typed arrays come on top. Default: Node's own choice. */
  readonly compileHeapMb?: number;
}

/** A generation written to the standby, ready to flip. The next `prepare` or `prepareAsync` takes its place. */
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
 * cores that took up to 170 ms. An event loop that must not stall uses `prepareAsync`.
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
  private readonly compiler: Compiler;
  private turn: Promise<unknown> = Promise.resolve(); // the last `prepareAsync` that was asked for
  private preparing = 0; // how many calls of `prepareAsync` have not settled
  private isClosed = false;
  private readonly log = new HitLog();
  private current: Generation;
  private standby: Generation | undefined; // the one before the current, or the one prepared to come after it
  private readonly pastListHits = new Map<string, number>(); // of generations no longer in either buffer

  /** A table of generation 0, which holds the empty rule set: every verdict is `none`. */
  constructor(options: TableOptions = {}) {
    this.buffer = new DoubleBuffer(options.maxImageBytes ?? DEFAULT_MAX_IMAGE_BYTES);
    this.limits = { ...DEFAULT_TABLE_LIMITS, ...options.limits };
    this.pinWaitMs = options.pinWaitMs ?? DEFAULT_PIN_WAIT_MS;
    this.compiler = new Compiler(this.limits, options.compileHeapMb);
    this.current = this.write(EMPTY_RULE_SET, { now: 0, dns: [] }, 0);
    this.buffer.flip();
  }

  /**
   * Compiles a sound rule set (`checkRuleSet`) and writes it to the standby, on the caller's thread: a million prefixes block it
   * for a tenth of a second. What is in force is untouched. Throws TableLimitError if it does not fit, TablePinnedError if a
   * reader holds the standby for longer than `pinWaitMs`, TypeError while a `prepareAsync` has not settled, TableWorkerError
   * once the table is closed. A full build each time.
   */
  prepare(ruleSet: RuleSet, environment: Environment): Prepared {
    if (this.isClosed) throw closedError();
    if (this.preparing > 0) throw new TypeError('prepare was called before prepareAsync had settled');
    this.standby = this.write(ruleSet, environment, this.current.prepared.generation + 1);
    return this.standby.prepared;
  }

  /**
   * The same without blocking the caller's thread: large rule sets (compile-cost.ts) are compiled and written in a thread of the
   * table's own, small ones in place, where they take less than the way there. The caller's thread copies the parts that the
   * compile thread does not hold yet, in short steps; it is free while readers are waited for. The rule set must not
   * change meanwhile.
   *
   * Calls take turns in their order. What was prepared before a call cannot be flipped any more, even if the call fails; of several
   * calls at once, only what the last one prepared can be. Rejects with the errors of `prepare`, and with TableWorkerError
   * if the compile thread dies; the table is then as before, and the next call starts another thread.
   */
  prepareAsync(ruleSet: RuleSet, environment: Environment): Promise<Prepared> {
    this.preparing++;
    const result = this.turn
      .then(() => this.prepareInTurn(ruleSet, environment))
      .finally(() => {
        this.preparing--;
      });
    this.turn = result.catch(() => undefined);
    return result;
  }

  /** Puts what was prepared last in force; returns its generation. Cannot fail for that one; throws TypeError for any other. */
  flip(prepared: Prepared): number {
    const next = this.standby;
    if (
      this.preparing > 0 ||
      next?.prepared !== prepared ||
      prepared.generation <= this.current.prepared.generation
    ) {
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

  /**
   * Ends the compile thread; what it is at, and what waits behind it, rejects with TableWorkerError. The table goes on answering
   * from what is in force, and takes no other rule set. Resolves when nothing of this table runs any more.
   */
  async close(): Promise<void> {
    this.isClosed = true;
    await this.compiler.close();
    await this.turn;
  }

  private async prepareInTurn(ruleSet: RuleSet, environment: Environment): Promise<Prepared> {
    if (this.isClosed) throw closedError();
    const generation = this.current.prepared.generation + 1;
    await this.buffer.readersLeft(this.pinWaitMs);
    if (this.isClosed) throw closedError();
    const { standby } = this.buffer; // free until the next flip, and `flip` refuses until this call has settled
    this.retireStandby();
    if (isSmall(ruleSet)) {
      const compiled = compileImage(ruleColumns(ruleSet), environment, this.limits);
      growTo(standby, compiled.plan.bytes);
      this.standby = generationOf(
        writeImage(compiled, generation, standby),
        ruleSet,
        environment,
        compiled.sizes,
      );
    } else {
      const sizes = await this.compiler.compile(ruleSet, { environment, generation, standby });
      this.standby = generationOf(openImage(standby), ruleSet, environment, sizes);
    }
    return this.standby.prepared;
  }

  private write(ruleSet: RuleSet, environment: Environment, generation: number): Generation {
    const compiled = compileImage(ruleColumns(ruleSet), environment, this.limits);
    const buffer = this.buffer.openStandby(compiled.plan.bytes, this.pinWaitMs);
    this.retireStandby();
    return generationOf(writeImage(compiled, generation, buffer), ruleSet, environment, compiled.sizes);
  }

  /** Forgets the standby's image, which is about to be overwritten, but not what it counted. */
  private retireStandby(): void {
    if (this.standby !== undefined) addListHits(this.standby.image, this.standby.names, this.pastListHits);
    this.standby = undefined;
  }
}

function generationOf(
  image: Image,
  ruleSet: RuleSet,
  environment: Environment,
  sizes: ImageSizes,
): Generation {
  const prepared: Prepared = { generation: image.generation, ruleSet, environment, sizes };
  return { image, names: readNames(image), prepared };
}
