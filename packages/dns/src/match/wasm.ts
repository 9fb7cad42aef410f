/** WebAssembly code built beside its package: compiled once a thread, with a memory for each use. */

import { readFileSync } from 'node:fs';

/** The part of the WebAssembly interface used here, which no type library of ours declares. */
export interface WasmMemory {
  readonly buffer: ArrayBuffer;
  readonly grow: (pages: number) => number;
}
declare const WebAssembly: {
  readonly Memory: new (descriptor: { initial: number; maximum: number }) => WasmMemory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: { env: { memory: WasmMemory } },
  ) => { readonly exports: object };
};

export const WASM_PAGE_BYTES = 65_536;

export class WasmFile {
  readonly #url: URL;
  readonly #purpose: string;
  #module: object | undefined;

  /** `purpose` completes a message on what is impossible without it. */
  constructor(url: URL, purpose: string) {
    this.#url = url;
    this.#purpose = purpose;
  }

  /**
   * Another memory of so many pages, and the code over it. It reserves some 10 GiB of address space, and
   * takes what is used. Throws Error, for people, where the process has no WebAssembly or not that much room.
   */
  instance(pages: number, mostPages: number): { readonly memory: WasmMemory; readonly exports: object } {
    if (typeof WebAssembly === 'undefined') {
      const text = `this process has no WebAssembly, and ${this.#purpose} need it: start Node without --jitless`;
      throw new Error(text);
    }
    const memory = this.#memory(pages, mostPages);
    this.#module ??= new WebAssembly.Module(readFileSync(this.#url));
    return { memory, exports: new WebAssembly.Instance(this.#module, { env: { memory } }).exports };
  }

  #memory(initial: number, maximum: number): WasmMemory {
    try {
      return new WebAssembly.Memory({ initial, maximum });
    } catch (cause) {
      const text = `${this.#purpose} need 10 GiB of address space: raise LimitAS= or ulimit -v`;
      throw new Error(text, { cause });
    }
  }
}
