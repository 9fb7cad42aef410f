/**
 * Names as classes, in WebAssembly's memory: the class of a name, and those of the names above it. classes.ts
 * has the meaning of a class.
 *
 *   0 │ scratch: the name asked for, its labels, what was found, a piece of keys │ next: 3 × classes │ buckets │
 *
 * A new table has 19.7 bytes a name.
 */

import { keyEnd, type Names } from '@rulecast/rules';
import { WIRE_NAME_MAX_BYTES } from '../message/wire.ts';
import { WASM_PAGE_BYTES, WasmFile } from './wasm.ts';

/** Always the built file, three steps from here in `src` and in `dist` alike. */
const WASM = new WasmFile(new URL('../../dist/matcher.wasm', import.meta.url), 'rules about names');

/** The exports of assembly/index.ts; all numbers are 32-bit except the keys. */
interface TableExports {
  readonly open: (
    k0: bigint,
    k1: bigint,
    table: number,
    buckets: number,
    most: number,
    labels: number,
    hits: number,
  ) => void;
  readonly size: () => number;
  readonly stopped: () => number;
  readonly unknown: () => number;
  readonly apply: (from: number, end: number, next: number, stride: number) => number;
  readonly look: (name: number) => number;
}

/** Why `apply` stopped before its end. */
export const TableStop = { full: 2, flooded: 3 } as const;
export type TableStop = (typeof TableStop)[keyof typeof TableStop];

/** The class of whatever is not there. */
export const NO_CLASS = 0;
/**
 * Most classes. Our choice: a million combinations of lists are nobody's, and 12 MiB of address space.
 */
export const CLASSES_MAX = 2 ** 20;
/** For `apply`: the following class is not known yet, ask for it. */
export const UNKNOWN_CLASS = 0xffff_ffff;
/** In results of `look`: this is the class of the name itself. */
const SELF_BIT = 0x8000_0000;
/** Bytes of the key of the hash. */
export const TABLE_KEY_BYTES = 16;

/**
 * Names that a bucket of five holds on average when the table is new, and at most. Our choice: 19.7 bytes a
 * name, room for 15 % more before it has to be made anew, and walks that stay short: at 4.25 some are of more
 * than 32 buckets.
 */
const FRESH_LOAD = 3.25;
const MOST_LOAD = 3.75;
const BUCKET_BYTES = 64;
const SCOPES = 3;

/** Bytes that are read behind a name or key: one word. */
const OVERREAD_BYTES = 8;
const NAME_AT = 64;
const LABELS_AT = NAME_AT + WIRE_NAME_MAX_BYTES + OVERREAD_BYTES + 1; // 328
const HITS_AT = LABELS_AT + 128;
const PIECE_AT = HITS_AT + 128 * 4;
/** Keys that are copied at once: some 2,600, which take a millisecond. */
const PIECE_BYTES = 65_536;
const NEXT_AT = 2 * WASM_PAGE_BYTES;
const TABLE_AT = NEXT_AT + SCOPES * CLASSES_MAX * 4;

/** Which class follows class `before` of a name that stands in a column with `scope` (KeyByte). */
export type Successor = (scope: number, before: number) => number;

export class NameTable {
  readonly #exports: TableExports;
  readonly #bytes: Uint8Array;
  readonly #next: Uint32Array;
  readonly #found: Uint32Array;
  /** Bytes of the buckets alone. */
  readonly byteLength: number;
  /** Classes below it may be in the table; the width of a row of `#next`. */
  #classLimit = 0;

  /**
   * An empty table for so many names and a few more. `key`: 16 bytes of chance, so that nobody can choose
   * names that meet.
   */
  constructor(nameCount: number, key: Uint8Array) {
    const bucketCount = Math.max(16, Math.ceil(nameCount / FRESH_LOAD));
    this.byteLength = bucketCount * BUCKET_BYTES;
    const pages = Math.ceil((TABLE_AT + bucketCount * BUCKET_BYTES) / WASM_PAGE_BYTES);
    const { memory, exports } = WASM.instance(pages, pages);
    this.#exports = exports as TableExports; // built of assembly/index.ts
    this.#bytes = new Uint8Array(memory.buffer);
    this.#next = new Uint32Array(memory.buffer, NEXT_AT, SCOPES * CLASSES_MAX);
    this.#found = new Uint32Array(memory.buffer, HITS_AT, 128);
    const keyView = new DataView(key.buffer, key.byteOffset, TABLE_KEY_BYTES);
    const most = Math.floor(bucketCount * MOST_LOAD);
    const [k0, k1] = [keyView.getBigUint64(0, true), keyView.getBigUint64(8, true)];
    this.#exports.open(k0, k1, TABLE_AT, bucketCount, most, LABELS_AT, HITS_AT);
  }

  /** Names that it holds. */
  get size(): number {
    return this.#exports.size();
  }

  /**
   * Gives the names of a column their next classes. Yields after each piece; returns why it could not go on,
   * and then some names have theirs and some have not. `classLimit` says, each time, above which number there
   * is no class yet.
   */
  *apply(
    names: Names,
    successor: Successor,
    classLimit: () => number,
  ): Generator<undefined, TableStop | undefined> {
    this.#forget(classLimit());
    for (let at = 0; at < names.bytes.length; ) {
      const end = pieceEnd(names.bytes, at);
      this.#bytes.set(names.bytes.subarray(at, end), PIECE_AT);
      const stop = this.#applyPiece(end - at, successor, classLimit);
      if (stop !== undefined) return stop;
      at = end;
      yield undefined;
    }
    return undefined;
  }

  #applyPiece(byteCount: number, successor: Successor, classLimit: () => number): TableStop | undefined {
    const end = PIECE_AT + byteCount;
    for (let at = PIECE_AT; ; ) {
      at = this.#exports.apply(at, end, NEXT_AT, this.#classLimit);
      if (at === end) return undefined;
      const stop = this.#exports.stopped();
      if (stop === TableStop.full || stop === TableStop.flooded) return stop;
      const scope = this.#bytes[keyEnd(this.#bytes, at) - 1]!; // where the key ends
      const before = this.#exports.unknown();
      const after = successor(scope, before);
      if (classLimit() > this.#classLimit) this.#forget(classLimit());
      this.#next[scope * this.#classLimit + before] = after;
    }
  }

  /** Makes rows of the table of successors, wide enough for classes to come, in which nothing is known. */
  #forget(classLimit: number): void {
    this.#classLimit = Math.min(CLASSES_MAX, classLimit + (classLimit >> 2) + 64);
    this.#next.fill(UNKNOWN_CLASS, 0, SCOPES * this.#classLimit);
  }

  /** Looks up the whole name at `at` and the names above it; returns how many of them exist. */
  look(name: Uint8Array, at: number): number {
    const bytes = this.#bytes;
    let used = 0;
    for (let length = name[at]!; length !== 0; length = name[at + used]!) {
      const end = used + 1 + length; // a whole name: it ends within 255 bytes
      for (; used < end; used++) bytes[NAME_AT + used] = name[at + used]!; // likewise
    }
    bytes[NAME_AT + used] = 0;
    return this.#exports.look(NAME_AT);
  }

  /** The class of the `index`th that was found. */
  classAt(index: number): number {
    return this.#found[index]! & ~SELF_BIT; // below the count that `look` returned
  }

  /** Whether that is the class of the name itself. */
  isSelfAt(index: number): boolean {
    return (this.#found[index]! & SELF_BIT) !== 0; // likewise
  }
}

/** The end of a piece of a column that begins at `at`: behind a key. */
function pieceEnd(bytes: Uint8Array, at: number): number {
  if (at + PIECE_BYTES >= bytes.length) return bytes.length;
  let end = at + PIECE_BYTES;
  while (bytes[end - 1]! >= SCOPES) end--; // a key is shorter than a piece
  return end;
}
