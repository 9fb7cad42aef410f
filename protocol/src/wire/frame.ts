/**
 * Frames, the envelopes of all messages, WIRE.md "Frames". A reader knows a frame's length before its body,
 * checks every field against the one value it may have, and never looks for the next frame after a bad one.
 *
 * ```
 * 0       4         5      6       8             12         16       20         24
 *  | magic | version | type | flags | transaction | sequence | length | checksum | body …
 *  | u32   | u8      | u8   | u16   | u32         | u32      | u32    | u32      | length bytes
 * ```
 * All fields are little-endian. The checksum is CRC-32 (IEEE 802.3, as in zlib) of bytes 0..19 and the body.
 */

import { crc32 } from 'node:zlib';
import { ErrorCode, ProtocolError } from '../error.ts';
import {
  FRAME_BODY_MAX_BYTES,
  FRAME_HEADER_BYTES,
  FRAME_MAGIC,
  GREETING_VERSION,
  PROTOCOL_VERSION,
  SEQUENCE_MAX,
} from '../limits.ts';
import { MessageType } from './message.ts';

export interface Frame {
  /** Kind of message, 0..255; whether it exists is the message layer's business. */
  readonly type: number;
  /** Ties an answer to its question; 0 without one. */
  readonly transaction: number;
  /** The caller's from here on. May be a view of the bytes that were fed. */
  readonly body: Uint8Array;
}

/** A header that passed every check that needs no body. */
interface Header {
  readonly type: number;
  readonly transaction: number;
  readonly bodyBytes: number;
  readonly checksum: number;
  /** CRC-32 of the header's first 20 bytes, to be continued over the body. */
  readonly headerChecksum: number;
}

const VERSION_AT = 4;
const TYPE_AT = 5;
const FLAGS_AT = 6;
const TRANSACTION_AT = 8;
const SEQUENCE_AT = 12;
const LENGTH_AT = 16;
const CHECKSUM_AT = 20;

const NO_BYTES = new Uint8Array(0);
/** Types that a peer of any version reads. */
const GREETINGS: readonly number[] = [
  MessageType.hello,
  MessageType.welcome,
  MessageType.greet,
  MessageType.relay,
  MessageType.bye,
];

/** The version byte of frames of a type. */
function versionOf(type: number): number {
  return GREETINGS.includes(type) ? GREETING_VERSION : PROTOCOL_VERSION;
}

/** Encodes and numbers the frames of one direction of one connection. */
export class FrameEncoder {
  #sequence: number;

  /** `sequence` is the number of the first frame; on the wire it is 0. */
  constructor(sequence = 0) {
    this.#sequence = sequence;
  }

  /**
   * The header of the next frame: 24 bytes, to be followed at once by `body`. Throws RangeError if the body
   * has over 65,512 bytes or another field does not fit, and ProtocolError `sequence-exhausted` after 2^32
   * frames: then the connection must be closed and opened again.
   */
  header(type: number, transaction: number, body: Uint8Array): Uint8Array {
    if (body.length > FRAME_BODY_MAX_BYTES) throw new RangeError(`a frame's body has ${body.length} bytes`);
    if (type !== (type & 0xff) || transaction !== transaction >>> 0) {
      throw new RangeError(`a frame of type ${type}, transaction ${transaction}`);
    }
    if (this.#sequence > SEQUENCE_MAX) {
      throw new ProtocolError(ErrorCode.sequenceExhausted, 'all 2^32 frames of this connection are used up');
    }
    const header = new Uint8Array(FRAME_HEADER_BYTES);
    const view = new DataView(header.buffer);
    view.setUint32(0, FRAME_MAGIC, true);
    header[VERSION_AT] = versionOf(type);
    header[TYPE_AT] = type;
    view.setUint32(TRANSACTION_AT, transaction, true);
    view.setUint32(SEQUENCE_AT, this.#sequence, true);
    view.setUint32(LENGTH_AT, body.length, true);
    view.setUint32(CHECKSUM_AT, crc32(body, crc32(header.subarray(0, CHECKSUM_AT))), true);
    this.#sequence += 1;
    return header;
  }

  /** The next frame whole, copied together; errors as for `header`. */
  frame(type: number, transaction: number, body: Uint8Array): Uint8Array {
    const header = this.header(type, transaction, body);
    const frame = new Uint8Array(FRAME_HEADER_BYTES + body.length);
    frame.set(header);
    frame.set(body, FRAME_HEADER_BYTES);
    return frame;
  }
}

/**
 * Cuts one direction of a connection into frames: feed bytes, take frames until there is none, feed again. A
 * body that lies whole in the bytes fed is handed on as a view of them; any other is copied once. At most one
 * body is buffered.
 */
export class FrameDecoder {
  #input: Uint8Array = NO_BYTES; // fed and not yet used from `inputAt` on
  #inputAt = 0;
  readonly #headerBytes = new Uint8Array(FRAME_HEADER_BYTES); // of a header received in pieces
  #headerFill = 0;
  #header: Header | undefined; // of the frame whose body is still to come
  #body: Uint8Array = NO_BYTES; // of a body received in pieces
  #bodyFill = 0;
  #sequence: number; // the number the next frame must have
  #failure: ProtocolError | undefined;

  /** `sequence` is the number of the first frame; on the wire it is 0. */
  constructor(sequence = 0) {
    this.#sequence = sequence;
  }

  /** Whether bytes of an unfinished frame are held. */
  get partial(): boolean {
    return this.#headerFill > 0 || this.#header !== undefined || this.#inputAt < this.#input.length;
  }

  /**
   * Takes over `bytes`: neither side may change them afterwards. All frames fed before must have been taken.
   */
  feed(bytes: Uint8Array): void {
    if (this.#inputAt < this.#input.length) throw new Error('bytes fed while frames wait to be taken');
    this.#input = bytes;
    this.#inputAt = 0;
  }

  /**
   * The next frame, or undefined until more is fed. Throws ProtocolError; after that it throws the same one
   * for ever.
   */
  next(): Frame | undefined {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      this.#header ??= this.#takeHeader();
      return this.#header === undefined ? undefined : this.#takeFrame(this.#header);
    } catch (error) {
      if (error instanceof ProtocolError) this.#failure = error;
      this.#input = NO_BYTES;
      this.#inputAt = 0;
      throw error;
    }
  }

  /** Signals the end of the bytes. Throws ProtocolError `truncated` inside a frame. */
  end(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.partial)
      throw new ProtocolError(ErrorCode.truncated, 'the connection ended in the middle of a frame');
  }

  #takeHeader(): Header | undefined {
    const available = this.#input.length - this.#inputAt;
    if (this.#headerFill === 0 && available >= FRAME_HEADER_BYTES) {
      const bytes = this.#input.subarray(this.#inputAt, this.#inputAt + FRAME_HEADER_BYTES);
      this.#inputAt += FRAME_HEADER_BYTES;
      return this.#check(bytes);
    }
    const count = Math.min(available, FRAME_HEADER_BYTES - this.#headerFill);
    this.#headerBytes.set(this.#input.subarray(this.#inputAt, this.#inputAt + count), this.#headerFill);
    this.#inputAt += count;
    this.#headerFill += count;
    if (this.#headerFill < FRAME_HEADER_BYTES) return undefined;
    this.#headerFill = 0;
    return this.#check(this.#headerBytes);
  }

  #check(bytes: Uint8Array): Header {
    const header = checkHeader(bytes, this.#sequence);
    this.#sequence += 1;
    return header;
  }

  #takeFrame(header: Header): Frame | undefined {
    const body = this.#takeBody(header.bodyBytes);
    if (body === undefined) return undefined;
    this.#header = undefined;
    if (crc32(body, header.headerChecksum) !== header.checksum) {
      throw new ProtocolError(
        ErrorCode.badChecksum,
        `the checksum of frame ${this.#sequence - 1} does not match`,
      );
    }
    return { type: header.type, transaction: header.transaction, body };
  }

  /**
   * The body once it is complete; the buffer for one that comes in pieces is made after its length was
   * checked.
   */
  #takeBody(bodyBytes: number): Uint8Array | undefined {
    const available = this.#input.length - this.#inputAt;
    if (this.#bodyFill === 0 && available >= bodyBytes) {
      const body = this.#input.subarray(this.#inputAt, this.#inputAt + bodyBytes);
      this.#inputAt += bodyBytes;
      return body;
    }
    if (available === 0) return undefined;
    if (this.#bodyFill === 0) this.#body = new Uint8Array(bodyBytes);
    const count = Math.min(available, bodyBytes - this.#bodyFill);
    this.#body.set(this.#input.subarray(this.#inputAt, this.#inputAt + count), this.#bodyFill);
    this.#inputAt += count;
    this.#bodyFill += count;
    if (this.#bodyFill < bodyBytes) return undefined;
    const body = this.#body;
    this.#body = NO_BYTES;
    this.#bodyFill = 0;
    return body;
  }
}

/** Everything about a header that can be wrong without its body; throws ProtocolError. */
function checkHeader(bytes: Uint8Array, sequence: number): Header {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== FRAME_MAGIC) {
    throw new ProtocolError(ErrorCode.badMagic, 'the peer does not speak this protocol');
  }
  const type = view.getUint8(TYPE_AT);
  const version = view.getUint8(VERSION_AT);
  if (version !== versionOf(type)) {
    const text = `a frame of type ${type} is of version ${version}, not ${versionOf(type)}`;
    throw new ProtocolError(ErrorCode.badFrameVersion, text);
  }
  const flags = view.getUint16(FLAGS_AT, true);
  if (flags !== 0) {
    throw new ProtocolError(ErrorCode.badFlags, `flags 0x${flags.toString(16)} are set; there are none`);
  }
  const bodyBytes = view.getUint32(LENGTH_AT, true);
  if (bodyBytes > FRAME_BODY_MAX_BYTES) {
    const message = `a frame's body has ${bodyBytes} bytes; the most is ${FRAME_BODY_MAX_BYTES}`;
    throw new ProtocolError(ErrorCode.badLength, message);
  }
  const received = view.getUint32(SEQUENCE_AT, true);
  if (received !== sequence) {
    throw new ProtocolError(ErrorCode.badSequence, `frame ${received} came where ${sequence} was due`);
  }
  return {
    type,
    transaction: view.getUint32(TRANSACTION_AT, true),
    bodyBytes,
    checksum: view.getUint32(CHECKSUM_AT, true),
    headerChecksum: crc32(bytes.subarray(0, CHECKSUM_AT)),
  };
}
