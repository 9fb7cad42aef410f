/**
 * A transfer on its way in: announced by BEGIN, filled by CHUNKs, closed by END. Nothing of it is believed
 * until its hash is right, and nothing is allocated beyond what was announced and allowed.
 */

import { createHash } from 'node:crypto';
import { decodeChain, ErrorCode, type MessageOf, ProtocolError } from '@rulecast/protocol';

export interface StageLimits {
  /**
   * Most bytes of one transfer's stream: what this subscriber takes, and what the signed manifest can need.
   */
  readonly streamBytes: number;
}

export class Stage {
  readonly hash: Uint8Array;
  readonly base: Uint8Array | undefined;
  readonly #steps: number;
  readonly #stream: Uint8Array;
  readonly #digest = createHash('sha256');
  #received = 0;

  /** Throws ProtocolError `over-limit` for a transfer larger than allowed. */
  constructor(begin: MessageOf<'begin'>, limits: StageLimits) {
    if (begin.bytes > limits.streamBytes) {
      const reason = `a transfer of ${begin.bytes} bytes is over the limit of ${limits.streamBytes} for this release here`;
      throw new ProtocolError(ErrorCode.overLimit, reason);
    }
    this.hash = begin.hash;
    this.base = begin.base;
    this.#steps = begin.steps;
    this.#stream = new Uint8Array(begin.bytes);
  }

  /** Takes the next bytes; copies them. Throws ProtocolError if they are more than announced. */
  push(bytes: Uint8Array): void {
    if (this.#received + bytes.length > this.#stream.length) {
      throw new ProtocolError(ErrorCode.badTransfer, 'the transfer is longer than announced');
    }
    this.#stream.set(bytes, this.#received);
    this.#received += bytes.length;
    this.#digest.update(bytes);
  }

  get receivedBytes(): number {
    return this.#received;
  }

  /** The whole stream. Throws ProtocolError if it is short or its hash is another. */
  finish(sha256: Uint8Array): Uint8Array {
    if (this.#received !== this.#stream.length) {
      throw new ProtocolError(
        ErrorCode.badTransfer,
        `the transfer ended after ${this.#received} of ${this.#stream.length} bytes`,
      );
    }
    if (!this.#digest.digest().equals(sha256)) {
      throw new ProtocolError(ErrorCode.badTransfer, 'the transfer does not have the announced hash');
    }
    if (decodeChain(this.#stream).length !== this.#steps) {
      throw new ProtocolError(
        ErrorCode.badTransfer,
        `the transfer does not hold the ${this.#steps} deltas announced`,
      );
    }
    return this.#stream;
  }
}
