/**
 * Reading a table from any thread. Each reader has a slot of its own in the control block and never waits: it
 * holds the generation in force from its first lookup in a turn of the event loop to the end of that turn,
 * and renews the hold where a lookup saw a flip (memory/double-buffer.ts says why that is enough). The table
 * has a reader of its own for the writer's thread: nothing is freed while that thread looks up, so it needs
 * no hold, and is told of each flip.
 */

import type { Family, Packet } from '@rulecast/rules';
import { generationAt, type Image, type NamesSection, openImage } from '../image/header.ts';
import { ControlField, heldWord, READER_SLOTS } from '../memory/control.ts';
import { ReaderHold, type TableHandle } from '../memory/double-buffer.ts';
import { TableMemory, type WasmModule } from '../memory/memory.ts';
import { Engine, type PacketColumns } from './engine.ts';
import {
  decodeVerdict,
  LookupDirection,
  type PacketBatch,
  readNames,
  type TableVerdict,
  type VerdictBatch,
} from './verdict.ts';

/**
 * Opens a reader on a table, in the table's thread or any other. Throws RangeError if all 64 slots are taken.
 */
export function openReader(handle: TableHandle): TableReader {
  const memory = new TableMemory(handle.memory);
  return new TableReader(memory, handle.module, new ReaderHold(memory.views.words));
}

/** A reader's columns of one family, and the batch that they are: checked once. */
export interface ReaderBatch extends PacketColumns {
  /** The generation that all codes are of that `run` found last. */
  readonly generation: number;
  /**
   * Looks up the first `count` packets, by default as egress; `hasSrc` says whether `src` has their sources.
   * Throws RangeError if `count` is too large.
   */
  readonly run: (count: number, direction?: LookupDirection, hasSrc?: boolean) => void;
}

/** A thread's reader of a table. Close it when done; one reader serves one thread. */
export class TableReader {
  readonly #memory: TableMemory;
  readonly #hold: ReaderHold | undefined; // undefined: the table's own
  readonly #engine: Engine;
  #image: Image | undefined; // the last one used
  #names: { readonly of: number; readonly section: NamesSection } | undefined; // of the generation that hits count from
  #lookupGeneration = 0;
  #isOpen = true;

  /** For `openReader`, and for the table, whose own has no hold. */
  constructor(memory: TableMemory, module: WasmModule, hold: ReaderHold | undefined) {
    this.#memory = memory;
    this.#hold = hold;
    this.#engine = new Engine(memory, module, this.slot);
  }

  /** For `Table.evictReader`, should this reader's thread end without closing it. */
  get slot(): number {
    return this.#hold?.slot ?? READER_SLOTS;
  }

  /** The verdict on a packet, in words. */
  lookup(packet: Packet): TableVerdict {
    return this.#verdict(packet, true);
  }

  /** The same, not counted as a hit. */
  judge(packet: Packet): TableVerdict {
    return this.#verdict(packet, false);
  }

  /**
   * The code of a packet's verdict, of `lookupGeneration`. Addresses are words, signed or unsigned (signed
   * ones never cost an allocation); `src` is undefined if unknown, `detail` as in PacketBatch. Allocates
   * nothing.
   */
  lookup4(
    direction: LookupDirection,
    src: number | undefined,
    dst: number,
    proto: number,
    detail: number,
  ): number {
    for (;;) {
      const code = this.#engine.lookup4(direction, src, dst, proto, detail);
      if (code >= 0) return code;
      this.#renew();
    }
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
    for (;;) {
      const code = this.#engine.lookup6(direction, src, srcAt, dst, dstAt, proto, detail);
      if (code >= 0) return code;
      this.#renew();
    }
  }

  /**
   * The codes of many packets, all of one generation. Columns from `columns` are read in place, without
   * allocation; others are copied through new views for each thousand packets. Throws RangeError if a column
   * is shorter than the count.
   */
  lookupBatch(batch: PacketBatch, out: VerdictBatch): void {
    while (this.#engine.lookupAll(batch, out) < 0) this.#renew();
    out.generation = this.#lookupGeneration;
  }

  /**
   * Columns in the table's memory, always the same ones, for this reader to fill with packets of a family;
   * each family has its own.
   */
  columns(family: Family): PacketColumns {
    return this.#engine.columns(family);
  }

  /**
   * The same columns, to be looked up where they are with as little besides as can be; small batches gain
   * most.
   */
  batch(family: Family): ReaderBatch {
    const look = this.#engine.lookOf(family);
    const columns = this.#engine.columns(family);
    let generation = 0;
    return {
      ...columns,
      get generation() {
        return generation;
      },
      run: (count, direction = LookupDirection.egress, hasSrc = false) => {
        if (!(count >= 0 && count <= columns.capacity))
          throw new RangeError(
            `a batch of ${count} packets, where columns have room for ${columns.capacity}`,
          );
        while (look(direction, hasSrc, count) < 0) this.#renew();
        generation = this.#lookupGeneration;
      },
    };
  }

  /** A code in words, by default of `lookupGeneration`; undefined if its generation is no longer in force. */
  decode(code: number, generation = this.#lookupGeneration): TableVerdict | undefined {
    const image = this.#inForce();
    return image.generation === generation ? decodeVerdict(image, this.#namesOf(image), code) : undefined;
  }

  /** The generation in force. */
  generation(): number {
    return this.#inForce().generation;
  }

  /** The generation that answered last. */
  get lookupGeneration(): number {
    return this.#lookupGeneration;
  }

  /**
   * Gives up the generation that lookups of this turn hold; the next lookup holds one again. It is given up
   * by itself at the end of the turn: only a thread that blocks within one, such as by `Atomics.wait`, says
   * so.
   */
  rest(): void {
    this.#hold?.rest();
  }

  /** Gives the slot back. The reader must not be used after it. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#hold?.release();
  }

  /** For the table: the generation in force from now on. */
  see(image: Image): void {
    image.views.words[heldWord(this.slot)] = image.at;
    this.#look(image);
  }

  #verdict(packet: Packet, isHit: boolean): TableVerdict {
    for (;;) {
      const code = this.#engine.judge(packet, isHit);
      const image = this.#image;
      if (code >= 0 && image !== undefined) return decodeVerdict(image, this.#namesOf(image), code);
      this.#renew();
    }
  }

  /** Holds the generation in force. */
  #renew(): void {
    if (!this.#isOpen) throw new TypeError('this table reader is closed');
    const hold = this.#hold;
    if (hold === undefined) {
      // Another thread flipped: the writer frees nothing before it knows.
      const { views } = this.#memory;
      this.see(openImage(views, Atomics.load(views.words, ControlField.header) >>> 0, undefined));
      return;
    }
    const at = hold.renew();
    this.#memory.follow(hold.memoryBytes());
    const { views } = this.#memory;
    const image = this.#image;
    const isSame = image?.at === at && image.generation === generationAt(views, at);
    this.#look(isSame ? image : openImage(views, at, image));
  }

  #look(image: Image): void {
    this.#image = image;
    this.#lookupGeneration = image.generation;
    this.#engine.open();
  }

  /** The generation in force, with a hold. */
  #inForce(): Image {
    const { words } = this.#memory.views;
    // No ordering needed: the generation that was held stays held.
    if (Atomics.load(words, ControlField.header) !== words[heldWord(this.slot)]) this.#renew();
    if (this.#image === undefined) throw new TypeError('the table is not made yet');
    return this.#image;
  }

  #namesOf(image: Image): NamesSection {
    const of = image.places.hitsSince;
    if (this.#names?.of !== of) this.#names = { of, section: readNames(image) };
    return this.#names.section;
  }
}
