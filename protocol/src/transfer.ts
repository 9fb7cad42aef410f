/**
 * Transfers: the stream between BEGIN and END, PROTOCOL.md "Transfers". It holds the deltas of a chain in order, a snapshot being
 * a chain of one.
 *
 * ```
 *  | length u32 | delta: length bytes | length u32 | delta | …      `steps` times, little-endian
 * ```
 */

import { createHash, type Hash } from 'node:crypto';
import { ErrorCode, ProtocolError } from './error.ts';
import type { MessageOf } from './message.ts';

const LENGTH_BYTES = 4;

/** Length of the stream of some encoded deltas: what BEGIN announces. */
export function transferBytes(deltas: readonly Uint8Array[]): number {
  return deltas.reduce((sum, delta) => sum + LENGTH_BYTES + delta.length, 0);
}

/** The stream of some encoded deltas, for `Connection.sendBytes`; views, no copies. */
export function* transferPieces(deltas: Iterable<Uint8Array>): Generator<Uint8Array, void, undefined> {
  for (const delta of deltas) {
    const length = new Uint8Array(LENGTH_BYTES);
    new DataView(length.buffer).setUint32(0, delta.length, true);
    yield length;
    yield delta;
  }
}

/** Gathers what comes between BEGIN and END in one buffer of the announced size. */
export class TransferReceiver {
  private readonly bytes: Uint8Array;
  private readonly steps: number;
  private readonly hash: Hash;
  private fill = 0;

  /** Throws ProtocolError `over-limit`, before anything is allocated, if BEGIN announces more than `maxBytes`. */
  constructor(begin: MessageOf<'begin'>, maxBytes: number) {
    if (begin.bytes > maxBytes) {
      const message = `the transfer has ${begin.bytes} bytes; the most that is taken is ${maxBytes}`;
      throw new ProtocolError(ErrorCode.overLimit, message);
    }
    this.bytes = new Uint8Array(begin.bytes);
    this.steps = begin.steps;
    this.hash = createHash('sha256');
  }

  /** Bytes received so far. */
  get receivedBytes(): number {
    return this.fill;
  }

  /** Copies a CHUNK. Throws ProtocolError `bad-transfer` if that is more than was announced. */
  add(chunk: Uint8Array): void {
    if (chunk.length > this.bytes.length - this.fill) {
      throw new ProtocolError(
        ErrorCode.badTransfer,
        `more than the ${this.bytes.length} bytes announced were sent`,
      );
    }
    this.bytes.set(chunk, this.fill);
    this.hash.update(chunk);
    this.fill += chunk.length;
  }

  /** The deltas, as views of one buffer that is the caller's now. Throws ProtocolError `bad-transfer`. One call. */
  finish(end: MessageOf<'end'>): readonly Uint8Array[] {
    if (this.fill !== this.bytes.length) {
      const message = `${this.fill} bytes were sent, ${this.bytes.length} were announced`;
      throw new ProtocolError(ErrorCode.badTransfer, message);
    }
    if (!this.hash.digest().equals(end.sha256)) {
      throw new ProtocolError(ErrorCode.badTransfer, 'the hash of the stream differs from that in END');
    }
    return splitSteps(this.bytes, this.steps);
  }
}

function splitSteps(bytes: Uint8Array, steps: number): readonly Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const deltas: Uint8Array[] = [];
  let at = 0;
  while (deltas.length < steps) {
    if (bytes.length - at < LENGTH_BYTES) throw badSteps(steps);
    const length = view.getUint32(at, true);
    at += LENGTH_BYTES;
    if (length > bytes.length - at) throw badSteps(steps);
    deltas.push(bytes.subarray(at, at + length));
    at += length;
  }
  if (at !== bytes.length) throw badSteps(steps);
  return deltas;
}

function badSteps(steps: number): ProtocolError {
  return new ProtocolError(
    ErrorCode.badTransfer,
    `the stream does not hold just the ${steps} deltas announced`,
  );
}
