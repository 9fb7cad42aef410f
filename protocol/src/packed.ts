/**
 * Packed bodies: names, policies and resolutions travel deflated where that is shorter. PROTOCOL.md "Delta and snapshot".
 *
 *   0 | bytes                                 as they are
 *   1 | raw length u32 | deflate, RFC 1951    at most 64 MiB when inflated
 */

import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { type ByteReader, ByteWriter } from './bytes.ts';
import { INFLATED_MAX_BYTES } from './limits.ts';

const Packing = { raw: 0, deflate: 1 } as const;

/** Below this, deflate cannot win back its header. Our choice. */
const DEFLATE_LEAST_BYTES = 32;
/** RFC 1951: a byte of deflate never stands for more than 1,032 bytes. */
const EXPANSION_MAX = 1032;

/** The body in its shorter form. */
export function pack(bytes: Uint8Array): Uint8Array {
  const writer = new ByteWriter(bytes.length + 5);
  const deflated =
    bytes.length >= DEFLATE_LEAST_BYTES && bytes.length <= INFLATED_MAX_BYTES
      ? deflateRawSync(bytes, { level: constants.Z_DEFAULT_COMPRESSION })
      : undefined;
  if (deflated !== undefined && deflated.length + 4 < bytes.length) {
    writer.u8(Packing.deflate);
    writer.u32(bytes.length);
    writer.bytes(deflated);
  } else {
    writer.u8(Packing.raw);
    writer.bytes(bytes);
  }
  return writer.take();
}

/** A reader of what the rest of `reader` holds packed. Nothing is inflated beyond the announced and permitted length. */
export function unpack(reader: ByteReader): ByteReader {
  const packing = reader.u8();
  if (packing === Packing.raw) return reader.nested(reader.remaining);
  if (packing !== Packing.deflate) throw reader.error(`unknown packing ${packing}`);
  const length = reader.u32();
  if (length > INFLATED_MAX_BYTES || length > reader.remaining * EXPANSION_MAX) {
    throw reader.error(`a body that inflates to ${length} bytes is too long`);
  }
  return reader.over(inflated(reader, reader.bytes(reader.remaining), length));
}

function inflated(reader: ByteReader, bytes: Uint8Array, length: number): Uint8Array {
  let result: unknown;
  try {
    // `info` also returns the engine, which alone tells whether bytes follow the deflate stream.
    result = inflateRawSync(bytes, { maxOutputLength: Math.max(1, length), info: true });
  } catch {
    throw reader.error('a body that does not inflate to its length');
  }
  const { raw, read } = outcomeOf(result);
  if (raw.length !== length) throw reader.error(`a body of ${raw.length} bytes announced as ${length}`);
  if (read !== bytes.length)
    throw reader.error(`${bytes.length - read} bytes too many after a deflated body`);
  return raw;
}

/** What zlib made of the bytes, and how many of them it read. */
function outcomeOf(result: unknown): { readonly raw: Uint8Array; readonly read: number } {
  if (typeof result === 'object' && result !== null && 'buffer' in result && 'engine' in result) {
    const { buffer: raw, engine } = result;
    if (typeof engine === 'object' && engine !== null && 'bytesWritten' in engine) {
      const { bytesWritten: read } = engine;
      if (raw instanceof Uint8Array && typeof read === 'number') return { raw, read };
    }
  }
  throw new TypeError('zlib returned no engine beside its output');
}
