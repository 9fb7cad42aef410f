/**
 * The one shared memory of a table, and typed views of it.
 *
 * Views have fixed lengths: views that follow a growable buffer's length are several times slower to index.
 * Memory that was there stays where it is when more is added, so old views remain true for what they cover.
 */

import { TableEngineCode, TableEngineError } from '../limits.ts';

/** The part of the WebAssembly interface used here, which no type library of ours declares. */
export interface WasmMemory {
  readonly buffer: SharedArrayBuffer;
  /** Adds pages; in every thread. */
  grow(pages: number): number;
}
export type WasmModule = object;
interface WasmInstance {
  readonly exports: Readonly<Record<string, unknown>>;
}
declare const WebAssembly: {
  readonly Memory: new (descriptor: { initial: number; maximum: number; shared: true }) => WasmMemory;
  readonly Module: new (bytes: Uint8Array) => WasmModule;
  readonly Instance: new (module: WasmModule, imports: { env: { memory: WasmMemory } }) => WasmInstance;
};

/** Copies bytes within a memory, from a place to another that may overlap it. */
export type Move = (to: number, from: number, bytes: number) => void;

/** Whether this process has WebAssembly: without a just-in-time compiler, Node has none. */
export function hasWasm(): boolean {
  return typeof WebAssembly !== 'undefined';
}

export function compileWasm(bytes: Uint8Array): WasmModule {
  return new WebAssembly.Module(bytes);
}

export function instantiateWasm(module: WasmModule, memory: WasmMemory): Readonly<Record<string, unknown>> {
  return new WebAssembly.Instance(module, { env: { memory } }).exports;
}

/** Bytes of the smallest piece of memory that is given out; nodes are named by their place in these. */
export const GRANULE_BYTES = 16;
/** Bytes that a reader may read after the end of a node: one comparison. */
export const OVERREAD_BYTES = 64;
/** Bytes of a WebAssembly page, the unit of growth; fixed by WebAssembly. */
const PAGE_BYTES = 65536;
/** The most that 32-bit addresses reach, less one page, so that no end of a range overflows. */
export const MEMORY_MAX_BYTES = 2 ** 32 - PAGE_BYTES;
/**
 * Our choice: memory is added by this much at least, so that few views are made anew. Untouched pages cost
 * nothing.
 */
const GROWTH_BYTES = 2 ** 20;

/** The same bytes as numbers of each kind that the table holds. */
export interface MemoryViews {
  readonly bytes: Uint8Array;
  readonly halves: Uint16Array;
  readonly signedHalves: Int16Array;
  readonly words: Int32Array;
  readonly longs: BigUint64Array;
}

export function viewsOf(buffer: ArrayBufferLike): MemoryViews {
  const { byteLength } = buffer;
  return {
    bytes: new Uint8Array(buffer, 0, byteLength),
    halves: new Uint16Array(buffer, 0, byteLength >>> 1),
    signedHalves: new Int16Array(buffer, 0, byteLength >>> 1),
    words: new Int32Array(buffer, 0, byteLength >>> 2),
    longs: new BigUint64Array(buffer, 0, byteLength >>> 3),
  };
}

/** One thread's hold on the memory. */
export class TableMemory {
  readonly handle: WasmMemory;
  /** Cover at least what `reach` was last called for. */
  views: MemoryViews;

  constructor(handle: WasmMemory) {
    this.handle = handle;
    this.views = viewsOf(handle.buffer);
  }

  /**
   * New memory of `bytes`, to grow up to `maxBytes`, which are reserved but not taken. Throws
   * TableEngineError if they cannot be.
   */
  static create(bytes: number, maxBytes: number): TableMemory {
    const initial = pagesFor(bytes);
    const maximum = Math.max(initial, pagesFor(Math.min(maxBytes, MEMORY_MAX_BYTES)));
    try {
      return new TableMemory(new WebAssembly.Memory({ initial, maximum, shared: true }));
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause;
      throw new TableEngineError(
        TableEngineCode.addressSpace,
        `the table cannot reserve the address space for ${maxBytes} bytes: raise the limit of the process (ulimit -v, LimitAS=), or lower maxBytes`,
        { cause },
      );
    }
  }

  /** Opens existing memory, at the size to which other threads have grown it. */
  static open(handle: WasmMemory): TableMemory {
    handle.grow(0); // see `follow`
    return new TableMemory(handle);
  }

  /** Bytes that the memory has. */
  get byteLength(): number {
    return this.views.bytes.length;
  }

  /**
   * Makes `bytes` bytes accessible, of which `maxBytes` is the most; false if the memory cannot grow so far.
   */
  reach(bytes: number, maxBytes: number): boolean {
    if (bytes <= this.byteLength) return true;
    if (bytes > maxBytes) return false;
    const wanted = Math.min(Math.max(bytes, this.byteLength + GROWTH_BYTES), maxBytes);
    try {
      this.handle.grow(pagesFor(wanted) - this.byteLength / PAGE_BYTES);
    } catch {
      return false; // no memory left on this machine
    }
    this.views = viewsOf(this.handle.buffer);
    return true;
  }

  /** Looks again at memory that another thread made larger, which has at least `bytes` bytes now. */
  follow(bytes: number): void {
    if (bytes <= this.byteLength) return;
    // V8 tells a thread of another's growth when it gets to it; growing by nothing makes it get to it.
    this.handle.grow(0);
    this.views = viewsOf(this.handle.buffer);
  }
}

/**
 * A copy within a memory. JavaScript copies shared bytes one by one if their places differ modulo 8, as for a
 * node with one more boundary; WebAssembly's own instruction does not.
 */
export function moverOf({ handle }: TableMemory, code: WasmModule): Move {
  return instantiateWasm(code, handle)['move'] as Move; // exported by assembly/index.ts
}

function pagesFor(bytes: number): number {
  return Math.ceil(bytes / PAGE_BYTES);
}
