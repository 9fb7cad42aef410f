/**
 * The head of a depot: which release is the newest, signed by the freshness role for a few minutes. It is the
 * one file of a depot that changes. DEPOT.md "Head".
 *
 *   RCH1 | lineage 16 | root number u64 | root hash 32 | roots: reference | sequence u64
 *        | issued u64 s | expires u64 s | epoch u64 | version u64 | manifest hash 32 | page: reference
 */

import { ByteReader } from '../bytes/reader.ts';
import { ByteWriter } from '../bytes/writer.ts';
import type { Signed } from '../content/signature-block.ts';
import { splitSigned } from '../content/signature-block.ts';
import { ErrorCode, ProtocolError } from '../error.ts';
import { DEPOT_HEAD_MAX_BYTES, EXPIRE_MAX_SECONDS, HASH_BYTES, LINEAGE_BYTES } from '../limits.ts';
import { type ObjectReference, readReference, writeReference } from './object.ts';

const TAG = 'RCH1';
const HEAD_BYTES = 204;

export interface DepotHead {
  readonly lineage: Uint8Array;
  /** Number of the root in force. */
  readonly rootNumber: number;
  readonly rootHash: Uint8Array;
  /** The chain of roots, as a file. */
  readonly roots: ObjectReference;
  /** Grows with each head of a root, and never comes twice. */
  readonly sequence: number;
  /** Both seconds since 1970, by the publisher's clock. */
  readonly issued: number;
  readonly expires: number;
  /** The newest release. */
  readonly epoch: number;
  readonly version: number;
  readonly hash: Uint8Array;
  readonly page: ObjectReference;
}

/** Throws RangeError for one that could not be decoded again. */
export function encodeDepotHead(head: DepotHead): Uint8Array {
  const fault = headFault(head);
  if (fault !== undefined) throw new RangeError(fault);
  const writer = new ByteWriter(HEAD_BYTES);
  writer.ascii(TAG);
  writer.bytes(head.lineage);
  writer.u64(head.rootNumber);
  writer.bytes(head.rootHash);
  writeReference(writer, head.roots);
  for (const number of [head.sequence, head.issued, head.expires, head.epoch, head.version])
    writer.u64(number);
  writer.bytes(head.hash);
  writeReference(writer, head.page);
  return writer.take();
}

/** Decodes the head of a depot; verifying it is the caller's task. Throws ProtocolError `bad-depot`. */
export function readDepotHead(bytes: Uint8Array): Signed & { readonly head: DepotHead } {
  if (bytes.length > DEPOT_HEAD_MAX_BYTES)
    throw new ProtocolError(ErrorCode.badDepot, `a head of ${bytes.length} bytes`);
  const signed = splitSigned(bytes, ErrorCode.badDepot);
  const reader = new ByteReader(signed.content, ErrorCode.badDepot);
  if (reader.text(4) !== TAG) throw reader.error(`the tag is not ${TAG}`);
  const head = {
    lineage: reader.bytes(LINEAGE_BYTES).slice(),
    rootNumber: reader.u64(),
    rootHash: reader.bytes(HASH_BYTES).slice(),
    roots: readReference(reader),
    sequence: reader.u64(),
    issued: reader.u64(),
    expires: reader.u64(),
    epoch: reader.u64(),
    version: reader.u64(),
    hash: reader.bytes(HASH_BYTES).slice(),
    page: readReference(reader),
  };
  reader.end();
  const fault = headFault(head);
  if (fault !== undefined) throw reader.error(fault);
  return { ...signed, head };
}

/** Orders verified heads: by root, then sequence, so that a stolen key cannot outrun the next root. */
export function compareHead(
  a: Pick<DepotHead, 'rootNumber' | 'sequence'>,
  b: Pick<DepotHead, 'rootNumber' | 'sequence'>,
): number {
  return a.rootNumber - b.rootNumber || a.sequence - b.sequence;
}

function headFault({ rootNumber, version, issued, expires }: DepotHead): string | undefined {
  if (rootNumber === 0) return 'root 0';
  if (version === 0) return 'version 0';
  if (expires < issued || expires > EXPIRE_MAX_SECONDS) return `issued ${issued}, expires ${expires}`;
  return undefined;
}
