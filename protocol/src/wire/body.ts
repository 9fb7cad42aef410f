/**
 * Control bodies: the subset of MessagePack that small messages are written in, WIRE.md "Control bodies".
 * A body is walked before it is decoded, so that the decoder meets only maps with distinct text keys, arrays,
 * text, bytes, booleans and integers, nested at most four deep and with no length that the body does not
 * hold.
 */

import { isUtf8 } from 'node:buffer';
import { Packr } from 'msgpackr';
import { ErrorCode, ProtocolError } from '../error.ts';
import { CONTROL_BODY_MAX_BYTES } from '../limits.ts';

/** The values in a control body. */
export type BodyValue = string | number | boolean | Uint8Array | readonly BodyValue[] | BodyMap;
export interface BodyMap {
  readonly [key: string]: BodyValue | undefined;
}

/** Maps inside maps: RECORD, its record, a map in that, and one to spare. */
const DEPTH_MAX = 4;

/** Bytes that follow the tags of booleans and of integers: u8, u16, u32, u64, i8, i16, i32, i64. */
const FIXED_BYTES: ReadonlyMap<number, number> = new Map([
  [0xc2, 0],
  [0xc3, 0],
  [0xcc, 1],
  [0xcd, 2],
  [0xce, 4],
  [0xcf, 8],
  [0xd0, 1],
  [0xd1, 2],
  [0xd2, 4],
  [0xd3, 8],
]);

// With useRecords off the coder is plain MessagePack; copyBuffers frees the received frame from the few bytes
// that outlive it.
const coder = new Packr({
  useRecords: false,
  moreTypes: false,
  mapsAsObjects: true,
  variableMapSize: true,
  int64AsType: 'number',
  copyBuffers: true,
});

/** The bytes of a map; fields that are undefined are left out. Throws RangeError over 4,096 bytes. */
export function encodeBody(map: BodyMap): Uint8Array {
  const bytes = coder.pack(packable(map));
  if (bytes.length > CONTROL_BODY_MAX_BYTES) {
    throw new RangeError(`a control body of ${bytes.length} bytes; the most is ${CONTROL_BODY_MAX_BYTES}`);
  }
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** The map in a body. Throws ProtocolError `body-too-long` or `bad-body`. */
export function decodeBody(bytes: Uint8Array): object {
  if (bytes.length > CONTROL_BODY_MAX_BYTES) {
    const message = `a control body has ${bytes.length} bytes; the most is ${CONTROL_BODY_MAX_BYTES}`;
    throw new ProtocolError(ErrorCode.bodyTooLong, message);
  }
  new BodyWalk(bytes).run();
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  let value: unknown;
  try {
    value = coder.unpack(plain);
  } catch (cause) {
    throw new ProtocolError(ErrorCode.badBody, 'a control body cannot be decoded', { cause });
  }
  if (typeof value !== 'object' || value === null) throw refused('is not a map');
  return value;
}

/**
 * A copy for the coder: integers beyond 32 bits as bigint, which it writes as integers where a number would
 * become a float.
 */
function packable(value: BodyValue): unknown {
  if (typeof value === 'number') return value > 0xffff_ffff || value < -0x8000_0000 ? BigInt(value) : value;
  if (typeof value !== 'object' || value instanceof Uint8Array) return value;
  if (isArray(value)) return value.map(packable);
  const copy: Record<string, unknown> = {};
  for (const [key, field] of Object.entries(value)) if (field !== undefined) copy[key] = packable(field);
  return copy;
}

function isArray(value: readonly BodyValue[] | BodyMap): value is readonly BodyValue[] {
  return Array.isArray(value);
}

function refused(what: string): ProtocolError {
  return new ProtocolError(ErrorCode.badBody, `a control body ${what}`);
}

/** One pass over a body that decodes nothing. */
class BodyWalk {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  run(): void {
    if (!isMapTag(this.#bytes[0])) throw refused('is not a map');
    this.#value(0);
    if (this.#at !== this.#bytes.length) throw refused('goes on after its map');
  }

  #value(depth: number): void {
    const tag = this.#uint(1);
    const fixedBytes = FIXED_BYTES.get(tag);
    if (tag <= 0x7f || tag >= 0xe0) return; // small integers
    if (tag <= 0x8f) this.#map(tag & 0x0f, depth);
    else if (tag <= 0x9f) this.#array(tag & 0x0f, depth);
    else if (tag <= 0xbf) this.#text(tag & 0x1f);
    else if (fixedBytes !== undefined) this.#skip(fixedBytes);
    else if (tag === 0xc4) this.#skip(this.#uint(1));
    else if (tag === 0xc5) this.#skip(this.#uint(2));
    else if (tag === 0xd9) this.#text(this.#uint(1));
    else if (tag === 0xda) this.#text(this.#uint(2));
    else if (tag === 0xdc) this.#array(this.#uint(2), depth);
    else if (tag === 0xde) this.#map(this.#uint(2), depth);
    else
      throw refused(`holds the tag 0x${tag.toString(16)}: no nil, float, extension or 32-bit length may be`);
  }

  #map(count: number, depth: number): void {
    if (depth >= DEPTH_MAX) throw refused(`is nested deeper than ${DEPTH_MAX}`);
    const keys = new Set<string>();
    for (let i = 0; i < count; i++) {
      const key = this.#key();
      if (keys.has(key)) throw refused('has a key twice');
      if (key === '__proto__') throw refused('has the key __proto__');
      keys.add(key);
      this.#value(depth + 1);
    }
  }

  #key(): string {
    const tag = this.#uint(1);
    const byteCount = tag >= 0xa0 && tag <= 0xbf ? tag & 0x1f : tag === 0xd9 ? this.#uint(1) : -1;
    if (byteCount < 0) throw refused('has a key that is not short text');
    const start = this.#at;
    this.#text(byteCount);
    return String.fromCharCode(...this.#bytes.subarray(start, this.#at));
  }

  #array(count: number, depth: number): void {
    if (depth >= DEPTH_MAX) throw refused(`is nested deeper than ${DEPTH_MAX}`);
    if (count > this.#bytes.length - this.#at) throw refused('claims more than it holds');
    for (let i = 0; i < count; i++) this.#value(depth + 1);
  }

  #text(byteCount: number): void {
    const start = this.#at;
    this.#skip(byteCount);
    if (!isUtf8(this.#bytes.subarray(start, this.#at))) throw refused('holds text that is not UTF-8');
  }

  #skip(byteCount: number): void {
    if (byteCount > this.#bytes.length - this.#at) throw refused('claims more than it holds');
    this.#at += byteCount;
  }

  #uint(byteCount: 1 | 2): number {
    const start = this.#at;
    this.#skip(byteCount);
    return byteCount === 1 ? this.#view.getUint8(start) : this.#view.getUint16(start);
  }
}

function isMapTag(tag: number | undefined): boolean {
  return tag !== undefined && ((tag >= 0x80 && tag <= 0x8f) || tag === 0xde);
}
