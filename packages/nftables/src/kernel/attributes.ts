/**
 * Writes and reads netlink messages of nf_tables: linux/netlink.h, nfnetlink.h and nf_tables.h, which never
 * change.
 *
 *   nlmsghdr: u32 length │ u16 type │ u16 flags │ u32 sequence │ u32 port      in the byte order of the machine
 *   nfgenmsg: u8 family │ u8 version │ u16 resource                           from here on big-endian
 *   attributes: u16 length │ u16 type (lengths and types as the machine has them), value, padding to 4 bytes
 */

/** Its type, and its value: a u32, a text, bytes as they are, or attributes. */
export type Attribute = readonly [type: number, value: number | string | Uint8Array | readonly Attribute[]];

const NESTED = 0x8000;
const TYPE_BITS = 0x3fff;
const MESSAGE_HEADER_BYTES = 20;
/** No message of ours is larger: an attribute's length has 16 bits, and each has one large attribute. */
const MESSAGE_MAX_BYTES = 66_560;

/** Writes messages one after another. */
export class MessageWriter {
  #bytes = Buffer.alloc(8 * MESSAGE_MAX_BYTES);
  #words = this.#asWords();
  #length = 0;
  #sequence = 0;

  /** The bytes written, valid until the next message. */
  get bytes(): Buffer {
    return this.#bytes;
  }

  get length(): number {
    return this.#length;
  }

  /** The next message is the first again. */
  clear(): void {
    this.#length = 0;
    this.#sequence = 0;
  }

  /** Writes a message, its attributes by `put`. Messages are numbered from 1. */
  message(type: number, flags: number, family: number, resource: number, put?: () => void): void {
    if (this.#length + MESSAGE_MAX_BYTES > this.#bytes.length) {
      this.#bytes = Buffer.concat([this.#bytes, Buffer.alloc(this.#bytes.length)]);
      this.#words = this.#asWords();
    }
    const start = this.#length;
    this.#words[(start >> 2) + 1] = (flags << 16) | type;
    this.#words[(start >> 2) + 2] = ++this.#sequence;
    this.#words[(start >> 2) + 3] = 0;
    this.#bytes[start + 16] = family;
    this.#bytes[start + 17] = 0;
    this.#bytes.writeUInt16BE(resource, start + 18);
    this.#length += MESSAGE_HEADER_BYTES;
    put?.();
    this.#words[start >> 2] = this.#length - start;
  }

  attributes(attributes: readonly Attribute[]): void {
    for (let i = 0; i < attributes.length; i++) {
      const [type, value] = attributes[i]!; // i < length
      if (typeof value === 'number') {
        this.header(type, 4);
        this.word(value);
      } else if (typeof value === 'string') this.#text(type, value);
      else if (value instanceof Uint8Array) {
        this.header(type, value.length);
        this.#words[this.#length >> 2] = 0; // of the padding, where it is one word
        this.#words[(this.#length + value.length) >> 2] = 0;
        this.#bytes.set(value, this.#length);
        this.#length += (value.length + 3) & ~3;
      } else {
        const start = this.#length;
        this.#length += 4;
        this.attributes(value);
        this.#endNest(start, type);
      }
    }
  }

  /** An attribute of attributes. */
  nest(type: number, put: () => void): void {
    const start = this.#length;
    this.#length += 4;
    put();
    this.#endNest(start, type);
  }

  #endNest(start: number, type: number): void {
    this.#words[start >> 2] = ((type | NESTED) << 16) | (this.#length - start);
  }

  /** The head of an attribute of so many bytes, which follow. */
  header(type: number, bytes: number): void {
    this.#words[this.#length >> 2] = (type << 16) | (bytes + 4);
    this.#length += 4;
  }

  /** Big-endian. */
  word(value: number): void {
    this.#words[this.#length >> 2] = bigEndian(value);
    this.#length += 4;
  }

  /**
   * Elements of a set, [from, to) of `keys`, by words, as a list has a million: three headers that are always
   * the same, and the key.
   */
  keys(keys: Uint32Array, from: number, to: number, stride: number): void {
    const keyBytes = stride * 4;
    const [element, key, value] = [12, 8, 4].map(
      (more, depth) => ((depth < 2 ? 1 | NESTED : 1) << 16) | (more + keyBytes),
    ) as [number, number, number]; // of three
    const words = this.#words;
    let at = this.#length >> 2;
    for (let i = from; i < to; i += stride) {
      words[at++] = element;
      words[at++] = key;
      words[at++] = value;
      for (let w = i; w < i + stride; w++) words[at++] = bigEndian(keys[w]!); // within the keys
    }
    this.#length = at << 2;
  }

  #text(type: number, text: string): void {
    const start = this.#length;
    const end = start + 4 + this.#bytes.write(text, start + 4, 'latin1');
    const padded = (end + 1 + 3) & ~3;
    this.#bytes.fill(0, end, padded);
    this.#words[start >> 2] = (type << 16) | (end + 1 - start);
    this.#length = padded;
  }

  #asWords(): Uint32Array {
    return new Uint32Array(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.length >> 2);
  }
}

/** A received message. */
export interface Message {
  readonly type: number;
  readonly flags: number;
  /** After the netlink header; valid until the next answer is read. */
  readonly body: Buffer;
}

/** The messages of an answer. */
export function* messagesIn(bytes: Buffer): Generator<Message> {
  for (let at = 0; at + 16 <= bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    if (length < 16) return;
    const body = bytes.subarray(at + 16, at + length);
    yield { type: bytes.readUInt16LE(at + 4), flags: bytes.readUInt16LE(at + 6), body };
    at += Math.ceil(length / 4) * 4; // within 32 bits, so it stays positive
  }
}

/** An attribute of a message, whose attributes follow its nfgenmsg. */
export function attribute(body: Buffer, type: number): Buffer | undefined {
  return within(body.subarray(4), type);
}

/** An attribute of attributes. */
export function within(attributes: Buffer | undefined, type: number): Buffer | undefined {
  for (const each of attributesOf(attributes)) if (each.type === type) return each.value;
  return undefined;
}

export function* attributesOf(
  bytes: Buffer | undefined,
): Generator<{ readonly type: number; readonly value: Buffer }> {
  for (let at = 0; bytes !== undefined && at + 4 <= bytes.length; ) {
    const length = bytes.readUInt16LE(at);
    if (length < 4) return;
    yield { type: bytes.readUInt16LE(at + 2) & TYPE_BITS, value: bytes.subarray(at + 4, at + length) };
    at += (length + 3) & ~3;
  }
}

export function textOf(value: Buffer | undefined): string {
  return value === undefined ? '' : value.toString('latin1', 0, Math.max(0, value.length - 1));
}

/** The machine is little-endian, as every one that Node runs on with Linux and nftables, but for s390x. */
function bigEndian(value: number): number {
  return (value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24);
}
