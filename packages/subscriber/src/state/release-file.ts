/**
 * A release as one file, which reads back as it was written or not at all.
 *
 *   "RCS4" | base hash 32 (zero: none) | signed length u32 | stream length u32 | signatures, manifest | stream | SHA-256 of all before
 */

import { createHash } from 'node:crypto';
import { HASH_BYTES, hexOf, joinSigned, ProtocolError, type Signed, splitSigned } from '@rulecast/protocol';

/** One release as received. */
export interface StoredRelease {
  readonly hash: Uint8Array;
  /** The release that `stream` starts from; undefined for a snapshot. */
  readonly base: Uint8Array | undefined;
  readonly manifestBytes: Uint8Array;
  readonly signatures: Uint8Array;
  /** A chain of deltas (CONTENT.md "Delta and snapshot"). */
  readonly stream: Uint8Array;
}

const TAG = Buffer.from('RCS4', 'latin1');
/** The tag of protocol 1, whose releases cannot be read any more. */
const TAG_BEFORE = Buffer.from('RCS3', 'latin1');
const HEADER_BYTES = TAG.length + HASH_BYTES + 4 + 4;

/** The file name of a release. */
export function fileName(hash: Uint8Array): string {
  return `${hexOf(hash)}.release`;
}

/** The chunks of a release file. */
export function encodeRelease(release: StoredRelease): readonly Uint8Array[] {
  const header = Buffer.alloc(HEADER_BYTES);
  TAG.copy(header);
  if (release.base !== undefined) header.set(release.base, 4);
  const signed = joinSigned({ signatures: release.signatures, content: release.manifestBytes });
  header.writeUInt32LE(signed.length, 36);
  header.writeUInt32LE(release.stream.length, 40);
  const hash = createHash('sha256').update(header).update(signed).update(release.stream).digest();
  return [header, signed, release.stream, hash];
}

/** Whether it is a release of protocol 1: the file is kept, but otherwise ignored. */
export function isOfProtocol1(bytes: Buffer): boolean {
  return bytes.subarray(0, TAG_BEFORE.length).equals(TAG_BEFORE);
}

/** Undefined for bytes that are not exactly one intact release file. */
export function decodeRelease(bytes: Buffer): StoredRelease | undefined {
  if (bytes.length < HEADER_BYTES + HASH_BYTES || !bytes.subarray(0, 4).equals(TAG)) return undefined;
  const signedLength = bytes.readUInt32LE(36);
  const streamLength = bytes.readUInt32LE(40);
  const streamAt = HEADER_BYTES + signedLength;
  const end = streamAt + streamLength;
  if (bytes.length !== end + HASH_BYTES) return undefined;
  if (!sha256(bytes.subarray(0, end)).equals(bytes.subarray(end))) return undefined;
  const base = bytes.subarray(4, 4 + HASH_BYTES);
  const signed = signedIn(bytes.subarray(HEADER_BYTES, streamAt));
  return (
    signed && {
      hash: sha256(signed.content),
      base: base.every((byte) => byte === 0) ? undefined : base,
      manifestBytes: signed.content,
      signatures: signed.signatures,
      stream: bytes.subarray(streamAt, end),
    }
  );
}

/** Undefined for bytes that are not exactly signatures and what they are over. */
export function signedIn(bytes: Uint8Array): Signed | undefined {
  try {
    return splitSigned(bytes);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return undefined;
  }
}

export function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}
