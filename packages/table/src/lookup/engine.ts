/**
 * The engine that answers lookups in one thread: WebAssembly where it can be had, else its twin in TypeScript. Both read the same
 * bytes and give the same answers.
 *
 * WebAssembly sees only the table's own memory. Columns that lie elsewhere are copied, piece by piece, into the reader's room
 * there, and their codes back; who fills the columns of `columns` in place saves both.
 *
 *   room │ lists for a tile, share of hits │ staged: src, dst, protos, details, codes │ columns to fill: IPv6 │ IPv4 │
 */

import { readFileSync } from 'node:fs';
import type { Family } from '@rulecast/rules';
import { type Image, shareOf } from '../image/header.ts';
import { roomOf } from '../memory/control.ts';
import { compileWasm, instantiateWasm, type TableMemory, type WasmModule } from '../memory/memory.ts';
import { HitLog } from './hits.ts';
import {
  classesOf,
  LookupDirection,
  lookup4,
  lookup6,
  lookupAll,
  type PacketBatch,
  type VerdictBatch,
} from './lookup.ts';

export const EngineKind = { wasm: 'wasm', twin: 'twin' } as const;
export type EngineKind = (typeof EngineKind)[keyof typeof EngineKind];

/** Always the built file, three steps from here in `src` and in `dist` alike. */
const WASM_URL = new URL('../../dist/engine.wasm', import.meta.url);

let module: WasmModule | undefined; // compiled once a thread, handed to the others

/**
 * The engine's code, unless the twin is chosen. Undefined where it cannot be had (no SIMD, not built); throws the reason if it was
 * chosen expressly.
 */
export function engineModule(choice: EngineKind | undefined): WasmModule | undefined {
  if (choice === EngineKind.twin) return undefined;
  try {
    module ??= compileWasm(readFileSync(WASM_URL));
    return module;
  } catch (cause) {
    if (choice === undefined) return undefined;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`the table's WebAssembly engine cannot be had: ${reason}`, { cause });
  }
}

/** Columns in the table's memory, for one reader to fill in place; all of one length, `count` of them used. */
export interface PacketColumns {
  readonly family: Family;
  readonly src: Uint32Array;
  readonly dst: Uint32Array;
  readonly protos: Uint8Array;
  readonly details: Int32Array;
  readonly codes: Uint32Array;
  /** Packets that they have room for. */
  readonly capacity: number;
}

/** Lookups of one thread, which are counted as hits. Whoever calls has made sure that the image stays. */
export interface Engine {
  readonly kind: EngineKind;
  lookup4(
    image: Image,
    direction: LookupDirection,
    src: number | undefined,
    dst: number,
    proto: number,
    detail: number,
  ): number;
  lookup6(
    image: Image,
    direction: LookupDirection,
    src: Uint32Array | undefined,
    srcAt: number,
    dst: Uint32Array,
    dstAt: number,
    proto: number,
    detail: number,
  ): number;
  /** Fills `out` with the codes of a batch. */
  lookupAll(image: Image, batch: PacketBatch, out: VerdictBatch): void;
  classesOf(image: Image, family: Family, addresses: Uint32Array, count: number, out: Uint32Array): void;
  columns(family: Family): PacketColumns;
  /** Counts what is not counted yet, of an image that is about to go or to be asked. */
  flush(image: Image): void;
}

/** The engine of one thread with a room of its own. */
export function openEngine(memory: TableMemory, code: WasmModule | undefined, slot: number): Engine {
  const room = new Room(memory, slot);
  return code === undefined ? new Twin(room) : new WasmEngine(code, memory, room);
}

/** Throws RangeError where a batch's columns are shorter than its count. */
export function checkBatch(batch: PacketBatch, out: VerdictBatch): void {
  const { count, family, src, dst, protos, details } = batch;
  const words = count * strideIn(family);
  const isShort =
    dst.length < words ||
    (src !== undefined && src.length < words) ||
    protos.length < count ||
    details.length < count;
  if (isShort) throw new RangeError(`a column has less than the ${count} packets of its batch`);
  if (out.codes.length < count)
    throw new RangeError(`${count} packets, but room for ${out.codes.length} codes`);
}

/** Throws RangeError where `count` addresses or their classes do not fit. */
export function checkClasses(family: Family, addresses: Uint32Array, count: number, out: Uint32Array): void {
  if (addresses.length < count * strideIn(family) || out.length < count)
    throw new RangeError(`a column has less than ${count} addresses or classes`);
}

function strideIn(family: Family): 1 | 4 {
  return family === 4 ? 1 : 4;
}

/** Lists for a tile; assembly/lookup.ts takes five words and a group of 16 for each of 64 packets at most. */
const LISTS_BYTES = 2048;
/** The last word of that is the share of the hits to count in, after one for the engine's own use. Also known to assembly/lookup.ts. */
const SHARE_BYTE = LISTS_BYTES - 4;
/** Packets staged at once. Our choice: their columns stay in the second-level cache. */
const STAGED_PACKETS = 1024;
/** Packets that the columns to fill have room for, in each family. Our choice: all of them stay in the second-level cache. */
const COLUMN_PACKETS = 2048;
/** Of an IPv6 packet: two addresses, detail, code and protocol. */
const PACKET_BYTES = 41;

class Room {
  readonly at: number;
  /** All views of rooms are of this object, which is how they are known; memory that grows gets new ones. */
  readonly buffer: ArrayBufferLike;

  constructor(memory: TableMemory, slot: number) {
    this.at = roomOf(slot);
    this.buffer = memory.views.bytes.buffer;
    memory.views.words[(this.at + SHARE_BYTE) >>> 2] = shareOf(slot);
  }

  staged(family: Family): PacketColumns {
    return this.columnsAt(this.at + LISTS_BYTES, family, STAGED_PACKETS);
  }

  columns(family: Family): PacketColumns {
    const first6 = this.at + LISTS_BYTES + STAGED_PACKETS * PACKET_BYTES;
    const first = family === 6 ? first6 : first6 + COLUMN_PACKETS * PACKET_BYTES;
    return this.columnsAt(first, family, COLUMN_PACKETS);
  }

  private columnsAt(first: number, family: Family, capacity: number): PacketColumns {
    const words = capacity * strideIn(family);
    let at = first;
    const next = (bytes: number): number => {
      at += bytes;
      return at - bytes;
    };
    const { buffer } = this;
    return {
      family,
      src: new Uint32Array(buffer, next(words * 4), words),
      dst: new Uint32Array(buffer, next(words * 4), words),
      details: new Int32Array(buffer, next(capacity * 4), capacity),
      codes: new Uint32Array(buffer, next(capacity * 4), capacity),
      protos: new Uint8Array(buffer, next(capacity), capacity),
      capacity,
    };
  }
}

class Twin implements Engine {
  readonly kind = EngineKind.twin;
  private readonly room: Room;
  private readonly log = new HitLog();

  constructor(room: Room) {
    this.room = room;
  }

  lookup4(
    image: Image,
    direction: LookupDirection,
    src: number | undefined,
    dst: number,
    proto: number,
    detail: number,
  ): number {
    const code = lookup4(image, direction, src, dst, proto, detail);
    this.log.add(image, code);
    return code;
  }

  lookup6(
    image: Image,
    direction: LookupDirection,
    src: Uint32Array | undefined,
    srcAt: number,
    dst: Uint32Array,
    dstAt: number,
    proto: number,
    detail: number,
  ): number {
    const code = lookup6(image, direction, src, srcAt, dst, dstAt, proto, detail);
    this.log.add(image, code);
    return code;
  }

  lookupAll(image: Image, batch: PacketBatch, out: VerdictBatch): void {
    lookupAll(image, batch, out.codes);
  }

  classesOf(image: Image, family: Family, addresses: Uint32Array, count: number, out: Uint32Array): void {
    classesOf(image, family, addresses, count, out);
  }

  columns(family: Family): PacketColumns {
    return this.room.columns(family);
  }

  flush(image: Image): void {
    this.log.flush(image);
  }
}

/** What assembly/lookup.ts exports; all numbers are 32-bit. */
interface WasmExports {
  readonly lookup4: (
    image: number,
    direction: number,
    hasSrc: number,
    src: number,
    dst: number,
    proto: number,
    detail: number,
    room: number,
  ) => number;
  readonly lookup6: WasmExports['lookup4'];
  readonly egress4: (image: number, dst: number, proto: number, detail: number, room: number) => number;
  readonly lookupAll: (
    image: number,
    family: number,
    direction: number,
    src: number,
    dst: number,
    protos: number,
    details: number,
    codes: number,
    count: number,
    room: number,
  ) => void;
  readonly classesOf: (
    image: number,
    family: number,
    addresses: number,
    out: number,
    count: number,
    room: number,
  ) => void;
}

class WasmEngine implements Engine {
  readonly kind = EngineKind.wasm;
  private readonly room: Room;
  private readonly roomAt: number;
  private readonly one4: WasmExports['lookup4'];
  private readonly one6: WasmExports['lookup6'];
  private readonly egress4: WasmExports['egress4'];
  private readonly exports: WasmExports;
  private readonly staged4: PacketColumns;
  private readonly staged6: PacketColumns;

  constructor(code: WasmModule, memory: TableMemory, room: Room) {
    if (memory.handle instanceof SharedArrayBuffer) throw new TypeError('WebAssembly needs its own memory');
    const exports = instantiateWasm(code, memory.handle) as unknown as WasmExports; // our own build
    this.exports = exports;
    this.one4 = exports.lookup4;
    this.one6 = exports.lookup6;
    this.egress4 = exports.egress4;
    this.room = room;
    this.roomAt = room.at;
    this.staged4 = room.staged(4);
    this.staged6 = room.staged(6);
  }

  lookup4(
    image: Image,
    direction: LookupDirection,
    src: number | undefined,
    dst: number,
    proto: number,
    detail: number,
  ): number {
    const { roomAt } = this;
    if (src !== undefined) return this.one4(image.at, direction, 1, src | 0, dst | 0, proto, detail, roomAt);
    return direction === LookupDirection.egress
      ? this.egress4(image.at, dst | 0, proto, detail, roomAt)
      : this.one4(image.at, direction, 0, 0, dst | 0, proto, detail, roomAt);
  }

  lookup6(
    image: Image,
    direction: LookupDirection,
    src: Uint32Array | undefined,
    srcAt: number,
    dst: Uint32Array,
    dstAt: number,
    proto: number,
    detail: number,
  ): number {
    const staged = this.staged6;
    for (let w = 0; w < 4; w++) staged.dst[w] = dst[dstAt + w]!; // the caller's address exists
    if (src !== undefined) for (let w = 0; w < 4; w++) staged.src[w] = src[srcAt + w]!; // likewise
    const hasSrc = src === undefined ? 0 : 1;
    const { byteOffset: srcByte } = staged.src;
    const { byteOffset: dstByte } = staged.dst;
    return this.one6(image.at, direction, hasSrc, srcByte, dstByte, proto, detail, this.roomAt);
  }

  lookupAll(image: Image, batch: PacketBatch, out: VerdictBatch): void {
    const { family, direction, count, src, dst, protos, details } = batch;
    const { codes } = out;
    const { roomAt } = this;
    const { lookupAll: all } = this.exports;
    const staged = family === 4 ? this.staged4 : this.staged6;
    const stride = strideIn(family);
    const isInPlace =
      this.isOurs(dst) &&
      this.isOurs(protos) &&
      this.isOurs(details) &&
      this.isOurs(codes) &&
      (src === undefined || this.isOurs(src));
    if (isInPlace) {
      const srcAt = src === undefined ? 0 : src.byteOffset;
      const { byteOffset: protosAt } = protos;
      const { byteOffset: codesAt } = codes;
      const { byteOffset: detailsAt } = details;
      all(image.at, family, direction, srcAt, dst.byteOffset, protosAt, detailsAt, codesAt, count, roomAt);
      return;
    }
    for (let from = 0; from < count; from += STAGED_PACKETS) {
      const to = Math.min(count, from + STAGED_PACKETS);
      if (src !== undefined) staged.src.set(src.subarray(from * stride, to * stride));
      staged.dst.set(dst.subarray(from * stride, to * stride));
      staged.protos.set(protos.subarray(from, to));
      staged.details.set(details.subarray(from, to));
      all(
        image.at,
        family,
        direction,
        src === undefined ? 0 : staged.src.byteOffset,
        staged.dst.byteOffset,
        staged.protos.byteOffset,
        staged.details.byteOffset,
        staged.codes.byteOffset,
        to - from,
        roomAt,
      );
      codes.set(staged.codes.subarray(0, to - from), from);
    }
  }

  classesOf(image: Image, family: Family, addresses: Uint32Array, count: number, out: Uint32Array): void {
    const { classesOf: all } = this.exports;
    const staged = family === 4 ? this.staged4 : this.staged6;
    const stride = strideIn(family);
    if (this.isOurs(addresses) && this.isOurs(out)) {
      all(image.at, family, addresses.byteOffset, out.byteOffset, count, this.roomAt);
      return;
    }
    for (let from = 0; from < count; from += STAGED_PACKETS) {
      const to = Math.min(count, from + STAGED_PACKETS);
      staged.dst.set(addresses.subarray(from * stride, to * stride));
      all(image.at, family, staged.dst.byteOffset, staged.codes.byteOffset, to - from, this.roomAt);
      out.set(staged.codes.subarray(0, to - from), from);
    }
  }

  columns(family: Family): PacketColumns {
    return this.room.columns(family);
  }

  flush(): void {
    // The engine counts at once.
  }

  /** Whether an array is of the table's memory, where its bytes begin at its `byteOffset`. */
  private isOurs({ buffer }: { readonly buffer: ArrayBufferLike }): boolean {
    return buffer === this.room.buffer;
  }
}
