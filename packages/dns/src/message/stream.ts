/**
 * Messages in a stream, each behind its length in two bytes: RFC 1035 §4.2.2, RFC 7766. It buffers at most
 * one unfinished message.
 */

import { MESSAGE_MAX_BYTES } from './wire.ts';

const LENGTH_BYTES = 2;

export class MessageStream {
  #kept: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #used = 0;

  /** Whether an unfinished message is buffered. */
  get isWaiting(): boolean {
    return this.#used > 0;
  }

  /**
   * The messages that are whole with `chunk`, in order. Each is good until the next is asked for: it may
   * stand in the chunk itself.
   */
  *feed(chunk: Uint8Array): Generator<Uint8Array> {
    let at = 0;
    while (at < chunk.length) {
      if (this.#used === 0 && at + LENGTH_BYTES <= chunk.length) {
        const end = at + LENGTH_BYTES + lengthAt(chunk, at);
        if (end <= chunk.length) {
          yield chunk.subarray(at + LENGTH_BYTES, end);
          at = end;
          continue;
        }
      }
      at = this.#keep(chunk, at);
      if (this.#used < LENGTH_BYTES || this.#used < LENGTH_BYTES + lengthAt(this.#kept, 0)) continue;
      const end = this.#used;
      this.#used = 0;
      yield this.#kept.subarray(LENGTH_BYTES, end);
    }
  }

  /**
   * Buffers the rest of the unfinished message, from `at` on, and returns the start of the data behind it.
   */
  #keep(chunk: Uint8Array, at: number): number {
    const isKnown = this.#used >= LENGTH_BYTES;
    const wanted = isKnown ? LENGTH_BYTES + lengthAt(this.#kept, 0) : LENGTH_BYTES;
    const end = Math.min(chunk.length, at + wanted - this.#used);
    this.#reserve(this.#used + end - at);
    this.#kept.set(chunk.subarray(at, end), this.#used);
    this.#used += end - at;
    return end;
  }

  /** Memory grows with the data received, not with the announced length. */
  #reserve(byteCount: number): void {
    if (byteCount <= this.#kept.length) return;
    const room = Math.min(Math.max(byteCount, this.#kept.length * 2, 512), LENGTH_BYTES + MESSAGE_MAX_BYTES);
    const larger = new Uint8Array(room);
    larger.set(this.#kept.subarray(0, this.#used));
    this.#kept = larger;
  }
}

/** With its length before it. */
export function framed(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([Uint8Array.of(bytes.length >> 8, bytes.length & 0xff), bytes]);
}

function lengthAt(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!; // checked by the caller
}
