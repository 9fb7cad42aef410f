/**
 * Takes the content of a release from a subscriber, piece by piece: one question at a time, each with an end,
 * and no more room than what was signed can need. One at a time. PROTOCOL.md "ADOPT".
 *
 *   QUERY content ─▶ ANSWER: hash, length        QUERY piece from 0 ─▶ CHUNK: signatures, manifest, stream …
 *                                                      │ judged, then room is made
 *                                                QUERY piece from 65,512 ─▶ CHUNK …
 */

import {
  CHUNK_BYTES,
  ErrorCode,
  MANIFEST_BYTES,
  type Manifest,
  type MessageOf,
  manifestHash,
  ProtocolError,
  type Signed,
  signaturesBytes,
  splitSigned,
  streamMaxBytes,
  TRANSFER_MAX_BYTES,
} from '@rulecast/protocol';
import type { Clock } from '@rulecast/sources';
import type { Adoptable } from '../release/adopted.ts';
import type { AskContent } from '../session/serve.ts';

/** How long a subscriber may take to make its stream: its thread may have a release to verify first. */
const MADE_MS = 60_000;
/** A piece of 64 KiB has the time that as much of a transfer has. */
const PIECE_MS = 15_000;
/** Before it is asked again: it answers so many questions a second, and others ask as well. */
const PAUSE_MS = 1_000;

export interface Taking {
  readonly subscriber: string;
  /** Throws ProtocolError for a manifest that is not to be taken. */
  readonly check: (signed: Signed) => Manifest;
  /** What came of the stream, in bytes; what it rejects with ends the taking. */
  readonly onProgress: (done: number, total: number) => Promise<void>;
}

type Piece = MessageOf<'query'>['piece'];

export class Adoption {
  readonly #ask: AskContent;
  readonly #clock: Pick<Clock, 'after' | 'monotonicMs'>;
  #isUnderWay = false;

  constructor(ask: AskContent, clock: Pick<Clock, 'after' | 'monotonicMs'>) {
    this.#ask = ask;
    this.#clock = clock;
  }

  /** Does one at a time, for each may hold a whole release. Throws ProtocolError `rate-limited` meanwhile. */
  async alone<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isUnderWay)
      throw new ProtocolError(ErrorCode.rateLimited, 'somebody else is taking the content back just now');
    this.#isUnderWay = true;
    try {
      return await work();
    } finally {
      this.#isUnderWay = false;
    }
  }

  /**
   * What a subscriber has in force. Throws ProtocolError: what `check` throws, `timeout` and `disconnected`,
   * and of content that cannot be what its manifest says `bad-transfer`, `over-budget` and `over-limit`.
   */
  async take({ subscriber, check, onProgress }: Taking): Promise<Adoptable> {
    const { hash, bytes } = await this.#length(subscriber);
    const first = await this.#piece(subscriber, { hash, from: 0 }, bytes);
    const signedBytes = signaturesBytes(first) + MANIFEST_BYTES;
    if (first.length < signedBytes) throw bad(`${subscriber} sends less than a signed manifest`);
    const signed = splitSigned(first.subarray(0, signedBytes));
    const manifest = check(signed);
    if (!Buffer.from(manifestHash(signed.content)).equals(hash))
      throw bad(`${subscriber} sends another release than it said`);
    const streamBytes = bytes - signedBytes;
    if (streamBytes > streamMaxBytes(manifest))
      throw new ProtocolError(ErrorCode.overBudget, `${bytes} bytes are more than what was signed can take`);
    const stream = new Uint8Array(streamBytes);
    stream.set(first.subarray(signedBytes));
    for (let at = first.length; at < bytes; ) {
      await onProgress(at, bytes);
      const piece = await this.#piece(subscriber, { hash, from: at }, bytes);
      stream.set(piece, at - signedBytes);
      at += piece.length;
    }
    await onProgress(bytes, bytes);
    return { signed, manifest, stream };
  }

  async #length(subscriber: string): Promise<{ readonly hash: Uint8Array; readonly bytes: number }> {
    const answer = await this.#answer(subscriber, undefined, MADE_MS);
    if (answer.kind !== 'answer' || answer.hash === undefined || answer.bytes === undefined)
      throw bad(`${subscriber} does not say what it has`);
    const { hash, bytes } = answer;
    if (bytes > TRANSFER_MAX_BYTES) {
      const text = `${subscriber} has ${bytes} bytes; at most ${TRANSFER_MAX_BYTES} are taken`;
      throw new ProtocolError(ErrorCode.overLimit, text);
    }
    return { hash, bytes };
  }

  /** All pieces but the last are whole, so that no number of them is more than the content needs. */
  async #piece(subscriber: string, piece: NonNullable<Piece>, total: number): Promise<Uint8Array> {
    const answer = await this.#answer(subscriber, piece, PIECE_MS);
    const due = Math.min(CHUNK_BYTES, total - piece.from);
    if (answer.kind === 'chunk' && answer.bytes.length === due) return answer.bytes;
    throw bad(`${subscriber} sends no piece of ${due} bytes from ${piece.from} on`);
  }

  /** Asks until there is an answer, for so long. */
  async #answer(
    subscriber: string,
    piece: Piece,
    patienceMs: number,
  ): Promise<MessageOf<'answer' | 'chunk'>> {
    const untilMs = this.#clock.monotonicMs() + patienceMs;
    for (;;) {
      try {
        const answer = await this.#ask(subscriber, piece);
        if (answer.kind === 'chunk' || answer.ok) return answer;
        throw new ProtocolError(codeOf(answer.code), answer.text ?? 'it has no answer');
      } catch (error) {
        if (!(error instanceof ProtocolError) || !isPassing(error.code)) throw error;
        if (this.#clock.monotonicMs() + PAUSE_MS > untilMs) {
          const text = `${subscriber} did not answer within ${patienceMs / 1000} s: ${error.message}`;
          throw new ProtocolError(ErrorCode.timeout, text, { cause: error });
        }
        await new Promise<void>((resolve) => this.#clock.after(PAUSE_MS, resolve));
      }
    }
  }
}

function isPassing(code: ErrorCode): boolean {
  return code === ErrorCode.timeout || code === ErrorCode.rateLimited;
}

/** Of an ANSWER without an answer: what this side knows, and else that there is none. */
function codeOf(code: string | undefined): ErrorCode {
  const known = [ErrorCode.rateLimited, ErrorCode.unknownRelease, ErrorCode.outOfMemory] as const;
  return known.find((one) => one === code) ?? ErrorCode.notReady;
}

function bad(text: string): ProtocolError {
  return new ProtocolError(ErrorCode.badTransfer, text);
}
