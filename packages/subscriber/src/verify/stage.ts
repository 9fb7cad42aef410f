/**
 * A stream on its way in: room for what was announced, filled by CHUNKs, closed by END. Nothing of it is
 * believed until its hash is right.
 */

import { createHash } from 'node:crypto';
import { decodeChain, ErrorCode, ProtocolError } from '@rulecast/protocol';

export class Stage {
  readonly #stream: Uint8Array;
  readonly #digest = createHash('sha256');
  #received = 0;

  /** @param bytes Of the whole stream; throws RangeError where there is no room for so many. */
  constructor(bytes: number) {
    this.#stream = new Uint8Array(bytes);
  }

  /** Takes the next bytes, for which there is room; copies them. */
  push(bytes: Uint8Array): void {
    this.#stream.set(bytes, this.#received);
    this.#received += bytes.length;
    this.#digest.update(bytes);
  }

  /** The whole stream. Throws ProtocolError if its hash is another, or it holds not so many deltas. */
  finish(sha256: Uint8Array, steps: number): Uint8Array {
    if (!this.#digest.digest().equals(sha256)) {
      throw new ProtocolError(ErrorCode.badTransfer, 'the transfer does not have the announced hash');
    }
    if (decodeChain(this.#stream).length !== steps) {
      const reason = `the transfer does not hold the ${steps} deltas announced`;
      throw new ProtocolError(ErrorCode.badTransfer, reason);
    }
    return this.#stream;
  }
}
