/**
 * What goes to the reader's thread and back. A message is copied in one go, which for a large feed stalls the event loop; so what is large
 * is copied in pieces, with turns of the event loop between them, and then handed over.
 */

import { setImmediate } from 'node:timers/promises';
import type { List, Prefixes } from '@rulecast/rules';

/** Smaller ones are copied with the message. */
const HANDED_OVER_MIN_BYTES = 64 * 1024;
/** So much is copied within a millisecond or two. */
const PIECE_BYTES = 2 * 1024 * 1024;

/** Copies for a thread to own; `buffers` are to be transferred to it. */
export class Parcel {
  readonly buffers: ArrayBuffer[] = [];

  async bytes(bytes: Uint8Array): Promise<Uint8Array> {
    if (bytes.length < HANDED_OVER_MIN_BYTES) return bytes;
    const copy = new Uint8Array(bytes.length);
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      copy.set(bytes.subarray(at, at + PIECE_BYTES), at);
      await setImmediate();
    }
    this.buffers.push(copy.buffer);
    return copy;
  }

  async list(list: List): Promise<List> {
    if (list.kind === 'names') return list; // strings can only be copied
    return { ...list, v4: await this.column(list.v4), v6: await this.column(list.v6) };
  }

  private async column({ family, words, lengths }: Prefixes): Promise<Prefixes> {
    const copy = await this.bytes(new Uint8Array(words.buffer, words.byteOffset, words.byteLength));
    const copied = new Uint32Array(copy.buffer, copy.byteOffset, words.length);
    return { family, words: copied, lengths: await this.bytes(lengths) };
  }
}

/** Lists whose arrays nobody else needs, with the buffers to transfer; they are gone from here afterwards. */
export function givenAway(lists: readonly List[]): {
  readonly lists: readonly List[];
  readonly buffers: readonly ArrayBuffer[];
} {
  const buffers = new Set<ArrayBuffer>();
  const given = <T extends Uint32Array | Uint8Array>(array: T): T => {
    if (array.byteLength < HANDED_OVER_MIN_BYTES) return array;
    const whole = array.byteLength === array.buffer.byteLength ? array : (array.slice() as T); // of the same kind
    buffers.add(whole.buffer as ArrayBuffer); // nothing here is shared memory
    return whole;
  };
  const column = ({ family, words, lengths }: Prefixes): Prefixes => {
    return { family, words: given(words), lengths: given(lengths) };
  };
  const all = lists.map((list): List => {
    return list.kind === 'names' ? list : { ...list, v4: column(list.v4), v6: column(list.v6) };
  });
  return { lists: all, buffers: [...buffers] };
}
