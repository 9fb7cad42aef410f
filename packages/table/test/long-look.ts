/**
 * A look that lasts over many flips, by hand: what a reader holds whose thread sleeps within a lookup, and
 * what it finds there.
 */

import { openReader, type TableHandle } from '../src/index.ts';
import { ControlField, heldWord, holdWord, scratchOf } from '../src/memory/control.ts';
import { instantiateWasm, TableMemory } from '../src/memory/memory.ts';
import { FIRST } from './release.ts';

type Call = (...args: readonly number[]) => number;

export class LongLook {
  readonly slot: number;
  readonly #isHeld: boolean;
  readonly #end: () => void;
  readonly #look: (hosts: number) => readonly number[];

  /** Begins at the generation in force; without a hold it is one that must go wrong. */
  constructor(table: TableHandle, isHeld = true) {
    const { memory: handle, module } = table;
    const control = new TableMemory(handle).views.words;
    const reader = openReader(table);
    this.slot = reader.slot;
    this.#isHeld = isHeld;
    const room = scratchOf(reader.slot);
    const header = control[ControlField.header]!; // the control block is there
    if (isHeld) control[holdWord(reader.slot)] = header;
    control[heldWord(reader.slot)] = header;
    const { open, lookupRest } = instantiateWasm(module, handle) as { open: Call; lookupRest: Call };
    open(room);
    const { dst, protos, details, codes, capacity } = reader.columns(4);
    protos.fill(6);
    details.fill(443);
    this.#look = (hosts) => {
      const found: number[] = [];
      for (let at = 0; at < hosts * 2; at += capacity) {
        const count = Math.min(capacity, hosts * 2 - at);
        for (let i = 0; i < count; i++) dst[i] = FIRST + ((at + i) >> 1) * 1024 + ((at + i) & 1);
        const [to, asked] = [dst.byteOffset, details.byteOffset];
        lookupRest(room, 4, 0, 0, to, protos.byteOffset, asked, codes.byteOffset, count);
        found.push(...codes.subarray(0, count));
      }
      return found;
    };
    this.#end = () => {
      control[holdWord(reader.slot)] = 0;
      control[heldWord(reader.slot)] = 0;
      reader.close();
    };
  }

  /**
   * The codes of so many hosts and their neighbours, in the generation that was in force at the beginning.
   */
  answers(hosts: number): readonly number[] {
    try {
      return this.#look(hosts);
    } catch (error) {
      if (this.#isHeld) throw error;
      return [-1]; // a trap of the engine
    }
  }

  end(): void {
    this.#end();
  }
}
