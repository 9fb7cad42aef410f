/**
 * The engine that answers lookups in one thread: WebAssembly over the table's own memory.
 *
 * Columns elsewhere are copied, piece by piece, into the reader's scratch memory there, and their codes back;
 * a caller that fills those of `columns` in place saves both copies.
 *
 * The caller must hold the generation in force; an answer below 0 means that a flip was missed, and that
 * nothing was looked up or counted.
 *
 *   scratch │ header held, share of hits, lists for a tile │ staged: src, dst, protos, details, codes │ columns to fill: IPv6 │ IPv4 │
 */

import { readFileSync } from 'node:fs';
import { type Address, type Family, type Packet, strideOf } from '@rulecast/rules';
import { shareOf } from '../image/header.ts';
import { TableEngineCode, TableEngineError } from '../limits.ts';
import { scratchOf } from '../memory/control.ts';
import {
  compileWasm,
  hasWasm,
  instantiateWasm,
  type TableMemory,
  type WasmModule,
} from '../memory/memory.ts';
import { detailOf, LookupDirection, type PacketBatch, type VerdictBatch } from './verdict.ts';

/** The built file. The path is the same from `src` and from `dist`. */
const WASM_URL = new URL('../../dist/engine.wasm', import.meta.url);

let module: WasmModule | undefined; // compiled once a thread, handed to the others

/** The engine's code. Throws TableEngineError if it is unavailable. */
export function engineModule(): WasmModule {
  if (module !== undefined) return module;
  if (!hasWasm()) {
    throw new TableEngineError(
      TableEngineCode.missing,
      'this process has no WebAssembly, and a table answers nothing without it: start Node without --jitless, and its unit without MemoryDenyWriteExecute=',
    );
  }
  try {
    module = compileWasm(readFileSync(WASM_URL));
    return module;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new TableEngineError(
      TableEngineCode.unusable,
      `the table's engine cannot be used: ${reason}; install @rulecast/table anew, or use a machine whose processor has SIMD (on x86-64, SSE4.1)`,
      { cause },
    );
  }
}

/**
 * Columns in the table's memory, for one reader to fill in place; all of one length, of which `count` are
 * used.
 */
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

/** The state of assembly/lookup.ts: seven words for each packet of a tile, four for each of 256 classes. */
const LISTS_BYTES = 128 + 7 * 1024 + 4096;
/** The offset of the word with the reader's share of the hits, behind that of the header held. */
export const SHARE_BYTE = 4;
/** Four words from here say where the columns of IPv4 to fill are: dst, protos, details, codes. */
export const COLUMNS_BYTE = 48;
/** Packets staged at once. Our choice: their columns stay in the second-level cache. */
const STAGED_PACKETS = 1024;
/**
 * Packets that the columns to fill have room for, in each family. Our choice: all of them stay in the
 * second-level cache.
 */
const COLUMN_PACKETS = 2048;
/** Bytes of an IPv6 packet: two addresses, detail, code and protocol. */
const PACKET_BYTES = 41;

/**
 * The exports of assembly/lookup.ts; all numbers are 32-bit, and a negative answer means that a flip was
 * missed.
 */
interface EngineExports {
  readonly open: (room: number) => void;
  readonly lookup4: (
    room: number,
    direction: number,
    hasSrc: number,
    src: number,
    dst: number,
    proto: number,
    detail: number,
  ) => number;
  readonly lookup6: EngineExports['lookup4'];
  readonly egress4: (room: number, dst: number, proto: number, detail: number) => number;
  readonly judgePacket: (
    room: number,
    direction: number,
    srcFamily: number,
    src: number,
    dstFamily: number,
    dst: number,
    proto: number,
    detail: number,
    isHit: number,
  ) => number;
  readonly lookupAll: (
    room: number,
    family: number,
    direction: number,
    src: number,
    dst: number,
    protos: number,
    details: number,
    codes: number,
    count: number,
  ) => number;
  /** The same of the first packets in the columns of IPv4 to fill, sent from unknown sources. */
  readonly batch4: (room: number, count: number) => number;
  /** Like `lookupAll`, in the generation held, whatever is in force. */
  readonly lookupRest: EngineExports['lookupAll'];
}

/** Lookups of one thread, through the scratch memory of a reader's slot. */
export class Engine {
  readonly #exports: EngineExports;
  readonly #one4: EngineExports['lookup4'];
  readonly #one6: EngineExports['lookup6'];
  readonly #egress4: EngineExports['egress4'];
  readonly #room: number;
  /**
   * All views of scratch memory are of this object, which is how they are known; memory that grows gets new
   * ones.
   */
  readonly #buffer: ArrayBufferLike;
  readonly #staged4: PacketColumns;
  readonly #staged6: PacketColumns;
  /** The offset of the first addresses here. Asking the column each time takes longer than a lookup. */
  readonly #src6At: number;
  readonly #dst6At: number;

  constructor(memory: TableMemory, code: WasmModule, slot: number) {
    const exports = instantiateWasm(code, memory.handle) as unknown as EngineExports; // our own build
    this.#exports = exports;
    this.#one4 = exports.lookup4;
    this.#one6 = exports.lookup6;
    this.#egress4 = exports.egress4;
    this.#room = scratchOf(slot);
    this.#buffer = memory.views.bytes.buffer;
    const { words } = memory.views;
    words[(this.#room + SHARE_BYTE) >>> 2] = shareOf(slot);
    const { dst, protos, details, codes } = this.columns(4);
    const places = [dst, protos, details, codes].map(({ byteOffset }) => byteOffset);
    words.set(places, (this.#room + COLUMNS_BYTE) >>> 2);
    this.#staged4 = this.#columnsAt(this.#room + LISTS_BYTES, 4, STAGED_PACKETS);
    this.#staged6 = this.#columnsAt(this.#room + LISTS_BYTES, 6, STAGED_PACKETS);
    this.#src6At = this.#staged6.src.byteOffset;
    this.#dst6At = this.#staged6.dst.byteOffset;
  }

  /** Opens the generation held since just now, whose header is in the word of `heldWord`. */
  open(): void {
    this.#exports.open(this.#room);
  }

  lookup4(
    direction: LookupDirection,
    src: number | undefined,
    dst: number,
    proto: number,
    detail: number,
  ): number {
    const room = this.#room;
    if (src !== undefined) return this.#one4(room, direction, 1, src | 0, dst | 0, proto, detail);
    return direction === LookupDirection.egress
      ? this.#egress4(room, dst | 0, proto, detail)
      : this.#one4(room, direction, 0, 0, dst | 0, proto, detail);
  }

  lookup6(
    direction: LookupDirection,
    src: Uint32Array | undefined,
    srcAt: number,
    dst: Uint32Array,
    dstAt: number,
    proto: number,
    detail: number,
  ): number {
    const staged = this.#staged6;
    for (let w = 0; w < 4; w++) staged.dst[w] = dst[dstAt + w]!; // the caller's address exists
    if (src !== undefined) for (let w = 0; w < 4; w++) staged.src[w] = src[srcAt + w]!; // likewise
    const hasSrc = src === undefined ? 0 : 1;
    return this.#one6(this.#room, direction, hasSrc, this.#src6At, this.#dst6At, proto, detail);
  }

  /** The code of any packet, also one whose addresses are of two families. */
  judge(packet: Packet, isHit: boolean): number {
    const { direction, src, dst, proto } = packet;
    return this.#exports.judgePacket(
      this.#room,
      LookupDirection[direction],
      src?.family ?? 0,
      src === undefined ? 0 : placed(src, this.#staged6.src),
      dst.family,
      placed(dst, this.#staged6.dst),
      proto,
      detailOf(packet),
      isHit ? 1 : 0,
    );
  }

  /**
   * Fills `out` with the codes of a batch, all of one generation. Throws RangeError where a column is too
   * short.
   */
  lookupAll(batch: PacketBatch, out: VerdictBatch): number {
    checkBatch(batch, out);
    const { family, direction, count, src, dst, protos, details } = batch;
    const { codes } = out;
    if (this.#hasAll(batch, codes))
      return this.#look(this.#exports.lookupAll, batch, codes, direction, count);
    const staged = family === 4 ? this.#staged4 : this.#staged6;
    const stride = strideOf(family);
    for (let from = 0; from < count; from += STAGED_PACKETS) {
      const to = Math.min(count, from + STAGED_PACKETS);
      if (src !== undefined) staged.src.set(src.subarray(from * stride, to * stride));
      staged.dst.set(dst.subarray(from * stride, to * stride));
      staged.protos.set(protos.subarray(from, to));
      staged.details.set(details.subarray(from, to));
      const { lookupAll, lookupRest } = this.#exports;
      const packets = src === undefined ? { ...staged, src } : staged;
      const look = from === 0 ? lookupAll : lookupRest; // those after the first are of the same generation
      if (this.#look(look, packets, staged.codes, direction, to - from) < 0) return -1;
      codes.set(staged.codes.subarray(0, to - from), from);
    }
    return 0;
  }

  /** Looks up columns in the table's memory. */
  #look(
    look: EngineExports['lookupAll'],
    { family, src, dst, protos, details }: Omit<PacketBatch, 'direction' | 'count'>,
    codes: Uint32Array,
    direction: LookupDirection,
    count: number,
  ): number {
    const srcAt = src === undefined ? 0 : src.byteOffset;
    const { byteOffset: dstAt } = dst;
    const { byteOffset: protosAt } = protos;
    const { byteOffset: detailsAt } = details;
    const { byteOffset: codesAt } = codes;
    return look(this.#room, family, direction, srcAt, dstAt, protosAt, detailsAt, codesAt, count);
  }

  /** The lookup of the columns to fill of a family, which are always at the same place. */
  lookOf(family: Family): (direction: LookupDirection, hasSrc: boolean, count: number) => number {
    const { src, dst, protos, details, codes } = this.columns(family);
    const { batch4, lookupAll } = this.#exports;
    const room = this.#room;
    const [srcAt, dstAt, protosAt] = [src.byteOffset, dst.byteOffset, protos.byteOffset];
    const [detailsAt, codesAt] = [details.byteOffset, codes.byteOffset];
    return (direction, hasSrc, count) =>
      family === 4 && direction === LookupDirection.egress && !hasSrc
        ? batch4(room, count)
        : lookupAll(room, family, direction, hasSrc ? srcAt : 0, dstAt, protosAt, detailsAt, codesAt, count);
  }

  /** Columns to fill, always at the same place. */
  columns(family: Family): PacketColumns {
    const first6 = this.#room + LISTS_BYTES + STAGED_PACKETS * PACKET_BYTES;
    const first = family === 6 ? first6 : first6 + COLUMN_PACKETS * PACKET_BYTES;
    return this.#columnsAt(first, family, COLUMN_PACKETS);
  }

  #columnsAt(first: number, family: Family, capacity: number): PacketColumns {
    const words = capacity * strideOf(family);
    let at = first;
    const next = (bytes: number): number => {
      at += bytes;
      return at - bytes;
    };
    const buffer = this.#buffer;
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

  #hasAll({ src, dst, protos, details }: PacketBatch, codes: Uint32Array): boolean {
    return (
      this.#isOurs(dst) &&
      this.#isOurs(protos) &&
      this.#isOurs(details) &&
      this.#isOurs(codes) &&
      (src === undefined || this.#isOurs(src))
    );
  }

  /** Whether an array is of the table's memory, where its bytes begin at its `byteOffset`. */
  #isOurs({ buffer }: { readonly buffer: ArrayBufferLike }): boolean {
    return buffer === this.#buffer;
  }
}

/** An IPv4 address, or where the words of an IPv6 one now are, which are put into a column. */
function placed({ family, words }: Address, column: Uint32Array): number {
  if (family === 4) return words[0]! | 0; // an IPv4 address has one word
  column.set(words);
  return column.byteOffset;
}

function checkBatch(batch: PacketBatch, out: VerdictBatch): void {
  const { count, family, src, dst, protos, details } = batch;
  const words = count * strideOf(family);
  const isShort =
    dst.length < words ||
    (src !== undefined && src.length < words) ||
    protos.length < count ||
    details.length < count;
  if (isShort) throw new RangeError(`a column has less than the ${count} packets of its batch`);
  if (out.codes.length < count)
    throw new RangeError(`${count} packets, but room for ${out.codes.length} codes`);
}
