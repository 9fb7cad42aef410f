/**
 * The page of a release: its manifest with signatures, its required capabilities, and the objects to read it
 * from. A page is not signed: a wrong one leads to streams that do not verify. DEPOT.md "Page".
 *
 *   RCI1 | manifest with signatures: length u16, bytes
 *        | capability count u8 | capability text8 ...
 *        | piece count u8 | reference ...                         the snapshot: its pieces are one stream
 *        | delta count u8 | base 8, reference ...                 the first bytes of the hash of the base
 */

import { ByteReader } from '../bytes/reader.ts';
import { ByteWriter } from '../bytes/writer.ts';
import { joinSigned, type Signed, splitSigned } from '../content/signature-block.ts';
import { ErrorCode, ProtocolError } from '../error.ts';
import {
  CAPABILITIES_MAX,
  DEPOT_BASE_BYTES,
  DEPOT_DELTAS_MAX,
  DEPOT_PAGE_MAX_BYTES,
  DEPOT_PIECES_MAX,
} from '../limits.ts';
import { isCode } from '../wire/field.ts';
import { type ObjectReference, readReference, writeReference } from './object.ts';

const TAG = 'RCI1';

export interface DepotPage {
  /** The signed manifest. */
  readonly signed: Signed;
  /** The capabilities that a firewall needs for the release. */
  readonly capabilities: readonly string[];
  /** Streams that are one stream together: an older snapshot, and chains of deltas up to the release. */
  readonly snapshot: readonly ObjectReference[];
  readonly deltas: readonly DepotDelta[];
}

/** A stream from an older release. */
export interface DepotDelta extends ObjectReference {
  /** The first DEPOT_BASE_BYTES of the older release's hash. */
  readonly base: Uint8Array;
}

/** Throws RangeError for one that could not be decoded again. */
export function encodeDepotPage({ signed, capabilities, snapshot, deltas }: DepotPage): Uint8Array {
  const fault = countFault(capabilities.length, snapshot.length, deltas.length);
  if (fault !== undefined) throw new RangeError(fault);
  const manifest = joinSigned(signed);
  const writer = new ByteWriter(manifest.length + 512);
  writer.ascii(TAG);
  writer.u16(manifest.length);
  writer.bytes(manifest);
  writer.u8(capabilities.length);
  for (const code of capabilities) writer.shortText(code);
  writer.u8(snapshot.length);
  for (const piece of snapshot) writeReference(writer, piece);
  writer.u8(deltas.length);
  for (const delta of deltas) {
    writer.bytes(delta.base);
    writeReference(writer, delta);
  }
  return writer.take();
}

/** Throws ProtocolError `bad-depot`. */
export function decodeDepotPage(bytes: Uint8Array): DepotPage {
  if (bytes.length > DEPOT_PAGE_MAX_BYTES)
    throw new ProtocolError(ErrorCode.badDepot, `a page of ${bytes.length} bytes`);
  const reader = new ByteReader(bytes, ErrorCode.badDepot);
  if (reader.text(4) !== TAG) throw reader.error(`the tag is not ${TAG}`);
  const signed = splitSigned(reader.bytes(reader.u16()), ErrorCode.badDepot);
  const many = <T>(read: () => T): readonly T[] => Array.from({ length: reader.u8() }, read);
  const capabilities = many(() => reader.shortText());
  const snapshot = many(() => readReference(reader));
  const deltas = many(() => ({ base: reader.bytes(DEPOT_BASE_BYTES).slice(), ...readReference(reader) }));
  reader.end();
  const fault = countFault(capabilities.length, snapshot.length, deltas.length);
  if (fault !== undefined) throw reader.error(fault);
  if (!capabilities.every(isCode)) throw reader.error('a capability that is no code');
  return { signed, capabilities, snapshot, deltas };
}

/** The delta from a release, by its hash. */
export function deltaFrom({ deltas }: DepotPage, hash: Uint8Array): DepotDelta | undefined {
  return deltas.find(({ base }) => Buffer.compare(base, hash.subarray(0, DEPOT_BASE_BYTES)) === 0);
}

function countFault(capabilities: number, pieces: number, deltas: number): string | undefined {
  if (capabilities > CAPABILITIES_MAX) return `${capabilities} capabilities`;
  if (pieces === 0 || pieces > DEPOT_PIECES_MAX) return `a snapshot of ${pieces} pieces`;
  if (deltas > DEPOT_DELTAS_MAX) return `${deltas} deltas`;
  return undefined;
}
