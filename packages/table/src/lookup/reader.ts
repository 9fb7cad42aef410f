/**
 * Reading a table from any thread. Each reader has a slot of its own in the control block and never waits: it
 * raises its pin, looks at the image in force, and lowers it (memory/double-buffer.ts says why that is
 * enough). The table has one of its own for the thread that writes it: nothing changes while that looks, so
 * it needs no pin, and is told of each flip.
 */

import type { Address, Family, Packet } from '@rulecast/rules';
import { HeaderField, type Image, type NamesSection, openImage } from '../image/header.ts';
import { READER_SLOTS } from '../memory/control.ts';
import { ReaderPin, type TableHandle } from '../memory/double-buffer.ts';
import { TableMemory, type WasmModule } from '../memory/memory.ts';
import { Engine, type PacketColumns } from './engine.ts';
import { countHit } from './hits.ts';
import {
  decodeVerdict,
  type LookupDirection,
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
  return new TableReader(memory, handle.module, new ReaderPin(memory.views.words));
}

/** One thread's way into a table. Close it when done; one reader serves one thread. */
export class TableReader {
  readonly #memory: TableMemory;
  readonly #pinned: ReaderPin | undefined; // undefined: the table's own
  readonly #engine: Engine;
  #image: Image | undefined; // the one looked at last
  #names: { readonly of: number; readonly section: NamesSection } | undefined; // of the generation that hits count from
  #lookupGeneration = 0;
  #isOpen = true;

  /** For `openReader`, and for the table, whose own has no pin. */
  constructor(memory: TableMemory, module: WasmModule, pin: ReaderPin | undefined) {
    this.#memory = memory;
    this.#pinned = pin;
    this.#engine = new Engine(memory, module, this.slot);
  }

  /** For `Table.evictReader`, should this reader's thread end without closing it. */
  get slot(): number {
    return this.#pinned?.slot ?? READER_SLOTS;
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
    const image = this.#pin();
    const code = this.#engine.lookup4(image, direction, src, dst, proto, detail);
    this.#pinned?.unpin();
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
    const image = this.#pin();
    const code = this.#engine.lookup6(image, direction, src, srcAt, dst, dstAt, proto, detail);
    this.#pinned?.unpin();
    return code;
  }

  /**
   * The codes of many packets, all of one generation, which stays pinned for the whole batch. Columns of
   * `columns` are looked up where they are, and nothing is allocated; others are copied through views made
   * anew for each thousand packets. Throws RangeError where a column is shorter than the count.
   */
  lookupBatch(batch: PacketBatch, out: VerdictBatch): void {
    const image = this.#pin();
    try {
      this.#engine.lookupAll(image, batch, out);
      out.generation = image.generation;
    } finally {
      this.#pinned?.unpin();
    }
  }

  /**
   * Columns in the table's memory, always the same ones, for this reader to fill with packets of a family;
   * each family has its own.
   */
  columns(family: Family): PacketColumns {
    return this.#engine.columns(family);
  }

  /** A code in words, by default of `lookupGeneration`; undefined if its generation is no longer in force. */
  decode(code: number, generation = this.#lookupGeneration): TableVerdict | undefined {
    const image = this.#pin();
    try {
      return image.generation === generation ? decodeVerdict(image, this.#namesOf(image), code) : undefined;
    } finally {
      this.#pinned?.unpin();
    }
  }

  /**
   * The class of an address as the remote side; 0 if no rule asks about it. Within this generation only. Of a
   * table with several groups of predicates (see `Table.stats`), in the first of them.
   */
  classOf(address: Address): number {
    const classId = this.#engine.classOf(this.#pin(), address);
    this.#pinned?.unpin();
    return classId;
  }

  /**
   * The classes of many addresses of a family, one or four words each, all of `lookupGeneration`. Throws
   * RangeError where a column is too short.
   */
  classOfBatch(family: Family, addresses: Uint32Array, count: number, classes: Uint32Array): void {
    const image = this.#pin();
    try {
      this.#engine.classesOf(image, family, addresses, count, classes);
    } finally {
      this.#pinned?.unpin();
    }
  }

  /** The generation in force. */
  generation(): number {
    const { generation } = this.#pin();
    this.#pinned?.unpin();
    return generation;
  }

  /** The generation that answered last. */
  get lookupGeneration(): number {
    return this.#lookupGeneration;
  }

  /** Gives the slot back. The reader must not be used after it. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#pinned?.release();
  }

  /** For the table: the generation in force from now on. */
  see(image: Image): void {
    this.#image = image;
  }

  #verdict(packet: Packet, isHit: boolean): TableVerdict {
    const image = this.#pin();
    try {
      const code = this.#engine.judge(image, packet);
      if (isHit) countHit(image, code);
      return decodeVerdict(image, this.#namesOf(image), code);
    } finally {
      this.#pinned?.unpin();
    }
  }

  #pin(): Image {
    const image = this.#image;
    const pinned = this.#pinned;
    if (pinned === undefined) return this.#own(image);
    if (!this.#isOpen) throw new TypeError('this table reader is closed');
    const at = pinned.pin();
    if (
      image !== undefined &&
      image.at === at &&
      image.views.words[(at >>> 2) + HeaderField.generation] === image.generation
    ) {
      return image;
    }
    return this.#look(pinned, at);
  }

  #own(image: Image | undefined): Image {
    if (image === undefined) throw new TypeError('the table is not made yet');
    this.#lookupGeneration = image.generation;
    return image;
  }

  /** Looks at a generation for the first time. */
  #look(pinned: ReaderPin, at: number): Image {
    this.#memory.follow(pinned.memoryBytes());
    const image = openImage(this.#memory.views, at, this.#image, this.slot);
    this.#image = image;
    this.#lookupGeneration = image.generation;
    return image;
  }

  #namesOf(image: Image): NamesSection {
    const of = image.places.hitsSince;
    if (this.#names?.of !== of) this.#names = { of, section: readNames(image) };
    return this.#names.section;
  }
}
