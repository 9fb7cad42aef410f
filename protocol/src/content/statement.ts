/**
 * Statements of freshness: which release is the newest, signed for the asker's nonce. Its own tag keeps a
 * signature of one from meaning a release or a root. WIRE.md "Freshness".
 *
 *   RCF1 | nonce 16 | lineage 16 | root hash 32 | epoch u64 | version u64 | manifest hash 32
 */

import { ByteReader } from '../bytes/reader.ts';
import { ByteWriter } from '../bytes/writer.ts';
import { ErrorCode, ProtocolError } from '../error.ts';
import { HASH_BYTES, LINEAGE_BYTES, NONCE_BYTES, STATEMENT_BYTES } from '../limits.ts';

const TAG = 'RCF1';

export interface Statement {
  /** The asker's nonce, never used before. */
  readonly nonce: Uint8Array;
  readonly lineage: Uint8Array;
  /** The hash of the root in force. */
  readonly root: Uint8Array;
  /** The epoch of the newest release; 0, like the version, and a hash of zeros, if there is none. */
  readonly epoch: number;
  readonly version: number;
  readonly hash: Uint8Array;
}

export function encodeStatement({ nonce, lineage, root, epoch, version, hash }: Statement): Uint8Array {
  const writer = new ByteWriter(STATEMENT_BYTES);
  writer.ascii(TAG);
  for (const bytes of [nonce, lineage, root]) writer.bytes(bytes);
  for (const number of [epoch, version]) writer.u64(number);
  writer.bytes(hash);
  return writer.take();
}

/** Decodes a statement, whoever signed it; undefined if the bytes are none. */
export function readStatement(bytes: Uint8Array): Statement | undefined {
  if (bytes.length !== STATEMENT_BYTES) return undefined;
  const reader = new ByteReader(bytes, ErrorCode.badMessage);
  if (reader.text(4) !== TAG) return undefined;
  const [nonce, lineage, root] = [NONCE_BYTES, LINEAGE_BYTES, HASH_BYTES].map((count) =>
    reader.bytes(count).slice(),
  );
  if (nonce === undefined || lineage === undefined || root === undefined) return undefined;
  try {
    const [epoch, version] = [reader.u64(), reader.u64()];
    return { nonce, lineage, root, epoch, version, hash: reader.bytes(HASH_BYTES).slice() };
  } catch (error) {
    if (error instanceof ProtocolError) return undefined; // a number beyond 2^53 - 1
    throw error;
  }
}
