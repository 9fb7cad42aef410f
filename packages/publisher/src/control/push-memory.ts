/**
 * A limit on the memory of all running pushes together. A push that finds no room is refused: if it waited,
 * two could wait for each other.
 */

import { ErrorCode, ProtocolError, PUSH_MAX_BYTES } from '@rulecast/protocol';

/** Two of the largest pushes: one that is released, and one that comes meanwhile. */
const ALL_PUSHES_MAX_BYTES = 2 * PUSH_MAX_BYTES;

export class PushMemory {
  #heldBytes = 0;

  /** The share of one push. */
  reserve(): Reservation {
    let ownBytes = 0;
    return {
      take: (byteCount) => {
        if (ownBytes + byteCount > PUSH_MAX_BYTES)
          throw new ProtocolError(
            ErrorCode.overLimit,
            `a push holds at most ${PUSH_MAX_BYTES} bytes of files`,
          );
        if (this.#heldBytes + byteCount > ALL_PUSHES_MAX_BYTES) {
          const text = `other pushes hold ${this.#heldBytes} bytes, of ${ALL_PUSHES_MAX_BYTES}: push again when they are done`;
          throw new ProtocolError(ErrorCode.overLimit, text);
        }
        ownBytes += byteCount;
        this.#heldBytes += byteCount;
      },
      leave: () => {
        this.#heldBytes -= ownBytes;
        ownBytes = 0;
      },
    };
  }
}

export interface Reservation {
  /** Call it before allocating. Throws ProtocolError `over-limit`. */
  take(byteCount: number): void;
  /** Releases the share. May be called again. */
  leave(): void;
}
