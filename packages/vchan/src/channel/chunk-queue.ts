/** A channel's queue of received bytes, until they are read. */

// Our choice.

/**
 * Chunks shorter than this are copied together, so that a queue of one-byte writes is not a queue of objects.
 */
const SMALL_CHUNK_BYTES = 2_048;
/** Small chunks are copied into slabs of this size: one allocation for at least eight of them. */
const SLAB_BYTES = 16_384;

interface Chunk {
  bytes: Uint8Array;
  next: Chunk | undefined;
}

const NO_BYTES = new Uint8Array(0);

/**
 * A queue of received bytes as a list of chunks, so that a reader gets them without another copy. The queue
 * counts, its owner bounds. No byte handed out is ever written again.
 */
export class ChunkQueue {
  #first: Chunk | undefined;
  #last: Chunk | undefined;
  #byteCount = 0;
  /** The slab for small chunks; `[0, #slabUsed)` is appended, and perhaps already read. */
  #slab: Uint8Array = NO_BYTES;
  #slabUsed = 0;

  get byteCount(): number {
    return this.#byteCount;
  }

  /** Appends bytes that the queue owns from now on; the caller must not write to them any more. */
  appendOwned(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    if (bytes.length < SMALL_CHUNK_BYTES) this.#appendSmall(bytes);
    else this.#link(bytes);
  }

  /** Appends a copy of `bytes`. */
  appendCopy(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    if (bytes.length < SMALL_CHUNK_BYTES) this.#appendSmall(bytes);
    // Uint8Array.from and slice of a Buffer would give a Buffer, and its slice() is a view: a trap for the
    // reader.
    else this.#link(new Uint8Array(bytes));
  }

  /** Takes 1..`maxBytes` bytes, all from the first chunk; none if the queue is empty or `maxBytes` is 0. */
  take(maxBytes: number): Uint8Array {
    const first = this.#first;
    if (first === undefined || maxBytes === 0) return NO_BYTES;
    const chunk = first.bytes;
    if (chunk.length <= maxBytes) {
      this.#first = first.next;
      if (this.#first === undefined) this.#last = undefined;
      this.#byteCount -= chunk.length;
      return chunk;
    }
    first.bytes = chunk.subarray(maxBytes);
    this.#byteCount -= maxBytes;
    return chunk.subarray(0, maxBytes);
  }

  clear(): void {
    this.#first = undefined;
    this.#last = undefined;
    this.#byteCount = 0;
    this.#slab = NO_BYTES;
    this.#slabUsed = 0;
  }

  #link(bytes: Uint8Array): void {
    const chunk: Chunk = { bytes, next: undefined };
    if (this.#last === undefined) this.#first = chunk;
    else this.#last.next = chunk;
    this.#last = chunk;
    this.#byteCount += bytes.length;
  }

  #appendSmall(bytes: Uint8Array): void {
    if (this.#slabUsed + bytes.length > this.#slab.length) {
      this.#slab = new Uint8Array(SLAB_BYTES);
      this.#slabUsed = 0;
    }
    const begin = this.#slabUsed;
    this.#slab.set(bytes, begin);
    this.#slabUsed += bytes.length;
    const last = this.#last;
    // Within a slab the last chunk ends where the slab's free part begins: nothing else is appended to a
    // slab.
    if (last?.bytes.buffer === this.#slab.buffer) {
      last.bytes = this.#slab.subarray(last.bytes.byteOffset, this.#slabUsed);
      this.#byteCount += bytes.length;
    } else {
      this.#link(this.#slab.subarray(begin, this.#slabUsed));
    }
  }
}
