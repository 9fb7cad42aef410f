/** A channel's buffer of written bytes, until the transport sends them. */

const NO_BYTES = new Uint8Array(0);

/** The buffer that an idle channel keeps after its first write: small messages need no more. Our choice. */
const KEPT_BYTES = 2048;
/**
 * Buffers of a channel's usual size that no channel has, for whichever fills one next: a thousand that make
 * one for each CHUNK and let go of it have V8 look for garbage ten times a second, in whose pauses nobody is
 * heard. As many as have something to send in the same turn, 4 MiB; our choice.
 */
const SPARE_BYTES = 65_536;
const SPARE_MAX = 64;
const spare: Uint8Array[] = [];

/**
 * The bytes accepted and not yet taken by the transport, in one circular buffer, which grows to its capacity
 * with what waits: of a thousand channels few have much to say at once.
 *
 * ```
 *   |......[head ── pending ── head + pending)......|      or wrapped:  |──)..........[head ──|
 * ```
 */
export class WriteRing {
  readonly capacityBytes: number;
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
    if (this.#pendingBytes + count > this.#ring.length) this.#grow(this.#pendingBytes + count);
    const size = this.#ring.length;
    const tail = (this.#head + this.#pendingBytes) % size;
    const beforeWrap = Math.min(count, size - tail);
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
    const end = Math.min(this.#head + Math.min(this.#pendingBytes, maxBytes), this.#ring.length);
    return this.#ring.subarray(this.#head, end);
  }

  /** Frees the oldest `byteCount` pending bytes. */
  consume(byteCount: number): void {
    this.#pendingBytes -= byteCount;
    this.#head = this.#pendingBytes === 0 ? 0 : (this.#head + byteCount) % this.#ring.length;
  }

  /** Lets go of a large buffer in which nothing waits, and of which no view is used any more. */
  rest(): void {
    if (this.#pendingBytes > 0 || this.#ring.length <= KEPT_BYTES) return;
    if (this.#ring.length === SPARE_BYTES && spare.length < SPARE_MAX) spare.push(this.#ring);
    this.#ring = NO_BYTES;
  }

  /** Drops what is pending, and the buffer. A view given out by `peek` keeps its bytes. */
  clear(): void {
    this.#ring = NO_BYTES;
    this.#head = 0;
    this.#pendingBytes = 0;
  }

  /** Grows to the next power of two, at most the capacity. Memory returned by `peek` is not touched. */
  #grow(leastBytes: number): void {
    const size = Math.min(this.capacityBytes, Math.max(KEPT_BYTES, 2 ** Math.ceil(Math.log2(leastBytes))));
    const ring = (size === SPARE_BYTES ? spare.pop() : undefined) ?? new Uint8Array(size);
    const first = this.peek(this.#pendingBytes);
    ring.set(first);
    ring.set(this.#ring.subarray(0, this.#pendingBytes - first.length), first.length);
    this.#ring = ring;
    this.#head = 0;
  }
}
