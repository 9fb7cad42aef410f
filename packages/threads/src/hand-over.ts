/**
 * Moves large data to a thread and back. A message is copied in one go, which for a large list stalls the
 * event loop; so large arrays are copied in pieces, with turns of the event loop between them, and then
 * moved.
 */

import { setImmediate } from 'node:timers/promises';
import type { List, Names, Prefixes, PrefixSet } from '@rulecast/rules';

/** Smaller ones are copied with the message. */
const HANDED_OVER_MIN_BYTES = 64 * 1024;
/** So much is copied within a millisecond or two. */
const PIECE_BYTES = 2 * 1024 * 1024;

/** Copies for a thread to own; `buffers` are to be moved to it. */
export class HandOver {
  readonly buffers: ArrayBuffer[] = [];

  async bytes(bytes: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
    // A view would be cloned with all of the buffer below it.
    if (bytes.length < HANDED_OVER_MIN_BYTES) return this.give(new Uint8Array(bytes));
    const copy = new Uint8Array(bytes.length);
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      copy.set(bytes.subarray(at, at + PIECE_BYTES), at);
      await setImmediate();
    }
    return this.give(copy);
  }

  async list(list: List): Promise<List> {
    if (list.kind === 'names') {
      return {
        ...list,
        names: await this.#names(list.names),
        exceptions: await this.#names(list.exceptions),
      };
    }
    return { ...list, ...(await this.prefixSet(list)) };
  }

  async prefixSet({ v4, v6 }: PrefixSet): Promise<PrefixSet> {
    return { v4: await this.#column(v4), v6: await this.#column(v6) };
  }

  /** Moves an array that the caller owns with its whole buffer; the caller may lose it. */
  give<T extends { readonly buffer: ArrayBuffer }>(array: T): T {
    if (array.buffer.byteLength >= HANDED_OVER_MIN_BYTES) this.buffers.push(array.buffer);
    return array;
  }

  async #names({ count, bytes }: Names): Promise<Names> {
    return { count, bytes: await this.bytes(bytes) };
  }

  async #column({ family, words, lengths }: Prefixes): Promise<Prefixes> {
    const copy = await this.bytes(new Uint8Array(words.buffer, words.byteOffset, words.byteLength));
    return { family, words: new Uint32Array(copy.buffer), lengths: await this.bytes(lengths) };
  }
}

/**
 * Lists whose arrays are not needed here any more, with the buffers to move; they are unusable afterwards.
 */
export function givenAway(lists: readonly List[]): {
  readonly lists: readonly List[];
  readonly buffers: readonly ArrayBuffer[];
} {
  const buffers = new Set<ArrayBuffer>();
  const given = <T extends Uint32Array | Uint8Array>(array: T): T => {
    const isWhole = array.byteLength === array.buffer.byteLength;
    const whole = isWhole ? array : (array.slice() as T); // of the same kind
    if (array.byteLength >= HANDED_OVER_MIN_BYTES) buffers.add(whole.buffer as ArrayBuffer); // nothing here is shared memory
    return whole;
  };
  const column = ({ family, words, lengths }: Prefixes): Prefixes => {
    return { family, words: given(words), lengths: given(lengths) };
  };
  const names = ({ count, bytes }: Names): Names => ({ count, bytes: given(bytes) });
  const all = lists.map((list): List => {
    if (list.kind !== 'names') return { ...list, v4: column(list.v4), v6: column(list.v6) };
    return { ...list, names: names(list.names), exceptions: names(list.exceptions) };
  });
  return { lists: all, buffers: [...buffers] };
}
