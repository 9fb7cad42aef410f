/** assembly/map.ts as it is now, in a memory of its own. */

import { type Address, type Family, strideOf } from '@rulecast/rules';
import type { PrefixMap } from '../src/map/map.ts';
import { compileWasm, instantiateWasm, type MemoryViews, TableMemory } from '../src/memory/memory.ts';
import { compiledAssembly } from './assembly.ts';

const ENTRY = `
  import { find4, find6, TILE, tile4, tile6 } from './map';
  export function findAll4(directory: usize, mask: u32, addresses: usize, count: i32, out: usize, pending: usize): void {
    for (let i = 0; i < count; i++) store<i32>(out + (i << 2), find4(directory, mask, load<u32>(addresses + (i << 2))));
  }
  export function findAll6(directory: usize, mask: u32, addresses: usize, count: i32, out: usize, pending: usize): void {
    for (let i = 0; i < count; i++) store<i32>(out + (i << 2), find6(directory, mask, addresses + (i << 4)));
  }
  export function tiles4(directory: usize, mask: u32, addresses: usize, count: i32, out: usize, pending: usize): void {
    for (let i = 0; i < count; i += TILE)
      tile4(directory, mask, addresses + (i << 2), min(count - i, TILE), out + (i << 2), pending);
  }
  export function tiles6(directory: usize, mask: u32, addresses: usize, count: i32, out: usize, pending: usize): void {
    for (let i = 0; i < count; i += TILE)
      tile6(directory, mask, addresses + (i << 4), min(count - i, TILE), out + (i << 2), pending);
  }`;

/** Before the map: the lists of a tile. */
const SCRATCH_BYTES = 4096;
const MEMORY_MAX_BYTES = 2 ** 30;

type Run = (...args: readonly number[]) => void;

export class MapEngine {
  /** Where a map may begin. */
  static readonly firstByte = SCRATCH_BYTES;
  readonly #memory = TableMemory.create(SCRATCH_BYTES, MEMORY_MAX_BYTES);
  readonly #exports: Readonly<Record<string, unknown>>;
  #end = SCRATCH_BYTES; // of the map

  private constructor(binary: Uint8Array) {
    this.#exports = instantiateWasm(compileWasm(binary), this.#memory.handle);
  }

  static async load(): Promise<MapEngine> {
    return new MapEngine(await compiledAssembly(ENTRY, ['map', 'layout']));
  }

  /** The memory, with room for a map that ends at a byte. */
  viewsOf(end: number): MemoryViews {
    this.#end = end;
    this.#reach(end);
    return this.#memory.views;
  }

  /** What a map holds for each address, asked one by one. */
  find(map: PrefixMap, family: Family, addresses: readonly Address[]): Int32Array {
    return this.#run(family === 4 ? 'findAll4' : 'findAll6', map, family, addresses);
  }

  /** The same, tile by tile. */
  findTiles(map: PrefixMap, family: Family, addresses: readonly Address[]): Int32Array {
    return this.#run(family === 4 ? 'tiles4' : 'tiles6', map, family, addresses);
  }

  #run(
    name: string,
    { directory, slotMask, width }: PrefixMap,
    family: Family,
    addresses: readonly Address[],
  ): Int32Array {
    const count = addresses.length;
    const at = Math.ceil(this.#end / 64) * 64 + 64;
    const out = at + count * strideOf(family) * 4;
    this.#reach(out + count * 4);
    const { words } = this.#memory.views;
    let next = at >>> 2;
    for (const address of addresses) {
      words.set(address.words.subarray(0, strideOf(family)), next);
      next += strideOf(family);
    }
    (this.#exports[name] as Run)(directory, slotMask | (width << 16), at, count, out, 0);
    return words.slice(out >>> 2, (out >>> 2) + count);
  }

  #reach(end: number): void {
    if (!this.#memory.reach(end + 64, MEMORY_MAX_BYTES)) throw new RangeError(`no ${end} bytes of memory`);
  }
}
