/**
 * Packed bodies: names, policies and resolutions are sent deflated if that is shorter. CONTENT.md "Delta and
 * snapshot".
 *
 *   0 | bytes                                 as they are
 *   1 | raw length u32 | deflate, RFC 1951    at most 64 MiB when inflated
 */

import { deflateRawSync } from 'node:zlib';
import { inflateExactly, roomFor } from '../bytes/inflate.ts';
import type { ByteReader } from '../bytes/reader.ts';
import { ByteWriter } from '../bytes/writer.ts';
import type { PartBounds } from '../content/budget.ts';
import { Work } from '../content/work.ts';
import { INFLATED_MAX_BYTES } from '../limits.ts';

const Packing = { raw: 0, deflate: 1 } as const;

/** Our choice: on rules level 4 takes half the time of 6, for 3 % more bytes; on names both take the same. */
export const PackLevel = { rules: 4, names: 6 } as const;
/** Below this, deflate cannot win back its header. Our choice. */
const DEFLATE_LEAST_BYTES = 32;

/**
 * Whether bodies may be deflated: readers without inflate are sent the same parts as they are. Encoding is
 * synchronous, so that the choice is made once, where it begins, and not handed down to each part.
 */
let mayDeflate = true;

/** The result of `encode` with deflate turned off. */
export function withoutDeflate<T>(encode: () => T): T {
  const before = mayDeflate;
  mayDeflate = false;
  try {
    return encode();
  } finally {
    mayDeflate = before;
  }
}

/** The body in its shorter form. */
export function pack(bytes: Uint8Array, level: number = PackLevel.rules): Uint8Array {
  const writer = new ByteWriter(bytes.length + 5);
  const isWorthIt = bytes.length >= DEFLATE_LEAST_BYTES && bytes.length <= INFLATED_MAX_BYTES;
  const short =
    mayDeflate && isWorthIt ? deflateRawSync(bytes, { level, chunkSize: roomFor(bytes.length) }) : undefined;
  if (short !== undefined && short.length + 4 < bytes.length) {
    writer.u8(Packing.deflate);
    writer.u32(bytes.length);
    writer.bytes(short);
  } else {
    writer.u8(Packing.raw);
    writer.bytes(bytes);
  }
  return writer.take();
}

/**
 * A reader of the unpacked rest of `reader`. Inflates no more than the announced and permitted length; a
 * length beyond the room is refused with the error of `bounds`.
 */
export function unpack(reader: ByteReader, { bytes, code, meter }: PartBounds): ByteReader {
  const packing = reader.u8();
  if (packing === Packing.raw) {
    meter.spend(reader.remaining * Work.byte);
    return reader.nested(reader.remaining);
  }
  if (packing !== Packing.deflate) throw reader.error(`unknown packing ${packing}`);
  const length = reader.u32();
  if (length > INFLATED_MAX_BYTES) throw reader.error(`a body that inflates to ${length} bytes is too long`);
  if (length > bytes)
    throw reader.error(`a body that inflates to ${length} bytes, more than it can need`, undefined, code);
  meter.spend(length * Work.byte);
  const raw = inflateExactly(reader.bytes(reader.remaining), length);
  if (raw === undefined) throw reader.error(`a body that does not inflate to just ${length} bytes`);
  return reader.over(raw);
}
