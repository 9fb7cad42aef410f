/** Where a channel keeps what it was given, until its transport takes it. */

const NO_BYTES = new Uint8Array(0);

/**
 * The bytes accepted and not yet taken by the transport, in one circular buffer of fixed size.
 *
 * ```
 *   |......[head ── pending ── head + pending)......|      or wrapped:  |──)..........[head ──|
 * ```
 */
export class WriteRing {
  readonly capacityBytes: number;
  /** Made at the first write: an idle channel costs no buffer. */
  #ring: Uint8Array = NO_BYTES;
  #head = 0;
  #pendingBytes = 0;

  constructor(capacityBytes: number) {
    this.capacityBytes = capacityBytes;
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  get spaceBytes(): number {
    return this.capacityBytes - this.#pendingBytes;
  }

  /** Copies what fits of `bytes` and returns how many bytes that was. */
  append(bytes: Uint8Array): number {
    const count = Math.min(bytes.length, this.spaceBytes);
    if (count === 0) return 0;
    if (this.#ring.length === 0) this.#ring = new Uint8Array(this.capacityBytes);
    const tail = (this.#head + this.#pendingBytes) % this.capacityBytes;
    const beforeWrap = Math.min(count, this.capacityBytes - tail);
    this.#ring.set(bytes.subarray(0, beforeWrap), tail);
    if (beforeWrap < count) this.#ring.set(bytes.subarray(beforeWrap, count), 0);
    this.#pendingBytes += count;
    return count;
  }

  /**
   * The oldest pending bytes that lie in one piece, at most `maxBytes`; a view, valid until they are
   * consumed.
   */
  peek(maxBytes: number): Uint8Array {
    const end = Math.min(this.#head + Math.min(this.#pendingBytes, maxBytes), this.capacityBytes);
    return this.#ring.subarray(this.#head, end);
  }

  /** Frees the oldest `byteCount` pending bytes. */
  consume(byteCount: number): void {
    this.#head = (this.#head + byteCount) % this.capacityBytes;
    this.#pendingBytes -= byteCount;
  }

  /** Drops what is pending, and the buffer. A view given out by `peek` keeps its bytes. */
  clear(): void {
    this.#ring = NO_BYTES;
    this.#head = 0;
    this.#pendingBytes = 0;
  }
}
