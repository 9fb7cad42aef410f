/**
 * Connections: messages in and out over any bounded byte stream, WIRE.md "Connections". Reading and writing
 * are independent, so a peer that stops reading does not keep us from reading its messages. Unread bytes are
 * bounded, and so is the time that a frame may take. The caller decides how long to wait for a message.
 *
 * ```
 *   send ─▶ encode ─▶ queue, of so many bytes ─▶ header, body ─▶ write … waitWritable …         (one message at a time)
 *   receive ◀─ decode ◀─ frame, in so much time ◀─ FrameDecoder ◀─ read … waitReadable …        (one receive at a time)
 * ```
 */

import { ErrorCode, ProtocolError } from '../error.ts';
import {
  CHUNK_BYTES,
  FRAME_BODY_MAX_BYTES,
  FRAME_HEADER_BYTES,
  FRAME_TIMEOUT_MS,
  READ_BYTES,
  SEND_QUEUE_MAX_BYTES,
  SENT_MESSAGE_COST_BYTES,
} from '../limits.ts';
import { boundText } from '../wire/field.ts';
import { FrameDecoder, FrameEncoder } from '../wire/frame.ts';
import { decodeMessage, encodeMessage, isSkippable, type Message } from '../wire/message.ts';
import { type After, systemAfter } from './clock.ts';

/** The part of a channel that a connection uses; the channels of @rulecast/vchan fit. */
export interface ByteStream {
  readonly state: 'waiting' | 'connected' | 'disconnected';
  /** Why it is disconnected, in words for a log, if known. */
  readonly closeReason?: string | undefined;
  /** It is disconnected because somebody between the ends forbids it: trying again soon is of no use. */
  readonly isForbidden?: boolean;
  /** Bytes that can be read now; also after the peer is gone. */
  dataReady(): number;
  /** Bytes that can be written now. */
  bufferSpace(): number;
  /** At most `maxBytes`, none if nothing is ready. The reader owns them. */
  read(maxBytes: number): Uint8Array;
  /** Takes as many as fit and says how many; they are copied. May throw once disconnected. */
  write(bytes: Uint8Array): number;
  /** Resolves when there is something to read or the stream is disconnected. */
  waitReadable(): Promise<void>;
  /** Resolves when something can be written or the stream is disconnected. */
  waitWritable(): Promise<void>;
  /** Bytes written before still reach the peer. */
  close(): void;
}

export interface Received {
  readonly message: Message;
  /** Ties an answer to its question; 0 without one. */
  readonly transaction: number;
}

/** The result of `sendBytes`. */
export interface SentBytes {
  readonly bytes: number;
  /** SHA-256 of the bytes, for END. */
  readonly sha256: Uint8Array;
}

export interface SendBytesOptions {
  /** Most bytes of a CHUNK, 1 to 65,512. */
  readonly chunkBytes?: number | undefined;
}

export interface ConnectionOptions {
  /** Default `systemAfter`. */
  readonly after?: After;
}

/**
 * Below this, header and body are written together: one call of the channel costs more than copying so few
 * bytes.
 */
const JOIN_BYTES = 8192;

export class Connection {
  readonly #stream: ByteStream;
  readonly #after: After;
  readonly #encoder = new FrameEncoder();
  readonly #decoder = new FrameDecoder();
  #sending: Promise<void> = Promise.resolve(); // settles when everything queued so far is written or failed
  #queued = 0; // messages in the queue, the one being written included
  #queuedBytes = 0; // with the overhead of each message
  #receiving = false;
  #closed = false;
  #fault: ProtocolError | undefined; // why it was closed here, where that is the peer's doing
  #cancelFrameTimer: (() => void) | undefined; // of a partly received frame
  #sent = 0;
  #received = 0;
  #skipped = 0;

  /** The stream is the connection's from here on. */
  constructor(stream: ByteStream, options: ConnectionOptions = {}) {
    this.#stream = stream;
    this.#after = options.after ?? systemAfter;
  }

  /** Bytes that the stream accepted, frame headers included. */
  get bytesSent(): number {
    return this.#sent;
  }

  /** Bytes taken from the stream, frame headers included. */
  get bytesReceived(): number {
    return this.#received;
  }

  /** The number of received messages and fields that are unknown here, but marked as skippable. */
  get skipped(): number {
    return this.#skipped;
  }

  /** Whether `send` would have to wait for messages queued before. */
  get sendPending(): boolean {
    return this.#queued > 0;
  }

  /**
   * Sends a message after those before it; resolves when the stream accepted all its bytes, which are the
   * caller's again then. Rejects with ProtocolError `disconnected` or `sequence-exhausted`; with
   * `not-reading`, ending the connection, where more waits for the peer than the queue may hold; with
   * TypeError or RangeError, sending nothing, if the message itself is wrong.
   */
  async send(message: Message, transaction = 0): Promise<void> {
    const { type, body } = encodeMessage(message);
    if (this.#closed) throw disconnected();
    const cost = body.length + SENT_MESSAGE_COST_BYTES;
    if (this.#queuedBytes + cost > SEND_QUEUE_MAX_BYTES) {
      const text = `the peer reads too little: ${this.#queued} messages wait for it`;
      throw this.#giveUp(new ProtocolError(ErrorCode.notReading, text));
    }
    this.#queued += 1;
    this.#queuedBytes += cost;
    const turn = this.#sending.then(() => this.#write(type, transaction, body));
    this.#sending = turn.catch(() => undefined); // each caller handles its own failure
    try {
      await turn;
    } finally {
      this.#queued -= 1;
      this.#queuedBytes -= cost;
    }
  }

  /**
   * Sends bytes that lie in one piece as CHUNKs, each as large as may be and a view of them: many connections
   * may send the same. Before each `paced` is waited for, and `stopped` asked. Other messages may come in
   * between; BEGIN and END are the caller's, who has to ask `stopped` again right before END. The
   * bytes must not change until it resolves. Rejects as `send` does.
   */
  async sendStream(bytes: Uint8Array, stopped: () => boolean, paced: () => Promise<void>): Promise<void> {
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
      await paced();
      if (stopped()) return;
      await this.send({ kind: 'chunk', bytes: bytes.subarray(at, at + CHUNK_BYTES) });
    }
  }

  /**
   * Sends pieces of bytes in the same way, joined, and returns their length and digest. Rejects as `send`
   * does, and with the errors of `pieces`.
   */
  async sendBytes(
    pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
    { chunkBytes = CHUNK_BYTES }: SendBytesOptions = {},
  ): Promise<SentBytes> {
    const { createHash } = await import('node:crypto'); // loaded on demand
    const digest = createHash('sha256');
    let bytes = 0;
    for await (const chunk of chunksOf(pieces, chunkBytes)) {
      digest.update(chunk);
      bytes += chunk.length;
      await this.send({ kind: 'chunk', bytes: chunk });
    }
    return { bytes, sha256: Uint8Array.from(digest.digest()) };
  }

  /**
   * The next message; undefined when the peer ended between two frames, or after `close`. On a frame or
   * message that is wrong, or too long under way (`timeout`), it tells the peer by BYE if there is room,
   * closes, and rejects with the ProtocolError; with `not-reading` where sending has ended the connection.
   * One call at a time.
   */
  async receive(): Promise<Received | undefined> {
    if (this.#receiving) throw new Error('two receives at once');
    this.#receiving = true;
    try {
      return await this.#next();
    } catch (error) {
      if (error instanceof ProtocolError) this.bye(error.code, error.message);
      else this.close();
      throw error;
    } finally {
      this.#receiving = false;
      this.#stopFrameTimer();
    }
  }

  /** Sends BYE if that needs no waiting (a stuck peer holds up nothing), then closes. */
  bye(code: string, text: string, retryAfterMs?: number): void {
    if (!this.#closed && this.#queued === 0 && this.#stream.state === 'connected') {
      const { type, body } = encodeMessage({ kind: 'bye', code, text: boundText(text), retryAfterMs });
      if (this.#stream.bufferSpace() >= FRAME_HEADER_BYTES + body.length) this.#tryWrite(type, body);
    }
    this.close();
  }

  /** Closes at once: accepted bytes still reach the peer, queued ones are rejected, a receive ends. */
  close(): void {
    this.#closed = true;
    this.#stream.close();
  }

  #skip(): void {
    this.#skipped += 1;
  }

  /** Ends a connection that its peer uses up. */
  #giveUp(fault: ProtocolError): ProtocolError {
    this.#fault ??= fault;
    this.bye(fault.code, fault.message);
    return fault;
  }

  async #next(): Promise<Received | undefined> {
    for (;;) {
      if (this.#fault !== undefined) throw this.#fault;
      if (this.#closed) return undefined;
      const frame = this.#decoder.next();
      if (frame !== undefined) {
        const { type, body, transaction } = frame;
        if (!isSkippable(type)) {
          return { message: decodeMessage(type, body, () => this.#skip()), transaction };
        }
        this.#skip();
        continue;
      }
      if (this.#stream.dataReady() > 0) {
        const bytes = this.#stream.read(READ_BYTES);
        this.#received += bytes.length;
        this.#decoder.feed(bytes);
      } else if (this.#stream.state === 'disconnected') {
        this.#decoder.end();
        return undefined;
      } else {
        if (this.#decoder.partial) this.#startFrameTimer();
        await this.#stream.waitReadable();
      }
    }
  }

  /**
   * Runs from the first wait within a frame to its end, however often a few bytes come, and only while
   * somebody receives.
   */
  #startFrameTimer(): void {
    this.#cancelFrameTimer ??= this.#after(FRAME_TIMEOUT_MS, () => {
      const text = `a frame was not whole within ${FRAME_TIMEOUT_MS / 1000} s`;
      this.#giveUp(new ProtocolError(ErrorCode.timeout, text));
    });
  }

  #stopFrameTimer(): void {
    this.#cancelFrameTimer?.();
    this.#cancelFrameTimer = undefined;
  }

  async #write(type: number, transaction: number, body: Uint8Array): Promise<void> {
    if (this.#closed) throw disconnected();
    if (body.length <= JOIN_BYTES) return this.#writeAll(this.#encoder.frame(type, transaction, body));
    await this.#writeAll(this.#encoder.header(type, transaction, body));
    await this.#writeAll(body);
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    let at = 0;
    while (at < bytes.length) {
      if (this.#stream.state === 'disconnected') throw disconnected();
      const count = this.#writeSome(at === 0 ? bytes : bytes.subarray(at));
      this.#sent += count;
      at += count;
      if (at < bytes.length) await this.#stream.waitWritable();
    }
  }

  #writeSome(bytes: Uint8Array): number {
    try {
      return this.#stream.write(bytes);
    } catch (cause) {
      throw disconnected(cause);
    }
  }

  #tryWrite(type: number, body: Uint8Array): void {
    try {
      this.#sent += this.#stream.write(this.#encoder.frame(type, 0, body));
    } catch {
      // The peer went, or the sequence is used up: BYE is a courtesy, and the connection closes either way.
    }
  }
}

function disconnected(cause?: unknown): ProtocolError {
  return new ProtocolError(ErrorCode.disconnected, 'the connection is closed', { cause });
}

/** Cuts pieces into chunks of `chunkBytes`, the last one shorter; copies only those that must be joined. */
async function* chunksOf(
  pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  chunkBytes: number,
): AsyncGenerator<Uint8Array> {
  if (!(chunkBytes >= 1 && chunkBytes <= FRAME_BODY_MAX_BYTES))
    throw new RangeError(`chunks of ${chunkBytes}`);
  let joined: Uint8Array | undefined; // a chunk that is being filled
  let fill = 0;
  for await (const piece of pieces) {
    let at = 0;
    while (at < piece.length) {
      const left = piece.length - at;
      if (joined === undefined && left >= chunkBytes) {
        yield piece.subarray(at, at + chunkBytes);
        at += chunkBytes;
        continue;
      }
      joined ??= new Uint8Array(chunkBytes);
      const count = Math.min(left, chunkBytes - fill);
      joined.set(piece.subarray(at, at + count), fill);
      at += count;
      fill += count;
      if (fill < chunkBytes) continue;
      yield joined;
      joined = undefined;
      fill = 0;
    }
  }
  if (joined !== undefined) yield joined.subarray(0, fill);
}
