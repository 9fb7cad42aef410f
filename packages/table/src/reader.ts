/**
 * Reading a table from any thread. Each reader has a slot of its own in the control block and never waits: it raises its
 * pin, looks at the image in force, and lowers it (double-buffer.ts says why that is enough).
 */

import type { Address, Packet } from '@rulecast/rules';
import type { TableHandle } from './double-buffer.ts';
import { countHit, HitLog } from './hits.ts';
import {
  ControlField,
  HeaderField,
  type Image,
  type NamesSection,
  openImage,
  pinWord,
  READER_SLOTS,
  takenWord,
} from './layout.ts';
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

/** Opens a reader on a table, in the table's thread or any other. Throws RangeError if all 64 slots are taken. */
export function openReader(handle: TableHandle): TableReader {
  return new TableReader(handle);
}

/** One thread's way into a table. Close it when done; one reader serves one thread. */
export class TableReader {
  /** For `Table.evictReader`, should this reader's thread end without closing it. */
  readonly slot: number;
  private readonly handle: TableHandle;
  private readonly control: Int32Array;
  private readonly pinWord: number;
  private pinned: number; // the pin's value; this reader alone writes it
  private readonly images: [Image | undefined, Image | undefined] = [undefined, undefined];
  private names: { readonly image: Image; readonly section: NamesSection } | undefined;
  private readonly log = new HitLog();
  private lastGeneration = 0;
  private isOpen = true;

  constructor(handle: TableHandle) {
    this.handle = handle;
    this.control = new Int32Array(handle.control);
    this.slot = takeSlot(this.control);
    this.pinWord = pinWord(this.slot);
    // The slot is ours: continues from the even number that its last owner left.
    this.pinned = Atomics.load(this.control, this.pinWord);
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
   * The code of a packet's verdict, of `lookupGeneration`. Allocates nothing; see lookup.ts for its arguments. Hits of this
   * form are counted 64 at a time, and by `close`; those not counted when a generation ends are lost.
   */
  lookup4(
    direction: LookupDirection,
    src: number | undefined,
    dst: number,
    proto: number,
    detail: number,
  ): number {
    const image = this.pin();
    const code = lookup4(image, direction, src, dst, proto, detail);
    this.log.add(image, code);
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
    const code = lookup6(image, direction, src, srcAt, dst, dstAt, proto, detail);
    this.log.add(image, code);
    this.unpin();
    return code;
  }

  /** The codes of many packets, all of one generation. The image stays pinned for the whole batch. */
  lookupBatch(batch: PacketBatch, out: VerdictBatch): void {
    const image = this.pin();
    try {
      lookupAll(image, batch, out);
    } finally {
      this.unpin();
    }
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

  classOf(address: Address): number {
    const classId = classOf(this.pin(), address);
    this.unpin();
    return classId;
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
    this.log.flush(this.pin());
    this.unpin();
    this.isOpen = false;
    // After all this reader's looks: the slot's next owner starts from an even pin.
    Atomics.store(this.control, takenWord(this.slot), 0);
  }

  private pin(): Image {
    if (!this.isOpen) throw new TypeError('this table reader is closed');
    this.pinned = (this.pinned + 1) | 0;
    // Before the load below: a writer that does not see this pin stored `active` before it, so we load that.
    Atomics.store(this.control, this.pinWord, this.pinned);
    // After the pin, and before all loads from the image: sees everything that was stored before the flip.
    const active = Atomics.load(this.control, ControlField.active) === 0 ? 0 : 1;
    let image = this.images[active];
    if (image === undefined || image.header[HeaderField.generation] !== image.generation) {
      image = openImage(this.handle.buffers[active]);
      this.images[active] = image;
    }
    this.lastGeneration = image.generation;
    return image;
  }

  private unpin(): void {
    this.pinned = (this.pinned + 1) | 0;
    // After all loads from the image: a writer that sees it may overwrite them.
    Atomics.store(this.control, this.pinWord, this.pinned);
  }

  private namesOf(image: Image): NamesSection {
    if (this.names?.image !== image) this.names = { image, section: readNames(image) };
    return this.names.section;
  }
}

function takeSlot(control: Int32Array): number {
  for (let slot = 0; slot < READER_SLOTS; slot++) {
    // One of several readers that see a free slot takes it; also orders its last owner's stores before ours.
    if (Atomics.compareExchange(control, takenWord(slot), 0, 1) === 0) return slot;
  }
  throw new RangeError(`all ${READER_SLOTS} reader slots of the table are taken: close a reader first`);
}
