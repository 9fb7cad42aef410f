/**
 * Reading a table from any thread. Each reader has a slot of its own in the control block and never waits: it raises its
 * pin, looks at the image in force, and lowers it (memory/double-buffer.ts says why that is enough).
 */

import type { Address, Family, Packet } from '@rulecast/rules';
import { HeaderField, type Image, type NamesSection, openImage } from '../image/header.ts';
import { ReaderPin, type TableHandle } from '../memory/double-buffer.ts';
import { TableMemory } from '../memory/memory.ts';
import {
  checkBatch,
  checkClasses,
  type Engine,
  type EngineKind,
  openEngine,
  type PacketColumns,
} from './engine.ts';
import { countHit } from './hits.ts';
import {
  classOf,
  decodeVerdict,
  type LookupDirection,
  lookupPacket,
  type PacketBatch,
  readNames,
  type TableVerdict,
  type VerdictBatch,
} from './lookup.ts';

/** Opens a reader on a table, in the table's thread or any other. Throws RangeError if all 64 slots are taken. */
export function openReader(handle: TableHandle): TableReader {
  return new TableReader(handle);
}

/** One thread's way into a table. Close it when done; one reader serves one thread. */
export class TableReader {
  /** For `Table.evictReader`, should this reader's thread end without closing it. */
  readonly slot: number;
  private readonly memory: TableMemory;
  private readonly pinned: ReaderPin;
  private readonly engine: Engine;
  private image: Image | undefined; // the one looked at last
  private names: { readonly image: Image; readonly section: NamesSection } | undefined;
  private lastGeneration = 0;
  private isOpen = true;

  constructor(handle: TableHandle) {
    this.memory = new TableMemory(handle.memory);
    this.pinned = new ReaderPin(this.memory.views.words);
    this.slot = this.pinned.slot;
    this.engine = openEngine(this.memory, handle.module, this.slot);
  }

  /** What answers this reader's lookups. */
  get engineKind(): EngineKind {
    return this.engine.kind;
  }

  /** The verdict on a packet, in words. */
  lookup(packet: Packet): TableVerdict {
    const image = this.pin();
    try {
      const code = lookupPacket(image, packet);
      countHit(image, code);
      return decodeVerdict(image, this.namesOf(image), code);
    } finally {
      this.unpin();
    }
  }

  /**
   * The code of a packet's verdict, of `lookupGeneration`. Allocates nothing; see lookup.ts for its arguments. The twin counts hits
   * of this form 64 at a time, and by `close`; those not counted when rules are compiled anew are lost.
   */
  lookup4(
    direction: LookupDirection,
    src: number | undefined,
    dst: number,
    proto: number,
    detail: number,
  ): number {
    const image = this.pin();
    const code = this.engine.lookup4(image, direction, src, dst, proto, detail);
    this.unpin();
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
    const image = this.pin();
    const code = this.engine.lookup6(image, direction, src, srcAt, dst, dstAt, proto, detail);
    this.unpin();
    return code;
  }

  /**
   * The codes of many packets, all of one generation, which stays pinned for the whole batch. Columns of `columns` are looked up
   * where they are, and nothing is allocated; others are copied through views made anew for each thousand packets. Throws RangeError
   * where a column is shorter than the count.
   */
  lookupBatch(batch: PacketBatch, out: VerdictBatch): void {
    checkBatch(batch, out);
    const image = this.pin();
    try {
      this.engine.lookupAll(image, batch, out);
      out.generation = image.generation;
    } finally {
      this.unpin();
    }
  }

  /** Columns in the table's memory, always the same ones, for this reader to fill with packets of a family; each family has its own. */
  columns(family: Family): PacketColumns {
    return this.engine.columns(family);
  }

  /** A code of the given generation in words; undefined if that generation is no longer in force. */
  decode(code: number, generation: number): TableVerdict | undefined {
    const image = this.pin();
    try {
      return image.generation === generation ? decodeVerdict(image, this.namesOf(image), code) : undefined;
    } finally {
      this.unpin();
    }
  }

  /** The class of an address, see `Table.classOf`. */
  classOf(address: Address): number {
    const classId = classOf(this.pin(), address);
    this.unpin();
    return classId;
  }

  /** The classes of many addresses of a family, all of `lookupGeneration`. Throws RangeError where a column is too short. */
  classOfBatch(family: Family, addresses: Uint32Array, count: number, classes: Uint32Array): void {
    checkClasses(family, addresses, count, classes);
    const image = this.pin();
    try {
      this.engine.classesOf(image, family, addresses, count, classes);
    } finally {
      this.unpin();
    }
  }

  /** The generation in force. */
  generation(): number {
    const { generation } = this.pin();
    this.unpin();
    return generation;
  }

  /** The generation that answered last. */
  get lookupGeneration(): number {
    return this.lastGeneration;
  }

  /** Gives the slot back. The reader must not be used after it. */
  close(): void {
    if (!this.isOpen) return;
    this.engine.flush(this.pin());
    this.unpin();
    this.isOpen = false;
    this.pinned.release();
  }

  private pin(): Image {
    if (!this.isOpen) throw new TypeError('this table reader is closed');
    const at = this.pinned.pin();
    const { image } = this;
    if (
      image !== undefined &&
      image.at === at &&
      image.views.words[(at >>> 2) + HeaderField.generation] === image.generation
    ) {
      return image;
    }
    return this.look(at);
  }

  /** Looks at a generation for the first time. */
  private look(at: number): Image {
    this.memory.follow(this.pinned.memoryBytes());
    const image = openImage(this.memory.views, at, this.image, this.slot);
    this.image = image;
    this.lastGeneration = image.generation;
    return image;
  }

  private unpin(): void {
    this.pinned.unpin();
  }

  private namesOf(image: Image): NamesSection {
    if (this.names?.image !== image) this.names = { image, section: readNames(image) };
    return this.names.section;
  }
}
