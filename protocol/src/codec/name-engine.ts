/**
 * A code of names, one way or the other: WebAssembly, and what it is told. One at a time is said or read in a
 * thread, from beginning to end.
 */

import { KEY_MAX_BYTES, KeyByte } from '@rulecast/rules';
import { WASM_PAGE_BYTES, WasmFile, type WasmMemory } from '../bytes/wasm.ts';
import {
  ARE_TOO_MANY,
  BELOW_AT,
  BYTE_OF_AT,
  CODE_AT,
  DEPTHS_AT,
  ENDS_TOO_SOON,
  IS_NO_NAME,
  IS_NOT_ABOVE,
  IS_THERE,
  IS_TOO_LONG,
  KEYS_AT,
  KEYS_BYTES,
  LAST_AT,
  NEXT_AT,
  PACES_AT,
  PATHS_AT,
  SHARES_AT,
  SHARES_TOO_MUCH,
  SYMBOL_OF_AT,
  WANTED_AT,
} from './name-layout.ts';
import { BYTE_OF, DEPTHS, NEXT, PACES, PATHS, SHARES, SYMBOL_OF, slotMask } from './name-model.ts';

/** Always the built file, three steps from here in `src` and in `dist` alike. */
const WASM = new WasmFile(new URL('../../dist/names.wasm', import.meta.url), 'lists of names');

/** What assembly/index.ts exports; all numbers are 32-bit. */
interface NameExports {
  readonly begin: (slotMask: number, wildcards: number, reads: number, codeBytes: number) => void;
  readonly finish: () => number;
  readonly writeNames: (to: number) => number;
  readonly readNames: (count: number, most: number) => number;
  readonly name: (isBounded: number) => number;
  readonly number: (about: number, value: number) => number;
  readonly standsFor: (wanted: number) => number;
  readonly saidCharacters: () => number;
  readonly allSaidCharacters: () => number;
  readonly keysBytes: () => number;
  readonly lastFault: () => number;
  readonly hasFoundWildcard: () => number;
  readonly isExhausted: () => number;
  readonly isComplete: () => number;
}

interface Engine {
  readonly memory: WasmMemory;
  readonly exports: NameExports;
}

const LEAST_PAGES = Math.ceil((CODE_AT + WASM_PAGE_BYTES) / WASM_PAGE_BYTES);
const MOST_PAGES = 65_536;
/** An engine of more is not kept for the next code: that of a million names takes 6 MiB. */
const KEPT_BYTES = 8 * 2 ** 20;

const FAULTS: Readonly<Record<number, string>> = {
  [SHARES_TOO_MUCH]: 'shares more than there is',
  [IS_NOT_ABOVE]: 'is not above the one before',
  [IS_NO_NAME]: 'is no host name',
  [IS_TOO_LONG]: 'is too long',
  [IS_THERE]: 'is there already',
};

/** What numbers are about. */
export const Count = { kept: 0, removed: 1, passed: 2, unchanged: 3 } as const;

/** A key within a column. */
export interface Key {
  readonly bytes: Uint8Array;
  readonly at: number;
}

/** What was read in one go. */
export interface ManyNames {
  readonly count: number;
  /** Their keys, end to end: a view that the next call writes to. */
  readonly keys: Uint8Array;
  /** How many of their characters were said, also of the one that there is no room for. */
  readonly said: number;
  /** Why the next cannot be read. */
  readonly fault: NameFault | undefined;
}

/** A name that cannot be, the code has ended, or there are more bytes of names than permitted. */
export type NameFault =
  | { readonly kind: 'name'; readonly reason: string }
  | { readonly kind: 'too-soon' | 'too-many' };

let idle: Engine | undefined;
/** Whose code it is: an engine has one at a time. */
let owner: NameCode | undefined;

function newEngine(): Engine {
  const { memory, exports } = WASM.instance(LEAST_PAGES, MOST_PAGES);
  const bytes = new Uint8Array(memory.buffer);
  bytes.set(SYMBOL_OF, SYMBOL_OF_AT);
  bytes.set(BYTE_OF, BYTE_OF_AT);
  bytes.set(DEPTHS, DEPTHS_AT);
  bytes.set(NEXT, NEXT_AT);
  bytes.set(SHARES, SHARES_AT);
  new Uint16Array(memory.buffer).set(PATHS, PATHS_AT / 2);
  new Uint16Array(memory.buffer).set(PACES, PACES_AT / 2);
  return { memory, exports: exports as NameExports }; // built of assembly/index.ts
}

export interface NameCodeOptions {
  /** How many the code holds. */
  readonly names: number;
  /** Whether each says what it stands for. */
  readonly hasWildcards: boolean;
  /** The error of a name that cannot be. */
  readonly fault: (reason: string) => Error;
}

/** A code that is being said, or read. */
export class NameCode {
  readonly #engine: Engine;
  readonly #exports: NameExports;
  readonly #fault: (reason: string) => Error;

  /** @param code What is to be read; undefined for a code that is to be said. */
  constructor({ names, hasWildcards, fault }: NameCodeOptions, code?: Uint8Array) {
    idle ??= newEngine();
    this.#engine = idle;
    this.#exports = idle.exports;
    this.#fault = fault;
    owner = this;
    const { memory, exports } = idle;
    if (code !== undefined) {
      const missing = CODE_AT + code.length - memory.buffer.byteLength;
      if (missing > 0) memory.grow(Math.ceil(missing / WASM_PAGE_BYTES));
      this.#memory().set(code, CODE_AT);
    }
    if (memory.buffer.byteLength > KEPT_BYTES) idle = undefined;
    exports.begin(slotMask(names), Number(hasWildcards), Number(code !== undefined), code?.length ?? 0);
  }

  /** Says all keys of a column. */
  writeNames(keys: Uint8Array): void {
    for (let from = 0; from < keys.length; ) {
      let to = Math.min(keys.length, from + KEYS_BYTES);
      while (keys[to - 1]! >= KeyByte.separator) to--; // a key is shorter than a stretch
      this.#memory().set(keys.subarray(from, to), KEYS_AT);
      const fault = this.#exports.writeNames(KEYS_AT + to - from);
      if (fault < 0) throw this.#faultOf(fault);
      from = to;
    }
  }

  /** Reads at most so many names, in at most so many bytes: some at a time. */
  readNames(count: number, mostBytes: number): ManyNames {
    const memory = this.#memory();
    const read = this.#exports.readNames(count, Math.min(mostBytes, KEYS_BYTES));
    const fault = this.#exports.lastFault();
    return {
      count: read,
      keys: memory.subarray(KEYS_AT, KEYS_AT + this.#exports.keysBytes()),
      said: this.#exports.allSaidCharacters(),
      fault:
        fault === 0
          ? undefined
          : fault === ENDS_TOO_SOON
            ? { kind: 'too-soon' }
            : fault === ARE_TOO_MANY
              ? { kind: 'too-many' }
              : { kind: 'name', reason: FAULTS[fault] ?? '' },
    };
  }

  /** Says a name above the last and below `next`, if there is one. */
  writeName(next: Key | undefined, { bytes, at }: Key): void {
    this.#put(bytes, at, WANTED_AT);
    this.#name(next);
  }

  /** Reads such a name: its key, a view that the next call writes to. */
  readName(next: Key | undefined): { readonly key: Uint8Array; readonly said: number } {
    const length = this.#name(next);
    return {
      key: this.#memory().subarray(LAST_AT, LAST_AT + length),
      said: this.#exports.saidCharacters(),
    };
  }

  #name(next: Key | undefined): number {
    if (next !== undefined) this.#put(next.bytes, next.at, BELOW_AT);
    else this.#memory();
    const length = this.#exports.name(Number(next !== undefined));
    if (length < 0) throw this.#faultOf(length);
    return length;
  }

  /** A number of up to 31 bits: says `value`, or whatever is read. */
  number(about: number, value = 0): number {
    this.#memory();
    return this.#exports.number(about, value) >>> 0;
  }

  /** What an entry stands for from then on, likewise. */
  end(wanted: number = KeyByte.self): number {
    this.#memory();
    return this.#exports.standsFor(wanted);
  }

  /** The name of `bytes[at, …)` is the last one from now on; with -1 there is none. */
  load(bytes: Uint8Array, at: number): void {
    if (at < 0) this.#memory()[LAST_AT] = KeyByte.self;
    else this.#put(bytes, at, LAST_AT);
  }

  /** Whether decisions were read that the bytes do not hold: from then on they mean nothing. */
  get isExhausted(): boolean {
    this.#memory();
    return this.#exports.isExhausted() !== 0;
  }

  /** Whether the bytes are exactly those of the decisions read. */
  get isComplete(): boolean {
    this.#memory();
    return this.#exports.isComplete() !== 0;
  }

  /** Whether a name was read that stands for others. */
  get hasFoundWildcard(): boolean {
    this.#memory();
    return this.#exports.hasFoundWildcard() !== 0;
  }

  /** Ends what is said, and returns its bytes, a view: the next code writes there. */
  finish(): Uint8Array {
    this.#memory();
    const length = this.#exports.finish();
    return this.#memory().subarray(CODE_AT, CODE_AT + length);
  }

  /** The memory as it is now: it grows. Throws Error where another code has been begun. */
  #memory(): Uint8Array {
    if (owner !== this) throw new Error('a code of names goes on after another was begun');
    return new Uint8Array(this.#engine.memory.buffer);
  }

  #put(bytes: Uint8Array, at: number, to: number): void {
    const memory = this.#memory();
    for (let i = 0; i < KEY_MAX_BYTES; i++) {
      const byte = bytes[at + i]!; // a column ends in the end of a key
      memory[to + i] = byte;
      if (byte < KeyByte.separator) return;
    }
  }

  #faultOf(fault: number): Error {
    return this.#fault(FAULTS[fault] ?? '');
  }
}
